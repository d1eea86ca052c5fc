//! The answer "no": an operation understood its request and the state of the hub forbids it.
//!
//! A refusal is an answer and not a fault: it is final on the documents it was computed on, it is
//! never retried, and nothing was written.

use serde::{Deserialize, Serialize};

/// What sort of no it is; the command line turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// What was asked for does not exist.
    NotFound,
    /// There is nothing to do: no job to claim, the question is answered no.
    Nothing,
    /// Held by another, a wrong token, an illegal transition, a failed precondition.
    Forbidden,
    /// The caller's own lease is lost: its token is from an earlier term.
    LeaseLost,
    /// The request itself is not acceptable, whatever the hub holds.
    Invalid,
}

/// A refused operation: what sort of no, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What sort of no.
    pub kind: RefusalKind,
    /// One sentence without a final period: what stands in the way.
    pub why: String,
    /// What the user can do about it, if there is something; may name a command in backticks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(kind: RefusalKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), hint: None }
    }

    /// What was asked for does not exist.
    #[must_use]
    pub fn not_found(why: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotFound, why)
    }

    /// Held by another, a wrong token, an illegal transition.
    #[must_use]
    pub fn forbidden(why: impl Into<String>) -> Self {
        Self::new(RefusalKind::Forbidden, why)
    }

    /// The caller's term is over.
    #[must_use]
    pub fn lease_lost(why: impl Into<String>) -> Self {
        Self::new(RefusalKind::LeaseLost, why)
    }

    /// The request is not acceptable.
    #[must_use]
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::new(RefusalKind::Invalid, why)
    }

    /// The same refusal with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
