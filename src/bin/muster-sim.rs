//! Runs the simulator over many seeds and says what did not hold.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use git_muster::sim;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::Parser;

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
                    let report = sim::run(seed);
                    show(seed, &report, arguments.log);
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

fn show(seed: u64, report: &sim::Report, log: bool) {
    if log {
        for line in &report.log {
            println!("{line}");
        }
    }
    for violation in &report.violations {
        println!(
            "seed {seed}: {violation} (again: cargo run --release --bin muster-sim -- --seeds 1 --seed {seed} --log)"
        );
    }
}
