//! `git muster worker` and `git muster job run`: jobs that run on this machine.

mod seen;

pub(super) use seen::judged;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, counted};
use crate::cli::queue::{end_pause, set_pause};
use crate::cli::{artifact, input};
use crate::domain::allow::{Allow, AllowPattern};
use crate::domain::code::Code;
use crate::domain::id::{JobId, ServerName};
use crate::domain::pause::Paused;
use crate::domain::refusal::Refusal;
use crate::git::{Location, Source};
use crate::machine::{Machine, environment};
use crate::worker::{
    ArtifactStore, Dispatcher, LOG_BYTES_MAX, Options, PushLimit, Reporter, SECRET_BYTES_MAX,
    SECRET_BYTES_MIN, Summary, WorkerError, WorkerHub,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// What to do where no lock can be had.
const LOCKS_HINT: &str = "set XDG_STATE_HOME to a directory on a local disk; check with `git muster doctor folders` where locks work";

/// How often a worker looks at the queue unless told: on this machine, and over a network.
const POLL_LOCAL: Duration = Duration::from_secs(1);
const POLL_REMOTE: Duration = Duration::from_secs(10);

/// How often it beats unless told.
const BEAT_INTERVAL: Duration = Duration::from_secs(30);

/// The verbs of `worker`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum WorkerCommand {
    /// Claim jobs and run them until SIGTERM
    #[command(after_help = "Examples:
  git muster worker run --allow '/srv/ci/build' --allow '/srv/ci/deploy staging'
  git muster worker run --allow-any --jobs 4 --label gpu --mask DEPLOY_KEY
  git muster worker run --allow-any --exit-when-idle 10m
  git muster worker run --allow '/srv/ci/build-deb' --source git@git.local:app

This server decides which commands run, not the queue: without --allow or --allow-any nothing runs. \
A pattern is compared word by word with a job's command; a final * stands for any further arguments, \
and therefore for every option of the program. Most programs have an option that runs other \
commands: make --eval=..., dpkg-buildpackage --hook-init=..., tar, git, env, sh, python. Such a \
pattern allows everything. Allow complete commands, or a script of this server that accepts only \
what it should. In a checkout, a command also runs code from the job's branch: a Makefile, \
debian/rules.

A job has all rights of the user that started the worker. If jobs are not trusted, start the worker \
in a container, in a virtual machine or as a user without other rights.

Each job starts in an empty directory of its own, or with --source in a checkout of the branch or \
commit that it names; the directory is removed afterwards. A job has no input. Its environment is \
PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_ALL, TZ, TMPDIR, XDG_RUNTIME_DIR, the variables given \
with --env and --mask, MUSTER_HUB, MUSTER_BRANCH, MUSTER_SERVER, MUSTER_JOB_ID, _TOKEN, _TYPE, \
_ATTEMPT, _BRANCH, _COMMIT, _NEEDS and _DESCRIPTION, and MUSTER_ARTIFACTS.

Files in the directory $MUSTER_ARTIFACTS and files that match the job's --produces patterns are \
kept as artifacts. A manifest with sizes and SHA-256 checksums is stored next to the log: \
`artifact list`. A job that succeeds but lacks a required artifact fails with missing_artifact.

On SIGTERM or Ctrl-C the worker claims no more jobs and lets running jobs finish within --drain; a \
second signal, at least a second later, stops them at once. Stopped jobs are requeued and the \
attempt does not count. However the worker ends, no process of its jobs outlives it. Each poll or \
write may take up to 12 s.

With --push-limit, heartbeats are always sent. The remaining pushes go first to reports of \
finished jobs, then to claims, then to the output of running jobs; a report, its log and a \
heartbeat share one push. During shutdown, the last reports are sent without delay.")]
    Run(Box<RunArgs>),
    /// Stop a server from claiming jobs
    #[command(after_help = "Examples:
  git muster worker pause --note 'new disk' --for 2h
  git muster worker pause build3 --note 'its tests fail'")]
    Pause(PauseArgs),
    /// Let a paused server claim jobs again
    #[command(after_help = "Example:\n  git muster worker resume build3")]
    Resume {
        /// Server [default: this server]
        #[arg(value_name = "SERVER")]
        name: Option<ServerName>,
    },
    /// Pause a server; its worker exits once its jobs have finished
    #[command(after_help = "Example:\n  git muster worker drain build3 --note 'going out of service'

A worker that is started during the pause exits at once. `worker resume` ends the pause.")]
    Drain(PauseArgs),
    /// List servers with heartbeats, jobs in progress and pauses
    #[command(
        after_help = "Example:\n  git muster worker list --json | jq -r '.[] | select(.paused) | .server'"
    )]
    #[command(aliases = ["ls", "ps"])]
    List,
    /// Show one server: jobs in progress, last finished jobs, jobs it could claim now
    #[command(after_help = "Examples:\n  git muster worker show\n  git muster worker show build3 --json")]
    #[command(aliases = ["status", "describe"])]
    Show {
        /// Server [default: this server]
        #[arg(value_name = "SERVER")]
        name: Option<ServerName>,
    },
}

// Which server is paused, why and for how long.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Server [default: this server]
    #[arg(value_name = "SERVER")]
    pub name: Option<ServerName>,
    /// Reason to show to users
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Duration of the pause [default: until `worker resume`]
    #[arg(long = "for", value_name = "DURATION", value_parser = input::span)]
    pub span: Option<Duration>,
}

// How a worker works.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Maximum number of jobs to run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Poll interval [default: 1s for a local hub, 10s for a remote hub]
    #[arg(long, value_name = "DURATION", value_parser = input::span)]
    pub poll: Option<Duration>,
    /// Claim once, run the claimed jobs, and exit; exit code 3 if there is nothing to claim, 4 if another
    /// server holds the lock `job_assignment`
    #[arg(long)]
    pub once: bool,
    /// Run this job and exit
    #[arg(long, value_name = "ID")]
    pub job: Option<JobId>,
    /// Exit with the exit code of the last job
    #[arg(long)]
    pub reflect_exit_status: bool,
    /// Exit after this time without a job
    #[arg(long, value_name = "DURATION", value_parser = input::span)]
    pub exit_when_idle: Option<Duration>,
    /// What is common with `job run`.
    #[command(flatten)]
    pub common: CommonArgs,
}

// What `worker run` and `job run` have in common.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Allow commands that match this pattern, such as '/srv/ci/build' (can be repeated); a final * allows
    /// any further arguments, including options that run other commands
    #[arg(long, value_name = "PATTERN")]
    pub allow: Vec<AllowPattern>,
    /// Allow any command; this trusts everyone who can write to the hub
    #[arg(long, conflicts_with = "allow")]
    pub allow_any: bool,
    /// Additional label of this server, not visible to other servers (can be repeated)
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Heartbeat interval; a server that is silent for a little over four intervals counts as lost
    /// [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = input::span)]
    pub interval: Option<Duration>,
    /// Time for running jobs to finish after SIGTERM
    #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "10m")]
    pub drain: Duration,
    /// Time between SIGTERM and SIGKILL when a job is stopped; shorter if the job's timeout is short
    #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "10s")]
    pub grace: Duration,
    /// Also pass this environment variable to jobs (can be repeated)
    #[arg(long = "env", value_name = "NAME")]
    pub environment: Vec<String>,
    /// Pass this environment variable to jobs and mask its value in their logs (can be repeated); a file
    /// that contains the value is not copied to the hub, unless the file is compressed or the value is
    /// encoded
    #[arg(long, value_name = "NAME")]
    pub mask: Vec<String>,
    /// Size limit for the log of a job, in KiB; the middle of a longer log is cut
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(4..=16_384))]
    pub log_max: u32,
    /// Source repository; a job that names a branch or a commit starts in a checkout of it
    #[arg(long, value_name = "PATH|URL", env = "MUSTER_SOURCE")]
    pub source: Option<String>,
    /// Tag good builds (jobs of type build) in the source repository, and keep this many tags per branch
    /// [20 if N is omitted]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20", requires = "source", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub tag_builds: Option<u16>,
    /// Directory for artifacts [default: git-muster/artifacts in the user's data directory]
    #[arg(long, value_name = "DIR", env = "MUSTER_ARTIFACTS_DIR")]
    pub artifacts_dir: Option<PathBuf>,
    /// URL under which others can reach the artifacts directory; recorded in manifests
    #[arg(long, value_name = "URL")]
    pub artifacts_url: Option<String>,
    /// Also copy artifacts of up to this many KiB to the hub, at most 4096 KiB per attempt
    #[arg(long, value_name = "KIB", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub copy_max: u32,
    /// Directory for the job directories [default: git-muster/work in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Keep the job directories until the worker starts again
    #[arg(long)]
    pub keep: bool,
    /// Push at most N times per DURATION, heartbeats included; `none` for no limit [default: 6/1m on a
    /// forge such as github.com, otherwise none]
    #[arg(long, value_name = "N/DURATION", value_parser = push_limit)]
    pub push_limit: Option<Limit>,
    /// Free disk space that the job directories need, in MiB; with less, no job is claimed
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub free_min: u64,
}

/// What `--push-limit` says: nothing is a limit, too.
#[derive(Debug, Clone, Copy)]
pub struct Limit(Option<PushLimit>);

fn push_limit(text: &str) -> Result<Limit, String> {
    if text == "none" { Ok(Limit(None)) } else { text.parse().map(|limit| Limit(Some(limit))) }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job run --allow '/srv/ci/build'
  git muster job run job_1761_1804 --allow-any

Claims the next job or the given one, runs it as `worker run` does, reports the result, and exits \
with the job's exit code. Exit code 3 if there is nothing to claim, 5 if the job was reclaimed or \
cancelled, 124 if it timed out, 143 if it was stopped and requeued. A job can also exit with these \
codes itself; `job show ID` shows what happened.")]
pub struct JobRunArgs {
    /// Job to run [default: the next one in the queue]
    #[arg(value_name = "ID")]
    pub job: Option<JobId>,
    /// What is common with `worker run`.
    #[command(flatten)]
    pub common: CommonArgs,
}

impl WorkerCommand {
    /// Whether it is meant to go on until somebody ends it.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

/// A verb of `worker`.
///
/// # Errors
/// When nothing may be run, or the hub cannot be used.
pub(in crate::cli) fn run(command: &WorkerCommand, context: &mut Context) -> Result<u8, CliError> {
    let server = |name: &Option<ServerName>, context: &mut Context| {
        name.clone().map_or_else(|| context.acting(), Ok).map(Paused::Server)
    };
    let pause = |args: &PauseArgs, drain, context: &mut Context| {
        set_pause(server(&args.name, context)?, (args.note.as_ref(), args.span), drain, context).map(|()| 0)
    };
    match command {
        WorkerCommand::Run(args) => run_worker(args, context),
        WorkerCommand::Pause(args) => pause(args, false, context),
        WorkerCommand::Drain(args) => pause(args, true, context),
        WorkerCommand::Resume { name } => end_pause(server(name, context)?, context).map(|()| 0),
        WorkerCommand::List => seen::list(context).map(|()| 0),
        WorkerCommand::Show { name } => {
            let name = name.clone().map_or_else(|| context.acting(), Ok)?;
            seen::show(&name, context).map(|()| 0)
        }
    }
}

fn run_worker(args: &RunArgs, context: &mut Context) -> Result<u8, CliError> {
    let mut options = options(&args.common, context)?;
    options.slots = args.jobs.into();
    options.once = args.once;
    options.job.clone_from(&args.job);
    options.exit_when_idle = args.exit_when_idle;
    if let Some(source) = &options.source {
        let source = Source::new(Location::parse(source, &environment::home()));
        source.probe(&Machine::real().deadline(context.settings.timeout.value)).map_err(|error| {
            CliError::new(Code::SettingInvalid, format!("{error}; nothing was claimed"))
                .fact("name", "source")
                .fact("why", error.to_string())
                .hint("pass the address of the source repository with `--source`, or start the worker without it")
        })?;
    }
    tell_start(&options, context)?;
    let summary = work(options, args.poll, &args.common, context)?;
    if (args.once || args.job.is_some()) && summary.last_code.is_none() {
        return Err(nothing());
    }
    tell_end(&summary, context)?;
    Ok(summary.last_code.filter(|_| args.reflect_exit_status).unwrap_or(0))
}

/// `job run`.
///
/// # Errors
/// As [`run`].
pub(in crate::cli) fn run_job(args: &JobRunArgs, context: &mut Context) -> Result<u8, CliError> {
    let mut options = options(&args.common, context)?;
    options.once = true;
    options.job.clone_from(&args.job);
    let summary = work(options, None, &args.common, context)?;
    let code = summary.last_code.ok_or_else(nothing)?;
    // People have seen in the messages how it ended.
    if context.output.json {
        tell_end(&summary, context)?;
    }
    Ok(code)
}

/// What came of a worker's jobs.
fn tell_end(summary: &Summary, context: &Context) -> Result<(), CliError> {
    let Summary { completed, failed, cancelled, returned, .. } = summary;
    context.output.confirm(
        "worker_ended",
        &json!({"completed": completed, "failed": failed, "cancelled": cancelled, "returned": returned}),
        || {
            let cancelled = if *cancelled > 0 { format!("{cancelled} cancelled, ") } else { String::new() };
            format!("finished: {completed} completed, {failed} failed, {cancelled}{returned} requeued")
        },
    )
}

fn nothing() -> CliError {
    CliError::new(Code::NothingToClaim, "no queued job may run on this server")
        .hint("list queued jobs with `git muster job list --status queued`; explain one with `git muster job explain ID`")
}

/// A worker that waits says nothing for hours: who started it sees here whether it is the one that was
/// meant.
fn tell_start(options: &Options, context: &Context) -> Result<(), CliError> {
    let allow = match &options.allow {
        Allow::Any => "any command".to_owned(),
        Allow::These(patterns) => {
            patterns.iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ")
        }
    };
    context.output.say(&format!(
        "worker of `{}` at {}, branch {}: runs {allow}, {} at a time",
        context.me()?,
        context.settings.hub()?.shown(),
        context.settings.branch.value,
        counted(options.slots, "job")
    ));
    Ok(())
}

/// Works, and ends as with a hub that cannot be reached when the hub is lost for now: a service is started
/// again then, as it is not when its configuration is wrong.
fn work(
    options: Options,
    poll: Option<Duration>,
    args: &CommonArgs,
    context: &mut Context,
) -> Result<Summary, CliError> {
    let goes_on = !options.once && options.job.is_none();
    attempt(options, poll, args, context).map_err(|error| match goes_on && error.may_come_back {
        true => CliError { exit: Exit::Unreachable, ..error },
        false => error,
    })
}

fn attempt(
    options: Options,
    poll: Option<Duration>,
    args: &CommonArgs,
    context: &mut Context,
) -> Result<Summary, CliError> {
    if context.is_dry_run() {
        return Err(CliError::new(
            Code::OptionConflict,
            "a worker has no dry run, because it would have to run the jobs",
        )
        .fact("option", "--dry-run")
        .fact("command", "worker run")
        .hint("see what it would claim with `git muster job claim --dry-run`"));
    }
    if context.has_guards() {
        let why = "a worker does not support `--if-lock`, because it must always report its jobs; nothing was claimed";
        return Err(CliError::conflict("--if-lock", "worker run", why)
            .hint("hold the lock instead with `git muster lock run NAME -- git muster job run ...`"));
    }
    let me = context.me()?;
    let is_remote = context.ledger()?.is_remote();
    let location = context.settings.hub()?;
    let push_limit = match args.push_limit {
        Some(Limit(limit)) => limit,
        None => location.is_forge().then_some(PushLimit::FORGE),
    };
    let place = context.place().map_err(CliError::nothing_written)?;
    let ledger = context.open(false)?;
    let interval = args.interval.unwrap_or(BEAT_INTERVAL).max(Duration::from_secs(1));
    let keeps = args.interval.is_none() && (options.once || options.job.is_some());
    let hub = WorkerHub::new(ledger, place, me, (interval, keeps), is_remote && context.is_read());
    let poll = poll.unwrap_or(if is_remote { POLL_REMOTE } else { POLL_LOCAL });
    let options = Options { poll: poll.max(Duration::from_millis(10)), push_limit, ..options };
    let worked = Dispatcher::new(hub, options, &context.output).and_then(Dispatcher::work);
    worked.map_err(|error| context.with_advice(error.into()))
}

fn options(args: &CommonArgs, context: &mut Context) -> Result<Options, CliError> {
    let allow = match (args.allow_any, args.allow.as_slice()) {
        (true, _) => Allow::Any,
        (false, []) => {
            return Err(CliError::new(
                Code::AllowListMissing,
                "no commands are allowed on this server; nothing was claimed",
            )
            .hint("allow commands with `--allow '/srv/ci/build'`, or any command with `--allow-any` (trusts everyone who can write to the hub)"));
        }
        (false, patterns) => Allow::These(patterns.to_vec()),
    };
    for name in &args.mask {
        let value = crate::machine::environment::variable(name).unwrap_or_default();
        let mut lines = value.lines().filter(|line| line.len() >= SECRET_BYTES_MIN).peekable();
        if lines.peek().is_none() || lines.any(|line| line.len() > SECRET_BYTES_MAX) {
            let why = format!(
                "cannot mask `{}` (`--mask`): the variable has no line of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes; nothing was claimed",
                name.escape_debug()
            );
            return Err(CliError::new(Code::ValueInvalid, why)
                .fact("field", "mask")
                .fact("given", name.as_str()));
        }
    }
    let me = context.acting()?;
    context.place_to_stay()?;
    let folder = artifact::folder(args.artifacts_dir.as_ref(), &me, context)?;
    let place = artifact::place_of(&me, context)?;
    let keep = ArtifactStore {
        folder,
        url: args.artifacts_url.as_ref().map(|url| format!("{}/{place}", url.trim_end_matches('/'))),
        copy_bytes_max: u64::from(args.copy_max) * 1024,
        leaves_originals: args.keep,
    };
    Ok(Options {
        source: args.source.as_deref().map(artifact::source_text).transpose()?,
        keep,
        tags: args.tag_builds.map(usize::from),
        slots: 1,
        poll: POLL_LOCAL,
        labels: args.labels.clone(),
        allow,
        job: None,
        once: false,
        exit_when_idle: None,
        drain: args.drain,
        grace: args.grace,
        environment: args.environment.iter().chain(&args.mask).cloned().collect(),
        masked: args.mask.clone(),
        hub: (context.settings.hub()?.shown(), context.settings.branch.value.clone()),
        log_bytes_max: usize::try_from(args.log_max).unwrap_or(LOG_BYTES_MAX / 1024) * 1024,
        place,
        folder: args.work_dir.clone(),
        keeps_folders: args.keep,
        push_limit: None,
        free_bytes_min: args.free_min.saturating_mul(1 << 20),
    })
}

impl Reporter for Output {
    fn say(&self, words: &str) {
        Self::say(*self, words);
    }
    fn warn(&self, words: &str) {
        Self::warn(*self, words);
    }
    fn words(&self, refusal: &Refusal) -> String {
        crate::cli::words::sentence(refusal)
    }
}

impl From<WorkerError> for CliError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Refused(refusal) => refusal.into(),
            WorkerError::Ledger(error) => error.into(),
            WorkerError::AlreadyRunning(ref server) => {
                let hint = format!(
                    "inspect it with `git muster worker show {server}`; to run more than one job at a time, start it with `--jobs N`"
                );
                Self::new(Code::WorkerRunning, error.to_string()).fact("server", server.as_str()).hint(hint)
            }
            WorkerError::Contended(_) => Self::new(Code::Contended, error.to_string())
                .hint("try again; `git muster worker run` without `--once` retries by itself"),
            WorkerError::StillRunning(ref path) => Self::new(Code::EarlierJobRunning, error.to_string())
                .fact("path", path.as_str())
                .hint("find running jobs with `ps -ef | grep '[g]it-muster guard'`"),
            WorkerError::Unlockable(_) => Self::new(Code::MachineFailed, error.to_string()).hint(LOCKS_HINT),
            WorkerError::File(error) => error.into(),
            WorkerError::Machine(ref detail) => {
                Self::new(Code::MachineFailed, error.to_string()).fact("detail", detail.to_string())
            }
        }
    }
}
