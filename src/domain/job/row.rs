//! Jobs as records of a table.

use super::{Job, JobStatus};
use crate::domain::id::JobId;
use crate::domain::lease::{is_token_before, possible_token};
use crate::domain::table::{Progress, Row};

impl Row for Job {
    const PATH: &'static str = "coordination/jobs.json";
    const FIELD: &'static str = "jobs";
    const TITLE: &'static str = "the queue of work";
    const HAS_ARCHIVES: bool = true;
    const IS_IN_EACH_HUB: bool = true;
    fn id(&self) -> &str {
        &self.id
    }
    fn id_problem(&self) -> Option<String> {
        JobId::new(&self.id).err().map(|error| error.to_string())
    }
    fn token(&self) -> Option<u64> {
        // Who holds it reports under its token, and nobody claims what is over.
        self.token.filter(|_| self.status == JobStatus::Queued)
    }
    fn set_token(&mut self, token: Option<u64>) {
        self.token = token;
    }
    fn is_older_than(&self, other: &Self) -> bool {
        // A script that changes a job keeps what it does not know: one that lost its token was read before.
        let is_taken = other.status.is_held() && other.token.is_some() && other.incarnation.is_some();
        is_token_before(self.token, other.token) || (is_taken && self.token.is_none())
    }
    fn progress(&self) -> Progress {
        let step = match self.status {
            JobStatus::Queued | JobStatus::Other(_) => 0,
            JobStatus::Claimed => 1,
            JobStatus::Running => 2,
            _ => 3,
        };
        // Who has it done once more begins again at the first step, under the same token.
        let again = u64::try_from(self.earlier.len()).unwrap_or(u64::MAX);
        [possible_token(self.token), again, step]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lease::TOKEN_MAX;

    fn job(fields: &str) -> Job {
        serde_json::from_str(&format!("{{\"id\":\"job_1\",{fields}}}")).expect(fields)
    }

    #[test]
    fn only_a_job_that_somebody_may_claim_needs_a_token_to_go_on_from() {
        for (status, token) in [("queued", Some(7)), ("claimed", None), ("running", None), ("failed", None)] {
            let mut job = job(&format!(r#""status":"{status}","token":7"#));
            assert_eq!(Row::token(&job), token, "{status}");
            job.set_token(Some(9));
            assert_eq!(job.token, Some(9), "{status}");
        }
    }

    #[test]
    fn a_token_never_goes_down_and_is_not_lost_by_who_holds_the_job() {
        let held = |token: &str| format!(r#""status":"running","incarnation":"i"{token}"#);
        for (one, other, is_older) in [
            (r#""token":2"#.to_owned(), r#""token":3"#.to_owned(), true),
            (r#""token":3"#.to_owned(), r#""token":3"#.to_owned(), false),
            (r#""token":4"#.to_owned(), r#""token":3"#.to_owned(), false),
            (r#""token":2"#.to_owned(), r#""status":"queued""#.to_owned(), false),
            // Nothing was given after a token that is no possible one.
            (r#""token":2"#.to_owned(), format!(r#""token":{TOKEN_MAX}"#), false),
            (r#""status":"queued""#.to_owned(), held(r#","token":3"#), true),
            (r#""token":3"#.to_owned(), held(r#","token":3"#), false),
            (r#""status":"queued""#.to_owned(), held(""), false),
            // What is in the queue, or was taken by a script, may come from one that knows no tokens.
            (
                r#""status":"queued""#.to_owned(),
                r#""status":"queued","token":3,"incarnation":"i""#.to_owned(),
                false,
            ),
            (r#""status":"queued""#.to_owned(), r#""status":"running","token":3"#.to_owned(), false),
        ] {
            assert_eq!(job(&one).is_older_than(&job(&other)), is_older, "{one} {other}");
        }
    }
}
