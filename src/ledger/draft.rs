//! What the requests of one batch want changed, before it is a commit.
//!
//! A request that is refused leaves no trace: what it did is taken back from a log of what stood there before.
//! Knows nothing of what a document holds.

use super::document::Document;
use super::error::{Abort, LedgerError};
use super::snapshot::{Documents as _, Snapshot};
use super::vocabulary::{Changed, Changes};
use crate::domain::id::OpId;
use crate::domain::json::DOCUMENT_BYTES_MAX;
use crate::domain::refusal::{Kind, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A document by its branch and path.
type DocumentKey = (String, String);

/// What a set of operations wants changed, before it is a commit.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Changed documents by branch.
    pub branches: BTreeMap<String, Changes>,
    /// Branches that hold one commit, replaced each time.
    pub replaced: BTreeSet<String>,
    /// What was done, a line each: `job claim: job_1 by build2`.
    pub lines: Vec<String>,
    /// Trailers of the commit message, in order.
    pub trailers: Vec<(&'static str, String)>,
    /// Whether the main branch has to be where it was read, whatever is written elsewhere.
    pub holds_main: bool,
    /// What is published where something was written.
    published: BTreeMap<DocumentKey, Option<Arc<Document>>>,
    undo: Undo,
}

/// How to take back what the present request did.
#[derive(Debug, Default)]
struct Undo {
    /// What stood in the draft before each change, in their order; `None`: nothing did.
    changes: Vec<(DocumentKey, Option<Option<Arc<Document>>>)>,
    /// Branches that are replaced because of it.
    replaced: Vec<String>,
    lines: usize,
    trailers: usize,
    holds_main: bool,
}

impl Draft {
    /// The next request begins.
    pub(super) fn begin(&mut self) {
        let (lines, trailers, holds_main) = (self.lines.len(), self.trailers.len(), self.holds_main);
        self.undo = Undo { lines, trailers, holds_main, ..Undo::default() };
    }

    /// Writes a document, or removes it.
    pub(super) fn put(&mut self, branch: &str, path: &str, document: Option<Document>) {
        let changes = self.branches.entry(branch.to_owned()).or_default();
        let before = changes.insert(path.to_owned(), document.map(Arc::new));
        self.undo.changes.push(((branch.to_owned(), path.to_owned()), before));
    }

    /// Has a branch replaced by the one commit that it is to hold.
    pub(super) fn replace(&mut self, branch: &str) {
        if self.replaced.insert(branch.to_owned()) {
            self.undo.replaced.push(branch.to_owned());
        }
    }

    /// Takes what the present request, `op`, did for good.
    ///
    /// # Errors
    /// When it wrote what nobody could read again, or where something stands that cannot be read.
    pub(super) fn accept(&mut self, op: &OpId, snapshot: &Snapshot<'_>) -> Result<(), Abort> {
        self.check()?;
        for (place, _) in &self.undo.changes {
            if self.published.contains_key(place) {
                continue;
            }
            let (branch, path) = place;
            let published = match snapshot.document(branch, path) {
                // Whoever writes there knows what stands there, and that is no document.
                Err(LedgerError::Document(error)) if error.is_no_file() => continue,
                published => published?,
            };
            self.published.insert(place.clone(), published);
        }
        self.trailers.push(("Muster-Op", op.to_string()));
        Ok(())
    }

    /// Takes back what the present request did.
    pub(super) fn take_back(&mut self) {
        let Undo { changes, replaced, lines, trailers, holds_main } = std::mem::take(&mut self.undo);
        for ((branch, path), before) in changes.into_iter().rev() {
            let Some(changes) = self.branches.get_mut(&branch) else { continue };
            match before {
                Some(before) => drop(changes.insert(path, before)),
                None => drop(changes.remove(&path)),
            }
            if changes.is_empty() {
                self.branches.remove(&branch);
            }
        }
        for branch in replaced {
            self.replaced.remove(&branch);
        }
        self.lines.truncate(lines);
        self.trailers.truncate(trailers);
        self.holds_main = holds_main;
    }

    /// Refuses what nobody could read again.
    fn check(&self) -> Result<(), Refusal> {
        let written =
            self.undo.changes.iter().filter_map(|((branch, path), _)| {
                Some((path, self.branches.get(branch)?.get(path)?.as_ref()?))
            });
        let mut large = written.filter(|(_, document)| document.is_longer_than(DOCUMENT_BYTES_MAX));
        let Some((path, document)) = large.next() else { return Ok(()) };
        let bytes = document.bytes().len();
        let (kind, path, limit) = (Kind::Document, path.clone(), DOCUMENT_BYTES_MAX);
        Err(Refusal::DocumentTooLarge { kind, path, bytes, limit })
    }

    /// What stands at a place where something was written.
    fn published(&self, branch: &str, path: &str) -> Option<&Document> {
        self.published.get(&(branch.to_owned(), path.to_owned()))?.as_deref()
    }

    /// Takes out what the hub has already; `true` when nothing is left.
    pub(super) fn drop_unchanged(&mut self) -> bool {
        for (branch, changes) in &mut self.branches {
            changes.retain(|path, document| {
                let published = self.published.get(&(branch.clone(), path.clone()));
                published.is_none_or(|published| bytes_of(published) != bytes_of(document))
            });
        }
        self.branches.retain(|_, changes| !changes.is_empty());
        self.branches.is_empty()
    }

    /// Which records of the tables of a branch differ from what is published there.
    pub(super) fn records(&self, branch: &str) -> Vec<Changed> {
        let changes = self.branches.get(branch).into_iter().flatten();
        let changed = changes.filter_map(|(path, document)| {
            let published = self.published(branch, path);
            let (ids, others) = document.as_ref()?.changed(path, published)?;
            Some(Changed { path: path.clone(), ids, others })
        });
        changed.collect()
    }

    /// A record whose token would be lower than it is: whoever has the highest is believed.
    pub(super) fn fallen_token(&self) -> Option<String> {
        let mut documents = self.branches.iter().flat_map(|(branch, changes)| {
            changes.iter().map(move |(path, document)| (branch, path, document))
        });
        documents.find_map(|(branch, path, document)| {
            document.as_ref()?.fallen_token(path, self.published(branch, path))
        })
    }
}

fn bytes_of(document: &Option<Arc<Document>>) -> Option<&[u8]> {
    document.as_deref().map(Document::bytes)
}
