//! How a fleet is made up and what it does: drawn by the seed, narrowed by whoever looks for the
//! smallest fleet that shows a fault.

use super::random::Random;
use std::time::Duration;

/// What to leave out of a simulation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Kinds of trouble that do not happen.
    pub without: Vec<String>,
    /// The most hosts.
    pub hosts: Option<usize>,
    /// The most processes of one host.
    pub processes: Option<usize>,
    /// How long the storm lasts at most.
    pub storm: Option<Duration>,
}

impl Limits {
    /// As it is given on a command line.
    #[must_use]
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                flags.push_str(&format!(" --{name} {value}"));
            }
        };
        flag("without", (!self.without.is_empty()).then(|| self.without.join(",")));
        flag("hosts", self.hosts.map(|hosts| hosts.to_string()));
        flag("processes", self.processes.map(|processes| processes.to_string()));
        flag("storm", self.storm.map(|storm| format!("{}s", storm.as_secs())));
        flags
    }
}

/// Something a process of a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chore {
    Add,
    Change,
    Claim,
    Finish,
    Send,
    Read,
    Lock,
    Guarded,
    Steal,
    Once,
    Status,
    Archive,
}

/// How often each is done when all are; each seed prefers some of them.
const CHORES: [(Chore, u64); 12] = [
    (Chore::Add, 22),
    (Chore::Change, 5),
    (Chore::Claim, 18),
    (Chore::Finish, 22),
    (Chore::Send, 8),
    (Chore::Read, 8),
    (Chore::Lock, 20),
    (Chore::Guarded, 6),
    (Chore::Steal, 2),
    (Chore::Once, 5),
    (Chore::Status, 3),
    (Chore::Archive, 2),
];

/// What holds for one simulation from its begin to its end.
#[derive(Debug, Clone)]
pub(super) struct Tuning {
    /// How many hosts, and how many processes each has.
    pub hosts: usize,
    pub processes: Vec<usize>,
    /// How long the storm lasts.
    pub storm: Duration,
    /// How often servers beat.
    pub interval: Duration,
    /// For how long locks are taken.
    pub lease: Duration,
    /// How long one attempt at a job may take.
    pub job_timeout: Duration,
    /// The longest time between two commands of one process.
    pub think_millis_max: u64,
    chores: Vec<(Chore, u64)>,
    /// Whether all hosts share the disk that the hub is on.
    pub is_path: bool,
    /// Whether there is always something to claim, as long as the storm lasts.
    pub is_stocked: bool,
    /// How coarse the wall clocks are.
    pub clock_step: Duration,
}

impl Tuning {
    pub(super) fn drawn(random: &mut Random, limits: &Limits) -> Self {
        // Most fleets are small; some have eight hosts.
        let most = if random.chance(150) { 8 } else { 4 };
        let hosts = within(random.between(2, most), limits.hosts);
        let processes = (0..hosts).map(|_| within(random.between(1, 3), limits.processes)).collect();
        let storm = random.millis(100_000, 500_000);
        let pick =
            |random: &mut Random, from: &[u64]| Duration::from_secs(random.pick(from).copied().unwrap_or(60));
        let chores = CHORES.map(|(chore, usual)| (chore, usual * random.up_to(4)));
        Self {
            hosts,
            processes,
            storm: limits.storm.map_or(storm, |most| storm.min(most)),
            interval: pick(random, &[5, 15, 60]),
            lease: pick(random, &[10, 20, 60]),
            job_timeout: pick(random, &[60, 200, 600]),
            think_millis_max: random.between(5_000, 40_000),
            chores: chores.to_vec(),
            is_path: false,
            is_stocked: false,
            clock_step: Duration::from_millis(1),
        }
    }

    /// Makes it a fleet that never runs out of work, with beats so often that the storm is long beside them.
    pub(super) fn stock(&mut self) {
        self.is_stocked = true;
        self.interval = Duration::from_secs(5);
    }

    /// What a process does next.
    pub(super) fn chore(&self, random: &mut Random) -> Chore {
        if self.is_stocked && random.chance(500) {
            return Chore::Claim;
        }
        let all: u64 = self.chores.iter().map(|(_, weight)| weight).sum();
        let mut draw = random.up_to(all.saturating_sub(1));
        for (chore, weight) in &self.chores {
            match draw.checked_sub(*weight) {
                Some(rest) => draw = rest,
                None => return *chore,
            }
        }
        Chore::Add
    }
}

fn within(drawn: u64, most: Option<usize>) -> usize {
    let drawn = usize::try_from(drawn).unwrap_or(1);
    most.map_or(drawn, |most| drawn.min(most.max(1)))
}
