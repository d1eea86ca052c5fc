//! What must hold: after every commit on the main branch, and at the end.
//!
//! The checker knows true time and everything that every process was told. It uses the real types
//! to read documents and none of the real rules to judge them.

use super::world::{Files, MAIN, World};
use crate::domain::id::OpId;
use crate::domain::job::{Job, JobStatus};
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::table::{Row, Table};
use crate::ledger::Version;
use std::collections::BTreeMap;
use std::time::Duration;

/// The trust of a holder in a lock, in true time.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub lock: String,
    pub token: u64,
    pub from: Duration,
    pub until: Duration,
}

/// An operation that a process was told is in the hub.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    pub op: OpId,
    pub version: Version,
    pub invoked: Duration,
    pub returned: Duration,
}

/// What was seen, and what was wrong with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Checker {
    pub violations: Vec<String>,
    pub acknowledged: Vec<Acknowledged>,
    pub windows: Vec<Window>,
    pub commits: u64,
    pub takeovers: u64,
    pub rescues: u64,
}

impl Checker {
    fn blame(&mut self, words: String) {
        self.violations.push(words);
    }

    /// The main branch went from `old` to `new`.
    pub(super) fn moved(&mut self, old: &Files, new: &Files) {
        self.commits += 1;
        let changed = |path: &str| old.get(path) != new.get(path);
        if changed(Job::PATH) {
            self.compare::<Job>(old, new, Self::job);
        }
        if changed(Lock::PATH) {
            self.compare::<Lock>(old, new, Self::lock);
        }
        if changed(Message::PATH) {
            self.compare::<Message>(old, new, Self::message);
        }
    }

    /// Compares the records of two versions of a table; none may vanish or stand twice.
    fn compare<T: Row>(&mut self, old: &Files, new: &Files, judge: fn(&mut Self, Option<&T>, &T)) {
        let read =
            |files: &Files| Table::<T>::read(T::PATH, files.get(T::PATH).map_or(b"", |text| text.as_bytes()));
        let new = match read(new) {
            Ok(table) => table,
            Err(error) => return self.blame(format!("I13: {error}")),
        };
        let Ok(old) = read(old) else { return };
        let mut ids: Vec<&str> = new.rows().map(|row| row.id()).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            self.blame(format!("I5: an id stands twice in {}", T::PATH));
        }
        for row in old.rows() {
            if new.get(row.id()).is_none() {
                self.blame(format!("I7: {} vanished from {}", row.id(), T::PATH));
            }
        }
        for row in new.rows() {
            judge(self, old.get(row.id()).map(|record| &**record), row);
        }
    }

    fn job(&mut self, old: Option<&Job>, new: &Job) {
        use JobStatus::{Cancelled, Claimed, Completed, Dead, Failed, Queued, Running};
        let Some(old) = old else {
            if new.status != Queued || new.token.is_some() {
                self.blame(format!("I7: job {} began as {}", new.id, new.status));
            }
            return;
        };
        let (before, after) = (old.token.unwrap_or(0), new.token.unwrap_or(0));
        let claimed = matches!((&old.status, &new.status), (Queued, Claimed | Running));
        // A rescue and the next claim may stand in one commit.
        let reclaimed = old.status.is_held() && new.status.is_held() && after > before;
        if after != before + u64::from(claimed || reclaimed) {
            self.blame(format!(
                "I1: the token of job {} went from {before} to {after}, from {} to {}",
                new.id, old.status, new.status
            ));
        }
        let legal = old.status == new.status
            || claimed
            || matches!(
                (&old.status, &new.status),
                (Claimed, Running)
                    | (Claimed | Running, Queued | Completed | Failed | Dead | Cancelled)
                    | (Queued, Cancelled)
                    | (Completed | Failed | Dead | Cancelled, Queued)
            );
        if !legal {
            self.blame(format!("I7: job {} went from {} to {}", new.id, old.status, new.status));
        }
        if old.status.is_held()
            && new.status.is_held()
            && before == after
            && old.assigned_to != new.assigned_to
        {
            self.blame(format!("I1: job {} changed hands under one token", new.id));
        }
        let was_rescued =
            matches!(new.reason.as_deref(), Some("lost" | "timeout")) && old.reason != new.reason;
        self.rescues += u64::from(old.status.is_held() && was_rescued);
    }

    fn lock(&mut self, old: Option<&Lock>, new: &Lock) {
        let before = old.and_then(|lock| lock.token).unwrap_or(0);
        let after = new.token.unwrap_or(0);
        let held_by = |lock: &Lock| lock.locked_by.clone().filter(|by| !by.is_empty());
        let (old_holder, new_holder) = (old.and_then(held_by), held_by(new));
        if after < before {
            self.blame(format!("I1: the token of lock {} went from {before} to {after}", new.name));
        }
        if new_holder.is_some() && new_holder != old_holder && after == before {
            self.blame(format!("I3: lock {} changed hands under token {after}", new.name));
        }
        if after > before + 1 {
            self.blame(format!("I1: the token of lock {} skipped from {before} to {after}", new.name));
        }
    }

    fn message(&mut self, old: Option<&Message>, new: &Message) {
        let Some(old) = old else { return };
        if new.read_by.len() < old.read_by.len() || new.acknowledged_by.len() < old.acknowledged_by.len() {
            self.blame(format!("I6: message {} was unread again", new.id));
        }
        if (&old.from, &old.to, &old.body) != (&new.from, &new.to, &new.body) {
            self.blame(format!("I6: message {} was rewritten", new.id));
        }
    }

    /// A process trusts that it holds a lock; two must never do so at the same time.
    pub(super) fn trusted(&mut self, window: Window) {
        let overlap = self.windows.iter().find(|other| {
            other.lock == window.lock
                && other.token != window.token
                && other.from < window.until
                && window.from < other.until
        });
        if let Some(other) = overlap {
            let words = format!("I4: two trust lock {} at once: {other:?} and {window:?}", window.lock);
            self.blame(words);
        }
        match self.windows.iter_mut().find(|other| other.lock == window.lock && other.token == window.token) {
            Some(present) => present.until = window.until,
            None => self.windows.push(window),
        }
    }

    /// A process gives up its trust.
    pub(super) fn let_go(&mut self, lock: &str, token: u64, now: Duration) {
        for window in self.windows.iter_mut().filter(|window| window.lock == lock && window.token == token) {
            window.until = window.until.min(now);
        }
    }
}

/// What can only be said at the end: every acknowledged operation is in the history once, and in
/// the order of true time.
pub(super) fn history(world: &mut World) {
    let tip = world.refs.get(MAIN).cloned();
    let mut present: BTreeMap<String, (u64, Version)> = BTreeMap::new();
    let mut twice = Vec::new();
    for (version, stored) in world.history(tip.as_ref()) {
        for op in stored.message.lines().filter_map(|line| line.strip_prefix("Muster-Op: ")) {
            if present.insert(op.to_owned(), (stored.depth, version.clone())).is_some() {
                twice.push(format!("I5: operation {op} is in the history twice"));
            }
        }
    }
    let mut order: Vec<(Duration, Duration, u64)> = Vec::new();
    let mut missing = Vec::new();
    for one in &world.checker.acknowledged {
        match present.get(one.op.as_str()) {
            Some((depth, _)) => order.push((one.invoked, one.returned, *depth)),
            None => missing.push(format!(
                "I5: operation {} was acknowledged and is not in the history ({})",
                one.op, one.version
            )),
        }
    }
    // In the order of their returns, the deepest commit that had been acknowledged before.
    let mut returned: Vec<(Duration, u64)> =
        order.iter().map(|(_, returned, depth)| (*returned, *depth)).collect();
    returned.sort_unstable();
    let mut deepest = 0;
    let floors: Vec<(Duration, u64)> = returned
        .into_iter()
        .map(|(at, depth)| {
            deepest = depth.max(deepest);
            (at, deepest)
        })
        .collect();
    for (invoked, _, depth) in &order {
        let before = floors.partition_point(|(at, _)| at < invoked);
        if let Some((_, floor)) = before.checked_sub(1).and_then(|index| floors.get(index))
            && depth < floor
        {
            missing.push(format!(
                "I5: an operation landed at {depth}, below {floor} that was acknowledged before it began"
            ));
        }
    }
    world.checker.violations.extend(twice);
    world.checker.violations.extend(missing);
}

/// What must be so after a long calm: nothing is held by the dead, nothing is unsettled.
pub(super) fn quiet(world: &mut World) {
    let files =
        world.refs.get(MAIN).and_then(|tip| world.commits.get(tip)).map(|stored| stored.files.clone());
    let text = files.and_then(|files| files.get(Job::PATH).cloned()).unwrap_or_default();
    let Ok(jobs) = Table::<Job>::read(Job::PATH, text.as_bytes()) else { return };
    let open = jobs.rows().filter(|job| !job.status.is_final()).count();
    if open > 0 {
        world.checker.violations.push(format!("I17: {open} jobs are not finished after the calm"));
    }
    let mut unsettled = Vec::new();
    for host in &world.hosts {
        unsettled.extend(
            host.files
                .keys()
                .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("ops")))
                .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
                // What somebody is at just now is in good hands.
                .filter(|path| !host.locks.contains(&path.with_extension("flock")))
                .map(|path| format!("I17: {} keeps {} unsettled", host.name, path.display())),
        );
    }
    world.checker.violations.extend(unsettled);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn files(path: &str, text: &str) -> Files {
        Files::from([(path.to_owned(), Arc::from(text))])
    }

    #[track_caller]
    fn blamed(path: &str, old: &str, new: &str, expected: &str) {
        let mut checker = Checker::default();
        checker.moved(&files(path, old), &files(path, new));
        let found = checker.violations.first().map_or("", |words| words.get(..2).unwrap_or_default());
        assert_eq!(found, expected, "{old} -> {new}: {:?}", checker.violations);
    }

    #[test]
    fn what_must_not_happen_to_a_job_is_noticed() {
        let queued = r#"{"id":"j","status":"queued"}"#;
        let held = |by: &str, token: u64| {
            format!(r#"{{"id":"j","status":"claimed","assigned_to":"{by}","token":{token}}}"#)
        };
        let ended = |status: &str| format!(r#"{{"id":"j","status":"{status}"}}"#);
        let table = |row: &str| format!(r#"{{"jobs":[{row}]}}"#);
        for (old, new, expected) in [
            (queued.to_owned(), held("a", 1), ""),
            (held("a", 1), held("b", 2), ""),
            (held("a", 1), held("b", 1), "I1"),
            (held("a", 2), held("b", 1), "I1"),
            (queued.to_owned(), held("a", 2), "I1"),
            (queued.to_owned(), ended("completed"), "I7"),
            (ended("completed"), ended("failed"), "I7"),
            (queued.to_owned(), String::new(), "I7"),
            (queued.to_owned(), format!("{queued},{queued}"), "I5"),
        ] {
            blamed(Job::PATH, &table(&old), &table(&new), expected);
        }
        blamed(Job::PATH, &table(queued), "<<<<<<< ours", "I1");
    }

    #[test]
    fn what_must_not_happen_to_a_lock_is_noticed() {
        let lock =
            |by: &str, token: u64| format!(r#"{{"locks":{{"x":{{"locked_by":{by},"token":{token}}}}}}}"#);
        for (old, new, expected) in [
            (lock("null", 1), lock("\"a\"", 2), ""),
            (lock("\"a\"", 2), lock("null", 2), ""),
            (lock("\"a\"", 2), lock("\"b\"", 2), "I3"),
            (lock("\"a\"", 2), lock("\"b\"", 1), "I1"),
            (lock("null", 2), lock("\"b\"", 4), "I1"),
        ] {
            blamed(Lock::PATH, &old, &new, expected);
        }
    }

    #[test]
    fn a_message_that_is_unread_again_or_gone_is_noticed() {
        let message = |body: &str, more: &str| {
            format!(r#"{{"messages":[{{"id":"m","from":"a","to":"b","body":"{body}"{more}}}]}}"#)
        };
        let read = message("x", r#","read_by":["b"]"#);
        blamed(Message::PATH, &read, &message("x", ""), "I6");
        blamed(Message::PATH, &message("x", ""), &message("y", ""), "I6");
        blamed(Message::PATH, &message("x", ""), r#"{"messages":[]}"#, "I7");
        blamed(Message::PATH, &message("x", ""), &read, "");
    }

    #[test]
    fn two_who_trust_one_lock_at_once_are_noticed() {
        let window = |token, from, until| Window {
            lock: "x".to_owned(),
            token,
            from: Duration::from_secs(from),
            until: Duration::from_secs(until),
        };
        let mut checker = Checker::default();
        checker.trusted(window(1, 0, 10));
        checker.trusted(window(2, 10, 20));
        assert_eq!(checker.violations.len(), 0);
        checker.trusted(window(3, 19, 30));
        assert_eq!(checker.violations.len(), 1);
        checker.let_go("x", 3, Duration::from_secs(25));
        checker.trusted(window(4, 25, 30));
        assert_eq!(checker.violations.len(), 1);
    }
}
