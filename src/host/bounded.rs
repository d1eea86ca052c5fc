//! Work that a hanging disk may keep waiting, and that nobody is to wait for any longer than said.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What `work` gives, or `None` when it took longer than `span`. It is left alone then and ends
/// with this process: a system call to a disk that is away cannot be called off.
pub fn within<T: Send + 'static>(span: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, done) = mpsc::channel();
    // Nobody listens any more when it took too long.
    let started = thread::Builder::new().spawn(move || drop(sender.send(work())));
    started.ok().and_then(|_| done.recv_timeout(span).ok())
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
