//! The hub that another one is imported into: what it must not hold for that, and what of it stays.

use super::Source;
use crate::app::commands::found::TEMPLATE;
use crate::domain::build_config::BuildConfig;
use crate::domain::high_water::HighWater;
use crate::domain::hub::Marker;
use crate::domain::import::{Line, Marks, State};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::pause::Pause;
use crate::domain::refusal::{Holdable, Holding, Refusal};
use crate::domain::server::Server;
use crate::domain::table::{Row, Table};
use crate::domain::tables::ARCHIVE;
use crate::ledger::{Abort, Documents as _, LedgerError, Transaction};
use serde_json::Value;

/// What stands in a hub that holds no records, and goes on there: tokens that it gave, and its pauses.
pub(super) struct HubState {
    tokens: Marks,
    pauses: Table<Pause>,
}

impl HubState {
    /// What of the hub stays; leaves out of `documents` those that it has for itself, and names them if there is
    /// something to tell.
    ///
    /// # Errors
    /// When the hub holds anything that another's records would be mixed with, or take away.
    pub(super) fn of(
        transaction: &Transaction<'_>,
        documents: &mut Vec<Source>,
    ) -> Result<(Self, Vec<Line>), Abort> {
        refuse_if_in_use(transaction)?;
        let mut tokens = Marks::default();
        if let Some(bytes) = bytes(transaction, HighWater::PATH)? {
            tokens.note_marks(&bytes);
        }
        if let Some(bytes) = bytes(transaction, Lock::PATH)? {
            tokens.note_locks(&bytes);
        }
        let mut told = Vec::new();
        if bytes(transaction, Marker::PATH)?.is_some() {
            documents.retain(|document| document.path != Marker::PATH);
        }
        let config = bytes(transaction, BuildConfig::PATH)?;
        if config.is_some_and(|bytes| is_set(&bytes)) {
            let before = documents.len();
            documents.retain(|document| document.path != BuildConfig::PATH);
            if documents.len() < before {
                let what = "the hub has one of its own, which stays as it is".to_owned();
                told.push(Line {
                    state: State::Sound,
                    path: BuildConfig::PATH.to_owned(),
                    place: None,
                    what,
                });
            }
        }
        Ok((Self { tokens, pauses: transaction.table()? }, told))
    }

    /// Has what was written keep what is the hub's own. A token that it gave must never be given again.
    pub(super) fn put_back(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let mut marks: Table<HighWater> = transaction.table()?;
        self.tokens.raise(&mut marks);
        transaction.put_table(&marks)?;
        let mut pauses: Table<Pause> = transaction.table()?;
        for pause in self.pauses.rows() {
            if pauses.get(&pause.id).is_none_or(|other| other.raw() != pause.raw()) {
                pauses.take(|other| other.id == pause.id);
                pauses.push_record(pause);
            }
        }
        transaction.put_table(&pauses)
    }
}

fn bytes(transaction: &Transaction<'_>, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
    let document = transaction.document(transaction.main(), path)?;
    Ok(document.map(|document| document.bytes().to_vec()))
}

/// Whether somebody wrote it: every new hub has that of the template.
fn is_set(config: &[u8]) -> bool {
    let value = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    let template = TEMPLATE.iter().find(|(path, _)| *path == BuildConfig::PATH);
    let own = value(config);
    let is_empty = own.as_ref().and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
    !is_empty && own != template.and_then(|(_, text)| value(text.as_bytes()))
}

/// Fails if the hub holds anything that another's records would be mixed with, or take away.
fn refuse_if_in_use(transaction: &Transaction<'_>) -> Result<(), Abort> {
    let locks: Table<Lock> = transaction.table()?;
    let done = locks.rows().filter(|lock| lock.done_at.is_some()).count();
    let held = locks.rows().filter(|lock| lock.is_held() && lock.done_at.is_none()).count();
    let archived = transaction.list(ARCHIVE)?;
    let holds: Vec<Holding> = [
        (number::<Job>(transaction)?, Holdable::Job),
        (number::<Message>(transaction)?, Holdable::Message),
        (number::<Server>(transaction)?, Holdable::Server),
        // Of one that cannot be read nobody knows that it is free.
        (held + locks.broken().len(), Holdable::HeldLock),
        (done, Holdable::DoneOnce),
        (transaction.table::<Pause>()?.broken().len(), Holdable::UnreadablePause),
        (archived.iter().filter(|name| name.ends_with(".json")).count(), Holdable::Archive),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| Holding { what, count })
    .collect();
    if holds.is_empty() { Ok(()) } else { Err(Refusal::HubInUse { holds }.into()) }
}

/// How many records a table holds, those that cannot be read included.
fn number<T: Row + 'static>(transaction: &Transaction<'_>) -> Result<usize, Abort> {
    let table: Table<T> = transaction.table()?;
    Ok(table.rows().len() + table.broken().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_configuration_counts_where_somebody_wrote_it() {
        let template = TEMPLATE.iter().find(|(path, _)| *path == BuildConfig::PATH).expect("has one").1;
        let spelled: Value = serde_json::from_str(template).expect("JSON");
        for (text, expected) in [
            (template, false),
            (&*spelled.to_string(), false),
            ("{}", false),
            ("", false),
            ("{", false),
            (r#"{"artifacts":{"keep":9}}"#, true),
        ] {
            assert_eq!(is_set(text.as_bytes()), expected, "{text}");
        }
    }
}
