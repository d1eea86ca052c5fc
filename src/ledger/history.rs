//! What the history of a hub tells: its commits one by one, what a document said before, what others changed
//! below ours, what was seen and is lost. The words alone; a store that keeps a history fills them.

use super::error::LedgerError;
use super::vocabulary::Version;
use crate::domain::id::OpId;
use crate::domain::json::DocumentError;
use crate::domain::time::Timestamp;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The most commits that are passed on the way to ours, and how many of each kind before them: beats of
/// a script each half minute make so many in ten days.
pub const PASSED_MAX: usize = 30_000;

/// The trailer that says what a commit of ours could not judge: a document, or all that lies below a commit.
pub const UNCHECKED: &str = "Muster-Unchecked";

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitTrailers {
    /// Which commit.
    pub version: Version,
    /// Who made it.
    pub author: String,
    /// When, by its author's clock.
    pub at: Option<Timestamp>,
    /// Its first line.
    pub subject: String,
    /// The operations it carries.
    pub ops: Vec<OpId>,
    /// Whether it may carry more: its message is longer than any of ours.
    pub is_cut: bool,
}

/// One commit of a walk.
pub struct WalkStep<'a> {
    /// What it says.
    pub told: CommitTrailers,
    /// The commits that it merged in; empty unless it is a merge.
    pub aside: Vec<CommitTrailers>,
    /// The documents that differ from the commit before, by path.
    pub changed: Vec<(String, Content)>,
    /// What it is to those it merged in, of which it may have dropped something.
    pub merged: Vec<MergeView>,
    /// How many commits were walked, this one included.
    pub number: usize,
    /// How many there are to walk.
    pub of: usize,
    /// The commit that was walked before it.
    pub(crate) before: Option<Version>,
    pub(crate) reader: &'a ReadAt<'a>,
}

/// Reads what lies at a path after a commit.
pub(crate) type ReadAt<'a> = dyn Fn(&Version, &str) -> Result<Content, LedgerError> + 'a;

/// A merge as seen from one of the histories that it merged in.
pub struct MergeView {
    /// Of how many steps those commits consist that came to that history by the merge, without
    /// itself: of as many as they carry operations, and of one at least.
    pub brought: u64,
    /// The documents in which the merge differs from it.
    pub changed: Vec<String>,
    /// The newest commit of that history.
    pub(crate) tip: Version,
}

impl WalkStep<'_> {
    /// Whether it brought in commits of another history.
    #[must_use]
    pub fn is_merge(&self) -> bool {
        !self.aside.is_empty()
    }

    /// What lay at a path before this commit.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn before(&self, path: &str) -> Result<Content, LedgerError> {
        self.before.as_ref().map_or(Ok(Content::Missing), |before| (self.reader)(before, path))
    }

    /// What lies there after it.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn after(&self, path: &str) -> Result<Content, LedgerError> {
        (self.reader)(&self.told.version, path)
    }

    /// What lay there in a history that it merged in.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn merged_in(&self, merged: &MergeView, path: &str) -> Result<Content, LedgerError> {
        (self.reader)(&merged.tip, path)
    }
}

/// What lies at a path after a commit.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing any more.
    Missing,
    /// A file.
    File(Vec<u8>),
    /// Something that is not read: a link, a folder, a file too large.
    Unusable(DocumentError),
}

/// What a walker does with each commit.
pub type Visitor<'a> = dyn FnMut(&WalkStep<'_>) -> Result<(), LedgerError> + 'a;

/// Commits that this host had seen on a branch and that are not in its history any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostCommits {
    /// The newest of them.
    pub tip: Version,
    /// Where they still are.
    pub place: String,
    /// Under which name they are kept there, if they have one.
    pub kept_as: Option<String>,
    /// The commits, the newest first.
    pub commits: Vec<CommitTrailers>,
}

/// What is done with each of the last commits: who made it, and when by that one's clock, if that can be read.
pub(crate) type VisitCommit<'a> = dyn FnMut(&str, Option<Timestamp>) -> ControlFlow<()> + 'a;

/// What is done with each version of a document.
pub type VisitVersion<'a> = dyn FnMut(&Version, &[u8]) -> ControlFlow<()> + 'a;

/// Whether a text of a document can be read as it should be.
pub type IsWhole<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// What a document said last, on each side of the merges after which nobody could read it.
#[derive(Debug, Default)]
pub struct MergeSides {
    /// The newest version of each side that can be read, the side of first parents first.
    pub found: Vec<Side>,
    /// What was not seen of the history, if anything; what it holds may be newer than what was found.
    pub unseen: Option<LedgerError>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Where it says so.
    pub version: Version,
    /// What it says.
    pub bytes: Vec<u8>,
    /// What the document held where this side and the first one parted; nothing where that cannot be read.
    /// `None` if they never were one history, and of the first itself.
    pub base: Option<Vec<u8>>,
}

/// One of our commits that others have built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCommit {
    /// The commit.
    pub version: Version,
    /// The documents that it could not judge.
    pub unchecked: BTreeSet<String>,
}

/// One of our commits, with what was made on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnBase {
    /// The commit.
    pub ours: Version,
    /// The newest by hand on top of it: what comes next is ours again, or nothing.
    pub top: Version,
    /// So many of what was meant are newer.
    pub newer: usize,
    /// Other sides that a merge brought to it, as `meant`: what they changed since they parted was meant.
    pub beside: Vec<Intended>,
}

/// What was meant: what it was made on, if anything, and the commit.
pub type Intended = (Option<Version>, Version);

/// What lies below the commits by hand on top of a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BelowManual {
    /// Those of ours that were met, the newest first: in the end our newest that judged what lies below them,
    /// without those that led to others of them.
    pub ours: Vec<OwnBase>,
    /// The documents that one of these could not judge.
    pub unchecked: BTreeSet<String>,
    /// What was meant on the way, the newest first: those of ours that were passed, and what reverts a commit.
    pub meant: Vec<Intended>,
    /// Where the look ended, if none of ours was final: at the bound, or at what is not here.
    pub open: Vec<Version>,
    /// Whether what is not here ended it, as in a shallow clone, and not the bound.
    pub is_cut: bool,
}

/// What was there before one of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EarlierContent {
    /// The versions in which the document says something that it says in none after them, the newest first.
    pub versions: Vec<Version>,
    /// So many of them are shortly before it.
    pub near: usize,
    /// Whether a shallow clone ends before all of them were seen.
    pub is_cut: bool,
}
