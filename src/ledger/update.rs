//! The loop that makes a change happen once: apply, build, publish; lost the race, again.
//!
//! Never acknowledges before the hub has it. A push whose outcome nobody can tell is settled by
//! looking for the operation's id in the hub's history before anything else is done.

mod run;
mod sent;

use run::{Attempt, Run};

use super::causes::StoreCause;
use super::crowd::Crowd;
use super::draft::Draft;
use super::engine::{Engine, EngineUpkeep};
use super::error::{Abort, LedgerError};
use super::far_side::Reason;
use super::freshness::LastRefresh;
use super::one_hub::OneHub;
use super::outcome::{Locked, Outcome};
use super::pace::Pace;
use super::request::{Apply, Batch, Request, RequestResult};
use super::snapshot::Snapshot;
use super::trailers::along;
use super::transaction::Transaction;
use super::vocabulary::{Commit, Move, Publication, Scope, Tips};
#[cfg(test)]
use crate::domain::id::OpId;
use crate::domain::planted::planted;
use crate::domain::time::{Timestamp, show_span};
use crate::machine::Deadline;
use crate::machine::Machine;
use crate::machine::asked;
use crate::machine::file_lock::FileLock;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often a hub that does not answer is tried within the time budget.
const UNREACHABLE_TRIES_MAX: u32 = 4;

/// With less time left no further push is begun: one that is cut leaves its outcome unknown, and
/// nothing was wrong but that others were faster.
pub(super) const PUSH_TIME_MIN: Duration = Duration::from_secs(1);

/// The most attempts of one update, whatever the time budget.
const ATTEMPTS_MAX: u32 = 1000;

/// What the loop was told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The branch that carries everything but heartbeats.
    pub main: String,
    /// Who makes the commits.
    pub author: String,
    /// How long one update may take.
    pub budget: Duration,
    /// How long to wait for another process of this host.
    pub lock_wait: Duration,
    /// Whether to stop before publishing.
    pub dry_run: bool,
    /// Whether the main branch may be missing or hold no hub yet: for `init` alone.
    pub founding: bool,
}

/// The hub as a transactional store.
pub struct Ledger {
    pub(super) engine: Box<dyn Engine>,
    pub(super) settings: Settings,
    pub(super) machine: Machine,
    pub(super) one_hub: OneHub,
    /// When the hub was last asked.
    pub(super) asked: LastRefresh,
    notes: Vec<String>,
}

impl Ledger {
    /// The hub behind `engine`, as a process of `machine` reaches it.
    pub(crate) fn new(engine: Box<dyn Engine>, settings: Settings, machine: Machine) -> Self {
        let (one_hub, asked) = (OneHub::default(), LastRefresh::default());
        Self { engine, settings, machine, one_hub, asked, notes: Vec::new() }
    }

    /// The machine on which this process runs.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Whether the outcome of a write can stay unknown, because it goes over a connection.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !self.engine.is_always_fresh()
    }

    /// Gives the writes from now on less time, or the usual again.
    pub fn limit(&mut self, budget: Duration) {
        self.settings.budget = budget;
    }

    /// From now on this is the hub of this id, whatever is in its place; nothing changes where none is known.
    pub fn bind(&mut self, id: Option<String>) {
        if id.is_some() {
            self.one_hub = OneHub::of_id(id);
        }
    }

    /// Whether this run stops before publishing.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.settings.dry_run
    }

    /// What the user should know and did not ask for; each is given once.
    pub fn take_notes(&mut self) -> Vec<String> {
        self.notes.extend(self.engine.upkeep_mut().map(EngineUpkeep::take_notes).unwrap_or_default());
        std::mem::take(&mut self.notes)
    }

    /// Whether a look at our copy of the hub found it damaged: the next [`Ledger::read`] begins a
    /// new one.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.engine.upkeep().is_some_and(EngineUpkeep::is_suspect)
    }

    /// Applies one operation.
    ///
    /// # Errors
    /// When the hub cannot be reached or refuses, or a document cannot be used.
    pub fn write<W: Apply>(&mut self, request: Request<W>) -> RequestResult<W::Answer> {
        self.update(&[request])?.pop().expect("one outcome for one request")
    }

    /// Applies one operation that is written down on the spot, `now`.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    #[cfg(test)]
    pub(crate) fn update_one<A>(
        &mut self,
        op: OpId,
        now: Timestamp,
        what: impl Fn(&mut Transaction<'_>) -> Result<A, Abort>,
    ) -> RequestResult<A> {
        self.write(Request { op, now, author: None, what })
    }

    /// Applies several operations, in order, with one push, each with its own outcome, in their order. One that
    /// is refused, or needs a document that cannot be used, leaves the others alone.
    ///
    /// # Errors
    /// What stops all of them: when the hub cannot be reached or refuses.
    pub fn update<W: Apply>(
        &mut self,
        requests: &[Request<W>],
    ) -> Result<Vec<RequestResult<W::Answer>>, LedgerError> {
        // The answers of all attempts: which of them counts is known in the end.
        let mut answers: Vec<Option<W::Answer>> = Vec::new();
        let told = self.update_all(&mut Batch {
            heads: requests.iter().map(Request::head).collect(),
            apply: &mut |index, transaction| {
                let request = requests.get(index).expect("the loop counts the requests");
                answers.push(Some(request.what.apply(transaction)?));
                Ok(answers.len() - 1)
            },
        })?;
        debug_assert_eq!(told.len(), requests.len(), "each request has its outcome");
        let mut answer = |number: usize| {
            let kept = answers.get_mut(number).and_then(Option::take);
            kept.expect("the answer that the loop was given")
        };
        Ok(told.into_iter().map(|told| told.map(|outcome| outcome.map(&mut answer))).collect())
    }

    fn update_all(&mut self, batch: &mut Batch<'_>) -> Result<Vec<RequestResult<usize>>, LedgerError> {
        let deadline = self.machine.deadline(self.settings.budget);
        // From here on a wish to end is granted between two steps.
        asked::until_told();
        let _guard = self.local_lock(&deadline);
        self.machine.failpoint("locked");
        let mut run = Run::new(self.engine.is_always_fresh(), deadline);
        loop {
            if asked::cuts_short() {
                return self.end_as_asked(batch, &mut run);
            }
            match self.step(batch, &mut run) {
                Ok(Some(told)) => {
                    let is_applied = |one: &RequestResult<usize>| one.as_ref().is_ok_and(Outcome::is_applied);
                    if !self.settings.dry_run && told.iter().any(is_applied) {
                        asked::has_written();
                    }
                    return Ok(told);
                }
                Ok(None) => {}
                Err(LedgerError::Store { cause: cause @ StoreCause::Damaged, what, why })
                    if run.may_heal() =>
                {
                    run.healings += 1;
                    self.asked = LastRefresh::default();
                    match self.heal() {
                        Ok(true) => {}
                        Ok(false) if batch.heads.len() > 1 => {
                            // Whoever needs what is damaged is told so, and the others are not stopped.
                            run.is_incurable = true;
                            continue;
                        }
                        Ok(false) => {
                            return run.fail(LedgerError::Store { cause, what, why }, batch);
                        }
                        Err(error) => return run.fail(error, batch),
                    }
                    self.notes.push(format!(
                        "our copy of the hub was damaged ({why}); it was set aside and fetched again"
                    ));
                    run.fresh = false;
                }
                Err(error) => return run.fail(error, batch),
            }
        }
    }

    /// One turn of the loop; `None`: go on.
    fn step(
        &mut self,
        batch: &mut Batch<'_>,
        run: &mut Run,
    ) -> Result<Option<Vec<RequestResult<usize>>>, LedgerError> {
        // A hub that was just asked told what is so now.
        if !run.fresh || self.engine.is_always_fresh() {
            self.begin_look();
        }
        if !run.fresh && (run.attempts > 0 || self.must_ask_first(batch)?) {
            if let Some(upkeep) = self.engine.upkeep_mut() {
                upkeep.stay_connected();
            }
            if !self.refresh_within(run)? {
                return Ok(Some(run.give_up(batch)));
            }
            if let Some(outcomes) = self.find_sent(batch, run)? {
                return Ok(Some(outcomes));
            }
            if let Some(why) = run.refusal.take() {
                let replaces = run.sent.pop().is_some_and(|attempt| attempt.replaces);
                return self.refused(replaces, why, run);
            }
            if run.attempts > 0 && run.deadline.passed() {
                return Ok(Some(run.give_up(batch)));
            }
        }
        self.machine.failpoint("read");
        let attempt = match self.attempt(batch, run) {
            // A no on documents that may be old is no answer yet.
            Ok(attempt) if !run.fresh && (attempt.is_doubtful() || self.settings.dry_run) => {
                return self.look_again(run);
            }
            Err(error) if !run.fresh && error.is_of_what_is_known() => return self.look_again(run),
            // Another process of this host may have begun our copy anew since we looked.
            Err(LedgerError::NoBranch { .. } | LedgerError::WasAHub { .. })
                if !self.engine.is_always_fresh() && run.asks_for_branch_again() =>
            {
                run.fresh = false;
                return Ok(None);
            }
            attempt => attempt?,
        };
        if attempt.moves.is_empty() || self.settings.dry_run {
            return Ok(Some(attempt.outcomes(batch, run)));
        }
        // Nothing in the push tells whether the hub is there still: an empty repository takes a branch, too.
        let is_new = |one: &Move| one.branch != self.settings.main && one.from.is_none();
        let writes_main = attempt.moves.iter().any(|one| one.branch == self.settings.main);
        if !run.fresh && !writes_main && attempt.moves.iter().any(is_new) {
            return self.look_again(run);
        }
        self.machine.failpoint("commit");
        if asked::cuts_short() {
            return Ok(None);
        }
        let is_late = run.deadline.left() < PUSH_TIME_MIN && !self.engine.is_always_fresh();
        if run.attempts > 0 && is_late {
            return Ok(Some(run.give_up(batch)));
        }
        self.publish(attempt, batch, run)
    }

    /// Sends an attempt and draws the consequences of what came of it.
    fn publish(
        &mut self,
        attempt: Attempt,
        batch: &Batch<'_>,
        run: &mut Run,
    ) -> Result<Option<Vec<RequestResult<usize>>>, LedgerError> {
        run.attempts += 1;
        // A fifth of the time is kept for finding out what became of a push that hangs.
        let push_deadline = self.machine.deadline(run.deadline.left() * 4 / 5);
        let publication = self.engine.publish(&attempt.moves, &push_deadline);
        self.machine.failpoint("push");
        run.locked = match &publication {
            Publication::Busy(Some(held)) => Locked::Here(held.clone()),
            Publication::Busy(None) => Locked::There,
            _ => Locked::No,
        };
        let publication = match publication {
            Publication::Unknown(_) if planted("unknown-is-applied") => Publication::Applied,
            Publication::Stale | Publication::StaleOrRepeated if planted("stale-is-applied") => {
                Publication::Applied
            }
            publication => publication,
        };
        match publication {
            Publication::Applied => {
                self.one_hub.clone_from(&attempt.one_hub);
                self.settle_main();
                return Ok(Some(attempt.outcomes(batch, run)));
            }
            Publication::Denied(why) => drop(self.refused(attempt.replaces, why, run)?),
            Publication::Doubted(why) => {
                run.why.clone_from(&why.words);
                run.refusal = Some(why);
                run.sent.push(attempt);
            }
            Publication::Failed { cause, why } => {
                let what = format!("cannot move a branch of `{}`", self.engine.hub());
                return Err(LedgerError::Store { what, why, cause });
            }
            // The answer may be to a repetition: a transport that loses a connection at the wrong
            // moment asks once more by itself, and what it asked first has moved the branch.
            Publication::StaleOrRepeated if !planted("repetition-unseen") => {
                "the hub said that another was faster, which a push that was sent twice is told too"
                    .clone_into(&mut run.why);
                run.doubted_push = true;
                run.turned_down.push(attempt);
            }
            Publication::Stale | Publication::StaleOrRepeated | Publication::Busy(_) => {}
            Publication::Unreachable(why) => {
                run.unreachable += 1;
                if !run.is_unsettled() && (run.unreachable >= UNREACHABLE_TRIES_MAX || run.deadline.passed())
                {
                    return Err(LedgerError::Unreachable { hub: self.engine.hub().to_owned(), why });
                }
            }
            Publication::Unknown(why) => {
                run.why = why;
                run.sent.push(attempt);
            }
        }
        run.fresh = false;
        if run.attempts >= ATTEMPTS_MAX || (run.deadline.passed() && !run.is_unsettled()) {
            return Ok(Some(run.give_up(batch)));
        }
        run.pace.wait(&run.deadline);
        run.fresh = self.engine.is_always_fresh() && !run.is_unsettled();
        Ok(None)
    }

    /// The hub said no to an attempt.
    fn refused(
        &self,
        replaces: bool,
        why: Reason,
        run: &mut Run,
    ) -> Result<Option<Vec<RequestResult<usize>>>, LedgerError> {
        if !replaces || run.append {
            return Err(LedgerError::Denied { hub: self.engine.hub().to_owned(), why });
        }
        // A hub that lets no history be replaced still takes what follows on it.
        run.append = true;
        Ok(None)
    }

    /// Whether the first attempt must know what the hub has now, instead of trying its luck.
    ///
    /// Among many writers the one that just succeeded is the only one that knows the newest tip.
    /// Were it to push the next operation at once, it would win every race against those who have
    /// to ask first, for as long as it goes on; so it asks as they do.
    fn must_ask_first(&self, batch: &Batch<'_>) -> Result<bool, LedgerError> {
        let (main, author) = (&self.settings.main, batch.author(&self.settings.author, |_| true));
        let Some(now) = batch.now(|_| true) else { return Ok(false) };
        let Some(tip) = self.engine.tip(main)? else { return Ok(true) };
        let mut crowd = Crowd::new(author, now);
        if let Some(history) = self.engine.history() {
            history.last_commits(&tip, &mut |author, at| crowd.see(author, at))?;
        }
        Ok(crowd.is_there())
    }

    fn look_again(&mut self, run: &mut Run) -> Result<Option<Vec<RequestResult<usize>>>, LedgerError> {
        self.refresh(&run.scope, &run.deadline)?;
        run.fresh = true;
        Ok(None)
    }

    /// Asks the hub again; `false` when the time ran out while an attempt is unsettled.
    fn refresh_within(&mut self, run: &mut Run) -> Result<bool, LedgerError> {
        loop {
            match self.refresh(&run.scope, &run.deadline) {
                Ok(()) => {
                    run.fresh = true;
                    return Ok(true);
                }
                Err(LedgerError::Unreachable { hub, why }) => {
                    run.unreachable += 1;
                    let over = run.deadline.passed() || run.unreachable >= UNREACHABLE_TRIES_MAX;
                    // The hub answered until now: it is our time that ran out.
                    let out_of_time = run.attempts > 0 && run.unreachable == 1;
                    if over && (out_of_time || run.is_unsettled()) {
                        return Ok(false);
                    }
                    if over {
                        return Err(LedgerError::Unreachable { hub, why });
                    }
                    run.pace.wait(&run.deadline);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the operations on the newest documents we know and builds the commits.
    fn attempt(&mut self, batch: &mut Batch<'_>, run: &mut Run) -> Result<Attempt, LedgerError> {
        let snapshot = Snapshot::at(self.engine.as_ref(), &self.settings.main, run.tips.clone());
        let one_hub = snapshot.check(self.settings.founding, &self.one_hub)?;
        self.one_hub.learn(&one_hub, run.fresh);
        let mut draft = Draft::default();
        let mut results = Vec::with_capacity(batch.heads.len());
        for (index, head) in batch.heads.iter().enumerate() {
            draft.begin();
            let by = (head.now, head.author.unwrap_or(&self.settings.author));
            let result = (batch.apply)(index, &mut Transaction::new(&snapshot, &mut draft, head.op, by));
            let result = result.and_then(|answer| draft.accept(head.op, &snapshot).map(|()| answer));
            if result.is_err() {
                draft.take_back();
            }
            results.push(match result {
                Err(Abort::Fault(error)) if run.stops_all(&error) => return Err(error),
                result => result,
            });
        }
        let is_in = |index: usize| results.get(index).is_some_and(Result::is_ok);
        let author = batch.author(&self.settings.author, is_in).to_owned();
        let now = batch.now(is_in);
        let written: BTreeSet<String> = draft.branches.keys().cloned().collect();
        let unchanged = draft.drop_unchanged();
        let present = match now.filter(|_| draft.branches.contains_key(&self.settings.main)) {
            Some(now) => Some(snapshot.present(now, &author)?),
            None => now,
        };
        run.scope.heartbeats |= snapshot.has_seen_fleet();
        let tips = snapshot.into_tips();
        for branch in tips.keys().filter(|branch| **branch != self.settings.main) {
            run.scope.add(branch, written.contains(branch));
        }
        if run.append {
            draft.replaced.clear();
        }
        if run.attempts == 0 {
            self.notes.extend(now.zip(present).and_then(|(now, present)| clock_note(now, present)));
        }
        let moves = match now {
            Some(now) if !unchanged => self.build(&draft, &tips, (now, &author))?,
            _ => Vec::new(),
        };
        let replaces = moves.iter().any(|one| one.from.is_some() && draft.replaced.contains(&one.branch));
        let one_hub = one_hub.after(&draft, &self.settings.main);
        Ok(Attempt { moves, replaces, one_hub, results })
    }

    fn build(
        &mut self,
        draft: &Draft,
        tips: &Tips,
        (now, author): (Timestamp, &str),
    ) -> Result<Vec<Move>, LedgerError> {
        debug_assert_eq!(draft.fallen_token(), None, "a token never goes down");
        let message = draft.message();
        let main = &self.settings.main;
        let along = draft.branches.contains_key(main).then(|| along(&message, main));
        let mut moves = Vec::with_capacity(draft.branches.len());
        for (branch, changes) in &draft.branches {
            let from = match tips.get(branch) {
                Some(tip) => tip.clone(),
                None => self.engine.tip(branch)?,
            };
            let to = self.engine.commit(&Commit {
                base: from.as_ref(),
                follows: !draft.replaced.contains(branch),
                changes,
                records: &draft.records(branch),
                message: along.as_deref().filter(|_| branch != main).unwrap_or(&message),
                author,
                at: now,
            })?;
            moves.push(Move { branch: branch.clone(), from, to });
        }
        if draft.holds_main && !draft.branches.contains_key(main) {
            let tip = tips.get(main).cloned().map_or_else(|| self.engine.tip(main), Ok)?;
            moves.extend(tip.map(|tip| Move { branch: main.clone(), from: Some(tip.clone()), to: tip }));
        }
        // The first is the one that the receipt names, and moves last where they move one by one.
        moves.sort_by_key(|one| (one.only_compares(), one.branch != *main));
        Ok(moves)
    }

    /// Asks the hub, and again when the connection was lost: one that can be reached must not look as if
    /// it could not, for a write no more than for a read.
    pub(super) fn refresh_again(&mut self, scope: &Scope, deadline: &Deadline) -> Result<(), LedgerError> {
        let mut pace = Pace::network();
        for _ in 1..UNREACHABLE_TRIES_MAX {
            match self.refresh(scope, deadline) {
                Err(LedgerError::Unreachable { why, .. })
                    if why.cause.is_of_the_connection() && !deadline.passed() =>
                {
                    pace.wait(deadline);
                }
                settled => return settled,
            }
        }
        self.refresh(scope, deadline)
    }

    pub(super) fn refresh(&mut self, scope: &Scope, deadline: &Deadline) -> Result<(), LedgerError> {
        let main = self.settings.main.clone();
        let began = self.machine.since_boot();
        let mut result = self.engine.refresh(&main, scope, deadline);
        if let Err(LedgerError::Store { cause: StoreCause::Damaged, .. }) = result
            && self.heal()?
        {
            self.notes.push("our copy of the hub was damaged; it was set aside and fetched again".to_owned());
            result = self.engine.refresh(&main, scope, deadline);
        }
        self.notes.extend(result?);
        self.asked.note(scope, began);
        Ok(())
    }

    pub(super) fn settle_main(&mut self) {
        let main = &self.settings.main;
        self.notes.extend(self.engine.upkeep_mut().and_then(|upkeep| upkeep.settle(main)));
    }

    pub(super) fn local_lock(&self, deadline: &Deadline) -> Option<FileLock> {
        let wait = self.settings.lock_wait.min(deadline.left());
        let path = self.engine.upkeep()?.lock_path()?;
        FileLock::acquire(&path, &self.machine.deadline(wait)).ok()
    }

    pub(super) fn begin_look(&mut self) {
        if let Some(upkeep) = self.engine.upkeep_mut() {
            upkeep.begin_look();
        }
    }

    /// Begins our copy of the hub anew; `false`: there is none.
    fn heal(&mut self) -> Result<bool, LedgerError> {
        self.engine.upkeep_mut().map_or(Ok(false), EngineUpkeep::heal)
    }
}

/// What is said of a clock by which it is `now` when by those of others it is `present`.
fn clock_note(now: Timestamp, present: Timestamp) -> Option<String> {
    let (by, way) = match present.cmp(&now) {
        Ordering::Equal => return None,
        Ordering::Greater => (present.since(now), "behind"),
        Ordering::Less => (now.since(present), "ahead of"),
    };
    Some(format!(
        "this clock is {} {way} those of others who wrote to the hub; see that each machine takes its time from the network",
        show_span(by)
    ))
}
