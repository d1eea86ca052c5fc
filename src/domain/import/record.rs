//! A document that is one record: a status, a beat, the build configuration.

use super::super::hub::Marker;
use super::super::record::{Record, View};
use super::fields::{is_readable, set_unreadable_aside, without_a_time, without_half_characters};
use super::past::LastReadable;
use super::salvage::conflict;
use super::{DocumentResult, Line, NOT_IN_HISTORY, NoteList, State, TAKEN, decode};
use serde_json::{Map, Value};

/// Mends the document at `path`; `blank` stands in where nothing of it can be used.
pub fn mend_record<T: View>(path: &str, bytes: &[u8], blank: impl FnOnce() -> String) -> DocumentResult {
    let mut notes = NoteList::new(path);
    let text = decode(bytes, &mut notes);
    let Some(mut record) = found(&text, &mut notes) else {
        return anew(notes, blank);
    };
    match set_unreadable_aside::<T>(&mut record) {
        Some(bad) if bad.is_empty() => {}
        Some(bad) => {
            let names = bad.join("`, `");
            notes.add(
                State::Mendable,
                None,
                format!("what cannot be read is kept as `unreadable_...`: `{names}`"),
            );
        }
        None => {
            notes.add(State::Broken, None, "it cannot be read as a record");
            return anew(notes, blank);
        }
    }
    for name in without_a_time(&record) {
        notes.add(State::Sound, None, format!("`{name}` holds no time"));
    }
    if notes.lines.iter().all(|line| line.state == State::Sound) {
        return notes.done(None, "one record");
    }
    let text = format!("{}\n", super::super::json::pretty(&record, 0));
    notes.done(Some(text), "one record")
}

/// The same of one that nobody says anew: what cannot be read of it is taken from the history.
pub fn mend_record_by<T: View>(
    path: &str,
    bytes: &[u8],
    past: Option<&LastReadable>,
    blank: impl FnOnce() -> String,
) -> DocumentResult {
    if found_record::<T>(path, bytes).is_some() {
        return mend_record::<T>(path, bytes, blank);
    }
    let mut notes = NoteList::new(path);
    found(&decode(bytes, &mut notes), &mut notes);
    let Some(past) = past else {
        notes.add(State::Sound, None, NOT_IN_HISTORY);
        return anew(notes, blank);
    };
    notes.add(State::Mendable, None, format!("{TAKEN}: all of it, as it was in {}", past.commit));
    past.remark().into_iter().for_each(|what| notes.add(State::Sound, None, what));
    notes.done(Some(String::from_utf8_lossy(&past.bytes).into_owned()), "one record")
}

/// Mends the marker: it never stays without an id, which is that of the history or else `new`.
pub fn mend_marker(path: &str, bytes: &[u8], past: Option<&LastReadable>, new: &Marker) -> DocumentResult {
    let mut mended = mend_record_by::<Marker>(path, bytes, past, || "{}\n".to_owned());
    let text = mended.text.clone().unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    let Ok(mut marker) = Record::<Marker>::read(path, "", text.trim_start_matches('\u{feff}'), 0) else {
        return mended;
    };
    if !marker.id.is_empty() {
        return mended;
    }
    let known = past.and_then(|past| found_record::<Marker>(path, &past.bytes));
    let (from, whence) = match (&known, past) {
        (Some(known), Some(past)) => {
            ((**known).clone(), format!("{TAKEN}: its id, as it was in {}", past.commit))
        }
        _ => (new.clone(), format!("it has no id: it gets `{}`", new.id)),
    };
    marker.edit(|marker| marker.complete(&from));
    let line = |what| Line { state: State::Mendable, path: path.to_owned(), place: None, what };
    if let Some(head) = mended.lines.first_mut() {
        head.state = head.state.max(State::Mendable);
    }
    mended.lines.push(line(whence));
    DocumentResult { text: Some(format!("{}\n", marker.text().trim_end())), ..mended }
}

fn anew(notes: NoteList, blank: impl FnOnce() -> String) -> DocumentResult {
    notes.done(Some(blank()), "it begins anew")
}

/// A document of one record, if anything in its bytes can be read as one.
#[must_use]
pub fn found_record<T: View>(path: &str, bytes: &[u8]) -> Option<Record<T>> {
    let mut notes = NoteList::new(path);
    let text = decode(bytes, &mut notes);
    let record = found(&text, &mut notes)?;
    if !is_readable::<T>(&record) {
        return None;
    }
    Record::read(path, "", &serde_json::to_string(&record).ok()?, 0).ok()
}

fn found(text: &str, notes: &mut NoteList) -> Option<Map<String, Value>> {
    if text.trim().is_empty() {
        notes.add(State::Mendable, None, "it is empty");
        return None;
    }
    if let Some(record) = object(text) {
        return Some(record);
    }
    if let Some(text) = without_half_characters(text)
        && let Some(record) = object(&text)
    {
        notes.is_kept_aside = true;
        notes.add(State::Mendable, None, "half a character in it becomes a replacement sign");
        return Some(record);
    }
    notes.is_kept_aside = true;
    // The last word on what one server says of itself is the later one.
    let sides = conflict(text).map(|conflict| conflict.sides);
    let found = sides.and_then(|[ours, theirs]| object(&theirs).or_else(|| object(&ours)));
    if found.is_some() {
        notes.add(State::Mendable, None, "it holds conflict markers: one side of them is taken");
    } else {
        notes.add(State::Broken, None, "it is no JSON, or no record");
    }
    found
}

fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(record)) => Some(record),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::heartbeat::Heartbeat;

    #[test]
    fn what_becomes_of_a_record() {
        let marked = "<<<<<<< a\n{\"server\":\"a\"}\n=======\n{\"server\":\"b\"}\n>>>>>>> b\n";
        for (text, expected, state, aside) in [
            ("{\"server\": \"a\"}", None, State::Sound, false),
            ("{\"timestamp\": \"$(date -u)\"}", None, State::Sound, false),
            ("", Some("blank"), State::Mendable, false),
            ("\u{feff}{\"server\":\"a\"}", Some("{\n  \"server\": \"a\"\n}\n"), State::Mendable, false),
            ("[1]", Some("blank"), State::Broken, true),
            ("{\"server\":", Some("blank"), State::Broken, true),
            (marked, Some("{\n  \"server\": \"b\"\n}\n"), State::Mendable, true),
            ("{\"sequence\":-1}", Some("{\n  \"unreadable_sequence\": -1\n}\n"), State::Mendable, false),
        ] {
            let mended = mend_record::<Heartbeat>("a/heartbeat.json", text.as_bytes(), || "blank".to_owned());
            let found = (mended.text.as_deref(), mended.lines[0].state, mended.is_kept_aside);
            assert_eq!(found, (expected, state, aside), "{text}");
        }
    }

    #[test]
    fn a_record_is_found_in_any_bytes_that_hold_one() {
        let marked = "<<<<<<< a\n{\"server\":\"a\"}\n=======\n{\"server\":\"b\"}\n>>>>>>> b\n";
        for (text, server) in [
            ("{\"server\": \"a\"}", Some("a")),
            ("\u{feff}{\"server\":\"a\"}", Some("a")),
            (marked, Some("b")),
            ("", None),
            ("[1]", None),
            // One that cannot be read tells nothing.
            ("{\"server\":\"a\",\"sequence\":-1}", None),
        ] {
            let found = found_record::<Heartbeat>("a/heartbeat.json", text.as_bytes());
            assert_eq!(found.and_then(|beat| beat.server.clone()).as_deref(), server, "{text}");
        }
    }
}
