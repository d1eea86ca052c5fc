//! Being asked to end.

use super::asked::{self, SIGNALS};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes true when the process is asked to end, by a signal that can be caught. A second signal ends the
/// process at once.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            // Registered first, so that the second signal finds the flag of the first.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        asked::is_heard_elsewhere();
        Ok(Self(stop))
    }

    /// The same for a process that is to go on however often it is asked.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen_on() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        asked::is_heard_elsewhere();
        Ok(Self(stop))
    }

    /// Whether we were asked.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Tells of each request to end, in a thread of its own, until `tell` returns `false`.
///
/// # Errors
/// When the system refuses the handlers.
pub fn on_request_to_end(mut tell: impl FnMut() -> bool + Send + 'static) -> std::io::Result<()> {
    let mut signals = Signals::new(SIGNALS)?;
    asked::is_heard_elsewhere();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if !tell() {
                return;
            }
        }
    });
    Ok(())
}
