//! What a document said in the history of a branch: for who looks for what can be read again, however long
//! ago that was.
//!
//! What cannot be looked at is not taken for what is not there: a look tells what it did not get to see.

use super::commits::{CommitText, leads_to};
use super::libgit2::{failed, fault, version};
use super::objects::Objects;
use crate::ledger::{IsWhole, LedgerError, Side, VisitVersion};
use git2::{ErrorCode, Oid};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::path::Path;

/// The most commits that are looked at: a hub in use makes so many in years.
const COMMITS_MAX: usize = 200_000;

/// The most sides of merges that are told.
const SIDES_MAX: usize = 16;

const READING: &str = "cannot read the history of the hub";

/// What a look did not get to see.
#[derive(Debug)]
pub(super) enum UnreadHistory {
    /// The history that is here ends, as in a shallow clone.
    End,
    /// It is longer than what is looked at, or has more sides.
    More,
    /// An object cannot be read; which, if that is known.
    Lost(Option<Oid>, Box<LedgerError>),
}

/// Visits what lay at `path` in `tip` and in the commits that lead to it, by their time, each text once, and
/// tells in the end what was not seen before the visitor had enough.
pub(super) fn versions(
    objects: &Objects,
    tip: Oid,
    path: &str,
    visit: &mut VisitVersion<'_>,
) -> Result<Option<UnreadHistory>, LedgerError> {
    let look = VersionSearch::new(objects, path)?;
    let (mut seen, mut contents) = (HashSet::from([tip]), HashSet::new());
    // Of a merge the side that was written last comes first; of one second what is nearer.
    let (mut open, mut number) = (BinaryHeap::from([(i64::MAX, Reverse(0), tip)]), 0_usize);
    let mut unseen = None;
    for _ in 0..COMMITS_MAX {
        let Some((_, _, id)) = open.pop() else { return Ok(unseen) };
        match look.text(id, &mut contents) {
            Ok(Some(bytes)) if visit(&version(id), &bytes).is_break() => return Ok(unseen),
            Ok(_) => {}
            Err(flaw) => {
                unseen.get_or_insert(flaw);
            }
        }
        let parents = look.parents(id).unwrap_or_else(|flaw| {
            unseen.get_or_insert(flaw);
            Vec::new()
        });
        for parent in parents.into_iter().filter(|parent| seen.insert(*parent)) {
            number += 1;
            open.push((look.seconds(parent), Reverse(number), parent));
        }
    }
    Ok(Some(unseen.unwrap_or(UnreadHistory::More)))
}

/// The newest versions of `path` that are whole: one, or one of each side of the merges on top of them. Clocks
/// have no say in it.
pub(super) fn sides(
    objects: &Objects,
    tip: Oid,
    path: &str,
    is_whole: &IsWhole<'_>,
) -> Result<(Vec<Side>, Option<UnreadHistory>), LedgerError> {
    let look = VersionSearch::new(objects, path)?;
    let (mut seen, mut contents) = (HashSet::from([tip]), HashSet::new());
    let (mut open, mut found, mut unseen) = (vec![tip], Vec::new(), None);
    for _ in 0..COMMITS_MAX {
        if found.len() > SIDES_MAX {
            break;
        }
        let Some(id) = open.pop() else { break };
        let is_end_of_side = match look.text(id, &mut contents) {
            Ok(Some(bytes)) if is_whole(&bytes) => {
                found.push((id, bytes));
                true
            }
            Ok(_) => look.is_known_whole(id, &found),
            Err(flaw) => {
                unseen.get_or_insert(flaw);
                false
            }
        };
        if is_end_of_side {
            continue;
        }
        match look.parents(id) {
            // The first parent is the next.
            Ok(parents) => open.extend(parents.into_iter().rev().filter(|parent| seen.insert(*parent))),
            Err(flaw) => {
                unseen.get_or_insert(flaw);
            }
        }
    }
    if !open.is_empty() || found.len() > SIDES_MAX {
        unseen.get_or_insert(UnreadHistory::More);
        found.truncate(SIDES_MAX);
    }
    let sides = look.parted(found, &mut unseen);
    Ok((sides, unseen))
}

/// One document in one history.
struct VersionSearch<'a> {
    objects: &'a Objects,
    odb: git2::Odb<'a>,
    path: &'a str,
}

impl<'a> VersionSearch<'a> {
    fn new(objects: &'a Objects, path: &'a str) -> Result<Self, LedgerError> {
        Ok(Self { objects, odb: failed(READING, objects.repository().odb())?, path })
    }

    fn parents(&self, id: Oid) -> Result<Vec<Oid>, UnreadHistory> {
        match CommitText::read(&self.odb, id) {
            Ok(commit) => Ok(commit.parents().collect()),
            Err(error) => Err(self.missing(id, &error)),
        }
    }

    /// A commit that cannot be read.
    fn missing(&self, id: Oid, error: &git2::Error) -> UnreadHistory {
        if error.code() == ErrorCode::NotFound && self.objects.repository().is_shallow() {
            return UnreadHistory::End;
        }
        UnreadHistory::Lost(Some(id), fault(READING, error).into())
    }

    /// When it was made; what cannot be read comes last.
    fn seconds(&self, id: Oid) -> i64 {
        CommitText::read(&self.odb, id).ok().and_then(|commit| commit.seconds()).unwrap_or(i64::MIN)
    }

    /// What the document holds there; `None` where it is no file, or holds what was looked at already.
    fn text(&self, id: Oid, contents: &mut HashSet<Oid>) -> Result<Option<Vec<u8>>, UnreadHistory> {
        if CommitText::read(&self.odb, id).is_err() {
            // Its parents tell.
            return Ok(None);
        }
        let at = version(id);
        let content = self.objects.content(&at, self.path).map_err(|error| self.lost(id, error))?;
        if content.is_none_or(|content| !contents.insert(content)) {
            return Ok(None);
        }
        match self.objects.read(&at, self.path) {
            Err(LedgerError::Document(_)) => Ok(None),
            read => read.map_err(|error| self.lost(id, error)),
        }
    }

    /// Whether the document holds there what it holds where a side was found.
    fn is_known_whole(&self, id: Oid, found: &[(Oid, Vec<u8>)]) -> bool {
        let content = |id| self.objects.content(&version(id), self.path).ok().flatten();
        let here = content(id);
        here.is_some() && found.iter().any(|(side, _)| content(*side) == here)
    }

    /// What is gone on the way from a commit to the document.
    fn lost(&self, commit: Oid, error: LedgerError) -> UnreadHistory {
        let is_lost = |id: &Oid| self.odb.read(*id).is_err();
        let root = CommitText::read(&self.odb, commit).and_then(|commit| commit.tree());
        let Ok(root) = root else { return UnreadHistory::Lost(Some(commit), error.into()) };
        if is_lost(&root) {
            return UnreadHistory::Lost(Some(root), error.into());
        }
        let tree = self.objects.repository().find_tree(root).ok();
        let entry = |path: &Path| tree.as_ref()?.get_path(path).ok().map(|entry| entry.id());
        let mut way: Vec<&Path> = Path::new(self.path).ancestors().collect();
        way.reverse();
        UnreadHistory::Lost(way.into_iter().filter_map(entry).find(is_lost), error.into())
    }

    /// The sides without those that another follows on, each with what lay there where it and the first parted.
    fn parted(&self, found: Vec<(Oid, Vec<u8>)>, unseen: &mut Option<UnreadHistory>) -> Vec<Side> {
        let repository = self.objects.repository();
        let ids: Vec<Oid> = found.iter().map(|(id, _)| *id).collect();
        let is_before = |id: &Oid| {
            ids.iter().any(|other| other != id && leads_to(repository, *id, *other).unwrap_or(false))
        };
        let mut first = None;
        let mut sides = Vec::new();
        for (id, bytes) in found {
            if is_before(&id) {
                continue;
            }
            let base = first.and_then(|first| {
                self.base(first, id).unwrap_or_else(|flaw| {
                    unseen.get_or_insert(flaw);
                    None
                })
            });
            first.get_or_insert(id);
            sides.push(Side { version: version(id), bytes, base });
        }
        sides
    }

    fn base(&self, one: Oid, two: Oid) -> Result<Option<Vec<u8>>, UnreadHistory> {
        let repository = self.objects.repository();
        let base = match repository.merge_base(one, two) {
            Ok(base) => base,
            Err(_) if repository.is_shallow() => return Err(UnreadHistory::End),
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(UnreadHistory::Lost(None, fault(READING, &error).into())),
        };
        Ok(Some(self.text(base, &mut HashSet::new())?.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files;
    use git2::{ObjectType, Repository};
    use std::ops::ControlFlow;

    const PATH: &str = "jobs.json";

    fn objects() -> (tempfile::TempDir, Objects) {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        (folder, Objects::new(repository))
    }

    fn commit(objects: &Objects, parents: &[Oid], text: &str, seconds: i64) -> Oid {
        let repository = objects.repository();
        let blob = repository.blob(text.as_bytes()).expect("writes");
        let mut tree = repository.treebuilder(None).expect("builder");
        tree.insert(PATH, blob, 0o100_644).expect("inserts");
        let tree = tree.write().expect("writes");
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let who = format!("a <> {seconds} +0000");
        let text = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\nx\n");
        repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes())).expect("writes")
    }

    /// What is found below a tip that says nothing, with what lay where the sides parted.
    fn found(objects: &Objects, tip: Oid) -> (Vec<(String, Option<String>)>, Option<UnreadHistory>) {
        let (sides, unseen) = sides(objects, tip, PATH, &|bytes| !bytes.is_empty()).expect("reads");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (sides.into_iter().map(|side| (text(side.bytes), side.base.map(text))).collect(), unseen)
    }

    #[test]
    fn each_side_of_a_merge_tells_what_it_said_last_whatever_its_clock_says() {
        let (_folder, objects) = objects();
        let base = commit(&objects, &[], "base", 1);
        let ours = commit(&objects, &[base], "ours", 2);
        let theirs = commit(&objects, &[base], "theirs", 9_000_000_000);
        for (parents, expected) in [
            ([ours, theirs], [("ours", None), ("theirs", Some("base"))]),
            ([theirs, ours], [("theirs", None), ("ours", Some("base"))]),
        ] {
            let tip = commit(&objects, &[commit(&objects, &parents, "", 3)], "", 4);
            let expected: Vec<_> =
                expected.map(|(text, base)| (text.to_owned(), base.map(str::to_owned))).to_vec();
            assert!(matches!(found(&objects, tip), (sides, None) if sides == expected));
        }
        // One that the other follows on is no side.
        let emptied = commit(&objects, &[base], "", 2);
        let tip = commit(&objects, &[emptied, ours], "", 3);
        assert_eq!(found(&objects, tip).0, [("ours".to_owned(), None)]);
        // What never was one history has no common text.
        let other = commit(&objects, &[], "other", 1);
        let tip = commit(&objects, &[ours, other], "", 3);
        assert_eq!(found(&objects, tip).0, [("ours".to_owned(), None), ("other".to_owned(), None)]);
    }

    #[test]
    fn where_the_history_ends_or_is_damaged_is_told_and_only_where_that_may_be_newer() {
        let (folder, objects) = objects();
        let missing = Oid::from_str(&"1".repeat(40)).expect("id");
        let whole = commit(&objects, &[missing], "whole", 1);
        assert!(found(&objects, commit(&objects, &[whole], "", 2)).1.is_none());
        let end = commit(&objects, &[missing], "", 2);
        let unseen = || found(&objects, end).1;
        assert!(matches!(unseen(), Some(UnreadHistory::Lost(Some(id), _)) if id == missing));
        let mut visited = 0;
        let unread = versions(&objects, end, PATH, &mut |_, _| {
            visited += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(unread.expect("reads"), Some(UnreadHistory::Lost(..))) && visited == 1);
        files::write(&folder.path().join("shallow"), &format!("{end}\n")).expect("writes");
        assert!(matches!(unseen(), Some(UnreadHistory::End)));
        let enough = versions(&objects, end, PATH, &mut |_, _| ControlFlow::Break(()));
        assert!(enough.expect("reads").is_none());
    }

    #[test]
    fn of_more_sides_than_are_told_it_is_said_that_there_are_more() {
        for (number, is_more) in [(SIDES_MAX, false), (SIDES_MAX + 1, true)] {
            let (_folder, objects) = objects();
            let parents: Vec<Oid> =
                (0..number).map(|side| commit(&objects, &[], &format!("side {side}"), 1)).collect();
            let (sides, unseen) = found(&objects, commit(&objects, &parents, "", 2));
            assert_eq!((sides.len(), unseen.is_some()), (SIDES_MAX, is_more));
        }
    }
}
