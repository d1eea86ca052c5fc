//! Commands that are killed: at every step of the loop, and at any moment.
//!
//! Whatever was cut short, the next command works without repair, nothing happened twice, what was
//! acknowledged is there, and the clone around the command tells the truth again.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Fleet, Host, MAIN, Transport, eventually, inspect};

/// Kills at any moment: by path a command takes milliseconds, over ssh a good part of a second.
const KILLS_BY_PATH: u32 = 60;
const KILLS_OVER_SSH: u32 = 20;

/// Within this commands that come by have removed the locks that nobody holds.
const ABANDONED_WITHIN: Duration = Duration::from_secs(60);

/// A member of the hub, in a clone of it or without one.
fn member(fleet: &Fleet, name: &str, in_clone: bool) -> Host {
    if in_clone { fleet.server_in_clone(name) } else { fleet.server(name) }
}

fn commits_with(fleet: &Fleet, subject: &str) -> usize {
    inspect::log(fleet.hub(), MAIN).iter().filter(|commit| commit.subject == subject).count()
}

/// What the clone shows is what the hub has.
#[track_caller]
fn assert_clone_tells_the_truth(fleet: &Fleet, host: &Host) {
    inspect::assert_clone_is_clean(host.directory());
    let path = format!("{}/status.json", host.name());
    let shown = fs::read(host.directory().join(&path)).unwrap();
    assert_eq!(Some(shown), inspect::content(fleet.hub(), MAIN, &path), "{path}");
    let head = host.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    assert_eq!(Some(head), fleet.hub().tip(MAIN));
}

/// What a kill at a fail point must leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    Once,
}

#[cfg(debug_assertions)]
fn killed_at(transport: Transport, in_clone: bool) {
    let fleet = Fleet::over(transport).founded();
    let points = [
        ("read", Effect::None),
        ("commit", Effect::None),
        ("push", Effect::Once),
        ("refresh:2", Effect::Once),
    ];
    for (point, effect) in points {
        if point.starts_with("refresh") && !in_clone {
            continue;
        }
        let host = member(&fleet, &format!("at-{}", point.replace(':', "-")), in_clone);
        let subject = format!("status set: {} building", host.name());
        let set = |word: &str| host.command(["status", "set", word]);
        set("building").env("MUSTER_FAILPOINT", point).run().killed_by(9);
        let expected = usize::from(effect == Effect::Once);
        assert_eq!(commits_with(&fleet, &subject), expected, "{transport:?} {point}");
        let unsettled = host.unsettled();
        if let Some(op) = unsettled[0]["op"].as_str() {
            host.run(["op", "status", op]).code(if effect == Effect::Once { 0 } else { 3 });
        } else {
            assert_eq!(transport, Transport::Path, "{point}: only a path leaves nothing unsettled");
        }
        host.run(["message", "send", "--to", "all", "--subject", "next"]).success();
        assert_eq!(commits_with(&fleet, &subject), expected, "{transport:?} {point}");
        if in_clone {
            // The join made no status: a killed command that had no effect leaves none to show.
            if effect == Effect::None {
                set("idle").run().success();
            }
            assert_clone_tells_the_truth(&fleet, &host);
        }
        inspect::assert_hub_is_sound(fleet.hub());
    }
}

#[cfg(debug_assertions)]
#[test]
fn killed_at_any_step_by_path() {
    killed_at(Transport::Path, false);
    killed_at(Transport::Path, true);
}

#[cfg(debug_assertions)]
#[test]
fn killed_at_any_step_over_ssh() {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| killed_at(Transport::Ssh, false));
        killed_at(Transport::Ssh, true);
        other.join().unwrap();
    });
}

/// Runs a command that is killed before its push, then takes it up again by its op id.
#[cfg(debug_assertions)]
fn resumed(fleet: &Fleet, host: &Host, args: &[&str]) {
    host.command(args).env("MUSTER_FAILPOINT", "commit").run().killed_by(9);
    let ops = host.unsettled();
    let [op] = &ops.as_array().unwrap()[..] else { panic!("{args:?} left {ops}") };
    let op = op["op"].as_str().unwrap();
    host.run(["op", "status", op]).code(3);
    host.run(["op", "resume", op]).success();
    host.run(["op", "status", op]).success();
    assert_eq!(host.unsettled(), serde_json::json!([]));
    assert_eq!(inspect::ops_in_history(fleet.hub(), MAIN).get(op), Some(&1), "{args:?}");
}

#[cfg(debug_assertions)]
#[test]
fn what_a_shallow_clone_cannot_tell_is_not_done_again() {
    let fleet = Fleet::over(Transport::Path).founded();
    // With a hook the hub is pushed to, and an outcome can stay unknown.
    fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    let ada = member(&fleet, "ada", false);
    let send = ["message", "send", "--to", "all", "--subject", "once"];
    ada.command(send).env("MUSTER_FAILPOINT", "push").run().killed_by(9);
    let ops = ada.unsettled();
    let op = ops[0]["op"].as_str().unwrap();
    member(&fleet, "bob", false).run(["job", "add", "--type", "test"]).success();
    let url = format!("file://{}", fleet.hub().path().display());
    ada.git(["clone", "--quiet", "--depth", "1", &url, "shallow"]).success();
    let clone = ada.directory().join("shallow");
    let asked = |verb: &str| ada.command(["op", verb, op]).current_dir(&clone).run();
    for verb in ["status", "resume"] {
        let run = asked(verb).code(9);
        assert!(run.stderr().contains("git fetch --unshallow"), "{run}");
    }
    assert_eq!(inspect::ops_in_history(fleet.hub(), MAIN).get(op), Some(&1));
    ada.program("git").args(["fetch", "--quiet", "--unshallow"]).current_dir(&clone).run().success();
    asked("resume").success();
    assert_eq!(inspect::ops_in_history(fleet.hub(), MAIN).get(op), Some(&1));
    assert_eq!(ada.unsettled(), serde_json::json!([]));
}

#[cfg(debug_assertions)]
#[test]
fn every_verb_that_was_killed_can_be_resumed() {
    let fleet = Fleet::over(Transport::Path).founded();
    // With a hook the hub is pushed to, and an outcome can stay unknown.
    fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    let ada = fleet.host("ada");
    resumed(&fleet, &ada, &["join", "--as", "ada", "--label", "gpu"]);
    let resumed = |args: &[&str]| resumed(&fleet, &ada, args);
    resumed(&[
        "job",
        "add",
        "--type",
        "test",
        "--priority",
        "high",
        "--timeout",
        "5m",
        "--max-attempts",
        "2",
    ]);
    resumed(&["job", "claim"]);
    let jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    let job = jobs["jobs"][0]["id"].as_str().unwrap();
    resumed(&["job", "start", job, "--token", "1"]);
    resumed(&["job", "fail", job, "--token", "1", "--exit-code", "2"]);
    resumed(&["job", "retry", job]);
    resumed(&["job", "priority", job, "low"]);
    resumed(&["job", "cancel", job, "--reason", "superseded"]);
    resumed(&["lock", "acquire", "gate", "--ttl", "1m"]);
    resumed(&["lock", "renew", "gate", "--token", "1"]);
    resumed(&["lock", "steal", "gate", "--reason", "a test", "--force"]);
    resumed(&["lock", "release", "gate", "--token", "2"]);
    resumed(&["message", "send", "--to", "all", "--subject", "hello", "--ack"]);
    resumed(&["status", "set", "building"]);
    resumed(&["servers", "remove", "ada"]);
}

/// A killed process may leave the lock file of a ref that repeats what the hub has, and of an index. Those
/// of branches, which somebody may hold, are in `ref_locks`.
#[test]
fn lock_files_of_the_dead_are_removed() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (member(&fleet, "ada", false), member(&fleet, "bob", true));
        bob.run(["status", "set", "idle"]).success();
        let in_clone = bob.directory().join(".git");
        let mut locks = vec![in_clone.join("refs/remotes/origin/main.lock")];
        if transport == Transport::Ssh {
            let copies = ada.place("XDG_CACHE_HOME").join("git-muster/hubs");
            let mut copies = fs::read_dir(copies).unwrap().map(|entry| entry.unwrap().path());
            let copy = copies.find(|path| path.join("refs").is_dir()).unwrap();
            for copy in [&copy, &in_clone] {
                locks.push(copy.join("refs/muster/seen/main.lock"));
                locks.push(copy.join("refs/remotes/origin/heartbeat-ada.lock"));
            }
            locks.push(copy.join("refs/remotes/origin/main.lock"));
        }
        for lock in &locks {
            fs::create_dir_all(lock.parent().unwrap()).unwrap();
            fs::write(lock, "").unwrap();
        }
        fs::copy(in_clone.join("muster.index-mark"), in_clone.join("index.lock")).unwrap();
        for host in [&ada, &bob] {
            host.run(["job", "list"]).success();
            host.run(["status", "set", "building"]).success();
            host.run(["heartbeat"]).success();
        }
        // No command waits for those of the clone until they are known to be abandoned: a later one finds
        // them as they were.
        eventually(ABANDONED_WITHIN, || {
            for host in [&ada, &bob] {
                host.run(["status", "set", "building"]).success();
            }
            locks.iter().all(|lock| !lock.exists())
        });
        for host in [&ada, &bob] {
            host.run(["status", "set", "idle"]).success();
            host.run(["health"]).success();
        }
        assert_clone_tells_the_truth(&fleet, &bob);
        inspect::assert_hub_is_sound(fleet.hub());
    });
}

/// Kills commands at moments spread over `kills` parts of what one takes, and asks for a job after each.
fn killed_at_any_moment(transport: Transport, kills: u32) {
    let fleet = Fleet::over(transport).founded();
    let hosts = [member(&fleet, "ada", false), member(&fleet, "bob", true)];
    let mut acknowledged = BTreeSet::new();
    let mut add = |host: &Host| {
        let run = host.run(["job", "add", "--type", "test"]).success();
        assert!(acknowledged.insert(run.stdout().trim().to_owned()), "{run}");
    };
    let (mut cut, mut done) = (0, 0);
    for host in &hosts {
        let start = Instant::now();
        host.command(["status", "set", "idle"]).spawn().wait().success();
        let whole = start.elapsed();
        for kill in 0..kills / 2 {
            let word = if kill % 2 == 0 { "building" } else { "idle" };
            let mut command = host.command(["status", "set", word]).spawn();
            let start = Instant::now();
            // Not a sleep: milliseconds count, and the moment is what is tested.
            while start.elapsed() < whole * kill / (kills / 2) {
                std::hint::spin_loop();
            }
            command.signal("KILL");
            if command.wait().exit_code() == Some(0) {
                done += 1;
            } else {
                cut += 1;
            }
            add(host);
        }
    }
    assert!(cut >= kills / 4, "{cut} were cut short, {done} were done: the test proved little");
    let document = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    let jobs = document["jobs"].as_array().unwrap();
    let jobs: Vec<String> = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(jobs.len(), acknowledged.len());
    assert_eq!(jobs.into_iter().collect::<BTreeSet<_>>(), acknowledged);
    let ops = inspect::ops_in_history(fleet.hub(), MAIN);
    assert!(ops.values().all(|count| *count == 1), "{ops:?}");
    inspect::assert_hub_is_sound(fleet.hub());
    let clone = &hosts[1];
    clone.run(["status", "set", "idle"]).success();
    assert_clone_tells_the_truth(&fleet, clone);
}

/// Writers at the same time, and how many messages each sends.
const STORM_WRITERS: u32 = 4;
const STORM_MESSAGES: u32 = 25;

/// What a writer was told of its messages.
#[derive(Debug, Default)]
struct Told {
    sent: BTreeSet<String>,
    refused: BTreeSet<String>,
    killed: BTreeSet<String>,
}

/// Sends messages, of which about half are killed at a moment that `seed` decides.
fn send_under_a_killer(host: &Host, mut seed: u32) -> Told {
    let mut told = Told::default();
    let start = Instant::now();
    host.run(["message", "list"]).success();
    let whole = start.elapsed() * 2;
    for number in 0..STORM_MESSAGES {
        let subject = format!("{seed} {number}");
        let mut command = host.command(["message", "send", "--to", "all", "--subject", &subject]).spawn();
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if seed >> 31 == 0 {
            let (start, moment) = (Instant::now(), whole * (seed >> 16 & 0xff) / 256);
            while start.elapsed() < moment {
                std::hint::spin_loop();
            }
            command.signal("KILL");
        }
        let run = command.wait();
        match run.exit_code() {
            Some(0) => told.sent.insert(subject),
            Some(75) => told.refused.insert(subject),
            Some(9) | None => told.killed.insert(subject),
            _ => run.fail("neither sent nor killed"),
        };
    }
    told
}

/// Two writers share each host, and with it a copy of the hub, its lock and what is kept.
#[test]
fn a_storm_under_a_killer_loses_nothing_and_repeats_nothing() {
    let fleet = Fleet::over(Transport::Path).founded();
    fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    let hosts = [member(&fleet, "ada", false), member(&fleet, "bob", true)];
    let told: Vec<Told> = std::thread::scope(|scope| {
        let write = |number: u32| {
            let host = &hosts[usize::from(number % 2 == 1)];
            scope.spawn(move || send_under_a_killer(host, number))
        };
        let writers: Vec<_> = (0..STORM_WRITERS).map(write).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for host in &hosts {
        let unsettled = host.unsettled();
        for entry in unsettled.as_array().unwrap() {
            host.run(["op", "resume", entry["op"].as_str().unwrap()]).success();
        }
        host.run(["status", "set", "idle"]).success();
    }
    let document = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    let present = document["messages"].as_array().unwrap();
    let times = |subject: &str| present.iter().filter(|message| message["subject"] == subject).count();
    let (mut sent, mut killed) = (0, 0);
    for told in &told {
        assert!(told.sent.iter().all(|subject| times(subject) == 1), "{told:?}");
        assert!(told.refused.iter().all(|subject| times(subject) == 0), "{told:?}");
        assert!(told.killed.iter().all(|subject| times(subject) <= 1), "{told:?}");
        sent += told.sent.len();
        killed += told.killed.len();
    }
    assert!(sent > 0 && killed > 0, "{sent} sent, {killed} killed: the test proved little");
    assert!(inspect::ops_in_history(fleet.hub(), MAIN).values().all(|count| *count == 1));
    inspect::assert_hub_is_sound(fleet.hub());
    assert_clone_tells_the_truth(&fleet, &hosts[1]);
}

#[test]
fn killed_at_any_moment_by_path() {
    killed_at_any_moment(Transport::Path, KILLS_BY_PATH);
}

#[test]
fn killed_at_any_moment_over_ssh() {
    killed_at_any_moment(Transport::Ssh, KILLS_OVER_SSH);
}
