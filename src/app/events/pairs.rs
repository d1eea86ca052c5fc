//! Each record in which two versions of a table differ, with what it was before.
//!
//! A record that left the live table may be in an archive, and one that is new there may have come back from
//! one. One that cannot be read on one side is no record that is gone or new.

use super::{Changes, UnreadableChange};
use crate::app::archived::paths;
use crate::domain::record::Record;
use crate::domain::table::{Row, Table};
use crate::domain::tables::ARCHIVE;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, LedgerError};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// What became of a record.
pub(super) enum RecordChange<'a, T> {
    /// It is new.
    Added(&'a Record<T>),
    /// It is another than before.
    Changed(&'a Record<T>, &'a Record<T>),
    /// It came back from an archive, where it was the first.
    Back(&'a Record<T>, &'a Record<T>),
    /// It went to the archive of a month.
    Archived(&'a Record<T>, String),
    /// It is gone.
    Removed(&'a Record<T>),
}

impl<T> RecordChange<'_, T> {
    /// The record, as it is or was.
    pub(super) fn row(&self) -> &T {
        match self {
            Self::Added(row) | Self::Removed(row) | Self::Archived(row, _) => row,
            Self::Changed(_, after) | Self::Back(_, after) => after,
        }
    }
}

/// When a record began, of a table that has archives: what is in one of a month did not begin later.
pub(super) type Began<T> = fn(&T) -> Option<Timestamp>;

/// Tells each change of the live table of `T`.
pub(super) fn each<T: Row>(
    before: &impl Documents,
    after: &impl Documents,
    began: Option<Began<T>>,
    changes: &mut Changes,
    mut tell: impl FnMut(RecordChange<'_, T>, &mut Changes),
) -> Result<(), Abort> {
    if is_same(before, after, T::PATH)? {
        return Ok(());
    }
    let (Some(old), Some(new)) = (read::<T>(before, changes)?, read::<T>(after, changes)?) else {
        return Ok(());
    };
    let unknown = unreadable(&old, &new);
    for (id, why) in &unknown {
        changes.unknown.push(UnreadableChange {
            path: T::PATH.to_owned(),
            id: Some(id.clone()),
            why: why.clone(),
        });
    }
    // One without an id may be any.
    let is_unknown = |id: &str| unknown.contains_key(id) || unknown.contains_key("");
    let pairs = pairs(&old, &new);
    let of_side = |is_side: fn(&Pair<'_, T>) -> bool| {
        let side = pairs.iter().filter(|pair| began.is_some() && is_side(pair));
        let rows = side.filter_map(|(was, is)| is.or(*was)).filter(|row| !is_unknown(row.id()));
        rows.collect::<Vec<_>>()
    };
    let came = of_side(|(was, _)| was.is_none());
    let times: Option<Vec<Timestamp>> = began.and_then(|began| came.iter().map(|row| began(row)).collect());
    let oldest = times.and_then(|all| all.into_iter().min());
    let back = found_in_archives(before, &came, oldest, changes)?;
    let archived = found_in_archives(after, &of_side(|(_, is)| is.is_none()), None, changes)?;
    for (was, is) in pairs {
        match (was, is) {
            (Some(was), Some(is)) => tell(RecordChange::Changed(was, is), changes),
            (None, Some(is)) if !is_unknown(is.id()) => match back.of(is) {
                RecordPair::Here(_, archived) => tell(RecordChange::Back(archived, is), changes),
                RecordPair::Nowhere => tell(RecordChange::Added(is), changes),
                RecordPair::Unknown => {}
            },
            (Some(was), None) if !is_unknown(was.id()) => match archived.of(was) {
                RecordPair::Here(month, _) => tell(RecordChange::Archived(was, month.to_owned()), changes),
                RecordPair::Nowhere => tell(RecordChange::Removed(was), changes),
                RecordPair::Unknown => {}
            },
            _ => {}
        }
    }
    Ok(())
}

/// Whether a document of the main branch holds the same bytes on both sides.
pub(super) fn is_same(
    before: &impl Documents,
    after: &impl Documents,
    path: &str,
) -> Result<bool, LedgerError> {
    // One that is too large to be read is told of where it is read.
    let read = |found: Result<_, LedgerError>| match found {
        Err(LedgerError::Document(_)) => Ok(None),
        found => found.map(Some),
    };
    let old = read(before.document(before.main(), path))?;
    let new = read(after.document(after.main(), path))?;
    Ok(match (old, new) {
        (Some(Some(old)), Some(Some(new))) => old.bytes() == new.bytes(),
        (Some(None), Some(None)) => true,
        _ => false,
    })
}

fn read<T: Row>(documents: &impl Documents, changes: &mut Changes) -> Result<Option<Table<T>>, Abort> {
    match documents.table::<T>() {
        Err(Abort::Fault(LedgerError::Document(error))) => {
            changes.unknown.push(UnreadableChange { path: error.path, id: None, why: error.problem });
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// The records that cannot be read on one side and are otherwise on the other, with what is wrong.
fn unreadable<T: Row>(old: &Table<T>, new: &Table<T>) -> BTreeMap<String, String> {
    let mut unknown = BTreeMap::new();
    for broken in old.broken().chain(new.broken()) {
        let id = broken.id();
        let text = |table: &Table<T>| {
            table.broken().filter(|one| one.id() == id).map(|one| one.text().to_owned()).collect::<Vec<_>>()
        };
        if text(old) != text(new) {
            unknown.insert(id, broken.why().to_owned());
        }
    }
    unknown
}

/// What tells one record from others.
type Key = (String, Option<String>);

fn key<T: Row>(row: &T) -> Key {
    (row.id().to_owned(), row.apart())
}

type Pair<'a, T> = (Option<&'a Record<T>>, Option<&'a Record<T>>);

/// The records that differ, in the order of the later table; those that are gone come last.
fn pairs<'a, T: Row>(old: &'a Table<T>, new: &'a Table<T>) -> Vec<Pair<'a, T>> {
    let (_, old, new) = old.differing(new);
    let mut known: HashMap<Key, VecDeque<usize>> = HashMap::new();
    for (index, row) in old.iter().enumerate() {
        known.entry(key(&***row)).or_default().push_back(index);
    }
    let mut is_left = vec![true; old.len()];
    let mut pairs: Vec<Pair<'a, T>> = Vec::new();
    for row in new {
        let index = known.get_mut(&key(&***row)).and_then(VecDeque::pop_front);
        let was = index.and_then(|index| {
            is_left[index] = false;
            old.get(index)
        });
        if was.is_none_or(|was| was.text() != row.text()) {
            pairs.push((was.map(|was| &**was), Some(row)));
        }
    }
    let gone = old.iter().zip(is_left).filter(|(_, is_left)| *is_left);
    pairs.extend(gone.map(|(row, _)| (Some(&**row), None)));
    pairs
}

/// Where records are that were looked for in archives.
struct Archived<T> {
    found: HashMap<Key, (String, Record<T>)>,
    /// Whether an archive could not be read: what was not found may be in it.
    is_cut: bool,
}

enum RecordPair<'a, T> {
    Here(&'a str, &'a Record<T>),
    Nowhere,
    Unknown,
}

impl<T: Row> Archived<T> {
    fn of(&self, row: &T) -> RecordPair<'_, T> {
        match self.found.get(&key(row)) {
            Some((month, record)) => RecordPair::Here(month, record),
            None if self.is_cut => RecordPair::Unknown,
            None => RecordPair::Nowhere,
        }
    }
}

/// Looks for `rows` in the archives, the newest first, until all are found; none of them began before `oldest`.
fn found_in_archives<T: Row>(
    documents: &impl Documents,
    rows: &[&Record<T>],
    oldest: Option<Timestamp>,
    changes: &mut Changes,
) -> Result<Archived<T>, Abort> {
    let mut archived = Archived { found: HashMap::new(), is_cut: false };
    let mut wanted: HashSet<Key> = rows.iter().map(|row| key(&***row)).collect();
    let oldest = oldest.map(|at| format!("{ARCHIVE}/{}-{}.json", T::FIELD, at.month()));
    for path in if wanted.is_empty() { Vec::new() } else { paths::<T>(documents)? } {
        if wanted.is_empty() || oldest.as_ref().is_some_and(|oldest| path < *oldest) {
            break;
        }
        let table = match documents.table_at::<T>(&path) {
            Err(Abort::Fault(LedgerError::Document(error))) => {
                archived.is_cut = true;
                changes.unknown.push(UnreadableChange { path: error.path, id: None, why: error.problem });
                continue;
            }
            table => table?,
        };
        let month = path.trim_start_matches(&format!("{ARCHIVE}/{}-", T::FIELD)).trim_end_matches(".json");
        for row in table.rows() {
            let key = key(&**row);
            if wanted.remove(&key) {
                archived.found.insert(key, (month.to_owned(), row.clone()));
            }
        }
    }
    Ok(archived)
}
