//! From a simulation that went wrong to a smaller one that goes wrong in the same way.

use super::faults::FAULTS;
use super::{Limits, run};
use std::time::Duration;

/// How often a smaller simulation is tried.
const TRIES_MAX: u32 = 200;

/// The first word of a violation: the invariant that did not hold.
fn kind(violation: &str) -> &str {
    violation.split(':').next().unwrap_or_default()
}

/// The narrowest limits found under which `seed` still breaks the same invariant first.
#[must_use]
pub fn shrink(seed: u64, limits: &Limits) -> Limits {
    let mut found = limits.clone();
    let Some(wanted) = run(seed, &found, false).violations.first().map(|first| kind(first).to_owned()) else {
        return found;
    };
    let mut tries = 0;
    let mut still_fails = |limits: &Limits| {
        tries += 1;
        tries <= TRIES_MAX && run(seed, limits, false).violations.iter().any(|one| kind(one) == wanted)
    };
    // Again from the start as long as something could be left out: without one trouble another may
    // have become needless.
    loop {
        let before = found.clone();
        for smaller in narrower(&found) {
            if still_fails(&smaller) {
                found = smaller;
                break;
            }
        }
        if found == before {
            return found;
        }
    }
}

/// The next steps from `limits`.
fn narrower(limits: &Limits) -> Vec<Limits> {
    let mut steps = Vec::new();
    let storm = limits.storm.unwrap_or(Duration::from_secs(500));
    if storm > Duration::from_secs(20) {
        steps.push(Limits { storm: Some(storm / 2), ..limits.clone() });
        steps.push(Limits { storm: Some(storm * 4 / 5), ..limits.clone() });
    }
    let hosts = limits.hosts.unwrap_or(8);
    let processes = limits.processes.unwrap_or(3);
    steps.extend((1..hosts).map(|hosts| Limits { hosts: Some(hosts), ..limits.clone() }));
    steps.extend((1..processes).map(|processes| Limits { processes: Some(processes), ..limits.clone() }));
    for (_, name, _) in FAULTS {
        if !limits.without.iter().any(|one| one == name) {
            let mut without = limits.without.clone();
            without.push(name.to_owned());
            steps.push(Limits { without, ..limits.clone() });
        }
    }
    steps
}
