//! What becomes of an operation: four ways, of which only one means that the hub has it.

use super::vocabulary::{HeldRefLock, Version};
use crate::domain::id::OpId;
use crate::domain::refusal::Refusal;
use std::time::Duration;

/// What became of one operation.
#[derive(Debug)]
#[must_use = "an operation is done only when its outcome says so"]
pub enum Outcome<A> {
    /// The hub has it.
    Applied(Receipt<A>),
    /// The answer is no; nothing was written.
    Refused(Refusal),
    /// Others were faster until the time was up; nothing was written.
    Contended {
        /// How often it was tried.
        attempts: u32,
        /// How long it paused between the tries.
        waited: Duration,
        /// Whether the last try found a branch locked.
        locked: Locked,
    },
    /// The hub may or may not have it.
    Unknown {
        /// By what it can be settled later.
        op: OpId,
        /// What happened.
        why: String,
    },
}

impl<A> Outcome<A> {
    /// The same with what the answer `becomes`.
    pub fn map<B>(self, becomes: impl FnOnce(A) -> B) -> Outcome<B> {
        match self {
            Self::Applied(receipt) => Outcome::Applied(Receipt {
                answer: becomes(receipt.answer),
                op: receipt.op,
                version: receipt.version,
                attempts: receipt.attempts,
            }),
            Self::Refused(refusal) => Outcome::Refused(refusal),
            Self::Contended { attempts, waited, locked } => Outcome::Contended { attempts, waited, locked },
            Self::Unknown { op, why } => Outcome::Unknown { op, why },
        }
    }

    /// Whether the hub has it.
    pub(super) fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }
}

/// Whether a branch of the hub was locked by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locked {
    /// It was not.
    No,
    /// Where the hub is, out of our sight.
    There,
    /// On this disk, and this is known of it.
    Here(HeldRefLock),
}

/// The proof that an operation was applied.
#[derive(Debug, Clone)]
pub struct Receipt<A> {
    /// What the operation answers.
    pub answer: A,
    /// Its id.
    pub op: OpId,
    /// The version that holds it; `None` when nothing had to change.
    pub version: Option<Version>,
    /// How often it was tried.
    pub attempts: u32,
}
