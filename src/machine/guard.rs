//! A process that stands between a worker and one job, so that nothing of the job outlives what
//! its holder may trust. `lock run` has one too (`ward.rs`): there the job is its command.
//!
//! It starts the job, collects what the job's processes leave behind (on Linux as their new
//! parent, so that not even a process with a session of its own escapes), and ends all of them when
//! the job ends, when its time is over, when it is told to, when the trust it was given runs out, and
//! when the worker that started it is gone: the line to the worker closes then, whatever killed it. A
//! worker that is merely stopped or waits for its hub cannot extend the trust, and the job ends all
//! the same. Before it ends it tells the worker the job's exit code and why the job ended.

use super::file_lock::FileLock;
use super::process::{self, Running};
use super::signals::StopFlag;
use super::value::{Deadline, Machine};
use super::{clock, environment};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpgid};
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
pub struct SupervisedJob<'a> {
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
    /// How long it has at most, whyever it is to end, after its holder is not trusted any more to have it:
    /// then another may.
    pub lapsed_grace: Duration,
    /// How long it may run.
    pub limit: Duration,
}

/// Why a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
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
    /// It was never started.
    Unstarted,
    /// The guard could not do its work.
    Unguarded,
}

const CAUSES: [(StopCause, &str); 7] = [
    (StopCause::Itself, "itself"),
    (StopCause::Told, "told"),
    (StopCause::Late, "late"),
    (StopCause::Lapsed, "lapsed"),
    (StopCause::Orphaned, "orphaned"),
    (StopCause::Unstarted, "unstarted"),
    (StopCause::Unguarded, "unguarded"),
];

impl StopCause {
    fn word(self) -> &'static str {
        CAUSES.iter().find(|(cause, _)| *cause == self).map_or("unguarded", |(_, word)| word)
    }

    fn parse(word: &str) -> Option<Self> {
        CAUSES.iter().find(|(_, known)| *known == word).map(|(cause, _)| *cause)
    }
}

/// What a guard tells of the end of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupervisorReport {
    /// The job's exit code, as a shell tells it.
    pub code: u8,
    /// Why it ended.
    pub cause: StopCause,
    /// What the system said if it could not be started.
    pub error: Option<i32>,
}

impl SupervisorReport {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (code, cause) = (words.next()?.parse().ok()?, StopCause::parse(words.next()?)?);
        Some(Self { code, cause, error: words.next().and_then(|number| number.parse().ok()) })
    }

    fn line(self) -> String {
        let error = self.error.map_or(String::new(), |number| format!(" {number}"));
        format!("{} {}{error}", self.code, self.cause.word())
    }
}

/// The way of orders to a guard. Not a pipe: a job could open that and give orders itself.
#[derive(Debug)]
pub struct ControlChannel(UnixStream);

impl ControlChannel {
    /// The job may go on until `deadline`. A guard that is gone needs no orders.
    pub fn trust(&mut self, deadline: &Deadline) {
        let until = clock::since_boot().saturating_add(deadline.left()).as_millis();
        drop(writeln!(self.0, "trust {until}"));
    }

    /// The job is to end.
    pub fn stop(&mut self) {
        drop(writeln!(self.0, "stop"));
    }

    /// The way that begins with `stream`.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn by(stream: UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(ORDER_PATIENCE))?;
        Ok(Self(stream))
    }

    /// What a guard that has ended told.
    pub fn told(&mut self) -> Option<SupervisorReport> {
        let mut line = String::new();
        self.0.set_read_timeout(Some(ORDER_PATIENCE)).ok()?;
        // Not to its end: that is an error when the guard left orders unread.
        BufReader::new(&self.0).take(LINE_BYTES_MAX).read_line(&mut line).ok()?;
        SupervisorReport::parse(&line)
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
pub fn start(
    errand: &SupervisedJob<'_>,
    trusted: &Deadline,
) -> io::Result<(Running, PipeReader, ControlChannel)> {
    let (output, writer) = io::pipe()?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = process::command(&program()?);
    command
        .arg0("git-muster")
        .args([COMMAND, "--grace-ms", &errand.grace.as_millis().to_string()])
        .args(["--lapsed-grace-ms", &errand.lapsed_grace.as_millis().to_string()])
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
    let mut orders = ControlChannel::by(ours)?;
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
fn listen(line: UnixStream) -> Receiver<Order> {
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        let mut input = BufReader::new(line);
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
    signalled: StopFlag,
    trusted: Option<Duration>,
    limit: Option<Deadline>,
}

impl Watch {
    /// Whether the holder of the job has not been trusted any more for `span`.
    fn has_lapsed(&self, span: Duration) -> bool {
        self.trusted.is_some_and(|until| clock::since_boot() >= until.saturating_add(span))
    }

    /// Waits a moment; tells why the job is to end, if it is.
    fn wait(&mut self) -> Option<StopCause> {
        let told = match self.orders.recv_timeout(LOOK_PAUSE) {
            Ok(Order::Trust(until)) => {
                self.trusted = Some(until);
                None
            }
            Ok(Order::Stop) => Some(StopCause::Told),
            Err(RecvTimeoutError::Disconnected) => {
                // Without a channel to wait on there is still a job to be looked at.
                clock::sleep(LOOK_PAUSE);
                Some(StopCause::Orphaned)
            }
            Err(RecvTimeoutError::Timeout) => None,
        };
        told.or_else(|| self.limit.as_ref().is_some_and(Deadline::passed).then_some(StopCause::Late))
            .or_else(|| self.has_lapsed(Duration::ZERO).then_some(StopCause::Lapsed))
            .or_else(|| self.signalled.requested().then_some(StopCause::Unguarded))
    }
}

/// What a guard is told when it starts.
#[derive(Debug)]
pub struct SupervisorArgs {
    /// A file to be locked as long as the guard lives: without it the next worker could not tell that
    /// something of the job still does.
    pub alive: Option<PathBuf>,
    /// How long the job has to end after it was asked to.
    pub grace: Duration,
    /// How long it has at most after its holder is not trusted any more to have it.
    pub lapsed_grace: Duration,
    /// How long it may run.
    pub limit: Option<Duration>,
    /// How the job is started.
    pub manner: StartMode,
}

/// How a guard starts its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartMode {
    /// Without input; orders come by the guard's own. Nothing that it leaves behind outlives it.
    Job,
    /// With the input and output of whoever runs it, and in that group, if it is to be the one in front
    /// of a terminal; orders come by this socket. What it leaves behind when it ends by itself is its own.
    Attached(PathBuf, Option<i32>),
}

/// The guard itself: runs the job, tells the worker how it ended, and returns the job's exit code as
/// a shell would tell it.
///
/// # Errors
/// When the system does not tell what became of the job, or the guard cannot prove that it lives.
pub fn guard(command: &[OsString], post: &SupervisorArgs) -> io::Result<u8> {
    let signalled = StopFlag::listen_on()?;
    let limit = post.limit.map(|span| Machine::real().deadline(span));
    let lock = |alive: &PathBuf| FileLock::acquire(alive, &Machine::real().deadline(ALIVE_PATIENCE));
    let _alive = post.alive.as_ref().map(lock).transpose().map_err(io::Error::other)?;
    adopt_orphans();
    // Orders come by it, and nothing else may hold it open.
    let worker = match &post.manner {
        StartMode::Job => io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from)?,
        StartMode::Attached(orders, _) => UnixStream::connect(orders)?,
    };
    let watch = Watch { orders: listen(worker.try_clone()?), signalled, trusted: None, limit };
    let told = match start_job(command, &post.manner)? {
        Ok(job) => run(job, watch, post)?,
        Err(told) => told,
    };
    // A worker that is gone is told by nobody.
    drop(writeln!(&worker, "{}", told.line()));
    Ok(told.code)
}

/// Starts the job, or gives what is told of one that cannot be started.
fn start_job(command: &[OsString], manner: &StartMode) -> io::Result<Result<Running, SupervisorReport>> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::other("no command is given"));
    };
    let mut starting = process::command(Path::new(program));
    starting.args(arguments);
    let started = match manner {
        StartMode::Job => Running::start(starting.stdin(Stdio::null())),
        StartMode::Attached(_, Some(group)) => Running::start_in(&mut starting, Pid::from_raw(*group)),
        StartMode::Attached(_, None) => Running::start(&mut starting),
    };
    Ok(started.map_err(|error| {
        let (code, number) = (process::shell_code_of_start(&error), error.raw_os_error());
        if *manner != StartMode::Job {
            return SupervisorReport { code, cause: StopCause::Unstarted, error: number };
        }
        // Its output is the log of the job.
        let shown = program.display();
        drop(writeln!(io::stderr().lock(), "git-muster: cannot start `{shown}`: {error}"));
        SupervisorReport { code, cause: StopCause::Itself, error: None }
    }))
}

/// Waits for the end of the job, and ends it and what it leaves behind.
fn run(mut job: Running, mut watch: Watch, post: &SupervisorArgs) -> io::Result<SupervisorReport> {
    let mut ending: Option<(StopCause, Deadline)> = None;
    let status = loop {
        reap_orphans(job.id());
        if let Some(status) = job.status()?
            && (ending.is_some() || post.manner == StartMode::Job || !has_guard_left())
        {
            break status;
        }
        let cause = watch.wait();
        match (&ending, cause) {
            (None, Some(cause)) => {
                signal_all(&job, Signal::SIGTERM);
                ending = Some((cause, Machine::real().deadline(post.grace)));
            }
            (Some((_, end)), _) if end.passed() || watch.has_lapsed(post.lapsed_grace) => {
                signal_all(&job, Signal::SIGKILL);
            }
            _ => {}
        }
    };
    if ending.is_some() || post.manner == StartMode::Job {
        sweep(job.group().filter(|_| !ADOPTS_ORPHANS));
    }
    let cause = ending.map_or(StopCause::Itself, |(cause, _)| cause);
    Ok(SupervisorReport { code: process::shell_code(status), cause, error: None })
}

/// Sends a signal to all processes of the job, and to each once: those of its group together, the others
/// one by one.
fn signal_all(job: &Running, signal: Signal) {
    job.signal(signal);
    let reached = |process: &Pid| match job.group() {
        Some(group) => getpgid(Some(*process)).is_ok_and(|of| of == group),
        None => job.id() == Some(*process),
    };
    for process in descendants(Pid::this()).into_iter().filter(|process| !reached(process)) {
        // It may have ended by itself just now.
        kill(process, signal).ok();
    }
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
pub enum Remains {
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
pub fn kill_tree(guard: &Running) -> Remains {
    let Some(top) = guard.id() else { return Remains::Nothing };
    for round in 0..KILL_ROUNDS_MAX {
        let below = descendants(top);
        match (below.is_empty(), round) {
            (true, 0) => {
                kill(top, Signal::SIGKILL).ok();
                return Remains::Nothing;
            }
            (true, _) => return Remains::Guard,
            (false, _) => {}
        }
        for process in below {
            kill(process, Signal::SIGKILL).ok();
        }
        clock::sleep(LOOK_PAUSE);
    }
    Remains::Processes
}

/// Ends all processes of this user whose environment holds all of `marks`, such as `NAME=value`:
/// what is left of a job whose guard was killed. Returns whether none is left.
#[must_use]
pub fn kill_marked(marks: &[String]) -> bool {
    let bound = Machine::real().deadline(SWEEP_MAX);
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
    let (grace, bound) = (&Machine::real().deadline(LEFTOVER_GRACE), &Machine::real().deadline(SWEEP_MAX));
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

/// Whether we are the parent of a guard by now, which nobody but a `lock run` starts: that one was killed, and
/// its guard is still at ending what it ran.
fn has_guard_left() -> bool {
    let begin = format!("git-muster\0{COMMAND}\0");
    let is_guard = |id: &i32| {
        std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.starts_with(begin.as_bytes()))
    };
    children().remove(&Pid::this().as_raw()).is_some_and(|ours| ours.iter().any(is_guard))
}

/// All processes below `top`, as far as the system tells.
fn descendants(top: Pid) -> Vec<Pid> {
    let (mut children, mut open, mut found) = (children(), vec![top.as_raw()], Vec::new());
    while let Some(id) = open.pop() {
        let below = children.remove(&id).unwrap_or_default();
        found.extend(below.iter().map(|id| Pid::from_raw(*id)));
        open.extend(below);
    }
    found
}

/// The processes that have not ended yet, by their parents.
fn children() -> HashMap<i32, Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(parent) = parent_in(&stat) {
            children.entry(parent).or_default().push(id);
        }
    }
    children
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
        let mut orders = ControlChannel(ours);
        orders.trust(&Machine::real().deadline(Duration::from_secs(1)));
        let told = SupervisorReport { code: 127, cause: StopCause::Unstarted, error: Some(2) };
        writeln!(&theirs, "{}", told.line()).expect("written");
        drop(theirs);
        assert_eq!(orders.told(), Some(told));
        let told = SupervisorReport { code: 7, cause: StopCause::Itself, error: None };
        assert_eq!(SupervisorReport::parse(&told.line()), Some(told));
        assert_eq!(orders.told(), None);
        assert!(
            CAUSES
                .iter()
                .all(|(cause, word)| StopCause::parse(word) == Some(*cause) && cause.word() == *word)
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
