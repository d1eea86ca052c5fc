//! How the dispatcher writes to the hub: within its budget of pushes, and with what may go along in
//! the same push.

use super::Dispatcher;
use crate::app::commands::job_log::WriteLogs;
use crate::app::commands::{Operation, Verb};
use crate::ledger::LedgerError;
use crate::machine::Deadline;
use crate::worker::budget::Need;
use crate::worker::hub::Written;
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

    /// Writes `verb`; where pushes are few, with `logs` and the next sign of life in the same one.
    /// Tells also whether the logs went along.
    pub(super) fn write<V: Verb + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
        logs: Option<WriteLogs>,
    ) -> (Result<Written<V::Answer>, LedgerError>, bool) {
        let is_combined = self.budget.is_limited() && self.combines;
        let beats = is_combined && self.next_beat.left() <= self.hub.interval() / 2;
        let logs = logs.filter(|_| is_combined);
        let has_logs = logs.is_some();
        let written = self.hub.write_with(self.report, verb, (beats, logs));
        self.note_pushes();
        if matches!(&written, Err(error) if !matches!(error, LedgerError::Unreachable { .. })) {
            // A hub may take each branch by itself and not all together.
            self.combines = false;
        }
        if let Some(has_ended) = self.hub.take_beaten() {
            self.beaten(has_ended);
        }
        let went_along = has_logs && matches!(written, Ok(Written::Done(_)));
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
            Ok(Written::Done(has_ended)) => self.beaten(has_ended),
            Ok(Written::Refused(refusal)) => {
                self.complain("beat", &format!("no sign of life: {}", self.report.words(&refusal)));
            }
            Ok(Written::Later(why)) => self.beat_later(&why),
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
