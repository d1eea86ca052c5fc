//! A look leaves no trace, in whatever state things are.

use super::{copies, equipped, expect, joined, old_file, program};
use crate::support::{Fleet, Host, Transport};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What tells a file or folder from another or from itself after a change.
type Mark = (u32, i64, i64, u64, Vec<u8>);

fn tree(top: &Path) -> BTreeMap<PathBuf, Mark> {
    let mut found = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let data = fs::symlink_metadata(&path).unwrap();
            // A hub that is reached through git is fetched into a folder here that goes again.
            let passes = path.ends_with("tmp") && data.is_dir();
            let time = if passes { (0, 0) } else { (data.mtime(), data.mtime_nsec()) };
            let content = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            found.insert(path.clone(), (data.mode(), time.0, time.1, data.ino(), content));
            if data.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

/// Runs `doctor` twice and compares everything that the host and the hub have on disk.
#[track_caller]
fn assert_no_trace(fleet: &Fleet, host: &Host, what: &str) {
    let home = host.place("HOME").parent().unwrap().to_owned();
    let before = (tree(&home), tree(fleet.hub().path()));
    for args in [&["doctor"][..], &["doctor", "--json"], &["--dry-run", "doctor", "--fix"]] {
        let run = host.run(args);
        assert!(run.stderr().is_empty(), "{what}: {run}");
        let after = (tree(&home), tree(fleet.hub().path()));
        for (before, after) in [(&before.0, &after.0), (&before.1, &after.1)] {
            let changed: Vec<_> = before
                .iter()
                .filter(|(path, mark)| after.get(*path) != Some(mark))
                .map(|(path, _)| path)
                .chain(after.keys().filter(|path| !before.contains_key(*path)))
                .collect();
            assert!(changed.is_empty(), "{what}, {args:?} changed {changed:?}\n{run}");
        }
    }
}

#[test]
fn a_look_changes_nothing() {
    Transport::each(&Transport::ALL, |transport| {
        let (fleet, ada) = joined(transport);
        assert_no_trace(&fleet, &ada, &format!("{transport:?}"));
        // Nobody ever worked here, and nothing is there yet.
        assert_no_trace(&fleet, &equipped(fleet.host("new")), &format!("{transport:?}, a new host"));
        let bob = fleet.host_in_clone("bob");
        expect(&bob, "hub-reachable", "ok", "");
        expect(&bob, "hub-writable", "ok", "");
        // A hook of the user's that would leave a trace.
        let (hooks, trace) = (bob.place("HOME").join("hooks"), bob.place("HOME").join("trace"));
        fs::create_dir(&hooks).unwrap();
        program(&hooks, "reference-transaction", &format!("#!/bin/sh\ntouch '{}'\n", trace.display()));
        bob.git(["config", "core.hooksPath", hooks.to_str().unwrap()]).success();
        assert_no_trace(&fleet, &bob, &format!("{transport:?}, in a clone"));
        // Everything that `--fix` would do something about.
        for copy in copies(&ada) {
            fs::write(copy.join("HEAD"), "garbage").unwrap();
            old_file(copy.join("packed-refs.lock"));
        }
        let state = ada.place("XDG_STATE_HOME").join("git-muster");
        old_file(state.join(".muster.x.tmp"));
        old_file(state.join("ops/019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f.flock"));
        assert_no_trace(&fleet, &ada, &format!("{transport:?}, sick"));
        fleet.hub().go_down();
        let home = ada.place("HOME").parent().unwrap().to_owned();
        let before = tree(&home);
        ada.run(["doctor"]).code(1);
        assert!(before == tree(&home), "{transport:?}, away");
    });
}
