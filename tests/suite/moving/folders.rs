//! Hubs with folders of servers that no registry names.

use crate::support::{Fleet, Host, MAIN, inspect};

const BEAT: &str =
    r#"{"server":"NAME","timestamp":"2025-11-05T13:31:00Z","uptime_seconds":5,"healthy":true}"#;
const STATUS: &str = r#"{"server":"NAME","ip":"10.1.3.1","manager":"Codex","timestamp":"2025-11-05T13:31:00Z","status":"idle"}"#;

/// A hub as the first scripts kept it: three servers have a folder, and there is no registry.
fn old_hub() -> Fleet {
    let fleet = Fleet::new();
    let mut files = vec![
        ("coordination/jobs.json".to_owned(), r#"{"jobs":[]}"#.to_owned()),
        // What the template holds says nothing yet.
        ("build4/heartbeat.json".to_owned(), r#"{"server":"build4","timestamp":null}"#.to_owned()),
        ("docs/status.json".to_owned(), "{}".to_owned()),
        // Nobody can read it, but something was written here.
        ("code2/heartbeat.json".to_owned(), String::new()),
    ];
    for name in ["build1", "build2"] {
        files.push((format!("{name}/heartbeat.json"), BEAT.replace("NAME", name)));
        files.push((format!("{name}/status.json"), STATUS.replace("NAME", name)));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    fleet.hub().put(MAIN, &files, "an old hub");
    fleet
}

fn registered(host: &Host) -> Vec<String> {
    let table = inspect::document(host.hub(), MAIN, "coordination/servers.json");
    table["servers"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

fn causes(host: &Host) -> Vec<String> {
    let report = host.run(["health", "--json"]).json();
    let findings = report["findings"].as_array().unwrap();
    let causes = findings.iter().map(|one| one["cause"].as_str().unwrap().to_owned());
    causes.filter(|cause| cause.starts_with("server-unregistered")).collect()
}

#[test]
fn the_first_join_registers_the_servers_that_were_there() {
    let fleet = old_hub();
    let build1 = fleet.host("build1");
    let run = build1.run(["join", "--as", "build1", "--json"]).success();
    assert_eq!(run.json()["adopted"], serde_json::json!(["build2", "code2"]));
    assert!(run.stderr().contains("also registered"), "{run}");
    assert_eq!(registered(&build1), ["build1", "build2", "code2"], "and not what the template holds");
    assert_eq!(inspect::log(fleet.hub(), MAIN).len(), 2, "in the commit of the join");
    let table = inspect::document(fleet.hub(), MAIN, "coordination/servers.json");
    assert_eq!(table["servers"][1]["manager"], "Codex", "what its status says of it is known");

    build1.run(["message", "send", "--to", "code2", "--subject", "hi"]).success();
    // The first that comes under a name that was found takes it, a second does not.
    let [build2, other] = ["build2", "other"].map(|name| fleet.host(name));
    build2.run(["join", "--as", "build2"]).success();
    build2.run(["job", "claim"]).code(3);
    other.run(["join", "--as", "build2"]).code(4);
}

#[test]
fn who_is_left_out_is_named_until_it_is_registered() {
    let fleet = old_hub();
    let build1 = fleet.host("build1");
    assert_eq!(causes(&build1).len(), 3, "also before the first join");
    let run = build1.run(["join", "--as", "build1", "--no-adopt"]).success();
    assert!(run.stderr().contains("not registered") && run.stderr().contains("`build2`, `code2`"), "{run}");
    assert_eq!(registered(&build1), ["build1"]);
    assert_eq!(causes(&build1), ["server-unregistered:build2", "server-unregistered:code2"]);
    // Now there is a registry, and folders are registered on request only: what the warning says.
    let again = build1.run(["join", "--as", "build1"]).success();
    assert!(again.stderr().contains("`git muster join --as build1 --adopt`"), "{again}");
    assert_eq!(registered(&build1), ["build1"]);
    build1.run(["join", "--as", "build1", "--adopt"]).success();
    assert_eq!(registered(&build1), ["build1", "build2", "code2"]);
    assert!(causes(&build1).is_empty());
}

#[test]
fn a_server_that_was_removed_is_no_folder_without_a_server_until_it_beats_again() {
    let fleet = Fleet::new().founded();
    let (ada, _bob) = (fleet.server("ada"), fleet.server("bob"));
    ada.run(["servers", "remove", "bob"]).success();
    assert_eq!(inspect::document(fleet.hub(), MAIN, "bob/status.json")["status"], "removed");
    assert!(causes(&ada).is_empty());
    ada.run(["join", "--as", "ada", "--adopt"]).success();
    assert_eq!(registered(&ada), ["ada"], "and it is not taken for one that was there before");
    let later = BEAT.replace("NAME", "bob").replace("2025", "2045");
    fleet.hub().put(MAIN, &[("bob/heartbeat.json", later)], "a script of bob that still runs");
    assert_eq!(causes(&ada), ["server-unregistered:bob"]);
    let bob = fleet.host("bob-again");
    bob.run(["join", "--as", "bob"]).success();
    assert_eq!(inspect::document(fleet.hub(), MAIN, "bob/status.json")["status"], "idle");
}
