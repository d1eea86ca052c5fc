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
