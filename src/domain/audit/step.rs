//! One commit: a table before it and after it, and what is wrong with the way between them.

use super::audited::Audited;
use super::made::Made;
use super::state;
use crate::domain::finding::{About, Finding, HubFact, Severity, Thing};
use crate::domain::record::Record;
use crate::domain::table::{BrokenRecord, RecordRun, Row, Table};
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

/// The rules that one commit broke in a table; `archives` are those of it that the commit changed, each
/// empty before it was there.
#[must_use]
pub fn judge_step<T: Audited>(change: Change<'_, T>, archives: &[Change<'_, T>], made: Made) -> Vec<Finding> {
    let mut found = Vec::new();
    let crossed = Crossed::of(archives, change.after, &mut found);
    let rows = Rows::of(change, &crossed);
    rows.judge(made, &mut found);
    rows.gone(made, &mut found);
    found
}

/// The records of a table that a commit touched.
struct Rows<'a, T> {
    change: Change<'a, T>,
    /// Where in the tables they begin.
    first: usize,
    before: RecordRun<'a, T>,
    after: RecordRun<'a, T>,
    /// Those before, by id; of two with one id the first counts.
    known: HashMap<&'a str, &'a Record<T>>,
    /// What the same commit moved to the archives and back.
    crossed: &'a Crossed<'a, T>,
}

impl<'a, T: Audited> Rows<'a, T> {
    fn of(change: Change<'a, T>, crossed: &'a Crossed<'a, T>) -> Self {
        let (first, before, after) = if std::ptr::eq(change.before, change.after) {
            (0, RecordRun::default(), RecordRun::default())
        } else {
            change.before.differing(change.after)
        };
        Self { change, first, before, after, known: by_id(before), crossed }
    }

    /// Judges every record that is new or differs by what it was before, also where it went to the
    /// archive.
    fn judge(&self, made: Made, found: &mut Vec<Finding>) {
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
            T::judge_step(before.map(|before| &***before), row, made, &mut broken);
            broken.extend(errors(&***row));
            self.tell(index, row.id(), broken, found);
        }
        for (index, row) in (self.first..).zip(self.before) {
            let first = self.known.get(row.id()).filter(|first| std::ptr::eq(**first, row.as_ref()));
            if let (Some(before), Some(archived)) = (first, self.crossed.archived.get(row.id())) {
                let mut broken = Vec::new();
                T::judge_step(Some(before), archived, made, &mut broken);
                self.tell(index, row.id(), broken, found);
            }
        }
        self.tell_doubles(&doubles, found);
        self.tell_broken(found);
    }

    /// Tells of each record that cannot be read and did not stand there before.
    fn tell_broken(&self, found: &mut Vec<Finding>) {
        let known: HashSet<&str> = self.change.before.broken().map(BrokenRecord::text).collect();
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

    /// Judges the loss of every record that is gone and did not go to the archive.
    fn gone(&self, made: Made, found: &mut Vec<Finding>) {
        let stays: HashSet<&str> = self.after.iter().map(|row| row.id()).collect();
        // What cannot be read is there all the same; what had no id is set aside by us alone.
        let is_there = |row: &T| {
            self.change.after.unreadable(row.id()).is_some()
                || (!made.by_hand() && row.id_problem().is_some())
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
                T::judge_gone(row, made, &mut broken);
                // Where it stood, there stands another now.
                found.extend(broken.into_iter().map(|one| one.at(self.change.after.path())));
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
        found.extend(broken.into_iter().map(|one| one.at(path).place(state::place::<T>(index, id))));
    }
}

/// What is wrong with a record by itself that is an error.
fn errors<T: Audited>(row: &T) -> impl Iterator<Item = Finding> {
    let mut all = Vec::new();
    row.judge(&mut all);
    all.into_iter().filter(|finding| finding.severity == Severity::Error)
}

fn by_id<'a, T: Row>(rows: RecordRun<'a, T>) -> HashMap<&'a str, &'a Record<T>> {
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
                let fact = match present.remove(row.id()) {
                    None if change.after.unreadable(row.id()).is_some() => continue,
                    None if live.get(row.id()).is_some() => {
                        crossed.back.insert(row.id(), row);
                        continue;
                    }
                    None => HubFact::ArchiveVanished,
                    Some(now) if **now != ***row => HubFact::ArchiveRewritten,
                    Some(_) => continue,
                };
                let place = state::place::<T>(first + index, row.id());
                let finding = Finding::new(fact, About::new(Thing::Record, row.id()));
                found.push(finding.at(change.before.path()).place(place));
            }
            crossed.archived.extend(present);
        }
        crossed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;
    use crate::domain::lock::Lock;
    use crate::domain::message::Message;
    use crate::domain::server::Server;

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
            let jobs = (table::<Job>(Job::PATH, self.jobs.0), table(Job::PATH, self.jobs.1));
            let locks = (table::<Lock>(Lock::PATH, self.locks.0), table(Lock::PATH, self.locks.1));
            let messages =
                (table::<Message>(Message::PATH, self.messages.0), table(Message::PATH, self.messages.1));
            let archive = (table::<Job>(ARCHIVE, self.archive.0), table(ARCHIVE, self.archive.1));
            let mail = (table::<Message>("mail", self.mail.0), table("mail", self.mail.1));
            let servers =
                (table::<Server>(Server::PATH, self.servers.0), table(Server::PATH, self.servers.1));
            let of = |one: &Finding| format!("{} {}", one.code(), one.about.place.as_deref().unwrap_or("-"));
            let archive = [Change { before: &archive.0, after: &archive.1 }];
            let mail = [Change { before: &mail.0, after: &mail.1 }];
            let told = [
                judge_step(Change { before: &jobs.0, after: &jobs.1 }, &archive, made),
                judge_step(Change { before: &messages.0, after: &messages.1 }, &mail, made),
                judge_step(Change { before: &locks.0, after: &locks.1 }, &[], made),
                judge_step(Change { before: &servers.0, after: &servers.1 }, &[], made),
            ];
            told.concat().iter().map(of).collect::<Vec<_>>().join(", ")
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
