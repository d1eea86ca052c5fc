//! Holding a lock: renew its lease, know how long nobody else can have it, release it.

use super::Failure;
use crate::app::commands::lock::{ReleaseLock, RenewLock};
use crate::domain::code::Class;
use crate::domain::id::{LockName, ServerName};
use crate::domain::lease::trust;
use crate::domain::planted::planted;
use std::time::Duration;

/// A lease is renewed when this fraction of it has passed, and a renewal that failed when this fraction
/// of that has.
const RENEWALS_PER_LEASE: u32 = 3;
const RETRIES_PER_RENEWAL: u32 = 4;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time goes by.
    Tick,
    /// The hub has the renewal.
    Renewed,
    /// What is done under the lock has ended, or was never begun.
    Ended,
    /// The hub has the release.
    Released,
    /// The write came to nothing.
    Failed(Failure),
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this, within this time: later it would be of no use.
    Renew(RenewLock, Duration),
    /// Go on for so long at most.
    Wait(Duration),
    /// Write this.
    Release(ReleaseLock),
    /// It is free.
    Done,
    /// It may be another's already: whatever is done under it has to end.
    Lost(LossReason),
    /// It could not be released: others get it when its lease is over.
    Kept,
}

/// Why a lock is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossReason {
    /// The hub says so.
    Taken,
    /// It could not be renewed in time; the hub may still have it as ours.
    Late,
}

/// See the module.
#[derive(Debug)]
pub struct HoldFlow {
    renew: RenewLock,
    lease: Duration,
    /// Until when nobody else can have it, since boot.
    trusted: Duration,
    /// When it is renewed next.
    renewal: Duration,
    /// When the renewal under way began: trust begins with the attempt.
    asked: Duration,
    is_over: bool,
}

impl HoldFlow {
    /// Of a lock that `server` got under `token` for `lease`, and trusts until then; `now` since boot.
    #[must_use]
    pub fn new(
        (name, server): (LockName, ServerName),
        token: u64,
        lease: Duration,
        trusted: Duration,
        now: Duration,
    ) -> Self {
        let renewal = now.saturating_add(lease / RENEWALS_PER_LEASE);
        let renew = RenewLock { name, server, token, lease_seconds: None };
        Self { renew, lease, trusted, renewal, asked: now, is_over: false }
    }

    /// Until when nobody else can have it, since boot.
    #[must_use]
    pub fn trusted(&self) -> Duration {
        self.trusted
    }

    /// What frees it.
    #[must_use]
    pub fn release(&self) -> ReleaseLock {
        let RenewLock { name, server, token, .. } = self.renew.clone();
        ReleaseLock { name, server, token }
    }

    /// What to do after `event`, at `now` since boot.
    pub fn next(&mut self, event: Event, now: Duration) -> Step {
        match event {
            Event::Tick if now >= self.renewal && !self.is_over => {
                self.asked = now;
                self.renewal = now.saturating_add(self.lease / RENEWALS_PER_LEASE);
                Step::Renew(self.renew.clone(), self.trusted.saturating_sub(now))
            }
            Event::Tick => self.wait(now),
            Event::Renewed => {
                self.trust(if planted("trust-from-the-answer") { now } else { self.asked });
                self.wait(now)
            }
            Event::Ended => {
                self.is_over = true;
                Step::Release(self.release())
            }
            Event::Released => Step::Done,
            Event::Failed(_) if !self.is_over && planted("trust-without-answer") => {
                self.trust(self.asked);
                self.wait(now)
            }
            Event::Failed(Failure::No(Class::LeaseLost)) => Step::Lost(LossReason::Taken),
            Event::Failed(_) if self.is_over => Step::Kept,
            // Another has it, or nobody knows of it any more.
            Event::Failed(Failure::No(kind)) if kind != Class::Invalid => Step::Lost(LossReason::Taken),
            Event::Failed(_) => {
                // It extends nothing: the lease runs on to its end.
                self.renewal = now.saturating_add(self.lease / RENEWALS_PER_LEASE / RETRIES_PER_RENEWAL);
                self.wait(now)
            }
        }
    }

    fn trust(&mut self, from: Duration) {
        self.trusted = from.saturating_add(trust(self.lease));
    }

    fn wait(&self, now: Duration) -> Step {
        match self.trusted.min(self.renewal).saturating_sub(now) {
            _ if now >= self.trusted => Step::Lost(LossReason::Late),
            span => Step::Wait(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    /// What the flow says to each of `events`, which happen at these seconds, in short: of a lease of 60 s
    /// that was asked for at 0 and is trusted for 54 s.
    fn told(events: &[(u64, Event)]) -> String {
        let names = (LockName::new("deploy").expect("a name"), ServerName::new("build1").expect("a name"));
        let mut flow = HoldFlow::new(names, 7, LEASE, trust(LEASE), Duration::ZERO);
        let steps =
            events.iter().map(|(second, event)| match flow.next(*event, Duration::from_secs(*second)) {
                Step::Renew(_, within) => format!("renew within {}", within.as_secs()),
                Step::Wait(span) => format!("wait {}", span.as_secs()),
                Step::Release(_) => "release".to_owned(),
                step => format!("{step:?}"),
            });
        steps.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_lease_is_renewed_trusted_from_when_it_was_asked_for_and_released() {
        use Class::{Forbidden, LeaseLost, NotFound};
        use Event::{Ended, Failed, Released, Renewed, Tick};
        use Failure::{Away, Contended, Fault, No, Unknown};
        assert_eq!(trust(LEASE).as_secs(), 54, "the figures below count on it");
        for (events, expected) in [
            (
                vec![(1, Tick), (20, Tick), (22, Renewed), (40, Tick)],
                "wait 19, renew within 34, wait 18, renew within 34",
            ),
            // It extends nothing, and is tried again soon.
            (
                vec![(20, Tick), (21, Failed(Away)), (26, Tick), (53, Failed(Unknown)), (54, Tick)],
                "renew within 34, wait 5, renew within 28, wait 1, Lost(Late)",
            ),
            (vec![(20, Tick), (54, Failed(Contended))], "renew within 34, Lost(Late)"),
            (vec![(20, Tick), (21, Failed(Fault))], "renew within 34, wait 5"),
            // An answer that comes too late for what it says is still one.
            (vec![(20, Tick), (80, Renewed)], "renew within 34, Lost(Late)"),
            (vec![(20, Tick), (21, Failed(No(LeaseLost)))], "renew within 34, Lost(Taken)"),
            (vec![(20, Tick), (21, Failed(No(Forbidden)))], "renew within 34, Lost(Taken)"),
            (vec![(20, Tick), (21, Failed(No(NotFound)))], "renew within 34, Lost(Taken)"),
            (vec![(5, Ended), (6, Released)], "release, Done"),
            (vec![(5, Ended), (6, Failed(No(LeaseLost)))], "release, Lost(Taken)"),
            (vec![(5, Ended), (6, Failed(No(Forbidden)))], "release, Kept"),
            (vec![(5, Ended), (6, Failed(Away))], "release, Kept"),
        ] {
            assert_eq!(told(&events), expected, "{events:?}");
        }
    }
}
