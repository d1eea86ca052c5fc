//! How many pushes a worker sends: forges ask for few.
//!
//! Signs of life are always sent, for the lease hangs on them; what they need is kept free. Of the
//! rest, reports of ended jobs come first, then claims, then what running jobs print. In no span of
//! the limit's length are there more pushes, but for three things: signs of life are sent whatever
//! happens, a push that lost a race is sent again, and a worker that ends reports its jobs at once.

use crate::domain::time::{parse_span, show_span};
use crate::machine::{Deadline, Machine};
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How many pushes there may be in how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushLimit {
    most: u32,
    span: Duration,
}

impl PushLimit {
    /// What git forges ask for.
    pub const FORGE: Self = Self { most: 6, span: Duration::from_secs(60) };
}

impl FromStr for PushLimit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let limit = text.split_once('/').and_then(|(most, span)| {
            Some(Self { most: most.trim().parse().ok()?, span: parse_span(span).ok()? })
        });
        let is_some = |limit: &Self| limit.most > 0 && !limit.span.is_zero();
        limit.filter(is_some).ok_or_else(|| "give a number of pushes and a span, such as 6/1m".to_owned())
    }
}

impl fmt::Display for PushLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} in {}", self.most, show_span(self.span))
    }
}

/// What a push is for, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// How a job ended.
    Report,
    /// Claiming a job, or taking one back.
    Claim,
    /// What running jobs print.
    Log,
}

impl Need {
    /// How many pushes must be left for what is more urgent.
    fn leaves(self) -> usize {
        match self {
            Self::Report => 0,
            Self::Claim => 1,
            Self::Log => 2,
        }
    }
}

/// The pushes that count, and how many there may be.
#[derive(Debug)]
pub(super) struct Budget {
    /// How many pushes there may be besides signs of life, in how long; `None`: as many as there are.
    limit: Option<(usize, Duration)>,
    /// When each was sent, since boot.
    sent: VecDeque<Duration>,
}

impl Budget {
    /// `limit` with the signs of life, one of which is sent every `interval`.
    pub(super) fn new(limit: Option<PushLimit>, interval: Duration) -> Self {
        let rest = |limit: PushLimit| {
            let beats = limit.span.as_millis().div_ceil(interval.as_millis().max(1));
            let beats = usize::try_from(beats).unwrap_or(usize::MAX);
            let most = usize::try_from(limit.most).unwrap_or(usize::MAX);
            // With fewer nothing could ever be claimed.
            (most.saturating_sub(beats).max(1), limit.span)
        };
        Self { limit: limit.map(rest), sent: VecDeque::new() }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Notes that so many were sent, the last of them at `now`.
    pub(super) fn note(&mut self, pushes: u32, now: Duration) {
        if self.is_limited() {
            self.sent.extend((0..pushes).map(|_| now));
        }
    }

    /// When a push may be sent, if not at `now`.
    pub(super) fn wait(&mut self, need: Need, now: Duration) -> Option<Deadline> {
        let (most, span) = self.limit?;
        while self.sent.front().is_some_and(|sent| now.saturating_sub(*sent) >= span) {
            self.sent.pop_front();
        }
        // A small budget is for whoever comes.
        let room = most.saturating_sub(need.leaves()).max(1);
        let too_many = (self.sent.len() + 1).checked_sub(room).filter(|many| *many > 0)?;
        let last_of_them = self.sent.get(too_many - 1)?;
        Some(Machine::real().deadline(span.saturating_sub(now.saturating_sub(*last_of_them))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(most: u32) -> Option<PushLimit> {
        Some(PushLimit { most, span: Duration::from_secs(60) })
    }

    #[test]
    fn a_limit_is_a_number_in_a_span() {
        assert_eq!("6/1m".parse(), Ok(PushLimit::FORGE));
        assert_eq!(PushLimit::FORGE.to_string(), "6 in 1m");
        for text in ["", "6", "0/1m", "6/0s", "6/", "/1m", "six/1m", "-1/1m"] {
            assert!(text.parse::<PushLimit>().is_err(), "{text}");
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_less_urgent_waits_first() {
        use Need::{Claim, Log, Report};
        // Six a minute, of which two are signs of life.
        for (sent, may) in [
            (vec![], vec![Report, Claim, Log]),
            (vec![0], vec![Report, Claim, Log]),
            (vec![0, 1], vec![Report, Claim]),
            (vec![0, 1, 2], vec![Report]),
            (vec![0, 1, 2, 3], vec![]),
        ] {
            let mut budget = Budget::new(limit(6), seconds(30));
            sent.iter().for_each(|at| budget.note(1, seconds(1000 + at)));
            let now = seconds(1010);
            let free = [Report, Claim, Log].into_iter().filter(|need| budget.wait(*need, now).is_none());
            assert_eq!(free.collect::<Vec<_>>(), may, "{sent:?}");
        }
    }

    #[test]
    fn in_no_span_there_are_more_than_that() {
        for (per_minute, interval, most) in [(6, 30, 4), (6, 60, 5), (6, 10, 1), (1, 30, 1), (60, 30, 58)] {
            let mut budget = Budget::new(limit(per_minute), seconds(interval));
            let mut sent: Vec<u64> = Vec::new();
            for now in 0..300 {
                while budget.wait(Need::Report, seconds(now)).is_none() {
                    budget.note(1, seconds(now));
                    sent.push(now);
                }
            }
            let busiest =
                (0..300).map(|from| sent.iter().filter(|at| (from..from + 60).contains(*at)).count());
            assert_eq!(busiest.max(), Some(most), "{per_minute} every {interval} s");
            assert_eq!(sent.len(), most * 5);
        }
    }

    #[test]
    fn who_waits_knows_until_when() {
        let mut budget = Budget::new(limit(4), seconds(30));
        budget.note(1, seconds(100));
        budget.note(1, seconds(130));
        let left = |budget: &mut Budget, need, now| {
            budget.wait(need, seconds(now)).map(|at| at.left().as_secs_f64().round())
        };
        assert_eq!(left(&mut budget, Need::Report, 140), Some(20.0));
        assert_eq!(left(&mut budget, Need::Claim, 140), Some(50.0));
        assert_eq!(left(&mut budget, Need::Report, 160), None);
        assert_eq!(left(&mut budget, Need::Claim, 189), Some(1.0));
        assert_eq!(left(&mut budget, Need::Claim, 190), None);
        assert!(Budget::new(None, seconds(30)).wait(Need::Log, seconds(0)).is_none());
    }
}
