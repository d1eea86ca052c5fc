//! Moving what is finished out of the live documents, in the commit that removes it there.

use crate::app::commands::WriteCommand;
use crate::app::documents::unregistered;
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::domain::message::{Message, MessageRef};
use crate::domain::planted::planted;
use crate::domain::record::Record;
use crate::domain::refusal::Refusal;
use crate::domain::server::Server;
use crate::domain::table::{Row, Table};
use crate::domain::tables::ARCHIVE;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How many archives are tried for the records of one month.
const MONTHS_TRIED_MAX: u32 = 24;

/// From the first of a month so long leads into the next one.
const MONTH_MAX: Duration = Duration::from_secs(31 * 86_400);

/// Archives finished jobs and messages that nobody has to read any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// Who does it.
    pub server: ServerName,
    /// What is younger than this stays.
    pub older_than_seconds: u64,
    /// Whether only jobs that are out of attempts are archived, and no messages.
    #[serde(default)]
    pub only_dead: bool,
    /// Messages of this age go even if they are unread or wait for an acknowledgement.
    #[serde(default)]
    pub unread_older_than_seconds: Option<u64>,
}

/// How much was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Archived {
    pub jobs: usize,
    pub messages: usize,
}

impl WriteCommand for Archive {
    type Answer = Archived;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Archived, Abort> {
        let now = transaction.now();
        let age = Duration::from_secs(self.older_than_seconds);
        let mut jobs: Table<Job> = transaction.table()?;
        let done = take_jobs(&mut jobs, |job| !self.only_dead || job.status == JobStatus::Dead, now, age);
        let mut messages: Table<Message> = transaction.table()?;
        let read = if self.only_dead {
            Vec::new()
        } else {
            let ages =
                ArchiveAges { settled: age, unread: self.unread_older_than_seconds.map(Duration::from_secs) };
            take_messages(&mut messages, &recipients(transaction)?, now, ages)
        };

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
/// Of those with one id each stays until that is mended: archived, only one of them would ever be found.
pub fn take_jobs(
    jobs: &mut Table<Job>,
    wanted: impl Fn(&Job) -> bool,
    now: Timestamp,
    age: Duration,
) -> Vec<Record<Job>> {
    let doubled = doubled(jobs);
    let is_old = |job: &Job| over_at(job).is_some_and(|at| now.since(at) >= age);
    let leaves = |job: &Job| is_over(job) && wanted(job) && is_old(job) && !doubled.contains(&job.id);
    let needed = needed(jobs, &leaves);
    jobs.take(|job| leaves(job) && !needed.contains(&job.id))
}

/// From which age on messages leave.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveAges {
    /// Those that everybody has read and acknowledged who is asked to.
    pub settled: Duration,
    /// Those that are unread, or wait for an acknowledgement; `None` if they stay.
    pub unread: Option<Duration>,
}

/// Takes out the messages that are old enough; `servers` are those who may still read one.
pub fn take_messages(
    messages: &mut Table<Message>,
    servers: &[ServerName],
    now: Timestamp,
    ages: ArchiveAges,
) -> Vec<Record<Message>> {
    let mut leaves = Vec::with_capacity(messages.rows().len());
    // Messages are appended: one without a time is at least as old as the next that has one.
    let mut later = None;
    for message in messages.rows().rev() {
        later = message.timestamp.or(later);
        let age = if message.is_settled(servers) { Some(ages.settled) } else { ages.unread };
        leaves.push(later.zip(age).is_some_and(|(at, age)| now.since(at) >= age));
    }
    leaves.reverse();
    let doubled = doubled(messages);
    if !doubled.is_empty() {
        let same = |message: &Message| doubled.contains(&message.id).then(|| MessageRef::of(message));
        let stays = messages.rows().zip(&leaves).filter(|(_, leaves)| !**leaves);
        let stays: HashSet<MessageRef> = stays.filter_map(|(message, _)| same(message)).collect();
        for (message, leaves) in messages.rows().zip(&mut leaves) {
            // What stands there twice leaves as a whole, or it would be live and archived.
            *leaves &= same(message).is_none_or(|which| !stays.contains(&which));
        }
    }
    let mut leaves = leaves.into_iter();
    messages.take(|_| leaves.next().unwrap_or(false))
}

/// The ids that stand there more than once.
fn doubled<T: Row>(table: &Table<T>) -> HashSet<String> {
    let mut seen = HashSet::with_capacity(table.rows().len());
    let again = table.rows().map(|row| row.id()).filter(|id| !id.is_empty() && !seen.insert(*id));
    again.map(str::to_owned).collect()
}

/// Who may still read a message: the servers that are registered, and those that have a folder in use.
///
/// # Errors
/// When the registry or a branch cannot be read.
pub fn recipients(documents: &impl Documents) -> Result<Vec<ServerName>, Abort> {
    let registry: Table<Server> = documents.table()?;
    let unregistered = unregistered(documents, &registry)?;
    let all = registry.rows().map(|server| &server.id).chain(unregistered.iter().map(|server| &server.id));
    Ok(all.filter_map(|id| ServerName::new(id).ok()).collect())
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

/// Appends records to the archives of their months. What an archive has no room for goes into that of the
/// next month, where every look-up finds it: an archive holds nothing that was over later than its month.
pub(in crate::app) fn store<T: Row>(
    name: &str,
    records: &[Record<T>],
    at: impl Fn(&T) -> Option<Timestamp>,
    transaction: &mut Transaction<'_>,
) -> Result<(), Abort> {
    if planted("archive-loses") {
        return Ok(());
    }
    let now = transaction.now();
    let mut months: BTreeMap<String, Vec<&Record<T>>> = BTreeMap::new();
    for record in records {
        months.entry(at(record).unwrap_or(now).month()).or_default().push(record);
    }
    for (month, records) in months {
        let mut rest = records.as_slice();
        let mut into = month.clone();
        for _ in 0..MONTHS_TRIED_MAX {
            let mut archive: Table<T> = transaction.table_at(&format!("{ARCHIVE}/{name}-{into}.json"))?;
            rest = archive.push_what_fits(rest);
            transaction.put_table(&archive)?;
            if rest.is_empty() {
                break;
            }
            into = month_after(&into);
        }
        if !rest.is_empty() {
            let (directory, path) = (ARCHIVE.to_owned(), format!("{ARCHIVE}/{name}-{month}.json"));
            return Err(Refusal::ArchivesFull { directory, path, last: into }.into());
        }
    }
    Ok(())
}

/// The month after one that is written as [`Timestamp::month`] does.
fn month_after(month: &str) -> String {
    let begin = Timestamp::parse(&format!("{month}-01T00:00:00Z"));
    begin.map_or_else(|| month.to_owned(), |begin| begin.plus(MONTH_MAX).month())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_when_nobody_waits_for_them() {
        let row = |id: &str, day: u32, rest: &str| {
            format!(r#"{{"id":"{id}","from":"a","timestamp":"2025-11-{day:02}T00:00:00Z",{rest}}}"#)
        };
        let rows = [
            row("read", 1, r#""to":"b","read":true"#),
            row("unread", 1, r#""to":"b""#),
            row("to-nobody", 1, r#""to":"architect""#),
            row("to-nobody-acked", 1, r#""to":"architect","ack_required":true,"ack_status":"pending""#),
            row("all-read", 1, r#""to":"all","read":false,"read_by":["b"]"#),
            row("all-unread", 1, r#""to":"all""#),
            row("ack", 1, r#""to":"b","read":true,"ack_required":true"#),
            r#"{"id":"undated","to":"architect","timestamp":"$(date)"}"#.to_owned(),
            row("young", 9, r#""to":"architect""#),
            r#"{"id":"undated-last","to":"architect"}"#.to_owned(),
        ];
        let text = format!("[{}]", rows.join(","));
        let servers = [ServerName::new("a").expect("name"), ServerName::new("b").expect("name")];
        let now = Timestamp::parse("2025-11-10T00:00:00Z").expect("time");
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let taken = |ages| {
            let mut messages = Table::<Message>::read(Message::PATH, text.as_bytes()).expect("reads");
            let taken = take_messages(&mut messages, &servers, now, ages);
            taken.iter().map(|message| message.id.clone()).collect::<Vec<_>>().join(" ")
        };
        // The one without a time stands before one of the ninth, and is not known to be older.
        let settled = "read to-nobody to-nobody-acked all-read";
        assert_eq!(taken(ArchiveAges { settled: days(7), unread: None }), settled);
        assert_eq!(taken(ArchiveAges { settled: days(1), unread: None }), format!("{settled} undated young"));
        assert_eq!(
            taken(ArchiveAges { settled: days(30), unread: Some(days(7)) }),
            "unread all-unread ack",
            "each by its own age"
        );
    }

    #[test]
    fn the_next_month_is_told_at_every_end() {
        for (month, next) in
            [("2020-01", "2020-02"), ("2020-12", "2021-01"), ("2024-02", "2024-03"), ("2025-04", "2025-05")]
        {
            assert_eq!(month_after(month), next);
        }
    }

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
