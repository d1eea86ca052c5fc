//! What happened to a job, from two versions of its record.

use super::pairs::RecordChange;
use super::{ChangeKind, edited};
use crate::domain::job::{FailReason, Job, JobStatus};
use crate::domain::record::Record;
use serde::Serialize;

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimFacts {
    /// Who holds it.
    pub server: Option<String>,
    pub token: Option<u64>,
    pub attempt: u64,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptEnd {
    /// Which attempt.
    #[serde(flatten)]
    pub claim: ClaimFacts,
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
pub enum EndCause {
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
pub(super) fn tell(change: &RecordChange<'_, Job>, out: &mut dyn FnMut(ChangeKind)) {
    match change {
        RecordChange::Added(job) => {
            out(ChangeKind::JobAdded { job: job.raw() });
            // It may have been claimed in the same step, or written by another program as it is.
            let mut added = Job::clone(job);
            (added.status, added.token) = (JobStatus::Queued, None);
            live(&added, job, out);
        }
        RecordChange::Changed(before, after) => changed(before, after, out),
        RecordChange::Back(before, after) => {
            let fields = [("archived".to_owned(), serde_json::json!({"before": true, "after": false}))];
            out(ChangeKind::JobEdited { fields: fields.into_iter().collect() });
            changed(before, after, out);
        }
        RecordChange::Archived(_, month) => out(ChangeKind::JobArchived { month: month.clone() }),
        RecordChange::Removed(_) => out(ChangeKind::JobRemoved {}),
    }
}

fn changed(before: &Record<Job>, after: &Record<Job>, out: &mut dyn FnMut(ChangeKind)) {
    let mut has_lived = false;
    live(before, after, &mut |what| {
        has_lived = true;
        out(what);
    });
    let but = if has_lived { OF_LIFE } else { &[] };
    let fields = edited(&before.raw(), &after.raw(), but);
    if !fields.is_empty() {
        out(ChangeKind::JobEdited { fields });
    }
}

/// The steps of its life. A token that grew is a claim, whatever came after it.
fn live(before: &Job, after: &Job, out: &mut dyn FnMut(ChangeKind)) {
    let mut status = before.status.clone();
    let is_claimed_anew = after.token > before.token
        || (!before.status.is_held() && after.status.is_held())
        || (before.status.is_held() && after.status.is_held() && before.assigned_to != after.assigned_to);
    if is_claimed_anew {
        if status != JobStatus::Queued {
            let cause = status.is_final().then_some(EndCause::Retry);
            out(ChangeKind::JobRequeued { cause, not_before: None, attempt: before.attempts.unwrap_or(0) });
        }
        out(ChangeKind::JobClaimed(claim(after)));
        status = JobStatus::Claimed;
    }
    if status == after.status {
        if before.stopped_at.is_none() && after.stopped_at.is_some() {
            out(ChangeKind::JobStopped { server: after.assigned_to.clone(), token: after.token });
        }
        return;
    }
    match &after.status {
        JobStatus::Queued => out(ChangeKind::JobRequeued {
            cause: cause(&status, after),
            not_before: after.not_before,
            attempt: after.attempts.unwrap_or(0),
        }),
        JobStatus::Running => out(ChangeKind::JobStarted(claim(after))),
        JobStatus::Completed => out(ChangeKind::JobCompleted(end(after))),
        JobStatus::Failed => out(ChangeKind::JobFailed(end(after))),
        JobStatus::Dead => out(ChangeKind::JobDead(end(after))),
        JobStatus::Cancelled => {
            out(ChangeKind::JobCancelled { may_still_run_on: after.may_still_run_on().map(str::to_owned) });
            if before.stopped_at.is_none() && after.stopped_at.is_some() {
                out(ChangeKind::JobStopped { server: after.assigned_to.clone(), token: after.token });
            }
        }
        // One that runs is claimed, and a word of another writer is told as it is.
        JobStatus::Claimed | JobStatus::Other(_) => {}
    }
}

/// Why a job that was in another state is queued.
fn cause(before: &JobStatus, after: &Job) -> Option<EndCause> {
    if before.is_final() {
        return Some(EndCause::Retry);
    }
    match after.reason.as_deref()? {
        reason if reason == FailReason::Interrupted.as_str() => Some(EndCause::Released),
        reason if reason == FailReason::Lost.as_str() => Some(EndCause::Lost),
        reason if reason == FailReason::Timeout.as_str() => Some(EndCause::Timeout),
        _ => Some(EndCause::Failed),
    }
}

fn claim(job: &Job) -> ClaimFacts {
    ClaimFacts { server: job.assigned_to.clone(), token: job.token, attempt: job.attempts.unwrap_or(0) }
}

fn end(job: &Job) -> AttemptEnd {
    AttemptEnd {
        claim: claim(job),
        reason: job.reason.clone(),
        exit_code: job.exit_code,
        duration_seconds: job.duration_seconds,
    }
}
