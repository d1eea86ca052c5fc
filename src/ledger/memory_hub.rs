//! A hub in memory: commits and where the branches are. [`super::memory_store`] is an engine on it, the simulator
//! has another. Nothing goes wrong in here.

use super::document::Document;
use super::trailers::shows;
use super::vocabulary::{Commit, FoundOperation, Move, Publication, Reached, Search, Version};
use crate::domain::id::OpId;
use crate::domain::planted::planted;
use crate::domain::time::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::iter;
use std::sync::Arc;

/// The documents of a commit by path.
pub(crate) type Files = BTreeMap<Arc<str>, Arc<Document>>;

/// Branches and where they are.
pub(crate) type Refs = BTreeMap<String, Version>;

/// A commit.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub parent: Option<Version>,
    pub files: Arc<Files>,
    pub message: Arc<str>,
    /// Who made it and when; nothing of one that was made by hand.
    pub made: Option<(Arc<str>, Timestamp)>,
    /// How many commits come before it.
    pub depth: u64,
}

/// A hub.
#[derive(Debug, Default)]
pub(crate) struct MemoryHub {
    pub commits: HashMap<Version, Stored>,
    pub refs: Arc<Refs>,
}

impl MemoryHub {
    /// Keeps a commit. The same commit twice is one: its version follows from what it holds.
    pub(crate) fn store(
        &mut self,
        parent: Option<Version>,
        files: Arc<Files>,
        message: Arc<str>,
        made: Option<(Arc<str>, Timestamp)>,
    ) -> Version {
        let before = parent.as_ref().and_then(|parent| self.commits.get(parent));
        let depth = before.map_or(0, |before| before.depth + 1);
        let mut hasher = DefaultHasher::new();
        (&parent, &message, made.as_ref().map(|(_, at)| at.unix_seconds())).hash(&mut hasher);
        for (path, document) in &*files {
            let same = before
                .and_then(|before| before.files.get(path))
                .is_some_and(|one| Arc::ptr_eq(one, document));
            if !same {
                (path, document.bytes()).hash(&mut hasher);
            }
        }
        let version = Version::new(format!("{:016x}", hasher.finish()));
        self.commits.entry(version.clone()).or_insert(Stored { parent, files, message, made, depth });
        version
    }

    /// Keeps what an engine is told to build.
    pub(crate) fn build(&mut self, commit: &Commit<'_>) -> Version {
        let files = changed(&self.files(commit.base), commit);
        let parent = commit.base.filter(|_| commit.follows).cloned();
        let made = Some((commit.author.into(), commit.at));
        self.store(parent, Arc::new(files), commit.message.into(), made)
    }

    /// The documents of a version.
    pub(crate) fn files(&self, version: Option<&Version>) -> Arc<Files> {
        version
            .and_then(|version| self.commits.get(version))
            .map(|one| Arc::clone(&one.files))
            .unwrap_or_default()
    }

    /// One document of a version.
    pub(crate) fn file(&self, version: &Version, path: &str) -> Option<Arc<Document>> {
        self.commits.get(version)?.files.get(path).cloned()
    }

    /// A commit and all before it, the newest first.
    pub(crate) fn history<'a>(
        &'a self,
        tip: Option<&'a Version>,
    ) -> impl Iterator<Item = (&'a Version, &'a Stored)> {
        let find = |version: &'a Version| self.commits.get_key_value(version);
        iter::successors(tip.and_then(find), move |(_, stored)| stored.parent.as_ref().and_then(find))
    }

    /// Whether `version` is `tip` or in its history.
    pub(crate) fn leads_to(&self, version: &Version, tip: &Version) -> bool {
        self.history(Some(tip)).any(|(seen, _)| seen == version)
    }

    /// Looks for an operation back to `since`, in so many commits at most.
    pub(crate) fn find(&self, tip: &Version, op: &OpId, since: Option<&Version>, most: usize) -> Search {
        let commits = self.history(Some(tip)).take_while(|(version, _)| Some(*version) != since);
        for (index, (version, stored)) in commits.enumerate() {
            if index == most {
                return Search::CannotTell(Reached::Shallow);
            }
            if shows(&stored.message, op) {
                return Search::Found(FoundOperation {
                    version: version.clone(),
                    before: stored.parent.clone(),
                    at: stored.made.as_ref().map(|(_, at)| *at),
                    subject: stored.message.lines().next().unwrap_or_default().to_owned(),
                });
            }
        }
        Search::NotThere
    }

    /// Moves branches if all are where they are expected to be.
    pub(crate) fn swap(&mut self, moves: &[Move]) -> Publication {
        self.swap_some(moves, moves)
    }

    /// Compares all of `moves`, and makes those that are `moved`.
    pub(crate) fn swap_some(&mut self, moves: &[Move], moved: &[Move]) -> Publication {
        let is_stale = moves.iter().any(|one| self.refs.get(&one.branch) != one.from.as_ref());
        if is_stale && !planted("moves-without-comparing") {
            return Publication::Stale;
        }
        for one in moved {
            Arc::make_mut(&mut self.refs).insert(one.branch.clone(), one.to.clone());
        }
        Publication::Applied
    }
}

/// Names of what lies directly in a folder.
pub(crate) fn names_in(files: &Files, folder: &str) -> Vec<String> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let inside = |rest: &str| match rest.split_once('/') {
        Some((folder, _)) => format!("{folder}/"),
        None => rest.to_owned(),
    };
    let mut names: Vec<String> =
        files.keys().filter_map(|path| path.strip_prefix(&prefix)).map(inside).collect();
    names.dedup();
    names
}

/// The documents after a commit.
pub(crate) fn changed(before: &Files, commit: &Commit<'_>) -> Files {
    let mut files = before.clone();
    for (path, change) in commit.changes {
        match change {
            Some(document) => {
                // It is read again as everybody else does.
                let before = files.get(path.as_str()).cloned();
                let document = Document::after(before, document.bytes().to_vec());
                files.insert(path.as_str().into(), Arc::new(document));
            }
            None => drop(files.remove(path.as_str())),
        }
    }
    files
}
