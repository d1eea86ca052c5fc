//! Old readers of the main branch, while beats go to branches of their own.

use crate::support::{Fleet, Host, MAIN, inspect, need};

/// Makes the copy on the main branch as old as a reader of the first scripts may find it.
fn age_copy(host: &Host, seconds: u64) {
    let path = format!("{}/heartbeat.json", host.name());
    let filter = format!(".timestamp = (now - {seconds} | todate)");
    let before = inspect::content(host.hub(), MAIN, &path).unwrap();
    let aged = host.program("jq").args([filter]).stdin(before).run().success();
    host.hub().put(MAIN, &[(path.as_str(), aged.stdout())], "time passes");
}

fn copy_of(host: &Host) -> String {
    let path = format!("{}/heartbeat.json", host.name());
    inspect::document(host.hub(), MAIN, &path)["timestamp"].as_str().unwrap().to_owned()
}

#[test]
fn a_living_server_is_not_stale_for_readers_of_the_main_branch() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    age_copy(&ada, 290);
    let old = copy_of(&ada);
    ada.run(["heartbeat"]).success();
    assert_eq!(copy_of(&ada), old, "nobody said that the copy is read");

    let run = bob.run(["join", "--as", "bob", "--old-readers", "--json"]).success();
    assert_eq!(run.json()["old_readers_seconds"], 240);
    assert!(run.stderr().contains("every 240 s"), "{run}");
    let commits = inspect::log(fleet.hub(), MAIN).len();
    ada.run(["heartbeat"]).success();
    assert_ne!(copy_of(&ada), old, "it holds for all servers of the hub");
    ada.run(["heartbeat"]).success();
    assert_eq!(inspect::log(fleet.hub(), MAIN).len(), commits + 1, "and only as often as readers need it");
    age_copy(&ada, 200);
    let young = copy_of(&ada);
    ada.run(["heartbeat"]).success();
    assert_eq!(copy_of(&ada), young);

    bob.run(["join", "--as", "bob", "--old-readers", "0s"]).success();
    age_copy(&ada, 1000);
    let old = copy_of(&ada);
    ada.run(["heartbeat"]).success();
    assert_eq!(copy_of(&ada), old, "the last old reader is gone");
    ada.run(["fsck", "--history"]).success();
}
