//! Whether a repository of this machine may be moved in process, or is left to `git push` and its hooks.

use super::permitted;
use crate::ledger::{Cause, Reason};
use git2::{ConfigLevel, Repository};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Server hooks that must run when a ref moves.
pub(super) const SERVER_HOOKS: &[&str] =
    &["pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive"];

/// The setting that names another folder of hooks.
pub const HOOKS_PATH: &str = "core.hooksPath";

/// Why a repository of this machine must be reached by `git push`, if so.
pub(super) fn why_not_in_process(repository: &Repository) -> Option<&'static str> {
    let path = repository.path();
    let mut config = repository.config().ok()?;
    let config = config.snapshot().ok()?;
    let hooks = config.get_path(HOOKS_PATH).map_or_else(|_| path.join("hooks"), |hooks| path.join(hooks));
    if SERVER_HOOKS.iter().any(|hook| hooks.join(hook).is_file()) {
        return Some("it has server hooks, which must run");
    }
    // libgit2 does not give new files the rights that a shared repository asks for.
    if config.get_entry("core.sharedRepository").is_ok() {
        return Some("it is shared between users");
    }
    let owner = std::fs::metadata(path).map(|data| data.uid()).ok()?;
    (owner != nix::unistd::geteuid().as_raw()).then_some("it belongs to another user")
}

/// `reason`, a hook's among others, of a hub at `hub`. Of one at a path git runs hooks as this account is set
/// to: those that the account or the machine names for all repositories take the place of the hub's own.
pub(super) fn with_whose_hook(reason: Reason, hub: &Path) -> Reason {
    let is_of_user = || {
        let config = permitted::open(hub).and_then(|repository| repository.config()?.snapshot());
        config.is_ok_and(|config| {
            config
                .get_entry(HOOKS_PATH)
                .is_ok_and(|entry| !matches!(entry.level(), ConfigLevel::Local | ConfigLevel::Worktree))
        })
    };
    if reason.cause == Cause::Hook && hub.is_absolute() && is_of_user() {
        return Reason { cause: Cause::Setting(HOOKS_PATH), ..reason };
    }
    reason
}
