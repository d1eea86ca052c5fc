//! What a user or an editor did to files that are not the hub's.

use std::fs;
use std::path::Path;

use crate::support::Fleet;

const MARK: &str = "\u{feff}";

fn put_mark_in_front(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, format!("{MARK}{text}")).unwrap();
}

#[test]
fn a_byte_order_mark_in_front_of_a_file_changes_nothing() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    let jobs = ada.directory().join("jobs");
    fs::write(&jobs, format!("{MARK}{{\"command\":[\"true\"]}}\n")).unwrap();
    ada.run(["job", "add", "--from", "jobs"]).success();
    put_mark_in_front(&ada.place("XDG_CONFIG_HOME").join("git-muster/config.json"));
    ada.unset("MUSTER_HUB");
    ada.unset("MUSTER_SERVER");
    let listed = ada.run(["job", "list", "--json"]).success().json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "the hub of the configuration");
    fs::write(ada.directory().join(".build_server_id"), format!("{MARK}ada\r\n")).unwrap();
    let shown = ada.run(["status", "show", "--json"]).success().json();
    assert_eq!(shown["server"], "ada");
    let where_from = ada.run(["config", "list", "--show-origin"]).success();
    assert!(where_from.stdout().contains(".build_server_id"), "{where_from}");
}

#[test]
fn a_home_that_is_not_set_is_named_where_no_hub_is_found() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.unset("MUSTER_HUB");
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        ada.unset(name);
    }
    let refused = ada.run(["job", "list"]).code(78);
    assert!(refused.stderr().contains("HOME is not set"), "{refused}");
    ada.set("MUSTER_HUB", fleet.hub().url());
    ada.set("XDG_CACHE_HOME", fleet.hub().path().join("../cache"));
    ada.run(["job", "list"]).success();
}
