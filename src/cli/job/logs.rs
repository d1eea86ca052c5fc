//! `git muster job logs`: what a job printed, from any clone of the hub.

use crate::app::queries::jobs::{FindLog, FoundLog};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input;
use crate::cli::output::{Output, clean_lines};
use crate::domain::code::Code;
use crate::domain::id::JobId;
use crate::machine::{Machine, asked};
use clap::Args;
use serde_json::json;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// How often a log that grows is looked at: on this machine, and over a network.
const LOOK_PAUSE_LOCAL: Duration = Duration::from_secs(1);
const LOOK_PAUSE_REMOTE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job logs job_1761_1804
  git muster job logs -f job_1761_1804

A worker uploads the output of running jobs every few seconds, and all of it when a job finishes. \
If a log is too long, its middle is cut. On a terminal, control characters are escaped; a file \
gets the raw bytes; --json prints an object per part and replaces invalid UTF-8. Exit code 3 if \
the job has no log.")]
pub struct LogsArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Follow the log until the job has finished
    #[arg(short, long)]
    pub follow: bool,
    /// Maximum time to follow
    #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "24h")]
    pub wait: Duration,
}

/// A look at the log of a job.
struct LogTail {
    /// What the hub has of it; `None` when there is none.
    bytes: Option<Vec<u8>>,
    /// Where it lies.
    path: Option<String>,
    is_final: bool,
}

/// Prints a log.
///
/// # Errors
/// When there is no such job or no log.
pub(super) fn run(args: &LogsArgs, context: &mut Context) -> Result<u8, CliError> {
    let until = Machine::real().deadline(args.wait);
    let mut shown = Printed::default();
    loop {
        let look = look(&args.job, context)?;
        if look.bytes.is_none() && (look.is_final || !args.follow) {
            let why = match look.path {
                Some(path) => format!("the log of job `{}` is not in the hub: `{path}`", args.job),
                None => format!("job `{}` has no log: no worker has run it", args.job),
            };
            return Err(CliError::new(Code::LogNotFound, why)
                .fact("job", args.job.as_str())
                .hint(format!("see its status with `git muster job show {}`", args.job)));
        }
        let bytes = look.bytes.unwrap_or_default();
        if let Some(new) = shown.new_of(look.path.as_deref(), &bytes) {
            print(args, look.path.as_deref(), new, context.output)?;
        }
        shown = Printed { path: look.path, bytes };
        if !args.follow || look.is_final {
            return Ok(Exit::Done.code());
        }
        if until.passed() {
            return Err(CliError::new(Code::WaitExpired, format!("job `{}` has not finished", args.job))
                .fact("kind", "job")
                .fact("id", args.job.as_str())
                .fact("waited_seconds", args.wait.as_secs())
                .after_waiting(Some(args.wait)));
        }
        let pause = if context.ledger()?.is_remote() { LOOK_PAUSE_REMOTE } else { LOOK_PAUSE_LOCAL };
        asked::idle(pause.min(until.left()));
    }
}

fn look(id: &JobId, context: &mut Context) -> Result<LogTail, CliError> {
    let FoundLog { place, is_final } = context.ask(&FindLog { id: id.clone() })?;
    let Some(place) = place else { return Ok(LogTail { bytes: None, path: None, is_final }) };
    let bytes = context.read_with(&place.branch, |snapshot| Ok(place.read(snapshot)?))?;
    Ok(LogTail { bytes, path: Some(place.path), is_final })
}

/// What was printed already.
#[derive(Default)]
struct Printed {
    path: Option<String>,
    bytes: Vec<u8>,
}

impl Printed {
    /// What is new, if anything is. A log whose middle was cut meanwhile, or that of another attempt,
    /// begins anew.
    fn new_of<'a>(&self, path: Option<&str>, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let is_other = self.path.as_deref() != path;
        let new = match bytes.strip_prefix(self.bytes.as_slice()) {
            Some(new) if !is_other => new,
            _ => bytes,
        };
        (!new.is_empty()).then_some(new)
    }
}

/// Prints a part of a log: as an object for machines, at a terminal so that nothing is obeyed, and the
/// bytes as they are otherwise.
fn print(args: &LogsArgs, path: Option<&str>, bytes: &[u8], output: Output) -> Result<(), CliError> {
    let text = String::from_utf8_lossy(bytes);
    if output.json {
        return output.object("job_log", &json!({"job": args.job, "path": path, "text": text}), String::new);
    }
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        out.write_all(clean_lines(&text).as_bytes())?;
    } else {
        out.write_all(bytes)?;
    }
    Ok(out.flush()?)
}
