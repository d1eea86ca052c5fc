//! A job at work on this server, and what is to be told of its end.

use super::executor::{Execution, ExecutorEvent, JobEnd};
use crate::app::commands::job_step::Step;
use crate::domain::artifact::first_missing;
use crate::domain::job::{AttemptResult, FailReason, Job};
use crate::domain::time::show_span;
use crate::machine::Deadline;
use crate::machine::guard::StopCause;
use std::time::Duration;

/// The exit code of a job that took too long, as timeout(1) tells it.
const TIMEOUT_CODE: u8 = 124;

/// The exit code of a job that is not ours any more: that of a lost lease.
const TAKEN_CODE: u8 = 5;

/// The exit code of a job whose end says nothing about it.
const LOST_CODE: u8 = 1;

/// The exit code of a job that ended well and did not make what it was to make.
const MISSING_CODE: u8 = 1;

/// The exit code of a job that nobody can run, as a shell tells it.
const UNRUNNABLE_CODE: u8 = 126;

/// The exit code of a job that was stopped because the worker ends, as a shell tells SIGTERM.
const INTERRUPTED_CODE: u8 = 143;

/// Why a job is being ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EndReason {
    /// It is not ours any more.
    Taken,
    /// Somebody cancelled it: whoever did may wait to hear that it stopped.
    Cancelled,
    /// The worker ends.
    Interrupted,
}

/// A job at work.
#[derive(Debug)]
pub(super) struct Active {
    pub job: Job,
    pub token: u64,
    pub execution: Execution,
    /// How long it has to end when it is stopped.
    pub grace: Duration,
    pub why: Option<EndReason>,
    /// The version of its log that the hub has.
    pub sent: u64,
    /// When its log is sent on next: the longer it is, the later.
    pub next_log: Deadline,
}

impl Active {
    /// What is to be reported of its end, if anything, and its exit code for a shell.
    pub(super) fn outcome(&self, ended: &ExecutorEvent) -> (Option<Step>, u8) {
        let files = ended.made.as_ref().map(|made| made.manifest.files()).unwrap_or_default();
        let report = |code: Option<u8>, message: Option<&str>| AttemptResult {
            exit_code: code.map(i64::from),
            duration_seconds: Some(ended.spent.as_secs()),
            artifacts: files.clone(),
            commit: ended.commit.clone(),
            message: message.map(str::to_owned),
        };
        let fail = |reason, report| Some(Step::Fail { reason, report });
        match self.why {
            Some(EndReason::Taken) => return (None, TAKEN_CODE),
            // Whoever waits for that word must not get it in good faith.
            Some(EndReason::Cancelled) if matches!(ended.end, JobEnd::Unguarded(_)) => {
                return (None, TAKEN_CODE);
            }
            Some(EndReason::Cancelled) => return (Some(Step::Stopped), TAKEN_CODE),
            Some(EndReason::Interrupted) | None => {}
        }
        match &ended.end {
            JobEnd::Exited(0, StopCause::Itself)
                if let Some(missing) = first_missing(&self.job.produces, &files) =>
            {
                let words = format!("it made no file like `{missing}`");
                (fail(FailReason::MissingArtifact, report(Some(0), Some(&words))), MISSING_CODE)
            }
            JobEnd::Exited(0, StopCause::Itself) => {
                (Some(Step::Complete { report: report(Some(0), None) }), 0)
            }
            JobEnd::Exited(code, StopCause::Itself) => {
                (fail(FailReason::ScriptFailure, report(Some(*code), None)), *code)
            }
            JobEnd::Exited(_, StopCause::Late) => {
                let words = format!("it took longer than {}", show_span(self.job.timeout()));
                (fail(FailReason::Timeout, report(None, Some(&words))), TIMEOUT_CODE)
            }
            JobEnd::Exited(_, StopCause::Lapsed) => {
                let words = "the hub could not be reached for so long that the job had to be stopped";
                (fail(FailReason::Lost, report(None, Some(words))), LOST_CODE)
            }
            JobEnd::Exited(_, StopCause::Told) => (Some(Step::Release), INTERRUPTED_CODE),
            JobEnd::Exited(_, StopCause::Orphaned | StopCause::Unguarded | StopCause::Unstarted) => (
                fail(FailReason::WorkerSystemFailure, report(None, Some("its guard was stopped"))),
                LOST_CODE,
            ),
            JobEnd::Unrunnable(why) => {
                (fail(FailReason::ScriptFailure, report(Some(UNRUNNABLE_CODE), Some(why))), UNRUNNABLE_CODE)
            }
            JobEnd::Broken(why) | JobEnd::Unguarded(why) => {
                (fail(FailReason::WorkerSystemFailure, report(None, Some(why))), LOST_CODE)
            }
        }
    }
}
