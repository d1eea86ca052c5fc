//! The tests with real processes, real git and real servers, as one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    reason = "a test may stop at once, starts processes itself, reports figures and has tables of cases"
)]

mod support;

// The house: layers, lengths, generated files.
mod tidy;
mod user_files;
mod wards;
mod worker;
mod worker_storm;
// What jobs work on and what they make.
mod artifacts;
// One hub, one command after the other.
mod smoke;
// Many clones write at the same time, over every transport.
mod storm;
// Every verb as a user meets it: answer, words beside it, exit code.
mod commands;
// What was archived is found all the same.
mod archived;
// What a command costs in handshakes.
mod round_trips;
// The floor that the command line stands on, from another program.
mod front_end;

mod held_up;
// What the README promises and no other test would miss.
mod promises;
// What is told of times, at times that the test chooses.
mod times;
// Many want one thing, and holders die.
mod race;
// Hooks, cut connections, hubs that are away.
mod no_locks;
// No worker anywhere, and the signs of life of all.
mod no_worker;
mod power_cuts;
mod push_faults;
// Signals that come while git is at work, or the answer on its way.
mod asked_to_end;
// Answers that do not arrive, and reports that come twice.
mod lost_answers;
mod repeats;
// What went wrong once, found by fresh eyes and attackers.
mod lessons;
// Documents of old hubs: what was not to change keeps its bytes.
mod golden;
// Clocks that are hours apart or run wrong.
mod clock_skew;
// Hooks that refuse, flood and write what no terminal should see.
mod hub_hooks;
// Connections that are cut after any number of bytes.
mod completion;
mod cut_connections;
// Disks that are full or read-only.
mod full_disk;
// Hubs that have lost an old object.
mod lost_objects;
// Every write under every single fault.
mod sweep;
// Commands that are killed, at any step and at any moment.
mod json_answers;
mod kill_points;
// The scripts and jq lines of before, beside our commands.
mod seed_compatibility;
// The scripts that keep old cron lines and habits working.
mod scripts;
// A broken copy, a user's own git configuration, a hub that changed.
mod adverse;
// What cannot be used is refused, named and harms nobody.
mod bad_input;
// The documents: every command they show runs.
mod documentation;
// One issue for each cause of trouble.
mod health_issues;
// Empty, rewritten and foreign remotes; both versions of git.
mod ref_locks;
mod remotes;
// Damaged copies of a hub.
mod healing;
// Hubs that lost their documents or their branch.
mod lost_hub;
// The clone around a command follows the hub.
mod clone_refresh;
// What commands cost in a fleet that grows.
mod fleet_size;
// Heartbeat branches.
mod heartbeat_branches;
// What is wrong, found and mended.
mod doctor;
// A hub and its history are checked, and every sort of damage is found.
mod fsck;
// What becomes of claims when another session takes the place of theirs.
mod sessions;
// How many pushes a worker sends.
mod push_limit;
// Which hub is written to.
mod which_hub;
// From the first scripts to git-muster.
mod moving;
// What the far side says, and whose words they are.
mod far_side;
// A ref of the hub that leads nowhere.
mod bad_refs;
// Servers whose heartbeats cannot be seen.
mod out_of_sight;
// Who makes commits.
mod identity;
