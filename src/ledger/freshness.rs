//! How old what is known of a hub may be for whoever reads, and how old it is.

use super::vocabulary::Scope;
use std::time::Duration;

/// How old what is read may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As the hub has it now.
    Now,
    /// As the hub had it so long ago at most, by the clock that counts since the boot: it is not asked again
    /// before.
    AtMost(Duration),
}

/// When the hub was last asked, since the boot: for the main branch, and for that with all heartbeats.
#[derive(Debug, Default)]
pub(super) struct LastRefresh {
    main: Option<Duration>,
    heartbeats: Option<Duration>,
}

impl LastRefresh {
    /// The hub was asked for `scope` by a question that began at `began`.
    pub(super) fn note(&mut self, scope: &Scope, began: Duration) {
        self.main = Some(began);
        if scope.heartbeats {
            self.heartbeats = Some(began);
        }
    }

    /// Whether what is known is as fresh as is wanted, `now` by the same clock.
    pub(super) fn is_fresh(&self, freshness: Freshness, heartbeats: bool, now: Duration) -> bool {
        let Freshness::AtMost(age) = freshness else { return false };
        let asked = if heartbeats { self.heartbeats } else { self.main };
        asked.is_some_and(|at| now.saturating_sub(at) <= age)
    }
}
