//! `coordination/jobs.json`: one job and the legal steps of its life.
//!
//! queued -> claimed -> running -> completed | failed | dead, with cancelled from anywhere that
//! is not final, back to queued when an attempt is lost, and back from a final state by `retry`.
//! Each claim gets a fencing token one higher than any before; every later step must name it, so
//! a holder whose term is over changes nothing. Which queued job comes next is `queue.rs`'s.

mod again;
mod backoff;
mod delay;
mod earlier;
mod life;
mod lost;
mod row;
mod took;
mod words;

pub use backoff::pause_longest;
pub use earlier::EarlierResult;
pub use words::{FailReason, IfNeedFails, JobStatus, Priority};

use super::id::ServerName;
use super::lenient;
use super::time::{Timestamp, show_span};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often a job is tried unless it says otherwise.
pub const ATTEMPTS_MAX_DEFAULT: u64 = 3;

/// How long one attempt may take unless the job says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3600);

fn priority_normal() -> Priority {
    Priority::NORMAL
}

fn status_queued() -> JobStatus {
    JobStatus::Queued
}

/// One job. The first ten fields are the seed's; older hubs lack some of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Job {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub id: String,
    /// `build`, `test`, `deploy` or another word.
    #[serde(rename = "type", default, deserialize_with = "lenient::plain_text")]
    pub kind: String,
    /// 1 is the most urgent.
    #[serde(default = "priority_normal")]
    pub priority: Priority,
    /// The branch to work on.
    #[serde(default, deserialize_with = "lenient::text")]
    pub branch: Option<String>,
    /// The commit to work on.
    #[serde(default, deserialize_with = "lenient::text")]
    pub commit: Option<String>,
    /// The server that holds it, or held it last.
    #[serde(default, deserialize_with = "lenient::text")]
    pub assigned_to: Option<String>,
    /// Where it is in its life.
    #[serde(default = "status_queued")]
    pub status: JobStatus,
    /// When it was added.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// When the present or last attempt was claimed.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it reached its final state.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub completed_at: Option<Timestamp>,
    /// What it is about, for people.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Program and arguments. Whether it is run is the server's decision.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Ids of jobs that must be completed first.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The same in the spelling of an older writer.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// What becomes of it when one of those fails; it waits unless told.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub if_need_fails: Option<String>,
    /// Of the jobs of a group one is at work at a time.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Labels a server must have to claim it.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Files it must make, as patterns: without them it is not completed.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub produces: Vec<String>,
    /// Adding a second job with the same key gives the first.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How long one attempt may take.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// How often it is tried.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// How often it was tried.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// The fencing token of the last claim.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// The session of the server that holds it.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Not to be claimed before.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// The span that was asked for instead, if it was one: `not_before` is by the clock of who added it.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u64>,
    /// Why the last attempt ended without success.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// More about it, for people.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The exit code of its process.
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How long the last attempt took.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u64>,
    /// Names of what it made.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// The commit that the last attempt worked on, as its holder told it.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub built_commit: Option<String>,
    /// Who added it.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// The worker that runs it, if one does: what tells its claims from those that scripts of the same
    /// server make.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Where the log of the present or last attempt lies, on the branch `logs-<server>`.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How it ended before it was put back although it had completed, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierResult>,
    /// When whoever held it as it was cancelled has confirmed that nothing of it runs any more.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub stopped_at: Option<Timestamp>,
}

/// Who claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claimant {
    /// The server.
    pub server: ServerName,
    /// Its session.
    pub incarnation: String,
}

/// A claim, as its holder names it with every later step.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The holder.
    pub server: &'a ServerName,
    /// The fencing token.
    pub token: u64,
}

/// How an attempt ended, as its holder tells it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// The exit code of the process, if there was one.
    pub exit_code: Option<i64>,
    /// How long it took; counted from the claim when not told.
    pub duration_seconds: Option<u64>,
    /// Names of what it made.
    pub artifacts: Vec<String>,
    /// The commit that it worked on.
    #[serde(default)]
    pub commit: Option<String>,
    /// More about it, for people.
    pub message: Option<String>,
}

impl Job {
    /// A new job with nothing but its id and kind.
    #[must_use]
    pub fn new(id: String, kind: String, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            priority: Priority::NORMAL,
            branch: None,
            commit: None,
            assigned_to: None,
            status: JobStatus::Queued,
            created_at: Some(now),
            started_at: None,
            completed_at: None,
            description: None,
            command: Vec::new(),
            needs: Vec::new(),
            dependencies: Vec::new(),
            if_need_fails: None,
            group: None,
            labels: Vec::new(),
            produces: Vec::new(),
            key: None,
            timeout_seconds: None,
            max_attempts: None,
            attempts: None,
            token: None,
            incarnation: None,
            not_before: None,
            delay_seconds: None,
            reason: None,
            error_message: None,
            exit_code: None,
            duration_seconds: None,
            artifacts: Vec::new(),
            built_commit: None,
            requester: None,
            worker: None,
            log: None,
            earlier: Vec::new(),
            stopped_at: None,
        }
    }

    /// Where the log of an attempt that `server` begins at `now` lies.
    #[must_use]
    pub fn log_path(&self, server: &ServerName, now: Timestamp) -> String {
        // A colon is no part of a file's name everywhere.
        format!("{server}/logs/{}-{}.log", now.compact(), self.id.replace(':', "_"))
    }

    /// Ids of the jobs this one waits for, in either spelling.
    pub fn all_needs(&self) -> impl Iterator<Item = &str> {
        self.needs.iter().chain(&self.dependencies).map(String::as_str)
    }

    /// What becomes of it when a job that it needs fails. A word of another writer means to wait.
    #[must_use]
    pub fn if_need_fails(&self) -> IfNeedFails {
        match self.if_need_fails.as_deref() {
            Some("cancel") => IfNeedFails::Cancel,
            Some("run") => IfNeedFails::Run,
            _ => IfNeedFails::Wait,
        }
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout_seconds.map_or(TIMEOUT_DEFAULT, Duration::from_secs)
    }

    /// How often it may be tried.
    #[must_use]
    pub fn attempts_max(&self) -> u64 {
        self.max_attempts.unwrap_or(ATTEMPTS_MAX_DEFAULT).max(1)
    }

    /// One line for people: `running on build2 for 3m 20s`.
    #[must_use]
    pub fn situation(&self, now: Timestamp) -> String {
        let by = self.assigned_to.as_deref().unwrap_or("?");
        let since = |at: Option<Timestamp>| at.map_or("?".to_owned(), |at| show_span(now.since(at)));
        match &self.status {
            JobStatus::Queued => match self.not_before.filter(|at| *at > now) {
                Some(at) if self.attempts.unwrap_or(0) == 0 => match self.counted_delay(now) {
                    Some(delay) => format!(
                        "queued {} ago, not before it was seen for {}",
                        since(self.created_at),
                        show_span(delay)
                    ),
                    None => format!("queued {} ago, not before {}", since(self.created_at), at.told()),
                },
                Some(at) => {
                    format!(
                        "queued {} ago, next attempt in {}",
                        since(self.created_at),
                        show_span(at.since(now))
                    )
                }
                None => format!("queued {} ago", since(self.created_at)),
            },
            JobStatus::Claimed => format!("claimed by {by} {} ago", since(self.started_at)),
            JobStatus::Running => format!("running on {by} for {}", since(self.started_at)),
            status => match &self.reason {
                Some(reason) if *reason != status.to_string() => {
                    format!("{status} {} ago: {reason}", since(self.completed_at))
                }
                _ => format!("{status} {} ago", since(self.completed_at)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::Class;
    use crate::domain::id::OpId;
    use crate::domain::refusal::Refusal;

    fn now() -> Timestamp {
        Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
    }

    fn op() -> OpId {
        OpId::new("0196f0a0-0000-7000-8000-00000000ffff").expect("op id")
    }

    fn server(name: &str) -> ServerName {
        ServerName::new(name).expect("name")
    }

    fn claimed() -> Job {
        let mut job = Job::new("job_1".into(), "build".into(), now());
        job.claim(&Claimant { server: server("build1"), incarnation: "i".into() }, now()).expect("a token");
        job
    }

    #[test]
    fn only_the_holder_with_the_present_token_finishes() {
        for (by, token, expected) in [
            ("build1", 1, Ok(())),
            ("build2", 1, Err(Class::Forbidden)),
            ("build1", 0, Err(Class::LeaseLost)),
            ("build1", 2, Err(Class::LeaseLost)),
        ] {
            let mut job = claimed();
            let done = job.complete(Claim { server: &server(by), token }, &AttemptResult::default(), now());
            assert_eq!(done.map_err(|no| no.class()), expected, "{by} {token}");
        }
        let mut job = claimed();
        job.complete(Claim { server: &server("build1"), token: 1 }, &AttemptResult::default(), now())
            .expect("first");
        assert!(
            job.complete(Claim { server: &server("build1"), token: 1 }, &AttemptResult::default(), now())
                .is_err(),
            "once only"
        );
    }

    #[test]
    fn what_follows_a_failure_depends_on_reason_and_attempts() {
        for (reason, attempts, status, left) in [
            (FailReason::ScriptFailure, 1, JobStatus::Failed, 1),
            (FailReason::MissingArtifact, 1, JobStatus::Failed, 1),
            (FailReason::Lost, 1, JobStatus::Queued, 1),
            (FailReason::Timeout, 2, JobStatus::Queued, 2),
            (FailReason::Lost, 3, JobStatus::Dead, 3),
            (FailReason::Interrupted, 3, JobStatus::Queued, 2),
        ] {
            let mut job = claimed();
            job.attempts = Some(attempts);
            job.fail(
                Claim { server: &server("build1"), token: 1 },
                reason,
                &AttemptResult::default(),
                (now(), &op()),
            )
            .expect("holder");
            assert_eq!((job.status, job.attempts), (status, Some(left)), "{reason:?} {attempts}");
        }
    }

    #[test]
    fn a_cancelled_job_takes_no_late_report_and_can_be_put_back() {
        let mut job = claimed();
        job.cancel(None, now()).expect("not final");
        assert!(
            job.complete(Claim { server: &server("build1"), token: 1 }, &AttemptResult::default(), now())
                .is_err()
        );
        assert!(job.cancel(None, now()).is_err());
        let refusal = job.retry(false, now()).expect_err("it may still run");
        assert!(matches!(refusal, Refusal::StopUnconfirmed { server, .. } if server == "build1"));
        let mut late = job.clone();
        late.retry(false, now().plus(job.timeout() * 2)).expect("its time is over");
        let mut begun_by_another_clock = job.clone();
        begun_by_another_clock.started_at = Timestamp::parse("2020-01-01T00:00:00Z");
        assert!(begun_by_another_clock.retry(false, now()).is_err());
        job.confirm_stopped(Claim { server: &server("build1"), token: 1 }, now()).expect("its holder");
        job.retry(false, now()).expect("final");
        assert_eq!((job.status.clone(), job.attempts, job.token), (JobStatus::Queued, Some(0), Some(1)));
        assert!(job.retry(false, now()).is_err());
    }

    #[test]
    fn priorities_are_read_as_words_and_numbers() {
        for (json, level) in [
            ("1", 1),
            ("\"critical\"", 1),
            ("\"High\"", 3),
            ("\"7\"", 7),
            ("0", 1),
            ("99", 10),
            ("null", 5),
            ("\"soon\"", 5),
            ("2.0", 2),
        ] {
            let job: Job =
                serde_json::from_str(&format!("{{\"id\":\"a\",\"priority\":{json}}}")).expect(json);
            assert_eq!(job.priority.level(), level, "{json}");
        }
        assert!("0".parse::<Priority>().is_err());
        assert!("soon".parse::<Priority>().is_err());
    }

    #[test]
    fn the_jobs_of_older_writers_are_read() {
        for text in [
            r#"{"id":"job_1761781030","type":"package","priority":1,"description":"d","branch":"b","commit":"c","status":"completed","assigned_to":"build1","created_at":"x","started_at":null,"completed_at":"2025-10-30T01:35:38Z"}"#,
            r#"{"id":"job_1","type":"t","priority":5,"status":"queued","assigned_to":null,"dependencies":["job_0"],"retry_count":1,"profiles":["a"]}"#,
            r#"{"id":12,"status":"in_progress"}"#,
        ] {
            serde_json::from_str::<Job>(text).expect(text);
        }
    }

    #[test]
    fn each_step_is_the_holders_and_changes_what_it_says() {
        type Step = fn(&mut Job, Claim<'_>) -> Result<(), Refusal>;
        let (build1, build2) = (server("build1"), server("build2"));
        let rescue: Step = |job, term| job.rescue(term.token, FailReason::Lost, (now(), &op()));
        let steps: [(&str, Step, JobStatus); 3] = [
            ("start", |job, term| job.start(term, now()), JobStatus::Running),
            ("release", |job, term| job.release(term, (now(), &op())), JobStatus::Queued),
            ("rescue", rescue, JobStatus::Queued),
        ];
        for (name, step, status) in steps {
            let mut job = claimed();
            let before = job.clone();
            let late = step(&mut job, Claim { server: &build1, token: 0 });
            assert_eq!(late.map_err(|no| no.class()), Err(Class::LeaseLost), "{name}");
            if name != "rescue" {
                let foreign = step(&mut job, Claim { server: &build2, token: 1 });
                assert_eq!(foreign.map_err(|no| no.class()), Err(Class::Forbidden), "{name}");
            }
            assert_eq!(job, before, "{name}: a refused step changes nothing");
            assert_eq!(step(&mut job, Claim { server: &build1, token: 1 }), Ok(()), "{name}");
            assert_eq!(job.status, status, "{name}");
            if status == JobStatus::Queued {
                let again = step(&mut job, Claim { server: &build1, token: 1 });
                assert_eq!(again.map_err(|no| no.class()), Err(Class::LeaseLost), "{name} twice");
            }
        }
    }

    #[test]
    fn a_refused_step_tells_who_holds_the_job() {
        let build1 = server("build1");
        let mut job = claimed();
        for status in [JobStatus::Claimed, JobStatus::Running] {
            let Err(Refusal::TokenNeverIssued(told)) = job.start(Claim { server: &build1, token: 7 }, now())
            else {
                panic!("token 7 was never issued");
            };
            assert_eq!((told.status, told.holder.as_deref()), (Some(status), Some("build1")));
            job.start(Claim { server: &build1, token: 1 }, now()).expect("its holder");
        }
    }

    #[test]
    fn a_report_stays_until_the_next_attempt() {
        let report = AttemptResult {
            commit: None,
            exit_code: Some(3),
            duration_seconds: None,
            artifacts: vec!["a.deb".to_owned()],
            message: Some("full disk".to_owned()),
        };
        let mut job = claimed();
        let build1 = server("build1");
        let term = Claim { server: &build1, token: 1 };
        let later = now().plus(Duration::from_secs(90));
        job.fail(term, FailReason::WorkerSystemFailure, &report, (later, &op())).expect("its holder");
        let said = |job: &Job| {
            let message = job.error_message.clone();
            (job.exit_code, job.duration_seconds, job.artifacts.len(), message, job.reason.clone())
        };
        let reason = Some("worker_system_failure".to_owned());
        assert_eq!(said(&job), (Some(3), Some(90), 1, Some("full disk".to_owned()), reason));
        let claimant = Claimant { server: build1.clone(), incarnation: "i".into() };
        assert_eq!(job.claim(&claimant, later), Ok(2));
        assert_eq!(said(&job), (None, None, 0, None, None));
    }

    #[test]
    fn a_cancelled_job_may_run_until_its_holder_confirms_or_its_time_is_over() {
        let since_the_claim = |job: &Job, seconds| {
            job.may_still_run_at(now().plus(Duration::from_secs(seconds))).map(str::to_owned)
        };
        let build1 = server("build1");
        let mut job = claimed();
        job.timeout_seconds = Some(100);
        assert_eq!(since_the_claim(&job, 0), None, "it is held, not cancelled");
        job.cancel(None, now().plus(Duration::from_secs(30))).expect("not final");
        for (seconds, is_open) in [(30, true), (139, true), (140, false)] {
            assert_eq!(since_the_claim(&job, seconds).is_some(), is_open, "{seconds}");
        }
        let ahead = job.may_still_run_at(now().before(Duration::from_secs(110)));
        assert_eq!(ahead, None, "a clock that is far ahead");
        job.timeout_seconds = Some(u64::MAX);
        assert_eq!(since_the_claim(&job, 30).as_deref(), Some("build1"));
        job.confirm_stopped(Claim { server: &build1, token: 1 }, now()).expect("its holder");
        assert_eq!(since_the_claim(&job, 30), None);
        let mut never_held = Job::new("job_2".into(), "build".into(), now());
        never_held.cancel(None, now()).expect("not final");
        assert_eq!(since_the_claim(&never_held, 0), None);
    }

    #[test]
    fn a_final_job_keeps_its_priority() {
        let mut job = claimed();
        assert_eq!(job.set_priority("high".parse().expect("a word")), Ok(()));
        assert_eq!(job.priority.to_string(), "3");
        job.cancel(None, now()).expect("not final");
        assert_eq!(job.set_priority(Priority::NORMAL).map_err(|no| no.class()), Err(Class::Forbidden));
        assert_eq!(job.priority.level(), 3);
    }

    #[test]
    fn the_words_of_other_writers_are_read_and_ours_are_written() {
        for (words, ours) in [
            (&["queued", "pending", "available"][..], "queued"),
            (&["claimed", "assigned"], "claimed"),
            (&["running", "in_progress", "building"], "running"),
            (&["completed", "success"], "completed"),
            (&["failed"], "failed"),
            (&["cancelled", "canceled"], "cancelled"),
            (&["dead"], "dead"),
            (&["on_hold"], "on_hold"),
        ] {
            for word in words {
                let status = JobStatus::from((*word).to_owned());
                assert_eq!(String::from(status.clone()), ours, "{word}");
                assert_eq!(matches!(status, JobStatus::Other(_)), ours == "on_hold", "{word}");
            }
        }
    }

    #[test]
    fn a_situation_is_one_line_for_people() {
        let later = now().plus(Duration::from_secs(200));
        let mut job = Job::new("job_1".into(), "build".into(), now());
        assert_eq!(job.situation(later), "queued 3m 20s ago");
        job.not_before = Some(later);
        assert_eq!(job.situation(later), "queued 3m 20s ago", "its pause is over");
        assert_eq!(job.situation(now()), "queued 0s ago, not before 2025-10-29T12:03:20Z");
        job.attempts = Some(1);
        assert_eq!(job.situation(now()), "queued 0s ago, next attempt in 3m 20s");
        let mut job = claimed();
        assert_eq!(job.situation(later), "claimed by build1 3m 20s ago");
        job.cancel(None, later).expect("not final");
        assert_eq!(job.situation(later), "cancelled 0s ago", "its reason says nothing more");
        job.reason = Some("timeout".to_owned());
        assert_eq!(job.situation(later), "cancelled 0s ago: timeout");
    }
}
