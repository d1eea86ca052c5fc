//! What `job explain` looks at: the queue, and the servers that could run a job.

use super::documents::{seen_beats, server_names};
use crate::domain::heartbeat::Freshness;
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::domain::pause::{Pause, Paused, pause_of};
use crate::domain::queue::{Candidate, Queue, Waiting};
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Documents, Stop};
use std::collections::HashMap;

/// Everything that keeps `job` waiting at `now`; nothing when it is not queued.
///
/// # Errors
/// When a document cannot be read.
pub fn explain(documents: &impl Documents, job: &Job, now: Timestamp) -> Result<Vec<Waiting>, Stop> {
    if job.status != JobStatus::Queued {
        return Ok(Vec::new());
    }
    let (jobs, pauses): (Table<Job>, Table<Pause>) = (documents.table()?, documents.table()?);
    let candidates = candidates(documents, &jobs, &pauses, now)?;
    Ok(Queue::new(&jobs, now).paused_by(&pauses).explain_among(job, &candidates))
}

/// The registered servers; in a hub where nobody is registered, those that have a folder.
fn candidates(
    documents: &impl Documents,
    jobs: &Table<Job>,
    pauses: &Table<Pause>,
    now: Timestamp,
) -> Result<Vec<Candidate>, Stop> {
    let registry: Table<Server> = documents.table()?;
    let mut held: HashMap<&str, Vec<&Job>> = HashMap::new();
    for job in jobs.rows().filter(|job| job.status.is_held()) {
        held.entry(job.assigned_to.as_deref().unwrap_or_default()).or_default().push(job);
    }
    let mut candidates = Vec::new();
    for name in server_names(documents, &registry)? {
        let registered = registry.get(name.as_str());
        if registered.is_none() && registry.rows().len() > 0 {
            continue;
        }
        let labels = registered.map(|server| server.labels.clone()).unwrap_or_default();
        let held = held.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        candidates.push(candidate(documents, held, pauses, (name, labels), now)?);
    }
    Ok(candidates)
}

/// A server that holds the jobs `held`.
fn candidate(
    documents: &impl Documents,
    held: &[&Job],
    pauses: &Table<Pause>,
    (name, labels): (ServerName, Vec<String>),
    now: Timestamp,
) -> Result<Candidate, Stop> {
    let seen = seen_beats(documents, &name)?;
    let worker = seen.worker(now);
    let beat = seen.newest;
    // What scripts of its server hold keeps no worker from anything.
    let has_worker = matches!(worker, Freshness::Fresh | Freshness::Late);
    let held = held.iter().filter(|job| job.worker.is_some() || !has_worker);
    Ok(Candidate {
        labels,
        life: beat.as_ref().map_or(Freshness::Unknown, |beat| beat.freshness(now)),
        last_heartbeat: beat.and_then(|beat| beat.at()),
        worker,
        jobs: held.map(|job| job.id.clone()).collect(),
        server: name.to_string(),
        paused: pause_of(pauses, &Paused::Server(name), now).map(|pause| pause.describe(now)),
    })
}
