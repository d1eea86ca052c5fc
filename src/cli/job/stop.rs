//! Waiting until nothing of a cancelled job runs any more.
//!
//! Whoever had it at work confirms that. Where nobody does, the session that claimed it is watched
//! as for a rescue: when it is lost, its worker has ended the job before its lease was over.

use super::claim::pause;
use super::show::existing;
use crate::app::commands::rescue::{WatchedSession, session_of};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Job, JobStatus};
use crate::domain::record::Record;
use crate::ledger::Snapshot;
use crate::machine::clock::Deadline;
use serde_json::Value;
use std::time::Duration;

/// A cancelled job, and the session that may still run it.
struct Seen {
    job: Record<Job>,
    session: Option<(ServerName, WatchedSession)>,
}

/// Waits until it is known that nothing of the job runs any more; returns the job, and how that is
/// known, for people.
///
/// # Errors
/// When that is not known in time, or somebody put the job back.
pub(super) fn wait(id: &JobId, span: Duration, context: &mut Context) -> Result<(Value, String), CliError> {
    let until = Deadline::after(span);
    loop {
        let seen = context.read(true, |snapshot| look(id, snapshot))?;
        if seen.job.status != JobStatus::Cancelled {
            let why = format!("job `{id}` was put back into the queue meanwhile: it is {}", seen.job.status);
            return Err(CliError::new(Exit::Refused, why));
        }
        let Some(server) = seen.job.may_still_run_on() else {
            let more = seen.job.confirmation().map_or(String::new(), |told| format!("; {told}"));
            return Ok((seen.job.raw(), more));
        };
        let is_lost = match &seen.session {
            Some((holder, session)) => context.observe(|watch| watch.is_lost(holder, session))?,
            None => false,
        };
        if is_lost {
            let more = format!("; `{server}` is lost, and with it what ran there for the hub");
            return Ok((seen.job.raw(), more));
        }
        if until.passed() {
            let why = format!("job `{id}` is cancelled; not confirmed yet: `{server}` may still run it");
            return Err(CliError::new(Exit::Contended, why)
                .after_waiting(Some(span))
                .hint(format!("wait longer with `git muster job cancel {id} --wait 1h`")));
        }
        pause(until, context)?;
    }
}

fn look(id: &JobId, snapshot: &Snapshot<'_>) -> Result<Seen, CliError> {
    let job = existing(id, snapshot)?;
    let holder = job.may_still_run_on().and_then(|holder| ServerName::new(holder).ok());
    let session = match holder {
        Some(holder) => session_of(snapshot, &holder, &job)?.map(|session| (holder, session)),
        None => None,
    };
    Ok(Seen { job, session })
}
