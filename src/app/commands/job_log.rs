//! Logs of jobs and manifests of what they made, on a branch of the server that ran them:
//! `logs-<server>`, one commit that is replaced. No history grows with them, and who reads heartbeats
//! does not fetch them.

use crate::app::commands::WriteCommand;
use crate::app::commands::artifact::bound;
use crate::app::documents::require_member;
use crate::domain::artifact::attempt_of_manifest;
use crate::domain::id::ServerName;
use crate::ledger::{Abort, Transaction};

/// How many logs a server keeps on the hub besides those of jobs at work.
pub const LOGS_KEPT: usize = 50;

/// Writes logs of this server as far as they have come and what lies beside them, and drops the oldest.
#[derive(Debug, Clone)]
pub struct WriteLogs {
    /// Whose.
    pub server: ServerName,
    /// Path and content.
    pub logs: Vec<(String, Vec<u8>)>,
    /// Logs that stay however old they are: those of jobs at work.
    pub at_work: Vec<String>,
}

impl WriteCommand for WriteLogs {
    type Answer = ();

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        self.ride(transaction)?;
        transaction.describe(format!("log: {} of {}", self.logs.len(), self.server));
        Ok(())
    }
}

impl WriteLogs {
    /// Writes them along with something else, in one push.
    ///
    /// # Errors
    /// As the logs alone.
    pub fn ride(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        require_member(transaction, &self.server)?;
        let (branch, folder) = (self.server.logs_branch(), format!("{}/logs", self.server));
        let mut names = transaction.list_on(&branch, &folder)?;
        for (path, bytes) in &self.logs {
            transaction.put_on(&branch, path, Some(bytes.clone()));
        }
        bound(&names, &self.server, transaction)?;
        let stays = |name: &String| {
            if attempt_of_manifest(name).is_some() {
                return true;
            }
            let path = format!("{folder}/{name}");
            self.at_work.contains(&path) || self.logs.iter().any(|(written, _)| *written == path)
        };
        names.retain(|name| !stays(name));
        // Names begin with the time, so the oldest come first.
        names.sort();
        // What is written of jobs that have ended counts with them.
        let is_ended = |path: &str| {
            let name = path.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
            name.is_some_and(|name| attempt_of_manifest(name).is_none())
                && !self.at_work.iter().any(|other| *other == path)
        };
        let ended = self.logs.iter().filter(|(path, _)| is_ended(path)).count();
        let many = (names.len() + ended).saturating_sub(LOGS_KEPT);
        for name in names.into_iter().take(many) {
            transaction.put_on(&branch, &format!("{folder}/{name}"), None);
        }
        Ok(())
    }
}
