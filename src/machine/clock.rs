//! The clocks of the real machine: the wall's, for what people read, and the boot's, for what leases are judged by.

use crate::domain::time::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall clock now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one door to the wall clock")]
pub fn wall() -> Timestamp {
    if let Some(fixed) = fixed() {
        return fixed;
    }
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_millis());
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(millis)
        .unwrap_or_else(|| Timestamp::from_unix_millis(0).expect("the epoch is a valid time"))
}

/// The time that `MUSTER_CLOCK` gives, in RFC 3339, so that a test can say what has to be shown. Exists in
/// debug builds only, as the fail points do.
fn fixed() -> Option<Timestamp> {
    #[cfg(debug_assertions)]
    return super::environment::variable("MUSTER_CLOCK").and_then(|text| Timestamp::parse(&text));
    #[cfg(not(debug_assertions))]
    return None;
}

/// Time since boot, including time asleep: a machine that was suspended must not believe that
/// its lease stood still meanwhile, as `Instant` on Linux would have it.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = nix::time::ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    nix::time::clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// Time since boot without what it was asleep: for how long something could have been watched.
#[must_use]
pub fn awake() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Names the clock that [`since_boot`] and [`awake`] read: readings compare only within one. A boot has several of
/// them where namespaces of time are used. `None` where the system does not tell, and then nothing observed may outlive
/// the process.
#[must_use]
pub fn clock_id() -> Option<String> {
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    boot_id().map(|boot| boot + &shifted(&offsets))
}

/// By what the clocks of this process are shifted, in a few signs; nothing where they are those of the machine.
fn shifted(offsets: &str) -> String {
    let numbers = offsets.lines().flat_map(|line| line.split_whitespace().skip(1)).collect::<Vec<_>>();
    if numbers.iter().all(|number| *number == "0") {
        String::new()
    } else {
        format!("+{}", numbers.join("+"))
    }
}

/// Names the present boot. `None` where the system does not tell.
#[must_use]
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Waits. Callers bound how often.
#[expect(clippy::disallowed_methods, reason = "the one door to sleeping")]
pub fn sleep(span: Duration) {
    std::thread::sleep(span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_named_by_what_it_is_shifted() {
        for (offsets, expected) in [
            ("", ""),
            ("monotonic           0         0\nboottime            0         0\n", ""),
            ("monotonic           0         0\nboottime         1000         5\n", "+0+0+1000+5"),
            ("monotonic          -7         0\nboottime            0         0\n", "+-7+0+0+0"),
        ] {
            assert_eq!(shifted(offsets), expected, "{offsets:?}");
        }
        assert!(clock_id().is_none_or(|id| id.starts_with(&boot_id().expect("a boot"))));
    }
}
