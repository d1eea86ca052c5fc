//! What is read and what is written are one hub, whatever git's configuration, the kind of repository
//! around and `GIT_DIR` say: or nothing is written and the places are named.

use crate::support::{Fleet, Host, MAIN, Run, Transport, git, inspect};
use std::path::{Path, PathBuf};

/// Another hub, which a host has joined by its configuration before it stands in a clone of the first.
fn other_hub(host: &Host) -> PathBuf {
    let home = host.place("HOME");
    git(&home, ["init", "-q", "--bare", "-b", MAIN, "other.git"]);
    let other = home.join("other.git");
    host.command(["init", "other.git"]).current_dir(&home).run().success();
    let address = other.display().to_string();
    let join = ["join", address.as_str(), "--as", "elsewhere"];
    host.command(join).current_dir(&home).run().success();
    other
}

fn tip(hub: &Path) -> String {
    git(hub, ["rev-parse", MAIN])
}

/// Whether `run` refused and named each of `places`.
#[track_caller]
fn refused(run: Run, places: &[&str]) -> Run {
    let run = run.code(78);
    for place in places {
        assert!(run.stderr().contains(place), "{place}: {run}");
    }
    assert!(run.stderr().contains("nothing was written"), "{run}");
    run
}

/// What leads the pushes of a clone to another place than it is read from.
const ELSEWHERE: &[(&str, &[&[&str]])] = &[
    ("a push address", &[&["config", "remote.origin.pushurl", "OTHER"]]),
    ("a second address", &[&["remote", "set-url", "--add", "origin", "OTHER"]]),
    (
        "a second push address",
        &[
            &["remote", "set-url", "--add", "--push", "origin", "HUB"],
            &["remote", "set-url", "--add", "--push", "origin", "OTHER"],
        ],
    ),
    ("a rule for pushes", &[&["config", "url.OTHER.pushInsteadOf", "HUB"]]),
];

#[test]
fn a_clone_that_is_pushed_to_another_place_than_it_is_read_from_is_no_hub_until_one_is_named() {
    for transport in [Transport::Path, Transport::Ssh] {
        for (what, settings) in ELSEWHERE {
            let fleet = Fleet::over(transport).founded();
            let ada = fleet.server_in_clone("ada");
            let other = ada.place("HOME").join("mirror.git");
            git(
                &ada.place("HOME"),
                ["clone", "-q", "--bare", &fleet.hub().path().display().to_string(), "mirror.git"],
            );
            let (hub, mirror) = (fleet.hub().url(), other.display().to_string());
            for words in *settings {
                let words = words.iter().map(|word| word.replace("OTHER", &mirror).replace("HUB", &hub));
                ada.git(words.collect::<Vec<_>>()).success();
            }
            let before = (fleet.hub().tip(MAIN), tip(&other));
            let run = refused(ada.run(["job", "add", "--", "true"]), &[&hub, &mirror]);
            assert_eq!((fleet.hub().tip(MAIN), tip(&other)), before, "{transport:?} {what}: {run}");
            // The hint is one line for each of them.
            assert!(run.stderr().contains(&format!("--hub {mirror}")), "{what}: {run}");
            ada.run(["--hub", &hub, "job", "add", "--", "true"]).success();
            assert_ne!(fleet.hub().tip(MAIN), before.0, "{transport:?} {what}");
            assert_eq!(tip(&other), before.1, "{transport:?} {what}");
        }
    }
}

#[test]
fn one_hub_that_is_read_and_pushed_to_by_two_addresses_is_one() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = fleet.server_in_clone("ada");
    let hub = fleet.hub().url();
    let slashed = format!("{}/", hub.trim_end_matches('/'));
    ada.git(["config", "remote.origin.pushurl", &slashed]).success();
    let before = fleet.hub().tip(MAIN);
    ada.run(["job", "add", "--", "true"]).success();
    assert_ne!(fleet.hub().tip(MAIN), before);
}

#[test]
fn a_hub_at_an_address_is_refused_where_the_users_git_pushes_elsewhere() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = fleet.server("ada");
    let home = ada.place("HOME");
    let other = home.join("mirror.git");
    git(&home, ["clone", "-q", "--bare", &fleet.hub().path().display().to_string(), "mirror.git"]);
    let before = (fleet.hub().tip(MAIN), tip(&other));
    let rule = format!("url.{}.pushInsteadOf", other.display());
    let run = ada
        .command(["job", "add", "--", "true"])
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", rule)
        .env("GIT_CONFIG_VALUE_0", fleet.hub().url())
        .run()
        .code(78);
    assert!(run.stderr().contains(&other.display().to_string()), "{run}");
    assert_eq!((fleet.hub().tip(MAIN), tip(&other)), before, "{run}");
}

#[test]
fn what_the_environment_says_of_a_clones_address_holds() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server_in_clone("ada");
    let other = other_hub(&ada);
    let rule = format!("url.{}.insteadOf", other.display());
    let told = ada
        .command(["config", "where"])
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", rule)
        .env("GIT_CONFIG_VALUE_0", fleet.hub().url())
        .run()
        .success();
    assert!(told.stdout().contains("other.git"), "{told}");
}

#[test]
fn a_remote_by_another_name_is_the_hub_all_the_same() {
    for (what, rename) in [("upstream", true), ("upstream beside a fork", false)] {
        let fleet = Fleet::new().founded();
        let mut ada = fleet.server_in_clone("ada");
        ada.unset("MUSTER_HUB");
        let other = other_hub(&ada);
        ada.git(["remote", "rename", "origin", "upstream"]).success();
        if !rename {
            ada.git(["remote", "add", "fork", &other.display().to_string()]).success();
        }
        // What `join` wrote names the branch of `origin`; the commits tell it too.
        ada.git(["config", "--unset", "muster.branch"]).success();
        let before = (fleet.hub().tip(MAIN), tip(&other));
        let run = ada.run(["job", "add", "--", "true"]);
        if rename {
            run.success();
            assert_ne!(fleet.hub().tip(MAIN), before.0, "{what}");
            let told = ada.run(["config", "where"]).success().to_string();
            assert!(told.contains("upstream of the clone"), "{told}");
        } else {
            refused(run, &["upstream", "fork"]);
            assert_eq!(fleet.hub().tip(MAIN), before.0, "{what}");
        }
        assert_eq!(tip(&other), before.1, "{what}");
    }
}

#[test]
fn the_hub_itself_and_bare_clones_of_it_are_no_other_hub() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.unset("MUSTER_HUB");
    let other = other_hub(&ada);
    let home = ada.place("HOME");
    let hub = fleet.hub().path().to_owned();
    git(&home, ["clone", "-q", "--bare", &hub.display().to_string(), "bare.git"]);
    let before = (tip(&hub), tip(&other), tip(&home.join("bare.git")));
    let add = ["job", "add", "--", "true"];
    // A copy that nobody reads.
    let run = ada.command(add).current_dir(home.join("bare.git")).run();
    let run = refused(run, &["may be a copy of", &other.display().to_string()]);
    assert!(run.stderr().contains(&format!("--hub {}", other.display())), "{run}");
    // A bare repository that a checkout brought with it.
    let within = home.join("checkout/evil.git");
    std::fs::create_dir_all(home.join("checkout")).unwrap();
    git(&home.join("checkout"), ["init", "-q"]);
    git(&home, ["clone", "-q", "--bare", &hub.display().to_string(), &within.display().to_string()]);
    git(&within, ["remote", "remove", "origin"]);
    refused(ada.command(add).current_dir(&within).run(), &["inside the work tree"]);
    assert_eq!((tip(&hub), tip(&other), tip(&home.join("bare.git"))), before);
    // The hub itself is one of two as well, for who has joined another.
    refused(ada.command(add).current_dir(&hub).run(), &[&other.display().to_string()]);
    assert_eq!((tip(&hub), tip(&other), tip(&home.join("bare.git"))), before);
    // Who has joined none, or this very one, means it, also where it is mirrored elsewhere.
    std::fs::remove_file(ada.place("XDG_CONFIG_HOME").join("git-muster/config.json")).unwrap();
    let run = ada.command(add).current_dir(home.join("bare.git")).run();
    refused(run, &["may be a copy of", &hub.display().to_string()]);
    git(&hub, ["remote", "add", "--mirror=push", "backup", &home.join("bare.git").display().to_string()]);
    ada.command(add).current_dir(&hub).run().success();
    ada.command(add).current_dir(hub.join("refs")).run().success();
    assert_eq!(
        inspect::document(fleet.hub(), MAIN, "coordination/jobs.json")["jobs"].as_array().unwrap().len(),
        2
    );
    assert_eq!(tip(&other), before.1);
}

#[test]
fn git_dir_leads_to_no_other_hub_than_it_names() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server_in_clone("ada");
    ada.unset("MUSTER_HUB");
    let other = other_hub(&ada);
    let home = ada.place("HOME");
    let before = (fleet.hub().tip(MAIN), tip(&other));
    let add = ["job", "add", "--", "true"];
    let git_dir = ada.directory().join(".git");
    for named in [git_dir.as_path(), fleet.hub().path()] {
        let run = ada.command(add).current_dir(&home).env("GIT_DIR", named).run();
        refused(run, &["GIT_DIR"]);
    }
    assert_eq!((fleet.hub().tip(MAIN), tip(&other)), before);
    // As hooks and aliases of git have it, of the very repository around.
    for named in [Path::new(".git"), git_dir.as_path()] {
        ada.command(add).env("GIT_DIR", named).run().success();
    }
    // Of a repository that is none of our business, as in a hook that changes its directory.
    git(&home, ["init", "-q", "plain"]);
    ada.command(add).env("GIT_DIR", home.join("plain/.git")).run().success();
    assert_ne!(fleet.hub().tip(MAIN), before.0);
    assert_eq!(tip(&other), before.1);
}

#[test]
fn a_clone_that_lost_its_configuration_leads_to_no_other_hub() {
    for is_marked in [true, false] {
        let fleet = Fleet::new().founded();
        let mut ada = fleet.server_in_clone("ada");
        ada.unset("MUSTER_HUB");
        let other = other_hub(&ada);
        let before = (fleet.hub().tip(MAIN), tip(&other));
        if is_marked {
            ada.git(["checkout", "-q", "--orphan", "pages"]).success();
        }
        // As a loss of power leaves it.
        std::fs::write(ada.directory().join(".git/config"), "").unwrap();
        let run = refused(ada.run(["job", "add", "--", "true"]), &["no remote"]);
        assert_eq!((fleet.hub().tip(MAIN), tip(&other)), before, "{run}");
        ada.run(["--hub", &fleet.hub().url(), "job", "add", "--", "true"]).success();
    }
}

#[test]
fn where_the_remotes_head_is_not_known_it_is_asked_for_whatever_is_checked_out() {
    let fleet = Fleet::new().founded();
    for (name, steps) in [
        ("fetched", &[&["init", "-q", "."][..], &["remote", "add", "origin", "HUB"], &["fetch", "-q"]][..]),
        (
            "forgot",
            &[
                &["clone", "-q", "HUB", "."],
                &["remote", "set-head", "origin", "--delete"],
                &["checkout", "-q", "--orphan", "pages"],
                &["rm", "-rqf", "."],
            ],
        ),
    ] {
        let mut ada = fleet.host(name);
        ada.unset("MUSTER_HUB");
        let other = other_hub(&ada);
        for step in steps {
            let words = step.iter().map(|word| word.replace("HUB", &fleet.hub().url()));
            ada.git(words.collect::<Vec<_>>()).success();
        }
        let before = (fleet.hub().tip(MAIN), tip(&other));
        let run = refused(ada.run(["job", "add", "--", "true"]), &["HEAD"]);
        assert_eq!((fleet.hub().tip(MAIN), tip(&other)), before, "{name}");
        let asks = run.stderr().split('`').find(|part| part.starts_with("git -C")).unwrap();
        ada.program("sh").args(["-c", asks]).run().success();
        ada.run(["job", "add", "--", "true"]).success();
        assert_ne!(fleet.hub().tip(MAIN), before.0, "{name}");
        assert_eq!(tip(&other), before.1, "{name}");
    }
}

/// A clone of a project that fetched the branch of its hub and not the one that the HEAD names.
#[test]
fn the_hint_that_asks_for_the_head_works_where_its_branch_was_never_fetched() {
    for fetch in [&["fetch", "-q", "origin"][..], &["fetch", "-q", "--depth", "1", "origin"]] {
        let fleet = Fleet::new().founded();
        fleet.hub().git(["branch", "fleet", MAIN]);
        let mut ada = fleet.host("ada");
        let url = fleet.hub().url();
        ada.run(["--hub-branch", "fleet", "init", "--force", &url]).success();
        ada.unset("MUSTER_HUB");
        ada.git(["init", "-q", "."]).success();
        ada.git(["remote", "add", "-t", "fleet", "origin", &format!("file://{url}")]).success();
        ada.git(fetch).success();
        drop(ada.git(["remote", "set-head", "origin", "--delete"]));
        let other = other_hub(&ada);
        let run = refused(ada.run(["job", "add", "--", "true"]), &["HEAD", "fleet"]);
        let asks = run.stderr().split('`').find(|part| part.starts_with("git -C")).unwrap();
        ada.program("sh").args(["-c", asks]).run().success();
        // The hub that the HEAD names is the one of the clone now.
        let before = (fleet.hub().tip(MAIN), fleet.hub().tip("fleet"), tip(&other));
        ada.run(["job", "add", "--", "true"]).success();
        assert_ne!(fleet.hub().tip(MAIN), before.0);
        assert_eq!((fleet.hub().tip("fleet"), tip(&other)), (before.1, before.2));
    }
}

#[test]
fn a_repository_that_becomes_a_hub_names_it_in_its_head() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    fleet.hub().git(["symbolic-ref", "HEAD", "refs/heads/master"]);
    ada.run(["init", &fleet.hub().url()]).success();
    assert_eq!(fleet.hub().git(["symbolic-ref", "HEAD"]).trim(), format!("refs/heads/{MAIN}"));
    // A hub that is put beside something else leaves that its HEAD.
    let beside = fleet.hub().path().with_file_name("project.git");
    git(fleet.hub().path(), ["init", "-q", "--bare", "-b", "trunk", &beside.display().to_string()]);
    ada.run(["--hub-branch", "fleet", "init", &beside.display().to_string()]).success();
    assert_eq!(git(&beside, ["symbolic-ref", "HEAD"]).trim(), "refs/heads/trunk");
    // One that names a branch which is there is somebody's.
    fleet.hub().git(["branch", "trunk", MAIN]);
    fleet.hub().git(["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    ada.run(["init", &fleet.hub().url()]).success();
    assert_eq!(fleet.hub().git(["symbolic-ref", "HEAD"]).trim(), "refs/heads/trunk");
}

#[test]
fn a_branch_that_servers_replace_is_no_hub() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    for branch in ["logs-ada", "heartbeat-ada", "backup/x"] {
        let run = ada.run(["init", "--hub-branch", branch, &fleet.hub().url()]).code(2);
        assert!(run.stderr().contains("keep beside the hub"), "{run}");
        assert_eq!(inspect::branches(fleet.hub()), [""; 0]);
    }
}
