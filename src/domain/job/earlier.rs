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
