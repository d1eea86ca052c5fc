//! The zone of this machine and user (`TZ`, else `/etc/localtime`): what people mean by a time without a
//! zone, and how they read one. Documents and `--json` know no zone but UTC.

use crate::domain::time::{Calendar, Timestamp};
use chrono::{Local, LocalResult, NaiveDateTime, Offset as _, SecondsFormat, TimeDelta, TimeZone as _};

/// What a time of the calendar is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// That point in time.
    One(Timestamp),
    /// It is there twice, when clocks are set back.
    Twice(Timestamp, Timestamp),
    /// It is left out, when clocks are set forward; what it would be by the time before and after that.
    Never(Timestamp, Timestamp),
}

/// Reads a time of the calendar as the zone of this machine has it.
#[must_use]
pub fn read(calendar: Calendar) -> Option<Reading> {
    let naive: NaiveDateTime = calendar.into();
    let point = |at: chrono::DateTime<Local>| Timestamp::from_unix_millis(at.timestamp_millis());
    Some(match Local.from_local_datetime(&naive) {
        LocalResult::Single(at) => Reading::One(point(at)?),
        LocalResult::Ambiguous(first, second) => Reading::Twice(point(first)?, point(second)?),
        LocalResult::None => {
            // Zones do not change twice within two days.
            let by_offset_of = |day: NaiveDateTime| {
                let offset = Local.offset_from_utc_datetime(&day).fix().local_minus_utc();
                let utc = naive - TimeDelta::seconds(offset.into());
                Timestamp::from_unix_millis(utc.and_utc().timestamp_millis())
            };
            let day = TimeDelta::days(1);
            Reading::Never(by_offset_of(naive - day)?, by_offset_of(naive + day)?)
        }
    })
}

/// A point in time for people: `2025-10-29 13:00:00 +01:00`, and as documents have it where the zone is
/// UTC.
#[must_use]
pub fn show(at: Timestamp) -> String {
    let local = Local.timestamp_millis_opt(at.unix_millis()).single();
    match local.filter(|local| local.offset().fix().local_minus_utc() != 0) {
        Some(local) => local.format("%Y-%m-%d %H:%M:%S %:z").to_string(),
        None => at.to_string(),
    }
}

/// The same with the offset in a form that is read as it is meant, whatever the zone.
#[must_use]
pub fn spell(at: Timestamp, like: Timestamp) -> String {
    let offset = Local.timestamp_millis_opt(like.unix_millis()).single().map(|local| local.offset().fix());
    let at = chrono::DateTime::from_timestamp_millis(at.unix_millis()).unwrap_or_default();
    match offset {
        Some(offset) => at.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Secs, true),
        None => at.to_rfc3339_opts(SecondsFormat::Secs, true),
    }
}
