//! What `lock run` and `fence check` run: it does not outlive them, it has their terminal, and it ends
//! before another may hold the lock.

use crate::support::{Fleet, Host, eventually, need, send_signal};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

fn fleet_of_two() -> (Fleet, Host, Host) {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    (fleet, ada, bob)
}

/// A command of three processes, one in a session of its own and one deaf, all of which hold `file` open for
/// reading until they end.
fn tree(host: &Host, file: &str) -> (String, PathBuf) {
    let path = host.directory().join(file);
    fs::write(&path, "").unwrap();
    let shown = path.display();
    let script =
        format!("exec 9<{shown}; setsid sleep 600 & (trap '' TERM; exec sleep 600) & echo begun; sleep 600");
    (script, path)
}

/// Whether a process has `file` open.
fn is_in_use(file: &PathBuf) -> bool {
    let open =
        |process: fs::DirEntry| fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
    let mut files = fs::read_dir("/proc").unwrap().flatten().flat_map(open);
    files.any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == *file))
}

#[test]
fn a_command_ends_with_all_its_processes_when_what_ran_it_is_killed() {
    let (_fleet, ada, _) = fleet_of_two();
    let state = ada.directory().join("fence.json");
    let fence = ["fence", "check", "--name", "x", "--token", "1", "--state", state.to_str().unwrap()];
    let lock = ["lock", "run", "x", "--ttl", "10m"];
    for (number, words) in [&fence[..], &lock].into_iter().enumerate() {
        let (script, file) = tree(&ada, &format!("tree{number}"));
        let words = words.iter().copied().chain(["--", "sh", "-c", script.as_str()]);
        let mut running = ada.command(words).spawn();
        running.wait_for_stdout("begun");
        assert!(is_in_use(&file));
        running.signal("KILL");
        running.wait().killed_by(9);
        eventually(BOUND, || !is_in_use(&file));
    }
    // The next check waits until what the killed one ran is gone.
    let (script, file) = tree(&ada, "tree2");
    let mut running = ada.command(fence.into_iter().chain(["--", "sh", "-c", script.as_str()])).spawn();
    running.wait_for_stdout("begun");
    running.signal("KILL");
    running.wait().killed_by(9);
    ada.run(fence.into_iter().chain(["--", "true"])).success();
    assert!(!is_in_use(&file));
}

#[test]
fn a_check_that_is_asked_to_end_ends_after_its_command_and_with_its_code() {
    let (_fleet, ada, _) = fleet_of_two();
    let state = ada.directory().join("fence.json");
    let fence = ["fence", "check", "--name", "x", "--token", "1", "--state", state.to_str().unwrap()];
    let script = "trap 'echo cleaned up; exit 7' TERM; echo begun; while :; do sleep 0.1; done";
    let mut running = ada.command(fence.into_iter().chain(["--", "sh", "-c", script])).spawn();
    running.wait_for_stdout("begun");
    running.signal("TERM");
    let run = running.wait().code(7);
    assert!(run.stdout().ends_with("cleaned up\n"), "{run}");
    // One that leaves its end to the signal ends as a shell tells it.
    let mut running =
        ada.command(fence.into_iter().chain(["--", "sh", "-c", "echo begun; exec sleep 600"])).spawn();
    running.wait_for_stdout("begun");
    running.signal("TERM");
    running.wait().code(143);
}

#[test]
fn a_command_ends_before_another_holds_the_lock_although_lock_run_stands_still() {
    let (_fleet, ada, bob) = fleet_of_two();
    let (script, file) = tree(&ada, "tree");
    let mut running = ada.command(["lock", "run", "x", "--ttl", "9s", "--", "sh", "-c", &script]).spawn();
    running.wait_for_stdout("begun");
    running.signal("STOP");
    bob.run(["lock", "acquire", "x", "--ttl", "10m", "--wait", "1m"]).success();
    assert!(!is_in_use(&file), "its guard has ended it");
    running.signal("CONT");
    let run = running.wait().code(5);
    assert!(run.stderr().contains("could not be renewed in time; the command was stopped"), "{run}");
}

#[test]
fn a_command_whose_guard_is_killed_is_stopped_and_the_lock_is_free() {
    let (_fleet, ada, bob) = fleet_of_two();
    let script = "trap '' TERM; echo $PPID; sleep 600; sleep 600";
    let mut running = ada.command(["lock", "run", "x", "--", "sh", "-c", script]).spawn();
    running.wait_for_stdout("\n");
    assert!(send_signal("KILL", running.stdout().trim()));
    let run = running.wait().code(1);
    assert!(run.stderr().contains("the supervisor was killed; the command was stopped"), "{run}");
    bob.run(["lock", "acquire", "x"]).success();
}

/// The parent of a process.
fn parent(id: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn a_lock_is_not_free_before_what_a_nested_lock_run_started_has_ended() {
    let (_fleet, ada, bob) = fleet_of_two();
    for killed in ["the guard of the outer one", "the inner one"] {
        let file = ada.directory().join(killed);
        fs::write(&file, "").unwrap();
        let script = format!("trap '' TERM; exec 9<'{}'; echo $PPID; sleep 600; sleep 600", file.display());
        let words = ["lock", "run", "outer", "--", env!("CARGO_BIN_EXE_git-muster"), "lock", "run", "inner"];
        let mut running = ada.command(words.into_iter().chain(["--", "sh", "-c", &script])).spawn();
        running.wait_for_stdout("\n");
        let inner = parent(running.stdout().trim());
        let process = if killed == "the inner one" { inner } else { parent(&inner) };
        assert!(send_signal("KILL", &process));
        bob.run(["lock", "acquire", "outer", "--wait", "1m"]).success();
        assert!(!is_in_use(&file), "{killed}: it ran under a lock that another has");
        drop(running.wait());
        bob.run(["lock", "release", "outer", "--token", &token(&bob, "outer")]).success();
        let token = token(&ada, "inner");
        ada.run(["lock", "release", "inner", "--token", &token]).success();
    }
}

fn token(host: &Host, lock: &str) -> String {
    host.run(["lock", "show", lock, "--json"]).success().json()["token"].to_string()
}

#[test]
fn a_renewal_that_the_hub_refuses_is_tried_again_while_the_lease_is_trusted() {
    let (fleet, ada, _) = fleet_of_two();
    fleet.hub().install_hook(
        "update",
        "#!/bin/sh\ngit log -1 --format=%s $3 | grep -q 'lock renew' || exit 0\n\
         [ -e once ] && { touch twice; exit 0; }\ntouch once; echo 'try again later' >&2; exit 1\n",
    );
    let renewed = fleet.hub().path().join("twice");
    let script = format!("while [ ! -e '{}' ]; do sleep 0.05; done; echo finished", renewed.display());
    let run = ada.run(["lock", "run", "x", "--ttl", "12s", "--", "sh", "-c", &script]).success();
    assert_eq!(run.stdout(), "finished\n");
    assert!(run.stderr().contains("lock `x` was not renewed"), "{run}");
    assert!(run.stderr().contains("try again later"), "{run}");
}

#[test]
fn a_renewal_below_lock_run_does_not_shorten_its_lease() {
    let (_fleet, ada, _) = fleet_of_two();
    let script = r#""$M" lock renew x --ttl 2s && "$M" lock show x --json"#;
    let run = ada.command(["lock", "run", "x", "--ttl", "1m", "--", "sh", "-c", script]);
    let run = run.env("M", env!("CARGO_BIN_EXE_git-muster")).run().success();
    assert!(run.stdout().contains(r#""lease_seconds": 60"#), "{run}");
    assert!(format!("{run}").contains("renewed for 1m; a renewal never shortens the lease"), "{run}");
}

#[test]
fn what_a_command_left_behind_when_it_ended_by_itself_goes_on() {
    let (_fleet, ada, bob) = fleet_of_two();
    let (left, go) = (ada.directory().join("left"), ada.directory().join("go"));
    let script = format!(
        "(while [ ! -e {} ]; do sleep 0.02; done; echo >{}) >/dev/null 2>&1 &",
        go.display(),
        left.display()
    );
    ada.run(["lock", "run", "x", "--", "sh", "-c", &script]).success();
    bob.run(["lock", "acquire", "x"]).success();
    fs::write(&go, "").unwrap();
    eventually(BOUND, || left.exists());
}

/// `script` gives it a terminal.
#[test]
fn a_command_reads_from_the_terminal_and_its_exit_code_is_told() {
    if !need::is_here(&["script"]) {
        return;
    }
    let (_fleet, ada, _) = fleet_of_two();
    let program = env!("CARGO_BIN_EXE_git-muster");
    for (command, code) in [("read x; echo got $x; exit 7", 7), ("kill -TERM $$", 143)] {
        let line = format!("{program} lock run x -- sh -c '{command}'");
        let run = ada.program("script").args(["-qec", &line, "/dev/null"]).stdin("hello\n").run().code(code);
        assert_eq!(run.stdout().contains("got hello"), code == 7, "{run}");
    }
    // The input is the command's also where it is no terminal.
    let run = ada.command(["lock", "run", "x", "--", "cat"]).stdin("hello\n").run().success();
    assert_eq!(run.stdout(), "hello\n");
}
