//! What a command tells people to type is harmless whatever the records of the hub are called: somebody
//! pastes it, or a program does.

use super::two_servers;
use crate::support::{Host, MAIN};
use serde_json::{Value, json};

/// Names that a shell would obey, each of which leaves a file.
const NAMES: [&str; 4] = ["x;touch PASTED;#", "$(touch PASTED)", "a\n touch PASTED #", "a b' touch PASTED '"];

fn job(id: &str, status: &str, more: &Value) -> Value {
    let mut job = json!({
        "id": id, "type": "t", "status": status, "priority": 5, "attempts": 3,
        "created_at": "2026-01-01T00:00:00Z", "command": ["true"], "labels": [],
    });
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job
}

/// Records of every kind under such a name, each in a state of which something is told.
fn documents() -> Vec<(&'static str, String)> {
    let (mut jobs, mut locks) = (Vec::new(), serde_json::Map::new());
    let (mut messages, mut servers) = (Vec::new(), vec![json!({"id": "ada"}), json!({"id": "bob"})]);
    let held = json!({"assigned_to": "ada", "started_at": "2026-01-01T00:00:00Z"});
    for name in NAMES {
        let other = |kind: &str| format!("{kind}{name}");
        jobs.push(job(&other("dead"), "dead", &json!({"reason": "timeout"})));
        jobs.push(job(&other("held"), "running", &held));
        jobs.push(job(
            &other("token"),
            "running",
            &json!({"assigned_to": name, "started_at": "2026-01-01T00:00:00Z", "token": 1}),
        ));
        jobs.push(job(&other("label"), "queued", &json!({"labels": ["none has it"]})));
        jobs.push(job(&other("queued"), "queued", &json!({})));
        jobs.push(job(&other("needs"), "queued", &json!({"needs": [other("dead")]})));
        jobs.push(job(&other("circle"), "queued", &json!({"needs": [other("circle")]})));
        jobs.push(job(&other("group"), "cancelled", &json!({
            "group": name, "assigned_to": name, "token": 1, "worker": "w", "started_at": "2026-01-01T00:00:00Z",
            "completed_at": "2026-01-01T00:01:00Z",
        })));
        jobs.push(job(&other("after"), "queued", &json!({"group": name})));
        jobs.push(job(&other("twice"), "queued", &json!({})));
        jobs.push(job(&other("twice"), "queued", &json!({})));
        locks.insert(other("lock"), json!({
            "locked_by": "ada", "locked_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:01:00Z", "token": 1,
        }));
        messages.push(json!({"id": other("msg"), "from": "ada", "to": "bob", "subject": "s", "body": "b"}));
        servers.push(json!({"id": name}));
    }
    let text = |field: &str, records: Value| json!({field: records}).to_string();
    vec![
        ("coordination/jobs.json", text("jobs", jobs.into())),
        ("coordination/locks.json", text("locks", Value::Object(locks))),
        ("coordination/messages.json", text("messages", messages.into())),
        ("coordination/servers.json", text("servers", servers.into())),
        ("coordination/archive/jobs-2026-01 touch PASTED.json", "{".to_owned()),
    ]
}

/// The lines between backquotes that are told to be typed.
fn told(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn paste_all(host: &Host, words: &[&str]) -> usize {
    let run = host.run(words.iter().copied());
    // With line breaks as they were.
    let text = format!("{}{}", run.stdout(), run.stderr()).replace("\\n", "\n");
    let lines: Vec<&str> = told(&text).filter(|line| line.contains("git ") || line.contains("rm ")).collect();
    for line in &lines {
        // What is told is not done, only read by a shell.
        let script = format!("git() {{ :; }}; rm() {{ :; }}; {line}");
        drop(host.program("sh").args(["-c", &script]).run());
        assert!(!host.directory().join("PASTED").exists(), "`{line}` of {run}");
    }
    lines.len()
}

#[test]
fn what_is_told_to_be_typed_is_harmless_whatever_records_are_called() {
    let (fleet, ada, _bob) = two_servers();
    ada.run(["heartbeat"]).success();
    let documents = documents();
    let files: Vec<(&str, &str)> = documents.iter().map(|(path, text)| (*path, text.as_str())).collect();
    fleet.hub().put(MAIN, &files, "names that are tricks");
    let mut seen = 0;
    for words in [
        &["health", "--all"][..],
        &["health", "--all", "--json"],
        &["fsck"],
        &["fsck", "--history"],
        &["doctor"],
        &["job", "list"],
        &["job", "dead", "list"],
        &["job", "dead", "retry", "--all"],
        &["job", "claim"],
        &["lock", "list"],
        &["message", "list"],
        &["message", "read"],
        &["servers", "list"],
        &["servers", "remove", "ada"],
        &["worker", "list"],
        &["queue", "list"],
        &["queue", "drain", "--wait", "1s"],
        &["status", "list"],
    ] {
        seen += paste_all(&ada, words);
    }
    for name in NAMES {
        for words in
            [["job", "explain"], ["job", "show"], ["job", "retry"], ["lock", "show"], ["lock", "acquire"]]
        {
            for kind in ["dead", "held", "label", "circle", "lock"] {
                seen += paste_all(&ada, &[words[0], words[1], &format!("{kind}{name}")]);
            }
        }
    }
    assert!(seen >= 20, "{seen} commands were told");
}
