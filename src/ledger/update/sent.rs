//! What became of attempts that were sent: looked for in the hub before anything else is done.

use super::{Attempt, Ledger, Run};
use crate::domain::planted::planted;
use crate::ledger::error::LedgerError;
use crate::ledger::request::{Batch, RequestResult};
use crate::machine::asked;

impl Ledger {
    /// What is told when this command was asked to end before its outcome was known.
    pub(super) fn end_as_asked(
        &mut self,
        batch: &Batch<'_>,
        run: &mut Run,
    ) -> Result<Vec<RequestResult<usize>>, LedgerError> {
        // What pushed to a hub on this disk has ended, whole, and a look at it takes no time.
        if run.is_unsettled() && self.engine.is_always_fresh() {
            match self.find_sent(batch, run) {
                Ok(Some(outcomes)) => {
                    asked::has_written();
                    return Ok(outcomes);
                }
                Ok(None) => return Err(LedgerError::AskedToEnd),
                Err(_) => {}
            }
        }
        if run.is_unsettled() {
            return Ok(run.give_up(batch));
        }
        Err(LedgerError::AskedToEnd)
    }

    /// The outcomes of an attempt that turns out to have landed, whatever was said of it. Each
    /// commit is unique by its operation's id, so the commit itself is the proof; of several, which go
    /// together, the first, which the receipt names: a beat that another process sent along with the
    /// same operation is the same commit as ours although what it went along with is not.
    ///
    /// The next attempt follows on the very tips that were searched here: our copy may be moved on
    /// by other processes of this host, and what landed in between would be applied once more.
    pub(super) fn find_sent(
        &mut self,
        batch: &Batch<'_>,
        run: &mut Run,
    ) -> Result<Option<Vec<RequestResult<usize>>>, LedgerError> {
        if let Some(landed) = self.landed(run)? {
            self.one_hub.clone_from(&landed.one_hub);
            self.settle_main();
            return Ok(Some(landed.outcomes(batch, run)));
        }
        // Nothing was searched where there is no branch: our copy may have been begun anew just now.
        run.doubted_push &= run.tips.values().any(Option::is_none);
        Ok(None)
    }

    /// The attempt that the hub has, if it has one.
    fn landed(&self, run: &mut Run) -> Result<Option<Attempt>, LedgerError> {
        run.tips.clear();
        for attempts in [&mut run.sent, &mut run.turned_down] {
            for index in 0..attempts.len() {
                let moves = attempts.get(index).map(|sent| sent.moves.as_slice()).unwrap_or_default();
                for (place, one) in moves.iter().enumerate() {
                    let tip = match run.tips.get(&one.branch) {
                        Some(tip) => tip.clone(),
                        None => self.engine.tip(&one.branch)?,
                    };
                    run.tips.insert(one.branch.clone(), tip.clone());
                    let lands = match tip {
                        Some(tip) if place == 0 => self.engine.leads_to(&one.to, &tip)?,
                        _ => false,
                    };
                    if lands && !planted("lands-unseen") {
                        return Ok(Some(attempts.swap_remove(index)));
                    }
                }
            }
        }
        Ok(None)
    }
}
