//! The steps of a claimed job, and what anybody may change about a job.

use super::{show, stop};
use crate::app::answer::plain;
use crate::app::commands::job_step::{Change, ChangeJob, Step, StepJob};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::input;
use crate::domain::id::JobId;
use crate::domain::job::{FailReason, Priority, Report, Term};
use crate::domain::refusal::Action;
use crate::ledger::Receipt;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

// A claim that the caller holds.
#[derive(Debug, Args)]
pub struct TermArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// The token that `claim` printed [also: MUSTER_JOB_TOKEN, of the job in MUSTER_JOB_ID]
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
    /// The exit code of the process
    #[arg(long, value_name = "CODE", allow_negative_numbers = true)]
    pub exit_code: Option<i64>,
    /// How long it took, in seconds [default: since the claim]
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// The name of something it made (can be repeated)
    #[arg(long = "artifact", value_name = "NAME")]
    pub artifacts: Vec<String>,
    /// The commit that it worked on
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
    /// More about it, for people
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
}

impl ReportArgs {
    fn report(&self) -> Report {
        Report {
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

script_failure and missing_artifact end the job; after any other reason it is tried again, until \
its attempts are used up.")]
pub struct FailArgs {
    /// Which claim
    #[command(flatten)]
    pub term: TermArgs,
    /// Why
    #[arg(long, default_value = "script_failure", value_parser = crate::cli::choices::fail_reason())]
    pub reason: FailReason,
    /// How it went
    #[command(flatten)]
    pub report: ReportArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job retry job_1761_1804
  git muster job retry job_1761_1804 --again   # although it has completed

The result of a completed job stays in its record, under `earlier`.")]
pub struct RetryArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Also if it has completed: its work is done a second time
    #[arg(long)]
    pub again: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  git muster job requeue job_1761_1804 --holder-lost --reason 'it burnt down'

For an operator who knows that the server which holds the job is gone for good, and does not want to wait \
until its signs of life are missed. If it lives all the same, the job may be done twice; what it \
reports under its token is refused. The attempt does not count. Servers that are lost are found without \
this, by whoever claims or works.")]
pub struct RequeueArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// I know that its holder is lost
    #[arg(long, required = true)]
    pub holder_lost: bool,
    /// Why: it stands in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job cancel job_1761_1804 --reason 'superseded'
  git muster job cancel job_1761_1804 --wait 2m   # until nothing of it runs

A job is cancelled at once; whoever has it at work learns that at its next look and stops it. A worker \
confirms that, a script does with `job stopped`. With --wait: exit code 0 when it is confirmed, when \
nobody had it at work, or when the server that had is lost, whose worker has ended it by then; 75 \
when the time is up. A job that is cancelled already is waited for all the same.")]
pub struct CancelArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Why, for people
    #[arg(long)]
    pub reason: Option<String>,
    /// Wait until nothing of it runs any more, at most for so long [default: 10m]
    #[arg(long, value_name = "SPAN", value_parser = input::span, num_args = 0..=1, default_missing_value = "10m")]
    pub wait: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  git muster job priority job_1761_1804 critical")]
pub struct PriorityArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// 1 (most urgent) to 10, or critical, high, normal, low
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
    if told.version.is_none() && !context.is_dry_run() { ", as was told before" } else { "" }
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
    // First the sign: what stands after it stands for a while.
    crate::cli::heartbeat::for_a_claim(&me, context)?;
    let job = context.read(false, |snapshot| {
        let job = show::existing(&args.job, snapshot)?;
        job.check_term(Term { server: &me, token }, Action::RenewJob).map_err(CliError::from)?;
        Ok(job.raw())
    })?;
    print(&job, &format!(", still yours under token {token}"), context)
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
    let more = format!("; it is confirmed that it stopped{}", told_before(&told, context));
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
    let more = format!(", its priority {}", args.priority);
    change(&args.job, Change::Priority { priority: args.priority }, &more, context)
}
