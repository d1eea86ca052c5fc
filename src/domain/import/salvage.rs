//! Records out of a text that is no JSON: one with conflict markers, one that ends in the middle.

use super::pieces::{Pieces, RawRecord, take_apart};
use super::rows::Imported;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// The most places at which a record is looked for. Each costs a look at what follows.
const PLACES_MAX: usize = 1_000_000;

/// What was found in a text.
#[derive(Debug)]
pub(super) struct SalvagedText {
    /// The records.
    pub pieces: Pieces,
    /// Whether the text holds something beside them that is not understood, or of a conflict not all of it.
    pub has_more: bool,
}

/// What stands in a text with conflict markers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// What each side says, ours first.
    pub sides: [String; 2],
    /// Whether the text goes on to the last of its markers.
    pub is_closed: bool,
}

/// The two sides of a text with conflict markers; `None` if it has none.
pub(super) fn conflict(text: &str) -> Option<Conflict> {
    let mut sides = [String::new(), String::new()];
    let (mut at, mut any) = (Side::Both, false);
    for line in text.lines() {
        let next = match line.get(..7) {
            Some("<<<<<<<") => Side::Ours,
            // What both sides began with is in neither.
            Some("|||||||") if at == Side::Ours => Side::Base,
            Some("=======") if matches!(at, Side::Ours | Side::Base) => Side::Theirs,
            Some(">>>>>>>") => Side::Both,
            _ => {
                for (side, only) in sides.iter_mut().zip([Side::Ours, Side::Theirs]) {
                    if at == Side::Both || at == only {
                        side.push_str(line);
                        side.push('\n');
                    }
                }
                continue;
            }
        };
        any = true;
        at = next;
    }
    any.then_some(Conflict { sides, is_closed: at == Side::Both })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    Ours,
    Base,
    Theirs,
}

/// The records that a text holds which is no JSON.
pub(super) fn salvage<T: Imported>(text: &str) -> SalvagedText {
    let Some(Conflict { sides: [ours, theirs], is_closed }) = conflict(text) else {
        return scan::<T>(text);
    };
    let apart = [&ours, &theirs].map(|side| take_apart::<T>(side));
    // Brackets that are left over at the end of the text, or that do not match, tell that records are gone.
    let is_cut = !is_closed
        || apart.iter().all(Option::is_none)
        || [&ours, &theirs].iter().any(|side| ends_early(side));
    let whole = |side: &str, apart: Option<Pieces>| match apart {
        Some(pieces) => SalvagedText { pieces, has_more: false },
        None => scan::<T>(side),
    };
    let [our_pieces, their_pieces] = apart;
    let (mut found, other) = (whole(&ours, our_pieces), whole(&theirs, their_pieces));
    let known: HashSet<(Option<String>, String)> = found.pieces.rows.iter().map(spelled).collect();
    found.pieces.rows.extend(other.pieces.rows.into_iter().filter(|row| !known.contains(&spelled(row))));
    if found.pieces.members.is_empty() {
        found.pieces.members = other.pieces.members;
    }
    found.has_more |= other.has_more || is_cut;
    found
}

/// Whether a text would be JSON if only more of it were there.
fn ends_early(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_err_and(|error| error.is_eof())
}

/// A record however it is laid out.
fn spelled(row: &RawRecord) -> (Option<String>, String) {
    let text =
        serde_json::from_str::<Value>(&row.text).map_or_else(|_| row.text.clone(), |row| row.to_string());
    (row.name.clone(), text)
}

/// Looks for whole records one after the other.
fn scan<T: Imported>(text: &str) -> SalvagedText {
    let (mut pieces, mut left) = (Pieces::default(), String::new());
    let (mut at, mut done) = (0, 0);
    for _ in 0..PLACES_MAX {
        let Some(next) = text.get(at..).and_then(|rest| rest.find('{')).map(|found| at + found) else {
            break;
        };
        at = next + 1;
        let Some((record, length)) = value_at(text.get(next..).unwrap_or_default()) else { continue };
        let name = if T::BY_NAME { name_before(text.get(..next).unwrap_or_default()) } else { None };
        if !T::is_record(&record) || (T::BY_NAME && name.is_none()) {
            continue;
        }
        let row = text.get(next..next + length).unwrap_or_default().to_owned();
        pieces.rows.push(RawRecord { name, text: row });
        left.push_str(text.get(done..next).unwrap_or_default());
        at = next + length;
        done = at;
    }
    left.push_str(text.get(done..).unwrap_or_default());
    SalvagedText { pieces, has_more: is_more::<T>(&left) }
}

/// The object at the beginning of a text, and how long it is.
fn value_at(text: &str) -> Option<(Value, usize)> {
    let raw: &RawValue = serde_json::Deserializer::from_str(text).into_iter().next()?.ok()?;
    // A record with half a surrogate pair is mended later.
    let value = super::fields::without_half_characters(raw.get());
    Some((serde_json::from_str(value.as_deref().unwrap_or(raw.get())).ok()?, raw.get().len()))
}

/// The name in `"name": ` at the end of a text.
fn name_before(text: &str) -> Option<String> {
    let text = text.trim_end().strip_suffix(':')?.trim_end();
    let begin = text.strip_suffix('"')?.rfind('"')?;
    serde_json::from_str(text.get(begin..)?).ok()
}

/// Whether something is left of a text that is no bracket, comma or name of a field of the table.
fn is_more<T: Imported>(left: &str) -> bool {
    let left = left.replace(&format!("\"{}\"", T::FIELD), "");
    left.chars().any(|c| !c.is_whitespace() && !"{}[],:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;
    use crate::domain::lock::Lock;
    use crate::domain::message::Message;
    use crate::domain::pause::Pause;
    use crate::domain::server::Server;

    fn ids(found: &SalvagedText) -> String {
        let id = |row: &RawRecord| {
            let record: Value = serde_json::from_str(&row.text).expect("a record");
            record["id"].as_str().unwrap_or_default().to_owned()
        };
        found.pieces.rows.iter().map(id).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn records_are_found_in_what_is_no_json() {
        for (text, expected, has_more) in [
            (r#"{"jobs": [{"id": "a"}, {"id": "b"}, {"id": "c", "des"#, "a b", true),
            (r#"{"jobs": [{"id": "a"} {"id": "b"}]}"#, "a b", false),
            (r#"{"jobs": [{"id": "a", "x": {"id": "inner"}},]}"#, "a", false),
            ("not json at all", "", true),
            ("", "", false),
            (r#"{"jobs": [{"id": "{\"id\": \"no\"}"}"#, r#"{"id": "no"}"#, false),
        ] {
            let found = salvage::<Job>(text);
            assert_eq!((ids(&found).as_str(), found.has_more), (expected, has_more), "{text}");
        }
    }

    #[test]
    fn both_sides_of_a_conflict_are_found() {
        let row = |id: &str| format!(r#"    {{"id": "{id}", "from": "a", "to": "b"}}"#);
        let [a, b, c] = ["a", "b", "c"].map(row);
        let text = format!(
            "{{\"messages\": [\n{a}\n<<<<<<< HEAD\n    ,\n{b}\n||||||| base\n    ,\n{c}\n=======\n    ,\n{c}\n>>>>>>> x\n]}}"
        );
        let found = salvage::<Message>(&text);
        assert_eq!((ids(&found).as_str(), found.has_more), ("a b c", false));
        // A marker in the middle of a record leaves nothing whole of that side alone.
        let split = format!(
            "[\n{a},\n<<<<<<< HEAD\n{{\"id\": \"b\",\n=======\n{{\"id\": \"c\",\n>>>>>>> x\n \"to\": \"a\"}}\n]"
        );
        assert_eq!(ids(&salvage::<Message>(&split)), "a b c");
    }

    #[test]
    fn locks_are_found_by_their_names() {
        let text = r#"{"locks": {"x y": {"locked_by": null}, "deploy": {"locked_by": "a"}, "#;
        let names: Vec<_> =
            salvage::<Lock>(text).pieces.rows.into_iter().filter_map(|row| row.name).collect();
        assert_eq!(names, ["x y", "deploy"]);
    }

    #[test]
    fn a_line_is_a_marker_only_where_one_can_stand() {
        let two = |ours: &str, theirs: &str| {
            Some(Conflict { sides: [ours.to_owned(), theirs.to_owned()], is_closed: true })
        };
        for (text, expected) in [
            ("a\n=======\nb\n", None),
            ("a\n|||||||\nb\n", None),
            ("<<<<<<< x\na\n=======\nb\n>>>>>>> y\n=======\n", two("a\n=======\n", "b\n=======\n")),
            ("<<<<<<< x\na\n=======\nb\n=======\n|||||||\n>>>>>>> y\n", two("a\n", "b\n=======\n|||||||\n")),
            ("0\n<<<<<<< x\na\n||||||| o\nc\n=======\nb\n>>>>>>> y\n1\n", two("0\na\n1\n", "0\nb\n1\n")),
        ] {
            assert_eq!(conflict(text), expected, "{text}");
        }
    }

    #[test]
    fn what_either_side_has_beside_its_records_is_more() {
        let (whole, cut) = (r#"{"id": "a"}"#, r#"{"id": "b","#);
        for (ours, theirs, has_more) in
            [(whole, whole, false), (whole, cut, true), (cut, whole, true), (cut, cut, true)]
        {
            let text = format!("[\n<<<<<<< x\n{ours}\n=======\n{theirs}\n>>>>>>> y\n]");
            assert_eq!(salvage::<Job>(&text).has_more, has_more, "{text}");
        }
    }

    #[test]
    fn a_conflict_of_which_not_all_is_there_has_more() {
        let (a, b) = (r#"{"id": "a"}"#, r#"{"id": "b"}"#);
        let whole = format!("[\n<<<<<<< x\n{a}\n=======\n{b}\n>>>>>>> y\n]\n");
        assert!(!salvage::<Job>(&whole).has_more);
        for length in whole.find('x').expect("a marker")..whole.len() - "\n]\n".len() {
            assert!(salvage::<Job>(&whole[..=length]).has_more, "{}", &whole[..=length]);
        }
        for (text, has_more) in [
            ("<<<<<<< x", true),
            ("{\n<<<<<<< x\n{\n", true),
            ("{\"jobs\": [\n<<<<<<< x\n=======\n>>>>>>> y\n", true),
            ("{\"jobs\": [\n<<<<<<< x\n=======\n>>>>>>> y\n]}", false),
            // One side was cut before it came into the conflict.
            ("<<<<<<< x\n[{\"id\": \"a\"}]\n=======\n[{\"id\": \"a\"},\n>>>>>>> y", true),
            ("<<<<<<< x\n[{\"id\": \"a\"}]\n=======\n[]\n>>>>>>> y", false),
        ] {
            assert_eq!(salvage::<Job>(text).has_more, has_more, "{text}");
        }
    }

    #[test]
    fn records_of_each_sort_are_known_by_what_only_they_have() {
        fn found<T: Imported>(rows: &str) -> usize {
            salvage::<T>(rows).pieces.rows.len()
        }
        assert_eq!(found::<Job>(r#"{"id":"a"} {"x":1}"#), 1);
        assert_eq!(
            found::<Message>(r#"{"id":"m"} {"from":"a","to":"b"} {"from":"a"} {"to":"b"} {"x":1}"#),
            2
        );
        assert_eq!(found::<Server>(r#"{"id":"a"} {"x":1}"#), 1);
        assert_eq!(found::<Pause>(r#"{"id":"queue"} {"x":1}"#), 1);
        assert_eq!(found::<Lock>(r#""a": {"locked_by":null} "b": {"x":1} {"locked_by":"c"}"#), 1);
    }
}
