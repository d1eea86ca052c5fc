//! What a document said in the history of a branch, the newest first: for who looks for what can be read
//! again, however long ago that was.

use super::commits::CommitText;
use super::engine::Version;
use super::error::LedgerError;
use super::objects::{Objects, failed, oid, version};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::ControlFlow;

/// The most commits that are looked at: a hub in use makes so many in years.
const COMMITS_MAX: usize = 200_000;

/// What is done with each version of a document.
pub type VisitVersion<'a> = dyn FnMut(&Version, &[u8]) -> ControlFlow<()> + 'a;

/// Visits what lay at `path` in `tip` and in the commits that lead to it, by their time, each text once. `true`
/// if there may be more, in history that is not here or is too long.
pub(super) fn versions(
    objects: &Objects,
    tip: &Version,
    path: &str,
    visit: &mut VisitVersion<'_>,
) -> Result<bool, LedgerError> {
    let odb = failed("cannot read the history of the hub", objects.repository().odb())?;
    let first = oid(tip)?;
    let (mut seen, mut contents) = (HashSet::from([first]), HashSet::new());
    // Of a merge the side that was written last comes first; of one second what is nearer.
    let (mut open, mut number) = (BinaryHeap::from([(i64::MAX, Reverse(0), first)]), 0_usize);
    let mut is_cut = false;
    for _ in 0..COMMITS_MAX {
        let Some((_, _, id)) = open.pop() else { return Ok(is_cut) };
        let Ok(commit) = CommitText::read(&odb, id) else {
            // Where a shallow clone ends, or damage that others tell.
            is_cut = true;
            continue;
        };
        let at = version(id);
        if let Ok(Some(content)) = objects.content(&at, path)
            && contents.insert(content)
            && let Ok(Some(bytes)) = objects.read(&at, path)
            && visit(&at, &bytes).is_break()
        {
            return Ok(is_cut);
        }
        for parent in commit.parents().filter(|parent| seen.insert(*parent)) {
            number += 1;
            let at = CommitText::read(&odb, parent).ok().and_then(|commit| commit.seconds());
            open.push((at.unwrap_or(i64::MIN), Reverse(number), parent));
        }
    }
    Ok(true)
}
