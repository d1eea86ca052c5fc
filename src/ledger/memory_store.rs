//! An engine on a hub in memory. Each handle knows what it saw of the hub last, as a clone does, unless the hub
//! is on this disk; what goes wrong between a handle and its hub is a [`Misfortune`]. The rules are those of the
//! other engines, which `conformance` holds against each other.

mod history;

use super::document::Document;
use super::engine::{Engine, EngineHistory, EngineUpkeep};
use super::error::LedgerError;
use super::memory_hub::{MemoryHub, Refs, names_in};
use super::vocabulary::{Commit, Move, Publication, Scope, Search, Version};
use crate::domain::id::OpId;
use crate::domain::json::DocumentError;
use crate::machine::Deadline;
use std::cell::{RefCell, RefMut};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// The hub that several handles share.
pub(crate) type SharedHub = Rc<RefCell<MemoryHub>>;

/// What comes of a look at the hub.
#[cfg_attr(not(test), expect(dead_code, reason = "the simulator replays what learns nothing"))]
pub(crate) enum Seen {
    /// What the hub has now.
    Now,
    /// Nothing new.
    Nothing,
    /// What it has now, and right after that the copy is begun anew.
    Lost,
}

/// What comes of a push.
#[cfg_attr(not(test), expect(dead_code, reason = "the simulator replays what does not arrive"))]
pub(crate) enum Fate {
    /// It arrives, and so does the answer.
    Arrives,
    /// It arrives, and this is told of it.
    ArrivesBut(Publication),
    /// It does not arrive, and this is told of it.
    Never(Publication),
}

/// What goes wrong between a handle and its hub, and who else is at work there. Each is asked before it happens.
pub(crate) trait Misfortune {
    /// A look at the hub.
    ///
    /// # Errors
    /// When it is not reached, or refuses.
    fn look(&self, _scope: &Scope, _deadline: &Deadline) -> Result<Seen, LedgerError> {
        Ok(Seen::Now)
    }
    /// The moment after a look.
    fn after_look(&self) {}
    /// A push.
    fn push(&self, _moves: &[Move], _deadline: &Deadline) -> Fate {
        Fate::Arrives
    }
    /// Reading a document.
    ///
    /// # Errors
    /// When the copy is damaged.
    fn read(&self) -> Result<(), LedgerError> {
        Ok(())
    }
    /// A commit that is built.
    fn commit(&self, _commit: &Commit<'_>) {}
    /// Searching the history: how many commits of it are here.
    fn reach(&self) -> usize {
        usize::MAX
    }
    /// The moment after it was asked what leads to what: whether another process of this host has looked.
    fn is_brought_up_to_date(&self) -> bool {
        false
    }
    /// Whether a push may be sent twice by the transport.
    fn repeats(&self) -> bool {
        false
    }
    /// A copy is begun anew.
    fn heal(&self) {}
    /// The branch moved; what the user is told of that.
    fn settle(&self) -> Option<String> {
        None
    }
}

/// Nothing goes wrong.
pub(crate) struct Fair;

impl Misfortune for Fair {}

/// One handle on a hub in memory.
pub(crate) struct MemoryStore {
    hub: SharedHub,
    /// Where it knows the branches to be; `None` where the hub is on this disk.
    known: Option<RefCell<Arc<Refs>>>,
    misfortune: Rc<dyn Misfortune>,
    keeps_history: bool,
}

impl MemoryStore {
    /// A hub as one process reaches it over a network; it knows nothing of it yet.
    #[cfg(test)]
    pub(crate) fn remote(hub: &SharedHub) -> Self {
        Self::knowing(hub, Arc::default())
    }

    /// The same, of which it knows this.
    pub(crate) fn knowing(hub: &SharedHub, known: Arc<Refs>) -> Self {
        let known = Some(RefCell::new(known));
        Self { hub: Rc::clone(hub), known, misfortune: Rc::new(Fair), keeps_history: true }
    }

    /// A hub on this disk.
    #[cfg(test)]
    pub(crate) fn on_this_disk(hub: &SharedHub) -> Self {
        Self { known: None, ..Self::remote(hub) }
    }

    /// The same, to which this happens.
    pub(crate) fn with(self, misfortune: Rc<dyn Misfortune>) -> Self {
        Self { misfortune, ..self }
    }

    /// The same, that tells nothing of history but what the loop needs.
    pub(crate) fn without_history(self) -> Self {
        Self { keeps_history: false, ..self }
    }

    fn hub(&self) -> RefMut<'_, MemoryHub> {
        self.hub.borrow_mut()
    }

    fn refs(&self) -> Arc<Refs> {
        match &self.known {
            Some(known) => Arc::clone(&known.borrow()),
            None => Arc::clone(&self.hub().refs),
        }
    }

    /// Sees where the branches of the hub are.
    pub(super) fn see(&self) {
        if let Some(known) = &self.known {
            *known.borrow_mut() = Arc::clone(&self.hub().refs);
        }
    }

    /// Knows nothing of the hub any more.
    pub(super) fn forget(&self) {
        if let Some(known) = &self.known {
            *known.borrow_mut() = Arc::default();
        }
    }
}

impl Engine for MemoryStore {
    fn hub(&self) -> &'static str {
        "memory"
    }

    fn is_always_fresh(&self) -> bool {
        self.known.is_none()
    }

    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        Ok(self.refs().get(branch).cloned())
    }

    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        Ok(self.refs().keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn refresh(
        &mut self,
        _: &str,
        scope: &Scope,
        deadline: &Deadline,
    ) -> Result<Option<String>, LedgerError> {
        match self.misfortune.look(scope, deadline)? {
            Seen::Now => self.see(),
            Seen::Nothing => {}
            Seen::Lost => self.forget(),
        }
        self.misfortune.after_look();
        Ok(None)
    }

    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.misfortune.read()?;
        let hub = self.hub();
        let document = hub.file(version, path);
        if document.is_none() && !names_in(&hub.files(Some(version)), path).is_empty() {
            return Err(DocumentError::no_file(path).into());
        }
        Ok(document)
    }

    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        Ok(names_in(&self.hub().files(Some(version)), folder))
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        self.misfortune.commit(commit);
        Ok(self.hub().build(commit))
    }

    fn publish(&mut self, moves: &[Move], deadline: &Deadline) -> Publication {
        let told = match self.misfortune.push(moves, deadline) {
            Fate::Arrives => self.hub().swap(moves),
            Fate::ArrivesBut(told) => {
                self.hub().swap(moves);
                told
            }
            Fate::Never(told) => told,
        };
        match told {
            Publication::Applied => {
                if let Some(known) = &self.known {
                    let moved = moves.iter().map(|one| (one.branch.clone(), one.to.clone()));
                    Arc::make_mut(&mut known.borrow_mut()).extend(moved);
                }
                Publication::Applied
            }
            Publication::Stale if self.misfortune.repeats() => Publication::StaleOrRepeated,
            told => told,
        }
    }

    fn leads_to(&self, version: &Version, tip: &Version) -> Result<bool, LedgerError> {
        let leads = self.hub().leads_to(version, tip);
        if self.misfortune.is_brought_up_to_date() {
            self.see();
        }
        Ok(leads)
    }

    fn find(&self, tip: &Version, op: &OpId, since: Option<&Version>) -> Result<Search, LedgerError> {
        Ok(self.hub().find(tip, op, since, self.misfortune.reach()))
    }

    fn history(&self) -> Option<&dyn EngineHistory> {
        self.keeps_history.then_some(self)
    }

    fn upkeep(&self) -> Option<&dyn EngineUpkeep> {
        Some(self)
    }

    fn upkeep_mut(&mut self) -> Option<&mut dyn EngineUpkeep> {
        Some(self)
    }
}

impl EngineUpkeep for MemoryStore {
    fn lock_path(&self) -> Option<PathBuf> {
        None
    }

    fn heal(&mut self) -> Result<bool, LedgerError> {
        self.misfortune.heal();
        Ok(self.known.is_some())
    }

    fn settle(&mut self, _: &str) -> Option<String> {
        self.misfortune.settle()
    }
}
