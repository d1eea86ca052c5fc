//! Answers that do not arrive: a full disk behind stdout, a reader that goes away, a time limit that
//! ends the command after the hub has the commit. What was handed out can be had again by who asked,
//! and what was only to be shown is shown again.

use crate::support::{Fleet, Host, MAIN, Run, Transport, eventually, inspect};
use serde_json::Value;
use std::fs;
use std::time::Duration;

/// How long a push may take to reach the hub.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-muster");

/// Runs a line of a shell in which `$M` is the program, which git finds.
fn shell(host: &Host, line: &str) -> Run {
    let line = format!("PATH=${{M%/*}}:$PATH; {line}");
    host.program("sh").args(["-c", &line]).env("M", PROGRAM).run()
}

/// Runs a command whose reader has gone before it writes.
fn without_reader(host: &Host, command: &str) -> Run {
    let line = format!(
        "rm -f gone code; {{ while [ ! -e gone ]; do sleep 0.02; done; \"$M\" {command}; echo $? > code; }} \
         | {{ exec <&-; : > gone; while [ ! -s code ]; do sleep 0.02; done; }}; exit $(cat code)"
    );
    host.program("bash").args(["-c", &line]).env("M", PROGRAM).run()
}

/// The operations that `op list` tells of, each with whether it is settled.
fn listed(host: &Host) -> Vec<(String, bool)> {
    let list = host.run(["op", "list", "--json"]).success().json();
    let told = |op: &Value| Some((op["op"].as_str()?.to_owned(), op["settled"].as_bool()?));
    list.as_array().unwrap().iter().map(|op| told(op).unwrap()).collect()
}

fn fleet() -> (Fleet, Host, Host) {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    ada.run(["heartbeat"]).success();
    bob.run(["heartbeat"]).success();
    (fleet, ada, bob)
}

fn added(host: &Host) -> String {
    host.run(["job", "add", "--type", "test", "--", "true"]).success().stdout().trim().to_owned()
}

#[test]
fn what_was_not_shown_is_not_marked_as_read_and_comes_again() {
    let (fleet, ada, bob) = fleet();
    for (number, lost) in ["full", "full --json", "reader"].into_iter().enumerate() {
        let body = format!("important {number}");
        ada.run(["message", "send", "--to", "bob", "--subject", "news", "--body", &body]).success();
        let run = match lost {
            "full" => shell(&bob, "\"$M\" message read > /dev/full"),
            "reader" => without_reader(&bob, "message read"),
            _ => shell(&bob, "\"$M\" --json message read > /dev/full"),
        };
        let run = run.code(1);
        assert!(run.stderr().contains("nothing was marked as read"), "{lost}: {run}");
        assert!(run.stderr().contains("git muster message read"), "{lost}: {run}");
        let again = bob.run(["message", "read"]).success();
        assert!(again.stdout().contains(&body), "{lost}: {again}");
        assert_eq!(bob.run(["message", "read"]).success().stdout(), "", "{lost}");
    }
    // Who sent it may look at it, and marks nothing.
    let id = ada.run(["message", "send", "--to", "bob", "--subject", "more", "--body", "important 2"]);
    let id = id.success().stdout().trim().to_owned();
    let tip = fleet.hub().tip(MAIN);
    ada.run(["message", "read", &id]).success();
    assert_eq!(fleet.hub().tip(MAIN), tip);
    bob.run(["message", "read"]).success();
    // A pipe may lose what it took: what was read lately is told again.
    let (op, settled) = listed(&bob).pop().unwrap();
    assert!(settled);
    for verb in ["status", "resume"] {
        let run = bob.run(["op", verb, &op]).success();
        assert!(run.stdout().contains("important 2"), "{run}");
    }
}

#[test]
fn what_is_printed_to_a_closed_stdout_is_not_marked_as_read() {
    let (_fleet, ada, bob) = fleet();
    let unread = || bob.run(["message", "list", "--unread", "--json"]).success().json();
    ada.run(["message", "send", "--to", "bob", "--subject", "news"]).success();
    for line in ["\"$M\" message read >&-", "git muster message read >&-", "\"$M\" --json message read >&-"] {
        let run = shell(&bob, line).code(1);
        assert!(run.stderr().contains("stdout is closed; nothing was marked as read"), "{line}: {run}");
        assert_eq!(unread().as_array().unwrap().len(), 1, "{line}: {run}");
    }
    // Other answers are no reason to refuse, and a beat counts although nobody sees that.
    shell(&bob, "\"$M\" heartbeat >&-").success();
    // Who wants the marks alone says so as it is told.
    let run = shell(&bob, "\"$M\" message read >&-").code(1);
    let told = run.stderr().split('`').find(|part| part.contains(">/dev/null")).unwrap().to_owned();
    shell(&bob, &told).success();
    assert_eq!(unread().as_array().unwrap().len(), 0, "{run}");
    shell(&bob, "\"$M\" message read >&-").success();
}

#[test]
fn what_is_of_no_use_without_its_answer_is_not_begun_with_a_closed_stdout() {
    let (fleet, ada, bob) = fleet();
    added(&ada);
    let tip = fleet.hub().tip(MAIN);
    for (line, what) in [
        ("job claim", "nothing was claimed"),
        ("job claim --start --shell", "nothing was claimed"),
        ("--json job claim", "nothing was claimed"),
        ("once do migrate", "no server got `do`"),
    ] {
        let run = shell(&bob, &format!("\"$M\" {line} >&-")).code(1);
        assert!(run.stderr().contains(&format!("stdout is closed or not usable; {what}")), "{line}: {run}");
        assert_eq!(fleet.hub().tip(MAIN), tip, "{line}: {run}");
    }
    shell(&bob, "\"$M\" job claim >/dev/null").success();
    shell(&bob, "\"$M\" once do migrate >/dev/null").success();
}

#[test]
fn messages_that_were_printed_and_not_marked_are_told_so() {
    let (fleet, ada, bob) = fleet();
    ada.run(["message", "send", "--to", "bob", "--subject", "news"]).success();
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\necho no; exit 1\n");
    let run = bob.run(["message", "read"]).code(4);
    assert!(run.stdout().contains("news"), "{run}");
    assert!(run.stderr().contains("printed, but not marked as read"), "{run}");
    fs::remove_file(fleet.hub().path().join("hooks/pre-receive")).unwrap();
    assert!(bob.run(["message", "read"]).success().stdout().contains("news"));
    assert_eq!(bob.run(["message", "list", "--unread"]).success().stdout(), "");
}

#[test]
fn a_claim_whose_answer_was_lost_is_had_again_with_its_token() {
    let (_fleet, ada, bob) = fleet();
    for (command, lost) in [
        ("job claim", "full"),
        ("job claim --shell", "full"),
        ("job claim --start --json", "full"),
        ("job claim --count 2", "full"),
        ("job claim", "reader"),
        ("job claim --shell", "reader"),
    ] {
        let job = added(&ada);
        let run = match lost {
            "full" => shell(&bob, &format!("\"$M\" {command} > /dev/full")),
            _ => without_reader(&bob, command),
        };
        let run = run.code(1);
        assert!(run.stderr().contains(&format!("{job} token 1")), "{command} {lost}: {run}");
        let open: Vec<String> =
            listed(&bob).into_iter().filter(|(_, settled)| !settled).map(|(op, _)| op).collect();
        let [op] = open.as_slice() else { panic!("{command} {lost}: {open:?}") };
        assert!(run.stderr().contains(&format!("git muster op status {op}")), "{command} {lost}: {run}");
        let told = bob.run(["op", "status", op, "--json"]).success().json();
        assert_eq!(told["answer"][0]["id"], job.as_str(), "{told}");
        assert_eq!(told["answer"][0]["token"], 1, "{told}");
        assert_eq!(told["stands"], true, "{told}");
        // It was told now, and stays findable until it is over.
        assert!(listed(&bob).contains(&(op.clone(), true)));
        let again = bob.run(["op", "resume", op]).success();
        assert!(again.stdout().contains(&format!("{job} token 1")), "{again}");
        bob.run(["job", "complete", &job, "--token", "1"]).success();
        let over = bob.run(["op", "status", op]).success();
        assert!(over.stdout().contains("no longer valid"), "{over}");
        assert!(listed(&bob).iter().all(|(other, _)| other != op), "{command} {lost}");
    }
}

#[test]
fn a_lock_whose_token_was_lost_is_had_again() {
    let (_fleet, ada, bob) = fleet();
    ada.run(["lock", "acquire", "stolen"]).success();
    for (command, name) in [
        ("lock acquire deploy", "deploy"),
        ("lock acquire deploy2 --json", "deploy2"),
        ("once do migrate", "migrate"),
        ("lock steal stolen --force --reason test", "stolen"),
    ] {
        let run = shell(&bob, &format!("\"$M\" {command} > /dev/full")).code(1);
        let op = listed(&bob).into_iter().find(|(_, settled)| !settled).unwrap().0;
        assert!(run.stderr().contains(&op), "{command}: {run}");
        let told = bob.run(["op", "status", &op, "--json"]).success().json();
        assert_eq!((told["answer"]["name"].as_str(), told["stands"].as_bool()), (Some(name), Some(true)));
        let token = told["answer"]["token"].to_string();
        bob.run(["lock", "release", name, "--token", &token]).success();
        assert_eq!(bob.run(["op", "status", &op, "--json"]).success().json()["stands"], false, "{command}");
    }
    assert_eq!(listed(&bob), Vec::new());
}

#[test]
fn what_was_added_or_sent_without_its_answer_is_not_added_twice() {
    let (_fleet, ada, _bob) = fleet();
    for (command, id) in
        [("job add --type test -- true", "job_"), ("message send --to bob --subject x", "msg_")]
    {
        shell(&ada, &format!("\"$M\" {command} > /dev/full")).code(1);
        let (op, _) = listed(&ada).pop().unwrap();
        let told = ada.run(["op", "status", &op]).success();
        assert!(told.stdout().contains(id), "{command}: {told}");
        assert_eq!(listed(&ada), Vec::new(), "{command}: it names what was made, and that is known now");
    }
    assert_eq!(ada.run(["job", "list", "--json"]).success().json().as_array().unwrap().len(), 1);
}

#[test]
fn a_time_limit_after_the_push_takes_no_answer_along() {
    let (fleet, ada, bob) = fleet();
    let job = added(&ada);
    // The hub has the commit and the answer is on its way for as long as the file is there.
    let gate = fleet.hub().path().join("gate");
    let hook = format!("#!/bin/sh\nwhile [ -e '{}' ]; do sleep 0.05; done\n", gate.display());
    fleet.hub().install_hook("post-receive", &hook);
    for (signal, command, told) in
        [("TERM", "job claim", job.as_str()), ("KILL", "lock acquire deploy", "deploy token 1")]
    {
        fs::write(&gate, "").unwrap();
        let tip = fleet.hub().tip(MAIN).unwrap();
        let mut running = bob.command(command.split(' ')).spawn();
        eventually(ARRIVAL_MAX, || fleet.hub().tip(MAIN).is_some_and(|now| now != tip));
        running.signal(signal);
        let run = running.wait();
        assert_eq!(run.stdout(), "", "{command}");
        fs::remove_file(&gate).unwrap();
        let open: Vec<_> = listed(&bob).into_iter().filter(|(_, settled)| !settled).collect();
        let [(op, _)] = open.as_slice() else { panic!("{command}: {open:?}") };
        let again = bob.run(["op", "resume", op]).success();
        assert!(again.stdout().contains(told), "{command}: {again}");
    }
}

#[test]
fn a_write_of_many_whose_answer_cannot_be_written_says_what_it_did() {
    let (fleet, ada, _bob) = fleet();
    let jobs = "{\"type\": \"x\"}\n{\"type\": \"y\"}\n{\"type\": \"z\", \"key\": \"k\"}\n";
    fs::write(ada.directory().join("jobs"), jobs).unwrap();
    let dead = r#"{"jobs": [{"id": "a", "status": "dead"}, {"id": "b", "status": "dead"}, null]}"#;
    let old = fleet.hub().path().with_file_name("old.git");
    for (command, done) in [
        ("job add --from jobs", "3 jobs added"),
        ("job add --from jobs --json", "2 jobs added"),
        ("job dead retry --all", "2 jobs requeued"),
        ("fsck --mend", "1 record mended"),
        ("fsck --mend --json", "1 record mended"),
        ("import \"$HUB\"", "is imported"),
    ] {
        if !command.contains("--from") {
            fleet.hub().put(MAIN, &[("coordination/jobs.json", dead)], "by hand");
        }
        let line = format!("\"$M\" {command} > /dev/full");
        let run = ada.program("sh").args(["-c", &line]).env("M", PROGRAM).env("HUB", fleet.hub().url()).run();
        let run = run.code(1);
        assert!(run.stderr().contains("the answer cannot be written"), "{command}: {run}");
        assert!(run.stderr().contains(done), "{command}: {run}");
    }
    assert!(!old.exists());
    // What was not asked to be done says nothing of the kind.
    let dry = shell(&ada, "\"$M\" --dry-run job add --from jobs > /dev/full").code(1);
    assert!(!dry.stderr().contains("the operation itself succeeded"), "{dry}");
}

#[test]
fn what_happens_when_it_is_resumed_happens_then() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let at = |time: &str, line: &str| {
        ada.command(line.split(' ')).env("MUSTER_CLOCK", format!("2026-11-21T{time}Z"))
    };
    for (begun, command) in
        [("10:00:00", "lock acquire deploy --ttl 10m"), ("10:00:01", "lock acquire taken")]
    {
        at(begun, command).env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
    }
    let open: Vec<String> = listed(&ada).into_iter().map(|(op, _)| op).collect();
    assert_eq!(open.len(), 2, "{open:?}");
    let bob = fleet.server("bob");
    bob.command(["lock", "acquire", "taken"]).env("MUSTER_CLOCK", "2026-11-21T11:58:00Z").run().success();
    let mut refused = 0;
    for op in &open {
        let run = at("12:00:00", &format!("op resume {op}")).run();
        if run.exit_code() == Some(0) {
            let lock = ada.run(["lock", "show", "deploy", "--json"]).success().json();
            assert_eq!(lock["locked_at"], "2026-11-21T12:00:00Z", "{lock}");
            assert_eq!(lock["expires_at"], "2026-11-21T12:10:00Z", "{lock}");
        } else {
            assert!(run.stderr().contains("(2m ago)"), "{run}");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
}

#[test]
fn a_beat_whose_answer_cannot_be_written_is_not_the_last() {
    let (fleet, ada, _bob) = fleet();
    let beat = || inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json")["sequence"].as_u64();
    for flags in ["", "--json", "--quiet"] {
        let before = beat();
        let line = format!("exec \"$M\" {flags} heartbeat run --interval 1s > /dev/full");
        let mut beats = ada.program("sh").args(["-c", &line]).env("M", PROGRAM).spawn();
        eventually(ARRIVAL_MAX, || beat() >= before.map(|before| before + 3));
        beats.signal("TERM");
        drop(beats.wait());
    }
}

/// What was asked for, what came between, by whom, and how it is looked at; `@` begins the name of a job.
const LATE: &[(&str, &[&str], &str)] = &[
    (
        "lock steal stolen --reason gone --force",
        &["bob lock release stolen --token 1", "carl lock acquire stolen"],
        "lock show stolen",
    ),
    ("queue resume", &["carl queue resume", "carl queue pause --note second"], "queue list"),
    (
        "job cancel @claimed",
        &["carl queue resume", "bob job release @claimed --token 1", "carl job claim @claimed"],
        "job show @claimed",
    ),
    (
        "job requeue @lost --holder-lost --reason gone",
        &["bob job release @lost --token 1", "carl job claim @lost"],
        "job show @lost",
    ),
    (
        "job retry @cancelled",
        &["bob job retry @cancelled", "carl job claim @cancelled", "carl job cancel @cancelled"],
        "job show @cancelled",
    ),
    ("servers remove carl --force", &["carl lock acquire back"], "servers list"),
    (
        "servers remove bob",
        &["bob join --as bob --replace --label new", "bob lock acquire more"],
        "servers list",
    ),
];

#[test]
fn what_is_taken_up_late_takes_nothing_from_a_later_holder() {
    let fleet = Fleet::over(Transport::Path).founded();
    // With a hook the hub is pushed to, and an outcome can stay unknown.
    fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    let hosts = ["ada", "bob", "carl"].map(|name| (name, fleet.server(name)));
    let jobs = ["@claimed", "@lost", "@cancelled"].map(|name| (name, added(&hosts[0].1)));
    let named =
        |line: &str| jobs.iter().fold(line.to_owned(), |line, (name, id)| line.replace(*name, id.as_str()));
    let say = |line: &str| {
        let line = named(line);
        let (name, command) = line.split_once(' ').unwrap();
        let (_, host) = hosts.iter().find(|(known, _)| *known == name).unwrap();
        host.run(command.split(' ')).success().stdout().to_owned()
    };
    let killed = |asked: &str| {
        let command = hosts[0].1.command(named(asked).split(' ').map(str::to_owned));
        command.env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
        listed(&hosts[0].1).pop().unwrap().0
    };
    for line in ["bob heartbeat", "carl heartbeat", "bob job claim @claimed", "bob job claim @lost"] {
        say(line);
    }
    for line in ["bob job cancel @cancelled", "bob lock acquire stolen", "bob queue pause --note first"] {
        say(line);
    }
    for (asked, between, look) in LATE {
        // Whoever asks has looked.
        say("ada job list");
        let op = killed(asked);
        between.iter().for_each(|line| drop(say(line)));
        let documents = || {
            let document =
                |name: &str| inspect::document(fleet.hub(), MAIN, &format!("coordination/{name}.json"));
            ["locks", "jobs", "servers", "pauses"].map(document)
        };
        let before = documents();
        let run = hosts[0].1.run(["op", "resume", &op]).code(4);
        let told = run.stderr();
        assert!(told.contains("has changed since the operation started"), "{asked}: {run}");
        assert!(told.contains(&format!("check with `git muster {}`", named(look))), "{asked}: {run}");
        assert_eq!(documents(), before, "{asked}");
        say(&format!("ada {look}"));
        assert_eq!(listed(&hosts[0].1), Vec::new(), "{asked}: it is over");
    }
    // A renewal of its holder changes nothing.
    let op = killed("lock steal stolen --reason gone --force");
    say("carl lock renew stolen --token 2");
    assert!(say(&format!("ada op resume {op}")).contains("stolen token 3"));
}

#[test]
fn what_was_asked_for_with_an_old_copy_is_taken_up_as_it_was_met() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    // Ada's copy is older than the lock.
    bob.run(["lock", "acquire", "stolen"]).success();
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    ada.run("lock steal stolen --reason gone --force --hub-timeout 4s".split(' ')).code(9);
    fs::remove_file(fleet.hub().path().join("hooks/pre-receive")).unwrap();
    let (op, _) = listed(&ada).pop().unwrap();
    let run = ada.run(["op", "resume", &op]).success();
    assert!(run.stdout().contains("stolen token 2"), "{run}");
}
