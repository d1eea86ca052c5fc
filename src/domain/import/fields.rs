//! What can be wrong inside of one record.

use super::super::record::{Record, View};
use serde_json::{Map, Value};

/// What a field is called that stands where a rule of ours would not read it.
const UNREADABLE: &str = "unreadable_";

/// The text with a replacement sign for each half of a surrogate pair that stands alone; `None` if
/// there is none. Only such a text is JSON that no value can hold.
pub(super) fn without_half_characters(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut any) = (text, false);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let length = match half(escape) {
            None => escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end),
            Some(ParsedField::High) if escape.get(6..).and_then(half) == Some(ParsedField::Low) => 12,
            Some(_) => {
                any = true;
                out.push_str("\\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
        };
        let (whole, after) = escape.split_at(length);
        out.push_str(whole);
        rest = after;
    }
    out.push_str(rest);
    any.then_some(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParsedField {
    High,
    Low,
}

/// Which half of a pair the escape at the beginning of a text is.
fn half(text: &str) -> Option<ParsedField> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xd800..=0xdbff => Some(ParsedField::High),
        0xdc00..=0xdfff => Some(ParsedField::Low),
        _ => None,
    }
}

/// Renames the fields that cannot be read as those of a `T`, so that the record can be, and returns
/// their names. `None` if it cannot be read even then.
pub(super) fn set_unreadable_aside<T: View>(record: &mut Map<String, Value>) -> Option<Vec<String>> {
    if is_readable::<T>(record) {
        return Some(Vec::new());
    }
    let alone = |(name, value): (&String, &Value)| {
        let one = Map::from_iter([(name.clone(), value.clone())]);
        (!is_readable::<T>(&one)).then(|| name.clone())
    };
    let bad: Vec<String> = record.iter().filter_map(alone).collect();
    for name in &bad {
        rename(record, name, &format!("{UNREADABLE}{name}"));
    }
    is_readable::<T>(record).then_some(bad)
}

/// Whether the record can be read, as a document that is one record is.
pub(super) fn is_readable<T: View>(record: &Map<String, Value>) -> bool {
    let text = serde_json::to_string(record).unwrap_or_default();
    Record::<T>::read("", "", &text, 0).is_ok()
}

/// Gives a field another name at the end of the record, and never that of another field.
pub(super) fn rename(record: &mut Map<String, Value>, name: &str, new: &str) {
    let Some(value) = record.shift_remove(name) else { return };
    let mut free = new.to_owned();
    while record.contains_key(&free) {
        free.push('_');
    }
    record.insert(free, value);
}

/// The fields at the top of a record that should hold a time and hold none, such as a shell expression
/// that was never expanded.
pub(super) fn without_a_time(record: &Map<String, Value>) -> Vec<&str> {
    let is_named_so = |name: &str| {
        name == "timestamp" || name == "last_heartbeat" || name == "last_updated" || name.ends_with("_at")
    };
    let holds_none = |value: &Value| match value {
        Value::String(text) => super::super::time::Timestamp::parse(text).is_none(),
        _ => false,
    };
    record
        .iter()
        .filter(|(name, value)| is_named_so(name) && holds_none(value))
        .map(|(name, _)| name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;

    #[test]
    fn half_characters_are_replaced_and_whole_ones_are_not() {
        for (text, expected) in [
            (r#""plain""#, None),
            (r#""\ud83d\ude00 \u00e9 \\ud800 \n""#, None),
            (r#""x\udce9y""#, Some(r#""x\ufffdy""#)),
            (r#""\ud800\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\uDCE9\\""#, Some(r#""\ufffd\\""#)),
        ] {
            assert_eq!(without_half_characters(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn fields_that_cannot_be_read_are_kept_under_another_name() {
        let mut record: Map<String, Value> = serde_json::from_str(
            r#"{"id":"a","attempts":-1,"branch":{"x":1},"mine":[1],"timeout_seconds":1e300}"#,
        )
        .expect("a record");
        let bad = set_unreadable_aside::<Job>(&mut record).expect("can be mended");
        assert_eq!(bad, ["attempts", "branch", "timeout_seconds"]);
        assert_eq!(
            Value::from(record).to_string(),
            r#"{"id":"a","mine":[1],"unreadable_attempts":-1,"unreadable_branch":{"x":1},"unreadable_timeout_seconds":1e+300}"#
        );
    }

    #[test]
    fn a_field_that_should_hold_a_time_and_holds_other_words_is_named() {
        let record: Map<String, Value> = serde_json::from_str(
            r#"{"timestamp":"$(date -u)","last_heartbeat":"soon","last_updated":"","created_at":"x","completed_at":"2025-10-30T01:35:38Z","started_at":null,"claimed_at":7,"note":"no time","at":"x","format":"x"}"#,
        )
        .expect("a record");
        assert_eq!(without_a_time(&record), ["timestamp", "last_heartbeat", "last_updated", "created_at"]);
    }
}
