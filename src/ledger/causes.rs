//! What a fault on this machine comes from: of what is set, and of what a store keeps here. Of the far side tells
//! `far_side.rs`. The store that met it fills it in; nobody reads its words.

/// What of the configuration cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The repository is another user's.
    Owner,
    /// It has a work tree.
    WorkTree,
    /// git made it in a format that this program cannot use.
    Format,
    /// This account may not read it.
    Unreadable,
    /// git's own configuration has a mistake.
    GitSetting,
    /// There is no repository that can be opened.
    NoRepository,
    /// git would read from one place and push to another.
    TwoPlaces,
    /// The program git is missing or too old.
    Git,
    /// The store keeps no history.
    NoHistory,
    /// A commit cannot be signed.
    Signing,
    /// Something that is refused is asked for where only reading is.
    Refused,
}

impl Unfit {
    /// Its word among the facts.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::WorkTree => "work-tree",
            Self::Format => "format",
            Self::Unreadable => "unreadable",
            Self::GitSetting => "git-setting",
            Self::NoRepository => "no-repository",
            Self::TwoPlaces => "two-places",
            Self::Git => "git",
            Self::NoHistory => "no-history",
            Self::Signing => "signing",
            Self::Refused => "refused",
        }
    }

    /// Whether there is nothing at the place that can be opened as a hub.
    #[must_use]
    pub fn is_no_repository(self) -> bool {
        matches!(self, Self::Format | Self::NoRepository)
    }
}

/// What a fault of a store on this machine comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreCause {
    /// It is damaged, so that fetching it again may help.
    Damaged,
    /// The disk is full or cannot be written.
    Disk,
    /// It is another user's, and git does not use it.
    Owner,
    /// Something else.
    Other,
}
