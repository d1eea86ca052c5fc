//! What every engine has to do alike, as a table of cases. Each engine runs all of them on two handles on one new
//! hub, as two hosts have it. What an engine cannot do it tells, and whoever runs the cases says what is expected
//! of it: nothing is skipped without a word.

mod history;

use super::document::Document;
use super::engine::Engine;
use super::error::LedgerError;
use super::trailers::along;
use super::vocabulary::{Changes, Commit, Move, Publication, Scope, Search, Version};
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;
use crate::machine::Deadline;
use crate::machine::{Machine, random};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// How long a step may take.
const STEP_TIME_MAX: Duration = Duration::from_secs(30);

const MAIN: &str = "main";
const BEATS: &str = "heartbeat-a";
const JOBS: &str = "coordination/jobs.json";

/// Two handles on one new hub, which is there as long as this is.
pub(crate) struct Pair {
    pub one: Box<dyn Engine>,
    pub other: Box<dyn Engine>,
    /// What must not go before the handles do, such as temporary folders.
    pub _kept: Box<dyn Any>,
}

/// What an engine tells that it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Can {
    /// It tells what was there before.
    pub history: bool,
    /// It gives handles to other threads.
    pub again: bool,
    /// What it knows is what the hub has.
    pub always_fresh: bool,
}

type Case = (&'static str, fn(&mut Pair));

const CASES: [Case; 17] = [
    ("a new hub is empty", a_new_hub_is_empty),
    ("what is built and not published is seen by nobody", what_is_built_is_seen_by_nobody),
    ("what is published is seen by who looks", what_is_published_is_seen),
    ("a move compares", a_move_compares),
    (
        "a branch that is only compared stays, and keeps the others where they are if it moved",
        one_is_only_compared,
    ),
    ("a handle that has not looked loses and learns", a_handle_that_has_not_looked_loses_and_learns),
    ("several branches move all or none", several_branches_move_all_or_none),
    ("a folder is listed by what lies directly in it", a_folder_is_listed),
    ("a document holds any bytes", a_document_holds_any_bytes),
    ("a document that is removed is gone, and its empty folder too", a_document_is_removed),
    ("an operation is found back to where the search ends", an_operation_is_found),
    ("what only goes along shows no operation", what_goes_along_shows_nothing),
    ("a version leads to what follows it alone", a_version_leads_to_what_follows),
    ("a branch may leave its history", a_branch_may_leave_its_history),
    ("a publication of nothing is applied", a_publication_of_nothing_is_applied),
    ("what is said after the deadline is true", what_is_said_after_the_deadline_is_true),
    ("another handle reads the same", another_handle_reads_the_same),
];

/// Runs all cases, each on a new hub.
pub(crate) fn conforms(new: &dyn Fn() -> Pair, expected: Can) {
    let pair = new();
    let again = pair.one.again().expect("it tells").is_some();
    let always_fresh = pair.one.is_always_fresh();
    let told = Can { history: pair.one.history().is_some(), again, always_fresh };
    assert_eq!(told, expected, "what it tells that it can");
    let history = history::CASES.iter().filter(|_| told.history);
    for (name, case) in CASES.iter().chain(history) {
        // The last line before a panic names the case.
        eprintln!("{name}");
        case(&mut new());
    }
}

fn soon() -> Deadline {
    Machine::real().deadline(STEP_TIME_MAX)
}

fn now() -> Timestamp {
    Timestamp::parse("2025-10-29T12:00:00Z").expect("a time")
}

fn op() -> OpId {
    OpId::new(&random::id()).expect("an id")
}

fn document(bytes: &[u8]) -> Option<Arc<Document>> {
    Some(Arc::new(Document::new(bytes.to_vec())))
}

/// Builds a commit that follows on `base`.
fn build(engine: &mut dyn Engine, base: Option<&Version>, files: &[(&str, &str)], message: &str) -> Version {
    let changes = files.iter().map(|(path, text)| ((*path).to_owned(), document(text.as_bytes())));
    commit(engine, (base, true), &changes.collect(), message)
}

fn commit(
    engine: &mut dyn Engine,
    (base, follows): (Option<&Version>, bool),
    changes: &Changes,
    message: &str,
) -> Version {
    let commit = Commit { base, follows, changes, records: &[], message, author: "ada", at: now() };
    engine.commit(&commit).expect("builds")
}

fn to(branch: &str, from: Option<&Version>, to: &Version) -> Move {
    Move { branch: branch.to_owned(), from: from.cloned(), to: to.clone() }
}

fn publish(engine: &mut dyn Engine, moves: &[Move]) -> Publication {
    engine.publish(moves, &soon())
}

/// Asks the hub for all branches of these cases.
fn look(engine: &mut dyn Engine) {
    let warning = engine.refresh(MAIN, &Scope::heartbeats(), &soon()).expect("it is there");
    assert_eq!(warning, None);
}

fn tip(engine: &dyn Engine, branch: &str) -> Option<Version> {
    engine.tip(branch).expect("it tells")
}

fn text(engine: &dyn Engine, version: &Version, path: &str) -> Option<String> {
    let document = engine.read(version, path).expect("reads")?;
    Some(String::from_utf8_lossy(document.bytes()).into_owned())
}

fn is_stale(told: &Publication) -> bool {
    matches!(told, Publication::Stale | Publication::StaleOrRepeated)
}

/// Puts the first commit on the main branch of a hub, and has both see it.
fn found(pair: &mut Pair) -> Version {
    let first = build(&mut *pair.one, None, &[(JOBS, "1")], "first\n\nMuster-Op: none\n");
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, None, &first)]), Publication::Applied);
    look(&mut *pair.other);
    first
}

/// Puts one more commit on the main branch; both see it.
fn follow(pair: &mut Pair, base: &Version, files: &[(&str, &str)], message: &str) -> Version {
    let next = build(&mut *pair.one, Some(base), files, message);
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, Some(base), &next)]), Publication::Applied);
    look(&mut *pair.other);
    next
}

fn a_new_hub_is_empty(pair: &mut Pair) {
    for engine in [&mut pair.one, &mut pair.other] {
        look(&mut **engine);
        assert_eq!(tip(&**engine, MAIN), None);
        assert_eq!(engine.branches("").expect("lists"), [""; 0]);
        assert!(!engine.hub().is_empty());
    }
}

fn what_is_built_is_seen_by_nobody(pair: &mut Pair) {
    let first = build(&mut *pair.one, None, &[(JOBS, "1")], "first");
    look(&mut *pair.other);
    assert_eq!((tip(&*pair.one, MAIN), tip(&*pair.other, MAIN)), (None, None));
    assert_eq!(text(&*pair.one, &first, JOBS).as_deref(), Some("1"), "who built it can read it");
}

fn what_is_published_is_seen(pair: &mut Pair) {
    let first = build(&mut *pair.one, None, &[(JOBS, "1")], "first");
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, None, &first)]), Publication::Applied);
    assert_eq!(tip(&*pair.one, MAIN).as_ref(), Some(&first), "who published it need not look");
    if !pair.other.is_always_fresh() {
        assert_eq!(tip(&*pair.other, MAIN), None, "what nobody looked at is not known");
    }
    look(&mut *pair.other);
    assert_eq!(tip(&*pair.other, MAIN).as_ref(), Some(&first));
    assert_eq!(text(&*pair.other, &first, JOBS).as_deref(), Some("1"));
    assert_eq!(pair.other.branches("").expect("lists"), [MAIN]);
    assert_eq!(pair.other.branches("heartbeat-").expect("lists"), [""; 0]);
}

fn a_move_compares(pair: &mut Pair) {
    let first = found(pair);
    let beside = build(&mut *pair.one, Some(&first), &[(JOBS, "beside")], "beside");
    let next = build(&mut *pair.one, Some(&first), &[(JOBS, "2")], "next");
    for (branch, from) in [(MAIN, None), (MAIN, Some(&beside)), (BEATS, Some(&first))] {
        let told = publish(&mut *pair.one, &[to(branch, from, &next)]);
        assert!(is_stale(&told), "{branch} {from:?}: {told:?}");
        look(&mut *pair.one);
        assert_eq!((tip(&*pair.one, MAIN).as_ref(), tip(&*pair.one, BEATS)), (Some(&first), None));
    }
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, Some(&first), &next)]), Publication::Applied);
}

fn one_is_only_compared(pair: &mut Pair) {
    let first = found(pair);
    let beat = build(&mut *pair.other, None, &[("a/heartbeat.json", "1")], "beat");
    let moves = |main: &Version| [to(BEATS, None, &beat), to(MAIN, Some(main), main)];
    let next = build(&mut *pair.one, Some(&first), &[(JOBS, "2")], "next");
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, Some(&first), &next)]), Publication::Applied);
    let told = publish(&mut *pair.other, &moves(&first));
    assert!(is_stale(&told), "{told:?}");
    look(&mut *pair.other);
    assert_eq!((tip(&*pair.other, MAIN).as_ref(), tip(&*pair.other, BEATS)), (Some(&next), None));
    assert_eq!(publish(&mut *pair.other, &moves(&next)), Publication::Applied);
    look(&mut *pair.one);
    assert_eq!((tip(&*pair.one, MAIN), tip(&*pair.one, BEATS)), (Some(next), Some(beat)));
}

fn a_handle_that_has_not_looked_loses_and_learns(pair: &mut Pair) {
    let first = found(pair);
    let ours = build(&mut *pair.one, Some(&first), &[(JOBS, "ours")], "ours");
    let theirs = build(&mut *pair.other, Some(&first), &[(JOBS, "theirs")], "theirs");
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, Some(&first), &ours)]), Publication::Applied);
    let told = publish(&mut *pair.other, &[to(MAIN, Some(&first), &theirs)]);
    assert!(is_stale(&told), "{told:?}");
    look(&mut *pair.other);
    assert_eq!(tip(&*pair.other, MAIN).as_ref(), Some(&ours));
    let again = build(&mut *pair.other, Some(&ours), &[(JOBS, "theirs")], "theirs");
    assert_eq!(publish(&mut *pair.other, &[to(MAIN, Some(&ours), &again)]), Publication::Applied);
    look(&mut *pair.one);
    assert_eq!(text(&*pair.one, &again, JOBS).as_deref(), Some("theirs"));
}

fn several_branches_move_all_or_none(pair: &mut Pair) {
    let first = found(pair);
    let next = build(&mut *pair.one, Some(&first), &[(JOBS, "2")], "next");
    let beat = build(&mut *pair.one, None, &[("a/heartbeat.json", "1")], "beat");
    for moves in [
        [to(MAIN, Some(&next), &next), to(BEATS, None, &beat)],
        [to(MAIN, Some(&first), &next), to(BEATS, Some(&first), &beat)],
    ] {
        let told = publish(&mut *pair.one, &moves);
        assert!(is_stale(&told), "{told:?}");
        for engine in [&mut pair.one, &mut pair.other] {
            look(&mut **engine);
            assert_eq!((tip(&**engine, MAIN).as_ref(), tip(&**engine, BEATS)), (Some(&first), None));
        }
    }
    let both = [to(MAIN, Some(&first), &next), to(BEATS, None, &beat)];
    assert_eq!(publish(&mut *pair.one, &both), Publication::Applied);
    look(&mut *pair.other);
    let seen = (tip(&*pair.other, MAIN), tip(&*pair.other, BEATS));
    assert_eq!(seen, (Some(next), Some(beat)));
    assert_eq!(pair.other.branches("heartbeat-").expect("lists"), [BEATS]);
}

fn a_folder_is_listed(pair: &mut Pair) {
    let first = found(pair);
    let files =
        [("README", "r"), ("coordination/archive/jobs-1.json", "a"), ("coordination/archive.json", "b")];
    let next = follow(pair, &first, &files, "more");
    let list = |folder: &str| pair.other.list(&next, folder).expect("lists");
    assert_eq!(list(""), ["README", "coordination/"]);
    assert_eq!(list("coordination"), ["archive.json", "archive/", "jobs.json"]);
    assert_eq!(list("coordination/archive"), ["jobs-1.json"]);
    for none in ["coordination/none", "none", "README", "coord"] {
        assert_eq!(list(none), [""; 0], "{none}");
    }
    assert_eq!(text(&*pair.other, &next, "coordination/none"), None);
    assert_eq!(text(&*pair.other, &next, "README/none"), None);
    let folder = pair.other.read(&next, "coordination/archive");
    assert!(
        matches!(&folder, Err(LedgerError::Document(error)) if error.is_no_file()),
        "a folder is no document: {folder:?}"
    );
}

fn a_document_holds_any_bytes(pair: &mut Pair) {
    let first = found(pair);
    let all: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    let texts: [&[u8]; 6] = [b"", b"\0", b"\xff\xfe", b"a\r\nb\r\n", b"no end of line", &all];
    let path = |index: usize| format!("coordination/{index}");
    let changes: Changes =
        texts.iter().enumerate().map(|(index, bytes)| (path(index), document(bytes))).collect();
    let next = commit(&mut *pair.one, (Some(&first), true), &changes, "bytes");
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, Some(&first), &next)]), Publication::Applied);
    look(&mut *pair.other);
    for (index, bytes) in texts.iter().enumerate() {
        let read = pair.other.read(&next, &path(index)).expect("reads").expect("is there");
        assert!(read.bytes() == *bytes, "{index}");
    }
    assert_eq!(text(&*pair.other, &next, JOBS).as_deref(), Some("1"), "what was not changed stays");
}

fn a_document_is_removed(pair: &mut Pair) {
    let first = found(pair);
    let next = follow(pair, &first, &[("coordination/archive/a.json", "a")], "more");
    let changes = Changes::from([("coordination/archive/a.json".to_owned(), None)]);
    let last = commit(&mut *pair.one, (Some(&next), true), &changes, "less");
    assert_eq!(publish(&mut *pair.one, &[to(MAIN, Some(&next), &last)]), Publication::Applied);
    look(&mut *pair.other);
    assert_eq!(text(&*pair.other, &last, "coordination/archive/a.json"), None);
    assert_eq!(pair.other.list(&last, "coordination").expect("lists"), ["jobs.json"]);
    assert!(text(&*pair.other, &next, "coordination/archive/a.json").is_some(), "a version never changes");
}

fn an_operation_is_found(pair: &mut Pair) {
    let first = found(pair);
    let (early, late) = (op(), op());
    let second = follow(pair, &first, &[(JOBS, "2")], &format!("add\n\nMuster-Op: {early}\n"));
    let third = follow(pair, &second, &[(JOBS, "3")], &format!("claim\n\nMuster-Op: {late}\n"));
    let found = |op: &OpId, since: Option<&Version>| match pair.other.find(&third, op, since) {
        Ok(Search::Found(found)) => Some((found.version, found.before, found.subject)),
        Ok(Search::NotThere) => None,
        told => panic!("{told:?}"),
    };
    let (add, claim) = (
        Some((second.clone(), Some(first.clone()), "add".to_owned())),
        Some((third.clone(), Some(second.clone()), "claim".to_owned())),
    );
    for (op, since, expected) in [
        (&early, None, &add),
        (&early, Some(&first), &add),
        (&early, Some(&second), &None),
        (&late, Some(&second), &claim),
        (&late, Some(&third), &None),
        (&op(), None, &None),
    ] {
        assert_eq!(found(op, since), *expected, "{op} since {since:?}");
    }
}

fn what_goes_along_shows_nothing(pair: &mut Pair) {
    found(pair);
    let op = op();
    let message = along(&format!("beat\n\nMuster-Op: {op}\n"), MAIN);
    let beat = build(&mut *pair.one, None, &[("a/heartbeat.json", "1")], &message);
    assert_eq!(publish(&mut *pair.one, &[to(BEATS, None, &beat)]), Publication::Applied);
    look(&mut *pair.other);
    assert_eq!(pair.other.find(&beat, &op, None).expect("searches"), Search::NotThere);
}

fn a_version_leads_to_what_follows(pair: &mut Pair) {
    let first = found(pair);
    let second = follow(pair, &first, &[(JOBS, "2")], "second");
    let third = follow(pair, &second, &[(JOBS, "3")], "third");
    let beside = build(&mut *pair.other, Some(&first), &[(JOBS, "beside")], "beside");
    for (version, tip, expected) in [
        (&first, &third, true),
        (&second, &third, true),
        (&third, &third, true),
        (&third, &first, false),
        (&beside, &third, false),
        (&first, &beside, true),
        (&second, &beside, false),
    ] {
        assert_eq!(pair.other.leads_to(version, tip).expect("tells"), expected, "{version} to {tip}");
    }
}

fn a_branch_may_leave_its_history(pair: &mut Pair) {
    found(pair);
    let beat = build(&mut *pair.one, None, &[("a/heartbeat.json", "1"), ("a/status.json", "s")], "beat");
    assert_eq!(publish(&mut *pair.one, &[to(BEATS, None, &beat)]), Publication::Applied);
    let changes = Changes::from([("a/heartbeat.json".to_owned(), document(b"2"))]);
    let next = commit(&mut *pair.one, (Some(&beat), false), &changes, "beat");
    assert_eq!(publish(&mut *pair.one, &[to(BEATS, Some(&beat), &next)]), Publication::Applied);
    look(&mut *pair.other);
    assert_eq!(tip(&*pair.other, BEATS).as_ref(), Some(&next));
    assert!(!pair.one.leads_to(&beat, &next).expect("tells"));
    let read = |path: &str| text(&*pair.other, &next, path);
    assert_eq!(
        (read("a/heartbeat.json").as_deref(), read("a/status.json").as_deref()),
        (Some("2"), Some("s"))
    );
}

fn a_publication_of_nothing_is_applied(pair: &mut Pair) {
    assert_eq!(publish(&mut *pair.one, &[]), Publication::Applied);
    look(&mut *pair.other);
    assert_eq!(pair.other.branches("").expect("lists"), [""; 0]);
    let first = found(pair);
    assert_eq!(publish(&mut *pair.other, &[]), Publication::Applied);
    look(&mut *pair.one);
    assert_eq!(tip(&*pair.one, MAIN), Some(first));
}

fn what_is_said_after_the_deadline_is_true(pair: &mut Pair) {
    let first = found(pair);
    let late = Machine::real().deadline(Duration::ZERO);
    let next = build(&mut *pair.one, Some(&first), &[(JOBS, "2")], "next");
    let told = pair.one.publish(&[to(MAIN, Some(&first), &next)], &late);
    look(&mut *pair.other);
    let seen = tip(&*pair.other, MAIN);
    match told {
        Publication::Applied => assert_eq!(seen, Some(next)),
        // Then the loop looks for it, and it may land at any time.
        Publication::Unknown(_) | Publication::Doubted(_) => {
            assert!(seen == Some(next) || seen == Some(first));
        }
        no => assert_eq!(seen, Some(first), "{no:?}"),
    }
    match pair.other.refresh(MAIN, &Scope::default(), &late) {
        Ok(_) | Err(LedgerError::Unreachable { .. }) => {}
        other => panic!("{other:?}"),
    }
}

fn another_handle_reads_the_same(pair: &mut Pair) {
    let first = found(pair);
    let Some(again) = pair.one.again().expect("it tells") else { return };
    let here = text(&*again, &first, JOBS);
    let there = std::thread::spawn(move || (tip(&*again, MAIN), text(&*again, &first, JOBS)));
    let (tip_there, text_there) = there.join().expect("reads");
    assert_eq!((tip_there, text_there), (tip(&*pair.one, MAIN), here));
}

mod memory {
    use super::super::memory_store::{MemoryStore, SharedHub};
    use super::{Can, Pair, conforms};

    fn pair(handle: fn(&SharedHub) -> MemoryStore) -> Pair {
        let hub = SharedHub::default();
        Pair { one: Box::new(handle(&hub)), other: Box::new(handle(&hub)), _kept: Box::new(()) }
    }

    #[test]
    fn a_hub_in_memory_conforms() {
        let can = Can { history: true, again: false, always_fresh: false };
        conforms(&|| pair(MemoryStore::remote), can);
        conforms(&|| pair(MemoryStore::on_this_disk), Can { always_fresh: true, ..can });
    }
}
