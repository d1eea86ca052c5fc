//! One job: a fresh folder, the job in it under its guard, what it prints, how it ended.
//!
//! An executor knows of no hub and decides nothing: it is told to stop, and tells when all is over.

use super::log::Log;
use crate::domain::job::Job;
use crate::domain::time::show_span;
use crate::host::clock::{self, Deadline};
use crate::host::guard::{self, Cause, Errand, Orders};
use crate::host::process::Running;
use crate::host::{environment, files};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the end of the output is waited for after the guard's: something that escaped it may
/// hold the pipe.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// How long a guard is waited for between two looks at the time.
const LOOK: Duration = Duration::from_secs(1);

/// How much longer than it should take to end its job a guard may take: then it does not answer.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);

/// The largest command that is given to the system, in bytes.
const COMMAND_BYTES_MAX: usize = 100 * 1024;

/// How much of a text of the hub a variable holds, in characters.
const VARIABLE_LENGTH_MAX: usize = 1000;

/// Variables of the worker that a job sees too.
const INHERITED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"];

/// What is to be run, and how.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// The job as it was claimed.
    pub job: Job,
    /// The fencing token of the claim.
    pub token: u64,
    /// The server that runs it.
    pub server: String,
    /// The folder that is made for it.
    pub folder: PathBuf,
    /// A file that is locked as long as something of the job may live.
    pub alive: PathBuf,
    /// Further variables of the worker that the job sees.
    pub inherited: Vec<String>,
    /// Variables whose values are masked in the log.
    pub masked: Vec<String>,
    /// How long it has to end after it was asked to.
    pub grace: Duration,
    /// When it was claimed, on the boot clock.
    pub asked: Duration,
    /// How much of its log is kept.
    pub log_bytes_max: usize,
    /// Whether its folder stays.
    pub keeps_folder: bool,
}

impl Task {
    /// The variables that tell the processes of this attempt from all others.
    fn marks(&self) -> [String; 3] {
        [
            format!("MUSTER_SERVER={}", self.server),
            format!("MUSTER_JOB_ID={}", self.job.id),
            format!("MUSTER_JOB_TOKEN={}", self.token),
        ]
    }

    /// How much of its time is left.
    fn limit(&self) -> Duration {
        self.job.timeout().saturating_sub(clock::since_boot().saturating_sub(self.asked))
    }

    /// All of the job's environment.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let names = INHERITED.iter().copied().chain(self.inherited.iter().map(String::as_str));
        let mut variables: Vec<(OsString, OsString)> = names
            .filter_map(|name| Some((OsString::from(name), OsString::from(environment::variable(name)?))))
            .collect();
        variables.extend(self.marks().iter().filter_map(|mark| {
            mark.split_once('=').map(|(name, value)| (OsString::from(name), OsString::from(value)))
        }));
        let job = &self.job;
        let mut tell = |name: &str, value: String| {
            variables.push((OsString::from(format!("MUSTER_{name}")), OsString::from(without_nul(&value))));
        };
        tell("JOB_TYPE", job.kind.clone());
        tell("JOB_ATTEMPT", job.attempts.unwrap_or(1).to_string());
        tell("JOB_BRANCH", job.branch.clone().unwrap_or_default());
        tell("JOB_COMMIT", job.commit.clone().unwrap_or_default());
        tell("JOB_DESCRIPTION", job.description.clone().unwrap_or_default());
        variables
    }
}

/// A text of the hub as a variable can hold it.
fn without_nul(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(VARIABLE_LENGTH_MAX).collect()
}

/// What is kept of a job at work, in the file that its guard locks: for the next worker, should this
/// one be killed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct AtWork {
    /// The folder that was made for it.
    pub folder: PathBuf,
    /// Variables that its processes have.
    pub marks: Vec<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Its process ended with this code, as a shell tells it, for this cause.
    Exited(u8, Cause),
    /// No server can run it.
    Unrunnable(String),
    /// This server could not run it.
    Broken(String),
}

/// What an executor tells.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which job.
    pub job: String,
    /// The fencing token of its claim.
    pub token: u64,
    /// How it ended.
    pub end: End,
    /// How long after it was claimed.
    pub spent: Duration,
}

/// What dispatcher and executor share.
#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    /// `None` before the guard was started.
    orders: Mutex<Control>,
}

#[derive(Debug)]
enum Control {
    /// Not started yet; until when it may run, or that it is not to start at all.
    Waiting {
        trusted: Deadline,
        stopped: bool,
    },
    Started(Orders),
    /// Started and told to end; when its guard should have.
    Stopped(Deadline),
    Over,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A job at work.
#[derive(Debug)]
pub(super) struct Execution {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Execution {
    /// Starts `task`; it may run until `trusted`, and its end goes to `ended`.
    #[must_use]
    pub(super) fn start<E: From<Ended> + Send + 'static>(
        task: Task,
        trusted: Deadline,
        ended: Sender<E>,
    ) -> Self {
        let secrets: Vec<String> =
            task.masked.iter().filter_map(|name| environment::variable(name)).collect();
        let shared = Arc::new(Shared {
            log: Mutex::new(Log::new(task.log_bytes_max, &secrets)),
            orders: Mutex::new(Control::Waiting { trusted, stopped: false }),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let end = run(&task, &for_thread);
            *lock(&for_thread.orders) = Control::Over;
            lock(&for_thread.log).end(clock::wall());
            let spent = clock::since_boot().saturating_sub(task.asked);
            // What stays is removed when the worker starts again, by the file that tells where it is.
            if !task.keeps_folder && (!task.folder.exists() || files::remove_all(&task.folder).is_ok()) {
                drop(files::remove(&task.alive));
            }
            let told = Ended { job: task.job.id.clone(), token: task.token, end, spent };
            // Nobody listens any more: the worker is ending.
            ended.send(E::from(told)).ok();
        });
        Self { shared, thread: Some(thread) }
    }

    /// The job may go on until `deadline`.
    pub(super) fn trust(&self, deadline: Deadline) {
        match &mut *lock(&self.shared.orders) {
            Control::Waiting { trusted, .. } => *trusted = deadline,
            Control::Started(orders) => orders.trust(deadline),
            Control::Stopped(..) | Control::Over => {}
        }
    }

    /// The job is to end within `grace`; its end is told as any other.
    pub(super) fn stop(&self, grace: Duration) {
        let mut control = lock(&self.shared.orders);
        match std::mem::replace(&mut *control, Control::Over) {
            Control::Waiting { trusted, .. } => *control = Control::Waiting { trusted, stopped: true },
            Control::Started(mut orders) => {
                orders.stop();
                *control = Control::Stopped(Deadline::after(grace + GUARD_PATIENCE));
            }
            same @ (Control::Stopped(..) | Control::Over) => *control = same,
        }
    }

    /// Adds a line of the worker's own to the log.
    pub(super) fn say(&self, text: &str) {
        lock(&self.shared.log).say(text, clock::wall());
    }

    /// The log and its version, if it is another than `known`.
    #[must_use]
    pub(super) fn log_after(&self, known: u64) -> Option<(u64, Vec<u8>)> {
        let log = lock(&self.shared.log);
        (log.version() != known).then(|| (log.version(), log.render()))
    }

    /// Waits for the thread, which ends with the end that it tells.
    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It told its end; a panic after that is of no interest.
            thread.join().ok();
        }
    }
}

fn run(task: &Task, shared: &Arc<Shared>) -> End {
    let end = match start(task, shared) {
        Ok(Some((guard, output, told))) => watch(task, guard, output, told, shared),
        Ok(None) => return End::Exited(128 + 15, Cause::Told),
        Err(end) => end,
    };
    match &end {
        End::Unrunnable(why) | End::Broken(why) => lock(&shared.log).say(why, clock::wall()),
        End::Exited(_, Cause::Late) => {
            let limit = show_span(task.job.timeout());
            lock(&shared.log)
                .say(&format!("the job took longer than {limit} and was stopped"), clock::wall());
        }
        End::Exited(..) => {}
    }
    end
}

/// Starts the job; `None` when it was stopped before.
fn start(task: &Task, shared: &Shared) -> Result<Option<(Running, PipeReader, Orders)>, End> {
    let command = &task.job.command;
    if command.iter().any(|word| word.contains('\0')) {
        return Err(End::Unrunnable("its command holds a zero byte".to_owned()));
    }
    if command.iter().map(String::len).sum::<usize>() > COMMAND_BYTES_MAX {
        return Err(End::Unrunnable(format!("its command has more than {COMMAND_BYTES_MAX} bytes")));
    }
    make_folder(&task.folder).map_err(End::Broken)?;
    let at_work = AtWork { folder: task.folder.clone(), marks: task.marks().to_vec() };
    files::remember(&task.alive, &at_work).map_err(|error| End::Broken(error.to_string()))?;
    let environment = task.environment();
    let errand = Errand {
        command,
        folder: &task.folder,
        environment: &environment,
        alive: &task.alive,
        grace: task.grace,
        limit: task.limit(),
    };
    let mut control = lock(&shared.orders);
    let Control::Waiting { trusted, stopped: false } = *control else { return Ok(None) };
    let broken = |error: io::Error| End::Broken(format!("cannot start the job's guard: {error}"));
    let (guard, output, orders) = guard::start(&errand, trusted).map_err(broken)?;
    let told = orders.again().map_err(broken)?;
    *control = Control::Started(orders);
    Ok(Some((guard, output, told)))
}

fn make_folder(folder: &Path) -> Result<(), String> {
    let make = || {
        if folder.exists() {
            // What an earlier attempt left is none of this one's.
            files::remove_all(folder)?;
        }
        folder.parent().map_or(Ok(()), files::create_dir)?;
        files::create_private_dir(folder)
    };
    make().map_err(|error| error.to_string())
}

fn watch(task: &Task, mut guard: Running, output: PipeReader, mut told: Orders, shared: &Arc<Shared>) -> End {
    let reader = read(output, Arc::clone(shared));
    let overdue = Deadline::after(task.limit() + task.grace + GUARD_PATIENCE);
    loop {
        match guard.wait_until(Deadline::after(LOOK)) {
            Ok(Some(_)) => break,
            Ok(None) => {}
            Err(error) => return End::Broken(format!("the job's guard was lost: {error}")),
        }
        let is_told = matches!(&*lock(&shared.orders), Control::Stopped(until) if until.passed());
        if is_told || overdue.passed() {
            // It was stopped, perhaps by its own job.
            guard::kill_tree(&guard);
        }
    }
    let told = told.told();
    if told.is_none() && !guard::kill_marked(&task.marks()) {
        return End::Broken("the job's guard was killed, and its processes do not end".to_owned());
    }
    let patience = Deadline::after(OUTPUT_GRACE);
    while !reader.is_finished() && !patience.passed() {
        clock::sleep(Duration::from_millis(5).min(patience.left()));
    }
    match told {
        Some((_, Cause::Unguarded)) | None => End::Broken("the job's guard was killed".to_owned()),
        Some((code, cause)) => End::Exited(code, cause),
    }
}

/// Reads what the job prints to its end.
fn read(mut output: PipeReader, shared: Arc<Shared>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = vec![0_u8; 64 * 1024];
        while let Ok(length @ 1..) = output.read(&mut chunk) {
            lock(&shared.log).take(chunk.get(..length).unwrap_or_default(), clock::wall());
        }
    })
}
