//! One table along a history: what it was before each commit and after, with the archives that the
//! commit changed. Tells nothing; what is wrong is the domain's to say.

use super::losses::Losses;
use super::{CommitName, Document};
use crate::domain::audit::{Audited, Change, Made, judge_step};
use crate::domain::finding::Finding;
use crate::domain::json::DocumentError;
use crate::domain::record::Record;
use crate::domain::table::{Row, Table, Versions};
use crate::domain::tables::{ForTable, Stored, TABLES};
use crate::ledger::{Content, LedgerError, MergeView, WalkStep};
use std::sync::Arc;

/// The most archives of one sort that are kept at hand; others are read again when they change.
const ARCHIVES_AT_HAND_MAX: usize = 2;

/// A table whose records the walk need not know.
pub(super) trait Track {
    /// Where the table is stored.
    fn path(&self) -> &'static str;

    /// The next commit begins: what is so now is what was before it.
    fn begin(&mut self);

    /// Reads what the commit made of the live table.
    fn next(&mut self, content: &Content) -> Result<(), DocumentError>;

    /// The same of one of its archives.
    ///
    /// # Errors
    /// When the store is damaged.
    fn next_archive(
        &mut self,
        path: &str,
        content: &Content,
        stride: &WalkStep<'_>,
    ) -> Result<Result<(), DocumentError>, LedgerError>;

    /// The rules that the commit broke.
    fn judge(&self, made: Made) -> Vec<Finding>;

    /// The rules that it broke as the step from a history that it merged in.
    ///
    /// # Errors
    /// When the store is damaged.
    fn judge_merged(&self, stride: &WalkStep<'_>, merged: &MergeView) -> Result<Vec<Finding>, LedgerError>;

    /// The records that the commit put back, as `losses` knows them.
    fn back(&self, losses: &mut Losses, by: (&CommitName, bool)) -> Vec<(&'static str, String)>;

    /// What a record said before the commit.
    fn text_before(&self, id: &str) -> Option<&str>;
}

/// A track of each table.
pub(super) fn all() -> Vec<Box<dyn Track>> {
    struct Make;
    impl ForTable for Make {
        type Answer = Box<dyn Track>;
        fn run<T: Stored>(self) -> Box<dyn Track> {
            let versions = Versions::<T>::new(T::PATH);
            let before = Arc::clone(versions.table());
            Box::new(Of { versions, before, archives: Archives(Vec::new()), changed: Vec::new() })
        }
    }
    TABLES.iter().map(|kind| kind.with(Make)).collect()
}

/// The track of the table of `T`.
struct Of<T> {
    versions: Versions<T>,
    /// What it was before this commit.
    before: Arc<Table<T>>,
    archives: Archives<T>,
    /// The archives that this commit changed.
    changed: Vec<Pair<T>>,
}

impl<T: Stored> Track for Of<T> {
    fn path(&self) -> &'static str {
        T::PATH
    }

    fn begin(&mut self) {
        self.before = Arc::clone(self.versions.table());
        self.changed.clear();
    }

    fn next(&mut self, content: &Content) -> Result<(), DocumentError> {
        next(&mut self.versions, content)
    }

    fn next_archive(
        &mut self,
        path: &str,
        content: &Content,
        stride: &WalkStep<'_>,
    ) -> Result<Result<(), DocumentError>, LedgerError> {
        self.archives.next(path, content, stride, &mut self.changed)
    }

    fn judge(&self, made: Made) -> Vec<Finding> {
        let change = Change { before: &self.before, after: self.versions.table() };
        judge(change, &self.changed, made)
    }

    fn judge_merged(&self, stride: &WalkStep<'_>, merged: &MergeView) -> Result<Vec<Finding>, LedgerError> {
        let mut archives = Vec::new();
        for path in &merged.changed {
            if matches!(Document::at(path), Some(Document::Archive(kind)) if kind.path == T::PATH) {
                archives.push(merged_archive::<T>(stride, merged, path)?);
            }
        }
        let pair = merged_table(&self.versions, stride, merged)?;
        Ok(judge(pair.change(), &archives, Made::by_merging(merged.brought.saturating_add(1))))
    }

    fn back(&self, losses: &mut Losses, by: (&CommitName, bool)) -> Vec<(&'static str, String)> {
        losses.back(&self.before, self.versions.table(), by)
    }

    fn text_before(&self, id: &str) -> Option<&str> {
        self.before.get(id).map(Record::text)
    }
}

fn judge<T: Audited>(change: Change<'_, T>, archives: &[Pair<T>], made: Made) -> Vec<Finding> {
    judge_step(change, &archives.iter().map(Pair::change).collect::<Vec<_>>(), made)
}

/// A table in a history that was merged in, and after the merge. One that could not be read there
/// is not compared.
fn merged_table<T: Row>(
    versions: &Versions<T>,
    stride: &WalkStep<'_>,
    merged: &MergeView,
) -> Result<Pair<T>, LedgerError> {
    let after = Arc::clone(versions.table());
    if !merged.changed.iter().any(|path| path == T::PATH) {
        return Ok(Pair(Arc::clone(&after), after));
    }
    let mut before = Versions::new(T::PATH);
    Ok(match next(&mut before, &stride.merged_in(merged, T::PATH)?) {
        Ok(()) => Pair(Arc::clone(before.table()), after),
        Err(_) => Pair(Arc::clone(&after), after),
    })
}

/// An archive in a history that was merged in, and after the merge.
fn merged_archive<T: Row>(
    stride: &WalkStep<'_>,
    merged: &MergeView,
    path: &str,
) -> Result<Pair<T>, LedgerError> {
    let (mut before, mut after) = (Versions::new(path), Versions::new(path));
    drop(next(&mut before, &stride.merged_in(merged, path)?));
    // What cannot be read now was told already.
    Ok(match next(&mut after, &stride.after(path)?) {
        Ok(()) => Pair(Arc::clone(before.table()), Arc::clone(after.table())),
        Err(_) => Pair(Arc::clone(before.table()), Arc::clone(before.table())),
    })
}

/// Reads the next version of a table.
fn next<T: Row>(versions: &mut Versions<T>, content: &Content) -> Result<(), DocumentError> {
    match content {
        Content::Missing => {
            versions.remove();
            Ok(())
        }
        Content::File(bytes) => versions.read(bytes),
        Content::Unusable(error) => Err(error.clone()),
    }
}

/// A table before and after a commit.
struct Pair<T>(Arc<Table<T>>, Arc<Table<T>>);

impl<T> Pair<T> {
    fn change(&self) -> Change<'_, T> {
        Change { before: &self.0, after: &self.1 }
    }
}

/// The archives that changed last, the last at the end.
struct Archives<T>(Vec<(String, Versions<T>)>);

impl<T: Row> Archives<T> {
    /// Reads the next version of the archive at `path` and adds it with the one before to `pairs`.
    fn next(
        &mut self,
        path: &str,
        content: &Content,
        stride: &WalkStep<'_>,
        pairs: &mut Vec<Pair<T>>,
    ) -> Result<Result<(), DocumentError>, LedgerError> {
        let at_hand = self.0.iter().position(|(known, _)| known == path);
        let mut versions = match at_hand {
            Some(index) => self.0.remove(index).1,
            None => {
                let mut versions = Versions::new(path);
                // One that could not be read was told when it came to be so.
                drop(next(&mut versions, &stride.before(path)?));
                versions
            }
        };
        let before = Arc::clone(versions.table());
        let read = next(&mut versions, content);
        pairs.push(Pair(before, Arc::clone(versions.table())));
        self.0.push((path.to_owned(), versions));
        if self.0.len() > ARCHIVES_AT_HAND_MAX {
            self.0.remove(0);
        }
        Ok(read)
    }
}
