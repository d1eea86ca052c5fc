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
        "A job that is to be needed is neither live nor archived.";
    ServerNotFound "server-not-found" NotFound No ["server" "action"]
        "No server of this name is registered.";
    LockNotFound "lock-not-found" NotFound No ["lock"]
        "No lock of this name was ever taken.";
    MessageNotFound "message-not-found" NotFound No ["message" "action"]
        "No message has this id, live or archived.";
    LogNotFound "log-not-found" NotFound No ["job"]
        "The hub keeps no log of the job.";
    ArtifactsNotFound "artifacts-not-found" NotFound No ["job" "known" "run"]
        "The hub keeps no manifest of the job.";
    ArtifactNotFound "artifact-not-found" NotFound No ["job" "file"]
        "The manifest of the job names no such file.";
    ArtifactElsewhere "artifact-elsewhere" NotFound No ["job" "file" "server"]
        "The file is neither on the hub nor on this machine.";
    OperationNotFound "operation-not-found" NotFound No ["op" "journaled" "may_arrive"]
        "No commit of the hub carries the operation.";
    SourceRevisionNotFound "source-revision-not-found" NotFound No ["source" "what"]
        "The source repository lacks the branch or commit.";
    NotFound "not-found" NotFound No ["kind" "id"]
        "Something else that was named does not exist.";
    NothingToClaim "nothing-to-claim" Nothing Later ["server" "queued"]
        "No queued job may be claimed by this server now.";
    ServerPaused "server-paused" Nothing Later ["server" "by" "since" "until" "note" "at"]
        "Claims of this server are paused.";
    NotPaused "not-paused" Nothing No ["what"]
        "What is to be resumed is not paused.";
    AlreadyDone "already-done" Nothing No ["lock" "at" "by"]
        "What is to be done once was done.";
    LockHeld "lock-held" Forbidden Later
        ["lock" "holder" "process" "since" "token" "lease_seconds" "expired_seconds" "at"]
        "Another holds the lock, and its lease was not seen to expire.";
    LockNotWatched "lock-not-watched" Forbidden Later
        ["lock" "holder" "process" "since" "token" "lease_seconds" "expired_seconds" "at"]
        "A lock is not stolen without force before this machine has watched it for its lease.";
    TokenExhausted "token-exhausted" Forbidden No ["kind" "id"]
        "The record has the highest token there is, so no further one can be issued.";
    NotHolder "not-holder" Forbidden No ["kind" "id" "action" "token" "holder" "caller"]
        "The token is right and the server is not its holder.";
    JobFinished "job-finished" Forbidden No ["job" "status" "action"]
        "The job is finished.";
    JobNotFinished "job-not-finished" Forbidden No ["job" "status"]
        "A job is retried that is not finished.";
    JobNotDead "job-not-dead" Forbidden No ["job" "status"]
        "The job is not dead.";
    JobNotCancelled "job-not-cancelled" Forbidden No ["job" "status"]
        "The job is not cancelled.";
    StopUnconfirmed "stop-unconfirmed" Forbidden Later ["job" "server" "token" "until"]
        "A cancelled job is retried that may still run.";
    ArtifactRequired "artifact-required" Forbidden No ["job" "pattern"]
        "No artifact of the completed job matches a pattern that it has to produce.";
    JobNotClaimable "job-not-claimable" Forbidden Later ["job" "status" "waits_for"]
        "The job that is to be claimed waits or is not queued.";
    NeededJobFailed "needed-job-failed" Forbidden No ["need" "status"]
        "A job is added that is cancelled when a needed job fails, and that has failed.";
    NothingReclaimed "nothing-reclaimed" Forbidden No ["jobs"]
        "The claims that were watched have changed meanwhile.";
    AlreadyApplied "already-applied" Forbidden No ["kind" "id" "op"]
        "The record that this operation makes exists.";
    ServerNameTaken "server-name-taken" Forbidden No ["server" "host" "is_same_host"]
        "Another machine uses the server name.";
    ServerNameAlike "server-name-alike" Forbidden No ["server" "other"]
        "The server name differs from another one only in case.";
    ServerBusy "server-busy" Forbidden No ["server" "kind" "id"]
        "A server is removed that holds a job or a lock.";
    ServerNotRegistered "server-not-registered" Forbidden No ["server"]
        "The server that writes is not registered.";
    NotRecipient "not-recipient" Forbidden No ["message" "from" "to" "caller" "action"]
        "The message is for another server.";
    AutomaticReply "automatic-reply" Forbidden No ["message"]
        "A machine answers the message of a machine.";
    StatusOutdated "status-outdated" Forbidden No ["server" "status" "at"]
        "The status was set again after this operation began.";
    PauseOver "pause-over" Forbidden No ["until" "present"]
        "By the clocks of other servers the pause would be over at once.";
    ChangedSince "changed-since" Forbidden No ["kind" "id" "then" "now"]
        "What is to be taken is not as it was when the operation began.";
    HubInUse "hub-in-use" Forbidden No ["holds"]
        "The hub that is imported into holds records.";
    RecordUnusable "record-unusable" Forbidden No ["action" "subject" "path" "place" "id" "problem"]
        "A record that is needed cannot be used.";
    AssignmentUnusable "assignment-unusable" Forbidden No ["lock" "holder" "problem"]
        "A lock of another protocol is held, and the rest of its record cannot be read.";
    DocumentTooLarge "document-too-large" Forbidden No ["kind" "path" "bytes" "limit"]
        "A document or record would pass its limit.";
    TooManyRecords "too-many-records" Forbidden No ["path" "records" "limit"]
        "A document would hold more records than are read.";
    ArchivesFull "archives-full" Forbidden No ["directory" "path" "last"]
        "All archives of the months that follow are full.";
    WorkerRunning "worker-running" Forbidden No ["server"]
        "A worker of the server runs on this machine.";
    ClaimsWithheld "claims-withheld" Forbidden Later ["server" "cause"]
        "This server claims nothing by a rule of its own, such as too little free space.";
    LogPathInvalid "log-path-invalid" Forbidden No ["job" "path"]
        "The job names a log that no worker writes.";
    FileExists "file-exists" Forbidden No ["path" "file"]
        "Something else has the name of a file that is to be written.";
    ArtifactCopyMissing "artifact-copy-missing" Forbidden No ["job" "file" "path"]
        "The manifest names a copy that the hub lacks.";
    BuildNotTaggable "build-not-taggable" Forbidden No ["job" "cause"]
        "The build is not completed, too old, or lacks branch or commit.";
    SourceUnusable "source-unusable" Forbidden No ["source" "why"]
        "The source repository has what cannot be checked out.";
    OperationOfAnotherHub "operation-of-another-hub" Forbidden No ["op" "hub"]
        "The operation was begun for another hub than the one that is there now.";
    HubExists "hub-exists" Forbidden No ["hub" "branch"]
        "Another branch of the repository holds a hub.";
    TokenSuperseded "token-superseded" LeaseLost No
        ["kind" "id" "action" "token" "last_token" "status" "holder"]
        "A higher token was issued since.";
    TokenEnded "token-ended" LeaseLost No
        ["kind" "id" "action" "token" "last_token" "status" "holder"]
        "The claim or lease of the token has ended.";
    TokenNeverIssued "token-never-issued" LeaseLost No
        ["kind" "id" "action" "token" "last_token" "status" "holder"]
        "The token is higher than any that was issued.";
    LockConditionFailed "lock-condition-failed" LeaseLost No
        ["lock" "token" "cause" "last_token" "holder" "expected_holder"]
        "A lock is not held with the token that the write depends on.";
    SessionEnded "session-ended" LeaseLost No ["server"]
        "Another server ended the session of this one.";
    LeaseNotRenewed "lease-not-renewed" LeaseLost No ["lock"]
        "The lease ended before a renewal got through.";
    Usage "usage" Invalid No ["usage"]
        "The command line is not understood.";
    NameInvalid "name-invalid" Invalid No ["kind" "given" "rule"]
        "A name or id has a form that is not allowed.";
    ValueInvalid "value-invalid" Invalid No ["action" "field" "given" "expected"]
        "A value is outside of what is allowed.";
    PatternInvalid "pattern-invalid" Invalid No ["field" "given" "why"]
        "A pattern of files cannot be used.";
    TextEmpty "text-empty" Invalid No ["action" "field"]
        "A text that is required is empty.";
    TextTooLong "text-too-long" Invalid No ["action" "field" "length" "limit"]
        "A text has more characters than are allowed.";
    CharacterNotAllowed "character-not-allowed" Invalid No ["action" "field"]
        "A text has a control character or a zero byte.";
    CredentialFound "credential-found" Invalid No ["action" "field" "credential"]
        "A text looks like a credential, and a hub keeps everything.";
    ListTooLong "list-too-long" Invalid No ["action" "field" "count" "limit" "bytes" "bytes_limit"]
        "A list is longer than is allowed.";
    BatchTooLarge "batch-too-large" Invalid No ["count" "limit"]
        "More jobs are added at once than one transaction takes.";
    ExitCodeContradicts "exit-code-contradicts" Invalid No ["job" "exit_code" "action"]
        "The exit code says the contrary of what is reported.";
    OptionConflict "option-conflict" Invalid No ["option" "command"]
        "The option cannot be used with this command.";
    AllowListMissing "allow-list-missing" Invalid No ["server"]
        "The worker was not told which commands it may run.";
    TokenMissing "token-missing" Invalid No ["kind" "id"]
        "The token is not given, or the one that is set belongs to another claim or lock.";
    LineInvalid "line-invalid" Invalid No ["file" "line" "why"]
        "A line of a file of jobs cannot be used.";
    HeartbeatBranchInvalid "heartbeat-branch-invalid" Invalid No ["branch"]
        "The branch is not a heartbeat branch.";
    Contended "contended" Contended Later ["attempts" "waited_seconds"]
        "Others wrote first until the time limit.";
    BranchLocked "branch-locked" Contended Later ["attempts" "path"]
        "A branch of the hub was locked until the time limit.";
    WaitExpired "wait-expired" Contended Later ["kind" "id" "status" "waited_seconds"]
        "What was waited for did not come in time.";
    OperationInProgress "operation-in-progress" Contended Later ["op"]
        "Another process has this operation.";
    EarlierJobRunning "earlier-job-running" Contended Later ["path"]
        "A job of an earlier worker does not end.";
    FenceLocked "fence-locked" Contended Later ["path"]
        "Another check uses the state file of the fence.";
    HubUnreachable "hub-unreachable" Unreachable Later ["hub" "cause" "detail"]
        "The hub does not answer.";
    HubReplaced "hub-replaced" Unreachable No ["hub" "found" "sought"]
        "Another hub is where the one was that was begun with.";
    HubAddressInvalid "hub-address-invalid" Unreachable No ["hub" "cause" "detail"]
        "The address of the hub leads nowhere: no such directory or host name.";
    HubAccessDenied "hub-access-denied" Forbidden No ["hub" "cause" "detail"]
        "The hub does not let this account in, or its identity is not trusted.";
    HubRepositoryMissing "hub-repository-missing" Forbidden No ["hub" "cause" "detail"]
        "The address answers, and no repository is there that this account may see.";
    HubPushRejected "hub-push-rejected" Forbidden No ["hub" "cause" "detail"]
        "The hub rejects the push: a protected branch, a hook or another rule.";
    HubPushTooLarge "hub-push-too-large" Forbidden No ["hub" "cause" "detail"]
        "The hub rejects a push of this size.";
    HubNotWritable "hub-not-writable" Forbidden No ["hub" "cause" "detail"]
        "The account that runs the hub's git may not write its files.";
    HubDiskFull "hub-disk-full" Forbidden Later ["hub" "cause" "detail"]
        "The disk of the hub is full or cannot be written.";
    HubRefused "hub-refused" Forbidden No ["hub" "cause" "detail"]
        "The hub answers and does not do what it is asked for another cause.";
    OutcomeUnknown "outcome-unknown" Unknown Resolve ["op" "hub" "detail"]
        "It was sent, and the hub does not say what became of it.";
    HistoryIncomplete "history-incomplete" Unknown Resolve ["op" "reached"]
        "The part of the history that is here does not say whether the operation was applied.";
    HubNotConfigured "hub-not-configured" Configuration No []
        "Nothing names a hub.";
    ServerNotConfigured "server-not-configured" Configuration No []
        "Nothing names this server.";
    HubUnclear "hub-unclear" Configuration No ["path"]
        "Several hubs may be meant, and nothing says which.";
    SettingInvalid "setting-invalid" Configuration No ["name" "origin" "why"]
        "A setting cannot work.";
    HubBranchMissing "hub-branch-missing" Configuration No ["hub" "branch" "is_empty"]
        "The hub has no branch of this name.";
    NotAHub "not-a-hub" Configuration No ["hub" "branch"]
        "The branch holds no hub.";
    HubLost "hub-lost" Configuration No ["hub" "branch" "evidence" "commit"]
        "The branch held a hub and lost it.";
    HubUnusable "hub-unusable" Configuration No ["cause" "detail"]
        "What is named cannot be used as a hub.";
    GitUnusable "git-unusable" Configuration No ["cause" "detail"]
        "The program git is missing or too old.";
    HistoryUnsupported "history-unsupported" Configuration No ["cause" "detail"]
        "The store keeps no history.";
    SigningFailed "signing-failed" Configuration No ["cause" "detail"]
        "git is set to sign commits and cannot.";
    HistoryCut "history-cut" Configuration No ["path" "directory"]
        "What is looked for may be in history that is not here.";
    PartialClone "partial-clone" Configuration No ["what" "detail"]
        "A repository on this machine lacks objects, and is meant to.";
    DocumentUnusable "document-unusable" Failed No ["path" "problem"]
        "A document of the hub cannot be read.";
    FormatVersionNewer "format-version-newer" Failed No ["path" "problem"]
        "A newer version of this program wrote the document.";
    HubBranchDamaged "hub-branch-damaged" Failed No ["hub" "branch" "path"]
        "The ref of the hub branch names no commit.";
    HubObjectMissing "hub-object-missing" Failed No ["hub" "object" "detail"]
        "The hub has lost an object of its history.";
    HubCacheDamaged "hub-cache-damaged" Failed Later ["what" "detail"]
        "A repository on this machine is damaged.";
    StoreFailed "store-failed" Failed Later ["what" "detail"]
        "A step of git on this machine failed.";
    DiskFull "disk-full" Failed Later ["what" "detail"]
        "A disk of this machine is full or cannot be written.";
    FileFailed "file-failed" Failed No ["path" "detail"]
        "A file cannot be read or written.";
    AnswerUndelivered "answer-undelivered" Failed No ["detail"]
        "The answer cannot be printed.";
    ArtifactMismatch "artifact-mismatch" Failed No ["job" "file"]
        "The file differs from its manifest.";
    CommandNotStarted "command-not-started" Failed No ["program" "detail"]
        "A program cannot be started or watched.";
    CommandKilled "command-killed" Failed No ["program"]
        "The command was killed with the process that guards it.";
    LockNotReleased "lock-not-released" Failed Later ["lock" "detail"]
        "The work is done, and its lock could not be released.";
    OperationUnlockable "operation-unlockable" Failed Later ["op" "detail"]
        "This machine gives no lock for the operation.";
    Interrupted "interrupted" Failed Later ["what" "id"]
        "It was asked to end while it waited, or its time was up before it began.";
    MachineFailed "machine-failed" Failed Later ["detail"]
        "This machine refuses something.";
    SourceFailed "source-failed" Failed Later ["source" "what" "detail"]
        "A step of git with the source repository failed.";
    AskedToEnd "asked-to-end" Interrupted Later ["signal"]
        "A signal ended the command before it was done.";
    Internal "internal" Bug No ["detail"]
        "A bug of this program.";
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
