//! Records that went to an archive, or came back out of one, as the checker sees them.

use crate::domain::table::{Row, Table};
use crate::domain::tables::ARCHIVE;
use crate::ledger::Files;
use std::sync::Arc;

/// How the paths of the archives of `T` begin.
pub(super) fn archive_of<T: Row>() -> String {
    format!("{ARCHIVE}/{}-", T::FIELD)
}

/// The archive at `path`, if it holds the record `id`.
fn holding<T: Row>(files: &Files, path: &str, id: &str) -> Option<Arc<Table<T>>> {
    files.get(path)?.table::<T>(path).ok().filter(|table| table.get(id).is_some())
}

/// The archive in which the record `id` is in `files` and was not in `other`.
fn only_in<T: Row>(files: &Files, other: &Files, id: &str) -> Option<Arc<Table<T>>> {
    let prefix = archive_of::<T>();
    files.keys().filter(|path| path.starts_with(&prefix)).find_map(|path| {
        let archive = holding::<T>(files, path, id)?;
        holding::<T>(other, path, id).is_none().then_some(archive)
    })
}

/// Whether a record that is gone went to an archive in the same step.
pub(super) fn archived<T: Row>(old: &Files, new: &Files, id: &str) -> bool {
    only_in::<T>(new, old, id).is_some()
}

/// The archive out of which a record came that is there again.
pub(super) fn left<T: Row>(old: &Files, new: &Files, id: &str) -> Option<Arc<Table<T>>> {
    only_in::<T>(old, new, id)
}
