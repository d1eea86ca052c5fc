//! Questions to a hub: each a value, answered from the documents of one version.
//!
//! An answer is data that can be serialised and holds all that a front end shows: whoever asks decides
//! how it is told, and nothing else. A record that cannot be read hides no other; the answer names it.
//! Nothing here prints, reads a clock or writes; what this machine has watched is handed in.

pub mod artifacts;
pub mod fleet;
pub mod health;
pub mod jobs;
pub mod locks;
pub mod messages;
pub mod operations;
pub mod queue;
pub mod servers;
pub mod statuses;

use crate::app::archived::{IdMatch, look_up};
use crate::domain::record::{Record, View};
use crate::domain::refusal::{Action, Refusal};
use crate::domain::table::{RecordTrouble, Row, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Borrow;
use std::sync::Arc;

/// A question to a hub.
pub trait Query {
    /// What comes back.
    type Answer: Serialize;

    /// Whether the branches of heartbeats are read as well: they have to be fetched before.
    const HEARTBEATS: bool = false;

    /// Answers from `documents` as of `now`.
    ///
    /// # Errors
    /// The refusal where what was asked for is not there, or a document that cannot be read.
    fn run(&self, documents: &impl Documents, now: Timestamp) -> Result<Self::Answer, Abort>;
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What can be made out of it, with what is wrong.
    pub shown: Value,
    /// Where it is, and what is wrong with it.
    pub trouble: RecordTrouble,
}

impl Serialize for Unreadable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown.serialize(serializer)
    }
}

/// The records of a table that cannot be read.
pub(super) fn unreadable_of<T: Row>(table: &Table<T>) -> Vec<Unreadable> {
    let all = table.unreadables().into_iter();
    all.map(|(trouble, broken)| Unreadable { shown: trouble.shown(broken.raw()), trouble }).collect()
}

/// The records that a filter lets through, in the order of the document.
#[derive(Debug, Serialize)]
#[serde(bound = "T: Row")]
pub struct List<T> {
    /// They.
    #[serde(serialize_with = "as_stored")]
    pub items: Vec<Arc<Record<T>>>,
    /// Where all were asked for: those that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Where some were asked for: those that cannot be read, of which nobody can tell whether they are meant.
    pub left_out: Vec<Unreadable>,
}

impl<T: Row> List<T> {
    /// The records of `table` for which `is_meant`; `is_all`: nothing was asked of them.
    pub(super) fn of(table: &Table<T>, is_all: bool, is_meant: impl Fn(&T) -> bool) -> Self {
        let items = table.shared().filter(|row| is_meant(row)).cloned().collect();
        let broken = unreadable_of(table);
        let (unreadable, left_out) = if is_all { (broken, Vec::new()) } else { (Vec::new(), broken) };
        Self { items, unreadable, left_out }
    }
}

/// Records as the hub holds them.
fn as_stored<T: View, R: Borrow<Record<T>>, S: Serializer>(
    records: &[R],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(records.iter().map(|record| record.borrow().raw()))
}

/// What an id names.
#[derive(Debug)]
pub enum OneRecord<T> {
    Record(Record<T>),
    /// One that cannot be read.
    Unreadable(Unreadable),
}

impl<T: Row> Serialize for OneRecord<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Record(record) => record.raw().serialize(serializer),
            Self::Unreadable(unreadable) => unreadable.serialize(serializer),
        }
    }
}

/// What `id` names, live or archived.
///
/// # Errors
/// What `missing` says when it names nothing; when a document cannot be read that may hold it.
pub(super) fn one<T: Row>(
    documents: &impl Documents,
    id: &str,
    missing: impl FnOnce() -> Refusal,
) -> Result<OneRecord<T>, Abort> {
    match look_up(documents, id)? {
        IdMatch::Record(record) => Ok(OneRecord::Record(record)),
        IdMatch::Unreadable(shown, trouble) => Ok(OneRecord::Unreadable(Unreadable { shown, trouble })),
        IdMatch::Nothing => Err(missing().into()),
    }
}

/// The record that `id` names, live or archived, for who needs all of it.
///
/// # Errors
/// As [`one`], and when it cannot be read.
pub(super) fn readable<T: Row>(
    documents: &impl Documents,
    id: &str,
    missing: impl FnOnce() -> Refusal,
) -> Result<Record<T>, Abort> {
    match one(documents, id, missing)? {
        OneRecord::Record(record) => Ok(record),
        OneRecord::Unreadable(Unreadable { trouble, .. }) => {
            Err(trouble.refusal(Action::Show, &trouble.id).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use serde_json::to_value;

    pub(super) const NOW: &str = "2025-11-10T12:00:00Z";

    pub(super) fn now() -> Timestamp {
        Timestamp::parse(NOW).expect("a time")
    }

    /// What a query answers, or why not.
    pub(super) fn answer<Q: Query>(query: &Q, hub: &MemoryDocuments) -> Result<Value, String> {
        match query.run(hub, now()) {
            Ok(answer) => Ok(to_value(&answer).expect("serialises")),
            Err(Abort::Refused(refusal)) => Err(refusal.code().to_string()),
            Err(stop) => Err(stop.to_string()),
        }
    }

    /// The ids in a list, of records and of what cannot be read.
    pub(super) fn ids(list: &Value) -> [Vec<String>; 3] {
        ["items", "unreadable", "left_out"].map(|part| {
            let all = list[part].as_array().expect(part);
            all.iter().map(|one| one["id"].as_str().unwrap_or("?").to_owned()).collect()
        })
    }
}
