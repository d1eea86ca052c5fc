//! The messages that a server sends and reads.

use super::Worker;
use crate::app::commands::message::{MarkAs, MarkMessages, SendMessage};
use crate::domain::id::MessageId;
use crate::domain::message::{Draft, Message, MessageType};
use crate::ledger::Documents as _;

impl Worker {
    pub(super) fn send(&mut self) {
        let to = match self.world.get().alive().as_slice() {
            [first, ..] if self.random.chance(500) && *first != self.server.as_str() => first.clone(),
            _ => "all".to_owned(),
        };
        let earlier: Option<Vec<String>> = self.look(false, |hub| {
            Some(
                hub.table::<Message>()
                    .ok()?
                    .rows()
                    .filter(|one| one.is_for(&self.server))
                    .map(|one| one.id.clone())
                    .collect(),
            )
        });
        let reply_to = self.random.pick(&earlier.unwrap_or_default()).and_then(|id| MessageId::new(id).ok());
        let draft = Draft {
            from: self.server.clone(),
            to,
            kind: MessageType::Info,
            subject: "hello".to_owned(),
            body: String::new(),
            reply_to: reply_to.filter(|_| self.random.chance(200)),
            ack: self.random.chance(300),
            key: self.random.chance(300).then(|| format!("key{}", self.random.up_to(5))),
            auto: false,
        };
        drop(self.write(&SendMessage { draft }));
    }

    /// Marks a message that is to another: that is refused.
    fn read_anothers(&mut self) {
        let anothers = self.look(false, |hub| {
            let messages = hub.table::<Message>().ok()?;
            let id = messages.rows().find(|one| !one.is_for(&self.server)).map(|one| one.id.clone())?;
            MessageId::new(&id).ok()
        });
        let Some(id) = anothers else { return };
        let marks = MarkMessages {
            server: self.server.clone(),
            ids: vec![id.clone()],
            which: Vec::new(),
            mark: MarkAs::Read,
        };
        if self.write(&marks).is_some() {
            let why = format!("I6: {} was told that message {id} of another is marked", self.server);
            self.world.get().checker.blame(why);
        }
    }

    pub(super) fn read(&mut self) {
        if self.random.chance(100) {
            return self.read_anothers();
        }
        let unread = self.look(false, |hub| {
            let messages = hub.table::<Message>().ok()?;
            Some(messages.rows().any(|one| one.is_for(&self.server) && !one.is_read_by(&self.server)))
        });
        if unread == Some(true) {
            let mark = if self.random.chance(300) { MarkAs::Acknowledged } else { MarkAs::Read };
            drop(self.write(&MarkMessages {
                server: self.server.clone(),
                ids: Vec::new(),
                which: Vec::new(),
                mark,
            }));
        }
    }
}
