//! Nothing that a terminal obeys comes out, whoever wrote it into the hub.

use super::two_servers;
use crate::support::{Host, MAIN, Run};
use serde_json::{Value, json};

/// Clears the screen, rings, goes back, turns around, and is what a terminal takes as a command.
const HOSTILE: &str = "x\u{1b}[2J\u{7}\r\u{8}\u{0}\u{7f}\u{85}\u{9b}31m\u{9d}0;t\u{9c}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{feff}\ny\tz";

#[track_caller]
fn assert_harmless(run: &Run) {
    let obeyed = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    for (name, text) in [("stdout", run.stdout()), ("stderr", run.stderr())] {
        if let Some(at) = text.find(obeyed) {
            run.fail(&format!("{name} holds {:?} at {at}: {text:?}", text[at..].chars().next()));
        }
    }
}

/// Every text field that is known of any record, and one that is not.
fn record(id: &str, fields: &[&str]) -> Value {
    let mut record = json!({"id": id, HOSTILE: HOSTILE, "x_unknown": {HOSTILE: [HOSTILE]}});
    for field in fields {
        record[*field] = HOSTILE.into();
    }
    record
}

fn with(mut record: Value, more: Value) -> Value {
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

const JOB: &[&str] = &[
    "type",
    "branch",
    "commit",
    "description",
    "key",
    "reason",
    "error_message",
    "requester",
    "incarnation",
];
const MESSAGE: &[&str] =
    &["from", "type", "subject", "body", "reply_to", "thread", "priority", "ack_status", "key"];
const SERVER: &[&str] = &["host", "ip", "manager", "machine"];

fn documents() -> Vec<(&'static str, String)> {
    let lists =
        json!({"command": [HOSTILE], "labels": [HOSTILE], "artifacts": [HOSTILE], "needs": [HOSTILE]});
    let jobs = json!({"jobs": [
        record("job_free", JOB),
        with(record("job_waits", JOB), lists.clone()),
        with(record("job_held", JOB), json!({"status": "running", "assigned_to": HOSTILE})),
        with(record("job_dead", JOB), json!({"status": "dead", "assigned_to": HOSTILE, "token": 1})),
        with(record("job_done", JOB), json!({"status": "failed", "artifacts": [HOSTILE]})),
        with(record("job_odd", JOB), json!({"status": HOSTILE})),
        with(record(HOSTILE, JOB), lists),
    ], HOSTILE: HOSTILE});
    let held = json!({"locked_by": HOSTILE, "holder": HOSTILE, "reason": HOSTILE, "token": 3, HOSTILE: HOSTILE, "locked_at": "2025-10-29T12:00:00Z"});
    let locks = json!({"locks": {"held": held.clone(), HOSTILE: held.clone(), "done": with(held, json!({"done_at": "2025-10-29T12:00:00Z", "locked_by": null}))}});
    let messages = json!({"messages": [
        with(record("msg_1", MESSAGE), json!({"to": "ada", "read_by": [HOSTILE], "acknowledged_by": [{"by": HOSTILE}], "ack_required": true})),
        with(record("msg_2", MESSAGE), json!({"to": HOSTILE, "reply_to": "msg_1"})),
        with(record(HOSTILE, MESSAGE), json!({"to": "all"})),
        with(record("msg_3", MESSAGE), json!({"to": format!("nobody {HOSTILE}")})),
    ]});
    let servers = json!({"servers": [
        with(record("ada", SERVER), json!({"labels": [HOSTILE], "joined_at": null, "machine": null})),
        with(record("bob", SERVER), json!({"labels": [HOSTILE]})),
        with(record("carol", SERVER), json!({"host": HOSTILE})),
        record(HOSTILE, SERVER),
    ]});
    let status = json!({"server": HOSTILE, "ip": HOSTILE, "manager": HOSTILE, "status": HOSTILE, "timestamp": HOSTILE,
        "current_job": {"id": HOSTILE, "branch": HOSTILE, "commit": HOSTILE, "started_at": HOSTILE, HOSTILE: HOSTILE},
        "last_build": {"id": HOSTILE, "status": HOSTILE, "artifacts": [HOSTILE]}, HOSTILE: HOSTILE});
    let failed = with(status.clone(), json!({"last_build": {"id": HOSTILE, "status": "failed"}}));
    let beat = json!({"server": HOSTILE, "timestamp": "2025-10-29T12:00:00Z", "healthy": false, "incarnation": HOSTILE,
        "revoked": HOSTILE, "running": [{"id": HOSTILE, "token": 1}], HOSTILE: HOSTILE});
    vec![
        ("coordination/jobs.json", jobs.to_string()),
        ("coordination/locks.json", locks.to_string()),
        ("coordination/messages.json", messages.to_string()),
        ("coordination/servers.json", servers.to_string()),
        ("ada/status.json", status.to_string()),
        ("bob/status.json", failed.to_string()),
        ("ada/heartbeat.json", beat.to_string()),
        ("bob/heartbeat.json", beat.to_string()),
    ]
}

/// Every command that prints something of the hub; those that write come last.
const LINES: [&str; 46] = [
    "fsck",
    "fsck --history",
    "fsck --mend --dry-run",
    "job list",
    "job list --status running",
    "job show job_free",
    "job show job_waits",
    "job show job_held",
    "job show job_dead",
    "job show job_odd",
    "job explain job_free",
    "job explain job_waits",
    "job explain job_held",
    "job explain job_done",
    "job wait job_dead",
    "job wait job_held --wait 0",
    "job claim job_held",
    "job start job_held --token 9",
    "job complete job_held --token 0",
    "job retry job_held",
    "job priority job_done 1",
    "job cancel job_dead",
    "job add --key nothing --needs job_nowhere",
    "lock list",
    "lock show held",
    "lock show done",
    "lock acquire held",
    "lock acquire held --wait 1s",
    "lock acquire done",
    "lock renew held --token 3",
    "lock release held --token 2",
    "once do done",
    "once do held",
    "message list",
    "message thread msg_1",
    "message ack msg_2",
    "servers list",
    "servers show bob",
    "servers remove ada",
    "join --as bob",
    "status show",
    "status list",
    "health",
    "health --server bob",
    "op list",
    "config list --show-origin",
];

const WRITES: [&str; 12] = [
    "message read",
    "message read msg_2",
    "message ack msg_1",
    "job claim --dry-run",
    "job claim --shell",
    "job priority job_waits 1",
    "job cancel job_held",
    "job retry job_done --again",
    "lock steal held --reason x --force",
    "status set idle",
    "servers remove carol",
    "heartbeat",
];

#[track_caller]
fn assert_all_harmless(host: &Host, lines: &[&str]) {
    for line in lines {
        for json in [&[][..], &["--json"]] {
            let shell = line.contains("--shell") && !json.is_empty();
            if !shell {
                let run = host.run(line.split(' ').chain(json.iter().copied()));
                assert!(run.exit_code().is_some_and(|code| code != 70), "{line}\n{run}");
                assert_harmless(&run);
            }
        }
    }
}

#[test]
fn nothing_a_terminal_obeys_comes_out_of_a_record() {
    let (fleet, ada, _bob) = two_servers();
    fleet.hub().put(MAIN, &documents(), "hostile");
    let listed = ada.run(["job", "list"]).success();
    assert!(listed.stdout().contains("\\u{1b}[2J"), "what is hidden is shown as an escape: {listed}");
    assert_all_harmless(&ada, &LINES);
    assert_all_harmless(&ada, &[&format!("import {} --check", fleet.hub().url())]);
    assert_all_harmless(&ada, &WRITES);
}

#[test]
fn nothing_a_terminal_obeys_comes_out_of_a_history_a_branch_or_a_document_that_is_broken() {
    let (fleet, ada, _bob) = two_servers();
    let op = "019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f";
    let start = fleet.hub().put(
        MAIN,
        &[("x", "")],
        &format!("{}\n\nMuster-Op: {op}", HOSTILE.replace(['\0', '\n'], "")),
    );
    ada.run(["op", "status", op]).success();
    let branch = "heartbeat-\u{202e}\u{9b}2Jx";
    let beat = json!({"server": "ada", "timestamp": "2999-01-01T00:00:00Z", "revoked": HOSTILE, "incarnation": HOSTILE});
    fleet.hub().put(branch, &[("ada/heartbeat.json", beat.to_string())], "hostile");
    assert_all_harmless(
        &ada,
        &[&format!("op status {op}"), "servers list", "health", "heartbeat", "servers show ada"],
    );
    let escaped = |text: &str| serde_json::to_string(text).unwrap();
    let broken = [
        ("coordination/jobs.json", format!("{{\"jobs\": [{{{}: 1, \"id\": []}}]}}", escaped(HOSTILE))),
        ("coordination/locks.json", format!("{{\"locks\": {{{}: 1}}}}", escaped(HOSTILE))),
        ("coordination/messages.json", format!("{{\"messages\": {}}}", escaped(HOSTILE))),
        ("coordination/servers.json", format!("{{\"servers\": [{}]}}", escaped(HOSTILE))),
        ("ada/status.json", format!("{{\"current_job\": {}}}", escaped(HOSTILE))),
        ("ada/heartbeat.json", format!("{{\"running\": {}}}", escaped(HOSTILE))),
    ];
    fleet.hub().put(MAIN, &broken, "broken");
    assert_all_harmless(&ada, &LINES);
    fleet.hub().git(["update-ref", "refs/heads/main", &start]);
    fleet.hub().put(MAIN, &broken.map(|(path, _)| (path, format!("{{\"a\": {HOSTILE}}}"))), "raw");
    assert_all_harmless(&ada, &LINES);
}

#[test]
fn nothing_a_terminal_obeys_comes_out_of_a_refusing_hub_or_of_what_was_given() {
    let (fleet, ada, _bob) = two_servers();
    let given = "\u{1b}[2J\u{9b}31m\u{202e}x";
    for args in [
        &["join", "--as", given][..],
        &["--server", given, "servers", "list"],
        &["--branch", given, "servers", "list"],
        &["--hub", given, "servers", "list"],
        &["--if-lock", given, "servers", "list"],
        &["job", "show", given],
        &["job", "add", "--type", given],
        &["job", "add", "--label", given],
        &["job", "add", "--needs", given],
        &["job", "add", "--from", given],
        &["job", "list", "--status", given],
        &["lock", "show", given],
        &["message", "send", "--to", given, "--subject", "x"],
        &["message", "send", "--to", "bob", "--subject", given],
        &["message", "send", "--to", "bob", "--subject", "x", "--body", &format!("@{given}")],
        &[given],
        &["init", given, "--dry-run"],
        &["fence", "check", "--name", "a", "--token", "1", "--state", "f", "--", given],
        &["lock", "run", "a", "--", given],
    ] {
        assert_harmless(&ada.run(args));
        assert_harmless(&ada.run(args.iter().chain(&["--json"])));
    }
    let script = "#!/bin/sh\nprintf '\\033[2J\\007\\233no\\302\\233\\342\\200\\256\\r\\n' >&2\nexit 1\n";
    fleet.hub().install_hook("pre-receive", script);
    let run = ada.run(["job", "add", "--type", "build"]).code(4);
    assert!(run.stderr().contains("refuses"), "{run}");
    assert_harmless(&run);
    assert_harmless(&ada.run(["job", "add", "--type", "build", "--json"]).code(4));
}
