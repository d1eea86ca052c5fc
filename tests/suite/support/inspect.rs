//! Looks at a hub or a clone with plain git, independently of the code under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::hub::{Hub, MAIN};
use super::plain_git::{git, try_git};

/// The trailer that carries the id of the operation a commit records.
const OP_TRAILER: &str = "Muster-Op";

/// Separates fields and records in what `git log` prints; no message holds these.
const FIELD: char = '\u{1f}';
const RECORD: char = '\u{1e}';

/// What a rebase, merge or similar leaves in a repository until it is finished.
const UNFINISHED: [&str; 7] = [
    "rebase-merge",
    "rebase-apply",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "BISECT_LOG",
    "sequencer",
];

/// One commit of a hub's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The whole commit id.
    pub(crate) id: String,
    /// The first line of the message.
    pub(crate) subject: String,
    /// The rest of the message, trailers included.
    pub(crate) body: String,
    /// The trailers in their order; a key may occur more than once.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Commit {
    /// The values of the trailers of one key.
    pub(crate) fn trailer<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let wanted = self.trailers.iter().filter(move |(known, _)| known == key);
        wanted.map(|(_, value)| value.as_str())
    }
}

/// The bytes of a file on a branch of the hub, or `None` when it is not there.
#[track_caller]
#[must_use]
pub(crate) fn content(hub: &Hub, branch: &str, path: &str) -> Option<Vec<u8>> {
    let output = try_git(hub.path(), ["show", &format!("refs/heads/{branch}:{path}")]);
    output.status.success().then_some(output.stdout)
}

/// A JSON document on a branch of the hub.
#[track_caller]
#[must_use]
pub(crate) fn document(hub: &Hub, branch: &str, path: &str) -> serde_json::Value {
    let bytes = content(hub, branch, path)
        .unwrap_or_else(|| panic!("there is no {path} on {branch} in {}", hub.path().display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(&bytes);
        panic!("{path} on {branch} is not JSON: {error}\n{text}")
    })
}

/// One of the jobs that are on the hub's main branch and not archived.
#[track_caller]
pub(crate) fn job(hub: &Hub, id: &str) -> serde_json::Value {
    let document = document(hub, MAIN, "coordination/jobs.json");
    document["jobs"].as_array().unwrap().iter().find(|job| job["id"] == id).unwrap().clone()
}

/// The names of the hub's branches, sorted.
#[track_caller]
#[must_use]
pub(crate) fn branches(hub: &Hub) -> Vec<String> {
    let text = hub.git(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/"]);
    text.lines().map(str::to_owned).collect()
}

/// The commits of a branch, newest first.
#[track_caller]
#[must_use]
pub(crate) fn log(hub: &Hub, branch: &str) -> Vec<Commit> {
    let format = "--format=%H%x1f%s%x1f%b%x1f%(trailers:only,unfold)%x1e";
    let text = hub.git(["log", format, &format!("refs/heads/{branch}")]);
    let records = text.split(RECORD).map(str::trim_start);
    records.filter(|record| !record.is_empty()).map(commit).collect()
}

fn commit(record: &str) -> Commit {
    let fields: Vec<&str> = record.split(FIELD).collect();
    let [id, subject, body, trailers] = fields[..] else {
        panic!("git log printed {record:?}");
    };
    let trailers = trailers.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        Some((key.to_owned(), value.trim().to_owned()))
    });
    Commit {
        id: id.to_owned(),
        subject: subject.to_owned(),
        body: body.trim_end().to_owned(),
        trailers: trailers.collect(),
    }
}

/// How often each operation occurs in a branch's history; more than once is a fault.
#[track_caller]
#[must_use]
pub(crate) fn ops_in_history(hub: &Hub, branch: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for commit in log(hub, branch) {
        for op in commit.trailer(OP_TRAILER) {
            *counts.entry(op.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// Fails the test unless every object of the hub is sound and no lock file is left in it.
#[track_caller]
pub(crate) fn assert_hub_is_sound(hub: &Hub) {
    assert_no_lock_files(hub.path());
    assert_objects_are_sound(hub.path());
}

/// Fails the test unless a clone is as a user expects to find it: on `main`, nothing changed, nothing
/// half done, no lock left, every object sound.
#[track_caller]
pub(crate) fn assert_clone_is_clean(clone: &Path) {
    let status = git(clone, ["--no-optional-locks", "status", "--porcelain"]);
    assert!(status.is_empty(), "{} is dirty:\n{status}", clone.display());
    let head = try_git(clone, ["symbolic-ref", "HEAD"]);
    let head = String::from_utf8_lossy(&head.stdout).trim().to_owned();
    let expected = format!("refs/heads/{MAIN}");
    assert_eq!(head, expected, "HEAD of {}", clone.display());
    let inside = clone.join(".git");
    for name in UNFINISHED {
        let left = inside.join(name);
        assert!(!left.exists(), "{} was left behind", left.display());
    }
    assert_no_lock_files(&inside);
    assert_objects_are_sound(clone);
}

#[track_caller]
fn assert_objects_are_sound(repository: &Path) {
    let fsck = try_git(repository, ["fsck", "--no-progress", "--no-dangling"]);
    assert!(
        fsck.status.success(),
        "git fsck in {}:\n{}{}",
        repository.display(),
        String::from_utf8_lossy(&fsck.stdout),
        String::from_utf8_lossy(&fsck.stderr),
    );
}

/// Whether somebody is in the middle of a write to the hub.
pub(crate) fn is_locked(hub: &Hub) -> bool {
    let mut found = Vec::new();
    collect_lock_files(hub.path(), &mut found);
    !found.is_empty()
}

#[track_caller]
fn assert_no_lock_files(directory: &Path) {
    let mut found = Vec::new();
    collect_lock_files(directory, &mut found);
    assert!(found.is_empty(), "lock files were left behind: {found:?}");
}

fn collect_lock_files(directory: &Path, found: &mut Vec<PathBuf>) {
    // A directory that git removes while we look holds no lock any more.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_lock_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
}
