//! Work that a hanging disk may keep waiting, and that nobody is to wait for any longer than said.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// What `work` gives, or `None` when it took longer than `span`. It is left alone then and ends
/// with this process: a system call to a disk that is away cannot be called off.
pub fn within<T: Send + 'static>(span: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    // Nothing is sent: that the thread has let go of its end tells that the work is over. A channel for what
    // it gives would be compiled anew for each sort of work.
    let (at_work, over) = mpsc::channel::<()>();
    let thread = thread::Builder::new().spawn(move || {
        let _at_work = at_work;
        work()
    });
    match over.recv_timeout(span) {
        Err(RecvTimeoutError::Disconnected) => thread.ok()?.join().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_given_up() {
        assert_eq!(within(Duration::from_secs(10), || 1), Some(1));
        let (_never, wait) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(20), move || wait.recv().is_ok()), None);
    }
}
