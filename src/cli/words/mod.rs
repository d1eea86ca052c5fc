//! The words for every refusal and every finding: what a person reads, and which command helps.
//!
//! The one place where a refusal becomes English, and what is found. Each match names each of them, so that a
//! new one does not compile without a sentence and a thought about its hint. Nothing is decided here.

pub(super) mod finding;
mod fleet;
mod hint;
mod hub;
pub(super) mod lost;
pub(super) mod repair;
mod sentence;

pub(super) use fleet::clock_off;
pub(super) use hint::hint;
pub(super) use sentence::{says_unwritten, sentence};

#[cfg(test)]
mod tests;
