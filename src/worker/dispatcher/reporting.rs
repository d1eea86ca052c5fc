//! What the dispatcher sends on: how jobs ended, and what they printed.
//!
//! What the hub does not take now is kept and sent later.

use super::{Dispatcher, RETRY_PAUSE};
use crate::domain::id::JobId;
use crate::host::clock::Deadline;
use crate::ops::job_log::WriteLogs;
use crate::ops::job_step::{Step, StepJob};
use crate::worker::active::Active;
use crate::worker::hub::Written;
use std::time::Duration;

/// How often logs of running jobs are sent on.
const LOG_PAUSE: Duration = Duration::from_secs(5);

impl Dispatcher<'_> {
    pub(super) fn report_step(&mut self, job: JobId, token: u64, step: Step) {
        self.unreported.push(StepJob { server: self.hub.server().clone(), job, token, step });
        self.report_all();
    }

    /// Reports what can be reported; the rest stays for later.
    pub(super) fn report_all(&mut self) {
        self.next_report = Deadline::after(RETRY_PAUSE);
        for step in std::mem::take(&mut self.unreported) {
            let about = format!("report {}", step.job);
            match self.hub.write(self.report, &step) {
                Ok(Written::Done(_)) => self.recovered(&about),
                Ok(Written::Refused(refusal)) => self.report.warn(&refusal.why),
                Ok(Written::Later(why)) => {
                    self.complain(
                        &about,
                        &format!("the end of job `{}` is not reported yet: {why}", step.job),
                    );
                    self.unreported.push(step);
                }
                Err(error) => {
                    self.complain(
                        &about,
                        &format!("the end of job `{}` is not reported yet: {error}", step.job),
                    );
                    self.unreported.push(step);
                }
            }
        }
    }

    /// Sends on what the running jobs printed.
    pub(super) fn send_logs(&mut self) {
        self.next_log = Deadline::after(LOG_PAUSE);
        let active = std::mem::take(&mut self.active);
        let sent: Vec<_> = active.values().map(|active| (active, active.sent)).collect();
        let versions = self.send(&sent);
        self.active = active;
        for (id, version) in versions {
            if let Some(active) = self.active.get_mut(&id) {
                active.sent = version;
            }
        }
    }

    /// Sends the logs of `jobs` that are other than the version that the hub has.
    pub(super) fn send(&mut self, jobs: &[(&Active, u64)]) -> Vec<(JobId, u64)> {
        let (mut logs, mut versions) = (Vec::new(), Vec::new());
        for (active, known) in jobs {
            let Some(path) = active.job.log.clone() else { continue };
            let Some((version, bytes)) = active.execution.log_after(*known) else { continue };
            versions.extend(JobId::new(&active.job.id).ok().map(|id| (id, version)));
            logs.push((path, bytes));
        }
        if logs.is_empty() {
            return Vec::new();
        }
        let verb = WriteLogs { server: self.hub.server().clone(), logs };
        let why = match self.hub.write_unkept(self.report, &verb) {
            Ok(Written::Done(())) => {
                self.recovered("logs");
                return versions;
            }
            Ok(Written::Refused(refusal)) => refusal.why,
            Ok(Written::Later(why)) => why,
            Err(error) => error.to_string(),
        };
        self.complain("logs", &format!("logs were not sent: {why}"));
        Vec::new()
    }
}
