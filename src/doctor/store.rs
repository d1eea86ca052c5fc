//! Checks of the repositories of this machine: the hub if it is here, our copy, the clone around.

use super::{DISK_TIME_MAX, Patient};
use crate::doctor::rules::store::{self as rules, Copy, Held, LOCK_STALE_AFTER, LockFile, Place, Protection};
use crate::domain::doctor::Judgement;
use crate::domain::ref_lock::ProcessEvidence;
use crate::domain::shell::quoted;
use crate::git;
use crate::git::{Location, Store};
use crate::ledger;
use crate::machine::{environment, open_files};
use std::path::{Path, PathBuf};

/// Why a check of the hub or its copy is not made.
const NO_HUB: &str = "no hub is named";

/// Hooks of the clone around that matter to commands in it.
const CLONE_HOOKS: &[&str] = &["pre-push", "reference-transaction"];

/// The repositories of this machine that commands use.
fn places(patient: &Patient) -> Vec<(&'static str, PathBuf)> {
    let hub = patient.hub_path().map(|path| ("hub", path));
    let copy = patient.copy().filter(|path| path.exists()).map(|path| ("copy", path));
    let clone = patient.subject.clone.clone().map(|path| ("clone", path));
    [hub, copy, clone].into_iter().flatten().collect()
}

fn place(what: &'static str, path: &Path) -> Place {
    Place { what, path: path.display().to_string() }
}

pub(super) fn unwritable(path: &Path) -> Option<Vec<String>> {
    let unwritable = Store::open(path).ok()?.unwritable();
    Some(unwritable.iter().map(|path| path.display().to_string()).collect())
}

/// The setting by which a hub lets no history be replaced.
const NO_REPLACING: &str = "receive.denyNonFastForwards";

pub(super) fn hooks(patient: &Patient) -> Judgement {
    let (hub, clone) = (patient.hub_path(), patient.subject.clone.clone());
    if patient.subject.hub.is_none() {
        return Judgement::skipped(NO_HUB);
    }
    if hub.is_none() && clone.is_none() {
        return Judgement::skipped("those of a hub over a connection cannot be seen");
    }
    let look = move || {
        let hub = hub.map(|path| Store::open(&path).map(|store| store.server_hooks()));
        let clone = clone.and_then(|path| Store::open(&path).ok());
        (hub, clone.map(|store| store.hooks(CLONE_HOOKS)).unwrap_or_default())
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok((Some(Err(error)), _)) => Judgement::skipped(error.to_string()),
        Ok((hub, clone)) => rules::hooks(hub.and_then(Result::ok).as_deref(), &clone),
        Err(hangs) => hangs,
    }
}

/// Whether the hub, as far as can be seen from here, lets no history be replaced.
pub(super) fn denies_replacing(patient: &Patient) -> bool {
    let Some(path) = patient.hub_path() else { return false };
    let look = move || Store::open(&path).is_ok_and(|store| store.flag(NO_REPLACING) == Some(true));
    patient.within(DISK_TIME_MAX, look).unwrap_or(false)
}

pub(super) fn protection(patient: &Patient) -> Judgement {
    if patient.subject.hub.is_none() {
        return Judgement::skipped(NO_HUB);
    }
    let Some(path) = patient.hub_path() else {
        return Judgement::skipped("a hub over a connection does not tell its settings");
    };
    let shown = path.display().to_string();
    let look = move || {
        let store = Store::open(&path)?;
        let hidden = ["transfer.hideRefs", "receive.hideRefs", "uploadpack.hideRefs"];
        Ok(Protection {
            denies_replacing: store.flag(NO_REPLACING) == Some(true),
            denies_deleting: store.flag("receive.denyDeletes") == Some(true),
            lacks_atomic: store.flag("receive.advertiseAtomic") == Some(false),
            hides: hidden.iter().flat_map(|key| store.values(key)).collect(),
            is_met_here: store.why_through_git().is_some(),
        })
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok(Ok(rules)) => rules::protection(&shown, &rules),
        Ok(Err(error)) => Judgement::skipped(ledger::LedgerError::to_string(&error)),
        Err(hangs) => hangs,
    }
}

/// The lock files of all repositories, and whether `--fix` may remove each.
pub(super) fn locks(places: &[(&'static str, PathBuf)]) -> Vec<LockFile> {
    let mut locks = Vec::new();
    for (what, path) in places {
        let found = Store::open(path).map(|store| store.locks()).unwrap_or_default();
        locks.extend(found.into_iter().map(|lock| {
            let (seen, user) = match lock.age >= LOCK_STALE_AFTER {
                true => open_files::users(&lock.path, path),
                false => (ProcessEvidence::NotAll, None),
            };
            LockFile {
                what,
                is_ours: *what == "copy" && lock.age >= LOCK_STALE_AFTER && seen != ProcessEvidence::Somebody,
                path: lock.path.display().to_string(),
                age: lock.age,
                user,
                folder: (*what != "clone").then(|| path.display().to_string()),
            }
        }));
    }
    locks
}

pub(super) fn stale_locks(patient: &Patient) -> Judgement {
    let places = places(patient);
    if places.is_empty() {
        return Judgement::skipped("no repository of this machine is in use yet");
    }
    let looked_at: Vec<Place> = places.iter().map(|(what, path)| place(what, path)).collect();
    match patient.within(DISK_TIME_MAX, move || locks(&places)) {
        Ok(locks) => {
            let has_fuser = environment::find_program("fuser").is_some();
            rules::stale_locks(&looked_at, &locks, patient.sudo(), has_fuser)
        }
        Err(hangs) => hangs,
    }
}

/// The lock files of our copy that `--fix` may remove.
pub(super) fn our_stale_locks(patient: &Patient) -> Vec<LockFile> {
    let places: Vec<_> = places(patient).into_iter().filter(|(what, _)| *what == "copy").collect();
    locks(&places).into_iter().filter(|lock| lock.is_ours).collect()
}

pub(super) fn repository_size(patient: &Patient) -> Judgement {
    let places = places(patient);
    if places.is_empty() {
        return Judgement::skipped("no repository of this machine is in use yet");
    }
    let look = move || {
        let held = |(what, path): &(&'static str, PathBuf)| {
            let store = Store::open(path).ok()?;
            let git::Size { loose, loose_bytes, packs, pack_bytes } = store.size();
            Some(Held { place: place(what, path), loose, loose_bytes, packs, pack_bytes })
        };
        places.iter().filter_map(held).collect::<Vec<_>>()
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok(held) if held.is_empty() => Judgement::skipped("none of the repositories can be opened"),
        Ok(held) => rules::repository_size(&held),
        Err(hangs) => hangs,
    }
}

pub(super) fn copy(patient: &Patient) -> Judgement {
    let (place, address) = match (&patient.subject.clone, patient.copy()) {
        (Some(clone), _) => (place("clone", clone), None),
        (None, Some(path)) => (place("copy", &path), patient.address()),
        (None, None) if patient.subject.hub.is_none() => return Judgement::skipped(NO_HUB),
        (None, None) => return Judgement::skipped("the hub is opened in place and not copied"),
    };
    let path = PathBuf::from(&place.path);
    let branch = patient.subject.branch.clone();
    let look = move || {
        let index = address.is_none().then(|| Store::open(&path).ok()?.odd_index()).flatten();
        (look_at_copy(&path, address.as_deref(), &branch), index)
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok((found, index)) => {
            let clone = place.path.trim_end_matches('/');
            let (at, beside) = (quoted(clone), quoted(&format!("{clone}.new")));
            let refetch = format!(
                "git -C {at} fetch --refetch origin || git clone \"$(git -C {at} config remote.origin.url)\" {beside}"
            );
            let judgement = rules::copy(&place, &found, &refetch);
            index
                .into_iter()
                .fold(judgement, |judgement, odd| judgement.and(rules::odd_index(odd.kind, odd.mend)))
        }
        Err(hangs) => hangs,
    }
}

fn look_at_copy(path: &Path, address: Option<&str>, branch: &str) -> Copy {
    if !path.exists() {
        return Copy::None;
    }
    let store = match Store::open(path) {
        Ok(store) => store,
        Err(error) => return Copy::Damaged(error.to_string()),
    };
    match (address, store.origin()) {
        (Some(address), Some(origin)) if origin != address => {
            let other = Location::parse(&origin, Path::new("/")).shown();
            return Copy::Damaged(format!("it is a copy of {other}"));
        }
        (Some(_), None) => return Copy::Damaged("it does not say of which hub it is".to_owned()),
        _ => {}
    }
    match store.read_tips(branch) {
        Ok((branches, objects)) => match store.set_aside(branch) {
            Some(line) => Copy::Ahead(branches, objects, line),
            None => Copy::Sound(branches, objects),
        },
        Err(error) => Copy::Damaged(error.to_string()),
    }
}
