//! What a person does about records that are no good.

/// About records that cannot be used.
pub(in crate::cli) const MEND: &str = "`git muster fsck` names each such record, `git muster fsck --mend` sets it aside; or correct it in a clone of the hub and push that";

/// About tokens that were never given.
pub(super) const MEND_TOKEN: &str =
    "nobody claims or takes it after that; `git muster fsck --mend` has its tokens go on from a possible one";
