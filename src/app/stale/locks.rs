//! Locks, what was done once, and the highest tokens that locks gave, when an older writer undid them.
//!
//! A script that takes a lock and frees it leaves the record as it was before: that is no undoing. So only
//! a term comes back that one of our operations gave. It comes back held whether or not its lease seems to be
//! over: nobody can tell that by another's clock, and whoever needs the lock watches it and takes it over as
//! ever. The highest token never goes down, whatever became of the document.

use super::{StaleCheck, TableChange, at};
use crate::domain::high_water::HighWater;
use crate::domain::lease::token_problem;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};
use crate::domain::table::Row as _;
use crate::ledger::Abort;
use std::collections::BTreeSet;

impl StaleCheck<'_> {
    /// Locks and marks as they are put back.
    pub(super) fn locks(&mut self) -> Result<(), Abort> {
        let locks = self.restored::<Lock>(Lock::PATH, "", is_ours)?;
        if !self.touched.contains(Lock::PATH) && !self.touched.contains(HighWater::PATH) {
            return Ok(());
        }
        let Some(mut marks) = self.place::<HighWater>(HighWater::PATH, "")? else { return Ok(()) };
        let mut given = self.noted(&marks)?;
        given.extend(self.given(locks.as_ref())?);
        let mut raised = BTreeSet::new();
        for (name, token) in given {
            let mark = marks.table.get(&name).and_then(|mark| mark.token);
            if mark >= Some(token) || marks.table.unreadable(&name).is_some() {
                continue;
            }
            match marks.table.get_mut(&name) {
                Some(mark) => mark.edit(|mark| mark.token = Some(token)),
                None => marks.table.push(HighWater { name: name.clone(), token: Some(token) }),
            }
            raised.insert(name);
        }
        self.write(&marks)?;
        let told = raised.into_iter().map(|name| format!("last token of lock {name}"));
        self.found.undone.back.extend(told);
        Ok(())
    }

    /// The tokens that ours had noted.
    fn noted(&self, marks: &TableChange<HighWater>) -> Result<Vec<(String, u64)>, Abort> {
        let mut noted = Vec::new();
        for one in &marks.below.ours {
            let known = at::<HighWater>(&one.ours, HighWater::PATH, self.hub)?;
            let rows = known.iter().flat_map(|known| known.rows());
            noted.extend(rows.filter_map(|mark| possible(&mark.name, mark.token)));
        }
        Ok(noted)
    }

    /// The tokens that ours had given, and that are not known from the locks, as they are put back.
    fn given(&self, locks: Option<&TableChange<Lock>>) -> Result<Vec<(String, u64)>, Abort> {
        let mut given = Vec::new();
        let Some(locks) = locks else { return Ok(given) };
        for one in &locks.below.ours {
            let known = at::<Lock>(&one.ours, Lock::PATH, self.hub)?;
            // Nobody ever acts under a token of that one.
            let named =
                known.iter().flat_map(|known| known.rows()).filter(|lock| lock.name != JOB_ASSIGNMENT);
            let lower =
                named.filter(|lock| locks.table.get(&lock.name).and_then(|now| now.token) < lock.token);
            given.extend(lower.filter_map(|lock| possible(&lock.name, lock.token)));
        }
        Ok(given)
    }
}

fn possible(name: &str, token: Option<u64>) -> Option<(String, u64)> {
    Some((name.to_owned(), token.filter(|_| token_problem(token).is_none())?))
}

/// Whether an operation of ours left a lock so: held, freed under its token, or done.
fn is_ours(lock: &Lock) -> bool {
    let is_term = lock.is_held() && lock.token.is_some() && lock.renewal.is_some() && lock.holder.is_some();
    let is_left = lock.released_by.is_some() && lock.token.is_some();
    lock.done_at.is_some() || is_left || is_term
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::table::Table;

    #[test]
    fn a_term_of_ours_comes_back_whatever_any_clock_says_and_none_of_a_script() {
        const TERM: &str = r#""locked_by":"a","locked_at":"2025-10-29T11:59:00Z","lease_seconds":60,"token":2,"renewal":0,"holder":"vm pid 1""#;
        for (text, expected) in [
            (format!(r#"{TERM},"expires_at":"2025-10-29T12:00:00Z""#), true),
            (format!(r#"{TERM},"expires_at":"1999-10-29T11:59:00Z""#), true),
            (format!(r#"{TERM},"expires_at":"2999-10-29T11:59:00Z""#), true),
            (r#""locked_by":null,"token":3,"released_by":"a""#.to_owned(), true),
            (r#""locked_by":null,"token":3,"done_at":"2025-10-29T11:00:00Z""#.to_owned(), true),
            // Of a script: it may have freed it meanwhile.
            (
                r#""locked_by":"a","locked_at":"2025-10-29T11:59:00Z","expires_at":"2025-10-29T12:09:00Z""#
                    .to_owned(),
                false,
            ),
            (r#""locked_by":"a","locked_at":"2025-10-29T11:59:00Z","token":3"#.to_owned(), false),
            (r#""locked_by":null,"token":3"#.to_owned(), false),
        ] {
            let document = format!("{{\"locks\":{{\"deploy\":{{{text}}}}}}}");
            let table = Table::<Lock>::read(Lock::PATH, document.as_bytes()).expect("reads");
            assert_eq!(is_ours(table.get("deploy").expect("is there")), expected, "{text}");
        }
    }
}
