//! Pushes that go wrong: applied and reported failed, cut, refused, hanging, or to a hub that is not there.
//!
//! A hub that is reached by path is pushed to by the git program as soon as it has hooks, so the same
//! faults are made there as behind ssh and http.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Fleet, Host, MAIN, Run, Transport, eventually, inspect};

/// The time budget given to commands that cannot succeed, and what a busy machine may add to it.
const BUDGET: &str = "3s";
const IN_TIME: Duration = Duration::from_secs(7);

/// Where hooks run, for hubs that have them.
const HOOKED: [Transport; 3] = [Transport::Path, Transport::Ssh, Transport::Http];

/// Runs a command under the time budget; what came of it and whether it kept to the budget.
#[track_caller]
fn in_time(host: &Host, args: &[&str]) -> Run {
    let start = Instant::now();
    let run = host.command(["--timeout", BUDGET]).args(args).run();
    assert!(start.elapsed() < IN_TIME, "it took {:?}\n{run}", start.elapsed());
    run
}

/// The id of the operation whose outcome `run` does not know, if so.
#[track_caller]
pub(super) fn unknown(run: &Run) -> Option<String> {
    if run.exit_code() != Some(9) {
        return None;
    }
    let error = run.stderr().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).next_back();
    let op = error.and_then(|error| error["op"].as_str().map(str::to_owned));
    Some(op.unwrap_or_else(|| run.fail("exit status 9 and no op id")))
}

fn rows(fleet: &Fleet, table: &str) -> usize {
    let document = inspect::document(fleet.hub(), MAIN, &format!("coordination/{table}.json"));
    document[table].as_array().unwrap().len()
}

fn commits(fleet: &Fleet) -> usize {
    inspect::log(fleet.hub(), MAIN).len()
}

/// Hooks that end their parent when the branch has moved: before the answer is sent, and after.
const KILLERS: [(&str, &str); 2] = [
    ("reference-transaction", "#!/bin/sh\n[ \"$1\" = committed ] && kill -9 $PPID\nexit 0\n"),
    ("post-receive", "#!/bin/sh\nkill -9 $PPID\n"),
];

fn applied_and_reported_failed(transport: Transport) {
    let fleet = Fleet::over(transport).founded();
    let hosts = [fleet.server("ada"), fleet.server_in_clone("bob")];
    for (host, (hook, script)) in hosts.iter().zip(KILLERS) {
        fleet.hub().install_hook(hook, script);
        for args in [
            vec!["job", "add", "--type", "test"],
            vec!["message", "send", "--to", "all", "--subject", "hello"],
            vec!["job", "claim"],
            vec!["lock", "acquire", host.name()],
        ] {
            let before = commits(&fleet);
            let run = host.command(["--json"]).args(&args).run();
            if let Some(op) = unknown(&run) {
                host.run(["op", "status", &op]).success();
            } else {
                run.success();
            }
            assert_eq!(commits(&fleet), before + 1, "{transport:?} {args:?}: one effect");
        }
        assert_eq!(host.unsettled(), serde_json::json!([]), "{transport:?}: everything is settled");
    }
    assert_eq!((rows(&fleet, "jobs"), rows(&fleet, "messages")), (2, 2));
    let locks = inspect::document(fleet.hub(), MAIN, "coordination/locks.json");
    assert_eq!((&locks["locks"]["ada"]["token"], &locks["locks"]["bob"]["token"]), (&1.into(), &1.into()));
    assert!(inspect::ops_in_history(fleet.hub(), MAIN).values().all(|count| *count == 1));
    inspect::assert_clone_is_clean(hosts[1].directory());
}

#[test]
fn an_operation_can_be_dropped() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = fleet.server("ada");
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    let run = in_time(&ada, &["--json", "job", "add", "--type", "test"]);
    let op = unknown(&run).unwrap_or_else(|| run.fail("nobody can tell what became of it"));
    ada.run(["op", "drop", &op, "--dry-run"]).success();
    ada.run(["op", "drop", &op]).success();
    assert_eq!(ada.unsettled(), serde_json::json!([]));
    ada.run(["op", "drop", &op]).code(3);
    fs::remove_file(fleet.hub().path().join("hooks/pre-receive")).unwrap();
    ada.run(["op", "resume", &op]).code(3);
    assert_eq!(rows(&fleet, "jobs"), 0);
}

#[test]
fn a_push_that_is_applied_and_reported_failed_has_one_effect() {
    Transport::each(&HOOKED, applied_and_reported_failed);
}

fn cut_before_it_is_applied(transport: Transport) {
    let fleet = Fleet::over(transport).founded();
    let ada = fleet.server("ada");
    let hook = fleet.hub().path().join("hooks/pre-receive");
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    let before = commits(&fleet);
    let run = in_time(&ada, &["--json", "job", "add", "--type", "test"]);
    let op = unknown(&run).unwrap_or_else(|| run.fail("nobody can tell what became of it"));
    assert_eq!(commits(&fleet), before);
    ada.run(["op", "status", &op]).code(3);
    let listed = ada.run(["op", "list"]).success().stdout().to_owned();
    assert!(listed.contains(&op) && listed.contains("add_jobs"), "{listed}");
    fs::remove_file(hook).unwrap();
    ada.run(["op", "resume", &op]).success();
    assert_eq!((commits(&fleet), rows(&fleet, "jobs")), (before + 1, 1));
    ada.run(["op", "status", &op]).success();
    // It happened: asking again changes nothing.
    ada.run(["op", "resume", &op]).success();
    assert_eq!(commits(&fleet), before + 1);
    assert_eq!(inspect::ops_in_history(fleet.hub(), MAIN)[&op], 1);
}

#[test]
fn a_push_that_is_cut_before_it_is_applied_can_be_resumed() {
    Transport::each(&HOOKED, cut_before_it_is_applied);
}

/// A hook that counts the pushes, says `words` and refuses.
fn refusing(fleet: &Fleet, hook: &str, words: &str) {
    let count = fleet.hub().path().join("pushes");
    fs::write(&count, "").unwrap();
    let script = format!("#!/bin/sh\necho push >>'{}'\necho '{words}' >&2\nexit 1\n", count.display());
    fleet.hub().install_hook(hook, &script);
}

fn refused(transport: Transport) {
    let fleet = Fleet::over(transport).founded();
    let hosts = [fleet.server("ada"), fleet.server_in_clone("bob")];
    let tip = fleet.hub().tip(MAIN);
    for (hook, words) in [
        ("pre-receive", "the freeze lasts until Monday"),
        ("pre-receive", "GH006: Protected branch update failed for refs/heads/main"),
        ("update", "you shall not pass"),
    ] {
        for host in &hosts {
            refusing(&fleet, hook, words);
            let run = host.run(["job", "add", "--type", "test"]).code(4);
            assert!(run.stderr().contains(words), "{transport:?}: the hub's own words are passed on\n{run}");
            let pushes = fs::read_to_string(fleet.hub().path().join("pushes")).unwrap();
            assert_eq!(pushes, "push\n", "{transport:?} {hook}: one push and no other");
            assert_eq!(host.unsettled(), serde_json::json!([]));
        }
        fs::remove_file(fleet.hub().path().join("hooks").join(hook)).unwrap();
    }
    assert_eq!(fleet.hub().tip(MAIN), tip, "nothing was written");
    inspect::assert_clone_is_clean(hosts[1].directory());
    for host in &hosts {
        host.run(["job", "add", "--type", "test"]).success();
    }
}

#[test]
fn a_hub_that_refuses_is_asked_once_and_quoted() {
    Transport::each(&HOOKED, refused);
}

fn unreachable(transport: Transport) {
    let fleet = Fleet::over(transport).founded();
    let hosts = [
        fleet.server("warm"),
        fleet.server_in_clone("clone"),
        // Never saw the hub.
        fleet.host("cold"),
    ];
    let tip = fleet.hub().tip(MAIN);
    fleet.hub().go_down();
    for host in &hosts {
        for args in [&["job", "add", "--type", "test"][..], &["lock", "acquire", "gate"], &["job", "list"]] {
            let run = in_time(host, args).code(7);
            assert_eq!(run.stdout(), "");
            assert!(run.stderr().contains("cannot be reached"), "{run}");
        }
        assert_eq!(host.unsettled(), serde_json::json!([]));
    }
    inspect::assert_clone_is_clean(hosts[1].directory());
    fleet.hub().come_back();
    assert_eq!(fleet.hub().tip(MAIN), tip, "nothing was written");
    for host in &hosts {
        host.run(["job", "add", "--type", "test"]).success();
    }
    assert_eq!(rows(&fleet, "jobs"), 3);
    inspect::assert_clone_is_clean(hosts[1].directory());
}

#[test]
fn a_hub_that_is_away_is_reported_in_time_and_found_again() {
    Transport::each(&Transport::ALL, unreachable);
}

#[test]
fn a_hub_that_never_answers_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fleet = Fleet::new();
    let give_up = |scheme: &str| {
        let mut host = fleet.host(scheme);
        host.set("MUSTER_HUB", format!("{scheme}://127.0.0.1:{port}/hub.git"));
        in_time(&host, &["job", "add", "--type", "test"]).code(7);
        in_time(&host, &["job", "list"]).code(7);
        assert_no_process_of(&host);
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| give_up("http"));
        give_up("git");
        other.join().unwrap();
    });
}

/// A hook that says where it is, then waits until it may go on.
pub(super) fn gated(fleet: &Fleet) -> impl Fn(&str) -> std::path::PathBuf {
    let root = fleet.hub().path().to_owned();
    let (reached, open) = (root.join("gate.reached"), root.join("gate.open"));
    let script = format!(
        "#!/bin/sh\necho >>'{}'\nfor _ in $(seq 600); do [ -e '{}' ] && exit 0; sleep 0.1; done\nexit 1\n",
        reached.display(),
        open.display()
    );
    fleet.hub().install_hook("pre-receive", &script);
    move |what| root.join(format!("gate.{what}"))
}

/// Waits until no process is left of which `is_meant` is true, given its folder below `/proc`.
#[track_caller]
fn assert_no_process(is_meant: impl Fn(&Path) -> bool) {
    let bound = Duration::from_secs(10);
    eventually(bound, || !fs::read_dir("/proc").unwrap().flatten().any(|entry| is_meant(&entry.path())));
}

/// No process that was started in the environment of `host` stays behind.
#[track_caller]
pub(super) fn assert_no_process_of(host: &Host) {
    let home = format!("HOME={}\0", host.place("HOME").display());
    assert_no_process(|process| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.windows(home.len()).any(|window| window == home.as_bytes())
    });
}

/// Whatever receives pushes in the hub comes to its end.
#[track_caller]
pub(super) fn assert_nobody_works_in(hub: &Path) {
    assert_no_process(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(hub)));
}

fn hanging(transport: Transport) {
    let fleet = Fleet::over(transport).founded();
    let ada = fleet.server("ada");
    let before = commits(&fleet);
    let gate = gated(&fleet);
    let run = in_time(&ada, &["--json", "job", "add", "--type", "test"]);
    let op = unknown(&run).unwrap_or_else(|| run.fail("nobody can tell what became of it"));
    assert!(gate("reached").exists(), "the push was under way");
    assert_no_process_of(&ada);
    // Behind a server the push may still be applied, as soon as the hook lets it.
    fs::write(gate("open"), "").unwrap();
    ada.run(["op", "resume", &op]).success();
    assert_nobody_works_in(fleet.hub().path());
    assert_eq!((commits(&fleet), rows(&fleet, "jobs")), (before + 1, 1), "{transport:?}: one effect");
    assert_eq!(inspect::ops_in_history(fleet.hub(), MAIN)[&op], 1);
    ada.run(["op", "status", &op]).success();
}

#[test]
fn a_push_that_hangs_is_given_up_in_time_and_settled_later() {
    Transport::each(&HOOKED, hanging);
}

#[test]
fn the_words_of_a_login_are_no_refusal_of_a_push_that_landed() {
    let fleet = Fleet::over(Transport::Path).founded();
    let mut ada = fleet.server("ada");
    // Whoever is greeted before git speaks; with `away` in the hub nobody gets further.
    let script = ada.directory().join("ssh");
    let away = fleet.hub().path().join("away");
    let text = format!(
        "echo \"$GREETING\" >&2\n[ -e '{}' ] && {{ echo 'Connection to h closed by remote host.' >&2; exit 255; }}\n\
         exec bash -c \"${{@: -1}}\"\n",
        away.display()
    );
    fs::write(&script, text).unwrap();
    ada.set("GIT_SSH_COMMAND", format!("bash {}", script.display()));
    let hub = format!("ssh://h{}", fleet.hub().path().display());
    let asked = |greeting: &str, line: &str| {
        let words = ["--json", "--hub", &hub, "--hub-timeout", "5s"].into_iter().chain(line.split(' '));
        ada.command(words).env("GREETING", greeting).run()
    };
    for greeting in [
        "warning: authentication failed attempts are logged",
        "fatal: could not read Username for 'https://mirror': terminal prompts disabled",
        "fatal: ref updates aborted by hook",
        "welcome",
    ] {
        let before = commits(&fleet);
        fleet.hub().install_hook(KILLERS[0].0, KILLERS[0].1);
        asked(greeting, "job add --type test").success();
        assert_eq!(commits(&fleet), before + 1, "{greeting}");
        let hook = "#!/bin/sh\n[ \"$1\" = committed ] && { touch away; kill -9 $PPID; }\nexit 0\n";
        fleet.hub().install_hook(KILLERS[0].0, hook);
        let run = asked(greeting, "job add --type test");
        let op = unknown(&run).unwrap_or_else(|| run.fail("nobody can tell what became of it"));
        if !greeting.starts_with("fatal") {
            asked(greeting, "job list").code(7);
        }
        fs::remove_file(&away).unwrap();
        asked(greeting, &format!("op status {op}")).success();
        assert_eq!(commits(&fleet), before + 2, "{greeting}");
    }
}
