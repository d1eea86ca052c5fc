//! What this host remembers of itself between runs: the session its beats belong to, one for each hub and
//! server.

use crate::domain::heartbeat::{Beat, INTERVAL_ASSUMED, System};
use crate::domain::id::ServerName;
use crate::domain::twin::Origin;
use crate::host::{clock, disk, environment, facts, files, random};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// The session that is going on, or a new one.
    #[must_use]
    pub fn present(whose: &Whose) -> Self {
        let boot = clock::boot_id();
        let goes_on = |kept: &Self| !kept.incarnation.is_empty() && kept.boot == boot;
        let kept: Self = files::recall(&whose.path("json"));
        if goes_on(&kept) {
            return kept;
        }
        // What was claimed before this version came goes on in each hub.
        let before: Self = files::recall(&whose.path_before());
        let session = if kept.incarnation.is_empty() && goes_on(&before) {
            before
        } else {
            Self {
                boot,
                incarnation: random::id(),
                interval_seconds: INTERVAL_ASSUMED.as_secs(),
                beats_kept: 0,
            }
        };
        session.keep(whose);
        session
    }

    /// A new session, after another server ended the present one.
    #[must_use]
    pub fn restart(whose: &Whose) -> Self {
        let session = Self { incarnation: random::id(), ..Self::present(whose) };
        session.keep(whose);
        session
    }

    /// Keeps it for the next run. What cannot be kept only means a new session then.
    pub fn keep(&self, whose: &Whose) {
        let path = whose.path("json");
        if files::recall::<Self>(&path) != *self {
            drop(files::remember_until_boot(&path, self));
        }
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
