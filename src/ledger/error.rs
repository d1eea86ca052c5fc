//! What can go wrong below an operation; in each case but one nothing was written to the hub.

use super::causes::{StoreCause, Unfit};
use super::far_side::{Cause, Reason};
use super::lost::{LostObject, PartialClone, Past};
use super::vocabulary::{Reached, Version};
use crate::domain::code::Code;
use crate::domain::id::OpId;
use crate::domain::json::DocumentError;
use crate::domain::refusal::Refusal;
use crate::machine::asked;
use crate::machine::files::FileError;
use serde_json::{Value, json};

/// Why an operation ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum Abort {
    /// The answer is no.
    #[error("{0}")]
    Refused(Refusal),
    /// A document it needs cannot be used, or the store failed.
    #[error(transparent)]
    Fault(#[from] LedgerError),
}

impl From<Refusal> for Abort {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<DocumentError> for Abort {
    fn from(error: DocumentError) -> Self {
        Self::Fault(error.into())
    }
}

/// A fault of the ledger. Refusals and lost races are outcomes, not faults.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The hub did not answer.
    #[error("the hub `{hub}` cannot be reached: {why}")]
    Unreachable {
        /// Which hub, without credentials.
        hub: String,
        /// How it ended.
        why: Reason,
    },
    /// The hub answered and will not have it: access, a protected branch, a hook.
    #[error("the hub `{hub}` refuses: {why}")]
    Denied {
        /// Which hub, without credentials.
        hub: String,
        /// Why, in the hub's own words.
        why: Reason,
    },
    /// A signal asked this command to end before it was done; what it was at was not begun, or ended.
    #[error("asked to end by {}", asked::by())]
    AskedToEnd,
    /// Others were faster each time; nothing was written.
    #[error("{0}")]
    Contended(String),
    /// It was sent, and the hub does not say what became of it.
    #[error("the hub `{hub}` may or may not have it: {why}")]
    Unsettled {
        /// Which hub, without credentials.
        hub: String,
        /// What happened.
        why: String,
    },
    /// Only a part of the history is here, and the operation is not in that.
    #[error(
        "operation {op} is not in that part of the history that could be searched: whether it happened cannot be told from here"
    )]
    Untold {
        /// Which operation.
        op: OpId,
        /// How far the search went.
        reached: Reached,
    },
    /// Only a part of the history is here, and what is looked for may be in the rest.
    #[error("`{path}` says nothing that can be read, and what it said before may be in {}", rest(place.as_deref()))]
    CutHistory {
        /// The document.
        path: String,
        /// Where the history ends; `None` if it is longer than what is looked at.
        place: Option<String>,
    },
    /// The branch is not there.
    #[error("the hub `{hub}` has no branch `{branch}`{}", if *empty { ": it is empty" } else { "" })]
    NoBranch {
        /// Which hub.
        hub: String,
        /// Which branch.
        branch: String,
        /// Whether the hub has no branch at all.
        empty: bool,
    },
    /// The branch holds something else.
    #[error("branch `{branch}` of `{hub}` is not a hub: it has no folder `coordination`")]
    NotAHub {
        /// Which repository.
        hub: String,
        /// Which branch.
        branch: String,
    },
    /// The branch held a hub and lost it.
    #[error("{}", lost(hub, branch, past))]
    WasAHub {
        /// Which repository.
        hub: String,
        /// Which branch.
        branch: String,
        /// What shows it.
        past: Past,
    },
    /// Another hub is where the one was that was begun with.
    #[error(
        "another hub is at `{hub}` now, {} and not {}: nothing was taken from it, and nothing was written to it; put the other one back, or begin anew with this one",
        told_id(found.as_deref()), told_id(sought.as_deref())
    )]
    AnotherHub {
        /// Where.
        hub: String,
        /// The id of the one that is there; none in a hub that never had a marker.
        found: Option<String>,
        /// The id of the one that was begun with; none if it had no marker.
        sought: Option<String>,
    },
    /// The ref of the branch says nothing: what another program was writing when it was cut off.
    #[error("branch `{branch}` of the hub `{hub}` is damaged: its file `{file}` names no commit")]
    BrokenBranch {
        /// Which hub.
        hub: String,
        /// Which branch.
        branch: String,
        /// Where it is noted what the branch names.
        file: String,
        /// What it most likely named.
        newest: Option<Version>,
    },
    /// The hub has lost an object, so that its history cannot be fetched.
    #[error("the hub `{hub}` cannot send {}, which is gone or damaged there: {why}", object.shown())]
    LacksObject {
        /// Which hub, without credentials.
        hub: String,
        /// Which object.
        object: LostObject,
        /// How the fetch ended.
        why: String,
    },
    /// A document on the hub cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// What is configured cannot work.
    #[error("{why}")]
    Configuration {
        /// What of it.
        cause: Unfit,
        /// What is told of it.
        why: String,
    },
    /// Our own copy of the hub, or a repository on this machine, is damaged or out of reach.
    #[error("{what}: {why}")]
    Store {
        /// What was tried.
        what: String,
        /// How it ended.
        why: String,
        /// What it comes from.
        cause: StoreCause,
    },
    /// A repository on this machine has not all objects, and is not meant to.
    #[error("{what}: {partial}: {why}")]
    Partial {
        /// What was tried.
        what: String,
        /// The repository.
        partial: PartialClone,
        /// How it ended.
        why: String,
    },
    /// A file of our own.
    #[error(transparent)]
    File(#[from] FileError),
}

fn rest(shallow: Option<&str>) -> String {
    match shallow {
        Some(clone) => {
            format!("that part of the history that is not here: `{clone}` is a shallow clone")
        }
        None => "history beyond what is looked at".to_owned(),
    }
}

fn lost(hub: &str, branch: &str, past: &Past) -> String {
    match past {
        Past::InHistory(version) => {
            format!(
                "branch `{branch}` of `{hub}` was a hub until after {}: its documents are gone",
                version.short()
            )
        }
        Past::Known { version, .. } => format!(
            "the hub `{hub}` has lost its branch `{branch}`, which this host knew at {}",
            version.short()
        ),
        Past::PutLast { version, .. } => format!(
            "the hub `{hub}` has lost its branch `{branch}`, which was put at {} last",
            version.short()
        ),
        Past::Beats(beats) => {
            format!("branch `{branch}` of `{hub}` holds no hub, but there are heartbeats of one in `{beats}`")
        }
    }
}

/// A hub, by its id.
fn told_id(id: Option<&str>) -> String {
    id.map_or_else(|| "one without an id".to_owned(), |id| format!("of the id {id}"))
}

/// The code of a no of the hub's own.
fn denied(cause: Cause) -> Code {
    match cause {
        Cause::HostKeyUnknown
        | Cause::HostKeyChanged
        | Cause::Certificate
        | Cause::Authentication
        | Cause::NoGit
        | Cause::MayNotRead => Code::HubAccessDenied,
        Cause::NoRepository | Cause::Hidden | Cause::NoPlace => Code::HubRepositoryMissing,
        Cause::MayNotWrite
        | Cause::Protected
        | Cause::Hook
        | Cause::Email
        | Cause::Signature
        | Cause::Message
        | Cause::HistoryKept
        | Cause::CheckedOut
        | Cause::NameTaken => Code::HubPushRejected,
        Cause::Size => Code::HubPushTooLarge,
        Cause::Disk => Code::HubDiskFull,
        Cause::Files => Code::HubNotWritable,
        _ => Code::HubRefused,
    }
}

impl LedgerError {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { why, .. } => match why.cause {
                Cause::NameUnknown | Cause::NoPlace => Code::HubAddressInvalid,
                _ => Code::HubUnreachable,
            },
            Self::Denied { why, .. } => denied(why.cause),
            Self::AskedToEnd => Code::AskedToEnd,
            Self::Contended(_) => Code::Contended,
            Self::Unsettled { .. } => Code::OutcomeUnknown,
            Self::Untold { .. } => Code::HistoryIncomplete,
            Self::CutHistory { .. } => Code::HistoryCut,
            Self::NoBranch { .. } => Code::HubBranchMissing,
            Self::NotAHub { .. } => Code::NotAHub,
            Self::WasAHub { .. } => Code::HubLost,
            Self::AnotherHub { .. } => Code::HubReplaced,
            Self::BrokenBranch { .. } => Code::HubBranchDamaged,
            Self::LacksObject { .. } => Code::HubObjectMissing,
            Self::Document(document) if document.is_newer => Code::FormatVersionNewer,
            Self::Document(_) => Code::DocumentUnusable,
            Self::Configuration { cause: Unfit::Git, .. } => Code::GitUnusable,
            Self::Configuration { cause: Unfit::NoHistory, .. } => Code::HistoryUnsupported,
            Self::Configuration { cause: Unfit::Signing, .. } => Code::SigningFailed,
            Self::Configuration { .. } => Code::HubUnusable,
            Self::Store { cause, .. } => match cause {
                StoreCause::Damaged => Code::HubCacheDamaged,
                StoreCause::Disk => Code::DiskFull,
                StoreCause::Owner | StoreCause::Other => Code::StoreFailed,
            },
            Self::Partial { .. } => Code::PartialClone,
            Self::File(_) => Code::FileFailed,
        }
    }

    /// Its facts, by the names that [`Code::facts`] tells.
    #[must_use]
    pub fn facts(&self) -> Value {
        match self {
            Self::Unreachable { hub, why } | Self::Denied { hub, why } => {
                json!({"hub": hub, "cause": why.cause.word(), "detail": why.words})
            }
            Self::AskedToEnd => json!({"signal": asked::by()}),
            Self::Contended(_) => json!({}),
            Self::Unsettled { hub, why } => json!({"hub": hub, "detail": why}),
            Self::Untold { op, reached } => {
                let reached = match reached {
                    Reached::Beginning => "beginning",
                    Reached::Shallow => "shallow",
                    Reached::Bound => "bound",
                    Reached::Partly => "partly",
                };
                json!({"op": op, "reached": reached})
            }
            Self::CutHistory { path, place } => {
                json!({"path": path, "directory": place})
            }
            Self::NoBranch { hub, branch, empty } => json!({"hub": hub, "branch": branch, "is_empty": empty}),
            Self::NotAHub { hub, branch } => json!({"hub": hub, "branch": branch}),
            Self::WasAHub { hub, branch, past } => {
                let (evidence, commit) = match past {
                    Past::InHistory(version) => ("history", Some(version)),
                    Past::Known { version, .. } | Past::PutLast { version, .. } => ("known", Some(version)),
                    Past::Beats(_) => ("heartbeats", None),
                };
                let commit = commit.map(Version::as_str);
                json!({"hub": hub, "branch": branch, "evidence": evidence, "commit": commit})
            }
            Self::AnotherHub { hub, found, sought } => json!({"hub": hub, "found": found, "sought": sought}),
            Self::BrokenBranch { hub, branch, file, .. } => {
                json!({"hub": hub, "branch": branch, "path": file})
            }
            Self::LacksObject { hub, object, why } => {
                json!({"hub": hub, "object": object.id, "detail": why})
            }
            Self::Document(document) => json!({"path": document.path, "problem": document.problem}),
            Self::Configuration { cause, why } => json!({"cause": cause.word(), "detail": why}),
            Self::Store { what, why, .. } | Self::Partial { what, why, .. } => {
                json!({"what": what, "detail": why})
            }
            Self::File(error) => {
                json!({"path": error.path().display().to_string(), "detail": error.to_string()})
            }
        }
    }

    /// Whether git does not use a repository because it is another user's.
    #[must_use]
    pub fn is_about_owner(&self) -> bool {
        match self {
            Self::Configuration { cause, .. } => *cause == Unfit::Owner,
            Self::Unreachable { why, .. } | Self::Denied { why, .. } => why.cause == Cause::Owner,
            Self::Store { cause, .. } => *cause == StoreCause::Owner,
            _ => false,
        }
    }

    /// Whether it is a fault of what is known of the hub, so that what the hub has now may be well.
    pub(super) fn is_of_what_is_known(&self) -> bool {
        matches!(
            self,
            Self::Document(_)
                | Self::NoBranch { .. }
                | Self::NotAHub { .. }
                | Self::WasAHub { .. }
                | Self::AnotherHub { .. }
                | Self::Untold { .. }
                | Self::CutHistory { .. }
        )
    }

    /// Whether it may be of one document, or of one operation that needs it, and is not of the hub as a whole.
    pub(super) fn is_of_one_request(&self) -> bool {
        matches!(
            self,
            Self::Document(_)
                | Self::Untold { .. }
                | Self::CutHistory { .. }
                | Self::Store { .. }
                | Self::Partial { .. }
                | Self::BrokenBranch { .. }
                | Self::Configuration { .. }
                | Self::File(_)
        )
    }

    /// Whether an object of a repository on this machine is missing or damaged.
    #[must_use]
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Store { cause: StoreCause::Damaged, .. } | Self::Partial { .. })
    }

    /// Whether the branch that was looked at holds no hub: another may.
    #[must_use]
    pub fn is_about_branch(&self) -> bool {
        matches!(self, Self::NoBranch { .. } | Self::NotAHub { .. } | Self::WasAHub { .. })
    }

    /// Whether the hub is away or lost and may come back: nothing that is configured here is wrong with that.
    #[must_use]
    pub fn may_come_back(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::WasAHub { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_look_at_the_hub_may_mend_is_known() {
        let (hub, branch) = (|| "hub".to_owned(), || "main".to_owned());
        let lost = Past::Beats("heartbeat-a".to_owned());
        for (error, expected) in [
            (LedgerError::Document(DocumentError::new("x", "empty")), true),
            (LedgerError::NoBranch { hub: hub(), branch: branch(), empty: false }, true),
            (LedgerError::NotAHub { hub: hub(), branch: branch() }, true),
            (LedgerError::WasAHub { hub: hub(), branch: branch(), past: lost }, true),
            (
                LedgerError::AnotherHub {
                    hub: hub(),
                    found: Some("a".to_owned()),
                    sought: Some("b".to_owned()),
                },
                true,
            ),
            (LedgerError::Denied { hub: hub(), why: Reason::of(Cause::Other, "") }, false),
            (LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Network, "") }, false),
            (LedgerError::Configuration { cause: Unfit::Git, why: String::new() }, false),
        ] {
            assert_eq!(error.is_of_what_is_known(), expected, "{error}");
        }
    }

    #[test]
    fn a_fault_has_the_code_of_its_cause_and_tells_no_fact_that_its_code_does_not_name() {
        let (hub, branch, why) = (|| "hub".to_owned(), || "main".to_owned(), || "said".to_owned());
        let unreachable = |cause| LedgerError::Unreachable { hub: hub(), why: Reason::of(cause, "") };
        let denied = |cause| LedgerError::Denied { hub: hub(), why: Reason::of(cause, "") };
        let unfit = |cause| LedgerError::Configuration { cause, why: why() };
        let store = |cause| LedgerError::Store { what: hub(), why: why(), cause };
        let op = OpId::new("019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f").expect("an op id");
        let object = LostObject { id: None, branch: branch() };
        let newer = DocumentError { is_newer: true, ..DocumentError::new("x", "newer") };
        for (error, expected) in [
            (unreachable(Cause::Network), Code::HubUnreachable),
            (unreachable(Cause::NoPlace), Code::HubAddressInvalid),
            (denied(Cause::Authentication), Code::HubAccessDenied),
            (denied(Cause::Hidden), Code::HubRepositoryMissing),
            (denied(Cause::Protected), Code::HubPushRejected),
            (denied(Cause::Size), Code::HubPushTooLarge),
            (denied(Cause::Disk), Code::HubDiskFull),
            (denied(Cause::Files), Code::HubNotWritable),
            (denied(Cause::Other), Code::HubRefused),
            (LedgerError::AskedToEnd, Code::AskedToEnd),
            (LedgerError::Contended(why()), Code::Contended),
            (LedgerError::Unsettled { hub: hub(), why: why() }, Code::OutcomeUnknown),
            (LedgerError::Untold { op, reached: Reached::Shallow }, Code::HistoryIncomplete),
            (LedgerError::CutHistory { path: hub(), place: None }, Code::HistoryCut),
            (LedgerError::NoBranch { hub: hub(), branch: branch(), empty: true }, Code::HubBranchMissing),
            (LedgerError::NotAHub { hub: hub(), branch: branch() }, Code::NotAHub),
            (LedgerError::WasAHub { hub: hub(), branch: branch(), past: Past::Beats(hub()) }, Code::HubLost),
            (LedgerError::AnotherHub { hub: hub(), found: None, sought: None }, Code::HubReplaced),
            (LedgerError::LacksObject { hub: hub(), object, why: why() }, Code::HubObjectMissing),
            (LedgerError::Document(DocumentError::new("x", "empty")), Code::DocumentUnusable),
            (LedgerError::Document(newer), Code::FormatVersionNewer),
            (unfit(Unfit::WorkTree), Code::HubUnusable),
            (unfit(Unfit::Git), Code::GitUnusable),
            (unfit(Unfit::NoHistory), Code::HistoryUnsupported),
            (unfit(Unfit::Signing), Code::SigningFailed),
            (store(StoreCause::Damaged), Code::HubCacheDamaged),
            (store(StoreCause::Other), Code::StoreFailed),
            (store(StoreCause::Owner), Code::StoreFailed),
            (store(StoreCause::Disk), Code::DiskFull),
        ] {
            assert_eq!(error.code(), expected, "{error}");
            let told = error.facts();
            let names = told.as_object().expect("facts").keys();
            let unknown: Vec<&String> =
                names.filter(|name| !expected.facts().contains(&name.as_str())).collect();
            assert_eq!(unknown, [""; 0], "{expected}");
        }
    }
}
