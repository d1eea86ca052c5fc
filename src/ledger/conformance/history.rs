//! What an engine has to tell of its history, if it tells of any.

use super::{Case, JOBS, Pair, document, follow, found};
use crate::ledger::engine::EngineHistory;
use crate::ledger::history::Content;
use crate::ledger::vocabulary::{Reached, Version};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

pub(super) const CASES: [Case; 4] = [
    ("the last commits are told, the newest first", the_last_commits_are_told),
    ("two versions differ in what was changed between them", two_versions_differ_in_what_was_changed),
    ("what a document said is told, the newest first, each text once", what_a_document_said_is_told),
    ("a walk begins with the first commit and shows what is wanted", a_walk_begins_with_the_first_commit),
];

fn told(pair: &Pair) -> &dyn EngineHistory {
    pair.other.history().expect("it tells of history")
}

/// Four commits: of the first document the texts 1, 2, 2 and 1.
fn four(pair: &mut Pair) -> [Version; 4] {
    let first = found(pair);
    let second = follow(pair, &first, &[(JOBS, "2")], "second");
    let third = follow(pair, &second, &[("coordination/b.json", "b"), ("a/status.json", "s")], "third");
    let fourth = follow(pair, &third, &[(JOBS, "1")], "fourth");
    [first, second, third, fourth]
}

fn the_last_commits_are_told(pair: &mut Pair) {
    let [first, _, _, fourth] = four(pair);
    let mut seen = Vec::new();
    let seen_all = told(pair).last_commits(&fourth, &mut |author, at| {
        seen.push((author.to_owned(), at));
        if seen.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    seen_all.expect("tells");
    assert_eq!(seen, vec![("ada".to_owned(), Some(super::now())); 3]);
    let count = |version: &Version| told(pair).count(version).expect("counts");
    assert_eq!((count(&first), count(&fourth)), (1, 4));
}

fn two_versions_differ_in_what_was_changed(pair: &mut Pair) {
    let [first, second, third, fourth] = four(pair);
    let changed = |before, after| told(pair).changed(before, after).expect("compares");
    assert_eq!(changed(&first, &second), BTreeSet::from([JOBS.to_owned()]));
    assert_eq!(changed(&first, &fourth), BTreeSet::from(["coordination/b.json".to_owned()]));
    assert_eq!(changed(&third, &third), BTreeSet::new());
    let content = |version: &Version, path: &str| told(pair).content(version, path).expect("tells");
    assert_eq!(content(&first, JOBS), content(&fourth, JOBS));
    assert_ne!(content(&first, JOBS), content(&second, JOBS));
    assert_eq!(content(&first, "coordination/b.json"), None);
}

fn what_a_document_said_is_told(pair: &mut Pair) {
    let [_, _, _, fourth] = four(pair);
    let mut seen = Vec::new();
    let mut see = |_: &Version, text: &[u8]| {
        seen.push(String::from_utf8_lossy(text).into_owned());
        ControlFlow::Continue(())
    };
    told(pair).versions("main", &fourth, JOBS, &mut see).expect("tells");
    assert_eq!(seen, ["1", "2"]);
    let is_two = |text: &[u8]| text == b"2";
    let sides = told(pair).sides("main", &fourth, JOBS, &is_two).expect("tells");
    let found: Vec<_> = sides.found.iter().map(|side| side.bytes.as_slice()).collect();
    assert_eq!(found, [b"2"]);
    assert!(document(b"2").is_some() && sides.unseen.is_none());
}

fn a_walk_begins_with_the_first_commit(pair: &mut Pair) {
    let [first, second, _, fourth] = four(pair);
    let mut seen = Vec::new();
    let wants = |path: &str| path.starts_with("coordination/");
    let reached = told(pair).walk(&fourth, &wants, &mut |stride| {
        let paths: Vec<&str> = stride.changed.iter().map(|(path, _)| path.as_str()).collect();
        let before = stride.before(JOBS)?;
        seen.push((stride.told.subject.clone(), paths.join(" "), before, (stride.number, stride.of)));
        assert_eq!(stride.told.version == first, stride.number == 1);
        Ok(())
    });
    assert_eq!(reached.expect("walks"), Reached::Beginning);
    let file = |text: &str| Content::File(text.as_bytes().to_vec());
    assert_eq!(
        seen,
        [
            ("first".to_owned(), JOBS.to_owned(), Content::Missing, (1, 4)),
            ("second".to_owned(), JOBS.to_owned(), file("1"), (2, 4)),
            ("third".to_owned(), "coordination/b.json".to_owned(), file("2"), (3, 4)),
            ("fourth".to_owned(), JOBS.to_owned(), file("2"), (4, 4)),
        ]
    );
    assert!(second != fourth);
}
