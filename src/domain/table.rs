//! A document that holds many records: `jobs.json`, `locks.json`, `messages.json`, `servers.json`.
//!
//! Reads an object with the records under one key, or, as some writers leave behind, a bare list.
//! Writes the object. Records that were not touched keep their bytes, and so does everything else
//! that stands beside them. A record that cannot be read stops no other: see [`BrokenRecord`].

use super::json::{self, DOCUMENT_BYTES_MAX, DocumentError};
use super::record::{Record, View};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

mod broken;
mod reading;
mod versions;
mod written;

pub use broken::{BrokenRecord, Fault, RecordTrouble, place, record_named};
use reading::{Reading, read_row};
pub(super) use reading::{members, row_is_too_deep};
pub use versions::Versions;

/// How far a record has come, by what weighs most: its token, then what only grows under one token.
pub type Progress = [u64; 3];

/// A record of a table.
pub trait Row: View {
    /// Where the table lies in the hub.
    const PATH: &'static str;
    /// The key that holds the records.
    const FIELD: &'static str;
    /// What the table holds, for its schema.
    const TITLE: &'static str = "";
    /// Whether finished records move to archives beside it.
    const HAS_ARCHIVES: bool = false;
    /// Whether every hub has the table from its first commit on; others appear with their first record.
    const IS_IN_EACH_HUB: bool = false;
    /// Whether the records are an object by name (locks) and not a list.
    const BY_NAME: bool = false;
    /// Whether a record may be acted on that holds what is no Unicode, which shows as replacement
    /// signs: a message may, a command not.
    const LOSSY: bool = false;

    /// The id or name of this record; the empty text when it has none.
    fn id(&self) -> &str;

    /// Why no command can name this record, if so.
    fn id_problem(&self) -> Option<String> {
        None
    }

    /// Its token, where one that was never given would stop the next.
    fn token(&self) -> Option<u64> {
        None
    }

    /// Gives it another token.
    fn set_token(&mut self, _token: Option<u64>) {}

    /// Whether it can only be what it was before `other`, which has the same id: a token never goes down.
    fn is_older_than(&self, _other: &Self) -> bool {
        false
    }

    /// How far it has come: of one thing as two copies or two sides of a merge have it, the one counts that has
    /// come further. A token never goes down: whoever has the highest is believed by everybody else.
    fn progress(&self) -> Progress {
        Progress::default()
    }

    /// What tells records of one id apart, where an id may be that of several: older writers gave one to
    /// several messages. `None` where an id names one record.
    fn apart(&self) -> Option<String> {
        None
    }

    /// Tells a record the name it stands under, where [`Row::BY_NAME`].
    fn named(&mut self, _name: &str) {}
}

/// The most records one table may hold; a hub that outgrows it needs `git muster archive`.
pub const ROWS_MAX: usize = 100_000;

/// How far the records of a list are indented; of a map the same.
const ROW_INDENT: usize = 4;

/// The most bytes that stand around a record without a name: indentation, comma and line ends.
const ROW_SIGNS_MAX: usize = ROW_INDENT + 4;

/// How many brackets stand around a record: those of the document and of the list.
const BRACKETS_AROUND: usize = 2;

/// Records that stand one after the other in a table.
pub type RecordRun<'a, T> = &'a [Arc<Record<T>>];

/// All records of one document, in their order.
#[derive(Debug, Clone)]
pub struct Table<T> {
    path: String,
    /// Everything at the top of the document, the records' own place marked by `None`.
    members: Vec<(String, Option<String>)>,
    /// Shared with other versions of the same table, which differ in few of them.
    rows: Vec<Arc<Record<T>>>,
    /// What stands between them and cannot be read.
    broken: Vec<BrokenRecord>,
    /// Names that are spelled otherwise than we would, in a table by name.
    spellings: Vec<(String, String)>,
    /// Whether the document held bytes that are no text, for which signs stand here.
    foreign: bool,
    changed: bool,
    /// The layout version, if it is one that this program does not know.
    newer: Option<String>,
}

impl<T: Row> Table<T> {
    /// A table without records, for a document that does not exist yet.
    #[must_use]
    pub fn empty(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            members: vec![(T::FIELD.to_owned(), None)],
            rows: Vec::new(),
            broken: Vec::new(),
            spellings: Vec::new(),
            foreign: false,
            changed: false,
            newer: None,
        }
    }

    /// Reads the document.
    ///
    /// # Errors
    /// When it is no JSON as a whole, or no table. A record that cannot be read is no error.
    pub fn read(path: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::read_as(path, bytes, &[], None)
    }

    /// Reads a document whose records share its text with it, for as long as one of them is there.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn share(path: &str, whole: &Arc<String>) -> Result<Self, DocumentError> {
        Self::read_as(path, whole.as_bytes(), &[], Some(whole))
    }

    /// Reads the document, knowing what it was `before`: records whose text did not change are not
    /// read again.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_after(path: &str, bytes: &[u8], before: &Self) -> Result<Self, DocumentError> {
        // Each version would stay for as long as one record is there that came with it.
        Self::read_as(path, bytes, &before.rows, None)
    }

    fn read_as(
        path: &str,
        bytes: &[u8],
        known: &[Arc<Record<T>>],
        whole: Option<&Arc<String>>,
    ) -> Result<Self, DocumentError> {
        let legible = json::legible(path, bytes)?;
        let text = json::body(path, &legible)?;
        let is_deep = json::is_too_deep(text, 0);
        let mut reading = Reading { known, whole, is_deep, table: Self::empty(path) };
        reading.table.foreign = matches!(legible, Cow::Owned(_));
        if text.starts_with('[') {
            reading.list(text)?;
            return Ok(reading.table);
        }
        let members = members(path, "", text)?;
        reading.table.members.clear();
        let mut found = false;
        for (key, raw) in members {
            if key == T::FIELD {
                refuse_twice(path, &key, std::mem::replace(&mut found, true))?;
                reading.rows(raw)?;
                reading.table.members.push((key, None));
            } else {
                if key == "version" {
                    reading.table.newer = json::newer_layout(raw);
                }
                reading.table.members.push((key, Some(raw.to_owned())));
            }
        }
        let mut table = reading.table;
        if !found {
            table.members.insert(0, (T::FIELD.to_owned(), None));
        }
        Ok(table)
    }

    fn refuse_too_many(&self, rows: usize) -> Result<(), DocumentError> {
        if rows > ROWS_MAX {
            let problem = format!("it holds {rows} records, more than the {ROWS_MAX} allowed");
            return Err(DocumentError::new(&self.path, problem));
        }
        Ok(())
    }

    /// The records in their order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &Record<T>> + ExactSizeIterator {
        self.rows.iter().map(|row| &**row)
    }

    /// The same, each of which can be kept for longer than the table.
    pub fn shared(&self) -> impl DoubleEndedIterator<Item = &Arc<Record<T>>> + ExactSizeIterator {
        self.rows.iter()
    }

    /// The first record with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Record<T>> {
        self.rows().find(|row| row.id() == id)
    }

    /// The first record with this id, to be edited.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Record<T>> {
        self.rows.iter_mut().find(|row| row.id() == id).map(Arc::make_mut)
    }

    /// All records, to be edited.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut Record<T>> {
        self.rows.iter_mut().map(Arc::make_mut)
    }

    /// The records that are `meant`, to be edited. Others stay shared with other versions.
    pub fn rows_mut_where(&mut self, meant: impl Fn(&T) -> bool) -> impl Iterator<Item = &mut Record<T>> {
        self.rows.iter_mut().filter(move |row| meant(row)).map(Arc::make_mut)
    }

    /// The stretch of records in which this table and a later version of it differ: what is left
    /// without the records that are the same at the beginning and at the end. The first number is
    /// where the stretch begins.
    #[must_use]
    pub fn differing<'a>(&'a self, later: &'a Self) -> (usize, RecordRun<'a, T>, RecordRun<'a, T>) {
        let same = |(a, b): &(&Arc<Record<T>>, &Arc<Record<T>>)| {
            Arc::ptr_eq(a, b) || is_same_row(a.as_ref(), b.as_ref())
        };
        let front = self.rows.iter().zip(&later.rows).take_while(same).count();
        let (before, after) =
            (self.rows.get(front..).unwrap_or_default(), later.rows.get(front..).unwrap_or_default());
        let back = before.iter().rev().zip(after.iter().rev()).take_while(same).count();
        let cut = |rows: &'a [Arc<Record<T>>]| rows.get(..rows.len() - back).unwrap_or_default();
        (front, cut(before), cut(after))
    }

    /// The layout version, if it is one that this program may read and not write.
    #[must_use]
    pub fn newer_layout(&self) -> Option<&str> {
        self.newer.as_deref()
    }

    /// Appends a new record.
    pub fn push(&mut self, view: T) {
        self.rows.push(Arc::new(Record::new(view, ROW_INDENT)));
        self.changed = true;
    }

    /// Appends a record that comes from another table, whole.
    pub fn push_record(&mut self, record: &Record<T>) {
        self.rows.push(Arc::new(record.moved(ROW_INDENT)));
        self.changed = true;
    }

    /// Adds records, which may come from other documents, until the document would be too large to be read
    /// again; those that are left are given back.
    pub fn push_what_fits<'a, 'r>(&mut self, records: &'a [&'r Record<T>]) -> &'a [&'r Record<T>] {
        let mut bytes = self.to_text().len();
        for (index, record) in records.iter().enumerate() {
            let row = record.moved(ROW_INDENT);
            bytes += row.text().len() + ROW_SIGNS_MAX;
            if bytes > DOCUMENT_BYTES_MAX || self.rows.len() + self.broken.len() >= ROWS_MAX {
                return records.get(index..).unwrap_or_default();
            }
            self.rows.push(Arc::new(row));
            self.changed = true;
        }
        &[]
    }

    /// Puts the records with these ids as `known` has them in the place of those that are here: each after
    /// the record that it stood after there, so that none loses its turn.
    pub fn put_back(&mut self, known: &Self, ids: &BTreeSet<String>) {
        if ids.is_empty() {
            return;
        }
        self.take(|row| ids.contains(row.id()));
        let here: HashSet<&str> = self.rows.iter().map(|row| row.id()).filter(|id| !id.is_empty()).collect();
        let (mut first, mut after) = (Vec::new(), HashMap::<String, Vec<Arc<Record<T>>>>::new());
        let mut stands_after = None;
        for row in known.rows() {
            if ids.contains(row.id()) {
                let row = Arc::new(row.moved(ROW_INDENT));
                match stands_after {
                    None => first.push(row),
                    Some(ref id) => after.entry(String::clone(id)).or_default().push(row),
                }
            } else if here.contains(row.id()) {
                stands_after = Some(row.id().to_owned());
            }
        }
        let mut rows = first;
        let mut places = Vec::with_capacity(self.rows.len() + 1);
        for row in std::mem::take(&mut self.rows) {
            places.push(rows.len());
            let next = after.remove(row.id()).unwrap_or_default();
            rows.push(row);
            rows.extend(next);
        }
        places.push(rows.len());
        for broken in &mut self.broken {
            broken.before = places.get(broken.before).copied().unwrap_or(rows.len());
        }
        self.rows = rows;
        self.changed = true;
    }

    /// Takes out the records for which `leaves` says so and returns them.
    pub fn take(&mut self, mut leaves: impl FnMut(&T) -> bool) -> Vec<Record<T>> {
        let mut out = Vec::new();
        // Of the records that are kept, how many stood before each of the old places.
        let mut kept_before = Vec::with_capacity(self.rows.len() + 1);
        let mut kept = Vec::new();
        for row in std::mem::take(&mut self.rows) {
            kept_before.push(kept.len());
            if leaves(&row) { out.push(Arc::unwrap_or_clone(row)) } else { kept.push(row) }
        }
        kept_before.push(kept.len());
        for broken in &mut self.broken {
            broken.before = kept_before.get(broken.before).copied().unwrap_or(kept.len());
        }
        self.rows = kept;
        self.changed |= !out.is_empty();
        out
    }

    /// Whether anything differs from what was read.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed || self.rows().any(Record::is_changed)
    }

    /// Where the document lies in the hub.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The document as it is written.
    ///
    /// # Errors
    /// When a newer version of this program wrote it: that may be read and is never rewritten.
    pub fn write(&self) -> Result<String, DocumentError> {
        match &self.newer {
            Some(version) => Err(DocumentError::newer_layout(&self.path, version)),
            None => Ok(self.to_text()),
        }
    }

    /// The document as it is stored, with the very bytes of records that are no text.
    ///
    /// # Errors
    /// As [`Table::write`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, DocumentError> {
        let text = self.write()?;
        Ok(if self.foreign { json::foreign_bytes(&text) } else { text.into_bytes() })
    }

    fn to_text(&self) -> String {
        let rows_bytes: usize = self.rows.iter().map(|row| row.text().len() + ROW_SIGNS_MAX).sum();
        let mut out = String::with_capacity(rows_bytes + 256);
        out.push('{');
        for (index, (key, raw)) in self.members.iter().enumerate() {
            out.push_str(if index == 0 { "\n  " } else { ",\n  " });
            out.push_str(&json::pretty(key, 0));
            out.push_str(": ");
            match raw {
                Some(raw) => out.push_str(raw),
                None => self.write_rows(&mut out),
            }
        }
        out.push_str("\n}\n");
        out
    }

    fn write_rows(&self, out: &mut String) {
        let (open, close) = if T::BY_NAME { ('{', '}') } else { ('[', ']') };
        out.push(open);
        let mut is_first = true;
        let mut put = |out: &mut String, name: Option<&str>, text: &str| {
            out.push_str(if std::mem::take(&mut is_first) { "\n    " } else { ",\n    " });
            if let Some(name) = name {
                out.push_str(name);
                out.push_str(": ");
            }
            out.push_str(text);
        };
        let mut broken = self.broken.iter().peekable();
        for (index, row) in self.rows.iter().enumerate() {
            while let Some(broken) = broken.next_if(|broken| broken.before <= index) {
                put(out, broken.name.as_deref(), &broken.text);
            }
            let name = T::BY_NAME.then(|| self.spelling(row.id()));
            put(out, name.as_deref(), row.text());
        }
        for broken in broken {
            put(out, broken.name.as_deref(), &broken.text);
        }
        if !is_first {
            out.push_str("\n  ");
        }
        out.push(close);
    }

    /// How a name is spelled in the document.
    fn spelling(&self, name: &str) -> Cow<'_, str> {
        let other = self.spellings.iter().find(|(known, _)| known == name);
        other.map_or_else(
            || Cow::Owned(json::pretty(&name, 0)),
            |(_, spelled)| Cow::Borrowed(spelled.as_str()),
        )
    }
}

/// Whether two records are the same: they stand under one name and have the same bytes.
fn is_same_row<T: Row>(a: &Record<T>, b: &Record<T>) -> bool {
    a.text() == b.text() && a.id() == b.id()
}

/// Of two members with one name some readers take the first and some, such as `jq`, the last: one
/// would see a lock free that the other sees held.
fn refuse_twice(path: &str, name: &str, is_second: bool) -> Result<(), DocumentError> {
    if is_second {
        return Err(DocumentError::new(path, format!("it holds `{}` twice", name.escape_debug())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Thing {
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

    fn read(text: &str) -> Table<Thing> {
        Table::read(Thing::PATH, text.as_bytes()).expect("reads")
    }

    const TWO: &str = "{\n  \"things\": [\n    {\n      \"id\": \"a\",\n      \"more\": {\"z\": 1, \"u\": \"\\u00fc\"}\n    },\n    {\n      \"id\": \"b\",\n      \"n\": 1\n    }\n  ],\n  \"metadata\": {\n    \"next\": 1e3\n  }\n}\n";

    #[test]
    fn what_was_not_touched_keeps_its_bytes() {
        assert_eq!(read(TWO).to_text(), TWO);
        let mut table = read(TWO);
        table.get_mut("b").expect("there").edit(|thing| thing.n = 2);
        assert_eq!(table.to_text(), TWO.replace("\"n\": 1", "\"n\": 2"));
    }

    #[test]
    fn a_later_version_shares_what_did_not_change_and_reads_the_rest() {
        let before = read(TWO);
        for text in [TWO.replace("\"n\": 1", "\"n\": 2"), TWO.replace("\"a\"", "\"c\""), "[]".to_owned()] {
            let after = Table::read_after(Thing::PATH, text.as_bytes(), &before).expect("reads");
            assert_eq!(after.to_text(), read(&text).to_text());
            for (one, other) in before.rows.iter().zip(&after.rows) {
                assert_eq!(Arc::ptr_eq(one, other), one.text() == other.text(), "{text}");
            }
        }
        let broken = Table::read_after(Thing::PATH, br#"{"things": [{"id": 4}]}"#, &before).expect("reads");
        assert_eq!((broken.rows().len(), broken.broken().len()), (0, 1));
    }

    #[test]
    fn a_record_that_gets_another_name_is_another_record() {
        use crate::domain::lock::Lock;
        let before = Table::<Lock>::read(Lock::PATH, br#"{"locks":{"x":{"token":1}}}"#).expect("reads");
        for (name, is_shared) in [("x", true), ("y", false)] {
            let text = format!(r#"{{"locks":{{"{name}":{{"token":1}}}},"more":1}}"#);
            let after = Table::read_after(Lock::PATH, text.as_bytes(), &before).expect("reads");
            assert_eq!(after.rows().map(|lock| lock.name.as_str()).collect::<Vec<_>>(), [name]);
            assert_eq!(Arc::ptr_eq(&before.rows[0], &after.rows[0]), is_shared, "{name}");
        }
    }

    #[test]
    fn what_differs_lies_between_what_both_begin_and_end_with() {
        use crate::domain::lock::Lock;
        let of = |rows: &str| read(&format!("[{rows}]"));
        let (a, b, c) = (r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#);
        for (before, after, expected) in [
            (format!("{a},{b}"), format!("{a},{b}"), (2, 0, 0)),
            (format!("{a},{b}"), format!("{a},{c},{b}"), (1, 0, 1)),
            (format!("{a},{b},{c}"), format!("{a},{c}"), (1, 1, 0)),
            (format!("{a},{a}"), a.to_owned(), (1, 1, 0)),
        ] {
            let (before, after) = (of(&before), of(&after));
            let (place, old, new) = before.differing(&after);
            assert_eq!((place, old.len(), new.len()), expected);
        }
        let named = |name: &str| {
            let text = format!("{{\"locks\":{{\"{name}\":{{}}}}}}");
            Table::<Lock>::read(Lock::PATH, text.as_bytes()).expect("reads")
        };
        let (x, y) = (named("x"), named("y"));
        let (_, old, new) = x.differing(&y);
        assert_eq!((old.len(), new.len()), (1, 1), "one record under another name");
    }

    #[test]
    fn a_table_may_have_so_many_records_and_no_more() {
        let of = |rows: usize| format!("[{}]", vec!["{\"id\":\"a\"}"; rows].join(","));
        assert_eq!(read(&of(ROWS_MAX)).rows().len(), ROWS_MAX);
        let error = Table::<Thing>::read(Thing::PATH, of(ROWS_MAX + 1).as_bytes()).expect_err("too many");
        assert!(error.to_string().contains("it holds 100001 records"), "{error}");
    }

    #[test]
    fn what_was_changed_is_known() {
        let mut table = read(TWO);
        assert!(!table.is_changed());
        assert_eq!(table.take(|_| false).len(), 0);
        assert!(!table.is_changed());
        table.get_mut("b").expect("there").edit(|thing| thing.n = 2);
        assert!(table.is_changed());
        let mut table = read(TWO);
        assert_eq!(table.take(|thing| thing.id == "b").len(), 1);
        assert_eq!(table.take(|_| false).len(), 0);
        assert!(table.is_changed());
        let mut table = read(TWO);
        table.push(Thing { id: "c".to_owned(), n: 0 });
        assert!(table.is_changed());
        let mut table = read(TWO);
        table.rows_mut().for_each(|row| row.edit(|thing| thing.n = 7));
        assert_eq!(table.rows().map(|thing| thing.n).collect::<Vec<_>>(), [7, 7]);
        assert!(table.is_changed());
        let taken = read(TWO).take(|thing| thing.id == "a");
        let mut archive = read("[]");
        taken.iter().for_each(|row| archive.push_record(row));
        assert!(archive.is_changed());
        assert!(archive.to_text().contains("\"more\": {"), "{}", archive.to_text());
    }

    #[test]
    fn a_bare_list_a_byte_order_mark_and_a_missing_field_are_read() {
        assert_eq!(
            read("\u{feff}[{\"id\":\"a\"}]").to_text(),
            "{\n  \"things\": [\n    {\"id\":\"a\"}\n  ]\n}\n"
        );
        assert_eq!(read("{}").to_text(), "{\n  \"things\": []\n}\n");
        assert_eq!(read("{\"things\": null, \"x\": 1}").rows().len(), 0);
    }

    #[test]
    fn a_newer_layout_is_read_and_not_written() {
        let table = read("{\"version\": 2, \"things\": [{\"id\": \"a\"}]}");
        assert_eq!(table.rows().len(), 1);
        assert!(table.write().is_err_and(|error| error.to_string().contains("upgrade")));
        for newer in ["2.0", "1e99", "\"2\"", "99999999999999999999999"] {
            assert!(read(&format!("{{\"version\": {newer}}}")).write().is_err(), "{newer}");
        }
        for ours in ["1", "1.0", "\"1\"", "null", "\"beta\""] {
            assert!(read(&format!("{{\"version\": {ours}}}")).write().is_ok(), "{ours}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_counts_for_neither() {
        use crate::domain::lock::Lock;
        let twice = r#"{"locks": {"x": {"locked_by": null}, "y": {}, "x": {"locked_by": "build2"}}}"#;
        let table = Table::<Lock>::read(Lock::PATH, twice.as_bytes()).expect("reads");
        assert_eq!(table.rows().map(|lock| lock.name.as_str()).collect::<Vec<_>>(), ["y"]);
        let troubles: Vec<String> = table.troubles().iter().map(RecordTrouble::describe).collect();
        let told = "record locks.x (`x`) of coordination/locks.json: its name stands there twice";
        assert_eq!(troubles, [told, told]);
        let lists = br#"{"things": [], "things": [{"id": "a"}]}"#;
        assert!(Table::<Thing>::read(Thing::PATH, lists).is_err());
    }

    #[test]
    fn what_is_no_table_as_a_whole_is_refused() {
        let problem =
            |text: &str| Table::<Thing>::read(Thing::PATH, text.as_bytes()).expect_err(text).to_string();
        assert!(problem("{\"things\": {}}").contains("`things` is not a list"));
        assert!(problem("7").contains("things.json"));
        assert!(problem("7").contains("expected an object"));
        assert!(problem("").contains("it is empty"));
        assert!(problem("{\"things\": [").contains("EOF"));
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n";
        assert!(problem(pointer).contains("it is a pointer of Git LFS in place of the document"));
    }

    #[test]
    fn records_are_added_as_long_as_the_document_can_be_read_again() {
        let rows = |number: usize| vec!["{\"id\":\"a\"}"; number].join(",");
        let more = read(&format!("[{}]", rows(3)));
        let more: Vec<&Record<Thing>> = more.rows().collect();
        for (text, fits) in [
            (format!("[{}]", rows(ROWS_MAX - 2)), 2),
            // What cannot be read counts as well.
            (format!("[{},null]", rows(ROWS_MAX - 2)), 1),
            (format!("[{},null]", rows(ROWS_MAX - 1)), 0),
        ] {
            let mut table = read(&text);
            let before = table.rows().len();
            assert_eq!(table.push_what_fits(&more).len(), more.len() - fits);
            assert_eq!((table.rows().len() - before, table.is_changed()), (fits, fits > 0));
        }
        let long = |length: usize| read(&format!("[{{\"id\":\"{}\"}}]", "x".repeat(length)));
        let around = long(0).rows().next().expect("one").moved(ROW_INDENT).text().len();
        let mut table = read("[]");
        let length = DOCUMENT_BYTES_MAX - table.to_text().len() - ROW_SIGNS_MAX - around;
        let (exact, too_long) = (long(length), long(length + 1));
        let records: Vec<&Record<Thing>> = exact.rows().chain(too_long.rows()).collect();
        assert_eq!(table.push_what_fits(&records[1..]).len(), 1, "a byte too many");
        assert!(!table.is_changed());
        let both = [records[0], more[0]];
        let left = table.push_what_fits(&both);
        assert!(left.len() == 1 && left[0].id() == "a", "there is no room for one more");
        assert!(table.to_text().len() <= DOCUMENT_BYTES_MAX && table.rows().len() == 1);
    }

    #[test]
    fn a_record_needs_no_name_that_a_command_can_spell_unless_its_sort_says_so() {
        assert_eq!(read(r#"[{"id":"a b"},{"id":"../x"}]"#).troubles(), []);
    }

    #[test]
    fn a_name_beside_the_records_may_hold_half_a_character() {
        let text = r#"{"things": [{"id":"a"}], "x\udce9": 1}"#;
        assert_eq!(read(text).rows().len(), 1);
        // What is no object is none for it.
        for text in [r#""\udce9""#, r#""{\udce9}""#] {
            assert!(Table::<Thing>::read(Thing::PATH, text.as_bytes()).is_err(), "{text}");
        }
        let error = Table::<Thing>::read(Thing::PATH, br#"{"things": [], "x": }"#).expect_err("no value");
        assert!(error.problem.contains("expected value"), "{error}");
    }
}
