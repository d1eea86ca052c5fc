//! What a simulated process does all day: the operations of the command line, without its words.

use super::check::{Acknowledged, Window};
use super::machine::Shared;
use super::store::Store;
use super::world::MAIN;
use crate::domain::id::{JobId, LockName, ServerName};
use crate::domain::job::{Claimant, FailReason, Job, Report};
use crate::domain::lock::{JOB_ASSIGNMENT, Lock, Taker, trust};
use crate::domain::message::{Draft, Message, MessageType};
use crate::domain::table::Table;
use crate::host::clock;
use crate::ledger::{Documents as _, Ledger, LedgerError, Outcome, Receipt, Settings, Stop};
use crate::ops::beat::SendBeat;
use crate::ops::job_add::{AddJobs, NewJob};
use crate::ops::job_claim::ClaimJobs;
use crate::ops::job_step::{Change, ChangeJob, Step, StepJob};
use crate::ops::journal::{self, Taken};
use crate::ops::lock::{AcquireLock, ReleaseLock, RenewLock};
use crate::ops::message::{Mark, MarkMessages, SendMessage};
use crate::ops::observations::Observations;
use crate::ops::rescue::{Lost, watched_claims};
use crate::ops::session::Session;
use crate::ops::submit::{Place, resume, submit};
use crate::ops::watch::{expired_lock, lost_claims};
use crate::ops::{Envelope, Operation, Verb};
use std::time::Duration;

/// The locks that everybody wants.
const LOCKS: &[&str] = &["deploy", "sign"];

/// The lease they are taken for.
const LEASE: Duration = Duration::from_secs(60);

/// How long one attempt at a job may take.
const JOB_TIMEOUT: Duration = Duration::from_secs(600);

/// How long one command may take.
const BUDGET: Duration = Duration::from_secs(30);

/// How long a process waits for another of its host. Short: it looks every few milliseconds.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// A lock that this process holds.
struct Term {
    name: LockName,
    token: u64,
}

/// A process that runs one command after another.
pub(super) struct Worker {
    pub world: Shared,
    pub host: usize,
    pub server: ServerName,
    /// The first process of each host sends its heartbeats.
    pub beats: bool,
    claims: Vec<(JobId, u64)>,
    terms: Vec<Term>,
}

impl Worker {
    pub(super) fn new(world: Shared, host: usize, server: ServerName, beats: bool) -> Self {
        Self { world, host, server, beats, claims: Vec::new(), terms: Vec::new() }
    }

    /// Works until it is killed.
    pub(super) fn run(&mut self) {
        loop {
            let (think, choice, is_calm) = {
                let mut world = self.world.get();
                let think = if self.beats {
                    world.random.millis(20_000, 70_000)
                } else {
                    world.random.millis(100, 40_000)
                };
                (think, world.random.up_to(99), world.is_calm)
            };
            clock::sleep(think);
            if self.beats {
                self.beat();
            }
            self.settle();
            match (choice, is_calm) {
                (0..=24, false) => self.add(),
                (25..=29, false) => self.cancel(),
                (30..=39, false) => self.send(),
                (40..=49, false) => self.read(),
                (50..=64, _) => self.locks(choice),
                // In the calm everybody works off what is left.
                (65..=79, _) | (0..=29, true) => self.claim(),
                _ => self.finish(),
            }
        }
    }

    fn ledger(&self) -> Ledger {
        let settings = Settings {
            main: MAIN.to_owned(),
            author: self.server.to_string(),
            budget: BUDGET,
            lock_wait: LOCK_WAIT,
            dry_run: false,
            founding: false,
        };
        Ledger::new(Box::new(Store { world: self.world.clone(), host: self.host }), settings)
    }

    fn place(&self) -> Place {
        Place { hub: "sim".to_owned(), branch: MAIN.to_owned() }
    }

    /// Submits an operation and tells the checker what came of it.
    fn write<V: Verb + Clone + Into<Operation>>(&self, verb: &V) -> Option<Receipt<V::Answer>> {
        let invoked = self.world.get().now;
        let session = Session::present(&self.server);
        let envelope = Envelope { guards: Vec::new(), beat: Some(session.beat(&self.server, None)) };
        let outcome = submit(&mut self.ledger(), &self.place(), &envelope, verb, |_| {});
        self.told(outcome, invoked)
    }

    fn told<A>(&self, outcome: Result<Outcome<A>, LedgerError>, invoked: Duration) -> Option<Receipt<A>> {
        let mut world = self.world.get();
        let server = &self.server;
        match outcome {
            Ok(Outcome::Applied(receipt)) => {
                world.note(|| format!("{server} applied {}", receipt.op));
                if let Some(version) = receipt.version.clone() {
                    let returned = world.now;
                    let op = receipt.op.clone();
                    world.checker.acknowledged.push(Acknowledged { op, version, invoked, returned });
                }
                return Some(receipt);
            }
            Ok(Outcome::Refused(refusal)) => world.note(|| format!("{server} refused: {}", refusal.why)),
            Ok(Outcome::Contended { .. }) => world.note(|| format!("{server} contended")),
            Ok(Outcome::Unknown { op, why }) => world.note(|| format!("{server} unknown {op}: {why}")),
            Err(LedgerError::Unreachable { .. }) => world.note(|| format!("{server} unreachable")),
            Err(error) => {
                world.note(|| format!("{server} fault: {error}"));
                world
                    .checker
                    .violations
                    .push(format!("I16: {server} met a fault that nothing caused: {error}"));
            }
        }
        None
    }

    fn beat(&self) {
        let mut session = Session::present(&self.server);
        let verb =
            SendBeat { beat: session.beat(&self.server, None), branch: self.server.heartbeat_branch() };
        let envelope = Envelope::default();
        // A beat replaces the one before, so it is not looked for in the history.
        let outcome = submit(&mut self.ledger(), &self.place(), &envelope, &verb, |_| {});
        if let Ok(Outcome::Applied(receipt)) = outcome
            && receipt.answer.revoked.is_some()
        {
            session = Session::restart(&self.server);
            session.keep(&self.server);
        }
    }

    /// Takes up what was left unsettled.
    fn settle(&self) {
        for op in journal::unsettled() {
            if let Taken::Ours(entry, _kept) = journal::take(&op) {
                let invoked = self.world.get().now;
                let is_beat = matches!(entry.operation, Operation::SendBeat(_));
                let outcome = resume(&mut self.ledger(), &entry);
                if !is_beat {
                    drop(self.told(outcome, invoked));
                }
            }
        }
    }

    fn add(&self) {
        let (key, needs) = {
            let mut world = self.world.get();
            let key = world.random.chance(300).then(|| format!("key{}", world.random.up_to(20)));
            (key, Vec::new())
        };
        let job = NewJob {
            kind: "test".to_owned(),
            priority: None,
            branch: None,
            commit: None,
            needs,
            labels: Vec::new(),
            description: None,
            timeout_seconds: Some(JOB_TIMEOUT.as_secs()),
            max_attempts: None,
            key,
            not_before: None,
            command: Vec::new(),
        };
        drop(self.write(&AddJobs { jobs: vec![job], requester: self.server.clone() }));
    }

    fn any_job(&self) -> Option<JobId> {
        let mut ledger = self.ledger();
        let snapshot = ledger.read(false).ok()?;
        let jobs: Table<Job> = snapshot.table().ok()?;
        let ids: Vec<String> = jobs.rows().map(|job| job.id.clone()).collect();
        let id = self.world.get().random.pick(&ids).cloned()?;
        JobId::new(&id).ok()
    }

    fn cancel(&self) {
        let Some(job) = self.any_job() else { return };
        let change =
            if self.world.get().random.chance(500) { Change::Cancel { why: None } } else { Change::Retry };
        drop(self.write(&ChangeJob { server: self.server.clone(), job, change }));
    }

    fn send(&self) {
        let draft = Draft {
            from: self.server.clone(),
            to: "all".to_owned(),
            kind: MessageType::Info,
            subject: "hello".to_owned(),
            body: String::new(),
            reply_to: None,
            ack: false,
            key: None,
            auto: false,
        };
        drop(self.write(&SendMessage { draft }));
    }

    fn read(&self) {
        let mut ledger = self.ledger();
        let unread = |snapshot: &crate::ledger::Snapshot<'_>| -> Result<bool, Stop> {
            let messages: Table<Message> = snapshot.table()?;
            Ok(messages
                .rows()
                .any(|message| message.is_for(&self.server) && !message.is_read_by(&self.server)))
        };
        if ledger.read(false).is_ok_and(|snapshot| unread(&snapshot).unwrap_or(false)) {
            let verb = MarkMessages { server: self.server.clone(), ids: Vec::new(), mark: Mark::Read };
            drop(self.write(&verb));
        }
    }

    /// Claims, and watches the holders when there is nothing to claim, as `job claim` does.
    fn claim(&mut self) {
        let mut verb = ClaimJobs {
            claimant: Claimant {
                server: self.server.clone(),
                incarnation: Session::present(&self.server).incarnation,
            },
            labels: Vec::new(),
            count: 1,
            job: None,
            start: false,
            expired_assignment: None,
            lost: Vec::new(),
        };
        for _ in 0..2 {
            if let Some(receipt) = self.write(&verb) {
                for job in &receipt.answer {
                    let id = job.get("id").and_then(|id| JobId::new(id.as_str()?).ok());
                    let token = job.get("token").and_then(serde_json::Value::as_u64);
                    self.claims.extend(id.zip(token));
                }
                return;
            }
            let (expired, lost) = self.watch();
            if expired.is_none() && lost.is_empty() {
                return;
            }
            (verb.expired_assignment, verb.lost) = (expired, lost);
        }
    }

    fn watch(&self) -> (Option<String>, Vec<Lost>) {
        let mut observed = Observations::recall();
        let mut ledger = self.ledger();
        let Ok(snapshot) = ledger.read(true) else { return (None, Vec::new()) };
        let assignment = snapshot.table::<Lock>().ok().and_then(|locks| {
            locks.get(JOB_ASSIGNMENT).filter(|lock| lock.is_held()).map(|lock| (**lock).clone())
        });
        let expired = assignment.and_then(|lock| expired_lock(&mut observed, "sim", &lock));
        let claims = watched_claims(&snapshot, &self.server).unwrap_or_default();
        let lost = lost_claims(&mut observed, "sim", &claims);
        observed.keep();
        (expired, lost)
    }

    /// Takes a claimed job one step on.
    fn finish(&mut self) {
        let draw = self.world.get().random.up_to(99);
        let Some((job, token)) = self.claims.pop() else { return };
        let (server, report) = (self.server.clone(), Report::default());
        let is_calm = self.world.get().is_calm;
        let step = match draw {
            _ if is_calm => Step::Complete { report },
            0..=29 => {
                self.claims.push((job.clone(), token));
                Step::Start
            }
            30..=39 => Step::Release,
            40..=54 => Step::Fail { reason: FailReason::WorkerSystemFailure, report },
            _ => Step::Complete { report },
        };
        drop(self.write(&StepJob { server, job, token, step }));
    }

    fn locks(&mut self, choice: u64) {
        let name = self.world.get().random.pick(LOCKS).copied().unwrap_or("deploy");
        let Ok(name) = LockName::new(name) else { return };
        match self.terms.iter().position(|term| term.name == name) {
            None => self.acquire(name),
            Some(index) if choice.is_multiple_of(2) => self.renew(index),
            Some(index) => {
                let term = self.terms.remove(index);
                let now = self.world.get().now;
                self.world.get().checker.let_go(term.name.as_str(), term.token, now);
                drop(self.write(&ReleaseLock {
                    name: term.name,
                    server: self.server.clone(),
                    token: term.token,
                }));
            }
        }
    }

    fn acquire(&mut self, name: LockName) {
        let taker = Taker {
            server: self.server.clone(),
            holder: self.server.to_string(),
            lease_seconds: LEASE.as_secs(),
            reason: None,
        };
        let mut verb = AcquireLock { name, taker, expired: None };
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
        let mut observed = Observations::recall();
        let mut ledger = self.ledger();
        let locks: Table<Lock> = ledger.read(false).ok()?.table().ok()?;
        let lock = locks.get(name.as_str()).filter(|lock| lock.is_held())?;
        let expired = expired_lock(&mut observed, "sim", lock);
        observed.keep();
        expired
    }

    fn renew(&mut self, index: usize) {
        let Some(term) = self.terms.get(index) else { return };
        let (name, token) = (term.name.clone(), term.token);
        let asked = clock::since_boot();
        let verb = RenewLock { name: name.clone(), server: self.server.clone(), token, lease_seconds: None };
        if self.write(&verb).is_some() {
            self.trust(name.as_str(), token, asked);
        } else {
            self.terms.remove(index);
        }
    }

    /// From now on the lock is trusted, until its lease is over by this host's clock, counted from
    /// when it was asked for.
    fn trust(&self, name: &str, token: u64, asked: Duration) {
        let left = (asked + trust(LEASE)).saturating_sub(clock::since_boot());
        let mut world = self.world.get();
        let Some(left) = world.hosts.get(self.host).map(|host| host.true_span(left)) else { return };
        let window = Window { lock: name.to_owned(), token, from: world.now, until: world.now + left };
        if !left.is_zero() {
            world.checker.trusted(window);
        }
    }
}
