//! Texts the user gives: as an argument, from stdin, from a file; always bounded.

use super::error::CliError;
use super::exit::Exit;
use crate::domain::time::{Timestamp, parse_span, show_span};
use crate::host::files;
use std::fs::File;
use std::io;
use std::time::Duration;

/// A text as given, or `-` for stdin, or `@file`. Reads at most `bytes_max` bytes.
///
/// # Errors
/// When there is more, or it cannot be read.
pub(super) fn text(given: &str, bytes_max: u64) -> Result<String, CliError> {
    let read = |what: &str, result: io::Result<String>| {
        result.map_err(|error| {
            CliError::new(Exit::Failed, format!("{what} cannot be read: {error}; nothing was written"))
        })
    };
    match given.strip_prefix('@') {
        _ if given == "-" => read("standard input", files::read_bounded(io::stdin().lock(), bytes_max)),
        Some(path) => {
            let what = format!("the file `{}`", path.escape_debug());
            read(&what, File::open(path).and_then(|file| files::read_bounded(file, bytes_max)))
        }
        None => Ok(given.to_owned()),
    }
}

/// For clap: a span of time.
///
/// # Errors
/// A sentence for the user.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    parse_span(text)
}

/// A point in time, as the user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// By the calendar.
    At(Timestamp),
    /// So long from now.
    In(Duration),
}

impl Moment {
    /// Which one it is at `now`.
    #[must_use]
    pub fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(span) => now.plus(span),
        }
    }
}

/// For clap: `2025-10-29T12:00:00Z` and the like, or `in 2h`.
///
/// # Errors
/// A sentence for the user.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(span) = text.trim().strip_prefix("in ") {
        return parse_span(span).map(Moment::In);
    }
    // A number is a time only to programs; people who write one mean a span.
    let is_number = text.trim().parse::<f64>().is_ok();
    let at = Timestamp::parse(text).filter(|_| !is_number).map(Moment::At);
    at.ok_or_else(|| {
        "give a time such as 2025-10-29T12:00:00Z, or a span from now such as 'in 2h'".to_owned()
    })
}

/// `3m 20s ago`, or a dash when the time is unknown.
#[must_use]
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{} ago", show_span(now.since(at))))
}

/// The value or a dash.
#[must_use]
pub(super) fn or_dash(value: Option<&str>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_span_from_now() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        for (text, expected) in [
            ("2025-10-29T13:00:00+01:00", Some("2025-10-29T12:00:00Z")),
            ("2025-10-30", Some("2025-10-30T00:00:00Z")),
            ("in 2h", Some("2025-10-29T14:00:00Z")),
            (" in 1h30m", Some("2025-10-29T13:30:00Z")),
            ("2h", None),
            ("90", None),
            ("1761739200", None),
            ("in", None),
            ("in a while", None),
            ("in 200y", None),
            ("tomorrow", None),
        ] {
            let at = moment(text).ok().map(|moment| moment.after(now).to_string());
            assert_eq!(at.as_deref(), expected, "{text}");
        }
    }
}
