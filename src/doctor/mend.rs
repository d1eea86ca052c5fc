//! What `--fix` does: only what loses nothing and takes nothing from anybody.
//!
//! An operation is settled, or looked up if it takes something, a damaged copy is put aside as any command would that finds it damaged,
//! a lock file in our own copy that no process holds and what killed processes left is removed.

use super::{Fix, Patient, machine, store};
use crate::app::answer::Answered;
use crate::app::commands::Operation;
use crate::app::journal::{self, JournalEntry, TakenEntry};
use crate::app::submit::{self, KeepFor};
use crate::domain::doctor::Deed;
use crate::domain::refusal::RefusalWords;
use crate::domain::time::show_span;
use crate::git;
use crate::git::OpenOptions;
use crate::ledger::{self, Ledger, Outcome};
use crate::machine::file_lock::FileLock;
use crate::machine::folder::DirectoryEntry;
use crate::machine::{Machine, files};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many operations are settled at once.
const OPERATIONS_MAX: usize = 100;

/// How long all of them may take: with the hub away, each would wait in vain.
const OPERATIONS_TIME_MAX: Duration = Duration::from_secs(60);

/// How long one operation may take.
const OPERATION_TIME_MAX: Duration = Duration::from_secs(30);

/// How long to wait for another process that uses the same copy.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Mends what the check `name` found.
pub(super) fn mend(name: &'static str, patient: &Patient, fix: Fix) -> Vec<Deed> {
    let is_real = fix == Fix::Do;
    let deeds = match name {
        "operations" => settle(patient, is_real),
        "leftovers" => sweep(patient, is_real),
        "stale-locks" => unlock(patient, is_real),
        "copy" => replace_copy(patient, is_real),
        _ => Vec::new(),
    };
    deeds.into_iter().map(|(done, what)| Deed { check: name, done: done && is_real, what }).collect()
}

type Told = Vec<(bool, String)>;

fn settle(patient: &Patient, is_real: bool) -> Told {
    let (now, deadline) = (patient.now(), &Machine::real().deadline(OPERATIONS_TIME_MAX));
    let (here, place) = (Machine::real(), patient.subject.place());
    let is_here = |entry: &JournalEntry| place.as_ref().is_some_and(|place| place.is_of(entry));
    let mut told = Vec::new();
    for id in journal::unsettled(&here).into_iter().take(OPERATIONS_MAX) {
        let Some(entry) = journal::find(&here, &id).filter(is_here) else { continue };
        // To take a lock or a job that was wanted a day ago would take it from somebody.
        let may_happen = entry.operation.is_harmless_late();
        if !is_real {
            let would = if may_happen { "be resumed" } else { "be looked up, and settled if it happened" };
            told.push((false, format!("operation {id} would {would}")));
            continue;
        }
        if deadline.passed() {
            told.push((false, format!("operation {id} was not begun with: the time was up")));
            continue;
        }
        match journal::take(&here, &id) {
            TakenEntry::Ours(entry, _kept) => {
                let age = show_span(now.since(entry.at));
                let settled = open(&entry, patient).and_then(|mut ledger| match may_happen {
                    true => resume(&entry, &mut ledger, patient.subject.words).map(Some),
                    false => look_up(&entry, &mut ledger),
                });
                told.extend(match settled {
                    Ok(how) => how.map(|how| (true, format!("operation {id} of {age} ago {how}"))),
                    Err(why) => {
                        Some((false, format!("operation {id} of {age} ago is still unsettled: {why}")))
                    }
                });
            }
            TakenEntry::Unlockable(why) => {
                told.push((false, format!("operation {id} cannot be taken up: {why}")));
            }
            TakenEntry::UnderWay => {
                told.push((false, format!("operation {id} is under way in another process")));
            }
            TakenEntry::Missing => {}
        }
    }
    told
}

/// The hub of the operation, or why it cannot be opened.
fn open(entry: &JournalEntry, patient: &Patient) -> Result<Ledger, String> {
    // As it is named now: it may have been moved since.
    let location = patient.subject.hub.clone().ok_or("no hub is named")?;
    let author = entry.envelope.beat.as_ref().map_or("git-muster", |beat| beat.server.as_str());
    let options = OpenOptions {
        location,
        clone: None,
        settings: ledger::Settings {
            main: entry.branch.clone(),
            author: author.to_owned(),
            budget: OPERATION_TIME_MAX,
            lock_wait: LOCK_WAIT,
            dry_run: false,
            founding: false,
        },
    };
    git::open(options).map_err(|error| error.to_string())
}

/// How the operation was settled, or why it was not.
fn resume(entry: &JournalEntry, ledger: &mut Ledger, words: RefusalWords) -> Result<String, String> {
    match submit::resume(ledger, entry, KeepFor::WhileUnknown).map_err(|error| error.to_string())? {
        Outcome::Applied(receipt) if receipt.answer.is_some() => Ok("happened now".to_owned()),
        Outcome::Applied(_) => Ok("had happened".to_owned()),
        Outcome::Refused(refusal) => Ok(format!("is refused by now: {}", words(&refusal))),
        Outcome::Contended { .. } => Err("others were faster all the time".to_owned()),
        Outcome::Unknown { why, .. } => Err(why),
    }
}

/// The same of one that is not made to happen: `None` where it did not, and a person decides.
fn look_up(entry: &JournalEntry, ledger: &mut Ledger) -> Result<Option<String>, String> {
    let found = ledger.find(&entry.op, entry.since.as_ref()).map_err(|error| error.to_string())?;
    let is_beat = matches!(entry.operation, Operation::SendBeat(_));
    let Some(found) = found else {
        return Ok(is_beat.then(|| {
            journal::close(&Machine::real(), &entry.op);
            "was a beat, which was not sent or which a later one replaced".to_owned()
        }));
    };
    let again = Answered::of(&found, ledger);
    again.settle(&Machine::real(), &entry.op);
    let stands = again.stands == Some(true);
    let answer = format!("; `git muster op status {}` has what it got, which still stands", entry.op);
    Ok(Some(format!("had happened{}", if stands { answer } else { String::new() })))
}

fn sweep(patient: &Patient, is_real: bool) -> Told {
    let rubbish = machine::rubbish(patient.subject.clone.as_ref().map(|clone| clone.join(".git")));
    let mut told = Vec::new();
    for found in rubbish.temporary.iter().chain(&rubbish.copies).chain(&rubbish.looks).chain(&rubbish.locks) {
        let removed = match (is_real, found.name().ends_with(".flock")) {
            (false, _) => Ok(()),
            (true, true) => remove_lock(found),
            (true, false) => remove(found),
        };
        let path = found.path.display();
        told.push(match removed {
            Ok(()) if is_real => (true, format!("{path} is removed")),
            Ok(()) => (false, format!("{path} would be removed")),
            Err(why) => (false, format!("{path} is still there: {why}")),
        });
    }
    told
}

fn remove(found: &DirectoryEntry) -> Result<(), String> {
    let removed = if found.is_folder { files::remove_all(&found.path) } else { files::remove(&found.path) };
    removed.map_err(|error| error.to_string())
}

/// Removes the lock of an operation that is settled: held meanwhile, so that nobody begins with it.
fn remove_lock(found: &DirectoryEntry) -> Result<(), String> {
    let lock = FileLock::acquire(&found.path, &Machine::real().deadline(Duration::ZERO));
    let _held = lock.map_err(|not| not.to_string())?;
    if found.path.with_extension("json").exists() {
        return Err("its operation is there again".to_owned());
    }
    remove(found)
}

fn unlock(patient: &Patient, is_real: bool) -> Told {
    let Some(copy) = patient.copy() else { return Vec::new() };
    // Whoever fetches into the copy or pushes from it holds this.
    let hold = || FileLock::acquire(&copy.join("muster.flock"), &Machine::real().deadline(LOCK_WAIT));
    let held = is_real.then(hold);
    let mut told = Vec::new();
    for lock in store::our_stale_locks(patient) {
        let path = PathBuf::from(&lock.path);
        told.push(if !is_real {
            (false, format!("{} would be removed", lock.path))
        } else if let Some(Err(not)) = &held {
            (false, format!("{} is still there: {not}", lock.path))
        } else {
            match files::remove(&path) {
                Ok(()) => (
                    true,
                    format!("{} of {} ago is removed; no process held it", lock.path, show_span(lock.age)),
                ),
                Err(error) => (false, error.to_string()),
            }
        });
    }
    told
}

fn replace_copy(patient: &Patient, is_real: bool) -> Told {
    let (Some(address), Some(copy)) = (patient.address(), patient.copy()) else { return Vec::new() };
    let path = copy.display();
    vec![if is_real {
        match git::replace_copy(&address) {
            Ok(note) => {
                let note = note.map_or_else(String::new, |note| format!("; {note}"));
                let aside = aside(&copy);
                (true, format!("{path} is put aside as {aside}; the next command fetches a new one{note}"))
            }
            Err(error) => (false, error.to_string()),
        }
    } else {
        (false, format!("{path} would be put aside and begun anew"))
    }]
}

/// The name of the damaged copy that was put aside last.
fn aside(copy: &Path) -> String {
    let name = copy.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let names = files::list(copy.parent().unwrap_or(copy));
    let prefix = format!("{name}.damaged-");
    names.into_iter().rfind(|other| other.starts_with(&prefix)).unwrap_or_else(|| "a damaged one".to_owned())
}
