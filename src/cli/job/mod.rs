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
    /// List jobs, unfinished ones first
    #[command(alias = "ls")]
    List(show::ListArgs),
    /// Show one job
    #[command(after_help = "Example:\n  git muster job show job_1761_1804")]
    #[command(aliases = ["status", "describe"])]
    Show(show::OneArgs),
    /// Explain why a job has not started
    #[command(after_help = "Example:\n  git muster job explain job_1761_1804")]
    Explain(show::OneArgs),
    /// Claim the next job and print it with its token
    Claim(claim::ClaimArgs),
    /// Mark a claimed job as running
    #[command(after_help = "Example:\n  git muster job start job_1761_1804 --token 1")]
    Start(step::TermArgs),
    /// Send a heartbeat for a claimed job and check the claim: exit code 5 if the claim is lost
    #[command(after_help = "Example:
  git muster job heartbeat job_1761_1804 --token 1   # once a minute

A claim lasts as long as its server sends heartbeats, but never longer than the job's timeout. \
This command extends the claim, not the timeout. Any other heartbeat of the server does the same: \
from cron, or from a worker.")]
    Heartbeat(step::TermArgs),
    /// Report that a claimed job succeeded
    Complete(step::CompleteArgs),
    /// Report that a claimed job failed
    Fail(step::FailArgs),
    /// Return a claimed job to the queue; the attempt does not count
    #[command(after_help = "Example:\n  git muster job release job_1761_1804 --token 1")]
    Release(step::TermArgs),
    /// Cancel a job
    Cancel(step::CancelArgs),
    /// Confirm that a cancelled job has stopped: none of its processes is left
    #[command(after_help = "Example:\n  git muster job stopped job_1761_1804 --token 1")]
    Stopped(step::TermArgs),
    /// Requeue a finished job
    Retry(step::RetryArgs),
    /// Requeue a job of a server that is gone for good, without waiting
    Requeue(step::RequeueArgs),
    /// List, retry and purge dead jobs (attempts exhausted)
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Change the priority of a job
    Priority(step::PriorityArgs),
    /// Claim a job, run it, report the result, and exit with the job's exit code
    Run(Box<super::worker::JobRunArgs>),
    /// Print the log of a job
    #[command(alias = "log")]
    Logs(logs::LogsArgs),
    /// Wait for a job to finish: exit code 0 if it completed, otherwise the job's exit code, or 1
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
