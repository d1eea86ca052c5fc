//! What must hold after every commit on the main branch, while it happens.
//!
//! The checker knows true time and everything that every process was told. It uses the real types to read
//! documents and none of the real rules to judge them. What can be said only at the end is in [`super::history`].

mod jobs;

use super::archives;
use super::recovery::{HeldClaim, Recovery};
use super::world::CommitOrigin;
use crate::app::commands::Operation;
use crate::domain::id::OpId;
use crate::domain::job::{Job, JobStatus};
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::record::Record;
use crate::domain::table::{Row, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Files, Version};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// What people and other programs put into records begins with this and must survive.
pub(super) const FOREIGN: &str = "x_";

/// After how many of its intervals a session may be lost.
const SESSION_INTERVALS: u32 = 4;

/// The last sign of life of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beat {
    /// When it arrived.
    pub at: Duration,
    /// How often it says that they come.
    pub every: Duration,
    /// The longest that any of the session said: a copy that is older lies beside it for a while.
    pub every_at_most: Duration,
}

/// The trust of a holder in a lock, in true time.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub lock: String,
    pub token: u64,
    /// Which process trusts.
    pub process: usize,
    pub from: Duration,
    pub until: Duration,
}

/// A session that others ended.
#[derive(Debug, Clone)]
struct RevokedSession {
    /// The beat after which.
    beat: String,
    /// When its server began another.
    until: Option<Duration>,
}

/// An operation that a process was told is in the hub.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    pub op: OpId,
    pub version: Version,
    /// What it answered; nothing when another process had sent it.
    pub answer: Option<Value>,
    pub invoked: Duration,
    pub returned: Duration,
}

/// What was seen, and what was wrong with it.
#[derive(Clone, Default)]
pub(super) struct Checker {
    pub violations: Vec<String>,
    pub acknowledged: Vec<Acknowledged>,
    /// Operations that were told a no.
    pub refused: BTreeSet<OpId>,
    pub windows: Vec<Window>,
    pub commits: u64,
    pub takeovers: u64,
    pub rescues: u64,
    /// By server and session.
    pub beats: BTreeMap<(String, String), Beat>,
    /// When each server wrote last, with a sign of life or for another reason.
    writes: BTreeMap<String, Duration>,
    /// Whether lost claims come back.
    pub recovery: Recovery,
    /// The session of each server that was ended last.
    ended: BTreeMap<String, RevokedSession>,
    /// Versions that an administrator took out of the history, and the operations they carried.
    pub dropped: HashSet<Version>,
    pub dropped_ops: HashSet<OpId>,
    /// Up to which token trust in a lock means nothing: it was stolen, which its holder learns too
    /// late, or the hub was rolled back and gives the same tokens again.
    void: BTreeMap<String, u64>,
    /// Tables that somebody broke by hand and nobody mended yet, as they were before.
    broken: BTreeMap<&'static str, Arc<Files>>,
    now: Duration,
    /// By the clock of whoever wrote the commit, which is what rules about stamps go by.
    at: Option<Timestamp>,
    /// When the present claim of each job began.
    claimed_at: BTreeMap<String, Duration>,
    /// Of the commit before: the keys of records, and the jobs that are completed.
    keys: HashSet<String>,
    completed: HashSet<String>,
    /// Jobs of groups that the commit claims, by group.
    entered: Vec<(String, String)>,
    /// Jobs that the commit ends without success, and those that it gives back to the queue.
    failed: Vec<String>,
    returned: Vec<String>,
    /// Whether what is judged now was done by hand.
    by_hand: bool,
    /// What did it, if it was one of ours.
    operation: Option<Operation>,
}

impl Checker {
    pub(super) fn blame(&mut self, words: String) {
        // The same again says nothing new.
        if self.violations.last() != Some(&words) {
            self.violations.push(words);
        }
    }

    /// The main branch went from `old` to `new`.
    pub(super) fn moved(
        &mut self,
        now: Duration,
        old: &Arc<Files>,
        new: &Arc<Files>,
        built: Option<&CommitOrigin>,
    ) {
        self.commits += 1;
        self.now = now;
        self.by_hand = built.is_none();
        self.at = built.map(|built| built.at);
        self.operation = built.map(|built| built.operation.clone());
        if let Some(built) = built {
            self.guards(old, built);
        }
        self.remember(old);
        self.compare::<Job>(old, new, Self::job);
        self.groups(new);
        self.dependents(new);
        self.compare::<Lock>(old, new, Self::lock);
        self.compare::<Message>(old, new, Self::message);
        self.writes
            .extend(built.and_then(|built| Some((built.envelope.beat.as_ref()?.server.to_string(), now))));
        self.recovery(new);
    }

    /// Whoever claims takes back what lost servers hold.
    fn recovery(&mut self, new: &Files) {
        let Some(Operation::ClaimJobs(claim)) = &self.operation else { return };
        let server = claim.claimant.server.to_string();
        let Ok(jobs) = read::<Job>(new) else { return };
        let by_others = jobs.rows().filter(|job| job.status.is_held());
        let held = by_others.filter_map(|job| {
            let holder = job.assigned_to.clone().filter(|holder| *holder != server)?;
            let session = (holder, job.incarnation.clone()?);
            // What never beat is not watched.
            let beat = self.beats.get(&session)?;
            let patience = beat.every_at_most * SESSION_INTERVALS * 3 / 2;
            let beats = self.beats.iter().filter(|((of, _), _)| *of == session.0).map(|(_, beat)| beat.at);
            let heard = beats.chain(self.writes.get(&session.0).copied()).max()?;
            let silent_since = heard.max(*self.claimed_at.get(&job.id)?);
            Some(HeldClaim { job: job.id.clone(), token: job.token.unwrap_or(0), silent_since, patience })
        });
        let held: Vec<HeldClaim> = held.collect();
        if let Some(job) = self.recovery.claimed(&server, self.now, &held) {
            self.blame(format!("I18: {server} goes on claiming, and the lost job {job} does not come back"));
        }
    }

    /// A session of `server` gave a sign of life that arrived at `at`, and says how often they come.
    pub(super) fn heard(&mut self, server: &str, session: String, at: Duration, every: Duration) {
        let before = self.beats.get(&(server.to_owned(), session.clone()));
        let every_at_most = before.map_or(every, |before| before.every_at_most.max(every));
        self.beats.insert((server.to_owned(), session), Beat { at, every, every_at_most });
    }

    /// A server's beat was replaced; `revoked` is the one after which its session was ended.
    pub(super) fn session(&mut self, server: &str, revoked: Option<&str>, now: Duration) {
        match (revoked, self.ended.get_mut(server)) {
            (Some(beat), _) => {
                self.ended.insert(server.to_owned(), RevokedSession { beat: beat.to_owned(), until: None });
            }
            (None, Some(ended)) if ended.until.is_none() => ended.until = Some(now),
            (None, _) => {}
        }
    }

    /// Notes what is asked of a commit's parent as a whole.
    fn remember(&mut self, old: &Files) {
        self.keys.clear();
        self.completed.clear();
        if let Ok(jobs) = read::<Job>(old) {
            let completed = jobs.rows().filter(|job| job.status == JobStatus::Completed);
            self.completed.extend(completed.map(|job| job.id.clone()));
            self.keys.extend(jobs.rows().filter_map(|job| Some(format!("job {}", job.key.as_deref()?))));
        }
        if let Ok(messages) = read::<Message>(old) {
            let key =
                |one: &Record<Message>| Some(format!("message of {} {}", one.from, one.key.as_deref()?));
            self.keys.extend(messages.rows().filter_map(key));
        }
    }

    /// Compares the records of two versions of a table; none may vanish or stand twice.
    fn compare<T: Row>(
        &mut self,
        old: &Arc<Files>,
        new: &Arc<Files>,
        judge: fn(&mut Self, Option<&Record<T>>, &Record<T>),
    ) {
        let same = match (old.get(T::PATH), new.get(T::PATH)) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if same {
            return;
        }
        let after = match read::<T>(new) {
            Ok(table) => table,
            Err(_) if self.by_hand => {
                self.broken.entry(T::PATH).or_insert_with(|| Arc::clone(old));
                return;
            }
            Err(error) => return self.blame(format!("I13: {error}")),
        };
        // What was mended is compared with what was before it was broken.
        let old = self.broken.remove(T::PATH).unwrap_or_else(|| Arc::clone(old));
        let Ok(before) = read::<T>(&old) else { return };
        let mut ids: HashSet<&str> = HashSet::new();
        if after.rows().any(|row| !ids.insert(row.id())) {
            self.blame(format!("I5: an id stands twice in {}", T::PATH));
        }
        for row in before.rows().filter(|row| !ids.contains(row.id())) {
            if !archives::archived::<T>(&old, new, row.id()) {
                self.blame(format!("I7: {} vanished from {}", row.id(), T::PATH));
            }
        }
        for row in after.rows() {
            // What came back out of an archive is compared with what it was there.
            let back = before.get(row.id()).is_none().then(|| archives::left::<T>(&old, new, row.id()));
            let back = back.flatten();
            let before = before.get(row.id()).or_else(|| back.as_ref()?.get(row.id()));
            if before.is_some_and(|before| before.text() == row.text()) {
                continue;
            }
            if !self.by_hand {
                self.foreign(before, row);
                judge(self, before, row);
            }
        }
    }

    /// What others put into a record is still there.
    fn foreign<T: Row>(&mut self, before: Option<&Record<T>>, after: &Record<T>) {
        let Some(before) = before.filter(|before| before.text().contains(FOREIGN)) else { return };
        let (before, now) = (before.raw(), after.raw());
        for (key, value) in
            before.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with(FOREIGN))
        {
            if now.get(key) != Some(value) {
                self.blame(format!("I13: `{key}` of {} was lost", after.id()));
            }
        }
    }

    /// A write under a lock is one of its holder.
    fn guards(&mut self, old: &Files, built: &CommitOrigin) {
        for (name, token) in &built.envelope.guards {
            let held = read::<Lock>(old).is_ok_and(|locks| {
                locks.get(name.as_str()).is_some_and(|lock| lock.is_held() && lock.token == Some(*token))
            });
            if !held {
                self.blame(format!(
                    "I3: {} wrote under token {token} of lock {name}, which was over",
                    built.op
                ));
            }
        }
    }

    fn lock(&mut self, old: Option<&Record<Lock>>, new: &Record<Lock>) {
        let before = old.and_then(|lock| lock.token).unwrap_or(0);
        let after = new.token.unwrap_or(0);
        let held_by = |lock: &Lock| lock.locked_by.clone().filter(|by| !by.is_empty());
        let (old_holder, new_holder) = (old.and_then(|lock| held_by(lock)), held_by(new));
        if matches!(self.operation, Some(Operation::StealLock(_))) {
            self.distrust(&new.name, before);
        }
        if after < before {
            self.blame(format!("I1: the token of lock {} went from {before} to {after}", new.name));
        }
        if new_holder.is_some() && new_holder != old_holder && after == before {
            self.blame(format!("I3: lock {} changed hands under token {after}", new.name));
        }
        if after > before + 1 {
            self.blame(format!("I1: the token of lock {} skipped from {before} to {after}", new.name));
        }
        if new_holder.is_none() && after != before && new.name != crate::domain::lock::JOB_ASSIGNMENT {
            self.blame(format!("I1: lock {} is free under a new token", new.name));
        }
        if let Some(done) = old.and_then(|old| old.done_at)
            && (new.done_at != Some(done) || new_holder.is_some())
        {
            self.blame(format!("I1: {} was done once and is undone", new.name));
        }
        if old_holder.is_some() && new_holder.is_none() {
            let term = match &self.operation {
                Some(Operation::ReleaseLock(release)) => Some((release.server.as_str(), release.token)),
                Some(Operation::MarkDone(done)) => Some((done.server.as_str(), done.token)),
                _ => None,
            };
            if term != Some((old_holder.as_deref().unwrap_or_default(), before)) {
                self.blame(format!("I1: lock {} was freed by one who did not hold it", new.name));
            }
        }
    }

    fn message(&mut self, old: Option<&Record<Message>>, new: &Record<Message>) {
        let Some(old) = old else {
            return self
                .only_one_with(new.key.as_deref().map(|key| format!("message of {} {key}", new.from)));
        };
        if new.read_by.len() < old.read_by.len() || new.acknowledged_by.len() < old.acknowledged_by.len() {
            self.blame(format!("I6: message {} was unread again", new.id));
        }
        if (&old.from, &old.to, &old.body) != (&new.from, &new.to, &new.body) {
            self.blame(format!("I6: message {} was rewritten", new.id));
        }
        if let Some(Operation::MarkMessages(mark)) = &self.operation {
            let by = |message: &Message| {
                message.read_by.iter().filter(|one| one.by != mark.server.as_str()).count()
            };
            if by(new) != by(old) {
                self.blame(format!("I6: {} marked message {} for another", mark.server, new.id));
            }
        }
    }

    /// A process trusts that it holds a lock; two must never do so at the same time.
    pub(super) fn trusted(&mut self, window: Window) {
        if self.void.get(&window.lock).is_some_and(|token| window.token <= *token) {
            return;
        }
        let overlap = self.windows.iter().find(|other| {
            other.lock == window.lock
                && (other.token != window.token || other.process != window.process)
                && other.from < window.until
                && window.from < other.until
        });
        if let Some(other) = overlap {
            let words = format!("I4: two trust lock {} at once: {other:?} and {window:?}", window.lock);
            self.blame(words);
        }
        let same = |other: &&mut Window| {
            (&other.lock, other.token, other.process) == (&window.lock, window.token, window.process)
        };
        match self.windows.iter_mut().find(same) {
            Some(present) => present.until = window.until,
            None => self.windows.push(window),
        }
    }

    /// A process gives up its trust, or is gone and trusts nothing.
    pub(super) fn let_go(&mut self, process: usize, lock: Option<(&str, u64)>, now: Duration) {
        let gone = |window: &&mut Window| {
            window.process == process
                && lock.is_none_or(|(name, token)| window.lock == name && window.token == token)
        };
        for window in self.windows.iter_mut().filter(gone) {
            window.until = window.until.min(now);
        }
    }

    /// An administrator took `dropped` out of the history: nothing can be asked of what they held.
    /// `files` is what it held last.
    pub(super) fn rolled_back(&mut self, dropped: &[Version], files: &Files) {
        self.dropped.extend(dropped.iter().cloned());
        for window in std::mem::take(&mut self.windows) {
            self.distrust(&window.lock, window.token);
        }
        // What nobody could read just then tells by what it was before.
        let readable =
            std::mem::take(&mut self.broken).into_values().filter_map(|files| read::<Lock>(&files).ok());
        for locks in readable.chain(read::<Lock>(files).ok()).collect::<Vec<_>>() {
            for lock in locks.rows() {
                self.distrust(&lock.name, lock.token.unwrap_or(0));
            }
        }
        self.claimed_at.clear();
        self.recovery.forget(None);
    }

    fn distrust(&mut self, lock: &str, token: u64) {
        let void = self.void.entry(lock.to_owned()).or_default();
        *void = token.max(*void);
        self.windows.retain(|window| window.lock != lock);
    }
}

/// The table of `T`, read once for each document.
pub(super) fn read<T: Row>(files: &Files) -> Result<Arc<Table<T>>, String> {
    match files.get(T::PATH) {
        Some(document) => document.table(T::PATH).map_err(|error| error.to_string()),
        None => Ok(Arc::new(Table::empty(T::PATH))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::commands::WriteOptions;
    use crate::app::commands::job_add::AddJobs;
    use crate::app::commands::job_claim::ClaimJobs;
    use crate::app::commands::job_step::{Change, ChangeJob, Step, StepJob};
    use crate::app::commands::lock::{AcquireLock, MarkDone, ReleaseLock};
    use crate::app::commands::message::{MarkAs, MarkMessages};
    use crate::app::commands::reclaim::LostClaim;
    use crate::domain::id::{JobId, LockName, ServerName};
    use crate::domain::job::{AttemptResult, Claimant, FailReason};
    use crate::domain::lock::LockRequest;
    use crate::ledger::Document;

    const NOW: Duration = Duration::from_secs(1000);
    const AT: &str = "2025-10-29T12:00:00Z";

    fn server(name: &str) -> ServerName {
        ServerName::new(name).expect(name)
    }

    fn lock_name(name: &str) -> LockName {
        LockName::new(name).expect(name)
    }

    fn files(path: &str, text: &str) -> Arc<Files> {
        Arc::new(Files::from([(path.into(), Arc::new(Document::new(text.as_bytes().to_vec())))]))
    }

    /// What is noticed first when `operation`, or a hand, makes `new` of `old`.
    fn noticed(path: &str, old: &str, new: &str, operation: Option<Operation>) -> String {
        let mut checker = Checker::default();
        for (session, seconds) in [("present", 100), ("before", 300), ("just before", 100)] {
            let at = NOW - Duration::from_secs(seconds);
            checker.heard("even", session.to_owned(), at, Duration::from_secs(60));
        }
        let built = operation.map(|operation| CommitOrigin {
            op: OpId::new("0197a3c0-0000-7000-8000-000000000000").expect("id"),
            at: Timestamp::parse(AT).expect("time"),
            envelope: WriteOptions { guards: vec![(lock_name("guard"), 3)], ..WriteOptions::default() },
            operation,
            known: Arc::default(),
        });
        let built = built.map(|built| match path {
            Lock::PATH if old.contains("guard") => built,
            _ => CommitOrigin { envelope: WriteOptions::default(), ..built },
        });
        checker.moved(NOW, &files(path, old), &files(path, new), built.as_ref());
        checker.violations.first().map_or("", |words| words.get(..3).unwrap_or_default()).to_owned()
    }

    fn claim(by: &str, lost: &[(u64, Option<&str>)]) -> Option<Operation> {
        let job = || JobId::new("j").expect("id");
        let lost = lost.iter().map(|(token, beat)| LostClaim {
            job: job(),
            token: *token,
            beat: beat.map(str::to_owned),
        });
        Some(Operation::ClaimJobs(ClaimJobs {
            lost: lost.collect(),
            ..ClaimJobs::next(Claimant { server: server(by), incarnation: "i".to_owned() })
        }))
    }

    fn step(by: &str, token: u64, step: Step) -> Option<Operation> {
        let job = JobId::new("j").expect("id");
        Some(Operation::StepJob(StepJob { server: server(by), job, token, step }))
    }

    fn add() -> Option<Operation> {
        Some(Operation::AddJobs(AddJobs { jobs: Vec::new(), requester: server("even") }))
    }

    #[test]
    fn what_must_not_happen_to_a_job_is_noticed() {
        let queued = r#"{"id":"j","status":"queued"}"#.to_owned();
        let held = |by: &str, token: u64| {
            format!(r#"{{"id":"j","status":"claimed","assigned_to":"{by}","token":{token},"attempts":1}}"#)
        };
        let of = |session: &str| {
            held("even", 1).replace("\"attempts\"", &format!("\"incarnation\":\"{session}\",\"attempts\""))
        };
        let ended = |status: &str| format!(r#"{{"id":"j","status":"{status}","token":1}}"#);
        let of_even = |status: &str| ended(status).replace("}", ",\"assigned_to\":\"even\"}");
        let stopped = |by: &str| {
            let stopped = of_even("cancelled").replace("}", ",\"stopped_at\":\"2025-10-29T12:00:00Z\"}");
            stopped.replace("even", by)
        };
        let begun = |job: &str| job.replace('}', ",\"started_at\":\"2025-10-29T11:59:00Z\"}");
        let wants_odd = r#"{"id":"j","status":"queued","labels":["odd"]}"#.to_owned();
        let foreign = |job: &str| job.replace(r#""id""#, r#""x_a":{"b":1},"id""#);
        let tried = |job: &str| job.replace(r#""attempts":1"#, r#""attempts":4"#);
        let must_make = |job: &str| job.replace(r#""id""#, r#""produces":["*.deb"],"id""#);
        let complete = || Step::Complete { report: AttemptResult::default() };
        let fail = || Step::Fail { reason: FailReason::ScriptFailure, report: AttemptResult::default() };
        let cancel = Change::Cancel { why: None };
        let change = ChangeJob { server: server("odd1"), job: JobId::new("j").expect("id"), change: cancel };
        let table = |row: &str| format!(r#"{{"jobs":[{row}]}}"#);
        let cases = [
            (queued.clone(), held("even", 1), claim("even", &[]), ""),
            (held("odd1", 1), held("even", 2), claim("even", &[(1, None)]), ""),
            (held("even", 1), ended("completed"), step("even", 1, complete()), ""),
            (held("even", 1), ended("failed"), step("even", 1, fail()), ""),
            (held("even", 1), ended("cancelled"), Some(Operation::ChangeJob(change)), ""),
            (held("even", 1), held("odd1", 1), claim("odd1", &[]), "I1:"),
            (held("even", 2), held("odd1", 1), claim("odd1", &[]), "I1:"),
            (queued.clone(), held("even", 2), claim("even", &[]), "I1:"),
            (queued.clone(), held("odd1", 1), claim("even", &[]), "I1:"),
            (held("even", 1), ended("completed"), step("odd1", 1, complete()), "I1:"),
            (held("even", 1), ended("completed"), step("even", 2, complete()), "I1:"),
            (wants_odd, held("even", 1), claim("even", &[]), "I2:"),
            (queued.clone(), format!("{queued},{queued}"), add(), "I5:"),
            (queued.clone(), ended("completed").replace(",\"token\":1", ""), add(), "I7:"),
            (ended("completed"), ended("failed"), add(), "I7:"),
            (queued.clone(), String::new(), add(), "I7:"),
            (held("even", 1), ended("completed"), step("even", 1, fail()), "I7:"),
            (held("even", 1), ended("failed"), add(), "I7:"),
            (must_make(&held("even", 1)), must_make(&ended("completed")), step("even", 1, complete()), "I7:"),
            (queued.clone(), held("even", 1), add(), "I7:"),
            (held("odd1", 1), held("even", 2), claim("even", &[]), "I8:"),
            (held("odd1", 1), held("even", 2), claim("even", &[(7, None)]), "I8:"),
            (of("present"), held("odd1", 2), claim("odd1", &[(1, Some("beat"))]), "I8:"),
            (of("before"), held("odd1", 2), claim("odd1", &[(1, Some("beat"))]), ""),
            (of("just before"), held("odd1", 2), claim("odd1", &[(1, Some("beat"))]), "I8:"),
            (queued.clone(), tried(&held("even", 1)), claim("even", &[]), "I9:"),
            (foreign(&queued), held("even", 1), claim("even", &[]), "I13"),
            (queued.clone(), "<<<<<<< ours".to_owned(), add(), "I13"),
            (ended("cancelled"), stopped("even"), step("even", 1, Step::Stopped), "I7:"),
            (of_even("cancelled"), stopped("even"), step("even", 1, Step::Stopped), ""),
            (of_even("cancelled"), stopped("even"), step("even", 2, Step::Stopped), "I7:"),
            (of_even("cancelled"), stopped("even"), step("odd1", 1, Step::Stopped), "I7:"),
            (of_even("cancelled"), stopped("even"), add(), "I7:"),
            (of_even("cancelled"), ended("queued"), add(), ""),
            (begun(&stopped("even")), ended("queued"), add(), ""),
            (begun(&of_even("cancelled")), ended("queued"), add(), "I7:"),
            (stopped("even"), of_even("cancelled"), add(), "I7:"),
            (of_even("failed"), of_even("failed").replace("}", ",\"attempts\":2}"), add(), "I7:"),
            // A hand may do what it likes, but not make anything vanish.
            (queued.clone(), held("even", 9), None, ""),
            (queued.clone(), "<<<<<<< ours".to_owned(), None, ""),
            (queued, String::new(), None, "I7:"),
        ];
        for (number, (old, new, operation, expected)) in cases.into_iter().enumerate() {
            let found = noticed(Job::PATH, &table(&old), &table(&new), operation);
            assert_eq!(found, expected, "case {number}: {old} -> {new}");
        }
    }

    #[test]
    fn a_claim_beside_another_of_its_group_is_noticed() {
        // A job may take an hour.
        let beside = |other: &str| {
            let row = r#"{"id":"j","group":"g","status":"queued"}"#;
            let claimed =
                r#"{"id":"j","group":"g","status":"claimed","assigned_to":"even","token":1,"attempts":1}"#;
            let table = |row: &str| format!(r#"{{"jobs":[{row},{{"id":"o","group":"g",{other}}}]}}"#);
            noticed(Job::PATH, &table(row), &table(claimed), claim("even", &[]))
        };
        let cancelled = r#""status":"cancelled","assigned_to":"odd1","started_at":"2025-10-29T11:30:00Z""#;
        assert_eq!(beside(r#""status":"running","assigned_to":"odd1""#), "I9:");
        assert_eq!(beside(cancelled), "I9:");
        assert_eq!(beside(&format!(r#"{cancelled},"stopped_at":"2025-10-29T11:40:00Z""#)), "");
        assert_eq!(beside(&cancelled.replace("11:30", "11:00")), "");
        assert_eq!(beside(r#""status":"cancelled""#), "");
        assert_eq!(beside(r#""status":"completed","assigned_to":"odd1""#), "");
    }

    #[test]
    fn what_must_not_happen_to_a_lock_is_noticed() {
        let lock =
            |by: &str, token: u64| format!(r#"{{"locks":{{"x":{{"locked_by":"{by}","token":{token}}}}}}}"#);
        let taker =
            LockRequest { server: server("b"), holder: String::new(), lease_seconds: 60, reason: None };
        let take = Some(Operation::AcquireLock(AcquireLock { name: lock_name("x"), taker, expired: None }));
        let release = |by: &str, token| {
            Some(Operation::ReleaseLock(ReleaseLock { name: lock_name("x"), server: server(by), token }))
        };
        let done = Operation::MarkDone(MarkDone { key: lock_name("x"), server: server("a"), token: 2 });
        let was_done = r#"{"locks":{"x":{"locked_by":null,"token":2,"done_at":"2025-10-29T12:00:00Z"}}}"#;
        for (number, (old, new, operation, expected)) in [
            (lock("", 1), lock("a", 2), take.clone(), ""),
            (lock("a", 2), lock("b", 3), take.clone(), ""),
            (lock("a", 2), lock("", 2), release("a", 2), ""),
            (lock("a", 2), was_done.to_owned(), Some(done), ""),
            (lock("a", 2), lock("b", 2), take.clone(), "I3:"),
            (lock("a", 2), lock("b", 1), take.clone(), "I1:"),
            (lock("", 2), lock("b", 4), take.clone(), "I1:"),
            (lock("a", 2), lock("", 0), release("a", 2), "I1:"),
            (lock("a", 2), lock("", 2), release("b", 2), "I1:"),
            (lock("a", 2), lock("", 2), release("a", 1), "I1:"),
            (was_done.to_owned(), lock("b", 3), take.clone(), "I1:"),
            (lock("", 2).replace("x", "guard"), lock("", 2).replace("x", "other"), take, "I3:"),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(noticed(Lock::PATH, &old, &new, operation), expected, "case {number}: {old} -> {new}");
        }
    }

    #[test]
    fn a_message_that_is_unread_again_or_gone_is_noticed() {
        let message = |body: &str, more: &str| {
            format!(r#"{{"messages":[{{"id":"m","from":"a","to":"b","body":"{body}"{more}}}]}}"#)
        };
        let mark = |by: &str| {
            Some(Operation::MarkMessages(MarkMessages {
                server: server(by),
                ids: Vec::new(),
                which: Vec::new(),
                mark: MarkAs::Read,
            }))
        };
        let read = message("x", r#","read_by":["b"]"#);
        for (old, new, operation, expected) in [
            (message("x", ""), read.clone(), mark("b"), ""),
            (message("x", ""), read.clone(), mark("c"), "I6:"),
            (read, message("x", ""), mark("b"), "I6:"),
            (message("x", ""), message("y", ""), mark("b"), "I6:"),
            (message("x", ""), r#"{"messages":[]}"#.to_owned(), mark("b"), "I7:"),
        ] {
            assert_eq!(noticed(Message::PATH, &old, &new, operation), expected, "{old} -> {new}");
        }
    }

    #[test]
    fn two_who_trust_one_lock_at_once_are_noticed() {
        let window = |token, from, until| Window {
            lock: "x".to_owned(),
            token,
            process: usize::try_from(token).expect("small"),
            from: Duration::from_secs(from),
            until: Duration::from_secs(until),
        };
        let mut checker = Checker::default();
        checker.trusted(window(1, 0, 10));
        checker.trusted(window(2, 10, 20));
        assert_eq!(checker.violations.len(), 0);
        checker.trusted(window(3, 19, 30));
        assert_eq!(checker.violations.len(), 1);
        checker.let_go(3, Some(("x", 3)), Duration::from_secs(25));
        checker.trusted(window(4, 25, 30));
        assert_eq!(checker.violations.len(), 1);
        checker.let_go(4, None, Duration::from_secs(26));
        checker.trusted(Window { process: 9, ..window(4, 26, 30) });
        assert_eq!(checker.violations.len(), 1);
        checker.trusted(Window { process: 8, ..window(4, 27, 30) });
        assert_eq!(checker.violations.len(), 2);
    }
}
