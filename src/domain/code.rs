//! The codes of everything that can be answered in place of what was asked for: refusals and faults alike.
//!
//! A code is a promise to programs: it may be added, and is never renamed or given another meaning. Its
//! class decides the exit code; sentences and hints are made elsewhere, from the code and its facts.

use serde::{Serialize, Serializer};
use std::fmt;

/// What sort of answer it is; a front end turns it into an exit code or a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What was asked for does not exist.
    NotFound,
    /// There is nothing to do: no job to claim, the question is answered no.
    Nothing,
    /// Held by another, an illegal transition, a failed precondition, a rule of the hub.
    Forbidden,
    /// The caller's claim or lease is lost: its token is no longer valid.
    LeaseLost,
    /// The request itself is not acceptable, whatever the hub holds.
    Invalid,
    /// The hub does not answer.
    Unreachable,
    /// The hub may or may not have it.
    Unknown,
    /// Others were faster, or what was waited for did not come in time.
    Contended,
    /// What is configured cannot work.
    Configuration,
    /// A document or this machine fails.
    Failed,
    /// Ended by a signal before it was done.
    Interrupted,
    /// A bug of this program.
    Bug,
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It fails until somebody changes something.
    No,
    /// It may succeed by itself.
    Later,
    /// Whether it happened is to be found out first.
    Resolve,
}

impl Retry {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Later => "later",
            Self::Resolve => "resolve",
        }
    }
}

macro_rules! codes {
    ($($name:ident $text:literal $class:ident $retry:ident [$($fact:literal)*] $meaning:literal;)*) => {
        /// A reason not to do what was asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable word for programs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What sort of answer it is.
            #[must_use]
            pub fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)*
                }
            }

            /// Whether the same request may succeed later.
            #[must_use]
            pub fn retry(self) -> Retry {
                match self {
                    $(Self::$name => Retry::$retry,)*
                }
            }

            /// When it is answered: one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }

            /// The names of its facts. All are told each time; one that is not known is null.
            #[must_use]
            pub fn facts(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$($fact),*],)*
                }
            }
        }
    };
}

codes! {
    JobNotFound "job-not-found" NotFound No ["job" "archived"]
        "No job has this id or key, live or archived.";
    NeededJobNotFound "needed-job-not-found" NotFound No ["need"]
        "A needed job is neither live nor archived.";
    ServerNotFound "server-not-found" NotFound No ["server" "action"]
        "No server of this name is registered.";
    LockNotFound "lock-not-found" NotFound No ["lock"]
        "No lock of this name was ever acquired.";
    MessageNotFound "message-not-found" NotFound No ["message" "action"]
        "No message has this id, live or archived.";
    LogNotFound "log-not-found" NotFound No ["job"]
        "The hub has no log of the job.";
    ArtifactsNotFound "artifacts-not-found" NotFound No ["job" "known" "run"]
        "The hub has no manifest of the job.";
    ArtifactNotFound "artifact-not-found" NotFound No ["job" "file"]
        "The manifest of the job does not list the file.";
    ArtifactElsewhere "artifact-elsewhere" NotFound No ["job" "file" "server"]
        "The file is neither in the hub nor on this machine.";
    OperationNotFound "operation-not-found" NotFound No ["op" "journaled" "may_arrive"]
        "No commit in the hub contains the operation.";
    SourceRevisionNotFound "source-revision-not-found" NotFound No ["source" "what"]
        "The source repository does not have the branch or commit.";
    NotFound "not-found" NotFound No ["kind" "id"]
        "Another named object does not exist.";
    NothingToClaim "nothing-to-claim" Nothing Later ["server" "queued"]
        "There is no queued job that this server can claim now.";
    ServerPaused "server-paused" Nothing Later ["server" "by" "since" "until" "note" "at"]
        "Claims of this server are paused.";
    NotPaused "not-paused" Nothing No ["what"]
        "The server, label or queue to resume is not paused.";
    AlreadyDone "already-done" Nothing No ["lock" "at" "by"]
        "The one-time task is already done.";
    LockHeld "lock-held" Forbidden Later
        ["lock" "holder" "process" "since" "token" "lease_seconds" "expired_seconds" "at"]
        "Another server holds the lock, and its lease was not seen to expire.";
    LockNotWatched "lock-not-watched" Forbidden Later
        ["lock" "holder" "process" "since" "token" "lease_seconds" "expired_seconds" "at"]
        "Without `--force`, a lock is stolen only after this machine has watched it for the full lease.";
    TokenExhausted "token-exhausted" Forbidden No ["kind" "id"]
        "The record has the highest possible token, so no further one can be issued.";
    NotHolder "not-holder" Forbidden No ["kind" "id" "action" "token" "holder" "caller"]
        "The token is valid, but this server is not its holder.";
    JobFinished "job-finished" Forbidden No ["job" "status" "action"]
        "The job is already finished.";
    JobNotFinished "job-not-finished" Forbidden No ["job" "status"]
        "The job to retry is not finished.";
    JobNotDead "job-not-dead" Forbidden No ["job" "status"]
        "The job is not dead.";
    JobNotCancelled "job-not-cancelled" Forbidden No ["job" "status"]
        "The job is not cancelled.";
    StopUnconfirmed "stop-unconfirmed" Forbidden Later ["job" "server" "token" "until"]
        "The cancelled job to retry may still be running.";
    ArtifactRequired "artifact-required" Forbidden No ["job" "pattern"]
        "No artifact of the completed job matches one of its required patterns.";
    JobNotClaimable "job-not-claimable" Forbidden Later ["job" "status" "waits_for"]
        "The job to claim is waiting or not queued.";
    NeededJobFailed "needed-job-failed" Forbidden No ["need" "status"]
        "The new job is cancelled if a needed job fails, and that job has failed.";
    NothingReclaimed "nothing-reclaimed" Forbidden No ["jobs"]
        "The watched claims have changed in the meantime.";
    AlreadyApplied "already-applied" Forbidden No ["kind" "id" "op"]
        "The record that this operation creates already exists.";
    ServerNameTaken "server-name-taken" Forbidden No ["server" "host" "is_same_host"]
        "Another machine uses the server name.";
    ServerNameAlike "server-name-alike" Forbidden No ["server" "other"]
        "The server name differs from another one only in case.";
    ServerBusy "server-busy" Forbidden No ["server" "kind" "id"]
        "The server to remove holds a job or a lock.";
    ServerNotRegistered "server-not-registered" Forbidden No ["server"]
        "The server that writes is not registered.";
    NotRecipient "not-recipient" Forbidden No ["message" "from" "to" "caller" "action"]
        "The message is for another server.";
    AutomaticReply "automatic-reply" Forbidden No ["message"]
        "An automatic message answers an automatic message.";
    StatusOutdated "status-outdated" Forbidden No ["server" "status" "at"]
        "The status was set again after this operation started.";
    PauseOver "pause-over" Forbidden No ["until" "present"]
        "By the clocks of other servers the pause would already have ended.";
    ChangedSince "changed-since" Forbidden No ["kind" "id" "then" "now"]
        "The lock or job has changed since the operation started.";
    HubInUse "hub-in-use" Forbidden No ["holds"]
        "The target hub of the import already holds records.";
    RecordUnusable "record-unusable" Forbidden No ["action" "subject" "path" "place" "id" "problem"]
        "A required record cannot be used.";
    AssignmentUnusable "assignment-unusable" Forbidden No ["lock" "holder" "problem"]
        "A lock of another protocol is held, and the rest of its record is unreadable.";
    DocumentTooLarge "document-too-large" Forbidden No ["kind" "path" "bytes" "limit"]
        "A document or record would exceed its size limit.";
    TooManyRecords "too-many-records" Forbidden No ["path" "records" "limit"]
        "A document would hold more records than the limit.";
    ArchivesFull "archives-full" Forbidden No ["directory" "path" "last"]
        "All archives of the following months are full.";
    WorkerRunning "worker-running" Forbidden No ["server"]
        "A worker of the server is running on this machine.";
    ClaimsWithheld "claims-withheld" Forbidden Later ["server" "cause"]
        "This server claims no jobs for a reason of its own, such as too little free space.";
    LogPathInvalid "log-path-invalid" Forbidden No ["job" "path"]
        "The job names a log path that no worker writes.";
    FileExists "file-exists" Forbidden No ["path" "file"]
        "The name of a file to be written is taken.";
    ArtifactCopyMissing "artifact-copy-missing" Forbidden No ["job" "file" "path"]
        "The manifest names a copy that is not in the hub.";
    BuildNotTaggable "build-not-taggable" Forbidden No ["job" "cause"]
        "The build is not completed, is too old, or has no branch or commit.";
    SourceUnusable "source-unusable" Forbidden No ["source" "why"]
        "The source repository contains a path that cannot be checked out.";
    OperationOfAnotherHub "operation-of-another-hub" Forbidden No ["op" "hub"]
        "The operation was started on another hub than the current one.";
    HubExists "hub-exists" Forbidden No ["hub" "branch"]
        "Another branch of the repository already holds a hub.";
    TokenSuperseded "token-superseded" LeaseLost No
        ["kind" "id" "action" "token" "last_token" "status" "holder"]
        "A higher token has been issued since.";
    TokenEnded "token-ended" LeaseLost No
        ["kind" "id" "action" "token" "last_token" "status" "holder"]
        "The claim or lease of the token has ended.";
    TokenNeverIssued "token-never-issued" LeaseLost No
        ["kind" "id" "action" "token" "last_token" "status" "holder"]
        "The token is higher than any issued one.";
    LockConditionFailed "lock-condition-failed" LeaseLost No
        ["lock" "token" "cause" "last_token" "holder" "expected_holder"]
        "The lock of a precondition is not held with the given token.";
    SessionEnded "session-ended" LeaseLost No ["server"]
        "Another server revoked the session of this server.";
    LeaseNotRenewed "lease-not-renewed" LeaseLost No ["lock"]
        "The lease expired before a renewal succeeded.";
    Usage "usage" Invalid No ["usage"]
        "The command line is invalid.";
    NameInvalid "name-invalid" Invalid No ["kind" "given" "rule"]
        "A name or id is invalid.";
    ValueInvalid "value-invalid" Invalid No ["action" "field" "given" "expected"]
        "A value is outside of the allowed range.";
    PatternInvalid "pattern-invalid" Invalid No ["field" "given" "why"]
        "A file pattern is invalid.";
    TextEmpty "text-empty" Invalid No ["action" "field"]
        "A required text is empty.";
    TextTooLong "text-too-long" Invalid No ["action" "field" "length" "limit"]
        "A text exceeds the character limit.";
    CharacterNotAllowed "character-not-allowed" Invalid No ["action" "field"]
        "A text contains a control character or a zero byte.";
    CredentialFound "credential-found" Invalid No ["action" "field" "credential"]
        "A text looks like a credential; a hub keeps all text forever.";
    ListTooLong "list-too-long" Invalid No ["action" "field" "count" "limit" "bytes" "bytes_limit"]
        "A list is too long.";
    BatchTooLarge "batch-too-large" Invalid No ["count" "limit"]
        "More jobs are added at once than one commit may hold.";
    ExitCodeContradicts "exit-code-contradicts" Invalid No ["job" "exit_code" "action"]
        "The exit code contradicts the reported result.";
    OptionConflict "option-conflict" Invalid No ["option" "command"]
        "The option cannot be used with this command.";
    AllowListMissing "allow-list-missing" Invalid No ["server"]
        "No allowed commands were given to the worker.";
    TokenMissing "token-missing" Invalid No ["kind" "id"]
        "No token is given, or the one in the environment belongs to another claim or lock.";
    LineInvalid "line-invalid" Invalid No ["file" "line" "why"]
        "A line of a job file is invalid.";
    HeartbeatBranchInvalid "heartbeat-branch-invalid" Invalid No ["branch"]
        "The branch is not a heartbeat branch.";
    Contended "contended" Contended Later ["attempts" "waited_seconds"]
        "Write conflicts lasted until the time limit.";
    BranchLocked "branch-locked" Contended Later ["attempts" "path"]
        "A hub branch was locked until the time limit.";
    WaitExpired "wait-expired" Contended Later ["kind" "id" "status" "waited_seconds"]
        "The awaited condition did not occur in time.";
    OperationInProgress "operation-in-progress" Contended Later ["op"]
        "Another process is resolving this operation.";
    EarlierJobRunning "earlier-job-running" Contended Later ["path"]
        "A job of the previous worker is still running.";
    FenceLocked "fence-locked" Contended Later ["path"]
        "Another process is using the state file of the fence.";
    HubUnreachable "hub-unreachable" Unreachable Later ["hub" "cause" "detail"]
        "The hub does not answer.";
    HubReplaced "hub-replaced" Unreachable No ["hub" "found" "sought"]
        "Another hub is now at the address of the hub that the command started with.";
    HubAddressInvalid "hub-address-invalid" Unreachable No ["hub" "cause" "detail"]
        "The hub address is wrong: no such directory or host name.";
    HubAccessDenied "hub-access-denied" Forbidden No ["hub" "cause" "detail"]
        "The hub denies access to this account, or the hub's identity is not trusted.";
    HubRepositoryMissing "hub-repository-missing" Forbidden No ["hub" "cause" "detail"]
        "The server answers, but has no repository at this address that this account can see.";
    HubPushRejected "hub-push-rejected" Forbidden No ["hub" "cause" "detail"]
        "The hub rejects the push: a protected branch, a hook or another policy.";
    HubPushTooLarge "hub-push-too-large" Forbidden No ["hub" "cause" "detail"]
        "The hub rejects a push of this size.";
    HubNotWritable "hub-not-writable" Forbidden No ["hub" "cause" "detail"]
        "The account that runs git on the hub may not write the hub's files.";
    HubDiskFull "hub-disk-full" Forbidden Later ["hub" "cause" "detail"]
        "The disk of the hub is full or not writable.";
    HubRefused "hub-refused" Forbidden No ["hub" "cause" "detail"]
        "The hub answers, but refuses for another reason.";
    OutcomeUnknown "outcome-unknown" Unknown Resolve ["op" "hub" "detail"]
        "The write was sent, but the hub did not report the outcome.";
    HistoryIncomplete "history-incomplete" Unknown Resolve ["op" "reached"]
        "The local part of the history does not show whether the operation was applied.";
    HubNotConfigured "hub-not-configured" Configuration No []
        "No hub is configured.";
    ServerNotConfigured "server-not-configured" Configuration No []
        "No server name is configured.";
    HubUnclear "hub-unclear" Configuration No ["path"]
        "The hub is ambiguous.";
    SettingInvalid "setting-invalid" Configuration No ["name" "origin" "why"]
        "A setting is invalid.";
    HubBranchMissing "hub-branch-missing" Configuration No ["hub" "branch" "is_empty"]
        "The hub has no branch of this name.";
    NotAHub "not-a-hub" Configuration No ["hub" "branch"]
        "The branch is not a hub.";
    HubLost "hub-lost" Configuration No ["hub" "branch" "evidence" "commit"]
        "The branch used to hold a hub, which is gone.";
    HubUnusable "hub-unusable" Configuration No ["cause" "detail"]
        "The given repository cannot be used as a hub.";
    GitUnusable "git-unusable" Configuration No ["cause" "detail"]
        "The `git` program is missing or too old.";
    HistoryUnsupported "history-unsupported" Configuration No ["cause" "detail"]
        "The storage engine keeps no history.";
    SigningFailed "signing-failed" Configuration No ["cause" "detail"]
        "Git is configured to sign commits, but signing fails.";
    HistoryCut "history-cut" Configuration No ["path" "directory"]
        "The result may depend on history that is not available locally.";
    PartialClone "partial-clone" Configuration No ["what" "detail"]
        "A repository on this machine is a partial clone and lacks objects.";
    DocumentUnusable "document-unusable" Failed No ["path" "problem"]
        "A document of the hub cannot be read.";
    FormatVersionNewer "format-version-newer" Failed No ["path" "problem"]
        "The document was written by a newer version of git-muster.";
    HubBranchDamaged "hub-branch-damaged" Failed No ["hub" "branch" "path"]
        "The ref of the hub branch does not name a commit.";
    HubObjectMissing "hub-object-missing" Failed No ["hub" "object" "detail"]
        "The hub has lost an object of its history.";
    HubCacheDamaged "hub-cache-damaged" Failed Later ["what" "detail"]
        "A repository on this machine is damaged.";
    StoreFailed "store-failed" Failed Later ["what" "detail"]
        "A Git operation on this machine failed.";
    DiskFull "disk-full" Failed Later ["what" "detail"]
        "A disk of this machine is full or not writable.";
    FileFailed "file-failed" Failed No ["path" "detail"]
        "A file cannot be read or written.";
    AnswerUndelivered "answer-undelivered" Failed No ["detail"]
        "The result cannot be printed.";
    ArtifactMismatch "artifact-mismatch" Failed No ["job" "file"]
        "The file differs from its manifest.";
    CommandNotStarted "command-not-started" Failed No ["program" "detail"]
        "A program cannot be started or monitored.";
    CommandKilled "command-killed" Failed No ["program"]
        "The command was killed together with its supervisor.";
    LockNotReleased "lock-not-released" Failed Later ["lock" "detail"]
        "The command has finished, but its lock could not be released.";
    OperationUnlockable "operation-unlockable" Failed Later ["op" "detail"]
        "The operation cannot be locked on this machine.";
    Interrupted "interrupted" Failed Later ["what" "id"]
        "The command was interrupted while waiting, or its time limit passed before it started.";
    MachineFailed "machine-failed" Failed Later ["detail"]
        "A system call on this machine failed.";
    SourceFailed "source-failed" Failed Later ["source" "what" "detail"]
        "A Git operation on the source repository failed.";
    AskedToEnd "asked-to-end" Interrupted Later ["signal"]
        "A signal ended the command before it was done.";
    Internal "internal" Bug No ["detail"]
        "A bug in git-muster.";
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_code_is_one_word_of_its_own() {
        let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for word in words {
            let is_kebab = word.split('-').all(|part| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            });
            assert!(is_kebab, "{word}");
        }
    }

    #[test]
    fn the_word_of_a_code_is_its_name() {
        for code in Code::ALL {
            let mut word = String::new();
            for letter in format!("{code:?}").chars() {
                if letter.is_ascii_uppercase() && !word.is_empty() {
                    word.push('-');
                }
                word.push(letter.to_ascii_lowercase());
            }
            assert_eq!(word, code.as_str());
        }
    }

    #[test]
    fn each_code_has_one_sentence_and_facts_in_snake_case() {
        for code in Code::ALL {
            let meaning = code.meaning();
            assert!(meaning.ends_with('.') && !meaning.trim_end_matches('.').contains(". "), "{code}");
            let facts: BTreeSet<&&str> = code.facts().iter().collect();
            assert_eq!(facts.len(), code.facts().len(), "{code}");
            assert!(facts.iter().all(|fact| fact.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
        }
    }
}
