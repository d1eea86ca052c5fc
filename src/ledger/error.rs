//! What can go wrong below an operation; in each case but one nothing was written to the hub.

use super::far_side::Reason;
use super::lost_object::LostObject;
use super::partial::PartialClone;
use super::past::Past;
use super::vocabulary::{Reached, Version};
use crate::domain::id::OpId;
use crate::domain::json::DocumentError;
use crate::domain::refusal::Refusal;
use crate::machine::asked;
use crate::machine::files::FileError;
use std::path::{Path, PathBuf};

/// Why an operation ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The answer is no.
    #[error("{0}")]
    Refused(Refusal),
    /// A document it needs cannot be used, or the store failed.
    #[error(transparent)]
    Fault(#[from] LedgerError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<DocumentError> for Stop {
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
    #[error("`{path}` says nothing that can be read, and what it said before may be in {}", rest(folder.as_deref()))]
    CutHistory {
        /// The document.
        path: String,
        /// The repository whose history ends; `None` if the history is longer than what is looked at.
        folder: Option<PathBuf>,
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
    #[error("branch `{branch}` of the hub `{hub}` is damaged: its file `{}` names no commit", file.display())]
    BrokenBranch {
        /// Which hub.
        hub: String,
        /// Which branch.
        branch: String,
        /// The file of its ref.
        file: PathBuf,
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
    #[error("{0}")]
    Configuration(String),
    /// Our own copy of the hub, or a repository on this machine, is damaged or out of reach.
    #[error("{what}: {why}")]
    Store {
        /// What was tried.
        what: String,
        /// How it ended.
        why: String,
        /// Whether the copy is damaged, so that fetching it again may help.
        damaged: bool,
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

fn rest(shallow: Option<&Path>) -> String {
    match shallow {
        Some(clone) => {
            format!("that part of the history that is not here: `{}` is a shallow clone", clone.display())
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

impl LedgerError {
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
                | Self::Configuration(_)
                | Self::File(_)
        )
    }

    /// Whether an object of a repository on this machine is missing or damaged.
    #[must_use]
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Store { damaged: true, .. } | Self::Partial { .. })
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

    /// A failed step of libgit2.
    pub(super) fn store(what: impl Into<String>, error: &git2::Error) -> Self {
        use git2::ErrorClass::{Indexer, Object, Odb, Reference, Tree, Zlib};
        // A loss of power leaves refs of zero bytes; a lock that is held is no damage.
        let damaged = matches!(error.class(), Odb | Zlib | Object | Tree | Indexer | Reference)
            && error.code() != git2::ErrorCode::Locked;
        Self::Store { what: what.into(), why: error.message().to_owned(), damaged }
    }
}

#[cfg(test)]
mod tests {
    use super::super::far_side::Cause;
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
            (LedgerError::Configuration(String::new()), false),
        ] {
            assert_eq!(error.is_of_what_is_known(), expected, "{error}");
        }
    }
}
