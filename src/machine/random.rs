//! Randomness of the real machine: ids and jitter.

use super::clock;
use crate::domain::time::Timestamp;
use std::time::Duration;

/// 128 random bits but for the six that make a version 4 uuid of them.
pub(super) fn bits() -> u128 {
    seeded().unwrap_or_else(|| uuid::Uuid::new_v4().as_u128())
}

/// The next draw of those that `MUSTER_SEED` decides, so that a test can say which ids have to be shown. A
/// process begins anew: each needs a seed of its own. Exists in debug builds only, as the fail points do.
fn seeded() -> Option<u128> {
    #[cfg(debug_assertions)]
    return super::environment::variable("MUSTER_SEED").map(|seed| {
        static DRAWN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        spread(&seed, DRAWN.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    });
    #[cfg(not(debug_assertions))]
    return None;
}

/// The draw of this number: bits that any change of the seed changes (FNV-1a, and for every bit once more).
#[cfg(debug_assertions)]
fn spread(seed: &str, number: u64) -> u128 {
    const START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const FACTOR: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let text = format!("{seed}:{number}:................");
    let hash = text.bytes().fold(START, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(FACTOR));
    uuid::Builder::from_random_bytes(hash.to_be_bytes()).into_uuid().as_u128()
}

/// A new id that sorts by time (uuid version 7).
#[must_use]
pub fn id() -> String {
    id_of(clock::wall(), bits())
}

/// The id that is made of these.
pub(super) fn id_of(now: Timestamp, bits: u128) -> String {
    // Not the library's own look at the clock: it panics when that is set before 1970.
    let now = u64::try_from(now.unix_millis()).unwrap_or(0);
    // The fixed bits of the two versions lie in the same places.
    let [_, _, _, _, _, _, random @ ..] = bits.to_be_bytes();
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
    part_of(most, bits())
}

/// The part of `most` that `bits` draw evenly from zero to all of it.
pub(super) fn part_of(most: Duration, bits: u128) -> Duration {
    // The lower 32 bits are all random.
    let thousandths = u32::try_from(bits & 0xffff_ffff).unwrap_or(0) % 1001;
    most * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_what_is_drawn() {
        assert_eq!(spread("1", 0), spread("1", 0));
        let mut draws: Vec<u128> = (0..1000).map(|number| spread("1", number)).collect();
        draws.extend((2..1000).map(|seed| spread(&seed.to_string(), 0)));
        // What ids are told apart by: the last eight digits.
        let mut ends: Vec<u128> = draws.iter().map(|draw| draw & 0xffff_ffff).collect();
        ends.sort_unstable();
        ends.dedup();
        assert_eq!(ends.len(), draws.len());
    }

    #[test]
    fn draws_fill_the_span() {
        let most = Duration::from_millis(320);
        let draws: Vec<Duration> = (0..1000).map(|_| part_of(most, bits())).collect();
        assert!(draws.iter().all(|draw| *draw <= most));
        let mean = draws.iter().sum::<Duration>() / 1000;
        assert!((Duration::from_millis(130)..Duration::from_millis(190)).contains(&mean), "{mean:?}");
    }
}
