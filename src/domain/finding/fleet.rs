//! The facts of what is found of a fleet, which `health` looks for.

use super::FindingCode;
use crate::domain::bad_branch::BadBranch;
use crate::domain::clocks::ClockSkew;
use crate::domain::job::JobStatus;
use crate::domain::pause::{Pause, Paused};
use crate::domain::time::Timestamp;
use serde::Serialize;

/// One trouble of a fleet, with its facts. Times are spans in seconds where they end in `_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", content = "facts", rename_all = "kebab-case")]
pub enum FleetFact {
    ClockOff(ClockSkew),
    HeartbeatNever,
    HeartbeatLate {
        age_seconds: u64,
        interval_seconds: u64,
    },
    HeartbeatStale {
        age_seconds: u64,
        interval_seconds: u64,
    },
    HeartbeatBroken {
        problem: String,
    },
    NameShared {
        host: String,
        other_host: String,
    },
    ServerUnhealthy {
        age_seconds: u64,
    },
    ClockSkew {
        ahead_seconds: u64,
        /// Whether it is ahead of the clocks of the others, and not of this one, which is off.
        is_beside_others: bool,
    },
    BuildFailed {
        job: Option<String>,
        ago_seconds: Option<u64>,
    },
    ServerUnregistered {
        /// Whether other servers are registered. Where none is, directories count.
        has_register: bool,
    },
    NoServers,
    JobStuck {
        status: JobStatus,
        holder: Option<String>,
        held_seconds: u64,
        timeout_seconds: u64,
    },
    JobHolderLost {
        status: JobStatus,
        holder: String,
        age_seconds: u64,
    },
    JobDead {
        attempts: u64,
        reason: Option<String>,
    },
    JobBlocked {
        need: String,
        /// The status of what it needs; nothing when there is no such job.
        status: Option<String>,
    },
    JobUnclaimable {
        labels: Vec<String>,
    },
    NoWorker {
        jobs: usize,
        /// The first of them.
        examples: Vec<String>,
        /// When a worker was seen last that could take one.
        since: Option<Timestamp>,
        at: Timestamp,
    },
    Paused {
        what: Paused,
        pause: Box<Pause>,
        jobs: usize,
        at: Timestamp,
    },
    /// Every server that could take them is paused by itself: of the same code.
    #[serde(rename = "paused")]
    EachServerPaused {
        /// The first of the jobs.
        job: String,
        jobs: usize,
    },
    GroupHeld {
        job: String,
        server: String,
        token: Option<u64>,
        cancelled_seconds: u64,
        jobs: usize,
    },
    LockExpired {
        holder: String,
        expired_seconds: u64,
        /// For how long whoever needs it has to wait to see that nobody renews it.
        wait_seconds: u64,
        /// Whether it is the one under which jobs are assigned.
        is_of_claims: bool,
    },
    ClaimsHeldUp {
        holder: String,
        held_seconds: u64,
    },
    DocumentBroken {
        problem: String,
    },
    DocumentNewer {
        version: String,
    },
    RecordBroken(RecordFact),
    RecordWithoutId(RecordFact),
    IdDoubled(RecordFact),
    TokenImpossible(RecordFact),
    RecordsBroken {
        records: usize,
    },
    BranchBroken {
        branch: BadBranch,
        hub: String,
    },
    Undone,
    UndoneUnknown {
        causes: Vec<String>,
    },
}

/// A record that is no good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordFact {
    /// Its id, or what stands for one; may be empty.
    pub id: String,
    /// What is wrong.
    pub problem: String,
}

macro_rules! code_of {
    ($fact:expr, $($name:ident)*) => {
        match $fact {
            $(FleetFact::$name { .. } => FindingCode::$name,)*
            FleetFact::EachServerPaused { .. } => FindingCode::Paused,
        }
    };
}

impl FleetFact {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> FindingCode {
        code_of!(
            self,
            ClockOff HeartbeatNever HeartbeatLate HeartbeatStale HeartbeatBroken NameShared ServerUnhealthy
            ClockSkew BuildFailed ServerUnregistered NoServers JobStuck JobHolderLost JobDead JobBlocked
            JobUnclaimable NoWorker Paused GroupHeld LockExpired ClaimsHeldUp
            DocumentBroken DocumentNewer RecordBroken RecordWithoutId IdDoubled TokenImpossible RecordsBroken
            BranchBroken Undone UndoneUnknown
        )
    }

    /// How many jobs wait for its end, where it counts them.
    #[must_use]
    pub fn jobs(&self) -> Option<usize> {
        match self {
            Self::NoWorker { jobs, .. }
            | Self::Paused { jobs, .. }
            | Self::EachServerPaused { jobs, .. }
            | Self::GroupHeld { jobs, .. } => Some(*jobs),
            _ => None,
        }
    }
}
