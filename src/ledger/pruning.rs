//! Writes beside `git gc --prune=now`, in a hub that is opened in place.
//!
//! What a write has built is named by nothing until the branch moves, and such a `gc` removes what
//! nothing names, however young it is: a branch that moves at the wrong moment would lead nowhere
//! for good. So a write does not begin beside one, and what it made is put back if it is gone. Other
//! ways of `gc` leave alone what is younger than two weeks, and nobody waits for those.

use super::error::LedgerError;
use super::objects::failed;
use crate::host::clock::{self, Deadline};
use crate::host::{facts, files, random};
use git2::{ObjectType, Odb, Oid, Repository};
use std::path::PathBuf;
use std::time::Duration;

/// How long to wait for a `gc`. One that takes longer is hardly in its last step, and only that
/// removes anything.
const GC_PATIENCE: Duration = Duration::from_secs(10);

/// How long to pause at most between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// How much of an object's name is the name of its folder.
const FAN_OUT_LENGTH: usize = 2;

/// An object that a write needs, as it can be written again.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub id: Oid,
    pub kind: ObjectType,
    pub bytes: Vec<u8>,
}

/// Waits while a `gc` is under way that may remove what is young.
pub(super) fn outwait(repository: &Repository) {
    let patience = Deadline::after(GC_PATIENCE);
    while is_pruning(repository) && !patience.passed() {
        clock::sleep(random::up_to(LOOK_PAUSE));
    }
}

/// Puts back what was removed of `made`, until no `gc` is under way that may remove it again: one
/// that begins later sees that a branch names it.
///
/// # Errors
/// When something is gone and cannot be written.
pub(super) fn put_back(
    repository: &Repository,
    made: &[Made],
    deadline: Deadline,
) -> Result<(), LedgerError> {
    let patience = Deadline::after(GC_PATIENCE.min(deadline.left()));
    loop {
        // Asked first: what is there after the last `gc` has ended stays there.
        let goes_on = is_pruning(repository) && !patience.passed();
        write_missing(repository, made)?;
        if !goes_on {
            return Ok(());
        }
        clock::sleep(random::up_to(LOOK_PAUSE));
    }
}

fn write_missing(repository: &Repository, made: &[Made]) -> Result<(), LedgerError> {
    const WRITING: &str = "cannot write again what `git gc` removed";
    let mut missing: Vec<&Made> = made.iter().filter(|one| !file_of(repository, one.id).is_file()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Opened anew: the one that is open remembers objects and packs that are gone.
    let packed = failed(WRITING, Odb::new())?;
    let folder = repository.commondir().join("objects");
    failed(WRITING, packed.add_disk_alternate(&folder.to_string_lossy()))?;
    missing.retain(|one| !packed.exists(one.id));
    let odb = failed(WRITING, repository.odb())?;
    for one in &missing {
        failed(WRITING, odb.write(one.kind, &one.bytes))?;
    }
    flush(repository, missing.iter().map(|one| one.id))
}

/// Makes objects survive a loss of power. One that has no file of its own was packed before, and
/// packs are flushed when they are made.
pub(super) fn flush(repository: &Repository, ids: impl Iterator<Item = Oid>) -> Result<(), LedgerError> {
    let paths: Vec<_> = ids.map(|id| file_of(repository, id)).collect();
    Ok(files::sync_all(&paths)?)
}

/// The file of an object that is not in a pack.
fn file_of(repository: &Repository, id: Oid) -> PathBuf {
    let name = id.to_string();
    let (folder, file) = name.split_at(FAN_OUT_LENGTH);
    repository.commondir().join("objects").join(folder).join(file)
}

/// Whether a `gc` of this machine is under way that may remove what is young.
fn is_pruning(repository: &Repository) -> bool {
    let Ok(Some(owner)) = files::read(&repository.commondir().join("gc.pid")) else { return false };
    let is_set = || repository.config().is_ok_and(|config| config.get_entry("gc.pruneExpire").is_ok());
    // A file that a killed `gc` left behind names a process that is gone, or by now another.
    let line = owner.split_whitespace().next().and_then(facts::command_line).unwrap_or_default();
    removes_young(&line, is_set)
}

fn removes_young(command_line: &str, is_set: impl FnOnce() -> bool) -> bool {
    command_line.contains("gc") && (command_line.contains("prune") || is_set())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_put_back_and_what_is_packed_is_left() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let odb = repository.odb().expect("odb");
        let made = |text: &[u8]| {
            let id = odb.write(ObjectType::Blob, text).expect("writes");
            Made { id, kind: ObjectType::Blob, bytes: text.to_vec() }
        };
        let (gone, packed) = (made(b"gone"), made(b"packed"));
        let mut pack = repository.packbuilder().expect("pack");
        pack.insert_object(packed.id, None).expect("inserts");
        pack.write(&folder.path().join("objects/pack"), 0).expect("writes");
        let file = |one: &Made| file_of(&repository, one.id);
        for one in [&gone, &packed] {
            // What was looked at is remembered, also when it is gone.
            odb.read(one.id).expect("is there");
            std::fs::remove_file(file(one)).expect("is there");
        }
        let now = Deadline::after(Duration::ZERO);
        put_back(&repository, &[gone.clone(), packed.clone()], now).expect("writes");
        assert_eq!((file(&gone).is_file(), file(&packed).is_file()), (true, false));
    }

    #[test]
    fn nobody_waits_for_a_gc_that_is_gone_or_spares_what_is_young() {
        for (line, is_set, expected) in [
            ("git\0gc\0--prune=now", false, true),
            ("git\0-c\0gc.pruneExpire=now\0gc", false, true),
            ("/usr/lib/git-core/git\0gc\0--auto", true, true),
            ("/usr/lib/git-core/git\0gc\0--auto", false, false),
            ("something\0else", true, false),
            ("", true, false),
        ] {
            assert_eq!(removes_young(line, || is_set), expected, "{line}");
        }
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        for owner in ["4294967295 here", "../self here", "", "\u{0}"] {
            files::write(&folder.path().join("gc.pid"), owner).expect("writes");
            assert!(!is_pruning(&repository), "{owner}");
        }
    }
}
