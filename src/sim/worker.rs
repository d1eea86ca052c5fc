//! What a process of a server does all day: the operations of the command line, without its words.

mod jobs;
mod mail;

use super::check::{Acknowledged, Window};
use super::faults::Fault;
use super::machine::Shared;
use super::random::Random;
use super::store::{INJECTED, Store};
use super::tuning::Chore;
use super::world::MAIN;
use crate::app::client::Client;
use crate::app::commands::archive::Archive;
use crate::app::commands::beat::SendBeat;
use crate::app::commands::job_add::AddJobs;
use crate::app::commands::job_claim::ClaimJobs;
use crate::app::commands::job_step::{Step, StepJob};
use crate::app::commands::lock::{AcquireLock, MarkDone, ReleaseLock, RenewLock, StealLock};
use crate::app::commands::status::SetStatus;
use crate::app::commands::{Envelope, Operation, Verb};
use crate::app::flows::claim::{ClaimFlow, Event as ClaimEvent, Known, Poll, Seen, Step as ClaimStep};
use crate::app::flows::{Failure, Patience};
use crate::app::journal::{self, Taken};
use crate::app::session::Session;
use crate::app::submit::{Keep, Place, in_present_session, resume_as};
use crate::domain::id::{JobId, LockName, ServerName};
use crate::domain::job::{Claimant, FailReason, Job, Report};
use crate::domain::lease::trust;
use crate::domain::lock::{Lock, Taker};
use crate::domain::planted::planted;
use crate::domain::queue::Queue;
use crate::domain::status::StatusWord;
use crate::domain::table::Table;
use crate::ledger::{Documents as _, Ledger, LedgerError, Outcome, Receipt, Settings, Snapshot, Stop};
use crate::machine::{clock, random};
use std::cell::RefCell;
use std::rc::Rc;
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

/// A lock that this process holds.
struct Term {
    name: LockName,
    token: u64,
}

/// A process that runs one command after another.
pub(super) struct Worker {
    world: Shared,
    host: usize,
    process: usize,
    server: ServerName,
    beats: bool,
    random: Random,
    claims: Vec<(JobId, u64)>,
    terms: Vec<Term>,
}

/// Why the hub was not seen.
fn unseen(stop: &Stop) -> Failure {
    match stop {
        Stop::Refused(refusal) => Failure::No(refusal.kind),
        Stop::Fault(error) => Failure::of_fault(error),
    }
}

/// The hub of all hosts, as each names it.
fn place() -> Place {
    Place { hub: "sim".to_owned(), branch: MAIN.to_owned(), name: "sim".to_owned() }
}

impl Worker {
    /// `at`: its host and its number.
    pub(super) fn new(world: Shared, at: (usize, usize), server: ServerName, beats: bool, seed: u64) -> Self {
        let (host, process) = at;
        let random = Random::new(seed);
        Self { world, host, process, server, beats, random, claims: Vec::new(), terms: Vec::new() }
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
                clock::sleep(interval * 3 / 4 + self.random.millis(0, 500));
                self.beat(interval);
            } else {
                clock::sleep(self.random.millis(100, think));
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
            host: self.host,
            process: self.process,
            looked_up: RefCell::default(),
        };
        Client::at(place(), Ledger::new(Box::new(store), settings))
    }

    /// Submits an operation and tells the checker what came of it.
    fn write<V: Verb + Clone + Into<Operation>>(&self, verb: &V) -> Option<Receipt<V::Answer>> {
        self.write_under(Vec::new(), verb)
    }

    /// The same under locks.
    fn write_under<V: Verb + Clone + Into<Operation>>(
        &self,
        guards: Vec<(LockName, u64)>,
        verb: &V,
    ) -> Option<Receipt<V::Answer>> {
        self.write_by(&mut self.client(), guards, verb).ok()
    }

    /// The same within a command that does more.
    fn write_by<V: Verb + Clone + Into<Operation>>(
        &self,
        client: &mut Client,
        guards: Vec<(LockName, u64)>,
        verb: &V,
    ) -> Result<Receipt<V::Answer>, Failure> {
        let invoked = self.world.get().now;
        let beat = client.session(&self.server).beat(&self.server, None);
        let envelope = Envelope { guards, beat: Some(beat), ..Envelope::default() };
        self.begin(&envelope, verb.clone().into());
        let outcome = client.write(&envelope, (verb, Keep::WhileUnknown), |_| {});
        let told = |answer: &V::Answer| serde_json::to_value(answer).ok();
        self.told(outcome, invoked, told)
    }

    /// From now on, what this process commits is this.
    fn begin(&self, envelope: &Envelope, operation: Operation) {
        let mut world = self.world.get();
        world.built.remove(&self.process);
        world.submitting.insert(self.process, Rc::new((envelope.clone(), operation)));
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
            Ok(Outcome::Refused(refusal)) => world.note(|| format!("{server} refused: {}", refusal.why)),
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

    fn beat(&self, interval: Duration) {
        let mut session = Session::present(&place().whose(&self.server));
        if session.interval_seconds != interval.as_secs() {
            session.interval_seconds = interval.as_secs();
            session.keep(&place().whose(&self.server));
        }
        let verb =
            SendBeat { beat: session.beat(&self.server, None), branch: self.server.heartbeat_branch() };
        let envelope = Envelope::default();
        self.begin(&envelope, verb.clone().into());
        // A beat replaces the one before, so it is not looked for in the history.
        let outcome = self.client().write(&envelope, (&verb, Keep::WhileUnknown), |_| {});
        if let Ok(Outcome::Applied(receipt)) = outcome
            && receipt.answer.revoked.is_some()
        {
            session.end(&place().whose(&self.server));
        }
    }

    /// Takes up what was left unsettled.
    fn settle(&self) {
        for op in journal::unsettled() {
            if let Taken::Ours(entry, _kept) = journal::take(&op) {
                // It was begun some time ago, and may have landed then.
                let invoked = Duration::ZERO;
                let is_beat = matches!(entry.operation, Operation::SendBeat(_));
                let (envelope, operation) = in_present_session(&entry);
                self.begin(&envelope, operation.clone());
                // A loss of power may have brought it back after it was told a no.
                self.world.get().checker.refused.remove(&entry.op);
                let outcome =
                    resume_as(self.client().ledger(), &entry, (&envelope, &operation), Keep::WhileUnknown);
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
        self.client().read(heartbeats, |snapshot| Ok::<_, Stop>(look(snapshot))).ok().flatten()
    }

    /// Claims as a command does, or as a worker that looks once.
    fn claim(&mut self) {
        self.stock();
        let mut client = self.client();
        let whose = client.whose(&self.server);
        let mut session = Session::present(&whose);
        let claim = self.next_claim(&session);
        let is_worker = self.random.chance(150);
        let (mut flow, mut event) = if is_worker {
            let Some(poll) = self.poll(&mut client, &session) else { return };
            (ClaimFlow::of_worker(claim, self.random.chance(500)), ClaimEvent::Polled(poll))
        } else {
            (ClaimFlow::of_command(claim, self.patience()), ClaimEvent::Begin)
        };
        for _ in 0..STEPS_MAX {
            event = match client.observe(|watch| flow.next(event, watch)) {
                ClaimStep::Claim(verb) => self.claim_by(&mut client, &verb),
                ClaimStep::Reclaim(verb) => match self.write_by(&mut client, Vec::new(), &verb) {
                    Ok(_) => ClaimEvent::Reclaimed,
                    Err(failure) => ClaimEvent::Failed(failure),
                },
                ClaimStep::Recall => {
                    let claimant = flow.claimant();
                    let known = client.recall(|hub| Known::of(hub, claimant, clock::wall()));
                    known.map_or_else(|stop| ClaimEvent::Unseen(unseen(&stop)), ClaimEvent::Known)
                }
                ClaimStep::Look => {
                    let seen = client.read(true, |hub| Seen::of(hub, &self.server));
                    seen.map_or_else(|stop| ClaimEvent::Unseen(unseen(&stop)), ClaimEvent::Seen)
                }
                ClaimStep::BeginAnew => {
                    session.leave(&flow.claimant().incarnation, Some(&whose));
                    ClaimEvent::Session(session.incarnation.clone())
                }
                ClaimStep::Wait(Some(pause), _) => {
                    clock::sleep(pause.drawn(random::up_to));
                    session.follow(&whose);
                    ClaimEvent::Session(session.incarnation.clone())
                }
                ClaimStep::Wait(None, _) | ClaimStep::Done | ClaimStep::Refused | ClaimStep::TimeUp => {
                    return;
                }
            };
        }
        self.world.get().checker.blame(format!("I17: {} claims without end", self.server));
    }

    fn next_claim(&mut self, session: &Session) -> ClaimJobs {
        ClaimJobs {
            claimant: Claimant { server: self.server.clone(), incarnation: session.incarnation.clone() },
            labels: Vec::new(),
            count: if self.random.chance(200) { 2 } else { 1 },
            job: None,
            start: self.random.chance(300),
            expired_assignment: None,
            lost: Vec::new(),
            ripe: Vec::new(),
            by: None,
        }
    }

    fn claim_by(&mut self, client: &mut Client, verb: &ClaimJobs) -> ClaimEvent {
        let receipt = match self.write_by(client, Vec::new(), verb) {
            Ok(receipt) => receipt,
            Err(failure) => return ClaimEvent::Failed(failure),
        };
        for job in &receipt.answer {
            let id = job.get("id").and_then(|id| JobId::new(id.as_str()?).ok());
            let token = job.get("token").and_then(serde_json::Value::as_u64);
            self.claims.extend(id.zip(token));
        }
        ClaimEvent::Claimed(receipt.answer.len())
    }

    /// What a worker sees; nothing when the hub cannot be seen.
    fn poll(&mut self, client: &mut Client, session: &Session) -> Option<Poll> {
        let seen = client.read(true, |hub| {
            let jobs: Table<Job> = hub.table()?;
            Ok::<_, Stop>((Seen::of(hub, &self.server)?, Queue::new(&jobs, clock::wall()).delayed()))
        });
        let (seen, delayed) = seen.ok()?;
        let room = usize::from(self.random.chance(800));
        Some(Poll { seen, delayed, room, session: session.incarnation.clone() })
    }

    /// Most give up at once, as a line of cron does.
    fn patience(&mut self) -> Patience {
        let wait =
            if self.random.chance(200) { self.random.millis(0, WAIT_MILLIS_MAX) } else { Duration::ZERO };
        Patience { until: clock::since_boot() + wait, pause: PAUSE }
    }

    /// Takes a claimed job one step on.
    fn finish(&mut self) {
        let draw = self.random.up_to(99);
        let Some((job, token)) = self.claims.pop() else { return };
        let is_calm = self.world.get().is_calm;
        let mut report = Report::default();
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

    fn lock(&mut self) {
        let name = self.random.pick(LOCKS).copied().unwrap_or("deploy");
        match self.terms.iter().position(|term| term.name.as_str() == name) {
            None => self.acquire(name),
            Some(index) if self.random.chance(700) => self.renew(index),
            Some(index) => self.release(index),
        }
    }

    fn taker(&self) -> Taker {
        Taker {
            server: self.server.clone(),
            holder: self.server.to_string(),
            lease_seconds: self.world.get().tuning.lease.as_secs(),
            reason: None,
        }
    }

    /// Takes a lock, or watches its holder, as `lock acquire` does.
    fn acquire(&mut self, name: &str) {
        let Ok(name) = LockName::new(name) else { return };
        let mut verb = AcquireLock { name, taker: self.taker(), expired: None };
        for _ in 0..2 {
            let asked = clock::since_boot();
            if let Some(receipt) = self.write(&verb) {
                self.trust(verb.name.as_str(), receipt.answer.token, asked);
                self.world.get().checker.takeovers += u64::from(verb.expired.is_some());
                self.terms.push(Term { name: verb.name, token: receipt.answer.token });
                return;
            }
            verb.expired = self.watch_lock(&verb.name);
            if verb.expired.is_none() {
                return;
            }
        }
    }

    fn watch_lock(&self, name: &LockName) -> Option<String> {
        let mut client = self.client();
        let lock = client.read(false, |hub| {
            let locks: Table<Lock> = hub.table()?;
            Ok::<_, Stop>(locks.get(name.as_str()).map(|lock| (**lock).clone()))
        });
        let lock = lock.ok()?;
        client.observe(|watch| watch.lock(name.as_str(), lock.as_ref()))?.expired
    }

    fn renew(&mut self, index: usize) {
        let Some(term) = self.terms.get(index) else { return };
        let (name, token) = (term.name.clone(), term.token);
        let asked = clock::since_boot();
        let verb = RenewLock { name: name.clone(), server: self.server.clone(), token, lease_seconds: None };
        if self.write(&verb).is_none() && !planted("trust-without-answer") {
            self.terms.remove(index);
            return;
        }
        self.trust(name.as_str(), token, asked);
    }

    fn release(&mut self, index: usize) {
        let term = self.terms.remove(index);
        let now = self.world.get().now;
        self.world.get().checker.let_go(self.process, Some((term.name.as_str(), term.token)), now);
        drop(self.write(&ReleaseLock { name: term.name, server: self.server.clone(), token: term.token }));
    }

    /// Gets a lock that somebody left behind, and frees it.
    fn free_a_lock(&mut self) {
        let held: Option<Vec<String>> = self.look(false, |hub| {
            Some(
                hub.table::<Lock>()
                    .ok()?
                    .rows()
                    .filter(|lock| lock.is_held())
                    .map(|lock| lock.name.clone())
                    .collect(),
            )
        });
        if let Some(name) = self.random.pick(&held.unwrap_or_default()).cloned() {
            self.acquire(&name);
        }
    }

    fn steal(&mut self) {
        let name = self.random.pick(LOCKS).copied().unwrap_or("deploy");
        let Ok(name) = LockName::new(name) else { return };
        let taker = Taker { reason: Some("it hangs".to_owned()), ..self.taker() };
        if let Some(receipt) =
            self.write(&StealLock { name: name.clone(), taker, force: true, expired: None })
        {
            // Whoever steals does not wait for the other: it has no trust, only the token.
            self.terms.retain(|term| term.name != name);
            self.terms.push(Term { name, token: receipt.answer.token });
        }
    }

    /// Writes what must be written under a lock.
    fn write_guarded(&mut self) {
        let Some(term) = self.terms.first() else { return self.lock() };
        let guards = vec![(term.name.clone(), term.token)];
        let jobs = vec![self.new_job(&[])];
        drop(self.write_under(guards, &AddJobs { jobs, requester: self.server.clone() }));
    }

    fn once(&mut self) {
        let key = self.random.pick(ONCE).copied().unwrap_or("once/setup");
        let held = self.terms.iter().position(|term| term.name.as_str() == key);
        match held {
            None => self.acquire(key),
            Some(index) => {
                let term = self.terms.remove(index);
                let now = self.world.get().now;
                self.world.get().checker.let_go(self.process, Some((key, term.token)), now);
                drop(self.write(&MarkDone {
                    key: term.name,
                    server: self.server.clone(),
                    token: term.token,
                }));
            }
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

    /// From now on the lock is trusted, until its lease is over by this host's clock, counted from
    /// when it was asked for.
    fn trust(&self, name: &str, token: u64, asked: Duration) {
        let left = {
            let lease = self.world.get().tuning.lease;
            let asked = if planted("trust-from-the-answer") { clock::since_boot() } else { asked };
            (asked + trust(lease)).saturating_sub(clock::since_boot())
        };
        let mut world = self.world.get();
        let Some(left) = world.hosts.get(self.host).map(|host| host.true_span(left)) else { return };
        let (from, until) = (world.now, world.now + left);
        if !left.is_zero() {
            let process = self.process;
            world.checker.trusted(Window { lock: name.to_owned(), token, process, from, until });
        }
    }
}
