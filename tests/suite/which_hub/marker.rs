//! `coordination/hub.json`: who writes it, and that nobody writes it twice.

use crate::support::{Fleet, MAIN, git, inspect};
use serde_json::Value;
use std::path::Path;

const MARKER: &str = "coordination/hub.json";

fn marker(fleet: &Fleet) -> Value {
    inspect::document(fleet.hub(), MAIN, MARKER)
}

#[test]
fn a_hub_is_marked_once_and_keeps_its_id() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    ada.run(["init", &fleet.hub().url()]).success();
    let first = marker(&fleet);
    assert_eq!(
        (&first["version"], &first["branch"], &first["settings"]),
        (&1.into(), &MAIN.into(), &serde_json::json!({}))
    );
    assert_eq!(first["id"].as_str().map(str::len), Some(36), "{first}");
    ada.run(["init", &fleet.hub().url()]).success();
    ada.run(["join", "--as", "ada"]).success();
    assert_eq!(marker(&fleet), first);
    let other = Fleet::new().founded();
    assert_ne!(marker(&other)["id"], first["id"], "two hubs have two ids");
}

#[test]
fn a_hub_that_was_made_before_there_was_a_marker_gets_one_with_the_next_init_or_join() {
    for args in [&["join", "--as", "ada"][..], &["init"]] {
        let fleet = Fleet::new();
        fleet.hub().put(MAIN, &[("coordination/jobs.json", "{\"jobs\": []}\n")], "by a script");
        let ada = fleet.host("ada");
        ada.run(["--server", "old", "job", "add", "--type", "test"]).success();
        assert_eq!(inspect::content(fleet.hub(), MAIN, MARKER), None, "others leave it alone");
        ada.run(args).success();
        assert_eq!(marker(&fleet)["branch"], MAIN);
        assert_eq!(ada.run(["fsck"]).exit_code(), Some(0));
    }
}

#[test]
fn a_hub_that_takes_over_the_records_of_another_has_an_id_of_its_own() {
    let fleet = Fleet::new().founded();
    let ada = fleet.host("ada");
    ada.run(["join", "--as", "ada", "--old-readers"]).success();
    let old = marker(&fleet);
    assert_eq!(old["settings"]["old_readers_seconds"], 240);
    let [new, prepared] = ["new.git", "prepared.git"].map(|name| ada.directory().join(name));
    ada.run(["init", &prepared.display().to_string()]).success();
    let of = |hub: &Path| -> Value {
        serde_json::from_str(&git(hub, ["show", &format!("{MAIN}:{MARKER}")])).unwrap()
    };
    let its_own = of(&prepared);
    for target in [&new, &prepared] {
        ada.run(["import", &fleet.hub().url(), "--into", &target.display().to_string()]).success();
        ada.run(["--hub", &target.display().to_string(), "fsck", "--history"]).success();
    }
    assert_ne!(of(&new)["id"], old["id"]);
    assert_eq!((&of(&new)["settings"], &of(&new)["branch"]), (&old["settings"], &MAIN.into()));
    assert_eq!(of(&prepared), its_own, "what was a hub before keeps what it says of itself");
    assert_eq!(marker(&fleet), old);
}

#[test]
fn what_others_wrote_into_a_marker_stays_and_a_newer_one_is_left_alone() {
    let fleet = Fleet::new().founded();
    let text = "{\"id\": \"x\", \"note\": 1, \"settings\": {\"theirs\": [1]}, \"version\": 7}\n";
    fleet.hub().put(MAIN, &[(MARKER, text)], "by a newer version");
    let ada = fleet.host("ada");
    ada.run(["join", "--as", "ada"]).success();
    ada.run(["init", &fleet.hub().url()]).success();
    assert_eq!(inspect::content(fleet.hub(), MAIN, MARKER), Some(text.as_bytes().to_vec()));
    let fsck = ada.run(["fsck"]);
    assert!(fsck.stdout().contains("layout version `7`"), "{fsck}");
}
