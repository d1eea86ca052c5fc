//! Our own copies of hubs, outside any clone: bare repositories that can be fetched again.

use super::error::LedgerError;
use crate::host::clock;
use crate::host::{environment, files};
use git2::{ObjectType, Oid, Repository, RepositoryInitOptions};
use std::path::{Path, PathBuf};

/// How many characters of a hub's address go into the name of its folder, for people.
const NAME_LENGTH_MAX: usize = 40;

/// Where the copy of the hub at `url` lies.
#[must_use]
pub fn store_path(url: &str) -> PathBuf {
    let readable: String = url
        .rsplit('@')
        .next()
        .unwrap_or(url)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let skip = readable.chars().count().saturating_sub(NAME_LENGTH_MAX);
    let readable: String = readable.chars().skip(skip).collect();
    let hash = Oid::hash_object(ObjectType::Blob, url.as_bytes())
        .map_or_else(|_| "0".to_owned(), |oid| oid.to_string());
    let short = hash.get(..12).unwrap_or(&hash);
    environment::cache_dir().join("hubs").join(format!("{}-{short}.git", readable.trim_matches('-')))
}

/// Opens the copy of the hub at `url`, or begins one.
pub(super) fn open(url: &str) -> Result<Repository, LedgerError> {
    let path = store_path(url);
    if let Ok(repository) = Repository::open_bare(&path)
        && repository.find_remote("origin").is_ok_and(|origin| origin.url() == Ok(url))
    {
        return Ok(repository);
    }
    if path.exists() { replace(&path, url) } else { create(&path, url) }
}

fn create(path: &Path, url: &str) -> Result<Repository, LedgerError> {
    let what = || format!("cannot create our copy of the hub at `{}`", path.display());
    let failed = |error: git2::Error| LedgerError::store(what(), &error);
    let mut options = RepositoryInitOptions::new();
    options.bare(true).mkdir(true).mkpath(true).external_template(false);
    let repository = Repository::init_opts(path, &options).map_err(failed)?;
    // The address may hold a password: nobody else needs to read it.
    restrict(path);
    let mut config = repository.config().map_err(failed)?;
    config.set_str("remote.origin.url", url).map_err(failed)?;
    config.set_str("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*").map_err(failed)?;
    Ok(repository)
}

fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // A file system without permissions has nothing to restrict.
    drop(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)));
}

/// Sets a damaged copy aside, keeping only the newest such, and begins a new one.
pub(super) fn replace(path: &Path, url: &str) -> Result<Repository, LedgerError> {
    let folder = path.parent().unwrap_or(path);
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let prefix = format!("{name}.damaged-");
    for old in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if old.file_name().to_string_lossy().starts_with(&prefix) {
            // An old copy that cannot be removed only takes space.
            drop(std::fs::remove_dir_all(old.path()));
        }
    }
    files::set_aside(path, &folder.join(format!("{prefix}{}", clock::wall().compact())))?;
    create(path, url)
}
