//! What must hold in one state of a hub, whatever led to it.
//!
//! What [FORMATS.md] calls a variant that is read is no breach. An error is what a command would
//! refuse or misbehave over; a warning what it copes with otherwise than the writer meant.
//!
//! [FORMATS.md]: https://github.com/git-muster/git-muster/blob/main/docs/FORMATS.md

use super::audited::Audited;
use crate::domain::finding::{About, Finding, HubFact, Severity, Thing};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::high_water::HighWater;
use crate::domain::hub::Marker;
use crate::domain::id::ServerName;
use crate::domain::job::Job;
use crate::domain::json;
use crate::domain::lock::Lock;
use crate::domain::record::{Record, View};
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::table::{RecordTrouble, Row, Table};
use std::collections::{HashMap, HashSet};

/// A live table and its archives.
#[must_use]
pub fn table<T: Audited>(live: &Table<T>, archives: &[Table<T>]) -> Vec<Finding> {
    let mut found = table_without_rows(live);
    for (index, row) in live.rows().enumerate() {
        let mut broken = Vec::new();
        row.judge(&mut broken);
        let place = place::<T>(live.position(index), row.id());
        found.extend(broken.into_iter().map(|finding| finding.at(live.path()).place(place.clone())));
    }
    for archive in archives {
        found.extend(table_without_rows(archive));
    }
    if T::HAS_ARCHIVES {
        found.extend(archived_twice(live, archives));
    }
    T::judge_all(live, archives, &mut found);
    found
}

/// Locks of which the registry of tokens knows a higher one.
#[must_use]
pub fn lowered(locks: &Table<Lock>, marks: &Table<HighWater>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, lock) in locks.rows().enumerate() {
        let mark = marks.get(&lock.name).and_then(|mark| mark.token);
        if mark > lock.token {
            let fact = HubFact::TokenForgotten { token: lock.token, last_token: mark.unwrap_or_default() };
            let lowered = Finding::new(fact, About::new(Thing::Lock, &lock.name)).severity(Severity::Warning);
            found.push(lowered.at(locks.path()).place(place::<Lock>(locks.position(index), &lock.name)));
        }
    }
    found
}

/// The records of a table whose tokens were never given.
fn made_up<T: Row>(table: &Table<T>) -> Vec<Finding> {
    let impossible = |(_, trouble): (usize, RecordTrouble)| {
        let fact = HubFact::TokenImpossible { problem: trouble.why };
        let finding = Finding::new(fact, About::new(Thing::Record, &trouble.id));
        finding.at(&trouble.path).place(trouble.place)
    };
    table.made_up().into_iter().map(impossible).collect()
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
            let fact = HubFact::HeldByStranger { status: job.status.clone(), holder: holder.to_owned() };
            let finding = Finding::new(fact, About::new(Thing::Job, &job.id));
            found.push(finding.at(live.path()).place(place::<Job>(live.position(index), &job.id)));
        }
    }
    found
}

/// A document that every hub has is not there.
#[must_use]
pub fn missing(path: &str) -> Finding {
    of_document(path, HubFact::Missing)
}

fn of_document(path: &str, fact: HubFact) -> Finding {
    Finding::new(fact, About::new(Thing::Document, path)).at(path)
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
        found.push(of_document(path, HubFact::MarkerWithoutId));
    }
    found
}

fn newer_layout(path: &str, version: &str) -> Finding {
    of_document(path, HubFact::NewerLayout { version: version.to_owned() })
}

fn other_server(path: &str, server: &ServerName, told: Option<&str>) -> Option<Finding> {
    let named = told.filter(|told| *told != server.as_str())?.to_owned();
    Some(of_document(path, HubFact::OtherServer { server: server.to_string(), named }))
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
pub(super) fn broken(trouble: RecordTrouble) -> Finding {
    let fact = HubFact::BrokenRecord { problem: trouble.why };
    Finding::new(fact, About::new(Thing::Record, &trouble.id)).at(&trouble.path).place(trouble.place)
}

/// The record at `index` has the id of one before it.
pub(super) fn id_twice<T: Row>(table: &Table<T>, index: usize, id: &str) -> Finding {
    let finding = Finding::new(HubFact::IdTwice, About::new(Thing::Record, id));
    finding.at(table.path()).place(place::<T>(table.position(index), id))
}

/// Where a record stands, as errors of reading name it too.
pub(super) fn place<T: Row>(index: usize, id: &str) -> String {
    if T::BY_NAME { format!("{}.{}", T::FIELD, shortened(id)) } else { format!("{}[{index}]", T::FIELD) }
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
            let (severity, other) = if same != table.path() {
                (Severity::Error, same)
            } else if first != table.path() {
                (Severity::Note, first)
            } else {
                continue;
            };
            let fact =
                HubFact::LiveAndArchived { other: other.to_owned(), is_same: severity == Severity::Error };
            let finding = Finding::new(fact, About::new(Thing::Record, row.id())).severity(severity);
            found.push(finding.at(table.path()).place(place::<T>(table.position(index), row.id())));
        }
    }
    found
}

/// How much of a name from a hub a place repeats, in characters.
const NAME_LENGTH_MAX: usize = 80;

/// A name that is not endless.
fn shortened(name: &str) -> String {
    let mut shown: String = name.chars().take(NAME_LENGTH_MAX).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown.trim_matches('`').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::tests::word;
    use crate::domain::lease::TOKEN_MAX;
    use crate::domain::message::Message;

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
                format!("{} {} {}", word(one.severity), one.code(), one.about.place.as_deref().unwrap_or("-"))
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
            assert_eq!(told(&table::<Job>(&read(rows), &archives)), expected, "{rows}");
        }
        let newer = Table::read(Job::PATH, br#"{"version":2,"jobs":[]}"#).expect("reads");
        assert_eq!(told(&table::<Job>(&newer, &[])), "warning newer-layout -");
    }

    #[test]
    fn a_record_is_live_or_archived() {
        let live = read(r#"{"id":"a"}"#);
        let archives = [
            archive("jobs-2025-10", r#"{"id":"b"},{"id":"a"}"#),
            archive("jobs-2025-11", r#"{"id":"b"},{"id":"b"}"#),
        ];
        let found = table::<Job>(&live, &archives);
        assert_eq!(
            told(&found),
            "error id-twice jobs[1], error live-and-archived jobs[1], error live-and-archived jobs[0], error live-and-archived jobs[1]"
        );
        assert!(found.iter().all(|finding| finding.about.path.as_deref() != Some(Job::PATH)), "{found:?}");
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
            assert_eq!(told(&table::<Message>(&read(live), &archives)), expected, "{live} {archived}");
        }
        let archives = [archive("messages-2025-10", M1), archive("messages-2025-11", &format!("{M2},{M1}"))];
        assert_eq!(
            told(&table::<Message>(&read(""), &archives)),
            "note id-twice messages[1], note live-and-archived messages[0], error live-and-archived messages[1]"
        );
    }

    #[test]
    fn what_must_hold_of_messages_locks_and_servers() {
        let locks = |locks: &str, marks: &str| {
            let (locks, marks) = (read(locks), read(marks));
            let found =
                [table::<Lock>(&locks, &[]), table::<HighWater>(&marks, &[]), lowered(&locks, &marks)];
            told(&found.concat())
        };
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
            assert_eq!(told(&table::<Message>(&read(rows), &archives)), expected, "{rows}");
        }
        for (rows, expected) in [
            (r#""deploy/eu":{"locked_by":"a","token":1},"free":{}"#, ""),
            (r#""a b":{}"#, "warning bad-name locks.a b"),
            (r#""x":{"locked_by":"a"}"#, "note held-without-token locks.x"),
        ] {
            assert_eq!(told(&table::<Lock>(&read(rows), &[])), expected, "{rows}");
        }
        for (rows, expected) in [
            (r#""x":{"token":3}"#, ""),
            (r#""x":{"token":4}"#, ""),
            (r#""x":{"token":2}"#, "warning token-lowered locks.x"),
            (r#""x":{"locked_by":null}"#, "warning token-lowered locks.x"),
            (r#""y":{"locked_by":null},"x":null"#, "error broken-record locks.x"),
        ] {
            assert_eq!(locks(rows, r#""x":{"token":3}"#), expected, "{rows}");
        }
        for (marks, expected) in [
            (r#""x":null"#.to_owned(), "error broken-record tokens.x"),
            (
                format!(r#""x":{{"token":{TOKEN_MAX}}}"#),
                "error token-impossible tokens.x, warning token-lowered locks.x",
            ),
        ] {
            assert_eq!(locks(r#""x":{"token":3}"#, &marks), expected, "{marks}");
        }
        let lock = format!(r#""x":{{"token":{TOKEN_MAX}}}"#);
        assert_eq!(told(&table::<Lock>(&read(&lock), &[])), "error token-impossible locks.x");
        for (rows, expected) in [
            (r#"{"id":"build1"},{"id":"build2"}"#, ""),
            (r#"{"id":"docs"}"#, "warning bad-name servers[0]"),
            (r#"{"id":"build1"},{"id":"Build1"}"#, "warning names-alike servers[1]"),
            (r#"{"id":"build1"},{"id":"build1"}"#, "error id-twice servers[1]"),
        ] {
            assert_eq!(told(&table::<Server>(&read(rows), &[])), expected, "{rows}");
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
