//! Every verb in its good case and its main refusals, as a user meets it: the answer, the words
//! beside it and the exit code, for people and as JSON. The snapshots are transcripts; each line
//! with a `$` is a command, and what follows it is all that it said.

#![expect(clippy::too_many_lines, reason = "most lines of these tests are what the program said")]

mod beats;
mod claims;
mod fsck;
mod health;
mod hub;
mod jobs;
mod locks;
mod messages;
mod queue;
mod rest;
mod sending;
mod settings;
mod steps;
mod usage;

use crate::support::{Fleet, Host, Transcript};

/// A hub with two servers: `ada` and `bob`, whose label is `gpu`.
pub(super) fn two_servers() -> (Fleet, Host, Host) {
    let fleet = Fleet::new();
    let (ada, bob) = (fleet.host("ada"), fleet.host("bob"));
    ada.run(["init", &fleet.hub().url()]).success();
    ada.run(["join", "--as", "ada"]).success();
    bob.run(["join", "--as", "bob", "--label", "gpu"]).success();
    (fleet, ada, bob)
}

/// The same on the clock of a transcript.
pub(super) fn two_servers_of(said: &mut Transcript) -> (Fleet, Host, Host) {
    let fleet = Fleet::new();
    let (ada, bob) = (fleet.host("ada"), fleet.host("bob"));
    drop(said.beside(&ada, &format!("init {}", fleet.hub().url())));
    drop(said.beside(&ada, "join --as ada"));
    drop(said.beside(&bob, "join --as bob --label gpu"));
    (fleet, ada, bob)
}

/// Adds a job and returns its id.
#[track_caller]
pub(super) fn added(host: &Host, args: &[&str]) -> String {
    let kind: &[&str] = if args.contains(&"--type") { &[] } else { &["--type", "build"] };
    let run = host.run(["job", "add"].iter().chain(kind).chain(args)).success();
    run.stdout().trim().to_owned()
}
