//! What the words of a store say of the machine it is on, where a fault carries words and no cause.
//!
//! The only words that are read outside of the room of a store: what fails below it (a full disk, another user's
//! files) fails below every store.

/// Whether a file could not be written, in the words of libgit2, git or the system.
pub(crate) fn is_about_disk(why: &str) -> bool {
    contains_any(why, &["failed to write", "No space left", "Disk quota", "Read-only file system"])
}

/// Whether a repository is not used because it is another user's.
pub(crate) fn is_about_owner(why: &str) -> bool {
    contains_any(why, &["not owned by", "dubious ownership"])
}

fn contains_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}
