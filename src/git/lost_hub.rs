//! What a branch was that holds no hub now: one that lost its documents must be put back and not
//! founded anew, because the tokens of its locks and jobs would begin again.
//!
//! Asked only when the documents are missing. What cannot be read here is as if it were not there.

use super::commits::{CommitText, back_from, tree_of};
use super::libgit2::{place_of, version};
use super::marks::DOCUMENTS;
use super::refs::GONE;
use super::{permitted, ref_lock};
use crate::ledger::{Past, Version};
use git2::{Oid, Repository};
use std::ops::ControlFlow;
use std::path::Path;

/// How far back the documents are looked for: a repository with other things in it may become a hub,
/// and should not be kept waiting.
const COMMITS_MAX: usize = 10_000;

/// The nearest commit in the history of `tip` that holds documents.
pub(super) fn in_history(repository: &Repository, tip: &Version) -> Option<Version> {
    let (tip, mut found) = (Oid::from_str(tip.as_str()).ok()?, None);
    let look = &mut |id, _: &CommitText<'_>| {
        if holds_documents(repository, id) {
            found = Some(version(id));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    back_from(repository, tip, COMMITS_MAX, &|_| false, look).ok()?;
    found
}

/// What `repository` knows of `branch` as it was before the hub lost it.
pub(super) fn known(repository: &Repository, branch: &str) -> Option<Past> {
    let references = [format!("{GONE}{branch}"), format!("refs/remotes/origin/{branch}")];
    let known = |reference: &String| {
        let tip = repository.refname_to_id(reference).ok()?;
        holds_documents(repository, tip).then(|| version(tip))
    };
    let version = references.iter().find_map(known)?;
    Some(Past::Known { version, place: place_of(repository.path()) })
}

/// Where this program put a branch last that is gone from the hub `repository`.
pub(super) fn put_last(repository: &Repository, branch: &str) -> Option<Past> {
    let last = ref_lock::last(repository, &format!("refs/heads/{branch}"))?;
    let place = place_of(repository.path());
    holds_documents(repository, last).then(|| Past::PutLast { version: version(last), place })
}

/// What our copy of the hub, or the clone around, knows of `branch`.
#[must_use]
pub fn known_in(repository: &Path, branch: &str) -> Option<Past> {
    known(&permitted::open(repository).ok()?, branch)
}

/// Whether a ref leads to documents.
pub(super) fn is_hub(repository: &Repository, reference: &str) -> bool {
    repository.refname_to_id(reference).is_ok_and(|tip| holds_documents(repository, tip))
}

pub(super) fn holds_documents(repository: &Repository, commit: Oid) -> bool {
    let Ok(tree) = tree_of(repository, commit) else { return false };
    // One that is named and cannot be read is none.
    let is_there = |id| repository.odb().is_ok_and(|odb| odb.read_header(id).is_ok());
    DOCUMENTS
        .iter()
        .any(|document| tree.get_path(Path::new(document)).is_ok_and(|entry| is_there(entry.id())))
}
