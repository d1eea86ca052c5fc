//! What fresh eyes and attackers found once: each case here went wrong before.

use std::fs;
use std::time::Duration;

use crate::support::{Fleet, Host, MAIN, Transport, wait_for};

fn joined(fleet: &Fleet, name: &str) -> Host {
    let host = fleet.host(name);
    host.run(["join", "--as", name]).success();
    host
}

#[test]
fn a_folder_called_coordination_makes_no_clone_of_a_hub() {
    let fleet = Fleet::over(Transport::Path).founded();
    let mut ada = fleet.host("ada");
    ada.unset("MUSTER_HUB");
    ada.git(["init", "--quiet"]).success();
    ada.git(["remote", "add", "origin", &fleet.hub().url()]).success();
    fs::create_dir(ada.directory().join("coordination")).unwrap();
    ada.run(["job", "list"]).code(78);
    // Nor does a document in it: what was committed counts, in a branch that says that it is a hub.
    fs::write(ada.directory().join("coordination/jobs.json"), "{}").unwrap();
    let run = ada.run(["--branch", "nowhere", "job", "list"]).code(78);
    assert!(run.stderr().contains("no hub configured"), "{run}");
}

#[test]
fn a_new_hub_has_nothing_of_the_clone_in_which_it_was_made() {
    let fleet = Fleet::over(Transport::Path).founded();
    let mut ada = fleet.host_in_clone("ada");
    ada.unset("MUSTER_HUB");
    ada.git(["checkout", "--quiet", "-b", "feature"]).success();
    let run = ada.run(["init"]).success();
    assert!(run.stdout().contains("branch `main`"), "{run}");
    assert!(run.stderr().contains("commands in this directory use another hub"), "{run}");
}

#[test]
fn a_removed_server_is_one_no_more() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (joined(&fleet, "ada"), joined(&fleet, "bob"));
    ada.run(["job", "add", "--type", "build"]).success();
    ada.run(["servers", "remove", "bob"]).success();
    for line in ["heartbeat", "status set idle", "job claim"] {
        bob.run(line.split(' ')).code(4);
    }
}

#[test]
fn a_status_that_is_taken_up_late_brings_no_old_one_back() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = joined(&fleet, "ada");
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    let run = ada.run(["--timeout", "6s", "--json", "status", "set", "building"]).code(9);
    let error: serde_json::Value = serde_json::from_str(run.stderr()).unwrap();
    let op = error["op"].as_str().unwrap();
    fs::remove_file(fleet.hub().path().join("hooks/pre-receive")).unwrap();
    let asked = ada.run(["op", "status", op]).code(3);
    assert!(asked.stderr().contains("may still arrive"), "{asked}");
    // Statuses are told in whole seconds.
    let begun = ada.unsettled()[0]["at"].as_str().unwrap().to_owned();
    let later = wait_for(Duration::from_secs(10), || {
        let set = ada.run(["status", "set", "failed", "--json"]).success().json();
        (set["timestamp"].as_str() > Some(begun.as_str())).then_some(())
    });
    assert!(later.is_some());
    ada.run(["op", "resume", op]).code(4);
    assert_eq!(ada.run(["status", "show", "ada", "--json"]).success().json()["status"], "failed");
}

#[test]
fn garbage_on_a_heartbeat_branch_silences_nobody() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (joined(&fleet, "ada"), joined(&fleet, "bob"));
    bob.run(["heartbeat"]).success();
    ada.run(["heartbeat"]).success();
    fleet.hub().put("heartbeat-bob", &[("bob/heartbeat.json", b"{\"timestamp\": ")], "broken");
    let health = ada.run(["health", "--json"]).code(2).json();
    assert_eq!(health["findings"][0]["cause"], "heartbeat-broken:bob");
    ada.run(["servers", "list"]).success();
    bob.run(["heartbeat"]).success();
    ada.run(["health"]).code(0);
}

#[test]
fn a_fence_is_one_through_a_link_or_not() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = joined(&fleet, "ada");
    let check = |state: &str, token: &str| {
        ada.run(["fence", "check", "--name", "deploy", "--state", state, "--token", token, "--", "true"])
    };
    check("real.json", "6").success();
    std::os::unix::fs::symlink("real.json", ada.directory().join("link.json")).unwrap();
    check("link.json", "7").success();
    check("real.json", "6").code(5);
    check("link.json", "6").code(5);
}

#[test]
fn every_way_of_asking_lock_run_to_end_ends_its_command() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = joined(&fleet, "ada");
    for signal in ["HUP", "QUIT", "INT"] {
        let line = ["lock", "run", "deploy", "--", "sh", "-c", "echo begun; exec tail -f /dev/null"];
        let mut running = ada.command(line).spawn();
        running.wait_for_stdout("begun");
        running.signal(signal);
        running.wait().code(143);
        assert_eq!(
            ada.run(["lock", "show", "deploy", "--json"]).success().json()["state"],
            "free",
            "{signal}"
        );
    }
}

#[test]
fn an_answer_that_nobody_can_read_is_told_as_done() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = joined(&fleet, "ada");
    let script = "\"$0\" lock acquire deploy > /dev/full";
    let run = ada.program("sh").args(["-c", script, env!("CARGO_BIN_EXE_git-muster")]).run().code(1);
    assert!(run.stderr().contains("the operation itself succeeded: 1"), "{run}");
    assert_eq!(ada.run(["lock", "show", "deploy", "--json"]).success().json()["state"], "held");
    let script = "\"$0\" lock list > /dev/full";
    let run = ada.program("sh").args(["-c", script, env!("CARGO_BIN_EXE_git-muster")]).run().code(1);
    assert!(run.stderr().contains("the answer cannot be written"), "{run}");
}

#[test]
fn names_that_differ_in_case_only_are_one_folder_on_some_disks() {
    let fleet = Fleet::over(Transport::Path).founded();
    let _ada = joined(&fleet, "ada");
    let run = fleet.host("Ada").run(["join", "--as", "Ada"]).code(4);
    assert!(run.stderr().contains("only in case"), "{run}");
    assert!(!fleet.hub().git(["ls-tree", "--name-only", MAIN]).contains("Ada"));
}
