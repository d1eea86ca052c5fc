//! The answer "no": an operation understood its request and the state of the hub forbids it.
//!
//! A refusal is an answer and not a fault: it is final on the documents it was computed on, it is
//! never retried, and nothing was written. It is data: which no, and the facts of it. What a person
//! reads, and which command helps, each front end makes of that.

use super::code::{Class, Code};
use super::id::NameError;
use super::job::JobStatus;
use super::time::{Timestamp, show_span};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

/// Of what a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A job, or the claim of one.
    Job,
    /// A lock, or its lease.
    Lock,
    Message,
    Server,
    /// A pause: `queue`, `label:<label>` or `server:<name>`.
    Pause,
    /// The priority of a job.
    Priority,
    Commit,
    Document,
    /// A record of a document.
    Record,
    /// The status of a server.
    Status,
}

/// What was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    AddJobs,
    StartJob,
    CompleteJob,
    FailJob,
    ReportJob,
    ReleaseJob,
    RenewJob,
    ConfirmStop,
    CancelJob,
    RetryJob,
    RequeueJob,
    ReclaimJob,
    SetPriority,
    ChangeJob,
    AcquireLock,
    RenewLock,
    ReleaseLock,
    ChangeLock,
    IssueToken,
    CheckLock,
    SendMessage,
    MarkMessage,
    AcknowledgeMessage,
    Join,
    RemoveServer,
    Pause,
    Resume,
    ForgetArtifacts,
    Show,
    ShowWorker,
}

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// Letters, digits and `._-`.
    Word,
    /// Some text without spaces and control characters.
    NoSpace,
    AtLeastOne,
    /// Some text without control characters, and not too long.
    ShortText,
    /// Names of attempts that a worker gives, and not too many.
    Attempts,
    /// The status of a job.
    JobStatus,
}

/// A lock that another holds, at the time `at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldLockFacts {
    /// Its name.
    pub lock: String,
    /// The server that holds it.
    pub holder: Option<String>,
    /// What of that server does.
    pub process: Option<String>,
    /// When it was taken.
    pub since: Option<Timestamp>,
    /// Under which token.
    pub token: Option<u64>,
    /// How long it counts without a renewal.
    pub lease_seconds: u64,
    /// For how long its lease has been over by the clock of who answers, which decides nothing.
    pub expired_seconds: Option<u64>,
    /// When this was so.
    pub at: Timestamp,
}

impl HeldLockFacts {
    /// For people: who holds it, and since when.
    #[must_use]
    pub fn describe(&self) -> String {
        let by = self.holder.as_deref().unwrap_or("somebody");
        let process = self.process.as_deref().map_or(String::new(), |process| format!(" ({process})"));
        let since = self.since.map_or(String::new(), |since| {
            format!(" since {} ({} ago)", since.told(), show_span(self.at.since(since)))
        });
        let over = self.expired_seconds.map_or(String::new(), |over| {
            format!(", and its lease expired {} ago", show_span(Duration::from_secs(over)))
        });
        format!("lock `{}` is held by `{by}`{process}{since}{over}", self.lock)
    }
}

/// A token that is not the present one, and how it stands instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Of what.
    pub kind: Kind,
    /// Its name or id.
    pub id: String,
    /// What was not done.
    pub action: Action,
    /// The token that was given.
    pub token: u64,
    /// The last one that was issued.
    pub last_token: Option<u64>,
    /// Of a job: where it is in its life.
    pub status: Option<JobStatus>,
    /// Who holds it now.
    pub holder: Option<String>,
}

/// Why a lock does not stand as a write depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockCondition {
    /// Nobody ever took it.
    NeverTaken,
    /// It is not held with that token.
    NotHeld,
    /// Another holds it with that token: the hub was set back.
    SetBack,
}

/// How many there are of something that a hub holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Of what.
    pub what: Holdable,
    /// How many.
    pub count: usize,
}

/// What makes a hub one that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holdable {
    Job,
    Message,
    Server,
    HeldLock,
    DoneOnce,
    UnreadablePause,
    Archive,
}

/// A refused operation: one way to say no, and its facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", content = "facts", rename_all = "kebab-case")]
pub enum Refusal {
    JobNotFound {
        job: String,
        archived: bool,
    },
    NeededJobNotFound {
        need: String,
    },
    ServerNotFound {
        server: String,
        action: Action,
    },
    LockNotFound {
        lock: String,
    },
    MessageNotFound {
        message: String,
        action: Action,
    },
    ArtifactsNotFound {
        job: String,
        /// Whether there is such a job.
        known: bool,
        /// Whether a worker has run it.
        run: bool,
    },
    NotFound {
        kind: Kind,
        id: String,
    },
    NothingToClaim {
        server: String,
        queued: usize,
    },
    ServerPaused(Box<Pausing>),
    NotPaused {
        what: String,
    },
    AlreadyDone {
        lock: String,
        at: Timestamp,
        by: Option<String>,
    },
    LockHeld(Box<HeldLockFacts>),
    LockNotWatched(Box<HeldLockFacts>),
    TokenExhausted {
        kind: Kind,
        id: String,
    },
    NotHolder {
        kind: Kind,
        id: String,
        action: Action,
        token: u64,
        holder: Option<String>,
        caller: String,
    },
    JobFinished {
        job: String,
        status: JobStatus,
        action: Action,
    },
    JobNotFinished {
        job: String,
        status: JobStatus,
    },
    JobNotDead {
        job: String,
        status: JobStatus,
    },
    JobNotCancelled {
        job: String,
        status: JobStatus,
    },
    StopUnconfirmed {
        job: String,
        server: String,
        token: u64,
        until: Option<Timestamp>,
    },
    ArtifactRequired {
        job: String,
        pattern: String,
    },
    JobNotClaimable {
        job: String,
        status: JobStatus,
        waits_for: String,
    },
    NeededJobFailed {
        need: String,
        status: JobStatus,
    },
    NothingReclaimed {
        jobs: Vec<String>,
    },
    AlreadyApplied {
        kind: Kind,
        id: String,
        op: String,
    },
    ServerNameTaken {
        server: String,
        host: Option<String>,
        is_same_host: bool,
    },
    ServerNameAlike {
        server: String,
        other: String,
    },
    ServerBusy {
        server: String,
        kind: Kind,
        id: String,
    },
    ServerNotRegistered {
        server: String,
    },
    NotRecipient {
        message: String,
        from: String,
        to: String,
        caller: String,
        action: Action,
    },
    AutomaticReply {
        message: String,
    },
    StatusOutdated {
        server: String,
        status: String,
        at: Timestamp,
    },
    PauseOver {
        until: Timestamp,
        present: Timestamp,
    },
    ChangedSince {
        kind: Kind,
        id: String,
        then: Option<String>,
        now: String,
    },
    HubInUse {
        holds: Vec<Holding>,
    },
    RecordUnusable(Box<UnusableRecord>),
    AssignmentUnusable {
        lock: String,
        holder: String,
        problem: String,
    },
    DocumentTooLarge {
        kind: Kind,
        path: String,
        bytes: usize,
        limit: usize,
    },
    TooManyRecords {
        path: String,
        records: usize,
        limit: usize,
    },
    ArchivesFull {
        directory: String,
        path: String,
        last: String,
    },
    LogPathInvalid {
        job: String,
        path: String,
    },
    ClaimsWithheld {
        server: String,
        cause: Option<String>,
    },
    TokenSuperseded(Box<Token>),
    TokenEnded(Box<Token>),
    TokenNeverIssued(Box<Token>),
    LockConditionFailed(Box<ConditionFailed>),
    SessionEnded {
        server: String,
    },
    NameInvalid {
        kind: String,
        given: String,
        rule: String,
    },
    ValueInvalid {
        action: Action,
        field: &'static str,
        given: String,
        expected: Expected,
    },
    PatternInvalid {
        field: &'static str,
        given: String,
        why: String,
    },
    TextEmpty {
        action: Action,
        field: &'static str,
    },
    TextTooLong {
        action: Action,
        field: &'static str,
        length: usize,
        limit: usize,
    },
    CharacterNotAllowed {
        action: Action,
        field: &'static str,
    },
    CredentialFound {
        action: Action,
        field: &'static str,
        credential: &'static str,
    },
    ListTooLong(TooLong),
    BatchTooLarge {
        count: usize,
        limit: usize,
    },
    ExitCodeContradicts {
        job: String,
        exit_code: i64,
        action: Action,
    },
    /// One of several jobs that are added together is refused. The code is that of its refusal.
    #[serde(skip)]
    OfJob {
        number: usize,
        of: usize,
        refusal: Box<Self>,
    },
}

/// A pause of a server that wants to claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pausing {
    pub server: String,
    /// Who paused it.
    pub by: Option<String>,
    pub since: Option<Timestamp>,
    /// Until when; nothing if until it is resumed.
    pub until: Option<Timestamp>,
    pub note: Option<String>,
    /// When this was so.
    pub at: Timestamp,
}

/// A record that is needed and no good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnusableRecord {
    /// What was not done.
    pub action: Action,
    /// With what.
    pub subject: String,
    /// The document.
    pub path: String,
    /// Where in it: `jobs[3]`.
    pub place: String,
    /// Its id, or what stands for one; may be empty.
    pub id: String,
    /// What is wrong.
    pub problem: String,
}

/// A lock that does not stand as a write depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionFailed {
    /// Its name.
    pub lock: String,
    /// With which token it was to be held.
    pub token: u64,
    /// In which way it is not.
    pub cause: LockCondition,
    /// The last one that was issued.
    pub last_token: Option<u64>,
    /// Who holds it.
    pub holder: Option<String>,
    /// Who was to hold it, if that is known.
    pub expected_holder: Option<String>,
}

/// A list that is too long, or whose entries are together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TooLong {
    /// What was not done.
    pub action: Action,
    /// The list.
    pub field: &'static str,
    /// How many entries it has.
    pub count: usize,
    /// How many it may have.
    pub limit: usize,
    /// How many bytes they have together, where that is bounded.
    pub bytes: Option<usize>,
    /// How many they may have.
    pub bytes_limit: Option<usize>,
}

macro_rules! code_of {
    ($refusal:expr, $($name:ident)*) => {
        match $refusal {
            $(Refusal::$name { .. } => Code::$name,)*
            Refusal::OfJob { refusal, .. } => refusal.code(),
        }
    };
}

impl Refusal {
    /// A token that is not the present one: superseded, ended, or never issued.
    #[must_use]
    pub fn token(token: Token) -> Self {
        let order = token.token.cmp(&token.last_token.unwrap_or(0));
        let token = Box::new(token);
        match order {
            Ordering::Less => Self::TokenSuperseded(token),
            Ordering::Equal => Self::TokenEnded(token),
            Ordering::Greater => Self::TokenNeverIssued(token),
        }
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        code_of!(
            self,
            JobNotFound NeededJobNotFound ServerNotFound LockNotFound MessageNotFound ArtifactsNotFound NotFound
            NothingToClaim ServerPaused NotPaused AlreadyDone LockHeld LockNotWatched TokenExhausted
            NotHolder JobFinished JobNotFinished JobNotDead JobNotCancelled StopUnconfirmed ArtifactRequired
            JobNotClaimable NeededJobFailed NothingReclaimed AlreadyApplied ServerNameTaken
            ServerNameAlike ServerBusy ServerNotRegistered NotRecipient AutomaticReply StatusOutdated
            PauseOver ChangedSince HubInUse RecordUnusable AssignmentUnusable DocumentTooLarge
            TooManyRecords ArchivesFull LogPathInvalid ClaimsWithheld TokenSuperseded TokenEnded TokenNeverIssued
            LockConditionFailed SessionEnded NameInvalid ValueInvalid PatternInvalid TextEmpty
            TextTooLong CharacterNotAllowed CredentialFound ListTooLong BatchTooLarge
            ExitCodeContradicts
        )
    }

    /// What sort of no.
    #[must_use]
    pub fn class(&self) -> Class {
        self.code().class()
    }

    /// Its facts, by the names that [`Code::facts`] tells.
    #[must_use]
    pub fn facts(&self) -> Value {
        if let Self::OfJob { refusal, .. } = self {
            return refusal.facts();
        }
        let mut whole = serde_json::to_value(self).expect("refusals have text keys only");
        whole.get_mut("facts").map(Value::take).unwrap_or_default()
    }

    /// Which part of the request is refused, as a JSON pointer into it, if one of several is.
    #[must_use]
    pub fn pointer(&self) -> Option<String> {
        match self {
            Self::OfJob { number, .. } => Some(format!("/jobs/{}", number.saturating_sub(1))),
            _ => None,
        }
    }
}

/// What makes the words of a refusal: those who speak to people hand it down.
pub type RefusalWords = fn(&Refusal) -> String;

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::NameInvalid { kind: error.what.to_owned(), given: error.given, rule: error.why.to_owned() }
    }
}

/// For logs: the code and the facts.
impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.code(), self.facts())
    }
}

#[cfg(test)]
pub(crate) mod tests;
