//! What this host remembers of itself between runs: the session its beats belong to.

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

fn path(server: &ServerName, what: &str) -> PathBuf {
    environment::state_dir().join("sessions").join(format!("{server}.{what}"))
}

fn session_path(server: &ServerName) -> PathBuf {
    path(server, "json")
}

/// Where the folders of jobs are made unless a worker is told otherwise.
#[must_use]
pub fn jobs_folder() -> PathBuf {
    environment::cache_dir().join("work")
}

/// Load, memory and disk now; the disk is the one where jobs run, wherever the caller stands. What the
/// next call needs for the load is noted.
#[must_use]
pub fn system_facts(server: &ServerName) -> System {
    let folder = disk::nearest(&jobs_folder());
    let note = path(server, "sample");
    let (system, sample) = facts::system(&files::recall(&note), &folder);
    // Without it the next beat has no load.
    drop(files::note(&note, &sample));
    system
}

/// What tells this machine from a copy of it.
fn origin() -> Origin {
    Origin { host: environment::host_name(), machine: facts::machine_digest(), boot: clock::boot_id() }
}

impl Session {
    /// The session that is going on, or a new one.
    #[must_use]
    pub fn present(server: &ServerName) -> Self {
        let kept: Self = files::recall(&session_path(server));
        let boot = clock::boot_id();
        if kept.incarnation.is_empty() || kept.boot != boot {
            let session = Self {
                boot,
                incarnation: random::id(),
                interval_seconds: INTERVAL_ASSUMED.as_secs(),
                beats_kept: 0,
            };
            session.keep(server);
            return session;
        }
        kept
    }

    /// A new session, after another server ended the present one.
    #[must_use]
    pub fn restart(server: &ServerName) -> Self {
        let session = Self { incarnation: random::id(), ..Self::present(server) };
        session.keep(server);
        session
    }

    /// Keeps it for the next run. What cannot be kept only means a new session then.
    pub fn keep(&self, server: &ServerName) {
        let path = session_path(server);
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
