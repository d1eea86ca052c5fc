//! Jobs that wait for a worker that does not run, and signs of life that are judged by a clock that is off.

use crate::support::{Fleet, Host};

/// The hint of an answer, run as it stands.
fn run_quoted(host: &Host, text: &str) {
    let command = text.split('`').find(|part| part.starts_with("git muster job explain")).expect(text);
    host.run(command.split_whitespace().skip(2)).success();
}

#[test]
fn jobs_that_wait_for_a_worker_which_runs_nowhere_are_told() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let run = ada.run(["job", "add", "--", "true"]).success();
    let job = run.stdout().trim().to_owned();
    ada.run(["heartbeat"]).success();

    let told = ada.run(["job", "explain", &job]).success();
    let line = "no worker runs on any server that could take it, and none ever has: ada";
    assert!(told.stdout().contains(line) && !told.stdout().contains("--allow"), "{told}");
    let value = ada.run(["job", "explain", &job, "--json"]).success().json();
    assert_eq!(value["waits_for"][0]["reason"], "no_worker", "{value}");
    let report = ada.run(["health", "--json"]).code(1).json();
    let finding = &report["findings"][0];
    assert_eq!((&finding["cause"], &finding["count"]), (&"no-worker:queue".into(), &1.into()), "{report}");
    run_quoted(&ada, finding["hint"].as_str().expect("a hint"));

    // One that ran, and ended as it was meant to.
    ada.run(["worker", "run", "--allow", "true", "--exit-when-idle", "1s"]).success();
    let next = ada.run(["job", "add", "--", "true"]).success();
    let told = ada.run(["job", "explain", next.stdout().trim()]).success();
    assert!(told.stdout().contains("no worker runs on any server that could take it, since "), "{told}");
    assert!(told.stdout().contains("that of ada ended "), "{told}");
    assert!(ada.run(["health"]).code(1).stdout().contains("1 job waits, and no worker runs"));
}

#[test]
fn a_list_of_servers_is_not_judged_by_a_clock_that_is_off() {
    let fleet = Fleet::new();
    let hosts = ["ada", "bob", "cid", "dan"].map(|name| fleet.host(name));
    let at = |host: &Host, time: &str, args: &[&str]| {
        host.command(args.iter().copied()).env("MUSTER_CLOCK", format!("2026-11-21T{time}Z")).run()
    };
    at(&hosts[0], "12:00:00", &["init", &fleet.hub().url()]).success();
    for host in &hosts {
        at(host, "12:00:00", &["join", &fleet.hub().url(), "--as", host.name()]).success();
        at(host, "12:00:00", &["heartbeat"]).success();
    }
    let job = at(&hosts[0], "12:00:00", &["job", "add", "--", "true"]).success();
    let list = at(&hosts[0], "12:10:00", &["worker", "list"]).success();
    assert!(list.stderr().contains("unless they all fell silent"), "nobody looked before: {list}");
    for host in &hosts[1..] {
        at(host, "12:00:40", &["heartbeat"]).success();
    }
    // What changed since is alive, and most of them say that it is this clock that is off.
    let list = at(&hosts[0], "12:10:01", &["worker", "list"]).success();
    assert!(!list.stdout().contains("stale"), "{list}");
    assert!(
        list.stderr().contains("this clock is ") && list.stderr().contains("ahead of those of 3"),
        "{list}"
    );
    assert!(!list.stderr().contains("unless"), "{list}");
    let shown = at(&hosts[0], "12:10:02", &["worker", "show", "bob"]).success();
    assert!(shown.stdout().contains("fresh"), "{shown}");
    let told = at(&hosts[0], "12:10:03", &["job", "explain", job.stdout().trim()]).success();
    assert!(!told.stdout().contains("gives a sign of life"), "{told}");
}
