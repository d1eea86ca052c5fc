//! Bugs on purpose, to prove that the simulator finds them (`src/sim/bugs.rs` has the list).
//!
//! Only a build with the feature `planted-bugs`, which nobody ships, can have one; in any other
//! build the question is answered at compile time and leaves nothing behind.

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PRESENT: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Whether the bug of this name is planted.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: &'static str) -> bool {
    PRESENT.get() == Some(bug)
}

/// Whether the bug of this name is planted.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
#[inline(always)]
pub const fn planted(_: &'static str) -> bool {
    false
}

/// Plants this bug in everything that this thread does, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<&'static str>) {
    PRESENT.set(bug);
}
