//! How long a job is to wait whose delay was asked for by a clock that is ahead.

use super::Job;
use crate::domain::time::Timestamp;
use std::time::Duration;

impl Job {
    /// Its delay, where that counts from when it was first seen by whoever claims it: more than all of it
    /// is left at `now`, so the clock of who added it is ahead.
    #[must_use]
    pub fn counted_delay(&self, now: Timestamp) -> Option<Duration> {
        let delay = Duration::from_secs(self.delay_seconds?);
        self.not_before.filter(|at| at.since(now) > delay).map(|_| delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_counts_from_the_first_look_where_more_than_all_of_it_is_left() {
        let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1000).expect("a time");
        let mut job = Job::new("job_1".into(), "build".into(), at(0));
        job.not_before = Some(at(100));
        assert_eq!(job.counted_delay(at(0)), None, "a point in time was asked for");
        job.delay_seconds = Some(10);
        for (now, expected) in [(0, Some(10)), (89, Some(10)), (90, None), (95, None), (101, None)] {
            assert_eq!(job.counted_delay(at(now)), expected.map(Duration::from_secs), "{now}");
        }
        assert_eq!(job.situation(at(0)), "queued 0s ago, not before it was seen for 10s");
        assert_eq!(job.situation(at(90)), "queued 1m 30s ago, not before 1970-01-01T00:01:40Z");
        job.attempts = Some(1);
        assert_eq!(job.situation(at(0)), "queued 0s ago, next attempt in 1m 40s");
    }
}
