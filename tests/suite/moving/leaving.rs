//! What waits for nobody: messages to names that are no server, and what a removed server leaves.

use crate::support::{Fleet, Host, MAIN, inspect};
use serde_json::json;

fn messages(host: &Host) -> Vec<String> {
    let table = inspect::document(host.hub(), MAIN, "coordination/messages.json");
    table["messages"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn messages_that_nobody_can_read_go_to_the_archive() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let one = |id: &str, to: &str| {
        json!({"id": id, "from": "ada", "to": to, "type": "info", "subject": "s", "body": "b",
               "timestamp": "2025-11-13 01:00", "read": false})
    };
    let rows = [one("msg_1", "architect"), one("msg_2", "bob"), one("msg_3", "all"), one("msg_4", "")];
    let text = json!({"messages": rows}).to_string();
    fleet.hub().put(MAIN, &[("coordination/messages.json", text)], "an old writer");
    let run = ada.run(["archive", "--json"]).success();
    assert_eq!(run.json()["messages"], 2);
    assert_eq!(messages(&ada), ["msg_2", "msg_3"], "what a server may still read stays");
    // Who read what was for all is asked of the servers of now.
    bob.run(["message", "read", "msg_3"]).success();
    ada.run(["archive"]).success();
    assert_eq!(messages(&ada), ["msg_2"]);
    ada.run(["archive", "--unread-older-than", "30000d"]).success();
    assert_eq!(messages(&ada), ["msg_2"], "younger than that");
    ada.run(["archive", "--unread-older-than", "30d"]).success();
    assert!(messages(&ada).is_empty());
    let archive = inspect::document(fleet.hub(), MAIN, "coordination/archive/messages-2025-11.json");
    assert_eq!(archive["messages"].as_array().unwrap().len(), 4, "nothing is lost");
    ada.run(["fsck"]).success();
}

#[test]
fn a_server_that_leaves_takes_along_what_waits_for_it() {
    let fleet = Fleet::new().founded();
    let (ada, bob, _carl) = (fleet.server("ada"), fleet.server("bob"), fleet.server("carl"));
    let send = |to: &str| {
        let run = ada.run(["message", "send", "--to", to, "--subject", "s", "--ack"]).success();
        run.stdout().trim().to_owned()
    };
    let (_to_bob, to_all) = (send("bob"), send("all"));
    fleet.host("carl-too").command(["message", "ack", &to_all]).env("MUSTER_SERVER", "carl").run().success();
    let pauses = r#"{"pauses":[{"id":"server:bob","by":"ada"},{"id":"label:x","by":"ada"}]}"#;
    fleet.hub().put(MAIN, &[("coordination/pauses.json", pauses)], "two pauses");
    ada.run(["servers", "remove", "bob"]).success();
    assert_eq!(messages(&ada), [to_all.as_str()], "what was for bob alone is in the archive");
    let table = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    assert_eq!(
        (&table["messages"][0]["read"], &table["messages"][0]["ack_status"]),
        (&json!(true), &json!("completed")),
        "what was for all waits for bob no longer"
    );
    let pauses = inspect::document(fleet.hub(), MAIN, "coordination/pauses.json");
    assert_eq!(pauses["pauses"], json!([{"id": "label:x", "by": "ada"}]));
    ada.run(["archive", "--older-than", "0s"]).success();
    assert!(messages(&ada).is_empty());
    bob.run(["heartbeat"]).code(4);
    ada.run(["fsck", "--history"]).success();
}

#[test]
fn what_a_removed_server_holds_is_named_and_taken_on_request() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let job = ada.run(["job", "add", "--type", "x"]).success().stdout().trim().to_owned();
    bob.run(["lock", "acquire", "deploy"]).success();
    let refused = ada.run(["servers", "remove", "bob"]).code(4);
    assert!(refused.stderr().contains("it holds lock `deploy`"), "{refused}");
    assert!(refused.stderr().contains("`git muster servers remove bob --force`"), "{refused}");
    bob.run(["job", "claim"]).success();
    bob.run(["heartbeat"]).success();
    ada.run(["servers", "remove", "bob"]).code(4);
    let run = ada.run(["servers", "remove", "bob", "--force"]).success();
    assert!(run.stdout().contains(&format!("requeued: `{job}`; released: `deploy`")), "{run}");
    assert!(run.stderr().contains("branch -D heartbeat-bob`"), "{run}");
    assert_eq!(inspect::job(fleet.hub(), &job)["status"], "queued");
    // Its term is over: who comes next has a higher token.
    bob.run(["lock", "release", "deploy", "--token", "1"]).code(5);
    let next = ada.run(["lock", "acquire", "deploy", "--json"]).success();
    assert_eq!(next.json()["token"], 2);
    ada.run(["fsck", "--history"]).success();
}

#[test]
fn what_is_held_under_the_name_before_is_told_by_join() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let run = ada.run(["join", "--as", "eve"]).success();
    assert!(!run.stderr().contains("still holds"), "{run}");
    let job = ada.run(["job", "add", "--type", "x"]).success().stdout().trim().to_owned();
    ada.run(["job", "claim"]).success();
    ada.run(["lock", "acquire", "deploy"]).success();
    let run = ada.run(["join", "--as", "new"]).success();
    let told = format!("this machine still holds as `ada`: job `{job}`, lock `deploy`; until that has ended");
    assert!(run.stderr().contains(&told), "{run}");
    assert!(run.stderr().contains("`git muster --server ada heartbeat run`"), "{run}");
    let mut beats = ada.command(["--server", "ada", "heartbeat", "run"]).env_remove("MUSTER_SERVER").spawn();
    beats.wait_for_stdout("of `ada` is on branch");
    let report = ["--server", "ada", "job", "complete", &job, "--token", "1"];
    ada.command(report).env_remove("MUSTER_SERVER").run().success();
    ada.command(["--server", "ada", "lock", "release", "deploy", "--token", "1"]).run().success();
    beats.signal("TERM");
    beats.wait().success();
    ada.command(["servers", "remove", "ada"]).env("MUSTER_SERVER", "new").run().success();
}
