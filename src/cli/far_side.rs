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
            "check the hub address; if it is correct, check that the disk is mounted or the host name resolves, then try again"
        }
        Cause::Silent => {
            return format!("see the server's full response with `{ask}`; if that works, try again");
        }
        Cause::HostKeyUnknown => return host_key_unknown(hub),
        Cause::HostKeyChanged => return host_key_changed(hub),
        Cause::Certificate => {
            return format!(
                "Git does not trust the certificate of the server: have it renewed, or configure its authority with `git config --global http.sslCAInfo FILE`; test with `{ask}`"
            );
        }
        Cause::Authentication => return authentication(hub, &ask),
        Cause::NoRepository => {
            return format!("check the address with `{ask}`");
        }
        Cause::Hidden => {
            return format!(
                "check the address, and ask the owner of the hub to give this account read and write access; test with `{ask}`"
            );
        }
        Cause::NoGit => {
            "the account on the server does not run git, or its shell prints other output first: ask its owner to install git, give the account a shell, or silence the shell's startup files"
        }
        Cause::MayNotRead => {
            return format!("ask the owner of the hub to let this account read it; test with `{ask}`");
        }
        Cause::MayNotWrite => {
            "this account can only read: ask the owner of the hub to let this account push, then test with `git muster doctor hub-writable`"
        }
        Cause::Protected => {
            "let this account push to the branch, or choose another with `--hub-branch`; the hub's policy rejected the push, so retrying will not help"
        }
        Cause::Hook | Cause::Other => {
            "follow the hub's message, or ask its owner to change the rule; the hub's policy rejected the push, so retrying will not help"
        }
        Cause::Email => {
            "the hub requires another author of commits: set it with `git config --global muster.email ADDRESS` and `git config --global muster.name NAME`; see the values in use with `git muster config list --show-origin`"
        }
        Cause::Signature => {
            "the hub requires signed commits: sign with the key of `user.signingKey` by `git config --global commit.gpgsign true`"
        }
        Cause::Message => {
            "the hub requires other commit messages than git-muster writes: ask its owner to exempt this branch, or choose another with `--hub-branch`"
        }
        Cause::HistoryKept => {
            "the hub does not allow branches to be replaced or deleted: keep the history as it is, or ask its owner to allow force-pushes to this branch"
        }
        Cause::Size => {
            "the hub, or a proxy in front of it, rejects pushes of this size: ask its owner to raise `receive.maxInputSize` or the limit of the proxy; `git muster archive` makes pushes smaller"
        }
        Cause::Disk => {
            "the disk of the hub is full or cannot be written, or the account that its git runs as may not write there: make room, or let it in; for a hub on this machine `git muster doctor hub-writable disk` tells which"
        }
        Cause::Files => {
            "the account that runs git on the hub may not write the repository; ask its owner to grant write access"
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
            "the hub has a work tree: create a bare copy with `git clone --bare`, and use that on all servers".to_owned()
        }
        Cause::NameTaken => format!(
            "another branch conflicts with the name: list branches with `{ask}`, delete one with `git push {hub} --delete BRANCH`"
        ),
        Cause::ObjectFormat => {
            "the hub uses an object format that git-muster does not support: create one with `git init --bare --object-format=sha1 PATH`".to_owned()
        }
        Cause::DamagedRef => {
            "a hub branch is damaged: `git muster doctor heartbeat-branches` names it and how to remove it".to_owned()
        }
        Cause::Damaged => {
            "run `git fsck` in the hub to find the damage; missing objects may be in a clone, so keep all clones".to_owned()
        }
        Cause::Owner => {
            "if you trust its owner, run `git config --global --add safe.directory PATH` with its path, on the machine where it lies".to_owned()
        }
        Cause::Setting(HOOKS_PATH) => format!(
            "the hook is none of the hub's: {HOOKS_PATH}, which is set for all repositories of this account or this machine, names it, and `git config --show-origin {HOOKS_PATH}` shows where; have the hook let these pushes through, or have the hub run hooks of its own with `git -C {hub} config {HOOKS_PATH} hooks`"
        ),
        Cause::Setting(key) => format!(
            "a setting of git on this machine is in the way: `git config --show-origin --get-regexp {}` shows where it is made",
            quoted(key)
        ),
        Cause::Unsupported => format!("the hub does not support pushes like this: ask its owner; check with `{ask}` whether it can be read"),
        Cause::NoProgram if let Some(scheme) = unknown_scheme(&hub) => format!(
            "unknown address scheme `{scheme}://`: correct it; hub addresses start with `ssh://`, `https://`, `http://`, `git://` or `file://`, or are `host:path` or a path"
        ),
        Cause::NoProgram => format!("Git needs a program that is not installed: install it, or correct the setting that names it; test with `{ask}`"),
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
            "ssh does not know this host yet: connect once with `ssh {target}`, and accept the key if its owner confirms the fingerprint"
        ),
        None => "ssh does not know this host yet: connect once, and accept the key if its owner confirms the fingerprint".to_owned(),
    }
}

fn host_key_changed(hub: &str) -> String {
    let host = login(hub).map_or_else(|| "HOST".to_owned(), |(_, host)| host);
    format!(
        "the host key has changed, or another machine answers: ask its owner; if the change is expected, remove the old key with `ssh-keygen -R {host}`"
    )
}

fn authentication(hub: &str, ask: &str) -> String {
    if login(hub).is_some() {
        return format!(
            "the server accepts none of the offered ssh keys: add a key of this account to the server, or configure the right one in ~/.ssh/config; test with `{ask}`"
        );
    }
    format!(
        "Git has no password or token that the server accepts: store one with a credential helper (`git help credentials`); test with `{ask}`"
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
            (Cause::NameUnknown, "check the hub address"),
            (Cause::NoPlace, "check the hub address"),
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
