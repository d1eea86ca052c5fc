//! What is judged of each job: who holds one for too long, and which nobody will ever claim.

use super::{Fleet, Known, of_job};
use crate::domain::audit::never_claimed;
use crate::domain::finding::{Finding, FleetFact};
use crate::domain::heartbeat::{Freshness, Heartbeat};
use crate::domain::job::{Job, JobStatus};
use crate::domain::queue::{Queue, Waiting};
use crate::domain::server::Server;
use std::collections::HashMap;
use std::time::Duration;

/// How much of its timeout a job is granted beyond it, in percent: its server ends it at the
/// timeout and needs a moment to say so.
const TIMEOUT_GRACE_PERCENT: u32 = 10;

impl Fleet<'_> {
    pub(super) fn judge_jobs(
        &self,
        known: &HashMap<&str, Known<'_>>,
        queue: &Queue<'_>,
        findings: &mut Vec<Finding>,
    ) {
        findings.extend(never_claimed(self.jobs).into_iter().map(|(job, fact)| of_job(fact, job)));
        for job in self.jobs.rows() {
            if job.status.is_held() {
                self.judge_held_job(job, known, findings);
            } else {
                findings.extend(self.judge_waiting_job(job, queue).map(|fact| of_job(fact, job)));
            }
        }
    }

    fn judge_held_job(&self, job: &Job, known: &HashMap<&str, Known<'_>>, findings: &mut Vec<Finding>) {
        let holder = job.assigned_to.as_deref();
        // A writer that names no start leaves only the time it was added.
        let held = job.started_at.or(job.created_at).map_or(Duration::ZERO, |start| self.now.since(start));
        let timeout = job.timeout();
        if held > timeout.saturating_add(timeout / 100 * TIMEOUT_GRACE_PERCENT) {
            let fact = FleetFact::JobStuck {
                status: job.status.clone(),
                holder: holder.map(str::to_owned),
                held_seconds: held.as_secs(),
                timeout_seconds: timeout.as_secs(),
            };
            findings.push(of_job(fact, job));
        }
        let known = holder.and_then(|holder| known.get(holder));
        let beat = known.and_then(|known| known.heartbeat);
        let age = beat.and_then(Heartbeat::at).zip(known).map(|(at, known)| self.age(known, at));
        if let (Some(holder), Some(beat), Some(age)) = (holder, beat, age)
            && beat.freshness_at_age(age) == Freshness::Stale
        {
            let fact = FleetFact::JobHolderLost {
                status: job.status.clone(),
                holder: holder.to_owned(),
                age_seconds: age.as_secs(),
            };
            findings.push(of_job(fact, job));
        }
    }

    fn judge_waiting_job(&self, job: &Job, queue: &Queue<'_>) -> Option<FleetFact> {
        let has_labels = |server: &Server| job.labels.iter().all(|label| server.labels.contains(label));
        match job.status {
            JobStatus::Dead => {
                Some(FleetFact::JobDead { attempts: job.attempts_max(), reason: job.reason.clone() })
            }
            JobStatus::Queued
                if let Some(Waiting::Needs { job: need, status }) =
                    queue.unmet_needs(job).find(Waiting::is_in_vain) =>
            {
                Some(FleetFact::JobBlocked { need, status })
            }
            JobStatus::Queued
                if self.is_register_known()
                    && !job.labels.is_empty()
                    && !self.servers.rows().any(|server| has_labels(server)) =>
            {
                Some(FleetFact::JobUnclaimable { labels: job.labels.clone() })
            }
            _ => None,
        }
    }
}
