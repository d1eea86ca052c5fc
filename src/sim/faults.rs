//! What can go wrong, and how often it does in one simulation.
//!
//! Each seed draws its own mix: every kind is left out by half of the seeds, so that each is seen
//! alone and in any company (Groce et al., "Swarm testing", ISSTA 2012).

use super::random::Random;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Unreachable,
    Outage,
    CutOff,
    RateLimited,
    ReadOnly,
    StaleFetch,
    Busy,
    AnswerLost,
    Vanished,
    Delayed,
    Duplicated,
    Repeated,
    Halved,
    RolledBack,
    Killed,
    Paused,
    Suspended,
    Rebooted,
    Gone,
    DiskFull,
    TornFile,
    CopyLost,
    CopyDamaged,
    ClockStep,
    Skew,
    Drift,
    CoarseClock,
    SameName,
    HandEdit,
    ConflictMarkers,
    OldWriter,
    PathHub,
}

impl Fault {
    #[expect(clippy::as_conversions, reason = "asked many times in each turn")]
    fn index(self) -> usize {
        self as usize
    }
}

/// All kinds: the name by which each can be left out, and its highest rate in a thousand chances.
/// What a chance is follows from the kind: a push, a fetch, a turn of a process, a seed.
pub(super) const FAULTS: [(Fault, &str, u64); 32] = [
    (Fault::Unreachable, "unreachable", 100),
    (Fault::Outage, "outage", 3),
    (Fault::CutOff, "cut-off", 3),
    (Fault::RateLimited, "rate-limited", 3),
    (Fault::ReadOnly, "read-only", 2),
    (Fault::StaleFetch, "stale-fetch", 100),
    (Fault::Busy, "busy", 100),
    (Fault::AnswerLost, "answer-lost", 100),
    (Fault::Vanished, "vanished", 100),
    (Fault::Delayed, "delayed", 80),
    (Fault::Duplicated, "duplicated", 100),
    (Fault::Repeated, "repeated", 100),
    (Fault::Halved, "halved", 100),
    (Fault::RolledBack, "rolled-back", 1),
    (Fault::Killed, "killed", 30),
    (Fault::Paused, "paused", 10),
    (Fault::Suspended, "suspended", 3),
    (Fault::Rebooted, "rebooted", 300),
    (Fault::Gone, "gone", 30),
    (Fault::DiskFull, "disk-full", 20),
    (Fault::TornFile, "torn-file", 500),
    (Fault::CopyLost, "copy-lost", 5),
    (Fault::CopyDamaged, "copy-damaged", 10),
    (Fault::ClockStep, "clock-step", 10),
    (Fault::Skew, "skew", 1000),
    (Fault::Drift, "drift", 1000),
    (Fault::CoarseClock, "coarse-clock", 400),
    (Fault::SameName, "same-name", 200),
    (Fault::HandEdit, "hand-edit", 600),
    (Fault::ConflictMarkers, "conflict-markers", 300),
    (Fault::OldWriter, "old-writer", 500),
    (Fault::PathHub, "path-hub", 300),
];

/// How often each kind happens, in a thousand chances.
#[derive(Debug, Clone)]
pub(super) struct Rates([u64; FAULTS.len()]);

impl Rates {
    /// The mix of one seed, but for those kinds that are left out.
    pub(super) fn drawn(random: &mut Random, without: &[String]) -> Self {
        Self(FAULTS.map(|(_, name, most)| {
            // Drawn in any case: what is left out must not change the others.
            let (is_seen, rate) = (random.chance(500), random.up_to(most));
            if is_seen && !without.iter().any(|one| one == name) { rate } else { 0 }
        }))
    }

    pub(super) fn of(&self, fault: Fault) -> u64 {
        self.0.get(fault.index()).copied().unwrap_or(0)
    }

    /// Leaves these kinds out.
    pub(super) fn spare(&mut self, faults: &[Fault]) {
        for fault in faults {
            if let Some(rate) = self.0.get_mut(fault.index()) {
                *rate = 0;
            }
        }
    }

    /// The kinds that happen here.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        FAULTS.iter().zip(self.0).filter(|(_, rate)| *rate > 0).map(|((_, name, _), _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own_and_can_be_left_out() {
        let without: Vec<String> = FAULTS.iter().map(|(_, name, _)| (*name).to_owned()).collect();
        let mut names = without.clone();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
        assert!(FAULTS.iter().enumerate().all(|(index, (fault, ..))| fault.index() == index));
        assert_eq!(Rates::drawn(&mut Random::new(1), &without).names().count(), 0);
        assert!(Rates::drawn(&mut Random::new(1), &[]).names().count() > 5);
    }
}
