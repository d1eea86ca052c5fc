//! A message as it is stored: a row of its table, in the spellings of every writer so far.

use super::{Mark, Message, MessageRef, MessageType};
use crate::domain::id::MessageId;
use crate::domain::lenient;
use crate::domain::table::{Progress, Row};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

impl Row for Message {
    const PATH: &'static str = "coordination/messages.json";
    const FIELD: &'static str = "messages";
    const TITLE: &'static str = "messages between servers";
    const HAS_ARCHIVES: bool = true;
    const IS_IN_EACH_HUB: bool = true;
    const LOSSY: bool = true;
    fn id(&self) -> &str {
        &self.id
    }
    fn apart(&self) -> Option<String> {
        Some(MessageRef::of(self).sent)
    }
    fn id_problem(&self) -> Option<String> {
        MessageId::new(&self.id).err().map(|error| error.to_string())
    }
    fn progress(&self) -> Progress {
        let steps = usize::from(self.read == Some(true))
            + self.read_by.len()
            + self.acknowledged_by.len()
            + usize::from(self.ack_status.as_deref() == Some("completed"));
        [0, u64::try_from(steps).unwrap_or(u64::MAX), 0]
    }
}

pub(super) fn kind_info() -> String {
    MessageType::Info.as_str().to_owned()
}

/// The type of a message; one that names none is an `info`.
pub(super) fn kind<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let word = lenient::plain_text(input)?;
    Ok(if word.is_empty() { kind_info() } else { word })
}

/// Who read or acknowledged: a list of names, or of objects in any known spelling; a single name
/// is a list of one. Gives exactly one mark for each item of a list, so that an edit finds each
/// in its place and leaves it as it was written.
pub(super) fn marks<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Mark>, D::Error> {
    match Value::deserialize(input)? {
        Value::Null | Value::Bool(_) => Ok(Vec::new()),
        Value::Array(items) => items
            .into_iter()
            .map(|item| mark(item).ok_or_else(|| D::Error::custom("a list where a server belongs")))
            .collect(),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        single => Ok(mark(single).into_iter().collect()),
    }
}

fn mark(item: Value) -> Option<Mark> {
    match item {
        Value::Array(_) => None,
        Value::String(by) => Some(Mark { by, at: None }),
        Value::Object(fields) => Some(Mark {
            by: first_text(&fields, &["by", "server", "server_id", "builder"]).unwrap_or_default(),
            at: first_text(&fields, &["at", "timestamp", "acknowledged_at", "read_at"])
                .and_then(|text| Timestamp::parse(&text)),
        }),
        Value::Null => Some(Mark { by: String::new(), at: None }),
        other => Some(Mark { by: other.to_string(), at: None }),
    }
}

/// The first of `keys` that holds a text or a number, as text.
fn first_text(fields: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match fields.get(*key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        mark(Value::deserialize(input)?).ok_or_else(|| D::Error::custom("a list where a server belongs"))
    }
}
