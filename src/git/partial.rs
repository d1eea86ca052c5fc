//! Whether a repository of this machine is a partial clone. Reads its configuration alone.

use super::libgit2::place_of;
use crate::ledger::PartialClone;
use git2::Repository;

/// What `repository` is, if it is one: git notes so with the remote.
pub(super) fn of(repository: &Repository) -> Option<PartialClone> {
    let config = repository.config().ok()?;
    let is_promisor = |name: &&str| config.get_bool(&format!("remote.{name}.promisor")).unwrap_or(false);
    let remotes = repository.remotes().ok()?;
    let named = remotes.iter().flatten().flatten().find(is_promisor).map(str::to_owned);
    // As git of before 2.20 noted it.
    let remote = named.or_else(|| config.get_string("extensions.partialClone").ok())?;
    let folder = repository.workdir().unwrap_or_else(|| repository.path());
    Some(PartialClone { place: place_of(folder), remote })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_clone_is_known_by_the_remote_that_has_the_rest() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let mut config = repository.config().expect("configuration");
        let remote = || of(&repository).map(|partial| partial.remote);
        for name in ["origin", "up stream"] {
            config.set_str(&format!("remote.{name}.url"), "/srv/hub.git").expect("writes");
        }
        assert_eq!(remote(), None);
        config.set_str("extensions.partialClone", "origin").expect("writes");
        assert_eq!(remote().as_deref(), Some("origin"));
        config.set_bool("remote.origin.promisor", false).expect("writes");
        config.set_bool("remote.up stream.promisor", true).expect("writes");
        assert_eq!(remote().as_deref(), Some("up stream"));
    }
}
