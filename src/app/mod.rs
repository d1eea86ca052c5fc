//! The floor on which every front end stands: the command line, the worker, the simulator.
//!
//! - [`commands`] change the hub, each a value that can be kept and taken up again.
//! - [`queries`] ask it, each a value that is answered from one version.
//! - [`events`] tell what changed between two versions.
//! - [`flows`] are what takes several reads and writes, as state machines that others drive.
//! - [`client`] is one hub as one process uses it.
//!
//! A front end decides how something is asked for and how it is told, and nothing else. Nothing
//! here prints.

pub mod answer;
pub mod archived;
pub mod client;
pub mod commands;
pub mod documents;
pub mod events;
pub mod every;
pub mod explain;
pub mod flows;
pub mod fsck;
#[cfg(test)]
mod held;
pub mod import;
pub mod journal;
pub mod machine;
pub mod observations;
pub mod queries;
pub mod session;
pub mod signs;
pub mod stale;
pub mod standing;
pub mod submit;
pub mod takeover;
