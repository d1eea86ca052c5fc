//! What the history holds of a document whose text is lost.

use super::super::high_water::HighWater;
use super::super::hub::Marker;
use super::super::lock::Lock;
use super::super::record::{Record, View};
use super::super::table::{Progress, Row as _, Table};
use super::pieces::{Pieces, RawRecord, take_apart};
use super::record::found_record;
use super::rows::Imported;
use super::salvage::{conflict, salvage};
use super::table::{composed, version as newer_layout};
use serde_json::Value;
use std::collections::HashMap;

/// A document as it could be read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReadable {
    /// The commit, as it is shown.
    pub commit: String,
    /// What it held.
    pub bytes: Vec<u8>,
    /// Commits on other sides of merges whose text is left out, as they are shown.
    pub left_out: Vec<String>,
}

impl LastReadable {
    /// What a commit held.
    #[must_use]
    pub fn of(commit: &str, bytes: Vec<u8>) -> Self {
        Self { commit: commit.to_owned(), bytes, left_out: Vec::new() }
    }

    /// Takes in what another side of a merge held: what it changed since `base`, where both parted. Of a side
    /// that never was one history with this one, as another hub's, nothing is taken.
    pub fn join(&mut self, rules: &Rules, commit: &str, bytes: &[u8], base: Option<&[u8]>) {
        match base.and_then(|base| (rules.join)(&self.bytes, bytes, base)) {
            Some(joined) => {
                self.bytes = joined;
                self.commit.push_str(&format!(" and {commit}"));
            }
            None => self.left_out.push(commit.to_owned()),
        }
    }

    /// What is told of what is left out.
    pub(super) fn remark(&self) -> Option<String> {
        if self.left_out.is_empty() {
            return None;
        }
        let commits = self.left_out.join(", ");
        Some(format!(
            "on another side of a merge it holds another text, which is left out: {commits}; `--recover` puts jobs and messages of it back"
        ))
    }
}

/// What is found out about a document before the history is asked.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether text of it is lost: then the history is asked. `None` stands for what is no file.
    pub is_lost: fn(Option<&[u8]>) -> bool,
    /// Whether it can be read as it should be.
    pub is_whole: fn(&[u8]) -> bool,
    /// What two sides of a merge come to, and what lay there where they parted; `None` if one must be left out.
    pub join: Join,
}

/// Ours, theirs, and what lay there before.
type Join = fn(&[u8], &[u8], &[u8]) -> Option<Vec<u8>>;

impl Rules {
    /// Those of a table.
    #[must_use]
    pub fn of_table<T: Imported>() -> Self {
        Self { is_lost: is_lost::<T>, is_whole: is_whole::<T>, join: join_tables::<T> }
    }

    /// Those of the marker: without an id it says nothing.
    #[must_use]
    pub fn of_marker() -> Self {
        let is_lost = |bytes: Option<&[u8]>| bytes.is_none_or(|bytes| !has_id(bytes));
        Self { is_lost, is_whole: has_id, join: join_records }
    }

    /// Those of another document of one record.
    #[must_use]
    pub fn of_record<T: View>() -> Self {
        let is_lost = |bytes: Option<&[u8]>| bytes.is_none_or(|bytes| found_record::<T>("", bytes).is_none());
        Self { is_lost, is_whole: |bytes| record::<T>(bytes).is_some(), join: join_records }
    }
}

/// A record is taken from the side that changed it.
fn join_records(ours: &[u8], theirs: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    let [our, their, base] = [ours, theirs, base].map(|bytes| value(&String::from_utf8_lossy(bytes)));
    if their == base || their == our {
        return Some(ours.to_owned());
    }
    (our == base).then(|| theirs.to_owned())
}

/// What each side put in, took out or changed. Of a record that both changed the one to which more happened.
fn join_tables<T: Imported>(ours: &[u8], theirs: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    let [ours, theirs, base] = [ours, theirs, base].map(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        take_apart::<T>(text.trim_start_matches('\u{feff}')).unwrap_or_default()
    });
    if [&ours, &theirs].iter().any(|pieces| newer_layout(pieces).is_some()) {
        // Nobody here may write a part of it.
        return None;
    }
    let [our, their, before] = [&ours, &theirs, &base].map(by_id::<T>);
    let is_as_before = |id: &str, text: &str| before.get(id).is_some_and(|before| is_same(before, text));
    let mut rows = Vec::new();
    for piece in &ours.rows {
        let id = id_of::<T>(piece);
        let their_text = their.get(&id).filter(|_| !id.is_empty());
        let text = match their_text {
            Some(their) if is_as_before(&id, &piece.text) => *their,
            Some(their) if is_as_before(&id, their) => piece.text.as_str(),
            Some(their) if is_further::<T>(their, &piece.text) => *their,
            // They took it out.
            None if is_as_before(&id, &piece.text) && !T::IS_MARK => continue,
            _ => piece.text.as_str(),
        };
        let others = [Some(piece.text.as_str()), their_text.copied(), before.get(&id).copied()];
        let highest = others.into_iter().flatten().map(|text| progress::<T>(text)[0]).max();
        rows.push(RawRecord { name: piece.name.clone(), text: with_token::<T>(text, highest.unwrap_or(0)) });
    }
    let is_new = |piece: &&RawRecord| {
        let id = id_of::<T>(piece);
        !our.contains_key(&id) && (T::IS_MARK || !is_as_before(&id, &piece.text))
    };
    rows.extend(theirs.rows.iter().filter(is_new).cloned());
    Some(composed::<T>(&ours.members, &rows).into_bytes())
}

fn id_of<T: Imported>(piece: &RawRecord) -> String {
    let id = || serde_json::from_str::<T>(&piece.text).ok().map(|record| record.id().to_owned());
    piece.name.clone().or_else(id).unwrap_or_default()
}

fn by_id<T: Imported>(pieces: &Pieces) -> HashMap<String, &str> {
    pieces.rows.iter().map(|piece| (id_of::<T>(piece), piece.text.as_str())).collect()
}

fn progress<T: Imported>(text: &str) -> Progress {
    serde_json::from_str::<T>(text).map_or(Progress::default(), |record| record.progress())
}

/// Whether of two texts of one record the first has come further.
#[must_use]
pub fn is_further<T: Imported>(text: &str, than: &str) -> bool {
    progress::<T>(text) > progress::<T>(than)
}

/// A record under the highest token that any side gave: a script that wrote an older copy back gives none anew.
fn with_token<T: Imported>(text: &str, token: u64) -> String {
    if token <= progress::<T>(text)[0] {
        return text.to_owned();
    }
    let Ok(mut record) = Record::<T>::read(T::PATH, "", text, 0) else { return text.to_owned() };
    record.edit(|record| record.set_token(Some(token)));
    record.text().to_owned()
}

fn value(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()
}

/// Whether two texts say the same, however they are laid out.
fn is_same(one: &str, two: &str) -> bool {
    one == two || value(one).is_some_and(|one| Some(one) == value(two))
}

fn record<T: View>(bytes: &[u8]) -> Option<Record<T>> {
    Record::read("", "", std::str::from_utf8(bytes).ok()?, 0).ok()
}

fn has_id(bytes: &[u8]) -> bool {
    found_record::<Marker>("", bytes).is_some_and(|marker| !marker.id.is_empty())
}

/// Conflict markers of which all is there, and that cut no record, lose nothing: what neither side holds both
/// took out.
fn is_lost<T: Imported>(bytes: Option<&[u8]>) -> bool {
    let Some(bytes) = bytes else { return true };
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return true;
    }
    take_apart::<T>(text).is_none() && (conflict(text).is_none() || salvage::<T>(text).has_more)
}

/// One without its list holds nothing that anybody left there on purpose.
fn is_whole<T: Imported>(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    Table::<T>::read(T::PATH, bytes).is_ok()
        && take_apart::<T>(text.trim_start_matches('\u{feff}')).is_some_and(|pieces| pieces.lists > 0)
}

/// The records of an earlier version.
pub(super) fn pieces_of<T: Imported>(past: &LastReadable) -> Pieces {
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
            || super::super::lease::token_problem(token).is_some()
        {
            return;
        }
        match self.table.get_mut(&mark.name) {
            Some(known) => known.edit(|known| known.token = known.token.max(token)),
            None => self.table.push(mark),
        }
    }

    /// Has `marks` show none that is lower.
    pub fn raise(&self, marks: &mut Table<HighWater>) {
        for mark in self.table.rows() {
            match marks.get_mut(&mark.name) {
                Some(other) => other.edit(|other| other.token = other.token.max(mark.token)),
                None => marks.push(HighWater::clone(mark)),
            }
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
    let read = |piece: RawRecord| Some((piece.name?, serde_json::from_str(&piece.text).ok()?));
    pieces.rows.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::build_config::BuildConfig;
    use super::super::super::server::Server;
    use super::*;

    fn servers(rows: &[&str]) -> Vec<u8> {
        format!("{{\"servers\":[{}]}}", rows.join(",")).into_bytes()
    }

    #[test]
    fn of_two_sides_each_keeps_what_it_put_in_took_out_and_changed() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| format!("{{\"id\":\"{id}\"}}"));
        let (a_laid_out, b_joined) = ("{ \"id\": \"a\" }", r#"{"id":"b","machine":"m"}"#);
        for (base, ours, theirs, expected) in [
            (vec![&*a], vec![&*a, &*c], vec![&*a, &*d], vec![&*a, &*c, &*d]),
            (vec![&*a, &*b], vec![&*b], vec![a_laid_out, &*b, &*c], vec![&*b, &*c]),
            (vec![&*a, &*b], vec![&*a, &*b], vec![&*b], vec![&*b]),
            (vec![&*b], vec![&*b], vec![b_joined], vec![b_joined]),
            (vec![&*b], vec![b_joined], vec![&*b], vec![b_joined]),
            // Both changed it, or one that the other took out.
            (vec![], vec![&*b], vec![b_joined], vec![b_joined]),
            (vec![&*b], vec![], vec![b_joined], vec![b_joined]),
            (vec![&*b], vec![b_joined], vec![], vec![b_joined]),
        ] {
            let rules = Rules::of_table::<Server>();
            let mut past = LastReadable::of("one", servers(&ours));
            past.join(&rules, "two", &servers(&theirs), Some(&servers(&base)));
            let found = String::from_utf8(past.bytes.clone()).expect("text");
            let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")["servers"].clone();
            let expected = value(&String::from_utf8(servers(&expected)).expect("text"));
            assert_eq!((value(&found), &*past.commit), (expected, "one and two"));
            assert_eq!(past.remark(), None);
        }
    }

    #[test]
    fn the_highest_token_is_that_of_the_joined_record() {
        let job = |more: &str| format!(r#"{{"jobs":[{{"id":"a",{more}}}]}}"#);
        let (first, later) = (job(r#""status":"running","token":1"#), job(r#""status":"claimed","token":2"#));
        let stale = job(r#""status":"queued""#);
        for (ours, theirs, base, expected) in [
            (&first, &later, &stale, ("claimed", 2)),
            (&later, &first, &stale, ("claimed", 2)),
            // A script wrote an older copy back on one side.
            (&later, &stale, &later, ("queued", 2)),
            (&stale, &later, &later, ("queued", 2)),
        ] {
            let mut past = LastReadable::of("one", ours.clone().into_bytes());
            let rules = Rules::of_table::<super::super::super::job::Job>();
            past.join(&rules, "two", theirs.as_bytes(), Some(base.as_bytes()));
            let found: Value = serde_json::from_slice(&past.bytes).expect("JSON");
            let job = &found["jobs"][0];
            assert_eq!((job["status"].as_str(), job["token"].as_u64()), (Some(expected.0), Some(expected.1)));
        }
    }

    #[test]
    fn what_never_was_one_history_or_cannot_be_joined_is_left_out_and_told() {
        let (one, other) = (servers(&[r#"{"id":"a"}"#]), servers(&[r#"{"id":"b"}"#]));
        let newer = br#"{"version":7,"servers":[]}"#.to_vec();
        for (theirs, base) in [(&other, None), (&newer, Some(&*one))] {
            let mut past = LastReadable::of("one", one.clone());
            past.join(&Rules::of_table::<Server>(), "two", theirs, base);
            assert_eq!((&past.bytes, &*past.commit), (&one, "one"));
            assert!(past.remark().is_some_and(|told| told.contains("two")));
        }
    }

    #[test]
    fn marks_are_raised_and_never_lowered() {
        let mut known = Marks::default();
        known.note_marks(br#"{"tokens":{"a":{"token":3},"b":{"token":9}}}"#);
        known.note_locks(br#"{"locks":{"a":{"locked_by":null,"token":7},"c":{"locked_by":"x","token":1}}}"#);
        let text = br#"{"tokens":{"a":{"token":5},"b":{"token":11},"d":{"token":2}}}"#;
        let mut marks = Table::<HighWater>::read(HighWater::PATH, text).expect("reads");
        known.raise(&mut marks);
        let shown: Vec<_> = marks.rows().map(|mark| (&*mark.name, mark.token)).collect();
        assert_eq!(shown, [("a", Some(7)), ("b", Some(11)), ("d", Some(2)), ("c", Some(1))]);
    }

    #[test]
    fn a_record_comes_from_the_side_that_changed_it() {
        let rules = Rules::of_record::<BuildConfig>();
        for (ours, theirs, expected) in [
            ("{}", r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            (r#"{"a":1}"#, "{ }", Some(r#"{"a":1}"#)),
            (r#"{"a":1}"#, r#"{"a": 1}"#, Some(r#"{"a":1}"#)),
            (r#"{"a":1}"#, r#"{"a":2}"#, None),
        ] {
            let joined = (rules.join)(ours.as_bytes(), theirs.as_bytes(), b"{}");
            assert_eq!(joined.as_deref(), expected.map(str::as_bytes), "{ours} {theirs}");
        }
    }
}
