//! One version of a table after the other, as a walk through history meets them.
//!
//! A commit changes few records of a long table, so only the stretch of text in which a version
//! differs from the one before is read; all other records are shared with it. What is read is
//! exactly what [`Table::read`] reads: wherever that is not plain to see, it is asked.

use super::{BRACKETS_AROUND, ROWS_MAX, Row, Table, members, read_row};
use crate::domain::json::{self, DocumentError};
use serde_json::value::RawValue;
use std::ops::Range;
use std::sync::Arc;

/// How much is compared at once when two texts are laid side by side.
const COMPARED_AT_ONCE: usize = 4096;

/// The versions of one table, the newest that could be read at hand.
#[derive(Debug, Clone)]
pub struct Versions<T> {
    table: Arc<Table<T>>,
    text: String,
    /// Where its records lie in the text, if that is known.
    places: Option<Places>,
}

/// Where a list of records lies in the text of a document.
#[derive(Debug, Clone)]
struct Places {
    /// Between the brackets of the list.
    list: Range<usize>,
    /// Each record.
    rows: Vec<Range<usize>>,
}

impl<T: Row> Versions<T> {
    /// Of a table that does not exist yet.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self { table: Arc::new(Table::empty(path)), text: String::new(), places: None }
    }

    /// The newest version that could be read.
    #[must_use]
    pub fn table(&self) -> &Arc<Table<T>> {
        &self.table
    }

    /// The document is gone.
    pub fn remove(&mut self) {
        *self = Self::new(self.table.path());
    }

    /// Reads the next version; one that cannot be read changes nothing.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), DocumentError> {
        if let Some(next) = text_of(self, bytes).and_then(|text| self.follow(text)) {
            *self = next;
            return Ok(());
        }
        let table = Arc::new(Table::read_after(self.table.path(), bytes, &self.table)?);
        let text = text_of(self, bytes).unwrap_or_default();
        *self = Self { places: places::<T>(text, &table), text: text.to_owned(), table };
        Ok(())
    }

    /// The next version from the stretch that differs, if both versions agree on everything
    /// around whole records.
    fn follow(&self, text: &str) -> Option<Self> {
        let places = self.places.as_ref()?;
        let (old, new) = (self.text.as_bytes(), text.as_bytes());
        let begin = shared_front(old, new);
        let shorter = old.len().min(new.len()) - begin;
        // Where in the old text the shared end begins.
        let end = old.len() - shared_back(old, new).min(shorter);
        if begin < places.list.start || end > places.list.end {
            return None;
        }
        let front = places.rows.partition_point(|row| row.end <= begin);
        let back = places.rows.partition_point(|row| row.start < end);
        let from = front
            .checked_sub(1)
            .and_then(|last| places.rows.get(last))
            .map_or(places.list.start, |row| row.end);
        let to = places.rows.get(back).map_or(places.list.end, |row| row.start);
        // Everything after the stretch lies as much further on as the text became longer.
        let moved = |at: usize| (at + new.len()).checked_sub(old.len());
        let stretch = text.get(from..moved(to)?)?;
        let items = items_between(stretch, front > 0, back < places.rows.len())?;
        if json::is_too_deep(items, BRACKETS_AROUND) {
            return None;
        }
        let list = format!("[{items}]");
        let inside = json::within(text, items)?;
        let items: Vec<&RawValue> = serde_json::from_str(&list).ok()?;
        let mut rows = Vec::with_capacity(front + items.len() + places.rows.len() - back);
        let mut lie = Vec::with_capacity(rows.capacity());
        rows.extend(self.table.rows.get(..front)?.iter().cloned());
        lie.extend(places.rows.get(..front)?.iter().cloned());
        for item in items {
            let place = (self.table.path(), T::FIELD);
            rows.push(Arc::new(read_row(None, place, item.get(), false).ok()?));
            let start = inside + json::within(&list, item.get())?.checked_sub(1)?;
            lie.push(start..start + item.get().len());
        }
        rows.extend(self.table.rows.get(back..)?.iter().cloned());
        for row in places.rows.get(back..)? {
            lie.push(moved(row.start)?..moved(row.end)?);
        }
        if rows.len() > ROWS_MAX {
            return None;
        }
        let table = Table {
            path: self.table.path.clone(),
            members: self.table.members.clone(),
            rows,
            broken: Vec::new(),
            spellings: Vec::new(),
            foreign: false,
            changed: false,
            newer: self.table.newer.clone(),
        };
        let places = Places { list: places.list.start..moved(places.list.end)?, rows: lie };
        Some(Self { table: Arc::new(table), text: text.to_owned(), places: Some(places) })
    }
}

/// What stands between records that stay, without the commas towards them; `None` when the commas
/// are not where they belong.
fn items_between(stretch: &str, after_some: bool, before_some: bool) -> Option<&str> {
    let stretch = stretch.trim();
    if stretch.is_empty() {
        // Two records that stay need a comma between them.
        return (!after_some || !before_some).then_some(stretch);
    }
    let stretch = if after_some { stretch.strip_prefix(',')? } else { stretch };
    let stretch = if before_some { stretch.strip_suffix(',')? } else { stretch };
    Some(stretch.trim()).filter(|items| !items.is_empty())
}

/// The text of a document; `None` where it is none, or stands for bytes that are none.
fn text_of<'a, T: Row>(versions: &Versions<T>, bytes: &'a [u8]) -> Option<&'a str> {
    json::body(versions.table.path(), std::str::from_utf8(bytes).ok()?).ok()
}

/// Where the records of a document lie; `None` where they are no list, or some cannot be read.
fn places<T: Row>(text: &str, table: &Table<T>) -> Option<Places> {
    if T::BY_NAME || table.foreign || !table.broken.is_empty() {
        return None;
    }
    let list = if text.starts_with('[') {
        text
    } else {
        let members = members(table.path(), "", text).ok()?;
        members.into_iter().find(|(key, _)| key == T::FIELD).map(|(_, raw)| raw)?
    };
    if !list.starts_with('[') {
        return None;
    }
    let start = json::within(text, list)?;
    let items: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let at = json::within(text, item.get())?;
        rows.push(at..at + item.get().len());
    }
    Some(Places { list: start + 1..start + list.len() - 1, rows })
}

/// How many bytes two texts have in common at their beginning.
fn shared_front(a: &[u8], b: &[u8]) -> usize {
    let pieces = a.chunks_exact(COMPARED_AT_ONCE).zip(b.chunks_exact(COMPARED_AT_ONCE));
    let whole = pieces.take_while(|(a, b)| a == b).count() * COMPARED_AT_ONCE;
    let (a, b) = (a.get(whole..).unwrap_or_default(), b.get(whole..).unwrap_or_default());
    whole + a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How many bytes two texts have in common at their end.
fn shared_back(a: &[u8], b: &[u8]) -> usize {
    let pieces = a.rchunks_exact(COMPARED_AT_ONCE).zip(b.rchunks_exact(COMPARED_AT_ONCE));
    let whole = pieces.take_while(|(a, b)| a == b).count() * COMPARED_AT_ONCE;
    let (a, b) = (a.iter().rev().skip(whole), b.iter().rev().skip(whole));
    whole + a.zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::fmt::Write as _;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Thing {
        #[serde(default)]
        id: String,
        #[serde(default)]
        n: u64,
    }

    impl Row for Thing {
        const PATH: &'static str = "things.json";
        const FIELD: &'static str = "things";
        fn id(&self) -> &str {
            &self.id
        }
    }

    fn seen(table: &Table<Thing>) -> String {
        let mut text = String::new();
        for row in table.rows() {
            write!(text, "{}={} {}|", row.id, row.n, row.text()).expect("to memory");
        }
        format!("{text}{:?}{:?}", table.newer, table.to_text())
    }

    /// Whatever follows whatever, it is read as if nothing had been before it.
    #[test]
    fn a_version_that_follows_another_is_read_as_if_it_stood_alone() {
        let texts = [
            r#"{"things": [{"id":"a"}, {"id":"b"}, {"id":"c"}]}"#,
            r#"{"things": [{"id":"a"}, {"id":"b","n":1}, {"id":"c"}]}"#,
            r#"{"things": [{"id":"a"}, {"id":"b","n":12}, {"id":"c"}, {"id":"d"}]}"#,
            r#"{"things": [{"id":"b"}, {"id":"c"}]}"#,
            r#"{"things": [{"id":"b"} , {"id":"c"},{"id":"c"}]}"#,
            r#"{"things": [{"id":"b"} , {"id":"c"}],"x":1}"#,
            r#"{"things": [{"id":"b"} , {"id":"c"}],"version":2}"#,
            r#"{"version":2,"things": [{"id":"c"}]}"#,
            r#"{"version":2,"things": []}"#,
            r#"{"things": [ ]}"#,
            r#"{"things": null}"#,
            r#"[{"id":"a"},{"id":"b"}]"#,
            r#"[{"id":"a"},{"id":"b"},{"id":"c"}]"#,
            r#"{"x":[{"id":"a"}],"things": [{"id":"a"}]}"#,
            r#"{"x":[{"id":"a"}],"things": [{"id":"a"},{"id":"b","deep":[[[1]]]}]}"#,
            "\u{feff}{\"things\": [{\"id\":\"ü\"}, {\"id\":\"ý\"}]}\n",
            "{\"things\": [{\"id\":\"ý\"}, {\"id\":\"ý\"}]}\n",
            // None of these can be read.
            r#"{"things": [{"id":"a"}, {"id":"b"}, {"id":"c"},]}"#,
            r#"{"things": [{"id":"a"},, {"id":"b"}, {"id":"c"}]}"#,
            r#"{"things": [{"id":"a"} {"id":"b"}, {"id":"c"}]}"#,
            r#"{"things": [,{"id":"a"}, {"id":"b"}, {"id":"c"}]}"#,
            r#"{"things": [{"id":"a"}, {"id":"b"}],"y":[{"id":"c"}]"#,
            r#"{"things": [{"id":"a"}, {"id":["b"]}, {"id":"c"}]}"#,
            "{\"things\": [{\"id\":\"a\"},\n<<<<<<< ours\n {\"id\":\"b\"}, {\"id\":\"c\"}]}",
            "",
        ];
        for first in texts {
            for then in texts {
                let mut versions = Versions::<Thing>::new(Thing::PATH);
                drop(versions.read(first.as_bytes()));
                let before = seen(versions.table());
                let read = versions.read(then.as_bytes());
                match Table::<Thing>::read(Thing::PATH, then.as_bytes()) {
                    Ok(alone) => {
                        assert_eq!(read, Ok(()), "{first} -> {then}");
                        assert_eq!(seen(versions.table()), seen(&alone), "{first} -> {then}");
                    }
                    Err(error) => {
                        assert_eq!(read, Err(error), "{first} -> {then}");
                        assert_eq!(seen(versions.table()), before, "{first} -> {then}");
                    }
                }
            }
        }
    }

    #[test]
    fn records_that_stay_are_shared_and_what_differs_is_told() {
        let text = |ids: &[u64]| {
            let rows: Vec<String> = ids.iter().map(|n| format!("{{\"id\": \"{n}\", \"n\": {n}}}")).collect();
            format!("{{\n  \"things\": [\n    {}\n  ]\n}}\n", rows.join(",\n    "))
        };
        let mut ids: Vec<u64> = (0..5000).collect();
        let mut versions = Versions::<Thing>::new(Thing::PATH);
        versions.read(text(&ids).as_bytes()).expect("reads");
        for (at, what) in [(0, 7), (2500, 7), (4999, 7), (4998, 123_456_789)] {
            let before = Arc::clone(versions.table());
            ids[at] = what;
            let next = versions.follow(text(&ids).trim()).expect("whole records differ");
            let alone = Table::read(Thing::PATH, text(&ids).as_bytes()).expect("reads");
            assert_eq!(seen(&next.table), seen(&alone));
            let (place, old, new) = before.differing(&next.table);
            assert_eq!((place, old.len(), new.len()), (at, 1, 1));
            versions = next;
        }
        ids.push(1);
        ids.remove(17);
        let before = Arc::clone(versions.table());
        versions.read(text(&ids).as_bytes()).expect("reads");
        let (place, old, new) = before.differing(versions.table());
        assert_eq!((place, old.len(), new.len()), (17, 4983, 4983));
    }

    /// Where the records lie is known after each step, so that the next can follow.
    #[test]
    fn versions_follow_one_another_without_end() {
        let text = |ids: &[&str]| {
            let rows: Vec<String> = ids.iter().map(|id| format!("{{\"id\":\"{id}\"}}")).collect();
            format!("{{\"things\":[{}]}}", rows.join(", "))
        };
        let steps: [&[&str]; 7] = [
            &["a", "b", "c", "d"],
            &["a", "long", "c", "d"],
            &["a", "long", "c", "d", "e", "f"],
            &["a", "longer", "d", "e", "x"],
            &["x", "a", "y", "e", "x"],
            &["x", "a", "y", "e"],
            &["z", "a", "y", "f"],
        ];
        let mut versions = Versions::<Thing>::new(Thing::PATH);
        versions.read(text(steps[0]).as_bytes()).expect("reads");
        let mut followed = 0;
        for ids in &steps[1..] {
            let text = text(ids);
            followed += usize::from(versions.follow(&text).is_some());
            versions.read(text.as_bytes()).expect("reads");
            let alone = Table::read(Thing::PATH, text.as_bytes()).expect("reads");
            assert_eq!(seen(versions.table()), seen(&alone), "{text}");
            let rows = versions.places.as_ref().map(|places| places.rows.clone());
            assert_eq!(rows, places::<Thing>(&text, &alone).map(|places| places.rows), "{text}");
        }
        assert!(followed >= 4, "{followed}");
    }

    /// What a commit usually does is read from the stretch that differs.
    #[test]
    fn records_that_come_go_and_change_are_followed() {
        for (before, after, follows) in [
            (r#"{"things":[{"id":"a"}]}"#, r#"{"things":[{"id":"a"}, {"id":"b"}]}"#, true),
            (r#"{"things":[{"id":"b"}]}"#, r#"{"things":[{"id":"a"}, {"id":"b"}]}"#, true),
            (r#"{"things":[]}"#, r#"{"things":[{"id":"a"}]}"#, true),
            (r#"{"things":[{"id":"a"}]}"#, r#"{"things":[]}"#, true),
            (r#"{"things":[{"id":"a"}, {"id":"b"}]}"#, r#"{"things":[{"id":"b"}]}"#, true),
            (r#"{"things":[{"id":"a"}, {"id":"b"}]}"#, r#"{"things":[{"id":"a"}]}"#, true),
            (
                r#"{"things":[{"id":"a"}, {"id":"b"}, {"id":"c"}]}"#,
                r#"{"things":[{"id":"a"}, {"id":"c"}]}"#,
                true,
            ),
            (
                r#"{"things":[{"id":"a"},{"id":"a"},{"id":"a"}]}"#,
                r#"{"things":[{"id":"a"},{"id":"a"}]}"#,
                true,
            ),
            (r#"{"things":[{"id":"a"},{"id":"b"}]}"#, r#"{"things":[{"id":"a"}{"id":"b"}]}"#, false),
            (r#"{"things":[{"id":"a"}]}"#, r#"{"things":[{"id":"a"}],"x":1}"#, false),
            (r#"{"things":[{"id":"a"}]}"#, r#"{"thangs":[{"id":"a"}]}"#, false),
        ] {
            let mut versions = Versions::<Thing>::new(Thing::PATH);
            versions.read(before.as_bytes()).expect("reads");
            let next = versions.follow(after);
            assert_eq!(next.is_some(), follows, "{before} -> {after}");
            let alone = Table::<Thing>::read(Thing::PATH, after.as_bytes());
            let table = next.map(|next| next.table);
            assert!(
                table.is_none_or(|table| alone.is_ok_and(|alone| seen(&table) == seen(&alone))),
                "{after}"
            );
        }
    }

    #[test]
    fn a_document_that_is_gone_has_no_records_and_may_come_back() {
        let mut versions = Versions::<Thing>::new(Thing::PATH);
        for _ in 0..2 {
            versions.read(br#"{"things":[{"id":"a"}]}"#).expect("reads");
            assert_eq!(versions.table().rows().len(), 1);
            versions.remove();
            assert_eq!((versions.table().rows().len(), versions.table().path()), (0, Thing::PATH));
        }
    }

    #[test]
    fn one_record_too_many_is_noticed_where_it_is_added() {
        let of = |rows: usize| format!("[{}]", vec!["{\"id\":\"a\"}"; rows].join(","));
        let mut versions = Versions::<Thing>::new(Thing::PATH);
        versions.read(of(ROWS_MAX - 1).as_bytes()).expect("reads");
        versions = versions.follow(&of(ROWS_MAX)).expect("the last that has room");
        let error = versions.read(of(ROWS_MAX + 1).as_bytes()).expect_err("too many");
        assert!(error.to_string().contains("it holds 100001 records"), "{error}");
    }

    #[test]
    fn a_piece_that_nests_too_deep_is_noticed() {
        let deep = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"things": [{{"id":"a"}},{{"id":"b","x":{open}{close}}},{{"id":"c"}}]}}"#)
        };
        for levels in 95..100 {
            let mut versions = Versions::<Thing>::new(Thing::PATH);
            versions.read(deep(1).as_bytes()).expect("reads");
            let alone = Table::<Thing>::read(Thing::PATH, deep(levels).as_bytes()).map(drop);
            assert_eq!(versions.read(deep(levels).as_bytes()), alone, "{levels}");
        }
    }
}
