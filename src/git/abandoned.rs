//! Lock files of refs that a killed process left behind.
//!
//! git, libgit2 and this program lock a ref for a few milliseconds by a file beside it. A process that is
//! killed in between leaves the file, and from then on nobody could move the ref. Whether it is left
//! behind is decided by what can be seen of its owner ([`crate::domain::ref_lock`]), never by its age
//! alone. Work trees are none of this: the lock of an index may be held as long as a person edits a
//! commit message.

use super::ref_lock;
use super::ref_lock::lock_of;
use crate::domain::ref_lock::{Holder, OwnerEvidence, ProcessEvidence, Risk, holder, patience};
use crate::domain::time::show_span;
use crate::ledger::HeldRefLock;
use crate::machine::file_lock::FileLock;
use crate::machine::folder::{self, DirectoryEntry};
use crate::machine::{Deadline, Machine, asked, clock, disk, files, notice, open_files, random};
use git2::Repository;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to pause at most between two looks whether a lock is still there, and how long between two
/// looks whose it is: those go through all processes.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
const JUDGE_PAUSE: Duration = Duration::from_millis(200);

/// After how long a person is told what is waited for. A move takes milliseconds.
const NOTICE_AFTER: Duration = Duration::from_secs(2);

/// How long to wait for another process that removes a lock.
const REMOVER_WAIT: Duration = Duration::from_secs(1);

/// By how much clocks may have been set since the machine was started.
const BOOT_MARGIN_SECONDS: i64 = 60;

/// How many slashes in a branch's name are followed to its lock.
const DEPTH_MAX: usize = 8;

/// Where it lies since when each lock has been watched, below the folder of the marks.
const WATCHED: &str = "watched";

/// What is held while a lock is removed, below the same.
const REMOVER: &str = "remover";

/// The lock files of the refs that tell what the hub has, and that of the packed refs.
pub(super) fn locks_of_tracking_refs(repository: &Repository) -> Vec<PathBuf> {
    let is_lock = |found: &DirectoryEntry| !found.is_folder && found.name().ends_with(".lock");
    let found = folder::find(&repository.commondir().join("refs/remotes/origin"), DEPTH_MAX, &is_lock);
    found.into_iter().map(|lock| lock.path).chain([lock_of(repository, "packed-refs")]).collect()
}

/// What is lost if a lock is taken from its owner by mistake: nothing where it is that of a ref which
/// only notes what the hub has, or of any ref of a copy that can be made anew.
fn stakes(repository: &Repository, lock: &Path, is_copy: bool) -> Risk {
    let notes = ["refs/remotes", "refs/muster"].map(|folder| repository.commondir().join(folder));
    if is_copy || notes.iter().any(|folder| lock.starts_with(folder)) { Risk::Copy } else { Risk::Shared }
}

/// What tells a file from another that took its name later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    inode: u64,
    changed: i64,
    changed_nanos: i64,
}

fn identity(path: &Path) -> Option<Identity> {
    let data = fs::symlink_metadata(path).ok()?;
    Some(Identity { inode: data.ino(), changed: data.ctime(), changed_nanos: data.ctime_nsec() })
}

/// A lock that was seen, and when on the clock that stands still while the machine sleeps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct WatchedLockFile {
    identity: Identity,
    /// Below zero only where a test says so.
    awake_millis: i64,
}

/// Since when locks of a repository are watched, by the commands of one boot of this machine.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Watch(BTreeMap<String, WatchedLockFile>);

fn watch_file(repository: &Repository) -> PathBuf {
    // Those of another machine have another clock.
    let boot = clock::clock_id().unwrap_or_default();
    ref_lock::folder(repository).join(format!("{WATCHED}-{boot}.json"))
}

/// For how long, awake, `lock` has been the same file. Noted for later commands.
fn unchanged(repository: &Repository, lock: &Path, identity: Identity) -> Duration {
    let file = watch_file(repository);
    let mut watch: Watch = files::recall(&file);
    let now = i64::try_from(clock::awake().as_millis()).unwrap_or(i64::MAX);
    let name = lock.display().to_string();
    match watch.0.get(&name) {
        Some(seen) if seen.identity == identity => {
            let millis = now.saturating_sub(seen.awake_millis);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        }
        _ => {
            watch.0.retain(|lock, _| Path::new(lock).exists());
            watch.0.insert(name, WatchedLockFile { identity, awake_millis: now });
            // Without it the watching begins again with the next command.
            drop(files::remember(&file, &watch));
            Duration::ZERO
        }
    }
}

/// What is known of a lock.
struct LockFileFacts {
    holder: Holder,
    /// Who holds it, for people.
    told: String,
    /// Its mark, if it is one of ours.
    mark: Option<PathBuf>,
}

fn look(repository: &Repository, lock: &Path, before: Identity) -> LockFileFacts {
    let folder = repository.commondir();
    let is_local = disk::under(folder).is_ok_and(|disk| disk.far.is_none());
    let owner = ref_lock::owner(repository, lock, is_local);
    let (seen, user) = match &owner {
        Some(_) => (ProcessEvidence::Nobody, None),
        None => open_files::users(lock, folder),
    };
    let started = clock::wall()
        .unix_seconds()
        .saturating_sub(i64::try_from(clock::since_boot().as_secs()).unwrap_or(0));
    let traces = OwnerEvidence {
        mark: owner.as_ref().map(|owner| owner.mark),
        is_local,
        is_before_boot: before.changed.saturating_add(BOOT_MARGIN_SECONDS) < started,
        seen,
    };
    let unseen = match (is_local, seen) {
        (false, _) => "a process of another host may hold it",
        (true, ProcessEvidence::NotAll) => "a process that cannot be seen from here may hold it",
        _ => "no process is seen that holds it",
    };
    let mark = owner.as_ref().map(|owner| owner.path.clone());
    let told = owner.map(|owner| owner.told).or(user).map(|who| format!("held by {who}"));
    LockFileFacts { holder: holder(&traces), told: told.unwrap_or_else(|| unseen.to_owned()), mark }
}

/// What became of waiting for locks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WaitResult {
    /// Each is gone, or another than it was.
    Over,
    /// One is still there.
    Stands(HeldRefLock),
}

/// Waits until each of `locks` is gone or another file than now. One that is nobody's is removed. Gives
/// up at `deadline`, or when we are asked to end. `is_copy`: the repository can be made anew.
pub(super) fn outwait(
    repository: &Repository,
    locks: &[PathBuf],
    is_copy: bool,
    deadline: &Deadline,
) -> WaitResult {
    let mut seen: Vec<_> = locks.iter().filter_map(|lock| Some((lock, identity(lock)?))).collect();
    let notice = Machine::real().deadline(NOTICE_AFTER);
    let (mut judged, mut is_told, mut standing) = (Machine::real().deadline(Duration::ZERO), false, None);
    loop {
        seen.retain(|(lock, before)| identity(lock).as_ref() == Some(before));
        if judged.passed() {
            seen.retain(|(lock, before)| match judge(repository, lock, *before, is_copy) {
                Some(held) => {
                    standing = Some(held);
                    true
                }
                None => false,
            });
            judged = Machine::real().deadline(JUDGE_PAUSE);
        }
        let Some(held) = standing.as_ref().filter(|_| !seen.is_empty()) else { return WaitResult::Over };
        if deadline.passed() || asked::cuts_short() {
            return WaitResult::Stands(held.clone());
        }
        if notice.passed() && !is_told {
            notice::tell(&format!("waiting for the lock {held}"));
            is_told = true;
        }
        clock::sleep(random::up_to(LOOK_PAUSE));
    }
}

/// Removes a lock if it is nobody's; in words what it is otherwise.
fn judge(repository: &Repository, lock: &Path, before: Identity, is_copy: bool) -> Option<HeldRefLock> {
    let known = look(repository, lock, before);
    let patience = patience(known.holder, stakes(repository, lock, is_copy));
    let unchanged = match known.holder {
        Holder::Unseen { .. } => unchanged(repository, lock, before),
        _ => Duration::ZERO,
    };
    if patience.is_some_and(|patience| unchanged >= patience) && remove(repository, lock, before) {
        if let Some(mark) = known.mark {
            // What stays is swept later.
            drop(files::remove(&mark));
        }
        return None;
    }
    let after = match patience {
        Some(patience) if !patience.is_zero() => {
            let left = patience.saturating_sub(unchanged);
            format!(", and it is removed when it has not changed for {} more", show_span(left))
        }
        _ => String::new(),
    };
    Some(HeldRefLock { lock: lock.to_string_lossy().into_owned(), told: format!("{}{after}", known.told) })
}

/// Removes a lock unless it is another by now. Two that do this at once do not remove each other's new lock.
fn remove(repository: &Repository, lock: &Path, before: Identity) -> bool {
    let folder = ref_lock::folder(repository);
    if files::create_dir(&folder).is_err() {
        return false;
    }
    let Ok(_alone) = FileLock::acquire(&folder.join(REMOVER), &Machine::real().deadline(REMOVER_WAIT)) else {
        return false;
    };
    if identity(lock) != Some(before) {
        return true;
    }
    // Moved first and looked at then: what is not what it was is put back.
    let aside = folder.join(format!("aside-{}", random::id()));
    if fs::rename(lock, &aside).is_err() {
        return identity(lock) != Some(before);
    }
    let is_it = identity(&aside).is_some_and(|aside| aside.inode == before.inode);
    if !is_it {
        // When another has the place by now, its owner finds out that it lost it.
        drop(fs::hard_link(&aside, lock));
    }
    drop(fs::remove_file(&aside));
    ref_lock::sweep(repository);
    is_it
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ref_lock::{UNSEEN_ELSEWHERE, UNSEEN_IN_COPY};

    fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        (folder, repository)
    }

    fn soon() -> Deadline {
        Machine::real().deadline(Duration::from_millis(20))
    }

    fn long() -> Deadline {
        Machine::real().deadline(Duration::from_secs(60))
    }

    /// As if the locks had been seen that much earlier.
    fn watched_earlier(repository: &Repository, by: Duration) {
        let file = watch_file(repository);
        let mut watch: Watch = files::recall(&file);
        assert!(!watch.0.is_empty(), "nothing is watched");
        for seen in watch.0.values_mut() {
            seen.awake_millis -= i64::try_from(by.as_millis()).expect("milliseconds");
        }
        files::remember(&file, &watch).expect("writes");
    }

    #[test]
    fn a_lock_of_nobody_seen_stands_for_minutes_over_many_commands() {
        let (_folder, repository) = repository();
        let lock = lock_of(&repository, "refs/heads/main");
        files::write(&lock, "").expect("writes");
        let locks = [lock.clone()];
        let wait = || outwait(&repository, &locks, false, &soon());
        let WaitResult::Stands(held) = wait() else { panic!("it is removed at once") };
        assert_eq!(held.lock, lock);
        assert!(held.told.contains("is removed when it has not changed for"), "{held}");
        watched_earlier(&repository, UNSEEN_IN_COPY * 4);
        assert!(matches!(wait(), WaitResult::Stands(_)));
        // Another file of the name is watched anew.
        fs::remove_file(&lock).expect("is there");
        files::write(&lock, "").expect("writes");
        assert!(matches!(wait(), WaitResult::Stands(_)));
        watched_earlier(&repository, UNSEEN_ELSEWHERE);
        assert_eq!(wait(), WaitResult::Over);
        assert!(!lock.exists());
    }

    #[test]
    fn a_lock_that_a_process_has_open_stands_for_ever() {
        let (_folder, repository) = repository();
        let lock = lock_of(&repository, "refs/heads/main");
        files::write(&lock, "").expect("writes");
        let file = fs::File::open(&lock).expect("opens");
        let mut holder = crate::machine::process::command(Path::new("sleep"))
            .arg("600")
            .stdin(file)
            .spawn()
            .expect("sleep");
        let waited = outwait(&repository, std::slice::from_ref(&lock), true, &soon());
        holder.kill().and_then(|()| holder.wait().map(drop)).expect("ends");
        let WaitResult::Stands(held) = waited else { panic!("removed") };
        assert!(held.told.starts_with("held by `sleep`, process"), "{held}");
    }

    #[test]
    fn in_a_copy_a_lock_of_nobody_is_removed_within_a_command_and_one_that_changes_hands_is_not() {
        let (folder, repository) = repository();
        let (dead, alive) = (folder.path().join("dead.lock"), folder.path().join("alive.lock"));
        files::write(&dead, "").expect("writes");
        files::write(&alive, "").expect("writes");
        let done = std::sync::atomic::AtomicBool::new(false);
        let (waited, stays, goes) = std::thread::scope(|scope| {
            let (alive, done) = (&alive, &done);
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    files::write(alive, "").expect("writes");
                }
            });
            let start = clock::since_boot();
            outwait(&repository, std::slice::from_ref(alive), true, &long());
            let waited = clock::since_boot().saturating_sub(start);
            outwait(&repository, std::slice::from_ref(&dead), true, &soon());
            let stays = dead.exists();
            let over = outwait(&repository, std::slice::from_ref(&dead), true, &long());
            // Before anything is judged: a test that fails ends as well.
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            (waited, stays, over == WaitResult::Over && !dead.exists())
        });
        assert!(waited < UNSEEN_IN_COPY, "{waited:?}");
        assert!(stays && goes && alive.exists(), "{stays} {goes}");
    }

    #[test]
    fn a_lock_that_is_another_by_now_is_not_removed() {
        let (_folder, repository) = repository();
        let lock = lock_of(&repository, "refs/heads/main");
        files::write(&lock, "old").expect("writes");
        let before = identity(&lock).expect("is there");
        let newer = repository.path().join("newer");
        files::write(&newer, "new").expect("writes");
        fs::rename(&newer, &lock).expect("renames");
        assert!(remove(&repository, &lock, before), "that one is gone");
        assert_eq!(fs::read_to_string(&lock).expect("is there"), "new");
    }

    #[test]
    fn what_is_lost_with_a_lock_depends_on_what_it_locks() {
        let (_folder, repository) = repository();
        for (reference, is_copy, expected) in [
            ("refs/heads/main", false, Risk::Shared),
            ("packed-refs", false, Risk::Shared),
            ("HEAD", false, Risk::Shared),
            ("config", false, Risk::Shared),
            ("refs/remotes/origin/main", false, Risk::Copy),
            ("refs/muster/seen/main", false, Risk::Copy),
            ("refs/heads/main", true, Risk::Copy),
            ("packed-refs", true, Risk::Copy),
        ] {
            assert_eq!(
                stakes(&repository, &lock_of(&repository, reference), is_copy),
                expected,
                "{reference}"
            );
        }
    }

    #[test]
    fn only_the_locks_of_what_the_hub_has_are_waited_for() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let below = folder.path().join("refs/remotes/origin");
        fs::create_dir_all(below.join("deep.lock")).expect("creates");
        for name in ["main.lock", "main", "deep.lock/beat.lock"] {
            fs::File::create(below.join(name)).expect("creates");
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
