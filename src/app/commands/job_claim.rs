//! Claiming: the job, the server's status and the seed's `job_assignment` lock in one commit.

use crate::app::commands::WriteCommand;
use crate::app::commands::job_step::existing;
use crate::app::commands::reclaim::{LostClaim, rescue};
use crate::app::documents;
use crate::domain::allow::Allow;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Claim, Claimant, Job, JobStatus};
use crate::domain::lock::{JOB_ASSIGNMENT, Lock, LockRequest};
use crate::domain::pause::{Pause, Paused, pause_of};
use crate::domain::queue::{Queue, Waiting};
use crate::domain::record::Record;
use crate::domain::refusal::{Pausing, Refusal};
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::table::{BrokenRecord, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a reader of the seed's protocol would have to respect our assignment, if it were
/// ever seen held.
const ASSIGNMENT_LEASE_SECONDS: u64 = 30;

/// A worker that claims: it runs what it claims by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByWorker {
    /// Names the worker through all its starts.
    pub worker: String,
    /// What it runs: it leaves all else to others.
    pub allow: Allow,
}

/// Claims the next jobs, or one by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimJobs {
    /// Who claims.
    pub claimant: Claimant,
    /// Labels the server has besides those it is registered with.
    pub labels: Vec<String>,
    /// How many at most.
    pub count: usize,
    /// One job in particular.
    pub job: Option<JobId>,
    /// Whether to begin at once.
    pub start: bool,
    /// The version of the `job_assignment` lock that was watched until it expired.
    pub expired_assignment: Option<String>,
    /// Jobs whose holders were watched until they were lost.
    pub lost: Vec<LostClaim>,
    /// Jobs that were seen for as long as they were to wait, whatever the clock said of who added them.
    #[serde(default)]
    pub ripe: Vec<JobId>,
    /// The worker, if one claims.
    #[serde(default)]
    pub by: Option<ByWorker>,
}

impl ClaimJobs {
    /// The next job there is for `claimant`.
    #[must_use]
    pub fn next(claimant: Claimant) -> Self {
        Self {
            claimant,
            labels: Vec::new(),
            count: 1,
            job: None,
            start: false,
            expired_assignment: None,
            lost: Vec::new(),
            ripe: Vec::new(),
            by: None,
        }
    }
}

impl WriteCommand for ClaimJobs {
    /// The claimed jobs, whole; empty when lost ones went back to the queue and none can be
    /// claimed yet.
    type Answer = Vec<Value>;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Value>, Abort> {
        documents::require_member(transaction, &self.claimant.server)?;
        let mut jobs: Table<Job> = transaction.table()?;
        if is_over(&self.claimant, transaction)? {
            return Err(Refusal::SessionEnded { server: self.claimant.server.to_string() }.into());
        }
        let rescued = rescue(&self.lost, &mut jobs, transaction)?;
        let ids = match self.choose(&jobs, transaction) {
            // A rescued job pauses before it is tried again: taking it back must not wait for that.
            Err(Abort::Refused(_)) if !rescued.is_empty() => {
                transaction.put_table(&jobs)?;
                return Ok(Vec::new());
            }
            chosen => chosen?,
        };
        self.note_assignment(transaction)?;
        let server = &self.claimant.server;
        let now = transaction.now();
        let mut status =
            documents::status(transaction, server)?.unwrap_or_else(|| Record::new(Status::blank(server), 0));
        let mut claimed = Vec::with_capacity(ids.len());
        for id in &ids {
            let Some(job) = jobs.get_mut(id) else { continue };
            job.edit(|job| -> Result<(), Refusal> {
                let token = job.claim(&self.claimant, now)?;
                if let Some(by) = &self.by {
                    job.worker = Some(by.worker.clone());
                    job.log = Some(job.log_path(server, now));
                }
                if self.start { job.start(Claim { server, token }, now) } else { Ok(()) }
            })?;
            status.edit(|status| status.work_on(job, now));
            transaction.trailer("Muster-Job", id.as_str());
            claimed.push(job.raw());
        }
        transaction.put_table(&jobs)?;
        transaction.put_record(&Status::path(server), &status)?;
        transaction.describe(match ids.as_slice() {
            [one] => format!("job claim: {one} by {server}"),
            many => format!("job claim: {} jobs by {server}", many.len()),
        });
        Ok(claimed)
    }
}

/// Whether another server ended the session that claims: what it claimed would be lost to a server that
/// lives. Told on the main branch, which a claim is made on, as its heartbeats may not have been looked at.
///
/// # Errors
/// When the branch cannot be read.
pub fn is_over(claimant: &Claimant, documents: &impl Documents) -> Result<bool, Abort> {
    let status = documents::status(documents, &claimant.server)?;
    Ok(status.is_some_and(|status| status.ended_sessions.contains(&claimant.incarnation)))
}

impl ClaimJobs {
    /// Whether whoever claims would run the job.
    fn runs(&self, job: &Job) -> bool {
        self.by.as_ref().is_none_or(|by| by.allow.permits(&job.command))
    }

    fn check_pause(&self, pauses: &Table<Pause>, now: Timestamp) -> Result<(), Refusal> {
        let server = &self.claimant.server;
        let Some(pause) = pause_of(pauses, &Paused::Server(server.clone()), now) else { return Ok(()) };
        let Pause { by, at: since, note, until, .. } = pause.into_owned();
        let server = server.to_string();
        Err(Refusal::ServerPaused(Box::new(Pausing { server, by, since, until, note, at: now })))
    }

    fn choose(&self, jobs: &Table<Job>, transaction: &Transaction<'_>) -> Result<Vec<String>, Abort> {
        let pauses: Table<Pause> = transaction.table()?;
        let queue = Queue::new(jobs, transaction.present()?).paused_by(&pauses).with_ripe(&self.ripe);
        let registry: Table<Server> = transaction.table()?;
        let registered = registry.get(self.claimant.server.as_str()).map(|server| server.labels.clone());
        let mut labels = registered.unwrap_or_default();
        labels.extend(self.labels.iter().cloned());
        self.check_pause(&pauses, transaction.now())?;
        let mut claimable = queue.claimable(&labels);
        claimable.retain(|job| self.runs(job));
        if let Some(id) = &self.job {
            let job = jobs.get(id.as_str()).cloned().map_or_else(|| existing(id, transaction), Ok)?;
            if claimable.iter().any(|job| job.id == id.as_str()) {
                return Ok(vec![id.to_string()]);
            }
            let now = transaction.now();
            let why = if job.status == JobStatus::Queued && !self.runs(&job) {
                not_run(&job)
            } else if job.status == JobStatus::Queued {
                let reasons = queue.explain(&job, &[labels]);
                reasons.first().map_or_else(
                    || job.situation(now),
                    |reason| match reason {
                        Waiting::Labels { missing } => {
                            format!("`{}` lacks the labels {}", self.claimant.server, missing.join(", "))
                        }
                        reason => reason.describe(now),
                    },
                )
            } else {
                job.situation(now)
            };
            let (job, status) = (id.to_string(), job.status.clone());
            return Err(Refusal::JobNotClaimable { job, status, waits_for: why }.into());
        }
        if claimable.is_empty() {
            return Err(nothing(jobs, &self.claimant.server).into());
        }
        Ok(claimable.into_iter().take(self.count.max(1)).map(|job| job.id.clone()).collect())
    }

    /// A server that follows the seed's protocol holds this lock while it assigns; we respect it,
    /// and leave behind who assigned last, taken and released in this one commit.
    fn note_assignment(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let mut locks: Table<Lock> = transaction.table()?;
        if let Some(broken) = locks.unreadable(JOB_ASSIGNMENT) {
            return respect(broken);
        }
        if locks.get(JOB_ASSIGNMENT).is_none() {
            locks.push(Lock::free(JOB_ASSIGNMENT));
        }
        let taker = LockRequest {
            server: self.claimant.server.clone(),
            holder: self.claimant.server.to_string(),
            lease_seconds: ASSIGNMENT_LEASE_SECONDS,
            reason: None,
        };
        let now = transaction.now();
        if let Some(lock) = locks.get_mut(JOB_ASSIGNMENT) {
            lock.edit(|lock| lock.pass(&taker, self.expired_assignment.as_deref(), now))?;
        }
        transaction.put_table(&locks)?;
        Ok(())
    }
}

/// A `job_assignment` that cannot be read stays as it is. It holds up only who is named in it as its
/// holder, as our own claims need no such lock.
fn respect(broken: &BrokenRecord) -> Result<(), Abort> {
    match broken.field("locked_by").filter(|by| !by.is_empty() && by != "null") {
        Some(by) => {
            let (lock, problem) = (JOB_ASSIGNMENT.to_owned(), broken.why().to_owned());
            Err(Refusal::AssignmentUnusable { lock, holder: by, problem }.into())
        }
        None => Ok(()),
    }
}

/// Why a worker leaves a job to others.
fn not_run(job: &Job) -> String {
    match job.command.as_slice() {
        [] => "it has no command".to_owned(),
        command => format!("this worker does not run `{}`", command.join(" ")),
    }
}

fn nothing(jobs: &Table<Job>, server: &ServerName) -> Refusal {
    let queued = jobs.rows().filter(|job| job.status == JobStatus::Queued).count();
    Refusal::NothingToClaim { server: server.to_string(), queued }
}
