//! What is looked at after a fault: operations in the history, documents, what is kept unsettled.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{Host, Hub, MAIN, git, normalise};

/// Fields that differ between two runs of the same command and mean nothing here.
const VARYING: [&str; 4] = ["uptime_seconds", "system", "duration_seconds", "holder"];

/// How often each operation stands in the history of each branch.
#[track_caller]
pub(super) fn operations(hub: &Hub) -> BTreeMap<(String, String), usize> {
    let format = "--format=%S %(trailers:key=Muster-Op,valueonly,separator=%x20)";
    let text = hub.git(["log", "--branches", "--source", format]);
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let branch = words.next().unwrap_or_default();
        for op in words {
            *counts.entry((op.to_owned(), branch.to_owned())).or_default() += 1;
        }
    }
    counts
}

/// Whether this is the main branch, by its name or its whole name.
pub(super) fn is_main(branch: &str) -> bool {
    branch.strip_prefix("refs/heads/").unwrap_or(branch) == MAIN
}

/// Every document of every branch, without what differs from run to run.
#[track_caller]
pub(super) fn documents(hub: &Hub) -> BTreeMap<String, String> {
    let branches = hub.git(["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/"]);
    let of_branch = |line: &str| {
        let (branch, commit) = line.split_once(' ').unwrap();
        let documents = of_commit(hub, commit);
        documents.iter().map(|(path, text)| (format!("{branch}:{path}"), text.clone())).collect::<Vec<_>>()
    };
    let documents = branches.lines().flat_map(of_branch);
    documents.chain([("one commit on heartbeat-old".to_owned(), squashed(hub).to_string())]).collect()
}

/// The documents of a commit. Most branches of most worlds are as they were in another, and the same
/// commit holds the same everywhere.
#[track_caller]
fn of_commit(hub: &Hub, commit: &str) -> Arc<Vec<(String, String)>> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Vec<(String, String)>>>> = Mutex::new(BTreeMap::new());
    if let Some(known) = KNOWN.lock().unwrap().get(commit) {
        return Arc::clone(known);
    }
    let paths = hub.git(["ls-tree", "-r", "--name-only", commit]);
    let names: Vec<String> = paths.lines().map(|path| format!("{commit}:{path}")).collect();
    let texts = contents(hub, &names);
    let documents = paths.lines().zip(texts).map(|(path, text)| (normalise(path), without_varying(&text)));
    let documents = Arc::new(documents.collect());
    KNOWN.lock().unwrap().insert(commit.to_owned(), Arc::clone(&documents));
    documents
}

/// Whether the branch that waits to be squashed holds one commit.
#[track_caller]
pub(super) fn squashed(hub: &Hub) -> bool {
    hub.git(["rev-list", "--count", "heartbeat-old"]).trim() == "1"
}

/// The blobs of these names, in order.
#[track_caller]
fn contents(hub: &Hub, names: &[String]) -> Vec<String> {
    let mut child = Command::new("git")
        .args(["cat-file", "--batch=%(objectsize)"])
        .current_dir(hub.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let questions = names.join("\n") + "\n";
    let mut stdin = child.stdin.take().unwrap();
    let asker = std::thread::spawn(move || stdin.write_all(questions.as_bytes()));
    let output = child.wait_with_output().unwrap();
    asker.join().unwrap().unwrap();
    let mut rest = output.stdout.as_slice();
    let mut blobs = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let size: usize = std::str::from_utf8(&rest[..end]).unwrap().parse().unwrap();
        let blob = &rest[end + 1..][..size];
        blobs.push(String::from_utf8_lossy(blob).into_owned());
        rest = &rest[end + size + 2..];
    }
    assert_eq!(blobs.len(), names.len());
    blobs
}

fn without_varying(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            prune(&mut value);
            normalise(&format!("{value:#}"))
        }
        Err(_) => normalise(text),
    }
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in VARYING {
                fields.shift_remove(name);
            }
            fields.values_mut().for_each(prune);
        }
        Value::Array(values) => values.iter_mut().for_each(prune),
        _ => {}
    }
}

/// The operations that a host began and does not know the end of: id and verb.
#[track_caller]
pub(super) fn unsettled(host: &Host) -> Vec<(String, String)> {
    let listed = host.unsettled();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = listed.as_array().unwrap().iter();
    entries.map(|entry| (text(&entry["op"]), text(&entry["operation"]["verb"]))).collect()
}

/// What differs between two states of a hub, for the report of a failure.
pub(super) fn difference(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) -> String {
    let mut report = String::new();
    for name in found.keys().chain(expected.keys()) {
        let (left, right) = (found.get(name), expected.get(name));
        if left != right && !report.contains(name) {
            let shown = |text: Option<&String>| text.map_or("(nothing)", String::as_str).to_owned();
            report += &format!("{name}\n--- found\n{}\n--- expected\n{}\n", shown(left), shown(right));
        }
    }
    report
}

/// The files of a repository that plain git finds sound.
#[track_caller]
pub(super) fn assert_sound(hub: &Hub) {
    git(hub.path(), ["fsck", "--no-progress", "--no-dangling", "--connectivity-only"]);
}
