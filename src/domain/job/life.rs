//! The legal steps of a job's life: claim, start, complete, fail, release, cancel, confirm, retry.
//!
//! Who may take a step, under which token, and what it leaves in the record. Which queued job comes
//! next is decided by `queue.rs`, and what an attempt that is lost leaves by `lost.rs`.

use super::backoff::backoff;
use super::{AttemptResult, Claim, Claimant, FailReason, Job, JobStatus, Priority};
use crate::domain::artifact::first_missing;
use crate::domain::id::OpId;
use crate::domain::lease::{margin, next_token};
use crate::domain::planted::planted;
use crate::domain::refusal::{Action, Kind, Refusal, Token};
use crate::domain::time::{Timestamp, between};
use std::time::Duration;

impl Job {
    /// Gives the job to `by`; whether it is the job's turn was asked before.
    ///
    /// # Errors
    /// When its tokens are used up, which only a record that somebody made up can be.
    pub fn claim(&mut self, by: &Claimant, now: Timestamp) -> Result<u64, Refusal> {
        let last = self.token.filter(|_| !planted("claim-restarts-tokens"));
        let token = next_token(last, (Kind::Job, &self.id))?;
        self.status = JobStatus::Claimed;
        self.assigned_to = Some(by.server.to_string());
        self.incarnation = Some(by.incarnation.clone());
        self.token = Some(token);
        self.attempts = Some(self.attempts.unwrap_or(0).saturating_add(1));
        self.started_at = Some(now);
        self.completed_at = None;
        self.not_before = None;
        self.delay_seconds = None;
        self.forget_attempt();
        Ok(token)
    }

    /// The holder begins.
    ///
    /// # Errors
    /// When the term is over or the job is not claimed.
    pub fn start(&mut self, term: Claim<'_>, now: Timestamp) -> Result<(), Refusal> {
        self.check_term(term, Action::StartJob)?;
        self.status = JobStatus::Running;
        self.started_at = Some(now);
        Ok(())
    }

    /// The holder reports success.
    ///
    /// # Errors
    /// When the term is over, or a file that it was to make is not among the artifacts.
    pub fn complete(
        &mut self,
        term: Claim<'_>,
        result: &AttemptResult,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.check_term(term, Action::CompleteJob)?;
        if let Some(missing) = first_missing(&self.produces, &result.artifacts)
            && !planted("completes-without-files")
        {
            return Err(Refusal::ArtifactRequired { job: self.id.clone(), pattern: missing.to_owned() });
        }
        self.record(result, now);
        self.status = JobStatus::Completed;
        self.completed_at = Some(now);
        Ok(())
    }

    /// The holder reports failure; what follows depends on the reason and the attempts left.
    ///
    /// # Errors
    /// When the term is over.
    pub fn fail(
        &mut self,
        term: Claim<'_>,
        reason: FailReason,
        result: &AttemptResult,
        at: (Timestamp, &OpId),
    ) -> Result<(), Refusal> {
        self.check_term(term, Action::FailJob)?;
        self.record(result, at.0);
        self.end_attempt(reason, at.0, at.1);
        Ok(())
    }

    /// The holder hands the job back unharmed: the attempt does not count.
    ///
    /// # Errors
    /// When the term is over.
    pub fn release(&mut self, term: Claim<'_>, at: (Timestamp, &OpId)) -> Result<(), Refusal> {
        self.check_term(term, Action::ReleaseJob)?;
        self.end_attempt(FailReason::Interrupted, at.0, at.1);
        Ok(())
    }

    /// Whether somebody holds it by the claim with this token.
    #[must_use]
    pub fn is_held_under(&self, token: u64) -> bool {
        (self.status.is_held() || planted("reports-after-the-end")) && self.token.unwrap_or(0) == token
    }

    fn record(&mut self, result: &AttemptResult, now: Timestamp) {
        self.exit_code = result.exit_code;
        self.error_message.clone_from(&result.message);
        self.artifacts.clone_from(&result.artifacts);
        self.built_commit.clone_from(&result.commit);
        let measured = || between(self.started_at, Some(now)).map(|took| took.as_secs());
        self.duration_seconds = result.duration_seconds.or_else(measured);
    }

    pub(super) fn end_attempt(&mut self, reason: FailReason, now: Timestamp, op: &OpId) {
        let attempts = self.attempts.unwrap_or(1);
        self.reason = Some(reason.as_str().to_owned());
        self.incarnation = None;
        if reason == FailReason::Interrupted {
            self.attempts = Some(attempts.saturating_sub(1));
            self.back_to_queue(None);
        } else if !reason.is_retried() {
            self.status = if planted("failure-completes") { JobStatus::Completed } else { JobStatus::Failed };
            self.completed_at = Some(now);
        } else if attempts >= self.attempts_max() && !planted("attempts-without-end") {
            self.status = JobStatus::Dead;
            self.completed_at = Some(now);
        } else {
            self.back_to_queue(Some(now.plus(backoff(attempts, op))));
        }
    }

    pub(super) fn back_to_queue(&mut self, not_before: Option<Timestamp>) {
        self.status = JobStatus::Queued;
        self.assigned_to = None;
        self.started_at = None;
        self.not_before = not_before;
        self.delay_seconds = None;
    }

    /// Calls the job off. A holder's later report is refused.
    ///
    /// # Errors
    /// When it is final already.
    pub fn cancel(&mut self, why: Option<String>, now: Timestamp) -> Result<(), Refusal> {
        if self.status.is_final() && !planted("cancels-the-finished") {
            return Err(self.finished(Action::CancelJob));
        }
        self.status = JobStatus::Cancelled;
        self.reason = Some("cancelled".to_owned());
        self.error_message = why;
        self.completed_at = Some(now);
        Ok(())
    }

    /// Whoever held the job as it was cancelled confirms that nothing of it runs any more. A second
    /// time changes nothing.
    ///
    /// # Errors
    /// When it is not cancelled, or was held under another claim.
    pub fn confirm_stopped(&mut self, term: Claim<'_>, now: Timestamp) -> Result<(), Refusal> {
        if self.status != JobStatus::Cancelled && !planted("stops-the-running") {
            return Err(Refusal::JobNotCancelled { job: self.id.clone(), status: self.status.clone() });
        }
        if self.token.unwrap_or(0) != term.token {
            return Err(self.term_over(term.token, Action::ConfirmStop));
        }
        self.check_holder(term, Action::ConfirmStop)?;
        self.stopped_at.get_or_insert(now);
        Ok(())
    }

    /// The server that may still run the job although it is cancelled: it held it, and nobody has
    /// confirmed that nothing of it runs any more.
    #[must_use]
    pub fn may_still_run_on(&self) -> Option<&str> {
        let is_open = self.status == JobStatus::Cancelled && self.stopped_at.is_none();
        self.assigned_to.as_deref().filter(|_| is_open)
    }

    /// The same, for as long as the attempt has time left at `now`: who holds a job ends it then by
    /// itself, and a holder who is lost keeps nobody waiting any longer. Times of other clocks, as far
    /// ahead, say nothing.
    #[must_use]
    pub fn may_still_run_at(&self, now: Timestamp) -> Option<&str> {
        let limit = self.run_limit();
        let is_in_time = |at: Timestamp| now.since(at) < limit && at.since(now) < limit;
        self.may_still_run_on().filter(|_| self.run_stamps().any(is_in_time))
    }

    /// How long after the times of [`Self::run_stamps`] it may still run.
    fn run_limit(&self) -> Duration {
        self.timeout().saturating_add(margin(self.timeout()))
    }

    /// The one by the clock of who held it, the other by that of who cancelled it.
    fn run_stamps(&self) -> impl Iterator<Item = Timestamp> {
        [self.started_at, self.completed_at].into_iter().flatten()
    }

    /// For people: whether what held a cancelled job is known to have ended; nothing when nobody held
    /// it.
    #[must_use]
    pub fn confirmation(&self) -> Option<String> {
        if let Some(server) = self.may_still_run_on() {
            return Some(format!("not confirmed yet: {server} may still run it"));
        }
        let who = if self.worker.is_some() { "its worker" } else { "its holder" };
        self.stopped_at.map(|_| format!("{who} has confirmed that it stopped"))
    }

    /// Puts a final job back into the queue with all its attempts.
    ///
    /// # Errors
    /// When it is not final, completed and not asked for `again`, or may still be at work: it would
    /// run twice.
    pub fn retry(&mut self, again: bool, now: Timestamp) -> Result<(), Refusal> {
        let job = self.id.clone();
        if self.status == JobStatus::Completed && !again {
            return Err(self.finished(Action::RetryJob));
        }
        if !self.status.is_final() && !planted("retries-the-running") {
            return Err(Refusal::JobNotFinished { job, status: self.status.clone() });
        }
        if let Some(server) = self.may_still_run_at(now).filter(|_| !planted("retries-what-may-run")) {
            let until = self.run_stamps().map(|at| at.plus(self.run_limit())).max();
            let (server, token) = (server.to_owned(), self.token.unwrap_or(0));
            return Err(Refusal::StopUnconfirmed { job, server, token, until });
        }
        self.keep_result();
        self.back_to_queue(None);
        self.completed_at = None;
        self.incarnation = None;
        self.attempts = Some(0);
        self.forget_attempt();
        Ok(())
    }

    /// What the last attempt left says nothing about the next.
    fn forget_attempt(&mut self) {
        self.reason = None;
        self.error_message = None;
        self.exit_code = None;
        self.duration_seconds = None;
        self.artifacts.clear();
        self.built_commit = None;
        self.worker = None;
        self.log = None;
        self.stopped_at = None;
    }

    /// Changes how urgent it is.
    ///
    /// # Errors
    /// When it is final.
    pub fn set_priority(&mut self, priority: Priority) -> Result<(), Refusal> {
        if self.status.is_final() {
            return Err(self.finished(Action::SetPriority));
        }
        self.priority = priority;
        Ok(())
    }

    pub(crate) fn check_term(&self, term: Claim<'_>, what: Action) -> Result<(), Refusal> {
        let token = if planted("reports-without-token") { self.token.unwrap_or(0) } else { term.token };
        if !self.is_held_under(token) {
            return Err(self.term_over(term.token, what));
        }
        self.check_holder(term, what)
    }

    fn check_holder(&self, term: Claim<'_>, action: Action) -> Result<(), Refusal> {
        if self.assigned_to.as_deref() == Some(term.server.as_str()) {
            return Ok(());
        }
        Err(Refusal::NotHolder {
            kind: Kind::Job,
            id: self.id.clone(),
            action,
            token: term.token,
            holder: self.assigned_to.clone(),
            caller: term.server.to_string(),
        })
    }

    fn finished(&self, action: Action) -> Refusal {
        Refusal::JobFinished { job: self.id.clone(), status: self.status.clone(), action }
    }

    pub(super) fn term_over(&self, token: u64, action: Action) -> Refusal {
        Refusal::token(Token {
            kind: Kind::Job,
            id: self.id.clone(),
            action,
            token,
            last_token: self.token,
            status: Some(self.status.clone()),
            holder: self.assigned_to.clone().filter(|_| self.status.is_held()),
        })
    }
}
