//! The same hub behind a ledger, so that commands can be run on it: nobody else writes, nothing fails.

use super::{MAIN, MemoryDocuments};
use crate::app::commands::{Operation, WriteOptions};
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::ledger::{Document, Files, Ledger, MemoryStore, Outcome, Refs, Settings, SharedHub};
use crate::machine::Machine;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A hub to which commands are given.
pub(crate) struct Hub {
    ledger: Ledger,
    hub: SharedHub,
    given: u32,
    now: Timestamp,
}

/// How much later each command is given than the one before.
const BETWEEN: Duration = Duration::from_secs(60);

impl Hub {
    pub(crate) fn of(held: &MemoryDocuments, now: Timestamp) -> Self {
        let hub = SharedHub::default();
        let branches: BTreeSet<String> = held.files.keys().map(|(branch, _)| branch.clone()).collect();
        let mut refs = Refs::new();
        for branch in branches {
            let of_it = held.files.iter().filter(|((of, _), _)| *of == branch);
            let files: Files = of_it
                .map(|((_, path), text)| {
                    (path.as_str().into(), Arc::new(Document::new(text.clone().into_bytes())))
                })
                .collect();
            let version = hub.borrow_mut().store(None, Arc::new(files), "first".into(), None);
            refs.insert(branch, version);
        }
        hub.borrow_mut().refs = Arc::new(refs);
        let settings = Settings {
            main: MAIN.to_owned(),
            author: "b1".to_owned(),
            budget: Duration::from_secs(20),
            lock_wait: Duration::ZERO,
            dry_run: false,
            founding: false,
        };
        let ledger = Ledger::new(Box::new(MemoryStore::on_this_disk(&hub)), settings, Machine::real());
        Self { ledger, hub, given: 0, now }
    }

    /// The documents as they are now.
    pub(crate) fn held(&self) -> MemoryDocuments {
        let hub = self.hub.borrow();
        hub.refs.iter().fold(MemoryDocuments::default(), |held, (branch, version)| {
            hub.files(Some(version)).iter().fold(held, |held, (path, document)| {
                held.with(branch, path, &String::from_utf8_lossy(document.bytes()))
            })
        })
    }

    /// Gives a command; says what it answers, or why not.
    pub(crate) fn give(&mut self, operation: &Operation) -> Result<Value, String> {
        self.given += 1;
        self.now = self.now.plus(BETWEEN);
        let op = OpId::new(&format!("00000000-0000-7000-8000-{:012}", self.given)).expect("an id");
        let outcome = WriteOptions::default().run(&mut self.ledger, op, self.now, operation);
        match outcome.expect("no fault") {
            Outcome::Applied(receipt) => Ok(receipt.answer),
            other => Err(format!("{other:?}")),
        }
    }
}
