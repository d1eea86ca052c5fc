//! Setting records aside that are no good, or mending them, for a person who says so.
//!
//! Nothing is thrown away: what is taken out or renamed is kept as it was in the archive of broken
//! records of the month. Archives are mended like live documents: what is finished may be put back. A lock keeps its name and its token, and its holder if one can be made out.

use crate::app::archived;
use crate::app::commands::WriteCommand;
use crate::app::documents::if_readable;
use crate::domain::high_water::{HighWater, raise};
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::domain::lease::{token_anew, token_problem};
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::pause::Pause;
use crate::domain::server::Server;
use crate::domain::set_aside::SetAside;
use crate::domain::spelled::without_foreign;
use crate::domain::table::{RecordTrouble, Row, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents as _, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Mends what `health`, `doctor` and `fsck` tell of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRecords {
    /// Who does it.
    pub server: ServerName,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Each record that was changed or taken out, for people.
    pub records: Vec<String>,
    /// Where they are kept as they were; absent when there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
}

impl WriteCommand for RepairRecords {
    type Answer = Repaired;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Repaired, Abort> {
        let path = SetAside::path(transaction.now());
        let mut mending = Repair {
            op: transaction.op().suffix(OP_LENGTH),
            now: transaction.now(),
            by: self.server.to_string(),
            archive: transaction.table_at(&path)?,
            told: Vec::new(),
        };
        let rename_job = |mending: &Repair, job: &mut Job| {
            (job.status == JobStatus::Queued).then(|| job.id = mending.new_id("job"))
        };
        let rename_message = |mending: &Repair, message: &mut Message| {
            message.id = mending.new_id("msg");
            Some(())
        };
        let jobs = mending.table(transaction, rename_job)?;
        mending.archives(&jobs, transaction, |_, _| None)?;
        let messages = mending.table(transaction, rename_message)?;
        mending.archives(&messages, transaction, rename_message)?;
        mending.table::<Server>(transaction, |_, _| None)?;
        mending.table::<Pause>(transaction, |_, _| None)?;
        mending.locks(transaction)?;
        if mending.told.is_empty() {
            return Ok(Repaired::default());
        }
        transaction.put_table(&mending.archive)?;
        transaction.describe(format!("fsck mend: {} records by {}", mending.told.len(), self.server));
        Ok(Repaired { records: mending.told, kept_in: Some(path) })
    }
}

/// How much of the operation's id new ids end with.
const OP_LENGTH: usize = 8;

struct Repair {
    op: String,
    now: Timestamp,
    by: String,
    archive: Table<SetAside>,
    told: Vec<String>,
}

impl Repair {
    fn new_id(&self, what: &str) -> String {
        format!("{what}_{}_{}_m{}", self.now.unix_seconds(), self.op, self.told.len() + 1)
    }

    /// Keeps a record as it was.
    fn keep(&mut self, trouble: &RecordTrouble, text: &str, done: &str) {
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
    ) -> Result<Table<T>, Abort> {
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
        let nameless: BTreeMap<usize, RecordTrouble> = table.nameless().into_iter().collect();
        self.anew_or_out(&mut table, &nameless, rename);
        transaction.put_table(&table)?;
        Ok(table)
    }

    /// The same with the archives of what is `live`, the newest first: what stands in one before counts, as
    /// where records are looked up. An archive that cannot be read, or not be written, is told by who looks.
    fn archives<T: Row>(
        &mut self,
        live: &Table<T>,
        transaction: &mut Transaction<'_>,
        rename: impl Fn(&Self, &mut T) -> Option<()>,
    ) -> Result<(), Abort> {
        let of = |table: &Table<T>| -> Vec<(String, Option<String>)> {
            let named = table.rows().filter(|row| !row.id().is_empty());
            named.map(|row| (row.id().to_owned(), row.apart())).collect()
        };
        let mut known: HashSet<(String, Option<String>)> = of(live).into_iter().collect();
        let mut ids: HashSet<String> = known.iter().map(|(id, _)| id.clone()).collect();
        for path in archived::paths::<T>(&*transaction)? {
            let Some(mut table) = if_readable(transaction.table_at::<T>(&path).map(Some))? else { continue };
            if table.newer_layout().is_some() {
                continue;
            }
            for (trouble, broken) in table.unreadables() {
                self.keep(&trouble, broken.text(), "set aside");
            }
            let (mut copies, mut others) = (BTreeMap::new(), BTreeMap::new());
            for (index, row) in table.rows().enumerate().filter(|(_, row)| !row.id().is_empty()) {
                let is_first = ids.insert(row.id().to_owned());
                let is_copy = !known.insert((row.id().to_owned(), row.apart()));
                if !is_first {
                    let into = if is_copy { &mut copies } else { &mut others };
                    into.insert(index, table.doubled(index, row.id()));
                }
            }
            // What gets an id of its own stays where it is, and so do the indexes.
            self.anew_or_out(&mut table, &others, &rename);
            self.anew_or_out(&mut table, &copies, |_, _| None);
            transaction.put_table(&table)?;
        }
        Ok(())
    }

    /// Has tokens that were never given go on from possible ones. Gives what is in `troubles`, by its index,
    /// an id of its own by `rename`, or takes it out, as all that cannot be read; each is kept as it was.
    fn anew_or_out<T: Row>(
        &mut self,
        table: &mut Table<T>,
        troubles: &BTreeMap<usize, RecordTrouble>,
        rename: impl Fn(&Self, &mut T) -> Option<()>,
    ) {
        let mut leaving = HashSet::new();
        for (index, row) in table.rows_mut().enumerate() {
            let Some(trouble) = troubles.get(&index) else { continue };
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
        self.tokens(table);
        table.take_broken(|_| true);
        let mut indexes = 0..;
        table.take(|_| indexes.next().is_some_and(|index: usize| leaving.contains(&index)));
    }

    /// Tokens that were never given go on from a possible one; names those whose did. A holder under such a
    /// token learns at its next renewal that its term is over.
    fn tokens<T: Row>(&mut self, table: &mut Table<T>) -> HashSet<String> {
        let made_up: BTreeMap<usize, RecordTrouble> = table.made_up().into_iter().collect();
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
    fn locks(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
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
