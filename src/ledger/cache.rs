//! Our own copies of hubs, outside any clone: bare repositories that can be fetched again.
//!
//! Several processes of this user share one copy. A new one is made beside its place and renamed
//! into it, so that nobody sees half of one, and who finds a copy damaged replaces it only if no
//! other process did so meanwhile.

use super::error::LedgerError;
use crate::host::clock::{self, Deadline};
use crate::host::failpoint::failpoint;
use crate::host::file_lock::FileLock;
use crate::host::{environment, files, random};
use git2::{ConfigLevel, ObjectType, Oid, Repository, RepositoryInitOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many characters of a hub's address go into the name of its folder, for people.
const NAME_LENGTH_MAX: usize = 40;

/// How long to wait for another process that makes the same copy. Going on without it is safe.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Where the copy of the hub at `url` lies.
#[must_use]
pub fn store_path(url: &str) -> PathBuf {
    let readable: String = url
        .rsplit('@')
        .next()
        .unwrap_or(url)
        // A query may hold a token.
        .chars()
        .take_while(|c| *c != '?')
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let skip = readable.chars().count().saturating_sub(NAME_LENGTH_MAX);
    let readable: String = readable.chars().skip(skip).collect();
    let hash = Oid::hash_object(ObjectType::Blob, url.as_bytes())
        .map_or_else(|_| "0".to_owned(), |oid| oid.to_string());
    let short = hash.get(..12).unwrap_or(&hash);
    environment::cache_dir().join("hubs").join(format!("{}-{short}.git", readable.trim_matches('-')))
}

/// Sets the copy of the hub at `url` aside and begins a new one, as a command that finds it damaged
/// would.
///
/// # Errors
/// When that fails.
pub fn replace_copy(url: &str) -> Result<(), LedgerError> {
    let mut copy = HubCopy { url: url.to_owned(), path: store_path(url), generation: None };
    // Notes which copy is meant: another process may put a new one in its place meanwhile.
    drop(copy.usable());
    copy.replace().map(drop)
}

/// A copy of a hub that is ours to replace.
#[derive(Debug)]
pub(super) struct HubCopy {
    url: String,
    path: PathBuf,
    /// Which of the folders that ever had this path it is.
    generation: Option<u64>,
}

impl HubCopy {
    /// The copy of the hub at `url`, made if there is none.
    pub(super) fn open(url: &str) -> Result<(Repository, Self), LedgerError> {
        Self::open_at(&store_path(url), url)
    }

    fn open_at(path: &Path, url: &str) -> Result<(Repository, Self), LedgerError> {
        let mut copy = Self { url: url.to_owned(), path: path.to_owned(), generation: None };
        if let Some(repository) = copy.usable() {
            return Ok((repository, copy));
        }
        let _guard = copy.lock()?;
        // Another process may have made it meanwhile.
        let repository = copy.usable().map_or_else(|| copy.begin(), Ok)?;
        Ok((repository, copy))
    }

    /// Sets the damaged copy aside and begins a new one, unless another process did.
    pub(super) fn replace(&mut self) -> Result<Repository, LedgerError> {
        let _guard = self.lock()?;
        let damaged = self.generation;
        if let Some(repository) = self.usable()
            && self.generation != damaged
        {
            return Ok(repository);
        }
        self.begin()
    }

    fn lock(&self) -> Result<Option<FileLock>, LedgerError> {
        files::create_dir(self.folder())?;
        let path = self.folder().join(format!("{}.flock", self.name()));
        Ok(FileLock::acquire(&path, Deadline::after(LOCK_WAIT)))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// What lies at the path, if it is a copy of this hub.
    fn usable(&mut self) -> Option<Repository> {
        let repository = Repository::open_bare(&self.path).ok()?;
        // As it is written there: libgit2 tells a remote's address after the user's rewriting.
        let written = repository.config().and_then(|config| config.open_level(ConfigLevel::Local)).ok()?;
        let is_ours = written.get_string("remote.origin.url").is_ok_and(|url| url == self.url);
        self.generation = std::fs::metadata(&self.path).map(|data| data.ino()).ok();
        is_ours.then_some(repository)
    }

    fn begin(&mut self) -> Result<Repository, LedgerError> {
        let new = self.folder().join(format!(".{}.{}", self.name(), random::id()));
        self.create(&new)?;
        failpoint("copy");
        if self.path.exists() {
            self.set_aside()?;
        }
        let renamed = files::set_aside(&new, &self.path);
        if let Some(repository) = self.usable() {
            if renamed.is_err() {
                // Another process was faster; what is left of ours only takes space.
                drop(std::fs::remove_dir_all(&new));
            }
            return Ok(repository);
        }
        renamed?;
        Err(self.failed(&git2::Error::from_str("it was replaced by something else meanwhile")))
    }

    fn failed(&self, error: &git2::Error) -> LedgerError {
        LedgerError::store(format!("cannot create our copy of the hub at `{}`", self.path.display()), error)
    }

    fn create(&self, path: &Path) -> Result<(), LedgerError> {
        let created = || -> Result<(), git2::Error> {
            let mut options = RepositoryInitOptions::new();
            options.bare(true).mkdir(true).mkpath(true).external_template(false);
            let repository = Repository::init_opts(path, &options)?;
            // The address may hold a password: nobody else needs to read it.
            restrict(path);
            let mut config = repository.config()?;
            config.set_str("remote.origin.url", &self.url)?;
            config.set_str("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
        };
        created().map_err(|error| self.failed(&error))
    }

    /// Keeps only the newest damaged copy.
    fn set_aside(&self) -> Result<(), LedgerError> {
        let prefix = format!("{}.damaged-", self.name());
        for old in std::fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            if old.file_name().to_string_lossy().starts_with(&prefix) {
                // An old copy that cannot be removed only takes space.
                drop(std::fs::remove_dir_all(old.path()));
            }
        }
        let name = format!("{prefix}{}-{}", clock::wall().compact(), environment::process_id());
        Ok(files::set_aside(&self.path, &self.folder().join(name))?)
    }
}

fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // A file system without permissions has nothing to restrict.
    drop(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)));
}

/// Whether a folder of this name among the copies is one that was never finished.
#[must_use]
pub fn is_unfinished(folder: &str) -> bool {
    let parts = folder.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(copy, id)| copy.ends_with(".git") && random::is_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    const URL: &str = "ssh://hub.invalid/hub.git";

    fn damaged(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).expect("folder").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains("damaged")).count()
    }

    #[test]
    fn processes_that_begin_at_once_share_one_copy() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hub.git");
        let start = Barrier::new(8);
        let open = || {
            start.wait();
            HubCopy::open_at(&path, URL).expect("opens").1.generation.expect("a generation")
        };
        let generations: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(generations.windows(2).all(|two| two[0] == two[1]), "{generations:?}");
        assert_eq!(damaged(folder.path()), 0);
    }

    #[test]
    fn a_damaged_copy_is_replaced_once_by_all_who_notice() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hub.git");
        let (_, mut first) = HubCopy::open_at(&path, URL).expect("opens");
        let (_, mut second) = HubCopy::open_at(&path, URL).expect("opens");
        first.replace().expect("replaces");
        second.replace().expect("finds it replaced");
        assert_eq!((first.generation, damaged(folder.path())), (second.generation, 1));
        // Another hub at the same place is none of ours.
        let (_, other) = HubCopy::open_at(&path, "ssh://elsewhere.invalid/hub.git").expect("opens");
        assert_ne!(other.generation, first.generation);
    }
}
