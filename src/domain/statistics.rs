//! How the queue does, in figures.

use super::job::{Job, JobStatus};
use super::record::Record;
use super::time::{Timestamp, between};
use serde::Serialize;
use std::time::Duration;

/// Figures of jobs. Times are whole seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Statistics {
    /// Waiting to be claimed, for whatever reason.
    pub queued: u64,
    /// Claimed or running.
    pub running: u64,
    /// Ended with success.
    pub completed: u64,
    /// Ended without success.
    pub failed: u64,
    /// Out of attempts.
    pub dead_lettered: u64,
    /// Called off.
    pub cancelled: u64,
    /// From being added to the start of the last attempt, on average; of jobs that were started.
    /// Null where none tells.
    pub avg_wait_seconds: Option<u64>,
    /// The same that 95 of 100 do not exceed.
    pub p95_wait_seconds: Option<u64>,
    /// How long the last attempt took, on average; of jobs that ended. Null where none tells.
    pub avg_execution_seconds: Option<u64>,
    /// Which part of the jobs that ended by themselves ended without success, from 0 to 1. Null where
    /// none ended.
    pub failure_rate: Option<f64>,
}

impl Statistics {
    /// The figures of the jobs that were added after `since`.
    #[must_use]
    pub fn of(jobs: &[Record<Job>], since: Option<Timestamp>) -> Self {
        let mut figures = Self::default();
        let (mut waits, mut executions) = (Vec::new(), Vec::new());
        let is_new = |job: &Job| since.is_none_or(|since| job.created_at.is_some_and(|at| at > since));
        for job in jobs.iter().filter(|job| is_new(job)) {
            let count = match job.status {
                JobStatus::Queued => &mut figures.queued,
                JobStatus::Claimed | JobStatus::Running => &mut figures.running,
                JobStatus::Completed => &mut figures.completed,
                JobStatus::Failed => &mut figures.failed,
                JobStatus::Dead => &mut figures.dead_lettered,
                JobStatus::Cancelled => &mut figures.cancelled,
                JobStatus::Other(_) => continue,
            };
            *count += 1;
            waits.extend(between(job.created_at, job.started_at));
            executions.extend(job.took());
        }
        waits.sort_unstable();
        figures.avg_wait_seconds = average(&waits);
        figures.p95_wait_seconds = nearest_rank(&waits, 95);
        figures.avg_execution_seconds = average(&executions);
        figures.failure_rate = rate(figures.failed + figures.dead_lettered, figures.completed);
        figures
    }
}

/// `None` where there is nothing to take the middle of: that is another answer than zero.
fn average(spans: &[Duration]) -> Option<u64> {
    let sum = spans.iter().fold(Duration::ZERO, |sum, span| sum.saturating_add(*span));
    sum.as_secs().checked_div(u64::try_from(spans.len()).unwrap_or(u64::MAX))
}

/// The smallest span that `percent` of all do not exceed; `spans` are sorted.
fn nearest_rank(spans: &[Duration], percent: usize) -> Option<u64> {
    let rank = (spans.len() * percent).div_ceil(100);
    spans.get(rank.saturating_sub(1)).map(Duration::as_secs)
}

/// To three digits, so that equal queues print equal figures.
fn rate(bad: u64, good: u64) -> Option<f64> {
    let all = bad.saturating_add(good);
    let thousandths = bad.saturating_mul(1000).checked_div(all)?;
    Some(f64::from(u32::try_from(thousandths).unwrap_or(1000)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::table::Table;

    #[test]
    fn figures_are_those_of_the_jobs() {
        let job = |status: &str, more: &str| {
            format!(
                "{{\"id\":\"{}\",\"status\":\"{status}\",\"created_at\":\"2025-10-29T12:00:00Z\"{more}}}",
                status.len()
            )
        };
        let mut rows = vec![
            job("queued", ""),
            job("pending", ""),
            job("claimed", ",\"started_at\":\"2025-10-29T12:00:10Z\""),
            job("running", ",\"started_at\":\"2025-10-29T12:00:20Z\",\"duration_seconds\":99"),
            job("failed", ",\"started_at\":\"2025-10-29T12:01:00Z\",\"duration_seconds\":10"),
            job("dead", ",\"started_at\":\"2025-10-29T13:00:00Z\",\"duration_seconds\":21"),
            job("cancelled", ""),
            // It waited as long as any other until it was started.
            job("cancelled", ",\"started_at\":\"2025-10-29T12:05:00Z\""),
            job("a word", ""),
            "{\"id\":\"old\",\"status\":\"completed\",\"created_at\":\"2025-10-28T12:00:00Z\",\"duration_seconds\":5}".to_owned(),
        ];
        rows.extend(
            (0..2).map(|_| {
                job("completed", ",\"started_at\":\"2025-10-29T12:00:30Z\",\"duration_seconds\":30")
            }),
        );
        let table =
            Table::read("jobs.json", format!("{{\"jobs\":[{}]}}", rows.join(",")).as_bytes()).expect("jobs");
        let table: Vec<Record<Job>> = table.rows().cloned().collect();
        let since = Timestamp::parse("2025-10-29T00:00:00Z");
        assert_eq!(
            Statistics::of(&table, since),
            Statistics {
                queued: 2,
                running: 2,
                completed: 2,
                failed: 1,
                dead_lettered: 1,
                cancelled: 2,
                avg_wait_seconds: Some((10 + 20 + 60 + 3600 + 300 + 30 + 30) / 7),
                p95_wait_seconds: Some(3600),
                avg_execution_seconds: Some((10 + 21 + 30 + 30) / 4),
                failure_rate: Some(0.5),
            }
        );
        assert_eq!(Statistics::of(&table, None).completed, 3);
        assert_eq!(Statistics::of(&[], None), Statistics::default());
        for (since, number) in [("2025-10-29T11:59:59Z", 2), ("2025-10-29T12:00:00Z", 0)] {
            let since = Timestamp::parse(since);
            assert_eq!(Statistics::of(&table, since).completed, number, "added after {since:?}");
        }
        let spans: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(nearest_rank(&spans, 95), Some(95));
        assert_eq!((rate(1, 2), rate(0, 5), rate(5, 0)), (Some(0.333), Some(0.0), Some(1.0)));
    }

    #[test]
    fn what_nobody_measured_is_no_figure() {
        let of = |more: &str| {
            let text = format!("{{\"jobs\":[{{\"id\":\"x\",\"status\":\"completed\"{more}}}]}}");
            let table = Table::<Job>::read("jobs.json", text.as_bytes()).expect(more);
            let figures = Statistics::of(&table.rows().cloned().collect::<Vec<_>>(), None);
            (figures.avg_wait_seconds, figures.avg_execution_seconds)
        };
        let [created, started, ended] = [
            ",\"created_at\":\"2025-10-29T12:00:00Z\"",
            ",\"started_at\":\"2025-10-29T12:00:10Z\"",
            ",\"completed_at\":\"2025-10-29T12:01:30Z\"",
        ];
        for (more, expected) in [
            (String::new(), (None, None)),
            (format!("{created}{ended}"), (None, None)),
            (format!("{created}{started}{ended}"), (Some(10), Some(80))),
            (format!("{started}{ended},\"duration_seconds\":7"), (None, Some(7))),
            (format!("{started}{ended},\"duration_seconds\":0"), (None, Some(0))),
            // Two clocks that contradict each other measure nothing.
            (",\"started_at\":\"2025-10-29T13:00:00Z\"".to_owned() + ended, (None, None)),
            (",\"created_at\":\"2025-10-29T13:00:00Z\"".to_owned() + started, (None, None)),
        ] {
            assert_eq!(of(&more), expected, "{more}");
        }
        let none = Statistics::of(&[], None);
        assert_eq!((none.p95_wait_seconds, none.failure_rate), (None, None));
    }
}
