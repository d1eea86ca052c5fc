//! `git muster lock`: named locks with a lease and a fencing token.

use super::broken;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::hold;
use super::input::{self, ago, or_dash};
use super::table::{facts, table};
use super::waiting::{self, FOR_LOCKS};
use crate::app::commands::lock::{AcquireLock, LockGrant, ReleaseLock, RenewLock, StealLock};
use crate::app::flows::PollPause;
use crate::app::flows::acquire::{AcquireFlow, Event, Step};
use crate::app::observations::Observations;
use crate::app::queries::locks::{ListLocks, Locks, OneLock, ShowLock, ShownLock};
use crate::app::takeover::glance_at;
use crate::domain::code::Code;
use crate::domain::id::LockName;
use crate::domain::lock::{Lock, LockRequest};
use crate::domain::table::Table;
use crate::domain::time::{Timestamp, show_span};
use crate::ledger::{Documents as _, Receipt};
use crate::machine::signals::StopFlag;
use crate::machine::{Machine, asked, environment, random};
use clap::{Args, Subcommand};
use serde_json::json;
use std::ffi::OsString;
use std::time::Duration;

/// How soon a waiter notices that it is asked to end.
const STOP_LATENCY: Duration = Duration::from_millis(100);
/// The shortest lease: below it no network renews in time.
const TTL_MIN: Duration = Duration::from_secs(2);

// How a lock is taken.
#[derive(Debug, Args)]
pub struct TakeArgs {
    /// Name of the lock
    pub name: LockName,
    /// Duration of the lease
    #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "10m")]
    pub ttl: Duration,
    /// Time to wait if another server holds the lock [default: do not wait]
    #[arg(long, value_name = "DURATION", value_parser = input::span)]
    pub wait: Option<Duration>,
    /// Reason to show to other users
    #[arg(long)]
    pub reason: Option<String>,
}

// A term that the caller holds.
#[derive(Debug, Args)]
pub struct TermArgs {
    /// Name of the lock
    pub name: LockName,
    /// Token that `acquire` printed [otherwise: MUSTER_LOCK_TOKEN, if MUSTER_LOCK_NAME is this lock]
    #[arg(long)]
    pub token: Option<u64>,
}

impl TermArgs {
    fn token(&self) -> Result<u64, CliError> {
        input::token(self.token, self.name.as_str(), input::OF_LOCK)
    }
}

/// The verbs of `lock`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum LockCommand {
    /// Acquire a lock and print its token
    #[command(after_help = "Examples:
  token=$(git muster lock acquire deploy --ttl 10m --wait 2m) || exit
  git muster --if-lock deploy=$token status set building   # only while held
  git muster lock release deploy --token $token

Another server can take over a lock that is not renewed, once that server has seen the lock \
unchanged for the full lease plus a safety margin, measured on its own clock.")]
    Acquire(TakeArgs),
    /// Renew the lease of a lock
    #[command(after_help = "Example:\n  git muster lock renew deploy --token $token --ttl 10m")]
    Renew {
        /// Which term
        #[command(flatten)]
        term: TermArgs,
        /// New duration of the lease, if longer than the current one
        #[arg(long, value_name = "DURATION", value_parser = input::span)]
        ttl: Option<Duration>,
    },
    /// Release a lock
    #[command(after_help = "Example:\n  git muster lock release deploy --token $token")]
    Release(TermArgs),
    /// Show one lock
    #[command(after_help = "Example:\n  git muster lock show deploy --json | jq .token")]
    #[command(aliases = ["status", "describe"])]
    Show {
        /// Name of the lock
        name: LockName,
    },
    /// List all locks
    #[command(after_help = "Example:\n  git muster lock list")]
    #[command(alias = "ls")]
    List,
    /// Take a lock by force; the holder finds out at its next renewal
    #[command(after_help = "Examples:
  git muster lock steal deploy --reason 'build2 was reinstalled'
  git muster lock steal deploy --reason 'build2 is being reinstalled' --force

Without --force, the lock is taken only after this machine has seen it unchanged for the full \
lease: until then the holder may still be running, whatever the clocks show.")]
    Steal {
        /// Name of the lock
        name: LockName,
        /// Reason to record in the history
        #[arg(long)]
        reason: String,
        /// Duration of the lease
        #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "10m")]
        ttl: Duration,
        /// Take the lock even if its lease may still be valid
        #[arg(long)]
        force: bool,
    },
    /// Run a command while holding a lock, and exit with the command's exit code
    #[command(after_help = "Examples:
  git muster lock run deploy --ttl 1m --wait 10m -- ./deploy.sh production
  git muster lock run nightly -- sh -c 'echo token $MUSTER_LOCK_TOKEN'

The lease is renewed in the background. The command gets MUSTER_LOCK_NAME and MUSTER_LOCK_TOKEN in \
its environment. If the lease is lost, the command is stopped and the exit code is 5. The command \
and all its child processes are also stopped if git-muster itself is killed, or suspended until \
the lease expires. Background processes that the command leaves when it exits by itself continue \
without the lock.")]
    Run {
        /// How it is taken
        #[command(flatten)]
        take: TakeArgs,
        /// Program and arguments to run
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// A verb of `lock`.
///
/// # Errors
/// When the lock is held by another, the lease is lost or the hub cannot be used.
pub(super) fn run(command: &LockCommand, context: &mut Context) -> Result<u8, CliError> {
    match command {
        LockCommand::Acquire(take) => {
            let (term, _) = acquire(take, context, None)?;
            deliver(&term, context)?;
        }
        LockCommand::Renew { term, ttl } => {
            let verb = RenewLock {
                name: term.name.clone(),
                server: context.acting()?,
                token: term.token()?,
                lease_seconds: ttl.map(|ttl| ttl.as_secs()),
            };
            let renewed = context.write(&verb)?.answer;
            let lease = Duration::from_secs(renewed.lease_seconds);
            let is_longer = ttl.is_some_and(|ttl| ttl < lease);
            let why = if is_longer { "; a renewal never shortens the lease" } else { "" };
            context.output.confirm("lock_term", &renewed, || {
                format!("lock `{}` is renewed for {}{why}", term.name, show_span(lease))
            })?;
        }
        LockCommand::Release(term) => {
            let verb =
                ReleaseLock { name: term.name.clone(), server: context.acting()?, token: term.token()? };
            let released = context.write(&verb)?;
            let before =
                if released.version.is_none() && !context.is_dry_run() { ", as reported before" } else { "" };
            let words = || format!("lock `{}` is free{before}", term.name);
            context.output.confirm("lock_term", &released.answer, words)?;
        }
        LockCommand::Show { name } => show(name, context)?,
        LockCommand::List => list(context)?,
        LockCommand::Steal { name, reason, ttl, force } => {
            let taker = taker(*ttl, Some(reason.clone()), context)?;
            let expired = if *force { None } else { expired(name, context)? };
            let verb = StealLock { name: name.clone(), taker, force: *force, expired };
            let term = context.write_to_deliver(&verb)?;
            deliver(&term, context)?;
        }
        LockCommand::Run { take, command } => return hold::run(take, command, context),
    }
    Ok(Exit::Done.code())
}

fn taker(ttl: Duration, reason: Option<String>, context: &mut Context) -> Result<LockRequest, CliError> {
    if ttl < TTL_MIN {
        return Err(CliError::new(
            Code::ValueInvalid,
            format!(
                "a lease of {} is too short for renewals; use at least {}",
                show_span(ttl),
                show_span(TTL_MIN)
            ),
        )
        .fact("field", "lease")
        .fact("given", show_span(ttl)));
    }
    Ok(LockRequest {
        server: context.acting()?,
        holder: format!("{} pid {}", environment::host_name(), environment::process_id()),
        lease_seconds: ttl.as_secs(),
        reason,
    })
}

/// Prints the token of a term.
fn deliver(term: &Receipt<LockGrant>, context: &Context) -> Result<(), CliError> {
    let token = term.answer.token;
    context.deliver(term, |output| output.answer("lock_term", &term.answer, || token.to_string()))
}

/// Takes the lock, waiting if asked to and until `stop`. Returns the term, which is to be delivered,
/// and until when it may be trusted, since boot.
pub(super) fn acquire(
    args: &TakeArgs,
    context: &mut Context,
    stop: Option<&StopFlag>,
) -> Result<(Receipt<LockGrant>, Duration), CliError> {
    let taker = taker(args.ttl, args.reason.clone(), context)?;
    let acquire = AcquireLock { name: args.name.clone(), taker, expired: None };
    let wait = args.wait.unwrap_or_default();
    let mut flow = AcquireFlow::new(acquire, waiting::patience(wait, FOR_LOCKS, context)?);
    let (mut last, mut lock, mut is_told) = (None, None, false);
    let mut event = Event::Begin;
    loop {
        event = match context.observe(|watch| flow.next(event, watch))? {
            Step::Acquire(verb) => match &*last.insert(context.write_to_deliver(&verb)) {
                Ok(_) => Event::Acquired,
                Err(error) => Event::Failed(error.failure),
            },
            Step::Look => {
                lock = find(&args.name, context)?;
                Event::Seen(lock.clone().map(Box::new))
            }
            Step::Wait(pause) => {
                if let Some(Err(error)) = last.as_ref().filter(|_| !std::mem::replace(&mut is_told, true)) {
                    context.output.say(&format!("waiting up to {}: {}", show_span(wait), error.message));
                }
                wait_for(&args.name, pause, stop)?;
                Event::Waited
            }
            Step::Done(trusted) => return end(last).map(|term| (term, trusted)),
            Step::Refused => return end(last).map(|term| (term, Duration::ZERO)),
            Step::TimeUp => {
                let overdue = lock.is_some_and(|lock| lock.overdue(context.now()).is_some());
                let hint = flow.left().filter(|_| overdue).map(|left| overdue_hint(args.name.as_str(), left));
                return end(last)
                    .map(|term| (term, Duration::ZERO))
                    .map_err(|error| hint.into_iter().fold(error.after_waiting(args.wait), CliError::hint));
            }
        };
    }
}

/// How it ends: as the last attempt did.
fn end(last: Option<Result<Receipt<LockGrant>, CliError>>) -> Result<Receipt<LockGrant>, CliError> {
    last.expect("it ends after an attempt")
}

/// Pauses, unless it is asked to end meanwhile.
fn wait_for(name: &LockName, pause: PollPause, stop: Option<&StopFlag>) -> Result<(), CliError> {
    let next = Machine::real().deadline(pause.drawn(random::up_to));
    while !next.passed() {
        if stop.is_some_and(StopFlag::requested) {
            let why = format!("interrupted while waiting; lock `{name}` was not acquired");
            return Err(CliError::interrupted(name, why));
        }
        asked::idle(STOP_LATENCY.min(next.left()));
    }
    Ok(())
}

/// What to do about a lock that nobody renews and this machine may take over when `left` is over.
fn overdue_hint(name: &str, left: Duration) -> String {
    format!(
        "if the lock is not renewed, this machine may take it over in {}: `git muster lock acquire {name} --wait {}`; if its holder is known to be gone, take it now with `git muster lock steal {name} --reason WHY --force`",
        show_span(left),
        wait_over(left)
    )
}

/// A `--wait` that suffices to take over what is free when `left` is over: a look at the hub comes after it.
pub(super) fn wait_over(left: Duration) -> String {
    format!("{}s", left.saturating_add(FOR_LOCKS.remote).as_secs() + 1)
}

/// The lock as the hub has it.
fn find(name: &LockName, context: &mut Context) -> Result<Option<Lock>, CliError> {
    context.read(false, |snapshot| {
        let locks: Table<Lock> = snapshot.table()?;
        Ok(locks.get(name.as_str()).map(|lock| (**lock).clone()))
    })
}

/// That version of the lock which this host has watched unchanged until it may be taken over.
fn expired(name: &LockName, context: &mut Context) -> Result<Option<String>, CliError> {
    let lock = find(name, context)?;
    let seen = context.observe(|watch| watch.lock(name.as_str(), lock.as_ref()))?;
    Ok(seen.and_then(|seen| seen.expired))
}

/// What was shown of locks counts for whoever watches them.
fn glance(locks: &[(&str, Option<&Lock>)], context: &mut Context) -> Result<(), CliError> {
    let (place, mut observed) = (context.place()?.watched(), Observations::recall(&context.machine));
    for (name, lock) in locks {
        glance_at(&mut observed, &place, name, *lock);
    }
    observed.keep();
    Ok(())
}

fn show(name: &LockName, context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let found = context.ask(&ShowLock { name: name.clone() })?;
    let seen = if let OneLock::Lock(lock) = &found { Some(&**lock) } else { None };
    glance(&[(name.as_str(), seen)], context)?;
    let lock = match found {
        OneLock::Lock(lock) => lock,
        OneLock::Unreadable(one) => {
            let facts = || broken::facts_of(&one.shown, &one.trouble);
            return context.output.object("lock", &one.shown, facts);
        }
        OneLock::Missing(refusal) => return Err(refusal.into()),
    };
    context.output.object("lock", &lock, || {
        facts(&[
            ("lock", Some(lock.name.clone())),
            ("state", Some(shown_state(&lock, now))),
            ("held by", lock.locked_by.clone()),
            ("holder", lock.holder.clone()),
            ("since", lock.locked_at.map(|at| ago(Some(at), now))),
            ("renewed", lock.renewed_at.map(|at| ago(Some(at), now))),
            ("lease", lock.is_held().then(|| show_span(lock.lease()))),
            ("token", lock.token.map(|token| token.to_string())),
            ("reason", lock.reason.clone()),
        ])
    })
}

fn list(context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let Locks { items: locks, unreadable } = context.ask(&ListLocks {})?;
    let seen: Vec<(&str, Option<&Lock>)> =
        locks.iter().map(|lock| (lock.name.as_str(), Some(&**lock))).collect();
    glance(&seen, context)?;
    let values = locks.iter().map(|lock| json!(lock));
    let values = values.chain(unreadable.iter().map(|one| one.shown.clone()));
    let output = context.output;
    output.list("lock", values, || {
        let rows: Vec<Vec<String>> = locks
            .iter()
            .map(|lock| {
                vec![
                    lock.name.clone(),
                    shown_state(lock, now),
                    or_dash(lock.locked_by.as_deref()),
                    lock.token.map_or_else(|| "-".to_owned(), |token| token.to_string()),
                    ago(lock.locked_at, now),
                    or_dash(lock.reason.as_deref()),
                ]
            })
            .chain(unreadable.iter().map(|one| {
                let [by, token] = ["locked_by", "token"].map(|name| broken::column(&one.shown, name));
                broken::row(&one.trouble, &["held".to_owned(), by, token, "-".to_owned()])
            }))
            .collect();
        if rows.is_empty() {
            output.say("no locks");
            String::new()
        } else {
            table(&["LOCK", "STATE", "HELD BY", "TOKEN", "SINCE", "REASON"], &rows)
        }
    })
}

/// The state for people, who want to know that nobody renews it.
fn shown_state(lock: &ShownLock, now: Timestamp) -> String {
    match lock.overdue(now) {
        Some(over) => format!("held, expired {} ago", show_span(over)),
        None => lock.state().to_owned(),
    }
}
