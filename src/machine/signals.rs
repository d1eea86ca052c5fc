//! Being asked to end, by who listens himself: a worker, `heartbeat run`, who stands by another's command.
//!
//! What asks, and when it asks once more, is told in `asked.rs`.

use super::asked::{self, CaughtSignals};
use super::clock;
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Becomes true when the process is asked to end, by a signal that can be caught. Asked once more, it ends at
/// once.
#[derive(Debug, Clone)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        Self::listen_and(|| ())
    }

    /// The same for who leaves something behind when it is asked once more: `farewell` may tell of it.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen_and(mut farewell: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let stop = Self::listen_on()?;
        let mut was_asked = false;
        on_wish(move |signal| {
            if std::mem::replace(&mut was_asked, true) {
                farewell();
                low_level::exit(asked::code_of(signal).into());
            }
            true
        })?;
        Ok(stop)
    }

    /// The same for a process that is to go on however often it is asked.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen_on() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in asked::heeded() {
            flag::register(signal, Arc::clone(&stop))?;
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
pub fn on_request_to_end(mut tell: impl FnMut() -> bool + Send + 'static) -> io::Result<()> {
    on_wish(move |_| tell())
}

/// The same with the signal.
fn on_wish(mut tell: impl FnMut(i32) -> bool + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(asked::heeded())?;
    asked::is_heard_elsewhere();
    let listen = move || {
        let mut wishes = CaughtSignals::default();
        for signal in signals.forever() {
            if wishes.is_another(clock::since_boot()) && !tell(signal) {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}
