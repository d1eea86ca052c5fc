//! Child processes: in a group of their own, with a deadline, ended together with their children.

use super::value::{Deadline, Machine};
use super::{asked, clock, environment};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// How much of a child's output is kept; what is beyond is read and dropped.
const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often a child is looked at, at first and at most.
const POLL_FIRST: Duration = Duration::from_micros(200);
const POLL_MAX: Duration = Duration::from_millis(20);

/// How long output is awaited after the child itself ended: a grandchild may hold the pipe.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// How long a child that is over its time has to leave in good order.
const CLEAN_UP_GRACE: Duration = Duration::from_millis(500);

/// What a child left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it, its time ran out, or we were asked to end.
    pub exit_code: Option<i32>,
    /// Standard output, as far as it is text.
    pub stdout: String,
    /// Standard error, as far as it is text.
    pub stderr: String,
    /// Whether we ended it because its time ran out.
    pub timed_out: bool,
    /// Whether we were asked to end before it had, and ended it.
    pub cut_short: bool,
}

/// Puts this program, called as it was, in the place of this very process. Returns only if that fails.
#[must_use]
pub fn begin_anew() -> io::Error {
    match environment::own_program() {
        Ok(program) => command(&program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}

/// A command for [`run`] or [`Running::start`].
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one door to starting processes")]
pub fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Runs `command` to its end or to `deadline`, with no input, and captures what it prints. It is ended when
/// we are asked to end: nobody waits for its answer any more.
///
/// # Errors
/// When it cannot be started, and as [`io::ErrorKind::Interrupted`] when we were asked to end.
pub fn run(command: &mut Command, deadline: &Deadline) -> io::Result<Finished> {
    let done = run_to_know(command, deadline)?;
    // Also when it has ended meanwhile: its answer would only be the first of more steps.
    if asked::cuts_short() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(done) }
}

/// [`run`] of a command that has an effect: what it printed until we were asked to end is told.
///
/// # Errors
/// As [`run`], but only when it was not started.
pub fn run_to_know(command: &mut Command, deadline: &Deadline) -> io::Result<Finished> {
    let _deferred = asked::while_child_runs();
    if asked::cuts_short() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    finish(command, deadline, asked::is_asked)
}

/// [`run`] of a command that cleans up, whether we are asked to end or not.
///
/// # Errors
/// When it cannot be started.
pub fn run_all_the_same(command: &mut Command, deadline: &Deadline) -> io::Result<Finished> {
    let _deferred = asked::while_child_runs();
    finish(command, deadline, || false)
}

fn finish(
    command: &mut Command,
    deadline: &Deadline,
    is_unwanted: impl Fn() -> bool,
) -> io::Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(command)?;
    let stdout = collect(child.child.stdout.take());
    let stderr = collect(child.child.stderr.take());
    let mut printed = None;
    // The output of a child ends just before it does, so that waiting for the one notices the
    // other at once. A grandchild may keep the output open: then only the looks notice the end.
    let is_over = || deadline.passed() || is_unwanted();
    let mut status = child.wait_with(deadline, is_over, |pause| {
        if printed.is_some() {
            clock::sleep(pause);
            return WakeReason::ByTime;
        }
        printed = stdout.wait(pause);
        if printed.is_some() { WakeReason::Early } else { WakeReason::ByTime }
    })?;
    let cut_short = status.is_none() && is_unwanted();
    let timed_out = status.is_none() && !cut_short;
    if status.is_none() {
        // Asked first: git takes its lock files away when it is, and nobody else ever would.
        let ended = child.stop(CLEAN_UP_GRACE)?;
        // It may have come to its end by itself in that very moment, and then its word counts.
        status = Some(ended).filter(|_| cut_short);
    }
    Ok(Finished {
        exit_code: status.and_then(|status| status.code()),
        stdout: stdout.text(),
        stderr: stderr.text(),
        timed_out,
        cut_short,
    })
}

/// What a child prints, while it does.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    end: mpsc::Receiver<()>,
}

impl Output {
    /// Waits for its end; `None` when it did not come.
    fn wait(&self, span: Duration) -> Option<()> {
        self.end.recv_timeout(span).ok()
    }

    /// All of it, or what came so far when a grandchild keeps it open.
    fn text(&self) -> String {
        // The end may have been noticed before, or not come in time: what is there counts.
        self.wait(OUTPUT_GRACE);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

/// Why a pause between two looks at a child is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WakeReason {
    /// It took its time.
    ByTime,
    /// Something says that the child is about to end.
    Early,
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Output {
    let (sender, end) = mpsc::channel();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&kept);
    thread::spawn(move || {
        if let Some(mut pipe) = pipe {
            let mut chunk = [0_u8; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(length);
                kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
            }
        }
        // Nobody listens any more when the wait for the output was given up.
        sender.send(()).ok();
    });
    Output { kept, end }
}

/// A child in its own process group, which ends with it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    ended: bool,
    own_group: bool,
}

impl Running {
    /// Starts `command` in a process group of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.process_group(0).spawn()?, ended: false, own_group: true })
    }

    /// Starts `command` in a group that is there already: one in the background may not read from a
    /// terminal, and the keys that interrupt reach only the one in front.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_in(command: &mut Command, group: Pid) -> io::Result<Self> {
        let child = command.process_group(group.as_raw()).spawn()?;
        Ok(Self { child, ended: false, own_group: false })
    }

    /// Its group, if that is its own.
    #[must_use]
    pub fn group(&self) -> Option<Pid> {
        self.id().filter(|_| self.own_group)
    }

    /// Its id, which is that of its group too if it has one of its own.
    #[must_use]
    pub fn id(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().map(Pid::from_raw)
    }

    /// Its status if it ended already.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.ended |= status.is_some();
        Ok(status)
    }

    /// Waits for its end, at most until `deadline`.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn wait_until(&mut self, deadline: &Deadline) -> io::Result<Option<ExitStatus>> {
        self.wait_with(
            deadline,
            || deadline.passed(),
            |pause| {
                clock::sleep(pause);
                WakeReason::ByTime
            },
        )
    }

    fn wait_with(
        &mut self,
        deadline: &Deadline,
        is_over: impl Fn() -> bool,
        mut wait: impl FnMut(Duration) -> WakeReason,
    ) -> io::Result<Option<ExitStatus>> {
        let mut pause = POLL_FIRST;
        loop {
            let status = self.status()?;
            if status.is_some() || is_over() {
                return Ok(status);
            }
            pause = match wait(pause.min(deadline.left())) {
                WakeReason::ByTime => (pause * 2).min(POLL_MAX),
                WakeReason::Early => POLL_FIRST,
            };
        }
    }

    /// Passes a signal on to the child and its group.
    pub fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id())
            && !self.ended
        {
            // The group may have ended by itself just now.
            if self.own_group { killpg(Pid::from_raw(id), signal) } else { kill(Pid::from_raw(id), signal) }
                .ok();
        }
    }

    /// Asks the group to end, and after `grace` makes it.
    ///
    /// # Errors
    /// When the system does not tell what became of it.
    pub fn stop(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        let deadline = Machine::real().deadline(grace);
        let Some(status) = self.wait_until(&deadline)? else { return self.kill() };
        // What it left behind was asked as well, and has the same time.
        if let Ok(id) = i32::try_from(self.child.id())
            && self.own_group
        {
            let group = Pid::from_raw(id);
            while killpg(group, None).is_ok() && !deadline.passed() {
                clock::sleep(POLL_MAX.min(deadline.left()));
            }
            killpg(group, Signal::SIGKILL).ok();
        }
        Ok(status)
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        let status = self.child.wait()?;
        self.ended = true;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is left to be told when this fails.
            drop(self.kill());
        }
    }
}

/// The exit code a shell would report: the child's own, or 128 and the signal that ended it.
#[must_use]
pub fn shell_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// The exit code a shell would report for a program that could not be started.
#[must_use]
pub fn shell_code_of_start(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = command(Path::new("/bin/sh"));
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn output_and_exit_code_are_captured() {
        let done = run(
            &mut shell("echo out; echo err >&2; exit 3"),
            &Machine::real().deadline(Duration::from_secs(10)),
        )
        .expect("runs");
        assert_eq!((done.exit_code, done.stdout.as_str(), done.stderr.as_str()), (Some(3), "out\n", "err\n"));
    }

    #[test]
    fn what_was_printed_counts_although_a_grandchild_keeps_the_output_open() {
        let done = run(
            &mut shell("echo out; echo err >&2; sleep 30 &"),
            &Machine::real().deadline(Duration::from_secs(10)),
        )
        .expect("runs");
        assert_eq!((done.exit_code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "out\n", "err\n"));
    }

    #[test]
    fn what_a_stopped_child_leaves_behind_is_ended_too() {
        let folder = tempfile::tempdir().expect("folder");
        let (ready, mark) = (folder.path().join("ready"), folder.path().join("mark"));
        let deaf =
            format!("(trap '' TERM; touch {}; sleep 1; touch {}) & wait", ready.display(), mark.display());
        let mut child = Running::start(&mut shell(&deaf)).expect("starts");
        while !ready.exists() {
            clock::sleep(POLL_FIRST);
        }
        child.stop(Duration::from_millis(100)).expect("stops");
        clock::sleep(Duration::from_millis(1200));
        assert!(!mark.exists());
    }

    #[test]
    fn a_child_over_its_time_may_clean_up() {
        let script = "trap 'echo cleaned; exit' TERM; while :; do sleep 0.01; done";
        let done =
            run(&mut shell(script), &Machine::real().deadline(Duration::from_millis(200))).expect("runs");
        assert_eq!((done.timed_out, done.exit_code, done.stdout.as_str()), (true, None, "cleaned\n"));
    }

    #[test]
    fn a_child_over_its_time_is_ended_with_its_children() {
        let started = clock::since_boot();
        let done =
            run(&mut shell("sleep 60 & sleep 60"), &Machine::real().deadline(Duration::from_millis(50)))
                .expect("runs");
        assert!(done.timed_out && done.exit_code.is_none());
        assert!(clock::since_boot().saturating_sub(started) < Duration::from_secs(10));
    }
}
