//! Where a worker lives on this machine: the lock that makes it the only one of its server, the name
//! it keeps through all its starts, the folders of its jobs.

use super::dispatcher::WorkerError;
use super::executor::JobState;
use crate::app::session::jobs_folder;
use crate::domain::id::{JobId, ServerName};
use crate::machine::file_lock::{FileLock, NotLocked};
use crate::machine::{Machine, environment, files, guard, random};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How long another worker of this server may keep its lock while it ends.
const OTHER_PATIENCE: Duration = Duration::from_secs(1);

/// How long the guards of a predecessor that died are waited for: they end its jobs first.
const GUARDS_PATIENCE: Duration = Duration::from_secs(60);

/// How many claims are remembered of which nobody knows what became.
const UNSURE_MAX: usize = 100;

/// What is kept between starts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PersistedState {
    /// The worker's name in claims.
    worker: String,
    /// The machine that it is at work on: a copy of this file on another is no worker of that name.
    #[serde(default)]
    machine: String,
    /// Whether it was at work since somebody last looked at what it left.
    #[serde(default)]
    was_at_work: bool,
    /// Claims of which nobody knows whether all that was started for them has ended, the latest last.
    #[serde(default)]
    unsure: Vec<(JobId, u64)>,
}

/// The place of one worker, its own as long as this lives.
#[derive(Debug)]
pub(super) struct WorkerDir {
    /// Names the worker through all its starts: what its predecessor claimed is its own.
    pub worker: String,
    /// Claims of which nobody knows whether all that was started for them has ended, also by
    /// predecessors.
    pub unsure: Vec<(JobId, u64)>,
    /// Where the folders of jobs are made.
    pub jobs: PathBuf,
    state: PathBuf,
    _lock: FileLock,
}

impl WorkerDir {
    /// Takes the place `name` for the worker of `server`, after everything that a predecessor started
    /// has ended.
    pub(super) fn take(server: &ServerName, name: &str, jobs: Option<PathBuf>) -> Result<Self, WorkerError> {
        let state = state_of(name);
        files::create_dir(&state).map_err(WorkerError::File)?;
        let lock =
            FileLock::acquire(&lock_of(name), &Machine::real().deadline(OTHER_PATIENCE)).map_err(|not| {
                match not {
                    NotLocked::Busy(_) => WorkerError::AlreadyRunning(server.clone()),
                    NotLocked::Impossible { .. } => WorkerError::Unlockable(not),
                }
            })?;
        // A copy of the hub has jobs of the same names.
        let jobs = jobs
            .map_or_else(|| jobs_folder(&Machine::real()).join(name), |named| named.join(server.as_str()));
        let file = state.join("worker.json");
        let mut kept: PersistedState = files::recall(&file);
        let machine = environment::host_name();
        if kept.worker.is_empty() || kept.machine != machine {
            kept = PersistedState { worker: random::id(), machine, ..PersistedState::default() };
        }
        if !kept.was_at_work {
            kept.was_at_work = true;
            files::remember(&file, &kept).map_err(WorkerError::File)?;
        }
        let place = Self { worker: kept.worker, unsure: kept.unsure, jobs, state, _lock: lock };
        place.outlive_guards(GUARDS_PATIENCE)?;
        Ok(place)
    }

    /// The place `name` of a worker that is gone, if nobody has looked yet at what it left, and
    /// everything that it started has ended.
    pub(super) fn left(name: &str) -> Option<Self> {
        let state = state_of(name);
        let kept: PersistedState = files::recall(&state.join("worker.json"));
        if !kept.was_at_work || kept.machine != environment::host_name() {
            return None;
        }
        let lock = FileLock::acquire(&lock_of(name), &Machine::real().deadline(Duration::ZERO)).ok()?;
        let jobs = PathBuf::new();
        let place = Self { worker: kept.worker, unsure: kept.unsure, jobs, state, _lock: lock };
        place.outlive_guards(Duration::ZERO).ok()?;
        Some(place)
    }

    /// Notes that nobody knows whether all that was started for `claim` has ended: nobody may say so.
    pub(super) fn doubt(&mut self, claim: (JobId, u64)) {
        self.unsure.push(claim);
        self.unsure.drain(..self.unsure.len().saturating_sub(UNSURE_MAX));
        let file = self.state.join("worker.json");
        let kept = PersistedState { unsure: self.unsure.clone(), ..files::recall(&file) };
        // Otherwise only this worker knows.
        drop(files::remember(&file, &kept));
    }

    /// Nothing is left of the worker that somebody has to look at.
    pub(super) fn clear(self) {
        let file = self.state.join("worker.json");
        let kept = PersistedState { was_at_work: false, ..files::recall(&file) };
        // Otherwise the next look finds nothing.
        drop(files::remember(&file, &kept));
    }

    /// Waits until the guards of a predecessor have ended, then removes what it left.
    fn outlive_guards(&self, patience: Duration) -> Result<(), WorkerError> {
        let patience = Machine::real().deadline(patience);
        for name in files::list(&self.state).into_iter().filter(|name| name.ends_with(ALIVE)) {
            let path = self.state.join(&name);
            // The guard first; should that have been killed, what it guarded.
            let left: JobState = files::recall(&path);
            match FileLock::acquire(&path, &patience) {
                Ok(_) if guard::kill_marked(&left.marks) => {}
                Ok(_) | Err(NotLocked::Busy(_)) => return Err(WorkerError::StillRunning(name)),
                Err(not) => return Err(WorkerError::Unlockable(not)),
            }
            // Only what a worker wrote down to have made is removed, and nothing around it.
            if !left.folder.as_os_str().is_empty() && left.folder.is_dir() {
                // What cannot be removed only takes space.
                drop(files::remove_all(&left.folder));
            }
            files::remove(&path).map_err(WorkerError::File)?;
        }
        Ok(())
    }

    /// Whether a worker is at work at the place `name`.
    pub(super) fn is_taken(name: &str) -> bool {
        let lock = lock_of(name);
        if !lock.exists() {
            return false;
        }
        // Where nobody can have a lock, no worker can be at work.
        let tried = FileLock::acquire(&lock, &Machine::real().deadline(Duration::ZERO));
        tried.is_err_and(|not| not.is_busy())
    }

    /// The folder of one attempt.
    pub(super) fn folder(&self, job: &str, token: u64) -> PathBuf {
        self.jobs.join(format!("{job}-{token}"))
    }

    /// The file that is locked as long as something of one attempt may live.
    pub(super) fn alive(&self, job: &str, token: u64) -> PathBuf {
        self.state.join(format!("{job}-{token}{ALIVE}"))
    }
}

fn state_of(name: &str) -> PathBuf {
    environment::state_dir().join("workers").join(name)
}

fn lock_of(name: &str) -> PathBuf {
    state_of(name).join("worker.flock")
}

/// What the names of files end with that guards lock.
const ALIVE: &str = ".alive";
