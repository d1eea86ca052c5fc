//! Taking a server out of the registry, with everything that would wait for it for ever.
//!
//! Its folder stays, with a status that says so: it is history. Its branches stay as well, because
//! nothing here removes a branch.

use crate::app::commands::WriteCommand;
use crate::app::commands::archive::store;
use crate::app::commands::job_step::call_off;
use crate::app::documents::or_empty;
use crate::domain::id::ServerName;
use crate::domain::job::{FailReason, Job};
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::pause::{Pause, Paused, end};
use crate::domain::record::Record;
use crate::domain::refusal::{Action, Kind, Refusal};
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents, LedgerError, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Takes a server out of the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoveServer {
    pub name: ServerName,
    /// Who asks.
    pub by: ServerName,
    /// Whether what it holds is taken from it; else it must hold nothing.
    #[serde(default)]
    pub force: bool,
}

/// A server that was removed, and what was settled with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Removed {
    /// Its record, whole.
    #[serde(flatten)]
    pub server: Value,
    /// The jobs that were taken from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<String>,
    /// The locks that were freed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// How many messages to it went to the archive.
    #[serde(skip_serializing_if = "is_zero")]
    pub messages: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl WriteCommand for RemoveServer {
    type Answer = Removed;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Removed, Abort> {
        let mut registry: Table<Server> = transaction.table()?;
        if let Some(trouble) = registry.trouble_with(self.name.as_str()) {
            return Err(trouble.refusal(Action::RemoveServer, self.name.as_str()).into());
        }
        let taken = registry.take(|server| server.id == self.name.as_str());
        let Some(first) = taken.first() else {
            let (server, action) = (self.name.to_string(), Action::RemoveServer);
            return Err(Refusal::ServerNotFound { server, action }.into());
        };
        let mut removed = Removed { server: first.raw(), ..Removed::default() };
        removed.jobs = self.take_jobs(transaction)?;
        removed.locks = self.free_locks(transaction)?;
        removed.messages = self.settle_messages(&registry, transaction)?;
        let mut pauses: Table<Pause> = transaction.table()?;
        if !end(&mut pauses, &Paused::Server(self.name.clone())).is_empty() {
            transaction.put_table(&pauses)?;
        }
        self.note_in_status(transaction)?;
        transaction.put_table(&registry)?;
        transaction.describe(format!("server remove: {} by {}", self.name, self.by));
        Ok(removed)
    }
}

fn is_job_of(job: &Job, server: &ServerName) -> bool {
    job.status.is_held() && job.assigned_to.as_deref() == Some(server.as_str())
}

fn is_lock_of(lock: &Lock, server: &ServerName) -> bool {
    lock.is_held() && lock.done_at.is_none() && lock.locked_by.as_deref() == Some(server.as_str())
}

/// The jobs and locks that `server` holds, for people.
///
/// # Errors
/// When a branch cannot be read.
pub fn holdings(documents: &impl Documents, server: &ServerName) -> Result<Vec<String>, Abort> {
    let (jobs, locks): (Table<Job>, Table<Lock>) = (or_empty(documents)?, or_empty(documents)?);
    let jobs = jobs.rows().filter(|job| is_job_of(job, server)).map(|job| format!("job `{}`", job.id));
    let locks =
        locks.rows().filter(|lock| is_lock_of(lock, server)).map(|lock| format!("lock `{}`", lock.name));
    Ok(jobs.chain(locks).collect())
}

impl RemoveServer {
    /// Takes its jobs back into the queue as those of a server that is lost.
    fn take_jobs(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>, Abort> {
        let mut jobs: Table<Job> = transaction.table()?;
        let held: Vec<(String, u64)> = jobs
            .rows()
            .filter(|job| is_job_of(job, &self.name))
            .map(|job| (job.id.clone(), job.token.unwrap_or(0)))
            .collect();
        let Some((first, _)) = held.first() else { return Ok(Vec::new()) };
        if !self.force {
            return Err(self.busy(Kind::Job, first).into());
        }
        let at = (transaction.now(), transaction.op().clone());
        let mut taken = Vec::new();
        for (id, token) in held {
            let Some(job) = jobs.get_mut(&id) else { continue };
            job.edit(|job| job.rescue(token, FailReason::Lost, (at.0, &at.1)))?;
            transaction.trailer("Muster-Job", id.as_str());
            call_off(&id, &mut jobs, transaction);
            taken.push(id);
        }
        transaction.put_table(&jobs)?;
        Ok(taken)
    }

    /// Frees its locks; their tokens stay.
    fn free_locks(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>, Abort> {
        let mut locks: Table<Lock> = transaction.table()?;
        let its = locks.rows().filter(|lock| is_lock_of(lock, &self.name));
        let held: Vec<String> = its.map(|lock| lock.name.clone()).collect();
        let Some(first) = held.first() else { return Ok(Vec::new()) };
        if !self.force {
            return Err(self.busy(Kind::Lock, first).into());
        }
        for name in &held {
            if let Some(lock) = locks.get_mut(name) {
                lock.edit(Lock::vacate);
                transaction.trailer("Muster-Lock", name.as_str());
            }
        }
        transaction.put_table(&locks)?;
        Ok(held)
    }

    fn busy(&self, kind: Kind, id: &str) -> Refusal {
        Refusal::ServerBusy { server: self.name.to_string(), kind, id: id.to_owned() }
    }

    /// Moves the messages to it to the archive. Those to all no longer wait for it.
    fn settle_messages(
        &self,
        registry: &Table<Server>,
        transaction: &mut Transaction<'_>,
    ) -> Result<usize, Abort> {
        let servers: Vec<ServerName> =
            registry.rows().filter_map(|server| ServerName::new(&server.id).ok()).collect();
        let mut messages: Table<Message> = transaction.table()?;
        let unread = messages.take(|message| message.to == self.name.as_str());
        for message in messages.rows_mut() {
            message.edit(|message| message.settle(&servers));
        }
        store("messages", &unread, |message| message.timestamp, transaction)?;
        if messages.is_changed() {
            transaction.put_table(&messages)?;
        }
        Ok(unread.len())
    }

    /// Says in its status that it was removed, so that its folder is not taken for that of a server
    /// which never joined.
    fn note_in_status(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let path = Status::path(&self.name);
        let mut status = match transaction.record::<Status>(&path) {
            Err(Abort::Fault(LedgerError::Document(error))) if error.is_newer => return Ok(()),
            // What cannot be read has no owner any more who could mend it.
            Ok(None) | Err(Abort::Fault(LedgerError::Document(_))) => {
                Record::new(Status::blank(&self.name), 0)
            }
            found => found?.unwrap_or_else(|| Record::new(Status::blank(&self.name), 0)),
        };
        let now = transaction.now();
        status.edit(|status| status.remove(now));
        transaction.put_record(&path, &status)
    }
}
