//! What this host remembers of itself between runs: the session its beats belong to, one for each hub and
//! server.

use crate::domain::heartbeat::{Beat, INTERVAL_ASSUMED, System};
use crate::domain::id::ServerName;
use crate::domain::twin::Origin;
use crate::machine::clock::Deadline;
use crate::machine::file_lock::FileLock;
use crate::machine::{clock, disk, environment, facts, files, random};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How long another process of this host is waited for that begins or keeps a session, which takes it no
/// longer than to write a small file.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The session of one server on this host. A new one begins with each boot, and when another server
/// ended the one before. Whatever starts in between goes on with it: what scripts have claimed lives
/// on when `heartbeat run` is started again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    boot: Option<String>,
    /// Its name in beats and claims.
    pub incarnation: String,
    /// How often the server means to beat.
    pub interval_seconds: u64,
    /// Beats made since the last that was pushed.
    pub beats_kept: u64,
    /// The sessions before it that this process knows to have ended: where nothing can be written, they
    /// are what is kept.
    #[serde(skip)]
    ended: Vec<String>,
}

/// Whose session: that of a server in the hub of this name here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The name, of `hubs`.
    pub hub: String,
    /// The server.
    pub server: ServerName,
}

impl Whose {
    fn path(&self, what: &str) -> PathBuf {
        sessions().join(&self.hub).join(format!("{}.{what}", self.server))
    }

    /// Who holds it alone begins a session here. Without it each goes on for itself.
    fn lock(&self) -> Option<FileLock> {
        let path = self.path("flock");
        // For this user alone: whoever may open it may keep it locked. Later it is there already.
        drop(files::leave(&path, &()));
        FileLock::acquire(&path, Deadline::after(LOCK_WAIT)).ok()
    }

    /// The session that is kept here, if it goes on.
    fn kept(&self) -> Option<Session> {
        let kept: Session = files::recall(&self.path("json"));
        kept.goes_on().then_some(kept)
    }

    /// Where versions before kept one session for all hubs.
    fn path_before(&self) -> PathBuf {
        sessions().join(format!("{}.json", self.server))
    }

    /// Load, memory and disk now; the disk is the one where jobs run, wherever the caller stands. What the
    /// next call needs for the load is noted.
    #[must_use]
    pub fn system_facts(&self) -> System {
        let folder = disk::nearest(&jobs_folder());
        let note = self.path("sample");
        let (system, sample) = facts::system(&files::recall(&note), &folder);
        // Without it the next beat has no load.
        drop(files::note(&note, &sample));
        system
    }
}

fn sessions() -> PathBuf {
    environment::state_dir().join("sessions")
}

/// Where the folders of jobs are made unless a worker is told otherwise.
#[must_use]
pub fn jobs_folder() -> PathBuf {
    environment::cache_dir().join("work")
}

/// What tells this machine from a copy of it.
fn origin() -> Origin {
    Origin { host: environment::host_name(), machine: facts::machine_digest(), boot: clock::boot_id() }
}

impl Session {
    fn goes_on(&self) -> bool {
        !self.incarnation.is_empty() && self.boot == clock::boot_id()
    }

    fn begun(interval_seconds: u64) -> Self {
        Self {
            boot: clock::boot_id(),
            incarnation: random::id(),
            interval_seconds,
            beats_kept: 0,
            ended: Vec::new(),
        }
    }

    /// The session that is going on, or a new one. Of several processes that begin one at a time, all get
    /// the same: what one of them claims, the beats of the others speak for.
    #[must_use]
    pub fn present(whose: &Whose) -> Self {
        if let Some(kept) = whose.kept() {
            return kept;
        }
        let _lock = whose.lock();
        if let Some(kept) = whose.kept() {
            return kept;
        }
        // What was claimed before this version came goes on in each hub.
        let is_first = files::recall::<Self>(&whose.path("json")).incarnation.is_empty();
        let before = files::recall::<Self>(&whose.path_before());
        let session =
            if is_first && before.goes_on() { before } else { Self::begun(INTERVAL_ASSUMED.as_secs()) };
        session.write(whose);
        session
    }

    /// Another server ended this session: a new one begins, or this process goes on with the one that
    /// another process of this host has begun since.
    pub fn end(&mut self, whose: &Whose) {
        self.ended.push(self.incarnation.clone());
        let _lock = whose.lock();
        if !self.goes_on_as_kept(whose) {
            *self = Self { ended: std::mem::take(&mut self.ended), ..Self::begun(self.interval_seconds) };
            self.write(whose);
        }
    }

    /// Another server ended the session `ended`: goes on in another, which begins now if this is that very
    /// one. Without `whose`, where nothing may be changed, nobody else learns of the one that begins.
    pub fn leave(&mut self, ended: &str, whose: Option<&Whose>) {
        match whose {
            // Another process has begun the next one: that is not to be ended.
            _ if self.incarnation != ended => {}
            Some(whose) => self.end(whose),
            None => {
                self.ended.push(self.incarnation.clone());
                *self = Self { ended: std::mem::take(&mut self.ended), ..Self::begun(self.interval_seconds) };
            }
        }
    }

    /// Goes on with the session of this host as it is now: another process may have learned of the end of
    /// this one. How often to beat stays.
    pub fn follow(&mut self, whose: &Whose) {
        self.goes_on_as_kept(whose);
    }

    fn goes_on_as_kept(&mut self, whose: &Whose) -> bool {
        let Some(kept) = whose.kept().filter(|kept| !self.ended.contains(&kept.incarnation)) else {
            return false;
        };
        if kept.incarnation != self.incarnation {
            let (interval_seconds, ended) = (self.interval_seconds, std::mem::take(&mut self.ended));
            *self = Self { interval_seconds, ended, ..kept };
        }
        true
    }

    /// Keeps it for the next run, unless another session has taken its place. What cannot be kept only
    /// means a new session then.
    pub fn keep(&self, whose: &Whose) {
        let is_kept = |kept: &Self| *kept == Self { ended: Vec::new(), ..self.clone() };
        if whose.kept().as_ref().is_some_and(is_kept) {
            return;
        }
        let _lock = whose.lock();
        if whose.kept().is_none_or(|kept| kept.incarnation == self.incarnation) {
            self.write(whose);
        }
    }

    fn write(&self, whose: &Whose) {
        drop(files::remember_until_boot(&whose.path("json"), self));
    }

    /// What the server says with its next beat.
    #[must_use]
    pub fn beat(&self, server: &ServerName, system: Option<System>) -> Beat {
        Beat {
            server: server.clone(),
            incarnation: self.incarnation.clone(),
            uptime_seconds: facts::uptime_seconds(),
            interval_seconds: self.interval_seconds.max(1),
            system,
            by_worker: false,
            origin: Some(origin()),
            stopping: None,
        }
    }
}
