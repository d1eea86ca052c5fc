//! A walk through the history of a branch, from its first commit to its newest. Reads only.
//!
//! The way is that on which our operations were committed, which is that of first parents unless
//! somebody pulled the hub into a branch of theirs and pushed the merge. What a merge brought in
//! counts as one step, and what the commits behind it say is told along with it. A document is read
//! only where it differs from the commit before, and only if the walker wants it.

use super::commits::{COMMITS_MAX, CommitText};
use super::libgit2::{failed, oid, version};
use super::objects::Objects;
use crate::ledger::{LedgerError, Reached, Version, Visitor, ops_in};
use ahead::{Helpers, ReadAhead};
use git2::{ErrorCode, Oid, Repository};
use merges::{Merges, PARENTS_MAX};
use reader::Reader;
use told::{MESSAGE_BYTES_MAX, READING, open};

mod ahead;
mod lost;
mod merges;
mod reader;
mod told;

pub(super) use lost::lost;

/// The most commits that are read to find out which parents of merges lead on; then it is the first.
const WEIGHED_MAX: usize = 200_000;

/// After so many commits the repository is opened anew: libgit2 keeps what it has read, up to 256 MB.
const COMMITS_PER_OPENING: usize = 2_000;

/// Walks to `tip`. `wants` is asked for paths; that of a folder ends with a slash.
pub(super) fn walk(
    objects: &Objects,
    tip: &Version,
    wants: &dyn Fn(&str) -> bool,
    visit: &mut Visitor<'_>,
) -> Result<Reached, LedgerError> {
    let path = objects.repository().path();
    let (way, reached) = way_to(&open(path)?, oid(tip)?)?;
    let (mut before, mut merges) = (None, Merges::default());
    for (stretch, ids) in way.chunks(COMMITS_PER_OPENING).enumerate() {
        let repository = open(path)?;
        let reader = Reader::new(&repository, wants)?;
        let mut helpers = Helpers::new(path)?;
        let mut ahead = ReadAhead::default();
        for (index, id) in ids.iter().enumerate() {
            let number = stretch * COMMITS_PER_OPENING + index + 1;
            ahead.plan(*id, before.take(), &reader, &mut merges)?;
            before = ahead.steps.last().map(|step| (version(*id), step.tree));
            if ahead.is_enough() || index + 1 == ids.len() {
                let steps = std::mem::take(&mut ahead);
                let first = number + 1 - steps.steps.len();
                steps.visit(&reader, &mut helpers, (first, way.len()), visit)?;
            }
        }
    }
    Ok(if merges.is_cut && reached == Reached::Beginning { Reached::Partly } else { reached })
}

/// The commits from the first to `tip`.
fn way_to(repository: &Repository, tip: Oid) -> Result<(Vec<Oid>, Reached), LedgerError> {
    let odb = failed(READING, repository.odb())?;
    let (mut way, mut next, mut reached) = (Vec::new(), Some(tip), Reached::Beginning);
    let mut left_to_weigh = WEIGHED_MAX;
    while let Some(id) = next {
        if way.len() == COMMITS_MAX {
            reached = Reached::Bound;
            break;
        }
        let commit = match CommitText::read(&odb, id) {
            Err(error) if error.code() == ErrorCode::NotFound && repository.is_shallow() => {
                reached = Reached::Shallow;
                break;
            }
            commit => failed(READING, commit)?,
        };
        way.push(id);
        let parents: Vec<Oid> = commit.parents().take(PARENTS_MAX).collect();
        next = parents.first().copied();
        if parents.len() > 1 {
            next = trodden(repository, &parents, &mut left_to_weigh)?.or(next);
        }
    }
    way.reverse();
    Ok((way, reached))
}

/// The parent of a merge by which most of our operations came that no other parent has.
fn trodden(repository: &Repository, parents: &[Oid], left: &mut usize) -> Result<Option<Oid>, LedgerError> {
    let odb = failed(READING, repository.odb())?;
    let mut best = (0, None);
    for parent in parents {
        let mut walk = failed(READING, repository.revwalk())?;
        if walk.push(*parent).is_err() {
            // A shallow clone ends here.
            continue;
        }
        for other in parents.iter().filter(|other| *other != parent) {
            // What a shallow clone does not have hides nothing.
            walk.hide(*other).ok();
        }
        let mut ops = 0;
        for id in walk.map_while(Result::ok).take(*left) {
            *left -= 1;
            let commit = failed(READING, CommitText::read(&odb, id))?;
            ops += ops_in(&commit.message_up_to(MESSAGE_BYTES_MAX).0).count();
        }
        if ops > best.0 {
            best = (ops, Some(*parent));
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::ObjectType;

    fn commit(repository: &Repository, parents: &[Oid], ops: usize) -> Oid {
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let ops: String =
            (0..ops).map(|number| format!("Muster-Op: 019a7c3e-5f0e-7d31-b1ce-{number:012}\n")).collect();
        let text = format!(
            "tree {}\n{parents}author a <> 1 +0000\ncommitter a <> 1 +0000\n\nx\n\n{ops}",
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        );
        repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes())).expect("writes")
    }

    #[test]
    fn the_way_goes_where_most_of_our_operations_came() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let base = commit(&repository, &[], 5);
        let [none, one, two] = [0, 1, 2].map(|ops| commit(&repository, &[base], ops));
        let longer = commit(&repository, &[one], 1);
        for (parents, expected, walked) in [
            (vec![none, one, two], two, 3),
            (vec![two, one, none], two, 3),
            // As many on each side: the first is where the merge was made.
            (vec![longer, two], longer, 3),
            (vec![two, longer], two, 3),
            (vec![none, base], none, 1),
        ] {
            let mut left = 10;
            let best = trodden(&repository, &parents, &mut left).expect("walks");
            assert_eq!((best.unwrap_or(parents[0]), 10 - left), (expected, walked), "{parents:?}");
            let merge = commit(&repository, &parents, 0);
            let (way, reached) = way_to(&repository, merge).expect("walks");
            assert_eq!((way[way.len() - 2], way[0], reached), (expected, base, Reached::Beginning));
        }
        let mut left = 1;
        trodden(&repository, &[none, longer], &mut left).expect("walks");
        assert_eq!(left, 0, "so much is walked and no more");
    }
}
