//! What must hold of a lock, and what one commit may make of it.

use super::audited::Audited;
use super::finding::{Finding, Kind, Severity, named};
use super::made::Made;
use crate::domain::id::LockName;
use crate::domain::lease::token_problem;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};
use crate::domain::shell::typed;

impl Audited for Lock {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = LockName::new(&self.name) {
            let hint = "no command can name this lock";
            found.push(Finding::new(Kind::BadName, error.to_string()).hint(hint));
        }
        if self.is_held() && self.token.is_none() {
            let what = format!("lock {} is held without a token", named(&self.name));
            found.push(
                Finding::new(Kind::HeldWithoutToken, what)
                    .severity(Severity::Note)
                    .hint("an older writer took it: it is respected, and nothing fences off its holder"),
            );
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
    let name = named(&after.name);
    if before.done_at.is_some() && after.done_at.is_none() {
        found.push(
            Finding::new(
                Kind::Undone,
                format!("{name} was done once for all and is marked as not done again"),
            )
            .hint("it may be done a second time: put `done_at` back"),
        );
    }
    // From one that was never given there is no way but down.
    if new < old && token_problem(before.token).is_none() {
        let now = after.token.map_or("none".to_owned(), |token| token.to_string());
        let what = format!("the token of lock {name} went from {old} to {now}");
        let lowered = Finding::new(Kind::TokenLowered, what);
        // Nobody ever acts under a token of that one, so none is put back.
        found.push(if after.name == JOB_ASSIGNMENT {
            lowered.severity(Severity::Note)
        } else {
            lowered.hint(format!(
                "an earlier holder may pass for the present one: set it to {} by hand",
                old.saturating_add(1)
            ))
        });
        return;
    }
    let terms = new.saturating_sub(old);
    if terms > made.steps() {
        found.push(
            Finding::new(
                Kind::TokenSkipped,
                format!("the token of lock {name} went from {old} to {new} in one commit"),
            )
            .severity(made.severity())
            .hint("a token rises by one with each holder"),
        );
    }
    if terms == 0 && is_held(after) && before.locked_by != after.locked_by {
        found.push(taken(before, after, made));
    }
}

/// It has another holder under the same token.
fn taken(before: &Lock, after: &Lock, made: Made) -> Finding {
    let (name, token) = (named(&after.name), after.token.unwrap_or(0));
    let by = after.locked_by.as_deref().map_or_else(String::new, named);
    match before.locked_by.as_deref().filter(|_| is_held(before)) {
        Some(from) => Finding::new(
            Kind::HandedOver,
            format!("lock {name} went from {} to {by} under the same token {token}", named(from)),
        )
        .hint(format!(
            "both may believe that they hold it: `git muster lock steal {} --reason REASON --force` gives it a new token",
            typed(&after.name, "NAME")
        )),
        None if after.token.is_none() && made.by_hand() => Finding::new(
            Kind::TakenWithoutToken,
            format!("lock {name} was taken by {by} without a token, as older writers do"),
        )
        .severity(Severity::Note),
        None => Finding::new(
            Kind::TakenWithoutToken,
            format!("lock {name} was taken by {by} under its old token {token}"),
        )
        .severity(made.severity())
        .hint(format!(
            "whoever held it before knows that token and passes `--if-lock` with it; take locks with `git muster lock acquire {}`",
            typed(&after.name, "NAME")
        )),
    }
}

/// Judges a lock that is gone.
fn judge_gone(before: &Lock, found: &mut Vec<Finding>) {
    let name = named(&before.name);
    match before.token {
        Some(token) => found.push(
            Finding::new(Kind::LockVanished, format!("lock {name} is gone, and with it its token {token}"))
                .hint("the next holder would begin at 1: put the record back, free, with that token"),
        ),
        None if is_held(before) => found.push(
            Finding::new(Kind::LockVanished, format!("lock {name} is gone while it was held"))
                .severity(Severity::Warning)
                .hint("free a lock by emptying its fields"),
        ),
        None => {}
    }
}

fn is_held(lock: &Lock) -> bool {
    lock.locked_by.as_deref().is_some_and(|by| !by.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

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
                found.iter().map(|one| format!("{} {}", one.severity.as_str(), one.kind)).collect();
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
