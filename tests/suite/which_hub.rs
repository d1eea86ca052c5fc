//! Which hub a command writes to, and in which branch: the marker, the clone around, what `join`
//! wrote, the hub's own HEAD; and what is told of a repository that is passed over.

use crate::support::{Host, Run};
use std::path::Path;

mod branch;
mod clone;
mod hints;
mod kept;
mod marker;
mod places;

/// The line to join with that a command printed, with `name` in its place.
#[track_caller]
fn join_line(run: &Run, name: &str) -> Vec<String> {
    let words = format!("{}`{}", run.stderr(), run.stdout());
    let line = words.split('`').find(|part| part.starts_with("git muster join "));
    let line = line.unwrap_or_else(|| run.fail("no line to join with"));
    line.split(' ')
        .skip(2)
        .map(|word| if word == "NAME" { name.to_owned() } else { word.to_owned() })
        .collect()
}

/// Joins in `folder` as a command that printed how to said.
#[track_caller]
fn follow(run: &Run, host: &Host, folder: &Path) {
    host.command(join_line(run, host.name())).current_dir(folder).run().success();
}
