//! Records of a table that cannot be read as what they should be.
//!
//! A record is the unit of trouble: one that some writer left broken stops no other. It keeps its
//! bytes and its place in every write, is told of, and takes part in nothing: it is no job to claim,
//! no lock that is free. Who mends it is a person, with `fsck --mend` or by hand.

use super::{Row, Table};
use crate::domain::json::DocumentError;
use crate::domain::lease::token_problem;
use crate::domain::refusal::{Action, Refusal, UnusableRecord};
use crate::domain::spelled::{plain_name, whole_characters};
use serde_json::{Value, json};
use std::collections::HashSet;

/// How much of an id that is none is told.
const SHOWN_LENGTH_MAX: usize = 60;

/// A record that cannot be read, as it stands in its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRecord {
    /// How many records that can be read stand before it.
    pub(super) before: usize,
    /// The name it stands under, as it is spelled there, in a table by name.
    pub(super) name: Option<String>,
    pub(super) text: String,
    /// What is wrong with it.
    pub(super) why: String,
}

impl BrokenRecord {
    pub(super) fn new(before: usize, text: &str, why: String) -> Self {
        Self { before, name: None, text: text.to_owned(), why }
    }

    /// As the record `inside` of its document could not be read for `error`.
    pub(super) fn of(before: usize, text: &str, inside: &str, error: &DocumentError) -> Self {
        let why = error.problem.strip_prefix(inside).unwrap_or(&error.problem);
        Self::new(before, text, why.trim_start_matches(['.', ':', ' ']).to_owned())
    }

    /// What it holds, as far as it is JSON at all.
    #[must_use]
    pub fn raw(&self) -> Value {
        let whole = whole_characters(&self.text);
        serde_json::from_str(whole.as_deref().unwrap_or(&self.text)).unwrap_or_default()
    }

    /// A field of it that is a text or a number, spelled as a text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        match self.raw().get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Its id or name; the empty text when it has none.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.name {
            Some(name) => plain_name(name).into_owned(),
            None => self.field("id").unwrap_or_default(),
        }
    }

    /// The bytes that stand in the document.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong with it.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// How a record is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read as what it should be.
    Unreadable,
    /// It has no id, or one that no command can name.
    Id,
    /// It has the id of a record before it.
    Doubled,
    /// It has a token that was never given.
    Token,
}

/// A record that needs a person, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTrouble {
    pub fault: Fault,
    /// The document.
    pub path: String,
    /// Where in it: `jobs[3]`.
    pub place: String,
    /// Its id, or what stands for one; may be empty.
    pub id: String,
    /// What is wrong.
    pub why: String,
}

impl RecordTrouble {
    /// One sentence without a final period.
    #[must_use]
    pub fn describe(&self) -> String {
        record_named(&self.path, &self.place, &self.id, &self.why)
    }

    /// No to what was asked of this record: `action` was not done with `subject`.
    #[must_use]
    pub fn refusal(&self, action: Action, subject: &str) -> Refusal {
        Refusal::RecordUnusable(Box::new(UnusableRecord {
            action,
            subject: subject.to_owned(),
            path: self.path.clone(),
            place: self.place.clone(),
            id: self.id.clone(),
            problem: self.why.clone(),
        }))
    }

    /// As it is shown beside records that are well: what can be made out of it, and what is wrong.
    #[must_use]
    pub fn shown(&self, raw: Value) -> Value {
        let mut fields = match raw {
            Value::Object(fields) => fields,
            other => serde_json::Map::from_iter([("value".to_owned(), other)]),
        };
        fields.insert("unreadable".to_owned(), json!({"place": self.place, "why": self.why}));
        Value::Object(fields)
    }
}

/// A record by all that is known of it, and what is wrong with it.
#[must_use]
pub fn record_named(path: &str, place: &str, id: &str, problem: &str) -> String {
    let id = match id {
        "" => String::new(),
        id => format!(" ({})", shown(id)),
    };
    format!("record {place}{id} of {path}: {problem}")
}

fn shown(id: &str) -> String {
    let cut: String = id.chars().take(SHOWN_LENGTH_MAX).collect();
    let more = if cut.len() < id.len() { "..." } else { "" };
    format!("`{}{more}`", cut.escape_debug())
}

impl<T: Row> Table<T> {
    /// The records that cannot be read, in their order.
    pub fn broken(&self) -> impl DoubleEndedIterator<Item = &BrokenRecord> + ExactSizeIterator {
        self.broken.iter()
    }

    /// The first record of this id or name that cannot be read.
    #[must_use]
    pub fn unreadable(&self, id: &str) -> Option<&BrokenRecord> {
        self.broken.iter().find(|broken| broken.id() == id)
    }

    /// That record, as a trouble.
    #[must_use]
    pub fn trouble_with(&self, id: &str) -> Option<RecordTrouble> {
        let at = self.broken.iter().position(|broken| broken.id() == id)?;
        self.broken.get(at).map(|broken| self.trouble_of(at, broken))
    }

    /// Whether there is a record with this id, be it readable or not.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.get(id).is_some() || self.unreadable(id).is_some()
    }

    /// Whether there is no record at all, readable or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.broken.is_empty()
    }

    /// Where in the document the record at `index` of [`Table::rows`] stands, counted with those that
    /// cannot be read.
    #[must_use]
    pub fn position(&self, index: usize) -> usize {
        index + self.broken.partition_point(|broken| broken.before <= index)
    }

    /// The records that cannot be read, as troubles.
    #[must_use]
    pub fn unreadables(&self) -> Vec<(RecordTrouble, &BrokenRecord)> {
        let numbered = self.broken.iter().enumerate();
        numbered.map(|(at, broken)| (self.trouble_of(at, broken), broken)).collect()
    }

    fn trouble_of(&self, at: usize, broken: &BrokenRecord) -> RecordTrouble {
        RecordTrouble {
            fault: Fault::Unreadable,
            path: self.path.clone(),
            place: place::<T>(broken.before + at, &broken.id()),
            id: broken.id(),
            why: broken.why.clone(),
        }
    }

    /// Every record that needs a person: unreadable, without an id that can be named, with the id of
    /// another, or with a token that was never given.
    ///
    /// In an archive nobody has to name a record, and an id may be that of several that can be told apart.
    #[must_use]
    pub fn troubles(&self) -> Vec<RecordTrouble> {
        let unreadable = self.unreadables().into_iter().map(|(trouble, _)| trouble);
        let is_well = |index: usize, fault: Fault| {
            let is_told_apart = || self.rows.get(index).is_some_and(|row| row.apart().is_some());
            self.is_archive() && (fault == Fault::Id || is_told_apart())
        };
        let mut nameless = self.nameless();
        nameless.retain(|(index, trouble)| !is_well(*index, trouble.fault));
        let readable = nameless.into_iter().chain(self.made_up()).map(|(_, trouble)| trouble);
        unreadable.chain(readable).collect()
    }

    /// Whether it holds what is finished, and not what is live.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        self.path != T::PATH
    }

    /// The records with tokens that were never given, with their index in [`Table::rows`].
    #[must_use]
    pub fn made_up(&self) -> Vec<(usize, RecordTrouble)> {
        let rows = self.rows().enumerate();
        let wrong = rows.filter_map(|(index, row)| Some((index, row.id(), token_problem(row.token())?)));
        wrong
            .map(|(index, id, why)| {
                let place = place::<T>(self.position(index), id);
                let (path, id) = (self.path.clone(), id.to_owned());
                (index, RecordTrouble { fault: Fault::Token, path, place, id, why })
            })
            .collect()
    }

    /// The record at `index` of [`Table::rows`], as one that has the id of another of any document.
    #[must_use]
    pub fn doubled(&self, index: usize, id: &str) -> RecordTrouble {
        RecordTrouble {
            fault: Fault::Doubled,
            path: self.path.clone(),
            place: place::<T>(self.position(index), id),
            id: id.to_owned(),
            why: "its id is that of another record".to_owned(),
        }
    }

    /// The records that can be read and have no id of their own, with their index in [`Table::rows`].
    #[must_use]
    pub fn nameless(&self) -> Vec<(usize, RecordTrouble)> {
        let mut found = Vec::new();
        let mut seen = HashSet::with_capacity(self.rows.len());
        for (index, row) in self.rows().enumerate() {
            let (fault, why) = match row.id_problem() {
                Some(why) => (Fault::Id, why),
                None if seen.insert(row.id()) => continue,
                None => (Fault::Doubled, "its id stands there twice".to_owned()),
            };
            let place = place::<T>(self.position(index), row.id());
            let (path, id) = (self.path.clone(), row.id().to_owned());
            found.push((index, RecordTrouble { fault, path, place, id, why }));
        }
        found
    }

    /// Takes out the records that cannot be read for which `leaves` says so and returns them.
    pub fn take_broken(&mut self, leaves: impl FnMut(&mut BrokenRecord) -> bool) -> Vec<BrokenRecord> {
        let out: Vec<BrokenRecord> = self.broken.extract_if(.., leaves).collect();
        self.changed |= !out.is_empty();
        out
    }
}

/// Where a record stands, as errors of reading name it too.
#[must_use]
pub fn place<T: Row>(position: usize, id: &str) -> String {
    if T::BY_NAME {
        format!("{}.{}", T::FIELD, shown(id).trim_matches('`'))
    } else {
        format!("{}[{position}]", T::FIELD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;
    use crate::domain::lock::Lock;
    use crate::domain::message::Message;

    fn jobs(bytes: &[u8]) -> Table<Job> {
        Table::read(Job::PATH, bytes).expect("reads")
    }

    fn ids<T: Row>(table: &Table<T>) -> Vec<&str> {
        table.rows().map(|row| row.id()).collect()
    }

    /// Each is one record among others that are well: it stops none, it is told where it is and why,
    /// and whatever is written keeps its bytes and its place.
    #[test]
    fn a_record_that_cannot_be_read_stops_no_other_and_keeps_its_bytes() {
        let deep = format!("{{\"id\":\"x\",\"y\":{}{}}}", "[".repeat(120), "]".repeat(120));
        for (record, id, why) in [
            ("null", "", "invalid type: null, expected an object"),
            ("7", "", "invalid type: integer `7`, expected an object"),
            ("[]", "", "invalid type: sequence, expected an object"),
            (r#"[{"id":"x"}]"#, "", "invalid type: sequence, expected an object"),
            (r#""x""#, "", "invalid type: string \"x\", expected an object"),
            (r#"{"id":"x","attempts":-1}"#, "x", "attempts: the number must be whole and not negative"),
            (r#"{"id":"x","timeout_seconds":1e300}"#, "x", "timeout_seconds: the number must be"),
            (r#"{"id":"x","timeout_seconds":1e999}"#, "x", "timeout_seconds: the number must be"),
            (r#"{"id":"x","status":null}"#, "x", "status: invalid type: null"),
            (r#"{"id":"x","status":{"a":1}}"#, "x", "status: invalid type: map"),
            (r#"{"id":"x","needs":{}}"#, "x", "needs: an object where a list of texts belongs"),
            (r#"{"id":["x"]}"#, "", "id: a list where a text belongs"),
            (r#"{"id":"x","id":"y"}"#, "y", "duplicate field `id`"),
            (r#"{"id":"x","description":"caf\udce9"}"#, "x", "it holds what is no Unicode"),
            (r#"{"id":"x","\udce9":1}"#, "x", "it holds what is no Unicode"),
            (&deep, "x", "it nests deeper than 100 levels"),
        ] {
            for (text, place) in [
                (format!(r#"{{"jobs": [{record}, {{"id":"a"}}, {{"id":"b"}}], "x": 1}}"#), "jobs[0]"),
                (format!(r#"{{"jobs": [{{"id":"a"}}, {record}, {{"id":"b"}}]}}"#), "jobs[1]"),
                (format!(r#"[{{"id":"a"}}, {{"id":"b"}}, {record}]"#), "jobs[2]"),
            ] {
                let mut table = jobs(text.as_bytes());
                assert_eq!(ids(&table), ["a", "b"], "{text}");
                let troubles = table.troubles();
                let [trouble] = troubles.as_slice() else { panic!("{troubles:?}") };
                assert_eq!((trouble.place.as_str(), trouble.id.as_str()), (place, id), "{text}");
                assert!(trouble.why.starts_with(why), "{}", trouble.why);
                assert!(table.unreadable(id).is_some() && (id.is_empty() || table.holds(id)), "{text}");
                table.get_mut("b").expect("there").edit(|job| job.kind = "y".to_owned());
                table.take(|job| job.id == "a");
                table.push(Job::new(
                    "c".to_owned(),
                    "x".to_owned(),
                    crate::domain::time::Timestamp::from_unix_millis(0).expect("time"),
                ));
                let written = table.write().expect("ours");
                assert!(written.contains(record), "{written}");
                let again = jobs(written.as_bytes());
                assert_eq!(ids(&again), ["b", "c"], "{written}");
                let moved = again.troubles()[0].place.clone();
                assert_eq!(
                    moved,
                    if place == "jobs[0]" { "jobs[0]" } else { "jobs[1]" }
                        .replace("jobs[1]", if place == "jobs[1]" { "jobs[0]" } else { "jobs[1]" })
                );
                assert_eq!(again.write().as_deref(), Ok(written.as_str()));
            }
        }
    }

    #[test]
    fn what_is_no_id_or_that_of_another_is_told_and_read_all_the_same() {
        let long = "x".repeat(200);
        let text = format!(
            r#"{{"jobs": [{{"id":"a"}}, {{"id":"a"}}, {{}}, {{"id":null}}, {{"id":7}}, {{"id":"x\u0007"}}, {{"id":"{long}"}}, null]}}"#
        );
        let told: Vec<(Fault, String)> =
            jobs(text.as_bytes()).troubles().into_iter().map(|one| (one.fault, one.place)).collect();
        let expected = [
            (Fault::Unreadable, 7),
            (Fault::Doubled, 1),
            (Fault::Id, 2),
            (Fault::Id, 3),
            (Fault::Id, 5),
            (Fault::Id, 6),
        ];
        assert_eq!(told, expected.map(|(fault, at)| (fault, format!("jobs[{at}]"))));
    }

    #[test]
    fn bytes_that_are_no_text_spoil_one_record_and_stay_what_they_are() {
        let bytes =
            b"{\"jobs\": [{\"id\":\"a\"}, {\"id\":\"x\",\"description\":\"caf\xe9\"}, {\"id\":\"b\"}]}";
        let mut table = jobs(bytes);
        assert_eq!(ids(&table), ["a", "b"]);
        assert_eq!(table.unreadable("x").map(BrokenRecord::why), Some("it holds what is no Unicode"));
        assert_eq!(
            table.unreadable("x").and_then(|one| one.field("description")).as_deref(),
            Some("caf\u{fffd}")
        );
        table.get_mut("a").expect("there").edit(|job| job.kind = "y".to_owned());
        let written = table.to_bytes().expect("ours");
        let record = b"{\"id\":\"x\",\"description\":\"caf\xe9\"}";
        assert!(written.windows(record.len()).any(|piece| piece == record));
        assert_eq!(jobs(&written).to_bytes(), Ok(written));
        // A message may hold what is no text, and may be read and marked.
        let bytes = b"{\"messages\": [{\"id\":\"m\",\"body\":\"caf\xe9 \\udce9 \\u2013\"}]}";
        let mut messages: Table<Message> = Table::read(Message::PATH, bytes).expect("reads");
        assert_eq!(messages.get("m").map(|one| one.body.as_str()), Some("caf\u{fffd} \u{fffd} \u{2013}"));
        messages.get_mut("m").expect("there").edit(|one| one.read = Some(true));
        let written = messages.to_bytes().expect("ours");
        let body = b"caf\xe9 \\udce9 \\u2013";
        assert!(written.windows(body.len()).any(|piece| piece == body));
    }

    #[test]
    fn the_name_of_a_lock_keeps_its_spelling() {
        let text = r#"{"locks": {"a\u002fb": {"locked_by": null}, "\udce9": {}, "c": null}}"#;
        let mut table = Table::<Lock>::read(Lock::PATH, text.as_bytes()).expect("reads");
        assert_eq!(ids(&table), ["a/b"]);
        assert_eq!(table.broken().map(BrokenRecord::id).collect::<Vec<_>>(), ["\u{fffd}", "c"]);
        table.get_mut("a/b").expect("there").edit(|lock| lock.token = Some(1));
        let written = table.write().expect("ours");
        for kept in [r#""a\u002fb": {"#, r#""\udce9": {}"#, r#""c": null"#] {
            assert!(written.contains(kept), "{written}");
        }
        assert_eq!(
            Table::<Lock>::read(Lock::PATH, written.as_bytes()).and_then(|again| again.write()),
            Ok(written)
        );
    }

    #[test]
    fn what_is_told_of_a_record_is_no_longer_than_people_need() {
        let id = "x".repeat(1_000);
        let text = format!(r#"{{"jobs": [{{"id":"{id}","status":null}}]}}"#);
        let described = jobs(text.as_bytes()).troubles()[0].describe();
        assert!(described.len() < 300, "{described}");
        for (id, told) in
            [("x".repeat(60), "x".repeat(60)), ("x".repeat(61), format!("{}...", "x".repeat(60)))]
        {
            let text = format!(r#"{{"jobs": [{{"id":"{id}","status":null}}]}}"#);
            let described = jobs(text.as_bytes()).troubles()[0].describe();
            assert!(described.starts_with(&format!("record jobs[0] (`{told}`) of ")), "{described}");
        }
    }

    #[test]
    fn what_can_be_made_out_of_a_record_is_shown_and_found() {
        let table = jobs(
            br#"{"jobs": [{"id":"a"}, null, {"id":7,"status":null,"n":[1]}, {"id":"b","x":1,"status":{}}]}"#,
        );
        let found: Vec<(String, String)> = table
            .broken()
            .zip(table.troubles())
            .map(|(broken, trouble)| {
                assert_eq!(trouble.shown(broken.raw())["unreadable"]["place"], trouble.place);
                (broken.id(), broken.text().to_owned())
            })
            .collect();
        let told = |id: &str, text: &str| (id.to_owned(), text.to_owned());
        assert_eq!(
            found,
            [
                told("", "null"),
                told("7", r#"{"id":7,"status":null,"n":[1]}"#),
                told("b", r#"{"id":"b","x":1,"status":{}}"#)
            ]
        );
        let of_b = table.unreadable("b").expect("there");
        assert_eq!(
            (of_b.field("x").as_deref(), of_b.field("status"), of_b.field("y")),
            (Some("1"), None, None)
        );
        assert!(of_b.why().starts_with("status: "), "{}", of_b.why());
        let trouble = table.trouble_with("b").expect("there");
        assert_eq!((trouble.place.as_str(), trouble.id.as_str()), ("jobs[3]", "b"));
        assert!(table.trouble_with("a").is_none() && table.trouble_with("c").is_none());
        let shown = trouble.shown(json!(7));
        assert_eq!(shown, json!({"value": 7, "unreadable": {"place": "jobs[3]", "why": trouble.why}}));
        assert_eq!(trouble.shown(json!({"id": "b"}))["id"], "b");
    }

    #[test]
    fn what_is_wrong_with_a_record_is_told_with_its_place() {
        use crate::domain::lease::TOKEN_MAX;
        let text = format!(
            r#"{{"jobs": [null, {{"id":"a"}}, {{"id":"b","token":{TOKEN_MAX}}}, null, {{}}, {{"id":"c","token":{TOKEN_MAX}}}]}}"#
        );
        let told: Vec<(Fault, String)> =
            jobs(text.as_bytes()).troubles().into_iter().map(|one| (one.fault, one.place)).collect();
        let at = |fault, place: usize| (fault, format!("jobs[{place}]"));
        assert_eq!(
            told,
            [
                at(Fault::Unreadable, 0),
                at(Fault::Unreadable, 3),
                at(Fault::Id, 4),
                at(Fault::Token, 2),
                at(Fault::Token, 5),
            ]
        );
    }
}
