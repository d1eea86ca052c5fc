//! Where it is decided that a lock is taken over or a job reclaimed: what a machine that wants something
//! watches, and what it has seen unchanged for the whole takeover delay.
//!
//! How long that is stands in `domain/lease.rs`. Only this machine's boot clock counts, from when it saw that
//! exact version itself. Here it is asked of the documents, after the hub was.

use crate::app::commands::reclaim::{LostClaim, WatchedClaim, WatchedSession};
use crate::app::observations::Observations;
use crate::domain::clocks::{ClockChange, HeartbeatTime, OwnClock, own_clock};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::id::{JobId, ServerName};
use crate::domain::lock::{JOB_ASSIGNMENT, Lock};
use crate::domain::planted::planted;
use crate::domain::queue::{Delayed, Queue};
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use std::collections::HashMap;
use std::time::Duration;

/// How often a host that claims looks for holders that are lost, however much else there is to claim:
/// each look asks the hub for the signs of life of all. What a lost server holds comes back two such spans
/// after it may, as long as anybody claims.
pub const LOST_LOOK_EVERY: Duration = Duration::from_secs(10);

/// What this host has watched in one hub, and the moment at which it looks again.
pub struct Watch<'a> {
    /// What it has seen until now.
    pub observed: &'a mut Observations,
    /// Names the hub and its branch: what is watched in one is nothing seen in another.
    pub place: &'a str,
    /// Now, since boot and after the hub was asked.
    pub now: Duration,
}

/// A lock of which this host has seen one version for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedLock {
    /// That version, once it may be taken over.
    pub expired: Option<String>,
    /// How long that takes if nobody renews it.
    pub left: Duration,
}

impl Watch<'_> {
    fn see(&mut self, what: &str, version: &str) -> Duration {
        self.observed.see(&format!("{} {what}", self.place), version, self.now)
    }

    fn holders(&self) -> String {
        format!("{} holders", self.place)
    }

    /// Whether it is time to look for holders that are lost.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.observed.is_due(&self.holders(), LOST_LOOK_EVERY, self.now) && !planted("recovers-when-idle")
    }

    /// Looks at the lock `name`, `lock` as it is now, if there is one: while it is held it may be taken over
    /// when it was seen unchanged for its patience.
    pub fn lock(&mut self, name: &str, lock: Option<&Lock>) -> Option<WatchedLock> {
        glance_at(self.observed, self.place, name, lock);
        let lock = lock.filter(|lock| lock.is_held())?;
        if planted("wall-clock") {
            let expired =
                lock.expires_at.filter(|at| *at < self.observed.machine().wall()).map(|_| lock.version());
            return Some(WatchedLock { expired, left: Duration::ZERO });
        }
        let seen = self.observed.see(&lock_name(self.place, name), &lock.version(), self.now);
        let left = lock.patience().saturating_sub(seen);
        Some(WatchedLock { expired: left.is_zero().then(|| lock.version()), left })
    }

    /// Looks at `job_assignment`, if anybody holds it.
    pub fn assignment(&mut self, held: Option<&Lock>) -> Option<WatchedLock> {
        self.lock(JOB_ASSIGNMENT, held)
    }

    /// Whether a session of `holder` showed no sign of life for its patience.
    pub fn is_lost(&mut self, holder: &ServerName, session: &WatchedSession) -> bool {
        let which = session.replaced.as_ref().map_or(String::new(), |which| format!(" {which}"));
        self.see(&format!("beat {holder}{which}"), &session.beat) >= session.patience
    }

    /// Those of `delayed` that were seen for as long as they are to wait.
    pub fn ripe(&mut self, delayed: &[Delayed]) -> Vec<JobId> {
        let mut is_ripe = |one: &&Delayed| self.see(&format!("delay {}", one.job), &one.version) >= one.delay;
        delayed.iter().filter(|one| is_ripe(one)).map(|one| one.job.clone()).collect()
    }

    /// Forgets all jobs but those of `claims`: what nobody holds now, and is held later, is another claim.
    pub fn forget_claims(&mut self, claims: &[WatchedClaim]) {
        let names = claims.iter().map(|claim| format!("{} job {}", self.place, claim.job)).collect();
        self.observed.forget_others(&format!("{} job ", self.place), &names);
    }

    /// Those of `claims`, all that there are, that are over: their own time ran out, or the session that made
    /// them showed no sign of life for its patience.
    pub fn lost(&mut self, claims: &[WatchedClaim]) -> Vec<LostClaim> {
        let mut lost = Vec::new();
        self.forget_claims(claims);
        self.observed.looked(&self.holders(), self.now);
        for claim in claims {
            let job = &claim.job;
            let in_time = self.see(&format!("job {job}"), &claim.version) < claim.time_patience;
            let alive = match &claim.session {
                Some(session) => !self.is_lost(&claim.holder, session),
                None => true,
            } && !planted("rescue-at-once");
            if !in_time || !alive {
                let beat = claim.session.as_ref().filter(|_| !alive).map(|session| session.beat.clone());
                lost.push(LostClaim { job: job.clone(), token: claim.token, beat });
            }
        }
        lost
    }
}

/// Looks at a lock by the way: whoever watched it in another version, or held, begins anew.
pub fn glance_at(observed: &mut Observations, place: &str, name: &str, lock: Option<&Lock>) {
    let version = lock.filter(|lock| lock.is_held()).map(Lock::version);
    observed.glance(&lock_name(place, name), version.as_deref());
}

fn lock_name(place: &str, name: &str) -> String {
    format!("{place} lock {name}")
}

/// `job_assignment`, if anybody holds it: a script of the first ones that assigns, or one that died over it.
/// Nothing is claimed meanwhile, so who claims watches it as it watches the holders of jobs.
///
/// # Errors
/// When the locks cannot be read.
pub fn held_assignment(documents: &impl Documents) -> Result<Option<Lock>, Abort> {
    let locks: Table<Lock> = documents.table()?;
    Ok(locks.get(JOB_ASSIGNMENT).filter(|lock| lock.is_held()).map(|lock| (**lock).clone()))
}

/// Compares the newest beats of servers with the looks before, and our clock with those of all of them
/// but `me`.
pub fn compare_beats(
    observed: &mut Observations,
    place: &str,
    beats: &[(&ServerName, &Heartbeat)],
    me: Option<&ServerName>,
    now: Timestamp,
) -> (OwnClock, HashMap<ServerName, ClockChange>) {
    let since_boot = observed.machine().since_boot();
    let mut changes = HashMap::new();
    let mut others = Vec::new();
    for (name, beat) in beats {
        let millis = beat.at().map_or(0, Timestamp::unix_millis);
        let version = format!("{:020}@{millis:020}", beat.sequence.unwrap_or(0));
        let change = observed.compare(&format!("{place} newest beat {name}"), &version, since_boot);
        if let Some(at) = beat.at().filter(|_| Some(*name) != me) {
            others.push(HeartbeatTime { at, interval: beat.interval(), change });
        }
        changes.insert((*name).clone(), change);
    }
    (own_clock(now, &others), changes)
}

/// The jobs with a delay that this machine has watched for as long. Whoever only looks watches nothing.
#[must_use]
pub fn ripe_until_now(observed: &mut Observations, place: &str, queue: &Queue<'_>) -> Vec<JobId> {
    let now = observed.machine().since_boot();
    Watch { observed, place, now }.ripe(&queue.delayed())
}
