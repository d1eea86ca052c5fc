//! Taking over a hub as the first scripts left it.
//!
//! The rules are the domain's (`domain/import`); here it is decided which documents they are asked
//! about, and everything that comes of it goes into one commit. What of a document has no place in its
//! mended text is kept beside it, byte for byte, below [`ASIDE`].

mod into;
mod lost;

pub use lost::{LostRecords, lost};

use self::into::HubState;
use super::fsck::Document;
use crate::app::commands::WriteCommand;
use crate::app::commands::found::{MarkerPolicy, TEMPLATE, mark};
use crate::domain::build_config::BuildConfig;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::high_water::HighWater;
use crate::domain::hub::Marker;
use crate::domain::id::ServerName;
use crate::domain::import::{
    DocumentResult, Imported, KnownRows, LastReadable, Line, Marks, Rules, State, found_record, mend_marker,
    mend_record, mend_record_by, mend_row, mend_table,
};
use crate::domain::job::Job;
use crate::domain::json;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::record::Record;
use crate::domain::server::{Server, folder_is_in_use};
use crate::domain::status::Status;
use crate::domain::table::{Row as _, Table};
use crate::domain::tables::{ARCHIVE, ForTable, Stored, TABLES};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents as _, History, LedgerError, MergeSides, Side, Transaction};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Where documents are kept as they were found, each below the time of the import.
pub const ASIDE: &str = "coordination/aside/";

/// So many versions of the locks are asked for their tokens, the newest first.
const LOCK_VERSIONS_MAX: usize = 10_000;

/// A document of an old hub.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it lies.
    pub path: String,
    /// What it holds; `None` if a link or a folder stands where it belongs.
    pub bytes: Option<Vec<u8>>,
    /// Where text of it is lost, what the history says: what it held when it could be read last, if ever.
    pub past: Option<Option<LastReadable>>,
}

/// Takes a hub over.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The documents of another hub, if that one is taken over; else those of this one are mended.
    pub source: Option<Vec<Source>>,
    /// Records that are put back.
    pub lost: LostRecords,
    /// Unfinished jobs of this age are closed.
    pub close_older_than: Option<Duration>,
    /// Whether to go on where history that may hold more is not here, or damaged.
    pub begins_anew: bool,
}

/// What was found, and what was done about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// How many documents need nothing.
    pub sound: usize,
    /// How many are mended without a loss.
    pub mendable: usize,
    /// Of how many a part cannot be used.
    pub broken: usize,
    /// Every document, and the records in it of which there is something to tell.
    pub lines: Vec<Line>,
    /// Where documents are kept as they were found.
    pub aside: Vec<String>,
    /// The servers that were registered.
    pub registered: Vec<String>,
    /// The jobs that were put back.
    pub recovered_jobs: usize,
    /// The messages that were put back.
    pub recovered_messages: usize,
    /// The jobs that were closed.
    pub closed: Vec<String>,
    /// The unfinished jobs that are left.
    pub unfinished: Vec<String>,
    /// How many messages are for names that are no server, by name.
    pub to_nobody: BTreeMap<String, usize>,
}

impl WriteCommand for Import {
    type Answer = ImportReport;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<ImportReport, Abort> {
        let mut report = ImportReport::default();
        let (documents, becomes, own) = match &self.source {
            Some(source) => {
                let mut documents = source.clone();
                let (own, told) = HubState::of(transaction, &mut documents)?;
                report.lines.extend(told);
                let is_another = documents.iter().any(|document| document.path == Marker::PATH);
                (documents, if is_another { MarkerPolicy::Anew } else { MarkerPolicy::Keep }, Some(own))
            }
            None => (documents(transaction, self.begins_anew)?, MarkerPolicy::Keep, None),
        };
        let main = transaction.main().to_owned();
        let new = Marker::new(transaction.op(), &main, transaction.now());
        let mut kept = TableRows::at(transaction.now(), new);
        for document in &documents {
            let (path, present) = (&document.path, document.bytes.as_deref().unwrap_or_default());
            let asked = document.past.as_ref().map(Option::as_ref);
            let Some(mended) = kept.mend(path, present, asked) else { continue };
            let mended = if document.bytes.is_some() { mended } else { mended.in_place_of_no_file(path) };
            self.put(path, present, mended, (transaction, &mut report));
        }
        if let Some(own) = own {
            own.put_back(transaction)?;
        }
        report.lines.sort_by(|a, b| a.path.cmp(&b.path));
        (report.recovered_jobs, report.recovered_messages) = (
            put_back::<Job>(&self.lost.jobs, kept.of::<Job>(), transaction)?,
            put_back::<Message>(&self.lost.messages, kept.of::<Message>(), transaction)?,
        );
        self.close_jobs(transaction, &mut report)?;
        complete(transaction, becomes)?;
        register(&documents, transaction, &mut report)?;
        transaction.describe(format!(
            "import: {} documents mended, {} servers registered",
            report.mendable + report.broken,
            report.registered.len()
        ));
        Ok(report)
    }
}

impl Import {
    /// Writes what became of one document, and counts it.
    fn put(
        &self,
        path: &str,
        bytes: &[u8],
        mended: DocumentResult,
        (transaction, report): (&mut Transaction<'_>, &mut ImportReport),
    ) {
        match mended.lines.first().map(|line| line.state) {
            Some(State::Broken) => report.broken += 1,
            Some(State::Mendable) => report.mendable += 1,
            _ => report.sound += 1,
        }
        if mended.is_kept_aside {
            let aside = format!("{ASIDE}{}/{path}", transaction.now().compact());
            transaction.put_bytes(&aside, bytes.to_vec());
            report.aside.push(aside);
        }
        match mended.text {
            Some(text) => transaction.put_text(path, text),
            None if self.source.is_some() => transaction.put_bytes(path, bytes.to_vec()),
            None => {}
        }
        report.lines.extend(mended.lines);
    }

    /// Closes the jobs that nobody will do any more, and names those that are left.
    fn close_jobs(&self, transaction: &mut Transaction<'_>, report: &mut ImportReport) -> Result<(), Abort> {
        let now = transaction.now();
        let mut jobs: Table<Job> = transaction.table()?;
        for job in jobs.rows_mut() {
            if job.status.is_final() {
                continue;
            }
            let began_at = job.started_at.or(job.created_at).or_else(|| in_id(&job.id));
            // Of what names no time nobody can say that it is young.
            let age = began_at.map_or(Duration::MAX, |at| now.since(at));
            if self.close_older_than.is_some_and(|limit| age >= limit) {
                let why = format!("closed by the import: it was {} and nobody worked on it", job.status);
                job.edit(|job| job.cancel(Some(why), now))?;
                report.closed.push(job.id.clone());
            } else {
                report.unfinished.push(job.id.clone());
            }
        }
        transaction.put_table(&jobs)
    }
}

/// The time in an id as the first scripts made them: `job_1761781030`.
fn in_id(id: &str) -> Option<Timestamp> {
    id.split('_').nth(1).and_then(Timestamp::parse)
}

/// What stands in the documents of each sort.
struct TableRows {
    /// By the path of the live table; its archives are of the same sort.
    tables: BTreeMap<&'static str, KnownRows>,
    /// What a marker without an id gets, if the history does not tell.
    marker: Marker,
}

impl TableRows {
    fn at(now: Timestamp, marker: Marker) -> Self {
        Self { tables: TABLES.iter().map(|kind| (kind.path, KnownRows::at(now))).collect(), marker }
    }

    /// What stands in the documents of `T`.
    fn of<T: Stored>(&mut self) -> &mut KnownRows {
        self.tables.entry(T::PATH).or_default()
    }

    /// Mends one document, of which the history may have been `asked`; `None` if it is none of ours.
    fn mend(
        &mut self,
        path: &str,
        bytes: &[u8],
        asked: Option<Option<&LastReadable>>,
    ) -> Option<DocumentResult> {
        struct ImportRepair<'a>(&'a mut TableRows, &'a str, &'a [u8], Option<Option<&'a LastReadable>>);
        impl ForTable for ImportRepair<'_> {
            type Answer = DocumentResult;
            fn run<T: Stored>(self) -> DocumentResult {
                mend_table::<T>(self.1, self.2, self.3, self.0.of::<T>())
            }
        }
        let past = asked.flatten();
        Some(match Document::at(path)? {
            Document::Table(kind) | Document::Archive(kind) => {
                kind.with(ImportRepair(self, path, bytes, asked))
            }
            Document::Status(server) => {
                mend_record::<Status>(path, bytes, || document_of(&Status::blank(&server)))
            }
            Document::Heartbeat(server) => {
                mend_record::<Heartbeat>(path, bytes, || document_of(&Heartbeat::blank(&server)))
            }
            Document::BuildConfig => mend_record_by::<BuildConfig>(path, bytes, past, || "{}\n".to_owned()),
            Document::Hub => mend_marker(path, bytes, past, &self.marker),
        })
    }
}

/// How a document is judged that nobody but a person says anew. What a server says of itself it says again.
fn rules(path: &str) -> Option<Rules> {
    struct OfTable;
    impl ForTable for OfTable {
        type Answer = Rules;
        fn run<T: Stored>(self) -> Rules {
            Rules::of_table::<T>()
        }
    }
    match Document::at(path)? {
        Document::Table(kind) | Document::Archive(kind) => Some(kind.with(OfTable)),
        Document::BuildConfig => Some(Rules::of_record::<BuildConfig>()),
        Document::Hub => Some(Rules::of_marker()),
        Document::Status(_) | Document::Heartbeat(_) => None,
    }
}

/// A document with what the history says of it, if that is to be asked.
fn source(
    path: String,
    bytes: Option<Vec<u8>>,
    hub: &impl History,
    begins_anew: bool,
) -> Result<Source, LedgerError> {
    let Some(rules) = rules(&path).filter(|rules| (rules.is_lost)(bytes.as_deref())) else {
        return Ok(Source { path, bytes, past: None });
    };
    let MergeSides { found, unseen } = hub.sides(&path, &rules.is_whole)?;
    require_whole(unseen.map_or(Ok(()), Err), begins_anew)?;
    let mut past: Option<LastReadable> = None;
    for side in &found {
        match &mut past {
            None => past = Some(LastReadable::of(side.version.short(), side.bytes.clone())),
            Some(past) => past.join(&rules, side.version.short(), &side.bytes, side.base.as_deref()),
        }
    }
    if path == HighWater::PATH {
        past = highest(past, &found, bytes.as_deref(), hub, begins_anew)?;
    }
    Ok(Source { path, bytes, past: Some(past) })
}

/// What cannot be seen of the history is not taken for what never was, unless that is asked for.
fn require_whole(looked: Result<(), LedgerError>, begins_anew: bool) -> Result<(), LedgerError> {
    match looked {
        Err(
            LedgerError::CutHistory { .. } | LedgerError::LacksObject { .. } | LedgerError::Partial { .. },
        ) if begins_anew => Ok(()),
        looked => looked,
    }
}

/// The highest tokens that the marks and the locks show. Marks only rise: all that was ever told counts.
fn highest(
    past: Option<LastReadable>,
    sides: &[Side],
    bytes: Option<&[u8]>,
    hub: &impl History,
    begins_anew: bool,
) -> Result<Option<LastReadable>, LedgerError> {
    let mut marks = Marks::default();
    bytes.into_iter().chain(sides.iter().map(|side| &*side.bytes)).for_each(|bytes| marks.note_marks(bytes));
    let (mut left, mut newest) = (LOCK_VERSIONS_MAX, past.map(|past| past.commit));
    let looked = hub.versions(Lock::PATH, &mut |version, bytes| {
        marks.note_locks(bytes);
        newest.get_or_insert_with(|| version.short().to_owned());
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // Where the marks were found, older locks tell nothing more.
    let ends = matches!(looked, Err(LedgerError::CutHistory { .. }));
    require_whole(looked, begins_anew || ends && !sides.is_empty())?;
    Ok(newest.zip(marks.bytes()).map(|(commit, bytes)| LastReadable::of(&commit, bytes)))
}

fn document_of(view: &impl Serialize) -> String {
    format!("{}\n", json::pretty(view, 0))
}

/// The documents of a hub, the archives first: what is in them is no longer live.
///
/// # Errors
/// When a branch cannot be read, a document is too large, or what a text has lost may be in history that cannot
/// be looked at, unless what cannot be found `begins_anew`.
pub fn documents(hub: &impl History, begins_anew: bool) -> Result<Vec<Source>, Abort> {
    let mut paths: Vec<String> = hub
        .list(ARCHIVE)?
        .into_iter()
        .map(|name| format!("{ARCHIVE}/{}", name.trim_end_matches('/')))
        .collect();
    paths.extend(TABLES.iter().map(|kind| kind.path.to_owned()));
    paths.extend([Marker::PATH, BuildConfig::PATH].map(str::to_owned));
    for entry in hub.list("")? {
        let Some(server) = entry.strip_suffix('/').and_then(|name| ServerName::new(name).ok()) else {
            continue;
        };
        paths.extend([Status::path(&server), Heartbeat::path(&server)]);
    }
    let mut found = Vec::new();
    for path in paths {
        match hub.document(hub.main(), &path) {
            Ok(Some(document)) => {
                found.push(source(path, Some(document.bytes().to_vec()), hub, begins_anew)?);
            }
            Ok(None) => {}
            Err(LedgerError::Document(error)) if error.is_no_file() => {
                found.push(source(path, None, hub, begins_anew)?);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Appends records that the history holds to the live table, and says how many.
fn put_back<T: Imported>(
    texts: &[String],
    kept: &KnownRows,
    transaction: &mut Transaction<'_>,
) -> Result<usize, Abort> {
    let mut table: Table<T> = transaction.table()?;
    let mut number = 0;
    for text in texts {
        let Some((view, text)) = mend_row::<T>(text) else { continue };
        // Since the history was read it may have come back.
        if kept.has(view.id()) || table.get(view.id()).is_some() {
            continue;
        }
        if let Ok(record) = Record::<T>::read(T::PATH, "", &text, 0) {
            table.push_record(&record);
            number += 1;
        }
    }
    transaction.put_table(&table)?;
    Ok(number)
}

/// Writes what a hub has besides, where it is missing. What was another hub's marker becomes its own.
fn complete(transaction: &mut Transaction<'_>, becomes: MarkerPolicy) -> Result<(), Abort> {
    let main = transaction.main().to_owned();
    for (path, text) in TEMPLATE {
        if transaction.document(&main, path)?.is_none() {
            transaction.put_text(path, (*text).to_owned());
        }
    }
    mark(transaction, becomes).map(drop)
}

/// Registers the servers whose folders are in use, and counts the messages that are for no server.
fn register(
    documents: &[Source],
    transaction: &mut Transaction<'_>,
    report: &mut ImportReport,
) -> Result<(), Abort> {
    let mut registry: Table<Server> = transaction.table()?;
    for server in in_use(documents) {
        if !registry.rows().any(|known| known.id.eq_ignore_ascii_case(&server.id)) {
            report.registered.push(server.id.clone());
            registry.push(server);
        }
    }
    transaction.put_table(&registry)?;
    let messages: Table<Message> = transaction.table()?;
    for message in messages.rows() {
        if !message.is_for_everybody() && registry.get(&message.to).is_none() {
            *report.to_nobody.entry(message.to.clone()).or_default() += 1;
        }
    }
    Ok(())
}

/// What lies in the folder of a server.
#[derive(Default)]
struct Folder<'a> {
    status: Option<&'a [u8]>,
    beat: Option<&'a [u8]>,
}

/// The servers whose folders hold a sign of use, or a file that cannot be read.
fn in_use(documents: &[Source]) -> Vec<Server> {
    let mut folders: BTreeMap<ServerName, Folder<'_>> = BTreeMap::new();
    for document in documents {
        // What is no file is none that can be read.
        let bytes = document.bytes.as_deref().unwrap_or(b"no file");
        match Document::at(&document.path) {
            Some(Document::Status(server)) => folders.entry(server).or_default().status = Some(bytes),
            Some(Document::Heartbeat(server)) => folders.entry(server).or_default().beat = Some(bytes),
            _ => {}
        }
    }
    let mut servers = Vec::new();
    for (name, folder) in folders {
        let status = folder.status.map(|bytes| found_record::<Status>("", bytes));
        let beat = folder.beat.map(|bytes| found_record::<Heartbeat>("", bytes));
        let is_broken = matches!(status, Some(None)) || matches!(beat, Some(None));
        let (status, beat) = (status.flatten(), beat.flatten());
        if is_broken || folder_is_in_use(beat.as_ref(), status.as_ref()) {
            servers.push(Server::found(&name, status.as_deref()));
        }
    }
    servers
}
