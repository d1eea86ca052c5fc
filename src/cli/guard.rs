//! The hidden command that stands between a worker and one job; see `host/guard.rs`.

use super::error::CliError;
use crate::host::guard;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct GuardArgs {
    /// A file to lock as long as something of the job lives
    #[arg(long, value_name = "FILE")]
    alive: PathBuf,
    /// How long the job has to end after it was asked to
    #[arg(long, value_name = "MILLISECONDS")]
    grace_ms: u64,
    /// How long the job may run
    #[arg(long, value_name = "MILLISECONDS")]
    limit_ms: u64,
    /// The job
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the job and returns its exit code.
///
/// # Errors
/// When the system does not tell what became of it.
pub(super) fn run(args: &GuardArgs) -> Result<u8, CliError> {
    let (grace, limit) = (Duration::from_millis(args.grace_ms), Duration::from_millis(args.limit_ms));
    Ok(guard::guard(&args.command, &args.alive, grace, limit)?)
}
