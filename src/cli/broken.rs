//! Records that are no good, as the commands tell of them that list and show what is.

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, as_begun};
use super::table::facts;
use crate::domain::table::{MEND, Row, Table, Trouble};
use serde_json::Value;

/// How many are told one by one beside an answer that is about others.
const TOLD_MAX: usize = 3;

/// The records of a table that cannot be read, each with what is shown of it.
pub(super) fn listed<T: Row>(table: &Table<T>) -> Vec<(Value, Trouble)> {
    let unreadable = table.unreadables().into_iter();
    unreadable.map(|(trouble, broken)| (trouble.shown(broken.raw()), trouble)).collect()
}

/// The same, to be shown or, of an answer that is about some only, to be told of beside it.
pub(super) fn among<T: Row>(table: &Table<T>, is_filtered: bool) -> (Vec<(Value, Trouble)>, Vec<Trouble>) {
    let all = listed(table);
    if is_filtered {
        (Vec::new(), all.into_iter().map(|(_, trouble)| trouble).collect())
    } else {
        (all, Vec::new())
    }
}

/// The record of this id that cannot be read, with what is shown of it.
pub(super) fn shown<T: Row>(table: &Table<T>, id: &str) -> Option<(Value, Trouble)> {
    listed(table).into_iter().find(|(_, trouble)| trouble.id == id)
}

/// A line of a list for it: its id, what there is of the columns in the middle, what is wrong.
pub(super) fn row(trouble: &Trouble, middle: &[String]) -> Vec<String> {
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
pub(super) fn tell(troubles: &[Trouble], output: Output) {
    for trouble in troubles.iter().take(TOLD_MAX) {
        output.warn(&trouble.describe());
    }
    if let Some(rest @ 1..) = troubles.len().checked_sub(TOLD_MAX) {
        output.warn(&format!("{rest} more records cannot be read; `git muster fsck` names them"));
    }
}

/// No to what needs such a record.
pub(super) fn no(trouble: &Trouble) -> CliError {
    CliError { exit: Exit::Refused, ..trouble.refusal("nothing can be done with it").into() }
}

/// All that there is of it, for people.
pub(super) fn facts_of(shown: &Value, trouble: &Trouble) -> String {
    let mut fields = shown.clone();
    if let Value::Object(fields) = &mut fields {
        fields.remove("unreadable");
    }
    let text = serde_json::to_string(&fields).unwrap_or_default();
    facts(&[
        ("record", Some(format!("{} of {}", trouble.place, trouble.path))),
        ("unreadable", Some(trouble.why.clone())),
        ("what it holds", Some(text)),
        ("mended by", Some(as_begun(MEND))),
    ])
}
