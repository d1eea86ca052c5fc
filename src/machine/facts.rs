//! Facts of the real machine for heartbeats. The only file that names sysinfo.
//!
//! A processor's load needs two samples at least 200 ms apart. A beat does not wait for that: it
//! compares with the sample that the beat before it kept, and has no load when there is none.

use crate::domain::heartbeat::System;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a beat keeps for the next one: processor time spent, in clock ticks since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    busy: u64,
    total: u64,
}

/// Fewer ticks than this between two samples say nothing (a tick is 10 ms of one core).
const TICKS_MIN: u64 = 20;

const GIB: f64 = 1_073_741_824.0;

/// Load since `before`, memory, and free disk space at `folder`; and the sample for next time.
#[must_use]
pub fn system(before: &Sample, folder: &Path) -> (System, Sample) {
    let sample = sample_now();
    let facts = System {
        cpu_usage: load(before, &sample),
        memory_used_gb: memory_used().map(|bytes| tenths(to_f64(bytes) / GIB)),
        disk_free_gb: disk_free(folder).map(tenths),
    };
    (facts, sample)
}

/// The program and the arguments of a process of this machine, with zero bytes between them.
#[must_use]
pub fn command_line(process: &str) -> Option<String> {
    let process: u32 = process.parse().ok()?;
    let line = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// A digest of the id that the operating system gave this machine when it was installed; the id itself is
/// not for others.
#[must_use]
pub fn machine_digest() -> Option<String> {
    let id = std::fs::read_to_string("/etc/machine-id").ok().filter(|id| !id.trim().is_empty())?;
    Some(super::digest::of_text(&format!("git-muster {}", id.trim())).chars().take(16).collect())
}

/// How many threads can run at the same time here, at least one.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Seconds since the machine was booted.
#[must_use]
pub fn uptime_seconds() -> u64 {
    sysinfo::System::uptime().unwrap_or(0)
}

fn memory_used() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
    Some(system.used_memory())
}

/// The first line of `/proc/stat` counts ticks of all cores: user, nice, system, idle, iowait, ...
fn sample_now() -> Sample {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .map(|line| line.split_whitespace().map_while(|ticks| ticks.parse().ok()).take(8).collect())
        .unwrap_or_default();
    let total: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Sample { busy: total.saturating_sub(idle), total }
}

/// Percent of all cores between two samples; `None` without a usable earlier one.
fn load(before: &Sample, now: &Sample) -> Option<f64> {
    let total = now.total.checked_sub(before.total)?;
    let busy = now.busy.checked_sub(before.busy)?;
    (before.total > 0 && total >= TICKS_MIN).then(|| tenths(100.0 * to_f64(busy) / to_f64(total)))
}

fn disk_free(folder: &Path) -> Option<f64> {
    let disk = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(to_f64(disk.blocks_available()) * to_f64(disk.fragment_size()) / GIB)
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "figures for people, to a tenth")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_what_happened_between_two_samples() {
        let sample = |busy, total| Sample { busy, total };
        assert_eq!(load(&sample(100, 1000), &sample(150, 1200)), Some(25.0));
        assert_eq!(load(&Sample::default(), &sample(150, 1200)), None);
        assert_eq!(load(&sample(100, 1000), &sample(101, 1005)), None);
        assert_eq!(load(&sample(100, 1000), &sample(5, 10)), None, "rebooted");
    }

    #[test]
    fn facts_are_there_on_this_machine() {
        let (facts, _) = system(&Sample::default(), Path::new("/"));
        assert!(facts.memory_used_gb.is_some_and(|gib| gib > 0.0));
        assert!(facts.disk_free_gb.is_some());
    }
}
