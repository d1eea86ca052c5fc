//! `git muster heartbeat`: signs of life.

use super::artifact::place_of;
use super::context::Context;
use super::error::CliError;
use super::input;
use super::servers::joined_elsewhere;
use super::words;
use crate::app::commands::WriteOptions;
use crate::app::commands::beat::{BeatAnswer, HeldClaim, SendBeat};
use crate::app::commands::job_step::{Step as JobStep, StepJob};
use crate::app::flows::Failure;
use crate::app::flows::session::{Event, Sender, SessionFlow, Step, is_faster};
use crate::app::session::{Session, SessionKey};
use crate::domain::code::Code;
use crate::domain::heartbeat::INTERVAL_ASSUMED;
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, ServerName, check_branch};
use crate::domain::time::SPAN_MAX;
use crate::git::hubs;
use crate::ledger::LedgerError;
use crate::machine::environment::variable;
use crate::machine::signals::StopFlag;
use crate::machine::{Deadline, Machine, clock};
use crate::worker::LostWorker;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// How soon `heartbeat run` notices that it is asked to end.
const STOP_LATENCY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  * * * * *  git muster heartbeat -q                  # crontab entry
  git muster heartbeat run --interval 60              # until SIGTERM
  HEARTBEAT_PUSH_EVERY=5 git muster heartbeat    # push every fifth heartbeat

A heartbeat replaces the single commit on the server's own branch, heartbeat-<server>: it adds no \
history to the hub branch and never conflicts with other writers. HEARTBEAT_BRANCH selects another \
branch (1 or auto: heartbeat-<server>); --on-main commits the heartbeat to the hub branch."
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
    /// Interval this server commits to; its heartbeats are late or stale relative to it [default: the last
    /// one given, initially 60s]
    #[arg(long, value_name = "DURATION", value_parser = input::span)]
    pub interval: Option<Duration>,
    /// Commit the heartbeat to the hub branch, as the legacy scripts did
    #[arg(long)]
    pub on_main: bool,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum HeartbeatCommand {
    /// Send heartbeats until SIGTERM
    #[command(after_help = "Example:\n  git muster heartbeat run --interval 60")]
    Run(BeatArgs),
    /// Reduce the history of a heartbeat branch to one commit
    #[command(after_help = "Examples:
  git muster heartbeat squash --server build2 --backup
  git muster heartbeat squash --branch heartbeat-build2 --dry-run")]
    Squash {
        /// Heartbeat branch [default: the branch of `--server`, or of this server]
        #[arg(long, value_name = "BRANCH")]
        branch: Option<String>,
        /// Keep the old history as branch backup/<branch>-<time>
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
    check_branch(&branch).map_err(|error| {
        CliError::new(Code::SettingInvalid, format!("{error} (from HEARTBEAT_BRANCH)"))
            .fact("name", "HEARTBEAT_BRANCH")
            .fact("why", error.to_string())
    })?;
    // Readers look on these branches only; and replacing any other would destroy what is on it.
    if branch != main && !branch.starts_with(HEARTBEAT_BRANCH_PREFIX) {
        return Err(CliError::new(
            Code::SettingInvalid,
            format!(
                "HEARTBEAT_BRANCH is `{branch}`, which does not start with `{HEARTBEAT_BRANCH_PREFIX}`; no heartbeat was sent"
            ),
        )
        .fact("name", "HEARTBEAT_BRANCH"));
    }
    Ok(branch)
}

fn push_every() -> Result<u64, CliError> {
    let Some(text) = variable("HEARTBEAT_PUSH_EVERY") else { return Ok(1) };
    text.parse().ok().filter(|every| *every > 0).ok_or_else(|| {
        CliError::new(
            Code::SettingInvalid,
            format!("invalid HEARTBEAT_PUSH_EVERY `{}`: it must be a positive number", text.escape_debug()),
        )
        .fact("name", "HEARTBEAT_PUSH_EVERY")
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
            Err(CliError::new(Code::ValueInvalid, "the interval must be at least 1s; no heartbeat was sent")
                .fact("field", "interval"))
        }
        _ => Ok(()),
    }
}

fn once(args: &BeatArgs, context: &mut Context) -> Result<(), CliError> {
    let me = context.acting()?;
    check_interval(args)?;
    let every = push_every()?;
    let mut beats = Beats::begin(&me, args, (Sender::Once(every), every), context)?;
    match beats.round(context)? {
        // A beat with another interval would change what others may conclude from the worker's.
        Step::Beside(_) => context.output.confirm(
            "heartbeat",
            &json!({"server": me, "pushed": false, "worker": true}),
            || format!("the worker of `{me}` sends its heartbeats; no other was sent"),
        ),
        Step::Keep(kept) => context.output.confirm(
            "heartbeat",
            &json!({"server": me, "pushed": false, "kept": kept, "push_every": every}),
            || {
                format!(
                    "heartbeat {kept} of {every} of `{me}` was not sent: HEARTBEAT_PUSH_EVERY={every}{every}"
                )
            },
        ),
        _ => {
            let answer = beats.answer()?;
            tell(&me, &answer, context)
        }
    }
}

/// A sign of life of `me` for a claim that one of its scripts holds, and the job, if the claim is valid as the
/// sign is published. `None` where none was sent: its worker gives it.
///
/// # Errors
/// When it did not reach the hub, or the claim is lost.
pub(super) fn for_a_claim(
    me: &ServerName,
    claim: HeldClaim,
    context: &mut Context,
) -> Result<Option<Value>, CliError> {
    let manner = (Sender::Once(1), push_every()?);
    let args = BeatArgs::default();
    let mut beats = Beats { claim: Some(claim), ..Beats::begin(me, &args, manner, context)? };
    match beats.round(context)? {
        Step::Beside(_) => Ok(None),
        _ => beats.answer().map(|answer| answer.job),
    }
}

/// The signs of life of a server, as commands give them.
struct Beats<'a> {
    args: &'a BeatArgs,
    me: &'a ServerName,
    /// The claim for which they are given.
    claim: Option<HeldClaim>,
    /// Of how many signs of life one is sent.
    every: u64,
    flow: SessionFlow,
    whose: SessionKey,
    session: Session,
    /// The worker of this server that died, while it is looked at what it left.
    gone: Option<LostWorker>,
    /// What came of the last one that was sent.
    last: Option<Result<BeatAnswer, CliError>>,
}

impl<'a> Beats<'a> {
    fn begin(
        me: &'a ServerName,
        args: &'a BeatArgs,
        (manner, every): (Sender, u64),
        context: &mut Context,
    ) -> Result<Self, CliError> {
        let whose = context.whose(me).map_err(CliError::nothing_written)?;
        let mut session = Session::present(&whose);
        if let Some(interval) = args.interval {
            session.interval_seconds = interval.as_secs();
        }
        // Nothing of a command relies on how long its session counts.
        let flow = SessionFlow::new(manner, Duration::ZERO);
        Ok(Self { args, me, claim: None, every, flow, whose, session, gone: None, last: None })
    }

    /// From a tick to what follows it.
    fn round(&mut self, context: &mut Context) -> Result<Step, CliError> {
        let beside_worker = crate::worker::is_at_work(&place_of(self.me, context)?);
        let mut event = Event::Tick { beside_worker, kept: self.session.beats_kept };
        loop {
            event = match self.flow.next(event, clock::since_boot()) {
                Step::Find => Event::Left(self.find(context).unwrap_or_else(|error| {
                    self.gone = None;
                    self.not_given_back(&error, context);
                    Vec::new()
                })),
                Step::Report(step) => self.report(&step, context),
                Step::Forget => {
                    if let Some(gone) = self.gone.take() {
                        gone.forget();
                    }
                    Event::Forgotten
                }
                Step::Beat => {
                    self.gone = None;
                    let sent = self.beat(context);
                    match &*self.last.insert(sent) {
                        Ok(answer) => Event::Sent(answer.revoked.is_some()),
                        // What this host knows of the hub tells that it was there, where the hub itself does not.
                        Err(error) if error.may_come_back => Event::Failed(Failure::Away),
                        Err(error) => Event::Failed(error.failure),
                    }
                }
                Step::BeginAnew => {
                    self.begin_anew(context);
                    Event::Begun
                }
                Step::Keep(kept) => {
                    self.session.beats_kept = kept;
                    self.session.keep(&self.whose);
                    return Ok(Step::Keep(kept));
                }
                step => {
                    if let Some(Ok(answer)) = &self.last {
                        self.session.keep(&self.whose);
                        warn_of_twins(self.me, answer, context);
                    }
                    return Ok(step);
                }
            };
        }
    }

    /// What came of the sign of life of this round.
    fn answer(&mut self) -> Result<BeatAnswer, CliError> {
        self.last.take().expect("it was sent")
    }

    /// What a worker of this server that is gone had at work.
    fn find(&mut self, context: &mut Context) -> Result<Vec<StepJob>, CliError> {
        let me = self.me;
        if context.is_dry_run() {
            return Ok(Vec::new());
        }
        let Some(gone) = LostWorker::find(&place_of(me, context)?) else { return Ok(Vec::new()) };
        let gone = self.gone.insert(gone);
        let id = hubs::id_of(&context.place()?.name);
        let output = context.output;
        let client = context.client()?;
        client.send_kept_reports(id, me, &|words| output.say(words), &words::sentence);
        if let Some((op, _)) = client.kept_reports(me).first() {
            return Err(CliError::new(Code::OutcomeUnknown, format!("operation {op} is not resolved"))
                .fact("op", op.as_str()));
        }
        Ok(context.read(true, |snapshot| Ok(gone.left(snapshot, me)?))?.steps(me))
    }

    fn report(&self, step: &StepJob, context: &mut Context) -> Event {
        match context.write(step) {
            Ok(_) => {
                if step.step != JobStep::Stopped {
                    let me = self.me;
                    context.output.warn(&format!(
                        "job `{}` was in progress when the worker of `{me}` ended: it is lost",
                        step.job
                    ));
                }
                Event::Reported
            }
            Err(error) => {
                if !is_faster(error.failure) {
                    self.not_given_back(&error, context);
                }
                Event::Failed(error.failure)
            }
        }
    }

    fn not_given_back(&self, error: &CliError, context: &Context) {
        context
            .output
            .warn(&format!("jobs left by the worker of `{}` were not requeued: {}", self.me, error.message));
    }

    fn beat(&mut self, context: &mut Context) -> Result<BeatAnswer, CliError> {
        let branch = branch(self.args, self.me, context)?;
        let mut beat = self.session.beat(&self.whose, Some(self.whose.system_facts()));
        // What others see is the pushes: they would take a server that pushes seldom for dead.
        beat.interval_seconds = beat.interval_seconds.saturating_mul(self.every).min(SPAN_MAX.as_secs());
        let envelope = WriteOptions { beat: None, ..context.envelope(self.me)? };
        let sign = SendBeat { beat, branch, claim: self.claim.clone() };
        let answer = context.write_with(&sign, &envelope)?.answer;
        if !context.is_dry_run() {
            self.session.beats_kept = 0;
        }
        for words in answer.made_anew() {
            context.output.warn(&words);
        }
        Ok(answer)
    }

    /// Others took over what this session held; it must not go on as if nothing had happened.
    fn begin_anew(&mut self, context: &Context) {
        self.session.end(&self.whose);
        let why = match &self.last {
            Some(Ok(BeatAnswer { revoked: Some(why), .. })) => why.as_str(),
            _ => "",
        };
        context.output.warn(&format!(
            "the session of `{}` was revoked by another server ({why}); its jobs were requeued, and a new session starts",
            self.me
        ));
    }
}

/// Says that a beat was sent.
fn tell(me: &ServerName, answer: &BeatAnswer, context: &mut Context) -> Result<(), CliError> {
    let (sequence, branch) = (answer.sequence, &answer.branch);
    context.output.confirm("heartbeat", &json!({"server": me, "pushed": !context.is_dry_run(), "sequence": sequence, "branch": branch, "revoked": answer.revoked}), || {
        format!("heartbeat {sequence} of `{me}` is on branch `{branch}`")
    })
}

/// What to do about two machines under one name.
fn warn_of_twins(me: &ServerName, answer: &BeatAnswer, context: &mut Context) {
    if let Some(words) = answer.two_machines(me) {
        context.output.warn(&words);
    }
    match joined_elsewhere(me, context) {
        Ok(None) => {}
        Ok(Some(host)) => context.output.warn(&format!("`{me}` is registered by `{host}`, not by this machine; two machines with the same server name treat each other's jobs and locks as their own: join under another name, or with `--replace` if this one takes its place")),
        // The beat was sent, whatever is learned after it.
        Err(error) => context
            .output
            .warn(&format!("cannot determine whether this machine joined as `{me}`: {}", error.message)),
    }
}

fn until_stopped(args: &BeatArgs, context: &mut Context) -> Result<(), CliError> {
    check_interval(args)?;
    let stop = StopFlag::listen()?;
    let me = context.acting()?;
    let interval = Duration::from_secs(args.interval.unwrap_or(INTERVAL_ASSUMED).as_secs().max(1));
    // A machine may be up before its network is.
    while let Err(error) = context.place_to_stay() {
        let can_wait = error.may_come_back && !stop.requested();
        if can_wait {
            context.output.error(&error);
            wait(&Machine::real().deadline(interval), &stop);
        }
        if !can_wait || stop.requested() {
            // Once more would take as long as the hub has to answer.
            return Err(error.nothing_written());
        }
    }
    if crate::worker::is_at_work(&place_of(&me, context)?) {
        let why = format!("the worker of `{me}` sends its heartbeats; no other was sent");
        return Err(CliError::new(Code::WorkerRunning, why)
            .fact("server", me.as_str())
            .hint("no heartbeat is needed; to send your own, stop the worker first"));
    }
    let args = BeatArgs { interval: Some(interval), ..args.clone() };
    let mut beats = Beats::begin(&me, &args, (Sender::GoesOn(interval), 1), context)?;
    // What is said there is of the session of that hub.
    context.ledger()?.bind(hubs::id_of(&beats.whose.hub));
    let mut is_beside_worker = false;
    while !stop.requested() {
        let next = Machine::real().deadline(interval);
        // Another process may have begun a new one since.
        beats.session.follow(&beats.whose);
        match beats.round(context)? {
            // It may have begun since.
            Step::Beside(_) => {
                if !std::mem::replace(&mut is_beside_worker, true) {
                    context.output.say(&format!("the worker of `{me}` sends its heartbeats while it runs"));
                }
            }
            Step::Refused => return beats.answer().map(drop),
            _ => {
                is_beside_worker = false;
                // Whether anybody reads of it is another matter.
                if let Err(error) = beats.answer().and_then(|answer| tell(&me, &answer, context)) {
                    context.output.error(&error);
                }
            }
        }
        wait(&next, &stop);
    }
    context.output.say(&format!("`{me}` has stopped sending heartbeats"));
    Ok(())
}

/// Waits until `next`, or until the end is asked for.
fn wait(next: &Deadline, stop: &StopFlag) {
    while !next.passed() && !stop.requested() {
        clock::sleep(STOP_LATENCY.min(next.left()));
    }
}

fn squash(branch: &str, backup: bool, context: &mut Context) -> Result<(), CliError> {
    check_branch(branch)?;
    if branch == context.settings.branch.value || !branch.starts_with(HEARTBEAT_BRANCH_PREFIX) {
        let why = format!(
            "`{branch}` is not a heartbeat branch (`{HEARTBEAT_BRANCH_PREFIX}...`); nothing was changed"
        );
        return Err(CliError::new(Code::HeartbeatBranchInvalid, why).fact("branch", branch));
    }
    context.refuse_guards("`heartbeat squash`")?;
    let now = context.now();
    let ledger = context.ledger()?;
    let backup = backup.then(|| format!("backup/{branch}-{}", now.compact()));
    let squashed = ledger.squash(branch, backup.as_deref(), now).map_err(|error| match error {
        LedgerError::NoBranch { branch: missing, .. } if missing == branch => {
            CliError::new(Code::NotFound, format!("branch `{branch}` not found in the hub"))
                .fact("kind", "heartbeat-branch")
                .fact("id", branch)
                .hint("list servers and their heartbeats with `git muster servers list`")
        }
        error => error.into(),
    })?;
    context.pass_on_notes();
    let dry_run = context.is_dry_run();
    context.output.confirm("squash", &json!({"branch": branch, "commits": squashed.commits, "backup": squashed.backup, "dry_run": dry_run}), || {
        let would = if dry_run { "would be" } else { "is" };
        let kept = squashed.backup.as_ref().map_or(String::new(), |backup| format!("; the old history {would} `{backup}`"));
        match squashed.commits {
            1 => format!("`{branch}` already has only 1 commit"),
            commits => format!("`{branch}` {would} 1 commit instead of {commits}{kept}"),
        }
    })
}
