//! What shows that a branch was a hub that holds none now: it must be put back and not founded anew, because
//! the tokens of its locks and jobs would begin again.

use super::vocabulary::Version;
use crate::domain::shell::quoted;
use std::path::PathBuf;

/// What shows that a branch was a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// The newest commit in the branch's own history that holds documents.
    InHistory(Version),
    /// The branch is gone or was replaced, and a repository of this host knows it.
    Known {
        /// The newest commit that it knows.
        version: Version,
        /// The repository.
        folder: PathBuf,
    },
    /// The branch is gone from a hub on this disk, and this is where this program put it last.
    PutLast {
        /// The commit.
        version: Version,
        /// The hub.
        folder: PathBuf,
    },
    /// There is a branch of heartbeats, this one.
    Beats(String),
}

impl Past {
    /// How the hub is put back; the commands are in backticks.
    #[must_use]
    pub fn advice(&self, branch: &str) -> String {
        match self {
            Self::InHistory(_) => {
                format!("put it back, in a clone whose `{branch}` is the hub's: {}", self.command(branch))
            }
            Self::Known { .. } => format!(
                "put it back, unless another host knows a newer state of it: {}",
                self.command(branch)
            ),
            Self::PutLast { .. } => format!(
                "put it back, unless a clone has a commit that follows on it: {}",
                self.command(branch)
            ),
            Self::Beats(_) => format!(
                "name the hub's branch with `--hub-branch`; if it was `{branch}`, put it back from a clone or from another host's copy: {}",
                self.command(branch)
            ),
        }
    }

    /// The commands that put the hub back.
    #[must_use]
    pub fn command(&self, branch: &str) -> String {
        let branch = quoted(branch);
        match self {
            Self::InHistory(version) => format!(
                "`git restore --source={version} --staged --worktree coordination && git commit -m 'Put the hub back' && git push origin HEAD:{branch}`"
            ),
            Self::Known { version, folder } => format!(
                "`git --git-dir={} push origin {version}:refs/heads/{branch}`",
                quoted(&folder.display().to_string())
            ),
            Self::PutLast { version, folder } => format!(
                "`git --git-dir={} update-ref refs/heads/{branch} {version} ''`",
                quoted(&folder.display().to_string())
            ),
            Self::Beats(_) => format!("`git push origin refs/remotes/origin/{branch}:refs/heads/{branch}`"),
        }
    }
}
