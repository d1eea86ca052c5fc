//! How the dispatcher writes to the hub: within its budget of pushes, and with what may go along in
//! the same push.

use super::Dispatcher;
use super::reporting::Unreported;
use crate::app::commands::job_log::WriteLogs;
use crate::app::commands::{Operation, WriteCommand};
use crate::ledger::LedgerError;
use crate::machine::Deadline;
use crate::worker::budget::Need;
use crate::worker::hub::{SignOfLife, WriteResult};
use serde_json::Value;
use std::time::Duration;

impl Dispatcher<'_> {
    /// Until when a push has to wait, if it has to.
    pub(super) fn must_wait(&mut self, need: Need) -> Option<Deadline> {
        let wait = self.budget.wait(need, self.now())?;
        if need != Need::Log && self.told.insert("budget".to_owned()) {
            let limit = self.options.push_limit.map(|limit| limit.to_string()).unwrap_or_default();
            self.report.say(&format!(
                "the hub gets at most {limit} pushes: what is less urgent waits (see --push-limit)"
            ));
        }
        Some(wait)
    }

    /// Whether what can be sent in one push is: where pushes are few, and of one job, which somebody waits for.
    pub(super) fn is_combined(&self) -> bool {
        (self.budget.is_limited() || self.is_of_one_job()) && self.combines
    }

    /// Whether this worker is to run one job and ends with it.
    pub(super) fn is_of_one_job(&self) -> bool {
        self.options.once || self.options.job.is_some()
    }

    /// Whether nothing more is to be written after the report that is sent now: then its sign of life may be
    /// the last.
    fn is_last_report(&self, tags: bool) -> bool {
        let is_waited_for = tags || self.tags_awaited > 0;
        let is_empty = self.active.is_empty() && self.unreported.is_empty() && self.unsent.is_empty();
        self.is_of_one_job() && self.is_closed && is_empty && !is_waited_for
    }

    /// Writes `verb`; where writes are combined, with `logs` and the next sign of life in the same push.
    /// Tells also whether the logs went along.
    pub(super) fn write<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
        logs: Option<WriteLogs>,
    ) -> (Result<WriteResult<V::Answer>, LedgerError>, bool) {
        let is_combined = self.is_combined();
        let beats = is_combined && self.next_beat.left() <= self.hub.interval() / 2;
        let sign = if beats { SignOfLife::Next } else { SignOfLife::None };
        self.write_under(verb, sign, logs.filter(|_| is_combined))
    }

    /// Reports a step with `logs`, if that is what this worker does last with its last sign of life too, which
    /// is told.
    pub(super) fn write_report(
        &mut self,
        waits: &Unreported,
        logs: Option<WriteLogs>,
    ) -> (Result<WriteResult<Value>, LedgerError>, bool) {
        let tags = waits.build.is_some() && self.options.tags.is_some();
        if !self.is_combined() || !self.is_last_report(tags) {
            return self.write(&waits.step, logs);
        }
        let why = self.reason();
        let (written, went_along) = self.write_under(&waits.step, SignOfLife::Last(&why), logs);
        self.has_said_farewell = matches!(written, Ok(WriteResult::Done(_)));
        (written, went_along)
    }

    fn write_under<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
        sign: SignOfLife<'_>,
        logs: Option<WriteLogs>,
    ) -> (Result<WriteResult<V::Answer>, LedgerError>, bool) {
        let has_logs = logs.is_some();
        let written = self.hub.write_with(self.report, verb, (sign, logs));
        self.note_pushes();
        if matches!(&written, Err(error) if !matches!(error, LedgerError::Unreachable { .. })) {
            // A hub may take each branch by itself and not all together.
            self.combines = false;
        }
        // Nor may what goes along keep the report of the one job out: what did not arrive is sent by itself next.
        let has_more = has_logs || sign != SignOfLife::None;
        if self.is_of_one_job()
            && has_more
            && !matches!(&written, Ok(WriteResult::Done(_) | WriteResult::Refused(_)))
        {
            self.combines = false;
        }
        if let Some(has_ended) = self.hub.take_beaten() {
            self.beaten(has_ended);
        }
        let went_along = has_logs && matches!(written, Ok(WriteResult::Done(_)));
        (written, went_along)
    }

    /// Counts what was sent.
    pub(super) fn note_pushes(&mut self) {
        self.budget.note(self.hub.take_pushes(), self.now());
    }

    pub(super) fn beat(&mut self) {
        self.next_beat = self.after(self.hub.interval());
        let beaten = self.hub.beat(self.report);
        // What signs of life need is kept free.
        self.hub.take_pushes();
        match beaten {
            Ok(WriteResult::Done(has_ended)) => self.beaten(has_ended),
            Ok(WriteResult::Refused(refusal)) => {
                self.complain("beat", &format!("no sign of life: {}", self.report.words(&refusal)));
            }
            Ok(WriteResult::Later(why)) => self.beat_later(&why),
            Err(error) => self.beat_later(&error.to_string()),
        }
    }

    /// The hub has a sign of life; `has_ended`: and this server learned from it that somebody had
    /// ended its session.
    pub(super) fn beaten(&mut self, has_ended: bool) {
        self.next_beat = self.after(self.hub.rest());
        if has_ended {
            self.report.warn("another server took this one for dead and ended its session: its jobs are stopped, a new session begins");
            self.next_look = self.after(Duration::ZERO);
            return;
        }
        self.recovered("beat");
        // A session speaks for what it claimed: what one before has left ends with its trust.
        let session = Some(self.hub.session().incarnation.as_str());
        for active in self.active.values().filter(|one| one.job.incarnation.as_deref() == session) {
            active.execution.trust(&self.hub.trusted());
        }
    }

    fn beat_later(&mut self, why: &str) {
        self.complain("beat", &format!("no sign of life was sent: {why}"));
        self.next_beat = self.after(self.hub.rest());
    }
}
