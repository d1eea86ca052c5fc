//! When each job was added, as far as the queue itself can tell.
//!
//! Each job says so by the clock of the server that added it, and such clocks are hours off now and
//! then. But jobs are appended: what stands later was added later. So the times of the whole queue bear
//! each other out or not, and the longest row of them that never goes back is believed. What contradicts
//! it counts as added no earlier than what follows: that gains a job nothing. The clock of who asks only
//! says that nothing was added in the future.

use crate::domain::job::Job;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;

/// When the jobs were added, in their order, which these times keep.
pub(super) fn added(jobs: &Table<Job>, now: Timestamp) -> Vec<Timestamp> {
    let told: Vec<Option<Timestamp>> = jobs.rows().map(|job| job.created_at.map(|at| at.min(now))).collect();
    believed(&told, now)
}

/// The times of which the longest row never goes back; where one does not belong to that row, that of
/// the next which does, and after the last of them `now`.
fn believed(told: &[Option<Timestamp>], now: Timestamp) -> Vec<Timestamp> {
    // For each length the row of that length which ends earliest, by the place of its end.
    let mut ends: Vec<(Timestamp, usize)> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(told.len());
    for (place, at) in told.iter().enumerate() {
        let Some(at) = *at else {
            before.push(None);
            continue;
        };
        let length = ends.partition_point(|(end, _)| *end <= at);
        before.push(length.checked_sub(1).and_then(|last| ends.get(last)).map(|(_, place)| *place));
        match ends.get_mut(length) {
            Some(end) => *end = (at, place),
            None => ends.push((at, place)),
        }
    }
    let mut next_in_row = ends.last().map(|(_, place)| *place);
    let mut at = now;
    let mut times: Vec<Timestamp> = (0..told.len())
        .rev()
        .map(|place| {
            if next_in_row == Some(place) {
                at = told.get(place).copied().flatten().unwrap_or(at);
                next_in_row = before.get(place).copied().flatten();
            }
            at
        })
        .collect();
    times.reverse();
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_the_order_contradicts_counts_as_that_of_what_follows() {
        let at = |minute: i64| Timestamp::from_unix_millis(minute * 60_000).expect("a time");
        for (told, expected) in [
            // All agree.
            (vec![10, 11, 11, 15], vec![10, 11, 11, 15]),
            // One clock was slow, one fast, one of two.
            (vec![100, 10, 101], vec![10, 10, 101]),
            (vec![90, 100, 10, 101], vec![90, 100, 101, 101]),
            (vec![100, 500, 101, 102], vec![100, 101, 101, 102]),
            (vec![100, 10], vec![10, 10]),
            // The slow ones are many, but agree with each other.
            (vec![100, 10, 11, 12], vec![10, 10, 11, 12]),
            // Without a time, at the beginning, in between and at the end.
            (vec![-1, 10, -1, 12, -1], vec![10, 10, 12, 12, 600]),
            (vec![-1, -1], vec![600, 600]),
            (vec![], vec![]),
        ] {
            let given: Vec<Option<Timestamp>> =
                told.iter().map(|minute| (*minute >= 0).then(|| at(*minute))).collect();
            let expected: Vec<Timestamp> = expected.into_iter().map(at).collect();
            assert_eq!(believed(&given, at(600)), expected, "{told:?}");
        }
    }
}
