//! Messages between servers: sent once, read and acknowledged per recipient.

use crate::app::archived::{ArchivesLeft, bring_back, look_up};
use crate::app::commands::WriteCommand;
use crate::app::documents::{registered, server_names};
use crate::domain::id::{MessageId, ServerName};
use crate::domain::message::{Draft, Message, MessageRef};
use crate::domain::planted::planted;
use crate::domain::refusal::{Action, Kind, Refusal};
use crate::domain::server::Server;
use crate::domain::table::{RecordTrouble, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents as _, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Sends a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SendMessage {
    /// What is sent.
    pub draft: Draft,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SendResult {
    pub id: String,
    /// Whether it was there already, by its key.
    pub duplicate: bool,
}

impl WriteCommand for SendMessage {
    type Answer = SendResult;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<SendResult, Abort> {
        let servers = recipients(transaction)?;
        self.draft.check(&|name| servers.iter().any(|server| server.as_str() == name))?;
        let mut messages: Table<Message> = transaction.table()?;
        if let Some(key) = self.draft.key.as_ref().filter(|_| !planted("keys-of-messages-ignored"))
            && let Some(known) = messages
                .rows()
                .find(|message| message.key.as_ref() == Some(key) && message.from == self.draft.from.as_str())
        {
            return Ok(SendResult { id: known.id.clone(), duplicate: true });
        }
        let original = match &self.draft.reply_to {
            Some(id) => {
                let no = |trouble: &RecordTrouble| trouble.refusal(Action::SendMessage, id.as_str());
                Some(
                    look_up::<Message>(transaction, id.as_str())?
                        .or_no(no, || unknown(id, Action::SendMessage))?,
                )
            }
            None => None,
        };
        if let Some(original) = &original {
            self.draft.reply_allowed(original)?;
        }
        let id = format!("msg_{}_{}", transaction.now().unix_seconds(), transaction.op().record_part());
        let id = MessageId::new(&id).map_err(Refusal::from)?;
        // An id comes from its operation: this very one was applied before, and is not applied again.
        if messages.holds(id.as_str()) {
            let (kind, id, op) = (Kind::Message, id.to_string(), transaction.op().to_string());
            return Err(Refusal::AlreadyApplied { kind, id, op }.into());
        }
        if planted("message-pushed-out") {
            let first = messages.rows().next().map(|first| first.id.clone());
            messages.take(|message| Some(&message.id) == first.as_ref());
        }
        messages.push(Message::new(&id, &self.draft, original.as_deref(), transaction.now()));
        transaction.put_table(&messages)?;
        transaction.describe(format!(
            "message send: {} to {}: {}",
            self.draft.from, self.draft.to, self.draft.subject
        ));
        transaction.trailer("Muster-Message", id.as_str());
        Ok(SendResult { id: id.to_string(), duplicate: false })
    }
}

/// What a recipient says about messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkAs {
    /// They were read.
    Read,
    /// They were read and are acknowledged.
    Acknowledged,
}

/// Marks messages for one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkMessages {
    /// The recipient.
    pub server: ServerName,
    /// Which messages; none, and none in particular, means all that are for the recipient.
    pub ids: Vec<MessageId>,
    /// These in particular, of messages that may have one id or none. One that is gone by now is none.
    #[serde(default)]
    pub which: Vec<MessageRef>,
    /// What it says about them.
    pub mark: MarkAs,
}

impl WriteCommand for MarkMessages {
    /// The ids of the messages that changed.
    type Answer = Vec<String>;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>, Abort> {
        let servers = recipients(transaction)?;
        let now = transaction.now();
        let mut messages: Table<Message> = transaction.table()?;
        let mut left = ArchivesLeft::default();
        let mut changed = Vec::new();
        for id in &self.ids {
            bring_back(id.as_str(), &mut messages, &mut left, transaction)?;
            let named = |message: &Message| message.id == id.as_str();
            // Of several with one id those are meant that are for whoever speaks.
            let is_mine = |message: &Message| named(message) && message.is_for(&self.server);
            let has_mine = messages.rows().any(|message| is_mine(message));
            if !messages.rows().any(|message| named(message)) {
                let no = |trouble: &RecordTrouble| trouble.refusal(Action::MarkMessage, id.as_str());
                look_up::<Message>(transaction, id.as_str())?
                    .or_no(no, || unknown(id, Action::MarkMessage))?;
            }
            let meant = |message: &Message| if has_mine { is_mine(message) } else { named(message) };
            self.mark(&mut messages, meant, (now, &servers), &mut changed)?;
        }
        if !self.which.is_empty() {
            let mut which: HashMap<&str, Vec<&MessageRef>> = HashMap::new();
            for one in &self.which {
                bring_back(&one.id, &mut messages, &mut left, transaction)?;
                which.entry(&one.id).or_default().push(one);
            }
            let is_one = |message: &Message| {
                let alike = which.get(message.id.as_str()).map(Vec::as_slice).unwrap_or_default();
                message.is_for(&self.server) && alike.iter().any(|one| one.is(message))
            };
            self.mark(&mut messages, is_one, (now, &servers), &mut changed)?;
        } else if self.ids.is_empty() {
            self.mark(&mut messages, |message| message.is_for(&self.server), (now, &servers), &mut changed)?;
        }
        // What nothing changed about stays where it is.
        if !changed.is_empty() {
            left.put(transaction)?;
            transaction.put_table(&messages)?;
        }
        let verb = if self.mark == MarkAs::Read { "read" } else { "ack" };
        let which = match changed.as_slice() {
            [one] => one.clone(),
            many => format!("{} messages", many.len()),
        };
        transaction.describe(format!("message {verb}: {which} by {}", self.server));
        for id in changed.iter().filter(|id| !id.is_empty()).take(TRAILERS_MAX) {
            transaction.trailer("Muster-Message", id.as_str());
        }
        Ok(changed)
    }
}

/// How many messages of one commit are named in its trailers.
const TRAILERS_MAX: usize = 100;

impl MarkMessages {
    /// Marks the messages that are `meant`; adds the ids of those that changed.
    fn mark(
        &self,
        messages: &mut Table<Message>,
        meant: impl Fn(&Message) -> bool,
        (now, servers): (Timestamp, &[ServerName]),
        changed: &mut Vec<String>,
    ) -> Result<(), Abort> {
        for message in messages.rows_mut_where(meant) {
            if message.edit(|message| self.apply_to(message, now, servers))? {
                changed.push(message.id.clone());
            }
        }
        Ok(())
    }

    fn apply_to(
        &self,
        message: &mut Message,
        now: Timestamp,
        servers: &[ServerName],
    ) -> Result<bool, Refusal> {
        match self.mark {
            MarkAs::Acknowledged => message.acknowledge(&self.server, now, servers),
            MarkAs::Read if message.is_for(&self.server) || planted("reads-of-others") => {
                Ok(message.mark_read(&self.server, now, servers))
            }
            MarkAs::Read => Err(message.not_for(&self.server, Action::MarkMessage)),
        }
    }
}

/// Everybody a message can be for: the registered servers, and in hubs without a registry those
/// that have a folder.
fn recipients(transaction: &Transaction<'_>) -> Result<Vec<ServerName>, Abort> {
    let registry: Table<Server> = transaction.table()?;
    if registry.is_empty() {
        return server_names(transaction, &registry);
    }
    Ok(registered(&registry))
}

fn unknown(id: &MessageId, action: Action) -> Refusal {
    Refusal::MessageNotFound { message: id.to_string(), action }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::Code;

    #[test]
    fn a_message_to_another_is_marked_by_nobody_else() {
        let now = Timestamp::from_unix_millis(1_761_700_000_000).expect("a time");
        let servers = ["a", "b", "c"].map(|name| ServerName::new(name).expect("a name"));
        for (to, reader, is_marked) in
            [("b", "b", true), ("b", "c", false), ("b", "a", false), ("all", "c", true), ("all", "a", false)]
        {
            for mark in [MarkAs::Read, MarkAs::Acknowledged] {
                let text = format!(r#"{{"id":"m","from":"a","to":"{to}"}}"#);
                let mut message: Message = serde_json::from_str(&text).expect("a message");
                let reader = ServerName::new(reader).expect("a name");
                let marks = MarkMessages { server: reader, ids: Vec::new(), which: Vec::new(), mark };
                let told = marks.apply_to(&mut message, now, &servers);
                let case = format!("{to} {} {mark:?}", marks.server);
                assert_eq!(told.is_ok(), is_marked, "{case}");
                assert_eq!(!message.read_by.is_empty(), is_marked, "{case}");
                assert!(told.err().is_none_or(|refusal| refusal.code() == Code::NotRecipient), "{case}");
            }
        }
    }
}
