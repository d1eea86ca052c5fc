//! What is said of the tests that were skipped.

use std::fs;
use std::path::Path;

/// How many tests left a note in `folder`, and what each says.
pub(crate) fn told(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut notes: Vec<String> = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect();
    notes.sort();
    let mut told = format!("skipped, or run only in part: {}\n", notes.len());
    told.extend(notes.iter().map(|note| format!("  {note}")));
    if !notes.is_empty() {
        told.push_str("on Debian and Ubuntu, `.ci/install` installs all of it\n");
    }
    told
}
