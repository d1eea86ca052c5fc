//! Remotes as they come: empty, without the branch, something else than a hub, rewritten, with either git.

use crate::support::{Fleet, Host, MAIN, Transport, gits, inspect};

fn send(host: &Host, subject: &str) {
    host.run(["message", "send", "--to", "all", "--subject", subject]).success();
}

fn sent(fleet: &Fleet) -> Vec<String> {
    let document = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
    let messages = document["messages"].as_array().unwrap();
    messages.iter().map(|message| message["subject"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_no_hub_is_left_alone_with_a_hint() {
    Transport::each(&Transport::ALL, |transport| {
        let fleet = Fleet::over(transport);
        let host = fleet.host("ada");
        let hint = |args: &[&str], words: &str| {
            let run = host.run(args).code(78);
            assert!(run.stderr().contains(words), "{transport:?}\n{run}");
            // A path is told as one, however it was spelled.
            let init =
                format!("init {}`, or select another", fleet.hub().url().trim_start_matches("file://"));
            assert!(run.stderr().contains(&init), "{transport:?}\n{run}");
        };
        for args in [
            &["job", "add", "--type", "test"][..],
            &["job", "list"],
            &["heartbeat"],
            &["join", "--as", "ada"],
        ] {
            hint(args, "has no branch `main`");
        }
        assert_eq!(inspect::branches(fleet.hub()), [""; 0]);

        fleet.hub().put("source", &[("README.md", "a program\n")], "begin");
        hint(&["job", "add", "--type", "test"], "has no branch `main`;");
        let tip = fleet.hub().put(MAIN, &[("src/main.rs", "fn main() {}\n")], "begin");
        hint(&["job", "add", "--type", "test"], "is not a hub");
        hint(&["--branch", "source", "job", "list"], "is not a hub");
        assert_eq!(inspect::branches(fleet.hub()), [MAIN, "source"]);
        assert_eq!(fleet.hub().tip(MAIN), Some(tip));
    });
}

#[test]
fn an_empty_or_a_used_repository_becomes_a_hub() {
    Transport::each(&Transport::ALL, |transport| {
        let fleet = Fleet::over(transport);
        let host = fleet.host("ada");
        host.run(["init", &fleet.hub().url()]).success();
        let first = inspect::log(fleet.hub(), MAIN);
        assert_eq!(first.len(), 1);
        host.run(["init", &fleet.hub().url()]).success();
        assert_eq!(inspect::log(fleet.hub(), MAIN).len(), 1, "a hub that is complete is left alone");

        let files = [("README.md", "a program\n"), ("coordination/jobs.json", "{\"jobs\":[],\"own\":1}")];
        let parent = fleet.hub().put("used", &files, "begin");
        host.run(["--branch", "used", "init", &fleet.hub().url(), "--force"]).success();
        for (path, text) in files {
            assert_eq!(
                inspect::content(fleet.hub(), "used", path).as_deref(),
                Some(text.as_bytes()),
                "{path}"
            );
        }
        assert_eq!(inspect::log(fleet.hub(), "used")[1].id, parent, "what was there is built upon");
        host.run(["--branch", "used", "join", "--as", "ada"]).success();
        assert_eq!(inspect::log(fleet.hub(), MAIN).len(), 1);
        inspect::assert_hub_is_sound(fleet.hub());
    });
}

/// How a hub that pushes go to is reached: what is rewritten is noticed where a copy is compared with it.
const COPIED: [Transport; 3] = [Transport::Path, Transport::Ssh, Transport::Http];

#[test]
fn a_history_that_was_rewritten_is_told_and_kept() {
    Transport::each(&COPIED, |transport| {
        let fleet = Fleet::over(transport).founded();
        fleet.hub().install_hook("post-update", "#!/bin/sh\n");
        let hosts = [fleet.server("ada"), fleet.server_in_clone("bob")];
        let kept = fleet.hub().tip(MAIN).unwrap();
        for number in 0..3 {
            send(&hosts[0], &format!("lost {number}"));
        }
        hosts[1].run(["message", "list"]).success();
        let lost = fleet.hub().tip(MAIN).unwrap();
        fleet.hub().git(["update-ref", "refs/heads/main", &kept]);
        for (host, verb) in [(&hosts[0], "send"), (&hosts[1], "list")] {
            let run = match verb {
                "send" => host.run(["message", "send", "--to", "all", "--subject", "after"]).success(),
                _ => host.run(["message", "list"]).success(),
            };
            let words = "the history of `main` was rewritten on the hub: 3 commits";
            assert!(run.stderr().contains(words), "{transport:?}\n{run}");
            let reference = format!("refs/muster/lost/{}", &lost[..10]);
            assert!(run.stderr().contains(&reference), "{run}");
            let copy = copy_of_the_hub(host);
            let found = crate::support::git(&copy, ["rev-parse", &reference]);
            assert_eq!(found.trim(), lost);
            let again = host.run(["message", "list"]).success();
            assert!(!again.stderr().contains("rewritten"), "it is told once\n{again}");
        }
        assert_eq!(sent(&fleet), ["after"]);
        // The clone had shown what was lost: it says so, works on, and changes nothing in the work tree.
        let run = hosts[1].run(["message", "send", "--to", "all", "--subject", "from the clone"]).success();
        assert!(run.stderr().contains("commits that the hub does not have"), "{run}");
        assert_eq!(hosts[1].git(["rev-parse", "HEAD"]).success().stdout().trim(), lost);
        inspect::assert_clone_is_clean(hosts[1].directory());
        assert_eq!(sent(&fleet), ["after", "from the clone"]);
    });
}

/// The repository in which a host keeps its copy of the hub: the clone, or the one in the cache.
fn copy_of_the_hub(host: &Host) -> std::path::PathBuf {
    let hubs = std::fs::read_dir(host.place("XDG_CACHE_HOME").join("git-muster/hubs"));
    let mut copies = hubs.into_iter().flatten().map(|copy| copy.unwrap().path());
    let copy = copies.find(|copy| copy.extension().is_some_and(|extension| extension == "git"));
    copy.unwrap_or_else(|| host.directory().to_owned())
}

#[cfg(debug_assertions)]
#[test]
fn a_look_that_is_killed_does_not_forget_what_was_rewritten() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    for host in [fleet.server("ada"), fleet.server_in_clone("bob")] {
        let before = fleet.hub().tip(MAIN).unwrap();
        send(&host, "gone");
        host.run(["job", "list"]).success();
        fleet.hub().git(["update-ref", "refs/heads/main", &before]);
        host.command(["job", "list"]).env("MUSTER_FAILPOINT", "fetched").run().killed_by(9);
        let run = host.run(["fsck", "--history"]).code(1);
        assert!(run.stdout().contains("history-rewritten"), "{run}");
        let again = host.run(["job", "list"]).success();
        assert!(!again.stderr().contains("rewritten"), "it is told once\n{again}");
    }
}

#[test]
fn a_branch_that_vanishes_is_no_longer_seen() {
    Transport::each(&COPIED, |transport| {
        let fleet = Fleet::over(transport).founded();
        fleet.hub().install_hook("post-update", "#!/bin/sh\n");
        let hosts = [fleet.server("ada"), fleet.server_in_clone("bob")];
        for host in &hosts {
            host.run(["heartbeat"]).success();
            // Somebody tidied up the branches: the next beat makes its own again.
            let branch = format!("heartbeat-{}", host.name());
            fleet.hub().git(["update-ref", "-d", &format!("refs/heads/{branch}")]);
            host.run(["heartbeat"]).success();
            assert!(fleet.hub().tip(&branch).is_some());
        }
        let tip = fleet.hub().tip(MAIN).unwrap();
        fleet.hub().git(["update-ref", "-d", "refs/heads/main"]);
        for host in &hosts {
            for args in [&["job", "add", "--type", "test"][..], &["job", "list"]] {
                let run = host.run(args).code(78);
                assert!(run.stderr().contains("has lost its branch `main`"), "{transport:?}\n{run}");
            }
        }
        assert_eq!(fleet.hub().tip(MAIN), None, "nothing was put in its place");
        fleet.hub().git(["update-ref", "refs/heads/main", &tip]);
        for host in &hosts {
            send(host, host.name());
        }
        assert_eq!(sent(&fleet), ["ada", "bob"]);
    });
}

#[test]
fn every_git_of_this_machine_makes_the_round() {
    for git in gits() {
        for transport in [Transport::Ssh, Transport::Path] {
            let fleet = Fleet::over(transport).founded().with_git(&git.program);
            fleet.hub().install_hook("post-update", "#!/bin/sh\n");
            let hosts = [fleet.server("ada"), fleet.server_in_clone("bob")];
            let version = hosts[0].git(["--version"]).success();
            assert!(version.stdout().contains(&git.version), "{version}");
            let job = hosts[0].run(["job", "add", "--type", "test"]).success().stdout().trim().to_owned();
            hosts[0].run(["heartbeat"]).success();
            hosts[0].run(["heartbeat"]).success();
            hosts[1].run(["job", "claim"]).success();
            hosts[1].run(["job", "complete", &job, "--token", "1"]).success();
            // The first knows an older tip: its push is turned down and made again.
            send(&hosts[0], "done");
            hosts[1].run(["job", "claim"]).code(3);
            inspect::assert_clone_is_clean(hosts[1].directory());
            let hook = "#!/bin/sh\necho 'not today' >&2\nexit 1\n";
            fleet.hub().install_hook("pre-receive", hook);
            let refused = hosts[0].run(["job", "add", "--type", "test"]).code(4);
            assert!(refused.stderr().contains("not today"), "{refused}");
            assert_eq!(inspect::log(fleet.hub(), "heartbeat-ada").len(), 1);
        }
    }
}

#[test]
fn a_branch_that_is_a_symbolic_ref_is_followed_to_where_it_leads() {
    for hooked in [false, true] {
        let fleet = Fleet::over(Transport::Path).founded();
        let hub = fleet.hub();
        hub.git(["branch", "-m", MAIN, "master"]);
        hub.git(["symbolic-ref", "refs/heads/main", "refs/heads/master"]);
        // One that leads nowhere yet.
        hub.git(["symbolic-ref", "refs/heads/heartbeat-ada", "refs/heads/beats-of-ada"]);
        if hooked {
            hub.install_hook("post-update", "#!/bin/sh\n");
        }
        let ada = fleet.server("ada");
        send(&ada, "hello");
        ada.run(["heartbeat"]).success();
        assert_eq!(sent(&fleet), ["hello"], "{hooked}");
        assert_eq!(hub.tip("master"), hub.tip(MAIN));
        let leads = |name: &str| hub.git(["symbolic-ref", name]).trim().to_owned();
        assert_eq!(leads("refs/heads/main"), "refs/heads/master", "{hooked}");
        assert_eq!(leads("refs/heads/heartbeat-ada"), "refs/heads/beats-of-ada", "{hooked}");
    }
}
