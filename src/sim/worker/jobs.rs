//! Jobs that a simulated process adds, changes and calls off.

use super::{OPEN_JOBS_MAX, STEPS_MAX, Worker};
use crate::app::commands::job_add::{AddJobs, NewJob};
use crate::app::commands::job_step::{Change, ChangeJob};
use crate::app::flows::stop::{Event, JobView, Step, StopFlow};
use crate::domain::id::JobId;
use crate::domain::job::{IfNeedFails, Job, JobStatus, Priority};
use crate::domain::queue::{Queue, Waiting};
use crate::domain::table::Table;
use crate::ledger::Documents as _;

/// With so many jobs waiting a fleet does not run out of work before the next look.
const STOCK: usize = 12;

impl Worker {
    pub(super) fn add(&mut self) {
        let jobs = self.look(false, |hub| hub.table::<Job>().ok());
        let known: Vec<String> = jobs.iter().flat_map(Table::rows).map(|job| job.id.clone()).collect();
        if jobs.iter().flat_map(Table::rows).filter(|job| !job.status.is_final()).count() > OPEN_JOBS_MAX {
            return self.claim();
        }
        let count = if self.random.chance(200) { 3 } else { 1 };
        let jobs = (0..count).map(|_| self.new_job(&known)).collect();
        drop(self.write(&AddJobs { jobs, requester: self.server.clone() }));
    }

    pub(super) fn new_job(&mut self, known: &[String]) -> NewJob {
        let timeout = self.world.get().tuning.job_timeout;
        let random = &mut self.random;
        let need = if random.chance(150) { random.pick(known).cloned() } else { None };
        let label = crate::sim::LABELS.get(usize::from(random.chance(500))).copied().unwrap_or_default();
        NewJob {
            kind: "test".to_owned(),
            priority: if random.chance(300) { "high".parse::<Priority>().ok() } else { None },
            branch: None,
            commit: None,
            needs: need.into_iter().collect(),
            if_need_fails: random.chance(100).then_some(IfNeedFails::Cancel),
            group: random.chance(100).then(|| "group".to_owned()),
            labels: if random.chance(150) { vec![label.to_owned()] } else { Vec::new() },
            produces: if random.chance(100) { vec!["*.deb".to_owned()] } else { Vec::new() },
            description: None,
            timeout_seconds: Some(timeout.as_secs()),
            max_attempts: if random.chance(200) { Some(1) } else { None },
            key: random.chance(200).then(|| format!("key{}", random.up_to(5))),
            not_before: None,
            delay_seconds: None,
            command: Vec::new(),
        }
    }

    /// Sees to it that there is something to claim, where there always is.
    pub(super) fn stock(&mut self) {
        let is_stocked = {
            let world = self.world.get();
            world.tuning.is_stocked && !world.is_calm
        };
        if is_stocked && self.plain_jobs_waiting().is_none_or(|waiting| waiting < STOCK) {
            let plain = |job| NewJob { needs: Vec::new(), group: None, labels: Vec::new(), key: None, ..job };
            let jobs = (0..3).map(|_| plain(self.new_job(&[]))).collect();
            drop(self.write(&AddJobs { jobs, requester: self.server.clone() }));
        }
    }

    /// How many jobs any server could claim.
    fn plain_jobs_waiting(&mut self) -> Option<usize> {
        self.look(false, |hub| {
            let table = hub.table::<Job>().ok()?;
            let waiting = table.rows().filter(|job| {
                let is_plain = job.needs.is_empty() && job.labels.is_empty() && job.group.is_none();
                job.status == JobStatus::Queued && is_plain
            });
            Some(waiting.count())
        })
    }

    /// Calls a job off, puts one back, or makes one more urgent.
    pub(super) fn change(&mut self) {
        let ids: Option<Vec<String>> =
            self.look(false, |hub| Some(hub.table::<Job>().ok()?.rows().map(|job| job.id.clone()).collect()));
        let Some(job) = self.random.pick(&ids.unwrap_or_default()).and_then(|id| JobId::new(id).ok()) else {
            return;
        };
        let change = match self.random.up_to(2) {
            0 => return self.cancel(job),
            1 => Change::Retry { again: true },
            _ => Change::Priority { priority: Priority::NORMAL },
        };
        drop(self.write(&ChangeJob { server: self.server.clone(), job, change }));
    }

    /// Calls a job off, and waits a while for who may have it at work.
    fn cancel(&mut self, job: JobId) {
        let id = job.clone();
        let cancel = ChangeJob { server: self.server.clone(), job, change: Change::Cancel { why: None } };
        let mut flow = StopFlow::new(cancel, self.patience());
        let mut client = self.client();
        let mut event = Event::Begin;
        for _ in 0..STEPS_MAX {
            event = match client.observe(|watch| flow.next(event, watch)) {
                Step::Cancel(verb) => match self.write_by(&mut client, Vec::new(), &verb) {
                    Ok(_) => Event::Cancelled,
                    Err(_) => return,
                },
                Step::Look => {
                    let seen = client.read(true, |hub| {
                        let jobs: Table<Job> = hub.table()?;
                        jobs.get(id.as_str()).map(|job| JobView::of(hub, job)).transpose()
                    });
                    // One that is gone was archived.
                    let Some(seen) = seen.ok().flatten() else { return };
                    Event::Seen(seen)
                }
                Step::Wait(pause) => {
                    self.machine.sleep(pause.drawn(|most| self.machine.up_to(most)));
                    Event::Waited
                }
                Step::Stopped | Step::HolderLost | Step::PutBack | Step::TimeUp => return,
            };
        }
        self.world.get().checker.blame(format!("I17: {} waits for a job to stop without end", self.server));
    }

    /// Calls off a job that can never be claimed.
    pub(super) fn call_off_in_vain(&self) {
        let server = self.server.clone();
        let hopeless = self.look(false, |hub| {
            let jobs = hub.table::<Job>().ok()?;
            let names: Vec<String> = self.world.get().alive();
            let labels: Vec<Vec<String>> =
                names.iter().map(|name| vec![crate::sim::label_of(name)]).collect();
            let queue = Queue::new(&jobs, self.machine.wall());
            let in_vain = |job: &&crate::domain::record::Record<Job>| {
                job.status == JobStatus::Queued
                    && queue
                        .explain(job, &labels)
                        .iter()
                        .any(|why| why.is_in_vain() || matches!(why, Waiting::Labels { .. }))
            };
            JobId::new(&jobs.rows().find(in_vain)?.id).ok()
        });
        if let Some(job) = hopeless {
            drop(self.write(&ChangeJob { server, job, change: Change::Cancel { why: None } }));
        }
    }
}
