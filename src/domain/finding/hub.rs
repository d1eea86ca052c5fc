//! The facts of broken rules of a hub, which `fsck` looks for.

use super::FindingCode;
use crate::domain::id::NameError;
use crate::domain::job::JobStatus;
use crate::domain::time::Timestamp;
use serde::Serialize;

/// One broken rule, with its facts. Several facts may have one code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "code", content = "facts", rename_all = "kebab-case")]
pub enum HubFact {
    Unreadable {
        problem: String,
        /// The branch, if it is not the main one.
        branch: Option<String>,
    },
    BrokenRecord {
        problem: String,
    },
    Missing,
    /// A commit took it away.
    #[serde(rename = "missing")]
    Removed {
        commit: String,
    },
    NewerLayout {
        version: String,
    },
    BadId(NameFact),
    /// The marker of the hub has none.
    #[serde(rename = "bad-id")]
    MarkerWithoutId,
    BadName(NameFact),
    #[serde(rename = "bad-name")]
    BadRecipient {
        to: String,
    },
    /// A directory that nobody can check out.
    #[serde(rename = "bad-name")]
    BadDirectory,
    IdTwice,
    LiveAndArchived {
        /// The other document.
        other: String,
        /// Whether it is the same record there, and not another of that id.
        is_same: bool,
    },
    UnknownStatus {
        status: String,
    },
    HeldByNobody {
        status: JobStatus,
        /// What is named as its holder and is no server; empty if nothing is.
        holder: String,
    },
    HeldByStranger {
        status: JobStatus,
        holder: String,
    },
    HeldWithoutToken {
        /// Of a job.
        status: Option<JobStatus>,
    },
    UnknownNeed {
        need: String,
        is_archived: bool,
    },
    NeedsInCircle,
    UnknownMessage {
        message: String,
        /// Whether it is the thread, and not what is answered.
        is_thread: bool,
    },
    OtherServer {
        server: String,
        named: String,
    },
    NamesAlike {
        other: String,
    },
    JobVanished {
        status: JobStatus,
    },
    MessageVanished,
    LockVanished {
        /// Its last token; none if it was held without one.
        token: Option<u64>,
    },
    ServerVanished,
    ArchiveVanished,
    ArchiveRewritten,
    BeganMidway {
        status: JobStatus,
        token: Option<u64>,
    },
    IllegalStep {
        from: JobStatus,
        to: JobStatus,
    },
    /// It was claimed without a new token.
    #[serde(rename = "illegal-step")]
    ClaimedUnderOldToken {
        from: JobStatus,
        to: JobStatus,
        token: u64,
    },
    /// It is told to have stopped, and was not cancelled, or was told before.
    #[serde(rename = "illegal-step")]
    StoppedWrongly {
        status: JobStatus,
    },
    ClaimedWithoutToken {
        holder: Option<String>,
    },
    JobRewritten {
        fields: Vec<&'static str>,
    },
    TokenLowered {
        from: u64,
        to: Option<u64>,
    },
    /// The register of tokens knows a higher one.
    #[serde(rename = "token-lowered")]
    TokenForgotten {
        token: Option<u64>,
        last_token: u64,
    },
    TokenImpossible {
        problem: String,
    },
    TokenSkipped {
        from: u64,
        to: u64,
    },
    TokenWithoutClaim {
        from: u64,
        to: u64,
        status_before: JobStatus,
        status: JobStatus,
    },
    HandedOver {
        from: Option<String>,
        to: Option<String>,
        token: u64,
    },
    TakenWithoutToken {
        by: String,
        /// The old one, under which it was taken; nothing where older writers took it without any.
        token: Option<u64>,
    },
    #[serde(rename = "undone")]
    DoneUndone,
    MessageRewritten,
    UnreadAgain(Unread),
    OpTwice {
        /// In which commit it is first.
        first: usize,
        /// How many commits there are.
        of: usize,
    },
    Unsettled {
        at: Timestamp,
        is_in_history: bool,
    },
    HistoryRewritten(Box<Rewritten>),
    HistoryCut {
        cause: CutBy,
    },
}

/// A name or id that is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct NameFact {
    /// What it was to be: `server name`, `job id`.
    pub kind: &'static str,
    /// The text, cut and with control characters escaped.
    pub given: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

impl From<NameError> for NameFact {
    fn from(error: NameError) -> Self {
        Self { kind: error.what, given: error.given, rule: error.why }
    }
}

/// In which way a message is not read any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "lost", content = "by", rename_all = "kebab-case")]
pub enum Unread {
    /// This server had acknowledged it.
    Acknowledged(String),
    /// This server had read it.
    Read(String),
    /// It was marked as read, by nobody in particular.
    Marked,
}

/// Commits that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Rewritten {
    /// How many.
    pub commits: usize,
    /// How many of them no operation made.
    pub by_hand: usize,
    /// The oldest of them, in short.
    pub oldest: String,
    /// The newest of them, in short.
    pub newest: String,
    /// Some of their operations that are not in the new history.
    pub lost: Vec<String>,
    /// How many more there are of those.
    pub lost_more: usize,
    /// The repository that has them still.
    pub repository: String,
    /// The ref that keeps them there.
    pub kept_as: Option<String>,
}

/// Why the beginning of the history was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutBy {
    /// The clone is shallow.
    Shallow,
    /// It is too long to be walked whole.
    Length,
    /// Some merges or messages in it are too large to be looked at whole.
    Width,
}

impl HubFact {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> FindingCode {
        match self {
            Self::Unreadable { .. } => FindingCode::Unreadable,
            Self::BrokenRecord { .. } => FindingCode::BrokenRecord,
            Self::Missing | Self::Removed { .. } => FindingCode::Missing,
            Self::NewerLayout { .. } => FindingCode::NewerLayout,
            Self::BadId(_) | Self::MarkerWithoutId => FindingCode::BadId,
            Self::BadName(_) | Self::BadRecipient { .. } | Self::BadDirectory => FindingCode::BadName,
            Self::IdTwice => FindingCode::IdTwice,
            Self::LiveAndArchived { .. } => FindingCode::LiveAndArchived,
            Self::UnknownStatus { .. } => FindingCode::UnknownStatus,
            Self::HeldByNobody { .. } => FindingCode::HeldByNobody,
            Self::HeldByStranger { .. } => FindingCode::HeldByStranger,
            Self::HeldWithoutToken { .. } => FindingCode::HeldWithoutToken,
            Self::UnknownNeed { .. } => FindingCode::UnknownNeed,
            Self::NeedsInCircle => FindingCode::NeedsInCircle,
            Self::UnknownMessage { .. } => FindingCode::UnknownMessage,
            Self::OtherServer { .. } => FindingCode::OtherServer,
            Self::NamesAlike { .. } => FindingCode::NamesAlike,
            Self::JobVanished { .. } => FindingCode::JobVanished,
            Self::MessageVanished => FindingCode::MessageVanished,
            Self::LockVanished { .. } => FindingCode::LockVanished,
            Self::ServerVanished => FindingCode::ServerVanished,
            Self::ArchiveVanished => FindingCode::ArchiveVanished,
            Self::ArchiveRewritten => FindingCode::ArchiveRewritten,
            Self::BeganMidway { .. } => FindingCode::BeganMidway,
            Self::IllegalStep { .. } | Self::ClaimedUnderOldToken { .. } | Self::StoppedWrongly { .. } => {
                FindingCode::IllegalStep
            }
            Self::ClaimedWithoutToken { .. } => FindingCode::ClaimedWithoutToken,
            Self::JobRewritten { .. } => FindingCode::JobRewritten,
            Self::TokenLowered { .. } | Self::TokenForgotten { .. } => FindingCode::TokenLowered,
            Self::TokenImpossible { .. } => FindingCode::TokenImpossible,
            Self::TokenSkipped { .. } => FindingCode::TokenSkipped,
            Self::TokenWithoutClaim { .. } => FindingCode::TokenWithoutClaim,
            Self::HandedOver { .. } => FindingCode::HandedOver,
            Self::TakenWithoutToken { .. } => FindingCode::TakenWithoutToken,
            Self::DoneUndone => FindingCode::DoneUndone,
            Self::MessageRewritten => FindingCode::MessageRewritten,
            Self::UnreadAgain(_) => FindingCode::UnreadAgain,
            Self::OpTwice { .. } => FindingCode::OpTwice,
            Self::Unsettled { .. } => FindingCode::Unsettled,
            Self::HistoryRewritten(_) => FindingCode::HistoryRewritten,
            Self::HistoryCut { .. } => FindingCode::HistoryCut,
        }
    }
}
