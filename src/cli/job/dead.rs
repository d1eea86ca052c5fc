//! `git muster job dead`: jobs that are out of attempts.

use super::show;
use crate::app::answer::plain;
use crate::app::commands::archive::Archive;
use crate::app::commands::job_step::{Change, ChangeJob};
use crate::app::queries::jobs::DeadJobs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::input;
use crate::cli::output::{clean, counted};

use crate::domain::id::JobId;
use crate::domain::job::JobStatus;
use clap::Subcommand;
use serde_json::Value;
use std::time::Duration;

/// The verbs of `job dead`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum DeadCommand {
    /// List dead jobs
    #[command(after_help = "Example:\n  git muster job dead list --json | jq -r '.[].reason'")]
    #[command(alias = "ls")]
    List,
    /// Requeue dead jobs and reset their attempts
    #[command(after_help = "Examples:
  git muster job dead retry job_1761_1804
  git muster job dead retry --all")]
    #[command(group = clap::ArgGroup::new("which").required(true).args(["job", "all"]))]
    Retry {
        /// Dead job to retry
        #[arg(value_name = "ID")]
        job: Option<JobId>,
        /// All dead jobs, with one commit each
        #[arg(long)]
        all: bool,
    },
    /// Move dead jobs to the archive
    #[command(after_help = "Example:\n  git muster job dead purge --older-than 7d

Dead jobs that an unfinished job needs are kept.")]
    Purge {
        /// Keep jobs that finished more recently than this
        #[arg(long, value_name = "DURATION", value_parser = input::age, default_value = "0s")]
        older_than: Duration,
    },
}

/// A verb of `job dead`.
///
/// # Errors
/// When there is no such job, or the hub cannot be used.
pub(super) fn run(command: &DeadCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        DeadCommand::List => show::list(&show::ListArgs::of_status(&JobStatus::Dead), context),
        DeadCommand::Retry { job, all: _ } => retry(job.as_ref(), context),
        DeadCommand::Purge { older_than } => {
            let verb = Archive {
                server: context.me()?,
                older_than_seconds: older_than.as_secs(),
                only_dead: true,
                unread_older_than_seconds: None,
            };
            let archived = context.write(&verb)?.answer;
            let jobs = counted(archived.jobs, "dead job");
            context.output.confirm("archived", &archived, || format!("{jobs} moved to the archive"))
        }
    }
}

/// Puts one dead job back, or all there are.
fn retry(job: Option<&JobId>, context: &mut Context) -> Result<(), CliError> {
    let wanted = context.ask(&DeadJobs { id: job.cloned() })?;
    let mut back: Vec<Value> = Vec::new();
    for job in wanted {
        let verb = ChangeJob { server: context.me()?, job, change: Change::Retry { again: false } };
        let done = context.write(&verb).map_err(|error| match back.len() {
            0 => error,
            before => error.after(&put_back_so_far(before)),
        });
        back.push(done?.answer);
    }
    let output = context.output;
    let printed = output.list("job", &back, || {
        if back.is_empty() {
            output.say("no dead jobs");
        }
        let id = |job: &Value| job.get("id").and_then(plain).map(|id| clean(&id)).unwrap_or_default();
        back.iter().map(|job| format!("{} is queued\n", id(job))).collect()
    });
    if back.is_empty() { printed } else { output.done_or(printed, || put_back_so_far(back.len())) }
}

fn put_back_so_far(jobs: usize) -> String {
    format!("{} requeued", counted(jobs, "job"))
}
