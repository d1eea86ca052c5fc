//! How long the pure part of an operation takes: reading `jobs.json`, writing it with one job
//! changed, and claiming the next job, with short and long queues.
//!
//! `cargo bench` prints microseconds, the median of several rounds. What whole commands cost, and
//! against what, `scripts/bench` measures.

use git_muster::inside::{Claimant, Job, Queue, Row as _, ServerName, Table, Timestamp, clock};
use std::hint::black_box;
use std::time::Duration;

/// How many jobs are in the queue.
const QUEUES: &[usize] = &[10, 1_000, 10_000];

/// How often each is measured, and for how long at least each time.
const ROUNDS: usize = 11;
const ROUND_TIME: Duration = Duration::from_millis(20);

/// One more second for each job, from here on.
const CREATED_FIRST: i64 = 1_761_778_190_000;

/// One of so many jobs waits for one that was never added.
const WAITING_ONE_IN: usize = 4;

fn main() {
    let claimant =
        Claimant { server: ServerName::new("build1").expect("a name"), incarnation: "bench".to_owned() };
    table_row(["jobs", "bytes", "read", "write", "choose", "claim in all"].map(str::to_owned));
    for &jobs in QUEUES {
        let now = Timestamp::from_unix_millis(CREATED_FIRST + 1000 * 60 * 60 * 24).expect("a time");
        let text = document(jobs);
        let read = || -> Table<Job> { Table::read(Job::PATH, text.as_bytes()).expect("our own document") };
        let table = read();
        let mut changed = read();
        let choose =
            |table: &Table<Job>| Queue::new(table, now).claimable(&[]).first().map(|job| job.id.clone());
        let claim = |table: &mut Table<Job>| {
            let id = choose(table).expect("a job that waits for nothing");
            let job = table.get_mut(&id).expect("it was just chosen");
            job.edit(|job| job.claim(&claimant, now)).expect("a queued job");
            table.write().expect("our own layout")
        };
        drop(black_box(claim(&mut changed)));
        table_row([
            jobs.to_string(),
            text.len().to_string(),
            micros(|| drop(black_box(read()))),
            micros(|| drop(black_box(changed.write()))),
            micros(|| drop(black_box(choose(&table)))),
            micros(|| drop(black_box(claim(&mut read())))),
        ]);
    }
}

/// A queue as people fill it.
fn document(jobs: usize) -> String {
    let mut table = Table::<Job>::empty(Job::PATH);
    for number in 0..jobs {
        let millis = CREATED_FIRST + 1000 * i64::try_from(number).expect("a small number");
        let created = Timestamp::from_unix_millis(millis).expect("a time");
        let mut job = Job::new(format!("job_{}_{number:08x}", millis / 1000), "build".to_owned(), created);
        job.branch = Some(format!("feature/ticket-{number}"));
        job.commit = Some(format!("{number:040x}"));
        job.description = Some(format!("Build the packages of ticket {number} and run their tests"));
        job.command = ["make", "-j4", "deb"].map(str::to_owned).to_vec();
        if number % WAITING_ONE_IN == 1 {
            job.needs = vec!["job_never_added".to_owned()];
        }
        table.push(job);
    }
    table.write().expect("our own layout")
}

/// Microseconds that one call takes: the median of the rounds.
fn micros(mut call: impl FnMut()) -> String {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = clock::since_boot();
            let mut calls = 0;
            while calls == 0 || clock::since_boot().saturating_sub(begin) < ROUND_TIME {
                call();
                calls += 1;
            }
            clock::since_boot().saturating_sub(begin) / calls
        })
        .collect();
    rounds.sort_unstable();
    let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    format!("{:.1}", median.as_secs_f64() * 1e6)
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn table_row(cells: [String; 6]) {
    println!("{}", cells.map(|cell| format!("{cell:>12}")).join(" "));
}
