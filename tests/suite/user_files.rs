//! What a user or an editor did to files that are not the hub's.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use crate::support::{Fleet, MAIN};

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
    // The same where the hub is known and the name is not, and of a path that would be another in each folder.
    let hub = fleet.hub().url();
    ada.unset("MUSTER_SERVER");
    ada.set("HOME", "rel");
    for words in [&["job", "list"][..], &["--hub", &hub, "heartbeat"]] {
        let refused = ada.run(words).code(78);
        assert!(refused.stderr().contains("HOME is no absolute path"), "{refused}");
    }
    assert!(!ada.directory().join("rel").exists());
    ada.unset("HOME");
    let refused = ada.run(["--hub", &hub, "heartbeat"]).code(78);
    assert!(refused.stderr().contains("HOME is not set"), "{refused}");
    ada.set("MUSTER_HUB", fleet.hub().url());
    ada.set("XDG_CACHE_HOME", fleet.hub().path().join("../cache"));
    ada.run(["job", "list"]).success();
}

/// A user other than ours, whom permissions bind.
const NOBODY: &str = "65534";

#[test]
fn a_hub_that_may_not_be_read_is_told_as_that_and_the_line_lets_others_look() {
    // As root only: permissions bind nobody else's processes that we could start.
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    for (name, value) in
        [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")]
    {
        ada.set(name, value);
    }
    let hub = fleet.hub().path();
    for (who, path) in [(NOBODY, ada.place("HOME").parent().unwrap().parent().unwrap()), ("0", hub)] {
        assert!(Command::new("chown").args(["-R", who]).arg(path).status().unwrap().success());
    }
    fs::set_permissions(hub.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let look = || {
        let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
        ada.program("setpriv").args(ids).args([env!("CARGO_BIN_EXE_git-muster"), "job", "list"]).run()
    };
    look().success();
    for place in [".", "..", "objects", "refs", "HEAD", "config"] {
        let closed = hub.join(place);
        let mode = if closed.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
        let run = look().code(78);
        assert!(run.stderr().contains("may not be read by this account"), "{place}: {run}");
        assert!(!run.stderr().contains("git muster init"), "{place}: {run}");
        let told = run.stderr().split('`').nth(1).unwrap();
        let command = run.stderr().split('`').find(|part| part.starts_with("chmod")).unwrap();
        let command = command.replace("PATH", told);
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        look().success();
    }
}

#[test]
fn a_configuration_that_git_cannot_read_is_no_missing_hub() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.unset("GIT_CONFIG_GLOBAL");
    let of_user = ada.place("HOME").join(".gitconfig");
    for file in [of_user, fleet.hub().path().join("config")] {
        let before = fs::read_to_string(&file).ok();
        fs::write(&file, "[broken\n").unwrap();
        for line in ["job list", "job add --type x"] {
            let run = ada.run(line.split(' ')).code(78);
            assert!(run.stderr().contains("git's configuration cannot be read"), "{run}");
            assert!(run.stderr().contains(&file.display().to_string()), "{run}");
            assert!(!run.stderr().contains("git muster init"), "{run}");
        }
        match before {
            Some(before) => fs::write(&file, before).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        ada.run(["job", "list"]).success();
    }
}

#[test]
fn a_status_of_an_older_writer_names_its_server_and_its_time() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let old = r#"{"server_id": "old1", "last_updated": "2025-10-29T12:00:00Z", "status": "online"}"#;
    fleet.hub().put(MAIN, &[("old1/status.json", old)], "old");
    let list = ada.run(["status", "list", "--json"]).success().json();
    let found = list.as_array().unwrap().iter().find(|one| one["server"] == "old1");
    assert_eq!(found.unwrap()["last_updated"], "2025-10-29T12:00:00Z", "{list}");
    assert_eq!(ada.run(["status", "show", "old1", "--json"]).success().json()["server"], "old1");
    let table = ada.run(["status", "list"]).success();
    let line = table.stdout().lines().find(|line| line.starts_with("old1")).unwrap();
    assert!(line.ends_with(" ago"), "{table}");
}
