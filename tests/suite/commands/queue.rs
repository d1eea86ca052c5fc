//! `queue`, pauses of servers, groups, wishes about needs, and jobs that are out of attempts.

use super::{added, two_servers};
use crate::support::{Fleet, MAIN, Transcript, eventually, inspect};
use insta::assert_snapshot;
use std::time::Duration;

#[test]
fn a_paused_queue_says_why_nothing_is_claimed() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let plain = added(&ada, &[]);
    let gpu = added(&ada, &["--label", "pool=gpu"]);
    said.name(&plain, "<plain>");
    said.name(&gpu, "<gpu>");
    said.run(&ada, "queue list");
    said.run(&ada, "queue pause --label pool=gpu --note 'the driver is broken'");
    said.run(&ada, &format!("job explain {gpu}"));
    said.run(&bob, "job claim --label pool=gpu");
    let next = added(&ada, &[]);
    said.name(&next, "<next>");
    said.run(&ada, "queue pause --for 2h");
    said.run(&bob, "queue list");
    said.run(&bob, "job claim --label pool=gpu");
    said.run(&bob, "queue drain --wait 0s");
    said.run(&bob, "queue resume");
    said.run(&bob, "queue resume");
    said.run(&bob, &format!("job claim {next}"));
    said.run(&bob, "queue resume --label pool=gpu --json");
    said.run(&bob, "queue pause --label 'two words'");
    said.run(&bob, "queue pause --note password=hunter22");
    said.run(&bob, &format!("job complete {plain} --token 1"));
    said.run(&bob, &format!("job complete {next} --token 1"));
    said.run(&bob, "queue drain --wait 1m --note 'moving the hub'");
    assert_snapshot!(said, @r#"
    ada$ git muster queue list
    ------- stderr -------
    no pauses
    [exit status: 0]
    ada$ git muster queue pause --label pool=gpu --note 'the driver is broken'
    label `pool=gpu` is paused until it is resumed; jobs in progress continue
    [exit status: 0]
    ada$ git muster job explain <gpu>
    <gpu> waits: label `pool=gpu` is paused by ada [DURATION] ago: the driver is broken
    <gpu> waits: no server has the labels pool=gpu
    [exit status: 0]
    bob$ git muster job claim --label pool=gpu
    <plain> token 1 build
    [exit status: 0]
    ada$ git muster queue pause --for [DURATION]
    the queue is paused until [TIME]; jobs in progress continue
    [exit status: 0]
    bob$ git muster queue list
    SCOPE  PAUSED BY
    label:pool=gpu  by ada [DURATION] ago: the driver is broken
    queue  by ada [DURATION] ago, until [TIME]
    [exit status: 0]
    bob$ git muster job claim --label pool=gpu
    ------- stderr -------
    error: no job for `bob` to claim
    hint: 2 queued jobs cannot start yet; see `git muster job list --status queued` and `git muster job explain ID`
    [exit status: 3]
    bob$ git muster queue drain --wait [DURATION]
    the queue is paused until it is resumed; jobs in progress continue
    ------- stderr -------
    warning: it was already paused, by ada [DURATION] ago, until [TIME]; that pause is replaced
    error: 1 job still in progress; the queue stays paused; waited [DURATION]
    hint: list them with `git muster job list`
    [exit status: 75]
    bob$ git muster queue resume
    the queue is no longer paused
    [exit status: 0]
    bob$ git muster queue resume
    ------- stderr -------
    error: the queue is not paused
    hint: list pauses with `git muster queue list`
    [exit status: 3]
    bob$ git muster job claim <next>
    <next> token 1 build
    [exit status: 0]
    bob$ git muster queue resume --label pool=gpu --json
    {"schema":1,"kind":"pause","id":"label:pool=gpu","by":"ada","at":"[TIME]",
      "note":"the driver is broken","written":{"hub":"[HUB]/hub.git","branch":"main",
      "commit":"[COMMIT]"}}
    [exit status: 0]
    bob$ git muster queue pause --label 'two words'
    ------- stderr -------
    error: nothing was paused: the label is empty or contains a space
    [exit status: 2]
    bob$ git muster queue pause --note password=hunter22
    ------- stderr -------
    error: nothing was paused: a text seems to contain a password
    [exit status: 2]
    bob$ git muster job complete <plain> --token 1
    <plain> is completed
    [exit status: 0]
    bob$ git muster job complete <next> --token 1
    <next> is completed
    [exit status: 0]
    bob$ git muster queue drain --wait [DURATION] --note 'moving the hub'
    the queue is paused until it is resumed; jobs in progress continue
    ------- stderr -------
    no job is in progress
    [exit status: 0]
    "#);
}

#[test]
fn a_paused_server_claims_nothing() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    said.name(&added(&ada, &["--", "true"]), "<job>");
    said.run(&ada, "worker pause bob --note 'new disk'");
    said.run(&bob, "job claim");
    said.run(&bob, "job run --allow-any");
    said.run(&ada, "worker list");
    said.run(&ada, "worker show bob");
    said.run(&ada, "worker show nobody");
    said.run(&ada, "worker drain");
    said.run(&ada, "worker run --allow-any");
    said.run(&ada, "worker resume --json");
    said.run(&ada, "worker resume bob");
    said.run(&ada, "worker resume bob");
    said.run(&ada, "worker pause nobody");
    said.run(&bob, "job run --allow-any");
    // A beat in a later second than the end of the worker is one of a server that lives.
    eventually(Duration::from_secs(20), || {
        ada.run(["heartbeat"]).success();
        let workers = bob.run(["worker", "list", "--json"]).success().json();
        workers
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["server"] == "ada" && one["life"] == "fresh"))
    });
    said.run(&bob, "worker list --json");
    said.run(&bob, "worker show");
    said.run(&bob, "worker show --json");
    assert_snapshot!(said, @r#"
    ada$ git muster worker pause bob --note 'new disk'
    server `bob` is paused until it is resumed; jobs in progress continue
    [exit status: 0]
    bob$ git muster job claim
    ------- stderr -------
    error: server `bob` is paused by ada [DURATION] ago: new disk; nothing was claimed
    hint: end the pause with `git muster worker resume bob`
    [exit status: 3]
    bob$ git muster job run --allow-any
    ------- stderr -------
    this server is paused by ada [DURATION] ago: new disk; nothing is claimed
    error: no queued job may run on this server
    hint: list queued jobs with `git muster job list --status queued`; explain one with `git muster job explain ID`
    [exit status: 3]
    ada$ git muster worker list
    SERVER  HEARTBEAT  WORKER  JOBS  LABELS  PAUSED
    ada  fresh, [DURATION] ago  -  -  -  -
    bob  fresh, [DURATION] ago  stopped, [DURATION] ago: it was to run one job  -  gpu  by ada [DURATION] ago: new disk
    [exit status: 0]
    ada$ git muster worker show bob
    server:  bob
    heartbeat:  fresh, [DURATION] ago
    worker:  stopped, [DURATION] ago: it was to run one job
    labels:  gpu
    paused:  by ada [DURATION] ago: new disk
    could claim: 1
    [exit status: 0]
    ada$ git muster worker show nobody
    ------- stderr -------
    error: server `nobody` not found
    hint: list server names with `git muster worker list`
    [exit status: 3]
    ada$ git muster worker drain
    server `ada` is paused until it is resumed; jobs in progress continue, then its worker exits
    [exit status: 0]
    ada$ git muster worker run --allow-any
    finished: 0 completed, 0 failed, 0 requeued
    ------- stderr -------
    worker of `ada` at [HUB]/hub.git, branch main: runs any command, 1 job at a time
    this server is paused by ada [DURATION] ago; nothing is claimed
    the worker ends when its jobs have
    [exit status: 0]
    ada$ git muster worker resume --json
    {"schema":1,"kind":"pause","id":"server:ada","by":"ada","at":"[TIME]","note":null,"drain":true,
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    ------- stderr -------
    {"schema":1,"kind":"note","text":"if the worker exited during the pause, start it again"}
    [exit status: 0]
    ada$ git muster worker resume bob
    server `bob` is no longer paused
    [exit status: 0]
    ada$ git muster worker resume bob
    ------- stderr -------
    error: server `bob` is not paused
    hint: list pauses with `git muster queue list`
    [exit status: 3]
    ada$ git muster worker pause nobody
    ------- stderr -------
    error: server `nobody` not found; nothing was paused
    hint: list server names with `git muster servers list`
    [exit status: 3]
    bob$ git muster job run --allow-any
    ------- stderr -------
    job `<job>` begins: true
    job `<job>` completed
    [exit status: 0]
    bob$ git muster worker list --json
    [{"schema":1,"kind":"worker","server":"ada","life":"fresh","last_heartbeat":"[TIME]",
      "worker":"stopped","worker_last_seen":"[TIME]","worker_stopped":"its server is being drained",
      "jobs":[],"labels":[],"paused":null},{"schema":1,"kind":"worker","server":"bob","life":"fresh",
      "last_heartbeat":"[TIME]","worker":"stopped","worker_last_seen":"[TIME]",
      "worker_stopped":"it was to run one job","jobs":[],"labels":["gpu"],"paused":null}]
    [exit status: 0]
    bob$ git muster worker show
    server:  bob
    heartbeat:  fresh, [DURATION] ago
    worker:  stopped, [DURATION] ago: it was to run one job
    labels:  gpu
    last finished: <job> completed [DURATION] ago
    could claim:  0
    [exit status: 0]
    bob$ git muster worker show --json
    {"schema":1,"kind":"worker","server":"bob","life":"fresh","last_heartbeat":"[TIME]",
      "worker":"stopped","worker_last_seen":"[TIME]","worker_stopped":"it was to run one job","jobs":[],
      "labels":["gpu"],"paused":null,"at_work":[],"ended":[{"id":"<job>",
      "situation":"completed [DURATION] ago"}],"claimable":[]}
    [exit status: 0]
    "#);
}

#[test]
fn a_group_works_at_one_job_at_a_time() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let first = added(&ada, &["--group", "deploy"]);
    let second = added(&ada, &["--group", "deploy"]);
    said.name(&first, "<first>");
    said.name(&second, "<second>");
    said.run(&ada, "job claim --count 2");
    said.run(&bob, "job claim");
    said.run(&bob, &format!("job explain {second}"));
    said.run(&bob, &format!("job claim {second}"));
    said.run(&ada, &format!("job complete {first} --token 1"));
    said.run(&bob, "job claim");
    said.run(&ada, "job add --group 'two words'");
    assert_snapshot!(said, @r"
    ada$ git muster job claim --count 2
    <first> token 1 build
    [exit status: 0]
    bob$ git muster job claim
    ------- stderr -------
    error: no job for `bob` to claim
    hint: 1 queued job cannot start yet; see `git muster job list --status queued` and `git muster job explain ID`
    [exit status: 3]
    bob$ git muster job explain <second>
    <second> waits: `<first>` of its group `deploy` is at work
    [exit status: 0]
    bob$ git muster job claim <second>
    ------- stderr -------
    error: cannot claim job `<second>`: `<first>` of its group `deploy` is at work
    hint: see the details with `git muster job explain <second>`
    [exit status: 4]
    ada$ git muster job complete <first> --token 1
    <first> is completed
    [exit status: 0]
    bob$ git muster job claim
    <second> token 1 build
    [exit status: 0]
    ada$ git muster job add --group 'two words'
    ------- stderr -------
    error: no job was added: `two words` is empty or contains a space or a control character
    [exit status: 2]
    ");
}

#[test]
fn a_group_waits_for_a_cancelled_job_until_it_stopped() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let first = added(&ada, &["--group", "deploy"]);
    let second = added(&ada, &["--group", "deploy"]);
    said.name(&first, "<first>");
    said.name(&second, "<second>");
    ada.run(["job", "claim"]).success();
    said.run(&bob, &format!("job cancel {first}"));
    said.run(&bob, "job claim");
    said.run(&bob, &format!("job explain {second}"));
    said.run(&bob, &format!("job explain {second} --json"));
    said.run(&ada, &format!("job stopped {first} --token 1"));
    said.run(&bob, "job claim");
    ada.run(["job", "retry", &first]).success();
    ada.run(["job", "cancel", &second]).success();
    said.run(&ada, "job claim");
    said.run(&ada, &format!("job retry {second}"));
    bob.run(["job", "stopped", &second, "--token", "1"]).success();
    ada.run(["job", "retry", &second]).success();
    said.run(&ada, "job claim --count 2");
    assert_snapshot!(said, @r#"
    bob$ git muster job cancel <first>
    <first> is cancelled
    [exit status: 0]
    bob$ git muster job claim
    ------- stderr -------
    error: no job for `bob` to claim
    hint: 1 queued job cannot start yet; see `git muster job list --status queued` and `git muster job explain ID`
    [exit status: 3]
    bob$ git muster job explain <second>
    <second> waits: `<first>` of its group `deploy` is cancelled, and ada has not confirmed that it stopped
    [exit status: 0]
    bob$ git muster job explain <second> --json
    {"schema":1,"kind":"job_explanation","id":"<second>","status":"queued",
      "situation":"queued [DURATION] ago","waits_for":[{"reason":"group","group":"deploy",
      "job":"<first>","may_still_run_on":"ada"}]}
    [exit status: 0]
    ada$ git muster job stopped <first> --token 1
    <first> is cancelled; confirmed stopped
    [exit status: 0]
    bob$ git muster job claim
    <second> token 1 build
    [exit status: 0]
    ada$ git muster job claim
    ------- stderr -------
    error: no job for `ada` to claim
    hint: 1 queued job cannot start yet; see `git muster job list --status queued` and `git muster job explain ID`
    [exit status: 3]
    ada$ git muster job retry <second>
    ------- stderr -------
    error: cannot retry job `<second>`: the job is cancelled, but `bob` has not confirmed that it stopped
    hint: wait with `git muster job cancel <second> --wait`; if no process of the job is left, confirm with `git muster --server bob job stopped <second> --token 1`
    [exit status: 4]
    ada$ git muster job claim --count 2
    <first> token 2 build
    [exit status: 0]
    "#);
}

#[test]
fn what_needs_a_failed_job_waits_runs_or_is_called_off() {
    let (_fleet, ada, _bob) = two_servers();
    let mut said = Transcript::new();
    let base = added(&ada, &[]);
    let cancel = added(&ada, &["--needs", &base, "--if-need-fails", "cancel"]);
    let after = added(&ada, &["--needs", &cancel, "--if-need-fails", "cancel"]);
    let run = added(&ada, &["--needs", &base, "--if-need-fails", "run"]);
    let wait = added(&ada, &["--needs", &base]);
    for (id, name) in
        [(&base, "<base>"), (&cancel, "<cancel>"), (&after, "<after>"), (&run, "<run>"), (&wait, "<wait>")]
    {
        said.name(id, name);
    }
    said.run(&ada, "job claim");
    said.run(&ada, &format!("job fail {base} --token 1"));
    said.run(&ada, "job list");
    said.run(&ada, &format!("job show {after}"));
    said.run(&ada, &format!("job explain {after}"));
    said.run(&ada, &format!("job add --needs {base} --if-need-fails cancel"));
    said.run(&ada, "job add --if-need-fails cancel");
    said.run(&ada, "job claim");
    said.run(&ada, "job claim");
    said.run(&ada, "fsck --history");
    assert_snapshot!(said, @r"
    ada$ git muster job claim
    <base> token 1 build
    [exit status: 0]
    ada$ git muster job fail <base> --token 1
    <base> is failed
    [exit status: 0]
    ada$ git muster job list
    JOB  STATUS  PRIORITY  TYPE  BRANCH  SERVER  DETAILS
    <run>  queued  5  build  -  -  queued [DURATION] ago
    <wait>  queued  5  build  -  -  queued [DURATION] ago
    <base>  failed  5  build  -  ada  failed [DURATION] ago: script_failure
    <cancel>  cancelled  5  build  -  -  cancelled [DURATION] ago
    <after>  cancelled  5  build  -  -  cancelled [DURATION] ago
    [exit status: 0]
    ada$ git muster job show <after>
    job:  <after>
    status:  cancelled
    details:  cancelled [DURATION] ago
    type:  build
    priority:  5
    needs:  <cancel>
    if a need fails: cancel
    added:  [TIME]
    finished:  [TIME]
    message:  `<cancel>`, which it needs, did not complete
    added by:  ada
    [exit status: 0]
    ada$ git muster job explain <after>
    <after>: cancelled [DURATION] ago: `<cancel>`, which it needs, did not complete
    [exit status: 0]
    ada$ git muster job add --needs <base> --if-need-fails cancel
    ------- stderr -------
    error: no job was added: the needed job `<base>` did not complete
    hint: retry the needed job with `git muster job retry <base>`
    [exit status: 4]
    ada$ git muster job add --if-need-fails cancel
    ------- stderr -------
    error: the following required arguments were not provided:
      --needs <ID>

    Usage: git muster job add --needs <ID> --if-need-fails <POLICY> [-- <COMMAND>...]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job claim
    <run> token 1 build
    [exit status: 0]
    ada$ git muster job claim
    ------- stderr -------
    error: no job for `ada` to claim
    hint: 1 queued job cannot start yet; see `git muster job list --status queued` and `git muster job explain ID`
    [exit status: 3]
    ada$ git muster fsck --history
    0 errors, 0 warnings, 0 notes in 10 documents on 1 branch, and 11 commits with 11 operations
    [exit status: 0]
    ");
}

#[test]
fn dead_jobs_are_listed_put_back_and_purged() {
    let (_fleet, ada, _bob) = two_servers();
    let mut said = Transcript::new();
    let (one, two) = (added(&ada, &["--max-attempts", "1"]), added(&ada, &["--max-attempts", "1"]));
    said.name(&one, "<one>");
    said.name(&two, "<two>");
    ada.run(["job", "claim", "--count", "2"]).success();
    for id in [&one, &two] {
        let fail = ["job", "fail", id, "--token", "1", "--reason", "timeout", "--duration", "1"];
        ada.run(fail).success();
    }
    said.run(&ada, "job dead list");
    said.run(&ada, &format!("job explain {one}"));
    said.run(&ada, &format!("job dead retry {one}"));
    said.run(&ada, &format!("job dead retry {one}"));
    said.run(&ada, "job dead retry");
    said.run(&ada, "job dead retry job_404");
    said.run(&ada, "job dead purge --older-than 1h");
    said.run(&ada, "job dead purge");
    said.run(&ada, "job dead list");
    said.run(&ada, "job dead list --json");
    said.run(&ada, "job dead retry --all");
    said.run(&ada, "queue stats");
    // How long they waited is that of a machine that may have other work.
    let stats = ada.run(["queue", "stats", "--since", "1h", "--json"]).success().json();
    assert_eq!((&stats["dead_lettered"], &stats["failure_rate"]), (&1.into(), &1.0.into()), "{stats}");
    assert_eq!(stats["avg_execution_seconds"], 1, "{stats}");
    assert_snapshot!(said, @r"
    ada$ git muster job dead list
    JOB  STATUS  PRIORITY  TYPE  BRANCH  SERVER  DETAILS
    <one>  dead  5  build  -  ada  dead [DURATION] ago: timeout
    <two>  dead  5  build  -  ada  dead [DURATION] ago: timeout
    [exit status: 0]
    ada$ git muster job explain <one>
    <one>: dead [DURATION] ago: timeout; requeue it with `git muster job dead retry <one>`
    [exit status: 0]
    ada$ git muster job dead retry <one>
    <one> is queued
    [exit status: 0]
    ada$ git muster job dead retry <one>
    <one> is queued
    [exit status: 0]
    ada$ git muster job dead retry
    ------- stderr -------
    error: the following required arguments were not provided:
      <ID|--all>

    Usage: git muster job dead retry <ID|--all>

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job dead retry job_404
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    ada$ git muster job dead purge --older-than [DURATION]
    0 dead jobs moved to the archive
    [exit status: 0]
    ada$ git muster job dead purge
    1 dead job moved to the archive
    [exit status: 0]
    ada$ git muster job dead list
    ------- stderr -------
    no dead jobs
    [exit status: 0]
    ada$ git muster job dead list --json
    []
    [exit status: 0]
    ada$ git muster job dead retry --all
    ------- stderr -------
    no dead jobs
    [exit status: 0]
    ada$ git muster queue stats
    queued:  1
    running:  0
    completed:  0
    failed:  0
    dead:  1
    cancelled:  0
    average wait:  [DURATION]
    p95 wait:  [DURATION]
    average run time: [DURATION]
    failure rate:  100.0 %
    [exit status: 0]
    ");
}

#[test]
fn each_reason_to_wait_is_told() {
    let (fleet, ada, bob) = two_servers();
    let eve = fleet.host("eve");
    eve.run(["join", "--as", "eve", "--label", "quantum"]).success();
    let beat = "{\"server\":\"eve\",\"timestamp\":\"2025-10-29T12:00:00Z\",\"interval_seconds\":30}\n";
    fleet.hub().put(MAIN, &[("eve/heartbeat.json", beat)], "eve falls silent");
    let mut said = Transcript::new();
    let mut add = |name: &str, more: &[&str]| {
        let id = added(&ada, more);
        said.name(&id, name);
        id
    };
    let needed = add("<needed>", &["--label", "nowhere"]);
    let needs = add("<needs>", &["--needs", &needed]);
    let later = add("<later>", &["--not-before", "in 2h"]);
    let dated = add("<dated>", &["--not-before", "2999-01-01T00:00:00Z"]);
    let quantum = add("<quantum>", &["--label", "quantum"]);
    let failing = add("<failing>", &["--label", "gpu"]);
    bob.run(["job", "claim", &failing]).success();
    bob.run(["job", "fail", &failing, "--token", "1", "--reason", "worker_system_failure"]).success();
    let first = add("<first>", &["--label", "gpu", "--group", "g"]);
    bob.run(["job", "claim", &first]).success();
    let grouped = add("<grouped>", &["--group", "g"]);
    let gpu = add("<gpu>", &["--label", "gpu"]);
    let free = add("<free>", &[]);
    for job in [&needed, &needs, &later, &dated, &quantum, &failing, &grouped, &gpu, &free] {
        said.run(&ada, &format!("job explain {job}"));
    }
    said.run(&ada, &format!("job explain {gpu} --json"));
    said.run(&ada, &format!("job explain {quantum} --json"));
    ada.run(["queue", "pause", "--label", "gpu", "--note", "its driver", "--for", "2h"]).success();
    said.run(&ada, &format!("job explain {gpu}"));
    ada.run(["queue", "resume", "--label", "gpu"]).success();
    ada.run(["worker", "pause", "bob", "--note", "new disk"]).success();
    said.run(&ada, &format!("job explain {gpu}"));
    ada.run(["queue", "pause"]).success();
    said.run(&ada, &format!("job explain {free}"));
    for moment in ["tomorrow", "90"] {
        said.run(&ada, &format!("job add --not-before {moment}"));
    }
    assert_snapshot!(said, @r#"
    ada$ git muster job explain <needed>
    <needed> waits: no server has the labels nowhere
    [exit status: 0]
    ada$ git muster job explain <needs>
    <needs> waits: it needs `<needed>`, which is queued
    [exit status: 0]
    ada$ git muster job explain <later>
    <later> waits: not before [TIME], [DURATION] from now
    [exit status: 0]
    ada$ git muster job explain <dated>
    <dated> waits: not before [TIME], [DURATION] from now
    [exit status: 0]
    ada$ git muster job explain <quantum>
    <quantum> waits: no server that could run it gives a sign of life: the last of eve [DURATION] ago
    [exit status: 0]
    ada$ git muster job explain <failing>
    <failing> waits: backing off until [TIME], [DURATION] from now: attempt 1 of 3 ended with worker_system_failure
    <failing> waits: every server that could run it is at work: bob has <first>
    [exit status: 0]
    ada$ git muster job explain <grouped>
    <grouped> waits: `<first>` of its group `g` is at work
    [exit status: 0]
    ada$ git muster job explain <gpu>
    <gpu> waits: every server that could run it is at work: bob has <first>
    [exit status: 0]
    ada$ git muster job explain <free>
    <free> waits: it is next; it has no command: workers leave it to people and scripts (`git muster job claim`)
    [exit status: 0]
    ada$ git muster job explain <gpu> --json
    {"schema":1,"kind":"job_explanation","id":"<gpu>","status":"queued",
      "situation":"queued [DURATION] ago","waits_for":[{"reason":"busy","servers":[{"server":"bob",
      "jobs":["<first>"]}]}]}
    [exit status: 0]
    ada$ git muster job explain <quantum> --json
    {"schema":1,"kind":"job_explanation","id":"<quantum>","status":"queued",
      "situation":"queued [DURATION] ago","waits_for":[{"reason":"silent","servers":[{"server":"eve",
      "last_heartbeat":"[TIME]"}]}]}
    [exit status: 0]
    ada$ git muster job explain <gpu>
    <gpu> waits: label `gpu` is paused by ada [DURATION] ago, until [TIME]: its driver
    <gpu> waits: every server that could run it is at work: bob has <first>
    [exit status: 0]
    ada$ git muster job explain <gpu>
    <gpu> waits: server `bob` is paused by ada [DURATION] ago: new disk
    [exit status: 0]
    ada$ git muster job explain <free>
    <free> waits: the queue is paused by ada [DURATION] ago
    [exit status: 0]
    ada$ git muster job add --not-before tomorrow
    ------- stderr -------
    error: invalid value 'tomorrow' for '--not-before <TIME>': give a time such as [TIME] (without a zone: local time), or a delay such as 'in [DURATION]'

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job add --not-before 90
    ------- stderr -------
    error: invalid value '90' for '--not-before <TIME>': give a time such as [TIME] (without a zone: local time), or a delay such as 'in [DURATION]'

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

/// The zone of Berlin, without a database of zones.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

#[test]
fn a_time_without_a_zone_is_one_where_the_user_is_and_is_said_back() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.set("TZ", BERLIN);
    for (given, stored, told) in [
        ("2999-01-30 09:00", "2999-01-30T08:00:00Z", "2999-01-30 09:00:00 +01:00, in "),
        ("2999-07-30T09:00", "2999-07-30T07:00:00Z", "2999-07-30 09:00:00 +02:00, in "),
        ("2999-01-30", "2999-01-29T23:00:00Z", "2999-01-30 00:00:00 +01:00, in "),
        // What names its zone is what it says.
        ("2999-01-30T09:00:00Z", "2999-01-30T09:00:00Z", "2999-01-30 10:00:00 +01:00, in "),
        ("2999-01-30T09:00:00-05:00", "2999-01-30T14:00:00Z", "2999-01-30 15:00:00 +01:00, in "),
        ("2020-01-30 09:00", "2020-01-30T08:00:00Z", "2020-01-30 09:00:00 +01:00, "),
    ] {
        let added = ada.run(["job", "add", "--not-before", given, "--", "true"]).success();
        assert!(added.stderr().contains(&format!("cannot be claimed before {told}")), "{added}");
        let shown = ada.run(["job", "show", added.stdout().trim(), "--json"]).success();
        assert_eq!(shown.json()["not_before"], stored, "{given}");
        let shown = ada.run(["job", "show", added.stdout().trim()]).success();
        assert!(shown.stdout().contains(&told[..26]), "{shown}");
        let explained = ada.run(["job", "explain", added.stdout().trim(), "--json"]).success();
        assert!(
            !explained.stdout().contains("+01:00") && !explained.stdout().contains("+02:00"),
            "{explained}"
        );
    }
    let quiet = ada.run(["job", "add", "-q", "--not-before", "2999-01-30", "--", "true"]).success();
    assert_eq!(quiet.stderr(), "", "{quiet}");
}

#[test]
fn a_time_that_comes_twice_or_never_is_refused_with_both_readings_and_each_works() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.set("TZ", BERLIN);
    for (given, readings) in [
        ("2026-10-25 02:30", ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]),
        ("2026-03-29T02:30", ["2026-03-29T02:30:00+01:00", "2026-03-29T02:30:00+02:00"]),
    ] {
        let refused = ada.run(["job", "add", "--not-before", given, "--", "true"]).code(2);
        for reading in readings {
            assert!(refused.stderr().contains(reading), "{reading}\n{refused}");
            ada.run(["job", "add", "--not-before", reading, "--", "true"]).success();
        }
    }
}

#[test]
fn a_pause_in_the_place_of_another_tells_what_is_replaced() {
    let fleet = Fleet::new().founded();
    let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
    ada.run(["worker", "pause", "bob", "--note", "disk swap", "--for", "2h"]).success();
    let again = ada.run(["worker", "pause", "bob", "--note", "disk swap"]).success();
    assert!(again.stderr().contains("it was already paused, by ada"), "{again}");
    let run = bob.run(["worker", "pause", "bob", "--for", "1m", "--json"]).success();
    assert!(run.stderr().contains("disk swap; that pause is replaced"), "{run}");
    assert_eq!(run.json()["replaced"]["note"], "disk swap", "{run}");
    // What the hub holds is the pause alone.
    let pauses = inspect::document(fleet.hub(), MAIN, "coordination/pauses.json");
    assert_eq!(
        (pauses["pauses"][0]["by"].as_str(), pauses["pauses"][0].get("replaced")),
        (Some("bob"), None)
    );
}

#[test]
fn who_joins_in_a_clone_is_told_a_line_that_works_from_cron() {
    let fleet = Fleet::new().founded();
    let ada = fleet.host_in_clone("ada");
    let run = ada.run(["join", "--as", "ada"]).success();
    let line = run.stdout().split('`').find(|part| part.ends_with("muster heartbeat")).map(str::to_owned);
    let line = line.or_else(|| {
        run.stderr().split('`').find(|part| part.ends_with("muster heartbeat")).map(str::to_owned)
    });
    let line = line.unwrap_or_else(|| run.fail("no line"));
    assert_eq!(line, format!("git -C {} muster heartbeat", ada.directory().display()));
}
