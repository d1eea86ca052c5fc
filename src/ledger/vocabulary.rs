//! The words in which the loop and an engine speak of a hub: versions, moves, what became of them. Decides
//! nothing, and knows no store.

use super::causes::StoreCause;
use super::document::Document;
use super::far_side::Reason;
use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// One state of a branch. Two equal versions hold the same documents and the same history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// From the store's own spelling.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The store's own spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The versions of the branches that were looked at; `None` where there is no such branch.
pub type Tips = BTreeMap<String, Option<Version>>;

/// One branch to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which branch.
    pub branch: String,
    /// Where it must be for the move to happen; `None`: it must not exist.
    pub from: Option<Version>,
    /// Where it goes.
    pub to: Version,
}

impl Move {
    /// Whether the branch stays where it is: it is only compared, with what else is moved.
    #[must_use]
    pub fn only_compares(&self) -> bool {
        self.from.as_ref() == Some(&self.to)
    }
}

/// What keeps a branch from being moved: a lock that somebody holds, or left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRefLock {
    /// Which, as the store names it.
    pub lock: String,
    /// Whose it is and how long it is left alone, for people.
    pub told: String,
}

impl fmt::Display for HeldRefLock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`, {}", self.lock, self.told)
    }
}

/// What became of a set of moves. Either all happened or none did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Publication {
    /// The hub has it.
    Applied,
    /// A branch was elsewhere; nothing moved.
    Stale,
    /// The same, over a transport that may send a push twice by itself: what was faster may be this very push.
    StaleOrRepeated,
    /// A branch was being moved by somebody else; nothing moved. With the lock that stood all the time,
    /// where that can be told.
    Busy(Option<HeldRefLock>),
    /// The hub will not have it, now or later; nothing moved.
    Denied(Reason),
    /// The words of a refusal, of a push that had begun and whose answer was cut off. Who speaks before the hub
    /// does, on the server or on the way, says such words too: it is refused where the hub does not have it.
    Doubted(Reason),
    /// The hub was not reached, or turned us away before it took the push; nothing moved.
    Unreachable(Reason),
    /// This machine could not do it: nothing was applied.
    Failed {
        /// What that comes from.
        cause: StoreCause,
        /// How it ended.
        why: String,
    },
    /// Nobody can tell from here: the operation is looked for in the hub before anything else is done.
    Unknown(String),
}

/// The documents of one branch that a commit changes; `None` removes one.
pub(crate) type Changes = BTreeMap<String, Option<Arc<Document>>>;

/// The records in which a table differs from the one that the commit starts from: for a store that keeps each
/// by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The document that holds the table.
    pub path: String,
    /// The ids or names of the records that were added, changed or removed.
    pub ids: BTreeSet<String>,
    /// Whether anything else differs: the order of records, what cannot be read, what stands beside them.
    pub others: bool,
}

/// A commit to be built.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    /// The version whose documents it starts from.
    pub base: Option<&'a Version>,
    /// Whether it follows `base` in history or stands alone.
    pub follows: bool,
    /// What it changes.
    pub changes: &'a Changes,
    /// The same of those documents that are tables, by their records.
    #[cfg_attr(not(test), expect(dead_code, reason = "git keeps whole documents; another store need not"))]
    pub records: &'a [Changed],
    /// Its message.
    pub message: &'a str,
    /// Who made it.
    pub author: &'a str,
    /// When.
    pub at: Timestamp,
}

/// What a search for an operation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Search {
    /// It is in the history.
    Found(FoundOperation),
    /// It is not.
    NotThere,
    /// It is not in the part that is here; the rest may hold it.
    CannotTell(Reached),
}

/// Where an operation was found in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundOperation {
    /// The commit that carries it.
    pub version: Version,
    /// The commit before it on its way; `None` of a first commit.
    pub before: Option<Version>,
    /// When the commit was made, by its author's clock.
    pub at: Option<Timestamp>,
    /// Its first line.
    pub subject: String,
}

/// How far back a walk went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// To the first commit.
    Beginning,
    /// To where a shallow clone ends.
    Shallow,
    /// To the bound of a walk.
    Bound,
    /// To the first commit, past more merged commits or operations than are looked at.
    Partly,
}

/// Which branches a refresh asks the hub for, besides the main branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// All heartbeat branches.
    pub heartbeats: bool,
    /// Others, and those of all that must come whatever the rest is like, by name.
    pub branches: BTreeSet<String>,
}

impl Scope {
    /// The heartbeat branches.
    pub(crate) fn heartbeats() -> Self {
        Self { heartbeats: true, branches: BTreeSet::new() }
    }

    /// Adds a branch that was looked at, or `is_written`. A heartbeat needs that one branch and nobody else's;
    /// who looks at others looks at the fleet.
    pub(crate) fn add(&mut self, branch: &str, is_written: bool) {
        if branch.starts_with(HEARTBEAT_BRANCH_PREFIX) && !is_written {
            self.heartbeats = true;
        } else {
            self.branches.insert(branch.to_owned());
        }
    }
}
