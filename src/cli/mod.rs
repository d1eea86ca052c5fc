//! The command line: builds everything, calls one operation, prints.
//!
//! One file per noun: its arguments, what each verb does, how it is shown. Nothing below this
//! layer prints or knows a command.
//!
//! Only the noun that was named is built (`defer`). A doc comment on its arguments would then take
//! the place of the one on its variant in the help, so arguments have a plain comment or none.

mod archive;
mod artifact;
mod ask;
mod broken;
mod checkout;
mod choices;
mod complete;
mod config;
mod context;
mod demo;
mod doctor;
mod error;
mod exit;
mod far_side;
mod fence;
mod fsck;
mod generate;
mod gone;
mod guard;
mod health;
mod heartbeat;
mod hold;
mod import;
mod init;
mod input;
mod job;
mod lock;
mod message;
mod once;
mod op;
mod output;
mod queue;
mod rollback;
mod servers;
mod settings;
mod standstill;
mod status;
mod stronger;
mod style;
mod table;
mod waiting;
mod which;
mod whole;
mod words;
mod worker;

pub use exit::Exit;
pub use generate::{audit_rules, command_reference, error_reference, schemas};
#[cfg(any(test, fuzzing))]
pub(crate) use settings::UserConfig;

use crate::domain::finding::Severity;
use crate::domain::time::tell_times_as;
use crate::machine::{asked, environment, notice, zone};
use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use context::Context;
use error::CliError;
use output::Output;
use std::io::{self, Write as _};

/// Coordinate build servers through JSON files in a shared Git repository
#[derive(Debug, Parser)]
#[command(
    name = "git-muster",
    bin_name = "git muster",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "One machine, nothing else needed:
  git muster init
  git muster join --as build1
  git muster job add --type test -- make test
  git muster job claim

Several machines (the hub is any bare repository that all of them can push to):
  git muster init ssh://git@hub.example/srv/hub.git
  git muster join ssh://git@hub.example/srv/hub.git --as build1
  git muster heartbeat

Exit codes: 0 done, 1 failed, 2 usage, 3 no result, 4 refused,
  5 claim or lease lost, 7 hub unreachable, 9 outcome unknown, 70 bug,
  75 temporary failure, 78 configuration.
  Ended by a signal (in a shell 128 plus its number): nothing was written."
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Hub to use: path or URL [otherwise: MUSTER_HUB, the current clone, the hub set by `join`, the
    /// per-user hub]
    #[arg(long, global = true, value_name = "PATH|URL", value_parser = NonEmptyStringValueParser::new())]
    pub hub: Option<String>,
    /// Hub branch; only valid before the command name [otherwise: MUSTER_BRANCH; default: main]
    #[arg(long, value_name = "BRANCH", value_parser = NonEmptyStringValueParser::new())]
    pub branch: Option<String>,
    /// Hub branch; valid anywhere on the command line [otherwise: MUSTER_BRANCH; default: main]
    #[arg(long, global = true, value_name = "BRANCH", value_parser = NonEmptyStringValueParser::new())]
    pub hub_branch: Option<String>,
    /// Act as this server [otherwise: MUSTER_SERVER, SERVER_ID, .build_server_id, /etc/build_server_id, the
    /// name set by `join`]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub server: Option<String>,
    /// Print results, errors, warnings and notes as JSON; an empty list as []
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only results, warnings and errors; no error for exit code 3
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Also print the hub, the branch and the commit that was written
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Show what would be written; write nothing to the hub
    #[arg(short = 'n', long, global = true)]
    pub dry_run: bool,
    /// Time limit for one write; only valid before the command name [otherwise: MUSTER_TIMEOUT; default:
    /// 30s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Time limit for one write; valid anywhere on the command line [otherwise: MUSTER_TIMEOUT; default:
    /// 30s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub hub_timeout: Option<String>,
    /// Write only if this lock is held with this token (can be repeated)
    #[arg(long, global = true, value_name = "NAME=TOKEN")]
    pub if_lock: Vec<String>,
}

/// The nouns.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Create a hub: per-user, as a bare repository at a path, or as a branch at a URL
    Init(init::InitArgs),
    /// Register this machine as a server of a hub
    Join(servers::JoinArgs),
    /// List, show and remove registered servers
    #[command(subcommand, visible_alias = "server")]
    Servers(servers::ServersCommand),
    /// Send heartbeats for this server
    Heartbeat(heartbeat::HeartbeatArgs),
    /// Set and show what servers are working on
    #[command(subcommand)]
    Status(status::StatusCommand),
    /// Add, claim, run and inspect jobs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Pause, resume and drain the queue; show statistics
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Run jobs on this machine
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
    /// List, verify, fetch and prune the artifacts of jobs
    #[command(subcommand)]
    Artifact(artifact::ArtifactCommand),
    /// List and tag good builds to roll back to, in the source repository
    #[command(subcommand)]
    Rollback(rollback::RollbackCommand),
    /// Acquire, renew and release named locks with leases and fencing tokens
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Coordinate one-time tasks: one server does the task, the others skip it
    #[command(subcommand)]
    Once(once::OnceCommand),
    /// Reject superseded lock tokens at resources outside the hub
    #[command(subcommand)]
    Fence(fence::FenceCommand),
    /// Send, read and acknowledge messages between servers
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// Check the health of the fleet: exit code 0 ok, 1 warning, 2 critical, 3 unknown
    Health(health::HealthArgs),
    /// Diagnose this machine, the current clone, the hub cache and the hub
    Doctor(doctor::DoctorArgs),
    /// Check the integrity of the hub (with --history, of every commit): exit code 0 no errors, 1 errors
    Fsck(fsck::FsckArgs),
    /// Import a hub of the legacy scripts: report and fix damaged documents
    Import(import::ImportArgs),
    /// Resolve writes whose outcome is unknown
    #[command(subcommand)]
    Op(op::OpCommand),
    /// Move finished jobs and read messages out of the live documents
    Archive(archive::ArchiveArgs),
    /// Show the configuration and the source of each value
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Run a demonstration: one hub, three servers working concurrently, and the resulting history
    Demo(demo::DemoArgs),
    /// Print the completion script for a shell
    Completions(generate::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands to a directory
    Man(generate::ManArgs),
    /// Run one job for a worker; no process of the job outlives this one
    #[command(hide = true, name = crate::machine::guard::COMMAND)]
    Guard(guard::GuardArgs),
    /// Prepare the directory of a job for a worker
    #[command(hide = true, name = crate::worker::CHECKOUT_COMMAND)]
    Checkout(checkout::CheckoutArgs),
    /// Print what can come next on a command line, for completion scripts
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
    /// Print generated documents of the project
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// What `health` answers when it cannot judge.
const UNKNOWN_HEALTH: u8 = health::exit_code(Some(Severity::Unknown));

/// Runs the command line of this process and returns its exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    let output = Output { json: cli.global.json, quiet: cli.global.quiet, dry_run: cli.global.dry_run };
    let target = match &cli.command {
        Command::Init(args) => args.target.as_ref(),
        Command::Join(args) => args.target.as_ref(),
        // Until the new hub is written, all is about the old one.
        Command::Import(args) => args.source.as_ref(),
        _ => None,
    };
    // `join` is told who this is otherwise.
    let is_me = !matches!(cli.command, Command::Health(_) | Command::Join(_));
    output::begun_with(&cli.global, target, is_me);
    notice::tell_to(if output.json { output::while_waiting_as_json } else { output::while_waiting });
    if !output.json {
        tell_times_as(zone::show);
    }
    // To a monitor, a fleet that cannot be judged is unknown, whatever the reason.
    let code_of_errors = matches!(cli.command, Command::Health(_)).then_some(UNKNOWN_HEALTH);
    // What guards a job reads no repository.
    if !matches!(cli.command, Command::Guard(_)) {
        asked::is_one_command();
        let goes_on = matches!(&cli.command, Command::Worker(command) if command.goes_on());
        standstill::watch(output, code_of_errors, goes_on);
    }
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            let error = error.when_asked();
            if error.exit == Exit::AskedToEnd {
                output.error(&error);
                asked::end();
            }
            let code = code_of_errors.unwrap_or_else(|| error.exit.code());
            output.error_with(&error, code);
            code
        }
    }
}

/// Words that a tip may name: nouns, and verbs that write nothing. What is spelt alike is not what was
/// meant, and `steal` is a bad guess for `status`.
const HARMLESS: &[&str] = &[
    "artifact",
    "check",
    "compare",
    "completions",
    "config",
    "dead",
    "doctor",
    "explain",
    "fence",
    "fsck",
    "health",
    "help",
    "job",
    "last-good",
    "list",
    "lock",
    "logs",
    "man",
    "message",
    "once",
    "op",
    "queue",
    "rollback",
    "servers",
    "server",
    "show",
    "stats",
    "status",
    "thread",
    "verify",
    "wait",
    "where",
    "worker",
];

/// The error without tips that do harm.
fn without_harm(mut error: clap::Error) -> clap::Error {
    let tips = match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(tips)) => tips,
        Some(ContextValue::String(tip)) => vec![tip],
        _ => return error,
    };
    // The best guess comes last: where that one writes, the others are only worse.
    let is_harmless = |tip: &String| HARMLESS.contains(&tip.as_str());
    let is_best_told = tips.last().is_some_and(is_harmless);
    let tips: Vec<String> = tips.into_iter().filter(is_harmless).collect();
    if is_best_told {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(tips));
    } else if let Some(ContextValue::StyledStrs(others)) = error.get(ContextKind::Suggested)
        && others.is_empty()
    {
        // Where no tip is left it would print the blank line before the first.
        error.remove(ContextKind::Suggested);
    }
    error
}

fn usage(error: clap::Error) -> u8 {
    let error = without_harm(error);
    let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
    let text = error.render().to_string();
    if error.use_stderr() && environment::arguments().any(|argument| argument == "--json") {
        let output = Output { json: true, quiet: false, dry_run: false };
        output.error(&CliError::usage(&text));
        return code.code();
    }
    let safe = output::clean_lines(&text);
    // An error repeats what was given, and a script may have taken that from a hub. Printing help
    // to a closed pipe is nobody's loss.
    drop(if safe == text { error.print() } else { writeln!(io::stderr().lock(), "{}", safe.trim_end()) });
    code.code()
}

fn run(cli: &Cli) -> Result<u8, CliError> {
    match &cli.command {
        Command::Completions(args) => return done(generate::completions(args)),
        Command::Man(args) => return done(generate::man(args)),
        Command::Complete(args) => return done(complete::run(args)),
        Command::Generate(args) => return done(generate::generate(args)),
        Command::Guard(args) => return guard::run(args),
        Command::Checkout(args) => return checkout::run(args),
        // What is wrong with the settings is one of the things that it tells.
        Command::Doctor(args) => return doctor::run(args, &cli.global),
        Command::Demo(args) => return done(demo::run(args, &cli.global).map_err(CliError::from)),
        _ => {}
    }
    let mut context = match &cli.command {
        Command::Join(_) => Context::to_join(&cli.global)?,
        _ => Context::new(&cli.global)?,
    };
    let context = &mut context;
    if cli.global.server.is_some()
        && let Some(filter) = filter_by_server(&cli.command)
    {
        context.output.say(&format!("`--server` says who asks and leaves nothing out; {filter}"));
    }
    match &cli.command {
        Command::Init(args) => done(init::run(args, &cli.global, context)),
        Command::Join(args) => done(servers::join(args, &cli.global, context)),
        Command::Servers(command) => done(servers::run(command, context)),
        Command::Heartbeat(args) => done(heartbeat::run(args, context)),
        Command::Status(command) => done(status::run(command, context)),
        Command::Job(command) => job::run(command, context),
        Command::Queue(command) => done(queue::run(command, context)),
        Command::Worker(command) => worker::run(command, context),
        Command::Artifact(command) => artifact::run(command, context),
        Command::Rollback(command) => done(rollback::run(command, context)),
        Command::Lock(command) => lock::run(command, context),
        Command::Once(command) => done(once::run(command, context)),
        Command::Fence(command) => fence::run(command, context),
        Command::Message(command) => done(message::run(command, context)),
        Command::Health(args) => health::run(args, context),
        Command::Fsck(args) => fsck::run(args, context),
        Command::Import(args) => import::run(args, context),
        Command::Op(command) => done(op::run(command, context)),
        Command::Archive(args) => done(archive::run(args, context)),
        Command::Config(command) => done(config::run(command, context)),
        Command::Doctor(_)
        | Command::Demo(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Complete(_)
        | Command::Guard(_)
        | Command::Checkout(_)
        | Command::Generate(_) => Ok(Exit::Done.code()),
    }
}

/// What to type instead of `--server` where a list is to be of one server alone.
fn filter_by_server(command: &Command) -> Option<&'static str> {
    match command {
        Command::Job(job::JobCommand::List(args)) if args.assigned_to.is_none() => {
            Some("`--assigned-to NAME` lists the jobs of one")
        }
        Command::Status(status::StatusCommand::List) => Some("`git muster status show NAME` shows one"),
        Command::Worker(worker::WorkerCommand::List) => Some("`git muster worker show NAME` shows one"),
        Command::Servers(servers::ServersCommand::List) => Some("`git muster servers show NAME` shows one"),
        _ => None,
    }
}

fn done(result: Result<(), CliError>) -> Result<u8, CliError> {
    result.map(|()| Exit::Done.code())
}
