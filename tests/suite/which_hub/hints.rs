//! What a command tells people to type is about the hub and the server that it was about itself.

use crate::support::{Fleet, Host, MAIN, Transport, inspect};

/// A hub that the user has joined as `one`, and another.
fn two_hubs() -> (Fleet, Host, String) {
    let fleet = Fleet::new().founded();
    let mut one = fleet.server("one");
    one.unset("MUSTER_HUB");
    let other = one.place("HOME").join("other hub.git").display().to_string();
    one.run(["init", &other]).success();
    (fleet, one, other)
}

fn servers(host: &Host, hub: &str) -> Vec<String> {
    let listed = host.run(["--hub", hub, "servers", "list", "--json"]).success().json();
    listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_command_that_is_told_is_about_the_hub_and_server_of_the_line() {
    let (fleet, one, other) = two_hubs();
    let before = fleet.hub().tip(MAIN);
    let run = one.run(["--hub", &other, "--server", "two", "heartbeat"]);
    assert!(run.stderr().contains(&format!("git muster --hub '{other}' join --as two")), "{run}");
    one.run(["--hub", &other, "join", "--as", "two"]).success();
    one.run(["join", &fleet.hub().url(), "--as", "one"]).success();
    let before = (before, fleet.hub().tip(MAIN));
    assert_eq!(servers(&one, &other), ["two"]);
    // A hint in words, a note, a finding of health, and one that names a server by itself.
    let of_two = ["--hub", &other, "--server", "two"];
    one.run([&of_two[..], &["lock", "acquire", "gate", "--ttl", "10m"]].concat()).success();
    let run = one.run(["--hub", &other, "--server", "three", "lock", "acquire", "gate"]).code(4);
    assert!(run.stderr().contains(&format!("`git muster --hub '{other}' --server three lock ")), "{run}");
    one.run([&of_two[..], &["queue", "pause"]].concat()).success();
    one.run([&of_two[..], &["job", "add", "--", "true"]].concat()).success();
    let health = one.run(["--hub", &other, "health"]);
    assert!(health.stdout().contains(&format!("`git muster --hub '{other}' queue resume`")), "{health}");
    let json = one.run(["--hub", &other, "--json", "--server", "three", "heartbeat"]);
    assert!(json.stderr().contains(&format!("git muster --hub '{other}' join --as three")), "{json}");
    assert_eq!(fleet.hub().tip(MAIN), before.1);
    // What the line does not name is not added, and no password is shown.
    let run = one.run(["--server", "ghost", "heartbeat"]);
    assert!(run.stderr().contains("`git muster join --as ghost`"), "{run}");
    let run =
        one.run(["--hub", "http://kim:secret@127.0.0.1:9/hub.git", "--hub-timeout", "1s", "job", "list"]);
    assert!(
        !run.to_string().replace("kim:secret@127.0.0.1:9/hub.git --hub-timeout", "").contains("secret"),
        "{run}"
    );
}

#[test]
fn a_second_hub_is_told_by_its_address_when_it_is_made() {
    let (fleet, one, _) = two_hubs();
    let before = fleet.hub().tip(MAIN);
    let run = one.run(["init"]).success();
    let command = super::join_line(&run, "two");
    one.run(&command).success();
    assert_eq!(fleet.hub().tip(MAIN), before, "{run}");
    assert_eq!(servers(&one, &command[1]), ["two"]);
}

#[test]
fn who_a_clone_says_we_are_counts_whatever_its_remote_is_called() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server_in_clone("ada");
    ada.unset("MUSTER_HUB");
    let elsewhere = ada.place("HOME").display().to_string();
    // The user is another server.
    ada.git(["config", "--unset", "muster.server"]).success();
    ada.command(["join", &fleet.hub().url(), "--as", "kim"]).current_dir(&elsewhere).run().success();
    ada.git(["config", "muster.server", "ada"]).success();
    ada.git(["remote", "rename", "origin", "fleet"]).success();
    ada.run(["status", "set", "building"]).success();
    let status = inspect::document(fleet.hub(), MAIN, "ada/status.json");
    assert_eq!(status["status"], "building");
    // And it is written into the clone.
    ada.run(["join", "--as", "eve"]).success();
    assert_eq!(ada.git(["config", "muster.server"]).success().stdout().trim(), "eve");
    let run = ada.command(["config", "where"]).current_dir(&elsewhere).run().success();
    assert!(!run.stdout().contains("eve"), "{run}");
}

#[test]
fn the_branch_of_a_server_that_was_removed_is_removed_as_it_is_told() {
    for transport in [Transport::Path, Transport::Daemon] {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        bob.run(["heartbeat"]).success();
        ada.run(["health"]).success();
        let run = ada.run(["servers", "remove", "bob"]).success();
        let line = run.stderr().split('`').find(|part| part.starts_with("git ")).unwrap();
        ada.git(["init", "-q", "."]).success();
        ada.program("sh").args(["-c", line]).run().success();
        assert_eq!(fleet.hub().tip("heartbeat-bob"), None, "{run}");
    }
}
