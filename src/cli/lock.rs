//! `git muster lock`: named locks with a lease and a fencing token.

use super::broken;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::hold;
use super::input::{self, ago, or_dash};
use super::table::{facts, table};
use crate::app::commands::lock::{AcquireLock, ReleaseLock, RenewLock, StealLock, Term};
use crate::app::observations::Observations;
use crate::app::queries::locks::{ListLocks, Locks, OneLock, ShowLock, ShownLock};
use crate::app::watch::{WatchedLock, glance_at};
use crate::domain::id::LockName;
use crate::domain::lease::trust;
use crate::domain::lock::{Lock, Taker};
use crate::domain::table::Table;
use crate::domain::time::{Timestamp, show_span};
use crate::ledger::{Documents as _, Receipt};
use crate::machine::clock::Deadline;
use crate::machine::signals::Stop;
use crate::machine::{asked, environment, random};
use clap::{Args, Subcommand};
use serde_json::json;
use std::ffi::OsString;
use std::time::Duration;

/// How long a waiter pauses at most between two looks at a lock.
const LOOK_PAUSE_LOCAL: Duration = Duration::from_millis(200);
/// The same over a network: forges ask for few requests.
const LOOK_PAUSE_REMOTE: Duration = Duration::from_secs(5);
/// How soon a waiter notices that it is asked to end.
const STOP_LATENCY: Duration = Duration::from_millis(100);
/// The shortest lease: below it no network renews in time.
const TTL_MIN: Duration = Duration::from_secs(2);

// How a lock is taken.
#[derive(Debug, Args)]
pub struct TakeArgs {
    /// The lock
    pub name: LockName,
    /// How long the lease lasts without a renewal
    #[arg(long, value_name = "SPAN", value_parser = input::span, default_value = "10m")]
    pub ttl: Duration,
    /// How long to wait for it if another holds it
    #[arg(long, value_name = "SPAN", value_parser = input::span)]
    pub wait: Option<Duration>,
    /// What for, for people
    #[arg(long)]
    pub reason: Option<String>,
}

// A term that the caller holds.
#[derive(Debug, Args)]
pub struct TermArgs {
    /// The lock
    pub name: LockName,
    /// The token that `acquire` printed [also: MUSTER_LOCK_TOKEN, of the lock in MUSTER_LOCK_NAME]
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
    /// Take a lock and print its token
    #[command(after_help = "Examples:
  token=$(git muster lock acquire deploy --ttl 10m --wait 2m) || exit
  git muster --if-lock deploy=$token status set building   # not once it is lost
  git muster lock release deploy --token $token

A lock that is not renewed can be taken over by another server when that server has watched it \
unchanged for the whole lease and some grace, by its own clock.")]
    Acquire(TakeArgs),
    /// Renew the lease of a lock
    #[command(after_help = "Example:\n  git muster lock renew deploy --token $token --ttl 10m")]
    Renew {
        /// Which term
        #[command(flatten)]
        term: TermArgs,
        /// A longer lease than before
        #[arg(long, value_name = "SPAN", value_parser = input::span)]
        ttl: Option<Duration>,
    },
    /// Free a lock
    #[command(after_help = "Example:\n  git muster lock release deploy --token $token")]
    Release(TermArgs),
    /// Show one lock
    #[command(after_help = "Example:\n  git muster lock show deploy --json | jq .token")]
    #[command(aliases = ["status", "describe"])]
    Show {
        /// The lock
        name: LockName,
    },
    /// List all locks
    #[command(after_help = "Example:\n  git muster lock list")]
    #[command(alias = "ls")]
    List,
    /// Take a lock from its holder, who learns it at the next renewal
    #[command(after_help = "Examples:
  git muster lock steal deploy --reason 'build2 was reinstalled'
  git muster lock steal deploy --reason 'build2 is being reinstalled' --force

Refused until this machine has watched that nobody renewed it for the whole lease: until then its \
holder may be at work, whatever clocks say. With --force it is taken all the same.")]
    Steal {
        /// The lock
        name: LockName,
        /// Why: it stands in the history
        #[arg(long)]
        reason: String,
        /// How long the lease lasts without a renewal
        #[arg(long, value_name = "SPAN", value_parser = input::span, default_value = "10m")]
        ttl: Duration,
        /// Also while the lease of whoever holds it may run
        #[arg(long)]
        force: bool,
    },
    /// Run a command while holding a lock; exits with the command's code
    #[command(after_help = "Examples:
  git muster lock run deploy --ttl 1m --wait 10m -- ./deploy.sh production
  git muster lock run nightly -- sh -c 'echo token $MUSTER_LOCK_TOKEN'

The lease is renewed in the background. The command finds MUSTER_LOCK_NAME and MUSTER_LOCK_TOKEN \
in its environment. When the lease is lost the command is stopped and the exit code is 5. It is stopped \
as well, with all that it started, when git-muster itself is killed, or stopped for so long that the lease runs out. \
What it left in the background when it ended by itself goes on, without the lock.")]
    Run {
        /// How it is taken
        #[command(flatten)]
        take: TakeArgs,
        /// The command
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
            let why = if is_longer { "; a renewal shortens no lease" } else { "" };
            context.output.confirm("lock_term", &renewed, || {
                format!("lock `{}` is yours for {}{why}", term.name, show_span(lease))
            })?;
        }
        LockCommand::Release(term) => {
            let verb =
                ReleaseLock { name: term.name.clone(), server: context.acting()?, token: term.token()? };
            let released = context.write(&verb)?;
            let before =
                if released.version.is_none() && !context.is_dry_run() { ", as was told before" } else { "" };
            let words = || format!("lock `{}` is free{before}", term.name);
            context.output.confirm("lock_term", &released.answer, words)?;
        }
        LockCommand::Show { name } => show(name, context)?,
        LockCommand::List => list(context)?,
        LockCommand::Steal { name, reason, ttl, force } => {
            let taker = taker(*ttl, Some(reason.clone()), context)?;
            let watched = if *force { None } else { watch(name, context)? };
            let expired = watched.and_then(|(_, seen)| seen.expired);
            let verb = StealLock { name: name.clone(), taker, force: *force, expired };
            let term = context.write_to_deliver(&verb)?;
            deliver(&term, context)?;
        }
        LockCommand::Run { take, command } => return hold::run(take, command, context),
    }
    Ok(Exit::Done.code())
}

fn taker(ttl: Duration, reason: Option<String>, context: &mut Context) -> Result<Taker, CliError> {
    if ttl < TTL_MIN {
        return Err(CliError::new(
            Exit::Usage,
            format!(
                "a lease of {} is too short to be renewed; give at least {}",
                show_span(ttl),
                show_span(TTL_MIN)
            ),
        ));
    }
    Ok(Taker {
        server: context.acting()?,
        holder: format!("{} pid {}", environment::host_name(), environment::process_id()),
        lease_seconds: ttl.as_secs(),
        reason,
    })
}

/// Prints the token of a term.
fn deliver(term: &Receipt<Term>, context: &Context) -> Result<(), CliError> {
    let token = term.answer.token;
    context.deliver(term, |output| output.answer("lock_term", &term.answer, || token.to_string()))
}

/// Takes the lock, waiting if asked to and until `stop`. Returns the term, which is to be delivered,
/// and until when it may be trusted.
pub(super) fn acquire(
    args: &TakeArgs,
    context: &mut Context,
    stop: Option<&Stop>,
) -> Result<(Receipt<Term>, Deadline), CliError> {
    let mut verb = AcquireLock {
        name: args.name.clone(),
        taker: taker(args.ttl, args.reason.clone(), context)?,
        expired: None,
    };
    let until = Deadline::after(args.wait.unwrap_or_default());
    let mut told = false;
    loop {
        // Trust begins with the attempt, not with its acknowledgement.
        let trusted = Deadline::after(trust(args.ttl));
        let error = match context.write_to_deliver(&verb) {
            Ok(receipt) => return Ok((receipt, trusted)),
            // A rule of the hub does not change by waiting.
            Err(error) if error.exit == Exit::Refused && !error.by_hub => error,
            Err(error) if error.exit == Exit::Contended && !until.passed() => error,
            Err(error) => return Err(error),
        };
        let watched = watch(&args.name, context)?;
        let expired = watched.as_ref().and_then(|(_, seen)| seen.expired.clone());
        if expired.is_some() && expired != verb.expired {
            verb.expired = expired;
            continue;
        }
        if until.passed() {
            let error = error.after_waiting(args.wait);
            return Err(match watched.filter(|(lock, _)| lock.overdue(context.now()).is_some()) {
                Some((lock, seen)) => error.hint(overdue_hint(&lock.name, seen.left)),
                None => error,
            });
        }
        if !told {
            context.output.say(&format!(
                "waiting up to {}: {}",
                show_span(args.wait.unwrap_or_default()),
                error.message
            ));
            told = true;
        }
        let pause = if context.ledger()?.is_remote() { LOOK_PAUSE_REMOTE } else { LOOK_PAUSE_LOCAL };
        let next = Deadline::after((pause / 2 + random::up_to(pause / 2)).min(until.left()));
        while !next.passed() {
            if stop.is_some_and(Stop::requested) {
                let why = format!("asked to end while waiting; lock `{}` was not taken", args.name);
                return Err(CliError::new(Exit::Failed, why));
            }
            asked::idle(STOP_LATENCY.min(next.left()));
        }
    }
}

/// What to do about a lock that nobody renews and this machine may take over when `left` is over.
fn overdue_hint(name: &str, left: Duration) -> String {
    format!(
        "if nobody renews it this machine may take it over in {}: `git muster lock acquire {name} --wait {}`, or, if its holder is known to be gone, at once `git muster lock steal {name} --reason WHY --force`",
        show_span(left),
        wait_over(left)
    )
}

/// A `--wait` that suffices to take over what is free when `left` is over: a look at the hub comes after it.
pub(super) fn wait_over(left: Duration) -> String {
    format!("{}s", left.saturating_add(LOOK_PAUSE_REMOTE).as_secs() + 1)
}

/// Looks at the lock, if it is held, and at how long this host has watched it unchanged.
fn watch(name: &LockName, context: &mut Context) -> Result<Option<(Lock, WatchedLock)>, CliError> {
    let lock = context.read(false, |snapshot| {
        let locks: Table<Lock> = snapshot.table()?;
        Ok(locks.get(name.as_str()).map(|lock| (**lock).clone()))
    })?;
    let seen = context.observe(|watch| watch.lock(name.as_str(), lock.as_ref()))?;
    Ok(lock.filter(Lock::is_held).zip(seen))
}

/// What was shown of locks counts for whoever watches them.
fn glance(locks: &[(&str, Option<&Lock>)], context: &mut Context) -> Result<(), CliError> {
    let (place, mut observed) = (context.place()?.watched(), Observations::recall());
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
            output.say("there is no lock");
            String::new()
        } else {
            table(&["LOCK", "STATE", "HELD BY", "TOKEN", "SINCE", "REASON"], &rows)
        }
    })
}

/// The state for people, who want to know that nobody renews it.
fn shown_state(lock: &ShownLock, now: Timestamp) -> String {
    match lock.overdue(now) {
        Some(over) => format!("held, overdue {}", show_span(over)),
        None => lock.state().to_owned(),
    }
}
