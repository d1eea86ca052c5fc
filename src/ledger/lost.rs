//! What a hub, or what this machine keeps of one, has lost. Data alone: where something lies is told as the store
//! names it, and what to do about it is told above.

use super::vocabulary::Version;
use std::fmt;

/// What shows that a branch was a hub that holds none now: it must be put back and not founded anew, because the
/// tokens of its locks and jobs would begin again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// The newest commit in the branch's own history that holds documents.
    InHistory(Version),
    /// The branch is gone or was replaced, and something that this host keeps knows it.
    Known {
        /// The newest commit that it knows.
        version: Version,
        /// Where that is kept.
        place: String,
    },
    /// The branch is gone from a hub on this disk, and this is where this program put it last.
    PutLast {
        /// The commit.
        version: Version,
        /// The hub.
        place: String,
    },
    /// There is a branch of heartbeats, this one.
    Beats(String),
}

/// An object that a hub cannot send: nobody can fetch its history any more.
///
/// Who has a copy goes on, as nothing is sent twice. Who begins asks for the whole history, and the hub gives
/// up at the first object that it cannot read. A look at the newest commits sees nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostObject {
    /// Its id, where the hub names one.
    pub id: Option<String>,
    /// The branch whose history needs it.
    pub branch: String,
}

impl LostObject {
    /// What it is called.
    #[must_use]
    pub fn shown(&self) -> String {
        self.id.as_ref().map_or_else(|| "an object".to_owned(), |id| format!("object {id}"))
    }
}

/// What this machine keeps, and not all of it: the rest is left with a remote until somebody asks, which nobody
/// does here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialClone {
    /// Where it lies.
    pub place: String,
    /// The remote that has the rest.
    pub remote: String,
}

impl fmt::Display for PartialClone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` is a partial clone, which leaves objects with its remote", self.place)
    }
}
