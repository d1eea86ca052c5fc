//! Points in time and spans of time as the hub writes them.
//!
//! With `machine/zone.rs` the only file that names chrono. Nothing here reads a clock or a zone: a [`Timestamp`] is always handed
//! in. Written form: RFC 3339 in UTC with whole seconds and `Z`, because `jq`'s
//! `fromdateiso8601`, which readers of a hub use, takes no fraction.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone as _, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A time of the calendar whose zone is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar(NaiveDateTime);

impl Calendar {
    /// Reads one in the shapes in which [`Timestamp::parse`] reads a time without a zone; `None` also for
    /// what names its zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let shaped = ZONELESS_SHAPES.iter().find_map(|shape| NaiveDateTime::parse_from_str(text, shape).ok());
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        shaped.or_else(day).map(Self)
    }
}

impl From<Calendar> for NaiveDateTime {
    fn from(calendar: Calendar) -> Self {
        calendar.0
    }
}

/// How points in time are told to people, once the command line has said so.
static TOLD_AS: OnceLock<fn(Timestamp) -> String> = OnceLock::new();

/// Has [`Timestamp::told`] tell all points in time like this; the first to say so counts.
pub fn tell_times_as(told: fn(Timestamp) -> String) {
    TOLD_AS.get_or_init(|| told);
}

/// The earliest and latest years we accept when reading: what lies outside is a mistake.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// Shapes without a zone that real hubs hold; all of them meant UTC.
const ZONELESS_SHAPES: &[&str] = &[
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y%m%dT%H%M%S",
    "%Y%m%dT%H%M",
];

impl Timestamp {
    /// From milliseconds since the epoch; `None` when outside the years 1970 to 9999.
    #[must_use]
    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        let at = DateTime::<Utc>::from_timestamp_millis(millis)?;
        YEARS.contains(&chrono::Datelike::year(&at)).then_some(Self(millis))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads any of the shapes found in real hubs: RFC 3339 with or without a fraction and with
    /// `Z`, an offset or no zone; a space for the `T`; minutes only; ISO basic; seconds since the
    /// epoch. `None` for anything else, such as a shell expression that was never expanded.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Self::from_unix_millis(at.timestamp_millis());
        }
        let zoneless = text.strip_suffix(['Z', 'z']).unwrap_or(text);
        for shape in ZONELESS_SHAPES {
            if let Ok(at) = NaiveDateTime::parse_from_str(zoneless, shape) {
                return Self::from_unix_millis(Utc.from_utc_datetime(&at).timestamp_millis());
            }
        }
        if let Ok(day) = NaiveDate::parse_from_str(zoneless, "%Y-%m-%d") {
            return Self::from_unix_millis(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis());
        }
        Self::from_epoch_text(text)
    }

    /// Seconds since the epoch as text, with an optional fraction (`jq`'s `now` writes one).
    fn from_epoch_text(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if whole.len() < 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        Self::from_unix_millis(seconds.checked_mul(1000)?.checked_add(millis)?)
    }

    /// This point plus `span`; stays put at the end of the calendar.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.0.saturating_add(millis)).unwrap_or(self)
    }

    /// This point less `span`; stays put at the beginning of the calendar.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.0.saturating_sub(millis)).unwrap_or(self)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// For people: in their zone, or as it is written where nothing says which that is.
    #[must_use]
    pub fn told(self) -> String {
        TOLD_AS.get().map_or_else(|| self.to_string(), |told| told(self))
    }

    /// `20251029T120000Z`, for file and branch names.
    #[must_use]
    pub fn compact(self) -> String {
        self.date_time().format("%Y%m%dT%H%M%SZ").to_string()
    }

    /// The time that [`Timestamp::compact`] wrote.
    #[must_use]
    pub fn parse_compact(text: &str) -> Option<Self> {
        let at = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?;
        Self::from_unix_millis(at.and_utc().timestamp_millis())
    }

    /// `2025-10`, the month an archive file is named by.
    #[must_use]
    pub fn month(self) -> String {
        self.date_time().format("%Y-%m").to_string()
    }

    fn date_time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.date_time().to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{}` is not a point in time", text.escape_debug()))
        })
    }
}

/// The longest span a flag or a record may hold: a century, so that sums never overflow.
pub const SPAN_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Reads `90`, `90s`, `2m`, `1h30m`, `7d`: a bare number means seconds.
///
/// # Errors
/// A sentence for the user when the text is no span or is longer than [`SPAN_MAX`].
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let span = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text.trim())
            .map_err(|_| "give a span of time such as 90s, 2m, 1h30m or 7d".to_owned())?,
    };
    if span > SPAN_MAX {
        return Err("that span is longer than a century".to_owned());
    }
    Ok(span)
}

/// How long it was from `start` to `end`; `None` where one is not known, or where they contradict each
/// other, as times of two clocks do: that is another answer than zero.
#[must_use]
pub fn between(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<Duration> {
    let (start, end) = (start?, end?);
    (start <= end).then(|| end.since(start))
}

/// A span as whole seconds, for `serialize_with`.
///
/// # Errors
/// Those of the serializer.
pub fn as_seconds<S: Serializer>(span: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(span.as_secs())
}

/// A span for people, two units at most: `45s`, `3m 20s`, `2h 5m`, `4d 3h`.
#[must_use]
pub fn show_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit} {small}{small_unit}") }
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_found_in_real_hubs_is_read_as_the_same_instant() {
        let noon = Timestamp::parse("2025-11-03T16:21:00Z").expect("plain");
        for shape in [
            "2025-11-03 16:21",
            "2025-11-03T16:21",
            "2025-11-03 16:21:00",
            "2025-11-03T16:21:00",
            "2025-11-03T16:21:00.000000Z",
            "2025-11-03T16:21:00.0000000+00:00",
            "2025-11-03T17:21:00+01:00",
            "20251103T162100Z",
            "1762186860",
            "1762186860.0",
        ] {
            assert_eq!(Timestamp::parse(shape), Some(noon), "{shape}");
        }
        assert_eq!(Timestamp::parse("100000000").map(Timestamp::unix_millis), Some(100_000_000_000));
        let fraction = Timestamp::parse("2025-11-03T16:21:00.94736Z").expect("fraction");
        assert_eq!(fraction.since(noon), Duration::from_millis(947));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "now", "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "12", "2025-13-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn written_with_whole_seconds_and_z() {
        let at = Timestamp::parse("2025-11-03T16:21:00.94736Z").expect("fraction");
        assert_eq!(at.to_string(), "2025-11-03T16:21:00Z");
        assert_eq!(at.compact(), "20251103T162100Z");
        assert_eq!(at.month(), "2025-11");
    }

    #[test]
    fn spans_are_read_and_shown() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("7d", 604_800)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        let century = 100 * 366 * 86_400;
        assert_eq!(parse_span(&century.to_string()), Ok(Duration::from_secs(century)));
        for text in ["", "soon", "-5s", "200y", &(century + 1).to_string()] {
            assert!(parse_span(text).is_err(), "{text}");
        }
        for (seconds, shown) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (200, "3m 20s"), (7500, "2h 5m"), (356_400, "4d 3h")]
        {
            assert_eq!(show_span(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn a_time_of_the_calendar_names_no_zone() {
        for (text, expected) in [
            ("2025-11-03 16:21", Some("2025-11-03T16:21:00Z")),
            (" 2025-11-03T16:21:07 ", Some("2025-11-03T16:21:07Z")),
            ("2025-11-03", Some("2025-11-03T00:00:00Z")),
            ("2025-11-03T16:21Z", None),
            ("2025-11-03T16:21:00+01:00", None),
            ("soon", None),
        ] {
            let read = Calendar::parse(text).map(NaiveDateTime::from);
            let expected = expected.and_then(Timestamp::parse).map(|at| at.date_time().naive_utc());
            assert_eq!(read, expected, "{text}");
        }
    }
}
