//! `once`, `fence`, `op`, `archive`, and that a dry run writes nothing whatever the verb.

use super::{added, two_servers};
use crate::support::{MAIN, Transcript, inspect};
use insta::assert_snapshot;
use serde_json::json;
use std::fs;

/// The example of the help, in a shell: the server that comes second must not take `done` for `do`.
#[test]
fn the_example_of_once_runs_the_task_on_one_server() {
    let (_fleet, ada, bob) = two_servers();
    let help = ada.run(["once", "do", "--help"]).success().stdout().to_owned();
    let example: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Example"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .collect();
    assert!(example.len() > 3, "{help}");
    let script = example.join("\n").replace("./migrate", "echo migrated");
    let path = std::path::Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap();
    let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
    let runs =
        [&ada, &bob].map(|host| host.program("sh").args(["-c", &script]).env("PATH", &path).run().success());
    assert!(runs[0].stdout().contains("migrated") && !runs[1].stdout().contains("migrated"), "{runs:?}");
    assert!(runs[1].stdout().contains("another server did it"), "{runs:?}");
}

#[test]
fn a_thing_done_once_is_done_by_one() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    said.run(&ada, "once do migrate");
    said.run(&bob, "once do migrate");
    said.run(&bob, "once done migrate --token 1");
    said.run(&ada, "once done migrate --token 2");
    said.run(&ada, "once done migrate --token 1");
    said.run(&ada, "once done migrate --token 1");
    said.run(&bob, "once do migrate");
    said.run(&bob, "once do migrate --json");
    said.run(&bob, "once done never --token 1");
    said.run(&bob, "lock acquire migrate");
    said.run(&bob, "lock show migrate");
    said.run(&bob, "once do other --json");
    assert_snapshot!(said, @r#"
    ada$ git muster once do migrate
    do 1
    [exit status: 0]
    bob$ git muster once do migrate
    ------- stderr -------
    error: lock `migrate` is held by `ada` ([HOST] pid [PID]) since [TIME] ([DURATION] ago)
    hint: wait for the lock with `--wait [DURATION]`, or inspect it with `git muster lock show migrate`
    [exit status: 4]
    bob$ git muster once done migrate --token 1
    ------- stderr -------
    error: cannot release lock `migrate`: `ada` holds the lock with token 1
    [exit status: 4]
    ada$ git muster once done migrate --token 2
    ------- stderr -------
    error: cannot release lock `migrate`: token 2 was never issued; `ada` holds the lock with token 1
    [exit status: 5]
    ada$ git muster once done migrate --token 1
    `migrate` is done
    [exit status: 0]
    ada$ git muster once done migrate --token 1
    `migrate` is done
    [exit status: 0]
    bob$ git muster once do migrate
    done
    [exit status: 0]
    bob$ git muster once do migrate --json
    {"schema":1,"kind":"once","key":"migrate","answer":"done"}
    [exit status: 0]
    bob$ git muster once done never --token 1
    ------- stderr -------
    error: lock `never` not found
    hint: list lock names with `git muster lock list`
    [exit status: 3]
    bob$ git muster lock acquire migrate
    ------- stderr -------
    error: `migrate` is already done, since [TIME]
    [exit status: 3]
    bob$ git muster lock show migrate
    lock:  migrate
    state:  done
    token:  1
    reason: done once by ada
    [exit status: 0]
    bob$ git muster once do other --json
    {"schema":1,"kind":"once","key":"other","answer":"do","token":1,"written":{"hub":"[HUB]/hub.git",
      "branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    "#);
}

#[test]
fn a_fence_lets_no_earlier_term_pass() {
    let (_fleet, ada, _bob) = two_servers();
    let mut said = Transcript::new();
    let check = "fence check --state fence.json --name deploy --token";
    said.run(&ada, &format!("{check} 7 -- sh -c 'echo effect; exit 4'"));
    said.run(&ada, &format!("{check} 7 --json"));
    said.run(&ada, &format!("{check} 6 -- echo effect"));
    said.run(&ada, &format!("{check} 8"));
    said.run(&ada, &format!("{check} 7 --json -- echo effect"));
    said.run(&ada, "fence check --state fence.json --name other --token 1 -- echo effect");
    // What is kept of one lock stays when another comes along.
    ada.run(format!("{check} 7").split(' ')).code(5);
    let from_lock_run =
        format!("{} fence check --state fence.json && echo effect", env!("CARGO_BIN_EXE_git-muster"));
    let run = ada.run(["lock", "run", "third", "--", "sh", "-c", &from_lock_run]).success();
    assert!(run.stdout().ends_with("effect\n"), "{run}");
    said.run(&ada, &format!("{check} 9 -- /no/such/program"));
    fs::write(ada.directory().join("fence.json"), "{").unwrap();
    said.run(&ada, &format!("{check} 10 -- echo effect"));
    said.run(&ada, &format!("{check} x"));
    assert_snapshot!(said, @r#"
    ada$ git muster fence check --state fence.json --name deploy --token 7 -- sh -c 'echo effect; exit 4'
    effect
    [exit status: 4]
    ada$ git muster fence check --state fence.json --name deploy --token 7 --json
    {"schema":1,"kind":"fence","name":"deploy","token":7,"passed":true}
    [exit status: 0]
    ada$ git muster fence check --state fence.json --name deploy --token 6 -- echo effect
    ------- stderr -------
    error: token 6 of lock `deploy` has been superseded: token 7 was seen here; nothing was run
    [exit status: 5]
    ada$ git muster fence check --state fence.json --name deploy --token 8
    token 8 of lock `deploy` passes
    [exit status: 0]
    ada$ git muster fence check --state fence.json --name deploy --token 7 --json -- echo effect
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":5,"error":"token 7 of lock `deploy` has been superseded: token 8 was seen here; nothing was run","hints":[],"op":null,"code":"token-superseded","retry":"no","written":false,"facts":{"kind":"lock","id":"deploy","action":null,"token":7,"last_token":8,"status":null,"holder":null},"errors":[]}
    [exit status: 5]
    ada$ git muster fence check --state fence.json --name other --token 1 -- echo effect
    effect
    [exit status: 0]
    ada$ git muster fence check --state fence.json --name deploy --token 9 -- /no/such/program
    ------- stderr -------
    error: cannot run `/no/such/program`: No such file or directory (os error 2)
    [exit status: 127]
    ada$ git muster fence check --state fence.json --name deploy --token 10 -- echo effect
    ------- stderr -------
    error: cannot use `[FLEET]/ada/work/fence.json`: EOF while parsing an object at line 1 column 1; nothing was run
    hint: once no process with an earlier token is left, remove it with `rm [FLEET]/ada/work/fence.json`; the next check creates it again
    [exit status: 1]
    ada$ git muster fence check --state fence.json --name deploy --token x
    ------- stderr -------
    error: invalid value 'x' for '--token <TOKEN>': invalid digit found in string

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

#[test]
fn a_token_that_nobody_can_have_been_given_passes_no_fence_and_stays_nowhere() {
    let (_fleet, ada, _bob) = two_servers();
    let state = ada.directory().join("fence.json");
    let check = |token: &str| {
        ada.run([
            "fence",
            "check",
            "--state",
            "fence.json",
            "--name",
            "deploy",
            "--token",
            token,
            "--",
            "true",
        ])
    };
    for token in [0, u64::MAX, 1 << 53, 1 << 52] {
        let run = check(&token.to_string()).code(2);
        assert!(run.stderr().contains("invalid token"), "{run}");
        assert!(!state.exists());
    }
    check("2").success();
    check(&((1_u64 << 51) - 1).to_string()).success();
    let kept = format!(r#"{{"highest": {{"deploy": {}}}}}"#, u64::MAX);
    for (text, code) in [(&b""[..], 1), (b"[]", 1), (b"\xff\xfe", 1), (kept.as_bytes(), 5)] {
        fs::write(&state, text).unwrap();
        let run = check("2").code(code);
        assert!(run.stderr().contains("nothing was run"), "{run}");
        let line = run.stderr().split('`').find(|part| part.starts_with("rm ")).unwrap().to_owned();
        ada.program("sh").args(["-c", &line]).run().success();
        check("2").success();
    }
}

#[test]
fn a_state_of_fences_is_one_through_a_link_to_what_is_not_there_yet() {
    let (_fleet, ada, _bob) = two_servers();
    let at = |name: &str| ada.directory().join(name);
    fs::create_dir(at("real")).unwrap();
    std::os::unix::fs::symlink("real/second", at("first")).unwrap();
    std::os::unix::fs::symlink("state.json", at("real/second")).unwrap();
    let check = |token: &str, state: &str| {
        ada.run(["fence", "check", "--name", "deploy", "--token", token, "--state", state])
    };
    check("5", "first").success();
    for state in ["first", "real/second", "real/state.json"] {
        check("3", state).code(5);
    }
    // A folder that is not there is told, also behind a link.
    std::os::unix::fs::symlink("nowhere/state.json", at("lost")).unwrap();
    let run = check("5", "lost").code(1);
    assert!(run.stderr().contains("no directory `") && run.stderr().contains("nowhere"), "{run}");
    let run = check("5", "real").code(1);
    assert!(run.stderr().contains("nothing was run") && !run.stderr().contains("rm "), "{run}");
}

#[test]
fn of_an_operation_that_nobody_here_knows_its_host_is_asked() {
    let (fleet, ada, _bob) = two_servers();
    let mut said = Transcript::new();
    let unknown = "019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f";
    said.run(&ada, &format!("op status {unknown}"));
    said.run(&ada, &format!("op status {unknown} --json"));
    said.run(&ada, &format!("op resume {unknown}"));
    said.run(&ada, &format!("op drop {unknown}"));
    said.run(&ada, "op status ../x");
    said.run(&ada, "op list");
    let known = inspect::log(fleet.hub(), MAIN)[0].trailer("Muster-Op").next().unwrap().to_owned();
    said.run(&ada, &format!("op status {known}"));
    said.run(&ada, &format!("op status {known} --json"));
    assert_snapshot!(said, @r#"
    ada$ git muster op status [UUID]
    ------- stderr -------
    error: operation [UUID] not found in the hub's history, and unknown to this user on this machine: only the machine that started it knows whether it may still arrive
    hint: before repeating it, run `git muster op status [UUID]` on that machine, as the same user; of heartbeats, only the newest is in the hub
    [exit status: 3]
    ada$ git muster op status [UUID] --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":3,"error":"operation [UUID] not found in the hub's history, and unknown to this user on this machine: only the machine that started it knows whether it may still arrive","hints":["before repeating it, run `git muster op status [UUID]` on that machine, as the same user; of heartbeats, only the newest is in the hub"],"op":null,"code":"operation-not-found","retry":"no","written":false,"facts":{"op":"[UUID]","journaled":false,"may_arrive":null},"errors":[]}
    [exit status: 3]
    ada$ git muster op resume [UUID]
    ------- stderr -------
    error: operation [UUID] is not an unresolved operation of this user
    hint: list them with `git muster op list`
    [exit status: 3]
    ada$ git muster op drop [UUID]
    ------- stderr -------
    error: operation [UUID] is not an unresolved operation of this user
    hint: list them with `git muster op list`
    [exit status: 3]
    ada$ git muster op status ../x
    ------- stderr -------
    error: invalid value '../x' for '<ID>': op id `../x` must begin with a letter or a digit

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster op list
    ------- stderr -------
    no unresolved operations
    [exit status: 0]
    ada$ git muster op status [UUID]
    applied: commit [COMMIT] "server join: bob on [HOST]"
    [exit status: 0]
    ada$ git muster op status [UUID] --json
    {"schema":1,"kind":"op","op":"[UUID]","happened":true,"commit":"[COMMIT]","at":"[TIME]",
      "subject":"server join: bob on [HOST]"}
    [exit status: 0]
    "#);
}

#[test]
fn of_what_another_host_may_still_do_nobody_says_that_it_did_not_happen() {
    let (fleet, ada, bob) = two_servers();
    bob.command(["job", "add", "--type", "pay"]).env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
    let begun = bob.run(["op", "list", "--json"]).success().json();
    let op = begun[0]["op"].as_str().unwrap().to_owned();
    let run = ada.run(["op", "status", &op]).code(3);
    assert!(!run.stderr().contains("did not happen") && run.stderr().contains("only the machine"), "{run}");
    bob.run(["op", "resume", &op]).success();
    ada.run(["op", "status", &op]).success();
    // A beat that another replaced did happen.
    bob.run(["heartbeat"]).success();
    let beat = inspect::log(fleet.hub(), "heartbeat-bob")[0].trailer("Muster-Op").next().unwrap().to_owned();
    bob.run(["heartbeat"]).success();
    let run = bob.run(["op", "status", &beat]).code(3);
    assert!(!run.stderr().contains("did not happen"), "{run}");
}

#[test]
fn what_is_finished_moves_to_the_archive_whole() {
    let (fleet, ada, bob) = two_servers();
    let (done, needed) = (added(&ada, &[]), added(&ada, &[]));
    let waits = added(&ada, &["--needs", &needed]);
    bob.run(["job", "claim", "--count", "2"]).success();
    for job in [&done, &needed] {
        bob.run(["job", "complete", job, "--token", "1"]).success();
    }
    let old = json!({"jobs": [
        {"id": "job_old", "status": "completed", "future": {"deep": [1, {"er": null}]}, "completed_at": "2025-10-30T01:35:38Z", "type": "build"},
        {"status": "failed", "id": "job_older", "created_at": 1_761_751_875}]});
    let live = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    let mut both = live.clone();
    both["jobs"].as_array_mut().unwrap().extend(old["jobs"].as_array().unwrap().clone());
    let text = serde_json::to_string_pretty(&both).unwrap() + "\n";
    fleet.hub().put(MAIN, &[("coordination/jobs.json", text)], "old jobs");
    let tip = fleet.hub().tip(MAIN);
    let mut said = Transcript::new();
    said.run(&ada, "archive --older-than 7d --dry-run");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    said.run(&ada, "archive --older-than 7d");
    let archive = inspect::document(fleet.hub(), MAIN, "coordination/archive/jobs-2025-10.json");
    assert_eq!(archive["jobs"].to_string(), old["jobs"].to_string(), "whole, in the order of its keys");
    assert_eq!(inspect::document(fleet.hub(), MAIN, "coordination/jobs.json"), live);
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, "archive --older-than 7d");
    assert_eq!(fleet.hub().tip(MAIN), tip, "nothing to move, no commit");
    let message = ada.run(["message", "send", "--to", "bob", "--subject", "read"]).success();
    ada.run(["message", "send", "--to", "bob", "--subject", "unread"]).success();
    bob.run(["message", "read", message.stdout().trim()]).success();
    said.run(&ada, "archive --older-than 0s --json");
    let left = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    let ids: Vec<_> = left["jobs"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
    assert_eq!(ids, [needed, waits], "what an unfinished job needs stays");
    let messages = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    assert_eq!(messages["messages"].as_array().unwrap().len(), 1);
    said.run(&ada, "archive --older-than sometime");
    assert_snapshot!(said, @r#"
    ada$ git muster archive --older-than [DURATION] --dry-run
    dry run, not done: 2 jobs and 0 messages moved to the archive
    ------- stderr -------
    warning: dry run: nothing was written
    [exit status: 0]
    ada$ git muster archive --older-than [DURATION]
    2 jobs and 0 messages moved to the archive
    [exit status: 0]
    ada$ git muster archive --older-than [DURATION]
    0 jobs and 0 messages moved to the archive
    [exit status: 0]
    ada$ git muster archive --older-than [DURATION] --json
    {"schema":1,"kind":"archived","jobs":1,"messages":1,"written":{"hub":"[HUB]/hub.git",
      "branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    ada$ git muster archive --older-than sometime
    ------- stderr -------
    error: invalid value 'sometime' for '--older-than <DURATION>': give a span of time such as [DURATION], [DURATION], 1h30m or [DURATION]

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

/// The same path as a real run, without the push: answers as if, and no ref of the hub moves.
#[test]
fn a_dry_run_writes_nothing_whatever_the_verb() {
    let (fleet, ada, bob) = two_servers();
    let held = added(&ada, &[]);
    bob.run(["job", "claim"]).success();
    let queued = added(&ada, &[]);
    let finished = added(&ada, &[]);
    ada.run(["job", "cancel", &finished]).success();
    let stopping = added(&ada, &[]);
    bob.run(["job", "claim", &stopping]).success();
    ada.run(["job", "cancel", &stopping]).success();
    let message = ada.run(["message", "send", "--to", "bob", "--subject", "hi"]).success();
    let message = message.stdout().trim();
    bob.run(["lock", "acquire", "deploy"]).success();
    bob.run(["queue", "pause", "--label", "gpu"]).success();
    bob.run(["worker", "pause", "ada"]).success();
    // A job that is out of attempts, and a record that nobody can read.
    let path = "coordination/jobs.json";
    let mut jobs = inspect::document(fleet.hub(), MAIN, path);
    let more =
        [json!({"id": "job_dead", "status": "dead", "completed_at": "2025-10-29T12:00:00Z"}), json!(null)];
    jobs["jobs"].as_array_mut().unwrap().extend(more);
    fleet.hub().put(MAIN, &[(path, jobs.to_string())], "by hand");
    let refs = || fleet.hub().git(["for-each-ref"]);
    let before = refs();
    let url = fleet.hub().url();
    let writes: [&[&str]; 39] = [
        &["--branch", "other", "init", "--force", &url],
        &["join", "--as", "carol"],
        &["servers", "remove", "ada"],
        &["heartbeat"],
        &["heartbeat", "--on-main"],
        &["status", "set", "idle"],
        &["job", "add", "--type", "build"],
        &["job", "claim"],
        &["job", "claim", &queued, "--start"],
        &["job", "start", &held, "--token", "1"],
        &["job", "complete", &held, "--token", "1"],
        &["job", "fail", &held, "--token", "1"],
        &["job", "release", &held, "--token", "1"],
        &["job", "cancel", &held],
        &["job", "retry", &finished],
        &["job", "priority", &queued, "1"],
        &["job", "heartbeat", &held, "--token", "1"],
        &["job", "stopped", &stopping, "--token", "1"],
        &["job", "requeue", &held, "--holder-lost", "--reason", "x"],
        &["job", "dead", "retry", "--all"],
        &["job", "dead", "purge"],
        &["queue", "pause"],
        &["queue", "drain"],
        &["queue", "resume", "--label", "gpu"],
        &["worker", "pause"],
        &["worker", "drain", "ada"],
        &["worker", "resume", "ada"],
        &["archive", "--older-than", "0s"],
        &["fsck", "--mend"],
        &["import", &url],
        &["lock", "acquire", "other"],
        &["lock", "renew", "deploy", "--token", "1"],
        &["lock", "release", "deploy", "--token", "1"],
        &["lock", "steal", "deploy", "--reason", "x", "--force"],
        &["once", "do", "thing"],
        &["once", "done", "deploy", "--token", "1"],
        &["message", "send", "--to", "all", "--subject", "x"],
        &["message", "read", message],
        &["message", "ack", message],
    ];
    for write in writes {
        // After a mending that was none the record is still an error.
        let code = i32::from(write[0] == "fsck");
        let run = bob.run(write.iter().chain(&["--dry-run"])).code(code);
        assert!(run.stderr().contains("dry run: nothing was written"), "{write:?}\n{run}");
        assert_eq!(refs(), before, "{write:?}");
    }
    let of_bob = bob.run(["config", "list", "--json"]).success().json();
    assert_eq!(of_bob[2]["value"], "bob", "a dry join is not remembered");
}

#[test]
fn a_dry_run_runs_nothing_and_makes_nothing_on_this_machine() {
    let (fleet, ada, _bob) = two_servers();
    let listed = || {
        let names = fs::read_dir(ada.directory()).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<Vec<_>>()
    };
    let before = listed();
    let check = ["--dry-run", "fence", "check", "--state", "fence.json", "--name", "deploy", "--token", "7"];
    let run = ada.run(check.iter().chain(&["--", "touch", "effect"])).success();
    assert!(run.stdout().starts_with("token 7 of lock `deploy` passes"), "{run}");
    assert!(run.stderr().contains("dry run: nothing was written"), "{run}");
    assert!(run.stderr().contains("`touch` was not run"), "{run}");
    let json = ada.run(check.iter().chain(&["--json"])).success().json();
    assert_eq!((&json["passed"], &json["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(listed(), before);
    // What would be refused is.
    ada.run(["fence", "check", "--state", "fence.json", "--name", "deploy", "--token", "8"]).success();
    ada.run(check).code(5);
    // A hub that is not there yet.
    let new = ada.directory().join("new hub.git");
    let source = fleet.hub().url();
    let into = ["--dry-run", "import", &source, "--into", new.to_str().unwrap()];
    let run = ada.run(into).success();
    assert!(run.stderr().contains("dry run: nothing was written"), "{run}");
    let json = ada.run(into.iter().chain(&["--json"])).success().json();
    assert_eq!(json["hub"], new.display().to_string());
    assert!(!new.exists() && listed().len() == before.len() + 3, "{:?}", listed());
    assert!(fs::read_dir(ada.place("TMPDIR")).unwrap().next().is_none());
    ada.run(&into[1..]).success();
    assert!(new.exists());
}
