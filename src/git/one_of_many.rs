//! Fifty requests in one push, some of which need what cannot be used: they alone do not happen.

use super::objects::init_bare;
use super::open::{OpenOptions, open};
use crate::domain::id::OpId;
use crate::domain::job::Job;
use crate::domain::json::DOCUMENT_BYTES_MAX;
use crate::domain::message::Message;
use crate::domain::refusal::{Action, Refusal};
use crate::domain::table::{Row as _, Table};
use crate::domain::time::Timestamp;
use crate::ledger::Location;
use crate::ledger::{
    Abort, Documents as _, Freshness, Ledger, LedgerError, Outcome, Request, RequestResult, Settings,
    StoreCause, Transaction,
};
use crate::machine::random;
use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Repository};
use std::path::Path;
use std::time::Duration;

/// How many go together, and which of them need what cannot be used.
const MANY: usize = 50;
const ODD: [usize; 3] = [0, 17, MANY - 1];

const ARCHIVE: &str = "coordination/archive/jobs-2025-10.json";

type What<'a> = Box<dyn Fn(&mut Transaction<'_>) -> Result<(), Abort> + 'a>;

fn now() -> Timestamp {
    Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
}

fn op() -> OpId {
    OpId::new(&random::id()).expect("an id")
}

fn open_at(folder: &Path) -> Ledger {
    let settings = Settings {
        main: "main".to_owned(),
        author: "ada".to_owned(),
        budget: Duration::from_secs(60),
        lock_wait: Duration::ZERO,
        dry_run: false,
        founding: true,
    };
    open(OpenOptions { location: Location::Path(folder.to_owned()), clone: None, settings }).expect("opens")
}

/// Puts a file on the main branch, as somebody who writes by hand.
fn put_by_hand(folder: &Path, path: &str, bytes: &[u8]) -> Oid {
    let repository = Repository::open_bare(folder).expect("opens");
    let tip = repository.find_reference("refs/heads/main").and_then(|main| main.peel_to_commit());
    let tip = tip.expect("a commit");
    let blob = repository.blob(bytes).expect("writes");
    let mut update = TreeUpdateBuilder::new();
    update.upsert(path, blob, FileMode::Blob);
    let tree = update.create_updated(&repository, &tip.tree().expect("a tree")).expect("writes");
    let tree = repository.find_tree(tree).expect("a tree");
    let bob = git2::Signature::new("bob", "bob", &git2::Time::new(1, 0)).expect("a name");
    repository.commit(Some("refs/heads/main"), &bob, &bob, "by hand", &tree, &[&tip]).expect("writes");
    blob
}

/// A hub with one job, and with `bytes` at `path`, which its disk has lost if it `is_lost`.
fn hub(path: &str, bytes: &[u8], is_lost: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    init_bare(folder.path(), "main").expect("a repository");
    let founded = open_at(folder.path()).update_one(op(), now(), |transaction| add(transaction, "first"));
    assert!(matches!(founded, Ok(Outcome::Applied(_))), "{founded:?}");
    let blob = put_by_hand(folder.path(), path, bytes).to_string();
    if is_lost {
        let (first, rest) = blob.split_at(2);
        std::fs::remove_file(folder.path().join("objects").join(first).join(rest)).expect("it is there");
    }
    folder
}

fn add(transaction: &mut Transaction<'_>, id: &str) -> Result<(), Abort> {
    let mut jobs: Table<Job> = transaction.table()?;
    jobs.push(Job::new(id.to_owned(), "build".to_owned(), transaction.now()));
    transaction.put_table(&jobs)?;
    transaction.describe(format!("job add: {id}"));
    Ok(())
}

fn update(folder: &Path, odd: impl Fn(&mut Transaction<'_>) -> Result<(), Abort>) -> Vec<RequestResult<()>> {
    let odd = &odd;
    let what = |number: usize| -> What<'_> {
        if ODD.contains(&number) {
            return Box::new(move |transaction| {
                // What it did before it met what cannot be used is taken back.
                add(transaction, "odd")?;
                odd(transaction)
            });
        }
        Box::new(move |transaction| add(transaction, &format!("job-{number}")))
    };
    let request = |number| Request { op: op(), now: now(), author: None, what: what(number) };
    open_at(folder).update(&(0..MANY).map(request).collect::<Vec<_>>()).expect("no fault of all")
}

#[test]
fn what_cannot_be_used_stops_those_that_need_it_and_no_other() {
    type Odd = fn(&mut Transaction<'_>) -> Result<(), Abort>;
    let messages: Odd = |transaction| transaction.table::<Message>().map(drop);
    let archive: Odd = |transaction| transaction.table_at::<Job>(ARCHIVE).map(drop);
    let record: Odd = |transaction| {
        let trouble = transaction.table_at::<Job>(ARCHIVE)?.trouble_with("seven");
        trouble.map_or(Ok(()), |trouble| Err(trouble.refusal(Action::Show, "seven").into()))
    };
    // Written without a look at what stands there.
    let blind: Odd = |transaction| {
        transaction.put_text(Message::PATH, "{}".to_owned());
        Ok(())
    };
    let large = vec![b' '; DOCUMENT_BYTES_MAX + 1];
    let broken_record = br#"{"jobs": [{"id": "six"}, {"id": "seven", "attempt": {}, "token": "x"}]}"#;
    for (case, path, bytes, is_lost, odd, expected) in [
        ("conflict markers", Message::PATH, &b"<<<<<<< a\n"[..], false, messages, "document"),
        ("too large", Message::PATH, &large, false, messages, "document"),
        ("too large, and replaced unseen", Message::PATH, &large, false, blind, "document"),
        ("a damaged archive", ARCHIVE, b"{\"jobs\": []}", true, archive, "damaged"),
        ("a broken record", ARCHIVE, broken_record, false, record, "refused"),
    ] {
        let folder = hub(path, bytes, is_lost);
        let outcomes = update(folder.path(), odd);
        assert_eq!(outcomes.len(), MANY, "{case}");
        for (number, outcome) in outcomes.iter().enumerate() {
            let told = match outcome {
                Ok(Outcome::Applied(_)) => "applied",
                Ok(Outcome::Refused(_)) => "refused",
                Err(LedgerError::Document(_)) => "document",
                Err(LedgerError::Store { cause: StoreCause::Damaged, .. }) => "damaged",
                _ => "something else",
            };
            let expected = if ODD.contains(&number) { expected } else { "applied" };
            assert_eq!(told, expected, "{case}, {number}: {outcome:?}");
        }
        let mut ledger = open_at(folder.path());
        let jobs: Table<Job> = ledger.read(false).expect("reads").table().expect("reads");
        let ids: Vec<&str> = jobs.rows().map(|job| job.id.as_str()).collect();
        assert_eq!(ids.len(), 1 + MANY - ODD.len(), "{case}");
        assert!(!ids.contains(&"odd") && ids.first() == Some(&"first"), "{case}");
    }
}

#[test]
fn a_request_alone_meets_the_fault_that_it_meets_among_others() {
    let folder = hub(ARCHIVE, b"{\"jobs\": []}", true);
    let alone = open_at(folder.path())
        .update_one(op(), now(), |transaction| transaction.table_at::<Job>(ARCHIVE).map(drop));
    assert!(matches!(alone, Err(LedgerError::Store { cause: StoreCause::Damaged, .. })), "{alone:?}");
    let folder = hub(Message::PATH, b"<<<<<<< a\n", false);
    let refused = update(folder.path(), |_| Err(Refusal::NothingReclaimed { jobs: Vec::new() }.into()));
    assert!(matches!(refused.first(), Some(Ok(Outcome::Refused(_)))), "{refused:?}");
}

/// One thread reads what was there when it was asked for, another writes meanwhile.
#[test]
fn a_snapshot_is_read_by_another_thread_while_its_ledger_writes() {
    let folder = hub(ARCHIVE, b"{\"jobs\": []}", false);
    let mut ledger = open_at(folder.path());
    let snapshot = ledger.read_owned(Freshness::Now, false).expect("reads");
    let ids = |jobs: Table<Job>| jobs.rows().map(|job| job.id.clone()).collect::<Vec<_>>();
    let (begin, begun) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let documents = snapshot.documents();
        begin.send(()).expect("the other waits");
        (0..20).map(|_| documents.table().map_err(|error| error.to_string())).collect::<Result<Vec<_>, _>>()
    });
    begun.recv().expect("the other began");
    for number in 0..5 {
        let written =
            ledger.update_one(op(), now(), |transaction| add(transaction, &format!("later-{number}")));
        assert!(matches!(written, Ok(Outcome::Applied(_))), "{written:?}");
    }
    for table in reader.join().expect("it ends").expect("it can be read") {
        assert_eq!(ids(table), ["first"]);
    }
    let present = ledger.read_owned(Freshness::Now, false).expect("reads");
    assert_eq!(ids(present.documents().table().expect("reads")).len(), 6);
}
