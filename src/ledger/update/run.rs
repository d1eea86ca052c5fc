//! What one update knows between its attempts, and what is told in the end.

use super::{AnyAnswer, Request};
use crate::domain::planted::planted;
use crate::domain::refusal::Refusal;
use crate::ledger::error::LedgerError;
use crate::ledger::far_side::Reason;
use crate::ledger::one_hub::OneHub;
use crate::ledger::outcome::{Locked, Outcome, Receipt};
use crate::ledger::pace::Pace;
use crate::ledger::vocabulary::{Move, Scope, Tips};
use crate::machine::asked;
use crate::machine::clock::Deadline;

/// How often it is asked again when our copy has no main branch: another process of this host may have
/// begun it anew meanwhile. And how often while a push is in doubt, when that must not be mistaken.
const BRANCHLESS_LOOKS_MAX: (u32, u32) = (1, 5);

/// One attempt, built and ready, or sent with an unknown outcome.
pub(super) struct Attempt {
    pub(super) moves: Vec<Move>,
    /// Whether a move leaves the history of its branch.
    pub(super) replaces: bool,
    /// Which hub it is once it has it.
    pub(super) one_hub: OneHub,
    pub(super) results: Vec<Result<AnyAnswer, Refusal>>,
}

/// The state of one update between its attempts.
pub(super) struct Run {
    pub(super) pace: Pace,
    pub(super) fresh: bool,
    /// How often our copy was begun anew.
    pub(super) healings: u32,
    /// How often it was asked again although our copy was fresh and had no main branch.
    pub(super) branchless: u32,
    pub(super) attempts: u32,
    /// Whether the last attempt found a branch locked.
    pub(super) locked: Locked,
    pub(super) unreachable: u32,
    /// Which branches a refresh must bring: what the operations looked at.
    pub(super) scope: Scope,
    /// Whether branches that are replaced must be appended to instead.
    pub(super) append: bool,
    /// Attempts of which nobody knows what became.
    pub(super) sent: Vec<Attempt>,
    /// Where the branches were in which what was sent was looked for.
    pub(super) tips: Tips,
    /// Attempts of which the hub said that another was faster, over a transport that repeats.
    pub(super) turned_down: Vec<Attempt>,
    /// Whether nobody looked since for the last of them.
    pub(super) doubted_push: bool,
    pub(super) why: String,
    /// What was said of the last of what was sent, if that is a no.
    pub(super) refusal: Option<Reason>,
    pub(super) deadline: Deadline,
}

impl Run {
    /// Before the first attempt; `fresh`: what is known of the hub is what it has.
    pub(super) fn new(fresh: bool, deadline: Deadline) -> Self {
        Self {
            pace: if fresh { Pace::local() } else { Pace::network() },
            fresh,
            healings: 0,
            branchless: 0,
            attempts: 0,
            locked: Locked::No,
            unreachable: 0,
            scope: Scope::default(),
            append: false,
            sent: Vec::new(),
            tips: Tips::new(),
            turned_down: Vec::new(),
            doubted_push: false,
            why: String::new(),
            refusal: None,
            deadline,
        }
    }

    /// Whether the hub is to be asked once more for its main branch, which our copy does not have. Where a
    /// push may have landed that is told as stale it has to be sure; then nothing of that push is there.
    pub(super) fn asks_for_branch_again(&mut self) -> bool {
        let (usual, doubted) = BRANCHLESS_LOOKS_MAX;
        self.branchless += 1;
        let asks = self.branchless <= if self.doubted_push { doubted } else { usual };
        self.doubted_push &= asks;
        asks
    }

    /// Ends with a fault, unless something was sent: that may still land, and then no error may
    /// claim that nothing was written.
    pub(super) fn fail(
        &mut self,
        error: LedgerError,
        requests: &[Request<'_>],
    ) -> Result<Vec<Outcome<AnyAnswer>>, LedgerError> {
        if !self.is_unsettled() {
            // What was cut short looks like many a fault.
            return Err(if asked::is_cut() { LedgerError::AskedToEnd } else { error });
        }
        self.why = format!("{}; then: {error}", self.why);
        Ok(self.give_up(requests))
    }

    /// Whether something was sent of which nobody knows yet what became.
    pub(super) fn is_unsettled(&self) -> bool {
        !planted("unknown-is-no") && (self.doubted_push || !self.sent.is_empty())
    }

    pub(super) fn give_up(&self, requests: &[Request<'_>]) -> Vec<Outcome<AnyAnswer>> {
        requests
            .iter()
            .map(|request| {
                if !self.is_unsettled() {
                    Outcome::Contended {
                        attempts: self.attempts,
                        waited: self.pace.waited(),
                        locked: self.locked.clone(),
                    }
                } else {
                    Outcome::Unknown { op: request.op.clone(), why: self.why.clone() }
                }
            })
            .collect()
    }
}

impl Attempt {
    /// Whether it says no, or that there is nothing to do: true only on fresh documents.
    pub(super) fn is_doubtful(&self) -> bool {
        self.moves.is_empty() || self.results.iter().any(Result::is_err)
    }

    pub(super) fn outcomes(self, requests: &[Request<'_>], attempts: u32) -> Vec<Outcome<AnyAnswer>> {
        let version = self.moves.first().map(|one| one.to.clone());
        requests
            .iter()
            .zip(self.results)
            .map(|(request, result)| match result {
                Ok(answer) => Outcome::Applied(Receipt {
                    answer,
                    op: request.op.clone(),
                    version: version.clone(),
                    attempts,
                }),
                Err(refusal) => Outcome::Refused(refusal),
            })
            .collect()
    }
}
