//! `git muster job`: the queue of work.

mod add;
mod claim;
mod dead;
mod logs;
pub(super) mod show;
mod step;
mod stop;

pub(super) use claim::claim_line;

use super::context::Context;
use super::error::CliError;
use clap::Subcommand;

/// The verbs of `job`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum JobCommand {
    /// Add a job, or many from a file in one commit
    Add(Box<add::AddArgs>),
    /// List jobs, those that are not finished first of all
    #[command(alias = "ls")]
    List(show::ListArgs),
    /// Show one job
    #[command(after_help = "Example:\n  git muster job show job_1761_1804")]
    #[command(aliases = ["status", "describe"])]
    Show(show::OneArgs),
    /// Say why a job waits
    #[command(after_help = "Example:\n  git muster job explain job_1761_1804")]
    Explain(show::OneArgs),
    /// Claim the next job and print it with its token
    Claim(claim::ClaimArgs),
    /// Say that the work on a claimed job begins
    #[command(after_help = "Example:\n  git muster job start job_1761_1804 --token 1")]
    Start(step::TermArgs),
    /// Give a sign of life for a claimed job, and ask whether it is still yours: exit code 5 when not
    #[command(after_help = "Example:
  git muster job heartbeat job_1761_1804 --token 1   # each minute at work

A claim lasts as long as its server gives signs of life, and no longer than the job's time-out; this \
moves the first, not the second. So does whatever else beats for \
the server: a heartbeat from cron, or a worker.")]
    Heartbeat(step::TermArgs),
    /// Report success
    Complete(step::CompleteArgs),
    /// Report failure
    Fail(step::FailArgs),
    /// Hand a claimed job back; the attempt does not count
    #[command(after_help = "Example:\n  git muster job release job_1761_1804 --token 1")]
    Release(step::TermArgs),
    /// Call a job off
    Cancel(step::CancelArgs),
    /// Confirm that nothing of a cancelled job, which was claimed, runs any more
    #[command(after_help = "Example:\n  git muster job stopped job_1761_1804 --token 1")]
    Stopped(step::TermArgs),
    /// Put a finished job back into the queue
    Retry(step::RetryArgs),
    /// Take a job from a server that is lost for good, at once
    Requeue(step::RequeueArgs),
    /// Jobs that are out of attempts
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Change how urgent a job is
    Priority(step::PriorityArgs),
    /// Claim a job, run it, report how it ended, and end with its exit code
    Run(Box<super::worker::JobRunArgs>),
    /// Print what a job printed
    #[command(alias = "log")]
    Logs(logs::LogsArgs),
    /// Wait until a job is finished; exits 0 when it completed, else with its exit code or 1
    Wait(claim::WaitArgs),
}

/// A verb of `job`.
///
/// # Errors
/// When it is refused or the hub cannot be used.
pub(super) fn run(command: &JobCommand, context: &mut Context) -> Result<u8, CliError> {
    match command {
        JobCommand::Add(args) => add::run(args, context)?,
        JobCommand::List(args) => show::list(args, context)?,
        JobCommand::Show(args) => show::show(args, context)?,
        JobCommand::Explain(args) => show::explain(args, context)?,
        JobCommand::Claim(args) => claim::run(args, context)?,
        JobCommand::Start(args) => step::start(args, context)?,
        JobCommand::Heartbeat(args) => step::heartbeat(args, context)?,
        JobCommand::Complete(args) => step::complete(args, context)?,
        JobCommand::Fail(args) => step::fail(args, context)?,
        JobCommand::Release(args) => step::release(args, context)?,
        JobCommand::Cancel(args) => step::cancel(args, context)?,
        JobCommand::Stopped(args) => step::stopped(args, context)?,
        JobCommand::Retry(args) => step::retry(args, context)?,
        JobCommand::Requeue(args) => step::requeue(args, context)?,
        JobCommand::Dead(command) => dead::run(command, context)?,
        JobCommand::Priority(args) => step::priority(args, context)?,
        JobCommand::Run(args) => return super::worker::run_job(args, context),
        JobCommand::Logs(args) => return logs::run(args, context),
        JobCommand::Wait(args) => return claim::wait(args, context),
    }
    Ok(0)
}
