//! What this host remembers of itself between runs: the session its beats belong to, one for each hub and
//! server.

use crate::domain::heartbeat::{Beat, INTERVAL_ASSUMED, System};
use crate::domain::id::ServerName;
use crate::domain::twin::HeartbeatOrigin;
use crate::machine::Machine;
use crate::machine::file_lock::FileLock;
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

/// Whose session: that of a server on a machine, in the hub of this name there.
#[derive(Debug, Clone)]
pub struct SessionKey {
    /// The machine.
    pub machine: Machine,
    /// The name, of `hubs`.
    pub hub: String,
    pub server: ServerName,
}

impl SessionKey {
    fn path(&self, what: &str) -> PathBuf {
        sessions(&self.machine).join(&self.hub).join(format!("{}.{what}", self.server))
    }

    /// Who holds it alone begins a session here. Without it each goes on for itself.
    fn lock(&self) -> Option<FileLock> {
        let path = self.path("flock");
        // For this user alone: whoever may open it may keep it locked. Later it is there already.
        drop(self.machine.leave(&path, &()));
        FileLock::acquire(&path, &self.machine.deadline(LOCK_WAIT)).ok()
    }

    /// The session that is kept here, if it goes on.
    fn kept(&self) -> Option<Session> {
        let kept: Session = self.machine.recall(&self.path("json"));
        kept.goes_on(&self.machine).then_some(kept)
    }

    /// Where versions before kept one session for all hubs.
    fn path_before(&self) -> PathBuf {
        sessions(&self.machine).join(format!("{}.json", self.server))
    }

    /// Load, memory and disk now; the disk is the one where jobs run, wherever the caller stands. What the
    /// next call needs for the load is noted.
    #[must_use]
    pub fn system_facts(&self) -> System {
        self.machine.system_facts(&jobs_folder(&self.machine), &self.path("sample"))
    }
}

fn sessions(machine: &Machine) -> PathBuf {
    machine.state_dir().join("sessions")
}

/// Where the folders of jobs are made unless a worker is told otherwise.
#[must_use]
pub fn jobs_folder(machine: &Machine) -> PathBuf {
    machine.cache_dir().join("work")
}

/// What tells this machine from a copy of it.
fn origin(machine: &Machine) -> HeartbeatOrigin {
    HeartbeatOrigin { host: machine.host_name(), machine: machine.digest(), boot: machine.boot_id() }
}

impl Session {
    fn goes_on(&self, machine: &Machine) -> bool {
        !self.incarnation.is_empty() && self.boot == machine.boot_id()
    }

    fn begun(machine: &Machine, interval_seconds: u64) -> Self {
        Self {
            boot: machine.boot_id(),
            incarnation: machine.id(),
            interval_seconds,
            beats_kept: 0,
            ended: Vec::new(),
        }
    }

    /// The session that is going on, or a new one. Of several processes that begin one at a time, all get
    /// the same: what one of them claims, the beats of the others speak for.
    #[must_use]
    pub fn present(whose: &SessionKey) -> Self {
        if let Some(kept) = whose.kept() {
            return kept;
        }
        let _lock = whose.lock();
        if let Some(kept) = whose.kept() {
            return kept;
        }
        // What was claimed before this version came goes on in each hub.
        let is_first = whose.machine.recall::<Self>(&whose.path("json")).incarnation.is_empty();
        let before = whose.machine.recall::<Self>(&whose.path_before());
        let session = if is_first && before.goes_on(&whose.machine) {
            before
        } else {
            Self::begun(&whose.machine, INTERVAL_ASSUMED.as_secs())
        };
        session.write(whose);
        session
    }

    /// Another server ended this session: a new one begins, or this process goes on with the one that
    /// another process of this host has begun since.
    pub fn end(&mut self, whose: &SessionKey) {
        self.ended.push(self.incarnation.clone());
        let _lock = whose.lock();
        if !self.goes_on_as_kept(whose) {
            self.begin_anew(whose);
            self.write(whose);
        }
    }

    /// Another server ended the session `ended`: goes on in another, which begins now if this is that very
    /// one. Unless it `is_kept`, where nothing may be changed, nobody else learns of the one that begins.
    pub fn leave(&mut self, ended: &str, whose: &SessionKey, is_kept: bool) {
        // Otherwise another process has begun the next one: that is not to be ended.
        if self.incarnation == ended {
            if is_kept {
                self.end(whose);
            } else {
                self.ended.push(self.incarnation.clone());
                self.begin_anew(whose);
            }
        }
    }

    fn begin_anew(&mut self, whose: &SessionKey) {
        let begun = Self::begun(&whose.machine, self.interval_seconds);
        *self = Self { ended: std::mem::take(&mut self.ended), ..begun };
    }

    /// Goes on with the session of this host as it is now: another process may have learned of the end of
    /// this one. How often to beat stays.
    pub fn follow(&mut self, whose: &SessionKey) {
        self.goes_on_as_kept(whose);
    }

    fn goes_on_as_kept(&mut self, whose: &SessionKey) -> bool {
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
    pub fn keep(&self, whose: &SessionKey) {
        let is_kept = |kept: &Self| *kept == Self { ended: Vec::new(), ..self.clone() };
        if whose.kept().as_ref().is_some_and(is_kept) {
            return;
        }
        let _lock = whose.lock();
        if whose.kept().is_none_or(|kept| kept.incarnation == self.incarnation) {
            self.write(whose);
        }
    }

    fn write(&self, whose: &SessionKey) {
        drop(whose.machine.remember_until_boot(&whose.path("json"), self));
    }

    /// What the server says with its next beat.
    #[must_use]
    pub fn beat(&self, whose: &SessionKey, system: Option<System>) -> Beat {
        let machine = &whose.machine;
        Beat {
            server: whose.server.clone(),
            incarnation: self.incarnation.clone(),
            uptime_seconds: machine.uptime_seconds(),
            interval_seconds: self.interval_seconds.max(1),
            system,
            by_worker: false,
            origin: Some(origin(machine)),
            stopping: None,
        }
    }
}
