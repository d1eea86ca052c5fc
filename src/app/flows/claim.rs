//! Getting a job: claim, watch who holds what, take back what is lost, claim again.
//!
//! A command claims first, and looks at the holders when there is nothing for it, or when nobody has looked
//! for a while; what is lost goes back to the queue in the same write. A worker looks at its own pace, takes
//! back what is lost also when it has no room, and claims after that.

#[cfg(test)]
mod tests;

use super::{Failure, PollPause, WaitLimit};
use crate::app::commands::job_claim::{ClaimJobs, is_over};
use crate::app::commands::reclaim::{ReclaimJobs, WatchedClaim, watched_claims};
use crate::app::takeover::{Watch, WatchedLock, held_assignment};
use crate::domain::code::Class;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Claimant, Job};
use crate::domain::lock::Lock;
use crate::domain::queue::{Delayed, Queue};
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use std::time::Duration;

/// How many claims in a row may come to nothing because others are faster, each after seconds of trying,
/// until a worker that claims once gives up.
const PUT_OFF_MAX: u32 = 3;

/// What the documents tell that the last write found, without another look at the hub.
#[derive(Debug, Clone, Default)]
pub struct LocalView {
    /// Whether another server ended the session that claims.
    pub is_over: bool,
    /// Jobs whose delays have to be counted here.
    pub delayed: Vec<Delayed>,
    /// Whether anybody holds anything that could be lost.
    pub is_held: bool,
}

impl LocalView {
    /// What `documents` tell `claimant`, at `now` on the wall.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of(documents: &impl Documents, claimant: &Claimant, now: Timestamp) -> Result<Self, Abort> {
        let jobs: Table<Job> = documents.table()?;
        let is_held = jobs.rows().any(|job| job.status.is_held()) || held_assignment(documents)?.is_some();
        Ok(Self {
            is_over: is_over(claimant, documents)?,
            delayed: Queue::new(&jobs, now).delayed(),
            is_held,
        })
    }
}

/// What the hub shows of who holds what.
#[derive(Debug, Clone, Default)]
pub struct HubView {
    /// The lock under which nobody claims, while somebody holds it.
    pub assignment: Option<Lock>,
    /// The claims that may be lost.
    pub claims: Vec<WatchedClaim>,
}

impl HubView {
    /// What `me` has to watch. With all heartbeats.
    ///
    /// # Errors
    /// When a document cannot be read.
    pub fn of(documents: &impl Documents, me: &ServerName) -> Result<Self, Abort> {
        Ok(Self { assignment: held_assignment(documents)?, claims: watched_claims(documents, me)? })
    }
}

/// What a worker saw, and what it can take.
#[derive(Debug, Default)]
pub struct Poll {
    /// Who holds what.
    pub seen: HubView,
    /// Jobs whose delays have to be counted here.
    pub delayed: Vec<Delayed>,
    /// How many jobs it would take.
    pub room: usize,
    /// The session in which it claims.
    pub session: String,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A command begins.
    Begin,
    /// The hub has the claim of so many jobs; of none when lost ones went back and back off first.
    Claimed(usize),
    /// The hub has what was lost back in its queue.
    Reclaimed,
    /// The write came to nothing.
    Failed(Failure),
    /// What the last write found.
    Known(LocalView),
    /// What the hub shows.
    Seen(HubView),
    /// It could not be seen.
    Unseen(Failure),
    /// A worker looked, at its own time.
    Polled(Poll),
    /// The pause is over, or a new session began: this is the one in which is claimed.
    Session(String),
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this claim.
    Claim(ClaimJobs),
    /// Write this: a worker takes back what is lost.
    Reclaim(ReclaimJobs),
    /// Read the documents as the last write found them.
    Recall,
    /// Read the hub, with all heartbeats.
    Look,
    /// The session was ended: begin another.
    BeginAnew,
    /// Wait before the next claim. A worker waits until its next look.
    Wait(Option<PollPause>, WaitReason),
    /// It has what it claimed.
    Done,
    /// The last failure stands.
    Refused,
    /// The same, after it waited as long as it may.
    TimeUp,
}

/// Why it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// There is nothing to claim, or no room for it.
    Nothing,
    /// Somebody holds what it needs.
    HeldUp,
    /// A worker was refused, or the hub could not be used.
    Failed,
    /// Others were faster, nobody knows whether they were, or a new session has to be made known.
    PutOff,
}

/// Who claims, and how.
#[derive(Debug, Clone, Copy)]
enum Caller {
    Command(WaitLimit),
    /// Whether it claims once, and whether it ends when what it is to do cannot be done.
    Worker {
        once: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first claim.
    Beginning,
    Claiming,
    /// A refusal said that the lease is lost: of the session, or of a lock that guards the claim.
    LeaseLost,
    /// The hub is looked at, for another reason than to begin.
    Watching,
    Reclaiming,
}

/// See the module.
#[derive(Debug)]
pub struct ClaimFlow {
    claim: ClaimJobs,
    manner: Caller,
    state: State,
    assignment: Option<WatchedLock>,
    put_off: u32,
}

impl ClaimFlow {
    /// A command that waits as long as `patience` says.
    #[must_use]
    pub fn of_command(claim: ClaimJobs, patience: WaitLimit) -> Self {
        Self::new(claim, Caller::Command(patience))
    }

    /// A worker, which says what it saw whenever it looked; one that claims `once` ends with its first
    /// answer.
    #[must_use]
    pub fn of_worker(claim: ClaimJobs, once: bool) -> Self {
        Self::new(claim, Caller::Worker { once })
    }

    fn new(claim: ClaimJobs, manner: Caller) -> Self {
        Self { claim, manner, state: State::Beginning, assignment: None, put_off: 0 }
    }

    /// Who claims.
    #[must_use]
    pub fn claimant(&self) -> &Claimant {
        &self.claim.claimant
    }

    /// The jobs that were seen for as long as they were to wait.
    #[must_use]
    pub fn ripe(&self) -> &[JobId] {
        &self.claim.ripe
    }

    /// How long the lock under which jobs are assigned has to be watched yet, if somebody holds it.
    #[must_use]
    pub fn held_up(&self) -> Option<Duration> {
        self.assignment.as_ref().map(|seen| seen.left)
    }

    /// What to do after `event`.
    pub fn next(&mut self, event: Event, watch: &mut Watch<'_>) -> Step {
        match event {
            Event::Begin if watch.is_due() => Step::Recall,
            Event::Begin => self.claim(),
            Event::Claimed(0) => {
                self.claim.lost.clear();
                self.claim()
            }
            Event::Claimed(_) => {
                self.put_off = 0;
                Step::Done
            }
            Event::Reclaimed => self.claim_or_wait(),
            Event::Failed(_) if self.state == State::Reclaiming => self.claim_or_wait(),
            Event::Failed(failure) => match self.manner {
                Caller::Command(patience) => self.failed(failure, patience.is_over(watch.now)),
                Caller::Worker { once } => self.failed_in_worker(failure, once),
            },
            Event::Known(known) => self.known(&known, watch),
            Event::Seen(seen) => self.seen(&seen, watch),
            // Looked for beside what was asked: the claim itself goes on.
            Event::Unseen(failure) if self.state == State::Beginning && failure != Failure::Away => {
                self.claim()
            }
            Event::Unseen(_) => Step::Refused,
            Event::Polled(poll) => self.polled(poll, watch),
            Event::Session(session) => {
                self.claim.claimant.incarnation = session;
                match self.manner {
                    Caller::Command(_) => self.claim(),
                    Caller::Worker { once } => self.put_off(once),
                }
            }
        }
    }

    fn claim(&mut self) -> Step {
        self.state = State::Claiming;
        Step::Claim(self.claim.clone())
    }

    fn failed(&mut self, failure: Failure, is_over: bool) -> Step {
        if failure == Failure::No(Class::LeaseLost) {
            self.state = State::LeaseLost;
            return Step::Recall;
        }
        if !failure.may_pass(!is_over) {
            return Step::Refused;
        }
        // Nothing to claim, or somebody is assigning: see whether a holder is lost.
        self.state = State::Watching;
        Step::Recall
    }

    fn known(&mut self, known: &LocalView, watch: &mut Watch<'_>) -> Step {
        if self.state == State::LeaseLost {
            return if known.is_over { Step::BeginAnew } else { Step::Refused };
        }
        if self.state == State::Watching {
            let ripe = watch.ripe(&known.delayed);
            if !ripe.is_empty() && ripe != self.claim.ripe {
                self.claim.ripe = ripe;
                return self.claim();
            }
        }
        if known.is_held {
            return Step::Look;
        }
        // Nothing is held: there is nobody to watch, and no need to ask the hub again.
        watch.forget_claims(&[]);
        watch.assignment(None);
        self.assignment = None;
        if self.state == State::Beginning { self.claim() } else { self.wait(watch.now) }
    }

    fn seen(&mut self, seen: &HubView, watch: &mut Watch<'_>) -> Step {
        self.assignment = watch.assignment(seen.assignment.as_ref());
        let expired = self.assignment.as_ref().and_then(|seen| seen.expired.clone());
        let lost = watch.lost(&seen.claims);
        let is_new = (expired.is_some() && expired != self.claim.expired_assignment)
            || (!lost.is_empty() && lost != self.claim.lost);
        if is_new || self.state == State::Beginning {
            (self.claim.expired_assignment, self.claim.lost) = (expired, lost);
            return self.claim();
        }
        self.wait(watch.now)
    }

    fn wait(&self, now: Duration) -> Step {
        match self.manner {
            Caller::Command(patience) => match patience.next(now) {
                Some(pause) => Step::Wait(Some(pause), WaitReason::HeldUp),
                None => Step::TimeUp,
            },
            Caller::Worker { .. } => Step::Wait(None, WaitReason::HeldUp),
        }
    }

    fn polled(&mut self, poll: Poll, watch: &mut Watch<'_>) -> Step {
        self.claim.claimant.incarnation = poll.session;
        self.claim.count = poll.room;
        self.claim.ripe = watch.ripe(&poll.delayed);
        self.assignment = watch.assignment(poll.seen.assignment.as_ref());
        self.claim.expired_assignment = self.assignment.as_ref().and_then(|seen| seen.expired.clone());
        let lost = watch.lost(&poll.seen.claims);
        if lost.is_empty() {
            return self.claim_or_wait();
        }
        self.state = State::Reclaiming;
        Step::Reclaim(ReclaimJobs { server: self.claim.claimant.server.clone(), lost })
    }

    fn claim_or_wait(&mut self) -> Step {
        if self.claim.count == 0 { Step::Wait(None, WaitReason::Nothing) } else { self.claim() }
    }

    fn failed_in_worker(&mut self, failure: Failure, once: bool) -> Step {
        // Nothing else is waited for.
        let ends = once || self.claim.job.is_some();
        match failure {
            Failure::No(Class::Nothing) if self.claim.job.is_none() => Step::Wait(None, WaitReason::Nothing),
            // Its signs of life need not have told it: they may lie on a branch that was removed since.
            Failure::No(Class::LeaseLost) => Step::BeginAnew,
            Failure::Contended | Failure::Unknown => self.put_off(once),
            Failure::No(_) | Failure::Away | Failure::Fault if ends => Step::Refused,
            Failure::No(_) if self.assignment.is_some() => Step::Wait(None, WaitReason::HeldUp),
            Failure::No(_) | Failure::Away | Failure::Fault => Step::Wait(None, WaitReason::Failed),
        }
    }

    /// Claims later, unless nothing else is waited for and that was so often enough.
    fn put_off(&mut self, once: bool) -> Step {
        self.put_off += 1;
        if once && self.put_off >= PUT_OFF_MAX { Step::Refused } else { Step::Wait(None, WaitReason::PutOff) }
    }
}
