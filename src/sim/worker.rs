//! What a process of a server does all day: the operations of the command line, without its words.

mod claims;
mod jobs;
mod locks;
mod mail;

use locks::SimLock;

use super::check::Acknowledged;
use super::faults::Fault;
use super::machine::SharedWorld;
use super::random::Random;
use super::store::{INJECTED, Store};
use super::tuning::Chore;
use super::world::MAIN;
use crate::app::client::Client;
use crate::app::commands::archive::Archive;
use crate::app::commands::beat::SendBeat;
use crate::app::commands::job_step::{Step, StepJob};
use crate::app::commands::status::SetStatus;
use crate::app::commands::{Operation, WriteCommand, WriteOptions};
use crate::app::flows::session::{Event, Sender, SessionFlow, Step as BeatStep};
use crate::app::flows::{Failure, WaitLimit};
use crate::app::journal::{self, TakenEntry};
use crate::app::session::Session;
use crate::app::submit::{HubRef, KeepFor, in_present_session, resume_as};
use crate::domain::id::{JobId, LockName, ServerName};
use crate::domain::job::{AttemptResult, FailReason};
use crate::domain::status::StatusWord;
use crate::ledger::{Abort, Ledger, LedgerError, Outcome, Receipt, Settings, Snapshot};
use crate::machine::Machine;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// The locks that everybody wants.
const LOCKS: &[&str] = &["deploy", "sign"];

/// What is done once.
const ONCE: &[&str] = &["once/setup", "once/release"];

/// How long one command may take.
const BUDGET: Duration = Duration::from_secs(30);

/// How long a process waits for another of its host. Short: it looks every few milliseconds.
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// The most unfinished jobs that anybody adds to.
const OPEN_JOBS_MAX: usize = 12;

/// What is older goes to the archive, in seconds.
const ARCHIVE_SECONDS: u64 = 60;

/// The longest that a process waits for a job or a lock, and how it pauses meanwhile.
const WAIT_MILLIS_MAX: u64 = 20_000;
const PAUSE: Duration = Duration::from_secs(2);

/// More steps than any flow takes.
const STEPS_MAX: usize = 500;

/// A process that runs one command after another.
pub(super) struct Worker {
    world: SharedWorld,
    machine: Machine,
    host: usize,
    process: usize,
    server: ServerName,
    beats: bool,
    random: Random,
    claims: Vec<(JobId, u64)>,
    terms: Vec<SimLock>,
}

/// Why the hub was not seen.
fn unseen(stop: &Abort) -> Failure {
    match stop {
        Abort::Refused(refusal) => Failure::No(refusal.class()),
        Abort::Fault(error) => Failure::of_fault(error),
    }
}

/// The hub of all hosts, as each names it.
fn place() -> HubRef {
    HubRef { hub: "sim".to_owned(), branch: MAIN.to_owned(), name: "sim".to_owned() }
}

impl Worker {
    /// `at`: its host and its number.
    pub(super) fn new(
        (world, machine): (SharedWorld, Machine),
        at: (usize, usize),
        server: ServerName,
        beats: bool,
        seed: u64,
    ) -> Self {
        let (host, process) = at;
        let random = Random::new(seed);
        Self { world, machine, host, process, server, beats, random, claims: Vec::new(), terms: Vec::new() }
    }

    /// Works until it is killed.
    pub(super) fn run(&mut self) {
        let (think, interval) = {
            let world = self.world.get();
            (world.tuning.think_millis_max, world.tuning.interval)
        };
        loop {
            if self.beats {
                // A little before it is late, and sometimes after.
                self.machine.sleep(interval * 3 / 4 + self.random.millis(0, 500));
                self.beat(interval);
            } else {
                self.machine.sleep(self.random.millis(100, think));
            }
            self.settle();
            let is_calm = self.world.get().is_calm;
            if is_calm {
                self.finish_off();
            } else {
                let chore = self.world.get().tuning.chore(&mut self.random);
                self.act(chore);
            }
        }
    }

    fn act(&mut self, chore: Chore) {
        match chore {
            Chore::Add => self.add(),
            Chore::Change => self.change(),
            Chore::Claim => self.claim(),
            Chore::Finish => self.finish(),
            Chore::Send => self.send(),
            Chore::Read => self.read(),
            Chore::Lock => self.lock(),
            Chore::Guarded => self.write_guarded(),
            Chore::Steal => self.steal(),
            Chore::Once => self.once(),
            Chore::Status => self.set_status(),
            Chore::Archive => self.archive(),
        }
    }

    /// In the calm everybody works off what is left, and frees what the dead held.
    fn finish_off(&mut self) {
        if !self.terms.is_empty() {
            self.release(0);
        } else if !self.claims.is_empty() {
            self.finish();
        } else if self.random.chance(500) {
            self.claim();
        } else if self.random.chance(500) {
            self.free_a_lock();
        } else {
            self.call_off_in_vain();
        }
    }

    /// The hub as the next command of this process begins with it.
    fn client(&self) -> Client {
        let settings = Settings {
            main: MAIN.to_owned(),
            author: self.server.to_string(),
            budget: BUDGET,
            lock_wait: LOCK_WAIT,
            dry_run: false,
            founding: false,
        };
        let store = Store {
            world: self.world.clone(),
            machine: self.machine.clone(),
            host: self.host,
            process: self.process,
            looked_up: RefCell::default(),
        };
        Client::at(place(), Ledger::new(Box::new(store), settings, self.machine.clone()))
    }

    /// Submits an operation and tells the checker what came of it.
    fn write<V: WriteCommand + Clone + Into<Operation>>(&self, verb: &V) -> Option<Receipt<V::Answer>> {
        self.write_under(Vec::new(), verb)
    }

    /// The same under locks.
    fn write_under<V: WriteCommand + Clone + Into<Operation>>(
        &self,
        guards: Vec<(LockName, u64)>,
        verb: &V,
    ) -> Option<Receipt<V::Answer>> {
        self.write_by(&mut self.client(), guards, verb).ok()
    }

    /// The same within a command that does more.
    fn write_by<V: WriteCommand + Clone + Into<Operation>>(
        &self,
        client: &mut Client,
        guards: Vec<(LockName, u64)>,
        verb: &V,
    ) -> Result<Receipt<V::Answer>, Failure> {
        let invoked = self.world.get().now;
        let beat = client.session(&self.server).beat(&client.whose(&self.server), None);
        let envelope = WriteOptions { guards, beat: Some(beat), ..WriteOptions::default() };
        self.begin(&envelope, verb.clone().into());
        let outcome = client.write(&envelope, (verb, KeepFor::WhileUnknown), |_| {});
        let told = |answer: &V::Answer| serde_json::to_value(answer).ok();
        self.told(outcome, invoked, told)
    }

    /// From now on, what this process commits is this.
    fn begin(&self, envelope: &WriteOptions, operation: Operation) {
        let mut world = self.world.get();
        world.built.remove(&self.process);
        world.submitting.insert(self.process, Arc::new((envelope.clone(), operation)));
    }

    fn told<A>(
        &self,
        outcome: Result<Outcome<A>, LedgerError>,
        invoked: Duration,
        answer: impl FnOnce(&A) -> Option<serde_json::Value>,
    ) -> Result<Receipt<A>, Failure> {
        let mut world = self.world.get();
        let server = &self.server;
        let failure = Failure::of(&outcome).unwrap_or(Failure::Fault);
        let sent = world.built.remove(&self.process);
        match outcome {
            Ok(Outcome::Applied(receipt)) => {
                world.note(|| format!("{server} applied {}", receipt.op));
                if let Some(version) = receipt.version.clone() {
                    let (op, returned) = (receipt.op.clone(), world.now);
                    let answer = answer(&receipt.answer);
                    world.checker.acknowledged.push(Acknowledged { op, version, answer, invoked, returned });
                }
                return Ok(receipt);
            }
            Ok(Outcome::Unknown { op, why }) => {
                world.note(|| format!("{server} unknown {op}: {why}"));
                return Err(failure);
            }
            Ok(Outcome::Refused(refusal)) => world.note(|| format!("{server} refused: {refusal}")),
            Ok(Outcome::Contended { .. }) => world.note(|| format!("{server} contended")),
            Err(error) => {
                world.note(|| format!("{server} fault: {error}"));
                let text = error.to_string();
                let is_caused = match error {
                    LedgerError::Document(_) => text.contains("conflict markers"),
                    // The copy was taken away twice while it was in use.
                    LedgerError::NoBranch { .. } => {
                        world.rates.of(Fault::CopyLost) + world.rates.of(Fault::CopyDamaged) > 0
                    }
                    _ => text.contains(INJECTED),
                };
                if !is_caused {
                    world.checker.blame(format!("I16: {server} met a fault that nothing caused: {text}"));
                }
            }
        }
        // Everything but an unknown outcome means that nothing was written. Where a fetch may show
        // less than what landed before, nobody can know that.
        if world.rates.of(Fault::StaleFetch) == 0 {
            world.checker.refused.extend(sent);
        }
        Err(failure)
    }

    /// One sign of life, as `heartbeat run` gives it.
    fn beat(&self, interval: Duration) {
        let mut client = self.client();
        let whose = client.whose(&self.server);
        let mut session = Session::present(&whose);
        if session.interval_seconds != interval.as_secs() {
            session.interval_seconds = interval.as_secs();
            session.keep(&whose);
        }
        let mut flow = SessionFlow::new(Sender::GoesOn(interval), Duration::ZERO);
        let mut event = Event::Tick { beside_worker: false, kept: 0 };
        for _ in 0..STEPS_MAX {
            event = match flow.next(event, self.machine.since_boot()) {
                // The workers here leave nothing that is not in the hub.
                BeatStep::Find => Event::Left(Vec::new()),
                BeatStep::Forget => Event::Forgotten,
                BeatStep::Beat => self.send_beat(&mut client, &session),
                BeatStep::BeginAnew => {
                    session.end(&whose);
                    Event::Begun
                }
                BeatStep::Report(_) => Event::Reported,
                BeatStep::Beside(_)
                | BeatStep::Keep(_)
                | BeatStep::Wait(_)
                | BeatStep::Done
                | BeatStep::Refused => return,
            };
        }
    }

    fn send_beat(&self, client: &mut Client, session: &Session) -> Event {
        let verb = SendBeat {
            beat: session.beat(&client.whose(&self.server), None),
            branch: self.server.heartbeat_branch(),
            claim: None,
        };
        let envelope = WriteOptions::default();
        self.begin(&envelope, verb.clone().into());
        // A beat replaces the one before, so it is not looked for in the history.
        match client.write(&envelope, (&verb, KeepFor::WhileUnknown), |_| {}) {
            Ok(Outcome::Applied(receipt)) => Event::Sent(receipt.answer.revoked.is_some()),
            failed => Event::Failed(Failure::of(&failed).unwrap_or(Failure::Fault)),
        }
    }

    /// Takes up what was left unsettled.
    fn settle(&self) {
        for op in journal::unsettled(&self.machine) {
            if let TakenEntry::Ours(entry, _kept) = journal::take(&self.machine, &op) {
                // It was begun some time ago, and may have landed then.
                let invoked = Duration::ZERO;
                let is_beat = matches!(entry.operation, Operation::SendBeat(_));
                let (envelope, operation) = in_present_session(&self.machine, &entry);
                self.begin(&envelope, operation.clone());
                // A loss of power may have brought it back after it was told a no.
                self.world.get().checker.refused.remove(&entry.op);
                let outcome =
                    resume_as(self.client().ledger(), &entry, (&envelope, &operation), KeepFor::WhileUnknown);
                // Only a no says that it did not happen: an earlier attempt may be on its way.
                if !matches!(outcome, Ok(Outcome::Refused(_))) {
                    self.world.get().built.remove(&self.process);
                }
                if !is_beat {
                    drop(self.told(outcome, invoked, Clone::clone));
                }
            }
        }
    }

    /// The documents, as fresh as the hub's.
    fn look<R>(&self, heartbeats: bool, look: impl Fn(&Snapshot<'_>) -> Option<R>) -> Option<R> {
        self.client().read(heartbeats, |snapshot| Ok::<_, Abort>(look(snapshot))).ok().flatten()
    }

    /// Takes a claimed job one step on.
    fn finish(&mut self) {
        let draw = self.random.up_to(99);
        let Some((job, token)) = self.claims.pop() else { return };
        let is_calm = self.world.get().is_calm;
        let mut report = AttemptResult::default();
        // Somebody forgets to name what was made.
        if is_calm || !self.random.chance(50) {
            report.artifacts.push("it_1_all.deb".to_owned());
        }
        let server = self.server.clone();
        let step = match draw {
            _ if is_calm => Step::Complete { report },
            0..=29 => {
                self.claims.push((job.clone(), token));
                Step::Start
            }
            30..=39 => Step::Release,
            40..=49 => Step::Fail { reason: FailReason::WorkerSystemFailure, report },
            50..=54 => Step::Fail { reason: FailReason::ScriptFailure, report },
            _ => Step::Complete { report },
        };
        let verb = StepJob { server, job, token, step };
        let mut is_done = self.write(&verb).is_some();
        // Somebody reports twice, or late.
        if self.random.chance(50) {
            is_done = self.write(&verb).is_some();
        }
        // Whoever is refused may be so because the job was cancelled.
        if !is_done && self.random.chance(500) {
            drop(self.write(&StepJob { step: Step::Stopped, ..verb }));
        }
    }

    fn set_status(&mut self) {
        let word = if self.random.chance(500) { StatusWord::Idle } else { StatusWord::Building };
        drop(self.write(&SetStatus { server: self.server.clone(), word, job: None, system: None }));
    }

    fn archive(&self) {
        drop(self.write(&Archive {
            server: self.server.clone(),
            older_than_seconds: ARCHIVE_SECONDS,
            only_dead: false,
            unread_older_than_seconds: None,
        }));
    }

    /// Most give up at once, as a line of cron does.
    fn patience(&mut self) -> WaitLimit {
        let wait =
            if self.random.chance(200) { self.random.millis(0, WAIT_MILLIS_MAX) } else { Duration::ZERO };
        WaitLimit { until: self.machine.since_boot() + wait, pause: PAUSE }
    }
}
