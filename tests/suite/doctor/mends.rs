//! `--fix` mends each thing that it claims to mend, says so, and leaves the rest alone.

use super::{aged, check, copies, expect, joined, obey, old_file};
use crate::support::{Host, MAIN, RUN_BOUND, Transport, eventually, git, inspect};
use serde_json::Value;
use std::fs;

/// `doctor --fix` of one check; returns what it did.
#[track_caller]
fn fix(host: &Host, name: &str) -> Vec<Value> {
    fix_in(host, &[], name)
}

fn fix_in(host: &Host, hub: &[&str], name: &str) -> Vec<Value> {
    let report = host.run([hub, &["doctor", "--fix", "--json", name]].concat()).success().json();
    let deeds = report["deeds"].as_array().cloned().unwrap_or_default();
    assert!(deeds.iter().all(|deed| deed["check"] == name && deed["done"] == true), "{report:#}");
    deeds
}

/// Fails unless the trouble that `check` tells is one that `--fix` mends, and does.
#[track_caller]
fn assert_mended(host: &Host, name: &str, verdict: &str, deeds: usize) {
    let sick = expect(host, name, verdict, "");
    let fixable = |finding: &&Value| finding["fixable"] == true;
    let finding = sick["findings"].as_array().unwrap().iter().find(fixable).unwrap().clone();
    assert_eq!(finding["mend"], format!("git muster doctor --fix {name}"));
    let told = host.run(["--dry-run", "doctor", "--fix", "--json", name]).json();
    assert_eq!(told["deeds"].as_array().unwrap().len(), deeds, "{told:#}");
    // Ages go on.
    let seen = |check: &Value| (check["verdict"].clone(), check["findings"].as_array().unwrap().len());
    assert_eq!(seen(&check(host, name)), seen(&sick), "a dry run does nothing");
    assert_eq!(fix(host, name).len(), deeds, "{sick:#}");
    assert_ne!(check(host, name)["verdict"], verdict);
    assert_eq!(fix(host, name).len(), 0, "there is nothing left to do");
}

#[test]
fn an_unsettled_operation_is_settled_once() {
    let (fleet, ada) = joined(Transport::Ssh);
    if fleet.hub().transport() != Transport::Ssh {
        return;
    }
    // The last of them was never sent.
    for (subject, at) in [("one", "push"), ("two", "push"), ("three", "kept")] {
        let send = ada.command(["message", "send", "--to", "all", "--subject", subject]);
        send.env("MUSTER_FAILPOINT", at).run().killed_by(9);
    }
    // However young they are: no process is at them.
    let check = expect(&ada, "operations", "warning", "3 operations unsettled");
    obey(&ada, &check);
    assert_mended(&ada, "operations", "warning", 2);
    let messages = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    assert_eq!(messages["messages"].as_array().unwrap().len(), 3);
    assert!(inspect::ops_in_history(fleet.hub(), MAIN).values().all(|count| *count == 1));
}

#[test]
fn what_takes_something_is_left_to_a_person_and_other_hubs_alone() {
    let (fleet, ada) = joined(Transport::Ssh);
    let bob = fleet.host("bob");
    bob.run(["join", "--as", "bob"]).success();
    bob.run(["lock", "acquire", "deploy"]).success();
    for args in [
        &["lock", "steal", "deploy", "--reason", "dead", "--force"][..],
        &["message", "send", "--to", "all", "--subject", "x"],
    ] {
        ada.command(args).env("MUSTER_FAILPOINT", "kept").run().killed_by(9);
    }
    let other = crate::support::Fleet::new();
    ada.run(["init", &other.hub().url()]).success();
    assert_eq!(fix_in(&ada, &["--hub", &other.hub().url()], "operations").len(), 0);
    let deeds = fix(&ada, "operations");
    assert_eq!(deeds.len(), 1, "{deeds:?}");
    bob.run(["lock", "renew", "deploy", "--token", "1"]).success();
    let check = expect(&ada, "operations", "warning", "steal_lock");
    assert!(check.to_string().contains("git muster op status"), "{check}");
}

#[test]
fn what_took_something_and_happened_is_settled_with_its_answer() {
    let (fleet, ada) = joined(Transport::Ssh);
    if fleet.hub().transport() != Transport::Ssh {
        return;
    }
    ada.run(["job", "add", "--type", "test", "--", "true"]).success();
    let killed = |args: &[&str], at: &str| {
        ada.command(args).env("MUSTER_FAILPOINT", at).run().killed_by(9);
    };
    for args in [
        &["lock", "acquire", "gate"][..],
        &["job", "claim"],
        &["once", "do", "migrate"],
        &["status", "set", "building"],
        &["heartbeat"],
    ] {
        killed(args, "known");
    }
    // Of what did not happen a beat is over, and a lock is left to a person.
    killed(&["heartbeat"], "kept");
    killed(&["lock", "acquire", "other"], "kept");
    let before = fleet.hub().tip(MAIN);
    let sick = expect(&ada, "operations", "warning", "7 operations unsettled");
    assert!(sick.to_string().contains("git muster doctor --fix operations"), "{sick:#}");
    let told = ada.run(["--dry-run", "doctor", "--fix", "--json", "operations"]).json();
    assert_eq!(told["deeds"].as_array().unwrap().len(), 7, "{told:#}");
    let deeds = fix(&ada, "operations");
    assert_eq!(deeds.len(), 6, "{deeds:#?}");
    expect(&ada, "operations", "warning", "1 operation unsettled");
    assert_eq!(fleet.hub().tip(MAIN), before, "nothing is taken");
    // What still stands is told again, by the command that the deed names.
    let lines: Vec<String> =
        deeds.iter().filter_map(|deed| deed["what"].as_str()?.split('`').nth(1).map(str::to_owned)).collect();
    let answers: String =
        lines.iter().map(|line| ada.program("sh").args(["-c", line]).run().success().to_string()).collect();
    for got in ["gate token 1", "migrate token 1", "token 1"] {
        assert!(answers.contains(got), "{got}: {answers}");
    }
    assert_eq!(lines.len(), 3, "{deeds:#?}");
}

#[test]
fn an_operation_is_under_way_as_long_as_its_process_lives() {
    let (fleet, ada) = joined(Transport::Ssh);
    fleet.hub().install_hook(
        "pre-receive",
        "#!/bin/sh\ntouch pushed\nfor _ in $(seq 400); do test -e go && exit; sleep 0.05; done\n",
    );
    let sending = ada.command(["message", "send", "--to", "all", "--subject", "slow"]).spawn();
    eventually(RUN_BOUND, || fleet.hub().path().join("pushed").exists());
    expect(&ada, "operations", "ok", "1 operation under way");
    let checked = ada.run(["fsck", "--history"]).success();
    assert!(checked.stdout().starts_with("0 errors, 0 warnings, 0 notes"), "{checked}");
    fs::write(fleet.hub().path().join("go"), "").unwrap();
    drop(sending.wait().success());
    expect(&ada, "operations", "ok", "none was left unsettled");
    let ops = ada.place("XDG_STATE_HOME").join("git-muster/ops");
    fs::write(ops.join("0199d5f0-0000-7000-8000-000000000000.json"), "{").unwrap();
    let check = expect(&ada, "operations", "warning", "git muster op status 0199d5f0");
    obey(&ada, &check);
    expect(&ada, "operations", "ok", "none was left unsettled");
    old_file(ops.join("x.tmp"));
    expect(&ada, "leftovers", "warning", "1 temporary file");
}

#[test]
fn a_damaged_copy_is_put_aside() {
    let (_fleet, ada) = joined(Transport::Ssh);
    let copy = copies(&ada).remove(0);
    expect(&ada, "copy", "ok", "are sound");
    for (what, file) in [("HEAD", "HEAD"), ("a ref", "refs/remotes/origin/main"), ("the address", "config")] {
        fs::write(copy.join(file), "garbage\n").unwrap();
        assert_mended(&ada, "copy", "problem", 1);
        assert!(ada.run(["doctor", "leftovers"]).success().stdout().contains("1 damaged copy"), "{what}");
        ada.run(["job", "list"]).success();
        expect(&ada, "copy", "ok", "are sound");
    }
    let id = git(&copy, ["rev-parse", "origin/main:coordination/jobs.json"]).trim().to_owned();
    for file in fs::read_dir(copy.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::remove_file(file).unwrap();
    }
    fs::remove_file(copy.join("objects").join(&id[..2]).join(&id[2..])).ok();
    assert_mended(&ada, "copy", "problem", 1);
}

#[test]
fn lock_files_in_our_copy_are_removed_when_nobody_holds_them() {
    let (fleet, ada) = joined(Transport::Ssh);
    let copy = copies(&ada).remove(0);
    let lock = old_file(copy.join("refs/remotes/origin/main.lock"));
    let held = fs::File::open(&lock).unwrap();
    expect(&ada, "stale-locks", "problem", "and held by `");
    ada.run(["doctor", "--fix", "stale-locks"]).code(1);
    assert!(lock.exists(), "a process holds it");
    drop(held);
    let young = copy.join("packed-refs.lock");
    fs::write(&young, "").unwrap();
    let of_hub = old_file(fleet.hub().path().join("packed-refs.lock"));
    assert_mended(&ada, "stale-locks", "problem", 1);
    assert!(young.exists() && of_hub.exists() && !lock.exists());
}

#[test]
fn what_killed_processes_left_is_removed_and_nothing_else() {
    let (_fleet, ada) = joined(Transport::Ssh);
    let state = ada.place("XDG_STATE_HOME").join("git-muster");
    let hubs = ada.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let id = "019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f";
    let unfinished = hubs.join(format!(".hub.git.{id}"));
    let look = ada.place("TMPDIR").join(format!("muster-look-{id}"));
    for folder in [&unfinished, &look] {
        fs::create_dir(folder).unwrap();
        old_file(folder.join("HEAD"));
        aged(folder.clone());
    }
    let gone = [
        old_file(state.join(format!(".muster.{id}.tmp"))),
        old_file(state.join(format!("sessions/.muster.{id}.tmp"))),
        old_file(state.join(format!("ops/{id}.flock"))),
        unfinished,
        look,
    ];
    let kept = [
        old_file(state.join(".muster.notes")),
        old_file(hubs.join("notes.tmp")),
        old_file(ada.place("TMPDIR").join("muster-look-like-a-file")),
    ];
    // Whoever keeps the cache or the temporary files elsewhere has other folders there.
    let foreign =
        [hubs.join(".precious"), hubs.join(".x.git"), ada.place("TMPDIR").join("muster-look-alike")];
    for folder in &foreign {
        fs::create_dir(folder).unwrap();
        aged(folder.clone());
    }
    let young = state.join(".muster.young.tmp");
    fs::write(&young, "").unwrap();
    let session = ada.session();
    assert_mended(&ada, "leftovers", "warning", gone.len());
    assert!(gone.iter().all(|path| !path.exists()));
    assert!(kept.iter().chain(&foreign).chain([&young, &session]).all(|path| path.exists()));
}
