//! How a command waits between two looks at the hub.

use super::context::Context;
use super::error::CliError;
use crate::app::flows::{PollPause, WaitLimit};
use crate::machine::{asked, clock, random};
use std::time::Duration;

/// How long a waiter pauses at most between two looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    /// At a hub on this machine.
    pub local: Duration,
    /// The same over a network: forges ask for few requests.
    pub remote: Duration,
}

/// For who waits for a job.
pub(super) const FOR_JOBS: Pauses =
    Pauses { local: Duration::from_millis(500), remote: Duration::from_secs(10) };

/// For who waits for a lock.
pub(super) const FOR_LOCKS: Pauses =
    Pauses { local: Duration::from_millis(200), remote: Duration::from_secs(5) };

/// To wait for so long from now on.
///
/// # Errors
/// When the hub cannot be opened.
pub(super) fn patience(span: Duration, pauses: Pauses, context: &mut Context) -> Result<WaitLimit, CliError> {
    let pause = if context.ledger()?.is_remote() { pauses.remote } else { pauses.local };
    Ok(WaitLimit { until: clock::since_boot().saturating_add(span), pause })
}

/// Waits, unless this process is asked to end.
pub(super) fn rest(pause: PollPause) {
    asked::idle(pause.drawn(random::up_to));
}
