//! What must hold in one state of a hub, whatever led to it.
//!
//! What [FORMATS.md] calls a variant that is read is no breach. An error is what a command would
//! refuse or misbehave over; a warning what it copes with otherwise than the writer meant.
//!
//! [FORMATS.md]: https://github.com/git-muster/git-muster/blob/main/docs/FORMATS.md

use super::finding::{Finding, Kind, Severity, named};
use super::job::call_off_and_retry;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::high_water::HighWater;
use crate::domain::hub::Marker;
use crate::domain::id::{JobId, LockName, MessageId, ServerName};
use crate::domain::job::{Job, JobStatus};
use crate::domain::json;
use crate::domain::lock::Lock;
use crate::domain::message::{EVERYBODY, Message};
use crate::domain::record::{Record, View};
use crate::domain::server::Server;
use crate::domain::shell::{quoted, typed};
use crate::domain::status::Status;
use crate::domain::table::{MEND, MEND_TOKEN, Row, Table, Trouble};
use std::collections::{HashMap, HashSet};

/// The live jobs and their archives.
#[must_use]
pub fn jobs(live: &Table<Job>, archives: &[Table<Job>]) -> Vec<Finding> {
    let mut found = table(live);
    for archive in archives {
        found.extend(table_without_rows(archive));
    }
    found.extend(archived_twice(live, archives));
    found.extend(needs(live, archives));
    found
}

/// The live messages and their archives.
#[must_use]
pub fn messages(live: &Table<Message>, archives: &[Table<Message>]) -> Vec<Finding> {
    let mut found = table(live);
    for archive in archives {
        found.extend(table_without_rows(archive));
    }
    found.extend(archived_twice(live, archives));
    let known: HashSet<&str> =
        live.rows().chain(archives.iter().flat_map(Table::rows)).map(|message| message.id.as_str()).collect();
    for (index, message) in live.rows().enumerate() {
        let named_there = [("answers", &message.reply_to), ("belongs to the thread of", &message.thread)];
        for (how, id) in named_there {
            if let Some(id) = id.as_deref().filter(|id| !known.contains(id)) {
                found.push(
                    Finding::new(
                        Kind::UnknownMessage,
                        format!("message {} {how} {}, which is nowhere", named(&message.id), named(id)),
                    )
                    .at(live.path())
                    .place(place::<Message>(live.position(index), &message.id)),
                );
            }
        }
    }
    found
}

/// The locks, and the highest tokens that they gave.
#[must_use]
pub fn locks(locks: &Table<Lock>, marks: &Table<HighWater>) -> Vec<Finding> {
    let mut found = table(locks);
    found.extend(broken_in(marks));
    found.extend(made_up(marks));
    for (index, lock) in locks.rows().enumerate() {
        let mark = marks.get(&lock.name).and_then(|mark| mark.token);
        if mark > lock.token {
            let what = format!(
                "lock {} has {} and gave token {} before",
                named(&lock.name),
                lock.token.map_or("no token".to_owned(), |token| format!("token {token}")),
                mark.unwrap_or_default()
            );
            found.push(
                Finding::new(Kind::TokenLowered, what)
                    .severity(Severity::Warning)
                    .at(locks.path())
                    .place(place::<Lock>(locks.position(index), &lock.name))
                    .hint("an older writer dropped it: whoever takes the lock next by git-muster gets a higher one again"),
            );
        }
    }
    found
}

/// The records of a table whose tokens were never given.
fn made_up<T: Row>(table: &Table<T>) -> Vec<Finding> {
    let impossible = |(_, trouble): (usize, Trouble)| {
        Finding::new(Kind::TokenImpossible, format!("{}: {}", named(&trouble.id), trouble.why))
            .at(&trouble.path)
            .place(trouble.place)
            .hint(MEND_TOKEN)
    };
    table.made_up().into_iter().map(impossible).collect()
}

/// The records of a table that cannot be read.
#[must_use]
pub fn broken_in<T: Row>(table: &Table<T>) -> Vec<Finding> {
    table.unreadables().into_iter().map(|(trouble, _)| broken(trouble)).collect()
}

/// The register of servers.
#[must_use]
pub fn servers(servers: &Table<Server>) -> Vec<Finding> {
    let mut found = table(servers);
    let mut spellings: HashMap<String, &str> = HashMap::new();
    for (index, server) in servers.rows().enumerate() {
        let first = *spellings.entry(server.id.to_lowercase()).or_insert(&server.id);
        if first != server.id {
            let what = format!(
                "servers {} and {} differ in upper and lower case only",
                named(first),
                named(&server.id)
            );
            found.push(
                Finding::new(Kind::NamesAlike, what)
                    .at(servers.path())
                    .place(place::<Server>(servers.position(index), &server.id))
                    .hint(
                        "some disks cannot tell their folders apart: let one of them join under another name",
                    ),
            );
        }
    }
    found
}

/// Jobs in the hands of servers that are not registered. A register without anybody is not used.
#[must_use]
pub fn holders(live: &Table<Job>, servers: &Table<Server>) -> Vec<Finding> {
    if servers.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, job) in live.rows().enumerate().filter(|(_, job)| job.status.is_held()) {
        let holder = job.assigned_to.as_deref().unwrap_or_default();
        // One that is no name at all is told with the job.
        if ServerName::new(holder).is_ok() && !servers.holds(holder) {
            let what = format!(
                "job {} is {} and held by {}, which is not registered",
                named(&job.id),
                job.status,
                named(holder)
            );
            let hint = format!(
                "unless that server joins and goes on, it is taken back when its time is over; at once: {}",
                call_off_and_retry(&job.id)
            );
            found.push(
                Finding::new(Kind::HeldByStranger, what)
                    .at(live.path())
                    .place(place::<Job>(live.position(index), &job.id))
                    .hint(hint),
            );
        }
    }
    found
}

/// A document that every hub has is not there.
#[must_use]
pub fn missing(path: &str) -> Finding {
    Finding::new(Kind::Missing, "it is not there, and read as empty").at(path).hint(format!(
        "if it was removed, put it back in a clone of the hub: `git log --diff-filter=D -- {0}` shows the commit, `git checkout COMMIT~1 -- {0}` brings it back, then commit and push; else the first record makes it",
        quoted(path)
    ))
}

/// The status in the folder of `server`.
#[must_use]
pub fn status(path: &str, server: &ServerName, status: &Record<Status>) -> Vec<Finding> {
    let mut found = layout(path, status);
    found.extend(other_server(path, server, status.server.as_deref()));
    found
}

/// A beat in the folder of `server`.
#[must_use]
pub fn heartbeat(path: &str, server: &ServerName, beat: &Record<Heartbeat>) -> Vec<Finding> {
    let mut found = layout(path, beat);
    found.extend(other_server(path, server, beat.server.as_deref().or(beat.server_id.as_deref())));
    found
}

/// A single document of a layout that is newer than ours.
#[must_use]
pub fn layout<T: View>(path: &str, record: &Record<T>) -> Vec<Finding> {
    let raw = record.raw();
    let newer = raw.get("version").and_then(|version| json::newer_layout(&version.to_string()));
    newer.map(|version| newer_layout(path, &version)).into_iter().collect()
}

/// What is wrong with the marker of a hub.
#[must_use]
pub fn marker(path: &str, marker: &Record<Marker>) -> Vec<Finding> {
    let mut found = layout(path, marker);
    if marker.id.is_empty() && found.is_empty() {
        found.push(
            Finding::new(Kind::BadId, "it has no id, by which every host knows the hub").at(path).hint(
                "`git muster import` gives it the id that the history shows; without one the next `join` or `init` does",
            ),
        );
    }
    found
}

fn newer_layout(path: &str, version: &str) -> Finding {
    let what =
        format!("it has layout version {}, which this git-muster reads and does not write", named(version));
    Finding::new(Kind::NewerLayout, what).at(path).hint("upgrade git-muster here")
}

fn other_server(path: &str, server: &ServerName, told: Option<&str>) -> Option<Finding> {
    let told = told.filter(|told| *told != server.as_str())?;
    let what = format!("it lies in the folder of `{server}` and names {}", named(told));
    Some(Finding::new(Kind::OtherServer, what).at(path).hint("the folder is what counts"))
}

/// What is wrong with a table as a whole and with each of its records.
fn table<T: Judged>(table: &Table<T>) -> Vec<Finding> {
    let mut found = table_without_rows(table);
    for (index, row) in table.rows().enumerate() {
        let mut broken = Vec::new();
        row.judge(&mut broken);
        let place = place::<T>(table.position(index), row.id());
        found.extend(broken.into_iter().map(|finding| finding.at(table.path()).place(place.clone())));
    }
    found
}

fn table_without_rows<T: Row>(table: &Table<T>) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        table.newer_layout().map(|version| newer_layout(table.path(), version)).into_iter().collect();
    found.extend(table.unreadables().into_iter().map(|(trouble, _)| broken(trouble)));
    found.extend(made_up(table));
    let mut seen = HashSet::new();
    for (index, row) in table.rows().enumerate() {
        if !row.id().is_empty() && !seen.insert(row.id()) {
            let finding = id_twice(table, index, row.id());
            // In an archive nobody acts on the second as if it were the first.
            let is_well = table.is_archive() && row.apart().is_some();
            found.push(if is_well { finding.severity(Severity::Note) } else { finding });
        }
    }
    found
}

/// A record that cannot be read.
pub(super) fn broken(trouble: Trouble) -> Finding {
    let id = if trouble.id.is_empty() { String::new() } else { format!("{}: ", named(&trouble.id)) };
    Finding::new(Kind::BrokenRecord, format!("{id}{}", trouble.why))
        .at(&trouble.path)
        .place(trouble.place)
        .hint(MEND)
}

/// The record at `index` has the id of one before it.
pub(super) fn id_twice<T: Row>(table: &Table<T>, index: usize, id: &str) -> Finding {
    Finding::new(Kind::IdTwice, format!("{} stands there twice", named(id)))
        .at(table.path())
        .place(place::<T>(table.position(index), id))
        .hint("the first counts: `git muster fsck --mend` gives a message or a queued job another id and sets all else aside")
}

/// Where a record stands, as errors of reading name it too.
pub(super) fn place<T: Row>(index: usize, id: &str) -> String {
    if T::BY_NAME {
        format!("{}.{}", T::FIELD, named(id).trim_matches('`'))
    } else {
        format!("{}[{index}]", T::FIELD)
    }
}

/// A record that can be judged by itself.
pub(super) trait Judged: Row {
    /// What is wrong with it.
    fn judge(&self, found: &mut Vec<Finding>);

    /// What is wrong with it that is an error.
    fn errors(&self, found: &mut Vec<Finding>) {
        let mut all = Vec::new();
        self.judge(&mut all);
        found.extend(all.into_iter().filter(|finding| finding.severity == Severity::Error));
    }
}

impl Judged for Job {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = JobId::new(&self.id) {
            let hint = "it can be neither claimed nor cancelled: give it another id";
            found.push(Finding::new(Kind::BadId, error.to_string()).hint(hint));
        }
        found.extend(unknown_status(self));
        if !self.status.is_held() {
            return;
        }
        let holder = self.assigned_to.as_deref().unwrap_or_default();
        if ServerName::new(holder).is_err() {
            let what = match holder {
                "" => format!("job {} is {} and nobody holds it", named(&self.id), self.status),
                other => {
                    format!(
                        "job {} is {} and held by {}, which is no server",
                        named(&self.id),
                        self.status,
                        named(other)
                    )
                }
            };
            found.push(
                Finding::new(Kind::HeldByNobody, what)
                    .hint(format!("nobody takes it back: {}", call_off_and_retry(&self.id))),
            );
        }
        if self.token.is_none() {
            let what = format!("job {} is {} without a token", named(&self.id), self.status);
            found.push(
                Finding::new(Kind::HeldWithoutToken, what)
                    .hint(format!("an older writer claimed it: nothing fences off its holder; if that is gone, `git muster job requeue {} --holder-lost --reason TEXT` gives the job back", typed(&self.id, "ID"))),
            );
        }
    }
}

impl Judged for Lock {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = LockName::new(&self.name) {
            let hint = "no command can name this lock";
            found.push(Finding::new(Kind::BadName, error.to_string()).hint(hint));
        }
        if self.is_held() && self.token.is_none() {
            let what = format!("lock {} is held without a token", named(&self.name));
            found.push(
                Finding::new(Kind::HeldWithoutToken, what)
                    .severity(Severity::Note)
                    .hint("an older writer took it: it is respected, and nothing fences off its holder"),
            );
        }
    }
}

impl Judged for Message {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = MessageId::new(&self.id) {
            let hint = "it can be read, and neither answered nor acknowledged by itself";
            found.push(Finding::new(Kind::BadId, error.to_string()).severity(Severity::Warning).hint(hint));
        }
        if !self.to.eq_ignore_ascii_case(EVERYBODY) && ServerName::new(&self.to).is_err() {
            let what = format!("message {} is for {}, which is no server", named(&self.id), named(&self.to));
            found.push(Finding::new(Kind::BadName, what).hint("nobody will read it"));
        }
    }
}

impl Judged for Server {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = ServerName::new(&self.id) {
            let hint = "it is passed over: nobody can join or send under that name";
            found.push(Finding::new(Kind::BadName, error.to_string()).hint(hint));
        }
    }
}

/// Records that are live and archived, or archived twice. Where an id may be that of several, another record
/// of that id is good to know, and no more: each went there by itself.
fn archived_twice<T: Row>(live: &Table<T>, archives: &[Table<T>]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut first_at: HashMap<&str, &str> = HashMap::new();
    let mut same_at: HashMap<(&str, Option<String>), &str> = HashMap::new();
    for table in std::iter::once(live).chain(archives) {
        for (index, row) in table.rows().enumerate().filter(|(_, row)| !row.id().is_empty()) {
            let first = *first_at.entry(row.id()).or_insert(table.path());
            let same = *same_at.entry((row.id(), row.apart())).or_insert(table.path());
            // Twice in one document is told as that.
            let (severity, what) = if same != table.path() {
                (Severity::Error, format!("{} is in `{same}` too", named(row.id())))
            } else if first != table.path() {
                (Severity::Note, format!("{} is the id of another in `{first}` too", named(row.id())))
            } else {
                continue;
            };
            found.push(
                Finding::new(Kind::LiveAndArchived, what)
                    .severity(severity)
                    .at(table.path())
                    .place(place::<T>(table.position(index), row.id()))
                    .hint(MEND_ARCHIVED),
            );
        }
    }
    found
}

/// What a person does about a record that is live and archived, or archived twice.
const MEND_ARCHIVED: &str = "the live one counts, and of archived ones that of the newest archive: `git muster fsck --mend` sets the others aside, and gives another message of that id one of its own";

fn call_off(id: &str) -> String {
    format!("call it off with `git muster job cancel {}`", typed(id, "ID"))
}

/// Needs that are never met.
fn needs(live: &Table<Job>, archives: &[Table<Job>]) -> Vec<Finding> {
    let first_of = first_of(live);
    let mut found = Vec::new();
    let circle = in_circle(live);
    let archived: HashSet<&str> = archives.iter().flat_map(Table::rows).map(|job| &*job.id).collect();
    for (index, job) in live.rows().enumerate().filter(|(_, job)| !job.status.is_final()) {
        let at =
            |finding: Finding| finding.at(live.path()).place(place::<Job>(live.position(index), &job.id));
        for need in job.all_needs().filter(|need| !first_of.contains_key(need)) {
            let whither = if archived.contains(need) { "is in the archive" } else { "is not there" };
            let what =
                format!("job {} needs {}, which {whither}, and waits in vain", named(&job.id), named(need));
            found.push(at(Finding::new(Kind::UnknownNeed, what).hint(call_off(&job.id))));
        }
        if circle.contains(job.id.as_str()) {
            found.push(at(in_a_circle(job)));
        }
    }
    found
}

/// The live jobs that nobody will claim as they stand, for a reason that only looking at all of them or at
/// the words of other writers tells: for those who watch.
#[must_use]
pub fn never_claimed(live: &Table<Job>) -> Vec<(&Job, Finding)> {
    let circle = in_circle(live);
    let open = live.rows().filter(|job| !job.status.is_final());
    open.filter_map(|job| {
        let finding =
            unknown_status(job).or_else(|| circle.contains(job.id.as_str()).then(|| in_a_circle(job)))?;
        Some((&**job, finding))
    })
    .collect()
}

fn unknown_status(job: &Job) -> Option<Finding> {
    let JobStatus::Other(word) = &job.status else { return None };
    let what = format!(
        "job {} is {}, which is no status of a job: it is shown and never acted on",
        named(&job.id),
        named(word)
    );
    Some(Finding::new(Kind::UnknownStatus, what).hint(call_off(&job.id)))
}

fn in_a_circle(job: &Job) -> Finding {
    let what = format!("job {} needs itself by way of its needs, and is never claimed", named(&job.id));
    Finding::new(Kind::NeedsInCircle, what)
        .hint(format!("one of the circle has to go: {}", call_off(&job.id)))
}

/// The first job of each id, which is the one that is meant by it.
fn first_of(live: &Table<Job>) -> HashMap<&str, &Job> {
    let mut first_of: HashMap<&str, &Job> = HashMap::new();
    for job in live.rows() {
        first_of.entry(&job.id).or_insert(job);
    }
    first_of
}

/// The unfinished jobs that need themselves: what is left when all that need none of the others
/// are taken out, again and again, and then all that nothing needs.
fn in_circle(live: &Table<Job>) -> HashSet<&str> {
    let first_of = first_of(live);
    let open = |job: &&Job| !job.status.is_final();
    let mut left: HashMap<&str, Vec<&str>> = HashMap::new();
    for job in live.rows().map(|job| &**job).filter(open) {
        let needs = job.all_needs().filter(|need| first_of.get(need).is_some_and(open)).collect();
        left.entry(&job.id).or_insert(needs);
    }
    for _ in 0..2 {
        let mut waiting: HashMap<&str, usize> = left.iter().map(|(id, needs)| (*id, needs.len())).collect();
        let mut needed_by: HashMap<&str, Vec<&str>> = HashMap::new();
        for (id, needs) in &left {
            for need in needs {
                needed_by.entry(need).or_default().push(id);
            }
        }
        let mut free: Vec<&str> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        while let Some(id) = free.pop() {
            left.remove(id);
            for dependent in needed_by.remove(id).unwrap_or_default() {
                if let Some(count) = waiting.get_mut(dependent) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(dependent);
                    }
                }
            }
        }
        // The other way round: who needs becomes who is needed.
        let mut turned: HashMap<&str, Vec<&str>> = left.keys().map(|id| (*id, Vec::new())).collect();
        for (id, needs) in &left {
            for need in needs {
                if let Some(needed_by) = turned.get_mut(need) {
                    needed_by.push(id);
                }
            }
        }
        left = turned;
    }
    left.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lease::TOKEN_MAX;

    fn read<T: Row>(rows: &str) -> Table<T> {
        let (open, close) = if T::BY_NAME { ('{', '}') } else { ('[', ']') };
        let text = format!("{{\"{}\":{open}{rows}{close}}}", T::FIELD);
        Table::read(T::PATH, text.as_bytes()).expect(rows)
    }

    fn archive<T: Row>(name: &str, rows: &str) -> Table<T> {
        let text = format!("{{\"{}\":[{rows}]}}", T::FIELD);
        Table::read(&format!("coordination/archive/{name}.json"), text.as_bytes()).expect(rows)
    }

    fn told(found: &[Finding]) -> String {
        let told: Vec<String> = found
            .iter()
            .map(|one| {
                format!("{} {} {}", one.severity.as_str(), one.kind, one.place.as_deref().unwrap_or("-"))
            })
            .collect();
        told.join(", ")
    }

    #[test]
    fn what_must_hold_of_the_jobs_of_a_hub() {
        for (rows, expected) in [
            (r#"{"id":"a","status":"queued"}"#, ""),
            (r#"{"id":"a","status":"success"},{"id":"b","priority":"high","status":"pending"}"#, ""),
            (r#"{"id":"a","status":"running","assigned_to":"build1","token":1}"#, ""),
            (r#"{"id":"a","status":"queued","needs":["b"]},{"id":"b","status":"failed"}"#, ""),
            (r#"{"id":"a","status":"completed","needs":["gone"]}"#, ""),
            (r#"{"status":"queued"}"#, "error bad-id jobs[0]"),
            (r#"{"id":"../x"}"#, "error bad-id jobs[0]"),
            (r#"{"id":"a"},{"id":"b"},{"id":"a"}"#, "error id-twice jobs[2]"),
            (r#"{"id":"a","status":"frobbed"}"#, "warning unknown-status jobs[0]"),
            (r#"{"id":"a","status":"running","token":1}"#, "error held-by-nobody jobs[0]"),
            (
                r#"{"id":"a","status":"running","assigned_to":"a b","token":1}"#,
                "error held-by-nobody jobs[0]",
            ),
            (
                r#"{"id":"a","status":"building","assigned_to":"build1"}"#,
                "warning held-without-token jobs[0]",
            ),
            (r#"{"id":"a","needs":["gone"]}"#, "warning unknown-need jobs[0]"),
            (r#"{"id":"a","dependencies":"gone"}"#, "warning unknown-need jobs[0]"),
            (
                r#"{"id":"a","needs":["old"]}"#,
                "error live-and-archived jobs[0], warning unknown-need jobs[0]",
            ),
            (r#"{"id":"a","needs":["a"]}"#, "warning needs-in-circle jobs[0]"),
            (
                r#"{"id":"a","needs":["b","c"]},{"id":"b","needs":["c"]},{"id":"c","needs":["d"]},{"id":"d","needs":["e"]},{"id":"e"}"#,
                "",
            ),
            (
                r#"{"id":"x","needs":["a"]},{"id":"a","needs":["b"]},{"id":"b","needs":["a","c"]},{"id":"c"}"#,
                "warning needs-in-circle jobs[1], warning needs-in-circle jobs[2]",
            ),
        ] {
            let archives = if rows.contains("\"old\"") {
                vec![archive("jobs-2025-10", r#"{"id":"old"}"#), archive("jobs-2025-11", r#"{"id":"old"}"#)]
            } else {
                Vec::new()
            };
            assert_eq!(told(&jobs(&read(rows), &archives)), expected, "{rows}");
        }
        for (need, hint) in [
            ("gone", "call it off with `git muster job cancel a`"),
            ("a", "one of the circle has to go: call it off with `git muster job cancel a`"),
        ] {
            let found = jobs(&read(&format!(r#"{{"id":"a","needs":["{need}"]}}"#)), &[]);
            assert_eq!(found[0].hint.as_deref(), Some(hint));
        }
        let newer = Table::read(Job::PATH, br#"{"version":2,"jobs":[]}"#).expect("reads");
        assert_eq!(told(&jobs(&newer, &[])), "warning newer-layout -");
    }

    #[test]
    fn a_record_is_live_or_archived() {
        let live = read(r#"{"id":"a"}"#);
        let archives = [
            archive("jobs-2025-10", r#"{"id":"b"},{"id":"a"}"#),
            archive("jobs-2025-11", r#"{"id":"b"},{"id":"b"}"#),
        ];
        let found = jobs(&live, &archives);
        assert_eq!(
            told(&found),
            "error id-twice jobs[1], error live-and-archived jobs[1], error live-and-archived jobs[0], error live-and-archived jobs[1]"
        );
        assert!(found.iter().all(|finding| finding.path.as_deref() != Some(Job::PATH)), "{found:?}");
    }

    #[test]
    fn messages_of_one_id_are_good_to_know_in_archives_and_one_in_two_documents_is_an_error() {
        const M1: &str = r#"{"id":"m","to":"all","body":"1"}"#;
        const M2: &str = r#"{"id":"m","to":"all","body":"2"}"#;
        const M1_READ: &str = r#"{"id":"m","to":"all","body":"1","read":true}"#;
        for (live, archived, expected) in [
            ("", format!("{M1},{M2}"), "note id-twice messages[1]"),
            ("", format!("{M1},{M1_READ}"), "note id-twice messages[1]"),
            (M2, M1.to_owned(), "note live-and-archived messages[0]"),
            (M1_READ, M1.to_owned(), "error live-and-archived messages[0]"),
        ] {
            let archives = [archive("messages-2025-10", &archived)];
            assert_eq!(told(&messages(&read(live), &archives)), expected, "{live} {archived}");
        }
        let archives = [archive("messages-2025-10", M1), archive("messages-2025-11", &format!("{M2},{M1}"))];
        assert_eq!(
            told(&messages(&read(""), &archives)),
            "note id-twice messages[1], note live-and-archived messages[0], error live-and-archived messages[1]"
        );
    }

    #[test]
    fn what_must_hold_of_messages_locks_and_servers() {
        for (rows, expected) in [
            (
                r#"{"id":"a","from":"x","to":"build1"},{"id":"b","to":"ALL","reply_to":"a","thread":"old"}"#,
                "",
            ),
            (r#"{"to":"build1"}"#, "warning bad-id messages[0]"),
            (r#"{"id":"a","to":""}"#, "warning bad-name messages[0]"),
            (r#"{"id":"a","to":"all"},{"id":"a","to":"all"}"#, "error id-twice messages[1]"),
            (r#"{"id":"a","to":"all","reply_to":"gone"}"#, "note unknown-message messages[0]"),
            (r#"{"id":"a","to":"all","thread":"gone"}"#, "note unknown-message messages[0]"),
        ] {
            let archives = [archive("messages-2025-10", r#"{"id":"old"}"#)];
            assert_eq!(told(&messages(&read(rows), &archives)), expected, "{rows}");
        }
        for (rows, expected) in [
            (r#""deploy/eu":{"locked_by":"a","token":1},"free":{}"#, ""),
            (r#""a b":{}"#, "warning bad-name locks.a b"),
            (r#""x":{"locked_by":"a"}"#, "note held-without-token locks.x"),
        ] {
            assert_eq!(told(&locks(&read(rows), &read(""))), expected, "{rows}");
        }
        for (rows, expected) in [
            (r#""x":{"token":3}"#, ""),
            (r#""x":{"token":4}"#, ""),
            (r#""x":{"token":2}"#, "warning token-lowered locks.x"),
            (r#""x":{"locked_by":null}"#, "warning token-lowered locks.x"),
            (r#""y":{"locked_by":null},"x":null"#, "error broken-record locks.x"),
        ] {
            assert_eq!(told(&locks(&read(rows), &read(r#""x":{"token":3}"#))), expected, "{rows}");
        }
        for (marks, expected) in [
            (r#""x":null"#.to_owned(), "error broken-record tokens.x"),
            (
                format!(r#""x":{{"token":{TOKEN_MAX}}}"#),
                "error token-impossible tokens.x, warning token-lowered locks.x",
            ),
        ] {
            assert_eq!(told(&locks(&read(r#""x":{"token":3}"#), &read(&marks))), expected, "{marks}");
        }
        let lock = format!(r#""x":{{"token":{TOKEN_MAX}}}"#);
        assert_eq!(told(&locks(&read(&lock), &read(""))), "error token-impossible locks.x");
        for (rows, expected) in [
            (r#"{"id":"build1"},{"id":"build2"}"#, ""),
            (r#"{"id":"docs"}"#, "warning bad-name servers[0]"),
            (r#"{"id":"build1"},{"id":"Build1"}"#, "warning names-alike servers[1]"),
            (r#"{"id":"build1"},{"id":"build1"}"#, "error id-twice servers[1]"),
        ] {
            assert_eq!(told(&servers(&read(rows))), expected, "{rows}");
        }
    }

    #[test]
    fn who_holds_a_job_is_registered() {
        const HELD: &str = r#"{"id":"q"},{"id":"a","status":"running","assigned_to":"build1","token":1}"#;
        for (jobs, servers, expected) in [
            (HELD, r#"{"id":"build1"}"#, ""),
            (HELD, "", ""),
            (HELD, r#"{"id":"build2"}"#, "warning held-by-stranger jobs[1]"),
            (r#"{"id":"a","status":"running","assigned_to":"a b"}"#, r#"{"id":"build2"}"#, ""),
            (r#"{"id":"a","status":"failed","assigned_to":"build1"}"#, r#"{"id":"build2"}"#, ""),
        ] {
            assert_eq!(told(&holders(&read(jobs), &read(servers))), expected, "{jobs} {servers}");
        }
    }

    #[test]
    fn a_document_in_a_servers_folder_names_that_server() {
        let server = ServerName::new("build1").expect("a name");
        for (text, expected) in [
            (r#"{"server":"build1"}"#, ""),
            ("{}", ""),
            (r#"{"server":"build2"}"#, "note other-server -"),
            (r#"{"server":"build1","version":"2.0"}"#, "warning newer-layout -"),
        ] {
            let beat = Record::<Heartbeat>::read("p", "", text, 0).expect(text);
            assert_eq!(told(&heartbeat("p", &server, &beat)), expected, "{text}");
            let its = Record::<Status>::read("p", "", text, 0).expect(text);
            assert_eq!(told(&status("p", &server, &its)), expected, "{text}");
        }
    }
}
