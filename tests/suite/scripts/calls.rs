//! The scripts that are one call of the program: what they answer, what the hub holds then.

use super::{joined, machine, run, tell};
use crate::support::{Fleet, MAIN, Transcript, inspect};
use insta::assert_snapshot;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn signs_of_life_and_statuses_are_given() {
    let (fleet, host) = joined();
    let mut said = Transcript::new();
    for line in [
        "heartbeat.sh",
        "heartbeat.sh build2",
        "heartbeat.sh build9",
        "heartbeat.sh ../build1",
        "heartbeat.sh build1 build2",
        "update_status.sh build1 building job_1",
        "update_status.sh build2 idle",
        "update_status.sh build2 online",
        "update_status.sh build2",
    ] {
        drop(tell(&mut said, &host, line));
    }
    assert_snapshot!(said, @r#"
    machine$ heartbeat.sh
    heartbeat 1 of `build1` is on branch `heartbeat-build1`
    [exit status: 0]
    machine$ heartbeat.sh build2
    heartbeat 1 of `build2` is on branch `heartbeat-build2`
    [exit status: 0]
    machine$ heartbeat.sh build9
    ------- stderr -------
    error: server `build9` is not registered in this hub; nothing was written
    hint: register it with `git muster join --as build9`, or list server names with `git muster servers list`
    [exit status: 2]
    machine$ heartbeat.sh ../build1
    ------- stderr -------
    error: server name `../build1` must begin with a letter or a digit (from --server)
    [exit status: 1]
    machine$ heartbeat.sh build1 build2
    ------- stderr -------
    heartbeat.sh: one server at most, not 2 arguments; nothing was done
    hint: see `heartbeat.sh --help`
    [exit status: 1]
    machine$ update_status.sh build1 building job_1
    build1 is building
    [exit status: 0]
    machine$ update_status.sh build2 idle
    build2 is idle
    [exit status: 0]
    machine$ update_status.sh build2 online
    ------- stderr -------
    error: invalid value 'online' for '<STATUS>'
      [possible values: idle, building, failed, success]

    For more information, try '--help'.
    [exit status: 1]
    machine$ update_status.sh build2
    ------- stderr -------
    update_status.sh: a server, a status and at most one job are needed; nothing was done
    hint: see `update_status.sh --help`
    [exit status: 1]
    "#);
    let status = inspect::document(fleet.hub(), MAIN, "build1/status.json");
    assert_eq!((&status["status"], &status["current_job"]["id"]), (&json!("building"), &json!("job_1")));
}

#[test]
fn a_job_goes_through_the_queue() {
    let (fleet, host) = joined();
    let mut said = Transcript::new();
    let first = tell(&mut said, &host, "job_queue.sh add main 4f2c1d9 7").success();
    said.name(first.stdout(), "<first>");
    let urgent = tell(&mut said, &host, "create_job.sh test 1 'run the $(touch hacked) tests'").success();
    said.name(urgent.stdout(), "<urgent>");
    let (first, urgent) = (first.stdout().trim().to_owned(), urgent.stdout().trim().to_owned());
    let last =
        tell(&mut said, &host, &format!("job_queue.sh add main 4f2c1d9 '' {first},{urgent},")).success();
    said.name(last.stdout(), "<last>");
    drop(tell(&mut said, &host, "job_queue.sh list"));
    drop(tell(&mut said, &host, "job_queue.sh get-next"));
    drop(tell(&mut said, &host, "job_queue.sh list running"));
    drop(tell(&mut said, &host, &format!("job_queue.sh complete {urgent} done")));
    drop(tell(&mut said, &host, &format!("job_queue.sh complete {urgent} completed 90")));
    drop(tell(&mut said, &host, &format!("job_queue.sh complete {urgent} completed")));
    drop(tell(&mut said, &host, "job_queue.sh get-next"));
    drop(tell(&mut said, &host, &format!("job_queue.sh complete {first} failed")));
    drop(tell(&mut said, &host, "job_queue.sh get-next"));
    drop(tell(&mut said, &host, "job_queue.sh list"));
    for line in
        ["add main", "add main 4f2c1d9 11", "add main 4f2c1d9 5 job_404", "complete", "list odd", "claim", ""]
    {
        drop(tell(&mut said, &host, format!("job_queue.sh {line}").trim()));
    }
    assert_snapshot!(said, @r"
    machine$ job_queue.sh add main [COMMIT] 7
    [JOB]
    [exit status: 0]
    machine$ create_job.sh test 1 'run the $(touch hacked) tests'
    [JOB]
    [exit status: 0]
    machine$ job_queue.sh add main [COMMIT] '' <first>,<urgent>,
    [JOB]
    [exit status: 0]
    machine$ job_queue.sh list
    JOB  STATUS  PRIORITY  TYPE  BRANCH  SERVER  DETAILS
    <first>  queued  7  build  main  -  queued [DURATION] ago
    <urgent>  queued  1  test  -  -  queued [DURATION] ago
    <last>  queued  5  build  main  -  queued [DURATION] ago
    [exit status: 0]
    machine$ job_queue.sh get-next
    <urgent>
    [exit status: 0]
    machine$ job_queue.sh list running
    JOB  STATUS  PRIORITY  TYPE  BRANCH  SERVER  DETAILS
    <urgent>  running  1  test  -  build1  running on build1 for [DURATION]
    [exit status: 0]
    machine$ job_queue.sh complete <urgent> done
    ------- stderr -------
    job_queue.sh: `done` is no end of a job: completed, success or failed is; nothing was done
    hint: see `job_queue.sh --help`
    [exit status: 1]
    machine$ job_queue.sh complete <urgent> completed 90
    <urgent> is completed
    [exit status: 0]
    machine$ job_queue.sh complete <urgent> completed
    ------- stderr -------
    job_queue.sh: this machine did not claim `<urgent>` with get-next; nothing was reported
    hint: if it is yours, set MUSTER_JOB_TOKEN to the token that `git muster job claim` printed
    [exit status: 1]
    machine$ job_queue.sh get-next
    <first>
    [exit status: 0]
    machine$ job_queue.sh complete <first> failed
    <first> is failed
    [exit status: 0]
    machine$ job_queue.sh get-next
    ------- stderr -------
    error: no job for `build1` to claim
    hint: 1 queued job cannot start yet; see `git muster job list --status queued` and `git muster job explain ID`
    job_queue.sh: No eligible jobs found
    [exit status: 1]
    machine$ job_queue.sh list
    JOB  STATUS  PRIORITY  TYPE  BRANCH  SERVER  DETAILS
    <last>  queued  5  build  main  -  queued [DURATION] ago
    <first>  failed  7  build  main  build1  failed [DURATION] ago: script_failure
    <urgent>  completed  1  test  -  build1  completed [DURATION] ago
    [exit status: 0]
    machine$ job_queue.sh add main
    ------- stderr -------
    job_queue.sh: add needs a branch and a commit, perhaps a priority and dependencies; nothing was done
    hint: see `job_queue.sh --help`
    [exit status: 1]
    machine$ job_queue.sh add main [COMMIT] 11
    ------- stderr -------
    error: invalid value '11' for '--priority <LEVEL>': give a number from 1 (most urgent) to 10, or critical, high, normal or low

    For more information, try '--help'.
    [exit status: 1]
    machine$ job_queue.sh add main [COMMIT] 5 job_404
    ------- stderr -------
    error: no job was added: the needed job `job_404` is neither in the queue nor in the archive
    hint: list job ids with `git muster job list` (coordination/jobs.json)
    [exit status: 1]
    machine$ job_queue.sh complete
    ------- stderr -------
    job_queue.sh: complete needs a job and a status, perhaps the seconds it took; nothing was done
    hint: see `job_queue.sh --help`
    [exit status: 1]
    machine$ job_queue.sh list odd
    ------- stderr -------
    error: invalid job status `odd`
    hint: valid statuses: queued, claimed, running, completed, failed, cancelled, dead
    [exit status: 1]
    machine$ job_queue.sh claim
    ------- stderr -------
    job_queue.sh: there is no `claim` here; nothing was done
    hint: see `job_queue.sh --help`
    [exit status: 1]
    machine$ job_queue.sh
    ------- stderr -------
    job_queue.sh: add, get-next, complete or list is needed; nothing was done
    hint: see `job_queue.sh --help`
    [exit status: 1]
    ");
    let jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    let job = |id: &str| jobs["jobs"].as_array().unwrap().iter().find(|job| job["id"] == id).unwrap().clone();
    assert_eq!(
        (&job(&first)["branch"], &job(&first)["commit"], &job(&first)["priority"]),
        (&json!("main"), &json!("4f2c1d9"), &json!(7))
    );
    assert_eq!(
        (&job(&urgent)["status"], &job(&urgent)["duration_seconds"]),
        (&json!("completed"), &json!(90))
    );
    assert_eq!(job(&urgent)["description"], "run the $(touch hacked) tests");
    assert_eq!(
        (&job(last.stdout().trim())["needs"], &job(last.stdout().trim())["priority"]),
        (&json!([first, urgent]), &json!(5))
    );
    let plain = run(&host, "create_job.sh", &["test", "without a priority"]).success();
    let plain = host.run(["job", "show", plain.stdout().trim(), "--json"]).success().json();
    assert_eq!(
        (&plain["priority"], &plain["description"], &plain["type"]),
        (&json!(5), &json!("without a priority"), &json!("test"))
    );
    let limits = [&plain["timeout_seconds"], &job(&first)["timeout_seconds"]];
    assert_eq!(limits, [&json!(12 * 60 * 60); 2], "builds of two hours were nothing special");
    assert!(!host.directory().join("hacked").exists());
    let tokens = host.place("HOME").join(".local/state/git-muster-job-queue");
    assert_eq!(super::files_in(&tokens), [""; 0], "what is reported needs no token");
}

/// `SERVER_ID` says who claims, as it did; what a server claimed is not reported by one that never did.
#[test]
fn a_job_is_claimed_for_the_server_that_is_named_and_lost_by_its_old_token() {
    let (fleet, host) = joined();
    let id = run(&host, "create_job.sh", &["build", "compile"]).success().stdout().trim().to_owned();
    let next = |server: &str| {
        let command = host.program(super::folder().join("job_queue.sh")).args(["get-next"]);
        command.env("SERVER_ID", server).run().success().stdout().to_owned()
    };
    assert_eq!(next("build2"), format!("{id}\n"));
    let jobs = || inspect::document(fleet.hub(), MAIN, "coordination/jobs.json")["jobs"][0].clone();
    assert_eq!((&jobs()["assigned_to"], &jobs()["status"]), (&json!("build2"), &json!("running")));
    // Another term of the job begins; the old token is refused and thrown away.
    host.run(["--server", "build2", "job", "release", &id, "--token", "1"]).success();
    host.run(["job", "claim"]).success();
    let late = run(&host, "job_queue.sh", &["complete", &id, "completed"]).code(2);
    assert!(late.stderr().contains("token 1"), "{late}");
    let without = run(&host, "job_queue.sh", &["complete", &id, "completed"]).code(1);
    assert!(without.stderr().contains("this machine did not claim"), "{without}");
    let own = host.program(super::folder().join("job_queue.sh")).args(["complete", &id, "completed"]);
    own.env("MUSTER_JOB_TOKEN", "2").run().success();
    assert_eq!(jobs()["status"], "completed");
}

/// A claim whose token is lost would keep a job from everybody until its time is over.
#[test]
fn a_job_whose_token_cannot_be_kept_is_handed_back() {
    let (_fleet, host) = joined();
    let id = run(&host, "create_job.sh", &["build", "compile"]).success().stdout().trim().to_owned();
    let tokens = host.place("HOME").join(".local/state/git-muster-job-queue");
    let in_the_way = tokens.join(format!(".{id}.new"));
    fs::create_dir_all(&in_the_way).unwrap();
    let failed = run(&host, "job_queue.sh", &["get-next"]).code(3);
    assert!(
        failed.stderr().contains("cannot be kept") && failed.stderr().contains("handed back"),
        "{failed}"
    );
    let status = || host.run(["job", "show", &id, "--json"]).success().json()["status"].clone();
    assert_eq!(status(), "queued");

    fs::remove_dir(&in_the_way).unwrap();
    for (name, days) in [("job_forgotten", 33), ("job_at_work", 28)] {
        let token = fs::File::create(tokens.join(name)).unwrap();
        token.set_modified(token.metadata().unwrap().modified().unwrap() - DAY * days).unwrap();
    }
    run(&host, "job_queue.sh", &["get-next"]).success();
    assert_eq!(status(), "running");
    let mut kept = super::files_in(&tokens);
    kept.sort_by_key(|name| name != "job_at_work");
    assert_eq!(kept, ["job_at_work", &id], "what nobody reported for a month is forgotten");
    let mode = fs::metadata(tokens.join(&id)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "who reads a token may report");
}

/// What lies in a hub was written by others.
#[test]
fn names_and_texts_of_jobs_are_never_run_and_lead_nowhere() {
    let (fleet, host) = joined();
    let traps = [
        "../../../../escaped",
        "'; touch hacked; '",
        "$(touch hacked)",
        "`touch hacked`",
        "a'\nb",
        "-rf",
        "",
    ];
    let jobs: Vec<_> = traps
        .iter()
        .map(|trap| json!({"id": trap, "type": trap, "priority": 5, "status": "queued", "description": trap}))
        .collect();
    fleet.hub().put(MAIN, &[("coordination/jobs.json", json!({"jobs": jobs}).to_string())], "traps");
    for _ in 0..=traps.len() {
        let next = run(&host, "job_queue.sh", &["get-next"]);
        assert!(matches!(next.exit_code(), Some(0..=3)), "{next}");
        drop(run(&host, "job_queue.sh", &["list"]));
        drop(run(&host, "check_health.sh", &[]));
    }
    let state = host.place("HOME").join(".local/state");
    let kept = super::files_in(&state.join("git-muster-job-queue"));
    assert_eq!(kept, [""; 0], "no trap is an id under which something is kept");
    assert_eq!(super::files_in(&state), ["git-muster", "git-muster-job-queue"]);
    assert_eq!(super::files_in(host.directory()), [""; 0]);
    for trap in ["../escaped", ".hidden", "a/b", ""] {
        let refused = run(&host, "job_queue.sh", &["complete", trap, "completed"]).code(1);
        assert!(refused.stderr().contains("is no id of a job"), "{refused}");
    }
}

#[test]
fn messages_are_sent_read_marked_and_acknowledged() {
    let (fleet, host) = joined();
    let mut said = Transcript::new();
    let sent = tell(
        &mut said,
        &host,
        "send_message.sh build2 build1 request 'please look' 'it failed' --require-ack",
    );
    let id = sent.success().stdout().trim().to_owned();
    said.name(&id, "<request>");
    drop(tell(&mut said, &host, "send_message.sh build2 all info --to '@/etc/hostname'"));
    drop(tell(&mut said, &host, "read_messages.sh build1"));
    drop(tell(&mut said, &host, "read_messages.sh"));
    drop(tell(&mut said, &host, &format!("mark_messages_read.sh build1 {id}")));
    drop(tell(&mut said, &host, "read_messages.sh build1"));
    drop(tell(&mut said, &host, "mark_messages_read.sh build1"));
    drop(tell(&mut said, &host, "mark_messages_read.sh build1"));
    drop(tell(&mut said, &host, "read_messages.sh build1"));
    drop(tell(&mut said, &host, &format!("ack_message.sh {id} build1")));
    drop(tell(&mut said, &host, &format!("ack_message.sh {id} build2")));
    for line in [
        "send_message.sh build2 nobody info subject body",
        "send_message.sh build2 build1 gossip subject body",
        "send_message.sh build2 build1 info subject",
        "send_message.sh build2 build1 info subject body --dry-run",
        "read_messages.sh build1 build2",
        "mark_messages_read.sh build1 msg_404",
        "mark_messages_read.sh",
        "ack_message.sh msg_404 build1",
        "ack_message.sh msg_404",
    ] {
        drop(tell(&mut said, &host, line));
    }
    assert_snapshot!(said, @r"
    machine$ send_message.sh build2 build1 request 'please look' 'it failed' --require-ack
    [MESSAGE]
    [exit status: 0]
    machine$ send_message.sh build2 all info --to '@/etc/hostname'
    [MESSAGE]
    [exit status: 0]
    machine$ read_messages.sh build1
    <request>  build2 -> build1  request  [DURATION] ago
      please look
        it failed

    [MESSAGE]  build2 -> all  info  [DURATION] ago
      --to
        @/etc/hostname
    [exit status: 0]
    machine$ read_messages.sh
    <request>  build2 -> build1  request  [DURATION] ago
      please look
        it failed

    [MESSAGE]  build2 -> all  info  [DURATION] ago
      --to
        @/etc/hostname
    [exit status: 0]
    machine$ mark_messages_read.sh build1 <request>
    [exit status: 0]
    machine$ read_messages.sh build1
    [MESSAGE]  build2 -> all  info  [DURATION] ago
      --to
        @/etc/hostname
    [exit status: 0]
    machine$ mark_messages_read.sh build1
    [exit status: 0]
    machine$ mark_messages_read.sh build1
    ------- stderr -------
    no unread messages
    [exit status: 0]
    machine$ read_messages.sh build1
    ------- stderr -------
    no unread messages
    [exit status: 0]
    machine$ ack_message.sh <request> build1
    <request> is acknowledged
    [exit status: 0]
    machine$ ack_message.sh <request> build2
    ------- stderr -------
    error: cannot acknowledge message `<request>`: it is from `build2` to `build1`, not for `build2`
    [exit status: 2]
    machine$ send_message.sh build2 nobody info subject body
    ------- stderr -------
    error: nothing was sent: server `nobody` not found
    hint: list server names with `git muster servers list`
    [exit status: 1]
    machine$ send_message.sh build2 build1 gossip subject body
    ------- stderr -------
    error: invalid value 'gossip' for '--type <TYPE>'
      [possible values: info, warning, error, request, response, update]

    For more information, try '--help'.
    [exit status: 1]
    machine$ send_message.sh build2 build1 info subject
    ------- stderr -------
    send_message.sh: sender, recipient, type, subject and body are needed, each as one word or in quotes; nothing was done
    hint: see `send_message.sh --help`
    [exit status: 1]
    machine$ send_message.sh build2 build1 info subject body --dry-run
    ------- stderr -------
    send_message.sh: `--dry-run` stands where only --require-ack may; nothing was done
    hint: see `send_message.sh --help`
    [exit status: 1]
    machine$ read_messages.sh build1 build2
    ------- stderr -------
    read_messages.sh: one server at most, not 2 arguments; nothing was done
    hint: see `read_messages.sh --help`
    [exit status: 1]
    machine$ mark_messages_read.sh build1 msg_404
    ------- stderr -------
    error: message `msg_404` not found
    hint: list message ids with `git muster --server build1 message list`
    [exit status: 1]
    machine$ mark_messages_read.sh
    ------- stderr -------
    mark_messages_read.sh: a server and at most one message are needed; nothing was done
    hint: see `mark_messages_read.sh --help`
    [exit status: 1]
    machine$ ack_message.sh msg_404 build1
    ------- stderr -------
    error: nothing was marked: message `msg_404` not found
    hint: list message ids with `git muster --server build1 message list`
    [exit status: 1]
    machine$ ack_message.sh msg_404
    ------- stderr -------
    ack_message.sh: a message and the server that acknowledges it are needed; nothing was done
    hint: see `ack_message.sh --help`
    [exit status: 1]
    ");
    let messages = inspect::document(fleet.hub(), MAIN, "coordination/messages.json")["messages"].clone();
    let acks = [&messages[0], &messages[1]].map(|message| message["ack_required"].as_bool().unwrap_or(false));
    assert_eq!(acks, [true, false]);
}

/// A body is what it says: neither a file, nor stdin, nor a command, nor an option.
#[test]
fn what_a_message_says_is_sent_as_it_stands() {
    let (fleet, host) = joined();
    let texts =
        ["-", "@/etc/hostname", "--dry-run", "$(touch hacked) `touch hacked`", "two\nlines\n", "%s\\n", ""];
    for text in texts {
        let subject = if text.contains('\n') || text.is_empty() { "subject" } else { text };
        run(&host, "send_message.sh", &["build2", "build1", "info", subject, text]).success();
    }
    let messages = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    let bodies: Vec<&str> =
        messages["messages"].as_array().unwrap().iter().map(|one| one["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, texts);
    let read = run(&host, "read_messages.sh", &["build1"]).success();
    assert!(read.stdout().contains("$(touch hacked) `touch hacked`"), "{read}");
    assert!(!host.directory().join("hacked").exists());
}

#[test]
fn the_fleet_is_told_and_judged() {
    let (fleet, host) = joined();
    let mut said = Transcript::new();
    drop(tell(&mut said, &host, "check_health.sh"));
    let id = run(&host, "create_job.sh", &["build", "compile"]).success().stdout().trim().to_owned();
    said.name(&id, "<job>");
    run(&host, "job_queue.sh", &["get-next"]).success();
    run(&host, "job_queue.sh", &["complete", &id, "failed"]).success();
    run(&host, "send_message.sh", &["build1", "build2", "info", "hello", ""]).success();
    drop(tell(&mut said, &host, "check_health.sh build2"));
    assert_snapshot!(said, @r"
    machine$ check_health.sh
    == Signs of life ==
    SERVER  HEARTBEAT  WORKER  JOBS  LABELS  PAUSED
    build2  fresh, [DURATION] ago  -  -  -  -
    build1  fresh, [DURATION] ago  -  -  -  -

    == Status ==
    SERVER  STATUS  JOB  LAST BUILD  UPDATED
    build1  idle  -  -  [DURATION] ago
    build2  idle  -  -  [DURATION] ago

    == Queue ==
    queued:  0
    running:  0
    completed: 0
    failed:  0
    dead:  0
    cancelled: 0

    == Unread messages ==
    no unread messages

    == Findings ==
    ok: 2 servers looked at, nothing to report
    [exit status: 0]
    machine$ check_health.sh build2
    == Signs of life ==
    SERVER  HEARTBEAT  WORKER  JOBS  LABELS  PAUSED
    build2  fresh, [DURATION] ago  -  -  -  -
    build1  fresh, [DURATION] ago  -  -  -  -

    == Status ==
    SERVER  STATUS  JOB  LAST BUILD  UPDATED
    build1  failed  -  failed [DURATION] ago  [DURATION] ago
    build2  idle  -  -  [DURATION] ago

    == Queue ==
    queued:  0
    running:  0
    completed:  0
    failed:  1
    dead:  0
    cancelled:  0
    average wait:  [DURATION]
    p95 wait:  [DURATION]
    average run time: [DURATION]
    failure rate:  100.0 %

    == Unread messages ==
    MESSAGE  FROM  TO  TYPE  SENT  STATE  SUBJECT
    [MESSAGE]  build1  build2  info  [DURATION] ago  unread  hello

    == Findings ==
    warning: 2 servers looked at, 1 finding
    LEVEL  SUBJECT  WHAT
    warning  build1  the last build of server `build1`, `<job>` failed, [DURATION] ago (see `git muster status show build1`)
    [exit status: 1]
    ");
    fs::rename(fleet.hub().path(), fleet.hub().path().with_extension("away")).unwrap();
    let blind = run(&host, "check_health.sh", &[]).code(3);
    assert!(blind.stdout().contains("== Findings ==\nerror: "), "{blind}");
    let newcomer = Fleet::new();
    let unset = run(&machine(&newcomer), "check_health.sh", &[]).code(3);
    assert!(unset.stdout().contains("error: no hub configured"), "{unset}");
    // Nor does a monitor that knows four codes learn a fifth.
    super::put_program(&host, "git-muster", "#!/bin/sh\nexit 70\n");
    run(&host, "check_health.sh", &[]).code(3);
}

#[test]
fn a_heartbeat_branch_is_squashed() {
    let (fleet, host) = joined();
    let branch = "heartbeat-build2";
    host.command(["--server", "build2", "heartbeat"]).run().success();
    let beat = inspect::content(fleet.hub(), branch, "build2/heartbeat.json").unwrap();
    fleet.hub().put(branch, &[("build2/heartbeat.json", beat.clone())], "one");
    fleet.hub().put(branch, &[("build2/heartbeat.json", beat), ("note", b"x".to_vec())], "two");
    let commits = inspect::log(fleet.hub(), branch).len();
    assert!(commits > 1, "there is something to squash");
    let mut said = Transcript::new();
    drop(tell(&mut said, &host, "squash_heartbeat_branch.sh --server build2 --backup --dry-run"));
    drop(tell(&mut said, &host, "squash_heartbeat_branch.sh --branch heartbeat-build2 --no-push"));
    assert_eq!(inspect::log(fleet.hub(), branch).len(), commits);
    for line in [
        "squash_heartbeat_branch.sh --server build2 --backup --push",
        "squash_heartbeat_branch.sh --branch heartbeat-build2",
        "squash_heartbeat_branch.sh --branch heartbeat-build9",
        "squash_heartbeat_branch.sh --branch main",
        "squash_heartbeat_branch.sh --branch",
        "squash_heartbeat_branch.sh",
    ] {
        drop(tell(&mut said, &host, line));
    }
    assert_snapshot!(said, @r#"
    machine$ squash_heartbeat_branch.sh --server build2 --backup --dry-run
    dry run, not done: `heartbeat-build2` would be 1 commit instead of 3; the old history would be `backup/heartbeat-build2-[TIME]`
    [exit status: 0]
    machine$ squash_heartbeat_branch.sh --branch heartbeat-build2 --no-push
    dry run, not done: `heartbeat-build2` would be 1 commit instead of 3
    [exit status: 0]
    machine$ squash_heartbeat_branch.sh --server build2 --backup --push
    `heartbeat-build2` is 1 commit instead of 3; the old history is `backup/heartbeat-build2-[TIME]`
    [exit status: 0]
    machine$ squash_heartbeat_branch.sh --branch heartbeat-build2
    `heartbeat-build2` already has only 1 commit
    [exit status: 0]
    machine$ squash_heartbeat_branch.sh --branch heartbeat-build9
    ------- stderr -------
    error: branch `heartbeat-build9` not found in the hub
    hint: list servers and their heartbeats with `git muster servers list`
    [exit status: 1]
    machine$ squash_heartbeat_branch.sh --branch main
    ------- stderr -------
    error: `main` is not a heartbeat branch (`heartbeat-...`); nothing was changed
    [exit status: 1]
    machine$ squash_heartbeat_branch.sh --branch
    ------- stderr -------
    squash_heartbeat_branch.sh: --branch needs a name behind it; nothing was done
    hint: see `squash_heartbeat_branch.sh --help`
    [exit status: 1]
    machine$ squash_heartbeat_branch.sh
    ------- stderr -------
    squash_heartbeat_branch.sh: --server or --branch is needed; nothing was done
    hint: see `squash_heartbeat_branch.sh --help`
    [exit status: 1]
    "#);
    assert_eq!(inspect::log(fleet.hub(), branch).len(), 1);
    let backups = inspect::branches(fleet.hub());
    assert_eq!(backups.iter().filter(|name| name.starts_with("backup/heartbeat-build2-")).count(), 1);
}

#[test]
fn a_machine_is_set_up_and_nothing_is_removed() {
    let fleet = Fleet::new();
    let host = machine(&fleet);
    let url = fleet.hub().url();
    host.run(["init", &url]).success();
    fs::create_dir(host.place("HOME").join("Build")).unwrap();
    let mut said = Transcript::new();
    said.name(&super::folder().display().to_string(), "<scripts>");
    said.name(&url, "<hub>");
    drop(tell(&mut said, &host, "setup_build1.sh"));
    drop(tell(
        &mut said,
        &host,
        &format!("setup_build1.sh {url} --skip-reclone --manager Codex --label=arch=amd64"),
    ));
    drop(tell(&mut said, &host, "setup_build1.sh --force"));
    assert_snapshot!(said, @r#"
    machine$ setup_build1.sh
    ------- stderr -------
    error: no hub configured; nothing was written
    hint: for one machine run `git muster init`; for several run `git muster join URL --as NAME`, or pass `--hub URL`
    [exit status: 1]
    machine$ setup_build1.sh <hub> --skip-reclone --manager Codex --label=arch=amd64
    this machine is server `build1` of `<hub>`
    ------- stderr -------
    next: `git muster heartbeat` once a minute from cron, or `git muster heartbeat run`
    next: `git muster doctor` looks whether everything works
    next: `<scripts>/install_cron.sh` lets cron give signs of life, or `<scripts>/install_heartbeat_service.sh` systemd
    [exit status: 0]
    machine$ setup_build1.sh --force
    ------- stderr -------
    setup_build1.sh: `--force` means nothing here; nothing was done
    hint: see `setup_build1.sh --help`
    [exit status: 2]
    "#);
    for number in 2..=4 {
        run(&host, &format!("setup_build{number}.sh"), &[]).success();
    }
    let servers = inspect::document(fleet.hub(), MAIN, "coordination/servers.json")["servers"].clone();
    let ids: Vec<&str> = servers.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["build1", "build2", "build3", "build4"]);
    assert_eq!((&servers[0]["manager"], &servers[0]["labels"]), (&json!("Codex"), &json!(["arch=amd64"])));
    assert!(host.place("HOME").join("Build").is_dir());
}

/// 1 for a line or name that cannot be, 2 for a hub that does not take it, whatever the script.
#[test]
fn a_hub_that_takes_nothing_is_told_by_the_old_code() {
    let (fleet, host) = joined();
    let id =
        run(&host, "send_message.sh", &["build2", "build1", "info", "s", "b"]).success().stdout().to_owned();
    let tip = fleet.hub().tip(MAIN);
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nexit 1\n");
    let calls: &[(&str, &[&str])] = &[
        ("heartbeat.sh", &["build1"]),
        ("update_status.sh", &["build1", "building"]),
        ("create_job.sh", &["build", "5", "x"]),
        ("job_queue.sh", &["add", "main", "4f2c1d9"]),
        ("send_message.sh", &["build1", "build2", "info", "s", "b"]),
        ("mark_messages_read.sh", &["build1"]),
        ("ack_message.sh", &[id.trim(), "build1"]),
        ("setup_build3.sh", &[]),
    ];
    for (name, args) in calls {
        let refused = run(&host, name, args).code(2);
        assert!(refused.stderr().contains("pre-receive hook declined"), "{refused}");
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
    fs::rename(fleet.hub().path(), fleet.hub().path().with_extension("away")).unwrap();
    for (name, args) in calls {
        run(&host, name, args).code(2);
    }
    run(&host, "read_messages.sh", &["build1"]).code(2);
    run(&host, "job_queue.sh", &["get-next"]).code(2);
}
