//! The words for every refusal: what a person reads, and which command helps.
//!
//! The one place where a refusal becomes English. Both matches name each refusal, so that a new one does
//! not compile without a sentence and a thought about its hint. Nothing is decided here.

mod hint;
pub(super) mod lost;
mod sentence;

pub(super) use hint::hint;
pub(super) use sentence::{says_unwritten, sentence};

#[cfg(test)]
mod tests;
