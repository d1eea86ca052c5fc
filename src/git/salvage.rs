//! What a branch most likely named whose ref cannot be read any more. Reads only.
//!
//! A ref is a file of 41 bytes, and an interrupted write of a program that does not take care leaves it
//! empty. The commits are all there. Which of them it was is not written anywhere for certain: an
//! attempt that lost its race is a commit like any other. So a person decides, and this says what is
//! the most likely.

use super::commits::{CommitText, leads_to};
use super::libgit2::version;
use super::lost_hub::holds_documents;
use super::ref_lock;
use crate::domain::shell::quoted;
use crate::ledger::{Version, ops_in};
use git2::{ObjectType, Oid, Repository};
use std::collections::{HashMap, HashSet};

/// How many objects are looked at: those of a hub that is tidied now and then.
const OBJECTS_MAX: usize = 2_000_000;

/// How many commits are looked at closely.
const CANDIDATES_MAX: usize = 1000;

/// How a branch is put back whose ref cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// What is known of where it was.
    pub known: String,
    /// The command: it puts the branch there, or makes room for it where nothing is known.
    pub command: String,
    /// What to see to first, where something is known.
    pub first: Option<String>,
}

impl PutBack {
    /// How `branch` is put back, whose ref is in `file` and most likely named `newest`.
    #[must_use]
    pub fn of(branch: &str, file: &str, newest: Option<&Version>) -> Self {
        let remove = format!("rm {}", quoted(file));
        let Some(newest) = newest else {
            return Self {
                known: "no commit in it carries an operation".to_owned(),
                command: remove,
                first: None,
            };
        };
        let reference = format!("refs/heads/{branch}");
        let hub = file.strip_suffix(&reference).unwrap_or(file).trim_end_matches('/');
        let put = format!("git --git-dir={} update-ref {} {newest}", quoted(hub), quoted(&reference));
        Self {
            known: format!("the newest commit that carries an operation is {}", newest.short()),
            command: format!("{remove} && {put}"),
            first: Some(format!(
                "compare with `git rev-parse origin/{branch}` in the clones first: a commit there that follows on it is newer"
            )),
        }
    }
}

/// A commit, as far as it says where it stands.
struct CommitFacts {
    parents: Vec<Oid>,
    seconds: i64,
    carries_operation: bool,
}

/// The commit that the branch of `reference` most likely named: of those that hold documents and carry an
/// operation, or follow on one that does, the one that follows on what this program put there last, with
/// the longest history, the newest.
pub(super) fn newest(repository: &Repository, reference: &str) -> Option<Version> {
    let commits = commits(repository)?;
    let last = ref_lock::last(repository, reference);
    let follows = |tip: Oid| last.is_some_and(|last| leads_to(repository, last, tip).unwrap_or(false));
    let mut candidates: Vec<_> = lengths(&commits)
        .into_iter()
        .filter(|(_, (_, carries))| *carries)
        .map(|(id, (length, _))| (length, commits.get(&id).map_or(0, |commit| commit.seconds), id))
        .collect();
    candidates.sort_unstable_by(|one, other| other.cmp(one));
    candidates.truncate(CANDIDATES_MAX);
    let candidates = candidates.into_iter().map(|(_, _, id)| id);
    let sound: Vec<Oid> = candidates.filter(|id| holds_documents(repository, *id)).collect();
    sound.iter().find(|id| follows(**id)).or(sound.first()).copied().map(version)
}

fn commits(repository: &Repository) -> Option<HashMap<Oid, CommitFacts>> {
    let odb = repository.odb().ok()?;
    let mut ids = Vec::new();
    // Stops with an error when there are too many; then those are looked at that were found.
    drop(odb.foreach(|id| {
        ids.push(*id);
        ids.len() < OBJECTS_MAX
    }));
    let known = |id: Oid| {
        // What is torn is no candidate.
        let (_, kind) = odb.read_header(id).ok()?;
        let commit = (kind == ObjectType::Commit).then(|| CommitText::read(&odb, id).ok())??;
        let carries_operation = ops_in(&commit.message()).next().is_some();
        let parents = commit.parents().collect();
        Some((id, CommitFacts { parents, seconds: commit.seconds().unwrap_or(0), carries_operation }))
    };
    Some(ids.into_iter().filter_map(known).collect())
}

/// How many commits lead to each in the longest line, and whether one of them, or it, carries an
/// operation. A commit whose history is not all there has none.
fn lengths(commits: &HashMap<Oid, CommitFacts>) -> HashMap<Oid, (usize, bool)> {
    let mut lengths: HashMap<Oid, (usize, bool)> = HashMap::new();
    let mut broken = HashSet::new();
    for start in commits.keys() {
        let mut open = vec![*start];
        while let Some(id) = open.last().copied() {
            let Some(commit) = commits.get(&id) else {
                broken.insert(id);
                open.pop();
                continue;
            };
            if lengths.contains_key(&id) || broken.contains(&id) {
                open.pop();
                continue;
            }
            if commit.parents.iter().any(|parent| broken.contains(parent)) {
                broken.insert(id);
                open.pop();
                continue;
            }
            let before: Vec<_> = commit.parents.iter().map(|parent| lengths.get(parent).copied()).collect();
            if before.iter().all(Option::is_some) {
                let longest = before.iter().flatten().map(|(length, _)| *length).max().unwrap_or(0);
                let carries =
                    commit.carries_operation || before.iter().flatten().any(|(_, carries)| *carries);
                lengths.insert(id, (longest + 1, carries));
                open.pop();
            } else {
                let unknown = |parent: &&Oid| !lengths.contains_key(*parent);
                open.extend(commit.parents.iter().filter(unknown).copied());
            }
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: &str = "Muster-Op: 019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f";

    struct SalvageHub(tempfile::TempDir, Repository);

    impl SalvageHub {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let repository = Repository::init_bare(folder.path()).expect("repository");
            Self(folder, repository)
        }

        fn commit(&self, parent: Option<Oid>, document: Option<&str>, message: &str, seconds: i64) -> Oid {
            let tree = |name: &str, id: Oid, mode: i32| {
                let mut tree = self.1.treebuilder(None).expect("a tree");
                tree.insert(name, id, mode).expect("inserts");
                tree.write().expect("writes")
            };
            let blob = self.1.blob(document.unwrap_or("beat").as_bytes()).expect("writes");
            let root = match document {
                Some(_) => tree("coordination", tree("jobs.json", blob, 0o100_644), 0o040_000),
                None => tree("heartbeat.json", blob, 0o100_644),
            };
            let parent = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
            let text = format!(
                "tree {root}\n{parent}author a <> 1 +0000\ncommitter a <> {seconds} +0000\n\n{message}"
            );
            self.1.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes())).expect("writes")
        }
    }

    #[test]
    fn the_commit_that_a_broken_ref_named_is_told_by_its_history() {
        let hub = SalvageHub::new();
        // Opened anew: one that is open remembers what is gone.
        let opened = || Repository::open_bare(hub.0.path()).expect("opens");
        let found = || newest(&opened(), "refs/heads/main").map(|found| found.to_string());
        assert_eq!(found(), None);
        let plain = hub.commit(None, Some("0"), "by hand", 1);
        assert_eq!(found(), None, "no operation");
        let operation = |parent, document, seconds| {
            hub.commit(Some(parent), Some(document), &format!("x\n\n{OP}"), seconds)
        };
        let first = operation(plain, "1", 2);
        assert_eq!(found(), Some(first.to_string()));
        // Beats are no hub, however new and many.
        let mut beat = hub.commit(None, None, &format!("beat\n\n{OP}"), 9);
        for seconds in 10..20 {
            beat = hub.commit(Some(beat), None, &format!("beat\n\n{OP}"), seconds);
        }
        assert_eq!(found(), Some(first.to_string()));
        let rival = operation(first, "rival", 8);
        let second = operation(first, "2", 3);
        let last = hub.commit(Some(second), Some("3"), "pushed by hand", 4);
        assert_eq!(found(), Some(last.to_string()), "what others pushed on it counts");
        // One whose documents are torn does not.
        let torn = operation(last, "torn", 5);
        let blob = git2::Oid::hash_object(ObjectType::Blob, b"torn").expect("an id").to_string();
        std::fs::remove_file(hub.0.path().join("objects").join(&blob[..2]).join(&blob[2..]))
            .expect("is there");
        assert!(!holds_documents(&opened(), torn));
        assert_eq!(found(), Some(last.to_string()));
        let longer = operation(rival, "longer", 9);
        let longest = operation(longer, "longest", 10);
        assert_eq!(found(), Some(longest.to_string()));
        let step = ref_lock::Step { reference: "refs/heads/main".to_owned(), from: None, to: second };
        ref_lock::move_together(&hub.1, &[step], "x", true).expect("moves");
        assert_eq!(found(), Some(last.to_string()), "what we put there last leads");
    }
}
