//! How many pushes a worker sends, and how often it asks: forges ask for few.

use crate::support::{Fleet, MAIN, Transport, eventually, inspect, need};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Lets the hub note when each push arrives; returns the file.
fn noting_pushes(fleet: &Fleet) -> PathBuf {
    let file = fleet.hub().path().join("pushes");
    fs::write(&file, "").unwrap();
    fleet.hub().install_hook("post-receive", &format!("#!/bin/sh\ndate +%s%3N >>'{}'\n", file.display()));
    file
}

/// When pushes arrived, in milliseconds.
fn pushes(file: &PathBuf) -> Vec<u64> {
    fs::read_to_string(file).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

/// The most pushes within any span of so many milliseconds.
fn most_within(pushes: &[u64], span: u64) -> usize {
    let from = |start: &u64| pushes.iter().filter(|at| (*start..start + span).contains(*at)).count();
    pushes.iter().map(from).max().unwrap_or(0)
}

#[test]
fn a_worker_sends_no_more_pushes_than_it_may_and_completes_its_jobs() {
    for transport in [Transport::Path, Transport::Ssh] {
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.server("ada");
        let jobs: String =
            (0..6).map(|number| format!("{{\"command\":[\"echo\",\"this is {number}\"]}}\n")).collect();
        let added = ada.command(["job", "add", "--from", "-"]).stdin(jobs).run().success();
        let file = noting_pushes(&fleet);
        let words = ["worker", "run", "--allow-any", "--poll", "20ms", "--exit-when-idle", "100ms"];
        let run = ada.command(words).args(["--push-limit", "6/3s"]).run().success();
        assert!(
            run.stderr().contains("finished: 6 completed") || run.stdout().contains("6 completed"),
            "{run}"
        );
        assert_eq!(run.stderr().matches("at most 6 in 3s pushes").count(), 1, "{run}");
        let pushes = pushes(&file);
        assert!(most_within(&pushes, 3000) <= 6, "{transport:?}: {pushes:?}");
        // One sign of life; then a claim and a report for each job, the report with its log; and that it ended.
        assert_eq!(pushes.len(), 1 + 6 * 2 + 1, "{transport:?}: {pushes:?}");
        for (number, id) in added.stdout().lines().enumerate() {
            let log = ada.run(["job", "logs", id]).success();
            assert!(log.stdout().contains(&format!("this is {number}")), "{log}");
        }
        let log = inspect::log(fleet.hub(), MAIN);
        assert!(
            log[0].subject.starts_with("job complete: "),
            "what goes along is not told: {}",
            log[0].subject
        );
    }
}

/// A forge is known by its address alone: git has been told that the address leads to the hub of the test.
#[test]
fn a_forge_is_sent_few_pushes_unless_the_worker_is_told_otherwise() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.host("ada");
    let (forge, config) = ("https://github.com/o/hub.git", ada.place("HOME").join("gitconfig"));
    fs::write(&config, format!("[url \"{}\"]\n\tinsteadOf = {forge}\n", fleet.hub().url())).unwrap();
    ada.set("GIT_CONFIG_GLOBAL", &config);
    ada.set("MUSTER_HUB", forge);
    ada.run(["join", forge, "--as", "ada"]).success();
    let jobs = || {
        let jobs = "{\"command\":[\"true\"]}\n".repeat(4);
        ada.command(["job", "add", "--from", "-"]).stdin(jobs).run().success();
    };
    let words = ["worker", "run", "--allow-any", "--poll", "20ms"];
    jobs();
    let mut worker = ada.command(words).spawn();
    eventually(Duration::from_secs(60), || worker.stderr().contains("at most 6 in 1m pushes"));
    worker.signal("TERM");
    worker.wait().success();
    jobs();
    let free = ada.command(words).args(["--push-limit", "none", "--exit-when-idle", "100ms"]);
    let run = free.run().success();
    assert!(!run.stderr().contains("at most"), "{run}");
}

/// A git that notes what it is asked for.
fn noting_git(folder: &std::path::Path) -> (PathBuf, PathBuf) {
    let (program, file) = (folder.join("noting-git"), folder.join("asked"));
    let real = need::find("git").unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" >>'{}'\nexec '{}' \"$@\"\n", file.display(), real.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (program, file)
}

/// How often the hub was asked for something.
fn fetches(asked: &std::path::Path) -> usize {
    let asked = fs::read_to_string(asked).unwrap();
    asked.lines().filter(|line| line.contains("fetch") || line.contains("ls-remote")).count()
}

#[test]
fn what_jobs_made_is_listed_with_one_look_for_each_server_however_many_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (git, asked) = noting_git(folder.path());
    let fleet = Fleet::over(Transport::Ssh).with_git(&git).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let looks = |builds: usize| {
        for _ in 0..builds {
            ada.run(["job", "add", "--", "sh", "-c", "echo >$MUSTER_ARTIFACTS/a"]).success();
        }
        ada.run(["worker", "run", "--allow-any", "--poll", "20ms", "--exit-when-idle", "100ms"]).success();
        fs::write(&asked, "").unwrap();
        let listed = bob.run(["artifact", "list", "--json"]).success().json();
        (listed.as_array().unwrap().len(), fetches(&asked))
    };
    let (few, many) = (looks(1), looks(5));
    assert_eq!((few.0, many.0), (1, 6));
    assert!(few.1 > 0 && many.1 <= few.1, "{few:?} {many:?}");
}

#[test]
fn an_idle_worker_pushes_signs_of_life_only_and_fetches_once_a_look() {
    let folder = tempfile::tempdir().unwrap();
    let (git, asked) = noting_git(folder.path());
    let fleet = Fleet::over(Transport::Ssh).with_git(&git).founded();
    let ada = fleet.server("ada");
    // Who wrote a moment ago, others shortly before, asks before each push; ada is not the last.
    drop(fleet.server("bob"));
    let (before, file) = (fleet.hub().tip(MAIN), noting_pushes(&fleet));
    fs::write(&asked, "").unwrap();
    let start = Instant::now();
    let words = ["worker", "run", "--allow-any", "--poll", "500ms", "--interval", "1s"];
    ada.command(words).args(["--push-limit", "90/1m", "--exit-when-idle", "4s"]).run().success();
    let spent = start.elapsed();
    assert_eq!(fleet.hub().tip(MAIN), before, "nothing but signs of life");
    let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    assert_eq!(Some(u64::try_from(pushes(&file).len()).unwrap()), beat["sequence"].as_u64());
    let fetches = fetches(&asked);
    let looks = spent.as_millis().div_ceil(Duration::from_millis(500).as_millis()) + 2;
    assert!(
        fetches > 0 && fetches <= usize::try_from(looks).unwrap(),
        "{fetches} in {spent:?}:\n{}",
        fs::read_to_string(&asked).unwrap()
    );
}
