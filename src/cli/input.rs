//! Texts the user gives: as an argument, from stdin, from a file; always bounded.

use super::error::CliError;
use crate::domain::code::Code;
use crate::domain::time::{Calendar, Timestamp, parse_span, show_span};
use crate::machine::zone::{self, Reading};
use crate::machine::{environment, files};
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
            CliError::new(Code::FileFailed, format!("cannot read {what}: {error}"))
                .fact("path", given.strip_prefix('@'))
                .fact("detail", error.to_string())
                .unwritten()
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

/// The variables in which whoever runs a command for a job or under a lock tells its name and token.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobVariables {
    /// What has the token, in one word.
    pub what: &'static str,
    /// The variable with its name.
    pub name: &'static str,
    /// The variable with its token.
    pub token: &'static str,
}

/// Of a job.
pub(super) const OF_JOB: JobVariables =
    JobVariables { what: "job", name: "MUSTER_JOB_ID", token: "MUSTER_JOB_TOKEN" };

/// Of a lock.
pub(super) const OF_LOCK: JobVariables =
    JobVariables { what: "lock", name: "MUSTER_LOCK_NAME", token: "MUSTER_LOCK_TOKEN" };

/// The token of the job or lock `name`: the `given` one, else that of the environment, which belongs to
/// the name beside it. Tokens are small numbers: that of another one would fit too often.
///
/// # Errors
/// When there is none, or it is of another.
pub(super) fn token(given: Option<u64>, name: &str, of: JobVariables) -> Result<u64, CliError> {
    let JobVariables { what, name: name_variable, token: token_variable } = of;
    let usage = |why: String| {
        CliError::new(Code::TokenMissing, format!("{why}; nothing was done"))
            .fact("kind", what)
            .fact("id", name)
    };
    let hint = format!("pass the token of {what} `{name}` with `--token`");
    if let Some(token) = given {
        return Ok(token);
    }
    let Some(text) = environment::variable(token_variable) else {
        let why = format!("no token for {what} `{name}` given, and {token_variable} is not set");
        return Err(usage(why).hint(hint));
    };
    match environment::variable(name_variable) {
        Some(other) if other != name => {
            let why = format!(
                "{token_variable} is the token of {what} `{}`, not of `{name}`",
                other.escape_debug()
            );
            Err(usage(why).hint(hint))
        }
        _ => text.parse().map_err(|_| {
            usage(format!("{token_variable} is `{}`, which is not a valid token", text.escape_debug()))
                .hint(hint)
        }),
    }
}

/// For clap: a span of time.
///
/// # Errors
/// A sentence for the user.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    parse_span(text)
}

/// For clap: an age, by which something is moved, closed or left out. A bare number, which is one of seconds
/// where a span is given, is more likely meant as days: it would take nearly everything.
///
/// # Errors
/// A sentence for the user.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    if text.trim().parse::<u64>().is_ok_and(|number| number > 0) {
        return Err("add a unit, such as 30d".to_owned());
    }
    parse_span(text)
}

/// A point in time, as the user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointInTime {
    /// By the calendar.
    At(Timestamp),
    /// So long from now.
    In(Duration),
}

impl PointInTime {
    /// The span, if it is one from now.
    #[must_use]
    pub fn span(self) -> Option<Duration> {
        match self {
            Self::At(_) => None,
            Self::In(span) => Some(span),
        }
    }

    /// Which one it is at `now`.
    #[must_use]
    pub fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(span) => now.plus(span),
        }
    }
}

/// For clap: `2025-10-29T12:00:00Z` and the like, or `in 2h`. Without a zone it is a time where the user
/// is.
///
/// # Errors
/// A sentence for the user.
pub(super) fn moment(text: &str) -> Result<PointInTime, String> {
    if let Some(span) = text.trim().strip_prefix("in ") {
        return parse_span(span).map(PointInTime::In);
    }
    if let Some(reading) = Calendar::parse(text).and_then(zone::read) {
        return local(text.trim(), reading);
    }
    // A number is a time only to programs; people who write one mean a span.
    let is_number = text.trim().parse::<f64>().is_ok();
    let at = Timestamp::parse(text).filter(|_| !is_number).map(PointInTime::At);
    at.ok_or_else(|| {
        "give a time such as 2025-10-29T12:00:00Z (without a zone: local time), or a delay such as 'in 2h'"
            .to_owned()
    })
}

/// What a time without a zone is here, if it is one.
fn local(text: &str, reading: Reading) -> Result<PointInTime, String> {
    let (why, first, second, like) = match reading {
        Reading::One(at) => return Ok(PointInTime::At(at)),
        Reading::Twice(first, second) => ("occurs twice", first, second, (first, second)),
        // By the offset before the change it is a time after it, and the other way round.
        Reading::Never(before, after) => ("does not exist", before, after, (after, before)),
    };
    Err(format!(
        "in the time zone of this machine, {} {why} when clocks change: use {} or {}",
        text.escape_debug(),
        zone::spell(first, like.0),
        zone::spell(second, like.1)
    ))
}

/// A point in time, with how far off it is: `2025-10-30 09:00:00 +01:00, in 12h`.
#[must_use]
pub(super) fn told(at: Timestamp, now: Timestamp) -> String {
    match (at.since(now), now.since(at)) {
        (ahead, past) if past.is_zero() => format!("{}, in {}", at.told(), show_span(ahead)),
        (_, past) => format!("{}, {} ago", at.told(), show_span(past)),
    }
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
