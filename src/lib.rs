//! git-muster coordinates build servers through JSON files in a shared git repository.
//!
//! The layers, lowest first; nothing points up:
//!
//! - [`domain`]: the documents and their rules, pure.
//! - [`host`]: this machine, each effect behind one door.
//! - [`ledger`]: the shared repository as a small transactional store.
//! - [`ops`]: what the tool can do, one verb each, no printing.
//! - [`worker`]: claims jobs, runs them and reports; everything of a build server in one process.
//! - [`sim`]: the simulator, which runs all of these but the last on hosts that do not exist.
//! - [`cli`]: the command line, which builds everything and prints.

pub mod cli;
pub mod domain;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod host;
pub mod ledger;
pub mod ops;
pub mod sim;
pub mod worker;
