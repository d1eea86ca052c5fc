//! Hubs that were made by real commands and then damaged by real git: each sort of damage is found,
//! and whoever works by the rules is not accused.

use crate::support::{Fleet, Host, MAIN, Transport, git, inspect};
use git_muster::inside::FindingCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const JOBS: &str = "coordination/jobs.json";
const LOCKS: &str = "coordination/locks.json";
const MESSAGES: &str = "coordination/messages.json";
const SERVERS: &str = "coordination/servers.json";

/// A hub at work: a job that was completed, one that `ada` holds, one that is queued, a lock that
/// `ada` holds, one that is free, a thing that was done once, a message that was read.
fn at_work(fleet: &Fleet) -> (Host, Host) {
    let (ada, bob) = (fleet.host("ada"), fleet.host("bob"));
    ada.run(["init", &fleet.hub().url()]).success();
    for host in [&ada, &bob] {
        host.run(["join", "--as", host.name()]).success();
    }
    for _ in 0..3 {
        ada.run(["job", "add", "--type", "build"]).success();
    }
    let first = ada.run(["job", "claim", "--json"]).success().json()["id"].as_str().unwrap().to_owned();
    ada.run(["job", "complete", &first, "--token", "1"]).success();
    ada.run(["job", "claim", "--start"]).success();
    ada.run(["lock", "acquire", "held"]).success();
    ada.run(["lock", "acquire", "free"]).success();
    ada.run(["lock", "release", "free", "--token", "1"]).success();
    ada.run(["once", "do", "once"]).success();
    ada.run(["once", "done", "once", "--token", "1"]).success();
    ada.run(["message", "send", "--to", "bob", "--subject", "hi"]).success();
    bob.run(["message", "read"]).success();
    ada.run(["heartbeat"]).success();
    (ada, bob)
}

/// What `fsck --history` finds: severity and rule, each once, and whether a hand is blamed.
fn found(host: &Host, code: i32) -> BTreeSet<String> {
    let report = host.run(["fsck", "--history", "--json"]).code(code).json();
    let told = |finding: &Value| {
        let by_hand = finding["commit"]["by_hand"] == json!(true);
        let hand = if by_hand { " by hand" } else { "" };
        format!("{} {}{hand}", finding["severity"].as_str().unwrap(), finding["kind"].as_str().unwrap())
    };
    report["findings"].as_array().unwrap().iter().map(told).collect()
}

fn set(told: &[&str]) -> BTreeSet<String> {
    told.iter().map(ToString::to_string).collect()
}

/// What somebody does to a document by hand.
type Edit = fn(&mut Value);

/// Edits by hand and what must be found of each. Of the jobs, 0 is completed, 1 running, 2 queued.
const EDITS: &[(&str, Edit, &[&str])] = &[
    (JOBS, |jobs| jobs["jobs"][2]["status"] = json!("completed"), &["error illegal-step by hand"]),
    (JOBS, |jobs| jobs["jobs"][0]["status"] = json!("failed"), &["error illegal-step by hand"]),
    (JOBS, |jobs| jobs["jobs"][1]["token"] = json!(0), &["error token-lowered by hand"]),
    (
        JOBS,
        |jobs| drop(jobs["jobs"][1].as_object_mut().unwrap().remove("token")),
        &["error token-lowered by hand", "warning held-without-token"],
    ),
    (JOBS, |jobs| jobs["jobs"][1]["token"] = json!(9), &["warning token-skipped by hand"]),
    (JOBS, |jobs| jobs["jobs"][0]["token"] = json!(2), &["error token-without-claim by hand"]),
    (JOBS, |jobs| jobs["jobs"][1]["assigned_to"] = json!("bob"), &["error handed-over by hand"]),
    (
        JOBS,
        |jobs| jobs["jobs"][1]["assigned_to"] = json!("ghost"),
        &["error handed-over by hand", "warning held-by-stranger"],
    ),
    (
        SERVERS,
        |servers| drop(servers["servers"].as_array_mut().unwrap().pop()),
        &["warning server-vanished by hand"],
    ),
    (
        JOBS,
        |jobs| jobs["jobs"][1]["assigned_to"] = Value::Null,
        &["error handed-over by hand", "error held-by-nobody by hand"],
    ),
    (
        JOBS,
        |jobs| jobs["jobs"][2]["status"] = json!("running"),
        &[
            "warning claimed-without-token by hand",
            "error held-by-nobody by hand",
            "warning held-without-token",
        ],
    ),
    (
        JOBS,
        |jobs| {
            jobs["jobs"][2]["status"] = json!("in_progress");
            jobs["jobs"][2]["assigned_to"] = json!("bob");
        },
        &["warning claimed-without-token by hand", "warning held-without-token"],
    ),
    (JOBS, |jobs| jobs["jobs"][2]["command"] = json!(["rm"]), &["warning job-rewritten by hand"]),
    (JOBS, |jobs| drop(jobs["jobs"].as_array_mut().unwrap().remove(2)), &["error job-vanished by hand"]),
    (
        JOBS,
        |jobs| {
            let copy = jobs["jobs"][0].clone();
            jobs["jobs"].as_array_mut().unwrap().push(copy);
        },
        &["error id-twice by hand"],
    ),
    (
        JOBS,
        |jobs| jobs["jobs"][2]["needs"] = json!(["gone"]),
        &["warning job-rewritten by hand", "warning unknown-need"],
    ),
    (
        JOBS,
        |jobs| jobs["jobs"][2]["status"] = json!("frobbed"),
        &["error illegal-step by hand", "warning unknown-status"],
    ),
    (JOBS, |jobs| jobs["jobs"][2]["priority"] = json!([]), &["error broken-record by hand"]),
    (JOBS, |jobs| jobs["version"] = json!(2), &["warning newer-layout"]),
    (LOCKS, |locks| locks["locks"]["held"]["locked_by"] = json!("bob"), &["error handed-over by hand"]),
    (
        LOCKS,
        |locks| locks["locks"]["held"]["token"] = json!(0),
        &["error token-lowered by hand", "warning token-lowered"],
    ),
    (
        LOCKS,
        |locks| locks["locks"]["free"]["locked_by"] = json!("bob"),
        &["warning taken-without-token by hand"],
    ),
    (
        LOCKS,
        |locks| drop(locks["locks"].as_object_mut().unwrap().remove("free")),
        &["error lock-vanished by hand"],
    ),
    (
        LOCKS,
        |locks| drop(locks["locks"]["once"].as_object_mut().unwrap().remove("done_at")),
        &["error undone by hand"],
    ),
    (
        LOCKS,
        |locks| locks["locks"]["seed"] = json!({"locked_by": "bob"}),
        &["note held-without-token", "note taken-without-token by hand"],
    ),
    (MESSAGES, |messages| messages["messages"] = json!([]), &["error message-vanished by hand"]),
    (MESSAGES, |messages| messages["messages"][0]["body"] = json!("x"), &["error message-rewritten by hand"]),
    (MESSAGES, |messages| messages["messages"][0]["read"] = json!(false), &["error unread-again by hand"]),
    (MESSAGES, |messages| messages["messages"][0]["read_by"] = json!([]), &["error unread-again by hand"]),
    (
        JOBS,
        |jobs| jobs["jobs"].as_array_mut().unwrap().push(json!({"id": "own", "status": "completed"})),
        &["warning began-midway by hand"],
    ),
    (
        JOBS,
        |jobs| jobs["jobs"].as_array_mut().unwrap().push(json!({"id": "../x", "status": "queued"})),
        &["error bad-id by hand"],
    ),
    (
        JOBS,
        |jobs| {
            let id = jobs["jobs"][2]["id"].clone();
            jobs["jobs"][2]["needs"] = json!([id]);
        },
        &["warning job-rewritten by hand", "warning needs-in-circle"],
    ),
    (
        LOCKS,
        |locks| locks["locks"]["held"]["token"] = json!(1_u64 << 60),
        &["error token-impossible", "warning token-skipped by hand"],
    ),
    (
        MESSAGES,
        |messages| {
            let more = json!({"id": "own", "to": "../x", "reply_to": "gone"});
            messages["messages"].as_array_mut().unwrap().push(more);
        },
        &["warning bad-name", "note unknown-message"],
    ),
    (
        SERVERS,
        |servers| servers["servers"].as_array_mut().unwrap().push(json!({"id": "ADA"})),
        &["warning names-alike"],
    ),
    ("ada/status.json", |status| status["server"] = json!("bob"), &["note other-server"]),
    // What other writers may do.
    (LOCKS, |locks| locks["locks"]["held"]["locked_by"] = Value::Null, &[]),
    (JOBS, |jobs| jobs["jobs"].as_array_mut().unwrap().push(json!({"id": "own", "status": "queued"})), &[]),
    (JOBS, |jobs| jobs["jobs"][2]["own"] = json!({"field": 1}), &[]),
    (JOBS, |jobs| jobs["jobs"][2]["status"] = json!("pending"), &[]),
    (
        MESSAGES,
        |messages| messages["messages"].as_array_mut().unwrap().push(json!({"id": "own", "to": "all"})),
        &[],
    ),
];

#[test]
fn every_edit_by_hand_that_breaks_a_rule_is_found_with_its_commit() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let sound = fleet.hub().tip(MAIN).unwrap();
    assert_eq!(found(&ada, 0), set(&[]));
    for (index, (path, edit, expected)) in EDITS.iter().enumerate() {
        let mut document = inspect::document(fleet.hub(), MAIN, path);
        edit(&mut document);
        let text = serde_json::to_string_pretty(&document).unwrap();
        let commit = fleet.hub().put(MAIN, &[(path, text)], &format!("edit {index}"));
        let code = i32::from(expected.iter().any(|told| told.starts_with("error")));
        assert_eq!(found(&ada, code), set(expected), "edit {index} of {path}");
        let by_hand = ada.run(["fsck", "--history", "--json"]).code(code).json();
        assert_eq!(by_hand["by_hand"][0]["subject"], format!("edit {index}"));
        assert_eq!(by_hand["by_hand"][0]["id"], commit.as_str(), "edit {index} of {path}");
        let findings = by_hand["findings"].as_array().unwrap().iter();
        for named in findings.map(|finding| &finding["commit"]).filter(|named| !named.is_null()) {
            assert_eq!(named["id"], commit.as_str(), "edit {index} of {path}");
        }
        fleet.hub().git(["update-ref", "refs/heads/main", &sound]);
    }
}

/// Rules that no edit of one document breaks: each has a test of its own.
const BROKEN_OTHERWISE: [&str; 9] = [
    "unreadable",
    "missing",
    "live-and-archived",
    "archive-vanished",
    "archive-rewritten",
    "op-twice",
    "unsettled",
    "history-rewritten",
    "history-cut",
];

#[test]
fn every_rule_is_broken_by_some_edit() {
    let edits = EDITS.iter().flat_map(|(_, _, told)| told.iter());
    let broken = edits.map(|told| told.split(' ').nth(1).unwrap()).chain(BROKEN_OTHERWISE);
    let rules = FindingCode::HUB.iter().map(|kind| kind.as_str());
    assert_eq!(broken.collect::<BTreeSet<_>>(), rules.collect::<BTreeSet<_>>());
}

#[test]
fn what_cannot_be_read_is_found_and_what_was_lost_in_it_too() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let jobs = inspect::content(fleet.hub(), MAIN, JOBS).unwrap();
    let marked = [b"<<<<<<< HEAD\n".as_slice(), &jobs].concat();
    fleet.hub().put(MAIN, &[(JOBS, marked)], "a merge gone wrong");
    assert_eq!(found(&ada, 1), set(&["error unreadable by hand"]));
    // Whoever mends it loses a job.
    let mut document: Value = serde_json::from_slice(&jobs).unwrap();
    document["jobs"].as_array_mut().unwrap().remove(1);
    fleet.hub().put(MAIN, &[(JOBS, document.to_string())], "mended");
    assert_eq!(found(&ada, 1), set(&["error job-vanished by hand", "note unreadable by hand"]));
    fleet.hub().put(MAIN, &[(JOBS, jobs)], "mended again");
    ada.run(["fsck", "--fail-on", "note"]).success();
    // A link, a folder, a file too large.
    let clone = fleet.host_in_clone("linker");
    let at = |path: &str| clone.directory().join(path);
    fs::remove_file(at(JOBS)).unwrap();
    symlink("/etc/passwd", at(JOBS)).unwrap();
    fs::remove_file(at("ada/status.json")).unwrap();
    fs::create_dir(at("ada/status.json")).unwrap();
    fs::write(at("ada/status.json/x"), "").unwrap();
    fs::write(at("bob/status.json"), " ".repeat(33 * 1024 * 1024)).unwrap();
    clone.git(["add", "--all"]).success();
    clone.git(["commit", "--quiet", "-m", "tricks"]).success();
    clone.git(["push", "--quiet", "origin", MAIN]).success();
    let report = ada.run(["fsck", "--history", "--json"]).code(1).json();
    let findings = report["findings"].as_array().unwrap();
    let of = |path: &str| {
        let of = |finding: &&Value| {
            finding["path"] == path
                && finding["severity"] == "error"
                && finding["commit"]["subject"] == "tricks"
        };
        findings.iter().find(of).map_or(Value::Null, |finding| finding["what"].clone())
    };
    assert_eq!(of(JOBS), "it is not a file");
    assert_eq!(of("ada/status.json"), "it is not a file");
    assert!(of("bob/status.json").as_str().unwrap().contains("more than the"), "{report}");
}

#[test]
fn a_document_that_was_removed_is_one_finding_and_what_came_in_its_place_is_judged() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let clone = fleet.host_in_clone("carol");
    let push = |message: &str| {
        clone.git(["commit", "--quiet", "--all", "-m", message]).success();
        clone.git(["push", "--quiet", "origin", MAIN]).success();
    };
    clone.git(["rm", "--quiet", LOCKS]).success();
    clone.git(["mv", JOBS, "coordination/Jobs.json"]).success();
    push("tidy up");
    assert_eq!(ada.run(["fsck", "--json"]).success().json()["warnings"], 2);
    let report = ada.run(["fsck", "--history", "--json"]).code(1).json();
    assert_eq!((&report["errors"], &report["warnings"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(found(&ada, 1), set(&["error missing by hand"]));
    // As told in the hint.
    clone.git(["checkout", "HEAD^", "--", JOBS]).success();
    push("mend");
    assert_eq!(found(&ada, 1), set(&["error missing by hand", "note missing by hand"]));
    // A lock whose lease may run is put back by the next write, and with it the document.
    ada.run(["status", "set", "idle"]).success();
    ada.run(["lock", "acquire", "held"]).code(4);
    assert_eq!(found(&ada, 0), set(&["note missing by hand"]));
}

#[test]
fn what_was_lost_by_force_is_told_by_the_host_that_saw_it() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let fleet = Fleet::over(transport);
        let (ada, bob) = at_work(&fleet);
        let clone = fleet.host_in_clone("carol");
        let kept = fleet.hub().tip(MAIN).unwrap();
        for number in 0..2 {
            ada.run(["message", "send", "--to", "bob", "--subject", &format!("lost {number}")]).success();
        }
        clone.git(["fetch", "--quiet"]).success();
        bob.run(["message", "list"]).success();
        let ops: Vec<String> = inspect::log(fleet.hub(), MAIN)
            .iter()
            .take(2)
            .flat_map(|commit| commit.trailer("Muster-Op").map(str::to_owned).collect::<Vec<_>>())
            .collect();
        fleet.hub().git(["update-ref", "refs/heads/main", &kept]);
        // In a clone; over a connection in every copy; by path nobody else keeps anything.
        let mut who = vec![&clone];
        who.extend((transport == Transport::Ssh).then_some(&bob));
        for host in who {
            assert_eq!(found(host, 1), set(&["error history-rewritten"]), "{transport:?} {}", host.name());
            let run = host.run(["fsck", "--history"]).code(1);
            assert!(run.stdout().contains("rewritten since this host last looked: 2 commits"), "{run}");
            assert!(ops.iter().all(|op| run.stdout().contains(op)), "{ops:?}\n{run}");
        }
        assert_eq!(found(&fleet.host("newcomer"), 0), set(&[]));
    });
}

#[test]
fn a_history_that_was_made_anew_with_all_its_operations_is_a_warning() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let clone = fleet.host_in_clone("carol");
    ada.run(["message", "send", "--to", "bob", "--subject", "hi"]).success();
    clone.git(["pull", "--quiet"]).success();
    clone.git(["commit", "--quiet", "--amend", "--no-edit", "--date", "2025-10-29T12:00:00Z"]).success();
    clone.git(["push", "--quiet", "--force", "origin", MAIN]).success();
    assert_eq!(found(&clone, 0), set(&["warning history-rewritten"]));
}

#[test]
fn an_operation_that_is_there_twice_is_found() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let message = fleet.hub().git(["log", "-1", "--format=%B", MAIN]);
    fleet.hub().put(MAIN, &[("notes", "x")], &message);
    assert_eq!(found(&ada, 1), set(&["error op-twice"]));
}

#[test]
fn what_a_merge_brings_in_is_one_step_and_its_operations_count() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let clone = fleet.host_in_clone("carol");
    fs::write(clone.directory().join("README"), "ours\n").unwrap();
    clone.git(["add", "README"]).success();
    clone.git(["commit", "--quiet", "-m", "a page"]).success();
    // A job goes from its beginning to its end on the other side.
    let job =
        ada.run(["job", "add", "--type", "build", "--priority", "1"]).success().stdout().trim().to_owned();
    ada.run(["job", "claim", &job]).success();
    ada.run(["job", "complete", &job, "--token", "1"]).success();
    clone.git(["pull", "--quiet", "--no-rebase", "--no-edit"]).success();
    clone.git(["push", "--quiet", "origin", MAIN]).success();
    assert_eq!(found(&ada, 0), set(&[]));
    let report = ada.run(["fsck", "--history", "--json"]).success().json();
    let ops = inspect::ops_in_history(fleet.hub(), MAIN).len();
    assert_eq!(report["checked"]["operations"], ops, "{report}");
    assert_eq!(report["commits_by_hand"], 2, "{report}");
    // The same merge, resolved so that the other side's job is lost.
    let mut jobs = inspect::document(fleet.hub(), MAIN, JOBS);
    jobs["jobs"].as_array_mut().unwrap().pop();
    fs::write(clone.directory().join(JOBS), jobs.to_string()).unwrap();
    clone.git(["commit", "--quiet", "--amend", "--no-edit", "--all"]).success();
    clone.git(["push", "--quiet", "--force", "origin", MAIN]).success();
    assert_eq!(found(&fleet.host("newcomer"), 1), set(&["error job-vanished by hand"]));
}

#[test]
fn a_name_that_nobody_can_check_out_does_not_hide_what_else_is_wrong() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(1024 * 1024));
    fleet.hub().put(MAIN, &[("shared/build_config.json", large)], "too large for one record");
    let script =
        "{ git ls-tree main; printf '040000 tree %s\\t..\\n' $(git rev-parse main:ada); } | git mktree";
    let made = Command::new("sh").args(["-c", script]).current_dir(fleet.hub().path()).output().unwrap();
    let tree = String::from_utf8(made.stdout).unwrap();
    let commit = fleet.hub().git(["commit-tree", tree.trim(), "-p", MAIN, "-m", "odd"]);
    fleet.hub().git(["update-ref", "refs/heads/main", commit.trim()]);
    assert_eq!(found(&ada, 1), set(&["warning bad-name", "error unreadable by hand"]));
}

#[test]
fn who_pulls_the_hub_into_a_branch_hides_nothing() {
    let fleet = Fleet::new();
    let (ada, bob) = at_work(&fleet);
    let clone = fleet.host_in_clone("carol");
    let mut jobs = inspect::document(fleet.hub(), MAIN, JOBS);
    jobs["jobs"][1]["assigned_to"] = json!("bob");
    let tip = fleet.hub().put(MAIN, &[(JOBS, jobs.to_string())], "tidy up");
    bob.run(["message", "send", "--to", "ada", "--subject", "hi"]).success();
    let before = found(&ada, 1);
    assert_eq!(before, set(&["error handed-over by hand"]));
    // The hub's own history is the second parent of what is pushed.
    fs::write(clone.directory().join("NOTE"), "n\n").unwrap();
    clone.git(["add", "NOTE"]).success();
    clone.git(["commit", "--quiet", "-m", "a note"]).success();
    clone.git(["pull", "--quiet", "--no-rebase", "--no-edit"]).success();
    clone.git(["push", "--quiet", "origin", MAIN]).success();
    assert_eq!(found(&ada, 1), before);
    ada.run(["fsck", "--history", "--since", &tip]).success();
}

#[test]
fn what_is_archived_is_accounted_for() {
    // Without jobs of its own: those that a hand takes away come back with the next write.
    let fleet = Fleet::new().founded();
    let (ada, _bob) = (fleet.server("ada"), fleet.server("bob"));
    // Finished and read long ago.
    let old = "2025-10-29T12:00:00Z";
    let jobs = json!({"jobs": [{"id": "old", "status": "completed", "completed_at": old}, {"id": "new"}]});
    let messages = json!({"messages": [{"id": "old", "to": "bob", "read": true, "timestamp": old}]});
    let files = [(JOBS, jobs.to_string()), (MESSAGES, messages.to_string())];
    let start = fleet.hub().put(MAIN, &files, "import");
    ada.run(["archive", "--older-than", "30d"]).success();
    let since = |code: i32| {
        let report = ada.run(["fsck", "--history", "--since", &start, "--json"]).code(code).json();
        let kinds =
            report["findings"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap().to_owned());
        kinds.collect::<BTreeSet<String>>()
    };
    assert_eq!(since(0), set(&[]));
    let archive = "coordination/archive/jobs-2025-10.json";
    assert!(inspect::content(fleet.hub(), MAIN, archive).is_some());
    let archived = fleet.hub().tip(MAIN).unwrap();
    for (path, text, expected) in [
        (archive, json!({"jobs": []}), &["archive-vanished"][..]),
        (archive, json!({"jobs": [{"id": "old", "status": "failed"}]}), &["archive-rewritten"]),
        (JOBS, json!({"jobs": [{"id": "new"}, {"id": "old", "status": "queued"}]}), &["live-and-archived"]),
        (JOBS, json!({"jobs": []}), &["job-vanished"]),
    ] {
        fleet.hub().put(MAIN, &[(path, text.to_string())], "by hand");
        let told = ada.run(["fsck", "--history", "--since", &start]);
        assert_eq!(since(1), set(expected), "{path} {text}\n{told}");
        fleet.hub().git(["update-ref", "refs/heads/main", &archived]);
    }
}

#[test]
fn a_hub_is_checked_however_it_is_reached() {
    Transport::each(&Transport::ALL, |transport| {
        let fleet = Fleet::over(transport);
        let (ada, _bob) = at_work(&fleet);
        let clone = fleet.host_in_clone("carol");
        for host in [&ada, &clone] {
            let report = host.run(["fsck", "--history", "--json"]).success().json();
            assert_eq!(report["findings"], json!([]), "{transport:?}");
            assert_eq!(report["checked"]["branches"], 2, "{transport:?}");
            assert_eq!(report["commit"], fleet.hub().tip(MAIN).unwrap(), "{transport:?}");
        }
    });
}

/// Every file below a folder, with its size.
fn files(folder: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let data = entry.metadata().unwrap();
        if data.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert((entry.path(), data.len()));
        }
    }
    found
}

#[test]
fn to_check_a_hub_writes_nothing_to_it() {
    let fleet = Fleet::new();
    let (ada, _bob) = at_work(&fleet);
    let before = files(fleet.hub().path());
    ada.run(["fsck", "--history"]).success();
    assert_eq!(files(fleet.hub().path()), before);
}

#[test]
fn a_shallow_clone_says_how_far_it_sees() {
    let fleet = Fleet::over(Transport::FileUrl);
    let (_ada, _bob) = at_work(&fleet);
    let clone = fleet.host_in_clone("carol");
    // Through the clone, as a connection would be.
    fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    fs::remove_dir_all(clone.directory()).unwrap();
    let (url, target) = (fleet.hub().url(), clone.directory().display().to_string());
    git(fleet.hub().path(), ["clone", "--quiet", "--depth", "2", &url, &target]);
    assert_eq!(found(&clone, 0), set(&["note history-cut"]));
}

#[test]
fn a_merge_of_more_branches_than_are_looked_at_is_told() {
    let fleet = Fleet::over(Transport::Path);
    let (ada, _bob) = at_work(&fleet);
    let hub = fleet.hub();
    let tip = hub.tip(MAIN).unwrap();
    let commit = |parents: &[String], words: &str| {
        let mut args = vec!["commit-tree", "main^{tree}", "-m", words];
        args.extend(parents.iter().flat_map(|parent| ["-p", parent.as_str()]));
        hub.git(args).trim().to_owned()
    };
    for (branches, expected) in [(15, &[][..]), (16, &["note history-cut"])] {
        let mut parents = vec![tip.clone()];
        parents.extend((0..branches).map(|side| commit(std::slice::from_ref(&tip), &format!("side {side}"))));
        hub.git(["update-ref", "refs/heads/main", &commit(&parents, "a merge")]);
        assert_eq!(found(&ada, 0), set(expected), "{branches}");
    }
}

#[test]
fn a_shallow_clone_may_end_at_a_merge() {
    let fleet = Fleet::over(Transport::FileUrl);
    let (_ada, _bob) = at_work(&fleet);
    let clone = fleet.host_in_clone("carol");
    let tip = fleet.hub().tip(MAIN).unwrap();
    let side = fleet.hub().git(["commit-tree", "main^{tree}", "-p", "main~1", "-m", "side"]);
    let merge = fleet.hub().git(["commit-tree", "main^{tree}", "-p", side.trim(), "-p", &tip, "-m", "merge"]);
    fleet.hub().git(["update-ref", "refs/heads/main", merge.trim()]);
    fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    fs::remove_dir_all(clone.directory()).unwrap();
    let (url, target) = (fleet.hub().url(), clone.directory().display().to_string());
    git(fleet.hub().path(), ["clone", "--quiet", "--depth", "1", &url, &target]);
    assert_eq!(found(&clone, 0), set(&["note history-cut"]));
}

#[test]
fn what_this_host_never_settled_is_told() {
    let fleet = Fleet::over(Transport::Ssh);
    let (ada, bob) = at_work(&fleet);
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    ada.run(["--timeout", "6s", "job", "add", "--type", "build"]).code(9);
    fs::remove_file(fleet.hub().path().join("hooks/pre-receive")).unwrap();
    assert_eq!(found(&ada, 0), set(&["note unsettled"]));
    let run = ada.run(["fsck", "--history"]).success();
    assert!(run.stdout().contains("is not in the history of the main branch"), "{run}");
    assert_eq!(found(&bob, 0), set(&[]));
}

#[test]
fn a_bulk_loss_is_one_finding_and_what_came_back_is_a_note() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let jobs: String = (0..60).map(|_| "{\"type\":\"build\"}\n").collect();
    ada.command(["job", "add", "--from", "-"]).stdin(jobs).run().success();
    let before = inspect::content(fleet.hub(), MAIN, JOBS).expect("jobs");
    let mut fewer: Value = serde_json::from_slice(&before).expect("JSON");
    let put = |jobs: &Value, what: &str| {
        let text = serde_json::to_string_pretty(jobs).unwrap() + "\n";
        fleet.hub().put(MAIN, &[(JOBS, text)], what);
        fleet.hub().tip(MAIN).expect("a commit")
    };
    fewer["jobs"].as_array_mut().unwrap().drain(5..55);
    let lost = put(&fewer, "an old list");
    let report = |more: &[&str], code: i32| {
        let args = [&["fsck", "--history", "--json"], more].concat();
        let report = ada.run(args).code(code).json();
        let told = |finding: &Value| {
            let of = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            (of("severity"), of("kind"), finding["count"].as_u64(), of("what"))
        };
        report["findings"].as_array().unwrap().iter().map(told).collect::<Vec<_>>()
    };
    let found = report(&[], 1);
    let [(severity, kind, count, what)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((severity.as_str(), kind.as_str(), *count), ("error", "job-vanished", Some(50)));
    assert!(what.contains(" and 46 more"), "{what}");

    // A part of it, and then the rest, as it was.
    let mut some: Value = serde_json::from_slice(&before).expect("JSON");
    some["jobs"].as_array_mut().unwrap().drain(5..20);
    put(&some, "some of it");
    let found = report(&[], 1);
    assert!(found.len() == 1 && found[0].3.contains("; 35 of 50 were put back, the last in "), "{found:?}");
    fleet.hub().put(MAIN, &[(JOBS, &before)], "all of it");
    let found = report(&[], 0);
    assert!(found.len() == 1 && found[0].0 == "note" && found[0].3.contains("; put back in "), "{found:?}");

    // One more loss; each is told by itself.
    let one_less = |id: usize, what: &str| {
        let mut jobs = inspect::document(fleet.hub(), MAIN, JOBS);
        jobs["jobs"].as_array_mut().unwrap().remove(id);
        put(&jobs, what)
    };
    one_less(3, "a slip");
    let kinds =
        |more: &[&str], code: i32| report(more, code).into_iter().map(|one| one.0).collect::<Vec<_>>();
    assert_eq!(kinds(&[], 1), ["error", "note"]);
    assert_eq!(
        kinds(&["--until", &lost], 0),
        ["note"],
        "what came later is not told, and put back what was lost"
    );
    assert_eq!(kinds(&["--since", &lost], 1), ["error"]);
    let no = ada.run(["fsck", "--history", "--until", "0123456"]).code(3);
    assert!(no.stderr().contains("is not in the checked part of the history"), "{no}");
}
