//! One job: a fresh folder, a checkout of what it is to work on, the job in it under its guard, what it
//! prints, what it made, how it ended.
//!
//! An executor knows of no hub and decides nothing: it is told to stop, and tells when all is over.

use super::artifacts::{Collector, Failed, KEPT_FOLDER, KeptArtifacts};
use super::log::{Log, mask_text};
use super::task::Task;
use crate::domain::artifact::{Manifest, attempt_of_log};
use crate::domain::time::show_span;
use crate::machine::contained::contained;
use crate::machine::failpoint::failpoint;
use crate::machine::files::{self, FileError};
use crate::machine::guard::{self, ControlChannel, Remains, StopCause, SupervisedJob, SupervisorReport};
use crate::machine::held::HeldDirectory;
use crate::machine::process::Running;
use crate::machine::{Deadline, Machine, clock, environment};
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

/// The exit code of a checkout of which the source has nothing.
const NOT_THERE_CODE: u8 = 3;

/// The exit code of a checkout that no machine like this can make.
const UNUSABLE_CODE: u8 = 4;

/// What is kept of a job at work, in the file that its guard locks: for the next worker, should this
/// one be killed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct JobState {
    /// The folder that was made for it.
    pub folder: PathBuf,
    /// Variables that its processes have.
    pub marks: Vec<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// Its process ended with this code, as a shell tells it, for this cause.
    Exited(u8, StopCause),
    /// No server can run it.
    Unrunnable(String),
    /// This server could not run it.
    Broken(String),
    /// Its guard was killed: what is left of it nobody knows for sure.
    Unguarded(String),
}

impl JobEnd {
    /// The same with what is masked in the log masked here, too: it goes into the job's record.
    fn masked(self, secrets: &[String]) -> Self {
        match self {
            Self::Exited(..) => self,
            Self::Unrunnable(why) => Self::Unrunnable(mask_text(&why, secrets)),
            Self::Broken(why) => Self::Broken(mask_text(&why, secrets)),
            Self::Unguarded(why) => Self::Unguarded(mask_text(&why, secrets)),
        }
    }
}

/// What an executor tells.
#[derive(Debug)]
pub(super) struct ExecutorEvent {
    pub job: String,
    /// The fencing token of its claim.
    pub token: u64,
    /// How it ended.
    pub end: JobEnd,
    /// How long after it was claimed.
    pub spent: Duration,
    /// The commit that was checked out for it.
    pub commit: Option<String>,
    pub made: Option<KeptArtifacts>,
}

/// What dispatcher and executor share.
#[derive(Debug)]
struct JobChannel {
    log: Mutex<Log>,
    control: Mutex<Control>,
}

/// What the job may do, and the way to its guard.
#[derive(Debug)]
struct Control {
    /// Until when it may run.
    trusted: Deadline,
    /// Since it was told to end: when its guard should have.
    stopped: Option<Deadline>,
    /// The way to the guard that is at work.
    orders: Option<ControlChannel>,
    /// Why this server cannot go on with it.
    broken: Option<String>,
    /// The folder that was made for it, wherever the job put it.
    folder: Option<HeldDirectory>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A job at work.
#[derive(Debug)]
pub(super) struct Execution {
    shared: Arc<JobChannel>,
    thread: Option<JoinHandle<()>>,
}

impl Execution {
    /// Starts `task`; it may run until `trusted`, and its end goes to `ended`.
    #[must_use]
    pub(super) fn start<E: From<ExecutorEvent> + Send + 'static>(
        task: Task,
        trusted: &Deadline,
        ended: Sender<E>,
    ) -> Self {
        let secrets = task.secrets();
        let shared = Arc::new(JobChannel {
            log: Mutex::new(Log::new(task.log_bytes_max, &secrets)),
            control: Mutex::new(Control {
                trusted: trusted.clone(),
                stopped: None,
                orders: None,
                broken: None,
                folder: None,
            }),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            // A bug that shows in one job is not to end the others.
            let (end, commit, made) =
                contained(|| run(&task, &for_thread)).unwrap_or_else(|bug| (JobEnd::Broken(bug), None, None));
            lock(&for_thread.log).end(clock::wall());
            let spent = clock::since_boot().saturating_sub(task.asked);
            if !task.keeps_folder {
                remove_moved(&task, &for_thread);
            }
            // What stays is removed when the worker starts again, by the file that tells where it is.
            if !task.keeps_folder && (!task.folder.exists() || files::remove_all(&task.folder).is_ok()) {
                drop(files::remove(&task.alive));
            }
            let told =
                ExecutorEvent { job: task.job.id.clone(), token: task.token, end, spent, commit, made };
            // Nobody listens any more: the worker is ending.
            ended.send(E::from(told)).ok();
        });
        Self { shared, thread: Some(thread) }
    }

    /// The job may go on until `deadline`.
    pub(super) fn trust(&self, deadline: &Deadline) {
        let mut control = lock(&self.shared.control);
        control.trusted = deadline.clone();
        if let Some(orders) = control.orders.as_mut() {
            orders.trust(deadline);
        }
    }

    /// The job is to end within `grace`; its end is told as any other.
    pub(super) fn stop(&self, grace: Duration) {
        let mut control = lock(&self.shared.control);
        if control.stopped.is_none() {
            control.stopped = Some(Machine::real().deadline(grace + GUARD_PATIENCE));
            if let Some(orders) = control.orders.as_mut() {
                orders.stop();
            }
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

/// Removes the folder of a job that gave it another name: nobody would find it again.
fn remove_moved(task: &Task, shared: &JobChannel) {
    let held = lock(&shared.control).folder.take();
    let moved = held.and_then(|held| held.path()).filter(|path| {
        let made = task.folder.canonicalize().unwrap_or_else(|_| task.folder.clone());
        *path != made
    });
    if let Some(moved) = moved {
        // What cannot be removed only takes space.
        drop(files::remove_all(&moved));
    }
}

/// All of a job: how it ended, what it worked on, what it made.
fn run(task: &Task, shared: &Arc<JobChannel>) -> (JobEnd, Option<String>, Option<KeptArtifacts>) {
    let ended = match prepare(task, shared) {
        Ok(ready) => match work(task, &ready, shared) {
            Ok((end, made)) => (end, ready.commit, made),
            Err(end) => (end, ready.commit, None),
        },
        Err(end) => (end, None, None),
    };
    let (end, commit, made) = (ended.0.masked(&task.secrets()), ended.1, ended.2);
    match &end {
        JobEnd::Unrunnable(why) | JobEnd::Broken(why) | JobEnd::Unguarded(why) => {
            lock(&shared.log).say(why, clock::wall());
        }
        JobEnd::Exited(_, StopCause::Late) => {
            let limit = show_span(task.job.timeout());
            lock(&shared.log)
                .say(&format!("the job took longer than {limit} and was stopped"), clock::wall());
        }
        JobEnd::Exited(..) => {}
    }
    (end, commit, made)
}

/// What a job finds when it starts.
struct Ready {
    /// The commit that was checked out for it.
    commit: Option<String>,
    /// Looks for what it makes.
    collector: Collector,
}

/// The folder of the job, with what it is to work on.
fn prepare(task: &Task, shared: &Arc<JobChannel>) -> Result<Ready, JobEnd> {
    failpoint("job-prepared");
    task.check().map_err(JobEnd::Unrunnable)?;
    let broken = |error: FileError| JobEnd::Broken(error.to_string());
    make_folder(&task.folder).map_err(broken)?;
    // Without it only a folder that was given another name stays.
    lock(&shared.control).folder = HeldDirectory::open(&task.folder).ok();
    let at_work = JobState { folder: task.folder.clone(), marks: task.marks().to_vec() };
    files::remember(&task.alive, &at_work).map_err(broken)?;
    let commit = match task.source() {
        Some(source) => Some(check_out(task, source, shared)?),
        None => {
            if task.job.branch.is_some() {
                let words =
                    "it names a branch, but this worker has no --source: it starts in an empty folder";
                lock(&shared.log).say(words, clock::wall());
            }
            files::create_dir(&task.start_folder()).map_err(broken)?;
            None
        }
    };
    files::create_dir(&task.folder.join(KEPT_FOLDER)).map_err(broken)?;
    let collector =
        Collector::new(&task.folder, &task.job.produces, task.secrets()).map_err(|failed| match failed {
            Failed::ByTheJob(why) => {
                JobEnd::Unrunnable(format!("what it works on cannot be looked at: {why}"))
            }
            Failed::ByTheServer(why) => JobEnd::Broken(why),
        })?;
    Ok(Ready { commit, collector })
}

/// The command of the job, from its start to its end, and what it made if it ended by itself.
fn work(
    task: &Task,
    ready: &Ready,
    shared: &Arc<JobChannel>,
) -> Result<(JobEnd, Option<KeptArtifacts>), JobEnd> {
    let commit = ready.commit.as_deref();
    let environment = task.environment(commit);
    let end = under_guard(task, (&task.job.command, &task.start_folder(), &environment), shared)?;
    let made = match (&end, task.job.log.as_deref().and_then(attempt_of_log)) {
        (JobEnd::Exited(code, StopCause::Itself), Some(attempt)) => {
            collect(task, &ready.collector, (attempt, task.manifest(commit, *code)), shared)?
        }
        _ => None,
    };
    Ok((end, made))
}

/// Keeps what the job made, for as long as it is the job's time.
fn collect(
    task: &Task,
    collector: &Collector,
    (attempt, manifest): (&str, Manifest),
    shared: &JobChannel,
) -> Result<Option<KeptArtifacts>, JobEnd> {
    failpoint("job-ended");
    let is_stopped = || lock(&shared.control).stopped.is_some();
    let is_over = || is_stopped() || task.limit().is_zero();
    let say = |words: &str| lock(&shared.log).say(words, clock::wall());
    collector.collect(&task.keep, attempt, manifest, (say, &is_over)).map_err(|failed| {
        // What is there of it is named nowhere.
        drop(files::remove_all(&task.keep.folder.join(attempt)));
        match (is_stopped(), task.limit().is_zero()) {
            (true, _) => JobEnd::Exited(128 + 15, StopCause::Told),
            (false, true) => JobEnd::Exited(128 + 15, StopCause::Late),
            (false, false) => match failed {
                Failed::ByTheJob(why) => JobEnd::Unrunnable(format!("what it made was not kept: {why}")),
                Failed::ByTheServer(why) => JobEnd::Broken(format!("what it made was not kept: {why}")),
            },
        }
    })
}

/// Prepares what the job is to work on, under a guard as the job itself. Gives the commit.
fn check_out(task: &Task, source: &str, shared: &Arc<JobChannel>) -> Result<String, JobEnd> {
    let broken = |error: String| JobEnd::Broken(format!("cannot check out: {error}"));
    let (command, tell) = task.checkout().map_err(|error| broken(error.to_string()))?;
    // With the user's access to the source, which the job itself does not see.
    let mut environment = environment::variables();
    environment.push((OsString::from("MUSTER_SOURCE"), OsString::from(source)));
    environment.extend(task.mark_variables());
    let end = under_guard(task, (&command, &task.folder, &environment), shared)?;
    match end {
        JobEnd::Exited(0, StopCause::Itself) => {
            let commit = files::read(&tell).ok().flatten();
            drop(files::remove(&tell));
            commit.ok_or_else(|| broken("it does not tell the commit".to_owned()))
        }
        JobEnd::Exited(NOT_THERE_CODE, StopCause::Itself) => {
            let named =
                |what: &str, name: &Option<String>| name.as_ref().map(|name| format!("{what} `{name}`"));
            let (branch, commit) = (named("branch", &task.job.branch), named("commit", &task.job.commit));
            let what: Vec<String> = commit.into_iter().chain(branch).collect();
            Err(JobEnd::Unrunnable(format!("the source has no {}", what.join(" in "))))
        }
        JobEnd::Exited(UNUSABLE_CODE, StopCause::Itself) => Err(JobEnd::Unrunnable(
            "what it is to work on cannot be checked out; its log tells why".to_owned(),
        )),
        JobEnd::Exited(code, StopCause::Itself) => Err(broken(format!("it ended with exit code {code}"))),
        end => Err(end),
    }
}

/// Runs a command, in a folder with an environment, under a guard to its end.
fn under_guard(
    task: &Task,
    (command, folder, environment): (&[String], &Path, &[(OsString, OsString)]),
    shared: &Arc<JobChannel>,
) -> Result<JobEnd, JobEnd> {
    let errand = SupervisedJob {
        command,
        folder,
        environment,
        alive: &task.alive,
        grace: task.grace,
        lapsed_grace: task.lapsed_grace,
        limit: task.limit(),
    };
    let broken = |error: io::Error| JobEnd::Broken(format!("cannot start the job's guard: {error}"));
    let (mut guard, output, told) = {
        let mut control = lock(&shared.control);
        if control.stopped.is_some() {
            return Err(JobEnd::Exited(128 + 15, StopCause::Told));
        }
        let (guard, output, orders) = guard::start(&errand, &control.trusted).map_err(broken)?;
        let told = orders.again().map_err(broken)?;
        control.orders = Some(orders);
        (guard, output, told)
    };
    let end = contained(|| watch(task, &mut guard, output, told, shared));
    let mut control = lock(&shared.control);
    let (orders, broken) = (control.orders.take(), control.broken.take());
    drop(control);
    match end {
        Ok(end @ JobEnd::Unguarded(_)) => Ok(end),
        Ok(end) => Ok(broken.map_or(end, JobEnd::Broken)),
        Err(bug) => Ok(abandon(task, &mut guard, orders, bug)),
    }
}

/// Ends a job that nobody watches any more, because of `bug`.
fn abandon(task: &Task, guard: &mut Running, orders: Option<ControlChannel>, bug: String) -> JobEnd {
    if let Some(mut orders) = orders {
        orders.stop();
    }
    let has_ended = guard.wait_until(&Machine::real().deadline(task.grace + GUARD_PATIENCE));
    if has_ended.is_ok_and(|status| status.is_some()) || guard::kill_tree(guard) == Remains::Nothing {
        return JobEnd::Broken(bug);
    }
    match guard::kill_marked(&task.marks()) {
        true => JobEnd::Unguarded(bug),
        false => JobEnd::Unguarded(format!("{bug}; its processes do not end")),
    }
}

fn make_folder(folder: &Path) -> Result<(), FileError> {
    if folder.exists() {
        // What an earlier attempt left is none of this one's.
        files::remove_all(folder)?;
    }
    folder.parent().map_or(Ok(()), files::create_dir)?;
    files::create_private_dir(folder)
}

fn watch(
    task: &Task,
    guard: &mut Running,
    output: PipeReader,
    mut told: ControlChannel,
    shared: &Arc<JobChannel>,
) -> JobEnd {
    let reader = read(output, Arc::clone(shared));
    failpoint("job-begun");
    let overdue = Machine::real().deadline(task.limit() + task.grace + GUARD_PATIENCE);
    let (mut is_stuck, mut is_certain) = (false, false);
    loop {
        match guard.wait_until(&Machine::real().deadline(LOOK)) {
            Ok(Some(_)) => break,
            Ok(None) => {}
            Err(error) => return JobEnd::Broken(format!("the job's guard was lost: {error}")),
        }
        let is_told = lock(&shared.control).stopped.as_ref().is_some_and(Deadline::passed);
        if is_told || overdue.passed() {
            // It was stopped, perhaps by its own job.
            let rest = guard::kill_tree(guard);
            is_certain |= rest == Remains::Nothing;
            if rest == Remains::Processes && !is_stuck {
                is_stuck = true;
                let words = "not all processes of the job can be ended; it stays at work until they are gone";
                lock(&shared.log).say(words, clock::wall());
            }
        }
    }
    let told = told.told();
    if told.is_none() && !is_certain {
        // What it has not marked, or what is another user's, may still be there.
        let words = match guard::kill_marked(&task.marks()) {
            true => "the job's guard was killed",
            false => "the job's guard was killed, and its processes do not end",
        };
        return JobEnd::Unguarded(words.to_owned());
    }
    let patience = Machine::real().deadline(OUTPUT_GRACE);
    while !reader.is_finished() && !patience.passed() {
        clock::sleep(Duration::from_millis(5).min(patience.left()));
    }
    match told {
        Some(SupervisorReport { cause: StopCause::Unguarded, .. }) | None => {
            JobEnd::Broken("the job's guard was stopped".to_owned())
        }
        Some(SupervisorReport { code, cause, .. }) => JobEnd::Exited(code, cause),
    }
}

/// Reads what the job prints to its end.
fn read(mut output: PipeReader, shared: Arc<JobChannel>) -> JoinHandle<()> {
    thread::spawn(move || {
        let read = contained(|| {
            let mut chunk = vec![0_u8; 64 * 1024];
            while let Ok(length @ 1..) = output.read(&mut chunk) {
                failpoint("job-printed");
                lock(&shared.log).take(chunk.get(..length).unwrap_or_default(), clock::wall());
            }
        });
        if let Err(bug) = read {
            let mut control = lock(&shared.control);
            control.broken = Some(bug);
            if let Some(orders) = control.orders.as_mut() {
                orders.stop();
            }
        }
    })
}
