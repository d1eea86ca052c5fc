//! A server says what it is doing.

use crate::app::commands::WriteCommand;
use crate::app::documents;
use crate::domain::heartbeat::System;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::Job;
use crate::domain::record::Record;
use crate::domain::refusal::Refusal;
use crate::domain::server::Server;
use crate::domain::status::{CurrentJob, Status, StatusWord};
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents as _, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sets a server's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetStatus {
    /// Which server: the caller itself.
    pub server: ServerName,
    pub word: StatusWord,
    /// The job it works on.
    pub job: Option<JobId>,
    /// Load, memory, disk.
    pub system: Option<System>,
}

impl WriteCommand for SetStatus {
    /// The status after it, whole.
    type Answer = Value;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Abort> {
        documents::require_member(transaction, &self.server)?;
        let now = transaction.now();
        let mut status = match documents::status(transaction, &self.server)? {
            Some(status) => status,
            None => Record::new(Status::blank(&self.server), 0),
        };
        let job = self.job.as_ref().map(|id| self.current_job(id, transaction)).transpose()?;
        let registry: Table<Server> = transaction.table()?;
        let registered = registry.get(self.server.as_str());
        status.edit(|status| {
            status.set(self.word, job, now);
            if self.system.is_some() {
                status.system.clone_from(&self.system);
            }
            if let Some(server) = registered {
                status.ip = status.ip.take().or_else(|| server.ip.clone());
                status.manager = status.manager.take().or_else(|| server.manager.clone());
            }
        });
        transaction.put_record(&Status::path(&self.server), &status)?;
        let on = self.job.as_ref().map_or(String::new(), |job| format!(" on {job}"));
        transaction.describe(format!("status set: {} {}{on}", self.server, self.word.as_str()));
        Ok(status.raw())
    }
}

impl SetStatus {
    /// Fails when the server said something else after this was asked for: what is taken up late
    /// must not bring an old status back.
    ///
    /// # Errors
    /// The refusal, or a document that cannot be read.
    pub fn refuse_if_outdated(&self, begun: Timestamp, transaction: &Transaction<'_>) -> Result<(), Abort> {
        let status = documents::status(transaction, &self.server)?;
        match status.and_then(|status| status.at()).filter(|said| *said > begun) {
            Some(at) => {
                let (server, status) = (self.server.to_string(), self.word.as_str().to_owned());
                Err(Refusal::StatusOutdated { server, status, at }.into())
            }
            None => Ok(()),
        }
    }

    /// What the queue knows of the job; a job that is not in it is taken at its word.
    fn current_job(&self, id: &JobId, transaction: &Transaction<'_>) -> Result<CurrentJob, Abort> {
        let jobs: Table<Job> = transaction.table()?;
        let job = jobs.get(id.as_str());
        Ok(CurrentJob {
            id: Some(id.to_string()),
            branch: job.and_then(|job| job.branch.clone()),
            commit: job.and_then(|job| job.commit.clone()),
            started_at: Some(job.and_then(|job| job.started_at).unwrap_or(transaction.now())),
        })
    }
}
