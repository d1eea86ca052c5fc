//! git-muster coordinates build servers through JSON files in a shared git repository.
//!
//! The layers, lowest first; nothing points up:
//!
//! - `domain`: the documents and their rules, pure.
//! - `machine`: this machine, each effect behind one door.
//! - `ledger`: the shared repository as a small transactional store.
//! - `git`: the engine of the ledger that keeps it in git, and all else that knows git.
//! - `app`: the floor of every front end: commands, what goes with them, what watches; no printing.
//! - `doctor`: what is wrong with a machine, a clone, a copy or a hub; it looks below `app`, at git.
//! - `worker`: claims jobs, runs them and reports; everything of a build server in one process.
//! - `sim`: the simulator, which runs all of these but the last on hosts that do not exist.
//! - `cli`: the command line, which builds everything and prints.
//!
//! It is one program and no library: `pub` in a layer means for the other layers, and what none of them uses
//! the compiler tells.

mod app;
mod cli;
mod doctor;
mod domain;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod git;
mod ledger;
mod machine;
#[doc(hidden)]
pub mod sim;
mod worker;

/// What the programs, benches and tests of this package reach from outside; a promise to nobody else.
#[doc(hidden)]
pub mod inside {
    pub use crate::cli::{Cli, Exit, audit_rules, command_reference, error_reference, main, schemas};
    pub use crate::machine::contained::is_contained;

    /// For `muster-sim`.
    #[cfg(feature = "planted-bugs")]
    pub use crate::domain::planted::plant;

    /// For the models.
    pub use crate::domain::{lease, ref_lock};

    /// For another front end: it asks, follows and does by these, and has no rule of its own.
    pub use crate::app::session::Session;
    pub use crate::app::submit::KeepFor;
    pub use crate::app::{client, events, flows, queries};
    pub use crate::git::hubs;
    pub use crate::ledger::{Abort, Freshness, Ledger, Outcome, OwnedSnapshot, Request, Settings};

    /// For tests and benches.
    pub use crate::app::commands::found::{self, InitHub, TEMPLATE};
    pub use crate::app::commands::{
        Operation, Write, WriteCommand, WriteOptions, archive::Archive, job_add, job_claim::ClaimJobs,
        job_step, lock as locks, message as messages, server::Join,
    };
    pub use crate::app::fsck::{Question, check_history};
    pub use crate::app::submit::HubRef;
    pub use crate::domain::finding::FindingCode;
    pub use crate::domain::heartbeat::{Beat, Heartbeat};
    pub use crate::domain::id::{JobId, LockName, MessageId, OpId, ServerName};
    pub use crate::domain::job::{AttemptResult, Claim, Claimant, FailReason, Job, JobStatus};
    pub use crate::domain::lock::{Lock, LockRequest};
    pub use crate::domain::message::{Draft, MessageType};
    pub use crate::domain::queue::Queue;
    pub use crate::domain::shell::quoted;
    pub use crate::domain::table::{Row, Table};
    pub use crate::domain::time::Timestamp;
    pub use crate::git::{Location, OpenOptions, init_bare, open};
    pub use crate::machine::{Machine, clock, environment, random};
}
