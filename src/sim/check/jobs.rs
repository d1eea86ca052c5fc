//! What must hold of jobs: who may change one, what an attempt may end as, and who has one at a time.

use super::{Checker, SESSION_INTERVALS, read};
use crate::app::commands::Operation;
use crate::app::commands::job_step::Step;
use crate::domain::artifact::first_missing;
use crate::domain::job::{IfNeedFails, Job, JobStatus};
use crate::domain::record::Record;
use crate::ledger::Files;
use crate::sim::label_of;

impl Checker {
    pub(super) fn job(&mut self, old: Option<&Record<Job>>, new: &Record<Job>) {
        use JobStatus::{Cancelled, Claimed, Completed, Dead, Failed, Queued, Running};
        let Some(old) = old else {
            if new.status != Queued || new.token.is_some() {
                self.blame(format!("I7: job {} began as {}", new.id, new.status));
            }
            return self.only_one_with(new.key.as_deref().map(|key| format!("job {key}")));
        };
        let (before, after) = (old.token.unwrap_or(0), new.token.unwrap_or(0));
        let claimed = matches!((&old.status, &new.status), (Queued, Claimed | Running));
        // A rescue and the next claim may stand in one commit.
        let reclaimed = old.status.is_held() && new.status.is_held() && after > before;
        if after != before + u64::from(claimed || reclaimed) {
            self.blame(format!(
                "I1: the token of job {} went from {before} to {after}, from {} to {}",
                new.id, old.status, new.status
            ));
        }
        let legal = old.status == new.status
            || claimed
            || matches!(
                (&old.status, &new.status),
                (Claimed, Running)
                    | (Claimed | Running, Queued | Completed | Failed | Dead | Cancelled)
                    | (Queued, Cancelled)
                    | (Completed | Failed | Dead | Cancelled, Queued)
            );
        if !legal {
            self.blame(format!("I7: job {} went from {} to {}", new.id, old.status, new.status));
        }
        if old.status.is_held()
            && new.status.is_held()
            && before == after
            && old.assigned_to != new.assigned_to
        {
            self.blame(format!("I1: job {} changed hands under one token", new.id));
        }
        if new.status.is_final() && new.status != Completed && new.status != old.status {
            self.failed.push(new.id.clone());
        }
        if new.status.is_held() && new.attempts.unwrap_or(0) > new.attempts_max() {
            self.blame(format!("I9: job {} is tried for the {}th time", new.id, new.attempts.unwrap_or(0)));
        }
        if old.status.is_held() && new.status == Queued {
            self.returned.push(new.id.clone());
        }
        if old.status.is_final() && old.status == new.status {
            self.changed_after_the_end(old, new);
        }
        if new.status == Queued && self.may_still_run(old) {
            self.blame(format!("I7: job {} was put back while it may still run", new.id));
        }
        if matches!(old.status, Claimed | Running) && !new.status.is_held() {
            self.ended(old, new);
        }
        if reclaimed {
            self.taken_back(old, new);
        }
        if claimed || reclaimed {
            self.claimed(old, new);
        }
    }

    /// All that may become of a job that is over, short of being put back: who held it as it was
    /// cancelled tells that it stopped.
    fn changed_after_the_end(&mut self, old: &Job, new: &Job) {
        let by_holder = match &self.operation {
            Some(Operation::StepJob(step)) => {
                step.step == Step::Stopped
                    && old.assigned_to.as_deref() == Some(step.server.as_str())
                    && old.token == Some(step.token)
            }
            _ => false,
        };
        let is_confirmed = by_holder && new.status == JobStatus::Cancelled && old.stopped_at.is_none();
        if !is_confirmed || (Job { stopped_at: None, ..new.clone() }) != *old {
            self.blame(format!("I7: job {} was changed after its end", new.id));
        }
    }

    /// A record with a key is added once, for as long as the first is there.
    pub(super) fn only_one_with(&mut self, key: Option<String>) {
        if let Some(key) = key.filter(|key| self.keys.contains(key)) {
            self.blame(format!("I5: a second {key} was added"));
        }
    }

    /// A claim ended: by its holder under its token, by a rescue in time, or called off.
    fn ended(&mut self, old: &Job, new: &Job) {
        match self.operation.clone() {
            Some(Operation::StepJob(step)) => {
                if old.assigned_to.as_deref() != Some(step.server.as_str()) || old.token != Some(step.token) {
                    self.blame(format!("I1: job {} was ended by one who did not hold it", new.id));
                }
                if new.status == JobStatus::Completed
                    && first_missing(&old.produces, &new.artifacts).is_some()
                {
                    self.blame(format!("I7: job {} was completed without what it must make", new.id));
                }
                let is_called_off =
                    new.status == JobStatus::Cancelled && new.if_need_fails() == IfNeedFails::Cancel;
                if !is_called_off && !ends_as(&step.step).contains(&new.status) {
                    self.blame(format!("I7: a step made job {} {}", new.id, new.status));
                }
            }
            Some(Operation::ClaimJobs(_) | Operation::RescueJobs(_)) => self.taken_back(old, new),
            Some(Operation::ChangeJob(_)) if new.status == JobStatus::Cancelled => {}
            _ => self.blame(format!("I7: job {} was ended by something else", new.id)),
        }
    }

    /// A job was taken from its holder: not before its session or its time could be over.
    fn taken_back(&mut self, old: &Job, new: &Job) {
        self.rescues += 1;
        let holder = old.assigned_to.clone().unwrap_or_default();
        // Another session of the holder may live: it does not speak for this claim.
        let session = (holder.clone(), old.incarnation.clone().unwrap_or_default());
        let beat = self.beats.get(&session).cloned();
        let since = beat.as_ref().map(|beat| self.now.saturating_sub(beat.at));
        let lost = match &self.operation {
            Some(Operation::ClaimJobs(claim)) => claim.lost.clone(),
            Some(Operation::RescueJobs(rescue)) => rescue.lost.clone(),
            _ => Vec::new(),
        };
        let Some(lost) = lost.into_iter().find(|lost| lost.job.as_str() == old.id) else {
            return self.blame(format!("I8: job {} was taken back though nobody watched it", new.id));
        };
        if Some(lost.token) != old.token.or(Some(0)) {
            self.blame(format!("I8: job {} was taken back from another claim", new.id));
        }
        // Whoever saw it ended takes its claims also if the server begins another just then.
        let claimed_at = self.claimed_at.get(&old.id);
        let is_ended = self.ended.get(&holder).is_some_and(|ended| {
            let is_of_it = |until| claimed_at.is_none_or(|at| *at < until);
            lost.beat.as_ref() == Some(&ended.beat) && ended.until.is_none_or(is_of_it)
        });
        let is_alive = beat.is_some_and(|beat| self.now < beat.at + beat.every * SESSION_INTERVALS);
        let held = claimed_at.map(|at| self.now.saturating_sub(*at));
        // After a rollback the same token is given again.
        let is_same_token = self.dropped.is_empty();
        if is_same_token && lost.beat.is_none() && held.is_some_and(|held| held < old.timeout() * 9 / 10) {
            self.blame(format!("I8: the time of job {} was over after {held:?}", new.id));
        }
        if lost.beat.is_some() && is_alive && !is_ended {
            self.blame(format!(
                "I8: job {} was taken back {since:?} after the last beat of the session that claimed it at {holder}",
                new.id
            ));
        }
    }

    /// Whether a job that is cancelled may still be at work. That is told by stamps, which is why it is
    /// judged by them too.
    fn may_still_run(&self, job: &Job) -> bool {
        let is_open = job.status == JobStatus::Cancelled && job.stopped_at.is_none();
        let is_in_time = self
            .at
            .zip(job.started_at)
            .is_some_and(|(at, began)| at.since(began) < job.timeout() && began.since(at) < job.timeout());
        is_open && is_in_time && job.assigned_to.is_some()
    }

    /// No two jobs of a group are at work at a time, and none is claimed beside one that was cancelled and
    /// may still run.
    pub(super) fn groups(&mut self, new: &Files) {
        let entered = std::mem::take(&mut self.entered);
        let Ok(jobs) = read::<Job>(new) else { return };
        for (group, id) in entered {
            let mut held = jobs.rows().filter(|job| job.status.is_held() && job.id != id);
            if let Some(other) = held.find(|job| job.group.as_ref() == Some(&group)) {
                self.blame(format!("I9: job {id} was claimed while {} of its group is at work", other.id));
            }
            let may_run = |job: &&Record<Job>| job.group.as_ref() == Some(&group) && self.may_still_run(job);
            if let Some(other) = jobs.rows().find(may_run) {
                let words = format!("I9: job {id} was claimed while {} of its group may still run", other.id);
                self.blame(words);
            }
        }
    }

    /// What wants to be called off when one it needs fails is called off in the same commit, or in the
    /// one that gives it back to the queue.
    pub(super) fn dependents(&mut self, new: &Files) {
        let (failed, returned) = (std::mem::take(&mut self.failed), std::mem::take(&mut self.returned));
        let Ok(jobs) = read::<Job>(new) else { return };
        let has_failed = |id: &str| {
            jobs.get(id).is_some_and(|job| job.status.is_final() && job.status != JobStatus::Completed)
        };
        for job in jobs.rows().filter(|job| job.status == JobStatus::Queued) {
            let is_in_vain = |need: &&str| {
                failed.iter().any(|id| id == need) || (returned.contains(&job.id) && has_failed(need))
            };
            if job.if_need_fails() == IfNeedFails::Cancel
                && let Some(need) = job.all_needs().find(is_in_vain)
            {
                self.blame(format!("I9: job {} waits although {need}, which it needs, failed", job.id));
            }
        }
    }

    /// Whoever claims may, and it was the job's turn.
    pub(super) fn claimed(&mut self, old: &Record<Job>, new: &Record<Job>) {
        let Some(Operation::ClaimJobs(claim)) = &self.operation else {
            return self.blame(format!("I7: job {} was claimed by something else", new.id));
        };
        let server = claim.claimant.server.to_string();
        if new.assigned_to.as_ref() != Some(&server) {
            self.blame(format!("I1: {server} claimed job {} for {:?}", new.id, new.assigned_to));
        }
        self.claimed_at.insert(new.id.clone(), self.now);
        if let Some(need) = old.all_needs().find(|need| !self.completed.contains(*need)) {
            let words = format!("I9: job {} was claimed before {need} was completed", new.id);
            self.blame(words);
        }
        self.entered.extend(old.group.clone().map(|group| (group, new.id.clone())));
        let label = label_of(&server);
        if old.labels.iter().any(|wanted| *wanted != label) {
            self.blame(format!("I2: {server} claimed job {}, which wants {:?}", new.id, old.labels));
        }
    }
}

/// What a holder's step may make of a job.
fn ends_as(step: &Step) -> &'static [JobStatus] {
    match step {
        Step::Start | Step::Stopped => &[],
        Step::Complete { .. } => &[JobStatus::Completed],
        Step::Fail { .. } => &[JobStatus::Queued, JobStatus::Failed, JobStatus::Dead],
        Step::Release => &[JobStatus::Queued],
    }
}
