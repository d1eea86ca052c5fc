//! Signs of life: on a server's own branch, or along with any commit it makes.

use crate::app::commands::WriteCommand;
use crate::app::documents::{newest_beat, require_member};
use crate::app::queries::jobs::existing;
use crate::domain::heartbeat::{Beat, Heartbeat, RunningJob, STALE_ALLOWANCE};
use crate::domain::hub::Marker;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Claim, Job};
use crate::domain::record::{Record, View};
use crate::domain::refusal::Action;
use crate::domain::status::Status;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents as _, LedgerError, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One beat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SendBeat {
    /// What it says.
    pub beat: Beat,
    /// The branch it goes to.
    pub branch: String,
    /// The claim that has to be valid when it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<HeldClaim>,
}

/// A claim as its holder names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldClaim {
    /// The job.
    pub job: JobId,
    /// Its fencing token.
    pub token: u64,
}

/// What a server learns from its own beat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeatAnswer {
    /// The beat's number.
    pub sequence: u64,
    /// Where it lies.
    pub branch: String,
    /// Why somebody had ended the session before, if so.
    pub revoked: Option<String>,
    /// The hosts of two machines that beat under this name, if two do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twins: Option<(String, String)>,
    /// Documents of this server that could not be read and were made anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub made_anew: Vec<String>,
    /// The job of the claim that was to be valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Value>,
}

impl BeatAnswer {
    /// What is said of documents that were made anew.
    pub fn made_anew(&self) -> impl Iterator<Item = String> + '_ {
        self.made_anew.iter().map(|path| format!("`{path}` was unreadable and has been recreated"))
    }

    /// What is said where two machines beat as `server`.
    #[must_use]
    pub fn two_machines(&self, server: &ServerName) -> Option<String> {
        let (one, other) = self.twins.as_ref()?;
        Some(format!(
            "two machines beat as `{server}`, on hosts `{one}` and `{other}`: run `git muster join --as {server} --replace` on the one that keeps the name, and join under another name on the other"
        ))
    }
}

impl WriteCommand for SendBeat {
    type Answer = BeatAnswer;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<BeatAnswer, Abort> {
        let answer = self.ride(transaction)?;
        transaction.describe(format!("heartbeat: {} #{}", self.beat.server, answer.sequence));
        Ok(answer)
    }
}

impl SendBeat {
    /// Beats along with another write, in one push.
    ///
    /// # Errors
    /// As the beat alone.
    pub fn ride(&self, transaction: &mut Transaction<'_>) -> Result<BeatAnswer, Abort> {
        let path = Heartbeat::path(&self.beat.server);
        let last = self.last_on_branch(transaction, &path)?;
        match require_member(transaction, &self.beat.server) {
            // A registry that cannot be read, or that a newer version wrote, takes nobody's membership away:
            // what is at work would be lost, on all servers at once.
            Err(Abort::Fault(LedgerError::Document(_))) if last.is_some() => {}
            checked => checked?,
        }
        let mut heartbeat = match last {
            Some(heartbeat) => heartbeat,
            None => match newest_beat(transaction, &self.beat.server)? {
                Some(newest) => newest.beat,
                None => Record::new(Heartbeat::blank(&self.beat.server), 0),
            },
        };
        let job = self.claim.as_ref().map(|claim| self.check(claim, transaction)).transpose()?;
        let revoked = heartbeat.ended(&self.beat).map(str::to_owned);
        let running = running_jobs(transaction, &self.beat);
        let now = transaction.now();
        heartbeat.edit(|heartbeat| {
            heartbeat.advance(&self.beat, now);
            heartbeat.running = running;
        });
        transaction.put_record_on(&self.branch, &path, &heartbeat)?;
        if self.branch != transaction.main() {
            self.refresh_main_if_needed(transaction)?;
        }
        let sequence = heartbeat.sequence.unwrap_or(0);
        let twins = heartbeat.twins().map(|(one, other)| (one.to_owned(), other.to_owned()));
        let made_anew = make_anew(&self.beat, transaction)?;
        Ok(BeatAnswer { sequence, branch: self.branch.clone(), revoked, twins, made_anew, job })
    }

    /// The job of a claim that is valid, and still is when this is published.
    fn check(&self, claim: &HeldClaim, transaction: &mut Transaction<'_>) -> Result<Value, Abort> {
        let job = existing(transaction, &claim.job)?;
        job.check_term(Claim { server: &self.beat.server, token: claim.token }, Action::RenewJob)?;
        transaction.hold_main();
        Ok(job.raw())
    }

    /// Refreshes the copy on the main branch if the hub has readers that look there alone, and only as
    /// often as they need; and one that is from when the clock here was ahead, which would count as the newest
    /// until that time.
    fn refresh_main_if_needed(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let marker = match transaction.record::<Marker>(Marker::PATH) {
            // What says nothing that can be read must not silence a beat.
            Err(Abort::Fault(LedgerError::Document(_))) => None,
            marker => marker?,
        };
        let every = marker.and_then(|marker| marker.settings.main_beat_every());
        let at = match transaction.record::<Heartbeat>(&Heartbeat::path(&self.beat.server)) {
            Err(Abort::Fault(LedgerError::Document(_))) => return Ok(()),
            copy => copy?.and_then(|copy| copy.at()),
        };
        let now = transaction.now();
        let is_due = every.is_some_and(|every| at.is_none_or(|at| now.since(at) >= every));
        if is_due || at.is_some_and(|at| at.since(now) > STALE_ALLOWANCE) {
            refresh_main(&self.beat, transaction)?;
        }
        Ok(())
    }

    /// The last beat on the branch. Garbage must not silence a server for ever: its beat replaces
    /// whatever is there.
    fn last_on_branch(
        &self,
        transaction: &Transaction<'_>,
        path: &str,
    ) -> Result<Option<Record<Heartbeat>>, Abort> {
        match transaction.record_on::<Heartbeat>(&self.branch, path) {
            Err(Abort::Fault(LedgerError::Document(error))) if !error.is_newer => Ok(None),
            last => Ok(last?),
        }
    }
}

/// A document that `blank` begins and its server alone writes; one that cannot be read begins anew, as
/// nobody else would mend it and nothing but its server's next words are lost by it.
fn own<T: View>(
    branch: &str,
    path: &str,
    blank: T,
    transaction: &Transaction<'_>,
) -> Result<Option<Record<T>>, Abort> {
    match transaction.record_on(branch, path) {
        Err(Abort::Fault(LedgerError::Document(error))) if !error.is_newer => Ok(Some(Record::new(blank, 0))),
        read => read,
    }
}

/// Makes those documents of the server on the main branch anew that cannot be read; returns their
/// paths.
fn make_anew(beat: &Beat, transaction: &mut Transaction<'_>) -> Result<Vec<String>, Abort> {
    let main = transaction.main().to_owned();
    let (now, mut made) = (transaction.now(), Vec::new());
    let path = Heartbeat::path(&beat.server);
    let copy = own::<Heartbeat>(&main, &path, Heartbeat::blank(&beat.server), transaction)?;
    if let Some(mut copy) = copy.filter(Record::is_changed) {
        copy.edit(|copy| copy.touch(beat, now));
        transaction.put_record(&path, &copy)?;
        made.push(path);
    }
    let path = Status::path(&beat.server);
    let status = own::<Status>(&main, &path, Status::blank(&beat.server), transaction)?;
    if let Some(mut status) = status.filter(Record::is_changed) {
        status.edit(|status| status.timestamp = Some(now));
        transaction.put_record(&path, &status)?;
        made.push(path);
    }
    Ok(made)
}

/// The jobs this server holds. A queue that cannot be read must not silence a beat.
fn running_jobs(transaction: &Transaction<'_>, beat: &Beat) -> Vec<RunningJob> {
    let jobs: Result<Table<Job>, Abort> = transaction.table();
    jobs.map(|jobs| {
        jobs.rows()
            .filter(|job| job.status.is_held() && job.assigned_to.as_deref() == Some(beat.server.as_str()))
            .map(|job| RunningJob { id: job.id.clone(), token: job.token.unwrap_or(0) })
            .collect()
    })
    .unwrap_or_default()
}

/// Refreshes the copy of the beat on the main branch, in a commit that is made anyway. Only for
/// servers that have one there: a person who adds a job from a laptop is no server.
pub(in crate::app) fn refresh_main(beat: &Beat, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
    match refresh(beat, transaction) {
        // A copy of a beat is no part of what was asked: broken or of a newer layout, it must not
        // stand in the way.
        Err(Abort::Fault(LedgerError::Document(_))) => Ok(()),
        refreshed => refreshed,
    }
}

fn refresh(beat: &Beat, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
    let path = Heartbeat::path(&beat.server);
    let main = transaction.main().to_owned();
    if let Some(mut heartbeat) = own::<Heartbeat>(&main, &path, Heartbeat::blank(&beat.server), transaction)?
    {
        let now = transaction.now();
        heartbeat.edit(|heartbeat| heartbeat.touch(beat, now));
        transaction.put_record(&path, &heartbeat)?;
    }
    Ok(())
}
