//! Writing the index of a clone so that a kill at any moment leaves nothing that stops git.
//!
//! git and libgit2 build the new index inside `index.lock`. A process killed there leaves the file,
//! and it stops every later command until a person removes it: nobody else may, since the lock of a
//! commit whose message is being edited looks the same. So the lock we take carries our mark, the new
//! index is built beside it, and a lock with our mark is removed by the next of us. The caller
//! holds the lock of the clone among processes of ours, so that its owner is dead.

use crate::machine::files::{self, FileError};
use git2::{ErrorClass, ErrorCode, Index, Repository};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// What our lock says. Never changes: it is how another version knows it.
const MARK: &str = "taken by git-muster\n";

/// The index of a clone, locked until dropped.
pub(super) struct LockedIndex {
    /// The entries; changed in memory until [`Self::write`].
    pub entries: Index,
    /// Whether the clone has none: nothing was ever checked out in it.
    pub is_missing: bool,
    path: PathBuf,
    copy: PathBuf,
    lock: PathBuf,
}

impl LockedIndex {
    /// Locks and reads the index.
    ///
    /// # Errors
    /// `Locked` when somebody else holds the lock.
    pub(super) fn take(repository: &Repository) -> Result<Self, git2::Error> {
        let folder = repository.path();
        let (mark, lock) = (folder.join("muster.index-mark"), folder.join("index.lock"));
        if files::read(&mark).map_err(|error| unusual(&error))?.as_deref() != Some(MARK) {
            files::write(&mark, MARK).map_err(|error| unusual(&error))?;
        }
        if files::read(&lock).is_ok_and(|text| text.as_deref() == Some(MARK)) {
            files::remove(&lock).map_err(|error| unusual(&error))?;
        }
        // A link is there at once and with its content.
        fs::hard_link(&mark, &lock).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => git2::Error::new(
                ErrorCode::Locked,
                ErrorClass::Index,
                format!("another git process is at work in it, or was killed: `{}` exists", lock.display()),
            ),
            _ => git2::Error::from_str(&format!("cannot create `{}`: {error}", lock.display())),
        })?;
        let (path, copy) = (folder.join("index"), folder.join("muster.index"));
        let mut index = Self { entries: Index::new()?, is_missing: false, path, copy, lock };
        index.read(repository)?;
        Ok(index)
    }

    fn read(&mut self, repository: &Repository) -> Result<(), git2::Error> {
        // What a killed process of ours was building.
        for left in [self.copy.clone(), self.copy.with_extension("index.lock")] {
            files::remove(&left).map_err(|error| unusual(&error))?;
        }
        let copied = fs::copy(&self.path, &self.copy).and_then(|_| {
            // The time of the index tells which of its entries cannot be trusted by theirs.
            let modified = fs::metadata(&self.path)?.modified()?;
            File::options().write(true).open(&self.copy)?.set_modified(modified)
        });
        match copied {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.is_missing = true,
            Err(error) => {
                return Err(git2::Error::from_str(&format!(
                    "cannot copy `{}`: {error}",
                    self.path.display()
                )));
            }
            Ok(()) => {}
        }
        self.entries = Index::open(&self.copy)?;
        repository.set_index(&mut self.entries)
    }

    /// Puts the changed entries in place.
    ///
    /// # Errors
    /// When they cannot be written; the index is as it was then.
    pub(super) fn write(&mut self) -> Result<(), git2::Error> {
        self.entries.write()?;
        fs::rename(&self.copy, &self.path).map_err(|error| {
            git2::Error::from_str(&format!("cannot replace `{}`: {error}", self.path.display()))
        })
    }
}

impl Drop for LockedIndex {
    fn drop(&mut self) {
        // What cannot be removed carries our mark, and the next of us removes it.
        drop(files::remove(&self.lock));
        drop(files::remove(&self.copy));
    }
}

fn unusual(error: &FileError) -> git2::Error {
    git2::Error::from_str(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_lock_of_others_is_respected_and_one_we_left_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init(folder.path()).expect("repository");
        let lock = repository.path().join("index.lock");
        for (left, expected) in [(None, true), (Some("somebody else's"), false), (Some(MARK), true)] {
            if let Some(left) = left {
                files::write(&lock, left).expect("writes");
            }
            let taken = LockedIndex::take(&repository);
            let is_locked = taken.as_ref().is_err_and(|error| error.code() == ErrorCode::Locked);
            assert_eq!((taken.is_ok(), is_locked), (expected, !expected), "{left:?}");
            assert!(lock.exists());
            drop(taken);
            assert_eq!(lock.exists(), !expected, "{left:?}");
            drop(files::remove(&lock));
        }
    }

    #[test]
    fn what_is_written_takes_the_place_of_the_index_and_what_is_not_leaves_it() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init(folder.path()).expect("repository");
        files::write(&folder.path().join("file"), "x").expect("writes");
        for (writes, entries) in [(false, 0), (true, 1)] {
            let mut index = LockedIndex::take(&repository).expect("nobody else is here");
            index.entries.add_path(Path::new("file")).expect("adds");
            if writes {
                index.write().expect("writes");
            }
            drop(index);
            let read = Repository::open(folder.path()).and_then(|repository| repository.index());
            assert_eq!(read.expect("reads").len(), entries);
            assert!(!repository.path().join("muster.index").exists());
        }
        // What a killed process of ours left behind is in nobody's way.
        files::write(&repository.path().join("muster.index"), "half").expect("writes");
        let index = LockedIndex::take(&repository).expect("nobody else is here");
        assert_eq!(index.entries.len(), 1);
    }
}
