//! The clone around: which hub and branch it stands for, whatever is checked out in it.

use super::follow;
use crate::support::{Fleet, Host, MAIN, Transport, git, inspect};
use std::path::Path;

/// A host in a clone of the hub, with a server of its own beside it that names the hub.
fn clone_and_server(transport: Transport) -> (Fleet, Host, Host) {
    let fleet = Fleet::over(transport).founded();
    let (clone, other) = (fleet.server_in_clone("ada"), fleet.server("bob"));
    (fleet, clone, other)
}

/// Ways to have something else checked out than the hub's branch.
const CHECKOUTS: &[(&str, &[&[&str]])] = &[
    (
        "a feature branch that was pushed",
        &[
            &["checkout", "-q", "-b", "fix-readme"],
            &["commit", "-q", "--allow-empty", "-m", "edit"],
            &["push", "-q", "origin", "fix-readme"],
        ],
    ),
    ("a detached HEAD", &[&["checkout", "-q", "--detach"]]),
    ("a commit of before", &[&["checkout", "-q", "--detach", "HEAD~1"]]),
    ("a branch that begins anew", &[&["checkout", "-q", "--orphan", "pages"], &["rm", "-rqf", "."]]),
    (
        "a branch with nothing of the hub",
        &[
            &["checkout", "-q", "--orphan", "pages"],
            &["rm", "-rqf", "."],
            &["commit", "-q", "--allow-empty", "-m", "pages"],
        ],
    ),
];

#[test]
fn a_branch_that_is_checked_out_never_becomes_the_hub() {
    for transport in [Transport::Path, Transport::Ssh] {
        for (what, steps) in CHECKOUTS {
            let (fleet, clone, other) = clone_and_server(transport);
            // So that there is a commit before the one that is checked out.
            clone.run(["status", "set", "idle"]).success();
            clone.git(["pull", "-q"]).success();
            for step in *steps {
                clone.git(*step).success();
            }
            clone.run(["lock", "acquire", "deploy"]).success();
            other.run(["lock", "acquire", "deploy"]).code(4);
            let job = clone.run(["job", "add", "--type", "test"]).success().stdout().trim().to_owned();
            let listed = other.run(["job", "list", "--json"]).success();
            assert!(listed.stdout().contains(&job), "{transport:?}, {what}: {listed}");
            let where_ = clone.run(["--json", "config", "where"]).success().json();
            assert_eq!(where_["branch"], MAIN, "{transport:?}, {what}");
            drop(fleet);
        }
    }
}

#[test]
fn a_worktree_and_a_submodule_of_the_hub_write_to_its_branch() {
    let (fleet, clone, _) = clone_and_server(Transport::Path);
    let beside = clone.directory().parent().unwrap().join("beside");
    clone.git(["worktree", "add", "-q", "-b", "agent", &beside.display().to_string()]).success();
    let project = clone.place("HOME").join("project");
    std::fs::create_dir(&project).unwrap();
    git(&project, ["init", "-q"]);
    let url = fleet.hub().url();
    git(&project, ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "hub"]);
    let before = fleet.hub().tip(MAIN);
    for place in [beside.as_path(), &project.join("hub")] {
        clone.command(["job", "add", "--type", "test"]).current_dir(place).run().success();
    }
    assert_ne!(fleet.hub().tip(MAIN), before);
    assert_eq!(inspect::branches(fleet.hub()), [MAIN]);
    assert_eq!(
        inspect::document(fleet.hub(), MAIN, "coordination/jobs.json")["jobs"].as_array().unwrap().len(),
        2
    );
}

/// A repository that looks like the project's own source: template documents and nothing else.
fn template(at: &Path) {
    std::fs::create_dir_all(at).unwrap();
    git(at, ["init", "-q", "-b", MAIN]);
    for (path, text) in git_muster::inside::TEMPLATE {
        let file = at.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    git(at, ["add", "."]);
    git(at, ["-c", "user.name=x", "-c", "user.email=x@example.invalid", "commit", "-q", "-m", "template"]);
}

#[test]
fn template_folders_alone_are_no_hub() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.unset("MUSTER_HUB");
    let home = ada.place("HOME");
    template(&home.join("source"));
    git(&home, ["clone", "-q", "--bare", "source", "source.git"]);
    git(&home, ["clone", "-q", "source.git", "fork"]);
    let fork = home.join("fork");
    let before = git(&home.join("source.git"), ["rev-parse", MAIN]);
    let run = ada.command(["job", "add", "--type", "test"]).current_dir(&fork).run().success();
    assert!(run.stderr().contains("is not used as a clone of a hub"), "{run}");
    let listed = ada.run(["job", "list", "--json"]).success();
    assert!(listed.stdout().contains(run.stdout().trim()), "it went to the hub that was joined: {listed}");
    assert_eq!(git(&home.join("source.git"), ["rev-parse", MAIN]), before);
    // The line that is told makes it one.
    follow(&run, &ada, &fork);
    git(&fork, ["pull", "-q"]);
    let told = ada.command(["config", "where"]).current_dir(&fork).run().success();
    assert!(told.stdout().contains("source.git"), "{told}");
}

#[test]
fn an_ordinary_repository_is_not_mentioned() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server("ada");
    ada.unset("MUSTER_HUB");
    let home = ada.place("HOME");
    for (name, extra) in [("plain", None), ("reftable", Some("--ref-format=reftable")), ("empty", None)] {
        let folder = home.join(name);
        std::fs::create_dir(&folder).unwrap();
        let words = ["init", "-q"].into_iter().chain(extra);
        if ada.program("git").args(words).current_dir(&folder).run().exit_code() != Some(0) {
            continue; // an older git without that format
        }
        if name != "empty" {
            git(
                &folder,
                [
                    "-c",
                    "user.name=x",
                    "-c",
                    "user.email=x@example.invalid",
                    "commit",
                    "-q",
                    "--allow-empty",
                    "-m",
                    "x",
                ],
            );
        }
        let run = ada.command(["job", "list"]).current_dir(&folder).run().success();
        assert_eq!(run.stderr().trim(), "no jobs", "{name}: {run}");
    }
}

#[test]
fn a_repository_around_that_cannot_be_read_stops_the_command() {
    let (joined, other) = (Fleet::new().founded(), Fleet::new().founded());
    let mut ada = joined.server("ada");
    ada.unset("MUSTER_HUB");
    let home = ada.place("HOME");
    let clone = |name: &str, extra: &[&str]| {
        let url = other.hub().url();
        let words = [&["clone", "-q"][..], extra, &[&url, name]].concat();
        let run = ada.program("git").args(words).current_dir(&home).run();
        (run.exit_code() == Some(0)).then(|| home.join(name))
    };
    let broken_head = clone("head", &[]).unwrap();
    std::fs::write(broken_head.join(".git/HEAD"), "").unwrap();
    let broken_config = clone("config", &[]).unwrap();
    std::fs::write(broken_config.join(".git/config"), "[core\n").unwrap();
    let no_head = clone("nohead", &[]).unwrap();
    std::fs::remove_file(no_head.join(".git/HEAD")).unwrap();
    let moved = clone("moved", &[]).unwrap();
    std::fs::remove_dir_all(moved.join(".git")).unwrap();
    std::fs::write(moved.join(".git"), "gitdir: /nonexistent/worktrees/x\n").unwrap();
    let reftable = clone("reftable", &["--ref-format=reftable"]);
    let before = [joined.hub().tip(MAIN), other.hub().tip(MAIN)];
    for place in
        [Some(broken_head), Some(broken_config), Some(no_head), Some(moved), reftable].into_iter().flatten()
    {
        for args in [&["job", "add", "--type", "test"][..], &["job", "list"], &["lock", "acquire", "x"]] {
            let run = ada.command(args).current_dir(&place).run().code(78);
            assert!(
                run.stderr().contains("unreadable") && run.stderr().contains("nothing was written"),
                "{run}"
            );
        }
        let doctor = ada.command(["doctor", "settings"]).current_dir(&place).run().code(1);
        assert!(doctor.stdout().contains("is unreadable"), "{doctor}");
        // Who names the hub needs nothing of what lies around.
        let url = joined.hub().url();
        ada.command(["--hub", &url, "job", "list"]).current_dir(&place).run().success();
    }
    assert_eq!([joined.hub().tip(MAIN), other.hub().tip(MAIN)], before);
}

/// A user who owns nothing.
const NOBODY: &str = "65534";

#[test]
fn git_decides_whose_repository_is_used() {
    let fleet = Fleet::new().founded();
    let clone = fleet.host_in_clone("ada");
    let bob = fleet.host("bob");
    let places = [fleet.hub().path(), clone.directory()];
    let give = |to: &str| {
        let chown = places.iter().all(|place| {
            let place = place.display().to_string();
            bob.program("chown").args(["-R", to, &place]).run().exit_code() == Some(0)
        });
        chown && bob.program("id").args(["-u"]).run().stdout().trim() == "0"
    };
    if !give(NOBODY) {
        eprintln!("only root can give a repository away, so this is not tried");
        return;
    }
    for (host, place) in [(&bob, None), (&clone, Some(clone.directory()))] {
        let add = || host.command(["job", "add", "--type", "test"]);
        let refused = place.map_or_else(add, |place| add().current_dir(place)).run().code(78);
        assert!(refused.stderr().contains("safe.directory"), "{refused}");
        let trusting = add()
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*");
        trusting.run().success();
    }
    give("0");
    let jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(2));
}
