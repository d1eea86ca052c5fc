//! Heartbeats that cannot be seen, for a while or as there was no time to look: they stop nobody else, and
//! nobody is taken for lost by them.

use crate::sessions::{claimed, is_lost};
use crate::support::{Fleet, Transport, eventually, inspect};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// How a hub is reached by a process that looks on for long.
const WAYS: [Transport; 2] = [Transport::Path, Transport::Ssh];

fn ref_file(fleet: &Fleet, branch: &str) -> PathBuf {
    fleet.hub().path().join("refs/heads").join(branch)
}

#[test]
fn a_branch_that_was_mended_is_seen_again_by_a_process_that_goes_on() {
    Transport::each(&WAYS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
        bob.run(["heartbeat", "--interval", "1s"]).success();
        let id = claimed(&bob);
        bob.run(["heartbeat", "--interval", "1s"]).success();
        let blob = fleet.hub().git(["rev-parse", "heartbeat-bob:bob/heartbeat.json"]);
        let object = fleet.hub().path().join("objects").join(&blob[..2]).join(blob[2..].trim());
        let kept = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let mut worker = ada.command(["worker", "run", "--allow-any", "--interval", "1s"]).spawn();
        eventually(BOUND, || worker.stderr().contains("`heartbeat-bob` of the hub needs an object"));
        assert!(!is_lost(&fleet, &id), "{transport:?}");
        // From now on the silence of bob can be seen.
        fs::write(&object, kept).unwrap();
        eventually(BOUND, || is_lost(&fleet, &id));
        worker.signal("TERM");
        worker.wait().success();
    });
}

#[test]
fn a_worker_whose_own_branch_was_mended_beats_and_works_again() {
    Transport::each(&WAYS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
        let mut worker = ada.command(["worker", "run", "--allow-any", "--interval", "1s"]).spawn();
        let file = ref_file(&fleet, "heartbeat-ada");
        eventually(BOUND, || file.exists());
        fs::write(&file, "garbage").unwrap();
        eventually(BOUND, || worker.stderr().contains("no sign of life was sent"));
        fs::remove_file(&file).unwrap();
        eventually(BOUND, || file.exists());
        let id = bob.run(["job", "add", "--type", "t", "--", "true"]).success().stdout().trim().to_owned();
        eventually(BOUND, || inspect::job(fleet.hub(), &id)["status"] == "completed");
        worker.signal("TERM");
        worker.wait().success();
    });
}
