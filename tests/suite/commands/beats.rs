//! `heartbeat` and `status`.

use super::two_servers;
use crate::support::{Fleet, MAIN, Transcript, Transport, eventually, inspect, need};
use insta::assert_snapshot;
use std::time::Duration;

#[test]
fn a_beat_goes_to_a_branch_of_its_own() {
    let (fleet, ada, _bob) = two_servers();
    let tip = fleet.hub().tip(MAIN);
    let mut said = Transcript::new();
    said.run(&ada, "heartbeat --dry-run");
    assert_eq!(inspect::branches(fleet.hub()), [MAIN]);
    said.run(&ada, "heartbeat");
    said.run(&ada, "heartbeat --interval 30s --json");
    assert_eq!(fleet.hub().tip(MAIN), tip, "a beat does not touch the main branch");
    assert_eq!(inspect::log(fleet.hub(), "heartbeat-ada").len(), 1, "the one commit is replaced");
    said.run(&ada, "heartbeat --on-main");
    assert_ne!(fleet.hub().tip(MAIN), tip);
    for (branch, why) in
        [("auto", "its own"), ("1", "its own"), ("heartbeat-x", "named"), ("main", "history")]
    {
        said.run_with(&ada, "heartbeat", |command| command.env("HEARTBEAT_BRANCH", branch));
        assert!(inspect::content(fleet.hub(), MAIN, "ada/heartbeat.json").is_some(), "{why}");
    }
    for branch in ["release", "a..b", "-x"] {
        said.run_with(&ada, "heartbeat", |command| command.env("HEARTBEAT_BRANCH", branch));
    }
    assert_snapshot!(said, @r#"
    ada$ git muster heartbeat --dry-run
    dry run, not done: heartbeat 1 of `ada` is on branch `heartbeat-ada`
    ------- stderr -------
    warning: dry run: nothing was written
    [exit status: 0]
    ada$ git muster heartbeat
    heartbeat 1 of `ada` is on branch `heartbeat-ada`
    [exit status: 0]
    ada$ git muster heartbeat --interval [DURATION] --json
    {"schema":1,"kind":"heartbeat","server":"ada","pushed":true,"sequence":2,"branch":"heartbeat-ada",
      "revoked":null,"written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    ada$ git muster heartbeat --on-main
    heartbeat 1 of `ada` is on branch `main`
    [exit status: 0]
    ada$ git muster heartbeat
    heartbeat 3 of `ada` is on branch `heartbeat-ada`
    [exit status: 0]
    ada$ git muster heartbeat
    heartbeat 4 of `ada` is on branch `heartbeat-ada`
    [exit status: 0]
    ada$ git muster heartbeat
    heartbeat 5 of `ada` is on branch `heartbeat-x`
    [exit status: 0]
    ada$ git muster heartbeat
    heartbeat 2 of `ada` is on branch `main`
    [exit status: 0]
    ada$ git muster heartbeat
    ------- stderr -------
    error: HEARTBEAT_BRANCH is `release`, which does not start with `heartbeat-`; no heartbeat was sent
    [exit status: 78]
    ada$ git muster heartbeat
    ------- stderr -------
    error: branch `a..b` may not hold `..` or `//`, nor end with a dot or a slash (from HEARTBEAT_BRANCH)
    [exit status: 78]
    ada$ git muster heartbeat
    ------- stderr -------
    error: branch `-x` must begin with a letter or a digit (from HEARTBEAT_BRANCH)
    [exit status: 78]
    "#);
}

#[test]
fn beats_can_be_saved_up() {
    let (fleet, ada, _bob) = two_servers();
    let mut said = Transcript::new();
    for _ in 0..3 {
        said.run_with(&ada, "heartbeat", |command| command.env("HEARTBEAT_PUSH_EVERY", "3"));
    }
    said.run_with(&ada, "heartbeat --json", |command| command.env("HEARTBEAT_PUSH_EVERY", "3"));
    for bad in ["0", "-1", "often"] {
        said.run_with(&ada, "heartbeat", |command| command.env("HEARTBEAT_PUSH_EVERY", bad));
    }
    assert_eq!(inspect::log(fleet.hub(), "heartbeat-ada").len(), 1);
    assert_snapshot!(said, @r#"
    ada$ git muster heartbeat
    heartbeat 1 of 3 of `ada` was not sent: HEARTBEAT_PUSH_EVERY=33
    [exit status: 0]
    ada$ git muster heartbeat
    heartbeat 2 of 3 of `ada` was not sent: HEARTBEAT_PUSH_EVERY=33
    [exit status: 0]
    ada$ git muster heartbeat
    heartbeat 1 of `ada` is on branch `heartbeat-ada`
    [exit status: 0]
    ada$ git muster heartbeat --json
    {"schema":1,"kind":"heartbeat","server":"ada","pushed":false,"kept":1,"push_every":3}
    [exit status: 0]
    ada$ git muster heartbeat
    ------- stderr -------
    error: invalid HEARTBEAT_PUSH_EVERY `0`: it must be a positive number
    [exit status: 78]
    ada$ git muster heartbeat
    ------- stderr -------
    error: invalid HEARTBEAT_PUSH_EVERY `-1`: it must be a positive number
    [exit status: 78]
    ada$ git muster heartbeat
    ------- stderr -------
    error: invalid HEARTBEAT_PUSH_EVERY `often`: it must be a positive number
    [exit status: 78]
    "#);
}

#[test]
fn beats_go_on_until_the_end_is_asked_for() {
    let (fleet, ada, _bob) = two_servers();
    let mut running = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
    running.wait_for_stdout("beat 2 of");
    running.signal("TERM");
    let run = running.wait().success();
    assert!(run.stderr().contains("`ada` has stopped sending heartbeats"), "{run}");
    let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    assert_eq!((&beat["interval_seconds"], &beat["healthy"]), (&1.into(), &true.into()));
    assert!(beat["sequence"].as_u64().unwrap() >= 2, "{beat}");
}

#[test]
fn beats_wait_for_a_hub_that_is_away_when_they_begin() {
    if !need::is_here(&["sshd", "ssh"]) {
        return;
    }
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = fleet.server("ada");
    // Nothing that says which branch it is outlasted the night.
    for (place, name) in [("XDG_CONFIG_HOME", "git-muster"), ("XDG_CACHE_HOME", "git-muster")] {
        std::fs::remove_dir_all(ada.place(place).join(name)).unwrap();
    }
    // Its network comes up later.
    let (up, ssh) = (ada.place("HOME").join("up"), ada.place("HOME").join("late-ssh"));
    let real = fleet.hub().client_env().into_iter().find(|(name, _)| name == "GIT_SSH_COMMAND").unwrap().1;
    let refused = "ssh: connect to host hub.test port 22: Connection refused";
    std::fs::write(
        &ssh,
        format!("[ -e '{}' ] || {{ echo '{refused}' >&2; exit 255; }}\nexec {real} \"$@\"\n", up.display()),
    )
    .unwrap();
    let late = format!("sh {}", ssh.display());
    let mut running =
        ada.command(["heartbeat", "run", "--interval", "1s"]).env("GIT_SSH_COMMAND", late).spawn();
    eventually(Duration::from_secs(20), || running.stderr().contains("error"));
    assert!(!running.has_ended(), "{}", running.stderr());
    std::fs::write(up, "").unwrap();
    running.wait_for_stdout("beat ");
    running.signal("TERM");
    running.wait().success();
}

#[test]
fn beats_that_wait_for_a_silent_hub_end_when_they_are_asked_to() {
    // Connections are made and never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hub = format!("git://{}/hub.git", silent.local_addr().unwrap());
    let fleet = Fleet::new().founded();
    let ada = fleet.host("ada");
    let words = ["--hub", &hub, "--server", "ada", "--hub-timeout", "10s", "heartbeat", "run"];
    let mut running = ada.command(words.iter().chain(&["--interval", "10m"])).spawn();
    eventually(Duration::from_secs(60), || running.stderr().contains("did not answer in time"));
    let asked = std::time::Instant::now();
    running.signal("TERM");
    let run = running.wait().code(7);
    assert!(asked.elapsed() < Duration::from_secs(8), "it asked the hub once more: {run}");
    assert!(run.stderr().contains("nothing was written"), "{run}");
}

#[test]
fn the_history_of_a_heartbeat_branch_can_be_squashed() {
    let (fleet, ada, bob) = two_servers();
    ada.run(["heartbeat"]).success();
    for number in 1..=3 {
        let text = format!("{{\"server\": \"ada\", \"timestamp\": \"2025-10-29T12:00:0{number}Z\"}}\n");
        fleet.hub().put("heartbeat-ada", &[("ada/heartbeat.json", text)], "Heartbeat: ada");
    }
    let before = fleet.hub().tip("heartbeat-ada");
    let mut said = Transcript::new();
    said.run(&bob, "heartbeat squash --server ada --backup --dry-run");
    assert_eq!(fleet.hub().tip("heartbeat-ada"), before);
    said.run(&bob, "heartbeat squash --server ada --backup");
    let backup = inspect::branches(fleet.hub()).into_iter().find(|name| name.starts_with("backup/")).unwrap();
    assert_eq!(fleet.hub().tip(&backup), before, "the backup holds what was there");
    assert_eq!(inspect::log(fleet.hub(), "heartbeat-ada").len(), 1);
    let left = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    assert_eq!(left["timestamp"], "2025-10-29T12:00:03Z");
    said.run(&bob, "heartbeat squash --branch heartbeat-ada");
    said.run(&bob, "heartbeat squash --branch heartbeat-ada --json");
    said.run(&bob, "heartbeat squash --branch main");
    said.run(&bob, "heartbeat squash --branch release");
    said.run(&bob, "heartbeat squash");
    assert_snapshot!(said, @r#"
    bob$ git muster heartbeat squash --server ada --backup --dry-run
    dry run, not done: `heartbeat-ada` would be 1 commit instead of 4; the old history would be `backup/heartbeat-ada-[TIME]`
    [exit status: 0]
    bob$ git muster heartbeat squash --server ada --backup
    `heartbeat-ada` is 1 commit instead of 4; the old history is `backup/heartbeat-ada-[TIME]`
    [exit status: 0]
    bob$ git muster heartbeat squash --branch heartbeat-ada
    `heartbeat-ada` already has only 1 commit
    [exit status: 0]
    bob$ git muster heartbeat squash --branch heartbeat-ada --json
    {"schema":1,"kind":"squash","branch":"heartbeat-ada","commits":1,"backup":null,"dry_run":false}
    [exit status: 0]
    bob$ git muster heartbeat squash --branch main
    ------- stderr -------
    error: `main` is not a heartbeat branch (`heartbeat-...`); nothing was changed
    [exit status: 2]
    bob$ git muster heartbeat squash --branch release
    ------- stderr -------
    error: `release` is not a heartbeat branch (`heartbeat-...`); nothing was changed
    [exit status: 2]
    bob$ git muster heartbeat squash
    ------- stderr -------
    error: branch `heartbeat-bob` not found in the hub
    hint: list servers and their heartbeats with `git muster servers list`
    [exit status: 3]
    "#);
}

#[test]
fn a_server_says_what_it_is_doing() {
    let (_fleet, ada, _bob) = two_servers();
    let mut said = Transcript::new();
    let job = super::added(&ada, &["--branch", "main", "--commit", "4f2c1d9"]);
    said.name(&job, "<job>");
    said.run(&ada, "status set idle");
    said.run(&ada, &format!("status set building --job {job}"));
    said.run(&ada, "status show");
    said.run(&ada, "status show --json");
    said.run(&ada, "status set failed --json");
    said.run(&ada, "status set success --job elsewhere_1");
    said.run(&ada, "status show bob");
    said.run(&ada, "status show carol");
    said.run(&ada, "status list");
    said.run(&ada, "status show --all --json");
    said.run(&ada, "status show bob --all");
    assert_snapshot!(said, @r#"
    ada$ git muster status set idle
    ada is idle
    [exit status: 0]
    ada$ git muster status set building --job <job>
    ada is building
    [exit status: 0]
    ada$ git muster status show
    server:  ada
    status:  building
    updated: [DURATION] ago
    job:  <job>
    branch:  main
    commit:  [COMMIT]
    memory:  [NUMBER] GiB used
    disk:  [NUMBER] GiB free
    [exit status: 0]
    ada$ git muster status show --json
    {"schema":1,"kind":"status","server":"ada","timestamp":"[TIME]","status":"building",
      "current_job":{"id":"<job>","branch":"main","commit":"[COMMIT]","started_at":"[TIME]"},
      "last_build":null,"system":{"memory_used_gb":[NUMBER],"disk_free_gb":[NUMBER]}}
    [exit status: 0]
    ada$ git muster status set failed --json
    {"schema":1,"kind":"status","server":"ada","timestamp":"[TIME]","status":"failed",
      "current_job":null,"last_build":null,"system":{"memory_used_gb":[NUMBER],"disk_free_gb":[NUMBER]},
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    ada$ git muster status set success --job elsewhere_1
    ada is success
    [exit status: 0]
    ada$ git muster status show bob
    server:  bob
    status:  idle
    updated: [DURATION] ago
    [exit status: 0]
    ada$ git muster status show carol
    ------- stderr -------
    error: server `carol` has no status
    hint: list the status of all servers with `git muster status list`
    [exit status: 3]
    ada$ git muster status list
    SERVER  STATUS  JOB  LAST BUILD  UPDATED
    ada  success  elsewhere_1  -  [DURATION] ago
    bob  idle  -  -  [DURATION] ago
    [exit status: 0]
    ada$ git muster status show --all --json
    [{"schema":1,"kind":"status","server":"ada","timestamp":"[TIME]","status":"success",
      "current_job":{"id":"elsewhere_1","branch":null,"commit":null,"started_at":"[TIME]"},
      "last_build":null,"system":{"memory_used_gb":[NUMBER],"disk_free_gb":[NUMBER]}},{"schema":1,
      "kind":"status","server":"bob","timestamp":"[TIME]","status":"idle","current_job":null,
      "last_build":null}]
    [exit status: 0]
    ada$ git muster status show bob --all
    ------- stderr -------
    error: the argument '[SERVER]' cannot be used with '--all'

    Usage: git muster status show <SERVER>

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

/// A copy on main from when the clock was ahead would be the newest beat for hours, whatever the server does.
#[test]
fn a_beat_from_a_clock_that_was_ahead_is_taken_back_by_the_next() {
    let (fleet, ada, bob) = two_servers();
    let at = |time: &str, line: &str| {
        let clock = format!("2026-11-21T{time}Z");
        ada.command(line.split(' ')).env("MUSTER_CLOCK", clock).run().success()
    };
    let main = || {
        inspect::document(fleet.hub(), MAIN, "ada/heartbeat.json")["timestamp"].as_str().unwrap().to_owned()
    };
    at("17:00:00", "status set idle");
    at("17:00:01", "heartbeat");
    assert!(main().as_str() > "2026-11-21T17:", "{}", main());
    // The clock was put right.
    at("12:00:00", "heartbeat");
    assert!(main().as_str() < "2026-11-21T12:02:00Z", "{}", main());
    let tip = fleet.hub().tip(MAIN);
    at("12:01:00", "heartbeat");
    assert_eq!(fleet.hub().tip(MAIN), tip, "once is enough");
    // And then it fell silent.
    let list = bob.command(["health", "--json"]).env("MUSTER_CLOCK", "2026-11-21T14:00:00Z").run();
    let found = list.json();
    let causes: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|one| one["cause"].as_str().unwrap()).collect();
    assert!(causes.contains(&"heartbeat-stale:ada"), "{found:#}");
}

/// Who was seen to beat lately is judged by when it was seen, also between two beats.
#[test]
fn a_server_whose_clock_is_slow_is_judged_by_when_it_was_seen_to_beat() {
    let (_fleet, mut ada, bob) = two_servers();
    bob.run(["heartbeat"]).success();
    let causes = || {
        let report = bob.run(["health", "--json"]).json();
        let findings = report["findings"].as_array().unwrap().clone();
        findings.iter().map(|one| one["cause"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    ada.set("MUSTER_CLOCK", "2025-01-01T12:00:00Z");
    ada.run(["heartbeat"]).success();
    assert_eq!(causes(), ["heartbeat-stale:ada"], "at the first look there is only its word");
    ada.set("MUSTER_CLOCK", "2025-01-01T12:01:00Z");
    ada.run(["heartbeat"]).success();
    for look in ["new", "the same", "the same again"] {
        assert!(causes().is_empty(), "{look}");
    }
    let list = bob.run(["worker", "list", "--json"]).success();
    assert!(!list.stdout().contains("stale"), "{list}");
}
