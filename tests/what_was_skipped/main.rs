//! Says, after all other tests, which of them were skipped and what they need.
//!
//! It tests nothing. A test that finds a program missing leaves a note (`tests/suite/support/need.rs`),
//! and what a test prints is not shown when it passes; this is the last program that `cargo test`
//! runs, so that what was not tested is the last thing to be read. To `cargo nextest` it is a test, which
//! `.config/nextest.toml` has wait for all others.

#![expect(clippy::print_stdout, reason = "to say it is all that it is for")]

mod notes;

use std::fs;
use std::path::Path;

fn main() {
    let asked = |what: &str| std::env::args().any(|word| word == what);
    if asked("--list") {
        // It is no test but for who runs nothing else: nextest, which lists those that are ignored as well.
        if std::env::var_os("NEXTEST").is_some() && !asked("--ignored") {
            println!("what_was_skipped: test");
        }
        return;
    }
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped");
    // The notes of one run of cargo: that of whoever started it, as this program.
    let mine = all.join(std::os::unix::process::parent_id().to_string());
    print!("\n{}", notes::told(&mine));
    // Also what runs left behind that were stopped before they came here.
    for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
        let runs = Path::new("/proc").join(entry.file_name()).exists();
        if !runs || entry.path() == mine {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
