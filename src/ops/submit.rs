//! From a verb to its outcome: an operation that is kept until the outcome is known, and taken up
//! again when it stayed unknown.

use super::journal::{self, Entry};
use super::{Envelope, Operation, Verb};
use crate::domain::id::OpId;
use crate::domain::planted::planted;
use crate::host::failpoint::failpoint;
use crate::host::files::FileError;
use crate::host::{clock, random};
use crate::ledger::{Ledger, LedgerError, Outcome, Stop, Transaction};
use serde_json::Value;

/// Where an operation goes, as it is kept for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The hub, as it was named.
    pub hub: String,
    /// Its branch.
    pub branch: String,
}

/// Applies `verb` under a new op id. Over a connection it is kept before the first attempt; `warn`
/// is told when it cannot be.
///
/// # Errors
/// When the hub cannot be reached or refuses, or a document cannot be used.
pub fn submit<V: Verb + Clone + Into<Operation>>(
    ledger: &mut Ledger,
    place: &Place,
    envelope: &Envelope,
    verb: &V,
    warn: impl FnOnce(FileError),
) -> Result<Outcome<V::Answer>, LedgerError> {
    let kept = (envelope, verb.clone().into());
    submit_as(ledger, place, kept, |transaction| envelope.apply(verb, transaction), warn)
}

/// The same with something along in the same push that need not be taken up again: `apply` is all of
/// it, `kept` what is kept.
///
/// # Errors
/// As [`submit`].
pub fn submit_as<A: 'static>(
    ledger: &mut Ledger,
    place: &Place,
    (envelope, operation): (&Envelope, Operation),
    apply: impl Fn(&mut Transaction<'_>) -> Result<A, Stop>,
    warn: impl FnOnce(FileError),
) -> Result<Outcome<A>, LedgerError> {
    let op = OpId::new(&random::id()).expect("an id of ours is one");
    let now = clock::wall();
    let entry = ledger.is_remote().then(|| Entry {
        op: op.clone(),
        hub: place.hub.clone(),
        branch: place.branch.clone(),
        since: ledger.known_tip(),
        at: now,
        envelope: envelope.clone(),
        operation,
    });
    // Kept until the outcome is known: nobody may take the operation up meanwhile.
    let _kept = match entry.as_ref().map(journal::open) {
        Some(Ok(kept)) => kept,
        Some(Err(error)) => {
            warn(error);
            None
        }
        None => None,
    };
    failpoint("kept");
    let outcome = ledger.update_one(op.clone(), now, apply);
    failpoint("known");
    if entry.is_some() && !matches!(outcome, Ok(Outcome::Unknown { .. })) {
        journal::close(&op);
    }
    failpoint("closed");
    outcome
}

/// Makes an operation happen that was kept, unless it has: then the answer is `None`. The caller
/// holds the entry's lock.
///
/// # Errors
/// As [`submit`].
pub fn resume(ledger: &mut Ledger, entry: &Entry) -> Result<Outcome<Option<Value>>, LedgerError> {
    // Asked on every attempt: what was sent then may still be on its way and land before us.
    let outcome = ledger.update_one(entry.op.clone(), entry.at, |transaction| {
        if !planted("resumed-unseen") && transaction.has_happened(entry.since.as_ref())? {
            return Ok(None);
        }
        if let Operation::SetStatus(status) = &entry.operation {
            status.refuse_if_outdated(transaction)?;
        }
        entry.envelope.apply(&entry.operation, transaction).map(Some)
    });
    // Whatever else came of it, such as a hub that is away, it can be taken up again.
    if matches!(outcome, Ok(Outcome::Applied(_) | Outcome::Refused(_))) && !ledger.is_dry_run() {
        journal::close(&entry.op);
    }
    outcome
}
