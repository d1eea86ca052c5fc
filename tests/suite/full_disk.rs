//! Disks that are full, have no inode left or cannot be written: under the hub, under a host's copy
//! of it, under what a host remembers, under a clone.
//!
//! Whatever the point at which writing fails: what is acknowledged is in the hub, what is refused
//! is not, the error says what is wrong, the hub stays sound, and as soon as there is room again
//! the next command works.

use std::path::PathBuf;

use crate::support::{Fleet, Host, Left, MAIN, Mount, Transport, inspect};

/// How much room is left. A write of ours needs about a dozen files and pages: with less it fails
/// at another point each time.
const ROOM: [Left; 16] = [
    Left::Pages(0),
    Left::Pages(1),
    Left::Pages(2),
    Left::Pages(3),
    Left::Pages(4),
    Left::Pages(6),
    Left::Pages(8),
    Left::Pages(12),
    Left::Files(0),
    Left::Files(1),
    Left::Files(2),
    Left::Files(3),
    Left::Files(4),
    Left::Files(6),
    Left::Files(8),
    Left::Files(12),
];

/// The time of a command under which something may be tried again and again.
const PATIENCE: &str = "5s";

/// What lies on the small disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The hub, opened in process.
    Hub,
    /// The hub, pushed to because of a hook.
    PushedHub,
    /// The host's copy of the hub.
    Copy,
    /// What the host remembers between runs.
    State,
    /// The clone the command runs in, of a hub that is pushed to.
    Clone,
    /// The same of a hub that is opened in process.
    DirectClone,
}

const PLACES: [Place; 6] =
    [Place::Hub, Place::PushedHub, Place::Copy, Place::State, Place::Clone, Place::DirectClone];

impl Place {
    fn folder(self, host: &Host) -> PathBuf {
        match self {
            Self::Hub | Self::PushedHub => host.hub().path().to_owned(),
            Self::Copy => host.place("XDG_CACHE_HOME"),
            Self::State => host.place("XDG_STATE_HOME"),
            Self::Clone | Self::DirectClone => host.directory().to_owned(),
        }
    }

    /// Whether a write can do without it: what is lost with it is only a convenience.
    fn is_dispensable(self) -> bool {
        matches!(self, Self::State | Self::DirectClone)
    }
}

/// A hub and a host of it, with `place` on a small disk.
fn set_up(place: Place) -> Option<(Fleet, Host, Mount)> {
    let fleet = Fleet::over(Transport::Path).founded();
    if !matches!(place, Place::Hub | Place::DirectClone) {
        fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    }
    let in_clone = matches!(place, Place::Clone | Place::DirectClone);
    let host = if in_clone { fleet.server_in_clone("ada") } else { fleet.server("ada") };
    let mount = Mount::below(&place.folder(&host))?;
    Some((fleet, host, mount))
}

fn subjects(fleet: &Fleet) -> Vec<String> {
    let document = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    let messages = document["messages"].as_array().unwrap();
    messages.iter().map(|message| message["subject"].as_str().unwrap().to_owned()).collect()
}

/// Sends a message while something is wrong with the disk; whether it was acknowledged.
#[track_caller]
fn sent(fleet: &Fleet, host: &Host, place: Place, what: &str, words: &[&str]) -> bool {
    let command = host.command(["message", "send", "--to", "all", "--subject", what]);
    let run = command.env("MUSTER_TIMEOUT", PATIENCE).run();
    let code = run.exit_code();
    let has_it = subjects(fleet).iter().filter(|subject| *subject == what).count();
    match code {
        Some(0) => assert_eq!(has_it, 1, "{place:?} {what}: acknowledged\n{run}"),
        // No room for the lock of a ref: git says of the hub only that the ref was not moved.
        Some(75) if place == Place::PushedHub => assert_eq!(has_it, 0, "{what}\n{run}"),
        Some(9) => assert!(has_it <= 1, "{place:?} {what}: nobody knows\n{run}"),
        Some(1 | 4 | 7) => {
            assert_eq!(has_it, 0, "{place:?} {what}: refused\n{run}");
            let named = words.iter().any(|words| run.stderr().contains(words));
            assert!(named, "{place:?} {what}: the error says what is wrong\n{run}");
        }
        _ => run.fail(&format!("{place:?} {what}")),
    }
    if place.is_dispensable() && code != Some(0) {
        run.fail(&format!("{place:?} {what}: this can be done without"));
    }
    code == Some(0)
}

/// All is well again: what is unsettled can be settled, the next command works, nothing is broken.
#[track_caller]
fn assert_well_again(fleet: &Fleet, host: &Host, place: Place, what: &str) {
    let unsettled = host.unsettled();
    for entry in unsettled.as_array().unwrap() {
        let op = entry["op"].as_str().unwrap();
        host.run(["op", "resume", op]).success();
        host.run(["op", "status", op]).success();
    }
    let next = format!("after {what}");
    host.run(["message", "send", "--to", "all", "--subject", &next]).success();
    assert_eq!(subjects(fleet).last(), Some(&next), "{place:?}");
    assert!(inspect::ops_in_history(fleet.hub(), MAIN).values().all(|count| *count == 1), "{place:?} {what}");
    inspect::assert_hub_is_sound(fleet.hub());
    if host.directory().join(".git").exists() {
        inspect::assert_clone_is_clean(host.directory());
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_named() {
    let full = ["No space left", "the disk of the hub is full"];
    std::thread::scope(|scope| {
        for place in PLACES {
            scope.spawn(move || {
                let Some((fleet, host, mount)) = set_up(place) else { return };
                let mut acknowledged = 0;
                for left in ROOM {
                    mount.fill(left);
                    let what = format!("{left:?}");
                    acknowledged += usize::from(sent(&fleet, &host, place, &what, &full));
                    mount.free();
                    assert_well_again(&fleet, &host, place, &what);
                }
                eprintln!("{place:?}: {acknowledged} of {} were acknowledged", ROOM.len());
                let none_failed = acknowledged == ROOM.len();
                assert_eq!(none_failed, place.is_dispensable(), "{place:?}: the disk was really full");
            });
        }
    });
}

#[test]
fn a_disk_that_cannot_be_written_loses_nothing_and_is_named() {
    for place in PLACES {
        let Some((fleet, host, mount)) = set_up(place) else { return };
        mount.set_read_only(true);
        let acknowledged =
            sent(&fleet, &host, place, "read-only", &["Read-only file system", "cannot be written"]);
        assert_eq!(acknowledged, place.is_dispensable(), "{place:?}");
        if matches!(place, Place::Hub | Place::PushedHub | Place::State) {
            host.run(["message", "list"]).success();
        }
        mount.set_read_only(false);
        assert_well_again(&fleet, &host, place, "read-only");
    }
}
