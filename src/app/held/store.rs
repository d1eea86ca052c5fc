//! The same hub behind a ledger, so that commands can be run on it: nobody else writes, nothing fails.

use super::{Held, MAIN};
use crate::app::commands::{Envelope, Operation};
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::ledger::{
    Commit, Document, Documents as _, Engine, Ledger, LedgerError, Move, Outcome, Publication, Scope, Search,
    Settings, Version,
};
use crate::machine::Machine;
use crate::machine::clock::Deadline;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A hub to which commands are given.
pub(crate) struct Hub {
    ledger: Ledger,
    stored: Rc<RefCell<Stored>>,
    given: u32,
    now: Timestamp,
}

/// Every version that there was, each with all its documents, those of other branches among them; and where
/// each branch is.
#[derive(Default)]
struct Stored {
    versions: Vec<Held>,
    refs: BTreeMap<String, Version>,
}

struct Store(Rc<RefCell<Stored>>);

/// How much later each command is given than the one before.
const BETWEEN: Duration = Duration::from_secs(60);

impl Hub {
    pub(crate) fn of(held: Held, now: Timestamp) -> Self {
        let refs = BTreeMap::from([(MAIN.to_owned(), Version::new("0"))]);
        let stored = Rc::new(RefCell::new(Stored { versions: vec![held], refs }));
        let settings = Settings {
            main: MAIN.to_owned(),
            author: "b1".to_owned(),
            budget: Duration::from_secs(20),
            lock_wait: Duration::ZERO,
            dry_run: false,
            founding: false,
        };
        let ledger = Ledger::new(Box::new(Store(Rc::clone(&stored))), settings, Machine::real());
        Self { ledger, stored, given: 0, now }
    }

    /// The documents of the main branch as they are now.
    pub(crate) fn held(&self) -> Held {
        let stored = self.stored.borrow();
        stored.versions[number(&stored.refs[MAIN])].clone()
    }

    /// Gives a command; says what it answers, or why not.
    pub(crate) fn give(&mut self, operation: &Operation) -> Result<Value, String> {
        self.given += 1;
        self.now = self.now.plus(BETWEEN);
        let op = OpId::new(&format!("00000000-0000-7000-8000-{:012}", self.given)).expect("an id");
        let outcome = Envelope::default().run(&mut self.ledger, op, self.now, operation);
        match outcome.expect("no fault") {
            Outcome::Applied(receipt) => Ok(receipt.answer),
            other => Err(format!("{other:?}")),
        }
    }
}

fn number(version: &Version) -> usize {
    version.as_str().parse().expect("a number")
}

impl Engine for Store {
    fn hub(&self) -> &'static str {
        "memory"
    }
    fn is_always_fresh(&self) -> bool {
        true
    }
    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        Ok(self.0.borrow().refs.get(branch).cloned())
    }
    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let stored = self.0.borrow();
        Ok(stored.refs.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
    fn refresh(&mut self, _: &str, _: &Scope, _: &Deadline) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }
    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.0.borrow().versions[number(version)].document(MAIN, path)
    }
    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        self.0.borrow().versions[number(version)].list(folder)
    }
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        let mut stored = self.0.borrow_mut();
        let mut held = commit.base.map(|base| stored.versions[number(base)].clone()).unwrap_or_default();
        for (path, change) in commit.changes {
            held = match change {
                Some(document) => held.with(MAIN, path, &String::from_utf8_lossy(document.bytes())),
                None => held.without(path),
            };
        }
        stored.versions.push(held);
        Ok(Version::new((stored.versions.len() - 1).to_string()))
    }
    fn publish(&mut self, moves: &[Move], _: &Deadline) -> Publication {
        let mut stored = self.0.borrow_mut();
        stored.refs.extend(moves.iter().map(|one| (one.branch.clone(), one.to.clone())));
        Publication::Applied
    }
    fn leads_to(&self, version: &Version, tip: &Version) -> Result<bool, LedgerError> {
        Ok(number(version) <= number(tip))
    }
    fn find(&self, _: &Version, _: &OpId, _: Option<&Version>) -> Result<Search, LedgerError> {
        Ok(Search::NotThere)
    }
}
