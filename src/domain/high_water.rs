//! `coordination/tokens.json`: the highest token that each lock ever gave.
//!
//! A writer of the first scripts replaces a lock's record by three fields and drops its token. Who
//! comes next must not begin again at one: two holders would pass the same fence. So the highest one
//! is noted where no such writer writes.

use super::id::LockName;
use super::lease::possible_token;
use super::lenient;
use super::lock::Lock;
use super::table::{Progress, Row, Table};
use serde::{Deserialize, Serialize};

/// The mark of one lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HighWater {
    /// The lock: the key it stands under.
    #[serde(skip)]
    pub name: String,
    /// The highest token that it gave.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
}

impl Row for HighWater {
    const PATH: &'static str = "coordination/tokens.json";
    const FIELD: &'static str = "tokens";
    const TITLE: &'static str = "the highest token that each lock ever gave";
    const BY_NAME: bool = true;
    fn id(&self) -> &str {
        &self.name
    }
    fn id_problem(&self) -> Option<String> {
        LockName::new(&self.name).err().map(|error| error.to_string())
    }
    fn named(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }
    fn token(&self) -> Option<u64> {
        self.token
    }
    fn set_token(&mut self, token: Option<u64>) {
        self.token = token;
    }
    fn progress(&self) -> Progress {
        [possible_token(self.token), 0, 0]
    }
}

/// Has the next token of `lock` be higher than any before, whatever became of its record.
pub fn raise(lock: &mut Lock, marks: &Table<HighWater>) {
    lock.token = lock.token.max(marks.get(&lock.name).and_then(|mark| mark.token));
}

/// Notes the token that `lock` gives at present.
pub fn note(lock: &Lock, marks: &mut Table<HighWater>) {
    match marks.get_mut(&lock.name) {
        Some(mark) => mark.edit(|mark| mark.token = mark.token.max(lock.token)),
        None => marks.push(HighWater { name: lock.name.clone(), token: lock.token }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_no_lock_can_have_left_is_told() {
        use crate::domain::lease::TOKEN_MAX;
        use crate::domain::table::Fault;
        let text = format!(r#"{{"tokens":{{"a":{{"token":7}},"b":{{"token":{TOKEN_MAX}}},"c d":{{}}}}}}"#);
        let mut marks = Table::<HighWater>::read(HighWater::PATH, text.as_bytes()).expect("reads");
        let told: Vec<(Fault, String)> =
            marks.troubles().into_iter().map(|one| (one.fault, one.place)).collect();
        assert_eq!(told, [(Fault::Id, "tokens.c d".to_owned()), (Fault::Token, "tokens.b".to_owned())]);
        marks.get_mut("b").expect("there").edit(|mark| mark.set_token(Some(8)));
        assert!(marks.made_up().is_empty());
        assert_eq!(marks.get("b").and_then(|mark| Row::token(&**mark)), Some(8));
    }

    #[test]
    fn a_token_that_was_dropped_goes_on_from_the_highest() {
        let mut marks = Table::<HighWater>::empty(HighWater::PATH);
        let mut lock = Lock::free("deploy");
        for (given, next) in [(Some(3), Some(3)), (None, Some(3)), (Some(2), Some(3)), (Some(7), Some(7))] {
            lock.token = given;
            raise(&mut lock, &marks);
            note(&lock, &mut marks);
            assert_eq!(lock.token.max(given), next.max(given));
            assert_eq!(marks.get("deploy").and_then(|mark| mark.token), next);
        }
        let mut other = Lock::free("other");
        raise(&mut other, &marks);
        assert_eq!(other.token, None);
    }
}
