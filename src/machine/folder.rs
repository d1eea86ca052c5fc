//! Looking into folders: what lies there, how large and how old it is. Bounded, and through no
//! link: a folder of refs or objects may hold anything that others put there.

use super::clock;
use crate::domain::time::Timestamp;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most entries that one look goes through.
const ENTRIES_MAX: usize = 500_000;

/// Something that lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Where.
    pub path: PathBuf,
    /// Its size; of a folder that of its entry alone.
    pub bytes: u64,
    /// Since its content changed, by this machine's clock.
    pub age: Duration,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it belongs to this user.
    pub is_ours: bool,
}

impl DirectoryEntry {
    /// Its name without the path.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// What `wanted` takes of everything at most `depth` folders below `top`, by path.
#[must_use]
pub fn find(top: &Path, depth: usize, wanted: &dyn Fn(&DirectoryEntry) -> bool) -> Vec<DirectoryEntry> {
    let now = clock::wall();
    let (mut open, mut found, mut left) = (vec![(top.to_owned(), depth)], Vec::new(), ENTRIES_MAX);
    while let Some((folder, depth)) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(data) = entry.metadata() else { continue };
            let Some(fewer) = left.checked_sub(1) else { return found };
            left = fewer;
            let entry = DirectoryEntry {
                path: entry.path(),
                bytes: data.len(),
                age: age(data.mtime(), now),
                is_folder: data.is_dir(),
                is_ours: data.uid() == nix::unistd::geteuid().as_raw(),
            };
            if entry.is_folder && depth > 0 {
                open.push((entry.path.clone(), depth - 1));
            }
            if wanted(&entry) {
                found.push(entry);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn age(changed_seconds: i64, now: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(now.unix_seconds().saturating_sub(changed_seconds)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_as_deep_as_asked_and_follows_no_link() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir_all(folder.path().join("a/b/c")).expect("folders");
        for file in ["x.lock", "a/x.lock", "a/b/x.lock", "a/b/c/x.lock"] {
            fs::File::create(folder.path().join(file)).expect("file");
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/again")).expect("link");
        let locks = |depth| find(folder.path(), depth, &|found| found.name() == "x.lock").len();
        assert_eq!((locks(0), locks(1), locks(2), locks(9)), (1, 2, 3, 4));
        assert!(find(&folder.path().join("none"), 3, &|_| true).is_empty());
    }
}
