//! Reading what lies spread over the hub: statuses and beats of all servers.

use crate::domain::heartbeat::Heartbeat;
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, ServerName};
use crate::domain::record::Record;
use crate::domain::refusal::Refusal;
use crate::domain::server::{Server, folder_is_in_use};
use crate::domain::status::Status;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Documents, LedgerError, Stop, Transaction};
use std::collections::BTreeSet;

/// A beat and the branch it lies on.
#[derive(Debug, Clone)]
pub struct PlacedBeat {
    /// The beat.
    pub beat: Record<Heartbeat>,
    /// Its branch.
    pub branch: String,
}

/// The beats of `server` on all branches that may carry them, the main branch first. One on a
/// heartbeat branch that cannot be read is none: the next beat replaces it.
///
/// # Errors
/// When a document on the main branch cannot be read.
pub fn beats(documents: &impl Documents, server: &ServerName) -> Result<Vec<PlacedBeat>, Stop> {
    let mut branches = vec![documents.main().to_owned()];
    branches.extend(documents.branches_with(HEARTBEAT_BRANCH_PREFIX, server.as_str())?);
    let path = Heartbeat::path(server);
    let mut beats = Vec::new();
    for branch in branches {
        match documents.record_on::<Heartbeat>(&branch, &path) {
            Ok(Some(beat)) => beats.push(PlacedBeat { beat, branch }),
            Ok(None) => {}
            Err(Stop::Fault(LedgerError::Document(_))) if branch != documents.main() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(beats)
}

/// A beat that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenBeat {
    /// What is wrong with it, and where it lies.
    pub why: String,
    /// Whether the next beat puts another in its place: one on a heartbeat branch.
    pub is_replaced: bool,
}

/// What there is of the beats of a server for people to see.
#[derive(Debug, Default)]
pub struct SeenBeats {
    /// The newest that can be read.
    pub newest: Option<Record<Heartbeat>>,
    /// When its worker last beat.
    pub worker_at: Option<Timestamp>,
    /// Those that cannot be read.
    pub broken: Vec<BrokenBeat>,
}

/// What there is of the beats of `server`. One document must not hide the rest of the fleet.
///
/// # Errors
/// When a branch cannot be read.
pub fn seen_beats(documents: &impl Documents, server: &ServerName) -> Result<SeenBeats, Stop> {
    let path = Heartbeat::path(server);
    let mut seen = SeenBeats::default();
    let main = documents.main().to_owned();
    let branches = documents.branches_with(HEARTBEAT_BRANCH_PREFIX, server.as_str())?;
    for branch in branches.into_iter().chain([main.clone()]) {
        match documents.record_on::<Heartbeat>(&branch, &path) {
            Ok(Some(beat)) => {
                seen.worker_at = seen.worker_at.max(beat.worker_at);
                seen.newest = seen.newest.into_iter().chain([beat]).max_by_key(|beat| beat.at());
            }
            Ok(None) => {}
            Err(Stop::Fault(LedgerError::Document(error))) => seen.broken.push(BrokenBeat {
                why: format!("{error} (branch `{branch}`)"),
                is_replaced: branch != main,
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(seen)
}

/// The newest beat of `server` on any branch that may carry it.
///
/// # Errors
/// When a document cannot be read.
pub fn newest_beat(documents: &impl Documents, server: &ServerName) -> Result<Option<PlacedBeat>, Stop> {
    Ok(beats(documents, server)?.into_iter().max_by_key(|placed| placed.beat.at()))
}

/// Names everything that `beats` say: it changes with every sign of life on any branch.
#[must_use]
pub fn life(beats: &[PlacedBeat]) -> String {
    beats.iter().map(|placed| placed.beat.version()).collect::<Vec<_>>().join(" ")
}

/// The status of `server`.
///
/// # Errors
/// When the document cannot be read.
pub fn status(documents: &impl Documents, server: &ServerName) -> Result<Option<Record<Status>>, Stop> {
    documents.record(&Status::path(server))
}

/// Every server of the hub: the registered ones and those that have a folder with a status or a
/// heartbeat, as in hubs that have no registry.
///
/// # Errors
/// When a document cannot be read.
pub fn server_names(documents: &impl Documents, registry: &Table<Server>) -> Result<Vec<ServerName>, Stop> {
    let mut names: BTreeSet<ServerName> =
        registry.rows().filter_map(|server| ServerName::new(&server.id).ok()).collect();
    for entry in documents.list("")? {
        let Some(name) = entry.strip_suffix('/').and_then(|name| ServerName::new(name).ok()) else {
            continue;
        };
        if has_folder(&documents.list(name.as_str())?) {
            names.insert(name);
        }
    }
    Ok(names.into_iter().collect())
}

/// The servers that have a folder in use and are not registered: those that worked here before there
/// was a registry, or that write past it. One whose files cannot be read counts.
///
/// # Errors
/// When a branch cannot be read.
pub fn unregistered(documents: &impl Documents, registry: &Table<Server>) -> Result<Vec<Server>, Stop> {
    let mut found = Vec::new();
    for name in server_names(documents, registry)? {
        if registry.get(name.as_str()).is_some() {
            continue;
        }
        let (status, beat) =
            (readable(status(documents, &name))?, readable(documents.record(&Heartbeat::path(&name)))?);
        let is_broken = status.is_none() || beat.is_none();
        let (status, beat) = (status.flatten(), beat.flatten());
        if is_broken || folder_is_in_use(beat.as_ref(), status.as_ref()) {
            found.push(Server::found(&name, status.as_deref()));
        }
    }
    Ok(found)
}

/// What was read; `None` if the document cannot be.
fn readable<T>(read: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match read {
        Err(Stop::Fault(LedgerError::Document(_))) => Ok(None),
        read => read.map(Some),
    }
}

/// Whether these are the files of a server's folder.
fn has_folder(files: &[String]) -> bool {
    files.iter().any(|file| file == "status.json" || file == "heartbeat.json")
}

/// Fails unless `server` belongs to the hub: registered, or, where nobody is, with a folder. A name that was mistyped must not come alive by its first heartbeat.
///
/// # Errors
/// The refusal, or a document that cannot be read.
pub fn require_member(transaction: &Transaction<'_>, server: &ServerName) -> Result<(), Stop> {
    let registry: Table<Server> = transaction.table()?;
    let is_member = if registry.rows().len() == 0 {
        has_folder(&transaction.list(server.as_str())?)
    } else {
        registry.get(server.as_str()).is_some()
    };
    if is_member {
        return Ok(());
    }
    Err(Refusal::forbidden(format!("server `{server}` does not belong to this hub; nothing was written"))
        .hint(format!("register it with `git muster join --as {server}`, or see the names with `git muster servers list`"))
        .into())
}
