//! Randomness: ids and jitter.

use super::clock;
use std::time::Duration;

/// A new id that sorts by time (uuid version 7).
#[must_use]
pub fn id() -> String {
    // Not the library's own look at the clock: it panics when that is set before 1970.
    let now = u64::try_from(clock::wall().unix_millis()).unwrap_or(0);
    let nanoseconds = u32::try_from(now % 1000).unwrap_or(0) * 1_000_000;
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, now / 1000, nanoseconds)).to_string()
}

/// A span drawn evenly from zero to `most`.
#[must_use]
pub fn up_to(most: Duration) -> Duration {
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    // The lower 32 bits of a version 4 uuid are all random.
    let thousandths = u32::try_from(low & 0xffff_ffff).unwrap_or(0) % 1001;
    most * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_fill_the_span() {
        let most = Duration::from_millis(320);
        let draws: Vec<Duration> = (0..1000).map(|_| up_to(most)).collect();
        assert!(draws.iter().all(|draw| *draw <= most));
        let mean = draws.iter().sum::<Duration>() / 1000;
        assert!((Duration::from_millis(130)..Duration::from_millis(190)).contains(&mean), "{mean:?}");
    }
}
