//! Founding a hub: the template's files, in a new or an existing branch.
//!
//! What is there already is never touched, so that an old hub or a repository with other things
//! in it can become one.

use crate::app::commands::WriteCommand;
use crate::domain::hub::Marker;
use crate::domain::record::Record;
use crate::ledger::{Abort, Document, Documents as _, History as _, Transaction};
use serde::{Deserialize, Serialize};

/// The files of a hub in its first state, kept in this repository as a hub of its own.
pub const TEMPLATE: &[(&str, &str)] = &[
    ("coordination/jobs.json", include_str!("../../../coordination/jobs.json")),
    ("coordination/locks.json", include_str!("../../../coordination/locks.json")),
    ("coordination/messages.json", include_str!("../../../coordination/messages.json")),
    ("coordination/servers.json", include_str!("../../../coordination/servers.json")),
    ("shared/build_config.json", include_str!("../../../shared/build_config.json")),
    ("shared/health_dashboard.json", include_str!("../../../shared/health_dashboard.json")),
];

/// Writes the template where files of it are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitHub {
    /// What becomes of a marker that is there.
    #[serde(default)]
    pub mark: MarkerPolicy,
}

/// What becomes of a marker that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkerPolicy {
    /// It stays as it is.
    #[default]
    Keep,
    /// The hub has got another branch since: this one.
    Moved,
    /// It came with a branch that was made from a hub, and this becomes one of its own.
    Anew,
}

/// Which files were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundAnswer {
    /// Their paths; empty when the hub was complete.
    pub files: Vec<String>,
}

impl WriteCommand for InitHub {
    type Answer = FoundAnswer;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<FoundAnswer, Abort> {
        let mut files = Vec::new();
        for (path, text) in TEMPLATE {
            let main = transaction.main().to_owned();
            if transaction.document(&main, path)?.is_none() {
                transaction.put_text(path, (*text).to_owned());
                files.push((*path).to_owned());
            }
        }
        if mark(transaction, self.mark)? {
            files.push(Marker::PATH.to_owned());
        }
        transaction.describe(format!("init: {} files of a new hub", files.len()));
        Ok(FoundAnswer { files })
    }
}

/// The newest marker with an id that the history holds; of a merge that of the first parent.
fn known_marker(transaction: &Transaction<'_>) -> Result<Option<Marker>, Abort> {
    let read = |bytes: &[u8]| {
        let marker = Document::new(bytes.to_vec()).record::<Marker>(Marker::PATH);
        marker.ok().map(|marker| Marker::clone(&marker)).filter(|marker| !marker.id.is_empty())
    };
    let sides = transaction.sides(Marker::PATH, &|bytes| read(bytes).is_some())?;
    if let Some(unseen) = sides.unseen {
        // A hub that has an id must not get another.
        return Err(unseen.into());
    }
    Ok(sides.found.first().and_then(|side| read(&side.bytes)))
}

/// Writes the marker into a hub that has none, or as `mark` says; `true` if it did.
///
/// # Errors
/// When the marker that is there cannot be read, or history that may hold its id is not here.
pub(in crate::app) fn mark(transaction: &mut Transaction<'_>, mark: MarkerPolicy) -> Result<bool, Abort> {
    let main = transaction.main().to_owned();
    let new = Marker::new(transaction.op(), &main, transaction.now());
    let Some(mut marker) = transaction.record::<Marker>(Marker::PATH)? else {
        transaction.put_record(Marker::PATH, &Record::new(new, 0))?;
        return Ok(true);
    };
    if marker.id.is_empty() && mark != MarkerPolicy::Anew {
        // Whoever has the hub open knows it by the id that it had.
        let known = known_marker(transaction)?.unwrap_or(new.clone());
        marker.edit(|marker| marker.complete(&known));
    }
    match mark {
        MarkerPolicy::Keep => {}
        MarkerPolicy::Moved => marker.edit(|marker| marker.branch = Some(main)),
        MarkerPolicy::Anew => {
            marker.edit(|marker| *marker = Marker { settings: marker.settings.clone(), ..new });
        }
    }
    transaction.put_record(Marker::PATH, &marker)?;
    Ok(marker.is_changed())
}
