//! How the dispatcher gets jobs: from the queue, and from servers that are lost.

use super::reporting::LOG_PAUSE_SAVING;
use super::{CLAIMS_PUT_OFF_MAX, Dispatcher, WorkerError};
use crate::app::commands::job_claim::{ByWorker, ClaimJobs};
use crate::app::commands::rescue::{RescueJobs, Watched};
use crate::app::watch::lost_claims;
use crate::domain::id::JobId;
use crate::domain::job::{Claimant, Job};
use crate::domain::lease::margin;
use crate::domain::refusal::{Refusal, RefusalKind};
use crate::domain::shell::words;
use crate::machine::clock::{self, Deadline};
use crate::machine::disk;
use crate::worker::active::Active;
use crate::worker::budget::Need;
use crate::worker::executor::Execution;
use crate::worker::hub::Written;
use crate::worker::task::Task;
use serde_json::Value;
use std::time::Duration;

/// When the log of a job is sent on first: soon, for who waits for its beginning.
const LOG_FIRST: Duration = Duration::from_secs(2);

impl Dispatcher<'_> {
    /// Takes jobs back from servers that were watched until they were lost.
    pub(super) fn take_back(&mut self, watched: &[Watched]) {
        let lost = lost_claims(&mut self.observed, &self.hub.place(), watched);
        self.observed.keep();
        if lost.is_empty() {
            return;
        }
        if self.must_wait(Need::Claim).is_some() {
            return;
        }
        let verb = RescueJobs { server: self.hub.server().clone(), lost };
        match self.write(&verb, None).0 {
            Ok(Written::Done(rescued)) => {
                self.report.say(&format!(
                    "taken back from servers that are lost or took too long: {}",
                    rescued.join(", ")
                ));
                self.next_look = Deadline::after(Duration::ZERO);
            }
            Ok(Written::Refused(_) | Written::Later(_)) => {}
            Err(error) => self.complain("rescue", &error.to_string()),
        }
    }

    /// How many jobs may be claimed now.
    fn room(&mut self) -> usize {
        if self.paused_until.is_some_and(|until| !until.passed()) || self.hub.trusted().passed() {
            return 0;
        }
        self.paused_until = None;
        let parent = self.place.jobs.ancestors().find(|folder| folder.is_dir()).map(disk::under);
        if let Some(Ok(disk)) = parent
            && disk.free_bytes < self.options.free_bytes_min
        {
            let (free, least) = (disk.free_bytes >> 20, self.options.free_bytes_min >> 20);
            let why = format!("{free} MiB are free where jobs run, less than {least}");
            self.complain("disk", &format!("nothing is claimed: {why}"));
            self.hindrance = Some(why);
            return 0;
        }
        self.recovered("disk");
        let room = self.options.slots.saturating_sub(self.active.len());
        if self.options.once { room.min(1) } else { room }
    }

    /// Claims what there is room for; `true` when that has to wait, for the budget of pushes or, as it may
    /// where `is_held_up`, for whoever holds `job_assignment`.
    pub(super) fn claim(&mut self, is_held_up: bool) -> Result<bool, WorkerError> {
        let room = self.room();
        if room == 0 && self.options.once && self.active.is_empty() {
            let why =
                self.hindrance.clone().unwrap_or_else(|| "this server may claim nothing now".to_owned());
            return Err(WorkerError::Refused(Refusal::forbidden(format!("{why}; nothing was claimed"))));
        }
        if room == 0 {
            return Ok(false);
        }
        if let Some(wait) = self.must_wait(Need::Claim) {
            if wait.left() < self.next_look.left() {
                self.next_look = wait;
            }
            return Ok(true);
        }
        let verb = ClaimJobs {
            claimant: Claimant {
                server: self.hub.server().clone(),
                incarnation: self.hub.session().incarnation.clone(),
            },
            labels: self.options.labels.clone(),
            count: room,
            job: self.options.job.clone(),
            start: true,
            expired_assignment: self.expired_assignment.clone(),
            lost: Vec::new(),
            ripe: self.ripe.clone(),
            by: Some(ByWorker { worker: self.place.worker.clone(), allow: self.options.allow.clone() }),
        };
        // The lease of a claim is the session's, and its time begins before it is asked for.
        let asked = clock::since_boot();
        match self.write(&verb, None).0 {
            Ok(Written::Done(claimed)) => {
                self.recovered("claim");
                self.claims_put_off = 0;
                for job in claimed {
                    self.start(job, asked);
                }
                self.is_closed |= self.options.once || self.options.job.is_some();
            }
            Ok(Written::Refused(refusal))
                if refusal.kind == RefusalKind::Nothing && self.options.job.is_none() =>
            {
                self.is_closed |= self.options.once;
            }
            // Its signs of life need not have told it: they may lie on a branch that was removed since.
            Ok(Written::Refused(refusal)) if refusal.kind == RefusalKind::LeaseLost => {
                self.hub.begin_anew();
                self.beaten(true);
                return self.put_off(refusal.why);
            }
            Ok(Written::Refused(refusal)) if self.options.once || self.options.job.is_some() => {
                return Err(WorkerError::Refused(refusal));
            }
            Ok(Written::Refused(refusal)) => {
                self.complain("claim", &format!("nothing was claimed: {}", refusal.why));
                return Ok(is_held_up);
            }
            Ok(Written::Later(why)) => return self.put_off(why),
            // Nothing else is waited for.
            Err(error) if self.options.once || self.options.job.is_some() => {
                return Err(WorkerError::Ledger(error));
            }
            Err(error) => self.complain("claim", &format!("nothing was claimed: {error}")),
        }
        Ok(false)
    }

    /// Claims later, unless nothing else is waited for and that was so often enough.
    fn put_off(&mut self, why: String) -> Result<bool, WorkerError> {
        self.claims_put_off += 1;
        if self.options.once && self.claims_put_off >= CLAIMS_PUT_OFF_MAX {
            return Err(WorkerError::Contended(why));
        }
        self.complain("claim", &format!("nothing was claimed: {why}"));
        Ok(true)
    }

    fn start(&mut self, claimed: Value, asked: Duration) {
        let Ok(job) = serde_json::from_value::<Job>(claimed) else { return };
        let (Ok(id), Some(token)) = (JobId::new(&job.id), job.token) else { return };
        self.report.say(&format!("job `{id}` begins: {}", words(&job.command)));
        // All of it must be over before others may take the job for late.
        let grace = self.options.grace.min(margin(job.timeout()) / 2);
        let task = Task {
            token,
            server: self.hub.server().to_string(),
            hub: self.options.hub.clone(),
            folder: self.place.folder(&job.id, token),
            alive: self.place.alive(&job.id, token),
            source: self.options.source.clone(),
            keep: self.options.keep.clone(),
            inherited: self.options.environment.clone(),
            masked: self.options.masked.clone(),
            grace,
            lapsed_grace: margin(self.hub.lease()),
            asked,
            log_bytes_max: self.options.log_bytes_max,
            keeps_folder: self.options.keeps_folders,
            job: job.clone(),
        };
        let execution = Execution::start(task, self.hub.trusted(), self.sender.clone());
        let next_log = Deadline::after(if self.budget.is_limited() { LOG_PAUSE_SAVING } else { LOG_FIRST });
        let active = Active { job, token, execution, grace, why: None, sent: 0, next_log };
        self.active.insert(id, active);
    }
}
