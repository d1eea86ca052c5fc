//! Moving what is finished out of the live documents, in the commit that removes it there.

use super::Verb;
use crate::domain::id::ServerName;
use crate::domain::job::Job;
use crate::domain::message::Message;
use crate::domain::record::Record;
use crate::domain::table::{Row, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Documents as _, Stop, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Archives finished jobs and read messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// Who does it.
    pub server: ServerName,
    /// What is younger than this stays.
    pub older_than_seconds: u64,
}

/// How much was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// Jobs.
    pub jobs: usize,
    /// Messages.
    pub messages: usize,
}

impl Verb for Archive {
    type Answer = Archived;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Archived, Stop> {
        let now = transaction.now();
        let age = Duration::from_secs(self.older_than_seconds);
        let old = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) >= age);

        let mut jobs: Table<Job> = transaction.table()?;
        let needed: HashSet<String> = jobs
            .rows()
            .filter(|job| !job.status.is_final())
            .flat_map(|job| job.all_needs().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let done = jobs.take(|job| {
            job.status.is_final() && !needed.contains(&job.id) && old(job.completed_at.or(job.created_at))
        });
        let mut messages: Table<Message> = transaction.table()?;
        let waits_for_ack = |message: &Message| {
            message.ack_required == Some(true) && message.ack_status.as_deref() != Some("completed")
        };
        let read = messages
            .take(|message| message.read == Some(true) && !waits_for_ack(message) && old(message.timestamp));

        let archived = Archived { jobs: done.len(), messages: read.len() };
        store("jobs", &done, |job| job.completed_at.or(job.created_at), transaction)?;
        store("messages", &read, |message| message.timestamp, transaction)?;
        transaction.put_table(&jobs)?;
        transaction.put_table(&messages)?;
        transaction.describe(format!(
            "archive: {} jobs, {} messages by {}",
            archived.jobs, archived.messages, self.server
        ));
        Ok(archived)
    }
}

/// Appends records to the archives of their months.
fn store<T: Row>(
    name: &str,
    records: &[Record<T>],
    at: impl Fn(&T) -> Option<Timestamp>,
    transaction: &mut Transaction<'_>,
) -> Result<(), Stop> {
    let now = transaction.now();
    let mut months: BTreeMap<String, Vec<&Record<T>>> = BTreeMap::new();
    for record in records {
        months.entry(at(record).unwrap_or(now).month()).or_default().push(record);
    }
    for (month, records) in months {
        let mut archive: Table<T> =
            transaction.table_at(&format!("coordination/archive/{name}-{month}.json"))?;
        for record in records {
            archive.push_record(record);
        }
        transaction.put_table(&archive)?;
    }
    Ok(())
}
