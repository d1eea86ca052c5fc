//! What an older writer undid is put back however old its copy is, whichever way the history went, and whatever
//! of that history is broken or gone.

use super::undone::{pull, shared_clone};
use crate::sessions::a_minute_passes;
use crate::support::{Fleet, Host, MAIN, Transport, eventually, inspect};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const JOBS: &str = "coordination/jobs.json";
const LOCKS: &str = "coordination/locks.json";
const SERVERS: &str = "coordination/servers.json";

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

/// More operations than count as shortly before.
const MANY: usize = 70;

fn jobs(fleet: &Fleet) -> Vec<(String, String)> {
    let document = inspect::document(fleet.hub(), MAIN, JOBS);
    let text = |job: &Value, key: &str| job[key].as_str().unwrap_or("?").to_owned();
    let rows = document["jobs"].as_array().unwrap();
    rows.iter().map(|job| (text(job, "type"), text(job, "status"))).collect()
}

fn types(fleet: &Fleet) -> Vec<String> {
    jobs(fleet).into_iter().map(|(kind, _)| kind).collect()
}

fn add(host: &Host, kind: &str) -> String {
    host.run(["job", "add", "--type", kind]).success().stdout().trim().to_owned()
}

fn read(ada: &Host, path: &str) -> Vec<u8> {
    pull(ada, &[]);
    fs::read(ada.directory().join(path)).unwrap()
}

fn by_hand(ada: &Host, path: &str, text: &[u8]) {
    pull(ada, &[]);
    fs::write(ada.directory().join(path), text).unwrap();
    ada.git(["add", path]).success();
    ada.git(["commit", "--quiet", "-m", "by hand"]).success();
    ada.git(["push", "--quiet", "origin", MAIN]).success();
}

#[test]
fn a_lock_has_one_holder_however_old_the_copy_is_that_comes_back() {
    let (fleet, ada, bob) = shared_clone();
    ada.run(["lock", "acquire", "deploy"]).success();
    let stale = read(&ada, LOCKS);
    ada.run(["lock", "release", "deploy", "--token", "1"]).success();
    assert_eq!(bob.run(["lock", "acquire", "deploy"]).success().stdout().trim(), "2");
    (0..MANY).for_each(|_| drop(add(&bob, "x")));
    by_hand(&ada, LOCKS, &stale);
    ada.run(["lock", "renew", "deploy", "--token", "1"]).code(5);
    ada.run(["--if-lock", "deploy=1", "status", "set", "idle"]).code(5);
    bob.run(["lock", "renew", "deploy", "--token", "2"]).success();
    assert_eq!(inspect::document(fleet.hub(), MAIN, LOCKS)["locks"]["deploy"]["locked_by"], "bob");
    let fsck = bob.run(["fsck", "--history"]).success();
    assert!(fsck.stdout().contains("the token of lock `deploy` went from 2 to 1; put back in"), "{fsck}");
}

#[test]
fn a_job_has_one_holder_however_old_the_copy_is_that_comes_back() {
    let (fleet, ada, bob) = shared_clone();
    let job = add(&ada, "x");
    ada.run(["job", "claim", &job]).success();
    let stale = read(&ada, JOBS);
    ada.run(["job", "requeue", &job, "--holder-lost", "--reason", "gone"]).success();
    bob.run(["job", "claim", &job]).success();
    for _ in 0..MANY {
        bob.run(["message", "send", "--to", "ada", "--subject", "s"]).success();
    }
    by_hand(&ada, JOBS, &stale);
    ada.run(["job", "complete", &job, "--token", "1"]).code(5);
    bob.run(["job", "complete", &job, "--token", "2"]).success();
    assert_eq!(jobs(&fleet), [("x".to_owned(), "completed".to_owned())]);
    let fsck = bob.run(["fsck", "--history"]).success();
    assert!(fsck.stdout().contains("went from 2 to 1; put back in"), "{fsck}");
}

#[test]
fn a_copy_that_was_read_on_the_other_side_of_a_merge_is_known() {
    let (fleet, ada, bob) = shared_clone();
    let job = add(&bob, "x");
    add(&bob, "y");
    let stale = fleet.hub().git(["cat-file", "blob", &format!("{MAIN}:{JOBS}")]);
    bob.run(["job", "claim", &job]).success();
    // A script that pulls by a merge: ours come in as its second side.
    fs::write(ada.directory().join("n.txt"), "1\n").unwrap();
    ada.git(["add", "n.txt"]).success();
    ada.git(["commit", "--quiet", "-m", "n"]).success();
    pull(&ada, &["--no-edit"]);
    ada.git(["push", "--quiet", "origin", MAIN]).success();
    bob.run(["status", "set", "idle"]).success();
    by_hand(&ada, JOBS, stale.as_bytes());
    bob.run(["status", "set", "building"]).success();
    let expected = [("x", "claimed"), ("y", "queued")].map(|(kind, status)| (kind.into(), status.into()));
    assert_eq!(jobs(&fleet), expected);
}

#[test]
fn what_we_wrote_beside_a_broken_record_is_put_back_too() {
    let (fleet, ada, bob) = shared_clone();
    add(&bob, "x");
    let text = String::from_utf8(read(&ada, JOBS)).unwrap();
    let broken = text.replace("\"queued\"", "[\"no\"]");
    by_hand(&ada, JOBS, broken.as_bytes());
    add(&bob, "y");
    by_hand(&ada, JOBS, broken.as_bytes());
    assert_eq!(types(&fleet), ["x"]);
    bob.run(["status", "set", "idle"]).success();
    assert!(types(&fleet).contains(&"y".to_owned()));
}

#[test]
fn what_the_history_lost_of_itself_stops_no_write_and_hides_nothing() {
    let (fleet, ada, bob) = shared_clone();
    add(&bob, "x");
    let hub = fleet.hub();
    let blob = hub.git(["rev-parse", &format!("{MAIN}:{JOBS}")]);
    add(&bob, "y");
    let stale = read(&ada, JOBS);
    add(&bob, "z");
    by_hand(&ada, JOBS, &stale);
    let (folder, file) = blob.trim().split_at(2);
    fs::remove_file(hub.path().join("objects").join(folder).join(file)).unwrap();
    assert!(bob.run(["health"]).code(1).stdout().contains("undid what was acknowledged"));
    bob.run(["status", "set", "idle"]).success();
    assert_eq!(types(&fleet), ["x", "y", "z"]);
}

#[test]
fn of_two_sides_of_ours_that_a_merge_brings_together_each_keeps_what_it_meant() {
    let (fleet, ada, bob) = shared_clone();
    let hub = fleet.hub();
    bob.run(["queue", "pause", "--label", "gpu", "--note", "n"]).success();
    let parted = hub.tip(MAIN).expect("a hub");
    let merge = |how: &[&str]| {
        let other = hub.tip(MAIN).expect("a hub");
        hub.git(["update-ref", &format!("refs/heads/{MAIN}"), &parted]);
        add(&bob, "here");
        ada.git(["fetch", "--quiet", "origin", MAIN, &other]).success();
        ada.git(["reset", "--quiet", "--hard", &format!("origin/{MAIN}")]).success();
        let words = ["merge", "--quiet", "--no-edit"].iter().chain(how).copied().chain([other.as_str()]);
        ada.git(words).success();
        ada.git(["push", "--quiet", "origin", &format!("HEAD:{MAIN}")]).success();
        bob.run(["status", "set", "idle"]).success();
    };
    bob.run(["queue", "resume", "--label", "gpu"]).success();
    merge(&[]);
    assert!(!bob.run(["queue", "list"]).stdout().contains("gpu"), "one side ended it on purpose");
    assert_eq!(types(&fleet), ["here"]);
    // What a merge dropped of the other side is no purpose of this one.
    hub.git(["update-ref", &format!("refs/heads/{MAIN}"), &parted]);
    add(&bob, "there");
    merge(&["-s", "ours"]);
    let mut found = types(&fleet);
    found.sort();
    assert_eq!(found, ["here", "there"]);
}

#[test]
fn reads_show_what_was_acknowledged_before_the_next_write_puts_it_back() {
    let (fleet, ada, bob) = shared_clone();
    let (jobs, locks) = (read(&ada, JOBS), read(&ada, LOCKS));
    let job = add(&bob, "x");
    bob.run(["job", "claim", &job]).success();
    bob.run(["lock", "acquire", "deploy"]).success();
    by_hand(&ada, JOBS, &jobs);
    by_hand(&ada, LOCKS, &locks);
    let tip = fleet.hub().tip(MAIN);
    for host in [&ada, &bob] {
        assert!(host.run(["job", "show", &job]).success().stdout().contains("claimed"));
        assert!(host.run(["job", "list"]).success().stdout().contains(&job));
        assert!(host.run(["lock", "show", "deploy"]).success().stdout().contains("bob"));
    }
    assert!(types(&fleet).is_empty(), "what was published is another matter");
    assert!(bob.run(["health"]).code(1).stdout().contains("undid what was acknowledged"));
    bob.run(["fsck", "--history"]).code(1);
    // What was handed out stands for who asks for it once more.
    let ops = bob.run(["op", "list", "--json"]).success().json();
    assert_eq!(ops.as_array().unwrap().len(), 3, "{ops}");
    for op in ops.as_array().unwrap() {
        let status = bob.run(["op", "status", op["op"].as_str().unwrap(), "--json"]).success().json();
        assert_eq!(status["stands"], true, "{status}");
    }
    assert_eq!(bob.run(["op", "list", "--json"]).success().json(), ops, "and can be had again");
    assert_eq!(fleet.hub().tip(MAIN), tip, "reads write nothing");
}

#[test]
fn a_dead_server_whose_claim_was_undone_loses_it_to_who_claims() {
    let (fleet, ada, bob) = shared_clone();
    let job = add(&bob, "x");
    let jobs = read(&ada, JOBS);
    ada.run(["heartbeat", "--interval", "1s"]).success();
    ada.run(["job", "claim", &job]).success();
    by_hand(&ada, JOBS, &jobs);
    bob.run(["job", "claim"]).code(3);
    a_minute_passes(&bob);
    drop(bob.run(["job", "claim"]));
    let job = inspect::job(fleet.hub(), &job);
    assert_eq!((&job["status"], &job["reason"]), (&"queued".into(), &"lost".into()), "{job}");
}

#[test]
fn doctor_and_writes_see_what_the_same_write_puts_back() {
    let (fleet, ada, bob) = shared_clone();
    let servers = read(&ada, SERVERS);
    let carl = fleet.server("carl");
    carl.run(["heartbeat"]).success();
    by_hand(&ada, SERVERS, &servers);
    carl.run(["doctor", "registration"]).success();
    // A job that is archived, in a file that a merge dropped.
    let job = add(&bob, "x");
    bob.run(["job", "cancel", &job]).success();
    eventually(BOUND, || {
        bob.run(["archive", "--older-than", "0s"]).success();
        types(&fleet).is_empty()
    });
    pull(&ada, &[]);
    ada.git(["rm", "--quiet", "-r", "coordination/archive"]).success();
    ada.git(["commit", "--quiet", "-m", "a merge"]).success();
    ada.git(["push", "--quiet", "origin", MAIN]).success();
    bob.run(["job", "add", "--type", "next", "--needs", &job, "--if-need-fails", "run"]).success();
    assert!(types(&fleet).contains(&"next".to_owned()));
}

#[test]
fn what_a_commit_put_back_is_no_part_of_what_it_handed_out() {
    let (_fleet, ada, bob) = shared_clone();
    let (of_bob, of_ada) = (add(&bob, "x"), add(&bob, "y"));
    let jobs = read(&ada, JOBS);
    bob.run(["job", "claim", &of_bob]).success();
    by_hand(&ada, JOBS, &jobs);
    ada.command(["job", "claim", &of_ada]).env("MUSTER_FAILPOINT", "known").run().killed_by(9);
    let op = ada.unsettled()[0]["op"].as_str().unwrap().to_owned();
    let status = ada.run(["op", "status", &op, "--json"]).success().json();
    let claimed: Vec<_> = status["answer"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
    assert_eq!(claimed, [of_ada.as_str()], "{status}");
}

#[test]
fn what_is_resumed_takes_nothing_from_who_had_it_after_a_stale_copy() {
    let (fleet, ada, bob) = shared_clone();
    let carol = fleet.server("carol");
    ada.run(["lock", "acquire", "deploy"]).success();
    let locks = read(&ada, LOCKS);
    let steal = ["lock", "steal", "deploy", "--force", "--reason", "it hangs"];
    carol.command(steal).env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
    let op = carol.unsettled()[0]["op"].as_str().unwrap().to_owned();
    ada.run(["lock", "release", "deploy", "--token", "1"]).success();
    bob.run(["lock", "acquire", "deploy"]).success();
    // It shows the term that was to be taken once more.
    by_hand(&ada, LOCKS, &locks);
    let refused = carol.run(["op", "resume", &op]).code(4);
    assert!(refused.stderr().contains("has changed since the operation started"), "{refused}");
    bob.run(["lock", "renew", "deploy", "--token", "2"]).success();
}

#[test]
fn a_new_hub_begins_as_the_next_write_would_have_left_the_old_one() {
    let (fleet, ada, bob) = shared_clone();
    let (jobs, locks) = (read(&ada, JOBS), read(&ada, LOCKS));
    let job = add(&bob, "x");
    bob.run(["job", "claim", &job]).success();
    bob.run(["lock", "acquire", "deploy"]).success();
    by_hand(&ada, JOBS, &jobs);
    by_hand(&ada, LOCKS, &locks);
    let new = bob.directory().join("new.git").display().to_string();
    bob.run(["import", &fleet.hub().url(), "--into", &new]).success();
    let there = |words: &[&str]| bob.run(["--hub", &new].iter().chain(words)).success().stdout().to_owned();
    assert!(there(&["job", "show", &job]).contains("claimed"));
    assert!(there(&["lock", "show", "deploy"]).contains("bob"));
}

#[test]
fn a_priority_that_was_set_since_is_not_set_back_by_what_is_resumed() {
    let fleet = Fleet::over(Transport::Daemon).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let job = add(&ada, "x");
    let late = |host: &Host| {
        host.command(["job", "priority", &job, "low"]).env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
        host.unsettled()[0]["op"].as_str().unwrap().to_owned()
    };
    let op = late(&ada);
    bob.run(["job", "priority", &job, "critical"]).success();
    let refused = ada.run(["op", "resume", &op]).code(4);
    assert!(refused.stderr().contains("the priority of job"), "{refused}");
    let op = late(&ada);
    ada.run(["op", "resume", &op]).success();
}
