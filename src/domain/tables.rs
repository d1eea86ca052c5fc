//! The tables of a hub: the one list of them.
//!
//! Whatever is done with every table (read, audited, repaired, described) asks this list, so that a
//! new table is declared here and nowhere else: its record implements
//! [`Row`](super::table::Row), [`Audited`] and [`Imported`]. Knows nothing of what is done with them.

use super::audit::Audited;
use super::high_water::HighWater;
use super::import::Imported;
use super::job::Job;
use super::lock::Lock;
use super::message::Message;
use super::pause::Pause;
use super::server::Server;
use super::table::Row as _;
use schemars::JsonSchema;

/// The directory of the archives: `FIELD-YYYY-MM.json` for each table that has some.
pub const ARCHIVE: &str = "coordination/archive";

/// A record of one of [`TABLES`].
pub trait Stored: Audited + Imported + JsonSchema + 'static {}

impl<T: Audited + Imported + JsonSchema + 'static> Stored for T {}

/// A table of the list, as data.
#[derive(Debug, PartialEq, Eq)]
pub struct TableKind {
    /// Where it is stored.
    pub path: &'static str,
    /// The key that holds its records; the archives are named by it.
    pub field: &'static str,
    /// Whether finished records move to archives.
    pub has_archives: bool,
    /// Whether every hub has it; others appear with their first record.
    pub is_in_each_hub: bool,
}

impl TableKind {
    const fn of<T: Stored>() -> Self {
        Self {
            path: T::PATH,
            field: T::FIELD,
            has_archives: T::HAS_ARCHIVES,
            is_in_each_hub: T::IS_IN_EACH_HUB,
        }
    }

    /// The table that is stored at `path`.
    #[must_use]
    pub fn at(path: &str) -> Option<&'static Self> {
        TABLES.iter().find(|kind| kind.path == path)
    }

    /// The table of which `path` is an archive. What follows the name is not looked at: archives of older
    /// versions name other spans than months.
    #[must_use]
    pub fn of_archive(path: &str) -> Option<&'static Self> {
        let name = path.strip_prefix(ARCHIVE)?.strip_prefix('/')?.strip_suffix(".json")?;
        let (field, _) = name.split_once('-')?;
        TABLES.iter().find(|kind| kind.has_archives && kind.field == field)
    }
}

/// Something that is done with a table, whatever its records are.
pub trait ForTable {
    /// What comes of it.
    type Answer;

    /// Does it.
    fn run<T: Stored>(self) -> Self::Answer;
}

macro_rules! tables {
    ($($row:ty),* $(,)?) => {
        /// Every table, in the order in which they are read and told.
        pub const TABLES: &[TableKind] = &[$(TableKind::of::<$row>()),*];

        impl TableKind {
            /// Does `work` with the records of this table.
            pub fn with<W: ForTable>(&self, work: W) -> W::Answer {
                match self.path {
                    $(<$row>::PATH => work.run::<$row>(),)*
                    path => unreachable!("no kind but those of the list is ever made: {path}"),
                }
            }
        }
    };
}

tables!(Job, Message, Lock, Server, HighWater, Pause);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_its_archives_are_known_by_their_paths() {
        struct Field;
        impl ForTable for Field {
            type Answer = &'static str;
            fn run<T: Stored>(self) -> &'static str {
                T::FIELD
            }
        }
        for kind in TABLES {
            assert_eq!(TableKind::at(kind.path), Some(kind));
            assert_eq!(kind.with(Field), kind.field);
            let archive = format!("{ARCHIVE}/{}-2025-10.json", kind.field);
            assert_eq!(TableKind::of_archive(&archive).is_some(), kind.has_archives, "{archive}");
        }
        let archived = |path| TableKind::of_archive(path).map(|kind| kind.field);
        for (path, expected) in [
            ("coordination/archive/jobs-2025-10.json", Some("jobs")),
            ("coordination/archive/jobs-old.json", Some("jobs")),
            ("coordination/archive/jobs-2025-10.json.bak", None),
            ("coordination/archive/broken-2025-10.json", None),
            ("coordination/archive/jobs.json", None),
            ("coordination/jobs-2025-10.json", None),
        ] {
            assert_eq!(archived(path), expected, "{path}");
        }
    }
}
