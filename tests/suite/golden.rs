//! What a command was not to change is, byte for byte, what it was.
//!
//! The hub in `tests/golden/hub` holds what real hubs hold: unknown fields at every depth (`x_...`),
//! odd orders of keys, odd spellings of numbers, `\u` escapes, a byte order mark, missing fields and
//! every known shape of a time. Each writing command runs on it; the case says which fields of
//! which records it may change, and everything else is compared with the text before.

use crate::support::{Fleet, Host, Hub, MAIN, inspect};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

const JOBS: &str = "coordination/jobs.json";
const LOCKS: &str = "coordination/locks.json";
const TOKENS: &str = "coordination/tokens.json";
const MESSAGES: &str = "coordination/messages.json";
const SERVERS: &str = "coordination/servers.json";

/// The documents that hold records, and under which key.
const TABLES: [(&str, &str); 4] =
    [(JOBS, "jobs"), (LOCKS, "locks"), (MESSAGES, "messages"), (SERVERS, "servers")];

const TAKEN: &str = "locked_by locked_at expires_at token lease_seconds renewal holder reason";
const FREED: &str = "locked_by locked_at expires_at renewal renewed_at holder reason released_by done_at";
const REPORTED: &str = "status completed_at exit_code duration_seconds artifacts error_message reason";
const REQUEUED: &str = "status assigned_to started_at completed_at attempts not_before reason error_message exit_code duration_seconds artifacts";
const CLAIMED: &str = "status assigned_to started_at attempts token incarnation";
const WORKING: &str = "status timestamp current_job last_build";
const BEAT: &str =
    "server timestamp uptime_seconds healthy sequence incarnation interval_seconds running system origins";

/// A document, a record of it (empty: the document is one record) and the fields that may change.
type Change = (&'static str, &'static str, &'static str);

/// One command and all that it may do.
struct Case {
    line: &'static str,
    changes: &'static [Change],
    /// Documents that may get one more record, or come into being.
    adds: &'static [&'static str],
    /// Records that may go.
    removes: &'static [(&'static str, &'static str)],
}

const fn case(line: &'static str, changes: &'static [Change]) -> Case {
    Case { line, changes, adds: &[], removes: &[] }
}

const CASES: &[Case] = &[
    case(
        "--server build1 job claim",
        &[
            (JOBS, "job_1761781030", CLAIMED),
            (LOCKS, "job_assignment", "token lease_seconds renewed_at"),
            ("build1/status.json", "", WORKING),
        ],
    ),
    case(
        "--server build1 job complete job_1761778190_1804 --token 3 --exit-code 0 --artifact b.deb",
        &[(JOBS, "job_1761778190_1804", REPORTED), ("build1/status.json", "", WORKING)],
    ),
    case(
        "--server build2 job fail job_1761778190_1806 --token 7 --reason timeout --message late",
        &[(JOBS, "job_1761778190_1806", REQUEUED), ("build2/status.json", "", WORKING)],
    ),
    case(
        "--server build2 job release job_1761778190_1806 --token 7",
        &[(JOBS, "job_1761778190_1806", REQUEUED), ("build2/status.json", "", WORKING)],
    ),
    case(
        "--server build3 job cancel job_1761778190_1806 --reason no",
        &[(JOBS, "job_1761778190_1806", REPORTED), ("build2/status.json", "", WORKING)],
    ),
    case("--server build3 job retry job_1761778190_1807", &[(JOBS, "job_1761778190_1807", REQUEUED)]),
    case(
        "--server build3 job priority job_1761778190_1805 critical",
        &[(JOBS, "job_1761778190_1805", "priority")],
    ),
    Case { adds: &[JOBS], ..case("--server build3 job add --needs job_1761781030 -- true", &[]) },
    Case { adds: &[LOCKS, TOKENS], ..case("--server build3 lock acquire nightly", &[]) },
    Case {
        adds: &[TOKENS],
        ..case("--server build3 lock acquire config_update", &[(LOCKS, "config_update", TAKEN)])
    },
    Case {
        adds: &[TOKENS],
        ..case("--server build3 lock acquire message_queue --reason x", &[(LOCKS, "message_queue", TAKEN)])
    },
    case(
        "--server build2 lock renew deploy --token 4 --ttl 5m",
        &[(LOCKS, "deploy", "expires_at lease_seconds renewal renewed_at")],
    ),
    case("--server build2 lock release deploy --token 4", &[(LOCKS, "deploy", FREED)]),
    Case {
        adds: &[TOKENS],
        ..case("--server build3 lock steal deploy --reason test --force", &[(LOCKS, "deploy", TAKEN)])
    },
    case("--server build2 once done deploy --token 4", &[(LOCKS, "deploy", FREED)]),
    Case { adds: &[MESSAGES], ..case("--server build3 message send --to all --subject x", &[]) },
    Case {
        adds: &[MESSAGES],
        ..case("--server build2 message send --to build1 --subject x --reply-to msg_1761751875_2531", &[])
    },
    case(
        "--server build2 message read msg_1761751875_2531",
        &[(MESSAGES, "msg_1761751875_2531", "read read_by")],
    ),
    case(
        "--server build2 message ack msg_20251113_0100_1234",
        &[(MESSAGES, "msg_20251113_0100_1234", "read read_by acknowledged_by ack_status")],
    ),
    case(
        "--server build1 message read",
        &[
            (MESSAGES, "msg_1763010491_7571", "read read_by"),
            (MESSAGES, "msg_vnf_progress_20251104_001", "read read_by"),
        ],
    ),
    case("--server build2 status set idle", &[("build2/status.json", "", "status timestamp system ip")]),
    case(
        "--server build1 status set building --job job_1761778190_1804",
        &[("build1/status.json", "", "status timestamp system")],
    ),
    case(
        "--server build1 status set failed",
        &[("build1/status.json", "", "status timestamp system current_job")],
    ),
    case("--server build2 heartbeat", &[]),
    case("--server build2 heartbeat --on-main", &[("build2/heartbeat.json", "", BEAT)]),
    case("--server code2 heartbeat --on-main", &[("code2/heartbeat.json", "", BEAT)]),
    Case {
        adds: &["build3/heartbeat.json", "coordination/hub.json"],
        ..case("join --as build3 --label gpu", &[(SERVERS, "build3", "host machine labels")])
    },
    Case {
        adds: &["coordination/hub.json"],
        ..case("join --as build2 --manager Copilot", &[(SERVERS, "build2", "host machine manager")])
    },
    Case {
        adds: &["code2/status.json"],
        removes: &[(SERVERS, "code2")],
        ..case("--server build1 servers remove code2", &[])
    },
    Case {
        adds: &["coordination/archive/jobs-2025-11.json"],
        removes: &[(JOBS, "job_1761778190_1807")],
        ..case("--server build3 archive --older-than 0s", &[])
    },
    Case { adds: &["coordination/hub.json", "shared/health_dashboard.json"], ..case("init", &[]) },
];

#[test]
fn what_a_command_was_not_to_change_keeps_its_bytes() {
    let (fleet, host) = hub_of_old();
    let before = documents(fleet.hub());
    let start = fleet.hub().tip(MAIN).unwrap();
    for case in CASES {
        fleet.hub().git(["update-ref", "refs/heads/main", &start]);
        let mut words: Vec<String> = case.line.split(' ').map(str::to_owned).collect();
        if words == ["init"] {
            words.push(fleet.hub().url());
        }
        let run = host.run(&words);
        if run.exit_code() != Some(0) {
            run.fail(case.line);
        }
        let after = documents(fleet.hub());
        for (path, text) in &before {
            check(
                case,
                path,
                text,
                after.get(path).unwrap_or_else(|| panic!("{}: {path} is gone", case.line)),
            );
        }
        for path in after.keys().filter(|path| !before.contains_key(*path)) {
            assert!(case.adds.contains(&path.as_str()), "{}: {path} was made", case.line);
        }
    }
}

/// A list of records in place of the document becomes the document when it is written.
#[test]
fn a_bare_list_is_taken_and_its_records_keep_their_bytes() {
    for (path, field) in [(JOBS, "jobs"), (MESSAGES, "messages"), (SERVERS, "servers")] {
        let (fleet, host) = hub_of_old();
        let text = String::from_utf8(inspect::content(fleet.hub(), MAIN, path).unwrap()).unwrap();
        let rows = members(&text).into_iter().find(|(key, _)| key == field).unwrap().1;
        fleet.hub().put(MAIN, &[(path, rows.get())], "a bare list");
        let line: &[&str] = match field {
            "jobs" => &["job", "add", "--type", "build"],
            "messages" => &["message", "send", "--to", "all", "--subject", "x"],
            _ => &["servers", "remove", "code2"],
        };
        host.run(["--server", "build3"].iter().chain(line)).success();
        let after = String::from_utf8(inspect::content(fleet.hub(), MAIN, path).unwrap()).unwrap();
        let new = records(path, &after).1;
        let old = list(rows.get());
        let kept = if field == "servers" { old.len() - 1 } else { old.len() };
        for (row, (_, new)) in old.iter().zip(&new).take(kept) {
            assert_eq!(row.get(), new.get(), "{path}");
        }
    }
}

#[test]
fn a_command_that_changes_nothing_makes_no_commit() {
    let (fleet, host) = hub_of_old();
    let twice: [&str; 7] = [
        "join --as build3 --label gpu",
        "--server build2 message read",
        "--server build2 message ack msg_1761751875_2531",
        "--server build2 message send --to all --subject x --key once",
        "--server build3 job add --key once",
        "--server build3 job priority job_1761778190_1805 7",
        "--server build3 archive --older-than 0s",
    ];
    for line in twice {
        host.run(line.split(' ')).success();
        let tip = fleet.hub().tip(MAIN);
        host.run(line.split(' ')).success();
        assert_eq!(fleet.hub().tip(MAIN), tip, "{line}");
    }
    host.run(["init", &fleet.hub().url()]).success();
    let tip = fleet.hub().tip(MAIN);
    host.run(["init", &fleet.hub().url()]).success();
    for read in ["job list", "message list", "lock list", "servers list", "status list", "health"] {
        host.run(read.split(' ')).exit_code().unwrap();
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
    let renew = "--server build2 lock renew deploy --token 4";
    host.run(renew.split(' ')).success();
    assert_ne!(fleet.hub().tip(MAIN), tip, "a renewal is a change");
}

/// A hub with the documents of `tests/golden/hub`.
fn hub_of_old() -> (Fleet, Host) {
    let fleet = Fleet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub");
    let mut files = Vec::new();
    for folder in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let path = file.strip_prefix(&root).unwrap().display().to_string();
            files.push((path, fs::read(&file).unwrap()));
        }
    }
    let files: Vec<(&str, &Vec<u8>)> = files.iter().map(|(path, bytes)| (path.as_str(), bytes)).collect();
    fleet.hub().put(MAIN, &files, "a hub of old");
    let mut host = fleet.host("laptop");
    host.unset("MUSTER_SERVER");
    (fleet, host)
}

fn documents(hub: &Hub) -> BTreeMap<String, String> {
    let list = hub.git(["ls-tree", "-r", "--name-only", MAIN]);
    let text = |path: &str| String::from_utf8(inspect::content(hub, MAIN, path).unwrap()).unwrap();
    list.lines().map(|path| (path.to_owned(), text(path))).collect()
}

fn check(case: &Case, path: &str, before: &str, after: &str) {
    let may: Vec<&Change> = case.changes.iter().filter(|(document, ..)| *document == path).collect();
    let removes: Vec<&str> =
        case.removes.iter().filter(|(document, _)| *document == path).map(|(_, id)| *id).collect();
    let adds = case.adds.contains(&path);
    let line = case.line;
    if may.is_empty() && removes.is_empty() && !adds {
        // Any commit of a server carries its sign of life.
        let mut words = line.split(' ').skip_while(|word| *word != "--server" && *word != "--as").skip(1);
        if before != after && words.next().is_some_and(|server| path == format!("{server}/heartbeat.json")) {
            return check_record(line, path, (before, after), BEAT);
        }
        assert_eq!(before, after, "{line}: {path} was not to change");
        return;
    }
    assert!(after.ends_with('\n') && !after.starts_with('\u{feff}'), "{line}: {path} is written strictly");
    if may.iter().any(|(_, record, _)| record.is_empty()) {
        return check_record(line, path, (before, after), may[0].2);
    }
    let ((beside, old), (beside_after, new)) = (records(path, before), records(path, after));
    let text = |members: &[(String, Box<RawValue>)]| {
        members.iter().map(|(key, raw)| format!("{key}: {raw}")).collect::<Vec<_>>()
    };
    assert_eq!(text(&beside), text(&beside_after), "{line}: beside the records of {path}");
    let stays: Vec<_> = old.iter().filter(|(id, _)| !removes.contains(&id.as_str())).collect();
    assert_eq!(old.len() - stays.len(), removes.len(), "{line}: {path}");
    assert_eq!(new.len(), stays.len() + usize::from(adds), "{line}: {path}");
    for ((id, old), (id_after, new)) in stays.iter().zip(&new) {
        assert_eq!(id, id_after, "{line}: the order of {path}");
        match may.iter().find(|(_, record, _)| record == id) {
            Some((_, _, fields)) => {
                check_record(line, &format!("{path} {id}"), (old.get(), new.get()), fields);
            }
            None => assert_eq!(old.get(), new.get(), "{line}: {path} {id}"),
        }
    }
}

/// Compares a record that may change in `fields` alone, and there only in what is known.
fn check_record(line: &str, place: &str, (before, after): (&str, &str), fields: &str) {
    let value = |text: &str| serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')).unwrap();
    let (old, new) = (value(before), value(after));
    assert_ne!(old, new, "{line}: {place} was to change");
    let (old, new) = (old.as_object().unwrap(), new.as_object().unwrap());
    let common = |of: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>| {
        of.keys().filter(|key| other.contains_key(*key)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(common(old, new), common(new, old), "{line}: the order of keys of {place}");
    for key in old.keys().chain(new.keys()).filter(|key| !fields.split(' ').any(|field| field == *key)) {
        assert_eq!(old.get(key), new.get(key), "{line}: `{key}` of {place}");
    }
    let (mut unknown, mut left) = (Vec::new(), Vec::new());
    collect_unknown(&Value::Object(old.clone()), "", &mut unknown);
    collect_unknown(&Value::Object(new.clone()), "", &mut left);
    assert_eq!(unknown, left, "{line}: unknown fields of {place}");
}

/// Every `x_` field with its place and its value.
fn collect_unknown(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let place = format!("{place}.{key}");
                if key.starts_with("x_") {
                    found.push(format!("{place} = {value}"));
                } else {
                    collect_unknown(value, &place, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_unknown(item, &format!("{place}[{index}]"), found);
            }
        }
        _ => {}
    }
}

type Raw = (String, Box<RawValue>);

/// What stands beside the records of a document, and the records by their ids.
fn records(path: &str, text: &str) -> (Vec<Raw>, Vec<Raw>) {
    let field = TABLES.iter().find(|(table, _)| *table == path).unwrap().1;
    let (rows, beside): (Vec<Raw>, Vec<Raw>) = members(text).into_iter().partition(|(key, _)| key == field);
    let rows = rows[0].1.get();
    if rows.starts_with('{') {
        return (beside, members(rows));
    }
    let id =
        |row: &RawValue| serde_json::from_str::<Value>(row.get()).unwrap()["id"].as_str().unwrap().to_owned();
    (beside, list(rows).into_iter().map(|row| (id(&row), row)).collect())
}

fn list(text: &str) -> Vec<Box<RawValue>> {
    serde_json::from_str(text).unwrap()
}

fn members(text: &str) -> Vec<Raw> {
    serde_json::from_str::<Members>(text.trim_start_matches('\u{feff}')).unwrap().0
}

/// The members of an object in their order, each with its text.
struct Members(Vec<Raw>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(InOrder)
    }
}
