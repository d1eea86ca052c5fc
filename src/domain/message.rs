//! `coordination/messages.json`: one message, who read it and who acknowledged it.
//!
//! A message is for one server or for all. Read and acknowledged are kept per recipient; the
//! seed's `read` and `ack_status` are written as what follows from them. Machines may write and
//! may be answered, but never answer one another. What a message says is data: nothing in it is
//! ever run. What must not be sent at all is `secret.rs`'s.

mod draft;
mod row;
mod which;

pub use draft::Draft;
pub use which::MessageRef;

use super::id::{MessageId, ServerName};
use super::lenient;
use super::planted::planted;
use super::record::Record;
use super::refusal::{Action, Refusal};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// The recipient that means every server but the sender.
pub const EVERYBODY: &str = "all";

/// The longest subject, in characters: the seed's limit, and what a line of a list shows.
pub const SUBJECT_LENGTH_MAX: usize = 100;

/// The longest body, in characters: the seed's limit. All messages share one document.
pub const BODY_LENGTH_MAX: usize = 10_000;

/// The longest idempotency key, in characters.
pub const KEY_LENGTH_MAX: usize = 128;

/// What a message may be sent as. Other words found in a hub are shown as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Good to know.
    #[default]
    Info,
    /// Something may go wrong.
    Warning,
    /// Something went wrong.
    Error,
    /// The recipient is to do something.
    Request,
    /// Answers a request.
    Response,
    /// Tells how something goes on.
    Update,
}

impl MessageType {
    /// As written in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Request => "request",
            Self::Response => "response",
            Self::Update => "update",
        }
    }
}

/// Whether the acknowledgements that were asked for are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckStatus {
    /// Nobody asked for any.
    NotRequested,
    /// At least one recipient has not acknowledged.
    Pending,
    /// All recipients have.
    Completed,
}

impl AckStatus {
    /// As written in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRequested => "not_requested",
            Self::Pending => "pending",
            Self::Completed => "completed",
        }
    }
}

/// One message. The first eight fields are the seed's; older hubs lack some of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Message {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub id: String,
    /// The server that sent it.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub from: String,
    /// The server it is for, or `all`.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub to: String,
    /// `info`, `warning`, `error`, `request`, `response`, `update`, or another writer's word.
    #[serde(rename = "type", default = "row::kind_info", deserialize_with = "row::kind")]
    pub kind: String,
    /// What it is about, in one line.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub subject: String,
    /// What it says. Never run, never trusted.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub body: String,
    /// When it was sent.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub timestamp: Option<Timestamp>,
    /// Whether all recipients have read it, for the seed's readers; see [`Message::is_read_by`].
    #[serde(default, deserialize_with = "lenient::truth")]
    pub read: Option<bool>,
    /// The message it answers.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The first message of its thread; missing in that one.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// A word of older writers, shown and left alone.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Whether the recipients are asked to acknowledge.
    #[serde(default, deserialize_with = "lenient::truth", skip_serializing_if = "Option::is_none")]
    pub ack_required: Option<bool>,
    /// `not_requested`, `pending` or `completed`, for older readers; see [`Message::ack_status`].
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub ack_status: Option<String>,
    /// Who acknowledged, in order.
    #[serde(default, deserialize_with = "row::marks", skip_serializing_if = "Vec::is_empty")]
    pub acknowledged_by: Vec<Mark>,
    /// Who read, in order.
    #[serde(default, deserialize_with = "row::marks", skip_serializing_if = "Vec::is_empty")]
    pub read_by: Vec<Mark>,
    /// Sending a second message with the same key gives the first.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether a machine sent it without a person or an agent behind it.
    #[serde(default, deserialize_with = "lenient::truth", skip_serializing_if = "Option::is_none")]
    pub auto: Option<bool>,
}

/// That a server read or acknowledged a message, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Mark {
    /// The server.
    pub by: String,
    /// When; older writers did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
}

impl Message {
    /// The message that `draft` becomes when it is sent; `original` is the one it answers.
    #[must_use]
    pub fn new(id: &MessageId, draft: &Draft, original: Option<&Self>, now: Timestamp) -> Self {
        Self {
            id: id.to_string(),
            from: draft.from.to_string(),
            to: draft.to.clone(),
            kind: draft.kind.as_str().to_owned(),
            subject: draft.subject.clone(),
            body: draft.body.clone(),
            timestamp: Some(now),
            read: Some(false),
            reply_to: draft.reply_to.as_ref().map(ToString::to_string),
            thread: original.map(|original| original.thread_id().to_owned()),
            priority: None,
            ack_required: draft.ack.then_some(true),
            ack_status: draft.ack.then(|| AckStatus::Pending.as_str().to_owned()),
            acknowledged_by: Vec::new(),
            read_by: Vec::new(),
            key: draft.key.clone(),
            auto: draft.auto.then_some(true),
        }
    }

    /// The id of the first message of its thread: its own when it is that.
    #[must_use]
    pub fn thread_id(&self) -> &str {
        self.thread.as_deref().unwrap_or(&self.id)
    }

    /// Whether a machine sent it.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.auto == Some(true)
    }

    /// Whether it is for every server but the sender.
    #[must_use]
    pub fn is_for_everybody(&self) -> bool {
        self.to.eq_ignore_ascii_case(EVERYBODY)
    }

    /// Whether `server` is a recipient; nobody receives what he sent to all.
    #[must_use]
    pub fn is_for(&self, server: &ServerName) -> bool {
        self.to == server.as_str() || (self.is_for_everybody() && self.from != server.as_str())
    }

    /// Whether `server` has read it. Older writers had one flag for all recipients: it counts
    /// for the single recipient, and for all as long as nobody has read it by name.
    #[must_use]
    pub fn is_read_by(&self, server: &ServerName) -> bool {
        let by_flag = self.to == server.as_str()
            || (self.is_for_everybody() && self.read_by.is_empty() && self.is_for(server));
        // Who acknowledged it has read it.
        has(&self.read_by, server) || has(&self.acknowledged_by, server) || (by_flag && self.is_read_by_all())
    }

    /// Whether `read` speaks for all whom it is for. An older writer sets it for the one who acknowledges,
    /// whom we note as a reader, too.
    fn is_read_by_all(&self) -> bool {
        let is_of_one =
            self.acknowledged_by.iter().any(|mark| self.read_by.iter().all(|one| one.by != mark.by));
        self.read == Some(true) && !(self.is_for_everybody() && is_of_one)
    }

    /// Notes that `server` has read it; `servers` are all that belong to the hub. Tells whether
    /// that was news; what is for somebody else does not become read.
    pub fn mark_read(&mut self, server: &ServerName, now: Timestamp, servers: &[ServerName]) -> bool {
        if !self.is_for(server) || self.is_read_by(server) {
            return false;
        }
        if planted("reading-makes-unread") {
            self.read_by.clear();
        }
        if planted("reads-for-all") {
            self.read_by.extend(servers.iter().map(|one| Mark::new(one, now)));
        }
        self.read_by.push(Mark::new(server, now));
        // Once true it stays: a server that joins later does not make it unread for the others.
        self.read = Some(self.read == Some(true) || self.all_are_in(&self.read_by, servers));
        true
    }

    /// The refusal to mark the message of others.
    #[must_use]
    pub fn not_for(&self, caller: &ServerName, action: Action) -> Refusal {
        let (message, from, to) = (self.id.clone(), self.from.clone(), self.to.clone());
        Refusal::NotRecipient { message, from, to, caller: caller.to_string(), action }
    }

    /// Notes that `server` acknowledges it, and so has read it; `servers` are all that belong to
    /// the hub. Tells whether that was news.
    ///
    /// # Errors
    /// Forbidden when it is not for `server`.
    pub fn acknowledge(
        &mut self,
        server: &ServerName,
        now: Timestamp,
        servers: &[ServerName],
    ) -> Result<bool, Refusal> {
        if !self.is_for(server) {
            return Err(self.not_for(server, Action::AcknowledgeMessage));
        }
        let newly_read = self.mark_read(server, now, servers);
        if has(&self.acknowledged_by, server) {
            return Ok(newly_read);
        }
        self.acknowledged_by.push(Mark::new(server, now));
        self.ack_status = Some(self.ack_status(servers).as_str().to_owned());
        Ok(true)
    }

    /// Whether `server` is asked to acknowledge it and has not.
    #[must_use]
    pub fn needs_ack_from(&self, server: &ServerName) -> bool {
        let done_by_flag = self.acknowledged_by.is_empty()
            && self.ack_status.as_deref() == Some(AckStatus::Completed.as_str());
        self.ack_required == Some(true)
            && self.is_for(server)
            && !has(&self.acknowledged_by, server)
            && !done_by_flag
    }

    /// What follows from who acknowledged it; `servers` are all that belong to the hub.
    #[must_use]
    pub fn ack_status(&self, servers: &[ServerName]) -> AckStatus {
        if !self.acknowledged_by.is_empty() && self.all_are_in(&self.acknowledged_by, servers) {
            AckStatus::Completed
        } else if self.ack_required == Some(true) {
            AckStatus::Pending
        } else {
            AckStatus::NotRequested
        }
    }

    /// Whether none of `servers`, all that belong to the hub, has yet to read or acknowledge it: also
    /// when it is for a name that is none of them.
    #[must_use]
    pub fn is_settled(&self, servers: &[ServerName]) -> bool {
        let mut recipients = servers.iter().filter(|server| self.is_for(server));
        if servers.is_empty() {
            // Who belongs to the hub is not known.
            let is_read = self.read == Some(true);
            let is_acknowledged = self.ack_status.as_deref() == Some(AckStatus::Completed.as_str());
            return is_read && (self.ack_required != Some(true) || is_acknowledged);
        }
        recipients
            .all(|server| (self.is_read_by_all() || self.is_read_by(server)) && !self.needs_ack_from(server))
    }

    /// After a server left: what it says of all recipients, if those that stay have read or
    /// acknowledged it.
    pub fn settle(&mut self, servers: &[ServerName]) {
        if !self.is_for_everybody() || servers.is_empty() {
            return;
        }
        if !self.read_by.is_empty() && self.all_are_in(&self.read_by, servers) {
            self.read = Some(true);
        }
        if self.ack_status.as_deref() == Some(AckStatus::Pending.as_str()) {
            self.ack_status = Some(self.ack_status(servers).as_str().to_owned());
        }
    }

    /// Whether `marks` names every recipient.
    fn all_are_in(&self, marks: &[Mark], servers: &[ServerName]) -> bool {
        if self.is_for_everybody() {
            let named: HashSet<&str> = marks.iter().map(|mark| mark.by.as_str()).collect();
            servers.iter().filter(|server| self.is_for(server)).all(|server| named.contains(server.as_str()))
        } else {
            marks.iter().any(|mark| mark.by == self.to)
        }
    }
}

impl Mark {
    fn new(server: &ServerName, now: Timestamp) -> Self {
        Self { by: server.to_string(), at: Some(now) }
    }
}

fn has(marks: &[Mark], server: &ServerName) -> bool {
    marks.iter().any(|mark| mark.by == server.as_str())
}

/// The messages of the thread that the message `id` belongs to, the oldest first. Empty when no
/// message has this id or names it.
///
/// Messages belong together when one names the other as its thread or as what it answers, so
/// that replies of writers that know no threads are found as well, and replies to a message that
/// is nowhere.
#[must_use]
pub fn thread_of<'a>(rows: &'a [Record<Message>], id: &str) -> Vec<&'a Record<Message>> {
    let mut naming: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        for name in names_in(row) {
            naming.entry(name).or_default().push(index);
        }
    }
    let mut found = HashSet::new();
    let mut open = vec![id];
    while let Some(name) = open.pop() {
        // A name is taken out when it is followed, so each is followed once.
        for index in naming.remove(name).unwrap_or_default() {
            if let Some(row) = rows.get(index).filter(|_| found.insert(index)) {
                open.extend(names_in(row));
            }
        }
    }
    let mut thread: Vec<(Option<Timestamp>, usize, &Record<Message>)> = rows
        .iter()
        .enumerate()
        .filter(|(index, _)| found.contains(index))
        .map(|(index, row)| (row.timestamp, index, row))
        .collect();
    thread.sort_unstable_by_key(|(at, index, _)| (*at, *index));
    thread.into_iter().map(|(_, _, row)| row).collect()
}

/// The ids a message holds: its own, its thread's, that of what it answers.
fn names_in(message: &Message) -> impl Iterator<Item = &str> {
    [Some(message.id.as_str()), message.thread.as_deref(), message.reply_to.as_deref()]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::{Class, Code};
    use crate::domain::table::{Row as _, Table};
    use serde_json::Value;

    const NOW: &str = "2025-10-29T12:00:00Z";

    fn now() -> Timestamp {
        Timestamp::parse(NOW).expect("time")
    }

    fn server(name: &str) -> ServerName {
        ServerName::new(name).expect("name")
    }

    fn fleet() -> Vec<ServerName> {
        ["build1", "build2", "build3"].map(server).to_vec()
    }

    fn message(json: &str) -> Message {
        serde_json::from_str(json).expect(json)
    }

    fn draft() -> Draft {
        Draft {
            from: server("build1"),
            to: "build2".into(),
            kind: MessageType::Info,
            subject: "Hello".into(),
            body: "one\ntwo".into(),
            reply_to: None,
            ack: false,
            key: None,
            auto: false,
        }
    }

    fn sent(draft: &Draft, original: Option<&Message>) -> Message {
        Message::new(&MessageId::new("msg_1").expect("id"), draft, original, now())
    }

    fn table(messages: &str) -> Table<Message> {
        Table::read(Message::PATH, format!("{{\"messages\":[{messages}]}}").as_bytes()).expect(messages)
    }

    #[test]
    fn a_new_message_begins_like_one_of_the_seed() {
        let mut draft = draft();
        assert_eq!(
            serde_json::to_string(&sent(&draft, None)).expect("json"),
            r#"{"id":"msg_1","from":"build1","to":"build2","type":"info","subject":"Hello","body":"one\ntwo","timestamp":"2025-10-29T12:00:00Z","read":false}"#
        );
        draft.ack = true;
        draft.auto = true;
        draft.key = Some("k".into());
        draft.reply_to = MessageId::new("msg_0").ok();
        let original = message(r#"{"id":"msg_0"}"#);
        let text = serde_json::to_string(&sent(&draft, Some(&original))).expect("json");
        let further = r#""read":false,"reply_to":"msg_0","thread":"msg_0","ack_required":true,"ack_status":"pending","key":"k","auto":true}"#;
        assert!(text.ends_with(further), "{text}");
    }

    #[test]
    fn the_messages_of_older_writers_are_read() {
        for (text, kind, marks) in [
            (
                r#"{"id":"a","from":"build1","to":"build2","type":"request","subject":"s","body":"b","timestamp":"2025-11-13 01:00","read":true}"#,
                "request",
                0,
            ),
            (
                r#"{"id":"a","to":"all","ack_required":false,"ack_status":"not_requested","acknowledged_by":[]}"#,
                "info",
                0,
            ),
            (
                r#"{"id":"a","type":null,"read":null,"priority":"high","tags":["x"],"acknowledged_by":null}"#,
                "info",
                0,
            ),
            (r#"{"id":7,"type":"heartbeat","acknowledged_by":["build1","build2"]}"#, "heartbeat", 2),
            (
                r#"{"type":"","acknowledged_by":[{"server":"build1","timestamp":"2025-11-13T05:08:10.86Z"},null,"build2"]}"#,
                "info",
                3,
            ),
            (r#"{"acknowledged_by":"build1","read":"false"}"#, "info", 1),
        ] {
            let read = message(text);
            assert_eq!((read.kind.as_str(), read.acknowledged_by.len()), (kind, marks), "{text}");
        }
        for text in [r#"{"to":["build1","build2"]}"#, r#"{"read_by":[["build1"]]}"#] {
            assert!(serde_json::from_str::<Message>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_others_noted_stays_as_they_wrote_it() {
        let before = r#"{"tags":["x"],"id":"a","from":"build1","to":"all","acknowledged_by":["build2",{"timestamp":"2025-11-13 05:08","server":"build3","how":1}],"read":false}"#;
        let mut table = table(before);
        let fleet = [fleet(), vec![server("build4")]].concat();
        table
            .get_mut("a")
            .expect("there")
            .edit(|view| view.acknowledge(&server("build4"), now(), &fleet).expect("for all"));
        let after: Value = table.get("a").expect("there").raw();
        assert_eq!(
            after.to_string(),
            before.replace(r#""how":1}]"#, &format!(r#""how":1}},{{"by":"build4","at":"{NOW}"}}]"#)).replace(
                r#""read":false}"#,
                &format!(
                    r#""read":false,"ack_status":"completed","read_by":[{{"by":"build4","at":"{NOW}"}}]}}"#
                )
            )
        );
    }

    /// What a case does to a draft that is good.
    type Change = fn(&mut Draft);

    fn check(change: Change) -> Result<(), Refusal> {
        let mut draft = draft();
        change(&mut draft);
        draft.check(&|name| name == "build2")
    }

    fn secret() -> String {
        ["gh", "p_", &"a1B2c3".repeat(6)].concat()
    }

    #[test]
    fn good_drafts_may_be_sent() {
        let changes: [(&str, Change); 5] = [
            ("as it is", |_| {}),
            ("to all", |it| it.to = "all".into()),
            ("longest subject", |it| it.subject = "ü".repeat(100)),
            ("longest body", |it| it.body = "ü".repeat(10_000)),
            ("no body", |it| it.body.clear()),
        ];
        for (case, change) in changes {
            assert_eq!(check(change), Ok(()), "{case}");
        }
    }

    #[test]
    fn a_key_may_be_as_long_as_it_may() {
        check(|it| it.key = Some("ü".repeat(KEY_LENGTH_MAX))).expect("long enough is not too long");
    }

    #[test]
    fn who_marked_a_message_may_be_a_number() {
        let marks = message(r#"{"id":"a","read_by":[{"server":7,"at":1761739200},{"by":null}]}"#).read_by;
        assert_eq!(marks.first().map(|mark| mark.by.as_str()), Some("7"));
        assert_eq!(marks.first().and_then(|mark| mark.at), Timestamp::parse("2025-10-29T12:00:00Z"));
        assert_eq!(message(r#"{"id":"a","read_by":""}"#).read_by.len(), 0);
        assert_eq!(message(r#"{"id":"a","read_by":"b"}"#).read_by.len(), 1);
    }

    #[test]
    fn bad_drafts_are_refused_with_the_reason() {
        use Code::{
            CharacterNotAllowed, CredentialFound, ServerNotFound, TextEmpty, TextTooLong, ValueInvalid,
        };
        let changes: [(Code, &str, Change); 12] = [
            (ServerNotFound, r#""nobody""#, |it| it.to = "nobody".into()),
            (ServerNotFound, r#""\u001b[J""#, |it| it.to = "\u{1b}[J".into()),
            (TextEmpty, r#""subject""#, |it| it.subject = " \t".into()),
            (TextTooLong, r#""length":101"#, |it| it.subject = "ü".repeat(101)),
            (CharacterNotAllowed, r#""subject""#, |it| it.subject = "a\nb".into()),
            (TextTooLong, r#""length":10001"#, |it| it.body = "ü".repeat(10_001)),
            (ValueInvalid, r#""key""#, |it| it.key = Some(String::new())),
            (ValueInvalid, r#""key""#, |it| it.key = Some("ü".repeat(KEY_LENGTH_MAX + 1))),
            (ValueInvalid, r#""key""#, |it| it.key = Some("a\nb".into())),
            (CredentialFound, "a GitHub token", |it| it.body = secret()),
            (CredentialFound, r#""subject""#, |it| it.subject = secret()),
            (CredentialFound, r#""key""#, |it| it.key = Some(secret())),
        ];
        for (code, part, change) in changes {
            let refusal = check(change).expect_err(part);
            assert_eq!(refusal.code(), code, "{part}");
            let told = refusal.to_string();
            assert!(told.contains(part), "{part}: {told}");
            assert!(!told.contains(&secret()), "{part}: repeats the secret");
        }
    }

    #[test]
    fn machines_do_not_answer_machines() {
        for (answer, original, allowed) in
            [(true, true, false), (true, false, true), (false, true, true), (false, false, true)]
        {
            let original = Message { auto: original.then_some(true), ..sent(&draft(), None) };
            let answer = Draft { auto: answer, ..draft() };
            assert_eq!(answer.reply_allowed(&original).is_ok(), allowed, "{answer:?}");
        }
    }

    #[test]
    fn an_answer_stays_in_the_thread() {
        for (original, thread) in [(r#"{"id":"b","thread":"a"}"#, "a"), (r#"{"id":"b"}"#, "b")] {
            assert_eq!(
                sent(&draft(), Some(&message(original))).thread.as_deref(),
                Some(thread),
                "{original}"
            );
        }
    }

    #[test]
    fn whom_it_is_for_and_who_has_read_it() {
        for (text, reader, is_for, is_read) in [
            (r#"{"from":"build1","to":"build2","read":false}"#, "build2", true, false),
            (r#"{"from":"build1","to":"build2","read":true}"#, "build2", true, true),
            (r#"{"from":"build1","to":"build2","read":true}"#, "build3", false, false),
            (r#"{"from":"build1","to":"build2"}"#, "build2", true, false),
            (r#"{"from":"build1","to":"build2","read_by":["build2"]}"#, "build2", true, true),
            (r#"{"from":"build1","to":"all","read":true}"#, "build2", true, true),
            (r#"{"from":"build1","to":"all","read":false}"#, "build2", true, false),
            (r#"{"from":"build1","to":"all","read":true,"read_by":[{"by":"build2"}]}"#, "build2", true, true),
            (
                r#"{"from":"build1","to":"all","read":true,"read_by":[{"by":"build2"}]}"#,
                "build3",
                true,
                false,
            ),
            (r#"{"from":"build1","to":"ALL"}"#, "build1", false, false),
            // One of them has acknowledged it, by a script that sets all flags.
            (
                r#"{"from":"build1","to":"all","read":true,"acknowledged_by":["build2"]}"#,
                "build2",
                true,
                true,
            ),
            (
                r#"{"from":"build1","to":"all","read":true,"acknowledged_by":["build2"]}"#,
                "build3",
                true,
                false,
            ),
            (
                r#"{"from":"build1","to":"all","read":true,"acknowledged_by":["build2"],"read_by":["build2"]}"#,
                "build3",
                true,
                false,
            ),
            (
                r#"{"from":"build1","to":"build3","read":true,"acknowledged_by":["build2"]}"#,
                "build3",
                true,
                true,
            ),
        ] {
            let (message, reader) = (message(text), server(reader));
            assert_eq!(
                (message.is_for(&reader), message.is_read_by(&reader)),
                (is_for, is_read),
                "{text} {reader}"
            );
        }
    }

    #[test]
    fn the_flag_follows_from_who_has_read_it() {
        for (to, readers, flags) in [
            ("build2", vec!["build3", "build2", "build2"], vec![(false, false), (true, true), (false, true)]),
            (
                "all",
                vec!["build1", "build2", "build2", "build3"],
                vec![(false, false), (true, false), (false, false), (true, true)],
            ),
        ] {
            let mut message = sent(&Draft { to: to.into(), ..draft() }, None);
            let found: Vec<(bool, bool)> = readers
                .iter()
                .map(|reader| {
                    (message.mark_read(&server(reader), now(), &fleet()), message.read == Some(true))
                })
                .collect();
            assert_eq!(found, flags, "{to} {readers:?}");
        }
        let mut without_flag = message(r#"{"id":"a","from":"build1","to":"all"}"#);
        without_flag.mark_read(&server("build2"), now(), &fleet());
        assert_eq!(without_flag.read, Some(false), "the filter `.read == false` of the seed finds it");
    }

    #[test]
    fn acknowledgements_are_counted_by_recipient() {
        let mut message = sent(&Draft { to: "all".into(), ack: true, ..draft() }, None);
        for (by, expected, status) in [
            ("build1", Err(Class::Forbidden), "pending"),
            ("build2", Ok(true), "pending"),
            ("build2", Ok(false), "pending"),
            ("build3", Ok(true), "completed"),
        ] {
            let found = message.acknowledge(&server(by), now(), &fleet()).map_err(|no| no.class());
            assert_eq!((found, message.ack_status.as_deref()), (expected, Some(status)), "{by}");
        }
        assert_eq!((message.read, message.acknowledged_by.len()), (Some(true), 2));
    }

    #[test]
    fn who_still_has_to_acknowledge() {
        for (text, by, needed) in [
            (r#"{"from":"build1","to":"build2","ack_required":true}"#, "build2", true),
            (r#"{"from":"build1","to":"build2","ack_required":true}"#, "build3", false),
            (r#"{"from":"build1","to":"build2"}"#, "build2", false),
            (
                r#"{"from":"build1","to":"build2","ack_required":"true","acknowledged_by":["build2"]}"#,
                "build2",
                false,
            ),
            (
                r#"{"from":"build1","to":"all","ack_required":true,"acknowledged_by":["build2"],"ack_status":"completed"}"#,
                "build3",
                true,
            ),
            (
                r#"{"from":"build1","to":"build2","ack_required":true,"ack_status":"completed"}"#,
                "build2",
                false,
            ),
        ] {
            assert_eq!(message(text).needs_ack_from(&server(by)), needed, "{text} {by}");
        }
    }

    #[test]
    fn a_message_is_settled_when_nobody_has_yet_to_read_or_acknowledge_it() {
        let hub = ["build1", "build2", "build3", "build4"].map(server);
        for (fields, is_settled) in [
            (r#""to":"build2","read":false"#, false),
            (r#""to":"build2","read":true"#, true),
            (r#""to":"build2","read":true,"ack_required":true"#, false),
            (r#""to":"build2","read":false,"ack_required":true,"acknowledged_by":["build2"]"#, true),
            (r#""to":"build2","read":false,"acknowledged_by":["build3"]"#, false),
            // It is for nobody who is there.
            (r#""to":"build9","read":false,"ack_required":true"#, true),
            (r#""to":"all","read":true"#, true),
            (r#""to":"all","read":false,"read_by":["build2","build3"]"#, false),
            (r#""to":"all","read":false,"read_by":["build2","build3","build4"]"#, true),
            (r#""to":"all","read":true,"ack_required":true"#, false),
            // The flag is of the one who acknowledged it, unless that one is known as a reader.
            (r#""to":"all","read":true,"acknowledged_by":["build2"],"read_by":["build3"]"#, false),
            (r#""to":"all","read":true,"acknowledged_by":["build2"],"read_by":["build2"]"#, true),
        ] {
            let message = message(&format!(r#"{{"id":"m","from":"build1",{fields}}}"#));
            assert_eq!(message.is_settled(&hub), is_settled, "{fields}");
        }
        // Where nobody knows who there is, the flags alone say so.
        for (fields, is_settled) in [
            (r#""read":true"#, true),
            (r#""read":false"#, false),
            (r#""ack_status":"completed""#, false),
            (r#""read":true,"ack_required":true,"ack_status":"pending""#, false),
            (r#""read":true,"ack_required":true,"ack_status":"completed""#, true),
            (r#""read":false,"ack_required":true,"ack_status":"completed""#, false),
        ] {
            let message = message(&format!(r#"{{"id":"m","from":"build1","to":"all",{fields}}}"#));
            assert_eq!(message.is_settled(&[]), is_settled, "{fields}");
        }
    }

    #[test]
    fn when_a_server_left_a_message_to_all_says_what_is_so_of_those_that_stay() {
        let stay = ["build1", "build2"].map(server);
        let read = r#""read":false,"read_by":["build2"]"#;
        let acknowledged =
            r#""read":true,"ack_required":true,"ack_status":"pending","acknowledged_by":["build2"]"#;
        for (to, fields, stay, now_read, ack_status) in [
            ("all", read, &stay[..], true, None),
            ("all", acknowledged, &stay, true, Some("completed")),
            (
                "all",
                r#""read":false,"ack_required":true,"ack_status":"pending""#,
                &stay,
                false,
                Some("pending"),
            ),
            ("all", r#""read":false,"read_by":["build3"]"#, &stay, false, None),
            // Of nobody that all have read it.
            ("all", r#""read":false"#, &stay[..1], false, None),
            ("all", read, &[], false, None),
            ("all", acknowledged, &[], true, Some("pending")),
            // What is for one says so when that one reads it.
            ("build2", read, &stay, false, None),
            ("build2", acknowledged, &stay, true, Some("pending")),
        ] {
            let mut message = message(&format!(r#"{{"id":"m","from":"build1","to":"{to}",{fields}}}"#));
            message.settle(stay);
            let told = (message.read, message.ack_status.as_deref());
            assert_eq!(told, (Some(now_read), ack_status), "{to} {fields} {stay:?}");
        }
    }

    #[test]
    fn a_message_that_no_command_can_name_says_so() {
        for (id, is_named) in [("msg_1", true), ("", false), ("a b", false)] {
            let message = message(&format!(r#"{{"id":"{id}"}}"#));
            assert_eq!(message.id_problem().is_none(), is_named, "{id}");
            assert!(message.id_problem().is_none_or(|why| why.contains(id)), "{id}");
        }
    }

    #[test]
    fn a_thread_is_found_from_any_of_its_messages_in_order_of_time() {
        let table = table(
            r#"{"id":"c","thread":"a","reply_to":"b","timestamp":"2025-10-29T12:02:00Z"},
               {"id":"a","timestamp":"2025-10-29T12:00:00Z"},
               {"id":"x","timestamp":"2025-10-29T12:00:30Z"},
               {"id":"b","reply_to":"a","timestamp":"2025-10-29 12:01"},
               {"id":"d","reply_to":"c","timestamp":"2025-10-29T12:02:00Z"},
               {"id":"o","thread":"archived","reply_to":"archived"},
               {"id":"loop","reply_to":"loop"},
               {"id":"","reply_to":""},{"subject":"no id"}"#,
        );
        let rows: Vec<Record<Message>> = table.rows().cloned().collect();
        let ids = |id: &str| thread_of(&rows, id).iter().map(|row| row.id.clone()).collect::<Vec<_>>();
        for (id, thread) in [
            ("a", vec!["a", "b", "c", "d"]),
            ("d", vec!["a", "b", "c", "d"]),
            ("x", vec!["x"]),
            ("o", vec!["o"]),
            ("archived", vec!["o"]),
            ("loop", vec!["loop"]),
            ("nowhere", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(ids(id), thread, "{id}");
        }
    }
}
