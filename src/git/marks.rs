//! By what a commit is told to be a hub's: its marker, and of older hubs, documents that are in use.

use crate::domain::hub::Marker;
use git2::{Commit, Repository};
use serde_json::Value;
use std::path::Path;

/// The documents by which a commit is taken for one of a hub: any of them.
pub(super) const DOCUMENTS: &[&str] = &[
    "coordination/jobs.json",
    "coordination/locks.json",
    "coordination/messages.json",
    "coordination/servers.json",
];

/// A document of a hub in its first state is smaller; what is larger is in use and need not be read.
const TEMPLATE_BYTES_MAX: usize = 2048;

fn blob(repository: &Repository, commit: &Commit<'_>, path: &str) -> Option<Vec<u8>> {
    let entry = commit.tree().ok()?.get_path(Path::new(path)).ok()?;
    Some(repository.find_blob(entry.id()).map(|blob| blob.content().to_vec()).unwrap_or_default())
}

/// The marker in a commit. One that cannot be read marks a hub all the same.
pub(super) fn marker(repository: &Repository, commit: &Commit<'_>) -> Option<Marker> {
    blob(repository, commit, Marker::PATH).map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Whether a commit holds documents of a hub, in use or not.
pub(super) fn holds_documents(commit: &Commit<'_>) -> bool {
    let Ok(tree) = commit.tree() else { return false };
    DOCUMENTS.iter().any(|document| tree.get_path(Path::new(document)).is_ok())
}

/// Whether what tells a hub can be read in a commit.
pub(super) fn is_sound(repository: &Repository, commit: &Commit<'_>) -> bool {
    commit.tree().is_ok_and(|tree| {
        tree.get_name("coordination").is_none_or(|entry| entry.to_object(repository).is_ok())
    })
}

/// Whether somebody uses the documents in a commit: one of them holds a record, or cannot be read.
pub(super) fn is_in_use(repository: &Repository, commit: &Commit<'_>) -> bool {
    DOCUMENTS.iter().filter_map(|path| blob(repository, commit, path)).any(|bytes| holds_records(&bytes))
}

/// Whether a document is more than a template: locks that were never taken are none of somebody's.
fn holds_records(bytes: &[u8]) -> bool {
    if bytes.len() > TEMPLATE_BYTES_MAX {
        return true;
    }
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return true };
    let is_taken =
        |lock: &Value| lock.as_object().is_some_and(|lock| lock.values().any(|field| !field.is_null()));
    match document {
        Value::Array(rows) => !rows.is_empty(),
        Value::Object(fields) => fields.values().any(|field| match field {
            Value::Array(rows) => !rows.is_empty(),
            Value::Object(locks) => locks.values().any(is_taken),
            _ => false,
        }),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_in_use_when_it_holds_a_record() {
        for (text, expected) in [
            (r#"{"jobs": []}"#, false),
            ("[]", false),
            (r#"{"locks": {"a": {"locked_by": null, "locked_at": null}}}"#, false),
            (r#"{"version": 1, "servers": []}"#, false),
            (r#"{"locks": {"a": {"locked_by": "build1"}}}"#, true),
            (r#"{"locks": {"a": {"locked_by": null, "token": 3}}}"#, true),
            (r#"{"jobs": [{"id": "j"}]}"#, true),
            (r#"[{"id": "j"}]"#, true),
            ("", true),
            ("<<<<<<< HEAD", true),
        ] {
            assert_eq!(holds_records(text.as_bytes()), expected, "{text}");
        }
        assert!(holds_records(&[b' '; TEMPLATE_BYTES_MAX + 1]));
        for (path, text) in
            crate::app::commands::found::TEMPLATE.iter().filter(|(path, _)| DOCUMENTS.contains(path))
        {
            assert!(!holds_records(text.as_bytes()), "{path}");
        }
    }
}
