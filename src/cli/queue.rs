//! `git muster queue`: the queue as a whole.

use super::broken;
use super::context::Context;
use super::error::CliError;
use super::input;
use super::output::counted;
use super::table::{facts, table};
use super::waiting::{self, FOR_JOBS};
use crate::app::commands::pause::{EndPause, SetPause};
use crate::app::flows::drain::{DrainFlow, Event, Step, at_work};
use crate::app::queries::queue::{Holding, Pauses, Statistics};
use crate::domain::code::Code;
use crate::domain::pause::{Pause, Paused};
use crate::domain::time::{SPAN_MAX, show_span};
use crate::machine::clock;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::time::Duration;

/// The verbs of `queue`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum QueueCommand {
    /// Stop new claims, for all jobs or only for those that require a label
    #[command(after_help = "Examples:
  git muster queue pause --note 'the disk of the cache is full' --for 2h
  git muster queue pause --label pool=fast")]
    Pause(PauseArgs),
    /// Allow claims again
    #[command(
        after_help = "Examples:\n  git muster queue resume\n  git muster queue resume --label pool=fast"
    )]
    Resume {
        /// Label whose pause to end [default: the pause of the whole queue]
        #[arg(long)]
        label: Option<String>,
    },
    /// Pause, then wait until no job is in progress
    #[command(after_help = "Example:\n  git muster queue drain --note 'moving the hub' --wait 2h")]
    Drain {
        /// How it is paused.
        #[command(flatten)]
        pause: PauseArgs,
        /// Maximum time to wait
        #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "1h")]
        wait: Duration,
    },
    /// List all pauses
    #[command(after_help = "Example:\n  git muster queue list --json | jq -r '.[].id'")]
    #[command(alias = "ls")]
    List,
    /// Show job counts, wait times, run times and the failure rate
    #[command(after_help = "Examples:
  git muster queue stats --since 1d
  git muster queue stats --json | jq .failure_rate

Archived jobs are included. The wait time runs from adding the job to the start of its last \
attempt; p95 is the 95th percentile. A value without data is omitted, and null with --json.")]
    Stats {
        /// Only jobs added within this time [default: all]
        #[arg(long, value_name = "DURATION", value_parser = input::span)]
        since: Option<Duration>,
    },
}

// What is paused, why and for how long.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Only jobs that require this label
    #[arg(long)]
    pub label: Option<String>,
    /// Reason to show to users
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Duration of the pause [default: until `queue resume`]
    #[arg(long = "for", value_name = "DURATION", value_parser = input::span)]
    pub span: Option<Duration>,
}

fn what(label: Option<&String>) -> Paused {
    label.map_or(Paused::Queue, |label| Paused::Label(label.clone()))
}

/// A verb of `queue`.
///
/// # Errors
/// When it is refused or the hub cannot be used.
pub(super) fn run(command: &QueueCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        QueueCommand::Pause(args) => set(args, context),
        QueueCommand::Resume { label } => end_pause(what(label.as_ref()), context),
        QueueCommand::Drain { pause: args, wait } => drain(args, *wait, context),
        QueueCommand::List => list(context),
        QueueCommand::Stats { since } => statistics(*since, context),
    }
}

fn set(args: &PauseArgs, context: &mut Context) -> Result<(), CliError> {
    set_pause(what(args.label.as_ref()), (args.note.as_ref(), args.span), false, context)
}

/// Pauses something.
///
/// # Errors
/// When it is refused or the hub cannot be used.
pub(super) fn set_pause(
    what: Paused,
    (note, span): (Option<&String>, Option<Duration>),
    drain: bool,
    context: &mut Context,
) -> Result<(), CliError> {
    let verb = pause(what, (note, span), drain, context)?;
    write_pause(&verb, context)
}

fn pause(
    what: Paused,
    (note, span): (Option<&String>, Option<Duration>),
    drain: bool,
    context: &Context,
) -> Result<SetPause, CliError> {
    let until = span.map(|span| context.now().plus(span.min(SPAN_MAX)));
    Ok(SetPause { server: context.me()?, what, note: note.cloned(), until, drain })
}

/// Pauses, and says so.
fn write_pause(verb: &SetPause, context: &mut Context) -> Result<(), CliError> {
    let SetPause { until, drain, .. } = verb;
    let pause = context.write(verb)?.answer;
    if let Some(before) =
        pause.get("replaced").and_then(|before| serde_json::from_value::<Pause>(before.clone()).ok())
    {
        let now = context.now();
        context
            .output
            .warn(&format!("it was already paused, {}; that pause is replaced", before.describe(now)));
    }
    context.output.confirm("pause", &pause, || {
        let until = until.map_or("until it is resumed".to_owned(), |until| format!("until {until}"));
        let then = if *drain { ", then its worker exits" } else { "" };
        format!("{} is paused {until}; jobs in progress continue{then}", verb.what.named())
    })
}

/// Ends a pause.
///
/// # Errors
/// When there is none, or the hub cannot be used.
pub(super) fn end_pause(what: Paused, context: &mut Context) -> Result<(), CliError> {
    let verb = EndPause { server: context.me()?, what };
    let ended = context.write(&verb)?.answer;
    context.output.confirm("pause", &ended, || format!("{} is no longer paused", verb.what.named()))?;
    if ended.get("drain").and_then(Value::as_bool) == Some(true) {
        context.output.say("if the worker exited during the pause, start it again");
    }
    Ok(())
}

fn drain(args: &PauseArgs, wait: Duration, context: &mut Context) -> Result<(), CliError> {
    let pause = pause(what(args.label.as_ref()), (args.note.as_ref(), args.span), false, context)?;
    let mut flow = DrainFlow::new(pause, waiting::patience(wait, FOR_JOBS, context)?);
    let mut event = Event::Begin;
    loop {
        event = match flow.next(event, clock::since_boot()) {
            Step::Pause(pause) => {
                write_pause(&pause, context)?;
                if context.is_dry_run() {
                    return Ok(());
                }
                Event::Paused
            }
            Step::Look => {
                let label = args.label.as_ref();
                Event::Seen(context.read(false, |snapshot| Ok(at_work(snapshot, label)?))?)
            }
            Step::Wait(pause) => {
                waiting::rest(pause);
                Event::Waited
            }
            Step::Done => {
                context.output.say("no job is in progress");
                return Ok(());
            }
            Step::TimeUp(held) => {
                let why = format!("{} still in progress; the queue stays paused", counted(held, "job"));
                return Err(CliError::new(Code::WaitExpired, why)
                    .fact("kind", "pause")
                    .fact("waited_seconds", wait.as_secs())
                    .after_waiting(Some(wait))
                    .hint("list them with `git muster job list`"));
            }
        };
    }
}

fn list(context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let Holding { items: holding, unreadable } = context.ask(&Pauses {})?;
    let is_empty = holding.is_empty() && unreadable.is_empty();
    let values = holding.iter().map(|pause| pause.raw());
    let values = values.chain(unreadable.iter().map(|one| one.shown.clone()));
    let output = context.output;
    output.list("pause", values, || {
        if is_empty {
            output.say("no pauses");
            return String::new();
        }
        let readable = holding.iter().map(|pause| vec![pause.id.clone(), pause.describe(now)]);
        let rows: Vec<Vec<String>> =
            readable.chain(unreadable.iter().map(|one| broken::row(&one.trouble, &[]))).collect();
        table(&["SCOPE", "PAUSED BY"], &rows)
    })
}

fn statistics(since: Option<Duration>, context: &mut Context) -> Result<(), CliError> {
    let since = since.map(|span| context.now().before(span));
    let figures = context.ask(&Statistics { since })?;
    context.output.object("queue_statistics", &figures, || {
        // What nobody measured is left out.
        let span = |seconds: Option<u64>| seconds.map(|seconds| show_span(Duration::from_secs(seconds)));
        facts(&[
            ("queued", Some(figures.queued.to_string())),
            ("running", Some(figures.running.to_string())),
            ("completed", Some(figures.completed.to_string())),
            ("failed", Some(figures.failed.to_string())),
            ("dead", Some(figures.dead_lettered.to_string())),
            ("cancelled", Some(figures.cancelled.to_string())),
            ("average wait", span(figures.avg_wait_seconds)),
            ("p95 wait", span(figures.p95_wait_seconds)),
            ("average run time", span(figures.avg_execution_seconds)),
            ("failure rate", figures.failure_rate.map(|rate| format!("{:.1} %", rate * 100.0))),
        ])
    })
}
