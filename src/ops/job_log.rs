//! Logs of jobs, on a branch of the server that ran them: `logs-<server>`, one commit that is
//! replaced. No history grows with them, and who reads heartbeats does not fetch them.

use super::Verb;
use super::documents::require_member;
use crate::domain::id::ServerName;
use crate::ledger::{Stop, Transaction};

/// How many logs a server keeps on the hub.
pub const LOGS_KEPT: usize = 50;

/// Writes logs of this server as far as they have come, and drops the oldest.
#[derive(Debug, Clone)]
pub struct WriteLogs {
    /// Whose.
    pub server: ServerName,
    /// Path and content.
    pub logs: Vec<(String, Vec<u8>)>,
}

impl Verb for WriteLogs {
    type Answer = ();

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<(), Stop> {
        require_member(transaction, &self.server)?;
        let (branch, folder) = (self.server.logs_branch(), format!("{}/logs", self.server));
        let mut names = transaction.list_on(&branch, &folder)?;
        for (path, bytes) in &self.logs {
            names.extend(path.strip_prefix(&format!("{folder}/")).map(str::to_owned));
            transaction.put_on(&branch, path, Some(bytes.clone()));
        }
        // Names begin with the time, so the oldest come first.
        names.sort();
        names.dedup();
        let many = names.len().saturating_sub(LOGS_KEPT);
        for name in names.into_iter().take(many) {
            transaction.put_on(&branch, &format!("{folder}/{name}"), None);
        }
        transaction.describe(format!("log: {} of {}", self.logs.len(), self.server));
        Ok(())
    }
}
