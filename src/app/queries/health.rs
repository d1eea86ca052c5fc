//! How the fleet is doing, as `domain/health.rs` judges it.
//!
//! What the answer tells of heartbeats depends on what this machine has watched: the hub is read first,
//! and judged then. What cannot be read is told with all else and hides nothing of that.

use super::servers::unknown;
use crate::app::documents::{self, SeenBeats};
use crate::app::every::{DocumentRead, every};
use crate::app::signs::{Heartbeats, seen_of};
use crate::app::stale::UndoneWrites;
use crate::domain::bad_branch::BadBranch;
use crate::domain::health::{Broken, Document, Fleet, Known, Report};
use crate::domain::heartbeat::Freshness;
use crate::domain::id::ServerName;
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::pause::Pause;
use crate::domain::refusal::Action;
use crate::domain::refusal::Refusal;
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents as _, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How the fleet is doing, or one server of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Only what concerns this server.
    pub server: Option<ServerName>,
    /// Whether each finding is told, and not of many of a kind only how many they are.
    pub is_whole: bool,
}

/// What was read to be judged.
pub struct HealthInput {
    servers: Table<Server>,
    jobs: Table<Job>,
    locks: Table<Lock>,
    pauses: Table<Pause>,
    statuses: Vec<(ServerName, Option<Status>)>,
    unregistered: Vec<Server>,
    every: Vec<DocumentRead>,
    bad_branches: Vec<BadBranch>,
    hub: String,
    /// The heartbeats of all servers, registered or not.
    pub seen: HashMap<ServerName, SeenBeats>,
}

impl HealthInput {
    /// Reads, also the branches of heartbeats.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn read(snapshot: &Snapshot<'_>) -> Result<Self, Abort> {
        let servers: Table<Server> = documents::or_empty(snapshot)?;
        let names = documents::server_names(snapshot, &servers)?;
        let (locks, pauses) = (documents::or_empty(snapshot)?, documents::or_empty(snapshot)?);
        let seen = seen_of(snapshot, names.iter().cloned())?;
        let mut statuses = Vec::new();
        for name in names {
            let status = documents::status(snapshot, &name)?.map(|status| (*status).clone());
            statuses.push((name, status));
        }
        let unregistered = documents::unregistered(snapshot, &servers)?;
        let (bad_branches, hub) = (snapshot.bad_branches(), snapshot.hub().to_owned());
        // The longest last: a pack may keep others as differences to it, and with each of those it is read
        // once more.
        let every = every(snapshot)?;
        let jobs = documents::or_empty(snapshot)?;
        Ok(Self { servers, jobs, locks, pauses, statuses, unregistered, every, bad_branches, hub, seen })
    }

    /// What it comes to, with the `signs` of life judged, of which those of `me` say nothing about my clock, and
    /// with what an older writer undid.
    ///
    /// # Errors
    /// The refusal where the server that was asked for is not registered.
    pub fn judge(
        &self,
        query: &Health,
        signs: &Heartbeats,
        me: Option<&ServerName>,
        undone: &UndoneWrites,
    ) -> Result<Report, Refusal> {
        let fleet = Fleet {
            servers: &self.servers,
            known: self.statuses.iter().map(|(name, status)| known(name, status.as_ref(), signs)).collect(),
            jobs: &self.jobs,
            pauses: &self.pauses,
            locks: &self.locks,
            documents: self.documents(),
            unregistered: &self.unregistered,
            now: signs.clock.now,
            off: signs.clock.off,
            me: me.map(|name| name.as_str()),
        };
        let report = fleet.judge().with_bad_branches(&self.bad_branches, &self.hub);
        let report = report.with_undone(&undone.back, &undone.unknown);
        let report = match &query.server {
            None => report,
            Some(server) if self.servers.holds(server.as_str()) => report.only(server.as_str()),
            Some(server) => return Err(unknown(server, Action::Show)),
        };
        Ok(if query.is_whole { report } else { report.in_short() })
    }

    /// Every document but the beats, which are judged with all else of their servers.
    fn documents(&self) -> Vec<Document<'_>> {
        let others = self.every.iter().filter(|seen| !seen.path.ends_with("/heartbeat.json"));
        others
            .map(|seen| Document {
                path: &seen.path,
                wrong: seen.wrong.as_deref(),
                newer: seen.newer.as_deref(),
                troubles: &seen.troubles,
                server: seen.server.as_ref(),
            })
            .collect()
    }
}

fn known<'a>(name: &'a ServerName, status: Option<&'a Status>, signs: &'a Heartbeats) -> Known<'a> {
    let beats = signs.of(name);
    Known {
        name: name.as_str(),
        heartbeat: beats.and_then(|beats| beats.newest.as_deref()),
        status,
        broken: beats.and_then(|beats| beats.broken.last()).map(|broken| Broken { why: &broken.why }),
        change: signs.change(name),
        // Whoever comes by takes what waits.
        worker: if signs.has_passers_by(name) { Freshness::Late } else { signs.worker(name) },
        worker_at: beats.and_then(|beats| beats.worker_at),
    }
}
