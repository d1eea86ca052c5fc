//! Older writers in the clone around us: scripts that read a document there, change it and commit it.
//!
//! While one of them is between its read and its commit the clone must stay where it is. Brought up to
//! date under the script, the stale document that it commits would follow on what was just written, and
//! its push would undo that instead of being rejected.

use super::commits::CommitText;
use crate::domain::time::Timestamp;
use crate::machine::Machine;
use crate::machine::file_lock::FileLock;
use git2::{DiffOptions, Oid, Repository};
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of the documents that every server changes.
const SHARED: &str = "coordination";

/// For how long a clone counts as one in which scripts commit: longer than from one run of theirs each
/// day to the next.
const REMEMBERED: Duration = Duration::from_secs(36 * 3600);

/// How much of a branch's log in the clone is read, from its end.
const LOG_BYTES_MAX: u64 = 64 * 1024;

/// The most commits in it that are looked at.
const COMMITS_MAX: usize = 20;

/// Takes the locks that scripts hold while they work, and holds them until dropped; `None` if a script
/// has one of them. Only locks that a script has made are there to be taken.
pub(super) fn hold_locks(top: &Path) -> Option<Vec<FileLock>> {
    lock_files(top)
        .iter()
        .map(|path| FileLock::acquire(path, &Machine::real().deadline(Duration::ZERO)).ok())
        .collect()
}

fn lock_files(top: &Path) -> Vec<PathBuf> {
    let shared = top.join(SHARED);
    let with_end = |folder: PathBuf, end: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        files
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|found| found == end))
            .collect()
    };
    let mut files = with_end(shared.join(".locks"), "lock");
    files.extend(with_end(shared, "flock"));
    files
}

/// Whether somebody committed to the shared documents in this clone lately, by hand or by a script.
pub(super) fn commit_here(repository: &Repository, branch: &str, now: Timestamp) -> bool {
    let Ok(log) = end_of(&repository.commondir().join("logs/refs/heads").join(branch)) else { return false };
    let recent = |line: &&str| committed_at(line).is_some_and(|at| now.since(at) <= REMEMBERED);
    let commits = log.lines().rev().filter(|line| line.contains("\tcommit")).filter(recent);
    commits
        .take(COMMITS_MAX)
        .filter_map(|line| line.split(' ').nth(1))
        .any(|id| Oid::from_str(id).is_ok_and(|id| changes_documents(repository, id).unwrap_or(false)))
}

/// The end of a file, from the beginning of a line.
fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// When a line of a log was written: `old new name <mail> seconds zone\twhat`.
fn committed_at(line: &str) -> Option<Timestamp> {
    let head = line.split('\t').next()?;
    let seconds: i64 = head.rsplit(' ').nth(1)?.parse().ok()?;
    Timestamp::from_unix_millis(seconds.checked_mul(1000)?)
}

fn changes_documents(repository: &Repository, id: Oid) -> Result<bool, git2::Error> {
    let odb = repository.odb()?;
    let commit = CommitText::read(&odb, id)?;
    let tree = |id: Oid| -> Result<git2::Tree<'_>, git2::Error> {
        repository.find_tree(CommitText::read(&odb, id)?.tree()?)
    };
    let before = commit.parents().next().map(tree).transpose()?;
    let mut options = DiffOptions::new();
    options.pathspec(SHARED);
    let difference = repository.diff_tree_to_tree(before.as_ref(), Some(&tree(id)?), Some(&mut options))?;
    Ok(difference.deltas().len() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_tells_when() {
        let line = "0123 4567 A B <a@b.example> 1761739200 +0100\tcommit: heartbeat";
        assert_eq!(committed_at(line).map(Timestamp::unix_seconds), Some(1_761_739_200));
        assert_eq!(committed_at("cut off in the middle"), None);
    }
}
