//! Several requests in one push: what they see of each other, and what a store is told of them.

use super::super::error::Abort;
use super::super::outcome::Outcome;
use super::super::request::Request;
use super::super::transaction::Transaction;
use super::super::vocabulary::Changed;
use super::{COUNTER, Counting, Fault, LONG, asked, count, ledger, memory, now, op, stored};
use crate::domain::job::Job;
use crate::domain::refusal::Refusal;
use crate::domain::table::{Row as _, Table};
use crate::ledger::Documents as _;
use std::collections::BTreeSet;

fn edit(transaction: &mut Transaction<'_>, edit: impl FnOnce(&mut Table<Job>)) -> Result<u32, Abort> {
    let mut jobs: Table<Job> = transaction.table()?;
    edit(&mut jobs);
    transaction.put_table(&jobs)?;
    Ok(u32::try_from(jobs.rows().len()).expect("a small number"))
}

fn add(transaction: &mut Transaction<'_>, id: &str) -> Result<u32, Abort> {
    let job = Job::new(id.to_owned(), "build".to_owned(), transaction.now());
    edit(transaction, |jobs| jobs.push(job))
}

/// What the last commit was said to change, record by record.
fn told(memory: &super::Memory) -> Vec<Changed> {
    memory.script.borrow().told.last().cloned().unwrap_or_default()
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn a_batch_goes_out_together_and_each_operation_has_its_own_answer() {
    let memory = memory(&[Fault::Lose]);
    let spoil = |transaction: &mut Transaction<'_>| {
        transaction.put_text(COUNTER, "spoiled".to_owned());
        Err(Refusal::NothingReclaimed { jobs: Vec::new() }.into())
    };
    let outcomes = ledger(&memory, LONG).update(&[asked(&count), asked(&spoil), asked(&count)]);
    let outcomes = outcomes.expect("no fault of all");
    let answers: Vec<Option<u32>> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(Outcome::Applied(receipt)) => Some(receipt.answer),
            _ => None,
        })
        .collect();
    assert_eq!(answers, [Some(1), None, Some(2)]);
    assert!(matches!(outcomes[1], Ok(Outcome::Refused(_))));
    assert_eq!((stored(&memory).as_str(), memory.script.borrow().publications), ("2", 2));
}

#[test]
fn a_store_is_told_which_records_a_batch_changed() {
    let memory = memory(&[]);
    let mut ledger = ledger(&memory, LONG);
    let (a, b): (Counting<'_>, Counting<'_>) = (&|one| add(one, "a"), &|one| add(one, "b"));
    let refused: Counting<'_> = &|one| {
        add(one, "c")?;
        Err(Refusal::NothingReclaimed { jobs: Vec::new() }.into())
    };
    let path = || Job::PATH.to_owned();
    drop(ledger.update(&[asked(a), asked(b), asked(refused)]).expect("no fault of all"));
    assert_eq!(told(&memory), [Changed { path: path(), ids: ids(&["a", "b"]), others: false }]);
    let change: Counting<'_> = &|one| {
        edit(one, |jobs| {
            jobs.get_mut("b").expect("it is there").edit(|job| job.branch = Some("x".to_owned()));
        })
    };
    let (add, remove): (Counting<'_>, Counting<'_>) =
        (&|one| add(one, "d"), &|one| edit(one, |jobs| drop(jobs.take(|job| job.id == "d"))));
    drop(ledger.update(&[asked(change), asked(add), asked(remove)]).expect("no fault of all"));
    assert_eq!(told(&memory), [Changed { path: path(), ids: ids(&["b"]), others: false }]);
    drop(ledger.update(&[asked(&count)]).expect("no fault of all"));
    assert_eq!(told(&memory), [], "a document that is no table has no records");
}

#[test]
fn what_one_of_several_wrote_the_next_goes_on_with() {
    let memory = memory(&[]);
    let (a, b): (Counting<'_>, Counting<'_>) = (&|one| add(one, "a"), &|one| add(one, "b"));
    let is_read: Counting<'_> = &|one| {
        // As it would be read again: nothing in it counts as changed.
        let jobs: Table<Job> = one.table()?;
        let is_new = jobs.is_changed() || jobs.rows().any(|job| job.is_changed());
        let text = one.document("main", Job::PATH)?.expect("it is there");
        Ok(u32::from(!is_new && jobs.read_otherwise(text.bytes()).is_none()))
    };
    let outcomes =
        ledger(&memory, LONG).update(&[asked(a), asked(is_read), asked(b)]).expect("no fault of all");
    let answers = outcomes.into_iter().map(|outcome| match outcome {
        Ok(Outcome::Applied(receipt)) => receipt.answer,
        other => panic!("{other:?}"),
    });
    assert_eq!(answers.collect::<Vec<_>>(), [1, 1, 2]);
}

#[test]
fn each_request_has_its_own_time_and_its_own_author() {
    let memory = memory(&[]);
    let later = now().plus(std::time::Duration::from_secs(5));
    let seen = std::cell::RefCell::new(Vec::new());
    let look: Counting<'_> = &|transaction| {
        seen.borrow_mut().push(transaction.now());
        count(transaction)
    };
    let by =
        |author: Option<&str>, now| Request { op: op(), now, author: author.map(str::to_owned), what: look };
    for (requests, author) in [
        (vec![by(Some("a"), later), by(Some("a"), now())], "a"),
        (vec![by(Some("a"), later), by(Some("b"), now())], "test"),
        (vec![by(None, later), by(None, now())], "test"),
    ] {
        seen.borrow_mut().clear();
        drop(ledger(&memory, LONG).update(&requests).expect("no fault of all"));
        assert_eq!(*seen.borrow(), [later, now()]);
        let made = memory.script.borrow().made.last().cloned();
        assert_eq!(made, Some((author.to_owned(), later)), "the commit is as new as the newest of them");
    }
    assert_eq!(stored(&memory), "6");
}

#[test]
fn what_was_asked_for_lately_is_not_asked_for_again() {
    use crate::ledger::Freshness::{AtMost, Now};
    const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
    const NONE: std::time::Duration = std::time::Duration::ZERO;
    let memory = memory(&[]);
    let mut ledger = ledger(&memory, LONG);
    for (freshness, heartbeats, looks) in [
        (AtMost(HOUR), false, 1),
        (AtMost(HOUR), false, 1),
        // The first brought no heartbeats.
        (AtMost(HOUR), true, 2),
        (AtMost(HOUR), true, 2),
        (AtMost(HOUR), false, 2),
        (Now, false, 3),
        (AtMost(HOUR), true, 3),
    ] {
        assert!(ledger.read_as(freshness, heartbeats).is_ok());
        assert_eq!(memory.script.borrow().refreshes, looks, "{freshness:?} {heartbeats}");
    }
    crate::machine::clock::sleep(std::time::Duration::from_millis(2));
    assert!(ledger.read_as(AtMost(NONE), false).is_ok());
    assert_eq!(memory.script.borrow().refreshes, 4);
}
