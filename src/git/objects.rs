//! Reading and building git objects. Moves no ref.

use super::commits::{COMMITS_MAX, CommitText, back_from, leads_to, tree_of};
use super::cut_objects;
use super::identity::{Identity, Person, Unsigned};
use super::libgit2::{failed, fault, oid, version};
use super::program::GitProgram;
use super::pruning::{self, WrittenObject};
use super::tops::{Entry, TopTree, TopTreeCache};
use crate::domain::id::OpId;
use crate::domain::json::{DOCUMENT_BYTES_MAX, DocumentError};
use crate::domain::time::Timestamp;
use crate::ledger::{
    Changes, Commit, FoundOperation, LedgerError, Reached, Search, Version, VisitCommit, shows,
};
use crate::machine::failpoint::failpoint;
use git2::build::TreeUpdateBuilder;
use git2::{DiffOptions, ErrorClass, ErrorCode, FileMode, ObjectType, Oid, Repository, Signature, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

const READING: &str = "cannot read the history of the hub";

/// The most that are visited of the last commits, whoever asks.
const LAST_COMMITS_MAX: usize = 100;

/// Creates an empty bare repository whose HEAD names `branch`.
///
/// # Errors
/// When the folder cannot be made or holds something else.
pub fn init_bare(path: &Path, branch: &str) -> Result<(), LedgerError> {
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).mkdir(true).mkpath(true).initial_head(branch).external_template(false);
    Repository::init_opts(path, &options)
        .map(drop)
        .map_err(|error| fault(format!("cannot create a repository at `{}`", path.display()), &error))
}

/// The objects of one repository.
pub(super) struct Objects {
    repository: Repository,
    tops: TopTreeCache,
}

/// The text of a commit that has no parent, with one: libgit2 takes none of which it cannot make out
/// all there is.
fn with_parent(text: &[u8], parent: Option<Oid>) -> Vec<u8> {
    let tree = text.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let parent = parent.map_or(String::new(), |parent| format!("parent {parent}\n"));
    [tree, parent.as_bytes(), text.get(tree.len()..).unwrap_or_default()].concat()
}

impl Objects {
    pub(super) fn new(repository: Repository) -> Self {
        cut_objects::note(&repository);
        Self { repository, tops: TopTreeCache::default() }
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Where a ref points; `None` when there is none.
    pub(super) fn tip(&self, reference: &str) -> Result<Option<Version>, LedgerError> {
        match self.repository.refname_to_id(reference) {
            Ok(oid) => Ok(Some(version(oid))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(fault(format!("cannot read `{reference}`"), &error)),
        }
    }

    /// The refs that begin with `prefix`, without it.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let references =
            failed("cannot list the branches", self.repository.references_glob(&format!("{prefix}*")))?;
        let mut names = Vec::new();
        for reference in references {
            let reference = failed("cannot read a branch", reference)?;
            if let Ok(name) = reference.name()
                && let Some(rest) = name.strip_prefix(prefix)
            {
                names.push(rest.to_owned());
            }
        }
        Ok(names)
    }

    fn tree(&self, at: &Version) -> Result<Tree<'_>, LedgerError> {
        failed("cannot read a commit of the hub", tree_of(&self.repository, oid(at)?))
    }

    fn top(&self, at: &Version) -> Result<Arc<TopTree>, LedgerError> {
        failed("cannot read a commit of the hub", self.tops.of(&self.repository, oid(at)?))
    }

    /// What lies at a path, if anything does.
    fn entry(&self, at: &Version, path: &str) -> Result<Option<Entry>, LedgerError> {
        let top = self.top(at)?;
        let Some((first, rest)) = path.split_once('/') else { return Ok(top.get(path)) };
        let Some(entry) = top.get(first).filter(|entry| entry.kind == Some(ObjectType::Tree)) else {
            return Ok(None);
        };
        let found = self.repository.find_tree(entry.id).and_then(|tree| tree.get_path(Path::new(rest)));
        match found {
            Ok(entry) => Ok(Some(Entry { id: entry.id(), kind: entry.kind(), mode: entry.filemode() })),
            Err(error) if error.code() == ErrorCode::NotFound && error.class() == ErrorClass::Tree => {
                Ok(None)
            }
            Err(error) => Err(fault(format!("cannot read `{path}` of the hub"), &error)),
        }
    }

    /// What lies at a path, by name.
    pub(super) fn content(&self, at: &Version, path: &str) -> Result<Option<Oid>, LedgerError> {
        Ok(self.entry(at, path)?.map(|entry| entry.id))
    }

    /// The paths below a folder at which two versions differ.
    pub(super) fn changed(
        &self,
        before: &Version,
        after: &Version,
        folder: &str,
    ) -> Result<BTreeSet<String>, LedgerError> {
        let (before, after) = (self.tree(before)?, self.tree(after)?);
        let mut options = DiffOptions::new();
        options.pathspec(folder);
        let difference = self.repository.diff_tree_to_tree(Some(&before), Some(&after), Some(&mut options));
        let difference = failed("cannot compare two commits of the hub", difference)?;
        let files = difference.deltas().flat_map(|delta| [delta.old_file().path(), delta.new_file().path()]);
        Ok(files.flatten().filter_map(|path| path.to_str().map(str::to_owned)).collect())
    }

    /// The bytes of a file, if there is one.
    pub(super) fn read(&self, at: &Version, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let Some(entry) = self.entry(at, path)? else { return Ok(None) };
        // A link is not followed: the hub is written by others.
        if entry.kind != Some(ObjectType::Blob) || entry.mode == i32::from(FileMode::Link) {
            return Err(DocumentError::no_file(path).into());
        }
        let odb = failed("cannot open the objects of the hub", self.repository.odb())?;
        let (bytes, _) = failed("cannot read a file of the hub", odb.read_header(entry.id))?;
        if bytes > DOCUMENT_BYTES_MAX {
            let problem = format!("it has {bytes} bytes, more than the {DOCUMENT_BYTES_MAX} allowed");
            return Err(DocumentError::new(path, problem).into());
        }
        let blob = failed("cannot read a file of the hub", self.repository.find_blob(entry.id))?;
        Ok(Some(blob.content().to_vec()))
    }

    /// Names of what lies directly in a folder; folders end with a slash.
    pub(super) fn list(&self, at: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        let named = |name: &str, kind: Option<ObjectType>| {
            format!("{name}{}", if kind == Some(ObjectType::Tree) { "/" } else { "" })
        };
        if folder.is_empty() {
            let top = self.top(at)?;
            return Ok(top.entries.iter().map(|(name, entry)| named(name, entry.kind)).collect());
        }
        let entry = self.entry(at, folder)?.filter(|entry| entry.kind == Some(ObjectType::Tree));
        let Some(entry) = entry else { return Ok(Vec::new()) };
        let tree = failed("cannot read a folder of the hub", self.repository.find_tree(entry.id))?;
        Ok(tree.iter().filter_map(|entry| Some(named(entry.name().ok()?, entry.kind()))).collect())
    }

    /// The same folder without what is no file where a commit writes one: libgit2 does not replace it.
    fn without_folders<'a>(&'a self, base: Tree<'a>, commit: &Commit<'_>) -> Result<Tree<'a>, LedgerError> {
        let (mut update, mut is_any) = (TreeUpdateBuilder::new(), false);
        for path in commit.changes.iter().filter_map(|(path, change)| change.as_ref().map(|_| path)) {
            let entry = base.get_path(Path::new(path));
            if entry.is_ok_and(|entry| entry.kind() != Some(ObjectType::Blob)) {
                update.remove(path.as_str());
                is_any = true;
            }
        }
        if !is_any {
            return Ok(base);
        }
        let tree = failed("cannot write a folder", update.create_updated(&self.repository, &base))?;
        failed("cannot write a folder", self.repository.find_tree(tree))
    }

    /// Builds blobs, trees and one commit. Nothing refers to them yet.
    pub(super) fn commit(
        &self,
        commit: &Commit<'_>,
        who: &Identity,
        git: &GitProgram,
    ) -> Result<Version, LedgerError> {
        let repository = &self.repository;
        let base = match commit.base {
            Some(base) => self.tree(base)?,
            None => {
                let empty = repository.treebuilder(None).and_then(|builder| builder.write());
                let empty = failed("cannot write a folder", empty)?;
                failed("cannot write a folder", repository.find_tree(empty))?
            }
        };
        let base = self.without_folders(base, commit)?;
        let mut update = TreeUpdateBuilder::new();
        for (path, change) in commit.changes {
            match change {
                Some(document) => {
                    let blob = failed(
                        &format!("cannot write into `{}`", repository.path().display()),
                        repository.blob(document.bytes()),
                    )?;
                    update.upsert(path.as_str(), blob, FileMode::Blob);
                }
                None => {
                    update.remove(path.as_str());
                }
            }
        }
        let tree = failed("cannot write a folder", update.create_updated(repository, &base))?;
        let tree = failed("cannot write a folder", repository.find_tree(tree))?;
        failpoint("blobs");
        let parent = commit.base.filter(|_| commit.follows).map(oid).transpose()?;
        let seconds = commit.at.unix_seconds();
        if who.sign.is_some() {
            let (tree, parent) = (tree.id().to_string(), parent.map(|parent| parent.to_string()));
            let unsigned = Unsigned { tree, parent, message: commit.message, seconds };
            return who.sign(git, repository.path(), &unsigned).map(Version::new);
        }
        let time = git2::Time::new(seconds, 0);
        let signature = |person: &Person| {
            let made = Signature::new(&person.name.value, &person.email.value, &time);
            failed("cannot name the author", made)
        };
        let (author, committer) = (signature(&who.author)?, signature(&who.committer)?);
        // Not by libgit2's own way to make a commit: on a full disk it says that all went well.
        let written = repository
            .commit_create_buffer(&author, &committer, commit.message, &tree, &[])
            .and_then(|text| repository.odb()?.write(ObjectType::Commit, &with_parent(&text, parent)));
        failed("cannot write a commit", written).map(version)
    }

    /// Makes what [`Objects::commit`] built survive a loss of power, and tells what that is.
    ///
    /// Only the objects' files are flushed: on the file systems of Linux that takes the name of a new
    /// file along, as git's own `core.fsync` relies on too. The folders would cost as much again.
    ///
    /// libgit2 would flush each object as it is written and wait for the disk each time; we do it once
    /// for all of them.
    ///
    /// Folders and commits are read back by the building itself. A file that was there already is read
    /// here, because libgit2 looks only at the names of objects: a loss of power leaves names of which
    /// the content was not flushed. `since`: when the building began.
    pub(super) fn flush(
        &self,
        at: &Version,
        changes: &Changes,
        since: Timestamp,
    ) -> Result<Vec<WrittenObject>, LedgerError> {
        let what = "cannot read what was just written";
        let root = self.tree(at)?;
        let mut made = BTreeMap::from([(oid(at)?, None), (root.id(), None)]);
        // Every file that was written and the folders above it; one that was removed has none.
        for (path, document) in changes {
            for above in Path::new(path).ancestors() {
                let document = document.as_ref().filter(|_| above == Path::new(path));
                made.extend(root.get_path(above).ok().map(|entry| (entry.id(), document)));
            }
        }
        let odb = failed(what, self.repository.odb())?;
        let made = made.into_iter().map(|(id, document)| match document {
            Some(document) => {
                Ok(WrittenObject { id, kind: ObjectType::Blob, bytes: document.bytes().to_vec() })
            }
            None => {
                let object = failed(what, odb.read(id))?;
                Ok(WrittenObject { id, kind: object.kind(), bytes: object.data().to_vec() })
            }
        });
        let made = made.collect::<Result<Vec<_>, LedgerError>>()?;
        pruning::check_found(&self.repository, &made, since)?;
        pruning::flush(&self.repository, made.iter().map(|one| one.id))?;
        Ok(made)
    }

    /// Whether `version` is `tip` or in its history.
    pub(super) fn is_in_history(&self, tip: &Version, version: &Version) -> Result<bool, LedgerError> {
        if tip == version {
            return Ok(true);
        }
        // The history of a tip is here whole, so what is not here is not in it.
        let odb = failed(READING, self.repository.odb())?;
        if matches!(odb.read_header(oid(version)?), Err(error) if error.code() == ErrorCode::NotFound) {
            return Ok(false);
        }
        failed(READING, leads_to(&self.repository, oid(version)?, oid(tip)?))
    }

    /// Visits the last commits, the newest first.
    pub(super) fn last_commits(&self, tip: &Version, visit: &mut VisitCommit<'_>) -> Result<(), LedgerError> {
        let odb = failed(READING, self.repository.odb())?;
        let mut next = Some(oid(tip)?);
        for _ in 0..LAST_COMMITS_MAX {
            // The history of a copy may end here, and a commit may be damaged: then that is all.
            let Some(commit) = next.and_then(|id| CommitText::read(&odb, id).ok()) else { break };
            if visit(&commit.author(), commit.at()).is_break() {
                break;
            }
            next = commit.parents().next();
        }
        Ok(())
    }

    /// How many commits of `old` are not in the history of `new`.
    pub(super) fn commits_lost(&self, old: &Version, new: &Version) -> usize {
        let counted = oid(old).and_then(|old| {
            let counted = self.repository.graph_ahead_behind(old, oid(new)?);
            failed(READING, counted)
        });
        counted.map_or(0, |(ahead, _)| ahead)
    }

    /// How many commits lead to `at`, itself included.
    pub(super) fn count(&self, at: &Version) -> Result<usize, LedgerError> {
        let mut commits = 0;
        let mut count = |_: Oid, _: &CommitText<'_>| {
            commits += 1;
            ControlFlow::Continue(())
        };
        failed(READING, back_from(&self.repository, oid(at)?, COMMITS_MAX, &|_| false, &mut count))?;
        Ok(commits)
    }

    /// Looks for an operation by its trailer, from `tip` back to `since`.
    pub(super) fn find(
        &self,
        tip: &Version,
        op: &OpId,
        since: Option<&Version>,
    ) -> Result<Search, LedgerError> {
        // Not known here when the history was rewritten: then all of it is searched.
        let since = since.and_then(|since| oid(since).ok());
        let mut found = None;
        let mut look = |id: Oid, commit: &CommitText<'_>| {
            let message = commit.message();
            if !shows(&message, op) {
                return ControlFlow::Continue(());
            }
            found = Some(FoundOperation {
                version: version(id),
                before: commit.parents().next().map(version),
                at: commit.at(),
                subject: message.lines().next().unwrap_or_default().to_owned(),
            });
            ControlFlow::Break(())
        };
        let walked = back_from(&self.repository, oid(tip)?, COMMITS_MAX, &|id| Some(*id) == since, &mut look);
        let reached = failed(READING, walked)?;
        Ok(match (found, reached) {
            (Some(found), _) => Search::Found(found),
            (None, Reached::Beginning) => Search::NotThere,
            (None, reached) => Search::CannotTell(reached),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_below_a_prefix_are_told_without_it() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let blob = repository.blob(b"x").expect("writes");
        for name in ["refs/heads/main", "refs/heads/heartbeat-a", "refs/muster/lost/main/1"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
            crate::machine::files::write(&path, &format!("{blob}\n")).expect("writes");
        }
        let objects = Objects::new(repository);
        for (prefix, expected) in [
            ("refs/heads/", &["heartbeat-a", "main"][..]),
            ("refs/heads/heartbeat-", &["a"]),
            ("refs/muster/", &["lost/main/1"]),
            ("refs/tags/", &[]),
        ] {
            let mut names = objects.names(prefix).expect("lists");
            names.sort();
            assert_eq!(names, expected, "{prefix}");
        }
    }
}
