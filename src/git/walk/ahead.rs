//! Reading ahead: the documents of the next few commits, on all processors at once.
//!
//! To inflate and to verify what git stores takes nearly all of the time of a walk, and each file
//! can be read without the others. What is read ahead is bounded by commits and by bytes.

use super::merges::Merges;
use super::reader::{PathEntry, Reader, bytes_of};
use super::told::{READING, open, told};
use crate::git::libgit2::failed;
use crate::ledger::{CommitTrailers, Content, LedgerError, MergeView, Version, Visitor, WalkStep};
use crate::machine::facts;
use git2::{Oid, Repository};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many commits, and how many bytes of documents, are read ahead at most.
const COMMITS_AHEAD: usize = 64;
const BYTES_AHEAD: usize = 16 * 1024 * 1024;

/// How many commits behind merges, and operations, are read ahead before the rest waits.
const TOLD_AHEAD: usize = 10_000;

/// The most threads that read.
const READERS_MAX: usize = 8;

/// A commit of which the documents are still to be read.
pub(super) struct PlannedCommit {
    told: CommitTrailers,
    aside: Vec<CommitTrailers>,
    merged: Vec<MergeView>,
    changed: Vec<(String, PathEntry)>,
    /// The tree of the commit.
    pub tree: Oid,
    before: Option<Version>,
}

/// The commits that come next.
#[derive(Default)]
pub(super) struct ReadAhead {
    /// In their order.
    pub steps: Vec<PlannedCommit>,
    bytes: usize,
    /// How many commits behind merges and operations are kept.
    told: usize,
}

/// The repositories with which threads read, one each.
pub(super) struct Helpers(Vec<Repository>);

impl Helpers {
    pub(super) fn new(path: &Path) -> Result<Self, LedgerError> {
        let threads = facts::processors().min(READERS_MAX);
        Ok(Self((0..threads).map(|_| open(path)).collect::<Result<_, _>>()?))
    }

    /// Reads files, in any order, and gives them in theirs.
    fn read(&mut self, ids: &[Oid]) -> Result<Vec<Vec<u8>>, LedgerError> {
        let next = AtomicUsize::new(0);
        let work = |repository: &mut Repository| -> Result<Vec<(usize, Vec<u8>)>, LedgerError> {
            let odb = failed(READING, repository.odb())?;
            let mut read = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(id) = ids.get(index) else { return Ok(read) };
                read.push((index, bytes_of(&odb, *id)?));
            }
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = self.0.iter_mut().map(|helper| scope.spawn(|| work(helper))).collect();
            threads.into_iter().map(|thread| thread.join().expect("reading does not panic")).collect()
        });
        let mut files = vec![Vec::new(); ids.len()];
        for result in results {
            for (index, bytes) in result? {
                if let Some(file) = files.get_mut(index) {
                    *file = bytes;
                }
            }
        }
        Ok(files)
    }
}

impl ReadAhead {
    /// Adds a commit; `before` is the one that is walked before it, and its tree.
    pub(super) fn plan(
        &mut self,
        id: Oid,
        before: Option<(Version, Oid)>,
        reader: &Reader<'_>,
        merges: &mut Merges,
    ) -> Result<(), LedgerError> {
        let commit = reader.commit(id)?;
        let tree = failed(READING, commit.tree())?;
        let mut changed = Vec::new();
        for (path, lies) in reader.compare(before.as_ref().map(|(_, tree)| *tree), tree)? {
            let look = reader.look(&path, lies)?;
            if let PathEntry::File { size, .. } = look {
                self.bytes = self.bytes.saturating_add(size);
            }
            changed.push((path, look));
        }
        let told = told(id, &commit);
        let brought = reader.follow(merges, &told, (id, &commit))?;
        let merged = reader.merged(&brought, tree)?;
        self.told += brought.aside.iter().map(|told| told.ops.len() + 1).sum::<usize>() + told.ops.len();
        self.steps.push(PlannedCommit {
            told,
            aside: brought.aside,
            merged,
            changed,
            tree,
            before: before.map(|(version, _)| version),
        });
        Ok(())
    }

    /// Whether it is time to read.
    pub(super) fn is_enough(&self) -> bool {
        self.steps.len() >= COMMITS_AHEAD || self.bytes >= BYTES_AHEAD || self.told >= TOLD_AHEAD
    }

    /// Reads the documents and shows the commits, of which the first has this number of so many.
    pub(super) fn visit(
        self,
        reader: &Reader<'_>,
        helpers: &mut Helpers,
        (first, of): (usize, usize),
        visit: &mut Visitor<'_>,
    ) -> Result<(), LedgerError> {
        let looks = self.steps.iter().flat_map(|step| &step.changed);
        let ids: Vec<Oid> = looks.filter_map(|(_, look)| look.id()).collect();
        let mut files = helpers.read(&ids)?.into_iter();
        let read = |version: &Version, path: &str| reader.at(version, path);
        for (number, step) in (first..).zip(self.steps) {
            let mut content = |look| match look {
                PathEntry::Told(content) => content,
                PathEntry::File { .. } => files.next().map_or(Content::Missing, Content::File),
            };
            let changed = step.changed.into_iter().map(|(path, look)| (path, content(look))).collect();
            let PlannedCommit { told, aside, merged, before, .. } = step;
            visit(&WalkStep { told, aside, changed, merged, number, of, before, reader: &read })?;
        }
        Ok(())
    }
}
