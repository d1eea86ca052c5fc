//! Reads commits, trees and documents of one repository for a walk.

use super::merges::{MergedIn, Merges};
use super::told::READING;
use crate::domain::json::{DOCUMENT_BYTES_MAX, DocumentError};
use crate::git::commits::{CommitText, tree_of};
use crate::git::libgit2::{failed, oid, version};
use crate::ledger::{CommitTrailers, Content, LedgerError, MergeView, Version};
use git2::{ErrorCode, FileMode, ObjectType, Odb, Oid, Repository, Tree, TreeEntry};
use std::collections::HashSet;
use std::path::Path;

/// How deep folders are looked into; a hub's documents lie in the second and third.
const FOLDERS_MAX: usize = 4;

const READING_FILE: &str = "cannot read a file of the hub";

/// Reads commits and documents of one repository.
pub(super) struct Reader<'a> {
    pub(super) repository: &'a Repository,
    odb: Odb<'a>,
    wants: &'a dyn Fn(&str) -> bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        wants: &'a dyn Fn(&str) -> bool,
    ) -> Result<Self, LedgerError> {
        Ok(Self { repository, odb: failed(READING, repository.odb())?, wants })
    }

    /// A commit.
    pub(super) fn commit(&self, id: Oid) -> Result<CommitText<'_>, LedgerError> {
        failed(READING, CommitText::read(&self.odb, id))
    }

    /// Takes the next commit of the way, and tells what it merged in.
    pub(super) fn follow(
        &self,
        merges: &mut Merges,
        told: &CommitTrailers,
        commit: (Oid, &CommitText<'_>),
    ) -> Result<MergedIn, LedgerError> {
        merges.follow(&self.odb, told, commit)
    }

    /// What a merge, of which the folder is `after`, is to each of the histories that it merged in.
    pub(super) fn merged(&self, brought: &MergedIn, after: Oid) -> Result<Vec<MergeView>, LedgerError> {
        let mut merged = Vec::new();
        for (parent, steps) in &brought.to {
            // Where a shallow clone ends it is not known what was merged.
            let Ok(tree) = CommitText::read(&self.odb, *parent).and_then(|parent| parent.tree()) else {
                continue;
            };
            let changed = self.compare(Some(tree), after)?;
            let changed = changed.into_iter().map(|(path, _)| path).collect();
            merged.push(MergeView { brought: *steps, changed, tip: version(*parent) });
        }
        Ok(merged)
    }

    /// The wanted documents in which a tree differs from one before, and what lies there now.
    pub(super) fn compare(
        &self,
        before: Option<Oid>,
        after: Oid,
    ) -> Result<Vec<(String, Option<NamedEntry>)>, LedgerError> {
        let mut changed = Vec::new();
        if before != Some(after) {
            self.compare_folder((before, Some(after)), "", 0, &mut changed)?;
        }
        Ok(changed)
    }

    fn compare_folder(
        &self,
        (before, after): (Option<Oid>, Option<Oid>),
        folder: &str,
        depth: usize,
        changed: &mut Vec<(String, Option<NamedEntry>)>,
    ) -> Result<(), LedgerError> {
        let tree = |id: Option<Oid>| id.map(|id| failed(READING, self.repository.find_tree(id))).transpose();
        let (before, after) = (tree(before)?, tree(after)?);
        let entry_of = |tree: &Option<Tree<'_>>, name: &str| {
            tree.as_ref().and_then(|tree| tree.get_name(name)).map(|entry| NamedEntry::of(&entry))
        };
        let mut names = HashSet::new();
        for entry in after.iter().chain(&before).flat_map(Tree::iter) {
            // What is no text is no name of ours.
            let Ok(name) = entry.name() else { continue };
            let (was, is) = (entry_of(&before, name), entry_of(&after, name));
            if was == is || !names.insert(name.to_owned()) {
                continue;
            }
            let path = format!("{folder}{name}");
            let inside = format!("{path}/");
            let tree_in = |lies: Option<NamedEntry>| lies.filter(NamedEntry::is_folder).map(|lies| lies.id);
            let trees = (tree_in(was), tree_in(is));
            if depth < FOLDERS_MAX && trees.0 != trees.1 && (self.wants)(&inside) {
                self.compare_folder(trees, &inside, depth + 1, changed)?;
            }
            if (self.wants)(&path) {
                changed.push((path, is));
            }
        }
        Ok(())
    }

    /// What lies at a path after a commit.
    pub(super) fn at(&self, commit: &Version, path: &str) -> Result<Content, LedgerError> {
        let tree = failed(READING, tree_of(self.repository, oid(commit)?))?;
        match tree.get_path(Path::new(path)) {
            Ok(entry) => self.content(path, Some(NamedEntry::of(&entry))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(Content::Missing),
            Err(error) => failed(READING, Err(error)),
        }
    }

    fn content(&self, path: &str, lies: Option<NamedEntry>) -> Result<Content, LedgerError> {
        match self.look(path, lies)? {
            PathEntry::Told(content) => Ok(content),
            PathEntry::File { id, .. } => Ok(Content::File(bytes_of(&self.odb, id)?)),
        }
    }

    /// What lies there, without the bytes of a file.
    pub(super) fn look(&self, path: &str, lies: Option<NamedEntry>) -> Result<PathEntry, LedgerError> {
        let refuse = |error: DocumentError| Ok(PathEntry::Told(Content::Unusable(error)));
        let Some(lies) = lies else { return Ok(PathEntry::Told(Content::Missing)) };
        if !lies.is_file() {
            return refuse(DocumentError::no_file(path));
        }
        let (size, _) = failed(READING_FILE, self.odb.read_header(lies.id))?;
        if size > DOCUMENT_BYTES_MAX {
            let problem = format!("it has {size} bytes, more than the {DOCUMENT_BYTES_MAX} allowed");
            return refuse(DocumentError::new(path, problem));
        }
        Ok(PathEntry::File { id: lies.id, size })
    }
}

/// The bytes of a file.
pub(super) fn bytes_of(odb: &Odb<'_>, id: Oid) -> Result<Vec<u8>, LedgerError> {
    Ok(failed(READING_FILE, odb.read(id))?.data().to_vec())
}

/// What lies at a path, as far as it is known without reading a file.
pub(super) enum PathEntry {
    /// All there is to tell.
    Told(Content),
    /// A file that can be read.
    File {
        /// Its id.
        id: Oid,
        /// How many bytes it has.
        size: usize,
    },
}

impl PathEntry {
    /// The file that is to be read, if it is one.
    pub(super) fn id(&self) -> Option<Oid> {
        match self {
            Self::File { id, .. } => Some(*id),
            Self::Told(_) => None,
        }
    }
}

/// What lies at a name in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NamedEntry {
    id: Oid,
    kind: Option<ObjectType>,
    mode: i32,
}

impl NamedEntry {
    fn of(entry: &TreeEntry<'_>) -> Self {
        Self { id: entry.id(), kind: entry.kind(), mode: entry.filemode() }
    }

    fn is_folder(&self) -> bool {
        self.kind == Some(ObjectType::Tree)
    }

    fn is_file(&self) -> bool {
        self.kind == Some(ObjectType::Blob) && self.mode != i32::from(FileMode::Link)
    }
}
