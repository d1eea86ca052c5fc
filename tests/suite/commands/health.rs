//! `health`, and what the lists of an empty hub say.

use super::two_servers;
use crate::support::{Fleet, MAIN, Transcript};
use insta::assert_snapshot;

#[test]
fn an_empty_hub_lists_nothing() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    ada.run(["init", &fleet.hub().url()]).success();
    let mut said = Transcript::new();
    for noun in ["servers", "status", "job", "message", "op"] {
        said.run(&ada, &format!("{noun} list"));
        said.run(&ada, &format!("{noun} list --json"));
    }
    fleet.hub().put(MAIN, &[("coordination/locks.json", "{\"locks\": {}}\n")], "no locks");
    said.run(&ada, "lock list");
    said.run(&ada, "lock list --json");
    said.run(&ada, "message read");
    said.run(&ada, "message read --json");
    said.run(&ada, "health");
    assert_snapshot!(said, @r"
    ada$ git muster servers list
    ------- stderr -------
    no servers; register this one with `git muster join --as NAME`
    [exit status: 0]
    ada$ git muster servers list --json
    []
    [exit status: 0]
    ada$ git muster status list
    ------- stderr -------
    no statuses
    [exit status: 0]
    ada$ git muster status list --json
    []
    [exit status: 0]
    ada$ git muster job list
    ------- stderr -------
    no jobs
    [exit status: 0]
    ada$ git muster job list --json
    []
    [exit status: 0]
    ada$ git muster message list
    ------- stderr -------
    no messages
    [exit status: 0]
    ada$ git muster message list --json
    []
    [exit status: 0]
    ada$ git muster op list
    ------- stderr -------
    no unresolved operations
    [exit status: 0]
    ada$ git muster op list --json
    []
    [exit status: 0]
    ada$ git muster lock list
    ------- stderr -------
    no locks
    [exit status: 0]
    ada$ git muster lock list --json
    []
    [exit status: 0]
    ada$ git muster message read
    ------- stderr -------
    no unread messages
    [exit status: 0]
    ada$ git muster message read --json
    []
    [exit status: 0]
    ada$ git muster health
    unknown: 0 servers looked at, 1 finding
    LEVEL  SUBJECT  WHAT
    unknown  hub  no server is registered, so there is nothing to judge (register one with `git muster join --as NAME`)
    [exit status: 3]
    ");
}

#[test]
fn health_tells_by_its_exit_code_how_the_fleet_is() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    said.run(&ada, "health");
    ada.run(["heartbeat"]).success();
    bob.run(["heartbeat"]).success();
    said.run(&ada, "health");
    said.run(&ada, "health --json");
    let job = super::added(&ada, &["--label", "quantum"]);
    said.name(&job, "<job>");
    said.run(&ada, "health");
    ada.run(["job", "cancel", &job]).success();
    let stale = |server: &str| {
        let text = format!(
            "{{\"server\": \"{server}\", \"timestamp\": \"2025-10-29T12:00:00Z\", \"interval_seconds\": 60}}\n"
        );
        let branch = format!("heartbeat-{server}");
        let path = format!("{server}/heartbeat.json");
        fleet.hub().put(&branch, &[(path.as_str(), text.as_str())], "an old beat");
        fleet.hub().put(MAIN, &[(path.as_str(), text.as_str())], "an old beat");
    };
    stale("bob");
    let lock = "{\"locks\": {\"deploy\": {\"locked_by\": \"bob\", \"locked_at\": \"2025-10-29T12:00:00Z\", \"expires_at\": \"2025-10-29T12:10:00Z\"}}}\n";
    fleet.hub().put(MAIN, &[("coordination/locks.json", lock)], "an old lock");
    let run = said.ask(&ada, "health").code(2);
    assert!(run.stdout().starts_with("critical: 2 servers looked at, 2 findings"), "{run}");
    said.run(&ada, "health --json");
    said.run(&ada, "health --server ada");
    said.run(&ada, "health --server bob --json");
    said.run(&ada, "health --server carol");
    assert_snapshot!(said, @r#"
    ada$ git muster health
    ok: 2 servers looked at, nothing to report
    [exit status: 0]
    ada$ git muster health
    ok: 2 servers looked at, nothing to report
    [exit status: 0]
    ada$ git muster health --json
    {"schema":1,"kind":"health","level":"ok","checked":2,"findings":[]}
    [exit status: 0]
    ada$ git muster health
    warning: 2 servers looked at, 1 finding
    LEVEL  SUBJECT  WHAT
    warning  <job>  no server has the labels that job `<job>` asks for: quantum (see `git muster job explain <job>`)
    [exit status: 1]
    ada$ git muster health
    critical: 2 servers looked at, 2 findings
    LEVEL  SUBJECT  WHAT
    critical  bob  the last heartbeat of server `bob` is [DURATION] old, it means to beat every [DURATION] (see whether `bob` runs, reaches the hub and beats)
    warning  deploy  lock `deploy`, held by `bob`, expired [DURATION] ago (who needs it takes it over with `git muster lock acquire deploy --wait [DURATION]`, which watches it for its lease first; see `git muster lock show deploy`)
    [exit status: 2]
    ada$ git muster health --json
    {"schema":1,"kind":"health","level":"critical","checked":2,"findings":[{"level":"critical",
      "cause":"heartbeat-stale:bob","subject":"bob","server":"bob",
      "what":"the last heartbeat of server `bob` is [DURATION] old, it means to beat every [DURATION]",
      "hint":"see whether `bob` runs, reaches the hub and beats"},{"level":"warning",
      "cause":"lock-expired:deploy","subject":"deploy","server":"bob","what":"lock `deploy`,
       held by `bob`, expired [DURATION] ago",
      "hint":"who needs it takes it over with `git muster lock acquire deploy --wait [DURATION]`,
       which watches it for its lease first; see `git muster lock show deploy`"}]}
    [exit status: 2]
    ada$ git muster health --server ada
    ok: 1 server looked at, nothing to report
    [exit status: 0]
    ada$ git muster health --server bob --json
    {"schema":1,"kind":"health","level":"critical","checked":1,"findings":[{"level":"critical",
      "cause":"heartbeat-stale:bob","subject":"bob","server":"bob",
      "what":"the last heartbeat of server `bob` is [DURATION] old, it means to beat every [DURATION]",
      "hint":"see whether `bob` runs, reaches the hub and beats"},{"level":"warning",
      "cause":"lock-expired:deploy","subject":"deploy","server":"bob","what":"lock `deploy`,
       held by `bob`, expired [DURATION] ago",
      "hint":"who needs it takes it over with `git muster lock acquire deploy --wait [DURATION]`,
       which watches it for its lease first; see `git muster lock show deploy`"}]}
    [exit status: 2]
    ada$ git muster health --server carol
    ------- stderr -------
    error: server `carol` not found
    hint: list server names with `git muster servers list`
    [exit status: 3]
    "#);
}

#[test]
fn one_beat_that_cannot_be_read_hides_no_other() {
    let (fleet, ada, bob) = two_servers();
    ada.run(["heartbeat"]).success();
    bob.run(["heartbeat"]).success();
    fleet.hub().put(MAIN, &[("bob/heartbeat.json", "{")], "a slip of the hand");
    let mut said = Transcript::new();
    said.run(&ada, "servers list");
    said.run(&ada, "servers show bob");
    said.run(&ada, "health");
    assert_snapshot!(said, @r"
    ada$ git muster servers list
    SERVER  HOST  MANAGER  LABELS  HEARTBEAT
    ada  [HOST]  -  -  [DURATION] ago
    bob  [HOST]  -  gpu  [DURATION] ago
    ------- stderr -------
    warning: unreadable heartbeat of `bob`: `bob/heartbeat.json` on the hub cannot be used: EOF while parsing an object at line 1 column 1 (branch `main`)
    [exit status: 0]
    ada$ git muster servers show bob
    server:  bob
    host:  [HOST]
    labels:  gpu
    joined:  [TIME]
    heartbeat: [DURATION] ago
    ------- stderr -------
    warning: unreadable heartbeat of `bob`: `bob/heartbeat.json` on the hub cannot be used: EOF while parsing an object at line 1 column 1 (branch `main`)
    [exit status: 0]
    ada$ git muster health
    critical: 2 servers looked at, 1 finding
    LEVEL  SUBJECT  WHAT
    critical  bob  a heartbeat of server `bob` cannot be read: `bob/heartbeat.json` on the hub cannot be used: EOF while parsing an object at line 1 column 1 (branch `main`) (the next `git muster heartbeat` on `bob` makes it anew)
    [exit status: 2]
    ");
}

#[test]
fn every_document_that_cannot_be_read_is_named() {
    let (fleet, ada, bob) = two_servers();
    ada.run(["heartbeat"]).success();
    bob.run(["heartbeat"]).success();
    let start = fleet.hub().tip(MAIN).unwrap();
    let conflict: &[u8] = b"{\n<<<<<<< HEAD\n\"a\": 1\n=======\n>>>>>>> theirs\n}\n";
    for (path, text) in [
        ("coordination/jobs.json", conflict),
        ("coordination/locks.json", b""),
        ("coordination/messages.json", b""),
        ("coordination/messages.json", conflict),
        ("coordination/servers.json", conflict),
        ("coordination/pauses.json", b"{\"pauses\": 1}"),
        ("coordination/tokens.json", b"["),
        ("coordination/hub.json", b""),
        ("coordination/archive/jobs-2025-10.json", conflict),
        ("coordination/archive/messages-2025-10.json", b""),
        ("shared/build_config.json", b"version https://git-lfs.github.com/spec/v1\n"),
        ("bob/status.json", b""),
    ] {
        fleet.hub().git(["update-ref", "refs/heads/main", &start]);
        fleet.hub().put(MAIN, &[(path, text)], "broken");
        let run = ada.run(["health"]);
        // A hub whose marker cannot be read may be told before it is judged.
        assert!(run.exit_code() == Some(3) || path.ends_with("hub.json"), "{path}\n{run}");
        assert!(run.stdout().contains(path) || run.stderr().contains(path), "{path}\n{run}");
        let run = ada.run(["doctor", "hub-documents"]);
        assert!(run.stdout().contains(path), "{path}\n{run}");
    }
}
