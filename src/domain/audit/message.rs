//! What must hold of a message, and what one commit may make of it.

use super::audited::Audited;
use super::made::Made;
use super::state::place;
use crate::domain::finding::{About, Finding, HubFact, Severity, Thing, Unread};
use crate::domain::id::{MessageId, ServerName};
use crate::domain::message::{EVERYBODY, Mark, Message};
use crate::domain::table::Table;
use std::collections::HashSet;

impl Audited for Message {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = MessageId::new(&self.id) {
            found.push(of(self, HubFact::BadId(error.into())).severity(Severity::Warning));
        }
        if !self.to.eq_ignore_ascii_case(EVERYBODY) && ServerName::new(&self.to).is_err() {
            found.push(of(self, HubFact::BadRecipient { to: self.to.clone() }));
        }
    }

    fn judge_all(live: &Table<Self>, archives: &[Table<Self>], found: &mut Vec<Finding>) {
        let known: HashSet<&str> = live
            .rows()
            .chain(archives.iter().flat_map(Table::rows))
            .map(|message| message.id.as_str())
            .collect();
        for (index, message) in live.rows().enumerate() {
            for (is_thread, id) in [(false, &message.reply_to), (true, &message.thread)] {
                if let Some(id) = id.as_deref().filter(|id| !known.contains(id)) {
                    let fact = HubFact::UnknownMessage { message: id.to_owned(), is_thread };
                    let place = place::<Self>(live.position(index), &message.id);
                    found.push(of(message, fact).at(live.path()).place(place));
                }
            }
        }
    }

    fn judge_step(before: Option<&Self>, after: &Self, _made: Made, found: &mut Vec<Finding>) {
        if let Some(before) = before {
            judge(before, after, found);
        }
    }

    fn judge_gone(before: &Self, _made: Made, found: &mut Vec<Finding>) {
        found.push(of(before, HubFact::MessageVanished));
    }
}

fn of(message: &Message, fact: HubFact) -> Finding {
    Finding::new(fact, About::new(Thing::Message, &message.id))
}

/// Judges a message before and after a commit.
fn judge(before: &Message, after: &Message, found: &mut Vec<Finding>) {
    if is_rewritten(before, after) {
        found.push(of(after, HubFact::MessageRewritten));
    }
    let lost = |was: &[Mark], is: &[Mark]| -> Option<String> {
        let by: HashSet<&str> = is.iter().map(|mark| &*mark.by).collect();
        was.iter().find(|mark| !by.contains(&*mark.by)).map(|mark| mark.by.clone())
    };
    let unread = if let Some(by) = lost(&before.acknowledged_by, &after.acknowledged_by) {
        Unread::Acknowledged(by)
    } else if let Some(by) = lost(&before.read_by, &after.read_by) {
        Unread::Read(by)
    } else if before.read == Some(true) && after.read != Some(true) {
        Unread::Marked
    } else {
        return;
    };
    found.push(of(after, HubFact::UnreadAgain(unread)));
}

fn is_rewritten(before: &Message, after: &Message) -> bool {
    before.from != after.from
        || before.to != after.to
        || before.kind != after.kind
        || before.subject != after.subject
        || before.body != after.body
        || before.timestamp != after.timestamp
        || before.reply_to != after.reply_to
        || before.thread != after.thread
        || before.priority != after.priority
        || before.ack_required != after.ack_required
        || before.key != after.key
        || before.auto != after.auto
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_become_of_a_message() {
        for (before, after, expected) in [
            (r#""body":"x""#, r#""body":"x","read":true,"read_by":["b"]"#, ""),
            (r#""read_by":["b"]"#, r#""read_by":[{"by":"b","at":"2025-10-29T12:00:00Z"},"c"]"#, ""),
            (r#""ack_status":"completed""#, r#""ack_status":"pending""#, ""),
            (r#""body":"x""#, r#""body":"y""#, "message-rewritten"),
            (r#""from":"a""#, r#""from":"b""#, "message-rewritten"),
            (r#""to":"b""#, r#""to":"all""#, "message-rewritten"),
            (r#""type":"info""#, r#""type":"alert""#, "message-rewritten"),
            (r#""subject":"x""#, r#""subject":"y""#, "message-rewritten"),
            (r#""timestamp":1761739200"#, r#""timestamp":1761739201"#, "message-rewritten"),
            (r#""reply_to":"x""#, r#""reply_to":"y""#, "message-rewritten"),
            (r#""thread":"x""#, r#""thread":"y""#, "message-rewritten"),
            (r#""priority":"low""#, r#""priority":"high""#, "message-rewritten"),
            (r#""ack_required":true"#, r#""ack_required":false"#, "message-rewritten"),
            (r#""key":"x""#, r#""key":"y""#, "message-rewritten"),
            (r#""auto":true"#, r#""auto":false"#, "message-rewritten"),
            (r#""read":true"#, r#""read":false"#, "unread-again"),
            (r#""read":true"#, "\"x\":1", "unread-again"),
            (r#""read_by":["b","c"]"#, r#""read_by":["c","d"]"#, "unread-again"),
            (r#""acknowledged_by":["b"]"#, r#""acknowledged_by":[]"#, "unread-again"),
        ] {
            let message = |text: &str| -> Message {
                serde_json::from_str(&format!(r#"{{"id":"m",{text}}}"#)).expect(text)
            };
            let mut found = Vec::new();
            judge(&message(before), &message(after), &mut found);
            let told: Vec<&str> = found.iter().map(|one| one.code().as_str()).collect();
            assert_eq!(told.join(" "), expected, "{before} -> {after}");
        }
    }
}
