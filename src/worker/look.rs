//! What the dispatcher looks for in the hub.

use crate::app::commands::job_step::{Step, StepJob};
use crate::app::commands::reclaim::WatchedClaim;
use crate::app::flows::claim::HubView;
use crate::domain::allow::Allow;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{AttemptResult, FailReason, Job};
use crate::domain::pause::{Pause, Paused, pause_of};
use crate::domain::queue::{Delayed, Queue};
use crate::domain::record::Record;
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents as _, Snapshot};

/// Who looks.
#[derive(Debug)]
pub(super) struct Poller<'a> {
    pub server: &'a ServerName,
    /// The worker's name in claims.
    pub worker: &'a str,
    /// Claims of which nobody knows whether all that was started for them has ended.
    pub unsure: &'a [(JobId, u64)],
    pub labels: &'a [String],
    pub allow: &'a Allow,
    /// The jobs at work here, with the tokens of their claims.
    pub active: Vec<(JobId, u64)>,
    /// What this worker has seen for as long as it was to wait.
    pub ripe: &'a [JobId],
    pub now: Timestamp,
}

/// A job at work here that is not ours any more.
#[derive(Debug)]
pub(super) struct LostJob {
    pub job: JobId,
    pub token: u64,
    /// What is so instead.
    pub situation: String,
    /// Whether it was called off, and nobody else has it.
    pub is_cancelled: bool,
}

/// Jobs of a worker as the hub has them, with the tokens of their claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftBehind {
    /// Those that it holds.
    pub strays: Vec<(JobId, u64)>,
    /// Those that were cancelled, and of which nobody has said that they stopped.
    pub stopped: Vec<(JobId, u64)>,
}

impl LeftBehind {
    /// Those of `worker` and `server`; of `unsure` claims nobody can say that they stopped.
    pub(super) fn of(
        jobs: &Table<Job>,
        (server, worker): (&ServerName, &str),
        unsure: &[(JobId, u64)],
    ) -> Self {
        let of_worker = |job: &&Record<Job>| {
            job.worker.as_deref() == Some(worker) && job.assigned_to.as_deref() == Some(server.as_str())
        };
        let mut left = Self::default();
        for job in jobs.rows().filter(of_worker) {
            let (Ok(id), token) = (JobId::new(&job.id), job.token.unwrap_or(0)) else { continue };
            if job.status.is_held() {
                left.strays.push((id, token));
            } else if job.may_still_run_on().is_some() && !unsure.contains(&(id.clone(), token)) {
                left.stopped.push((id, token));
            }
        }
        left
    }

    /// Leaves out those that are at work.
    pub(super) fn forget(&mut self, active: &[(JobId, u64)]) {
        self.strays.retain(|claim| !active.contains(claim));
        self.stopped.retain(|claim| !active.contains(claim));
    }

    /// What is to be told of them when their worker is gone.
    #[must_use]
    pub fn steps(self, server: &ServerName) -> Vec<StepJob> {
        let lost = || Step::Fail {
            reason: FailReason::Lost,
            report: AttemptResult {
                message: Some("the worker ended while the job was at work".to_owned()),
                ..AttemptResult::default()
            },
        };
        let strays = self.strays.into_iter().map(|claim| (claim, lost()));
        let stopped = self.stopped.into_iter().map(|claim| (claim, Step::Stopped));
        let step = |((job, token), step)| StepJob { server: server.clone(), job, token, step };
        strays.chain(stopped).map(step).collect()
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct QueuePoll {
    /// Jobs at work here that are not ours any more.
    pub taken: Vec<LostJob>,
    /// Jobs that the hub holds for ours and that are not at work here.
    pub left: LeftBehind,
    /// Whether there is a job to claim.
    pub has_work: bool,
    /// Jobs that nothing but our own decision keeps from running here.
    pub unwanted: Vec<(String, Vec<String>)>,
    /// Why this server is to claim nothing, if so, and whether its worker is to end.
    pub paused: Option<(String, bool)>,
    /// Jobs whose delays have to be counted here.
    pub delayed: Vec<Delayed>,
    /// Claims of other servers, and of other sessions of this one, and the lock under which nobody claims.
    pub seen: HubView,
}

impl Poller<'_> {
    pub(super) fn look(&self, snapshot: &Snapshot<'_>) -> Result<QueuePoll, Abort> {
        let jobs: Table<Job> = snapshot.table()?;
        let registry: Table<Server> = snapshot.table()?;
        let mut look = QueuePoll { seen: HubView::of(snapshot, self.server)?, ..QueuePoll::default() };
        // What this worker has at work ends with its time by itself.
        let is_own = |claim: &WatchedClaim| {
            let job = jobs.get(claim.job.as_str());
            claim.holder == *self.server && job.and_then(|job| job.worker.as_deref()) == Some(self.worker)
        };
        look.seen.claims.retain(|claim| claim.session.is_some() || !is_own(claim));
        for (id, token) in &self.active {
            let job = jobs.get(id.as_str());
            let is_ours = job.is_some_and(|job| {
                job.is_held_under(*token) && job.assigned_to.as_deref() == Some(self.server.as_str())
            });
            if !is_ours {
                let situation = job.map_or("it is not in the queue".to_owned(), |job| {
                    format!("it is {}", job.situation(self.now))
                });
                let is_cancelled = job.is_some_and(|job| {
                    job.token == Some(*token) && job.may_still_run_on() == Some(self.server.as_str())
                });
                look.taken.push(LostJob { job: id.clone(), token: *token, situation, is_cancelled });
            }
        }
        look.left = LeftBehind::of(&jobs, (self.server, self.worker), self.unsure);
        look.left.forget(&self.active);
        let registered = registry.get(self.server.as_str()).map(|server| server.labels.clone());
        let labels: Vec<String> =
            registered.into_iter().flatten().chain(self.labels.iter().cloned()).collect();
        let pauses: Table<Pause> = snapshot.table()?;
        if let Some(pause) = pause_of(&pauses, &Paused::Server(self.server.clone()), self.now) {
            look.paused = Some((pause.describe(self.now), pause.drain == Some(true)));
        }
        let queue = Queue::new(&jobs, self.now).paused_by(&pauses).with_ripe(self.ripe);
        look.delayed = queue.delayed();
        for job in queue.claimable(&labels) {
            if self.allow.permits(&job.command) {
                look.has_work = true;
            } else {
                look.unwanted.push((job.id.clone(), job.command.clone()));
            }
        }
        Ok(look)
    }
}
