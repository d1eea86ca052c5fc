//! What one commit broke at many records is one finding, and what came back is a note.
//!
//! A commit that throws a thousand records away is one accident. Told record by record it would push
//! everything else out of what is kept, and read like a thousand.

use super::CommitName;
use crate::domain::audit::{Finding, Kind, Severity};
use crate::domain::table::{Row, Table};
use std::collections::{BTreeMap, HashMap};

/// How many breaches of one rule by one commit are told one by one.
const OF_A_RULE_MAX: usize = 5;

/// How many records are named of more.
const EXAMPLES_MAX: usize = 3;

/// Brings together what one commit broke: of each rule and document one finding, where there are many.
pub(super) fn together(broken: Vec<Finding>) -> Vec<Told> {
    let of = |one: &Finding| (one.kind, one.path.clone(), one.severity);
    let mut places: BTreeMap<(Kind, Option<String>, Severity), usize> = BTreeMap::new();
    let mut groups: Vec<Vec<Finding>> = Vec::new();
    for finding in broken {
        // Told where the first of its rule is.
        let place = *places.entry(of(&finding)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    let mut told = Vec::new();
    for findings in groups {
        if findings.len() > OF_A_RULE_MAX {
            told.push(Told { finding: one_of_many(&findings), of: findings });
        } else {
            told.extend(findings.into_iter().map(|one| Told { finding: one.clone(), of: vec![one] }));
        }
    }
    told
}

/// A finding, and those it stands for.
pub(super) struct Told {
    pub(super) finding: Finding,
    pub(super) of: Vec<Finding>,
}

fn one_of_many(findings: &[Finding]) -> Finding {
    let [first, others @ ..] = findings else { unreachable!("there are many") };
    let named: Vec<&str> =
        others.iter().filter_map(|one| one.subject.as_deref()).take(EXAMPLES_MAX).collect();
    let rest = others.len() - named.len();
    let and = if named.is_empty() { String::new() } else { format!("{} and ", named.join(", ")) };
    Finding {
        what: format!("{}; the same of {and}{rest} more", first.what),
        place: None,
        count: Some(findings.len()),
        subject: None,
        ..first.clone()
    }
}

/// The records that commits took away and that are not back.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// By document and id: the number of the loss and what the record said.
    missing: HashMap<(String, String), (usize, String)>,
    losses: Vec<Loss>,
}

/// What one finding tells that is gone.
#[derive(Debug)]
struct Loss {
    lost: usize,
    back: usize,
    /// Where the last of it came back.
    back_in: Option<String>,
}

impl Losses {
    /// The records of a table that a commit put back as they were before another took them away.
    pub(super) fn back<T: Row>(
        &mut self,
        before: &Table<T>,
        after: &Table<T>,
        commit: &CommitName,
    ) -> Vec<(&'static str, String)> {
        if std::ptr::eq(before, after) || self.missing.is_empty() {
            return Vec::new();
        }
        let (_, _, arrived) = before.differing(after);
        let mut back = Vec::new();
        for row in arrived {
            if self.is_back((T::PATH, row.id()), row.text(), commit) {
                back.push((T::PATH, row.id().to_owned()));
            }
        }
        back
    }

    /// Notes what a finding tells that is gone, with what each record said; the number of the loss.
    pub(super) fn note<'a>(
        &mut self,
        told: &Told,
        text: impl Fn(&str, &str) -> Option<&'a str>,
    ) -> Option<usize> {
        if !is_loss(told.finding.kind) {
            return None;
        }
        let number = self.losses.len();
        let mut lost = 0;
        for one in &told.of {
            let (Some(path), Some(id)) = (one.path.as_deref(), one.subject.as_deref()) else { continue };
            let said = text(path, id).unwrap_or_default().to_owned();
            self.missing.insert((path.to_owned(), id.to_owned()), (number, said));
            lost += 1;
        }
        self.losses.push(Loss { lost, back: 0, back_in: None });
        Some(number)
    }

    /// Notes that a record is in the document at `path` again; whether it says what it said before.
    fn is_back(&mut self, (path, id): (&str, &str), text: &str, commit: &CommitName) -> bool {
        let Some((number, said)) = self.missing.remove(&(path.to_owned(), id.to_owned())) else {
            return false;
        };
        if let Some(loss) = self.losses.get_mut(number) {
            loss.back += 1;
            loss.back_in = Some(commit.short().to_owned());
        }
        said == text
    }

    /// Tells with a finding what is back of its loss. All of it back is good to know, and no more.
    pub(super) fn settle(&self, number: usize, finding: &mut Finding) {
        let Some(loss) = self.losses.get(number) else { return };
        let Some(commit) = loss.back_in.as_ref().filter(|_| loss.back > 0) else { return };
        if loss.back < loss.lost {
            finding
                .what
                .push_str(&format!("; {} of {} were put back, the last in {commit}", loss.back, loss.lost));
            return;
        }
        finding.severity = Severity::Note;
        finding.hint = None;
        finding.what.push_str(&format!("; put back in {commit}"));
    }
}

/// Whether a breach of this rule is that a record of a live document is gone.
fn is_loss(kind: Kind) -> bool {
    matches!(kind, Kind::JobVanished | Kind::MessageVanished | Kind::ServerVanished | Kind::LockVanished)
}
