//! Questions about locks: which there are, how one stands.
//!
//! The name of a lock is the key under which its record stands; an answer has it in the record, with the
//! state that follows from it.

use super::{Query, Unreadable, unreadable_of};
use crate::domain::id::LockName;
use crate::domain::lock::Lock;
use crate::domain::record::Record;
use crate::domain::refusal::Refusal;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::Arc;

/// A lock as it is shown.
#[derive(Debug, Clone)]
pub struct ShownLock(Arc<Record<Lock>>);

impl Deref for ShownLock {
    type Target = Lock;
    fn deref(&self) -> &Lock {
        &self.0
    }
}

impl ShownLock {
    /// `done`, `held` or `free`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.done_at, self.is_held()) {
            (Some(_), _) => "done",
            (None, true) => "held",
            (None, false) => "free",
        }
    }
}

impl Serialize for ShownLock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        with_name(&self.name, self.state(), self.0.raw()).serialize(serializer)
    }
}

fn with_name(name: &str, state: &str, raw: Value) -> Value {
    let mut value = json!({"name": name, "state": state});
    if let (Value::Object(members), Value::Object(raw)) = (&mut value, raw) {
        members.extend(raw);
    }
    value
}

/// Those that cannot be read: nobody may take one, so each is held.
fn broken(locks: &Table<Lock>) -> Vec<Unreadable> {
    let held = |one: Unreadable| {
        let shown = with_name(&one.trouble.id, "held", one.shown);
        Unreadable { shown, ..one }
    };
    unreadable_of(locks).into_iter().map(held).collect()
}

/// Which locks there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListLocks {}

/// They.
#[derive(Debug, Serialize)]
pub struct Locks {
    /// Those that can be read, in the order of the document.
    pub items: Vec<ShownLock>,
    /// Those that cannot.
    pub unreadable: Vec<Unreadable>,
}

impl Query for ListLocks {
    type Answer = Locks;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<Locks, Abort> {
        let locks: Table<Lock> = documents.table()?;
        let items = locks.shared().cloned().map(ShownLock).collect();
        Ok(Locks { items, unreadable: broken(&locks) })
    }
}

/// How a lock stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowLock {
    pub name: LockName,
}

/// What a name stands for. That it stands for none is an answer, too: whoever watches the lock learns it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum OneLock {
    Lock(ShownLock),
    /// One that cannot be read.
    Unreadable(Unreadable),
    /// None, as it is refused.
    Missing(Refusal),
}

impl Query for ShowLock {
    type Answer = OneLock;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<OneLock, Abort> {
        let locks: Table<Lock> = documents.table()?;
        let name = self.name.as_str();
        if let Some(lock) = locks.shared().find(|lock| lock.name == name) {
            return Ok(OneLock::Lock(ShownLock(Arc::clone(lock))));
        }
        let one = broken(&locks).into_iter().find(|one| one.trouble.id == name);
        let missing = || Refusal::LockNotFound { lock: name.to_owned() };
        Ok(one.map_or_else(|| OneLock::Missing(missing()), OneLock::Unreadable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::answer;
    use crate::domain::table::Row as _;

    #[test]
    fn a_lock_is_shown_with_its_name_and_state_and_what_cannot_be_read_is_held() {
        let text = r#"{"locks": {
            "free": {"locked_by": null, "token": 3},
            "held": {"locked_by": "b1", "token": 4, "x": 1},
            "done": {"locked_by": "b1", "done_at": "2025-11-01T00:00:00Z"},
            "bad": {"locked_by": ["b1"]}
        }}"#;
        let hub = MemoryDocuments::of(&[(Lock::PATH, text)]);
        let shown = |name: &str| answer(&ShowLock { name: LockName::new(name).expect(name) }, &hub);
        for (name, state) in [("free", "free"), ("held", "held"), ("done", "done"), ("bad", "held")] {
            let shown = shown(name).expect(name);
            assert_eq!((&shown["name"], &shown["state"]), (&json!(name), &json!(state)));
        }
        assert_eq!(
            shown("held").expect("held"),
            json!({"name": "held", "state": "held", "locked_by": "b1", "token": 4, "x": 1})
        );
        assert_eq!(shown("bad").expect("bad")["unreadable"]["place"], "locks.bad");
        assert_eq!(shown("none").expect("an answer")["code"], "lock-not-found");
        let list = answer(&ListLocks {}, &hub).expect("a list");
        assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
        assert_eq!(list["unreadable"], json!([shown("bad").expect("bad")]));
    }
}
