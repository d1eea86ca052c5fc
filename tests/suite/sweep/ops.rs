//! What is swept: every write that a command can make, and the hub on which all of them can be made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Fleet, Host, MAIN, Transport, inspect, wait_for};

/// How long a lease of a second or two may take until it is over, on a busy machine.
const LEASE_BOUND: Duration = Duration::from_secs(60);

/// How often a lease is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// One write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    /// The variant of `Operation` that it is kept as; a squash is none, and a founding is not kept.
    pub(super) verb: Option<&'static str>,
    /// The command; `@name` stands for the id of a record of the template.
    pub(super) args: &'static [&'static str],
}

const fn op(verb: &'static str, args: &'static [&'static str]) -> Op {
    Op { verb: Some(verb), args }
}

const fn unkept(args: &'static [&'static str]) -> Op {
    Op { verb: None, args }
}

/// Every write, by a server named `ada`.
pub(super) const OPS: &[Op] = &[
    op("AddJobs", &["job", "add", "--type", "test"]),
    op("AddJobs", &["job", "add", "--type", "test", "--key", "nightly"]),
    op("ClaimJobs", &["job", "claim"]),
    op("ClaimJobs", &["job", "claim", "--start"]),
    op("ClaimJobs", &["job", "claim", "@second"]),
    op("ClaimJobs", &["job", "claim", "@overdue"]),
    op("ClaimJobs", &["job", "claim", "@lost"]),
    op("StepJob", &["job", "start", "@claimed", "--token", "1"]),
    op("StepJob", &["job", "complete", "@running", "--token", "1"]),
    op("StepJob", &["job", "fail", "@running", "--token", "1", "--exit-code", "2"]),
    op("StepJob", &["job", "release", "@claimed", "--token", "1"]),
    op("ChangeJob", &["job", "cancel", "@first", "--reason", "superseded"]),
    op("ChangeJob", &["job", "retry", "@dead"]),
    op("ChangeJob", &["job", "priority", "@second", "critical"]),
    op("AcquireLock", &["lock", "acquire", "free"]),
    op("AcquireLock", &["lock", "acquire", "expired"]),
    op("AcquireLock", &["once", "do", "free"]),
    op("RenewLock", &["lock", "renew", "held", "--token", "1", "--ttl", "2h"]),
    op("ReleaseLock", &["lock", "release", "held", "--token", "1"]),
    op("StealLock", &["lock", "steal", "other", "--reason", "a test", "--force"]),
    op("MarkDone", &["once", "done", "begun", "--token", "1"]),
    op("SendMessage", &["message", "send", "--to", "bob", "--subject", "hello"]),
    op("SendMessage", &["message", "send", "--to", "bob", "--subject", "hello", "--key", "nightly"]),
    op("MarkMessages", &["message", "read", "@message"]),
    op("MarkMessages", &["message", "ack", "@message"]),
    op("Join", &["join", "--as", "ada", "--label", "gpu"]),
    op("RemoveServer", &["servers", "remove", "carl"]),
    op("SetStatus", &["status", "set", "building"]),
    op("SendBeat", &["heartbeat"]),
    op("SendBeat", &["heartbeat", "--on-main"]),
    op("SetPause", &["queue", "pause", "--note", "a test"]),
    op("SetPause", &["worker", "drain"]),
    op("EndPause", &["queue", "resume", "--label", "never"]),
    op("Archive", &["archive", "--older-than", "1s"]),
    unkept(&["--branch", "other", "init", "--force"]),
    unkept(&["heartbeat", "squash", "--branch", "heartbeat-old"]),
];

/// Those that are swept where a case is dear: of one branch, and of two that move together.
pub(super) const FEW: &[Op] =
    &[op("AddJobs", &["job", "add", "--type", "test"]), op("ClaimJobs", &["job", "claim", "@lost"])];

/// Those that are swept in clones: what shows in a clone, and what does not.
pub(super) const SHOWN: &[Op] = &[
    op("StepJob", &["job", "complete", "@running", "--token", "1"]),
    op("AcquireLock", &["lock", "acquire", "free"]),
    op("Archive", &["archive", "--older-than", "1s"]),
    op("SendBeat", &["heartbeat"]),
];

/// Variants of `Operation` that no command of today sends, with the reason.
pub(super) const UNSENT: [(&str, &str); 3] = [
    ("RescueJobs", "a claim takes lost jobs back by itself; what a worker sends is made for what it watched"),
    ("MendRecords", "a hub with broken records is none on which the others could be compared"),
    ("Found", "`init` does not keep what it begins: it is begun again by the same command"),
];

impl Op {
    /// Its name in reports.
    pub(super) fn name(&self) -> String {
        self.args.join(" ")
    }

    /// Whether it is the one write that is no operation: its commits bear no id.
    pub(super) fn is_squash(&self) -> bool {
        self.args.contains(&"squash")
    }

    /// Whether it means the same hub here: `init` is told which, or founds one of its own, and a
    /// clone tells it nothing.
    pub(super) fn fits(&self, way: Way) -> bool {
        !(way.is_in_clone() && self.args.contains(&"init"))
    }

    /// The command with the ids in it.
    pub(super) fn command(&self, ids: &BTreeMap<&'static str, String>) -> Vec<String> {
        let id = |name: &str| ids.get(name).unwrap_or_else(|| panic!("the template has no {name}")).clone();
        self.args.iter().map(|arg| arg.strip_prefix('@').map_or_else(|| (*arg).to_owned(), id)).collect()
    }
}

/// How a host reaches the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is opened in process.
    Direct,
    /// The same, from a clone of it.
    DirectClone,
    /// `git push` into a repository on this disk: all of git's protocol and hooks, and no server.
    Pushed,
    /// The same, from a clone of it.
    PushedClone,
    /// A real sshd.
    Ssh,
    /// nginx and git-http-backend.
    Http,
}

/// The address of a hub that git is told to find on this disk: no path, so nothing opens it directly.
const ALIAS: &str = "muster-sweep://hub";

impl Way {
    pub(super) fn transport(self) -> Transport {
        match self {
            Self::Ssh => Transport::Ssh,
            Self::Http => Transport::Http,
            _ => Transport::Path,
        }
    }

    fn is_in_clone(self) -> bool {
        matches!(self, Self::DirectClone | Self::PushedClone)
    }

    /// Whether some write passes this fail point here; all that are not named are passed everywhere.
    pub(super) fn passes(self, point: &str) -> bool {
        match point {
            "fetched" | "answer" => self.has_hooks(),
            // Where the address stays the same the copy does too.
            "copy" => matches!(self, Self::Ssh | Self::Http),
            "refresh" | "files" | "index" => self.is_in_clone(),
            _ => true,
        }
    }

    /// Whether the hub's hooks run, and an outcome can stay unknown.
    pub(super) fn has_hooks(self) -> bool {
        !matches!(self, Self::Direct | Self::DirectClone)
    }
}

/// A hub with something in it for every write, and the host that makes them.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) way: Way,
    pub(super) fleet: Fleet,
    pub(super) ada: Host,
    pub(super) ids: BTreeMap<&'static str, String>,
}

impl Template {
    pub(super) fn new(way: Way) -> Self {
        let fleet = Fleet::over(way.transport()).founded();
        if way == Way::PushedClone {
            // What several users share is pushed to by git.
            fleet.hub().git(["config", "core.sharedRepository", "umask"]);
        }
        let host = |name| {
            let mut host = if way.is_in_clone() { fleet.host_in_clone(name) } else { fleet.host(name) };
            let configuration = host.place("HOME").join("gitconfig");
            fs::write(&configuration, "").unwrap();
            host.set("GIT_CONFIG_GLOBAL", &configuration);
            if way == Way::Pushed {
                reach_by_alias(&mut host, &configuration);
            }
            host.run(["join", "--as", host.name()]).success();
            host
        };
        let (ada, bob, _) = (host("ada"), host("bob"), host("carl"));
        let mut template = Self { way, fleet, ada, ids: BTreeMap::new() };
        template.fill(&bob);
        template.watch();
        template.never_look_again();
        // The fewer files, the quicker are hundreds of copies; and none is old enough to be packed again.
        template.fleet.hub().git(["gc", "--quiet", "--prune=now"]);
        template.fleet.hub().git(["config", "receive.autogc", "false"]);
        for host in ["admin", "bob", "carl"] {
            template.fleet.forget(host);
        }
        template
    }

    /// A claim looks for lost holders now and then, whatever else there is; here that would make it depend
    /// on the time what it does besides.
    fn never_look_again(&self) {
        let path = self.ada.place("XDG_STATE_HOME").join("git-muster/observations.json");
        let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let places: BTreeSet<String> = kept["entries"].as_object().unwrap().keys().cloned().collect();
        let places = places.iter().filter_map(|key| key.split_once(" main ").map(|(hub, _)| hub));
        for hub in places.map(str::to_owned).collect::<BTreeSet<_>>() {
            // Later than any of this boot.
            let looked = serde_json::json!({"version": "looked", "since_boot_millis": u64::MAX / 2});
            kept["entries"][format!("{hub} main holders")] = looked;
        }
        fs::write(path, kept.to_string()).unwrap();
    }

    /// The same world once more, to break.
    pub(super) fn copy(&self) -> Self {
        let fleet = self.fleet.copy();
        let ada = fleet.same(&self.ada);
        Self { way: self.way, fleet, ada, ids: self.ids.clone() }
    }

    fn fill(&mut self, bob: &Host) {
        let ada = self.ada.clone();
        let add = |more: &[&str]| {
            let run = ada.command(["job", "add", "--type", "test"]).args(more).run().success();
            run.stdout().trim().to_owned()
        };
        let step = |host: &Host, args: &[&str]| drop(host.run(args).success());
        self.ids.extend([
            ("claimed", add(&[])),
            ("running", add(&[])),
            ("dead", add(&["--max-attempts", "1"])),
            ("done", add(&[])),
            // One is not tried again, the other not by ada: else it would depend on the time.
            ("overdue", add(&["--timeout", "1s", "--max-attempts", "1"])),
            ("lost", add(&["--label", "rare"])),
            ("first", add(&[])),
            ("second", add(&[])),
        ]);
        let id = |name: &str| self.ids[name].as_str();
        step(&ada, &["job", "claim", id("claimed")]);
        step(&ada, &["job", "claim", id("running"), "--start"]);
        step(&ada, &["job", "claim", id("dead")]);
        step(&ada, &["job", "fail", id("dead"), "--token", "1", "--exit-code", "1"]);
        step(&ada, &["job", "claim", id("done")]);
        step(&ada, &["job", "complete", id("done"), "--token", "1"]);
        step(&ada, &["lock", "acquire", "held", "--ttl", "1h"]);
        step(&ada, &["once", "do", "begun", "--ttl", "1h"]);
        step(&ada, &["heartbeat"]);
        step(bob, &["lock", "acquire", "other", "--ttl", "1h"]);
        step(bob, &["lock", "acquire", "expired", "--ttl", "2s"]);
        step(bob, &["heartbeat", "--interval", "1s"]);
        step(bob, &["job", "claim", id("overdue"), "--start"]);
        step(bob, &["job", "claim", id("lost"), "--label", "rare"]);
        step(bob, &["queue", "pause", "--label", "never"]);
        let message = bob.run(["message", "send", "--to", "ada", "--subject", "a question", "--ack"]);
        self.ids.insert("message", message.success().stdout().trim().to_owned());
        for number in 0..2 {
            let text = format!("{{\"server\": \"old\", \"sequence\": {number}}}\n");
            self.fleet.hub().put("heartbeat-old", &[("old/heartbeat.json", text)], "an old script beats");
        }
    }

    /// Lets `ada` watch what is bob's until it may be taken over.
    fn watch(&self) {
        let commands = [
            ["job", "claim", &self.ids["overdue"]],
            ["job", "claim", &self.ids["lost"]],
            ["lock", "acquire", "expired"],
        ];
        for args in &commands {
            self.ada.run(args).code(4);
        }
        // Taken over in a copy, which has seen no more than we have: here all stays as it is.
        let copy = self.copy();
        let held_by_bob = |record: &str| {
            let document = |name: &str| inspect::document(copy.fleet.hub(), MAIN, name);
            let jobs = document("coordination/jobs.json");
            let job = jobs["jobs"].as_array().unwrap().iter().find(|job| job["id"] == record);
            let lock = || document("coordination/locks.json")["locks"][record]["locked_by"] == "bob";
            job.map_or_else(lock, |job| job["assigned_to"] == "bob" && job["status"] != "dead")
        };
        let mut looked = Instant::now();
        for args in &commands {
            let taken = wait_for(LEASE_BOUND, || {
                // Not as often as possible: many tests run beside this one.
                if looked.elapsed() < LOOK_INTERVAL {
                    return None;
                }
                looked = Instant::now();
                let _ = copy.ada.run(args).exit_code();
                (!held_by_bob(args[2])).then_some(())
            });
            assert!(taken.is_some(), "{args:?}");
        }
    }
}

/// Lets a host know the hub by a name that git alone can follow.
fn reach_by_alias(host: &mut Host, configuration: &Path) {
    let real = host.hub().url();
    fs::write(configuration, format!("[url \"{real}\"]\n\tinsteadOf = {ALIAS}\n")).unwrap();
    host.set("MUSTER_HUB", ALIAS);
}
