//! Two machines under one name.

use crate::support::{Fleet, Host, MAIN, eventually, inspect};
use serde_json::Value;
use std::time::Duration;

/// The last beat of `host`, with another place written into it.
fn beat_from(host: &Host, change: impl Fn(&mut Value)) {
    let (branch, path) = (format!("heartbeat-{}", host.name()), format!("{}/heartbeat.json", host.name()));
    let mut beat = inspect::document(host.hub(), &branch, &path);
    change(&mut beat["origins"]["last"]);
    host.hub().put(&branch, &[(path.as_str(), beat.to_string())], "another machine beats");
}

fn causes(host: &Host) -> Vec<String> {
    let report = host.run(["health", "--json"]).json();
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["cause"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_copied_home_is_noticed_by_the_next_beat_of_either() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat"]).success();
    assert!(causes(&ada).is_empty());
    beat_from(&ada, |place| place["host"] = "machine-b".into());
    let run = ada.run(["heartbeat"]).success();
    assert!(run.stderr().contains("two machines beat as `ada`, on hosts `machine-b` and"), "{run}");
    assert_eq!(causes(&ada), ["name-shared:ada"]);
    // The registered one is another: this home was copied to here.
    let path = "coordination/servers.json";
    let mut registry = inspect::document(fleet.hub(), MAIN, path);
    registry["servers"][0]["host"] = "machine-b".into();
    fleet.hub().put(MAIN, &[(path, registry.to_string())], "it joined there");
    let doctor = ada.run(["doctor", "registration"]);
    assert!(doctor.stdout().contains("ada is registered by machine-b"), "{doctor}");

    let id = |host: &Host| {
        std::fs::read_to_string(host.place("XDG_DATA_HOME").join("git-muster/machine")).unwrap()
    };
    let before = id(&ada);
    ada.run(["join", "--as", "ada", "--replace"]).success();
    assert_ne!(id(&ada), before, "the copy does not pass for this machine any more");
    let run = ada.run(["heartbeat"]).success();
    assert!(!run.stderr().contains("machine"), "{run}");
    assert!(causes(&ada).is_empty());
    ada.run(["doctor", "registration"]).success();
}

#[test]
fn two_workers_of_one_server_on_two_machines_say_so_each_once() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat"]).success();
    // The other one beat last, and what is broken on main is made anew.
    beat_from(&ada, |place| place["host"] = "machine-b".into());
    fleet.hub().put(MAIN, &[("ada/status.json", "{")], "half a status");
    let words = ["worker", "run", "--allow", "true", "--interval", "1s", "--poll", "100ms"];
    let mut worker = ada.command(words).spawn();
    let mut tip = fleet.hub().tip("heartbeat-ada");
    for _ in 0..3 {
        eventually(Duration::from_secs(20), || fleet.hub().tip("heartbeat-ada") != tip);
        tip = fleet.hub().tip("heartbeat-ada");
    }
    worker.signal("TERM");
    let run = worker.wait().success();
    let said = ["two machines beat as `ada`, on hosts `machine-b` and", "`ada/status.json` was unreadable"];
    for words in said {
        assert_eq!(run.stderr().matches(words).count(), 1, "{run}");
    }
}

#[test]
fn a_copied_disk_is_told_from_a_machine_that_boots() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat"]).success();
    // The same names and ids from another boot: it may have booted.
    beat_from(&ada, |place| place["boot"] = "another-boot".into());
    let run = ada.run(["heartbeat"]).success();
    assert!(!run.stderr().contains("two machines"), "{run}");
    // A boot comes back, which no machine's does.
    beat_from(&ada, |place| place["boot"] = "another-boot".into());
    let branch = "heartbeat-ada";
    let mut beat = inspect::document(fleet.hub(), branch, "ada/heartbeat.json");
    beat["origins"]["before"] = beat["origins"]["last"].clone();
    let here = ada.run(["--json", "heartbeat"]).success();
    assert_eq!(here.json()["server"], "ada");
    let now = inspect::document(fleet.hub(), branch, "ada/heartbeat.json");
    beat["origins"]["before"] = now["origins"]["last"].clone();
    fleet.hub().put(branch, &[("ada/heartbeat.json", beat.to_string())], "the copy beats again");
    let run = ada.run(["heartbeat"]).success();
    assert!(run.stderr().contains("two machines beat as `ada`"), "{run}");
    assert_eq!(causes(&ada), ["name-shared:ada"]);
}

#[test]
fn what_tells_this_machine_apart_may_be_lost_and_stops_no_beat() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let file = ada.place("XDG_DATA_HOME").join("git-muster/machine");
    for left in [&b"\xff\xfe\0"[..], b"", b"\0\0\0\0", b"no id\n"] {
        std::fs::write(&file, left).unwrap();
        ada.run(["heartbeat"]).success();
        ada.run(["doctor", "registration"]).success();
        let run = ada.run(["join", "--as", "ada"]).code(4);
        assert!(run.stderr().contains("--replace"), "{run}");
        ada.run(["heartbeat"]).success();
        ada.run(["join", "--as", "ada", "--replace"]).success();
        ada.run(["heartbeat"]).success();
    }
    // What cannot be read at all.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let told = ada.run(["heartbeat"]).success();
    assert!(told.stderr().contains("cannot determine whether this machine"), "{told}");
    let mut beats = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
    let mut tip = fleet.hub().tip("heartbeat-ada");
    for _ in 0..2 {
        eventually(Duration::from_secs(20), || fleet.hub().tip("heartbeat-ada") != tip);
        tip = fleet.hub().tip("heartbeat-ada");
    }
    beats.signal("TERM");
    beats.wait().success();
}

#[test]
fn a_machine_that_has_the_name_already_replaces_nothing() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let machine = || std::fs::read(ada.place("XDG_DATA_HOME").join("git-muster/machine")).unwrap();
    let session = || std::fs::read_to_string(ada.session()).unwrap();
    ada.run(["heartbeat"]).success();
    bob.run(["job", "add", "--type", "deploy"]).success();
    ada.run(["job", "claim"]).success();
    let before = (machine(), session());
    let run = ada.run(["join", "--as", "ada", "--replace", "--label", "arch=arm64"]).success();
    assert!(run.stderr().contains("`ada` is already this machine; nothing was replaced"), "{run}");
    assert_eq!((machine(), session()), before, "its session holds the job");
    let registry = inspect::document(fleet.hub(), MAIN, "coordination/servers.json");
    assert_eq!(registry["servers"][0]["labels"][0], "arch=arm64", "{registry}");
    ada.run(["heartbeat"]).success();
    assert_eq!(session(), before.1);
}

#[test]
fn who_takes_a_name_in_one_hub_is_the_same_machine_in_all_others() {
    let fleet = Fleet::new().founded();
    let (mut ada, mut bob) = (fleet.server("ada"), fleet.server("bob"));
    let two = ada.place("HOME").join("two.git").display().to_string();
    ada.run(["init", &two]).success();
    bob.set("MUSTER_HUB", &two);
    bob.run(["join", "--as", "ada"]).success();
    ada.set("MUSTER_HUB", &two);
    let refused = ada.run(["join", "--as", "ada"]).code(4);
    assert!(refused.stderr().contains("another user of this machine, or another machine"), "{refused}");
    ada.run(["join", "--as", "ada", "--replace"]).success();
    let run = ada.run(["heartbeat"]).success();
    assert!(!run.stderr().contains("registered by"), "{run}");
    ada.set("MUSTER_HUB", fleet.hub().url());
    let run = ada.run(["heartbeat"]).success();
    assert!(!run.stderr().contains("registered by"), "{run}");
    ada.run(["join", "--as", "ada"]).success();
}
