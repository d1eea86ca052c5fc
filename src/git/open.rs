//! From "which hub" to an open ledger: decides how the hub is reached and where its objects lie.

use super::addresses::Addresses;
use super::cache::HubCopy;
use super::classify::is_about_owner;
use super::engine::{Access, GitEngine};
use super::in_process::why_not_in_process;
use super::libgit2::fault;
use super::permitted;
use crate::ledger::{Cause, Ledger, LedgerError, Location, Reason, Settings, Unfit};
use crate::machine::Machine;
use git2::{Config, ConfigLevel, ErrorClass, Repository};
use std::path::{Path, PathBuf};

/// What [`open`] is to open.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Which hub.
    pub location: Location,
    /// The clone of it that the command runs in, if it does.
    pub clone: Option<PathBuf>,
    /// How the ledger is to work.
    pub settings: Settings,
}

/// Opens the hub.
///
/// # Errors
/// When a path holds no repository, or one that cannot be used.
pub fn open(options: OpenOptions) -> Result<Ledger, LedgerError> {
    let name = options.location.shown();
    let engine = match &options.location {
        Location::Path(path) => {
            let repository = open_path(path)?;
            match why_not_in_process(&repository) {
                None => GitEngine::new(name, repository, Access::Itself, options.clone),
                Some(_) => copied(name, &options.location.address(), options.clone)?
                    .with_options(permitted::options_for(path)),
            }
        }
        Location::Url(url) => copied(name, url, options.clone)?,
    };
    // git works on the real machine and on no other.
    Ok(Ledger::new(Box::new(engine), options.settings, Machine::real()))
}

/// The first place of a repository, or on the way to it, that this account may not read. What cannot be looked
/// at is not missing.
fn not_readable(path: &Path) -> Option<PathBuf> {
    let is_refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    let way = path.ancestors().skip(1).collect::<Vec<_>>();
    // From the root on: below the first that refuses nothing can be told.
    let folder = way.into_iter().rev().find(|folder| folder.join(".").metadata().is_err_and(is_refused));
    if let Some(folder) = folder {
        return Some(folder.to_owned());
    }
    let is_closed = |folder: &PathBuf| folder.join(".").metadata().is_err_and(is_refused);
    let folders = ["", "objects", "refs"].map(|name| path.join(name));
    let files = ["HEAD", "config"].map(|name| path.join(name));
    let refused = folders.into_iter().find(is_closed);
    refused.or_else(|| files.into_iter().find(|place| std::fs::File::open(place).is_err_and(is_refused)))
}

/// In which format a repository is, if that is one that we cannot use: what its objects are named by, or
/// how its refs are kept. git 3.0 makes such by default.
fn foreign_format(path: &Path) -> Option<String> {
    let files = ["config", ".git/config"].map(|name| path.join(name));
    let config = files.iter().find(|file| file.is_file()).and_then(|file| Config::open(file).ok())?;
    let told = |key, ours: &str, what: &str| {
        let format = config.get_string(key).ok().filter(|format| format != ours)?;
        Some(format!("{what} `{}`", format.escape_debug()))
    };
    let objects = told("extensions.objectformat", "sha1", "its objects have the format");
    let refs = told("extensions.refstorage", "files", "its refs have the format");
    let told: Vec<String> = objects.into_iter().chain(refs).collect();
    (!told.is_empty()).then(|| format!("{}, and this program uses `sha1` and `files`", told.join(", ")))
}

pub(super) fn open_path(path: &Path) -> Result<Repository, LedgerError> {
    let repository = permitted::open(path).map_err(|error| unopened(path, &error))?;
    if !repository.is_bare() {
        let why = format!(
            "`{}` has a work tree; a hub must be a bare repository, because a branch that is checked out cannot be moved under it",
            path.display()
        );
        return Err(LedgerError::Configuration { cause: Unfit::WorkTree, why });
    }
    Ok(repository)
}

/// Why nothing can be opened at `path`.
fn unopened(path: &Path, error: &git2::Error) -> LedgerError {
    let unfit = |cause: Unfit, why: String| LedgerError::Configuration { cause, why };
    if let Some(place) = not_readable(path) {
        return unfit(Unfit::Unreadable, format!("`{}` may not be read by this account", place.display()));
    }
    if error.class() == ErrorClass::Config {
        // libgit2 counts the owner of a repository among what git is set to.
        let cause = if is_about_owner(error.message()) { Unfit::Owner } else { Unfit::GitSetting };
        return unfit(cause, format!("git's configuration cannot be read: {}", error.message()));
    }
    if !path.exists() {
        return LedgerError::Unreachable {
            hub: path.display().to_string(),
            why: Reason::of(Cause::NoPlace, "there is no such folder"),
        };
    }
    let (cause, why) = match foreign_format(path) {
        Some(format) => (Unfit::Format, format),
        None => (Unfit::NoRepository, error.message().to_owned()),
    };
    unfit(cause, format!("`{}` cannot be used as a hub: {why}", path.display()))
}

/// The hub at `url`, through the clone around us or a copy in the cache.
fn copied(name: String, url: &str, clone: Option<PathBuf>) -> Result<GitEngine, LedgerError> {
    if let Some(clone) = clone
        && let Ok(repository) = permitted::open(&clone)
    {
        return Ok(GitEngine::new(name, repository, Access::Origin { copy: None }, Some(clone)));
    }
    let (repository, copy) = HubCopy::open(url)?;
    one_place(&repository)?;
    Ok(GitEngine::new(name, repository, Access::Origin { copy: Some(copy) }, None))
}

/// Refuses a hub that git, by the user's settings, would read from one place and push to another.
fn one_place(copy: &Repository) -> Result<(), LedgerError> {
    let Some(addresses) = Addresses::of(copy, "origin") else { return Ok(()) };
    let Some(pushed) = addresses.elsewhere() else { return Ok(()) };
    let shown = |url: &str| Location::parse(url, Path::new("/")).shown();
    let why = format!(
        "git is set to read the hub from {} and to push to {}, which may be another hub; `git config --get-regexp '^url\\.'` shows what sets that",
        shown(&addresses.read),
        shown(pushed)
    );
    Err(LedgerError::Configuration { cause: Unfit::TwoPlaces, why })
}

/// Whether the clone at `top` holds `path` as a file of its history, so that others wrote it.
#[must_use]
pub fn is_tracked(top: &Path, path: &Path) -> bool {
    let index = permitted::open(top).and_then(|repository| repository.index());
    index.is_ok_and(|index| index.get_path(path, 0).is_some())
}

/// A value of git's configuration as the clone at `top` sees it.
#[must_use]
pub fn configured(top: &Path, key: &str) -> Option<String> {
    let config = permitted::open(top).ok()?.config().ok()?.snapshot().ok()?;
    config.get_str(key).ok().map(str::to_owned)
}

/// Sets a value in the configuration of the clone at `top`.
///
/// # Errors
/// When it cannot be written.
pub fn configure(top: &Path, key: &str, value: &str) -> Result<(), LedgerError> {
    let failed =
        |error: git2::Error| fault(format!("cannot set `{key}` in the clone `{}`", top.display()), &error);
    let repository = permitted::open(top).map_err(failed)?;
    repository
        .config()
        .and_then(|config| config.open_level(ConfigLevel::Local))
        .and_then(|mut config| config.set_str(key, value))
        .map_err(failed)
}
