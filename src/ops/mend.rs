//! Setting records aside that are no good, or mending them, for a person who says so.
//!
//! Nothing is thrown away: what is taken out or renamed is kept as it was in the archive of broken
//! records of the month. A lock keeps its name and its token, and its holder if one can be made out.

use super::Verb;
use crate::domain::high_water::{HighWater, raise};
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::domain::lock::{Lock, token_anew, token_problem};
use crate::domain::message::Message;
use crate::domain::pause::Pause;
use crate::domain::server::Server;
use crate::domain::set_aside::SetAside;
use crate::domain::spelled::without_foreign;
use crate::domain::table::{Row, Table, Trouble};
use crate::domain::time::Timestamp;
use crate::ledger::{Documents as _, Stop, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Mends what `health`, `doctor` and `fsck` tell of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MendRecords {
    /// Who does it.
    pub server: ServerName,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// Each record that was changed or taken out, for people.
    pub records: Vec<String>,
    /// Where they are kept as they were; absent when there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
}

impl Verb for MendRecords {
    type Answer = Mended;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Mended, Stop> {
        let path = SetAside::path(transaction.now());
        let mut mending = Mending {
            op: transaction.op().suffix(OP_LENGTH),
            now: transaction.now(),
            by: self.server.to_string(),
            archive: transaction.table_at(&path)?,
            told: Vec::new(),
        };
        mending.table::<Job>(transaction, |mending, job| {
            (job.status == JobStatus::Queued).then(|| job.id = mending.new_id("job"))
        })?;
        mending.table::<Message>(transaction, |mending, message| {
            message.id = mending.new_id("msg");
            Some(())
        })?;
        mending.table::<Server>(transaction, |_, _| None)?;
        mending.table::<Pause>(transaction, |_, _| None)?;
        mending.locks(transaction)?;
        if mending.told.is_empty() {
            return Ok(Mended::default());
        }
        transaction.put_table(&mending.archive)?;
        transaction.describe(format!("fsck mend: {} records by {}", mending.told.len(), self.server));
        Ok(Mended { records: mending.told, kept_in: Some(path) })
    }
}

/// How much of the operation's id new ids end with.
const OP_LENGTH: usize = 8;

struct Mending {
    op: String,
    now: Timestamp,
    by: String,
    archive: Table<SetAside>,
    told: Vec<String>,
}

impl Mending {
    fn new_id(&self, what: &str) -> String {
        format!("{what}_{}_{}_m{}", self.now.unix_seconds(), self.op, self.told.len() + 1)
    }

    /// Keeps a record as it was.
    fn keep(&mut self, trouble: &Trouble, text: &str, done: &str) {
        self.archive.push(SetAside {
            id: format!("{}_{}", self.op, self.told.len() + 1),
            document: trouble.path.clone(),
            place: trouble.place.clone(),
            reason: trouble.why.clone(),
            at: Some(self.now),
            by: self.by.clone(),
            text: without_foreign(text),
        });
        self.told.push(format!("{}; {done}", trouble.describe()));
    }

    /// Takes out what cannot be read; what can and has no id of its own gets one by `rename`, or is
    /// taken out as well.
    fn table<T: Row>(
        &mut self,
        transaction: &mut Transaction<'_>,
        rename: impl Fn(&Self, &mut T) -> Option<()>,
    ) -> Result<(), Stop> {
        let mut table: Table<T> = transaction.table()?;
        for (trouble, broken) in table.unreadables() {
            let is_gone = ServerName::new(&trouble.id).is_ok() && table.get(&trouble.id).is_none();
            let done = if T::PATH == Server::PATH && is_gone {
                format!("set aside: `git muster join --as {0}` on `{0}` registers it again", trouble.id)
            } else {
                "set aside".to_owned()
            };
            self.keep(&trouble, broken.text(), &done);
        }
        let nameless: BTreeMap<usize, Trouble> = table.nameless().into_iter().collect();
        let mut leaving = HashSet::new();
        for (index, row) in table.rows_mut().enumerate() {
            let Some(trouble) = nameless.get(&index) else { continue };
            let text = row.text().to_owned();
            match row.edit(|row| rename(self, row)) {
                Some(()) => {
                    let id = row.id().to_owned();
                    self.keep(trouble, &text, &format!("it is `{id}` from now on"));
                }
                None => {
                    leaving.insert(index);
                    self.keep(trouble, &text, "set aside");
                }
            }
        }
        self.tokens(&mut table);
        table.take_broken(|_| true);
        let mut indexes = 0..;
        table.take(|_| indexes.next().is_some_and(|index: usize| leaving.contains(&index)));
        transaction.put_table(&table)
    }

    /// Tokens that were never given go on from a possible one; names those whose did. A holder under such a
    /// token learns at its next renewal that its term is over.
    fn tokens<T: Row>(&mut self, table: &mut Table<T>) -> HashSet<String> {
        let made_up: BTreeMap<usize, Trouble> = table.made_up().into_iter().collect();
        for (index, row) in table.rows_mut().enumerate() {
            let Some(trouble) = made_up.get(&index) else { continue };
            let (text, anew) = (row.text().to_owned(), token_anew(row.token(), self.now));
            row.edit(|row| row.set_token(anew));
            let told = anew.map_or("they begin again".to_owned(), |anew| format!("they go on from {anew}"));
            self.keep(trouble, &text, &told);
        }
        made_up.into_values().map(|trouble| trouble.id).collect()
    }

    /// A lock whose record cannot be read becomes one that can, with all that can be made out of it.
    fn locks(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Stop> {
        let mut locks: Table<Lock> = transaction.table()?;
        let mut marks: Table<HighWater> = transaction.table()?;
        let mut anew: BTreeMap<String, Lock> = BTreeMap::new();
        for (trouble, broken) in locks.unreadables() {
            self.keep(&trouble, broken.text(), "made anew");
            let name = broken.id();
            let lock = anew.entry(name.clone()).or_insert_with(|| Lock::free(&name));
            let token = broken.field("token").and_then(|token| token.parse().ok());
            lock.token = lock.token.max(token.filter(|token| token_problem(Some(*token)).is_none()));
            if let Some(holder) = broken.field("locked_by").and_then(|by| ServerName::new(&by).ok()) {
                lock.locked_by = Some(holder.to_string());
                lock.locked_at = Some(self.now);
            }
        }
        for (trouble, broken) in marks.unreadables() {
            self.keep(&trouble, broken.text(), "set aside");
        }
        self.tokens(&mut locks);
        let raised = self.tokens(&mut marks);
        locks.take_broken(|_| true);
        marks.take_broken(|_| true);
        for mut lock in anew.into_values() {
            raise(&mut lock, &marks);
            locks.push(lock);
        }
        // The term of who holds one goes on.
        for lock in locks.rows_mut().filter(|lock| raised.contains(&lock.name) && !lock.is_held()) {
            lock.edit(|lock| raise(lock, &marks));
        }
        transaction.put_table(&locks)?;
        transaction.put_table(&marks)
    }
}
