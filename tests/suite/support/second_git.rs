//! The different versions of git on this machine, for tests that must hold with each.
//!
//! git changed its messages and its push rules between versions; a machine that has two of them
//! (Debian's in `/usr/bin`, a newer one in `/usr/local/bin`) shows both at no cost.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Directories looked at after those of `PATH`.
const USUAL_DIRECTORIES: [&str; 2] = ["/usr/local/bin", "/usr/bin"];

/// One git program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Git {
    /// Where it lies.
    pub(crate) program: PathBuf,
    /// What it calls itself, such as `2.39.5`.
    pub(crate) version: String,
}

/// Every distinct git program, the one that `PATH` finds first before the others.
#[track_caller]
#[must_use]
pub(crate) fn gits() -> Vec<Git> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut seen = BTreeSet::new();
    env::split_paths(&path)
        .chain(USUAL_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join("git"))
        .filter(|program| program.canonicalize().is_ok_and(|resolved| seen.insert(resolved)))
        .filter_map(|program| version(&program).map(|version| Git { program, version }))
        .collect()
}

fn version(program: &PathBuf) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let words = text.trim().strip_prefix("git version ")?;
    words.split(' ').next().map(str::to_owned)
}
