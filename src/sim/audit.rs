//! What `git muster fsck --history` would say of a simulated history.
//!
//! Its rules are not those of [`super::check`]: they know the documents only, and neither true time
//! nor what anybody was told. Whatever our own operations did, under whatever faults, they must not
//! call an error; else people would learn not to believe them. What was done by hand is not asked
//! for: there they may well be right.

use super::archives;
use super::check;
use crate::domain::audit::{Change, Made, judge_step};
use crate::domain::finding::{Finding, Severity};
use crate::domain::table::{Row, Table};
use crate::domain::tables::{ForTable, Stored, TABLES};
use crate::ledger::{self, Document, Files, Version};
use std::collections::HashMap;
use std::sync::Arc;

/// The errors that the audit sees in commits made by operations of ours.
pub(super) fn accusations(commits: &[(Version, ledger::Stored)]) -> Vec<String> {
    let states: HashMap<&Version, &Files> =
        commits.iter().map(|(version, stored)| (version, &*stored.files)).collect();
    let mut found = Vec::new();
    for (version, stored) in commits.iter().filter(|(_, stored)| stored.made.is_some()) {
        let Some(before) = stored.parent.as_ref().and_then(|parent| states.get(parent)) else { continue };
        let errors = judge(before, &stored.files).unwrap_or_default();
        found.extend(errors.into_iter().map(|error| format!("fsck accuses {version} of {error}")));
    }
    found
}

/// The errors from one state to the next; nothing is said where a table cannot be read.
fn judge(before: &Files, after: &Files) -> Option<Vec<String>> {
    struct CommitAudit<'a>(&'a Files, &'a Files);
    impl ForTable for CommitAudit<'_> {
        type Answer = Option<Vec<Finding>>;
        fn run<T: Stored>(self) -> Self::Answer {
            let pair = (read::<T>(self.0)?, read::<T>(self.1)?);
            let archives = if T::HAS_ARCHIVES { archives::<T>(self.0, self.1) } else { Vec::new() };
            let archives: Vec<_> = archives.iter().map(change).collect();
            Some(judge_step(change(&pair), &archives, Made::by_operations(1)))
        }
    }
    let found: Option<Vec<_>> = TABLES.iter().map(|kind| kind.with(CommitAudit(before, after))).collect();
    let errors = found?.into_iter().flatten().filter(|finding| finding.severity == Severity::Error);
    Some(errors.map(|finding| finding.to_string()).collect())
}

/// A table before and after.
type Pair<T> = (Arc<Table<T>>, Arc<Table<T>>);

fn change<T>((before, after): &Pair<T>) -> Change<'_, T> {
    Change { before, after }
}

fn read<T: Row>(files: &Files) -> Option<Arc<Table<T>>> {
    check::read(files).ok()
}

/// The archives of `T` that differ.
fn archives<T: Row>(before: &Files, after: &Files) -> Vec<Pair<T>> {
    let prefix = archives::archive_of::<T>();
    let table = |files: &Files, path: &str| match files.get(path) {
        Some(document) => document.table(path).ok(),
        None => Some(Arc::new(Table::empty(path))),
    };
    let same = |old: Option<&Arc<Document>>, new| old.is_some_and(|old| Arc::ptr_eq(old, new));
    let changed =
        after.iter().filter(|(path, new)| path.starts_with(&prefix) && !same(before.get(*path), new));
    changed.filter_map(|(path, _)| Some((table(before, path)?, table(after, path)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;

    #[test]
    fn what_fsck_calls_an_error_is_noticed() {
        let files = |jobs: &str, archive: &str| {
            let list = |rows: &str| Arc::new(Document::new(format!("{{\"jobs\":[{rows}]}}").into_bytes()));
            let archive = ("coordination/archive/jobs-2025-10.json".into(), list(archive));
            Files::from([(Job::PATH.into(), list(jobs)), archive])
        };
        let completed = r#"{"id":"a","status":"completed","token":1}"#;
        for (before, after, expected) in [
            (files("", ""), files("", ""), ""),
            (files(completed, ""), files("", completed), ""),
            (files(completed, ""), files("", ""), r#"job-vanished a {"status":"completed"}"#),
            (files("", completed), files("", ""), "archive-vanished a"),
            (
                files(r#"{"id":"a","status":"queued"}"#, ""),
                files(r#"{"id":"a","status":"queued","command":"true"}"#, ""),
                r#"job-rewritten a {"fields":["command"]}"#,
            ),
            (files("", ""), files("<<<<<<< ours", ""), ""),
        ] {
            assert_eq!(judge(&before, &after).unwrap_or_default().join(", "), expected);
        }
    }
}
