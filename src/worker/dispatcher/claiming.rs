//! How the dispatcher gets jobs: from the queue, and from servers that are lost.

use super::reporting::LOG_PAUSE_SAVING;
use super::{Dispatcher, WorkerError};
use crate::app::commands::job_claim::{ByWorker, ClaimJobs};
use crate::app::commands::reclaim::ReclaimJobs;
use crate::app::flows::Failure;
use crate::app::flows::claim::{ClaimFlow, Event, HubView, Poll, Step, WaitReason as Wait};
use crate::domain::id::JobId;
use crate::domain::job::{Claimant, Job};
use crate::domain::lease::margin;
use crate::domain::queue::Delayed;
use crate::domain::refusal::Refusal;
use crate::domain::shell::words;
use crate::machine::disk;
use crate::worker::Options;
use crate::worker::active::Active;
use crate::worker::budget::Need;
use crate::worker::executor::Execution;
use crate::worker::hub::{WorkerHub, WriteResult};
use crate::worker::place::WorkerDir;
use crate::worker::task::Task;
use serde_json::Value;
use std::time::Duration;

/// When the log of a job is sent on first: soon, for who waits for its beginning.
const LOG_FIRST: Duration = Duration::from_secs(2);

/// How a worker claims.
pub(super) fn claiming(hub: &WorkerHub, place: &WorkerDir, options: &Options) -> ClaimFlow {
    let incarnation = hub.session().incarnation.clone();
    let claim = ClaimJobs {
        labels: options.labels.clone(),
        count: 0,
        job: options.job.clone(),
        start: true,
        by: Some(ByWorker { worker: place.worker.clone(), allow: options.allow.clone() }),
        ..ClaimJobs::next(Claimant { server: hub.server().clone(), incarnation })
    };
    ClaimFlow::of_worker(claim, options.once)
}

/// What a claim that came to nothing ends with, if the worker ends with it, and why for people.
type Failed = (WorkerError, String);

impl Dispatcher<'_> {
    /// Takes what there is: back from servers that are lost, and if it `wants`, what there is room for.
    /// `true` when a claim has to wait.
    pub(super) fn take(
        &mut self,
        seen: HubView,
        delayed: Vec<Delayed>,
        wants: bool,
    ) -> Result<bool, WorkerError> {
        let room = if wants { self.room() } else { 0 };
        let session = self.hub.session().incarnation.clone();
        let is_waiting = self.drive(Event::Polled(Poll { seen, delayed, room, session }))?;
        if wants && room == 0 && self.options.once && self.active.is_empty() {
            let (server, cause) = (self.hub.server().to_string(), self.hindrance.clone());
            return Err(WorkerError::Refused(Refusal::ClaimsWithheld { server, cause }));
        }
        self.is_closed |= !wants && self.options.once;
        Ok(is_waiting)
    }

    fn drive(&mut self, mut event: Event) -> Result<bool, WorkerError> {
        let mut failed: Option<Failed> = None;
        loop {
            let flow = &mut self.claiming;
            event = match self.hub.observe(|watch| flow.next(event, watch)) {
                Step::Reclaim(verb) => self.take_back(&verb),
                // A sign of life that went along with that told that the session was ended.
                Step::Claim(verb) if verb.claimant.incarnation != self.hub.session().incarnation => {
                    return Ok(true);
                }
                Step::Claim(verb) => match self.must_wait(Need::Claim) {
                    None => self.claim(&verb, &mut failed),
                    Some(wait) => {
                        if wait.left() < self.next_look.left() {
                            self.next_look = wait;
                        }
                        return Ok(true);
                    }
                },
                Step::BeginAnew => {
                    self.hub.begin_anew();
                    self.beaten(true);
                    failed = failed.map(|(_, why)| (WorkerError::Contended(why.clone()), why));
                    Event::Session(self.hub.session().incarnation.clone())
                }
                Step::Wait(_, why) => return Ok(self.waits(why, failed)),
                Step::Done => {
                    self.is_closed |= self.options.once || self.options.job.is_some();
                    return Ok(false);
                }
                Step::Refused => return failed.map_or(Ok(false), |(error, _)| Err(error)),
                // A command's way.
                Step::Recall | Step::Look | Step::TimeUp => return Ok(false),
            };
        }
    }

    /// Until its next look; `true` when what it wants is there.
    fn waits(&mut self, why: Wait, failed: Option<Failed>) -> bool {
        match (why, failed) {
            (Wait::Nothing, failed) => self.is_closed |= failed.is_some() && self.options.once,
            (_, Some((_, why))) => self.complain("claim", &format!("nothing was claimed: {why}")),
            (_, None) => {}
        }
        matches!(why, Wait::HeldUp | Wait::PutOff)
    }

    /// Takes jobs back from servers that were watched until they were lost.
    fn take_back(&mut self, verb: &ReclaimJobs) -> Event {
        if self.must_wait(Need::Claim).is_some() {
            return Event::Failed(Failure::Contended);
        }
        match self.write(verb, None).0 {
            Ok(WriteResult::Done(rescued)) => {
                self.report.say(&format!(
                    "taken back from servers that are lost or took too long: {}",
                    rescued.join(", ")
                ));
                self.next_look = self.after(Duration::ZERO);
                Event::Reclaimed
            }
            Ok(WriteResult::Refused(refusal)) => Event::Failed(Failure::No(refusal.class())),
            Ok(WriteResult::Later(_)) => Event::Failed(Failure::Contended),
            Err(error) => {
                self.complain("rescue", &error.to_string());
                Event::Failed(Failure::of_fault(&error))
            }
        }
    }

    /// How many jobs may be claimed now.
    fn room(&mut self) -> usize {
        if self.paused_until.as_ref().is_some_and(|until| !until.passed()) || self.hub.trusted().passed() {
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

    fn claim(&mut self, verb: &ClaimJobs, failed: &mut Option<Failed>) -> Event {
        // The lease of a claim is the session's, and its time begins before it is asked for.
        let asked = self.now();
        let (failure, error, why) = match self.write(verb, None).0 {
            Ok(WriteResult::Done(claimed)) => {
                self.recovered("claim");
                let count = claimed.len();
                for job in claimed {
                    self.start(job, asked);
                }
                return Event::Claimed(count.max(1));
            }
            Ok(WriteResult::Refused(refusal)) => {
                let why = self.report.words(&refusal);
                (Failure::No(refusal.class()), WorkerError::Refused(refusal), why)
            }
            Ok(WriteResult::Later(why)) => (Failure::Contended, WorkerError::Contended(why.clone()), why),
            Err(error) => {
                let why = error.to_string();
                (Failure::of_fault(&error), WorkerError::Ledger(error), why)
            }
        };
        *failed = Some((error, why));
        Event::Failed(failure)
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
        let execution = Execution::start(task, &self.hub.trusted(), self.sender.clone());
        let next_log = self.after(if self.budget.is_limited() { LOG_PAUSE_SAVING } else { LOG_FIRST });
        let active = Active { job, token, execution, grace, why: None, sent: 0, next_log };
        self.active.insert(id, active);
    }
}
