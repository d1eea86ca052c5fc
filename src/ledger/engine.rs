//! What the ledger needs of a store, so that another engine can stand under it.
//!
//! A store keeps named branches of documents and moves several of them together or not at all. [`Engine`] is what
//! the update loop cannot do without. What else a store may be able to do is a trait of its own, which an engine
//! hands out if it has it: [`EngineHistory`] tells what was there before, [`EngineUpkeep`] is for a store that
//! keeps something on this machine, such as a copy of the hub. Knows no store.

use super::document::Document;
use super::error::LedgerError;
use super::history::{
    BelowManual, EarlierContent, IsWhole, LostCommits, MergeSides, OwnCommit, VisitCommit, VisitVersion,
    Visitor,
};
use super::lost::Past;
use super::vocabulary::{Commit, Move, Publication, Reached, Scope, Search, Version};
use crate::domain::bad_branch::BadBranch;
use crate::domain::id::OpId;
use crate::machine::Deadline;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// A store of branches, as one process reaches it: it may know an old state of the hub until it asks.
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

    /// Asks the hub. Returns a warning when the history was rewritten there.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    fn refresh(
        &mut self,
        main: &str,
        scope: &Scope,
        deadline: &Deadline,
    ) -> Result<Option<String>, LedgerError>;

    /// A document; `None` where nothing lies.
    ///
    /// # Errors
    /// When the store is damaged, the document is too large, or a folder lies there.
    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError>;

    /// Names of what lies directly in a folder, in their order; a folder's name ends with a slash.
    ///
    /// # Errors
    /// When the store is damaged.
    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError>;

    /// Builds a commit without publishing it.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError>;

    /// Moves branches, all or none; of none it is applied. Where it is killed in between, the first has not
    /// moved.
    fn publish(&mut self, moves: &[Move], deadline: &Deadline) -> Publication;

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

    /// What it tells of history besides; `None`: nothing.
    fn history(&self) -> Option<&dyn EngineHistory> {
        None
    }

    /// What it keeps on this machine; `None`: nothing.
    fn upkeep(&self) -> Option<&dyn EngineUpkeep> {
        None
    }

    /// The same, to be tended.
    fn upkeep_mut(&mut self) -> Option<&mut dyn EngineUpkeep> {
        None
    }
}

/// What was in a store before: for `fsck`, for documents that were damaged by hand, for clocks and crowds.
pub(crate) trait EngineHistory {
    /// Visits the last commits that lead to `version`, the newest first, as far as they can be read.
    ///
    /// # Errors
    /// When the store cannot be opened.
    fn last_commits(&self, version: &Version, visit: &mut VisitCommit<'_>) -> Result<(), LedgerError>;

    /// How many commits lead to `version`.
    ///
    /// # Errors
    /// When the store is damaged.
    fn count(&self, version: &Version) -> Result<usize, LedgerError>;

    /// Walks through the history of a branch to `tip`, from its first commit. `wants` is asked which
    /// documents the visitor is to be shown, and with a slash at the end, which folders may hold some.
    ///
    /// # Errors
    /// When the store is damaged.
    fn walk(
        &self,
        tip: &Version,
        wants: &dyn Fn(&str) -> bool,
        visit: &mut Visitor<'_>,
    ) -> Result<Reached, LedgerError>;

    /// What this host has seen on a branch that does not lead to `tip` any more.
    ///
    /// # Errors
    /// When the store is damaged.
    fn lost(&self, branch: &str, tip: &Version) -> Result<Vec<LostCommits>, LedgerError>;

    /// What shows that a branch without documents was a hub.
    ///
    /// # Errors
    /// When the store is damaged.
    fn past(&self, branch: &str) -> Result<Option<Past>, LedgerError>;

    /// What lies below the commits by hand on top of `tip`; `None` if that is ours and left nothing
    /// unchecked. Those of ours that are not final are passed.
    ///
    /// # Errors
    /// When the store is damaged.
    fn below_foreign(
        &self,
        tip: &Version,
        is_final: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
    ) -> Result<Option<BelowManual>, LedgerError>;

    /// What a document was before one of ours.
    ///
    /// # Errors
    /// When the store is damaged.
    fn earlier(&self, version: &Version, path: &str) -> Result<EarlierContent, LedgerError>;

    /// The documents of all servers in which two versions differ.
    ///
    /// # Errors
    /// When the store is damaged.
    fn changed(&self, before: &Version, after: &Version) -> Result<BTreeSet<String>, LedgerError>;

    /// What a document holds in a version, by name.
    ///
    /// # Errors
    /// When the store is damaged.
    fn content(&self, version: &Version, path: &str) -> Result<Option<String>, LedgerError>;

    /// Visits what lay at `path` in `tip`, which is that of `branch`, and before, the newest first. All that
    /// is here is visited before an error is told.
    ///
    /// # Errors
    /// When history that may hold more is not here, is too long or damaged.
    fn versions(
        &self,
        branch: &str,
        tip: &Version,
        path: &str,
        visit: &mut VisitVersion<'_>,
    ) -> Result<(), LedgerError>;

    /// What `path` held last that is whole, on each side of the merges on top of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn sides(
        &self,
        branch: &str,
        tip: &Version,
        path: &str,
        is_whole: &IsWhole<'_>,
    ) -> Result<MergeSides, LedgerError>;
}

/// What a store keeps on this machine and has to tend: a copy of the hub, a connection, the clone around us.
pub(crate) trait EngineUpkeep {
    /// A file for the lock between the processes of this host, if they are to take turns.
    fn lock_path(&self) -> Option<PathBuf>;

    /// Puts a damaged copy of the hub aside and begins a new one. `false`: there is none to
    /// replace.
    ///
    /// # Errors
    /// When that fails too.
    fn heal(&mut self) -> Result<bool, LedgerError>;

    /// Whether a look at our copy of the hub found it damaged, so that it is worth asking again.
    fn is_suspect(&self) -> bool {
        false
    }

    /// Says that a look at the hub, or one more attempt to write to it, begins: what was told of it before may
    /// not be so any more.
    fn begin_look(&mut self) {}

    /// Says that many attempts may follow each other closely.
    fn stay_connected(&mut self) {}

    /// Has a branch left out of which a part cannot be read; not where it is a copy that may have lost it.
    fn leave_out(&self, _branch: &str) -> bool {
        false
    }

    /// The branches that cannot be used and are left out, as far as was seen until now.
    fn bad_branches(&self) -> Vec<BadBranch> {
        Vec::new()
    }

    /// What the user has to know: of a copy that was put aside, of branches that are left out.
    fn take_notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What is to be done for convenience after `branch` moved: the clone around us follows.
    /// Returns a note for the user when it could not.
    fn settle(&mut self, _branch: &str) -> Option<String> {
        None
    }
}
