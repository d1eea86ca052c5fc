//! Who makes commits, and whether they are signed.

use crate::support::{Fleet, Host, MAIN, Transport, need};
use std::fs;
use std::process::Command;

/// A hook that takes commits of one address only, as many hubs do.
const OF_THE_COMPANY: &str = "#!/bin/sh
while read -r old new ref; do
  for commit in $(git rev-list $new --not --all); do
    case $(git show -s --format=%ce $commit) in
      *@corp.example) ;;
      *) echo 'committer does not follow the pattern' >&2; exit 1 ;;
    esac
  done
done
";

/// A hook that takes signed commits only.
const SIGNED: &str = "#!/bin/sh
while read -r old new ref; do
  for commit in $(git rev-list $new --not --all); do
    git cat-file commit $commit | grep -q '^gpgsig ' || { echo 'commits must be signed' >&2; exit 1; }
  done
done
";

/// Sets a value in the configuration of git of this host's user: a file of its own.
fn configure(host: &mut Host, key: &str, value: &str) {
    let file = host.place("HOME").join("user.gitconfig");
    host.git(["config", "--file", &file.display().to_string(), key, value]).success();
    host.set("GIT_CONFIG_GLOBAL", &file);
}

fn newest(fleet: &Fleet, branch: &str, format: &str) -> String {
    fleet.hub().git(["log", "-1", &format!("--format={format}"), branch]).trim().to_owned()
}

#[test]
fn a_hub_that_asks_for_an_address_gets_it() {
    Transport::each(&[Transport::Path, Transport::Ssh, Transport::Http], |transport| {
        let fleet = Fleet::over(transport).founded();
        let mut ada = fleet.server("ada");
        fleet.hub().install_hook("pre-receive", OF_THE_COMPANY);
        let run = ada.run(["job", "add", "--type", "test"]).code(4);
        assert!(run.stderr().contains("committer does not follow the pattern"), "{run}");
        assert!(run.stderr().contains("git config --global muster.email"), "{run}");
        assert!(!run.stderr().contains("let this account push"), "{run}");
        for (key, email) in [("user.email", "kim@corp.example"), ("muster.email", "ci@corp.example")] {
            configure(&mut ada, key, email);
            ada.run(["job", "add", "--type", "test"]).success();
            assert_eq!(newest(&fleet, MAIN, "%an|%ae|%cn|%ce"), format!("ada|{email}|ada|{email}"));
            ada.run(["heartbeat"]).success();
            assert_eq!(newest(&fleet, "heartbeat-ada", "%ae|%ce"), format!("{email}|{email}"));
        }
        // Which server it was is known whatever name it writes under.
        configure(&mut ada, "muster.name", "Build Fleet");
        ada.run(["job", "add", "--type", "test"]).success();
        assert_eq!(newest(&fleet, MAIN, "%an|%cn"), "Build Fleet|Build Fleet");
        assert_eq!(newest(&fleet, MAIN, "%(trailers:key=Muster-Server,valueonly)"), "ada");
        let run = ada.run(["config", "list", "--show-origin"]).success();
        for words in ["Build Fleet", "git config muster.name", "ci@corp.example", "git config muster.email"] {
            assert!(run.stdout().contains(words), "{run}");
        }
    });
}

#[test]
fn the_environment_names_author_and_committer_where_git_is_not_configured() {
    let fleet = Fleet::over(Transport::Path).founded();
    let mut ada = fleet.server("ada");
    for (name, value) in [
        ("GIT_AUTHOR_NAME", "An Author"),
        ("GIT_AUTHOR_EMAIL", "author@corp.example"),
        ("GIT_COMMITTER_EMAIL", "committer@corp.example"),
    ] {
        ada.set(name, value);
    }
    ada.run(["job", "add", "--type", "test"]).success();
    let expected = "An Author|author@corp.example|ada|committer@corp.example";
    assert_eq!(newest(&fleet, MAIN, "%an|%ae|%cn|%ce"), expected);
}

#[test]
fn a_hub_that_asks_for_signatures_gets_them() {
    if !need::is_here(&["ssh-keygen"]) {
        return;
    }
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let fleet = Fleet::over(transport).founded();
        let mut ada = fleet.server("ada");
        fleet.hub().install_hook("pre-receive", SIGNED);
        let run = ada.run(["job", "add", "--type", "test"]).code(4);
        assert!(run.stderr().contains("commit.gpgsign true"), "{run}");
        let key = ada.place("HOME").join("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).output();
        assert!(made.unwrap().status.success());
        configure(&mut ada, "commit.gpgsign", "true");
        configure(&mut ada, "gpg.format", "ssh");
        configure(&mut ada, "user.signingKey", &key.with_extension("pub").display().to_string());
        for args in [&["job", "add", "--type", "test"][..], &["heartbeat"], &["heartbeat"]] {
            ada.run(args).success();
        }
        let allowed = ada.place("HOME").join("allowed");
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        fs::write(&allowed, format!("* {public}")).unwrap();
        let allowed = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
        for branch in [MAIN, "heartbeat-ada"] {
            fleet.hub().git(["-c", &allowed, "verify-commit", branch]);
        }
        assert!(ada.run(["config", "list"]).success().stdout().contains("sign"));
        // A key that is gone: nothing is written, and it is said why.
        fs::remove_file(key).unwrap();
        fs::remove_file(ada.place("HOME").join("key.pub")).unwrap();
        let run = ada.run(["job", "add", "--type", "test"]).code(78);
        assert!(run.stderr().contains("cannot sign a commit"), "{run}");
        assert!(run.stderr().contains("nothing was written"), "{run}");
    });
}

#[test]
fn what_is_included_by_the_address_of_a_remote_counts_as_for_git() {
    let fleet = Fleet::over(Transport::Path).founded();
    let mut ada = fleet.server_in_clone("ada");
    for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"] {
        ada.unset(name);
    }
    ada.git(["config", "--unset", "user.name"]).success();
    ada.git(["config", "--unset", "user.email"]).success();
    let home = ada.place("HOME");
    let included = home.join("corp.gitconfig");
    fs::write(&included, "[user]\n\tname = Corp\n\temail = kim@corp.example\n").unwrap();
    let rule = format!("[includeIf \"hasconfig:remote.*.url:**\"]\n\tpath = {}\n", included.display());
    fs::write(home.join(".gitconfig"), rule).unwrap();
    assert_eq!(ada.git(["config", "user.email"]).success().stdout().trim(), "kim@corp.example");
    ada.run(["job", "add", "--type", "test"]).success();
    assert_eq!(newest(&fleet, MAIN, "%an|%ae"), "Corp|kim@corp.example");
}
