//! The keys that each record of a hub has when it is printed, whoever wrote it.
//!
//! Older writers leave out what they do not know, and a program that reads our JSON asks for it by name.
//! What is stored stays as it is.

use serde_json::{Map, Value};

/// What stands for a key that a record does not have.
#[derive(Clone, Copy)]
enum DefaultValue {
    Null,
    /// Its schema has a list there: one without anything, also in the place of `null`.
    List,
}

use DefaultValue::{List, Null};

/// The keys of each kind that is a record of the hub, as `docs/schemas/output` requires them.
const KEYS: [(&str, &[(&str, DefaultValue)]); 7] = [
    (
        "job",
        &[
            ("id", Null),
            ("type", Null),
            ("status", Null),
            ("priority", Null),
            ("branch", Null),
            ("commit", Null),
            ("command", List),
            ("requester", Null),
            ("assigned_to", Null),
            ("created_at", Null),
            ("started_at", Null),
            ("completed_at", Null),
        ],
    ),
    (
        "message",
        &[
            ("id", Null),
            ("from", Null),
            ("to", Null),
            ("type", Null),
            ("subject", Null),
            ("body", Null),
            ("timestamp", Null),
            ("read", Null),
        ],
    ),
    (
        "status",
        &[
            ("server", Null),
            ("timestamp", Null),
            ("status", Null),
            ("current_job", Null),
            ("last_build", Null),
        ],
    ),
    (
        "lock",
        &[("name", Null), ("state", Null), ("locked_by", Null), ("locked_at", Null), ("expires_at", Null)],
    ),
    (
        "server",
        &[
            ("id", Null),
            ("host", Null),
            ("ip", Null),
            ("machine", Null),
            ("labels", List),
            ("manager", Null),
            ("joined_at", Null),
        ],
    ),
    ("pause", &[("id", Null), ("at", Null), ("by", Null), ("note", Null)]),
    ("build_config", &[("artifacts", Null), ("notify", Null)]),
];

/// Adds the keys that a record of this `kind` lacks; other kinds are ours, and whole.
pub(super) fn complete(kind: &str, members: &mut Map<String, Value>) {
    let Some((_, keys)) = KEYS.iter().find(|(of, _)| *of == kind) else { return };
    for (key, absent) in *keys {
        match absent {
            Null if !members.contains_key(*key) => drop(members.insert((*key).to_owned(), Value::Null)),
            List if members.get(*key).is_none_or(Value::is_null) => {
                members.insert((*key).to_owned(), Value::Array(Vec::new()));
            }
            _ => {}
        }
    }
}

/// The same with a record, or all of a list, that stands within another answer.
pub(super) fn completed(kind: &str, mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => complete(kind, members),
        Value::Array(all) => {
            all.iter_mut().filter_map(Value::as_object_mut).for_each(|members| complete(kind, members));
        }
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_older_writer_left_out_is_there_and_what_it_wrote_stays() {
        let job = completed("job", json!({"id": "a", "command": null, "status": "queued", "x": 1}));
        assert_eq!((&job["id"], &job["x"], &job["command"]), (&json!("a"), &json!(1), &json!([])));
        assert_eq!(job.get("branch"), Some(&Value::Null));
        let all = completed("server", json!([{"id": "a", "labels": ["fast"]}, {"labels": "fast"}, "b"]));
        assert_eq!(all[0]["labels"], json!(["fast"]));
        assert_eq!((&all[1]["labels"], &all[1]["id"], &all[2]), (&json!("fast"), &Value::Null, &json!("b")));
        assert_eq!(completed("lock_term", json!({"token": 1})), json!({"token": 1}));
    }
}
