//! Moving what is finished out of the live documents, in the commit that removes it there.

use super::Verb;
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::domain::message::Message;
use crate::domain::planted::planted;
use crate::domain::record::Record;
use crate::domain::table::{Row, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Documents as _, Stop, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// Archives finished jobs and read messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// Who does it.
    pub server: ServerName,
    /// What is younger than this stays.
    pub older_than_seconds: u64,
    /// Whether only jobs that are out of attempts are archived, and no messages.
    #[serde(default)]
    pub only_dead: bool,
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
        let mut jobs: Table<Job> = transaction.table()?;
        let done = take_jobs(&mut jobs, |job| !self.only_dead || job.status == JobStatus::Dead, now, age);
        let mut messages: Table<Message> = transaction.table()?;
        let read = if self.only_dead { Vec::new() } else { take_messages(&mut messages, now, age) };

        let archived = Archived { jobs: done.len(), messages: read.len() };
        store("jobs", &done, over_at, transaction)?;
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

/// Takes out those of the `wanted` jobs that were finished `age` ago or earlier and that nobody needs any more.
pub fn take_jobs(
    jobs: &mut Table<Job>,
    wanted: impl Fn(&Job) -> bool,
    now: Timestamp,
    age: Duration,
) -> Vec<Record<Job>> {
    let leaves =
        |job: &Job| is_over(job) && wanted(job) && over_at(job).is_some_and(|at| now.since(at) >= age);
    let needed = needed(jobs, &leaves);
    jobs.take(|job| leaves(job) && !needed.contains(&job.id))
}

/// Takes out the messages of `age` ago or earlier that were read and wait for no acknowledgement.
pub fn take_messages(messages: &mut Table<Message>, now: Timestamp, age: Duration) -> Vec<Record<Message>> {
    let waits_for_ack = |message: &Message| {
        message.ack_required == Some(true) && message.ack_status.as_deref() != Some("completed")
    };
    let is_old = |message: &Message| message.timestamp.is_some_and(|at| now.since(at) >= age);
    messages.take(|message| message.read == Some(true) && !waits_for_ack(message) && is_old(message))
}

fn is_over(job: &Job) -> bool {
    job.status.is_final()
}

fn over_at(job: &Job) -> Option<Timestamp> {
    job.completed_at.or(job.created_at)
}

/// Ids of the jobs that one which stays needs, and what those need in turn: a finished job that
/// stays may be put back into the queue, and would wait for ever for one that is gone.
fn needed(jobs: &Table<Job>, leaves: &dyn Fn(&Job) -> bool) -> HashSet<String> {
    let needs_of = |job: &Job| job.all_needs().map(str::to_owned).collect::<Vec<_>>();
    let mut open: Vec<String> =
        jobs.rows().filter(|job| !leaves(job)).flat_map(|job| needs_of(job)).collect();
    let mut needs: HashMap<&str, Vec<String>> = HashMap::new();
    for job in jobs.rows() {
        needs.entry(&job.id).or_default().extend(needs_of(job));
    }
    let mut needed = HashSet::new();
    while let Some(id) = open.pop() {
        // What a job needs is followed once.
        open.extend(needs.remove(id.as_str()).unwrap_or_default());
        needed.insert(id);
    }
    needed
}

/// Appends records to the archives of their months.
fn store<T: Row>(
    name: &str,
    records: &[Record<T>],
    at: impl Fn(&T) -> Option<Timestamp>,
    transaction: &mut Transaction<'_>,
) -> Result<(), Stop> {
    if planted("archive-loses") {
        return Ok(());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_that_stays_needs_stays_too() {
        let rows = r#"{"jobs": [
            {"id": "base", "status": "completed"},
            {"id": "middle", "status": "completed", "needs": ["base"]},
            {"id": "young", "status": "failed", "needs": ["middle"]},
            {"id": "alone", "status": "completed", "needs": ["alone"]}
        ]}"#;
        let jobs = Table::<Job>::read(Job::PATH, rows.as_bytes()).expect("reads");
        let mut kept: Vec<String> = needed(&jobs, &|job| job.id != "young").into_iter().collect();
        kept.sort();
        assert_eq!(kept, ["base", "middle"]);
    }
}
