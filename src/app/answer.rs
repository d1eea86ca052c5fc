//! What an operation answered, made again from the hub: for who lost the answer.
//!
//! The commit that carries an operation shows by what it changed what was handed out. The answers
//! have the shape of those that the verbs give.

use crate::app::archived::{IdMatch, look_up};
use crate::app::commands::job_add::AddedJob;
use crate::app::commands::lock::LockGrant;
use crate::app::commands::message::SendResult;
use crate::app::journal;
use crate::app::stale::RestoredDocuments;
use crate::domain::id::{OpId, ServerName};
use crate::domain::job::Job;
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};
use crate::domain::message::Message;
use crate::domain::record::Record;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents, FoundOperation, Ledger};
use crate::machine::Machine;
use serde_json::Value;

/// What an operation in the hub's history answered, and whether that counts now.
#[derive(Debug, Default)]
pub struct Answered {
    /// What it handed out, if anything.
    pub answer: Option<Value>,
    /// Whether that is still the asker's; `None` of what cannot be over.
    pub stands: Option<bool>,
    /// The messages that were marked as read.
    pub messages: Vec<(Value, Message)>,
}

impl Answered {
    /// What was answered by the commit that carries an operation. What cannot be read there is not known.
    #[must_use]
    pub fn of(found: &FoundOperation, ledger: &Ledger) -> Self {
        let before = found.before.as_ref().unwrap_or(&found.version);
        // What the same commit put back was handed out before it.
        let before = ledger.at(before);
        drop(RestoredDocuments::default().show(&before));
        let made = answer_of(&before, &ledger.at(&found.version));
        let Some(answer) = made.ok().flatten() else { return Self::default() };
        let now = ledger.known();
        // What the next write puts back stands.
        drop(RestoredDocuments::default().show(&now));
        let stands = stands(&answer, None, &now).ok().flatten();
        let ids: Vec<&str> = answer.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let messages: Option<Table<Message>> = if ids.is_empty() { None } else { now.table().ok() };
        let is_asked = |message: &&Record<Message>| ids.contains(&message.id.as_str());
        let messages = messages.iter().flat_map(Table::rows).filter(is_asked);
        let messages = messages.map(|message| (message.raw(), (**message).clone())).collect();
        Self { answer: Some(answer), stands, messages }
    }

    /// Counts the operation as settled; what still counts of its answer can be had again.
    pub fn settle(&self, machine: &Machine, op: &OpId) {
        match &self.answer {
            Some(answer) if self.stands == Some(true) || !self.messages.is_empty() => {
                journal::deliver(machine, op, answer);
            }
            _ => journal::close(machine, op),
        }
    }
}

/// What the step from `before` to `after` handed out; `None` when it handed out nothing.
///
/// # Errors
/// When a document cannot be read.
pub fn answer_of(before: &impl Documents, after: &impl Documents) -> Result<Option<Value>, Abort> {
    if let Some(term) = terms(before, after)?.into_iter().next() {
        return Ok(to_value(&term));
    }
    let (old, new): (Table<Job>, Table<Job>) = (before.table()?, after.table()?);
    let claims: Vec<Value> = new
        .rows()
        .filter(|job| job.status.is_held() && job.token > old.get(&job.id).and_then(|job| job.token))
        .map(|job| job.raw())
        .collect();
    if !claims.is_empty() {
        return Ok(Some(Value::Array(claims)));
    }
    let mut added = Vec::new();
    for job in new.rows().filter(|job| old.get(&job.id).is_none()) {
        // What was archived before came back because it is needed.
        if matches!(look_up::<Job>(before, &job.id)?, IdMatch::Nothing) {
            added.push(AddedJob { id: job.id.clone(), duplicate: false, status: job.status.clone() });
        }
    }
    if !added.is_empty() {
        return Ok(to_value(&added));
    }
    of_messages(before, &before.table()?, &after.table()?)
}

/// The locks that changed hands. That of assignments is taken by the way.
fn terms(before: &impl Documents, after: &impl Documents) -> Result<Vec<LockGrant>, Abort> {
    let (old, new): (Table<Lock>, Table<Lock>) = (before.table()?, after.table()?);
    let taken = new.rows().filter(|lock| {
        lock.is_held()
            && lock.name != JOB_ASSIGNMENT
            && lock.token > old.get(&lock.name).and_then(|lock| lock.token)
    });
    let term = |lock: &Lock| LockGrant {
        name: lock.name.clone(),
        token: lock.token.unwrap_or(0),
        lease_seconds: lock.lease().as_secs(),
    };
    Ok(taken.map(|lock| term(lock)).collect())
}

fn of_messages(
    before: &impl Documents,
    old: &Table<Message>,
    new: &Table<Message>,
) -> Result<Option<Value>, Abort> {
    let mut marked = Vec::new();
    for message in new.rows() {
        let old = match old.get(&message.id) {
            Some(old) => old.clone(),
            None => match look_up::<Message>(before, &message.id)? {
                IdMatch::Record(archived) => archived,
                _ => return Ok(to_value(&SendResult { id: message.id.clone(), duplicate: false })),
            },
        };
        if old.read_by.len() < message.read_by.len() || old.read != message.read {
            marked.push(message.id.as_str());
        }
    }
    Ok(if marked.is_empty() { None } else { to_value(&marked) })
}

fn to_value(answer: &impl serde::Serialize) -> Option<Value> {
    serde_json::to_value(answer).ok()
}

/// Whether what an answer handed out, to `taker` if that is known, is still the asker's; `None` when it handed out nothing that
/// could be over.
///
/// # Errors
/// When a document cannot be read.
pub fn stands(
    answer: &Value,
    taker: Option<&ServerName>,
    now: &impl Documents,
) -> Result<Option<bool>, Abort> {
    // A hub that was set back gives a token again.
    let is_its = |holder: Option<&str>| taker.is_none_or(|taker| holder == Some(taker.as_str()));
    let token = |of: &Value| of.get("token").and_then(Value::as_u64);
    if let (Some(name), Some(token)) = (answer.get("name").and_then(Value::as_str), token(answer)) {
        let locks: Table<Lock> = now.table()?;
        return Ok(Some(
            locks
                .get(name)
                .is_some_and(|lock| lock.check_token(token).is_ok() && is_its(lock.locked_by.as_deref())),
        ));
    }
    let claims: Vec<(String, u64)> = answer
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|claim| Some((plain(claim.get("id")?)?, token(claim)?)))
        .collect();
    if claims.is_empty() {
        return Ok(None);
    }
    let jobs: Table<Job> = now.table()?;
    let is_held = |(id, token): &(String, u64)| {
        jobs.get(id).is_some_and(|job| job.is_held_under(*token) && is_its(job.assigned_to.as_deref()))
    };
    Ok(Some(claims.iter().any(is_held)))
}

/// The text of an id, which other writers write as a number too.
#[must_use]
pub fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
