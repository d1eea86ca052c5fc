//! What changed between two versions of a hub, record by record: for whoever follows it.
//!
//! Events are made from the documents alone, so that everybody makes the same ones, also of what was changed by
//! hand. Who changed something and when is told by the commit. Of two versions that are not neighbours, only what
//! the later records still show is told. What cannot be read on one side changed in an unknown way: that is said,
//! and nothing is told as gone. Nothing here reads a clock, and heartbeats are no part of it.

mod jobs;
mod pairs;
mod rest;

#[cfg(test)]
mod tests;

use crate::app::documents::{or_empty, server_names};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::pause::Pause;
use crate::domain::server::Server;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, LedgerError};
use pairs::Began;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Fields that changed, each with its value `before` and `after`.
pub type Fields = Map<String, Value>;

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// What.
    #[serde(flatten)]
    pub what: ChangeKind,
    /// The record that it is about.
    pub subject: Subject,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// `job`, `lock`, `message`, `server` or `pause`.
    pub kind: &'static str,
    /// Its id or name; may be empty.
    pub id: String,
}

/// What changed, by its type, which is stable. More may come.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data")]
pub enum ChangeKind {
    /// A job is new.
    #[serde(rename = "job.added")]
    JobAdded { job: Value },
    /// A server has it.
    #[serde(rename = "job.claimed")]
    JobClaimed(jobs::ClaimFacts),
    /// It runs.
    #[serde(rename = "job.started")]
    JobStarted(jobs::ClaimFacts),
    /// It ended with success.
    #[serde(rename = "job.completed")]
    JobCompleted(jobs::AttemptEnd),
    /// It ended without.
    #[serde(rename = "job.failed")]
    JobFailed(jobs::AttemptEnd),
    /// It ended without, and is out of attempts.
    #[serde(rename = "job.dead")]
    JobDead(jobs::AttemptEnd),
    /// It is queued again.
    #[serde(rename = "job.requeued")]
    JobRequeued {
        /// `None` where the record does not show it.
        cause: Option<jobs::EndCause>,
        not_before: Option<Timestamp>,
        attempt: u64,
    },
    /// Somebody cancelled it.
    #[serde(rename = "job.cancelled")]
    JobCancelled { may_still_run_on: Option<String> },
    /// Whoever held it when it was cancelled has confirmed that it stopped.
    #[serde(rename = "job.stopped")]
    JobStopped { server: Option<String>, token: Option<u64> },
    /// Something else of it changed.
    #[serde(rename = "job.edited")]
    JobEdited { fields: Fields },
    /// It went to the archive.
    #[serde(rename = "job.archived")]
    JobArchived { month: String },
    /// It is gone and in no archive, as only a commit by hand makes it.
    #[serde(rename = "job.removed")]
    JobRemoved {},
    /// A server holds a lock that nobody held.
    #[serde(rename = "lock.acquired")]
    LockAcquired(rest::Lease),
    /// The holder renewed it.
    #[serde(rename = "lock.renewed")]
    LockRenewed(rest::Lease),
    /// It is free.
    #[serde(rename = "lock.released")]
    LockReleased(rest::Lease),
    /// A server has it that another had: by its lease or by force, which only the commit tells.
    #[serde(rename = "lock.taken_over")]
    LockTakenOver(rest::Lease),
    /// What was to be done once under it is done.
    #[serde(rename = "lock.done")]
    LockDone(rest::Lease),
    /// Something else of it changed.
    #[serde(rename = "lock.edited")]
    LockEdited { fields: Fields },
    /// Its record is gone, as only a commit by hand makes it.
    #[serde(rename = "lock.removed")]
    LockRemoved {},
    /// A message is new. What it says is not told.
    #[serde(rename = "message.sent")]
    MessageSent(rest::MessageHeader),
    /// A recipient read it; `None` where an older writer does not say which.
    #[serde(rename = "message.read")]
    MessageRead {
        by: Option<String>,
        #[serde(flatten)]
        message: rest::MessageHeader,
    },
    /// A recipient acknowledged it.
    #[serde(rename = "message.acknowledged")]
    MessageAcknowledged {
        by: Option<String>,
        #[serde(flatten)]
        message: rest::MessageHeader,
    },
    /// Something else of it changed.
    #[serde(rename = "message.edited")]
    MessageEdited { fields: Fields },
    /// It went to the archive.
    #[serde(rename = "message.archived")]
    MessageArchived { month: String },
    /// It is gone and in no archive, as only a commit by hand makes it.
    #[serde(rename = "message.removed")]
    MessageRemoved {},
    /// A server is registered.
    #[serde(rename = "server.joined")]
    ServerJoined { server: Value },
    /// Its record changed.
    #[serde(rename = "server.changed")]
    ServerChanged { fields: Fields },
    /// It is registered no more.
    #[serde(rename = "server.removed")]
    ServerRemoved {},
    /// It says that it does something else.
    #[serde(rename = "server.status")]
    ServerStatus { status: String, job: Option<String> },
    /// Something is paused, or its pause is another.
    #[serde(rename = "pause.set")]
    PauseSet(rest::Paused),
    /// It is not paused any more.
    #[serde(rename = "pause.ended")]
    PauseEnded(rest::Paused),
}

/// A document or record that changed in a way that nobody can tell, because it cannot be read on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableChange {
    /// The document.
    pub path: String,
    /// The record, if it is one; may be empty.
    pub id: Option<String>,
    /// What is wrong.
    pub why: String,
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Changes {
    /// What can be told: of jobs, locks, messages, servers, what these do, and pauses; each in the order of the
    /// later document, what is gone last.
    pub events: Vec<Event>,
    /// What cannot.
    pub unknown: Vec<UnreadableChange>,
}

impl Changes {
    fn add(&mut self, kind: &'static str, id: &str, what: ChangeKind) {
        self.events.push(Event { what, subject: Subject { kind, id: id.to_owned() } });
    }
}

/// What changed from `before` to `after`.
///
/// # Errors
/// When the store is damaged.
pub fn events(before: &impl Documents, after: &impl Documents) -> Result<Changes, Abort> {
    let mut changes = Changes::default();
    let of_job: Option<Began<Job>> = Some(|job| job.created_at);
    pairs::each(before, after, of_job, &mut changes, |change, changes| {
        let id = change.row().id.clone();
        jobs::tell(&change, &mut |what| changes.add("job", &id, what));
    })?;
    pairs::each::<Lock>(before, after, None, &mut changes, |change, changes| {
        let id = change.row().name.clone();
        rest::of_lock(&change, &mut |what| changes.add("lock", &id, what));
    })?;
    let of_message: Option<Began<Message>> = Some(|message| message.timestamp);
    pairs::each(before, after, of_message, &mut changes, |change, changes| {
        let id = change.row().id.clone();
        rest::of_message(&change, &mut |what| changes.add("message", &id, what));
    })?;
    pairs::each::<Server>(before, after, None, &mut changes, |change, changes| {
        let id = change.row().id.clone();
        rest::of_server(&change, &mut |what| changes.add("server", &id, what));
    })?;
    statuses(before, after, &mut changes)?;
    pairs::each::<Pause>(before, after, None, &mut changes, |change, changes| {
        let id = change.row().id.clone();
        rest::of_pause(&change, &mut |what| changes.add("pause", &id, what));
    })?;
    Ok(changes)
}

/// What servers say that they do, by their names. One whose status is gone does not say that it does anything.
fn statuses(before: &impl Documents, after: &impl Documents, changes: &mut Changes) -> Result<(), Abort> {
    // One that cannot be read is told of already.
    let registry = or_empty::<Server>(after)?;
    for name in server_names(after, &registry)? {
        match rest::status_of(&name, before, after) {
            Ok(Some(what)) => changes.add("server", name.as_str(), what),
            Ok(None) => {}
            Err(Abort::Fault(LedgerError::Document(error))) => {
                changes.unknown.push(UnreadableChange { path: error.path, id: None, why: error.problem });
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(())
}

/// The fields in which two versions of a record differ, but for those that other events tell.
fn edited(before: &Value, after: &Value, but: &[&str]) -> Fields {
    let names = |of: &Value| of.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let mut fields = Fields::new();
    for name in names(after).into_iter().chain(names(before)) {
        let (old, new) = (before.get(&name), after.get(&name));
        if old != new && !but.contains(&name.as_str()) {
            fields.insert(name, json!({"before": old, "after": new}));
        }
    }
    fields
}
