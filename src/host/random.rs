//! Randomness: ids and jitter.

use std::time::Duration;

/// A new id that sorts by time (uuid version 7).
#[must_use]
pub fn id() -> String {
    uuid::Uuid::now_v7().to_string()
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
