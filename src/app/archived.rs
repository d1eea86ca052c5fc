//! What an id names: a live record, else the one of that id in the archives.
//!
//! The one rule by which records are looked up. Whoever looks into the live document alone takes what
//! was moved for gone. The archives are read only when the live document does not know the id, the newest
//! first. What is to change, or is needed by what is not finished, comes back into the live document: the
//! archive itself is never changed but by what enters and leaves it.

use crate::domain::job::Job;
use crate::domain::record::Record;
use crate::domain::table::{RecordTrouble, Row, Table};
use crate::domain::tables::ARCHIVE;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, LedgerError, Transaction};
use serde_json::Value;
use std::collections::HashSet;

/// The most archives that are read; a hub makes two a month.
pub(super) const ARCHIVES_MAX: usize = 240;

/// What an id names.
#[derive(Debug)]
pub enum IdMatch<T> {
    Record(Record<T>),
    /// One that cannot be read, and what there is of it.
    Unreadable(Value, RecordTrouble),
    Nothing,
}

impl<T: Clone> IdMatch<T> {
    /// The record, or how it is refused: what cannot be read as `broken` says, what is not there as `missing`.
    ///
    /// # Errors
    /// The refusal.
    pub fn or_no<E>(
        self,
        broken: impl Fn(&RecordTrouble) -> E,
        missing: impl FnOnce() -> E,
    ) -> Result<Record<T>, E> {
        match self {
            Self::Record(record) => Ok(record),
            Self::Unreadable(_, trouble) => Err(broken(&trouble)),
            Self::Nothing => Err(missing()),
        }
    }
}

/// What `id` names.
///
/// # Errors
/// When the live document cannot be read, or an archive that may hold the record.
pub fn look_up<T: Row>(documents: &impl Documents, id: &str) -> Result<IdMatch<T>, Abort> {
    let live: Table<T> = documents.table()?;
    match here(&live, id) {
        IdMatch::Nothing => {
            Ok(find(documents, |archive| some(here(archive, id)))?.unwrap_or(IdMatch::Nothing))
        }
        named => Ok(named),
    }
}

/// What `id` names in one table.
fn here<T: Row>(table: &Table<T>, id: &str) -> IdMatch<T> {
    if let Some(record) = table.get(id) {
        return IdMatch::Record(record.clone());
    }
    match table.unreadables().into_iter().find(|(trouble, _)| trouble.id == id) {
        Some((trouble, broken)) => IdMatch::Unreadable(trouble.shown(broken.raw()), trouble),
        None => IdMatch::Nothing,
    }
}

fn some<T>(named: IdMatch<T>) -> Option<IdMatch<T>> {
    if matches!(named, IdMatch::Nothing) { None } else { Some(named) }
}

/// The paths of the archives of `T`, the newest first.
///
/// # Errors
/// When the store is damaged.
pub fn paths<T: Row>(documents: &(impl Documents + ?Sized)) -> Result<Vec<String>, Abort> {
    let begin = format!("{}-", T::FIELD);
    let mut names = documents.list(ARCHIVE)?;
    names.retain(|name| name.starts_with(&begin) && name.ends_with(".json"));
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names.into_iter().take(ARCHIVES_MAX).map(|name| format!("{ARCHIVE}/{name}")).collect())
}

/// The first thing that `look` finds in an archive, the newest first. One that cannot be read counts only
/// when none of the others has it: then nobody knows that it is not there.
fn find<T: Row, A>(
    documents: &impl Documents,
    look: impl Fn(&Table<T>) -> Option<A>,
) -> Result<Option<A>, Abort> {
    let mut unreadable = None;
    for path in paths::<T>(documents)? {
        match documents.table_at::<T>(&path) {
            Ok(table) => match look(&table) {
                None => {}
                found => return Ok(found),
            },
            Err(stop @ Abort::Fault(LedgerError::Document(_))) => unreadable = unreadable.or(Some(stop)),
            Err(stop) => return Err(stop),
        }
    }
    unreadable.map_or(Ok(None), Err)
}

/// Every record, live or archived, each once, of archives only those that may hold one from `since` on.
///
/// # Errors
/// When a document cannot be read.
pub fn all<T: Row>(documents: &impl Documents, since: Option<Timestamp>) -> Result<Vec<Record<T>>, Abort> {
    let live: Table<T> = documents.table()?;
    let mut tables = Vec::new();
    // An archive is named by the month in which its records were over: what is in it did not begin later.
    let oldest = since.map(|since| format!("{ARCHIVE}/{}-{}.json", T::FIELD, since.month()));
    for path in paths::<T>(documents)? {
        if oldest.as_ref().is_none_or(|oldest| path >= *oldest) {
            tables.push(documents.table_at::<T>(&path)?);
        }
    }
    // In the order in which they came: the oldest archive first.
    let rows: Vec<&Record<T>> = tables.iter().rev().flat_map(Table::rows).collect();
    let known: HashSet<&str> = live.rows().map(|row| row.id()).collect();
    let archived = rows.into_iter().filter(|row| row.id().is_empty() || !known.contains(row.id()));
    Ok(archived.chain(live.rows()).cloned().collect())
}

/// The id of the newest archived record of which `is_meant`.
///
/// # Errors
/// When an archive that may hold it cannot be read.
pub(super) fn id_where<T: Row>(
    documents: &impl Documents,
    is_meant: impl Fn(&T) -> bool,
) -> Result<Option<String>, Abort> {
    find::<T, _>(documents, |archive| {
        archive.rows().rev().find(|row| is_meant(row)).map(|row| row.id().to_owned())
    })
}

/// Archives that records were taken out of. Unless they are put, these are in two documents.
pub(super) struct ArchivesLeft<T>(Vec<Table<T>>);

impl<T> Default for ArchivesLeft<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Row> ArchivesLeft<T> {
    /// Writes them.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn put(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        self.0.iter().try_for_each(|archive| transaction.put_table(archive))
    }
}

/// Moves the record `id` from its archive to the end of `live`, unless that knows it; `true` if it did.
/// Nothing is written before what is left is put.
///
/// # Errors
/// When an archive that may hold it cannot be read.
pub(super) fn bring_back<T: Row>(
    id: &str,
    live: &mut Table<T>,
    left: &mut ArchivesLeft<T>,
    transaction: &Transaction<'_>,
) -> Result<bool, Abort> {
    if id.is_empty() || live.holds(id) {
        return Ok(false);
    }
    let holds = |archive: &Table<T>| archive.get(id).is_some().then(|| archive.clone());
    // What was taken out of an archive before is not yet missing where it is read.
    let touched = left.0.iter().find_map(holds);
    let found = touched.map_or_else(|| find(transaction, holds), |archive| Ok(Some(archive)));
    let Some(mut archive) = found? else { return Ok(false) };
    // Of several with one id the first is meant, here as everywhere.
    let mut is_first = true;
    let taken = archive.take(|row| row.id() == id && std::mem::take(&mut is_first));
    taken.iter().for_each(|record| live.push_record(record));
    left.0.retain(|one| one.path() != archive.path());
    left.0.push(archive);
    Ok(true)
}

/// The same with a job and, unless they are live, those that it needs and what those need in turn: a job
/// that is put back would wait for ever for one that nobody finds.
///
/// # Errors
/// When an archive that may hold one of them cannot be read.
pub(super) fn bring_back_job(
    id: &str,
    live: &mut Table<Job>,
    left: &mut ArchivesLeft<Job>,
    transaction: &Transaction<'_>,
) -> Result<(), Abort> {
    let mut open = vec![id.to_owned()];
    while let Some(id) = open.pop() {
        // What was live has its needs beside it, and what came back is followed once.
        if bring_back(&id, live, left, transaction)? {
            open.extend(live.get(&id).into_iter().flat_map(|job| job.all_needs()).map(str::to_owned));
        }
    }
    Ok(())
}
