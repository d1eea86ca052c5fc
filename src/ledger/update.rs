//! The loop that makes a change happen once: apply, build, publish; lost the race, again.
//!
//! Never acknowledges before the hub has it. A push whose outcome nobody can tell is settled by
//! looking for the operation's id in the hub's history before anything else is done.

mod run;
mod sent;

use run::{Attempt, Run};

use super::engine::Engine;
use super::error::{LedgerError, Stop};
use super::far_side::Reason;
use super::one_hub::OneHub;
use super::outcome::{Locked, Outcome, Receipt};
use super::pace::Pace;
use super::snapshot::Snapshot;
use super::trailers::along;
use super::transaction::{Draft, Transaction};
use super::vocabulary::{Commit, Move, Publication, Scope, Tips};
use crate::domain::id::OpId;
use crate::domain::planted::planted;
use crate::domain::time::{Timestamp, show_span};
use crate::machine::asked;
use crate::machine::clock::Deadline;
use crate::machine::failpoint::failpoint;
use crate::machine::file_lock::FileLock;
use std::any::Any;
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

/// How often our copy of the hub is begun anew in one update: somebody may clean the new one, too.
const HEALINGS_MAX: u32 = 3;

/// The answer of an operation whose type the ledger does not know.
pub(super) type AnyAnswer = Box<dyn Any>;

/// The pure part of an operation.
pub(super) type Apply<'a> = dyn Fn(&mut Transaction<'_>) -> Result<AnyAnswer, Stop> + 'a;

/// An operation to be applied.
pub struct Request<'a> {
    /// Its id, unique for ever.
    pub op: OpId,
    /// What it does.
    pub apply: &'a Apply<'a>,
}

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
    pub(super) one_hub: OneHub,
    notes: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(engine: Box<dyn Engine>, settings: Settings) -> Self {
        Self { engine, settings, one_hub: OneHub::default(), notes: Vec::new() }
    }

    /// The hub as users name it, without credentials.
    #[must_use]
    pub fn hub(&self) -> &str {
        self.engine.hub()
    }

    /// The branch that carries everything but heartbeats.
    #[must_use]
    pub fn main(&self) -> &str {
        &self.settings.main
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
        self.notes.extend(self.engine.take_notes());
        std::mem::take(&mut self.notes)
    }

    /// The documents as the hub has them now.
    ///
    /// # Errors
    /// When the hub cannot be reached, or is none.
    pub fn read(&mut self, heartbeats: bool) -> Result<Snapshot<'_>, LedgerError> {
        self.read_scope(&Scope { heartbeats, ..Scope::default() })
    }

    /// The same, with one more branch.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub fn read_with(&mut self, branch: &str) -> Result<Snapshot<'_>, LedgerError> {
        let mut scope = Scope::default();
        scope.add(branch, false);
        self.read_scope(&scope)
    }

    fn read_scope(&mut self, scope: &Scope) -> Result<Snapshot<'_>, LedgerError> {
        let deadline = Deadline::after(self.settings.budget);
        self.engine.begin_look();
        if !self.engine.is_always_fresh() {
            let _guard = self.local_lock(deadline);
            self.refresh_again(scope, deadline)?;
        }
        self.settle_main();
        let snapshot = Snapshot::new(self.engine.as_ref(), &self.settings.main);
        self.one_hub = snapshot.check(self.settings.founding, &self.one_hub)?;
        Ok(snapshot)
    }

    /// Whether a look at our copy of the hub found it damaged: the next [`Ledger::read`] begins a
    /// new one.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.engine.is_suspect()
    }

    /// The documents as far as we know them, without asking the hub.
    #[must_use]
    pub fn known(&self) -> Snapshot<'_> {
        Snapshot::new(self.engine.as_ref(), &self.settings.main)
    }

    /// Applies one operation.
    ///
    /// # Errors
    /// When the hub cannot be reached or refuses, or a document cannot be used.
    pub fn update_one<A: 'static>(
        &mut self,
        op: OpId,
        now: Timestamp,
        apply: impl Fn(&mut Transaction<'_>) -> Result<A, Stop>,
    ) -> Result<Outcome<A>, LedgerError> {
        let apply = |transaction: &mut Transaction<'_>| -> Result<AnyAnswer, Stop> {
            Ok(Box::new(apply(transaction)?))
        };
        let outcome = self.update(&[Request { op, apply: &apply }], now)?.pop();
        let typed = |receipt: Receipt<AnyAnswer>| Receipt {
            answer: *receipt.answer.downcast::<A>().expect("the answer of the operation that was asked"),
            op: receipt.op,
            version: receipt.version,
            attempts: receipt.attempts,
        };
        Ok(match outcome.expect("one outcome for one request") {
            Outcome::Applied(receipt) => Outcome::Applied(typed(receipt)),
            Outcome::Refused(refusal) => Outcome::Refused(refusal),
            Outcome::Contended { attempts, waited, locked } => {
                Outcome::Contended { attempts, waited, locked }
            }
            Outcome::Unknown { op, why } => Outcome::Unknown { op, why },
        })
    }

    /// Applies several operations, in order, with one push, each with its own outcome. An
    /// operation that is refused leaves the others alone.
    ///
    /// # Errors
    /// When the hub cannot be reached or refuses, or a document cannot be used.
    pub fn update(
        &mut self,
        requests: &[Request<'_>],
        now: Timestamp,
    ) -> Result<Vec<Outcome<AnyAnswer>>, LedgerError> {
        let deadline = Deadline::after(self.settings.budget);
        // From here on a wish to end is granted between two steps.
        asked::until_told();
        let _guard = self.local_lock(deadline);
        failpoint("locked");
        let mut run = Run::new(self.engine.is_always_fresh(), deadline);
        loop {
            if asked::cuts_short() {
                return self.end_as_asked(requests, &mut run);
            }
            match self.step(requests, now, &mut run) {
                Ok(Some(outcomes)) => {
                    if !self.settings.dry_run && outcomes.iter().any(Outcome::is_applied) {
                        asked::has_written();
                    }
                    return Ok(outcomes);
                }
                Ok(None) => {}
                Err(LedgerError::Store { damaged: true, what, why }) if run.healings < HEALINGS_MAX => {
                    run.healings += 1;
                    match self.engine.heal() {
                        Ok(true) => {}
                        Ok(false) => {
                            return run.fail(LedgerError::Store { damaged: true, what, why }, requests);
                        }
                        Err(error) => return run.fail(error, requests),
                    }
                    self.notes.push(format!(
                        "our copy of the hub was damaged ({why}); it was set aside and fetched again"
                    ));
                    run.fresh = false;
                }
                Err(error) => return run.fail(error, requests),
            }
        }
    }

    /// One turn of the loop; `None`: go on.
    fn step(
        &mut self,
        requests: &[Request<'_>],
        now: Timestamp,
        run: &mut Run,
    ) -> Result<Option<Vec<Outcome<AnyAnswer>>>, LedgerError> {
        // A hub that was just asked told what is so now.
        if !run.fresh || self.engine.is_always_fresh() {
            self.engine.begin_look();
        }
        if !run.fresh && (run.attempts > 0 || self.must_ask_first(now)?) {
            self.engine.stay_connected();
            if !self.refresh_within(run)? {
                return Ok(Some(run.give_up(requests)));
            }
            if let Some(outcomes) = self.find_sent(requests, run)? {
                return Ok(Some(outcomes));
            }
            if let Some(why) = run.refusal.take() {
                let replaces = run.sent.pop().is_some_and(|attempt| attempt.replaces);
                return self.refused(replaces, why, run);
            }
            if run.attempts > 0 && run.deadline.passed() {
                return Ok(Some(run.give_up(requests)));
            }
        }
        failpoint("read");
        let attempt = match self.attempt(requests, now, run) {
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
            return Ok(Some(attempt.outcomes(requests, run.attempts)));
        }
        // Nothing in the push tells whether the hub is there still: an empty repository takes a branch, too.
        let is_new = |one: &Move| one.branch != self.settings.main && one.from.is_none();
        let writes_main = attempt.moves.iter().any(|one| one.branch == self.settings.main);
        if !run.fresh && !writes_main && attempt.moves.iter().any(is_new) {
            return self.look_again(run);
        }
        failpoint("commit");
        if asked::cuts_short() {
            return Ok(None);
        }
        let is_late = run.deadline.left() < PUSH_TIME_MIN && !self.engine.is_always_fresh();
        if run.attempts > 0 && is_late {
            return Ok(Some(run.give_up(requests)));
        }
        self.publish(attempt, requests, run)
    }

    /// Sends an attempt and draws the consequences of what came of it.
    fn publish(
        &mut self,
        attempt: Attempt,
        requests: &[Request<'_>],
        run: &mut Run,
    ) -> Result<Option<Vec<Outcome<AnyAnswer>>>, LedgerError> {
        run.attempts += 1;
        // A fifth of the time is kept for finding out what became of a push that hangs.
        let push_deadline = Deadline::after(run.deadline.left() * 4 / 5);
        let publication = self.engine.publish(&attempt.moves, push_deadline);
        failpoint("push");
        run.locked = match &publication {
            Publication::Busy(Some(held)) => Locked::Here(held.clone()),
            Publication::Busy(None) => Locked::There,
            _ => Locked::No,
        };
        let publication = match publication {
            Publication::Unknown(_) if planted("unknown-is-applied") => Publication::Applied,
            Publication::Stale if planted("stale-is-applied") => Publication::Applied,
            publication => publication,
        };
        match publication {
            Publication::Applied => {
                self.one_hub.clone_from(&attempt.one_hub);
                self.settle_main();
                return Ok(Some(attempt.outcomes(requests, run.attempts)));
            }
            Publication::Denied(why) => drop(self.refused(attempt.replaces, why, run)?),
            Publication::Doubted(why) => {
                run.why.clone_from(&why.words);
                run.refusal = Some(why);
                run.sent.push(attempt);
            }
            Publication::Failed(why) => {
                let what = format!("cannot move a branch of `{}`", self.engine.hub());
                return Err(LedgerError::Store { what, why, damaged: false });
            }
            // The answer may be to a repetition: a transport that loses a connection at the wrong
            // moment asks once more by itself, and what it asked first has moved the branch.
            Publication::Stale if self.engine.repeats_requests() && !planted("repetition-unseen") => {
                "the hub said that another was faster, which a push that was sent twice is told too"
                    .clone_into(&mut run.why);
                run.doubted_push = true;
                run.turned_down.push(attempt);
            }
            Publication::Stale | Publication::Busy(_) => {}
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
            return Ok(Some(run.give_up(requests)));
        }
        run.pace.wait(run.deadline);
        run.fresh = self.engine.is_always_fresh() && !run.is_unsettled();
        Ok(None)
    }

    /// The hub said no to an attempt.
    fn refused(
        &self,
        replaces: bool,
        why: Reason,
        run: &mut Run,
    ) -> Result<Option<Vec<Outcome<AnyAnswer>>>, LedgerError> {
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
    fn must_ask_first(&self, now: Timestamp) -> Result<bool, LedgerError> {
        let main = &self.settings.main;
        Ok(self.engine.tip(main)?.is_none() || self.engine.is_crowded(main, &self.settings.author, now)?)
    }

    fn look_again(&mut self, run: &mut Run) -> Result<Option<Vec<Outcome<AnyAnswer>>>, LedgerError> {
        self.refresh(&run.scope, run.deadline)?;
        run.fresh = true;
        Ok(None)
    }

    /// Asks the hub again; `false` when the time ran out while an attempt is unsettled.
    fn refresh_within(&mut self, run: &mut Run) -> Result<bool, LedgerError> {
        loop {
            match self.refresh(&run.scope, run.deadline) {
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
                    run.pace.wait(run.deadline);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the operations on the newest documents we know and builds the commits.
    fn attempt(
        &mut self,
        requests: &[Request<'_>],
        now: Timestamp,
        run: &mut Run,
    ) -> Result<Attempt, LedgerError> {
        let snapshot = Snapshot::at(self.engine.as_ref(), &self.settings.main, run.tips.clone());
        let one_hub = snapshot.check(self.settings.founding, &self.one_hub)?;
        self.one_hub.learn(&one_hub, run.fresh);
        let mut draft = Draft::default();
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            let before = (requests.len() > 1).then(|| draft.clone());
            let mut applied =
                Transaction::new(&snapshot, &mut draft, &request.op, now).by(&self.settings.author);
            let applied = (request.apply)(&mut applied);
            let applied = applied.and_then(|answer| Ok(draft.check().map(|()| answer)?));
            results.push(match applied {
                Ok(answer) => {
                    draft.trailers.push(("Muster-Op", request.op.to_string()));
                    Ok(answer)
                }
                Err(Stop::Refused(refusal)) => {
                    draft = before.unwrap_or_default();
                    Err(refusal)
                }
                Err(Stop::Fault(error)) => return Err(error),
            });
        }
        let written: BTreeSet<String> = draft.branches.keys().cloned().collect();
        let unchanged = self.drop_unchanged(&snapshot, &mut draft)?;
        let writes_main = draft.branches.contains_key(&self.settings.main);
        let present = if writes_main { snapshot.present(now, &self.settings.author)? } else { now };
        run.scope.heartbeats |= snapshot.has_seen_fleet();
        let tips = snapshot.into_tips();
        for branch in tips.keys().filter(|branch| **branch != self.settings.main) {
            run.scope.add(branch, written.contains(branch));
        }
        if run.append {
            draft.replaced.clear();
        }
        if run.attempts == 0 {
            self.notes.extend(clock_note(now, present));
        }
        let moves = if unchanged { Vec::new() } else { self.build(&draft, &tips, now)? };
        let replaces = moves.iter().any(|one| one.from.is_some() && draft.replaced.contains(&one.branch));
        let one_hub = one_hub.after(&draft, &self.settings.main);
        Ok(Attempt { moves, replaces, one_hub, results })
    }

    /// Takes out of the draft what the hub has already; `true` when nothing is left.
    fn drop_unchanged(&self, snapshot: &Snapshot<'_>, draft: &mut Draft) -> Result<bool, LedgerError> {
        use super::snapshot::Documents as _;
        for (branch, changes) in &mut draft.branches {
            let mut same = Vec::new();
            for (path, change) in changes.iter() {
                match snapshot.document(branch, path) {
                    // Whoever writes there knows what stands there.
                    Err(LedgerError::Document(error)) if error.is_no_file() => {}
                    present => {
                        let present = present?;
                        if present.as_ref().map(|document| document.bytes()) == change.as_deref() {
                            same.push(path.clone());
                        }
                    }
                }
            }
            for path in same {
                changes.remove(&path);
            }
        }
        draft.branches.retain(|_, changes| !changes.is_empty());
        Ok(draft.branches.is_empty())
    }

    fn build(&mut self, draft: &Draft, tips: &Tips, now: Timestamp) -> Result<Vec<Move>, LedgerError> {
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
                message: along.as_deref().filter(|_| branch != main).unwrap_or(&message),
                author: &self.settings.author,
                at: now,
            })?;
            moves.push(Move { branch: branch.clone(), from, to });
        }
        // The first is the one that the receipt names, and moves last where they move one by one.
        moves.sort_by_key(|one| one.branch != *main);
        Ok(moves)
    }

    /// Asks the hub, and again when the connection was lost: one that can be reached must not look as if
    /// it could not, for a write no more than for a read.
    fn refresh_again(&mut self, scope: &Scope, deadline: Deadline) -> Result<(), LedgerError> {
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

    pub(super) fn refresh(&mut self, scope: &Scope, deadline: Deadline) -> Result<(), LedgerError> {
        let main = self.settings.main.clone();
        let mut result = self.engine.refresh(&main, scope, deadline);
        if let Err(LedgerError::Store { damaged: true, .. }) = result
            && self.engine.heal()?
        {
            self.notes.push("our copy of the hub was damaged; it was set aside and fetched again".to_owned());
            result = self.engine.refresh(&main, scope, deadline);
        }
        self.notes.extend(result?);
        Ok(())
    }

    fn settle_main(&mut self) {
        let main = self.settings.main.clone();
        self.notes.extend(self.engine.settle(&main));
    }

    fn local_lock(&self, deadline: Deadline) -> Option<FileLock> {
        let wait = self.settings.lock_wait.min(deadline.left());
        FileLock::acquire(&self.engine.lock_path(), Deadline::after(wait)).ok()
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
