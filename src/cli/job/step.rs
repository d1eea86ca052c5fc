//! The steps of a claimed job, and what anybody may change about a job.

use super::{show, stop};
use crate::app::answer::plain;
use crate::app::commands::beat::HeldClaim;
use crate::app::commands::job_step::{Change, ChangeJob, Step, StepJob};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::input;
use crate::domain::id::JobId;
use crate::domain::job::{AttemptResult, Claim, FailReason, Priority};
use crate::domain::refusal::Action;
use crate::ledger::Receipt;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

// A claim that the caller holds.
#[derive(Debug, Args)]
pub struct TermArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Token that `claim` printed [otherwise: MUSTER_JOB_TOKEN, if MUSTER_JOB_ID is this job]
    #[arg(long)]
    pub token: Option<u64>,
}

impl TermArgs {
    fn token(&self) -> Result<u64, CliError> {
        input::token(self.token, self.job.as_str(), input::OF_JOB)
    }
}

// How an attempt went.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Exit code of the process
    #[arg(long, value_name = "CODE", allow_negative_numbers = true)]
    pub exit_code: Option<i64>,
    /// Run time in seconds [default: time since the claim]
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Name of an artifact (can be repeated)
    #[arg(long = "artifact", value_name = "NAME")]
    pub artifacts: Vec<String>,
    /// Commit that the job worked on
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
    /// Description of the result
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
}

impl ReportArgs {
    fn report(&self) -> AttemptResult {
        AttemptResult {
            exit_code: self.exit_code,
            duration_seconds: self.duration,
            artifacts: self.artifacts.clone(),
            commit: self.commit.clone(),
            message: self.message.clone(),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  git muster job complete job_1761_1804 --token 1 --artifact app_1.0.deb")]
pub struct CompleteArgs {
    /// Which claim
    #[command(flatten)]
    pub term: TermArgs,
    /// How it went
    #[command(flatten)]
    pub report: ReportArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job fail job_1761_1804 --token 1 --exit-code 2 --message 'tests'
  git muster job fail job_1761_1804 --token 1 --reason worker_system_failure

script_failure and missing_artifact are final. After any other reason the job is requeued, until \
its attempts are exhausted.")]
pub struct FailArgs {
    /// Which claim
    #[command(flatten)]
    pub term: TermArgs,
    /// Reason for the failure
    #[arg(long, default_value = "script_failure", value_parser = crate::cli::choices::fail_reason())]
    pub reason: FailReason,
    /// How it went
    #[command(flatten)]
    pub report: ReportArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job retry job_1761_1804
  git muster job retry job_1761_1804 --again   # even if it completed

The result of a completed job is kept in its record, under `earlier`.")]
pub struct RetryArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Also requeue a completed job, which then runs a second time
    #[arg(long)]
    pub again: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  git muster job requeue job_1761_1804 --holder-lost --reason 'it burnt down'

Use this if a server is gone for good and its jobs should not wait until its missing heartbeats \
are noticed. If the server is alive after all, the job may run twice; reports with the old token \
are refused. The attempt does not count. Lost servers are also detected without this command, by \
every worker and every `job claim`.")]
pub struct RequeueArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Confirm that the server that holds the job is gone
    #[arg(long, required = true)]
    pub holder_lost: bool,
    /// Reason to store in the job's record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job cancel job_1761_1804 --reason 'superseded'
  git muster job cancel job_1761_1804 --wait 2m   # until it has stopped

The job is cancelled at once. A worker that is running it stops it at the next poll and confirms; \
a script confirms with `job stopped`. With --wait, the exit code is 0 once the stop is confirmed, \
if the job was not in progress, or if its server is lost (the server's worker has stopped the job \
by then), and 75 if the wait times out. `cancel --wait` also waits for a job that was cancelled \
earlier.")]
pub struct CancelArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Reason to show to users
    #[arg(long)]
    pub reason: Option<String>,
    /// Wait until the job has stopped, at most this long [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = input::span, num_args = 0..=1, default_missing_value = "10m")]
    pub wait: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  git muster job priority job_1761_1804 critical")]
pub struct PriorityArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Priority: 1 (most urgent) to 10, or critical (1), high (3), normal (5), low (8)
    #[arg(value_name = "LEVEL")]
    pub priority: Priority,
}

fn step(term: &TermArgs, step: Step, context: &mut Context) -> Result<(), CliError> {
    let verb = StepJob { server: context.acting()?, job: term.job.clone(), token: term.token()?, step };
    let told = context.write(&verb)?;
    print(&told.answer, told_before(&told, context), context)
}

/// What a step adds to its answer that changed nothing: the caller may have lost the first one.
fn told_before<A>(told: &Receipt<A>, context: &Context) -> &'static str {
    if told.version.is_none() && !context.is_dry_run() { ", as reported before" } else { "" }
}

fn change(job: &JobId, change: Change, more: &str, context: &mut Context) -> Result<(), CliError> {
    let verb = ChangeJob { server: context.me()?, job: job.clone(), change };
    let told = context.write(&verb)?;
    print(&told.answer, &format!("{more}{}", told_before(&told, context)), context)
}

fn print(job: &Value, more: &str, context: &Context) -> Result<(), CliError> {
    context.output.confirm("job", job, || {
        let text = |key: &str| job.get(key).and_then(plain).unwrap_or_default();
        crate::cli::output::clean(&format!("{} is {}{more}", text("id"), text("status")))
    })
}

/// Begins.
///
/// # Errors
/// When the claim is over.
pub(super) fn start(args: &TermArgs, context: &mut Context) -> Result<(), CliError> {
    step(args, Step::Start, context)
}

/// Gives a sign of life, and asks whether the claim stands.
///
/// # Errors
/// When it does not, or the sign did not reach the hub.
pub(super) fn heartbeat(args: &TermArgs, context: &mut Context) -> Result<(), CliError> {
    let (me, token) = (context.acting()?, args.token()?);
    let claim = HeldClaim { job: args.job.clone(), token };
    let job = match crate::cli::heartbeat::for_a_claim(&me, claim, context)? {
        Some(job) => job,
        None => context.read(false, |snapshot| {
            let job = show::existing(&args.job, snapshot)?;
            job.check_term(Claim { server: &me, token }, Action::RenewJob).map_err(CliError::from)?;
            Ok(job.raw())
        })?,
    };
    print(&job, &format!(", still claimed by this server with token {token}"), context)
}

/// Reports success.
///
/// # Errors
/// When the claim is over.
pub(super) fn complete(args: &CompleteArgs, context: &mut Context) -> Result<(), CliError> {
    step(&args.term, Step::Complete { report: args.report.report() }, context)
}

/// Reports failure.
///
/// # Errors
/// When the claim is over.
pub(super) fn fail(args: &FailArgs, context: &mut Context) -> Result<(), CliError> {
    step(&args.term, Step::Fail { reason: args.reason, report: args.report.report() }, context)
}

/// Hands the job back.
///
/// # Errors
/// When the claim is over.
pub(super) fn release(args: &TermArgs, context: &mut Context) -> Result<(), CliError> {
    step(args, Step::Release, context)
}

/// Confirms that nothing of a cancelled job runs any more.
///
/// # Errors
/// When it is not cancelled, or was held under another claim.
pub(super) fn stopped(args: &TermArgs, context: &mut Context) -> Result<(), CliError> {
    let verb = StepJob {
        server: context.acting()?,
        job: args.job.clone(),
        token: args.token()?,
        step: Step::Stopped,
    };
    let told = context.write(&verb)?;
    let more = format!("; confirmed stopped{}", told_before(&told, context));
    print(&told.answer, &more, context)
}

/// Calls a job off.
///
/// # Errors
/// When it is finished, or nobody confirms in time that it stopped.
pub(super) fn cancel(args: &CancelArgs, context: &mut Context) -> Result<(), CliError> {
    let verb = ChangeJob {
        server: context.me()?,
        job: args.job.clone(),
        change: Change::Cancel { why: args.reason.clone() },
    };
    let Some(span) = args.wait.filter(|_| !context.is_dry_run()) else {
        let told = context.write(&verb)?;
        return print(&told.answer, told_before(&told, context), context);
    };
    let (job, more) = stop::wait(verb, span, context)?;
    print(&job, &more, context)
}

/// Puts a finished job back.
///
/// # Errors
/// When it is not finished.
pub(super) fn retry(args: &RetryArgs, context: &mut Context) -> Result<(), CliError> {
    change(&args.job, Change::Retry { again: args.again }, "", context)
}

/// Takes a job from a holder that is lost.
///
/// # Errors
/// When nobody holds it, or it changed hands meanwhile.
pub(super) fn requeue(args: &RequeueArgs, context: &mut Context) -> Result<(), CliError> {
    let (token, holder) = context.read(false, |snapshot| {
        let job = show::existing(&args.job, snapshot)?;
        Ok((job.token.unwrap_or(0), job.assigned_to.clone()))
    })?;
    let more = holder.map_or_else(String::new, |holder| format!(", taken from {holder}"));
    change(&args.job, Change::Requeue { token, why: args.reason.clone() }, &more, context)
}

/// Changes how urgent a job is.
///
/// # Errors
/// When it is finished.
pub(super) fn priority(args: &PriorityArgs, context: &mut Context) -> Result<(), CliError> {
    let more = format!(", priority {}", args.priority);
    change(&args.job, Change::Priority { priority: args.priority }, &more, context)
}
