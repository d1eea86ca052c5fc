//! The signs of life of the fleet, judged as one: by what this host saw of them before and by the clock on
//! which most of the servers agree.
//!
//! For people. Nothing is taken from anybody by it; who is lost is `watch.rs`'s to say.

use crate::app::documents::{SeenBeats, seen_beats};
use crate::app::observations::Observations;
use crate::app::takeover::compare_beats;
use crate::domain::clocks::{ClockChange, OwnClock, age};
use crate::domain::heartbeat::{Freshness, WorkerStopped};
use crate::domain::id::ServerName;
use crate::domain::queue::SCRIPTS_WITHIN;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use crate::machine::Machine;
use std::collections::HashMap;

/// What there is of the signs of life of `names`.
///
/// # Errors
/// When a branch cannot be read.
pub fn seen_of(
    documents: &impl Documents,
    names: impl IntoIterator<Item = ServerName>,
) -> Result<HashMap<ServerName, SeenBeats>, Abort> {
    names.into_iter().map(|name| Ok((name.clone(), seen_beats(documents, &name)?))).collect()
}

/// The signs of life of many servers, judged.
#[derive(Debug)]
pub struct Heartbeats {
    seen: HashMap<ServerName, SeenBeats>,
    changes: HashMap<ServerName, ClockChange>,
    /// Our clock beside those of the servers.
    pub clock: OwnClock,
}

impl Heartbeats {
    /// Judges what was `seen` just now in the hub and branch that `place` names, and remembers it for the
    /// next look. The clock of `me` has no say in whether it is off itself.
    #[must_use]
    pub fn judge(
        machine: &Machine,
        seen: HashMap<ServerName, SeenBeats>,
        place: &str,
        me: Option<&ServerName>,
        now: Timestamp,
    ) -> Self {
        let mut observed = Observations::recall(machine);
        let signs = Self::compare(seen, &mut observed, place, me, now);
        observed.keep();
        signs
    }

    /// [`Heartbeats::judge`] for who leaves no trace.
    #[must_use]
    pub fn look(
        machine: &Machine,
        seen: HashMap<ServerName, SeenBeats>,
        place: &str,
        me: Option<&ServerName>,
        now: Timestamp,
    ) -> Self {
        Self::compare(seen, &mut Observations::recall(machine), place, me, now)
    }

    /// [`Heartbeats::judge`] by what was `observed` before, which is kept by whoever has it.
    pub(super) fn compare(
        seen: HashMap<ServerName, SeenBeats>,
        observed: &mut Observations,
        place: &str,
        me: Option<&ServerName>,
        now: Timestamp,
    ) -> Self {
        let beats: Vec<_> =
            seen.iter().filter_map(|(name, seen)| Some((name, &**seen.newest.as_ref()?))).collect();
        let (clock, changes) = compare_beats(observed, place, &beats, me, now);
        Self { seen, changes, clock }
    }

    /// What there is of a server.
    #[must_use]
    pub fn of(&self, name: &ServerName) -> Option<&SeenBeats> {
        self.seen.get(name)
    }

    /// What was seen of its newest beat before.
    #[must_use]
    pub fn change(&self, name: &ServerName) -> ClockChange {
        self.changes.get(name).copied().unwrap_or(ClockChange::First)
    }

    /// How the last sign of life of a server is to be judged.
    #[must_use]
    pub fn life(&self, name: &ServerName) -> Freshness {
        let Some(beat) = self.of(name).and_then(|seen| seen.newest.as_ref()) else {
            return Freshness::Unknown;
        };
        if beat.is_last() {
            return Freshness::Stopped;
        }
        let at = |at| beat.freshness_at_age(age(at, self.change(name), self.clock.now));
        beat.at().map_or(Freshness::Unknown, at)
    }

    /// Whether workers that are to run one job come by there, as from cron.
    #[must_use]
    pub fn has_passers_by(&self, name: &ServerName) -> bool {
        let Some(seen) = self.of(name) else { return false };
        let comes_again = seen.worker_stopped.as_ref().is_some_and(WorkerStopped::comes_again);
        comes_again && seen.worker_at.is_some_and(|at| self.clock.now.since(at) <= SCRIPTS_WITHIN)
    }

    /// How the last one of its worker is to be judged.
    #[must_use]
    pub fn worker(&self, name: &ServerName) -> Freshness {
        let Some(seen) = self.of(name) else { return Freshness::Unknown };
        if seen.worker_stopped.is_some() {
            return Freshness::Stopped;
        }
        let (Some(beat), Some(at)) = (&seen.newest, seen.worker_at) else { return Freshness::Unknown };
        // What changed lately is the newest beat; one that stood still says as much of an older one.
        let change = match self.change(name) {
            ClockChange::Within(_) if beat.at() != Some(at) => ClockChange::First,
            ClockChange::Same(least, Some(_)) if beat.at() != Some(at) => ClockChange::Same(least, None),
            change => change,
        };
        beat.freshness_at_age(age(at, change, self.clock.now))
    }
}
