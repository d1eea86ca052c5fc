//! The words of a job: where it is in its life, how urgent it is, why an attempt failed.

use crate::domain::lenient;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum JobStatus {
    /// Waits to be claimed.
    Queued,
    /// A server took it.
    Claimed,
    /// The server began.
    Running,
    /// Done, with success.
    Completed,
    /// Done, without success.
    Failed,
    /// Called off.
    Cancelled,
    /// Out of attempts.
    Dead,
    /// A word of another writer: shown, never acted on.
    Other(String),
}

impl From<String> for JobStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "queued" | "pending" | "available" => Self::Queued,
            "claimed" | "assigned" => Self::Claimed,
            "running" | "in_progress" | "building" => Self::Running,
            "completed" | "success" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" | "canceled" => Self::Cancelled,
            "dead" => Self::Dead,
            _ => Self::Other(word),
        }
    }
}

impl From<JobStatus> for String {
    fn from(status: JobStatus) -> Self {
        status.to_string()
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
            Self::Other(word) => word,
        })
    }
}

impl JobStatus {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Dead)
    }

    /// Whether a server holds it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Claimed | Self::Running)
    }

    /// What stands between it and its holder in a sentence: claimed by, running on.
    #[must_use]
    pub fn preposition(&self) -> &'static str {
        if *self == Self::Running { "on" } else { "by" }
    }
}

/// How urgent: 1 is the most, 10 the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Priority(u64);

/// The words for priorities.
pub const PRIORITY_WORDS: &[(&str, u64)] = &[("critical", 1), ("high", 3), ("normal", 5), ("low", 8)];

impl Priority {
    /// The priority of a job that names none.
    pub const NORMAL: Self = Self(5);

    /// As a number from 1 to 10.
    #[must_use]
    pub fn level(self) -> u64 {
        self.0
    }

    /// A number found in a hub; what lies outside 1 to 10 is drawn to the nearer end.
    fn clamped(number: u64) -> Self {
        Self(number.clamp(1, 10))
    }
}

impl std::str::FromStr for Priority {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.trim().to_ascii_lowercase();
        if let Some((_, level)) = PRIORITY_WORDS.iter().find(|(name, _)| *name == word) {
            return Ok(Self(*level));
        }
        match word.parse() {
            Ok(level @ 1..=10) => Ok(Self(level)),
            _ => Err("give a number from 1 (most urgent) to 10, or critical, high, normal or low".to_owned()),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = lenient::plain_text(input)?;
        Ok(text.parse().unwrap_or_else(|_| {
            let whole = text.split('.').next().unwrap_or_default();
            whole.parse().map_or(Self::NORMAL, Self::clamped)
        }))
    }
}

/// Why an attempt ended without success. The words are those of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// The work itself failed: not tried again by itself.
    ScriptFailure,
    /// It took longer than it may.
    Timeout,
    /// Its server was lost.
    Lost,
    /// Its server stopped it in good order; the attempt does not count.
    Interrupted,
    /// Something it was to make is not there.
    MissingArtifact,
    /// The server could not do it: disk, tool, checkout.
    WorkerSystemFailure,
}

impl FailReason {
    /// As written in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScriptFailure => "script_failure",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::MissingArtifact => "missing_artifact",
            Self::WorkerSystemFailure => "worker_system_failure",
        }
    }

    /// Whether another attempt may help.
    #[must_use]
    pub fn is_retried(self) -> bool {
        !matches!(self, Self::ScriptFailure | Self::MissingArtifact)
    }
}

/// What becomes of a job when one that it needs ends without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfNeedFails {
    /// It waits until that one is put back and completes.
    Wait,
    /// It is called off, and so is what needs it with the same wish.
    Cancel,
    /// It may run all the same.
    Run,
}

impl IfNeedFails {
    /// As written in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Cancel => "cancel",
            Self::Run => "run",
        }
    }
}
