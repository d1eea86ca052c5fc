//! One pass through every noun on a path hub: the first thing to run after a change.

use crate::support::Fleet;

#[test]
fn a_job_goes_from_one_server_to_another() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    ada.run(["heartbeat"]).success();
    bob.run(["heartbeat"]).success();
    let id = ada.run(["job", "add", "--type", "test", "--", "true"]).success().stdout().trim().to_owned();
    let claimed = bob.run(["job", "claim", "--json"]).success().json();
    assert_eq!(claimed["id"], id.as_str());
    ada.run(["job", "claim"]).code(3);
    ada.run(["job", "complete", &id, "--token", "1"]).code(4);
    bob.run(["job", "complete", &id, "--token", "2"]).code(5);
    bob.run(["job", "complete", &id, "--token", "1"]).success();
    ada.run(["job", "wait", &id]).success();
    ada.run(["health"]).success();
}
