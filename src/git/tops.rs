//! What lies at the top of a commit, read once however many documents are read below it.
//!
//! A hub has a folder for each server at its top. To find one document git reads the whole of that list;
//! of a thousand servers that would be done some thousand times.

use super::commits::tree_of;
use git2::{Error, ObjectType, Oid, Repository};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// From how many entries on a list is kept. A branch of heartbeats has one, and is read once.
const ENTRIES_KEPT_MIN: usize = 16;

/// How many lists are kept: those of the main branch, before and after a write, and some to spare.
const TOPS_KEPT_MAX: usize = 4;

/// One thing in a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub id: Oid,
    pub kind: Option<ObjectType>,
    pub mode: i32,
}

/// The entries at the top of a commit, by name.
#[derive(Debug)]
pub(super) struct TopTree {
    /// In the order of git; names that are no text are left out: no document has one.
    pub entries: Vec<(String, Entry)>,
    places: HashMap<String, usize>,
}

impl TopTree {
    fn read(repository: &Repository, commit: Oid) -> Result<Self, Error> {
        let tree = tree_of(repository, commit)?;
        let entry = |entry: &git2::TreeEntry<'_>| {
            let name = entry.name().ok()?.to_owned();
            Some((name, Entry { id: entry.id(), kind: entry.kind(), mode: entry.filemode() }))
        };
        let entries: Vec<(String, Entry)> = tree.iter().filter_map(|one| entry(&one)).collect();
        let places = entries.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Ok(Self { entries, places })
    }

    /// What is called `name`.
    pub(super) fn get(&self, name: &str) -> Option<Entry> {
        self.entries.get(*self.places.get(name)?).map(|(_, entry)| *entry)
    }
}

/// Those that were read last, by their commits: what a commit holds never changes.
#[derive(Debug, Default)]
pub(super) struct TopTreeCache(RefCell<Vec<(Oid, Arc<TopTree>)>>);

impl TopTreeCache {
    /// The top of a commit.
    pub(super) fn of(&self, repository: &Repository, commit: Oid) -> Result<Arc<TopTree>, Error> {
        if let Some((_, top)) = self.0.borrow().iter().find(|(kept, _)| *kept == commit) {
            return Ok(Arc::clone(top));
        }
        let top = Arc::new(TopTree::read(repository, commit)?);
        if top.entries.len() >= ENTRIES_KEPT_MIN {
            let mut kept = self.0.borrow_mut();
            if kept.len() == TOPS_KEPT_MAX {
                kept.remove(0);
            }
            kept.push((commit, Arc::clone(&top)));
        }
        Ok(top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::FileMode;

    #[test]
    fn a_long_list_is_read_once_and_a_short_one_each_time() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let commit = |files: usize| {
            let mut tree = repository.treebuilder(None).expect("a tree");
            let blob = repository.blob(b"x").expect("writes");
            for number in 0..files {
                tree.insert(format!("f{number}"), blob, i32::from(FileMode::Blob)).expect("inserts");
            }
            let text = format!(
                "tree {}\nauthor a <> 1 +0000\ncommitter a <> 1 +0000\n\nx",
                tree.write().expect("writes")
            );
            repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes())).expect("writes")
        };
        let tops = TopTreeCache::default();
        for (files, is_kept) in [(1, false), (ENTRIES_KEPT_MIN, true)] {
            let commit = commit(files);
            let [first, second] = [(); 2].map(|()| tops.of(&repository, commit).expect("reads"));
            assert_eq!(Arc::ptr_eq(&first, &second), is_kept);
            assert_eq!(first.entries.len(), files);
            assert!(first.get("f0").is_some() && first.get("g").is_none());
        }
        for files in ENTRIES_KEPT_MIN + 1..2 * ENTRIES_KEPT_MIN {
            tops.of(&repository, commit(files)).expect("reads");
        }
        assert_eq!(tops.0.borrow().len(), TOPS_KEPT_MAX);
    }
}
