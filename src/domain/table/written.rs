//! A table that an operation has written and the next one goes on with: as it would be read again, without
//! writing and reading it in between. And what tells it apart from the one it was made from.

use super::{ROW_SIGNS_MAX, Record, Row, Table, read_row};
use crate::domain::lease::token_problem;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What stands around each member and around the records: line ends, indentation, colon and brackets.
const MEMBER_SIGNS_MAX: usize = 16;

impl<T: Row> Table<T> {
    /// As it is when it is read again, without reading those records that are as they were read; `None` if that
    /// cannot be told without its bytes. A view may hold more than its text does, such as parts of a second.
    #[must_use]
    pub fn as_written(&self) -> Option<Self> {
        let mut written = self.clone();
        written.changed = false;
        for row in written.rows.iter_mut().filter(|row| row.is_changed()) {
            let mut read = read_row::<T>(None, (&self.path, T::FIELD), row.text(), true).ok()?;
            if T::BY_NAME {
                read.tell(|view| view.named(row.id()));
            }
            *row = Arc::new(read);
        }
        Some(written)
    }

    /// Whether its bytes are those of its text, and whoever reads these finds the same.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.foreign && self.newer.is_none()
    }

    /// As many bytes as the document has at most, without writing it.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        // A name may be spelled by six signs for each byte, and stands between quotes.
        let name = |row: &Record<T>| if T::BY_NAME { 6 * row.id().len() + 4 } else { 0 };
        let rows = self.rows().map(|row| row.text().len() + name(row) + ROW_SIGNS_MAX);
        let spelled = self.spellings.iter().map(|(_, spelled)| spelled.len());
        let broken = self
            .broken
            .iter()
            .map(|broken| broken.text.len() + broken.name.as_deref().map_or(0, str::len) + ROW_SIGNS_MAX + 4);
        let members = self
            .members
            .iter()
            .map(|(key, raw)| 6 * key.len() + raw.as_deref().map_or(0, str::len) + MEMBER_SIGNS_MAX);
        rows.chain(spelled).chain(broken).chain(members).sum::<usize>() + MEMBER_SIGNS_MAX
    }

    /// The ids of the records in which it differs from `before`, and whether something else does: their order,
    /// what cannot be read, what stands beside the records.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> (BTreeSet<String>, bool) {
        let (_, old, new) = before.differing(self);
        let groups = |rows: &[Arc<Record<T>>]| {
            let mut groups: HashMap<String, Vec<Arc<Record<T>>>> = HashMap::new();
            for row in rows {
                groups.entry(row.id().to_owned()).or_default().push(Arc::clone(row));
            }
            groups
        };
        let (old_groups, new_groups) = (groups(old), groups(new));
        let is_same = |id: &str| match (old_groups.get(id), new_groups.get(id)) {
            (Some(old), Some(new)) => {
                let same =
                    |(a, b): (&Arc<Record<T>>, &Arc<Record<T>>)| Arc::ptr_eq(a, b) || a.text() == b.text();
                old.len() == new.len() && old.iter().zip(new).all(same)
            }
            _ => false,
        };
        let all = old_groups.keys().chain(new_groups.keys());
        let ids: BTreeSet<String> = all.filter(|id| !is_same(id)).cloned().collect();
        let order = |rows: &[Arc<Record<T>>]| -> Vec<String> {
            rows.iter().map(|row| row.id().to_owned()).filter(|id| !ids.contains(id)).collect()
        };
        let broken = |table: &Self| -> Vec<(usize, String)> {
            table.broken.iter().map(|broken| (broken.before, broken.text.clone())).collect()
        };
        // Where a record that cannot be read stands is counted in records, which come and go.
        let is_broken_same = self.broken.len() == before.broken.len()
            && broken(self).iter().zip(broken(before)).all(|(new, old)| new.1 == old.1);
        let else_changed = order(old) != order(new) || !is_broken_same || self.members != before.members;
        (ids, else_changed)
    }

    /// The first record whose token is lower than it was `before`: a token never goes down, but from one that was
    /// never issued.
    #[must_use]
    pub fn fallen_token(&self, before: &Self) -> Option<String> {
        let (_, old, new) = before.differing(self);
        let issued = |row: &Record<T>| row.token().filter(|token| token_problem(Some(*token)).is_none());
        let tokens: HashMap<&str, u64> =
            old.iter().filter_map(|row| Some((row.id(), issued(row)?))).collect();
        let fell = |row: &&Arc<Record<T>>| {
            let known = tokens.get(row.id()).copied();
            known.is_some_and(|known| row.token().is_some_and(|token| token < known))
        };
        new.iter().find(fell).map(|row| row.id().to_owned())
    }

    /// What whoever reads these `bytes` finds otherwise than it is in this table.
    #[must_use]
    pub fn read_otherwise(&self, bytes: &[u8]) -> Option<String> {
        let read = match Self::read(&self.path, bytes) {
            Ok(read) => read,
            Err(error) => return Some(error.to_string()),
        };
        let (rows, broken) = (self.rows.iter().zip(&read.rows), self.broken.iter().zip(&read.broken));
        if self.rows.len() != read.rows.len() || self.broken.len() != read.broken.len() {
            return Some("another number of records".to_owned());
        }
        let shown = |row: &Record<T>| format!("{} as {:?}", row.text(), serde_json::to_string(&**row).ok());
        let mut rows = rows.filter(|(one, other)| one.text() != other.text() || ****one != ****other);
        let row = rows.next().map(|(one, other)| format!("{}, and not {}", shown(other), shown(one)));
        let mut broken = broken.filter(|(one, other)| one.text != other.text);
        row.or_else(|| broken.next().map(|(_, other)| other.text.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;
    use crate::domain::lock::Lock;

    fn jobs(text: &str) -> Table<Job> {
        Table::read(Job::PATH, text.as_bytes()).expect("reads")
    }

    const FOUR: &str =
        r#"{"x": 1, "jobs": [{"id":"a"}, {"id":"b"}, {"id": 7}, {"id":"c"}, {"id":"c"}], "y": []}"#;

    #[test]
    fn what_was_written_is_what_would_be_read() {
        let now = crate::domain::time::Timestamp::from_unix_millis(0).expect("a time");
        let mut table = jobs(FOUR);
        table.get_mut("b").expect("it is there").edit(|job| job.branch = Some("x".to_owned()));
        table.push(Job::new("d".to_owned(), "build".to_owned(), now));
        table.take(|job| job.id == "a");
        let written = table.as_written().expect("it can be read");
        assert!(table.is_changed() && !written.is_changed());
        let bytes = table.to_bytes().expect("our layout");
        assert!(
            written.read_otherwise(&bytes).is_none() && written.to_bytes().is_ok_and(|again| again == bytes)
        );
        assert!(jobs(FOUR).read_otherwise(&bytes).is_some());
    }

    #[test]
    fn no_document_is_longer_than_was_reckoned() {
        let locks = r#"{"locks": {"a": {"locked_by": null}, "b\u0001\"": {}, "\u0063": {}, "d": 7}, "é": {"deep": [1]}}"#;
        for text in [FOUR, "[]", r#"{"jobs": []}"#, "{}"] {
            let table = jobs(text);
            assert!(table.to_bytes().is_ok_and(|bytes| bytes.len() <= table.bytes_max()), "{text}");
        }
        let table = Table::<Lock>::read(Lock::PATH, locks.as_bytes()).expect("reads");
        assert!(table.to_bytes().is_ok_and(|bytes| bytes.len() <= table.bytes_max()));
    }

    #[test]
    fn which_records_changed_is_told_by_their_ids() {
        type Change = fn(&mut Table<Job>);
        let changes: [(Change, &[&str], bool); 6] = [
            (|_| {}, &[], false),
            (
                |table| table.get_mut("b").expect("b").edit(|job| job.branch = Some("x".to_owned())),
                &["b"],
                false,
            ),
            (|table| drop(table.take(|job| job.id == "a")), &["a"], false),
            (|table| drop(table.take(|job| job.id == "c")), &["c"], false),
            (
                |table| {
                    let first = table.take(|job| job.id == "a");
                    first.iter().for_each(|row| table.push_record(row));
                },
                &["a"],
                false,
            ),
            (|table| *table = jobs(&FOUR.replace("\"x\": 1", "\"x\": 2")), &[], true),
        ];
        for (index, (change, expected, others)) in changes.into_iter().enumerate() {
            let before = jobs(FOUR);
            let mut after = before.clone();
            change(&mut after);
            let (ids, else_changed) = after.changed_since(&before);
            assert_eq!(ids.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{index}");
            assert_eq!(else_changed, others, "{index}");
        }
    }

    #[test]
    fn a_token_that_fell_is_seen() {
        let locks = |token: u64| {
            let text = format!(r#"{{"locks": {{"a": {{"token": {token}}}, "b": {{}}}}}}"#);
            Table::<Lock>::read(Lock::PATH, text.as_bytes()).expect("reads")
        };
        assert_eq!(locks(2).fallen_token(&locks(3)), Some("a".to_owned()));
        assert_eq!(locks(3).fallen_token(&locks(3)), None);
        assert_eq!(locks(4).fallen_token(&locks(3)), None);
    }
}
