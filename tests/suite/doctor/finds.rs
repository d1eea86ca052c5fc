//! What is wrong is found, with its evidence, and the other checks are made all the same.

use super::{aged, check, commit_from_the_future, copies, equipped, expect, joined, obey, old_file, program};
use crate::support::{Fleet, Host, HostCommand, MAIN, RUN_BOUND, Transport, eventually, git, gits, need};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn everything_is_fine_over_every_transport() {
    Transport::each(&Transport::ALL, |transport| {
        let (_fleet, ada) = joined(transport);
        let report = ada.run(["doctor", "--json"]).success().json();
        assert_eq!(report["verdict"], "ok", "{transport:?} {report:#}");
        assert_eq!((&report["schema"], &report["kind"]), (&1.into(), &"doctor".into()));
    });
}

#[test]
fn everything_is_fine_with_every_version_of_git() {
    for git in gits() {
        let fleet = Fleet::over(Transport::Ssh).with_git(&git.program).founded();
        let ada = equipped(fleet.host("ada"));
        ada.run(["join", "--as", "ada"]).success();
        ada.run(["heartbeat"]).success();
        let report = ada.run(["doctor", "--json"]).success().json();
        assert_eq!(report["verdict"], "ok", "{report:#}");
        expect(&ada, "git", "ok", &git.version);
    }
}

#[test]
fn without_git_everything_else_is_still_told() {
    let (_fleet, mut ada) = joined(Transport::Ssh);
    let empty = ada.place("HOME").join("empty");
    fs::create_dir(&empty).unwrap();
    ada.set("PATH", &empty);
    expect(&ada, "git", "problem", "cannot use the program `git`");
    let report = ada.run(["doctor", "--json"]).code(1).json();
    let verdict = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!(verdict("hub-reachable"), "problem");
    for name in ["identity", "folders", "disk", "operations", "copy", "stale-locks"] {
        assert_eq!(verdict(name), "ok", "{report:#}");
    }
    assert_eq!(verdict("hub-documents"), "skipped");
    // A hub that is opened in place needs none.
    let (_fleet, mut bob) = joined(Transport::Path);
    bob.set("PATH", &empty);
    expect(&bob, "git", "warning", "opened in place");
    expect(&bob, "hub-reachable", "ok", "opened in place");
}

#[test]
fn an_old_git_is_found_where_it_lies() {
    let (_fleet, ada) = joined(Transport::Ssh);
    program(&ada.place("HOME").join("bin"), "git", "#!/bin/sh\necho git version 2.30.1\n");
    let check = expect(&ada, "git", "problem", "2.30.1 is too old");
    assert!(check["evidence"].as_str().unwrap().contains("home/bin/git"), "{check:#}");
}

#[test]
fn a_hub_that_is_away_is_told_with_what_git_said() {
    Transport::each(&Transport::ALL, |transport| {
        let (fleet, ada) = joined(transport);
        fleet.hub().go_down();
        let check = expect(&ada, "hub-reachable", "problem", "cannot be reached");
        expect(&ada, "hub-documents", "skipped", "see hub-reachable");
        expect(&ada, "identity", "ok", "ada");
        fleet.hub().come_back();
        // What the command tells is why; with the hub back it is nothing. Of a folder that is not
        // there is nothing more to tell.
        match transport {
            Transport::Path | Transport::FileUrl => {
                assert_eq!(check["findings"][0].get("mend"), None, "{check:#}");
            }
            _ => drop(obey(&ada, &check)),
        }
        expect(&ada, "hub-reachable", "ok", "");
    });
}

#[test]
fn a_hub_that_never_answers_is_given_up_and_what_was_started_is_ended() {
    let (_fleet, mut ada) = joined(Transport::Path);
    let mark = ada.place("TMPDIR").join("started");
    let script = format!("#!/bin/sh\necho $$ >>'{}'\nexec sleep 1000\n", mark.display());
    program(&ada.place("HOME").join("bin"), "hanging-ssh", &script);
    ada.set("GIT_SSH_COMMAND", "hanging-ssh");
    ada.set("MUSTER_HUB", "ssh://hub.invalid/hub.git");
    ada.set("MUSTER_TIMEOUT", "1s");
    let report = ada.run(["doctor", "--json"]).code(1).json();
    assert!(report.to_string().contains("it did not answer in time"), "{report:#}");
    assert_eq!(report["counts"]["problem"], 1, "{report:#}");
    for process in fs::read_to_string(mark).unwrap().lines() {
        // Whoever takes up orphans may need a moment to see that it ended.
        eventually(RUN_BOUND, || !Path::new("/proc").join(process).exists());
    }
    let left: Vec<_> =
        fs::read_dir(ada.place("TMPDIR")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["started"]);
}

#[test]
fn a_place_that_is_no_hub_is_named_and_the_command_makes_one() {
    for transport in [Transport::Path, Transport::Ssh] {
        let fleet = Fleet::over(transport);
        let ada = equipped(fleet.host("ada"));
        let check = expect(&ada, "hub-reachable", "problem", "has no branch `main`");
        obey(&ada, &check);
        expect(&ada, "hub-reachable", "ok", "");
        let check = expect(&ada, "registration", "problem", "ada is not");
        obey(&ada, &check);
        expect(&ada, "registration", "ok", "registered by this machine");
        expect(&ada, "beat", "ok", "");
    }
    let mut ada = equipped(Fleet::new().host("ada"));
    ada.unset("MUSTER_HUB");
    let check = expect(&ada, "hub-reachable", "problem", "no hub is named");
    obey(&ada, &check);
    expect(&ada, "hub-reachable", "ok", "opened in place");
}

#[test]
fn a_work_tree_is_no_hub_and_the_command_makes_one_of_it() {
    let (fleet, _ada) = joined(Transport::Path);
    let bob = fleet.host_in_clone("bob");
    let mut cyd = equipped(fleet.host("cyd"));
    cyd.set("MUSTER_HUB", bob.directory());
    let check = expect(&cyd, "hub-reachable", "problem", "has a work tree");
    obey(&cyd, &check);
    cyd.set("MUSTER_HUB", format!("{}.git", bob.directory().display()));
    expect(&cyd, "hub-reachable", "ok", "");
}

#[test]
fn a_branch_that_is_no_hub_leads_to_the_one_that_is() {
    let (fleet, _ada) = joined(Transport::Path);
    let mut bob = equipped(fleet.host_in_clone("bob"));
    bob.run(["join", "--as", "bob"]).success();
    bob.git(["config", "muster.branch", "work"]).success();
    let check = expect(&bob, "hub-reachable", "problem", "the hub is in another branch");
    obey(&bob, &check);
    // What `join` writes would change nothing of a variable.
    bob.set("MUSTER_BRANCH", "work");
    let check = expect(&bob, "hub-reachable", "problem", "a variable comes first");
    assert_eq!(super::mend(&check), "export MUSTER_BRANCH=main");
}

#[test]
fn a_damaged_hub_is_told_and_the_command_says_what_is_missing() {
    let (fleet, ada) = joined(Transport::Path);
    let id = fleet.hub().git(["rev-parse", "main:coordination"]).trim().to_owned();
    fs::remove_file(fleet.hub().path().join("objects").join(&id[..2]).join(&id[2..])).unwrap();
    let check = expect(&ada, "hub-reachable", "problem", "the hub is damaged");
    let said = ada.program("sh").args(["-c", &super::mend(&check)]).run();
    assert!(said.to_string().contains(&id) && said.exit_code() != Some(0), "{said}");
}

#[test]
fn a_main_branch_whose_ref_is_empty_is_put_back_by_the_line_that_commands_name() {
    for is_shared in [false, true] {
        let (fleet, ada) = joined(Transport::Path);
        let tip = fleet.hub().tip("main").unwrap();
        if is_shared {
            fleet.hub().git(["config", "core.sharedRepository", "group"]);
        }
        fs::write(fleet.hub().path().join("refs/heads/main"), "").unwrap();
        let said = ada.run(["job", "list"]);
        assert_ne!(said.exit_code(), Some(0), "{said}");
        let check = expect(&ada, "hub-reachable", "problem", "refs/heads/main");
        if is_shared {
            // Through git the ref is one that is left out: both say how it comes back.
            let advice = check["findings"][0]["what"].as_str().unwrap();
            assert!(said.stderr().contains(advice), "{said}{check:#}");
            continue;
        }
        let line = super::mend(&check);
        assert!(said.stderr().contains(&format!("`{line}`")), "{said}{check:#}");
        ada.program("sh").args(["-c", &line]).run().success();
        assert_eq!(fleet.hub().tip("main").as_ref(), Some(&tip));
        expect(&ada, "hub-reachable", "ok", "");
    }
}

#[test]
fn without_a_temporary_folder_what_needs_none_is_still_told() {
    let (_fleet, mut ada) = joined(Transport::FileUrl);
    ada.set("TMPDIR", "/proc/none");
    expect(&ada, "hub-reachable", "ok", "opened in place");
    ada.set("MUSTER_HUB", "ssh://hub.invalid/hub.git");
    expect(&ada, "hub-reachable", "problem", "TMPDIR");
    expect(&ada, "identity", "ok", "");
}

/// A user other than ours who owns nothing, and whom permissions bind.
const NOBODY: &str = "65534";

fn are_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn give_to_nobody(folder: &Path) {
    let given = Command::new("chown").args(["-R", NOBODY]).arg(folder).status().unwrap();
    assert!(given.success());
}

/// A program on a host that belongs, as its hub does, to a user whom permissions bind.
fn bound_by_permissions(fleet: &Fleet, host: &Host, program: &str) -> HostCommand {
    if !are_root() {
        return host.program(program);
    }
    give_to_nobody(host.place("HOME").parent().unwrap().parent().unwrap());
    give_to_nobody(fleet.hub().path().parent().unwrap());
    let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
    host.program("setpriv").args(ids).args([program])
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_may_not_be_written_is_told_without_writing_and_the_command_opens_it() {
    let (fleet, ada) = joined(Transport::Path);
    let state = ada.place("XDG_STATE_HOME").join("git-muster");
    for (name, folder) in [("hub-writable", fleet.hub().path().join("objects")), ("folders", state)] {
        let look = || {
            let program = bound_by_permissions(&fleet, &ada, env!("CARGO_BIN_EXE_git-muster"));
            program.args(["doctor", "--json", name]).run().json()["checks"][0].clone()
        };
        assert_eq!(look()["verdict"], "ok");
        set_mode(&folder, 0o555);
        let check = look();
        assert_eq!(check["verdict"], "problem", "{check:#}");
        assert!(check.to_string().contains(&folder.display().to_string()), "{check:#}");
        let command = super::mend(&check);
        bound_by_permissions(&fleet, &ada, "sh").args(["-c", &command]).run().success();
        assert_eq!(look()["verdict"], "ok", "{command}");
    }
}

#[test]
fn a_hub_of_another_user_is_trusted_by_the_command() {
    if !are_root() {
        return;
    }
    let (fleet, mut ada) = joined(Transport::Path);
    // The file in the home is the user's own again.
    ada.unset("GIT_CONFIG_GLOBAL");
    give_to_nobody(fleet.hub().path());
    let check = expect(&ada, "hub-reachable", "problem", "not owned by current user");
    obey(&ada, &check);
    expect(&ada, "hub-reachable", "ok", "because it belongs to another user");
    expect(&ada, "hub-writable", "ok", "");
}

#[test]
fn a_hub_over_a_connection_that_does_not_take_pushes_is_told() {
    let (fleet, ada) = joined(Transport::Http);
    expect(&ada, "hub-writable", "ok", "as far as a push that is not made can tell");
    fleet.hub().git(["config", "http.receivepack", "false"]);
    if fleet.hub().url().starts_with("http") {
        expect(&ada, "hub-writable", "problem", "403");
        expect(&ada, "hub-reachable", "ok", "");
        fleet.hub().git(["config", "http.receivepack", "true"]);
        expect(&ada, "hub-writable", "ok", "");
    }
}

#[test]
fn hooks_and_rules_of_a_hub_are_told_with_what_follows() {
    let (fleet, ada) = joined(Transport::Path);
    expect(&ada, "hub-hooks", "ok", "the hub has none");
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nexit 0\n");
    expect(&ada, "hub-hooks", "ok", "pre-receive, so every write goes through git push");
    expect(&ada, "hub-reachable", "ok", "through git, because it has server hooks");
    fleet.hub().install_hook("update", "#!/bin/sh\nexit 0\n");
    set_mode(&fleet.hub().path().join("hooks/update"), 0o644);
    let check = expect(&ada, "hub-hooks", "warning", "update of the hub is not executable");
    obey(&ada, &check);
    expect(&ada, "hub-hooks", "ok", "pre-receive, update");
    for (key, value, verdict, said) in [
        ("receive.denyDeletes", "true", "ok", "hinders nothing"),
        ("receive.denyNonFastForwards", "true", "warning", "grow by a commit with each beat"),
        ("receive.advertiseAtomic", "false", "problem", "no job of a lost server can be taken back"),
    ] {
        fleet.hub().git(["config", key, value]);
        let check = expect(&ada, "hub-protection", verdict, said);
        if verdict == "ok" {
            fleet.hub().git(["config", "--unset", key]);
        } else {
            obey(&ada, &check);
        }
        expect(&ada, "hub-protection", "ok", "");
    }
    // A beat that cannot be replaced is appended, and then the branch can be made short again.
    fleet.hub().git(["config", "receive.denyNonFastForwards", "true"]);
    ada.run(["heartbeat"]).success();
    // As long as the hub does not take what makes it short, that is not advised.
    let check = expect(&ada, "heartbeat-branches", "warning", "see hub-protection first");
    assert!(!check.to_string().contains("squash"), "{check:#}");
    fleet.hub().git(["config", "receive.denyNonFastForwards", "false"]);
    let check = expect(&ada, "heartbeat-branches", "warning", "heartbeat-ada holds more than one commit");
    obey(&ada, &check);
    expect(&ada, "heartbeat-branches", "ok", "1 heartbeat branch");
}

#[test]
fn hooks_of_the_clone_are_told() {
    let (fleet, _ada) = joined(Transport::Path);
    let bob = fleet.host_in_clone("bob");
    let hooks = bob.directory().join(".git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    program(&hooks, "pre-push", "#!/bin/sh\n");
    expect(&bob, "hub-hooks", "warning", "pre-push of the clone does not run");
}

#[test]
fn a_commit_from_the_future_tells_that_a_clock_is_wrong() {
    for transport in [Transport::Path, Transport::Ssh] {
        let (fleet, ada) = joined(transport);
        expect(&ada, "clock", "ok", "by ada on");
        commit_from_the_future(&fleet, MAIN, "bob", Duration::from_secs(30));
        expect(&ada, "clock", "warning", "the clock of bob is ahead or this host's is behind");
        commit_from_the_future(&fleet, MAIN, "bob", Duration::from_secs(7200));
        expect(&ada, "clock", "problem", "1h 59m");
        commit_from_the_future(&fleet, "heartbeat-ada", "ada", Duration::from_secs(7200));
        expect(&ada, "clock", "problem", "and so are those of 1 others");
    }
}

#[test]
fn a_clock_that_nobody_sets_is_told() {
    let (_fleet, ada) = joined(Transport::Path);
    expect(&ada, "clock-sync", "ok", "");
    let bin = ada.place("HOME").join("bin");
    program(&bin, "timedatectl", "#!/bin/sh\necho no\n");
    expect(&ada, "clock-sync", "warning", "set-ntp");
    program(&bin, "timedatectl", "#!/bin/sh\necho 'System has not been booted with systemd' >&2; exit 1\n");
    expect(&ada, "clock-sync", "skipped", "");
}

#[test]
fn lock_files_that_a_killed_process_left_are_told_and_the_command_removes_them() {
    if !need::is_here(&["fuser"]) {
        return;
    }
    let (fleet, ada) = joined(Transport::Path);
    let bob = equipped(fleet.host_in_clone("bob"));
    fs::write(fleet.hub().path().join("refs/heads/main.lock"), "").unwrap();
    expect(&bob, "stale-locks", "ok", "1 lock file in use");
    for (host, path) in [
        (&ada, fleet.hub().path().join("refs/heads/main.lock")),
        (&ada, fleet.hub().path().join("packed-refs.lock")),
        (&bob, bob.directory().join(".git/index.lock")),
    ] {
        let path = old_file(path);
        let check = expect(host, "stale-locks", "problem", "3h old");
        // Somebody still has it: the command leaves it alone.
        let held = fs::File::open(&path).unwrap();
        let refused = host.program("sh").args(["-c", &super::mend(&check)]).run();
        assert!(path.exists() && refused.exit_code() != Some(0), "{refused}");
        drop(held);
        obey(host, &check);
        assert!(!path.exists());
        expect(host, "stale-locks", "ok", "");
    }
}

#[test]
fn two_machines_under_one_name_are_told_on_the_second() {
    let (fleet, ada) = joined(Transport::Path);
    let mut other = equipped(fleet.host("other"));
    other.set("MUSTER_SERVER", "ada");
    other.run(["init"]).success();
    other.run(["join", "--as", "other"]).success();
    let check = expect(&other, "registration", "problem", "two machines under one name");
    expect(&ada, "registration", "ok", "");
    obey(&other, &check);
    expect(&other, "registration", "ok", "");
    expect(&ada, "registration", "problem", "two machines under one name");
    other.unset("MUSTER_SERVER");
    let mut nobody = equipped(fleet.host("nobody"));
    nobody.unset("MUSTER_SERVER");
    let check = expect(&nobody, "identity", "warning", "nothing says which server this is");
    obey(&nobody, &check);
    expect(&nobody, "identity", "ok", "config.json");
    nobody.set("MUSTER_SERVER", "bad name!");
    expect(&nobody, "identity", "problem", "what MUSTER_SERVER says is no name");
    expect(&nobody, "hub-reachable", "ok", "");
}

#[test]
fn a_beat_that_is_missing_late_or_ended_is_told() {
    let (fleet, ada) = joined(Transport::Path);
    let beat = |more: &str| {
        let text = format!("{{\"server\": \"ada\", \"timestamp\": \"2020-01-01T00:00:00Z\"{more}}}\n");
        for branch in [MAIN, "heartbeat-ada"] {
            fleet.hub().put(branch, &[("ada/heartbeat.json", &text)], "a beat");
        }
    };
    expect(&ada, "beat", "ok", "one is meant every 1m");
    beat("");
    let check = expect(&ada, "beat", "problem", "nothing on this host beats for it");
    obey(&ada, &check);
    expect(&ada, "beat", "ok", "");
    beat(", \"revoked\": \"taken by bob\"");
    expect(&ada, "beat", "problem", "another server ended its session (taken by bob)");
}

#[test]
fn heartbeat_branches_of_strangers_grown_and_broken_ones_are_told() {
    let (fleet, ada) = joined(Transport::Path);
    fleet.hub().put("heartbeat-ghost", &[("ghost/heartbeat.json", "{}")], "boo");
    expect(&ada, "heartbeat-branches", "warning", "heartbeat-ghost holds no beat of a registered server");
    fleet.hub().git(["update-ref", "-d", "refs/heads/heartbeat-ghost"]);
    fleet.hub().put("heartbeat-ada", &[("ada/heartbeat.json", "<<<<<<<")], "broken");
    let check = expect(&ada, "heartbeat-branches", "problem", "so ada looks dead");
    assert!(check.to_string().contains("holds 2 commits"), "{check:#}");
    ada.run(["heartbeat"]).success();
    expect(&ada, "heartbeat-branches", "ok", "");
}

#[test]
fn documents_that_cannot_be_read_are_named() {
    for transport in [Transport::Path, Transport::Ssh] {
        let (fleet, ada) = joined(transport);
        fleet.hub().put(MAIN, &[("coordination/jobs.json", "{\"version\": 2, \"jobs\": []}")], "newer");
        expect(&ada, "hub-documents", "warning", "layout version 2");
        let broken = [("coordination/jobs.json", "<<<<<<< HEAD"), ("ada/status.json", "[")];
        fleet.hub().put(MAIN, &broken, "broken");
        let check = expect(&ada, "hub-documents", "problem", "coordination/jobs.json cannot be read");
        assert!(check.to_string().contains("ada/status.json"), "{check:#}");
        assert!(check.to_string().contains("`git muster fsck` shows"), "{check:#}");
        assert_eq!(check["findings"][0].get("mend"), None, "showing mends nothing: {check:#}");
        expect(&ada, "document-size", "ok", "0 messages");
        expect(&ada, "registration", "ok", "");
    }
}

#[test]
fn full_documents_are_emptied_by_the_command() {
    let (fleet, ada) = joined(Transport::Path);
    let job = |number: usize| {
        format!(
            "{{\"id\": \"j{number}\", \"status\": \"completed\", \"completed_at\": \"2025-01-01T00:00:00Z\"}}"
        )
    };
    let jobs: Vec<String> = (0..1500).map(job).collect();
    let text = format!("{{\"jobs\": [{}]}}", jobs.join(","));
    fleet.hub().put(MAIN, &[("coordination/jobs.json", text)], "full");
    let check = expect(&ada, "document-size", "warning", "1500 of them could be archived");
    obey(&ada, &check);
    expect(&ada, "document-size", "ok", "0 jobs");
}

#[test]
fn an_untidy_repository_is_tidied_by_the_command() {
    let (fleet, ada) = joined(Transport::Path);
    expect(&ada, "repository-size", "ok", "loose object");
    // One commit with as many files as make it untidy; below the limit git keeps them loose.
    let files: String =
        (0..10_100).map(|n| format!("M 644 inline notes/{n}\ndata {}\n{n}\n", n.to_string().len())).collect();
    let stream =
        format!("commit refs/heads/notes\ncommitter x <x@example.invalid> 1 +0000\ndata 1\nx\n{files}done\n");
    let import = ["-c", "fastimport.unpackLimit=1000000", "fast-import", "--quiet", "--done"];
    let run = ada.program("git").args(import).current_dir(fleet.hub().path()).stdin(stream).run();
    drop(run.success());
    let check = expect(&ada, "repository-size", "warning", "is untidy");
    obey(&ada, &check);
    // What nothing leads to git before 2.41 leaves in a file of its own, and a newer one in a pack.
    expect(&ada, "repository-size", "ok", " pack");
    git(fleet.hub().path(), ["fsck", "--no-dangling"]);
}

#[test]
fn settings_that_cannot_be_used_hide_nothing() {
    let (_fleet, mut ada) = joined(Transport::Path);
    expect(&ada, "settings", "ok", "MUSTER_HUB");
    ada.set("SERVER_ID", "someone-else");
    expect(&ada, "settings", "warning", "MUSTER_SERVER is `ada` and SERVER_ID is `someone-else`");
    ada.set("HEARTBEAT_PUSH_EVERY", "often");
    ada.set("MUSTER_TIMEOUT", "soon");
    let config = ada.place("XDG_CONFIG_HOME").join("git-muster/config.json");
    fs::write(&config, "{\"hob\": 1}").unwrap();
    let check = expect(&ada, "settings", "problem", "unknown field `hob`");
    assert_eq!(check["findings"].as_array().unwrap().len(), 4, "{check:#}");
    expect(&ada, "hub-reachable", "ok", "");
    ada.run(["job", "list"]).code(78);
    let bob = Host::clone(&ada);
    expect(&bob, "registration", "ok", "");
}

#[test]
fn a_damaged_clone_is_mended_by_the_command() {
    let (fleet, _ada) = joined(Transport::Ssh);
    let bob = fleet.host_in_clone("bob");
    expect(&bob, "copy", "ok", "the clone");
    let store = bob.directory().join(".git");
    let id = git(&store, ["rev-parse", "origin/main:coordination/jobs.json"]).trim().to_owned();
    for pack in fs::read_dir(store.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::remove_file(pack).unwrap();
    }
    let check = expect(&bob, "copy", "problem", "commands in this clone fail");
    obey(&bob, &check);
    expect(&bob, "copy", "ok", "are sound");
    git(&store, ["cat-file", "-e", &id]);
}

#[test]
fn what_is_here_already_is_not_fetched_again_unless_it_is_damaged() {
    let (fleet, ada) = joined(Transport::Ssh);
    // A large file of somebody who uses the repository for other things too; it does not compress.
    let noise: Vec<u8> = (0..500_000_u64).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[1]).collect();
    fleet.hub().put(MAIN, &[("video.bin", noise)], "not for us");
    ada.run(["job", "list"]).success();
    let copy = copies(&ada).remove(0);
    let blob = git(&copy, ["rev-parse", "origin/main:video.bin"]).trim().to_owned();
    let loose = copy.join("objects").join(&blob[..2]).join(&blob[2..]);
    let report = || ada.run(["doctor", "--json", "hub-reachable", "copy"]).success().json();
    assert_eq!(report()["verdict"], "ok");
    // No document is damaged, so only the fetch can stumble over it; the hub is read all the same.
    if loose.exists() {
        fs::remove_file(&loose).unwrap();
    } else {
        for pack in fs::read_dir(copy.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path()) {
            fs::remove_file(pack).unwrap();
        }
    }
    fleet.hub().put(MAIN, &[("other.bin", "x")], "news");
    expect(&ada, "hub-reachable", "ok", "");
    expect(&ada, "hub-documents", "ok", "documents");
}

#[test]
fn what_comes_from_others_is_clean_and_no_password_is_shown() {
    let (fleet, mut ada) = joined(Transport::Path);
    commit_from_the_future(&fleet, MAIN, "'ev\u{1b}[2Jil'", Duration::from_secs(7200));
    fleet.hub().install_hook("update", "#!/bin/sh\n");
    let run = ada.run(["doctor"]).code(1);
    assert!(!run.stdout().contains('\u{1b}') && run.stdout().contains("\\u{1b}"), "{run}");
    ada.set("MUSTER_HUB", "https://bob:s3cret@127.0.0.1:1/hub.git");
    let run = ada.run(["doctor"]).code(1);
    assert!(!run.to_string().contains("s3cret"), "{run}");
    let run = ada.run(["--hub", "https://bob:s3cret@127.0.0.1:1/hub.git", "doctor", "--json"]).code(1);
    assert!(!run.to_string().contains("s3cret"), "{run}");
    assert!(copies(&ada).is_empty());
    drop(aged(ada.place("HOME")));
}

#[test]
fn what_is_not_there_is_not_judged_and_no_command_is_named_that_mends_nothing() {
    let fleet = Fleet::new();
    let mut nobody = equipped(fleet.host("nobody"));
    nobody.unset("MUSTER_SERVER");
    nobody.set("MUSTER_HUB", "/nonexistent/hub.git");
    for name in ["identity", "hub-reachable"] {
        let check = check(&nobody, name);
        assert_eq!(check["findings"][0].get("mend"), None, "{check:#}");
    }
    nobody.unset("MUSTER_HUB");
    for name in ["copy", "hub-hooks", "hub-protection"] {
        expect(&nobody, name, "skipped", "no hub is named");
    }
    expect(&nobody, "settings", "ok", "no hub, branch main");
    nobody.run(["doctor", "identity"]).success();
}

/// What is checked out needs more than what was fetched last.
#[test]
fn a_clone_without_what_it_has_checked_out_is_damaged() {
    let (fleet, _ada) = joined(Transport::Ssh);
    let bob = fleet.host_in_clone("bob");
    let top = bob.directory();
    fs::write(top.join("note"), "x").unwrap();
    bob.git(["add", "note"]).success();
    bob.git(["commit", "-qm", "a note"]).success();
    expect(&bob, "copy", "warning", "has commits that the hub does not have");
    let id = bob.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    fs::remove_file(top.join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    let check = expect(&bob, "copy", "problem", "commands in this clone fail");
    obey(&bob, &check);
    assert!(Path::new(&format!("{}.new", top.display())).join("coordination/jobs.json").exists());
}

#[test]
fn where_a_clone_leaves_unclear_which_hub_is_meant_no_other_is_made() {
    let fleet = Fleet::new().founded();
    let mut bob = fleet.host_in_clone("bob");
    bob.unset("MUSTER_HUB");
    let elsewhere = bob.place("HOME").join("elsewhere.git").display().to_string();
    git(bob.directory(), ["config", "remote.origin.pushurl", &elsewhere]);
    expect(&bob, "settings", "problem", "cannot determine the hub");
    let check = expect(&bob, "hub-reachable", "problem", "see settings");
    assert!(!check.to_string().contains("init"), "{check:#}");
    // Where nothing at all names one, it is the first thing to do.
    let mut ada = fleet.host("ada");
    ada.unset("MUSTER_HUB");
    let check = expect(&ada, "hub-reachable", "problem", "no hub is named");
    assert!(check.to_string().contains("git muster init"), "{check:#}");
}
