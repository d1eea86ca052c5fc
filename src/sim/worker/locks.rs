//! How a simulated process gets, holds and frees locks: it drives the flows that commands drive.

use super::{LOCKS, ONCE, STEPS_MAX, Worker};
use crate::app::commands::job_add::AddJobs;
use crate::app::commands::lock::{AcquireLock, MarkDone, StealLock};
use crate::app::flows::acquire::{AcquireFlow, Event, Step, look};
use crate::app::flows::hold::{self, HoldFlow};
use crate::domain::id::LockName;
use crate::domain::lock::{Lock, LockRequest};
use crate::ledger::Documents as _;
use crate::sim::check::Window;
use std::time::Duration;

/// The longest that a process goes on under a lock between two renewals, as it does other things.
const HELD_MILLIS_MAX: u64 = 30_000;

/// A lock that this process holds.
pub(super) struct SimLock {
    pub(super) name: LockName,
    pub(super) token: u64,
    hold: HoldFlow,
}

impl Worker {
    pub(super) fn lock(&mut self) {
        let name = self.random.pick(LOCKS).copied().unwrap_or("deploy");
        match self.terms.iter().position(|term| term.name.as_str() == name) {
            None => self.acquire(name),
            Some(index) if self.random.chance(700) => self.renew(index),
            Some(index) => self.release(index),
        }
    }

    fn taker(&self) -> LockRequest {
        LockRequest {
            server: self.server.clone(),
            holder: self.server.to_string(),
            lease_seconds: self.world.get().tuning.lease.as_secs(),
            reason: None,
        }
    }

    /// A term of ours, trusted until then.
    fn term(&self, name: LockName, token: u64, trusted: Duration) -> SimLock {
        let lease = self.world.get().tuning.lease;
        let names = (name.clone(), self.server.clone());
        SimLock { name, token, hold: HoldFlow::new(names, token, lease, trusted, self.machine.since_boot()) }
    }

    /// Takes a lock, or watches its holder.
    pub(super) fn acquire(&mut self, name: &str) {
        let Ok(name) = LockName::new(name) else { return };
        let acquire = AcquireLock { name: name.clone(), taker: self.taker(), expired: None };
        let mut flow = AcquireFlow::new(acquire, self.patience());
        let mut client = self.client();
        let mut token = 0;
        let mut event = Event::Begin;
        for _ in 0..STEPS_MAX {
            event = match client.observe(|watch| flow.next(event, watch)) {
                Step::Acquire(verb) => match self.write_by(&mut client, Vec::new(), &verb) {
                    Ok(receipt) => {
                        token = receipt.answer.token;
                        Event::Acquired
                    }
                    Err(failure) => Event::Failed(failure),
                },
                Step::Look => {
                    let lock = client.read(false, |hub| look(hub, &name));
                    lock.map_or(Event::Unseen, Event::Seen)
                }
                Step::Wait(pause) => {
                    self.machine.sleep(pause.drawn(|most| self.machine.up_to(most)));
                    Event::Waited
                }
                Step::Done(trusted) => {
                    let term = self.term(name, token, trusted);
                    self.trust(&term);
                    self.world.get().checker.takeovers += u64::from(flow.asks().expired.is_some());
                    return self.terms.push(term);
                }
                Step::Refused | Step::TimeUp => return,
            };
        }
        self.world.get().checker.blame(format!("I17: {} waits for a lock without end", self.server));
    }

    /// Goes on under a lock for a while, and renews its lease when it is time to.
    fn renew(&mut self, index: usize) {
        let ends = self.machine.since_boot() + self.random.millis(0, HELD_MILLIS_MAX);
        let Some(mut term) = (index < self.terms.len()).then(|| self.terms.remove(index)) else { return };
        let mut client = self.client();
        let mut event = hold::Event::Tick;
        for _ in 0..STEPS_MAX {
            event = match term.hold.next(event, self.machine.since_boot()) {
                hold::Step::Renew(verb, _) => match self.write_by(&mut client, Vec::new(), &verb) {
                    Ok(_) => hold::Event::Renewed,
                    Err(failure) => hold::Event::Failed(failure),
                },
                hold::Step::Wait(span) => {
                    self.trust(&term);
                    let now = self.machine.since_boot();
                    if now >= ends {
                        return self.terms.push(term);
                    }
                    self.machine.sleep(span.min(ends - now));
                    hold::Event::Tick
                }
                // Whoever is told so ends what it does under the lock.
                hold::Step::Lost(_) | hold::Step::Release(_) | hold::Step::Done | hold::Step::Kept => return,
            };
        }
        self.world.get().checker.blame(format!("I17: {} renews a lock without end", self.server));
    }

    pub(super) fn release(&mut self, index: usize) {
        let mut term = self.terms.remove(index);
        let now = self.world.get().now;
        self.world.get().checker.let_go(self.process, Some((term.name.as_str(), term.token)), now);
        if let hold::Step::Release(verb) = term.hold.next(hold::Event::Ended, self.machine.since_boot()) {
            drop(self.write(&verb));
        }
    }

    /// Gets a lock that somebody left behind, and frees it.
    pub(super) fn free_a_lock(&mut self) {
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

    pub(super) fn steal(&mut self) {
        let name = self.random.pick(LOCKS).copied().unwrap_or("deploy");
        let Ok(name) = LockName::new(name) else { return };
        let taker = LockRequest { reason: Some("it hangs".to_owned()), ..self.taker() };
        let verb = StealLock { name: name.clone(), taker, force: true, expired: None };
        if let Some(receipt) = self.write(&verb) {
            // Whoever steals does not wait for the other: it has no trust, only the token.
            self.terms.retain(|term| term.name != name);
            let term = self.term(name, receipt.answer.token, Duration::ZERO);
            self.terms.push(term);
        }
    }

    /// Writes what must be written under a lock.
    pub(super) fn write_guarded(&mut self) {
        let Some(term) = self.terms.first() else { return self.lock() };
        let guards = vec![(term.name.clone(), term.token)];
        let jobs = vec![self.new_job(&[])];
        drop(self.write_under(guards, &AddJobs { jobs, requester: self.server.clone() }));
    }

    pub(super) fn once(&mut self) {
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

    /// The lock is trusted as long as its flow says, by this host's clock.
    fn trust(&self, term: &SimLock) {
        let left = term.hold.trusted().saturating_sub(self.machine.since_boot());
        let mut world = self.world.get();
        let Some(left) = world.hosts.get(self.host).map(|host| host.true_span(left)) else { return };
        let (from, until) = (world.now, world.now + left);
        if !left.is_zero() {
            let (lock, token, process) = (term.name.to_string(), term.token, self.process);
            world.checker.trusted(Window { lock, token, process, from, until });
        }
    }
}
