//! Runs the simulator over many seeds and says what did not hold.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use git_muster::sim::{self, Limits};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use clap::Parser;

/// How many violations of one seed are shown.
const SHOWN_MAX: usize = 5;

/// Whether a seed was made small already.
static SHRUNK: AtomicBool = AtomicBool::new(false);

/// Runs simulations of a fleet: many hosts, one hub, everything that can go wrong
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print what happened
    #[arg(long)]
    log: bool,
    /// Kinds of trouble to leave out
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    without: Vec<String>,
    /// The most hosts
    #[arg(long)]
    hosts: Option<usize>,
    /// The most processes of one host
    #[arg(long)]
    processes: Option<usize>,
    /// How long things go wrong at most
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    storm: Option<std::time::Duration>,
}

impl Arguments {
    fn limits(&self) -> Limits {
        Limits {
            without: self.without.clone(),
            hosts: self.hosts,
            processes: self.processes,
            storm: self.storm,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limits = arguments.limits();
    let next = AtomicU64::new(0);
    let total = Mutex::new(sim::Report::default());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= arguments.seeds {
                        return;
                    }
                    let seed = arguments.seed + index;
                    let report = sim::run(seed, &limits, arguments.log);
                    show(seed, &limits, &report);
                    let mut total = total.lock().expect("no report panics");
                    total.add(&report);
                }
            });
        }
    });
    let total = total.into_inner().expect("no report panics");
    println!(
        "{} seeds, {} operations, {} commits, {} faults, {} takeovers, {} rescues, {:.1} days, {} violations",
        arguments.seeds,
        total.acknowledged,
        total.commits,
        total.faults,
        total.takeovers,
        total.rescues,
        total.time.as_secs_f64() / 86_400.0,
        total.violations.len()
    );
    if total.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(seed: u64, limits: &Limits, report: &sim::Report) {
    for line in &report.log {
        println!("{line}");
    }
    if report.violations.is_empty() {
        return;
    }
    for violation in report.violations.iter().take(SHOWN_MAX) {
        println!("seed {seed}: {violation}");
    }
    let again = format!("cargo run --release --bin muster-sim -- --seeds 1 --seed {seed}");
    println!("seed {seed} again: {again}{} --log", limits.flags());
    // The first is made small; the others probably broke in the same way.
    if !SHRUNK.swap(true, Ordering::Relaxed) {
        println!("seed {seed}, smaller: {again}{} --log", sim::shrink(seed, limits).flags());
    }
}
