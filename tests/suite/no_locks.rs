//! Where the system gives nobody a lock: each command says so, and none takes that for another process
//! that has it.

use crate::support::{Fleet, Host, Transport};
use std::fs;
use std::path::PathBuf;

/// A library under which `flock` always fails with `error`.
fn without_locks(host: &Host, error: &str) -> PathBuf {
    let (source, library) = (host.directory().join("no.c"), host.directory().join(format!("{error}.so")));
    fs::write(
        &source,
        format!("#include <errno.h>\nint flock(int f, int o) {{ errno = {error}; return -1; }}\n"),
    )
    .unwrap();
    host.program("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).run().success();
    library
}

#[test]
fn a_lock_that_nobody_can_have_is_named_with_its_path_and_its_reason() {
    let fleet = Fleet::over(Transport::Daemon).founded();
    let ada = fleet.server("ada");
    for (error, words) in [("ENOLCK", "No locks available"), ("EOPNOTSUPP", "not supported")] {
        let library = without_locks(&ada, error);
        let on = |words: &[&str]| ada.command(words).env("LD_PRELOAD", &library).run();
        for command in [&["worker", "run", "--allow-any", "--once"][..], &["job", "run", "--allow-any"]] {
            let refused = on(command).code(1);
            assert!(
                refused.stderr().contains("worker.flock`: ") && refused.stderr().contains(words),
                "{refused}"
            );
            assert!(refused.stderr().contains("nothing was claimed"), "{refused}");
            assert!(!refused.stderr().contains("at work"), "{refused}");
        }
        let state = ada.directory().join("fence.json");
        let fence = ["fence", "check", "--name", "x", "--token", "1", "--state", state.to_str().unwrap()];
        let refused = on(&fence).code(1);
        assert!(
            refused.stderr().contains("fence.json.flock`: ") && refused.stderr().contains(words),
            "{refused}"
        );
        // The hint of the worker leads here.
        let doctor = on(&["doctor", "folders"]);
        assert!(
            doctor.to_string().contains("cannot be locked") && doctor.to_string().contains(words),
            "{doctor}"
        );
        // What is not kept is not claimed to be: everything else goes on.
        let added = on(&["job", "add", "--", "true"]).success();
        assert!(added.stderr().contains("cannot lock") && added.stderr().contains("op resume"), "{added}");
        on(&["heartbeat"]).success();
        assert_eq!(ada.unsettled(), serde_json::json!([]));
    }
    ada.run(["doctor", "folders"]).success();
}
