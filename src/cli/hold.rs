//! `git muster lock run`: a command that runs only while a lock is held.
//!
//! The lease is renewed between two looks at the command. The command stands under a guard, which ends
//! it when what the holder may trust is over, whatever keeps us from doing so: then another may hold the
//! lock already.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::lock::{TakeArgs, acquire};
use super::output::Output;
use crate::app::commands::lock::{ReleaseLock, RenewLock};
use crate::domain::id::LockName;
use crate::domain::lease::{margin, trust};
use crate::domain::time::show_span;
use crate::machine::clock::Deadline;
use crate::machine::guard::{Cause, Told};
use crate::machine::signals::Stop;
use crate::machine::ward::{Charge, Ending, Ward};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the command and the lease are looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(50);
/// How long a command has to end when its lease is lost, before it is made to.
const STOP_GRACE_MAX: Duration = Duration::from_secs(5);
/// A lease is renewed when this fraction of it has passed.
const RENEWALS_PER_LEASE: u32 = 3;

/// Runs `command` under the lock and returns its exit code.
///
/// # Errors
/// When the lock is not had, or lost while the command ran.
pub(super) fn run(args: &TakeArgs, command: &[OsString], context: &mut Context) -> Result<u8, CliError> {
    let (stop, farewell) = listen(&args.name, context.output)?;
    let (taken, trusted) = acquire(args, context, Some(&stop))?;
    // It is used here; who kills this process finds the token by it.
    context.delivered(&taken);
    let term = taken.answer;
    let program = program_of(command)?;
    if context.is_dry_run() {
        // Nobody holds the lock now, so nothing may be done under it.
        context.output.say(&format!("dry run: `{}` was not run", program.display()));
        return Ok(Exit::Done.code());
    }
    let me = context.acting()?;
    let release = ReleaseLock { name: args.name.clone(), server: me.clone(), token: term.token };
    let mut held = Held {
        renew: RenewLock { name: args.name.clone(), server: me, token: term.token, lease_seconds: None },
        ttl: args.ttl,
        grace: margin(args.ttl).min(STOP_GRACE_MAX),
        trusted,
        renewal: Deadline::after(args.ttl / RENEWALS_PER_LEASE),
    };
    if stop.requested() || held.trusted.passed() {
        context.give_back(&release, &named(&release))?;
        let why = if stop.requested() { "asked to end" } else { "it took too long to get the lock" };
        let why = format!("{why}; `{}` was not run and the lock was released", program.display());
        return Err(CliError::new(Exit::Failed, why));
    }
    let mut variables = context.settings.said();
    variables.push(("MUSTER_LOCK_NAME", term.name.clone()));
    variables.push(("MUSTER_LOCK_TOKEN", term.token.to_string()));
    let charge = Charge { command, variables: &variables, grace: held.grace, alive: None };
    let mut ward = match Ward::start(&charge) {
        Ok(ward) => ward,
        Err(error) => {
            context.give_back(&release, &named(&release))?;
            let why = format!(
                "cannot guard `{}`: {error}; it was not run and the lock was released",
                program.display()
            );
            return Err(CliError::new(Exit::Failed, why));
        }
    };
    *farewell.lock().unwrap_or_else(PoisonError::into_inner) = left_held(&release, held.grace);
    match watch(&mut ward, &mut held, &stop, context) {
        Ok(Ending::Told(Told { cause: Cause::Unstarted, code, error })) => {
            context.give_back(&release, &named(&release))?;
            let error = io::Error::from_raw_os_error(error.unwrap_or_default());
            let why = format!("cannot run `{}`: {error}; the lock was released", program.display());
            context.output.error_with(&CliError::new(Exit::Failed, why), code);
            Ok(code)
        }
        Ok(Ending::Told(Told { cause: Cause::Lapsed, .. })) => {
            Err(lost(held.late(), &release, &held, context)?)
        }
        Ok(Ending::Told(Told { code, cause: Cause::Itself | Cause::Told, .. })) => {
            end(code, &release, context)
        }
        Ok(Ending::Told(_)) => {
            end_unguarded("its guard was stopped, and so was the command", &release, context)
        }
        Ok(Ending::Unguarded(true)) => {
            end_unguarded("its guard was killed; the command was stopped", &release, context)
        }
        Ok(Ending::Unguarded(false)) => {
            let why = "the guard of the command was killed, and not all of its processes can be ended";
            let hint = format!(
                "when they have, release the lock with `git muster lock release {} --token {}`",
                args.name, term.token
            );
            Err(CliError::new(Exit::Failed, format!("{why}; the lock was not released")).hint(hint))
        }
        Err(error) => Err(lost(error, &release, &held, context)?),
    }
}

fn program_of(command: &[OsString]) -> Result<&Path, CliError> {
    command.first().map(Path::new).ok_or_else(|| CliError::new(Exit::Usage, "no command is given"))
}

/// Listens for the wish to end. What is told when it is repeated and obeyed at once may be set anew.
fn listen(name: &LockName, output: Output) -> io::Result<(Stop, Arc<Mutex<String>>)> {
    let words = format!(
        "asked once more, and not waiting: whether lock `{name}` was taken, `git muster op list` tells"
    );
    let words = Arc::new(Mutex::new(words));
    let told = Arc::clone(&words);
    let stop = Stop::listen_and(move || output.warn(&told.lock().unwrap_or_else(PoisonError::into_inner)))?;
    Ok((stop, words))
}

/// What is told by who ends while its command runs.
fn left_held(release: &ReleaseLock, grace: Duration) -> String {
    format!(
        "asked once more, and not waiting: the command is stopped within {}, and lock `{1}` stays held until its lease ends; once the command has ended, `git muster lock release {1} --token {2}` frees it",
        show_span(grace),
        release.name,
        release.token
    )
}

/// Waits for the end of the command, and renews the lease meanwhile.
///
/// # Errors
/// When the lease is lost: then the command has been ended.
fn watch(ward: &mut Ward, held: &mut Held, stop: &Stop, context: &mut Context) -> Result<Ending, CliError> {
    ward.trust(held.trusted);
    loop {
        if let Some(ending) = ward.wait_until(Deadline::after(WATCH_PAUSE))? {
            return Ok(ending);
        }
        if stop.requested() {
            return Ok(ward.stop()?);
        }
        let trusted = held.trusted;
        if let Err(error) = held.keep(context) {
            ward.stop()?;
            return Err(error);
        }
        if held.trusted != trusted {
            ward.trust(held.trusted);
        }
    }
}

fn named(release: &ReleaseLock) -> String {
    format!("lock `{}`", release.name)
}

/// What is told when the lease was lost while the command ran.
fn lost(
    error: CliError,
    release: &ReleaseLock,
    held: &Held,
    context: &mut Context,
) -> Result<CliError, CliError> {
    if held.trusted.passed() {
        // If the hub is back, the others need not wait for the end of the lease.
        context.ledger()?.limit(held.grace);
        drop(context.give_back(release, &named(release)));
    }
    let message = format!("{}; the command was stopped", error.message);
    Ok(CliError { exit: Exit::LeaseLost, message, ..error })
}

/// Releases the lock after something took the guard of the command away, and the command with it.
fn end_unguarded(why: &str, release: &ReleaseLock, context: &mut Context) -> Result<u8, CliError> {
    context.give_back(release, &named(release))?;
    Err(CliError::new(Exit::Failed, format!("{why}; the lock was released")))
}

/// Releases the lock after the command ended with `code`.
fn end(code: u8, release: &ReleaseLock, context: &mut Context) -> Result<u8, CliError> {
    match context.give_back(release, &named(release)) {
        // Whoever has the lock now may have worked at the same time as the command.
        Err(error) if error.exit == Exit::LeaseLost => {
            let message = format!("{}; the command had ended with exit code {code}", error.message);
            Err(CliError { message, ..error })
        }
        Err(error) => {
            context.output.error(&error);
            context.output.warn(&format!(
                "the command ended with {code}, but lock `{}` was not released: others can take it when they have seen it unchanged for its lease",
                release.name
            ));
            Ok(code)
        }
        Ok(_) => Ok(code),
    }
}

/// Whether a renewal that ended with `error` shows that another has the lock, or may take it. A hub that
/// refuses a push has taken it from nobody.
fn is_lost(error: &CliError) -> bool {
    matches!(error.exit, Exit::LeaseLost | Exit::Refused | Exit::No) && !error.by_hub
}

/// A lock that is held while a command runs.
struct Held {
    renew: RenewLock,
    ttl: Duration,
    /// How long the command has to end: what is given away of the lease for safety.
    grace: Duration,
    /// Until when nobody else can have it.
    trusted: Deadline,
    /// When it is renewed next.
    renewal: Deadline,
}

impl Held {
    /// Renews the lease if it is time to.
    ///
    /// # Errors
    /// When it is lost, or could not be renewed in time.
    fn keep(&mut self, context: &mut Context) -> Result<(), CliError> {
        if self.renewal.passed() {
            self.renewal = Deadline::after(self.ttl / RENEWALS_PER_LEASE);
            // Trust begins with the attempt, not with its acknowledgement.
            let asked = Deadline::after(trust(self.ttl));
            let usual = context.settings.timeout.value;
            context.ledger()?.limit(usual.min(self.trusted.left()));
            let renewed = context.write(&self.renew);
            context.ledger()?.limit(usual);
            match renewed {
                Ok(_) => self.trusted = asked,
                Err(error) if is_lost(&error) => return Err(error),
                // Anything else extends nothing: the lease runs on to its end.
                Err(error) => {
                    context.output.warn(&format!(
                        "lock `{}` was not renewed: {}; it is ours for {} yet, and the renewal is tried again",
                        self.renew.name,
                        error.message,
                        show_span(self.trusted.left())
                    ));
                    self.renewal = Deadline::after(self.ttl / RENEWALS_PER_LEASE / 4);
                }
            }
        }
        if self.trusted.passed() { Err(self.late()) } else { Ok(()) }
    }

    fn late(&self) -> CliError {
        let why = format!("the lease of lock `{}` could not be renewed in time", self.renew.name);
        CliError::new(Exit::LeaseLost, why)
    }
}
