//! Waiting for something to become true, with a bound: the only place of the suite that sleeps.
//!
//! A test never sleeps "long enough"; it says what it waits for and how long that may take at most.
//! The condition is looked at often, so that waiting costs little more than the thing waited for.

use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks at a condition: short beside a process start, long beside a look.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Waits until `condition` holds; fails the test when it does not within `bound`.
#[track_caller]
pub(crate) fn eventually(bound: Duration, mut condition: impl FnMut() -> bool) {
    let answer = wait_for(bound, || condition().then_some(()));
    assert!(answer.is_some(), "what was waited for did not happen within {bound:?}");
}

/// Waits until `look` returns something, at most for `bound`; `None` when the bound has passed.
#[must_use]
pub(crate) fn wait_for<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if start.elapsed() >= bound {
            return None;
        }
        pause();
    }
}

/// The pause between two looks, for a loop whose end another thread says.
pub(crate) fn pause() {
    thread::sleep(LOOK_INTERVAL);
}
