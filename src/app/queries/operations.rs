//! Which operations of this user are open on this machine: what was begun and not settled, and what handed
//! out something that still counts.
//!
//! Whether it does is asked of the hub; the entries themselves are those of `journal.rs`, which are handed in.

use super::Query;
use crate::app::answer::stands;
use crate::app::commands::Operation;
use crate::app::journal::JournalEntry;
use crate::app::submit::HubRef;
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::ledger::Location;
use crate::ledger::{Abort, Documents};
use crate::machine::environment;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// For how long messages that were read are listed, and what was got at another hub, which is not asked.
const LISTED_FOR: Duration = Duration::from_secs(24 * 3600);

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its outcome is not known, or its answer may not have been printed.
    NotSettled,
    /// What it handed out is still whose it was.
    Stands,
    /// It was answered, and that cannot be over, or nobody was asked.
    Answered,
}

impl State {
    /// In words, which `--json` has as well.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSettled => "not settled",
            Self::Stands => "stands",
            Self::Answered => "answered",
        }
    }
}

/// An operation that is listed.
#[derive(Debug, Serialize)]
pub struct ListedOperation {
    /// Its id.
    pub op: OpId,
    /// Its hub as people write it, without credentials.
    pub hub: String,
    pub branch: String,
    /// When it was begun.
    pub at: Timestamp,
    /// What it does.
    pub operation: Operation,
    settled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(rename = "state", skip_serializing_if = "Option::is_none")]
    told: Option<&'static str>,
    /// How far it is.
    #[serde(skip)]
    pub state: State,
}

impl ListedOperation {
    fn of(entry: JournalEntry, state: State) -> Self {
        Self {
            hub: Location::parse(&entry.hub, &environment::home()).shown(),
            settled: entry.answer.is_some(),
            told: entry.answer.as_ref().map(|_| state.as_str()),
            op: entry.op,
            branch: entry.branch,
            at: entry.at,
            operation: entry.operation,
            answer: entry.answer,
            state,
        }
    }

    /// One that was begun and not settled.
    #[must_use]
    pub fn unsettled(entry: JournalEntry) -> Self {
        Self::of(entry, State::NotSettled)
    }
}

/// Operations that were answered, of which is asked what still counts.
#[derive(Debug)]
pub struct StandingOf {
    pub entries: Vec<JournalEntry>,
    /// The hub that is asked, if there is one: of others it knows nothing.
    pub here: Option<HubRef>,
}

impl Query for StandingOf {
    /// Of each entry whether what it handed out is still whose it was; `None` of what cannot be over, or was
    /// handed out elsewhere.
    type Answer = Vec<Option<bool>>;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<Vec<Option<bool>>, Abort> {
        let is_here = |entry: &JournalEntry| self.here.as_ref().is_some_and(|here| here.is_of(entry));
        let asked = |entry: &JournalEntry| match &entry.answer {
            Some(answer) if is_here(entry) => stands(answer, entry.operation.taker(), documents),
            _ => Ok(None),
        };
        self.entries.iter().map(asked).collect()
    }
}

impl StandingOf {
    /// Those that are listed as of `now`, and the ids of those that are over and may be forgotten. `asked` is the
    /// answer; nothing where the hub could not be asked.
    #[must_use]
    pub fn told(self, asked: Option<Vec<Option<bool>>>, now: Timestamp) -> (Vec<ListedOperation>, Vec<OpId>) {
        let asked = asked.unwrap_or_else(|| vec![None; self.entries.len()]);
        let (mut listed, mut over) = (Vec::new(), Vec::new());
        for (entry, stands) in self.entries.into_iter().zip(asked) {
            let is_young = now.since(entry.at) < LISTED_FOR;
            match stands {
                Some(true) => listed.push(ListedOperation::of(entry, State::Stands)),
                None if is_young => listed.push(ListedOperation::of(entry, State::Answered)),
                _ => over.push(entry.op),
            }
        }
        (listed, over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::now;
    use crate::domain::lock::Lock;
    use crate::domain::table::Row as _;
    use serde_json::json;

    fn entry(number: u32, name: &str, hours: u64, answer: Value) -> JournalEntry {
        let at = now().before(Duration::from_secs(hours * 3600));
        let operation = json!({"verb": "release_lock", "name": "deploy", "server": "b1", "token": 1});
        let text = json!({"op": format!("00000000-0000-7000-8000-{number:012}"), "hub": "/hub", "branch": "main",
            "name": name, "at": at, "envelope": {"guards": [], "beat": null}, "operation": operation});
        let entry: JournalEntry = serde_json::from_value(text).expect("an entry");
        JournalEntry { answer: Some(answer), ..entry }
    }

    #[test]
    fn what_was_handed_out_is_listed_while_it_counts_and_what_cannot_be_asked_for_a_day() {
        let locks = r#"{"locks": {"deploy": {"locked_by": "b1", "token": 4}}}"#;
        let hub = MemoryDocuments::of(&[(Lock::PATH, locks)]);
        let lock = |token: u64| json!({"name": "deploy", "token": token, "lease_seconds": 60});
        let here = HubRef { hub: "/hub".to_owned(), branch: "main".to_owned(), name: "one".to_owned() };
        for (name, hours, answer, expected) in [
            ("one", 1, lock(4), Some(State::Stands)),
            ("one", 99, lock(4), Some(State::Stands)),
            ("one", 1, lock(3), None),
            ("other", 1, lock(4), Some(State::Answered)),
            ("other", 25, lock(4), None),
            ("one", 1, json!(["msg_1"]), Some(State::Answered)),
            ("one", 25, json!(["msg_1"]), None),
        ] {
            let entries = vec![entry(1, name, hours, answer.clone())];
            let query = StandingOf { entries, here: Some(here.clone()) };
            let asked = query.run(&hub, now()).expect("asks");
            let (listed, over) = query.told(Some(asked), now());
            assert_eq!(listed.first().map(|one| one.state), expected, "{name} {hours} {answer}");
            assert_eq!(over.len(), usize::from(expected.is_none()), "{name} {hours} {answer}");
        }
        let query = StandingOf { entries: vec![entry(1, "one", 1, lock(3))], here: Some(here) };
        let told = json!(query.told(None, now()).0);
        assert_eq!((&told[0]["settled"], &told[0]["state"]), (&json!(true), &json!("answered")));
        let begun = JournalEntry { answer: None, ..entry(2, "one", 1, json!(1)) };
        let told = json!(ListedOperation::unsettled(begun));
        assert_eq!((&told["settled"], told.get("state"), told.get("answer")), (&json!(false), None, None));
    }
}
