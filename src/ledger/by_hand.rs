//! The commits on top of a branch that no operation of ours made, and what they were made on.
//!
//! An older writer reads a document, takes its time, and commits what it made of it. What was written
//! in between is undone by that if the clone around it was brought up to date meanwhile. Whoever writes
//! next can tell: a record is again as it was before one of our operations. Reads only.

use super::commits::CommitText;
use super::engine::Version;
use super::objects::version;
use super::transaction::ops_in;
use git2::{Error, ErrorCode, Odb, Oid, Repository};
use std::collections::{HashSet, VecDeque};

/// The most commits made by hand behind which one of ours is looked for: more than an older writer
/// makes between two writes of a fleet that is at work.
const FOREIGN_MAX: usize = 64;

/// How many versions before one of ours are told: more than we write while a script takes its time.
const BEFORE_MAX: usize = 64;

/// One of our commits that others have built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// The commit.
    pub version: Version,
    /// What came before it, the nearest first.
    pub before: Vec<Version>,
    /// What it was made on.
    parents: Vec<Oid>,
}

/// How many commits before ours are looked at for others of ours: a merge by hand brings in one that is older
/// by as much as its clone was behind.
const OLDER_MAX: usize = 4096;

/// Our newest commits below those on top of `tip` that were made by hand, without those that led to others
/// of them. None if the newest is ours, or if somebody reverts a commit on purpose.
pub(super) fn below_foreign(repository: &Repository, tip: Oid) -> Result<Vec<Ours>, Error> {
    let odb = repository.odb()?;
    let (mut open, mut seen) = (VecDeque::from([tip]), HashSet::from([tip]));
    let (mut foreign, mut ours) = (0, Vec::new());
    while let Some(id) = open.pop_front() {
        let Some(commit) = read(&odb, id)? else { continue };
        if ops_in(&commit.message()).next().is_some() {
            if id == tip {
                return Ok(Vec::new());
            }
            let parents = commit.parents().collect();
            ours.push(Ours { version: version(id), before: before(&odb, &commit)?, parents });
            continue;
        }
        foreign += 1;
        if commit.message().starts_with("Revert ") {
            return Ok(Vec::new());
        }
        if foreign == FOREIGN_MAX {
            break;
        }
        open.extend(commit.parents().filter(|parent| seen.insert(*parent)));
    }
    if ours.len() > 1 {
        let older = older(repository, &ours)?;
        ours.retain(|one| !older.contains(&one.version));
    }
    Ok(ours)
}

/// Those of `ours` that led to others of them: what was done since is no undoing.
fn older(repository: &Repository, ours: &[Ours]) -> Result<HashSet<Version>, Error> {
    let mut walk = repository.revwalk()?;
    for id in ours.iter().flat_map(|one| &one.parents) {
        walk.push(*id)?;
    }
    let mut older = HashSet::new();
    for id in walk.take(OLDER_MAX) {
        let id = version(id?);
        if ours.iter().any(|one| one.version == id) {
            older.insert(id);
        }
    }
    Ok(older)
}

/// The first parents of a commit.
fn before(odb: &Odb<'_>, commit: &CommitText<'_>) -> Result<Vec<Version>, Error> {
    let mut versions = Vec::new();
    let mut next = commit.parents().next();
    while let Some(id) = next.filter(|_| versions.len() < BEFORE_MAX) {
        let Some(commit) = read(odb, id)? else { break };
        versions.push(version(id));
        next = commit.parents().next();
    }
    Ok(versions)
}

/// A commit; `None` where a shallow clone ends.
fn read<'a>(odb: &'a Odb<'_>, id: Oid) -> Result<Option<CommitText<'a>>, Error> {
    match CommitText::read(odb, id) {
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        commit => commit.map(Some),
    }
}
