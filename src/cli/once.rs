//! `git muster once`: things that one server does once for all.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::input;
use super::lock::{TakeArgs, acquire};
use crate::app::commands::lock::MarkDone;
use crate::domain::id::LockName;
use clap::Subcommand;
use serde_json::json;
use std::time::Duration;

/// The verbs of `once`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum OnceCommand {
    /// Ask whether to do a task: prints `do` and a token to one server, then `done` to every other
    #[command(after_help = "Example:
  answer=$(git muster once do migrate-2026 --wait 15m) &&
  case $answer in
    'do '*)
      ./migrate &&
      git muster once done migrate-2026 --token \"${answer#do }\" ;;
    done) echo 'another server did it' ;;
  esac

If the server that got `do` does not report within the lease, another server gets `do`. The key is \
a lock name and stays done for good: do not reuse the name of another lock, and use a new key to \
run the task again.")]
    Do {
        /// Key of the task: a lock name
        key: LockName,
        /// Duration of the lease, in which the task must be done
        #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "10m")]
        ttl: Duration,
        /// Time to wait while another server does the task [default: do not wait]
        #[arg(long, value_name = "DURATION", value_parser = input::span)]
        wait: Option<Duration>,
    },
    /// Mark a task as done
    #[command(after_help = "Example:\n  git muster once done migrate-2026-11 --token 1")]
    Done {
        /// Key of the task: a lock name
        key: LockName,
        /// Token that `once do` printed [otherwise: MUSTER_LOCK_TOKEN, if MUSTER_LOCK_NAME is this key]
        #[arg(long)]
        token: Option<u64>,
    },
}

/// A verb of `once`.
///
/// # Errors
/// When another is doing it, or the hub cannot be used.
pub(super) fn run(command: &OnceCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        OnceCommand::Do { key, ttl, wait } => {
            context.require_outlet("no server got `do`")?;
            let take =
                TakeArgs { name: key.clone(), ttl: *ttl, wait: *wait, reason: Some("once".to_owned()) };
            match acquire(&take, context, None) {
                Ok((term, _)) => {
                    let token = term.answer.token;
                    let answer = json!({"key": key, "answer": "do", "token": token});
                    context.deliver(&term, |output| output.answer("once", &answer, || format!("do {token}")))
                }
                // The lock of a thing that is done says no, and no is the answer.
                Err(error) if error.exit == Exit::No => {
                    context
                        .output
                        .object("once", &json!({"key": key, "answer": "done"}), || "done".to_owned())
                }
                Err(error) => Err(error),
            }
        }
        OnceCommand::Done { key, token } => {
            let token = input::token(*token, key.as_str(), input::OF_LOCK)?;
            let verb = MarkDone { key: key.clone(), server: context.acting()?, token };
            context.write(&verb)?;
            context
                .output
                .confirm("once", &json!({"key": key, "answer": "done"}), || format!("`{key}` is done"))
        }
    }
}
