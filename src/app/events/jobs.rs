//! What happened to a job, from two versions of its record.

use super::pairs::Change;
use super::{What, edited};
use crate::domain::job::{FailReason, Job, JobStatus};
use crate::domain::record::Record;
use serde::Serialize;

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Who holds it.
    pub server: Option<String>,
    pub token: Option<u64>,
    pub attempt: u64,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// Which attempt.
    #[serde(flatten)]
    pub claim: Claim,
    /// Why it ended without success.
    pub reason: Option<String>,
    /// The exit code of its process.
    pub exit_code: Option<i64>,
    /// How long it took.
    pub duration_seconds: Option<u64>,
}

/// Why a job is queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The holder released it.
    Released,
    /// Somebody requeued it after its end.
    Retry,
    /// The holder was lost.
    Lost,
    /// The attempt took too long.
    Timeout,
    /// The attempt failed, and there are more.
    Failed,
}

/// The fields that change as a job goes through its life.
const OF_LIFE: &[&str] = &[
    "status",
    "assigned_to",
    "token",
    "incarnation",
    "worker",
    "started_at",
    "completed_at",
    "stopped_at",
    "attempts",
    "reason",
    "error_message",
    "exit_code",
    "duration_seconds",
    "artifacts",
    "built_commit",
    "log",
    "not_before",
    "delay_seconds",
    "earlier",
];

/// Tells what happened.
pub(super) fn tell(change: &Change<'_, Job>, out: &mut dyn FnMut(What)) {
    match change {
        Change::Added(job) => {
            out(What::JobAdded { job: job.raw() });
            // It may have been claimed in the same step, or written by another program as it is.
            let mut added = Job::clone(job);
            (added.status, added.token) = (JobStatus::Queued, None);
            live(&added, job, out);
        }
        Change::Changed(before, after) => changed(before, after, out),
        Change::Back(before, after) => {
            let fields = [("archived".to_owned(), serde_json::json!({"before": true, "after": false}))];
            out(What::JobEdited { fields: fields.into_iter().collect() });
            changed(before, after, out);
        }
        Change::Archived(_, month) => out(What::JobArchived { month: month.clone() }),
        Change::Removed(_) => out(What::JobRemoved {}),
    }
}

fn changed(before: &Record<Job>, after: &Record<Job>, out: &mut dyn FnMut(What)) {
    let mut has_lived = false;
    live(before, after, &mut |what| {
        has_lived = true;
        out(what);
    });
    let but = if has_lived { OF_LIFE } else { &[] };
    let fields = edited(&before.raw(), &after.raw(), but);
    if !fields.is_empty() {
        out(What::JobEdited { fields });
    }
}

/// The steps of its life. A token that grew is a claim, whatever came after it.
fn live(before: &Job, after: &Job, out: &mut dyn FnMut(What)) {
    let mut status = before.status.clone();
    let is_claimed_anew = after.token > before.token
        || (!before.status.is_held() && after.status.is_held())
        || (before.status.is_held() && after.status.is_held() && before.assigned_to != after.assigned_to);
    if is_claimed_anew {
        if status != JobStatus::Queued {
            let cause = status.is_final().then_some(Cause::Retry);
            out(What::JobRequeued { cause, not_before: None, attempt: before.attempts.unwrap_or(0) });
        }
        out(What::JobClaimed(claim(after)));
        status = JobStatus::Claimed;
    }
    if status == after.status {
        if before.stopped_at.is_none() && after.stopped_at.is_some() {
            out(What::JobStopped { server: after.assigned_to.clone(), token: after.token });
        }
        return;
    }
    match &after.status {
        JobStatus::Queued => out(What::JobRequeued {
            cause: cause(&status, after),
            not_before: after.not_before,
            attempt: after.attempts.unwrap_or(0),
        }),
        JobStatus::Running => out(What::JobStarted(claim(after))),
        JobStatus::Completed => out(What::JobCompleted(end(after))),
        JobStatus::Failed => out(What::JobFailed(end(after))),
        JobStatus::Dead => out(What::JobDead(end(after))),
        JobStatus::Cancelled => {
            out(What::JobCancelled { may_still_run_on: after.may_still_run_on().map(str::to_owned) });
            if before.stopped_at.is_none() && after.stopped_at.is_some() {
                out(What::JobStopped { server: after.assigned_to.clone(), token: after.token });
            }
        }
        // One that runs is claimed, and a word of another writer is told as it is.
        JobStatus::Claimed | JobStatus::Other(_) => {}
    }
}

/// Why a job that was in another state is queued.
fn cause(before: &JobStatus, after: &Job) -> Option<Cause> {
    if before.is_final() {
        return Some(Cause::Retry);
    }
    match after.reason.as_deref()? {
        reason if reason == FailReason::Interrupted.as_str() => Some(Cause::Released),
        reason if reason == FailReason::Lost.as_str() => Some(Cause::Lost),
        reason if reason == FailReason::Timeout.as_str() => Some(Cause::Timeout),
        _ => Some(Cause::Failed),
    }
}

fn claim(job: &Job) -> Claim {
    Claim { server: job.assigned_to.clone(), token: job.token, attempt: job.attempts.unwrap_or(0) }
}

fn end(job: &Job) -> End {
    End {
        claim: claim(job),
        reason: job.reason.clone(),
        exit_code: job.exit_code,
        duration_seconds: job.duration_seconds,
    }
}
