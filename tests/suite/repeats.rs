//! The same report again, because the answer to the first was cut: it is answered as the first was, for
//! as long as the record shows that it was that one. A stranger is refused as ever.

use crate::support::{Fleet, Host, MAIN, Transport};

fn fleet() -> (Fleet, Host, Host) {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    (fleet, ada, bob)
}

fn added(host: &Host) -> String {
    host.run(["job", "add", "--type", "test", "--", "true"]).success().stdout().trim().to_owned()
}

/// Gives a command twice; the second changes nothing and says so.
#[track_caller]
fn twice(fleet: &Fleet, host: &Host, line: &str) {
    host.run(line.split(' ')).success();
    let tip = fleet.hub().tip(MAIN);
    let again = host.run(line.split(' ')).success();
    assert!(again.stdout().contains("as reported before"), "{line}: {again}");
    assert_eq!(fleet.hub().tip(MAIN), tip, "{line}: the second wrote something");
}

#[test]
fn each_report_of_a_job_can_be_given_again() {
    let (fleet, ada, bob) = fleet();
    for report in [
        "complete JOB --token 1",
        "complete JOB --token 1 --exit-code 0 --artifact a.deb --commit 4f2c1d9 --message fine --duration 7",
        "fail JOB --token 1",
        "fail JOB --token 1 --exit-code 2 --message broken",
        "fail JOB --token 1 --reason timeout",
        "fail JOB --token 1 --reason worker_system_failure --message disk",
        "release JOB --token 1",
    ] {
        let job = added(&ada);
        bob.run(["job", "claim", &job]).success();
        twice(&fleet, &bob, &format!("job start {job} --token 1"));
        twice(&fleet, &bob, &format!("job {}", report.replace("JOB", &job)));
    }
    let job = added(&ada);
    bob.run(["job", "claim", &job]).success();
    twice(&fleet, &ada, &format!("job cancel {job}"));
    twice(&fleet, &bob, &format!("job stopped {job} --token 1"));
    twice(&fleet, &ada, &format!("job retry {job}"));
    twice(&fleet, &ada, &format!("job priority {job} high"));
}

#[test]
fn another_report_or_another_reporter_is_no_repetition() {
    let (fleet, ada, bob) = fleet();
    let job = added(&ada);
    bob.run(["job", "claim", &job]).success();
    bob.run(["job", "complete", &job, "--token", "1", "--artifact", "a.deb"]).success();
    let tip = fleet.hub().tip(MAIN);
    for (host, line) in [
        (&bob, "complete JOB --token 1"),
        (&bob, "complete JOB --token 1 --artifact b.deb"),
        (&bob, "complete JOB --token 1 --artifact a.deb --message other"),
        (&bob, "complete JOB --token 2 --artifact a.deb"),
        (&ada, "complete JOB --token 1 --artifact a.deb"),
        (&bob, "fail JOB --token 1"),
        (&bob, "release JOB --token 1"),
        (&bob, "start JOB --token 1"),
    ] {
        let line = format!("job {}", line.replace("JOB", &job));
        host.run(line.split(' ')).code(5);
        assert_eq!(fleet.hub().tip(MAIN), tip, "{line}");
    }
    // Once somebody has claimed it again, the earlier report is one of the past.
    let job = added(&ada);
    bob.run(["job", "claim", &job]).success();
    bob.run(["job", "release", &job, "--token", "1"]).success();
    ada.run(["job", "claim", &job]).success();
    bob.run(["job", "release", &job, "--token", "1"]).code(5);
}

#[test]
fn a_lock_is_released_and_a_thing_is_done_once_more_by_the_same_only() {
    let (fleet, ada, bob) = fleet();
    bob.run(["lock", "acquire", "deploy"]).success();
    twice(&fleet, &bob, "lock release deploy --token 1");
    ada.run(["lock", "release", "deploy", "--token", "1"]).code(5);
    bob.run(["lock", "release", "deploy", "--token", "2"]).code(5);
    ada.run(["lock", "acquire", "deploy"]).success();
    bob.run(["lock", "release", "deploy", "--token", "1"]).code(5);

    bob.run(["once", "do", "migrate"]).success();
    bob.run(["once", "done", "migrate", "--token", "1"]).success();
    let tip = fleet.hub().tip(MAIN);
    bob.run(["once", "done", "migrate", "--token", "1"]).success();
    ada.run(["once", "done", "migrate", "--token", "1"]).code(3);
    bob.run(["once", "done", "migrate", "--token", "2"]).code(3);
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

#[test]
fn what_sets_a_state_can_be_set_again() {
    let (fleet, ada, bob) = fleet();
    let sent = ada.run(["message", "send", "--to", "bob", "--subject", "x", "--ack"]).success();
    for line in [
        "queue pause --note backup".to_owned(),
        format!("message ack {}", sent.stdout().trim()),
        "join --as bob".to_owned(),
    ] {
        bob.run(line.split(' ')).success();
        let tip = fleet.hub().tip(MAIN);
        bob.run(line.split(' ')).success();
        assert_eq!(fleet.hub().tip(MAIN), tip, "{line}");
    }
    bob.run(["init", &fleet.hub().url()]).success();
}

#[test]
fn what_does_harm_easily_is_asked_for_twice() {
    let (fleet, ada, bob) = fleet();
    // Nothing to do is no job.
    let tip = fleet.hub().tip(MAIN);
    for line in ["job add", "job add --priority high", "job add --timeout 2h --max-attempts 1"] {
        let run = ada.run(line.split(' ')).code(2);
        assert!(run.stderr().contains("git muster job add --type test -- make test"), "{run}");
    }
    ada.command(["job", "add", "--from", "-"]).stdin("{ }\n").run().code(2);
    assert_eq!(fleet.hub().tip(MAIN), tip);
    // What has completed is done again when it is said twice, and its result stays.
    let job = added(&ada);
    bob.run(["job", "claim", &job]).success();
    bob.run(["job", "complete", &job, "--token", "1", "--artifact", "a.deb"]).success();
    let run = ada.run(["job", "retry", &job]).code(4);
    assert!(run.stderr().contains(&format!("git muster job retry {job} --again")), "{run}");
    ada.run(["job", "retry", &job, "--again"]).success();
    let shown = ada.run(["job", "show", &job, "--json"]).success().json();
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["earlier"][0]["artifacts"][0], "a.deb");
    assert_eq!((&shown["earlier"][0]["server"], &shown["earlier"][0]["token"]), (&"bob".into(), &1.into()));
    // A lease that runs is not taken by a slip.
    bob.run(["lock", "acquire", "deploy"]).success();
    let run = ada.run(["lock", "steal", "deploy", "--reason", "x"]).code(4);
    assert!(run.stderr().contains("--force"), "{run}");
    assert_eq!(ada.run(["lock", "show", "deploy", "--json"]).success().json()["locked_by"], "bob");
    ada.run(["lock", "steal", "deploy", "--reason", "x", "--force"]).success();
    bob.run(["lock", "release", "deploy", "--token", "1"]).code(5);
}

#[test]
fn an_operator_takes_a_job_from_a_dead_server_with_one_command() {
    let (fleet, ada, bob) = fleet();
    let job = added(&ada);
    bob.run(["job", "claim", &job, "--start"]).success();
    let line = format!("job requeue {job} --holder-lost --reason burnt");
    ada.run(["job", "requeue", &job, "--reason", "burnt"]).code(2);
    twice(&fleet, &ada, &line);
    let shown = ada.run(["job", "show", &job, "--json"]).success().json();
    assert_eq!((&shown["status"], &shown["attempts"]), (&"queued".into(), &0.into()));
    assert_eq!((&shown["reason"], &shown["error_message"]), (&"lost".into(), &"burnt".into()));
    // The dead one lives after all, and its token is worth nothing once another has the job.
    ada.run(["job", "claim", &job]).success();
    bob.run(["job", "complete", &job, "--token", "1"]).code(5);
    ada.run(["job", "complete", &job, "--token", "2"]).success();
    ada.run(line.split(' ')).code(5);
    ada.run(["fsck", "--history"]).success();
}
