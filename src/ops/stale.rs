//! Puts back what an older writer undid with a stale document.
//!
//! Such a writer reads a table, takes its time, and commits the table as it was with a change of its
//! own. Records that were added or changed by operations in between are gone, or are as they were
//! before; a merge by hand that keeps one side does the same to all documents. Whoever writes next compares:
//! a record that differs from what our last operation left, and is exactly what stood there before one of the
//! operations shortly before it, was not changed on purpose. One that was there for longer and is gone, or
//! that says something new, is left to who did that, and so is everything a commit does that reverts another.
//!
//! Jobs, messages and pauses come back as they were. Of locks see `locks.rs`.

mod locks;

use super::archived;
use crate::domain::high_water::HighWater;
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::pause::Pause;
use crate::domain::record::Record;
use crate::domain::table::{Row, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Document, History, LedgerError, Ours, Stop, Transaction, Version};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;

/// So much of earlier versions of one document is compared, the newest first: every write and every look at
/// the health of a fleet waits for it.
const COMPARED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What was undone since our last operation.
struct Undone {
    jobs: Restored<Job>,
    messages: Restored<Message>,
    pauses: Restored<Pause>,
    locks: Restored<Lock>,
    marks: Restored<HighWater>,
}

/// A table with what was undone in it put back.
struct Restored<T> {
    /// `None` if it cannot be read or written, which is a trouble of its own.
    table: Option<Table<T>>,
    /// What was undone, for people.
    told: Vec<String>,
}

/// Puts back what was undone since our last operation.
///
/// # Errors
/// When the store is damaged.
pub(super) fn put_back(transaction: &mut Transaction<'_>) -> Result<(), Stop> {
    let Some(undone) = look(transaction, transaction.now())? else { return Ok(()) };
    put(&undone.jobs, transaction)?;
    put(&undone.messages, transaction)?;
    put(&undone.pauses, transaction)?;
    put(&undone.locks, transaction)?;
    put(&undone.marks, transaction)?;
    let told = undone.told();
    if !told.is_empty() {
        transaction.describe(format!("put back: {} as an older writer found it", told.join(", ")));
    }
    Ok(())
}

/// What the next write will put back, for people.
///
/// # Errors
/// When the store is damaged.
pub fn undone(hub: &impl History, now: Timestamp) -> Result<Vec<String>, Stop> {
    Ok(look(hub, now)?.map(|undone| undone.told()).unwrap_or_default())
}

fn look(hub: &impl History, now: Timestamp) -> Result<Option<Undone>, Stop> {
    let ours = hub.below_foreign()?;
    if ours.is_empty() {
        return Ok(None);
    }
    let locks = restore::<Lock>(&ours, hub, |lock| locks::revived(lock, now))?;
    let mut pauses = restore::<Pause>(&ours, hub, |pause| Some(pause.clone()))?;
    let mut jobs = restore::<Job>(&ours, hub, |job| Some(job.clone()))?;
    let mut messages = restore::<Message>(&ours, hub, |message| Some(message.clone()))?;
    let marks = locks::raised(&ours, hub, locks.table.as_ref())?;
    // What was archived is over, and a job would be done twice.
    withdraw(&ours, hub, &mut jobs, |hub| archived_ids::<Job>(hub).map(Some))?;
    withdraw(&ours, hub, &mut messages, |hub| archived_ids::<Message>(hub).map(Some))?;
    // A pause has no time of its own: the same words by themselves may be meant.
    let with_others = [&jobs.told, &messages.told, &pauses.told, &locks.told, &marks.told];
    if with_others.iter().any(|told| !told.is_empty()) {
        withdraw(&ours, hub, &mut pauses, |_| Ok(None))?;
    }
    Ok(Some(Undone { jobs, messages, marks, pauses, locks }))
}

impl Undone {
    fn told(&self) -> Vec<String> {
        let Self { jobs, messages, pauses, locks, marks } = self;
        [&jobs.told, &messages.told, &pauses.told, &locks.told, &marks.told]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

fn put<T: Row>(restored: &Restored<T>, transaction: &mut Transaction<'_>) -> Result<(), Stop> {
    restored.table.as_ref().map_or(Ok(()), |table| transaction.put_table(table))
}

/// The table of `T` with what was undone in it, as `revived` has it come back.
fn restore<T: Row>(
    ours: &[Ours],
    hub: &impl History,
    revived: impl Fn(&Record<T>) -> Option<Record<T>>,
) -> Result<Restored<T>, Stop> {
    let mut told_of = Vec::new();
    let Some(mut table) = writable::<T>(hub)? else { return Ok(Restored { table: None, told: told_of }) };
    for one in ours {
        let Some(known) = at::<T>(&one.version, hub)? else { continue };
        let now = by_id(&table);
        let is_other = |row: &&Record<T>| match now.get(row.id()) {
            Some(other) => other.text() != row.text() && told(Some(other)) != told(Some(row)),
            None => true,
        };
        let candidates: Vec<&Record<T>> = by_id(&known).into_values().filter(is_other).collect();
        let stale = stale(&candidates, &table, one, hub)?;
        for row in stale.into_iter().filter_map(&revived) {
            table.take(|view| view.id() == row.id());
            table.push_record(&row);
            told_of.push(format!("{} {}", T::FIELD.trim_end_matches('s'), row.id()));
        }
    }
    Ok(Restored { table: Some(table), told: told_of })
}

/// Takes out what an operation took out and is there again exactly as it was: all of it, or what `over`
/// names. What has no id of its own stays: nothing tells which of several it would be.
fn withdraw<T: Row, H: History>(
    ours: &[Ours],
    hub: &H,
    restored: &mut Restored<T>,
    over: impl Fn(&H) -> Result<Option<HashSet<String>>, Stop>,
) -> Result<(), Stop> {
    let Some(table) = &mut restored.table else { return Ok(()) };
    for one in ours {
        let Some(known) = at::<T>(&one.version, hub)? else { continue };
        let is_alone = |id: &str| table.rows().filter(|row| row.id() == id).count() == 1;
        let is_new = |id: &&str| known.get(id).is_none();
        let new: BTreeMap<&str, &Record<T>> = by_id(table).into_iter().filter(|(id, _)| is_new(id)).collect();
        if new.is_empty() {
            continue;
        }
        // In the order of ids, so that whoever does it writes the same.
        let mut back: BTreeSet<String> = BTreeSet::new();
        each_before::<T>(one, hub, |before| {
            let as_before = new.iter().filter(|(id, row)| told(before.get(id)) == told(Some(row)));
            back.extend(as_before.map(|(id, _)| (*id).to_owned()));
        })?;
        back.retain(|id| is_alone(id));
        if back.is_empty() {
            continue;
        }
        // Read only where it is asked for: an archive may be long.
        if let Some(ids) = over(hub)? {
            back.retain(|id| ids.contains(id));
        }
        table.take(|view| back.contains(view.id()));
        let what = T::FIELD.trim_end_matches('s');
        restored.told.extend(back.iter().map(|id| format!("no {what} {id}")));
    }
    Ok(())
}

/// Shows the table in each version before ours that differs from the one shown before, the newest first, as
/// far as the bound goes.
fn each_before<T: Row>(ours: &Ours, hub: &impl History, mut look: impl FnMut(&Table<T>)) -> Result<(), Stop> {
    let mut last: Option<Option<Rc<Document>>> = None;
    let mut left = COMPARED_BYTES_MAX;
    for version in &ours.before {
        let Some(document) = earlier(version, T::PATH, hub)? else { continue };
        let bytes = |document: &Option<Rc<Document>>| document.as_ref().map(|it| it.bytes().to_vec());
        if last.as_ref().is_some_and(|last| bytes(last) == bytes(&document)) {
            continue;
        }
        let size = document.as_ref().map_or(0, |document| document.bytes().len());
        if size > left {
            break;
        }
        left -= size;
        if let Some(table) = table_of(document.as_ref()) {
            look(&table);
        }
        last = Some(document);
    }
    Ok(())
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
    hub: &impl History,
) -> Result<Vec<&'a Record<T>>, Stop> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let archived = archived_ids::<T>(hub)?;
    let mut stale: HashSet<&str> = HashSet::new();
    each_before::<T>(ours, hub, |before| {
        let live = candidates.iter().filter(|row| !archived.contains(row.id()));
        let as_before = live.filter(|row| told(before.get(row.id())) == told(table.get(row.id())));
        stale.extend(as_before.map(|row| row.id()));
    })?;
    Ok(candidates.iter().filter(|row| stale.contains(row.id())).copied().collect())
}

/// What a record says, however it is laid out.
fn told<T: Row>(record: Option<&Record<T>>) -> Option<Value> {
    record.map(Record::raw)
}

/// The table in another version; `None` if it cannot be read there.
fn at<T: Row>(version: &Version, hub: &impl History) -> Result<Option<Table<T>>, Stop> {
    Ok(earlier(version, T::PATH, hub)?.and_then(|document| table_of(document.as_ref())))
}

/// The table in a document, empty where there is none; `None` if it cannot be read.
fn table_of<T: Row>(document: Option<&Rc<Document>>) -> Option<Table<T>> {
    let Some(document) = document else { return Some(Table::empty(T::PATH)) };
    document.table::<T>(T::PATH).ok().map(|table| Table::clone(&table))
}

/// A document of another version, if there was one; `None` if what was there could not be read: that was
/// mended since, and must stop no write of now.
fn earlier(version: &Version, path: &str, hub: &impl History) -> Result<Option<Option<Rc<Document>>>, Stop> {
    readable(hub.document_of(version, path).map_err(Stop::from))
}

fn archived_ids<T: Row>(hub: &impl History) -> Result<HashSet<String>, Stop> {
    let mut ids = HashSet::new();
    for path in archived::paths::<T>(hub)? {
        if let Some(table) = readable(hub.table_at::<T>(&path))? {
            ids.extend(table.rows().map(|row| row.id().to_owned()));
        }
    }
    Ok(ids)
}

/// The table of `T`; `None` if it cannot be read, or not be written by us: what was undone in it must stop no
/// other write.
fn writable<T: Row>(hub: &impl History) -> Result<Option<Table<T>>, Stop> {
    Ok(readable(hub.table::<T>())?.filter(|table| table.newer_layout().is_none()))
}

fn readable<T>(read: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match read {
        Err(Stop::Fault(LedgerError::Document(_))) => Ok(None),
        read => read.map(Some),
    }
}
