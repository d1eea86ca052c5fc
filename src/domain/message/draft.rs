//! A message that is not sent yet, and what may be sent at all.
//!
//! Which texts hold a credential is decided by `secret.rs`.

use super::{BODY_LENGTH_MAX, EVERYBODY, KEY_LENGTH_MAX, Message, MessageType, SUBJECT_LENGTH_MAX};
use crate::domain::id::{MessageId, ServerName};
use crate::domain::refusal::{Action, Expected, Refusal};
use crate::domain::secret;
use serde::{Deserialize, Serialize};

/// How much of an unknown recipient a refusal repeats.
const SHOWN_LENGTH_MAX: usize = 80;

/// A message before it has an id and a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// The sender.
    pub from: ServerName,
    /// A server or [`EVERYBODY`].
    pub to: String,
    /// As what it is sent.
    pub kind: MessageType,
    /// One line.
    pub subject: String,
    /// What it says.
    pub body: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// Whether the recipients are to acknowledge.
    pub ack: bool,
    /// Sending twice with one key sends once.
    pub key: Option<String>,
    /// Whether a machine sends it without a person or an agent behind it.
    pub auto: bool,
}

impl Draft {
    /// Fails unless it may be sent; `known` tells whether a server of that name is there.
    ///
    /// # Errors
    /// Not found for an unknown recipient, otherwise invalid; never repeats a credential.
    pub fn check(&self, known: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
        if self.to != EVERYBODY && !known(&self.to) {
            let to: String = self.to.chars().take(SHOWN_LENGTH_MAX).collect();
            return Err(Refusal::ServerNotFound { server: to, action: Action::SendMessage });
        }
        self.check_lengths()?;
        if self.subject.chars().any(char::is_control) {
            return Err(Refusal::CharacterNotAllowed { action: Action::SendMessage, field: "subject" });
        }
        self.check_key()?;
        refuse_credential("subject", &self.subject)?;
        refuse_credential("body", &self.body)
    }

    fn check_lengths(&self) -> Result<(), Refusal> {
        if self.subject.trim().is_empty() {
            return Err(Refusal::TextEmpty { action: Action::SendMessage, field: "subject" });
        }
        let action = Action::SendMessage;
        for (field, text, limit) in
            [("subject", &self.subject, SUBJECT_LENGTH_MAX), ("body", &self.body, BODY_LENGTH_MAX)]
        {
            let length = text.chars().count();
            if length > limit {
                return Err(Refusal::TextTooLong { action, field, length, limit });
            }
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), Refusal> {
        let Some(key) = &self.key else { return Ok(()) };
        let length = key.chars().count();
        if length == 0 || length > KEY_LENGTH_MAX || key.chars().any(char::is_control) {
            return Err(Refusal::ValueInvalid {
                action: Action::SendMessage,
                field: "key",
                // It may be a credential.
                given: String::new(),
                expected: Expected::ShortText,
            });
        }
        refuse_credential("key", key)
    }

    /// Fails when both this answer and `original` come from machines: two programs that answer
    /// each other never end.
    ///
    /// # Errors
    /// Forbidden.
    pub fn reply_allowed(&self, original: &Message) -> Result<(), Refusal> {
        if self.auto && original.is_automatic() {
            return Err(Refusal::AutomaticReply { message: original.id.clone() });
        }
        Ok(())
    }
}

/// A hub keeps every commit: what was sent once cannot be taken back.
fn refuse_credential(field: &'static str, text: &str) -> Result<(), Refusal> {
    match secret::credential_in(text) {
        None => Ok(()),
        Some(credential) => Err(Refusal::CredentialFound { action: Action::SendMessage, field, credential }),
    }
}
