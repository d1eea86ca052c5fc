//! What this host has seen of a branch that is not in its history any more: a force-push took it.

use super::told::{ASIDE_MAX, READING, told};
use crate::git::commits::{COMMITS_MAX, CommitText, back_from};
use crate::git::libgit2::{failed, oid, version};
use crate::git::objects::Objects;
use crate::git::refs::LOST;
use crate::ledger::{CommitTrailers, LedgerError, LostCommits, Version};
use git2::{Oid, Repository};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// The most entries of the log of a branch that are looked at.
const REMEMBERED_MAX: usize = 1_000;

/// What `memory` has seen of a branch, by the log of `reference` and by what was kept of rewritten
/// histories, that does not lead to `tip` in `hub` any more.
pub(in crate::git) fn lost(
    hub: &Objects,
    memory: &Objects,
    reference: &str,
    tip: &Version,
) -> Result<Vec<LostCommits>, LedgerError> {
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
    let odb = failed(READING, repository.odb())?;
    let at = |id: &Oid| CommitText::read(&odb, *id).ok().and_then(|commit| commit.seconds());
    seen.sort_by_key(|(id, _)| std::cmp::Reverse(at(id)));
    let mut lost = Vec::new();
    for (id, kept_as) in seen {
        let commits = commits_up_to(repository, id, &mut known);
        // What was removed from our repository too cannot be told.
        if !commits.is_empty() {
            let place = repository.path().to_string_lossy().into_owned();
            lost.push(LostCommits { tip: version(id), place, kept_as, commits });
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
    let mut known = HashSet::new();
    let mut know = |id: Oid, _: &CommitText<'_>| {
        known.insert(id);
        ControlFlow::Continue(())
    };
    failed(READING, back_from(repository, tip, COMMITS_MAX, &|_| false, &mut know))?;
    Ok(known)
}

/// The commits that lead to `tip`, back to those that are `known`, which they join.
fn commits_up_to(repository: &Repository, tip: Oid, known: &mut HashSet<Oid>) -> Vec<CommitTrailers> {
    let mut commits = Vec::new();
    let mut tell = |id: Oid, commit: &CommitText<'_>| {
        commits.push((id, told(id, commit)));
        ControlFlow::Continue(())
    };
    // What was removed from our repository too cannot be told, nor what is behind it.
    drop(back_from(repository, tip, ASIDE_MAX, &|id| known.contains(id), &mut tell));
    known.extend(commits.iter().map(|(id, _)| *id));
    commits.into_iter().map(|(_, told)| told).collect()
}
