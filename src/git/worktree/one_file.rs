//! One file of the hub in the work tree of a clone: which version lies there, whether it is the user's, and
//! how it is replaced.
//!
//! Never writes through a link or outside of the work tree. Which files are to change is decided above.

use super::VERSIONS_MAX;
use crate::git::commits::tree_of;
use crate::machine::files;
use git2::build::CheckoutBuilder;
use git2::{
    AttrCheckFlags, AttrValue, DiffOptions, FileMode, Index, IndexEntry, IndexEntryExtendedFlag,
    IndexEntryFlag, IndexTime, ObjectType, Oid, Repository, Tree,
};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What becomes of a file that the hub changed.
pub(super) enum FileChange {
    Removed,
    /// It lies in the work tree as the hub has it.
    LaidOut,
    /// Only the index knows of it: the user wants it in no work tree.
    LeftOut,
}

/// Whether a file that is not there is none that the user wants to have there (`git sparse-checkout`): it is marked so,
/// or is new in a folder of which every file is.
pub(super) fn is_left_out(index: &Index, path: &Path) -> bool {
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
pub(super) fn left_out(new: &Tree<'_>, path: &Path) -> Result<IndexEntry, git2::Error> {
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
pub(super) fn stays_inside(path: &Path) -> bool {
    let is_git = |name: &[u8]| [&b".git"[..], b"git~1"].iter().any(|git| name.eq_ignore_ascii_case(git));
    path.as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .all(|name| !matches!(name, b"" | b"." | b"..") && !is_git(name))
}

/// The blob at `path` of a tree.
pub(super) fn entry(tree: &Tree<'_>, path: &Path) -> Option<Oid> {
    tree.get_path(path).ok().map(|entry| entry.id())
}

/// The blob that what lies in the work tree would be. What git calls unchanged is what was staged, whatever
/// its bytes are: by its times and size, or by how lines end in this clone. It is not asked of a file that it
/// was told not to look at. Something that is no file, or a file behind a link, is no blob of the hub's: links
/// are the user's, and lead anywhere.
pub(super) fn present(
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
pub(super) const NO_ASSUME: &str = "--no-assume-unchanged";
pub(super) const NO_SKIP: &str = "--no-skip-worktree";

/// What lets git look again at a file that it takes for unchanged without a look, by `update-index
/// --assume-unchanged` or `--skip-worktree`: who says that of one that is there has mostly edited it.
pub(super) fn passed_over(index: &Index, path: &Path) -> Option<&'static str> {
    option(&index.get_path(path, 0)?)
}

pub(super) fn option(entry: &IndexEntry) -> Option<&'static str> {
    if entry.flags_extended & IndexEntryExtendedFlag::SKIP_WORKTREE.bits() != 0 {
        return Some(NO_SKIP);
    }
    (entry.flags & IndexEntryFlag::VALID.bits() != 0).then_some(NO_ASSUME)
}

/// A filter that a file goes through on its way into and out of the work tree and that we do not have:
/// a program of the user's, or another encoding.
pub(super) fn foreign_filter(repository: &Repository, path: &Path) -> Result<Option<String>, git2::Error> {
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
pub(super) fn raw(repository: &Repository, path: &Path) -> Result<Option<Oid>, git2::Error> {
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
pub(super) fn leads_through_link(top: &Path, path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| top.join(folder).is_symlink() && folder != Path::new(""))
}

/// Every version of `path` that a refresh on the way from `local` may have left: newer ones only,
/// since going back to an older one is an edit like any other.
pub(super) fn versions(
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
pub(super) fn place(repository: &Repository, path: &Path) -> Result<PathBuf, git2::Error> {
    let top = repository.workdir().unwrap_or_else(|| repository.path());
    if leads_through_link(top, path) {
        return Err(git2::Error::from_str(&format!("`{}` lies behind a link", path.display())));
    }
    Ok(top.join(path))
}

pub(super) fn remove(repository: &Repository, path: &Path) -> Result<(), git2::Error> {
    files::remove(&place(repository, path)?).map_err(|error| git2::Error::from_str(&error.to_string()))
}

pub(super) fn write(repository: &Repository, new: &Tree<'_>, path: &Path) -> Result<(), git2::Error> {
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
