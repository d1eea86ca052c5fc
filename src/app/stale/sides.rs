//! Records that several sides of a merge left, and that are undone in it: from which of them each comes back.

use super::{Ids, at, groups_of, is_same};
use crate::domain::record::Record;
use crate::domain::table::{Row, Table};
use crate::ledger::{Abort, History, OwnBase};

/// What one side left.
pub(super) struct SideLeft<T> {
    pub(super) base: OwnBase,
    /// Its table.
    pub(super) known: Table<T>,
    /// The records that come back as they are in that.
    pub(super) stale: Ids,
}

/// Has each record come back from one side alone: from the one that changed it since both parted. Where both
/// did, from the one where it has come further.
pub(super) fn part<T: Row>(sides: &mut [SideLeft<T>], path: &str, hub: &dyn History) -> Result<(), Abort> {
    for index in 1..sides.len() {
        let (earlier, others) = sides.split_at_mut(index);
        let Some(one) = others.first_mut() else { break };
        for other in earlier {
            let both: Ids = one.stale.intersection(&other.stale).cloned().collect();
            if both.is_empty() {
                continue;
            }
            let later = later(one, other, &both, path, hub)?;
            other.stale.retain(|id| !later.contains(id));
            one.stale.retain(|id| !both.contains(id) || later.contains(id));
        }
    }
    Ok(())
}

/// Those of `ids` that come back from `one` and not from `other`.
fn later<T: Row>(
    one: &SideLeft<T>,
    other: &SideLeft<T>,
    ids: &Ids,
    path: &str,
    hub: &dyn History,
) -> Result<Ids, Abort> {
    let parted = one.base.beside.iter().find(|(_, beside)| *beside == other.base.ours);
    let before = match parted {
        Some((Some(before), _)) => at::<T>(before, path, hub)?,
        _ => None,
    };
    let before = before.unwrap_or_else(|| Table::empty(path));
    let [before, ours, theirs] = [&before, &one.known, &other.known].map(|table| groups_of(table, ids));
    let is_later = |id: &&String| {
        let [before, ours, theirs] = [&before, &ours, &theirs].map(|groups| groups.get(id.as_str()));
        if is_same(before, ours) || is_same(before, theirs) {
            return !is_same(before, ours);
        }
        let progress = |rows: Option<&Vec<_>>| {
            rows.and_then(|rows| rows.iter().map(|row: &&Record<T>| row.progress()).max())
        };
        progress(ours) > progress(theirs)
    };
    Ok(ids.iter().filter(is_later).cloned().collect())
}
