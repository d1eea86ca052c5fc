//! What is kept on this machine of a hub, and how it is tended: our copy, the connection, the clone around us.

use super::{Access, GitEngine};
use crate::domain::bad_branch::{BadBranch, BranchFault};
use crate::git::objects::Objects;
use crate::git::worktree;
use crate::ledger::{Engine as _, EngineUpkeep, LedgerError};
use crate::machine::bounded;
use crate::machine::failpoint::failpoint;
use std::path::PathBuf;
use std::time::Duration;

/// How long the clone around may take to follow before the answer is given without it.
const FOLLOW_TIME_MAX: Duration = Duration::from_secs(10);

impl EngineUpkeep for GitEngine {
    fn lock_path(&self) -> Option<PathBuf> {
        Some(self.directory().join("muster.flock"))
    }

    fn heal(&mut self) -> Result<bool, LedgerError> {
        let Access::Origin { copy: Some(copy) } = &mut self.reach else { return Ok(false) };
        self.objects = Objects::new(copy.replace()?);
        *self.suspect.get_mut() = None;
        Ok(true)
    }

    fn is_suspect(&self) -> bool {
        matches!(self.reach, Access::Origin { copy: Some(_) }) && self.suspect.borrow().is_some()
    }

    fn begin_look(&mut self) {
        // What goes with our copy stays until the hub is asked, and is no answer until then.
        self.asked = false;
        if self.is_always_fresh() {
            self.bad.get_mut().clear();
        }
    }

    fn stay_connected(&mut self) {
        if !matches!(self.reach, Access::Origin { .. }) {
            return;
        }
        let repository = self.objects.repository();
        // As git sees it: its configuration may put another address in the place of the one given.
        let url = repository.find_remote("origin").and_then(|origin| origin.url().map(str::to_owned));
        if let Ok(url) = url {
            let directory = repository.path().to_owned();
            self.git.stay_connected(&directory, &url);
        }
    }

    fn leave_out(&self, branch: &str) -> bool {
        let is_hub = self.is_always_fresh();
        if is_hub {
            self.bad.borrow_mut().insert(branch.to_owned(), BranchFault::Incomplete);
        }
        is_hub
    }

    fn bad_branches(&self) -> Vec<BadBranch> {
        let bad = self.bad.borrow();
        bad.iter().map(|(branch, flaw)| BadBranch { branch: branch.clone(), flaw: *flaw }).collect()
    }

    fn take_notes(&mut self) -> Vec<String> {
        let bad = self.bad_branches().into_iter().filter(|bad| self.told.insert(bad.branch.clone()));
        let mut notes: Vec<String> = bad.map(|bad| bad.warning(&self.name)).collect();
        notes.append(&mut self.notes);
        if let Access::Origin { copy: Some(copy) } = &mut self.reach {
            notes.extend(copy.take_note());
        }
        notes
    }

    fn settle(&mut self, branch: &str) -> Option<String> {
        let clone = self.clone.as_deref()?;
        failpoint("refresh");
        let target = self.tip(branch).ok()??;
        let hub = self.is_always_fresh().then(|| self.directory().to_owned());
        let (top, branch) = (clone.to_owned(), branch.to_owned());
        // The hub has what was written: a disk that does not answer is not to keep the answer back.
        let follow = move || worktree::follow(&top, &branch, target.as_str(), hub.as_deref());
        bounded::within(FOLLOW_TIME_MAX, follow).unwrap_or_else(|| {
            let (top, span) = (clone.display(), FOLLOW_TIME_MAX.as_secs());
            Some(format!("the clone `{top}` was not brought up to date within {span} s: something on its disk does not answer; the next command goes on with it"))
        })
    }
}
