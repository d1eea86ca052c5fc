//! The steps of a claimed job, which its holder reports, and what anybody may change.

use crate::app::archived::{ArchivesLeft, bring_back_job, look_up};
use crate::app::commands::WriteCommand;
use crate::app::documents;
use crate::domain::artifact::FILES_MAX;
use crate::domain::code::Class;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{AttemptResult, Claim, FailReason, Job, JobStatus, Priority};
use crate::domain::queue::call_off_dependents;
use crate::domain::record::Record;
use crate::domain::refusal::{Action, Refusal, TooLong};
use crate::domain::secret::credential_in;
use crate::domain::status::{Status, StatusWord};
use crate::domain::table::{RecordTrouble, Table};
use crate::ledger::{Abort, Documents as _, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the holder of a job reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// It begins.
    Start,
    /// It is done.
    Complete {
        /// How it went.
        report: AttemptResult,
    },
    /// It failed.
    Fail {
        reason: FailReason,
        /// How it went.
        report: AttemptResult,
    },
    /// The holder hands it back.
    Release,
    /// Nothing of the job, which was cancelled, runs any more.
    Stopped,
}

impl Step {
    fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Complete { .. } => "complete",
            Self::Fail { .. } => "fail",
            Self::Release => "release",
            Self::Stopped => "stopped",
        }
    }

    /// What is reported in place of an end that no hub takes as it is: else the job would come back to the
    /// queue, and be run again and again.
    /// `words` are those of the refusal for people: they stay with the job.
    #[must_use]
    pub fn instead(&self, refusal: &Refusal, words: &str) -> Option<Self> {
        let is_instead = match self {
            Self::Fail { report, .. } => {
                report.message.as_ref().is_some_and(|message| message.starts_with(NOT_TOLD))
            }
            _ => false,
        };
        let message = Some(format!("{NOT_TOLD}: {words}"));
        let report = AttemptResult { message, ..AttemptResult::default() };
        (refusal.class() == Class::Invalid && !is_instead)
            .then_some(Self::Fail { reason: FailReason::ScriptFailure, report })
    }
}

/// How the message begins that is told of an end that could not be told as it was.
const NOT_TOLD: &str = "its end could not be told";

/// One step of a claimed job by its holder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepJob {
    /// The holder.
    pub server: ServerName,
    pub job: JobId,
    /// The fencing token of the claim.
    pub token: u64,
    /// What the holder reports.
    #[serde(flatten)]
    pub step: Step,
}

impl WriteCommand for StepJob {
    /// The job after it, whole.
    type Answer = Value;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Abort> {
        if let Step::Complete { report } | Step::Fail { report, .. } = &self.step {
            check(report)?;
        }
        self.check_exit_code()?;
        let mut jobs: Table<Job> = transaction.table()?;
        let (now, op) = (transaction.now(), transaction.op().clone());
        let term = Claim { server: &self.server, token: self.token };
        let mut left = ArchivesLeft::default();
        bring_back_job(self.job.as_str(), &mut jobs, &mut left, transaction)?;
        let Some(job) = jobs.get_mut(self.job.as_str()) else {
            return existing(&self.job, transaction).map(|job| job.raw());
        };
        // Told before: what followed from it has followed.
        if self.is_repeated(job) {
            return Ok(job.raw());
        }
        job.edit(|job| match &self.step {
            Step::Start => job.start(term, now),
            Step::Complete { report } => job.complete(term, report, now),
            Step::Fail { reason, report } => job.fail(term, *reason, report, (now, &op)),
            Step::Release => job.release(term, (now, &op)),
            Step::Stopped => job.confirm_stopped(term, now),
        })?;
        // All else was told when it was cancelled.
        if self.step != Step::Stopped {
            call_off(self.job.as_str(), &mut jobs, transaction);
        }
        self.tell_status(&jobs, transaction)?;
        left.put(transaction)?;
        transaction.put_table(&jobs)?;
        transaction.describe(format!("job {}: {} by {}", self.step.word(), self.job, self.server));
        transaction.trailer("Muster-Job", self.job.as_str());
        Ok(jobs.get(self.job.as_str()).map(|job| job.raw()).unwrap_or_default())
    }
}

impl StepJob {
    fn is_repeated(&self, job: &Job) -> bool {
        let term = Claim { server: &self.server, token: self.token };
        match &self.step {
            Step::Start => job.was_started(term),
            Step::Complete { report } => job.was_completed(term, report),
            Step::Fail { reason, report } => job.was_failed(term, *reason, report),
            Step::Release => job.was_released(term),
            Step::Stopped => job.was_stopped(term),
        }
    }

    /// Success with an exit code that says failure, or the other way round, is a slip.
    fn check_exit_code(&self) -> Result<(), Refusal> {
        let (exit_code, action) = match &self.step {
            Step::Complete { report } if report.exit_code != Some(0) => {
                (report.exit_code, Action::CompleteJob)
            }
            // A process that ends well may all the same not have made what was asked for.
            Step::Fail { report, reason }
                if report.exit_code == Some(0) && *reason != FailReason::MissingArtifact =>
            {
                (report.exit_code, Action::FailJob)
            }
            _ => return Ok(()),
        };
        match exit_code {
            Some(exit_code) => {
                Err(Refusal::ExitCodeContradicts { job: self.job.to_string(), exit_code, action })
            }
            None => Ok(()),
        }
    }

    fn tell_status(&self, jobs: &Table<Job>, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let (Some(mut status), Some(job)) =
            (documents::status(transaction, &self.server)?, jobs.get(self.job.as_str()))
        else {
            return Ok(());
        };
        let next = jobs.rows().find(|other| {
            other.status.is_held()
                && other.id != job.id
                && other.assigned_to.as_deref() == Some(self.server.as_str())
        });
        let now = transaction.now();
        status.edit(|status| match &self.step {
            Step::Start => status.work_on(job, now),
            Step::Complete { .. } => status.finish(job, true, next.map(|next| &**next), now),
            Step::Fail { .. } => status.finish(job, false, next.map(|next| &**next), now),
            Step::Release | Step::Stopped => {
                status.leave(job, StatusWord::Idle, next.map(|next| &**next), now);
            }
        });
        transaction.put_record(&Status::path(&self.server), &status)?;
        Ok(())
    }
}

/// What anybody may change about a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Call it off.
    Cancel {
        /// Why, for people.
        why: Option<String>,
    },
    /// Put it back into the queue.
    Retry {
        /// Also if it has completed.
        #[serde(default)]
        again: bool,
    },
    /// Take it from a holder that is lost.
    Requeue {
        /// The fencing token of the claim.
        token: u64,
        /// Why, for people.
        why: String,
    },
    /// Make it more or less urgent.
    Priority {
        /// How urgent.
        priority: Priority,
    },
}

/// A change to a job by anybody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeJob {
    /// Who asks.
    pub server: ServerName,
    pub job: JobId,
    /// What to change.
    #[serde(flatten)]
    pub change: Change,
}

impl WriteCommand for ChangeJob {
    /// The job after it, whole.
    type Answer = Value;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Abort> {
        if let Change::Requeue { why, .. } = &self.change {
            check_text(Action::RequeueJob, "reason", why)?;
        }
        let mut jobs: Table<Job> = transaction.table()?;
        let now = transaction.now();
        let mut left = ArchivesLeft::default();
        bring_back_job(self.job.as_str(), &mut jobs, &mut left, transaction)?;
        let Some(job) = jobs.get_mut(self.job.as_str()) else {
            return existing(&self.job, transaction).map(|job| job.raw());
        };
        // Done before: what followed from it has followed.
        if self.is_repeated(job) {
            return Ok(job.raw());
        }
        let holder = job.assigned_to.clone().filter(|_| job.status.is_held());
        job.edit(|job| match &self.change {
            Change::Cancel { why } => job.cancel(why.clone(), now),
            Change::Retry { again } => job.retry(*again, now),
            Change::Requeue { token, why } => job.requeue(*token, why),
            Change::Priority { priority } => job.set_priority(*priority),
        })?;
        let raw = job.raw();
        let is_cancelled = job.status == JobStatus::Cancelled;
        // Whoever held it has it no more.
        if !job.status.is_held()
            && let Some(holder) = holder.and_then(|holder| ServerName::new(&holder).ok())
            && let Some(mut status) = documents::status(transaction, &holder)?
        {
            let job = job.clone();
            status.edit(|status| status.leave(&job, StatusWord::Idle, None, now));
            transaction.put_record(&Status::path(&holder), &status)?;
        }
        if is_cancelled {
            call_off(self.job.as_str(), &mut jobs, transaction);
        }
        left.put(transaction)?;
        transaction.put_table(&jobs)?;
        let what = match &self.change {
            Change::Cancel { .. } => "cancel".to_owned(),
            Change::Retry { .. } => "retry".to_owned(),
            Change::Requeue { .. } => "requeue".to_owned(),
            Change::Priority { priority } => format!("priority {priority}"),
        };
        transaction.describe(format!("job {what}: {} by {}", self.job, self.server));
        transaction.trailer("Muster-Job", self.job.as_str());
        Ok(raw)
    }
}

impl ChangeJob {
    fn is_repeated(&self, job: &Job) -> bool {
        match &self.change {
            Change::Cancel { .. } => job.status == JobStatus::Cancelled,
            Change::Retry { .. } => job.was_put_back(),
            Change::Requeue { token, why } => job.was_requeued(*token, why),
            Change::Priority { .. } => false,
        }
    }
}

/// Calls off what wants that after a step of `changed`, and names it in the commit.
pub(in crate::app) fn call_off(changed: &str, jobs: &mut Table<Job>, transaction: &mut Transaction<'_>) {
    for (id, need) in call_off_dependents(jobs, changed, transaction.now()) {
        transaction.describe(format!("job cancel: {id}, which needs {need}"));
        transaction.trailer("Muster-Job", id);
    }
}

/// The job `id`, live or archived.
///
/// # Errors
/// There is no such job, or its record cannot be read.
pub(in crate::app) fn existing(id: &JobId, transaction: &Transaction<'_>) -> Result<Record<Job>, Abort> {
    let missing = || Refusal::JobNotFound { job: id.to_string(), archived: true };
    let broken = |trouble: &RecordTrouble| trouble.refusal(Action::ChangeJob, id.as_str());
    Ok(look_up::<Job>(transaction, id.as_str())?.or_no(broken, missing)?)
}

/// The most bytes that the names of artifacts have together: they stand in the record of the job and
/// in the status of its server.
const ARTIFACT_BYTES_MAX: usize = 64 * 1024;

/// The longest text of a report, in characters.
const REPORT_LENGTH_MAX: usize = 10_000;

fn check(report: &AttemptResult) -> Result<(), Refusal> {
    let bytes: usize = report.artifacts.iter().map(String::len).sum();
    if report.artifacts.len() > FILES_MAX || bytes > ARTIFACT_BYTES_MAX {
        return Err(Refusal::ListTooLong(TooLong {
            action: Action::ReportJob,
            field: "artifacts",
            count: report.artifacts.len(),
            limit: FILES_MAX,
            bytes: Some(bytes),
            bytes_limit: Some(ARTIFACT_BYTES_MAX),
        }));
    }
    let texts = report.message.iter().map(|text| ("message", text));
    let texts = texts.chain(report.artifacts.iter().map(|text| ("artifacts", text)));
    let mut texts = texts.chain(report.commit.iter().map(|text| ("commit", text)));
    texts.try_for_each(|(field, text)| check_text(Action::ReportJob, field, text))
}

fn check_text(action: Action, field: &'static str, text: &str) -> Result<(), Refusal> {
    let (length, limit) = (text.chars().count(), REPORT_LENGTH_MAX);
    if length > limit {
        return Err(Refusal::TextTooLong { action, field, length, limit });
    }
    match credential_in(text) {
        Some(credential) => Err(Refusal::CredentialFound { action, field, credential }),
        None => Ok(()),
    }
}
