//! Two machines under one name, told by where its beats come from.
//!
//! A home that is copied to a second machine carries name and id along, and so does a copied disk. Then
//! the beats of one server come from two places in turn. Another host name or another machine's id tells
//! at once. Where these were copied too, it is the boot that tells: a machine that booted again never
//! comes back to the boot before. Knows no clock.

use super::lenient;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// For how many intervals after the last change of place two machines are told of.
const TOLD_INTERVALS: u32 = 10;

/// Where a beat was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HeartbeatOrigin {
    /// The machine's own name.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub host: String,
    /// A digest of the id that the operating system gave the machine.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The boot.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// Where the beats of a server came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Origins {
    /// The last beat.
    #[serde(default, deserialize_with = "lenient::object")]
    pub last: Option<HeartbeatOrigin>,
    /// The beats before it came from elsewhere.
    #[serde(default, deserialize_with = "lenient::object", skip_serializing_if = "Option::is_none")]
    pub before: Option<HeartbeatOrigin>,
    /// When it was seen last that another machine beats too.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub twin_at: Option<Timestamp>,
}

impl Origins {
    /// Notes that a beat came from `here`.
    pub fn note(&mut self, here: &HeartbeatOrigin, interval: Duration, now: Timestamp) {
        let Some(last) = &self.last else {
            self.last = Some(here.clone());
            return;
        };
        if last == here {
            let is_over = |at| now.since(at) > interval.saturating_mul(TOLD_INTERVALS);
            self.twin_at = self.twin_at.filter(|at| !is_over(*at));
            return;
        }
        let is_another = last.host != here.host || last.machine != here.machine;
        if is_another || self.before.as_ref() == Some(here) {
            self.twin_at = Some(now);
        }
        self.before = self.last.replace(here.clone());
    }

    /// The hosts of the two machines that beat under one name, if two do.
    #[must_use]
    pub fn twins(&self) -> Option<(&str, &str)> {
        self.twin_at?;
        Some((&self.before.as_ref()?.host, &self.last.as_ref()?.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_machines_are_told_apart_from_one_that_boots() {
        let at = |host: &str, machine: &str, boot: &str| HeartbeatOrigin {
            host: host.to_owned(),
            machine: Some(machine.to_owned()),
            boot: Some(boot.to_owned()),
        };
        let (a1, a2, a3) = (at("a", "m", "1"), at("a", "m", "2"), at("a", "m", "3"));
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let minute = Duration::from_secs(60);
        for (beats, expected) in [
            (vec![&a1, &a1], false),
            (vec![&a1, &a2, &a2, &a3], false),
            // The boot comes back: a copy of the whole disk beats too.
            (vec![&a1, &a2, &a1], true),
            (vec![&a1, &at("b", "m", "1")], true),
            (vec![&a1, &at("a", "n", "2")], true),
        ] {
            let mut origins = Origins::default();
            for (place, number) in beats.iter().zip(0_u32..) {
                origins.note(place, minute, now.plus(minute * number));
            }
            assert_eq!(origins.twins().is_some(), expected, "{beats:?}");
        }
        let mut origins = Origins::default();
        for (place, minutes) in [(&a1, 0), (&a2, 1), (&a1, 2), (&a1, 12)] {
            origins.note(place, minute, now.plus(minute * minutes));
            assert_eq!(origins.twins().is_some(), minutes >= 2, "after {minutes} minutes");
        }
        origins.note(&a1, minute, now.plus(minute * 13));
        assert_eq!(origins.twins(), None, "the other one is silent");
    }
}
