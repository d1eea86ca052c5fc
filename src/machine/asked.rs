//! Being asked to end, by a signal, while one command is at work.
//!
//! A signal ends a program at once, and most of the time that is right. It is wrong while a git of ours
//! runs, which stands in a group of its own and would go on without us, and from when a write is begun until
//! its answer is told. Then the wish is noted, whoever waits looks at it, and the command ends by that very
//! signal, or by telling what became of the write.
//!
//! One wish may come as several signals: a terminal that is closed and its shell both send one, and so do
//! a terminal and the git of `git muster`, and `timeout` sends two. So a second signal is another wish only
//! when the first is [`ONE_WISH`] ago, for one command and for who listens himself (`signals.rs`).
//!
//! A signal that this process was started to ignore asks nobody: whoever did that, such as `nohup`, wants it to
//! go on.

use super::clock;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The signals that ask to end.
const SIGNALS: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT];

/// For how long after the first signal others are of the same wish: on a busy machine they come apart, and a
/// person who insists waits longer.
pub const ONE_WISH: Duration = Duration::from_secs(1);

/// What is told of a process that a signal ended: this and its number.
const SIGNALLED: u8 = 128;

/// Whether this process is one command that ends when it has its answer.
static IS_ONE_COMMAND: AtomicBool = AtomicBool::new(false);
/// Whether somebody else listens, who knows better how to end.
static IS_HEARD_ELSEWHERE: AtomicBool = AtomicBool::new(false);
/// Whether something was not done, or not to its end, for a wish.
static IS_CUT: AtomicBool = AtomicBool::new(false);
/// Whether a write of this command is in the hub.
static HAS_LANDED: AtomicBool = AtomicBool::new(false);

static EARS: OnceLock<Option<SignalPipe>> = OnceLock::new();
static AT_WORK: Mutex<Deferral> = Mutex::new(Deferral { children: 0, is_writing: false });

/// What the handlers touch.
struct SignalPipe {
    /// The signal that came, or none yet.
    signal: Arc<AtomicUsize>,
    /// Whether a signal ends the process at once, as if nobody listened.
    at_once: Arc<AtomicBool>,
}

/// Why a signal must not end the process at once.
struct Deferral {
    children: usize,
    is_writing: bool,
}

/// This process is one command: it may hear of signals from when it first has to.
pub fn is_one_command() {
    IS_ONE_COMMAND.store(true, Ordering::Relaxed);
}

/// From now on another listens for signals: nothing is cut short here.
pub(super) fn is_heard_elsewhere() {
    IS_HEARD_ELSEWHERE.store(true, Ordering::Relaxed);
    if let Some(ears) = ears() {
        ears.at_once.store(false, Ordering::Relaxed);
    }
}

/// Which of the signals that come are wishes of their own.
#[derive(Debug, Default)]
pub(super) struct CaughtSignals {
    /// When the last of them began.
    last: Option<Duration>,
}

impl CaughtSignals {
    /// Whether a signal that comes `now` is another wish.
    pub(super) fn is_another(&mut self, now: Duration) -> bool {
        let is_of_last = self.last.is_some_and(|last| now < last.saturating_add(ONE_WISH));
        if !is_of_last {
            self.last = Some(now);
        }
        !is_of_last
    }
}

/// While it lives a child of ours runs, which has to be ended before we may end.
#[derive(Debug)]
pub(super) struct Deferred(());

/// A child is about to begin.
pub(super) fn while_child_runs() -> Deferred {
    hear();
    let mut at_work = at_work();
    at_work.children += 1;
    at_work.settle();
    Deferred(())
}

impl Drop for Deferred {
    fn drop(&mut self) {
        let mut at_work = at_work();
        at_work.children = at_work.children.saturating_sub(1);
        at_work.settle();
    }
}

/// A write begins: from now on, until this process ends or [`idle`] waits, a wish waits for its answer.
pub fn until_told() {
    hear();
    let mut at_work = at_work();
    at_work.is_writing = true;
    at_work.settle();
}

/// Waits between two looks, while nothing is under way: a wish to end is granted at once.
pub fn idle(span: Duration) {
    let mut at_work = at_work();
    at_work.is_writing = false;
    at_work.settle();
    drop(at_work);
    // One may have come before that.
    if is_asked() {
        end();
    }
    clock::sleep(span);
}

/// Whether we were asked to end, in whatever we are at.
#[must_use]
pub fn is_asked() -> bool {
    signal().is_some()
}

/// [`is_asked`] of somebody who leaves something undone if so.
#[must_use]
pub fn cuts_short() -> bool {
    let is_asked = is_asked();
    if is_asked {
        IS_CUT.store(true, Ordering::Relaxed);
    }
    is_asked
}

/// Whether something was left undone as we were asked to end: what was not found then says nothing.
#[must_use]
pub fn is_cut() -> bool {
    IS_CUT.load(Ordering::Relaxed)
}

/// Notes that a write of this command is in the hub.
pub fn has_written() {
    HAS_LANDED.store(true, Ordering::Relaxed);
}

/// Whether a write of this command is in the hub.
#[must_use]
pub fn has_landed() -> bool {
    HAS_LANDED.load(Ordering::Relaxed)
}

/// From now on a signal ends the process at once, if one came before. Whoever calls it does so [`ONE_WISH`]
/// after that at least.
pub fn end_by_the_next() {
    if let (true, Some(Some(ears))) = (is_asked(), EARS.get()) {
        ears.at_once.store(true, Ordering::Relaxed);
    }
}

/// By what we were asked, as people name it.
#[must_use]
pub fn by() -> &'static str {
    signal().and_then(low_level::signal_name).unwrap_or("a signal")
}

/// What a shell tells of a process that this signal ended.
#[must_use]
pub fn code() -> u8 {
    signal().map_or(SIGNALLED, code_of)
}

/// The same of one signal.
pub(super) fn code_of(signal: i32) -> u8 {
    u8::try_from(signal).map_or(SIGNALLED, |signal| SIGNALLED.saturating_add(signal))
}

/// Ends the process by the signal that asked for it, as whoever sent it expects: a shell that runs a script
/// ends that only if the program was ended by the key that interrupts.
#[expect(clippy::exit, reason = "a signal that cannot be sent to oneself must not keep it going")]
pub fn end() -> ! {
    if let Some(signal) = signal() {
        drop(low_level::emulate_default_handler(signal));
    }
    std::process::exit(code().into());
}

fn signal() -> Option<i32> {
    if IS_HEARD_ELSEWHERE.load(Ordering::Relaxed) {
        return None;
    }
    let number = EARS.get()?.as_ref()?.signal.load(Ordering::Relaxed);
    i32::try_from(number).ok().filter(|number| *number != 0)
}

fn ears() -> Option<&'static SignalPipe> {
    EARS.get().and_then(Option::as_ref)
}

/// Listens from now on, if this process is to. Without handlers a signal ends it at once, as before.
fn hear() {
    if IS_ONE_COMMAND.load(Ordering::Relaxed) && !IS_HEARD_ELSEWHERE.load(Ordering::Relaxed) {
        EARS.get_or_init(|| listen().ok());
    }
}

fn listen() -> io::Result<SignalPipe> {
    let ears = SignalPipe { signal: Arc::default(), at_once: Arc::new(AtomicBool::new(true)) };
    for signal in heeded() {
        flag::register_conditional_default(signal, Arc::clone(&ears.at_once))?;
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, Arc::clone(&ears.signal), number)?;
    }
    Ok(ears)
}

/// The signals that ask this process to end: those that it was not started to ignore.
pub(super) fn heeded() -> Vec<i32> {
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    SIGNALS.into_iter().filter(|signal| !is_in(ignored, *signal)).collect()
}

/// The signals that this process was started to ignore, by `nohup` or in the background of a script, as
/// bits: they stay ignored. None where the system does not tell.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn is_in(mask: u64, signal: i32) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or_default() & 1 == 1)
}

fn at_work() -> MutexGuard<'static, Deferral> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deferral {
    fn settle(&self) {
        // A wish that came stays one until it is granted.
        if let Some(ears) = ears()
            && !is_asked()
        {
            let is_idle = self.children == 0 && !self.is_writing;
            ears.at_once.store(is_idle && !IS_HEARD_ELSEWHERE.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_ignored_is_read_from_what_the_system_tells() {
        for (status, expected) in [
            ("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n", vec![SIGHUP]),
            ("SigIgn:\t0000000000001006\n", vec![SIGINT, SIGQUIT]),
            ("SigIgn:\t0000000000000000\n", vec![]),
            ("SigIgn:\tnonsense\n", vec![]),
            ("", vec![]),
        ] {
            let mask = ignored(status);
            let mut found: Vec<i32> = SIGNALS.into_iter().filter(|signal| is_in(mask, *signal)).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{status:?}");
        }
    }

    #[test]
    fn what_comes_soon_after_a_signal_is_no_wish_of_its_own() {
        let mut wishes = CaughtSignals::default();
        let told: Vec<bool> =
            [0, 0, 3, 999, 1000, 1999, 2100].map(|at| wishes.is_another(Duration::from_millis(at))).into();
        assert_eq!(told, [true, false, false, false, true, false, true]);
    }

    #[test]
    fn who_is_not_one_command_hears_nothing() {
        // The programs that only use this library keep what they do about signals.
        drop(while_child_runs());
        until_told();
        assert!(ears().is_none() && !is_asked() && !cuts_short() && !is_cut());
        assert_eq!((by(), code()), ("a signal", 128));
    }
}
