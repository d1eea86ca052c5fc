//! Looking for an operation in the history of the hub.

use super::error::LedgerError;
use super::snapshot::Snapshot;
use super::update::Ledger;
use super::vocabulary::{FoundOperation, Search, Tips, Version};
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, OpId};

impl Ledger {
    /// Where the main branch is as far as we know, without asking the hub.
    #[must_use]
    pub fn known_tip(&self) -> Option<Version> {
        self.engine.tip(&self.settings.main).ok().flatten()
    }

    /// The main branch as it was at `version`, one that this host has.
    #[must_use]
    pub fn at(&self, version: &Version) -> Snapshot<'_> {
        let tips = Tips::from([(self.settings.main.clone(), Some(version.clone()))]);
        Snapshot::at(self.engine.as_ref(), &self.settings.main, tips)
    }

    /// Looks for an operation anywhere in the hub's history, the heartbeat branches included. What
    /// led to `since` was there before the operation began and is left out.
    ///
    /// # Errors
    /// When the hub cannot be reached, or when only a part of the history is here and the operation
    /// is not in that: then nobody can tell.
    pub fn find(
        &mut self,
        op: &OpId,
        since: Option<&Version>,
    ) -> Result<Option<FoundOperation>, LedgerError> {
        let found = self.find_once(op, since);
        if self.is_suspect() { self.find_once(op, since) } else { found }
    }

    fn find_once(
        &mut self,
        op: &OpId,
        since: Option<&Version>,
    ) -> Result<Option<FoundOperation>, LedgerError> {
        drop(self.read(true)?);
        let mut branches = vec![self.settings.main.clone()];
        branches.extend(self.engine.branches(HEARTBEAT_BRANCH_PREFIX)?);
        let mut untold = None;
        for branch in branches {
            let Some(tip) = self.engine.tip(&branch)? else { continue };
            match self.engine.find(&tip, op, since)? {
                Search::Found(found) => return Ok(Some(found)),
                Search::NotThere => {}
                Search::CannotTell(reached) => untold = Some(reached),
            }
        }
        untold.map_or(Ok(None), |reached| Err(LedgerError::Untold { op: op.clone(), reached }))
    }
}
