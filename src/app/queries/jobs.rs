//! Questions about jobs: which there are, how one stands, why it waits, where its log lies.

use super::{List, OneRecord, Query, one, readable};
use crate::app::archived::all;
use crate::app::explain::ExplainInput;
use crate::app::observations::Observations;
use crate::app::signs::Heartbeats;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Job, JobStatus};
use crate::domain::queue::Waiting;
use crate::domain::record::Record;
use crate::domain::refusal::{Action, Expected, Refusal};
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which jobs. What is empty asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobFilter {
    /// In one of these states.
    pub status: Vec<JobStatus>,
    /// Held by this server, or held last.
    pub server: Option<String>,
}

impl JobFilter {
    /// Whether it lets all through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it lets this one through.
    #[must_use]
    pub fn is_meant(&self, job: &Job) -> bool {
        (self.status.is_empty() || self.status.contains(&job.status))
            && self.server.as_ref().is_none_or(|server| job.assigned_to.as_ref() == Some(server))
    }
}

/// The state that a word names, in any spelling that is read.
///
/// # Errors
/// Invalid when it is none.
pub fn status_of(word: &str) -> Result<JobStatus, Refusal> {
    match JobStatus::from(word.to_ascii_lowercase()) {
        JobStatus::Other(word) => {
            let (action, expected) = (Action::Show, Expected::JobStatus);
            Err(Refusal::ValueInvalid { action, field: "status", given: word, expected })
        }
        status => Ok(status),
    }
}

/// Which jobs there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListJobs {
    pub filter: JobFilter,
    /// Whether those in the archive as well; they come first.
    pub archived: bool,
}

impl Query for ListJobs {
    type Answer = List<Job>;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<List<Job>, Abort> {
        let live: Table<Job> = documents.table()?;
        let mut list = List::of(&live, self.filter.is_empty(), |job| self.filter.is_meant(job));
        if self.archived {
            let meant = all::<Job>(documents, None)?.into_iter().filter(|job| self.filter.is_meant(job));
            list.items = meant.map(Arc::new).collect();
        }
        Ok(list)
    }
}

/// A job, live or archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowJob {
    pub id: JobId,
}

impl Query for ShowJob {
    type Answer = OneRecord<Job>;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<OneRecord<Job>, Abort> {
        one(documents, self.id.as_str(), || unknown(&self.id))
    }
}

fn unknown(job: &JobId) -> Refusal {
    Refusal::JobNotFound { job: job.to_string(), archived: true }
}

/// The job `id`, live or archived.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn existing(documents: &impl Documents, id: &JobId) -> Result<Record<Job>, Abort> {
    readable(documents, id.as_str(), || unknown(id))
}

/// The ids of the dead jobs, or of one that is dead, or was before it was put back: that is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadJobs {
    /// That one; all without it.
    pub id: Option<JobId>,
}

impl Query for DeadJobs {
    type Answer = Vec<JobId>;

    fn run(&self, documents: &impl Documents, now: Timestamp) -> Result<Vec<JobId>, Abort> {
        let Some(id) = &self.id else {
            let filter = JobFilter { status: vec![JobStatus::Dead], ..JobFilter::default() };
            let dead = ListJobs { filter, archived: false }.run(documents, now)?;
            return Ok(dead.items.iter().filter_map(|job| JobId::new(&job.id).ok()).collect());
        };
        let job = existing(documents, id)?;
        if job.status == JobStatus::Dead || job.was_put_back() {
            return Ok(vec![id.clone()]);
        }
        Err(Refusal::JobNotDead { job: job.id.clone(), status: job.status.clone() }.into())
    }
}

/// Why a job waits. What the answer tells of servers depends on what this machine has watched, so the hub
/// is read first and judged then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainJob {
    /// The job, live or archived.
    pub id: JobId,
}

impl ExplainJob {
    /// Reads what there is to judge.
    ///
    /// # Errors
    /// When there is no such job, or a document cannot be read.
    pub fn read(&self, documents: &impl Documents) -> Result<JobAnswer, Abort> {
        let job = existing(documents, &self.id)?;
        let look = if job.status == JobStatus::Queued { Some(ExplainInput::at(documents)?) } else { None };
        Ok(JobAnswer { job, look })
    }
}

/// A job about which was asked.
pub struct JobAnswer {
    job: Record<Job>,
    /// Of one that waits: the queue and the servers.
    pub look: Option<ExplainInput>,
}

impl JobAnswer {
    /// The answer as of `now`, and with the `signs` of life of the servers where it waits.
    #[must_use]
    pub fn explain(
        self,
        signs: Option<&Heartbeats>,
        place: &str,
        observed: &mut Observations,
        now: Timestamp,
    ) -> Explanation {
        let (look, job) = (self.look, self.job);
        let waiting =
            look.iter().zip(signs).flat_map(|(look, signs)| look.explain(&job, signs, place, observed));
        Explanation {
            waits_for: waiting.collect(),
            id: job.id.clone(),
            status: job.status.clone(),
            situation: job.situation(now),
            may_still_run_on: job.may_still_run_on().map(str::to_owned),
            job,
        }
    }
}

/// Why a job waits, or what became of it.
#[derive(Debug, Serialize)]
pub struct Explanation {
    id: String,
    status: JobStatus,
    situation: String,
    /// All that it waits for; nothing when it is not queued or can be claimed.
    pub waits_for: Vec<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    may_still_run_on: Option<String>,
    /// The job itself.
    #[serde(skip)]
    pub job: Record<Job>,
}

/// Where the log of a job lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindLog {
    /// The job, live or archived.
    pub id: JobId,
}

/// The log of the present or last attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundLog {
    /// The branch and the path, if a worker runs it or has run it.
    pub place: Option<LogPlace>,
    /// Whether nothing is added to it any more.
    pub is_final: bool,
}

/// Where a log lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// The branch of the server's logs, which has to be fetched before it is read.
    pub branch: String,
    /// The path there.
    pub path: String,
}

impl Query for FindLog {
    type Answer = FoundLog;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<FoundLog, Abort> {
        let job = existing(documents, &self.id)?;
        let is_final = job.status.is_final();
        let Some(path) = job.log.clone() else { return Ok(FoundLog { place: None, is_final }) };
        // The path was written by somebody else: it must be what a worker writes.
        let server = path.split('/').next().and_then(|name| ServerName::new(name).ok());
        let is_of_worker =
            |server: &ServerName| path.starts_with(&format!("{server}/logs/")) && !path.contains("..");
        let Some(server) = server.filter(is_of_worker) else {
            return Err(Refusal::LogPathInvalid { job: self.id.to_string(), path }.into());
        };
        Ok(FoundLog { place: Some(LogPlace { branch: server.logs_branch(), path }), is_final })
    }
}

impl LogPlace {
    /// The bytes that lie there, of documents that have the branch; `None` when there are none.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn read(&self, documents: &impl Documents) -> Result<Option<Vec<u8>>, Abort> {
        let document = documents.document(&self.branch, &self.path)?;
        Ok(document.map(|document| document.bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::{answer, ids, now};
    use crate::domain::table::Row as _;
    use crate::machine::Machine;
    use serde_json::json;
    use std::collections::HashMap;

    const ARCHIVE: &str = "coordination/archive/jobs-2025-10.json";

    fn hub() -> MemoryDocuments {
        let live = [
            r#"{"id":"a","status":"queued","x":1}"#,
            r#"{"id":"b","status":"running","assigned_to":"b1","log":"b1/logs/x-b.log"}"#,
            r#"{"id":"bad","status":["queued"]}"#,
            r#"{"id":"c","status":"dead","assigned_to":"b1"}"#,
            r#"{"id":"d","status":"completed","assigned_to":"b2","log":"../etc/passwd"}"#,
            r#"{"id":"e","status":"queued","token":2,"reason":"x"}"#,
        ];
        let archived = [r#"{"id":"old","status":"failed","assigned_to":"b2","log":"b2/logs/x-old.log"}"#];
        MemoryDocuments::default().rows(Job::PATH, "jobs", &live).rows(ARCHIVE, "jobs", &archived)
    }

    fn id(name: &str) -> JobId {
        JobId::new(name).expect("an id")
    }

    #[test]
    fn each_field_of_the_filter_counts_and_what_cannot_be_read_is_no_answer_to_it() {
        let none: [&str; 0] = [];
        for (filter, archived, items, unreadable, left_out) in [
            (json!({}), false, "a b c d e", "bad", ""),
            (json!({}), true, "old a b c d e", "bad", ""),
            (json!({"status": ["queued"]}), false, "a e", "", "bad"),
            (json!({"status": ["pending", "dead"]}), false, "a c e", "", "bad"),
            (json!({"server": "b1"}), false, "b c", "", "bad"),
            (json!({"server": "b2"}), true, "old d", "", "bad"),
            (json!({"server": "b1", "status": ["dead"]}), false, "c", "", "bad"),
            (json!({"server": "b3"}), false, "", "", "bad"),
        ] {
            let query = json!({"filter": filter, "archived": archived});
            let query: ListJobs = serde_json::from_value(query).expect("a query");
            let list = answer(&query, &hub()).expect("a list");
            let expected = [items, unreadable, left_out].map(|names| match names {
                "" => none.map(str::to_owned).to_vec(),
                names => names.split(' ').map(str::to_owned).collect(),
            });
            assert_eq!(ids(&list), expected, "{query:?}");
        }
    }

    #[test]
    fn a_record_is_answered_as_it_is_stored() {
        let list = answer(&ListJobs::default(), &hub()).expect("a list");
        assert_eq!(list["items"][0], json!({"id": "a", "status": "queued", "x": 1}));
        assert_eq!(list["unreadable"][0]["unreadable"]["place"], "jobs[2]");
        let show = |name: &str| answer(&ShowJob { id: id(name) }, &hub());
        assert_eq!(show("old").expect("archived")["status"], "failed");
        assert_eq!(show("bad").expect("shown all the same")["unreadable"]["place"], "jobs[2]");
        assert_eq!(show("z"), Err("job-not-found".to_owned()));
    }

    #[test]
    fn only_what_is_dead_or_was_is_put_back_as_dead() {
        for (name, expected) in [
            (None, Ok(json!(["c"]))),
            (Some("c"), Ok(json!(["c"]))),
            (Some("b"), Err("job-not-dead")),
            (Some("d"), Err("job-not-dead")),
            (Some("z"), Err("job-not-found")),
        ] {
            let told = answer(&DeadJobs { id: name.map(id) }, &hub());
            assert_eq!(told, expected.map_err(str::to_owned), "{name:?}");
        }
    }

    #[test]
    fn a_log_is_looked_for_only_where_a_worker_writes_it() {
        let place = |server: &str, path: &str| json!({"branch": format!("logs-{server}"), "path": path});
        for (name, expected) in [
            ("a", Ok(json!({"place": null, "is_final": false}))),
            ("b", Ok(json!({"place": place("b1", "b1/logs/x-b.log"), "is_final": false}))),
            ("old", Ok(json!({"place": place("b2", "b2/logs/x-old.log"), "is_final": true}))),
            ("d", Err("log-path-invalid")),
            ("z", Err("job-not-found")),
        ] {
            assert_eq!(answer(&FindLog { id: id(name) }, &hub()), expected.map_err(str::to_owned), "{name}");
        }
        let log = LogPlace { branch: "logs-b1".to_owned(), path: "b1/logs/x-b.log".to_owned() };
        assert_eq!(log.read(&hub()).expect("reads"), None);
        let hub = hub().with("logs-b1", "b1/logs/x-b.log", "hello\n");
        assert_eq!(log.read(&hub).expect("reads"), Some(b"hello\n".to_vec()));
    }

    #[test]
    fn a_word_for_a_state_counts_in_each_spelling_that_is_read() {
        for (word, expected) in [
            ("queued", Some(JobStatus::Queued)),
            ("PENDING", Some(JobStatus::Queued)),
            ("canceled", Some(JobStatus::Cancelled)),
            ("lost", None),
        ] {
            assert_eq!(status_of(word).ok(), expected, "{word}");
        }
    }

    #[test]
    fn a_job_that_waits_is_explained_by_the_queue_and_the_servers_and_others_by_their_state() {
        for (name, status, waits) in [("a", "queued", true), ("c", "dead", false), ("old", "failed", false)] {
            let asked = ExplainJob { id: id(name) }.read(&hub()).expect("reads");
            assert_eq!(asked.look.is_some(), waits, "{name}");
            let mut observed = Observations::begin(&Machine::real());
            let signs = Heartbeats::compare(HashMap::new(), &mut observed, "hub", None, now());
            let answer = asked.explain(Some(&signs), "hub", &mut observed, signs.clock.now);
            let told = serde_json::to_value(&answer).expect("serialises");
            assert_eq!((&told["id"], &told["status"]), (&json!(name), &json!(status)));
            assert_eq!(answer.waits_for.is_empty(), !waits, "{told}");
        }
    }
}
