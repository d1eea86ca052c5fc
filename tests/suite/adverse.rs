//! An adverse world: a copy of the hub that broke, a user's own git configuration, a hub that
//! changed behind everybody's back.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Fleet, Host, MAIN};

/// A hub that is reached through a copy in the cache, because it has a hook.
fn founded() -> Fleet {
    let fleet = Fleet::new();
    fleet.host("admin").run(["init", &fleet.hub().url()]).success();
    fleet.hub().install_hook("update", "#!/bin/sh\nexit 0\n");
    fleet
}

fn joined(fleet: &Fleet, name: &str) -> Host {
    let host = fleet.host(name);
    host.run(["join", &fleet.hub().url(), "--as", name]).success();
    host
}

/// The host's copy of the hub.
fn copy_of(host: &Host) -> PathBuf {
    let hubs = host.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let copies = fs::read_dir(hubs).unwrap().map(|entry| entry.unwrap().path());
    let mut copies = copies.filter(|path| path.extension().is_some_and(|extension| extension == "git"));
    copies.next().unwrap()
}

fn empty(file: &Path) {
    fs::remove_file(file).unwrap();
    fs::File::create(file).unwrap();
}

#[test]
fn a_lock_file_that_nobody_holds_any_more_does_not_stop_us() {
    let fleet = founded();
    let (ada, bob) = (joined(&fleet, "ada"), joined(&fleet, "bob"));
    ada.run(["job", "list"]).success();
    let lock = copy_of(&ada).join("refs/remotes/origin/main.lock");
    fs::File::create(&lock).unwrap();
    bob.run(["job", "add"]).success();
    ada.run(["job", "list"]).success();
    assert!(!lock.exists());
}

#[test]
fn a_copy_that_broke_is_replaced_by_a_command_that_only_reads() {
    let fleet = founded();
    let ada = joined(&fleet, "ada");
    let id = ada.run(["job", "add"]).success().stdout().trim().to_owned();
    for spec in ["main:coordination/jobs.json", "main^{tree}", "main"] {
        let copy = copy_of(&ada);
        let object = fleet.hub().git(["rev-parse", spec]).trim().to_owned();
        empty(&copy.join("objects").join(&object[..2]).join(&object[2..]));
        let listed = ada.run(["job", "list"]).success();
        assert!(listed.stdout().contains(&id) && listed.stderr().contains("fetched again"), "{spec}");
        // The new copy holds a pack: the next round needs a file to break.
        ada.run(["status", "set", "idle"]).success();
        ada.run(["job", "priority", &id, "high"]).success();
        ada.run(["job", "priority", &id, "low"]).success();
    }
    empty(&copy_of(&ada).join("refs/remotes/origin/main"));
    ada.run(["job", "list"]).success();
}

#[test]
fn a_heartbeat_branch_that_was_deleted_on_the_hub_is_made_anew() {
    let fleet = founded();
    let ada = joined(&fleet, "ada");
    ada.run(["heartbeat"]).success();
    fleet.hub().git(["branch", "-D", "heartbeat-ada"]);
    ada.run(["heartbeat"]).success();
    assert!(fleet.hub().tip("heartbeat-ada").is_some());
}

#[test]
fn the_users_own_settings_of_git_do_not_change_what_is_pushed() {
    let fleet = founded();
    let clone = fleet.host_in_clone("ada");
    clone.run(["join", "--as", "ada"]).success();
    clone.git(["tag", "--annotate", "-m", "mine", "private"]).success();
    for setting in
        ["push.followTags=true", "push.gpgSign=true", "push.recurseSubmodules=only", "fetch.prune=true"]
    {
        let (key, value) = setting.split_once('=').unwrap();
        clone.git(["config", key, value]).success();
        clone.run(["job", "add"]).success();
        clone.git(["config", "--unset", key]).success();
    }
    assert_eq!(fleet.hub().git(["tag"]).trim(), "");
    assert_eq!(fleet.hub().git(["log", "--format=%s", "--grep=job add", MAIN]).lines().count(), 4);
}
