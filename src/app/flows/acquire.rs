//! Getting a lock: ask, watch its holder, take over what nobody renews, ask again.

use super::{Failure, PollPause, WaitLimit};
use crate::app::commands::lock::AcquireLock;
use crate::app::takeover::{Watch, WatchedLock};
use crate::domain::code::Class;
use crate::domain::id::LockName;
use crate::domain::lease::trust;
use crate::domain::lock::Lock;
use crate::domain::planted::planted;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents};
use std::time::Duration;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// It begins.
    Begin,
    /// The hub says that it is ours.
    Acquired,
    /// The write came to nothing.
    Failed(Failure),
    /// The lock as the hub has it, if it has one.
    Seen(Option<Box<Lock>>),
    /// It could not be seen.
    Unseen,
    /// The pause is over.
    Waited,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this.
    Acquire(AcquireLock),
    /// Read the lock.
    Look,
    /// Wait before it is asked again.
    Wait(PollPause),
    /// It is ours, and nobody else can have it before this time since boot.
    Done(Duration),
    /// The last failure stands.
    Refused,
    /// The same, after it waited as long as it may.
    TimeUp,
}

/// The lock as the hub has it, if it was ever taken: what [`Step::Look`] asks for.
///
/// # Errors
/// When the locks cannot be read.
pub fn look(documents: &impl Documents, name: &LockName) -> Result<Option<Box<Lock>>, Abort> {
    let locks: Table<Lock> = documents.table()?;
    Ok(locks.get(name.as_str()).map(|lock| Box::new((**lock).clone())))
}

/// See the module.
#[derive(Debug)]
pub struct AcquireFlow {
    acquire: AcquireLock,
    patience: WaitLimit,
    /// When it was asked for last: trust begins with the attempt, not with its acknowledgement.
    asked: Duration,
    watched: Option<WatchedLock>,
}

impl AcquireFlow {
    /// For who waits as long as `patience` says.
    #[must_use]
    pub fn new(acquire: AcquireLock, patience: WaitLimit) -> Self {
        Self { acquire, patience, asked: Duration::ZERO, watched: None }
    }

    /// What is asked for.
    #[must_use]
    pub fn asks(&self) -> &AcquireLock {
        &self.acquire
    }

    /// How long the lock has to be watched yet until it may be taken over, if somebody held it when it was
    /// seen last.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.watched.as_ref().map(|seen| seen.left)
    }

    /// What to do after `event`.
    pub fn next(&mut self, event: Event, watch: &mut Watch<'_>) -> Step {
        match event {
            Event::Begin | Event::Waited => self.ask(watch.now),
            Event::Acquired => {
                let from = if planted("trust-from-the-answer") { watch.now } else { self.asked };
                let lease = Duration::from_secs(self.acquire.taker.lease_seconds);
                Step::Done(from.saturating_add(trust(lease)))
            }
            Event::Failed(failure) if may_pass(failure, !self.patience.is_over(watch.now)) => Step::Look,
            Event::Failed(_) | Event::Unseen => Step::Refused,
            Event::Seen(lock) => {
                self.watched = watch.lock(self.acquire.name.as_str(), lock.as_deref());
                let expired = self.watched.as_ref().and_then(|seen| seen.expired.clone());
                if expired.is_some() && expired != self.acquire.expired {
                    self.acquire.expired = expired;
                    return self.ask(watch.now);
                }
                self.patience.next(watch.now).map_or(Step::TimeUp, Step::Wait)
            }
        }
    }

    fn ask(&mut self, now: Duration) -> Step {
        self.asked = now;
        Step::Acquire(self.acquire.clone())
    }
}

/// Whether waiting may change it, as long as there `is_time`: another holds it. What is done stays done.
fn may_pass(failure: Failure, is_time: bool) -> bool {
    match failure {
        Failure::No(Class::Forbidden) => true,
        Failure::Contended => is_time,
        Failure::No(_) | Failure::Unknown | Failure::Away | Failure::Fault => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::observations::Observations;
    use crate::domain::id::ServerName;
    use crate::domain::lock::LockRequest;
    use crate::machine::Machine;
    use Failure::{Away, Contended, Fault, No, Unknown};

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: WaitLimit = WaitLimit { until: Duration::from_secs(300), pause: Duration::from_secs(5) };

    fn taker(server: &str) -> LockRequest {
        LockRequest {
            server: ServerName::new(server).expect("a name"),
            holder: String::new(),
            lease_seconds: 60,
            reason: None,
        }
    }

    fn flow() -> AcquireFlow {
        let name = LockName::new("deploy").expect("a name");
        AcquireFlow::new(AcquireLock { name, taker: taker("build1"), expired: None }, PATIENCE)
    }

    fn held() -> Event {
        let mut lock = Lock::free("deploy");
        lock.locked_by = Some("build2".to_owned());
        lock.token = Some(1);
        lock.lease_seconds = Some(60);
        Event::Seen(Some(Box::new(lock)))
    }

    /// What the flow says to each of `events`, which happen at these seconds, in short.
    fn told(events: Vec<(u64, Event)>) -> String {
        let (mut flow, mut observed) = (flow(), Observations::begin(&Machine::real()));
        let steps = events.into_iter().map(|(second, event)| {
            let now = Duration::from_secs(second);
            match flow.next(event, &mut Watch { observed: &mut observed, place: "hub main", now }) {
                Step::Acquire(acquire) if acquire.expired.is_some() => "take over".to_owned(),
                Step::Acquire(_) => "acquire".to_owned(),
                Step::Wait(_) => "wait".to_owned(),
                step => format!("{step:?}"),
            }
        });
        steps.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_lock_is_asked_for_watched_and_taken_over_as_long_as_there_is_time() {
        use Event::{Acquired, Begin, Failed, Seen, Unseen, Waited};
        let refused = || Failed(No(Class::Forbidden));
        let table = vec![
            // Trust begins when it is asked for: 60 s of lease without the margin.
            (vec![(1, Begin), (9, Acquired)], format!("acquire, Done({:?})", SECOND + trust(60 * SECOND))),
            (
                vec![(1, Begin), (2, refused()), (2, Seen(None)), (7, Waited)],
                "acquire, Look, wait, acquire".to_owned(),
            ),
            (vec![(1, Begin), (2, refused()), (2, held())], "acquire, Look, wait".to_owned()),
            (
                vec![
                    (1, Begin),
                    (2, refused()),
                    (2, held()),
                    (80, Waited),
                    (80, refused()),
                    (80, held()),
                    (81, refused()),
                    (81, held()),
                ],
                "acquire, Look, wait, acquire, Look, take over, Look, wait".to_owned(),
            ),
            (vec![(300, Begin), (301, refused()), (301, held())], "acquire, Look, TimeUp".to_owned()),
            // Beyond the time it is still taken over if it may be.
            (
                vec![(1, Begin), (2, refused()), (2, held()), (301, Waited), (301, refused()), (301, held())],
                "acquire, Look, wait, acquire, Look, take over".to_owned(),
            ),
            (vec![(1, Begin), (2, Failed(Contended)), (2, Seen(None))], "acquire, Look, wait".to_owned()),
            (vec![(300, Begin), (300, Failed(Contended))], "acquire, Refused".to_owned()),
            (vec![(1, Begin), (2, refused()), (2, Unseen)], "acquire, Look, Refused".to_owned()),
            (vec![(1, Begin), (2, Failed(No(Class::Nothing)))], "acquire, Refused".to_owned()),
            (vec![(1, Begin), (2, Failed(No(Class::LeaseLost)))], "acquire, Refused".to_owned()),
            (vec![(1, Begin), (2, Failed(Unknown))], "acquire, Refused".to_owned()),
            (vec![(1, Begin), (2, Failed(Away))], "acquire, Refused".to_owned()),
            (vec![(1, Begin), (2, Failed(Fault))], "acquire, Refused".to_owned()),
        ];
        for (events, expected) in table {
            let shown = format!("{events:?}");
            assert_eq!(told(events), expected, "{shown}");
        }
    }
}
