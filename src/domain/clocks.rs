//! Whose clock is wrong: ours, or another's.
//!
//! The hub has no clock. What it has are the times that others wrote, each by its own; when most of them
//! agree with each other and not with ours, ours is the one to doubt. Nothing is taken from anybody by
//! what is concluded here: leases are watched by the boot clock (`lock.rs`).

use super::time::{Timestamp, show_span};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How far a clock may be off before it is said so: as much as NTP ever needs to step, and more than a
/// push takes.
pub const SKEW_MAX: Duration = Duration::from_secs(60);

/// What was written within this agrees with our clock: a hub in which less is written says nothing of
/// it.
const AGREES_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How many of the newest commits are asked.
pub const COMMITS_ASKED_MAX: usize = 8;

/// The fewest servers that can say that our clock is ahead: of two that contradict each other only one
/// may give way, or both would, and it is the one that is behind.
const AHEAD_VOTERS_MIN: usize = 2;

/// The present by the clocks of those who wrote last, if more of them contradict `now` than agree with
/// it. `newest` are the last commits with their authors, the newest first; `me` is who asks.
///
/// Who wrote in our future says that our clock is behind. Who wrote after us and yet before us by the
/// clock says that ours is ahead. All else is silence: nobody wrote lately.
#[must_use]
pub fn present_by_others(now: Timestamp, me: &str, newest: &[(String, Timestamp)]) -> Option<Timestamp> {
    let mut ours: Option<Timestamp> = None;
    // Of each other the newest commit, and how far ours that came before it is ahead of it.
    let mut others: BTreeMap<&str, (Timestamp, Duration)> = BTreeMap::new();
    for (author, at) in newest.iter().rev() {
        if author == me {
            ours = Some(*at);
        } else {
            others.insert(author, (*at, ours.map_or(Duration::ZERO, |ours| ours.since(*at))));
        }
    }
    let mut later: Vec<Duration> = others.values().map(|(at, _)| at.since(now)).collect();
    let mut earlier: Vec<Duration> = others.values().map(|(_, lead)| *lead).collect();
    let agreeing = others.values().filter(|(at, lead)| {
        at.since(now) <= SKEW_MAX && now.since(*at) <= AGREES_WITHIN && *lead <= SKEW_MAX
    });
    let agreeing = agreeing.count();
    later.retain(|by| *by > SKEW_MAX);
    earlier.retain(|by| *by > SKEW_MAX);
    if later.len() > earlier.len() && later.len() >= agreeing {
        return lower_middle(&mut later).map(|by| now.plus(by));
    }
    if earlier.len() > later.len().max(AHEAD_VOTERS_MIN - 1) && earlier.len() >= agreeing {
        return lower_middle(&mut earlier).map(|by| now.before(by));
    }
    None
}

/// The one in the middle, or the smaller of two: a single clock that is far off decides nothing.
fn lower_middle(spans: &mut [Duration]) -> Option<Duration> {
    spans.sort_unstable();
    spans.get(spans.len().saturating_sub(1) / 2).copied()
}

/// What a look saw, compared with the looks before of the same host, by its boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockChange {
    /// Nobody looked before.
    First,
    /// It has been like this for so long at least, and for so long at most if this host saw it become so.
    Same(Duration, Option<Duration>),
    /// It became so within this time.
    Within(Duration),
}

/// A sign of life of a server, as one look saw it.
#[derive(Debug, Clone, Copy)]
pub struct HeartbeatTime {
    /// When it was given, by the clock of its server.
    pub at: Timestamp,
    /// How often the server gives one.
    pub interval: Duration,
    /// What it was before.
    pub change: ClockChange,
}

/// Our clock beside those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnClock {
    /// The present by theirs.
    pub now: Timestamp,
    /// By how much ours is off, if it is.
    pub off: Option<ClockSkew>,
}

/// A clock that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ClockSkew {
    /// By how much.
    #[serde(rename = "by_seconds", serialize_with = "super::time::as_seconds")]
    pub by: Duration,
    /// Whether it is ahead, and not behind.
    pub is_ahead: bool,
    /// Of how many servers the clocks agree with each other, and not with ours.
    pub servers: usize,
    /// Whether it may as well be that all of them fell silent at the same moment: nobody has looked
    /// twice.
    pub is_doubtful: bool,
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, servers) = (show_span(self.by), self.servers);
        let way = if self.is_ahead { "ahead of" } else { "behind" };
        let doubt = if self.is_doubtful { ", unless they all fell silent at the same moment" } else { "" };
        write!(out, "this clock is {by} {way} those of {servers} servers, which agree with each other{doubt}")
    }
}

/// The fewest servers whose clocks can outvote ours.
const VOTERS_MIN: usize = 3;

/// The same, when all of them were seen to live: no silence explains then what their times say.
const SEEN_VOTERS_MIN: usize = 2;

/// Compares `now` with the signs of life of others. A server that lives gave its last sign half an
/// interval ago, give or take another half: when most of them agree on another time than ours, it is
/// ours that is off.
#[must_use]
pub fn own_clock(now: Timestamp, others: &[HeartbeatTime]) -> OwnClock {
    let right = OwnClock { now, off: None };
    let apart = |sign: &HeartbeatTime| {
        let age = now.unix_millis().saturating_sub(sign.at.unix_millis());
        age.saturating_sub(millis(sign.interval / 2))
    };
    let mut all: Vec<i64> = others.iter().map(apart).collect();
    all.sort_unstable();
    let Some(middle) = all.get(all.len() / 2).copied() else { return right };
    let agrees = |sign: &&HeartbeatTime| {
        apart(sign).abs_diff(middle) <= sign.interval.as_millis().try_into().unwrap_or(u64::MAX)
    };
    let agreeing: Vec<&HeartbeatTime> = others.iter().filter(agrees).collect();
    let interval = agreeing.iter().map(|sign| sign.interval).max().unwrap_or_default();
    let by = Duration::from_millis(middle.unsigned_abs());
    let count = |is: fn(&&&HeartbeatTime) -> bool| agreeing.iter().filter(is).count();
    let alive = count(
        |sign| matches!(sign.change, ClockChange::Within(span) | ClockChange::Same(_, Some(span)) if span <= sign.interval * 3),
    );
    let voters_min = if alive == agreeing.len() { SEEN_VOTERS_MIN } else { VOTERS_MIN };
    if agreeing.len() < voters_min || agreeing.len() * 2 <= others.len() || by <= SKEW_MAX + interval / 2 {
        return right;
    }
    let silent = count(|sign| matches!(sign.change, ClockChange::Same(span, _) if span > sign.interval * 2));
    let is_ahead = middle > 0;
    // Nothing comes from the future; but what is past may be the last there ever was.
    if is_ahead && silent * 2 > agreeing.len() {
        return right;
    }
    let is_doubtful = is_ahead && alive * 2 <= agreeing.len();
    let theirs = if is_ahead { now.before(by) } else { now.plus(by) };
    OwnClock { now: theirs, off: Some(ClockSkew { by, is_ahead, servers: agreeing.len(), is_doubtful }) }
}

/// How old a sign of life is at `now`, by its time and by what was seen of it.
#[must_use]
pub fn age(at: Timestamp, change: ClockChange, now: Timestamp) -> Duration {
    let told = now.since(at);
    match change {
        ClockChange::First => told,
        ClockChange::Same(least, most) => told.max(least).min(most.unwrap_or(Duration::MAX)),
        ClockChange::Within(span) => told.min(span),
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("a time")
    }

    #[test]
    fn a_clock_that_more_contradict_than_agree_with_is_off() {
        // The newest first; `me` asks at 0.
        for (newest, expected) in [
            (&[][..], None),
            // Of those who are right, or wrote long ago, nothing follows.
            (&[("a", 0), ("b", -30), ("c", 60)][..], None),
            (&[("a", -7200), ("b", -90_000)], None),
            // One, two, and most of them, each by its newest.
            (&[("a", 61)], Some(61)),
            (&[("a", 60)], None),
            (&[("a", 7200), ("me", -10), ("a", 7190)], Some(7200)),
            (&[("a", 7200), ("b", 7100)], Some(7100)),
            (&[("a", 7200), ("b", 7190), ("c", 7100), ("d", -10)], Some(7190)),
            // One of several is fast, or as many as agree.
            (&[("a", 7200), ("b", -10), ("c", -20)], None),
            (&[("a", 7200), ("b", -10)], Some(7200)),
            // Whoever wrote within a quarter of an hour agrees.
            (&[("a", 7200), ("b", -900), ("c", -900)], None),
            (&[("a", 7200), ("b", -901), ("c", -901)], Some(7200)),
            // One is mad beside others who agree with each other.
            (&[("a", 34_560_000), ("b", 7100), ("c", 7150)], Some(7150)),
            // They wrote after us, and earlier by the clock; one alone is rather slow itself.
            (&[("a", -7200), ("b", -7190), ("me", -20)], Some(-7170)),
            (&[("a", -81), ("b", -81), ("me", -20)], Some(-61)),
            (&[("a", -80), ("b", -80), ("me", -20)], None),
            (&[("a", -7200), ("me", -20)], None),
            (&[("me", -20), ("a", -7200), ("b", -7190)], None),
            // One says this, another that.
            (&[("a", -7200), ("b", 7200), ("me", -20)], None),
            (&[("a", -7200), ("b", -14_400), ("c", -10), ("me", -20)], Some(-7180)),
        ] {
            let newest: Vec<(String, Timestamp)> =
                newest.iter().map(|(who, seconds)| ((*who).to_owned(), at(*seconds))).collect();
            assert_eq!(present_by_others(at(0), "me", &newest), expected.map(at), "{newest:?}");
        }
    }

    /// Signs of so many seconds ago, all alike in what was seen of them.
    fn signs(ages: &[i64], change: ClockChange) -> Vec<HeartbeatTime> {
        ages.iter()
            .map(|age| HeartbeatTime { at: at(-age), interval: Duration::from_secs(60), change })
            .collect()
    }

    #[test]
    fn most_of_the_others_say_by_how_much_our_own_clock_is_off() {
        let minute = Duration::from_secs(60);
        let (new, dead) = (ClockChange::Within(minute), ClockChange::Same(minute * 5, None));
        for (ages, change, expected) in [
            // All is well, and with one that is dead, one that is mad, or nobody.
            (&[5, 20, 30, 55][..], ClockChange::First, None),
            (&[5, 20, 4000], ClockChange::First, None),
            (&[5, 20, -4000], ClockChange::First, None),
            (&[], ClockChange::First, None),
            // Ahead: seen to live, not looked at before, seen to be silent.
            (&[305, 320, 330, 355], new, Some((300, true, 4, false))),
            (&[305, 320, 330, 355], ClockChange::First, Some((300, true, 4, true))),
            (&[305, 320, 330, 355], dead, None),
            (&[305, 320, 330, 355], ClockChange::Same(minute * 2, None), Some((300, true, 4, true))),
            // By a minute and half an interval, and by a little more.
            (&[120, 120, 120], new, None),
            (&[121, 121, 121], new, Some((60, true, 3, false))),
            // Behind, which no silence explains, whatever one of them says.
            (&[-295, -280, -270, -245], ClockChange::First, Some((300, false, 4, false))),
            (&[-295, -280, -270, 20], dead, Some((300, false, 3, false))),
            // Two outvote one when both were seen to live, also beside one that is dead; one does not.
            (&[345, 350], new, Some((300, true, 2, false))),
            (&[-295, -280], new, Some((300, false, 2, false))),
            (&[345, 350, 20_000], new, Some((300, true, 2, false))),
            (&[345, 350], ClockChange::First, None),
            (&[-295, -280], ClockChange::First, None),
            (&[305], new, None),
            (&[305, 900], new, None),
            // Those who agree are not most, and each died when it did.
            (&[305, 320, 330, 5, 10, 20], new, None),
            (&[305, 320, 330, 900, 20_000], new, Some((300, true, 3, false))),
            (&[305, 900, 5000, 20_000], ClockChange::First, None),
        ] {
            let off = own_clock(at(0), &signs(ages, change)).off;
            let told =
                off.map(|off| (off.by.as_secs() / 60 * 60, off.is_ahead, off.servers, off.is_doubtful));
            assert_eq!(told, expected, "{ages:?} {change:?}");
        }
    }

    #[test]
    fn that_they_fell_silent_is_for_more_than_half_of_them_to_say() {
        let minute = Duration::from_secs(60);
        let (alive, dead) = (ClockChange::Within(minute), ClockChange::Same(minute * 5, None));
        for (changes, is_doubtful) in [
            (&[dead, dead, alive, alive][..], Some(true)),
            (&[dead, dead, dead, alive, alive], None),
            (&[dead, dead, alive, alive, alive], Some(false)),
            (&[dead, alive, alive, alive], Some(false)),
        ] {
            let signs: Vec<HeartbeatTime> =
                changes.iter().flat_map(|change| signs(&[300], *change)).collect();
            let told = own_clock(at(0), &signs).off.map(|off| off.is_doubtful);
            assert_eq!(told, is_doubtful, "{changes:?}");
        }
    }

    #[test]
    fn what_was_seen_of_a_sign_counts_more_than_its_time() {
        let (short, long) = (Duration::from_secs(20), Duration::from_secs(500));
        for (seconds, change, expected) in [
            (300, ClockChange::First, 300),
            (300, ClockChange::Within(short), 20),
            (300, ClockChange::Within(long), 300),
            (10, ClockChange::Same(long, None), 500),
            (-300, ClockChange::Same(long, None), 500),
            (300, ClockChange::Same(short, None), 300),
            // Seen to become so a moment ago, by a server whose clock is slow, right or ahead.
            (300, ClockChange::Same(short, Some(short * 2)), 40),
            (30, ClockChange::Same(short, Some(short * 2)), 30),
            (-300, ClockChange::Same(short, Some(short * 2)), 20),
        ] {
            assert_eq!(
                age(at(-seconds), change, at(0)),
                Duration::from_secs(expected),
                "{seconds} {change:?}"
            );
        }
    }
}
