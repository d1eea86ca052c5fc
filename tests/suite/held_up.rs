//! What stands still because somebody took a lock and died over it: whoever needs it takes it over, and
//! until then everybody says what is waited for.

use crate::sessions::a_minute_passes;
use crate::support::{Fleet, Host, MAIN, Transport, eventually, inspect};
use serde_json::json;
use std::time::Duration;

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// A lease that is soon over, and one that is not.
const SHORT: &str = "3s";
const LONG: &str = "10m";

fn add(host: &Host) -> String {
    host.run(["job", "add", "--type", "x", "--", "true"]).success().stdout().trim().to_owned()
}

fn status(fleet: &Fleet, id: &str) -> String {
    inspect::job(fleet.hub(), id)["status"].as_str().unwrap().to_owned()
}

/// `ada`, who holds the lock under which jobs are assigned for so long, and a job in the queue.
fn held_up(transport: Transport, ttl: &str) -> (Fleet, Host, String) {
    let fleet = Fleet::over(transport).founded();
    let ada = fleet.server("ada");
    let job = add(&ada);
    ada.run(["lock", "acquire", "job_assignment", "--ttl", ttl]).success();
    (fleet, ada, job)
}

fn a_worker_takes_over(transport: Transport) {
    let (fleet, _ada, job) = held_up(transport, SHORT);
    let bob = fleet.server("bob");
    // It is not idle while a job waits that it would run.
    let worker = ["worker", "run", "--allow-any", "--poll", "50ms", "--exit-when-idle", "200ms"];
    let run = bob.run(worker).success();
    assert_eq!(status(&fleet, &job), "completed", "{run}");
    assert!(run.stderr().contains("lock `job_assignment` is held by `ada`"), "{run}");
    bob.run(["fsck", "--history"]).success();
}

#[test]
fn a_worker_takes_over_the_lock_of_assignments_on_this_disk() {
    a_worker_takes_over(Transport::Path);
}

#[test]
fn a_worker_takes_over_the_lock_of_assignments_over_a_connection() {
    a_worker_takes_over(Transport::FileUrl);
}

#[test]
fn a_worker_that_claims_once_ends_while_the_lock_of_assignments_is_held() {
    let (fleet, ada, job) = held_up(Transport::Path, SHORT);
    let bob = fleet.server("bob");
    let once = ["worker", "run", "--allow-any", "--once"];
    let refused = bob.run(once).code(4);
    assert!(refused.stderr().contains("lock `job_assignment` is held by `ada`"), "{refused}");
    // Lines of cron: each looks on where the last one ended.
    eventually(BOUND, || bob.run(once).exit_code() == Some(0));
    assert_eq!(status(&fleet, &job), "completed");
    ada.run(once).code(3);
}

#[test]
fn who_asks_why_nothing_is_claimed_is_told_of_the_lock_of_assignments() {
    let (fleet, ada, job) = held_up(Transport::Path, LONG);
    let explained = ada.run(["job", "explain", &job]).success();
    assert!(explained.stdout().contains("lock `job_assignment` is held by `ada`"), "{explained}");
    assert!(!explained.stdout().contains("it is next"), "{explained}");
    let refused = ada.run(["job", "claim"]).code(4);
    assert!(refused.stderr().contains("may take it over in 1"), "{refused}");

    // Long over, by the clock of whoever took it.
    let locks = json!({"locks": {"job_assignment": {
        "locked_by": "build9", "locked_at": "2020-01-01T00:00:00Z", "expires_at": "2020-01-01T00:00:05Z",
    }}});
    fleet.hub().put(MAIN, &[("coordination/locks.json", &format!("{locks:#}\n"))], "an old script assigns");
    let health = ada.run(["health"]).code(1);
    assert!(health.stdout().contains("no job is claimed until it is taken over"), "{health}");
    let explained = ada.run(["job", "explain", &job]).success();
    assert!(explained.stdout().contains("its lease expired"), "{explained}");
}

#[test]
fn who_wants_a_lock_that_is_overdue_is_told_when_it_can_be_had() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let locks = json!({"locks": {"deploy": {
        "locked_by": "build9", "locked_at": "2020-01-01T00:00:00Z", "expires_at": "2020-01-01T00:00:03Z",
    }}});
    fleet.hub().put(MAIN, &[("coordination/locks.json", &format!("{locks:#}\n"))], "an old script deploys");
    let refused = ada.run(["lock", "acquire", "deploy"]).code(4);
    assert!(refused.stderr().contains("and its lease expired"), "{refused}");
    assert!(refused.stderr().contains("this machine may take it over in"), "{refused}");
    // What health and the refusal print works as it is printed.
    let health = ada.run(["health"]).code(1);
    for told in [health.stdout(), refused.stderr()] {
        let hint = told.split('`').find(|words| words.starts_with("git muster lock acquire")).expect(told);
        let words: Vec<&str> = hint.split_whitespace().skip(2).collect();
        let token = ada.run(words).success().stdout().trim().to_owned();
        ada.run(["lock", "release", "deploy", "--token", &token]).success();
    }
}

/// A record by hand, as scripts write it: without a token, and with no time that can be read.
fn by_hand(fleet: &Fleet, document: &str, record: &str) {
    fleet.hub().put(MAIN, &[(document, record)], "by hand");
}

#[test]
fn a_lock_that_was_seen_free_in_between_is_watched_anew() {
    let fleet = Fleet::new().founded();
    let bob = fleet.server("bob");
    let put = |by: &str| {
        let lock = format!(r#"{{"deploy":{{"locked_by":{by},"locked_at":"$(date)","lease_seconds":5}}}}"#);
        by_hand(&fleet, "coordination/locks.json", &format!(r#"{{"locks":{lock}}}"#));
    };
    for look in ["lock show deploy", "lock list", ""] {
        put(r#""build2""#);
        bob.run(["lock", "acquire", "deploy"]).code(4);
        a_minute_passes(&bob);
        put("null");
        if !look.is_empty() {
            bob.run(look.split(' ')).success();
        }
        put(r#""build2""#);
        let run = bob.run(["lock", "acquire", "deploy"]);
        // What nobody saw was not there.
        run.code(if look.is_empty() { 0 } else { 4 });
    }
}

#[test]
fn a_job_that_was_put_back_and_claimed_again_is_watched_anew() {
    let fleet = Fleet::new().founded();
    let bob = fleet.server("bob");
    bob.run(["heartbeat"]).success();
    let put = |status: &str, by: &str, at: &str| {
        let job = format!(
            r#"{{"id":"j1","type":"x","status":"{status}","labels":["none"],"assigned_to":{by},"started_at":{at},"timeout_seconds":5}}"#
        );
        by_hand(&fleet, "coordination/jobs.json", &format!(r#"{{"jobs":[{job}]}}"#));
    };
    let claim = || drop(bob.run(["job", "claim"]).code(3));
    let is_running = || inspect::job(fleet.hub(), "j1")["status"] == "running";
    let (first, second) = (r#""2026-11-30T08:00:00Z""#, r#""2026-11-30T08:00:09Z""#);
    for (seen, at) in [(true, first), (false, second), (false, first)] {
        put("running", r#""build2""#, first);
        claim();
        a_minute_passes(&bob);
        put("queued", "null", "null");
        if seen {
            claim();
        }
        put("running", r#""build2""#, at);
        claim();
        // What nobody saw, and what left no trace, was not there.
        assert_eq!(is_running(), seen || at == second, "seen between: {seen}, began at {at}");
    }
}
