//! What the update loop needs of a store, so that another engine can stand under it.
//!
//! A store keeps named branches of documents and moves several of them together or not at all.
//! git is one such store; a key-value store with multi-key compare-and-swap could be another, and
//! the simulator's memory is a third.

use super::document::Document;
use super::error::{LedgerError, Unfit};
use super::history::{Below, Earlier, IsWhole, Lost, Ours, Sides, Visit, VisitVersion};
use super::past::Past;
use super::vocabulary::{Commit, Move, Publication, Reached, Scope, Search, Version};
use crate::domain::bad_branch::BadBranch;
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::machine::clock::Deadline;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// A store of branches.
pub(crate) trait Engine {
    /// The hub as users name it, without credentials.
    fn hub(&self) -> &str;

    /// Another handle on the same store, for another thread that only reads; `None` where there can be none.
    ///
    /// # Errors
    /// When it cannot be opened once more.
    fn again(&self) -> Result<Option<Box<dyn Engine + Send>>, LedgerError> {
        Ok(None)
    }

    /// Whether [`Engine::tip`] always tells what the hub has now.
    fn is_always_fresh(&self) -> bool;

    /// A file for the lock between the processes of this host.
    fn lock_path(&self) -> PathBuf;

    /// The version of a branch as far as we know.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError>;

    /// Names of the branches that begin with `prefix`, as far as we know.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError>;

    /// The branches that cannot be used and are left out, as far as was seen until now.
    fn bad_branches(&self) -> Vec<BadBranch> {
        Vec::new()
    }

    /// Has a branch left out of which a part cannot be read; not where it is a copy that may have lost it.
    fn leave_out(&self, _branch: &str) -> bool {
        false
    }

    /// Says that a look at the hub, or one more attempt to write to it, begins: what was told of it before may
    /// not be so any more.
    fn begin_look(&mut self) {}

    /// Asks the hub. Returns a warning when the history was rewritten there.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    fn refresh(
        &mut self,
        main: &str,
        scope: &Scope,
        deadline: Deadline,
    ) -> Result<Option<String>, LedgerError>;

    /// A document.
    ///
    /// # Errors
    /// When the store is damaged or the document is too large.
    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError>;

    /// Names of what lies directly in a folder; a folder's name ends with a slash.
    ///
    /// # Errors
    /// When the store is damaged.
    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError>;

    /// Builds a commit without publishing it.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError>;

    /// Moves branches, all or none. Where it is killed in between, the first has not moved.
    fn publish(&mut self, moves: &[Move], deadline: Deadline) -> Publication;

    /// Whether `version` is `tip` or in its history.
    ///
    /// # Errors
    /// When the store is damaged.
    fn leads_to(&self, version: &Version, tip: &Version) -> Result<bool, LedgerError>;

    /// Looks for an operation in the history of `tip`, back to `since`.
    ///
    /// # Errors
    /// When the store is damaged, or does not have that history any more.
    fn find(&self, tip: &Version, op: &OpId, since: Option<&Version>) -> Result<Search, LedgerError>;

    /// Whether the transport may send a push twice by itself: then one that is told that another
    /// was faster may have been applied.
    fn repeats_requests(&self) -> bool {
        false
    }

    /// Says that many attempts may follow each other closely.
    fn stay_connected(&mut self) {}

    /// Who wrote the last commits that lead to `version`, and when by the writer's clock, the newest
    /// first.
    ///
    /// # Errors
    /// When the store is damaged.
    fn last_commits(&self, _version: &Version) -> Result<Vec<(String, Timestamp)>, LedgerError> {
        Ok(Vec::new())
    }

    /// Whether `author` wrote the newest of a branch a moment before `now` and others wrote shortly
    /// before that, as far as we know.
    ///
    /// # Errors
    /// When the store is damaged.
    fn is_crowded(&self, _branch: &str, _author: &str, _now: Timestamp) -> Result<bool, LedgerError> {
        Ok(false)
    }

    /// How many commits lead to `version`.
    ///
    /// # Errors
    /// When the store is damaged.
    fn count(&self, version: &Version) -> Result<usize, LedgerError>;

    /// Walks through the history of a branch to `tip`, from its first commit. `wants` is asked which
    /// documents the visitor is to be shown, and with a slash at the end, which folders may hold some.
    ///
    /// # Errors
    /// When the store is damaged or keeps no history.
    fn walk(
        &self,
        _tip: &Version,
        _wants: &dyn Fn(&str) -> bool,
        _visit: &mut Visit<'_>,
    ) -> Result<Reached, LedgerError> {
        let why = "this store keeps no history that could be looked at".to_owned();
        Err(LedgerError::Configuration { cause: Unfit::NoHistory, why })
    }

    /// What this host has seen on a branch that does not lead to `tip` any more.
    ///
    /// # Errors
    /// When the store is damaged.
    fn lost(&self, _branch: &str, _tip: &Version) -> Result<Vec<Lost>, LedgerError> {
        Ok(Vec::new())
    }

    /// What lies below the commits by hand on top of `tip`; `None` if that is ours and left nothing
    /// unchecked. Those of ours that are not final are passed.
    ///
    /// # Errors
    /// When the store is damaged.
    fn below_foreign(
        &self,
        _tip: &Version,
        _is_final: &dyn Fn(&Ours) -> Result<bool, LedgerError>,
    ) -> Result<Option<Below>, LedgerError> {
        Ok(None)
    }

    /// What a document was before one of ours.
    ///
    /// # Errors
    /// When the store is damaged.
    fn earlier(&self, _version: &Version, _path: &str) -> Result<Earlier, LedgerError> {
        Ok(Earlier::default())
    }

    /// The documents of all servers in which two versions differ.
    ///
    /// # Errors
    /// When the store is damaged.
    fn changed(&self, _before: &Version, _after: &Version) -> Result<BTreeSet<String>, LedgerError> {
        Ok(BTreeSet::new())
    }

    /// What a document holds in a version, by name.
    ///
    /// # Errors
    /// When the store is damaged.
    fn content(&self, _version: &Version, _path: &str) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    /// Visits what lay at `path` in `tip`, which is that of `branch`, and before, the newest first. All that
    /// is here is visited before an error is told.
    ///
    /// # Errors
    /// When history that may hold more is not here, is too long or damaged.
    fn versions(
        &self,
        _branch: &str,
        _tip: &Version,
        _path: &str,
        _visit: &mut VisitVersion<'_>,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    /// What `path` held last that is whole, on each side of the merges on top of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn sides(
        &self,
        _branch: &str,
        _tip: &Version,
        _path: &str,
        _is_whole: &IsWhole<'_>,
    ) -> Result<Sides, LedgerError> {
        Ok(Sides::default())
    }

    /// What shows that a branch without documents was a hub.
    ///
    /// # Errors
    /// When the store is damaged.
    fn past(&self, _branch: &str) -> Result<Option<Past>, LedgerError> {
        Ok(None)
    }

    /// Whether a look at our copy of the hub found it damaged, so that it is worth asking again.
    fn is_suspect(&self) -> bool {
        false
    }

    /// Puts a damaged copy of the hub aside and begins a new one. `false`: there is none to
    /// replace.
    ///
    /// # Errors
    /// When that fails too.
    fn heal(&mut self) -> Result<bool, LedgerError>;

    /// What the user has to know: of a copy that was put aside, of branches that are left out.
    fn take_notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What is to be done for convenience after `branch` moved: the clone around us follows.
    /// Returns a note for the user when it could not.
    fn settle(&mut self, branch: &str) -> Option<String>;
}
