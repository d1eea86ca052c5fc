//! What is kept of an operation whose outcome may stay unknown, or whose answer may be lost, so
//! that it can be settled later.
//!
//! Written before the first attempt and removed when the outcome is known, and where something was
//! handed out, when the caller has the answer. A process that is killed in between leaves its entry
//! behind. The answers of the last operations that handed something out are kept beside: a pipe
//! takes an answer and loses it all the same.

use crate::app::commands::{Operation, WriteOptions};
use crate::app::submit::HubRef;
use crate::domain::id::{LockName, OpId, ServerName};
use crate::domain::planted::planted;
use crate::domain::time::Timestamp;
use crate::ledger::Version;
use crate::machine::Machine;
use crate::machine::file_lock::{FileLock, NotLocked};
use crate::machine::files::FileError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An operation that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Its id.
    pub op: OpId,
    /// Which hub, as it was named.
    pub hub: String,
    pub branch: String,
    /// The name of the hub on this host, of `hubs`; versions before kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the branch was as far as this host knew: what led there cannot hold the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Version>,
    /// Where it was when the outcome stayed unknown: what others had then is what the operation is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Version>,
    /// The time it was given.
    pub at: Timestamp,
    /// What goes with it.
    pub envelope: WriteOptions,
    /// What it does.
    pub operation: Operation,
    /// What was answered; only of one that is settled.
    #[serde(skip)]
    pub answer: Option<Value>,
}

/// Where the system does not tell whether a process is at it, an operation that was begun this long
/// ago is no longer under way: more than any usual time-out of a command.
const UNSETTLED_AFTER: Duration = Duration::from_secs(120);

/// How many answers are kept: more than one server holds at a time. They are counted with about
/// every sixteenth, so that there may be a few more.
const ANSWERS_MAX: usize = 256;

/// Where the entries lie.
#[must_use]
pub fn folder(machine: &Machine) -> PathBuf {
    machine.state_dir().join("ops")
}

fn answers(machine: &Machine) -> PathBuf {
    machine.state_dir().join("answers")
}

fn answer_path(machine: &Machine, op: &OpId) -> PathBuf {
    answers(machine).join(format!("{op}.json"))
}

fn path(machine: &Machine, op: &OpId) -> PathBuf {
    folder(machine).join(format!("{op}.json"))
}

/// Who holds this is at the operation. A file of its own, because the entry is put into its place
/// whole, and a lock belongs to a file and not to its name.
fn lock(machine: &Machine, op: &OpId) -> Result<FileLock, NotLocked> {
    FileLock::acquire(&lock_path(machine, op), &machine.deadline(Duration::ZERO))
}

fn lock_path(machine: &Machine, op: &OpId) -> PathBuf {
    path(machine, op).with_extension("flock")
}

/// Keeps an entry. As long as what is returned lives, nobody else can take it up.
///
/// # Errors
/// When it cannot be written, or not locked: what nobody can lock might be sent twice.
pub fn open(machine: &Machine, entry: &JournalEntry) -> Result<Option<FileLock>, KeepError> {
    let path = path(machine, &entry.op);
    // Made here, so that no other user can open it and keep it locked.
    machine.remember_until_boot(&lock_path(machine, &entry.op), &())?;
    if planted("kept-before-locked") {
        machine.remember(&path, entry)?;
    }
    // First the lock: an entry that nobody holds is one that anybody may take up.
    let lock = lock(machine, &entry.op)?;
    machine.remember(&path, entry)?;
    Ok(Some(lock).filter(|_| !planted("kept-unlocked")))
}

/// Why an operation could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its lock.
    #[error(transparent)]
    Lock(#[from] NotLocked),
}

/// [`open`] for an operation on a hub on this disk, which is kept for its answer only: it means
/// nothing after the next boot, and is to cost next to nothing.
///
/// # Errors
/// When it cannot be written.
pub fn open_until_boot(machine: &Machine, entry: &JournalEntry) -> Result<Option<FileLock>, KeepError> {
    machine.leave(&lock_path(machine, &entry.op), &())?;
    let lock = lock(machine, &entry.op)?;
    machine.leave(&path(machine, &entry.op), entry)?;
    Ok(Some(lock))
}

/// An entry that is to be taken up.
#[derive(Debug)]
pub enum TakenEntry {
    /// There is none.
    Missing,
    /// The process that began it, or another that took it up, is still at it.
    UnderWay,
    /// Nobody can know whether a process is at it: locks cannot be had here.
    Unlockable(String),
    /// It is ours for as long as the lock lives.
    Ours(Box<JournalEntry>, FileLock),
}

/// Takes up an unsettled operation, unless somebody is at it: the operation would be sent twice,
/// by two processes of which neither knows what the other sends.
#[must_use]
pub fn take(machine: &Machine, op: &OpId) -> TakenEntry {
    if find(machine, op).is_none() {
        return TakenEntry::Missing;
    }
    let lock = match lock(machine, op) {
        Ok(lock) => lock,
        Err(NotLocked::Busy(_)) => return TakenEntry::UnderWay,
        Err(error @ NotLocked::Impossible { .. }) => return TakenEntry::Unlockable(error.to_string()),
    };
    match find(machine, op) {
        Some(entry) => TakenEntry::Ours(Box::new(entry), lock),
        None => {
            // Settled just now; what is left is the file of the lock.
            close(machine, op);
            TakenEntry::Missing
        }
    }
}

/// Whether a process is at an operation; `None` where the system does not tell. Looks and takes
/// nothing: a lock that was only tried would keep for that moment another from having it.
#[must_use]
pub fn is_under_way(machine: &Machine, op: &OpId) -> Option<bool> {
    let lock = lock_path(machine, op);
    if machine.exists(&lock) { machine.is_open(&lock) } else { Some(false) }
}

/// Whether nobody is at an operation any more that was begun at `at`. `is_under_way` is what the system
/// tells, where it does.
#[must_use]
pub fn is_left_at(is_under_way: Option<bool>, at: Timestamp, now: Timestamp) -> bool {
    !is_under_way.unwrap_or_else(|| now.since(at) < UNSETTLED_AFTER)
}

/// Whether nobody is at the operation any more, and nobody has settled it while we looked.
#[must_use]
pub fn is_left(machine: &Machine, entry: &JournalEntry) -> bool {
    is_left_at(is_under_way(machine, &entry.op), entry.at, machine.wall())
        && find(machine, &entry.op).is_some()
}

/// Notes where the branch was when the outcome of `op` stayed unknown. What cannot be noted may be refused
/// later.
pub fn note_seen(machine: &Machine, op: &OpId, seen: Option<Version>) {
    if let Some(entry) = find(machine, op) {
        drop(machine.remember(&path(machine, op), &JournalEntry { seen, ..entry }));
    }
}

/// Forgets an entry: the outcome is known.
pub fn close(machine: &Machine, op: &OpId) {
    // An entry that stays behind costs only a look at the history later.
    drop(machine.remove(&path(machine, op)));
    drop(machine.remove(&lock_path(machine, op)));
}

/// Settles an operation that handed something out, whose answer the caller has: it is remembered with
/// its answer, for who lost that on the way.
pub fn deliver(machine: &Machine, op: &OpId, answer: &Value) {
    // Without it the answer is still in the hub, under the op id.
    if machine.add_line_and_move(&path(machine, op), answer, &answer_path(machine, op)).is_ok()
        && op.suffix(1) == "0"
    {
        let ids = ids_in(machine, &answers(machine));
        for old in ids.iter().take(ids.len().saturating_sub(ANSWERS_MAX)) {
            forget_answer(machine, old);
        }
    }
    close(machine, op);
}

/// The operations that handed something out and were settled, oldest first.
#[must_use]
pub fn answered(machine: &Machine) -> Vec<JournalEntry> {
    ids_in(machine, &answers(machine)).iter().filter_map(|op| find_answered(machine, op)).collect()
}

/// One of them.
#[must_use]
pub fn find_answered(machine: &Machine, op: &OpId) -> Option<JournalEntry> {
    let mut lines = machine.recall_all(&answer_path(machine, op)).into_iter();
    let entry: JournalEntry = serde_json::from_value(lines.next()?).ok()?;
    Some(JournalEntry { answer: Some(lines.next()?), ..entry })
}

/// Who got the locks of `guards` under those tokens, of those that were got here.
#[must_use]
pub fn holders(machine: &Machine, place: &HubRef, guards: &[(LockName, u64)]) -> Vec<(LockName, ServerName)> {
    let answered = answered(machine);
    let is_of = |entry: &&JournalEntry, name: &LockName, token: u64| {
        let term = entry.answer.as_ref().and_then(|answer| Some((answer.get("name")?, answer.get("token")?)));
        let is_it = term.is_some_and(|(of, given)| of == name.as_str() && given.as_u64() == Some(token));
        is_it && place.is_of(entry)
    };
    let holder = |(name, token): &(LockName, u64)| {
        // A hub that was set back gives a token twice: the last one counts.
        let entry = answered.iter().rfind(|entry| is_of(entry, name, *token))?;
        Some((name.clone(), entry.operation.taker()?.clone()))
    };
    guards.iter().filter_map(holder).collect()
}

/// Forgets an answer: what it handed out is over.
pub fn forget_answer(machine: &Machine, op: &OpId) {
    drop(machine.remove(&answer_path(machine, op)));
}

/// The entry of an operation, if it is unsettled here.
#[must_use]
pub fn find(machine: &Machine, op: &OpId) -> Option<JournalEntry> {
    // By way of a value: read straight from text, numbers inside a tagged operation are lost to
    // serde_json's arbitrary precision.
    serde_json::from_value(machine.recall(&path(machine, op))).ok()
}

/// The ids of all unsettled operations, oldest first.
#[must_use]
pub fn unsettled(machine: &Machine) -> Vec<OpId> {
    ids_in(machine, &folder(machine))
}

fn ids_in(machine: &Machine, folder: &Path) -> Vec<OpId> {
    let names = machine.list(folder);
    names.iter().filter_map(|name| OpId::new(name.strip_suffix(".json")?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::commands::status::SetStatus;
    use crate::domain::heartbeat::System;
    use crate::domain::status::StatusWord;

    #[test]
    fn what_was_kept_of_an_operation_can_be_read_again() {
        let figures = System { cpu_usage: Some(12.5), memory_used_gb: Some(3.0), disk_free_gb: None };
        let operation = Operation::from(SetStatus {
            server: ServerName::new("build1").expect("name"),
            word: StatusWord::Idle,
            job: None,
            system: Some(figures),
        });
        let text = serde_json::to_string(&operation).expect("writes");
        assert_eq!(serde_json::from_str::<Operation>(&text).expect(&text), operation);
    }
}
