//! A process that stands between a worker and one job, so that nothing of the job outlives what
//! its holder may trust.
//!
//! It starts the job, collects what the job's processes leave behind (on Linux as their new
//! parent, so that not even a process with a session of its own escapes), and ends all of them when
//! the job ends, when it is told to, when the trust it was given runs out, and when the worker that
//! started it is gone: the pipe of its orders closes then, whatever killed the worker. A worker that
//! is merely stopped cannot extend the trust, and the job ends all the same.

use super::clock::{self, Deadline};
use super::environment;
use super::file_lock::FileLock;
use super::process::{self, Running};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, PipeReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The command of this program that is the guard.
pub const COMMAND: &str = "guard";

/// How often the job is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long what a job leaves behind has to end in good order.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// How long the guard tries to end what is left of a job.
const SWEEP_MAX: Duration = Duration::from_secs(5);

/// How long a lock that proves the guard alive is tried for; nobody else wants it.
const ALIVE_PATIENCE: Duration = Duration::from_secs(1);

/// Whether what the job leaves behind becomes our child, whatever group it is in.
const ADOPTS_ORPHANS: bool = cfg!(target_os = "linux");

/// The longest order.
const ORDER_BYTES_MAX: u64 = 64;

/// A job to be started under a guard.
#[derive(Debug)]
pub struct Errand<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// Where it runs.
    pub folder: &'a Path,
    /// All of its environment.
    pub environment: &'a [(OsString, OsString)],
    /// A file that is locked as long as the guard lives.
    pub alive: &'a Path,
    /// How long the job has to end after it was asked to.
    pub grace: Duration,
}

/// A job under its guard, as the worker sees it.
#[derive(Debug)]
pub struct Guarded {
    guard: Running,
    /// What the job prints, both streams in the order in which they were written.
    pub output: PipeReader,
    /// The way of orders to the guard.
    pub orders: Orders,
}

/// The way of orders to a guard.
#[derive(Debug)]
pub struct Orders(ChildStdin);

impl Orders {
    /// The job may go on until `deadline`. A guard that is gone needs no orders.
    pub fn trust(&mut self, deadline: Deadline) {
        let until = clock::since_boot().saturating_add(deadline.left()).as_millis();
        drop(writeln!(self.0, "trust {until}"));
    }

    /// The job is to end.
    pub fn stop(&mut self) {
        drop(writeln!(self.0, "stop"));
    }
}

impl Guarded {
    /// Starts `errand`; its job may run until `trusted`.
    ///
    /// # Errors
    /// When the guard cannot be started.
    pub fn start(errand: &Errand<'_>, trusted: Deadline) -> io::Result<Self> {
        let (output, writer) = io::pipe()?;
        let mut command = process::command(&program()?);
        command
            .args([COMMAND, "--grace-ms", &errand.grace.as_millis().to_string(), "--alive"])
            .arg(errand.alive)
            .arg("--")
            .args(errand.command)
            .current_dir(errand.folder)
            .env_clear()
            .envs(errand.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut guard = Running::start(&mut command)?;
        // The command keeps our ends of the output: it would never seem to end.
        drop(command);
        let input = guard.input().ok_or_else(|| io::Error::other("the guard has no input"))?;
        let mut orders = Orders(input);
        orders.trust(trusted);
        Ok(Self { guard, output, orders })
    }

    /// Gives away the output and the orders; what is left is to be waited for.
    #[must_use]
    pub fn split(self) -> (Running, PipeReader, Orders) {
        (self.guard, self.output, self.orders)
    }
}

/// This very program, even after a newer one took its place on the disk.
fn program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { environment::own_program() }
}

/// What a guard is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Trust(Duration),
    Stop,
}

fn order(line: &str) -> Option<Order> {
    match line.trim().split_once(' ') {
        Some(("trust", until)) => Some(Order::Trust(Duration::from_millis(until.parse().ok()?))),
        None if line.trim() == "stop" => Some(Order::Stop),
        _ => None,
    }
}

/// Hears orders until there are no more.
fn listen() -> Receiver<Order> {
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = String::new();
            match io::Read::take(&mut input, ORDER_BYTES_MAX).read_line(&mut line) {
                Ok(1..) => {}
                _ => return,
            }
            if order(&line).is_some_and(|order| sender.send(order).is_err()) {
                return;
            }
        }
    });
    orders
}

/// The guard itself: runs the job, and returns its exit code as a shell would tell it.
///
/// # Errors
/// When the system does not tell what became of the job.
pub fn guard(program: &OsStr, arguments: &[OsString], alive: &Path, grace: Duration) -> io::Result<u8> {
    let _alive = FileLock::acquire(alive, Deadline::after(ALIVE_PATIENCE));
    adopt_orphans();
    let mut command = process::command(Path::new(program));
    command.args(arguments).stdin(Stdio::null());
    let mut job = match Running::start(&mut command) {
        Ok(job) => job,
        Err(error) => {
            // Its output is the log of the job.
            let shown = program.display();
            drop(writeln!(io::stderr().lock(), "git-muster: cannot start `{shown}`: {error}"));
            return Ok(process::shell_code_of_start(&error));
        }
    };
    let orders = listen();
    let (mut trusted, mut end): (Option<Duration>, Option<Deadline>) = (None, None);
    let status = loop {
        if let Some(status) = job.status()? {
            break status;
        }
        let stop = match orders.recv_timeout(LOOK_PAUSE) {
            Ok(Order::Trust(until)) => {
                trusted = Some(until);
                false
            }
            Ok(Order::Stop) => true,
            Err(RecvTimeoutError::Disconnected) => {
                // Without a channel to wait on there is still a job to be looked at.
                clock::sleep(LOOK_PAUSE);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
        };
        let lapsed = trusted.is_some_and(|until| clock::since_boot() >= until);
        match end {
            None if stop || lapsed => {
                job.signal(Signal::SIGTERM);
                signal_descendants(Signal::SIGTERM);
                end = Some(Deadline::after(grace));
            }
            Some(end) if end.passed() => {
                job.signal(Signal::SIGKILL);
                signal_descendants(Signal::SIGKILL);
            }
            _ => {}
        }
    };
    sweep(job.id().filter(|_| !ADOPTS_ORPHANS));
    Ok(process::shell_code(status))
}

/// Ends what the job left behind.
fn sweep(group: Option<Pid>) {
    let (grace, bound) = (Deadline::after(LEFTOVER_GRACE), Deadline::after(SWEEP_MAX));
    let mut asked = false;
    loop {
        reap();
        // Where orphans have another parent, the group is all that is known of them.
        let group_lives = group.is_some_and(|group| killpg(group, None).is_ok());
        if (descendants(Pid::this()).is_empty() && !group_lives) || bound.passed() {
            return;
        }
        let signal = if grace.passed() { Signal::SIGKILL } else { Signal::SIGTERM };
        if !asked || grace.passed() {
            asked = true;
            signal_descendants(signal);
            // It may have ended by itself just now.
            group.and_then(|group| killpg(group, signal).ok());
        }
        clock::sleep(LOOK_PAUSE);
    }
}

fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

fn signal_descendants(signal: Signal) {
    for process in descendants(Pid::this()) {
        // It may have ended by itself just now.
        kill(process, signal).ok();
    }
}

#[cfg(target_os = "linux")]
fn adopt_orphans() {
    // Without it, as on other systems, a process of the job with a session of its own escapes.
    nix::sys::prctl::set_child_subreaper(true).ok();
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() {}

/// All processes below `top`, as far as the system tells.
fn descendants(top: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(parent) = parent_in(&stat) {
            children.entry(parent).or_default().push(id);
        }
    }
    let (mut open, mut found) = (vec![top.as_raw()], Vec::new());
    while let Some(id) = open.pop() {
        let below = children.remove(&id).unwrap_or_default();
        found.extend(below.iter().map(|id| Pid::from_raw(*id)));
        open.extend(below);
    }
    found
}

/// The parent in a line of `/proc/<pid>/stat`; the name of the program, which may hold anything, ends
/// with the last bracket.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_two() {
        for (line, expected) in [
            ("trust 1500\n", Some(Order::Trust(Duration::from_millis(1500)))),
            ("stop\n", Some(Order::Stop)),
            ("trust\n", None),
            ("trust soon\n", None),
            ("stop now\n", None),
            ("", None),
        ] {
            assert_eq!(order(line), expected, "{line:?}");
        }
    }

    #[test]
    fn the_parent_is_found_whatever_a_program_calls_itself() {
        for (line, parent) in
            [("7 (sh) S 3 7 7 0", Some(3)), ("7 (a ) S 9 (b) R 4 7", Some(4)), ("7 (sh) S", None), ("", None)]
        {
            assert_eq!(parent_in(line), parent, "{line}");
        }
    }
}
