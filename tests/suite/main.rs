//! The tests with real processes, real git and real servers, as one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop at once, and starts processes itself"
)]

mod support;

// The house: layers, lengths, generated files.
mod tidy;
// One hub, one command after the other.
mod smoke;
// Every verb as a user meets it: answer, words beside it, exit code.
mod commands;
// Documents of old hubs: what was not to change keeps its bytes.
mod golden;
