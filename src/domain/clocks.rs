//! Whose clock is wrong: ours, or another's.
//!
//! The hub has no clock. What it has are the times that others wrote, each by its own; when most of them
//! agree with each other and not with ours, ours is the one to doubt. Nothing is taken from anybody by
//! what is concluded here: leases are watched by the boot clock (`lock.rs`).

use super::time::Timestamp;
use std::time::Duration;

/// How far a clock may be off before it is said so: as much as NTP ever needs to step, and more than a
/// push takes.
pub const SKEW_MAX: Duration = Duration::from_secs(60);

/// What was written within this agrees with our clock: a hub in which less is written says nothing of
/// it.
const AGREES_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How many of the newest commits are asked.
pub const COMMITS_ASKED_MAX: usize = 16;

/// The present by the clocks of those who wrote last, if more of them are ahead of `now` than agree with
/// it; `newest` has for each the time of its newest commit. At least so late it is, then.
///
/// A clock of ours that is ahead cannot be told from a hub in which nothing was written lately.
#[must_use]
pub fn present_by_others(now: Timestamp, newest: &[Timestamp]) -> Option<Timestamp> {
    let mut ahead: Vec<Timestamp> = newest.iter().copied().filter(|at| at.since(now) > SKEW_MAX).collect();
    let agrees = |at: &&Timestamp| at.since(now) <= SKEW_MAX && now.since(**at) <= AGREES_WITHIN;
    if ahead.len() < newest.iter().filter(agrees).count() {
        return None;
    }
    ahead.sort_unstable();
    // The one in the middle, or the earlier of two: a single clock that is far ahead decides nothing.
    ahead.get(ahead.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("a time")
    }

    #[test]
    fn a_clock_that_more_are_ahead_of_than_agree_with_is_behind() {
        for (others, expected) in [
            (&[][..], None),
            // Of those who are right, or wrote long ago, nothing follows.
            (&[0, -30, 60], None),
            (&[-7200, -90_000], None),
            // One, two, and most of them.
            (&[61], Some(61)),
            (&[7200], Some(7200)),
            (&[7200, 7100], Some(7100)),
            (&[7200, 7190, 7100, -10], Some(7190)),
            // One of several is fast, or as many as agree.
            (&[7200, -10, -20], None),
            (&[7200, -10], Some(7200)),
            // One is mad beside others who agree with each other.
            (&[34_560_000, 7100, 7150], Some(7150)),
            (&[7200, -20_000], Some(7200)),
        ] {
            let newest: Vec<Timestamp> = others.iter().map(|seconds| at(*seconds)).collect();
            assert_eq!(present_by_others(at(0), &newest), expected.map(at), "{others:?}");
        }
    }
}
