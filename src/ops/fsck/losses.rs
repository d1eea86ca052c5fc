//! What one commit broke at many records is one finding, and what came back is a note.
//!
//! A commit that throws a thousand records away is one accident. Told record by record it would push
//! everything else out of what is kept, and read like a thousand.

use super::CommitName;
use crate::domain::audit::{Finding, Kind, Severity};
use crate::domain::table::{Row, Table};
use serde_json::Value;
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

/// The records that commits took away, and those whose token they lowered, that are not back.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// By document and id.
    missing: HashMap<(String, String), Missing>,
    losses: Vec<Loss>,
}

/// A record that is not what it was.
#[derive(Debug)]
struct Missing {
    /// The number of the loss.
    number: usize,
    /// What it said.
    said: String,
    /// Whether it is gone, and not only as it was before.
    is_gone: bool,
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
    /// The records of a table that a commit put back as they were before another took them away. Told with
    /// the commit is whether it is a repair.
    pub(super) fn back<T: Row>(
        &mut self,
        before: &Table<T>,
        after: &Table<T>,
        by: (&CommitName, bool),
    ) -> Vec<(&'static str, String)> {
        if std::ptr::eq(before, after) || self.missing.is_empty() {
            return Vec::new();
        }
        let (_, _, arrived) = before.differing(after);
        let mut back = Vec::new();
        for row in arrived {
            if self.is_back((T::PATH, row.id()), row.text(), by) {
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
            let is_gone = one.kind != Kind::TokenLowered;
            self.missing.insert((path.to_owned(), id.to_owned()), Missing { number, said, is_gone });
            lost += 1;
        }
        self.losses.push(Loss { lost, back: 0, back_in: None });
        Some(number)
    }

    /// Notes that a record is in the document at `path` again; whether it was gone and says what it said before.
    /// One of which the token was lowered is back when it says what it said, or a repair gave it at least that
    /// token: who goes on from the lower one may give it twice.
    fn is_back(
        &mut self,
        (path, id): (&str, &str),
        text: &str,
        (commit, is_repair): (&CommitName, bool),
    ) -> bool {
        let place = (path.to_owned(), id.to_owned());
        let is_raised = |missing: &Missing| {
            missing.is_gone
                || missing.said == text
                || (is_repair && token_in(text) >= token_in(&missing.said))
        };
        if !self.missing.get(&place).is_some_and(is_raised) {
            return false;
        }
        let Some(Missing { number, said, is_gone }) = self.missing.remove(&place) else { return false };
        if let Some(loss) = self.losses.get_mut(number) {
            loss.back += 1;
            loss.back_in = Some(commit.short().to_owned());
        }
        is_gone && said == text
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

/// The token that a record tells.
fn token_in(text: &str) -> Option<u64> {
    serde_json::from_str::<Value>(text).ok()?.get("token")?.as_u64()
}

/// Whether a breach of this rule is that a record of a live document is gone, or is as it was before.
fn is_loss(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TokenLowered
            | Kind::JobVanished
            | Kind::MessageVanished
            | Kind::ServerVanished
            | Kind::LockVanished
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_token_is_back_with_a_repair_and_not_with_whoever_goes_on_from_it() {
        let commit = CommitName {
            id: "1".repeat(40),
            author: "bob".to_owned(),
            at: None,
            subject: "put back: job a".to_owned(),
            by_hand: false,
            number: 7,
        };
        for (text, is_repair, is_back) in [
            (r#"{"token":2,"by":"bob"}"#, false, true),
            (r#"{"token":2,"by":"eve"}"#, false, false),
            (r#"{"token":2,"by":"bob","renewal":1}"#, true, true),
            (r#"{"token":1}"#, true, false),
        ] {
            let finding = Finding::new(Kind::TokenLowered, "lowered").at("x.json").of("a");
            let told = Told { finding: finding.clone(), of: vec![finding.clone()] };
            let mut losses = Losses::default();
            let number = losses.note(&told, |_, _| Some(r#"{"token":2,"by":"bob"}"#)).expect("a loss");
            assert!(!losses.is_back(("x.json", "a"), text, (&commit, is_repair)), "it was never gone");
            let mut settled = finding.severity(Severity::Error);
            losses.settle(number, &mut settled);
            assert_eq!(settled.severity == Severity::Note, is_back, "{text}");
        }
    }
}
