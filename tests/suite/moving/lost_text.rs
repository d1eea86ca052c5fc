//! A document whose text is lost comes back from the history of the hub.

use crate::support::{Fleet, Host, MAIN, inspect};
use serde_json::{Value, json};

const SERVERS: &str = "coordination/servers.json";
const MARKER: &str = "coordination/hub.json";
const TOKENS: &str = "coordination/tokens.json";

/// A hub in use: two servers with labels, jobs, a held lock and one that is over, a pause.
fn used() -> (Fleet, Host) {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    bob.run(["join", "--as", "bob", "--label", "arch=amd64", "--manager", "tina", "--old-readers"]).success();
    for host in [&ada, &bob] {
        host.run(["heartbeat"]).success();
    }
    ada.run(["job", "add", "--type", "x"]).success();
    bob.run(["lock", "acquire", "old"]).success();
    bob.run(["lock", "release", "old", "--token", "1"]).success();
    bob.run(["lock", "acquire", "old"]).success();
    bob.run(["lock", "release", "old", "--token", "2"]).success();
    ada.run(["lock", "acquire", "deploy", "--ttl", "1h"]).success();
    ada.run(["queue", "pause", "--label", "gpu", "--note", "n"]).success();
    // Removed on purpose.
    fleet.server("eve").run(["heartbeat"]).success();
    ada.run(["servers", "remove", "eve"]).success();
    (fleet, ada)
}

fn value(fleet: &Fleet, path: &str) -> Value {
    inspect::document(fleet.hub(), MAIN, path)
}

/// What a full disk or a bad merge leaves of a text.
fn ways(text: &str) -> [String; 5] {
    let begin: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    [
        String::new(),
        text[..text.len() / 3].to_owned(),
        format!("}}{{{}", text.replace('"', "'")),
        // A pull that was killed while it wrote a conflict.
        format!("{begin}<<<<<<< HEAD\n"),
        format!("{begin}<<<<<<< HEAD\n=======\n>>>>>>> theirs\n"),
    ]
}

#[test]
fn every_document_whose_text_is_lost_comes_back_by_the_line_that_is_told() {
    let (fleet, ada) = used();
    for path in [
        SERVERS,
        MARKER,
        TOKENS,
        "coordination/locks.json",
        "coordination/jobs.json",
        "coordination/pauses.json",
    ] {
        let whole = value(&fleet, path);
        let text = String::from_utf8(inspect::content(fleet.hub(), MAIN, path).unwrap()).unwrap();
        for lost in ways(&text) {
            fleet.hub().put(MAIN, &[(path, lost.as_str())], "by hand");
            let said = ada.run(["fsck"]).code(1);
            assert!(said.stdout().contains("`git muster import`"), "{path} {said}");
            let check = ada.run(["import", "--check"]).code(1);
            assert!(check.stdout().contains("taken from the history"), "{path} {lost:?} {check}");
            let run = ada.run(["import"]).success();
            assert_eq!(value(&fleet, path), whole, "{lost:?} {run}");
            ada.run(["fsck", "--history"]).success();
        }
    }
    assert_eq!(ada.run(["lock", "acquire", "old"]).success().stdout().trim(), "3");
    let tip = fleet.hub().tip(MAIN);
    ada.run(["import"]).success();
    assert_eq!(fleet.hub().tip(MAIN), tip, "a second time there is nothing to do");
}

#[test]
fn a_marker_is_never_left_without_its_id() {
    let (fleet, ada) = used();
    let id = value(&fleet, MARKER)["id"].clone();
    for text in ["{}\n", "{\"id\":\"\",\"settings\":{\"old_readers_seconds\":300}}\n"] {
        fleet.hub().put(MAIN, &[(MARKER, text)], "by hand");
        let said = ada.run(["fsck"]).code(1);
        assert!(said.stdout().contains("it has no id"), "{said}");
        ada.run(["import"]).success();
        assert_eq!(value(&fleet, MARKER)["id"], id);
        ada.run(["fsck"]).success();
    }
    assert_eq!(value(&fleet, MARKER)["settings"]["old_readers_seconds"], 300);
    // Whoever joins first gives it no other.
    fleet.hub().put(MAIN, &[(MARKER, "{}\n")], "by hand");
    ada.run(["join", "--as", "ada"]).success();
    assert_eq!(value(&fleet, MARKER)["id"], id);
    // Without a history that tells it gets one.
    let bare = Fleet::new();
    bare.hub().put(MAIN, &[(MARKER, ""), (SERVERS, "{\"servers\":[]}\n")], "no history");
    bare.host("eve").run(["import", &bare.hub().url()]).success();
    assert!(value(&bare, MARKER)["id"].as_str().is_some_and(|id| !id.is_empty()));
}

#[test]
fn what_a_text_still_holds_comes_before_the_history_and_what_was_taken_out_stays_out() {
    let fleet = Fleet::new();
    let job = |id: &str, kind: &str| json!({"id": id, "type": kind, "status": "queued"});
    let text = |rows: &[Value]| serde_json::to_string_pretty(&json!({"jobs": rows})).unwrap();
    let jobs = "coordination/jobs.json";
    fleet.hub().put(MAIN, &[(jobs, text(&[job("gone", "x"), job("a", "x"), job("b", "x")]))], "before");
    fleet.hub().put(MAIN, &[(jobs, text(&[job("a", "x"), job("b", "x")]))], "taken out");
    let newer = text(&[job("a", "newer"), job("b", "x")]);
    fleet.hub().put(MAIN, &[(jobs, &newer[..newer.rfind("\"type\"").unwrap()])], "cut");
    let admin = fleet.host("admin");
    admin.run(["import", &fleet.hub().url()]).success();
    let found = value(&fleet, jobs);
    let found: Vec<(&str, &str)> = found["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["id"].as_str().unwrap(), job["type"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("a", "newer"), ("b", "x")]);
    // Of conflict markers both sides are whole: what neither holds was taken out by both.
    let sides =
        format!("{{\"jobs\":[\n<<<<<<< a\n{}\n=======\n{}\n>>>>>>> b\n]}}\n", job("a", "x"), job("c", "x"));
    fleet.hub().put(MAIN, &[(jobs, sides)], "merge");
    admin.run(["import", &fleet.hub().url()]).success();
    assert_eq!(value(&fleet, jobs)["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn of_a_conflict_that_was_cut_off_the_history_tells_the_rest() {
    let fleet = Fleet::new();
    let job = |id: &str, status: &str| json!({"id": id, "type": "x", "status": status});
    let (jobs, locks, old) =
        ("coordination/jobs.json", "coordination/locks.json", "coordination/archive/jobs-2025-10.json");
    let rows = [job("a", "queued"), job("b", "completed"), job("c", "queued")];
    let text = serde_json::to_string_pretty(&json!({ "jobs": rows })).unwrap();
    let archived = serde_json::to_string_pretty(&json!({"jobs": [job("d", "completed")]})).unwrap();
    let held = json!({"locked_by": "ada", "expires_at": "2044-06-01T00:00:00Z"});
    let held = serde_json::to_string_pretty(&json!({"locks": {"deploy": held}})).unwrap();
    fleet.hub().put(MAIN, &[(jobs, &*text), (locks, &held), (old, &archived)], "before");
    // One side's state of the second is there, and nothing else of the second and the third.
    let cut = format!(
        "{{\"jobs\": [\n{},\n<<<<<<< HEAD\n{},\n",
        job("a", "running").to_string().replace('}', ",\"assigned_to\":\"ada\"}"),
        job("b", "queued")
    );
    let (cut_locks, cut_archive) = ("{\"locks\": {\n<<<<<<< HEAD\n", "{\"jobs\": [\n<<<<<<< HEAD\n=======\n");
    fleet.hub().put(MAIN, &[(jobs, &*cut), (locks, cut_locks), (old, cut_archive)], "cut");
    let admin = fleet.host("admin");
    let check = admin.run(["import", &fleet.hub().url(), "--check"]).code(1);
    assert!(check.stdout().contains("it holds conflict markers, and not all of both sides"), "{check}");
    admin.run(["import", &fleet.hub().url()]).success();
    let found = value(&fleet, jobs);
    let found: Vec<(&str, &str)> = found["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["id"].as_str().unwrap(), job["status"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("a", "running"), ("b", "completed"), ("c", "queued")]);
    assert_eq!(value(&fleet, old)["jobs"][0]["id"], "d");
    let bob = fleet.server("bob");
    let said = bob.run(["lock", "acquire", "deploy"]).code(4);
    assert!(said.stderr().contains("is held by `ada`"), "{said}");
}

#[test]
fn of_a_register_that_cannot_be_read_nobody_is_told_to_join() {
    let (fleet, ada) = used();
    ada.run(["job", "add", "--type", "x", "--label", "arch=amd64"]).success();
    fleet.hub().put(MAIN, &[(SERVERS, "")], "by hand");
    let said = ada.run(["health"]).code(3);
    assert!(!said.stdout().contains("no server has the labels"), "{said}");
    assert!(!said.stdout().contains("not registered"), "{said}");
    assert!(said.stdout().contains("coordination/servers.json cannot be read"), "{said}");
}
