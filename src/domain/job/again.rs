//! Whether it is the same claim still, and a report that comes a second time, because its first answer was
//! lost.
//!
//! Who asks again by the same token is the one who asked before, as long as the record shows that
//! this very report was the last thing that happened to the job. To tell it that its claim is over
//! would make it throw away what it did.

use super::{FailReason, Job, JobStatus, Report, Term};
use crate::domain::time::Timestamp;

impl Job {
    /// Names its present claim. More than its token, which a hub that was rolled back gives again, and which
    /// scripts do not know: those say since when they run it.
    #[must_use]
    pub fn term(&self) -> String {
        let (token, holder) = (self.token.unwrap_or(0), self.assigned_to.as_deref().unwrap_or("-"));
        let since = || format!("@{}", self.started_at.map_or(0, Timestamp::unix_millis));
        format!("{token} {holder} {}", self.incarnation.clone().unwrap_or_else(since))
    }

    /// Whether the holder of `term` has said already that it begins.
    #[must_use]
    pub fn was_started(&self, term: Term<'_>) -> bool {
        self.status == JobStatus::Running && self.is_held_under(term.token) && self.was_held_by(term)
    }

    /// Whether `term` ended with this report of success.
    #[must_use]
    pub fn was_completed(&self, term: Term<'_>, report: &Report) -> bool {
        self.status == JobStatus::Completed
            && self.ended_under(term)
            && self.was_held_by(term)
            && self.shows(report)
    }

    /// Whether `term` ended with this report of failure, whatever followed from it, and nobody has
    /// claimed the job since.
    #[must_use]
    pub fn was_failed(&self, term: Term<'_>, reason: FailReason, report: &Report) -> bool {
        let is_so = match self.status {
            JobStatus::Failed | JobStatus::Dead => self.was_held_by(term),
            // Back in the queue, where the record names nobody any more.
            JobStatus::Queued => true,
            _ => false,
        };
        is_so
            && self.ended_under(term)
            && self.reason.as_deref() == Some(reason.as_str())
            && self.shows(report)
    }

    /// Whether `term` ended with the job handed back, and nobody has claimed it since.
    #[must_use]
    pub fn was_released(&self, term: Term<'_>) -> bool {
        self.status == JobStatus::Queued
            && self.ended_under(term)
            && self.reason.as_deref() == Some(FailReason::Interrupted.as_str())
    }

    /// Whether `term` has confirmed already that nothing of the cancelled job runs any more.
    #[must_use]
    pub fn was_stopped(&self, term: Term<'_>) -> bool {
        self.status == JobStatus::Cancelled
            && self.stopped_at.is_some()
            && self.ended_under(term)
            && self.was_held_by(term)
    }

    /// Whether it was put back into the queue with all its attempts, and nobody has claimed it since.
    /// What was never claimed counts no attempts, and what was handed back says so.
    #[must_use]
    pub fn was_put_back(&self) -> bool {
        self.status == JobStatus::Queued && self.attempts == Some(0) && self.reason.is_none()
    }

    /// Whether an operator took it from this claim with these words, and nobody has claimed it since.
    #[must_use]
    pub fn was_requeued(&self, token: u64, why: &str) -> bool {
        self.status == JobStatus::Queued
            && self.token == Some(token)
            && self.reason.as_deref() == Some(FailReason::Lost.as_str())
            && self.error_message.as_deref() == Some(why)
    }

    fn ended_under(&self, term: Term<'_>) -> bool {
        self.token == Some(term.token)
    }

    fn was_held_by(&self, term: Term<'_>) -> bool {
        self.assigned_to.as_deref() == Some(term.server.as_str())
    }

    /// Whether the last attempt ended with these words; a time that was not told was counted.
    fn shows(&self, report: &Report) -> bool {
        let is_same = |told: Option<u64>| told.is_none() || told == self.duration_seconds;
        self.exit_code == report.exit_code
            && self.error_message == report.message
            && self.artifacts == report.artifacts
            && self.built_commit == report.commit
            && is_same(report.duration_seconds)
    }
}
