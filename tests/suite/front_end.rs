//! A front end that is not the command line: `examples/front_end.rs`, in a process of its own, beside servers
//! that use the command line.

use crate::support::{Fleet, Host, MAIN, inspect};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long its build may take where nothing but the suite was built.
const BUILD_BOUND: Duration = Duration::from_secs(600);

/// How long it may wait for what another holds.
const BOUND: Duration = Duration::from_secs(120);

/// The program, built as the program under test was.
fn built(host: &Host) -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = host.program(cargo).args(["build", "--quiet", "--offline", "--example", "front_end"]);
    if directory.ends_with("release") {
        build = build.args(["--release"]);
    }
    for name in ["HOME", "PATH", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR"] {
        build = match std::env::var_os(name) {
            Some(value) => build.env(name, value),
            None => build.env_remove(name),
        };
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR")).bound(BUILD_BOUND).run().success();
    directory.join("examples/front_end")
}

/// What the front end answers on a host, whose server it is.
fn asked(front_end: &Path, host: &Host, words: &[&str]) -> Value {
    let hub = host.hub().url();
    let run = host.program(front_end).args([hub.as_str(), host.name()]).args(words).bound(BOUND).run();
    run.success().json()
}

#[test]
fn another_front_end_claims_watches_takes_over_and_lists() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let front_end = built(&bob);
    let add = || ada.run(["job", "add", "--type", "build"]).success().stdout().trim().to_owned();

    let first = add();
    let claimed = asked(&front_end, &bob, &["claim"]);
    assert_eq!(
        (&claimed["jobs"][0]["id"], &claimed["jobs"][0]["token"]),
        (&first.as_str().into(), &1.into())
    );
    bob.run(["job", "complete", &first, "--token", "1"]).success();

    // A holder that is never heard of again: its claim and its lock are watched until they are over.
    ada.run(["heartbeat", "--interval", "1s"]).success();
    let second = add();
    ada.run(["job", "claim", &second]).success();
    ada.run(["lock", "acquire", "deploy", "--ttl", "2s"]).success();
    let claimed = asked(&front_end, &bob, &["claim"]);
    assert_eq!(
        (&claimed["jobs"][0]["id"], &claimed["jobs"][0]["token"]),
        (&second.as_str().into(), &2.into())
    );
    ada.run(["job", "complete", &second, "--token", "1"]).code(5);
    let lock = asked(&front_end, &bob, &["lock", "deploy"]);
    assert_eq!(lock, serde_json::json!({"lock": "deploy", "token": 2, "taken_over": true}));

    let listed = asked(&front_end, &bob, &["list"]);
    let of = |table: &str| listed[table]["items"].as_array().expect("a list").clone();
    assert!(
        of("jobs").iter().any(|job| job["id"] == second.as_str() && job["assigned_to"] == "bob"),
        "{listed}"
    );
    assert!(
        of("locks").iter().any(|lock| lock["name"] == "deploy" && lock["holder"] == "front end"),
        "{listed}"
    );
    let locks = inspect::document(fleet.hub(), MAIN, "coordination/locks.json");
    assert_eq!(locks["locks"]["deploy"]["token"], 2, "{locks}");
    inspect::assert_hub_is_sound(fleet.hub());
}
