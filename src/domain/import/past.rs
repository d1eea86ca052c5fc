//! What the history holds of a document whose text is lost.

use super::super::high_water::HighWater;
use super::super::hub::Marker;
use super::super::lock::Lock;
use super::super::record::{Record, View};
use super::super::table::{Row as _, Table};
use super::pieces::{Piece, Pieces, take_apart};
use super::record::found_record;
use super::rows::Imported;
use super::salvage::{salvage, sides};

/// A document as it could be read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The commit, as it is shown.
    pub commit: String,
    /// What it held.
    pub bytes: Vec<u8>,
}

/// What is found out about a document before the history is asked.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether text of it is lost: then the history is asked. `None` stands for what is no file.
    pub is_lost: fn(Option<&[u8]>) -> bool,
    /// Whether it can be read as it should be.
    pub is_whole: fn(&[u8]) -> bool,
}

impl Rules {
    /// Those of a table.
    #[must_use]
    pub fn of_table<T: Imported>() -> Self {
        Self { is_lost: is_lost::<T>, is_whole: is_whole::<T> }
    }

    /// Those of the marker: without an id it says nothing.
    #[must_use]
    pub fn of_marker() -> Self {
        Self { is_lost: |bytes| bytes.is_none_or(|bytes| !has_id(bytes)), is_whole: has_id }
    }

    /// Those of another document of one record.
    #[must_use]
    pub fn of_record<T: View>() -> Self {
        let is_lost = |bytes: Option<&[u8]>| bytes.is_none_or(|bytes| found_record::<T>("", bytes).is_none());
        Self { is_lost, is_whole: |bytes| record::<T>(bytes).is_some() }
    }
}

fn record<T: View>(bytes: &[u8]) -> Option<Record<T>> {
    Record::read("", "", std::str::from_utf8(bytes).ok()?, 0).ok()
}

fn has_id(bytes: &[u8]) -> bool {
    found_record::<Marker>("", bytes).is_some_and(|marker| !marker.id.is_empty())
}

/// Conflict markers that cut no record lose nothing: what neither side holds both took out.
fn is_lost<T: Imported>(bytes: Option<&[u8]>) -> bool {
    let Some(bytes) = bytes else { return true };
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return true;
    }
    take_apart::<T>(text).is_none() && (sides(text).is_none() || salvage::<T>(text).has_more)
}

/// One without its list holds nothing that anybody left there on purpose.
fn is_whole<T: Imported>(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    Table::<T>::read(T::PATH, bytes).is_ok()
        && take_apart::<T>(text.trim_start_matches('\u{feff}')).is_some_and(|pieces| pieces.lists > 0)
}

/// The records of an earlier version.
pub(super) fn pieces_of<T: Imported>(past: &Past) -> Pieces {
    let text = String::from_utf8_lossy(&past.bytes);
    take_apart::<T>(text.trim_start_matches('\u{feff}')).unwrap_or_default()
}

/// The highest tokens that the marks and the locks show, of as many versions of each as there are.
#[derive(Debug)]
pub struct Marks {
    table: Table<HighWater>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { table: Table::empty(HighWater::PATH) }
    }
}

impl Marks {
    /// Notes what a version of `tokens.json` shows, whatever state it is in.
    pub fn note_marks(&mut self, bytes: &[u8]) {
        for (name, mark) in rows::<HighWater>(bytes) {
            self.note(name, mark.token);
        }
    }

    /// The same of `locks.json`.
    pub fn note_locks(&mut self, bytes: &[u8]) {
        for (name, lock) in rows::<Lock>(bytes) {
            self.note(name, lock.token);
        }
    }

    fn note(&mut self, name: String, token: Option<u64>) {
        // One that can never have been given tells nothing.
        let mark = HighWater { name, token };
        if token.is_none()
            || mark.id_problem().is_some()
            || super::super::lock::token_problem(token).is_some()
        {
            return;
        }
        match self.table.get_mut(&mark.name) {
            Some(known) => known.edit(|known| known.token = known.token.max(token)),
            None => self.table.push(mark),
        }
    }

    /// The document that tells them; `None` if there are none.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.table.write().ok().filter(|_| !self.table.is_empty()).map(String::into_bytes)
    }
}

fn rows<T: Imported>(bytes: &[u8]) -> Vec<(String, T)> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    let pieces = take_apart::<T>(text).unwrap_or_else(|| salvage::<T>(text).pieces);
    let read = |piece: Piece| Some((piece.name?, serde_json::from_str(&piece.text).ok()?));
    pieces.rows.into_iter().filter_map(read).collect()
}
