//! What happened to locks, messages, servers and pauses, from two versions of their records.

use super::pairs::{Change, is_same};
use super::{What, edited};
use crate::domain::id::ServerName;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};
use crate::domain::message::{AckStatus, Mark, Message};
use crate::domain::pause::Pause;
use crate::domain::record::Record;
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
use crate::ledger::{Documents, Stop};
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
pub(super) fn of_lock(change: &Change<'_, Lock>, out: &mut dyn FnMut(What)) {
    match change {
        // Whoever claims takes it by the way and leaves it at once: that is told by the claim.
        Change::Added(lock) if lock.name == JOB_ASSIGNMENT && !lock.is_held() => {}
        Change::Changed(before, after)
            if after.name == JOB_ASSIGNMENT && !before.is_held() && !after.is_held() => {}
        Change::Added(lock) => {
            let told = step(&Lock::free(&lock.name), lock, out);
            if !told {
                // It is there, and nobody holds it.
                let fields = edited(&json!({}), &lock.raw(), &[]);
                out(What::LockEdited { fields });
            }
        }
        Change::Changed(before, after) | Change::Back(before, after) => {
            let but = if step(before, after, out) { OF_LEASE } else { &[] };
            let fields = edited(&before.raw(), &after.raw(), but);
            if !fields.is_empty() {
                out(What::LockEdited { fields });
            }
        }
        Change::Archived(..) | Change::Removed(_) => out(What::LockRemoved {}),
    }
}

/// Tells the step from one holder to the next; `true` if there is one.
fn step(before: &Lock, after: &Lock, out: &mut dyn FnMut(What)) -> bool {
    let (was, is) = (holder(before), holder(after));
    let lease = Lease {
        holder: is.clone().or_else(|| after.released_by.clone()).or_else(|| was.clone()),
        token: after.token,
        lease_seconds: after.lease().as_secs(),
        previous_holder: was.clone(),
    };
    let is_new = before.token != after.token || was != is;
    if before.done_at.is_none() && after.done_at.is_some() {
        out(What::LockDone(lease));
    } else if is.is_some() && is_new {
        out(if was.is_some() { What::LockTakenOver(lease) } else { What::LockAcquired(lease) });
    } else if is.is_none() && is_new && (was.is_some() || after.token > before.token) {
        out(What::LockReleased(lease));
    } else if is.is_some() && before.version() != after.version() {
        out(What::LockRenewed(lease));
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
pub struct Envelope {
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

impl Envelope {
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
pub(super) fn of_message(change: &Change<'_, Message>, out: &mut dyn FnMut(What)) {
    match change {
        Change::Added(message) => out(What::MessageSent(Envelope::of(message))),
        Change::Changed(before, after) => marked(before, after, out),
        Change::Back(before, after) => {
            let fields = [("archived".to_owned(), json!({"before": true, "after": false}))];
            out(What::MessageEdited { fields: fields.into_iter().collect() });
            marked(before, after, out);
        }
        Change::Archived(_, month) => out(What::MessageArchived { month: month.clone() }),
        Change::Removed(_) => out(What::MessageRemoved {}),
    }
}

fn marked(before: &Record<Message>, after: &Record<Message>, out: &mut dyn FnMut(What)) {
    let message = || Envelope::of(after);
    let mut is_told = false;
    let by_flag = before.read != Some(true) && after.read == Some(true);
    for by in fresh(&before.read_by, &after.read_by, by_flag) {
        is_told = true;
        out(What::MessageRead { by, message: message() });
    }
    let is_done = |message: &Message| message.ack_status.as_deref() == Some(AckStatus::Completed.as_str());
    let by_flag = !is_done(before) && is_done(after);
    for by in fresh(&before.acknowledged_by, &after.acknowledged_by, by_flag) {
        is_told = true;
        out(What::MessageAcknowledged { by, message: message() });
    }
    let but = if is_told { OF_MARKS } else { &[] };
    let fields = edited(&before.raw(), &after.raw(), but);
    if !fields.is_empty() {
        out(What::MessageEdited { fields });
    }
}

/// Who is marked now and was not; nobody by name where only the flag of older writers says that all are.
fn fresh(before: &[Mark], after: &[Mark], by_flag: bool) -> Vec<Option<String>> {
    let is_new = |mark: &&Mark| before.iter().all(|known| known.by != mark.by);
    let by: Vec<Option<String>> = after.iter().filter(is_new).map(|mark| Some(mark.by.clone())).collect();
    if by_flag && after.is_empty() { vec![None] } else { by }
}

/// Tells what happened to the registration of a server.
pub(super) fn of_server(change: &Change<'_, Server>, out: &mut dyn FnMut(What)) {
    match change {
        Change::Added(server) => out(What::ServerJoined { server: server.raw() }),
        Change::Changed(before, after) | Change::Back(before, after) => {
            let fields = edited(&before.raw(), &after.raw(), &[]);
            if !fields.is_empty() {
                out(What::ServerChanged { fields });
            }
        }
        Change::Archived(..) | Change::Removed(_) => out(What::ServerRemoved {}),
    }
}

/// What a server says that it does, if that is something else than before.
pub(super) fn status_of(
    server: &ServerName,
    before: &impl Documents,
    after: &impl Documents,
) -> Result<Option<What>, Stop> {
    let path = Status::path(server);
    if is_same(before, after, &path)? {
        return Ok(None);
    }
    let told =
        |status: &Status| (status.status.clone(), status.current_job.as_ref().and_then(|job| job.id.clone()));
    let old = before.record::<Status>(&path)?.map(|status| told(&status));
    let new = after.record::<Status>(&path)?.map(|status| told(&status));
    Ok(new.filter(|new| old.as_ref() != Some(new)).map(|(status, job)| What::ServerStatus { status, job }))
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
pub(super) fn of_pause(change: &Change<'_, Pause>, out: &mut dyn FnMut(What)) {
    let paused = |pause: &Pause| Paused {
        what: pause.id.clone(),
        by: pause.by.clone(),
        until: pause.until,
        drain: pause.drain == Some(true),
    };
    match change {
        Change::Added(pause) => out(What::PauseSet(paused(pause))),
        Change::Changed(before, after) | Change::Back(before, after) => {
            if before.raw() != after.raw() {
                out(What::PauseSet(paused(after)));
            }
        }
        Change::Archived(pause, _) | Change::Removed(pause) => out(What::PauseEnded(paused(pause))),
    }
}
