//! What must hold of a job, and what one commit may make of it.

use super::audited::Audited;
use super::finding::{Finding, Kind, call_off, call_off_and_retry, named};
use super::made::Made;
use super::needs::{in_circle, needs};
use crate::domain::finding::FleetFact;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Job, JobStatus};
use crate::domain::lease::token_problem;
use crate::domain::shell::typed;
use crate::domain::table::Table;

impl Audited for Job {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = JobId::new(&self.id) {
            let hint = "it can be neither claimed nor cancelled: give it another id";
            found.push(Finding::new(Kind::BadId, error.to_string()).hint(hint));
        }
        found.extend(unknown_status(self));
        if !self.status.is_held() {
            return;
        }
        let holder = self.assigned_to.as_deref().unwrap_or_default();
        if ServerName::new(holder).is_err() {
            let what = match holder {
                "" => format!("job {} is {} and nobody holds it", named(&self.id), self.status),
                other => {
                    format!(
                        "job {} is {} and held by {}, which is no server",
                        named(&self.id),
                        self.status,
                        named(other)
                    )
                }
            };
            found.push(
                Finding::new(Kind::HeldByNobody, what)
                    .hint(format!("nobody takes it back: {}", call_off_and_retry(&self.id))),
            );
        }
        if self.token.is_none() {
            let what = format!("job {} is {} without a token", named(&self.id), self.status);
            found.push(
                Finding::new(Kind::HeldWithoutToken, what)
                    .hint(format!("an older writer claimed it: nothing fences off its holder; if that is gone, `git muster job requeue {} --holder-lost --reason TEXT` gives the job back", typed(&self.id, "ID"))),
            );
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
        let what = format!("job {} ({}) is gone and not in the archive", named(&before.id), before.status);
        found.push(
            Finding::new(Kind::JobVanished, what).hint(
                "put the record back from the commit before; finished jobs leave by `git muster archive`",
            ),
        );
    }
}

/// The live jobs that nobody will claim as they stand, for a reason that only looking at all of them or at
/// the words of other writers tells: for those who watch.
#[must_use]
pub fn never_claimed(live: &Table<Job>) -> Vec<(&Job, FleetFact)> {
    let circle = in_circle(live);
    let open = live.rows().filter(|job| !job.status.is_final());
    open.filter_map(|job| {
        let fact = match &job.status {
            JobStatus::Other(word) => FleetFact::UnknownStatus { status: word.clone() },
            _ if circle.contains(job.id.as_str()) => FleetFact::NeedsInCircle,
            _ => return None,
        };
        Some((&**job, fact))
    })
    .collect()
}

/// Whether it has a status that nobody acts on.
fn unknown_status(job: &Job) -> Option<Finding> {
    let JobStatus::Other(word) = &job.status else { return None };
    let what = format!(
        "job {} is {}, which is no status of a job: it is shown and never acted on",
        named(&job.id),
        named(word)
    );
    Some(Finding::new(Kind::UnknownStatus, what).hint(call_off(&job.id)))
}

/// Judges a job before and after a commit.
fn judge(before: &Job, after: &Job, made: Made, found: &mut Vec<Finding>) {
    if !judge_token(before, after, made, found) {
        return;
    }
    let same_term = before.token.unwrap_or(0) == after.token.unwrap_or(0);
    let held_throughout = before.status.is_held() && after.status.is_held();
    if held_throughout && same_term && before.assigned_to != after.assigned_to {
        found.push(
            Finding::new(
                Kind::HandedOver,
                format!(
                    "job {} went from {} to {} under the same token {}",
                    named(&after.id),
                    holder(before),
                    holder(after),
                    after.token.unwrap_or(0)
                ),
            )
            .hint(format!("both may believe that they hold it: {}", call_off_and_retry(&after.id))),
        );
    }
    if after.stopped_at.is_some() && after.stopped_at != before.stopped_at && !is_confirmed(before, after) {
        let what =
            format!("job {} was told to have stopped, and it is {}", named(&after.id), word(&after.status));
        let hint = "only a cancelled job is told to have stopped, once, by whoever held it";
        found.push(Finding::new(Kind::IllegalStep, what).severity(made.severity()).hint(hint));
    }
    let rewritten = rewritten(before, after);
    if !rewritten.is_empty() {
        let what = format!("{} of job {} changed after it was added", rewritten.join(", "), named(&after.id));
        let hint = "a job that is to do something else is a new job: `git muster job add`";
        found.push(Finding::new(Kind::JobRewritten, what).severity(made.severity()).hint(hint));
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
    let token = after.token.map_or(String::new(), |token| format!(" with token {token}"));
    let what = format!("job {} began as {}{token}", named(&after.id), word(&after.status));
    found
        .push(Finding::new(Kind::BeganMidway, what).severity(made.severity()).hint("a job begins as queued"));
}

/// Whether the token and the status go together; tells `false` when the token is broken, and
/// nothing more can be concluded from it.
fn judge_token(before: &Job, after: &Job, made: Made, found: &mut Vec<Finding>) -> bool {
    let (old, new) = (before.token.unwrap_or(0), after.token.unwrap_or(0));
    let name = named(&after.id);
    // From one that was never given there is no way but down.
    if new < old && token_problem(before.token).is_none() {
        let now = after.token.map_or("none".to_owned(), |token| token.to_string());
        found.push(
            Finding::new(Kind::TokenLowered, format!("the token of job {name} went from {old} to {now}"))
                .hint(format!(
                    "an earlier holder may pass for the present one: set it to {} by hand if the job is still there",
                    old.saturating_add(1)
                )),
        );
        return false;
    }
    let claims = new.saturating_sub(old);
    if claims > made.steps() {
        found.push(
            Finding::new(
                Kind::TokenSkipped,
                format!("the token of job {name} went from {old} to {new} in one commit"),
            )
            .severity(made.severity())
            .hint("a token rises by one with each claim"),
        );
        return false;
    }
    if is_legal(&before.status, &after.status, claims, made) {
        return true;
    }
    let steps = format!("{} to {}", word(&before.status), word(&after.status));
    found.push(match (&before.status, after.status.is_held(), claims) {
        (JobStatus::Queued, true, 0) if made.by_hand() && before.token.is_none() => Finding::new(
            Kind::ClaimedWithoutToken,
            format!("job {name} was claimed by {} without a token", holder(after)),
        )
        .hint(
            "nothing fences off a holder without a token; whoever claims with `git muster job claim` has one",
        ),
        (_, false, 1..) => Finding::new(
            Kind::TokenWithoutClaim,
            format!("the token of job {name} went from {old} to {new}, and nobody claimed it: {steps}"),
        ),
        (_, true, 0) if before.status == JobStatus::Queued => {
            Finding::new(Kind::IllegalStep, format!("job {name} went from {steps} under its old token {old}"))
                .hint(format!(
                    "whoever held it before may report with that token: {}",
                    call_off_and_retry(&after.id)
                ))
        }
        _ => Finding::new(Kind::IllegalStep, format!("job {name} went from {steps}")).hint(format!(
            "a job is claimed before it ends, and leaves its end by `git muster job retry {}` only",
            typed(&after.id, "ID")
        )),
    });
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
        ("`type`", before.kind != after.kind),
        ("`branch`", before.branch != after.branch),
        ("`commit`", before.commit != after.commit),
        ("`command`", before.command != after.command),
        ("`needs`", before.needs != after.needs),
        ("`if_need_fails`", before.if_need_fails != after.if_need_fails),
        ("`group`", before.group != after.group),
        ("`labels`", before.labels != after.labels),
        ("`produces`", before.produces != after.produces),
        ("`key`", before.key != after.key),
        ("`created_at`", before.created_at != after.created_at),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

fn holder(job: &Job) -> String {
    job.assigned_to.as_deref().map_or("nobody".to_owned(), named)
}

fn word(status: &JobStatus) -> String {
    match status {
        JobStatus::Other(word) => named(word),
        known => known.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::Severity;

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
        found.iter().map(|finding| finding.kind.as_str()).collect()
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
        for (before, after, told) in [
            (
                HELD,
                r#""status":"running","token":3"#,
                "job `j` went from `a` to nobody under the same token 3",
            ),
            (
                r#""status":"queued","token":3"#,
                HELD,
                "job `j` went from queued to running under its old token 3",
            ),
            (r#""status":"failed","token":3"#, HELD, "job `j` went from failed to running"),
            (
                HELD,
                r#""status":"running","token":3,"assigned_to":"a","branch":"x","key":"k""#,
                "`branch`, `key` of job `j` changed after it was added",
            ),
        ] {
            let mut found = Vec::new();
            judge(&job(before), &job(after), HAND, &mut found);
            assert_eq!(found.first().map(|finding| finding.what.as_str()), Some(told));
        }
    }

    #[test]
    fn what_is_advised_is_typed_as_it_stands() {
        assert_eq!(call_off_and_retry("j"), "`git muster job cancel j`, then `git muster job retry j`");
        assert_eq!(call_off_and_retry("$(x)"), "`git muster job cancel ID`, then `git muster job retry ID`");
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
