//! Locks, what was done once, and the highest tokens that locks gave, when an older writer undid them.
//!
//! A script that takes a lock and frees it leaves the record as it was before: that is no undoing. So only
//! a term comes back that one of our operations gave, and only while its lease may run; after that the lock
//! comes back free, for its token. The highest token never goes down, whatever became of the document.

use super::{Restored, at, writable};
use crate::domain::high_water::HighWater;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock, token_problem};
use crate::domain::record::Record;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{History, Ours, Stop};
use std::collections::BTreeSet;

/// A lock as it comes back at `now`; `None` when it is none that an operation of ours left.
pub(super) fn revived(lock: &Record<Lock>, now: Timestamp) -> Option<Record<Lock>> {
    let is_term = lock.is_held() && lock.token.is_some() && lock.renewal.is_some() && lock.holder.is_some();
    let is_left = lock.released_by.is_some() && lock.token.is_some();
    if lock.done_at.is_some() || is_left || (is_term && lock.overdue(now).is_none()) {
        return Some(lock.clone());
    }
    is_term.then(|| {
        let mut free = lock.clone();
        free.edit(Lock::vacate);
        free
    })
}

/// The marks, none of them below a token that `ours` knew of and the locks, as they are put back, do not.
pub(super) fn raised(
    ours: &[Ours],
    hub: &impl History,
    locks: Option<&Table<Lock>>,
) -> Result<Restored<HighWater>, Stop> {
    let Some(mut marks) = writable::<HighWater>(hub)? else {
        return Ok(Restored { table: None, told: Vec::new() });
    };
    let mut raised = BTreeSet::new();
    for one in ours {
        for (name, token) in given(one, hub, locks)? {
            let mark = marks.get(&name).and_then(|mark| mark.token);
            if mark >= Some(token) || marks.unreadable(&name).is_some() {
                continue;
            }
            match marks.get_mut(&name) {
                Some(mark) => mark.edit(|mark| mark.token = Some(token)),
                None => marks.push(HighWater { name: name.clone(), token: Some(token) }),
            }
            raised.insert(name);
        }
    }
    let told = raised.into_iter().map(|name| format!("last token of lock {name}")).collect();
    Ok(Restored { table: Some(marks), told })
}

/// The tokens that were given as far as `one` of ours knew, and are not known from the lock itself.
fn given(one: &Ours, hub: &impl History, locks: Option<&Table<Lock>>) -> Result<Vec<(String, u64)>, Stop> {
    let mut given = Vec::new();
    if let Some(marks) = at::<HighWater>(&one.version, hub)? {
        given.extend(marks.rows().map(|mark| (mark.name.clone(), mark.token)));
    }
    if let (Some(known), Some(locks)) = (at::<Lock>(&one.version, hub)?, locks) {
        // Nobody ever acts under a token of that one.
        let named = known.rows().filter(|lock| lock.name != JOB_ASSIGNMENT);
        let is_lower = |lock: &&Record<Lock>| locks.get(&lock.name).and_then(|now| now.token) < lock.token;
        given.extend(named.filter(is_lower).map(|lock| (lock.name.clone(), lock.token)));
    }
    let possible = given.into_iter().filter(|(_, token)| token_problem(*token).is_none());
    Ok(possible.filter_map(|(name, token)| Some((name, token?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(text: &str) -> Record<Lock> {
        let document = format!("{{\"locks\":{{\"deploy\":{{{text}}}}}}}");
        let table = Table::<Lock>::read("coordination/locks.json", document.as_bytes()).expect("reads");
        table.get("deploy").expect("is there").clone()
    }

    #[test]
    fn a_term_of_ours_comes_back_while_its_lease_may_run_and_else_its_token() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        const TERM: &str = r#""locked_by":"a","locked_at":"2025-10-29T11:59:00Z","lease_seconds":60,"token":2,"renewal":0,"holder":"vm pid 1""#;
        for (text, expected) in [
            (format!(r#"{TERM},"expires_at":"2025-10-29T12:00:00Z""#), Some((true, Some(2)))),
            (format!(r#"{TERM},"expires_at":"2025-10-29T11:59:00Z""#), Some((false, Some(2)))),
            (r#""locked_by":null,"token":3,"released_by":"a""#.to_owned(), Some((false, Some(3)))),
            (
                r#""locked_by":null,"token":3,"done_at":"2025-10-29T11:00:00Z""#.to_owned(),
                Some((false, Some(3))),
            ),
            // Of a script: it may have freed it meanwhile.
            (
                r#""locked_by":"a","locked_at":"2025-10-29T11:59:00Z","expires_at":"2025-10-29T12:09:00Z""#
                    .to_owned(),
                None,
            ),
            (r#""locked_by":"a","locked_at":"2025-10-29T11:59:00Z","token":3"#.to_owned(), None),
            (r#""locked_by":null,"token":3"#.to_owned(), None),
        ] {
            let found = revived(&lock(&text), now).map(|lock| (lock.is_held(), lock.token));
            assert_eq!(found, expected, "{text}");
        }
    }
}
