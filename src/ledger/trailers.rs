//! The lines at the end of a commit's message that are for machines: by them an operation is found again.

use crate::domain::id::OpId;

/// What a commit says that goes along with one of another branch.
const ALONG: &str = "Muster-With: ";

/// The operations that a commit with this message carries.
pub(crate) fn ops_in(message: &str) -> impl Iterator<Item = OpId> {
    message.lines().filter_map(|line| OpId::new(line.strip_prefix("Muster-Op: ")?).ok())
}

/// The lines at the end of a message that are for machines.
pub(crate) fn trailers(message: &str) -> impl Iterator<Item = &str> {
    message.trim_end().rsplit_once("\n\n").map_or("", |(_, last)| last).lines()
}

/// Whether a commit with this message carries the operation `op`.
pub(crate) fn carries(message: &str, op: &OpId) -> bool {
    ops_in(message).any(|carried| carried == *op)
}

/// The message of a commit that goes along with one of the branch `main`, which tells of both whether
/// they happened.
pub(crate) fn along(message: &str, main: &str) -> String {
    format!("{message}{ALONG}{main}\n")
}

/// Whether a commit with this message shows that `op` happened. One that only goes along does not: a
/// process may have been killed after that one had moved, and before the one that counts.
pub(crate) fn shows(message: &str, op: &OpId) -> bool {
    carries(message, op) && !message.lines().any(|line| line.starts_with(ALONG))
}
