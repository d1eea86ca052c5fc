//! `git muster lock run`: a command that runs only while a lock is held.
//!
//! The lease is renewed between two looks at the command. No renewal may take so long that the
//! command outlives what the holder may trust: then another may hold the lock already.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::lock::{TakeArgs, acquire};
use crate::domain::lock::{margin, trust};
use crate::host::clock::Deadline;
use crate::host::process::{self, Running};
use crate::host::signals::Stop;
use crate::ops::lock::{ReleaseLock, RenewLock};
use std::ffi::OsString;
use std::path::Path;
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
    let stop = Stop::listen()?;
    let (taken, trusted) = acquire(args, context, Some(&stop))?;
    // It is used here; who kills this process finds the token by it.
    context.delivered(&taken);
    let term = taken.answer;
    let (program, arguments) =
        command.split_first().ok_or_else(|| CliError::new(Exit::Usage, "no command is given"))?;
    if context.is_dry_run() {
        // Nobody holds the lock now, so nothing may be done under it.
        context.output.say(&format!("dry run: `{}` was not run", program.display()));
        return Ok(Exit::Done.code());
    }
    let me = context.me()?;
    let release = ReleaseLock { name: args.name.clone(), server: me.clone(), token: term.token };
    let mut held = Held {
        renew: RenewLock { name: args.name.clone(), server: me, token: term.token, lease_seconds: None },
        ttl: args.ttl,
        grace: margin(args.ttl).min(STOP_GRACE_MAX),
        trusted,
        renewal: Deadline::after(args.ttl / RENEWALS_PER_LEASE),
    };
    if stop.requested() || held.trusted.passed() {
        context.write(&release)?;
        let why = if stop.requested() { "asked to end" } else { "it took too long to get the lock" };
        let why = format!("{why}; `{}` was not run and the lock was released", program.display());
        return Err(CliError::new(Exit::Failed, why));
    }
    let mut child = process::command(Path::new(program));
    child.args(arguments);
    child.env("MUSTER_LOCK_NAME", &term.name).env("MUSTER_LOCK_TOKEN", term.token.to_string());
    let mut child = match Running::start_attached(&mut child) {
        Ok(child) => child,
        Err(error) => {
            context.write(&release)?;
            let why = format!("cannot run `{}`: {error}; the lock was released", program.display());
            context.output.error(&CliError::new(Exit::Failed, why));
            return Ok(process::shell_code_of_start(&error));
        }
    };
    let status = loop {
        if let Some(status) = child.wait_until(Deadline::after(WATCH_PAUSE))? {
            break status;
        }
        if stop.requested() {
            break child.stop(held.grace)?;
        }
        if let Err(error) = held.keep(context) {
            child.stop(held.grace)?;
            if held.trusted.passed() {
                // If the hub is back, the others need not wait for the end of the lease.
                context.ledger()?.limit(held.grace);
                drop(context.write(&release));
            }
            let message = format!("{}; the command was stopped", error.message);
            return Err(CliError { exit: Exit::LeaseLost, message, ..error });
        }
    };
    end(process::shell_code(status), &release, context)
}

/// Releases the lock after the command ended with `code`.
fn end(code: u8, release: &ReleaseLock, context: &mut Context) -> Result<u8, CliError> {
    match context.write(release) {
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
                Err(error) if matches!(error.exit, Exit::LeaseLost | Exit::Refused) => return Err(error),
                // Anything else extends nothing: the lease runs on to its end.
                Err(error) => {
                    context.output.error(&error);
                    self.renewal = Deadline::after(self.ttl / RENEWALS_PER_LEASE / 4);
                }
            }
        }
        if self.trusted.passed() {
            let why = format!("the lease of lock `{}` could not be renewed in time", self.renew.name);
            return Err(CliError::new(Exit::LeaseLost, why));
        }
        Ok(())
    }
}
