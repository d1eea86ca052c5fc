//! What takes several reads and writes: getting a job or a lock, holding it, beating, calling off.
//!
//! Each is a state machine that is told what happened and says what to do next. Nothing here does input or
//! output, reads a clock or waits: `now` is the time since boot of this host, and what it has watched is
//! handed in ([`Watch`](crate::app::takeover::Watch)). Whoever drives one reads and writes by a
//! [`Client`](crate::app::client::Client), at its own pace: a command sleeps, a worker goes on with its
//! schedule, the simulator lets others run. So what the simulator proves is what ships.
//!
//! A flow decides by the kind of a no, never by its words. The words of the last one are the driver's.

#![warn(missing_docs)]

pub mod acquire;
pub mod claim;
pub mod drain;
pub mod hold;
pub mod session;
pub mod stop;

use crate::domain::code::Class;
use crate::ledger::{LedgerError, Outcome};
use std::time::Duration;

/// Why a write came to nothing, as far as anybody decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The documents say no.
    No(Class),
    /// Others were faster.
    Contended,
    /// The hub may or may not have it.
    Unknown,
    /// The hub cannot be reached, or is not where it was: it may come back.
    Away,
    /// A rule of the hub, or something that is broken.
    Fault,
}

impl Failure {
    /// Why `written` came to nothing, if it did.
    #[must_use]
    pub fn of<A>(written: &Result<Outcome<A>, LedgerError>) -> Option<Self> {
        match written {
            Ok(Outcome::Applied(_)) => None,
            Ok(Outcome::Refused(refusal)) => Some(Self::No(refusal.class())),
            Ok(Outcome::Contended { .. }) => Some(Self::Contended),
            Ok(Outcome::Unknown { .. }) => Some(Self::Unknown),
            Err(error) => Some(Self::of_fault(error)),
        }
    }

    /// What sort of failure a fault is.
    #[must_use]
    pub fn of_fault(error: &LedgerError) -> Self {
        match error {
            LedgerError::Contended(_) => Self::Contended,
            LedgerError::Unsettled { .. } | LedgerError::Untold { .. } => Self::Unknown,
            LedgerError::Unreachable { .. }
            | LedgerError::AnotherHub { .. }
            | LedgerError::WasAHub { .. } => Self::Away,
            _ => Self::Fault,
        }
    }

    /// Whether waiting for others may change it, as long as there `is_time`. A rule of the hub does not
    /// change by waiting, and neither does a lease that is lost.
    #[must_use]
    fn may_pass(self, is_time: bool) -> bool {
        match self {
            Self::No(Class::NotFound | Class::Nothing | Class::Forbidden) => true,
            Self::Contended => is_time,
            Self::No(_) | Self::Unknown | Self::Away | Self::Fault => false,
        }
    }
}

/// For how long somebody waits, and how often he looks meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimit {
    /// Until when, since boot.
    pub until: Duration,
    /// The longest pause between two looks.
    pub pause: Duration,
}

impl WaitLimit {
    fn is_over(self, now: Duration) -> bool {
        now >= self.until
    }

    /// What to wait next, unless the time is over.
    #[must_use]
    pub fn next(self, now: Duration) -> Option<PollPause> {
        (!self.is_over(now)).then(|| PollPause { usual: self.pause, at_most: self.until.saturating_sub(now) })
    }
}

/// A pause between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollPause {
    usual: Duration,
    at_most: Duration,
}

impl PollPause {
    /// How long it is: half of it fixed, half what `draw` draws from up to as much, so that waiters do not go
    /// in step.
    #[must_use]
    pub fn drawn(self, draw: impl FnOnce(Duration) -> Duration) -> Duration {
        let half = self.usual / 2;
        (half + draw(half)).min(self.at_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_at_least_half_and_never_longer_than_there_is_time() {
        let (long, second) = (Duration::from_secs(10), Duration::from_secs(1));
        let patience = WaitLimit { until: 2 * long, pause: long };
        let drawn = |now, part: u32| patience.next(now).map(|pause| pause.drawn(|half| half / 4 * part));
        assert_eq!(drawn(Duration::ZERO, 0), Some(5 * second));
        assert_eq!(drawn(Duration::ZERO, 4), Some(long));
        assert_eq!(drawn(19 * second, 4), Some(second));
        assert_eq!(drawn(2 * long, 4), None);
    }

    #[test]
    fn waiting_changes_what_others_hold_and_nothing_else() {
        use Class::{Forbidden, Invalid, LeaseLost, NotFound, Nothing};
        for (failure, with_time, without) in [
            (Failure::No(NotFound), true, true),
            (Failure::No(Nothing), true, true),
            (Failure::No(Forbidden), true, true),
            (Failure::No(LeaseLost), false, false),
            (Failure::No(Invalid), false, false),
            (Failure::Contended, true, false),
            (Failure::Unknown, false, false),
            (Failure::Away, false, false),
            (Failure::Fault, false, false),
        ] {
            assert_eq!(failure.may_pass(true), with_time, "{failure:?}");
            assert_eq!(failure.may_pass(false), without, "{failure:?}");
        }
    }
}
