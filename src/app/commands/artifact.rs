//! Manifests of what jobs made, beside the logs on the branch `logs-<server>`.

use crate::app::commands::WriteCommand;
use crate::app::documents::require_member;
use crate::domain::artifact::{Manifest, attempt_of_manifest, is_below, manifest_name};
use crate::domain::id::ServerName;
use crate::domain::refusal::{Action, Expected, Refusal};
use crate::ledger::{Abort, Documents, LedgerError, Snapshot, Transaction};

/// How many manifests a server keeps on the hub at most; `artifact prune` keeps fewer.
const MANIFESTS_KEPT: usize = 500;

/// The most attempts that are forgotten at once.
pub const FORGOTTEN_AT_ONCE_MAX: usize = 1000;

/// Where the manifest of an attempt lies.
fn place(server: &ServerName, attempt: &str) -> String {
    format!("{server}/logs/{}", manifest_name(attempt))
}

/// The manifest of an attempt, or what is wrong with it.
///
/// # Errors
/// When the store is damaged, or the manifest is none.
pub fn manifest(
    documents: &impl Documents,
    server: &ServerName,
    attempt: &str,
) -> Result<Option<Manifest>, LedgerError> {
    let path = place(server, attempt);
    let document = documents.document(&server.logs_branch(), &path)?;
    Ok(document.map(|document| Manifest::read(&path, document.bytes())).transpose()?)
}

/// A file of a branch of logs, such as the copy of an artifact.
///
/// # Errors
/// When the store is damaged.
pub fn copy(
    snapshot: &Snapshot<'_>,
    server: &ServerName,
    path: &str,
) -> Result<Option<Vec<u8>>, LedgerError> {
    if !is_below(path) {
        return Ok(None);
    }
    let document = snapshot.document(&server.logs_branch(), path)?;
    Ok(document.map(|document| document.bytes().to_vec()))
}

/// The attempts of which there are manifests, the oldest first.
///
/// # Errors
/// When the store is damaged.
pub fn attempts(snapshot: &Snapshot<'_>, server: &ServerName) -> Result<Vec<String>, LedgerError> {
    let names = snapshot.list_on(&server.logs_branch(), &format!("{server}/logs"))?;
    Ok(attempts_in(&names))
}

fn attempts_in(names: &[String]) -> Vec<String> {
    let mut attempts: Vec<String> =
        names.iter().filter_map(|name| attempt_of_manifest(name)).map(str::to_owned).collect();
    attempts.sort();
    attempts
}

/// Removes the oldest manifests beyond those that are kept; `names` are the files beside them.
pub(in crate::app) fn bound(
    names: &[String],
    server: &ServerName,
    transaction: &mut Transaction<'_>,
) -> Result<(), Abort> {
    let attempts = attempts_in(names);
    let many = attempts.len().saturating_sub(MANIFESTS_KEPT);
    attempts.iter().take(many).try_for_each(|attempt| forget(server, attempt, transaction))
}

/// Removes a manifest and the copies that it names.
fn forget(server: &ServerName, attempt: &str, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
    let branch = server.logs_branch();
    let own = format!("{server}/artifacts/{attempt}/");
    let named = match manifest(transaction, server, attempt) {
        Ok(Some(manifest)) => manifest.artifacts,
        // What cannot be read names nothing.
        Ok(None) | Err(LedgerError::Document(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let copies = named.into_iter().filter_map(|artifact| artifact.copy);
    for copy in copies.filter(|copy| copy.starts_with(&own) && is_below(copy)) {
        transaction.put_on(&branch, &copy, None);
    }
    transaction.put_on(&branch, &place(server, attempt), None);
    Ok(())
}

/// Removes manifests of this server, with the copies that they name.
#[derive(Debug, Clone)]
pub struct ForgetArtifacts {
    /// Whose.
    pub server: ServerName,
    /// Which attempts: `<time>-<job>`.
    pub attempts: Vec<String>,
}

impl WriteCommand for ForgetArtifacts {
    type Answer = ();

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        require_member(transaction, &self.server)?;
        if self.attempts.len() > FORGOTTEN_AT_ONCE_MAX
            || !self.attempts.iter().all(|attempt| is_below(attempt))
        {
            return Err(Refusal::ValueInvalid {
                action: Action::ForgetArtifacts,
                field: "attempts",
                given: self.attempts.len().to_string(),
                expected: Expected::Attempts,
            }
            .into());
        }
        for attempt in &self.attempts {
            if manifest(transaction, &self.server, attempt).is_ok_and(|found| found.is_none()) {
                continue;
            }
            forget(&self.server, attempt, transaction)?;
        }
        transaction.describe(format!("artifact prune: {} of {}", self.attempts.len(), self.server));
        Ok(())
    }
}
