//! Branches of a hub that cannot be used. One of them must not stop the others, so they are left
//! out; here is what is said of them and what removes them.

use super::id::{HEARTBEAT_BRANCH_PREFIX, ServerName};
use super::shell::quoted;
use serde::Serialize;

/// What is wrong with a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BranchFault {
    /// Its file is empty or garbled: git finds nothing in it that it could remove.
    Unreadable,
    /// Its file has a name that no ref can have, as programs that copy files make: `main 2`.
    NoName,
    /// Its file may not be read by this account: what is in it may be as it should be.
    Forbidden,
    /// It leads to a commit that is not there.
    Missing,
    /// It leads to a commit of which the hub has lost a part.
    Incomplete,
    /// It or another beside it is [`BranchFault::Incomplete`], and there was no time to tell which.
    Untold,
    /// It leads to something that is no commit.
    NotACommit,
    /// It lies below the name of the heartbeat branch of a server, which cannot be while this is.
    InTheWay,
    /// It is a symbolic ref to the hub's branch, or holds what that holds and may be one. What moves or
    /// removes it by a push may move or remove that.
    AnotherName,
}

/// Where branches lie among the refs.
const HEADS: &str = "refs/heads/";

/// A branch, or another ref, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadBranch {
    /// The name of the branch; of another ref, all of its name, with `refs/`.
    pub branch: String,
    /// What is wrong with it.
    pub flaw: BranchFault,
}

impl BadBranch {
    /// The one of the ref `reference`.
    #[must_use]
    pub fn at(reference: &str, flaw: BranchFault) -> Self {
        Self { branch: reference.strip_prefix(HEADS).unwrap_or(reference).to_owned(), flaw }
    }

    /// The whole name of the ref that [`BadBranch::branch`] `name` stands for.
    #[must_use]
    pub fn reference_of(name: &str) -> String {
        if name.starts_with("refs/") { name.to_owned() } else { format!("{HEADS}{name}") }
    }

    /// What it is, with its name.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.flaw == BranchFault::NoName {
            return format!("file `{}`", Self::reference_of(&self.branch));
        }
        let what = if self.branch.starts_with("refs/") { "ref" } else { "branch" };
        format!("{what} `{}`", self.branch)
    }

    /// The server that it keeps from sending heartbeats.
    #[must_use]
    pub fn server(&self) -> Option<ServerName> {
        let name = self.branch.strip_prefix(HEARTBEAT_BRANCH_PREFIX)?;
        ServerName::new(name.split('/').next().unwrap_or(name)).ok()
    }

    /// What is wrong, after the name of the branch.
    #[must_use]
    pub fn why(&self) -> String {
        match self.flaw {
            BranchFault::Unreadable => "is empty or damaged".to_owned(),
            BranchFault::NoName => "has a name that no ref can have".to_owned(),
            BranchFault::Forbidden => "is in a file that this account may not read".to_owned(),
            BranchFault::Missing => "leads to a commit that the hub does not have".to_owned(),
            BranchFault::Incomplete => "needs an object that the hub has lost".to_owned(),
            BranchFault::Untold => {
                "is one of several of which some need objects that the hub has lost; there was no time to tell which"
                    .to_owned()
            }
            BranchFault::NotACommit => "leads to something that is no commit".to_owned(),
            BranchFault::InTheWay => match self.server() {
                Some(server) => {
                    format!(
                        "takes the name of `{HEARTBEAT_BRANCH_PREFIX}{server}`, the heartbeat branch of `{server}`"
                    )
                }
                None => "takes the name of a heartbeat branch".to_owned(),
            },
            BranchFault::AnotherName => "is, or may be, another name of the hub's own branch".to_owned(),
        }
    }

    /// The command that removes it from the hub at `hub`, and where it is given if not here.
    #[must_use]
    pub fn mend(&self, hub: &str) -> (String, &'static str) {
        match self.flaw {
            BranchFault::Forbidden => (format!("chmod -R go+rX {}", quoted(hub)), ""),
            // git neither moves nor removes what it cannot read.
            BranchFault::Unreadable | BranchFault::NoName if hub.starts_with('/') => (
                format!(
                    "rm {}",
                    pattern(&format!("{}/{}", hub.trim_end_matches('/'), Self::reference_of(&self.branch)))
                ),
                "",
            ),
            BranchFault::Unreadable | BranchFault::NoName => (
                format!("rm {}", pattern(&Self::reference_of(&self.branch))),
                " in the directory of the hub, on its machine,",
            ),
            BranchFault::Untold if hub.starts_with('/') => {
                (format!("git -C {} fsck --connectivity-only", quoted(hub)), "")
            }
            BranchFault::Untold => {
                ("git fsck --connectivity-only".to_owned(), " in the directory of the hub, on its machine,")
            }
            // A push needs a repository to be made from, whichever.
            BranchFault::Missing | BranchFault::Incomplete | BranchFault::NotACommit
                if !hub.starts_with('/') && (self.is_of_heartbeats() || self.branch.starts_with("refs/")) =>
            {
                let push = format!("git push {} --delete {}", quoted(hub), self.reference());
                (format!("(cd \"$(mktemp -d)\" && git init --quiet && {push})"), "")
            }
            // A push that deletes another name of a branch deletes the branch, and none may delete the one
            // that the hub's HEAD names.
            _ if hub.starts_with('/') => {
                (format!("git -C {} update-ref --no-deref -d {}", quoted(hub), self.reference()), "")
            }
            _ => (
                format!("git update-ref --no-deref -d {}", self.reference()),
                " in the directory of the hub, on its machine,",
            ),
        }
    }

    fn reference(&self) -> String {
        quoted(&Self::reference_of(&self.branch))
    }

    /// Whether it holds nothing but heartbeats, so that nothing is lost with it.
    #[must_use]
    pub fn is_of_heartbeats(&self) -> bool {
        self.branch.starts_with(HEARTBEAT_BRANCH_PREFIX)
    }

    /// What to do about it, as a hint.
    #[must_use]
    pub fn advice(&self, hub: &str) -> String {
        let (command, place) = self.mend(hub);
        if self.flaw == BranchFault::AnotherName {
            return format!("`{command}`{place} removes it and leaves alone what it names");
        }
        if self.flaw == BranchFault::NoName {
            return format!("`{command}`{place} removes it; it belongs to no branch");
        }
        if self.flaw == BranchFault::Untold {
            return format!(
                "`{command}`{place} names what is lost; a branch that needs it is made anew by the next heartbeat of its server"
            );
        }
        if self.flaw == BranchFault::Forbidden {
            let stays = format!("git -C {} config core.sharedRepository all", quoted(hub));
            return format!(
                "let the owner of its files run `{command}`, and `{stays}` so that it stays so whatever their umask is"
            );
        }
        if self.is_of_heartbeats() {
            return format!(
                "`{command}`{place} removes it; the next heartbeat of its server makes a new one"
            );
        }
        let back = format!("git push {} COMMIT:{}", quoted(hub), self.reference());
        match self.flaw {
            BranchFault::InTheWay => format!("`{command}`{place} removes it"),
            _ => format!(
                "look for its newest commit in a clone or another host's copy; then `{command}`{place} and `{back}` where it was found put it back"
            ),
        }
    }

    /// What everybody is told who does without it.
    #[must_use]
    pub fn warning(&self, hub: &str) -> String {
        format!("{} of the hub {} and is left out: {}", self.shown(), self.why(), self.advice(hub))
    }
}

/// A file as a word of a shell that finds it also where its name cannot be typed: control characters, which git
/// prints as `?`, and what is no text. What makes a name impossible stands in each name that the word fits, so
/// that it fits no sound ref.
fn pattern(file: &str) -> String {
    let mut word = String::new();
    let mut rest = file;
    while let Some(at) = rest.find(|c: char| c.is_control() || matches!(c, '?' | char::REPLACEMENT_CHARACTER))
    {
        let (plain, odd) = rest.split_at(at);
        let mut odd = odd.chars();
        if !plain.is_empty() {
            word += &quoted(plain);
        }
        word += if odd.next() == Some(char::REPLACEMENT_CHARACTER) { "*" } else { "[[:cntrl:]?]" };
        rest = odd.as_str();
    }
    if rest.is_empty() { word } else { word + &quoted(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of cases")]
    fn a_bad_branch_is_told_with_what_removes_it() {
        for (branch, flaw, hub, server, command) in [
            (
                "heartbeat-s2",
                BranchFault::Unreadable,
                "/srv/hub.git/",
                Some("s2"),
                "rm /srv/hub.git/refs/heads/heartbeat-s2",
            ),
            (
                "heartbeat-s2",
                BranchFault::Unreadable,
                "ssh://h/hub.git",
                Some("s2"),
                "rm refs/heads/heartbeat-s2",
            ),
            (
                "heartbeat-s2",
                BranchFault::Missing,
                "ssh://h/hub.git",
                Some("s2"),
                r#"(cd "$(mktemp -d)" && git init --quiet && git push ssh://h/hub.git --delete refs/heads/heartbeat-s2)"#,
            ),
            (
                "heartbeat-s3/it's",
                BranchFault::InTheWay,
                "/srv/hub.git",
                Some("s3"),
                r"git -C /srv/hub.git update-ref --no-deref -d 'refs/heads/heartbeat-s3/it'\''s'",
            ),
            ("heartbeat-b", BranchFault::Untold, "/h", Some("b"), "git -C /h fsck --connectivity-only"),
            (
                "main",
                BranchFault::NotACommit,
                "/hub",
                None,
                "git -C /hub update-ref --no-deref -d refs/heads/main",
            ),
            (
                "main",
                BranchFault::Missing,
                "ssh://h/hub.git",
                None,
                "git update-ref --no-deref -d refs/heads/main",
            ),
            ("main 2", BranchFault::NoName, "/hub", None, "rm '/hub/refs/heads/main 2'"),
            (
                "heartbeat-s2 2",
                BranchFault::NoName,
                "ssh://h/hub.git",
                None,
                "rm 'refs/heads/heartbeat-s2 2'",
            ),
            ("Icon\r", BranchFault::NoName, "/a hub", None, "rm '/a hub/refs/heads/Icon'[[:cntrl:]?]"),
            (
                "a ?\n b",
                BranchFault::NoName,
                "ssh://h/x",
                None,
                "rm 'refs/heads/a '[[:cntrl:]?][[:cntrl:]?]' b'",
            ),
            ("a \u{fffd}b", BranchFault::NoName, "ssh://h/x", None, "rm 'refs/heads/a '*b"),
            ("refs/tags/v1", BranchFault::Unreadable, "/srv/hub.git", None, "rm /srv/hub.git/refs/tags/v1"),
            (
                "refs/tags/v1",
                BranchFault::Missing,
                "/srv/hub.git",
                None,
                "git -C /srv/hub.git update-ref --no-deref -d refs/tags/v1",
            ),
            (
                "heartbeat-s2",
                BranchFault::AnotherName,
                "/srv/hub.git",
                Some("s2"),
                "git -C /srv/hub.git update-ref --no-deref -d refs/heads/heartbeat-s2",
            ),
            (
                "logs-s2",
                BranchFault::AnotherName,
                "ssh://h/hub.git",
                None,
                "git update-ref --no-deref -d refs/heads/logs-s2",
            ),
        ] {
            let bad = BadBranch { branch: branch.to_owned(), flaw };
            assert_eq!(bad.server().as_ref().map(ServerName::as_str), server, "{branch}");
            assert_eq!(bad.mend(hub).0, command, "{branch}");
            assert!(bad.warning(hub).contains(&format!("`{command}`")), "{}", bad.warning(hub));
            // What holds more than heartbeats is never just removed.
            assert_eq!(
                bad.advice(hub).contains("COMMIT"),
                !matches!(bad.flaw, BranchFault::AnotherName | BranchFault::NoName) && server.is_none(),
                "{}",
                bad.advice(hub)
            );
        }
    }

    #[test]
    fn a_bad_branch_is_named_with_what_is_wrong_with_it_and_what_to_do() {
        let put_back = "where it was found put it back";
        for (branch, flaw, named, why, advice) in [
            ("main", BranchFault::Unreadable, "branch `main`", "is empty or damaged", put_back),
            (
                "refs/tags/v1",
                BranchFault::Missing,
                "ref `refs/tags/v1`",
                "leads to a commit that the hub",
                put_back,
            ),
            (
                "main",
                BranchFault::NotACommit,
                "branch `main`",
                "leads to something that is no commit",
                put_back,
            ),
            (
                "heartbeat-s3",
                BranchFault::Incomplete,
                "branch `heartbeat-s3`",
                "needs an object that the hub has lost",
                "removes it; the next heartbeat of its server makes a new one",
            ),
            (
                "main 2",
                BranchFault::NoName,
                "file `refs/heads/main 2`",
                "has a name that no ref can have",
                "`rm '/hub/refs/heads/main 2'` removes it; it belongs to no branch",
            ),
            // What may not be read is to be read, and not to be removed.
            (
                "main",
                BranchFault::Forbidden,
                "branch `main`",
                "is in a file that this account may not read",
                "let the owner of its files run `chmod -R go+rX /hub`, and ",
            ),
            (
                "heartbeat-s3/x",
                BranchFault::InTheWay,
                "branch `heartbeat-s3/x`",
                "takes the name of `heartbeat-s3`, the heartbeat branch of `s3`",
                "removes it; the next heartbeat of its server makes a new one",
            ),
            // Of a branch that is a folder for others nothing can be put back in its place.
            (
                "logs-s3/x",
                BranchFault::InTheWay,
                "branch `logs-s3/x`",
                "takes the name of a heartbeat branch",
                "`git -C /hub update-ref --no-deref -d refs/heads/logs-s3/x` removes it",
            ),
            (
                "side",
                BranchFault::AnotherName,
                "branch `side`",
                "is, or may be, another name of the hub's own branch",
                "removes it and leaves alone what it names",
            ),
        ] {
            let bad = BadBranch { branch: branch.to_owned(), flaw };
            let told = bad.warning("/hub");
            assert!(told.starts_with(&format!("{named} of the hub {why}")), "{told}");
            assert!(told.contains(" and is left out: ") && told.contains(advice), "{told}");
            let ends = matches!(flaw, BranchFault::Forbidden) || told.ends_with(advice);
            assert!(ends, "{told}");
        }
    }
}
