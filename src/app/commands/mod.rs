//! What the tool can do to a hub: one verb per type, pure functions from documents to documents.
//!
//! A verb is data, so that it can be kept while its outcome is unknown and be taken up again, and
//! later be handed from one process to another. Nothing here prints, reads a clock or knows what
//! kind of store is below.

pub mod archive;
pub mod artifact;
pub mod beat;
pub mod found;
pub mod job_add;
pub mod job_claim;
pub mod job_log;
pub mod job_step;
pub mod lock;
pub mod mend;
pub mod message;
pub mod pause;
pub mod reclaim;
pub mod removal;
pub mod server;
pub mod status;

use crate::domain::heartbeat::Beat;
use crate::domain::id::{LockName, OpId, ServerName};
use crate::domain::lock::Lock;
use crate::domain::planted::planted;
use crate::domain::refusal::{Action, LockCondition};
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Apply, Documents as _, Ledger, LedgerError, Outcome, Request, Transaction};
use beat::{BeatAnswer, SendBeat};
use job_log::WriteLogs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something the tool can do to the documents of a hub.
pub trait WriteCommand {
    type Answer: Serialize + 'static;

    /// Does it.
    ///
    /// # Errors
    /// The refusal, or a document that cannot be used.
    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Self::Answer, Abort>;
}

impl<V: WriteCommand> WriteCommand for &V {
    type Answer = V::Answer;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<V::Answer, Abort> {
        (**self).apply(transaction)
    }
}

/// What the ledger is asked to write: with any [`Operation`] it is data, from one process to another or in a
/// file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Write<V = Operation> {
    /// What goes with it.
    pub envelope: WriteOptions,
    /// What is done.
    pub verb: V,
}

impl<V: WriteCommand> Apply for Write<V> {
    type Answer = V::Answer;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<V::Answer, Abort> {
        self.envelope.apply(&self.verb, transaction)
    }
}

/// More that goes in the same push, and that need not be taken up again.
#[derive(Debug, Clone, Default)]
pub struct Piggyback {
    /// Logs of jobs.
    pub logs: Option<WriteLogs>,
    /// A sign of life.
    pub beat: Option<SendBeat>,
}

/// A write with what goes along; answers both.
#[derive(Debug)]
pub struct WriteWith<V> {
    /// What it goes along with.
    pub write: Write<V>,
    /// What goes along.
    pub along: Piggyback,
}

impl<V: WriteCommand> Apply for WriteWith<V> {
    type Answer = (V::Answer, Option<BeatAnswer>);

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Self::Answer, Abort> {
        let answer = self.write.apply(transaction)?;
        if let Some(logs) = &self.along.logs {
            logs.ride(transaction)?;
        }
        let beaten = self.along.beat.as_ref().map(|beat| beat.ride(transaction)).transpose()?;
        Ok((answer, beaten))
    }
}

/// What goes with every write, whatever the verb.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WriteOptions {
    /// Locks that must be held under these tokens: checked in the same transaction.
    pub guards: Vec<(LockName, u64)>,
    /// Who got those of them that this host got: a hub that was set back gives tokens again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<(LockName, ServerName)>,
    /// The writing server's sign of life, which any commit to the main branch carries for
    /// nothing.
    pub beat: Option<Beat>,
}

impl WriteOptions {
    /// Applies `verb` under the guards, then adds the sign of life.
    ///
    /// # Errors
    /// As the verb, or when a guarding lock is lost.
    pub fn apply<V: WriteCommand>(
        &self,
        verb: &V,
        transaction: &mut Transaction<'_>,
    ) -> Result<V::Answer, Abort> {
        self.apply_after(|_| Ok(()), verb, transaction)
    }

    /// The same if `check` lets it, which sees the documents as they hold.
    ///
    /// # Errors
    /// As the verb, the check, or when a guarding lock is lost.
    pub fn apply_after<V: WriteCommand>(
        &self,
        check: impl FnOnce(&Transaction<'_>) -> Result<(), Abort>,
        verb: &V,
        transaction: &mut Transaction<'_>,
    ) -> Result<V::Answer, Abort> {
        // What was undone holds, for guards as well.
        crate::app::stale::put_back(transaction)?;
        check(transaction)?;
        self.check_guards(transaction)?;
        let answer = verb.apply(transaction)?;
        self.add_beat(transaction)?;
        Ok(answer)
    }

    /// Refuses when a guarding lock is lost.
    fn check_guards(&self, transaction: &Transaction<'_>) -> Result<(), Abort> {
        if self.guards.is_empty() || planted("guards-ignored") {
            return Ok(());
        }
        let locks: Table<Lock> = transaction.table()?;
        for (name, token) in &self.guards {
            if let Some(trouble) = locks.trouble_with(name.as_str()) {
                return Err(trouble.refusal(Action::CheckLock, name.as_str()).into());
            }
            let free = || {
                let free = Lock::free(name.as_str());
                free.fails(*token, LockCondition::NeverTaken, None)
            };
            let lock = locks.get(name.as_str()).ok_or_else(free)?;
            lock.check_token(*token)?;
            let ours = self.holders.iter().find(|(held, _)| held == name).map(|(_, holder)| holder.as_str());
            if ours.is_some_and(|holder| lock.locked_by.as_deref() != Some(holder)) {
                return Err(lock.fails(*token, LockCondition::SetBack, ours).into());
            }
        }
        Ok(())
    }

    /// The sign of life.
    fn add_beat(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let Some(beat) = &self.beat else { return Ok(()) };
        transaction.trailer("Muster-Server", beat.server.as_str());
        if transaction.changes_main() {
            beat::refresh_main(beat, transaction)?;
        }
        Ok(())
    }

    /// Runs `verb` on the hub.
    ///
    /// # Errors
    /// As [`Ledger::update`].
    pub fn run<V: WriteCommand>(
        &self,
        ledger: &mut Ledger,
        op: OpId,
        now: Timestamp,
        verb: &V,
    ) -> Result<Outcome<V::Answer>, LedgerError> {
        ledger.write(Request { op, now, author: None, what: Write { envelope: self.clone(), verb } })
    }
}

macro_rules! operations {
    ($($name:ident($verb:ty)),* $(,)?) => {
        /// Every verb that writes, as data.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "verb", rename_all = "snake_case")]
        pub enum Operation {
            $(
                #[doc = concat!("See [`", stringify!($verb), "`].")]
                $name($verb),
            )*
        }

        $(
            impl From<$verb> for Operation {
                fn from(verb: $verb) -> Self {
                    Self::$name(verb)
                }
            }
        )*

        impl WriteCommand for Operation {
            type Answer = Value;
            fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Abort> {
                match self {
                    $(Self::$name(verb) => verb.apply(transaction).map(|answer| to_value(&answer)),)*
                }
            }
        }
    };
}

operations! {
    AddJobs(job_add::AddJobs),
    ClaimJobs(job_claim::ClaimJobs),
    StepJob(job_step::StepJob),
    ChangeJob(job_step::ChangeJob),
    RescueJobs(reclaim::ReclaimJobs),
    AcquireLock(lock::AcquireLock),
    RenewLock(lock::RenewLock),
    ReleaseLock(lock::ReleaseLock),
    StealLock(lock::StealLock),
    MarkDone(lock::MarkDone),
    SendMessage(message::SendMessage),
    MarkMessages(message::MarkMessages),
    Join(server::Join),
    RemoveServer(removal::RemoveServer),
    SetStatus(status::SetStatus),
    SendBeat(beat::SendBeat),
    SetPause(pause::SetPause),
    EndPause(pause::EndPause),
    Archive(archive::Archive),
    MendRecords(mend::RepairRecords),
    Found(found::InitHub),
}

impl Operation {
    /// Whether its answer is something that was taken and cannot be asked for by giving the command
    /// again: that takes another.
    #[must_use]
    pub fn hands_out(&self) -> bool {
        match self {
            Self::ClaimJobs(_) | Self::AcquireLock(_) | Self::StealLock(_) => true,
            Self::MarkMessages(marks) => marks.mark == message::MarkAs::Read,
            _ => false,
        }
    }

    /// Who has what it hands out, and can lose it.
    #[must_use]
    pub fn taker(&self) -> Option<&ServerName> {
        match self {
            Self::ClaimJobs(claim) => Some(&claim.claimant.server),
            Self::AcquireLock(acquire) => Some(&acquire.taker.server),
            Self::StealLock(steal) => Some(&steal.taker.server),
            _ => None,
        }
    }

    /// Whether it may happen long after it was wanted: it adds something, or its token says that
    /// nobody came between. Others take something, or say what was so then.
    #[must_use]
    pub fn is_harmless_late(&self) -> bool {
        match self {
            Self::StepJob(step) => !matches!(step.step, job_step::Step::Start),
            Self::AddJobs(_)
            | Self::SendMessage(_)
            | Self::MarkMessages(_)
            | Self::ReleaseLock(_)
            | Self::MarkDone(_)
            | Self::Archive(_) => true,
            _ => false,
        }
    }
}

fn to_value(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).expect("answers have text keys only")
}
