//! Cancelling a job, and waiting until nothing of it runs any more.
//!
//! Whoever had it at work confirms that. Where nobody does, the session that claimed it is watched
//! as for a rescue: when it is lost, its worker has ended the job before its lease was over.

use super::{PollPause, WaitLimit};
use crate::app::commands::job_step::ChangeJob;
use crate::app::commands::reclaim::{WatchedSession, session_of};
use crate::app::takeover::Watch;
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::ledger::{Abort, Documents};

/// A job that is to have stopped, as the hub shows it.
#[derive(Debug, Clone, Default)]
pub struct JobView {
    /// Whether it is cancelled.
    pub is_cancelled: bool,
    /// Whether somebody may still run it.
    pub may_run: bool,
    /// The session that may, if it ever gave a sign of life.
    pub session: Option<(ServerName, WatchedSession)>,
}

impl JobView {
    /// What `documents` show of `job`. With all heartbeats.
    ///
    /// # Errors
    /// When a document cannot be read.
    pub fn of(documents: &impl Documents, job: &Job) -> Result<Self, Abort> {
        let holder = job.may_still_run_on();
        let session = match holder.and_then(|holder| ServerName::new(holder).ok()) {
            Some(holder) => session_of(documents, &holder, job)?.map(|session| (holder, session)),
            None => None,
        };
        Ok(Self { is_cancelled: job.status == JobStatus::Cancelled, may_run: holder.is_some(), session })
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// It begins.
    Begin,
    /// The hub has it as cancelled.
    Cancelled,
    /// The job as the hub has it.
    Seen(JobView),
    /// The pause is over.
    Waited,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this.
    Cancel(ChangeJob),
    /// Read the job, with all heartbeats.
    Look,
    /// Wait before it is looked at again.
    Wait(PollPause),
    /// Nothing of it runs any more: that was confirmed, or nobody had it at work.
    Stopped,
    /// The same, as who had it is lost.
    HolderLost,
    /// Somebody put it back meanwhile.
    PutBack,
    /// It is cancelled, and may still run.
    TimeUp,
}

/// See the module.
#[derive(Debug)]
pub struct StopFlow {
    cancel: ChangeJob,
    patience: WaitLimit,
}

impl StopFlow {
    /// Cancels by `cancel`, and waits as long as `patience` says.
    #[must_use]
    pub fn new(cancel: ChangeJob, patience: WaitLimit) -> Self {
        Self { cancel, patience }
    }

    /// What to do after `event`.
    pub fn next(&mut self, event: Event, watch: &mut Watch<'_>) -> Step {
        match event {
            Event::Begin => Step::Cancel(self.cancel.clone()),
            Event::Cancelled | Event::Waited => Step::Look,
            Event::Seen(seen) if !seen.is_cancelled => Step::PutBack,
            Event::Seen(seen) if !seen.may_run => Step::Stopped,
            Event::Seen(seen) => match seen.session {
                Some((holder, session)) if watch.is_lost(&holder, &session) => Step::HolderLost,
                _ => self.patience.next(watch.now).map_or(Step::TimeUp, Step::Wait),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::commands::job_step::Change;
    use crate::app::observations::Observations;
    use crate::domain::id::JobId;
    use crate::machine::Machine;
    use std::time::Duration;

    /// What the flow says to each of `events`, which happen at these seconds.
    fn told(events: Vec<(u64, Event)>) -> Vec<String> {
        let cancel = ChangeJob {
            server: ServerName::new("build1").expect("a name"),
            job: JobId::new("job_1_a").expect("an id"),
            change: Change::Cancel { why: None },
        };
        let patience = WaitLimit { until: Duration::from_secs(600), pause: Duration::from_secs(10) };
        let (mut flow, mut observed) =
            (StopFlow::new(cancel, patience), Observations::begin(&Machine::real()));
        let steps = events.into_iter().map(|(second, event)| {
            let now = Duration::from_secs(second);
            match flow.next(event, &mut Watch { observed: &mut observed, place: "hub main", now }) {
                Step::Cancel(_) => "cancel".to_owned(),
                Step::Wait(_) => "wait".to_owned(),
                step => format!("{step:?}"),
            }
        });
        steps.collect()
    }

    #[test]
    fn a_cancelled_job_is_looked_at_until_nothing_of_it_can_run() {
        use Event::{Begin, Cancelled, Seen as Sees, Waited};
        let holder = ServerName::new("build2").expect("a name");
        let session =
            WatchedSession { replaced: None, beat: "b".to_owned(), patience: Duration::from_secs(120) };
        let runs = || JobView {
            is_cancelled: true,
            may_run: true,
            session: Some((holder.clone(), session.clone())),
        };
        let unwatched = || JobView { session: None, ..runs() };
        let begin = || vec![(1, Begin), (2, Cancelled)];
        for (more, expected) in [
            (vec![(3, Sees(JobView { may_run: false, ..runs() }))], vec!["Stopped"]),
            (vec![(3, Sees(JobView { is_cancelled: false, ..runs() }))], vec!["PutBack"]),
            (vec![(3, Sees(runs())), (4, Waited), (122, Sees(runs()))], vec!["wait", "Look", "wait"]),
            (vec![(3, Sees(runs())), (4, Waited), (123, Sees(runs()))], vec!["wait", "Look", "HolderLost"]),
            // A script that sends no heartbeats is waited for.
            (
                vec![(3, Sees(unwatched())), (4, Waited), (599, Sees(unwatched()))],
                vec!["wait", "Look", "wait"],
            ),
            (vec![(600, Sees(unwatched()))], vec!["TimeUp"]),
        ] {
            let shown = format!("{more:?}");
            let told = told(begin().into_iter().chain(more).collect());
            assert_eq!(told, [vec!["cancel", "Look"], expected].concat(), "{shown}");
        }
    }
}
