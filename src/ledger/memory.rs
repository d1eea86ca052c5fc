//! The update loop on a hub in memory that misbehaves on script.

mod batches;
mod looks;
mod squashed;

use super::causes::StoreCause;
use super::document::Document;
use super::error::{LedgerError, Stop};
use super::far_side::{Cause, Reason};
use super::memory_hub::{Files, Refs, Stored};
use super::memory_store::{Fate, MemoryStore, Misfortune, Seen, SharedHub};
use super::outcome::Outcome;
use super::request::Request;
use super::snapshot::Documents as _;
use super::transaction::Transaction;
use super::update::{Ledger, Settings};
use super::vocabulary::{Changed, Commit, Move, Publication, Scope, Version};
use crate::domain::id::OpId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::machine::clock::{self, Deadline};
use crate::machine::{Machine, random};
use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What happens to the next publication.
#[derive(Debug, Clone)]
enum Fault {
    /// Somebody else is faster.
    Lose,
    /// Another process lands the same operation, with the same beat, in a commit unlike ours.
    Forestall,
    /// A ref is locked.
    Busy,
    /// A rule of the hub.
    Deny,
    /// The words of a refusal of a push that had begun; it is not applied.
    Doubt,
    /// The same, and it is applied.
    DoubtAndApply,
    /// The hub is not reached.
    Cut,
    /// It is applied and the answer is lost.
    LoseAnswer,
    /// It is applied and the answer is lost, and the transport asks once more by itself.
    Repeat,
    /// It is not applied and nobody knows.
    Vanish,
    /// It is applied, but only after the next look at the hub.
    Delay,
    /// It is applied and the answer is lost; the next look finds an old state, and right after what
    /// was sent was looked for, another process of this host brings our copy up to date.
    LoseAnswerAndLookTooEarly,
}

/// What kind of hub it is.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    /// On this disk: what is known is what it has.
    is_on_this_disk: bool,
    /// Over a transport that never asks twice.
    is_honest: bool,
}

/// What comes of a look at the hub.
#[derive(Debug, Clone, Copy)]
enum Look {
    /// What the hub has is known.
    Sees,
    /// It is not reached.
    Cut,
    /// It does not answer until the time is up.
    Hang,
    /// It refuses.
    Deny,
    /// Another process of this host begins our copy anew right after it.
    Forget,
}

/// What happens to the handles on a hub, as a test wrote it down, and what was seen of them.
#[derive(Default)]
struct Script {
    faults: VecDeque<Fault>,
    delayed: Vec<Move>,
    publications: u32,
    refreshes: u32,
    looks_too_early: bool,
    /// How many commits of the history are here, if not all.
    reach: Option<usize>,
    kind: Kind,
    /// What comes of the next looks at the hub.
    looks: VecDeque<Look>,
    reads: u32,
    /// How many of the next readings find our copy damaged, and how often it was begun anew.
    damaged: u32,
    healings: u32,
    /// What each look asked for, and how long the pushes were given.
    scopes: Vec<Scope>,
    push_times: Vec<Duration>,
    settled: u32,
    /// Of each commit of ours which records it changed, by whom it was made, and when.
    told: Vec<Vec<Changed>>,
    made: Vec<(String, Timestamp)>,
}

/// A hub in memory that misbehaves on script.
#[derive(Clone, Default)]
struct Memory {
    hub: SharedHub,
    script: Rc<RefCell<Script>>,
}

impl Memory {
    fn engine(&self) -> MemoryStore {
        let is_here = self.script.borrow().kind.is_on_this_disk;
        let store = if is_here { MemoryStore::on_this_disk } else { MemoryStore::remote };
        store(&self.hub).with(Rc::new(self.clone()))
    }

    fn store(&self, parent: Option<Version>, files: &[(&str, &str)], message: &str) -> Version {
        let document =
            |(path, text): &(&str, &str)| ((*path).into(), Arc::new(Document::new(text.as_bytes().to_vec())));
        let files: Files = files.iter().map(document).collect();
        self.hub.borrow_mut().store(parent, Arc::new(files), message.into(), None)
    }

    fn refs(&self) -> RefMut<'_, Refs> {
        RefMut::map(self.hub.borrow_mut(), |hub| Arc::make_mut(&mut hub.refs))
    }

    fn tip(&self, branch: &str) -> Option<Version> {
        self.hub.borrow().refs.get(branch).cloned()
    }

    /// A commit like that at `tip`, with one document more, on `parent`.
    fn beside(&self, tip: &Version, parent: Option<Version>, message: &str) -> Version {
        let mut files = Files::clone(&self.hub.borrow().files(Some(tip)));
        files.insert("other".into(), Arc::new(Document::new(random::id().into_bytes())));
        self.hub.borrow_mut().store(parent, Arc::new(files), message.into(), None)
    }

    /// Another writer counts one up in a document of its own.
    fn somebody_else_writes(&self) {
        let tip = self.tip("main").expect("a hub");
        let version = self.beside(&tip, Some(tip.clone()), "other");
        self.refs().insert("main".to_owned(), version);
    }

    /// Somebody else wrote a moment ago.
    fn crowd(&self) {
        let tip = self.tip("main").expect("a hub");
        let files = self.hub.borrow().files(Some(&tip));
        let made = Some(("another".into(), now()));
        let version = self.hub.borrow_mut().store(Some(tip), files, "another".into(), made);
        self.refs().insert("main".to_owned(), version);
    }

    /// What another version of the program makes of the operation of `moves`.
    fn forestall(&self, moves: &[Move]) {
        let [first, ..] = moves else { return };
        let ours = self.hub.borrow().commits[&first.to].clone();
        let twin = self.beside(&first.to, ours.parent, &ours.message);
        let mut refs = self.refs();
        refs.extend(moves.iter().map(|one| (one.branch.clone(), one.to.clone())));
        refs.insert(first.branch.clone(), twin);
    }

    fn commits_to(&self, tip: Option<Version>) -> Vec<(Version, Stored)> {
        let hub = self.hub.borrow();
        hub.history(tip.as_ref()).map(|(version, stored)| (version.clone(), stored.clone())).collect()
    }
}

impl Misfortune for Memory {
    fn look(&self, scope: &Scope, deadline: &Deadline) -> Result<Seen, LedgerError> {
        let hub = || "memory".to_owned();
        let look = {
            let mut script = self.script.borrow_mut();
            script.refreshes += 1;
            script.scopes.push(scope.clone());
            script.looks.pop_front().unwrap_or(Look::Sees)
        };
        match look {
            Look::Sees if self.script.borrow().looks_too_early => Ok(Seen::Nothing),
            Look::Sees => Ok(Seen::Now),
            Look::Forget => Ok(Seen::Lost),
            Look::Deny => Err(LedgerError::Denied { hub: hub(), why: Reason::of(Cause::MayNotRead, "away") }),
            Look::Cut | Look::Hang => {
                clock::sleep(if matches!(look, Look::Hang) { deadline.left() } else { Duration::ZERO });
                Err(LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Network, "cut") })
            }
        }
    }
    fn after_look(&self) {
        let delayed = std::mem::take(&mut self.script.borrow_mut().delayed);
        for late in delayed {
            self.hub.borrow_mut().swap(&[late]);
        }
    }
    fn push(&self, moves: &[Move], deadline: &Deadline) -> Fate {
        let mut script = self.script.borrow_mut();
        script.publications += 1;
        script.push_times.push(deadline.left());
        let doubt = || Publication::Doubted(Reason::of(Cause::Hook, "aborted by hook"));
        match script.faults.pop_front() {
            None => Fate::Arrives,
            Some(Fault::Lose) => {
                self.somebody_else_writes();
                Fate::Arrives
            }
            Some(Fault::Forestall) => {
                self.forestall(moves);
                Fate::Arrives
            }
            Some(Fault::Busy) => Fate::Never(Publication::Busy(None)),
            Some(Fault::Deny) => Fate::Never(Publication::Denied(Reason::of(Cause::Protected, "protected"))),
            Some(Fault::Doubt) => Fate::Never(doubt()),
            Some(Fault::DoubtAndApply) => Fate::ArrivesBut(doubt()),
            Some(Fault::Cut) => Fate::Never(Publication::Unreachable(Reason::of(Cause::Network, "cut"))),
            Some(Fault::Vanish) => Fate::Never(Publication::Unknown("vanished".to_owned())),
            Some(Fault::Delay) => {
                script.delayed.extend(moves.iter().cloned());
                Fate::Never(Publication::Unknown("delayed".to_owned()))
            }
            Some(fault @ (Fault::LoseAnswer | Fault::LoseAnswerAndLookTooEarly)) => {
                script.looks_too_early = matches!(fault, Fault::LoseAnswerAndLookTooEarly);
                Fate::ArrivesBut(Publication::Unknown("the answer is lost".to_owned()))
            }
            Some(Fault::Repeat) => Fate::ArrivesBut(Publication::Stale),
        }
    }
    fn read(&self) -> Result<(), LedgerError> {
        let mut script = self.script.borrow_mut();
        script.reads += 1;
        if script.damaged == 0 {
            return Ok(());
        }
        script.damaged -= 1;
        let (what, why) = ("cannot read".to_owned(), "damaged".to_owned());
        Err(LedgerError::Store { what, why, cause: StoreCause::Damaged })
    }
    fn commit(&self, commit: &Commit<'_>) {
        let mut script = self.script.borrow_mut();
        script.told.push(commit.records.to_vec());
        script.made.push((commit.author.to_owned(), commit.at));
    }
    fn reach(&self) -> usize {
        self.script.borrow().reach.unwrap_or(usize::MAX)
    }
    fn is_brought_up_to_date(&self) -> bool {
        std::mem::take(&mut self.script.borrow_mut().looks_too_early)
    }
    fn repeats(&self) -> bool {
        !self.script.borrow().kind.is_honest
    }
    fn heal(&self) {
        self.script.borrow_mut().healings += 1;
    }
    fn settle(&self) -> Option<String> {
        self.script.borrow_mut().settled += 1;
        Some("the clone follows".to_owned())
    }
}

const COUNTER: &str = "coordination/counter";

fn memory(faults: &[Fault]) -> Memory {
    let memory = Memory::default();
    let version = memory.store(None, &[(COUNTER, "0")], "first");
    memory.refs().insert("main".to_owned(), version);
    memory.script.borrow_mut().faults.extend(faults.iter().cloned());
    memory
}

fn ledger(memory: &Memory, budget: Duration) -> Ledger {
    let settings = Settings {
        main: "main".to_owned(),
        author: "test".to_owned(),
        budget,
        lock_wait: Duration::ZERO,
        dry_run: false,
        founding: false,
    };
    Ledger::new(Box::new(memory.engine()), settings, Machine::real())
}

fn now() -> Timestamp {
    Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
}

fn counter(transaction: &Transaction<'_>) -> Result<u32, Stop> {
    let document = transaction.document("main", COUNTER)?.unwrap_or_default();
    let bytes = document.bytes();
    Ok(String::from_utf8_lossy(bytes).parse().unwrap_or(0))
}

/// Counts one up and answers the new number.
fn count(transaction: &mut Transaction<'_>) -> Result<u32, Stop> {
    let next = counter(transaction)? + 1;
    transaction.put_text(COUNTER, next.to_string());
    transaction.describe("count");
    Ok(next)
}

fn stored(memory: &Memory) -> String {
    let hub = memory.hub.borrow();
    let document = hub.file(&hub.refs["main"], COUNTER).expect("a counter");
    String::from_utf8_lossy(document.bytes()).into_owned()
}

fn op() -> OpId {
    OpId::new(&random::id()).expect("an id")
}

/// An operation that answers a number, written down on the spot.
type Counting<'a> = &'a dyn Fn(&mut Transaction<'_>) -> Result<u32, Stop>;

fn asked(what: Counting<'_>) -> Request<Counting<'_>> {
    Request { op: op(), now: now(), author: None, what }
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);

#[test]
fn whatever_the_hub_does_an_applied_operation_has_one_effect() {
    use Fault::{Busy, Cut, Delay, Lose, LoseAnswer, LoseAnswerAndLookTooEarly, Repeat, Vanish};
    for faults in [
        &[][..],
        &[Lose],
        &[Lose, Lose, Busy],
        &[LoseAnswer],
        &[Repeat],
        &[Lose, Repeat, Busy],
        &[Lose, LoseAnswer],
        &[Vanish],
        &[Vanish, Vanish, Lose],
        &[Delay],
        &[Delay, Delay],
        &[Vanish, LoseAnswer],
        &[Cut, Cut, Lose],
        &[Delay, Cut, LoseAnswer],
        &[LoseAnswerAndLookTooEarly],
    ] {
        let memory = memory(faults);
        let outcome = ledger(&memory, LONG).update_one(op(), now(), count).expect("no fault");
        let Outcome::Applied(receipt) = outcome else { panic!("{faults:?}: {outcome:?}") };
        assert_eq!((receipt.answer, stored(&memory).as_str()), (1, "1"), "{faults:?}");
        let tip = memory.tip("main");
        let carrying = memory
            .commits_to(tip)
            .iter()
            .filter(|(_, one)| one.message.contains(receipt.op.as_str()))
            .count();
        assert_eq!(carrying, 1, "{faults:?}");
    }
}

#[test]
fn what_may_lie_behind_the_end_of_a_shallow_clone_does_not_happen_again() {
    let memory = memory(&[]);
    let once = |transaction: &mut Transaction<'_>| {
        if transaction.has_happened(None)? { Ok(0) } else { count(transaction) }
    };
    let mut ledger = ledger(&memory, LONG);
    let (first, second) = (op(), op());
    for op in [&first, &second] {
        assert!(matches!(ledger.update_one(op.clone(), now(), once), Ok(Outcome::Applied(_))));
    }
    memory.script.borrow_mut().reach = Some(1);
    let untold = ledger.update_one(first.clone(), now(), once);
    assert!(matches!(untold, Err(LedgerError::Untold { .. })), "{untold:?}");
    assert!(matches!(ledger.find(&first, None), Err(LedgerError::Untold { .. })));
    assert!(matches!(ledger.find(&second, None), Ok(Some(_))));
    let seen = ledger.update_one(second, now(), once).expect("no fault");
    assert!(matches!(seen, Outcome::Applied(ref receipt) if receipt.answer == 0), "{seen:?}");
    assert_eq!(stored(&memory), "2");
}

#[test]
fn a_rule_of_the_hub_is_final_and_never_tried_again() {
    let memory = memory(&[Fault::Deny]);
    let denied = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(denied, Err(LedgerError::Denied { .. })), "{denied:?}");
    assert_eq!((memory.script.borrow().publications, stored(&memory).as_str()), (1, "0"));
}

#[test]
fn after_an_unknown_outcome_no_fault_claims_that_nothing_was_written() {
    for second in [Fault::Deny, Fault::Cut] {
        let faults = [vec![Fault::Vanish], vec![second.clone(); 100]].concat();
        let outcome = ledger(&memory(&faults), SHORT).update_one(op(), now(), count).expect("no fault");
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{second:?}: {outcome:?}");
    }
}

#[test]
fn a_hub_out_of_reach_is_tried_a_few_times_only() {
    let memory = memory(&vec![Fault::Cut; 100]);
    let cut = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(cut, Err(LedgerError::Unreachable { .. })), "{cut:?}");
    assert!(memory.script.borrow().publications < 10);
}

#[test]
fn losing_until_the_time_is_up_is_contention_and_writes_nothing() {
    let memory = memory(&vec![Fault::Lose; 1000]);
    let outcome = ledger(&memory, SHORT).update_one(op(), now(), count).expect("no fault");
    assert!(matches!(outcome, Outcome::Contended { attempts: 1.., .. }), "{outcome:?}");
    assert_eq!(stored(&memory), "0");
}

#[test]
fn what_nobody_can_tell_until_the_time_is_up_stays_unknown() {
    let memory = memory(&vec![Fault::Vanish; 1000]);
    let outcome = ledger(&memory, SHORT).update_one(op(), now(), count).expect("no fault");
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
}

#[test]
fn a_no_on_old_documents_is_asked_again_on_fresh_ones() {
    let memory = memory(&[]);
    let mut ledger = ledger(&memory, LONG);
    let only_if_two = |transaction: &mut Transaction<'_>| {
        if counter(transaction)? < 2 {
            return Err(Refusal::NothingReclaimed { jobs: Vec::new() }.into());
        }
        count(transaction)
    };
    assert!(matches!(ledger.update_one(op(), now(), count), Ok(Outcome::Applied(_))));
    // Behind this ledger's back the counter goes on; what it knows still says one.
    let mut other = self::ledger(&memory, LONG);
    assert!(matches!(other.update_one(op(), now(), count), Ok(Outcome::Applied(_))));
    let outcome = ledger.update_one(op(), now(), only_if_two).expect("no fault");
    assert!(matches!(outcome, Outcome::Applied(ref receipt) if receipt.answer == 3), "{outcome:?}");
}

#[test]
fn a_known_tip_is_written_upon_without_asking_first() {
    let memory = memory(&[]);
    let mut ledger = ledger(&memory, LONG);
    for _ in 0..5 {
        assert!(matches!(ledger.update_one(op(), now(), count), Ok(Outcome::Applied(_))));
    }
    let script = memory.script.borrow();
    assert_eq!((script.refreshes, script.publications), (1, 5));
}

#[test]
fn what_nobody_could_read_again_is_not_written() {
    use crate::domain::json::DOCUMENT_BYTES_MAX;
    let memory = memory(&[]);
    let grow = |bytes: usize| {
        move |transaction: &mut Transaction<'_>| -> Result<u32, Stop> {
            transaction.put_text("coordination/large", "x".repeat(bytes));
            Ok(0)
        }
    };
    let (large, small) = (grow(DOCUMENT_BYTES_MAX + 1), grow(DOCUMENT_BYTES_MAX));
    let outcomes = ledger(&memory, LONG).update(&[asked(&large), asked(&small)]).expect("no fault of all");
    assert!(
        matches!(outcomes.as_slice(), [Ok(Outcome::Refused(_)), Ok(Outcome::Applied(_))]),
        "{outcomes:?}"
    );
}

#[test]
fn an_id_with_a_line_break_makes_no_trailer_of_its_own() {
    let memory = memory(&[]);
    let forge = |transaction: &mut Transaction<'_>| {
        transaction.trailer("Muster-Job", "job_1\nMuster-Op: forged");
        count(transaction)
    };
    assert!(matches!(ledger(&memory, LONG).update_one(op(), now(), forge), Ok(Outcome::Applied(_))));
    let (_, newest) = memory.commits_to(memory.tip("main")).remove(0);
    assert!(
        newest.message.starts_with("count\n\nMuster-Job: job_1 Muster-Op: forged\n"),
        "{}",
        newest.message
    );
}

/// Counts one up with a beat on another branch.
fn count_and_beat(transaction: &mut Transaction<'_>) -> Result<u32, Stop> {
    let record = crate::domain::record::Record::new(serde_json::json!({"beat": 1}), 0);
    transaction.put_record_on("heartbeat-x", "x/heartbeat.json", &record)?;
    count(transaction)
}

#[test]
fn a_beat_is_no_proof_of_what_it_went_along_with() {
    for is_honest in [true, false] {
        let memory = memory(&[Fault::Forestall]);
        memory.script.borrow_mut().kind.is_honest = is_honest;
        let resumed = |transaction: &mut Transaction<'_>| {
            if transaction.has_happened(None)? { Ok(0) } else { count_and_beat(transaction) }
        };
        let outcome = ledger(&memory, LONG).update_one(op(), now(), resumed).expect("no fault");
        let Outcome::Applied(receipt) = outcome else { panic!("{outcome:?}") };
        assert_eq!((receipt.answer, receipt.version, stored(&memory).as_str()), (0, None, "1"));
    }
}

#[test]
fn two_branches_move_together_or_not_at_all() {
    let memory = memory(&[Fault::Lose]);
    let outcome = ledger(&memory, LONG).update_one(op(), now(), count_and_beat).expect("no fault");
    let Outcome::Applied(receipt) = outcome else { panic!("{outcome:?}") };
    assert!(memory.hub.borrow().refs.contains_key("heartbeat-x"));
    assert_eq!(receipt.version.as_ref(), memory.hub.borrow().refs.get("main"));
}

#[test]
fn an_unchanged_document_makes_no_commit() {
    let memory = memory(&[]);
    let same = |transaction: &mut Transaction<'_>| {
        transaction.put_text(COUNTER, "0".to_owned());
        Ok(())
    };
    let outcome = ledger(&memory, LONG).update_one(op(), now(), same).expect("no fault");
    assert!(matches!(outcome, Outcome::Applied(ref receipt) if receipt.version.is_none()));
    assert_eq!(memory.script.borrow().publications, 0);
}

#[test]
fn a_branch_that_is_no_hub_is_refused() {
    let memory = Memory::default();
    let version = memory.store(None, &[("README", "")], "source");
    memory.refs().insert("main".to_owned(), version);
    let refused = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(refused, Err(LedgerError::NotAHub { .. })), "{refused:?}");
    memory.refs().clear();
    let refused = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(refused, Err(LedgerError::NoBranch { .. })), "{refused:?}");
}

/// Another process replaces a damaged copy, or somebody removes it, between the look and the question.
#[test]
fn whether_an_operation_happened_is_asked_of_what_was_looked_at() {
    let memory = memory(&[]);
    let op = op();
    let applied = ledger(&memory, LONG).update_one(op.clone(), now(), count);
    assert!(matches!(applied, Ok(Outcome::Applied(_))));
    let engine = memory.engine();
    engine.see();
    let snapshot = super::Snapshot::new(&engine, "main");
    assert!(snapshot.tip("main").expect("a store in memory").is_some());
    engine.forget();
    assert!(snapshot.holds(&op, None).expect("a store in memory"));
}
