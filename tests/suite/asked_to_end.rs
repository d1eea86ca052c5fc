//! Commands that are asked to end, by the key that interrupts, by `timeout` or by a terminal that is closed,
//! over a far side that is slow: what they told is what is in the hub once the far side is done.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::push_faults::{assert_no_process_of, assert_nobody_works_in, gated, unknown};
use crate::support::{Fleet, Host, MAIN, RUN_BOUND, Run, Running, Transport, eventually, inspect};

/// The signals with their numbers.
const SIGNALS: [(&str, i32); 3] = [("INT", 2), ("TERM", 15), ("HUP", 1)];

/// How soon a command that is asked to end does, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(10);

const WRITES: [&[&str]; 7] = [
    &["job", "add", "--type", "test"],
    &["job", "claim", "--start"],
    &["lock", "acquire", "gate"],
    &["message", "send", "--to", "all", "--subject", "hello"],
    &["message", "read"],
    &["status", "set", "idle"],
    &["heartbeat"],
];

/// All that is in the hub, by its branches.
fn tips(fleet: &Fleet) -> Vec<Option<String>> {
    inspect::branches(fleet.hub()).iter().map(|branch| fleet.hub().tip(branch)).collect()
}

/// Asks a command to end, which has to do so soon.
#[track_caller]
fn ask(mut running: Running, signals: &[&str]) -> Run {
    signals.iter().for_each(|signal| running.signal(signal));
    let start = Instant::now();
    let run = running.wait();
    assert!(start.elapsed() < AT_ONCE, "it took {:?}\n{run}", start.elapsed());
    run
}

/// A hub with something for each of [`WRITES`] to do, and the server that does it.
fn filled(transport: Transport) -> (Fleet, Host) {
    let fleet = Fleet::over(transport).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    for _ in WRITES.iter().cycle().take(2 * WRITES.len()) {
        bob.run(["job", "add", "--type", "build"]).success();
    }
    bob.run(["message", "send", "--to", "ada", "--subject", "hello"]).success();
    (fleet, ada)
}

/// What was told of a write before which the hub was at `before` is so, now that the far side is done.
#[track_caller]
fn assert_true(
    run: &Run,
    (ada, fleet): (&Host, &Fleet),
    before: &[Option<String>],
    (write, signal): (&[&str], i32),
) {
    let is_there = tips(fleet) != before;
    match unknown(run) {
        // A beat is in no history that could be searched, and the next one takes its place.
        Some(op) if write[0] == "heartbeat" => drop(ada.run(["op", "drop", &op]).success()),
        Some(op) => {
            let listed = ada.run(["op", "list"]).success();
            assert!(listed.stdout().contains(&op), "{listed}");
            ada.run(["op", "status", &op]).code(if is_there { 0 } else { 3 });
            // Looked at and found, it is settled.
            if !is_there {
                ada.run(["op", "resume", &op]).success();
            }
            assert_eq!(inspect::ops_in_history(fleet.hub(), MAIN).get(&op), Some(&1), "{run}");
        }
        None if run.exit_code() == Some(0) => assert!(is_there, "{run}"),
        None => {
            let run = run.clone().killed_by(signal);
            let told = ["; nothing was written", "; nothing was read or written"];
            assert!(told.iter().any(|told| run.stderr().contains(told)), "{run}");
            assert!(!is_there, "{run}");
        }
    }
    assert_eq!(ada.unsettled(), serde_json::json!([]), "{run}");
}

fn while_its_push_is_under_way(transport: Transport) {
    let (fleet, ada) = filled(transport);
    for (write, (name, number)) in WRITES.iter().zip(SIGNALS.iter().cycle()) {
        let before = tips(&fleet);
        let gate = gated(&fleet);
        let running = ada.command(["--json"]).args(*write).spawn();
        eventually(RUN_BOUND, || gate("reached").exists());
        let run = ask(running, &[name]);
        // What the hub is told to do on another machine nobody can call back.
        if transport != Transport::Path {
            assert_eq!(run.exit_code(), Some(9), "{run}");
            assert!(run.stderr().contains("push was ended"), "{run}");
        }
        assert_no_process_of(&ada);
        fs::write(gate("open"), "").unwrap();
        assert_nobody_works_in(fleet.hub().path());
        fs::remove_file(fleet.hub().path().join("hooks/pre-receive")).unwrap();
        assert_true(&run, (&ada, &fleet), &before, (write, *number));
        for what in ["reached", "open"] {
            fs::remove_file(gate(what)).unwrap();
        }
    }
}

#[test]
fn asked_to_end_while_its_push_is_under_way_a_write_tells_that_nobody_knows() {
    Transport::each(&[Transport::Path, Transport::Ssh, Transport::Http], while_its_push_is_under_way);
}

/// An ssh that does not connect before it may.
struct SlowSsh {
    folder: PathBuf,
    hub: String,
}

impl SlowSsh {
    /// `begin`: what the script does first.
    fn of(host: &mut Host, begin: &str) -> Self {
        let folder = host.directory().to_owned();
        let script = folder.join("ssh");
        // What it starts stands for another machine: it goes on when this one is ended.
        let text = format!(
            "{begin}\ntouch '{0}/reached'\nfor _ in $(seq 600); do\n[ -e '{0}/open' ] && exec setsid bash -c \"${{@: -1}}\"\n\
             sleep 0.1\ndone\nexit 255\n",
            folder.display()
        );
        fs::write(&script, text).unwrap();
        host.set("GIT_SSH_COMMAND", format!("bash {}", script.display()));
        host.set("GIT_SSH_VARIANT", "ssh");
        let hub = format!("ssh://h{}", host.hub().path().display());
        host.set("MUSTER_HUB", &hub);
        Self { folder, hub }
    }

    fn open(&self) {
        fs::write(self.folder.join("open"), "").unwrap();
    }

    fn close(&self) {
        for what in ["open", "reached"] {
            // It may be closed already.
            fs::remove_file(self.folder.join(what)).ok();
        }
    }

    #[track_caller]
    fn wait_until_reached(&self) {
        eventually(RUN_BOUND, || self.folder.join("reached").exists());
    }
}

#[test]
fn asked_to_end_before_anything_is_sent_a_write_tells_that_nothing_was_written() {
    let (fleet, mut ada) = filled(Transport::Path);
    let ssh = SlowSsh::of(&mut ada, "");
    for (write, (name, number)) in WRITES.iter().zip(SIGNALS.iter().cycle()) {
        let before = tips(&fleet);
        let running = ada.command(["--json"]).args(*write).spawn();
        ssh.wait_until_reached();
        let run = ask(running, &[name]).killed_by(*number);
        assert!(run.stdout().is_empty(), "{run}");
        assert!(run.stderr().contains(&format!("interrupted by SIG{name}; nothing was")), "{run}");
        assert!(run.stderr().contains(&format!("\"exit_code\":{}", 128 + number)), "{run}");
        assert_no_process_of(&ada);
        assert_eq!((tips(&fleet), ada.unsettled()), (before, serde_json::json!([])), "{run}");
        ssh.close();
    }
}

#[test]
fn a_push_that_never_connected_has_written_nothing_whatever_was_told() {
    let (fleet, mut ada) = filled(Transport::Path);
    let ssh = SlowSsh::of(&mut ada, "");
    ssh.open();
    ada.run(["join", &ssh.hub, "--as", "ada"]).success();
    for (write, (name, number)) in WRITES.iter().zip(SIGNALS.iter().cycle()) {
        let before = tips(&fleet);
        ssh.close();
        let running = ada.command(["--json"]).args(*write).spawn();
        ssh.wait_until_reached();
        let run = ask(running, &[name]);
        assert_no_process_of(&ada);
        assert_eq!(tips(&fleet), before, "{run}");
        ssh.open();
        assert_true(&run, (&ada, &fleet), &before, (write, *number));
    }
}

#[test]
fn a_read_that_is_asked_to_end_tells_that_nothing_was_read() {
    let (_fleet, mut ada) = filled(Transport::Path);
    let ssh = SlowSsh::of(&mut ada, "");
    for (read, (name, number)) in [&["job", "list"][..], &["doctor"], &["health"], &["message", "list"]]
        .iter()
        .zip(SIGNALS.iter().cycle())
    {
        let running = ada.command(*read).spawn();
        ssh.wait_until_reached();
        let run = ask(running, &[name]).killed_by(*number);
        assert_eq!(run.stdout(), "", "{run}");
        assert!(run.stderr().contains(&format!("interrupted by SIG{name}; nothing was read")), "{run}");
        assert_no_process_of(&ada);
        ssh.close();
    }
}

#[test]
fn one_wish_that_comes_as_two_signals_is_one_and_a_git_that_is_deaf_to_it_is_ended() {
    let (_fleet, mut ada) = filled(Transport::Path);
    let ssh = SlowSsh::of(&mut ada, "trap '' TERM INT HUP");
    for signals in [["INT", "INT"], ["HUP", "HUP"], ["TERM", "HUP"]] {
        let running = ada.command(["job", "add", "--type", "test"]).spawn();
        ssh.wait_until_reached();
        let run = ask(running, &signals);
        assert!(run.stderr().contains("interrupted by SIG"), "{run}");
        assert_eq!(run.exit_code(), None, "{run}");
        assert_no_process_of(&ada);
        ssh.close();
    }
}

#[test]
fn asked_to_end_when_it_has_landed_a_write_tells_its_answer() {
    let (fleet, mut ada) = filled(Transport::Ssh);
    let log = ada.directory().join("points");
    ada.set("MUSTER_FAILPOINT_LOG", &log);
    for (write, (name, number)) in WRITES.iter().zip(SIGNALS.iter().cycle()) {
        let before = tips(&fleet);
        // What it knows is what the hub has: its first push is the one that lands.
        ada.run(["job", "list"]).success();
        fs::write(&log, "").unwrap();
        let running = ada.command(["--json"]).args(*write).env("MUSTER_SLOW", "known").spawn();
        eventually(RUN_BOUND, || fs::read_to_string(&log).unwrap().lines().any(|point| point == "push"));
        let run = ask(running, &[name]).success();
        assert!(!run.stdout().is_empty(), "{run}");
        assert_true(&run, (&ada, &fleet), &before, (write, *number));
    }
}

#[test]
fn who_was_told_to_ignore_a_signal_goes_on() {
    let (_fleet, mut ada) = filled(Transport::Path);
    let ssh = SlowSsh::of(&mut ada, "");
    let program = env!("CARGO_BIN_EXE_git-muster");
    // As `nohup` starts a command, and a script one in the background.
    let script = "trap '' HUP INT; exec \"$0\" \"$@\"";
    let mut running = ada.program("sh").args(["-c", script, program, "job", "add", "--type", "test"]).spawn();
    ssh.wait_until_reached();
    running.signal("HUP");
    running.signal("INT");
    ssh.open();
    running.wait().success();
}

#[test]
fn a_wait_ends_at_once_and_what_is_run_under_a_lock_inherits_nothing() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let told = ada.run(["lock", "run", "gate", "--", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    let told = told.success();
    for line in told.stdout().lines() {
        let mask = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
        assert!(SIGNALS.iter().all(|(_, number)| mask >> (number - 1) & 1 == 0), "{told}");
    }
    ada.run(["lock", "acquire", "gate"]).success();
    for (name, number) in SIGNALS {
        for wait in [&["lock", "acquire", "gate", "--wait", "10m"][..], &["job", "claim", "--wait", "10m"]] {
            let running = ada.command(wait).env("MUSTER_SERVER", "bob").spawn();
            eventually(RUN_BOUND, || running.stderr().contains("waiting"));
            ask(running, &[name]).killed_by(number);
        }
    }
    assert_eq!(ada.unsettled(), serde_json::json!([]));
}

#[test]
fn who_listens_itself_ends_in_its_own_way() {
    let (fleet, ada) = filled(Transport::Ssh);
    let gate = gated(&fleet);
    // `lock run` is asked to end while it takes its lock: it has it, gives it back and says so.
    let mut running = ada.command(["lock", "run", "gate", "--", "touch", "ran"]).spawn();
    eventually(RUN_BOUND, || gate("reached").exists());
    running.signal("TERM");
    fs::write(gate("open"), "").unwrap();
    let run = running.wait().code(1);
    assert!(run.stderr().contains("the lock was released"), "{run}");
    assert!(!Path::new(ada.directory()).join("ran").exists());
}

/// Asks `running` again and again, as somebody does who means it, until it ends.
#[track_caller]
fn insist(mut running: Running, signal: &str) -> Run {
    eventually(RUN_BOUND, || {
        running.signal(signal);
        running.has_ended()
    });
    running.wait()
}

/// Ctrl-C at `git muster` comes from the terminal and from git, `timeout` sends one to its child and one to the
/// group, and a terminal that is closed sends one and its shell another.
#[test]
fn one_wish_that_comes_as_two_signals_is_one_for_who_listens_itself() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let state = ada.directory().join("fence.json");
    let fence = ["fence", "check", "--name", "x", "--token", "1", "--state", state.to_str().unwrap()];
    // Its command has cleaned up after a moment, and in that the second signal comes.
    let script = "trap 'sleep 0.3; echo cleaned up; exit 7' TERM; echo begun; while :; do sleep 0.05; done";
    for signals in [["INT", "INT"], ["TERM", "TERM"], ["HUP", "HUP"], ["TERM", "HUP"]] {
        for words in [&["lock", "run", "gate", "--ttl", "10m"][..], &fence] {
            let words = words.iter().copied().chain(["--", "sh", "-c", script]);
            let mut running = ada.command(words).spawn();
            running.wait_for_stdout("begun");
            let run = ask(running, &signals).code(7);
            assert!(run.stdout().ends_with("cleaned up\n"), "{run}");
        }
        let lock = ada.run(["lock", "show", "gate", "--json"]).success().json();
        assert_eq!(lock["state"], "free", "{signals:?}: {lock}");
    }
    for signals in [["INT", "INT"], ["TERM", "HUP"]] {
        let (begun, go) = (ada.directory().join("begun"), ada.directory().join("go"));
        let script = "touch \"$0\"; while [ ! -e \"$1\" ]; do sleep 0.02; done";
        let (begun_text, go_text) = (begun.to_str().unwrap(), go.to_str().unwrap());
        let add = ["job", "add", "--type", "test", "--", "sh", "-c", script, begun_text, go_text];
        let id = ada.run(add).success().stdout().trim().to_owned();
        let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "20ms"]).spawn();
        eventually(RUN_BOUND, || begun.exists());
        signals.iter().for_each(|signal| worker.signal(signal));
        eventually(RUN_BOUND, || worker.stderr().contains("may finish within"));
        fs::write(&go, "").unwrap();
        let run = worker.wait().success();
        assert!(run.stdout().contains("1 completed") && run.stdout().contains("0 requeued"), "{run}");
        assert_eq!(inspect::job(fleet.hub(), &id)["status"], "completed");
        [begun, go].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

#[test]
fn asked_once_more_after_a_while_who_listens_itself_ends_at_once() {
    let (fleet, ada) = filled(Transport::Ssh);
    let gate = gated(&fleet);
    let waits = "\"$0\" job list >/dev/null; touch begun; while :; do sleep 0.1; done";
    let waits = ["--", "sh", "-c", waits, env!("CARGO_BIN_EXE_git-muster")];
    // Each is in a push that takes for ever, and would look at the wish after that.
    let lock = ["lock", "run", "gate"].into_iter().chain(waits);
    for (words, (signal, number)) in
        [lock.collect::<Vec<_>>(), vec!["heartbeat", "run"]].into_iter().zip(SIGNALS)
    {
        let running = ada.command(words).spawn();
        eventually(RUN_BOUND, || gate("reached").exists());
        let run = insist(running, signal).code(128 + number);
        assert_eq!(run.stdout(), "", "{run}");
        let left = "check with `git muster op list` whether lock `gate` was acquired";
        assert_eq!(run.stderr().contains(left), signal == SIGNALS[0].0, "{run}");
        fs::write(gate("open"), "").unwrap();
        assert_nobody_works_in(fleet.hub().path());
        for what in ["reached", "open"] {
            fs::remove_file(gate(what)).unwrap();
        }
    }
}

#[test]
fn a_lock_run_that_does_not_wait_for_its_command_tells_what_it_leaves() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let deaf = "trap '' TERM; echo begun; while :; do sleep 0.1; done";
    let mut running = ada.command(["lock", "run", "gate", "--ttl", "1m", "--", "sh", "-c", deaf]).spawn();
    running.wait_for_stdout("begun");
    let run = insist(running, "TERM").code(143);
    assert!(run.stderr().contains("the command is stopped within 5s"), "{run}");
    let line = run.stderr().split('`').find(|part| part.starts_with("git muster lock release")).unwrap();
    assert_eq!(bob.run(["lock", "show", "gate", "--json"]).success().json()["state"], "held");
    let words: Vec<&str> = line.split(' ').skip(2).collect();
    ada.run(words).success();
    bob.run(["lock", "acquire", "gate"]).success();
}

/// `nohup`, and a script that starts one in the background.
#[test]
fn who_listens_itself_and_was_told_to_ignore_a_signal_goes_on() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let (begun, go) = (ada.directory().join("begun"), ada.directory().join("go"));
    let (begun_text, go_text) = (begun.to_str().unwrap(), go.to_str().unwrap());
    let script = "touch \"$0\"; while [ ! -e \"$1\" ]; do sleep 0.02; done; echo done";
    let waits = ["--", "sh", "-c", script, begun_text, go_text];
    let state = ada.directory().join("fence.json");
    let fence = ["fence", "check", "--name", "x", "--token", "1", "--state", state.to_str().unwrap()];
    let program = env!("CARGO_BIN_EXE_git-muster");
    let start = |words: &[&str]| {
        let ignores = ["-c", "trap '' HUP INT; exec \"$0\" \"$@\"", program];
        ada.program("sh").args(ignores.iter().chain(words)).spawn()
    };
    for words in [&["lock", "run", "gate"][..], &fence] {
        let mut running = start(&[words, &waits[..]].concat());
        eventually(RUN_BOUND, || begun.exists());
        running.signal("HUP");
        running.signal("INT");
        fs::write(&go, "").unwrap();
        let run = running.wait().success();
        assert_eq!(run.stdout(), "done\n", "{run}");
        [&begun, &go].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    // They work on after the signals, and are asked to end by one that they were not told to ignore.
    let mut beats = start(&["heartbeat", "run", "--interval", "1s"]);
    beats.wait_for_stdout("beat");
    beats.signal("HUP");
    beats.signal("INT");
    let beaten = beats.stdout().lines().count();
    eventually(RUN_BOUND, || beats.stdout().lines().count() > beaten + 1);
    let run = ask(beats, &["TERM"]).success();
    assert!(run.stderr().contains("has stopped sending heartbeats"), "{run}");
    let mut worker = start(&["worker", "run", "--allow-any", "--poll", "20ms"]);
    for _ in 0..2 {
        let add = [&["job", "add", "--type", "test"], &waits[..]].concat();
        let id = ada.run(add).success().stdout().trim().to_owned();
        eventually(RUN_BOUND, || begun.exists());
        worker.signal("HUP");
        worker.signal("INT");
        fs::write(&go, "").unwrap();
        eventually(RUN_BOUND, || inspect::job(fleet.hub(), &id)["status"] == "completed");
        [&begun, &go].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    let run = ask(worker, &["TERM"]).success();
    assert!(run.stdout().contains("2 completed"), "{run}");
}
