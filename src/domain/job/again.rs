//! Whether it is the same claim still, and a report that comes a second time, because its first answer was
//! lost.
//!
//! Who asks again by the same token is the one who asked before, as long as the record shows that
//! this very report was the last thing that happened to the job. To tell it that its claim is over
//! would make it throw away what it did.

use super::{AttemptResult, Claim, FailReason, Job, JobStatus};
use crate::domain::time::Timestamp;

impl Job {
    /// Names its present claim. More than its token, which a hub that was rolled back gives again, and which
    /// scripts do not know: those say since when they run it.
    #[must_use]
    pub fn term(&self) -> String {
        let (token, holder) = (self.token.unwrap_or(0), self.assigned_to.as_deref().unwrap_or("-"));
        let since = || format!("@{}", self.started_at.map_or(0, Timestamp::unix_millis));
        format!("{token} {holder} {}", self.incarnation.clone().unwrap_or_else(since))
    }

    /// Whether the holder of `term` has said already that it begins.
    #[must_use]
    pub fn was_started(&self, term: Claim<'_>) -> bool {
        self.status == JobStatus::Running && self.is_held_under(term.token) && self.was_held_by(term)
    }

    /// Whether `term` ended with this report of success.
    #[must_use]
    pub fn was_completed(&self, term: Claim<'_>, report: &AttemptResult) -> bool {
        self.status == JobStatus::Completed
            && self.ended_under(term)
            && self.was_held_by(term)
            && self.shows(report)
    }

    /// Whether `term` ended with this report of failure, whatever followed from it, and nobody has
    /// claimed the job since.
    #[must_use]
    pub fn was_failed(&self, term: Claim<'_>, reason: FailReason, report: &AttemptResult) -> bool {
        let is_so = match self.status {
            JobStatus::Failed | JobStatus::Dead => self.was_held_by(term),
            // Back in the queue, where the record names nobody any more.
            JobStatus::Queued => true,
            _ => false,
        };
        is_so
            && self.ended_under(term)
            && self.reason.as_deref() == Some(reason.as_str())
            && self.shows(report)
    }

    /// Whether `term` ended with the job handed back, and nobody has claimed it since.
    #[must_use]
    pub fn was_released(&self, term: Claim<'_>) -> bool {
        self.status == JobStatus::Queued
            && self.ended_under(term)
            && self.reason.as_deref() == Some(FailReason::Interrupted.as_str())
    }

    /// Whether `term` has confirmed already that nothing of the cancelled job runs any more.
    #[must_use]
    pub fn was_stopped(&self, term: Claim<'_>) -> bool {
        self.status == JobStatus::Cancelled
            && self.stopped_at.is_some()
            && self.ended_under(term)
            && self.was_held_by(term)
    }

    /// Whether it was put back into the queue with all its attempts, and nobody has claimed it since.
    /// What was never claimed counts no attempts, and what was handed back says so.
    #[must_use]
    pub fn was_put_back(&self) -> bool {
        self.status == JobStatus::Queued && self.attempts == Some(0) && self.reason.is_none()
    }

    /// Whether an operator took it from this claim with these words, and nobody has claimed it since.
    #[must_use]
    pub fn was_requeued(&self, token: u64, why: &str) -> bool {
        self.status == JobStatus::Queued
            && self.token == Some(token)
            && self.reason.as_deref() == Some(FailReason::Lost.as_str())
            && self.error_message.as_deref() == Some(why)
    }

    fn ended_under(&self, term: Claim<'_>) -> bool {
        self.token == Some(term.token)
    }

    fn was_held_by(&self, term: Claim<'_>) -> bool {
        self.assigned_to.as_deref() == Some(term.server.as_str())
    }

    /// Whether the last attempt ended with these words; a time that was not told was counted.
    fn shows(&self, report: &AttemptResult) -> bool {
        let is_same = |told: Option<u64>| told.is_none() || told == self.duration_seconds;
        self.exit_code == report.exit_code
            && self.error_message == report.message
            && self.artifacts == report.artifacts
            && self.built_commit == report.commit
            && is_same(report.duration_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ServerName;
    use serde_json::{Value, json};

    /// A field of a record, and what it holds.
    type Field = (&'static str, Value);

    /// `record` with another value in one of its fields.
    fn with(record: &Value, (field, value): Field) -> Job {
        let mut record = record.clone();
        record["id"] = json!("job_1");
        record[field] = value;
        serde_json::from_value(record).expect("a job")
    }

    /// A report comes again only to the record that it made: to `record`, also after a change of `since`, and not to one
    /// that differs by any of `elsewhere`.
    #[track_caller]
    fn expect(was_made: impl Fn(&Job) -> bool, record: &Value, since: &[Field], elsewhere: &[Field]) {
        assert!(was_made(&with(record, ("description", json!("x")))), "{record}");
        for change in since {
            assert!(was_made(&with(record, change.clone())), "{change:?}");
        }
        for change in elsewhere {
            assert!(!was_made(&with(record, change.clone())), "{change:?}");
        }
    }

    fn by<T>(ask: impl FnOnce(Claim<'_>) -> T) -> T {
        ask(Claim { server: &ServerName::new("build1").expect("a name"), token: 3 })
    }

    /// The record of an attempt that ended so.
    fn ended(status: &str) -> Value {
        json!({
            "status": status,
            "token": 3,
            "assigned_to": "build1",
            "exit_code": 0,
            "duration_seconds": 7,
            "artifacts": ["a.deb"],
            "built_commit": "c0ffee",
            "error_message": "all is well",
        })
    }

    /// What its holder said when it ended.
    fn report() -> AttemptResult {
        AttemptResult {
            exit_code: Some(0),
            duration_seconds: None,
            artifacts: vec!["a.deb".to_owned()],
            commit: Some("c0ffee".to_owned()),
            message: Some("all is well".to_owned()),
        }
    }

    fn other_holders() -> Vec<Field> {
        vec![("token", json!(4)), ("token", Value::Null), ("assigned_to", json!("build2"))]
    }

    fn other_words() -> Vec<Field> {
        vec![
            ("token", json!(4)),
            ("exit_code", json!(1)),
            ("artifacts", json!([])),
            ("built_commit", json!("decaf")),
            ("error_message", Value::Null),
        ]
    }

    #[test]
    fn a_success_or_a_failure_is_reported_once() {
        let completed = |job: &Job| by(|term| job.was_completed(term, &report()));
        let elsewhere = [vec![("status", json!("failed"))], other_holders(), other_words()].concat();
        // How long it took was counted, as the report does not tell it.
        expect(completed, &ended("completed"), &[("duration_seconds", json!(8))], &elsewhere);
        let failed = |job: &Job| by(|term| job.was_failed(term, FailReason::Timeout, &report()));
        let mut record = ended("failed");
        record["reason"] = json!("timeout");
        let other_ends = vec![("status", json!("cancelled")), ("reason", json!("lost"))];
        let elsewhere = [other_ends, other_holders(), other_words()].concat();
        expect(failed, &record, &[("status", json!("dead"))], &elsewhere);
        // In the queue it names nobody.
        (record["status"], record["assigned_to"]) = (json!("queued"), Value::Null);
        let elsewhere = [vec![("status", json!("running")), ("reason", Value::Null)], other_words()].concat();
        expect(failed, &record, &[("not_before", json!("2025-10-29T12:00:00Z"))], &elsewhere);
        let job = with(&ended("completed"), ("description", json!("x")));
        for (told, is_same) in [(None, true), (Some(7), true), (Some(8), false)] {
            assert_eq!(job.shows(&AttemptResult { duration_seconds: told, ..report() }), is_same, "{told:?}");
        }
    }

    #[test]
    fn a_step_of_the_holder_is_reported_once() {
        let started = |job: &Job| by(|term| job.was_started(term));
        let elsewhere = [vec![("status", json!("claimed"))], other_holders()].concat();
        expect(started, &ended("running"), &[], &elsewhere);
        let released = |job: &Job| by(|term| job.was_released(term));
        let elsewhere = [("status", json!("claimed")), ("token", json!(4)), ("reason", json!("lost"))];
        expect(
            released,
            &json!({"status": "queued", "token": 3, "reason": "interrupted"}),
            &[("assigned_to", json!("build1"))],
            &elsewhere,
        );
        let stopped = |job: &Job| by(|term| job.was_stopped(term));
        let mut record = ended("cancelled");
        record["stopped_at"] = json!("2025-10-29T12:00:00Z");
        let elsewhere =
            [vec![("status", json!("failed")), ("stopped_at", Value::Null)], other_holders()].concat();
        expect(stopped, &record, &[], &elsewhere);
    }

    #[test]
    fn what_an_operator_did_is_known_until_the_next_claim() {
        expect(
            Job::was_put_back,
            &json!({"status": "queued", "attempts": 0}),
            &[("token", json!(3))],
            &[
                ("status", json!("claimed")),
                ("attempts", json!(1)),
                ("attempts", Value::Null),
                ("reason", json!("interrupted")),
            ],
        );
        expect(
            |job| job.was_requeued(3, "it burned down"),
            &json!({"status": "queued", "token": 3, "reason": "lost", "error_message": "it burned down"}),
            &[("attempts", json!(1))],
            &[
                ("status", json!("claimed")),
                ("token", json!(4)),
                ("reason", json!("timeout")),
                ("error_message", json!("it drowned")),
            ],
        );
    }

    #[test]
    fn a_claim_is_named_by_all_that_tells_it_from_another() {
        let since = "1970-01-01T00:00:07Z";
        for (record, term) in [
            (json!({"token": 3, "assigned_to": "build1", "incarnation": "i"}), "3 build1 i"),
            (json!({"token": 3, "assigned_to": "build1", "started_at": since}), "3 build1 @7000"),
            (json!({"assigned_to": "build1"}), "0 build1 @0"),
            (json!({"token": 3}), "3 - @0"),
        ] {
            assert_eq!(with(&record, ("status", json!("claimed"))).term(), term);
        }
    }
}
