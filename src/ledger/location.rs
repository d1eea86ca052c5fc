//! Where a hub is: a path of this machine, or an address that git can reach.

use crate::machine::environment;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The hosts of git forges that ask for few pushes, with all below them.
const FORGES: [&str; 6] =
    ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "dev.azure.com", "visualstudio.com"];

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
