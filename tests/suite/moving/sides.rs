//! A merge by hand of two sides on which something else happened to one job or one lock.

use crate::support::{Fleet, Host, MAIN};
use serde_json::Value;

const JOBS: &str = "coordination/jobs.json";
const LOCKS: &str = "coordination/locks.json";

/// A hub in use, of which two copies part.
struct Parted {
    _fleet: Fleet,
    ada: Host,
    bob: Host,
    eve: Host,
    /// A job that ada has claimed.
    job: String,
    a: String,
    b: String,
}

fn shell(host: &Host, script: &str, words: &[&str]) {
    host.program("sh").args(["-ec", script]).args(words).run().success();
}

fn parted() -> Parted {
    let fleet = Fleet::new().founded();
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| fleet.server(name));
    let job = ada.run(["job", "add", "--type", "x"]).success().stdout().trim().to_owned();
    ada.run(["job", "claim", &job]).success();
    let [a, b] = ["a.git", "b.git"].map(|name| ada.directory().join(name).display().to_string());
    for copy in [&a, &b] {
        shell(&ada, "cp -r \"$0\" \"$1\"", &[&fleet.hub().path().display().to_string(), copy]);
    }
    Parted { _fleet: fleet, ada, bob, eve, job, a, b }
}

impl Parted {
    /// A hub with the merge of both sides, in this order, with `text` in the place of a document.
    fn merged(&self, first: &str, (path, text): (&str, &str)) -> String {
        let second = if first == self.a { &self.b } else { &self.a };
        let merged = self.ada.directory().join("merged.git").display().to_string();
        let script = r#"
            rm -rf "$0" "$0.clone"
            cp -r "$1" "$0"
            git -C "$0" fetch --quiet "$2" "$3:refs/heads/other"
            git clone --quiet --branch "$3" "$0" "$0.clone"
            cd "$0.clone"
            git config user.name x
            git config user.email x@x
            git merge --quiet --no-commit --no-ff -s ours origin/other
            printf %s "$5" > "$4"
            git commit --quiet --all -m merged
            git push --quiet origin "HEAD:$3" :refs/heads/other"#;
        shell(&self.ada, script, &[&merged, first, second, MAIN, path, text]);
        merged
    }

    /// What the job says in a hub.
    fn job_in(&self, hub: &str) -> Value {
        self.ada.run(["--hub", hub, "job", "show", &self.job, "--json"]).success().json()
    }
}

/// How a document may be lost in a merge, and what brings it back.
const WAYS: &[(&str, &[&str])] = &[
    ("", &["import"]),
    ("<<<<<<< HEAD\n", &["import"]),
    ("{\"jobs\": []}\n", &["job", "add", "--type", "next"]),
    ("{\"jobs\": []}\n", &["import", "--recover"]),
];

#[test]
fn a_job_that_one_side_finished_stays_finished_whichever_side_comes_first() {
    let it = parted();
    it.ada.run(["--hub", &it.a, "job", "start", &it.job, "--token", "1"]).success();
    it.ada.run(["--hub", &it.a, "job", "complete", &it.job, "--token", "1"]).success();
    it.ada.run(["--hub", &it.b, "job", "start", &it.job, "--token", "1"]).success();
    for first in [&it.a, &it.b] {
        for (text, words) in WAYS {
            let hub = it.merged(first, (JOBS, text));
            let run = it.bob.run([&["--hub", &hub], *words].concat()).success();
            assert_eq!(it.job_in(&hub)["status"], "completed", "{text:?} {run}");
            it.ada.run(["--hub", &hub, "fsck"]).success();
        }
    }
}

#[test]
fn the_highest_token_of_a_job_counts_and_is_not_given_again() {
    let it = parted();
    it.ada.run(["--hub", &it.a, "job", "release", &it.job, "--token", "1"]).success();
    it.eve.run(["--hub", &it.a, "job", "claim", &it.job]).success();
    it.ada.run(["--hub", &it.b, "job", "start", &it.job, "--token", "1"]).success();
    for first in [&it.a, &it.b] {
        for (text, words) in WAYS {
            let hub = it.merged(first, (JOBS, text));
            let run = it.bob.run([&["--hub", &hub], *words].concat()).success();
            let job = it.job_in(&hub);
            assert_eq!((&job["token"], &job["assigned_to"]), (&2.into(), &"eve".into()), "{text:?} {run}");
            it.ada.run(["--hub", &hub, "job", "release", &it.job, "--token", "1"]).code(5);
            it.eve.run(["--hub", &hub, "job", "release", &it.job, "--token", "2"]).success();
            let claimed = it.bob.run(["--hub", &hub, "job", "claim", &it.job]).success();
            assert!(claimed.stdout().contains("token 3"), "{text:?} {claimed}");
        }
    }
}

#[test]
fn what_one_side_alone_changed_counts_although_the_other_seems_to_be_further() {
    let it = parted();
    it.ada.run(["--hub", &it.a, "job", "release", &it.job, "--token", "1"]).success();
    it.bob.run(["--hub", &it.b, "job", "add", "--type", "beside"]).success();
    for first in [&it.a, &it.b] {
        for (text, words) in WAYS {
            let hub = it.merged(first, (JOBS, text));
            let run = it.bob.run([&["--hub", &hub], *words].concat()).success();
            let job = it.job_in(&hub);
            assert_eq!((&job["status"], &job["token"]), (&"queued".into(), &1.into()), "{text:?} {run}");
            let listed = it.ada.run(["--hub", &hub, "job", "list"]).success();
            assert!(listed.stdout().contains("beside"), "{text:?} {listed}");
        }
    }
}

#[test]
fn a_lock_is_that_of_the_side_that_gave_the_highest_token() {
    let it = parted();
    it.ada.run(["--hub", &it.a, "lock", "acquire", "deploy", "--ttl", "1h"]).success();
    it.bob.run(["--hub", &it.b, "lock", "acquire", "deploy"]).success();
    it.bob.run(["--hub", &it.b, "lock", "release", "deploy", "--token", "1"]).success();
    it.eve.run(["--hub", &it.b, "lock", "acquire", "deploy", "--ttl", "1h"]).success();
    for first in [&it.a, &it.b] {
        for (text, words) in [
            ("", &["import"][..]),
            ("{\"locks\": {\n<<<<<<< HEAD\n", &["import"]),
            ("{\"locks\": {}}\n", &["job", "add", "--type", "next"]),
        ] {
            let hub = it.merged(first, (LOCKS, text));
            let run = it.bob.run([&["--hub", &hub], words].concat()).success();
            let refused = it.ada.run(["--hub", &hub, "lock", "acquire", "deploy"]).code(4);
            assert!(refused.stderr().contains("held by `eve`"), "{text:?} {run} {refused}");
            it.eve.run(["--hub", &hub, "lock", "release", "deploy", "--token", "2"]).success();
            let next = it.ada.run(["--hub", &hub, "lock", "acquire", "deploy"]).success();
            assert_eq!(next.stdout().trim(), "3", "{text:?}");
        }
    }
}
