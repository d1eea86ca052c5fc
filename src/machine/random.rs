//! Randomness: ids and jitter.

use super::{clock, simulated};
use std::time::Duration;

/// 128 random bits but for the six that make a version 4 uuid of them.
fn bits() -> u128 {
    simulated::present().map_or_else(|| uuid::Uuid::new_v4().as_u128(), |machine| machine.draw())
}

/// A new id that sorts by time (uuid version 7).
#[must_use]
pub fn id() -> String {
    // Not the library's own look at the clock: it panics when that is set before 1970.
    let now = u64::try_from(clock::wall().unix_millis()).unwrap_or(0);
    // The fixed bits of the two versions lie in the same places.
    let [_, _, _, _, _, _, random @ ..] = bits().to_be_bytes();
    uuid::Builder::from_unix_timestamp_millis(now, &random).into_uuid().to_string()
}

/// Whether a text has the shape of such an id.
#[must_use]
pub fn is_id(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string() == text)
}

/// A span drawn evenly from zero to `most`.
#[must_use]
pub fn up_to(most: Duration) -> Duration {
    // The lower 32 bits are all random.
    let thousandths = u32::try_from(bits() & 0xffff_ffff).unwrap_or(0) % 1001;
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
