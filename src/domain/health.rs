//! How a fleet is doing, from everything its hub holds: the judgement behind `health`.
//!
//! Each trouble is a finding with a cause that stays the same for as long as the trouble lasts,
//! so that a watcher can open one ticket for it and close it on recovery. Times of other hosts
//! are compared with ours only to warn; nothing here takes anything away from anybody. Who may
//! take over a lock or a job is `lock.rs`'s and `job.rs`'s.

mod documents;
mod in_short;
mod standing;
mod workers;

pub use documents::Document;

use super::audit::never_claimed;
use super::bad_branch::BadBranch;
use super::clocks::{self, Change, Off, SKEW_MAX};
use super::heartbeat::{Freshness, Heartbeat};
use super::job::{Job, JobStatus};
use super::lock::{JOB_ASSIGNMENT, Lock};
use super::pause::Pause;
use super::queue::{Queue, Waiting};
use super::server::Server;
use super::status::Status;
use super::table::Row as _;
use super::table::Table;
use super::time::{Timestamp, show_span};
use crate::domain::shell::typed;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;

/// How much of its time-out a job is granted beyond it, in percent: its server ends it at the
/// time-out and needs a moment to say so.
pub const TIMEOUT_GRACE_PERCENT: u32 = 10;

/// How long somebody may assign jobs, who needs a moment for it, before it is worth a word that nobody else
/// can claim one.
const ASSIGNMENT_MAX: Duration = Duration::from_secs(60);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing to report.
    Ok,
    /// Somebody should look at it.
    Warning,
    /// Something stands still.
    Critical,
    /// There is nothing to judge by.
    Unknown,
}

impl Level {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }

    /// The exit code of `health`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// The order of levels: what we cannot judge is worse than a warning, but does not hide what
    /// is known to stand still.
    fn severity(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Unknown => 2,
            Self::Critical => 3,
        }
    }
}

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Names the trouble for as long as it lasts: `heartbeat-stale:build2`.
    pub cause: String,
    /// The server, job or lock it is about.
    pub subject: String,
    /// The server it concerns, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// One sentence without a final period.
    pub what: String,
    /// What can be done about it; may name a command in backticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How many of a kind it stands for, where it stands for many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

/// All troubles, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of the findings.
    pub level: Level,
    /// How many registered servers were judged.
    pub checked: usize,
    /// The troubles, by level and cause.
    pub findings: Vec<Finding>,
}

/// What is known of one server.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its newest beat, from wherever.
    pub heartbeat: Option<&'a Heartbeat>,
    /// Its status.
    pub status: Option<&'a Status>,
    /// A beat of it that cannot be read.
    pub broken: Option<Broken<'a>>,
    /// What was seen of its newest beat before.
    pub change: Change,
    /// How the last sign of life of its worker is to be judged.
    pub worker: Freshness,
    /// When that was.
    pub worker_at: Option<Timestamp>,
}

/// A beat that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken<'a> {
    /// What is wrong with it, and where it lies.
    pub why: &'a str,
}

/// Everything a hub holds that health is judged by.
#[derive(Debug, Clone)]
pub struct Fleet<'a> {
    /// The register. Only who stands in it is expected to beat.
    pub servers: &'a Table<Server>,
    /// Beats and statuses, of registered servers and of others.
    pub known: Vec<Known<'a>>,
    /// The live jobs.
    pub jobs: &'a Table<Job>,
    /// What is paused.
    pub pauses: &'a Table<Pause>,
    /// The locks.
    pub locks: &'a Table<Lock>,
    /// Servers that have a folder in use and are not registered.
    pub unregistered: &'a [Server],
    /// What was found of every document.
    pub documents: Vec<Document<'a>>,
    /// The reader's time, or that of the others when most of them agree on another.
    pub now: Timestamp,
    /// By how much the reader's clock is off, if it is.
    pub off: Option<Off>,
    /// The server that the reader is, if it is one.
    pub me: Option<&'a str>,
}

impl Fleet<'_> {
    /// Judges everything.
    #[must_use]
    pub fn judge(&self) -> Report {
        let known: HashMap<&str, Known<'_>> = self.known.iter().map(|known| (known.name, *known)).collect();
        let mut findings: Vec<Finding> = self.off.iter().map(clock_off).collect();
        for server in self.servers.rows() {
            let unseen = Known {
                name: &server.id,
                heartbeat: None,
                status: None,
                broken: None,
                change: Change::First,
                worker: Freshness::Unknown,
                worker_at: None,
            };
            self.judge_server(known.get(server.id.as_str()).unwrap_or(&unseen), &mut findings);
        }
        let queue = Queue::new(self.jobs, self.now).paused_by(self.pauses);
        findings.extend(self.without_worker(&queue));
        findings.extend(self.standing_still(&queue));
        findings.extend(never_claimed(self.jobs).into_iter().map(|(job, found)| {
            Finding::of_job(Level::Warning, found.kind.as_str(), job)
                .what(found.what)
                .hint(found.hint.unwrap_or_default())
        }));
        for job in self.jobs.rows() {
            if job.status.is_held() {
                self.judge_held_job(job, &known, &mut findings);
            } else {
                self.judge_waiting_job(job, &queue, &mut findings);
            }
        }
        findings.extend(self.locks.rows().filter_map(|lock| self.expired(lock)));
        findings.extend(self.locks.rows().filter_map(|lock| self.held_up(lock)));
        findings.extend(self.documents.iter().flat_map(Document::judge));
        let checked = self.servers.rows().len();
        if self.is_register_known() {
            findings.extend(self.unregistered.iter().map(|server| unregistered(&server.id, checked == 0)));
        }
        if self.servers.is_empty() && !findings.iter().any(|one| one.cause.starts_with("document-broken")) {
            findings.push(no_servers());
        }
        Report::new(checked, findings)
    }

    /// Of a register that cannot be read nobody knows who is in it, who is not, and who could take a job.
    fn is_register_known(&self) -> bool {
        !self.documents.iter().any(|one| one.path == Server::PATH && one.wrong.is_some())
    }

    fn judge_server(&self, known: &Known<'_>, findings: &mut Vec<Finding>) {
        let name = known.name;
        if let Some(Broken { why }) = known.broken {
            let hint = format!("the next `git muster heartbeat` on `{name}` makes it anew");
            findings.push(
                Finding::of_server(Level::Critical, "heartbeat-broken", name)
                    .what(format!("a heartbeat of server `{name}` cannot be read: {why}"))
                    .hint(hint),
            );
        }
        match known.heartbeat.and_then(|beat| beat.at().map(|at| (beat, at))) {
            Some((beat, at)) => self.judge_beat(known, beat, at, findings),
            None if known.broken.is_some() => {}
            None => findings.push(
                Finding::of_server(Level::Warning, "heartbeat-never", name)
                    .what(format!("server `{name}` has never sent a heartbeat"))
                    .hint(format!("run `git muster heartbeat` on `{name}`, best from cron")),
            ),
        }
        let build = known.status.and_then(|status| status.last_build.as_ref());
        if let Some(build) = build.filter(|build| build.status.as_deref() == Some("failed")) {
            let id = build.id.as_ref().map_or(String::new(), |id| format!(", `{id}`"));
            let ago = build
                .completed_at
                .map_or(String::new(), |at| format!(", {} ago", show_span(self.now.since(at))));
            findings.push(
                Finding::of_server(Level::Warning, "build-failed", name)
                    .what(format!("the last build of server `{name}`{id} failed{ago}"))
                    .hint(format!("see `git muster status show {}`", typed(name, "NAME"))),
            );
        }
    }

    fn judge_beat(&self, known: &Known<'_>, beat: &Heartbeat, at: Timestamp, findings: &mut Vec<Finding>) {
        let name = known.name;
        let since = self.age(known, at);
        let age = format!("{} old", show_span(since));
        let interval = show_span(beat.interval());
        let lateness = match beat.freshness_at_age(since) {
            _ if beat.is_last() => None,
            Freshness::Late => Some((Level::Warning, "heartbeat-late")),
            Freshness::Stale => Some((Level::Critical, "heartbeat-stale")),
            Freshness::Fresh | Freshness::Unknown | Freshness::Stopped => None,
        };
        if let Some((level, cause)) = lateness {
            findings.push(
                Finding::of_server(level, cause, name)
                    .what(format!(
                        "the last heartbeat of server `{name}` is {age}, it means to beat every {interval}"
                    ))
                    .hint(format!("see whether `{name}` runs, reaches the hub and beats")),
            );
        }
        if let Some((one, other)) = beat.twins() {
            findings.push(
                Finding::of_server(Level::Critical, "name-shared", name)
                    .what(format!("two machines beat as server `{name}`, on hosts `{one}` and `{other}`: they take each other's jobs and locks for their own"))
                    .hint(format!("run `git muster join --as {} --replace` on the one that keeps the name, and join under another name on the other", typed(name, "NAME"))),
            );
        }
        if beat.healthy == Some(false) {
            findings.push(
                Finding::of_server(Level::Critical, "server-unhealthy", name).what(format!(
                    "server `{name}` says that it is not healthy, in a heartbeat that is {age}"
                )),
            );
        }
        let ahead = at.since(self.now);
        // Of our own clock all is said when it is said to be off.
        if ahead > SKEW_MAX && !self.is_dated_by_an_off_clock(name) {
            let others = if self.off.is_some() { "the clocks of the others" } else { "this clock" };
            findings.push(
                Finding::of_server(Level::Warning, "clock-skew", name)
                    .what(format!(
                        "the last heartbeat of server `{name}` is {} ahead of {others}",
                        show_span(ahead)
                    ))
                    .hint("see that both machines take their time from the network"),
            );
        }
    }

    /// Whether beats of `name` were dated by this clock, which is off.
    fn is_dated_by_an_off_clock(&self, name: &str) -> bool {
        self.off.is_some() && self.me == Some(name)
    }

    /// How old the newest beat of a server is, of `at` by its clock. Our own was dated by our clock: by that
    /// of the others it would seem older, or not sent yet, by as much as ours is off.
    fn age(&self, known: &Known<'_>, at: Timestamp) -> Duration {
        let age = clocks::age(at, known.change, self.now);
        match &self.off {
            Some(off) if self.me == Some(known.name) => {
                let ours = if off.is_ahead { self.now.plus(off.by) } else { self.now.before(off.by) };
                age.min(ours.since(at))
            }
            _ => age,
        }
    }

    fn judge_held_job(&self, job: &Job, known: &HashMap<&str, Known<'_>>, findings: &mut Vec<Finding>) {
        let holder = job.assigned_to.as_deref();
        let by = holder.map_or(String::new(), |holder| format!(" by `{holder}`"));
        // A writer that names no start leaves only the time it was added.
        let held = job.started_at.or(job.created_at).map_or(Duration::ZERO, |start| self.now.since(start));
        let timeout = job.timeout();
        if held > timeout.saturating_add(timeout / 100 * TIMEOUT_GRACE_PERCENT) {
            findings.push(
                Finding::of_job(Level::Critical, "job-stuck", job)
                    .what(format!(
                        "job `{}` has been {}{by} for {}, its time-out is {}",
                        job.id,
                        job.status,
                        show_span(held),
                        show_span(timeout)
                    ))
                    .hint(format!("call it off with `git muster job cancel {}`", typed(&job.id, "ID"))),
            );
        }
        let known = holder.and_then(|holder| known.get(holder));
        let beat = known.and_then(|known| known.heartbeat);
        let age = beat.and_then(Heartbeat::at).zip(known).map(|(at, known)| self.age(known, at));
        if let (Some(holder), Some(beat), Some(age)) = (holder, beat, age)
            && beat.freshness_at_age(age) == Freshness::Stale
        {
            findings.push(Finding::of_job(Level::Critical, "job-holder-lost", job).what(format!(
                "job `{}` is {} {} `{holder}`, whose last heartbeat is {} old",
                job.id,
                job.status,
                job.status.preposition(),
                show_span(age)
            )));
        }
    }

    fn judge_waiting_job(&self, job: &Job, queue: &Queue<'_>, findings: &mut Vec<Finding>) {
        let has_labels = |server: &Server| job.labels.iter().all(|label| server.labels.contains(label));
        match job.status {
            JobStatus::Dead => {
                let why = job
                    .reason
                    .as_ref()
                    .map_or(String::new(), |reason| format!(", the last ended with {reason}"));
                findings.push(
                    Finding::of_job(Level::Warning, "job-dead", job)
                        .what(format!("job `{}` used up its {} attempts{why}", job.id, job.attempts_max()))
                        .hint(format!("put it back with `git muster job retry {}`", typed(&job.id, "ID"))),
                );
            }
            JobStatus::Queued if let Some(waiting) = queue.unmet_needs(job).find(Waiting::is_in_vain) => {
                findings.push(
                    Finding::of_job(Level::Warning, "job-blocked", job)
                        .what(format!("job `{}` waits in vain: {}", job.id, waiting.describe(self.now)))
                        .hint(format!("call it off with `git muster job cancel {}`, or put back what it needs with `git muster job retry ID`", typed(&job.id, "ID"))),
                );
            }
            JobStatus::Queued
                if self.is_register_known()
                    && !job.labels.is_empty()
                    && !self.servers.rows().any(|server| has_labels(server)) =>
            {
                findings.push(
                    Finding::of_job(Level::Warning, "job-unclaimable", job)
                        .what(format!(
                            "no server has the labels that job `{}` asks for: {}",
                            job.id,
                            job.labels.join(", ")
                        ))
                        .hint(format!("see `git muster job explain {}`", typed(&job.id, "ID"))),
                );
            }
            _ => {}
        }
    }

    fn expired(&self, lock: &Lock) -> Option<Finding> {
        let (over, holder) = (lock.overdue(self.now)?, lock.locked_by.as_deref()?);
        let what = format!("lock `{}`, held by `{holder}`, expired {} ago", lock.name, show_span(over));
        // Who looks on the quarter of a minute sees in time that nobody renewed it.
        let wait = lock.patience().as_secs().saturating_add(15);
        let finding = Finding::new(Level::Warning, "lock-expired", &lock.name, Some(holder));
        Some(if lock.name == JOB_ASSIGNMENT {
            finding.what(format!("{what}: no job is claimed until it is taken over")).hint(format!(
                "a worker or `git muster job claim --wait {wait}s` takes it over when it has watched it for its lease"
            ))
        } else {
            finding.what(what).hint(format!(
                "who needs it takes it over with `git muster lock acquire {0} --wait {wait}s`, which watches it for its lease first; see `git muster lock show {0}`",
                typed(&lock.name, "NAME")
            ))
        })
    }

    /// Whoever assigns a job needs a moment for it.
    fn held_up(&self, lock: &Lock) -> Option<Finding> {
        let (since, holder) = (lock.locked_at?, lock.locked_by.as_deref()?);
        let held = self.now.since(since);
        let waits = || self.jobs.rows().any(|job| job.status == JobStatus::Queued);
        if lock.name != JOB_ASSIGNMENT
            || !lock.is_held()
            || lock.overdue(self.now).is_some()
            || held <= ASSIGNMENT_MAX
            || !waits()
        {
            return None;
        }
        Some(
            Finding::new(Level::Warning, "claims-held-up", &lock.name, Some(holder))
                .what(format!(
                    "no job is claimed: lock `{JOB_ASSIGNMENT}` is held by `{holder}` for {}",
                    show_span(held)
                ))
                .hint(format!(
                    "see `git muster lock show {JOB_ASSIGNMENT}`; workers take it over when its lease is over"
                )),
        )
    }
}

/// A folder of a server that is not registered. As long as no server is, folders count for messages
/// and claims.
fn unregistered(name: &str, is_without_registry: bool) -> Finding {
    let lacks = if is_without_registry { "" } else { ", it gets no messages and cannot claim jobs" };
    Finding::of_server(Level::Warning, "server-unregistered", name)
        .what(format!(
            "server `{name}` has a folder in the hub and is not registered: its heartbeats are not judged{lacks}"
        ))
        .hint(format!(
            "run `git muster join --as {}` on it, or `git muster join --as SERVER --adopt` on a server that is registered",
            typed(name, "NAME")
        ))
}

/// Our own clock is off.
#[must_use]
pub fn clock_off(off: &Off) -> Finding {
    let hint = match off.is_doubtful {
        false => "see that this machine takes its time from the network",
        true => {
            "see that this machine takes its time from the network, and look again in a few minutes: who has sent nothing until then is told to be silent"
        }
    };
    Finding::new(Level::Warning, "clock-off", "this machine", None).what(off.to_string()).hint(hint)
}

fn no_servers() -> Finding {
    Finding::new(Level::Unknown, "no-servers", "hub", None)
        .what("no server is registered, so there is nothing to judge".to_owned())
        .hint("register one with `git muster join --as NAME`")
}

impl Finding {
    fn new(level: Level, cause: &str, subject: &str, server: Option<&str>) -> Self {
        Self {
            level,
            cause: format!("{cause}:{subject}"),
            subject: subject.to_owned(),
            server: server.map(str::to_owned),
            what: String::new(),
            hint: None,
            count: None,
        }
    }

    fn of_server(level: Level, cause: &str, name: &str) -> Self {
        Self::new(level, cause, name, Some(name))
    }

    fn of_job(level: Level, cause: &str, job: &Job) -> Self {
        Self::new(level, cause, &job.id, job.assigned_to.as_deref())
    }

    fn what(self, what: String) -> Self {
        Self { what, ..self }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn count(self, count: usize) -> Self {
        Self { count: Some(count), ..self }
    }
}

impl Report {
    fn new(checked: usize, mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| (b.level.severity(), &a.cause).cmp(&(a.level.severity(), &b.cause)));
        // Two records with one id, which merges have left behind, are one trouble.
        findings.dedup_by(|a, b| a.cause == b.cause);
        let level = findings.first().map_or(Level::Ok, |worst| worst.level);
        Self { level, checked, findings }
    }

    /// The same with what is known of branches of the hub at `hub` that cannot be used.
    #[must_use]
    pub fn with_bad_branches(self, bad: &[BadBranch], hub: &str) -> Self {
        let finding = |bad: &BadBranch| Finding {
            level: Level::Warning,
            cause: format!("branch-broken:{}", bad.branch),
            subject: bad.branch.clone(),
            server: bad.server().map(|server| server.to_string()),
            what: format!("{} of the hub {}", bad.shown(), bad.why()),
            hint: Some(bad.advice(hub)),
            count: None,
        };
        let findings = self.findings.into_iter().chain(bad.iter().map(finding)).collect();
        Self::new(self.checked, findings)
    }

    /// The same with what an older writer undid and the next write puts back, and what nobody can tell of it.
    #[must_use]
    pub fn with_undone(self, back: &[String], unknown: &[String]) -> Self {
        let finding = |cause: String, subject: &str, what: String, hint: &str| Finding {
            level: Level::Warning,
            cause,
            subject: subject.to_owned(),
            server: None,
            what,
            hint: Some(hint.to_owned()),
            count: None,
        };
        let undone = back.iter().map(|what| {
            let told = format!("an older writer, or a merge by hand, undid what was acknowledged: {what}");
            let hint = "the next write of any server puts it back, such as `git muster heartbeat`";
            finding(format!("undone:{what}"), what, told, hint)
        });
        // One cause: which documents they are may be others the next time.
        let unknown = (!unknown.is_empty()).then(|| {
            let hint = "see what is gone with `git muster fsck --history`; the next write looks further back";
            finding("undone-unknown".to_owned(), "history", unknown.join("; "), hint)
        });
        let findings = self.findings.into_iter().chain(undone).chain(unknown).collect();
        Self::new(self.checked, findings)
    }

    /// What concerns `server`: its beat, its status, the jobs and locks it holds. That there is
    /// such a server was asked before.
    #[must_use]
    pub fn only(self, server: &str) -> Self {
        let concerns =
            |finding: &Finding| finding.server.as_deref() == Some(server) || finding.level == Level::Unknown;
        Self::new(self.checked.min(1), self.findings.into_iter().filter(concerns).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::table::Row;

    const NOW: &str = "2025-10-29T12:00:00Z";
    const FRESH: &str = r#"{"timestamp":"2025-10-29T11:59:30Z","healthy":true}"#;
    const STALE: &str = r#"{"timestamp":"2025-10-29T10:00:00Z","healthy":true}"#;

    /// What a hub holds, as JSON, with one registered server that is well.
    struct Hub {
        servers: &'static str,
        /// Name, beat, status.
        known: Vec<(&'static str, &'static str, &'static str)>,
        jobs: &'static str,
        locks: &'static str,
    }

    fn hub() -> Hub {
        Hub {
            servers: r#"{"id":"build1","labels":["gpu","arch=amd64"]}"#,
            known: vec![("build1", FRESH, "null")],
            jobs: "",
            locks: "",
        }
    }

    fn table<T: Row>(rows: &str) -> Table<T> {
        let (open, close) = if T::BY_NAME { ('{', '}') } else { ('[', ']') };
        let text = format!("{{\"{}\":{open}{rows}{close}}}", T::FIELD);
        Table::read(T::PATH, text.as_bytes()).expect(rows)
    }

    impl Hub {
        fn report(&self) -> Report {
            let seen: Vec<(&str, Option<Heartbeat>, Option<Status>)> = self
                .known
                .iter()
                .map(|(name, beat, status)| {
                    let beat = serde_json::from_str(beat).expect(beat);
                    (*name, beat, serde_json::from_str(status).expect(status))
                })
                .collect();
            Fleet {
                servers: &table(self.servers),
                known: seen
                    .iter()
                    .map(|(name, beat, status)| Known {
                        name,
                        heartbeat: beat.as_ref(),
                        status: status.as_ref(),
                        broken: None,
                        change: Change::First,
                        worker: Freshness::Unknown,
                        worker_at: None,
                    })
                    .collect(),
                jobs: &table(self.jobs),
                pauses: &table(""),
                locks: &table(self.locks),
                unregistered: &[],
                documents: Vec::new(),
                now: Timestamp::parse(NOW).expect("time"),
                off: None,
                me: None,
            }
            .judge()
        }

        #[track_caller]
        fn expect(&self, level: Level, causes: &[&str]) {
            let report = self.report();
            let found: Vec<&str> = report.findings.iter().map(|finding| finding.cause.as_str()).collect();
            assert_eq!((report.level, found.as_slice()), (level, causes));
        }
    }

    #[test]
    fn what_nobody_can_tell_of_the_history_is_one_cause() {
        let unknown = ["one".to_owned(), "another".to_owned()];
        let report = Report::new(0, Vec::new()).with_undone(&[], &unknown);
        let told: Vec<_> = report.findings.iter().map(|found| (&*found.cause, &*found.what)).collect();
        assert_eq!(told, [("undone-unknown", "one; another")]);
        assert!(Report::new(0, Vec::new()).with_undone(&[], &[]).findings.is_empty());
    }

    #[test]
    fn a_beat_that_cannot_be_read_is_one_trouble_and_its_server_mends_it() {
        let fleet = Fleet {
            servers: &table(r#"{"id":"build1"}"#),
            known: vec![Known {
                name: "build1",
                heartbeat: None,
                status: None,
                broken: Some(Broken { why: "it is empty" }),
                change: Change::First,
                worker: Freshness::Unknown,
                worker_at: None,
            }],
            jobs: &table(""),
            pauses: &table(""),
            locks: &table(""),
            documents: Vec::new(),
            unregistered: &[],
            now: Timestamp::parse(NOW).expect("time"),
            off: None,
            me: None,
        };
        let told: Vec<_> = fleet.judge().findings.into_iter().map(|one| (one.cause, one.hint)).collect();
        let hint = "the next `git muster heartbeat` on `build1` makes it anew";
        assert_eq!(told, [("heartbeat-broken:build1".to_owned(), Some(hint.to_owned()))]);
    }

    #[test]
    fn folders_of_servers_that_are_not_registered_are_named() {
        let found: Vec<Server> = vec![serde_json::from_str(r#"{"id":"build3"}"#).expect("server")];
        let fresh: Heartbeat = serde_json::from_str(FRESH).expect("beat");
        for (registry, level, in_what) in
            [(r#"{"id":"build1"}"#, Level::Warning, "cannot claim"), ("", Level::Unknown, "are not judged")]
        {
            let fleet = Fleet {
                servers: &table(registry),
                known: vec![Known {
                    name: "build1",
                    heartbeat: Some(&fresh),
                    status: None,
                    broken: None,
                    change: Change::First,
                    worker: Freshness::Unknown,
                    worker_at: None,
                }],
                jobs: &table(""),
                pauses: &table(""),
                locks: &table(""),
                documents: Vec::new(),
                unregistered: &found,
                now: Timestamp::parse(NOW).expect("time"),
                off: None,
                me: None,
            };
            let report = fleet.judge();
            let told = report.findings.iter().find(|one| one.cause == "server-unregistered:build3");
            assert!(told.is_some_and(|one| one.what.contains(in_what)), "{told:?}");
            assert_eq!(report.level, level);
        }
    }

    #[test]
    fn beats() {
        for (beat, level, cause) in [
            (FRESH, Level::Ok, None),
            ("null", Level::Warning, Some("heartbeat-never:build1")),
            (
                r#"{"server":"build1","timestamp":null,"uptime_seconds":0,"healthy":false}"#,
                Level::Warning,
                Some("heartbeat-never:build1"),
            ),
            (r#"{"timestamp":"$(date)","healthy":true}"#, Level::Warning, Some("heartbeat-never:build1")),
            (r#"{"timestamp":"2025-10-29T11:57:00Z"}"#, Level::Warning, Some("heartbeat-late:build1")),
            (STALE, Level::Critical, Some("heartbeat-stale:build1")),
            (r#"{"timestamp":"2025-10-29T11:57:00Z","interval_seconds":300}"#, Level::Ok, None),
            (
                r#"{"timestamp":"2025-10-29T10:00:00Z","worker_stopped":{"at":"2025-10-29T10:00:00Z"}}"#,
                Level::Ok,
                None,
            ),
            (
                r#"{"timestamp":"2025-10-29T10:00:00Z","worker_stopped":{"at":"2025-10-29T09:00:00Z"}}"#,
                Level::Critical,
                Some("heartbeat-stale:build1"),
            ),
            (
                r#"{"timestamp":"2025-10-29T11:59:00Z","healthy":false}"#,
                Level::Critical,
                Some("server-unhealthy:build1"),
            ),
            (r#"{"timestamp":"2025-10-29T12:01:00Z"}"#, Level::Ok, None),
            (r#"{"timestamp":"2025-10-29T12:01:01Z"}"#, Level::Warning, Some("clock-skew:build1")),
            (
                r#"{"timestamp":"2025-10-29T12:01:01Z","interval_seconds":9223372036854775807}"#,
                Level::Warning,
                Some("clock-skew:build1"),
            ),
        ] {
            let hub = Hub { known: vec![("build1", beat, "null")], ..hub() };
            hub.expect(level, cause.as_slice());
        }
    }

    #[test]
    fn the_clock_skew_is_told() {
        let hub = Hub { known: vec![("build1", r#"{"timestamp":"2025-10-29T12:05:20Z"}"#, "null")], ..hub() };
        assert_eq!(
            hub.report().findings[0].what,
            "the last heartbeat of server `build1` is 5m 20s ahead of this clock"
        );
    }

    #[test]
    fn a_clock_of_our_own_that_is_off_is_one_trouble() {
        let servers = table(r#"{"id":"me"},{"id":"other"}"#);
        let (ahead, behind, all) = ("12:05:00", "11:55:00", "12:05:00");
        for (is_ahead, mine, others, expected) in [
            (true, ahead, "11:59:50", &["clock-off:this machine"][..]),
            (false, behind, "11:59:50", &["clock-off:this machine"][..]),
            // Another clock that is ahead as well is another trouble.
            (true, ahead, all, &["clock-off:this machine", "clock-skew:other"][..]),
            // Who is silent by its own clock is silent.
            (true, "11:50:00", "11:59:50", &["heartbeat-stale:me", "clock-off:this machine"][..]),
        ] {
            let beat = |time: &str| -> Heartbeat {
                let text = format!(r#"{{"timestamp":"2025-10-29T{time}Z"}}"#);
                serde_json::from_str(&text).expect("beat")
            };
            let beats = [("me", beat(mine)), ("other", beat(others))];
            let known = beats.iter().map(|(name, beat)| Known {
                name,
                heartbeat: Some(beat),
                status: None,
                broken: None,
                change: Change::First,
                worker: Freshness::Unknown,
                worker_at: None,
            });
            let fleet = Fleet {
                servers: &servers,
                known: known.collect(),
                jobs: &table(""),
                pauses: &table(""),
                locks: &table(""),
                unregistered: &[],
                documents: Vec::new(),
                now: Timestamp::parse(NOW).expect("time"),
                off: Some(Off { by: Duration::from_secs(300), is_ahead, servers: 3, is_doubtful: false }),
                me: Some("me"),
            };
            let report = fleet.judge();
            let causes: Vec<&str> = report.findings.iter().map(|one| one.cause.as_str()).collect();
            assert_eq!(causes, expected, "{mine} {others}: {report:?}");
            let skew = report.findings.iter().find(|one| one.cause.starts_with("clock-skew"));
            assert!(
                skew.is_none_or(|one| one.what.ends_with("ahead of the clocks of the others")),
                "{skew:?}"
            );
        }
    }

    #[test]
    fn only_registered_servers_are_expected_to_beat() {
        let known = vec![
            ("build1", FRESH, "null"),
            ("build9", STALE, r#"{"status":"idle","last_build":{"status":"failed"}}"#),
        ];
        Hub { known, ..hub() }.expect(Level::Ok, &[]);
        Hub { servers: "", ..hub() }.expect(Level::Unknown, &["no-servers:hub"]);
    }

    #[test]
    fn last_builds() {
        for (status, causes) in [
            (
                r#"{"status":"idle","last_build":{"id":"job_1","status":"failed"}}"#,
                &["build-failed:build1"][..],
            ),
            (r#"{"status":"idle","last_build":{"id":"job_1","status":"success"}}"#, &[]),
            (r#"{"status":"failed","last_build":null}"#, &[]),
        ] {
            let level = if causes.is_empty() { Level::Ok } else { Level::Warning };
            Hub { known: vec![("build1", FRESH, status)], ..hub() }.expect(level, causes);
        }
    }

    #[test]
    fn jobs() {
        for (job, level, cause) in [
            (
                r#""status":"running","assigned_to":"build1","started_at":"2025-10-29T10:55:00Z""#,
                Level::Ok,
                None,
            ),
            (
                r#""status":"running","assigned_to":"build1","started_at":"2025-10-29T10:54:00Z""#,
                Level::Ok,
                None,
            ),
            (
                r#""status":"running","assigned_to":"build1","started_at":"2025-10-29T10:53:00Z""#,
                Level::Critical,
                Some("job-stuck:j"),
            ),
            (
                r#""status":"claimed","assigned_to":"build1","timeout_seconds":60,"started_at":"2025-10-29T11:58:53Z""#,
                Level::Critical,
                Some("job-stuck:j"),
            ),
            (
                r#""status":"running","created_at":"2025-10-24T12:00:00Z""#,
                Level::Critical,
                Some("job-stuck:j"),
            ),
            (r#""status":"running","assigned_to":"build1","started_at":null"#, Level::Ok, None),
            (r#""status":"completed","started_at":"2025-10-24T12:00:00Z""#, Level::Ok, None),
            (r#""status":"queued","created_at":"2025-10-24T12:00:00Z""#, Level::Ok, None),
            (r#""status":"queued","labels":["gpu","arch=amd64"]"#, Level::Ok, None),
            (r#""status":"queued","labels":["gpu","arch=arm64"]"#, Level::Warning, Some("job-unclaimable:j")),
            (r#""status":"queued","needs":["k"]"#, Level::Warning, Some("job-blocked:j")),
            (r#""status":"queued","dependencies":["k"]"#, Level::Warning, Some("job-blocked:j")),
            (r#""status":"queued","needs":["j"]"#, Level::Warning, Some("needs-in-circle:j")),
            (
                r#""status":"queued","needs":["k"]},{"id":"k","status":"completed","needs":["j"]"#,
                Level::Ok,
                None,
            ),
            (
                r#""status":"queued"},{"id":"k","status":"queued","needs":["f"]},{"id":"f","status":"failed""#,
                Level::Warning,
                Some("job-blocked:k"),
            ),
            (r#""status":"queued","needs":["c"]},{"id":"c","status":"completed""#, Level::Ok, None),
            (r#""status":"completed","labels":["arch=arm64"]"#, Level::Ok, None),
            (r#""status":"dead","reason":"lost""#, Level::Warning, Some("job-dead:j")),
            (r#""status":"failed""#, Level::Ok, None),
            (
                r#""status":"on_hold","started_at":"2025-10-24T12:00:00Z""#,
                Level::Warning,
                Some("unknown-status:j"),
            ),
        ] {
            let jobs = format!("{{\"id\":\"j\",{job}}}").leak();
            Hub { jobs, ..hub() }.expect(level, cause.as_slice());
        }
    }

    #[test]
    fn a_job_whose_holder_is_stale_is_critical_registered_or_not() {
        let jobs =
            r#"{"id":"j","status":"running","assigned_to":"build9","started_at":"2025-10-29T11:59:00Z"}"#;
        for (beat, level, causes) in [
            (STALE, Level::Critical, &["job-holder-lost:j"][..]),
            (FRESH, Level::Ok, &[]),
            ("null", Level::Ok, &[]),
        ] {
            let known = vec![("build1", FRESH, "null"), ("build9", beat, "null")];
            Hub { jobs, known, ..hub() }.expect(level, causes);
        }
    }

    #[test]
    fn locks() {
        for (lock, expired) in [
            (
                r#""locked_by":"build1","locked_at":"2025-10-29T11:48:00Z","expires_at":"2025-10-29T11:58:00Z""#,
                true,
            ),
            (
                r#""locked_by":"build1","locked_at":"2025-10-29T11:49:01Z","expires_at":"2025-10-29T11:59:01Z""#,
                false,
            ),
            (r#""locked_by":"build1","lease_seconds":30,"expires_at":"2025-10-29T11:59:54Z""#, true),
            (r#""locked_by":"build1","lease_seconds":30,"expires_at":"2025-10-29T11:59:55Z""#, false),
            (r#""locked_by":"build1","locked_at":"2025-10-29T11:00:00Z","expires_at":null"#, true),
            (r#""locked_by":"build1","expires_at":null"#, false),
            (r#""locked_by":null,"expires_at":"2025-10-29T11:00:00Z""#, false),
            (
                r#""locked_by":"build1","expires_at":"2025-10-29T11:00:00Z","done_at":"2025-10-29T10:59:00Z""#,
                false,
            ),
        ] {
            let locks = format!("\"deploy\":{{{lock}}}").leak();
            let (level, causes) =
                if expired { (Level::Warning, &["lock-expired:deploy"][..]) } else { (Level::Ok, &[][..]) };
            Hub { locks, ..hub() }.expect(level, causes);
        }
    }

    /// The lock of those who assign jobs, as old as it is at noon.
    fn assigning(since: &str, rest: &str) -> &'static str {
        format!(r#""{JOB_ASSIGNMENT}":{{"locked_by":"build1","locked_at":"2025-10-29T{since}Z"{rest}}}"#)
            .leak()
    }

    #[test]
    fn who_keeps_others_from_claiming_is_told_as_long_as_a_job_waits() {
        let waits = r#"{"id":"j","status":"queued"}"#;
        let held_up = "claims-held-up:job_assignment";
        for (jobs, locks, cause) in [
            (waits, assigning("11:58:59", r#","lease_seconds":600"#), Some(held_up)),
            (waits, assigning("11:59:00", r#","lease_seconds":600"#), None),
            ("", assigning("11:58:59", r#","lease_seconds":600"#), None),
            (
                r#"{"id":"j","status":"completed","assigned_to":"build1"}"#,
                assigning("11:58:59", r#","lease_seconds":600"#),
                None,
            ),
            // What was done for good is nobody's any more, nor is a lock that an empty name holds.
            (waits, r#""job_assignment":{"locked_by":"","locked_at":"2025-10-29T11:58:59Z"}"#, None),
            // Of another lock nobody knows how long it is needed.
            (waits, r#""deploy":{"locked_by":"build1","locked_at":"2025-10-29T11:58:59Z"}"#, None),
            // One that is over is told as such.
            (waits, assigning("11:57:00", r#","lease_seconds":30"#), Some("lock-expired:job_assignment")),
        ] {
            let report = Hub { jobs, locks, ..hub() }.report();
            let found: Vec<&str> = report.findings.iter().map(|finding| finding.cause.as_str()).collect();
            assert_eq!(found, cause.into_iter().collect::<Vec<_>>(), "{jobs} {locks}");
        }
    }

    #[test]
    fn who_takes_over_a_lock_that_is_over_depends_on_what_it_is_for() {
        let of = |locks| Hub { locks, ..hub() }.report().findings.remove(0);
        let claims = of(assigning("11:57:00", r#","lease_seconds":30"#));
        assert!(claims.what.ends_with("no job is claimed until it is taken over"), "{}", claims.what);
        let hint = claims.hint.unwrap_or_default();
        assert!(hint.starts_with("a worker or `git muster job claim --wait 50s` takes it over"), "{hint}");
        let other =
            of(r#""deploy":{"locked_by":"build1","lease_seconds":30,"expires_at":"2025-10-29T11:57:30Z"}"#);
        assert!(other.what.ends_with("held by `build1`, expired 2m 30s ago"), "{}", other.what);
        let hint = other.hint.unwrap_or_default();
        assert!(hint.contains("`git muster lock acquire deploy --wait 50s`"), "{hint}");
    }

    fn ailing() -> Hub {
        Hub {
            servers: r#"{"id":"build1"},{"id":"build2"},{"id":"build3"}"#,
            known: vec![
                ("build1", STALE, r#"{"status":"idle","last_build":{"status":"failed"}}"#),
                ("build2", FRESH, "null"),
            ],
            jobs: r#"{"id":"a","status":"running","assigned_to":"build1","started_at":"2025-10-29T09:00:00Z"},
                {"id":"a","status":"running","assigned_to":"build1","started_at":"2025-10-29T09:00:00Z"},
                {"id":"b","status":"dead","assigned_to":"build2"},
                {"id":"c","status":"queued","labels":["gpu"]}"#,
            locks: r#""deploy":{"locked_by":"build2","expires_at":"2025-10-29T11:00:00Z"}"#,
        }
    }

    #[test]
    fn the_worst_comes_first_and_each_trouble_once() {
        ailing().expect(
            Level::Critical,
            &[
                "heartbeat-stale:build1",
                "job-holder-lost:a",
                "job-stuck:a",
                "build-failed:build1",
                "heartbeat-never:build3",
                "job-dead:b",
                "job-unclaimable:c",
                "lock-expired:deploy",
            ],
        );
        assert_eq!(ailing().report().checked, 3);
    }

    #[test]
    fn a_report_can_be_cut_to_one_server() {
        for (server, level, causes) in [
            (
                "build1",
                Level::Critical,
                &["heartbeat-stale:build1", "job-holder-lost:a", "job-stuck:a", "build-failed:build1"][..],
            ),
            ("build2", Level::Warning, &["job-dead:b", "lock-expired:deploy"]),
            ("build3", Level::Warning, &["heartbeat-never:build3"]),
        ] {
            let report = ailing().report().only(server);
            let found: Vec<&str> = report.findings.iter().map(|finding| finding.cause.as_str()).collect();
            assert_eq!((report.level, report.checked, found.as_slice()), (level, 1, causes), "{server}");
        }
        let empty = Hub { servers: "", ..hub() }.report().only("build1");
        assert_eq!((empty.level, empty.checked), (Level::Unknown, 0));
    }

    #[test]
    fn every_sentence_is_one_and_names_its_subject() {
        for finding in ailing().report().findings {
            assert!(finding.what.contains(&format!("`{}`", finding.subject)), "{}", finding.what);
            assert!(
                !finding.what.ends_with('.') && finding.what.starts_with(char::is_lowercase),
                "{}",
                finding.what
            );
        }
    }

    #[test]
    fn levels_are_written_as_they_are_called() {
        for level in [Level::Ok, Level::Warning, Level::Critical] {
            assert_eq!(serde_json::to_value(level).expect("a word"), level.as_str());
        }
    }

    #[test]
    fn exit_codes() {
        let codes = [Level::Ok, Level::Warning, Level::Critical, Level::Unknown].map(Level::exit_code);
        assert_eq!(codes, [0, 1, 2, 3]);
    }
}
