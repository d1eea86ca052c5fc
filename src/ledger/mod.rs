//! The shared git repository as a small transactional store of documents.
//!
//! [`Ledger::read`] gives a snapshot; [`Ledger::update`] applies operations and publishes what
//! they did by one compare-and-swap on the hub's refs. An operation is a pure function from
//! documents to documents or to a refusal, so a lost race is not merged: the operation runs again
//! on the fresh documents. No index, no work tree, no merge and no rebase are involved, and hence
//! nothing can be left half done.
//!
//! It knows nothing of jobs or locks; what an operation means is the business of the layer above. Nor does it
//! open git: an [`engine::Engine`] stands below it, of which the room `git` has the one that ships.

mod causes;
#[cfg(test)]
pub(crate) mod conformance;
mod crowd;
mod document;
mod draft;
mod engine;
mod error;
mod far_side;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod history;
mod location;
mod lost;
#[cfg(test)]
mod memory;
mod memory_hub;
mod memory_store;
mod one_hub;
mod outcome;
mod pace;
mod read;
mod request;
mod search;
mod snapshot;
mod squash;
mod trailers;
mod transaction;
mod update;
mod vocabulary;

pub use causes::{StoreCause, Unfit};
pub use document::Document;
pub(crate) use engine::{Engine, EngineHistory, EngineUpkeep};
pub use error::{Abort, LedgerError};
pub use far_side::{Cause, Reason, Voice};
pub use freshness::Freshness;
pub(crate) use history::VisitCommit;
pub use history::{
    BelowManual, CommitTrailers, Content, EarlierContent, IsWhole, LostCommits, MergeSides, MergeView,
    OwnBase, OwnCommit, PASSED_MAX, Side, UNCHECKED, VisitVersion, Visitor, WalkStep,
};
pub use location::Location;
pub use lost::{LostObject, PartialClone, Past};
pub(crate) use memory_hub::{Files, MemoryHub, Refs, Stored, changed, names_in};
pub(crate) use memory_store::{Fate, MemoryStore, Misfortune, Seen, SharedHub};
pub use outcome::{Locked, Outcome, Receipt};
pub(crate) use pace::Pace;
pub use read::OwnedSnapshot;
pub use request::{Apply, Request, RequestResult};
pub use snapshot::{Documents, History, Shown, Snapshot, table_at};
pub(crate) use trailers::{ops_in, shows, trailers};
pub use transaction::Transaction;
pub use update::{Ledger, Settings};
pub(crate) use vocabulary::{Changes, Commit, Publication, Scope, Search};
pub use vocabulary::{FoundOperation, HeldRefLock, Move, Reached, Version};
