//! What the history of the hub, and what this host remembers of it, tell of what was there before.

use super::{Access, GitEngine};
use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;
use crate::git::libgit2::{oid, place_of};
use crate::git::objects::Objects;
use crate::git::versions::UnreadHistory;
use crate::git::{by_hand, lost_hub, partial, permitted, versions, walk};
use crate::ledger::{
    BelowManual, EarlierContent, Engine as _, EngineHistory, IsWhole, LedgerError, LostCommits, LostObject,
    MergeSides, OwnCommit, PASSED_MAX, Past, Reached, StoreCause, Version, VisitCommit, VisitVersion,
    Visitor,
};
use std::collections::BTreeSet;
use std::path::Path;

impl EngineHistory for GitEngine {
    fn walk(
        &self,
        tip: &Version,
        wants: &dyn Fn(&str) -> bool,
        visit: &mut Visitor<'_>,
    ) -> Result<Reached, LedgerError> {
        self.suspecting(walk::walk(&self.objects, tip, wants, visit))
    }

    fn lost(&self, branch: &str, tip: &Version) -> Result<Vec<LostCommits>, LedgerError> {
        let of = |memory: &Objects, reference: &str| walk::lost(&self.objects, memory, reference, tip);
        let mut lost = of(&self.objects, &self.reference(branch))?;
        // Of a hub on this disk it is the clone around us that remembers.
        if let (Access::Itself, Some(clone)) = (&self.reach, &self.clone)
            && let Ok(clone) = permitted::open(clone)
        {
            lost.extend(of(&Objects::new(clone), &format!("refs/remotes/origin/{branch}"))?);
        }
        Ok(lost)
    }

    fn below_foreign(
        &self,
        tip: &Version,
        is_final: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
    ) -> Result<Option<BelowManual>, LedgerError> {
        self.suspecting(by_hand::below(self.objects.repository(), oid(tip)?, PASSED_MAX, is_final))
    }

    fn earlier(&self, version: &Version, path: &str) -> Result<EarlierContent, LedgerError> {
        self.suspecting(by_hand::earlier(&self.objects, version, path))
    }

    fn changed(&self, before: &Version, after: &Version) -> Result<BTreeSet<String>, LedgerError> {
        self.suspecting(self.objects.changed(before, after, "coordination"))
    }

    fn content(&self, version: &Version, path: &str) -> Result<Option<String>, LedgerError> {
        Ok(self.suspecting(self.objects.content(version, path))?.map(|id| id.to_string()))
    }

    fn versions(
        &self,
        branch: &str,
        tip: &Version,
        path: &str,
        visit: &mut VisitVersion<'_>,
    ) -> Result<(), LedgerError> {
        let unseen = versions::versions(&self.objects, oid(tip)?, path, visit)?;
        unseen.map_or(Ok(()), |unseen| Err(self.unseen(branch, path, unseen)))
    }

    fn sides(
        &self,
        branch: &str,
        tip: &Version,
        path: &str,
        is_whole: &IsWhole<'_>,
    ) -> Result<MergeSides, LedgerError> {
        let (found, unseen) = versions::sides(&self.objects, oid(tip)?, path, is_whole)?;
        Ok(MergeSides { found, unseen: unseen.map(|unseen| self.unseen(branch, path, unseen)) })
    }

    fn past(&self, branch: &str) -> Result<Option<Past>, LedgerError> {
        let repository = self.objects.repository();
        if let Some(found) = self.tip(branch)?.and_then(|tip| lost_hub::in_history(repository, &tip)) {
            return Ok(Some(Past::InHistory(found)));
        }
        // Of a hub on this disk it is the clone around us that remembers.
        let known = match (&self.reach, &self.clone) {
            (Access::Itself, Some(clone)) => lost_hub::known_in(clone, branch),
            (Access::Itself, None) => None,
            (Access::Origin { .. }, _) => lost_hub::known(repository, branch),
        };
        let beats = || {
            // Of a hub in another branch they are that one's.
            if self.branches("")?.iter().any(|other| lost_hub::is_hub(repository, &self.reference(other))) {
                return Ok(None);
            }
            if let (Access::Itself, Some(last)) = (&self.reach, lost_hub::put_last(repository, branch)) {
                return Ok(Some(last));
            }
            Ok(self.branches(HEARTBEAT_BRANCH_PREFIX)?.into_iter().next().map(Past::Beats))
        };
        known.map_or_else(beats, |known| Ok(Some(known)))
    }

    fn last_commits(&self, version: &Version, visit: &mut VisitCommit<'_>) -> Result<(), LedgerError> {
        self.suspecting(self.objects.last_commits(version, visit))
    }

    fn count(&self, version: &Version) -> Result<usize, LedgerError> {
        self.suspecting(self.objects.count(version))
    }
}

impl GitEngine {
    /// What is told where a look at the history of a document did not see all of it.
    fn unseen(&self, branch: &str, path: &str, unseen: UnreadHistory) -> LedgerError {
        let repository = self.objects.repository();
        let cut = |folder: Option<&Path>| LedgerError::CutHistory {
            path: path.to_owned(),
            place: folder.map(place_of),
        };
        let (id, error) = match unseen {
            UnreadHistory::End => {
                return cut(Some(repository.workdir().unwrap_or_else(|| repository.path())));
            }
            UnreadHistory::More => return cut(None),
            UnreadHistory::Lost(id, error) => (id, *error),
        };
        match (&self.reach, id, error) {
            (_, _, LedgerError::Store { cause: StoreCause::Damaged, what, why })
                if partial::of(repository).is_some() =>
            {
                self.damaged(&what, why)
            }
            (Access::Itself, Some(id), LedgerError::Store { why, .. }) => {
                let object = LostObject { id: Some(id.to_string()), branch: branch.to_owned() };
                LedgerError::LacksObject { hub: self.name.clone(), object, why }
            }
            // What a copy lacks the hub may have.
            (_, _, LedgerError::Store { cause: StoreCause::Damaged, what, why }) => self.damaged(&what, why),
            (_, _, error) => error,
        }
    }
}
