//! The commits on top of a branch that no operation of ours made, and what they were made on.
//!
//! An older writer reads a document, takes its time, and commits what it made of it. What was written
//! in between is undone by that if the clone around it was brought up to date meanwhile. Whoever writes
//! next can tell: a record is again as it was before one of our operations. Whoever cannot says so in the
//! commit, and the next one looks further back. Reads only, and of a commit no more than its text and where
//! its documents lie: scripts that beat on the main branch make thousands between two writes of ours.

use super::commits::CommitText;
use super::libgit2::{failed, oid, version};
use super::objects::Objects;
use crate::domain::id::OpId;
use crate::ledger::{
    BelowManual, EarlierContent, LedgerError, OwnBase, OwnCommit, PASSED_MAX, UNCHECKED, Version, ops_in,
    trailers,
};
use git2::{Odb, Oid, Repository};
use std::collections::{BTreeSet, HashSet, VecDeque};

/// How many operations before one of ours count as shortly before it, for what is gone: more than we write
/// while a script takes its time.
const OPERATIONS_MAX: usize = 64;

/// How many for what is there: nobody writes a record as it was long ago, to the letter, but who has an old
/// copy.
const OPERATIONS_FAR_MAX: usize = 1024;

/// How many commits before a copy of one of ours the original is looked for, and how many of them may be
/// older than the operation: clocks differ.
const COPIED_MAX: usize = 1024;
const OLDER_MAX: usize = 8;

/// What lies below `tip`, past `passed_max` commits at most; `None` if that is ours and left nothing
/// unchecked. Those of ours that are not final are passed.
pub(super) fn below(
    repository: &Repository,
    tip: Oid,
    passed_max: usize,
    is_final: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
) -> Result<Option<BelowManual>, LedgerError> {
    let odb = failed(READING, repository.odb())?;
    let mut below = BelowManual::default();
    let (mut open, mut seen) = (VecDeque::from([(tip, tip)]), HashSet::from([tip]));
    let (mut passed, mut finals) = (0, Vec::new());
    while let Some((id, top)) = open.pop_front() {
        if passed == passed_max {
            below.open.extend([id].into_iter().chain(open.into_iter().map(|(id, _)| id)).map(version));
            break;
        }
        let Some(commit) = read(&odb, id) else {
            below.open.push(version(id));
            below.is_cut = true;
            continue;
        };
        passed += 1;
        let message = commit.message();
        let mut next: Vec<Oid> = commit.parents().collect();
        let before = next.first().copied().map(version);
        if !is_ours(&commit) || is_copy(&odb, &commit) {
            if is_revert(&message) {
                below.meant.push((before, version(id)));
            }
            open.extend(next.into_iter().filter(|id| seen.insert(*id)).map(|id| (id, top)));
            continue;
        }
        let (further, unchecked) = unchecked_in(&message);
        let one = OwnCommit { version: version(id), unchecked };
        let is_last = further.is_empty() && is_final(&one)?;
        if is_last && id == tip && one.unchecked.is_empty() {
            return Ok(None);
        }
        let newer = below.meant.len();
        below.ours.push(OwnBase { ours: one.version.clone(), top: version(top), newer, beside: Vec::new() });
        if is_last {
            below.unchecked.extend(one.unchecked);
            finals.push(id);
            continue;
        }
        let top = next.first().copied().unwrap_or(id);
        // What it passed need not be passed again.
        next = if further.is_empty() { next } else { further };
        below.meant.push((before, one.version));
        open.extend(next.into_iter().filter(|id| seen.insert(*id)).map(|id| (id, top)));
    }
    if !finals.is_empty() {
        (below.open, below.is_cut) = (Vec::new(), false);
    }
    if finals.len() > 1 {
        part(repository, &odb, &mut below, &finals);
    }
    Ok(Some(below))
}

/// Leaves out of what was met what led to others of it, and notes what the sides that are left meant.
fn part(repository: &Repository, odb: &Odb<'_>, below: &mut BelowManual, finals: &[Oid]) {
    let older: HashSet<Version> = led_to(odb, finals, below.ours.len()).into_iter().map(version).collect();
    below.ours.retain(|one| !older.contains(&one.ours));
    let sides: Vec<Oid> = finals.iter().copied().filter(|id| !older.contains(&version(*id))).collect();
    for one in &mut below.ours {
        let Some(side) = sides.iter().find(|side| version(**side) == one.ours) else { continue };
        let others = sides.iter().filter(|other| *other != side);
        one.beside = others
            .map(|other| (repository.merge_base(*side, *other).ok().map(version), version(*other)))
            .collect();
    }
}

/// What leads to one of `tips`, until all of those but one, of `met`, were found in it, or the bound is
/// reached: what was done since is no undoing.
fn led_to(odb: &Odb<'_>, tips: &[Oid], met: usize) -> HashSet<Oid> {
    let parents =
        |id: Oid| -> Vec<Oid> { read(odb, id).map(|commit| commit.parents().collect()).unwrap_or_default() };
    let mut open: VecDeque<Oid> = tips.iter().flat_map(|tip| parents(*tip)).collect();
    let (mut seen, mut found): (HashSet<Oid>, _) = (open.iter().copied().collect(), 0);
    let tips: HashSet<Oid> = tips.iter().copied().collect();
    for _ in 0..PASSED_MAX {
        let Some(id) = open.pop_front().filter(|_| found + 1 < met) else { break };
        found += usize::from(tips.contains(&id));
        open.extend(parents(id).into_iter().filter(|id| seen.insert(*id)));
    }
    seen
}

const READING: &str = "cannot read the commits of the hub";

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
fn is_copy(odb: &Odb<'_>, copy: &CommitText<'_>) -> bool {
    let ops: HashSet<OpId> = ops_in(&copy.message()).collect();
    let began = ops.iter().filter_map(OpId::unix_seconds).chain(copy.seconds()).min();
    let mut open: VecDeque<Oid> = copy.parents().collect();
    let mut seen: HashSet<Oid> = open.iter().copied().collect();
    let mut older = 0;
    for _ in 0..COPIED_MAX {
        let Some(id) = open.pop_front().filter(|_| older < OLDER_MAX) else { break };
        let Some(commit) = read(odb, id) else { continue };
        if ops_in(&commit.message()).any(|op| ops.contains(&op)) {
            return true;
        }
        older += usize::from(commit.seconds() < began);
        open.extend(commit.parents().filter(|parent| seen.insert(*parent)));
    }
    false
}

fn is_revert(message: &str) -> bool {
    message.starts_with("Revert \"") || message.lines().any(|line| line.starts_with("This reverts commit "))
}

/// What lay at `path` before one of ours, whichever side of a merge it came from.
pub(super) fn earlier(objects: &Objects, ours: &Version, path: &str) -> Result<EarlierContent, LedgerError> {
    let repository = objects.repository();
    let odb = failed(READING, repository.odb())?;
    let mut earlier = EarlierContent::default();
    let (mut operations, mut contents) = (0, HashSet::new());
    let mut open: VecDeque<Oid> = read(&odb, oid(ours)?).iter().flat_map(CommitText::parents).collect();
    let mut seen: HashSet<Oid> = open.iter().copied().collect();
    for _ in 0..PASSED_MAX {
        let Some(id) = open.pop_front().filter(|_| operations < OPERATIONS_FAR_MAX) else { break };
        let Some(commit) = read(&odb, id) else {
            earlier.is_cut |= repository.is_shallow();
            continue;
        };
        // What is damaged is told by others, and stops no write that does not need it.
        if let Ok(content) = objects.content(&version(id), path)
            && contents.insert(content)
        {
            earlier.versions.push(version(id));
            earlier.near += usize::from(operations < OPERATIONS_MAX);
        }
        operations += usize::from(is_ours(&commit));
        open.extend(commit.parents().filter(|parent| seen.insert(*parent)));
    }
    Ok(earlier)
}

/// A commit; `None` where it is not here, as where a shallow clone ends, or is damaged, which others tell.
fn read<'a>(odb: &'a Odb<'_>, id: Oid) -> Option<CommitText<'a>> {
    CommitText::read(odb, id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn names(below: &BelowManual) -> Vec<Version> {
        below.ours.iter().map(|one| one.ours.clone()).collect()
    }

    fn found(repository: &Repository, tip: Oid) -> Option<BelowManual> {
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
            assert_eq!(found(&repository, tip).map(|it| names(&it)), Some(vec![version(ours)]), "{what}");
        }
        // Its message alone, with the time of now, long after.
        let mut tip = stale;
        for _ in 0..OLDER_MAX * 3 {
            tip = commit(&repository, &[tip], LATER, "beat");
        }
        tip = commit(&repository, &[tip], LATER, &op(2));
        assert_eq!(found(&repository, tip).map(|it| names(&it)), Some(vec![version(ours)]));
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
        assert_eq!(found(&repository, tip).map(|it| names(&it)), Some(vec![version(ours)]));
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
        assert_eq!((names(&further), further.open.len()), (vec![version(next), version(ours)], 0));
        assert_eq!(further.meant, [(Some(version(tip)), version(next))], "what it did is meant");
        let tops: Vec<_> = further.ours.iter().map(|one| (one.top.clone(), one.newer)).collect();
        assert_eq!(tops, [(version(next), 0), (version(tip), 1)]);
    }

    #[test]
    fn where_a_shallow_clone_ends_is_told() {
        let (_folder, repository) = repository();
        let missing = Oid::from_str(&"1".repeat(40)).expect("id");
        let tip = commit(&repository, &[missing], PICKED, "beat");
        // And so is where one is missing that should be there.
        let cut = BelowManual { open: vec![version(missing)], is_cut: true, ..BelowManual::default() };
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
        assert_eq!((names(&shared), shared.unchecked.len()), (vec![version(tip)], 1));
        let of = |path: &str| {
            below(&repository, tip, BOUND, &|one| Ok(!one.unchecked.contains(path)))
                .expect("looks")
                .map(|it| names(&it))
        };
        assert_eq!(of("x.json"), Some(vec![version(tip), version(ours)]), "what it left counts, too");
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
        assert_eq!(names(&found), [version(newer)]);
        assert_eq!(found.meant, [(Some(version(merge)), version(revert))]);
    }

    #[test]
    fn two_sides_of_ours_know_where_they_parted_and_however_many_merges_there_are_one_side_is_one() {
        let (_folder, repository) = repository();
        let parted = commit(&repository, &[], OURS, &op(1));
        let (one, other) =
            (commit(&repository, &[parted], OURS, &op(2)), commit(&repository, &[parted], OURS, &op(3)));
        let tip = commit(&repository, &[one, other], PICKED, "merge");
        let both = found(&repository, tip).expect("by hand");
        assert_eq!(names(&both), [version(one), version(other)]);
        let beside: Vec<_> = both.ours.into_iter().flat_map(|it| it.beside).collect();
        let base = Some(version(parted));
        assert_eq!(beside, [(base.clone(), version(other)), (base, version(one))]);
        // A script that merges whatever we write, and pushes late.
        let (mut ours, mut merge) = (parted, parted);
        for number in 10..10 + BOUND / 4 {
            ours = commit(&repository, &[ours], OURS, &op(number));
            merge = commit(&repository, &[merge, ours], PICKED, "merge");
        }
        let found = found(&repository, merge).expect("by hand");
        assert_eq!((names(&found), &found.ours[0].beside[..]), (vec![version(ours)], &[][..]));
    }
}
