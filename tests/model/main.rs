//! The rules of leases, jobs and operations, tried in every order that is possible.
//!
//! Each model is a few hosts, one hub that compares before it moves, and whatever can go wrong
//! between them: answers that get lost, pushes that arrive late, holders that pause, crash or
//! start again, clocks that run at different speeds. What decides is the program's own code
//! (`Lock`, `Job`, `Heartbeat`, `patience`, `trust`); what surrounds it, the update loop and the
//! watching, is written here again in small. stateright visits every state within the bounds.
//!
//! A model that cannot fail says nothing. So each also runs with one rule broken, and then the
//! checker must find what goes wrong.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a model may stop at once, and says how many states it visited in which time"
)]

// Running the checker, and what it must say.
mod explore;
// Clocks that run at different speeds, in ticks.
mod clock;
// Locks: trust, take-over, tokens, guarded writes.
mod lease;
// Jobs: claims, beats, rescue, reports.
mod session;
// The lock file of a ref, and programs that stand still with it.
mod ref_lock;
// One operation, ambiguous pushes, `op resume`.
mod operation;
