//! What a person should hear while a command still waits, and not only when it ends.
//!
//! The command line says once where it goes. Without that nobody hears it: what has to be known is
//! also in the answer.

use std::sync::OnceLock;

static HEARS: OnceLock<fn(&str)> = OnceLock::new();

/// Names who hears. The first one stays.
pub fn tell_to(hears: fn(&str)) {
    // A second one would be the same command line again.
    let _ = HEARS.set(hears);
}

/// Says something.
pub fn tell(words: &str) {
    if let Some(hears) = HEARS.get() {
        hears(words);
    }
}
