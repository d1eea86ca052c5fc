//! Everything there is in one simulation: true time, hosts with their clocks and files, the hub.
//!
//! Nothing here runs by itself. Processes change it one at a time, through the machine they run on
//! ([`super::machine`]) and the store below their ledger ([`super::store`]).

use super::check::Checker;
use super::random::Random;
use crate::ledger::{Move, Publication, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The documents of a commit by path.
pub(super) type Files = BTreeMap<String, Arc<str>>;

/// The main branch.
pub(super) const MAIN: &str = "main";

/// A commit.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub parent: Option<Version>,
    pub files: Files,
    pub message: String,
    /// How many commits come before it.
    pub depth: u64,
}

/// A push on its way.
#[derive(Debug, Clone)]
pub(super) struct Delayed {
    pub due: Duration,
    pub moves: Vec<Move>,
}

/// How often things go wrong, in a thousand; each seed draws its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub unreachable: u64,
    pub stale_fetch: u64,
    pub busy: u64,
    pub answer_lost: u64,
    pub vanished: u64,
    pub delayed: u64,
    pub killed: u64,
    pub paused: u64,
    pub rebooted: u64,
    pub disk_full: u64,
    pub clock_step: u64,
}

impl Faults {
    /// Each kind is left out by half of the seeds, so that some are seen alone.
    fn drawn(random: &mut Random) -> Self {
        let mut rate = |most: u64| if random.chance(500) { 0 } else { random.up_to(most) };
        Self {
            unreachable: rate(100),
            stale_fetch: rate(100),
            busy: rate(100),
            answer_lost: rate(100),
            vanished: rate(100),
            delayed: rate(80),
            killed: rate(30),
            paused: rate(10),
            rebooted: rate(300),
            disk_full: rate(20),
            clock_step: rate(10),
        }
    }
}

/// A host: its clocks, and what lies on its disk.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub name: String,
    /// How far the wall clock is off, in milliseconds.
    pub wall_offset: i64,
    /// How much faster than true time its clocks run, in millionths.
    pub drift: i64,
    pub booted: Duration,
    pub boots: u64,
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub unflushed: BTreeSet<PathBuf>,
    pub locks: BTreeSet<PathBuf>,
    /// What its copy of the hub knows.
    pub known: BTreeMap<String, Version>,
}

impl Host {
    /// What a clock of this host shows after `span` of true time.
    pub(super) fn shown(&self, span: Duration) -> Duration {
        scaled(span, 1_000_000 + self.drift, 1_000_000)
    }

    /// How much true time passes while a clock of this host shows `span`.
    pub(super) fn true_span(&self, span: Duration) -> Duration {
        scaled(span, 1_000_000, 1_000_000 + self.drift)
    }
}

fn scaled(span: Duration, by: i64, of: i64) -> Duration {
    let nanos = i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
    let scaled = nanos.saturating_mul(by.into()) / i128::from(of);
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// A simulation.
pub(super) struct World {
    pub now: Duration,
    pub random: Random,
    pub faults: Faults,
    pub hosts: Vec<Host>,
    pub commits: BTreeMap<Version, Stored>,
    pub refs: BTreeMap<String, Version>,
    pub delayed: Vec<Delayed>,
    pub checker: Checker,
    pub faults_injected: u64,
    /// Whether faults are over and all work has to come to its end.
    pub is_calm: bool,
    pub log: Vec<String>,
}

impl World {
    /// A hub with `hosts` members, none of which did anything yet.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::drawn(&mut random);
        let is_skewed = random.chance(500);
        let hosts = (0..random.between(2, 5))
            .map(|number| Host {
                name: format!("build{number}"),
                wall_offset: if is_skewed {
                    i64::try_from(random.up_to(7_200_000)).unwrap_or(0) - 3_600_000
                } else {
                    0
                },
                drift: i64::try_from(random.up_to(20_000)).unwrap_or(0) - 10_000,
                booted: Duration::ZERO,
                boots: 1,
                files: BTreeMap::new(),
                unflushed: BTreeSet::new(),
                locks: BTreeSet::new(),
                known: BTreeMap::new(),
            })
            .collect::<Vec<_>>();
        let mut world = Self {
            now: Duration::ZERO,
            random,
            faults,
            hosts,
            commits: BTreeMap::new(),
            refs: BTreeMap::new(),
            delayed: Vec::new(),
            checker: Checker::default(),
            faults_injected: 0,
            is_calm: false,
            log: Vec::new(),
        };
        let files = world.founded();
        let version = world.store(None, files, "init".to_owned());
        world.refs.insert(MAIN.to_owned(), version);
        world
    }

    fn founded(&self) -> Files {
        let servers: Vec<_> = self.hosts.iter().map(|host| serde_json::json!({"id": host.name})).collect();
        let documents = [
            ("jobs", serde_json::json!({"jobs": []})),
            ("locks", serde_json::json!({"locks": {}})),
            ("messages", serde_json::json!({"messages": []})),
            ("servers", serde_json::json!({"servers": servers})),
        ];
        let named = |(name, document): (&str, serde_json::Value)| {
            (format!("coordination/{name}.json"), Arc::from(document.to_string()))
        };
        documents.into_iter().map(named).collect()
    }

    /// Says what happened; kept as text only when somebody wants it.
    pub(super) fn note(&mut self, words: impl FnOnce() -> String) {
        let line = format!("{:>12.3} {}", self.now.as_secs_f64(), words());
        self.log.push(line);
    }

    /// Whether a fault with this rate happens now.
    pub(super) fn strikes(&mut self, rate: impl Fn(&Faults) -> u64) -> bool {
        let rate = rate(&self.faults);
        let strikes = !self.is_calm && rate > 0 && self.random.chance(rate);
        self.faults_injected += u64::from(strikes);
        strikes
    }

    pub(super) fn store(&mut self, parent: Option<Version>, files: Files, message: String) -> Version {
        let depth =
            parent.as_ref().and_then(|parent| self.commits.get(parent)).map_or(0, |parent| parent.depth + 1);
        let version = Version::new(format!("{:040x}", self.commits.len() + 1));
        self.commits.insert(version.clone(), Stored { parent, files, message, depth });
        version
    }

    /// Moves branches if all are where they are expected to be.
    pub(super) fn swap(&mut self, moves: &[Move]) -> Publication {
        if moves.iter().any(|one| self.refs.get(&one.branch) != one.from.as_ref()) {
            return Publication::Stale;
        }
        for one in moves {
            let before = self.refs.insert(one.branch.clone(), one.to.clone());
            if one.branch == MAIN {
                let files = |version: &Version| self.commits.get(version).map(|stored| stored.files.clone());
                let (old, new) = (before.as_ref().and_then(files), files(&one.to));
                self.checker.moved(&old.unwrap_or_default(), &new.unwrap_or_default());
            }
        }
        Publication::Applied
    }

    /// Lets the pushes arrive that are due.
    pub(super) fn arrive(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.delayed).into_iter().partition(|delayed| delayed.due <= now);
        self.delayed = later;
        for delayed in due {
            let outcome = self.swap(&delayed.moves);
            self.note(|| format!("a late push arrives: {outcome:?}"));
        }
    }

    /// A commit and all before it, the newest first.
    pub(super) fn history<'a>(
        &'a self,
        tip: Option<&'a Version>,
    ) -> impl Iterator<Item = (&'a Version, &'a Stored)> {
        let find = |version: &'a Version| self.commits.get_key_value(version);
        std::iter::successors(tip.and_then(find), move |(_, stored)| stored.parent.as_ref().and_then(find))
    }

    /// Somebody sets the wall clock of the host, up to an hour off.
    pub(super) fn step_clock(&mut self, host: usize) {
        let offset = i64::try_from(self.random.up_to(7_200_000)).unwrap_or(0) - 3_600_000;
        if let Some(host) = self.hosts.get_mut(host) {
            host.wall_offset = offset;
        }
        self.note(|| format!("the clock of host {host} is {offset} ms off"));
    }

    /// The host loses its power: what was not flushed may be gone.
    pub(super) fn reboot(&mut self, host: usize) {
        let now = self.now;
        let mut gone = Vec::new();
        if let Some(host) = self.hosts.get(host) {
            let unflushed: Vec<PathBuf> = host.unflushed.iter().cloned().collect();
            gone.extend(unflushed.into_iter().filter(|_| self.random.chance(500)));
        }
        if let Some(host) = self.hosts.get_mut(host) {
            for path in gone {
                host.files.remove(&path);
            }
            host.unflushed.clear();
            host.locks.clear();
            host.boots += 1;
            host.booted = now;
        }
    }
}
