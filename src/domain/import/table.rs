//! A document of many records.

use super::super::json;
use super::super::table::{ROWS_MAX, Row, Table};
use super::past::{LastReadable, pieces_of};
use super::pieces::{Pieces, RawRecord, take_apart};
use super::rows::{Good, Imported, KnownRows, Placement, usable};
use super::salvage::{conflict, salvage};
use super::{DocumentResult, NOT_IN_HISTORY, NoteList, State, TAKEN, decode};
use serde_json::value::RawValue;

/// How many records that are taken from the history are named.
const TOLD_MAX: usize = 20;

/// The records in the bytes of a document, each as it was written, whatever state they are in.
#[must_use]
pub fn rows_in<T: Imported>(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let pieces = take_apart::<T>(text).unwrap_or_else(|| salvage::<T>(text).pieces);
    pieces.rows.into_iter().map(|row| row.text).collect()
}

/// A record that was found by itself, as it may stand in a document; `None` if it cannot be used.
#[must_use]
pub fn mend_row<T: Imported>(text: &str) -> Option<(T, String)> {
    let good = usable::<T>(&RawRecord { name: None, text: text.to_owned() }, None).ok()?;
    Some((good.view, good.text))
}

/// Mends the table at `path`; `kept` is what stands in other documents of the same sort. Of a text that is
/// lost the history is asked: `Some` is what it says, if it holds a version that can be read.
pub fn mend_table<T: Imported>(
    path: &str,
    bytes: &[u8],
    asked: Option<Option<&LastReadable>>,
    kept: &mut KnownRows,
) -> DocumentResult {
    let mut notes = NoteList::new(path);
    let text = decode(bytes, &mut notes);
    let mut pieces = found::<T>(&text, &mut notes);
    let past = asked.flatten().map(|past| (past, pieces_of::<T>(past)));
    if let Some((past, earlier)) = past.as_ref().filter(|(_, earlier)| version(earlier).is_some()) {
        // Nobody here may write a part of it.
        let what = format!("{TAKEN}: all of it, as it was in {}", past.commit);
        notes.add(State::Mendable, None, what);
        past.remark().into_iter().for_each(|what| notes.add(State::Sound, None, what));
        let text = String::from_utf8_lossy(&past.bytes).into_owned();
        return notes.done(Some(text), &counted::<T>(earlier.rows.len()));
    }
    if let Some(version) = version(&pieces) {
        let holds = format!(
            "{}; it has the newer layout {version} and stays as it is",
            counted::<T>(pieces.rows.len())
        );
        return NoteList::new(path).done(None, &holds);
    }
    if pieces.rows.len() > ROWS_MAX {
        let what = format!("it holds more than {ROWS_MAX} records, which nothing reads, and stays as it is");
        notes.add(State::Broken, None, what);
        return notes.done(None, &counted::<T>(pieces.rows.len()));
    }
    let mut rows = mend_rows::<T>(&pieces, kept, &mut notes);
    match past {
        Some((past, earlier)) => {
            if pieces.members.is_empty() {
                pieces.members.clone_from(&earlier.members);
            }
            let is_between = conflict(&text).is_some();
            take_from::<T>((past, earlier), is_between, (&mut rows, kept, &mut notes));
        }
        None if asked.is_some() => notes.add(State::Sound, None, NOT_IN_HISTORY),
        None => {}
    }
    let holds = counted::<T>(rows.len());
    if notes.lines.iter().all(|line| line.state == State::Sound) {
        return notes.done(None, &holds);
    }
    let text = composed::<T>(&pieces.members, &rows);
    let table = Table::<T>::read(path, text.as_bytes()).and_then(|table| table.write());
    let text = match table {
        Ok(text) => text,
        Err(error) => {
            notes.add(State::Broken, None, format!("it cannot be mended: {}", error.problem));
            composed::<T>(&[], &[])
        }
    };
    notes.done(Some(text), &holds)
}

/// `3 jobs`
fn counted<T: Row>(number: usize) -> String {
    match number {
        1 => format!("1 {}", T::FIELD.trim_end_matches('s')),
        number => format!("{number} {}", T::FIELD),
    }
}

/// The parts of a table, however they are found.
fn found<T: Imported>(text: &str, notes: &mut NoteList) -> Pieces {
    if text.trim().is_empty() {
        notes.add(State::Mendable, None, "it is empty");
        return Pieces::default();
    }
    if let Some(pieces) = take_apart::<T>(text) {
        let other_shape = match (pieces.lists, T::BY_NAME) {
            (0, _) => Some(format!("it lacks `{}`", T::FIELD)),
            (2.., _) => Some(format!("it holds `{}` {} times: all are taken", T::FIELD, pieces.lists)),
            _ if pieces.is_bare => Some("it is a bare list".to_owned()),
            _ => None,
        };
        if let Some(what) = other_shape {
            notes.add(State::Mendable, None, what);
        }
        return pieces;
    }
    let found = salvage::<T>(text);
    let number = counted::<T>(found.pieces.rows.len());
    let are = if found.pieces.rows.len() == 1 { "is" } else { "are" };
    // What is told of a text without a shape is in the bytes that are kept.
    notes.is_kept_aside = true;
    let (state, what) = match (conflict(text).is_some(), found.has_more) {
        (true, false) => {
            (State::Mendable, format!("it holds conflict markers: {number} of both sides {are} taken"))
        }
        (true, true) => (
            State::Broken,
            format!("it holds conflict markers, and not all of both sides: {number} {are} whole"),
        ),
        (false, false) => (State::Mendable, format!("it is no JSON: {number} in it {are} whole")),
        (false, true) => {
            (State::Broken, format!("it is no JSON, or ends too early: {number} in it {are} whole"))
        }
    };
    notes.add(state, None, what);
    found.pieces
}

/// The layout version, if it is newer than ours.
pub(super) fn version(pieces: &Pieces) -> Option<String> {
    pieces.members.iter().filter(|(key, _)| key == "version").find_map(|(_, raw)| json::newer_layout(raw))
}

/// Takes the records from an earlier version that its text has lost, word for word. What stands in another
/// document by now, as in an archive, is not lost; nor is what was taken out before. Of a conflict that was cut
/// off, `is_between`, the text may hold one side's state of a record, and the history the later one.
fn take_from<T: Imported>(
    (past, earlier): (&LastReadable, Pieces),
    is_between: bool,
    (rows, kept, notes): (&mut Vec<RawRecord>, &mut KnownRows, &mut NoteList),
) {
    let mut taken = Vec::new();
    for piece in earlier.rows {
        let Ok(mut good) = usable::<T>(&piece, kept.now) else { continue };
        let id = piece.name.clone().unwrap_or_else(|| good.view.id().to_owned());
        let is_known = kept.has(&id);
        if is_known && !T::IS_MARK && !is_between || rows.len() >= ROWS_MAX {
            continue;
        }
        let text = good.text.clone();
        match kept.place(&mut good, piece.name.as_deref(), (&notes.path, rows.len())) {
            Placement::New => rows.push(RawRecord { name: piece.name, text }),
            Placement::Newer(index) => match rows.get_mut(index) {
                Some(row) => row.text = text,
                None => continue,
            },
            _ => continue,
        }
        taken.push(if id.is_empty() { "one without an id".to_owned() } else { id });
    }
    let more = taken.len().saturating_sub(TOLD_MAX);
    let number = counted::<T>(taken.len());
    taken.truncate(TOLD_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = if taken.is_empty() { String::new() } else { format!(": {}{more}", taken.join(", ")) };
    notes.add(State::Mendable, None, format!("{TAKEN}: {number} as in {}{names}", past.commit));
    past.remark().into_iter().for_each(|what| notes.add(State::Sound, None, what));
}

fn mend_rows<T: Imported>(pieces: &Pieces, kept: &mut KnownRows, notes: &mut NoteList) -> Vec<RawRecord> {
    let mut rows: Vec<RawRecord> = Vec::with_capacity(pieces.rows.len());
    for (index, piece) in pieces.rows.iter().enumerate() {
        let place = piece
            .name
            .as_ref()
            .map_or_else(|| format!("{}[{index}]", T::FIELD), |name| format!("{}.{name}", T::FIELD));
        match usable::<T>(piece, kept.now) {
            Err(why) => notes.add(State::Broken, Some(place), why),
            Ok(good) => put(good, piece, place, (&mut rows, kept, &mut *notes)),
        }
    }
    rows
}

/// Puts a record where it belongs and notes what was done to it.
fn put<T: Imported>(
    mut good: Good<T>,
    piece: &RawRecord,
    place: String,
    (rows, kept, notes): (&mut Vec<RawRecord>, &mut KnownRows, &mut NoteList),
) {
    notes.is_kept_aside |= good.loses;
    for (state, what) in good
        .mended
        .iter()
        .map(|what| (State::Mendable, what))
        .chain(good.remarks.iter().map(|what| (State::Sound, what)))
    {
        notes.add(state, Some(place.clone()), what.clone());
    }
    let path = notes.path.clone();
    let mut name = piece.name.clone();
    let id = name.clone().unwrap_or_else(|| good.view.id().to_owned());
    let told = match kept.place(&mut good, piece.name.as_deref(), (&path, rows.len())) {
        Placement::New => None,
        Placement::Again => {
            notes.add(State::Mendable, Some(place), format!("`{id}` stands there already, word for word"));
            return;
        }
        Placement::Older => {
            notes.is_kept_aside = true;
            let what = format!("`{id}` stands there already: the one to which more happened is kept");
            notes.add(State::Mendable, Some(place), what);
            return;
        }
        Placement::Newer(index) => {
            notes.is_kept_aside = true;
            let what = format!("`{id}` stands there already: the one to which more happened is kept");
            notes.add(State::Mendable, Some(place), what);
            if let Some(row) = rows.get_mut(index) {
                row.text.clone_from(&good.text);
            }
            return;
        }
        Placement::Renamed(free) => {
            let what = format!("another has the id `{id}`: this one becomes `{free}`");
            if T::BY_NAME {
                name = Some(free);
            }
            Some(what)
        }
    };
    if let Some(what) = told {
        notes.add(State::Mendable, Some(place), what);
    }
    rows.push(RawRecord { name, text: good.text });
}

/// A document of these parts, not yet laid out.
pub(super) fn composed<T: Row>(members: &[(String, String)], rows: &[RawRecord]) -> String {
    let named = |name: &str, raw: &str| format!("{}: {raw}", json::pretty(&name, 0));
    let texts: Vec<String> = rows
        .iter()
        .map(|row| row.name.as_ref().map_or_else(|| row.text.clone(), |name| named(name, &row.text)))
        .collect();
    let (open, close) = if T::BY_NAME { ('{', '}') } else { ('[', ']') };
    let mut parts = vec![named(T::FIELD, &format!("{open}{}{close}", texts.join(",")))];
    // What is no JSON by itself came from a text that was none.
    let whole = members.iter().filter(|(_, raw)| serde_json::from_str::<&RawValue>(raw).is_ok());
    parts.extend(whole.map(|(key, raw)| named(key, raw)));
    format!("{{{}}}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;
    use crate::domain::lease::TOKEN_MAX;
    use crate::domain::lock::Lock;
    use crate::domain::message::Message;
    use crate::domain::pause::Pause;
    use crate::domain::server::Server;
    use crate::domain::time::Timestamp;
    use serde_json::Value;

    fn mended<T: Imported>(bytes: &[u8]) -> (DocumentResult, String) {
        let mended = mend_table::<T>(T::PATH, bytes, None, &mut KnownRows::default());
        let text = mended.text.clone().unwrap_or_else(|| String::from_utf8(bytes.to_vec()).expect("text"));
        Table::<T>::read(T::PATH, text.as_bytes()).expect("what was mended can be read");
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).expect("JSON");
        (mended, value[T::FIELD].to_string())
    }

    #[track_caller]
    fn expect<T: Imported>(text: &str, state: State, aside: bool, rows: &str) {
        let (mended, found) = mended::<T>(text.as_bytes());
        assert_eq!(
            (found.as_str(), mended.lines[0].state, mended.is_kept_aside),
            (rows, state, aside),
            "{text} {mended:?}"
        );
        assert_eq!(mended.text.is_none(), state == State::Sound, "{text}");
    }

    #[test]
    fn a_document_that_needs_nothing_is_not_touched() {
        for text in [
            "{\"jobs\": [ {\"id\":\"a\", \"mine\": 1e2} ], \"metadata\": {\"next_job_id\": 1}}",
            "{\"jobs\":[{\"id\":\"a\",\"created_at\":\"$(date -u)\",\"status\":\"on hold\"}]}",
            "{\"jobs\":[],\"version\":2}",
        ] {
            assert_eq!(mended::<Job>(text.as_bytes()).0.text, None, "{text}");
        }
    }

    #[test]
    fn shapes_of_documents() {
        let (mendable, broken) = (State::Mendable, State::Broken);
        expect::<Job>("\u{feff}{\"jobs\":[{\"id\":\"a\"}]}", mendable, false, r#"[{"id":"a"}]"#);
        expect::<Job>("[{\"id\":\"a\"}]", mendable, false, r#"[{"id":"a"}]"#);
        expect::<Job>("", mendable, false, "[]");
        expect::<Job>("{}", mendable, false, "[]");
        expect::<Job>("7", broken, true, "[]");
        expect::<Job>("{\"jobs\":{}}", mendable, true, "[]");
        expect::<Job>(
            "{\"jobs\":[{\"id\":\"a\"}],\"jobs\":[{\"id\":\"b\"}]}",
            mendable,
            false,
            r#"[{"id":"a"},{"id":"b"}]"#,
        );
        expect::<Job>("{\"jobs\":[{\"id\":\"a\"},{\"id\":\"b", broken, true, r#"[{"id":"a"}]"#);
        expect::<Job>("{\"jobs\":[{\"id\":\"a\"},null,7]}", broken, true, r#"[{"id":"a"}]"#);
        let marked = "{\"jobs\":[\n<<<<<<< HEAD\n{\"id\":\"a\"}\n=======\n{\"id\":\"b\"}\n>>>>>>> x\n]}";
        expect::<Job>(marked, mendable, true, r#"[{"id":"a"},{"id":"b"}]"#);
        expect::<Lock>("{\"locks\":[]}", mendable, true, "{}");
        expect::<Lock>(
            "{\"locks\":{\"x\":{\"locked_by\":null,\"token\":1},\"x\":{\"locked_by\":\"a\",\"token\":2}}}",
            mendable,
            true,
            r#"{"x":{"locked_by":"a","token":2}}"#,
        );
    }

    #[test]
    fn records_with_one_id() {
        let row =
            |id: &str, from: &str, rest: &str| format!(r#"{{"id":"{id}","from":"{from}","to":"b"{rest}}}"#);
        let (a, a_read, other) = (row("m", "a", ""), row("m", "a", ",\"read\":true"), row("m", "c", ""));
        let of = |rows: &[&String]| {
            format!("[{}]", rows.iter().map(|row| row.as_str()).collect::<Vec<_>>().join(","))
        };
        let listed = |rows: &[&String]| format!("{{\"messages\":{}}}", of(rows));
        expect::<Message>(&listed(&[&a, &a]), State::Mendable, false, &of(&[&a]));
        expect::<Message>(&listed(&[&a, &a_read]), State::Mendable, true, &of(&[&a_read]));
        expect::<Message>(&listed(&[&a_read, &a]), State::Mendable, true, &of(&[&a_read]));
        let renamed = r#"{"id":"m_2","from":"c","to":"b","imported_id":"m"}"#.to_owned();
        expect::<Message>(&listed(&[&a, &other]), State::Mendable, false, &of(&[&a, &renamed]));
        // Also of two documents.
        let mut kept = KnownRows::default();
        mend_table::<Message>("archive", listed(&[&a_read]).as_bytes(), None, &mut kept);
        let live = mend_table::<Message>("live", listed(&[&a, &other]).as_bytes(), None, &mut kept);
        assert!(live.text.is_some_and(|text| !text.contains("\"id\":\"m\"") && text.contains("\"m_2\"")));
    }

    #[test]
    fn records_that_no_rule_could_use() {
        let mendable = State::Mendable;
        expect::<Job>(
            r#"{"jobs":[{"id":"a","status":null,"attempts":-1}]}"#,
            mendable,
            false,
            r#"[{"id":"a","unreadable_status":null,"unreadable_attempts":-1,"status":"unreadable"}]"#,
        );
        expect::<Job>(
            r#"{"jobs":[{"id":"a","status":"running","assigned_to":null}]}"#,
            mendable,
            false,
            r#"[{"id":"a","imported_status":"running","imported_assigned_to":null,"status":"queued","assigned_to":null}]"#,
        );
        expect::<Message>(
            r#"{"messages":[{"id":"m","from":"a","to":"b","body":"x\udce9"}]}"#,
            mendable,
            true,
            "[{\"id\":\"m\",\"from\":\"a\",\"to\":\"b\",\"body\":\"x\u{fffd}\"}]",
        );
        let (_, rows) =
            mended::<Job>(br#"{"jobs":[{"type":"x","created_at":"2025-10-29T12:00:00Z"},{"id":"a b"}]}"#);
        assert!(
            rows.contains(r#""id":"job_1761739200_"#) && rows.contains(r#""imported_id":"a b""#),
            "{rows}"
        );
    }

    #[test]
    fn what_fsck_calls_an_error_is_not_called_sound() {
        for (twice, taken) in [
            (r#"{"jobs":[{"id":"a","status":"queued","status":"failed"}]}"#, r#""status":"failed""#),
            (r#"{"jobs":[{"id":"a","priority":1,"mine":2,"priority":3}]}"#, r#""priority":3"#),
        ] {
            let (mended, rows) = mended::<Job>(twice.as_bytes());
            assert_eq!((mended.lines[0].state, mended.is_kept_aside), (State::Mendable, true), "{mended:?}");
            assert!(mended.lines[1].what.contains("stands in it twice"), "{mended:?}");
            assert!(rows.contains(taken), "{rows}");
        }
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        for made_up in [TOKEN_MAX, TOKEN_MAX + 1, u64::MAX] {
            let lock = format!("{{\"locks\":{{\"x\":{{\"locked_by\":\"a\",\"token\":{made_up}}}}}}}");
            let mended = mend_table::<Lock>(Lock::PATH, lock.as_bytes(), None, &mut KnownRows::at(now));
            assert_eq!(mended.lines[0].state, State::Mendable, "{made_up}: {mended:?}");
            let table = Table::<Lock>::read(Lock::PATH, mended.text.expect("new").as_bytes()).expect("reads");
            assert!(table.made_up().is_empty(), "{made_up}");
            let lock = table.get("x").expect("is there");
            assert_eq!((lock.locked_by.as_deref(), lock.token), (Some("a"), Some(1_761_739_200_000)));
            assert!(lock.text().contains(&format!("\"imported_token\": {made_up}")), "{}", lock.text());
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let (mended, rows) = mended::<Message>(
            b"{\"messages\":[{\"id\":\"m\",\"from\":\"a\",\"to\":\"b\",\"body\":\"x\xe9\"}]}",
        );
        assert!(mended.is_kept_aside && mended.lines[0].state == State::Broken);
        assert!(rows.contains('\u{fffd}'));
    }

    fn told<T: Imported>(text: &str) -> Vec<String> {
        let line = |line: super::super::Line| {
            format!("{} {}: {}", line.state.as_str(), line.place.unwrap_or_default(), line.what)
        };
        mend_table::<T>(T::PATH, text.as_bytes(), None, &mut KnownRows::default())
            .lines
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn what_is_told_of_documents() {
        assert_eq!(told::<Job>(r#"{"jobs":[{"id":"a"}]}"#), ["sound : 1 job"]);
        assert_eq!(told::<Job>(r#"{"jobs":[{"id":"a"},{"id":"b"}]}"#), ["sound : 2 jobs"]);
        assert_eq!(told::<Message>(r#"{"messages":[{"id":"m"}]}"#), ["sound : 1 message"]);
        assert_eq!(told::<Server>(r#"{"servers":[]}"#), ["sound : 0 servers"]);
        assert_eq!(told::<Server>(r#"{"servers":[{"id":"a"}]}"#), ["sound : 1 server"]);
        assert_eq!(told::<Pause>(r#"{"pauses":[{"id":"queue"}]}"#), ["sound : 1 pause"]);
        assert_eq!(told::<Lock>(r#"{"locks":{"x":{"locked_by":"a"}}}"#), ["sound : 1 lock"]);
        assert_eq!(told::<Job>("{}"), ["mendable : 0 jobs", "mendable : it lacks `jobs`"]);
        assert_eq!(told::<Job>("[]"), ["mendable : 0 jobs", "mendable : it is a bare list"]);
        assert_eq!(
            told::<Job>(r#"{"jobs":[],"jobs":[]}"#),
            ["mendable : 0 jobs", "mendable : it holds `jobs` 2 times: all are taken"]
        );
        assert_eq!(
            told::<Job>(r#"{"jobs":[{"id":"a","created_at":"$(date -u)","status":"on hold"},null]}"#),
            [
                "broken : 1 job",
                "sound jobs[0]: its status `on hold` is shown and never acted on",
                "sound jobs[0]: `created_at` holds no time but `$(date -u)`",
                "broken jobs[1]: it is no record",
            ]
        );
        assert_eq!(
            told::<Lock>(r#"{"locks":{"x":{"locked_by":"a"},"x":{"locked_by":"a"}}}"#),
            ["mendable : 1 lock", "mendable locks.x: `x` stands there already, word for word"]
        );
    }

    #[test]
    fn a_document_of_a_newer_layout_is_left_to_those_who_know_it() {
        let rows = r#""jobs":[{"id":"a"},{"id":"a"}]}"#;
        let newer = format!("{{\"version\":7,{rows}");
        assert_eq!(told::<Job>(&newer), ["sound : 2 jobs; it has the newer layout 7 and stays as it is"]);
        assert_eq!(mended_text(&newer), None);
        for ours in [format!("{{\"version\":1,{rows}"), format!("{{\"mine\":7,{rows}")] {
            assert!(mended_text(&ours).is_some(), "{ours}");
        }
    }

    fn mended_text(text: &str) -> Option<String> {
        mend_table::<Job>(Job::PATH, text.as_bytes(), None, &mut KnownRows::default()).text
    }

    #[test]
    fn a_document_of_more_records_than_are_read_is_left_as_it_is() {
        for (number, is_mended) in [(ROWS_MAX, true), (ROWS_MAX + 1, false)] {
            let text = format!("[{}null]", "null,".repeat(number - 1));
            let mended = mend_table::<Job>(Job::PATH, text.as_bytes(), None, &mut KnownRows::default());
            let is_told = mended.lines.iter().any(|line| line.what.contains("which nothing reads"));
            assert_eq!((mended.text.is_some(), is_told), (is_mended, !is_mended), "{number}");
        }
    }

    #[test]
    fn records_of_one_id_are_known_over_all_documents() {
        let mut kept = KnownRows::default();
        assert!(!kept.has("a"));
        let jobs = |rows: &str| format!("{{\"jobs\":[{rows}]}}");
        let (queued, done) = (r#"{"id":"a","status":"queued"}"#, r#"{"id":"a","status":"completed"}"#);
        mend_table::<Job>("archive", jobs(done).as_bytes(), None, &mut kept);
        assert!(kept.has("a") && !kept.has("b"));
        let live = mend_table::<Job>("live", jobs(queued).as_bytes(), None, &mut kept);
        assert!(live.is_kept_aside && live.text.is_some_and(|text| !text.contains("queued")));
        for rows in [[queued, done], [done, queued]] {
            expect::<Job>(&jobs(&rows.join(",")), State::Mendable, true, &format!("[{done}]"));
        }
        let servers = r#"{"servers":[{"id":"a"},{"id":"a","machine":"m"}]}"#;
        expect::<Server>(servers, State::Mendable, true, r#"[{"id":"a","machine":"m"}]"#);
        let pauses = r#"{"pauses":[{"id":"queue"},{"id":"queue","by":"a"}]}"#;
        expect::<Pause>(pauses, State::Mendable, true, r#"[{"id":"queue"}]"#);
    }

    #[test]
    fn records_are_taken_out_of_documents_as_they_were_written() {
        let (a, b) = (r#"{"id": "a",  "mine":1e2}"#, r#"{"id":"b"}"#);
        for text in [
            format!("{{\"jobs\": [{a}, {b}]}}"),
            format!("\u{feff}[{a},{b}]"),
            format!("{{\"jobs\": [{a},{b}"),
        ] {
            assert_eq!(rows_in::<Job>(text.as_bytes()), [a, b], "{text}");
        }
        let (job, text) = mend_row::<Job>(a).expect("a record");
        assert_eq!((job.id.as_str(), text.as_str()), ("a", a));
        let (job, text) = mend_row::<Job>(r#"{"id":"a","attempts":-1}"#).expect("a record");
        assert!(job.attempts.is_none() && text.contains("unreadable_attempts"), "{text}");
        assert!(mend_row::<Job>("null").is_none());
    }

    #[test]
    fn in_the_place_of_what_is_no_file_stands_an_empty_document() {
        let mended = mend_table::<Job>("p", b"\xff", None, &mut KnownRows::default());
        assert!(mended.is_kept_aside && mended.lines.len() > 1, "{mended:?}");
        let anew = mended.clone().in_place_of_no_file("p");
        assert_eq!((&anew.text, anew.is_kept_aside, anew.lines.len()), (&mended.text, false, 1));
        assert!(anew.lines[0].what.starts_with("it is not a file; what it held before"), "{anew:?}");
    }
}
