//! Bugs on purpose, to prove that the simulator finds them (`src/sim/bugs.rs` has the list).
//!
//! Only a build with the feature `planted-bugs`, which nobody ships, can have one; in any other
//! build the question is answered at compile time and leaves nothing behind.

#[cfg(feature = "planted-bugs")]
static PRESENT: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);

/// Whether the bug of this name is planted.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: &'static str) -> bool {
    let present = PRESENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    present.as_deref() == Some(bug)
}

/// Whether the bug of this name is planted.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
#[inline(always)]
pub const fn planted(_: &'static str) -> bool {
    false
}

/// Plants this bug, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<&str>) {
    let mut present = PRESENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *present = bug.map(str::to_owned);
}
