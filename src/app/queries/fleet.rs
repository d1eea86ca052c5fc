//! What the servers are at: their heartbeats, what they hold, ended last and could claim, what is paused.
//!
//! How a heartbeat is to be judged depends on what this machine has watched: the hub is read first, as a
//! [`Fleet`], and judged then.

use super::servers::unknown;
use crate::app::documents::SeenBeats;
use crate::app::observations::Observations;
use crate::app::signs::{Heartbeats, seen_of};
use crate::app::takeover::ripe_until_now;
use crate::domain::heartbeat::Freshness;
use crate::domain::id::ServerName;
use crate::domain::job::Job;
use crate::domain::pause::{Pause, Paused, pause_of};
use crate::domain::queue::Queue;
use crate::domain::refusal::Action;
use crate::domain::refusal::Refusal;
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::Serialize;
use std::collections::HashMap;

/// How many jobs that ended are told of a server.
const ENDED_SHOWN: usize = 5;

/// What was read of all servers: whether our own clock is off is for most of them to say.
pub struct Fleet {
    registry: Table<Server>,
    jobs: Table<Job>,
    pauses: Table<Pause>,
    /// Their heartbeats.
    pub seen: HashMap<ServerName, SeenBeats>,
}

impl Fleet {
    /// Reads, also the branches of heartbeats.
    ///
    /// # Errors
    /// When a document cannot be read.
    pub fn read(documents: &impl Documents) -> Result<Self, Abort> {
        let registry: Table<Server> = documents.table()?;
        let names = registry.rows().filter_map(|server| ServerName::new(&server.id).ok());
        let seen = seen_of(documents, names)?;
        let pauses = documents.table()?;
        // The longest last: a pack may keep others as differences to it, and with each of those it is read
        // once more.
        Ok(Self { registry, jobs: documents.table()?, pauses, seen })
    }

    /// All servers that are registered under a name, in the order of the registry.
    #[must_use]
    pub fn list(&self, signs: &Heartbeats) -> Vec<ServerWork> {
        let held = self.held();
        let named = self.registry.rows().filter_map(|one| Some((one, ServerName::new(&one.id).ok()?)));
        named.map(|(server, name)| self.at_work(server, &name, &held, signs)).collect()
    }

    /// Fails unless the server is registered.
    ///
    /// # Errors
    /// The refusal.
    pub fn require(&self, name: &ServerName) -> Result<(), Refusal> {
        self.server(name).map(drop)
    }

    fn server(&self, name: &ServerName) -> Result<&Server, Refusal> {
        let found = self.registry.get(name.as_str()).map(|server| &**server);
        found.ok_or_else(|| unknown(name, Action::ShowWorker))
    }

    /// One server, and what it does and could do in the hub at `place`. Whoever only looks does not keep what
    /// was `observed` by it.
    ///
    /// # Errors
    /// The refusal where it is not registered.
    pub fn show(
        &self,
        name: &ServerName,
        signs: &Heartbeats,
        place: &str,
        observed: &mut Observations,
    ) -> Result<ShownWorker, Refusal> {
        let server = self.server(name)?;
        let now = signs.clock.now;
        let told = |job: &Job| JobLine { id: job.id.clone(), situation: job.situation(now) };
        let of_server = || {
            let rows = self.jobs.rows().map(|job| &**job);
            rows.filter(|job| job.assigned_to.as_deref() == Some(name.as_str()))
        };
        let mut ended: Vec<&Job> = of_server().filter(|job| job.status.is_final()).collect();
        ended.sort_by_key(|job| std::cmp::Reverse(job.completed_at));
        let queue = Queue::new(&self.jobs, now).paused_by(&self.pauses);
        let ripe = ripe_until_now(observed, place, &queue);
        let claimable = queue.with_ripe(&ripe).claimable(&server.labels);
        Ok(ShownWorker {
            listed: self.at_work(server, name, &self.held(), signs),
            at_work: of_server().filter(|job| job.status.is_held()).map(told).collect(),
            ended: ended.into_iter().take(ENDED_SHOWN).map(told).collect(),
            claimable: claimable.into_iter().map(|job| told(job)).collect(),
        })
    }

    /// The jobs that each server holds, looked through once for all of them.
    fn held(&self) -> HashMap<&str, Vec<&str>> {
        let mut held: HashMap<&str, Vec<&str>> = HashMap::new();
        for job in self.jobs.rows().filter(|job| job.status.is_held()) {
            held.entry(job.assigned_to.as_deref().unwrap_or_default()).or_default().push(&job.id);
        }
        held
    }

    fn at_work(
        &self,
        server: &Server,
        name: &ServerName,
        held: &HashMap<&str, Vec<&str>>,
        signs: &Heartbeats,
    ) -> ServerWork {
        let (seen, now) = (signs.of(name), signs.clock.now);
        let beat = seen.and_then(|seen| seen.newest.as_ref());
        let stopped = seen.and_then(|seen| seen.worker_stopped.as_ref());
        let jobs = held.get(name.as_str()).into_iter().flatten();
        ServerWork {
            server: server.id.clone(),
            life: signs.life(name),
            worker: signs.worker(name),
            worker_last_seen: seen.and_then(|seen| seen.worker_at),
            worker_stopped: stopped.map(|stopped| stopped.why.clone().unwrap_or_default()),
            last_heartbeat: beat.and_then(|beat| beat.at()),
            jobs: jobs.map(ToString::to_string).collect(),
            labels: server.labels.clone(),
            paused: pause_of(&self.pauses, &Paused::Server(name.clone()), now)
                .map(|pause| pause.describe(now)),
        }
    }
}

/// A server and what it is at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerWork {
    /// Its name.
    pub server: String,
    /// How its last heartbeat is to be judged.
    pub life: Freshness,
    /// When that was.
    pub last_heartbeat: Option<Timestamp>,
    /// The same of its worker: scripts and cron lines of a server beat too.
    pub worker: Freshness,
    /// When that was.
    pub worker_last_seen: Option<Timestamp>,
    /// Why it ended, if it did so as it was meant to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_stopped: Option<String>,
    /// The jobs it holds.
    pub jobs: Vec<String>,
    /// What it can do.
    pub labels: Vec<String>,
    /// Its pause, for people.
    pub paused: Option<String>,
}

/// A server with its jobs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownWorker {
    /// What it is at.
    #[serde(flatten)]
    pub listed: ServerWork,
    /// What it holds.
    pub at_work: Vec<JobLine>,
    /// What it ended last, the latest first.
    pub ended: Vec<JobLine>,
    /// What it could claim now, what it would claim first in front.
    pub claimable: Vec<JobLine>,
}

/// A job in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobLine {
    pub id: String,
    /// How it stands, for people.
    pub situation: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::now;
    use crate::domain::code::Code;
    use crate::domain::table::Row as _;
    use crate::machine::Machine;
    use serde_json::{Value, json};

    fn hub() -> MemoryDocuments {
        let servers = [r#"{"id":"b1","labels":["gpu"]}"#, r#"{"id":"b2"}"#, r#"{"id":"not a name"}"#];
        let ended = |id: &str, day: u32| {
            format!(
                r#"{{"id":"{id}","status":"failed","assigned_to":"b1","completed_at":"2025-11-{day:02}T00:00:00Z"}}"#
            )
        };
        let mut jobs = vec![
            r#"{"id":"r","status":"running","assigned_to":"b1"}"#.to_owned(),
            r#"{"id":"c","status":"claimed","assigned_to":"b1"}"#.to_owned(),
            r#"{"id":"q","status":"queued"}"#.to_owned(),
            r#"{"id":"g","status":"queued","labels":["gpu"],"priority":1}"#.to_owned(),
        ];
        jobs.extend((1..=7).map(|day| ended(&format!("e{day}"), day)));
        let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
        let beat = r#"{"server":"b1","timestamp":"2025-11-10T11:59:50Z","interval_seconds":30}"#;
        MemoryDocuments::default()
            .rows(Server::PATH, "servers", &servers)
            .rows(Job::PATH, "jobs", &jobs)
            .rows(Pause::PATH, "pauses", &[r#"{"id":"server:b2","by":"b1"}"#])
            .with("heartbeat-b1", "b1/heartbeat.json", beat)
    }

    fn judged(fleet: &Fleet) -> Heartbeats {
        Heartbeats::compare(
            fleet.seen.clone(),
            &mut Observations::begin(&Machine::real()),
            "hub",
            None,
            now(),
        )
    }

    #[test]
    fn servers_are_listed_with_their_signs_of_life_jobs_and_pauses() {
        let fleet = Fleet::read(&hub()).expect("reads");
        let told = serde_json::to_value(fleet.list(&judged(&fleet))).expect("serialises");
        let pick = |one: &Value| json!([one["server"], one["life"], one["jobs"], one["paused"].is_null()]);
        let told: Vec<Value> = told.as_array().into_iter().flatten().map(pick).collect();
        assert_eq!(told, [json!(["b1", "fresh", ["r", "c"], true]), json!(["b2", "unknown", [], false])]);
    }

    #[test]
    fn a_server_is_shown_with_what_it_holds_ended_last_and_could_claim() {
        let fleet = Fleet::read(&hub()).expect("reads");
        let ids = |all: &[JobLine]| all.iter().map(|one| one.id.clone()).collect::<Vec<_>>().join(" ");
        for (name, at_work, ended, claimable) in [("b1", "r c", "e7 e6 e5 e4 e3", "g q"), ("b2", "", "", "q")]
        {
            let name = ServerName::new(name).expect("a name");
            let signs = judged(&fleet);
            let shown =
                fleet.show(&name, &signs, "hub", &mut Observations::begin(&Machine::real())).expect("shown");
            let told = (ids(&shown.at_work), ids(&shown.ended), ids(&shown.claimable));
            assert_eq!(told, (at_work.to_owned(), ended.to_owned(), claimable.to_owned()), "{name}");
        }
        let missing = fleet.require(&ServerName::new("b9").expect("a name"));
        assert_eq!(missing.map_err(|no| no.code()), Err(Code::ServerNotFound));
    }
}
