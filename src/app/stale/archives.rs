//! Tables that have archives, when an older writer undid what crossed between them.
//!
//! A record is live or archived, not both: what was archived and stands live again is taken out there, and
//! what was brought back and is archived again is taken out of the archive.

use super::super::archived;
use super::{Ids, StaleCheck, TableChange, at, held, readable};
use crate::domain::table::{Row, Table};
use crate::domain::tables::ARCHIVE;
use crate::ledger::{Abort, BelowManual, History, table_at};

impl StaleCheck<'_> {
    /// The archives called `name` that are touched.
    pub(super) fn touched_archives(&self, name: &str) -> Vec<String> {
        let begin = format!("{ARCHIVE}/{name}-");
        let is_one = |path: &&String| path.starts_with(&begin) && path.ends_with(".json");
        self.touched.iter().filter(is_one).cloned().collect()
    }

    /// The live table of `T` and its archives as they are put back.
    pub(super) fn with_archives<T: Row>(&mut self) -> Result<(), Abort> {
        let touched = self.touched_archives(T::FIELD);
        if touched.is_empty() && !self.touched.contains(T::PATH) {
            return Ok(());
        }
        let Some(mut live) = self.place::<T>(T::PATH, "")? else {
            // Without it nobody knows what came back from them.
            self.found.unchecked.extend(touched);
            return Ok(());
        };
        let again = self.again(&live)?;
        let mut archives = Vec::new();
        for path in touched {
            let Some(mut archive) = self.place::<T>(&path, "archived ")? else { continue };
            let brought_back = self.again(&archive)?;
            let brought_back = self.live_in_ours(&live, &brought_back)?;
            self.withdraw(&mut archive, &brought_back);
            let (hub, below, is_other) = (self.hub, live.below.clone(), |other: &str| other != path);
            self.restore(&mut archive, |_, ids| {
                let is_live = held(&live.table);
                ids.retain(|id| !is_live.contains(&**id) || again.contains(id));
                // Somebody may have moved them to another.
                let elsewhere = if ids.is_empty() {
                    Ids::new()
                } else {
                    archived_ids(hub, &below, &archives, &is_other)?
                };
                ids.retain(|id| !elsewhere.contains(id));
                Ok(())
            })?;
            self.write(&archive)?;
            archives.push(archive);
        }
        let (hub, below) = (self.hub, live.below.clone());
        self.restore(&mut live, |_, ids| {
            let archived = archived_ids(hub, &below, &archives, &|_| true)?;
            ids.retain(|id| !archived.contains(id));
            Ok(())
        })?;
        if !again.is_empty() {
            let archived = archived_ids(hub, &below, &archives, &|_| true)?;
            self.withdraw(&mut live, &again.intersection(&archived).cloned().collect());
        }
        self.write(&live)
    }

    /// Those of `ids` that were live as ours left it.
    fn live_in_ours<T: Row>(&self, live: &TableChange<T>, ids: &Ids) -> Result<Ids, Abort> {
        let mut found = Ids::new();
        if !ids.is_empty() {
            for one in &live.below.ours {
                let known = at::<T>(&one.ours, T::PATH, self.hub)?;
                let known = known.as_ref().map(held).unwrap_or_default();
                found.extend(ids.iter().filter(|id| known.contains(&***id)).cloned());
            }
        }
        Ok(found)
    }
}

/// The ids of what is archived where it `is_meant`, with `archives` as they are put back, and as ours left those that cannot be read:
/// what is archived is not done again for that. Read only where somebody asks: archives may be long.
fn archived_ids<T: Row>(
    hub: &dyn History,
    below: &BelowManual,
    archives: &[TableChange<T>],
    is_meant: &dyn Fn(&str) -> bool,
) -> Result<Ids, Abort> {
    let mut ids = Ids::new();
    for archive in archives {
        ids.extend(archive.table.rows().map(|row| row.id().to_owned()));
    }
    for path in archived::paths::<T>(hub)? {
        if !is_meant(&path) || archives.iter().any(|archive| archive.table.path() == path) {
            continue;
        }
        let tables = match readable(table_at::<T>(hub, &path))? {
            Some(table) => vec![table],
            None => {
                let left = below.ours.iter().map(|one| at::<T>(&one.ours, &path, hub));
                left.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
            }
        };
        ids.extend(tables.iter().flat_map(Table::rows).map(|row| row.id().to_owned()));
    }
    Ok(ids)
}
