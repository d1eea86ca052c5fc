//! What one operation costs alone, and what it costs as one of fifty that are written together, on a
//! hub in a folder of this machine with ten thousand live jobs.
//!
//! `cargo bench --bench batch` makes the hub in a temporary folder and prints milliseconds for each
//! operation, the median of several rounds. With a number, as in `cargo bench --bench batch -- 1000`, the hub
//! has that many jobs.

use git_muster::inside::job_add::{AddJobs, NewJob};
use git_muster::inside::locks::AcquireLock;
use git_muster::inside::messages::SendMessage;
use git_muster::inside::{
    Beat, ClaimJobs, Claimant, Draft, InitHub, Join, Ledger, Location, LockName, LockRequest, MessageType,
    OpId, OpenOptions, Operation, Outcome, Request, ServerName, Settings, Write, WriteOptions, clock,
    environment, found, init_bare, open, random,
};
use std::path::Path;
use std::time::Duration;

/// How many jobs are in the queue.
const JOBS: usize = 10_000;

/// How many operations go together.
const BATCH: usize = 50;

/// How often each is measured.
const ROUNDS_ALONE: usize = 15;
const ROUNDS_TOGETHER: usize = 5;

/// What an operation costs in a batch, at most, for each that it costs alone.
const SHARE_MAX: f64 = 0.1;

fn main() {
    let arguments: Vec<String> = environment::arguments().filter(|argument| argument != "--bench").collect();
    let jobs = arguments.first().and_then(|number| number.parse().ok()).unwrap_or(JOBS);
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = hub(&folder.path().join("hub.git"), jobs);
    say(&format!("{jobs} jobs; milliseconds for each operation"));
    say(&format!("{:<16} {:>8} {:>9} {:>7}", "operation", "alone", "of fifty", "share"));
    let mut count = 0;
    for (name, operation) in OPERATIONS {
        let mut next = || {
            count += 1;
            operation(count)
        };
        let alone = median((0..ROUNDS_ALONE).map(|_| took(&mut ledger, vec![next()])).collect());
        let batch = |_| took(&mut ledger, (0..BATCH).map(|_| next()).collect());
        let together = median((0..ROUNDS_TOGETHER).map(batch).collect());
        let share = together / alone;
        let verdict = if share <= SHARE_MAX { "" } else { "  more than the target" };
        say(&format!("{name:<16} {alone:>8.2} {together:>9.3} {share:>7.3}{verdict}"));
    }
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

/// Makes an operation; the number tells one from the next.
type Make = fn(usize) -> Operation;

/// What is measured.
const OPERATIONS: [(&str, Make); 5] = [
    ("job add", |number| AddJobs { jobs: vec![job(number)], requester: server() }.into()),
    ("job claim", |_| claim().into()),
    ("message send", |number| SendMessage { draft: message(number) }.into()),
    ("lock acquire", |number| lock(number).into()),
    // One after the other, so that each changes another document than the one before.
    ("mixed", |number| match number % 4 {
        0 => AddJobs { jobs: vec![job(number)], requester: server() }.into(),
        1 => claim().into(),
        2 => SendMessage { draft: message(number) }.into(),
        _ => lock(number).into(),
    }),
];

fn server() -> ServerName {
    ServerName::new("build1").expect("a name")
}

fn job(number: usize) -> NewJob {
    NewJob {
        kind: "build".to_owned(),
        priority: None,
        branch: Some(format!("feature/ticket-{number}")),
        commit: Some(format!("{number:040x}")),
        needs: Vec::new(),
        if_need_fails: None,
        group: None,
        labels: Vec::new(),
        produces: Vec::new(),
        description: Some(format!("Build the packages of ticket {number} and run their tests")),
        timeout_seconds: None,
        max_attempts: None,
        key: None,
        not_before: None,
        delay_seconds: None,
        command: ["make", "-j4", "deb"].map(str::to_owned).to_vec(),
    }
}

fn claim() -> ClaimJobs {
    ClaimJobs::next(Claimant { server: server(), incarnation: "bench".to_owned() })
}

fn message(number: usize) -> Draft {
    Draft {
        from: server(),
        to: server().to_string(),
        kind: MessageType::Info,
        subject: format!("the packages of ticket {number}"),
        body: "They are built and lie where they always do.".to_owned(),
        reply_to: None,
        ack: false,
        key: None,
        auto: false,
    }
}

fn lock(number: usize) -> AcquireLock {
    let taker =
        LockRequest { server: server(), holder: server().to_string(), lease_seconds: 600, reason: None };
    AcquireLock { name: LockName::new(&format!("lock-{number}")).expect("a name"), taker, expired: None }
}

/// A hub with one server and so many jobs.
fn hub(path: &Path, jobs: usize) -> Ledger {
    init_bare(path, "main").expect("a repository");
    let mut ledger = open(OpenOptions {
        location: Location::Path(path.to_owned()),
        clone: None,
        settings: Settings {
            main: "main".to_owned(),
            author: "bench".to_owned(),
            budget: Duration::from_secs(60),
            lock_wait: Duration::from_secs(1),
            dry_run: false,
            founding: true,
        },
    })
    .expect("a hub");
    let join = Join {
        name: server(),
        host: server().to_string(),
        machine: server().to_string(),
        ip: None,
        manager: None,
        labels: Vec::new(),
        no_labels: false,
        replace: false,
        adopt: None,
        old_readers_seconds: None,
        moved: false,
    };
    took(&mut ledger, vec![InitHub { mark: found::MarkerPolicy::Keep }.into()]);
    took(&mut ledger, vec![join.into()]);
    let jobs = (0..jobs).map(job).collect();
    took(&mut ledger, vec![AddJobs { jobs, requester: server() }.into()]);
    ledger
}

/// Writes these operations together. How many milliseconds that took for each.
fn took(ledger: &mut Ledger, operations: Vec<Operation>) -> f64 {
    let beat = Beat {
        server: server(),
        incarnation: "bench".to_owned(),
        uptime_seconds: 1,
        interval_seconds: 60,
        system: None,
        by_worker: false,
        stopping: None,
        origin: None,
    };
    let is_member = !matches!(operations.first(), Some(Operation::Found(_) | Operation::Join(_)));
    let envelope = WriteOptions { beat: is_member.then_some(beat), ..WriteOptions::default() };
    let count = operations.len();
    let begin = clock::since_boot();
    write(ledger, &envelope, operations);
    let took = clock::since_boot().saturating_sub(begin);
    took.as_secs_f64() * 1000.0 / f64::from(u32::try_from(count).expect("a small number"))
}

fn write(ledger: &mut Ledger, envelope: &WriteOptions, operations: Vec<Operation>) {
    let request = |verb| Request {
        op: OpId::new(&random::id()).expect("an id"),
        now: clock::wall(),
        author: None,
        what: Write { envelope: envelope.clone(), verb },
    };
    let requests: Vec<Request<Write>> = operations.into_iter().map(request).collect();
    for outcome in ledger.update(&requests).expect("it can be written") {
        assert!(matches!(outcome, Ok(Outcome::Applied(_))), "nothing is refused here: {outcome:?}");
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
