//! The update loop on a hub in memory that misbehaves on script.

mod batches;
mod looks;
mod records;
mod script;
mod squashed;

use super::error::{Abort, LedgerError};
use super::memory_store::MemoryStore;
use super::outcome::Outcome;
use super::request::Request;
use super::snapshot::Documents as _;
use super::transaction::Transaction;
use super::update::{Ledger, Settings};
use crate::domain::id::OpId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::machine::{Machine, random};
use script::{Fault, Kind, Look, Memory};
use std::time::Duration;

const COUNTER: &str = "coordination/counter";

fn memory(faults: &[Fault]) -> Memory {
    let memory = Memory::default();
    let version = memory.store(None, &[(COUNTER, "0")], "first");
    memory.refs().insert("main".to_owned(), version);
    memory.script.borrow_mut().faults.extend(faults.iter().cloned());
    memory
}

fn ledger(memory: &Memory, budget: Duration) -> Ledger {
    let mut ledger = ledger_on(memory.engine());
    ledger.limit(budget);
    ledger
}

fn ledger_on(engine: MemoryStore) -> Ledger {
    let settings = Settings {
        main: "main".to_owned(),
        author: "test".to_owned(),
        budget: LONG,
        lock_wait: Duration::ZERO,
        dry_run: false,
        founding: false,
    };
    Ledger::new(Box::new(engine), settings, Machine::real())
}

fn now() -> Timestamp {
    Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
}

fn counter(transaction: &Transaction<'_>) -> Result<u32, Abort> {
    let document = transaction.document("main", COUNTER)?.unwrap_or_default();
    let bytes = document.bytes();
    Ok(String::from_utf8_lossy(bytes).parse().unwrap_or(0))
}

/// Counts one up and answers the new number.
fn count(transaction: &mut Transaction<'_>) -> Result<u32, Abort> {
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
type Counting<'a> = &'a dyn Fn(&mut Transaction<'_>) -> Result<u32, Abort>;

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
            .commits_to(tip.as_ref())
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
        move |transaction: &mut Transaction<'_>| -> Result<u32, Abort> {
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
    let (_, newest) = memory.commits_to(memory.tip("main").as_ref()).remove(0);
    assert!(
        newest.message.starts_with("count\n\nMuster-Job: job_1 Muster-Op: forged\n"),
        "{}",
        newest.message
    );
}

/// Counts one up with a beat on another branch.
fn count_and_beat(transaction: &mut Transaction<'_>) -> Result<u32, Abort> {
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
