//! One job: a fresh folder, the job in it under its guard, what it prints, how it ended.
//!
//! An executor knows of no hub and decides nothing: it is told to stop, and tells when all is over.

use super::log::Log;
use crate::domain::job::Job;
use crate::host::clock::{self, Deadline};
use crate::host::guard::{Errand, Guarded, Orders};
use crate::host::process::{self, Running};
use crate::host::{environment, files};
use std::ffi::OsString;
use std::io::{PipeReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the end of the output is waited for after the guard's: something that escaped it may
/// hold the pipe.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// How long a guard is waited for between two looks.
const LOOK: Duration = Duration::from_secs(3600);

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
    /// How much of its log is kept.
    pub log_bytes_max: usize,
    /// Whether its folder stays.
    pub keeps_folder: bool,
}

impl Task {
    /// All of the job's environment.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let names = INHERITED.iter().copied().chain(self.inherited.iter().map(String::as_str));
        let mut variables: Vec<(OsString, OsString)> = names
            .filter_map(|name| Some((OsString::from(name), OsString::from(environment::variable(name)?))))
            .collect();
        let job = &self.job;
        let mut tell = |name: &str, value: String| {
            variables.push((OsString::from(format!("MUSTER_{name}")), OsString::from(without_nul(&value))));
        };
        tell("SERVER", self.server.clone());
        tell("JOB_ID", job.id.clone());
        tell("JOB_TOKEN", self.token.to_string());
        tell("JOB_TYPE", job.kind.clone());
        tell("JOB_ATTEMPT", job.attempts.unwrap_or(1).to_string());
        tell("JOB_BRANCH", job.branch.clone().unwrap_or_default());
        tell("JOB_COMMIT", job.commit.clone().unwrap_or_default());
        tell("JOB_DESCRIPTION", job.description.clone().unwrap_or_default());
        variables
    }
}

/// No variable can hold it, and the hub's text may.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Its process ended with this code, as a shell tells it.
    Exited(u8),
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
            if !task.keeps_folder {
                // What stays is removed when the worker starts again.
                drop(files::remove_all(&task.folder));
            }
            drop(files::remove(&task.alive));
            let told = Ended { job: task.job.id.clone(), token: task.token, end };
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
            Control::Over => {}
        }
    }

    /// The job is to end; its end is told as any other.
    pub(super) fn stop(&self) {
        match &mut *lock(&self.shared.orders) {
            Control::Waiting { stopped, .. } => *stopped = true,
            Control::Started(orders) => orders.stop(),
            Control::Over => {}
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
    match start(task, shared) {
        Ok(Some((guard, output))) => watch(guard, output, shared),
        Ok(None) => End::Exited(128 + 15),
        Err(why) => {
            lock(&shared.log).say(&why, clock::wall());
            End::Broken(why)
        }
    }
}

/// Starts the job; `None` when it was stopped before.
fn start(task: &Task, shared: &Shared) -> Result<Option<(Running, PipeReader)>, String> {
    make_folder(&task.folder)?;
    let environment = task.environment();
    let errand = Errand {
        command: &task.job.command,
        folder: &task.folder,
        environment: &environment,
        alive: &task.alive,
        grace: task.grace,
    };
    let mut control = lock(&shared.orders);
    let Control::Waiting { trusted, stopped: false } = *control else { return Ok(None) };
    let guarded =
        Guarded::start(&errand, trusted).map_err(|error| format!("cannot start the job's guard: {error}"))?;
    let (guard, output, orders) = guarded.split();
    *control = Control::Started(orders);
    Ok(Some((guard, output)))
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

fn watch(mut guard: Running, output: PipeReader, shared: &Arc<Shared>) -> End {
    let reader = read(output, Arc::clone(shared));
    let status = loop {
        match guard.wait_until(Deadline::after(LOOK)) {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return End::Broken(format!("the job's guard was lost: {error}")),
        }
    };
    let patience = Deadline::after(OUTPUT_GRACE);
    while !reader.is_finished() && !patience.passed() {
        clock::sleep(Duration::from_millis(5).min(patience.left()));
    }
    match status.code() {
        Some(_) => End::Exited(process::shell_code(status)),
        None => End::Broken("the job's guard was killed".to_owned()),
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
