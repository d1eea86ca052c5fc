//! `lock`, and `--if-lock` on other writes.

use super::two_servers;
use crate::support::{Fleet, MAIN, Transcript, eventually, inspect};
use insta::assert_snapshot;
use std::time::Duration;

#[test]
fn a_lock_is_held_by_one() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, "lock acquire deploy --dry-run");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    said.run(&ada, "lock acquire deploy --ttl 10m --reason 'release 4.21'");
    said.run(&bob, "lock acquire deploy");
    said.run(&ada, "lock acquire deploy --json");
    said.run(&ada, "lock show deploy");
    said.run(&ada, "lock show deploy --json");
    said.run(&bob, "lock renew deploy --token 1");
    said.run(&ada, "lock renew deploy --token 2");
    said.run(&ada, "lock renew deploy --token 1");
    said.run(&ada, "lock renew deploy --token 1 --ttl 1h --json");
    said.run(&bob, "lock release deploy --token 1");
    said.run(&ada, "lock release deploy");
    said.run_with(&ada, "lock release deploy", |command| command.env("MUSTER_LOCK_TOKEN", "1"));
    said.run(&ada, "lock release deploy --token 1");
    said.run(&ada, "lock renew deploy --token 1");
    said.run(&bob, "lock acquire deploy --json");
    said.run(&ada, "lock list");
    said.run(&ada, "lock list --json");
    assert_snapshot!(said, @r#"
    ada$ git muster lock acquire deploy --dry-run
    dry run, not done: 1
    ------- stderr -------
    warning: dry run: nothing was written
    [exit status: 0]
    ada$ git muster lock acquire deploy --ttl [DURATION] --reason 'release 4.21'
    1
    [exit status: 0]
    bob$ git muster lock acquire deploy
    ------- stderr -------
    error: lock `deploy` is held by `ada` ([HOST] pid [PID]) since [TIME] ([DURATION] ago)
    hint: wait for the lock with `--wait [DURATION]`, or inspect it with `git muster lock show deploy`
    [exit status: 4]
    ada$ git muster lock acquire deploy --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":4,"error":"lock `deploy` is held by `ada` ([HOST] pid [PID]) since [TIME] ([DURATION] ago)","hints":["wait for the lock with `--wait [DURATION]`, or inspect it with `git muster lock show deploy`"],"op":null,"code":"lock-held","retry":"later","written":false,"facts":{"lock":"deploy","holder":"ada","process":"[HOST] pid [PID]","since":"[TIME]","token":1,"lease_seconds":600,"expired_seconds":null,"at":"[TIME]"},"errors":[]}
    [exit status: 4]
    ada$ git muster lock show deploy
    lock:  deploy
    state:  held
    held by: ada
    holder:  [HOST] pid [PID]
    since:  [DURATION] ago
    lease:  [DURATION]
    token:  1
    reason:  release 4.21
    [exit status: 0]
    ada$ git muster lock show deploy --json
    {"schema":1,"kind":"lock","name":"deploy","state":"held","locked_by":"ada","locked_at":"[TIME]",
      "expires_at":"[TIME]","token":1,"lease_seconds":600,"renewal":0,"holder":"[HOST] pid [PID]",
      "reason":"release 4.21"}
    [exit status: 0]
    bob$ git muster lock renew deploy --token 1
    ------- stderr -------
    error: cannot renew lock `deploy`: `ada` holds the lock with token 1
    [exit status: 4]
    ada$ git muster lock renew deploy --token 2
    ------- stderr -------
    error: cannot renew lock `deploy`: token 2 was never issued; `ada` holds the lock with token 1
    [exit status: 5]
    ada$ git muster lock renew deploy --token 1
    lock `deploy` is renewed for [DURATION]
    [exit status: 0]
    ada$ git muster lock renew deploy --token 1 --ttl [DURATION] --json
    {"schema":1,"kind":"lock_term","name":"deploy","token":1,"lease_seconds":3600,
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    bob$ git muster lock release deploy --token 1
    ------- stderr -------
    error: cannot release lock `deploy`: `ada` holds the lock with token 1
    [exit status: 4]
    ada$ git muster lock release deploy
    ------- stderr -------
    error: no token for lock `deploy` given, and MUSTER_LOCK_TOKEN is not set; nothing was done
    hint: pass the token of lock `deploy` with `--token`
    [exit status: 2]
    ada$ git muster lock release deploy
    lock `deploy` is free
    [exit status: 0]
    ada$ git muster lock release deploy --token 1
    lock `deploy` is free, as reported before
    [exit status: 0]
    ada$ git muster lock renew deploy --token 1
    ------- stderr -------
    error: cannot renew lock `deploy`: token 1 is no longer valid; the lock is free, last token 1
    [exit status: 5]
    bob$ git muster lock acquire deploy --json
    {"schema":1,"kind":"lock_term","name":"deploy","token":2,"lease_seconds":600,
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    ada$ git muster lock list
    LOCK  STATE  HELD BY  TOKEN  SINCE  REASON
    job_assignment  free  -  -  -  -
    config_update  free  -  -  -  -
    deploy  held  bob  2  [DURATION] ago  -
    [exit status: 0]
    ada$ git muster lock list --json
    [{"schema":1,"kind":"lock","name":"job_assignment","state":"free","locked_by":null,"locked_at":null,
      "expires_at":null},{"schema":1,"kind":"lock","name":"config_update","state":"free",
      "locked_by":null,"locked_at":null,"expires_at":null},{"schema":1,"kind":"lock","name":"deploy",
      "state":"held","locked_by":"bob","locked_at":"[TIME]","expires_at":"[TIME]","token":2,
      "lease_seconds":600,"renewal":0,"holder":"[HOST] pid [PID]"}]
    [exit status: 0]
    "#);
}

#[test]
fn what_is_no_lock_is_refused() {
    let (fleet, ada, _bob) = two_servers();
    let tip = fleet.hub().tip(MAIN);
    let mut said = Transcript::new();
    for line in [
        "show nothing",
        "renew nothing --token 1",
        "release nothing --token 1",
        "steal nothing --reason x",
        "steal deploy",
        "acquire ../x",
        "acquire deploy --ttl 1s",
        "acquire deploy --ttl never",
        "acquire deploy --reason token=0123456789abcdef",
        "run deploy",
    ] {
        said.run(&ada, &format!("lock {line}"));
    }
    let long = "x".repeat(501);
    ada.run(["lock", "acquire", "deploy", "--reason", &long]).code(2);
    assert_eq!(fleet.hub().tip(MAIN), tip);
    assert_snapshot!(said, @r"
    ada$ git muster lock show nothing
    ------- stderr -------
    error: lock `nothing` not found
    hint: list lock names with `git muster lock list`
    [exit status: 3]
    ada$ git muster lock renew nothing --token 1
    ------- stderr -------
    error: lock `nothing` not found
    hint: list lock names with `git muster lock list`
    [exit status: 3]
    ada$ git muster lock release nothing --token 1
    ------- stderr -------
    error: lock `nothing` not found
    hint: list lock names with `git muster lock list`
    [exit status: 3]
    ada$ git muster lock steal nothing --reason x
    ------- stderr -------
    error: lock `nothing` not found
    hint: list lock names with `git muster lock list`
    [exit status: 3]
    ada$ git muster lock steal deploy
    ------- stderr -------
    error: the following required arguments were not provided:
      --reason <REASON>

    Usage: git muster lock steal --reason <REASON> <NAME>

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster lock acquire ../x
    ------- stderr -------
    error: invalid value '../x' for '<NAME>': lock name `../x` must begin with a letter or a digit

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster lock acquire deploy --ttl [DURATION]
    ------- stderr -------
    error: a lease of [DURATION] is too short for renewals; use at least [DURATION]
    [exit status: 2]
    ada$ git muster lock acquire deploy --ttl never
    ------- stderr -------
    error: invalid value 'never' for '--ttl <DURATION>': give a span of time such as [DURATION], [DURATION], 1h30m or [DURATION]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster lock acquire deploy --reason token=[COMMIT]
    ------- stderr -------
    error: the reason seems to contain an access token; the lock was not taken
    [exit status: 2]
    ada$ git muster lock run deploy
    ------- stderr -------
    error: the following required arguments were not provided:
      <COMMAND>...

    Usage: git muster lock run <NAME> -- <COMMAND>...

    For more information, try '--help'.
    [exit status: 2]
    ");
}

#[test]
fn a_stolen_lock_is_lost_to_its_holder() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    said.run(&ada, "lock acquire deploy");
    said.run(&bob, "lock steal deploy --reason 'ada was reinstalled' --ttl 2m --force");
    said.run(&ada, "lock renew deploy --token 1");
    said.run(&ada, "lock release deploy --token 1");
    said.run(&ada, "lock show deploy");
    said.run(&ada, "lock steal deploy --reason 'back again' --json --force");
    assert_snapshot!(said, @r#"
    ada$ git muster lock acquire deploy
    1
    [exit status: 0]
    bob$ git muster lock steal deploy --reason 'ada was reinstalled' --ttl [DURATION] --force
    2
    [exit status: 0]
    ada$ git muster lock renew deploy --token 1
    ------- stderr -------
    error: cannot renew lock `deploy`: token 1 has been superseded; `bob` holds the lock with token 2
    [exit status: 5]
    ada$ git muster lock release deploy --token 1
    ------- stderr -------
    error: cannot release lock `deploy`: token 1 has been superseded; `bob` holds the lock with token 2
    [exit status: 5]
    ada$ git muster lock show deploy
    lock:  deploy
    state:  held
    held by: bob
    holder:  [HOST] pid [PID]
    since:  [DURATION] ago
    lease:  [DURATION]
    token:  2
    reason:  ada was reinstalled
    [exit status: 0]
    ada$ git muster lock steal deploy --reason 'back again' --json --force
    {"schema":1,"kind":"lock_term","name":"deploy","token":3,"lease_seconds":600,
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    "#);
}

#[test]
fn a_waiter_gets_the_lock_when_it_is_released_or_its_lease_ends() {
    let (fleet, ada, bob) = two_servers();
    ada.run(["lock", "acquire", "deploy", "--ttl", "2s"]).success();
    let taken = bob.run(["lock", "acquire", "deploy", "--wait", "30s"]).success();
    assert_eq!(taken.stdout(), "2\n", "a lease that nobody renews ends");
    assert!(taken.stderr().contains("s: lock `deploy` is held by `ada`"), "{taken}");
    assert!(inspect::log(fleet.hub(), MAIN)[0].subject.starts_with("lock take over: deploy by bob"));
    ada.run(["lock", "renew", "deploy", "--token", "1"]).code(5);
    let waiting = ada.command(["lock", "acquire", "deploy", "--wait", "30s"]).spawn();
    eventually(Duration::from_secs(10), || waiting.stderr().contains("waiting"));
    bob.run(["lock", "release", "deploy", "--token", "2"]).success();
    assert_eq!(waiting.wait().success().stdout(), "3\n");
    let refused = bob.run(["lock", "acquire", "deploy", "--wait", "1s"]).code(4);
    assert!(refused.stderr().contains("held by `ada`"), "{refused}");
}

#[test]
fn a_command_runs_while_the_lock_is_held() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    said.run(
        &ada,
        "lock run deploy --reason test -- sh -c 'echo $MUSTER_LOCK_NAME $MUSTER_LOCK_TOKEN; exit 17'",
    );
    said.run(&bob, "lock show deploy");
    said.run(&ada, "lock run deploy -- sh -c 'kill -TERM $$'");
    said.run(&ada, "lock run deploy -- /no/such/program");
    said.run(&ada, "lock run deploy --dry-run -- echo this runs");
    bob.run(["lock", "acquire", "deploy"]).success();
    said.run(&ada, "lock run deploy -- echo this does not");
    let subjects: Vec<String> =
        inspect::log(fleet.hub(), MAIN).into_iter().map(|commit| commit.subject).collect();
    assert_eq!(subjects[1], "lock release: deploy by ada");
    assert_snapshot!(said, @r"
    ada$ git muster lock run deploy --reason test -- sh -c 'echo $MUSTER_LOCK_NAME $MUSTER_LOCK_TOKEN; exit 17'
    deploy 1
    [exit status: 17]
    bob$ git muster lock show deploy
    lock:  deploy
    state: free
    token: 1
    [exit status: 0]
    ada$ git muster lock run deploy -- sh -c 'kill -TERM $$'
    [exit status: 143]
    ada$ git muster lock run deploy -- /no/such/program
    ------- stderr -------
    error: cannot run `/no/such/program`: No such file or directory (os error 2); the lock was released
    [exit status: 127]
    ada$ git muster lock run deploy --dry-run -- echo this runs
    ------- stderr -------
    warning: dry run: nothing was written
    dry run: `echo` was not run
    [exit status: 0]
    ada$ git muster lock run deploy -- echo this does not
    ------- stderr -------
    error: lock `deploy` is held by `bob` ([HOST] pid [PID]) since [TIME] ([DURATION] ago)
    hint: wait for the lock with `--wait [DURATION]`, or inspect it with `git muster lock show deploy`
    [exit status: 4]
    ");
}

#[test]
fn a_command_whose_lease_is_lost_is_stopped() {
    let (_fleet, ada, bob) = two_servers();
    let script = "trap 'echo stopped; exit 0' TERM; echo begun; tail -f /dev/null & wait";
    let mut running = ada.command(["lock", "run", "deploy", "--ttl", "2s", "--", "sh", "-c", script]).spawn();
    running.wait_for_stdout("begun");
    bob.run(["lock", "steal", "deploy", "--reason", "test", "--force"]).success();
    let run = running.wait().code(5);
    assert_eq!(run.stdout(), "begun\nstopped\n");
    assert!(run.stderr().contains("the command was stopped"), "{run}");
}

#[test]
fn a_lease_is_renewed_for_as_long_as_the_command_runs() {
    let (fleet, ada, bob) = two_servers();
    let script = "read -r _ < fifo";
    ada.program("mkfifo").args(["fifo"]).run().success();
    let running = ada.command(["lock", "run", "deploy", "--ttl", "2s", "--", "sh", "-c", script]).spawn();
    let renewals = || {
        let locks = inspect::document(fleet.hub(), MAIN, "coordination/locks.json");
        locks["locks"]["deploy"]["renewal"].as_u64().unwrap_or(0)
    };
    eventually(Duration::from_secs(20), || renewals() >= 4);
    bob.run(["lock", "acquire", "deploy"]).code(4);
    ada.program("sh").args(["-c", "echo > fifo"]).run().success();
    running.wait().success();
}

#[test]
fn asking_lock_run_to_end_ends_the_command_and_frees_the_lock() {
    let (_fleet, ada, bob) = two_servers();
    let mut running = ada
        .command(["lock", "run", "deploy", "--", "sh", "-c", "echo begun; exec tail -f /dev/null"])
        .spawn();
    running.wait_for_stdout("begun");
    running.signal("TERM");
    running.wait().code(143);
    bob.run(["lock", "acquire", "deploy"]).success();
}

/// Every kind of write, under a right token, a wrong one and one of a lock that never was.
/// What cannot be bound to a lock says so and does nothing.
#[test]
fn a_guard_is_never_passed_over_in_silence() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["lock", "acquire", "gate"]).success();
    ada.run(["lock", "release", "gate", "--token", "1"]).success();
    ada.run(["heartbeat"]).success();
    let before = [fleet.hub().tip(MAIN), fleet.hub().tip("heartbeat-ada")];
    let new = ada.directory().join("new.git").display().to_string();
    let hub = fleet.hub().url();
    for line in [
        &["import", &hub][..],
        &["heartbeat", "squash"],
        &["doctor", "--fix"],
        &["rollback", "tag", "job_1", "--source", &hub],
        &["op", "resume", "01234567-89ab-4cde-8f01-23456789abcd"],
        &["init", &new],
    ] {
        let run = ada.run([&["--if-lock", "gate=1"][..], line].concat());
        assert!(run.exit_code() == Some(2) && run.stderr().contains("does not support `--if-lock`"), "{run}");
    }
    assert_eq!([fleet.hub().tip(MAIN), fleet.hub().tip("heartbeat-ada")], before);
    assert!(!std::path::Path::new(&new).exists());
}

#[test]
fn a_lock_that_was_taken_under_another_is_given_back_although_the_other_is_lost() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["lock", "acquire", "outer"]).success();
    let script = "$MUSTER lock release outer --token 1";
    let run = ada
        .command(["--if-lock", "outer=1", "lock", "run", "inner", "--ttl", "1h", "--", "sh", "-c", script])
        .env("MUSTER", env!("CARGO_BIN_EXE_git-muster"))
        .run()
        .code(5);
    assert!(run.stderr().contains("lock `inner` was given back"), "{run}");
    let lock = ada.run(["lock", "show", "inner", "--json"]).success().json();
    assert_eq!(lock["state"], "free", "{lock}");
}

#[test]
fn a_write_under_a_lock_is_refused_when_the_lock_is_lost() {
    let (fleet, ada, bob) = two_servers();
    let job = super::added(&ada, &[]);
    let message = ada.run(["message", "send", "--to", "bob", "--subject", "hi"]).success();
    ada.run(["lock", "acquire", "deploy"]).success();
    let writes: [&[&str]; 13] = [
        &["heartbeat"],
        &["heartbeat", "--on-main"],
        &["status", "set", "building"],
        &["lock", "acquire", "other"],
        &["queue", "pause", "--label", "gpu"],
        &["worker", "pause", "ada"],
        &["job", "add", "--type", "build"],
        &["job", "priority", &job, "1"],
        &["message", "send", "--to", "all", "--subject", "done"],
        &["message", "ack", message.stdout().trim()],
        &["job", "claim"],
        &["servers", "remove", "carol"],
        &["archive", "--older-than", "0s"],
    ];
    for write in writes {
        let tip = fleet.hub().tip(MAIN);
        for guard in ["deploy=2", "deploy=0", "never=1"] {
            let run = bob.run(["--if-lock", guard].iter().chain(write)).code(5);
            assert!(run.stderr().contains("lock `"), "{run}");
        }
        assert_eq!(fleet.hub().tip(MAIN), tip, "{write:?}");
        if !write.contains(&"carol") {
            bob.run(["--if-lock", "deploy=1"].iter().chain(write)).success();
        }
    }
    ada.run(["lock", "release", "deploy", "--token", "1"]).success();
    let mut said = Transcript::new();
    said.run(&ada, "--if-lock deploy=1 status set idle");
    said.run(&ada, "--if-lock never=1 status set idle --json");
    assert_snapshot!(said, @r#"
    ada$ git muster --if-lock deploy=1 status set idle
    ------- stderr -------
    error: lock `deploy` is not held with token 1: token 1 is no longer valid; the lock is free, last token 1
    [exit status: 5]
    ada$ git muster --if-lock never=1 status set idle --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":5,"error":"lock `never` has never been held, so token 1 is not valid","hints":[],"op":null,"code":"lock-condition-failed","retry":"no","written":false,"facts":{"lock":"never","token":1,"cause":"never-taken","last_token":null,"holder":null,"expected_holder":null},"errors":[]}
    [exit status: 5]
    "#);
}

#[test]
fn a_token_that_an_older_writer_drops_is_not_given_again() {
    let (fleet, ada, bob) = two_servers();
    let path = "coordination/locks.json";
    for token in 1..=3 {
        let given = ada.run(["lock", "acquire", "deploy"]).success();
        assert_eq!(given.stdout().trim(), token.to_string());
        ada.run(["lock", "release", "deploy", "--token", &token.to_string()]).success();
    }
    let free = r#"{"locked_by": null, "locked_at": null, "expires_at": null}"#;
    for (written, expected) in [
        (format!(r#"{{"locks": {{"deploy": {free}}}}}"#), "4"),
        (r#"{"locks": {}}"#.to_owned(), "5"),
        (r#"{"locks": {"deploy": {"locked_by": null, "token": 2}}}"#.to_owned(), "6"),
    ] {
        fleet.hub().put(MAIN, &[(path, &written)], "an older writer");
        let told = bob.run(["fsck"]).success();
        assert_eq!(told.stdout().contains("(token-lowered)"), written.contains("deploy"), "{told}");
        assert_eq!(bob.run(["lock", "acquire", "deploy"]).success().stdout().trim(), expected);
        bob.run(["lock", "release", "deploy", "--token", expected]).success();
    }
    // One that is held there stays so, and who steals it gets a higher one.
    let held = r#"{"locks": {"deploy": {"locked_by": "ada", "locked_at": null, "expires_at": null}}}"#;
    fleet.hub().put(MAIN, &[(path, held)], "an older writer");
    ada.run(["--if-lock", "deploy=6", "status", "set", "idle"]).code(5);
    bob.run(["lock", "acquire", "deploy"]).code(4);
    let stolen = bob.run(["lock", "steal", "deploy", "--reason", "test", "--force"]).success();
    assert!(stolen.stdout().contains('7'), "{stolen}");
}
