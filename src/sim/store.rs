//! The store below a simulated ledger: a hub behind a network on which things get lost, or on a
//! disk that all hosts share.

use super::faults::Fault;
use super::machine::SharedWorld;
use super::world::{CommitOrigin, Delayed, MAIN, World};
use crate::domain::id::OpId;
use crate::ledger::{
    Cause, Commit, Document, Engine, EngineUpkeep, LedgerError, Move, Publication, Reason, Refs, Scope,
    Search, StoreCause, Version, changed, names_in, ops_in,
};
use crate::machine::Deadline;
use crate::machine::Machine;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

/// How long a message is on its way at most, in milliseconds.
const LATENCY_MILLIS_MAX: u64 = 300;

/// How late a push may arrive that everybody took for lost.
const DELAY_MILLIS_MAX: u64 = 600_000;

/// How many of a thousand requests a hub refuses that limits them.
const LIMITED_PER_MILLE: u64 = 800;

/// What every error says that is no fault of the program's.
pub(super) const INJECTED: &str = "simulated:";

/// The hub as one process reaches it.
pub(super) struct Store {
    pub world: SharedWorld,
    pub machine: Machine,
    pub host: usize,
    pub process: usize,
    /// Where the branches were when an attempt, which begins with the main branch, looked them up.
    pub looked_up: RefCell<Arc<Refs>>,
}

impl Store {
    /// A message goes one way.
    fn travel(&self) {
        let span = self.world.get().random.millis(1, LATENCY_MILLIS_MAX);
        self.machine.sleep(span);
    }

    fn is_path(&self) -> bool {
        self.world.get().tuning.is_path
    }

    /// Where this host knows the branches to be; on a shared disk, where they are.
    fn known(&self) -> Arc<Refs> {
        let world = self.world.get();
        if world.tuning.is_path {
            return Arc::clone(&world.hub.refs);
        }
        world.hosts.get(self.host).map(|host| Arc::clone(&host.known)).unwrap_or_default()
    }

    fn is_damaged(&self) -> Result<(), LedgerError> {
        let world = self.world.get();
        if world.hosts.get(self.host).is_some_and(|host| host.is_damaged) {
            let why = format!("{INJECTED} an object is not what its name says");
            return Err(LedgerError::Store {
                what: "cannot read".to_owned(),
                why,
                cause: StoreCause::Damaged,
            });
        }
        Ok(())
    }

    /// Why the hub does not answer, if it does not.
    fn silence(&self) -> Option<String> {
        let mut world = self.world.get();
        let cut_off = world.hosts.get(self.host).is_some_and(|host| host.cut_off_until > world.now);
        let why = if world.strikes(Fault::Unreachable) {
            "no route"
        } else if cut_off || world.trouble.outage > world.now {
            "it does not answer"
        } else if world.trouble.rate_limited > world.now && world.random.chance(LIMITED_PER_MILLE) {
            "429 too many requests"
        } else {
            return None;
        };
        Some(format!("{INJECTED} {why}"))
    }

    /// What happens to a push on its way.
    fn deliver(&self, moves: &[Move]) -> Publication {
        let mut world = self.world.get();
        if world.strikes(Fault::Busy) {
            return Publication::Busy(None);
        }
        if world.trouble.read_only > world.now {
            return Publication::Denied(Reason::of(
                Cause::MayNotWrite,
                format!("{INJECTED} the hub is read-only"),
            ));
        }
        if let [_, others @ ..] = moves
            && !others.is_empty()
            && world.strikes(Fault::Halved)
        {
            // Branches of a real hub move one by one, the one by which a write is judged last.
            return match world.swap_some(moves, others) {
                Publication::Applied => Publication::Unknown("it ended between two branches".to_owned()),
                other => other,
            };
        }
        if world.tuning.is_path {
            return world.swap(moves);
        }
        let lost = || Publication::Unknown("the connection was cut".to_owned());
        if world.strikes(Fault::Vanished) {
            return lost();
        }
        if world.strikes(Fault::Delayed) {
            postpone(&mut world, moves);
            return lost();
        }
        let swapped = world.swap(moves);
        if world.strikes(Fault::Duplicated) {
            postpone(&mut world, moves);
        }
        if swapped == Publication::Applied && world.strikes(Fault::Repeated) {
            // The transport lost the answer, asked again by itself, and was told that the branch is
            // elsewhere: where this very push has put it.
            return Publication::Stale;
        }
        if world.strikes(Fault::AnswerLost) { lost() } else { swapped }
    }
}

/// The push arrives later, perhaps a second time.
fn postpone(world: &mut World, moves: &[Move]) {
    let due = world.now + world.random.millis(1, DELAY_MILLIS_MAX);
    world.delayed.push(Delayed { due, moves: moves.to_vec() });
}

impl Engine for Store {
    fn hub(&self) -> &'static str {
        "the simulated hub"
    }

    fn is_always_fresh(&self) -> bool {
        self.is_path()
    }

    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        let known = self.known();
        let tip = known.get(branch).cloned();
        let mut looked_up = self.looked_up.borrow_mut();
        if branch == MAIN {
            *looked_up = known;
        } else if let Some(tip) = tip.as_ref().filter(|tip| looked_up.get(branch) != Some(*tip)) {
            // The copy was replaced or brought up to date since.
            Arc::make_mut(&mut looked_up).insert(branch.to_owned(), tip.clone());
        } else if tip.is_none() && looked_up.contains_key(branch) {
            Arc::make_mut(&mut looked_up).remove(branch);
        }
        Ok(tip)
    }

    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let known = self.known();
        let mut looked_up = self.looked_up.borrow_mut();
        if looked_up.keys().any(|name| name.starts_with(prefix) && !known.contains_key(name)) {
            Arc::make_mut(&mut looked_up)
                .retain(|name, _| !name.starts_with(prefix) || known.contains_key(name));
        }
        Ok(known.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn refresh(&mut self, _: &str, _: &Scope, _: &Deadline) -> Result<Option<String>, LedgerError> {
        if self.is_path() {
            return Ok(None);
        }
        self.travel();
        if let Some(why) = self.silence() {
            let why = Reason::of(Cause::Network, why);
            return Err(LedgerError::Unreachable { hub: self.hub().to_owned(), why });
        }
        self.is_damaged()?;
        {
            let mut world = self.world.get();
            // A copy that has nothing yet is no old one.
            let has_copy = world.hosts.get(self.host).is_some_and(|host| host.known.contains_key(MAIN));
            if !has_copy || !world.strikes(Fault::StaleFetch) {
                let refs = Arc::clone(&world.hub.refs);
                world.on(self.host, |host| host.known = refs);
            }
        }
        self.travel();
        Ok(None)
    }

    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.is_damaged()?;
        Ok(self.world.get().hub.file(version, path))
    }

    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        Ok(names_in(&self.world.get().files(Some(version)), folder))
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        let mut known = Arc::clone(&self.looked_up.borrow());
        if let Some(base) = commit.base.filter(|_| commit.follows) {
            Arc::make_mut(&mut known).insert(MAIN.to_owned(), base.clone());
        }
        let mut world = self.world.get();
        if world.strikes(Fault::DiskFull) {
            let why = format!("{INJECTED} no space left");
            return Err(LedgerError::Store { what: "cannot write".to_owned(), why, cause: StoreCause::Disk });
        }
        let files = changed(&world.files(commit.base), commit);
        let parent = commit.base.filter(|_| commit.follows).cloned();
        let submitted = world.submitting.get(&self.process).map(Arc::clone);
        let built = submitted.map(|submitted| {
            let (envelope, operation) = Arc::unwrap_or_clone(submitted);
            let op = op_of(commit.message).expect("a commit of ours names its operation");
            world.built.insert(self.process, op.clone());
            Arc::new(CommitOrigin { op, at: commit.at, envelope, operation, known })
        });
        let made = built.as_ref().map(|built| (commit.author.into(), built.at));
        let version = world.hub.store(parent, Arc::new(files), commit.message.into(), made);
        if let Some(built) = built {
            world.made_by.entry(version.clone()).or_insert(built);
        }
        Ok(version)
    }

    fn publish(&mut self, moves: &[Move], _: &Deadline) -> Publication {
        self.travel();
        let publication = match self.silence() {
            Some(why) => Publication::Unreachable(Reason::of(Cause::Network, why)),
            None => self.deliver(moves),
        };
        self.travel();
        if publication == Publication::Stale && self.world.get().rates.of(Fault::Repeated) > 0 {
            return Publication::StaleOrRepeated;
        }
        if publication == Publication::Applied {
            self.world.get().on(self.host, |host| {
                let known = Arc::make_mut(&mut host.known);
                known.extend(moves.iter().map(|one| (one.branch.clone(), one.to.clone())));
            });
        }
        publication
    }

    fn leads_to(&self, version: &Version, tip: &Version) -> Result<bool, LedgerError> {
        Ok(self.world.get().hub.leads_to(version, tip))
    }

    fn find(&self, tip: &Version, op: &OpId, since: Option<&Version>) -> Result<Search, LedgerError> {
        Ok(self.world.get().hub.find(tip, op, since, usize::MAX))
    }

    fn upkeep(&self) -> Option<&dyn EngineUpkeep> {
        Some(self)
    }

    fn upkeep_mut(&mut self) -> Option<&mut dyn EngineUpkeep> {
        Some(self)
    }
}

impl EngineUpkeep for Store {
    fn lock_path(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/hub.flock"))
    }

    fn heal(&mut self) -> Result<bool, LedgerError> {
        self.world.get().on(self.host, |host| {
            host.is_damaged = false;
            host.known = Arc::default();
        });
        Ok(!self.is_path())
    }
}

/// The operation that a commit says it carries: one, here.
pub(super) fn op_of(message: &str) -> Option<OpId> {
    ops_in(message).next()
}
