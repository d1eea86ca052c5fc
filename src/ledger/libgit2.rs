//! Between libgit2 and the ledger: ids and errors of the one in the words of the other.

use super::error::LedgerError;
use super::vocabulary::Version;
use git2::Oid;

pub(super) fn oid(version: &Version) -> Result<Oid, LedgerError> {
    Oid::from_str(version.as_str()).map_err(|error| LedgerError::store("not a commit id", &error))
}

pub(super) fn version(oid: Oid) -> Version {
    Version::new(oid.to_string())
}

pub(super) fn failed<T>(what: &str, result: Result<T, git2::Error>) -> Result<T, LedgerError> {
    result.map_err(|error| LedgerError::store(what, &error))
}
