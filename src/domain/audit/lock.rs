//! What must hold of a lock, and what one commit may make of it.

use super::audited::Audited;
use super::made::Made;
use crate::domain::finding::{About, Finding, HubFact, Severity, Thing};
use crate::domain::id::LockName;
use crate::domain::lease::token_problem;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};

impl Audited for Lock {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = LockName::new(&self.name) {
            found.push(of(self, HubFact::BadName(error.into())));
        }
        if self.is_held() && self.token.is_none() {
            found.push(of(self, HubFact::HeldWithoutToken { status: None }).severity(Severity::Note));
        }
    }

    fn judge_step(before: Option<&Self>, after: &Self, made: Made, found: &mut Vec<Finding>) {
        match before {
            Some(before) => judge(before, after, made, found),
            None => judge(&Self::free(&after.name), after, made, found),
        }
    }

    fn judge_gone(before: &Self, _made: Made, found: &mut Vec<Finding>) {
        judge_gone(before, found);
    }
}

/// Judges a lock before and after a commit; a lock that was not there before was a free one.
fn judge(before: &Lock, after: &Lock, made: Made, found: &mut Vec<Finding>) {
    let (old, new) = (before.token.unwrap_or(0), after.token.unwrap_or(0));
    if before.done_at.is_some() && after.done_at.is_none() {
        found.push(of(after, HubFact::DoneUndone));
    }
    // From one that was never given there is no way but down.
    if new < old && token_problem(before.token).is_none() {
        let lowered = of(after, HubFact::TokenLowered { from: old, to: after.token });
        // Nobody ever acts under a token of that one, so none is put back.
        let is_harmless = after.name == JOB_ASSIGNMENT;
        found.push(if is_harmless { lowered.severity(Severity::Note) } else { lowered });
        return;
    }
    let terms = new.saturating_sub(old);
    if terms > made.steps() {
        found.push(of(after, HubFact::TokenSkipped { from: old, to: new }).severity(made.severity()));
    }
    if terms == 0 && is_held(after) && before.locked_by != after.locked_by {
        found.push(taken(before, after, made));
    }
}

fn of(lock: &Lock, fact: HubFact) -> Finding {
    Finding::new(fact, About::new(Thing::Lock, &lock.name))
}

/// It has another holder under the same token.
fn taken(before: &Lock, after: &Lock, made: Made) -> Finding {
    let to = after.locked_by.clone();
    match before.locked_by.clone().filter(|_| is_held(before)) {
        Some(from) => {
            let token = after.token.unwrap_or(0);
            of(after, HubFact::HandedOver { from: Some(from), to, token })
        }
        None => {
            let is_of_older_writer = after.token.is_none() && made.by_hand();
            let token = (!is_of_older_writer).then(|| after.token.unwrap_or(0));
            let severity = if is_of_older_writer { Severity::Note } else { made.severity() };
            let by = to.unwrap_or_default();
            of(after, HubFact::TakenWithoutToken { by, token }).severity(severity)
        }
    }
}

/// Judges a lock that is gone.
fn judge_gone(before: &Lock, found: &mut Vec<Finding>) {
    let vanished = || of(before, HubFact::LockVanished { token: before.token });
    match before.token {
        Some(_) => found.push(vanished()),
        None if is_held(before) => found.push(vanished().severity(Severity::Warning)),
        None => {}
    }
}

fn is_held(lock: &Lock) -> bool {
    lock.locked_by.as_deref().is_some_and(|by| !by.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::tests::word;

    const HAND: Made = Made::by_a_hand();
    const ONE: Made = Made::by_operations(1);

    fn lock(text: &str) -> Lock {
        let mut lock: Lock = serde_json::from_str(&format!("{{{text}}}")).expect(text);
        lock.name = "deploy".to_owned();
        lock
    }

    #[test]
    fn what_may_become_of_a_lock() {
        const FREE_2: &str = r#""locked_by":null,"token":2"#;
        const A_2: &str = r#""locked_by":"a","token":2"#;
        const B_2: &str = r#""locked_by":"b","token":2"#;
        const B_3: &str = r#""locked_by":"b","token":3"#;
        for (before, after, made, expected) in [
            ("", r#""locked_by":"a","token":1"#, ONE, ""),
            (FREE_2, B_3, ONE, ""),
            (A_2, B_3, ONE, ""),
            (A_2, r#""locked_by":"a","token":2,"renewal":1"#, ONE, ""),
            (A_2, FREE_2, HAND, ""),
            (A_2, r#""locked_by":"a","token":3"#, ONE, ""),
            (FREE_2, r#""locked_by":"b","token":4"#, Made::by_operations(2), ""),
            ("", r#""locked_by":"a""#, HAND, "note taken-without-token"),
            ("", r#""locked_by":"a""#, ONE, "error taken-without-token"),
            (FREE_2, A_2, HAND, "warning taken-without-token"),
            (FREE_2, A_2, ONE, "error taken-without-token"),
            (A_2, B_2, HAND, "error handed-over"),
            (A_2, B_2, ONE, "error handed-over"),
            (B_3, A_2, ONE, "error token-lowered"),
            (A_2, r#""locked_by":"a""#, HAND, "error token-lowered"),
            (A_2, r#""locked_by":null,"token":0"#, HAND, "error token-lowered"),
            (r#""token":9007199254740991"#, r#""token":1761739200000"#, ONE, ""),
            (FREE_2, r#""locked_by":"b","token":4"#, ONE, "error token-skipped"),
            (FREE_2, r#""locked_by":"b","token":4"#, HAND, "warning token-skipped"),
            (r#""token":2,"done_at":"2025-10-29T12:00:00Z""#, r#""token":2"#, HAND, "error undone"),
        ] {
            let mut found = Vec::new();
            judge(&lock(before), &lock(after), made, &mut found);
            let told: Vec<String> =
                found.iter().map(|one| format!("{} {}", word(one.severity), one.code())).collect();
            assert_eq!(told.join(", "), expected, "{before} -> {after} {made:?}");
        }
    }

    #[test]
    fn a_lock_that_was_ever_held_stays() {
        for (before, expected) in [
            (r#""token":2"#, Some(Severity::Error)),
            (r#""locked_by":"a""#, Some(Severity::Warning)),
            (r#""locked_by":null"#, None),
        ] {
            let mut found = Vec::new();
            judge_gone(&lock(before), &mut found);
            assert_eq!(found.first().map(|finding| finding.severity), expected, "{before}");
        }
    }
}
