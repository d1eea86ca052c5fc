//! One hub as a front end uses it: the ledger, where this host keeps what it keeps of the hub, what reads
//! show, and what was watched there.
//!
//! The command line, the worker and the simulator each have one and reach the hub by nothing else. It prints
//! nothing: what its user is to know is handed over. It opens no store: a ledger is handed in.

#![warn(missing_docs)]

use crate::app::commands::job_step::StepJob;
use crate::app::commands::{Operation, Piggyback, WriteCommand, WriteOptions};
use crate::app::journal::KeepError;
use crate::app::observations::Observations;
use crate::app::session::{Session, SessionKey};
use crate::app::stale::{RestoredDocuments, UndoneWrites};
use crate::app::submit::{self, AnswerWithBeat, HubRef, KeepFor, submit, submit_with};
use crate::app::takeover::Watch;
use crate::domain::id::{OpId, ServerName};
use crate::domain::refusal::Refusal;
use crate::ledger::{Abort, Ledger, LedgerError, Outcome, Snapshot};
use crate::machine::Machine;

/// One hub, as one process uses it.
pub struct Client {
    ledger: Ledger,
    place: Option<HubRef>,
    restored: RestoredDocuments,
    observed: Option<Observations>,
}

impl Client {
    /// Of the hub that `ledger` is, of which nothing can be kept or watched before its place is settled.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, place: None, restored: RestoredDocuments::default(), observed: None }
    }

    /// The same where the place is known.
    #[must_use]
    pub fn at(place: HubRef, ledger: Ledger) -> Self {
        Self { place: Some(place), ..Self::new(ledger) }
    }

    /// From now on what is kept here of the hub is kept under this.
    pub fn settle(&mut self, place: HubRef) {
        self.place = Some(place);
    }

    /// Under what this host keeps what it keeps of the hub, once it is known.
    #[must_use]
    pub fn place(&self) -> Option<&HubRef> {
        self.place.as_ref()
    }

    fn settled(&self) -> &HubRef {
        self.place.as_ref().expect("the place is settled before anything is kept of a hub")
    }

    /// The machine on which this process runs.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        self.ledger.machine()
    }

    /// The store, for what is neither a read nor a write of its documents.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// What the user should know and did not ask for; each is given once.
    pub fn take_notes(&mut self) -> Vec<String> {
        self.ledger.take_notes()
    }

    /// Reads the hub as it is now, with what the next write puts back in it.
    ///
    /// # Errors
    /// As `read`, or when the hub cannot be reached.
    pub fn read<R, E: From<Abort>>(
        &mut self,
        heartbeats: bool,
        read: impl Fn(&Snapshot<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let Self { ledger, restored, .. } = self;
        read_again(ledger, heartbeats, |snapshot| {
            restored.show(snapshot)?;
            read(snapshot)
        })
    }

    /// Reads the hub as it was published.
    ///
    /// # Errors
    /// As `read`, or when the hub cannot be reached.
    pub fn read_published<R, E: From<Abort>>(
        &mut self,
        heartbeats: bool,
        read: impl Fn(&Snapshot<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        read_again(&mut self.ledger, heartbeats, read)
    }

    /// The same with one more branch.
    ///
    /// # Errors
    /// As [`Client::read_published`].
    pub fn read_with<R, E: From<Abort>>(
        &mut self,
        branch: &str,
        read: impl FnOnce(&Snapshot<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        read(&self.ledger.read_with(branch).map_err(Abort::from)?)
    }

    /// Reads the hub as it was read or written last, without asking it.
    ///
    /// # Errors
    /// As `read`.
    pub fn recall<R, E: From<Abort>>(
        &mut self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let snapshot = self.ledger.known();
        self.restored.show(&snapshot)?;
        read(&snapshot)
    }

    /// What an older writer undid and the next write puts back, where the hub was read last.
    #[must_use]
    pub fn undone(&self) -> &UndoneWrites {
        self.restored.undone()
    }

    /// Applies `verb`, kept as long as `keep` says; `warn` is told when it cannot be kept.
    ///
    /// # Errors
    /// When the hub cannot be reached or refuses, or a document cannot be used.
    pub fn write<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        envelope: &WriteOptions,
        (verb, keep): (&V, KeepFor),
        warn: impl FnOnce(&str),
    ) -> Result<Outcome<V::Answer>, LedgerError> {
        let place = self.settled().clone();
        submit(&mut self.ledger, &place, envelope, (verb, keep), |error| warn(&unkept(&error)))
    }

    /// The same with something `along` in the same push that need not be taken up again.
    ///
    /// # Errors
    /// As [`Client::write`].
    pub fn write_with<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        envelope: &WriteOptions,
        (verb, along): (&V, Piggyback),
        warn: impl FnOnce(&str),
    ) -> Result<Outcome<AnswerWithBeat<V::Answer>>, LedgerError> {
        let place = self.settled().clone();
        submit_with(&mut self.ledger, &place, envelope, (verb, along), |error| warn(&unkept(&error)))
    }

    /// Applies `verb`, which is simply done again if this process dies.
    ///
    /// # Errors
    /// As [`Client::write`].
    pub fn write_unkept<V: WriteCommand>(
        &mut self,
        envelope: &WriteOptions,
        verb: &V,
    ) -> Result<Outcome<V::Answer>, LedgerError> {
        let op = OpId::new(&self.machine().id()).expect("an id of ours is one");
        let now = self.ledger.machine().wall();
        envelope.run(&mut self.ledger, op, now, verb)
    }

    /// Whose session `server` has here.
    #[must_use]
    pub fn whose(&self, server: &ServerName) -> SessionKey {
        self.settled().whose(self.machine(), server)
    }

    /// The session of `server` that goes on here, or a new one.
    #[must_use]
    pub fn session(&self, server: &ServerName) -> Session {
        Session::present(&self.whose(server))
    }

    /// Hands what this host has watched of this hub to `see`, and keeps what that adds.
    pub fn observe<R>(&mut self, see: impl FnOnce(&mut Watch<'_>) -> R) -> R {
        let place = self.settled().watched();
        let machine = self.ledger.machine();
        let observed = self.observed.get_or_insert_with(|| Observations::recall(machine));
        let result = see(&mut Watch { observed, place: &place, now: machine.since_boot() });
        observed.keep();
        result
    }

    /// Keeps a report of a job that could not be sent.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn keep_report(&self, envelope: &WriteOptions, step: StepJob) -> Result<OpId, KeepError> {
        submit::keep_for_later(&self.ledger, self.settled(), (envelope, step))
    }

    /// Sends the reports of `server` that were kept for this hub, which has this `id`, and tells what became of
    /// each, refusals in the words of a front end.
    pub fn send_kept_reports(
        &mut self,
        id: Option<String>,
        server: &ServerName,
        tell: &dyn Fn(&str),
        words: &dyn Fn(&Refusal) -> String,
    ) {
        let place = self.settled().clone();
        submit::send_kept(&mut self.ledger, (&place, id), server, tell, words);
    }

    /// The reports of `server` that are kept.
    #[must_use]
    pub fn kept_reports(&self, server: &ServerName) -> Vec<(OpId, StepJob)> {
        submit::kept_reports(self.machine(), self.settled(), server)
    }

    /// Forgets a report that was kept: the hub has it, or does not want it.
    pub fn forget_report(&self, step: &StepJob) {
        submit::forget_kept(self.machine(), self.settled(), step);
    }
}

/// Reads the hub, and once more where our copy of it was found damaged: what it lacks is fetched again then.
fn read_again<R, E: From<Abort>>(
    ledger: &mut Ledger,
    heartbeats: bool,
    mut read: impl FnMut(&Snapshot<'_>) -> Result<R, E>,
) -> Result<R, E> {
    let mut look = |ledger: &mut Ledger| read(&ledger.read(heartbeats).map_err(Abort::from)?);
    let result = look(ledger);
    if ledger.is_suspect() { look(ledger) } else { result }
}

fn unkept(error: &KeepError) -> String {
    format!("{error}; if the outcome stays unknown, `op resume` will not know it")
}
