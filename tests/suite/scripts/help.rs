//! What holds for every script: help, bad arguments, a program that is not there, a page that knows it.

use super::{folder, joined, names, run};
use crate::support::MAIN;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn every_script_can_be_run_and_tells_how() {
    let (fleet, host) = joined();
    let tip = fleet.hub().tip(MAIN);
    assert!(names().len() >= 16, "{:?}", names());
    for name in names() {
        let mode = fs::metadata(folder().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name} can be run");
        for flag in ["-h", "--help"] {
            let told = run(&host, &name, &[flag]).success();
            assert!(told.stdout().contains(&format!("\nUsage: {name}")), "{told}");
            assert!(told.stdout().contains("Exit codes") && !told.stdout().contains("set -eu"), "{told}");
            assert_eq!(told.stderr(), "");
        }
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

/// Too many words, and an option that nobody knows.
#[test]
fn a_senseless_line_changes_nothing_and_ends_with_the_old_code() {
    let (fleet, host) = joined();
    let tip = fleet.hub().tip(MAIN);
    for name in names() {
        let code = if name.starts_with("setup_") { 2 } else { 1 };
        for args in [&["--nonsense", "2", "3", "4", "5", "6", "7"][..], &["--nonsense"]] {
            let ended = run(&host, &name, args);
            // One word may be the name of a server.
            let refused = ["heartbeat.sh", "read_messages.sh", "mark_messages_read.sh"].contains(&&*name);
            let health = name == "check_health.sh" && args.len() == 1;
            if health {
                assert!(ended.stdout().contains("--nonsense"), "{ended}");
                continue;
            }
            let ended = ended.code(code);
            assert!(
                (refused && args.len() == 1) || ended.stderr().starts_with(&format!("{name}: ")),
                "{ended}"
            );
        }
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let (_fleet, host) = joined();
    let needs_arguments: &[(&str, &[&str])] = &[
        ("heartbeat.sh", &[]),
        ("job_queue.sh", &["list"]),
        ("check_health.sh", &[]),
        ("setup_build1.sh", &[]),
        ("install_cron.sh", &["--print"]),
        ("install_heartbeat_service.sh", &["--print"]),
    ];
    for (name, args) in needs_arguments {
        let ended =
            host.program(folder().join(name)).args(*args).env("MUSTER_BIN", "/nowhere/git-muster").run();
        let ended = ended.code(3);
        let said =
            "there is no program `/nowhere/git-muster`; nothing was done\nhint: install it with `cargo";
        assert_eq!(ended.stderr().split(": ").next(), Some(*name));
        assert!(ended.stderr().contains(said), "{ended}");
    }
    // Named by the variable it is used, although PATH has none.
    let program = env!("CARGO_BIN_EXE_git-muster");
    let beat =
        host.program(folder().join("heartbeat.sh")).env("MUSTER_BIN", program).env("PATH", "/usr/bin:/bin");
    beat.run().success();
}

/// Old cron lines call scripts by links, too.
#[test]
fn a_script_works_through_a_link() {
    let (_fleet, host) = joined();
    let link = host.place("HOME").join("bin/beat");
    std::os::unix::fs::symlink(folder().join("heartbeat.sh"), &link).unwrap();
    host.program(&link).run().success();
}

#[test]
fn the_page_names_every_script() {
    let page = fs::read_to_string(folder().join("../docs/scripts.md")).unwrap();
    for name in names() {
        let group = name.starts_with("setup_build").then_some("`setup_build1.sh` to `setup_build4.sh`");
        assert!(
            page.contains(group.unwrap_or(&format!("`{name}"))),
            "docs/scripts.md says nothing of {name}"
        );
    }
}
