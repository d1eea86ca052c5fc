//! The shared git repository as a small transactional store of documents.
//!
//! [`Ledger::read`] gives a snapshot; [`Ledger::update`] applies operations and publishes what
//! they did by one compare-and-swap on the hub's refs. An operation is a pure function from
//! documents to documents or to a refusal, so a lost race is not merged: the operation runs again
//! on the fresh documents. No index, no work tree, no merge and no rebase are involved, and hence
//! nothing can be left half done.
//!
//! Only this layer opens git, and only `publish.rs` moves a shared ref. It knows nothing of jobs
//! or locks; what an operation means is the business of the layer above.

mod abandoned;
mod addresses;
mod around;
mod bad_refs;
mod by_hand;
mod cache;
mod classify;
mod clone_index;
mod commits;
mod cut_objects;
mod document;
mod draft;
mod engine;
mod error;
mod far_side;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod git_engine;
mod git_program;
mod history;
mod homes;
mod identity;
mod in_process;
mod inspect;
mod known;
mod libgit2;
mod location;
mod look;
mod lost_hub;
mod lost_object;
mod marks;
#[cfg(test)]
mod memory;
mod object_format;
mod objects;
mod old_writers;
#[cfg(test)]
mod on_disk;
mod one_hub;
#[cfg(test)]
mod one_of_many;
mod open;
mod outcome;
mod pace;
mod partial;
mod past;
mod permitted;
mod pruning;
mod publish;
mod read;
mod ref_lock;
mod refs;
mod request;
mod salvage;
mod search;
mod snapshot;
mod source;
mod squash;
mod ssh_line;
mod tops;
mod trailers;
mod transaction;
mod update;
mod versions;
mod vocabulary;
mod walk;
mod worktree;

pub use around::{Alike, Around, BRANCH_KEY, HubClone, Unclear, around};
pub use cache::{copy_name, is_unfinished, replace_copy, store_path};
pub use cut_objects::{CutObject, cut_objects};
pub use document::Document;
pub(crate) use engine::Engine;
pub use error::{LedgerError, Stop, Unfit};
pub use far_side::{Cause, Reason};
pub use git_program::GitProgram;
pub use history::{
    Base, Below, Content, Lost, Merged, Ours, PASSED_MAX, Side, Sides, Stride, Told, UNCHECKED,
};
#[cfg(test)]
pub use history::{Earlier, IsWhole, VisitVersion};
pub use homes::{Homes, head_names, home_branch, homes, known_home_branch};
pub use identity::Identity;
pub use in_process::HOOKS_PATH;
pub use inspect::{Size, Store};
pub use known::KnownHub;
pub use location::Location;
pub use look::{Look, Temporary, is_look, send_history};
pub use lost_hub::known_in;
pub use objects::init_bare;
pub use open::{OpenOptions, configure, configured, is_tracked, open};
pub use outcome::{Locked, Outcome, Receipt};
pub use past::Past;
pub use read::{Freshness, OwnedSnapshot};
pub use request::{Apply, Request, RequestResult};
pub use salvage::PutBack;
pub use snapshot::{Documents, History, Shown, Snapshot, table_at};
pub use source::{BuildTag, GoodBuild, Source, SourceError, Wanted};
pub(crate) use trailers::{ops_in, shows};
pub use transaction::Transaction;
pub use update::{Ledger, Settings};
pub(crate) use vocabulary::{Commit, Publication, Scope, Search};
pub use vocabulary::{Found, Held, Move, Reached, Version};
