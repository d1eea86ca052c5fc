//! Reading typed documents, from a published version or from within a transaction.

use super::causes::Unfit;
use super::document::Document;
use super::engine::{Engine, EngineHistory, EngineUpkeep};
use super::error::{Abort, LedgerError};
use super::history::{
    BelowManual, EarlierContent, IsWhole, LostCommits, MergeSides, OwnCommit, VisitVersion, Visitor,
};
use super::vocabulary::{Reached, Search, Tips, Version};
use crate::domain::bad_branch::BadBranch;
use crate::domain::clocks::{COMMITS_ASKED_MAX, present_by_others};
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, OpId};
use crate::domain::planted::planted;
use crate::domain::record::{Record, View};
use crate::domain::table::{Row, Table};
use crate::domain::time::Timestamp;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Where documents can be read as they were, too.
pub trait History: Documents {
    /// What lies below the commits by hand on top of the main branch; `None` if its newest commit is ours and
    /// left nothing unchecked. Those of ours that are not final are passed.
    ///
    /// # Errors
    /// When the store is damaged.
    fn below_foreign(
        &self,
        is_final: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
    ) -> Result<Option<BelowManual>, LedgerError>;

    /// What a document was before one of ours.
    ///
    /// # Errors
    /// When the store is damaged.
    fn earlier(&self, version: &Version, path: &str) -> Result<EarlierContent, LedgerError>;

    /// The documents of all servers in which two versions differ.
    ///
    /// # Errors
    /// When the store is damaged.
    fn changed(&self, before: &Version, after: &Version) -> Result<BTreeSet<String>, LedgerError>;

    /// What a document holds in a version, by name: two of one name are the same. `None` where it is not.
    ///
    /// # Errors
    /// When the store is damaged.
    fn content(&self, version: &Version, path: &str) -> Result<Option<String>, LedgerError>;

    /// A document as it was in another version.
    ///
    /// # Errors
    /// When the store is damaged or the document is too large.
    fn document_of(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError>;

    /// Visits what a document said on the main branch as it was published and before, the newest first, each
    /// text once. All that is here is visited before an error is told.
    ///
    /// # Errors
    /// When history that may hold more is not here, is too long or damaged.
    fn versions(&self, path: &str, visit: &mut VisitVersion<'_>) -> Result<(), LedgerError>;

    /// What a document said last on the main branch that is whole, on each side of the merges on top of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn sides(&self, path: &str, is_whole: &IsWhole<'_>) -> Result<MergeSides, LedgerError>;
}

/// Where documents can be read from.
pub trait Documents {
    /// A document of `branch`; `None` when there is no such document.
    ///
    /// # Errors
    /// When the store is damaged or the document is too large.
    fn document(&self, branch: &str, path: &str) -> Result<Option<Arc<Document>>, LedgerError>;

    /// The branch that carries everything but heartbeats.
    fn main(&self) -> &str;

    /// Names of the branches with this prefix.
    ///
    /// # Errors
    /// When the store is damaged.
    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError>;

    /// Whether there is this branch and it can be used.
    ///
    /// # Errors
    /// When the store is damaged.
    fn has_branch(&self, branch: &str) -> Result<bool, LedgerError>;

    /// Names of the branches with this prefix that have a folder of this name at their top: each branch
    /// is looked at once, however many folders are asked for.
    ///
    /// # Errors
    /// When the store is damaged.
    fn branches_with(&self, prefix: &str, folder: &str) -> Result<Vec<String>, LedgerError>;

    /// The heartbeat branches that cannot be used, of those that were looked at.
    fn bad_branches(&self) -> Vec<BadBranch> {
        Vec::new()
    }

    /// Names of what lies directly in a folder of the main branch, as it was published; folders
    /// end with a slash.
    ///
    /// # Errors
    /// When the store is damaged.
    fn list(&self, folder: &str) -> Result<Vec<String>, LedgerError>;

    /// The table of `T`; an absent document is an empty table.
    ///
    /// # Errors
    /// When it cannot be read.
    fn table<T: Row>(&self) -> Result<Table<T>, Abort>
    where
        Self: Sized,
    {
        self.table_at(T::PATH)
    }

    /// A table of `T` at another path, such as an archive.
    ///
    /// # Errors
    /// When it cannot be read.
    fn table_at<T: Row>(&self, path: &str) -> Result<Table<T>, Abort>
    where
        Self: Sized,
    {
        table_at(self, path)
    }

    /// The document at `path` of the main branch.
    ///
    /// # Errors
    /// When it cannot be read.
    fn record<T: View>(&self, path: &str) -> Result<Option<Record<T>>, Abort>
    where
        Self: Sized,
    {
        self.record_on(self.main(), path)
    }

    /// The document at `path` of any branch.
    ///
    /// # Errors
    /// When it cannot be read.
    fn record_on<T: View>(&self, branch: &str, path: &str) -> Result<Option<Record<T>>, Abort>
    where
        Self: Sized,
    {
        let Some(document) = self.document(branch, path)? else { return Ok(None) };
        Ok(Some(Record::clone(&*document.record(path)?)))
    }
}

/// As [`Documents::table_at`], of documents of which nobody says what they are: compiled once for each table,
/// and not once more for each sort of documents.
///
/// # Errors
/// When it cannot be read.
pub fn table_at<T: Row>(documents: &dyn Documents, path: &str) -> Result<Table<T>, Abort> {
    match documents.document(documents.main(), path)? {
        Some(document) if planted("broken-is-empty") => {
            Ok(document.table(path).map_or_else(|_| Table::empty(path), |table| Table::clone(&table)))
        }
        Some(document) => Ok(Table::clone(&*document.table(path)?)),
        None => Ok(Table::empty(path)),
    }
}

/// How many bytes of documents are kept at hand; what does not fit is read again when it is asked for.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What was read, by branch and path: one operation asks for some documents several times, and a
/// version never changes.
#[derive(Default)]
struct ReadCache {
    documents: HashMap<(String, String), Option<Arc<Document>>>,
    bytes: usize,
}

impl ReadCache {
    fn keep(&mut self, place: (String, String), document: Option<Arc<Document>>) {
        let bytes = self.bytes + document.as_ref().map_or(0, |document| document.bytes().len());
        if bytes <= KEPT_BYTES_MAX {
            self.bytes = bytes;
            self.documents.insert(place, document);
        }
    }
}

/// Documents by their paths.
pub type Shown = BTreeMap<String, Arc<Document>>;

/// The branches that have a folder at their top, by the name of the folder.
type ByFolder = HashMap<String, Vec<String>>;

/// The documents at one point of the hub's history. Branches are looked up when first asked for
/// and stay where they were then.
pub struct Snapshot<'a> {
    engine: &'a dyn Engine,
    main: &'a str,
    tips: RefCell<Tips>,
    read: RefCell<ReadCache>,
    /// By the prefix of the branches.
    folders: RefCell<HashMap<String, ByFolder>>,
    /// Documents of the main branch that stand in the place of those that were published.
    shown: RefCell<Shown>,
    /// Whether somebody asked which heartbeat branches there are.
    has_seen_fleet: Cell<bool>,
    /// Who wrote last, and when, once somebody asked for it.
    newest: OnceCell<Vec<(String, Timestamp)>>,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(engine: &'a dyn Engine, main: &'a str) -> Self {
        Self::at(engine, main, Tips::new())
    }

    /// The documents of branches that are where `tips` says.
    pub(super) fn at(engine: &'a dyn Engine, main: &'a str, tips: Tips) -> Self {
        Self {
            engine,
            main,
            tips: RefCell::new(tips),
            read: RefCell::default(),
            folders: RefCell::default(),
            shown: RefCell::default(),
            has_seen_fleet: Cell::default(),
            newest: OnceCell::new(),
        }
    }

    /// What the store tells of its history; `otherwise` of one that tells nothing.
    fn told<T>(
        &self,
        otherwise: T,
        ask: impl FnOnce(&dyn EngineHistory) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.engine.history().map_or(Ok(otherwise), ask)
    }

    /// What the branches with a prefix have at their tops.
    fn look_into(&self, prefix: &str) -> Result<ByFolder, LedgerError> {
        let mut holding = ByFolder::new();
        for branch in self.branches(prefix)? {
            let entries = match self.list_on(&branch, "") {
                Err(error) if error.is_damage() && self.leaves_out(&branch) => continue,
                listed => listed?,
            };
            for entry in entries {
                if let Some(folder) = entry.strip_suffix('/') {
                    holding.entry(folder.to_owned()).or_default().push(branch.clone());
                }
            }
        }
        Ok(holding)
    }

    /// Leaves out a branch of which the hub has lost a part: one server's beats must not stop the others.
    fn leaves_out(&self, branch: &str) -> bool {
        let is_left_out = branch.starts_with(HEARTBEAT_BRANCH_PREFIX)
            && self.engine.upkeep().is_some_and(|upkeep| upkeep.leave_out(branch));
        if is_left_out {
            self.tips.borrow_mut().insert(branch.to_owned(), None);
        }
        is_left_out
    }

    /// The version of a branch as this snapshot sees it.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        if let Some(tip) = self.tips.borrow().get(branch) {
            return Ok(tip.clone());
        }
        let tip = self.engine.tip(branch)?;
        self.tips.borrow_mut().insert(branch.to_owned(), tip.clone());
        Ok(tip)
    }

    /// Whether the history of the main branch holds this version.
    ///
    /// # Errors
    /// When the store is damaged.
    pub(super) fn leads_from(&self, version: &Version) -> Result<bool, LedgerError> {
        let Some(tip) = self.tip(self.main)? else { return Ok(false) };
        Ok(tip == *version || self.engine.leads_to(version, &tip)?)
    }

    /// The version of the main branch, proven to be a hub's.
    ///
    /// # Errors
    /// When the branch is not there or holds something else.
    pub fn main_tip(&self) -> Result<Version, LedgerError> {
        let hub = || self.engine.hub().to_owned();
        let found = self.tip(self.main)?;
        if let Some(tip) = &found
            && !self.engine.list(tip, "coordination")?.is_empty()
        {
            return Ok(tip.clone());
        }
        if let Some(past) = self.told(None, |history| history.past(self.main))? {
            return Err(LedgerError::WasAHub { hub: hub(), branch: self.main.to_owned(), past });
        }
        if found.is_none() {
            // A copy knows of those branches only that were asked for.
            let empty = self.engine.is_always_fresh() && self.engine.branches("")?.is_empty();
            return Err(LedgerError::NoBranch { hub: hub(), branch: self.main.to_owned(), empty });
        }
        Err(LedgerError::NotAHub { hub: hub(), branch: self.main.to_owned() })
    }

    /// The time at `now` of who writes as `author`: by the clocks of those who wrote last where they agree
    /// that ours is off.
    pub(super) fn present(&self, now: Timestamp, author: &str) -> Result<Timestamp, LedgerError> {
        let newest = match (self.newest.get(), self.tip(self.main)?) {
            (Some(newest), _) => newest,
            (None, Some(tip)) => {
                let mut newest = Vec::new();
                let mut asked = 0;
                self.told((), |history| {
                    history.last_commits(&tip, &mut |author, at| {
                        newest.extend(at.map(|at| (author.to_owned(), at)));
                        asked += 1;
                        if asked < COMMITS_ASKED_MAX {
                            ControlFlow::Continue(())
                        } else {
                            ControlFlow::Break(())
                        }
                    })
                })?;
                self.newest.get_or_init(|| newest)
            }
            (None, None) => return Ok(now),
        };
        Ok(present_by_others(now, author, newest).unwrap_or(now))
    }

    /// From now on these documents of the main branch are read in the place of those that were published.
    pub fn show(&self, documents: &Shown) {
        self.shown.borrow_mut().clone_from(documents);
    }

    /// Walks through the history of the main branch to where this snapshot sees it. `wants` is asked
    /// which documents the visitor is to be shown, and with a slash at the end, which folders may
    /// hold some.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn walk(
        &self,
        wants: &dyn Fn(&str) -> bool,
        visit: &mut Visitor<'_>,
    ) -> Result<Reached, LedgerError> {
        self.engine.history().ok_or_else(no_history)?.walk(&self.main_tip()?, wants, visit)
    }

    /// The hub as people write it, without credentials.
    #[must_use]
    pub fn hub(&self) -> &str {
        self.engine.hub()
    }

    /// Whether it is one of our copy of the hub, and not of the hub itself.
    pub(super) fn is_of_copy(&self) -> bool {
        !self.engine.is_always_fresh()
    }

    /// What this host has seen on the main branch that is not in its history any more.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn lost(&self) -> Result<Vec<LostCommits>, LedgerError> {
        let tip = self.main_tip()?;
        self.told(Vec::new(), |history| history.lost(self.main, &tip))
    }

    /// Names of what lies directly in a folder of any branch; folders end with a slash.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn list_on(&self, branch: &str, folder: &str) -> Result<Vec<String>, LedgerError> {
        match self.tip(branch)? {
            Some(tip) => self.engine.list(&tip, folder),
            None => Ok(Vec::new()),
        }
    }

    /// The document at `path` of the main branch, for who looks once: it is not kept for others.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn glance(&self, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        match self.known(&(self.main.to_owned(), path.to_owned())) {
            Some(document) => Ok(document),
            None => self.published(self.main, path),
        }
    }

    /// A document that was read before, or is shown in the place of one.
    fn known(&self, place: &(String, String)) -> Option<Option<Arc<Document>>> {
        let (branch, path) = place;
        if branch == self.main
            && let Some(document) = self.shown.borrow().get(path)
        {
            return Some(Some(document.clone()));
        }
        self.read.borrow().documents.get(place).cloned()
    }

    fn published(&self, branch: &str, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.tip(branch)?.map_or(Ok(None), |tip| self.engine.read(&tip, path))
    }

    /// Whether an operation is in the history of the main branch, from its tip back to `since`.
    pub(super) fn holds(&self, op: &OpId, since: Option<&Version>) -> Result<bool, LedgerError> {
        // Of what this snapshot sees: a copy that is replaced meanwhile knows nothing, or other things.
        let Some(tip) = self.tip(self.main)? else { return Ok(false) };
        match self.engine.find(&tip, op, since)? {
            Search::Found(_) => Ok(true),
            Search::NotThere => Ok(false),
            Search::CannotTell(reached) => Err(LedgerError::Untold { op: op.clone(), reached }),
        }
    }

    /// Whether which heartbeat branches there are was looked at: then those that our copy knows are not all.
    pub(super) fn has_seen_fleet(&self) -> bool {
        self.has_seen_fleet.get()
    }

    pub(super) fn into_tips(self) -> Tips {
        self.tips.into_inner()
    }
}

impl History for Snapshot<'_> {
    fn below_foreign(
        &self,
        is_final: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
    ) -> Result<Option<BelowManual>, LedgerError> {
        match self.tip(self.main)? {
            Some(tip) => self.told(None, |history| history.below_foreign(&tip, is_final)),
            None => Ok(None),
        }
    }

    fn earlier(&self, version: &Version, path: &str) -> Result<EarlierContent, LedgerError> {
        self.told(EarlierContent::default(), |history| history.earlier(version, path))
    }

    fn changed(&self, before: &Version, after: &Version) -> Result<BTreeSet<String>, LedgerError> {
        self.told(BTreeSet::new(), |history| history.changed(before, after))
    }

    fn content(&self, version: &Version, path: &str) -> Result<Option<String>, LedgerError> {
        self.told(None, |history| history.content(version, path))
    }

    fn document_of(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.engine.read(version, path)
    }

    fn versions(&self, path: &str, visit: &mut VisitVersion<'_>) -> Result<(), LedgerError> {
        let Some(tip) = self.tip(self.main)? else { return Ok(()) };
        self.told((), |history| history.versions(self.main, &tip, path, visit))
    }

    fn sides(&self, path: &str, is_whole: &IsWhole<'_>) -> Result<MergeSides, LedgerError> {
        let Some(tip) = self.tip(self.main)? else { return Ok(MergeSides::default()) };
        self.told(MergeSides::default(), |history| history.sides(self.main, &tip, path, is_whole))
    }
}

impl Documents for Snapshot<'_> {
    fn document(&self, branch: &str, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        let place = (branch.to_owned(), path.to_owned());
        if let Some(document) = self.known(&place) {
            return Ok(document);
        }
        let document = match self.published(branch, path) {
            Err(error) if error.is_damage() && self.leaves_out(branch) => None,
            read => read?,
        };
        // What is of one server is short, and asked for once by who looks at all of them.
        if branch == self.main && path.starts_with("coordination/") {
            self.read.borrow_mut().keep(place, document.clone());
        }
        Ok(document)
    }

    fn main(&self) -> &str {
        self.main
    }

    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        if prefix.starts_with(HEARTBEAT_BRANCH_PREFIX) {
            self.has_seen_fleet.set(true);
        }
        self.engine.branches(prefix)
    }

    fn has_branch(&self, branch: &str) -> Result<bool, LedgerError> {
        Ok(self.tip(branch)?.is_some())
    }

    fn bad_branches(&self) -> Vec<BadBranch> {
        self.engine.upkeep().map(EngineUpkeep::bad_branches).unwrap_or_default()
    }

    fn branches_with(&self, prefix: &str, folder: &str) -> Result<Vec<String>, LedgerError> {
        let found = |holding: &ByFolder| holding.get(folder).cloned().unwrap_or_default();
        if let Some(holding) = self.folders.borrow().get(prefix) {
            return Ok(found(holding));
        }
        let holding = self.look_into(prefix)?;
        let branches = found(&holding);
        self.folders.borrow_mut().insert(prefix.to_owned(), holding);
        Ok(branches)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, LedgerError> {
        let mut names = self.list_on(self.main, folder)?;
        names.extend(self.shown.borrow().keys().filter_map(|path| name_in(folder, path)));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

/// What is told where a store has to know its history and does not.
pub(super) fn no_history() -> LedgerError {
    let why = "this store keeps no history that could be looked at".to_owned();
    LedgerError::Configuration { cause: Unfit::NoHistory, why }
}

/// What a listing of `folder` says of the file at `path`, if it lies there.
pub(super) fn name_in(folder: &str, path: &str) -> Option<String> {
    let below = if folder.is_empty() { path } else { path.strip_prefix(folder)?.strip_prefix('/')? };
    Some(below.split_inclusive('/').next()?.to_owned())
}
