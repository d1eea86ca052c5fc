//! Reading what lies spread over the hub: statuses and beats of all servers.

use crate::domain::bad_branch::BadBranch;
use crate::domain::heartbeat::{Heartbeat, WorkerStopped};
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, ServerName};
use crate::domain::record::Record;
use crate::domain::refusal::Refusal;
use crate::domain::server::{Server, folder_is_in_use};
use crate::domain::status::Status;
use crate::domain::table::{Row, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, LedgerError, Transaction};
use std::collections::BTreeSet;

/// A beat and the branch it lies on.
#[derive(Debug, Clone)]
pub struct BranchHeartbeat {
    pub beat: Record<Heartbeat>,
    pub branch: String,
}

/// The signs of life of a server.
#[derive(Debug, Clone, Default)]
pub struct Beats {
    /// The newest of each branch that may carry one, the main branch first.
    pub placed: Vec<BranchHeartbeat>,
    /// Whether one may be there that cannot be read: then what is seen elsewhere may be old, and nobody can
    /// tell whether the server lives.
    pub is_out_of_sight: bool,
}

/// The beats of `server` on all branches that may carry them. One that cannot be read says nothing: the next
/// beat of its server makes it anew.
///
/// # Errors
/// When a branch cannot be read.
pub fn beats(documents: &impl Documents, server: &ServerName) -> Result<Beats, Abort> {
    let on_branches = documents.branches_with(HEARTBEAT_BRANCH_PREFIX, server.as_str())?;
    let path = Heartbeat::path(server);
    let mut beats = Beats::default();
    for branch in [documents.main().to_owned()].into_iter().chain(on_branches) {
        match documents.record_on::<Heartbeat>(&branch, &path) {
            Ok(Some(beat)) => beats.placed.push(BranchHeartbeat { beat, branch }),
            Ok(None) => {}
            Err(Abort::Fault(LedgerError::Document(_))) => beats.is_out_of_sight = true,
            Err(error) => return Err(error),
        }
    }
    // Its own branch holds its beat, with a time; one that does not was changed by another hand.
    let own = server.heartbeat_branch();
    let is_seen = beats.placed.iter().any(|placed| placed.branch == own && placed.beat.at().is_some());
    beats.is_out_of_sight |= !is_seen && documents.has_branch(&own)?;
    // Asked last: a branch of which a part is lost is known by now.
    let is_of_server = |bad: &BadBranch| bad.server().as_ref() == Some(server);
    beats.is_out_of_sight |= documents.bad_branches().iter().any(is_of_server);
    Ok(beats)
}

/// A beat that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenBeat {
    /// What is wrong with it, and where it lies.
    pub why: String,
}

/// What there is of the beats of a server for people to see.
#[derive(Debug, Clone, Default)]
pub struct SeenBeats {
    /// The newest that can be read.
    pub newest: Option<Record<Heartbeat>>,
    /// When its worker last beat.
    pub worker_at: Option<Timestamp>,
    /// How that ended, if it did so by itself.
    pub worker_stopped: Option<WorkerStopped>,
    /// Those that cannot be read.
    pub broken: Vec<BrokenBeat>,
}

/// What there is of the beats of `server`. One document must not hide the rest of the fleet.
///
/// # Errors
/// When a branch cannot be read.
pub fn seen_beats(documents: &impl Documents, server: &ServerName) -> Result<SeenBeats, Abort> {
    let path = Heartbeat::path(server);
    let mut seen = SeenBeats::default();
    let main = documents.main().to_owned();
    let branches = documents.branches_with(HEARTBEAT_BRANCH_PREFIX, server.as_str())?;
    for branch in branches.into_iter().chain([main]) {
        match documents.record_on::<Heartbeat>(&branch, &path) {
            Ok(Some(beat)) => {
                if beat.worker_at > seen.worker_at {
                    (seen.worker_at, seen.worker_stopped) = (beat.worker_at, beat.worker_stopped.clone());
                }
                // Of two of one second that on the server's own branch: main's copy says less.
                seen.newest = [beat].into_iter().chain(seen.newest).max_by_key(|beat| beat.at());
            }
            Ok(None) => {}
            Err(Abort::Fault(LedgerError::Document(error))) => {
                seen.broken.push(BrokenBeat { why: format!("{error} (branch `{branch}`)") });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(seen)
}

/// The newest beat of `server` on any branch that may carry it.
///
/// # Errors
/// When a document cannot be read.
pub fn newest_beat(
    documents: &impl Documents,
    server: &ServerName,
) -> Result<Option<BranchHeartbeat>, Abort> {
    Ok(beats(documents, server)?.placed.into_iter().max_by_key(|placed| placed.beat.at()))
}

/// Names everything that `beats` say: it changes with every sign of life on any branch.
#[must_use]
pub fn life(beats: &[BranchHeartbeat]) -> String {
    beats.iter().map(|placed| placed.beat.version()).collect::<Vec<_>>().join(" ")
}

/// The status of `server`. One that cannot be read is none: its server makes it anew with its next
/// status, claim or beat, and others leave it alone.
///
/// # Errors
/// When the branch cannot be read.
pub fn status(documents: &impl Documents, server: &ServerName) -> Result<Option<Record<Status>>, Abort> {
    if_readable(documents.record(&Status::path(server)))
}

/// A document of one record, or none where it cannot be read.
///
/// # Errors
/// All others.
pub fn if_readable<T>(read: Result<Option<T>, Abort>) -> Result<Option<T>, Abort> {
    match read {
        Err(Abort::Fault(LedgerError::Document(_))) => Ok(None),
        read => read,
    }
}

/// A table, or an empty one where it cannot be read, for whoever tells of that elsewhere.
///
/// # Errors
/// When the branch cannot be read.
pub fn or_empty<T: Row>(documents: &impl Documents) -> Result<Table<T>, Abort> {
    Ok(if_readable(documents.table().map(Some))?.unwrap_or_else(|| Table::empty(T::PATH)))
}

/// What is wrong with the documents that `server` alone writes, for people.
///
/// # Errors
/// When the branch cannot be read.
pub fn own_troubles(documents: &impl Documents, server: &ServerName) -> Result<Vec<String>, Abort> {
    let mut found = Vec::new();
    let status = documents.record::<Status>(&Status::path(server)).map(drop);
    let beat = documents.record::<Heartbeat>(&Heartbeat::path(server)).map(drop);
    for read in [status, beat] {
        match read {
            Err(Abort::Fault(LedgerError::Document(error))) => found.push(error.to_string()),
            read => read?,
        }
    }
    Ok(found)
}

/// Every server of the hub: the registered ones and those that have a folder with a status or a
/// heartbeat, as in hubs that have no registry.
///
/// # Errors
/// When a document cannot be read.
pub fn server_names(documents: &impl Documents, registry: &Table<Server>) -> Result<Vec<ServerName>, Abort> {
    let mut names: BTreeSet<ServerName> = registered(registry).into_iter().collect();
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
pub fn unregistered(documents: &impl Documents, registry: &Table<Server>) -> Result<Vec<Server>, Abort> {
    let mut found = Vec::new();
    for name in server_names(documents, registry)? {
        if registry.holds(name.as_str()) {
            continue;
        }
        let (status, beat) = (
            readable(documents.record::<Status>(&Status::path(&name)))?,
            readable(documents.record::<Heartbeat>(&Heartbeat::path(&name)))?,
        );
        let is_broken = status.is_none() || beat.is_none();
        let (status, beat) = (status.flatten(), beat.flatten());
        if is_broken || folder_is_in_use(beat.as_ref(), status.as_ref()) {
            found.push(Server::found(&name, status.as_deref()));
        }
    }
    Ok(found)
}

/// What was read; `None` if the document cannot be.
fn readable<T>(read: Result<T, Abort>) -> Result<Option<T>, Abort> {
    match read {
        Err(Abort::Fault(LedgerError::Document(_))) => Ok(None),
        read => read.map(Some),
    }
}

/// The names in the registry, also those whose records cannot be read otherwise.
#[must_use]
pub fn registered(registry: &Table<Server>) -> Vec<ServerName> {
    let broken = registry.broken().filter_map(|broken| ServerName::new(&broken.id()).ok());
    registry.rows().filter_map(|server| ServerName::new(&server.id).ok()).chain(broken).collect()
}

/// Whether these are the files of a server's folder.
fn has_folder(files: &[String]) -> bool {
    files.iter().any(|file| file == "status.json" || file == "heartbeat.json")
}

/// Fails unless `server` belongs to the hub: registered, or, where nobody is, with a folder. A name that was mistyped must not come alive by its first heartbeat.
///
/// # Errors
/// The refusal, or a document that cannot be read.
pub fn require_member(transaction: &Transaction<'_>, server: &ServerName) -> Result<(), Abort> {
    let registry: Table<Server> = transaction.table()?;
    let is_member = if registry.is_empty() {
        has_folder(&transaction.list(server.as_str())?)
    } else {
        registry.holds(server.as_str())
    };
    if is_member {
        return Ok(());
    }
    Err(Refusal::ServerNotRegistered { server: server.to_string() }.into())
}
