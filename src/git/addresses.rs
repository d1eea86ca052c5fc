//! Where a remote is read from and where a push to it goes, as the git program has it: of several
//! addresses it reads from the first and pushes to all, `pushurl` and `url.*.pushInsteadOf` lead pushes
//! elsewhere, and the environment may say any of it. What is read and what is written must be one hub;
//! nothing here decides which.

use super::permitted;
use crate::ledger::Location;
use git2::Repository;
use std::path::{Path, PathBuf};

/// The addresses of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Where it is read from.
    pub read: String,
    /// Where a push goes: to all of them.
    pub pushed: Vec<String>,
    /// Where relative paths among them begin.
    folder: PathBuf,
}

impl Addresses {
    /// Those of `remote`; `None` when there is no such remote, or it has no address.
    pub(super) fn of(repository: &Repository, remote: &str) -> Option<Self> {
        let folder = repository.workdir().unwrap_or_else(|| repository.path());
        match is_plain(repository, remote) {
            true => {
                let read = repository.find_remote(remote).ok()?.url().ok()?.to_owned();
                Some(Self { pushed: vec![read.clone()], read, folder: folder.to_owned() })
            }
            false => Self::told_by_git(folder, remote),
        }
    }

    fn told_by_git(folder: &Path, remote: &str) -> Option<Self> {
        let read = permitted::git_says(folder, &["remote", "get-url", remote]).ok()?;
        let pushed = permitted::git_says(folder, &["remote", "get-url", "--push", "--all", remote]).ok()?;
        let read = read.lines().next().filter(|url| !url.is_empty())?.to_owned();
        Some(Self { read, pushed: pushed.lines().map(str::to_owned).collect(), folder: folder.to_owned() })
    }

    fn is_read_from(&self, url: &str) -> bool {
        let at = |url| Location::parse(url, &self.folder);
        at(url).is_place_of(&at(&self.read))
    }

    /// Where pushes go that is another place than what is read; the first of them.
    pub(super) fn elsewhere(&self) -> Option<&str> {
        self.pushed.iter().map(String::as_str).find(|url| !self.is_read_from(url))
    }
}

/// Whether libgit2 reads the addresses as git does: there is one, for both directions, and nothing of
/// it is said where libgit2 does not look.
fn is_plain(repository: &Repository, remote: &str) -> bool {
    let Ok(config) = repository.config() else { return false };
    let count = |pattern: &str| {
        let mut entries = config.entries(Some(pattern)).ok()?;
        let mut count = 0;
        while entries.next().is_some() {
            count += 1;
        }
        Some(count)
    };
    let of_remote = |key: &str| {
        let mut values = config.multivar(&format!("remote.{remote}.{key}"), None).ok()?;
        let mut count = 0;
        while values.next().is_some() {
            count += 1;
        }
        Some(count)
    };
    !permitted::git_knows_more(&config)
        && of_remote("url").unwrap_or(0) == 1
        && of_remote("pushurl").unwrap_or(0) == 0
        && count(r"^url\..*\.pushinsteadof$") == Some(0)
}

impl Location {
    /// Whether both lead to one repository, whatever it is reached by and as whom. Told by the words
    /// alone: two that are one in a way that only the other machine knows count as two.
    #[must_use]
    pub fn is_place_of(&self, other: &Self) -> bool {
        Lead::of(self).is(&Lead::of(other))
    }

    /// What git is asked for, and our copy kept under: one for all spellings of a path.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Path(path) => real(path).display().to_string(),
            Self::Url(url) => url.clone(),
        }
    }

    /// Whether both lead there in the same way: they differ in the spelling only.
    #[must_use]
    pub fn is_spelling_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(other)) => real(one) == real(other),
            (Self::Url(one), Self::Url(other)) => without_suffix(one) == without_suffix(other),
            _ => false,
        }
    }
}

/// Names of one machine that forges have for who may only leave by the port of https.
const SAME_HOSTS: &[(&str, &str)] = &[
    ("ssh.github.com", "github.com"),
    ("altssh.gitlab.com", "gitlab.com"),
    ("altssh.bitbucket.org", "bitbucket.org"),
];

/// Which repository an address leads to.
#[derive(Debug, PartialEq, Eq)]
enum Lead {
    Here(PathBuf),
    There(RemoteAddress),
}

#[derive(Debug, PartialEq, Eq)]
struct RemoteAddress {
    scheme: String,
    host: String,
    port: Option<u16>,
    start: Start,
    path: String,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Root,
    Home,
    /// Where the server has it.
    Served,
}

impl Lead {
    fn of(location: &Location) -> Self {
        let url = match location {
            Location::Path(path) if path.exists() => return Self::Here(real(path)),
            Location::Path(path) => {
                let path = real(path);
                return Self::Here(without_suffix(&path.to_string_lossy()).into());
            }
            Location::Url(url) => url,
        };
        let (scheme, authority, path) = match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
                (if scheme.contains("ssh") { "ssh" } else { scheme }, authority, path)
            }
            None => {
                let (authority, path) = url.split_once(':').unwrap_or((url, ""));
                ("ssh", authority, path)
            }
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match host.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (host, None),
        };
        let host = host.to_ascii_lowercase();
        let same = SAME_HOSTS.iter().find(|(name, _)| *name == host);
        let in_home = path.strip_prefix("/~/").or_else(|| path.strip_prefix("~/"));
        let start = match scheme {
            // A forge has no homes: every path begins where its repositories do.
            "ssh" if location.is_forge() => Start::Served,
            "ssh" if in_home.is_some() || !path.starts_with('/') => Start::Home,
            "ssh" => Start::Root,
            _ => Start::Served,
        };
        Self::There(RemoteAddress {
            // What ssh's own configuration says of a port is not known here.
            port: port.or(match scheme {
                "https" => Some(443),
                "http" => Some(80),
                "git" => Some(9418),
                _ => None,
            }),
            scheme: scheme.to_owned(),
            host: same.map_or(host, |(_, host)| (*host).to_owned()),
            start,
            path: path_of(in_home.unwrap_or(path)).to_owned(),
        })
    }

    fn is(&self, other: &Self) -> bool {
        let (Self::There(one), Self::There(other)) = (self, other) else { return self == other };
        // Two ports of one scheme are two servers; one server has a port for each scheme.
        let is_one_server =
            one.scheme != other.scheme || one.port.zip(other.port).is_none_or(|(a, b)| a == b);
        let is_one_start = one.start == other.start || [one.start, other.start].contains(&Start::Served);
        is_one_server && is_one_start && (&one.host, &one.path) == (&other.host, &other.path)
    }
}

/// A path without links and `..`, as far as it leads to something.
fn real(path: &Path) -> PathBuf {
    let whole = path.canonicalize().ok();
    let within = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    whole.or_else(within).unwrap_or_else(|| path.to_owned())
}

fn path_of(path: &str) -> &str {
    without_suffix(path.trim_start_matches('/'))
}

fn without_suffix(address: &str) -> &str {
    let address = address.trim_end_matches('/');
    address.strip_suffix(".git").unwrap_or(address).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_and_what_is_pushed_to_are_one_place_by_host_and_path() {
        for (read, pushed, is_one) in [
            ("https://hub.example/team/hub.git", "git@hub.example:team/hub.git", true),
            ("https://token@hub.example:8443/team/hub", "ssh://git@HUB.example:22/team/hub.git/", true),
            ("/srv/hub.git", "file:///srv/hub", true),
            ("git://hub.example/srv/hub.git", "hub.example:/srv/hub.git", true),
            ("https://github.com/team/hub", "ssh://git@ssh.github.com:443/team/hub.git", true),
            ("git@github.com:team/hub.git", "ssh://git@github.com/team/hub.git", true),
            ("hub:srv/hub.git", "ssh://git@hub/~/srv/hub.git", true),
            ("hub:/srv/hub.git", "ssh://hub:22/srv/hub.git", true),
            // Below the home of the user, and at the root.
            ("hub:srv/hub.git", "ssh://hub/srv/hub.git", false),
            ("hub:srv/hub.git", "hub:/srv/hub.git", false),
            ("ssh://hub/~ada/hub.git", "ssh://hub/~/hub.git", false),
            // Two servers of one machine.
            ("ssh://hub:22/srv/hub.git", "ssh://hub:2222/srv/hub.git", false),
            ("https://hub.example/hub.git", "https://hub.example:8443/hub.git", false),
            ("https://hub.example/team/hub.git", "https://hub.example/fork/hub.git", false),
            ("https://hub.example/team/hub.git", "https://mirror.example/team/hub.git", false),
            ("/srv/hub.git", "/srv/mirror.git", false),
            ("/srv/hub.git", "host:srv/hub.git", false),
            ("https://hub.example/team/hub.git", "no_push", false),
        ] {
            let pushed = vec![pushed.to_owned()];
            let addresses = Addresses { read: read.to_owned(), pushed, folder: "/clone".into() };
            assert_eq!(addresses.elsewhere().is_none(), is_one, "{read} {addresses:?}");
        }
        let read = "https://hub.example/hub.git".to_owned();
        let several = vec![read.clone(), "https://mirror.example/hub.git".to_owned()];
        let several = Addresses { read, pushed: several, folder: "/clone".into() };
        assert_eq!(several.elsewhere(), Some("https://mirror.example/hub.git"));
    }

    #[test]
    fn a_path_is_one_place_however_it_is_spelled() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["hub.git", "hub2", "hub2.git", "sub"] {
            std::fs::create_dir(at(name)).expect("creates");
        }
        std::os::unix::fs::symlink(at("hub.git"), at("link")).expect("links");
        for (one, other, expected) in [
            ("hub.git", "link", true),
            ("hub", "sub/../hub.git/", true),
            ("link", "file://FOLDER/hub.git", true),
            ("hub2", "hub2.git", false),
            ("hub.git", "hub2.git", false),
        ] {
            let here = folder.path().display().to_string();
            let [one, other] =
                [one, other].map(|text| Location::parse(&text.replace("FOLDER", &here), folder.path()));
            assert_eq!(one.is_spelling_of(&other), expected, "{one:?} {other:?}");
            assert_eq!(one.is_place_of(&other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn an_address_of_another_scheme_or_user_is_more_than_another_spelling() {
        for (one, other, is_spelling) in [
            ("ssh://git@hub/srv/hub.git", "ssh://git@hub/srv/hub/", true),
            ("https://hub/hub", "https://hub/hub.git", true),
            ("ssh://git@hub/srv/hub.git", "ssh://ada@hub/srv/hub.git", false),
            ("ssh://git@hub/srv/hub.git", "git@hub:/srv/hub.git", false),
            ("/srv/hub.git", "hub:/srv/hub.git", false),
        ] {
            let [a, b] = [one, other].map(|text| Location::parse(text, Path::new("/here")));
            assert_eq!(a.is_spelling_of(&b), is_spelling, "{one} {other}");
        }
    }
}
