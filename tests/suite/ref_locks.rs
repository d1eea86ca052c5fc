//! Locks of refs in a hub on this disk: who stalls with one in hand loses nothing, who died with one
//! stops nobody, and what nobody can know is said and left to a person.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Fleet, Host, MAIN, Run, Transport, eventually, inspect, need};

/// For how long a stalled program stands still: longer than anybody took for the life of a lock once.
const STALL: Duration = Duration::from_secs(7);

/// The time of a command that is not to wait for the end of a stall.
const BRIEF: &str = "1s";

/// How long a command may take that finds what a killed one left: what it takes by itself, and no wait.
const AT_ONCE: Duration = Duration::from_secs(3);

fn acquire(host: &Host, lock: &str, timeout: &str) -> Run {
    host.command(["lock", "acquire", lock]).env("MUSTER_TIMEOUT", timeout).run()
}

/// The part of a hint that is to be given to a shell.
#[track_caller]
fn hinted(run: &Run, begins: &str) -> String {
    let line = run.stderr().split('`').find(|part| part.starts_with(begins)).map(str::to_owned);
    line.unwrap_or_else(|| run.fail(&format!("no hint begins with `{begins}`")))
}

#[track_caller]
fn given(host: &Host, line: &str) {
    host.program("sh").args(["-c", line]).run().success();
}

/// A clone in which plain git works, with a commit to push.
fn plain_clone(host: &Host) -> std::path::PathBuf {
    let clone = host.directory().join("plain");
    host.git(["clone", "--quiet", &host.hub().url(), "plain"]).success();
    host.git([
        "-C",
        "plain",
        "-c",
        "user.name=p",
        "-c",
        "user.email=p@x.example",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "by plain git",
    ])
    .success();
    clone
}

fn subjects(fleet: &Fleet) -> Vec<String> {
    inspect::log(fleet.hub(), MAIN).into_iter().map(|commit| commit.subject).collect()
}

/// Whether strace is here, and may be used.
fn can_trace(host: &Host) -> bool {
    need::is_here(&["strace"])
        && need::has(
            host.program("strace").args(["-o", "/dev/null", "true"]).run().exit_code() == Some(0),
            "let strace trace processes: `sysctl kernel.yama.ptrace_scope`, or `--cap-add SYS_PTRACE`",
        )
}

#[test]
fn a_push_of_plain_git_that_stalls_in_the_move_of_a_branch_is_waited_for() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    if !can_trace(&ada) {
        return;
    }
    plain_clone(&ada);
    let lock = fleet.hub().path().join("refs/heads/main.lock");
    let before = fleet.hub().tip(MAIN);
    // Where the new value is in the lock and not yet in its place.
    let traced = format!(
        "strace -o /dev/null --inject=rename:delay_enter={}:when=1 git-receive-pack",
        STALL.as_micros()
    );
    let push = ada
        .program("git")
        .args(["-C", "plain", "push", "--quiet", &format!("--receive-pack={traced}"), "origin", "HEAD:main"])
        .spawn();
    eventually(Duration::from_secs(20), || lock.exists());
    let run = acquire(&bob, "brief", BRIEF).code(75);
    assert!(run.stderr().contains("held by `git-receive-pack`, process "), "{run}");
    assert!(run.stderr().contains("nothing was written") && lock.exists(), "{run}");
    assert_eq!(hinted(&run, "rm "), format!("rm {}", lock.display()));
    assert_eq!(fleet.hub().tip(MAIN), before);
    let run = acquire(&bob, "patient", "30s").success();
    assert!(run.stderr().contains("note: waiting for the lock"), "{run}");
    push.wait().success();
    acquire(&ada, "after", "30s").success();
    let told = subjects(&fleet);
    for subject in
        ["by plain git", "lock acquire: patient by bob, token 1", "lock acquire: after by ada, token 1"]
    {
        assert!(told.iter().any(|told| told == subject), "{subject}: {told:?}");
    }
    inspect::assert_hub_is_sound(fleet.hub());
}

/// Stops one of ours in the move of a branch, and lets another come by.
#[test]
fn one_of_us_that_is_stopped_in_the_move_of_a_branch_is_waited_for() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    if !can_trace(&ada) {
        return;
    }
    let lock = fleet.hub().path().join("refs/heads/main.lock");
    let program = env!("CARGO_BIN_EXE_git-muster");
    // Once right after it has the lock, before it compares.
    let trace = format!("strace -o /dev/null --inject=link,linkat:delay_exit={}:when=1", STALL.as_micros());
    // In a shell: strace waits for all children of its process, and the leash is one.
    let stalled =
        ada.program("sh").args(["-c", &format!("{trace} '{program}' lock acquire slow; exit $?")]).spawn();
    eventually(Duration::from_secs(20), || lock.exists());
    let run = acquire(&bob, "brief", BRIEF).code(75);
    assert!(run.stderr().contains("held by `git-muster`, process "), "{run}");
    let run = ada.git(["-C", fleet.hub().path().to_str().unwrap(), "update-ref", "refs/heads/main", "HEAD"]);
    assert_ne!(run.exit_code(), Some(0), "plain git respects it as well");
    acquire(&bob, "patient", "30s").success();
    stalled.wait().success();
    let told = subjects(&fleet);
    for subject in ["lock acquire: patient by bob, token 1", "lock acquire: slow by ada, token 1"] {
        assert!(told.iter().any(|told| told == subject), "{subject}: {told:?}");
    }
    inspect::assert_hub_is_sound(fleet.hub());
}

#[cfg(debug_assertions)]
#[test]
fn a_lock_of_ours_whose_process_was_killed_stops_nobody() {
    for (point, happened) in [("refs-locked", 0), ("ref-moved", 1)] {
        for in_clone in [false, true] {
            let fleet = Fleet::over(Transport::Path).founded();
            let bob = fleet.server("bob");
            let ada = if in_clone { fleet.server_in_clone("ada") } else { fleet.server("ada") };
            let killed = ada.command(["lock", "acquire", "gate"]).env("MUSTER_FAILPOINT", point);
            killed.run().killed_by(9);
            assert_eq!(
                fleet.hub().path().join("refs/heads/main.lock").exists(),
                happened == 0,
                "{point}: the kill fell within the move"
            );
            let start = Instant::now();
            let run = acquire(&bob, "next", "30s").success();
            assert!(start.elapsed() < AT_ONCE, "{point}: {:?}\n{run}", start.elapsed());
            assert_eq!(run.stderr(), "", "{point}");
            let gates = subjects(&fleet).iter().filter(|told| told.starts_with("lock acquire: gate")).count();
            assert_eq!(gates, happened, "{point}");
            ada.run(["status", "set", "idle"]).success();
            if in_clone {
                inspect::assert_clone_is_clean(ada.directory());
            }
            inspect::assert_hub_is_sound(fleet.hub());
        }
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_lock_of_ours_in_a_clone_whose_process_was_killed_stops_nobody() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server_in_clone("ada");
    let in_clone = |name: &str| ada.directory().join(".git/refs").join(name);
    let (mut branch, mut note) = (0, 0);
    // The first move is that of the hub's branch; then come those of the clone.
    for time in 2..=3 {
        let command = ada.command(["status", "set", if time == 2 { "building" } else { "failed" }]);
        command.env("MUSTER_FAILPOINT", format!("refs-locked:{time}")).run().killed_by(9);
        branch += usize::from(in_clone("heads/main.lock").exists());
        note += usize::from(in_clone("remotes/origin/main.lock").exists());
        let start = Instant::now();
        ada.run(["status", "set", "idle"]).success();
        assert!(start.elapsed() < AT_ONCE, "{time}: {:?}", start.elapsed());
        assert!(!in_clone("heads/main.lock").exists() && !in_clone("remotes/origin/main.lock").exists());
        inspect::assert_clone_is_clean(ada.directory());
        let head = ada.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
        assert_eq!(Some(head), fleet.hub().tip(MAIN), "{time}");
    }
    assert_eq!((branch, note), (1, 1), "each lock was left once");
}

#[test]
fn a_lock_of_nobody_that_can_be_seen_is_left_to_a_person() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let lock = fleet.hub().path().join("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let run = acquire(&ada, "gate", BRIEF).code(75);
    assert!(lock.exists() && run.stderr().contains("no process is seen that holds it"), "{run}");
    assert!(run.stderr().contains("is removed when it has not changed for"), "{run}");
    given(&ada, &hinted(&run, "rm "));
    acquire(&ada, "gate", "30s").success();
}

#[test]
fn the_git_that_started_us_is_no_holder() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let lock = fleet.hub().path().join("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap().to_owned();
    let path =
        std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&ada.place("PATH")))).unwrap();
    let hub = fleet.hub().path().display().to_string();
    // By its command line, and by where it runs.
    for (words, place) in [
        (vec!["muster", "--hub", &hub, "lock", "acquire", "gate"], ada.directory()),
        (vec!["muster", "lock", "acquire", "gate"], fleet.hub().path()),
    ] {
        let git = ada.program("git").args(words).env("PATH", &path).env("MUSTER_TIMEOUT", BRIEF);
        let run = git.current_dir(place).run().code(75);
        assert!(run.stderr().contains("no process is seen that holds it"), "{run}");
    }
}

/// Locks in the hub that no write of ours needs are no business of ours.
#[test]
fn other_locks_in_a_hub_are_neither_waited_for_nor_removed() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let names = ["packed-refs.lock", "config.lock", "HEAD.lock", "refs/heads/heartbeat-bob.lock"];
    let locks = names.map(|name| fleet.hub().path().join(name));
    for lock in &locks {
        fs::write(lock, "").unwrap();
    }
    let start = Instant::now();
    for args in [&["job", "add", "--type", "test"][..], &["heartbeat"], &["job", "claim"], &["health"]] {
        ada.run(args).success();
    }
    assert!(start.elapsed() < AT_ONCE * 4, "{:?}", start.elapsed());
    assert!(locks.iter().all(|lock| lock.exists()));
}

/// What may be left of the ref of a branch.
const BROKEN: [&[u8]; 4] =
    [b"", b"39a83a9", b"\0\0\0\0\0\0\0\0", b"not an id, and quite long enough for one\n"];

#[test]
fn a_branch_whose_ref_is_broken_can_be_put_back_by_what_the_error_says() {
    for broken in BROKEN {
        let fleet = Fleet::over(Transport::Path).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        acquire(&ada, "gate", "30s").success();
        ada.run(["heartbeat"]).success();
        let tip = fleet.hub().tip(MAIN).unwrap();
        // One that was killed before its move looks like one that was moved to; one that lost its race does not.
        #[cfg(debug_assertions)]
        bob.command(["job", "add", "--type", "never"]).env("MUSTER_FAILPOINT", "commit").run().killed_by(9);
        let file = fleet.hub().path().join("refs/heads/main");
        break_ref(&file, broken);
        for args in [&["job", "list"][..], &["job", "add", "--type", "test"]] {
            let run = bob.run(args).code(1);
            assert!(run.stderr().contains("is damaged: its file"), "{run}");
            assert_eq!(fs::read(&file).unwrap(), broken, "nothing was written");
        }
        let run = bob.run(["job", "add", "--type", "test"]).code(1);
        let line = hinted(&run, "rm ");
        let named = line.rsplit(' ').next().unwrap().to_owned();
        let found = bob.run(["doctor"]);
        assert!(found.stdout().contains("is damaged"), "{found}");
        given(&bob, &line);
        assert_eq!(fleet.hub().tip(MAIN), Some(named));
        fleet.hub().git(["merge-base", "--is-ancestor", &tip, MAIN]);
        bob.run(["job", "add", "--type", "test"]).success();
        assert!(subjects(&fleet).iter().any(|told| told.starts_with("lock acquire: gate")));
        inspect::assert_hub_is_sound(fleet.hub());
    }
}

/// Puts another file in the place of a ref: an interrupted write goes through a file of its own.
fn break_ref(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}
