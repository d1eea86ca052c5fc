//! The store below a simulated ledger: a hub behind a network on which things get lost.

use super::machine::Shared;
use super::world::{Delayed, Files, MAIN, Stored};
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::host::clock::{self, Deadline};
use crate::ledger::{Commit, Engine, Found, LedgerError, Move, Publication, Scope, Version};
use std::path::PathBuf;

/// How long a message is on its way at most, in milliseconds.
const LATENCY_MILLIS_MAX: u64 = 300;

/// How late a push may arrive that everybody took for lost.
const DELAY_MILLIS_MAX: u64 = 600_000;

/// The hub as one host reaches it.
pub(super) struct Store {
    pub world: Shared,
    pub host: usize,
}

impl Store {
    /// A message goes one way.
    fn travel(&self) {
        let span = self.world.get().random.millis(1, LATENCY_MILLIS_MAX);
        clock::sleep(span);
    }

    fn known(&self, branch: &str) -> Option<Version> {
        self.world.get().hosts.get(self.host)?.known.get(branch).cloned()
    }

    fn learn(&self) {
        let mut world = self.world.get();
        let refs = world.refs.clone();
        if let Some(host) = world.hosts.get_mut(self.host) {
            host.known = refs;
        }
    }

    fn files<R>(&self, version: &Version, look: impl FnOnce(&Files) -> R) -> R {
        match self.world.get().commits.get(version) {
            Some(stored) => look(&stored.files),
            None => look(&Files::new()),
        }
    }
}

impl Engine for Store {
    fn hub(&self) -> &'static str {
        "the simulated hub"
    }

    fn is_always_fresh(&self) -> bool {
        false
    }

    fn lock_path(&self) -> PathBuf {
        PathBuf::from("/hub.flock")
    }

    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        Ok(self.known(branch))
    }

    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let world = self.world.get();
        let known = world.hosts.get(self.host).map(|host| host.known.keys()).into_iter().flatten();
        Ok(known.filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn refresh(&mut self, _: &str, _: Scope, _: Deadline) -> Result<Option<String>, LedgerError> {
        self.travel();
        if self.world.get().strikes(|faults| faults.unreachable) {
            let why = "it does not answer".to_owned();
            return Err(LedgerError::Unreachable { hub: self.hub().to_owned(), why });
        }
        // A copy that has nothing yet is no old one.
        let is_stale = self.known(MAIN).is_some() && self.world.get().strikes(|faults| faults.stale_fetch);
        if !is_stale {
            self.learn();
        }
        self.travel();
        Ok(None)
    }

    fn read(&self, version: &Version, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.files(version, |files| files.get(path).map(|text| text.as_bytes().to_vec())))
    }

    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let inside = |rest: &str| match rest.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => rest.to_owned(),
        };
        let mut names: Vec<String> = self.files(version, |files| {
            files.keys().filter_map(|path| path.strip_prefix(&prefix)).map(inside).collect()
        });
        names.dedup();
        Ok(names)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        let mut files = commit.base.map(|base| self.files(base, Clone::clone)).unwrap_or_default();
        for (path, change) in commit.changes {
            match change {
                Some(text) => drop(files.insert(path.clone(), text.as_str().into())),
                None => drop(files.remove(path)),
            }
        }
        let parent = commit.base.filter(|_| commit.follows).cloned();
        Ok(self.world.get().store(parent, files, commit.message.to_owned()))
    }

    fn publish(&mut self, moves: &[Move], _: Deadline) -> Publication {
        self.travel();
        let lost = || Publication::Unknown("the connection was cut".to_owned());
        let publication = {
            let mut world = self.world.get();
            if world.strikes(|faults| faults.unreachable) {
                Publication::Unreachable("it does not answer".to_owned())
            } else if world.strikes(|faults| faults.busy) {
                Publication::Busy
            } else if world.strikes(|faults| faults.vanished) {
                lost()
            } else if world.strikes(|faults| faults.delayed) {
                let due = world.now + world.random.millis(1, DELAY_MILLIS_MAX);
                world.delayed.push(Delayed { due, moves: moves.to_vec() });
                lost()
            } else {
                let swapped = world.swap(moves);
                if world.strikes(|faults| faults.answer_lost) { lost() } else { swapped }
            }
        };
        self.travel();
        if publication == Publication::Applied {
            let mut world = self.world.get();
            if let Some(host) = world.hosts.get_mut(self.host) {
                for one in moves {
                    host.known.insert(one.branch.clone(), one.to.clone());
                }
            }
        }
        publication
    }

    fn is_published(&self, branch: &str, version: &Version) -> Result<bool, LedgerError> {
        let tip = self.known(branch);
        Ok(self.world.get().history(tip.as_ref()).any(|(seen, _)| seen == version))
    }

    fn find(&self, branch: &str, ops: &[OpId], _: Option<&Version>) -> Result<Option<Found>, LedgerError> {
        let tip = self.known(branch);
        let carries = |stored: &Stored| ops.iter().any(|op| stored.message.contains(op.as_str()));
        let world = self.world.get();
        let found = world.history(tip.as_ref()).find(|(_, stored)| carries(stored));
        Ok(found.map(|(version, stored)| Found {
            version: version.clone(),
            ops: ops.to_vec(),
            at: None::<Timestamp>,
            subject: stored.message.lines().next().unwrap_or_default().to_owned(),
        }))
    }

    fn count(&self, version: &Version) -> Result<usize, LedgerError> {
        Ok(self.world.get().history(Some(version)).count())
    }

    fn heal(&mut self) -> Result<bool, LedgerError> {
        Ok(false)
    }

    fn settle(&mut self, _: &str) -> Option<String> {
        None
    }
}
