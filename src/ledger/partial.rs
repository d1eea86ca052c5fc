//! A partial clone: it leaves objects with its remote until git asks for them, which nobody does here.

use crate::domain::shell::quoted;
use std::fmt;
use std::path::PathBuf;

/// A repository that is not all here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialClone {
    /// Where it lies.
    pub folder: PathBuf,
    /// The remote that has the rest.
    pub remote: String,
}

impl PartialClone {
    /// The command that brings all of it. No branch of its own is moved.
    #[must_use]
    pub fn command(&self) -> String {
        let refs = format!("+refs/heads/*:refs/remotes/{}/*", self.remote);
        format!(
            "git -C {} fetch --refetch --no-filter {} {}",
            quoted(&self.folder.display().to_string()),
            quoted(&self.remote),
            quoted(&refs)
        )
    }
}

impl fmt::Display for PartialClone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` is a partial clone, which leaves objects with its remote", self.folder.display())
    }
}
