//! How long `git muster fsck --history` takes for ten thousand commits of real operations, and how
//! much memory.
//!
//! `cargo bench --bench history` makes hubs in a temporary folder with the product's own operations,
//! which takes a minute or two each, then checks each in a process of its own. With a number, as in
//! `cargo bench --bench history -- 1000`, it makes that many commits.

use git_muster::inside::job_add::{AddJobs, NewJob};
use git_muster::inside::job_step::{Step, StepJob};
use git_muster::inside::locks::{AcquireLock, ReleaseLock};
use git_muster::inside::messages::{MarkAs, MarkMessages, SendMessage};
use git_muster::inside::{Archive, ClaimJobs, InitHub, Join, WriteCommand, WriteOptions, found};
use git_muster::inside::{
    AttemptResult, Beat, Claimant, Draft, HubRef, LockRequest, MessageType, Question, Timestamp,
};
use git_muster::inside::{JobId, LockName, MessageId, OpId, ServerName};
use git_muster::inside::{Ledger, Location, OpenOptions, Outcome, Settings, init_bare};
use git_muster::inside::{Machine, check_history, clock, environment, random};
use std::path::Path;
use std::time::Duration;

/// How many commits each hub has.
const COMMITS: u64 = 10_000;

/// How far apart they are: ten thousand of them take a month.
const PAUSE: Duration = Duration::from_secs(260);

/// When the first of them was made.
const BEGUN: i64 = 1_761_778_190_000;

/// How often finished work is archived, where it is, and how old it must be.
const ARCHIVED_EVERY: u64 = 330;
const ARCHIVED_AGE: u64 = 7 * 24 * 3600;

/// How often a hub is checked; the median counts.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = environment::arguments().filter(|argument| argument != "--bench").collect();
    if let [check, path] = arguments.as_slice()
        && check == "check"
    {
        return check_one(Path::new(path));
    }
    let commits = arguments.first().and_then(|number| number.parse().ok()).unwrap_or(COMMITS);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, is_archived) in [("archived each day, after a week", true), ("never archived", false)] {
        let path = folder.path().join(if is_archived { "archived.git" } else { "whole.git" });
        make(&path, commits, is_archived);
        report(name, &path);
        run("git", &["-C", &path.display().to_string(), "gc", "--quiet"]);
        report(&format!("{name}, packed by git gc"), &path);
    }
}

fn server(number: u64) -> ServerName {
    ServerName::new(&format!("build{}", number % 4 + 1)).expect("a name")
}

fn open(path: &Path) -> Ledger {
    git_muster::inside::open(OpenOptions {
        location: Location::Path(path.to_owned()),
        clone: None,
        settings: Settings {
            main: "main".to_owned(),
            author: "bench".to_owned(),
            budget: Duration::from_secs(30),
            lock_wait: Duration::from_secs(1),
            dry_run: false,
            founding: true,
        },
    })
    .expect("a hub")
}

/// A hub at work, one operation after the other.
struct Fleet {
    ledger: Ledger,
    now: Timestamp,
}

impl Fleet {
    fn run<V: WriteCommand<Answer: std::fmt::Debug>>(&mut self, by: &ServerName, verb: &V) -> V::Answer {
        self.now = self.now.plus(PAUSE);
        let beat = Beat {
            server: by.clone(),
            incarnation: "bench".to_owned(),
            uptime_seconds: 1,
            interval_seconds: 60,
            system: None,
            by_worker: false,
            stopping: None,
            origin: None,
        };
        let envelope = WriteOptions { beat: Some(beat), ..WriteOptions::default() };
        let op = OpId::new(&random::id()).expect("an id");
        let outcome = envelope.run(&mut self.ledger, op, self.now, verb).expect("it can be written");
        let Outcome::Applied(receipt) = outcome else { unreachable!("nothing is refused here: {outcome:?}") };
        receipt.answer
    }
}

fn make(path: &Path, commits: u64, is_archived: bool) {
    init_bare(path, "main").expect("a repository");
    let now = Timestamp::from_unix_millis(BEGUN).expect("a time");
    let mut fleet = Fleet { ledger: open(path), now };
    drop(fleet.run(&server(0), &InitHub { mark: found::MarkerPolicy::Keep }));
    for number in 0..4 {
        let name = server(number);
        let join = Join {
            name: name.clone(),
            host: name.to_string(),
            machine: name.to_string(),
            ip: None,
            manager: None,
            labels: Vec::new(),
            no_labels: false,
            replace: false,
            adopt: None,
            old_readers_seconds: None,
            moved: false,
        };
        drop(fleet.run(&name, &join));
    }
    let mut made = 5;
    for round in 0.. {
        if made >= commits {
            break;
        }
        made += work(&mut fleet, round);
        if is_archived && made / ARCHIVED_EVERY != (made - 8) / ARCHIVED_EVERY {
            let archive = Archive {
                server: server(round),
                older_than_seconds: ARCHIVED_AGE,
                only_dead: false,
                unread_older_than_seconds: None,
            };
            // When there is nothing to archive yet no commit is made.
            fleet.run(&server(round), &archive);
        }
    }
}

/// Eight commits: a job from its beginning to its end, a message and a lock.
fn work(fleet: &mut Fleet, round: u64) -> u64 {
    let (me, other) = (server(round), server(round + 1));
    let new = NewJob {
        kind: "build".to_owned(),
        priority: None,
        branch: Some(format!("feature/ticket-{round}")),
        commit: Some(format!("{round:040x}")),
        needs: Vec::new(),
        if_need_fails: None,
        group: None,
        labels: Vec::new(),
        produces: Vec::new(),
        description: Some(format!("Build the packages of ticket {round} and run their tests")),
        timeout_seconds: None,
        max_attempts: None,
        key: None,
        not_before: None,
        delay_seconds: None,
        command: ["make", "-j4", "deb"].map(str::to_owned).to_vec(),
    };
    let added = fleet.run(&other, &AddJobs { jobs: vec![new], requester: other.clone() });
    let job = JobId::new(&added.first().expect("one job").id).expect("an id");
    let claim = ClaimJobs {
        claimant: Claimant { server: me.clone(), incarnation: "bench".to_owned() },
        labels: Vec::new(),
        count: 1,
        job: Some(job.clone()),
        start: false,
        expired_assignment: None,
        lost: Vec::new(),
        ripe: Vec::new(),
        by: None,
    };
    drop(fleet.run(&me, &claim));
    for step in [Step::Start, Step::Complete { report: AttemptResult::default() }] {
        drop(fleet.run(&me, &StepJob { server: me.clone(), job: job.clone(), token: 1, step }));
    }
    let draft = Draft {
        from: me.clone(),
        to: other.to_string(),
        kind: MessageType::Info,
        subject: format!("the packages of ticket {round}"),
        body: "They are built and lie where they always do.".to_owned(),
        reply_to: None,
        ack: false,
        key: None,
        auto: false,
    };
    let sent = fleet.run(&me, &SendMessage { draft });
    let ids = vec![MessageId::new(&sent.id).expect("an id")];
    drop(
        fleet
            .run(&other, &MarkMessages { server: other.clone(), ids, which: Vec::new(), mark: MarkAs::Read }),
    );
    let name = LockName::new("deploy").expect("a name");
    let taker = LockRequest { server: me.clone(), holder: me.to_string(), lease_seconds: 600, reason: None };
    let term = fleet.run(&me, &AcquireLock { name: name.clone(), taker, expired: None });
    drop(fleet.run(&me, &ReleaseLock { name, server: me.clone(), token: term.token }));
    8
}

/// Checks a hub in processes of their own and prints the median.
#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn report(name: &str, path: &Path) {
    let program = environment::own_program().expect("this program").display().to_string();
    let mut rounds: Vec<String> =
        (0..ROUNDS).map(|_| run(&program, &["check", &path.display().to_string()])).collect();
    rounds.sort_unstable();
    println!("{name}: {}", rounds.get(ROUNDS / 2).map_or("", |line| line.trim()));
}

#[expect(clippy::disallowed_methods, reason = "a bench starts processes itself")]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checks a hub and prints how long it took and how much memory.
#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn check_one(path: &Path) {
    let mut ledger = open(path);
    let begin = clock::since_boot();
    let place =
        HubRef { hub: path.display().to_string(), branch: "main".to_owned(), name: "bench".to_owned() };
    let snapshot = ledger.read(true).expect("a hub");
    let question = Question { machine: &Machine::real(), place: &place, since: None, until: None };
    let found = check_history(&snapshot, &question, &|_, _| {}).expect("it can be read");
    let took = clock::since_boot().saturating_sub(begin);
    let computed = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    let computed = computed.map_or(Duration::ZERO, Duration::from);
    assert_eq!((found.errors, found.warnings, found.commits_by_hand), (0, 0, 0), "{found:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim().to_owned();
    println!(
        "{:8.3} s, {:.3} s of all processors, peak memory {peak}, {} commits, {} operations, {} records at the end",
        took.as_secs_f64(),
        computed.as_secs_f64(),
        found.checked.commits,
        found.checked.operations,
        found.checked.records
    );
}
