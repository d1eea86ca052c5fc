//! What a command tells people to type is about the hub and the server that it was about itself.

use crate::support::{Fleet, Host, MAIN, Run, Transport, eventually, inspect};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A hub that the user has joined as `one`, and another.
fn two_hubs() -> (Fleet, Host, String) {
    let fleet = Fleet::new().founded();
    let mut one = fleet.server("one");
    one.unset("MUSTER_HUB");
    let other = one.place("HOME").join("other hub.git").display().to_string();
    one.run(["init", &other]).success();
    (fleet, one, other)
}

fn servers(host: &Host, hub: &str) -> Vec<String> {
    let listed = host.run(["--hub", hub, "servers", "list", "--json"]).success().json();
    listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_command_that_is_told_is_about_the_hub_and_server_of_the_line() {
    let (fleet, one, other) = two_hubs();
    let before = fleet.hub().tip(MAIN);
    let run = one.run(["--hub", &other, "--server", "two", "heartbeat"]);
    assert!(run.stderr().contains(&format!("git muster --hub '{other}' join --as two")), "{run}");
    one.run(["--hub", &other, "join", "--as", "two"]).success();
    one.run(["join", &fleet.hub().url(), "--as", "one"]).success();
    let before = (before, fleet.hub().tip(MAIN));
    assert_eq!(servers(&one, &other), ["two"]);
    // A hint in words, a note, a finding of health, and one that names a server by itself.
    let of_two = ["--hub", &other, "--server", "two"];
    one.run([&of_two[..], &["lock", "acquire", "gate", "--ttl", "10m"]].concat()).success();
    let run = one.run(["--hub", &other, "--server", "three", "lock", "acquire", "gate"]).code(4);
    assert!(run.stderr().contains(&format!("`git muster --hub '{other}' --server three lock ")), "{run}");
    one.run([&of_two[..], &["queue", "pause"]].concat()).success();
    one.run([&of_two[..], &["job", "add", "--", "true"]].concat()).success();
    let health = one.run(["--hub", &other, "health"]);
    assert!(health.stdout().contains(&format!("`git muster --hub '{other}' queue resume`")), "{health}");
    let json = one.run(["--hub", &other, "--json", "--server", "three", "heartbeat"]);
    assert!(json.stderr().contains(&format!("git muster --hub '{other}' join --as three")), "{json}");
    assert_eq!(fleet.hub().tip(MAIN), before.1);
    // What the line does not name is not added, and no password is shown.
    let run = one.run(["--server", "ghost", "heartbeat"]);
    assert!(run.stderr().contains("`git muster join --as ghost`"), "{run}");
    let run =
        one.run(["--hub", "http://kim:secret@127.0.0.1:9/hub.git", "--hub-timeout", "1s", "job", "list"]);
    assert!(
        !run.to_string().replace("kim:secret@127.0.0.1:9/hub.git --hub-timeout", "").contains("secret"),
        "{run}"
    );
}

/// The commands of ours that an answer tells, without those that hold a word to be filled in or that go on
/// until they are ended.
fn told(run: &Run) -> Vec<String> {
    let text = format!("{}{}", run.stdout(), run.stderr());
    let is_open = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
    let odd = text.split('`').skip(1).step_by(2);
    let ours = odd.filter(|part| part.starts_with("git muster ") || part.starts_with("git -C "));
    let whole = ours.filter(|line| !line.split(' ').any(is_open));
    whole.filter(|line| !line.contains(" run") && !line.contains("--wait")).map(str::to_owned).collect()
}

/// Runs a line as a person types it, with the program where git finds it.
fn typed(host: &Host, line: &str) -> Run {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap();
    let path = format!("{}:{}", program.display(), host.place("PATH").display());
    host.program("sh").args(["-c", line]).env("PATH", path).run()
}

#[test]
fn each_command_that_is_told_runs_as_it_is_printed_and_in_the_hub_that_was_named() {
    let (fleet, one, _) = two_hubs();
    let hub = one.place("HOME").join("it's a $(hub)").display().to_string();
    one.run(["init", &hub]).success();
    one.run(["--hub", &hub, "join", "--as", "two"]).success();
    one.run(["join", &fleet.hub().url(), "--as", "one"]).success();
    let before = fleet.hub().tip(MAIN);
    let quoted = format!("'{}'", hub.replace('\'', r"'\''"));
    let of_two = |words: &[&str]| one.run([&["--hub", &hub, "--server", "two"], words].concat());
    let id = |run: Run| run.success().stdout().trim().to_owned();
    let jobs = [(); 3].map(|()| id(of_two(&["job", "add", "--type", "t", "--", "true"])));
    let needs = id(of_two(&["job", "add", "--type", "t", "--needs", &jobs[2], "--", "true"]));
    of_two(&["job", "cancel", &jobs[2]]).success();
    of_two(&["job", "claim", &jobs[0]]).success();
    of_two(&["lock", "acquire", "gate"]).success();
    of_two(&["queue", "pause", "--label", "fast"]).success();
    let clone = one.place("HOME").join("a clone");
    one.git(["clone", "-q", &hub, &clone.display().to_string()]).success();
    let job = |id: &str, rest: &str| format!("{{\"id\":\"{id}\",{rest}}}");
    let text = std::fs::read_to_string(clone.join("coordination/jobs.json")).unwrap();
    let more = [job("a b", "\"status\":\"queued\""), job("j1", "\"status\":\"what\"")].join(",");
    let text = text.replacen("\"jobs\": [", &format!("\"jobs\": [{more},"), 1);
    std::fs::write(clone.join("coordination/jobs.json"), text).unwrap();
    for words in [&["commit", "-qam", "by hand"][..], &["push", "-q"]] {
        one.git(
            [&["-C", clone.to_str().unwrap(), "-c", "user.name=x", "-c", "user.email=x@x"], words].concat(),
        )
        .success();
    }
    let mut seen = std::collections::BTreeSet::new();
    for words in [
        &["job", "show", "nope"][..],
        &["job", "explain", &needs],
        &["job", "retry", &jobs[0]],
        &["job", "add", "--type", "t", "--needs", "nope", "--", "true"],
        &["job", "claim", &needs],
        &["lock", "show", "nope"],
        &["lock", "acquire", "gate"],
        &["servers", "show", "nope"],
        &["servers", "remove", "two"],
        &["message", "ack", "msg_404"],
        &["op", "resume", "019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f"],
        &["heartbeat", "squash", "--branch", "heartbeat-nobody"],
        &["health", "--all"],
        &["fsck"],
        &["fsck", "--history"],
        &["doctor", "hub-documents"],
        &["--hub-branch", "nowhere", "job", "list"],
        &["fence", "check", "--name", "gate", "--token", "18446744073709551615", "--state", "fence.json"],
    ] {
        let run = of_two(words);
        for line in told(&run) {
            assert!(line.contains(&quoted), "{line}: {run}");
            seen.insert(line);
        }
    }
    let json = of_two(&["--json", "fsck"]).json();
    let hints = json["findings"].as_array().unwrap().iter().filter_map(|finding| finding["hint"].as_str());
    assert!(hints.clone().any(|hint| hint.contains(&quoted)), "{json:#}");
    assert!(!hints.into_iter().any(|hint| hint.contains("`git muster job")), "{json:#}");
    assert!(seen.len() > 12, "{seen:#?}");
    for line in seen {
        let run = typed(&one, &line);
        assert!(!matches!(run.exit_code(), None | Some(2 | 70 | 78 | 126 | 127)), "{line}: {run}");
    }
    assert_eq!(fleet.hub().tip(MAIN), before);
}

#[test]
fn a_command_that_was_given_for_another_folder_is_told_for_that_one() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server_in_clone("ada");
    ada.unset("MUSTER_HUB");
    let (clone, elsewhere) = (ada.directory().display().to_string(), ada.place("HOME"));
    let quoted = git_muster::inside::quoted(&clone);
    let there = |words: &[&str]| {
        let program = ada.program("git").args(["-C", &clone]).args(["muster"]).args(words);
        let path = format!(
            "{}:{}",
            env!("CARGO_BIN_EXE_git-muster").trim_end_matches("/git-muster"),
            ada.place("PATH").display()
        );
        program.current_dir(&elsewhere).env("PWD", &elsewhere).env("PATH", path).run()
    };
    let run = there(&["lock", "show", "nope"]).code(3);
    assert!(run.stderr().contains(&format!("`git -C {quoted} muster lock list`")), "{run}");
    // Who stands in the folder, or below it, is told without.
    let run = ada.command(["lock", "show", "nope"]).env("PWD", &clone).run().code(3);
    assert!(run.stderr().contains("`git muster lock list`"), "{run}");
}

#[test]
fn what_names_its_hub_without_a_flag_is_followed_there() {
    let (fleet, one, other) = two_hubs();
    // Who joins goes on as it joined, whatever else the line named.
    let run = one.run(["--server", "old", "join", &other, "--as", "new"]).success();
    assert!(run.stderr().contains("next: `git muster --server new heartbeat`"), "{run}");
    one.run(["join", &fleet.hub().url(), "--as", "one"]).success();
    let before = fleet.hub().tip(MAIN);
    let (quoted, empty) = (format!("'{other}'"), one.place("HOME").join("empty one.git"));
    one.git(["init", "-q", "--bare", empty.to_str().unwrap()]).success();
    for words in [&["join", empty.to_str().unwrap(), "--as", "x"][..], &["import", empty.to_str().unwrap()]] {
        let run = one.run(words).code(78);
        let line = told(&run).pop().unwrap();
        assert_eq!(line, format!("git muster init '{}'", empty.display()), "{run}");
    }
    let run = one.run(["import", &other]).success();
    assert!(run.stderr().contains(&format!("next: `git muster join {quoted} --as NAME`")), "{run}");
    assert_eq!(fleet.hub().tip(MAIN), before);
}

#[test]
fn a_second_hub_is_told_by_its_address_when_it_is_made() {
    let (fleet, one, _) = two_hubs();
    let before = fleet.hub().tip(MAIN);
    let run = one.run(["init"]).success();
    let command = super::join_line(&run, "two");
    one.run(&command).success();
    assert_eq!(fleet.hub().tip(MAIN), before, "{run}");
    assert_eq!(servers(&one, &command[1]), ["two"]);
}

#[test]
fn who_a_clone_says_we_are_counts_whatever_its_remote_is_called() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server_in_clone("ada");
    ada.unset("MUSTER_HUB");
    let elsewhere = ada.place("HOME").display().to_string();
    // The user is another server.
    ada.git(["config", "--unset", "muster.server"]).success();
    ada.command(["join", &fleet.hub().url(), "--as", "kim"]).current_dir(&elsewhere).run().success();
    ada.git(["config", "muster.server", "ada"]).success();
    ada.git(["remote", "rename", "origin", "fleet"]).success();
    ada.run(["status", "set", "building"]).success();
    let status = inspect::document(fleet.hub(), MAIN, "ada/status.json");
    assert_eq!(status["status"], "building");
    // And it is written into the clone.
    ada.run(["join", "--as", "eve"]).success();
    assert_eq!(ada.git(["config", "muster.server"]).success().stdout().trim(), "eve");
    let run = ada.command(["config", "where"]).current_dir(&elsewhere).run().success();
    assert!(!run.stdout().contains("eve"), "{run}");
}

#[test]
fn the_branch_of_a_server_that_was_removed_is_removed_as_it_is_told() {
    for transport in [Transport::Path, Transport::Daemon] {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        bob.run(["heartbeat"]).success();
        ada.run(["health"]).success();
        let run = ada.run(["servers", "remove", "bob"]).success();
        let line = run.stderr().split('`').find(|part| part.starts_with("git ")).unwrap();
        ada.git(["init", "-q", "."]).success();
        ada.program("sh").args(["-c", line]).run().success();
        assert_eq!(fleet.hub().tip("heartbeat-bob"), None, "{run}");
    }
}

/// What a job or a command under a lock calls, in hub `other`.
const CALLS: &str =
    "git-muster lock acquire inner && git-muster job add --type inner && git-muster status set building";

fn called(host: &Host, hub: &str, server: &str) {
    let list = |noun: &str| {
        host.run(["--hub", hub, noun, "list", "--json"]).success().json().as_array().unwrap().clone()
    };
    let of = |records: &[Value], field: &str, value: &str| records.iter().any(|one| one[field] == value);
    assert!(of(&list("lock"), "locked_by", server), "{:?}", list("lock"));
    assert!(of(&list("job"), "type", "inner"), "{:?}", list("job"));
}

/// The commands of ours on the `PATH` of a host, as an installation has them.
fn installed(host: &mut Host) {
    let ours = Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap();
    let path = std::env::split_paths(&host.place("PATH")).collect::<Vec<_>>();
    let all = std::env::join_paths(std::iter::once(ours.to_path_buf()).chain(path)).unwrap();
    host.set("PATH", all);
}

#[test]
fn what_a_command_calls_that_we_run_is_about_the_hub_and_server_of_the_line() {
    let (fleet, mut one, other) = two_hubs();
    installed(&mut one);
    one.run(["join", &fleet.hub().url(), "--as", "one"]).success();
    one.run(["--hub", &other, "join", "--as", "two"]).success();
    one.run(["join", &fleet.hub().url(), "--as", "one"]).success();
    let before = fleet.hub().tip(MAIN);
    let line = ["--hub", &other, "--server", "two"];
    one.run([&line[..], &["lock", "run", "outer", "--", "sh", "-c", CALLS]].concat()).success();
    called(&one, &other, "two");
    let state = one.directory().join("fence").display().to_string();
    let fence = ["fence", "check", "--name", "x", "--token", "1", "--state", &state, "--"];
    let added = ["git-muster", "job", "add", "--type", "fenced"];
    one.run([&line[..], &fence, &added].concat()).success();
    let jobs = one.run(["--hub", &other, "job", "list", "--json"]).success().json();
    assert!(jobs.as_array().unwrap().iter().any(|job| job["type"] == "fenced"), "{jobs}");
    assert_eq!(fleet.hub().tip(MAIN), before, "nothing of it is in the hub that the user joined");
}

#[test]
fn what_a_job_calls_is_about_the_hub_and_server_of_its_worker() {
    let (fleet, mut one, other) = two_hubs();
    installed(&mut one);
    one.unset("MUSTER_SERVER");
    one.run(["--hub", &other, "join", "--as", "two"]).success();
    one.run(["join", &fleet.hub().url(), "--as", "one"]).success();
    let before = fleet.hub().tip(MAIN);
    let line = ["--hub", &other, "--server", "two"];
    one.run([&line[..], &["job", "add", "--type", "outer", "--", "sh", "-c", CALLS]].concat()).success();
    one.run([&line[..], &["job", "run", "--allow-any"]].concat()).success();
    called(&one, &other, "two");
    assert_eq!(fleet.hub().tip(MAIN), before, "nothing of it is in the hub that the user joined");

    // Who joined in a clone works in another folder than that, too.
    let clone = one.directory().join("clone");
    one.git(["clone", "--quiet", &other, &clone.display().to_string()]).success();
    let here = |words: &[&str]| one.command(words).current_dir(&clone).run();
    here(&["join", "--as", "three"]).success();
    here(&["job", "add", "--type", "outer", "--", "sh", "-c", &CALLS.replace("inner", "deeper")]).success();
    here(&["job", "run", "--allow-any"]).success();
    called(&one, &other, "three");
    assert_eq!(fleet.hub().tip(MAIN), before);
}

/// Tokens are small numbers: that of another job or lock would fit.
#[test]
fn a_token_of_the_environment_is_that_of_the_name_beside_it() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let job = || ada.run(["job", "add", "--type", "build"]).success().stdout().trim().to_owned();
    let (first, second) = (job(), job());
    ada.run(["job", "claim", "--count", "2"]).success();
    let jobs = |id: &str| vec![("MUSTER_JOB_ID", id.to_owned()), ("MUSTER_JOB_TOKEN", "1".to_owned())];
    let locks =
        |name: &str| vec![("MUSTER_LOCK_NAME", name.to_owned()), ("MUSTER_LOCK_TOKEN", "1".to_owned())];
    let run = |words: &[&str], told: &[(&str, String)]| {
        told.iter().fold(ada.command(words), |command, (name, value)| command.env(name, value)).run()
    };
    for verb in ["start", "heartbeat", "complete", "fail", "release", "stopped"] {
        let run = run(&["job", verb, &second], &jobs(&first)).code(2);
        assert!(run.stderr().contains(&format!("is the token of job `{first}`, not of `{second}`")), "{run}");
    }
    ada.run(["job", "complete", &second]).code(2);
    run(&["job", "complete", &second], &[("MUSTER_JOB_TOKEN", "one".to_owned())]).code(2);
    run(&["job", "complete", &second, "--token", "1"], &jobs(&first)).success();
    run(&["job", "complete", &first], &jobs(&first)).success();
    for lock in ["deploy", "other"] {
        ada.run(["lock", "acquire", lock]).success();
    }
    ada.run(["once", "do", "migrate"]).success();
    let state = ada.directory().join("fence").display().to_string();
    let check = ["fence", "check", "--name", "other", "--state", &state];
    for words in
        [&["lock", "renew", "other"][..], &["lock", "release", "other"], &["once", "done", "migrate"], &check]
    {
        run(words, &locks("deploy")).code(2);
    }
    run(&["lock", "release", "other", "--token", "1"], &locks("deploy")).success();
    run(&["lock", "release", "deploy"], &locks("deploy")).success();
    // Without a name beside it it is meant.
    run(&["once", "done", "migrate"], &[("MUSTER_LOCK_TOKEN", "1".to_owned())]).success();
}

#[test]
fn the_code_in_an_error_is_the_one_that_the_command_ends_with() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let state = ada.directory().join("fence").display().to_string();
    let fence = ["fence", "check", "--name", "d", "--token", "1", "--state", &state, "--", "./not-there"];
    for words in [&["lock", "run", "deploy", "--", "./not-there"][..], &fence] {
        let run = ada.run([&["--json"], words].concat()).code(127);
        let line = run.stderr().lines().next().unwrap_or_default();
        let error: Value = serde_json::from_str(line).unwrap();
        assert_eq!(error["exit_code"], 127, "{run}");
    }
}

/// The name in one hub may be another machine's in the next.
#[test]
fn the_name_of_one_hub_acts_in_another_only_where_it_is_this_machines_too() {
    let (fleet, one, other) = two_hubs();
    let mut user = fleet.host("user");
    user.unset("MUSTER_SERVER");
    user.unset("MUSTER_HUB");
    let mut far = one.clone();
    far.set("MUSTER_SERVER", "one");
    far.run(["--hub", &other, "join", "--as", "two"]).success();
    far.run(["--hub", &other, "message", "send", "--to", "two", "--subject", "private"]).success();
    far.run(["--hub", &other, "job", "add", "--", "true"]).success();
    user.run(["join", &fleet.hub().url(), "--as", "two"]).success();
    let tip = |hub: &str| user.git(["-C", hub, "rev-parse", "main"]).success().stdout().to_owned();
    let before = tip(&other);
    for words in [
        &["message", "read"][..],
        &["message", "send", "--to", "two", "--subject", "s"],
        &["job", "claim"],
        &["lock", "acquire", "gate"],
        &["lock", "run", "gate", "--", "true"],
        &["once", "do", "it"],
        &["status", "set", "idle"],
        &["heartbeat"],
        &["worker", "run", "--allow-any", "--once"],
        &["worker", "pause"],
        &["worker", "drain"],
        &["worker", "resume"],
        &["worker", "show"],
    ] {
        let run = user.run([&["--hub", &other], words].concat()).code(4);
        assert!(run.stderr().contains("the name `two` comes from the hub that this user joined"), "{run}");
        assert!(!run.to_string().contains("private"), "{run}");
    }
    assert_eq!(tip(&other), before);
    // Whatever else it writes there is no sign of life of that machine.
    let life =
        || user.git(["-C", &other, "rev-parse", "main:two/heartbeat.json"]).success().stdout().to_owned();
    let alive = life();
    user.run(["--hub", &other, "job", "add", "--", "true"]).success();
    assert_eq!(life(), alive);
    // What that machine writes is one, in another second.
    eventually(Duration::from_secs(30), || {
        far.run(["--hub", &other, "--server", "two", "job", "add", "--", "true"]).success();
        life() != alive
    });
    // Who says so acts under it, looking needs no name, and a name there is given in a clone.
    user.run(["--hub", &other, "--server", "two", "lock", "acquire", "gate"]).success();
    user.run(["--hub", &other, "job", "list"]).success();
    let clone = user.directory().join("clone");
    user.git(["clone", "--quiet", &other, &clone.display().to_string()]).success();
    let here = |words: &[&str]| user.command(words).current_dir(&clone).run();
    here(&["heartbeat"]).code(4);
    here(&["join", &other, "--as", "three"]).success();
    here(&["heartbeat"]).success();
    // This machine under its own name in both hubs.
    here(&["lock", "acquire", "mine"]).success();
    user.run(["job", "claim"]).code(3);
}

/// A server of scripts: its record names no machine.
#[test]
fn the_name_of_one_hub_is_not_that_of_a_server_without_a_machine_in_another() {
    let fleet = Fleet::new().founded();
    let scripts = Fleet::new().founded();
    let beat = "{\"server_id\":\"build1\",\"timestamp\":\"2025-10-29T12:00:00Z\"}\n";
    scripts.hub().put(MAIN, &[("build1/status.json", beat)], "a script");
    drop(scripts.server("eve"));
    let mut user = fleet.host("user");
    user.unset("MUSTER_SERVER");
    user.unset("MUSTER_HUB");
    user.run(["join", &fleet.hub().url(), "--as", "build1"]).success();
    for words in [&["message", "read"][..], &["heartbeat"], &["status", "set", "idle"], &["job", "claim"]] {
        let run = user.run([&["--hub", &scripts.hub().url()], words].concat()).code(4);
        assert!(run.stderr().contains("belongs to a server that no machine has joined as"), "{run}");
    }
    // Who says so in that hub takes the record.
    user.run(["--hub", &scripts.hub().url(), "--server", "build1", "status", "set", "idle"]).success();
}

#[test]
fn a_join_tells_what_comes_before_the_name_that_it_wrote() {
    let fleet = Fleet::new().founded();
    let mut user = fleet.host("user");
    user.unset("MUSTER_SERVER");
    let clone = user.directory().join("clone");
    user.git(["clone", "--quiet", &fleet.hub().url(), &clone.display().to_string()]).success();
    user.unset("MUSTER_HUB");
    std::fs::write(clone.join(".build_server_id"), "before\n").unwrap();
    let run = user.command(["join", "--as", "after"]).current_dir(&clone).run().success();
    assert!(run.stderr().contains(".build_server_id is `before` and takes precedence"), "{run}");
    std::fs::remove_file(clone.join(".build_server_id")).unwrap();
    let run = user.command(["join", "--as", "after"]).current_dir(&clone).run().success();
    assert!(!run.stderr().contains("comes first"), "{run}");
    user.set("SERVER_ID", "before");
    let run = user.run(["join", &fleet.hub().url(), "--as", "user"]).success();
    assert!(run.stderr().contains("SERVER_ID is `before` and takes precedence"), "{run}");
}

#[test]
fn a_join_tells_what_comes_before_the_hub_that_it_wrote_and_leads_to_that() {
    let (fleet, mut one, other) = two_hubs();
    let clone = one.place("HOME").join("clone");
    one.git(["clone", "-q", &fleet.hub().url(), &clone.display().to_string()]).success();
    let beats = |host: &Host, hub: &str| {
        host.git(["--git-dir", hub, "for-each-ref", "refs/heads/heartbeat-one"]).success().stdout().to_owned()
    };
    // In a clone of another hub.
    let run = one.command(["join", &other, "--as", "one"]).current_dir(&clone).run().success();
    let stderr = run.stderr();
    assert!(stderr.contains("elsewhere commands without `--hub` now use"), "{run}");
    assert!(stderr.contains("and takes precedence: commands here use that hub"), "{run}");
    assert!(stderr.contains(&format!("next: `git muster --hub '{other}' heartbeat`")), "{run}");
    let before = (beats(&one, &other), beats(&one, &fleet.hub().url()));
    let program = Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap();
    let path = format!("{}:{}", program.display(), one.place("PATH").display());
    let line = stderr.lines().find(|line| line.starts_with("next: ")).unwrap().split('`').nth(1).unwrap();
    one.program("sh").args(["-c", line]).env("PATH", path).current_dir(&clone).run().success();
    assert_ne!(beats(&one, &other), before.0, "{line} goes to the hub that was joined");
    assert_eq!(beats(&one, &fleet.hub().url()), before.1, "and to no other");
    // Where a variable names another one, or another branch, what is told mends it.
    one.set("MUSTER_HUB", fleet.hub().url());
    let run = one.run(["join", &other, "--as", "one"]).success();
    assert!(run.stderr().contains("`unset MUSTER_HUB`"), "{run}");
    assert!(run.stderr().contains(&format!("next: `git muster --hub '{other}' heartbeat`")), "{run}");
    one.unset("MUSTER_HUB");
    one.set("MUSTER_BRANCH", "mian");
    let run = one.run(["join", &other, "--hub-branch", MAIN, "--as", "one"]).success();
    assert!(run.stderr().contains("`export MUSTER_BRANCH=main`"), "{run}");
    assert!(run.stderr().contains("next: `git muster --hub-branch main heartbeat`"), "{run}");
    one.unset("MUSTER_BRANCH");
    let run = one.run(["join", &other, "--as", "one"]).success();
    assert!(run.stderr().contains("next: `git muster heartbeat`"), "{run}");
    assert!(!run.stderr().contains("comes first"), "{run}");
}

#[test]
fn a_join_that_follows_a_hub_which_moved_tells_nobody_to_beat_where_it_was() {
    let (_fleet, one, other) = two_hubs();
    one.run(["join", &other, "--as", "one"]).success();
    one.run(["heartbeat"]).success();
    let moved = one.place("HOME").join("moved.git").display().to_string();
    std::fs::rename(&other, &moved).unwrap();
    let run = one.run(["join", &moved, "--as", "one"]).success();
    assert!(run.stderr().contains("which is the same hub"), "{run}");
    assert!(!run.stderr().contains("keeps running until it has ended"), "{run}");
}

#[test]
fn a_branch_that_a_variable_names_wrongly_is_told_with_what_changes_it() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.set("MUSTER_BRANCH", "mian");
    for words in [&["heartbeat"][..], &["job", "list"], &["fsck"]] {
        let run = ada.run(words).code(78);
        assert!(run.stderr().contains("`export MUSTER_BRANCH=main`"), "{run}");
        assert!(!run.stderr().contains("or store it with"), "{run}");
    }
    let doctor = ada.run(["doctor", "hub-reachable"]).code(1);
    assert!(doctor.stdout().contains("mend: export MUSTER_BRANCH=main"), "{doctor}");
    ada.set("MUSTER_BRANCH", MAIN);
    ada.run(["heartbeat"]).success();
    // A flag that means the hub's branch alone is told nothing of another.
    let run = ada.run(["--hub-branch", MAIN, "job", "add", "--type", "x"]).success();
    assert!(!run.stderr().contains("`--branch`"), "{run}");
    let run = ada.run(["--branch", MAIN, "job", "add", "--type", "x"]).success();
    assert!(run.stderr().contains("`--branch`"), "{run}");
}

#[test]
fn an_address_that_git_knows_no_way_for_is_told_as_that() {
    let fleet = Fleet::new().founded();
    let ada = fleet.host("ada");
    for words in [&["job", "list"][..], &["join", "--as", "ada"]] {
        let run = ada.run([&["--hub", "htp://hub.example/hub.git"], words].concat());
        assert!(run.stderr().contains("unknown address scheme `htp://`"), "{run}");
    }
}
