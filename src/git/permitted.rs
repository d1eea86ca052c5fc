//! Opening repositories that belong to others: whom git lets in, libgit2 lets in.
//!
//! libgit2 reads `safe.directory` from files alone; git also from the environment and from what the
//! command line of an outer git says. Where libgit2 refuses, the git program is asked, and its word
//! holds. Nothing here makes an exception of its own.

use super::cut_objects;
use super::program::GitProgram;
use crate::domain::shell::quoted;
use crate::machine::{Machine, environment};
use git2::{Config, ErrorCode, Repository, RepositoryOpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long git may take to say whether it uses a repository; it looks at some files only.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);

/// Opens the repository at `path`, bare or with a work tree; looks nowhere else.
///
/// # Errors
/// When there is none, or neither libgit2 nor git uses it.
pub(super) fn open(path: &Path) -> Result<Repository, git2::Error> {
    let flags = RepositoryOpenFlags::NO_SEARCH;
    let opened = Repository::open_ext(path, flags, std::iter::empty::<&Path>()).or_else(|error| {
        if error.code() != ErrorCode::Owner {
            return Err(error);
        }
        let lines = git_says(path, &["rev-parse", "--absolute-git-dir", "--is-bare-repository"]);
        let Ok(lines) = lines else { return Err(error) };
        let mut lines = lines.lines();
        let folder = PathBuf::from(lines.next().unwrap_or_default());
        let repository = Repository::open_bare(folder)?;
        if lines.next() != Some("true") {
            repository.set_workdir(path, false)?;
        }
        Ok(repository)
    });
    opened.inspect(cut_objects::note)
}

/// Whether git reads more of its configuration than libgit2 does: what the environment or an outer git
/// says, and files that are included by the addresses of remotes.
pub(super) fn git_knows_more(config: &Config) -> bool {
    environment::names_git_configuration()
        || config.entries(Some(r"^includeif\.hasconfig:")).is_ok_and(|mut entries| entries.next().is_some())
}

/// What git prints when it is called in `folder`, or its last words when it refuses.
pub(super) fn git_says(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let done = GitProgram::default()
        .run_in(folder, arguments, &Machine::real().deadline(ASK_TIME_MAX))
        .map_err(|error| error.to_string())?;
    if done.exit_code == Some(0) {
        return Ok(done.stdout);
    }
    let words = done.stderr.lines().find(|line| line.starts_with("fatal: ")).unwrap_or("fatal: git failed");
    Err(words.trim_start_matches("fatal: ").to_owned())
}

/// What lets the programs at the far end of a connection to a path of this machine use a repository
/// that git itself uses here. git does not hand on to them what the environment says.
pub(super) fn options_for(path: &Path) -> Vec<String> {
    let flags = RepositoryOpenFlags::NO_SEARCH;
    let opened = Repository::open_ext(path, flags, std::iter::empty::<&Path>());
    if opened.is_ok() || open(path).is_err() {
        return Vec::new();
    }
    let trusted = quoted(&path.display().to_string());
    let option = |verb: &str| {
        let program = format!("git -c safe.directory={trusted} {verb}-pack");
        ["-c".to_owned(), format!("remote.origin.{verb}pack={program}")]
    };
    ["upload", "receive"].iter().flat_map(|verb| option(verb)).collect()
}
