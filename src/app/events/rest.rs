//! What happened to locks, messages, servers and pauses, from two versions of their records.

use super::pairs::{RecordChange, is_same};
use super::{ChangeKind, edited};
use crate::domain::id::ServerName;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};
use crate::domain::message::{AckStatus, Mark, Message};
use crate::domain::pause::Pause;
use crate::domain::record::Record;
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::Serialize;
use serde_json::json;

/// A lease of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// Who holds it, or held it last.
    pub holder: Option<String>,
    pub token: Option<u64>,
    /// How long it lasts without a renewal.
    pub lease_seconds: u64,
    /// Who held it before.
    pub previous_holder: Option<String>,
}

/// The fields that say how a lock is held.
const OF_LEASE: &[&str] = &[
    "locked_by",
    "locked_at",
    "expires_at",
    "token",
    "lease_seconds",
    "renewal",
    "renewed_at",
    "holder",
    "reason",
    "released_by",
    "done_at",
];

/// Tells what happened to a lock.
pub(super) fn of_lock(change: &RecordChange<'_, Lock>, out: &mut dyn FnMut(ChangeKind)) {
    match change {
        // Whoever claims takes it by the way and leaves it at once: that is told by the claim.
        RecordChange::Added(lock) if lock.name == JOB_ASSIGNMENT && !lock.is_held() => {}
        RecordChange::Changed(before, after)
            if after.name == JOB_ASSIGNMENT && !before.is_held() && !after.is_held() => {}
        RecordChange::Added(lock) => {
            let told = step(&Lock::free(&lock.name), lock, out);
            if !told {
                // It is there, and nobody holds it.
                let fields = edited(&json!({}), &lock.raw(), &[]);
                out(ChangeKind::LockEdited { fields });
            }
        }
        RecordChange::Changed(before, after) | RecordChange::Back(before, after) => {
            let but = if step(before, after, out) { OF_LEASE } else { &[] };
            let fields = edited(&before.raw(), &after.raw(), but);
            if !fields.is_empty() {
                out(ChangeKind::LockEdited { fields });
            }
        }
        RecordChange::Archived(..) | RecordChange::Removed(_) => out(ChangeKind::LockRemoved {}),
    }
}

/// Tells the step from one holder to the next; `true` if there is one.
fn step(before: &Lock, after: &Lock, out: &mut dyn FnMut(ChangeKind)) -> bool {
    let (was, is) = (holder(before), holder(after));
    let lease = Lease {
        holder: is.clone().or_else(|| after.released_by.clone()).or_else(|| was.clone()),
        token: after.token,
        lease_seconds: after.lease().as_secs(),
        previous_holder: was.clone(),
    };
    let is_new = before.token != after.token || was != is;
    if before.done_at.is_none() && after.done_at.is_some() {
        out(ChangeKind::LockDone(lease));
    } else if is.is_some() && is_new {
        out(if was.is_some() { ChangeKind::LockTakenOver(lease) } else { ChangeKind::LockAcquired(lease) });
    } else if is.is_none() && is_new && (was.is_some() || after.token > before.token) {
        out(ChangeKind::LockReleased(lease));
    } else if is.is_some() && before.version() != after.version() {
        out(ChangeKind::LockRenewed(lease));
    } else {
        return false;
    }
    true
}

fn holder(lock: &Lock) -> Option<String> {
    lock.locked_by.clone().filter(|_| lock.is_held())
}

/// Whose a message is and what it is about, but not what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageHeader {
    /// The sender.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// As what it was sent.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub subject: String,
}

impl MessageHeader {
    fn of(message: &Message) -> Self {
        Self {
            from: message.from.clone(),
            to: message.to.clone(),
            kind: message.kind.clone(),
            subject: message.subject.clone(),
        }
    }
}

/// The fields that say who read and acknowledged a message.
const OF_MARKS: &[&str] = &["read", "read_by", "ack_status", "acknowledged_by"];

/// Tells what happened to a message.
pub(super) fn of_message(change: &RecordChange<'_, Message>, out: &mut dyn FnMut(ChangeKind)) {
    match change {
        RecordChange::Added(message) => out(ChangeKind::MessageSent(MessageHeader::of(message))),
        RecordChange::Changed(before, after) => marked(before, after, out),
        RecordChange::Back(before, after) => {
            let fields = [("archived".to_owned(), json!({"before": true, "after": false}))];
            out(ChangeKind::MessageEdited { fields: fields.into_iter().collect() });
            marked(before, after, out);
        }
        RecordChange::Archived(_, month) => out(ChangeKind::MessageArchived { month: month.clone() }),
        RecordChange::Removed(_) => out(ChangeKind::MessageRemoved {}),
    }
}

fn marked(before: &Record<Message>, after: &Record<Message>, out: &mut dyn FnMut(ChangeKind)) {
    let message = || MessageHeader::of(after);
    let mut is_told = false;
    let by_flag = before.read != Some(true) && after.read == Some(true);
    for by in fresh(&before.read_by, &after.read_by, by_flag) {
        is_told = true;
        out(ChangeKind::MessageRead { by, message: message() });
    }
    let is_done = |message: &Message| message.ack_status.as_deref() == Some(AckStatus::Completed.as_str());
    let by_flag = !is_done(before) && is_done(after);
    for by in fresh(&before.acknowledged_by, &after.acknowledged_by, by_flag) {
        is_told = true;
        out(ChangeKind::MessageAcknowledged { by, message: message() });
    }
    let but = if is_told { OF_MARKS } else { &[] };
    let fields = edited(&before.raw(), &after.raw(), but);
    if !fields.is_empty() {
        out(ChangeKind::MessageEdited { fields });
    }
}

/// Who is marked now and was not; nobody by name where only the flag of older writers says that all are.
fn fresh(before: &[Mark], after: &[Mark], by_flag: bool) -> Vec<Option<String>> {
    let is_new = |mark: &&Mark| before.iter().all(|known| known.by != mark.by);
    let by: Vec<Option<String>> = after.iter().filter(is_new).map(|mark| Some(mark.by.clone())).collect();
    if by_flag && after.is_empty() { vec![None] } else { by }
}

/// Tells what happened to the registration of a server.
pub(super) fn of_server(change: &RecordChange<'_, Server>, out: &mut dyn FnMut(ChangeKind)) {
    match change {
        RecordChange::Added(server) => out(ChangeKind::ServerJoined { server: server.raw() }),
        RecordChange::Changed(before, after) | RecordChange::Back(before, after) => {
            let fields = edited(&before.raw(), &after.raw(), &[]);
            if !fields.is_empty() {
                out(ChangeKind::ServerChanged { fields });
            }
        }
        RecordChange::Archived(..) | RecordChange::Removed(_) => out(ChangeKind::ServerRemoved {}),
    }
}

/// What a server says that it does, if that is something else than before.
pub(super) fn status_of(
    server: &ServerName,
    before: &impl Documents,
    after: &impl Documents,
) -> Result<Option<ChangeKind>, Abort> {
    let path = Status::path(server);
    if is_same(before, after, &path)? {
        return Ok(None);
    }
    let told =
        |status: &Status| (status.status.clone(), status.current_job.as_ref().and_then(|job| job.id.clone()));
    let old = before.record::<Status>(&path)?.map(|status| told(&status));
    let new = after.record::<Status>(&path)?.map(|status| told(&status));
    Ok(new
        .filter(|new| old.as_ref() != Some(new))
        .map(|(status, job)| ChangeKind::ServerStatus { status, job }))
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// What it is about: `queue`, `label:<label>` or `server:<name>`.
    pub what: String,
    /// Who made it.
    pub by: Option<String>,
    pub until: Option<Timestamp>,
    /// Whether the worker of the server ends when its jobs have.
    pub drain: bool,
}

/// Tells what happened to a pause.
pub(super) fn of_pause(change: &RecordChange<'_, Pause>, out: &mut dyn FnMut(ChangeKind)) {
    let paused = |pause: &Pause| Paused {
        what: pause.id.clone(),
        by: pause.by.clone(),
        until: pause.until,
        drain: pause.drain == Some(true),
    };
    match change {
        RecordChange::Added(pause) => out(ChangeKind::PauseSet(paused(pause))),
        RecordChange::Changed(before, after) | RecordChange::Back(before, after) => {
            if before.raw() != after.raw() {
                out(ChangeKind::PauseSet(paused(after)));
            }
        }
        RecordChange::Archived(pause, _) | RecordChange::Removed(pause) => {
            out(ChangeKind::PauseEnded(paused(pause)));
        }
    }
}
