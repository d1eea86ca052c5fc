//! Heartbeats that cannot be seen, for a while or as there was no time to look: they stop nobody else, and
//! nobody is taken for lost by them.

use crate::lost_objects::{Damage, lose};
use crate::sessions::{a_minute_passes, claimed, is_lost, stays_claimed};
use crate::support::{Fleet, Host, MAIN, Transport, eventually, inspect};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// How a hub is reached by a process that looks on for long.
const WAYS: [Transport; 2] = [Transport::Path, Transport::Ssh];

fn ref_file(fleet: &Fleet, branch: &str) -> PathBuf {
    fleet.hub().path().join("refs/heads").join(branch)
}

#[test]
fn a_branch_that_was_mended_is_seen_again_by_a_process_that_goes_on() {
    Transport::each(&WAYS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
        bob.run(["heartbeat", "--interval", "1s"]).success();
        let id = claimed(&bob);
        bob.run(["heartbeat", "--interval", "1s"]).success();
        let blob = fleet.hub().git(["rev-parse", "heartbeat-bob:bob/heartbeat.json"]);
        let object = fleet.hub().path().join("objects").join(&blob[..2]).join(blob[2..].trim());
        let kept = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let mut worker = ada.command(["worker", "run", "--allow-any", "--interval", "1s"]).spawn();
        eventually(BOUND, || worker.stderr().contains("`heartbeat-bob` of the hub needs an object"));
        assert!(!is_lost(&fleet, &id), "{transport:?}");
        // From now on the silence of bob can be seen.
        fs::write(&object, kept).unwrap();
        eventually(BOUND, || is_lost(&fleet, &id));
        worker.signal("TERM");
        worker.wait().success();
    });
}

#[test]
fn a_worker_whose_own_branch_was_mended_beats_and_works_again() {
    Transport::each(&WAYS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
        let mut worker = ada.command(["worker", "run", "--allow-any", "--interval", "1s"]).spawn();
        let file = ref_file(&fleet, "heartbeat-ada");
        eventually(BOUND, || file.exists());
        fs::write(&file, "garbage").unwrap();
        eventually(BOUND, || worker.stderr().contains("no sign of life was sent"));
        fs::remove_file(&file).unwrap();
        eventually(BOUND, || file.exists());
        let id = bob.run(["job", "add", "--type", "t", "--", "true"]).success().stdout().trim().to_owned();
        eventually(BOUND, || inspect::job(fleet.hub(), &id)["status"] == "completed");
        worker.signal("TERM");
        worker.wait().success();
    });
}

/// A line to the hub over which some connections are lost, as a slow one has no time for them.
struct Line {
    folder: PathBuf,
}

impl Line {
    /// Has `host` reach the hub over one.
    fn of(fleet: &Fleet, host: &mut Host) -> Self {
        let folder = host.place("HOME").join("line");
        fs::create_dir(&folder).unwrap();
        let wrapper = folder.join("line");
        let log = folder.join("log");
        let lost = folder.join("lost");
        let script = format!(
            "#!/bin/sh\n\
             while [ $# -gt 1 ]; do case $1 in -o|-p|-S|-i) shift 2;; -*) shift;; *) break;; esac; done\n\
             shift\n\
             echo \"$*\" >> {log}\n\
             number=$(wc -l < {log} | tr -d ' ')\n\
             if grep -qx $number {lost} 2>/dev/null; then\n\
             echo 'ssh: connect to host hub.example port 22: Connection timed out' >&2; exit 255; fi\n\
             exec sh -c \"$*\"\n",
            log = log.display(),
            lost = lost.display(),
        );
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        host.set("MUSTER_HUB", format!("ssh://hub.example{}", fleet.hub().path().display()));
        host.set("GIT_SSH_COMMAND", &wrapper);
        // git asks no program of that kind how it is called.
        host.set("GIT_SSH_VARIANT", "simple");
        let line = Self { folder };
        // Once for all: what the hub's branch is called.
        line.lose([]);
        host.run(["job", "list"]).success();
        line
    }

    /// From now on these connections are lost, the next one being the first.
    fn lose<const COUNT: usize>(&self, numbers: [usize; COUNT]) {
        fs::write(self.folder.join("log"), "").unwrap();
        let numbers: String = numbers.iter().map(|number| format!("{number}\n")).collect();
        fs::write(self.folder.join("lost"), numbers).unwrap();
    }

    /// How many there were since.
    fn used(&self) -> usize {
        fs::read_to_string(self.folder.join("log")).unwrap().lines().count()
    }
}

/// The connections of a look up to the first that looks for a branch which lacks an object: the fetch, what
/// there is, the main branch.
const BEFORE_SEARCH: usize = 3;

/// Servers whose branches are sound, but that of `s3`.
fn fleet_of_six() -> (Fleet, Vec<Host>) {
    let fleet = Fleet::over(Transport::Path).founded();
    let hosts: Vec<Host> = (1..=6).map(|number| fleet.server(&format!("s{number}"))).collect();
    for host in &hosts {
        host.run(["heartbeat", "--interval", "1s"]).success();
    }
    (fleet, hosts)
}

fn sequence(fleet: &Fleet, server: &str) -> u64 {
    let branch = format!("heartbeat-{server}");
    inspect::document(fleet.hub(), &branch, &format!("{server}/heartbeat.json"))["sequence"].as_u64().unwrap()
}

#[test]
fn a_search_for_anothers_branch_that_ran_out_of_time_refuses_nobody() {
    let (fleet, mut hosts) = fleet_of_six();
    lose(&fleet, "heartbeat-s3:s3/heartbeat.json", Damage::Gone);
    let s6 = &mut hosts[5];
    let line = Line::of(&fleet, s6);
    // What a look has no time for is told, and nothing more.
    line.lose([BEFORE_SEARCH + 1]);
    let look = s6.run(["worker", "list"]).success();
    assert!(look.stderr().contains("there was no time to tell which"), "{look}");
    let before = sequence(&fleet, "s6");
    line.lose([BEFORE_SEARCH + 2]);
    s6.run(["heartbeat"]).success();
    assert_eq!(sequence(&fleet, "s6"), before + 1);
    // Its own branch is there, and needs no other: one fetch at most, and one push.
    line.lose([]);
    s6.run(["heartbeat"]).success();
    assert!(line.used() <= 2, "{} connections", line.used());
    // A look and a write in one command, as a claim is.
    let id = hosts[0].run(["job", "add", "--type", "t"]).success().stdout().trim().to_owned();
    let s6 = &hosts[5];
    line.lose([BEFORE_SEARCH + 1]);
    s6.run(["job", "claim", &id]).success();
    s6.run(["job", "complete", &id, "--token", "1"]).success();
    // A process that goes on.
    line.lose([BEFORE_SEARCH + 1]);
    let id = hosts[0].run(["job", "add", "--type", "t", "--", "true"]).success().stdout().trim().to_owned();
    let s6 = &hosts[5];
    let mut worker = s6.command(["worker", "run", "--allow-any", "--interval", "1s"]).spawn();
    eventually(BOUND, || inspect::job(fleet.hub(), &id)["status"] == "completed");
    worker.signal("TERM");
    let ended = worker.wait().success();
    assert!(!ended.stderr().contains("no sign of life was sent"), "{ended}");
}

#[test]
fn who_beats_from_a_new_copy_or_for_the_first_time_needs_no_other_branch_to_come() {
    let (fleet, mut hosts) = fleet_of_six();
    lose(&fleet, "heartbeat-s3:s3/heartbeat.json", Damage::Gone);
    let fresh = fleet.server("s7");
    hosts.push(fresh);
    for index in [5, 6] {
        let host = &mut hosts[index];
        let line = Line::of(&fleet, host);
        // Nothing of the fleet comes, as much as it is asked for.
        line.lose([BEFORE_SEARCH + 2]);
        let name = host.name().to_owned();
        host.run(["heartbeat"]).success();
        assert_eq!(sequence(&fleet, &name), if index == 5 { 2 } else { 1 });
    }
    // Also of the one whose branch lacks the object: it is made anew.
    let s3 = &mut hosts[2];
    let line = Line::of(&fleet, s3);
    line.lose([]);
    s3.run(["heartbeat"]).success();
    sequence(&fleet, "s3");
}

#[test]
fn a_search_that_ran_out_of_time_ends_with_the_next_looks_and_the_dead_are_seen() {
    let (fleet, mut hosts) = fleet_of_six();
    let dead = hosts.pop().unwrap();
    let id = claimed(&dead);
    dead.run(["heartbeat", "--interval", "1s"]).success();
    lose(&fleet, "heartbeat-s3:s3/heartbeat.json", Damage::Gone);
    let ada = &mut hosts[0];
    let line = Line::of(&fleet, ada);
    // Of each look's search one fetch comes through.
    let look = || {
        line.lose([BEFORE_SEARCH + 2]);
        let run = ada.run(["worker", "list"]);
        run.stderr().contains("no time to tell")
    };
    assert!(look(), "the first has not enough time");
    let looks = (1..=8).find(|_| !look());
    assert!(looks.is_some());
    // What is known by now stays known while the others beat.
    for host in &hosts[3..] {
        host.run(["heartbeat", "--interval", "1s"]).success();
    }
    let ada = &hosts[0];
    line.lose([]);
    let look = ada.run(["worker", "list"]).success();
    assert!(look.stderr().contains("`heartbeat-s3` of the hub needs an object"), "{look}");
    assert_eq!(line.used(), 2, "the others, and the one that lacks an object");
    for _ in 0..3 {
        ada.run(["job", "claim"]).code(3);
        a_minute_passes(ada);
    }
    ada.run(["job", "claim"]).code(3);
    assert!(is_lost(&fleet, &id));
    // Once the branch is removed nothing is remembered of it.
    fleet.hub().git(["update-ref", "-d", "refs/heads/heartbeat-s3"]);
    ada.run(["worker", "list"]).success();
    line.lose([]);
    ada.run(["worker", "list"]).success();
    assert_eq!(line.used(), 1);
}

/// What somebody leaves in the place of bob's heartbeat on his own branch.
fn put_by_hand(fleet: &Fleet, text: Option<&str>) {
    match text {
        Some(text) => drop(fleet.hub().put("heartbeat-bob", &[("bob/heartbeat.json", text)], "by hand")),
        None => {
            let tree = fleet.hub().git(["hash-object", "-t", "tree", "-w", "/dev/null"]);
            let commit = fleet.hub().git(["commit-tree", "-m", "by hand", tree.trim()]);
            fleet.hub().git(["update-ref", "refs/heads/heartbeat-bob", commit.trim()]);
        }
    }
}

/// What lies of its beats elsewhere may be old.
#[test]
fn a_server_whose_heartbeat_cannot_be_read_is_not_taken_for_lost() {
    Transport::each(&WAYS, |transport| {
        for text in
            [Some(""), Some("<<<<<<< HEAD\n"), Some("{}"), Some("{\"server_id\": 7}"), Some("[]"), None]
        {
            let fleet = Fleet::over(transport).founded();
            let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
            bob.run(["heartbeat", "--interval", "1s", "--on-main"]).success();
            let id = claimed(&bob);
            bob.run(["heartbeat", "--interval", "10m"]).success();
            put_by_hand(&fleet, text);
            stays_claimed(&fleet, &ada, &id, 4);
            // Its next beat makes it anew, and from then on it is judged by that.
            bob.run(["heartbeat", "--interval", "1s"]).success();
            ada.run(["job", "claim"]).code(3);
            a_minute_passes(&ada);
            ada.run(["job", "claim"]).code(3);
            assert!(is_lost(&fleet, &id), "{text:?}");
        }
    });
}

#[test]
fn a_heartbeat_on_main_that_cannot_be_read_lets_no_older_one_speak_for_its_server() {
    let fleet = Fleet::over(Transport::Path).founded();
    let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
    bob.run(["heartbeat", "--interval", "1s"]).success();
    let id = claimed(&bob);
    bob.run(["heartbeat", "--interval", "10m", "--on-main"]).success();
    fleet.hub().put(MAIN, &[("bob/heartbeat.json", "<<<<<<< HEAD\n")], "by hand");
    stays_claimed(&fleet, &ada, &id, 4);
    let stopped = ada.run(["job", "requeue", &id, "--holder-lost"]);
    assert_ne!(stopped.exit_code(), Some(0), "{stopped}");
}
