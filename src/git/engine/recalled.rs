//! What the history of the hub, and what this host remembers of it, tell of what is not there any more.

use super::{GitEngine, Reach};
use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;
use crate::git::objects::Objects;
use crate::git::versions::Unseen;
use crate::git::{lost_hub, partial, permitted, walk};
use crate::ledger::{Engine as _, LedgerError, Lost, LostObject, Past, Version};
use std::path::Path;

impl GitEngine {
    /// What this host has seen of a branch that is not in its history any more.
    pub(super) fn seen_and_lost(&self, branch: &str, tip: &Version) -> Result<Vec<Lost>, LedgerError> {
        let of = |memory: &Objects, reference: &str| walk::lost(&self.objects, memory, reference, tip);
        let mut lost = of(&self.objects, &self.reference(branch))?;
        // Of a hub on this disk it is the clone around us that remembers.
        if let (Reach::Itself, Some(clone)) = (&self.reach, &self.clone)
            && let Ok(clone) = permitted::open(clone)
        {
            lost.extend(of(&Objects::new(clone), &format!("refs/remotes/origin/{branch}"))?);
        }
        Ok(lost)
    }

    /// What shows that a branch without documents was a hub.
    pub(super) fn past_of(&self, branch: &str) -> Result<Option<Past>, LedgerError> {
        let repository = self.objects.repository();
        if let Some(found) = self.tip(branch)?.and_then(|tip| lost_hub::in_history(repository, &tip)) {
            return Ok(Some(Past::InHistory(found)));
        }
        // Of a hub on this disk it is the clone around us that remembers.
        let known = match (&self.reach, &self.clone) {
            (Reach::Itself, Some(clone)) => lost_hub::known_in(clone, branch),
            (Reach::Itself, None) => None,
            (Reach::Origin { .. }, _) => lost_hub::known(repository, branch),
        };
        let beats = || {
            // Of a hub in another branch they are that one's.
            if self.branches("")?.iter().any(|other| lost_hub::is_hub(repository, &self.reference(other))) {
                return Ok(None);
            }
            if let (Reach::Itself, Some(last)) = (&self.reach, lost_hub::put_last(repository, branch)) {
                return Ok(Some(last));
            }
            Ok(self.branches(HEARTBEAT_BRANCH_PREFIX)?.into_iter().next().map(Past::Beats))
        };
        known.map_or_else(beats, |known| Ok(Some(known)))
    }

    /// What is told where a look at the history of a document did not see all of it.
    pub(super) fn unseen(&self, branch: &str, path: &str, unseen: Unseen) -> LedgerError {
        let repository = self.objects.repository();
        let cut = |folder: Option<&Path>| LedgerError::CutHistory {
            path: path.to_owned(),
            folder: folder.map(|folder| folder.components().collect()),
        };
        let (id, error) = match unseen {
            Unseen::End => return cut(Some(repository.workdir().unwrap_or_else(|| repository.path()))),
            Unseen::More => return cut(None),
            Unseen::Lost(id, error) => (id, *error),
        };
        match (&self.reach, id, error) {
            (_, _, LedgerError::Store { damaged: true, what, why }) if partial::of(repository).is_some() => {
                self.damaged(&what, why)
            }
            (Reach::Itself, Some(id), LedgerError::Store { why, .. }) => {
                let object = LostObject { id: Some(id.to_string()), branch: branch.to_owned() };
                LedgerError::LacksObject { hub: self.name.clone(), object, why }
            }
            // What a copy lacks the hub may have.
            (_, _, LedgerError::Store { damaged: true, what, why }) => self.damaged(&what, why),
            (_, _, error) => error,
        }
    }
}
