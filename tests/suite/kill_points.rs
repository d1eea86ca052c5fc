//! Commands that are killed: at every step of the loop, and at any moment.
//!
//! Whatever was cut short, the next command works without repair, nothing happened twice, what was
//! acknowledged is there, and the clone around the command tells the truth again.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Fleet, Host, MAIN, Transport, inspect};

/// Kills at any moment: by path a command takes milliseconds, over ssh a good part of a second.
const KILLS_BY_PATH: u32 = 60;
const KILLS_OVER_SSH: u32 = 20;

fn founded(transport: Transport) -> Fleet {
    let fleet = Fleet::over(transport);
    fleet.host("admin").run(["init", &fleet.hub().url()]).success();
    fleet
}

/// A member of the hub, in a clone of it or without one.
fn member(fleet: &Fleet, name: &str, in_clone: bool) -> Host {
    let host = if in_clone { fleet.host_in_clone(name) } else { fleet.host(name) };
    host.run(["join", &fleet.hub().url(), "--as", name]).success();
    host
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
    let fleet = founded(transport);
    let points =
        [("read", Effect::None), ("commit", Effect::None), ("push", Effect::Once), ("refresh", Effect::Once)];
    for (point, effect) in points {
        if point == "refresh" && !in_clone {
            continue;
        }
        let host = member(&fleet, &format!("at-{point}"), in_clone);
        let subject = format!("status set: {} building", host.name());
        let set = |word: &str| host.command(["status", "set", word]);
        set("building").env("MUSTER_FAILPOINT", point).run().killed_by(9);
        let expected = usize::from(effect == Effect::Once);
        assert_eq!(commits_with(&fleet, &subject), expected, "{transport:?} {point}");
        if let Some(op) =
            host.run(["op", "list"]).success().stdout().split(' ').next().filter(|op| !op.is_empty())
        {
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
    killed_at(Transport::Ssh, false);
    killed_at(Transport::Ssh, true);
}

/// Kills commands at moments spread over `kills` parts of what one takes, and asks for a job after each.
fn killed_at_any_moment(transport: Transport, kills: u32) {
    let fleet = founded(transport);
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
                done += 1
            } else {
                cut += 1
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

#[test]
fn killed_at_any_moment_by_path() {
    killed_at_any_moment(Transport::Path, KILLS_BY_PATH);
}

#[test]
fn killed_at_any_moment_over_ssh() {
    killed_at_any_moment(Transport::Ssh, KILLS_OVER_SSH);
}
