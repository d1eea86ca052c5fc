//! One ref of the hub that leads nowhere, is no commit or takes a name stops nobody but its server.

use crate::support::{Fleet, Host, MAIN, Transport, git, inspect};
use std::fs;
use std::process::Command;

/// What lies in the file of bob's heartbeat branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Empty,
    Garbage,
    NoSuchCommit,
    Blob,
    /// A branch below that name instead.
    BranchBelow,
}
use Content::{Blob, BranchBelow, Empty, Garbage, NoSuchCommit};

/// Whether git itself can neither move nor remove the ref.
fn is_unreadable(content: Content) -> bool {
    matches!(content, Empty | Garbage)
}

fn damage(fleet: &Fleet, content: Content) -> String {
    let hub = fleet.hub();
    let file = hub.path().join("refs/heads/heartbeat-bob");
    match content {
        Empty => fs::write(file, "").unwrap(),
        Garbage => fs::write(file, "no id\n").unwrap(),
        NoSuchCommit => fs::write(file, format!("{}\n", "1".repeat(40))).unwrap(),
        Blob => {
            let blob = hub.put("aside", &[("file", "x")], "aside");
            let blob = git(hub.path(), ["rev-parse", &format!("{blob}:file")]);
            fs::write(file, blob).unwrap();
        }
        BranchBelow => {
            hub.git(["update-ref", "-d", "refs/heads/heartbeat-bob"]);
            hub.git(["update-ref", "refs/heads/heartbeat-bob/x", MAIN]);
            return "heartbeat-bob/x".to_owned();
        }
    }
    "heartbeat-bob".to_owned()
}

/// Runs the command that doctor names for a branch, in the hub.
#[track_caller]
fn run_mend(fleet: &Fleet, host: &Host) {
    let run = host.run(["doctor", "heartbeat-branches"]).code(1);
    let command = run.stdout().lines().find_map(|line| line.trim().strip_prefix("mend: "));
    let command = command.unwrap_or_else(|| run.fail("no command"));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(fleet.hub().path()).envs(fleet.hub().client_env());
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}

fn one_bad_ref(transport: Transport) {
    let all = [Empty, NoSuchCommit, BranchBelow, Garbage, Blob];
    // What git tells apart, it tells apart in the same way over each of them.
    for content in all.into_iter().take(if transport == Transport::Ssh { 5 } else { 3 }) {
        let fleet = Fleet::over(transport).founded();
        let hosts = [fleet.server("ada"), fleet.server("bob")];
        let [ada, bob] = &hosts;
        for host in &hosts {
            host.run(["heartbeat"]).success();
        }
        let branch = damage(&fleet, content);
        let at = format!("{transport:?} {content:?}");

        // Whoever looks sees all the others, and which one it is.
        let run = ada.run(["health"]).code(1);
        assert!(run.stdout().contains(&branch) && run.stderr().contains(&branch), "{at}\n{run}");
        let run = ada.run(["worker", "list"]).success();
        assert!(run.stdout().contains("ada"), "{at}\n{run}");
        let run = ada.run(["doctor", "heartbeat-branches"]).code(1);
        assert!(run.stdout().contains(&branch), "{at}\n{run}");

        // git takes no push while it cannot read a ref, unless it need not look at that one.
        let is_stuck = is_unreadable(content) && matches!(transport, Transport::Http | Transport::Daemon);
        for args in [&["job", "add", "--type", "test"][..], &["heartbeat"]] {
            let run = ada.run(args);
            if is_stuck {
                let run = run.code(4);
                assert!(run.stderr().contains("`heartbeat-bob` is empty or damaged"), "{at}\n{run}");
                assert!(run.stderr().contains("`rm refs/heads/heartbeat-bob`"), "{at}\n{run}");
            } else {
                run.success();
            }
        }

        // Its server makes it anew where nothing but a heartbeat is lost with it.
        if is_unreadable(content) || content == BranchBelow {
            // Over http a push that is told that another was faster may have been sent twice.
            let run = bob.run(["heartbeat"]);
            let doubts = transport == Transport::Http && run.exit_code() == Some(9);
            let run = if doubts { run } else { run.code(4) };
            assert!(run.stderr().contains(&branch), "{at}\n{run}");
            run_mend(&fleet, bob);
        }
        bob.run(["heartbeat"]).success();
        ada.run(["job", "add", "--type", "test"]).success();
        ada.run(["doctor", "heartbeat-branches"]).success();
        let jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
        assert_eq!(jobs["jobs"].as_array().unwrap().len(), if is_stuck { 1 } else { 2 }, "{at}");
        inspect::assert_hub_is_sound(fleet.hub());
    }
}

#[test]
fn one_bad_heartbeat_branch_stops_nobody_and_is_named_with_its_mend() {
    Transport::each(&Transport::ALL, one_bad_ref);
}

#[test]
fn other_odd_refs_are_no_matter() {
    Transport::each(&Transport::ALL, |transport| {
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.server("ada");
        let refs = fleet.hub().path().join("refs");
        fs::write(refs.join("heads/heartbeat-gone"), "ref: refs/heads/nowhere\n").unwrap();
        fs::write(refs.join("heads/heartbeat-round"), "ref: refs/heads/heartbeat-round\n").unwrap();
        for name in ["heartbeat-ADA", "heartbeat-ü", "heartbeat-a@b", "heartbeat-", "logs-ada", "HEAD"] {
            fleet.hub().git(["update-ref", &format!("refs/heads/{name}"), MAIN]);
        }
        fleet.hub().git(["tag", "-m", "x", "v1", MAIN]);
        let tag = fleet.hub().git(["rev-parse", "v1"]);
        fs::write(refs.join("heads/heartbeat-tag"), tag).unwrap();
        for args in [
            &["heartbeat"][..],
            &["job", "add", "--type", "test"],
            &["job", "list"],
            &["worker", "list"],
            &["message", "send", "--to", "all", "--subject", "x"],
        ] {
            ada.run(args).success();
        }
        assert_ne!(ada.run(["health"]).exit_code(), Some(3), "{transport:?}");
    });
}
