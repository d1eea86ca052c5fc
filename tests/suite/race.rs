//! Races: many want one thing, and exactly one gets it; holders that die, and who comes after them.
//!
//! Times are lower bounds that the rules promise ("not before its lease is over") or generous upper
//! bounds; nothing here is asserted to be fast.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Fleet, Host, MAIN, Run, Transport, eventually, inspect, wait_for};

const CONTENDERS: usize = 8;
const ROUNDS: usize = 100;

/// How long something that is promised may take on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

fn contenders(fleet: &Fleet) -> Vec<Host> {
    (1..=CONTENDERS).map(|number| fleet.server(&format!("build{number}"))).collect()
}

/// Runs `race` on every host at the same time and returns what came of it.
fn at_once<T: Send>(hosts: &[Host], race: impl Fn(&Host) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(hosts.len());
    thread::scope(|scope| {
        let run = |host| {
            let (start, race) = (&start, &race);
            scope.spawn(move || {
                start.wait();
                race(host)
            })
        };
        let threads: Vec<_> = hosts.iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn add_job(host: &Host, more: &[&str]) -> String {
    host.command(["job", "add", "--type", "race"]).args(more).run().success().stdout().trim().to_owned()
}

fn row(fleet: &Fleet, document: &str, table: &str, id: &str) -> Value {
    let document = inspect::document(fleet.hub(), MAIN, document);
    let rows = document[table].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no {id} in {document}")).clone()
}

fn job(fleet: &Fleet, id: &str) -> Value {
    row(fleet, "coordination/jobs.json", "jobs", id)
}

fn lock(fleet: &Fleet, name: &str) -> Value {
    inspect::document(fleet.hub(), MAIN, "coordination/locks.json")["locks"][name].clone()
}

fn subjects(fleet: &Fleet) -> Vec<String> {
    inspect::log(fleet.hub(), MAIN).into_iter().map(|commit| commit.subject).collect()
}

#[test]
fn exactly_one_of_eight_gets_a_job_a_hundred_times() {
    let fleet = Fleet::over(Transport::Path).founded();
    let hosts = contenders(&fleet);
    for round in 0..ROUNDS {
        let id = add_job(&hosts[round % CONTENDERS], &[]);
        let runs = at_once(&hosts, |host| host.run(["job", "claim", "--json"]));
        let (won, lost): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.exit_code() == Some(0));
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        let claimed = won[0].json();
        assert_eq!((claimed["id"].as_str(), claimed["token"].as_u64()), (Some(id.as_str()), Some(1)));
        assert_eq!(job(&fleet, &id)["assigned_to"], claimed["assigned_to"]);
        for run in lost {
            drop(run.code(3));
        }
    }
    let claims = subjects(&fleet).iter().filter(|subject| subject.starts_with("job claim: ")).count();
    assert_eq!(claims, ROUNDS);
    inspect::assert_hub_is_sound(fleet.hub());
}

/// Two clones that even call themselves the same: nothing but the operation ids tells their commits apart.
fn twins(fleet: &Fleet) -> [Host; 2] {
    let mut twins = ["left", "right"].map(|place| fleet.host_in_clone(place));
    for twin in &mut twins {
        twin.set("MUSTER_SERVER", "twin");
    }
    twins[0].run(["join", "--as", "twin"]).success();
    twins
}

/// Whether two commits with this subject bear the same time.
fn in_the_same_second(fleet: &Fleet, subject: &str) -> bool {
    let log = fleet.hub().git(["log", "--format=%ct %s", MAIN]);
    let mut seconds = BTreeSet::new();
    log.lines().filter(|line| line.ends_with(subject)).any(|line| !seconds.insert(line.split(' ').next()))
}

fn same_change_twice(transport: Transport, rounds: usize) {
    let fleet = Fleet::over(transport).founded();
    let twins = twins(&fleet);
    for round in 0..rounds {
        let subject = format!("round {round}");
        let before = inspect::log(fleet.hub(), MAIN).len();
        let message = ["message", "send", "--to", "all", "--subject", &subject];
        let ids: BTreeSet<String> = at_once(&twins, |twin| twin.run(message))
            .into_iter()
            .map(|run| run.success().stdout().to_owned())
            .collect();
        assert_eq!(ids.len(), 2, "two messages were acknowledged, so there are two");
        assert_eq!(inspect::log(fleet.hub(), MAIN).len(), before + 2, "and two commits");

        let name = format!("lock{round}");
        let codes = at_once(&twins, |twin| twin.run(["lock", "acquire", &name]).exit_code());
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        assert!(codes.contains(&Some(4)), "{codes:?}");

        let id = add_job(&twins[0], &[]);
        let codes = at_once(&twins, |twin| twin.run(["job", "claim"]).exit_code());
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        assert!(codes.contains(&Some(3)), "{codes:?}");
        assert_eq!(job(&fleet, &id)["token"], 1);
    }
    let shared = (0..rounds).any(|round| in_the_same_second(&fleet, &format!("twin to all: round {round}")));
    assert!(shared, "no pair of commits fell into one second: the test proved nothing");
    let ops = inspect::ops_in_history(fleet.hub(), MAIN);
    assert!(ops.values().all(|count| *count == 1), "{ops:?}");
    assert_eq!(ops.len(), inspect::log(fleet.hub(), MAIN).len());
    for twin in &twins {
        inspect::assert_clone_is_clean(twin.directory());
    }
}

#[test]
fn the_same_change_in_the_same_second_by_path() {
    same_change_twice(Transport::Path, 8);
}

#[test]
fn the_same_change_in_the_same_second_over_ssh() {
    same_change_twice(Transport::Ssh, 2);
}

#[test]
fn a_lock_has_one_holder_at_a_time_and_each_term_a_higher_token() {
    const TERMS: usize = 3;
    let fleet = Fleet::over(Transport::Path).founded();
    let hosts = contenders(&fleet);
    let holders = AtomicUsize::new(0);
    let last = AtomicUsize::new(0);
    // Nobody waits for a lock that a thread that failed may hold.
    let failed = AtomicBool::new(false);
    let tokens = at_once(&hosts, |host| {
        let mut tokens = Vec::new();
        while tokens.len() < TERMS && !failed.load(Ordering::SeqCst) {
            // Half of them wait inside the command, the others come back until it is free.
            let wait: &[&str] = if host.name() < "build5" { &["--wait", "1m"] } else { &[] };
            let run = host.command(["lock", "acquire", "gate"]).args(wait).bound(BOUND).run();
            if run.exit_code() == Some(4) {
                continue;
            }
            let token = run.success().stdout().trim().to_owned();
            let is_alone = holders.fetch_add(1, Ordering::SeqCst) == 0;
            let number: usize = token.parse().unwrap();
            let grows = last.swap(number, Ordering::SeqCst) < number;
            let is_alone = holders.fetch_sub(1, Ordering::SeqCst) == 1 && is_alone;
            let released = host.run(["lock", "release", "gate", "--token", &token]);
            let is_right = is_alone && grows && released.exit_code() == Some(0);
            failed.fetch_or(!is_right, Ordering::SeqCst);
            assert!(is_right, "token {number}: alone {is_alone}, higher than the last {grows}, {released}");
            tokens.push(number);
        }
        tokens
    });
    let mut tokens: Vec<usize> = tokens.into_iter().flatten().collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=CONTENDERS * TERMS).collect::<Vec<_>>());
    assert_eq!(lock(&fleet, "gate")["token"], CONTENDERS * TERMS);
}

#[test]
fn the_lock_of_a_dead_holder_is_taken_over_after_its_lease_and_not_before() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let token = |run: Run| run.success().stdout().trim().to_owned();
    assert_eq!(token(ada.run(["lock", "acquire", "gate", "--ttl", "2s"])), "1");
    // A holder that renews is not dead, however long it holds.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        bob.run(["lock", "acquire", "gate"]).code(4);
        ada.run(["lock", "renew", "gate", "--token", "1"]).success();
    }
    let dead = Instant::now();
    assert_eq!(token(bob.command(["lock", "acquire", "gate", "--wait", "1m"]).bound(BOUND).run()), "2");
    assert!(dead.elapsed() >= Duration::from_secs(2), "taken over after {:?}", dead.elapsed());
    assert_eq!(lock(&fleet, "gate")["locked_by"], "bob");
    for verb in ["renew", "release"] {
        ada.run(["lock", verb, "gate", "--token", "1"]).code(5);
    }
    ada.run(["--if-lock", "gate=1", "job", "add", "--type", "build"]).code(5);
    bob.run(["--if-lock", "gate=2", "job", "add", "--type", "build"]).success();
}

#[test]
fn an_assignment_in_the_seeds_format_is_respected_until_it_was_watched_for_its_lease() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    add_job(&ada, &[]);
    add_job(&ada, &[]);
    // Long over by our clock, which says nothing: the writer's may be years behind.
    let held = |seconds: &str| {
        json!({"locks": {"job_assignment": {
            "locked_by": "build9", "locked_at": "2020-01-01T00:00:00Z", "expires_at": format!("2020-01-01T00:{seconds}Z"),
        }}})
    };
    let put = |lock: &Value| {
        let text = format!("{lock:#}\n");
        fleet.hub().put(MAIN, &[("coordination/locks.json", &text)], "an old script assigns");
    };
    put(&held("10:00"));
    let refused = bob.run(["job", "claim"]).code(4);
    assert!(refused.stderr().contains("`job_assignment` is held by `build9`"), "{refused}");

    put(&held("00:03"));
    let start = Instant::now();
    let claimed = wait_for(BOUND, || {
        let run = bob.run(["job", "claim", "--json"]);
        if run.exit_code() == Some(4) { None } else { Some(run.success().json()) }
    });
    assert!(start.elapsed() >= Duration::from_secs(3), "claimed after {:?}", start.elapsed());
    assert_eq!(claimed.unwrap()["assigned_to"], "bob");
    assert_eq!(lock(&fleet, "job_assignment")["locked_by"], Value::Null);
    ada.run(["job", "claim"]).success();
}

/// The first server beats once a second, claims and dies; the second takes the job over.
fn rescue(transport: Transport) {
    let fleet = Fleet::over(transport).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let mut beating = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
    eventually(BOUND, || fleet.hub().tip("heartbeat-ada").is_some());
    let id = add_job(&bob, &[]);
    ada.run(["job", "claim"]).success();
    bob.run(["job", "claim"]).code(3);
    beating.signal("KILL");
    beating.wait().killed_by(9);
    let beat = || inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    let last = beat();
    assert_eq!(last["interval_seconds"], 1);

    let dead = Instant::now();
    let claimed = wait_for(BOUND, || {
        // Over a network a waiting claim looks every few seconds; coming again is the same to the rules.
        let wait: &[&str] = if transport == Transport::Path { &["--wait", "1m"] } else { &[] };
        let run = bob.command(["job", "claim", "--json"]).args(wait).bound(BOUND).run();
        if run.exit_code() == Some(3) { None } else { Some(run.success().json()) }
    });
    // Four missed beats are a lease; the one before the death counts.
    assert!(dead.elapsed() >= Duration::from_secs(3), "taken over after {:?}", dead.elapsed());
    let claimed = claimed.unwrap();
    assert_eq!((claimed["id"].as_str(), claimed["token"].as_u64()), (Some(id.as_str()), Some(2)));
    assert_eq!(job(&fleet, &id)["attempts"], 2);

    let rescued = format!("job rescue: {id} from ada (lost)");
    let log = inspect::log(fleet.hub(), MAIN);
    let step: Vec<_> =
        log.iter().filter(|commit| commit.body.contains(&rescued) || commit.subject == rescued).collect();
    assert_eq!(step.len(), 1, "{log:?}");
    // The session was ended in the same step: one operation, both branches.
    let end = &inspect::log(fleet.hub(), "heartbeat-ada")[0];
    let op = |commit: &inspect::Commit| commit.trailer("Muster-Op").map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(op(end), op(step[0]));
    assert!(beat()["revoked"].is_string(), "{}", beat());
    // A push that was under way when its process was killed may still have brought one more.
    assert!(beat()["sequence"].as_u64() <= last["sequence"].as_u64().map(|last| last + 1), "{}", beat());

    ada.run(["job", "complete", &id, "--token", "1"]).code(5);
    assert_eq!(job(&fleet, &id)["assigned_to"], "bob");
    // Killed when the hub has its beat, it learns nothing; so the next beat is told.
    ada.command(["heartbeat"]).env("MUSTER_FAILPOINT", "push").run().killed_by(9);
    let back = ada.run(["heartbeat"]).success();
    assert!(back.stderr().contains("session of `ada` was revoked"), "{back}");
    let again = ada.run(["heartbeat"]).success();
    assert!(!again.stderr().contains("was revoked"), "{again}");
    assert_eq!(beat()["revoked"], Value::Null);
    bob.run(["job", "complete", &id, "--token", "2"]).success();
}

#[test]
fn a_job_of_a_lost_server_is_rescued_and_its_late_report_refused() {
    Transport::each(&[Transport::Path, Transport::Ssh], rescue);
}
