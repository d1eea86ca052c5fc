//! Records that the history of a hub holds and its tip lost.

use crate::domain::import::{Imported, rows_in};
use crate::domain::job::Job;
use crate::domain::message::Message;
use crate::domain::table::Row as _;
use crate::ledger::{Content, Documents as _, LedgerError, Reached, Snapshot};
use crate::ops::fsck::Document;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Records as they stood last, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// Jobs.
    pub jobs: Vec<String>,
    /// Messages.
    pub messages: Vec<String>,
    /// Whether the history goes further back than it was read.
    pub is_cut: bool,
}

/// The jobs and messages that were in the history of the main branch and are neither live nor in the
/// archive any more.
///
/// # Errors
/// When the store is damaged.
pub fn lost(snapshot: &Snapshot<'_>) -> Result<Lost, LedgerError> {
    let (mut jobs, mut messages) = (Seen::default(), Seen::default());
    let wants = |path: &str| matches!(path, "coordination/" | Job::PATH | Message::PATH);
    let reached = snapshot.walk(&wants, &mut |stride| {
        for (path, content) in &stride.changed {
            jobs.note_at::<Job>(path, content);
            messages.note_at::<Message>(path, content);
        }
        for merged in &stride.merged {
            for path in merged.changed.iter().filter(|path| wants(path)) {
                let content = stride.merged_in(merged, path)?;
                jobs.note_at::<Job>(path, &content);
                messages.note_at::<Message>(path, &content);
            }
        }
        Ok(())
    })?;
    let mut paths = vec![Job::PATH.to_owned(), Message::PATH.to_owned()];
    let archives = snapshot.list("coordination/archive")?;
    paths.extend(archives.iter().map(|name| format!("coordination/archive/{name}")));
    for path in paths {
        let document = match snapshot.document(snapshot.main(), &path) {
            Err(LedgerError::Document(error)) if error.is_no_file() => continue,
            document => document?,
        };
        let Some(document) = document else { continue };
        match Document::at(&path) {
            Some(Document::Jobs | Document::JobArchive) => jobs.forget::<Job>(document.bytes()),
            Some(Document::Messages | Document::MessageArchive) => {
                messages.forget::<Message>(document.bytes());
            }
            _ => {}
        }
    }
    let is_cut = !matches!(reached, Reached::Beginning);
    Ok(Lost { jobs: jobs.texts(), messages: messages.texts(), is_cut })
}

/// The records of one sort that were seen so far, by id.
#[derive(Default)]
struct Seen {
    /// Texts that were looked at: most versions of a table differ in one record.
    known: HashSet<u64>,
    rows: Vec<(String, String)>,
    index: HashMap<String, usize>,
}

impl Seen {
    fn note_at<T: Imported>(&mut self, path: &str, content: &Content) {
        let Content::File(bytes) = content else { return };
        if path != T::PATH {
            return;
        }
        for text in rows_in::<T>(bytes) {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            if !self.known.insert(hasher.finish()) {
                continue;
            }
            let Some(id) = id_of::<T>(&text) else { continue };
            match self.index.get(&id).and_then(|index| self.rows.get_mut(*index)) {
                Some(row) => row.1 = text,
                None => {
                    self.index.insert(id.clone(), self.rows.len());
                    self.rows.push((id, text));
                }
            }
        }
    }

    /// Leaves out what these bytes hold.
    fn forget<T: Imported>(&mut self, bytes: &[u8]) {
        let there: HashSet<String> = rows_in::<T>(bytes).iter().filter_map(|text| id_of::<T>(text)).collect();
        self.rows.retain(|(id, _)| !there.contains(id));
    }

    fn texts(self) -> Vec<String> {
        self.rows.into_iter().map(|(_, text)| text).collect()
    }
}

fn id_of<T: Imported>(text: &str) -> Option<String> {
    let record: T = serde_json::from_str(text).ok()?;
    Some(record.id().to_owned()).filter(|id| !id.is_empty())
}
