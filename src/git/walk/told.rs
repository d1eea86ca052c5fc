//! What a commit tells of itself in a walk, cut to what is kept of it.

use crate::domain::id::OpId;
use crate::git::commits::CommitText;
use crate::git::libgit2::{failed, version};
use crate::ledger::{CommitTrailers, LedgerError, ops_in};
use git2::{Oid, Repository};
use std::path::Path;

/// How much of a message is searched for operations, and how many of one commit are kept: both are
/// far more than we write.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
const OPS_MAX: usize = 1_000;

/// The longest name or subject that is kept of a commit, in characters.
const TEXT_LENGTH_MAX: usize = 200;

pub(super) const READING: &str = "cannot read the history of the hub";

/// The most commits behind one merge, or of one rewritten history, that are looked at.
pub(super) const ASIDE_MAX: usize = 10_000;

pub(super) fn told(id: Oid, commit: &CommitText<'_>) -> CommitTrailers {
    let (message, is_long) = commit.message_up_to(MESSAGE_BYTES_MAX);
    let mut ops: Vec<OpId> = ops_in(&message).take(OPS_MAX + 1).collect();
    let is_cut = is_long || ops.len() > OPS_MAX;
    ops.truncate(OPS_MAX);
    let cut = |text: &str| text.chars().take(TEXT_LENGTH_MAX).collect();
    CommitTrailers {
        version: version(id),
        author: cut(&commit.author()),
        at: commit.at(),
        subject: cut(message.trim_start().lines().next().unwrap_or_default()),
        ops,
        is_cut,
    }
}

/// Opens a repository once more, for what libgit2 would keep of it or for another thread.
pub(super) fn open(path: &Path) -> Result<Repository, LedgerError> {
    failed("cannot open the repository", Repository::open(path))
}
