//! The fleet as it was before: `jq` lines on our files, the old scripts beside our commands.
//!
//! `scripts/seed` holds the scripts word for word. They pull, change a file with `jq`, commit and
//! push, and look at no answer, so a push of theirs may be lost. Ours never are.

use crate::support::{Fleet, Host, MAIN, RUN_BOUND, eventually, inspect, need};
use std::fs;
use std::path::PathBuf;

/// How many times each side writes when both write at once.
const ROUNDS: usize = 12;

/// Every time of a document, through the `jq` function that takes no fraction and no offset.
const TIMES: &str = "[.. | objects | to_entries[] | select(.key | test(\"_at$|^timestamp$|^at$|^not_before$\")) | .value | select(. != null) | fromdateiso8601] | length";

fn script(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/seed").join(name).display().to_string()
}

/// A hub with `ada`, who uses our commands, and `build2`, who works in a clone with the scripts.
fn mixed_fleet() -> (Fleet, Host, Host) {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    ada.run(["init", &fleet.hub().url()]).success();
    ada.run(["join", "--as", "ada"]).success();
    ada.run(["join", "--as", "build2"]).success();
    let build2 = fleet.host_in_clone("build2");
    (fleet, ada, build2)
}

fn seed(host: &Host, name: &str, server: &str) {
    let clone = host.directory().display().to_string();
    host.program("bash").args([script(name), clone, server.to_owned()]).run().success();
}

/// What `jq` makes of a document of the hub, one value a line.
#[track_caller]
fn jq(host: &Host, path: &str, filter: &str) -> Vec<String> {
    let text = inspect::content(host.hub(), MAIN, path).unwrap();
    let run = host.program("jq").args(["--raw-output", filter]).stdin(text).run().success();
    run.stdout().lines().map(str::to_owned).collect()
}

#[test]
fn jq_lines_written_for_the_old_files_work_on_ours() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (_fleet, ada, _build2) = mixed_fleet();
    let add = ["job", "add", "--branch", "ExternalNew", "--commit", "4f2c1d9", "--priority", "1"];
    let first = ada.run(add).success().stdout().trim().to_owned();
    let second = ada.run(["job", "add", "--type", "test"]).success().stdout().trim().to_owned();
    ada.run(["job", "claim", "--start"]).success();
    ada.run(["lock", "acquire", "config_update", "--ttl", "10m"]).success();
    ada.run(["message", "send", "--to", "build2", "--type", "request", "--subject", "hi", "--body", "you"])
        .success();
    ada.run(["heartbeat", "--on-main"]).success();

    let jobs = "coordination/jobs.json";
    assert_eq!(jq(&ada, jobs, ".jobs[] | select(.status==\"queued\") | .id"), [second.as_str()]);
    assert_eq!(jq(&ada, jobs, ".jobs[] | select(.status==\"running\") | .assigned_to"), ["ada"]);
    assert_eq!(jq(&ada, jobs, "[.jobs[] | select(.assigned_to == null)] | length"), ["1"]);
    assert_eq!(jq(&ada, jobs, ".jobs | sort_by(.priority)[0].id"), [first.as_str()]);
    let old_fields = "id type priority branch commit assigned_to status created_at started_at completed_at";
    assert_eq!(jq(&ada, jobs, ".jobs[0] | keys_unsorted[:10] | join(\" \")"), [old_fields]);
    let locks = "coordination/locks.json";
    assert_eq!(jq(&ada, locks, ".locks.job_assignment.locked_by"), ["null"]);
    assert_eq!(jq(&ada, locks, ".locks.config_update.locked_by"), ["ada"]);
    let seconds = "(.locks.config_update | (.expires_at | fromdateiso8601) - (.locked_at | fromdateiso8601))";
    assert_eq!(jq(&ada, locks, seconds), ["600"]);
    let unread = "[.messages[] | select((.to==\"build2\" or .to==\"all\") and .read==false)]";
    let messages = "coordination/messages.json";
    assert_eq!(jq(&ada, messages, &format!("{unread} | length")), ["1"]);
    assert_eq!(
        jq(
            &ada,
            messages,
            &format!("{unread}[0] | .from + \" \" + .type + \" \" + .subject + \" \" + .body")
        ),
        ["ada request hi you"]
    );
    assert_eq!(
        jq(&ada, "ada/status.json", ".status, .current_job.id, .current_job.branch"),
        ["building", &first, "ExternalNew"]
    );
    assert_eq!(
        jq(&ada, "ada/heartbeat.json", ".server, .healthy, (.uptime_seconds | type)"),
        ["ada", "true", "number"]
    );

    ada.run(["job", "complete", &first, "--token", "1", "--artifact", "a.deb"]).success();
    ada.run(["status", "set", "idle"]).success();
    assert_eq!(
        jq(&ada, "ada/status.json", ".last_build.status, .last_build.artifacts[0]"),
        ["success", "a.deb"]
    );
    assert_eq!(
        jq(&ada, "ada/status.json", ".system.memory_used_gb, .system.disk_free_gb | type"),
        ["number", "number"]
    );
    let with_times = [
        (jobs, 4),
        (locks, 3),
        (messages, 1),
        ("coordination/servers.json", 2),
        ("ada/status.json", 2),
        ("ada/heartbeat.json", 1),
    ];
    for (path, least) in with_times {
        let times: usize = jq(&ada, path, TIMES)[0].parse().unwrap();
        assert!(times >= least, "{path} has {times} times, all of them readable");
    }
}

#[test]
fn what_the_old_scripts_write_is_read_by_our_commands() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, build2) = mixed_fleet();
    seed(&build2, "update_status.sh", "build2");
    let status = inspect::document(fleet.hub(), MAIN, "build2/status.json");
    assert!(status["timestamp"].is_number(), "`.timestamp = now` is a number with a fraction: {status}");
    let shown = ada.run(["status", "show", "build2"]).success();
    assert!(shown.stdout().contains("status:  idle\n") && shown.stdout().contains("s ago\n"), "{shown}");
    let listed = ada.run(["status", "list"]).success();
    assert!(
        listed.stdout().lines().any(|line| line.starts_with("build2") && line.ends_with("s ago")),
        "{listed}"
    );

    seed(&build2, "heartbeat.sh", "build2");
    let servers = ada.run(["servers", "show", "build2", "--json"]).success().json();
    let beat = inspect::document(fleet.hub(), MAIN, "build2/heartbeat.json");
    assert_eq!(servers["last_heartbeat"], beat["timestamp"]);
    ada.run(["heartbeat"]).success();
    ada.run(["health"]).success();
    // A clone of theirs is one of ours too.
    build2.command(["--server", "build2", "job", "list", "--json"]).run().success();
    build2.command(["--server", "build2", "status", "set", "building"]).run().success();
    assert_eq!(inspect::document(fleet.hub(), MAIN, "build2/status.json")["status"], "building");
    inspect::assert_clone_is_clean(build2.directory());
    let text = fs::read_to_string(build2.directory().join("build2/status.json")).unwrap();
    assert!(text.contains("\"building\""), "the clone is brought up to date: {text}");
}

#[test]
fn old_scripts_and_our_commands_take_turns() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, build2) = mixed_fleet();
    for round in 1..=3 {
        let subject = format!("round {round}");
        ada.run(["message", "send", "--to", "build2", "--subject", &subject]).success();
        seed(&build2, "heartbeat.sh", "build2");
        ada.run(["job", "add", "--key", &format!("job-{round}")]).success();
        seed(&build2, "update_status.sh", "build2");
        ada.run(["job", "claim"]).success();
        build2.command(["--server", "build2", "message", "read"]).run().success();
        ada.run(["heartbeat", "--on-main"]).success();
    }
    // A beat of theirs in the second of one of ours has nothing to say; a status always has.
    let log = inspect::log(fleet.hub(), MAIN);
    let theirs = log.iter().filter(|commit| commit.subject.starts_with("Update build2 status"));
    assert_eq!(theirs.count(), 3, "each of their pushes got through");
    assert_eq!(
        jq(&ada, "coordination/jobs.json", "[.jobs[] | select(.status==\"claimed\")] | length"),
        ["3"]
    );
    assert_eq!(jq(&ada, "coordination/messages.json", "[.messages[] | select(.read)] | length"), ["3"]);
    assert_sound(&ada, 3);
    inspect::assert_clone_is_clean(build2.directory());
    inspect::assert_hub_is_sound(fleet.hub());
}

/// No rule is broken by how they write beside us; their commits are told as made by hand.
#[track_caller]
fn assert_sound(host: &Host, by_hand: usize) {
    let found = host.run(["fsck", "--history", "--fail-on", "warning", "--json"]).success().json();
    assert!(found["commits_by_hand"].as_u64() >= u64::try_from(by_hand).ok(), "{found}");
}

/// Theirs may lose a race and stay behind; ours all arrive, once, and nobody's are undone.
#[test]
fn old_scripts_and_our_commands_write_at_the_same_time() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let (fleet, ada, build2) = mixed_fleet();
    let build3 = fleet.host_in_clone("build3");
    ada.run(["join", "--as", "build3"]).success();
    let loop_of = |line: &str| format!("for n in $(seq {ROUNDS}); do {line}; done");
    let mut writers = Vec::new();
    for (host, server) in [(&build2, "build2"), (&build3, "build3")] {
        let line = format!(
            "bash {} . {server}; bash {} . {server}",
            script("heartbeat.sh"),
            script("update_status.sh")
        );
        // Without this, git gives up for good at the first race that is lost.
        host.git(["config", "pull.rebase", "true"]).success();
        writers.push(host.program("bash").args(["-c", &loop_of(&line)]).bound(RUN_BOUND).spawn());
    }
    let theirs = || {
        let log = inspect::log(fleet.hub(), MAIN);
        log.iter()
            .filter(|commit| {
                commit.subject.contains(": build2 ") || commit.subject.starts_with("Update build")
            })
            .count()
    };
    eventually(RUN_BOUND, || theirs() > 0);
    let program = env!("CARGO_BIN_EXE_git-muster");
    let ours = [
        loop_of(&format!("{program} job add --key $n || exit")),
        loop_of(&format!("{program} message send --to all --subject $n || exit")),
        loop_of(&format!("{program} lock run deploy --wait 30s -- true || exit")),
    ];
    let ours = ours.map(|line| ada.program("bash").args(["-c", &line]).bound(RUN_BOUND).spawn());
    for one in ours {
        one.wait().success();
    }
    for theirs in writers {
        drop(theirs.wait());
    }
    let rounds = ROUNDS.to_string();
    assert_eq!(jq(&ada, "coordination/jobs.json", "[.jobs[].key] | unique | length"), [rounds.as_str()]);
    assert_eq!(
        jq(&ada, "coordination/messages.json", "[.messages[].subject] | unique | length"),
        [rounds.as_str()]
    );
    assert_eq!(
        jq(&ada, "coordination/locks.json", ".locks.deploy | .token, .locked_by"),
        [rounds.as_str(), "null"]
    );
    let ops = inspect::ops_in_history(fleet.hub(), MAIN);
    assert!(ops.values().all(|count| *count == 1), "{ops:?}");
    assert!(theirs() > 3, "some of theirs got through: {}", theirs());
    assert_sound(&ada, 3);
    inspect::assert_hub_is_sound(fleet.hub());
}
