//! What a fleet of any size has in its hub, as a stream for `git fast-import`: registered servers, each
//! with a status, a beat on main and one on its branch, jobs in every state, messages, locks and
//! pauses. Made in a second where the product's own commands would need an hour.
//!
//! Also the hub of `benches/fleet.rs`, so it names nothing of the suite.

use git_muster::inside::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Registered servers that beat.
    pub(crate) servers: u64,
    /// Live jobs.
    pub(crate) jobs: u64,
    /// Live messages.
    pub(crate) messages: u64,
}

/// How many commits lead to the newest.
const COMMITS: u64 = 100;

/// Of so many servers one has logs.
const LOGS_EVERY: u64 = 20;

/// The name of the server with this number, of those of a fleet of any size.
#[must_use]
pub(crate) fn server(number: u64) -> String {
    format!("s{number:04}")
}

/// The stream; `now` is the present, and all that is told happened in the hour before.
#[must_use]
pub(crate) fn stream(size: Size, now: Timestamp) -> String {
    let hub = BigHub { size, now };
    let mut out = String::new();
    for number in (1..COMMITS).rev() {
        let text = json!({"notify": {"on_failure": true}, "number": number}).to_string();
        hub.commit(&mut out, ("main", number), &[("shared/build_config.json".to_owned(), text)]);
    }
    hub.commit(&mut out, ("main", 0), &hub.main());
    for number in 0..size.servers {
        let name = server(number);
        let beat = (format!("{name}/heartbeat.json"), hub.beat(number, 20).to_string());
        hub.commit(&mut out, (&format!("heartbeat-{name}"), 0), &[beat]);
        if number % LOGS_EVERY == 0 {
            let log = (format!("{name}/logs/20260101T000000Z-job_{number}.log"), "a line\n".to_owned());
            hub.commit(&mut out, (&format!("logs-{name}"), 0), &[log]);
        }
    }
    out
}

struct BigHub {
    size: Size,
    now: Timestamp,
}

impl BigHub {
    /// So many seconds ago.
    fn ago(&self, seconds: u64) -> String {
        self.now.before(Duration::from_secs(seconds)).to_string()
    }

    fn commit(&self, out: &mut String, (branch, minutes): (&str, u64), files: &[(String, String)]) {
        let at = self.now.before(Duration::from_secs(60 * minutes)).unix_seconds();
        write!(
            out,
            "commit refs/heads/{branch}\ncommitter big <big@example.invalid> {at} +0000\ndata 4\nbig\n"
        )
        .expect("a text can be written to");
        for (path, text) in files {
            write!(out, "M 100644 inline {path}\ndata {}\n{text}\n", text.len()).expect("as above");
        }
        out.push('\n');
    }

    fn main(&self) -> Vec<(String, String)> {
        let rows = |count, row: &dyn Fn(u64) -> Value| (0..count).map(row).collect::<Vec<_>>();
        let pretty = |value: Value| serde_json::to_string_pretty(&value).expect("a value is text") + "\n";
        let locks: serde_json::Map<String, Value> =
            (0..self.size.servers / 4).map(|n| self.lock(n)).collect();
        let pauses = rows(
            self.size.servers / 50,
            &|n| json!({"id": format!("server:{}", server(n * 7 + 3)), "by": server(1), "at": self.ago(900), "note": "disk"}),
        );
        let mut files = vec![
            ("servers", json!({"servers": rows(self.size.servers, &|n| self.registered(n))})),
            ("jobs", json!({"jobs": rows(self.size.jobs, &|n| self.job(n))})),
            ("messages", json!({"messages": rows(self.size.messages, &|n| self.message(n))})),
            ("locks", json!({"locks": locks})),
            ("pauses", json!({"pauses": pauses})),
        ]
        .into_iter()
        .map(|(name, value)| (format!("coordination/{name}.json"), pretty(value)))
        .collect::<Vec<_>>();
        for number in 0..self.size.servers {
            let name = server(number);
            files.push((format!("{name}/heartbeat.json"), pretty(self.beat(number, 600))));
            files.push((format!("{name}/status.json"), pretty(self.status(number))));
        }
        files
    }

    fn registered(&self, number: u64) -> Value {
        let labels = json!([
            format!("rack={}", number % 40),
            if number.is_multiple_of(2) { "arch=amd64" } else { "gpu" }
        ]);
        json!({"id": server(number), "host": format!("host-{number}"), "ip": null, "manager": "ada", "labels": labels, "joined_at": self.ago(3000)})
    }

    fn beat(&self, number: u64, seconds: u64) -> Value {
        let load = json!({"cpu_usage": 12.5, "memory_used_gb": 3.1, "disk_free_gb": 80.0});
        json!({"server": server(number), "timestamp": self.ago(seconds), "uptime_seconds": 86_400, "healthy": true,
            "incarnation": format!("session-{number}"), "sequence": 41, "interval_seconds": 60,
            "worker_at": self.ago(seconds), "system": load})
    }

    fn status(&self, number: u64) -> Value {
        let last = json!({"id": format!("job_{number}"), "status": "success", "completed_at": self.ago(1800), "duration_seconds": 41, "artifacts": []});
        json!({"server": server(number), "ip": null, "manager": "ada", "timestamp": self.ago(600), "status": "idle",
            "current_job": null, "last_build": last, "system": {"cpu_usage": 12.5, "memory_used_gb": 3.1, "disk_free_gb": 80.0}})
    }

    /// Of ten jobs four wait for a server, two for something else, one is at work and three have ended.
    fn job(&self, number: u64) -> Value {
        let mut job = json!({"id": format!("job_{number}"), "type": "build", "priority": number % 10 + 1,
            "branch": "main", "commit": null, "assigned_to": null, "status": "queued",
            "created_at": self.ago(3600 - number % 3000), "started_at": null, "completed_at": null,
            "description": "a job of a large hub, with as many words as people write",
            "command": ["make", format!("target-{number}")], "timeout_seconds": 7200, "requester": server(number % self.size.servers)});
        let holder = server(number / 10 % self.size.servers);
        let at_work = json!({"assigned_to": holder, "started_at": self.ago(500), "attempts": 1, "token": 1,
            "incarnation": format!("session-{}", number / 10 % self.size.servers), "worker": "w"});
        let more = match number % 10 {
            0 => json!({"status": "running"}),
            1 => {
                json!({"status": "completed", "completed_at": self.ago(300), "duration_seconds": 200, "exit_code": 0})
            }
            2 => {
                json!({"status": "failed", "completed_at": self.ago(300), "duration_seconds": 200, "exit_code": 2, "reason": "script_failure"})
            }
            3 => json!({"status": "dead", "completed_at": self.ago(300), "attempts": 3, "reason": "timeout"}),
            4 => json!({"needs": [format!("job_{}", number - 1)]}),
            5 => json!({"labels": [format!("rack={}", number % 40)]}),
            6 => json!({"group": format!("group-{}", number % 100)}),
            7 => json!({"key": format!("key-{number}")}),
            _ => json!({}),
        };
        for fields in [Some(at_work).filter(|_| number % 10 < 4), Some(more)].into_iter().flatten() {
            let (Value::Object(job), Value::Object(fields)) = (&mut job, fields) else { continue };
            job.extend(fields);
        }
        job
    }

    fn message(&self, number: u64) -> Value {
        let to =
            if number.is_multiple_of(50) { "all".to_owned() } else { server(number % self.size.servers) };
        let mut message = json!({"id": format!("msg_{number}"), "from": server((number + 1) % self.size.servers), "to": to,
            "type": "info", "subject": format!("subject {number}"), "body": "a body of some words, as people write them to each other",
            "timestamp": self.ago(3600 - number % 3000), "read": number % 2 == 1, "ack_required": number.is_multiple_of(5)});
        if number.is_multiple_of(3) && number > 0 {
            message["reply_to"] = json!(format!("msg_{}", number - 1));
            message["thread"] = json!(format!("msg_{}", number - number % 30));
        }
        message
    }

    fn lock(&self, number: u64) -> (String, Value) {
        let held = json!({"locked_by": server(number), "locked_at": self.ago(60), "expires_at": self.now.plus(Duration::from_secs(600)).to_string(),
            "token": 3, "lease_seconds": 660, "renewal": 0, "renewed_at": self.ago(60), "holder": "host-1 pid 7"});
        let free = json!({"locked_by": null, "locked_at": null, "expires_at": null, "token": 3});
        (format!("lock-{number}"), if number.is_multiple_of(2) { held } else { free })
    }
}
