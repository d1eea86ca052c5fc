//! Reducing the history of a heartbeat branch to one commit.

use super::error::LedgerError;
use super::snapshot::no_history;
use super::update::{Ledger, PUSH_TIME_MIN};
use super::vocabulary::{Changes, Commit, Move, Publication, Scope, Version};
use crate::domain::time::Timestamp;

/// How often a squash is tried against a server that goes on beating.
const SQUASH_TRIES_MAX: u32 = 8;

/// What a squash found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SquashResult {
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
    ) -> Result<SquashResult, LedgerError> {
        let deadline = self.machine.deadline(self.settings.budget);
        let hub = self.engine.hub().to_owned();
        let (mut sent, mut made) = (None, None::<(Version, SquashResult)>);
        let mut scope = Scope::heartbeats();
        scope.add(branch, true);
        for _ in 0..SQUASH_TRIES_MAX {
            let looked = self.refresh(&scope, &deadline);
            // What was sent may still arrive, and then no error may claim that nothing was written.
            if let Some(why) = sent.take_if(|_| looked.is_err() || deadline.left() < PUSH_TIME_MIN) {
                return Err(LedgerError::Unsettled { hub, why });
            }
            looked?;
            let Some(tip) = self.engine.tip(branch)? else {
                return Err(LedgerError::NoBranch { hub, branch: branch.to_owned(), empty: false });
            };
            // Whatever was said of it: a commit that is there has landed.
            if let Some((to, squashed)) = made.take()
                && self.engine.leads_to(&to, &tip)?
            {
                return Ok(squashed);
            }
            let commits = self.engine.history().ok_or_else(no_history)?.count(&tip)?;
            let squashed = SquashResult { commits, backup: backup.map(str::to_owned) };
            if squashed.commits <= 1 {
                return Ok(SquashResult { backup: None, ..squashed });
            }
            if self.settings.dry_run {
                return Ok(squashed);
            }
            let message = format!("heartbeat squash: {branch}, {} commits", squashed.commits);
            let to = self.engine.commit(&Commit {
                base: Some(&tip),
                follows: false,
                changes: &Changes::new(),
                records: &[],
                message: &message,
                author: &self.settings.author,
                at: now,
            })?;
            made = Some((to.clone(), squashed.clone()));
            let mut moves = vec![Move { branch: branch.to_owned(), from: Some(tip.clone()), to }];
            moves.extend(backup.map(|backup| Move { branch: backup.to_owned(), from: None, to: tip }));
            // A fifth of the time is kept for finding out what became of a push that hangs.
            match self.engine.publish(&moves, &self.machine.deadline(deadline.left() * 4 / 5)) {
                Publication::Applied => return Ok(squashed),
                Publication::Stale | Publication::StaleOrRepeated | Publication::Busy(_) => {}
                // Whether it landed or not, the next look tells.
                Publication::Unknown(why) => sent = Some(why),
                Publication::Doubted(why) => sent = Some(why.words),
                Publication::Denied(why) => return Err(LedgerError::Denied { hub, why }),
                Publication::Failed { cause, why } => {
                    let what = format!("cannot move a branch of `{hub}`");
                    return Err(LedgerError::Store { what, why, cause });
                }
                Publication::Unreachable(why) => return Err(LedgerError::Unreachable { hub, why }),
            }
        }
        if let Some(why) = sent {
            return Err(LedgerError::Unsettled { hub, why });
        }
        let why = format!(
            "`{branch}` moved {SQUASH_TRIES_MAX} times while it was to be squashed; it was left as it is"
        );
        Err(LedgerError::Contended(why))
    }
}
