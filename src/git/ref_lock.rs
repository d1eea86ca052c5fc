//! Moves refs of a repository of this machine under git's own locks.
//!
//! git, libgit2 and this program lock a ref by a file beside it that must not be there yet, and rename
//! that file over the ref. Others make the file empty, fill it, and leave no word of who they are. Ours
//! is written under another name first, its *mark*, and then linked to the name of the lock: nobody
//! ever finds it incomplete, the mark's name tells whose it is, and the kernel frees what its process
//! keeps locked when that process ends. A lock is renamed into place only while it is still the very
//! file that was linked: what others put there is never put in place by us.

use crate::domain::ref_lock::LockMark;
use crate::machine::failpoint::failpoint;
use crate::machine::{clock, environment, file_lock, files, random};
use git2::{ErrorCode, Oid, Repository, Signature};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of the marks in a repository.
const MARKS: &str = "muster.locks";

/// How the name begins of what was put in place last.
const LAST: &str = "last";

/// How many parts the name of a mark has: host, boot, process, and a random one.
const MARK_PARTS: usize = 4;

/// How much of the name of a boot tells it from others.
const BOOT_LENGTH: usize = 8;

/// How often a folder of refs is made again that others remove, because it is empty, at that moment.
const FOLDERS_MADE_MAX: u32 = 5;

/// How long the mark of a process that is gone is left alone: one that was just made is not kept yet.
const MARK_AGE_MIN: Duration = Duration::from_secs(60);

/// How many slashes in the name of a ref are followed to its lock.
const DEPTH_MAX: usize = 8;

/// What is written where a user has no name.
const NAMELESS: &str = "git-muster";

/// One ref that is to be moved.
pub(super) struct Step {
    /// The ref, no symbolic one.
    pub reference: String,
    /// Where it must be; zero: nowhere. `None`: wherever it is.
    pub from: Option<Oid>,
    /// Where it goes.
    pub to: Oid,
}

/// Why no ref was moved.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another holds the lock of this ref.
    Held,
    /// A ref is elsewhere.
    Elsewhere,
    /// Another ref has the name of a folder that this one needs, or the other way round.
    InTheWay(String),
    /// The lock was taken away from us, and what became of the ref cannot be told from here.
    Lost,
    /// This machine could not do it.
    Failed(io::Error),
    /// The ref could not be read.
    Unreadable(git2::Error),
}

/// The lock file of a ref.
pub(super) fn lock_of(repository: &Repository, reference: &str) -> PathBuf {
    repository.commondir().join(format!("{reference}.lock"))
}

/// Locks all refs, compares all, then moves all, the first one last: a process that is killed in between
/// has moved the others and not the first, by which is judged whether the write happened. With
/// `is_flushed` that is on the disk afterwards.
pub(super) fn move_together(
    repository: &Repository,
    steps: &[Step],
    message: &str,
    is_flushed: bool,
) -> Result<(), Refused> {
    let mut locks = Vec::with_capacity(steps.len());
    for step in steps {
        locks.push(RefLock::take(repository, &step.reference, step.to, is_flushed)?);
    }
    failpoint("refs-locked");
    let mut before = Vec::with_capacity(steps.len());
    for step in steps {
        let present = present(repository, step)?;
        if present.is_zero() {
            find_room(repository, &step.reference)?;
        }
        before.push(present);
    }
    for (step, lock) in steps.iter().zip(&locks).rev() {
        lock.put_in_place(repository)?;
        failpoint("ref-moved");
        lock.flush(repository)?;
        if is_flushed {
            lock.remember(repository, &step.reference);
        }
    }
    for (step, from) in steps.iter().zip(before) {
        log(repository, step, from, message);
    }
    Ok(())
}

/// Where a ref is, if it is where the step wants it.
fn present(repository: &Repository, step: &Step) -> Result<Oid, Refused> {
    let present = match repository.refname_to_id(&step.reference) {
        Ok(present) => present,
        Err(error) if error.code() == ErrorCode::NotFound => Oid::ZERO_SHA1,
        // What is only noted may take the place of what cannot be read.
        Err(_) if step.from.is_none() => Oid::ZERO_SHA1,
        Err(error) => return Err(Refused::Unreadable(error)),
    };
    if step.from.is_some_and(|from| from != present) { Err(Refused::Elsewhere) } else { Ok(present) }
}

/// Whether a new ref can have its name: no other lies where it needs a folder, or below it.
fn find_room(repository: &Repository, reference: &str) -> Result<(), Refused> {
    let above = reference.match_indices('/').map(|(at, _)| &reference[..at]).skip(2);
    for above in above {
        if repository.find_reference(above).is_ok() {
            return Err(Refused::InTheWay(above.to_owned()));
        }
    }
    let below = repository.references_glob(&format!("{reference}/*")).map_err(Refused::Unreadable)?;
    match below.flatten().next() {
        Some(below) => Err(Refused::InTheWay(below.name().unwrap_or_default().to_owned())),
        None => Ok(()),
    }
}

/// A ref that nobody else moves meanwhile, given up when dropped.
struct RefLock {
    target: PathBuf,
    lock: PathBuf,
    mark: PathBuf,
    /// What the lock is, as long as it is ours.
    identity: (u64, u64),
    is_flushed: bool,
    /// Keeps the mark locked.
    _kept: File,
}

impl RefLock {
    fn take(repository: &Repository, reference: &str, to: Oid, is_flushed: bool) -> Result<Self, Refused> {
        let lock = lock_of(repository, reference);
        let mark = new_mark(repository);
        let made = make_mark(&mark, to, is_flushed).map_err(Refused::Failed)?;
        match link(&mark, &lock, to, is_flushed) {
            Ok(identity) => {
                let target = repository.commondir().join(reference);
                Ok(Self { target, lock, mark, identity, is_flushed, _kept: made })
            }
            Err(error) => {
                // What is left of it is swept later.
                drop(fs::remove_file(&mark));
                Err(match error.kind() {
                    io::ErrorKind::AlreadyExists => Refused::Held,
                    io::ErrorKind::NotADirectory => Refused::InTheWay(shown_parent(&lock)),
                    _ => Refused::Failed(error),
                })
            }
        }
    }

    fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.lock).is_ok_and(|data| (data.dev(), data.ino()) == self.identity)
    }

    fn put_in_place(&self, repository: &Repository) -> Result<(), Refused> {
        if !self.is_ours() {
            return Err(Refused::Lost);
        }
        let moved = match fs::rename(&self.lock, &self.target) {
            // Folders of refs that are gone stay until somebody needs their place.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                remove_empty(&self.target);
                fs::rename(&self.lock, &self.target)
            }
            moved => moved,
        };
        moved.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refused::Lost,
            io::ErrorKind::IsADirectory => {
                let name = self.target.strip_prefix(repository.commondir()).unwrap_or(&self.target);
                Refused::InTheWay(name.display().to_string())
            }
            _ => Refused::Failed(error),
        })
    }

    /// Keeps what was put in place under a name of its own: if others break the ref, that tells where it
    /// was. It is the same file, and costs no room.
    fn remember(&self, repository: &Repository, reference: &str) {
        drop(fs::rename(&self.mark, last_file(repository, reference)));
    }

    /// Makes the move survive a loss of power.
    fn flush(&self, repository: &Repository) -> Result<(), Refused> {
        if !self.is_flushed {
            return Ok(());
        }
        let above = self.target.ancestors().skip(1);
        // A folder that was made for it as well: up to the one that every repository has.
        let top = repository.commondir().join("refs");
        let folders = above.take_while(|folder| **folder != top).map(Path::to_owned).collect::<Vec<_>>();
        files::sync_all(&folders).map_err(|error| Refused::Failed(io::Error::other(error)))
    }
}

impl Drop for RefLock {
    fn drop(&mut self) {
        // Failing leaves a lock whose mark tells the next one that nobody holds it.
        if self.is_ours() {
            drop(fs::remove_file(&self.lock));
        }
        drop(fs::remove_file(&self.mark));
    }
}

fn last_file(repository: &Repository, reference: &str) -> PathBuf {
    folder(repository).join(format!("{LAST}-{}", reference.replace('/', "-")))
}

/// Where this program put a ref last, as far as it is known.
pub(super) fn last(repository: &Repository, reference: &str) -> Option<Oid> {
    let text = files::read(&last_file(repository, reference)).ok().flatten()?;
    Oid::from_str(text.trim()).ok()
}

fn shown_parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

/// A name for a mark that tells whose it is: the host, its boot, the process.
fn new_mark(repository: &Repository) -> PathBuf {
    let name = format!("{}.{}.{}.{}", host_name(), boot(), environment::process_id(), random::id());
    folder(repository).join(name)
}

/// The folder in which a repository keeps the marks, and what is known of its locks.
pub(super) fn folder(repository: &Repository) -> PathBuf {
    repository.commondir().join(MARKS)
}

/// Whose a lock of this program is.
pub(super) struct Owner {
    /// For people.
    pub told: String,
    /// What can be known of its process.
    pub mark: LockMark,
    /// Where the mark lies.
    pub path: PathBuf,
}

/// Whose the lock file `lock` is, if it is one of this program.
pub(super) fn owner(repository: &Repository, lock: &Path, is_local: bool) -> Option<Owner> {
    let identity = |path: &Path| fs::symlink_metadata(path).map(|data| (data.dev(), data.ino())).ok();
    let wanted = identity(lock)?;
    let folder = folder(repository);
    let name = files::list(&folder).into_iter().find(|name| identity(&folder.join(name)) == Some(wanted))?;
    let mut parts = name.split('.');
    let (host, started, process) = (parts.next()?, parts.next()?, parts.next()?);
    let is_of_this_host = host == host_name();
    let mark = LockMark {
        // Two machines may have been started from one image.
        is_of_this_boot: started == boot() && (is_local || is_of_this_host),
        is_kept: file_lock::is_kept(&folder.join(&name)),
    };
    Some(Owner { told: format!("`git-muster`, process {process} of {host}"), mark, path: folder.join(&name) })
}

/// Removes the marks of processes that are gone and left no lock.
pub(super) fn sweep(repository: &Repository) {
    use crate::machine::folder::{DirectoryEntry, find};
    let is_lock = |found: &DirectoryEntry| !found.is_folder && found.name().ends_with(".lock");
    let is_old = |found: &DirectoryEntry| !found.is_folder && found.age >= MARK_AGE_MIN;
    let folder = folder(repository);
    let identity = |path: &Path| fs::symlink_metadata(path).map(|data| (data.dev(), data.ino())).ok();
    let locks = find(&repository.commondir().join("refs"), DEPTH_MAX, &is_lock);
    let locks: Vec<_> = locks.iter().filter_map(|lock| identity(&lock.path)).collect();
    for mark in find(&folder, 0, &is_old) {
        let is_mark = mark.name().split('.').count() == MARK_PARTS;
        let is_locked = identity(&mark.path).is_none_or(|mark| locks.contains(&mark));
        if is_mark && !is_locked && file_lock::is_kept(&mark.path) == Some(false) {
            // The next one tries again.
            drop(fs::remove_file(&mark.path));
        }
    }
}

fn host_name() -> String {
    environment::host_name().replace(['.', '/'], "-")
}

fn boot() -> String {
    let boot = clock::boot_id().unwrap_or_default();
    boot.get(..BOOT_LENGTH).unwrap_or("unknown").to_owned()
}

fn make_mark(path: &Path, to: Oid, is_flushed: bool) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            create()?
        }
        created => created?,
    };
    // Where there are no such locks, the mark tells nothing, and the lock is nobody's after a while.
    let _ = file_lock::keep(&file);
    let written = file.write_all(format!("{to}\n").as_bytes());
    let written = written.and_then(|()| if is_flushed { file.sync_data() } else { Ok(()) });
    if let Err(error) = written {
        drop(fs::remove_file(path));
        return Err(error);
    }
    Ok(file)
}

/// Takes the lock: it is there at once, complete, or it is another's. Tells what file it is.
fn link(mark: &Path, lock: &Path, to: Oid, is_flushed: bool) -> io::Result<(u64, u64)> {
    let folder = lock.parent().unwrap_or(lock);
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::hard_link(mark, lock) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < FOLDERS_MADE_MAX => {
                fs::create_dir_all(folder).map_err(|error| match error.kind() {
                    // A file where a folder is needed.
                    io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
                    _ => error,
                })?;
            }
            Err(error) if knows_no_links(&error) => return create(lock, to, is_flushed),
            Err(error) => return Err(error),
        }
    }
    let data = fs::symlink_metadata(mark)?;
    Ok((data.dev(), data.ino()))
}

fn knows_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(nix::libc::EOPNOTSUPP)
}

/// Takes the lock as git does, on a file system that has no links.
fn create(lock: &Path, to: Oid, is_flushed: bool) -> io::Result<(u64, u64)> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(lock)?;
    let written = file.write_all(format!("{to}\n").as_bytes());
    let written = written.and_then(|()| if is_flushed { file.sync_data() } else { Ok(()) });
    let data = written.and_then(|()| file.metadata());
    match data {
        Ok(data) => Ok((data.dev(), data.ino())),
        Err(error) => {
            drop(fs::remove_file(lock));
            Err(error)
        }
    }
}

/// Removes folders that hold nothing.
fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // One that holds something stays.
    drop(fs::remove_dir(folder));
}

/// Adds the move to the logs of the refs, where there are any, as git would. They are notes for
/// people: that one cannot be written takes nothing back.
fn log(repository: &Repository, step: &Step, from: Oid, message: &str) {
    let head = repository.find_reference("HEAD").ok();
    let head = head.as_ref().and_then(|head| head.symbolic_target().ok().flatten());
    let names = [Some(step.reference.as_str()), (head == Some(&step.reference)).then_some("HEAD")];
    for name in names.into_iter().flatten() {
        let path = repository.commondir().join("logs").join(name);
        let creates = makes_logs(repository)
            && ["HEAD", "refs/heads/", "refs/remotes/"].iter().any(|kept| name.starts_with(kept));
        if !creates && !path.is_file() {
            continue;
        }
        let who = repository.signature().or_else(|_| Signature::now(NAMELESS, NAMELESS));
        let Ok(who) = who else { continue };
        let (name, email) = (who.name().unwrap_or(NAMELESS), who.email().unwrap_or(NAMELESS));
        let seconds = clock::wall().unix_seconds();
        let line = format!("{from} {} {name} <{email}> {seconds} +0000\t{message}\n", step.to);
        if creates {
            drop(fs::create_dir_all(path.parent().unwrap_or(&path)));
        }
        let log = OpenOptions::new().append(true).create(creates).open(&path);
        drop(log.and_then(|mut log| log.write_all(line.as_bytes())));
    }
}

/// Whether git begins a log for each branch here.
fn makes_logs(repository: &Repository) -> bool {
    let config = repository.config().and_then(|mut config| config.snapshot());
    match config.and_then(|config| config.get_str("core.logAllRefUpdates").map(str::to_ascii_lowercase)) {
        Ok(set) => !matches!(set.as_str(), "false" | "no" | "off" | "0"),
        Err(_) => !repository.is_bare(),
    }
}
