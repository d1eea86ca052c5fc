//! Tokens that somebody made up, and documents that only a newer version may write: neither stops the fleet
//! without a word.

use super::two_servers;
use crate::support::{Host, MAIN, inspect};
use serde_json::{Value, json};

const JOBS: &str = "coordination/jobs.json";
const LOCKS: &str = "coordination/locks.json";
const TOKENS: &str = "coordination/tokens.json";

/// The last number that every reader tells from the next.
const LAST: u64 = (1 << 53) - 1;

fn claim(host: &Host) -> Value {
    host.run(["job", "claim", "--json"]).success().json()
}

#[test]
fn a_made_up_token_of_the_lock_of_assignments_stops_no_claim() {
    let (fleet, ada, bob) = two_servers();
    for token in [LAST - 1, LAST, u64::MAX] {
        let locks = json!({"locks": {"job_assignment": {"locked_by": null, "token": token}}});
        fleet.hub().put(MAIN, &[(LOCKS, &format!("{locks:#}\n"))], "made up");
        let health = ada.run(["health"]).code(1);
        assert!(health.stdout().contains("is no possible one"), "{health}");
        for host in [&ada, &bob] {
            ada.run(["job", "add", "--type", "x"]).success();
            claim(host);
        }
        let after = inspect::document(fleet.hub(), MAIN, LOCKS);
        assert!(after["locks"]["job_assignment"]["token"].as_u64().unwrap() < LAST / 2, "{after}");
    }
    let history = ada.run(["fsck", "--history"]);
    assert!(!history.stdout().contains("token-lowered"), "{history}");
}

#[test]
fn what_has_a_made_up_token_is_named_and_mended() {
    let (fleet, ada, bob) = two_servers();
    let job = ada.run(["job", "add", "--type", "x"]).success().stdout().trim().to_owned();
    ada.run(["lock", "acquire", "marked"]).success();
    ada.run(["lock", "release", "marked", "--token", "1"]).success();
    ada.run(["lock", "acquire", "held"]).success();
    let with_token = |path: &str, set: &dyn Fn(&mut Value)| {
        let mut document = inspect::document(fleet.hub(), MAIN, path);
        set(&mut document);
        (path.to_owned(), format!("{document:#}\n"))
    };
    let files = [
        with_token(JOBS, &|jobs| jobs["jobs"][0]["token"] = json!(LAST)),
        with_token(LOCKS, &|locks| locks["locks"]["held"]["token"] = json!(LAST)),
        with_token(TOKENS, &|marks| marks["tokens"]["marked"]["token"] = json!(LAST)),
    ];
    let files: Vec<(&str, &String)> = files.iter().map(|(path, text)| (path.as_str(), text)).collect();
    fleet.hub().put(MAIN, &files, "made up");

    ada.run(["job", "claim"]).code(3);
    let refused = bob.run(["lock", "acquire", "marked"]).code(4);
    assert!(refused.stderr().contains("git muster fsck --mend"), "{refused}");
    let (health, fsck) = (ada.run(["health", "--all"]).code(1), ada.run(["fsck"]).code(1));
    for what in [job.as_str(), "held", "marked"] {
        for told in [health.stdout(), fsck.stdout()] {
            let named = told.lines().any(|line| line.contains(what) && line.contains("is no possible one"));
            assert!(named, "{what}: {told}");
        }
    }

    ada.run(["fsck", "--mend"]).success();
    ada.run(["fsck"]).success();
    assert_eq!(claim(&bob)["id"], job.as_str());
    let token: u64 = bob.run(["lock", "acquire", "marked"]).success().stdout().trim().parse().unwrap();
    assert!(token > 1 && token < LAST / 2, "{token}");
    // Nobody got it meanwhile, and who held it under the token that was made up learns that.
    bob.run(["lock", "acquire", "held"]).code(4);
    ada.run(["lock", "renew", "held", "--token", &LAST.to_string()]).code(5);
    let history = ada.run(["fsck", "--history"]);
    assert!(!history.stdout().contains("token-lowered"), "{history}");
}

#[test]
fn a_document_of_a_newer_layout_is_told_by_health_as_no_write_succeeds() {
    let (fleet, ada, _bob) = two_servers();
    for (path, write) in [(JOBS, "job add --type x"), (LOCKS, "lock acquire x"), (TOKENS, "lock acquire y")] {
        let mut newer = inspect::document(fleet.hub(), MAIN, path);
        newer["version"] = json!(2);
        fleet.hub().put(MAIN, &[(path, &format!("{newer:#}\n"))], "newer");
        ada.run(write.split_whitespace()).code(1);
        let health = ada.run(["health"]).code(1);
        assert!(health.stdout().contains(&format!("{path} has layout version 2")), "{health}");
        newer["version"] = json!(1);
        fleet.hub().put(MAIN, &[(path, &format!("{newer:#}\n"))], "as before");
        ada.run(write.split_whitespace()).success();
    }
}

/// Whatever is given can be followed, or is told to be the last.
#[test]
fn no_token_is_given_that_is_then_called_impossible() {
    const LAST_GIVEN: u64 = (1 << 52) - 1;
    let (fleet, ada, bob) = two_servers();
    for (token, is_given) in [
        (LAST_GIVEN - 2, true),
        (LAST_GIVEN - 1, true),
        (LAST_GIVEN, false),
        (LAST_GIVEN + 1, false),
        (LAST - 1, false),
    ] {
        let locks = json!({"locks": {"deploy": {"locked_by": null, "token": token}}});
        let jobs = json!({"jobs": [{"id": "job_1", "status": "queued", "token": token}]});
        let files =
            [(LOCKS, format!("{locks:#}\n")), (JOBS, format!("{jobs:#}\n")), (TOKENS, "{}\n".to_owned())];
        fleet.hub().put(MAIN, &files, "made up");
        let run = ada.run(["lock", "acquire", "deploy"]);
        let claimed = ada.run(["job", "claim"]);
        if is_given {
            assert_eq!(run.success().stdout().trim(), (token + 1).to_string());
            claimed.success();
            let health = ada.run(["health"]);
            assert!(!health.stdout().contains("is no possible one"), "{token}: {health}");
            let is_last = health.stdout().contains("is the last there is");
            assert_eq!(is_last, token + 1 == LAST_GIVEN, "{token}: {health}");
            continue;
        }
        let refused = run.code(4);
        assert!(refused.stderr().contains("git muster fsck --mend"), "{refused}");
        claimed.code(3);
        assert!(ada.run(["fsck"]).code(1).stdout().contains("none can be given after it"));
        ada.run(["fsck", "--mend"]).success();
        let next: u64 = ada.run(["lock", "acquire", "deploy"]).success().stdout().trim().parse().unwrap();
        assert!(next < LAST_GIVEN / 2, "{next}");
        assert_eq!(claim(&bob)["id"], "job_1");
    }
}
