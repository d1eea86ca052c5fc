//! The git commands by which a person puts back what a hub, or a copy of one, has lost. Runs none of them.

use crate::domain::shell::quoted;
use crate::ledger::{LostObject, PartialClone, Past};
use std::path::Path;

/// How many digits of an object's id name the folder of its file.
const FAN_OUT_LENGTH: usize = 2;

/// The commands that put a hub back that `branch` was.
#[must_use]
pub fn put_back(past: &Past, branch: &str) -> String {
    let branch = quoted(branch);
    match past {
        Past::InHistory(version) => format!(
            "git restore --source={version} --staged --worktree coordination && git commit -m 'Put the hub back' && git push origin HEAD:{branch}"
        ),
        Past::Known { version, place } => {
            format!("git --git-dir={} push origin {version}:refs/heads/{branch}", quoted(place))
        }
        Past::PutLast { version, place } => {
            format!("git --git-dir={} update-ref refs/heads/{branch} {version} ''", quoted(place))
        }
        Past::Beats(_) => format!("git push origin refs/remotes/origin/{branch}:refs/heads/{branch}"),
    }
}

/// The command that has an object fetched again into the hub at `hub`, which is as people write it; CLONE in it
/// is a clone that has it. What is left of its file goes first: git would read it and give up.
#[must_use]
pub fn fetch_object(object: &LostObject, hub: &str) -> String {
    let top = is_on_this_disk(hub).then(|| hub.trim_end_matches('/'));
    let remove =
        object.id.as_ref().and_then(|id| id.split_at_checked(FAN_OUT_LENGTH)).map(|(folder, rest)| {
            let file = Path::new(top.unwrap_or_default()).join("objects").join(folder).join(rest);
            format!("rm -f {} && ", quoted(&file.display().to_string()))
        });
    let place = top.map_or_else(String::new, |top| format!("-C {} ", quoted(top)));
    let tracked = quoted(&format!("refs/remotes/origin/{}", object.branch));
    format!("{}git {place}fetch --refetch CLONE {tracked}", remove.unwrap_or_default())
}

/// Whether a command for the hub at `hub` can be given here, and not in its folder on a server.
#[must_use]
pub fn is_on_this_disk(hub: &str) -> bool {
    Path::new(hub).is_absolute()
}

/// The command that brings all of a partial clone. No branch of its own is moved.
#[must_use]
pub fn fetch_rest(partial: &PartialClone) -> String {
    let refs = format!("+refs/heads/*:refs/remotes/{}/*", partial.remote);
    format!(
        "git -C {} fetch --refetch --no-filter {} {}",
        quoted(&partial.place),
        quoted(&partial.remote),
        quoted(&refs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Version;

    #[test]
    fn a_hub_is_put_back_from_where_it_is_known() {
        let (version, place) = (|| Version::new("abc"), || "/a b".to_owned());
        for (past, expected) in [
            (
                Past::InHistory(version()),
                "git restore --source=abc --staged --worktree coordination && git commit -m 'Put the hub back' && git push origin HEAD:main",
            ),
            (
                Past::Known { version: version(), place: place() },
                "git --git-dir='/a b' push origin abc:refs/heads/main",
            ),
            (
                Past::PutLast { version: version(), place: place() },
                "git --git-dir='/a b' update-ref refs/heads/main abc ''",
            ),
            (
                Past::Beats("heartbeat-a".to_owned()),
                "git push origin refs/remotes/origin/main:refs/heads/main",
            ),
        ] {
            assert_eq!(put_back(&past, "main"), expected);
        }
    }

    #[test]
    fn the_command_is_for_the_place_where_the_hub_lies() {
        let lost = LostObject { id: Some(format!("ab{}", "1".repeat(38))), branch: "main".to_owned() };
        let file = format!("objects/ab/{}", "1".repeat(38));
        let fetch = "fetch --refetch CLONE refs/remotes/origin/main";
        assert_eq!(
            fetch_object(&lost, "/srv/hub.git/"),
            format!("rm -f /srv/hub.git/{file} && git -C /srv/hub.git {fetch}")
        );
        assert_eq!(fetch_object(&lost, "git@h:hub.git"), format!("rm -f {file} && git {fetch}"));
        let nameless = LostObject { id: None, ..lost };
        assert_eq!(fetch_object(&nameless, "/srv/hub.git"), format!("git -C /srv/hub.git {fetch}"));
    }

    #[test]
    fn all_of_a_partial_clone_is_asked_of_the_remote_that_has_it() {
        let partial = PartialClone { place: "/a b".to_owned(), remote: "origin".to_owned() };
        let refs = "'+refs/heads/*:refs/remotes/origin/*'";
        assert_eq!(fetch_rest(&partial), format!("git -C '/a b' fetch --refetch --no-filter origin {refs}"));
    }
}
