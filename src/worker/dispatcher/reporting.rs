//! What the dispatcher sends on: how jobs ended, and what they printed.
//!
//! What the hub does not take now is kept and sent later.

use super::tagging::Build;
use super::{Dispatcher, Phase, RETRY_PAUSE};
use crate::app::commands::job_log::WriteLogs;
use crate::app::commands::job_step::{Step, StepJob};
use crate::domain::id::JobId;
use crate::domain::refusal::Refusal;
use crate::machine::Deadline;
use crate::worker::budget::Need;
use crate::worker::hub::WriteResult;
use std::time::Duration;

/// How often a short log of a running job is sent on.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// The same where pushes are few.
pub(super) const LOG_PAUSE_SAVING: Duration = Duration::from_secs(30);

/// How much a log grows until it is sent on half as often: each time the hub gets all of it, and keeps
/// what it had until its own `git gc`.
const LOG_BYTES_A_PAUSE: usize = 64 * 1024;

/// How many pauses the longest pause is.
const LOG_PAUSES_MAX: u32 = 12;

/// A file of the logs branch: path and content.
type LogFile = (String, Vec<u8>);

/// The end of a job that the hub does not know yet, with its log and what else it left.
#[derive(Debug)]
pub(super) struct Unreported {
    pub(super) step: StepJob,
    pub(super) files: Vec<LogFile>,
    /// What is to be tagged once the hub knows.
    pub(super) build: Option<Build>,
}

impl Unreported {
    pub(super) fn job(&self) -> &JobId {
        &self.step.job
    }

    pub(super) fn is_of(&self, job: &JobId, token: u64) -> bool {
        self.step.job == *job && self.step.token == token
    }
}

impl Dispatcher<'_> {
    /// A step of a job, to be reported as soon as possible.
    pub(super) fn report_step(&mut self, job: JobId, token: u64, step: Step) {
        let step = StepJob { server: self.hub.server().clone(), job, token, step };
        self.send(Unreported { step, files: Vec::new(), build: None });
    }

    /// The same with what the job left.
    pub(super) fn send(&mut self, waits: Unreported) {
        self.unreported.push_back(waits);
        self.next_report = self.after(Duration::ZERO);
    }

    /// Of jobs that were cancelled: nothing of them runs here any more.
    pub(super) fn confirm_stopped(&mut self, jobs: Vec<(JobId, u64)>) {
        for (job, token) in jobs {
            let is_unsure = self.place.unsure.contains(&(job.clone(), token));
            if !is_unsure && !self.unreported.iter().any(|waits| waits.is_of(&job, token)) {
                self.report_step(job, token, Step::Stopped);
            }
        }
    }

    /// Reports what waits longest. The log first: who sees the end can read why.
    pub(super) fn report_next(&mut self) {
        // One that ends reports at once.
        let is_ending = self.farewell.is_some() || self.phase != Phase::Working;
        if let Some(wait) = self.must_wait(Need::Report).filter(|_| !is_ending) {
            self.next_report = wait;
            return;
        }
        let Some(mut waits) = self.unreported.pop_front() else { return };
        let about = format!("report {}", waits.step.job);
        let is_combined = self.is_combined() && !waits.files.is_empty();
        if !is_combined && !waits.files.is_empty() && self.write_logs(waits.files.clone()) {
            waits.files.clear();
        }
        let together = is_combined.then(|| self.logs(waits.files.clone()));
        let (written, went_along) = self.write_report(&waits, together);
        if went_along {
            waits.files.clear();
        }
        if matches!(written, Ok(WriteResult::Done(_) | WriteResult::Refused(_))) {
            self.hub.forget_kept(&waits.step);
        }
        let why = match written {
            Ok(WriteResult::Done(job)) => {
                self.recovered(&about);
                self.tag(&waits, &job);
                None
            }
            // It is not ours any more; its log is no longer asked for.
            Ok(WriteResult::Refused(refusal)) => return self.refused(waits.step, &refusal),
            Ok(WriteResult::Later(why)) => Some(why),
            Err(error) => Some(error.to_string()),
        };
        let Some(why) = why else {
            if !waits.files.is_empty() {
                // What is reported is not reported again: only the files are still to be sent.
                self.unsent.extend(waits.files);
                self.next_log = self.after(RETRY_PAUSE);
            }
            return;
        };
        self.complain(&about, &format!("the end of job `{}` is not reported yet: {why}", waits.step.job));
        self.unreported.push_back(waits);
        self.next_report = self.after(RETRY_PAUSE);
    }

    /// A report was refused: it is not this worker's job any more.
    fn refused(&mut self, step: StepJob, refusal: &Refusal) {
        if step.step != Step::Stopped {
            let words = self.report.words(refusal);
            self.report.warn(&words);
            if let Some(instead) = step.step.instead(refusal, &words) {
                return self.report_step(step.job, step.token, instead);
            }
            // If it was cancelled just before it ended, somebody may wait to hear that it did.
            self.confirm_stopped(vec![(step.job, step.token)]);
        }
    }

    /// When logs are sent on next, if there are any.
    pub(super) fn next_log(&self) -> Option<Deadline> {
        let waiting = (!self.unsent.is_empty()).then(|| self.next_log.clone());
        let growing = self.active.values().map(|active| active.next_log.clone());
        growing.chain(waiting).min_by_key(Deadline::left)
    }

    /// Sends on what the running jobs printed, and what could not be sent before.
    pub(super) fn send_logs(&mut self) {
        if let Some(wait) = self.must_wait(Need::Log) {
            self.active.values_mut().for_each(|active| active.next_log = wait.clone());
            self.next_log = wait;
            return;
        }
        let pause = if self.budget.is_limited() { LOG_PAUSE_SAVING } else { LOG_PAUSE };
        let mut logs = std::mem::take(&mut self.unsent);
        let waiting = logs.len();
        let (machine, mut versions) = (self.hub.machine(), Vec::new());
        for (id, active) in self.active.iter_mut().filter(|(_, active)| active.next_log.passed()) {
            active.next_log = machine.deadline(pause);
            let Some(path) = active.job.log.clone() else { continue };
            let Some((version, bytes)) = active.execution.log_after(active.sent) else { continue };
            let pauses = u32::try_from(bytes.len() / LOG_BYTES_A_PAUSE).unwrap_or(u32::MAX);
            active.next_log = machine.deadline(pause * pauses.saturating_add(1).min(LOG_PAUSES_MAX));
            versions.push((id.clone(), version));
            logs.push((path, bytes));
        }
        if logs.is_empty() {
            return;
        }
        if self.write_logs(logs.clone()) {
            for (id, version) in versions {
                if let Some(active) = self.active.get_mut(&id) {
                    active.sent = version;
                }
            }
        } else {
            logs.truncate(waiting);
            self.unsent = logs;
            self.next_log = self.after(RETRY_PAUSE);
        }
    }

    fn logs(&self, logs: Vec<LogFile>) -> WriteLogs {
        let at_work = self.active.values().filter_map(|active| active.job.log.clone()).collect();
        WriteLogs { server: self.hub.server().clone(), logs, at_work }
    }

    fn write_logs(&mut self, logs: Vec<LogFile>) -> bool {
        let verb = self.logs(logs);
        let written = self.hub.write_unkept(self.report, &verb);
        self.note_pushes();
        let why = match written {
            Ok(WriteResult::Done(())) => {
                self.recovered("logs");
                return true;
            }
            Ok(WriteResult::Refused(refusal)) => self.report.words(&refusal),
            Ok(WriteResult::Later(why)) => why,
            Err(error) => error.to_string(),
        };
        self.complain("logs", &format!("logs were not sent: {why}"));
        false
    }
}
