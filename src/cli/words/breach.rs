//! The words for broken rules of a hub.

use crate::domain::shell::typed;

/// How much of a name from a hub a sentence repeats, in characters.
const SHOWN_LENGTH_MAX: usize = 80;

pub(super) fn unknown_status(job: &str, status: &str) -> String {
    format!(
        "job {} is {}, which is no status of a job: it is shown and never acted on",
        named(job),
        named(status)
    )
}

pub(super) fn needs_in_circle(job: &str) -> String {
    format!("job {} needs itself by way of its needs, and is never claimed", named(job))
}

/// How a job is ended that nobody will do.
pub(super) fn cancel(job: &str) -> String {
    format!("cancel it with `git muster job cancel {}`", typed(job, "ID"))
}

pub(super) fn leave_circle(job: &str) -> String {
    format!("one of the circle has to go: {}", cancel(job))
}

/// A name or word from a hub as a sentence repeats it: in backticks and not endless.
fn named(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_LENGTH_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}
