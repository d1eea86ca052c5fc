//! Taking jobs back from holders that are lost or over their time.
//!
//! Who decides that is an observer with a clock of its own, outside; what is decided here is only
//! whether the very thing it watched is still there: the claim with that token, and for a lost
//! session that exact beat. The session is ended in the same step that takes the job: both
//! branches move together or neither does, so that "the holder renewed" and "somebody took over"
//! cannot both succeed.
//!
//! A session of which another took the place, as after a reboot, is watched and ended like one that
//! fell silent: by its own last beat. The other and its jobs are left alone. That the machine did
//! boot again is not taken as proof by itself: a copy of a disk has the state of a machine that may
//! live, and two machines under one name take each other's place in turn.

use crate::app::commands::WriteCommand;
use crate::app::commands::job_step::call_off;
use crate::app::documents::{Beats, BranchHeartbeat, beats, life};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{FailReason, Job};
use crate::domain::lease::patience;
use crate::domain::planted::planted;
use crate::domain::refusal::Refusal;
use crate::domain::status::{Status, StatusWord};
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// A claim that was watched until it was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostClaim {
    pub job: JobId,
    /// The token of the claim.
    pub token: u64,
    /// The beat that did not change, if the session is what was lost: the holder's, or the last of
    /// a session of which another took the place. Else the job's own time ran out.
    pub beat: Option<String>,
}

/// Takes jobs back into the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReclaimJobs {
    /// Who does it.
    pub server: ServerName,
    /// The claims that are over.
    pub lost: Vec<LostClaim>,
}

impl WriteCommand for ReclaimJobs {
    /// The ids of the jobs that were taken back.
    type Answer = Vec<String>;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>, Abort> {
        let mut jobs: Table<Job> = transaction.table()?;
        let rescued = rescue(&self.lost, &mut jobs, transaction)?;
        if rescued.is_empty() {
            let jobs = self.lost.iter().map(|lost| lost.job.to_string()).collect();
            return Err(Refusal::NothingReclaimed { jobs }.into());
        }
        transaction.put_table(&jobs)?;
        Ok(rescued)
    }
}

/// Takes back those of `lost` that are still as they were watched; the others are left alone.
pub(in crate::app) fn rescue(
    lost: &[LostClaim],
    jobs: &mut Table<Job>,
    transaction: &mut Transaction<'_>,
) -> Result<Vec<String>, Abort> {
    let mut rescued = Vec::new();
    for one in lost {
        let Some(job) = jobs.get_mut(one.job.as_str()) else { continue };
        // Asked first: a session is not ended for a claim that is over already.
        let token = if planted("rescue-any-claim") { job.token.unwrap_or(0) } else { one.token };
        if !job.is_held_under(token) {
            continue;
        }
        let Some(holder) = job.assigned_to.as_deref().and_then(|holder| ServerName::new(holder).ok()) else {
            continue;
        };
        let at = (transaction.now(), transaction.op().clone());
        let reason = if one.beat.is_some() { FailReason::Lost } else { FailReason::Timeout };
        let session = job.incarnation.clone();
        if let Some(watched) = &one.beat
            && !end_session(&holder, job.incarnation.as_deref(), watched, transaction)?
        {
            continue;
        }
        if job.edit(|job| job.rescue(token, reason, (at.0, &at.1))).is_err() {
            continue;
        }
        if let Some(mut status) = crate::app::documents::status(transaction, &holder)? {
            let job = job.clone();
            status.edit(|status| {
                status.leave(&job, StatusWord::Idle, None, at.0);
                if let (Some(_), Some(session)) = (&one.beat, &session) {
                    status.end_session(session);
                }
            });
            transaction.put_record(&Status::path(&holder), &status)?;
        }
        transaction.describe(format!("job rescue: {} from {holder} ({})", one.job, reason.as_str()));
        transaction.trailer("Muster-Job", one.job.as_str());
        call_off(one.job.as_str(), jobs, transaction);
        rescued.push(one.job.to_string());
    }
    Ok(rescued)
}

/// Ends the session `incarnation` of `holder` if its signs of life are those that were watched.
fn end_session(
    holder: &ServerName,
    incarnation: Option<&str>,
    watched: &str,
    transaction: &mut Transaction<'_>,
) -> Result<bool, Abort> {
    let Beats { placed, is_out_of_sight } = beats(transaction, holder)?;
    if is_out_of_sight {
        return Ok(false);
    }
    let incarnation = incarnation.unwrap_or_default();
    let is_ended = |beat: &Heartbeat| {
        let earlier = beat.earlier_session(incarnation).and_then(|one| one.revoked.as_deref());
        beat.revoked.as_deref() == Some(watched) || earlier == Some(watched)
    };
    if placed.iter().any(|placed| is_ended(&placed.beat)) {
        // Ended already, for another job of the same holder, which has begun no new session since.
        return Ok(true);
    }
    let is_replaced = replaced(&placed, incarnation).is_some_and(|session| session.beat == watched);
    if !is_replaced && life(&placed) != watched && !planted("rescue-of-the-living") {
        return Ok(false);
    }
    for mut placed in placed.into_iter().filter(|placed| placed.beat.incarnation.is_some()) {
        placed.beat.edit(|beat| {
            if is_replaced {
                beat.end_earlier(incarnation, watched);
            } else {
                beat.revoked = Some(watched.to_owned());
            }
        });
        if !planted("rescue-without-session") {
            transaction.put_record_on(&placed.branch, &Heartbeat::path(holder), &placed.beat)?;
        }
    }
    Ok(true)
}

/// A claim of another server, as an observer watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedClaim {
    pub job: JobId,
    /// The token of the claim.
    pub token: u64,
    /// The server that holds it.
    pub holder: ServerName,
    /// Names this claim. More than its token, which a hub that was rolled back gives again.
    pub version: String,
    /// How long the claim may be seen before its own time is over.
    pub time_patience: Duration,
    /// The session that made it, if it ever gave a sign of life.
    pub session: Option<WatchedSession>,
}

/// The session that made a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedSession {
    /// Which, if another took its place; else it is the holder's present one.
    pub replaced: Option<String>,
    /// Its newest beat.
    pub beat: String,
    /// How long that beat may be seen before the session is lost.
    pub patience: Duration,
}

/// All claims of other servers, and of `me` as far as their own time goes or another session of `me`
/// made them.
///
/// # Errors
/// When a document cannot be read.
pub fn watched_claims(documents: &impl Documents, me: &ServerName) -> Result<Vec<WatchedClaim>, Abort> {
    let jobs: Table<Job> = documents.table()?;
    let mut beats_of: HashMap<ServerName, Beats> = HashMap::new();
    let mut watched = Vec::new();
    for job in jobs.rows().filter(|job| job.status.is_held()) {
        let (Ok(id), Some(Ok(holder))) =
            (JobId::new(&job.id), job.assigned_to.as_deref().map(ServerName::new))
        else {
            continue;
        };
        if !beats_of.contains_key(&holder) {
            beats_of.insert(holder.clone(), beats(documents, &holder)?);
        }
        let seen = beats_of.get(&holder).filter(|beats| !beats.is_out_of_sight);
        let placed = seen.map(|beats| beats.placed.as_slice()).unwrap_or_default();
        // Only the session that claimed the job speaks for it: a claim of an older writer, or of a
        // process that sends no heartbeats, ends by its own time.
        let session = job.incarnation.as_deref().and_then(|incarnation| {
            let present = (holder != *me).then(|| present(placed, incarnation)).flatten();
            present.or_else(|| replaced(placed, incarnation))
        });
        let token = job.token.unwrap_or(0);
        watched.push(WatchedClaim {
            job: id,
            token,
            version: job.term(),
            holder,
            time_patience: if planted("timeout-at-once") { Duration::ZERO } else { patience(job.timeout()) },
            session,
        });
    }
    Ok(watched)
}

/// The session in which `holder` claimed `job`, if it ever gave a sign of life.
///
/// # Errors
/// When a document cannot be read.
pub fn session_of(
    documents: &impl Documents,
    holder: &ServerName,
    job: &Job,
) -> Result<Option<WatchedSession>, Abort> {
    let Some(incarnation) = job.incarnation.as_deref() else { return Ok(None) };
    let Beats { placed, is_out_of_sight } = beats(documents, holder)?;
    if is_out_of_sight {
        return Ok(None);
    }
    Ok(present(&placed, incarnation).or_else(|| replaced(&placed, incarnation)))
}

/// How long the session `incarnation` is trusted: the longest that its beats say, wherever they lie. Whoever
/// relies on one of them does not know what others say elsewhere.
fn lease(placed: &[BranchHeartbeat], incarnation: &str) -> Duration {
    placed.iter().filter_map(|placed| placed.beat.lease_of(incarnation)).max().unwrap_or_default()
}

/// The session `incarnation`, if it is one that beats at present.
fn present(placed: &[BranchHeartbeat], incarnation: &str) -> Option<WatchedSession> {
    let is_present = |placed: &BranchHeartbeat| placed.beat.incarnation.as_deref() == Some(incarnation);
    if !placed.iter().any(is_present) {
        return None;
    }
    Some(WatchedSession {
        replaced: None,
        beat: life(placed),
        patience: patience(lease(placed, incarnation)),
    })
}

/// The session `incarnation`, if another took its place wherever it has ever beaten.
fn replaced(placed: &[BranchHeartbeat], incarnation: &str) -> Option<WatchedSession> {
    if present(placed, incarnation).is_some() {
        return None;
    }
    let earlier: Vec<_> =
        placed.iter().filter_map(|placed| placed.beat.earlier_session(incarnation)).collect();
    if earlier.is_empty() {
        return None;
    }
    Some(WatchedSession {
        replaced: Some(incarnation.to_owned()),
        beat: if planted("replaced-for-good") {
            incarnation.to_owned()
        } else {
            earlier.iter().map(|one| one.beat.as_str()).collect::<Vec<_>>().join(" ")
        },
        patience: if planted("replaced-at-once") {
            Duration::ZERO
        } else {
            patience(lease(placed, incarnation))
        },
    })
}
