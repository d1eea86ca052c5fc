//! The documents of a hub and the rules that govern them.
//!
//! Everything here is pure: no clock, no randomness, no environment, no files, no git. The same
//! code therefore runs in the command line, in a worker, in a server and in a simulator. What a
//! rule needs to know of the world (the time, an id, what was observed) is handed to it.

pub mod allow;
pub mod artifact;
pub mod audit;
pub mod bad_branch;
pub mod build_config;
pub mod clocks;
pub mod code;
pub mod doctor;
pub mod finding;
pub mod health;
pub mod heartbeat;
pub mod high_water;
pub mod hub;
pub mod id;
pub mod import;
pub mod job;
pub mod json;
pub mod lease;
pub mod lenient;
pub mod lock;
pub mod message;
pub mod pause;
pub mod planted;
pub mod queue;
pub mod record;
pub mod ref_lock;
pub mod refusal;
pub mod secret;
pub mod server;
pub mod set_aside;
pub mod shell;
pub mod spelled;
pub mod statistics;
pub mod status;
pub mod table;
pub mod tables;
pub mod time;
pub mod twin;
