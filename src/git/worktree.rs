//! Brings the clone around us up to date after the hub moved, so that `cat build1/status.json`
//! tells the truth.
//!
//! Works like a fast-forward and never harder: a file that the user edited is never overwritten,
//! and when the hub changed that very file the clone stays where it is, because moving its HEAD
//! under the edit would turn the user's next commit into a revert of what others did. A refresh
//! that was cut short is recognised by its files holding some version the hub had, and finished.

use super::abandoned::{self, Waited};
use super::clone_index::LockedIndex;
use super::commits::{CommitText, back_from, leads_to, tree_of};
use super::{old_writers, permitted, publish, ref_lock};
use crate::domain::shell::quoted;
use crate::ledger::Reached;
use crate::machine::clock::{self, Deadline};
use crate::machine::failpoint::failpoint;
use crate::machine::file_lock::{FileLock, NotLocked};
use crate::machine::{files, open_files};
use git2::build::CheckoutBuilder;
use git2::{
    AttrCheckFlags, AttrValue, Delta, Diff, DiffFile, DiffOptions, ErrorCode, FetchOptions, FileMode, Index,
    IndexEntry, IndexEntryExtendedFlag, IndexEntryFlag, IndexTime, ObjectType, Odb, OdbLookupFlags, Oid,
    Repository, RepositoryState, Tree,
};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
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
    let _guard = match FileLock::acquire(&lock, Deadline::after(LOCK_WAIT)) {
        Ok(guard) => guard,
        // Another process brings it up to date.
        Err(NotLocked::Busy(_)) => return None,
        Err(not) => return Some(format!("the clone `{}` was not brought up to date: {not}", top.display())),
    };
    // Before anything is changed: files that are ahead of their branch are edits to everybody else.
    let locks = ["heads", "remotes/origin"]
        .map(|folder| ref_lock::lock_of(&repository, &format!("refs/{folder}/{branch}")));
    if let Waited::Stands(held) =
        abandoned::outwait(&repository, &locks, false, Deadline::after(LOCK_PATIENCE))
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
            Delta::Deleted => How::Removed,
            _ if is_left_out => How::LeftOut,
            _ => How::LaidOut,
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
            How::Removed => {
                remove(repository, path)?;
                index.entries.remove_path(path)?;
            }
            How::LaidOut => {
                write(repository, &new, path)?;
                index.entries.add_path(path)?;
            }
            How::LeftOut => index.entries.add(&left_out(&new, path)?)?,
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

/// What becomes of a file that the hub changed.
enum How {
    Removed,
    /// It lies in the work tree as the hub has it.
    LaidOut,
    /// Only the index knows of it: the user wants it in no work tree.
    LeftOut,
}

/// Whether a file that is not there is none that the user wants to have there (`git sparse-checkout`): it is marked so,
/// or is new in a folder of which every file is.
fn is_left_out(index: &Index, path: &Path) -> bool {
    if index.get_path(path, 0).is_some() {
        return passed_over(index, path) == Some(NO_SKIP);
    }
    let beside = |folder: &Path| -> Vec<bool> {
        let is_inside = |one: &IndexEntry| Path::new(OsStr::from_bytes(&one.path)).starts_with(folder);
        index.iter().filter(is_inside).map(|one| option(&one) == Some(NO_SKIP)).collect()
    };
    let folders = path.ancestors().skip(1).filter(|folder| *folder != Path::new(""));
    let beside = folders.map(beside).find(|beside| !beside.is_empty());
    beside.is_some_and(|beside| beside.iter().all(|is_left_out| *is_left_out))
}

/// The entry of a file that lies in no work tree.
fn left_out(new: &Tree<'_>, path: &Path) -> Result<IndexEntry, git2::Error> {
    let entry = new.get_path(path)?;
    let none = IndexTime::new(0, 0);
    Ok(IndexEntry {
        ctime: none,
        mtime: none,
        dev: 0,
        ino: 0,
        mode: u32::try_from(entry.filemode()).unwrap_or_default(),
        uid: 0,
        gid: 0,
        file_size: 0,
        id: entry.id(),
        flags: 0,
        flags_extended: IndexEntryExtendedFlag::SKIP_WORKTREE.bits(),
        path: path.as_os_str().as_bytes().to_vec(),
    })
}

/// Whether a path of the hub is one that git would check out: nothing outside the work tree and
/// nothing inside `.git`, where a file may be a program that git runs.
fn stays_inside(path: &Path) -> bool {
    let is_git = |name: &[u8]| [&b".git"[..], b"git~1"].iter().any(|git| name.eq_ignore_ascii_case(git));
    path.as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .all(|name| !matches!(name, b"" | b"." | b"..") && !is_git(name))
}

/// The blob at `path` of a tree.
fn entry(tree: &Tree<'_>, path: &Path) -> Option<Oid> {
    tree.get_path(path).ok().map(|entry| entry.id())
}

/// The blob that what lies in the work tree would be. What git calls unchanged is what was staged, whatever
/// its bytes are: by its times and size, or by how lines end in this clone. It is not asked of a file that it
/// was told not to look at. Something that is no file, or a file behind a link, is no blob of the hub's: links
/// are the user's, and lead anywhere.
fn present(
    repository: &Repository,
    path: &Path,
    (index, staged): (&Index, Option<Oid>),
) -> Result<Option<Oid>, git2::Error> {
    let raw = raw(repository, path)?;
    let is_asked = passed_over(index, path).is_none();
    if raw != staged && staged.is_some() && raw.is_some() && raw != Some(Oid::ZERO_SHA1) && is_asked {
        let mut only = DiffOptions::new();
        only.pathspec(path).disable_pathspec_match(true);
        if repository.diff_index_to_workdir(Some(index), Some(&mut only))?.deltas().len() == 0 {
            return Ok(staged);
        }
    }
    Ok(raw)
}

/// The options that let git look at a file again.
const NO_ASSUME: &str = "--no-assume-unchanged";
const NO_SKIP: &str = "--no-skip-worktree";

/// What lets git look again at a file that it takes for unchanged without a look, by `update-index
/// --assume-unchanged` or `--skip-worktree`: who says that of one that is there has mostly edited it.
fn passed_over(index: &Index, path: &Path) -> Option<&'static str> {
    option(&index.get_path(path, 0)?)
}

fn option(entry: &IndexEntry) -> Option<&'static str> {
    if entry.flags_extended & IndexEntryExtendedFlag::SKIP_WORKTREE.bits() != 0 {
        return Some(NO_SKIP);
    }
    (entry.flags & IndexEntryFlag::VALID.bits() != 0).then_some(NO_ASSUME)
}

/// A filter that a file goes through on its way into and out of the work tree and that we do not have:
/// a program of the user's, or another encoding.
fn foreign_filter(repository: &Repository, path: &Path) -> Result<Option<String>, git2::Error> {
    let attribute = |name| {
        let flags = AttrCheckFlags::FILE_THEN_INDEX;
        repository.get_attr(path, name, flags).map(|value| match AttrValue::from_string(value) {
            AttrValue::String(value) => Some(value.to_owned()),
            _ => None,
        })
    };
    if let Some(encoding) = attribute("working-tree-encoding")? {
        return Ok(Some(format!("the encoding `{}`", encoding.escape_debug())));
    }
    let Some(filter) = attribute("filter")? else { return Ok(None) };
    // A name that no configuration knows is no filter, for git too.
    let config = repository.config()?.snapshot()?;
    let is_there = ["clean", "smudge", "process"]
        .iter()
        .any(|way| config.get_str(&format!("filter.{filter}.{way}")).is_ok());
    Ok(is_there.then(|| format!("the filter `{}`", filter.escape_debug())))
}

/// The blob that the bytes in the work tree are.
fn raw(repository: &Repository, path: &Path) -> Result<Option<Oid>, git2::Error> {
    let top = repository.workdir().unwrap_or_else(|| repository.path());
    if leads_through_link(top, path) {
        return Ok(Some(Oid::ZERO_SHA1));
    }
    let file = top.join(path);
    match std::fs::symlink_metadata(&file).map(|data| data.file_type()) {
        Ok(kind) if kind.is_file() => Oid::hash_file(ObjectType::Blob, file).map(Some),
        Ok(kind) if kind.is_symlink() => {
            let leads_to = std::fs::read_link(&file).unwrap_or_default();
            Oid::hash_object(ObjectType::Blob, leads_to.as_os_str().as_bytes()).map(Some)
        }
        Ok(_) => Ok(Some(Oid::ZERO_SHA1)),
        Err(_) => Ok(None),
    }
}

/// Whether a folder on the way to `path` is a link.
fn leads_through_link(top: &Path, path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| top.join(folder).is_symlink() && folder != Path::new(""))
}

/// Every version of `path` that a refresh on the way from `local` may have left: newer ones only,
/// since going back to an older one is an edit like any other.
fn versions(
    repository: &Repository,
    path: &Path,
    local: Oid,
    target: Oid,
) -> Result<HashSet<Option<Oid>>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(target)?;
    walk.hide(local)?;
    let mut versions = HashSet::new();
    for id in walk.take(VERSIONS_MAX) {
        versions.insert(entry(&tree_of(repository, id?)?, path));
    }
    Ok(versions)
}

/// Where a path of the hub lies in the work tree. Asked again right before it is changed: the change before
/// may have been a link.
fn place(repository: &Repository, path: &Path) -> Result<PathBuf, git2::Error> {
    let top = repository.workdir().unwrap_or_else(|| repository.path());
    if leads_through_link(top, path) {
        return Err(git2::Error::from_str(&format!("`{}` lies behind a link", path.display())));
    }
    Ok(top.join(path))
}

fn remove(repository: &Repository, path: &Path) -> Result<(), git2::Error> {
    files::remove(&place(repository, path)?).map_err(|error| git2::Error::from_str(&error.to_string()))
}

fn write(repository: &Repository, new: &Tree<'_>, path: &Path) -> Result<(), git2::Error> {
    let file = place(repository, path)?;
    let entry = new.get_path(path)?;
    let mode = entry.filemode();
    if mode == i32::from(FileMode::Blob) || mode == i32::from(FileMode::BlobExecutable) {
        let blob = repository.find_blob(entry.id())?;
        let executable = mode == i32::from(FileMode::BlobExecutable);
        return files::replace(&file, blob.content(), executable, repository.path())
            .map_err(|error| git2::Error::from_str(&error.to_string()));
    }
    // Links and the like are no documents of ours: git itself knows what to do with them.
    let mut checkout = CheckoutBuilder::new();
    checkout.force().disable_pathspec_match(true).update_index(false).path(path);
    repository.checkout_tree(new.as_object(), Some(&mut checkout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_hub_leaves_the_work_tree() {
        for (path, expected) in [
            ("coordination/jobs.json", true),
            (".gitignore", true),
            ("a/.github/x", true),
            ("../x", false),
            ("a/../../x", false),
            ("a/./x", false),
            ("/etc/passwd", false),
            ("a//x", false),
            (".git/hooks/x", false),
            ("a/.GIT/x", false),
            ("GIT~1/config", false),
        ] {
            assert_eq!(stays_inside(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn what_lies_in_the_work_tree_is_told_as_a_blob() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init(folder.path()).expect("repository");
        let at = |name: &str| folder.path().join(name);
        files::write(&at("file"), "x").expect("writes");
        std::fs::create_dir(at("folder")).expect("creates");
        symlink("x", at("link")).expect("links");
        symlink(at("folder"), at("way")).expect("links");
        files::write(&at("folder/file"), "x").expect("writes");
        let blob = Oid::hash_object(ObjectType::Blob, b"x").expect("hashes");
        for (path, expected) in [
            ("file", Some(blob)),
            ("folder/file", Some(blob)),
            // A link is a blob that holds where it leads.
            ("link", Some(blob)),
            ("folder", Some(Oid::ZERO_SHA1)),
            ("way/file", Some(Oid::ZERO_SHA1)),
            ("gone", None),
        ] {
            assert_eq!(raw(&repository, Path::new(path)).expect("reads"), expected, "{path}");
        }
    }
}
