//! Locks: taken, renewed, released, stolen; and things done once.

use crate::app::commands::WriteCommand;
use crate::domain::high_water::{HighWater, note};
use crate::domain::id::{LockName, ServerName};
use crate::domain::lock::{Lock, LockRequest};
use crate::domain::planted::planted;
use crate::domain::refusal::{Action, Refusal};
use crate::domain::secret::credential_in;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents as _, Transaction};
use serde::{Deserialize, Serialize};

/// The longest reason, in characters.
const REASON_LENGTH_MAX: usize = 500;

/// A term of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockGrant {
    /// The lock.
    pub name: String,
    /// The fencing token of the term.
    pub token: u64,
    /// How long it is trusted without a renewal.
    pub lease_seconds: u64,
}

/// Takes a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcquireLock {
    pub name: LockName,
    pub taker: LockRequest,
    /// The version that was watched until it expired.
    pub expired: Option<String>,
}

impl WriteCommand for AcquireLock {
    type Answer = LockGrant;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<LockGrant, Abort> {
        let mut locks = table_with(&self.name, transaction)?;
        check(&self.taker)?;
        let now = transaction.now();
        let expired = self.expired.as_deref();
        let token = hand_over(&mut locks, &self.name, transaction, |lock, raise| {
            refuse_done(lock)?;
            lock.take_from(&self.taker, expired, now, raise)
        })?;
        let took = if self.expired.is_some() { "take over" } else { "acquire" };
        finish(
            transaction,
            &locks,
            &self.name,
            format!("lock {took}: {} by {}, token {token}", self.name, self.taker.server),
        )?;
        Ok(LockGrant { name: self.name.to_string(), token, lease_seconds: self.taker.lease_seconds })
    }
}

/// Renews a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenewLock {
    pub name: LockName,
    /// Its holder.
    pub server: ServerName,
    /// The term.
    pub token: u64,
    /// Another lease than before.
    pub lease_seconds: Option<u64>,
}

impl WriteCommand for RenewLock {
    type Answer = LockGrant;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<LockGrant, Abort> {
        let mut locks = existing(&self.name, transaction)?;
        let now = transaction.now();
        let lease = edit(&mut locks, &self.name, |lock| {
            lock.renew(&self.server, self.token, self.lease_seconds, now)?;
            Ok(lock.lease())
        })?;
        finish(transaction, &locks, &self.name, format!("lock renew: {} by {}", self.name, self.server))?;
        Ok(LockGrant { name: self.name.to_string(), token: self.token, lease_seconds: lease.as_secs() })
    }
}

/// Frees a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseLock {
    pub name: LockName,
    /// Its holder.
    pub server: ServerName,
    /// The term.
    pub token: u64,
}

impl WriteCommand for ReleaseLock {
    type Answer = LockGrant;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<LockGrant, Abort> {
        let mut locks = existing(&self.name, transaction)?;
        let term = LockGrant { name: self.name.to_string(), token: self.token, lease_seconds: 0 };
        let is_repeated = |lock: &Lock| lock.done_at.is_none() && lock.was_released(&self.server, self.token);
        if locks.get(self.name.as_str()).is_some_and(|lock| is_repeated(lock)) {
            return Ok(term);
        }
        edit(&mut locks, &self.name, |lock| lock.release(&self.server, self.token))?;
        finish(transaction, &locks, &self.name, format!("lock release: {} by {}", self.name, self.server))?;
        Ok(term)
    }
}

/// Takes a lock from whoever holds it. The holder learns at its next renewal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StealLock {
    pub name: LockName,
    /// Who, and why.
    pub taker: LockRequest,
    /// Also while the lease of whoever holds it runs.
    #[serde(default)]
    pub force: bool,
    /// The version that its host watched until the lease was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<String>,
}

impl WriteCommand for StealLock {
    type Answer = LockGrant;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<LockGrant, Abort> {
        check(&self.taker)?;
        let mut locks = existing(&self.name, transaction)?;
        let now = transaction.now();
        let (from, token) = hand_over(&mut locks, &self.name, transaction, |lock, raise| {
            refuse_done(lock)?;
            self.refuse_valid(lock, now)?;
            let from = lock.locked_by.clone().unwrap_or_else(|| "nobody".to_owned());
            lock.token = lock.token.max(raise);
            Ok((from, lock.hand_to(&self.taker, now)?))
        })?;
        let why = self.taker.reason.as_deref().unwrap_or_default();
        finish(
            transaction,
            &locks,
            &self.name,
            format!("lock steal: {} by {} from {from}: {why}", self.name, self.taker.server),
        )?;
        Ok(LockGrant { name: self.name.to_string(), token, lease_seconds: self.taker.lease_seconds })
    }
}

impl StealLock {
    /// A lease that may run is not taken by a slip. Whether it does is told by watching, as for everybody: the
    /// holder's times and our clock may contradict each other by hours.
    fn refuse_valid(&self, lock: &Lock, now: Timestamp) -> Result<(), Refusal> {
        if self.force || !lock.is_held() || self.expired.as_ref() == Some(&lock.version()) {
            return Ok(());
        }
        Err(Refusal::LockNotWatched(Box::new(lock.holding(now))))
    }
}

/// Says that a thing done once is done. Its key is a lock that stays taken for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkDone {
    pub key: LockName,
    /// Who did it.
    pub server: ServerName,
    /// The term under which it was done.
    pub token: u64,
}

impl WriteCommand for MarkDone {
    type Answer = LockGrant;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<LockGrant, Abort> {
        let mut locks = existing(&self.key, transaction)?;
        let now = transaction.now();
        let term = LockGrant { name: self.key.to_string(), token: self.token, lease_seconds: 0 };
        let is_repeated = |lock: &Lock| lock.done_at.is_some() && lock.was_released(&self.server, self.token);
        if locks.get(self.key.as_str()).is_some_and(|lock| is_repeated(lock)) {
            return Ok(term);
        }
        edit(&mut locks, &self.key, |lock| {
            refuse_done(lock)?;
            lock.release(&self.server, self.token)?;
            lock.done_at = Some(now);
            lock.reason = Some(format!("done once by {}", self.server));
            Ok(())
        })?;
        finish(transaction, &locks, &self.key, format!("once done: {} by {}", self.key, self.server))?;
        Ok(term)
    }
}

fn table_with(name: &LockName, transaction: &Transaction<'_>) -> Result<Table<Lock>, Abort> {
    let mut locks = readable(name, transaction)?;
    if locks.get(name.as_str()).is_none() {
        locks.push(Lock::free(name.as_str()));
    }
    Ok(locks)
}

/// The locks, of which this one can be read: nobody knows that one is free whose record cannot.
fn readable(name: &LockName, transaction: &Transaction<'_>) -> Result<Table<Lock>, Abort> {
    let locks: Table<Lock> = transaction.table()?;
    match locks.trouble_with(name.as_str()) {
        Some(trouble) => Err(trouble.refusal(Action::ChangeLock, name.as_str()).into()),
        None => Ok(locks),
    }
}

fn existing(name: &LockName, transaction: &Transaction<'_>) -> Result<Table<Lock>, Abort> {
    let locks = readable(name, transaction)?;
    if locks.get(name.as_str()).is_none() {
        return Err(Refusal::LockNotFound { lock: name.to_string() }.into());
    }
    Ok(locks)
}

/// Gives the lock to another by `give`, which is told the highest token that it ever gave, and notes the
/// one that it gives now.
fn hand_over<R>(
    locks: &mut Table<Lock>,
    name: &LockName,
    transaction: &mut Transaction<'_>,
    give: impl FnOnce(&mut Lock, Option<u64>) -> Result<R, Refusal>,
) -> Result<R, Abort> {
    let mut marks: Table<HighWater> = transaction.table()?;
    if let Some(trouble) = marks.trouble_with(name.as_str()) {
        return Err(trouble.refusal(Action::IssueToken, name.as_str()).into());
    }
    let mark = marks.get(name.as_str()).and_then(|mark| mark.token);
    let given = edit(locks, name, |lock| give(lock, mark))?;
    if let Some(lock) = locks.get(name.as_str()) {
        note(lock, &mut marks);
    }
    transaction.put_table(&marks)?;
    Ok(given)
}

fn edit<R>(
    locks: &mut Table<Lock>,
    name: &LockName,
    change: impl FnOnce(&mut Lock) -> Result<R, Refusal>,
) -> Result<R, Abort> {
    let lock =
        locks.get_mut(name.as_str()).ok_or_else(|| Refusal::LockNotFound { lock: name.to_string() })?;
    Ok(lock.edit(change)?)
}

fn refuse_done(lock: &Lock) -> Result<(), Refusal> {
    match lock.done_at {
        Some(at) if !planted("done-undone") => {
            let (lock, by) = (lock.name.clone(), lock.released_by.clone());
            Err(Refusal::AlreadyDone { lock, at, by })
        }
        _ => Ok(()),
    }
}

fn check(taker: &LockRequest) -> Result<(), Refusal> {
    let Some(reason) = &taker.reason else { return Ok(()) };
    let (action, field) = (Action::AcquireLock, "reason");
    let (length, limit) = (reason.chars().count(), REASON_LENGTH_MAX);
    if length > limit {
        return Err(Refusal::TextTooLong { action, field, length, limit });
    }
    match credential_in(reason) {
        Some(credential) => Err(Refusal::CredentialFound { action, field, credential }),
        None => Ok(()),
    }
}

fn finish(
    transaction: &mut Transaction<'_>,
    locks: &Table<Lock>,
    name: &LockName,
    line: String,
) -> Result<(), Abort> {
    transaction.put_table(locks)?;
    transaction.describe(line);
    transaction.trailer("Muster-Lock", name.as_str());
    Ok(())
}
