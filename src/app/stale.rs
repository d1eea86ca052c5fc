//! Puts back what an older writer undid with a stale document.
//!
//! Such a writer reads a document, takes its time, and commits it as it was with a change of its own. Records
//! that were added or changed by operations in between are gone, or are as they were before; a merge by hand
//! that keeps one side does the same to all documents. Whoever writes next compares: a record that differs from
//! what our last operation left, and is exactly what stood there before one of the operations shortly before
//! it, was not changed on purpose. One that was there for longer and is gone, or that says something new, is
//! left to who did that, and so is what a commit changed that reverts another.
//!
//! Each write judges what lies below it, and what it cannot judge it names in its commit: a document that could
//! not be read or written at that time, history that was not there or too long. The next write looks further
//! back for that (see `git/by_hand.rs`). So no write makes a loss one for good.
//!
//! Records with one id count as one: all of them are as they were, or none is touched. Records come back as
//! they were, and where they stood. Of locks see `locks.rs`, of archives `archives.rs`.

mod archives;
mod locks;
mod sides;
#[cfg(test)]
mod tests;

use crate::domain::hub::Marker;
use crate::domain::job::Job;
use crate::domain::message::Message;
use crate::domain::pause::Pause;
use crate::domain::record::Record;
use crate::domain::server::Server;
use crate::domain::set_aside::SetAside;
use crate::domain::table::{ROWS_MAX, Row, Table, Versions};
use crate::ledger::{
    Abort, BelowManual, Document, Documents as _, History, LedgerError, OwnBase, OwnCommit, PASSED_MAX,
    Shown, Snapshot, Transaction, UNCHECKED, Version, table_at,
};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// So much of earlier versions of one document is compared, the newest first: every command waits for it
/// until somebody writes. And so much of those that are not shortly before.
const COMPARED_BYTES_MAX: usize = 256 * 1024 * 1024;
const COMPARED_FAR_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Ids of records.
type Ids = BTreeSet<String>;

/// What was undone since our last operation, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoneWrites {
    /// What the next write puts back.
    pub back: Vec<String>,
    /// What could not be judged.
    pub unknown: Vec<String>,
}

/// Puts back what was undone since our last operation.
///
/// # Errors
/// When the store is damaged.
pub(super) fn put_back(transaction: &mut Transaction<'_>) -> Result<(), Abort> {
    let Some(found) = look(transaction)? else { return Ok(()) };
    for (path, bytes) in found.writes {
        transaction.put_bytes(&path, bytes);
    }
    if !found.undone.back.is_empty() {
        transaction
            .describe(format!("put back: {} as an older writer found it", found.undone.back.join(", ")));
    }
    found.undone.unknown.into_iter().for_each(|line| transaction.describe(line));
    found.unchecked.into_iter().for_each(|what| transaction.trailer(UNCHECKED, what));
    Ok(())
}

/// What reads show: the documents as the next write puts them back.
#[derive(Default)]
pub struct RestoredDocuments {
    /// Where that was found.
    tip: Option<Version>,
    undone: UndoneWrites,
    documents: Shown,
}

impl RestoredDocuments {
    /// Shows `snapshot` as the next write puts it back.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn show(&mut self, snapshot: &Snapshot<'_>) -> Result<(), Abort> {
        let tip = snapshot.tip(snapshot.main())?;
        if self.tip != tip {
            let found = look(snapshot)?.unwrap_or_default();
            let written = found.writes.into_iter();
            self.documents = written.map(|(path, bytes)| (path, Arc::new(Document::new(bytes)))).collect();
            (self.tip, self.undone) = (tip, found.undone);
        }
        snapshot.show(&self.documents);
        Ok(())
    }

    /// What the next write will put back, and what nobody can tell.
    #[must_use]
    pub fn undone(&self) -> &UndoneWrites {
        &self.undone
    }
}

/// What a look found.
#[derive(Default)]
struct ManualCommits {
    undone: UndoneWrites,
    /// The documents with it put back.
    writes: BTreeMap<String, Vec<u8>>,
    /// What the next write has to look at again.
    unchecked: BTreeSet<String>,
}

fn look(hub: &dyn History) -> Result<Option<ManualCommits>, Abort> {
    let Some(below) = hub.below_foreign(&|_| Ok(true))? else { return Ok(None) };
    let mut touched = below.unchecked.clone();
    for one in &below.ours {
        touched.extend(past(hub.changed(&one.ours, &one.top))?.unwrap_or_default());
    }
    let mut look = StaleCheck { hub, below, touched, found: ManualCommits::default(), told: HashSet::new() };
    look.tell_end(&look.below.clone());
    look.found.unchecked.extend(look.below.open.iter().map(ToString::to_string));
    // What was archived is over, and a job would be done twice.
    look.with_archives::<Job>()?;
    look.with_archives::<Message>()?;
    for path in look.touched_archives("broken") {
        look.restored::<SetAside>(&path, "archived ", |_| true)?;
    }
    let pauses = look.restored::<Pause>(Pause::PATH, "", |_| true)?;
    let servers = look.restored::<Server>(Server::PATH, "", |_| true)?;
    look.locks()?;
    look.marker()?;
    // What has no time of its own may be meant, where nothing else was undone.
    if !look.found.undone.back.is_empty() {
        look.withdrawn(pauses)?;
        look.withdrawn(servers)?;
    }
    Ok(Some(look.found))
}

/// A look at what lies on top of our last operation.
struct StaleCheck<'a> {
    hub: &'a dyn History,
    /// What lies below, for documents that all of ours there could judge.
    below: BelowManual,
    /// The documents that differ from what ours left, and those that were not judged.
    touched: BTreeSet<String>,
    found: ManualCommits,
    /// The lines that are told already.
    told: HashSet<String>,
}

/// A table, and what ours left of it.
struct TableChange<T> {
    table: Table<T>,
    below: BelowManual,
    /// How many bytes of earlier versions may still be compared.
    left: Cell<usize>,
    /// What stands before the name of a record where it is told.
    kind: &'static str,
}

impl<T: Row> TableChange<T> {
    /// Those of ours that may have left something else than what is built on them.
    fn bases(&self, hub: &dyn History) -> Result<Vec<OwnBase>, Abort> {
        bases(&self.below, self.table.path(), hub)
    }
}

impl StaleCheck<'_> {
    /// What could not be looked for, in words. Of a clone that has not all of the history nothing is told here:
    /// another one knows.
    fn tell_end(&mut self, below: &BelowManual) {
        let line = format!(
            "what was undone is not known: the newest {PASSED_MAX} commits that were looked at are all made by hand"
        );
        if !below.open.is_empty() && !below.is_cut {
            self.unknown(line);
        }
    }

    /// The table at `path`; `None` if it cannot be read, or not be written by us: what was undone in it must
    /// stop no other write. Whoever writes when it can looks further back.
    fn place<T: Row>(&mut self, path: &str, kind: &'static str) -> Result<Option<TableChange<T>>, Abort> {
        let hub = self.hub;
        let table = readable(table_at::<T>(hub, path))?.filter(|table| table.newer_layout().is_none());
        let Some(table) = table else {
            self.found.unchecked.insert(path.to_owned());
            return Ok(None);
        };
        let is_judged = |version: &Version| -> Result<bool, LedgerError> {
            Ok(at::<T>(version, path, hub)?.is_some_and(|table| table.newer_layout().is_none()))
        };
        let below = self.below_for(path, &is_judged)?;
        Ok(Some(TableChange { table, below, left: Cell::new(COMPARED_BYTES_MAX), kind }))
    }

    /// What lies below for the document at `path`, which ours could judge where it `is_judged`.
    fn below_for(
        &mut self,
        path: &str,
        is_judged: &dyn Fn(&Version) -> Result<bool, LedgerError>,
    ) -> Result<BelowManual, Abort> {
        let mut is_shared = !self.below.unchecked.contains(path);
        for one in &self.below.ours {
            is_shared = is_shared && is_judged(&one.ours)?;
        }
        if is_shared {
            return Ok(self.below.clone());
        }
        let is_final = |one: &OwnCommit| Ok(!one.unchecked.contains(path) && is_judged(&one.version)?);
        let below = self.hub.below_foreign(&is_final)?.unwrap_or_default();
        self.tell_end(&below);
        if !below.open.is_empty() {
            self.found.unchecked.insert(path.to_owned());
        }
        Ok(below)
    }

    /// The table at `path` with what was undone in it, as far as it `comes_back`; `None` if nothing was.
    fn restored<T: Row>(
        &mut self,
        path: &str,
        kind: &'static str,
        comes_back: impl Fn(&T) -> bool,
    ) -> Result<Option<TableChange<T>>, Abort> {
        if !self.touched.contains(path) {
            return Ok(None);
        }
        let Some(mut place) = self.place::<T>(path, kind)? else { return Ok(None) };
        self.restore(&mut place, |known, ids| {
            let known = groups_of(known, ids);
            ids.retain(|id| {
                known.get(id.as_str()).is_some_and(|rows| rows.iter().all(|row| comes_back(row)))
            });
            Ok(())
        })?;
        self.write(&place)?;
        Ok(Some(place))
    }

    fn write<T: Row>(&mut self, place: &TableChange<T>) -> Result<(), Abort> {
        if place.table.is_changed() {
            self.found.writes.insert(place.table.path().to_owned(), place.table.to_bytes()?);
        }
        Ok(())
    }

    /// Puts back in a table what was undone in it, of those ids that `keep` leaves.
    fn restore<T: Row>(
        &mut self,
        place: &mut TableChange<T>,
        keep: impl Fn(&Table<T>, &mut Ids) -> Result<(), Abort>,
    ) -> Result<(), Abort> {
        let mut found = Vec::new();
        for one in place.bases(self.hub)? {
            let Some(known) = at::<T>(&one.ours, place.table.path(), self.hub)? else { continue };
            let mut ids = {
                let (then, now) = (groups(&known), groups(&place.table));
                let differs = |id: &&&str| !is_same(then.get(**id), now.get(**id));
                then.keys().filter(differs).map(|id| (*id).to_owned()).collect::<Ids>()
            };
            // What cannot be read at present may be undone in the end.
            let is_broken = |id: &String| place.table.unreadable(id).is_some();
            if ids.iter().any(is_broken) {
                self.found.unchecked.insert(place.table.path().to_owned());
                ids.retain(|id| !is_broken(id));
            }
            let mut stale = self.stale(place, &one, &known, ids)?;
            if stale.is_empty() {
                continue;
            }
            keep(&known, &mut stale)?;
            found.push(sides::SideLeft { base: one, known, stale });
        }
        sides::part(&mut found, place.table.path(), self.hub)?;
        for sides::SideLeft { known, stale, .. } in found {
            if place.table.rows().len() + stale.len() > ROWS_MAX {
                // It would stop every write.
                let path = place.table.path();
                let line =
                    format!("`{path}` has no room for what was undone: make some with `git muster archive`");
                self.found.unchecked.insert(path.to_owned());
                self.unknown(line);
                continue;
            }
            place.table.put_back(&known, &stale);
            self.tell(place.kind, T::FIELD, &stale);
        }
        Ok(())
    }

    /// Those that an operation took out and that are there again exactly as they were. What has no id of its
    /// own stays: nothing tells which of several it would be.
    fn again<T: Row>(&mut self, place: &TableChange<T>) -> Result<Ids, Abort> {
        let mut again = Ids::new();
        for one in place.bases(self.hub)? {
            let Some(known) = at::<T>(&one.ours, place.table.path(), self.hub)? else { continue };
            let now = groups(&place.table);
            let known_ids = held(&known);
            let ids = now.iter().filter(|(id, rows)| rows.len() == 1 && !known_ids.contains(**id));
            let ids: Ids = ids.map(|(id, _)| (*id).to_owned()).collect();
            again.extend(self.stale(place, &one, &known, ids)?);
        }
        Ok(again)
    }

    /// Takes out what an operation took out and is there again.
    fn withdrawn<T: Row>(&mut self, place: Option<TableChange<T>>) -> Result<(), Abort> {
        let Some(mut place) = place else { return Ok(()) };
        let again = self.again(&place)?;
        self.withdraw(&mut place, &again);
        self.write(&place)
    }

    fn withdraw<T: Row>(&mut self, place: &mut TableChange<T>, ids: &Ids) {
        if !ids.is_empty() {
            place.table.take(|row| ids.contains(row.id()));
            self.tell(&format!("no {}", place.kind), T::FIELD, ids);
        }
    }

    fn tell(&mut self, kind: &str, field: &str, ids: &Ids) {
        let what = field.trim_end_matches('s');
        let back = &mut self.found.undone.back;
        let lines = ids.iter().map(|id| {
            let kind = kind.trim_end();
            format!("{kind}{}{what} {id}", if kind.is_empty() { "" } else { " " })
        });
        for line in lines {
            if self.told.insert(line.clone()) {
                back.push(line);
            }
        }
    }

    /// Those of `ids` of which the records are again as they were before `base`, where ours left what is `known`,
    /// and were not meant to.
    fn stale<T: Row>(
        &mut self,
        place: &TableChange<T>,
        base: &OwnBase,
        known: &Table<T>,
        ids: Ids,
    ) -> Result<Ids, Abort> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let path = place.table.path();
        let groups = groups(&place.table);
        let was = groups_of(known, &ids);
        let is_older = |id: &String| match (groups.get(id.as_str()), was.get(id.as_str())) {
            (Some(now), Some(then)) => {
                matches!((&now[..], &then[..]), ([now], [then]) if now.is_older_than(then))
            }
            _ => false,
        };
        let (mut stale, mut open): (Ids, Ids) = ids.into_iter().partition(is_older);
        let (mut versions, mut after) = (Versions::<T>::new(path), Arc::new(known.clone()));
        let earlier = self.hub.earlier(&base.ours, path)?;
        for (index, version) in earlier.versions.iter().enumerate() {
            if index == earlier.near {
                // What is gone, and was there for longer, was taken out on purpose.
                open.retain(|id| groups.contains_key(id.as_str()));
                place.left.set(place.left.get().min(COMPARED_FAR_BYTES_MAX));
            }
            if open.is_empty() {
                break;
            }
            let Some(document) = document(version, path, self.hub)? else { continue };
            let size = document.as_ref().map_or(0, |document| document.bytes().len());
            let Some(left) = place.left.get().checked_sub(size) else {
                if index < earlier.near {
                    let line = format!("what was undone is not known: `{path}` is too long to be compared");
                    self.unknown(line);
                }
                break;
            };
            place.left.set(left);
            match document {
                Some(document) if versions.read(document.bytes()).is_err() => continue,
                Some(_) => {}
                None => versions.remove(),
            }
            // What says there what it said in the version after it was compared with that.
            let table = Arc::clone(versions.table());
            let (_, gone, come) = after.differing(&table);
            let differing = gone.iter().chain(come).map(|row| row.id()).filter(|id| open.contains(*id));
            let differing: Ids = differing.map(str::to_owned).collect();
            let then = groups_of(&table, &differing);
            for id in differing.iter().filter(|id| is_same(then.get(id.as_str()), groups.get(id.as_str()))) {
                open.remove(id);
                stale.insert(id.clone());
            }
            after = table;
        }
        // What is gone may be as it was in what is not here.
        if earlier.is_cut && !open.is_empty() {
            self.found.unchecked.insert(path.to_owned());
        }
        self.without_meant(place, base, stale)
    }

    /// Those of `ids` that no operation and no revert since `base` changed, nor another side of a merge.
    fn without_meant<T: Row>(
        &self,
        place: &TableChange<T>,
        base: &OwnBase,
        mut ids: Ids,
    ) -> Result<Ids, Abort> {
        let (path, hub) = (place.table.path(), self.hub);
        let now = groups(&place.table);
        let newer = place.below.meant.iter().take(base.newer).map(|meant| (meant, false));
        for ((before, after), is_beside) in newer.chain(base.beside.iter().map(|meant| (meant, true))) {
            if ids.is_empty() {
                break;
            }
            let content = |at: &Version| past(hub.content(at, path));
            let was = before.as_ref().map_or(Ok(Some(None)), content)?;
            if was == content(after)? {
                continue;
            }
            let before = before.as_ref().map_or(Ok(Some(Table::empty(path))), |it| at::<T>(it, path, hub))?;
            let (Some(before), Some(after)) = (before, at::<T>(after, path, hub)?) else { continue };
            let (before, after) = (groups_of(&before, &ids), groups_of(&after, &ids));
            // Of what a merge brought together, that counts as meant which is as one side left it.
            let is_kept = |id: &String| {
                let after = after.get(id.as_str());
                is_same(before.get(id.as_str()), after)
                    || (is_beside && !is_same(now.get(id.as_str()), after))
            };
            let kept: Ids = ids.iter().filter(|id| is_kept(id)).cloned().collect();
            ids = kept;
        }
        Ok(ids)
    }

    fn unknown(&mut self, line: String) {
        if !self.found.undone.unknown.contains(&line) {
            self.found.undone.unknown.push(line);
        }
    }

    /// The marker of the hub as ours left it, if it is again as it was before, or gone.
    fn marker(&mut self) -> Result<(), Abort> {
        const PATH: &str = Marker::PATH;
        if !self.touched.contains(PATH) {
            return Ok(());
        }
        let hub = self.hub;
        let now = readable(hub.document(hub.main(), PATH).map_err(Abort::from))?.and_then(value_of);
        let Some(now) = now else {
            self.found.unchecked.insert(PATH.to_owned());
            return Ok(());
        };
        let at = |version: &Version| -> Result<Option<Option<Value>>, LedgerError> {
            Ok(document(version, PATH, hub)?.and_then(value_of))
        };
        let below = self.below_for(PATH, &|version| Ok(at(version)?.is_some()))?;
        for one in bases(&below, PATH, hub)? {
            let Some(Some(known)) = document(&one.ours, PATH, hub)? else { continue };
            // One of a newer program is never written by us.
            let is_ours = known.record::<Marker>(PATH).is_ok_and(|record| record.write(PATH).is_ok());
            if !is_ours || at(&one.ours)?.as_ref() == Some(&now) {
                continue;
            }
            let content = |at: &Version| past(hub.content(at, PATH));
            let mut newer = below
                .meant
                .iter()
                .take(one.newer)
                .filter_map(|(before, after)| Some((before.as_ref()?, after)));
            if newer.try_fold(false, |is, (before, after)| {
                Ok::<_, Abort>(is || content(before)? != content(after)?)
            })? {
                continue;
            }
            // Without its marker the hub would get another id with the next `join`, and be another hub to all.
            let mut is_back = now.is_none();
            for version in hub.earlier(&one.ours, PATH)?.versions {
                is_back = is_back || at(&version)?.as_ref() == Some(&now);
            }
            if is_back {
                self.found.writes.insert(PATH.to_owned(), known.bytes().to_vec());
                self.found.undone.back.push(PATH.to_owned());
            }
        }
        Ok(())
    }
}

/// Those of ours that may have left something else at `path` than what is built on them.
fn bases(below: &BelowManual, path: &str, hub: &dyn History) -> Result<Vec<OwnBase>, Abort> {
    let content = |at: &Version| past(hub.content(at, path));
    let mut bases = Vec::new();
    for one in &below.ours {
        if content(&one.ours)? != content(&one.top)? {
            bases.push(one.clone());
        }
    }
    Ok(bases)
}

/// What a document says, however it is laid out; `None` if it is no JSON.
fn value_of(document: Option<Arc<Document>>) -> Option<Option<Value>> {
    let Some(document) = document else { return Some(None) };
    serde_json::from_slice(document.bytes()).ok().map(Some)
}

/// The records of a table that can be named, by their id.
type Groups<'a, T> = BTreeMap<&'a str, Vec<&'a Record<T>>>;

fn groups<T: Row>(table: &Table<T>) -> Groups<'_, T> {
    let mut groups = Groups::new();
    for row in table.rows().filter(|row| !row.id().is_empty()) {
        groups.entry(row.id()).or_default().push(row);
    }
    groups
}

/// The ids that a table holds, also of what cannot be read.
fn held<T: Row>(table: &Table<T>) -> HashSet<Cow<'_, str>> {
    let broken = table.broken().map(|broken| Cow::Owned(broken.id()));
    table.rows().map(|row| Cow::Borrowed(row.id())).chain(broken).collect()
}

fn groups_of<'a, T: Row>(table: &'a Table<T>, ids: &Ids) -> Groups<'a, T> {
    let mut groups = Groups::new();
    for row in table.rows().filter(|row| ids.contains(row.id())) {
        groups.entry(row.id()).or_default().push(row);
    }
    groups
}

/// Whether the records of one id say the same in two tables, however they are laid out.
fn is_same<T: Row>(one: Option<&Vec<&Record<T>>>, other: Option<&Vec<&Record<T>>>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    let say_the_same =
        |(one, other): (&&Record<T>, &&Record<T>)| one.text() == other.text() || one.raw() == other.raw();
    one.len() == other.len() && one.iter().zip(other).all(say_the_same)
}

/// The table in another version; `None` if it cannot be read there.
fn at<T: Row>(version: &Version, path: &str, hub: &dyn History) -> Result<Option<Table<T>>, LedgerError> {
    Ok(document(version, path, hub)?.and_then(|document| table_of(document, path)))
}

/// The table in a document, empty where there is none; `None` if it cannot be read.
fn table_of<T: Row>(document: Option<Arc<Document>>, path: &str) -> Option<Table<T>> {
    let Some(document) = document else { return Some(Table::empty(path)) };
    document.table::<T>(path).ok().map(|table| Table::clone(&table))
}

/// A document of another version, if there was one; `None` if what was there could not be read: that was
/// mended since, or is damage that others tell, and must stop no write of now.
fn document(
    version: &Version,
    path: &str,
    hub: &dyn History,
) -> Result<Option<Option<Arc<Document>>>, LedgerError> {
    match hub.document_of(version, path) {
        Err(LedgerError::Document(_) | LedgerError::Store { .. } | LedgerError::Partial { .. }) => Ok(None),
        read => read.map(Some),
    }
}

/// What was looked for in other versions; `None` where a store lacks it.
fn past<T>(read: Result<T, impl Into<Abort>>) -> Result<Option<T>, Abort> {
    match read.map_err(Into::into) {
        Err(Abort::Fault(LedgerError::Store { .. } | LedgerError::Partial { .. })) => Ok(None),
        read => read.map(Some),
    }
}

fn readable<T>(read: Result<T, Abort>) -> Result<Option<T>, Abort> {
    match read {
        Err(Abort::Fault(LedgerError::Document(_))) => Ok(None),
        read => read.map(Some),
    }
}
