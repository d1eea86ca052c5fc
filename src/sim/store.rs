//! The store below a simulated ledger: a hub behind a network on which things get lost, or on a
//! disk that all hosts share.

use super::faults::Fault;
use super::machine::Shared;
use super::world::{Built, Delayed, Files, MAIN, Refs, Stored, World};
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::ledger::{
    Cause, Commit, Document, Engine, EngineUpkeep, Found, LedgerError, Move, Publication, Reason, Scope,
    Search, StoreCause, Version, ops_in, shows,
};
use crate::machine::Machine;
use crate::machine::clock::Deadline;
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
    pub world: Shared,
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
            return Arc::clone(&world.refs);
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

    fn files<R>(&self, version: &Version, look: impl FnOnce(&Files) -> R) -> R {
        match self.world.get().commits.get(version) {
            Some(stored) => look(&stored.files),
            None => look(&Files::new()),
        }
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
                let refs = Arc::clone(&world.refs);
                world.on(self.host, |host| host.known = refs);
            }
        }
        self.travel();
        Ok(None)
    }

    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.is_damaged()?;
        Ok(self.files(version, |files| files.get(path).cloned()))
    }

    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        Ok(self.files(version, |files| names_in(files, folder)))
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
        let files = world.files(commit.base);
        let files = changed(&files, commit);
        let parent = commit.base.filter(|_| commit.follows).cloned();
        let submitted = world.submitting.get(&self.process).map(Arc::clone);
        let built = submitted.map(|submitted| {
            let (envelope, operation) = Arc::unwrap_or_clone(submitted);
            let op = op_of(commit.message).expect("a commit of ours names its operation");
            world.built.insert(self.process, op.clone());
            Arc::new(Built { op, at: commit.at, envelope, operation, known })
        });
        Ok(world.store(parent, Arc::new(files), commit.message.into(), built))
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
        Ok(self.world.get().history(Some(tip)).any(|(seen, _)| seen == version))
    }

    fn find(&self, tip: &Version, op: &OpId, _: Option<&Version>) -> Result<Search, LedgerError> {
        let carries = |stored: &Stored| shows(&stored.message, op);
        let world = self.world.get();
        let found = world.history(Some(tip)).find(|(_, stored)| carries(stored));
        Ok(found.map_or(Search::NotThere, |(version, stored)| {
            Search::Found(Found {
                version: version.clone(),
                before: None,
                at: None::<Timestamp>,
                subject: stored.message.lines().next().unwrap_or_default().to_owned(),
            })
        }))
    }

    fn upkeep(&self) -> Option<&dyn EngineUpkeep> {
        Some(self)
    }

    fn upkeep_mut(&mut self) -> Option<&mut dyn EngineUpkeep> {
        Some(self)
    }
}

impl EngineUpkeep for Store {
    fn lock_path(&self) -> PathBuf {
        PathBuf::from("/hub.flock")
    }

    fn heal(&mut self) -> Result<bool, LedgerError> {
        self.world.get().on(self.host, |host| {
            host.is_damaged = false;
            host.known = Arc::default();
        });
        Ok(!self.is_path())
    }
}

/// Names of what lies directly in a folder.
pub(super) fn names_in(files: &Files, folder: &str) -> Vec<String> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let inside = |rest: &str| match rest.split_once('/') {
        Some((folder, _)) => format!("{folder}/"),
        None => rest.to_owned(),
    };
    let mut names: Vec<String> =
        files.keys().filter_map(|path| path.strip_prefix(&prefix)).map(inside).collect();
    names.dedup();
    names
}

/// The documents after a commit.
pub(super) fn changed(before: &Files, commit: &Commit<'_>) -> Files {
    let mut files = before.clone();
    for (path, change) in commit.changes {
        match change {
            Some(document) => {
                // It is read again as everybody else does.
                let before = files.get(path.as_str()).cloned();
                let document = Document::after(before, document.bytes().to_vec());
                files.insert(path.as_str().into(), Arc::new(document));
            }
            None => drop(files.remove(path.as_str())),
        }
    }
    files
}

/// The operation that a commit says it carries: one, here.
pub(super) fn op_of(message: &str) -> Option<OpId> {
    ops_in(message).next()
}
