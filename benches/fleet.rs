//! What each command costs in a large fleet: time and memory of whole processes.
//!
//! `cargo bench --bench fleet` makes a hub with 1,000 servers, 10,000 jobs and 10,000 messages in a
//! temporary directory and runs every command on it, by path and as a copy through the program git,
//! and prints the table of docs/benchmarks.md. With numbers, as in `cargo bench --bench fleet -- 100
//! 1000 1000`, it makes another. With words behind them it runs only the commands that contain one of
//! these. Needs git and `time`.

#![expect(clippy::disallowed_methods, reason = "it is no part of the program")]

#[path = "../tests/suite/support/big_hub.rs"]
mod big_hub;

use big_hub::Size;
use git_muster::inside::{clock, environment};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// The targets: no command takes longer or needs more.
const SECONDS_MAX: f64 = 1.0;
const MEGABYTES_MAX: f64 = 100.0;

/// The same for the two that a person has open all day.
const WATCHED: [&str; 2] = ["health", "worker list"];
const WATCHED_MEGABYTES_MAX: f64 = 40.0;

/// The variable that names another program to be measured than the one that is built here.
const PROGRAM: &str = "MUSTER_BENCH_PROGRAM";

/// How often each that reads is run: the median counts.
const ROUNDS: usize = 3;

/// Every command that looks at the hub.
const READS: [&str; 38] = [
    "health",
    "health --json",
    "health --server s0007",
    "worker list",
    "worker list --json",
    "worker show s0007",
    "servers list",
    "servers list --json",
    "servers show s0007",
    "status list",
    "status show s0007",
    "job list",
    "job list --json",
    "job list --status queued",
    "job list --assigned-to s0007",
    "job show job_504",
    "job explain job_999",
    "job explain job_504",
    "job explain job_505",
    "job explain job_506",
    "job logs job_0",
    "job dead list",
    "queue stats",
    "queue stats --since 1d --json",
    "queue list",
    "lock list",
    "lock list --json",
    "lock show lock-2",
    "message list",
    "message list --json",
    "message list --unread",
    "message thread msg_501",
    "artifact list",
    "config list",
    "config build",
    "doctor",
    "fsck",
    "fsck --history",
];

/// Every command that writes, once; some are repeated and refused.
const WRITES: [&str; 27] = [
    "heartbeat",
    "heartbeat --on-main",
    "status set building",
    "job add --type test -- true",
    "job claim",
    "job claim --count 20",
    "job claim job_508",
    "job cancel job_509",
    "job retry job_13",
    "job priority job_518 1",
    "job dead retry job_23",
    "queue pause",
    "queue resume",
    "worker pause s0008",
    "worker resume s0008",
    "lock acquire fresh --ttl 10m",
    "lock renew fresh --token 1",
    "lock release fresh --token 1",
    "once do a-key",
    "op list",
    "message send --to s0008 --subject hello --body hello",
    "message send --to all --subject hello --body hello",
    "message ack msg_7",
    "message read",
    "servers remove s0099",
    "join --as s1001",
    "archive --older-than 1m",
];

/// Those that are tried through the program git, too.
const THROUGH_GIT: [&str; 8] = [
    "health",
    "worker list",
    "job list",
    "job claim",
    "heartbeat",
    "message send --to s0008 --subject x --body x",
    "lock acquire far",
    "doctor",
];

macro_rules! say {
    ($($words:tt)*) => { writeln!(io::stdout(), $($words)*).expect("stdout is open") };
}

struct Bench<'a> {
    program: OsString,
    folder: &'a Path,
    only: &'a [String],
    missed: usize,
}

fn main() {
    let arguments: Vec<String> = environment::arguments().filter(|argument| argument != "--bench").collect();
    let numbers: Vec<u64> = arguments.iter().map_while(|one| one.parse().ok()).collect();
    let size = match numbers[..] {
        [servers, jobs, messages] => Size { servers, jobs, messages },
        _ => Size { servers: 1000, jobs: 10_000, messages: 10_000 },
    };
    let folder = tempfile::tempdir().expect("a folder");
    let hub = folder.path().join("hub.git");
    let program = std::env::var_os(PROGRAM).unwrap_or_else(|| env!("CARGO_BIN_EXE_git-muster").into());
    make(&hub, size);
    let mut bench = Bench { program, folder: folder.path(), only: &arguments[numbers.len()..], missed: 0 };
    say!("{size:?}\n\n| Command | Time | Peak memory | Answer | Result |\n|---|---|---|---|---|");
    let by_path = hub.display().to_string();
    for command in READS.iter().chain(&WRITES) {
        bench.measure(command, "path", &by_path);
    }
    let url = format!("file://{by_path}");
    bench.measure("job list", "first copy", &url);
    for command in THROUGH_GIT {
        bench.measure(command, "copy", &url);
    }
    say!("\n{} missed", bench.missed);
}

/// A bare repository with such a fleet in it.
fn make(hub: &Path, size: Size) {
    let stream = hub.with_extension("stream");
    fs::write(&stream, big_hub::stream(size, clock::wall())).expect("a file");
    let run = |arguments: &[&str], input: Stdio| {
        let mut git = Command::new("git");
        let done = git.arg("-C").arg(hub).args(arguments).stdin(input).stdout(Stdio::null()).status();
        assert!(done.expect("git runs").success(), "{arguments:?}");
    };
    fs::create_dir(hub).expect("a folder");
    run(&["init", "--quiet", "--bare", "-b", "main", "."], Stdio::null());
    run(&["fast-import", "--quiet"], File::open(&stream).expect("it was just made").into());
    // As a hub comes to be packed: the import keeps a document as a difference to any other.
    run(&["repack", "-a", "-d", "-f", "-q"], Stdio::null());
}

impl Bench<'_> {
    fn measure(&mut self, command: &str, way: &str, hub: &str) {
        if !self.only.is_empty() && !self.only.iter().any(|word| command.contains(word)) {
            return;
        }
        // What is written is written once: a second time it would be another answer.
        let rounds = if READS.contains(&command) && way != "first copy" { ROUNDS } else { 1 };
        let mut runs: Vec<Ran> = (0..rounds).map(|_| self.run(command, hub)).collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Ran { seconds, megabytes, code, bytes } = runs[runs.len() / 2];
        let memory_max = if WATCHED.contains(&command) { WATCHED_MEGABYTES_MAX } else { MEGABYTES_MAX };
        let held = seconds <= SECONDS_MAX && megabytes <= memory_max;
        self.missed += usize::from(!held);
        let result = if held { "pass" } else { "**miss**" };
        let way = if way == "path" { String::new() } else { format!(", {way}") };
        say!(
            "| `{command}`{way} | {seconds:.2} s | {megabytes:.0} MB | {code}, {} kB | {result} |",
            bytes / 1000
        );
    }

    fn run(&self, command: &str, hub: &str) -> Ran {
        let (out, measured) = (self.folder.join("out"), self.folder.join("measured"));
        let mut time = Command::new("time");
        time.arg("-q").args(["-f", "%e %M"]).arg("-o").arg(&measured);
        time.arg(&self.program).args(command.split(' '));
        time.env_clear().current_dir(self.folder).stdin(Stdio::null());
        time.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        time.env("HOME", self.folder).env("MUSTER_HUB", hub).env("MUSTER_SERVER", "s0007").env("TZ", "UTC");
        let output = File::create(&out).expect("a file");
        let code = time.stdout(output.try_clone().expect("a file")).stderr(output).status();
        let text = fs::read_to_string(&measured).expect("`time` says how long it took");
        let mut words = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        let mut next = || words.next().expect("two numbers");
        Ran {
            seconds: next(),
            megabytes: next() / 1024.0,
            code: code.expect("it ran").code().unwrap_or(-1),
            bytes: fs::metadata(&out).expect("a file").len(),
        }
    }
}

/// What one run came to.
struct Ran {
    seconds: f64,
    megabytes: f64,
    code: i32,
    bytes: u64,
}
