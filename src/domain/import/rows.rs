//! One record of a table: what makes it readable, and what becomes of two with one id.

use super::super::high_water::HighWater;
use super::super::id::{JobId, MessageId, ServerName};
use super::super::job::{Job, JobStatus};
use super::super::json;
use super::super::lease::{token_anew, token_problem};
use super::super::lock::Lock;
use super::super::message::Message;
use super::super::pause::Pause;
use super::super::record::Record;
use super::super::server::Server;
use super::super::table::{Row, row_is_too_deep};
use super::super::time::Timestamp;
use super::fields::{rename, set_unreadable_aside, without_a_time, without_half_characters};
use super::pieces::RawRecord;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How far the records of a table are indented.
const ROW_INDENT: usize = 4;

/// How many characters of a value that is no time are repeated.
const SHOWN_LENGTH_MAX: usize = 60;

/// A sort of record that older writers left behind.
pub trait Imported: Row {
    /// Whether an object is one of them, where nothing else says so.
    fn is_record(record: &Value) -> bool;

    /// Whether a command can name it by this id, where it gets another if not.
    fn is_id(_id: &str) -> bool {
        true
    }

    /// Whether two with one id are one thing, seen at two times: where the id is a name, always.
    fn is_same(&self, _other: &Self) -> bool {
        true
    }

    /// When it began, for a new id.
    fn began_at(&self) -> Option<Timestamp> {
        None
    }

    /// The beginning of a new id.
    const ID_PREFIX: &'static str = "imported";

    /// Whether of two states of it the one to which more happened is always true, the earlier one as well.
    const IS_MARK: bool = false;

    /// Mends what is wrong with it as a whole, and says what.
    fn mend(&self, _record: &mut Map<String, Value>) -> Option<String> {
        None
    }

    /// What a reader should know of it that is not mended.
    fn remark(&self) -> Option<String> {
        None
    }
}

impl Imported for Job {
    const ID_PREFIX: &'static str = "job";

    fn is_record(record: &Value) -> bool {
        record.get("id").is_some()
    }

    fn is_id(id: &str) -> bool {
        JobId::new(id).is_ok()
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.kind, &self.branch, &self.commit, &self.description, self.created_at)
            == (&other.kind, &other.branch, &other.commit, &other.description, other.created_at)
    }

    fn began_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    fn mend(&self, record: &mut Map<String, Value>) -> Option<String> {
        if record.contains_key("unreadable_status") && !record.contains_key("status") {
            // Without a status it would pass for one that waits to be claimed.
            record.insert("status".to_owned(), json!("unreadable"));
            return None;
        }
        let holder = self.assigned_to.as_deref().unwrap_or_default();
        if !self.status.is_held() || ServerName::new(holder).is_ok() {
            return None;
        }
        for name in ["status", "assigned_to"] {
            rename(record, name, &format!("imported_{name}"));
        }
        record.insert("status".to_owned(), json!("queued"));
        record.insert("assigned_to".to_owned(), Value::Null);
        Some(format!("it is {} and no server holds it: it is queued again", self.status))
    }

    fn remark(&self) -> Option<String> {
        match &self.status {
            JobStatus::Other(word) => Some(format!("its status `{word}` is shown and never acted on")),
            _ => None,
        }
    }
}

impl Imported for Message {
    const ID_PREFIX: &'static str = "msg";

    fn is_record(record: &Value) -> bool {
        record.get("id").is_some() || (record.get("from").is_some() && record.get("to").is_some())
    }

    fn is_id(id: &str) -> bool {
        MessageId::new(id).is_ok()
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.from, &self.to, &self.subject, &self.body)
            == (&other.from, &other.to, &other.subject, &other.body)
    }

    fn began_at(&self) -> Option<Timestamp> {
        self.timestamp
    }
}

impl Imported for Server {
    fn is_record(record: &Value) -> bool {
        record.get("id").is_some()
    }
}

impl Imported for Lock {
    fn is_record(record: &Value) -> bool {
        record.get("locked_by").is_some()
    }
}

impl Imported for HighWater {
    const IS_MARK: bool = true;

    fn is_record(record: &Value) -> bool {
        record.get("token").is_some()
    }
}

impl Imported for Pause {
    fn is_record(record: &Value) -> bool {
        record.get("id").is_some()
    }
}

/// A record that can be used.
#[derive(Debug, Clone)]
pub(super) struct Good<T> {
    /// What it says.
    pub view: T,
    /// All of it.
    pub record: Map<String, Value>,
    /// How it is written.
    pub text: String,
    pub mended: Vec<String>,
    /// What is not, and may be good to know.
    pub remarks: Vec<String>,
    /// Whether something of it is gone.
    pub loses: bool,
}

/// Makes a record usable.
///
/// # Errors
/// Why it cannot be made so.
pub(super) fn usable<T: Imported>(piece: &RawRecord, now: Option<Timestamp>) -> Result<Good<T>, String> {
    if row_is_too_deep(&piece.text) {
        return Err(json::too_deep());
    }
    let whole = without_half_characters(&piece.text);
    let name_is_cut = piece.name.as_ref().is_some_and(|name| name.contains(char::REPLACEMENT_CHARACTER));
    let mut loses = whole.is_some() || name_is_cut;
    let mut mended = Vec::new();
    if whole.is_some() {
        mended.push("half a character in it becomes a replacement sign".to_owned());
    }
    if name_is_cut {
        mended.push("half a character in its name becomes a replacement sign".to_owned());
    }
    let text = whole.as_deref().unwrap_or(&piece.text);
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let Value::Object(mut record) = value else { return Err("it is no record".to_owned()) };
    let bad = set_unreadable_aside::<T>(&mut record).ok_or("it cannot be read as a record")?;
    if !bad.is_empty() {
        let names = bad.join("`, `");
        mended.push(format!("what cannot be read is kept as `unreadable_...`: `{names}`"));
    } else if Record::<T>::read(T::PATH, "", text, 0).is_err() {
        // Readable once each field stands in it once.
        mended.push("a field stands in it twice: the last is taken".to_owned());
        loses = true;
    }
    let mut view = view_of::<T>(&record, piece)?;
    if let Some(what) = view.mend(&mut record) {
        mended.push(what);
    }
    view = view_of(&record, piece)?;
    if let Some(why) = token_problem(view.token()) {
        let anew = now.and_then(|now| token_anew(view.token(), now));
        rename(&mut record, "token", "imported_token");
        record.extend(anew.map(|anew| ("token".to_owned(), json!(anew))));
        let goes_on = anew.map_or("it begins again".to_owned(), |anew| format!("it goes on from {anew}"));
        mended.push(format!("{why}: {goes_on}"));
        view = view_of(&record, piece)?;
    }
    if !T::is_id(view.id()) {
        let before = view.id().to_owned();
        let id = made_id(&view, &piece.text);
        mended.push(match before.as_str() {
            "" => format!("it has no id: it gets `{id}`"),
            bad => format!("no command can name it by its id `{bad}`: it gets `{id}`"),
        });
        give_id(&mut record, &id);
        view = view_of(&record, piece)?;
    }
    let text = if mended.is_empty() { piece.text.clone() } else { written(&record) };
    let mut remarks: Vec<String> = view.remark().into_iter().collect();
    remarks.extend(without_a_time(&record).iter().map(|name| no_time(name, &record)));
    Ok(Good { view, record, text, mended, remarks, loses })
}

fn no_time(name: &str, record: &Map<String, Value>) -> String {
    let told = record.get(name).and_then(Value::as_str).unwrap_or_default();
    let shown: String = told.chars().take(SHOWN_LENGTH_MAX).collect();
    format!("`{name}` holds no time but `{shown}`")
}

fn view_of<T: Imported>(record: &Map<String, Value>, piece: &RawRecord) -> Result<T, String> {
    let mut view: T =
        serde_json::from_value(Value::Object(record.clone())).map_err(|error| error.to_string())?;
    if let Some(name) = &piece.name {
        view.named(name);
    }
    Ok(view)
}

pub(super) fn written(record: &Map<String, Value>) -> String {
    json::pretty(record, ROW_INDENT)
}

/// Gives a record another id in its place; the one it had stays as `imported_id`.
fn give_id(record: &mut Map<String, Value>, id: &str) {
    if let Some(before) = record.get_mut("id") {
        let before = std::mem::replace(before, json!(id));
        record.insert("imported_id".to_owned(), before);
    } else {
        record.shift_insert(0, "id".to_owned(), json!(id));
    }
}

/// An id from what the record says, so that the same record gets the same one again.
fn made_id<T: Imported>(view: &T, text: &str) -> String {
    let seconds = view.began_at().map_or(0, Timestamp::unix_seconds);
    // FNV-1a: nothing rests on it but that two records seldom get one id.
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{}_{seconds}_{hash:08x}", T::ID_PREFIX)
}

/// The records that stand somewhere already, by id or name.
#[derive(Debug, Default)]
pub struct KnownRows {
    known: HashMap<String, KnownRow>,
    /// From when on tokens are given that follow one which was made up.
    pub(super) now: Option<Timestamp>,
}

#[derive(Debug)]
struct KnownRow {
    record: Value,
    path: String,
    index: usize,
}

/// What becomes of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// It is the first of its name.
    New,
    /// It stands there already, word for word.
    Again,
    /// It is one that went less far.
    Older,
    /// It takes the place of one that went less far, at this index of the same document.
    Newer(usize),
    /// Another has its name: it gets a new one.
    Renamed(String),
}

impl KnownRows {
    /// Nothing yet, at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: Some(now), ..Self::default() }
    }

    /// Whether a record of this id stands somewhere.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// Finds the place of a record that comes to stand at `index` of the document at `path`.
    pub(super) fn place<T: Imported>(
        &mut self,
        good: &mut Good<T>,
        name: Option<&str>,
        at: (&str, usize),
    ) -> Placement {
        let id = name.map_or_else(|| good.view.id().to_owned(), str::to_owned);
        let (path, index) = at;
        let known = |record: &Map<String, Value>| KnownRow {
            record: Value::Object(record.clone()),
            path: path.to_owned(),
            index,
        };
        let Some(first) = self.known.get_mut(&id) else {
            self.known.insert(id, known(&good.record));
            return Placement::New;
        };
        if first.record == Value::Object(good.record.clone()) {
            return Placement::Again;
        }
        let before: Option<T> = serde_json::from_value(first.record.clone()).ok();
        if let Some(mut before) = before {
            before.named(&id);
            if before.is_same(&good.view) {
                if first.path != path || before.progress() >= good.view.progress() {
                    return Placement::Older;
                }
                first.record = Value::Object(good.record.clone());
                return Placement::Newer(first.index);
            }
        }
        let free = (2_u64..).map(|number| format!("{id}_{number}")).find(|id| !self.known.contains_key(id));
        let free = free.unwrap_or_else(|| made_id(&good.view, &good.text));
        if !T::BY_NAME {
            give_id(&mut good.record, &free);
            good.text = written(&good.record);
        }
        self.known.insert(free.clone(), known(&good.record));
        Placement::Renamed(free)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::table::Progress;
    use super::*;

    fn read<T: Imported>(record: &Value) -> T {
        serde_json::from_value(record.clone()).expect("a record")
    }

    /// Each has gone further than the one before it.
    fn grows<T: Imported>(records: &[Value]) {
        let steps: Vec<Progress> = records.iter().map(|record| read::<T>(record).progress()).collect();
        assert!(steps.is_sorted_by(|one, next| one < next), "{steps:?} {records:?}");
    }

    #[test]
    fn of_one_thing_seen_at_two_times_the_later_has_gone_further() {
        let job = |status: &str| json!({"id": "a", "status": status});
        let steps = ["queued", "claimed", "running", "completed"].map(job);
        grows::<Job>(&steps);
        let progress = |record: &Value| read::<Job>(record).progress();
        assert_eq!(progress(&job("on hold")), progress(&steps[0]), "nobody acts on it");
        for end in ["failed", "cancelled", "dead"] {
            assert_eq!(progress(&job(end)), progress(&steps[3]), "{end}");
        }
        let mut message = json!({"id": "m", "ack_status": "pending"});
        let mut seen = vec![message.clone()];
        for (field, value) in [
            ("read", json!(true)),
            ("read_by", json!(["a"])),
            ("acknowledged_by", json!(["a"])),
            ("acknowledged_by", json!(["a", "b"])),
            ("ack_status", json!("completed")),
        ] {
            message[field] = value;
            seen.push(message.clone());
        }
        grows::<Message>(&seen);
        let (id, joined) = ("a", "2025-10-29T12:00:00Z");
        for first in [json!({"id": id, "machine": "m"}), json!({"id": id, "joined_at": joined})] {
            grows::<Server>(&[
                json!({"id": id}),
                first,
                json!({"id": id, "machine": "m", "joined_at": joined}),
            ]);
        }
        let lock = |by: &str, token: u64| json!({"locked_by": by, "token": token});
        grows::<Lock>(&[lock("", 1), lock("a", 1), lock("", 2), lock("a", 2)]);
        let held = |more: Value| {
            let mut lock = lock("a", 1);
            lock.as_object_mut().expect("a record").extend(more.as_object().expect("fields").clone());
            lock
        };
        let renewed = held(json!({"renewal": 1}));
        grows::<Lock>(&[
            held(json!({"renewal": 0})),
            renewed,
            held(json!({"done_at": "2025-10-29T12:00:00Z"})),
        ]);
        let under = |status: &str, token: u64| json!({"id": "a", "status": status, "token": token});
        let mut again = under("queued", 1);
        again["earlier"] = json!([{"status": "completed", "token": 1}]);
        grows::<Job>(&[
            // One that can never have been given tells nothing.
            under("queued", u64::MAX),
            under("running", u64::MAX),
            under("queued", 1),
            under("running", 1),
            under("completed", 1),
            again,
            under("queued", 2),
            under("claimed", 2),
        ]);
    }

    #[test]
    fn what_two_with_one_id_have_to_share_to_be_one_thing() {
        fn is_same<T: Imported>(record: &Value, (field, value): (&str, Value)) -> bool {
            let mut other = record.clone();
            other[field] = value;
            read::<T>(record).is_same(&read(&other))
        }
        let job = json!({"id": "a", "type": "build"});
        for (change, expected) in [
            (("status", json!("failed")), true),
            (("assigned_to", json!("build1")), true),
            (("type", json!("test")), false),
            (("branch", json!("main")), false),
            (("commit", json!("c0ffee")), false),
            (("description", json!("x")), false),
            (("created_at", json!("2025-10-29T12:00:00Z")), false),
        ] {
            assert_eq!(is_same::<Job>(&job, change.clone()), expected, "{change:?}");
        }
        let message = json!({"id": "m", "from": "a", "to": "b"});
        for (change, expected) in [
            (("read", json!(true)), true),
            (("from", json!("c")), false),
            (("to", json!("c")), false),
            (("subject", json!("x")), false),
            (("body", json!("x")), false),
        ] {
            assert_eq!(is_same::<Message>(&message, change.clone()), expected, "{change:?}");
        }
    }

    #[test]
    fn a_record_without_an_id_that_a_command_can_name_gets_the_same_one_each_time() {
        fn id<T: Imported>(text: &str) -> String {
            let piece = RawRecord { name: None, text: text.to_owned() };
            usable::<T>(&piece, None).expect("a record").view.id().to_owned()
        }
        // What was imported before is known again by these.
        assert_eq!(
            id::<Job>(r#"{"type":"x","created_at":"2025-10-29T12:00:00Z"}"#),
            "job_1761739200_87cb78e5"
        );
        assert_eq!(id::<Message>(r#"{"id":"a b","timestamp":"1970-01-01T00:00:07Z"}"#), "msg_7_32048309");
        assert_eq!(id::<Message>(r#"{"id":"msg_1"}"#), "msg_1");
        // A server or a pause is called what it is called.
        assert_eq!(id::<Server>(r#"{"id":"a b"}"#), "a b");
        assert_eq!(id::<Pause>(r#"{"id":""}"#), "");
    }

    #[test]
    fn what_is_told_of_a_value_that_is_no_time_is_no_longer_than_people_need() {
        let record = |time: &str| Map::from_iter([("started_at".to_owned(), json!(time))]);
        assert_eq!(
            no_time("started_at", &record("$(date -u)")),
            "`started_at` holds no time but `$(date -u)`"
        );
        let long = "x".repeat(SHOWN_LENGTH_MAX);
        assert_eq!(
            no_time("started_at", &record(&format!("{long}y"))),
            format!("`started_at` holds no time but `{long}`")
        );
    }
}
