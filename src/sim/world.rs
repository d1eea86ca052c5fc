//! Everything there is in one simulation: true time, hosts with their clocks and files, the hub.
//!
//! Nothing here runs by itself. Processes change it one at a time, through the machine they run on
//! ([`super::machine`]) and the store below their ledger ([`super::store`]).

use super::check::Checker;
use super::faults::{Fault, Rates};
use super::random::Random;
use super::store::op_of;
use super::{Limits, Tuning};
use crate::app::commands::{Operation, WriteOptions};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, OpId};
use crate::domain::time::Timestamp;
use crate::ledger::{Document, Files, MemoryHub, Move, Publication, Refs, Version};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

/// The main branch.
pub(super) const MAIN: &str = "main";

/// How far wall clocks are off at most, in milliseconds.
const SKEW_MILLIS_MAX: u64 = 3_600_000;

/// How much faster or slower than true time clocks run at most, in millionths.
const DRIFT_MILLIONTHS_MAX: u64 = 50_000;

/// How long the hub, or one host's way to it, is in trouble at most.
const TROUBLE_MILLIS_MAX: u64 = 180_000;

/// One of so many seeds is a fleet that never runs out of work.
const STOCKED_EVERY: u64 = 8;

/// Where these happen, a host may not see what there is, or not keep what it saw.
const UNSURE: [Fault; 4] = [Fault::StaleFetch, Fault::Delayed, Fault::DiskFull, Fault::SameName];

/// How many commits a hub is rolled back at most.
const ROLLBACK_COMMITS_MAX: u64 = 5;

/// What a commit was made by, so that it can be made again.
pub(super) struct CommitOrigin {
    pub op: OpId,
    pub at: Timestamp,
    pub envelope: WriteOptions,
    pub operation: Operation,
    /// Where its writer knew the branches to be.
    pub known: Arc<Refs>,
}

/// A push on its way.
#[derive(Debug, Clone)]
pub(super) struct Delayed {
    pub due: Duration,
    pub moves: Vec<Move>,
}

/// A host: its clocks, and what lies on its disk.
pub(super) struct Host {
    pub name: String,
    /// How far the wall clock is off, in milliseconds.
    pub wall_offset: i64,
    /// How much faster than true time its clocks run, in millionths.
    pub drift: i64,
    pub booted: Duration,
    pub boots: u64,
    /// What lies on its disk, by path; bytes compare faster than paths.
    pub files: BTreeMap<OsString, Vec<u8>>,
    /// What was written and may be lost with the power, with what was there before.
    pub unflushed: BTreeMap<OsString, Option<Vec<u8>>>,
    pub locks: BTreeSet<OsString>,
    /// What its copy of the hub knows.
    pub known: Arc<Refs>,
    /// Whether that copy is damaged.
    pub is_damaged: bool,
    /// Until when it does not reach the hub.
    pub cut_off_until: Duration,
    /// Whether it fell silent for good.
    pub is_gone: bool,
}

impl Host {
    fn new(name: String) -> Self {
        Self {
            name,
            wall_offset: 0,
            drift: 0,
            booted: Duration::ZERO,
            boots: 1,
            files: BTreeMap::new(),
            unflushed: BTreeMap::new(),
            locks: BTreeSet::new(),
            known: Arc::default(),
            is_damaged: false,
            cut_off_until: Duration::ZERO,
            is_gone: false,
        }
    }

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

/// A number as far below zero as above it.
fn around_zero(random: &mut Random, most: u64) -> i64 {
    i64::try_from(random.up_to(2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
}

/// Until when the hub as a whole is in trouble.
#[derive(Debug, Clone, Default)]
pub(super) struct Outage {
    pub outage: Duration,
    pub rate_limited: Duration,
    pub read_only: Duration,
}

/// A simulation.
pub(super) struct World {
    pub now: Duration,
    pub random: Random,
    pub rates: Rates,
    pub tuning: Tuning,
    pub hosts: Vec<Host>,
    pub hub: MemoryHub,
    /// By what each commit was made that was not made by hand.
    pub made_by: HashMap<Version, Arc<CommitOrigin>>,
    pub delayed: Vec<Delayed>,
    pub trouble: Outage,
    pub checker: Checker,
    pub faults_injected: u64,
    /// Whether faults are over and all work has to come to its end.
    pub is_calm: bool,
    /// Whether the process that has the turn is to die.
    pub dies: bool,
    /// What is being submitted just now, by each process.
    pub submitting: HashMap<usize, Arc<(WriteOptions, Operation)>>,
    /// The operation of the last commit that each process built.
    pub built: HashMap<usize, OpId>,
    /// What happened, if anybody wants to know.
    pub log: Option<Vec<String>>,
}

impl World {
    /// A hub and its members, none of which did anything yet.
    pub(super) fn new(seed: u64, limits: &Limits, with_log: bool) -> Self {
        let mut random = Random::new(seed);
        let mut rates = Rates::drawn(&mut random, &limits.without);
        let mut tuning = Tuning::drawn(&mut random, limits);
        // Not drawn: that would change what all other seeds do.
        if seed % STOCKED_EVERY == STOCKED_EVERY - 1 {
            rates.spare(&UNSURE);
            tuning.stock();
        }
        let hosts = (0..tuning.hosts).map(|number| Host::new(format!("build{number}"))).collect();
        let mut world = Self {
            now: Duration::ZERO,
            random,
            rates,
            tuning,
            hosts,
            hub: MemoryHub::default(),
            made_by: HashMap::new(),
            delayed: Vec::new(),
            trouble: Outage::default(),
            checker: Checker::default(),
            faults_injected: 0,
            is_calm: false,
            dies: false,
            submitting: HashMap::new(),
            built: HashMap::new(),
            log: with_log.then(Vec::new),
        };
        world.set_clocks();
        world.checker.recovery.is_sure = UNSURE.iter().all(|fault| world.rates.of(*fault) == 0);
        let (names, tuning) = (world.rates.names().collect::<Vec<_>>().join(" "), world.tuning.clone());
        world.note(|| format!("{names}; {tuning:?}"));
        let files = world.founded();
        let version = world.hub.store(None, Arc::new(files), "init".into(), None);
        world.hub.refs = Arc::new(Refs::from([(MAIN.to_owned(), version)]));
        world
    }

    fn set_clocks(&mut self) {
        let is_on = |world: &mut Self, fault| {
            let rate = world.rates.of(fault);
            world.random.chance(rate)
        };
        let (is_skewed, drifts) = (is_on(self, Fault::Skew), is_on(self, Fault::Drift));
        self.tuning.is_path = is_on(self, Fault::PathHub);
        self.tuning.clock_step =
            if is_on(self, Fault::CoarseClock) { Duration::from_secs(60) } else { Duration::from_millis(1) };
        if is_on(self, Fault::SameName)
            && let [first, .., last] = self.hosts.as_mut_slice()
        {
            last.name.clone_from(&first.name);
        }
        for host in &mut self.hosts {
            if is_skewed {
                host.wall_offset = around_zero(&mut self.random, SKEW_MILLIS_MAX);
            }
            if drifts {
                host.drift = around_zero(&mut self.random, DRIFT_MILLIONTHS_MAX);
            }
        }
    }

    fn founded(&self) -> Files {
        let names: BTreeSet<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        let server = |name: &&str| serde_json::json!({"id": name, "labels": [super::label_of(name)]});
        let servers: Vec<_> = names.iter().map(server).collect();
        let documents = [
            ("jobs", serde_json::json!({"jobs": []})),
            ("locks", serde_json::json!({"locks": {}})),
            ("messages", serde_json::json!({"messages": []})),
            ("servers", serde_json::json!({"servers": servers})),
        ];
        let named = |(name, document): (&str, serde_json::Value)| {
            let bytes = document.to_string().into_bytes();
            (format!("coordination/{name}.json").into(), Arc::new(Document::new(bytes)))
        };
        documents.into_iter().map(named).collect()
    }

    /// Says what happened, if anybody wants to know.
    pub(super) fn note(&mut self, words: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>12.3} {}", self.now.as_secs_f64(), words()));
        }
    }

    /// Whether a fault happens now.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let rate = self.rates.of(fault);
        let strikes = !self.is_calm && rate > 0 && self.random.chance(rate);
        self.faults_injected += u64::from(strikes);
        strikes
    }

    /// The documents of a version.
    pub(super) fn files(&self, version: Option<&Version>) -> Arc<Files> {
        self.hub.files(version)
    }

    /// Moves branches if all are where they are expected to be.
    pub(super) fn swap(&mut self, moves: &[Move]) -> Publication {
        self.swap_some(moves, moves)
    }

    /// Compares all of `moves`, and makes those that are `moved`.
    pub(super) fn swap_some(&mut self, moves: &[Move], moved: &[Move]) -> Publication {
        let told = self.hub.swap_some(moves, moved);
        if told != Publication::Applied {
            return told;
        }
        // Judged first: a session that is ended by the same push was not ended before.
        for one in moved.iter().filter(|one| one.branch == MAIN) {
            self.judge(one);
        }
        for one in moved {
            let Some(server) = one.branch.strip_prefix(HEARTBEAT_BRANCH_PREFIX) else { continue };
            self.note_session(server, &one.to);
        }
        told
    }

    fn judge(&mut self, one: &Move) {
        let (old, new) = (self.files(one.from.as_ref()), self.files(Some(&one.to)));
        let Some(stored) = self.hub.commits.get(&one.to) else { return };
        if stored.parent != one.from {
            self.checker.blame(format!("I13: the main branch left its history at {}", one.to));
        }
        let (built, depth) = (self.made_by.get(&one.to).cloned(), stored.depth);
        let op = built.as_ref().map_or("a hand", |built| built.op.as_str()).to_owned();
        self.note(|| format!("commit {depth} is {} by {op}", one.to));
        self.checker.moved(self.now, &old, &new, built.as_deref());
    }

    /// The beat of a server was replaced by the one at `version`.
    fn note_session(&mut self, server: &str, version: &Version) {
        let path = format!("{server}/heartbeat.json");
        let document = self.files(Some(version)).get(path.as_str()).cloned();
        if let Some(beat) = document.and_then(|document| document.record::<Heartbeat>(&path).ok()) {
            self.checker.session(server, beat.revoked.as_deref(), self.now);
            let is_beat =
                self.hub.commits.get(version).is_some_and(|one| one.message.starts_with("heartbeat:"));
            if let Some(session) = beat.incarnation.clone().filter(|_| is_beat) {
                self.checker.heard(server, session, self.now, beat.interval());
            }
        }
    }

    /// Lets the pushes arrive that are due.
    pub(super) fn arrive(&mut self) {
        let now = self.now;
        if self.delayed.iter().all(|delayed| delayed.due > now) {
            return;
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.delayed).into_iter().partition(|delayed| delayed.due <= now);
        self.delayed = later;
        for delayed in due {
            let outcome = self.swap(&delayed.moves);
            self.note(|| format!("a late push arrives: {outcome:?}"));
        }
    }

    /// What may happen at any moment, to the hub or to `host`.
    pub(super) fn happen(&mut self, host: usize) {
        let span = |world: &mut Self| world.now + world.random.millis(1000, TROUBLE_MILLIS_MAX);
        if self.strikes(Fault::Outage) {
            self.trouble.outage = span(self);
            self.note(|| "the hub is down".to_owned());
        }
        if self.strikes(Fault::RateLimited) {
            self.trouble.rate_limited = span(self);
            self.note(|| "the hub limits requests".to_owned());
        }
        if self.strikes(Fault::ReadOnly) {
            self.trouble.read_only = span(self);
            self.note(|| "the hub takes nothing".to_owned());
        }
        if self.strikes(Fault::RolledBack) {
            self.roll_back();
        }
        if self.strikes(Fault::CutOff) {
            let until = span(self);
            self.on(host, |host| host.cut_off_until = until);
            self.note(|| format!("host {host} is cut off"));
        }
        if self.strikes(Fault::ClockStep) {
            let offset = around_zero(&mut self.random, SKEW_MILLIS_MAX);
            self.on(host, |host| host.wall_offset = offset);
            self.note(|| format!("the clock of host {host} is {offset} ms off"));
        }
        if self.strikes(Fault::CopyLost) {
            self.on(host, |host| host.known = Arc::default());
            self.note(|| format!("host {host} loses its copy of the hub"));
        }
        if !self.tuning.is_path && self.strikes(Fault::CopyDamaged) {
            self.on(host, |host| host.is_damaged = true);
            self.note(|| format!("host {host} has a damaged copy of the hub"));
        }
    }

    /// The storm is over: from now on everything has to come to its end.
    pub(super) fn calm(&mut self) {
        self.is_calm = true;
        self.trouble = Outage::default();
        for host in &mut self.hosts {
            host.cut_off_until = Duration::ZERO;
        }
        self.note(|| "calm".to_owned());
    }

    pub(super) fn on(&mut self, host: usize, act: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.get_mut(host) {
            act(host);
        }
    }

    /// An administrator puts an old state of the hub back: what was acknowledged since is lost.
    fn roll_back(&mut self) {
        let commits = self.random.between(1, ROLLBACK_COMMITS_MAX);
        let Some(tip) = self.hub.refs.get(MAIN).cloned() else { return };
        let files = self.files(Some(&tip));
        let mut dropped = Vec::new();
        let mut target = tip;
        for _ in 0..commits {
            let Some(parent) = self.hub.commits.get(&target).and_then(|stored| stored.parent.clone()) else {
                break;
            };
            dropped.push(std::mem::replace(&mut target, parent));
        }
        Arc::make_mut(&mut self.hub.refs).insert(MAIN.to_owned(), target);
        let ops = dropped.iter().filter_map(|version| op_of(&self.hub.commits.get(version)?.message));
        self.checker.dropped_ops.extend(ops);
        self.checker.rolled_back(&dropped, &files);
        self.note(|| format!("the hub is rolled back by {} commits", dropped.len()));
    }

    /// The host loses its power: what was not flushed is what it was, gone, or torn.
    pub(super) fn reboot(&mut self, host: usize) {
        let now = self.now;
        let unflushed = self.hosts.get_mut(host).map(|host| std::mem::take(&mut host.unflushed));
        for (path, before) in unflushed.into_iter().flatten() {
            let survives = self.random.chance(500);
            let torn = self.strikes(Fault::TornFile);
            let length = usize::try_from(self.random.up_to(200)).unwrap_or(0);
            self.on(host, |host| match (survives, torn, before) {
                (_, true, _) => {
                    host.files.entry(path).and_modify(|bytes| bytes.truncate(length));
                }
                (true, ..) => {}
                (false, _, Some(before)) => drop(host.files.insert(path, before)),
                (false, _, None) => drop(host.files.remove(&path)),
            });
        }
        let name = self.hosts.get(host).map(|host| host.name.clone());
        self.checker.recovery.forget(name.as_deref());
        self.on(host, |host| {
            host.locks.clear();
            host.boots += 1;
            host.booted = now;
        });
    }
}
