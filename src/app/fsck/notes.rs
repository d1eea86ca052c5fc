//! What is noted while a hub is checked: what is broken now, and what commits broke.

use super::losses::Losses;
use super::{CommitName, Cure, Located, Report};
use crate::domain::finding::{About, Finding, HubFact, Severity, Thing};
use crate::domain::json::DocumentError;
use crate::ledger::{Abort, LedgerError, Unfit};
use std::collections::VecDeque;

/// The most findings of one severity, and the most commits made by hand, that are kept: enough to
/// see what is wrong. All are counted.
const KEPT_MAX: usize = 1_000;

/// What is noted while a check is under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    /// All but its findings and the commits made by hand.
    pub(super) report: Report,
    /// What is wrong now.
    present: Vec<Located>,
    /// What commits broke, the oldest first.
    past: Vec<Located>,
    by_hand: VecDeque<CommitName>,
}

impl Notes {
    /// Notes what is wrong now.
    pub(super) fn add(&mut self, finding: Finding, branch: Option<&str>) {
        let count = self.count(finding.severity);
        *count += 1;
        if *count <= KEPT_MAX {
            let branch = branch.map(str::to_owned);
            self.present.push(Located { finding, branch, commit: None, cure: None, loss: None });
        }
    }

    pub(super) fn add_all(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            self.add(finding, None);
        }
    }

    /// Notes what a commit broke. What is still broken is told once, with the commit.
    pub(super) fn broken_by(&mut self, commit: &CommitName, finding: Finding) {
        self.no_longer_only_present(&finding);
        self.push(commit, finding, None);
    }

    /// What is still broken is told with the commit that broke it.
    pub(super) fn no_longer_only_present(&mut self, finding: &Finding) {
        let is_same = |now: &Located| now.branch.is_none() && now.finding.is_same_breach(finding);
        if let Some(at) = self.present.iter().position(is_same) {
            let now = self.present.remove(at);
            *self.count(now.finding.severity) -= 1;
        }
    }

    pub(super) fn push(&mut self, commit: &CommitName, finding: Finding, loss: Option<usize>) {
        let severity = finding.severity;
        *self.count(severity) += 1;
        self.past.push(Located { finding, branch: None, commit: Some(commit.clone()), cure: None, loss });
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
    pub(super) fn mended(&mut self, path: &str, commit: &CommitName) {
        let broken = self.past.iter_mut().rev().find(|one| one.finding.is_of_document(path));
        if let Some(located) = broken {
            let was = located.finding.severity;
            located.cured(Cure::Mended(commit.short().to_owned()));
            *self.count(was) -= 1;
            *self.count(Severity::Note) += 1;
        }
    }

    /// Tells with each loss what of it came back.
    pub(super) fn settle(&mut self, losses: &Losses) {
        for one in 0..self.past.len() {
            let Some(located) = self.past.get_mut(one) else { continue };
            let Some(cure) = located.loss.and_then(|number| losses.cure(number)) else { continue };
            let was = located.finding.severity;
            located.cured(cure);
            let is = located.finding.severity;
            *self.count(was) -= 1;
            *self.count(is) += 1;
        }
    }

    fn count(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Error => &mut self.report.errors,
            Severity::Warning | Severity::Unknown => &mut self.report.warnings,
            Severity::Note => &mut self.report.notes,
        }
    }

    pub(super) fn made_by_hand(&mut self, commit: &CommitName) {
        self.report.commits_by_hand += 1;
        self.by_hand.push_front(commit.clone());
        self.by_hand.truncate(KEPT_MAX);
    }

    pub(super) fn into_report(mut self, commit: &str) -> Report {
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

/// A document that cannot be read, as a finding.
pub(super) fn unreadable(error: &DocumentError, branch: Option<&str>) -> Finding {
    let (path, branch) = (&error.path, branch.map(str::to_owned));
    let fact = HubFact::Unreadable { problem: error.problem.clone(), branch };
    Finding::new(fact, About::new(Thing::Document, path)).at(path)
}

/// What was read, or nothing and a note of why not. Only a damaged store is an error.
pub(super) fn readable<T>(
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
    use crate::domain::finding::FindingCode;

    fn found(fact: HubFact) -> Finding {
        Finding::new(fact, About::new(Thing::Record, "x"))
    }

    #[test]
    fn what_is_too_much_to_keep_is_counted() {
        let mut notes = Notes::default();
        for _ in 0..KEPT_MAX + 5 {
            notes.add(found(HubFact::MessageRewritten).severity(Severity::Note), None);
        }
        notes.broken_by(&commit(1), found(HubFact::IdTwice));
        let report = notes.into_report("");
        assert_eq!((report.errors, report.notes, report.findings.len()), (1, KEPT_MAX + 5, KEPT_MAX + 1));
        assert_eq!(report.findings.first().map(|located| located.finding.code()), Some(FindingCode::IdTwice));
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
        report
            .findings
            .iter()
            .map(|one| (number(one), one.finding.severity, one.finding.code().as_str()))
            .collect()
    }

    #[test]
    fn of_what_commits_broke_the_newest_is_kept_and_told_first() {
        let mut notes = Notes::default();
        notes.add(found(HubFact::MarkerWithoutId), None);
        for number in 1..=KEPT_MAX + 5 {
            notes.broken_by(&commit(number), found(HubFact::IdTwice));
            notes.broken_by(&commit(number), found(HubFact::DoneUndone));
        }
        let report = notes.into_report("");
        assert_eq!((report.errors, report.findings.len()), (2 * KEPT_MAX + 11, KEPT_MAX));
        let error = Severity::Error;
        let expected = [
            (0, error, "bad-id"),
            (1005, error, "id-twice"),
            (1005, error, "undone"),
            (1004, error, "id-twice"),
        ];
        assert_eq!(told(&report)[..4], expected);
    }

    #[test]
    fn what_is_broken_still_is_told_once_and_what_was_mended_is_a_note() {
        let problem = || "merge conflict".to_owned();
        let broken = || found(HubFact::Unreadable { problem: problem(), branch: None }).at("p");
        let mut notes = Notes::default();
        notes.add(broken(), None);
        notes.add(found(HubFact::MarkerWithoutId).at("p"), None);
        notes.broken_by(&commit(3), found(HubFact::MarkerWithoutId).at("p"));
        notes.broken_by(&commit(4), broken());
        notes.mended("q", &commit(5));
        notes.mended("p", &commit(5));
        notes.broken_by(&commit(6), broken());
        let report = notes.into_report("");
        assert_eq!((report.errors, report.warnings, report.notes), (2, 0, 1));
        assert_eq!(
            told(&report),
            [
                (6, Severity::Error, "unreadable"),
                (3, Severity::Error, "bad-id"),
                (4, Severity::Note, "unreadable"),
            ]
        );
        assert_eq!(report.findings[2].cure, Some(Cure::Mended("0000000000".to_owned())));
    }
}
