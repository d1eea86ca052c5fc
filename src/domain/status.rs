//! `<server>/status.json`: what a server is doing, in the seed's shape.

use super::heartbeat::{EARLIER_MAX, System};
use super::id::ServerName;
use super::job::Job;
use super::lenient;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The words a server's status may be set to. Other words found in a hub are shown as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    /// Ready for work.
    Idle,
    /// At work.
    Building,
    /// The last work failed.
    Failed,
    /// The last work succeeded.
    Success,
}

impl StatusWord {
    /// As written in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Building => "building",
            Self::Failed => "failed",
            Self::Success => "success",
        }
    }
}

/// The word that `servers remove` leaves in the status of a server; none can set it for itself.
const REMOVED: &str = "removed";

/// One server's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Status {
    /// Which server.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Its address, for people.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Who runs it: a person or an agent.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// When the status was written.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub timestamp: Option<Timestamp>,
    /// `idle`, `building`, `failed`, `success`, or another writer's word.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub status: String,
    /// What it works on.
    #[serde(default, deserialize_with = "lenient::object")]
    pub current_job: Option<CurrentJob>,
    /// What it finished last.
    #[serde(default, deserialize_with = "lenient::object")]
    pub last_build: Option<LastBuild>,
    /// Load, memory and disk.
    #[serde(default, deserialize_with = "lenient::object", skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// The sessions of the server that others ended, as they gave no sign of life, the latest last: nothing
    /// is claimed in them any more.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub ended_sessions: Vec<String>,
    /// A spelling of older writers, read and left alone.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_updated: Option<Timestamp>,
}

/// The job a server works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CurrentJob {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    /// The branch that is built.
    #[serde(default, deserialize_with = "lenient::text")]
    pub branch: Option<String>,
    /// The commit that is built.
    #[serde(default, deserialize_with = "lenient::text")]
    pub commit: Option<String>,
    /// Since when.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
}

/// The job a server finished last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LastBuild {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    /// `success` or `failed`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
    /// When.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub completed_at: Option<Timestamp>,
    /// How long it took.
    #[serde(default, deserialize_with = "lenient::count")]
    pub duration_seconds: Option<u64>,
    /// Names of what it made.
    #[serde(default, deserialize_with = "lenient::texts")]
    pub artifacts: Vec<String>,
}

impl Status {
    /// The path of `server`'s status.
    #[must_use]
    pub fn path(server: &ServerName) -> String {
        format!("{server}/status.json")
    }

    /// The status of a server that has not said anything yet.
    #[must_use]
    pub fn blank(server: &ServerName) -> Self {
        Self {
            server: Some(server.to_string()),
            ip: None,
            manager: None,
            timestamp: None,
            status: StatusWord::Idle.as_str().to_owned(),
            current_job: None,
            last_build: None,
            system: None,
            ended_sessions: Vec::new(),
            last_updated: None,
        }
    }

    /// When it was written, in whichever field that stands.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.timestamp.max(self.last_updated)
    }

    /// Another server ended a session of this one.
    pub fn end_session(&mut self, incarnation: &str) {
        self.ended_sessions.retain(|ended| ended != incarnation);
        self.ended_sessions.push(incarnation.to_owned());
        self.ended_sessions.drain(..self.ended_sessions.len().saturating_sub(EARLIER_MAX));
    }

    /// Whether the server was taken out of the registry.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.status == REMOVED
    }

    /// The server was taken out of the registry.
    pub fn remove(&mut self, now: Timestamp) {
        self.status = REMOVED.to_owned();
        self.timestamp = Some(now);
        self.current_job = None;
    }

    /// The server says a word, with or without a job. The start of a job that goes on stays.
    pub fn set(&mut self, word: StatusWord, job: Option<CurrentJob>, now: Timestamp) {
        self.status = word.as_str().to_owned();
        self.timestamp = Some(now);
        let same = |old: &CurrentJob| job.as_ref().is_some_and(|job| job.id == old.id);
        if !self.current_job.as_ref().is_some_and(same) {
            self.current_job = job;
        }
    }

    /// The server took `job`.
    pub fn work_on(&mut self, job: &Job, now: Timestamp) {
        let current = CurrentJob {
            id: Some(job.id.clone()),
            branch: job.branch.clone(),
            commit: job.commit.clone(),
            started_at: Some(now),
        };
        self.set(StatusWord::Building, Some(current), now);
    }

    /// The server is done with `job`; `next` is another job it still works on.
    pub fn finish(&mut self, job: &Job, success: bool, next: Option<&Job>, now: Timestamp) {
        let word = if success { StatusWord::Success } else { StatusWord::Failed };
        self.last_build = Some(LastBuild {
            id: Some(job.id.clone()),
            status: Some(word.as_str().to_owned()),
            completed_at: Some(now),
            duration_seconds: job.duration_seconds,
            artifacts: job.artifacts.clone(),
        });
        self.leave(job, word, next, now);
    }

    /// The server no longer works on `job`, whatever became of it.
    pub fn leave(&mut self, job: &Job, word: StatusWord, next: Option<&Job>, now: Timestamp) {
        self.timestamp = Some(now);
        let on_it =
            self.current_job.as_ref().and_then(|current| current.id.as_deref()) == Some(job.id.as_str());
        match next {
            Some(next) if on_it => self.work_on(next, next.started_at.unwrap_or(now)),
            Some(_) => {}
            None => self.set(word, None, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_of_older_writers_are_read() {
        for text in [
            r#"{"server_id":"code2","hostname":"h","ip":"10.1.3.4","role":"r","status":"online","timestamp":"2025-10-29 12:00","capabilities":["a"],"system":{}}"#,
            r#"{"server":"build3","timestamp":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","status":"idle","current_job":null}"#,
            r#"{"server":"build2","timestamp":1761739200.25,"status":"idle","system":{"cpu_usage":45,"memory_used_gb":32.1}}"#,
        ] {
            let status: Status = serde_json::from_str(text).expect(text);
            assert!(!status.status.is_empty(), "{text}");
        }
    }

    #[test]
    fn who_leaves_a_job_goes_on_to_the_next_it_holds_or_has_none() {
        let at = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let job = |id: &str| Job::new(id.to_owned(), "build".to_owned(), at);
        for (left, next, word, current) in [
            ("a", None, "success", None),
            ("a", Some("b"), "building", Some("b")),
            // It works on another one than the job it leaves.
            ("c", Some("b"), "building", Some("a")),
            ("c", None, "success", None),
        ] {
            let mut status = Status::blank(&ServerName::new("build1").expect("name"));
            status.work_on(&job("a"), at);
            status.leave(&job(left), StatusWord::Success, next.map(job).as_ref(), at);
            let now = status.current_job.as_ref().and_then(|job| job.id.as_deref());
            assert_eq!((status.status.as_str(), now), (word, current), "{left} {next:?}");
        }
        assert_eq!(Status::path(&ServerName::new("build1").expect("name")), "build1/status.json");
    }

    #[test]
    fn the_last_sessions_that_were_ended_are_remembered_once_each() {
        let mut status = Status::blank(&ServerName::new("build1").expect("name"));
        for session in ["a", "b", "a", "c", "d", "e"] {
            status.end_session(session);
        }
        assert_eq!(status.ended_sessions, ["a", "c", "d", "e"]);
    }

    #[test]
    fn a_server_that_was_taken_out_says_since_when_and_does_nothing() {
        let mut status = Status::blank(&ServerName::new("build1").expect("name"));
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let job: CurrentJob = serde_json::from_str(r#"{"id":"job_1"}"#).expect("a job");
        status.set(StatusWord::Building, Some(job), now.before(std::time::Duration::from_secs(60)));
        assert!(!status.is_removed() && status.current_job.is_some());
        status.remove(now);
        assert!(status.is_removed() && status.current_job.is_none());
        assert_eq!(status.at(), Some(now));
    }

    #[test]
    fn the_last_build_is_told() {
        let at = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        for (success, word) in [(true, "success"), (false, "failed")] {
            let mut job = Job::new("job_1".to_owned(), "build".to_owned(), at);
            job.duration_seconds = Some(90);
            let mut status = Status::blank(&ServerName::new("build1").expect("name"));
            status.work_on(&job, at);
            status.finish(&job, success, None, at);
            let last = status.last_build.expect("there is one");
            assert_eq!((last.id.as_deref(), last.status.as_deref()), (Some("job_1"), Some(word)));
            assert_eq!((last.completed_at, last.duration_seconds), (Some(at), Some(90)));
            assert_eq!((status.status.as_str(), status.current_job), (word, None));
        }
    }

    #[test]
    fn saying_the_same_job_again_keeps_its_start() {
        let first = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let later = Timestamp::parse("2025-10-29T13:00:00Z").expect("time");
        let job = |at| {
            Some(CurrentJob { id: Some("job_1".into()), branch: None, commit: None, started_at: Some(at) })
        };
        let mut status = Status::blank(&ServerName::new("build1").expect("name"));
        status.set(StatusWord::Building, job(first), first);
        status.set(StatusWord::Building, job(later), later);
        assert_eq!(status.current_job.as_ref().and_then(|job| job.started_at), Some(first));
        status.set(StatusWord::Idle, None, later);
        assert_eq!(status.current_job, None);
    }
}
