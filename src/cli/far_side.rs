//! What to do about a failure on the way to the hub, or in it: one next step for each cause.
//!
//! Reads no words of the far side: what they mean was decided in `git::classify`.

use crate::domain::shell::quoted;
use crate::git::HOOKS_PATH;
use crate::ledger::{Cause, Reason};

/// What to do next about `reason` of the hub at `hub`, which is as people write it.
pub(super) fn advice(reason: &Reason, hub: &str) -> String {
    if let Some(bad) = &reason.about {
        return bad.advice(hub);
    }
    let ask = format!("git ls-remote {}", quoted(hub));
    let said = match reason.cause {
        Cause::Network | Cause::Trouble => "try again later",
        Cause::NameUnknown | Cause::NoPlace => {
            "correct the address if it is wrong; otherwise see whether its disk is mounted or its name is known, and try again"
        }
        Cause::Silent => return format!("`{ask}` shows all that the server says; if that works, try again"),
        Cause::HostKeyUnknown => return host_key_unknown(hub),
        Cause::HostKeyChanged => return host_key_changed(hub),
        Cause::Certificate => {
            return format!(
                "git does not trust the certificate of the server: have it renewed, or name its authority with `git config --global http.sslCAInfo FILE`; `{ask}` tries it"
            );
        }
        Cause::Authentication => return authentication(hub, &ask),
        Cause::NoRepository => {
            return format!("check the address: `{ask}` finds a repository when it is right");
        }
        Cause::Hidden => {
            return format!(
                "check the address, and have the owner of the hub let this account read and write it; `{ask}` tries the address"
            );
        }
        Cause::NoGit => {
            "the account on the server does not run git, or prints something of its own before: its owner has to install git, give the account a shell, or keep its shell quiet"
        }
        Cause::MayNotRead => {
            return format!("have the owner of the hub let this account read it; `{ask}` tries it");
        }
        Cause::MayNotWrite => {
            "this account may read and not write: have the owner of the hub let this account push, then `git muster doctor hub-writable` tries it"
        }
        Cause::Protected => {
            "this is the hub's own rule and trying again will not help: let this account push to the branch, or name another with `--hub-branch`"
        }
        Cause::Hook | Cause::Other => {
            "this is the hub's own rule and trying again will not help: its words say what it wants, and its owner can change it"
        }
        Cause::Email => {
            "the hub asks for other names in commits: set them with `git config --global muster.email ADDRESS` and `git config --global muster.name NAME`; `git muster config list --show-origin` shows what is used"
        }
        Cause::Signature => {
            "the hub asks for signed commits: `git config --global commit.gpgsign true` has git sign them with the key of `user.signingKey`"
        }
        Cause::Message => {
            "the hub asks for other messages than git-muster writes: have its owner except this branch from that rule, or name another with `--hub-branch`"
        }
        Cause::HistoryKept => {
            "the hub lets no branch be replaced or removed: leave its history as it is, or have its owner allow forced pushes to this branch"
        }
        Cause::Size => {
            "the hub, or a proxy before it, takes no push of this size: its owner has to raise `receive.maxInputSize` or the limit of the proxy; `git muster archive` makes what is pushed smaller"
        }
        Cause::Disk => {
            "the disk of the hub is full or cannot be written, or the account that its git runs as may not write there: make room, or let it in; for a hub on this machine `git muster doctor hub-writable disk` tells which"
        }
        Cause::Files => {
            "the account that the hub's git runs as may not write its repository; its owner has to let it in"
        }
        _ => return advice_on_store(reason.cause, hub, &ask),
    };
    said.to_owned()
}

/// What to do about a repository or a setting.
fn advice_on_store(cause: Cause, hub: &str, ask: &str) -> String {
    let hub = quoted(hub);
    match cause {
        Cause::CheckedOut => {
            "the hub has a work tree: make a bare copy of it with `git clone --bare`, and have all name that".to_owned()
        }
        Cause::NameTaken => format!(
            "another branch is in the way of the name: `{ask}` lists them, `git push {hub} --delete BRANCH` removes one"
        ),
        Cause::ObjectFormat => {
            "the hub names objects in another way than this program can: make one that does not with `git init --bare --object-format=sha1 PATH`".to_owned()
        }
        Cause::DamagedRef => {
            "a branch of the hub is damaged: `git muster doctor heartbeat-branches` names it and what removes it".to_owned()
        }
        Cause::Damaged => {
            "`git fsck` in the hub tells what is damaged; what it lacks may be in a clone, so keep all of them".to_owned()
        }
        Cause::Owner => {
            "if you trust its owner, `git config --global --add safe.directory PATH` with its path lets git use it, on the machine where it lies".to_owned()
        }
        Cause::Setting(HOOKS_PATH) => format!(
            "the hook is none of the hub's: {HOOKS_PATH}, which is set for all repositories of this account or this machine, names it, and `git config --show-origin {HOOKS_PATH}` shows where; have the hook let these pushes through, or have the hub run hooks of its own with `git -C {hub} config {HOOKS_PATH} hooks`"
        ),
        Cause::Setting(key) => format!(
            "a setting of git on this machine is in the way: `git config --show-origin --get-regexp {}` shows where it is made",
            quoted(key)
        ),
        Cause::Unsupported => format!("the hub lacks what a push needs: have its owner see to that; `{ask}` tells whether it can be read"),
        Cause::NoProgram if let Some(scheme) = unknown_scheme(&hub) => format!(
            "git knows no address that begins with `{scheme}://`: correct it; those of hubs begin with `ssh://`, `https://`, `http://`, `git://` or `file://`, or are `host:path` or a path"
        ),
        Cause::NoProgram => format!("git needs a program that is not there: install it, or correct the setting that names it; `{ask}` tries it"),
        _ => "try again later".to_owned(),
    }
}

/// What an address begins with, if that is none of what git itself knows.
fn unknown_scheme(hub: &str) -> Option<&str> {
    const KNOWN: &[&str] = &["ssh", "git", "http", "https", "file", "git+ssh", "ssh+git", "ftp", "ftps"];
    let (scheme, _) = hub.split_once("://")?;
    (!KNOWN.contains(&scheme)).then_some(scheme)
}

fn host_key_unknown(hub: &str) -> String {
    match login(hub) {
        Some((target, _)) => format!(
            "ssh does not know this host yet: `ssh {target}` by hand shows the fingerprint of its key; accept it if its owner confirms it"
        ),
        None => "ssh does not know this host yet: connect by hand once and accept its key if its owner confirms it".to_owned(),
    }
}

fn host_key_changed(hub: &str) -> String {
    let host = login(hub).map_or_else(|| "HOST".to_owned(), |(_, host)| host);
    format!(
        "the key of the host is another than before, or another machine answers: ask its owner; if that is right, `ssh-keygen -R {host}` forgets the old key"
    )
}

fn authentication(hub: &str, ask: &str) -> String {
    if login(hub).is_some() {
        return format!(
            "the server takes none of the keys that ssh offers: give it one of this account's, or name the right one in ~/.ssh/config; `{ask}` tries it"
        );
    }
    format!(
        "git has no password or token that the server takes: store one with a credential helper (`git help credentials`); `{ask}` tries it"
    )
}

/// What ssh is given to get to the hub, and the host by which it knows its key; `None` where it is
/// not reached by ssh.
fn login(hub: &str) -> Option<(String, String)> {
    let Some((scheme, rest)) = hub.split_once("://") else {
        let (target, _) = hub.split_once(':')?;
        let host = target.rsplit('@').next().unwrap_or(target);
        return (!target.contains('/')).then(|| (quoted(target), quoted(host)));
    };
    if !scheme.ends_with("ssh") && !scheme.starts_with("ssh") {
        return None;
    }
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    match (authority.rsplit_once(':'), host.rsplit_once(':')) {
        (Some((target, port)), Some((name, _))) if !port.contains(']') => {
            let known = if port == "22" { name.to_owned() } else { format!("[{name}]:{port}") };
            Some((format!("-p {} {}", quoted(port), quoted(target)), quoted(&known)))
        }
        _ => Some((quoted(authority), quoted(host))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_next_step() {
        let hub = "ssh://git@hub.example:2222/srv/hub.git";
        for (cause, said) in [
            (Cause::Network, "try again later"),
            (Cause::NameUnknown, "correct the address"),
            (Cause::NoPlace, "correct the address"),
            (Cause::HostKeyUnknown, "`ssh -p 2222 git@hub.example`"),
            (Cause::HostKeyChanged, "`ssh-keygen -R '[hub.example]:2222'`"),
            (Cause::Authentication, "`git ls-remote ssh://git@hub.example:2222/srv/hub.git`"),
            (Cause::NoRepository, "check the address"),
            (Cause::MayNotRead, "let this account read"),
            (Cause::MayNotWrite, "let this account push"),
            (Cause::Protected, "let this account push to the branch"),
            (Cause::Email, "muster.email"),
            (Cause::Signature, "commit.gpgsign"),
            (Cause::Size, "receive.maxInputSize"),
            (Cause::ObjectFormat, "--object-format=sha1"),
            (Cause::Setting("push.pushOption"), "push.pushOption"),
        ] {
            let advice = advice(&Reason::of(cause, ""), hub);
            assert!(advice.contains(said), "{cause:?}: {advice}");
            let may_push = matches!(cause, Cause::Protected | Cause::MayNotWrite);
            assert_eq!(advice.contains("let this account push"), may_push, "{cause:?}: {advice}");
        }
    }

    #[test]
    fn how_ssh_gets_to_a_hub_is_told_from_its_address() {
        for (hub, expected) in [
            ("git@hub.example:hub.git", Some(("git@hub.example", "hub.example"))),
            ("hub.example:hub.git", Some(("hub.example", "hub.example"))),
            ("ssh://hub.example/hub.git", Some(("hub.example", "hub.example"))),
            ("ssh://git@hub.example:22/x", Some(("-p 22 git@hub.example", "hub.example"))),
            ("git+ssh://git@hub.example/x", Some(("git@hub.example", "hub.example"))),
            ("https://hub.example/hub.git", None),
            ("/srv/a:b.git", None),
        ] {
            let login = login(hub);
            let login = login.as_ref().map(|(target, host)| (target.as_str(), host.as_str()));
            assert_eq!(login, expected, "{hub}");
        }
    }
}
