//! Hosts whose clocks are hours apart, and whose clocks run too fast or too slow, by libfaketime.
//!
//! What this proves: no decision compares the wall clocks of two hosts, and with boot clocks that
//! run within what the rules promise (1 % off) nobody takes a lock while another trusts it.
//! libfaketime fakes the boot clock like the wall clock, unless it is told to leave all but the wall
//! clock alone; the last test shows that its rate reaches the boot clock. What it does not: the rate
//! counts from the start of each process, so only a command that waits lives by a clock that drifts,
//! the clock of a host does not; and the boot id stays that of this machine. Clocks that drift for hours
//! and jump are in the simulator.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Fleet, Host, MAIN, eventually, inspect, need};

/// What is faked: a name, libfaketime's words, and whether the wall clock is all of it.
const CLOCKS: [(&str, &str, bool); 6] = [
    ("true", "+0", true),
    ("ahead", "+5h", true),
    ("behind", "-26h", true),
    ("elsewhere", "+400d", false),
    ("fast", "+0 x1.01", false),
    ("slow", "+0 x0.99", false),
];

/// The lease, and how long its holder trusts it: a third less.
const LEASE: &str = "3s";
const TRUST: Duration = Duration::from_secs(2);

/// The most by which a clock may be slow: so much longer its host trusts a lease.
const SLOWEST: f64 = 0.99;

/// How many terms each host holds; it dies in every second.
const TERMS: usize = 3;

/// How long all of it may take on a busy machine.
const BOUND: Duration = Duration::from_secs(300);

/// The library, or `None` where it is not installed.
fn library() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    ];
    let mut places = folders.iter().map(|folder| PathBuf::from(folder).join("faketime/libfaketime.so.1"));
    let found = places.find(|place| place.is_file());
    need::has(found.is_some(), "apt-get install faketime").then_some(())?;
    found
}

/// A fleet of hosts with such clocks.
fn fleet(clocks: &[(&str, &str, bool)]) -> Option<(Fleet, Vec<Host>)> {
    let library = library()?;
    let fleet = Fleet::new().founded();
    let host = |(name, fake, wall_only): &(&str, &str, bool)| {
        let mut host = fleet.host(name);
        host.set("LD_PRELOAD", &library);
        host.set("FAKETIME", fake);
        if *wall_only {
            host.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        host.run(["join", &fleet.hub().url(), "--as", name]).success();
        host
    };
    let hosts = clocks.iter().map(host).collect();
    Some((fleet, hosts))
}

/// One term of a lock: its token, when it was had, and when it was given back, if it was.
#[derive(Debug, Clone, Copy)]
struct Term {
    token: u64,
    from: Instant,
    released: Option<Instant>,
}

fn hold(host: &Host, terms: &Mutex<Vec<Term>>) {
    for number in 0..TERMS {
        let run =
            host.command(["lock", "acquire", "gate", "--ttl", LEASE, "--wait", "5m"]).bound(BOUND).run();
        let from = Instant::now();
        let token = run.success().stdout().trim().to_owned();
        let released = (number % 2 == 1).then(Instant::now);
        let term = Term { token: token.parse().unwrap(), from, released };
        terms.lock().unwrap().push(term);
        if released.is_some() {
            host.run(["lock", "release", "gate", "--token", &token]).success();
        }
    }
}

#[test]
fn no_two_hosts_trust_a_lock_at_the_same_time_whatever_their_clocks() {
    let Some((fleet, hosts)) = fleet(&CLOCKS) else { return };
    let terms = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| hold(host, &terms));
        }
    });
    let mut terms = terms.into_inner().unwrap();
    terms.sort_by_key(|term| term.token);
    let tokens: Vec<u64> = terms.iter().map(|term| term.token).collect();
    let all = u64::try_from(CLOCKS.len() * TERMS).unwrap();
    assert_eq!(tokens, (1..=all).collect::<Vec<_>>(), "each term has a token of its own");
    for pair in terms.windows(2) {
        let trusted_until = pair[0].released.unwrap_or(pair[0].from + TRUST.div_f64(SLOWEST));
        assert!(pair[1].from >= trusted_until, "{pair:?}");
    }
    inspect::assert_hub_is_sound(fleet.hub());
}

#[test]
fn who_steals_without_force_has_watched_the_lease_whatever_the_clocks() {
    let clocks = [("true", "+0", true), ("behind", "-2h", true), ("ahead", "+2h", true)];
    let Some((_fleet, hosts)) = fleet(&clocks) else { return };
    let steal = |thief: &Host| thief.run(["lock", "steal", "gate", "--reason", "test"]);
    for holder in &hosts {
        let token =
            holder.run(["lock", "acquire", "gate", "--ttl", "10m"]).success().stdout().trim().to_owned();
        for thief in hosts.iter().filter(|thief| thief.name() != holder.name()) {
            let run = steal(thief).code(4);
            assert!(run.stderr().contains("has not yet watched it for its full lease"), "{run}");
        }
        holder.run(["lock", "release", "gate", "--token", &token]).success();
    }
    hosts[1].run(["lock", "acquire", "gate", "--ttl", LEASE]).success();
    let start = Instant::now();
    eventually(BOUND, || steal(&hosts[2]).exit_code() == Some(0));
    assert!(start.elapsed() >= TRUST.div_f64(SLOWEST), "{:?}", start.elapsed());
}

#[test]
fn each_job_has_one_holder_whatever_the_clocks() {
    let Some((fleet, hosts)) = fleet(&CLOCKS) else { return };
    const JOBS: usize = 18;
    // Claims are those of a session, which is judged by its beats.
    hosts.iter().for_each(|host| drop(host.run(["heartbeat"]).success()));
    for _ in 0..JOBS {
        hosts[0].run(["job", "add", "--type", "test"]).success();
    }
    let claimed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| {
                for _ in 0..JOBS {
                    let run = host.run(["job", "claim", "--json"]);
                    if run.exit_code() == Some(3) {
                        return;
                    }
                    let job = run.success().json();
                    assert_eq!(job["token"], 1, "nobody takes it from another");
                    claimed.lock().unwrap().push(job["id"].as_str().unwrap().to_owned());
                }
            });
        }
    });
    let claimed = claimed.into_inner().unwrap();
    assert_eq!(claimed.len(), JOBS);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>().len(), JOBS);
    assert!(inspect::ops_in_history(fleet.hub(), MAIN).values().all(|count| *count == 1));
}

/// Twice as fast is far beyond what the rules promise, and it shows: were the boot clock not faked,
/// the tests above would prove nothing.
#[test]
fn a_clock_that_runs_twice_as_fast_is_seen_to_do_so() {
    let clocks = [("true", "+0", true), ("mad", "+0 x2.0", false)];
    let Some((_fleet, hosts)) = fleet(&clocks) else { return };
    hosts[0].run(["lock", "acquire", "gate", "--ttl", "20s"]).success();
    let start = Instant::now();
    hosts[1].command(["lock", "acquire", "gate", "--wait", "2m"]).bound(BOUND).run().success();
    assert!(start.elapsed() < Duration::from_secs(20), "its lease was not over: {:?}", start.elapsed());
}

/// What a host claims next, by its type.
fn claimed(host: &Host) -> String {
    host.run(["job", "claim", "--json"]).success().json()["type"].as_str().unwrap().to_owned()
}

#[test]
fn the_order_of_the_queue_is_that_of_the_hub_whatever_the_clocks() {
    let clocks = [("true", "+0", true), ("behind", "-2h", true), ("ahead", "+2h", true)];
    let Some((_fleet, hosts)) = fleet(&clocks) else { return };
    let [right, behind, ahead] = &hosts[..] else { panic!("three hosts") };
    let add = |host: &Host, priority: &str, kind: &str| {
        host.run(["job", "add", "--priority", priority, "--type", kind, "--", "true"]).success()
    };
    // A low job by a slow clock, before and after an urgent one, and both by other clocks.
    for (first, second) in [(right, behind), (ahead, right), (behind, right), (ahead, behind), (right, ahead)]
    {
        for claimant in [right, behind, ahead] {
            let both = [("urgent", "critical", first), ("patient", "low", second)];
            for (kind, priority, host) in both {
                add(host, priority, kind);
            }
            assert_eq!([claimed(claimant), claimed(claimant)], ["urgent", "patient"], "{}", claimant.name());
            for (kind, priority, host) in both.iter().rev() {
                add(host, priority, kind);
            }
            assert_eq!([claimed(claimant), claimed(claimant)], ["urgent", "patient"], "{}", claimant.name());
        }
    }
}

#[test]
fn who_writes_with_a_slow_clock_is_told_and_dates_its_jobs_by_those_of_others() {
    let Some((_fleet, hosts)) = fleet(&[("true", "+0", true), ("behind", "-2h", true)]) else { return };
    let added = hosts[1].run(["job", "add", "--type", "late", "--", "true"]).success();
    assert!(added.stderr().contains("behind those of others who wrote to the hub"), "{added}");
    let job = hosts[0].run(["job", "show", added.stdout().trim()]).success();
    assert!(job.stdout().contains("queued 0s ago") || job.stdout().contains("queued 1s ago"), "{job}");
    // Who is right is not blamed, whoever wrote before.
    let other = hosts[0].run(["job", "add", "--type", "other", "--", "true"]).success();
    assert_eq!(other.stderr(), "", "{other}");
}

#[test]
fn a_delay_stays_a_delay_whatever_the_clock_of_who_asked_for_it() {
    let Some((_fleet, hosts)) = fleet(&[("true", "+0", true), ("ahead", "+2h", true)]) else { return };
    let start = Instant::now();
    hosts[1].run(["job", "add", "--type", "delayed", "--not-before", "in 2s", "--", "true"]).success();
    hosts[0].run(["job", "claim"]).code(3);
    hosts[0].command(["job", "claim", "--wait", "2m"]).bound(BOUND).run().success();
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn of_three_servers_the_one_whose_clock_is_off_is_told_it_by_the_other_two() {
    let clocks = [("one", "+0", true), ("two", "+0", true), ("ahead", "+6h", true)];
    let Some((fleet, hosts)) = fleet(&clocks) else { return };
    let [one, two, ahead] = hosts.as_slice() else { unreachable!("there are three") };
    let beat = || [one, two, ahead].map(|host| host.run(["heartbeat"]).success());
    beat();
    let job = one.run(["job", "add", "--type", "x"]).success().stdout().trim().to_owned();
    one.run(["job", "claim", &job]).success();
    let _first = ahead.run(["health"]);
    beat();
    // Both were seen to live, so no silence explains their times.
    let health = ahead.run(["health"]).code(1);
    assert!(health.stdout().contains("ahead of those of 2 servers"), "{health}");
    assert!(!health.stdout().contains("job cancel"), "{health}");
    let doctor = ahead.run(["doctor", "clock"]).code(1);
    assert!(doctor.stdout().contains("ahead of those of 2 servers"), "{doctor}");
    drop(fleet);
}

#[test]
fn a_pause_that_would_be_over_at_once_by_the_clocks_of_the_others_is_refused() {
    let Some((_fleet, hosts)) = fleet(&[("one", "+0", true), ("behind", "-6h", true)]) else { return };
    let [one, behind] = hosts.as_slice() else { unreachable!("there are two") };
    one.run(["job", "add", "--type", "x"]).success();
    for words in [&["queue", "pause"][..], &["queue", "pause", "--label", "gpu"], &["worker", "pause", "one"]]
    {
        let run = behind.run([words, &["--for", "10m"]].concat()).code(4);
        assert!(run.stderr().contains("nothing was paused: by the clocks of the latest writers"), "{run}");
    }
    // What ends when somebody ends it is of no clock.
    behind.run(["queue", "pause", "--label", "gpu"]).success();
    one.run(["queue", "pause", "--for", "10m"]).success();
}

#[test]
fn what_is_told_of_a_delay_is_what_the_claim_goes_by() {
    let Some((_fleet, hosts)) = fleet(&[("true", "+0", true), ("ahead", "+2h", true)]) else { return };
    let [here, ahead] = hosts.as_slice() else { unreachable!() };
    let add = |delay: &str| {
        let run = ahead.run(["job", "add", "--type", "delayed", "--not-before", delay, "--", "true"]);
        run.success().stdout().trim().to_owned()
    };
    let (long, short) = (add("in 1h"), add("in 1s"));
    // Nobody has watched it: its own time would be three hours off.
    let told = here.run(["job", "explain", &long]).success();
    assert!(told.stdout().contains("has seen it for 1h: ") && told.stdout().contains("is ahead"), "{told}");
    assert!(!told.stdout().contains("from now"), "{told}");
    for args in [&["job", "list"][..], &["job", "show", &long]] {
        let told = here.run(args).success();
        assert!(told.stdout().contains("not before it was seen for 1h"), "{told}");
    }
    let json = here.run(["job", "explain", &long, "--json"]).success().json();
    assert_eq!(json["waits_for"][0]["delay_seconds"], 3600, "{json:#}");
    // By the clock that is ahead nothing is wrong with it.
    let told = ahead.run(["job", "explain", &long]).success();
    assert!(told.stdout().contains("from now") && !told.stdout().contains("is ahead"), "{told}");

    // Where it was watched for as long as it was to wait, it is told as what can be claimed.
    here.run(["job", "claim"]).code(3);
    let told = || here.run(["job", "explain", &short]).success().stdout().to_owned();
    eventually(BOUND, || !told().contains("has seen it"));
    let worker = here.run(["worker", "show", "true"]).success();
    assert!(worker.stdout().contains("could claim: 1"), "{worker}");
    let claimed = here.run(["job", "claim"]).success();
    assert!(claimed.stdout().starts_with(&short), "{claimed}");
}

#[test]
fn a_clock_of_our_own_that_is_off_is_told_once() {
    let clocks = [("a", "+0", true), ("b", "+0", true), ("c", "+0", true)];
    let off = [("fast", "+10m", true), ("late", "-10m", true)];
    let Some((_fleet, hosts)) = fleet(&[&clocks[..], &off].concat()) else { return };
    for host in &hosts {
        host.run(["heartbeat"]).success();
    }
    for (host, way) in hosts[3..].iter().zip(["ahead of", "behind"]) {
        let json = host.run(["health", "--json"]).json();
        let findings = json["findings"].as_array().unwrap();
        let of = |subject: &str| findings.iter().filter(|one| one["subject"] == subject).count();
        let own = findings.iter().find(|one| one["subject"] == "this machine").expect("its clock");
        assert!(own["what"].as_str().unwrap().contains(way), "{json:#}");
        assert_eq!(of(host.name()), 0, "{json:#}");
        assert!(!json.to_string().contains("ahead of this clock"), "{json:#}");
    }
}
