//! The commits on top of a branch that no operation of ours made, and what they were made on.
//!
//! An older writer reads a document, takes its time, and commits what it made of it. What was written
//! in between is undone by that if the clone around it was brought up to date meanwhile. Whoever writes
//! next can tell: a record is again as it was before one of our operations. Whoever cannot says so in the
//! commit, and the next one looks further back. Reads only, and of a commit no more than its text and where
//! its documents lie: scripts that beat on the main branch make thousands between two writes of ours.

use super::commits::{CommitText, leads_to};
use super::engine::Version;
use super::error::LedgerError;
use super::objects::{Objects, failed, oid, version};
use super::transaction::{ops_in, trailers};
use crate::domain::id::OpId;
use git2::{ErrorCode, Odb, Oid, Repository};
use std::collections::{BTreeSet, HashSet, VecDeque};

/// The most commits that are passed on the way to ours, and how many of each kind before them: beats of
/// a script each half minute make so many in ten days.
pub const PASSED_MAX: usize = 30_000;

/// How many operations before one of ours count as shortly before it: more than we write while a script
/// takes its time.
const OPERATIONS_MAX: usize = 64;

/// How many commits before a copy of one of ours the original is looked for, and how many of them may be
/// older than the operation: clocks differ.
const COPIED_MAX: usize = 1024;
const OLDER_MAX: usize = 8;

/// The trailer that says what a commit of ours could not judge: a document, or all that lies below a commit.
pub const UNCHECKED: &str = "Muster-Unchecked";

/// One of our commits that others have built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// The commit.
    pub version: Version,
    /// The documents that it could not judge.
    pub unchecked: BTreeSet<String>,
}

/// What lies below the commits by hand on top of a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Below {
    /// Our newest commits that judged what lies below them, without those that led to others of them.
    pub ours: Vec<Version>,
    /// The documents that one of them could not judge.
    pub unchecked: BTreeSet<String>,
    /// What was meant on the way: those of ours that were passed, and what reverts a commit; each with what it
    /// was made on.
    pub meant: Vec<(Version, Version)>,
    /// Where the look ended, if none of ours was found: at the bound, or where a shallow clone ends.
    pub open: Vec<Version>,
    /// Whether a shallow clone ended there, and not the bound.
    pub is_cut: bool,
}

/// What was there before one of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The versions in which the document differs from that after it, the newest first.
    pub versions: Vec<Version>,
    /// Whether a shallow clone ends before all of them were seen.
    pub is_cut: bool,
}

/// What lies below `tip`, past `passed_max` commits at most; `None` if that is ours and left nothing
/// unchecked. Those of ours that are not final are passed.
pub(super) fn below(
    repository: &Repository,
    tip: Oid,
    passed_max: usize,
    is_final: &dyn Fn(&Ours) -> Result<bool, LedgerError>,
) -> Result<Option<Below>, LedgerError> {
    let odb = failed(READING, repository.odb())?;
    let mut below = Below::default();
    let (mut open, mut seen) = (VecDeque::from([tip]), HashSet::from([tip]));
    let mut passed = 0;
    while let Some(id) = open.pop_front() {
        if passed == passed_max {
            below.open.extend([id].into_iter().chain(open).map(version));
            break;
        }
        let Some(commit) = read(&odb, id)? else {
            // Elsewhere a commit that is not there is damage, which others tell.
            if repository.is_shallow() {
                below.open.push(version(id));
                below.is_cut = true;
            }
            continue;
        };
        passed += 1;
        let message = commit.message();
        let mut next: Vec<Oid> = commit.parents().collect();
        let before = next.first().copied().map(version);
        if is_ours(&commit) && !is_copy(&odb, &commit)? {
            let (further, unchecked) = unchecked_in(&message);
            let one = Ours { version: version(id), unchecked };
            if further.is_empty() && is_final(&one)? {
                if id == tip && one.unchecked.is_empty() {
                    return Ok(None);
                }
                below.ours.push(one.version);
                below.unchecked.extend(one.unchecked);
                continue;
            }
            // What it passed need not be passed again.
            next = if further.is_empty() { next } else { further };
            below.meant.extend(before.map(|before| (before, one.version)));
        } else if is_revert(&message) {
            below.meant.extend(before.map(|before| (before, version(id))));
        }
        open.extend(next.into_iter().filter(|id| seen.insert(*id)));
    }
    if !below.ours.is_empty() {
        (below.open, below.is_cut) = (Vec::new(), false);
    }
    if below.ours.len() > 1 {
        below.ours = newest(repository, &below.ours)?;
    }
    Ok(Some(below))
}

const READING: &str = "cannot read the commits of the hub";

/// Those of `ours` that led to none of the others: what was done since is no undoing.
fn newest(repository: &Repository, ours: &[Version]) -> Result<Vec<Version>, LedgerError> {
    let ids = ours.iter().map(oid).collect::<Result<Vec<_>, _>>()?;
    // What a shallow clone does not have leads nowhere.
    let is_older =
        |id: &Oid| ids.iter().any(|other| other != id && leads_to(repository, *id, *other).unwrap_or(false));
    Ok(ids.iter().filter(|id| !is_older(id)).copied().map(version).collect())
}

/// What a commit of ours left unchecked: all below some commits, and documents.
fn unchecked_in(message: &str) -> (Vec<Oid>, BTreeSet<String>) {
    let (mut commits, mut paths) = (Vec::new(), BTreeSet::new());
    for line in trailers(message) {
        let Some(value) = line.strip_prefix(UNCHECKED).and_then(|rest| rest.strip_prefix(": ")) else {
            continue;
        };
        match Oid::from_str(value) {
            Ok(id) if value.len() == 40 => commits.push(id),
            _ => drop(paths.insert(value.to_owned())),
        }
    }
    (commits, paths)
}

/// Whether a commit is as we make them: its operations are trailers and stand nowhere else, it merges
/// nothing, and author and committer made it at once. What was picked, amended or rebased keeps the time
/// of its author and has a new one of its committer; what was squashed quotes messages.
fn is_ours(commit: &CommitText<'_>) -> bool {
    let message = commit.message();
    let trailing = trailers(&message).filter(|line| line.starts_with("Muster-Op: ")).count();
    let all = message.lines().filter(|line| line.starts_with("Muster-Op: ")).count();
    trailing == all
        && ops_in(&message).next().is_some()
        && commit.parents().nth(1).is_none()
        && commit.is_made_at_once()
}

/// Whether an operation of a commit is in the history below it: what carries it is a copy, made by hand.
/// The id of an operation tells when it began, so that of most commits few before them are read.
fn is_copy(odb: &Odb<'_>, copy: &CommitText<'_>) -> Result<bool, LedgerError> {
    let ops: HashSet<OpId> = ops_in(&copy.message()).collect();
    let began = ops.iter().filter_map(OpId::unix_seconds).chain(copy.seconds()).min();
    let mut open: VecDeque<Oid> = copy.parents().collect();
    let mut seen: HashSet<Oid> = open.iter().copied().collect();
    let mut older = 0;
    for _ in 0..COPIED_MAX {
        let Some(id) = open.pop_front().filter(|_| older < OLDER_MAX) else { break };
        let Some(commit) = read(odb, id)? else { continue };
        if ops_in(&commit.message()).any(|op| ops.contains(&op)) {
            return Ok(true);
        }
        older += usize::from(commit.seconds() < began);
        open.extend(commit.parents().filter(|parent| seen.insert(*parent)));
    }
    Ok(false)
}

fn is_revert(message: &str) -> bool {
    message.starts_with("Revert \"") || message.lines().any(|line| line.starts_with("This reverts commit "))
}

/// What lay at `path` before one of ours, on the way of first parents.
pub(super) fn earlier(objects: &Objects, ours: &Version, path: &str) -> Result<Earlier, LedgerError> {
    let repository = objects.repository();
    let odb = failed(READING, repository.odb())?;
    let first = |id: Oid| -> Result<Option<(bool, Option<Oid>)>, LedgerError> {
        Ok(read(&odb, id)?.map(|commit| (is_ours(&commit), commit.parents().next())))
    };
    let (mut earlier, mut last, mut operations) = (Earlier::default(), None, 0);
    let mut next = first(oid(ours)?)?.and_then(|(_, parent)| parent);
    for _ in 0..PASSED_MAX {
        let Some(id) = next.filter(|_| operations < OPERATIONS_MAX) else { break };
        let Some((is_ours, parent)) = first(id)? else {
            earlier.is_cut = repository.is_shallow();
            break;
        };
        let content = objects.content(&version(id), path)?;
        if last.replace(content) != Some(content) {
            earlier.versions.push(version(id));
        }
        operations += usize::from(is_ours);
        next = parent;
    }
    Ok(earlier)
}

/// A commit; `None` where a shallow clone ends.
fn read<'a>(odb: &'a Odb<'_>, id: Oid) -> Result<Option<CommitText<'a>>, LedgerError> {
    match CommitText::read(odb, id) {
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        commit => failed(READING, commit).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::files;
    use git2::ObjectType;

    const OURS: &str = "author a <a@x> 7 +0000\ncommitter a <a@x> 7 +0000";
    const LATER: &str = "author a <a@x> 1800000000 +0000\ncommitter a <a@x> 1800000000 +0000";
    const PICKED: &str = "author a <a@x> 7 +0000\ncommitter p <p@x> 9 +0000";

    const BOUND: usize = 100;

    fn op(number: usize) -> String {
        format!("job add: x\n\nMuster-Op: 019a7c3e-5f0e-7d31-b1ce-{number:012}\n")
    }

    fn commit(repository: &Repository, parents: &[Oid], people: &str, message: &str) -> Oid {
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let text = format!("tree {tree}\n{parents}{people}\n\n{message}");
        repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes())).expect("writes")
    }

    fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        (folder, repository)
    }

    fn found(repository: &Repository, tip: Oid) -> Option<Below> {
        below(repository, tip, BOUND, &|_| Ok(true)).expect("looks")
    }

    #[test]
    fn what_only_looks_like_ours_hides_nothing_below_it() {
        let (_folder, repository) = repository();
        let first = commit(&repository, &[], OURS, &op(1));
        let ours = commit(&repository, &[first], OURS, &op(2));
        let stale = commit(&repository, &[ours], PICKED, "stale");
        let squashed = format!("pull request\n\n{}\n{}", op(4), op(5));
        let quoted = format!("{}\nand a word of mine\n", op(4));
        for (what, people, message, parents) in [
            ("picked, rebased or amended", PICKED, op(4), vec![stale]),
            ("picked within a second", OURS, op(2), vec![stale]),
            ("picked with one of another", OURS, format!("{}{}", op(4), &op(1)[12..]), vec![stale]),
            ("squashed", OURS, squashed, vec![stale]),
            ("quoted", OURS, quoted, vec![stale]),
            ("a merge", OURS, op(4), vec![stale, first]),
            ("no op at all", OURS, "x\n\nMuster-Op: y\n".to_owned(), vec![stale]),
            ("a subject alone", OURS, op(4).replace("job add: x\n\n", ""), vec![stale]),
        ] {
            let tip = commit(&repository, &parents, people, &message);
            assert_eq!(found(&repository, tip).map(|it| it.ours), Some(vec![version(ours)]), "{what}");
        }
        // Its message alone, with the time of now, long after.
        let mut tip = stale;
        for _ in 0..OLDER_MAX * 3 {
            tip = commit(&repository, &[tip], LATER, "beat");
        }
        tip = commit(&repository, &[tip], LATER, &op(2));
        assert_eq!(found(&repository, tip).map(|it| it.ours), Some(vec![version(ours)]));
        let genuine = commit(&repository, &[stale], OURS, &op(4));
        assert_eq!(found(&repository, genuine), None);
    }

    #[test]
    fn however_many_commits_by_hand_lie_on_top_ours_is_found_in_the_end() {
        let (_folder, repository) = repository();
        let ours = commit(&repository, &[], OURS, &op(1));
        let mut tip = ours;
        for _ in 0..BOUND - 2 {
            tip = commit(&repository, &[tip], PICKED, "beat");
        }
        assert_eq!(found(&repository, tip).map(|it| it.ours), Some(vec![version(ours)]));
        let below_bound = tip;
        for _ in 0..BOUND {
            tip = commit(&repository, &[tip], PICKED, "beat");
        }
        let bound = found(&repository, tip).expect("by hand");
        assert_eq!((bound.ours.len(), &bound.open), (0, &vec![version(below_bound)]), "it is told");
        // Who writes then says so, and who comes next goes on there.
        let message = op(2).replace("Muster-Op", &format!("{UNCHECKED}: {below_bound}\nMuster-Op"));
        let next = commit(&repository, &[tip], OURS, &message);
        let further = found(&repository, next).expect("not checked");
        assert_eq!((further.ours, further.open.len()), (vec![version(ours)], 0));
        assert_eq!(further.meant, [(version(tip), version(next))], "what it did is meant");
    }

    #[test]
    fn where_a_shallow_clone_ends_is_told() {
        let (_folder, repository) = repository();
        let missing = Oid::from_str(&"1".repeat(40)).expect("id");
        let tip = commit(&repository, &[missing], PICKED, "beat");
        assert_eq!(found(&repository, tip), Some(Below::default()));
        files::write(&repository.path().join("shallow"), &format!("{tip}\n")).expect("writes");
        let cut = Below { open: vec![version(missing)], is_cut: true, ..Below::default() };
        assert_eq!(found(&repository, tip), Some(cut));
    }

    #[test]
    fn ours_that_could_not_judge_a_document_is_passed_for_that_one() {
        let (_folder, repository) = repository();
        let ours = commit(&repository, &[], OURS, &op(1));
        let by_hand = commit(&repository, &[ours], PICKED, "broken");
        let message = op(2).replace("Muster-Op", &format!("{UNCHECKED}: x.json\nMuster-Op"));
        let tip = commit(&repository, &[by_hand], OURS, &message);
        let shared = found(&repository, tip).expect("something is not checked");
        assert_eq!((shared.ours, shared.unchecked.len()), (vec![version(tip)], 1));
        let of = |path: &str| {
            below(&repository, tip, BOUND, &|one| Ok(!one.unchecked.contains(path)))
                .expect("looks")
                .map(|it| it.ours)
        };
        assert_eq!(of("x.json"), Some(vec![version(ours)]));
        assert_eq!(of("y.json"), Some(vec![version(tip)]));
    }

    #[test]
    fn a_revert_is_meant_and_ours_that_led_to_others_is_left_out() {
        let (_folder, repository) = repository();
        let older = commit(&repository, &[], OURS, &op(1));
        let newer = commit(&repository, &[older], OURS, &op(2));
        let aside = commit(&repository, &[older], PICKED, "aside");
        let merge = commit(&repository, &[aside, newer], PICKED, "merge");
        let revert = commit(&repository, &[merge], PICKED, "Revert \"x\"\n\nThis reverts commit abc.\n");
        let tip = commit(&repository, &[revert], PICKED, "Revert to what was");
        let found = found(&repository, tip).expect("by hand");
        assert_eq!(found.ours, [version(newer)]);
        assert_eq!(found.meant, [(version(merge), version(revert))]);
    }
}
