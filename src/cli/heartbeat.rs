//! `git muster heartbeat`: signs of life.

use super::artifact::place_of;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::input;
use super::servers::joined_elsewhere;
use crate::app::commands::Envelope;
use crate::app::commands::beat::{BeatAnswer, SendBeat};
use crate::app::commands::job_step::Step;
use crate::app::hubs;
use crate::app::session::Session;
use crate::app::submit;
use crate::domain::heartbeat::INTERVAL_ASSUMED;
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, ServerName, check_branch};
use crate::domain::time::SPAN_MAX;
use crate::ledger::LedgerError;
use crate::machine::clock::{self, Deadline};
use crate::machine::environment::variable;
use crate::machine::signals::Stop;
use crate::worker::Gone;
use clap::{Args, Subcommand};
use serde_json::json;
use std::time::Duration;

/// How soon `heartbeat run` notices that it is asked to end.
const STOP_LATENCY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  * * * * *  git muster heartbeat -q                  # a line for cron
  git muster heartbeat run --interval 60              # until SIGTERM
  HEARTBEAT_PUSH_EVERY=5 git muster heartbeat    # push each fifth beat only

A beat goes to the server's own branch, heartbeat-<server>, which holds one commit that is \
replaced: no history grows and nobody is contended. HEARTBEAT_BRANCH names another branch (1 or \
auto: heartbeat-<server>); --on-main puts the beat into the history of the main branch."
)]
pub struct HeartbeatArgs {
    /// One of the further verbs; without it, one beat.
    #[command(subcommand)]
    pub command: Option<HeartbeatCommand>,
    /// How one beat is made.
    #[command(flatten)]
    pub beat: BeatArgs,
}

// How a beat is made.
#[derive(Debug, Clone, Default, Args)]
pub struct BeatArgs {
    /// How often this server means to beat; readers judge it by that
    #[arg(long, value_name = "SPAN", value_parser = input::span)]
    pub interval: Option<Duration>,
    /// Put the beat into the main branch, as the first scripts did
    #[arg(long)]
    pub on_main: bool,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum HeartbeatCommand {
    /// Beat until SIGTERM
    #[command(after_help = "Example:\n  git muster heartbeat run --interval 60")]
    Run(BeatArgs),
    /// Reduce the history of a heartbeat branch to one commit
    #[command(after_help = "Examples:
  git muster heartbeat squash --server build2 --backup
  git muster heartbeat squash --branch heartbeat-build2 --dry-run")]
    Squash {
        /// The branch; the one of `--server` or of this server when not given
        #[arg(long, value_name = "BRANCH")]
        branch: Option<String>,
        /// Keep what was there as backup/<branch>-<time>
        #[arg(long)]
        backup: bool,
    },
}

/// One beat, or a further verb.
///
/// # Errors
/// When the beat did not reach the hub.
pub(super) fn run(args: &HeartbeatArgs, context: &mut Context) -> Result<(), CliError> {
    if let Some(HeartbeatCommand::Run(beat)) = &args.command {
        return until_stopped(beat, context);
    }
    context.settle_branch().map_err(CliError::nothing_written)?;
    match &args.command {
        None | Some(HeartbeatCommand::Run(_)) => once(&args.beat, context),
        Some(HeartbeatCommand::Squash { branch, backup }) => {
            let branch = match branch {
                Some(branch) => branch.clone(),
                None => context.me()?.heartbeat_branch(),
            };
            squash(&branch, *backup, context)
        }
    }
}

/// The branch the beats of `server` go to.
fn branch(args: &BeatArgs, server: &ServerName, context: &Context) -> Result<String, CliError> {
    let main = &context.settings.branch.value;
    if args.on_main { Ok(main.clone()) } else { named_branch(Some(server), main) }
}

/// The branch that the environment names for beats, or the server's own.
fn named_branch(server: Option<&ServerName>, main: &str) -> Result<String, CliError> {
    let branch = match variable("HEARTBEAT_BRANCH").as_deref() {
        None | Some("1" | "auto") => server.map_or(main.to_owned(), ServerName::heartbeat_branch),
        Some(named) => named.to_owned(),
    };
    check_branch(&branch)
        .map_err(|error| CliError::new(Exit::Configuration, format!("{error} (from HEARTBEAT_BRANCH)")))?;
    // Readers look on these branches only; and replacing any other would destroy what is on it.
    if branch != main && !branch.starts_with(HEARTBEAT_BRANCH_PREFIX) {
        return Err(CliError::new(
            Exit::Configuration,
            format!(
                "HEARTBEAT_BRANCH names `{branch}`, which does not begin with `{HEARTBEAT_BRANCH_PREFIX}`; no beat was sent"
            ),
        ));
    }
    Ok(branch)
}

fn push_every() -> Result<u64, CliError> {
    let Some(text) = variable("HEARTBEAT_PUSH_EVERY") else { return Ok(1) };
    text.parse().ok().filter(|every| *every > 0).ok_or_else(|| {
        CliError::new(
            Exit::Configuration,
            format!("HEARTBEAT_PUSH_EVERY is `{}`, which is no number above zero", text.escape_debug()),
        )
    })
}

/// What is wrong with the variables that say how to beat.
#[must_use]
pub(super) fn wrong_variables(main: &str) -> Vec<CliError> {
    let named = named_branch(None, main).err();
    named.into_iter().chain(push_every().err()).collect()
}

fn check_interval(args: &BeatArgs) -> Result<(), CliError> {
    match args.interval {
        Some(interval) if interval.as_secs() == 0 => {
            Err(CliError::new(Exit::Usage, "an interval must be at least 1s; no beat was sent"))
        }
        _ => Ok(()),
    }
}

fn once(args: &BeatArgs, context: &mut Context) -> Result<(), CliError> {
    let me = context.acting()?;
    check_interval(args)?;
    if crate::worker::is_at_work(&place_of(&me, context)?) {
        // A beat with another interval would change what others may conclude from the worker's.
        return context.output.confirm(
            "heartbeat",
            &json!({"server": me, "pushed": false, "worker": true}),
            || format!("the worker of `{me}` gives its signs of life; no other was sent"),
        );
    }
    let whose = context.whose(&me).map_err(CliError::nothing_written)?;
    let mut session = Session::present(&whose);
    if let Some(interval) = args.interval {
        session.interval_seconds = interval.as_secs();
    }
    let every = push_every()?;
    session.beats_kept += 1;
    if session.beats_kept < every {
        session.keep(&whose);
        let kept = session.beats_kept;
        return context.output.confirm(
            "heartbeat",
            &json!({"server": me, "pushed": false, "kept": kept, "push_every": every}),
            || format!("beat {kept} of {every} of `{me}` was not sent: HEARTBEAT_PUSH_EVERY={every}"),
        );
    }
    send(args, (&me, every), &mut session, context)
}

/// Gives back what a worker of this server that is gone had at work.
fn give_back(me: &ServerName, context: &mut Context) -> Result<(), CliError> {
    if context.is_dry_run() {
        return Ok(());
    }
    let Some(gone) = Gone::find(&place_of(me, context)?) else { return Ok(()) };
    let (place, output) = (context.place()?, context.output);
    submit::send_kept(context.ledger()?, &place, me, |words| output.say(words));
    if let Some((op, _)) = submit::kept_reports(&place, me).first() {
        return Err(CliError::new(Exit::Unknown, format!("operation {op} is not settled")));
    }
    let left = context.read(true, |snapshot| Ok(gone.left(snapshot, me)?))?;
    for step in left.steps(me) {
        match context.write(&step) {
            Ok(_) if step.step == Step::Stopped => {}
            Ok(_) => context
                .output
                .warn(&format!("job `{}` was at work when the worker of `{me}` ended: it is lost", step.job)),
            // Somebody was faster.
            Err(error) if matches!(error.exit, Exit::Refused | Exit::LeaseLost) && !error.by_hub => {}
            Err(error) => return Err(error),
        }
    }
    gone.forget();
    Ok(())
}

/// A sign of life of `me` for what one of its scripts holds; its worker gives it, if one is at work.
///
/// # Errors
/// When it did not reach the hub.
pub(super) fn for_a_claim(me: &ServerName, context: &mut Context) -> Result<(), CliError> {
    if crate::worker::is_at_work(&place_of(me, context)?) {
        return Ok(());
    }
    let (mut session, every) = (Session::present(&context.whose(me)?), push_every()?);
    deliver(&BeatArgs::default(), (me, every), &mut session, context).map(drop)
}

/// Sends one beat now, as one of `every`, and says so.
fn send(
    args: &BeatArgs,
    (me, every): (&ServerName, u64),
    session: &mut Session,
    context: &mut Context,
) -> Result<(), CliError> {
    let answer = deliver(args, (me, every), session, context)?;
    tell(me, &answer, context)
}

/// Says that a beat was sent.
fn tell(me: &ServerName, answer: &BeatAnswer, context: &mut Context) -> Result<(), CliError> {
    let (sequence, branch) = (answer.sequence, &answer.branch);
    context.output.confirm("heartbeat", &json!({"server": me, "pushed": !context.is_dry_run(), "sequence": sequence, "branch": branch, "revoked": answer.revoked}), || {
        format!("beat {sequence} of `{me}` is on branch `{branch}`")
    })
}

/// What to do about two machines under one name.
fn deliver(
    args: &BeatArgs,
    (me, every): (&ServerName, u64),
    session: &mut Session,
    context: &mut Context,
) -> Result<BeatAnswer, CliError> {
    let branch = branch(args, me, context)?;
    // As long as its server beats, nobody takes what a worker left for lost.
    if let Err(error) = give_back(me, context) {
        context.output.warn(&format!("what the worker of `{me}` left was not given back: {}", error.message));
    }
    let whose = context.whose(me)?;
    let mut beat = session.beat(me, Some(whose.system_facts()));
    // What others see is the pushes: they would take a server that pushes seldom for dead.
    beat.interval_seconds = beat.interval_seconds.saturating_mul(every).min(SPAN_MAX.as_secs());
    let verb = SendBeat { beat, branch };
    let envelope = Envelope { beat: None, ..context.envelope(me)? };
    let answer = context.write_with(&verb, &envelope)?.answer;
    if !context.is_dry_run() {
        session.beats_kept = 0;
    }
    for words in answer.made_anew() {
        context.output.warn(&words);
    }
    if let Some(why) = &answer.revoked {
        // Others took over what this session held; it must not go on as if nothing had happened.
        session.end(&whose);
        context.output.warn(&format!("the session of `{me}` had been ended by another server ({why}); its jobs went back to the queue, a new session begins"));
    }
    session.keep(&whose);
    if let Some(words) = answer.two_machines(me) {
        context.output.warn(&words);
    }
    match joined_elsewhere(me, context) {
        Ok(None) => {}
        Ok(Some(host)) => context.output.warn(&format!("`{me}` is registered by `{host}`, not by this machine; two machines under one name take each other's jobs and locks for their own: join under another name, or with `--replace` if this one takes its place")),
        // The beat was sent, whatever is learned after it.
        Err(error) => context
            .output
            .warn(&format!("nobody can tell whether it was this machine that joined as `{me}`: {}", error.message)),
    }
    Ok(answer)
}

fn until_stopped(args: &BeatArgs, context: &mut Context) -> Result<(), CliError> {
    check_interval(args)?;
    let stop = Stop::listen()?;
    let me = context.acting()?;
    let interval = Duration::from_secs(args.interval.unwrap_or(INTERVAL_ASSUMED).as_secs().max(1));
    // A machine may be up before its network is.
    while let Err(error) = context.place_to_stay() {
        let can_wait = error.may_come_back && !stop.requested();
        if can_wait {
            context.output.error(&error);
            wait(Deadline::after(interval), &stop);
        }
        if !can_wait || stop.requested() {
            // Once more would take as long as the hub has to answer.
            return Err(error.nothing_written());
        }
    }
    if crate::worker::is_at_work(&place_of(&me, context)?) {
        let why = format!("the worker of `{me}` gives its signs of life; no beat was sent");
        return Err(CliError::new(Exit::Refused, why).hint("leave that to it, or end the worker first"));
    }
    let whose = context.whose(&me)?;
    // What is said there is of the session of that hub.
    context.ledger()?.bind(hubs::id_of(&whose.hub));
    let mut session = Session::present(&whose);
    session.interval_seconds = interval.as_secs();
    let (mut has_beaten, mut is_beside_worker) = (false, false);
    while !stop.requested() {
        let next = Deadline::after(interval);
        // It may have begun since.
        if crate::worker::is_at_work(&place_of(&me, context)?) {
            if !std::mem::replace(&mut is_beside_worker, true) {
                context
                    .output
                    .say(&format!("the worker of `{me}` gives its signs of life while it is at work"));
            }
            wait(next, &stop);
            continue;
        }
        is_beside_worker = false;
        // Another process may have begun a new one since.
        session.follow(&whose);
        let sent = deliver(args, (&me, 1), &mut session, context);
        // Whether anybody reads of it is another matter.
        has_beaten |= sent.is_ok();
        match sent.and_then(|answer| tell(&me, &answer, context)) {
            Ok(()) => {}
            // The hub or the way to it has a bad moment: the next beat may get through. What was
            // right once will be right again, and who stops beating is taken for dead.
            Err(error)
                if has_beaten
                    || error.may_come_back
                    || matches!(error.exit, Exit::Unknown | Exit::Contended) =>
            {
                context.output.error(&error);
            }
            Err(error) => return Err(error),
        }
        wait(next, &stop);
    }
    context.output.say(&format!("`{me}` was asked to end and beats no longer"));
    Ok(())
}

/// Waits until `next`, or until the end is asked for.
fn wait(next: Deadline, stop: &Stop) {
    while !next.passed() && !stop.requested() {
        clock::sleep(STOP_LATENCY.min(next.left()));
    }
}

fn squash(branch: &str, backup: bool, context: &mut Context) -> Result<(), CliError> {
    check_branch(branch)?;
    if branch == context.settings.branch.value || !branch.starts_with(HEARTBEAT_BRANCH_PREFIX) {
        let why = format!(
            "`{branch}` is no heartbeat branch (`{HEARTBEAT_BRANCH_PREFIX}...`); its history was not touched"
        );
        return Err(CliError::new(Exit::Usage, why));
    }
    context.refuse_guards("the replacement of a branch")?;
    let now = context.now();
    let ledger = context.ledger()?;
    let backup = backup.then(|| format!("backup/{branch}-{}", now.compact()));
    let squashed = ledger.squash(branch, backup.as_deref(), now).map_err(|error| match error {
        LedgerError::NoBranch { branch: missing, .. } if missing == branch => {
            CliError::new(Exit::No, format!("there is no branch `{branch}` on the hub"))
                .hint("see who has sent heartbeats with `git muster servers list`")
        }
        error => error.into(),
    })?;
    context.pass_on_notes();
    let dry_run = context.is_dry_run();
    context.output.confirm("squash", &json!({"branch": branch, "commits": squashed.commits, "backup": squashed.backup, "dry_run": dry_run}), || {
        let would = if dry_run { "would be" } else { "is" };
        let kept = squashed.backup.as_ref().map_or(String::new(), |backup| format!("; what was there {would} `{backup}`"));
        match squashed.commits {
            1 => format!("`{branch}` holds one commit already"),
            commits => format!("`{branch}` {would} one commit instead of {commits}{kept}"),
        }
    })
}
