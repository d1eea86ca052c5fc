//! Pausing the queue, a label or a server, and ending a pause.

use crate::app::commands::WriteCommand;
use crate::domain::id::ServerName;
use crate::domain::pause::{Pause, Paused, end};
use crate::domain::refusal::{Action, Expected, Refusal};
use crate::domain::secret::credential_in;
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents as _, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest reason, in characters.
const NOTE_LENGTH_MAX: usize = 500;

/// Pauses something, or changes its pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetPause {
    /// Who does it.
    pub server: ServerName,
    pub what: Paused,
    /// Why, for people.
    pub note: Option<String>,
    /// Until when; without it until somebody ends it.
    pub until: Option<Timestamp>,
    /// Whether a worker of the server ends when its jobs have.
    pub drain: bool,
}

impl WriteCommand for SetPause {
    /// The pause, whole, with the one in whose place it stands now as `replaced`, if that still held.
    type Answer = Value;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Abort> {
        self.check()?;
        if let Paused::Server(name) = &self.what {
            require_registered(name, transaction, Action::Pause)?;
        }
        let mut pauses: Table<Pause> = transaction.table()?;
        let id = self.what.to_string();
        let (now, present) = (transaction.now(), transaction.present()?);
        pauses.take_broken(|broken| broken.id() == id);
        if pauses.get(&id).is_none() {
            let (by, at, note, until, drain) = (None, None, None, None, None);
            pauses.push(Pause { id: id.clone(), by, at, note, until, drain });
        }
        let mut replaced = None;
        if let Some(pause) = pauses.get_mut(&id) {
            replaced = Some(pause.raw()).filter(|_| pause.by.is_some() && pause.holds(present));
            // The same again, because its answer was lost, is no news.
            let is_same = pause.by.as_deref() == Some(self.server.as_str())
                && (&pause.note, pause.until, pause.drain == Some(true))
                    == (&self.note, self.until, self.drain);
            if is_same {
                return Ok(pause.raw());
            }
            // Its end is told by our clock and judged by those of who claims.
            if let Some(until) = self.until.filter(|until| *until <= present) {
                return Err(Refusal::PauseOver { until, present }.into());
            }
            pause.edit(|pause| {
                pause.by = Some(self.server.to_string());
                pause.at = Some(now);
                pause.note.clone_from(&self.note);
                pause.until = self.until;
                pause.drain = self.drain.then_some(true);
            });
        }
        transaction.put_table(&pauses)?;
        let verb = if self.drain { "drain" } else { "pause" };
        transaction.describe(format!("{verb}: {} by {}", self.what.named().replace('`', ""), self.server));
        let mut answer = pauses.get(&id).map(|pause| pause.raw()).unwrap_or_default();
        if let (Some(answer), Some(replaced)) = (answer.as_object_mut(), replaced) {
            answer.insert("replaced".to_owned(), replaced);
        }
        Ok(answer)
    }
}

impl SetPause {
    fn check(&self) -> Result<(), Refusal> {
        let label = match &self.what {
            Paused::Label(label) => Some(label),
            _ => None,
        };
        let action = Action::Pause;
        if let Some(label) = label
            && (label.is_empty() || label.chars().any(|c| c.is_control() || c.is_whitespace()))
        {
            let (field, given, expected) = ("label", label.clone(), Expected::NoSpace);
            return Err(Refusal::ValueInvalid { action, field, given, expected });
        }
        let texts = self.note.iter().map(|text| ("note", text));
        for (field, text) in texts.chain(label.map(|text| ("label", text))) {
            let (length, limit) = (text.chars().count(), NOTE_LENGTH_MAX);
            if length > limit {
                return Err(Refusal::TextTooLong { action, field, length, limit });
            }
            if let Some(credential) = credential_in(text) {
                return Err(Refusal::CredentialFound { action, field, credential });
            }
        }
        Ok(())
    }
}

/// A name that was mistyped would pause nobody and seem to have.
fn require_registered(name: &ServerName, transaction: &Transaction<'_>, action: Action) -> Result<(), Abort> {
    let registry: Table<Server> = transaction.table()?;
    if registry.is_empty() || registry.holds(name.as_str()) {
        return Ok(());
    }
    Err(Refusal::ServerNotFound { server: name.to_string(), action }.into())
}

/// Ends a pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndPause {
    /// Who does it.
    pub server: ServerName,
    /// What is paused.
    pub what: Paused,
}

impl WriteCommand for EndPause {
    /// The pause that was ended, whole.
    type Answer = Value;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Abort> {
        let mut pauses: Table<Pause> = transaction.table()?;
        let Some(first) = end(&mut pauses, &self.what).into_iter().next() else {
            if let Paused::Server(name) = &self.what {
                require_registered(name, transaction, Action::Resume)?;
            }
            return Err(Refusal::NotPaused { what: self.what.to_string() }.into());
        };
        transaction.put_table(&pauses)?;
        transaction.describe(format!("resume: {} by {}", self.what.named().replace('`', ""), self.server));
        Ok(first)
    }
}
