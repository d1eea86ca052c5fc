//! `git muster fence`: guards for effects outside the hub.
//!
//! A server that held a lock and was suspended may wake up after the lock went to another. Inside
//! the hub its token is refused; outside, the place where the effect happens must do that. This
//! keeps the highest token a place has seen in a file there, and refuses lower ones.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::domain::id::LockName;
use crate::host::clock::Deadline;
use crate::host::file_lock::FileLock;
use crate::host::files;
use crate::host::process;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for another check of the same file.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The verbs of `fence`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum FenceCommand {
    /// Let a command run only if no higher token of the lock was seen here
    #[command(after_help = "Examples:
  git muster fence check --name deploy --token 7 --state /var/lib/app/fence.json -- ./switch.sh
  git muster fence check --name deploy --token 7 --state /var/lib/app/fence.json && ./switch.sh

Run it where the effect happens. The highest token is kept in the state file, per lock, before the \
command runs; the file stays locked while it runs. Exit code 5: the token is from an earlier term. \
Needs no hub.")]
    Check {
        /// The lock
        #[arg(long, env = "MUSTER_LOCK_NAME")]
        name: LockName,
        /// The token under which the effect is wanted
        #[arg(long, env = "MUSTER_LOCK_TOKEN")]
        token: u64,
        /// The file that remembers the highest token of each lock
        #[arg(long, value_name = "FILE")]
        state: PathBuf,
        /// The command
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// The highest token seen of each lock.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Fence {
    highest: BTreeMap<String, u64>,
}

/// A verb of `fence`.
///
/// # Errors
/// When the token is from an earlier term, or the file cannot be used.
pub(super) fn run(command: &FenceCommand, context: &Context) -> Result<u8, CliError> {
    let FenceCommand::Check { name, token, state, command } = command;
    if let Some(folder) = state.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        let why = format!("there is no folder `{}` for the state file; nothing was run", folder.display());
        return Err(CliError::new(Exit::Failed, why));
    }
    // Through a link or not, it is one state: what is written replaces the file and not the link.
    let state = &std::fs::canonicalize(state).unwrap_or_else(|_| state.clone());
    let lock_path = PathBuf::from(format!("{}.flock", state.display()));
    let Some(_guard) = FileLock::acquire(&lock_path, Deadline::after(LOCK_WAIT)) else {
        return Err(CliError::new(
            Exit::Contended,
            format!(
                "`{}` could not be locked within {} s; nothing was run",
                lock_path.display(),
                LOCK_WAIT.as_secs()
            ),
        )
        .hint("another check holds it, or the folder cannot be written"));
    };
    // A file that cannot be understood must not let an old token pass.
    let mut fence: Fence = match files::read(state)? {
        None => Fence::default(),
        Some(text) => serde_json::from_str(&text).map_err(|error| {
            CliError::new(
                Exit::Failed,
                format!("`{}` cannot be used: {error}; nothing was run", state.display()),
            )
        })?,
    };
    let highest = fence.highest.get(name.as_str()).copied().unwrap_or(0);
    if *token < highest {
        return Err(CliError::new(
            Exit::LeaseLost,
            format!(
                "token {token} of lock `{name}` is from an earlier term: token {highest} was seen here; nothing was run"
            ),
        ));
    }
    if *token > highest {
        fence.highest.insert(name.to_string(), *token);
        let text = serde_json::to_string_pretty(&fence)
            .map_err(|error| CliError::new(Exit::Bug, error.to_string()))?;
        files::write(state, &format!("{text}\n"))?;
    }
    let Some((program, arguments)) = command.split_first() else {
        context.output.object("fence", &json!({"name": name, "token": token, "passed": true}), || {
            format!("token {token} of lock `{name}` passes")
        })?;
        return Ok(Exit::Done.code());
    };
    match process::command(Path::new(program)).args(arguments).status() {
        Ok(status) => Ok(process::shell_code(status)),
        Err(error) => {
            let why = format!("cannot run `{}`: {error}", program.display());
            context.output.error(&CliError::new(Exit::Failed, why));
            Ok(process::shell_code_of_start(&error))
        }
    }
}
