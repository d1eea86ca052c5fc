//! What becomes of the claims of a session when another takes its place: after a reboot, between two
//! machines under one name, and when the sender of the heartbeats starts again.

use crate::support::{Fleet, Host, MAIN, Mount, Transport, eventually, inspect, wait_for};
use std::fs;
use std::time::{Duration, Instant};

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// What a session of beats every second is watched for, and more.
const PATIENCE: Duration = Duration::from_secs(6);

fn fleet_of(names: &[&str]) -> (Fleet, Vec<Host>) {
    let fleet = Fleet::new().founded();
    let hosts = names.iter().map(|name| fleet.server(name)).collect();
    (fleet, hosts)
}

/// Adds a job that `host` claims.
pub(super) fn claimed(host: &Host) -> String {
    let id = host.run(["job", "add", "--type", "build"]).success().stdout().trim().to_owned();
    host.run(["job", "claim", &id]).success();
    id
}

fn beat(host: &Host) {
    host.run(["heartbeat", "--interval", "1s"]).success();
}

/// Status and reason of a job.
fn situation(fleet: &Fleet, id: &str) -> (String, Option<String>) {
    let job = inspect::job(fleet.hub(), id);
    (job["status"].as_str().unwrap().to_owned(), job["reason"].as_str().map(str::to_owned))
}

pub(super) fn is_lost(fleet: &Fleet, id: &str) -> bool {
    situation(fleet, id) == ("queued".to_owned(), Some("lost".to_owned()))
}

/// Nothing of what ran on `host` is there any more, and the kernel counts from zero.
fn reboot(host: &Host) {
    let state = host.session();
    let mut session: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    assert!(session["boot"].is_string(), "{session}");
    session["boot"] = "another boot".into();
    fs::write(&state, session.to_string()).unwrap();
}

#[test]
fn what_a_machine_held_before_it_booted_comes_back_and_what_it_holds_since_stays() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    beat(ada);
    let before = claimed(ada);
    reboot(ada);
    let since = claimed(ada);
    let mut beats = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
    // Whoever has nothing to claim watches: the other server, and the same one.
    let start = Instant::now();
    eventually(BOUND, || {
        drop(bob.run(["job", "claim"]));
        is_lost(&fleet, &before)
    });
    assert!(start.elapsed() > Duration::from_secs(4), "it was watched for its lease");
    assert_eq!(situation(&fleet, &since), ("claimed".to_owned(), None), "the session that lives holds it");
    let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    assert!(beat["earlier"][0]["revoked"].is_string() && beat["revoked"].is_null(), "{beat}");
    ada.run(["job", "complete", &since, "--token", "1"]).success();
    let late = ada.run(["job", "complete", &before, "--token", "1"]).code(5);
    assert!(late.stderr().contains("cannot complete job"), "{late}");
    beats.signal("TERM");
    beats.wait().success();
}

#[test]
fn a_server_alone_in_its_hub_gets_back_what_it_held_before_it_booted() {
    let (fleet, hosts) = fleet_of(&["ada"]);
    let ada = &hosts[0];
    beat(ada);
    let before = claimed(ada);
    reboot(ada);
    beat(ada);
    eventually(BOUND, || {
        drop(ada.run(["job", "claim"]));
        is_lost(&fleet, &before)
    });
}

/// A copied disk, or a name that was given twice.
#[test]
fn two_machines_under_one_name_lose_nothing_while_both_live() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    let mut copy = fleet.host("copy");
    copy.set("MUSTER_HUB", fleet.hub().url());
    copy.set("MUSTER_SERVER", "ada");
    beat(ada);
    beat(&copy);
    let (one, other) = (claimed(ada), claimed(&copy));
    let taken = wait_for(PATIENCE, || {
        for host in [ada, &copy] {
            beat(host);
        }
        // It sees the beats of the copy only.
        bob.run(["job", "claim"]).code(3);
        let all = [&one, &other].map(|id| situation(&fleet, id));
        all.iter().any(|(status, _)| status != "claimed").then_some(all)
    });
    assert_eq!(taken, None);
    ada.run(["job", "complete", &one, "--token", "1"]).success();
    // One of them is gone: only what it held comes back.
    eventually(BOUND, || {
        beat(ada);
        drop(bob.run(["job", "claim"]));
        is_lost(&fleet, &other)
    });
}

#[test]
fn what_a_script_claimed_outlives_a_new_start_of_the_heartbeats() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    let run = || ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
    let beats = || {
        let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
        beat["sequence"].as_u64().unwrap_or(0)
    };
    let mut first = run();
    eventually(BOUND, || inspect::branches(fleet.hub()).contains(&"heartbeat-ada".to_owned()));
    let id = claimed(ada);
    first.signal("TERM");
    first.wait().success();
    let before = beats();
    let mut second = run();
    eventually(BOUND, || beats() > before);
    let lost = wait_for(PATIENCE, || {
        bob.run(["job", "claim"]).code(3);
        (situation(&fleet, &id).0 != "claimed").then_some(())
    });
    assert_eq!(lost, None);
    // The same session speaks for it: when the machine dies, the claim goes with it.
    second.signal("KILL");
    second.wait().killed_by(9);
    eventually(BOUND, || {
        drop(bob.run(["job", "claim"]));
        is_lost(&fleet, &id)
    });
}

/// Makes `host` believe that all it has watched it saw a minute earlier.
pub(super) fn a_minute_passes(host: &Host) {
    let file = host.place("XDG_STATE_HOME").join("git-muster/observations.json");
    let mut seen: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for entry in seen["entries"].as_object_mut().unwrap().values_mut() {
        let since = entry["since_boot_millis"].as_u64().unwrap();
        entry["since_boot_millis"] = since.saturating_sub(60_000).into();
    }
    fs::write(&file, seen.to_string()).unwrap();
}

#[test]
fn what_a_dead_server_holds_comes_back_although_there_is_always_something_else_to_claim() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    let add = || bob.run(["job", "add", "--type", "test"]).success().stdout().trim().to_owned();
    for how in [&["--json"][..], &["--count", "2"], &["ID"]] {
        // The first one learns that its session was ended, the second is of the next.
        beat(ada);
        beat(ada);
        let held = claimed(ada);
        let [.., named] = [add(), add(), add(), add()];
        bob.run(["job", "claim"]).success();
        assert_eq!(situation(&fleet, &held).0, "claimed", "it was only seen");
        a_minute_passes(bob);
        let words = how.iter().map(|word| if *word == "ID" { named.as_str() } else { word });
        bob.run(["job", "claim"].into_iter().chain(words)).success();
        assert!(is_lost(&fleet, &held), "{how:?}: {:?}", situation(&fleet, &held));
        // Between two looks nothing is asked of the hub for that.
        let looks = fs::read(bob.place("XDG_STATE_HOME").join("git-muster/observations.json")).unwrap();
        bob.run(["job", "claim"]).success();
        let after = fs::read(bob.place("XDG_STATE_HOME").join("git-muster/observations.json")).unwrap();
        assert_eq!(looks, after);
        a_minute_passes(bob);
    }
}

/// What others may see of `id` unchanged for this many minutes while its server lives.
pub(super) fn stays_claimed(fleet: &Fleet, watcher: &Host, id: &str, minutes: u32) {
    for minute in 0..minutes {
        watcher.run(["job", "claim"]).code(3);
        assert_ne!(situation(fleet, id).0, "queued", "after {minute} minutes");
        a_minute_passes(watcher);
    }
}

#[test]
fn a_worker_is_judged_by_what_it_relies_on_whatever_else_beat_in_its_session() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    ada.run(["heartbeat", "--on-main", "--interval", "2s"]).success();
    let mut beats = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
    beats.wait_for_stdout("beat");
    let id =
        bob.run(["job", "add", "--type", "t", "--", "sleep", "600"]).success().stdout().trim().to_owned();
    let mut worker = ada.command(["worker", "run", "--allow-any", "--interval", "30"]).spawn();
    eventually(BOUND, || situation(&fleet, &id).0 == "running");
    // The other sender leaves it to the worker.
    eventually(BOUND, || beats.stderr().contains("sends its heartbeats while it runs"));
    let at = |branch: &str| inspect::document(fleet.hub(), branch, "ada/heartbeat.json");
    let (branch, main) = (at("heartbeat-ada"), at(MAIN));
    assert_eq!((&branch["interval_seconds"], &main["interval_seconds"]), (&30.into(), &2.into()));
    assert_eq!(branch["incarnation"], main["incarnation"]);
    worker.signal("STOP");
    // A copy that says two seconds would be over after ten, and the worker trusts its own for two minutes.
    stays_claimed(&fleet, bob, &id, 2);
    worker.signal("CONT");
    eventually(BOUND, || {
        worker.signal("TERM");
        worker.has_ended()
    });
    assert!(worker.stderr().contains("asked to end"));
    worker.wait().success();
    beats.signal("TERM");
    beats.wait().success();
}

#[test]
fn a_server_that_pushes_every_sixth_beat_is_not_taken_for_lost_between_two_pushes() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    for _ in 0..6 {
        ada.command(["heartbeat", "--interval", "20s"]).env("HEARTBEAT_PUSH_EVERY", "6").run().success();
    }
    assert!(inspect::branches(fleet.hub()).contains(&"heartbeat-ada".to_owned()), "the sixth is sent");
    let id = claimed(ada);
    bob.run(["job", "claim"]).code(3);
    // Two pushes are two minutes apart: a session of beats every 20 s would be lost after one and a half.
    for minute in 1..=4 {
        a_minute_passes(bob);
        bob.run(["job", "claim"]).code(3);
        assert_eq!(situation(&fleet, &id).0, "claimed", "{minute} minutes after the last push");
    }
    for _ in 0..8 {
        a_minute_passes(bob);
    }
    drop(bob.run(["job", "claim"]));
    assert!(is_lost(&fleet, &id), "it pushes no more");
}

/// The session of `host` as it keeps it, and as its last beat says.
fn sessions(fleet: &Fleet, host: &Host) -> [String; 2] {
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(host.session()).unwrap()).unwrap();
    let name = host.name();
    let beat =
        inspect::document(fleet.hub(), &format!("heartbeat-{name}"), &format!("{name}/heartbeat.json"));
    [kept, beat].map(|of| of["incarnation"].as_str().unwrap().to_owned())
}

#[test]
fn whoever_goes_on_beating_takes_the_session_that_its_host_has_now() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    for reads_state in [true, false] {
        beat(ada);
        let [first, _] = sessions(&fleet, ada);
        let mut sender = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
        sender.wait_for_stdout("beat");
        // It stands still, as a machine that sleeps, and its session is ended.
        sender.signal("STOP");
        let held = claimed(ada);
        eventually(BOUND, || {
            drop(bob.run(["job", "claim"]));
            a_minute_passes(bob);
            is_lost(&fleet, &held)
        });
        // A script is the first to learn of it.
        let of_script = reads_state.then(|| {
            beat(ada);
            beat(ada);
            sessions(&fleet, ada)[0].clone()
        });
        sender.signal("CONT");
        let sequence = || {
            let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
            beat["sequence"].as_u64().unwrap()
        };
        let before = sequence();
        eventually(BOUND, || sequence() > before + 2);
        let [kept, beating] = sessions(&fleet, ada);
        assert_eq!(kept, beating, "all of the host go on under one");
        assert_ne!(kept, first);
        assert!(of_script.is_none_or(|of_script| of_script == kept), "what the script claimed lives on");
        let since = claimed(ada);
        let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
        assert_eq!(beat["earlier"].as_array().unwrap().last().unwrap()["incarnation"], first, "{beat}");
        assert!(beat["revoked"].is_null(), "{beat}");
        ada.run(["job", "complete", &since, "--token", "1"]).success();
        sender.signal("TERM");
        sender.wait().success();
        bob.run(["job", "cancel", &held]).success();
    }
}

#[test]
fn processes_that_begin_at_one_time_begin_one_session() {
    let (fleet, hosts) = fleet_of(&["ada"]);
    let ada = &hosts[0];
    for _ in 0..3 {
        ada.run(["job", "add", "--type", "t"]).success();
    }
    let (file, another) = (ada.session(), "another process was first");
    let mut session: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    fs::remove_file(&file).unwrap();
    let lock = fs::File::create(file.with_extension("flock")).unwrap();
    lock.lock().unwrap();
    let lines = [&["heartbeat", "--interval", "1s"][..], &["job", "claim"]].repeat(3);
    let running: Vec<_> = lines.iter().map(|line| ada.command(line.iter()).spawn()).collect();
    // Each waits for the one that has begun.
    let waits = |pid: u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|file| fs::read_link(file.path()).ok()).any(|path| path.ends_with("ada.flock"))
    };
    eventually(BOUND, || running.iter().any(|one| waits(one.pid())));
    session["incarnation"] = another.into();
    fs::write(&file, session.to_string()).unwrap();
    drop(lock);
    running.into_iter().for_each(|one| drop(one.wait().success()));
    assert_eq!(sessions(&fleet, ada), [another, another]);
    let jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    for job in jobs["jobs"].as_array().unwrap() {
        assert_eq!(job["incarnation"], another, "{job}");
    }
}

#[test]
fn a_claim_that_is_resumed_is_of_the_session_of_now() {
    let (fleet, hosts) = fleet_of(&["ada"]);
    let ada = &hosts[0];
    beat(ada);
    let id = ada.run(["job", "add", "--type", "build"]).success().stdout().trim().to_owned();
    ada.command(["job", "claim"]).env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
    reboot(ada);
    beat(ada);
    let unsettled = ada.unsettled();
    ada.run(["op", "resume", unsettled[0]["op"].as_str().unwrap()]).success();
    let job = inspect::job(fleet.hub(), &id);
    let [kept, beating] = sessions(&fleet, ada);
    assert_eq!((&kept, &job["incarnation"]), (&beating, &kept.as_str().into()));
}

#[test]
fn what_is_resumed_says_of_its_server_what_is_so_now() {
    let fleet = Fleet::over(Transport::Daemon).founded();
    let ada = fleet.server("ada");
    beat(&ada);
    for line in [&["heartbeat", "--interval", "1s"][..], &["job", "add", "--type", "build"]] {
        ada.command(line).env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
        let op = ada.unsettled()[0]["op"].as_str().unwrap().to_owned();
        let file = ada.place("XDG_STATE_HOME").join(format!("git-muster/ops/{op}.json"));
        let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let said = match line[0] {
            "heartbeat" => &mut kept["operation"]["beat"],
            _ => &mut kept["envelope"]["beat"],
        };
        // As if that machine had been up for a thousand years, and stopped for good.
        said["uptime_seconds"] = (1_000_u64 * 365 * 24 * 3600).into();
        said["stopping"] = "it was asked to end".into();
        fs::write(&file, kept.to_string()).unwrap();
        reboot(&ada);
        ada.run(["heartbeat", "--interval", "10m"]).success();
        ada.run(["op", "resume", &op]).success();
        let [kept, beating] = sessions(&fleet, &ada);
        assert_eq!(kept, beating, "{line:?}");
        for branch in ["heartbeat-ada", MAIN] {
            let beat = inspect::document(fleet.hub(), branch, "ada/heartbeat.json");
            assert!(beat["uptime_seconds"].as_u64().unwrap() < 1_000 * 365, "{line:?} {branch}: {beat}");
            assert_eq!(beat["worker_stopped"], serde_json::Value::Null, "{line:?} {branch}: {beat}");
        }
        let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
        assert_eq!(beat["interval_seconds"], 600, "{line:?}: {beat}");
    }
}

#[test]
fn what_is_claimed_after_a_session_was_ended_and_before_its_server_beats_is_of_a_new_one() {
    let (fleet, hosts) = fleet_of(&["ada", "bob"]);
    let [ada, bob] = hosts.as_slice() else { panic!("two hosts") };
    beat(ada);
    let held = claimed(ada);
    // Suspended, or without a network, for long enough.
    bob.run(["job", "claim"]).code(3);
    a_minute_passes(bob);
    drop(bob.run(["job", "claim"]));
    assert!(is_lost(&fleet, &held));
    let id = ada.run(["job", "add", "--type", "next"]).success().stdout().trim().to_owned();
    // A dry run begins nothing, and says what would come of it.
    let sessions = fs::read(ada.session()).unwrap();
    let dry = ada.run(["--dry-run", "job", "claim", &id]).success();
    assert!(dry.stdout().contains(&id), "{dry}");
    assert_eq!(fs::read(ada.session()).unwrap(), sessions);
    // Where nothing can be kept one begins all the same, once for each command.
    if let Some(mount) = Mount::below(ada.session().parent().unwrap()) {
        mount.set_read_only(true);
        let claim = ada.run(["job", "claim", &id]).success();
        assert_eq!(claim.stderr().matches("a new session starts").count(), 1, "{claim}");
        ada.run(["job", "release", &id, "--token", "1"]).success();
    }
    let claim = ada.run(["job", "claim", &id]).success();
    assert!(claim.stderr().contains("a new session starts"), "{claim}");
    for minute in 0..4 {
        beat(ada);
        drop(bob.run(["job", "claim"]));
        assert_eq!(situation(&fleet, &id).0, "claimed", "after {minute} minutes");
        a_minute_passes(bob);
    }
    let token = inspect::job(fleet.hub(), &id)["token"].to_string();
    ada.run(["job", "complete", &id, "--token", &token]).success();
}
