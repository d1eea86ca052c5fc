//! Runs the simulator over many seeds and says what did not hold.

use clap::Parser;
use clap::builder::PossibleValuesParser;
use git_muster::sim::{self, Limits};
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// After how many seeds a terminal is told how many are done.
const SEEDS_PER_NOTICE: u64 = 100;

/// How many violations of one seed are shown.
const SHOWN_MAX: usize = 5;

/// Whether a seed was made small already.
static SHRUNK: AtomicBool = AtomicBool::new(false);

/// Runs simulations of a fleet: many hosts, one hub, everything that can go wrong
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  muster-sim --seeds 5000
  muster-sim --seed 42 --seeds 1 --log
  muster-sim --seeds 1000 --without rolled-back,delayed --hosts 3

Each seed decides everything that happens in its run: the same seed gives the same log.
The last line counts operations that were acknowledged, commits of the hub, faults that
were made, locks taken over from holders that were gone, jobs rescued from servers that
were lost, and the days that went by in the simulations. What is checked: docs/TESTING.md.

Exit code: 0 everything held, 1 something did not, 2 wrong arguments."
)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print what happened
    #[arg(long)]
    log: bool,
    /// Kinds of trouble to leave out, with commas between them
    #[arg(long, value_name = "FAULT", value_delimiter = ',', value_parser = PossibleValuesParser::new(sim::faults()))]
    without: Vec<String>,
    /// The most hosts
    #[arg(long, value_parser = at_least_one)]
    hosts: Option<usize>,
    /// The most processes of one host
    #[arg(long, value_parser = at_least_one)]
    processes: Option<usize>,
    /// Plant this bug, or look for all of them; only with the feature `planted-bugs`
    #[arg(long, value_name = "NAME|all", value_parser = PossibleValuesParser::new(bugs()), hide_possible_values = true)]
    bug: Option<String>,
    /// How often each planted bug is looked for; the median number of seeds is told
    #[arg(long, default_value_t = 5)]
    hunts: usize,
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

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "give a whole number above 0".to_owned())
}

/// What `--bug` takes.
fn bugs() -> impl Iterator<Item = &'static str> {
    ["all"].into_iter().chain(sim::BUGS.iter().map(|(name, _)| *name))
}

/// Prints a line; ends when nobody reads any more.
#[expect(clippy::exit, reason = "no thread has anything to tidy up")]
fn say(line: &str) {
    if writeln!(stdout(), "{line}").is_err() {
        std::process::exit(1);
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limits = arguments.limits();
    match arguments.bug.as_deref() {
        None => run_all(&arguments, &limits),
        Some(bug) => hunt(bug, &arguments, &limits),
    }
}

#[cfg(not(feature = "planted-bugs"))]
fn hunt(bug: &str, _: &Arguments, _: &Limits) -> ExitCode {
    say(&format!(
        "`{bug}` was not planted: this program was built without bugs; use `cargo run --release --features planted-bugs --bin muster-sim -- --bug {bug}`"
    ));
    ExitCode::from(2)
}

/// Looks for one bug, or for each in turn, seed by seed until it shows, as often as there are seeds
/// for; prints how many seeds it took.
#[cfg(feature = "planted-bugs")]
fn hunt(bug: &str, arguments: &Arguments, limits: &Limits) -> ExitCode {
    // Killed processes and planted panics are no news.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = 0;
    for (name, what) in sim::BUGS.iter().filter(|(name, _)| bug == "all" || bug == *name) {
        let mut took = Vec::new();
        let mut first = String::new();
        let mut begun = 0;
        let mut index = 0;
        while index < arguments.seeds && took.len() < arguments.hunts {
            for violation in together(name, arguments.seed + index, limits) {
                index += 1;
                if let Some(violation) = violation.filter(|_| took.len() < arguments.hunts) {
                    took.push(index - begun);
                    begun = index;
                    first = if first.is_empty() { violation } else { first };
                }
            }
        }
        took.sort_unstable();
        match took.get(took.len() / 2) {
            Some(median) => say(&format!("{name}: {median} ({what}; {first:.60})")),
            None => {
                missed += 1;
                say(&format!("{name}: not found in {} seeds ({what})", arguments.seeds));
            }
        }
    }
    say(&format!("{missed} not found"));
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Some seeds from `seed` on, at the same time, with a bug planted: what did not hold first in each.
#[cfg(feature = "planted-bugs")]
fn together(bug: &'static str, seed: u64, limits: &Limits) -> Vec<Option<String>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let run = |seed| {
            scope.spawn(move || {
                git_muster::inside::plant(Some(bug));
                sim::run(seed, limits, false).violations.into_iter().next()
            })
        };
        let runs: Vec<_> = (seed..).take(threads).map(run).collect();
        runs.into_iter().map(|run| run.join().expect("no simulation panics")).collect()
    })
}

/// Runs all seeds and says what did not hold.
fn run_all(arguments: &Arguments, limits: &Limits) -> ExitCode {
    let next = AtomicU64::new(0);
    let total = Mutex::new(sim::SimReport::default());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let watched = stderr().is_terminal() && !arguments.log;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= arguments.seeds {
                        return;
                    }
                    let seed = arguments.seed + index;
                    let report = sim::run(seed, limits, arguments.log);
                    show(seed, limits, &report, arguments.seeds > 1);
                    if watched && (index + 1).is_multiple_of(SEEDS_PER_NOTICE) {
                        // Who cannot be told does not need to know.
                        write!(stderr(), "\r{} of {} seeds ", index + 1, arguments.seeds).ok();
                    }
                    let mut total = total.lock().expect("no report panics");
                    total.add(&report);
                }
            });
        }
    });
    let total = total.into_inner().expect("no report panics");
    say(&format!(
        "{} seeds, {} operations, {} commits, {} faults, {} takeovers, {} rescues, {:.1} days, {} violations",
        arguments.seeds,
        total.acknowledged,
        total.commits,
        total.faults,
        total.takeovers,
        total.rescues,
        total.time.as_secs_f64() / 86_400.0,
        total.violations.len()
    ));
    if total.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the log of a seed, of several with its number, and what did not hold.
fn show(seed: u64, limits: &Limits, report: &sim::SimReport, is_one_of_several: bool) {
    let mut lines = report.log.clone();
    if is_one_of_several && !lines.is_empty() {
        lines.insert(0, format!("seed {seed}"));
    }
    // In one piece, so that the logs of two seeds do not mix.
    if !lines.is_empty() {
        say(&lines.join("\n"));
    }
    if report.violations.is_empty() {
        return;
    }
    for violation in report.violations.iter().take(SHOWN_MAX) {
        say(&format!("seed {seed}: {violation}"));
    }
    let again = format!("cargo run --release --bin muster-sim -- --seeds 1 --seed {seed}");
    say(&format!("seed {seed} again: {again}{} --log", limits.flags()));
    // The first is made small; the others probably broke in the same way.
    if !SHRUNK.swap(true, Ordering::Relaxed) {
        say(&format!("seed {seed}, smaller: {again}{} --log", sim::shrink(seed, limits).flags()));
    }
}
