//! Checking a hub: what lies in it now, and how it came to be.
//!
//! Reads only. The rules are the domain's (`domain/audit`); here it is decided which documents they
//! are asked about, and what is told of what they find. A document that cannot be read is a finding
//! like any other, so that one broken file does not hide the next.

mod document;
mod history;
mod losses;
mod notes;
mod present;
mod track;

use crate::app::submit::HubRef;
use crate::domain::finding::{Finding, Severity};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, CommitTrailers, LedgerError, Snapshot};
use crate::machine::Machine;
pub(super) use document::Document;
use document::is_wanted;
use notes::{Notes, readable, unreadable};
use serde::Serialize;

/// How much of the id of a commit is shown.
const SHORT_ID_LENGTH: usize = 10;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The commit of the main branch that was looked at.
    pub commit: String,
    /// How much was looked at.
    pub checked: Checked,
    /// How many findings are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// How many are notes.
    pub notes: usize,
    /// The findings, the worst first; of each severity what is broken now, then what commits broke,
    /// the newest first, a thousand in all.
    pub findings: Vec<Located>,
    /// How many commits no operation of git-muster made.
    pub commits_by_hand: usize,
    /// These commits, the newest first, at most a thousand.
    pub by_hand: Vec<CommitName>,
}

/// How much was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Checked {
    /// Branches: the main one and those of heartbeats.
    pub branches: usize,
    /// Documents of the present state.
    pub documents: usize,
    /// Records in them.
    pub records: usize,
    /// Commits of the history, when it was asked for.
    pub commits: usize,
    /// Operations that these commits carry.
    pub operations: usize,
}

/// A finding and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Located {
    /// What is wrong.
    #[serde(flatten)]
    pub finding: Finding,
    /// The branch, if it is not the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit that broke the rule; absent when none is known to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitName>,
    /// What a later commit made good again of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<Cure>,
    /// The number of the loss that it tells.
    #[serde(skip)]
    loss: Option<usize>,
}

/// What became of a breach in later commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cure {
    /// The document can be read again since this commit.
    Mended(String),
    /// All that was lost is back since this commit.
    Back(String),
    /// A part of it is back.
    Partly {
        /// How many records.
        back: usize,
        /// Of how many.
        lost: usize,
        /// The commit that put the last of them back.
        commit: String,
    },
}

impl Cure {
    /// Whether nothing is left to be done.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        !matches!(self, Self::Partly { .. })
    }
}

/// Enough of a commit to find it and whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CommitName {
    /// Its id.
    pub id: String,
    /// Its author.
    pub author: String,
    /// When it was made, by its author's clock.
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// Its first line.
    pub subject: String,
    /// Whether no operation of git-muster made it.
    pub by_hand: bool,
    /// How many commits of the history lead to it; none when it is no longer in it.
    #[serde(skip)]
    pub number: usize,
}

impl CommitName {
    fn of(told: &CommitTrailers, number: usize) -> Self {
        Self {
            number,
            id: told.version.to_string(),
            author: told.author.clone(),
            at: told.at,
            subject: told.subject.clone(),
            by_hand: told.ops.is_empty(),
        }
    }
}

impl CommitName {
    /// As much of its id as people need.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..SHORT_ID_LENGTH).unwrap_or(&self.id)
    }
}

/// Told how many commits of how many have been looked at.
pub type Progress<'a> = dyn Fn(usize, usize) + 'a;

/// Checks what lies in the hub now.
///
/// # Errors
/// When the hub or our copy of it cannot be read.
pub fn check(snapshot: &Snapshot<'_>) -> Result<Report, LedgerError> {
    let mut notes = Notes::default();
    present::check(snapshot, &mut notes)?;
    Ok(notes.into_report(snapshot.main_tip()?.as_str()))
}

/// What is asked of a history.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The machine on which it is asked.
    pub machine: &'a Machine,
    /// The hub, as unsettled operations of this host name it.
    pub place: &'a HubRef,
    /// The beginning of the id of a commit: what it and those before it did is known and not told.
    pub since: Option<&'a str>,
    /// The same of a commit after which nothing is told.
    pub until: Option<&'a str>,
}

/// Checks that and the whole history that led to it.
///
/// # Errors
/// As [`check`], and when the commit to begin after is not in the history.
pub fn check_history(
    snapshot: &Snapshot<'_>,
    question: &Question<'_>,
    progress: &Progress<'_>,
) -> Result<Report, Abort> {
    let mut notes = Notes::default();
    present::check(snapshot, &mut notes)?;
    history::check(snapshot, question, progress, &mut notes)?;
    Ok(notes.into_report(snapshot.main_tip()?.as_str()))
}

impl Located {
    fn cured(&mut self, cure: Cure) {
        if cure.is_whole() {
            // Good to know, and no more.
            self.finding.severity = Severity::Note;
        }
        self.cure = Some(cure);
    }
}

impl Report {
    /// How bad the worst finding is.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|located| located.finding.severity).max()
    }

    /// How many findings are this bad.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        match severity {
            Severity::Error => self.errors,
            Severity::Warning | Severity::Unknown => self.warnings,
            Severity::Note => self.notes,
        }
    }
}
