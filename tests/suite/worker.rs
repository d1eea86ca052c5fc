//! The worker with real processes: what runs, how it ends, what stays of it, and what a worker that
//! is killed, stopped or asked to end leaves behind.

use crate::support::{Fleet, Host, MAIN, RUN_BOUND, Running, Transport, eventually, inspect, send_signal};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// Adds a job that runs `script`.
fn add(host: &Host, more: &[&str], script: &str) -> String {
    let mut words = vec!["job", "add", "--type", "test"];
    words.extend(more);
    words.extend(["--", "sh", "-c", script]);
    host.run(words).success().stdout().trim().to_owned()
}

/// The words of a worker that runs all there is and ends.
const UNTIL_IDLE: [&str; 7] = ["worker", "run", "--allow-any", "--poll", "20ms", "--exit-when-idle", "100ms"];

fn status(fleet: &Fleet, id: &str) -> String {
    inspect::job(fleet.hub(), id)["status"].as_str().unwrap().to_owned()
}

/// A file that scripts leave a line in.
fn mark(host: &Host, name: &str) -> PathBuf {
    host.directory().join(name)
}

fn lines(file: &PathBuf) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// Processes of this machine whose command line holds `word`.
fn processes_with(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(word)).collect()
}

/// Whether a job has come as far as to sleep for so long: its words stand in the lines of others, too.
fn sleeps(rare: &str) -> bool {
    processes_with(rare).iter().any(|line| line.starts_with("sleep "))
}

/// Suspends a worker between two writes: in the middle of one it would hold up everybody for as long.
fn suspend(worker: &mut Running, fleet: &Fleet) {
    let state = |process: u32| fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    eventually(BOUND, || {
        worker.signal("STOP");
        eventually(BOUND, || state(worker.pid()).contains(") T "));
        let is_between = !inspect::is_locked(fleet.hub());
        if !is_between {
            worker.signal("CONT");
        }
        is_between
    });
}

/// A number of seconds to sleep that no other process of this machine has.
fn rare_seconds(number: u32) -> String {
    format!("7{}.{number:03}", std::process::id())
}

#[test]
fn nothing_runs_unless_this_server_says_so() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let mark = mark(&ada, "ran");
    let id = add(&ada, &[], &format!("echo >>{}", mark.display()));
    let refused = ada.run(["worker", "run", "--once"]).code(2);
    assert!(refused.stderr().contains("nothing was claimed") && refused.stderr().contains("--allow-any"));
    ada.run(["job", "run"]).code(2);
    let guarded = ada.run(["job", "run", "--allow-any", "--if-lock", "x=1"]).code(2);
    assert!(guarded.stderr().contains("does not support `--if-lock`"), "{guarded}");
    for pattern in ["make *", "sh -c true", "s?", "./sh *"] {
        ada.run(["job", "run", "--allow", pattern]).code(3);
    }
    let named = ada.run(["job", "run", &id, "--allow", "make"]).code(4);
    assert!(named.stderr().contains("does not run `sh -c"), "{named}");
    assert_eq!((status(&fleet, &id).as_str(), lines(&mark)), ("queued", 0));
    ada.run(["job", "run", "--allow", "make *", "--allow", "sh -c *"]).success();
    assert_eq!((status(&fleet, &id).as_str(), lines(&mark)), ("completed", 1));
}

#[test]
fn a_job_without_a_command_is_left_to_people() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let id = ada.run(["job", "add", "--type", "build"]).success().stdout().trim().to_owned();
    ada.run(["job", "run", "--allow-any"]).code(3);
    assert_eq!(status(&fleet, &id), "queued");
    ada.run(["job", "claim", &id]).success();
}

#[test]
fn how_a_job_ends_is_told_with_its_log() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    for (script, code, status_word, reason) in [
        ("echo done; exit 0", 0, "completed", None),
        ("echo oops >&2; exit 3", 3, "failed", Some("script_failure")),
        ("kill -KILL $$", 137, "failed", Some("script_failure")),
    ] {
        let id = add(&ada, &[], script);
        ada.run(["job", "run", "--allow-any"]).code(code);
        let job = inspect::job(fleet.hub(), &id);
        assert_eq!(
            (job["status"].as_str().unwrap(), job["exit_code"].as_i64()),
            (status_word, Some(code.into()))
        );
        assert_eq!(job["reason"].as_str(), reason, "{script}");
        assert_eq!(job["attempts"], 1);
        let log = ada.run(["job", "logs", &id]).success();
        let printed: Vec<&str> =
            log.stdout().lines().filter_map(|line| line.split_once(' ')).map(|parts| parts.1).collect();
        let expected =
            if code == 137 { vec![] } else { vec![script.split(' ').nth(1).unwrap().trim_end_matches(';')] };
        assert_eq!(printed, expected);
    }
    let missing = ada.run(["job", "run", "--allow-any"]).code(3);
    assert!(missing.stdout().is_empty(), "{missing}");
}

#[test]
fn a_program_that_is_not_there_fails_the_job_and_says_so() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let id = ada.run(["job", "add", "--", "no-such-program-here"]).success().stdout().trim().to_owned();
    ada.run(["job", "run", "--allow-any"]).code(127);
    assert_eq!(status(&fleet, &id), "failed");
    let log = ada.run(["job", "logs", &id]).success();
    assert!(log.stdout().contains("cannot start `no-such-program-here`"), "{log}");
}

/// All the variables of a job that is given `WANTED` and `KEY`: those that `worker run --help` names, and
/// what a shell adds by itself.
const GIVEN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "WANTED",
    "KEY",
    "MUSTER_HUB",
    "MUSTER_BRANCH",
    "MUSTER_SERVER",
    "MUSTER_JOB_ID",
    "MUSTER_JOB_TOKEN",
    "MUSTER_JOB_TYPE",
    "MUSTER_JOB_ATTEMPT",
    "MUSTER_JOB_BRANCH",
    "MUSTER_JOB_COMMIT",
    "MUSTER_JOB_NEEDS",
    "MUSTER_JOB_DESCRIPTION",
    "MUSTER_ARTIFACTS",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
];

#[test]
fn a_job_sees_what_it_is_given_and_nothing_else() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.set("PRIVATE", "not for jobs");
    ada.set("WANTED", "for jobs");
    ada.set("KEY", "hunter22-and-more");
    let id = add(
        &ada,
        &["--branch", "topic", "--description", "a test"],
        "env; cat; echo \"[$(ls -A)]\"; echo $KEY >file; printf '\\377\\376\\n'; cat file",
    );
    ada.run(["job", "run", "--allow-any", "--env", "WANTED", "--mask", "KEY"]).success();
    let path = inspect::job(fleet.hub(), &id)["log"].as_str().unwrap().to_owned();
    let log = inspect::content(fleet.hub(), "logs-ada", &path).unwrap();
    let text = String::from_utf8_lossy(&log);
    for expected in [
        "WANTED=for jobs".to_owned(),
        "MUSTER_JOB_BRANCH=topic".to_owned(),
        "MUSTER_JOB_DESCRIPTION=a test".to_owned(),
        "MUSTER_JOB_ATTEMPT=1".to_owned(),
        "MUSTER_SERVER=ada".to_owned(),
        format!("MUSTER_HUB={}", fleet.hub().url()),
        "MUSTER_BRANCH=main".to_owned(),
        format!("MUSTER_JOB_ID={id}"),
        "KEY=***".to_owned(),
        // Its folder is empty.
        "[]".to_owned(),
    ] {
        assert!(text.lines().any(|line| line.ends_with(&format!(" {expected}"))), "{expected} in {text}");
    }
    assert!(!text.contains("hunter22") && !text.contains("PRIVATE"), "{text}");
    let words = text.lines().filter_map(|line| line.split_once(' ')?.1.split_once('='));
    let others = words.map(|(name, _)| name).filter(|name| !GIVEN.contains(name));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0], "{text}");
    assert!(log.windows(3).any(|bytes| bytes == b"\xff\xfe\n"), "{text}");
    let short = ada.run(["job", "run", "--allow-any", "--mask", "NO_SUCH"]).code(2);
    assert!(short.stderr().contains("cannot mask"), "{short}");
    assert!(!mark(&ada, "file").exists());
}

#[test]
fn nothing_of_a_job_outlives_it() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let rare = rare_seconds(1);
    let id = add(
        &ada,
        &[],
        &format!("sleep {rare} & setsid sleep {rare} & (trap '' TERM; sleep {rare}) & echo left"),
    );
    ada.run(["job", "run", "--allow-any"]).success();
    assert_eq!(status(&fleet, &id), "completed");
    assert_eq!(processes_with(&rare), Vec::<String>::new());
}

/// A tree of three processes, the last in a session of its own and deaf to SIGTERM.
fn deep_and_deaf(rare: &str) -> String {
    format!(
        "sh -c \"setsid sh -c \\\"trap '' TERM; echo deep; sleep {rare}; sleep {rare}\\\" & sleep {rare}; wait\""
    )
}

#[test]
fn a_job_that_takes_too_long_is_ended_with_all_its_processes() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let rare = rare_seconds(2);
    let id = add(&ada, &["--timeout", "1s", "--max-attempts", "1"], &deep_and_deaf(&rare));
    let run = ada.run(["job", "run", "--allow-any", "--grace", "200ms"]).code(124);
    assert!(run.stderr().contains("failed: timeout"), "{run}");
    assert_eq!(processes_with(&rare), Vec::<String>::new());
    let job = inspect::job(fleet.hub(), &id);
    assert_eq!((job["status"].as_str(), job["reason"].as_str()), (Some("dead"), Some("timeout")));
    assert!(ada.run(["job", "logs", &id]).success().stdout().contains("took longer than 1s"));
}

/// All of it is over before others may take the job for late: a longer time to end is not given.
#[test]
fn a_job_has_no_longer_to_end_than_its_lateness_is_overlooked() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let rare = rare_seconds(7);
    let id = add(&ada, &["--timeout", "1s", "--max-attempts", "1"], &format!("trap '' TERM; sleep {rare}"));
    ada.run(["job", "run", "--allow-any", "--grace", "1h"]).code(124);
    assert_eq!(processes_with(&rare), Vec::<String>::new());
    assert_eq!(inspect::job(fleet.hub(), &id)["reason"].as_str(), Some("timeout"));
}

#[test]
fn a_job_that_is_called_off_is_stopped() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let rare = rare_seconds(3);
    let id = add(&bob, &[], &deep_and_deaf(&rare));
    let worker = ada.command(["job", "run", "--allow-any", "--grace", "200ms"]).spawn();
    eventually(BOUND, || sleeps(&rare));
    let told = bob.run(["job", "cancel", &id, "--reason", "a test", "--wait"]).success();
    assert!(told.stdout().contains("is cancelled; its worker has confirmed that it stopped"), "{told}");
    assert_eq!(processes_with(&rare), Vec::<String>::new(), "what is confirmed is so");
    let run = worker.wait().code(5);
    assert!(run.stderr().contains("is not this worker's any more"), "{run}");
    let job = inspect::job(fleet.hub(), &id);
    assert_eq!((job["status"].as_str(), job["error_message"].as_str()), (Some("cancelled"), Some("a test")));
    assert!(job["stopped_at"].is_string(), "{job}");
    assert!(ada.run(["job", "logs", &id]).success().stdout().contains("deep"));
}

/// Nobody is left to confirm: the next worker does, and until then whoever waits watches the session.
#[test]
fn a_job_that_is_called_off_under_a_worker_that_dies_is_confirmed_by_the_next_or_lost() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let rare = rare_seconds(12);
    let id = add(&bob, &[], &deep_and_deaf(&rare));
    let mut worker =
        ada.command(["job", "run", "--allow-any", "--interval", "1s", "--grace", "200ms"]).spawn();
    eventually(BOUND, || sleeps(&rare));
    suspend(&mut worker, &fleet);
    bob.run(["job", "cancel", &id]).success();
    let told = bob.run(["job", "explain", &id]).success();
    assert!(told.stdout().contains("not confirmed yet: ada may still run it"), "{told}");
    let late = bob.run(["job", "cancel", &id, "--wait", "0s"]).code(75);
    assert!(late.stderr().contains("it may still be running on `ada`"), "{late}");
    let lost = bob.run(["job", "cancel", &id, "--wait", "1m"]).success();
    assert!(lost.stdout().contains("`ada` is lost"), "{lost}");
    assert_eq!(processes_with(&rare), Vec::<String>::new(), "its guard has ended it");
    worker.signal("KILL");
    worker.wait().killed_by(9);
    assert!(inspect::job(fleet.hub(), &id)["stopped_at"].is_null());
    ada.run(UNTIL_IDLE).success();
    let told = bob.run(["job", "show", &id]).success();
    assert!(told.stdout().contains("its worker has confirmed that it stopped"), "{told}");
    bob.run(["job", "cancel", &id, "--wait", "0s"]).success();
}

#[test]
fn asked_to_end_it_lets_its_jobs_finish_and_asked_again_it_hands_them_back() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (begun, go) = (mark(&ada, "begun"), mark(&ada, "go"));
    let script = format!("echo >>{}; while [ ! -e {} ]; do sleep 0.01; done", begun.display(), go.display());
    let first = add(&ada, &[], &script);
    // There is room for one more.
    let words = ["worker", "run", "--allow-any", "--poll", "20ms", "--jobs", "2"];
    let mut worker = ada.command(words).spawn();
    eventually(BOUND, || lines(&begun) == 1);
    worker.signal("TERM");
    eventually(BOUND, || worker.stderr().contains("may finish within 10m"));
    let later = add(&ada, &[], "true");
    // While it looks, as it does every 20 ms.
    ada.run(["job", "explain", &later]).success();
    fs::write(&go, "").unwrap();
    worker.wait().success();
    assert_eq!((status(&fleet, &first).as_str(), status(&fleet, &later).as_str()), ("completed", "queued"));

    fs::remove_file(&go).unwrap();
    ada.run(["job", "cancel", &later]).success();
    let second = add(&ada, &[], &script);
    let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "20ms"]).spawn();
    eventually(BOUND, || lines(&begun) == 2);
    worker.signal("TERM");
    eventually(BOUND, || worker.stderr().contains("may finish within"));
    // What comes at once after it is the same wish.
    eventually(BOUND, || {
        worker.signal("TERM");
        worker.has_ended()
    });
    worker.wait().success();
    let job = inspect::job(fleet.hub(), &second);
    assert_eq!((job["status"].as_str(), job["attempts"].as_u64()), (Some("queued"), Some(0)));
    assert_eq!(job["reason"], "interrupted");
}

#[test]
fn a_worker_that_is_killed_takes_its_jobs_along_and_the_next_one_gives_them_back() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let rare = rare_seconds(4);
    let id = add(&ada, &[], &deep_and_deaf(&rare));
    let mut worker =
        ada.command(["worker", "run", "--allow-any", "--poll", "20ms", "--grace", "200ms"]).spawn();
    eventually(BOUND, || sleeps(&rare));
    worker.signal("KILL");
    worker.wait().killed_by(9);
    eventually(BOUND, || processes_with(&rare).is_empty());
    assert_eq!(status(&fleet, &id), "running");
    let next = ada.run(UNTIL_IDLE).success();
    assert!(next.stderr().contains("is lost"), "{next}");
    let job = inspect::job(fleet.hub(), &id);
    assert_eq!((job["status"].as_str(), job["reason"].as_str()), (Some("queued"), Some("lost")));
    assert_eq!(job["attempts"], 1);
}

/// As long as a cron line beats, no other server takes the session for lost.
#[test]
fn what_a_killed_worker_had_at_work_comes_back_with_the_next_heartbeat_of_its_server() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (rare, other) = (rare_seconds(13), rare_seconds(14));
    let (id, called_off) = (add(&ada, &[], &deep_and_deaf(&rare)), add(&ada, &[], &deep_and_deaf(&other)));
    let words = ["worker", "run", "--allow-any", "--jobs", "2", "--poll", "20ms", "--grace", "200ms"];
    let mut worker = ada.command(words).spawn();
    eventually(BOUND, || sleeps(&rare) && sleeps(&other));
    worker.signal("KILL");
    worker.wait().killed_by(9);
    ada.run(["job", "cancel", &called_off]).success();
    eventually(BOUND, || {
        ada.run(["heartbeat"]).success();
        status(&fleet, &id) == "queued"
    });
    assert!(processes_with(&rare).is_empty() && processes_with(&other).is_empty());
    assert_eq!(inspect::job(fleet.hub(), &id)["reason"], "lost");
    assert!(inspect::job(fleet.hub(), &called_off)["stopped_at"].is_string());
    let before = fleet.hub().tip(MAIN);
    assert_eq!(ada.run(["heartbeat"]).success().stderr(), "");
    assert_eq!(fleet.hub().tip(MAIN), before, "that is told once");
}

#[test]
fn a_worker_takes_back_what_a_script_of_its_own_server_holds_for_too_long() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let id =
        ada.run(["job", "add", "--type", "build", "--timeout", "1s"]).success().stdout().trim().to_owned();
    ada.run(["job", "claim", &id]).success();
    let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "20ms"]).spawn();
    eventually(BOUND, || status(&fleet, &id) == "queued");
    worker.signal("TERM");
    worker.wait().success();
    assert_eq!(inspect::job(fleet.hub(), &id)["reason"], "timeout");
}

/// What a script of the same server claimed is none of the worker's.
#[test]
fn a_worker_leaves_alone_what_others_of_its_server_claimed() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let id = add(&ada, &[], "true");
    ada.run(["job", "claim", &id]).success();
    ada.run(UNTIL_IDLE).success();
    assert_eq!(status(&fleet, &id), "claimed");
    ada.run(["job", "complete", &id, "--token", "1"]).success();
}

/// A machine that was copied with its home says that it is the same server, and takes no job of the
/// other's for one that it left behind itself.
#[test]
fn a_copied_home_is_not_the_same_worker() {
    let fleet = Fleet::new().founded();
    let (ada, copy) = (fleet.server("ada"), fleet.host("copy"));
    let go = mark(&ada, "go");
    let id = add(&ada, &[], &format!("while [ ! -e {} ]; do sleep 0.01; done", go.display()));
    let worker = ada.command(UNTIL_IDLE).spawn();
    eventually(BOUND, || status(&fleet, &id) == "running");
    let workers = ada.place("XDG_STATE_HOME").join("git-muster/workers");
    let hub = fs::read_dir(workers).unwrap().next().unwrap().unwrap().file_name();
    let place = |host: &Host| {
        host.place("XDG_STATE_HOME").join("git-muster/workers").join(&hub).join("ada/worker.json")
    };
    fs::create_dir_all(place(&copy).parent().unwrap()).unwrap();
    let kept = fs::read_to_string(place(&ada)).unwrap();
    let mut elsewhere: serde_json::Value = serde_json::from_str(&kept).unwrap();
    elsewhere["machine"] = "another".into();
    fs::write(place(&copy), elsewhere.to_string()).unwrap();
    copy.run([["--server", "ada"].as_slice(), &UNTIL_IDLE].concat()).success();
    assert_eq!(status(&fleet, &id), "running");
    fs::write(&go, "").unwrap();
    worker.wait().success();
    assert_eq!(status(&fleet, &id), "completed");
    assert_eq!(fs::read_to_string(place(&ada)).unwrap(), kept);
}

#[test]
fn one_server_has_one_worker() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (begun, go) = (mark(&ada, "begun"), mark(&ada, "go"));
    add(
        &ada,
        &[],
        &format!("echo >{}; while [ ! -e {} ]; do sleep 0.01; done", begun.display(), go.display()),
    );
    let worker = ada.command(UNTIL_IDLE).spawn();
    eventually(BOUND, || lines(&begun) == 1);
    let second = ada.run(UNTIL_IDLE).code(4);
    assert!(second.stderr().contains("at work on this machine already"), "{second}");
    fs::write(&go, "").unwrap();
    worker.wait().success();
}

/// Two jobs that wait for one another, each in a hub of its own.
#[test]
fn one_server_of_two_hubs_has_a_worker_for_each_and_beats_where_none_is() {
    let (fleet, other) = (Fleet::new().founded(), Fleet::new().founded());
    let ada = fleet.server("ada");
    let second = other.hub().url();
    ada.run(["join", &second, "--as", "ada"]).success();
    let met = mark(&ada, "met");
    let script =
        format!("echo >>{0}; while [ $(wc -l <{0}) -lt 2 ]; do sleep 0.01; done; sleep 0.2", met.display());
    let one = add(&ada, &["--timeout", "1m"], &script);
    let worker = ada.command(UNTIL_IDLE).spawn();
    eventually(BOUND, || lines(&met) == 1);
    let beat = |hub: &str| ada.run(["--hub", hub, "heartbeat", "--json"]).success().json();
    assert_eq!(beat(&fleet.hub().url())["worker"], true);
    assert_eq!(beat(&second)["pushed"], true);
    let command = ["--hub", &second, "job", "add", "--type", "test", "--", "sh", "-c", &script];
    let two = ada.run(command).success().stdout().trim().to_owned();
    ada.run([["--hub", &second].as_slice(), &UNTIL_IDLE].concat()).success();
    worker.wait().success();
    for (fleet, id) in [(&fleet, &one), (&other, &two)] {
        assert_eq!(status(fleet, id), "completed");
    }
}

/// Five jobs that all wait for one another, for a worker that runs four and one beside it that runs one.
#[test]
fn workers_of_two_servers_on_one_machine_run_as_many_jobs_as_they_are_told() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    drop(fleet.server("bob"));
    let met = mark(&ada, "met");
    let script = format!(
        "echo $MUSTER_SERVER >>{0}; while [ $(wc -l <{0}) -lt 5 ]; do sleep 0.01; done",
        met.display()
    );
    let jobs: Vec<String> = (0..5).map(|_| add(&ada, &["--timeout", "1m"], &script)).collect();
    let as_bob = [["--server", "bob"].as_slice(), &UNTIL_IDLE].concat();
    let workers = [ada.command([&UNTIL_IDLE[..], &["--jobs", "4"]].concat()), ada.command(as_bob)];
    for worker in workers.map(|worker| worker.spawn()) {
        worker.wait().success();
    }
    let mut servers: Vec<String> = jobs
        .iter()
        .map(|id| inspect::job(fleet.hub(), id))
        .inspect(|job| {
            assert_eq!((job["status"].as_str(), job["token"].as_u64()), (Some("completed"), Some(1)));
        })
        .map(|job| job["assigned_to"].as_str().unwrap().to_owned())
        .collect();
    servers.sort();
    assert_eq!(servers, ["ada", "ada", "ada", "ada", "bob"]);
    assert_eq!(lines(&met), 5);
}

/// The lease is over while the worker sleeps: its guard ends the job before another may take it.
#[test]
fn a_worker_that_was_suspended_finds_its_job_ended_and_taken_and_writes_nothing() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let rare = rare_seconds(5);
    let id = add(&bob, &[], &format!("sleep {rare}"));
    let mut worker = ada
        .command(["worker", "run", "--allow-any", "--poll", "20ms", "--interval", "1s", "--grace", "200ms"])
        .spawn();
    eventually(BOUND, || sleeps(&rare));
    // From now on somebody watches, who takes it back at the first moment that the rules allow.
    let other = bob.command(["worker", "run", "--allow", "true", "--poll", "100ms"]).spawn();
    suspend(&mut worker, &fleet);
    eventually(BOUND, || status(&fleet, &id) == "queued");
    assert_eq!(processes_with(&rare), Vec::<String>::new(), "the job had to end before it was taken");
    let before = fleet.hub().tip(MAIN);
    worker.signal("CONT");
    // It learns of it by its report, or by what it sees of itself before that.
    let told = ["cannot fail job", "it was not ours any more and nothing is reported"];
    eventually(BOUND, || told.iter().any(|words| worker.stderr().contains(words)));
    assert_eq!(fleet.hub().tip(MAIN), before);
    let job = inspect::job(fleet.hub(), &id);
    assert_eq!((job["status"].as_str(), job["reason"].as_str()), (Some("queued"), Some("lost")));
    for mut process in [worker, other] {
        process.signal("TERM");
        process.wait().success();
    }
}

/// Its claims can still be written, and its signs of life cannot: what it claims would be lost at once.
#[test]
fn a_worker_without_a_sign_of_life_claims_nothing() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let mut worker =
        ada.command(["worker", "run", "--allow-any", "--poll", "20ms", "--interval", "1s"]).spawn();
    let first = add(&bob, &[], "true");
    eventually(BOUND, || status(&fleet, &first) == "completed");
    let gate = mark(&bob, "beats-may-come");
    let hook = format!(
        "#!/bin/sh\ncase $1 in refs/heads/heartbeat-ada) [ -e {} ] || exit 1 ;; esac\n",
        gate.display()
    );
    fleet.hub().install_hook("update", &hook);
    let rare = rare_seconds(8);
    let sleeper = add(&bob, &["--max-attempts", "1"], &format!("sleep {rare}"));
    eventually(BOUND, || sleeps(&rare));
    // Its guard ends it when the lease is over; from then on ada must not claim.
    eventually(BOUND, || processes_with(&rare).is_empty());
    let id = add(&bob, &["--max-attempts", "1"], "true");
    eventually(BOUND, || status(&fleet, &sleeper) == "dead");
    for word in ["building", "idle", "building", "idle"] {
        bob.run(["status", "set", word]).success();
    }
    assert_eq!(status(&fleet, &id), "queued");
    fs::write(&gate, "").unwrap();
    eventually(BOUND, || status(&fleet, &id) == "completed");
    worker.signal("TERM");
    worker.wait().success();
}

/// A worker beats more often than a cron line, and takes that back when it ends.
#[test]
fn a_worker_leaves_the_interval_that_its_server_told() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat", "--interval", "5m"]).success();
    let interval = || {
        let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
        beat["interval_seconds"].as_u64().unwrap()
    };
    // One that ends with its job, whether there is one or not.
    ada.run(["job", "run", "--allow-any"]).code(3);
    assert_eq!(interval(), 300);
    add(&ada, &[], "true");
    ada.run(["worker", "run", "--allow-any", "--once"]).success();
    assert_eq!(interval(), 300);
    let go = mark(&ada, "go");
    add(&ada, &[], &format!("while [ ! -e {} ]; do sleep 0.05; done", go.display()));
    let worker = ada.command(UNTIL_IDLE).spawn();
    eventually(BOUND, || interval() == 30);
    fs::write(&go, "").unwrap();
    worker.wait().success();
    assert_eq!(interval(), 300);
}

/// What a job printed last may still be unread when it is known to have ended.
#[cfg(debug_assertions)]
#[test]
fn the_last_words_of_a_job_are_in_its_log() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let id = add(&ada, &[], "echo the last words");
    ada.command(["job", "run", "--allow-any"]).env("MUSTER_SLOW", "job-printed").run().success();
    let run = ada.run(["job", "logs", &id]).success();
    assert!(run.stdout().ends_with(" the last words\n"), "{run}");
}

#[test]
fn a_log_that_is_too_long_is_cut_in_the_middle_and_memory_stays_small() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let id = add(
        &ada,
        &[],
        "echo first; head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; echo last",
    );
    let mut worker = ada.command(["job", "run", "--allow-any"]).spawn();
    let mut highest = 0;
    eventually(RUN_BOUND, || {
        let status = fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        highest =
            highest.max(line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0_u64));
        worker.has_ended()
    });
    worker.wait().success();
    assert!(highest > 0 && highest < 50 * 1024, "{highest} KiB");
    let path = inspect::job(fleet.hub(), &id)["log"].as_str().unwrap().to_owned();
    let log = String::from_utf8(inspect::content(fleet.hub(), "logs-ada", &path).unwrap()).unwrap();
    assert!(log.len() < 1024 * 1024 + 200, "{}", log.len());
    assert!(
        log.lines().next().unwrap().ends_with(" first") && log.lines().last().unwrap().ends_with(" last")
    );
    assert_eq!(log.lines().filter(|line| line.contains("bytes are cut here")).count(), 1);
    let size: u64 = fleet
        .hub()
        .git(["count-objects", "-v"])
        .lines()
        .filter_map(|line| line.strip_prefix("size: ")?.parse::<u64>().ok())
        .sum();
    assert!(size < 4 * 1024, "{size} KiB in the hub");
}

#[test]
fn a_log_is_followed_from_another_clone_over_ssh() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let go = mark(&ada, "go");
    let id =
        add(&bob, &[], &format!("echo one; while [ ! -e {} ]; do sleep 0.05; done; echo two", go.display()));
    let worker = ada.command(["job", "run", "--allow-any"]).spawn();
    let follower = bob.command(["job", "logs", "--follow", &id]).spawn();
    eventually(BOUND, || follower.stdout().contains(" one"));
    assert!(!follower.stdout().contains(" two"));
    fs::write(&go, "").unwrap();
    worker.wait().success();
    let run = follower.wait().success();
    let words: Vec<&str> = run.stdout().lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(words, ["one", "two"]);
}

/// The guards at work on this machine for one server's jobs, by the folder of its state.
fn guards_of(host: &Host) -> Vec<u32> {
    let state = host.place("XDG_STATE_HOME").display().to_string();
    let ids = fs::read_dir("/proc").unwrap().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_guard = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(" guard ") && line.contains(&state)
    };
    ids.filter(is_guard).collect()
}

/// Whatever a signal does to the guard, the job ends and is told to have failed by this server's fault.
#[test]
fn a_guard_that_is_killed_or_stopped_takes_its_job_along() {
    for (number, name) in [(21, "KILL"), (22, "TERM"), (23, "HUP"), (24, "STOP")] {
        let fleet = Fleet::new().founded();
        let ada = fleet.server("ada");
        let rare = rare_seconds(number);
        let id = add(&ada, &["--timeout", "3s", "--max-attempts", "1"], &deep_and_deaf(&rare));
        let worker = ada.command(["job", "run", "--allow-any", "--grace", "100ms"]).spawn();
        eventually(BOUND, || sleeps(&rare));
        let guards = guards_of(&ada);
        assert_eq!(guards.len(), 1, "{name}");
        assert!(send_signal(name, &guards[0].to_string()));
        worker.wait().code(1);
        assert_eq!(processes_with(&rare), Vec::<String>::new(), "{name}");
        let job = inspect::job(fleet.hub(), &id);
        assert_eq!(job["reason"], "worker_system_failure", "{name}: {job}");
    }
}

/// What its guard would have found is hidden then, if somebody took pains. It is deaf: its guard may ask
/// all processes to end before it is killed itself.
#[test]
fn a_job_that_killed_its_guard_is_not_said_to_have_stopped() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (begun, hidden) = (mark(&ada, "begun"), mark(&ada, "hidden"));
    let script = format!(
        "env -i setsid sh -c 'trap \"\" TERM; echo $$ >{}; exec sleep 600' & trap 'kill -9 $PPID; exit' TERM; echo >{}; sleep 600 & wait",
        hidden.display(),
        begun.display()
    );
    let id = add(&ada, &[], &script);
    let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "20ms"]).spawn();
    eventually(BOUND, || lines(&begun) == 1 && lines(&hidden) == 1);
    ada.run(["job", "cancel", &id]).success();
    eventually(BOUND, || worker.stderr().contains(&format!("job `{id}` ended")));
    // Whoever looks once more at what is left of it claims the next one.
    let next = add(&ada, &[], "true");
    eventually(BOUND, || status(&fleet, &next) == "completed");
    assert!(inspect::job(fleet.hub(), &id)["stopped_at"].is_null());
    let refused = ada.run(["job", "retry", &id]).code(4);
    assert!(refused.stderr().contains("has not confirmed that it stopped"), "{refused}");
    worker.signal("TERM");
    worker.wait().success();
    // Nor do those who look at what the worker left.
    ada.run(["heartbeat"]).success();
    ada.run(UNTIL_IDLE).success();
    assert!(inspect::job(fleet.hub(), &id)["stopped_at"].is_null());
    assert!(send_signal("KILL", fs::read_to_string(&hidden).unwrap().trim()));
}

#[test]
fn a_bug_of_ours_in_one_job_fails_that_job_and_the_worker_goes_on() {
    for point in ["job-prepared", "job-begun", "job-printed", "job-ended"] {
        let fleet = Fleet::new().founded();
        let mut ada = fleet.server("ada");
        let (begun, go) = (mark(&ada, "begun"), mark(&ada, "go"));
        let waits = |name: &str| {
            format!(
                "echo {name}; echo >>{}; while [ ! -e {} ]; do sleep 0.02; done",
                begun.display(),
                go.display()
            )
        };
        let more = ["--max-attempts", "1"];
        let script = if point == "job-ended" { "echo first".to_owned() } else { waits("first") };
        let first = add(&ada, &more, &script);
        ada.set("MUSTER_PANIC", point);
        let mut worker =
            ada.command(["worker", "run", "--allow-any", "--jobs", "2", "--poll", "20ms"]).spawn();
        eventually(BOUND, || status(&fleet, &first) == "dead");
        // The other slot works, and the slot of the first is free again.
        let before = lines(&begun);
        let others = ["second", "third"].map(|name| add(&ada, &more, &waits(name)));
        eventually(BOUND, || lines(&begun) == before + 2);
        fs::write(&go, "").unwrap();
        eventually(BOUND, || others.iter().all(|id| status(&fleet, id) == "completed"));
        let job = inspect::job(fleet.hub(), &first);
        assert_eq!(job["reason"], "worker_system_failure", "{point}: {job}");
        assert!(job["error_message"].as_str().unwrap().contains("a bug in git-muster"), "{point}: {job}");
        worker.signal("TERM");
        let run = worker.wait().success();
        assert!(run.stderr().contains("this is a bug in git-muster"), "{run}");
    }
}

#[test]
fn a_worker_that_ended_as_it_was_meant_to_is_told_as_stopped_until_it_begins_again() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let listed = || ada.run(["worker", "list", "--json"]).success().json()[0].clone();
    ada.run(UNTIL_IDLE).success();
    let idle = listed();
    assert_eq!((&idle["worker"], &idle["life"]), (&"stopped".into(), &"stopped".into()), "{idle}");
    assert_eq!(idle["worker_stopped"], "there was no job for 100ms", "{idle}");
    let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "20ms"]).spawn();
    eventually(BOUND, || listed()["worker"] == "fresh");
    assert!(listed()["worker_stopped"].is_null());
    worker.signal("TERM");
    worker.wait().success();
    assert_eq!(listed()["worker_stopped"], "it was asked to end");
    // The server's own heartbeats are judged as ever, from the next second on.
    eventually(BOUND, || {
        ada.run(["heartbeat"]).success();
        listed()["life"] == "fresh"
    });
    let beats = listed();
    assert_eq!((&beats["worker"], &beats["life"]), (&"stopped".into(), &"fresh".into()), "{beats}");
    // What was killed has not stopped.
    let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "20ms"]).spawn();
    eventually(BOUND, || listed()["worker"] == "fresh");
    worker.signal("KILL");
    worker.wait().killed_by(9);
    assert_eq!(listed()["worker"], "fresh");
    ada.run(["worker", "drain"]).success();
    ada.run(["worker", "run", "--allow-any", "--poll", "20ms"]).success();
    let shown = ada.run(["worker", "show"]).success();
    assert!(
        shown.stdout().contains("stopped, ") && shown.stdout().contains(": its server is being drained"),
        "{shown}"
    );
}

#[test]
fn a_source_is_checked_out_whatever_format_the_users_git_prefers() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    for (format, length) in [("sha1", 40), ("sha256", 64)] {
        let source = ada.directory().join(format);
        let shown = source.to_str().unwrap().to_owned();
        let format = format!("--object-format={format}");
        ada.program("git").args(["init", "-q", "-b", "main", &format, &shown]).run().success();
        let who =
            ["-c", "user.name=x", "-c", "user.email=x@x.example", "commit", "-q", "--allow-empty", "-m", "x"];
        ada.program("git").args(["-C", &shown]).args(who).run().success();
        for preferred in ["sha256", "sha1"] {
            // Each time a copy of its own is begun.
            let cache = ada.directory().join(format!("cache-{preferred}-{length}"));
            ada.set("XDG_CACHE_HOME", &cache);
            ada.set("GIT_DEFAULT_HASH", preferred);
            let id = add(&ada, &["--branch", "main"], "git log -1 --format=%H");
            ada.run(["job", "run", "--allow-any", "--source", &shown]).success();
            let job = inspect::job(fleet.hub(), &id);
            assert_eq!(job["built_commit"].as_str().map(str::len), Some(length), "{preferred}: {job}");
        }
    }
}

#[test]
fn a_folder_that_its_job_renamed_is_removed_all_the_same() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let place = ada.directory().join("jobs");
    let words = ["job", "run", "--allow-any", "--work-dir", place.to_str().unwrap()];
    for script in ["mv ../../*-1 ../../renamed", "mkdir ../../x; mv ../../*-1 ../../x/y; ln -s / ../../z"] {
        let id = add(&ada, &[], script);
        ada.run(words).success();
        assert_eq!(status(&fleet, &id), "completed");
        let left: Vec<_> =
            fs::read_dir(place.join("ada")).unwrap().flatten().map(|one| one.file_name()).collect();
        assert!(left.iter().all(|name| name == "x"), "{left:?}");
    }
    assert_eq!(fs::read_dir(place.join("ada/x")).unwrap().count(), 1, "what is not ours stays");
}

/// Many programs end with 0 when they are asked to end: that is no success of the job.
#[test]
fn what_was_stopped_is_not_completed_although_it_ends_with_zero() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let begun = mark(&ada, "begun");
    let id = add(&ada, &[], &format!("trap 'exit 0' TERM; echo >{}; sleep 60 & wait", begun.display()));
    let mut worker = ada.command(["job", "run", "--allow-any"]).spawn();
    eventually(BOUND, || lines(&begun) == 1);
    for words in ["may finish within", "goes back to the queue"] {
        // Two at once are one wish.
        eventually(BOUND, || {
            worker.signal("TERM");
            worker.stderr().contains(words)
        });
    }
    worker.wait().code(143);
    let job = inspect::job(fleet.hub(), &id);
    assert_eq!((job["status"].as_str(), job["attempts"].as_u64()), (Some("queued"), Some(0)));
}

#[test]
fn the_folder_that_jobs_run_in_may_hold_what_is_dear_to_somebody() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (place, dear) = (mark(&ada, "place"), mark(&ada, "place/ada/dear"));
    fs::create_dir_all(dear.parent().unwrap()).unwrap();
    fs::write(&dear, "dear").unwrap();
    let words = ["job", "run", "--allow-any", "--work-dir", place.to_str().unwrap()];
    add(&ada, &[], "mkdir -p a/b; touch a/b/c; chmod 555 a/b a");
    ada.run(words).success();
    add(&ada, &[], "touch kept");
    ada.run(words.iter().chain(&["--keep"])).success();
    let entries = || fs::read_dir(dear.parent().unwrap()).unwrap().count();
    assert_eq!(entries(), 2);
    ada.run(words).code(3);
    assert_eq!((entries(), fs::read_to_string(&dear).unwrap().as_str()), (1, "dear"));
}

#[test]
fn a_log_outlives_fifty_others_and_a_hub_that_was_away() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (begun, go) = (mark(&ada, "begun"), mark(&ada, "go"));
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", go.display());
    let long = add(&ada, &[], &format!("echo long; echo >{}; {wait}", begun.display()));
    let line = serde_json::json!({"command": ["true"]});
    let file = mark(&ada, "jobs.jsonl");
    fs::write(&file, format!("{line}\n").repeat(53)).unwrap();
    let mut worker = ada.command(["worker", "run", "--allow-any", "--jobs", "4", "--poll", "20ms"]).spawn();
    let is_there = || ada.run(["job", "logs", &long]).stdout().ends_with(" long\n");
    eventually(BOUND, is_there);
    ada.run(["job", "add", "--from", file.to_str().unwrap()]).success();
    // On the hub, not in words: a write under way would make folders where the hub was.
    eventually(BOUND, || {
        let document = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
        document["jobs"].as_array().unwrap().iter().filter(|job| job["status"] == "completed").count() == 53
    });
    assert!(is_there(), "that of a job at work stays");
    fleet.hub().go_down();
    fs::write(&go, "").unwrap();
    eventually(BOUND, || worker.stderr().contains("is not reported yet"));
    fleet.hub().come_back();
    eventually(BOUND, || status(&fleet, &long) == "completed");
    worker.signal("TERM");
    worker.wait().success();
    assert!(ada.run(["job", "logs", &long]).success().stdout().ends_with(" long\n"));
    let logs = fleet.hub().git(["ls-tree", "--name-only", "logs-ada", "ada/logs/"]);
    assert_eq!(logs.lines().count(), 50, "{logs}");
}

/// What others wrote into the queue ends its own job at most.
#[test]
fn hostile_jobs_stop_nobody() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let hostile = [
        serde_json::json!({"id": "spent", "status": "queued", "priority": 1, "token": u64::MAX, "command": ["true"]}),
        serde_json::json!({"id": "zero", "status": "queued", "priority": 1, "command": ["echo", "a\u{0}b"]}),
        serde_json::json!({"id": "long", "status": "queued", "priority": 1, "command": ["echo", "x".repeat(200_000)]}),
        serde_json::json!({"id": "told", "status": "queued", "priority": 1, "description": "x".repeat(300_000), "command": ["true"]}),
        serde_json::json!({"id": "untold", "status": "queued", "priority": 2, "command": ["true"], "produces": ["password=hunter2hunter2"]}),
        serde_json::json!({"id": "hasty", "status": "queued", "priority": 2, "timeout_seconds": 0, "max_attempts": 1, "command": ["sleep", "60"]}),
    ];
    let document = serde_json::json!({"jobs": hostile}).to_string();
    fleet.hub().put(MAIN, &[("coordination/jobs.json", document.as_bytes())], "by hand");
    let good = add(&ada, &["--priority", "low"], "true");
    let run = ada.run(UNTIL_IDLE).success();
    assert!(!run.stderr().contains("nothing is claimed"), "{run}");
    assert_eq!(status(&fleet, &good), "completed");
    for (id, expected, reason) in [
        ("spent", "queued", None),
        ("zero", "failed", Some("script_failure")),
        ("long", "failed", Some("script_failure")),
        ("told", "completed", None),
        ("untold", "failed", Some("script_failure")),
        ("hasty", "dead", Some("timeout")),
    ] {
        let job = inspect::job(fleet.hub(), id);
        assert_eq!((job["status"].as_str(), job["reason"].as_str()), (Some(expected), reason), "{id}");
    }
}

#[test]
fn a_worker_and_heartbeats_of_its_server_do_not_contradict_each_other() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (begun, go) = (mark(&ada, "begun"), mark(&ada, "go"));
    add(
        &ada,
        &[],
        &format!("echo >{}; while [ ! -e {} ]; do sleep 0.02; done", begun.display(), go.display()),
    );
    let worker = ada.command(["job", "run", "--allow-any", "--interval", "3s"]).spawn();
    eventually(BOUND, || lines(&begun) == 1);
    let beat = ada.run(["heartbeat", "--interval", "2s"]).success();
    assert!(beat.stdout().contains("the worker of `ada` sends its heartbeats"), "{beat}");
    ada.run(["heartbeat", "run"]).code(4);
    let beat = || inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    let first = beat();
    assert_eq!(first["interval_seconds"], 3);
    // The worker goes on by itself.
    eventually(BOUND, || beat()["sequence"].as_u64() > first["sequence"].as_u64());
    fs::write(&go, "").unwrap();
    worker.wait().success();
    // What a worker promises of its own beats is nothing that the cron line was told.
    ada.run(["heartbeat", "--interval", "5m"]).success();
    ada.run(UNTIL_IDLE).success();
    assert_eq!(beat()["interval_seconds"], 300);
}

#[test]
fn one_job_is_not_waited_for_where_nothing_may_be_claimed() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let id = add(&ada, &[], "true");
    let full = ada.run(["job", "run", "--allow-any", "--free-min", "17592186044416"]).code(4);
    assert!(full.stderr().contains("MiB are free where jobs run"), "{full}");
    assert_eq!(status(&fleet, &id), "queued");
}

/// Jobs that end while the hub is away, and a worker that ends before it is back: their ids, and the file in
/// which each left a line.
fn ended_while_the_hub_is_away(fleet: &Fleet, ada: &Host, count: usize) -> (Vec<String>, PathBuf) {
    let (effect, go) = (mark(ada, "effect"), mark(ada, "go"));
    let script =
        format!("until test -e {}; do sleep 0.05; done; echo done >>{}", go.display(), effect.display());
    let jobs: Vec<String> = (0..count).map(|_| add(ada, &[], &script)).collect();
    let slots = count.to_string();
    let mut worker =
        ada.command(["worker", "run", "--allow-any", "--poll", "20ms", "--jobs", &slots]).spawn();
    eventually(BOUND, || jobs.iter().all(|id| status(fleet, id) == "running"));
    fleet.hub().go_down();
    fs::write(&go, "").unwrap();
    eventually(BOUND, || worker.stderr().matches("is not reported yet").count() == count);
    worker.signal("TERM");
    let run = worker.wait().success();
    assert!(run.stderr().contains("the next worker or heartbeat of this server sends it"), "{run}");
    fleet.hub().come_back();
    let kept: Vec<serde_json::Value> = ada.unsettled().as_array().unwrap().clone();
    assert_eq!(kept.len(), count, "{kept:?}");
    assert!(jobs.iter().all(|id| kept.iter().any(|kept| kept["operation"]["job"] == **id)), "{kept:?}");
    (jobs, effect)
}

#[test]
fn an_end_that_could_not_be_reported_is_kept_and_sent_by_the_next_sign_of_life() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (jobs, effect) = ended_while_the_hub_is_away(&fleet, &ada, 3);
    let op = ada.unsettled()[0]["op"].as_str().unwrap().to_owned();
    ada.run(["op", "resume", &op]).success();
    assert_eq!(jobs.iter().filter(|id| status(&fleet, id) == "completed").count(), 1);
    let run = ada.run(["heartbeat"]).success();
    assert_eq!(run.stderr().matches("is reported now").count(), 2, "{run}");
    assert!(jobs.iter().all(|id| status(&fleet, id) == "completed"));
    assert_eq!((ada.unsettled(), lines(&effect)), (serde_json::json!([]), 3));
}

#[test]
fn an_end_that_could_not_be_reported_is_sent_by_the_next_worker_or_refused() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let (jobs, effect) = ended_while_the_hub_is_away(&fleet, &ada, 2);
    // Of one of them others have decided meanwhile.
    let taken = ["job", "requeue", &jobs[1], "--holder-lost", "--reason", "its machine is gone"];
    bob.run(taken).success();
    let run = ada.run(UNTIL_IDLE).success();
    assert!(run.stderr().contains(&format!("job `{}`, which could not be reported", jobs[0])), "{run}");
    assert!(run.stderr().contains(&format!("cannot complete job `{}`", jobs[1])), "{run}");
    assert!(!run.stderr().contains("it is lost"), "{run}");
    assert_eq!((status(&fleet, &jobs[0]).as_str(), ada.unsettled()), ("completed", serde_json::json!([])));
    assert!(lines(&effect) <= 3, "only what was given up is done again");
}

#[test]
fn a_kept_end_that_no_hub_takes_as_it_is_fails_its_job_and_is_not_run_again() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (jobs, effect) = ended_while_the_hub_is_away(&fleet, &ada, 1);
    let op = ada.unsettled()[0]["op"].as_str().unwrap().to_owned();
    let file = ada.place("XDG_STATE_HOME").join(format!("git-muster/ops/{op}.json"));
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    kept["operation"]["report"]["message"] = "AKIAIOSFODNN7QXWMPLE".into();
    fs::write(&file, kept.to_string()).unwrap();
    let run = ada.run(["heartbeat"]).success();
    assert!(run.stderr().contains("an AWS access key"), "{run}");
    let job = inspect::job(fleet.hub(), &jobs[0]);
    assert_eq!((&job["status"], &job["reason"]), (&"failed".into(), &"script_failure".into()), "{run}");
    assert!(job["error_message"].as_str().unwrap().starts_with("its end could not be told"), "{job}");
    ada.run(UNTIL_IDLE).success();
    assert_eq!((ada.unsettled(), lines(&effect)), (serde_json::json!([]), 1));
}

#[test]
fn a_worker_whose_claims_are_of_an_ended_session_begins_another() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat"]).success();
    let session: serde_json::Value = serde_json::from_slice(&fs::read(ada.session()).unwrap()).unwrap();
    let mut said = inspect::document(fleet.hub(), MAIN, "ada/status.json");
    // As others left it, and the heartbeats that told it were removed since.
    said["ended_sessions"] = serde_json::json!([session["incarnation"], "another one"]);
    fleet.hub().put(MAIN, &[("ada/status.json", &said.to_string())], "by hand");
    let job = add(&ada, &[], "true");
    let run = ada.run(UNTIL_IDLE).success();
    assert!(run.stderr().contains("a new session begins"), "{run}");
    assert_eq!(status(&fleet, &job), "completed", "{run}");
}

#[test]
fn a_job_of_a_server_that_is_cut_off_is_killed_before_others_may_have_it_whatever_its_grace() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let (at_work, told) = (mark(&ada, "at-work"), mark(&ada, "told"));
    let script = format!(
        "trap 'echo told >>{}' TERM; while :; do echo at work >>{}; sleep 0.1; done",
        told.display(),
        at_work.display()
    );
    let id = add(&ada, &["--timeout", "1h"], &script);
    let words = ["worker", "run", "--allow-any", "--interval", "2", "--grace", "60s"];
    let mut worker = ada.command(words).spawn();
    eventually(BOUND, || lines(&at_work) > 0);
    fleet.hub().go_down();
    eventually(BOUND, || lines(&told) > 0);
    let since = std::time::Instant::now();
    eventually(BOUND, || worker.stderr().contains(&format!("job `{id}` failed: lost")));
    // Four intervals less what is trusted of them, and some time for a busy machine.
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    fleet.hub().come_back();
    worker.signal("TERM");
    worker.wait().success();
}

#[test]
fn a_registry_that_cannot_be_read_ends_no_session_that_has_beaten() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let (go, beats) = (mark(&ada, "go"), ["heartbeat", "--interval", "1s"]);
    let id = add(&ada, &[], &format!("until test -e {}; do sleep 0.05; done", go.display()));
    let mut worker =
        ada.command(["worker", "run", "--allow-any", "--interval", "3", "--poll", "20ms"]).spawn();
    eventually(BOUND, || status(&fleet, &id) == "running");
    fleet.hub().put(MAIN, &[("coordination/servers.json", "<<<<<<< HEAD\n")], "a merge");
    let sequence = || {
        let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
        beat["sequence"].as_u64().unwrap()
    };
    let before = sequence();
    // More than a session lasts without a sign of life; shorter ones end by themselves on a busy machine.
    eventually(BOUND, || sequence() > before + 4);
    assert_eq!(status(&fleet, &id), "running");
    // Who has never beaten is no member that anybody knows of.
    let refused = bob.run(beats).code(1);
    assert!(refused.stderr().contains("servers.json"), "{refused}");
    fs::write(&go, "").unwrap();
    eventually(BOUND, || status(&fleet, &id) == "completed");
    worker.signal("TERM");
    worker.wait().success();
}

#[test]
fn a_worker_that_was_to_run_one_job_is_told_to_have_ended() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat"]).success();
    for (words, code) in
        [(&["job", "run", "--allow-any"][..], 0), (&["worker", "run", "--allow-any", "--once"], 0)]
    {
        add(&ada, &[], "true");
        ada.run(words).code(code);
        ada.run(["heartbeat"]).success();
        let seen = ada.run(["worker", "list", "--json"]).success().json();
        assert_eq!(seen[0]["worker"], "stopped", "{seen}");
        let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
        assert_eq!(beat["worker_stopped"]["why"], "it was to run one job", "{beat}");
        assert!(beat["worker_interval_seconds"].is_null(), "{beat}");
    }
    // So is one that was refused what it asked for.
    ada.run(["job", "run", "--allow-any", "no-such-job"]).code(3);
    let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    assert!(beat["worker_stopped"].is_object(), "{beat}");
    // Cron will call it again: what waits does not wait for nobody.
    let id = add(&ada, &[], "true");
    let health = ada.run(["health"]).success();
    assert!(!health.stdout().contains("no worker runs"), "{health}");
    let explained = ada.run(["job", "explain", &id]).success();
    assert!(!explained.stdout().contains("no worker runs"), "{explained}");
}
