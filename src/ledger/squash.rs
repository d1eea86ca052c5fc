//! Reducing the history of a heartbeat branch to one commit.

use super::engine::{Changes, Commit, Move, Publication, Scope};
use super::error::LedgerError;
use super::update::Ledger;
use crate::domain::time::Timestamp;
use crate::host::clock::Deadline;

/// How often a squash is tried against a server that goes on beating.
const SQUASH_TRIES_MAX: u32 = 8;

/// What a squash found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squashed {
    /// How many commits the branch held.
    pub commits: usize,
    /// Where they are kept.
    pub backup: Option<String>,
}

impl Ledger {
    /// Reduces the history of a branch to one commit with the same documents, and keeps what was
    /// there under the name `backup` if one is given.
    ///
    /// # Errors
    /// When there is no such branch, it moved each time, or the hub refuses.
    pub fn squash(
        &mut self,
        branch: &str,
        backup: Option<&str>,
        now: Timestamp,
    ) -> Result<Squashed, LedgerError> {
        let deadline = Deadline::after(self.settings.budget);
        for _ in 0..SQUASH_TRIES_MAX {
            self.refresh(Scope::Heartbeats, deadline)?;
            let Some(tip) = self.engine.tip(branch)? else {
                let hub = self.engine.hub().to_owned();
                return Err(LedgerError::NoBranch { hub, branch: branch.to_owned(), empty: false });
            };
            let squashed = Squashed { commits: self.engine.count(&tip)?, backup: backup.map(str::to_owned) };
            if squashed.commits <= 1 || self.settings.dry_run {
                return Ok(squashed);
            }
            let message = format!("heartbeat squash: {branch}, {} commits", squashed.commits);
            let to = self.engine.commit(&Commit {
                base: Some(&tip),
                follows: false,
                changes: &Changes::new(),
                message: &message,
                author: &self.settings.author,
                at: now,
            })?;
            let mut moves = vec![Move { branch: branch.to_owned(), from: Some(tip.clone()), to }];
            moves.extend(backup.map(|backup| Move { branch: backup.to_owned(), from: None, to: tip }));
            let hub = self.engine.hub().to_owned();
            match self.engine.publish(&moves, deadline) {
                Publication::Applied => return Ok(squashed),
                // Whether it landed or not, the next look tells: a squash is done only once.
                Publication::Stale | Publication::Busy | Publication::Unknown(_) => {}
                Publication::Denied(why) => return Err(LedgerError::Denied { hub, why }),
                Publication::Failed(why) => {
                    let what = format!("cannot move a branch of `{hub}`");
                    return Err(LedgerError::Store { what, why, damaged: false });
                }
                Publication::Unreachable(why) => return Err(LedgerError::Unreachable { hub, why }),
            }
        }
        let why = format!(
            "`{branch}` moved {SQUASH_TRIES_MAX} times while it was to be squashed; it was left as it is"
        );
        Err(LedgerError::Configuration(why))
    }
}
