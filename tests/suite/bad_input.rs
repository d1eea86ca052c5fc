//! Input that cannot be used: documents that others broke, texts without end, names that are
//! tricks, things that are no files. Always one clear error, nothing written, nothing harmed.

mod commits;
mod documents;
mod names;
mod pasted;
mod pauses;
mod terminal;
mod tokens;
mod trees;

use crate::support::{Fleet, Host};

/// A hub with the servers `ada` and `bob`, and both hosts.
fn two_servers() -> (Fleet, Host, Host) {
    let fleet = Fleet::new();
    let (ada, bob) = (fleet.host("ada"), fleet.host("bob"));
    ada.run(["init", &fleet.hub().url()]).success();
    ada.run(["join", "--as", "ada"]).success();
    bob.run(["join", "--as", "bob"]).success();
    (fleet, ada, bob)
}
