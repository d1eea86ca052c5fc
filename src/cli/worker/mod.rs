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
use crate::machine::clock::Deadline;
use crate::machine::environment;
use crate::worker::{
    Dispatcher, Hub, Keep, LOG_BYTES_MAX, Options, PushLimit, Report, SECRET_BYTES_MAX, SECRET_BYTES_MIN,
    Summary, WorkerError,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// What to do where no lock can be had.
const LOCKS_HINT: &str = "name a folder on a local disk by XDG_STATE_HOME; `git muster doctor folders` tries where locks can be had";

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

What may run is this server's decision, not the queue's: without --allow or --allow-any nothing \
is run. A pattern is compared word by word with a job's command; a last word * stands for all \
further arguments, whatever they are. With them come all options of the program, and most programs have one that \
runs any command: make --eval=..., dpkg-buildpackage --hook-init=..., tar, git, env, sh, python. Such a pattern \
allows everything. Give commands word for word, or a script of this server's own that takes only what it should. \
In a checkout a command also runs what the branch of the job brings along: a Makefile, debian/rules. A job that may run has all rights of \
the user that started the worker: to hold back what it does, start the worker in a container, a virtual machine \
or as a user that may do nothing else. A job starts in an empty folder of its own, or with --source in a checkout of the \
branch or commit that it names; the folder is removed afterwards. It has no input and sees PATH, HOME, \
USER, LOGNAME, SHELL, LANG, LC_ALL, TZ, TMPDIR, XDG_RUNTIME_DIR, what --env names, MUSTER_HUB, \
MUSTER_BRANCH, MUSTER_SERVER, MUSTER_JOB_ID, _TOKEN, _TYPE, _ATTEMPT, _BRANCH, _COMMIT, _NEEDS and _DESCRIPTION, and \
MUSTER_ARTIFACTS.

What it puts into the folder $MUSTER_ARTIFACTS and what matches its --produces patterns is kept, and \
named with size and SHA-256 in a manifest beside its log: `artifact list`. A job that ends well without \
what it must produce failed with missing_artifact.

SIGTERM or Ctrl-C: nothing more is claimed, and running jobs may finish within --drain; a second \
one, a second after the first or later, stops them now. What is stopped goes back to the queue, and the attempt does not count. \
Whatever ends the worker, nothing of its jobs outlives it. One look or write may take 12 s.

With --push-limit, signs of life are always sent. Of what they leave, reports of ended jobs come \
first, then claims, then what running jobs print; a report takes its log and a sign of life along in \
one push. Once the worker is to end, the last reports wait for nothing.")]
    Run(Box<RunArgs>),
    /// Let a server claim nothing more
    #[command(after_help = "Examples:
  git muster worker pause --note 'new disk' --for 2h
  git muster worker pause build3 --note 'its tests fail'")]
    Pause(PauseArgs),
    /// End the pause of a server
    #[command(after_help = "Example:\n  git muster worker resume build3")]
    Resume {
        /// The server; this one when not given
        #[arg(value_name = "SERVER")]
        name: Option<ServerName>,
    },
    /// Pause a server, and let its worker end when its jobs have
    #[command(after_help = "Example:\n  git muster worker drain build3 --note 'going out of service'

A worker that starts again while the pause holds ends at once. `worker resume` ends the pause.")]
    Drain(PauseArgs),
    /// List the servers: signs of life, what they work on, pauses
    #[command(
        after_help = "Example:\n  git muster worker list --json | jq -r '.[] | select(.paused) | .server'"
    )]
    #[command(aliases = ["ls", "ps"])]
    List,
    /// Show one server: what it works on, what it ended last, what it could claim now
    #[command(after_help = "Examples:\n  git muster worker show\n  git muster worker show build3 --json")]
    #[command(aliases = ["status", "describe"])]
    Show {
        /// The server; this one when not given
        #[arg(value_name = "SERVER")]
        name: Option<ServerName>,
    },
}

// Which server is paused, why and for how long.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The server; this one when not given
    #[arg(value_name = "SERVER")]
    pub name: Option<ServerName>,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// For how long; without it until `worker resume`
    #[arg(long = "for", value_name = "SPAN", value_parser = input::span)]
    pub span: Option<Duration>,
}

// How a worker works.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// How many jobs to run at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// How often to look at the queue [default: 1s on this machine, 10s over a network]
    #[arg(long, value_name = "SPAN", value_parser = input::span)]
    pub poll: Option<Duration>,
    /// Claim once, run what was claimed, and end; exit code 3 when there is nothing, 4 while somebody holds the lock `job_assignment`
    #[arg(long)]
    pub once: bool,
    /// Run this job and end
    #[arg(long, value_name = "ID")]
    pub job: Option<JobId>,
    /// End with the exit code of the last job
    #[arg(long)]
    pub reflect_exit_status: bool,
    /// End after this long without a job
    #[arg(long, value_name = "SPAN", value_parser = input::span)]
    pub exit_when_idle: Option<Duration>,
    /// What is common with `job run`.
    #[command(flatten)]
    pub common: CommonArgs,
}

// What `worker run` and `job run` have in common.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Run commands that match this pattern, such as '/srv/ci/build' (can be repeated); a * lets through
    /// whatever stands there, options that run any command too
    #[arg(long, value_name = "PATTERN")]
    pub allow: Vec<AllowPattern>,
    /// Run every command that anybody who can write to the hub asks for
    #[arg(long, conflicts_with = "allow")]
    pub allow_any: bool,
    /// A label this server has besides those it joined with, which nobody else sees (can be repeated)
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// How often to give a sign of life; a server is taken for lost after a good four times that
    /// [default: 30s]
    #[arg(long, value_name = "SPAN", value_parser = input::span)]
    pub interval: Option<Duration>,
    /// How long running jobs may go on after SIGTERM
    #[arg(long, value_name = "SPAN", value_parser = input::span, default_value = "10m")]
    pub drain: Duration,
    /// How long a job has between SIGTERM and SIGKILL when it is stopped; less if its time-out is
    /// short
    #[arg(long, value_name = "SPAN", value_parser = input::span, default_value = "10s")]
    pub grace: Duration,
    /// Let jobs see this variable too (can be repeated)
    #[arg(long = "env", value_name = "NAME")]
    pub environment: Vec<String>,
    /// Let jobs see this variable, and mask its value in their logs (can be repeated); a file that holds
    /// it is not copied to the hub, unless it is compressed or holds it in another form
    #[arg(long, value_name = "NAME")]
    pub mask: Vec<String>,
    /// How much of a job's log is kept, in KiB; of more the middle is cut
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(4..=16_384))]
    pub log_max: u32,
    /// The repository that jobs work on: one that names a branch or a commit starts in a checkout of it
    #[arg(long, value_name = "PATH|URL", env = "MUSTER_SOURCE")]
    pub source: Option<String>,
    /// Tag good builds of jobs of type build in the source, and keep this many tags of a branch
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20", requires = "source", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub tag_builds: Option<u16>,
    /// Where to keep what jobs make [default: git-muster/artifacts in the user's data]
    #[arg(long, value_name = "FOLDER", env = "MUSTER_ARTIFACTS_DIR")]
    pub artifacts_dir: Option<PathBuf>,
    /// What the address of that folder is for others, for the manifests
    #[arg(long, value_name = "URL")]
    pub artifacts_url: Option<String>,
    /// Copy files of up to this many KiB to the hub as well, 4096 KiB of an attempt at most
    #[arg(long, value_name = "KIB", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub copy_max: u32,
    /// Where to make the folders of jobs [default: git-muster/work in the user's cache]
    #[arg(long, value_name = "FOLDER")]
    pub work_dir: Option<PathBuf>,
    /// Leave the folders of jobs until the worker starts again
    #[arg(long)]
    pub keep: bool,
    /// Send at most N pushes in a SPAN, signs of life among them; `none`: as many as there are
    /// [default: 6/1m on a forge such as github.com, else none]
    #[arg(long, value_name = "N/SPAN", value_parser = push_limit)]
    pub push_limit: Option<Limit>,
    /// Claim nothing while less than this is free where jobs run, in MiB
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

Claims the next job or the one that is named, runs it as `worker run` does, reports how it ended, and \
ends with its exit code. Exit code 3: there is nothing to claim; 5: the job was taken over or called \
off; 124: it took too long; 143: it was stopped and is back in the queue. A job may end with these \
itself; its record tells: `job show ID`.")]
pub struct JobRunArgs {
    /// One job in particular
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
        source.probe(Deadline::after(context.settings.timeout.value)).map_err(|error| {
            CliError::new(Code::SettingInvalid, format!("{error}; nothing was claimed"))
                .fact("name", "source")
                .fact("why", error.to_string())
                .hint("give the address of your sources with `--source`, or start the worker without it")
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
            format!("ended: {completed} completed, {failed} failed, {cancelled}{returned} back in the queue")
        },
    )
}

fn nothing() -> CliError {
    CliError::new(Code::NothingToClaim, "there is no job to claim that may run here")
        .hint("see what waits with `git muster job list --status queued` and `git muster job explain ID`")
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
            "a worker has no dry run: it would have to run the jobs",
        )
        .fact("option", "--dry-run")
        .fact("command", "worker run")
        .hint("see what it would claim with `git muster job claim --dry-run`"));
    }
    if context.has_guards() {
        let why = "a worker reports its jobs whoever holds a lock: `--if-lock` has no place here; nothing was claimed";
        return Err(CliError::conflict("--if-lock", "worker run", why)
            .hint("hold the lock around it with `git muster lock run NAME -- git muster job run ...`"));
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
    let hub = Hub::new(ledger, place, me, (interval, keeps));
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
                "nothing says which commands may run on this server; nothing was claimed",
            )
            .hint("name them with `--allow '/srv/ci/build'`, or trust everybody who can write to the hub with `--allow-any`"));
        }
        (false, patterns) => Allow::These(patterns.to_vec()),
    };
    for name in &args.mask {
        let value = crate::machine::environment::variable(name).unwrap_or_default();
        let mut lines = value.lines().filter(|line| line.len() >= SECRET_BYTES_MIN).peekable();
        if lines.peek().is_none() || lines.any(|line| line.len() > SECRET_BYTES_MAX) {
            let why = format!(
                "`--mask {}` names a variable without a line of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, which cannot be masked; nothing was claimed",
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
    let keep = Keep {
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

impl Report for Output {
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
                    "see it with `git muster worker show {server}`; begun with `--jobs N` it does more than one job at a time"
                );
                Self::new(Code::WorkerRunning, error.to_string()).fact("server", server.as_str()).hint(hint)
            }
            WorkerError::Contended(_) => Self::new(Code::Contended, error.to_string())
                .hint("try again; `git muster worker run` without `--once` goes on by itself"),
            WorkerError::StillRunning(ref path) => Self::new(Code::EarlierJobRunning, error.to_string())
                .fact("path", path.as_str())
                .hint("find what still runs with `ps -ef | grep '[g]it-muster guard'`"),
            WorkerError::Unlockable(_) => Self::new(Code::MachineFailed, error.to_string()).hint(LOCKS_HINT),
            WorkerError::File(error) => error.into(),
            WorkerError::Machine(ref detail) => {
                Self::new(Code::MachineFailed, error.to_string()).fact("detail", detail.to_string())
            }
        }
    }
}
