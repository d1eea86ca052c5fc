//! The scripts in `scripts/` that keep the names and arguments of the first ones: each really run,
//! against a real hub, with the real program.

#![expect(clippy::too_many_lines, reason = "most lines of these tests are what the scripts said")]

mod calls;
mod cron;
mod debs;
mod help;
mod systemd;

use crate::support::{Fleet, Host, Run, Transcript};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Where the scripts are.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// The names of all of them; `lib.sh` is none, it is read in by the others.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries
        .map(|name| name.into_string().unwrap())
        .filter(|name| name.ends_with(".sh") && name != "lib.sh")
        .collect();
    names.sort();
    names
}

/// The program where it really lies: the installers follow links.
fn program() -> PathBuf {
    fs::canonicalize(env!("CARGO_BIN_EXE_git-muster")).unwrap()
}

/// A machine as the scripts find it: the program on `PATH`, everything else below its home.
fn machine(fleet: &Fleet) -> Host {
    let mut host = fleet.host("machine");
    let bin = host.place("HOME").join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_git-muster"), bin.join("git-muster")).unwrap();
    host.set("PATH", format!("{}:{}", bin.display(), host.place("PATH").display()));
    for variable in [
        "MUSTER_SERVER",
        "MUSTER_HUB",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
    ] {
        host.unset(variable);
    }
    host
}

/// The same, joined to a hub as `build1`; the hub knows `build2` too.
fn joined() -> (Fleet, Host) {
    let fleet = Fleet::new();
    let host = machine(&fleet);
    let url = fleet.hub().url();
    host.run(["init", &url]).success();
    host.run(["join", &url, "--as", "build2"]).success();
    host.run(["join", &url, "--as", "build1"]).success();
    (fleet, host)
}

/// Puts a program of the test's own before all others.
fn put_program(host: &Host, name: &str, text: &str) {
    let path = host.place("HOME").join("bin").join(name);
    // There may be a link to the real one.
    fs::remove_file(&path).ok();
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a script with what stands in `args`.
#[track_caller]
#[must_use = "an exit status nobody looked at: check it with `.success()` or `.code(n)`"]
fn run(host: &Host, name: &str, args: &[&str]) -> Run {
    host.program(folder().join(name)).args(args).run()
}

/// Runs a script and records it.
#[track_caller]
fn tell(said: &mut Transcript, host: &Host, line: &str) -> Run {
    said.ask_program(host, &folder(), line)
}

/// The names of the files in a folder.
fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}
