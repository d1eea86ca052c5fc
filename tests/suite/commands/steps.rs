//! The steps of a claimed job, what anybody may change about it, and waiting for it.

use super::{added, two_servers};
use crate::support::{Host, MAIN, Transcript, inspect};
use insta::assert_snapshot;

/// A job that bob holds under token 1.
#[track_caller]
fn claimed(ada: &Host, bob: &Host) -> String {
    let job = added(ada, &[]);
    bob.run(["job", "claim", &job]).success();
    job
}

#[test]
fn a_script_keeps_its_claim_with_signs_of_life_and_learns_when_it_is_over() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let job = claimed(&ada, &bob);
    said.name(&job, "<job>");
    let sequence =
        || inspect::document(fleet.hub(), "heartbeat-bob", "bob/heartbeat.json")["sequence"].as_u64();
    bob.run(["heartbeat"]).success();
    let before = sequence();
    said.run(&bob, &format!("job heartbeat {job} --token 1"));
    assert_eq!(sequence(), before.map(|before| before + 1));
    said.run(&ada, &format!("job heartbeat {job} --token 1"));
    said.run(&bob, &format!("job heartbeat {job} --token 7"));
    said.run(&bob, "job heartbeat job_404 --token 1");
    ada.run(["job", "cancel", &job]).success();
    said.run(&bob, &format!("job heartbeat {job} --token 1 --json"));
    assert_snapshot!(said, @r#"
    bob$ git muster job heartbeat <job> --token 1
    <job> is claimed, still claimed by this server with token 1
    [exit status: 0]
    ada$ git muster job heartbeat <job> --token 1
    ------- stderr -------
    error: cannot renew job `<job>`: it is held by `bob`, not by `ada`
    [exit status: 4]
    bob$ git muster job heartbeat <job> --token 7
    ------- stderr -------
    error: cannot renew job `<job>`: token 7 was never issued; the job is claimed by `bob`, last token 1
    [exit status: 5]
    bob$ git muster job heartbeat job_404 --token 1
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    bob$ git muster job heartbeat <job> --token 1 --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":5,"error":"cannot renew job `<job>`: token 1 is no longer valid; the job is cancelled, last token 1","hints":[],"op":null,"code":"token-ended","retry":"no","written":false,"facts":{"kind":"job","id":"<job>","action":"renew-job","token":1,"last_token":1,"status":"cancelled","holder":null},"errors":[]}
    [exit status: 5]
    "#);
}

#[test]
fn a_job_is_started_and_completed_by_its_holder() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let job = claimed(&ada, &bob);
    said.name(&job, "<job>");
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, &format!("job start {job} --token 1"));
    said.run(&bob, &format!("job start {job} --token 2"));
    said.run(&bob, &format!("job start {job}"));
    said.run(&bob, &format!("job start {job} --token 1 --dry-run"));
    assert_eq!(fleet.hub().tip(MAIN), tip);
    said.run_with(&bob, &format!("job start {job}"), |command| command.env("MUSTER_JOB_TOKEN", "1"));
    said.run(&ada, &format!("job complete {job} --token 1"));
    let done = format!(
        "job complete {job} --token 1 --exit-code 0 --duration 1234 --artifact a.deb --artifact b.deb"
    );
    said.run(&bob, &format!("{done} --message password=hunter2hunter2"));
    said.run(&bob, &format!("{done} --json"));
    said.run(&bob, &done);
    said.run(&bob, "job complete job_404 --token 1");
    said.run(&ada, "status show bob");
    assert_snapshot!(said, @r#"
    ada$ git muster job start <job> --token 1
    ------- stderr -------
    error: cannot start job `<job>`: it is held by `bob`, not by `ada`
    [exit status: 4]
    bob$ git muster job start <job> --token 2
    ------- stderr -------
    error: cannot start job `<job>`: token 2 was never issued; the job is claimed by `bob`, last token 1
    [exit status: 5]
    bob$ git muster job start <job>
    ------- stderr -------
    error: no token for job `<job>` given, and MUSTER_JOB_TOKEN is not set; nothing was done
    hint: pass the token of job `<job>` with `--token`
    [exit status: 2]
    bob$ git muster job start <job> --token 1 --dry-run
    dry run, not done: <job> is running
    ------- stderr -------
    warning: dry run: nothing was written
    [exit status: 0]
    bob$ git muster job start <job>
    <job> is running
    [exit status: 0]
    ada$ git muster job complete <job> --token 1
    ------- stderr -------
    error: cannot complete job `<job>`: it is held by `bob`, not by `ada`
    [exit status: 4]
    bob$ git muster job complete <job> --token 1 --exit-code 0 --duration 1234 --artifact a.deb --artifact b.deb --message password=hunter2hunter2
    ------- stderr -------
    error: nothing was reported: the text seems to contain a password
    [exit status: 2]
    bob$ git muster job complete <job> --token 1 --exit-code 0 --duration 1234 --artifact a.deb --artifact b.deb --json
    {"schema":1,"kind":"job","id":"<job>","type":"build","priority":5,"branch":null,"commit":null,
      "assigned_to":"bob","status":"completed","created_at":"[TIME]","started_at":"[TIME]",
      "completed_at":"[TIME]","requester":"ada","attempts":1,"token":1,"incarnation":"[UUID]",
      "exit_code":0,"duration_seconds":[NUMBER],"artifacts":["a.deb","b.deb"],"command":[],
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    bob$ git muster job complete <job> --token 1 --exit-code 0 --duration 1234 --artifact a.deb --artifact b.deb
    <job> is completed, as reported before
    [exit status: 0]
    bob$ git muster job complete job_404 --token 1
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    ada$ git muster status show bob
    server:  bob
    status:  success
    updated:  [DURATION] ago
    last build: <job> success [DURATION] ago
    [exit status: 0]
    "#);
}

#[test]
fn what_follows_a_failure_depends_on_its_reason() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let reasons =
        ["script_failure", "timeout", "lost", "interrupted", "missing_artifact", "worker_system_failure"];
    for reason in reasons {
        let job = claimed(&ada, &bob);
        said.name(&job, &format!("<{reason}>"));
        said.run(
            &bob,
            &format!("job fail {job} --token 1 --reason {reason} --exit-code 2 --message 'no disk'"),
        );
        let left = ada.run(["job", "show", &job, "--json"]).success().json();
        assert_eq!(left["reason"], reason);
        assert_eq!(left["attempts"], u64::from(reason != "interrupted"), "{reason}");
        assert_eq!(
            left["not_before"].is_null(),
            reason != "timeout" && reason != "lost" && reason != "worker_system_failure"
        );
    }
    let job = claimed(&ada, &bob);
    said.name(&job, "<job>");
    said.run(&bob, &format!("job fail {job} --token 1 --reason tired"));
    said.run(&ada, &format!("job fail {job} --token 1"));
    said.run(&bob, &format!("job fail {job} --token 7"));
    said.run(&bob, &format!("job fail {job} --token 1 --json"));
    let once = added(&ada, &["--max-attempts", "1"]);
    said.name(&once, "<once>");
    bob.run(["job", "claim", &once]).success();
    said.run(&bob, &format!("job fail {once} --token 1 --reason timeout"));
    said.run(&ada, &format!("job show {once}"));
    assert_snapshot!(said, @r#"
    bob$ git muster job fail <script_failure> --token 1 --reason script_failure --exit-code 2 --message 'no disk'
    <script_failure> is failed
    [exit status: 0]
    bob$ git muster job fail <timeout> --token 1 --reason timeout --exit-code 2 --message 'no disk'
    <timeout> is queued
    [exit status: 0]
    bob$ git muster job fail <lost> --token 1 --reason lost --exit-code 2 --message 'no disk'
    <lost> is queued
    [exit status: 0]
    bob$ git muster job fail <interrupted> --token 1 --reason interrupted --exit-code 2 --message 'no disk'
    <interrupted> is queued
    [exit status: 0]
    bob$ git muster job fail <missing_artifact> --token 1 --reason missing_artifact --exit-code 2 --message 'no disk'
    <missing_artifact> is failed
    [exit status: 0]
    bob$ git muster job fail <worker_system_failure> --token 1 --reason worker_system_failure --exit-code 2 --message 'no disk'
    <worker_system_failure> is queued
    [exit status: 0]
    bob$ git muster job fail <job> --token 1 --reason tired
    ------- stderr -------
    error: invalid value 'tired' for '--reason <REASON>'
      [possible values: script_failure, timeout, lost, interrupted, missing_artifact, worker_system_failure]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job fail <job> --token 1
    ------- stderr -------
    error: cannot fail job `<job>`: it is held by `bob`, not by `ada`
    [exit status: 4]
    bob$ git muster job fail <job> --token 7
    ------- stderr -------
    error: cannot fail job `<job>`: token 7 was never issued; the job is claimed by `bob`, last token 1
    [exit status: 5]
    bob$ git muster job fail <job> --token 1 --json
    {"schema":1,"kind":"job","id":"<job>","type":"build","priority":5,"branch":null,"commit":null,
      "assigned_to":"bob","status":"failed","created_at":"[TIME]","started_at":"[TIME]",
      "completed_at":"[TIME]","requester":"ada","attempts":1,"token":1,"reason":"script_failure",
      "duration_seconds":[NUMBER],"command":[],"written":{"hub":"[HUB]/hub.git","branch":"main",
      "commit":"[COMMIT]"}}
    [exit status: 0]
    bob$ git muster job fail <once> --token 1 --reason timeout
    <once> is dead
    [exit status: 0]
    ada$ git muster job show <once>
    job:  <once>
    status:  dead
    details:  dead [DURATION] ago: timeout
    type:  build
    priority: 5
    added:  [TIME]
    started:  [TIME]
    finished: [TIME]
    duration: [DURATION]
    server:  bob
    token:  1
    attempts: 1 of 1
    added by: ada
    [exit status: 0]
    "#);
}

#[test]
fn a_job_handed_back_can_be_claimed_again_under_a_higher_token() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let job = claimed(&ada, &bob);
    said.name(&job, "<job>");
    said.run(&ada, &format!("job release {job} --token 1"));
    said.run(&bob, &format!("job release {job} --token 1"));
    said.run(&bob, &format!("job release {job} --token 1"));
    said.run(&ada, "job claim");
    said.run(&bob, &format!("job complete {job} --token 1"));
    said.run(&ada, &format!("job release {job} --token 2 --json"));
    assert_snapshot!(said, @r#"
    ada$ git muster job release <job> --token 1
    ------- stderr -------
    error: cannot release job `<job>`: it is held by `bob`, not by `ada`
    [exit status: 4]
    bob$ git muster job release <job> --token 1
    <job> is queued
    [exit status: 0]
    bob$ git muster job release <job> --token 1
    <job> is queued, as reported before
    [exit status: 0]
    ada$ git muster job claim
    <job> token 2 build
    [exit status: 0]
    bob$ git muster job complete <job> --token 1
    ------- stderr -------
    error: cannot complete job `<job>`: token 1 has been superseded; the job is claimed by `ada`, last token 2
    [exit status: 5]
    ada$ git muster job release <job> --token 2 --json
    {"schema":1,"kind":"job","id":"<job>","type":"build","priority":5,"branch":null,"commit":null,
      "assigned_to":null,"status":"queued","created_at":"[TIME]","started_at":null,"completed_at":null,
      "requester":"ada","attempts":0,"token":2,"reason":"interrupted","command":[],
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    "#);
}

#[test]
fn a_script_confirms_that_a_cancelled_job_stopped() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let job = claimed(&ada, &bob);
    said.name(&job, "<job>");
    said.run(&bob, &format!("job stopped {job} --token 1"));
    said.run(&ada, &format!("job cancel {job} --wait 0s"));
    said.run(&ada, &format!("job explain {job}"));
    said.run(&ada, &format!("job explain {job} --json"));
    said.run(&ada, &format!("job stopped {job} --token 1"));
    said.run(&bob, &format!("job stopped {job} --token 7"));
    said.run(&bob, &format!("job stopped {job} --token 1"));
    said.run(&bob, &format!("job stopped {job} --token 1"));
    said.run(&ada, &format!("job explain {job}"));
    said.run(&ada, &format!("job cancel {job} --wait"));
    let idle = claimed(&ada, &bob);
    said.name(&idle, "<idle>");
    bob.run(["job", "release", &idle, "--token", "1"]).success();
    said.run(&ada, &format!("job cancel {idle} --wait"));
    said.run(&ada, &format!("job show {idle}"));
    ada.run(["job", "retry", &job]).success();
    said.run(&ada, &format!("job show {job}"));
    bob.run(["job", "claim", &job]).success();
    bob.run(["job", "complete", &job, "--token", "2"]).success();
    said.run(&ada, &format!("job cancel {job} --wait"));
    assert_snapshot!(said, @r#"
    bob$ git muster job stopped <job> --token 1
    ------- stderr -------
    error: cannot confirm the stop of job `<job>`: the job is claimed, not cancelled
    [exit status: 4]
    ada$ git muster job cancel <job> --wait [DURATION]
    ------- stderr -------
    error: job `<job>` is cancelled, but not confirmed stopped: it may still be running on `bob`; waited [DURATION]
    hint: wait longer with `git muster job cancel <job> --wait [DURATION]`
    [exit status: 75]
    ada$ git muster job explain <job>
    <job>: cancelled [DURATION] ago; not confirmed yet: bob may still run it
    [exit status: 0]
    ada$ git muster job explain <job> --json
    {"schema":1,"kind":"job_explanation","id":"<job>","status":"cancelled",
      "situation":"cancelled [DURATION] ago","waits_for":[],"may_still_run_on":"bob"}
    [exit status: 0]
    ada$ git muster job stopped <job> --token 1
    ------- stderr -------
    error: cannot confirm the stop of job `<job>`: it is held by `bob`, not by `ada`
    [exit status: 4]
    bob$ git muster job stopped <job> --token 7
    ------- stderr -------
    error: cannot confirm the stop of job `<job>`: token 7 was never issued; the job is cancelled, last token 1
    [exit status: 5]
    bob$ git muster job stopped <job> --token 1
    <job> is cancelled; confirmed stopped
    [exit status: 0]
    bob$ git muster job stopped <job> --token 1
    <job> is cancelled; confirmed stopped, as reported before
    [exit status: 0]
    ada$ git muster job explain <job>
    <job>: cancelled [DURATION] ago; its holder has confirmed that it stopped
    [exit status: 0]
    ada$ git muster job cancel <job> --wait
    <job> is cancelled; its holder has confirmed that it stopped
    [exit status: 0]
    ada$ git muster job cancel <idle> --wait
    <idle> is cancelled
    [exit status: 0]
    ada$ git muster job show <idle>
    job:  <idle>
    status:  cancelled
    details:  cancelled [DURATION] ago
    type:  build
    priority: 5
    added:  [TIME]
    finished: [TIME]
    token:  1
    attempts: 0 of 3
    added by: ada
    [exit status: 0]
    ada$ git muster job show <job>
    job:  <job>
    status:  queued
    details:  queued [DURATION] ago
    type:  build
    priority: 5
    added:  [TIME]
    token:  1
    attempts: 0 of 3
    added by: ada
    [exit status: 0]
    ada$ git muster job cancel <job> --wait
    ------- stderr -------
    error: cannot cancel job `<job>`: the job is already completed
    [exit status: 4]
    "#);
}

#[test]
fn anybody_can_cancel_retry_and_reorder() {
    let (fleet, ada, bob) = two_servers();
    // Who neither added nor holds it.
    let carol = fleet.server("carol");
    let mut said = Transcript::new();
    let job = claimed(&ada, &bob);
    said.name(&job, "<job>");
    said.run(&carol, &format!("job retry {job}"));
    said.run(&carol, &format!("job priority {job} critical"));
    said.run(&carol, &format!("job priority {job} 11"));
    said.run(&carol, &format!("job cancel {job} --reason superseded"));
    said.run(&ada, "status show bob");
    said.run(&carol, &format!("job cancel {job}"));
    said.run(&carol, &format!("job priority {job} low"));
    said.run(&bob, &format!("job complete {job} --token 1"));
    said.run(&ada, &format!("job show {job}"));
    said.run(&carol, &format!("job retry {job}"));
    bob.run(["job", "stopped", &job, "--token", "1"]).success();
    said.run(&carol, &format!("job retry {job} --json"));
    said.run(&carol, &format!("job retry {job}"));
    for verb in ["cancel", "retry", "priority"] {
        let level = if verb == "priority" { " low" } else { "" };
        said.run(&carol, &format!("job {verb} job_404{level}"));
    }
    assert_snapshot!(said, @r#"
    carol$ git muster job retry <job>
    ------- stderr -------
    error: cannot retry job `<job>`: the job is claimed
    hint: cancel the job first with `git muster job cancel <job>`
    [exit status: 4]
    carol$ git muster job priority <job> critical
    <job> is claimed, priority 1
    [exit status: 0]
    carol$ git muster job priority <job> 11
    ------- stderr -------
    error: invalid value '11' for '<LEVEL>': give a number from 1 (most urgent) to 10, or critical, high, normal or low

    For more information, try '--help'.
    [exit status: 2]
    carol$ git muster job cancel <job> --reason superseded
    <job> is cancelled
    [exit status: 0]
    ada$ git muster status show bob
    server:  bob
    status:  idle
    updated: [DURATION] ago
    [exit status: 0]
    carol$ git muster job cancel <job>
    <job> is cancelled, as reported before
    [exit status: 0]
    carol$ git muster job priority <job> low
    ------- stderr -------
    error: cannot change the priority of job `<job>`: the job is cancelled
    [exit status: 4]
    bob$ git muster job complete <job> --token 1
    ------- stderr -------
    error: cannot complete job `<job>`: token 1 is no longer valid; the job is cancelled, last token 1
    [exit status: 5]
    ada$ git muster job show <job>
    job:  <job>
    status:  cancelled
    details:  cancelled [DURATION] ago
    stopped:  not confirmed yet: bob may still run it
    type:  build
    priority: 1
    added:  [TIME]
    started:  [TIME]
    finished: [TIME]
    server:  bob
    token:  1
    attempts: 1 of 3
    message:  superseded
    added by: ada
    [exit status: 0]
    carol$ git muster job retry <job>
    ------- stderr -------
    error: cannot retry job `<job>`: the job is cancelled, but `bob` has not confirmed that it stopped
    hint: wait with `git muster job cancel <job> --wait`; if no process of the job is left, confirm with `git muster --server bob job stopped <job> --token 1`
    [exit status: 4]
    carol$ git muster job retry <job> --json
    {"schema":1,"kind":"job","id":"<job>","type":"build","priority":1,"branch":null,"commit":null,
      "assigned_to":null,"status":"queued","created_at":"[TIME]","started_at":null,"completed_at":null,
      "requester":"ada","attempts":0,"token":1,"command":[],"written":{"hub":"[HUB]/hub.git",
      "branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    carol$ git muster job retry <job>
    <job> is queued, as reported before
    [exit status: 0]
    carol$ git muster job cancel job_404
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    carol$ git muster job retry job_404
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    carol$ git muster job priority job_404 low
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    "#);
}

#[test]
fn waiting_for_a_job_gives_its_exit_code() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let finish: [(&str, &[&str], i32); 4] = [
        ("<good>", &["complete"], 0),
        ("<bad>", &["fail", "--exit-code", "17"], 17),
        ("<odd>", &["fail", "--exit-code", "-1"], 1),
        ("<mute>", &["fail"], 1),
    ];
    for (name, step, code) in finish {
        let job = claimed(&ada, &bob);
        said.name(&job, name);
        bob.run(["job", step[0], &job, "--token", "1"].iter().chain(&step[1..])).success();
        let run = said.ask(&ada, &format!("job wait {job}"));
        assert_eq!(run.exit_code(), Some(code), "{run}");
    }
    let job = claimed(&ada, &bob);
    said.name(&job, "<job>");
    said.run(&ada, &format!("job wait {job} --wait 0"));
    said.run(&ada, "job wait job_404");
    let mut waiting = ada.command(["job", "wait", &job, "--json"]).spawn();
    bob.run(["job", "complete", &job, "--token", "1"]).success();
    waiting.wait_for_stdout("completed");
    assert_eq!(waiting.wait().success().json()["id"], job.as_str());
    assert_snapshot!(said, @"
    ada$ git muster job wait <good>
    <good> completed [DURATION] ago
    [exit status: 0]
    ada$ git muster job wait <bad>
    <bad> failed [DURATION] ago: script_failure
    [exit status: 17]
    ada$ git muster job wait <odd>
    <odd> failed [DURATION] ago: script_failure
    [exit status: 1]
    ada$ git muster job wait <mute>
    <mute> failed [DURATION] ago: script_failure
    [exit status: 1]
    ada$ git muster job wait <job> --wait 0
    ------- stderr -------
    error: job `<job>` is not finished: claimed by bob [DURATION] ago; waited [DURATION]
    hint: wait longer with `git muster job wait <job> --wait [DURATION]`
    [exit status: 75]
    ada$ git muster job wait job_404
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    ");
}
