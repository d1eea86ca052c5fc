//! `coordination/archive/broken-YYYY-MM.json`: records that a person had set aside, as they were.

use super::lenient;
use super::table::Row;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A record that was taken out of its document, or changed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SetAside {
    /// Names this entry.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub id: String,
    /// The document it was in.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub document: String,
    /// Where in it.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub place: String,
    /// What was wrong with it.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub reason: String,
    /// When it was set aside.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// By whom.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub by: String,
    /// The record, as it stood there.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub text: String,
}

impl SetAside {
    /// How the names of its documents begin, before the month.
    pub const NAME: &str = "broken";

    /// Where what is set aside at `now` goes.
    #[must_use]
    pub fn path(now: Timestamp) -> String {
        format!("coordination/archive/{}-{}.json", Self::NAME, now.month())
    }
}

impl Row for SetAside {
    const PATH: &'static str = "coordination/archive/broken.json";
    const FIELD: &'static str = "records";
    const LOSSY: bool = true;
    fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_lies_by_month_in_the_archive() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        assert_eq!(SetAside::path(now), "coordination/archive/broken-2025-10.json");
        let record: SetAside = serde_json::from_str(r#"{"id":"x"}"#).expect("a record");
        assert_eq!(record.id(), "x");
    }
}
