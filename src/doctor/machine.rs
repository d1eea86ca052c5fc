//! Checks of this machine and of what this user keeps on it.

use super::{DISK_TIME_MAX, Patient};
use crate::app::journal;
use crate::doctor::rules::machine::{self as rules, Begun, Folder, Leftovers, Named, Room, Unreadable};
use crate::domain::doctor::Judgement;
use crate::git;
use crate::git::{GitProgram, Identity};
use crate::machine::disk::{self, Disk};
use crate::machine::folder::{self, DirectoryEntry};
use crate::machine::{Machine, environment, file_lock, files, process};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// How long a program that only tells something of itself may take.
const PROGRAM_TIME_MAX: Duration = Duration::from_secs(5);

/// What is younger than this may belong to a process at work.
const LEFTOVER_AFTER: Duration = Duration::from_secs(3600);

/// How deep below our folders files of ours lie.
const OUR_DEPTH: usize = 2;

/// How deep folders that were left behind are measured.
const MEASURED_DEPTH_MAX: usize = 8;

/// How git is installed, by the program that does it.
const INSTALLERS: &[(&str, &str)] = &[
    ("apt-get", "apt-get install git"),
    ("dnf", "dnf install git"),
    ("zypper", "zypper install git"),
    ("pacman", "pacman -S git"),
    ("apk", "apk add git"),
];

pub(super) fn git(patient: &Patient) -> Judgement {
    let path = environment::find_program("git");
    let version = GitProgram::default().version(&Machine::real().deadline(PROGRAM_TIME_MAX));
    let found = match (version, path) {
        (Ok(version), path) => Ok((version, path.map_or("-".to_owned(), |path| path.display().to_string()))),
        (Err(error), Some(path)) => Err(format!("{error}; it is at {}", path.display())),
        (Err(error), None) => Err(error.to_string()),
    };
    let installer = INSTALLERS.iter().find(|(program, _)| environment::find_program(program).is_some());
    let install = installer.map(|(_, command)| format!("{}{command}", patient.sudo()));
    rules::git(found, patient.way(), install.as_deref())
}

pub(super) fn settings(patient: &Patient) -> Judgement {
    rules::settings(&patient.subject.summary, patient.subject.doubts.clone())
}

pub(super) fn identity(patient: &Patient) -> Judgement {
    let name = patient.subject.server.as_ref().map_or("git-muster", |(name, _)| name.as_str());
    let who = Identity::of(name, patient.subject.clone.as_deref()).committer;
    let commits_by = format!("{} <{}>", who.name.value, who.email.value);
    let named = match (&patient.subject.server, &patient.subject.bad_name) {
        (Some((name, origin)), _) => Named::As { name: name.as_str(), origin, commits_by: &commits_by },
        (None, Some((why, origin))) => Named::Wrongly { why, origin },
        (None, None) => Named::Nothing,
    };
    let host = environment::host_name();
    // Where no hub is named or there, nothing can be joined.
    let can_join = patient.subject.hub.is_some() && patient.hub_path().is_none_or(|path| path.exists());
    let join = patient.muster(&format!("join --as {}", crate::domain::shell::quoted(&host)));
    rules::identity(named, &host, Some(join.as_str()).filter(|_| can_join))
}

/// What this user keeps where, and what does not work without.
fn own_folders() -> [(&'static str, PathBuf, &'static str); 4] {
    [
        (
            "state",
            environment::state_dir(),
            "writes whose outcome stays unknown cannot be settled, and take-overs never come",
        ),
        ("cache", environment::cache_dir(), "a hub over a connection cannot be used"),
        ("config", environment::config_dir(), "join cannot remember hub and name"),
        ("data", environment::data_dir(), "join and the embedded hub do not work"),
    ]
}

pub(super) fn folders(patient: &Patient) -> Judgement {
    let look = || {
        own_folders().map(|(what, path, without)| {
            let nearest = disk::nearest(&path);
            let is_writable = disk::may_write_in(&nearest) && nearest.is_dir();
            Folder {
                what,
                path: path.display().to_string(),
                is_writable,
                unlockable: is_writable
                    .then(|| file_lock::try_in(&nearest).err())
                    .flatten()
                    .map(|not| not.reason()),
                far: disk::under(&nearest).ok().and_then(|disk| disk.far),
                without,
            }
        })
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok(folders) => rules::folders(&folders, patient.sudo()),
        Err(hangs) => hangs,
    }
}

pub(super) fn disk(patient: &Patient) -> Judgement {
    let mut places: Vec<(&'static str, PathBuf)> = own_folders()
        .map(|(what, path, _)| (what, path))
        .into_iter()
        .filter(|(what, _)| *what != "config")
        .collect();
    places.push(("temporary files", environment::temporary_dir()));
    places.extend(patient.subject.clone.clone().map(|clone| ("the clone", clone)));
    places.extend(patient.hub_path().map(|path| ("the hub", path)));
    let look = move || {
        let mut rooms: Vec<(u64, Room)> = Vec::new();
        for (what, path) in places {
            let path = disk::nearest(&path);
            let Ok(Disk { device, free_bytes, free_inodes, .. }) = disk::under(&path) else { continue };
            match rooms.iter_mut().find(|(known, _)| *known == device) {
                Some((_, room)) => room.what = format!("{}, {what}", room.what),
                None => {
                    let path = path.display().to_string();
                    rooms.push((
                        device,
                        Room { what: what.to_owned(), path, bytes: free_bytes, inodes: free_inodes },
                    ));
                }
            }
        }
        rooms.into_iter().map(|(_, room)| room).collect::<Vec<_>>()
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok(rooms) => rules::disk(&rooms),
        Err(hangs) => hangs,
    }
}

pub(super) fn clock_sync(patient: &Patient) -> Judgement {
    let Some(program) = environment::find_program("timedatectl") else {
        return rules::clock_sync(None, patient.sudo());
    };
    let mut command = process::command(&program);
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    let told = process::run(&mut command, &Machine::real().deadline(PROGRAM_TIME_MAX)).ok();
    let is_synchronised = match told.as_ref().map(|told| told.stdout.trim()) {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    };
    rules::clock_sync(is_synchronised, patient.sudo())
}

pub(super) fn operations(patient: &Patient) -> Judgement {
    let subject = patient.subject.clone();
    let look = move || {
        let (here, place) = (Machine::real(), subject.place());
        let folder = journal::folder(&here);
        let (mut begun, mut unreadable) = (Vec::new(), Vec::new());
        for name in files::list(&folder).into_iter().filter(|name| name.ends_with(".json")) {
            let id = crate::domain::id::OpId::new(name.trim_end_matches(".json")).ok();
            match id.as_ref().and_then(|id| journal::find(&here, id)) {
                Some(entry) => {
                    let is_under_way = journal::is_under_way(&here, &entry.op);
                    if is_under_way == Some(false) && journal::find(&here, &entry.op).is_none() {
                        // Settled while we looked.
                        continue;
                    }
                    let value = serde_json::to_value(&entry.operation).unwrap_or_default();
                    let verb = value.get("verb").and_then(Value::as_str).unwrap_or("?").to_owned();
                    let is_here = place.as_ref().is_some_and(|place| place.is_of(&entry));
                    let is_harmless = is_here && entry.operation.is_harmless_late();
                    let op = entry.op.to_string();
                    begun.push(Begun { op, at: entry.at, verb, is_under_way, is_here, is_harmless });
                }
                None if !folder.join(&name).exists() => {}
                None => unreadable.push(Unreadable {
                    path: folder.join(name).display().to_string(),
                    status: id.map(|id| format!("git muster op status {id}")),
                }),
            }
        }
        (begun, unreadable)
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok((begun, unreadable)) => rules::operations(&begun, &unreadable, patient.now()),
        Err(hangs) => hangs,
    }
}

/// Everything that was left behind, by kind.
#[derive(Debug, Default)]
pub(super) struct Rubbish {
    /// Files that were to take another's place.
    pub temporary: Vec<DirectoryEntry>,
    /// Locks of operations that are settled.
    pub locks: Vec<DirectoryEntry>,
    /// Copies that were never finished.
    pub copies: Vec<DirectoryEntry>,
    /// Looks at a hub that were cut short.
    pub looks: Vec<DirectoryEntry>,
    /// Damaged copies that were put aside.
    pub set_aside: Vec<DirectoryEntry>,
}

/// Looks for what was left behind; `clone` is the folder `.git` of the clone around.
pub(super) fn rubbish(clone: Option<PathBuf>) -> Rubbish {
    let old = |found: &DirectoryEntry| found.age >= LEFTOVER_AFTER && found.is_ours;
    let is_temporary = |found: &DirectoryEntry| {
        let name = found.name();
        !found.is_folder && old(found) && name.starts_with(".muster.") && name.ends_with(".tmp")
    };
    let mut rubbish = Rubbish::default();
    for (_, folder, _) in own_folders() {
        rubbish.temporary.extend(folder::find(&folder, OUR_DEPTH, &is_temporary));
    }
    if let Some(git) = clone {
        rubbish.temporary.extend(folder::find(&git, 0, &is_temporary));
    }
    // The folder of the operations is ours alone.
    let operations = journal::folder(&Machine::real());
    let is_half_an_entry =
        |found: &DirectoryEntry| !found.is_folder && old(found) && found.name().ends_with(".tmp");
    rubbish.temporary.extend(folder::find(&operations, 0, &is_half_an_entry));
    rubbish.temporary.sort_by(|a, b| a.path.cmp(&b.path));
    rubbish.temporary.dedup();
    let is_lone_lock = |found: &DirectoryEntry| {
        old(found) && found.name().ends_with(".flock") && !found.path.with_extension("json").exists()
    };
    rubbish.locks = folder::find(&operations, 0, &is_lone_lock);
    let hubs = environment::cache_dir().join("hubs");
    // Whoever keeps the cache on another disk may have led us among folders of their own.
    let is_unfinished =
        |found: &DirectoryEntry| found.is_folder && old(found) && git::is_unfinished(&found.name());
    rubbish.copies = folder::find(&hubs, 0, &is_unfinished);
    rubbish.set_aside =
        folder::find(&hubs, 0, &|found| found.is_folder && found.name().contains(".git.damaged-"));
    let is_look = |found: &DirectoryEntry| found.is_folder && old(found) && git::is_look(&found.name());
    rubbish.looks = folder::find(&environment::temporary_dir(), 0, &is_look);
    rubbish
}

pub(super) fn leftovers(patient: &Patient) -> Judgement {
    let clone = patient.subject.clone.as_ref().map(|clone| clone.join(".git"));
    let look = || {
        let rubbish = rubbish(clone);
        let bytes = |found: &[DirectoryEntry]| {
            let inside = |found: &DirectoryEntry| {
                folder::find(&found.path, MEASURED_DEPTH_MAX, &|file| !file.is_folder)
            };
            let of = |found: &DirectoryEntry| match found.is_folder {
                true => inside(found).iter().map(|file| file.bytes).sum(),
                false => found.bytes,
            };
            found.iter().map(of).sum::<u64>()
        };
        let kind = |what, found: &[DirectoryEntry]| (what, found.len(), bytes(found));
        Leftovers {
            kinds: vec![
                kind("temporary file", &rubbish.temporary),
                kind("lock of a settled operation", &rubbish.locks),
                kind("unfinished copy", &rubbish.copies),
                kind("temporary folder", &rubbish.looks),
            ],
            set_aside: (rubbish.set_aside.len(), bytes(&rubbish.set_aside)),
        }
    };
    match patient.within(DISK_TIME_MAX, look) {
        Ok(found) => rules::leftovers(&found),
        Err(hangs) => hangs,
    }
}
