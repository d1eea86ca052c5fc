//! Taking jobs back from holders that are lost or over their time.
//!
//! Who decides that is an observer with a clock of its own, outside; what is decided here is only
//! whether the very thing it watched is still there: the claim with that token, and for a lost
//! session that exact beat. The session is ended in the same step that takes the job: both
//! branches move together or neither does, so that "the holder renewed" and "somebody took over"
//! cannot both succeed.

use super::Verb;
use super::documents::newest_beat;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{FailReason, Job};
use crate::domain::refusal::Refusal;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::status::{Status, StatusWord};
use crate::domain::table::Table;
use crate::ledger::{Documents as _, Stop, Transaction};
use serde::{Deserialize, Serialize};

/// A claim that was watched until it was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Which job.
    pub job: JobId,
    /// The token of the claim.
    pub token: u64,
    /// The beat that did not change, if the session is what was lost; else the job's own time
    /// ran out.
    pub beat: Option<String>,
}

/// Takes jobs back into the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RescueJobs {
    /// Who does it.
    pub server: ServerName,
    /// The claims that are over.
    pub lost: Vec<Lost>,
}

impl Verb for RescueJobs {
    /// The ids of the jobs that were taken back.
    type Answer = Vec<String>;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>, Stop> {
        let mut jobs: Table<Job> = transaction.table()?;
        let rescued = rescue(&self.lost, &mut jobs, transaction)?;
        if rescued.is_empty() {
            return Err(Refusal::forbidden("no job was taken back: the holders showed signs of life or finished").into());
        }
        transaction.put_table(&jobs);
        Ok(rescued)
    }
}

/// Takes back those of `lost` that are still as they were watched; the others are left alone.
pub(super) fn rescue(lost: &[Lost], jobs: &mut Table<Job>, transaction: &mut Transaction<'_>) -> Result<Vec<String>, Stop> {
    let mut rescued = Vec::new();
    for one in lost {
        let Some(job) = jobs.get_mut(one.job.as_str()) else { continue };
        let Some(holder) = job.assigned_to.as_deref().and_then(|holder| ServerName::new(holder).ok()) else { continue };
        let at = (transaction.now(), transaction.op().clone());
        let reason = if one.beat.is_some() { FailReason::Lost } else { FailReason::Timeout };
        if let Some(watched) = &one.beat
            && !end_session(&holder, watched, transaction)?
        {
            continue;
        }
        if job.edit(|job| job.rescue(one.token, reason, (at.0, &at.1))).is_err() {
            continue;
        }
        if let Some(mut status) = super::documents::status(transaction, &holder)? {
            let job = job.clone();
            status.edit(|status| status.leave(&job, StatusWord::Idle, None, at.0));
            transaction.put_record(&Status::path(&holder), &status);
        }
        transaction.describe(format!("job rescue: {} from {holder} ({})", one.job, reason.as_str()));
        transaction.trailer("Muster-Job", one.job.as_str());
        rescued.push(one.job.to_string());
    }
    Ok(rescued)
}

/// Ends the session of `holder` if its newest beat is the one that was watched.
fn end_session(holder: &ServerName, watched: &str, transaction: &mut Transaction<'_>) -> Result<bool, Stop> {
    let Some(mut newest) = newest_beat(transaction, holder)? else { return Ok(watched.is_empty()) };
    if newest.beat.revoked.is_some() {
        // Ended in this very transaction, for another job of the same holder.
        return Ok(newest.beat.revoked.as_deref() == Some(watched));
    }
    if newest.beat.version() != watched {
        return Ok(false);
    }
    newest.beat.edit(|beat| beat.revoked = Some(watched.to_owned()));
    transaction.put_record_on(&newest.branch, &Heartbeat::path(holder), &newest.beat);
    Ok(true)
}
