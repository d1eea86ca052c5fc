//! The branch of the hub: asked of its HEAD, found by its marker, and never made a second time by
//! following a hint.

use super::{follow, join_line};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::{Fleet, Host, MAIN, Run, Transport, git, inspect, need};

const TRANSPORTS: [Transport; 3] = [Transport::Path, Transport::FileUrl, Transport::Ssh];

const MARKER: &str = "coordination/hub.json";

fn rename(fleet: &Fleet, to: &str) {
    fleet.hub().git(["branch", "-m", MAIN, to]);
    fleet.hub().git(["symbolic-ref", "HEAD", &format!("refs/heads/{to}")]);
}

#[test]
fn a_hub_in_another_branch_than_main_is_found_by_its_head() {
    for transport in TRANSPORTS {
        let fleet = Fleet::over(transport).founded();
        rename(&fleet, "trunk");
        let ada = fleet.host("ada");
        ada.run(["job", "list"]).success();
        ada.run(["join", "--as", "ada"]).success();
        ada.run(["init", &fleet.hub().url()]).success();
        ada.run(["job", "add", "--type", "test"]).success();
        assert_eq!(inspect::branches(fleet.hub()), ["trunk"], "{transport:?}");
        let marker = inspect::document(fleet.hub(), "trunk", "coordination/hub.json");
        assert_eq!(marker["branch"], "trunk", "{transport:?}");
    }
}

/// The words of the command of ours that doctor printed to mend what it found.
#[track_caller]
fn mend_line(run: &Run) -> Vec<String> {
    let line = run.stdout().lines().find_map(|line| line.trim().strip_prefix("mend: git muster "));
    line.unwrap_or_else(|| run.fail("no command that mends")).split(' ').map(str::to_owned).collect()
}

#[test]
fn who_knew_the_hub_under_another_branch_is_led_to_it() {
    for transport in TRANSPORTS {
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.server("ada");
        ada.run(["job", "add", "--type", "test"]).success();
        rename(&fleet, "trunk");
        let run = ada.run(["job", "add", "--type", "test"]).code(78);
        let told = run.stderr();
        assert!(!told.contains("init") && !told.contains("put it back"), "{transport:?}: {run}");
        let doctor = ada.run(["doctor", "hub-reachable"]).code(1);
        assert!(
            doctor.stdout().contains("--hub-branch trunk") && !doctor.stdout().contains("init"),
            "{doctor}"
        );
        // What is named for one command is named otherwise; what is written down is written anew.
        let named = ada.run(["--hub-branch", MAIN, "doctor", "hub-reachable"]).code(1);
        ada.run(mend_line(&named)).success();
        ada.run(["job", "list"]).code(78);
        ada.run(mend_line(&doctor)).success();
        ada.run(["job", "list"]).success();
        follow(&run, &ada, ada.directory());
        ada.run(["job", "add", "--type", "test"]).success();
        assert_eq!(inspect::branches(fleet.hub()), ["trunk"], "{transport:?}");
    }
}

/// A hub beside a project in one repository.
#[test]
fn the_next_step_of_init_in_a_branch_works_as_it_is_printed() {
    for transport in TRANSPORTS {
        let fleet = Fleet::over(transport);
        fleet.hub().put(MAIN, &[("README", "a project")], "project");
        let before = fleet.hub().tip(MAIN);
        let (ada, bob) = (fleet.host("ada"), fleet.host("bob"));
        let run = ada.run(["init", &fleet.hub().url(), "--hub-branch", "fleet"]).success();
        assert!(join_line(&run, "ada").contains(&"--hub-branch".to_owned()), "{run}");
        follow(&run, &ada, ada.directory());
        // And without the branch as well.
        bob.run(["join", &fleet.hub().url(), "--as", "bob"]).success();
        for host in [&ada, &bob] {
            host.run(["job", "add", "--type", "test"]).success();
        }
        let jobs = inspect::document(fleet.hub(), "fleet", "coordination/jobs.json");
        assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(2), "{transport:?}");
        // Somebody who names no branch is led to the right one.
        let eve = fleet.host("eve");
        let run = eve.run(["job", "list"]).code(78);
        assert!(
            run.stderr().contains("--hub-branch fleet") && !run.stderr().contains("git muster init"),
            "{run}"
        );
        eve.run(["init", &fleet.hub().url()]).success();
        assert_eq!(fleet.hub().tip(MAIN), before, "{transport:?}: the project was left alone");
    }
}

#[test]
fn a_second_hub_in_one_repository_is_refused_unless_forced() {
    for transport in TRANSPORTS {
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.host("ada");
        let url = fleet.hub().url();
        let run = ada.run(["init", &url, "--hub-branch", "fleet"]).code(4);
        assert!(run.stderr().contains("nothing was written"), "{run}");
        assert_eq!(inspect::branches(fleet.hub()), [MAIN], "{transport:?}");
        follow(&run, &ada, ada.directory());
        ada.run(["init", &url, "--hub-branch", "fleet", "--force"]).success();
        assert_eq!(inspect::branches(fleet.hub()), ["fleet", MAIN], "{transport:?}");
        let id = |branch| inspect::document(fleet.hub(), branch, "coordination/hub.json")["id"].clone();
        assert_ne!(id("fleet"), id(MAIN));
        // One that was made from the hub gets an id of its own as well.
        fleet.hub().git(["branch", "copy", MAIN]);
        ada.run(["init", &url, "--hub-branch", "copy"]).code(4);
        ada.run(["init", &url, "--hub-branch", "copy", "--force"]).success();
        assert_ne!(id("copy"), id(MAIN));
    }
}

#[test]
fn the_answer_of_a_hub_over_a_connection_is_recorded_once() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    rename(&fleet, "trunk");
    let ada = fleet.host("ada");
    let first = ada.run(["--json", "config", "where"]).success().json();
    assert_eq!(first["branch"], "trunk");
    let copies = ada.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let copy = std::fs::read_dir(copies).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    assert_eq!(git(&copy.path(), ["config", "muster.branch"]).trim(), "trunk");
    fleet.hub().go_down();
    let again = ada.run(["--json", "config", "where"]).success().json();
    assert_eq!(again["branch"], "trunk", "nothing is asked again");
}

/// A host whose first `refused` connections are refused, and where it is noted how many there were.
fn reached_late(fleet: &Fleet, name: &str, refused: usize) -> (Host, PathBuf) {
    let mut host = fleet.host(name);
    let noted = host.directory().join("connections");
    let script = host.directory().join("ssh");
    let configuration = fleet.hub().server_directory().join("ssh_config");
    let text = format!(
        "#!/bin/sh\necho >>'{0}'\n[ $(wc -l <'{0}') -gt {refused} ] && exec ssh -F '{1}' \"$@\"\n\
         echo 'ssh: connect to host hub port 22: Connection refused' >&2\nexit 255\n",
        noted.display(),
        configuration.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    host.set("GIT_SSH_COMMAND", script.display().to_string());
    (host, noted)
}

fn connections(noted: &Path) -> usize {
    fs::read_to_string(noted).unwrap_or_default().lines().count()
}

#[test]
fn a_hub_that_cannot_be_asked_is_not_taken_to_be_in_the_usual_branch() {
    if !need::is_here(&["sshd", "ssh"]) {
        return;
    }
    let fleet = Fleet::over(Transport::Ssh).founded();
    // What a guess would find: a hub of others, in the usual branch of the same repository.
    fleet.hub().git(["branch", "trunk"]);
    fleet.hub().git(["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let before = fleet.hub().tip(MAIN);
    for (number, args) in [
        &["job", "add", "--type", "test"][..],
        &["job", "list"],
        &["lock", "acquire", "gate"],
        &["join", "--as", "ada"],
        &["fsck"],
        &["health"],
    ]
    .iter()
    .enumerate()
    {
        let (mut host, noted) = reached_late(&fleet, &format!("s{number}"), 4);
        host.set("MUSTER_SERVER", "ada");
        let run = host.run(*args);
        // A look at all servers tells by its own codes that it could not look.
        let expected = if args == &["health"] { 3 } else { 7 };
        let run = run.code(expected);
        assert_eq!(connections(&noted), 4, "asked as often as a write would: {run}");
    }
    assert_eq!(fleet.hub().tip(MAIN), before, "nothing is written where nobody said that the hub is");
    let (host, _) = reached_late(&fleet, "where", 4);
    let run = host.run(["--json", "config", "where"]).success();
    assert!(run.json()["branch"].is_null() && run.stderr().contains("the branch is unknown"), "{run}");
    // One that answers a little later is no hub that cannot be asked.
    let (mut host, _) = reached_late(&fleet, "late", 2);
    host.set("MUSTER_SERVER", "ada");
    host.run(["job", "add", "--type", "test"]).success();
    assert_eq!(fleet.hub().tip(MAIN), before);
    assert_ne!(fleet.hub().tip("trunk"), before);
}

#[test]
fn who_knows_the_branch_of_the_hub_does_not_ask_for_it() {
    if !need::is_here(&["sshd", "ssh"]) {
        return;
    }
    let fleet = Fleet::over(Transport::Ssh).founded();
    let (host, noted) = reached_late(&fleet, "ada", 0);
    host.run(["job", "list"]).success();
    let first = connections(&noted);
    for args in [&["job", "list"][..], &["--hub-branch", MAIN, "job", "list"]] {
        let before = connections(&noted);
        host.run(args).success();
        assert_eq!(connections(&noted) - before, 1, "{args:?}, after {first}");
    }
}

#[test]
fn a_hub_whose_branch_is_damaged_is_not_looked_for_in_another() {
    let fleet = Fleet::over(Transport::Path).founded();
    rename(&fleet, "trunk");
    fs::write(fleet.hub().path().join("refs/heads/trunk"), "").unwrap();
    let run = fleet.host("ada").run(["job", "list"]).code(1);
    assert!(run.stderr().contains("`trunk`") && !run.stderr().contains("init"), "{run}");
}

#[test]
fn a_marker_that_leads_to_one_that_leads_on_splits_no_fleet() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    fleet.hub().git(["branch", "dev", MAIN]);
    let mut marker = inspect::document(fleet.hub(), MAIN, MARKER);
    marker["branch"] = "dev".into();
    fleet.hub().put(MAIN, &[(MARKER, marker.to_string())], "by hand");
    ada.run(["lock", "acquire", "deploy"]).success();
    let tips = || [MAIN, "dev"].map(|branch| fleet.hub().tip(branch));
    let before = tips();
    let clone = fleet.host_in_clone("bob");
    for line in ["--server bob lock acquire deploy", "job list", "config where"] {
        let run = clone.run(line.split(' ')).code(78);
        assert!(run.stderr().contains("names branch `dev`, but the marker there names `main`"), "{run}");
        assert!(run.stderr().contains("nothing was written"), "{run}");
    }
    assert_eq!(tips(), before);
    // Nor does a server that joins follow it, and the ways out work as they are printed.
    let carl = fleet.host("carl");
    let run = carl.run(["join", &fleet.hub().url(), "--as", "carl"]).code(78);
    assert_eq!(tips(), before);
    let lines = run.stderr().split('`').filter(|line| line.starts_with("git muster join"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 2, "{run}");
    carl.run(lines[1].split(' ').skip(2)).success();
    assert!(lines[1].ends_with("--as carl --hub-branch main"), "{run}");
    assert_eq!(fleet.hub().tip("dev"), before[1]);
    let told = clone.run(["job", "list"]).code(78);
    let line = told.stderr().split('`').find(|line| line.ends_with("config muster.branch main")).unwrap();
    clone.program("sh").args(["-c", line]).run().success();
    clone.run(["--server", "bob", "lock", "acquire", "deploy"]).code(4);
    // One whose marker names itself is where the hub is.
    clone.git(["config", "--unset", "muster.branch"]).success();
    fleet.hub().put("dev", &[(MARKER, marker.to_string())], "by hand");
    clone.git(["fetch", "--quiet"]).success();
    let place = clone.run(["config", "where", "--json"]).success().json();
    assert_eq!(place["branch"], "dev", "{place}");
}
