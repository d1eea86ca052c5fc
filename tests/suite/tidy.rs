//! The rules of the house that no compiler holds.

mod circles;
mod paths;

use std::fs;
use std::path::{Path, PathBuf};

use paths::Sources;

/// The layers from the lowest to the highest; a layer may use those before it.
const LAYERS: [&str; 9] = ["domain", "machine", "ledger", "git", "app", "doctor", "worker", "sim", "cli"];

/// Which lower layers a layer may not use all the same.
const NOT_EVEN: [(&str, &str); 3] = [("domain", "machine"), ("app", "git"), ("sim", "git")];

/// The longest file, tests not counted.
const LINES_MAX: usize = 640;

/// The layers that run on whichever machine they are handed, and never look for one.
const HANDED_A_MACHINE: [&str; 3] = ["ledger", "app", "sim"];

/// What those may name of `machine`: the value, what is made by it, and whether this process was asked to end.
const OF_A_MACHINE: [&str; 9] = [
    "Machine",
    "Simulated",
    "Deadline",
    "value",
    "simulated",
    "file_lock::FileLock",
    "file_lock::NotLocked",
    "files::FileError",
    "asked",
];

/// Their files that reach the real machine all the same: the tests of the loop and of engines, how an address is spelled, and a
/// planted bug.
const REAL_ALL_THE_SAME: [&str; 6] = [
    "src/ledger/conformance",
    "src/ledger/memory.rs",
    "src/ledger/memory/",
    "src/ledger/location.rs",
    "src/app/queries/operations.rs",
    "src/app/commands/job_add.rs",
];

/// The doors: each of these crates and types is named in these files only.
const DOORS: [(&str, &[&str]); 10] = [
    ("git2", &["src/git"]),
    ("GitProgram", &["src/git", "src/doctor/machine.rs"]),
    ("fs2", &["src/machine/file_lock.rs"]),
    ("chrono", &["src/domain/time.rs", "src/machine/zone.rs"]),
    ("sysinfo", &["src/machine/facts.rs"]),
    ("uuid", &["src/machine/random.rs"]),
    ("SystemTime", &["src/machine/clock.rs"]),
    ("Instant", &[]),
    ("anyhow", &["src/cli"]),
    ("clap", &["src/cli", "src/bin/muster-sim.rs"]),
];

/// The files of the command line that read tables all the same: what they do while they wait is to be a flow.
const READS_TABLES: [&str; 1] = ["src/cli/lock.rs"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Every source file: its path from the root, and its text without its tests.
pub(crate) fn sources() -> Vec<(String, String)> {
    let named = |path: &PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    let text = |path: &PathBuf| {
        let whole = fs::read_to_string(path).unwrap();
        whole.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
    };
    files(&root().join("src"), "rs").iter().map(|path| (named(path), text(path))).collect()
}

/// Every file that uses a layer which it may not use, with the path that it names.
fn against_the_layers(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for used in sources.uses() {
        let layer_of = |name: &str| LAYERS.iter().position(|layer| *layer == name);
        let own = used.file.trim_start_matches("src/").split(['/', '.']).next().and_then(layer_of);
        let Some(own) = own else { continue };
        for lead in &used.leads {
            // Who has the root of the crate under another name has them all.
            let Some(other) = lead.first() else {
                found.push(format!("{}: {} is the crate", used.file, used.spelled.join("::")));
                continue;
            };
            let is_above = layer_of(other).is_some_and(|other| other > own);
            if is_above || NOT_EVEN.contains(&(LAYERS[own], other)) {
                found.push(format!("{}: {}", used.file, used.spelled.join("::")));
            }
        }
    }
    found.dedup();
    found
}

#[test]
fn no_layer_uses_one_above_it() {
    assert_eq!(against_the_layers(&Sources::read(&sources())), [""; 0]);
}

#[test]
fn a_layer_above_is_found_in_every_spelling() {
    let house = |text: &str| {
        let files = [
            ("src/domain/queue.rs", text),
            ("src/cli/mod.rs", "pub struct Exit;"),
            ("src/domain/mod.rs", ""),
        ];
        Sources::read(&files.map(|(path, text)| (path.to_owned(), text.to_owned())))
    };
    for hidden in [
        "use crate::cli::Exit;",
        "use crate::{cli as _above, machine as _beside};",
        "use {crate::{domain::id, cli}};",
        "use crate::{cli::{self as above}};",
        "use super::super::cli;",
        "use self::super::super::cli::Exit;",
        "use super::super::{self as up}; fn f() { up::cli::run() }",
        "use crate as root; fn f() { root::cli::run() }",
        "use crate::*; fn f() { cli::run() }",
        "use super::super::*; fn f() { cli::run() }",
        "pub(crate) use git_muster::cli;",
        "use ::git_muster::cli;",
        "fn f() { crate :: cli :: run() }",
        "fn f() { use crate::cli; }",
        "fn f() { println!(\"{}\", crate::cli::run()) }",
        "macro_rules! m { () => { $crate::cli::run() }; }",
        "macro_rules! m { () => { use $crate::{cli}; }; }",
        "fn f(_: Vec<crate::cli::Exit>) {}",
        "impl crate::cli::Shown for u8 {}",
        "fn f() { <u8 as crate::cli::Shown>::show() }",
        "struct S { #[serde(with = \"crate::cli::text\")] field: u8 }",
        "mod inner { use super::super::super::cli; }",
        "use crate::r#cli;",
        "use crate::machine::clock;",
    ] {
        assert!(!against_the_layers(&house(hidden)).is_empty(), "{hidden}");
    }
    for harmless in [
        "use crate::domain::id::JobId; use super::lock;",
        "// use crate::cli;\nfn f() { let text = \"crate::cli::run\"; }",
        "mod cli { pub fn run() {} } fn f() { cli::run(); self::cli::run() }",
        "fn f() { let cli = 1_u8; let _ = cli as u64; }",
        "#[cfg(test)] mod tests { use crate::cli; }",
        "#[cfg(test)] use crate::cli;\nfn f() {}",
        "use std::machine::cli; use clap::cli::Exit;",
    ] {
        assert_eq!(against_the_layers(&house(harmless)), [""; 0], "{harmless}");
    }
}

/// Every file that reaches the real machine and runs on whichever it is handed.
fn beside_its_machine(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for used in sources.uses() {
        let layer = used.file.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
        if !HANDED_A_MACHINE.contains(&layer)
            || REAL_ALL_THE_SAME.iter().any(|path| used.file.starts_with(path))
        {
            continue;
        }
        for lead in used.leads.iter().filter(|lead| lead.first().is_some_and(|first| first == "machine")) {
            let path = lead[1..].join("::");
            let is_of = |one: &&str| path == **one || path.starts_with(&format!("{one}::"));
            if !OF_A_MACHINE.iter().any(is_of) {
                found.push(format!("{}: {}", used.file, used.spelled.join("::")));
            }
        }
    }
    found.dedup();
    found
}

#[test]
fn who_is_handed_a_machine_looks_for_none() {
    assert_eq!(beside_its_machine(&Sources::read(&sources())), [""; 0]);
    let files = |text: &str| {
        let files = [("src/app/client.rs", text), ("src/machine/mod.rs", ""), ("src/machine/clock.rs", "")];
        Sources::read(&files.map(|(path, text)| (path.to_owned(), text.to_owned())))
    };
    for hidden in [
        "use crate::machine::clock;",
        "use crate::machine;",
        "use crate::machine::*;",
        "use crate::machine::{Machine, files};",
        "fn f() { crate::machine::clock::wall() }",
        "use crate as root; fn f() { root::machine::random::id() }",
    ] {
        assert!(!beside_its_machine(&files(hidden)).is_empty(), "{hidden}");
    }
    for harmless in [
        "use crate::machine::Machine; fn f() { Machine::real() }",
        "use crate::machine::{Deadline, Machine, asked};",
        "#[cfg(test)] mod tests { use crate::machine::clock; }",
    ] {
        assert_eq!(beside_its_machine(&files(harmless)), [""; 0], "{harmless}");
    }
}

/// Every file that names what has its door elsewhere.
fn beside_the_doors(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for used in sources.uses() {
        for (word, doors) in DOORS {
            // A crate is named first, a type anywhere.
            let is_type = word.starts_with(char::is_uppercase);
            let is_named =
                if is_type { used.spelled.iter().any(|part| part == word) } else { used.spelled[0] == word };
            if is_named && !doors.iter().any(|door| used.file.starts_with(door)) {
                found.push(format!("{}: {}, whose door is {doors:?}", used.file, used.spelled.join("::")));
            }
        }
    }
    found
}

#[test]
fn each_effect_has_one_door() {
    assert_eq!(beside_the_doors(&Sources::read(&sources())), [""; 0]);
    for hidden in [
        "use git2 as g;",
        "use {git2::Oid};",
        "fn f() { ::git2::Oid::zero() }",
        "use std::time::{self, Instant as I};",
        "fn f() { matches!(x, std::time::SystemTime::UNIX_EPOCH) }",
    ] {
        let file = [("src/app/hubs.rs".to_owned(), hidden.to_owned())];
        assert_eq!(beside_the_doors(&Sources::read(&file)).len(), 1, "{hidden}");
    }
}

/// Where the suite sleeps: `eventually` and its like, which look at what they wait for, up to a bound.
const WAITS: &str = "tests/suite/support/wait.rs";

#[test]
fn no_test_sleeps_for_a_fixed_time() {
    let mut texts = Vec::new();
    for folder in ["tests", "benches"] {
        for path in files(&root().join(folder), "rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            texts.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    let sources = Sources::read(&texts);
    let sleeps = sources.uses().filter(|used| used.spelled.last().is_some_and(|last| last == "sleep"));
    let places: Vec<&str> = sleeps.map(|used| used.file).collect();
    assert_eq!(places, [WAITS], "wait with `eventually`");
}

#[test]
fn the_command_line_asks_queries_and_reads_no_table() {
    for (path, text) in sources() {
        let is_free = !path.starts_with("src/cli/") || READS_TABLES.contains(&path.as_str());
        let reads = |line: &&str| {
            [".table()", ".table_at", "Table<", "Table::"].iter().any(|word| line.contains(word))
        };
        let found = code_lines(&text).find(reads).filter(|_| !is_free);
        assert_eq!(found, None, "{path} reads a table: let a query of src/app/queries answer that");
    }
}

#[test]
fn each_file_says_what_it_is_for_and_is_not_too_long() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{path} has no module doc");
        assert!(text.lines().count() <= LINES_MAX, "{path} has {} lines", text.lines().count());
        for promise in ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"] {
            assert!(!text.contains(promise), "{path} holds `{promise}`");
        }
    }
}

#[test]
fn each_test_file_is_declared() {
    let main = fs::read_to_string(root().join("tests/suite/main.rs")).unwrap();
    for path in files(&root().join("tests/suite"), "rs") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.parent().unwrap().ends_with("suite") && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "{name} is in the folder and not declared");
        }
    }
}

/// Compares a generated text with its committed copy; `MUSTER_BLESS=1 cargo test` writes it anew.
fn assert_committed(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("MUSTER_BLESS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, generated).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "{path} is not what the program generates: run MUSTER_BLESS=1 cargo test"
    );
}

#[test]
fn the_command_reference_is_the_programs_own() {
    assert_committed("docs/CLI.md", &git_muster::inside::command_reference());
}

#[test]
fn the_codes_of_errors_are_the_programs_own() {
    assert_committed("docs/errors.md", &git_muster::inside::error_reference());
}

/// Files below the command line in which a command line still stands, to be emptied: warnings of the worker
/// and findings of `doctor`, `health` and `fsck`, which are no refusals.
const COMMAND_LINES_LEFT: [&str; 12] = [
    "src/app/commands/beat.rs",
    "src/app/commands/mend.rs",
    "src/app/stale.rs",
    "src/doctor/facts.rs",
    "src/doctor/machine.rs",
    "src/doctor/mend.rs",
    "src/doctor/mod.rs",
    "src/doctor/rules/machine.rs",
    "src/domain/doctor/hub.rs",
    "src/domain/queue/turn.rs",
    "src/worker/dispatcher/tagging.rs",
    "src/worker/dispatcher.rs",
];

#[test]
fn command_lines_are_written_in_the_command_line_only() {
    let mut left: Vec<String> = Vec::new();
    for (path, text) in sources() {
        let is_below =
            LAYERS.iter().any(|layer| *layer != "cli" && path.starts_with(&format!("src/{layer}/")));
        if is_below && code_lines(&text).any(|line| line.contains("git muster ")) {
            left.push(path);
        }
    }
    assert_eq!(left, COMMAND_LINES_LEFT);
}

/// Where the words of errors may be read back, with what is read there.
const WORDS_ARE_READ: [(&str, &str); 1] = [("src/git/classify", "what git printed")];

#[test]
fn nobody_reads_the_words_of_an_error() {
    // What an error, or its cause, is called where it is told.
    const WORDS: [&str; 6] = ["message", "why", "words", "stderr", "error.to_string()", "error.message()"];
    for (path, text) in sources() {
        if WORDS_ARE_READ.iter().any(|(place, _)| path.starts_with(place)) {
            continue;
        }
        for line in code_lines(&text).filter(|line| !line.contains("assert")) {
            let read = WORDS.iter().find(|word| line.contains(&format!("{word}.contains(\"")));
            assert_eq!(read, None, "{path} reads what is written for people: {line}");
        }
    }
}

#[test]
fn the_rules_of_fsck_are_the_programs_own() {
    let page = fs::read_to_string(root().join("docs/fsck.md")).unwrap();
    let (before, rest) = page.split_once("|---|---|---|\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let rules = git_muster::inside::audit_rules();
    assert_committed("docs/fsck.md", &format!("{before}|---|---|---|\n{rules}<!-- end -->{after}"));
}

#[test]
fn the_schemas_are_the_types_own() {
    for (name, schema) in git_muster::inside::schemas() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        assert_committed(&format!("docs/schemas/{name}"), &text);
    }
}

#[test]
fn the_template_is_this_repositorys_own_hub() {
    for (path, text) in git_muster::inside::TEMPLATE {
        assert_eq!(fs::read_to_string(root().join(path)).unwrap(), *text, "{path}");
    }
}

#[test]
fn each_planted_bug_has_a_name_in_the_list() {
    let mut planted: Vec<String> = Vec::new();
    for (path, text) in sources() {
        if path != "src/sim/bugs.rs" {
            let names = text.split("planted(\"").skip(1).filter_map(|rest| rest.split('"').next());
            planted.extend(names.map(str::to_owned));
        }
    }
    planted.sort();
    planted.dedup();
    let mut listed: Vec<String> = git_muster::sim::BUGS.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(planted, listed);
}

/// The path of every test: `module::function` for those of the suite and those beside the code.
fn test_paths() -> Vec<String> {
    let mut found = Vec::new();
    for (folder, root) in [("tests/suite", "tests/suite"), ("tests/model", "tests"), ("src", "src")] {
        for path in files(&self::root().join(folder), "rs") {
            let module = path.strip_prefix(self::root().join(root)).unwrap().with_extension("");
            let module = module.to_string_lossy().replace('/', "::");
            let module = module.trim_end_matches("::mod");
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" {
                    is_test = true;
                } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                    let name = rest.split('(').next().unwrap_or_default();
                    found.push(format!("{module}::{name}"));
                    is_test = false;
                }
            }
        }
    }
    found
}

/// Every `module::test` in backticks in the last column of the tables of a text.
fn named_tests(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let last = rows.skip(1).filter_map(|row| row.trim_end_matches('|').rsplit('|').next().map(str::to_owned));
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_tests_that_pages_name_exist() {
    let there = test_paths();
    assert!(there.len() > 500, "only {} tests were found", there.len());
    let page = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (edges, testing) = (page("docs/edges.md"), page("docs/TESTING.md"));
    let promises = testing.split("\n## ").find(|section| section.starts_with("Promises")).unwrap();
    for (where_told, text) in [("docs/edges.md", edges.as_str()), ("docs/TESTING.md", promises)] {
        let named = named_tests(text);
        assert!(!named.is_empty(), "{where_told} names no test");
        for name in named {
            assert!(there.contains(&name), "{where_told} names `{name}`, which is no test");
        }
    }
}

/// The first column of the rows of the tables of a text, for each that stands there more than once.
fn doubled_rows(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let mut names: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1).map(str::trim)).collect();
    names.sort_unstable();
    let doubled = names.windows(2).filter(|pair| pair[0] == pair[1]);
    doubled.map(|pair| pair[0].to_owned()).collect()
}

#[test]
fn no_kind_of_fault_has_two_rows() {
    let edges = fs::read_to_string(root().join("docs/edges.md")).unwrap();
    assert_eq!(doubled_rows(&edges), [""; 0], "one row for each kind: extend the one that is there");
    let last = edges.lines().rfind(|line| line.starts_with("| ")).unwrap();
    assert_eq!(doubled_rows(&format!("{edges}{last}\n")).len(), 1, "a row that is there twice is noticed");
}
