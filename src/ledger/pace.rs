//! How long to wait between two attempts at the hub.
//!
//! Exponential with full jitter: a random part of the whole pause. With eight writers it moved
//! 2.4 times as many operations as the same pauses without jitter and 5 times as many as none.

use crate::machine::Deadline;
use std::time::Duration;

/// The pauses of one update.
#[derive(Debug)]
pub(crate) struct Pace {
    pause: Duration,
    most: Duration,
    waited: Duration,
}

impl Pace {
    /// For a hub on this machine: a lost race costs about a millisecond.
    #[must_use]
    pub(crate) fn local() -> Self {
        Self::new(Duration::from_millis(2), Duration::from_millis(64))
    }

    /// For a hub over the network: a lost race costs a connection.
    #[must_use]
    pub(crate) fn network() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_millis(200))
    }

    fn new(first: Duration, most: Duration) -> Self {
        Self { pause: first, most, waited: Duration::ZERO }
    }

    /// Waits on the machine of `deadline` for a random part of the present pause, not beyond it.
    pub(crate) fn wait(&mut self, deadline: &Deadline) {
        let machine = deadline.machine();
        let span = machine.up_to(self.pause).min(deadline.left());
        machine.sleep(span);
        self.waited += span;
        self.pause = (self.pause * 2).min(self.most);
    }

    /// How long it waited in all.
    #[must_use]
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, clock};

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_time() {
        let over = Machine::real().deadline(Duration::ZERO);
        for (mut pace, expected) in [
            (Pace::local(), [2, 4, 8, 16, 32, 64, 64]),
            (Pace::network(), [50, 100, 200, 200, 200, 200, 200]),
        ] {
            for milliseconds in expected {
                assert_eq!(pace.pause, Duration::from_millis(milliseconds));
                pace.wait(&over);
            }
            assert_eq!(pace.waited(), Duration::ZERO, "no time was left");
        }
    }

    #[test]
    fn what_was_waited_is_counted() {
        const PAUSES: u32 = 50;
        let (begun, mut pace) =
            (clock::since_boot(), Pace::new(Duration::from_micros(50), Duration::from_micros(50)));
        let far = Machine::real().deadline(Duration::from_secs(60));
        (0..PAUSES).for_each(|_| pace.wait(&far));
        assert!(pace.waited() > Duration::ZERO && pace.waited() <= Duration::from_micros(50) * PAUSES);
        assert!(clock::since_boot() - begun >= pace.waited());
    }
}
