//! The hidden command that stands between a worker and one job, or `lock run` and its command; see
//! `machine/guard.rs`.

use super::error::CliError;
use crate::machine::guard::{self, StartMode, SupervisorArgs};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct GuardArgs {
    /// A file to lock as long as something of the job lives
    #[arg(long, value_name = "FILE")]
    alive: Option<PathBuf>,
    /// How long the job has to end after it was asked to
    #[arg(long, value_name = "MILLISECONDS")]
    grace_ms: u64,
    /// How long it has at most after its holder is not trusted any more to have it
    #[arg(long, value_name = "MILLISECONDS")]
    lapsed_grace_ms: Option<u64>,
    /// How long the job may run
    #[arg(long, value_name = "MILLISECONDS")]
    limit_ms: Option<u64>,
    /// The socket by which orders come, when the input is the job's
    #[arg(long, value_name = "SOCKET")]
    orders: Option<PathBuf>,
    /// The process group to start the job in
    #[arg(long, value_name = "ID", requires = "orders")]
    group: Option<i32>,
    /// Job id
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the job and returns its exit code.
///
/// # Errors
/// When the system does not tell what became of it.
pub(super) fn run(args: &GuardArgs) -> Result<u8, CliError> {
    let manner = |orders: &PathBuf| StartMode::Attached(orders.clone(), args.group);
    let post = SupervisorArgs {
        alive: args.alive.clone(),
        grace: Duration::from_millis(args.grace_ms),
        lapsed_grace: Duration::from_millis(args.lapsed_grace_ms.unwrap_or(args.grace_ms)),
        limit: args.limit_ms.map(Duration::from_millis),
        manner: args.orders.as_ref().map_or(StartMode::Job, manner),
    };
    Ok(guard::guard(&args.command, &post)?)
}
