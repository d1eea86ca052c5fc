//! Commits of a hub that git takes in a plain push and that libgit2 cannot make out.

use crate::support::{Host, MAIN, Transport, git, inspect};

/// Puts a commit with these people on top of the hub's main branch.
fn push(host: &Host, people: &str) {
    let hub = host.hub();
    let (tip, tree) = (hub.tip(MAIN).unwrap(), hub.git(["rev-parse", "main^{tree}"]).trim().to_owned());
    let text = format!("tree {tree}\nparent {tip}\n{people}\n\nby another program\n");
    let literally = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    let made = host.program("git").args(["-C", &hub.path().display().to_string()]).args(literally);
    let made = made.stdin(text).run().success().stdout().trim().to_owned();
    hub.git(["update-ref", "refs/heads/main", &made]);
}

/// What is not as it should be in the lines that name people and dates.
const PEOPLE: [&str; 3] = [
    "author x <x@x> oops\ncommitter x <x@x> 1700000000 +0000",
    "author x <x@x> 1700000000 +0000\ncommitter x <x@x> oops",
    "author\ncommitter",
];

fn a_date_that_nobody_can_read_stops_nothing(transport: Transport, in_clone: bool) {
    let fleet = super::Fleet::over(transport).founded();
    let ada = if in_clone { fleet.server_in_clone("ada") } else { fleet.server("ada") };
    let doctor = || ada.run(["doctor"]).exit_code();
    let well = doctor();
    for people in PEOPLE {
        push(&ada, people);
        ada.run(["job", "list"]).success();
        assert_eq!(doctor(), well, "{people}");
        ada.run(["fsck", "--history"]).success();
        let sent = ada.run(["message", "send", "--to", "all", "--subject", "hello"]).success();
        assert!(!sent.stderr().contains("brought up to date"), "{sent}");
        let (op, _) = inspect::ops_in_history(fleet.hub(), MAIN).into_iter().next().unwrap();
        ada.run(["op", "status", &op]).success();
        ada.run(["op", "status", "019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f"]).code(3);
    }
    let messages = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    assert_eq!(messages["messages"].as_array().unwrap().len(), PEOPLE.len());
    if in_clone {
        assert_eq!(git(ada.directory(), ["status", "--porcelain"]), "");
        let head = git(ada.directory(), ["rev-parse", "HEAD"]).trim().to_owned();
        assert_eq!(Some(head), fleet.hub().tip(MAIN));
    }
}

#[test]
fn a_date_that_nobody_can_read_stops_no_hub_on_this_disk() {
    a_date_that_nobody_can_read_stops_nothing(Transport::Path, false);
    a_date_that_nobody_can_read_stops_nothing(Transport::Path, true);
}

#[test]
fn a_date_that_nobody_can_read_stops_no_hub_behind_git() {
    a_date_that_nobody_can_read_stops_nothing(Transport::Ssh, false);
    a_date_that_nobody_can_read_stops_nothing(Transport::Ssh, true);
}
