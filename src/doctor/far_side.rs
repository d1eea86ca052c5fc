//! What each cause of a failure on the way to the hub, or in it, means to whoever has to mend it.

use crate::domain::shell::quoted;
use crate::ledger::Cause;

/// What follows, or what it is about.
pub(super) fn meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::Network | Cause::Trouble | Cause::Silent => {
            "nothing can be read or written until git itself gets there"
        }
        Cause::NameUnknown => "the name of the host leads nowhere; correct the address, or see to the name",
        Cause::NoPlace => {
            "nothing can be read or written; correct the path, or see whether its disk is mounted"
        }
        Cause::HostKeyUnknown => {
            "ssh does not know the key of the host; connect by hand once and accept it if its owner confirms it"
        }
        Cause::HostKeyChanged => {
            "the key of the host is another than before, or another machine answers; ask its owner before you forget the old one with `ssh-keygen -R`"
        }
        Cause::Certificate => "git does not trust the certificate of the server",
        Cause::Authentication => {
            "the server takes no key, password or token of this account; its owner has to, or git has to use another"
        }
        Cause::NoRepository => "there is no repository at this address; correct it",
        Cause::Hidden => {
            "there is no such repository, or this account may not see it; correct the address, or have its owner let this account in"
        }
        Cause::NoGit => "the account on the server does not run git, or prints something of its own before",
        Cause::MayNotRead => "the hub does not let this account read; its owner has to",
        Cause::MayNotWrite => "the hub lets this account read and not write; its owner has to let it push",
        Cause::Protected => {
            "the branch is protected; the owner of the hub has to let this account push to it"
        }
        Cause::ObjectFormat => {
            "the hub names objects in another way than this program can; a hub is made with `git init --bare --object-format=sha1`"
        }
        Cause::DamagedRef => "a branch of the hub is damaged",
        Cause::Damaged => {
            "the hub is damaged; what it lacks may be in a clone or a copy, so keep all of them"
        }
        Cause::Owner => "git does not use a repository of another user unless it is told to trust it",
        Cause::Setting(_) => "a setting of git on this machine is in the way",
        Cause::NoProgram => "git needs a program that is not on this machine",
        Cause::Hook
        | Cause::Email
        | Cause::Signature
        | Cause::Message
        | Cause::HistoryKept
        | Cause::CheckedOut
        | Cause::NameTaken
        | Cause::Size
        | Cause::Disk
        | Cause::Files
        | Cause::Unsupported
        | Cause::Other => "the hub answers and refuses by a rule of its own; its words say which",
    }
}

/// The command that tells more of it, where one does.
pub(super) fn look(cause: Cause, hub: &str) -> Option<String> {
    match cause {
        Cause::Setting(key) => Some(format!("git config --show-origin --get-regexp {}", quoted(key))),
        // Reading works; only a push tells more.
        Cause::MayNotWrite | Cause::Protected | Cause::ObjectFormat => None,
        _ => Some(format!("git ls-remote {}", quoted(hub))),
    }
}
