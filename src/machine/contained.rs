//! Work in which a bug of ours must not end the whole process: that of one job among others.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives, or the words of the panic that ended it. What `work` was changing may be half done:
/// nobody may go on with it.
///
/// # Errors
/// When it panicked.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CONTAINED.replace(true);
    let ended = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    ended.map_err(|panic| format!("a bug in git-muster ended it: {}", words(panic.as_ref())))
}

/// Whether a panic of this thread is one that somebody waits for.
#[must_use]
pub fn is_contained() -> bool {
    IS_CONTAINED.get()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let owned = panic.downcast_ref::<String>().cloned();
    owned.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_words_and_the_next_one_is_not_contained() {
        assert_eq!(contained(|| 7), Ok(7));
        assert!(contained(is_contained).expect("no panic"));
        let number = 3;
        let ended = contained(|| assert_eq!(number, 4, "not four"));
        assert!(ended.is_err_and(|words| words.contains("not four")));
        assert!(!is_contained());
        // One within another is the other's.
        assert_eq!(contained(|| contained(|| ()).map(|()| is_contained())), Ok(Ok(true)));
    }
}
