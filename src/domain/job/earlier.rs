//! How a job ended before it was put back although it had completed.

use super::{Job, JobStatus};
use crate::domain::lenient;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How many results a job keeps: enough to compare the last ones, and few enough for a document that
/// every write carries.
const RESULTS_MAX: usize = 4;

/// A result that another attempt may replace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EarlierResult {
    /// The server that reported it.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The fencing token of its claim.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// When it was reported.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub completed_at: Option<Timestamp>,
    /// The exit code of its process.
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How long it took.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u64>,
    /// Names of what it made.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// The commit that it worked on.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub built_commit: Option<String>,
    /// Where its log lies.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Job {
    /// Keeps the result of a completed job beside what the next attempt will say.
    pub(super) fn keep_result(&mut self) {
        if self.status != JobStatus::Completed {
            return;
        }
        self.earlier.push(EarlierResult {
            server: self.assigned_to.clone(),
            token: self.token,
            completed_at: self.completed_at,
            exit_code: self.exit_code,
            duration_seconds: self.duration_seconds,
            artifacts: self.artifacts.clone(),
            built_commit: self.built_commit.clone(),
            log: self.log.clone(),
        });
        let over = self.earlier.len().saturating_sub(RESULTS_MAX);
        self.earlier.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_results_of_a_job_that_is_done_again_are_kept() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let mut job = Job::new("job_1".to_owned(), "build".to_owned(), now);
        for (code, status) in (0..).zip([JobStatus::Failed, JobStatus::Dead, JobStatus::Cancelled]) {
            (job.status, job.exit_code) = (status, Some(code));
            job.retry(true, now).expect("final");
            assert_eq!(job.earlier, [], "it came to no result");
        }
        for code in 0..6 {
            (job.status, job.exit_code, job.completed_at) = (JobStatus::Completed, Some(code), Some(now));
            (job.assigned_to, job.token) = (Some("build1".to_owned()), Some(3));
            let before = job.clone();
            assert!(job.retry(false, now).is_err() && job == before, "it was not asked for");
            job.retry(true, now).expect("it was");
            assert!(job.was_put_back() && job.completed_at.is_none(), "{job:?}");
        }
        let kept: Vec<Option<i64>> = job.earlier.iter().map(|one| one.exit_code).collect();
        assert_eq!(kept, [2, 3, 4, 5].map(Some));
        let last = job.earlier.last().expect("some");
        assert_eq!(
            (last.server.as_deref(), last.token, last.completed_at),
            (Some("build1"), Some(3), Some(now))
        );
    }
}
