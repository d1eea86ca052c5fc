//! What a test needs beside Rust, a C compiler and git.
//!
//! A test asks for it here. Where it is missing, the test is skipped (or runs over another transport),
//! and a note of that is kept, which the last of all test programs, `tests/what_was_skipped`, counts
//! and names. With `CI` set a missing program fails the test: there, everything has to be installed.
//! The list of programs and of the packages that bring them is the one in `.ci/install`.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the notes of this run lie: a file for each test that was skipped, with the reason in it.
///
/// A run is what one `cargo test` or `cargo nextest run` starts, so it is known by the process that started
/// this one.
fn notes() -> PathBuf {
    let run = std::os::unix::process::parent_id().to_string();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped").join(run)
}

/// The name of the test that runs in this thread. Nextest runs each as the only one of its process.
#[must_use]
pub(crate) fn test_name() -> String {
    let alone = std::env::var("NEXTEST_TEST_NAME").ok();
    alone.unwrap_or_else(|| std::thread::current().name().unwrap_or("part of a test").to_owned())
}

/// Finds a program; servers lie in directories that a user's `PATH` does not always name.
#[must_use]
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(program))
        .find(|program| program.is_file())
}

/// The package that brings a program, by the table in `.ci/install`.
///
/// # Panics
///
/// If the table does not have the program: what a test needs, `.ci/install` brings.
#[track_caller]
#[must_use]
pub(crate) fn package(program: &str) -> String {
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/install")).unwrap();
    let table = script.split("NEEDS").nth(1).unwrap_or_default();
    let found = table.lines().find_map(|line| line.strip_prefix(program)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("`.ci/install` does not bring `{program}`, which a test needs")).to_owned()
}

/// Whether all these programs are here. If not, the skip is noted and the test has to end.
///
/// # Panics
///
/// If one is missing and `CI` is set.
#[track_caller]
#[must_use]
pub(crate) fn is_here(programs: &[&str]) -> bool {
    let packages: Vec<(String, bool)> =
        programs.iter().map(|program| (package(program), find(program).is_some())).collect();
    let mut missing: Vec<&str> =
        packages.iter().filter(|(_, here)| !here).map(|(package, _)| package.as_str()).collect();
    missing.dedup();
    has(missing.is_empty(), &format!("apt-get install {}", missing.join(" ")))
}

/// Notes a skip unless `there`: `how` is the line that provides what is missing. Gives `there` back.
///
/// # Panics
///
/// If it is not there and `CI` is set.
#[track_caller]
#[must_use]
pub(crate) fn has(there: bool, how: &str) -> bool {
    let everything = std::env::var_os("CI").is_some();
    there || skip(&notes(), &test_name(), how, everything)
}

/// Keeps the note of one skip; never where `everything` has to be there.
#[track_caller]
fn skip(notes: &Path, test: &str, how: &str, everything: bool) -> bool {
    assert!(!everything, "{test} needs more than is here: {how}");
    fs::create_dir_all(notes).unwrap();
    fs::write(notes.join(test.replace("::", ".")), format!("{test}: {how}\n")).unwrap();
    false
}

#[cfg(test)]
#[path = "../../what_was_skipped/notes.rs"]
mod notes;

#[cfg(test)]
mod tests {
    use super::{is_here, notes, package, skip};
    use std::fs;

    #[test]
    fn what_a_test_needs_is_brought_by_the_installer() {
        assert_eq!(package("sshd"), "openssh-server");
        assert!(is_here(&[]));
        let unknown = std::panic::catch_unwind(|| is_here(&["muster-no-such-program"])).unwrap_err();
        let message = unknown.downcast_ref::<String>().expect("a formatted message");
        assert_eq!(message, "`.ci/install` does not bring `muster-no-such-program`, which a test needs");
    }

    #[test]
    fn a_skip_is_noted_with_its_remedy_and_fails_where_everything_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!skip(folder.path(), "a::test", "apt-get install jq", false));
        let note = fs::read_to_string(folder.path().join("a.test")).unwrap();
        assert_eq!(note, "a::test: apt-get install jq\n");
        assert!(!skip(folder.path(), "another", "apt-get install zsh", false));
        assert_eq!(
            notes::told(folder.path()),
            "skipped, or run only in part: 2\n  a::test: apt-get install jq\n  another: apt-get install zsh\n\
             on Debian and Ubuntu, `.ci/install` installs all of it\n"
        );
        let none = tempfile::tempdir().unwrap();
        assert_eq!(notes::told(none.path()), "skipped, or run only in part: 0\n");
        let insisted =
            std::panic::catch_unwind(|| skip(folder.path(), "a::test", "apt-get install jq", true));
        let message = insisted.unwrap_err().downcast_ref::<String>().unwrap().clone();
        assert_eq!(message, "a::test needs more than is here: apt-get install jq");
    }
}
