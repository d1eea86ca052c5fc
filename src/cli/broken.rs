//! Records that are no good, as the commands tell of them that list and show what is.

use super::output::{Output, as_begun};
use super::table::facts;
use super::words::repair::MEND;
use crate::app::queries::Unreadable;
use crate::domain::table::RecordTrouble;
use serde_json::Value;

/// How many are told one by one beside an answer that is about others.
const TOLD_MAX: usize = 3;

/// A line of a list for it: its id, what there is of the columns in the middle, what is wrong.
pub(super) fn row(trouble: &RecordTrouble, middle: &[String]) -> Vec<String> {
    let id = if trouble.id.is_empty() { "-" } else { &trouble.id };
    let mut row = vec![id.to_owned()];
    row.extend_from_slice(middle);
    row.push(format!("unreadable: {}: {}", trouble.place, trouble.why));
    row
}

/// A field of what is shown, as a column.
pub(super) fn column(shown: &Value, name: &str) -> String {
    match shown.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    }
}

/// Tells on stderr that there are such records, for an answer that leaves them out.
pub(super) fn tell_left_out(left_out: &[Unreadable], output: Output) {
    for one in left_out.iter().take(TOLD_MAX) {
        output.warn(&one.trouble.describe());
    }
    if let Some(rest @ 1..) = left_out.len().checked_sub(TOLD_MAX) {
        output.warn(&format!("{rest} more records are unreadable; list them with `git muster fsck`"));
    }
}

/// All that there is of it, for people.
pub(super) fn facts_of(shown: &Value, trouble: &RecordTrouble) -> String {
    let mut fields = shown.clone();
    if let Value::Object(fields) = &mut fields {
        fields.remove("unreadable");
    }
    let text = serde_json::to_string(&fields).unwrap_or_default();
    facts(&[
        ("record", Some(format!("{} of {}", trouble.place, trouble.path))),
        ("unreadable", Some(trouble.why.clone())),
        ("content", Some(text)),
        ("fix", Some(as_begun(MEND))),
    ])
}
