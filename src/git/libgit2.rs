//! Between libgit2 and the ledger: ids, places and errors of the one in the words of the other.

use crate::ledger::{LedgerError, Version};
use git2::Oid;
use std::path::{Path, PathBuf};

pub(super) fn oid(version: &Version) -> Result<Oid, LedgerError> {
    Oid::from_str(version.as_str()).map_err(|error| fault("not a commit id", &error))
}

pub(super) fn version(oid: Oid) -> Version {
    Version::new(oid.to_string())
}

pub(super) fn failed<T>(what: &str, result: Result<T, git2::Error>) -> Result<T, LedgerError> {
    result.map_err(|error| fault(what, &error))
}

/// Where something lies, without the slash at the end that libgit2 puts there.
pub(super) fn place_of(path: &Path) -> String {
    path.components().collect::<PathBuf>().to_string_lossy().into_owned()
}

/// A failed step of libgit2.
pub(super) fn fault(what: impl Into<String>, error: &git2::Error) -> LedgerError {
    use git2::ErrorClass::{Indexer, Object, Odb, Reference, Tree, Zlib};
    // A loss of power leaves refs of zero bytes; a lock that is held is no damage.
    let damaged = matches!(error.class(), Odb | Zlib | Object | Tree | Indexer | Reference)
        && error.code() != git2::ErrorCode::Locked;
    LedgerError::Store { what: what.into(), why: error.message().to_owned(), damaged }
}
