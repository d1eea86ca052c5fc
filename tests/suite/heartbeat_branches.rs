//! Heartbeat branches: one commit however often a server beats, and the seed's settings.

use crate::support::{Fleet, Host, MAIN, Transport, inspect};

fn joined(transport: Transport) -> (Fleet, Host) {
    let fleet = Fleet::over(transport).founded();
    let ada = fleet.host("ada");
    ada.run(["join", "--as", "ada"]).success();
    (fleet, ada)
}

fn sequence(fleet: &Fleet, branch: &str) -> u64 {
    inspect::document(fleet.hub(), branch, "ada/heartbeat.json")["sequence"].as_u64().unwrap()
}

#[test]
fn a_heartbeat_branch_holds_one_commit_however_often_it_beats() {
    Transport::each(&[Transport::Path, Transport::Ssh, Transport::Http], |transport| {
        let (fleet, ada) = joined(transport);
        let main = fleet.hub().tip(MAIN);
        for beat in 1..=4 {
            ada.run(["heartbeat"]).success();
            let log = inspect::log(fleet.hub(), "heartbeat-ada");
            assert_eq!((log.len(), sequence(&fleet, "heartbeat-ada")), (1, beat), "{transport:?} {log:?}");
        }
        assert_eq!(fleet.hub().tip(MAIN), main, "the main branch does not grow");
        assert_eq!(inspect::branches(fleet.hub()), ["heartbeat-ada", MAIN]);
    });
}

#[test]
fn a_beat_can_go_to_another_branch_or_into_the_main_history() {
    let (fleet, ada) = joined(Transport::Path);
    let before = inspect::log(fleet.hub(), MAIN).len();
    ada.run(["heartbeat", "--on-main"]).success();
    ada.run(["heartbeat", "--on-main"]).success();
    assert_eq!(inspect::log(fleet.hub(), MAIN).len(), before + 2);
    assert_eq!(sequence(&fleet, MAIN), 2);
    assert_eq!(inspect::branches(fleet.hub()), [MAIN]);

    let beat = |branch: &str| ada.command(["heartbeat"]).env("HEARTBEAT_BRANCH", branch).run();
    beat("heartbeat-rack7").success();
    beat("auto").success();
    beat("1").success();
    assert_eq!(inspect::branches(fleet.hub()), ["heartbeat-ada", "heartbeat-rack7", MAIN]);
    // A branch that readers do not look at, or that is no branch, gets no beat.
    for branch in ["release", "heartbeat-../x", "heartbeat- "] {
        let run = beat(branch).code(78);
        assert!(run.stderr().contains("HEARTBEAT_BRANCH"), "{run}");
    }
    assert_eq!(inspect::log(fleet.hub(), MAIN).len(), before + 2);
    assert_eq!(inspect::branches(fleet.hub()).len(), 3);
}

#[test]
fn every_third_beat_is_pushed_when_that_is_asked() {
    let (fleet, ada) = joined(Transport::Path);
    let pushed = |every: &str| {
        let run = ada.command(["heartbeat", "--json"]).env("HEARTBEAT_PUSH_EVERY", every).run().success();
        run.json()["pushed"].as_bool().unwrap()
    };
    let beats: Vec<bool> = (0..7).map(|_| pushed("3")).collect();
    assert_eq!(beats, [false, false, true, false, false, true, false]);
    assert_eq!(sequence(&fleet, "heartbeat-ada"), 2);
    // A hub that is away does not use up the beat that was due.
    assert!(!pushed("3"));
    fleet.hub().go_down();
    ada.command(["heartbeat"]).env("HEARTBEAT_PUSH_EVERY", "3").run().code(7);
    fleet.hub().come_back();
    assert!(pushed("3"));
    for wrong in ["0", "often"] {
        ada.command(["heartbeat"]).env("HEARTBEAT_PUSH_EVERY", wrong).run().code(78);
    }
}

#[test]
fn a_branch_to_which_scripts_push_the_whole_tree_is_their_servers_own() {
    Transport::each(&[Transport::Path, Transport::Ssh, Transport::Daemon], |transport| {
        let (fleet, ada) = joined(transport);
        let old = fleet.server("old");
        let beat = |number: u32| {
            let text = format!("{{\"server_id\":\"old\",\"timestamp\":\"2025-10-29T12:00:0{number}Z\"}}\n");
            fleet.hub().put("heartbeat-old", &[("old/heartbeat.json", &text)], "Heartbeat: old");
        };
        // It goes on from main, main goes on as well, or main alone does.
        for (beats, writes) in [(2, 0), (2, 1), (0, 1)] {
            fleet.hub().git(["update-ref", "refs/heads/heartbeat-old", MAIN]);
            (0..beats).for_each(beat);
            (0..writes).for_each(|_| drop(ada.run(["job", "add", "--type", "test"]).success()));
            let at = format!("{transport:?}: {beats} beats, {writes} writes");
            let before = fleet.hub().tip(MAIN).unwrap();
            let squash = ada.run(["heartbeat", "squash", "--branch", "heartbeat-old", "--dry-run"]).success();
            assert!(!squash.to_string().contains("another name"), "{at}: {squash}");
            assert!(!ada.run(["doctor", "heartbeat-branches"]).to_string().contains("another name"), "{at}");
            let run = old.run(["heartbeat"]).success();
            assert!(!run.stderr().contains("another name"), "{at}: {run}");
            assert_eq!(fleet.hub().tip(MAIN).unwrap(), before, "{at}");
            assert_eq!(inspect::log(fleet.hub(), "heartbeat-old").len(), 1, "{at}");
        }
        inspect::assert_hub_is_sound(fleet.hub());
    });
}

#[test]
fn a_branch_that_scripts_let_grow_is_squashed() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let (fleet, ada) = joined(transport);
        let beat =
            |number: u32| format!("{{\"server\":\"old\",\"timestamp\":\"2025-10-29T12:00:0{number}Z\"}}\n");
        let mut last = String::new();
        for number in 0..5 {
            last = beat(number);
            fleet.hub().put("heartbeat-old", &[("old/heartbeat.json", &last)], "heartbeat");
        }
        let (branches, tip) = (inspect::branches(fleet.hub()), fleet.hub().tip("heartbeat-old").unwrap());
        let squash = |more: &[&str]| ada.command(["heartbeat", "squash"]).args(more).run();
        let dry = squash(&["--branch", "heartbeat-old", "--backup", "--dry-run", "--json"]).success().json();
        assert_eq!((dry["commits"].as_u64(), dry["dry_run"].as_bool()), (Some(5), Some(true)));
        assert_eq!(inspect::branches(fleet.hub()), branches);
        assert_eq!(fleet.hub().tip("heartbeat-old").as_ref(), Some(&tip), "a dry run moves nothing");

        let done = squash(&["--branch", "heartbeat-old", "--backup", "--json"]).success().json();
        let backup = done["backup"].as_str().unwrap();
        assert_eq!(fleet.hub().tip(backup), Some(tip), "what was there is kept");
        assert_eq!(inspect::log(fleet.hub(), "heartbeat-old").len(), 1);
        let content = inspect::content(fleet.hub(), "heartbeat-old", "old/heartbeat.json");
        assert_eq!(content, Some(last.into_bytes()), "the documents are the same");
        assert_eq!(squash(&["--branch", "heartbeat-old", "--json"]).success().json()["commits"], 1);

        for branch in [MAIN, "release"] {
            squash(&["--branch", branch]).code(2);
        }
        squash(&["--branch", "heartbeat-nobody"]).code(3);
        inspect::assert_hub_is_sound(fleet.hub());
    });
}
