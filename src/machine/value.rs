//! The machine as a value. Whoever runs on one is handed it and reaches its clocks, random numbers, files and
//! locks by it; there is no other way to one that is simulated, and a thread or a task stays on the machine it
//! was handed.
//!
//! [`Machine::real`] names the real one. What is never simulated (git, `doctor`, the command line) may use the
//! modules beside this one, which know no other.

use super::files::{self, FileError};
use super::simulated::Simulated;
use super::{clock, disk, environment, facts, failpoint, open_files, random};
use crate::domain::heartbeat::System;
use crate::domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A machine.
#[derive(Clone)]
pub struct Machine(Kind);

#[derive(Clone)]
enum Kind {
    Real,
    Simulated(Arc<dyn Simulated>),
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Real => "Real",
            Kind::Simulated(_) => "Simulated",
        })
    }
}

impl Machine {
    /// The one that this process runs on.
    #[must_use]
    pub fn real() -> Self {
        Self(Kind::Real)
    }

    /// One that does not exist.
    #[must_use]
    pub fn simulated(machine: Arc<dyn Simulated>) -> Self {
        Self(Kind::Simulated(machine))
    }

    /// What stands for it, if it does not exist.
    pub(super) fn stand_in(&self) -> Option<&Arc<dyn Simulated>> {
        match &self.0 {
            Kind::Real => None,
            Kind::Simulated(machine) => Some(machine),
        }
    }
}

/// Clocks.
impl Machine {
    /// The wall clock now.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.stand_in().map_or_else(clock::wall, |machine| machine.wall())
    }

    /// Time since boot, including time asleep.
    #[must_use]
    pub fn since_boot(&self) -> Duration {
        self.stand_in().map_or_else(clock::since_boot, |machine| machine.since_boot())
    }

    /// Time since boot without what it was asleep: for how long something could have been watched.
    #[must_use]
    pub fn awake(&self) -> Duration {
        self.stand_in().map_or_else(clock::awake, |machine| machine.since_boot())
    }

    /// Names the clock that [`Machine::since_boot`] reads: readings compare only within one. `None` where the
    /// system does not tell, and then nothing observed may outlive the process.
    #[must_use]
    pub fn clock_id(&self) -> Option<String> {
        self.stand_in().map_or_else(clock::clock_id, |machine| Some(machine.boot_id()))
    }

    /// Names the present boot. `None` where the system does not tell.
    #[must_use]
    pub fn boot_id(&self) -> Option<String> {
        self.stand_in().map_or_else(clock::boot_id, |machine| Some(machine.boot_id()))
    }

    /// Seconds since the machine was booted, for people.
    #[must_use]
    pub fn uptime_seconds(&self) -> u64 {
        self.stand_in().map_or_else(facts::uptime_seconds, |machine| machine.since_boot().as_secs())
    }

    /// Waits. Callers bound how often.
    pub fn sleep(&self, span: Duration) {
        match self.stand_in() {
            Some(machine) => machine.sleep(span),
            None => clock::sleep(span),
        }
    }

    /// `span` from now.
    #[must_use]
    pub fn deadline(&self, span: Duration) -> Deadline {
        Deadline::at(self, self.since_boot().saturating_add(span))
    }

    /// A step is done, of this name: a test may end the real process here, to prove that any step may be the
    /// last one. A simulated one lets others run, and may be killed.
    pub fn failpoint(&self, name: &str) {
        match self.stand_in() {
            Some(machine) => machine.sleep(Duration::ZERO),
            None => failpoint::failpoint(name),
        }
    }
}

/// What tells this machine from others, and how it is.
impl Machine {
    /// Its own name.
    #[must_use]
    pub fn host_name(&self) -> String {
        self.stand_in().map_or_else(environment::host_name, |_| "simulated".to_owned())
    }

    /// A digest of the id that the operating system gave it when it was installed; the id itself is not for
    /// others.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        self.stand_in().map_or_else(facts::machine_digest, |_| None)
    }

    /// Load, memory and the disk under `folder` now. What the next call needs for the load is kept in `note`.
    #[must_use]
    pub fn system_facts(&self, folder: &Path, note: &Path) -> System {
        if self.stand_in().is_some() {
            return System { cpu_usage: None, memory_used_gb: None, disk_free_gb: None };
        }
        let (system, sample) = facts::system(&files::recall(note), &disk::nearest(folder));
        // Without it the next beat has no load.
        drop(files::note(note, &sample));
        system
    }
}

/// Random numbers.
impl Machine {
    /// A new id that sorts by time (uuid version 7).
    #[must_use]
    pub fn id(&self) -> String {
        random::id_of(self.wall(), self.bits())
    }

    /// A span drawn evenly from zero to `most`.
    #[must_use]
    pub fn up_to(&self, most: Duration) -> Duration {
        random::part_of(most, self.bits())
    }

    fn bits(&self) -> u128 {
        self.stand_in().map_or_else(random::bits, |machine| machine.draw())
    }
}

/// Small files of our own, and the locks between the processes of one host.
impl Machine {
    /// Where what is remembered between runs lies: sessions, observations, unsettled operations.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.stand_in().map_or_else(environment::state_dir, |_| PathBuf::from("/state"))
    }

    /// Where copies lie that can be made again, and the folders of jobs.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.stand_in().map_or_else(environment::cache_dir, |_| PathBuf::from("/cache"))
    }

    /// Where data lies that exists nowhere else.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.stand_in().map_or_else(environment::data_dir, |_| PathBuf::from("/data"))
    }

    /// Whether there is something at `path`.
    #[must_use]
    pub fn exists(&self, path: &Path) -> bool {
        self.stand_in().map_or_else(|| path.exists(), |machine| machine.read(path).is_some())
    }

    /// Whether a process has the file at `path` open, as who keeps it locked does; `None` where the system does
    /// not tell.
    #[must_use]
    pub fn is_open(&self, path: &Path) -> Option<bool> {
        self.stand_in().map_or_else(|| open_files::is_open(path), |machine| Some(machine.is_locked(path)))
    }

    /// The text of a file, or `None` when there is no such file.
    ///
    /// # Errors
    /// When it is too large, not UTF-8 or cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<String>, FileError> {
        match self.stand_in() {
            Some(machine) => Ok(machine.read(path).and_then(|bytes| String::from_utf8(bytes).ok())),
            None => files::read(path),
        }
    }

    /// A file of our own as a value. One that is missing or cannot be understood is the default: what we
    /// remember is never needed for correctness.
    #[must_use]
    pub fn recall<T: DeserializeOwned + Default>(&self, path: &Path) -> T {
        let text = self.read(path).ok().flatten().unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The values in a file of our own, one behind the other, as far as they can be understood.
    #[must_use]
    pub fn recall_all(&self, path: &Path) -> Vec<serde_json::Value> {
        let text = self.read(path).ok().flatten().unwrap_or_default();
        serde_json::Deserializer::from_str(&text).into_iter().map_while(Result::ok).collect()
    }

    /// Writes a file so that a reader sees the old text or the new, and a crash leaves one of them.
    ///
    /// # Errors
    /// When a step fails; the old text is there then.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), FileError> {
        match self.stand_in() {
            Some(machine) => files::simulate(machine, path, text.into(), true),
            None => files::write(path, text),
        }
    }

    /// Keeps a value for [`Machine::recall`]: a reader sees the old text or the new, and a crash leaves one of
    /// them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, path: &Path, value: &impl Serialize) -> Result<(), FileError> {
        match self.stand_in() {
            Some(machine) => files::simulate(machine, path, files::text_of(path, value)?.into(), true),
            None => files::remember(path, value),
        }
    }

    /// [`Machine::remember`] for what means nothing after the next boot, and need not be flushed to outlive it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember_until_boot(&self, path: &Path, value: &impl Serialize) -> Result<(), FileError> {
        match self.stand_in() {
            Some(machine) => files::simulate(machine, path, files::text_of(path, value)?.into(), false),
            None => files::remember_until_boot(path, value),
        }
    }

    /// Leaves a value at a path where nothing is, with as little to do as can be: who dies in the middle may
    /// leave a part of it, which [`Machine::recall`] takes for nothing.
    ///
    /// # Errors
    /// When something is there, or it cannot be written.
    pub fn leave(&self, path: &Path, value: &impl Serialize) -> Result<(), FileError> {
        match self.stand_in() {
            Some(machine) => files::simulate(machine, path, files::text_of(path, value)?.into(), false),
            None => files::leave(path, value),
        }
    }

    /// Adds a line to a file of our own and moves it to `to`, in a folder that is made if need be.
    ///
    /// # Errors
    /// When a step fails; the file is where it was then.
    pub fn add_line_and_move(&self, path: &Path, value: &impl Serialize, to: &Path) -> Result<(), FileError> {
        let Some(machine) = self.stand_in() else { return files::add_line_and_move(path, value, to) };
        let line = files::text_of(path, value)?;
        let text = self.read(path)?.unwrap_or_default();
        files::simulate(machine, to, format!("{text}\n{line}\n").into(), false)?;
        machine.remove(path);
        Ok(())
    }

    /// Removes a file if it is there.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&self, path: &Path) -> Result<(), FileError> {
        match self.stand_in() {
            Some(machine) => {
                machine.remove(path);
                Ok(())
            }
            None => files::remove(path),
        }
    }

    /// The names of what lies in a folder, in order; none when there is no such folder.
    #[must_use]
    pub fn list(&self, folder: &Path) -> Vec<String> {
        self.stand_in().map_or_else(|| files::list(folder), |machine| machine.list(folder))
    }
}

/// A point on the boot clock of a machine, until which something may go on there. Two of one machine compare.
#[derive(Debug, Clone)]
pub struct Deadline {
    since_boot: Duration,
    machine: Machine,
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.since_boot == other.since_boot
    }
}

impl Deadline {
    /// That point on the boot clock of `machine`.
    #[must_use]
    pub fn at(machine: &Machine, since_boot: Duration) -> Self {
        Self { since_boot, machine: machine.clone() }
    }

    /// The machine whose clock it is a point on.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What is left; zero when it passed.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.since_boot.saturating_sub(self.machine.since_boot())
    }

    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }
}
