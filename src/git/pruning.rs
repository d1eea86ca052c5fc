//! Writes beside `git gc --prune=now`, in a hub that is opened in place.
//!
//! What a write has built is named by nothing until the branch moves, and such a `gc` removes what
//! nothing names, however young it is: a branch that moves at the wrong moment would lead nowhere
//! for good. So a write does not begin beside one, and what it made is put back if it is gone. Other
//! ways of `gc` leave alone what is younger than two weeks, and nobody waits for those.

use super::libgit2::failed;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::machine::folder::{self, DirectoryEntry};
use crate::machine::{Deadline, Machine, asked, clock, facts, files, notice, random};
use git2::{ErrorCode, ObjectType, Odb, Oid, Repository};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for a `gc`. One that takes longer is hardly in its last step, and only that
/// removes anything.
const GC_PATIENCE: Duration = Duration::from_secs(10);

/// How long to pause at most between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// How much of an object's name is the name of its folder.
const FAN_OUT_LENGTH: usize = 2;

/// By how much a file may seem older than the moment before it was made: file systems look at a clock that
/// goes in steps of some milliseconds.
const BIRTH_MARGIN: Duration = Duration::from_millis(20);

/// How long before a write what it touched may seem to have been touched, by a clock in whole seconds.
const TOUCHED_MARGIN: Duration = Duration::from_secs(2);

/// Where torn objects are put, in the repository.
const TORN: &str = "muster.torn";

/// An object that a write needs, as it can be written again.
#[derive(Debug, Clone)]
pub(super) struct WrittenObject {
    pub id: Oid,
    pub kind: ObjectType,
    pub bytes: Vec<u8>,
}

/// Waits while a `gc` is under way that may remove what is young. Who is asked to end goes no further.
pub(super) fn outwait(repository: &Repository) {
    let patience = Machine::real().deadline(GC_PATIENCE);
    while is_pruning(repository) && !patience.passed() && !asked::is_asked() {
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
    made: &[WrittenObject],
    deadline: &Deadline,
) -> Result<(), LedgerError> {
    let patience = Machine::real().deadline(GC_PATIENCE.min(deadline.left()));
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

fn write_missing(repository: &Repository, made: &[WrittenObject]) -> Result<(), LedgerError> {
    const WRITING: &str = "cannot write again what `git gc` removed";
    let mut missing: Vec<&WrittenObject> =
        made.iter().filter(|one| !file_of(repository, one.id).is_file()).collect();
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

/// Reads what was there before the writing began at `since`: libgit2 takes an object whose name is there
/// for written, and a loss of power leaves names without content.
///
/// # Errors
/// When one of them is not what its name says.
pub(super) fn check_found(
    repository: &Repository,
    made: &[WrittenObject],
    since: Timestamp,
) -> Result<(), LedgerError> {
    const READING: &str = "cannot read what is in the hub already";
    let (since, now) = (since.before(BIRTH_MARGIN).unix_millis(), clock::wall().unix_millis());
    let is_new = |file: &Path| files::born_millis(file).is_some_and(|born| (since..=now).contains(&born));
    let odb = failed(READING, repository.odb())?;
    for one in made {
        let file = file_of(repository, one.id);
        if one.kind == ObjectType::Blob && file.is_file() && !is_new(&file) {
            // Its hash is compared on the way.
            failed(READING, odb.read(one.id))?;
        }
    }
    Ok(())
}

/// Moves objects out of the way that were touched since `since` and are not what their names say, so that
/// they are written anew. Only those in files of their own: a pack is checked when it is made.
pub(super) fn set_torn_aside(repository: &Repository, since: Timestamp) {
    let objects = repository.commondir().join("objects");
    // Opened anew: the one that is open remembers what it read.
    let Ok(odb) = Odb::new() else { return };
    if odb.add_disk_alternate(&objects.to_string_lossy()).is_err() {
        return;
    }
    let age_max = clock::wall().since(since).saturating_add(TOUCHED_MARGIN);
    let is_touched = |found: &DirectoryEntry| !found.is_folder && (found.age <= age_max || found.bytes == 0);
    for found in folder::find(&objects, 1, &is_touched) {
        let Some(id) = id_of(&found.path) else { continue };
        let is_torn =
            found.bytes == 0 || matches!(odb.read(id), Err(error) if error.code() != ErrorCode::NotFound);
        if is_torn && let Some(aside) = set_aside(repository.commondir(), id) {
            notice::tell(&format!(
                "object {id} of the hub was torn, as a loss of power leaves it; it lies in `{}` now and is written again where it is needed",
                aside.display()
            ));
        }
    }
}

/// The object that a file of its own holds.
fn id_of(file: &Path) -> Option<Oid> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let (folder, rest) = (name(file.parent()?)?, name(file)?);
    (folder.len() == FAN_OUT_LENGTH).then(|| Oid::from_str(&format!("{folder}{rest}")).ok())?
}

/// Makes objects survive a loss of power. One that has no file of its own was packed before, and
/// packs are flushed when they are made.
pub(super) fn flush(repository: &Repository, ids: impl Iterator<Item = Oid>) -> Result<(), LedgerError> {
    let paths: Vec<_> = ids.map(|id| file_of(repository, id)).collect();
    Ok(files::sync_all(&paths)?)
}

/// The file of an object that is not in a pack.
fn file_of(repository: &Repository, id: Oid) -> PathBuf {
    file_below(repository.commondir(), id)
}

/// The same in the repository whose folder this is.
pub(super) fn file_below(repository: &Path, id: Oid) -> PathBuf {
    let name = id.to_string();
    let (folder, file) = name.split_at(FAN_OUT_LENGTH);
    repository.join("objects").join(folder).join(file)
}

/// Moves the file of an object away that is not what its name says; where it lies then.
pub(super) fn set_aside(repository: &Path, id: Oid) -> Option<PathBuf> {
    let (top, file) = (repository.join(TORN), file_below(repository, id));
    let aside = top.join(id.to_string());
    files::create_dir(&top).and_then(|()| files::set_aside(&file, &aside)).ok().map(|()| aside)
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
            WrittenObject { id, kind: ObjectType::Blob, bytes: text.to_vec() }
        };
        let (gone, packed) = (made(b"gone"), made(b"packed"));
        let mut pack = repository.packbuilder().expect("pack");
        pack.insert_object(packed.id, None).expect("inserts");
        pack.write(&folder.path().join("objects/pack"), 0).expect("writes");
        let file = |one: &WrittenObject| file_of(&repository, one.id);
        for one in [&gone, &packed] {
            // What was looked at is remembered, also when it is gone.
            odb.read(one.id).expect("is there");
            std::fs::remove_file(file(one)).expect("is there");
        }
        let now = Machine::real().deadline(Duration::ZERO);
        put_back(&repository, &[gone.clone(), packed.clone()], &now).expect("writes");
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
