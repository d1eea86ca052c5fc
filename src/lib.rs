//! git-muster coordinates build servers through JSON files in a shared git repository.
//!
//! The layers, lowest first; nothing points up:
//!
//! - [`domain`]: the documents and their rules, pure.
//! - [`machine`]: this machine, each effect behind one door.
//! - [`ledger`]: the shared repository as a small transactional store.
//! - [`app`]: the floor of every front end: commands, what goes with them, what watches; no printing.
//! - [`worker`]: claims jobs, runs them and reports; everything of a build server in one process.
//! - [`sim`]: the simulator, which runs all of these but the last on hosts that do not exist.
//! - [`cli`]: the command line, which builds everything and prints.

pub mod app;
pub mod cli;
pub mod domain;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod ledger;
pub mod machine;
pub mod sim;
pub mod worker;
