//! Places where a test can end the process, to prove that any step may be the last one.

/// Ends the process by SIGKILL when `MUSTER_FAILPOINT` names this point. Exists in debug builds
/// only, so that nothing in a user's environment can do it.
pub fn failpoint(name: &str) {
    crate::host::simulated::step();
    #[cfg(debug_assertions)]
    {
        use nix::sys::signal::{Signal, kill};
        if crate::host::environment::variable("MUSTER_FAILPOINT").as_deref() == Some(name) {
            // Nothing runs after this; if the signal failed, the test sees that we went on.
            kill(nix::unistd::Pid::this(), Signal::SIGKILL).ok();
        }
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = name;
    }
}
