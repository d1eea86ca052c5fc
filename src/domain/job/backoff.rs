//! How long a job waits between two attempts.

use crate::domain::id::OpId;
use std::time::Duration;

/// The pause before the second attempt; doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(15);
/// The longest pause between attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// The longest pause that any draw gives after attempt number `attempts`: what seems to be longer was
/// told by a clock that is ahead.
#[must_use]
pub fn pause_longest(attempts: u64) -> Duration {
    backoff_base(attempts) * 11 / 10
}

fn backoff_base(attempts: u64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(BACKOFF_MAX)
}

/// The pause after attempt number `attempts`: 15 s, 30 s, 1 min ... 1 h, give or take a tenth that
/// the op id decides, so that the rule stays free of randomness.
pub(super) fn backoff(attempts: u64, op: &OpId) -> Duration {
    let draw = u32::from_str_radix(&op.suffix(4), 16).unwrap_or(0) % 201;
    backoff_base(attempts) * (900 + draw) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let op = OpId::new("0196f0a0-0000-7000-8000-00000000ffff").expect("op id");
        assert_eq!(pause_longest(99), BACKOFF_MAX + BACKOFF_MAX / 10);
        assert_eq!(pause_longest(1), Duration::from_millis(16_500));
        for (attempts, low, high) in [(1, 13, 17), (2, 27, 33), (5, 216, 264), (60, 3240, 3960)] {
            let pause = backoff(attempts, &op).as_secs();
            assert!((low..=high).contains(&pause), "{attempts}: {pause}");
        }
    }
}
