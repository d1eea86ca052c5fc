//! The hidden command that prepares the folder of a job for a worker; what it prints is the beginning
//! of the job's log.

use super::error::CliError;
use super::exit::Exit;
use crate::domain::code::Code;
use crate::git::{Location, Source, SourceError, WantedCommit};
use crate::ledger::LedgerError;
use crate::machine::{Machine, environment, files};
use clap::Args;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct CheckoutArgs {
    /// Source repository
    #[arg(long, env = "MUSTER_SOURCE")]
    source: String,
    /// The branch
    #[arg(long)]
    wanted_branch: Option<String>,
    /// The commit
    #[arg(long)]
    wanted_commit: Option<String>,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The file to write the id of the commit into
    #[arg(long, value_name = "FILE")]
    tell: PathBuf,
    /// How long it may take
    #[arg(long, value_name = "MILLISECONDS")]
    limit_ms: u64,
}

/// Checks out.
///
/// # Errors
/// When there is no such branch or commit (exit code 3), it cannot be checked out (4), or the source cannot be reached.
pub(super) fn run(args: &CheckoutArgs) -> Result<u8, CliError> {
    let source = Source::new(Location::parse(&args.source, &environment::home()));
    let wanted =
        WantedCommit { branch: args.wanted_branch.as_deref(), commit: args.wanted_commit.as_deref() };
    let deadline = Machine::real().deadline(Duration::from_millis(args.limit_ms));
    let done = source.check_out(wanted, &args.into, &deadline)?;
    files::write(&args.tell, &done.commit)?;
    writeln!(io::stdout().lock(), "git-muster: checked out {} of {}", done.commit, source.shown())?;
    Ok(Exit::Done.code())
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        let told = |code| Self::new(code, error.to_string());
        match &error {
            SourceError::Missing { source_shown, what } => told(Code::SourceRevisionNotFound)
                .fact("source", source_shown.as_str())
                .fact("what", what.as_str()),
            SourceError::Unusable { source_shown, why } => {
                told(Code::SourceUnusable).fact("source", source_shown.as_str()).fact("why", why.as_str())
            }
            SourceError::Failed { what, source_shown, why } => told(Code::SourceFailed)
                .fact("source", source_shown.as_str())
                .fact("what", *what)
                .fact("detail", why.as_str()),
            SourceError::File(_) => told(Code::FileFailed),
            SourceError::Unsettled { .. } => told(Code::OutcomeUnknown)
                .hint("give the command again: it does nothing where the tag is there already"),
            SourceError::Git(LedgerError::AskedToEnd) => told(Code::AskedToEnd),
            SourceError::Git(_) => told(Code::GitUnusable),
        }
    }
}
