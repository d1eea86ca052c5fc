//! The codes of what is found.
//!
//! A code is a promise to programs: it may be added, and is never renamed or given another meaning. Sentences
//! and hints are made elsewhere, from the code and its facts.

use super::Severity;
use serde::{Serialize, Serializer};
use std::fmt;

macro_rules! codes {
    ($($group:ident { $($name:ident $text:literal $severity:ident $meaning:literal;)* })*) => {
        /// What is found.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingCode {
            $($(#[doc = $meaning] $name,)*)*
        }

        impl FindingCode {
            $(
                /// Those of one part, in the order of the documentation.
                pub const $group: &[Self] = &[$(Self::$name,)*];
            )*

            /// The stable word for programs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$name => $text,)*)*
                }
            }

            /// How bad it is unless the circumstances say otherwise.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $($(Self::$name => Severity::$severity,)*)*
                }
            }

            /// What it means: one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $($(Self::$name => $meaning,)*)*
                }
            }
        }
    };
}

codes! {
    FLEET {
        ClockOff "clock-off" Warning
            "The clock of this machine is off by those of most others.";
        HeartbeatNever "heartbeat-never" Warning
            "A registered server has never sent a heartbeat.";
        HeartbeatLate "heartbeat-late" Warning
            "The last heartbeat of a server is older than twice its interval.";
        HeartbeatStale "heartbeat-stale" Error
            "The last heartbeat of a server is older than three times its interval and a minute.";
        HeartbeatBroken "heartbeat-broken" Error
            "A heartbeat of a server cannot be read.";
        NameShared "name-shared" Error
            "Two machines send heartbeats under one name.";
        ServerUnhealthy "server-unhealthy" Error
            "A server says that it is not healthy.";
        ClockSkew "clock-skew" Warning
            "The last heartbeat of a server is dated in the future.";
        BuildFailed "build-failed" Warning
            "The last build of a server failed.";
        ServerUnregistered "server-unregistered" Warning
            "A server has a directory in the hub and is not registered.";
        NoServers "no-servers" Unknown
            "No server is registered.";
        JobStuck "job-stuck" Error
            "A job runs longer than its timeout and the grace beyond it.";
        JobHolderLost "job-holder-lost" Error
            "The server that holds a job sends no heartbeat any more.";
        JobDead "job-dead" Warning
            "A job has used up its attempts.";
        JobBlocked "job-blocked" Warning
            "A job needs one that will not complete.";
        JobUnclaimable "job-unclaimable" Warning
            "No server has the labels that a job asks for.";
        NoWorker "no-worker" Warning
            "Jobs wait, and no worker runs where they could run.";
        Paused "paused" Warning
            "Jobs wait for the end of a pause.";
        GroupHeld "group-held" Warning
            "A group waits for the word that a cancelled job has stopped.";
        LockExpired "lock-expired" Warning
            "The lease of a lock is over, and nobody has taken it over.";
        ClaimsHeldUp "claims-held-up" Warning
            "Somebody holds the lock under which jobs are assigned, and jobs wait.";
        DocumentBroken "document-broken" Unknown
            "A document cannot be read.";
        DocumentNewer "document-newer" Warning
            "A document has a layout that this program reads and does not write.";
        RecordBroken "record-broken" Warning
            "A record cannot be read.";
        RecordWithoutId "record-without-id" Warning
            "A record has no id, or one that no command can name.";
        IdDoubled "id-doubled" Warning
            "A record has the id of one before it.";
        RecordsBroken "records-broken" Warning
            "More records of a document are no good than are told one by one.";
        BranchBroken "branch-broken" Warning
            "A branch of the hub cannot be used.";
        Undone "undone" Warning
            "An older writer, or a merge by hand, undid what was acknowledged.";
        UndoneUnknown "undone-unknown" Warning
            "Nobody can tell whether something was undone.";
    }
    HUB {
        UnknownStatus "unknown-status" Warning
            "A word that is no status of a job: it is shown and never acted on.";
        NeedsInCircle "needs-in-circle" Warning
            "Jobs need each other in a circle, and none is ever claimed.";
        TokenImpossible "token-impossible" Error
            "A token is so high that it can never have been issued, and none can follow it.";
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for FindingCode {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}
