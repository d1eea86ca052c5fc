//! Locks, what is done once and pauses that an older writer in the same clone, or a merge by hand, undid:
//! what was acknowledged holds with the next write.

use crate::support::{Fleet, Host, MAIN, eventually, inspect, need};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const LOCKS: &str = "coordination/locks.json";
const TOKENS: &str = "coordination/tokens.json";

/// `ada` in a clone of the hub, in which scripts work too, and `bob` elsewhere.
pub(super) fn shared_clone() -> (Fleet, Host, Host) {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server_in_clone("ada"), fleet.server("bob"));
    bob.run(["lock", "acquire", "base"]).success();
    pull(&ada, &[]);
    (fleet, ada, bob)
}

pub(super) fn pull(ada: &Host, how: &[&str]) {
    let words = ["pull", "--quiet", "--no-rebase"].iter().chain(how).chain(&["origin", MAIN]);
    ada.git(words).success();
}

fn lock(fleet: &Fleet, name: &str) -> Value {
    inspect::document(fleet.hub(), MAIN, LOCKS)["locks"][name].clone()
}

fn acquire(host: &Host, name: &str, more: &[&str]) -> String {
    let run = host.run(["lock", "acquire", name].iter().chain(more)).success();
    run.stdout().trim().to_owned()
}

/// A script that takes a lock of its own: what it has read before `meanwhile`, it writes after that.
fn script_takes_a_lock(ada: &Host, meanwhile: impl FnOnce()) {
    let file = ada.directory().join(LOCKS);
    let filter = r#".locks.script = {"locked_by":"ada","locked_at":"2025-11-13T05:08:10Z","expires_at":"2025-11-13T05:18:10Z"}"#;
    let read =
        ada.program("jq").args([filter, &file.display().to_string()]).run().success().stdout().to_owned();
    meanwhile();
    fs::write(file, read).unwrap();
    ada.git(["commit", "--quiet", "-m", "script lock", "--", LOCKS]).success();
    ada.git(["push", "--quiet", "origin", MAIN]).success();
}

/// A person who merges `meanwhile` away: only what is in the clone stays.
pub(super) fn merged_away(ada: &Host, meanwhile: impl FnOnce()) {
    pull(ada, &[]);
    meanwhile();
    fs::write(ada.directory().join("n.txt"), "1\n").unwrap();
    ada.git(["add", "n.txt"]).success();
    ada.git(["commit", "--quiet", "-m", "n"]).success();
    pull(ada, &["--no-edit", "-s", "ours"]);
    ada.git(["push", "--quiet", "origin", MAIN]).success();
}

#[test]
fn a_lock_that_a_stale_script_dropped_is_held_again() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, bob) = shared_clone();
    script_takes_a_lock(&ada, || assert_eq!(acquire(&ada, "deploy", &[]), "1"));
    assert_eq!(lock(&fleet, "deploy"), Value::Null, "dropped");
    let health = bob.run(["health"]).code(1);
    assert!(health.stdout().contains("undid what was acknowledged: lock deploy"), "{health}");
    // Who holds it goes on, under its guard as well.
    ada.run(["--if-lock", "deploy=1", "job", "add", "--type", "x"]).success();
    assert_eq!(lock(&fleet, "deploy")["locked_by"], "ada");
    assert_eq!(lock(&fleet, "script")["locked_by"], "ada", "and nothing of the script is lost");
    bob.run(["lock", "acquire", "deploy"]).code(4);
    ada.run(["lock", "renew", "deploy", "--token", "1"]).success();
    bob.run(["fsck", "--history"]).success();
}

#[test]
fn a_lock_whose_lease_is_over_comes_back_held_and_is_taken_over_as_ever() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, bob) = shared_clone();
    script_takes_a_lock(&ada, || {
        acquire(&ada, "deploy", &["--ttl", "3s"]);
        let over = || lock(&fleet, "deploy")["expires_at"].as_str().map(str::to_owned);
        let until = over().unwrap();
        // Its lease and the margin of it.
        eventually(Duration::from_secs(30), || {
            let now = ada.run(["lock", "show", "deploy"]).success();
            assert_eq!(over().as_ref(), Some(&until));
            now.stdout().contains("expired")
        });
    });
    // Whether it is over is nothing that a clock tells: who needs it watches.
    bob.run(["lock", "acquire", "deploy"]).code(4);
    bob.run(["status", "set", "idle"]).success();
    assert_eq!(lock(&fleet, "deploy")["locked_by"], "ada");
    assert_eq!(acquire(&bob, "deploy", &["--wait", "60s"]), "2");
    ada.run(["lock", "renew", "deploy", "--token", "1"]).code(5);
}

#[test]
fn a_lock_that_a_script_took_and_freed_stays_free() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, bob) = shared_clone();
    let set = |by: &str| {
        let file = ada.directory().join(LOCKS);
        let filter = format!(r#".locks.script = {{"locked_by":{by},"locked_at":null,"expires_at":null}}"#);
        let text = ada
            .program("jq")
            .args([&filter, &file.display().to_string()])
            .run()
            .success()
            .stdout()
            .to_owned();
        fs::write(file, text).unwrap();
        ada.git(["commit", "--quiet", "-m", "script lock", "--", LOCKS]).success();
        ada.git(["push", "--quiet", "origin", MAIN]).success();
        // A write of ours stands between any two of the script.
        bob.run(["job", "add", "--type", "x"]).success();
        pull(&ada, &[]);
    };
    set("null");
    set(r#""ada""#);
    assert_eq!(lock(&fleet, "script")["locked_by"], "ada");
    set("null");
    assert_eq!(lock(&fleet, "script")["locked_by"], Value::Null);
}

#[test]
fn a_merge_by_hand_gives_no_token_twice_and_ends_no_pause() {
    let (fleet, ada, bob) = shared_clone();
    bob.run(["queue", "pause", "--label", "gpu", "--note", "n"]).success();
    merged_away(&ada, || {
        acquire(&bob, "two", &[]);
        acquire(&bob, "three", &[]);
        bob.run(["lock", "release", "three", "--token", "1"]).success();
        bob.run(["once", "do", "key"]).success();
        bob.run(["once", "done", "key", "--token", "1"]).success();
        bob.run(["queue", "pause", "--note", "x"]).success();
        bob.run(["queue", "resume", "--label", "gpu"]).success();
    });
    assert_eq!(lock(&fleet, "two"), Value::Null);
    let health = ada.run(["health"]).code(1);
    assert!(health.stdout().contains("last token of lock"), "{health}");
    ada.run(["lock", "acquire", "two"]).code(4);
    assert_eq!(acquire(&ada, "three", &[]), "2");
    assert_eq!(ada.run(["once", "do", "key"]).success().stdout().trim(), "done");
    let pauses = ada.run(["queue", "list"]).success();
    assert!(pauses.stdout().contains("queue") && !pauses.stdout().contains("gpu"), "{pauses}");
    bob.run(["lock", "renew", "two", "--token", "1"]).success();
    assert_eq!(inspect::document(fleet.hub(), MAIN, TOKENS)["tokens"]["three"]["token"], 2);
    ada.run(["fsck"]).success();
    assert_eq!(ada.run(["health"]).stdout().matches("undid").count(), 0);
    let history = ada.run(["fsck", "--history", "--json"]).success().json();
    let loud = |one: &&Value| one["severity"] != "note";
    assert_eq!(history["findings"].as_array().unwrap().iter().filter(loud).count(), 0, "{history}");
}

#[test]
fn the_first_record_of_a_document_comes_back_too() {
    let (_fleet, ada, bob) = shared_clone();
    merged_away(&ada, || {
        bob.run(["queue", "pause", "--note", "x"]).success();
    });
    bob.run(["job", "add", "--type", "x"]).success();
    bob.run(["job", "claim"]).code(3);
    let pauses = ada.run(["queue", "list"]).success();
    assert!(pauses.stdout().contains("queue"), "{pauses}");
}

#[test]
fn a_merge_of_what_happened_since_puts_nothing_back() {
    let (fleet, ada, bob) = shared_clone();
    bob.run(["queue", "pause", "--note", "x"]).success();
    pull(&ada, &[]);
    fs::write(ada.directory().join("n.txt"), "1\n").unwrap();
    ada.git(["add", "n.txt"]).success();
    ada.git(["commit", "--quiet", "-m", "n"]).success();
    bob.run(["queue", "resume"]).success();
    pull(&ada, &["--no-edit"]);
    ada.git(["push", "--quiet", "origin", MAIN]).success();
    bob.run(["job", "add", "--type", "x"]).success();
    let pauses = bob.run(["queue", "list"]).success();
    assert!(pauses.stderr().contains("no pauses"), "{pauses}");
    let log = inspect::log(fleet.hub(), MAIN);
    assert!(!log[0].subject.starts_with("put back"), "{:?}", log[0]);
}

#[test]
fn what_could_not_be_read_before_it_was_mended_stops_no_write() {
    const JOBS: &str = "coordination/jobs.json";
    for kind in ["a link", "a folder", "no JSON"] {
        let (fleet, ada, bob) = shared_clone();
        ada.run(["job", "add", "--type", "x"]).success();
        pull(&ada, &[]);
        let file = ada.directory().join(JOBS);
        let good = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        match kind {
            "a link" => std::os::unix::fs::symlink("../good.json", &file).unwrap(),
            "a folder" => {
                fs::create_dir(&file).unwrap();
                fs::write(file.join("x"), "x").unwrap();
            }
            _ => fs::write(&file, "<<<<<<< mine\n").unwrap(),
        }
        ada.git(["add", "--all", "coordination"]).success();
        ada.git(["commit", "--quiet", "-m", "broken"]).success();
        ada.git(["push", "--quiet", "origin", MAIN]).success();
        // An operation of ours stands on it.
        bob.run(["lock", "acquire", "between"]).success();
        pull(&ada, &[]);
        if kind == "a folder" {
            fs::remove_dir_all(&file).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        fs::write(&file, &good).unwrap();
        ada.git(["add", "--all", "coordination"]).success();
        ada.git(["commit", "--quiet", "-m", "mended"]).success();
        ada.git(["push", "--quiet", "origin", MAIN]).success();
        for args in [&["job", "add", "--type", "y"][..], &["heartbeat"], &["lock", "acquire", "after"]] {
            bob.run(args).success();
        }
        let jobs = inspect::document(fleet.hub(), MAIN, JOBS);
        assert_eq!(jobs["jobs"].as_array().unwrap().len(), 2, "{kind}");
        bob.run(["fsck"]).success();
    }
}

#[test]
fn a_job_that_is_archived_is_not_done_again_for_a_stale_script() {
    const JOBS: &str = "coordination/jobs.json";
    for completed_first in [false, true] {
        let (fleet, ada, bob) = shared_clone();
        let job = bob.run(["job", "add", "--", "true"]).success().stdout().trim().to_owned();
        let read = |host: &Host| {
            pull(host, &[]);
            fs::read(host.directory().join(JOBS)).unwrap()
        };
        let mut stale = read(&ada);
        bob.run(["job", "claim", &job]).success();
        bob.run(["job", "complete", &job, "--token", "1"]).success();
        if completed_first {
            stale = read(&ada);
        }
        eventually(Duration::from_secs(20), || {
            bob.run(["archive", "--older-than", "0s"]).success();
            let jobs = inspect::document(fleet.hub(), MAIN, JOBS);
            jobs["jobs"].as_array().is_some_and(Vec::is_empty)
        });
        pull(&ada, &[]);
        fs::write(ada.directory().join(JOBS), &stale).unwrap();
        ada.git(["commit", "--quiet", "-am", "stale"]).success();
        ada.git(["push", "--quiet", "origin", MAIN]).success();
        bob.run(["job", "claim"]).code(3);
        bob.run(["lock", "acquire", "after"]).success();
        assert_eq!(inspect::document(fleet.hub(), MAIN, JOBS)["jobs"], serde_json::json!([]));
        bob.run(["fsck"]).success();
        // What is cured is no error of the history.
        bob.run(["fsck", "--history"]).success();
    }
}

#[test]
fn a_pause_in_the_same_words_as_one_before_is_meant() {
    const PAUSES: &str = "coordination/pauses.json";
    let (_fleet, ada, bob) = shared_clone();
    bob.run(["job", "add", "--", "true"]).success();
    for _ in 0..2 {
        pull(&ada, &[]);
        let text = r#"{"pauses":[{"id":"queue","by":"nightly","reason":"backup"}]}"#;
        fs::write(ada.directory().join(PAUSES), text).unwrap();
        ada.git(["add", "coordination"]).success();
        ada.git(["commit", "--quiet", "-m", "pause"]).success();
        ada.git(["push", "--quiet", "origin", MAIN]).success();
        bob.run(["job", "claim"]).code(3);
        bob.run(["heartbeat"]).success();
        let pauses = bob.run(["queue", "list"]).success();
        assert!(pauses.stdout().contains("nightly"), "{pauses}");
        bob.run(["queue", "resume"]).success();
    }
}

#[test]
fn messages_without_an_id_stay_whatever_is_archived() {
    const MESSAGES: &str = "coordination/messages.json";
    let (fleet, ada, bob) = shared_clone();
    let message = |subject: &str| {
        format!(
            r#"{{"from":"ada","to":"bob","subject":"{subject}","body":"x","timestamp":"2025-01-01T00:00:00Z","read":true}}"#
        )
    };
    let put = |subjects: &[&str]| {
        pull(&ada, &[]);
        let all: Vec<String> = subjects.iter().map(|subject| message(subject)).collect();
        fs::write(ada.directory().join(MESSAGES), format!(r#"{{"messages":[{}]}}"#, all.join(","))).unwrap();
        ada.git(["commit", "--quiet", "-am", "messages of a script"]).success();
        ada.git(["push", "--quiet", "origin", MAIN]).success();
    };
    put(&["old"]);
    bob.run(["archive", "--older-than", "0s"]).success();
    put(&["old", "new"]);
    bob.run(["lock", "acquire", "after"]).success();
    let messages = inspect::document(fleet.hub(), MAIN, MESSAGES);
    let there = |subject: &str| {
        messages["messages"].as_array().unwrap().iter().any(|message| message["subject"] == subject)
    };
    assert!(there("new"), "{messages}");
}
