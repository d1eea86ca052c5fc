//! What must hold of a job, and what one commit may make of it.

use super::audited::Audited;
use super::made::Made;
use super::needs::{in_circle, needs};
use crate::domain::finding::{About, Finding, HubFact, Thing};
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Job, JobStatus};
use crate::domain::lease::token_problem;
use crate::domain::table::Table;

impl Audited for Job {
    fn judge(&self, found: &mut Vec<Finding>) {
        let mut tell = |fact| found.push(of(self, fact));
        if let Err(error) = JobId::new(&self.id) {
            tell(HubFact::BadId(error.into()));
        }
        if let JobStatus::Other(word) = &self.status {
            tell(HubFact::UnknownStatus { status: word.clone() });
        }
        if !self.status.is_held() {
            return;
        }
        let (status, holder) = (self.status.clone(), self.assigned_to.clone().unwrap_or_default());
        if ServerName::new(&holder).is_err() {
            tell(HubFact::HeldByNobody { status: status.clone(), holder });
        }
        if self.token.is_none() {
            tell(HubFact::HeldWithoutToken { status: Some(status) });
        }
    }

    fn judge_all(live: &Table<Self>, archives: &[Table<Self>], found: &mut Vec<Finding>) {
        found.extend(needs(live, archives));
    }

    fn judge_step(before: Option<&Self>, after: &Self, made: Made, found: &mut Vec<Finding>) {
        match before {
            Some(before) => judge(before, after, made, found),
            None => judge_new(after, made, found),
        }
    }

    fn judge_gone(before: &Self, _made: Made, found: &mut Vec<Finding>) {
        found.push(of(before, HubFact::JobVanished { status: before.status.clone() }));
    }
}

fn of(job: &Job, fact: HubFact) -> Finding {
    Finding::new(fact, About::new(Thing::Job, &job.id))
}

/// The live jobs that nobody will claim as they stand, for a reason that only looking at all of them or at
/// the words of other writers tells: for those who watch.
#[must_use]
pub fn never_claimed(live: &Table<Job>) -> Vec<(&Job, HubFact)> {
    let circle = in_circle(live);
    let open = live.rows().filter(|job| !job.status.is_final());
    open.filter_map(|job| {
        let fact = match &job.status {
            JobStatus::Other(word) => HubFact::UnknownStatus { status: word.clone() },
            _ if circle.contains(job.id.as_str()) => HubFact::NeedsInCircle,
            _ => return None,
        };
        Some((&**job, fact))
    })
    .collect()
}

/// Judges a job before and after a commit.
fn judge(before: &Job, after: &Job, made: Made, found: &mut Vec<Finding>) {
    if !judge_token(before, after, made, found) {
        return;
    }
    let same_term = before.token.unwrap_or(0) == after.token.unwrap_or(0);
    let held_throughout = before.status.is_held() && after.status.is_held();
    if held_throughout && same_term && before.assigned_to != after.assigned_to {
        let (from, to) = (before.assigned_to.clone(), after.assigned_to.clone());
        found.push(of(after, HubFact::HandedOver { from, to, token: after.token.unwrap_or(0) }));
    }
    if after.stopped_at.is_some() && after.stopped_at != before.stopped_at && !is_confirmed(before, after) {
        let fact = HubFact::StoppedWrongly { status: after.status.clone() };
        found.push(of(after, fact).severity(made.severity()));
    }
    let fields = rewritten(before, after);
    if !fields.is_empty() {
        found.push(of(after, HubFact::JobRewritten { fields }).severity(made.severity()));
    }
}

/// Whether it may be told that nothing of the job runs any more.
fn is_confirmed(before: &Job, after: &Job) -> bool {
    // Cancelled and confirmed may stand in one commit.
    after.status == JobStatus::Cancelled && after.token.is_some() && before.stopped_at.is_none()
}

/// Judges a job that was not there before.
fn judge_new(after: &Job, made: Made, found: &mut Vec<Finding>) {
    // Several operations of one commit may have added and claimed it.
    if made.steps() > 1 || (after.status == JobStatus::Queued && after.token.is_none()) {
        return;
    }
    let fact = HubFact::BeganMidway { status: after.status.clone(), token: after.token };
    found.push(of(after, fact).severity(made.severity()));
}

/// Whether the token and the status go together; tells `false` when the token is broken, and
/// nothing more can be concluded from it.
fn judge_token(before: &Job, after: &Job, made: Made, found: &mut Vec<Finding>) -> bool {
    let (old, new) = (before.token.unwrap_or(0), after.token.unwrap_or(0));
    // From one that was never given there is no way but down.
    if new < old && token_problem(before.token).is_none() {
        found.push(of(after, HubFact::TokenLowered { from: old, to: after.token }));
        return false;
    }
    let claims = new.saturating_sub(old);
    if claims > made.steps() {
        found.push(of(after, HubFact::TokenSkipped { from: old, to: new }).severity(made.severity()));
        return false;
    }
    if is_legal(&before.status, &after.status, claims, made) {
        return true;
    }
    let (from, to) = (before.status.clone(), after.status.clone());
    let fact = match (&before.status, after.status.is_held(), claims) {
        (JobStatus::Queued, true, 0) if made.by_hand() && before.token.is_none() => {
            HubFact::ClaimedWithoutToken { holder: after.assigned_to.clone() }
        }
        (_, false, 1..) => HubFact::TokenWithoutClaim { from: old, to: new, status_before: from, status: to },
        (JobStatus::Queued, true, 0) => HubFact::ClaimedUnderOldToken { from, to, token: old },
        _ => HubFact::IllegalStep { from, to },
    };
    found.push(of(after, fact));
    true
}

/// Whether so many claims lead from one status to the other.
fn is_legal(from: &JobStatus, to: &JobStatus, claims: u64, made: Made) -> bool {
    use JobStatus::{Cancelled, Claimed, Completed, Dead, Failed, Other, Queued, Running};
    // What another writer means by a word of its own is not known.
    if matches!(from, Other(_)) {
        return claims == 0 || to.is_held();
    }
    if matches!(to, Other(_)) {
        return from == to;
    }
    if made.steps() > 1 {
        // Several operations: whatever a way of theirs can lead to.
        return claims > 0
            || match from {
                Claimed => true,
                Running => *to != Claimed,
                _ => from == to || matches!(to, Queued | Cancelled),
            };
    }
    match (from, to) {
        // Taken back and claimed again in one, or claimed and begun in one.
        (Queued | Claimed | Running, Claimed | Running) if claims == 1 => true,
        _ if claims > 0 => false,
        (Claimed, Running)
        | (Claimed | Running, Queued | Completed | Failed | Dead | Cancelled)
        | (Queued, Cancelled)
        | (Completed | Failed | Dead | Cancelled, Queued) => true,
        _ => from == to,
    }
}

/// What stays as it was when a job was added, and did not.
fn rewritten(before: &Job, after: &Job) -> Vec<&'static str> {
    [
        ("type", before.kind != after.kind),
        ("branch", before.branch != after.branch),
        ("commit", before.commit != after.commit),
        ("command", before.command != after.command),
        ("needs", before.needs != after.needs),
        ("if_need_fails", before.if_need_fails != after.if_need_fails),
        ("group", before.group != after.group),
        ("labels", before.labels != after.labels),
        ("produces", before.produces != after.produces),
        ("key", before.key != after.key),
        ("created_at", before.created_at != after.created_at),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Severity;

    fn job(text: &str) -> Job {
        serde_json::from_str(&format!(r#"{{"id":"j",{text}}}"#)).expect(text)
    }

    const HAND: Made = Made::by_a_hand();
    const ONE: Made = Made::by_operations(1);
    const TWO: Made = Made::by_operations(2);

    /// The rules that `before` to `after` breaks.
    fn broken(before: &str, after: &str, made: Made) -> Vec<&'static str> {
        let mut found = Vec::new();
        judge(&job(before), &job(after), made, &mut found);
        found.iter().map(|finding| finding.code().as_str()).collect()
    }

    #[test]
    fn what_may_become_of_a_job() {
        const QUEUED: &str = r#""status":"queued""#;
        const QUEUED_3: &str = r#""status":"queued","token":3"#;
        const CLAIMED_3: &str = r#""status":"claimed","token":3,"assigned_to":"a""#;
        const RUNNING_3: &str = r#""status":"running","token":3,"assigned_to":"a""#;
        const COMPLETED_3: &str = r#""status":"completed","token":3,"assigned_to":"a""#;
        const FAILED_3: &str = r#""status":"failed","token":3,"assigned_to":"a""#;
        const CANCELLED_3: &str = r#""status":"cancelled","token":3,"assigned_to":"a""#;
        const STOPPED_3: &str =
            r#""status":"cancelled","token":3,"assigned_to":"a","stopped_at":"2025-10-29T12:00:00Z""#;
        const CANCELLED: &str = r#""status":"cancelled""#;
        const RUNNING_4_B: &str = r#""status":"running","token":4,"assigned_to":"b""#;
        for (before, after, made, expected) in [
            (QUEUED, r#""status":"claimed","token":1,"assigned_to":"a""#, ONE, ""),
            (QUEUED, r#""status":"running","token":1,"assigned_to":"a""#, ONE, ""),
            (QUEUED, CANCELLED, ONE, ""),
            (QUEUED_3, RUNNING_4_B, ONE, ""),
            (CLAIMED_3, RUNNING_3, ONE, ""),
            (RUNNING_3, COMPLETED_3, ONE, ""),
            (RUNNING_3, QUEUED_3, ONE, ""),
            (RUNNING_3, RUNNING_4_B, ONE, ""),
            (COMPLETED_3, QUEUED_3, ONE, ""),
            (COMPLETED_3, QUEUED_3, HAND, ""),
            (COMPLETED_3, RUNNING_4_B, TWO, ""),
            (QUEUED_3, r#""status":"completed","token":4,"assigned_to":"a""#, TWO, ""),
            (r#""status":"frobbed""#, QUEUED, HAND, ""),
            (r#""status":"pending""#, r#""status":"queued""#, HAND, ""),
            // Jumps.
            (QUEUED, r#""status":"completed""#, HAND, "illegal-step"),
            (QUEUED, r#""status":"completed""#, ONE, "illegal-step"),
            (COMPLETED_3, FAILED_3, ONE, "illegal-step"),
            (RUNNING_3, CLAIMED_3, ONE, "illegal-step"),
            (CANCELLED, r#""status":"completed""#, TWO, "illegal-step"),
            (RUNNING_3, CLAIMED_3, TWO, "illegal-step"),
            (RUNNING_3, COMPLETED_3, TWO, ""),
            // Begun and ended in one.
            (CLAIMED_3, COMPLETED_3, TWO, ""),
            (QUEUED_3, RUNNING_3, TWO, "illegal-step"),
            (COMPLETED_3, QUEUED_3, TWO, ""),
            (COMPLETED_3, COMPLETED_3, TWO, ""),
            (COMPLETED_3, FAILED_3, TWO, "illegal-step"),
            (QUEUED_3, RUNNING_3, HAND, "illegal-step"),
            (QUEUED, r#""status":"running","assigned_to":"a""#, ONE, "illegal-step"),
            (COMPLETED_3, RUNNING_4_B, ONE, "illegal-step"),
            (QUEUED, r#""status":"frobbed""#, HAND, "illegal-step"),
            // Tokens.
            (QUEUED, r#""status":"in_progress","assigned_to":"a""#, HAND, "claimed-without-token"),
            (RUNNING_3, r#""status":"running","token":2,"assigned_to":"a""#, ONE, "token-lowered"),
            (RUNNING_3, r#""status":"running","assigned_to":"a""#, HAND, "token-lowered"),
            (QUEUED_3, r#""status":"claimed","token":5,"assigned_to":"a""#, ONE, "token-skipped"),
            (QUEUED_3, r#""status":"claimed","token":6,"assigned_to":"a""#, TWO, "token-skipped"),
            (QUEUED_3, r#""status":"queued","token":4"#, ONE, "token-without-claim"),
            (RUNNING_3, r#""status":"completed","token":4"#, HAND, "token-without-claim"),
            (RUNNING_3, r#""status":"running","token":3,"assigned_to":"b""#, ONE, "handed-over"),
            (CLAIMED_3, r#""status":"running","token":3"#, HAND, "handed-over"),
            // What was called off has stopped.
            (CANCELLED_3, STOPPED_3, ONE, ""),
            (RUNNING_3, STOPPED_3, TWO, ""),
            (STOPPED_3, STOPPED_3, ONE, ""),
            (STOPPED_3, QUEUED_3, ONE, ""),
            (CANCELLED_3, &STOPPED_3.replace("cancelled", "completed"), ONE, "illegal-step illegal-step"),
            (RUNNING_3, &STOPPED_3.replace("cancelled", "running"), ONE, "illegal-step"),
            (STOPPED_3, &STOPPED_3.replace("12:00", "13:00"), ONE, "illegal-step"),
            // What it is to do.
            (QUEUED, r#""status":"queued","command":["rm"]"#, HAND, "job-rewritten"),
            (QUEUED, r#""status":"queued","branch":"x""#, ONE, "job-rewritten"),
            (QUEUED, r#""status":"queued","produces":["*.deb"]"#, ONE, "job-rewritten"),
            (QUEUED, r#""status":"queued","priority":1,"description":"x""#, ONE, ""),
        ] {
            assert_eq!(broken(before, after, made).join(" "), expected, "{before} -> {after} {made:?}");
        }
    }

    #[test]
    fn what_is_told_names_the_holders_and_the_step() {
        const HELD: &str = r#""status":"running","token":3,"assigned_to":"a""#;
        let (queued, running, a) = (JobStatus::Queued, JobStatus::Running, || Some("a".to_owned()));
        for (before, after, told) in [
            (HELD, r#""status":"running","token":3"#, HubFact::HandedOver { from: a(), to: None, token: 3 }),
            (
                r#""status":"queued","token":3"#,
                HELD,
                HubFact::ClaimedUnderOldToken { from: queued, to: running.clone(), token: 3 },
            ),
            (
                r#""status":"failed","token":3"#,
                HELD,
                HubFact::IllegalStep { from: JobStatus::Failed, to: running },
            ),
            (
                HELD,
                r#""status":"running","token":3,"assigned_to":"a","branch":"x","key":"k""#,
                HubFact::JobRewritten { fields: vec!["branch", "key"] },
            ),
        ] {
            let mut found = Vec::new();
            judge(&job(before), &job(after), HAND, &mut found);
            assert_eq!(found.first().map(|finding| &finding.fact), Some(&told.into()));
        }
    }

    #[test]
    fn a_job_begins_in_the_queue() {
        for (after, made, expected) in [
            (r#""status":"queued""#, ONE, None),
            (r#""status":"running","token":1"#, TWO, None),
            (r#""status":"queued","token":1"#, ONE, Some(Severity::Error)),
            (r#""status":"running","token":1"#, ONE, Some(Severity::Error)),
            (r#""status":"completed""#, HAND, Some(Severity::Warning)),
        ] {
            let mut found = Vec::new();
            judge_new(&job(after), made, &mut found);
            assert_eq!(found.first().map(|finding| finding.severity), expected, "{after} {made:?}");
        }
    }
}
