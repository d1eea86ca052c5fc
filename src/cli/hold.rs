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
use crate::app::flows::hold::{Event, HoldFlow, LossReason, Step};
use crate::domain::code::Code;
use crate::domain::id::LockName;
use crate::domain::lease::margin;
use crate::domain::time::show_span;
use crate::machine::Deadline;
use crate::machine::Machine;
use crate::machine::clock;
use crate::machine::guard::{StopCause, SupervisorReport};
use crate::machine::signals::StopFlag;
use crate::machine::ward::{Ending, SupervisedCommand, Supervision};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the command and the lease are looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(50);
/// How long a command has to end when its lease is lost, before it is made to.
const STOP_GRACE_MAX: Duration = Duration::from_secs(5);

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
    let names = (args.name.clone(), context.acting()?);
    let flow = HoldFlow::new(names, term.token, args.ttl, trusted, clock::since_boot());
    let grace = margin(args.ttl).min(STOP_GRACE_MAX);
    let mut held = HeldLock { release: flow.release(), flow, grace, machine: context.machine.clone() };
    let release = held.release.clone();
    if stop.requested() || held.trusted().passed() {
        context.give_back(&release, &named(&release))?;
        let why = if stop.requested() { "interrupted" } else { "acquiring the lock took too long" };
        let why = format!("{why}; `{}` was not run and the lock was released", program.display());
        return Err(CliError::interrupted(&args.name, why));
    }
    let mut variables = context.settings.said();
    variables.push(("MUSTER_LOCK_NAME", term.name.clone()));
    variables.push(("MUSTER_LOCK_TOKEN", term.token.to_string()));
    let charge = SupervisedCommand { command, variables: &variables, grace: held.grace, alive: None };
    let mut ward = match Supervision::start(&charge) {
        Ok(ward) => ward,
        Err(error) => {
            context.give_back(&release, &named(&release))?;
            let why = format!(
                "cannot supervise `{}`: {error}; it was not run, and the lock was released",
                program.display()
            );
            return Err(CliError::not_started(program.display(), &error, why));
        }
    };
    *farewell.lock().unwrap_or_else(PoisonError::into_inner) = left_held(&release, held.grace);
    match watch(&mut ward, &mut held, &stop, context) {
        Ok(Ending::Told(SupervisorReport { cause: StopCause::Unstarted, code, error })) => {
            context.give_back(&release, &named(&release))?;
            let error = io::Error::from_raw_os_error(error.unwrap_or_default());
            let why = format!("cannot run `{}`: {error}; the lock was released", program.display());
            context.output.error_with(&CliError::not_started(program.display(), &error, why), code);
            Ok(code)
        }
        Ok(Ending::Told(SupervisorReport { cause: StopCause::Lapsed, .. })) => {
            Err(lost(held.late(), &release, &held, context)?)
        }
        Ok(Ending::Told(SupervisorReport { code, cause: StopCause::Itself | StopCause::Told, .. })) => {
            end(code, &mut held, context)
        }
        Ok(Ending::Told(_)) => {
            end_unguarded("the supervisor was suspended; the command was stopped", &release, context)
        }
        Ok(Ending::Unguarded(true)) => {
            end_unguarded("the supervisor was killed; the command was stopped", &release, context)
        }
        Ok(Ending::Unguarded(false)) => Err(left_unreleased(&release)),
        Err(error) => Err(lost(error, &release, &held, context)?),
    }
}

/// The command may still run, and the lock is left to it.
fn left_unreleased(term: &ReleaseLock) -> CliError {
    let why = "the supervisor of the command was killed, and some of its processes may still be running";
    CliError::new(Code::LockNotReleased, format!("{why}; the lock was not released"))
        .fact("lock", term.name.as_str())
        .fact("detail", why)
        .hint(format!(
            "once they have ended, release the lock with `git muster lock release {} --token {}`",
            term.name, term.token
        ))
}

fn program_of(command: &[OsString]) -> Result<&Path, CliError> {
    command.first().map(Path::new).ok_or_else(|| CliError::new(Code::Usage, "no command is given"))
}

/// Listens for the wish to end. What is told when it is repeated and obeyed at once may be set anew.
fn listen(name: &LockName, output: Output) -> io::Result<(StopFlag, Arc<Mutex<String>>)> {
    let words = format!(
        "second signal, exiting at once; check with `git muster op list` whether lock `{name}` was acquired"
    );
    let words = Arc::new(Mutex::new(words));
    let told = Arc::clone(&words);
    let stop =
        StopFlag::listen_and(move || output.warn(&told.lock().unwrap_or_else(PoisonError::into_inner)))?;
    Ok((stop, words))
}

/// What is told by who ends while its command runs.
fn left_held(release: &ReleaseLock, grace: Duration) -> String {
    format!(
        "second signal, exiting at once: the command is stopped within {}, and lock `{1}` stays held until its lease expires; once the command has ended, release it with `git muster lock release {1} --token {2}`",
        show_span(grace),
        release.name,
        release.token
    )
}

/// Waits for the end of the command, and renews the lease meanwhile.
///
/// # Errors
/// When the lease is lost: then the command has been ended.
fn watch(
    ward: &mut Supervision,
    held: &mut HeldLock,
    stop: &StopFlag,
    context: &mut Context,
) -> Result<Ending, CliError> {
    ward.trust(&held.trusted());
    loop {
        if let Some(ending) = ward.wait_until(&Machine::real().deadline(WATCH_PAUSE))? {
            return Ok(ending);
        }
        if stop.requested() {
            return Ok(ward.stop()?);
        }
        let trusted = held.trusted();
        if let Err(error) = held.keep(context) {
            ward.stop()?;
            return Err(error);
        }
        if held.trusted() != trusted {
            ward.trust(&held.trusted());
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
    held: &HeldLock,
    context: &mut Context,
) -> Result<CliError, CliError> {
    if held.trusted().passed() {
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
    Err(CliError::new(Code::CommandKilled, format!("{why}; the lock was released")))
}

/// Releases the lock after the command ended with `code`.
fn end(code: u8, held: &mut HeldLock, context: &mut Context) -> Result<u8, CliError> {
    let mut event = Event::Ended;
    let mut failed = None;
    loop {
        event = match held.flow.next(event, clock::since_boot()) {
            Step::Release(release) => match context.give_back(&release, &named(&release)) {
                Ok(_) => Event::Released,
                Err(error) => Event::Failed(failed.insert(error).failure),
            },
            Step::Done | Step::Renew(..) | Step::Wait(_) => return Ok(code),
            Step::Lost(_) | Step::Kept => break,
        };
    }
    match failed {
        // Whoever has the lock now may have worked at the same time as the command.
        Some(error) if error.exit == Exit::LeaseLost => {
            let message = format!("{}; the command exited with {code}", error.message);
            Err(CliError { message, ..error })
        }
        Some(error) => {
            context.output.error(&error);
            context.output.warn(&format!(
                "the command exited with {code}, but lock `{}` was not released; other servers can take it over after watching it for its lease",
                held.release.name
            ));
            Ok(code)
        }
        None => Ok(code),
    }
}

/// A lock that is held while a command runs.
struct HeldLock {
    flow: HoldFlow,
    release: ReleaseLock,
    /// How long the command has to end: what is given away of the lease for safety.
    grace: Duration,
    /// By whose clock.
    machine: Machine,
}

impl HeldLock {
    /// Until when nobody else can have it.
    fn trusted(&self) -> Deadline {
        Deadline::at(&self.machine, self.flow.trusted())
    }

    /// Renews the lease if it is time to.
    ///
    /// # Errors
    /// When it is lost, or could not be renewed in time.
    fn keep(&mut self, context: &mut Context) -> Result<(), CliError> {
        let mut event = Event::Tick;
        let mut failed = None;
        loop {
            event = match self.flow.next(event, clock::since_boot()) {
                Step::Renew(renew, within) => match renewed(&renew, within, context)? {
                    Ok(()) => Event::Renewed,
                    Err(error) => Event::Failed(failed.insert(error).failure),
                },
                Step::Lost(LossReason::Taken) => return Err(failed.unwrap_or_else(|| self.late())),
                Step::Wait(_) | Step::Lost(LossReason::Late) => {
                    if let Some(error) = failed {
                        context.output.warn(&format!(
                            "lock `{}` was not renewed: {}; it is still held for {}, and the renewal is retried",
                            self.release.name,
                            error.message,
                            show_span(self.trusted().left())
                        ));
                    }
                    return if self.trusted().passed() { Err(self.late()) } else { Ok(()) };
                }
                Step::Release(_) | Step::Done | Step::Kept => return Ok(()),
            };
        }
    }

    fn late(&self) -> CliError {
        let why = format!("the lease of lock `{}` could not be renewed in time", self.release.name);
        CliError::new(Code::LeaseNotRenewed, why).fact("lock", self.release.name.as_str())
    }
}

/// Renews a lease `within` the time that is left of it.
fn renewed(
    renew: &RenewLock,
    within: Duration,
    context: &mut Context,
) -> Result<Result<(), CliError>, CliError> {
    let usual = context.settings.timeout.value;
    context.ledger()?.limit(usual.min(within));
    let renewed = context.write(renew).map(drop);
    context.ledger()?.limit(usual);
    Ok(renewed)
}
