//! What is told of times is right: ages, spans, limits and averages, at times that the test chooses.
//!
//! The transcripts of `commands` replace every time by a sign, so that none of them notices a wrong
//! one. Here `MUSTER_CLOCK` stands still at the second that is named, and whole values are compared.

use crate::support::{Fleet, Host, Run};

/// A host that has joined, in whose world it is whatever time `at` says.
struct Clocked {
    host: Host,
}

impl Clocked {
    fn new(fleet: &Fleet, name: &str) -> Self {
        let host = fleet.host(name);
        let clocked = Self { host };
        clocked.at("11:00:00", &["join", &fleet.hub().url(), "--as", name]).success();
        clocked
    }

    /// Runs a command at a time of 2026-11-21.
    #[track_caller]
    fn at(&self, time: &str, arguments: &[&str]) -> Run {
        let clock = format!("2026-11-21T{time}Z");
        self.host.command(arguments.iter().copied()).env("MUSTER_CLOCK", clock).run()
    }

    /// What it prints then, with runs of blanks drawn together.
    #[track_caller]
    fn told(&self, time: &str, arguments: &[&str]) -> String {
        let run = self.at(time, arguments).success();
        let lines = run.stdout().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Asserts that one line of what is printed then ends with `end`.
    #[track_caller]
    fn tells(&self, time: &str, arguments: &[&str], lines: &[&str]) {
        let told = self.told(time, arguments);
        for line in lines {
            assert!(
                told.lines().any(|found| found == *line),
                "at {time} {arguments:?} has no `{line}`:\n{told}"
            );
        }
    }
}

fn founded() -> (Fleet, Clocked) {
    // At its time too: who writes beside clocks of another day is told so, and goes by theirs.
    let fleet = Fleet::new();
    let founder = Clocked { host: fleet.host("founder") };
    founder.at("10:59:00", &["init", &fleet.hub().url()]).success();
    let ada = Clocked::new(&fleet, "ada");
    (fleet, ada)
}

#[test]
fn the_times_of_a_job_are_its_own() {
    let (_fleet, ada) = founded();
    let id = ada.told("12:00:00", &["job", "add", "--type", "build", "--timeout", "20m"]);
    assert!(id.starts_with("job_1795262400_"), "{id} begins with the second in which it was added");
    ada.tells("12:00:59", &["job", "show", &id], &["details: queued 59s ago"]);
    ada.tells("12:05:00", &["job", "show", &id], &["details: queued 5m ago", "added: 2026-11-21T12:00:00Z"]);
    ada.tells("15:00:00", &["job", "show", &id], &["details: queued 3h ago"]);
    ada.at("12:10:00", &["job", "claim"]).success();
    ada.at("12:11:00", &["job", "start", &id, "--token", "1"]).success();
    ada.at("12:13:30", &["job", "complete", &id, "--token", "1"]).success();
    let lines = [
        "details: completed 46m 30s ago",
        "added: 2026-11-21T12:00:00Z",
        "started: 2026-11-21T12:11:00Z",
        "finished: 2026-11-21T12:13:30Z",
        "duration: 2m 30s",
        "timeout: 20m",
    ];
    ada.tells("13:00:00", &["job", "show", &id], &lines);
    ada.tells("13:00:00", &["status", "show", "ada"], &[&format!("last build: {id} success 46m 30s ago")]);
}

#[test]
fn a_lease_is_as_long_as_it_was_asked_for_and_a_renewal_lengthens_nothing() {
    let (_fleet, ada) = founded();
    assert_eq!(ada.told("12:00:00", &["lock", "acquire", "deploy", "--ttl", "10m"]), "1");
    let told = ["since: 2m 30s ago", "lease: 10m", "token: 1"];
    ada.tells("12:02:30", &["lock", "show", "deploy"], &told);
    assert_eq!(
        ada.told("12:03:00", &["lock", "renew", "deploy", "--token", "1"]),
        "lock `deploy` is renewed for 10m"
    );
    let lock = ada.at("12:04:00", &["lock", "show", "deploy", "--json"]).success().json();
    assert_eq!(lock["lease_seconds"], 600);
    assert_eq!(lock["locked_at"], "2026-11-21T12:00:00Z");
    assert_eq!(lock["renewed_at"], "2026-11-21T12:03:00Z");
    assert_eq!(lock["expires_at"], "2026-11-21T12:13:00Z");
    ada.tells("12:04:00", &["lock", "show", "deploy"], &["since: 4m ago", "renewed: 1m ago"]);
    // Of a lock whose lease nobody named.
    ada.at("12:00:00", &["lock", "acquire", "other"]).success();
    let lock = ada.at("12:00:00", &["lock", "show", "other", "--json"]).success().json();
    assert_eq!((&lock["lease_seconds"], &lock["expires_at"]), (&600.into(), &"2026-11-21T12:10:00Z".into()));
}

#[test]
fn a_heartbeat_is_late_after_two_and_stale_after_three_of_its_own_intervals_and_a_minute() {
    let (_fleet, ada) = founded();
    ada.at("12:00:00", &["heartbeat", "--interval", "5m"]).success();
    for (time, level, code) in [
        ("12:10:00", "ok", 0),
        ("12:10:01", "warning", 1),
        ("12:16:00", "warning", 1),
        ("12:16:01", "critical", 2),
    ] {
        let report = ada.at(time, &["health", "--json"]).code(code).json();
        assert_eq!(report["level"], level, "at {time}");
    }
    assert!(ada.told("12:17:00", &["servers", "list"]).ends_with(" 17m ago"));
    assert!(ada.told("12:09:00", &["worker", "list"]).contains("fresh, 9m ago"));
    assert!(ada.told("12:12:00", &["worker", "list"]).contains("late, 12m ago"));
    assert!(ada.told("12:20:00", &["worker", "list"]).contains("stale, 20m ago"));
}

#[test]
fn a_message_is_as_old_as_it_is() {
    let (fleet, ada) = founded();
    let _bob = Clocked::new(&fleet, "bob");
    ada.at("12:00:00", &["message", "send", "--to", "bob", "--subject", "hello"]).success();
    let listed = ada.told("13:30:00", &["message", "list"]);
    assert!(listed.contains(" info 1h 30m ago "), "{listed}");
}

#[test]
fn statistics_count_from_when_they_are_asked_to() {
    let (_fleet, ada) = founded();
    for (added, claimed, ended) in
        [("12:00:00", "12:01:00", "12:02:00"), ("13:00:00", "13:03:00", "13:07:00")]
    {
        let id = ada.told(added, &["job", "add", "--type", "build"]);
        ada.at(claimed, &["job", "claim", "--start"]).success();
        ada.at(ended, &["job", "complete", &id, "--token", "1"]).success();
    }
    let stats = |since: &[&str]| {
        let arguments = [&["queue", "stats", "--json"], since].concat();
        let stats = ada.at("13:30:00", &arguments).success().json();
        ["completed", "avg_wait_seconds", "avg_execution_seconds"].map(|key| stats[key].as_u64().unwrap())
    };
    assert_eq!(stats(&[]), [2, 120, 150]);
    assert_eq!(stats(&["--since", "2h"]), [2, 120, 150]);
    assert_eq!(stats(&["--since", "1h"]), [1, 180, 240]);
}

#[test]
fn what_is_archived_is_as_old_as_was_asked_for() {
    let (fleet, ada) = founded();
    let bob = Clocked::new(&fleet, "bob");
    let id = ada.told("12:00:00", &["job", "add", "--type", "build"]);
    ada.at("12:00:00", &["job", "cancel", &id]).success();
    let message = ada.told("12:00:00", &["message", "send", "--to", "bob", "--subject", "hello"]);
    bob.at("12:00:00", &["message", "read"]).success();
    let is_there = |time: &str| {
        let listed = |noun: &str, id: &str| ada.told(time, &[noun, "list"]).contains(id);
        [listed("job", &id), listed("message", &message)]
    };
    ada.at("12:59:59", &["archive", "--older-than", "1h"]).success();
    assert_eq!(is_there("13:00:00"), [true; 2], "one second too young");
    ada.at("13:00:00", &["archive", "--older-than", "1h"]).success();
    assert_eq!(is_there("13:00:00"), [false; 2]);
}

#[test]
fn waits_that_nobody_named_are_those_of_the_documents() {
    let (_fleet, ada) = founded();
    ada.tells("12:00:00", &["config", "list"], &["timeout 30s", "lock_wait 10s"]);
}
