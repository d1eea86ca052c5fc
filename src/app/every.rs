//! Every document of the main branch that some command reads, looked at as the commands do.
//!
//! For those who watch: what they do not look at breaks unseen. Tables come from the list of them; whoever adds
//! another document adds it here. Judges nothing; what a document is worth is the domain's.

use crate::app::archived::ARCHIVES_MAX;
use crate::domain::build_config::BuildConfig;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::hub::Marker;
use crate::domain::id::ServerName;
use crate::domain::job::Job;
use crate::domain::json::{self, newer_layout};
use crate::domain::set_aside::SetAside;
use crate::domain::status::Status;
use crate::domain::table::{RecordTrouble, Row};
use crate::domain::tables::{ARCHIVE, ForTable, Stored, TABLES};
use crate::ledger::{Abort, Document, Documents as _, LedgerError, Snapshot};
use serde::Deserialize as _;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// A document as it was found.
#[derive(Debug, Clone)]
pub struct DocumentRead {
    /// Where it lies.
    pub path: String,
    /// Its size.
    pub bytes: usize,
    /// What keeps it from being read.
    pub wrong: Option<String>,
    /// The layout version that it names, if that is newer than ours.
    pub newer: Option<String>,
    /// Its records that are no good.
    pub troubles: Vec<RecordTrouble>,
    /// The server whose it is, if it is of one.
    pub server: Option<ServerName>,
}

/// Every document there is.
///
/// # Errors
/// When the store is damaged; a document that cannot be read is told of.
pub fn every(hub: &Snapshot<'_>) -> Result<Vec<DocumentRead>, LedgerError> {
    let mut looking = DocumentWalk { hub, seen: Vec::new() };
    let names = hub.list(ARCHIVE)?;
    // Long, and gone again before the jobs are read, which stay.
    let mut archives = Vec::new();
    for kind in TABLES.iter().filter(|kind| kind.has_archives && kind.path != Job::PATH) {
        archives.extend(kind.with(Read { looking: &mut looking, names: &names })?);
    }
    let place_of_jobs = looking.seen.len();
    for kind in TABLES.iter().filter(|kind| !kind.has_archives) {
        kind.with(Read { looking: &mut looking, names: &[] })?;
    }
    looking.note(Marker::PATH, None, |document| document.record::<Marker>(Marker::PATH).map(drop))?;
    looking.note(BuildConfig::PATH, None, |document| {
        document.record::<BuildConfig>(BuildConfig::PATH).map(drop)
    })?;
    let place_of_archives = looking.seen.len();
    for path in archives_of(SetAside::NAME, &names) {
        // Nothing acts on what was set aside: it is read as a whole, and no record of it is judged.
        looking.note(&path, None, |document| document.table::<SetAside>(&path).map(drop))?;
    }
    for entry in hub.list("")? {
        let Some(server) = entry.strip_suffix('/').and_then(|name| ServerName::new(name).ok()) else {
            continue;
        };
        let (status, beat) = (Status::path(&server), Heartbeat::path(&server));
        looking.note(&status, Some(&server), |document| document.record::<Status>(&status).map(drop))?;
        looking.note(&beat, Some(&server), |document| document.record::<Heartbeat>(&beat).map(drop))?;
    }
    // The longest last: others may be kept as differences to it, and with each of those it is read once more.
    let others = looking.seen.len();
    archives.extend(Read { looking: &mut looking, names: &names }.run::<Job>()?);
    let jobs = looking.seen.split_off(others);
    // They are told after what is live.
    looking.seen.splice(place_of_archives..place_of_archives, archives);
    looking.seen.splice(place_of_jobs..place_of_jobs, jobs);
    Ok(looking.seen)
}

/// The archives that begin with `name`, the oldest first. No command reads others than the newest.
fn archives_of(name: &str, names: &[String]) -> Vec<String> {
    let begin = format!("{name}-");
    let mut found: Vec<String> = names
        .iter()
        .filter(|name| name.starts_with(&begin) && name.ends_with(".json"))
        .map(|name| format!("{ARCHIVE}/{name}"))
        .collect();
    found.sort_unstable();
    let older = found.len().saturating_sub(ARCHIVES_MAX);
    found.split_off(older)
}

struct DocumentWalk<'a> {
    hub: &'a Snapshot<'a>,
    seen: Vec<DocumentRead>,
}

/// Reads a live table; returns its archives among `names`.
struct Read<'a, 'b> {
    looking: &'a mut DocumentWalk<'b>,
    names: &'a [String],
}

impl ForTable for Read<'_, '_> {
    type Answer = Result<Vec<DocumentRead>, LedgerError>;

    fn run<T: Stored>(self) -> Self::Answer {
        self.looking.with_archives::<T>(&archives_of(T::FIELD, self.names))
    }
}

impl DocumentWalk<'_> {
    /// The live table of `T` and its archives, which are returned.
    fn with_archives<T: Row>(&mut self, archives: &[String]) -> Result<Vec<DocumentRead>, LedgerError> {
        let mut known = HashSet::new();
        self.table_beside::<T>(T::PATH, &mut known)?;
        let live = self.seen.len();
        for path in archives {
            self.table_beside::<T>(path, &mut known)?;
        }
        Ok(self.seen.split_off(live))
    }

    /// A table beside others, of whose records the checksums are `known`: one in two of them is a trouble.
    fn table_beside<T: Row>(&mut self, path: &str, known: &mut HashSet<u64>) -> Result<(), LedgerError> {
        let mut troubles = Vec::new();
        self.note(path, None, |document| {
            let table = document.table::<T>(path)?;
            troubles = table.troubles();
            let named = table.rows().enumerate().filter(|(_, row)| !row.id().is_empty());
            let sums: Vec<(usize, u64)> = named.map(|(index, row)| (index, checksum::<T>(row))).collect();
            for (index, _) in sums.iter().filter(|(_, sum)| known.contains(sum)) {
                let id = table.rows().nth(*index).map_or("", |row| row.id());
                troubles.push(table.doubled(*index, id));
            }
            known.extend(sums.into_iter().map(|(_, sum)| sum));
            Ok(())
        })?;
        if let Some(last) = self.seen.last_mut().filter(|last| last.path == path) {
            last.troubles = troubles;
        }
        Ok(())
    }

    /// Notes the document at `path`, if there is one.
    fn note(
        &mut self,
        path: &str,
        server: Option<&ServerName>,
        read: impl FnOnce(&Document) -> Result<(), json::DocumentError>,
    ) -> Result<(), LedgerError> {
        let found = match path {
            Job::PATH => self.hub.document(self.hub.main(), path),
            // Nobody who looks at all of them asks for them again.
            _ => self.hub.glance(path),
        };
        let (bytes, wrong, newer) = match found {
            Ok(None) => return Ok(()),
            Ok(Some(document)) => {
                let wrong = read(&document).err().map(|error| error.problem);
                let newer = layout(&document).filter(|_| wrong.is_none());
                (document.bytes().len(), wrong, newer)
            }
            Err(LedgerError::Document(error)) => (0, Some(error.problem), None),
            Err(error) => return Err(error),
        };
        let server = server.cloned();
        self.seen.push(DocumentRead {
            path: path.to_owned(),
            bytes,
            wrong,
            newer,
            troubles: Vec::new(),
            server,
        });
        Ok(())
    }
}

/// Tells a record from others: by its id, and where that may be of several by what it says. Archives hold too
/// many to keep more of each.
fn checksum<T: Row>(row: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    (row.id(), row.apart()).hash(&mut hasher);
    hasher.finish()
}

/// The layout version that a document names, if it is above ours.
fn layout(document: &Arc<Document>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Versioned<'a> {
        #[serde(borrow)]
        version: Option<&'a serde_json::value::RawValue>,
    }
    // Most name none, and to look for one in a long document takes as long as to read it.
    let is_named = |bytes: &[u8]| bytes.windows(VERSION.len()).any(|piece| piece == VERSION);
    let bytes = Some(document.bytes()).filter(|bytes| is_named(bytes))?;
    let mut input = serde_json::Deserializer::from_slice(bytes);
    newer_layout(Versioned::deserialize(&mut input).ok()?.version?.get())
}

const VERSION: &[u8] = b"\"version\"";

/// What a reading of all that is wrong with a document comes to, or the error when it is not about one.
///
/// # Errors
/// When the store is damaged.
pub fn wrong<T>(read: Result<T, Abort>) -> Result<Option<String>, LedgerError> {
    match read {
        Ok(_) => Ok(None),
        Err(Abort::Refused(refusal)) => Ok(Some(refusal.to_string())),
        Err(Abort::Fault(LedgerError::Document(error))) => Ok(Some(error.problem)),
        Err(Abort::Fault(error)) => Err(error),
    }
}
