//! An engine that keeps each record under a key of its own could do with what it is told of a commit.

use super::super::error::Abort;
use super::super::memory_store::{MemoryStore, Misfortune};
use super::super::outcome::Outcome;
use super::super::transaction::Transaction;
use super::super::vocabulary::Commit;
use super::{Counting, Memory, asked, ledger_on, memory};
use crate::domain::job::Job;
use crate::domain::refusal::Refusal;
use crate::domain::table::{Row as _, Table};
use crate::ledger::Documents as _;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The texts of records by their ids.
type Keys = BTreeMap<String, String>;

/// Keeps jobs by key and writes those alone of which it is told.
#[derive(Default)]
struct ByKey {
    keys: RefCell<Keys>,
    written: Cell<usize>,
}

impl Misfortune for ByKey {
    fn commit(&self, commit: &Commit<'_>) {
        let told = commit.records.iter().find(|told| told.path == Job::PATH).expect("jobs are changed");
        let document = commit.changes.get(Job::PATH).and_then(Option::as_ref).expect("with their document");
        let now = records(document.bytes());
        let mut keys = self.keys.borrow_mut();
        assert!(!told.others, "no more than records was changed");
        self.written.set(self.written.get() + told.ids.len());
        for id in &told.ids {
            match now.get(id) {
                Some(text) => drop(keys.insert(id.clone(), text.clone())),
                None => drop(keys.remove(id)),
            }
        }
    }
}

/// The jobs of a document, read by nothing that knows what a table is.
fn records(document: &[u8]) -> Keys {
    let document: Value = serde_json::from_slice(document).expect("JSON");
    let jobs = document["jobs"].as_array().expect("a list").iter();
    jobs.map(|job| (job["id"].as_str().expect("an id").to_owned(), job.to_string())).collect()
}

fn edit(transaction: &mut Transaction<'_>, edit: impl FnOnce(&mut Table<Job>)) -> Result<u32, Abort> {
    let mut jobs: Table<Job> = transaction.table()?;
    edit(&mut jobs);
    transaction.put_table(&jobs)?;
    Ok(0)
}

fn add(transaction: &mut Transaction<'_>, id: &str) -> Result<u32, Abort> {
    let job = Job::new(id.to_owned(), "build".to_owned(), transaction.now());
    edit(transaction, |jobs| jobs.push(job))
}

fn change(transaction: &mut Transaction<'_>, id: &str, branch: &str) -> Result<u32, Abort> {
    edit(transaction, |jobs| {
        jobs.get_mut(id).expect("it is there").edit(|job| job.branch = Some(branch.to_owned()));
    })
}

fn remove(transaction: &mut Transaction<'_>, id: &str) -> Result<u32, Abort> {
    edit(transaction, |jobs| drop(jobs.take(|job| job.id == id)))
}

#[test]
fn records_that_are_written_as_they_are_told_are_those_of_the_document() {
    let Memory { hub, .. } = memory(&[]);
    let by_key = Rc::new(ByKey::default());
    let shared: Rc<dyn Misfortune> = by_key.clone();
    let mut ledger = ledger_on(MemoryStore::on_this_disk(&hub).with(shared));
    let refused: Counting<'_> = &|one| {
        add(one, "never")?;
        Err(Refusal::NothingReclaimed { jobs: Vec::new() }.into())
    };
    let batches: [&[Counting<'_>]; 5] = [
        &[&|one| add(one, "a"), &|one| add(one, "b"), refused],
        &[&|one| add(one, "c"), &|one| change(one, "a", "x")],
        &[&|one| remove(one, "b"), refused],
        // Added and removed again, and changed twice.
        &[&|one| add(one, "d"), &|one| remove(one, "d"), &|one| change(one, "c", "y"), &|one| {
            change(one, "c", "z")
        }],
        &[&|one| change(one, "a", "z"), &|one| add(one, "b")],
    ];
    for (index, batch) in batches.into_iter().enumerate() {
        let requests: Vec<_> = batch.iter().map(|what| asked(*what)).collect();
        let outcomes = ledger.update(&requests).expect("no fault of all");
        assert!(outcomes.iter().any(|one| matches!(one, Ok(Outcome::Applied(_)))), "{outcomes:?}");
        let hub = hub.borrow();
        let document = hub.file(&hub.refs["main"], Job::PATH).expect("jobs");
        assert_eq!(*by_key.keys.borrow(), records(document.bytes()), "after batch {index}");
    }
    assert_eq!(by_key.written.get(), 2 + 2 + 1 + 1 + 2, "and nothing else was written");
}
