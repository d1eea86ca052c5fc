//! What a command costs grows with the fleet, and not with its square.
//!
//! Measured is the time of the processor, which does not depend on how busy the machine is, of hubs that
//! differ four times in everything. `cargo bench --bench fleet` measures what it comes to at full size.

use crate::support::big_hub::{self, Size};
use crate::support::{Fleet, Host, git};
use git_muster::inside::Timestamp;
use std::time::Duration;

/// How much larger the second hub is.
const TIMES: u32 = 4;

/// What a command may take there at most: twice what grows with the fleet, where a square is four times
/// that, and what the clock of processes, which has ticks of 10 ms, and a busy machine may be wrong by.
const TIMES_MAX: u32 = 2 * TIMES;
const ALLOWED: Duration = Duration::from_millis(200);

/// How often each is run: the ticks of all together say more than those of one.
const ROUNDS: usize = 3;

/// Every kind of look at a fleet; what writes is not sent.
const COMMANDS: [&str; 16] = [
    "health",
    "worker list",
    "worker show s0001",
    "servers list",
    "status list",
    "job list",
    "job explain job_99",
    "queue stats",
    "message list",
    "lock list",
    "fsck",
    "doctor",
    "heartbeat -n",
    "job claim -n --count 50",
    "message send -n --to all --subject s --body b",
    "archive -n --older-than 1m",
];

/// A host that is a server of a fleet of this size.
fn server_of(size: Size) -> (Fleet, Host) {
    let fleet = Fleet::new();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is later").as_millis();
    let now = Timestamp::from_unix_millis(i64::try_from(now).expect("a time")).expect("a time");
    let host = fleet.host("s0001");
    let import = host.program("git").args(["fast-import", "--quiet"]).current_dir(fleet.hub().path());
    import.stdin(big_hub::stream(size, now)).run().success();
    assert!(git(fleet.hub().path(), ["rev-parse", "main"]).len() > 10);
    (fleet, host)
}

/// The time that the processor takes for `command`, all rounds together.
fn cost(host: &Host, command: &str) -> Duration {
    let script = format!(
        "for round in $(seq {ROUNDS}); do '{}' {command} >/dev/null 2>&1; done; echo $?; times",
        env!("CARGO_BIN_EXE_git-muster")
    );
    let run = host.program("sh").args(["-c", &script]).run().success();
    let lines: Vec<&str> = run.stdout().lines().collect();
    let [code, _, children] = lines[..] else { panic!("{run}") };
    // Of a fleet like this something is always to be reported; what fails at once costs nothing.
    assert!(["0", "1"].contains(&code), "`{command}` ended with {code}");
    children.split_whitespace().map(shell_time).sum()
}

/// `0m0.040s`, as shells print it.
fn shell_time(text: &str) -> Duration {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').expect(text);
    Duration::from_secs_f64(minutes.parse::<f64>().expect(text) * 60.0 + seconds.parse::<f64>().expect(text))
}

#[test]
fn no_command_costs_the_square_of_the_fleet() {
    let small = Size { servers: 70, jobs: 350, messages: 350 };
    let times = |count: u64| count * u64::from(TIMES);
    let large =
        Size { servers: times(small.servers), jobs: times(small.jobs), messages: times(small.messages) };
    let ((_few, few), (_many, many)) = (server_of(small), server_of(large));
    let mut told = Vec::new();
    let mut is_square = false;
    for command in COMMANDS {
        let (before, after) = (cost(&few, command), cost(&many, command));
        let is_too_much = after > before * TIMES_MAX + ALLOWED;
        is_square |= is_too_much;
        told.push(format!(
            "{before:>10.3?} {after:>10.3?} {command}{}",
            if is_too_much { "  <--" } else { "" }
        ));
    }
    assert!(!is_square, "{small:?}, then {TIMES} times all of it\n{}", told.join("\n"));
}
