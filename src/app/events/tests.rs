//! What each command says by what it changes, and what is said of changes by hand.

use super::*;
use crate::app::commands::Operation;
use crate::app::held::{Hub, MemoryDocuments};
use crate::domain::table::Row as _;

fn now() -> Timestamp {
    Timestamp::parse("2025-11-10T12:00:00Z").expect("a time")
}

fn told(before: &MemoryDocuments, after: &MemoryDocuments) -> Changes {
    events(before, after).expect("the store is sound")
}

/// `job.added job_1`, a line each.
fn lines(changes: &Changes) -> Vec<String> {
    let line = |event: &Event| {
        let value = serde_json::to_value(event).expect("serialises");
        let id = value["subject"]["id"].as_str().expect("an id");
        format!("{} {id}", value["type"].as_str().expect("a type"))
    };
    changes.events.iter().map(line).collect()
}

/// The data of the first event of a type.
fn data(changes: &Changes, kind: &str) -> Value {
    let values = changes.events.iter().map(|event| serde_json::to_value(event).expect("serialises"));
    values.into_iter().find(|value| value["type"] == kind).map(|value| value["data"].clone()).expect(kind)
}

/// A hub with two servers, and what was given to it.
struct Script {
    hub: Hub,
    /// The ids of what was made, which later lines name as `$0`, `$1`.
    made: Vec<String>,
}

impl Script {
    fn new() -> Self {
        let held = MemoryDocuments::of(&[
            (Server::PATH, r#"{"servers": [{"id": "b1", "machine": "m1"}, {"id": "b2", "machine": "m2"}]}"#),
            (Job::PATH, r#"{"jobs": []}"#),
        ]);
        Self { hub: Hub::of(&held, now()), made: Vec::new() }
    }

    fn filled(&self, text: &str) -> String {
        let made = self.made.iter().enumerate();
        made.fold(text.to_owned(), |text, (index, id)| text.replace(&format!("${index}"), id))
    }

    fn give(&mut self, text: &str) -> Changes {
        let text = self.filled(text);
        let operation: Operation = serde_json::from_str(&text).expect(&text);
        let before = self.hub.held();
        let answer = self.hub.give(&operation).expect(&text);
        let answers = answer.as_array().cloned().unwrap_or_else(|| vec![answer]);
        if ["add_jobs", "send_message"].iter().any(|verb| text.contains(verb)) {
            self.made.extend(answers.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)));
        }
        told(&before, &self.hub.held())
    }
}

const ADD: &str = r#"{"verb":"add_jobs","jobs":[{"max_attempts":2}],"requester":"b1"}"#;
const REPORT: &str =
    r#""report":{"exit_code":0,"duration_seconds":5,"artifacts":[],"commit":null,"message":null}"#;

fn claim(server: &str, rest: &str) -> String {
    format!(
        r#"{{"verb":"claim_jobs","claimant":{{"server":"{server}","incarnation":"s"}},"labels":[],"count":9,"job":null,"expired_assignment":null,{rest}}}"#
    )
}

fn step(server: &str, job: &str, token: u64, step: &str) -> String {
    format!(r#"{{"verb":"step_job","server":"{server}","job":"{job}","token":{token},{step}}}"#)
}

fn change(job: &str, change: &str) -> String {
    format!(r#"{{"verb":"change_job","server":"b2","job":"{job}",{change}}}"#)
}

fn lock(verb: &str, rest: &str) -> String {
    format!(r#"{{"verb":"{verb}","name":"deploy",{rest}}}"#)
}

fn taker(server: &str) -> String {
    format!(r#""taker":{{"server":"{server}","holder":"x","lease_seconds":60,"reason":"because"}}"#)
}

fn mark(server: &str, mark: &str) -> String {
    format!(r#"{{"verb":"mark_messages","server":"{server}","ids":["$0"],"mark":"{mark}"}}"#)
}

/// Gives each command and compares what it says.
fn expect(steps: &[(String, &str)]) {
    let mut script = Script::new();
    let mut wrong = Vec::new();
    for (text, expected) in steps {
        let changes = script.give(text);
        let (text, expected) = (script.filled(text), script.filled(expected));
        if lines(&changes).join(", ") != expected || !changes.unknown.is_empty() {
            wrong.push(format!("{text}: {:?}, not {expected}", lines(&changes)));
        }
        let held = script.hub.held();
        assert_eq!(told(&held, &held), Changes::default(), "nothing happened");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_commands_about_jobs_say_how_they_go_through_their_life() {
    let start = r#""step":"start""#;
    let complete = format!(r#""step":"complete",{REPORT}"#);
    let fail = |reason: &str| {
        let report = REPORT.replace("\"exit_code\":0", "\"exit_code\":1");
        format!(r#""step":"fail","reason":"{reason}",{report}"#)
    };
    let lost = r#"{"verb":"rescue_jobs","server":"b2","lost":[{"job":"$0","token":8,"beat":null}]}"#;
    expect(&[
        (ADD.to_owned(), "job.added $0"),
        (claim("b1", r#""start":false,"lost":[]"#), "job.claimed $0, server.status b1"),
        (step("b1", "$0", 1, start), "job.started $0"),
        (step("b1", "$0", 1, &complete), "job.completed $0, server.status b1"),
        (change("$0", r#""change":"retry","again":true"#), "job.requeued $0"),
        (change("$0", r#""change":"priority","priority":1"#), "job.edited $0"),
        (claim("b1", r#""start":true,"lost":[]"#), "job.claimed $0, job.started $0, server.status b1"),
        (step("b1", "$0", 2, r#""step":"release""#), "job.requeued $0, server.status b1"),
        (claim("b1", r#""start":false,"lost":[]"#), "job.claimed $0, server.status b1"),
        (step("b1", "$0", 3, &fail("timeout")), "job.requeued $0, server.status b1"),
        (change("$0", r#""change":"cancel","why":null"#), "job.cancelled $0"),
        (change("$0", r#""change":"retry""#), "job.requeued $0"),
        (claim("b1", r#""start":true,"lost":[]"#), "job.claimed $0, job.started $0, server.status b1"),
        (change("$0", r#""change":"cancel","why":null"#), "job.cancelled $0, server.status b1"),
        (step("b1", "$0", 4, r#""step":"stopped""#), "job.stopped $0"),
        (change("$0", r#""change":"retry""#), "job.requeued $0"),
        (claim("b1", r#""start":false,"lost":[]"#), "job.claimed $0, server.status b1"),
        (step("b1", "$0", 5, &fail("script_failure")), "job.failed $0, server.status b1"),
        (change("$0", r#""change":"retry""#), "job.requeued $0"),
        (claim("b1", r#""start":false,"lost":[]"#), "job.claimed $0, server.status b1"),
        (step("b1", "$0", 6, r#""step":"release""#), "job.requeued $0, server.status b1"),
        (claim("b1", r#""start":false,"lost":[]"#), "job.claimed $0, server.status b1"),
        (change("$0", r#""change":"requeue","token":7,"why":"gone""#), "job.requeued $0, server.status b1"),
        (change("$0", r#""change":"cancel","why":null"#), "job.cancelled $0"),
        (change("$0", r#""change":"retry""#), "job.requeued $0"),
        (claim("b1", r#""start":false,"lost":[]"#), "job.claimed $0, server.status b1"),
        (lost.to_owned(), "job.requeued $0, server.status b1"),
    ]);
}

#[test]
fn the_commands_about_locks_say_whose_they_are() {
    let expired = r#""expired":"b1#2@1762776240000.0-1762776300000""#;
    expect(&[
        (lock("acquire_lock", &format!(r#"{},"expired":null"#, taker("b1"))), "lock.acquired deploy"),
        (lock("renew_lock", r#""server":"b1","token":1,"lease_seconds":null"#), "lock.renewed deploy"),
        (lock("release_lock", r#""server":"b1","token":1"#), "lock.released deploy"),
        (lock("acquire_lock", &format!(r#"{},"expired":null"#, taker("b1"))), "lock.acquired deploy"),
        (lock("acquire_lock", &format!("{},{expired}", taker("b2"))), "lock.taken_over deploy"),
        (lock("steal_lock", &format!(r#"{},"force":true"#, taker("b1"))), "lock.taken_over deploy"),
        (r#"{"verb":"mark_done","key":"deploy","server":"b1","token":4}"#.to_owned(), "lock.done deploy"),
    ]);
}

#[test]
fn the_commands_about_messages_say_who_sent_read_and_acknowledged_them() {
    let send = r#"{"verb":"send_message","draft":{"from":"b1","to":"all","kind":"info","subject":"s","body":"secret","reply_to":null,"ack":true,"key":null,"auto":false}}"#;
    expect(&[
        (send.to_owned(), "message.sent $0"),
        (mark("b2", "read"), "message.read $0"),
        (mark("b2", "acknowledged"), "message.acknowledged $0"),
        (mark("b2", "read"), ""),
    ]);
    let mut script = Script::new();
    let sent = data(&script.give(send), "message.sent");
    assert_eq!(sent, json!({"from": "b1", "to": "all", "type": "info", "subject": "s"}), "not what it says");
    let read = data(&script.give(&mark("b2", "acknowledged")), "message.read");
    assert_eq!(read, json!({"by": "b2", "from": "b1", "to": "all", "type": "info", "subject": "s"}));
}

#[test]
fn the_commands_about_servers_and_pauses_say_what_became_of_them() {
    let join = r#"{"verb":"join","name":"b3","host":"three","machine":"m3","ip":null,"manager":null,"labels":["gpu"],"replace":false}"#;
    let pause = |note: &str| {
        format!(
            r#"{{"verb":"set_pause","server":"b1","what":{{"server":"b3"}},"note":"{note}","until":null,"drain":true}}"#
        )
    };
    let end = r#"{"verb":"end_pause","server":"b1","what":{"server":"b3"}}"#;
    let remove = r#"{"verb":"remove_server","name":"b3","by":"b1"}"#;
    let building = r#"{"verb":"set_status","server":"b3","word":"building","job":null,"system":null}"#;
    expect(&[
        (join.to_owned(), "server.joined b3, server.status b3"),
        (join.replace("gpu", "fast"), "server.changed b3"),
        (building.to_owned(), "server.status b3"),
        (building.to_owned(), ""),
        (pause("one"), "pause.set server:b3"),
        (pause("two"), "pause.set server:b3"),
        (end.to_owned(), "pause.ended server:b3"),
        (pause("three"), "pause.set server:b3"),
        (remove.to_owned(), "server.removed b3, server.status b3, pause.ended server:b3"),
    ]);
}

#[test]
fn what_is_archived_is_not_gone_and_comes_back() {
    let archive = r#"{"verb":"archive","server":"b1","older_than_seconds":0}"#;
    let mut script = Script::new();
    script.give(ADD);
    script.give(&change("$0", r#""change":"cancel","why":null"#));
    let gone = script.give(archive);
    assert_eq!(lines(&gone), [script.filled("job.archived $0")]);
    assert_eq!(data(&gone, "job.archived"), json!({"month": "2025-11"}));
    let back = script.give(&change("$0", r#""change":"retry""#));
    assert_eq!(lines(&back), [script.filled("job.edited $0"), script.filled("job.requeued $0")]);
    assert_eq!(data(&back, "job.edited"), json!({"fields": {"archived": {"before": true, "after": false}}}));
}

#[test]
fn what_a_job_says_of_itself_goes_with_what_happened() {
    let mut script = Script::new();
    assert_eq!(data(&script.give(ADD), "job.added")["job"]["status"], "queued");
    let claimed = data(&script.give(&claim("b1", r#""start":false,"lost":[]"#)), "job.claimed");
    assert_eq!(claimed, json!({"server": "b1", "token": 1, "attempt": 1}));
    let fail = REPORT.replace("\"exit_code\":0", "\"exit_code\":3");
    let fail = |token: u64| step("b1", "$0", token, &format!(r#""step":"fail","reason":"timeout",{fail}"#));
    let requeued = data(&script.give(&fail(1)), "job.requeued");
    assert_eq!((&requeued["cause"], &requeued["attempt"]), (&json!("timeout"), &json!(1)));
    assert!(requeued["not_before"].is_string(), "{requeued}");
    script.give(&change("$0", r#""change":"cancel","why":null"#));
    script.give(&change("$0", r#""change":"retry""#));
    script.give(&claim("b1", r#""start":false,"lost":[]"#));
    let dead = data(&script.give(&step("b1", "$0", 2, r#""step":"release""#)), "job.requeued");
    assert_eq!(dead, json!({"cause": "released", "not_before": null, "attempt": 0}));
    script.give(&claim("b1", r#""start":false,"lost":[]"#));
    let cancelled = data(&script.give(&change("$0", r#""change":"cancel","why":null"#)), "job.cancelled");
    assert_eq!(cancelled, json!({"may_still_run_on": "b1"}));
    let stopped = data(&script.give(&step("b1", "$0", 3, r#""step":"stopped""#)), "job.stopped");
    assert_eq!(stopped, json!({"server": "b1", "token": 3}));
}

/// A hub with these jobs.
fn with_jobs(rows: &[&str]) -> MemoryDocuments {
    MemoryDocuments::default().rows(Job::PATH, "jobs", rows)
}

#[test]
fn of_records_that_changed_by_hand_what_they_still_show_is_told() {
    let a = r#"{"id":"a","status":"queued"}"#;
    let done = r#"{"id":"a","status":"completed","token":1,"assigned_to":"b1"}"#;
    for (before, after, expected) in [
        (vec![a], vec![a], ""),
        // Laid out otherwise.
        (vec![a], vec![r#"{ "status": "queued", "id":"a" }"#], ""),
        (vec![a], vec![r#"{"id":"a","status":"queued","x":1}"#], "job.edited a"),
        (vec![a], vec![], "job.removed a"),
        (vec![], vec![a], "job.added a"),
        (vec![], vec![done], "job.added a, job.claimed a, job.completed a"),
        (vec![a], vec![done], "job.claimed a, job.completed a"),
        (vec![done], vec![a], "job.requeued a"),
        (
            vec![done],
            vec![r#"{"id":"a","status":"running","token":2,"assigned_to":"b2"}"#],
            "job.requeued a, job.claimed a, job.started a",
        ),
        (vec![a], vec![r#"{"id":"a","status":"lost in thought"}"#], "job.edited a"),
        // In another order.
        (vec![a, r#"{"id":"b"}"#], vec![r#"{"id":"b"}"#, a], ""),
        (
            vec![a, r#"{"id":"b"}"#, r#"{"id":"c"}"#],
            vec![r#"{"id":"c","x":1}"#, r#"{"id":"d"}"#, r#"{"id":"b"}"#],
            "job.edited c, job.added d, job.removed a",
        ),
    ] {
        let changes = told(&with_jobs(&before), &with_jobs(&after));
        assert_eq!(lines(&changes).join(", "), expected, "{before:?} {after:?}");
        assert_eq!(changes.unknown, []);
    }
}

#[test]
fn what_cannot_be_read_is_told_as_unknown_and_nothing_as_gone() {
    let broken = |text: &str| MemoryDocuments::of(&[(Job::PATH, text)]);
    let ab = with_jobs(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]);
    for (after, events, unknown) in [
        // The document.
        (broken("<<<<<<<"), "", vec![None]),
        // A record, with its id and without.
        (
            with_jobs(&[r#"{"id":"a","status":["x"]}"#, r#"{"id":"b","x":1}"#]),
            "job.edited b",
            vec![Some("a")],
        ),
        (with_jobs(&["null", r#"{"id":"b"}"#]), "", vec![Some("")]),
        // Where it may have gone to.
        (
            with_jobs(&[r#"{"id":"b"}"#]).with("main", "coordination/archive/jobs-2025-10.json", "["),
            "",
            vec![None],
        ),
    ] {
        for (before, after, is_back) in [(&ab, &after, false), (&after, &ab, true)] {
            let changes = told(before, after);
            let ids: Vec<Option<&str>> = changes.unknown.iter().map(|one| one.id.as_deref()).collect();
            assert_eq!(lines(&changes).join(", "), events, "{is_back} {after:?}");
            assert_eq!(ids, unknown, "{is_back} {after:?}");
        }
    }
    let same = with_jobs(&["null", r#"{"id":"a"}"#]);
    let changes = told(&same, &with_jobs(&["null", r#"{"id":"a","x":1}"#]));
    assert_eq!((lines(&changes).join(", ").as_str(), changes.unknown.len()), ("job.edited a", 0));
    let status = |text: &str| MemoryDocuments::of(&[("b1/status.json", text)]);
    let changes = told(&status(r#"{"status":"idle"}"#), &status("["));
    assert_eq!((changes.events.len(), changes.unknown.len()), (0, 1));
}
