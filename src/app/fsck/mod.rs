//! Checking a hub: what lies in it now, and how it came to be.
//!
//! Reads only. The rules are the domain's (`domain/audit`); here it is decided which documents they
//! are asked about, and what is told of what they find. A document that cannot be read is a finding
//! like any other, so that one broken file does not hide the next.

mod history;
mod losses;
mod present;
mod track;

use crate::app::submit::HubRef;
use crate::domain::audit::{Finding, Kind, Severity};
use crate::domain::build_config::BuildConfig;
use crate::domain::hub::Marker;
use crate::domain::id::ServerName;
use crate::domain::json::DocumentError;
use crate::domain::shell::quoted;
use crate::domain::tables::TableKind;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, CommitTrailers, LedgerError, Snapshot, Unfit};
use crate::machine::Machine;
use serde::Serialize;
use std::collections::VecDeque;

/// The most findings of one severity, and the most commits made by hand, that are kept: enough to
/// see what is wrong. All are counted.
const KEPT_MAX: usize = 1_000;

/// How much of the id of a commit is shown.
const SHORT_ID_LENGTH: usize = 10;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
    /// The number of the loss that it tells.
    #[serde(skip)]
    loss: Option<usize>,
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
            Severity::Warning => self.warnings,
            Severity::Note => self.notes,
        }
    }
}

/// What is noted while a check is under way.
#[derive(Debug, Clone, Default)]
struct Notes {
    /// All but its findings and the commits made by hand.
    report: Report,
    /// What is wrong now.
    present: Vec<Located>,
    /// What commits broke, the oldest first.
    past: Vec<Located>,
    by_hand: VecDeque<CommitName>,
}

impl Notes {
    /// Notes what is wrong now.
    fn add(&mut self, finding: Finding, branch: Option<&str>) {
        let count = self.count(finding.severity);
        *count += 1;
        if *count <= KEPT_MAX {
            let branch = branch.map(str::to_owned);
            self.present.push(Located { finding, branch, commit: None, loss: None });
        }
    }

    fn add_all(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            self.add(finding, None);
        }
    }

    /// Notes what a commit broke. What is still broken is told once, with the commit.
    fn broken_by(&mut self, commit: &CommitName, finding: Finding) {
        self.no_longer_only_present(&finding);
        self.push(commit, finding, None);
    }

    /// What is still broken is told with the commit that broke it.
    fn no_longer_only_present(&mut self, finding: &Finding) {
        let is_same = |now: &Located| now.branch.is_none() && now.finding.is_same_breach(finding);
        if let Some(at) = self.present.iter().position(is_same) {
            let now = self.present.remove(at);
            *self.count(now.finding.severity) -= 1;
        }
    }

    fn push(&mut self, commit: &CommitName, finding: Finding, loss: Option<usize>) {
        let severity = finding.severity;
        *self.count(severity) += 1;
        self.past.push(Located { finding, branch: None, commit: Some(commit.clone()), loss });
        let as_bad = |one: &&Located| one.finding.severity == severity;
        let kept = self.present.iter().chain(&self.past).filter(as_bad).count();
        if kept > KEPT_MAX
            && let Some(oldest) = self.past.iter().position(|one| as_bad(&one))
        {
            // What was done last is what people look for.
            self.past.remove(oldest);
        }
    }

    /// A document that a commit before made unusable can be used again: good to know, no more.
    fn mended(&mut self, path: &str, commit: &CommitName) {
        let broken = self.past.iter_mut().rev().find(|one| one.finding.is_of_document(path));
        if let Some(finding) = broken.map(|one| &mut one.finding) {
            let was = std::mem::replace(&mut finding.severity, Severity::Note);
            finding.what.push_str(&format!("; mended in {}", commit.short()));
            finding.hint = None;
            *self.count(was) -= 1;
            *self.count(Severity::Note) += 1;
        }
    }

    /// Tells with each loss what of it came back.
    fn settle(&mut self, losses: &losses::Losses) {
        for one in 0..self.past.len() {
            let Some(Located { finding, loss: Some(number), .. }) = self.past.get_mut(one) else { continue };
            let was = finding.severity;
            losses.settle(*number, finding);
            let is = finding.severity;
            *self.count(was) -= 1;
            *self.count(is) += 1;
        }
    }

    fn count(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Error => &mut self.report.errors,
            Severity::Warning => &mut self.report.warnings,
            Severity::Note => &mut self.report.notes,
        }
    }

    fn made_by_hand(&mut self, commit: &CommitName) {
        self.report.commits_by_hand += 1;
        self.by_hand.push_front(commit.clone());
        self.by_hand.truncate(KEPT_MAX);
    }

    fn into_report(mut self, commit: &str) -> Report {
        let number = |one: &Located| one.commit.as_ref().map(|commit| commit.number);
        // What commits broke newest first; those of one commit in their order.
        self.past.sort_by_key(|one| std::cmp::Reverse(number(one)));
        self.report.findings = self.present;
        self.report.findings.append(&mut self.past);
        self.report.findings.sort_by_key(|located| std::cmp::Reverse(located.finding.severity));
        self.report.commit = commit.to_owned();
        self.report.by_hand = self.by_hand.into();
        self.report
    }
}

/// A document of a hub, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Document {
    Table(&'static TableKind),
    Archive(&'static TableKind),
    Status(ServerName),
    Heartbeat(ServerName),
    BuildConfig,
    Hub,
}

impl Document {
    /// What lies at `path`, if it is a document of ours.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            BuildConfig::PATH => return Some(Self::BuildConfig),
            Marker::PATH => return Some(Self::Hub),
            _ => {}
        }
        if let Some(kind) = TableKind::at(path) {
            return Some(Self::Table(kind));
        }
        if let Some(kind) = TableKind::of_archive(path) {
            return Some(Self::Archive(kind));
        }
        let (folder, name) = path.split_once('/')?;
        let server = ServerName::new(folder).ok()?;
        match name {
            "status.json" => Some(Self::Status(server)),
            "heartbeat.json" => Some(Self::Heartbeat(server)),
            _ => None,
        }
    }

    /// Whether records are lost when it is taken away.
    fn is_kept(&self) -> bool {
        match self {
            Self::Table(kind) => kind.is_in_each_hub,
            Self::Archive(_) => true,
            _ => false,
        }
    }
}

/// Whether a walk is to be shown what lies at a path; that of a folder ends with a slash.
fn is_wanted(path: &str) -> bool {
    match path.strip_suffix('/') {
        Some("coordination" | "coordination/archive" | "shared") => true,
        Some(folder) => ServerName::new(folder).is_ok(),
        None => Document::at(path).is_some(),
    }
}

/// A document that cannot be read, as a finding.
fn unreadable(error: &DocumentError, branch: Option<&str>) -> Finding {
    let path = &quoted(&error.path);
    let hint = match branch {
        None => format!(
            "`git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it; or mend it in a clone of the hub and push it: `git log -p -- {path}` there shows who changed it"
        ),
        Some(branch) => format!(
            "the next beat of that server replaces it; `git log -p origin/{branch} -- {path}` in a clone of the hub shows who changed it"
        ),
    };
    Finding::new(Kind::Unreadable, error.problem.clone()).at(&error.path).hint(hint)
}

/// What was read, or nothing and a note of why not. Only a damaged store is an error.
fn readable<T>(
    result: Result<T, Abort>,
    branch: Option<&str>,
    notes: &mut Notes,
) -> Result<Option<T>, LedgerError> {
    match result {
        Ok(read) => Ok(Some(read)),
        Err(Abort::Fault(LedgerError::Document(error))) => {
            notes.add(unreadable(&error, branch), branch);
            Ok(None)
        }
        Err(Abort::Fault(error)) => Err(error),
        Err(Abort::Refused(refusal)) => {
            Err(LedgerError::Configuration { cause: Unfit::Refused, why: refusal.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_paths_are_documents() {
        let jobs = TableKind::at("coordination/jobs.json");
        for (path, expected) in [
            ("coordination/jobs.json", TableKind::at("coordination/jobs.json").map(Document::Table)),
            ("coordination/pauses.json", TableKind::at("coordination/pauses.json").map(Document::Table)),
            ("coordination/archive/jobs-2025-10.json", jobs.map(Document::Archive)),
            ("build1/status.json", ServerName::new("build1").ok().map(Document::Status)),
            ("build1/heartbeat.json", ServerName::new("build1").ok().map(Document::Heartbeat)),
            ("shared/build_config.json", Some(Document::BuildConfig)),
            ("coordination/hub.json", Some(Document::Hub)),
            ("coordination/archive/jobs-2025-10.json.bak", None),
            ("coordination/archive/broken-2025-10.json", None),
            ("docs/status.json", None),
            ("build1/logs/status.json", None),
            ("status.json", None),
        ] {
            assert_eq!(Document::at(path), expected, "{path}");
            assert_eq!(is_wanted(path), expected.is_some(), "{path}");
        }
        for (folder, wanted) in [
            ("coordination/", true),
            ("coordination/archive/", true),
            ("build1/", true),
            ("src/", false),
            ("build1/logs/", false),
        ] {
            assert_eq!(is_wanted(folder), wanted, "{folder}");
        }
    }

    #[test]
    fn what_is_too_much_to_keep_is_counted() {
        let mut notes = Notes::default();
        for _ in 0..KEPT_MAX + 5 {
            notes.add(Finding::new(Kind::UnknownMessage, "x"), None);
        }
        notes.broken_by(&commit(1), Finding::new(Kind::OpTwice, "y"));
        let report = notes.into_report("");
        assert_eq!((report.errors, report.notes, report.findings.len()), (1, KEPT_MAX + 5, KEPT_MAX + 1));
        assert_eq!(report.findings.first().map(|located| located.finding.kind), Some(Kind::OpTwice));
        assert_eq!(report.worst(), Some(Severity::Error));
    }

    fn commit(number: usize) -> CommitName {
        CommitName {
            id: format!("{number:040}"),
            author: String::new(),
            at: None,
            subject: String::new(),
            by_hand: true,
            number,
        }
    }

    fn told(report: &Report) -> Vec<(usize, Severity, &str)> {
        let number = |one: &Located| one.commit.as_ref().map_or(0, |commit| commit.number);
        report.findings.iter().map(|one| (number(one), one.finding.severity, &*one.finding.what)).collect()
    }

    #[test]
    fn of_what_commits_broke_the_newest_is_kept_and_told_first() {
        let mut notes = Notes::default();
        notes.add(Finding::new(Kind::BadId, "now"), None);
        for number in 1..=KEPT_MAX + 5 {
            notes.broken_by(&commit(number), Finding::new(Kind::OpTwice, "x"));
            notes.broken_by(&commit(number), Finding::new(Kind::Undone, "y"));
        }
        let report = notes.into_report("");
        assert_eq!((report.errors, report.findings.len()), (2 * KEPT_MAX + 11, KEPT_MAX));
        let error = Severity::Error;
        let expected = [(0, error, "now"), (1005, error, "x"), (1005, error, "y"), (1004, error, "x")];
        assert_eq!(told(&report)[..4], expected);
    }

    #[test]
    fn what_is_broken_still_is_told_once_and_what_was_mended_is_a_note() {
        let broken = || Finding::new(Kind::Unreadable, "merge conflict").at("p");
        let mut notes = Notes::default();
        notes.add(broken(), None);
        notes.add(Finding::new(Kind::BadId, "no id").at("p"), None);
        notes.broken_by(&commit(3), Finding::new(Kind::BadId, "no id").at("p"));
        notes.broken_by(&commit(4), broken());
        notes.mended("q", &commit(5));
        notes.mended("p", &commit(5));
        notes.broken_by(&commit(6), broken());
        let report = notes.into_report("");
        assert_eq!((report.errors, report.warnings, report.notes), (2, 0, 1));
        assert_eq!(
            told(&report),
            [
                (6, Severity::Error, "merge conflict"),
                (3, Severity::Error, "no id"),
                (4, Severity::Note, "merge conflict; mended in 0000000000"),
            ]
        );
    }
}
