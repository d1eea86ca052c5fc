//! Lock files of refs that a killed process left behind.
//!
//! git and libgit2 lock a ref for a few milliseconds by a file beside it. A process that is killed
//! in between leaves the file, and from then on nobody could move the ref. A lock that stays the
//! same file for much longer than any move takes belongs to nobody, and is removed. Work trees are
//! none of this: the lock of an index may be held as long as a person edits a commit message.

use crate::host::clock::{self, Deadline};
use crate::host::folder::{self, Found};
use crate::host::random;
use git2::Repository;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a lock must have been seen as the same file. A move takes milliseconds; whoever is
/// suspended for longer than this finds out by reading back what it moved.
const ABANDONED_AFTER: Duration = Duration::from_secs(5);

/// How long to pause at most between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// How many slashes in a branch's name are followed to its lock.
const DEPTH_MAX: usize = 8;

/// The lock file of a ref.
pub(super) fn lock_of(repository: &Repository, reference: &str) -> PathBuf {
    repository.commondir().join(format!("{reference}.lock"))
}

/// The lock files of the refs that tell what the hub has, and that of the packed refs.
pub(super) fn locks_of_tracking_refs(repository: &Repository) -> Vec<PathBuf> {
    let is_lock = |found: &Found| !found.is_folder && found.name().ends_with(".lock");
    let found = folder::find(&repository.commondir().join("refs/remotes/origin"), DEPTH_MAX, is_lock);
    found.into_iter().map(|lock| lock.path).chain([lock_of(repository, "packed-refs")]).collect()
}

/// Waits until each of `locks` is gone or another file than now. One that is neither for long
/// enough is removed. Gives up at `deadline`.
pub(super) fn outwait(locks: &[PathBuf], deadline: Deadline) {
    let abandoned = Deadline::after(ABANDONED_AFTER);
    let mut seen: Vec<_> = locks.iter().filter_map(|lock| Some((lock, identity(lock)?))).collect();
    loop {
        seen.retain(|(lock, before)| identity(lock).as_ref() == Some(before));
        if seen.is_empty() || deadline.passed() {
            return;
        }
        if abandoned.passed() {
            for (lock, _) in seen {
                // Failing leaves things as they were: the next attempt says what is wrong.
                drop(std::fs::remove_file(lock));
            }
            return;
        }
        clock::sleep(random::up_to(LOOK_PAUSE));
    }
}

/// What tells a file from another that took its name later.
fn identity(path: &Path) -> Option<(u64, i64, i64)> {
    let known = |data: Metadata| (data.ino(), data.ctime(), data.ctime_nsec());
    std::fs::symlink_metadata(path).ok().map(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_changes_hands_is_left_alone_and_one_that_does_not_is_removed() {
        let folder = tempfile::tempdir().expect("folder");
        let (dead, alive) = (folder.path().join("dead.lock"), folder.path().join("alive.lock"));
        std::fs::File::create(&dead).expect("create");
        let long = || Deadline::after(Duration::from_secs(60));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::fs::File::create(&alive).expect("create");
        let (waited, stays, goes) = std::thread::scope(|scope| {
            let (alive, done) = (&alive, &done);
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    std::fs::File::create(alive).expect("create");
                }
            });
            let start = clock::since_boot();
            outwait(std::slice::from_ref(alive), long());
            let waited = clock::since_boot().saturating_sub(start);
            outwait(std::slice::from_ref(&dead), Deadline::after(Duration::from_millis(20)));
            let stays = dead.exists();
            outwait(std::slice::from_ref(&dead), long());
            // Before anything is judged: a test that fails ends as well.
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            (waited, stays, !dead.exists())
        });
        assert!(waited < ABANDONED_AFTER, "{waited:?}");
        assert!(stays && goes && alive.exists(), "{stays} {goes}");
    }

    #[test]
    fn only_the_locks_of_what_the_hub_has_are_waited_for() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let below = folder.path().join("refs/remotes/origin");
        std::fs::create_dir_all(below.join("deep.lock")).expect("creates");
        for name in ["main.lock", "main", "deep.lock/beat.lock"] {
            std::fs::File::create(below.join(name)).expect("creates");
        }
        let mut found = locks_of_tracking_refs(&repository);
        found.sort();
        let expected =
            ["packed-refs.lock", "refs/remotes/origin/deep.lock/beat.lock", "refs/remotes/origin/main.lock"];
        assert_eq!(found, expected.map(|name| repository.commondir().join(name)));
        assert_eq!(
            lock_of(&repository, "refs/heads/main"),
            repository.commondir().join("refs/heads/main.lock")
        );
    }
}
