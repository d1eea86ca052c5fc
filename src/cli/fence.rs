//! `git muster fence`: guards for effects outside the hub.
//!
//! A server that held a lock and was suspended may wake up after the lock went to another. Inside
//! the hub its token is refused; outside, the place where the effect happens must do that. This
//! keeps the highest token a place has seen in a file there, and refuses lower ones.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::input;
use crate::domain::code::Code;
use crate::domain::id::LockName;
use crate::domain::lease::TOKEN_MAX;
use crate::domain::shell::quoted;
use crate::machine::file_lock::{FileLock, NotLocked};
use crate::machine::guard::{StopCause, SupervisorReport};
use crate::machine::signals::StopFlag;
use crate::machine::ward::{Ending, SupervisedCommand, Supervision};
use crate::machine::{Machine, files};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for another check of the same file.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether the command, or this check, is to end.
const WATCH_PAUSE: Duration = Duration::from_millis(50);

/// How long a command has to end when the check that started it is ended: less than others wait.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How many links are followed to a state file that is not there yet.
const LINKS_MAX: usize = 40;

/// The verbs of `fence`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum FenceCommand {
    /// Run a command unless a higher token of the lock has been seen here
    #[command(after_help = "Examples:
  git muster fence check --name deploy --token 7 --state fence.json -- ./go
  git muster fence check --name deploy --token 7 --state fence.json && ./go

Run this on the machine where the command takes effect. The highest token of each lock is stored \
in the state file before the command runs; the file stays locked while the command runs. Exit code \
5 if the token has been superseded. No hub is needed.")]
    Check {
        /// Name of the lock
        #[arg(long, env = "MUSTER_LOCK_NAME")]
        name: LockName,
        /// Token to check [otherwise: MUSTER_LOCK_TOKEN, if MUSTER_LOCK_NAME is this lock]
        #[arg(long)]
        token: Option<u64>,
        /// File that stores the highest token seen of each lock
        #[arg(long, value_name = "FILE")]
        state: PathBuf,
        /// Program and arguments to run
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// The highest token seen of each lock.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Fence {
    highest: BTreeMap<String, u64>,
}

/// Locks a file beside the state.
fn locked(path: &Path) -> Result<FileLock, CliError> {
    FileLock::acquire(path, &Machine::real().deadline(LOCK_WAIT)).map_err(|not| {
        let code = if not.is_busy() { Code::FenceLocked } else { Code::FileFailed };
        let hint = match not {
            NotLocked::Busy(_) => "try again after that check has finished",
            NotLocked::Impossible { .. } => "set `--state` to a file in a writable directory on a local disk",
        };
        CliError::new(code, format!("{not}; nothing was run"))
            .fact("path", path.display().to_string())
            .hint(hint)
    })
}

/// What to do where the state file says nothing that holds any more.
fn begin_anew(state: &Path) -> String {
    let file = quoted(&state.display().to_string());
    format!(
        "once no process with an earlier token is left, remove it with `rm {file}`; the next check creates it again"
    )
}

/// Where links lead from `path`, also if nothing is there yet.
fn followed(path: &Path) -> PathBuf {
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        if let Ok(real) = at.canonicalize() {
            return real;
        }
        let Ok(to) = at.read_link() else { break };
        at = at.parent().unwrap_or(Path::new("")).join(to);
    }
    at
}

/// What the state file says.
fn kept(state: &Path) -> Result<Fence, CliError> {
    let failed = |why: String| {
        CliError::new(Code::FileFailed, format!("{why}; nothing was run"))
            .fact("path", state.display().to_string())
            .fact("detail", why)
    };
    let text = files::read(state).map_err(|error| {
        let told = failed(error.to_string());
        // What else is in the way may pass, or is no file.
        if error.kind() == io::ErrorKind::InvalidData { told.hint(begin_anew(state)) } else { told }
    })?;
    let Some(text) = text else { return Ok(Fence::default()) };
    serde_json::from_str(&text)
        .map_err(|error| failed(format!("cannot use `{}`: {error}", state.display())).hint(begin_anew(state)))
}

/// A verb of `fence`.
///
/// # Errors
/// When the token is from an earlier term, or the file cannot be used.
pub(super) fn run(command: &FenceCommand, context: &Context) -> Result<u8, CliError> {
    let FenceCommand::Check { name, token, state, command } = command;
    let token = input::token(*token, name.as_str(), input::OF_LOCK)?;
    // Too high a one, kept, would let nobody pass ever after; the first that is given is 1.
    if !(1..=TOKEN_MAX).contains(&token) {
        let why = format!(
            "invalid token {token} of lock `{name}`: valid tokens are 1 to {TOKEN_MAX}; nothing was run"
        );
        let hint = format!(
            "print the token with `git muster lock show {name}`; `git muster fsck --mend` fixes invalid tokens in a hub"
        );
        return Err(CliError::new(Code::ValueInvalid, why)
            .fact("field", "token")
            .fact("given", token.to_string())
            .hint(hint));
    }
    // Through a link or not, it is one state: what is written replaces the file and not the link.
    let state = &followed(state);
    if let Some(folder) = state.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        let why = format!("no directory `{}` for the state file; nothing was run", folder.display());
        return Err(CliError::new(Code::FileFailed, why).fact("path", folder.display().to_string()));
    }
    let at_work = PathBuf::from(format!("{}.guard", state.display()));
    let mut guard = None;
    if !context.is_dry_run() {
        guard = Some(locked(&PathBuf::from(format!("{}.flock", state.display())))?);
        // What an earlier check ran may be ending still, if that check was killed.
        drop(locked(&at_work)?);
    }
    // A file that cannot be understood must not let an old token pass.
    let mut fence = kept(state)?;
    let highest = fence.highest.get(name.as_str()).copied().unwrap_or(0);
    if token < highest {
        let error = CliError::new(
            Code::TokenSuperseded,
            format!(
                "token {token} of lock `{name}` has been superseded: token {highest} was seen here; nothing was run"
            ),
        )
        .fact("kind", "lock")
        .fact("id", name.as_str())
        .fact("token", token)
        .fact("last_token", highest);
        return Err(if highest > TOKEN_MAX { error.hint(begin_anew(state)) } else { error });
    }
    if context.is_dry_run() {
        return pass(name, token, command, context);
    }
    if token > highest {
        fence.highest.insert(name.to_string(), token);
        let text = serde_json::to_string_pretty(&fence)
            .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
        files::write(state, &format!("{text}\n"))?;
    }
    let Some(program) = command.first() else { return pass(name, token, command, context) };
    let code = run_guarded(command, &at_work, program, context);
    drop(guard);
    code
}

/// Says that a token passes, and of a dry run what was not done.
fn pass(name: &LockName, token: u64, command: &[OsString], context: &Context) -> Result<u8, CliError> {
    context.output.object("fence", &json!({"name": name, "token": token, "passed": true}), || {
        format!("token {token} of lock `{name}` passes")
    })?;
    if context.is_dry_run() {
        let program = command.first().map(|program| format!(", and `{}` was not run", program.display()));
        context.output.warn(&format!(
            "dry run: nothing was written: the token is not stored{}",
            program.unwrap_or_default()
        ));
    }
    Ok(Exit::Done.code())
}

/// Runs what is fenced, which does not outlive us.
fn run_guarded(
    command: &[OsString],
    at_work: &Path,
    program: &OsString,
    context: &Context,
) -> Result<u8, CliError> {
    let program = program.display();
    // Asked to end, it ends its command first and says how that ended.
    let stop = StopFlag::listen()?;
    let charge = SupervisedCommand {
        command,
        variables: &context.settings.said(),
        grace: STOP_GRACE,
        alive: Some(at_work),
    };
    let mut ward = Supervision::start(&charge).map_err(|error| {
        CliError::not_started(
            &program,
            &error,
            format!("cannot supervise `{program}`: {error}; nothing was run"),
        )
    })?;
    let ending = loop {
        if let Some(ending) = ward.wait_until(&Machine::real().deadline(WATCH_PAUSE))? {
            break ending;
        }
        if stop.requested() {
            break ward.stop()?;
        }
    };
    match ending {
        Ending::Told(SupervisorReport { cause: StopCause::Unstarted, code, error }) => {
            let error = io::Error::from_raw_os_error(error.unwrap_or_default());
            let error = CliError::not_started(&program, &error, format!("cannot run `{program}`: {error}"));
            context.output.error_with(&error, code);
            Ok(code)
        }
        Ending::Told(SupervisorReport { code, .. }) => Ok(code),
        Ending::Unguarded(_) => Err(CliError::new(
            Code::CommandKilled,
            format!("the supervisor of `{program}` was killed, and with it the command"),
        )
        .fact("program", program.to_string())),
    }
}
