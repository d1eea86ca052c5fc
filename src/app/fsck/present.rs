//! What lies in a hub at its present commit, on the main branch and on those of heartbeats.

use super::{ARCHIVE, Document, Notes, readable};
use crate::domain::audit::{Finding, Kind, Severity, state};
use crate::domain::build_config::BuildConfig;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::high_water::HighWater;
use crate::domain::hub::Marker;
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, ServerName};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::pause::Pause;
use crate::domain::record::View;
use crate::domain::server::Server;
use crate::domain::set_aside::SetAside;
use crate::domain::status::Status;
use crate::domain::table::{Row, Table};
use crate::ledger::{Documents as _, LedgerError, Snapshot};

/// Notes what is wrong with the documents.
pub(super) fn check(snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<(), LedgerError> {
    let archives = snapshot.list(ARCHIVE.trim_end_matches('/'))?;
    let archives_of = |document: Document| {
        let paths = archives.iter().map(|name| format!("{ARCHIVE}{name}"));
        paths.filter(move |path| Document::at(path).as_ref() == Some(&document))
    };
    let mut jobs: Vec<Table<Job>> = Vec::new();
    for path in archives_of(Document::JobArchive) {
        jobs.extend(table_at(&path, snapshot, notes)?);
    }
    let live = table_at(Job::PATH, snapshot, notes)?.unwrap_or_else(|| Table::empty(Job::PATH));
    notes.add_all(state::jobs(&live, &jobs));
    let mut messages: Vec<Table<Message>> = Vec::new();
    for path in archives_of(Document::MessageArchive) {
        messages.extend(table_at(&path, snapshot, notes)?);
    }
    if let Some(live) = table_at(Message::PATH, snapshot, notes)? {
        notes.add_all(state::messages(&live, &messages));
    }
    let begin = format!("{}-", SetAside::NAME);
    for name in archives.iter().filter(|name| name.starts_with(&begin) && name.ends_with(".json")) {
        // What was set aside is kept as it is: its records are not judged.
        table_at::<SetAside>(&format!("{ARCHIVE}{name}"), snapshot, notes)?;
    }
    let marks = optional::<HighWater>(snapshot, notes)?;
    if let Some(locks) = table_at::<Lock>(Lock::PATH, snapshot, notes)? {
        notes.add_all(state::locks(&locks, &marks));
    }
    if let Some(servers) = table_at::<Server>(Server::PATH, snapshot, notes)? {
        notes.add_all(state::servers(&servers));
        notes.add_all(state::holders(&live, &servers));
    }
    let pauses = optional::<Pause>(snapshot, notes)?;
    notes.add_all(state::broken_in(&pauses));
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

/// A table of the main branch, unless it is absent or cannot be read.
fn table_at<T: Row>(
    path: &str,
    snapshot: &Snapshot<'_>,
    notes: &mut Notes,
) -> Result<Option<Table<T>>, LedgerError> {
    // What is not there is an empty table and nothing that was looked at.
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

/// A table that is there when it holds something.
fn optional<T: Row>(snapshot: &Snapshot<'_>, notes: &mut Notes) -> Result<Table<T>, LedgerError> {
    let table = match snapshot.document(snapshot.main(), T::PATH) {
        Ok(None) => None,
        _ => table_at::<T>(T::PATH, snapshot, notes)?,
    };
    Ok(table.unwrap_or_else(|| Table::empty(T::PATH)))
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
        let hint = "nobody can check the hub out: take it out of the tree";
        let finding = Finding::new(Kind::BadName, format!("a folder is called `{folder}`")).hint(hint);
        notes.add(finding, None);
        return Ok(());
    }
    let files = snapshot.list(folder)?;
    let is_like_one = files.iter().any(|file| file == "status.json" || file == "heartbeat.json");
    let why = ServerName::new(folder).err().filter(|error| is_like_one && error.why != "is reserved");
    if let Some(why) = why {
        let hint = "what lies in its folder is passed over: no server can have that name";
        let finding = Finding::new(Kind::BadName, why.to_string()).severity(Severity::Note).hint(hint);
        notes.add(finding.at(folder), None);
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
