//! `job add`, `list`, `show` and `explain`.

use super::two_servers_of;
use crate::support::{MAIN, Transcript, inspect};
use insta::assert_snapshot;
use std::fs;

#[test]
fn a_job_is_added_listed_and_shown() {
    let mut said = Transcript::on_a_clock();
    let (fleet, ada, _bob) = two_servers_of(&mut said);
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, "job add --type build --dry-run");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    let plain = said.ask(&ada, "job add --type build").success();
    let line = format!(
        "job add --type test --branch release/4.21 --commit 4f2c1d9 --priority high --needs {} --label gpu \
         --label arch=amd64 --description 'all of it' --timeout 90m --max-attempts 5 --key nightly -- make -C src check",
        plain.stdout().trim()
    );
    let whole = said.ask(&ada, &line).success();
    said.run(&ada, &format!("{} --json -- true", line.split(" -- ").next().unwrap()));
    said.run(&ada, "job list");
    said.run(&ada, &format!("job show {}", whole.stdout().trim()));
    said.run(&ada, &format!("job show {} --json", whole.stdout().trim()));
    said.run(&ada, "job list --status queued --json");
    said.run(&ada, "job list --assigned-to bob");
    said.run(&ada, "job list --status completed --json");
    said.run(&ada, "job show job_404");
    said.run(&ada, "job show ../../etc/passwd");
    assert_snapshot!(said, @r#"
    ada$ git muster job add --type build --dry-run
    dry run, not done: job_1772366430_54a9f04bcf32
    ------- stderr -------
    warning: dry run: nothing was written
    [exit status: 0]
    ada$ git muster job add --type build
    job_1772366440_bd594d0b6499
    [exit status: 0]
    ada$ git muster job add --type test --branch release/4.21 --commit 4f2c1d9 --priority high --needs job_1772366440_bd594d0b6499 --label gpu --label arch=amd64 --description 'all of it' --timeout 90m --max-attempts 5 --key nightly -- make -C src check
    job_1772366450_30bf27a967ca
    [exit status: 0]
    ada$ git muster job add --type test --branch release/4.21 --commit 4f2c1d9 --priority high --needs job_1772366440_bd594d0b6499 --label gpu --label arch=amd64 --description 'all of it' --timeout 90m --max-attempts 5 --key nightly --json -- true
    {"schema":1,"kind":"job_added","id":"job_1772366450_30bf27a967ca","duplicate":true,
      "status":"queued","written":{"hub":"[HUB]/hub.git","branch":"main","commit":null}}
    ------- stderr -------
    {"schema":1,"kind":"note","text":"job `job_1772366450_30bf27a967ca` already has this key and queued; no second job was added"}
    [exit status: 0]
    ada$ git muster job list
    JOB                          STATUS  PRIORITY  TYPE   BRANCH        SERVER  DETAILS
    job_1772366440_bd594d0b6499  queued  5         build  -             -       queued 30s ago
    job_1772366450_30bf27a967ca  queued  3         test   release/4.21  -       queued 20s ago
    [exit status: 0]
    ada$ git muster job show job_1772366450_30bf27a967ca
    job:         job_1772366450_30bf27a967ca
    status:      queued
    details:     queued 30s ago
    type:        test
    description: all of it
    priority:    3
    branch:      release/4.21
    commit:      4f2c1d9
    command:     make -C src check
    needs:       job_1772366440_bd594d0b6499
    labels:      gpu, arch=amd64
    key:         nightly
    added:       2026-03-01T12:00:50Z
    timeout:     1h 30m
    added by:    ada
    [exit status: 0]
    ada$ git muster job show job_1772366450_30bf27a967ca --json
    {"schema":1,"kind":"job","id":"job_1772366450_30bf27a967ca","type":"test","priority":3,
      "branch":"release/4.21","commit":"4f2c1d9","assigned_to":null,"status":"queued",
      "created_at":"2026-03-01T12:00:50Z","started_at":null,"completed_at":null,
      "description":"all of it","command":["make","-C","src","check"],
      "needs":["job_1772366440_bd594d0b6499"],"labels":["gpu","arch=amd64"],"key":"nightly",
      "timeout_seconds":5400,"max_attempts":5,"requester":"ada"}
    [exit status: 0]
    ada$ git muster job list --status queued --json
    [{"schema":1,"kind":"job","id":"job_1772366440_bd594d0b6499","type":"build","priority":5,
      "branch":null,"commit":null,"assigned_to":null,"status":"queued",
      "created_at":"2026-03-01T12:00:40Z","started_at":null,"completed_at":null,"requester":"ada",
      "command":[]},{"schema":1,"kind":"job","id":"job_1772366450_30bf27a967ca","type":"test",
      "priority":3,"branch":"release/4.21","commit":"4f2c1d9","assigned_to":null,"status":"queued",
      "created_at":"2026-03-01T12:00:50Z","started_at":null,"completed_at":null,
      "description":"all of it","command":["make","-C","src","check"],
      "needs":["job_1772366440_bd594d0b6499"],"labels":["gpu","arch=amd64"],"key":"nightly",
      "timeout_seconds":5400,"max_attempts":5,"requester":"ada"}]
    [exit status: 0]
    ada$ git muster job list --assigned-to bob
    ------- stderr -------
    no matching jobs
    [exit status: 0]
    ada$ git muster job list --status completed --json
    []
    [exit status: 0]
    ada$ git muster job show job_404
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    ada$ git muster job show ../../etc/passwd
    ------- stderr -------
    error: invalid value '../../etc/passwd' for '<ID>': job id `../../etc/passwd` must begin with a letter or a digit

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

#[test]
fn a_job_that_is_not_acceptable_is_not_added() {
    let mut said = Transcript::on_a_clock();
    let (fleet, ada, _bob) = two_servers_of(&mut said);
    let tip = fleet.hub().tip(MAIN);
    for line in [
        "--type 'rm -rf'",
        "--type ''",
        "--priority 0",
        "--priority 11",
        "--priority urgent",
        "--needs job_404",
        "--label 'two words'",
        "--branch ''",
        "--timeout soon",
        "--type build --timeout 0",
        "--type build --max-attempts 0",
        "--type build --key ''",
        "--description password=hunter2hunter2",
        "-- deploy --token ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "--from jobs.jsonl --branch main",
        "--from nowhere.jsonl",
    ] {
        said.run(&ada, &format!("job add {line}"));
    }
    let long = "x".repeat(10_001);
    let run = ada.run(["job", "add", "--description", &long]).code(2);
    assert!(run.stderr().contains("more than 10000 characters"), "{run}");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    assert_snapshot!(said, @r"
    ada$ git muster job add --type 'rm -rf'
    ------- stderr -------
    error: no job was added: invalid type `rm -rf`: it must be one word
    [exit status: 2]
    ada$ git muster job add --type ''
    ------- stderr -------
    error: no job was added: invalid type ``: it must be one word
    [exit status: 2]
    ada$ git muster job add --priority 0
    ------- stderr -------
    error: invalid value '0' for '--priority <LEVEL>': give a number from 1 (most urgent) to 10, or critical, high, normal or low

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job add --priority 11
    ------- stderr -------
    error: invalid value '11' for '--priority <LEVEL>': give a number from 1 (most urgent) to 10, or critical, high, normal or low

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job add --priority urgent
    ------- stderr -------
    error: invalid value 'urgent' for '--priority <LEVEL>': give a number from 1 (most urgent) to 10, or critical, high, normal or low

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job add --needs job_404
    ------- stderr -------
    error: no job was added: the needed job `job_404` is neither in the queue nor in the archive
    hint: list job ids with `git muster job list` (coordination/jobs.json)
    [exit status: 3]
    ada$ git muster job add --label 'two words'
    ------- stderr -------
    error: no job was added: `two words` is empty or contains a space or a control character
    [exit status: 2]
    ada$ git muster job add --branch ''
    ------- stderr -------
    error: no job was added: `` is empty or contains a space or a control character
    [exit status: 2]
    ada$ git muster job add --timeout soon
    ------- stderr -------
    error: invalid value 'soon' for '--timeout <DURATION>': give a span of time such as 90s, 2m, 1h30m or 7d

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job add --type build --timeout 0
    ------- stderr -------
    error: no job was added: attempts and timeout must be at least 1
    [exit status: 2]
    ada$ git muster job add --type build --max-attempts 0
    ------- stderr -------
    error: no job was added: attempts and timeout must be at least 1
    [exit status: 2]
    ada$ git muster job add --type build --key ''
    ------- stderr -------
    error: no job was added: `` is empty or contains a space or a control character
    [exit status: 2]
    ada$ git muster job add --description password=hunter2hunter2
    ------- stderr -------
    error: no job was added: it seems to contain a password, which everyone with access to the hub could read
    [exit status: 2]
    ada$ git muster job add -- deploy --token ghp_0123456789abcdefghijABCDEFGHIJ012345
    ------- stderr -------
    error: no job was added: it seems to contain a GitHub token, which everyone with access to the hub could read
    [exit status: 2]
    ada$ git muster job add --from jobs.jsonl --branch main
    ------- stderr -------
    error: the argument '--from <FILE>' cannot be used with '--branch <BRANCH>'

    Usage: git muster job add --from <FILE> [-- <COMMAND>...]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job add --from nowhere.jsonl
    ------- stderr -------
    error: cannot read `nowhere.jsonl`: No such file or directory (os error 2); no job was added
    [exit status: 1]
    ");
}

#[test]
fn a_file_of_jobs_is_added_as_a_whole_or_not_at_all() {
    let mut said = Transcript::on_a_clock();
    let (fleet, ada, _bob) = two_servers_of(&mut said);
    let jobs = ada.directory().join("jobs.jsonl");
    let tip = fleet.hub().tip(MAIN);
    let good = "{\"type\": \"build\", \"key\": \"one\"}\n\n{\"type\": \"test\", \"needs\": [\"one\"], \"priority\": \"low\"}\n";
    for bad in [
        "{\"type\": \"build\", \"colour\": \"red\"}",
        "{\"type\": \"build\"",
        "{\"priority\": \"urgent\"}",
        "[]",
        "{\"type\": \"a b\"}",
        "{\"type\": \"build\", \"not_before\": \"soon\"}",
    ] {
        fs::write(&jobs, format!("{good}{bad}\n")).unwrap();
        said.run(&ada, "job add --from jobs.jsonl");
    }
    assert_eq!(fleet.hub().tip(MAIN), tip, "one bad line, no job");
    fs::write(&jobs, good).unwrap();
    said.run(&ada, "job add --from jobs.jsonl --json");
    assert_eq!(inspect::log(fleet.hub(), MAIN)[1].id, tip.unwrap(), "two jobs, one commit");
    said.run_with(&ada, "job add --from -", |command| {
        command.stdin("{\"type\": \"build\", \"key\": \"one\"}\n")
    });
    said.run_with(&ada, "job add --from - --json", |command| command.stdin(""));
    assert_snapshot!(said, @r#"
    ada$ git muster job add --from jobs.jsonl
    ------- stderr -------
    error: `jobs.jsonl` line 4: unknown field `colour`, expected one of `type`, `priority`, `branch`, `commit`, `needs`, `if_need_fails`, `group`, `labels`, `produces`, `description`, `timeout_seconds`, `max_attempts`, `key`, `not_before`, `delay_seconds`, `command`, column 26; no job was added
    [exit status: 2]
    ada$ git muster job add --from jobs.jsonl
    ------- stderr -------
    error: `jobs.jsonl` line 4: EOF while parsing an object, column 16; no job was added
    [exit status: 2]
    ada$ git muster job add --from jobs.jsonl
    ------- stderr -------
    error: `jobs.jsonl` line 4: give a number from 1 (most urgent) to 10, or critical, high, normal or low, column 22; no job was added
    [exit status: 2]
    ada$ git muster job add --from jobs.jsonl
    ------- stderr -------
    error: `jobs.jsonl` line 4: it is not a JSON object; no job was added
    [exit status: 2]
    ada$ git muster job add --from jobs.jsonl
    ------- stderr -------
    error: no job was added: invalid type `a b`: it must be one word (job 3 of 3)
    [exit status: 2]
    ada$ git muster job add --from jobs.jsonl
    ------- stderr -------
    error: `jobs.jsonl` line 4: `soon` is not a point in time, column 39; no job was added
    [exit status: 2]
    ada$ git muster job add --from jobs.jsonl --json
    [{"schema":1,"kind":"job_added","id":"job_1772366490_bb32486ca8cc","duplicate":false,
      "status":"queued","written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}},
      {"schema":1,"kind":"job_added","id":"job_1772366490_bb32486ca8cc_1","duplicate":false,
      "status":"queued","written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}]
    [exit status: 0]
    ada$ git muster job add --from -
    job_1772366490_bb32486ca8cc
    ------- stderr -------
    job `job_1772366490_bb32486ca8cc` already has this key and queued; no second job was added
    [exit status: 0]
    ada$ git muster job add --from - --json
    []
    ------- stderr -------
    {"schema":1,"kind":"note","text":"no jobs in the file; nothing was added"}
    [exit status: 0]
    "#);
}

#[test]
fn a_job_tells_why_it_waits() {
    let mut said = Transcript::on_a_clock();
    let (_fleet, ada, bob) = two_servers_of(&mut said);
    let mut added = |args: &str| {
        let run = said.beside(&ada, &format!("job add --type build {args}"));
        run.stdout().trim().to_owned()
    };
    let first = added("--key first --priority 1");
    let second = added("--needs first");
    let third = added("--label quantum");
    let fourth = added("");
    let later = "{\"type\": \"build\", \"not_before\": \"2999-01-01T00:00:00Z\"}\n";
    fs::write(ada.directory().join("later"), later).unwrap();
    let fifth = said.beside(&ada, "job add --from later");
    for job in [&first, &second, &third, &fourth] {
        said.run(&ada, &format!("job explain {job}"));
    }
    let fifth = said.beside(&ada, &format!("job explain {} --json", fifth.stdout().trim()));
    assert_eq!(fifth.json()["waits_for"][0]["reason"], "not_before", "{fifth}");
    said.run(&ada, &format!("job explain {second} --json"));
    drop(said.beside(&bob, &format!("job claim {first} --start")));
    said.run(&ada, &format!("job explain {first}"));
    drop(said.beside(&bob, &format!("job fail {first} --token 1")));
    said.run(&ada, &format!("job explain {second}"));
    said.run(&ada, &format!("job explain {first}"));
    said.run(&ada, "job explain job_404");
    assert_snapshot!(said, @r#"
    ada$ git muster job explain job_1772366430_54a9f04bcf32
    job_1772366430_54a9f04bcf32 waits: it is next; it has no command: workers leave it to people and scripts (`git muster job claim`)
    [exit status: 0]
    ada$ git muster job explain job_1772366440_bd594d0b6499
    job_1772366440_bd594d0b6499 waits: it needs `job_1772366430_54a9f04bcf32`, which is queued
    [exit status: 0]
    ada$ git muster job explain job_1772366450_30bf27a967ca
    job_1772366450_30bf27a967ca waits: no server has the labels quantum
    [exit status: 0]
    ada$ git muster job explain job_1772366460_06ce1f8f6f09
    job_1772366460_06ce1f8f6f09 waits: one job is before it; it has no command: workers leave it to people and scripts (`git muster job claim`)
    [exit status: 0]
    ada$ git muster job explain job_1772366440_bd594d0b6499 --json
    {"schema":1,"kind":"job_explanation","id":"job_1772366440_bd594d0b6499","status":"queued",
      "situation":"queued 1m 30s ago","waits_for":[{"reason":"needs",
      "job":"job_1772366430_54a9f04bcf32","status":"queued"}]}
    [exit status: 0]
    ada$ git muster job explain job_1772366430_54a9f04bcf32
    job_1772366430_54a9f04bcf32: running on bob for 10s
    [exit status: 0]
    ada$ git muster job explain job_1772366440_bd594d0b6499
    job_1772366440_bd594d0b6499 waits: it needs `job_1772366430_54a9f04bcf32`, which is failed; retry the needed job with `git muster job retry job_1772366430_54a9f04bcf32`
    [exit status: 0]
    ada$ git muster job explain job_1772366430_54a9f04bcf32
    job_1772366430_54a9f04bcf32: failed 20s ago: script_failure
    [exit status: 0]
    ada$ git muster job explain job_404
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    "#);
}
