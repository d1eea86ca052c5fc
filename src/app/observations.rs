//! What this host has watched, and since when: the only clock that decides whether a lease of
//! another host is over.
//!
//! Kept between runs with the boot id, so that a cron line that looks once a minute gathers its
//! patience over many runs. After a reboot, or when the file cannot be understood, watching starts
//! again: too late is safe, too early is not.

use crate::domain::clocks::ClockChange;
use crate::domain::planted::planted;
use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// The most things watched at once; the oldest are forgotten.
const ENTRIES_MAX: usize = 4096;

/// What was watched from one machine.
#[derive(Debug)]
pub struct Observations {
    machine: Machine,
    boot: Option<String>,
    entries: BTreeMap<String, Observation>,
    /// What was seen in another version since it was kept last.
    changed: BTreeSet<String>,
}

/// What is kept of it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    boot: Option<String>,
    entries: BTreeMap<String, Observation>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Observation {
    version: String,
    since_boot_millis: u64,
    /// Since when the version before it was seen, if this host saw it change: it became so after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before_millis: Option<u64>,
}

fn path(machine: &Machine) -> PathBuf {
    machine.state_dir().join("observations.json")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Observations {
    /// What is remembered of this boot.
    #[must_use]
    pub fn recall(machine: &Machine) -> Self {
        let kept: Kept = machine.recall(&path(machine));
        let mut begun = Self::begin(machine);
        if begun.boot.is_some() && kept.boot == begun.boot {
            begun.entries = kept.entries;
        }
        begun
    }

    /// Of who has watched nothing yet.
    #[must_use]
    pub fn begin(machine: &Machine) -> Self {
        let (machine, boot) = (machine.clone(), machine.clock_id());
        Self { machine, boot, entries: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// The machine from which it is watched.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Says that `what` was seen in `version` at `now`, since boot and after the hub was asked, and returns
    /// for how long it has been seen in exactly that version.
    pub fn see(&mut self, what: &str, version: &str, now: Duration) -> Duration {
        let now = millis(now);
        match self.entries.get(what) {
            Some(seen) if seen.version == version || planted("watches-through-renewals") => {
                Duration::from_millis(now.saturating_sub(seen.since_boot_millis))
            }
            _ => {
                self.note(what, version, now);
                Duration::ZERO
            }
        }
    }

    /// As [`Observations::see`], and tells what it was before. Versions are to sort as they follow each
    /// other: what went back did not change by itself.
    pub fn compare(&mut self, what: &str, version: &str, now: Duration) -> ClockChange {
        let ago = |then: u64| Duration::from_millis(millis(now).saturating_sub(then));
        let before = self.entries.get(what).cloned();
        let same = self.see(what, version, now);
        let Some(before) = before else { return ClockChange::First };
        match version.cmp(before.version.as_str()) {
            Ordering::Less => ClockChange::First,
            Ordering::Equal => ClockChange::Same(same, before.before_millis.map(ago)),
            Ordering::Greater => {
                if let Some(seen) = self.entries.get_mut(what) {
                    seen.before_millis = Some(before.since_boot_millis);
                }
                ClockChange::Within(ago(before.since_boot_millis))
            }
        }
    }

    /// Says that `what` was seen in `version` just now, or not at all, if it was watched in another: then it
    /// was not what it is now all the while, and whoever watches it begins anew.
    pub fn glance(&mut self, what: &str, version: Option<&str>) {
        if let Some(seen) = self.entries.get(what)
            && Some(seen.version.as_str()) != version
        {
            self.entries.remove(what);
            self.changed.insert(what.to_owned());
        }
    }

    /// Says that of all things with names that begin with `kind` there are only `these` just now.
    pub fn forget_others(&mut self, kind: &str, these: &BTreeSet<String>) {
        let is_gone = |what: &&String| what.starts_with(kind) && !these.contains(*what);
        let gone: Vec<String> = self.entries.keys().filter(is_gone).cloned().collect();
        for what in gone {
            self.glance(&what, None);
        }
    }

    fn note(&mut self, what: &str, version: &str, now: u64) {
        let seen = Observation { version: version.to_owned(), since_boot_millis: now, before_millis: None };
        self.entries.insert(what.to_owned(), seen);
        self.changed.insert(what.to_owned());
    }

    /// Whether this host has not looked at all of `what` for `span`.
    #[must_use]
    pub fn is_due(&self, what: &str, span: Duration, now: Duration) -> bool {
        let last = self.entries.get(what).map(|seen| Duration::from_millis(seen.since_boot_millis));
        last.is_none_or(|last| now.saturating_sub(last) >= span)
    }

    /// Says that all of `what` was looked at.
    pub fn looked(&mut self, what: &str, now: Duration) {
        self.note(what, "looked", millis(now));
    }

    /// Keeps it for the next run. What cannot be kept only makes the next run wait longer.
    pub fn keep(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        // Another process of this host may have kept what it saw since this one began.
        for (what, seen) in Self::recall(&self.machine).entries {
            if !self.changed.contains(&what) {
                self.entries.insert(what, seen);
            }
        }
        while self.entries.len() > ENTRIES_MAX {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, seen)| seen.since_boot_millis)
                .map(|(what, _)| what.clone());
            self.entries.remove(&oldest.unwrap_or_default());
        }
        let kept = Kept { boot: self.boot.clone(), entries: std::mem::take(&mut self.entries) };
        drop(self.machine.remember_until_boot(&path(&self.machine), &kept));
        self.entries = kept.entries;
        self.changed.clear();
    }
}
