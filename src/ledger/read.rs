//! Reading the hub: how fresh it has to be, and snapshots that outlast the ledger they came from.

use super::causes::Unfit;
use super::engine::Engine;
use super::error::LedgerError;
use super::freshness::Freshness;
use super::snapshot::Snapshot;
use super::update::Ledger;
use super::vocabulary::{Scope, Tips, Version};

/// A snapshot with a handle of its own on the store: another thread may read it while its ledger writes.
#[must_use = "it is opened to be read"]
pub struct OwnedSnapshot {
    engine: Box<dyn Engine + Send>,
    main: String,
    tip: Option<Version>,
}

impl OwnedSnapshot {
    /// Its documents: the main branch where it was when this was taken, other branches where they are when
    /// they are first asked for.
    #[must_use]
    pub fn documents(&self) -> Snapshot<'_> {
        let tips = Tips::from([(self.main.clone(), self.tip.clone())]);
        Snapshot::at(self.engine.as_ref(), &self.main, tips)
    }
}

impl Ledger {
    /// The documents as the hub has them now.
    ///
    /// # Errors
    /// When the hub cannot be reached, or is none.
    pub fn read(&mut self, heartbeats: bool) -> Result<Snapshot<'_>, LedgerError> {
        self.read_scope(&Scope { heartbeats, ..Scope::default() })
    }

    /// The documents, as fresh as is wanted.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub fn read_as(&mut self, freshness: Freshness, heartbeats: bool) -> Result<Snapshot<'_>, LedgerError> {
        // Another process of this host may have begun our copy anew: then it is asked again.
        if self.asked.is_fresh(freshness, heartbeats, self.machine.since_boot())
            && self.known().check(self.settings.founding, &self.one_hub).is_ok()
        {
            return Ok(self.known());
        }
        self.read(heartbeats)
    }

    /// The same for another thread: it does not borrow this ledger.
    ///
    /// # Errors
    /// As [`Ledger::read`], or when this store cannot be read by several at once.
    pub fn read_owned(
        &mut self,
        freshness: Freshness,
        heartbeats: bool,
    ) -> Result<OwnedSnapshot, LedgerError> {
        let tip = Some(self.read_as(freshness, heartbeats)?.main_tip()?);
        let engine = self.engine.again()?.ok_or_else(|| {
            let why = "this store cannot be read by several at once".to_owned();
            LedgerError::Configuration { cause: Unfit::NoHistory, why }
        })?;
        Ok(OwnedSnapshot { engine, main: self.settings.main.clone(), tip })
    }

    /// The documents as the hub has them now, with one more branch.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub fn read_with(&mut self, branch: &str) -> Result<Snapshot<'_>, LedgerError> {
        let mut scope = Scope::default();
        scope.add(branch, false);
        self.read_scope(&scope)
    }

    fn read_scope(&mut self, scope: &Scope) -> Result<Snapshot<'_>, LedgerError> {
        let deadline = self.machine.deadline(self.settings.budget);
        self.begin_look();
        if !self.engine.is_always_fresh() {
            let _guard = self.local_lock(&deadline);
            self.refresh_again(scope, &deadline)?;
        }
        self.settle_main();
        let snapshot = Snapshot::new(self.engine.as_ref(), &self.settings.main);
        self.one_hub = snapshot.check(self.settings.founding, &self.one_hub)?;
        Ok(snapshot)
    }

    /// The documents as far as we know them, without asking the hub.
    #[must_use]
    pub fn known(&self) -> Snapshot<'_> {
        Snapshot::new(self.engine.as_ref(), &self.settings.main)
    }
}
