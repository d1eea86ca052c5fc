//! What an older writer undid is put back whatever lies on top of it, in whichever document it is.

use super::undone::{merged_away, pull, shared_clone};
use crate::support::{Fleet, Host, MAIN, eventually, inspect};
use std::fs;
use std::time::Duration;

const JOBS: &str = "coordination/jobs.json";
const MESSAGES: &str = "coordination/messages.json";

fn ids(fleet: &Fleet, path: &str, field: &str) -> Vec<String> {
    let document = inspect::document(fleet.hub(), MAIN, path);
    let rows = document[field].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
}

fn commit(ada: &Host, path: &str, text: &[u8]) {
    fs::write(ada.directory().join(path), text).unwrap();
    ada.git(["add", path]).success();
    ada.git(["commit", "--quiet", "-m", "by hand"]).success();
}

fn push(ada: &Host) {
    ada.git(["push", "--quiet", "origin", MAIN]).success();
}

fn added(host: &Host, args: &[&str]) -> String {
    host.run(args).success().stdout().trim().to_owned()
}

#[test]
fn whatever_lies_on_top_of_a_stale_commit_what_it_undid_is_put_back() {
    for cover in
        ["beats", "a copy of ours", "words of ours", "a write of ours while nobody could read it", "a revert"]
    {
        let (fleet, ada, bob) = shared_clone();
        let read = |path: &str| fs::read(ada.directory().join(path)).unwrap();
        let (jobs, messages) = (read(JOBS), read(MESSAGES));
        let job = added(&bob, &["job", "add", "--type", "x"]);
        let message = added(&bob, &["message", "send", "--to", "ada", "--subject", "s"]);
        let ours = fleet.hub().tip(MAIN).expect("a hub");
        pull(&ada, &[]);
        if cover.starts_with("a write") {
            commit(&ada, JOBS, b"<<<<<<< mine\n");
            push(&ada);
            bob.run(["lock", "acquire", "other"]).success();
            let text = fleet.hub().git(["log", "-1", "--format=%B", MAIN]);
            assert!(text.contains(&format!("Muster-Unchecked: {JOBS}\n")), "{text}");
            pull(&ada, &[]);
        }
        commit(&ada, JOBS, &jobs);
        commit(&ada, MESSAGES, &messages);
        match cover {
            "beats" => (0..70).for_each(|beat| commit(&ada, "beat.txt", beat.to_string().as_bytes())),
            "a copy of ours" => drop(ada.git(["cherry-pick", &ours]).success()),
            "words of ours" => {
                let words = fleet.hub().git(["log", "-1", "--format=%B", &ours]);
                ada.git(["commit", "--quiet", "--allow-empty", "-m", &words]).success();
            }
            "a revert" => {
                commit(&ada, "n.txt", b"x");
                ada.git(["revert", "--no-edit", "HEAD"]).success();
            }
            _ => {}
        }
        push(&ada);
        let health = bob.run(["health"]).code(1);
        assert!(
            health.stdout().contains(&format!("undid what was acknowledged: job {job}")),
            "{cover}: {health}"
        );
        bob.run(["status", "set", "building"]).success();
        assert_eq!(ids(&fleet, JOBS, "jobs"), [job], "{cover}");
        assert_eq!(ids(&fleet, MESSAGES, "messages"), [message], "{cover}");
        assert!(!bob.run(["health"]).stdout().contains("undid"), "{cover}");
    }
}

#[test]
fn an_archive_a_registration_and_the_marker_come_back_too() {
    let (fleet, ada, bob) = shared_clone();
    let done = || {
        let job = added(&bob, &["job", "add", "--type", "x"]);
        bob.run(["job", "claim", &job]).success();
        bob.run(["job", "complete", &job, "--token", "1"]).success();
        eventually(Duration::from_secs(20), || {
            bob.run(["archive", "--older-than", "0s"]).success();
            ids(&fleet, JOBS, "jobs").is_empty()
        });
        job
    };
    let mut jobs = vec![done()];
    merged_away(&ada, || {
        jobs.push(done());
        bob.run(["join", "--as", "bob", "--old-readers"]).success();
        bob.run(["join", "--as", "carl"]).success();
    });
    let undone = bob.run(["health"]).code(1).stdout().to_owned();
    for what in [&format!("archived job {}", jobs[1]), "server carl", "coordination/hub.json"] {
        assert!(undone.contains(&format!("undid what was acknowledged: {what}")), "{undone}");
    }
    bob.run(["status", "set", "building"]).success();
    for job in &jobs {
        bob.run(["job", "show", job]).success();
    }
    assert!(ids(&fleet, "coordination/servers.json", "servers").contains(&"carl".to_owned()));
    let marker = inspect::document(fleet.hub(), MAIN, "coordination/hub.json");
    assert!(marker["settings"]["old_readers_seconds"].is_number(), "{marker}");
    bob.run(["fsck"]).success();
}

#[test]
fn a_marker_that_was_taken_out_comes_back_with_its_id() {
    let (fleet, ada, bob) = shared_clone();
    let marker = || inspect::document(fleet.hub(), MAIN, "coordination/hub.json");
    let before = marker();
    pull(&ada, &[]);
    ada.git(["rm", "--quiet", "coordination/hub.json"]).success();
    ada.git(["commit", "--quiet", "-m", "tidied up"]).success();
    push(&ada);
    let health = bob.run(["health"]).code(1);
    assert!(health.stdout().contains("undid what was acknowledged: coordination/hub.json"), "{health}");
    // A `join` would have made another one.
    bob.run(["join", "--as", "carl"]).success();
    assert_eq!(marker(), before);
    bob.run(["health"]).success();
}
