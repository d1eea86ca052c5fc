//! Between libgit2 and the ledger: ids, places and errors of the one in the words of the other.

use super::classify::store_cause;
use crate::ledger::{LedgerError, StoreCause, Version};
use git2::Oid;
use std::io;
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
    let why = error.message().to_owned();
    let cause = if damaged { StoreCause::Damaged } else { store_cause(&why) };
    LedgerError::Store { what: what.into(), why, cause }
}

/// What a fault of the system comes from.
pub(super) fn io_cause(error: &io::Error) -> StoreCause {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | ReadOnlyFilesystem => StoreCause::Disk,
        // What another error of ours holds is told in its words alone.
        _ => store_cause(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fault_of_a_repository_comes_from_is_known() {
        use git2::ErrorClass::{Odb, Os, Reference};
        use git2::ErrorCode::{GenericError, Locked};
        for (code, class, words, expected) in [
            (GenericError, Odb, "object not found", StoreCause::Damaged),
            (GenericError, Reference, "corrupted loose reference file", StoreCause::Damaged),
            (Locked, Reference, "failed to lock file", StoreCause::Other),
            (GenericError, Os, "failed to write out file: No space left on device", StoreCause::Disk),
            (GenericError, Os, "repository path '/hub' is not owned by current user", StoreCause::Owner),
            (GenericError, Os, "could not open '/hub'", StoreCause::Other),
        ] {
            let error = git2::Error::new(code, class, words);
            let LedgerError::Store { cause, .. } = fault("cannot", &error) else { panic!("{words}") };
            assert_eq!(cause, expected, "{words}");
        }
        for (error, expected) in [
            (io::ErrorKind::StorageFull.into(), StoreCause::Disk),
            (io::ErrorKind::ReadOnlyFilesystem.into(), StoreCause::Disk),
            (io::Error::other("cannot write `x`: No space left on device (os error 28)"), StoreCause::Disk),
            (io::ErrorKind::PermissionDenied.into(), StoreCause::Other),
        ] {
            assert_eq!(io_cause(&error), expected, "{error}");
        }
    }
}
