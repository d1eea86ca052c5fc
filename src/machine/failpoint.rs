//! Places where a test can end a process on the real machine, to prove that any step may be the last one.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering};

/// How long a point takes that is to be slow.
#[cfg(debug_assertions)]
const SLOW: std::time::Duration = std::time::Duration::from_millis(200);

/// Panics when `MUSTER_PANIC` names this point, and ends the process by SIGKILL when `MUSTER_FAILPOINT` names this point, or when it is `name:n`
/// and this is the n-th time. Takes its time when `MUSTER_SLOW` names it. With `MUSTER_FAILPOINT_LOG` it adds
/// its name to that file, so that a test learns which points there are. Exists in debug builds only, so that nothing in a user's
/// environment can do it.
pub fn failpoint(name: &str) {
    #[cfg(debug_assertions)]
    {
        use nix::sys::signal::{Signal, kill};
        static PASSED: AtomicU32 = AtomicU32::new(0);
        panic_at(name);
        if super::environment::variable("MUSTER_SLOW").is_some_and(|slow| slow == name) {
            super::clock::sleep(SLOW);
        }
        if let Some(log) = super::environment::variable("MUSTER_FAILPOINT_LOG") {
            use std::io::Write as _;
            let log = std::fs::OpenOptions::new().append(true).create(true).open(log);
            log.and_then(|mut log| writeln!(log, "{name}")).ok();
        }
        let Some(wanted) = super::environment::variable("MUSTER_FAILPOINT") else { return };
        let (wanted, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        if wanted == name && (PASSED.fetch_add(1, Ordering::SeqCst) + 1).to_string() == time {
            // Nothing runs after this; if the signal failed, the test sees that we went on.
            kill(nix::unistd::Pid::this(), Signal::SIGKILL).ok();
        }
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = name;
    }
}

#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "this is what it is for")]
fn panic_at(name: &str) {
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let wanted = super::environment::variable("MUSTER_PANIC");
    if wanted.is_some_and(|wanted| wanted == name) && PASSED.fetch_add(1, Ordering::SeqCst) == 0 {
        panic!("a test wanted it at `{name}`");
    }
}
