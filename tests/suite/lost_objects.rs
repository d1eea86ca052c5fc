//! A hub reached by git whose history has lost an object: who has a copy goes on, who begins cannot, and both
//! are told what is true.

use crate::support::{Fleet, Host, MAIN, Transport, git};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What becomes of the file of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    Gone,
    Empty,
    CutOff,
    Flipped,
}
use Damage::{CutOff, Empty, Flipped, Gone};

/// What is lost of a commit before the last, and how: a document, a folder, the commit itself.
const LOST: [(&str, Damage); 4] = [
    (":coordination/messages.json", Gone),
    (":coordination/messages.json", Empty),
    (":coordination", CutOff),
    ("", Gone),
];

/// How many bytes are left of what is cut off: more than its header, less than any document.
const LEFT: usize = 20;

/// What becomes of the file of the object `name` in the hub; gives its id.
pub(crate) fn lose(fleet: &Fleet, name: &str, damage: Damage) -> String {
    let id = fleet.hub().git(["rev-parse", name]).trim().to_owned();
    let file = fleet.hub().path().join("objects").join(&id[..2]).join(&id[2..]);
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    match damage {
        Gone => {}
        Empty => fs::write(&file, "").unwrap(),
        CutOff => fs::write(&file, &bytes[..LEFT]).unwrap(),
        Flipped => {
            let mut bytes = bytes;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            fs::write(&file, bytes).unwrap();
        }
    }
    id
}

/// The copy that a host has of the hub.
fn copy_of(host: &Host) -> PathBuf {
    let hubs = host.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let mut found = fs::read_dir(hubs).unwrap().map(|entry| entry.unwrap().path());
    found.find(|path| path.join("HEAD").is_file()).unwrap()
}

/// Gives a line as it was printed, in the folder of the hub on its server.
fn run_there(fleet: &Fleet, line: &str, copy: &Path) {
    let line = line.replace("CLONE", &copy.display().to_string());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(fleet.hub().path()).envs(fleet.hub().client_env());
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{line}: {done:?}");
}

fn lost_on(transport: Transport) {
    // git says the same over each of them.
    for (path, damage) in LOST.into_iter().take(if transport == Transport::Ssh { LOST.len() } else { 1 }) {
        let fleet = Fleet::over(transport).founded();
        if transport.is_here() {
            fleet.hub().git(["config", "core.sharedRepository", "group"]);
        }
        let ada = fleet.server("ada");
        for _ in 0..2 {
            ada.run(["message", "send", "--to", "all", "--subject", "x"]).success();
        }
        let id = lose(&fleet, &format!("{MAIN}~1{path}"), damage);
        let at = format!("{transport:?} {path} {damage:?}");

        // Who has a copy is told nothing: it needs nothing of it.
        ada.run(["job", "list"]).success();
        ada.run(["job", "add", "--type", "x"]).success();
        ada.run(["doctor", "hub-history"]).success();

        let bob = fleet.host("bob");
        for line in ["job list", "job add --type x", "join --as bob", "health", "fsck"] {
            let run = bob.run(line.split(' '));
            let code = if line == "health" { 3 } else { 1 };
            assert_eq!(run.exit_code(), Some(code), "{at} {line}\n{run}");
            let named = format!("cannot send object {id}");
            assert!(run.stderr().contains(&named), "{at} {line}\n{run}");
            assert!(run.stderr().contains("fetch --refetch CLONE"), "{at} {line}\n{run}");
            let is_write = line.starts_with("job add") || line.starts_with("join");
            assert_eq!(run.stderr().contains("nothing was written"), is_write, "{at} {line}\n{run}");
        }
        let doctor = bob.run(["doctor", "hub-reachable", "hub-history"]).code(1);
        assert!(doctor.stdout().contains(&id), "{at}\n{doctor}");
        let mend = doctor.stdout().lines().find_map(|line| line.trim().strip_prefix("mend: "));
        run_there(&fleet, mend.unwrap_or_else(|| doctor.fail("no line")), &copy_of(&ada));
        bob.run(["doctor", "hub-history"]).success();
        bob.run(["join", "--as", "bob"]).success();
        bob.run(["job", "list"]).success();
        git(fleet.hub().path(), ["fsck", "--no-dangling"]);
    }
}

#[test]
fn an_object_lost_from_the_history_is_named_to_who_has_no_copy() {
    Transport::each(&[Transport::Path, Transport::Ssh, Transport::Http], lost_on);
}

#[test]
fn a_clone_needs_only_what_is_newer() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = fleet.server("ada");
    ada.run(["message", "send", "--to", "all", "--subject", "x"]).success();
    let cyd = fleet.host_in_clone("cyd");
    lose(&fleet, &format!("{MAIN}~1:coordination/messages.json"), Gone);
    ada.run(["job", "add", "--type", "x"]).success();
    cyd.run(["doctor", "hub-history"]).success();
    cyd.run(["job", "list"]).success();
}
