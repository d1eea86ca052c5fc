//! Pauses that cannot be read, and what stands still without anybody saying so.

use super::two_servers;
use crate::support::{Host, MAIN};

const JOBS: &str = "coordination/jobs.json";
const PAUSES: &str = "coordination/pauses.json";

fn pauses(rows: &str) -> String {
    format!("{{\"pauses\": [{rows}]}}\n")
}

/// The command that the finding of this cause names.
fn hinted(host: &Host, cause: &str) -> Vec<String> {
    let report = host.run(["health", "--json"]).json();
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|one| one["cause"] == cause).unwrap_or_else(|| panic!("{report:#}"));
    let hint = finding["hint"].as_str().unwrap();
    let command = hint.split('`').find(|part| part.starts_with("git muster ")).unwrap();
    command.split_whitespace().skip(2).map(str::to_owned).collect()
}

#[test]
fn a_pause_that_cannot_be_read_holds_is_shown_and_ends() {
    let (fleet, ada, bob) = two_servers();
    let hub = fleet.hub();
    for server in ["ada", "bob"] {
        ada.run(["job", "add", "--type", "x", "--label", &format!("server={server}")]).success();
    }
    ada.run(["job", "add", "--type", "x", "--", "true"]).success();
    let resumed = [
        (
            r#"{"id": "queue", "by": "bob", "until": {"at": "soon"}}"#,
            "paused:queue",
            "unreadable: pauses[0]: until",
        ),
        (r#"{"id": "queue", "note": 1, "note": 2}"#, "paused:queue", "unreadable: pauses[0]: "),
        (
            r#"{"id": "server:ada", "by": []}, {"id": "server:bob", "drain": {}}"#,
            "paused:servers",
            "server:bob",
        ),
    ];
    for (rows, cause, shown) in resumed {
        hub.put(MAIN, &[(PAUSES, pauses(rows))], "broken");
        for host in [&ada, &bob] {
            host.run(["job", "claim"]).code(3);
        }
        let list = ada.run(["queue", "list"]).success();
        assert!(list.stdout().contains(shown), "{list}");
        assert!(ada.run(["queue", "list", "--json"]).success().json()[0]["unreadable"].is_object());
        let hint = hinted(&ada, cause);
        if cause == "paused:servers" {
            ada.run(&hint).success();
            ada.run(["worker", "resume", "ada"]).success();
            ada.run(["worker", "resume", "bob"]).success();
        } else {
            ada.run(&hint).success();
        }
        ada.run(["queue", "list"]).success();
        assert_eq!(ada.run(["queue", "list", "--json"]).success().json(), serde_json::json!([]));
        let claim = bob.run(["job", "claim", "--json"]).success().json();
        let (id, token) = (claim["id"].as_str().unwrap(), claim["token"].to_string());
        bob.run(["job", "release", id, "--token", &token]).success();
    }
    // To be set again is to be set: what could not be read is gone with that.
    hub.put(MAIN, &[(PAUSES, pauses(resumed[0].0))], "broken");
    ada.run(["queue", "pause", "--for", "1h"]).success();
    let list = ada.run(["queue", "list", "--json"]).success().json();
    assert!(list.as_array().unwrap().len() == 1 && list[0]["until"].is_string(), "{list}");
    ada.run(["queue", "resume"]).success();
    // What does not say whom it is to hold holds nobody, and is shown.
    hub.put(MAIN, &[(PAUSES, pauses(r#"null, "queue""#))], "broken");
    let list = ada.run(["queue", "list"]).success();
    assert!(list.stdout().contains("unreadable: pauses[1]: "), "{list}");
    assert!(ada.run(["health"]).code(1).stdout().contains("pauses[0]"));
    bob.run(["job", "claim"]).success();
}

#[test]
fn what_stands_still_without_a_word_is_told_by_health_as_by_fsck() {
    let (fleet, ada, _bob) = two_servers();
    let hub = fleet.hub();
    for (jobs, cause) in [
        (
            r#"{"id": "a", "status": "queued", "needs": ["b"]}, {"id": "b", "status": "queued", "needs": ["a"]}"#,
            "needs-in-circle",
        ),
        (r#"{"id": "a", "status": "queued", "needs": ["a"]}"#, "needs-in-circle"),
        (r#"{"id": "a", "status": "on hold"}"#, "unknown-status"),
        (r#"{"id": "a", "status": ""}"#, "unknown-status"),
    ] {
        hub.put(MAIN, &[(JOBS, format!("{{\"jobs\": [{jobs}]}}\n"))], "by hand");
        let found = ada.run(["fsck", "--json"]).json();
        let kinds: Vec<&str> =
            found["findings"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert!(kinds.contains(&cause), "{found:#}");
        ada.run(hinted(&ada, &format!("{cause}:a"))).success();
        let after = ada.run(["health", "--json"]).json().to_string();
        assert!(!after.contains(&format!("{cause}:a")), "{after}");
    }
}
