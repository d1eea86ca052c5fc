//! One commit: the documents before it and after it, and what is wrong with the way between them.

use super::finding::{Finding, Kind, Severity, named};
use super::state::{self, Judged};
use super::{job, lock, message};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::record::Record;
use crate::domain::server::Server;
use crate::domain::shell::typed;
use crate::domain::table::{Broken, Row, Stretch, Table};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A table before and after a commit. Where both are the same table nothing is looked at.
#[derive(Debug)]
pub struct Change<'a, T> {
    /// Before.
    pub before: &'a Table<T>,
    /// After.
    pub after: &'a Table<T>,
}

impl<T> Clone for Change<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Change<'_, T> {}

/// How a commit says it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    steps: u64,
    by_hand: bool,
}

impl Made {
    /// By so many operations of ours; by none means by hand.
    #[must_use]
    pub const fn by_operations(operations: u64) -> Self {
        if operations == 0 { Self::by_a_hand() } else { Self { steps: operations, by_hand: false } }
    }

    /// By hand, or by another program: one step is granted.
    #[must_use]
    pub const fn by_a_hand() -> Self {
        Self { steps: 1, by_hand: true }
    }

    /// By a merge, which no operation of ours makes, and which brings the steps of other commits.
    #[must_use]
    pub const fn by_merging(steps: u64) -> Self {
        Self { steps: if steps == 0 { 1 } else { steps }, by_hand: true }
    }

    /// Whether no operation of ours made it.
    #[must_use]
    pub const fn by_hand(self) -> bool {
        self.by_hand
    }

    /// How bad a breach is that is a bug in an operation of ours, and of a hand a repair or a slip.
    pub(super) const fn severity(self) -> Severity {
        if self.by_hand { Severity::Warning } else { Severity::Error }
    }

    /// How many steps it may hold.
    pub(super) fn steps(self) -> u64 {
        self.steps
    }
}

/// What one commit made of the documents of a hub.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The live jobs.
    pub jobs: Change<'a, Job>,
    /// The locks.
    pub locks: Change<'a, Lock>,
    /// The live messages.
    pub messages: Change<'a, Message>,
    /// The register of servers.
    pub servers: Change<'a, Server>,
    /// The archives of jobs that changed; one that was not there before was empty.
    pub job_archives: &'a [Change<'a, Job>],
    /// The archives of messages that changed.
    pub message_archives: &'a [Change<'a, Message>],
    /// How the commit says it was made.
    pub made: Made,
}

impl Step<'_> {
    /// The rules that the commit broke.
    #[must_use]
    pub fn judge(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let made = self.made;
        let crossed = Crossed::of(self.job_archives, self.jobs.after, &mut found);
        let jobs = Rows::of(self.jobs, &crossed);
        jobs.judge(&mut found, |before, after, found| match before {
            Some(before) => job::judge(before, after, made, found),
            None => job::judge_new(after, made, found),
        });
        jobs.gone(made.by_hand(), &mut found, |before, found| {
            found.push(
                Finding::new(
                    Kind::JobVanished,
                    format!("job {} ({}) is gone and not in the archive", named(&before.id), before.status),
                )
                .hint(
                    "put the record back from the commit before; finished jobs leave by `git muster archive`",
                ),
            );
        });
        let crossed = Crossed::of(self.message_archives, self.messages.after, &mut found);
        let messages = Rows::of(self.messages, &crossed);
        messages.judge(&mut found, |before, after, found| {
            if let Some(before) = before {
                message::judge(before, after, found);
            }
        });
        messages.gone(made.by_hand(), &mut found, |before, found| {
            let what = format!("message {} is gone and not in the archive", named(&before.id));
            found.push(Finding::new(Kind::MessageVanished, what).hint(
                "put the record back from the commit before; read messages leave by `git muster archive`",
            ));
        });
        let nowhere = Crossed::default();
        let locks = Rows::of(self.locks, &nowhere);
        locks.judge(&mut found, |before, after, found| match before {
            Some(before) => lock::judge(before, after, made, found),
            None => lock::judge(&Lock::free(&after.name), after, made, found),
        });
        locks.gone(made.by_hand(), &mut found, lock::judge_gone);
        let nowhere = Crossed::default();
        let servers = Rows::of(self.servers, &nowhere);
        servers.tell_broken(&mut found);
        // Our own operations take out only whom they were told to.
        if made.by_hand() {
            servers.gone(true, &mut found, server_gone);
        }
        found
    }
}

fn server_gone(before: &Server, found: &mut Vec<Finding>) {
    let name = typed(&before.id, "NAME");
    found.push(
        Finding::new(Kind::ServerVanished, format!("server {} is gone from the register", named(&before.id)))
            .hint(format!("it works on and nobody is told when it is lost: `git muster join --as {name}` on it brings it back; to take one out there is `git muster servers remove {name}`")),
    );
}

/// The records of a table that a commit touched.
struct Rows<'a, T> {
    change: Change<'a, T>,
    /// Where in the tables they begin.
    first: usize,
    before: Stretch<'a, T>,
    after: Stretch<'a, T>,
    /// Those before, by id; of two with one id the first counts.
    known: HashMap<&'a str, &'a Record<T>>,
    /// What the same commit moved to the archives and back.
    crossed: &'a Crossed<'a, T>,
}

impl<'a, T: Judged> Rows<'a, T> {
    fn of(change: Change<'a, T>, crossed: &'a Crossed<'a, T>) -> Self {
        let (first, before, after) = if std::ptr::eq(change.before, change.after) {
            (0, Stretch::default(), Stretch::default())
        } else {
            change.before.differing(change.after)
        };
        Self { change, first, before, after, known: by_id(before), crossed }
    }

    /// Hands every record that is new or differs to `rule`, with what it was before, also where it
    /// went to the archive.
    fn judge(&self, found: &mut Vec<Finding>, rule: impl Fn(Option<&T>, &T, &mut Vec<Finding>)) {
        let doubles = self.doubles();
        for (index, row) in (self.first..).zip(self.after) {
            if doubles.contains(&index) {
                continue;
            }
            let before = self.known.get(row.id()).or_else(|| self.crossed.back.get(row.id()));
            // One that could not be read before is compared with nothing.
            if before.is_none() && self.change.before.unreadable(row.id()).is_some() {
                continue;
            }
            if before.is_some_and(|before| before.text() == row.text()) {
                continue;
            }
            let mut broken = Vec::new();
            rule(before.map(|before| &***before), row, &mut broken);
            row.errors(&mut broken);
            self.tell(index, row.id(), broken, found);
        }
        for (index, row) in (self.first..).zip(self.before) {
            let first = self.known.get(row.id()).filter(|first| std::ptr::eq(**first, row.as_ref()));
            if let (Some(before), Some(archived)) = (first, self.crossed.archived.get(row.id())) {
                let mut broken = Vec::new();
                rule(Some(before), archived, &mut broken);
                self.tell(index, row.id(), broken, found);
            }
        }
        self.tell_doubles(&doubles, found);
        self.tell_broken(found);
    }

    /// Tells of each record that cannot be read and did not stand there before.
    fn tell_broken(&self, found: &mut Vec<Finding>) {
        let known: HashSet<&str> = self.change.before.broken().map(Broken::text).collect();
        let after = self.change.after.unreadables().into_iter();
        let newly = after.filter(|(_, broken)| !known.contains(broken.text()));
        found.extend(newly.map(|(trouble, _)| state::broken(trouble)));
    }

    /// Tells of each record in `doubles` for which there was none before.
    fn tell_doubles(&self, doubles: &BTreeSet<usize>, found: &mut Vec<Finding>) {
        if doubles.is_empty() {
            return;
        }
        let mut stood: HashMap<&str, usize> = HashMap::new();
        for row in self.change.before.rows() {
            *stood.entry(row.id()).or_default() += 1;
        }
        for (index, row) in self.change.after.rows().enumerate() {
            let left = stood.entry(row.id()).or_default();
            if *left == 0 && doubles.contains(&index) {
                found.push(state::id_twice(self.change.after, index, row.id()));
            }
            *left = left.saturating_sub(1);
        }
    }

    /// Hands every record that is gone, and did not go to the archive, to `rule`.
    fn gone(&self, by_hand: bool, found: &mut Vec<Finding>, rule: impl Fn(&T, &mut Vec<Finding>)) {
        let stays: HashSet<&str> = self.after.iter().map(|row| row.id()).collect();
        // What cannot be read is there all the same; what had no id is set aside by us alone.
        let is_there = |row: &T| {
            self.change.after.unreadable(row.id()).is_some() || (!by_hand && row.id_problem().is_some())
        };
        let archived = &self.crossed.archived;
        let gone = |row: &T| !stays.contains(row.id()) && !archived.contains_key(row.id()) && !is_there(row);
        if !self.before.iter().any(|row| gone(row)) {
            return;
        }
        // Of two with one id the other may stay, anywhere in the table.
        let stays: HashSet<&str> = self.change.after.rows().map(|row| row.id()).collect();
        let mut told = HashSet::new();
        for row in self.before {
            if gone(row) && !stays.contains(row.id()) && told.insert(row.id()) {
                let mut broken = Vec::new();
                rule(row, &mut broken);
                // Where it stood, there stands another now.
                found.extend(broken.into_iter().map(|one| one.at(self.change.after.path()).of(row.id())));
            }
        }
    }

    /// Where records stand that have the id of one before them, if one of the two is new or differs:
    /// the second never counts. Without an id each is wrong by itself.
    fn doubles(&self) -> BTreeSet<usize> {
        let rows = self.change.after.rows().enumerate().filter(|(_, row)| !row.id().is_empty());
        // In a long table most commits touch one record: to compare is faster than to hash.
        if let [] | [_] = self.after {
            let id = self.after.first().map(|row| row.id());
            return rows.filter(|(_, row)| Some(row.id()) == id).map(|(index, _)| index).skip(1).collect();
        }
        let touched: HashSet<&str> = self.after.iter().map(|row| row.id()).collect();
        let mut seen = HashSet::new();
        rows.filter(|(_, row)| touched.contains(row.id()) && !seen.insert(row.id()))
            .map(|(index, _)| index)
            .collect()
    }

    fn tell(&self, index: usize, id: &str, broken: Vec<Finding>, found: &mut Vec<Finding>) {
        let path = self.change.after.path();
        found.extend(broken.into_iter().map(|one| one.at(path).place(state::place::<T>(index, id)).of(id)));
    }
}

fn by_id<'a, T: Row>(rows: Stretch<'a, T>) -> HashMap<&'a str, &'a Record<T>> {
    rows.iter().rev().map(|row| (row.id(), row.as_ref())).collect()
}

/// What one commit moved between the live table and the archives, by id.
struct Crossed<'a, T> {
    /// What went to an archive.
    archived: HashMap<&'a str, &'a Record<T>>,
    /// What came back from one, as it stood there: it is needed again, or was put back.
    back: HashMap<&'a str, &'a Record<T>>,
}

impl<T> Default for Crossed<'_, T> {
    fn default() -> Self {
        Self { archived: HashMap::new(), back: HashMap::new() }
    }
}

impl<'a, T: Row> Crossed<'a, T> {
    /// What the archives lost to nowhere, or changed, is a breach.
    fn of(archives: &[Change<'a, T>], live: &Table<T>, found: &mut Vec<Finding>) -> Self {
        let mut crossed = Self::default();
        for change in archives {
            let (first, before, after) = change.before.differing(change.after);
            let mut present = by_id(after);
            for (index, row) in before.iter().enumerate() {
                let (kind, what) = match present.remove(row.id()) {
                    None if change.after.unreadable(row.id()).is_some() => continue,
                    None if live.get(row.id()).is_some() => {
                        crossed.back.insert(row.id(), row);
                        continue;
                    }
                    None => (Kind::ArchiveVanished, "gone from the archive"),
                    Some(now) if **now != ***row => {
                        (Kind::ArchiveRewritten, "in the archive and was changed there")
                    }
                    Some(_) => continue,
                };
                found.push(
                    Finding::new(kind, format!("{} is {what}", named(row.id())))
                        .at(change.before.path())
                        .place(state::place::<T>(first + index, row.id()))
                        .of(row.id())
                        .hint("the archive is history: put the record back from the commit before"),
                );
            }
            crossed.archived.extend(present);
        }
        crossed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<T: Row>(path: &str, rows: &str) -> Table<T> {
        let (open, close) = if T::BY_NAME { ('{', '}') } else { ('[', ']') };
        let text = format!("{{\"{}\":{open}{rows}{close}}}", T::FIELD);
        Table::read(path, text.as_bytes()).expect(rows)
    }

    /// Documents before and after, of which most do not matter to a case.
    #[derive(Default)]
    struct Case {
        jobs: (&'static str, &'static str),
        locks: (&'static str, &'static str),
        messages: (&'static str, &'static str),
        archive: (&'static str, &'static str),
        mail: (&'static str, &'static str),
        servers: (&'static str, &'static str),
    }

    impl Case {
        fn told(&self, made: Made) -> String {
            const ARCHIVE: &str = "coordination/archive/jobs-2025-10.json";
            let jobs = (table(Job::PATH, self.jobs.0), table(Job::PATH, self.jobs.1));
            let locks = (table(Lock::PATH, self.locks.0), table(Lock::PATH, self.locks.1));
            let messages = (table(Message::PATH, self.messages.0), table(Message::PATH, self.messages.1));
            let archive = (table(ARCHIVE, self.archive.0), table(ARCHIVE, self.archive.1));
            let mail = (table("mail", self.mail.0), table("mail", self.mail.1));
            let servers = (table(Server::PATH, self.servers.0), table(Server::PATH, self.servers.1));
            let step = Step {
                jobs: Change { before: &jobs.0, after: &jobs.1 },
                locks: Change { before: &locks.0, after: &locks.1 },
                messages: Change { before: &messages.0, after: &messages.1 },
                servers: Change { before: &servers.0, after: &servers.1 },
                job_archives: &[Change { before: &archive.0, after: &archive.1 }],
                message_archives: &[Change { before: &mail.0, after: &mail.1 }],
                made,
            };
            let told = |one: &Finding| format!("{} {}", one.kind, one.place.as_deref().unwrap_or("-"));
            step.judge().iter().map(told).collect::<Vec<_>>().join(", ")
        }
    }

    const A: &str = r#"{"id":"a","status":"completed"}"#;
    const AB: &str = r#"{"id":"a","status":"completed"},{"id":"b","status":"queued"}"#;
    const B: &str = r#"{"id":"b","status":"queued"}"#;
    const BA: &str = r#"{"id":"b","status":"queued"},{"id":"a","status":"completed"}"#;

    #[test]
    fn what_goes_goes_to_the_archive() {
        let one = Made::by_operations(1);
        for (case, expected) in [
            (Case { jobs: (AB, BA), ..Case::default() }, ""),
            (Case { jobs: (AB, B), archive: ("", A), ..Case::default() }, ""),
            (
                Case {
                    jobs: (AB, B),
                    archive: (r#"{"id":"z"}"#, r#"{"id":"z"},{"id":"a","status":"completed"}"#),
                    ..Case::default()
                },
                "",
            ),
            (Case { jobs: (AB, B), ..Case::default() }, "job-vanished -"),
            (Case { jobs: (AB, ""), ..Case::default() }, "job-vanished -, job-vanished -"),
            // It was there before, and is no proof.
            (Case { jobs: (AB, B), archive: (A, A), ..Case::default() }, "job-vanished -"),
            (Case { archive: (A, ""), ..Case::default() }, "archive-vanished jobs[0]"),
            (Case { jobs: (B, BA), archive: (A, ""), ..Case::default() }, ""),
            (
                Case {
                    jobs: ("", r#"{"id":"a","status":"completed","token":1}"#),
                    archive: (r#"{"id":"a","status":"completed","token":2}"#, ""),
                    ..Case::default()
                },
                "token-lowered jobs[0]",
            ),
            (
                Case { archive: (A, r#"{"id":"a","status":"failed"}"#), ..Case::default() },
                "archive-rewritten jobs[0]",
            ),
            (Case { messages: (r#"{"id":"m","to":"all"}"#, ""), ..Case::default() }, "message-vanished -"),
            (
                Case {
                    messages: (r#"{"id":"m","to":"all"}"#, ""),
                    mail: ("", r#"{"id":"m","to":"all"}"#),
                    ..Case::default()
                },
                "",
            ),
            (Case { locks: (r#""x":{"token":3}"#, ""), ..Case::default() }, "lock-vanished -"),
        ] {
            assert_eq!(case.told(one), expected, "{:?} {:?} {:?}", case.jobs, case.archive, case.messages);
        }
    }

    #[test]
    fn a_merge_is_a_step_by_hand_of_as_many_as_it_brings() {
        assert_eq!(Made::by_merging(0).steps(), 1);
        assert_eq!(Made::by_merging(5).steps(), 5);
        assert!(Made::by_merging(5).by_hand() && Made::by_operations(0).by_hand());
        assert!(!Made::by_operations(2).by_hand());
    }

    #[test]
    fn where_a_record_of_the_archive_stood_is_told() {
        const AB: &str = r#"{"id":"a","n":1},{"id":"b"},{"id":"c"}"#;
        let case = Case { archive: (AB, r#"{"id":"a","n":1},{"id":"c"}"#), ..Case::default() };
        assert_eq!(case.told(Made::by_a_hand()), "archive-vanished jobs[1]");
        const ZABC: &str = r#"{"id":"z"},{"id":"a"},{"id":"b"},{"id":"c"}"#;
        let around = r#"{"id":"z"},{"id":"a","branch":"x"},{"id":"b"},{"id":"c","branch":"x"}"#;
        let case = Case { archive: (ZABC, around), ..case };
        assert_eq!(case.told(Made::by_a_hand()), "archive-rewritten jobs[1], archive-rewritten jobs[3]");
    }

    #[test]
    fn a_hand_takes_no_server_out() {
        const A: &str = r#"{"id":"a"}"#;
        const AB: &str = r#"{"id":"a"},{"id":"b"}"#;
        for (servers, made, expected) in [
            ((A, AB), Made::by_a_hand(), ""),
            ((AB, A), Made::by_a_hand(), "server-vanished -"),
            ((AB, A), Made::by_operations(1), ""),
            ((A, r#"{"id":"a","hostname":"x"}"#), Made::by_a_hand(), ""),
        ] {
            assert_eq!(Case { servers, ..Case::default() }.told(made), expected, "{servers:?} {made:?}");
        }
    }

    #[test]
    fn what_arrives_in_the_archive_came_there_by_legal_steps() {
        let gone = |archive| Case { jobs: (B, ""), archive: ("", archive), ..Case::default() };
        assert_eq!(gone(r#"{"id":"b","status":"cancelled"}"#).told(Made::by_operations(2)), "");
        assert_eq!(
            gone(r#"{"id":"b","status":"completed"}"#).told(Made::by_operations(1)),
            "illegal-step jobs[0]"
        );
        let mail = Case {
            messages: (r#"{"id":"m","to":"all","body":"x"}"#, ""),
            mail: ("", r#"{"id":"m","to":"all","body":"y"}"#),
            ..Case::default()
        };
        assert_eq!(mail.told(Made::by_operations(1)), "message-rewritten messages[0]");
    }

    #[test]
    fn an_id_that_comes_to_stand_twice_is_told_once_and_no_record_is_missed_for_it() {
        let one = Made::by_operations(1);
        for (before, after, expected) in [
            (A, r#"{"id":"a","status":"completed"},{"id":"a","status":"completed"}"#, "id-twice jobs[1]"),
            (
                AB,
                r#"{"id":"a","status":"completed"},{"id":"b","status":"queued"},{"id":"a","status":"queued"}"#,
                "id-twice jobs[2]",
            ),
            ("", r#"{"id":"c"},{"id":"c"}"#, "id-twice jobs[1]"),
            (B, r#"{"id":"b","status":"queued"},{"id":"b","status":"queued"}"#, "id-twice jobs[1]"),
            (
                AB,
                r#"{"id":"b","x":1},{"id":"a","status":"completed"},{"id":"b","status":"queued"}"#,
                "id-twice jobs[2]",
            ),
            // Both sides of a merge.
            (B, r#"{"id":"b","x":1},{"id":"b","x":2}"#, "id-twice jobs[1]"),
            // It stood twice before.
            (r#"{"id":"b"},{"id":"b"}"#, r#"{"id":"b","x":1},{"id":"b","x":2}"#, ""),
            (r#"{"id":"b"},{"id":"b"}"#, r#"{"id":"b","x":1},{"id":"b"},{"id":"b"}"#, "id-twice jobs[2]"),
            (r#"{"x":1}"#, r#"{"x":1},{"x":2}"#, "bad-id jobs[1]"),
            // The second of two goes; then the first.
            (r#"{"id":"a","status":"completed"},{"id":"a","status":"queued"}"#, A, ""),
            (r#"{"id":"b"},{"id":"a"},{"id":"c"},{"id":"a"}"#, r#"{"id":"b"},{"id":"c"},{"id":"a"}"#, ""),
        ] {
            let case = Case { jobs: (before, after), ..Case::default() };
            assert_eq!(case.told(one), expected, "{before} -> {after}");
        }
    }

    #[test]
    fn a_record_that_is_wrong_by_itself_is_told_with_the_commit_that_made_it_so() {
        let case = Case {
            jobs: (
                r#"{"id":"b","status":"claimed","token":1,"assigned_to":"x"}"#,
                r#"{"id":"b","status":"claimed","token":1}"#,
            ),
            ..Case::default()
        };
        assert_eq!(case.told(Made::by_a_hand()), "handed-over jobs[0], held-by-nobody jobs[0]");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_told_once_and_is_not_gone() {
        const BROKEN: &str = r#"{"id":"b","status":null}"#;
        let broken = |before, after| Case { jobs: (before, after), ..Case::default() };
        for made in [Made::by_operations(1), Made::by_a_hand()] {
            for (case, expected) in [
                (broken(B, BROKEN), "broken-record jobs[0]"),
                (broken(BROKEN, BROKEN), ""),
                (broken(BROKEN, r#"{"id":"b","status":null},null"#), "broken-record jobs[1]"),
                (Case { archive: (A, r#"{"id":"a","status":null}"#), ..Case::default() }, ""),
                (Case { servers: ("", "null"), ..Case::default() }, "broken-record servers[0]"),
            ] {
                assert_eq!(case.told(made), expected, "{:?} {:?} {made:?}", case.jobs, case.archive);
            }
        }
    }

    #[test]
    fn what_has_no_id_that_a_command_can_name_is_taken_out_by_operations_alone() {
        for (gone, made, expected) in [
            (r#"{"id":"x y","status":"queued"}"#, Made::by_operations(1), ""),
            (r#"{"id":"x y","status":"queued"}"#, Made::by_a_hand(), "job-vanished -"),
            (B, Made::by_operations(1), "job-vanished -"),
            (B, Made::by_a_hand(), "job-vanished -"),
        ] {
            assert_eq!(Case { jobs: (gone, ""), ..Case::default() }.told(made), expected, "{gone} {made:?}");
        }
    }
}
