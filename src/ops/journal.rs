//! What is kept of an operation whose outcome may stay unknown, so that it can be settled later.
//!
//! Written before the first attempt and removed when the outcome is known. A process that is
//! killed in between leaves its entry behind.

use super::{Envelope, Operation};
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::host::{environment, files};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// An operation that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub op: OpId,
    /// Which hub, as it was named.
    pub hub: String,
    /// Which branch.
    pub branch: String,
    /// The time it was given.
    pub at: Timestamp,
    /// What goes with it.
    pub envelope: Envelope,
    /// What it does.
    pub operation: Operation,
}

fn path(op: &OpId) -> PathBuf {
    environment::state_dir().join("ops").join(format!("{op}.json"))
}

/// Keeps an entry.
///
/// # Errors
/// When it cannot be written.
pub fn open(entry: &Entry) -> Result<(), files::FileError> {
    files::remember(&path(&entry.op), entry)
}

/// Forgets an entry: the outcome is known.
pub fn close(op: &OpId) {
    // An entry that stays behind costs only a look at the history later.
    drop(files::remove(&path(op)));
}

/// The entry of an operation, if it is unsettled here.
#[must_use]
pub fn find(op: &OpId) -> Option<Entry> {
    // By way of a value: read straight from text, numbers inside a tagged operation are lost to
    // serde_json's arbitrary precision.
    serde_json::from_value(files::recall(&path(op))).ok()
}

/// The ids of all unsettled operations, oldest first.
#[must_use]
pub fn unsettled() -> Vec<OpId> {
    let folder = environment::state_dir().join("ops");
    let mut ids: Vec<OpId> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| OpId::new(entry.file_name().to_str()?.strip_suffix(".json")?).ok())
        .collect();
    ids.sort();
    ids
}
