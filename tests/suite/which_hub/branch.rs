//! The branch of the hub: asked of its HEAD, found by its marker, and never made a second time by
//! following a hint.

use super::{follow, join_line};
use crate::support::{Fleet, MAIN, Transport, git, inspect};

const TRANSPORTS: [Transport; 3] = [Transport::Path, Transport::FileUrl, Transport::Ssh];

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
