//! Brings the clone around us up to date after the hub moved, so that `cat build1/status.json`
//! tells the truth.
//!
//! Works like a fast-forward and never harder: a file that the user edited is never overwritten,
//! and when the hub changed that very file the clone stays where it is, because moving its HEAD
//! under the edit would turn the user's next commit into a revert of what others did. A refresh
//! that was cut short is recognised by its files holding some version the hub had, and finished.

mod one_file;

use super::abandoned::{self, WaitResult};
use super::clone_index::LockedIndex;
use super::commits::{CommitText, back_from, leads_to, tree_of};
use super::{old_writers, permitted, publish, ref_lock};
use crate::domain::shell::quoted;
use crate::ledger::Reached;
use crate::machine::failpoint::failpoint;
use crate::machine::file_lock::{FileLock, NotLocked};
use crate::machine::{Machine, clock, open_files};
use git2::{
    Delta, Diff, DiffFile, ErrorCode, FetchOptions, ObjectType, Odb, OdbLookupFlags, Oid, Repository,
    RepositoryState,
};
use one_file::{
    FileChange, entry, foreign_filter, is_left_out, left_out, passed_over, present, raw, remove,
    stays_inside, versions, write,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How long to wait for another process that refreshes the same clone.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long to wait for the lock of a ref in the clone: the answer of a write waits as long. One of ours
/// whose process is gone is known at once, and the next command comes by again.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How far back the versions of a file are looked at to recognise a refresh that was cut short.
const VERSIONS_MAX: usize = 1000;

/// The most commits that are copied object by object.
const COMMITS_COPIED_MAX: usize = 64;

/// The commands of git that look where a branch is and move it from there later: a person may be writing the
/// message in between, and no lock tells of that.
const MOVERS: [&str; 11] = [
    "commit",
    "merge",
    "pull",
    "rebase",
    "cherry-pick",
    "revert",
    "am",
    "stash",
    "checkout",
    "switch",
    "reset",
];

/// An index that git keeps in a form which cannot be read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddIndex {
    /// What is said of it.
    pub kind: &'static str,
    /// The command after which it can be read.
    pub mend: String,
}

impl OddIndex {
    /// The one of the clone at `top`, by `why` it could not be read; by itself that would never change.
    fn of(top: &str, why: &str) -> Option<Self> {
        let (kind, arguments) = match why.split_once("mandatory extension: ")?.1 {
            "'sdir'" => ("sparse", "sparse-checkout disable"),
            "'link'" => ("split", "update-index --no-split-index"),
            _ => return None,
        };
        Some(Self { kind, mend: format!("git -C {} {arguments}", quoted(top)) })
    }

    /// The one of a clone, if it has such a one.
    pub(super) fn in_clone(repository: &Repository) -> Option<Self> {
        let top = repository.workdir()?.display().to_string().trim_end_matches('/').to_owned();
        let error = repository.index().err()?;
        Self::of(&top, error.message())
    }
}

/// Moves the clone at `top` to `target` if its branch is checked out and nothing stands in the
/// way. Returns a note for the user when something does. `hub` is the repository that holds the
/// objects when the clone does not have them yet.
pub(super) fn follow(top: &Path, branch: &str, target: &str, hub: Option<&Path>) -> Option<String> {
    let repository = permitted::open(top).ok()?;
    let lock = repository.path().join("muster.worktree.flock");
    let _guard = match FileLock::acquire(&lock, &Machine::real().deadline(LOCK_WAIT)) {
        Ok(guard) => guard,
        // Another process brings it up to date.
        Err(NotLocked::Busy(_)) => return None,
        Err(not) => return Some(format!("the clone `{}` was not brought up to date: {not}", top.display())),
    };
    // Before anything is changed: files that are ahead of their branch are edits to everybody else.
    let locks = ["heads", "remotes/origin"]
        .map(|folder| ref_lock::lock_of(&repository, &format!("refs/{folder}/{branch}")));
    if let WaitResult::Stands(held) =
        abandoned::outwait(&repository, &locks, false, &Machine::real().deadline(LOCK_PATIENCE))
    {
        return Some(format!("the clone `{}` was not brought up to date: {held}", top.display()));
    }
    match follow_locked(&repository, branch, target, hub) {
        Ok(note) => note,
        Err(error) => {
            let (top, why) = (top.display().to_string(), error.message());
            let why = OddIndex::of(&top, why).map_or_else(
                || why.to_owned(),
                |odd| {
                    format!("its index is {}, which is not supported; `{}` changes that", odd.kind, odd.mend)
                },
            );
            Some(format!("the clone `{top}` was not brought up to date: {why}"))
        }
    }
}

fn follow_locked(
    repository: &Repository,
    branch: &str,
    target: &str,
    hub: Option<&Path>,
) -> Result<Option<String>, git2::Error> {
    let reference = format!("refs/heads/{branch}");
    let checked_out = repository.find_reference("HEAD")?.symbolic_target().ok().flatten().map(str::to_owned);
    if checked_out.as_deref() != Some(&reference) {
        return Ok(None);
    }
    let top = repository.workdir().unwrap_or_else(|| repository.path()).display().to_string();
    let top = top.trim_end_matches('/').to_owned();
    if repository.state() != RepositoryState::Clean {
        return Ok(Some(format!(
            "the clone `{top}` was not brought up to date: a merge or rebase is under way in it"
        )));
    }
    let target = Oid::from_str(target)?;
    let local = match repository.refname_to_id(&reference) {
        Ok(local) => local,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if local == target {
        return Ok(None);
    }
    let Some(_held) = old_writers::hold_locks(Path::new(&top)) else {
        return Ok(Some(format!(
            "the clone `{top}` was not brought up to date: a script holds one of the locks in `coordination` and would undo what was written; the next command brings it up to date"
        )));
    };
    if old_writers::commit_here(repository, branch, clock::wall()) {
        // With a commit of its own git would ask how the two are to be brought together, and refuse.
        let next = if has_own_commits(repository, branch, local) {
            format!(
                "{}, and `git -C {} pull` then brings it up to date",
                keep_aside(&top, branch, local),
                quoted(&top)
            )
        } else {
            format!("`git -C {} pull` brings it up to date", quoted(&top))
        };
        return Ok(Some(format!(
            "the clone `{top}` was not brought up to date: scripts commit to `coordination` in it and could undo what was written; {next}; or give them a clone of their own"
        )));
    }
    if let Some(hub) = hub {
        bring_objects(repository, hub, branch, local, target)?;
    }
    if !leads_to(repository, local, target)? {
        return Ok(Some(format!(
            "the clone `{top}` was not brought up to date: {}, and follows again",
            keep_aside(&top, branch, local)
        )));
    }
    advance(repository, &reference, local, target)
}

/// Whether a branch has commits that its remote lacked when that was last asked.
fn has_own_commits(repository: &Repository, branch: &str, local: Oid) -> bool {
    let Ok(known) = repository.refname_to_id(&format!("refs/remotes/origin/{branch}")) else { return true };
    known != local && !repository.graph_descendant_of(known, local).unwrap_or(false)
}

/// What is to be done about them.
fn keep_aside(top: &str, branch: &str, local: Oid) -> String {
    format!(
        "its branch `{branch}` has commits that the hub does not have; `git -C {0} log {1}..{2}` shows them, `{3}` keeps them under another name",
        quoted(top),
        quoted(&format!("origin/{branch}")),
        quoted(branch),
        set_aside(top, branch, local)
    )
}

/// What lets the clone at `top` follow again although its branch has commits that the hub lacks: they
/// stay, under a name of their own.
pub(super) fn set_aside(top: &str, branch: &str, local: Oid) -> String {
    let (git, local) = (format!("git -C {}", quoted(top)), local.to_string());
    let kept = quoted(&format!("{branch}-{}", local.get(..7).unwrap_or(&local)));
    format!(
        "{git} branch {kept} {0} && {git} reset --keep {1}",
        quoted(branch),
        quoted(&format!("origin/{branch}"))
    )
}

/// Brings the hub's objects into the clone.
///
/// A few commits are copied object by object: a fetch leaves a pack behind each time, and a clone
/// with a hundred of them is eight times slower.
fn bring_objects(
    repository: &Repository,
    hub: &Path,
    branch: &str,
    local: Oid,
    target: Oid,
) -> Result<(), git2::Error> {
    if copy_objects(repository, hub, local, target)? {
        publish::note_tip(repository, branch, target);
        return Ok(());
    }
    // Fetching from a path is safe with libgit2; it is pushing that is not.
    let mut origin = repository.find_remote("origin")?;
    let spec = format!("+refs/heads/{branch}:refs/remotes/origin/{branch}");
    origin.fetch(
        &[spec],
        Some(FetchOptions::new().download_tags(git2::AutotagOption::None).update_fetchhead(false)),
        None,
    )
}

/// Copies what leads from `local` to `target`; `false` when that is not a few commits.
fn copy_objects(repository: &Repository, hub: &Path, local: Oid, target: Oid) -> Result<bool, git2::Error> {
    let hub = Repository::open_bare(hub)?;
    let mut commits = Vec::new();
    let mut note = |id: Oid, commit: &CommitText<'_>| {
        commits.push((id, commit.tree()));
        ControlFlow::Continue(())
    };
    let reached = back_from(&hub, target, COMMITS_COPIED_MAX, &|id| *id == local, &mut note)?;
    if reached == Reached::Bound {
        return Ok(false);
    }
    let (from, to) = (hub.odb()?, repository.odb()?);
    // The oldest first, and what a commit needs before it: cut short, no object lacks its parts.
    for (id, tree) in commits.into_iter().rev() {
        copy_tree(&hub, (&from, &to), tree?)?;
        copy_object(&from, &to, id)?;
    }
    Ok(true)
}

fn copy_tree(hub: &Repository, (from, to): (&Odb<'_>, &Odb<'_>), id: Oid) -> Result<(), git2::Error> {
    if to.exists_ext(id, OdbLookupFlags::NO_REFRESH) {
        return Ok(());
    }
    for entry in &hub.find_tree(id)? {
        match entry.kind() {
            Some(ObjectType::Tree) => copy_tree(hub, (from, to), entry.id())?,
            Some(ObjectType::Blob) => copy_object(from, to, entry.id())?,
            // The commit of a submodule lies elsewhere.
            _ => {}
        }
    }
    copy_object(from, to, id)
}

fn copy_object(from: &Odb<'_>, to: &Odb<'_>, id: Oid) -> Result<(), git2::Error> {
    if !to.exists_ext(id, OdbLookupFlags::NO_REFRESH) {
        let object = from.read(id)?;
        to.write(object.kind(), object.data())?;
    }
    Ok(())
}

fn advance(
    repository: &Repository,
    reference: &str,
    local: Oid,
    target: Oid,
) -> Result<Option<String>, git2::Error> {
    let (old, new) = (tree_of(repository, local)?, tree_of(repository, target)?);
    let difference = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    let mut index = LockedIndex::take(repository)?;
    // Asked under the lock: whoever begins later does not get it.
    if let Some(note) = another_git(repository) {
        return Ok(Some(note));
    }
    if index.is_missing {
        return without_index(repository, &difference, (reference, local, target));
    }
    let mut changes = Vec::new();
    for delta in difference.deltas() {
        let file = if delta.status() == Delta::Deleted { delta.old_file() } else { delta.new_file() };
        let Some(path) = file.path() else { continue };
        if !stays_inside(path) {
            return Ok(Some(format!(
                "the clone was not brought up to date: the hub holds `{}`, which no clone may take; somebody means harm, see `git log` for who it was",
                path.display()
            )));
        }
        if let Some(filter) = foreign_filter(repository, path)? {
            return Ok(Some(format!(
                "the clone was not brought up to date: `{}` goes through {filter} in it, which only git runs; `git pull` there brings it up to date",
                path.display()
            )));
        }
        let staged = index.entries.get_path(path, 0).map(|entry| entry.id);
        let present = present(repository, path, (&index.entries, staged))?;
        let is_left_out = present.is_none() && is_left_out(&index.entries, path);
        let present = if is_left_out { staged } else { present };
        let how = match delta.status() {
            Delta::Deleted => FileChange::Removed,
            _ if is_left_out => FileChange::LeftOut,
            _ => FileChange::LaidOut,
        };
        changes.push((path.to_owned(), how));
        let as_before = entry(&old, path);
        if (staged == as_before && present == as_before) || (staged == entry(&new, path) && present == staged)
        {
            continue;
        }
        let known = versions(repository, path, local, target)?;
        if ![staged, present].iter().all(|id| *id == as_before || known.contains(id)) {
            let before = passed_over(&index.entries, path).map_or_else(String::new, |option| {
                format!("git update-index {option} {} && ", quoted(&path.display().to_string()))
            });
            return Ok(Some(format!(
                "the clone was not brought up to date: `{}` was edited in it and changed on the hub; `{before}git pull --autostash` there brings both together",
                path.display()
            )));
        }
    }
    for (path, how) in &changes {
        match how {
            FileChange::Removed => {
                remove(repository, path)?;
                index.entries.remove_path(path)?;
            }
            FileChange::LaidOut => {
                write(repository, &new, path)?;
                index.entries.add_path(path)?;
            }
            FileChange::LeftOut => index.entries.add(&left_out(&new, path)?)?,
        }
    }
    failpoint("files");
    index.write()?;
    failpoint("index");
    publish::move_local_branch(repository, reference, local, target)?;
    Ok(None)
}

/// What is said where another git is about to move what is checked out.
fn another_git(repository: &Repository) -> Option<String> {
    let top = repository.workdir().unwrap_or_else(|| repository.path());
    let git = open_files::git_at_work(top, &MOVERS)?;
    Some(format!(
        "the clone was not brought up to date: {git}, is at work in it; the next command afterwards brings it up to date"
    ))
}

/// A clone without an index. Where nothing of it was ever checked out (`git clone --no-checkout`), only its branch
/// has to move.
fn without_index(
    repository: &Repository,
    difference: &Diff<'_>,
    (reference, local, target): (&str, Oid, Oid),
) -> Result<Option<String>, git2::Error> {
    for delta in difference.deltas() {
        for path in [delta.old_file(), delta.new_file()].iter().filter_map(DiffFile::path) {
            if raw(repository, path)?.is_some() {
                let top = repository.workdir().unwrap_or_else(|| repository.path());
                return Ok(Some(format!(
                    "the clone was not brought up to date: `{}` lies in it, and it has no index; `git -C {} reset -q` makes one",
                    path.display(),
                    quoted(&top.display().to_string())
                )));
            }
        }
    }
    publish::move_local_branch(repository, reference, local, target)?;
    Ok(None)
}
