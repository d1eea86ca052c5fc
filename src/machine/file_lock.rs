//! A lock between the processes of one host, in the form of `flock` on a file.
//!
//! It spares the processes of one host from racing each other at the hub. Correctness never rests
//! on it: who does not get it in time goes on without. It is tried with jitter and never waited on
//! in the kernel, because blocked waiters queue up behind every newcomer. The file stays: deleting
//! a locked file would let two processes lock two files of one name. The only file that knows fs2.

use super::asked;
use super::simulated::Simulated;
use super::value::Deadline;
use super::value::Machine;
use fs2::FileExt as _;
use nix::fcntl::OFlag;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The first pause after a failed try, and the longest. With 16 instead of 4 the lock was free more
/// often while nobody looked: eight processes got 255 writes a second instead of 271.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(4);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum NotLocked {
    /// Another process kept it all the time.
    #[error("another process holds `{0}`")]
    Busy(PathBuf),
    /// The system does not give it to anybody: the file cannot be opened, or its file system keeps no
    /// locks.
    #[error("cannot lock `{path}`: {source}")]
    Impossible {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl NotLocked {
    /// Whether another process has the lock.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// Why, without the path.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Busy(_) => "another process holds it".to_owned(),
            Self::Impossible { source, .. } => source.to_string(),
        }
    }
}

/// Holds the lock until dropped; the kernel frees it when the process dies.
#[derive(Debug)]
pub struct FileLock(LockTarget);

/// What is locked.
enum LockTarget {
    Real(File),
    Simulated(Arc<dyn Simulated>, PathBuf),
}

impl fmt::Debug for LockTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real(file) => file.fmt(f),
            Self::Simulated(_, path) => path.fmt(f),
        }
    }
}

impl LockTarget {
    fn open(machine: &Machine, path: &Path) -> io::Result<Self> {
        if let Some(machine) = machine.stand_in() {
            return Ok(Self::Simulated(Arc::clone(machine), path.to_owned()));
        }
        let mut options = OpenOptions::new();
        // A pipe in its place must not make us wait for its other end.
        options.create(true).truncate(false).write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        options.open(path).map(Self::Real)
    }

    fn try_lock(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.try_lock_exclusive(),
            Self::Simulated(machine, path) if machine.lock(path) => Ok(()),
            Self::Simulated(..) => Err(fs2::lock_contended_error()),
        }
    }
}

impl FileLock {
    /// Tries on the machine of `deadline` until then, or until we are asked to end.
    ///
    /// # Errors
    /// When another process kept it all the time, or the system gives it to nobody. The two are not the
    /// same: of the first somebody may conclude that a process is at work.
    pub fn acquire(path: &Path, deadline: &Deadline) -> Result<Self, NotLocked> {
        let machine = deadline.machine();
        let impossible = |source| NotLocked::Impossible { path: path.to_owned(), source };
        let place = LockTarget::open(machine, path).map_err(impossible)?;
        let mut pause = PAUSE_FIRST;
        loop {
            match place.try_lock() {
                Ok(()) => return Ok(Self(place)),
                Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {}
                // A signal came in between.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(impossible(error)),
            }
            if deadline.passed() || asked::cuts_short() {
                return Err(NotLocked::Busy(path.to_owned()));
            }
            machine.sleep(machine.up_to(pause).min(deadline.left()));
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Whether a process keeps the file at `path` locked; `None` when the file system knows no locks, or
/// there is no such file.
#[must_use]
pub fn is_kept(path: &Path) -> Option<bool> {
    let file = File::open(path).ok()?;
    match file.try_lock_exclusive() {
        Ok(()) => Some(false),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Some(true),
        Err(_) => None,
    }
}

/// Keeps an open file locked for as long as it is open. `false` when the file system knows no locks.
#[must_use]
pub fn keep(file: &File) -> bool {
    file.try_lock_exclusive().is_ok()
}

/// Whether files in `folder` can be locked, tried with the folder itself: nothing is made or changed there.
///
/// # Errors
/// When the folder cannot be opened, or its file system gives locks to nobody.
pub fn try_in(folder: &Path) -> Result<(), NotLocked> {
    let impossible = |source| NotLocked::Impossible { path: folder.to_owned(), source };
    // A shared lock: over NFS an exclusive one wants a file that is open for writing.
    match File::open(folder).and_then(|folder| fs2::FileExt::try_lock_shared(&folder)) {
        Err(error) if error.raw_os_error() != fs2::lock_contended_error().raw_os_error() => {
            Err(impossible(error))
        }
        _ => Ok(()),
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A real one is free when its file is closed.
        if let LockTarget::Simulated(machine, path) = &self.0 {
            machine.unlock(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_a_bounded_wait() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let soon = || Machine::real().deadline(Duration::from_millis(20));
        let first = FileLock::acquire(&path, &soon());
        assert!(first.is_ok());
        assert!(FileLock::acquire(&path, &soon()).is_err_and(|not| not.is_busy()));
        drop(first);
        assert!(FileLock::acquire(&path, &soon()).is_ok());
    }

    #[test]
    fn a_lock_that_nobody_can_have_is_not_one_that_another_has() {
        let folder = tempfile::tempdir().expect("folder");
        for path in [folder.path().join("not/there"), folder.path().to_owned()] {
            let not = FileLock::acquire(&path, &Machine::real().deadline(Duration::ZERO))
                .expect_err("cannot be opened");
            assert!(!not.is_busy(), "{not}");
            let words = format!("cannot lock `{}`: ", path.display());
            assert!(not.to_string().starts_with(&words), "{not}");
        }
        try_in(folder.path()).expect("locks work here");
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
    }

    #[test]
    fn a_file_is_kept_until_it_is_closed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("mark");
        assert_eq!(is_kept(&path), None);
        let file = File::create(&path).expect("file");
        assert_eq!(is_kept(&path), Some(false));
        assert!(keep(&file));
        assert_eq!(is_kept(&path), Some(true));
        drop(file);
        assert_eq!(is_kept(&path), Some(false));
    }
}
