//! The rules of `doctor` about this machine and about repositories. A fact is always handed in; those about what
//! a hub holds are in `domain::doctor`.

pub mod machine;
pub mod store;
