//! What one update knows between its attempts, and what is told in the end.

use crate::domain::id::OpId;
use crate::domain::planted::planted;
use crate::ledger::causes::StoreCause;
use crate::ledger::error::{Abort, LedgerError};
use crate::ledger::far_side::Reason;
use crate::ledger::one_hub::OneHub;
use crate::ledger::outcome::{Locked, Outcome, Receipt};
use crate::ledger::pace::Pace;
use crate::ledger::request::{Batch, RequestResult};
use crate::ledger::vocabulary::{Move, Scope, Tips};
use crate::machine::Deadline;
use crate::machine::asked;

/// How often our copy of the hub is begun anew in one update: somebody may clean the new one, too.
const HEALINGS_MAX: u32 = 3;

/// How often it is asked again when our copy has no main branch: another process of this host may have
/// begun it anew meanwhile. And how often while a push is in doubt, when that must not be mistaken.
const BRANCHLESS_LOOKS_MAX: (u32, u32) = (1, 5);

/// One attempt, built and ready, or sent with an unknown outcome.
#[must_use = "it is sent, or it tells what came of each request"]
pub(super) struct Attempt {
    pub(super) moves: Vec<Move>,
    /// Whether a move leaves the history of its branch.
    pub(super) replaces: bool,
    /// Which hub it is once it has it.
    pub(super) one_hub: OneHub,
    /// Of each request the number of its answer, or why there is none.
    pub(super) results: Vec<Result<usize, Abort>>,
}

/// The state of one update between its attempts.
pub(super) struct Run {
    pub(super) pace: Pace,
    pub(super) fresh: bool,
    /// How often our copy was begun anew.
    pub(super) healings: u32,
    /// Whether there is no copy that could be begun anew: what is damaged stays so.
    pub(super) is_incurable: bool,
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
            is_incurable: false,
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

    /// Whether what is damaged may be well in a new copy of the hub.
    pub(super) fn may_heal(&self) -> bool {
        !self.is_incurable && self.healings < HEALINGS_MAX
    }

    /// Whether a fault that one request met is to be mended for all of them, or meets all of them.
    pub(super) fn stops_all(&self, error: &LedgerError) -> bool {
        match error {
            LedgerError::Store { cause, .. } => *cause == StoreCause::Damaged && self.may_heal(),
            error => !error.is_of_one_request(),
        }
    }

    /// Ends all with a fault, unless something was sent.
    pub(super) fn fail(
        &mut self,
        error: LedgerError,
        batch: &Batch<'_>,
    ) -> Result<Vec<RequestResult<usize>>, LedgerError> {
        let error = self.fault(error)?;
        self.why = error;
        Ok(self.give_up(batch))
    }

    /// A fault, unless something was sent: that may still land, and then no error may claim that nothing was
    /// written. Then what is told of it is why the outcome is unknown.
    fn fault(&self, error: LedgerError) -> Result<String, LedgerError> {
        if !self.is_unsettled() {
            // What was cut short looks like many a fault.
            return Err(if asked::is_cut() { LedgerError::AskedToEnd } else { error });
        }
        Ok(format!("{}; then: {error}", self.why))
    }

    /// Whether something was sent of which nobody knows yet what became.
    pub(super) fn is_unsettled(&self) -> bool {
        !planted("unknown-is-no") && (self.doubted_push || !self.sent.is_empty())
    }

    pub(super) fn give_up(&self, batch: &Batch<'_>) -> Vec<RequestResult<usize>> {
        let given_up = |op: &OpId| {
            if !self.is_unsettled() {
                Outcome::Contended {
                    attempts: self.attempts,
                    waited: self.pace.waited(),
                    locked: self.locked.clone(),
                }
            } else {
                Outcome::Unknown { op: op.clone(), why: self.why.clone() }
            }
        };
        batch.heads.iter().map(|head| Ok(given_up(head.op))).collect()
    }
}

impl Attempt {
    /// Whether it says no, or that there is nothing to do: true only on fresh documents.
    pub(super) fn is_doubtful(&self) -> bool {
        self.results.iter().any(|result| match result {
            Ok(_) => self.moves.is_empty(),
            Err(Abort::Refused(_)) => true,
            Err(Abort::Fault(error)) => error.is_of_what_is_known(),
        })
    }

    pub(super) fn outcomes(self, batch: &Batch<'_>, run: &Run) -> Vec<RequestResult<usize>> {
        let (moves, attempts) = (self.moves, run.attempts);
        let version = moves.first().map(|one| &one.to);
        let told = batch.heads.iter().zip(self.results).map(|(head, result)| match result {
            Ok(answer) => {
                let (op, version) = (head.op.clone(), version.cloned());
                Ok(Outcome::Applied(Receipt { answer, op, version, attempts }))
            }
            Err(Abort::Refused(refusal)) => Ok(Outcome::Refused(refusal)),
            Err(Abort::Fault(error)) => {
                run.fault(error).map(|why| Outcome::Unknown { op: head.op.clone(), why })
            }
        });
        told.collect()
    }
}
