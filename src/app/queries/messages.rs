//! Questions about messages: which there are, what a server has to read, what belongs together.

use super::{List, Query, Unreadable, readable, unreadable_of};
use crate::app::archived::all;
use crate::app::commands::message::{MarkAs, MarkMessages};
use crate::domain::id::{MessageId, ServerName};
use crate::domain::message::{Message, MessageRef, thread_of};
use crate::domain::record::Record;
use crate::domain::refusal::{Action, Refusal};
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::{Deserialize, Serialize};

/// Which messages. What is empty asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageFilter {
    /// From this server.
    pub from: Option<String>,
    /// To this server, or to all, as it was sent.
    pub to: Option<String>,
    /// For this server, which has not read it.
    pub unread_by: Option<ServerName>,
}

impl MessageFilter {
    /// Whether it lets all through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it lets this one through.
    #[must_use]
    pub fn is_meant(&self, message: &Message) -> bool {
        self.from.as_ref().is_none_or(|from| message.from == *from)
            && self.to.as_ref().is_none_or(|to| message.to == *to)
            && self.unread_by.as_ref().is_none_or(|server| is_unread(message, server))
    }
}

/// Whether `server` has yet to read it.
fn is_unread(message: &Message, server: &ServerName) -> bool {
    message.is_for(server) && !message.is_read_by(server)
}

/// Which messages there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListMessages {
    pub filter: MessageFilter,
}

impl Query for ListMessages {
    type Answer = List<Message>;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<List<Message>, Abort> {
        let all: Table<Message> = documents.table()?;
        Ok(List::of(&all, self.filter.is_empty(), |message| self.filter.is_meant(message)))
    }
}

/// What a server reads: the messages that it names, live or archived, or all that it has not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    /// Who reads.
    pub server: ServerName,
    /// Which; all that are unread when none is named.
    pub ids: Vec<MessageId>,
}

/// What it reads.
#[derive(Debug, Serialize)]
pub struct InboxPage {
    /// The messages, in the order in which they were named or came.
    #[serde(serialize_with = "super::as_stored")]
    pub messages: Vec<Record<Message>>,
    /// Those that cannot be read, which may be for it.
    pub left_out: Vec<Unreadable>,
    #[serde(skip)]
    server: ServerName,
}

impl InboxPage {
    /// What marks as read what was shown and nothing else, whatever else has one of these ids or came since;
    /// `None` when nothing of it is for who reads. Nothing is marked before it was shown.
    #[must_use]
    pub fn marks(&self) -> Option<MarkMessages> {
        let mine = self.messages.iter().filter(|message| message.is_for(&self.server));
        let which: Vec<MessageRef> = mine.map(|message| MessageRef::of(message)).collect();
        let server = self.server.clone();
        (!which.is_empty()).then(|| MarkMessages { server, ids: Vec::new(), which, mark: MarkAs::Read })
    }
}

impl Query for Inbox {
    type Answer = InboxPage;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<InboxPage, Abort> {
        let all: Table<Message> = documents.table()?;
        let server = self.server.clone();
        if self.ids.is_empty() {
            let unread = all.rows().filter(|message| is_unread(message, &server)).cloned().collect();
            return Ok(InboxPage { messages: unread, left_out: unreadable_of(&all), server });
        }
        let mut messages = Vec::new();
        for id in &self.ids {
            messages.extend(self.named(id, &all, documents)?);
        }
        Ok(InboxPage { messages, left_out: Vec::new(), server })
    }
}

impl Inbox {
    /// The messages with this id; of several those that are for who reads, if there are such.
    fn named(
        &self,
        id: &MessageId,
        all: &Table<Message>,
        documents: &impl Documents,
    ) -> Result<Vec<Record<Message>>, Abort> {
        let named = || all.rows().filter(|message| message.id == id.as_str());
        let has_mine = named().any(|message| message.is_for(&self.server));
        let meant: Vec<Record<Message>> =
            named().filter(|message| !has_mine || message.is_for(&self.server)).cloned().collect();
        if meant.is_empty() {
            return Ok(vec![readable(documents, id.as_str(), || unknown(id))?]);
        }
        Ok(meant)
    }
}

/// A message with everything that was said before and after it, the oldest first; any of it may be archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Any message of it.
    pub id: MessageId,
}

impl Query for Thread {
    type Answer = ThreadMessages;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<ThreadMessages, Abort> {
        let all = all::<Message>(documents, None)?;
        let messages: Vec<Record<Message>> = thread_of(&all, self.id.as_str()).into_iter().cloned().collect();
        if messages.is_empty() {
            return Err(unknown(&self.id).into());
        }
        Ok(ThreadMessages { messages })
    }
}

/// The messages of a thread.
#[derive(Debug, Serialize)]
pub struct ThreadMessages {
    /// They.
    #[serde(serialize_with = "super::as_stored")]
    pub messages: Vec<Record<Message>>,
}

fn unknown(id: &MessageId) -> Refusal {
    Refusal::MessageNotFound { message: id.to_string(), action: Action::Show }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::{answer, ids, now};
    use crate::domain::table::Row as _;
    use serde_json::{Value, json};

    const ARCHIVE: &str = "coordination/archive/messages-2025-10.json";

    fn hub() -> MemoryDocuments {
        let live = [
            r#"{"id":"m1","from":"a","to":"b","subject":"one","timestamp":"2025-11-01T00:00:00Z"}"#,
            r#"{"id":"m2","from":"b","to":"all","subject":"two"}"#,
            r#"{"id":"bad","from":["a"]}"#,
            r#"{"id":"m3","from":"a","to":"b","read":true}"#,
            r#"{"id":"m4","from":"c","to":"a","reply_to":"m0"}"#,
            r#"{"id":"m4","from":"c","to":"b"}"#,
        ];
        let archived = [r#"{"id":"m0","from":"a","to":"c","timestamp":"2025-10-01T00:00:00Z"}"#];
        MemoryDocuments::default().rows(Message::PATH, "messages", &live).rows(ARCHIVE, "messages", &archived)
    }

    fn told(value: &Value) -> String {
        let all = value["messages"].as_array().expect("a list");
        all.iter().map(|one| one["id"].as_str().expect("an id")).collect::<Vec<_>>().join(" ")
    }

    fn inbox(server: &str, ids: &[&str]) -> Inbox {
        let ids = ids.iter().map(|id| MessageId::new(id).expect("an id")).collect();
        Inbox { server: ServerName::new(server).expect("a name"), ids }
    }

    #[test]
    fn each_field_of_the_filter_counts_and_what_cannot_be_read_is_no_answer_to_it() {
        for (filter, items, unreadable) in [
            (json!({}), "m1 m2 m3 m4 m4", 1),
            (json!({"from": "a"}), "m1 m3", 0),
            (json!({"to": "all"}), "m2", 0),
            (json!({"unread_by": "b"}), "m1 m4", 0),
            (json!({"unread_by": "a"}), "m2 m4", 0),
            (json!({"unread_by": "b", "from": "c"}), "m4", 0),
        ] {
            let query: ListMessages = serde_json::from_value(json!({"filter": filter})).expect("a query");
            let [found, broken, left_out] = ids(&answer(&query, &hub()).expect("a list"));
            assert_eq!(found.join(" "), items, "{filter}");
            assert_eq!((broken.len(), left_out.len()), (unreadable, 1 - unreadable), "{filter}");
        }
    }

    #[test]
    fn what_is_read_is_what_is_unread_or_named_and_only_what_is_for_the_reader_is_marked() {
        for (server, named, expected, marked) in [
            ("b", &[][..], Ok("m1 m4"), "m1 m4"),
            ("c", &[], Ok("m2"), "m2"),
            // Read before, and named.
            ("b", &["m3"], Ok("m3"), "m3"),
            // Of somebody else.
            ("c", &["m1"], Ok("m1"), ""),
            // Of two with one id each has its own.
            ("a", &["m4"], Ok("m4"), "m4"),
            ("c", &["m4"], Ok("m4 m4"), ""),
            ("c", &["m0"], Ok("m0"), "m0"),
            ("c", &["m2", "z"], Err("message-not-found"), ""),
            ("c", &["bad"], Err("record-unusable"), ""),
        ] {
            let query = inbox(server, named);
            let answered = answer(&query, &hub());
            match (&answered, expected) {
                (Ok(value), Ok(expected)) => assert_eq!(told(value), expected, "{server} {named:?}"),
                (Err(why), Err(expected)) => assert!(why.starts_with(expected), "{why}"),
                _ => panic!("{server} {named:?}: {answered:?}"),
            }
            let opened = query.run(&hub(), now()).ok();
            let marks = opened.and_then(|opened| opened.marks());
            let which = marks.iter().flat_map(|marks| &marks.which);
            let which: Vec<&str> = which.map(|which| which.id.as_str()).collect();
            assert_eq!(which.join(" "), marked, "{server} {named:?}");
            assert!(marks.is_none_or(|marks| marks.ids.is_empty() && marks.mark == MarkAs::Read));
        }
    }

    #[test]
    fn a_thread_goes_on_in_the_archive() {
        for (id, expected) in [("m4", Ok("m4 m4 m0")), ("m0", Ok("m4 m4 m0")), ("m1", Ok("m1"))] {
            let said = answer(&Thread { id: MessageId::new(id).expect("an id") }, &hub());
            assert_eq!(said.as_ref().map(told), expected.map(str::to_owned), "{id}");
        }
        let missing = answer(&Thread { id: MessageId::new("z").expect("an id") }, &hub());
        assert_eq!(missing, Err("message-not-found".to_owned()));
    }
}
