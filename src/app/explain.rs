//! What `job explain` looks at: the queue, and the servers that could run a job.

use crate::app::documents::{SeenBeats, server_names};
use crate::app::observations::Observations;
use crate::app::signs::{Heartbeats, seen_of};
use crate::app::takeover::{held_assignment, ripe_until_now};
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::domain::lock::Lock;
use crate::domain::pause::{Pause, Paused, pause_of};
use crate::domain::queue::{Candidate, Queue, Waiting, shows_scripts, works};
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents};
use std::collections::HashMap;

/// What was read.
pub struct ExplainInput {
    jobs: Table<Job>,
    pauses: Table<Pause>,
    registry: Table<Server>,
    /// The lock under which nobody claims, while somebody holds it.
    assignment: Option<Lock>,
    /// The signs of life of the servers that could run a job.
    pub seen: HashMap<ServerName, SeenBeats>,
}

impl ExplainInput {
    /// Reads: of the registered servers; in a hub where nobody is registered, of those that have a folder.
    ///
    /// # Errors
    /// When a document cannot be read.
    pub fn at(documents: &impl Documents) -> Result<Self, Abort> {
        let registry: Table<Server> = documents.table()?;
        let names = server_names(documents, &registry)?.into_iter();
        let is_asked = |name: &ServerName| registry.is_empty() || registry.get(name.as_str()).is_some();
        let seen = seen_of(documents, names.filter(is_asked))?;
        let assignment = held_assignment(documents)?;
        Ok(Self { jobs: documents.table()?, pauses: documents.table()?, registry, assignment, seen })
    }

    /// Everything that keeps `job` of the hub at `place` waiting; nothing when it is not queued. Whoever only
    /// looks does not keep what was `observed` by it.
    #[must_use]
    pub fn explain(
        &self,
        job: &Job,
        signs: &Heartbeats,
        place: &str,
        observed: &mut Observations,
    ) -> Vec<Waiting> {
        if job.status != JobStatus::Queued {
            return Vec::new();
        }
        let queue = Queue::new(&self.jobs, signs.clock.now).paused_by(&self.pauses);
        let ripe = ripe_until_now(observed, place, &queue);
        let queue = queue.with_ripe(&ripe);
        let mut reasons = queue.explain_among(job, &self.candidates(signs));
        if let Some(lock) = &self.assignment {
            // Its turn, or which servers have something at work, says nothing while nobody can claim.
            reasons.retain(|reason| !matches!(reason, Waiting::Server(_) | Waiting::Busy { .. }));
            reasons.insert(0, Waiting::Assignment { told: lock.holding(signs.clock.now).describe() });
        }
        reasons
    }

    fn candidates(&self, signs: &Heartbeats) -> Vec<Candidate> {
        let mut of: HashMap<&str, Vec<&Job>> = HashMap::new();
        for job in self.jobs.rows() {
            of.entry(job.assigned_to.as_deref().unwrap_or_default()).or_default().push(job);
        }
        let mut names: Vec<&ServerName> = self.seen.keys().collect();
        names.sort_unstable();
        let jobs = |name: &ServerName| of.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        names.into_iter().map(|name| self.candidate(name, jobs(name), signs)).collect()
    }

    /// A server that took `jobs`.
    fn candidate(&self, name: &ServerName, jobs: &[&Job], signs: &Heartbeats) -> Candidate {
        let (worker, now) = (signs.worker(name), signs.clock.now);
        let seen = signs.of(name);
        // What scripts of its server hold keeps no worker from anything.
        let counts = |job: &&&Job| job.status.is_held() && (job.worker.is_some() || !works(worker));
        Candidate {
            labels: self.registry.get(name.as_str()).map(|server| server.labels.clone()).unwrap_or_default(),
            life: signs.life(name),
            last_heartbeat: seen.and_then(|seen| seen.newest.as_ref()).and_then(|beat| beat.at()),
            worker,
            worker_at: seen.and_then(|seen| seen.worker_at),
            worker_ended: seen
                .and_then(|seen| seen.worker_stopped.as_ref())
                .map(|stopped| stopped.why.clone().unwrap_or_default()),
            has_scripts: signs.has_passers_by(name) || jobs.iter().any(|job| shows_scripts(job, now)),
            jobs: jobs.iter().filter(counts).map(|job| job.id.clone()).collect(),
            server: name.to_string(),
            paused: pause_of(&self.pauses, &Paused::Server(name.clone()), now)
                .map(|pause| pause.describe(now)),
        }
    }
}
