//! How long a job took, as far as anybody measured it.

use super::{Job, JobStatus};
use crate::domain::time::between;
use std::time::Duration;

impl Job {
    /// How long its last attempt took: as its holder told, else from the times of its beginning and its end,
    /// unless they contradict each other. `None` before its end; one that was cancelled has no end of its own.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        let told = self.duration_seconds.filter(|_| self.status.is_final()).map(Duration::from_secs);
        let ended = matches!(self.status, JobStatus::Completed | JobStatus::Failed | JobStatus::Dead);
        told.or_else(|| between(self.started_at, self.completed_at).filter(|_| ended))
    }
}
