//! Puts back what an older writer undid with a stale document.
//!
//! Such a writer reads a table, takes its time, and commits the table as it was with a change of its
//! own. Records that were added or changed by operations in between are gone, or are as they were
//! before. Whoever writes next compares: a record that differs from what our last operation left, and is
//! exactly what stood there before one of the operations shortly before it, was not changed on purpose.
//! One that was there for longer and is gone, or that says something new, is left to who did that, and so
//! is everything a commit does that reverts another.

use super::archived;
use crate::domain::job::Job;
use crate::domain::message::Message;
use crate::domain::record::Record;
use crate::domain::table::{Row, Table};
use crate::ledger::{Documents as _, LedgerError, Ours, Stop, Transaction, Version};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Puts back what was undone since our last operation.
///
/// # Errors
/// When the store is damaged.
pub(super) fn put_back(transaction: &mut Transaction<'_>) -> Result<(), Stop> {
    let ours = transaction.below_foreign()?;
    if ours.is_empty() {
        return Ok(());
    }
    let mut restored = restore::<Job>(&ours, transaction)?;
    restored.extend(restore::<Message>(&ours, transaction)?);
    if !restored.is_empty() {
        transaction.describe(format!("put back: {} as an older writer found it", restored.join(", ")));
    }
    Ok(())
}

fn restore<T: Row>(ours: &[Ours], transaction: &mut Transaction<'_>) -> Result<Vec<String>, Stop> {
    // A table that cannot be read has a trouble of its own.
    let Some(mut table) = readable(transaction.table::<T>())? else { return Ok(Vec::new()) };
    let mut restored = Vec::new();
    for one in ours {
        let Some(known) = at::<T>(&one.version, transaction)? else { continue };
        let now = by_id(&table);
        let is_other = |row: &&Record<T>| match now.get(row.id()) {
            Some(other) => other.text() != row.text() && told(Some(other)) != told(Some(row)),
            None => true,
        };
        let candidates: Vec<&Record<T>> = by_id(&known).into_values().filter(is_other).collect();
        let stale = stale(&candidates, &table, one, transaction)?;
        for row in stale {
            table.take(|view| view.id() == row.id());
            table.push_record(row);
            restored.push(format!("{} {}", T::FIELD.trim_end_matches('s'), row.id()));
        }
    }
    transaction.put_table(&table)?;
    Ok(restored)
}

/// The records of a table by id; of two with one id the first counts.
fn by_id<T: Row>(table: &Table<T>) -> BTreeMap<&str, &Record<T>> {
    let mut first = BTreeMap::new();
    for row in table.rows().filter(|row| !row.id().is_empty()) {
        first.entry(row.id()).or_insert(row);
    }
    first
}

/// Those of `candidates` that are again as they were in a version before ours, and not archived.
fn stale<'a, T: Row>(
    candidates: &[&'a Record<T>],
    table: &Table<T>,
    ours: &Ours,
    transaction: &Transaction<'_>,
) -> Result<Vec<&'a Record<T>>, Stop> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let archived = archived_ids::<T>(transaction)?;
    let mut stale: HashSet<&str> = HashSet::new();
    let mut last: Option<Vec<u8>> = None;
    for version in &ours.before {
        let document = transaction.document_of(version, T::PATH)?;
        let bytes = document.as_ref().map(|document| document.bytes().to_vec());
        if bytes == last {
            continue;
        }
        last = bytes;
        let Some(before) = at::<T>(version, transaction)? else { continue };
        for row in candidates.iter().filter(|row| !archived.contains(row.id())) {
            if told(before.get(row.id())) == told(table.get(row.id())) {
                stale.insert(row.id());
            }
        }
    }
    Ok(candidates.iter().filter(|row| stale.contains(row.id())).copied().collect())
}

/// What a record says, however it is laid out.
fn told<T: Row>(record: Option<&Record<T>>) -> Option<Value> {
    record.map(Record::raw)
}

/// The table in another version; `None` if it cannot be read there.
fn at<T: Row>(version: &Version, transaction: &Transaction<'_>) -> Result<Option<Table<T>>, Stop> {
    let Some(document) = transaction.document_of(version, T::PATH)? else {
        return Ok(Some(Table::empty(T::PATH)));
    };
    Ok(document.table::<T>(T::PATH).ok().map(|table| Table::clone(&table)))
}

fn archived_ids<T: Row>(transaction: &Transaction<'_>) -> Result<HashSet<String>, Stop> {
    let mut ids = HashSet::new();
    for path in archived::paths::<T>(transaction)? {
        if let Some(table) = readable(transaction.table_at::<T>(&path))? {
            ids.extend(table.rows().map(|row| row.id().to_owned()));
        }
    }
    Ok(ids)
}

fn readable<T>(read: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match read {
        Err(Stop::Fault(LedgerError::Document(_))) => Ok(None),
        read => read.map(Some),
    }
}
