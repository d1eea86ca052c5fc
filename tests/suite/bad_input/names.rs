//! Names become folders, branches and files: what could be a trick is no name, wherever it comes from.

use super::two_servers;
use crate::support::{Host, Hub};
use std::fs;

/// No name of anything.
const TRICKS: [&str; 14] = [
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "-rf",
    "--all",
    "a/../b",
    "a b",
    "a\nb",
    "a\u{1b}[2J",
    "~root",
    "$(id)",
    ".git",
    "a\\b",
];

/// Names that only a server may not have: they are folders of a hub, or mean everybody.
const RESERVED: [&str; 8] = ["coordination", "shared", "archive", "all", "ALL", "Docs", "scripts", "x.lock"];

#[track_caller]
fn assert_refused(host: &Host, hub: &Hub, refs: &str, args: &[&str], codes: &[i32]) {
    let run = host.run(args);
    assert!(
        run.exit_code().is_some_and(|code| codes.contains(&code)),
        "{args:?}: {codes:?} was expected\n{run}"
    );
    assert!(!run.stderr().contains('\u{1b}'), "{args:?}\n{run}");
    assert_eq!(hub.git(["for-each-ref"]), refs, "{args:?}");
}

#[test]
fn tricks_are_no_names_of_servers() {
    let (fleet, mut ada, _bob) = two_servers();
    let refs = fleet.hub().git(["for-each-ref"]);
    let long = "a".repeat(64);
    for name in TRICKS.iter().chain(&RESERVED).copied().chain([long.as_str()]) {
        let (as_name, server) = (format!("--as={name}"), format!("--server={name}"));
        for args in [
            &["join", &as_name][..],
            &[&server, "heartbeat"],
            &[&server, "status", "set", "idle"],
            &[&server, "job", "claim"],
            &["servers", "show", "--", name],
            &["servers", "remove", "--", name],
            &["status", "show", "--", name],
        ] {
            assert_refused(&ada, fleet.hub(), &refs, args, &[2]);
        }
        ada.unset("MUSTER_SERVER");
        for variable in ["MUSTER_SERVER", "SERVER_ID"] {
            let run = ada.command(["heartbeat"]).env(variable, name).run().code(78);
            assert!(run.stderr().contains(&format!("(from {variable})")), "{run}");
        }
        ada.set("MUSTER_SERVER", "ada");
    }
    for name in TRICKS {
        let to = format!("--to={name}");
        assert_refused(&ada, fleet.hub(), &refs, &["message", "send", &to, "--subject", "x"], &[3]);
    }
}

#[test]
fn a_file_that_names_the_server_is_read_with_care() {
    let (fleet, mut ada, _bob) = two_servers();
    let refs = fleet.hub().git(["for-each-ref"]);
    ada.unset("MUSTER_SERVER");
    let file = ada.directory().join(".build_server_id");
    let big = vec![b'a'; 20 * 1024 * 1024];
    let contents = TRICKS.iter().chain(&RESERVED).map(|name| name.as_bytes());
    for content in contents.chain([&b"ada\0"[..], b"a\0b", b"ada\nbob", &big]) {
        fs::write(&file, content).unwrap();
        assert_refused(&ada, fleet.hub(), &refs, &["heartbeat"], &[78, 1]);
    }
    fs::write(&file, "ada\r\n").unwrap();
    ada.run(["heartbeat"]).success();
}

#[test]
fn tricks_are_no_names_of_locks_jobs_messages_and_operations() {
    let (fleet, ada, _bob) = two_servers();
    let refs = fleet.hub().git(["for-each-ref"]);
    let long = "a".repeat(129);
    // A lock's name is a key and nothing else: it may look like an address.
    for name in TRICKS.into_iter().chain([long.as_str()]) {
        for args in [
            &["lock", "acquire", "--", name][..],
            &["lock", "show", "--", name],
            &["lock", "release", "--token", "1", "--", name],
            &["once", "do", "--", name],
            &["fence", "check", "--state", "f", "--token", "1", &format!("--name={name}")],
            &[&format!("--if-lock={name}=1"), "job", "add", "--type", "build"],
            &["job", "show", "--", name],
            &["job", "claim", "--", name],
            &["job", "complete", "--token", "1", "--", name],
            &["job", "cancel", "--", name],
            &["status", "set", "building", &format!("--job={name}")],
            &["message", "read", "--", name],
            &["message", "ack", "--", name],
            &["message", "thread", "--", name],
            &["message", "send", "--to", "bob", "--subject", "x", &format!("--reply-to={name}")],
            &["op", "status", "--", name],
            &["op", "resume", "--", name],
        ] {
            assert_refused(&ada, fleet.hub(), &refs, args, &[2]);
        }
    }
    assert_eq!(fs::read_dir(ada.directory()).unwrap().count(), 0, "no file was made");
}

#[test]
fn tricks_are_no_names_of_branches() {
    let (fleet, ada, _bob) = two_servers();
    let refs = fleet.hub().git(["for-each-ref"]);
    for name in TRICKS.into_iter().chain(["a.lock", "a//b", "a/", "a:b", "refs/../heads", "a/.b", "@{-1}"]) {
        for args in [
            &[&format!("--branch={name}"), "job", "add", "--type", "build"][..],
            &["job", "add", &format!("--hub-branch={name}")],
            &[&format!("--branch={name}"), "init", &fleet.hub().url()],
            &["heartbeat", "squash", &format!("--branch={name}")],
        ] {
            assert_refused(&ada, fleet.hub(), &refs, args, &[2]);
        }
        for variable in ["MUSTER_BRANCH", "HEARTBEAT_BRANCH"] {
            ada.command(["heartbeat"]).env(variable, name).run().code(78);
        }
        assert_eq!(fleet.hub().git(["for-each-ref"]), refs, "{name}");
    }
}

/// An address that git would take for an option, or for a program to run.
#[test]
fn tricks_are_no_addresses() {
    let (_fleet, mut ada, _bob) = two_servers();
    let hacked = ada.directory().join("hacked");
    let program = format!("ext::sh -c 'touch {}'", hacked.display());
    let option = format!("--upload-pack=touch {}", hacked.display());
    let host = format!("ssh://-oProxyCommand=touch%20{}/x", hacked.display());
    ada.unset("MUSTER_HUB");
    for address in [program.as_str(), &option, &host, "-oProxyCommand=x:y", "fd::17", ""] {
        let hub = format!("--hub={address}");
        for args in [
            &[hub.as_str(), "job", "list"][..],
            &[&hub, "job", "add", "--type", "build"],
            &["join", "--as", "ada", "--", address],
        ] {
            let run = ada.command(["--timeout", "2s"].iter().chain(args)).run();
            assert!(matches!(run.exit_code(), Some(1 | 2 | 4 | 7 | 78)), "{args:?}\n{run}");
            assert!(!hacked.exists(), "{args:?}\n{run}");
        }
    }
}
