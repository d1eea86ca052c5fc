//! `doctor`: each thing that it claims to find, really there; each command that it prints, really
//! run; and nothing changed by looking.

mod finds;
mod looks;
mod mends;
mod shows;

use crate::support::{Fleet, Host, Run, Transport, git};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Older than anything that counts as young.
const LONG: Duration = Duration::from_secs(3 * 3600);

/// A hub with one server, `ada`, who has sent a beat.
fn joined(transport: Transport) -> (Fleet, Host) {
    let fleet = Fleet::over(transport).founded();
    let ada = equipped(fleet.host("ada"));
    ada.run(["join", "--as", "ada"]).success();
    ada.run(["heartbeat"]).success();
    (fleet, ada)
}

/// The host with `git muster` on its `PATH`, and a clock that is set by others.
fn equipped(mut host: Host) -> Host {
    let bin = host.place("HOME").join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_git-muster"), bin.join("git-muster")).unwrap();
    program(&bin, "timedatectl", "#!/bin/sh\necho yes\n");
    host.set("PATH", format!("{}:{}", bin.display(), host.place("PATH").display()));
    host
}

fn program(folder: &Path, name: &str, script: &str) {
    fs::write(folder.join(name), script).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the check `name` says.
#[track_caller]
fn check(host: &Host, name: &str) -> Value {
    let run = host.run(["doctor", "--json", name]);
    let report = run.json();
    let check = report["checks"][0].clone();
    assert_eq!(check["name"], name, "{run}");
    assert_eq!(run.exit_code(), Some(i32::from(report["verdict"] == "problem")), "{run}");
    check
}

/// Fails unless the check `name` ends like this; returns what it says.
#[track_caller]
fn expect(host: &Host, name: &str, verdict: &str, said: &str) -> Value {
    let check = check(host, name);
    assert_eq!(check["verdict"], verdict, "{check:#}");
    assert!(check.to_string().contains(said), "{name} does not say {said:?}: {check:#}");
    check
}

/// The command that mends the first finding that has one. Here everything belongs to whoever runs
/// the tests, so nobody needs the administrator.
#[track_caller]
fn mend(check: &Value) -> String {
    let findings = check["findings"].as_array().unwrap();
    let mend = findings.iter().find_map(|finding| finding["mend"].as_str());
    mend.unwrap_or_else(|| panic!("nothing mends it: {check:#}")).replace("sudo ", "")
}

/// Runs the command that `check` names, as a person would.
#[track_caller]
fn obey(host: &Host, check: &Value) -> Run {
    host.program("sh").args(["-c", &mend(check)]).run().success()
}

/// Makes a file as old as [`LONG`].
#[track_caller]
fn aged(path: PathBuf) -> PathBuf {
    let long_ago = SystemTime::now() - LONG;
    fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
    path
}

/// Makes a file of that age.
#[track_caller]
fn old_file(path: PathBuf) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "left\n").unwrap();
    aged(path)
}

/// Our copies of hubs on this host.
fn copies(host: &Host) -> Vec<PathBuf> {
    let hubs = host.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let entries = fs::read_dir(hubs).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "git")).collect()
}

/// A commit on `branch` that claims to have been made `ahead` of now.
fn commit_from_the_future(fleet: &Fleet, branch: &str, author: &str, ahead: Duration) {
    let at = SystemTime::now() + ahead;
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let dates = format!("GIT_AUTHOR_DATE={seconds}+0000 GIT_COMMITTER_DATE={seconds}+0000");
    let names = format!("GIT_AUTHOR_NAME={author} GIT_COMMITTER_NAME={author}");
    let make = format!("!{names} {dates} git commit-tree -m future -p {branch} '{branch}^{{tree}}'");
    let commit = git(fleet.hub().path(), ["-c", &format!("alias.make={make}"), "make"]);
    fleet.hub().git(["update-ref", &format!("refs/heads/{branch}"), commit.trim()]);
}
