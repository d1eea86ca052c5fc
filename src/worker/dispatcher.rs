//! The dispatcher: owns the state of the worker, puts all that happens into one order, and is the
//! only one that talks to the hub.
//!
//! Its turn: beat, look at the hub, claim, send on what the jobs printed, report what ended; then it
//! waits for the next thing to happen. What cannot be done now because the hub is away is done
//! later; a job whose lease can no longer be trusted is ended by its guard meanwhile.

mod claiming;
mod reporting;
mod sending;
mod tagging;

use claiming::claiming;
use reporting::Unreported;
use tagging::build_of;

use super::active::{Active, EndReason};
use super::artifacts::remove_leftovers;
use super::budget::Budget;
use super::executor::{ExecutorEvent, JobEnd};
use super::hub::{WorkerHub, WriteResult};
use super::look::{LeftBehind, LostJob, Poller, QueuePoll};
use super::place::WorkerDir;
use super::{Options, Reporter};
use crate::app::commands::job_step::{Step, StepJob};
use crate::app::flows::claim::ClaimFlow;
use crate::domain::artifact::manifest_beside;
use crate::domain::heartbeat::ONE_JOB;
use crate::domain::id::{JobId, ServerName};
use crate::domain::refusal::Refusal;
use crate::domain::shell;
use crate::domain::time::show_span;
use crate::ledger::{Abort, LedgerError};
use crate::machine::file_lock::NotLocked;
use crate::machine::files::FileError;
use crate::machine::{Deadline, signals};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long to wait before something that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// How many attempts in a row may fail by this server's own fault before it pauses, and how long.
const FAULTS_MAX: u32 = 3;
const FAULTS_PAUSE: Duration = Duration::from_secs(300);

/// What is worth a word when it works again.
const RECOVERIES: [&str; 4] = ["beat", "look", "claim", "logs"];

/// How long a worker that ends tries to tell the hub what became of its last jobs.
const FAREWELL: Duration = Duration::from_secs(30);

/// Why a worker could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Another process is the worker of this server.
    #[error("a worker for `{0}` is at work on this machine already; nothing was claimed")]
    AlreadyRunning(ServerName),
    /// Something that an earlier worker started does not end.
    #[error("a job of an earlier worker does not end (`{0}` is locked); nothing was claimed")]
    StillRunning(String),
    /// This machine gives nobody the lock that makes a worker the only one.
    #[error("{0}; nothing was claimed")]
    Unlockable(NotLocked),
    /// A file of ours.
    #[error(transparent)]
    File(FileError),
    /// This machine refused something.
    #[error("this machine refuses: {0}; nothing was claimed")]
    Machine(std::io::Error),
    /// The hub said no.
    #[error("{0}")]
    Refused(Refusal),
    /// Others were faster all the time.
    #[error("nothing was claimed: {0}")]
    Contended(String),
    /// The hub could not be used when the worker began.
    #[error(transparent)]
    Ledger(LedgerError),
}

/// What a worker did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many jobs completed.
    pub completed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many ended otherwise.
    pub failed: u64,
    /// How many went back to the queue because the worker ended.
    pub returned: u64,
    /// The exit code of the last job.
    pub last_code: Option<u8>,
}

/// What happens.
#[derive(Debug)]
enum Event {
    Ended(Box<ExecutorEvent>),
    /// A good build was tagged, or why not.
    Tagged(Result<Option<String>, String>),
    AskedToEnd,
}

impl From<ExecutorEvent> for Event {
    fn from(ended: ExecutorEvent) -> Self {
        Self::Ended(Box::new(ended))
    }
}

/// How far the worker is from its end.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Working,
    /// Nothing more is claimed; running jobs may go on until then.
    Draining(Deadline),
    /// Everything was told to end.
    Stopping,
}

/// The worker at work.
pub struct Dispatcher<'a> {
    hub: WorkerHub,
    place: WorkerDir,
    options: Options,
    report: &'a dyn Reporter,
    claiming: ClaimFlow,
    events: Receiver<Event>,
    sender: Sender<Event>,
    active: BTreeMap<JobId, Active>,
    /// What is not reported yet.
    unreported: VecDeque<Unreported>,
    /// Logs of jobs whose end is reported, and what they made.
    unsent: Vec<(String, Vec<u8>)>,
    /// How many tags of good builds are on their way.
    tags_awaited: usize,
    next_log: Deadline,
    phase: Phase,
    /// Whether nothing more is to be claimed because what was to be done is.
    is_closed: bool,
    next_beat: Deadline,
    next_look: Deadline,
    next_report: Deadline,
    /// Since when there is nothing to do; `None` until a look has shown that.
    idle_since: Option<Duration>,
    /// How many pushes there may be.
    budget: Budget,
    /// Whether one push may move several branches.
    combines: bool,
    /// Attempts in a row that failed by this server's own fault.
    faults: u32,
    paused_until: Option<Deadline>,
    /// What keeps this machine from claiming, for people.
    hindrance: Option<String>,
    /// What was complained about, so that it is said once.
    told: HashSet<String>,
    /// The jobs in the queue of which was said that they are left to others.
    unwanted: HashSet<String>,
    summary: Summary,
    /// Until when a worker without jobs tries to report the last ones, once it is to end.
    farewell: Option<Deadline>,
    /// Whether its last sign of life is in the hub.
    has_said_farewell: bool,
    /// What was seen when it began, until that is acted upon.
    first: Option<QueuePoll>,
}

impl<'a> Dispatcher<'a> {
    /// A worker in its place: the only one of its server on this machine.
    ///
    /// # Errors
    /// When another one is at work, or this machine refuses something.
    pub fn new(hub: WorkerHub, options: Options, report: &'a dyn Reporter) -> Result<Self, WorkerError> {
        let (sender, events) = mpsc::channel();
        let requests = sender.clone();
        signals::on_request_to_end(move || requests.send(Event::AskedToEnd).is_ok())
            .map_err(WorkerError::Machine)?;
        let place = WorkerDir::take(hub.server(), &options.place, options.folder.clone())?;
        remove_leftovers(&options.keep);
        let now = hub.machine().deadline(Duration::ZERO);
        let claiming = claiming(&hub, &place, &options);
        let budget = Budget::new(options.push_limit, hub.interval());
        Ok(Self {
            hub,
            place,
            options,
            report,
            claiming,
            events,
            sender,
            active: BTreeMap::new(),
            unreported: VecDeque::new(),
            unsent: Vec::new(),
            tags_awaited: 0,
            next_log: now.clone(),
            phase: Phase::Working,
            is_closed: false,
            next_beat: now.clone(),
            next_look: now.clone(),
            next_report: now,
            idle_since: None,
            budget,
            combines: true,
            faults: 0,
            paused_until: None,
            hindrance: None,
            told: HashSet::new(),
            unwanted: HashSet::new(),
            summary: Summary::default(),
            farewell: None,
            has_said_farewell: false,
            first: None,
        })
    }

    /// Works until it is asked to end, or until what it was to do is done.
    ///
    /// # Errors
    /// When the hub cannot be used at the start, or will not have it.
    pub fn work(mut self) -> Result<Summary, WorkerError> {
        self.begin()?;
        match self.go_on() {
            Ok(()) => Ok(self.finish()),
            Err(error) => {
                // A hub that cannot be used would be waited for in vain.
                if !matches!(error, WorkerError::Ledger(_)) {
                    self.say_farewell();
                }
                Err(error)
            }
        }
    }

    fn go_on(&mut self) -> Result<(), WorkerError> {
        loop {
            // All that happened comes before anything that may have to wait for the hub.
            while let Ok(event) = self.events.try_recv() {
                self.handle(event);
            }
            self.end_drain();
            if self.is_done() {
                return Ok(());
            }
            // One of these a turn: each may wait for the hub, and signals must not wait for all.
            if self.next_beat.passed() {
                self.beat();
            } else if !self.unreported.is_empty() && self.next_report.passed() {
                self.report_next();
            } else if self.next_look.passed() {
                self.look()?;
            } else if self.next_log().is_some_and(|next| next.passed()) {
                self.send_logs();
            } else if let Ok(event) = self.events.recv_timeout(self.until_next().left()) {
                self.handle(event);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Ended(ended) => self.ended(*ended),
            Event::Tagged(result) => self.tagged(&result),
            Event::AskedToEnd => self.asked_to_end(),
        }
    }

    /// The first sign of life, and what a predecessor left undone.
    fn begin(&mut self) -> Result<(), WorkerError> {
        match self.hub.beat(self.report).map_err(WorkerError::Ledger)? {
            WriteResult::Refused(refusal) => return Err(WorkerError::Refused(refusal)),
            // A session that somebody ended begins anew with the next beat.
            WriteResult::Done(_) => self.next_beat = self.after(self.hub.rest()),
            WriteResult::Later(why) => self.report.warn(&format!("no sign of life was sent: {why}")),
        }
        // What signs of life need is kept free.
        self.hub.take_pushes();
        self.hub.send_kept(self.report);
        let mut look = self.see().map_err(stopped)?;
        let kept = self.hub.kept();
        let mut left = std::mem::take(&mut look.left);
        if kept.is_empty() && left == LeftBehind::default() {
            self.first = Some(look);
        }
        for step in kept {
            // It has ended: what could not be sent even now is tried again, and is not lost meanwhile.
            left.forget(&[(step.job.clone(), step.token)]);
            self.report_step(step.job, step.token, step.step);
        }
        for (job, _) in &left.strays {
            self.report.say(&format!("job `{job}` was at work when this worker last ended: it is lost"));
        }
        for step in left.steps(&self.hub.server().clone()) {
            self.report_step(step.job, step.token, step.step);
        }
        Ok(())
    }

    fn until_next(&self) -> Deadline {
        let mut next = vec![self.next_beat.clone(), self.next_look.clone()];
        next.extend(self.next_log());
        if !self.unreported.is_empty() {
            next.push(self.next_report.clone());
        }
        if let Phase::Draining(end) = &self.phase {
            next.push(end.clone());
        }
        next.into_iter().min_by_key(Deadline::left).unwrap_or_else(|| self.next_look.clone())
    }

    fn is_done(&mut self) -> bool {
        if !self.active.is_empty() {
            return false;
        }
        let is_told_to = self.phase != Phase::Working || self.is_closed;
        let idle = self.idle_since.map(|since| self.now().saturating_sub(since));
        let is_idle = self.options.exit_when_idle.zip(idle).is_some_and(|(span, idle)| idle >= span);
        let (owes, ends) =
            match (!self.unreported.is_empty() || self.tags_awaited > 0, self.unsent.is_empty()) {
                (true, _) => (true, is_told_to),
                // A log that a hub does not take keeps nobody from a planned end.
                (false, is_sent) => (!is_sent, is_told_to || is_idle),
            };
        let machine = self.hub.machine();
        ends && (!owes || self.farewell.get_or_insert_with(|| machine.deadline(FAREWELL)).passed())
    }

    /// Time since boot.
    fn now(&self) -> Duration {
        self.hub.machine().since_boot()
    }

    /// `span` from now.
    fn after(&self, span: Duration) -> Deadline {
        self.hub.machine().deadline(span)
    }

    /// Says what is wrong, once until it is right again.
    fn complain(&mut self, about: &str, words: &str) {
        if self.told.insert(about.to_owned()) {
            self.report.warn(words);
        }
    }

    fn recovered(&mut self, about: &str) {
        if self.told.remove(about) && RECOVERIES.contains(&about) {
            self.report.say(&format!("{about}: it works again"));
        }
    }

    fn see(&mut self) -> Result<QueuePoll, Abort> {
        let server = self.hub.server().clone();
        let eye = Poller {
            server: &server,
            worker: &self.place.worker,
            unsure: &self.place.unsure,
            labels: &self.options.labels,
            allow: &self.options.allow,
            active: self.active.iter().map(|(id, active)| (id.clone(), active.token)).collect(),
            ripe: self.claiming.ripe(),
            now: self.hub.machine().wall(),
        };
        self.hub.read(self.report, |snapshot| eye.look(snapshot))
    }

    /// Looks at the hub and acts upon what is there.
    fn look(&mut self) -> Result<(), WorkerError> {
        self.next_look = self.after(self.options.poll);
        let look = match self.first.take().map_or_else(|| self.see(), Ok) {
            Ok(look) => look,
            Err(stop) => {
                if self.options.once && !self.is_closed {
                    return Err(stopped(stop));
                }
                self.complain("look", &format!("the queue cannot be seen: {}", words(self.report, &stop)));
                return Ok(());
            }
        };
        self.recovered("look");
        for taken in &look.taken {
            self.stop_taken(taken);
        }
        for (job, token) in look.left.strays {
            // A claim that was sent and given up landed after all: nothing was done under it.
            if !self.unreported.iter().any(|waits| waits.is_of(&job, token)) {
                self.report_step(job, token, Step::Release);
            }
        }
        self.confirm_stopped(look.left.stopped);
        self.tell_unwanted(look.unwanted);
        if let Some((told, ends)) = &look.paused {
            self.paused(told, *ends);
        } else if self.told.remove("pause") {
            self.report.say("this server is no longer paused");
        }
        let wants = self.phase == Phase::Working
            && !self.is_closed
            && look.paused.is_none()
            && (look.has_work || self.options.job.is_some());
        let is_waiting = self.take(look.seen, look.delayed, wants)?;
        if is_waiting {
            self.idle_since = None;
        } else if self.active.is_empty() && self.idle_since.is_none() {
            self.idle_since = Some(self.now());
        }
        Ok(())
    }

    /// Somebody paused this server; a worker that is to be drained ends when its jobs have.
    fn paused(&mut self, told: &str, ends: bool) {
        if self.told.insert("pause".to_owned()) {
            self.report.say(&format!("this server is paused {told}; nothing is claimed"));
        }
        if ends && !self.is_closed {
            self.report.say("the worker ends when its jobs have");
            self.is_closed = true;
        }
    }

    /// Says once of each job that nothing but our own decision keeps from running here.
    fn tell_unwanted(&mut self, unwanted: Vec<(String, Vec<String>)>) {
        for (id, command) in &unwanted {
            if !command.is_empty() && self.options.job.is_none() && !self.unwanted.contains(id) {
                let command = shell::words(command);
                self.report.say(&format!("job `{id}` is left to others: `{command}` is not allowed here"));
            }
        }
        self.unwanted = unwanted.into_iter().map(|(id, _)| id).collect();
    }

    fn stop_taken(&mut self, taken: &LostJob) {
        let LostJob { job: id, token, situation, is_cancelled } = taken;
        if let Some(active) = self.active.get_mut(id).filter(|active| active.token == *token) {
            let is_told = matches!(active.why, Some(EndReason::Taken | EndReason::Cancelled));
            // What was called off may be put back and claimed by another while it is being stopped.
            active.why = Some(if *is_cancelled { EndReason::Cancelled } else { EndReason::Taken });
            if !is_told {
                active.execution.stop(active.grace);
                self.report
                    .warn(&format!("job `{id}` is not this worker's any more ({situation}): it is stopped"));
            }
        }
    }

    /// Stops all jobs when the time to drain is over.
    fn end_drain(&mut self) {
        if matches!(&self.phase, Phase::Draining(end) if end.passed()) {
            self.stop_all();
        }
    }

    fn asked_to_end(&mut self) {
        match self.phase {
            Phase::Working if self.active.is_empty() => self.phase = Phase::Stopping,
            Phase::Working => {
                let (count, span) = (self.active.len(), crate::domain::time::show_span(self.options.drain));
                self.report.say(&format!(
                    "asked to end: {count} running may finish within {span}; ask again to stop now"
                ));
                self.phase = Phase::Draining(self.after(self.options.drain));
            }
            Phase::Draining(_) | Phase::Stopping => self.stop_all(),
        }
    }

    fn stop_all(&mut self) {
        self.phase = Phase::Stopping;
        for active in self.active.values_mut().filter(|active| active.why.is_none()) {
            active.execution.say("the worker ends: the job goes back to the queue");
            active.why = Some(EndReason::Interrupted);
            active.execution.stop(active.grace);
        }
    }

    fn ended(&mut self, ended: ExecutorEvent) {
        let Ok(id) = JobId::new(&ended.job) else { return };
        let Some(mut active) = self.active.remove(&id).filter(|active| active.token == ended.token) else {
            return;
        };
        active.execution.join();
        self.idle_since = None;
        self.next_look = self.after(Duration::ZERO);
        if matches!(ended.end, JobEnd::Unguarded(_)) {
            self.place.doubt((id.clone(), ended.token));
        }
        let (step, code) = active.outcome(&ended);
        self.count(&active, &ended.end, step.as_ref());
        self.summary.last_code = Some(code);
        if let Some(step) = step {
            let log = active.job.log.clone().zip(active.execution.log_after(u64::MAX).map(|log| log.1));
            let mut files: Vec<_> = log.into_iter().collect();
            if let (Some(made), Some(manifest)) =
                (ended.made, active.job.log.as_deref().and_then(manifest_beside))
            {
                files.push((manifest, made.manifest.write().into_bytes()));
                files.extend(made.copies);
            }
            let build = build_of(&active.job, &step);
            let step = StepJob { server: self.hub.server().clone(), job: id, token: active.token, step };
            self.send(Unreported { step, files, build });
        }
    }

    fn count(&mut self, active: &Active, end: &JobEnd, step: Option<&Step>) {
        self.faults =
            if matches!(end, JobEnd::Broken(_) | JobEnd::Unguarded(_)) { self.faults + 1 } else { 0 };
        if self.faults >= FAULTS_MAX {
            self.faults = 0;
            self.paused_until = Some(self.after(FAULTS_PAUSE));
            self.report.warn(&format!(
                "{FAULTS_MAX} jobs in a row could not be run here: nothing is claimed for {} s",
                FAULTS_PAUSE.as_secs()
            ));
        }
        let what = match (step, end) {
            (Some(Step::Complete { .. }), _) => "completed".to_owned(),
            (Some(Step::Fail { reason, report }), _) => {
                let code = report.exit_code.map_or(String::new(), |code| format!(", exit code {code}"));
                let why = report.message.as_ref().map_or(String::new(), |why| format!(": {why}"));
                format!("failed: {}{code}{why}", reason.as_str())
            }
            (Some(Step::Stopped), _) => "has stopped; it was cancelled".to_owned(),
            (Some(_), _) => "goes back to the queue".to_owned(),
            (None, _) => "ended; it was not ours any more and nothing is reported".to_owned(),
        };
        match step {
            Some(Step::Complete { .. }) => self.summary.completed += 1,
            Some(Step::Release) => self.summary.returned += 1,
            Some(Step::Stopped) => self.summary.cancelled += 1,
            _ => self.summary.failed += 1,
        }
        self.report.say(&format!("job `{}` {what}", active.job.id));
    }

    /// Why a worker that ends by itself does.
    fn reason(&self) -> String {
        match (&self.phase, self.options.exit_when_idle) {
            (Phase::Working, _) if self.is_closed && !self.options.once && self.options.job.is_none() => {
                "its server is being drained".to_owned()
            }
            (Phase::Working, Some(span)) if span < Duration::from_secs(1) => {
                format!("there was no job for {}ms", span.as_millis())
            }
            (Phase::Working, Some(span)) => format!("there was no job for {}", show_span(span)),
            _ if self.options.once || self.options.job.is_some() => ONE_JOB.to_owned(),
            _ => "it was asked to end".to_owned(),
        }
    }

    fn say_farewell(&mut self) {
        if self.has_said_farewell {
            return;
        }
        let why = self.reason();
        self.hub.farewell(self.report, &why);
    }

    fn finish(mut self) -> Summary {
        self.say_farewell();
        if self.tags_awaited > 0 {
            self.report.warn(&format!(
                "{} good builds are perhaps not tagged; see `git muster rollback list`, and tag with `git muster rollback tag JOB`",
                self.tags_awaited
            ));
        }
        for waits in &self.unreported {
            let job = waits.job();
            let tag = match waits.build {
                Some(_) => format!("; its build is not tagged then: `git muster rollback tag {job}` does it"),
                None => String::new(),
            };
            self.report.warn(&match self.hub.keep_for_later(waits.step.clone()) {
                Ok(op) => format!(
                    "the end of job `{job}` was not reported: the hub could not be used; the next worker or heartbeat of this server sends it, or `git muster op resume {op}`, as long as the job is still this server's{tag}"
                ),
                Err(error) => format!(
                    "the end of job `{job}` was not reported: the hub could not be used, and it cannot be kept: {error}; the next worker of this server gives the job back"
                ),
            });
        }
        self.summary
    }
}

fn stopped(stop: Abort) -> WorkerError {
    match stop {
        Abort::Refused(refusal) => WorkerError::Refused(refusal),
        Abort::Fault(error) => WorkerError::Ledger(error),
    }
}

fn words(report: &dyn Reporter, stop: &Abort) -> String {
    match stop {
        Abort::Refused(refusal) => report.words(refusal),
        Abort::Fault(error) => error.to_string(),
    }
}
