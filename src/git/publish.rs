//! The only file that moves a shared ref: each move is a compare-and-swap.
//!
//! On a repository of this machine the refs are moved in process. libgit2's own push to a path is
//! *not* used: it overwrites the remote ref without comparing, and lost a third of the
//! acknowledged writes of eight writers. Everywhere else `git push` does it, with a lease.

use super::abandoned::{self, WaitResult};
use super::classify::{broken_store, classify_push, store_cause};
use super::commits::CommitText;
use super::libgit2::io_cause;
use super::objects::Objects;
use super::program::GitProgram;
use super::pruning::{self, WrittenObject};
use super::ref_lock::{self, Refused, Step};
use super::refs::{GONE, LOST, seen};
use crate::domain::bad_branch::BadBranch;
use crate::domain::shell::quoted;
use crate::ledger::{Cause, Move, Publication, Reason};
use crate::machine::failpoint::failpoint;
use crate::machine::{Deadline, Machine, asked};
use git2::{Error, ErrorClass, ErrorCode, Oid, Repository};
use std::fs::File;
use std::iter;
use std::path::Path;
use std::time::Duration;

const REFLOG: &str = "git-muster";

/// How many symbolic refs may lead from one to the next; git follows as many.
const SYMBOLIC_DEPTH_MAX: usize = 5;

/// How long to wait for the lock of a ref of our copy: it only repeats what the hub has, and an answer
/// waits for it. One of ours whose process is gone is known at once.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A push of exactly what we name, whatever the user's configuration would add: private tags,
/// submodules instead of our commit, a signature that the hub does not take.
const PUSH: &[&str] =
    &["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed"];

fn oid(text: Option<&crate::ledger::Version>) -> Result<Oid, Error> {
    text.map_or(Ok(Oid::ZERO_SHA1), |version| Oid::from_str(version.as_str()))
}

/// Moves refs of a repository of this machine, all or none, and sees to it that what was `made` for
/// that is there.
pub(super) fn in_process(
    repository: &Repository,
    moves: &[Move],
    made: &[WrittenObject],
    deadline: &Deadline,
) -> Publication {
    let publication = move_in_process(repository, moves, deadline);
    if publication != Publication::Applied {
        return publication;
    }
    match pruning::put_back(repository, made, deadline) {
        Ok(()) => Publication::Applied,
        Err(error) => Publication::Unknown(error.to_string()),
    }
}

fn move_in_process(repository: &Repository, moves: &[Move], deadline: &Deadline) -> Publication {
    let steps: Result<Vec<Step>, Error> = moves.iter().map(|one| step(repository, one)).collect();
    let moved = match &steps {
        Ok(steps) => ref_lock::move_together(repository, steps, REFLOG, true),
        Err(error) => return Publication::Denied(Reason::of(Cause::Other, error.message())),
    };
    let (any, all) = (
        || moves.iter().any(|one| is_in_place(repository, one)),
        || moves.iter().all(|one| is_in_place(repository, one)),
    );
    match moved {
        // Read back: an older version of this program takes a lock for abandoned after seconds, and
        // what was put in place may be gone again.
        Ok(()) if all() => Publication::Applied,
        Ok(()) => Publication::Unknown("a branch is not where it was moved to".to_owned()),
        Err(Refused::Elsewhere) => Publication::Stale,
        Err(Refused::Held) => {
            let locks: Vec<_> =
                steps.iter().flatten().map(|step| ref_lock::lock_of(repository, &step.reference)).collect();
            match abandoned::outwait(repository, &locks, false, deadline) {
                WaitResult::Over => Publication::Busy(None),
                WaitResult::Stands(held) => Publication::Busy(Some(held)),
            }
        }
        Err(Refused::InTheWay(other)) => {
            let why = format!("`{other}` has a name that leaves no room for it");
            Publication::Denied(Reason::of(Cause::NameTaken, why))
        }
        // It may have failed after the move.
        Err(_) if all() => Publication::Applied,
        Err(Refused::Lost) => Publication::Unknown("its lock was taken away".to_owned()),
        // A disk that is full is no rule of the hub.
        Err(Refused::Failed(error)) if !any() => {
            Publication::Failed { cause: io_cause(&error), why: error.to_string() }
        }
        Err(Refused::Unreadable(error)) if !any() => {
            let why = error.message().to_owned();
            Publication::Failed { cause: store_cause(&why), why }
        }
        Err(Refused::Failed(error)) => Publication::Unknown(error.to_string()),
        Err(Refused::Unreadable(error)) => Publication::Unknown(error.message().to_owned()),
    }
}

fn step(repository: &Repository, one: &Move) -> Result<Step, Error> {
    let reference = reference_of(repository, one);
    Ok(Step { reference, from: Some(oid(one.from.as_ref())?), to: oid(Some(&one.to))? })
}

/// The ref that a move changes: as git does, the one to which a symbolic ref leads in the end.
fn reference_of(repository: &Repository, one: &Move) -> String {
    let mut name = format!("refs/heads/{}", one.branch);
    for _ in 0..SYMBOLIC_DEPTH_MAX {
        let reference = repository.find_reference(&name);
        match reference.as_ref().ok().and_then(|reference| reference.symbolic_target().ok().flatten()) {
            Some(target) => target.clone_into(&mut name),
            None => break,
        }
    }
    name
}

/// The files that hold the refs which `moves` are about to replace.
pub(super) fn ref_files(repository: &Repository, moves: &[Move]) -> Vec<File> {
    let path = |one: &Move| repository.commondir().join(reference_of(repository, one));
    moves.iter().filter_map(|one| File::open(path(one)).ok()).collect()
}

/// Whether a branch is where it was moved to, or already beyond.
fn is_in_place(repository: &Repository, one: &Move) -> bool {
    let at = || -> Result<bool, Error> {
        let (now, to) = (repository.refname_to_id(&reference_of(repository, one))?, oid(Some(&one.to))?);
        // A branch that is replaced may have been replaced again by the server it belongs to.
        Ok(now == to
            || repository.graph_descendant_of(now, to)?
            || CommitText::read(&repository.odb()?, now)?.parents().next().is_none())
    };
    at().unwrap_or(false)
}

/// Where a push goes: to the hub of which `objects` are a copy, or into the repository that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Origin,
    Itself,
}

/// Moves refs by `git push` under a lease, all or none, and has the git of the other side not look at any
/// other ref if it `hides_others`, which needs a shell there. Also says why our copy of the hub seems
/// damaged, if so.
pub(super) fn by_push(
    git: &GitProgram,
    (objects, to): (&Objects, To),
    moves: &[Move],
    hides_others: bool,
    deadline: &Deadline,
) -> (Publication, Option<String>) {
    let mut arguments: Vec<String> = PUSH.iter().map(ToString::to_string).collect();
    if hides_others {
        let setting = |value: &str| format!(" -c {}", quoted(&format!("transfer.hideRefs={value}")));
        let shown = moves.iter().map(|one| setting(&format!("!refs/heads/{}", one.branch)));
        let settings: String = iter::once(setting("refs/")).chain(shown).collect();
        arguments.push(format!("--receive-pack=git{settings} receive-pack"));
    }
    if moves.len() > 1 {
        arguments.push("--atomic".to_owned());
    }
    for one in moves {
        let expected = one.from.as_ref().map_or("", |version| version.as_str());
        arguments.push(format!("--force-with-lease=refs/heads/{}:{expected}", one.branch));
    }
    let here = objects.repository().path();
    arguments.push(if to == To::Origin { "origin".to_owned() } else { here.display().to_string() });
    for one in moves {
        // No plus sign: it would overrule the lease.
        arguments.push(format!("{}:refs/heads/{}", one.to, one.branch));
    }
    let done = match git.run_to_know(here, &arguments, deadline) {
        Ok(done) => done,
        Err(error) => {
            let why = Reason::of(Cause::NoProgram, error.to_string());
            return (Publication::Unreachable(why), None);
        }
    };
    failpoint("answer");
    let named = |compares: bool| -> Vec<&str> {
        moves.iter().filter(|one| one.only_compares() == compares).map(|one| one.branch.as_str()).collect()
    };
    let publication =
        match classify_push((&named(false), &named(true)), done.exit_code, &done.stdout, &done.stderr) {
            // Ended by us, it has not said all; what its ssh says of its own end is no word of the hub.
            verdict if done.cut_short && !is_said(done.exit_code, &verdict) => Publication::Unknown(format!(
                "its push was ended, as {} asked this command to end",
                asked::by()
            )),
            Publication::Unknown(_) if done.timed_out => {
                Publication::Unknown("the push did not end in time".to_owned())
            }
            verdict => verdict,
        };
    if publication == Publication::Applied && to == To::Origin {
        for one in moves {
            if let Ok(to) = oid(Some(&one.to)) {
                note_tip(objects.repository(), &one.branch, to);
            }
        }
    }
    let damaged =
        matches!(publication, Publication::Unknown(_)).then(|| broken_store(&done.stderr)).flatten();
    (publication, damaged)
}

/// Whether a push that was ended has come to its end all the same: what it moved it names, and after a list
/// of what did not move it ends by itself.
fn is_said(exit_code: Option<i32>, told: &Publication) -> bool {
    const NOT_ALL_MOVED: i32 = 1;
    match told {
        Publication::Applied => true,
        Publication::Stale | Publication::StaleOrRepeated | Publication::Busy(_) | Publication::Denied(_) => {
            exit_code == Some(NOT_ALL_MOVED)
        }
        Publication::Doubted(_)
        | Publication::Failed { .. }
        | Publication::Unreachable(_)
        | Publication::Unknown(_) => false,
    }
}

/// Removes a branch of a remote that leads to nothing of use, if it is still what it is now. A push that
/// deletes a symbolic ref would delete what it names, so one that is told as such is left alone.
pub(super) fn remove_by_push(git: &GitProgram, copy: &Path, branch: &str, deadline: &Deadline) -> bool {
    let reference = BadBranch::reference_of(branch);
    let run = |arguments: &[String]| git.run(copy, arguments, deadline).ok();
    let ask = ["ls-remote", "--symref", "origin", &reference].map(str::to_owned);
    let listing = run(&ask).map(|asked| asked.stdout).unwrap_or_default();
    let Some((id, _)) = listing.split_once('\t').filter(|_| !listing.contains("ref: ")) else {
        return false;
    };
    let mut arguments: Vec<String> = PUSH.iter().map(ToString::to_string).collect();
    arguments.extend([
        format!("--force-with-lease={reference}:{id}"),
        "origin".to_owned(),
        format!(":{reference}"),
    ]);
    run(&arguments).is_some_and(|done| done.exit_code == Some(0))
}

/// Notes what the hub has now in our copy. Failing is harmless: the next refresh tells it again.
pub(super) fn note_tip(repository: &Repository, branch: &str, tip: Oid) {
    drop(note(repository, &format!("refs/remotes/origin/{branch}"), tip));
}

/// Keeps the tip that a rewritten history lost, so that a person can find it again.
pub(super) fn keep_lost(repository: &Repository, lost: &crate::ledger::Version) -> Option<String> {
    let reference = format!("{LOST}{}", lost.short());
    note(repository, &reference, oid(Some(lost)).ok()?).ok()?;
    Some(reference)
}

/// Keeps the tip of a branch that is gone from the hub, so that it can be put back.
pub(super) fn keep_gone(repository: &Repository, branch: &str, tip: &crate::ledger::Version) {
    // Without it the branch is put back from elsewhere.
    drop(oid(Some(tip)).and_then(|tip| note(repository, &format!("{GONE}{branch}"), tip)));
}

/// Keeps what was known of a branch before a fetch.
pub(super) fn keep_seen(repository: &Repository, branch: &str, tip: &crate::ledger::Version) {
    // Without it only a kill at the wrong moment is not noticed.
    drop(oid(Some(tip)).and_then(|tip| note(repository, &seen(branch), tip)));
}

/// Moves a ref that is our own note and nobody's branch.
fn note(repository: &Repository, reference: &str, tip: Oid) -> Result<(), Error> {
    let step = Step { reference: reference.to_owned(), from: None, to: tip };
    past_abandoned_lock(repository, reference, || move_own(repository, &step, REFLOG))
}

/// Removes a ref that is our own note, if it is there. Failing leaves it to the next refresh.
pub(super) fn remove_note(repository: &Repository, reference: &str) {
    drop(past_abandoned_lock(repository, reference, || repository.find_reference(reference)?.delete()));
}

/// Moves a ref of a copy or a clone: they only repeat what the hub has, and are not flushed.
fn move_own(repository: &Repository, step: &Step, message: &str) -> Result<(), Error> {
    let failed = |code, why: String| Err(Error::new(code, ErrorClass::Reference, why));
    let reference = &step.reference;
    match ref_lock::move_together(repository, std::slice::from_ref(step), message, false) {
        Ok(()) => Ok(()),
        Err(Refused::Held | Refused::Lost) => failed(ErrorCode::Locked, format!("`{reference}` is locked")),
        Err(Refused::Elsewhere) => failed(ErrorCode::Modified, format!("`{reference}` was moved")),
        Err(Refused::InTheWay(other)) => {
            failed(ErrorCode::Exists, format!("`{other}` leaves no room for `{reference}`"))
        }
        Err(Refused::Failed(error)) => {
            failed(ErrorCode::GenericError, format!("cannot move `{reference}`: {error}"))
        }
        Err(Refused::Unreadable(error)) => Err(error),
    }
}

/// Does `change` to a ref; once more when a lock was in its way that a killed process left behind.
fn past_abandoned_lock(
    repository: &Repository,
    reference: &str,
    mut change: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    match change() {
        Err(error) if error.code() == ErrorCode::Locked => {
            let locks = [reference, "packed-refs"].map(|name| ref_lock::lock_of(repository, name));
            match abandoned::outwait(repository, &locks, false, &Machine::real().deadline(LOCK_PATIENCE)) {
                WaitResult::Over => change(),
                WaitResult::Stands(held) => {
                    Err(Error::new(ErrorCode::Locked, ErrorClass::Reference, held.to_string()))
                }
            }
        }
        done => done,
    }
}

/// Moves the checked-out branch of a clone from `from` to `to` after its files were brought up to
/// date.
pub(super) fn move_local_branch(
    repository: &Repository,
    reference: &str,
    from: Oid,
    to: Oid,
) -> Result<(), Error> {
    let step = Step { reference: reference.to_owned(), from: Some(from), to };
    past_abandoned_lock(repository, reference, || move_own(repository, &step, "git-muster: the hub moved on"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Version;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        repository.odb().and_then(|odb| odb.write(git2::ObjectType::Tree, b"")).expect("writes");
        (folder, repository)
    }

    fn commit(repository: &Repository, parent: Option<Oid>, message: &str) -> Oid {
        let parent = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
        let text = format!("tree {TREE}\n{parent}author a <> 1 +0000\ncommitter a <> 1 +0000\n\n{message}");
        repository.odb().and_then(|odb| odb.write(git2::ObjectType::Commit, text.as_bytes())).expect("writes")
    }

    fn to(branch: &str, from: Option<Oid>, to: Oid) -> Move {
        let version = |oid: Oid| Version::new(oid.to_string());
        Move { branch: branch.to_owned(), from: from.map(version), to: version(to) }
    }

    #[test]
    fn a_push_that_we_ended_is_told_by_what_it_said_of_each_branch_and_by_nothing_else() {
        let why = || Reason::of(Cause::Network, "the connection was closed");
        for (exit_code, told, expected) in [
            (Some(0), Publication::Applied, true),
            (None, Publication::Applied, true),
            (Some(1), Publication::Stale, true),
            (None, Publication::Stale, false),
            (Some(1), Publication::Denied(why()), true),
            (Some(128), Publication::Denied(why()), false),
            // Its ssh ended first, by the same signal: the hub may have taken the push.
            (Some(128), Publication::Unreachable(why()), false),
            (Some(1), Publication::Doubted(why()), false),
            (Some(1), Publication::Unknown(String::new()), false),
        ] {
            assert_eq!(is_said(exit_code, &told), expected, "{exit_code:?} {told:?}");
        }
    }

    #[test]
    fn a_branch_moves_from_where_it_is_and_from_nowhere_else() {
        let (_folder, repository) = repository();
        let first = commit(&repository, None, "1");
        let (second, other) =
            (commit(&repository, Some(first), "2"), commit(&repository, Some(first), "other"));
        let late = Machine::real().deadline(Duration::ZERO);
        let at = |branch: &str| repository.refname_to_id(&format!("refs/heads/{branch}")).ok();
        for (moves, expected, main, beat) in [
            (vec![to("main", Some(first), second)], Publication::Stale, None, None),
            (vec![to("main", None, first)], Publication::Applied, Some(first), None),
            (vec![to("main", None, second)], Publication::Stale, Some(first), None),
            (vec![to("main", Some(other), second)], Publication::Stale, Some(first), None),
            (
                vec![to("main", Some(first), second), to("beat", Some(first), other)],
                Publication::Stale,
                Some(first),
                None,
            ),
            (vec![to("main", None, second), to("beat", None, other)], Publication::Stale, Some(first), None),
            (
                vec![to("main", Some(first), second), to("beat", None, other)],
                Publication::Applied,
                Some(second),
                Some(other),
            ),
        ] {
            assert_eq!(in_process(&repository, &moves, &[], &late), expected, "{moves:?}");
            assert_eq!((at("main"), at("beat")), (main, beat), "{moves:?}");
        }
        let moved = to("main", Some(first), second);
        assert!(is_in_place(&repository, &moved));
        assert!(is_in_place(&repository, &to("main", None, first)), "it is beyond");
        assert!(!is_in_place(&repository, &to("main", Some(first), other)));
        assert_eq!(ref_files(&repository, &[moved.clone(), to("gone", None, first)]).len(), 1);
        // Somebody holds the lock for longer than there is time.
        std::fs::File::create(ref_lock::lock_of(&repository, "refs/heads/main")).expect("creates");
        let next = to("main", Some(second), commit(&repository, Some(second), "3"));
        let busy = in_process(&repository, &[next], &[], &late);
        assert!(
            matches!(&busy, Publication::Busy(Some(held)) if held.lock.ends_with("/refs/heads/main.lock")),
            "{busy:?}"
        );
    }

    #[test]
    fn what_was_made_and_is_gone_for_good_is_not_acknowledged() {
        let (folder, repository) = repository();
        let late = || Machine::real().deadline(Duration::ZERO);
        let first = commit(&repository, None, "1");
        let folder_of = |id: Oid| folder.path().join("objects").join(&id.to_string()[..2]);
        // A blob that lies in a folder of its own.
        let made = (0..100).map(|number| {
            let bytes = format!("made {number}").into_bytes();
            let id = Oid::hash_object(git2::ObjectType::Blob, &bytes).expect("an id");
            WrittenObject { id, kind: git2::ObjectType::Blob, bytes }
        });
        let made = made.into_iter().find(|made| !folder_of(made.id).exists()).expect("one");
        let moved = [to("main", None, first)];
        // `git gc` took it, and a file stands where it would have to be put back.
        crate::machine::files::write(&folder_of(made.id), "").expect("writes");
        let publication = in_process(&repository, &moved, std::slice::from_ref(&made), &late());
        assert!(
            matches!(&publication, Publication::Unknown(why) if why.contains("cannot write again")),
            "{publication:?}"
        );
        assert_eq!(
            repository.refname_to_id("refs/heads/main").ok(),
            Some(first),
            "nobody can take that back"
        );
        std::fs::remove_file(folder_of(made.id)).expect("is there");
        let second = [to("main", Some(first), commit(&repository, Some(first), "2"))];
        let publication = in_process(&repository, &second, std::slice::from_ref(&made), &late());
        assert_eq!(publication, Publication::Applied);
        assert!(repository.find_blob(made.id).is_ok(), "it is put back");
    }

    #[test]
    fn what_a_symbolic_ref_names_is_moved() {
        let (folder, repository) = repository();
        let first = commit(&repository, None, "1");
        for (name, target) in [("main", "trunk"), ("trunk", "real")] {
            let text = format!("ref: refs/heads/{target}\n");
            crate::machine::files::write(&folder.path().join("refs/heads").join(name), &text)
                .expect("writes");
        }
        let moved = to("main", None, first);
        assert_eq!(reference_of(&repository, &moved), "refs/heads/real");
        assert_eq!(
            in_process(&repository, &[moved], &[], &Machine::real().deadline(Duration::ZERO)),
            Publication::Applied
        );
        assert_eq!(repository.refname_to_id("refs/heads/real").ok(), Some(first));
    }

    #[test]
    fn what_is_noted_can_be_found_and_goes_again() {
        let (_folder, repository) = repository();
        let tip = commit(&repository, None, "1");
        let version = Version::new(tip.to_string());
        let at = |name: &str| repository.refname_to_id(name).ok();
        note_tip(&repository, "main", tip);
        assert_eq!(at("refs/remotes/origin/main"), Some(tip));
        let kept = keep_lost(&repository, &version).expect("keeps");
        assert_eq!((kept.starts_with(LOST), at(&kept)), (true, Some(tip)));
        keep_gone(&repository, "main", &version);
        assert_eq!(at("refs/muster/gone/main"), Some(tip));
        keep_seen(&repository, "main", &version);
        assert_eq!(at(&seen("main")), Some(tip));
        remove_note(&repository, &seen("main"));
        assert_eq!(at(&seen("main")), None);
        remove_note(&repository, &seen("main"));
    }
}
