//! A process that stands between a worker and one job, so that nothing of the job outlives what
//! its holder may trust.
//!
//! It starts the job, collects what the job's processes leave behind (on Linux as their new
//! parent, so that not even a process with a session of its own escapes), and ends all of them when
//! the job ends, when its time is over, when it is told to, when the trust it was given runs out, and
//! when the worker that started it is gone: the line to the worker closes then, whatever killed it. A
//! worker that is merely stopped or waits for its hub cannot extend the trust, and the job ends all
//! the same. Before it ends it tells the worker the job's exit code and why the job ended.

use super::clock::{self, Deadline};
use super::environment;
use super::file_lock::FileLock;
use super::process::{self, Running};
use super::signals::Stop;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The command of this program that is the guard.
pub const COMMAND: &str = "guard";

/// How often the job is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long what a job leaves behind has to end in good order.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// How many adopted processes are taken notice of between two looks at the job.
const REAPED_AT_ONCE_MAX: usize = 1000;

/// How often processes below a guard that does not answer are looked for: they may start others.
const KILL_ROUNDS_MAX: usize = 100;

/// How long it is tried to end what is left of a job, and how often that is looked at afterwards.
const SWEEP_MAX: Duration = Duration::from_secs(5);
const LEFTOVER_LOOK: Duration = Duration::from_secs(1);

/// How long a lock that proves the guard alive is tried for; nobody else wants it.
const ALIVE_PATIENCE: Duration = Duration::from_secs(1);

/// Whether what the job leaves behind becomes our child, whatever group it is in.
const ADOPTS_ORPHANS: bool = cfg!(target_os = "linux");

/// The longest order or report.
const LINE_BYTES_MAX: u64 = 64;

/// How long a guard may not take an order: it is stopped then, and so is its job.
const ORDER_PATIENCE: Duration = Duration::from_millis(200);

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
    /// How long it may run.
    pub limit: Duration,
}

/// Why a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// By itself.
    Itself,
    /// It was told to.
    Told,
    /// Its time was over.
    Late,
    /// Its holder could not be trusted any more to have it.
    Lapsed,
    /// Its worker was gone.
    Orphaned,
    /// The guard could not do its work.
    Unguarded,
}

const CAUSES: [(Cause, &str); 6] = [
    (Cause::Itself, "itself"),
    (Cause::Told, "told"),
    (Cause::Late, "late"),
    (Cause::Lapsed, "lapsed"),
    (Cause::Orphaned, "orphaned"),
    (Cause::Unguarded, "unguarded"),
];

impl Cause {
    fn word(self) -> &'static str {
        CAUSES.iter().find(|(cause, _)| *cause == self).map_or("unguarded", |(_, word)| word)
    }

    fn parse(word: &str) -> Option<Self> {
        CAUSES.iter().find(|(_, known)| *known == word).map(|(cause, _)| *cause)
    }
}

/// The way of orders to a guard. Not a pipe: a job could open that and give orders itself.
#[derive(Debug)]
pub struct Orders(UnixStream);

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

    /// What a guard that has ended told: the job's exit code and why it ended.
    pub fn told(&mut self) -> Option<(u8, Cause)> {
        let mut line = String::new();
        self.0.set_read_timeout(Some(ORDER_PATIENCE)).ok()?;
        // Not to its end: that is an error when the guard left orders unread.
        BufReader::new(&self.0).take(LINE_BYTES_MAX).read_line(&mut line).ok()?;
        let (code, cause) = line.trim().split_once(' ')?;
        Some((code.parse().ok()?, Cause::parse(cause)?))
    }

    /// The same way once more.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub fn again(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

/// Starts `errand`; its job may run until `trusted`. Gives the guard, what the job prints (both streams
/// in the order in which they were written), and the way of orders.
///
/// # Errors
/// When the guard cannot be started.
pub fn start(errand: &Errand<'_>, trusted: Deadline) -> io::Result<(Running, PipeReader, Orders)> {
    let (output, writer) = io::pipe()?;
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_write_timeout(Some(ORDER_PATIENCE))?;
    let mut command = process::command(&program()?);
    command
        .arg0("git-muster")
        .args([COMMAND, "--grace-ms", &errand.grace.as_millis().to_string()])
        .args(["--limit-ms", &errand.limit.as_millis().to_string(), "--alive"])
        .arg(errand.alive)
        .arg("--")
        .args(errand.command)
        .current_dir(errand.folder)
        .env_clear()
        .envs(errand.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let guard = Running::start(&mut command)?;
    // The command keeps its ends of output and orders: neither would ever seem to end.
    drop(command);
    let mut orders = Orders(ours);
    orders.trust(trusted);
    Ok((guard, output, orders))
}

/// This very program, even after a newer one took its place on the disk.
///
/// # Errors
/// When the system does not tell.
pub fn program() -> io::Result<PathBuf> {
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
        let mut input = BufReader::new(io::stdin());
        loop {
            let mut line = String::new();
            match (&mut input).take(LINE_BYTES_MAX).read_line(&mut line) {
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

/// What the guard watches besides the job.
struct Watch {
    orders: Receiver<Order>,
    /// Signals that end a process: of a service that is stopped they reach the guard as well.
    signalled: Stop,
    trusted: Option<Duration>,
    limit: Deadline,
}

impl Watch {
    /// Waits a moment; tells why the job is to end, if it is.
    fn wait(&mut self) -> Option<Cause> {
        let told = match self.orders.recv_timeout(LOOK_PAUSE) {
            Ok(Order::Trust(until)) => {
                self.trusted = Some(until);
                None
            }
            Ok(Order::Stop) => Some(Cause::Told),
            Err(RecvTimeoutError::Disconnected) => {
                // Without a channel to wait on there is still a job to be looked at.
                clock::sleep(LOOK_PAUSE);
                Some(Cause::Orphaned)
            }
            Err(RecvTimeoutError::Timeout) => None,
        };
        let is_lapsed = self.trusted.is_some_and(|until| clock::since_boot() >= until);
        told.or_else(|| self.limit.passed().then_some(Cause::Late))
            .or_else(|| is_lapsed.then_some(Cause::Lapsed))
            .or_else(|| self.signalled.requested().then_some(Cause::Unguarded))
    }
}

/// The guard itself: runs the job, tells the worker how it ended, and returns the job's exit code as
/// a shell would tell it. `limit` is how long the job may run.
///
/// # Errors
/// When the system does not tell what became of the job, or the guard cannot prove that it lives.
pub fn guard(command: &[OsString], alive: &Path, grace: Duration, limit: Duration) -> io::Result<u8> {
    let signalled = Stop::listen_on()?;
    let limit = Deadline::after(limit);
    // Without it the next worker could not tell that something of the job still lives.
    let _alive = FileLock::acquire(alive, Deadline::after(ALIVE_PATIENCE))
        .ok_or_else(|| io::Error::other(format!("cannot lock `{}`", alive.display())))?;
    adopt_orphans();
    // Orders come by it, and nothing else may hold it open.
    let worker = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from)?;
    let (code, cause) = run(command, Watch { orders: listen(), signalled, trusted: None, limit }, grace)?;
    // A worker that is gone is told by nobody.
    drop(writeln!(&worker, "{code} {}", cause.word()));
    Ok(code)
}

/// Runs the job to its end, and ends what it leaves behind.
fn run(command: &[OsString], mut watch: Watch, grace: Duration) -> io::Result<(u8, Cause)> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::other("no command is given"));
    };
    let mut starting = process::command(Path::new(program));
    starting.args(arguments).stdin(Stdio::null());
    let mut job = match Running::start(&mut starting) {
        Ok(job) => job,
        Err(error) => {
            // Its output is the log of the job.
            let shown = program.display();
            drop(writeln!(io::stderr().lock(), "git-muster: cannot start `{shown}`: {error}"));
            return Ok((process::shell_code_of_start(&error), Cause::Itself));
        }
    };
    let mut ending: Option<(Cause, Deadline)> = None;
    let status = loop {
        reap_orphans(job.id());
        if let Some(status) = job.status()? {
            break status;
        }
        let cause = watch.wait();
        match (ending, cause) {
            (None, Some(cause)) => {
                job.signal(Signal::SIGTERM);
                signal_descendants(Signal::SIGTERM);
                ending = Some((cause, Deadline::after(grace)));
            }
            (Some((_, end)), _) if end.passed() => {
                job.signal(Signal::SIGKILL);
                signal_descendants(Signal::SIGKILL);
            }
            _ => {}
        }
    };
    sweep(job.id().filter(|_| !ADOPTS_ORPHANS));
    Ok((process::shell_code(status), ending.map_or(Cause::Itself, |(cause, _)| cause)))
}

/// Takes notice of the ends of adopted processes while the job runs: each would take up a number of
/// the system until then. The end of `job` itself is left to be noticed elsewhere.
fn reap_orphans(job: Option<Pid>) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    for _ in 0..REAPED_AT_ONCE_MAX {
        match waitid(Id::All, flags).ok().and_then(|status| status.pid()) {
            Some(ended) if Some(ended) != job => {
                waitpid(ended, Some(WaitPidFlag::WNOHANG)).ok();
            }
            _ => return,
        }
    }
}

/// What is left of a guard and its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// The guard, which ends by itself if it still can.
    Guard,
    /// Processes that cannot be ended, as they run under another user, and the guard: nobody else knows
    /// of them.
    Processes,
}

/// Ends all processes below the guard `guard`, which does not answer any more; if there are none, itself.
#[must_use]
pub fn kill_tree(guard: &Running) -> Rest {
    let Some(top) = guard.id() else { return Rest::Nothing };
    for round in 0..KILL_ROUNDS_MAX {
        let below = descendants(top);
        match (below.is_empty(), round) {
            (true, 0) => {
                kill(top, Signal::SIGKILL).ok();
                return Rest::Nothing;
            }
            (true, _) => return Rest::Guard,
            (false, _) => {}
        }
        for process in below {
            kill(process, Signal::SIGKILL).ok();
        }
        clock::sleep(LOOK_PAUSE);
    }
    Rest::Processes
}

/// Ends all processes of this user whose environment holds all of `marks`, such as `NAME=value`:
/// what is left of a job whose guard was killed. Returns whether none is left.
#[must_use]
pub fn kill_marked(marks: &[String]) -> bool {
    let bound = Deadline::after(SWEEP_MAX);
    loop {
        let marked = marked(marks);
        if marked.is_empty() || bound.passed() {
            return marked.is_empty();
        }
        for process in marked {
            kill(process, Signal::SIGKILL).ok();
        }
        clock::sleep(LOOK_PAUSE);
    }
}

fn marked(marks: &[String]) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(variables) = std::fs::read(entry.path().join("environ")) else { continue };
        let holds = |mark: &String| variables.split(|byte| *byte == 0).any(|one| one == mark.as_bytes());
        if Pid::from_raw(id) != Pid::this() && !marks.is_empty() && marks.iter().all(holds) {
            found.push(Pid::from_raw(id));
        }
    }
    found
}

/// Ends what the job left behind. What cannot be ended, as it runs under another user, is waited for:
/// the job is not over before.
fn sweep(group: Option<Pid>) {
    let (grace, bound) = (Deadline::after(LEFTOVER_GRACE), Deadline::after(SWEEP_MAX));
    let (mut asked, mut told) = (false, false);
    loop {
        reap();
        let left = descendants(Pid::this());
        // Where orphans have another parent, the group is all that is known of them.
        let group_lives = group.is_some_and(|group| killpg(group, None).is_ok());
        if left.is_empty() && !group_lives {
            return;
        }
        if bound.passed() {
            if !told {
                told = true;
                let left: Vec<String> = left.iter().map(ToString::to_string).collect();
                let left = left.join(", ");
                let words = "of what the job left this cannot be ended and is waited for: processes";
                drop(writeln!(io::stderr().lock(), "git-muster: {words} {left}"));
            }
            clock::sleep(LEFTOVER_LOOK);
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

/// The parent in a line of `/proc/<pid>/stat`, if it is one of a process that has not ended yet; the name
/// of the program, which may hold anything, ends with the last bracket.
fn parent_in(stat: &str) -> Option<i32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| state != "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_heard_although_it_left_orders_unread() {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let mut orders = Orders(ours);
        orders.trust(Deadline::after(Duration::from_secs(1)));
        writeln!(&theirs, "127 {}", Cause::Itself.word()).expect("written");
        drop(theirs);
        assert_eq!(orders.told(), Some((127, Cause::Itself)));
        assert_eq!(orders.told(), None);
        assert!(
            CAUSES.iter().all(|(cause, word)| Cause::parse(word) == Some(*cause) && cause.word() == *word)
        );
    }

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
        for (line, parent) in [
            ("7 (sh) S 3 7 7 0", Some(3)),
            ("7 (sh) Z 3 7 7 0", None),
            ("7 (a ) S 9 (b) R 4 7", Some(4)),
            ("7 (sh) S", None),
            ("", None),
        ] {
            assert_eq!(parent_in(line), parent, "{line}");
        }
    }
}
