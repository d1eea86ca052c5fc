//! How the text of a table becomes records, and what of it is broken.

use super::{BRACKETS_AROUND, BrokenRecord, ROW_INDENT, Row, Table, place};
use crate::domain::json::{self, DocumentError};
use crate::domain::record::{Record, View};
use crate::domain::spelled::{self, plain_name};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A document that is being read.
pub(super) struct Reading<'a, T> {
    /// The records of the version before.
    pub known: &'a [Arc<Record<T>>],
    /// What the records share their text with.
    pub whole: Option<&'a Arc<String>>,
    /// Whether something in it nests too deep.
    pub is_deep: bool,
    pub table: Table<T>,
}

impl<T: Row> Reading<'_, T> {
    pub(super) fn rows(&mut self, text: &str) -> Result<(), DocumentError> {
        match (text.as_bytes().first(), T::BY_NAME) {
            (Some(b'n'), _) => Ok(()),
            (Some(b'['), false) => self.list(text),
            (Some(b'{'), true) => self.map(text),
            (_, by_name) => {
                let wanted = if by_name { "an object" } else { "a list" };
                Err(DocumentError::new(&self.table.path, format!("`{}` is not {wanted}", T::FIELD)))
            }
        }
    }

    pub(super) fn list(&mut self, text: &str) -> Result<(), DocumentError> {
        if T::BY_NAME {
            return Err(DocumentError::new(&self.table.path, format!("`{}` is not an object", T::FIELD)));
        }
        let items: Vec<&RawValue> = json::parse(&self.table.path, T::FIELD, text)?;
        self.table.refuse_too_many(items.len())?;
        self.table.rows.reserve_exact(items.len() + 1);
        for (index, item) in items.iter().enumerate() {
            if let Some(row) = same(self.known, index, item.get()) {
                self.table.rows.push(row);
                continue;
            }
            let before = self.table.rows.len();
            match self.record(item.get(), index) {
                Ok(row) => self.table.rows.push(Arc::new(row)),
                Err(error) => {
                    let inside = format!("{}[{index}]", T::FIELD);
                    self.table.broken.push(BrokenRecord::of(before, item.get(), &inside, &error));
                }
            }
        }
        Ok(())
    }

    /// Reads the record at `index`, which is told in an error only.
    fn record(&self, text: &str, index: usize) -> Result<Record<T>, DocumentError> {
        let read = |inside: &str| read_row(self.whole, (&self.table.path, inside), text, self.is_deep);
        read(T::FIELD).or_else(|_| read(&format!("{}[{index}]", T::FIELD)))
    }

    fn map(&mut self, text: &str) -> Result<(), DocumentError> {
        json::parse::<IgnoredAny>(&self.table.path, T::FIELD, text)?;
        let items = spelled::members(text);
        self.table.refuse_too_many(items.len())?;
        self.table.rows.reserve_exact(items.len() + 1);
        let mut times: HashMap<Cow<'_, str>, usize> = HashMap::new();
        for (name, _) in &items {
            *times.entry(plain_name(name)).or_default() += 1;
        }
        for (index, (spelled, text)) in items.iter().enumerate() {
            let name = plain_name(spelled);
            let is_only = times.get(&name) == Some(&1);
            if json::pretty(&name, 0) != *spelled {
                self.table.spellings.push((name.clone().into_owned(), (*spelled).to_owned()));
            }
            if let Some(row) = same(self.known, index, text).filter(|row| is_only && row.id() == name) {
                self.table.rows.push(row);
                continue;
            }
            self.named(&name, spelled, text, is_only);
        }
        Ok(())
    }

    /// Reads the record under a name. Of two under one name some readers take the first and some, such
    /// as `jq`, the last: one would see a lock free that the other sees held. So neither counts.
    fn named(&mut self, name: &str, spelled: &str, text: &str, is_only: bool) {
        let before = self.table.rows.len();
        let inside = place::<T>(0, name);
        let broken = match read_row::<T>(self.whole, (&self.table.path, &inside), text, self.is_deep) {
            _ if !is_only => BrokenRecord::new(before, text, "its name stands there twice".to_owned()),
            Err(error) => BrokenRecord::of(before, text, &inside, &error),
            // The name would be written in another spelling, for another name.
            Ok(_) if spelled::whole_characters(spelled).is_some() => {
                BrokenRecord::new(before, text, "its name holds what is no Unicode".to_owned())
            }
            Ok(mut row) => {
                row.tell(|view| view.named(name));
                self.table.rows.push(Arc::new(row));
                return;
            }
        };
        self.table.broken.push(BrokenRecord { name: Some(spelled.to_owned()), ..broken });
    }
}

/// Whether a record nests too deep where it stands.
pub(in crate::domain) fn row_is_too_deep(text: &str) -> bool {
    json::is_too_deep(text, BRACKETS_AROUND)
}

/// Reads the record of a table that stands `inside` of it.
pub(super) fn read_row<T: Row>(
    whole: Option<&Arc<String>>,
    (path, inside): (&str, &str),
    text: &str,
    is_deep: bool,
) -> Result<Record<T>, DocumentError> {
    if is_deep && row_is_too_deep(text) {
        return Err(DocumentError::new(path, json::too_deep()));
    }
    let record: Record<T> = Record::read_in(whole, (path, inside), text, ROW_INDENT)?;
    if record.is_lossy() && !T::LOSSY {
        return Err(DocumentError::new(path, "it holds what is no Unicode"));
    }
    Ok(record)
}

/// The members of an object in their order, each with the text it was written as.
pub(in crate::domain) fn members<'a>(
    path: &str,
    inside: &str,
    text: &'a str,
) -> Result<Vec<(String, &'a str)>, DocumentError> {
    if let Ok(Members(members)) = serde_json::from_str(text) {
        return Ok(members.into_iter().map(|(key, raw): (String, &RawValue)| (key, raw.get())).collect());
    }
    // A key may hold half a character.
    if !text.starts_with('{') || spelled::whole_characters(text).is_none() {
        let Members(members) = json::parse(path, inside, text)?;
        return Ok(members.into_iter().map(|(key, raw)| (key, raw.get())).collect());
    }
    json::parse::<IgnoredAny>(path, inside, text)?;
    Ok(spelled::members(text).into_iter().map(|(key, raw)| (plain_name(key).into_owned(), raw)).collect())
}

/// The record that stood at `index` if it has this text now.
fn same<T: View>(known: &[Arc<Record<T>>], index: usize, text: &str) -> Option<Arc<Record<T>>> {
    // What was put in new has the layout of its place, and its text was never read.
    known.get(index).filter(|row| row.text() == text && !row.is_changed()).cloned()
}

/// The members of an object in their order, each as the text it was written as.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(InOrder)
    }
}
