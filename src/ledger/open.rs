//! From "which hub" to an open ledger: decides how the hub is reached and where its objects lie.

use super::addresses::Addresses;
use super::cache::HubCopy;
use super::error::LedgerError;
use super::far_side::{Cause, Reason};
use super::git_engine::{GitEngine, Reach};
use super::permitted;
use super::update::{Ledger, Settings};
use crate::machine::environment;
use git2::{Config, ConfigLevel, ErrorClass, Repository};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The hosts of git forges that ask for few pushes, with all below them.
const FORGES: [&str; 6] =
    ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "dev.azure.com", "visualstudio.com"];

/// Server hooks that must run when a ref moves.
pub(super) const SERVER_HOOKS: &[&str] =
    &["pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive"];

/// The setting that names another folder of hooks.
pub const HOOKS_PATH: &str = "core.hooksPath";

/// Where a hub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A repository on this machine.
    Path(PathBuf),
    /// Anywhere that git can reach.
    Url(String),
}

impl Location {
    /// Reads a path, a URL or ssh's `host:path`. Relative paths start at `folder`.
    #[must_use]
    pub fn parse(text: &str, folder: &Path) -> Self {
        if let Some(path) = text.strip_prefix("file://") {
            let path = path.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(path);
            // What names another host is for git to refuse.
            return match path.starts_with('/') {
                true => Self::Path(with_suffix(without_escapes(path))),
                false => Self::Url(text.to_owned()),
            };
        }
        let before_slash = text.split('/').next().unwrap_or_default();
        if text.contains("://") || (before_slash.contains(':') && !Path::new(text).exists()) {
            return Self::Url(text.to_owned());
        }
        // A crontab, a unit file and quotes leave it to us.
        let in_home = text.strip_prefix("~/").filter(|_| !folder.join("~").exists());
        let path = in_home.map_or_else(|| folder.join(text), |rest| environment::home().join(rest));
        Self::Path(with_suffix(path))
    }

    /// As it is written into a configuration.
    #[must_use]
    pub fn as_text(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Url(url) => url.clone(),
        }
    }

    /// Whether it is on one of the well-known git forges, which ask for few pushes.
    #[must_use]
    pub fn is_forge(&self) -> bool {
        let Self::Url(url) = self else { return false };
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host.split(':').next().unwrap_or(host).to_ascii_lowercase();
        let is_of =
            |forge: &&str| host.strip_suffix(*forge).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
        FORGES.iter().any(is_of)
    }

    /// For people: without a password. Of a web address without the user as well, because forges
    /// take a token there.
    #[must_use]
    pub fn shown(&self) -> String {
        let url = match self {
            Self::Path(path) => return path.display().to_string(),
            Self::Url(url) => url,
        };
        let Some((scheme, rest)) = url.split_once("://") else { return url.clone() };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let path = rest.get(authority.len()..).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        match user.split_once(':').map_or(user, |(name, _)| name) {
            name if !name.is_empty() && scheme.ends_with("ssh") => format!("{scheme}://{name}@{host}{path}"),
            _ => format!("{scheme}://{host}{path}"),
        }
    }
}

/// A path as git takes it: with `.git` behind it, if only that is there.
fn with_suffix(path: PathBuf) -> PathBuf {
    if path.exists() {
        return path;
    }
    let mut longer: OsString = path.components().collect::<PathBuf>().into_os_string();
    longer.push(".git");
    let longer = PathBuf::from(longer);
    if longer.is_dir() { longer } else { path }
}

/// The path of an address, whose `%20` git reads as a blank.
fn without_escapes(path: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' && byte != 0 => {
                bytes.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

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
                None => GitEngine::new(name, repository, Reach::Itself, options.clone),
                Some(_) => copied(name, &options.location.address(), options.clone)?
                    .with_options(permitted::options_for(path)),
            }
        }
        Location::Url(url) => copied(name, url, options.clone)?,
    };
    Ok(Ledger::new(Box::new(engine), options.settings))
}

/// What is told of a repository whose format we cannot use yet. git 3.0 makes such by default.
pub const FORMAT_IS_FOREIGN: &str = "and this program uses `sha1` and `files`";

/// What is told of a place at which this account may not look.
pub const MAY_NOT_BE_READ: &str = "may not be read by this account";

/// What is told where git itself would not start.
pub const GIT_IS_MISCONFIGURED: &str = "git's configuration cannot be read";

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
/// how its refs are kept.
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
    (!told.is_empty()).then(|| format!("{}, {FORMAT_IS_FOREIGN}", told.join(", ")))
}

pub(super) fn open_path(path: &Path) -> Result<Repository, LedgerError> {
    let repository = permitted::open(path).map_err(|error| {
        if let Some(place) = not_readable(path) {
            LedgerError::Configuration(format!("`{}` {MAY_NOT_BE_READ}", place.display()))
        } else if error.class() == ErrorClass::Config {
            LedgerError::Configuration(format!("{GIT_IS_MISCONFIGURED}: {}", error.message()))
        } else if path.exists() {
            LedgerError::Configuration(format!(
                "`{}` cannot be used as a hub: {}",
                path.display(),
                foreign_format(path).unwrap_or_else(|| error.message().to_owned())
            ))
        } else {
            LedgerError::Unreachable {
                hub: path.display().to_string(),
                why: Reason::of(Cause::NoPlace, "there is no such folder"),
            }
        }
    })?;
    if !repository.is_bare() {
        return Err(LedgerError::Configuration(format!(
            "`{}` has a work tree; a hub must be a bare repository, because a branch that is checked out cannot be moved under it",
            path.display()
        )));
    }
    Ok(repository)
}

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

/// The hub at `url`, through the clone around us or a copy in the cache.
fn copied(name: String, url: &str, clone: Option<PathBuf>) -> Result<GitEngine, LedgerError> {
    if let Some(clone) = clone
        && let Ok(repository) = permitted::open(&clone)
    {
        return Ok(GitEngine::new(name, repository, Reach::Origin { copy: None }, Some(clone)));
    }
    let (repository, copy) = HubCopy::open(url)?;
    one_place(&repository)?;
    Ok(GitEngine::new(name, repository, Reach::Origin { copy: Some(copy) }, None))
}

/// Refuses a hub that git, by the user's settings, would read from one place and push to another.
fn one_place(copy: &Repository) -> Result<(), LedgerError> {
    let Some(addresses) = Addresses::of(copy, "origin") else { return Ok(()) };
    let Some(pushed) = addresses.elsewhere() else { return Ok(()) };
    let shown = |url: &str| Location::parse(url, Path::new("/")).shown();
    Err(LedgerError::Configuration(format!(
        "git is set to read the hub from {} and to push to {}, which may be another hub; `git config --get-regexp '^url\\.'` shows what sets that",
        shown(&addresses.read),
        shown(pushed)
    )))
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
    let failed = |error: git2::Error| {
        LedgerError::store(format!("cannot set `{key}` in the clone `{}`", top.display()), &error)
    };
    let repository = permitted::open(top).map_err(failed)?;
    repository
        .config()
        .and_then(|config| config.open_level(ConfigLevel::Local))
        .and_then(|mut config| config.set_str(key, value))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_url_names_a_path_of_this_machine() {
        let here = Path::new("/here");
        for (text, location) in [
            ("file:///srv/hub.git", Location::Path("/srv/hub.git".into())),
            ("file://localhost/srv/hub.git", Location::Path("/srv/hub.git".into())),
            ("file:///srv/my%20hub%2egit", Location::Path("/srv/my hub.git".into())),
            ("file:///srv/50%/%zz%2", Location::Path("/srv/50%/%zz%2".into())),
            ("file://other/srv/hub.git", Location::Url("file://other/srv/hub.git".to_owned())),
            ("hub.git", Location::Path("/here/hub.git".into())),
            ("hubs/a:b.git", Location::Path("/here/hubs/a:b.git".into())),
            ("host:hub.git", Location::Url("host:hub.git".to_owned())),
            ("https://host/hub.git", Location::Url("https://host/hub.git".to_owned())),
            ("/proc/self/../self", Location::Path("/proc/self/../self".into())),
        ] {
            assert_eq!(Location::parse(text, here), location, "{text}");
        }
    }

    #[test]
    fn a_path_is_read_as_git_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("both")).expect("creates");
        std::fs::create_dir_all(at("both.git")).expect("creates");
        std::fs::create_dir_all(at("bare.git")).expect("creates");
        for (text, expected) in [
            ("bare", at("bare.git")),
            ("bare/", at("bare.git")),
            ("bare.git", at("bare.git")),
            ("both", at("both")),
            ("none", at("none")),
            ("~/none.git", environment::home().join("none.git")),
            ("~other/none.git", at("~other/none.git")),
        ] {
            assert_eq!(Location::parse(text, folder.path()), Location::Path(expected), "{text}");
        }
        std::fs::create_dir(at("~")).expect("creates");
        assert_eq!(Location::parse("~/x", folder.path()), Location::Path(at("~/x")), "it is there");
    }

    #[test]
    fn forges_are_known_by_their_hosts() {
        for (text, expected) in [
            ("https://github.com/o/hub.git", true),
            ("https://user:token@GitHub.com:443/o/hub.git", true),
            ("git@github.com:o/hub.git", true),
            ("ssh://git@ssh.github.com:443/o/hub.git", true),
            ("https://org@dev.azure.com/org/p/_git/hub", true),
            ("git@ssh.dev.azure.com:v3/o/p/hub", true),
            ("https://notgithub.com/o/hub.git", false),
            ("https://example.com/github.com/hub.git", false),
            ("ssh://build@hub.example/srv/github.com.git", false),
            ("/srv/github.com/hub.git", false),
        ] {
            assert_eq!(Location::parse(text, Path::new("/here")).is_forge(), expected, "{text}");
        }
    }

    #[test]
    fn no_credential_of_an_address_is_shown() {
        for (url, shown) in [
            ("https://ghp_0123456789@hub.example/x.git", "https://hub.example/x.git"),
            ("https://user:p@ss@hub.example:8443/x.git", "https://hub.example:8443/x.git"),
            ("https://hub.example/~user@home/x.git", "https://hub.example/~user@home/x.git"),
            ("ssh://git@hub.example/srv/hub.git", "ssh://git@hub.example/srv/hub.git"),
            ("ssh://git:secret@hub.example/srv/hub.git", "ssh://git@hub.example/srv/hub.git"),
            ("git@hub.example:hub.git", "git@hub.example:hub.git"),
            ("https://hub.example/x.git?access_token=secret", "https://hub.example/x.git"),
        ] {
            assert_eq!(Location::Url(url.to_owned()).shown(), shown);
        }
    }
}
