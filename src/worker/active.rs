//! A job at work on this server, and what is to be told of its end.

use super::executor::{End, Execution};
use crate::domain::job::{FailReason, Job, Report};
use crate::domain::time::show_span;
use crate::host::clock::{self, Deadline};
use crate::ops::job_step::Step;
use std::time::Duration;

/// The exit code of a job that took too long, as timeout(1) tells it.
const TIMEOUT_CODE: u8 = 124;

/// The exit code of a job that is not ours any more: that of a lost lease.
const TAKEN_CODE: u8 = 5;

/// The exit code of a job that was stopped because the worker ends, as a shell tells SIGTERM.
const INTERRUPTED_CODE: u8 = 143;

/// Why a job is being ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It took longer than it may.
    Timeout,
    /// It is not ours any more.
    Taken,
    /// The worker ends.
    Interrupted,
}

/// A job at work.
#[derive(Debug)]
pub(super) struct Active {
    pub job: Job,
    pub token: u64,
    pub execution: Execution,
    pub started: Duration,
    /// Until when it may run.
    pub deadline: Deadline,
    pub why: Option<Why>,
    /// The version of its log that the hub has.
    pub sent: u64,
}

impl Active {
    /// What is to be reported of its end, if anything, and its exit code for a shell. `lapsed`:
    /// whether the server's lease can no longer be trusted.
    pub(super) fn outcome(&self, end: &End, lapsed: bool) -> (Option<Step>, u8) {
        let spent = clock::since_boot().saturating_sub(self.started);
        let report = |code: Option<u8>, message: Option<String>| Report {
            exit_code: code.map(i64::from),
            duration_seconds: Some(spent.as_secs()),
            artifacts: Vec::new(),
            message,
        };
        let fail = |reason, report| Some(Step::Fail { reason, report });
        match (&self.why, end) {
            (Some(Why::Taken), _) => (None, TAKEN_CODE),
            (Some(Why::Timeout), _) => {
                let words = format!("it took longer than {}", show_span(self.job.timeout()));
                (fail(FailReason::Timeout, report(None, Some(words))), TIMEOUT_CODE)
            }
            (_, End::Exited(0)) => (Some(Step::Complete { report: report(Some(0), None) }), 0),
            (Some(Why::Interrupted), _) => (Some(Step::Release), INTERRUPTED_CODE),
            (None, End::Exited(code)) if lapsed => {
                let words =
                    "the hub could not be reached for so long that the job had to be stopped".to_owned();
                (fail(FailReason::Lost, report(Some(*code), Some(words))), *code)
            }
            (None, End::Exited(code)) => (fail(FailReason::ScriptFailure, report(Some(*code), None)), *code),
            (None, End::Broken(why)) => {
                (fail(FailReason::WorkerSystemFailure, report(None, Some(why.clone()))), 1)
            }
        }
    }
}
