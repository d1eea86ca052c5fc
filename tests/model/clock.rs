//! Clocks that run at different speeds.
//!
//! True time goes in ticks, and every age counts ticks. A host reads its own clock, which is slow
//! or fast by what the rules allow for; so the worst case is always there: a slow holder, which
//! trusts for too long, and a fast challenger, which waits too short.

use std::time::Duration;

/// One step of true time.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// How far a clock may be off, in percent: what `domain/lock.rs` allows for.
const RATE_ERROR_PERCENT: u32 = 1;

/// What host `host` has measured when `ticks` have truly passed: the first host's clock is slow,
/// those of the others are fast.
pub(crate) fn measured(host: u8, ticks: u8) -> Duration {
    let percent = if host == 0 { 100 - RATE_ERROR_PERCENT } else { 100 + RATE_ERROR_PERCENT };
    TICK * u32::from(ticks) * percent / 100
}

/// One tick later. An age above `most` makes no difference any more, and is not told apart.
pub(crate) fn older(ticks: u8, most: u8) -> u8 {
    (ticks + 1).min(most)
}
