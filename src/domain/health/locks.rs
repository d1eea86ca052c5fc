//! What is judged of locks: which nobody renewed, and which keeps all jobs from being claimed.

use super::Fleet;
use crate::domain::finding::{About, Finding, FleetFact, Thing};
use crate::domain::job::JobStatus;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};
use std::time::Duration;

/// How long somebody may assign jobs, who needs a moment for it, before it is worth a word that nobody else
/// can claim one.
const ASSIGNMENT_MAX: Duration = Duration::from_secs(60);

/// How much longer than a lease has to be watched who looks on the quarter of a minute waits, in seconds: then
/// it is seen in time that nobody renewed it.
const POLL_SECONDS: u64 = 15;

impl Fleet<'_> {
    pub(super) fn expired(&self, lock: &Lock) -> Option<Finding> {
        let (over, holder) = (lock.overdue(self.now)?, lock.locked_by.as_deref()?);
        let fact = FleetFact::LockExpired {
            holder: holder.to_owned(),
            expired_seconds: over.as_secs(),
            wait_seconds: lock.patience().as_secs().saturating_add(POLL_SECONDS),
            is_of_claims: lock.name == JOB_ASSIGNMENT,
        };
        Some(Finding::new(fact, About::new(Thing::Lock, &lock.name).of(Some(holder))))
    }

    /// Whoever assigns a job needs a moment for it.
    pub(super) fn held_up(&self, lock: &Lock) -> Option<Finding> {
        let (since, holder) = (lock.locked_at?, lock.locked_by.as_deref()?);
        let held = self.now.since(since);
        let waits = || self.jobs.rows().any(|job| job.status == JobStatus::Queued);
        if lock.name != JOB_ASSIGNMENT
            || !lock.is_held()
            || lock.overdue(self.now).is_some()
            || held <= ASSIGNMENT_MAX
            || !waits()
        {
            return None;
        }
        let fact = FleetFact::ClaimsHeldUp { holder: holder.to_owned(), held_seconds: held.as_secs() };
        Some(Finding::new(fact, About::new(Thing::Lock, &lock.name).of(Some(holder))))
    }
}
