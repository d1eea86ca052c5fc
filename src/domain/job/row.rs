//! Jobs as records of a table.

use super::{Job, JobStatus};
use crate::domain::id::JobId;
use crate::domain::lock::is_token_before;
use crate::domain::table::Row;

impl Row for Job {
    const PATH: &'static str = "coordination/jobs.json";
    const FIELD: &'static str = "jobs";
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
}
