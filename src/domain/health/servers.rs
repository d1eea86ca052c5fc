//! What is judged of each server: its heartbeats, its last build, and whether it is registered.

use super::{Broken, Fleet, Known};
use crate::domain::clocks::{self, SKEW_MAX};
use crate::domain::finding::{About, Finding, FleetFact};
use crate::domain::heartbeat::{Freshness, Heartbeat};
use crate::domain::time::Timestamp;
use std::time::Duration;

impl Fleet<'_> {
    pub(super) fn judge_server(&self, known: &Known<'_>, findings: &mut Vec<Finding>) {
        let name = known.name;
        let mut tell = |fact| findings.push(Finding::new(fact, About::server(name)));
        if let Some(Broken { why }) = known.broken {
            tell(FleetFact::HeartbeatBroken { problem: why.to_owned() });
        }
        match known.heartbeat.and_then(|beat| beat.at().map(|at| (beat, at))) {
            Some((beat, at)) => self.judge_beat(known, beat, at, &mut tell),
            None if known.broken.is_some() => {}
            None => tell(FleetFact::HeartbeatNever),
        }
        let build = known.status.and_then(|status| status.last_build.as_ref());
        if let Some(build) = build.filter(|build| build.status.as_deref() == Some("failed")) {
            let ago_seconds = build.completed_at.map(|at| self.now.since(at).as_secs());
            tell(FleetFact::BuildFailed { job: build.id.clone(), ago_seconds });
        }
    }

    fn judge_beat(
        &self,
        known: &Known<'_>,
        beat: &Heartbeat,
        at: Timestamp,
        tell: &mut impl FnMut(FleetFact),
    ) {
        let since = self.age(known, at);
        let (age_seconds, interval_seconds) = (since.as_secs(), beat.interval().as_secs());
        match beat.freshness_at_age(since) {
            _ if beat.is_last() => {}
            Freshness::Late => tell(FleetFact::HeartbeatLate { age_seconds, interval_seconds }),
            Freshness::Stale => tell(FleetFact::HeartbeatStale { age_seconds, interval_seconds }),
            Freshness::Fresh | Freshness::Unknown | Freshness::Stopped => {}
        }
        if let Some((host, other)) = beat.twins() {
            tell(FleetFact::NameShared { host: host.to_owned(), other_host: other.to_owned() });
        }
        if beat.healthy == Some(false) {
            tell(FleetFact::ServerUnhealthy { age_seconds });
        }
        let ahead = at.since(self.now);
        // Of our own clock all is said when it is said to be off.
        if ahead > SKEW_MAX && !self.is_dated_by_an_off_clock(known.name) {
            let is_beside_others = self.off.is_some();
            tell(FleetFact::ClockSkew { ahead_seconds: ahead.as_secs(), is_beside_others });
        }
    }

    /// Whether beats of `name` were dated by this clock, which is off.
    fn is_dated_by_an_off_clock(&self, name: &str) -> bool {
        self.off.is_some() && self.me == Some(name)
    }

    /// How old the newest beat of a server is, of `at` by its clock. Our own was dated by our clock: by that
    /// of the others it would seem older, or not sent yet, by as much as ours is off.
    pub(super) fn age(&self, known: &Known<'_>, at: Timestamp) -> Duration {
        let age = clocks::age(at, known.change, self.now);
        match &self.off {
            Some(off) if self.me == Some(known.name) => {
                let ours = if off.is_ahead { self.now.plus(off.by) } else { self.now.before(off.by) };
                age.min(ours.since(at))
            }
            _ => age,
        }
    }

    /// A folder of a server that is not registered. As long as no server is, folders count for messages
    /// and claims.
    pub(super) fn unregistered(&self, name: &str) -> Finding {
        let has_register = self.servers.rows().len() > 0;
        Finding::new(FleetFact::ServerUnregistered { has_register }, About::server(name))
    }
}
