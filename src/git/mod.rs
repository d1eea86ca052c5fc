//! git: everything that opens a repository, runs the git program or reads what it prints.
//!
//! [`open()`] gives the ledger of a hub, with the engine of this room under it: in process where the hub is a
//! repository of this machine, through the git program everywhere else. Only `publish.rs` moves a shared ref.
//! What a document means is no business of this room.

mod abandoned;
mod addresses;
mod around;
mod bad_refs;
mod build_tags;
mod by_hand;
mod cache;
mod classify;
mod clone_index;
mod commits;
#[cfg(test)]
mod conformance;
mod cut_objects;
mod engine;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod homes;
pub mod hubs;
mod identity;
mod in_process;
mod inspect;
mod known;
mod libgit2;
mod look;
mod lost_hub;
mod lost_object;
mod marks;
mod object_format;
mod objects;
mod old_writers;
#[cfg(test)]
mod on_disk;
#[cfg(test)]
mod one_of_many;
mod open;
mod partial;
mod permitted;
mod program;
mod pruning;
mod publish;
mod ref_lock;
mod refs;
pub mod remedy;
mod salvage;
mod source;
mod ssh_line;
mod tops;
mod versions;
mod walk;
mod worktree;

pub use crate::ledger::Location;
pub use around::{Alike, Ambiguity, BRANCH_KEY, CloneAround, HubClone, around};
pub use build_tags::BuildTag;
pub use cache::{is_unfinished, replace_copy, store_path};
pub use cut_objects::{CutObject, cut_objects};
pub use homes::{Homes, head_names, home_branch, homes, known_home_branch};
pub use identity::Identity;
pub use in_process::HOOKS_PATH;
pub use inspect::{Hook, Size, Store};
pub use known::KnownHub;
pub use look::{HubProbe, Temporary, is_look, send_history};
pub use lost_hub::known_in;
pub use objects::init_bare;
pub use open::{OpenOptions, configure, configured, is_tracked, open};
pub use program::GitProgram;
pub use salvage::PutBack;
pub use source::{GoodBuild, Source, SourceError, WantedCommit};
