//! Numbers that only look random: one seed decides them all.

use std::time::Duration;

/// A generator after Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014 (splitmix64): small, quick, and good enough to choose what goes wrong.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From zero to `most`, both among them.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        self.bits() % most.saturating_add(1)
    }

    /// From `low` to `high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.up_to(high - low)
    }

    /// A span of milliseconds.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True `per_mille` times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.up_to(999) < per_mille
    }

    /// One of several.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let last = u64::try_from(from.len().checked_sub(1)?).unwrap_or(0);
        from.get(usize::try_from(self.up_to(last)).unwrap_or(0))
    }
}
