//! The parts of a table's text: the records, each as it was written, and what stands beside them.

use super::super::table::{Row, members};
use serde_json::value::RawValue;

/// A record as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawRecord {
    /// The name it stands under, in a table by name.
    pub name: Option<String>,
    /// Its JSON text.
    pub text: String,
}

/// A table as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// What stands beside the records.
    pub members: Vec<(String, String)>,
    /// The records.
    pub rows: Vec<RawRecord>,
    /// Whether it is a bare list, or lacks the list.
    pub is_bare: bool,
    /// How many lists of records it holds.
    pub lists: usize,
}

/// Takes a table apart; `None` if it is no JSON or has another shape.
pub(super) fn take_apart<T: Row>(text: &str) -> Option<Pieces> {
    let text = text.trim();
    let mut pieces = Pieces::default();
    if text.starts_with('[') {
        pieces.is_bare = true;
        pieces.lists = 1;
        pieces.take_rows::<T>(text)?;
        return Some(pieces);
    }
    for (key, raw) in members("", "", text).ok()? {
        if key == T::FIELD {
            pieces.lists += 1;
            pieces.take_rows::<T>(raw)?;
        } else {
            pieces.members.push((key, raw.to_owned()));
        }
    }
    pieces.is_bare = pieces.lists == 0;
    Some(pieces)
}

impl Pieces {
    fn take_rows<T: Row>(&mut self, text: &str) -> Option<()> {
        if text == "null" {
            return Some(());
        }
        if T::BY_NAME {
            let rows = members("", "", text).ok()?.into_iter();
            self.rows.extend(rows.map(|(name, raw)| RawRecord { name: Some(name), text: raw.to_owned() }));
        } else {
            let rows: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            self.rows
                .extend(rows.into_iter().map(|raw| RawRecord { name: None, text: raw.get().to_owned() }));
        }
        Some(())
    }
}
