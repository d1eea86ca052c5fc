//! `git muster job dead`: jobs that are out of attempts.

use super::show;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input;
use crate::cli::output::{clean, counted};
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobStatus};
use crate::domain::table::Table;
use crate::ledger::Documents as _;
use crate::ops::answer::plain;
use crate::ops::archive::Archive;
use crate::ops::job_step::{Change, ChangeJob};
use clap::Subcommand;
use serde_json::Value;
use std::time::Duration;

/// The verbs of `job dead`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum DeadCommand {
    /// List them
    #[command(after_help = "Example:\n  git muster job dead list --json | jq -r '.[].reason'")]
    #[command(alias = "ls")]
    List,
    /// Put them back into the queue with all their attempts
    #[command(after_help = "Examples:
  git muster job dead retry job_1761778190_1804
  git muster job dead retry --all")]
    #[command(group = clap::ArgGroup::new("which").required(true).args(["job", "all"]))]
    Retry {
        /// One of them
        #[arg(value_name = "ID")]
        job: Option<JobId>,
        /// All of them, one commit each
        #[arg(long)]
        all: bool,
    },
    /// Move them to the archive
    #[command(after_help = "Example:\n  git muster job dead purge --older-than 7d

Those that an unfinished job needs stay.")]
    Purge {
        /// What is younger stays
        #[arg(long, value_name = "SPAN", value_parser = input::span, default_value = "0s")]
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
            context.output.confirm("archived", &archived, || format!("{jobs} went to the archive"))
        }
    }
}

/// How a job that is not dead goes back.
fn put_back(job: &JobId, status: &JobStatus) -> String {
    if status.is_held() {
        return format!("call it off first with `git muster job cancel {job}`");
    }
    let again = if *status == JobStatus::Completed { " --again" } else { "" };
    format!("put a finished one back with `git muster job retry {job}{again}`")
}

/// Puts one dead job back, or all there are.
fn retry(job: Option<&JobId>, context: &mut Context) -> Result<(), CliError> {
    let dead: Vec<(String, JobStatus)> = context.read(false, |snapshot| {
        let jobs: Table<Job> = snapshot.table()?;
        // One that was put back counts as dead still: it is asked for again.
        let status = |job: &Job| if job.was_put_back() { JobStatus::Dead } else { job.status.clone() };
        Ok(jobs
            .rows()
            .filter(|row| job.is_some() || row.status == JobStatus::Dead)
            .map(|row| (row.id.clone(), status(row)))
            .collect())
    })?;
    let is_wanted = |id: &str, status: &JobStatus| match job {
        Some(job) => job.as_str() == id,
        None => *status == JobStatus::Dead,
    };
    let wanted: Vec<&(String, JobStatus)> =
        dead.iter().filter(|(id, status)| is_wanted(id, status)).collect();
    match (job, wanted.as_slice()) {
        (Some(job), []) => return Err(show::unknown(job)),
        (Some(job), [(_, status)]) if *status != JobStatus::Dead => {
            let why = format!("job `{job}` was not put back: it is {status}, not dead");
            return Err(CliError::new(Exit::Refused, why).hint(put_back(job, status)));
        }
        _ => {}
    }
    let mut back: Vec<Value> = Vec::new();
    for (id, _) in wanted {
        let Ok(job) = JobId::new(id) else { continue };
        let verb = ChangeJob { server: context.me()?, job, change: Change::Retry { again: false } };
        back.push(context.write(&verb)?.answer);
    }
    let output = context.output;
    output.list("job", &back, || {
        if back.is_empty() {
            output.say("no job is dead");
        }
        let id = |job: &Value| job.get("id").and_then(plain).map(|id| clean(&id)).unwrap_or_default();
        back.iter().map(|job| format!("{} is queued\n", id(job))).collect()
    })
}
