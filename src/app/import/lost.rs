//! Records that the history of a hub holds and its tip lost.

use crate::app::fsck::Document;
use crate::domain::import::{Imported, is_further, rows_in};
use crate::domain::job::Job;
use crate::domain::message::Message;
use crate::domain::table::Row as _;
use crate::domain::tables::ARCHIVE;
use crate::ledger::{Content, Documents as _, LedgerError, Reached, Snapshot};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Records as they stood last, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostRecords {
    pub jobs: Vec<String>,
    pub messages: Vec<String>,
    /// Whether the history goes further back than it was read.
    pub is_cut: bool,
}

/// The jobs and messages that were in the history of the main branch and are neither live nor in the
/// archive any more.
///
/// # Errors
/// When the store is damaged.
pub fn lost(snapshot: &Snapshot<'_>) -> Result<LostRecords, LedgerError> {
    let (mut jobs, mut messages) = (SeenRecords::default(), SeenRecords::default());
    let wants = |path: &str| matches!(path, "coordination/" | Job::PATH | Message::PATH);
    let reached = snapshot.walk(&wants, &mut |stride| {
        for (path, content) in &stride.changed {
            jobs.note_at::<Job>(path, content, Order::Later);
            messages.note_at::<Message>(path, content, Order::Later);
        }
        for merged in &stride.merged {
            for path in merged.changed.iter().filter(|path| wants(path)) {
                let content = stride.merged_in(merged, path)?;
                jobs.note_at::<Job>(path, &content, Order::Beside);
                messages.note_at::<Message>(path, &content, Order::Beside);
            }
        }
        Ok(())
    })?;
    let mut paths = vec![Job::PATH.to_owned(), Message::PATH.to_owned()];
    let archives = snapshot.list(ARCHIVE)?;
    paths.extend(archives.iter().map(|name| format!("{ARCHIVE}/{name}")));
    for path in paths {
        let document = match snapshot.document(snapshot.main(), &path) {
            Err(LedgerError::Document(error)) if error.is_no_file() => continue,
            document => document?,
        };
        let Some(document) = document else { continue };
        match Document::at(&path) {
            Some(Document::Table(kind) | Document::Archive(kind)) if kind.path == Job::PATH => {
                jobs.forget::<Job>(document.bytes());
            }
            Some(Document::Table(kind) | Document::Archive(kind)) if kind.path == Message::PATH => {
                messages.forget::<Message>(document.bytes());
            }
            _ => {}
        }
    }
    let is_cut = !matches!(reached, Reached::Beginning);
    Ok(LostRecords { jobs: jobs.texts(), messages: messages.texts(), is_cut })
}

/// How a version of a table stands to those that were seen before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// It was made of them: what it says was said later.
    Later,
    /// It is of another side of a merge: neither was said later.
    Beside,
}

/// A record as it counts so far.
struct Row {
    id: String,
    text: String,
    hash: u64,
}

/// The records of one sort that were seen so far, by id.
#[derive(Default)]
struct SeenRecords {
    /// Texts that were looked at, and whose they are: most versions of a table differ in one record.
    known: HashMap<u64, usize>,
    rows: Vec<Row>,
    index: HashMap<String, usize>,
}

impl SeenRecords {
    fn note_at<T: Imported>(&mut self, path: &str, content: &Content, order: Order) {
        let Content::File(bytes) = content else { return };
        if path != T::PATH {
            return;
        }
        for text in rows_in::<T>(bytes) {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            self.note::<T>(text, hasher.finish(), order);
        }
    }

    fn note<T: Imported>(&mut self, text: String, hash: u64, order: Order) {
        let index = match self.known.get(&hash) {
            Some(index) => *index,
            None => {
                let Some(id) = id_of::<T>(&text) else { return };
                let index = *self.index.entry(id.clone()).or_insert(self.rows.len());
                if index == self.rows.len() {
                    self.rows.push(Row { id, text: text.clone(), hash });
                }
                self.known.insert(hash, index);
                index
            }
        };
        let Some(row) = self.rows.get_mut(index).filter(|row| row.hash != hash) else { return };
        if order == Order::Later || is_further::<T>(&text, &row.text) {
            (row.text, row.hash) = (text, hash);
        }
    }

    /// Leaves out what these bytes hold.
    fn forget<T: Imported>(&mut self, bytes: &[u8]) {
        let there: HashSet<String> = rows_in::<T>(bytes).iter().filter_map(|text| id_of::<T>(text)).collect();
        self.rows.retain(|row| !there.contains(&row.id));
    }

    fn texts(self) -> Vec<String> {
        self.rows.into_iter().map(|row| row.text).collect()
    }
}

fn id_of<T: Imported>(text: &str) -> Option<String> {
    let record: T = serde_json::from_str(text).ok()?;
    Some(record.id().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_last_counts_and_of_two_sides_what_has_come_further() {
        let job = |status: &str, token: u64| format!(r#"{{"id":"a","status":"{status}","token":{token}}}"#);
        let (claimed, completed) = (job("claimed", 1), job("completed", 1));
        let (queued, later) = (job("queued", 1), job("running", 2));
        for (steps, expected) in [
            (vec![(&completed, Order::Later), (&claimed, Order::Beside)], &completed),
            (vec![(&claimed, Order::Later), (&completed, Order::Beside)], &completed),
            (vec![(&completed, Order::Later), (&later, Order::Beside)], &later),
            (vec![(&later, Order::Later), (&completed, Order::Beside)], &later),
            // Handed back, which is the same text as before.
            (vec![(&queued, Order::Later), (&claimed, Order::Later), (&queued, Order::Later)], &queued),
        ] {
            let mut seen = SeenRecords::default();
            for (text, order) in steps {
                let bytes = format!("{{\"jobs\":[{text}]}}").into_bytes();
                seen.note_at::<Job>(Job::PATH, &Content::File(bytes), order);
            }
            assert_eq!(seen.texts(), std::slice::from_ref(expected));
        }
    }
}
