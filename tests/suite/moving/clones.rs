//! Old writers and git-muster in one clone: what was acknowledged stays.

use crate::support::{Fleet, Host, MAIN, eventually, inspect, need};
use std::fs;
use std::time::Duration;

/// `ada` in a clone of the hub, in which scripts work too, and `bob` elsewhere.
fn shared_clone() -> (Fleet, Host, Host) {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server_in_clone("ada"), fleet.server("bob"));
    ada.git(["pull", "--quiet", "origin", MAIN]).success();
    (fleet, ada, bob)
}

fn send(host: &Host, to: &str) -> String {
    host.run(["message", "send", "--to", to, "--subject", "s"]).success().stdout().trim().to_owned()
}

fn messages(fleet: &Fleet) -> Vec<String> {
    let table = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    table["messages"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// What a script has read of a document, with a row of its own, before it writes.
fn stale(host: &Host, path: &str, filter: &str) -> String {
    let file = host.directory().join(path);
    host.program("jq").args([filter, &file.display().to_string()]).run().success().stdout().to_owned()
}

/// The end of such a script: it writes, commits and pushes without a look.
fn finish(host: &Host, path: &str, text: &str) -> bool {
    fs::write(host.directory().join(path), text).unwrap();
    host.git(["commit", "--quiet", "-m", "message sent", "--", path]).success();
    host.git(["push", "--quiet", "origin", MAIN]).exit_code() == Some(0)
}

const MESSAGES: &str = "coordination/messages.json";
const APPEND: &str = r#".messages += [{"id":"msg_old","from":"ada","to":"bob","type":"info","subject":"s","body":"b","timestamp":"2025-11-13T05:08:10Z","read":false}]"#;

#[test]
fn a_message_that_a_stale_script_dropped_is_put_back_by_the_next_write() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, bob) = shared_clone();
    let first = send(&bob, "ada");
    ada.git(["pull", "--quiet", "origin", MAIN]).success();
    let read = stale(&ada, MESSAGES, APPEND);
    let second = send(&ada, "bob");
    assert!(finish(&ada, MESSAGES, &read), "the clone followed, so the stale push goes through");
    assert_eq!(messages(&fleet), [first.as_str(), "msg_old"], "and drops what was acknowledged");

    let run = bob.run(["job", "add", "--type", "x"]).success();
    assert_eq!(messages(&fleet), [first.as_str(), second.as_str(), "msg_old"], "where it stood: {run}");
    let log = inspect::log(fleet.hub(), MAIN);
    assert!(log[0].subject.starts_with(&format!("put back: message {second}")), "{:?}", log[0]);
    // From now on the clone is known for one in which scripts write, and stays where it is: the next
    // stale push is rejected, and git-muster itself is not held up.
    ada.git(["pull", "--quiet", "origin", MAIN]).success();
    let read = stale(&ada, MESSAGES, APPEND);
    let run = ada.run(["message", "send", "--to", "bob", "--subject", "s"]).success();
    assert!(run.stderr().contains("scripts commit to `coordination` in it"), "{run}");
    let lines = |run: &crate::support::Run| {
        run.stderr()
            .split('`')
            .filter(|part| part.starts_with("git -C "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let [pull] = lines(&run).try_into().unwrap_or_else(|lines| panic!("{lines:?}: {run}"));
    assert!(!finish(&ada, MESSAGES, &read));
    assert_eq!(messages(&fleet).last().map(String::as_str), Some(run.stdout().trim()));
    // With a commit of its own that the hub refused, the plain pull would be refused as well.
    let run = ada.run(["message", "send", "--to", "bob", "--subject", "t"]).success();
    let told = lines(&run);
    assert_eq!((told.len(), told.last()), (3, Some(&pull)), "{run}");
    for line in told {
        ada.program("sh").args(["-c", &line]).run().success();
    }
    assert_eq!(ada.git(["rev-parse", "HEAD"]).success().stdout().trim(), fleet.hub().tip(MAIN).unwrap());
}

#[test]
fn a_claim_that_a_stale_script_undid_holds_again() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, bob) = shared_clone();
    let jobs = "coordination/jobs.json";
    let job = bob.run(["job", "add", "--type", "x"]).success().stdout().trim().to_owned();
    ada.git(["pull", "--quiet", "origin", MAIN]).success();
    let read = stale(&ada, jobs, ".metadata = {}");
    ada.run(["job", "claim"]).success();
    assert!(finish(&ada, jobs, &read));
    assert_eq!(inspect::job(fleet.hub(), &job)["status"], "queued");
    bob.run(["job", "claim"]).code(3);
    ada.run(["job", "complete", &job, "--token", "1"]).success();
    assert_eq!(inspect::job(fleet.hub(), &job)["status"], "completed");
    bob.run(["fsck"]).success();
}

#[test]
fn the_clone_stays_where_it_is_while_a_script_holds_its_lock() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, bob) = shared_clone();
    let locks = ada.directory().join("coordination/.locks");
    fs::create_dir(&locks).unwrap();
    let flock = ada.directory().join("coordination/jobs.json.flock");
    for lock in [locks.join("messages.lock"), flock] {
        fs::write(&lock, "").unwrap();
        let before = send(&bob, "ada");
        ada.git(["pull", "--quiet", "origin", MAIN]).success();
        let go_on = ada.directory().join(".git/go-on");
        let script = format!("until [ -e {} ]; do sleep 0.05; done", go_on.display());
        let mut script =
            ada.program("flock").args([lock.display().to_string(), "sh".into(), "-c".into(), script]).spawn();
        eventually(Duration::from_secs(10), || {
            let free =
                ada.program("flock").args(["-n", &lock.display().to_string(), "true"]).run().exit_code();
            free != Some(0)
        });
        let read = stale(&ada, MESSAGES, APPEND);
        let run = ada.run(["message", "send", "--to", "bob", "--subject", "s"]).success();
        assert!(run.stderr().contains("a script holds one of the locks"), "{run}");
        assert!(!script.has_ended());
        assert!(!finish(&ada, MESSAGES, &read), "its push is rejected");
        fs::write(&go_on, "").unwrap();
        script.wait().success();
        assert!(
            messages(&fleet).contains(&before) && messages(&fleet).contains(&run.stdout().trim().to_owned())
        );
        ada.git(["reset", "--quiet", "--hard", "origin/main"]).success();
        fs::remove_file(&go_on).unwrap();
        // The log of the clone tells of scripts: this test is about their locks alone.
        fs::remove_dir_all(ada.directory().join(".git/logs")).unwrap();
    }
}

#[test]
fn what_was_removed_on_purpose_is_not_put_back() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, bob) = shared_clone();
    let first = send(&bob, "ada");
    for _ in 0..70 {
        bob.run(["status", "set", "idle"]).success();
        bob.run(["status", "set", "building"]).success();
    }
    let pull = || ada.git(["pull", "--quiet", "--no-rebase", "origin", MAIN]).success();
    pull();
    // It was there for long: whoever takes it out means it.
    let without = stale(&ada, MESSAGES, ".messages = []");
    assert!(finish(&ada, MESSAGES, &without));
    bob.run(["job", "add", "--type", "x"]).success();
    assert!(!messages(&fleet).contains(&first));
    // And so does who reverts a commit.
    let second = send(&bob, "ada");
    pull();
    ada.git(["revert", "--no-edit", "HEAD"]).success();
    ada.git(["push", "--quiet", "origin", MAIN]).success();
    bob.run(["job", "add", "--type", "x"]).success();
    assert!(!messages(&fleet).contains(&second));
}
