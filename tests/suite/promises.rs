//! Promises of the README that no other test would miss; docs/TESTING.md names the test of each.

use crate::support::{Fleet, Host, MAIN, Transport, inspect};
use std::fs;
use std::path::Path;

/// A hub with `ada`, who has joined, and `bob`, who never did.
fn member_and_stranger() -> (Fleet, Host, Host) {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let bob = fleet.host("bob");
    (fleet, ada, bob)
}

#[test]
fn a_server_that_never_joined_adds_and_locks_but_does_not_beat_work_or_speak_of_itself() {
    let (fleet, _ada, mut bob) = member_and_stranger();
    bob.set("MUSTER_HUB", fleet.hub().url());
    bob.run(["job", "add", "--type", "build"]).success();
    bob.run(["lock", "acquire", "deploy"]).success();
    let before = inspect::log(fleet.hub(), MAIN).len();
    for refused in [&["heartbeat"][..], &["status", "set", "idle"], &["job", "claim"]] {
        let run = bob.run(refused.iter().copied());
        assert_eq!(run.exit_code(), Some(4), "{refused:?}: {run}");
        assert!(run.stderr().contains("git muster join"), "{refused:?} says what to do: {run}");
    }
    assert_eq!(inspect::log(fleet.hub(), MAIN).len(), before, "nothing was written");
}

/// A command that ends with each code, and what brings it about.
#[test]
fn every_exit_code_is_what_the_table_says_and_with_json_the_error_is_json() {
    let (fleet, ada, _bob) = member_and_stranger();
    let job = ada.run(["job", "add", "--type", "build"]).success().stdout().trim().to_owned();
    ada.run(["job", "claim"]).success();
    ada.run(["lock", "acquire", "deploy"]).success();
    fleet.server("carol").run(["lock", "acquire", "other"]).success();
    let away = ada.directory().join("away.git");
    let nowhere = away.to_str().unwrap();
    let cases: [(&[&str], i32); 9] = [
        (&["fence", "check", "--name", "a", "--token", "1", "--state", "nowhere/state.json"], 1),
        (&["job", "show", "job_none"], 3),
        (&["job", "claim"], 3),
        (&["lock", "acquire", "other"], 4),
        (&["job", "complete", &job, "--token", "2"], 5),
        (&["lock", "renew", "deploy", "--token", "9"], 5),
        (&["--hub", nowhere, "job", "list"], 7),
        (&["message", "send", "--to", "nobody", "--subject", "x"], 3),
        (&["job", "wait", &job, "--wait", "0s"], 75),
    ];
    let ends = |arguments: &[&str], code: i32| {
        let plain = ada.run(arguments.iter().copied());
        assert_eq!(plain.exit_code(), Some(code), "{plain}");
        let run = ada.run(arguments.iter().copied().chain(["--json"]));
        assert_eq!(run.exit_code(), Some(code), "{run}");
        let line = run.stderr().lines().find(|line| !line.is_empty());
        assert_eq!(line.is_some(), !plain.stderr().is_empty(), "{run}");
        if let Some(line) = line {
            let error: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| run.fail("no JSON"));
            assert_eq!((&error["kind"], &error["exit_code"]), (&"error".into(), &code.into()), "{run}");
            assert!(error["error"].is_string() && error["hints"].is_array(), "{run}");
        }
    };
    cases.iter().for_each(|(arguments, code)| ends(arguments, *code));
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    ends(&["--hub-timeout", "2s", "job", "add", "--type", "build"], 9);
    ada.run(["no-such-verb"]).code(2);
    let mut nobody = fleet.host("nobody");
    nobody.unset("MUSTER_SERVER");
    nobody.run(["--hub", &fleet.hub().url(), "heartbeat"]).code(78);
}

#[test]
fn the_table_of_exit_codes_is_the_programs_own() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once("## Exit codes").unwrap();
    let rows = rest.lines().filter_map(|line| line.strip_prefix("| "));
    // The page says more of each, and begins with the same word.
    let word = |meaning: &str| {
        let mut words = meaning.split(|c: char| !c.is_alphabetic()).filter(|word| *word != "the");
        words.next().unwrap_or_default().to_owned()
    };
    let told: Vec<(u8, String)> = rows
        .filter_map(|row| row.split_once(" | "))
        .filter_map(|(code, meaning)| Some((code.parse().ok()?, word(meaning))))
        .collect();
    let own = git_muster::inside::Exit::ALL.iter().map(|(exit, meaning)| (exit.code(), word(meaning)));
    assert_eq!(told, own.collect::<Vec<_>>());
}

#[test]
fn the_demonstration_shows_all_of_it_and_touches_nothing_else() {
    let fleet = Fleet::new();
    let host = fleet.host("visitor");
    let folder = host.directory().join("demo");
    // The visitor's home, and the folders of configuration, state, data and cache beside it.
    let everything = || {
        let list = host.program("find").args([host.directory().parent().unwrap(), "-path".as_ref(), &folder]);
        list.args(["-prune", "-o", "-print"]).run().success().stdout().to_owned()
    };
    let before = everything();
    let run = host.command(["demo"]).args([&folder]).run().success();
    assert_eq!(everything(), before, "all that is the visitor's is as it was");
    for told in ["build1 works on", "build2", "build3", "job complete: ", "lock acquire: ", "message send: "]
    {
        assert!(run.stdout().contains(told), "the demonstration does not show `{told}`\n{run}");
    }
    // One claims while another has a job: the oldest line is the last.
    let (mut at_work, mut most) = (0, 0);
    for line in run.stdout().lines().rev() {
        at_work += i32::from(line.contains(" job claim: ")) - i32::from(line.contains(" job complete: "));
        most = most.max(at_work);
    }
    assert!(most >= 2, "no two servers are at work at the same time\n{run}");
    let clones = ["build1", "build2", "build3"].map(|server| folder.join(server));
    clones.iter().for_each(|clone| inspect::assert_clone_is_clean(clone));
    host.command(["demo"]).args([&folder]).run().code(1);
}

#[test]
fn a_heartbeat_adds_nothing_to_the_history_of_main() {
    for transport in [Transport::Path, Transport::Daemon] {
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.server("ada");
        ada.run(["heartbeat"]).success();
        let before = inspect::log(fleet.hub(), MAIN);
        // What is written twice within a second may say the same and be no commit.
        for minute in 0..3 {
            let clock = format!("2999-01-01T00:0{minute}:00Z");
            ada.command(["heartbeat"]).env("MUSTER_CLOCK", clock).run().success();
        }
        assert_eq!(inspect::log(fleet.hub(), MAIN), before);
    }
}

/// A host on which nothing says which hub and which name, but what `join` wrote.
fn user(fleet: &Fleet) -> Host {
    let mut user = fleet.host("user");
    user.unset("MUSTER_HUB");
    user.unset("MUSTER_SERVER");
    user
}

/// The servers of the hub at `address`.
fn servers(host: &Host, address: &str) -> Vec<String> {
    let listed = host.run(["--hub", address, "servers", "list", "--json"]).success().json();
    let servers = listed.as_array().unwrap().iter();
    servers.map(|server| server["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_second_join_replaces_hub_and_name_and_leaves_the_first_hub_as_it_was() {
    let (first, second) = (Fleet::new().founded(), Fleet::new().founded());
    let user = user(&first);
    let (first, second) = (first.hub().url(), second.hub().url());
    user.run(["join", &first, "--as", "one"]).success();
    user.run(["join", &second, "--as", "two"]).success();
    let here = user.run(["config", "where", "--json"]).success().json();
    assert_eq!(here["hub"], second.as_str(), "{here}");
    let job = user.run(["job", "add", "--", "true"]).success().stdout().trim().to_owned();
    user.run(["--hub", &second, "job", "show", &job]).success();
    user.run(["--hub", &first, "job", "show", &job]).code(3);
    assert_eq!(user.run(["job", "claim", "--json"]).success().json()["assigned_to"], "two");
    // The hub of before goes on, for whoever names it and the name there.
    user.run(["--hub", &first, "--server", "one", "heartbeat"]).success();
    assert_eq!((servers(&user, &first), servers(&user, &second)), (vec!["one".into()], vec!["two".into()]));
}

#[test]
fn a_hub_that_has_moved_is_followed_by_a_join_and_in_a_clone_by_its_remote() {
    let fleet = Fleet::new().founded();
    let user = user(&fleet);
    let hub = fleet.hub().url();
    let clone = user.directory().join("clone");
    user.run(["join", &hub, "--as", "ada"]).success();
    let job = user.run(["job", "add", "--", "true"]).success().stdout().trim().to_owned();
    let token = user.run(["job", "claim", "--json"]).success().json()["token"].to_string();
    user.git(["clone", "--quiet", &hub, &clone.display().to_string()]).success();

    let moved = user.directory().join("moved.git").display().to_string();
    fs::rename(&hub, &moved).unwrap();
    user.run(["heartbeat"]).code(7);
    user.command(["job", "list"]).current_dir(&clone).run().code(7);

    user.run(["join", &moved, "--as", "ada"]).success();
    user.run(["heartbeat"]).success();
    user.run(["job", "complete", &job, "--token", &token]).success();
    user.git(["-C", &clone.display().to_string(), "remote", "set-url", "origin", &moved]).success();
    let shown = user.command(["job", "show", &job, "--json"]).current_dir(&clone).run().success().json();
    assert_eq!(shown["status"], "completed", "{shown}");
}

#[test]
fn a_server_is_renamed_and_the_old_name_taken_out_once_its_jobs_are_finished() {
    let fleet = Fleet::new().founded();
    let user = user(&fleet);
    let hub = fleet.hub().url();
    user.run(["join", &hub, "--as", "old"]).success();
    let job = user.run(["job", "add", "--", "true"]).success().stdout().trim().to_owned();
    let token = user.run(["job", "claim", "--json"]).success().json()["token"].to_string();
    user.run(["join", &hub, "--as", "new"]).success();
    user.run(["heartbeat"]).success();
    user.run(["servers", "remove", "old"]).code(4);
    user.run(["--server", "old", "job", "complete", &job, "--token", &token]).success();
    user.run(["servers", "remove", "old"]).success();
    assert_eq!(servers(&user, &hub), ["new"]);
    user.run(["--server", "old", "heartbeat"]).code(4);
}

#[test]
fn who_joined_in_a_clone_beats_from_cron_which_starts_elsewhere_and_knows_nothing() {
    let fleet = Fleet::new().founded();
    let mut user = user(&fleet);
    let (hub, clone) = (fleet.hub().url(), user.directory().join("clone"));
    user.git(["clone", "--quiet", &hub, &clone.display().to_string()]).success();
    user.command(["join", &hub, "--as", "ada"]).current_dir(&clone).run().success();
    let programs = Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap().display().to_string();
    user.set("PATH", format!("{programs}:{}", user.place("PATH").display()));
    let cron = |line: &str| {
        let kept = ["HOME", "PATH"].map(|name| format!("{name}={}", user.place(name).display()));
        user.program("env").args(["-i"]).args(kept).args(["sh", "-c", line]).current_dir("/").run()
    };
    cron("git muster heartbeat").code(78);
    cron(&format!("git -C '{}' muster heartbeat", clone.display())).success();
}
