//! A walk through the history of a branch, from its first commit to its newest. Reads only.
//!
//! The way is that of first parents: what a merge brought in counts as one step, and what the
//! commits behind it say is told along with it. A document is read only where it differs from the
//! commit before, and only if the walker wants it.

use super::engine::Version;
use super::error::LedgerError;
use super::objects::{Objects, failed, oid, version};
use super::publish::LOST;
use crate::domain::id::OpId;
use crate::domain::json::{DOCUMENT_BYTES_MAX, DocumentError};
use crate::domain::time::Timestamp;
use git2::{ErrorCode, FileMode, ObjectType, Odb, Oid, Repository, Tree, TreeEntry};
use std::collections::{HashSet, VecDeque};
use std::path::Path;

/// The most commits that are walked; of a longer history these are the newest.
const COMMITS_MAX: usize = 1_000_000;

/// The most commits behind one merge, or of one rewritten history, that are looked at.
const ASIDE_MAX: usize = 10_000;

/// The most parents of one merge that are looked at.
const PARENTS_MAX: usize = 16;

/// How deep folders are looked into; a hub's documents lie in the second and third.
const FOLDERS_MAX: usize = 4;

/// The most versions of our own knowledge of a branch that are looked at.
const REMEMBERED_MAX: usize = 1_000;

/// The longest name or subject that is kept of a commit, in characters.
const TEXT_LENGTH_MAX: usize = 200;

/// After so many commits the repository is opened anew: libgit2 keeps what it has read, up to 256 MB.
const COMMITS_PER_OPENING: usize = 2_000;

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which commit.
    pub version: Version,
    /// Who made it.
    pub author: String,
    /// When, by its author's clock.
    pub at: Option<Timestamp>,
    /// Its first line.
    pub subject: String,
    /// The operations it carries.
    pub ops: Vec<OpId>,
}

/// One commit of a walk.
pub struct Stride<'a> {
    /// What it says.
    pub told: Told,
    /// The commits that it merged in; empty unless it is a merge.
    pub aside: Vec<Told>,
    /// The documents that differ from the commit before, by path.
    pub changed: Vec<(String, Content)>,
    /// What it is to those it merged in, of which it may have dropped something.
    pub merged: Vec<Merged>,
    /// How many commits were walked, this one included.
    pub number: usize,
    /// How many there are to walk.
    pub of: usize,
    tree: Oid,
    before: Option<Oid>,
    reader: &'a Reader<'a>,
}

/// A merge as seen from one of the histories that it merged in.
pub struct Merged {
    /// The commits that came to that history by the merge, without itself.
    pub brought: Vec<Told>,
    /// The documents in which the merge differs from it.
    pub changed: Vec<String>,
    tree: Oid,
}

impl Stride<'_> {
    /// What lay at a path before this commit.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn before(&self, path: &str) -> Result<Content, LedgerError> {
        self.before.map_or(Ok(Content::Missing), |tree| self.reader.at(tree, path))
    }

    /// What lies there after it.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn after(&self, path: &str) -> Result<Content, LedgerError> {
        self.reader.at(self.tree, path)
    }

    /// What lay there in a history that it merged in.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn merged_in(&self, merged: &Merged, path: &str) -> Result<Content, LedgerError> {
        self.reader.at(merged.tree, path)
    }
}

/// What lies at a path after a commit.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing any more.
    Missing,
    /// A file.
    File(Vec<u8>),
    /// Something that is not read: a link, a folder, a file too large.
    Unusable(DocumentError),
}

/// How far back a walk went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// To the first commit.
    Beginning,
    /// To where a shallow clone ends.
    Shallow,
    /// To the bound of a walk.
    Bound,
}

/// Commits that this repository had seen on a branch and that are not in its history any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The newest of them.
    pub tip: Version,
    /// What keeps them here, if a ref does.
    pub kept_as: Option<String>,
    /// The commits, the newest first.
    pub commits: Vec<Told>,
}

/// What a walker does with each commit.
pub type Visit<'a> = dyn FnMut(Stride<'_>) -> Result<(), LedgerError> + 'a;

/// Walks to `tip`. `wants` is asked for paths; that of a folder ends with a slash.
pub(super) fn walk(
    objects: &Objects,
    tip: &Version,
    wants: &dyn Fn(&str) -> bool,
    visit: &mut Visit<'_>,
) -> Result<Reached, LedgerError> {
    let (way, reached) = way_to(objects.repository(), oid(tip)?)?;
    let path = objects.repository().path();
    let mut before = None;
    for (stretch, ids) in way.chunks(COMMITS_PER_OPENING).enumerate() {
        let repository = failed("cannot open the repository", Repository::open(path))?;
        let reader = Reader::new(&repository, wants)?;
        for (index, id) in ids.iter().enumerate() {
            let number = stretch * COMMITS_PER_OPENING + index + 1;
            let commit = failed(READING, repository.find_commit(*id))?;
            let tree = commit.tree_id();
            let mut changed = Vec::new();
            for (path, lies) in reader.compare(before, tree)? {
                let content = reader.content(&path, lies)?;
                changed.push((path, content));
            }
            // What the first commit merged is where the history begins.
            let is_merge = before.is_some() && commit.parent_count() > 1;
            let (aside, merged) = if is_merge { reader.merge(&commit)? } else { (Vec::new(), Vec::new()) };
            let (told, of, reader) = (told(&commit), way.len(), &reader);
            visit(Stride { told, aside, changed, merged, number, of, tree, before, reader })?;
            before = Some(tree);
        }
    }
    Ok(reached)
}

/// The commits from the first to `tip` by way of first parents.
fn way_to(repository: &Repository, tip: Oid) -> Result<(Vec<Oid>, Reached), LedgerError> {
    let odb = failed(READING, repository.odb())?;
    let (mut way, mut next, mut reached) = (Vec::new(), Some(tip), Reached::Beginning);
    while let Some(id) = next {
        if way.len() == COMMITS_MAX {
            reached = Reached::Bound;
            break;
        }
        let object = match odb.read(id) {
            Err(error) if error.code() == ErrorCode::NotFound && repository.is_shallow() => {
                reached = Reached::Shallow;
                break;
            }
            object => failed(READING, object)?,
        };
        way.push(id);
        next = first_parent(object.data());
    }
    way.reverse();
    Ok((way, reached))
}

const READING: &str = "cannot read the history of the hub";

/// The first parent in the text of a commit. A commit is small, and to parse all of it for this
/// would take most of the time of the way.
fn first_parent(commit: &[u8]) -> Option<Oid> {
    let mut lines = commit.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let parent = lines.find_map(|line| line.strip_prefix(b"parent "))?;
    Oid::from_str(std::str::from_utf8(parent).ok()?).ok()
}

/// Reads commits and documents of one repository.
struct Reader<'a> {
    repository: &'a Repository,
    odb: Odb<'a>,
    wants: &'a dyn Fn(&str) -> bool,
}

impl<'a> Reader<'a> {
    fn new(repository: &'a Repository, wants: &'a dyn Fn(&str) -> bool) -> Result<Self, LedgerError> {
        Ok(Self { repository, odb: failed(READING, repository.odb())?, wants })
    }

    /// The commits that a merge merged in, and what it is to each of those histories.
    fn merge(&self, commit: &git2::Commit<'_>) -> Result<(Vec<Told>, Vec<Merged>), LedgerError> {
        let parents: Vec<Oid> = commit.parent_ids().take(PARENTS_MAX).collect();
        let without =
            |known: &Oid| -> Vec<Oid> { parents.iter().copied().filter(|id| id != known).collect() };
        let Some((first, others)) = parents.split_first() else { return Ok((Vec::new(), Vec::new())) };
        let aside = commits_between(self.repository, others, *first)?;
        let mut merged = Vec::new();
        for parent in others {
            // Where a shallow clone ends it is not known what was merged.
            let Ok(tree) = self.repository.find_commit(*parent).map(|parent| parent.tree_id()) else {
                continue;
            };
            let brought = commits_between(self.repository, &without(parent), *parent)?;
            let changed = self.compare(Some(tree), commit.tree_id())?;
            merged.push(Merged {
                brought,
                changed: changed.into_iter().map(|(path, _)| path).collect(),
                tree,
            });
        }
        Ok((aside, merged))
    }

    /// The wanted documents in which a tree differs from one before, and what lies there now.
    fn compare(&self, before: Option<Oid>, after: Oid) -> Result<Vec<(String, Option<Lies>)>, LedgerError> {
        let mut changed = Vec::new();
        if before != Some(after) {
            self.compare_folder((before, Some(after)), "", 0, &mut changed)?;
        }
        Ok(changed)
    }

    fn compare_folder(
        &self,
        (before, after): (Option<Oid>, Option<Oid>),
        folder: &str,
        depth: usize,
        changed: &mut Vec<(String, Option<Lies>)>,
    ) -> Result<(), LedgerError> {
        let tree = |id: Option<Oid>| id.map(|id| failed(READING, self.repository.find_tree(id))).transpose();
        let (before, after) = (tree(before)?, tree(after)?);
        let entry_of = |tree: &Option<Tree<'_>>, name: &str| {
            tree.as_ref().and_then(|tree| tree.get_name(name)).map(|entry| Lies::of(&entry))
        };
        let mut names = HashSet::new();
        for entry in after.iter().chain(&before).flat_map(Tree::iter) {
            // What is no text is no name of ours.
            let Ok(name) = entry.name() else { continue };
            let (was, is) = (entry_of(&before, name), entry_of(&after, name));
            if was == is || !names.insert(name.to_owned()) {
                continue;
            }
            let path = format!("{folder}{name}");
            let inside = format!("{path}/");
            let tree_in = |lies: Option<Lies>| lies.filter(Lies::is_folder).map(|lies| lies.id);
            let trees = (tree_in(was), tree_in(is));
            if depth < FOLDERS_MAX && trees.0 != trees.1 && (self.wants)(&inside) {
                self.compare_folder(trees, &inside, depth + 1, changed)?;
            }
            if (self.wants)(&path) {
                changed.push((path, is));
            }
        }
        Ok(())
    }

    /// What lies at a path of a tree.
    fn at(&self, tree: Oid, path: &str) -> Result<Content, LedgerError> {
        let tree = failed(READING, self.repository.find_tree(tree))?;
        match tree.get_path(Path::new(path)) {
            Ok(entry) => self.content(path, Some(Lies::of(&entry))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(Content::Missing),
            Err(error) => failed(READING, Err(error)),
        }
    }

    fn content(&self, path: &str, lies: Option<Lies>) -> Result<Content, LedgerError> {
        let refuse = |problem: String| Ok(Content::Unusable(DocumentError::new(path, problem)));
        let Some(lies) = lies else { return Ok(Content::Missing) };
        if !lies.is_file() {
            return refuse("it is not a file".to_owned());
        }
        let (bytes, _) = failed("cannot read a file of the hub", self.odb.read_header(lies.id))?;
        if bytes > DOCUMENT_BYTES_MAX {
            return refuse(format!("it has {bytes} bytes, more than the {DOCUMENT_BYTES_MAX} allowed"));
        }
        let object = failed("cannot read a file of the hub", self.odb.read(lies.id))?;
        Ok(Content::File(object.data().to_vec()))
    }
}

/// What lies at a name in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lies {
    id: Oid,
    kind: Option<ObjectType>,
    mode: i32,
}

impl Lies {
    fn of(entry: &TreeEntry<'_>) -> Self {
        Self { id: entry.id(), kind: entry.kind(), mode: entry.filemode() }
    }

    fn is_folder(&self) -> bool {
        self.kind == Some(ObjectType::Tree)
    }

    fn is_file(&self) -> bool {
        self.kind == Some(ObjectType::Blob) && self.mode != i32::from(FileMode::Link)
    }
}

/// The operations that a commit message carries.
pub(super) fn ops_in(message: &str) -> impl Iterator<Item = OpId> {
    message.lines().filter_map(|line| OpId::new(line.strip_prefix("Muster-Op: ")?).ok())
}

fn told(commit: &git2::Commit<'_>) -> Told {
    let message = String::from_utf8_lossy(commit.message_bytes());
    let cut = |text: &str| text.chars().take(TEXT_LENGTH_MAX).collect();
    Told {
        version: version(commit.id()),
        author: cut(&String::from_utf8_lossy(commit.author().name_bytes())),
        at: Timestamp::from_unix_millis(commit.time().seconds().saturating_mul(1000)),
        subject: cut(message.trim_start().lines().next().unwrap_or_default()),
        ops: ops_in(&message).collect(),
    }
}

/// The commits that lead to `tips` and not to `known`, the newest first.
fn commits_between(repository: &Repository, tips: &[Oid], known: Oid) -> Result<Vec<Told>, LedgerError> {
    let mut walk = failed(READING, repository.revwalk())?;
    for tip in tips {
        failed(READING, walk.push(*tip))?;
    }
    failed(READING, walk.hide(known))?;
    let mut commits = Vec::new();
    for id in walk.take(ASIDE_MAX) {
        // A shallow clone ends somewhere.
        let Ok(id) = id else { break };
        commits.push(told(&failed(READING, repository.find_commit(id))?));
    }
    Ok(commits)
}

/// What `memory` has seen of a branch, by the log of `reference` and by what was kept of rewritten
/// histories, that does not lead to `tip` in `hub` any more.
pub(super) fn lost(
    hub: &Objects,
    memory: &Objects,
    reference: &str,
    tip: &Version,
) -> Result<Vec<Lost>, LedgerError> {
    let repository = memory.repository();
    let mut seen = kept(memory)?;
    // A bare repository keeps no log unless it is told to, and to ask libgit2 for one makes one.
    if repository.reference_has_log(reference).unwrap_or(false)
        && let Ok(log) = repository.reflog(reference)
    {
        seen.extend(log.iter().take(REMEMBERED_MAX).map(|entry| (entry.id_new(), None)));
    }
    seen.retain(|(id, _)| version(*id) != *tip);
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let mut known = reachable(hub.repository(), oid(tip)?)?;
    seen.retain(|(id, _)| !known.contains(id));
    // The newest first, so that what leads to another is told with it.
    seen.sort_by_key(|(id, _)| {
        std::cmp::Reverse(repository.find_commit(*id).map_or(0, |commit| commit.time().seconds()))
    });
    let mut lost = Vec::new();
    for (id, kept_as) in seen {
        let commits = commits_up_to(repository, id, &mut known);
        // What was removed from our repository too cannot be told.
        if !commits.is_empty() {
            lost.push(Lost { tip: version(id), kept_as, commits });
        }
    }
    Ok(lost)
}

/// The tips that were kept of rewritten histories, with the refs that keep them.
fn kept(memory: &Objects) -> Result<Vec<(Oid, Option<String>)>, LedgerError> {
    let mut kept = Vec::new();
    for name in memory.names(LOST)? {
        let name = format!("{LOST}{name}");
        if let Some(tip) = memory.tip(&name)? {
            kept.push((oid(&tip)?, Some(name)));
        }
    }
    Ok(kept)
}

/// All commits that lead to `tip`.
fn reachable(repository: &Repository, tip: Oid) -> Result<HashSet<Oid>, LedgerError> {
    let mut walk = failed(READING, repository.revwalk())?;
    failed(READING, walk.push(tip))?;
    // A shallow clone ends somewhere.
    Ok(walk.take(COMMITS_MAX).map_while(Result::ok).collect())
}

/// The commits that lead to `tip`, back to those that are `known`, which they join.
fn commits_up_to(repository: &Repository, tip: Oid, known: &mut HashSet<Oid>) -> Vec<Told> {
    let (mut commits, mut open) = (Vec::new(), VecDeque::from([tip]));
    while let Some(id) = open.pop_front() {
        if commits.len() == ASIDE_MAX || !known.insert(id) {
            continue;
        }
        if let Ok(commit) = repository.find_commit(id) {
            open.extend(commit.parent_ids());
            commits.push(told(&commit));
        }
    }
    commits
}
