//! Why the far side did not do what it was asked: one list of causes for the whole program.
//!
//! `git/classify.rs` finds them in what git printed; what to do about each is told above, by
//! `cli::far_side` and the doctor. Nobody else reads the words: they are for people.

use crate::domain::bad_branch::BadBranch;
use std::fmt;

/// What a failure on the way to the hub, or in it, comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection came to be, or it ended before the hub said anything.
    Network,
    /// The server answers and is not up to it at the moment: overload, maintenance, a limit.
    Trouble,
    /// No address is known for the name of the host.
    NameUnknown,
    /// The connection was ended from there, and no known word says why.
    Silent,
    /// There is nothing at the path.
    NoPlace,
    /// The host's key is not among the known ones.
    HostKeyUnknown,
    /// The host's key is another than the known one.
    HostKeyChanged,
    /// The certificate of the server does not hold.
    Certificate,
    /// No key, password or token of this account was accepted, or there was none to offer.
    Authentication,
    /// There is no repository at the path.
    NoRepository,
    /// There is no such repository, or this account may not see it: the hub does not tell which.
    Hidden,
    /// The account on the server cannot run git.
    NoGit,
    /// This account may not read.
    MayNotRead,
    /// This account may read and not write.
    MayNotWrite,
    /// The branch is protected.
    Protected,
    /// A hook of the hub said no, and no known word says why.
    Hook,
    /// The hub wants other names or e-mail addresses in commits.
    Email,
    /// The hub wants commits to be signed.
    Signature,
    /// The hub wants other messages of commits.
    Message,
    /// The hub lets no branch be replaced or removed.
    HistoryKept,
    /// The branch is checked out in the hub, which has a work tree.
    CheckedOut,
    /// Another branch is in the way of the name of this one.
    NameTaken,
    /// The push is larger than the hub or a proxy before it takes.
    Size,
    /// The disk of the hub is full or cannot be written.
    Disk,
    /// The account that the hub's git runs as may not write its files.
    Files,
    /// The two sides name objects in different ways.
    ObjectFormat,
    /// A ref of the hub is empty, garbled or leads nowhere.
    DamagedRef,
    /// Objects of the hub are damaged or gone.
    Damaged,
    /// git does not use a repository of another user unless it is told to.
    Owner,
    /// A setting of git on this machine, by its name.
    Setting(&'static str),
    /// The hub lacks what a push of ours needs.
    Unsupported,
    /// A program that git needs on this machine is missing.
    NoProgram,
    /// Something else.
    Other,
}

impl Cause {
    /// Whether the connection was lost or never came to be, so that the next one may well hold.
    #[must_use]
    pub(super) fn is_of_the_connection(self) -> bool {
        matches!(self, Self::Network | Self::Silent)
    }

    /// Its name in `--json` answers; never changes.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Trouble => "server_trouble",
            Self::NameUnknown => "name_unknown",
            Self::Silent => "silent",
            Self::NoPlace => "no_place",
            Self::HostKeyUnknown => "host_key_unknown",
            Self::HostKeyChanged => "host_key_changed",
            Self::Certificate => "certificate",
            Self::Authentication => "authentication",
            Self::NoRepository => "no_repository",
            Self::Hidden => "no_repository_or_hidden",
            Self::NoGit => "no_git_there",
            Self::MayNotRead => "may_not_read",
            Self::MayNotWrite => "may_not_write",
            Self::Protected => "protected_branch",
            Self::Hook => "hook",
            Self::Email => "email_rule",
            Self::Signature => "signature_rule",
            Self::Message => "message_rule",
            Self::HistoryKept => "history_kept",
            Self::CheckedOut => "checked_out",
            Self::NameTaken => "name_taken",
            Self::Size => "size",
            Self::Disk => "disk",
            Self::Files => "files",
            Self::ObjectFormat => "object_format",
            Self::DamagedRef => "damaged_ref",
            Self::Damaged => "damaged",
            Self::Owner => "owner",
            Self::Setting(_) => "own_setting",
            Self::Unsupported => "unsupported",
            Self::NoProgram => "no_program",
            Self::Other => "other",
        }
    }
}

/// Whose words an explanation is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The hub: its git, its hooks, the forge around it.
    Hub,
    /// git, here or there.
    Git,
    /// ssh, or what the server's account runs before git. A greeting looks the same, so only known
    /// shapes of lines count as theirs.
    Login,
    /// This program or the system it runs on.
    Here,
}

/// A cause with the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What it comes from.
    pub cause: Cause,
    /// Who said it.
    pub speaker: Voice,
    /// What was said: one clean line for people.
    pub words: String,
    /// The branch that is at fault, if one is.
    pub about: Option<BadBranch>,
}

impl Reason {
    /// What this program says itself.
    #[must_use]
    pub fn of(cause: Cause, words: impl Into<String>) -> Self {
        Self::said(cause, Voice::Here, words)
    }

    /// What somebody else said.
    #[must_use]
    pub fn said(cause: Cause, speaker: Voice, words: impl Into<String>) -> Self {
        Self { cause, speaker, words: words.into(), about: None }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.words)
    }
}
