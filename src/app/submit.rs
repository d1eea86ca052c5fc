//! From a verb to its outcome: an operation that is kept until the outcome is known, and taken up
//! again when it stayed unknown.

use crate::app::commands::beat::BeatAnswer;
use crate::app::commands::job_claim::ClaimJobs;
use crate::app::commands::job_step::StepJob;
use crate::app::commands::{Operation, Piggyback, Write, WriteCommand, WriteOptions, WriteWith};
use crate::app::journal::{self, JournalEntry, KeepError, TakenEntry};
use crate::app::session::{Session, SessionKey};
use crate::app::stale::RestoredDocuments;
use crate::app::standing::{Standing, refuse_if_changed, standing};
use crate::domain::heartbeat::Beat;
use crate::domain::id::{OpId, ServerName};
use crate::domain::planted::planted;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Apply, Ledger, LedgerError, Outcome, Request, RequestResult, Transaction};
use crate::machine::file_lock::FileLock;
use crate::machine::{Machine, asked};
use serde_json::Value;

/// For how long an operation is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepFor {
    /// While its outcome is not known, which on a hub on this disk takes no time.
    WhileUnknown,
    /// Until [`journal::deliver`] says that the caller has its answer, on any hub: a process that is
    /// killed while it prints must not take the token of a lock with it.
    UntilDelivered,
}

/// Where an operation goes, as it is kept for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRef {
    /// The hub, as it was named.
    pub hub: String,
    pub branch: String,
    /// The name of the hub on this host, of `hubs`.
    pub name: String,
}

impl HubRef {
    /// As observations name it: what is watched in one hub is nothing seen in another.
    #[must_use]
    pub fn watched(&self) -> String {
        format!("{} {}", self.name, self.branch)
    }

    /// Whose session `server` has on this machine.
    #[must_use]
    pub fn whose(&self, machine: &Machine, server: &ServerName) -> SessionKey {
        SessionKey { machine: machine.clone(), hub: self.name.clone(), server: server.clone() }
    }

    /// Whether an operation is one of this hub. Versions before kept its address alone.
    #[must_use]
    pub fn is_of(&self, entry: &JournalEntry) -> bool {
        let is_hub = match &entry.name {
            Some(name) => *name == self.name,
            None => entry.hub == self.hub,
        };
        is_hub && entry.branch == self.branch
    }
}

/// Applies `verb` under a new op id, which `warn` is told when it cannot be kept before the first
/// attempt.
///
/// # Errors
/// When the hub cannot be reached or refuses, or a document cannot be used.
pub fn submit<V: WriteCommand + Clone + Into<Operation>>(
    ledger: &mut Ledger,
    place: &HubRef,
    envelope: &WriteOptions,
    (verb, keep): (&V, KeepFor),
    warn: impl FnOnce(KeepError),
) -> Result<Outcome<V::Answer>, LedgerError> {
    let begun = BegunOperation::new(ledger, place, (envelope, verb.clone().into()), keep, warn);
    begun.run(ledger, Write { envelope: envelope.clone(), verb })
}

/// What a write answers, and what a sign of life that went along with it told.
pub type AnswerWithBeat<A> = (A, Option<BeatAnswer>);

/// The same with something `along` in the same push that need not be taken up again.
///
/// # Errors
/// As [`submit`].
pub fn submit_with<V: WriteCommand + Clone + Into<Operation>>(
    ledger: &mut Ledger,
    place: &HubRef,
    envelope: &WriteOptions,
    (verb, along): (&V, Piggyback),
    warn: impl FnOnce(KeepError),
) -> RequestResult<AnswerWithBeat<V::Answer>> {
    let begun =
        BegunOperation::new(ledger, place, (envelope, verb.clone().into()), KeepFor::WhileUnknown, warn);
    begun.run(ledger, WriteWith { write: Write { envelope: envelope.clone(), verb }, along })
}

fn entry(
    ledger: &Ledger,
    place: &HubRef,
    (op, at): (&OpId, Timestamp),
    (envelope, operation): (&WriteOptions, Operation),
) -> JournalEntry {
    JournalEntry {
        op: op.clone(),
        hub: place.hub.clone(),
        branch: place.branch.clone(),
        name: Some(place.name.clone()),
        since: ledger.known_tip(),
        seen: None,
        at,
        envelope: envelope.clone(),
        operation,
        answer: None,
    }
}

/// Keeps a report of a job that could not be sent: under its token it counts as long as the job is still
/// its server's. One that is kept already keeps its id.
///
/// # Errors
/// When it cannot be kept.
pub fn keep_for_later(
    ledger: &Ledger,
    place: &HubRef,
    (envelope, step): (&WriteOptions, StepJob),
) -> Result<OpId, KeepError> {
    if let Some((op, _)) =
        kept_reports(ledger.machine(), place, &step.server).into_iter().find(|(_, kept)| *kept == step)
    {
        return Ok(op);
    }
    let machine = ledger.machine();
    let op = OpId::new(&machine.id()).expect("an id of ours is one");
    journal::open(machine, &entry(ledger, place, (&op, machine.wall()), (envelope, step.into())))?;
    Ok(op)
}

/// The reports of `server` that were not sent, or of which nobody knows whether they were, oldest first.
#[must_use]
pub fn kept_reports(machine: &Machine, place: &HubRef, server: &ServerName) -> Vec<(OpId, StepJob)> {
    let entries = journal::unsettled(machine).into_iter().filter_map(|op| journal::find(machine, &op));
    let report = |entry: JournalEntry| match &entry.operation {
        Operation::StepJob(step)
            if step.server == *server && place.is_of(&entry) && entry.operation.is_harmless_late() =>
        {
            Some((entry.op.clone(), step.clone()))
        }
        _ => None,
    };
    entries.filter_map(report).collect()
}

/// Forgets a report that was kept, as it was sent otherwise by now.
pub fn forget_kept(machine: &Machine, place: &HubRef, step: &StepJob) {
    for (op, _) in kept_reports(machine, place, &step.server).into_iter().filter(|(_, kept)| kept == step) {
        // Whoever is at it settles it.
        if let TakenEntry::Ours(..) = journal::take(machine, &op) {
            journal::close(machine, &op);
        }
    }
}

/// Sends the reports of `server` that were kept for the hub at `place`, which has this id, and tells what became
/// of each, refusals in the words of a front end; one that the hub does not take now stays.
pub fn send_kept(
    ledger: &mut Ledger,
    (place, id): (&HubRef, Option<String>),
    server: &ServerName,
    tell: &dyn Fn(&str),
    words: &dyn Fn(&Refusal) -> String,
) {
    let machine = ledger.machine().clone();
    let mut reports = kept_reports(&machine, place, server);
    reports.reverse();
    if !reports.is_empty() {
        // That another hub, in the place of theirs by now, does not know their jobs is no answer about them.
        ledger.bind(id);
    }
    while let Some((op, step)) = reports.pop() {
        // Whoever is at it sends it.
        let TakenEntry::Ours(entry, _kept) = journal::take(&machine, &op) else { continue };
        match resume(ledger, &entry, KeepFor::WhileUnknown) {
            Ok(Outcome::Applied(_)) => {
                tell(&format!("the end of job `{}`, which could not be reported, is reported now", step.job));
            }
            Ok(Outcome::Refused(refusal)) => {
                let words = words(&refusal);
                tell(&words);
                if let Some(instead) = step.step.instead(&refusal, &words) {
                    let step = StepJob { step: instead, ..step };
                    match keep_for_later(ledger, place, (&entry.envelope, step.clone())) {
                        Ok(op) => reports.push((op, step)),
                        Err(error) => tell(&error.to_string()),
                    }
                }
            }
            Ok(Outcome::Contended { .. } | Outcome::Unknown { .. }) | Err(_) => return,
        }
    }
}

/// An operation that was given its id.
struct BegunOperation {
    op: OpId,
    now: Timestamp,
    keep: KeepFor,
    is_kept: bool,
    /// Nobody may take the operation up meanwhile.
    _lock: Option<FileLock>,
}

impl BegunOperation {
    fn new(
        ledger: &Ledger,
        place: &HubRef,
        (envelope, operation): (&WriteOptions, Operation),
        keep: KeepFor,
        warn: impl FnOnce(KeepError),
    ) -> Self {
        // What is kept is closed again when nothing comes of it, whoever asks to end.
        asked::until_told();
        let machine = ledger.machine();
        let op = OpId::new(&machine.id()).expect("an id of ours is one");
        let now = machine.wall();
        let for_answer = keep == KeepFor::UntilDelivered && !ledger.is_dry_run();
        let is_kept = ledger.is_remote() || for_answer;
        let lock = is_kept.then(|| {
            let entry = entry(ledger, place, (&op, now), (envelope, operation));
            // On this disk the outcome is in the hub itself; a boot ends the sessions that hold jobs.
            if ledger.is_remote() {
                journal::open(machine, &entry)
            } else {
                journal::open_until_boot(machine, &entry)
            }
        });
        let lock = match lock {
            Some(Ok(lock)) => lock,
            Some(Err(error)) => {
                warn(error);
                None
            }
            None => None,
        };
        Self { op, now, keep, is_kept, _lock: lock }
    }

    fn run<W: Apply>(self, ledger: &mut Ledger, what: W) -> Result<Outcome<W::Answer>, LedgerError> {
        let machine = ledger.machine().clone();
        machine.failpoint("kept");
        let outcome = ledger.write(Request { op: self.op.clone(), now: self.now, author: None, what });
        machine.failpoint("known");
        let is_open = match outcome {
            Ok(Outcome::Unknown { .. }) => {
                journal::note_seen(&machine, &self.op, ledger.known_tip());
                true
            }
            Ok(Outcome::Applied(_)) => self.keep == KeepFor::UntilDelivered && !ledger.is_dry_run(),
            _ => false,
        };
        if self.is_kept && !is_open {
            journal::close(&machine, &self.op);
        }
        machine.failpoint("closed");
        outcome
    }
}

/// What was kept of an operation, as the present session of its server does it: what its beats say of the
/// server is so now.
#[must_use]
pub fn in_present_session(machine: &Machine, entry: &JournalEntry) -> (WriteOptions, Operation) {
    let present = |server: &ServerName| {
        let hub = entry.name.clone()?;
        let whose = SessionKey { machine: machine.clone(), hub, server: server.clone() };
        Some((Session::present(&whose), whose))
    };
    let beat_now = |beat: &mut Beat| {
        if let Some((session, whose)) = present(&beat.server) {
            // Whoever pushes every few beats only is to be trusted for as long as that takes.
            let interval_seconds = session.interval_seconds.max(beat.interval_seconds);
            *beat = Beat { interval_seconds, ..session.beat(&whose, None) };
        }
    };
    let (mut envelope, mut operation) = (entry.envelope.clone(), entry.operation.clone());
    envelope.beat.iter_mut().for_each(beat_now);
    match &mut operation {
        Operation::ClaimJobs(ClaimJobs { claimant, .. }) => {
            if let Some((session, _)) = present(&claimant.server) {
                claimant.incarnation = session.incarnation;
            }
        }
        Operation::SendBeat(sent) => beat_now(&mut sent.beat),
        _ => {}
    }
    (envelope, operation)
}

/// A kept operation that is to happen now, if it did not then.
struct ResumedOperation<'a> {
    entry: &'a JournalEntry,
    envelope: &'a WriteOptions,
    operation: &'a Operation,
    /// How it stood when it was asked for.
    then: Option<Standing>,
}

impl Apply for ResumedOperation<'_> {
    type Answer = Option<Value>;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Option<Value>, Abort> {
        // Asked on every attempt: what was sent then may still be on its way and land before us.
        if !planted("resumed-unseen") && transaction.has_happened(self.entry.since.as_ref())? {
            return Ok(None);
        }
        let check = |transaction: &Transaction<'_>| {
            if let Operation::SetStatus(status) = self.operation {
                status.refuse_if_outdated(self.entry.at, transaction)?;
            }
            refuse_if_changed(&self.entry.operation, self.then.as_ref(), transaction)
        };
        self.envelope.apply_after(check, self.operation, transaction).map(Some)
    }
}

/// Makes an operation happen that was kept, unless it has: then the answer is `None`. The caller
/// holds the entry's lock.
///
/// # Errors
/// As [`submit`].
pub fn resume(
    ledger: &mut Ledger,
    entry: &JournalEntry,
    keep: KeepFor,
) -> Result<Outcome<Option<Value>>, LedgerError> {
    // A claim of a session that another has taken the place of would be over.
    let (envelope, operation) = in_present_session(ledger.machine(), entry);
    resume_as(ledger, entry, (&envelope, &operation), keep)
}

/// [`resume`] with what is to happen now.
///
/// # Errors
/// As [`submit`].
pub fn resume_as(
    ledger: &mut Ledger,
    entry: &JournalEntry,
    (envelope, operation): (&WriteOptions, &Operation),
    keep: KeepFor,
) -> Result<Outcome<Option<Value>>, LedgerError> {
    // How it stood when it was asked for; what cannot be read is not known.
    let seen = entry.seen.as_ref().or(entry.since.as_ref());
    let then = seen.and_then(|since| {
        let documents = ledger.at(since);
        RestoredDocuments::default().show(&documents).ok()?;
        standing(&entry.operation, &documents).ok()?
    });
    // It happens now, if it did not then: a lease that began hours ago would be over.
    let outcome = ledger.write(Request {
        op: entry.op.clone(),
        now: ledger.machine().wall(),
        author: None,
        what: ResumedOperation { entry, envelope, operation, then },
    });
    // Whatever else came of it, such as a hub that is away, it can be taken up again.
    let is_over = match outcome {
        Ok(Outcome::Applied(_)) => keep == KeepFor::WhileUnknown,
        Ok(Outcome::Refused(_)) => true,
        _ => false,
    };
    if is_over && !ledger.is_dry_run() {
        journal::close(ledger.machine(), &entry.op);
    }
    outcome
}
