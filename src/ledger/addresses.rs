//! Where a remote is read from and where a push to it goes, as the git program has it: of several
//! addresses it reads from the first and pushes to all, `pushurl` and `url.*.pushInsteadOf` lead pushes
//! elsewhere, and the environment may say any of it. What is read and what is written must be one hub;
//! nothing here decides which.

use super::open::Location;
use super::permitted;
use git2::Repository;
use std::path::Path;

/// The addresses of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Where it is read from.
    pub read: String,
    /// Where a push goes: to all of them.
    pub pushed: Vec<String>,
}

impl Addresses {
    /// Those of `remote`; `None` when there is no such remote, or it has no address.
    pub(super) fn of(repository: &Repository, remote: &str) -> Option<Self> {
        match is_plain(repository, remote) {
            true => {
                let read = repository.find_remote(remote).ok()?.url().ok()?.to_owned();
                Some(Self { pushed: vec![read.clone()], read })
            }
            false => Self::told_by_git(repository.workdir().unwrap_or_else(|| repository.path()), remote),
        }
    }

    fn told_by_git(folder: &Path, remote: &str) -> Option<Self> {
        let read = permitted::git_says(folder, &["remote", "get-url", remote]).ok()?;
        let pushed = permitted::git_says(folder, &["remote", "get-url", "--push", "--all", remote]).ok()?;
        let read = read.lines().next().filter(|url| !url.is_empty())?.to_owned();
        Some(Self { read, pushed: pushed.lines().map(str::to_owned).collect() })
    }

    /// Where pushes go that is another place than what is read; the first of them.
    pub(super) fn elsewhere(&self) -> Option<&str> {
        self.pushed.iter().map(String::as_str).find(|url| place(url) != place(&self.read))
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

/// Which repository an address leads to, whatever it is reached by and as whom.
fn place(url: &str) -> (String, String) {
    let Location::Url(url) = Location::parse(url, Path::new("/")) else {
        return (String::new(), path_of(url).to_owned());
    };
    let (authority, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        None => url.split_once(':').unwrap_or((&url, "")),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |it| it.0);
    (host.to_ascii_lowercase(), path_of(path).to_owned())
}

fn path_of(path: &str) -> &str {
    let path = path.strip_prefix("file://").unwrap_or(path).trim_matches('/');
    path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/')
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
            ("https://hub.example/team/hub.git", "https://hub.example/fork/hub.git", false),
            ("https://hub.example/team/hub.git", "https://mirror.example/team/hub.git", false),
            ("/srv/hub.git", "/srv/mirror.git", false),
            ("/srv/hub.git", "host:srv/hub.git", false),
            ("https://hub.example/team/hub.git", "no_push", false),
        ] {
            let addresses = Addresses { read: read.to_owned(), pushed: vec![pushed.to_owned()] };
            assert_eq!(addresses.elsewhere().is_none(), is_one, "{read} {pushed}");
        }
        let read = "https://hub.example/hub.git".to_owned();
        let several = vec![read.clone(), "https://mirror.example/hub.git".to_owned()];
        let several = Addresses { read, pushed: several };
        assert_eq!(several.elsewhere(), Some("https://mirror.example/hub.git"));
    }
}
