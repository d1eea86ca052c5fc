//! `git muster job add`.

use crate::app::commands::job_add::{AddJobs, NewJob, kind_build};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::input::{self, PointInTime};
use crate::cli::output::counted;
use crate::domain::code::Code;
use crate::domain::job::{IfNeedFails, JobStatus, Priority};
use crate::domain::shell::typed;
use crate::domain::time::Timestamp;
use crate::machine::files;
use clap::Args;
use std::fs::File;
use std::time::Duration;

/// The largest file of jobs, in bytes.
const JOBS_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job add --type build --branch main --commit 4f2c1d9 -- make deb
  git muster job add --branch main --produces '*.deb' -- dpkg-buildpackage -b
  git muster job add --type test --needs job_1761_1804 --label gpu
  git muster job add --type test --not-before 'in 2h' -- make soak-test
  git muster job add --from jobs.jsonl   # one JSON object per line, one commit

Fields of a line in the file: type, branch, commit, priority, needs, if_need_fails, group, labels, \
produces, description, timeout_seconds, max_attempts, key, not_before (in UTC), delay_seconds and command, all optional:
  {\"type\": \"test\", \"needs\": [\"base\"], \"command\": [\"make\", \"test\"]}

The server that claims the job decides whether the command may run.")]
pub struct AddArgs {
    /// Kind of job: build, test, deploy or any other word [default: build]
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Branch of the source repository to work on
    #[arg(long)]
    pub branch: Option<String>,
    /// Commit of the source repository to work on
    #[arg(long)]
    pub commit: Option<String>,
    /// Priority: 1 (most urgent) to 10, or critical (1), high (3), normal (5), low (8) [default: normal]
    #[arg(long, value_name = "LEVEL")]
    pub priority: Option<Priority>,
    /// Job, by id or key, that must complete first (can be repeated)
    #[arg(long, value_name = "ID")]
    pub needs: Vec<String>,
    /// What to do if a needed job does not complete [default: wait]
    #[arg(long, value_name = "POLICY", requires = "needs", value_parser = crate::cli::choices::if_need_fails())]
    pub if_need_fails: Option<IfNeedFails>,
    /// Concurrency group: only one job of a group is in progress at a time
    #[arg(long)]
    pub group: Option<String>,
    /// Label that the server must have (can be repeated)
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Files that the job must produce, such as '*.deb'; without them it fails (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    pub produces: Vec<String>,
    /// Description of the job
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Time limit for one attempt [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = input::span)]
    pub timeout: Option<Duration>,
    /// Number of attempts [default: 3]
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<u64>,
    /// Earliest time to claim the job: '2025-10-30 09:00' (local time, or with a zone), or a delay such as
    /// 'in 2h'
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    pub not_before: Option<PointInTime>,
    /// Idempotency key: if an unarchived job has this key, finished or not, add nothing
    #[arg(long)]
    pub key: Option<String>,
    /// Add the jobs in this file, one JSON object per line; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "branch", "commit", "priority", "needs", "if_need_fails", "group", "labels", "produces", "description", "timeout", "max_attempts", "not_before", "key", "command"])]
    pub from: Option<String>,
    /// Program and arguments to run
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Adds.
///
/// # Errors
/// When a job is not acceptable: then none is added.
pub(super) fn run(args: &AddArgs, context: &mut Context) -> Result<(), CliError> {
    let requester = context.me()?;
    if args.is_empty() {
        return Err(CliError::new(
            Code::Usage,
            "the job has no type, command, branch or commit; no job was added",
        )
        .hint("give a command, as in `git muster job add --type test -- make test`, or at least `--type`"));
    }
    tell_flags_before(args, context);
    let jobs = match &args.from {
        Some(file) => read_lines(file)?,
        None => vec![one(args, context.now())],
    };
    if jobs.is_empty() {
        context.output.say("no jobs in the file; nothing was added");
    }
    let receipt = context.write_to_deliver(&AddJobs { jobs, requester })?;
    let added = &receipt.answer;
    if let (Some(moment), [job]) = (args.not_before, added.as_slice())
        && !job.duplicate
    {
        let now = context.now();
        context.output.say(&format!("cannot be claimed before {}", input::told(moment.after(now), now)));
    }
    for duplicate in added.iter().filter(|job| job.duplicate) {
        context.output.say(&format!(
            "job `{0}` already has this key and {1}; no second job was added{2}",
            duplicate.id,
            duplicate.status,
            if duplicate.status.is_final() {
                let again = if duplicate.status == JobStatus::Completed { " --again" } else { "" };
                format!("; run it again with `git muster job retry {}{again}`", typed(&duplicate.id, "ID"))
            } else {
                String::new()
            }
        ));
    }
    let ids = || added.iter().map(|job| format!("{}\n", job.id)).collect::<String>();
    context.deliver_once(&receipt, |output| match (args.from.is_some(), added.as_slice()) {
        (false, [job]) => output.answer("job_added", job, ids),
        _ => output.done_or(output.list("job_added", added, ids), || {
            format!("{} added", counted(added.iter().filter(|job| !job.duplicate).count(), "job"))
        }),
    })
}

/// Before the noun `--branch` and `--timeout` are the hub's, behind `add` the job's. Who gave them in one
/// place only is told which was meant.
fn tell_flags_before(args: &AddArgs, context: &Context) {
    let settings = &context.settings;
    for (flag, origin, is_given) in [
        ("--branch", &settings.branch.origin, args.branch.is_some() || settings.is_hub_branch_said),
        ("--timeout", &settings.timeout.origin, args.timeout.is_some()),
    ] {
        if origin == flag && !is_given {
            context.output.say(&format!(
                "`{flag}` before `job add` applies to the hub, like `--hub-{}`; for the job, put it after `add`",
                flag.trim_start_matches('-')
            ));
        }
    }
}

impl AddArgs {
    /// Whether it asks for nothing that a server could do.
    fn is_empty(&self) -> bool {
        let of_jobs = [&self.from, &self.kind, &self.description, &self.key, &self.group];
        let of_sources = [&self.branch, &self.commit];
        let lists = [&self.command, &self.needs, &self.labels, &self.produces];
        of_jobs.iter().chain(&of_sources).all(|text| text.is_none())
            && lists.iter().all(|list| list.is_empty())
    }
}

fn one(args: &AddArgs, now: Timestamp) -> NewJob {
    NewJob {
        kind: args.kind.clone().unwrap_or_else(kind_build),
        priority: args.priority,
        branch: args.branch.clone(),
        commit: args.commit.clone(),
        needs: args.needs.clone(),
        if_need_fails: args.if_need_fails,
        group: args.group.clone(),
        labels: args.labels.clone(),
        produces: args.produces.clone(),
        description: args.description.clone(),
        timeout_seconds: args.timeout.map(|limit| limit.as_secs()),
        max_attempts: args.max_attempts,
        key: args.key.clone(),
        not_before: args.not_before.map(|moment| moment.after(now)),
        delay_seconds: args.not_before.and_then(PointInTime::span).map(|span| span.as_secs()),
        command: args.command.clone(),
    }
}

fn read_lines(file: &str) -> Result<Vec<NewJob>, CliError> {
    let text = if file == "-" {
        input::text("-", JOBS_BYTES_MAX)?
    } else {
        let read = File::open(file).and_then(|open| files::read_bounded(open, JOBS_BYTES_MAX));
        read.map_err(|error| {
            CliError::new(
                Code::FileFailed,
                format!("cannot read `{}`: {error}; no job was added", file.escape_debug()),
            )
            .fact("path", file)
            .fact("detail", error.to_string())
        })?
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            parse(line).map_err(|why| {
                CliError::new(
                    Code::LineInvalid,
                    format!("`{}` line {}: {why}; no job was added", file.escape_debug(), index + 1),
                )
                .fact("file", file)
                .fact("line", index + 1)
                .fact("why", why)
            })
        })
        .collect()
}

/// One line of a file of jobs, or what is wrong with it.
fn parse(line: &str) -> Result<NewJob, String> {
    if !line.trim_start().starts_with('{') {
        return Err("it is not a JSON object".to_owned());
    }
    if line
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|all| all.trim().is_empty())
    {
        return Err("it has no type, command, branch or commit".to_owned());
    }
    // The line is told already, and it is not the first one.
    serde_json::from_str(line).map_err(|error| error.to_string().replace(" at line 1 column ", ", column "))
}
