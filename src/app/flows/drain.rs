//! Pausing the queue or a label, and waiting until nothing that it concerns is at work any more. A failure
//! ends it, whatever it was: its driver says which.

use super::{PollPause, WaitLimit};
use crate::app::commands::pause::SetPause;
use crate::domain::job::Job;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents};
use std::time::Duration;

/// How many jobs that are at work ask for `label`; without one, how many are at work.
///
/// # Errors
/// When the queue cannot be read.
pub fn at_work(documents: &impl Documents, label: Option<&String>) -> Result<usize, Abort> {
    let jobs: Table<Job> = documents.table()?;
    let concerns = |job: &Job| label.is_none_or(|label| job.labels.contains(label));
    Ok(jobs.rows().filter(|job| job.status.is_held() && concerns(job)).count())
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// It begins.
    Begin,
    /// The hub has the pause.
    Paused,
    /// So many jobs are at work.
    Seen(usize),
    /// The pause between two looks is over.
    Waited,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this.
    Pause(SetPause),
    /// Count what is at work ([`at_work`]).
    Look,
    /// Wait before it is counted again.
    Wait(PollPause),
    /// Nothing is.
    Done,
    /// So many still are; the pause holds.
    TimeUp(usize),
}

/// See the module.
#[derive(Debug)]
pub struct DrainFlow {
    pause: SetPause,
    patience: WaitLimit,
}

impl DrainFlow {
    /// Pauses by `pause`, and waits as long as `patience` says.
    #[must_use]
    pub fn new(pause: SetPause, patience: WaitLimit) -> Self {
        Self { pause, patience }
    }

    /// What to do after `event`, at `now` since boot.
    pub fn next(&mut self, event: Event, now: Duration) -> Step {
        match event {
            Event::Begin => Step::Pause(self.pause.clone()),
            Event::Paused | Event::Waited => Step::Look,
            Event::Seen(0) => Step::Done,
            Event::Seen(count) => self.patience.next(now).map_or(Step::TimeUp(count), Step::Wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ServerName;
    use crate::domain::pause::Paused;

    #[test]
    fn what_is_at_work_is_counted_until_nothing_is() {
        use Event::{Begin, Paused as Set, Seen, Waited};
        for (events, expected) in [
            (vec![(1, Begin), (2, Set), (3, Seen(0))], vec!["pause", "Look", "Done"]),
            (
                vec![(1, Begin), (2, Set), (3, Seen(2)), (4, Waited), (5, Seen(0))],
                vec!["pause", "Look", "wait", "Look", "Done"],
            ),
            (vec![(1, Begin), (2, Set), (60, Seen(2))], vec!["pause", "Look", "TimeUp(2)"]),
            (vec![(1, Begin), (2, Set), (60, Seen(0))], vec!["pause", "Look", "Done"]),
        ] {
            let server = ServerName::new("build1").expect("a name");
            let pause = SetPause { server, what: Paused::Queue, note: None, until: None, drain: false };
            let patience = WaitLimit { until: Duration::from_secs(60), pause: Duration::from_secs(10) };
            let mut flow = DrainFlow::new(pause, patience);
            let told =
                events.iter().map(|(second, event)| match flow.next(*event, Duration::from_secs(*second)) {
                    Step::Pause(_) => "pause".to_owned(),
                    Step::Wait(_) => "wait".to_owned(),
                    step => format!("{step:?}"),
                });
            assert_eq!(told.collect::<Vec<_>>(), expected, "{events:?}");
        }
    }
}
