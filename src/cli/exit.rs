//! The exit codes: a small public promise.

use crate::domain::code::Class;
use crate::machine::asked;

/// How a command ends. Questions are answered by the code, so that scripts need no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed for a reason that is the user's or the machine's.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No: not found, nothing to claim, done already.
    No = 3,
    /// Refused: held by another, a failed precondition, a policy of the hub.
    Refused = 4,
    /// The caller's lease is lost.
    LeaseLost = 5,
    /// The hub cannot be reached.
    Unreachable = 7,
    /// The hub may or may not have it; `op resume` settles it.
    Unknown = 9,
    /// A bug in this program.
    Bug = 70,
    /// Others were faster until the time was up: try again.
    Contended = 75,
    /// What is configured cannot work.
    Configuration = 78,
    /// Asked to end by a signal before it was done: ended by that signal, which a shell tells as 128 and its
    /// number.
    AskedToEnd = 128,
}

impl Exit {
    /// All of them that are one number, with what they mean, for the manual.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Done, "done"),
        (Self::Failed, "failed"),
        (Self::Usage, "usage: invalid command line or request"),
        (Self::No, "no result: not found, nothing to claim, already done"),
        (
            Self::Refused,
            "refused: held by another server (even after waiting), failed precondition, hub policy, or no access",
        ),
        (Self::LeaseLost, "claim or lease lost: the token has been superseded or is no longer valid"),
        (Self::Unreachable, "hub unreachable; nothing was written"),
        (Self::Unknown, "outcome unknown; the op id is printed, `git muster op resume ID` resolves it"),
        (Self::Bug, "a bug in git-muster"),
        (
            Self::Contended,
            "temporary failure: write conflicts lasted until the time limit, or the awaited job did not finish in time; try again",
        ),
        (Self::Configuration, "configuration: no hub, no server name, or an unusable value"),
    ];

    /// How a command ends that was answered by something of this class.
    #[must_use]
    pub fn of(class: Class) -> Self {
        match class {
            Class::NotFound | Class::Nothing => Self::No,
            Class::Forbidden => Self::Refused,
            Class::LeaseLost => Self::LeaseLost,
            Class::Invalid => Self::Usage,
            Class::Unreachable => Self::Unreachable,
            Class::Unknown => Self::Unknown,
            Class::Contended => Self::Contended,
            Class::Configuration => Self::Configuration,
            Class::Failed => Self::Failed,
            Class::Interrupted => Self::AskedToEnd,
            Class::Bug => Self::Bug,
        }
    }

    /// The code.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the numbers are the enum's own")]
    pub fn code(self) -> u8 {
        if self == Self::AskedToEnd { asked::code() } else { self as u8 }
    }
}
