//! The refs that we keep beside those of the hub, and where its branches are tracked. Names only.

use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;

/// Where the tips of histories that were rewritten are kept, each by its short id.
pub(super) const LOST: &str = "refs/muster/lost/";

/// Where the tips of branches are kept that are gone from the hub, each by its branch.
pub(super) const GONE: &str = "refs/muster/gone/";

/// Where the tips of branches are kept while they are fetched.
pub(super) const SEEN: &str = "refs/muster/seen/";

/// What keeps the tip of a branch that was known before a fetch, until it was compared with what came.
pub(super) fn seen(branch: &str) -> String {
    format!("{SEEN}{branch}")
}

/// Has a branch, or all of a pattern, fetched to where it is tracked.
pub(super) fn tracking(branch: &str) -> String {
    format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")
}

/// Has all heartbeat branches fetched.
pub(super) fn heartbeats_spec() -> String {
    tracking(&format!("{HEARTBEAT_BRANCH_PREFIX}*"))
}
