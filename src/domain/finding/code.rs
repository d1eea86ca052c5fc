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
        Unreadable "unreadable" Error
            "A document cannot be read: conflict markers, wrong types, a link, too large.";
        BrokenRecord "broken-record" Error
            "A record cannot be read as what it should be: it is kept as it is and never acted on.";
        Missing "missing" Warning
            "A document that every hub has is not there: it is read as empty.";
        NewerLayout "newer-layout" Warning
            "A document of a layout that this program reads and does not write.";
        BadId "bad-id" Error
            "An id that no command can name.";
        BadName "bad-name" Warning
            "A name that is none, so that nobody is meant by it.";
        IdTwice "id-twice" Error
            "Two records have one id, and only the first of them counts; a note of archived messages.";
        LiveAndArchived "live-and-archived" Error
            "A record is live and archived, or archived twice; a note where it is another message of that id.";
        UnknownStatus "unknown-status" Warning
            "A word that is no status of a job: it is shown and never acted on.";
        HeldByNobody "held-by-nobody" Error
            "A job is held and no server that could finish it is named: nobody takes it back.";
        HeldByStranger "held-by-stranger" Warning
            "A job is held by a server that is not registered, and of which nobody is told when it is lost.";
        HeldWithoutToken "held-without-token" Warning
            "Something is held without a token, so that nothing fences off an earlier holder.";
        UnknownNeed "unknown-need" Warning
            "A job needs one that is not in the queue, and waits in vain.";
        NeedsInCircle "needs-in-circle" Warning
            "Jobs need each other in a circle, and none is ever claimed.";
        UnknownMessage "unknown-message" Note
            "A message answers, or belongs to the thread of, one that is nowhere.";
        OtherServer "other-server" Note
            "A document in a server's folder names another server.";
        NamesAlike "names-alike" Warning
            "Two servers differ in upper and lower case only: some disks cannot tell their folders apart.";
        JobVanished "job-vanished" Error
            "A job is gone and not in the archive.";
        MessageVanished "message-vanished" Error
            "A message is gone and not in the archive.";
        LockVanished "lock-vanished" Error
            "A lock is gone with its token, which would begin again.";
        ServerVanished "server-vanished" Warning
            "A server is gone from the register, and no command took it out.";
        ArchiveVanished "archive-vanished" Error
            "A record is gone from the archive.";
        ArchiveRewritten "archive-rewritten" Error
            "A record of the archive was changed.";
        BeganMidway "began-midway" Error
            "A job began as something else than queued.";
        IllegalStep "illegal-step" Error
            "A job went from one status to another that does not follow it.";
        ClaimedWithoutToken "claimed-without-token" Warning
            "A job was claimed without a token, as older writers do.";
        JobRewritten "job-rewritten" Warning
            "What a job is to do was changed after it was added.";
        TokenLowered "token-lowered" Error
            "A token went down or is gone: an earlier holder may pass for the present one.";
        TokenImpossible "token-impossible" Error
            "A token is so high that it can never have been given, and none can follow it.";
        TokenSkipped "token-skipped" Error
            "A token rose by more than there were claims.";
        TokenWithoutClaim "token-without-claim" Error
            "A job's token rose and nobody claimed it.";
        HandedOver "handed-over" Error
            "A job or a lock went from one holder to another under the same token.";
        TakenWithoutToken "taken-without-token" Warning
            "A free lock was taken under its old token, which the last holder knows too.";
        DoneUndone "undone" Error
            "What was done once for all is marked as not done again.";
        MessageRewritten "message-rewritten" Error
            "A message was changed after it was sent.";
        UnreadAgain "unread-again" Error
            "A message that was read or acknowledged is not so any more.";
        OpTwice "op-twice" Error
            "One operation is in the history twice.";
        Unsettled "unsettled" Note
            "An operation that was begun on this host and never settled.";
        HistoryRewritten "history-rewritten" Error
            "Commits that this host has seen are no longer in the history.";
        HistoryCut "history-cut" Note
            "The beginning of the history is not here.";
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
