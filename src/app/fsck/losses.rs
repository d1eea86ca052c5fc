//! What one commit broke at many records is one finding, and what came back, or was cured, is a note.
//!
//! A commit that throws a thousand records away is one accident. Told record by record it would push
//! everything else out of what is kept, and read like a thousand.

use super::{CommitName, Cure};
use crate::domain::finding::{About, Alike, Finding, FindingCode, Severity};
use crate::domain::table::{Row, Table};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// How many breaches of one rule by one commit are told one by one.
const OF_A_RULE_MAX: usize = 5;

/// How many records are named of more.
const EXAMPLES_MAX: usize = 3;

/// Brings together what one commit broke: of each rule and document one finding, where there are many.
pub(super) fn together(broken: Vec<Finding>) -> Vec<Told> {
    let of = |one: &Finding| (one.code(), one.about.path.clone(), one.severity);
    let mut places: BTreeMap<(FindingCode, Option<String>, Severity), usize> = BTreeMap::new();
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
    let ids = others.iter().map(|one| one.about.id.clone()).filter(|id| !id.is_empty());
    let alike = Alike { count: findings.len(), examples: ids.take(EXAMPLES_MAX).collect() };
    let about = About { place: None, ..first.about.clone() };
    Finding { about, alike: Some(alike), ..first.clone() }
}

/// The records that commits took away, and those that they set back, that are not back.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// By document and id; of one record a commit may break several rules.
    missing: HashMap<(String, String), Vec<Missing>>,
    losses: Vec<Loss>,
}

/// A record that is not what it was.
#[derive(Debug)]
struct Missing {
    /// The number of the loss.
    number: usize,
    /// What it said.
    said: String,
    /// How it is not what it was.
    how: How,
}

/// How a record is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It is gone.
    Gone,
    /// Its token is a lower one.
    Lowered,
    /// It is as it was before a step that was made.
    SetBack,
}

impl How {
    /// How a breach of this rule leaves a record of a live document, if a later commit can cure it.
    fn of(code: FindingCode) -> Option<Self> {
        match code {
            FindingCode::JobVanished
            | FindingCode::MessageVanished
            | FindingCode::ServerVanished
            | FindingCode::LockVanished => Some(Self::Gone),
            FindingCode::TokenLowered => Some(Self::Lowered),
            FindingCode::IllegalStep
            | FindingCode::UnreadAgain
            | FindingCode::TakenWithoutToken
            | FindingCode::HandedOver
            | FindingCode::DoneUndone => Some(Self::SetBack),
            _ => None,
        }
    }
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
        let (_, left, arrived) = before.differing(after);
        if by.1 {
            for row in left.iter().filter(|row| after.get(row.id()).is_none()) {
                self.left_with_repair((T::PATH, row.id()), by.0);
            }
        }
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
        let how = How::of(told.finding.code())?;
        let number = self.losses.len();
        let mut lost = 0;
        for one in &told.of {
            let (Some(path), id) = (one.about.path.as_deref(), one.about.id.as_str()) else { continue };
            let said = text(path, id).unwrap_or_default().to_owned();
            let place = (path.to_owned(), id.to_owned());
            self.missing.entry(place).or_default().push(Missing { number, said, how });
            lost += 1;
        }
        self.losses.push(Loss { lost, back: 0, back_in: None });
        Some(number)
    }

    /// Notes that a record is in the document at `path` again, or says something else; whether it was gone and
    /// says what it said before. One of which the token was lowered is back when it says what it said, or a
    /// repair gave it at least that token: who goes on from the lower one may give it twice.
    fn is_back(
        &mut self,
        (path, id): (&str, &str),
        text: &str,
        (commit, is_repair): (&CommitName, bool),
    ) -> bool {
        let is_cured = |missing: &Missing| match missing.how {
            How::Gone => true,
            _ if missing.said == text => true,
            How::Lowered => is_repair && token_in(text) >= token_in(&missing.said),
            How::SetBack => false,
        };
        let cured = self.take((path, id), commit, is_cured);
        cured.iter().any(|missing| missing.how == How::Gone && missing.said == text)
    }

    /// Notes that a repair took a record out of the document at `path`: what was set back there stands in an
    /// archive as it was.
    fn left_with_repair(&mut self, record: (&str, &str), commit: &CommitName) {
        self.take(record, commit, |missing| missing.how != How::Gone);
    }

    /// Counts those of a record as back that `is_cured` says are.
    fn take(
        &mut self,
        (path, id): (&str, &str),
        commit: &CommitName,
        is_cured: impl Fn(&Missing) -> bool,
    ) -> Vec<Missing> {
        let place = (path.to_owned(), id.to_owned());
        let Some(all) = self.missing.remove(&place) else { return Vec::new() };
        let (cured, left): (Vec<_>, Vec<_>) = all.into_iter().partition(is_cured);
        if !left.is_empty() {
            self.missing.insert(place, left);
        }
        for missing in &cured {
            if let Some(loss) = self.losses.get_mut(missing.number) {
                loss.back += 1;
                loss.back_in = Some(commit.short().to_owned());
            }
        }
        cured
    }

    /// What is back of a loss.
    pub(super) fn cure(&self, number: usize) -> Option<Cure> {
        let loss = self.losses.get(number)?;
        let commit = loss.back_in.clone().filter(|_| loss.back > 0)?;
        let (back, lost) = (loss.back, loss.lost);
        Some(if back < lost { Cure::Partly { back, lost, commit } } else { Cure::Back(commit) })
    }
}

/// The token that a record tells.
fn token_in(text: &str) -> Option<u64> {
    serde_json::from_str::<Value>(text).ok()?.get("token")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::{HubFact, Thing, Unread};
    use crate::domain::job::JobStatus;

    fn found(fact: HubFact) -> Finding {
        Finding::new(fact, About::new(Thing::Record, "a")).at("x.json")
    }

    fn lowered() -> Finding {
        found(HubFact::TokenLowered { from: 2, to: Some(1) })
    }

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
            let finding = lowered();
            let told = Told { finding: finding.clone(), of: vec![finding] };
            let mut losses = Losses::default();
            let number = losses.note(&told, |_, _| Some(r#"{"token":2,"by":"bob"}"#)).expect("a loss");
            assert!(!losses.is_back(("x.json", "a"), text, (&commit, is_repair)), "it was never gone");
            let cure = is_back.then(|| Cure::Back("1111111111".to_owned()));
            assert_eq!(losses.cure(number), cure, "{text}");
        }
    }

    #[test]
    fn what_was_set_back_is_cured_as_it_was_or_with_a_repair_that_takes_it_out() {
        const WAS: &str = r#"{"status":"completed"}"#;
        let commit = CommitName {
            id: "1".repeat(40),
            author: "bob".to_owned(),
            at: None,
            subject: "put back: job a".to_owned(),
            by_hand: false,
            number: 7,
        };
        for fact in [
            HubFact::IllegalStep { from: JobStatus::Completed, to: JobStatus::Running },
            HubFact::UnreadAgain(Unread::Marked),
            HubFact::TakenWithoutToken { by: "b".to_owned(), token: Some(1) },
        ] {
            let finding = found(fact);
            let code = finding.code();
            let told = Told { finding: finding.clone(), of: vec![finding] };
            let too = Told { finding: lowered(), of: vec![lowered()] };
            let is_cured = |cure: &dyn Fn(&mut Losses)| {
                let mut losses = Losses::default();
                let number = losses.note(&told, |_, _| Some(WAS)).expect("a loss");
                losses.note(&too, |_, _| Some(WAS)).expect("another of the same record");
                cure(&mut losses);
                losses.cure(number).is_some()
            };
            for (text, expected) in [(WAS, true), (r#"{"status":"running"}"#, false)] {
                let back = |losses: &mut Losses| {
                    assert!(!losses.is_back(("x.json", "a"), text, (&commit, true)), "it was never gone");
                };
                assert_eq!(is_cured(&back), expected, "{code}: {text}");
            }
            let left = |losses: &mut Losses| losses.left_with_repair(("x.json", "a"), &commit);
            assert!(is_cured(&left), "{code}");
        }
    }
}
