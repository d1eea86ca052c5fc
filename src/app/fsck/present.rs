//! What lies in a hub at its present commit, on the main branch and on those of heartbeats.

use super::{Notes, readable};
use crate::domain::audit::state;
use crate::domain::build_config::BuildConfig;
use crate::domain::finding::{About, Finding, HubFact, Severity, Thing};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::high_water::HighWater;
use crate::domain::hub::Marker;
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, ServerName};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::record::View;
use crate::domain::server::Server;
use crate::domain::set_aside::SetAside;
use crate::domain::status::Status;
use crate::domain::table::{Row, Table};
use crate::domain::tables::{ARCHIVE, ForTable, Stored, TABLES, TableKind};
use crate::ledger::{Abort, Documents as _, LedgerError, Snapshot};

/// Notes what is wrong with the documents.
pub(super) fn check(snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<(), LedgerError> {
    let archives: Vec<String> =
        snapshot.list(ARCHIVE)?.into_iter().map(|name| format!("{ARCHIVE}/{name}")).collect();
    for kind in TABLES {
        kind.with(Check { kind, archives: &archives, snapshot, notes })?;
    }
    let begin = format!("{ARCHIVE}/{}-", SetAside::NAME);
    for path in archives.iter().filter(|path| path.starts_with(&begin) && path.ends_with(".json")) {
        // What was set aside is kept as it is: its records are not judged.
        table_at::<SetAside>(path, snapshot, notes)?;
    }
    between_tables(snapshot, notes)?;
    if let Some(findings) = record(snapshot.main(), BuildConfig::PATH, snapshot, notes, |path, config| {
        state::layout::<BuildConfig>(path, config)
    })? {
        notes.add_all(findings);
    }
    if let Some(findings) = record(snapshot.main(), Marker::PATH, snapshot, notes, state::marker)? {
        notes.add_all(findings);
    }
    folders(snapshot, notes)?;
    notes.report.checked.branches = 1;
    for branch in snapshot.branches(HEARTBEAT_BRANCH_PREFIX)? {
        if branch != snapshot.main() {
            heartbeat_branch(&branch, snapshot, notes)?;
        }
    }
    Ok(())
}

/// The check of one table with its archives.
struct Check<'a> {
    kind: &'static TableKind,
    archives: &'a [String],
    snapshot: &'a Snapshot<'a>,
    notes: &'a mut Notes,
}

impl ForTable for Check<'_> {
    type Answer = Result<(), LedgerError>;

    fn run<T: Stored>(self) -> Self::Answer {
        let mut archives: Vec<Table<T>> = Vec::new();
        for path in self.archives.iter().filter(|path| TableKind::of_archive(path) == Some(self.kind)) {
            archives.extend(table_at(path, self.snapshot, self.notes)?);
        }
        if let Some(live) = live::<T>(self.snapshot, self.notes)? {
            self.notes.add_all(state::table(&live, &archives));
        } else if !archives.is_empty() {
            self.notes.add_all(state::table(&Table::empty(T::PATH), &archives));
        }
        Ok(())
    }
}

/// Notes what is wrong with two tables together, where both can be read: of one that cannot it was noted
/// before.
fn between_tables(snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<(), LedgerError> {
    if let (Some(locks), Some(marks)) = (again::<Lock>(snapshot)?, again::<HighWater>(snapshot)?) {
        notes.add_all(state::lowered(&locks, &marks));
    }
    if let (Some(jobs), Some(servers)) = (again::<Job>(snapshot)?, again::<Server>(snapshot)?) {
        notes.add_all(state::holders(&jobs, &servers));
    }
    Ok(())
}

/// A live table once more, unless it cannot be read.
fn again<T: Row>(snapshot: &Snapshot<'_>) -> Result<Option<Table<T>>, LedgerError> {
    match snapshot.table::<T>() {
        Ok(table) => Ok(Some(table)),
        Err(Abort::Refused(_) | Abort::Fault(LedgerError::Document(_))) => Ok(None),
        Err(Abort::Fault(error)) => Err(error),
    }
}

/// A live table, unless it cannot be read. One that is not in each hub is there when it holds something.
fn live<T: Row>(snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<Option<Table<T>>, LedgerError> {
    let is_there = !matches!(snapshot.document(snapshot.main(), T::PATH), Ok(None));
    if is_there || T::IS_IN_EACH_HUB { table_at(T::PATH, snapshot, notes) } else { Ok(None) }
}

/// A table of the main branch, unless it cannot be read. What is not there is an empty table and nothing
/// that was looked at.
fn table_at<T: Row>(
    path: &str,
    snapshot: &Snapshot<'_>,
    notes: &mut Notes,
) -> Result<Option<Table<T>>, LedgerError> {
    if matches!(snapshot.document(snapshot.main(), path), Ok(None)) {
        notes.add(state::missing(path), None);
        return Ok(Some(Table::empty(path)));
    }
    notes.report.checked.documents += 1;
    let table = readable(snapshot.table_at::<T>(path), None, notes)?;
    notes.report.checked.records +=
        table.as_ref().map_or(0, |table| table.rows().len() + table.broken().len());
    Ok(table)
}

/// A single document of any branch, judged if it is there and can be read.
fn record<T: View>(
    branch: &str,
    path: &str,
    snapshot: &Snapshot<'_>,
    notes: &mut Notes,
    judge: impl Fn(&str, &crate::domain::record::Record<T>) -> Vec<Finding>,
) -> Result<Option<Vec<Finding>>, LedgerError> {
    let shown = (branch != snapshot.main()).then_some(branch);
    let before = notes.report.errors;
    let record = readable(snapshot.record_on::<T>(branch, path), shown, notes)?.flatten();
    notes.report.checked.documents += usize::from(record.is_some() || notes.report.errors > before);
    Ok(record.map(|record| judge(path, &record)))
}

/// The folders of the servers.
fn folders(snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<(), LedgerError> {
    let main = snapshot.main();
    for entry in snapshot.list("")? {
        let Some(folder) = entry.strip_suffix('/') else { continue };
        let Ok(server) = ServerName::new(folder) else {
            passed_over(folder, snapshot, notes)?;
            continue;
        };
        let status = |path: &str, status: &_| state::status(path, &server, status);
        if let Some(findings) = record::<Status>(main, &Status::path(&server), snapshot, notes, status)? {
            notes.add_all(findings);
        }
        let beat = |path: &str, beat: &_| state::heartbeat(path, &server, beat);
        if let Some(findings) = record::<Heartbeat>(main, &Heartbeat::path(&server), snapshot, notes, beat)? {
            notes.add_all(findings);
        }
    }
    Ok(())
}

/// A folder that would be a server's if its name were one. Folders of the layout are reserved, and
/// what lies in them is somebody else's.
fn passed_over(folder: &str, snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<(), LedgerError> {
    // Git can store such a name, and no program would let one look into it.
    if matches!(folder, "" | "." | "..") || folder.eq_ignore_ascii_case(".git") {
        notes.add(Finding::new(HubFact::BadDirectory, About::new(Thing::Directory, folder)), None);
        return Ok(());
    }
    let files = snapshot.list(folder)?;
    let is_like_one = files.iter().any(|file| file == "status.json" || file == "heartbeat.json");
    let why = ServerName::new(folder).err().filter(|error| is_like_one && error.why != "is reserved");
    if let Some(why) = why {
        let finding = Finding::new(HubFact::BadName(why.into()), About::new(Thing::Directory, folder));
        notes.add(finding.severity(Severity::Note).at(folder), None);
    }
    Ok(())
}

/// The beats on a branch of heartbeats; usually one.
fn heartbeat_branch(branch: &str, snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<(), LedgerError> {
    notes.report.checked.branches += 1;
    for entry in snapshot.list_on(branch, "")? {
        let Some(server) = entry.strip_suffix('/').and_then(|folder| ServerName::new(folder).ok()) else {
            continue;
        };
        let beat = |path: &str, beat: &_| state::heartbeat(path, &server, beat);
        if let Some(findings) = record::<Heartbeat>(branch, &Heartbeat::path(&server), snapshot, notes, beat)?
        {
            for finding in findings {
                notes.add(finding, Some(branch));
            }
        }
    }
    Ok(())
}
