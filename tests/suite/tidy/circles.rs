//! Which files of one layer use each other in a circle. A module and its own parts count as one.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::Sources;
use super::sources;

/// Files of one layer that use each other in a circle, and why they may: no part of a circle can be read,
/// tested or moved without the rest. One that is opened leaves the list.
const CIRCLES: [(&[&str], &str); 9] = [
    (
        &["src/app/journal.rs", "src/app/submit.rs"],
        "what is kept of an operation is told by where it goes, and it goes when it is kept",
    ),
    (
        &["src/cli/context.rs", "src/cli/gone.rs", "src/cli/servers.rs", "src/cli/stronger.rs"],
        "what several nouns say of a server stands with one of them",
    ),
    (
        &["src/cli/hold.rs", "src/cli/lock.rs"],
        "taking and holding a lock is one protocol, which a flow will have",
    ),
    (
        &["src/cli/output.rs", "src/cli/style.rs"],
        "colors need to know where output goes, and output its colors",
    ),
    (
        &["src/cli/settings.rs", "src/cli/which.rs"],
        "which hub it is depends on settings that are kept for each hub",
    ),
    (
        &["src/domain/import/past.rs", "src/domain/import/record.rs", "src/domain/import/table.rs"],
        "a table of old is read by its records, and they by what it was",
    ),
    (
        &[
            "src/sim/archives.rs",
            "src/sim/check.rs",
            "src/sim/machine.rs",
            "src/sim/store.rs",
            "src/sim/world.rs",
        ],
        "one world: what a host does, what is stored, and what checks both",
    ),
    (
        &["src/worker/dispatcher.rs", "src/worker/place.rs"],
        "the error of a worker stands with its dispatcher",
    ),
    (
        &["src/worker/dispatcher/reporting.rs", "src/worker/dispatcher/tagging.rs"],
        "what was built is told by one and tagged by the other",
    ),
];

/// The circles of files: each uses, through others, itself.
fn circles(sources: &Sources) -> Vec<BTreeSet<String>> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for used in sources.uses().filter(|used| !used.is_reexport) {
        let target = used.leads.last().and_then(|path| sources.file_of(path));
        // A module has its own parts.
        let inside = used.file.trim_end_matches(".rs").trim_end_matches("mod").trim_end_matches('/');
        for target in target.into_iter().filter(|target| !target.starts_with(&format!("{inside}/"))) {
            if target != used.file {
                uses.entry(used.file).or_default().insert(target);
            }
        }
    }
    let reached = |from: &str| {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = vec![from];
        while let Some(file) = open.pop() {
            let next = uses.get(file).into_iter().flatten();
            open.extend(next.filter(|next| found.insert((**next).to_owned())));
        }
        found
    };
    let reach: BTreeMap<&str, BTreeSet<String>> = uses.keys().map(|file| (*file, reached(file))).collect();
    let together = |one: &str, other: &str| {
        reach[one].contains(other) && reach.get(other).is_some_and(|back| back.contains(one))
    };
    let mut found: Vec<BTreeSet<String>> = reach
        .keys()
        .map(|one| reach.keys().filter(|other| together(one, other)).map(|file| (*file).to_owned()).collect())
        .filter(|circle: &BTreeSet<String>| circle.len() > 1)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn files_use_each_other_in_no_circle_but_those_that_are_listed() {
    let found = circles(&Sources::read(&sources()));
    let is_part =
        |circle: &BTreeSet<String>, files: &[&str]| circle.iter().all(|file| files.contains(&file.as_str()));
    for circle in &found {
        assert!(CIRCLES.iter().any(|(files, _)| is_part(circle, files)), "a circle: {circle:#?}");
    }
    for (files, _) in CIRCLES {
        assert!(
            found.iter().any(|circle| is_part(circle, files)),
            "the circle is open, take it out: {files:#?}"
        );
    }
}
