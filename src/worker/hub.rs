//! The hub as the dispatcher uses it: one ledger, this server's session and its signs of life.

use super::Reporter;
use crate::app::client::Client;
use crate::app::commands::beat::{BeatAnswer, SendBeat};
use crate::app::commands::job_log::WriteLogs;
use crate::app::commands::job_step::StepJob;
use crate::app::commands::{Operation, Piggyback, WriteCommand, WriteOptions};
use crate::app::flows::Failure;
use crate::app::flows::session::{Event, Sender, SessionFlow, Step};
use crate::app::journal::KeepError;
use crate::app::session::{Session, SessionKey};
use crate::app::submit::HubRef;
use crate::app::takeover::Watch;
use crate::domain::heartbeat::{Beat, INTERVAL_ASSUMED, LEASE_INTERVALS};
use crate::domain::id::{OpId, ServerName};
use crate::domain::refusal::Refusal;
use crate::git::hubs;
use crate::ledger::{Abort, Ledger, LedgerError, Outcome, Snapshot};
use crate::machine::Deadline;
use crate::machine::Machine;
use std::time::Duration;

/// How long one write or look may take: no longer, for a worker must not be deaf, and no shorter,
/// for it must outwait a lock that a killed process left in the hub.
const BUDGET: Duration = Duration::from_secs(12);

/// What came of a write.
#[derive(Debug)]
pub(super) enum WriteResult<A> {
    /// The hub has it.
    Done(A),
    /// It said no: nothing was written.
    Refused(Refusal),
    /// It may be so later.
    Later(String),
}

/// One hub, one server.
pub struct WorkerHub {
    client: Client,
    server: ServerName,
    whose: SessionKey,
    session: Session,
    interval: Duration,
    /// What the server said of its signs of life before it had this worker, in seconds.
    interval_before: u64,
    /// When it gives signs of life, and until when nobody else may take what the session holds.
    beats: SessionFlow,
    /// When the next one is due after the last.
    rest: Duration,
    /// Pushes that were sent and not asked for yet.
    pushes: u32,
    /// What a sign of life told that went along with a write, if that was not asked for yet.
    beaten: Option<bool>,
    /// Whether it was said that another machine beats as this server.
    is_twin_told: bool,
    /// Whether it was said that another hub is where this one was.
    is_other_told: bool,
    /// Whether what is known of the hub was read right before, and need not be asked for again.
    is_read: bool,
}

/// Which sign of life goes along with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignOfLife<'a> {
    None,
    Next,
    /// The last: this worker ends, because of that.
    Last(&'a str),
}

impl WorkerHub {
    /// `ledger` is the hub at `place`; `server` beats every `interval` there. Of the server is said what was
    /// told before, if that is a longer one and `keeps` says so: nobody goes on with that of a worker which
    /// ends with its job.
    #[must_use]
    pub fn new(
        mut ledger: Ledger,
        place: HubRef,
        server: ServerName,
        (interval, keeps): (Duration, bool),
        is_read: bool,
    ) -> Self {
        ledger.limit(BUDGET);
        // What is kept here is of that hub, and so are its jobs.
        ledger.bind(hubs::id_of(&place.name));
        let client = Client::at(place, ledger);
        let whose = client.whose(&server);
        let mut session = Session::present(&whose);
        let before = session.interval_seconds;
        // The first is assumed: nobody told it.
        let is_told = before > INTERVAL_ASSUMED.as_secs();
        session.interval_seconds = interval.as_secs().max(if keeps && is_told { before } else { 1 });
        Self {
            client,
            server,
            whose,
            session,
            interval,
            interval_before: before,
            beats: SessionFlow::new(Sender::Worker(interval), interval.saturating_mul(LEASE_INTERVALS)),
            rest: Duration::ZERO,
            pushes: 0,
            beaten: None,
            is_twin_told: false,
            is_other_told: false,
            is_read,
        }
    }

    pub(super) fn server(&self) -> &ServerName {
        &self.server
    }

    /// The machine on which the worker runs.
    pub(super) fn machine(&self) -> &Machine {
        self.client.machine()
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn trusted(&self) -> Deadline {
        Deadline::at(self.machine(), self.beats.trusted())
    }

    /// When the next sign of life is due after the last.
    pub(super) fn rest(&self) -> Duration {
        self.rest
    }

    /// Hands what this host has watched of the hub to `see`, and keeps what that adds.
    pub(super) fn observe<R>(&mut self, see: impl FnOnce(&mut Watch<'_>) -> R) -> R {
        self.client.observe(see)
    }

    /// How many pushes were sent since this was asked last.
    pub(super) fn take_pushes(&mut self) -> u32 {
        std::mem::take(&mut self.pushes)
    }

    /// What a sign of life that went along with a write told: whether the session had been ended.
    pub(super) fn take_beaten(&mut self) -> Option<bool> {
        self.beaten.take()
    }

    /// Counts the pushes of a write.
    fn count<A>(&mut self, outcome: &Result<Outcome<A>, LedgerError>) {
        self.pushes += match outcome {
            Ok(Outcome::Applied(receipt)) => receipt.attempts,
            Ok(Outcome::Contended { attempts, .. }) => *attempts,
            Ok(Outcome::Refused(_)) => 0,
            Ok(Outcome::Unknown { .. }) | Err(_) => 1,
        };
    }

    fn pass_on(&mut self, report: &dyn Reporter) {
        for note in self.client.take_notes() {
            report.warn(&note);
        }
    }

    /// Says once that another hub is where this one was, with its first `error`, until this one answers again.
    fn note_other(&mut self, report: &dyn Reporter, error: Option<&LedgerError>) {
        let other = error.filter(|error| matches!(error, LedgerError::AnotherHub { .. }));
        if let Some(error) = other.filter(|_| !self.is_other_told) {
            report
                .warn(&format!("{error}; until then nothing is claimed, and the ends of jobs are kept here"));
        }
        self.is_other_told = other.is_some() || (self.is_other_told && error.is_some());
    }

    /// What came of a write. That another hub does not know a job of this one is no answer about it.
    fn settle<A>(
        &mut self,
        report: &dyn Reporter,
        outcome: Result<Outcome<A>, LedgerError>,
    ) -> Result<WriteResult<A>, LedgerError> {
        self.count(&outcome);
        self.pass_on(report);
        self.note_other(report, outcome.as_ref().err());
        match outcome {
            Err(LedgerError::AnotherHub { .. }) => {
                Ok(WriteResult::Later("another hub is where its hub was".to_owned()))
            }
            outcome => outcome.map(written),
        }
    }

    /// Reads the hub as it is now, with all heartbeats, and with what the next write puts back in it.
    pub(super) fn read<R>(
        &mut self,
        report: &dyn Reporter,
        read: impl Fn(&Snapshot<'_>) -> Result<R, Abort>,
    ) -> Result<R, Abort> {
        // What was read right before the worker began need not be asked for again, once; nor is a no of that, or a
        // copy that turns out to be damaged, an answer.
        let known = std::mem::take(&mut self.is_read).then(|| self.client.recall(&read));
        let result = match known {
            Some(Ok(known)) => Ok(known),
            _ => self.client.read(true, read),
        };
        self.pass_on(report);
        let error = match &result {
            Err(Abort::Fault(error)) => Some(error),
            _ => None,
        };
        self.note_other(report, error);
        result
    }

    /// Applies `verb`, kept until its outcome is known, with `logs` and a sign of life in the same push. Whether this session goes on is learned from that as from one by itself.
    pub(super) fn write_with<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        report: &dyn Reporter,
        verb: &V,
        (sign, logs): (SignOfLife<'_>, Option<WriteLogs>),
    ) -> Result<WriteResult<V::Answer>, LedgerError> {
        let beat = Some(self.session.beat(&self.whose, None));
        let envelope = WriteOptions { beat, ..WriteOptions::default() };
        let beat = match sign {
            SignOfLife::None => None,
            SignOfLife::Next => Some(self.next_sign_of_life()),
            SignOfLife::Last(why) => Some(self.last_sign_of_life(why)),
        };
        let along = Piggyback { logs, beat };
        let outcome = self.client.write_with(&envelope, (verb, along), |words| report.warn(words));
        Ok(match self.settle(report, outcome)? {
            WriteResult::Done((answer, beaten)) => {
                if let Some(beaten) = beaten {
                    self.beaten = Some(self.beaten(report, &beaten));
                }
                WriteResult::Done(answer)
            }
            WriteResult::Refused(refusal) => WriteResult::Refused(refusal),
            WriteResult::Later(why) => WriteResult::Later(why),
        })
    }

    /// Keeps a report that could not be sent.
    pub(super) fn keep_for_later(&self, step: StepJob) -> Result<OpId, KeepError> {
        let beat = Some(self.session.beat(&self.whose, None));
        self.client.keep_report(&WriteOptions { beat, ..WriteOptions::default() }, step)
    }

    /// Sends the reports that this server has kept.
    pub(super) fn send_kept(&mut self, report: &dyn Reporter) {
        let id = self.client.place().and_then(|place| hubs::id_of(&place.name));
        let (tell, words) = (|words: &str| report.say(words), |no: &Refusal| report.words(no));
        self.client.send_kept_reports(id, &self.server, &tell, &words);
        self.pass_on(report);
    }

    /// The reports that this server keeps.
    pub(super) fn kept(&self) -> Vec<StepJob> {
        self.client.kept_reports(&self.server).into_iter().map(|(_, step)| step).collect()
    }

    /// Forgets a report that was kept: the hub has it, or does not want it.
    pub(super) fn forget_kept(&self, step: &StepJob) {
        self.client.forget_report(step);
    }

    /// Applies `verb`, which nobody needs to take up again if this process dies.
    pub(super) fn write_unkept<V: WriteCommand>(
        &mut self,
        report: &dyn Reporter,
        verb: &V,
    ) -> Result<WriteResult<V::Answer>, LedgerError> {
        let outcome = self.client.write_unkept(&WriteOptions::default(), verb);
        self.settle(report, outcome)
    }

    /// Sends a sign of life. `true` when the session had been ended by somebody: then a new one has
    /// begun, and what the old one held is lost.
    pub(super) fn beat(&mut self, report: &dyn Reporter) -> Result<WriteResult<bool>, LedgerError> {
        let verb = self.next_sign_of_life();
        let failed = |failure| Event::Failed(failure);
        let (event, written) = match self.write_unkept(report, &verb) {
            Ok(WriteResult::Done(answer)) => return Ok(WriteResult::Done(self.beaten(report, &answer))),
            Ok(WriteResult::Refused(refusal)) => {
                (failed(Failure::No(refusal.class())), Ok(WriteResult::Refused(refusal)))
            }
            Ok(WriteResult::Later(why)) => (failed(Failure::Contended), Ok(WriteResult::Later(why))),
            Err(error) => (failed(Failure::of_fault(&error)), Err(error)),
        };
        self.advance(event);
        written
    }

    /// The last sign of life: this worker ends, because of `why`.
    pub(super) fn farewell(&mut self, report: &dyn Reporter, why: &str) {
        let verb = self.last_sign_of_life(why);
        let told = match self.write_unkept(report, &verb) {
            Ok(WriteResult::Done(_)) => return,
            Ok(WriteResult::Refused(refusal)) => report.words(&refusal),
            Ok(WriteResult::Later(why)) => why,
            Err(error) => error.to_string(),
        };
        report.warn(&format!("the hub does not know that this worker ended: {told}"));
    }

    fn sign_of_life(&self) -> SendBeat {
        let beat = self.session.beat(&self.whose, Some(self.whose.system_facts()));
        let beat = Beat { by_worker: true, ..beat };
        SendBeat { beat, branch: self.server.heartbeat_branch(), claim: None }
    }

    fn last_sign_of_life(&self, why: &str) -> SendBeat {
        let mut verb = self.sign_of_life();
        verb.beat.stopping = Some(why.to_owned());
        verb.beat.interval_seconds = verb.beat.interval_seconds.max(self.interval_before);
        verb
    }

    /// A sign of life that is sent now: of a worker it is always time for one.
    fn next_sign_of_life(&mut self) -> SendBeat {
        self.advance(Event::Tick { beside_worker: false, kept: 0 });
        self.sign_of_life()
    }

    /// How long this session counts without a sign of life, as far as this worker relies on it.
    pub(super) fn lease(&self) -> Duration {
        self.beats.lease()
    }

    fn advance(&mut self, event: Event) {
        let mut step = self.beats.next(event, self.machine().since_boot());
        if step == Step::BeginAnew {
            self.session.end(&self.whose);
            step = self.beats.next(Event::Begun, self.machine().since_boot());
        }
        if let Step::Wait(rest) = step {
            self.rest = rest;
        }
    }

    /// The session was ended by somebody, as something else than a sign of life told: another begins.
    pub(super) fn begin_anew(&mut self) {
        self.advance(Event::Sent(true));
    }

    /// The hub has a sign of life; `true` when the session had been ended and a new one has begun.
    fn beaten(&mut self, report: &dyn Reporter, answer: &BeatAnswer) -> bool {
        answer.made_anew().for_each(|words| report.warn(&words));
        let twins = answer.two_machines(&self.server);
        if let Some(words) = twins.as_ref().filter(|_| !self.is_twin_told) {
            report.warn(words);
        }
        self.is_twin_told = twins.is_some();
        self.advance(Event::Sent(answer.revoked.is_some()));
        answer.revoked.is_some()
    }
}

fn written<A>(outcome: Outcome<A>) -> WriteResult<A> {
    match outcome {
        Outcome::Applied(receipt) => WriteResult::Done(receipt.answer),
        Outcome::Refused(refusal) => WriteResult::Refused(refusal),
        Outcome::Contended { attempts, .. } => {
            WriteResult::Later(format!("others were faster {attempts} times"))
        }
        Outcome::Unknown { why, .. } => WriteResult::Later(format!("the outcome is unknown: {why}")),
    }
}
