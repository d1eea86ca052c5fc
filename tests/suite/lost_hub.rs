//! A hub that lost its documents or its branch is put back, and nobody is told to found it anew:
//! its tokens would begin again.

use crate::support::{Fleet, Host, MAIN, Run, Transport, eventually, git, inspect};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

const TRANSPORTS: [Transport; 2] = [Transport::Path, Transport::Ssh];

/// A hub with two servers and a lock that was held once; the second server is gone.
fn fleet(transport: Transport) -> (Fleet, Host) {
    let fleet = Fleet::over(transport).founded();
    let ada = fleet.host("ada");
    ada.run(["join", "--as", "ada"]).success();
    ada.run(["heartbeat"]).success();
    ada.run(["lock", "acquire", "deploy"]).success();
    ada.run(["lock", "release", "deploy", "--token", "1"]).success();
    (fleet, ada)
}

/// The command of a hint that puts the hub back.
#[track_caller]
fn advice(run: &Run) -> String {
    let hint = run.stderr().lines().find(|line| line.starts_with("hint: restore it"));
    hint.and_then(|hint| hint.split('`').rfind(|part| part.starts_with("git ")))
        .unwrap_or_else(|| run.fail("no advice"))
        .to_owned()
}

#[track_caller]
fn refuses_to_begin_anew(fleet: &Fleet, host: &Host) {
    let before = fleet.hub().tip(MAIN);
    let run = host.run(["init", &fleet.hub().url()]).code(78);
    assert!(run.stderr().contains("nothing was written"), "{run}");
    for args in [&["job", "list"][..], &["lock", "acquire", "deploy"], &["fsck"], &["doctor"]] {
        let run = host.run(args);
        assert!(run.exit_code() != Some(0) && !run.to_string().contains("git muster init"), "{run}");
    }
    assert_eq!(fleet.hub().tip(MAIN), before);
}

#[test]
fn documents_that_were_removed_are_put_back() {
    Transport::each(&TRANSPORTS, |transport| {
        let (fleet, ada) = fleet(transport);
        let clone = fleet.host_in_clone("clone");
        for args in [&["rm", "-rq", "coordination"][..], &["commit", "-qm", "tidy up"], &["push", "-q"]] {
            clone.git(args).success();
        }
        refuses_to_begin_anew(&fleet, &ada);
        // A host that never saw it knows it from the history.
        refuses_to_begin_anew(&fleet, &fleet.host("eve"));
        let command = advice(&ada.run(["job", "list"]).code(78));
        clone.program("sh").args(["-c", &command]).run().success();
        assert_eq!(ada.run(["lock", "acquire", "deploy"]).success().stdout().trim(), "2");
    });
}

#[test]
fn a_branch_that_was_deleted_is_put_back_from_what_a_host_knows() {
    let (fleet, ada) = fleet(Transport::Ssh);
    let tip = fleet.hub().tip(MAIN);
    git(fleet.hub().path(), ["update-ref", "-d", "refs/heads/main"]);
    let first = ada.run(["doctor", "hub-reachable", "--json"]).code(1).json();
    let mend = first["checks"][0]["findings"][0]["mend"].as_str().unwrap().to_owned();
    refuses_to_begin_anew(&fleet, &ada);
    // Of a host that never saw it, the heartbeats tell.
    refuses_to_begin_anew(&fleet, &fleet.host("eve"));
    let command = advice(&ada.run(["job", "list"]).code(78));
    assert_eq!(command, mend);
    ada.program("sh").args(["-c", &command]).run().success();
    assert_eq!(fleet.hub().tip(MAIN), tip);
    assert_eq!(ada.run(["lock", "acquire", "deploy"]).success().stdout().trim(), "2");
    // One that came back as another is told like any history that was rewritten.
    git(fleet.hub().path(), ["update-ref", "-d", "refs/heads/main"]);
    ada.run(["job", "list"]).code(78);
    fleet.hub().put(MAIN, &[("coordination/jobs.json", "[]\n")], "begun anew");
    let run = ada.run(["job", "list"]).success();
    assert!(run.stderr().contains("was rewritten on the hub"), "{run}");
    assert!(!ada.run(["job", "list"]).success().stderr().contains("rewritten"));
}

#[test]
fn a_branch_that_was_deleted_in_place_is_known_by_its_heartbeats_and_clones() {
    let (fleet, ada) = fleet(Transport::Path);
    let clone = fleet.host_in_clone("clone");
    let tip = fleet.hub().tip(MAIN);
    git(fleet.hub().path(), ["update-ref", "-d", "refs/heads/main"]);
    refuses_to_begin_anew(&fleet, &ada);
    let command = advice(&clone.run(["job", "list"]).code(78));
    clone.program("sh").args(["-c", &command]).run().success();
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

/// The heartbeats of a hub in one branch say nothing of another.
#[test]
fn a_second_hub_may_be_founded_in_another_branch() {
    Transport::each(&TRANSPORTS, |transport| {
        let (fleet, ada) = fleet(transport);
        for host in [ada, fleet.host("eve")] {
            let branch = format!("of-{}", host.name());
            host.run(["--branch", &branch, "init", "--force", &fleet.hub().url()]).success();
            assert!(fleet.hub().tip(&branch).is_some());
        }
    });
}

#[test]
fn a_repository_that_never_held_a_hub_becomes_one() {
    Transport::each(&TRANSPORTS, |transport| {
        let fleet = Fleet::over(transport);
        fleet.hub().put(MAIN, &[("README", "a project\n")], "source");
        let ada = fleet.host("ada");
        let run = ada.run(["job", "list"]).code(78);
        assert!(run.stderr().contains(&format!("`git muster init {}`", fleet.hub().url())), "{run}");
        ada.run(["init", &fleet.hub().url()]).success();
    });
}

#[test]
fn a_token_that_a_restored_hub_gave_again_is_not_the_one_of_before() {
    let fleet = Fleet::over(Transport::Path).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    for host in [&ada, &bob] {
        host.run(["heartbeat"]).success();
    }
    ada.run(["job", "add", "--type", "x"]).success();
    let backup = fleet.hub().tip(MAIN).unwrap();
    let held = |host: &Host| {
        host.run(["lock", "acquire", "deploy"]).success();
        host.run(["job", "claim"]).success();
    };
    held(&ada);
    ada.run(["--if-lock", "deploy=1", "status", "set", "building"]).success();
    let main = format!("refs/heads/{MAIN}");
    ada.program("git")
        .args(["-C", &fleet.hub().path().display().to_string(), "update-ref", &main, &backup])
        .run()
        .success();
    held(&bob);
    let run = ada.run(["--if-lock", "deploy=1", "status", "set", "building"]).code(5);
    assert!(run.stderr().contains("is not held by `ada`, which got token 1: `bob` holds the lock"), "{run}");
    // What others were given the token for, they may use.
    for host in [&bob, &fleet.server("carl")] {
        host.run(["--if-lock", "deploy=1", "job", "add", "--type", "x"]).success();
    }
    assert_eq!(ada.run(["op", "list", "--json"]).success().json(), serde_json::json!([]), "it is over");
    assert_eq!(bob.run(["op", "list", "--json"]).success().json().as_array().unwrap().len(), 2);
}

/// A service that begins while the hub is lost for a minute is under the rule of one that is at work: the
/// unit starts it again after any end but that of a wrong configuration.
#[test]
fn a_service_that_begins_while_the_hub_is_lost_waits_or_may_be_started_again() {
    Transport::each(&TRANSPORTS, |transport| {
        let (fleet, mut ada) = fleet(transport);
        let tip = fleet.hub().tip(MAIN).unwrap();
        fleet.hub().git(["update-ref", "-d", "refs/heads/main"]);
        ada.run(["worker", "run", "--allow-any"]).code(7);
        // Who asks once is told as before.
        ada.run(["heartbeat"]).code(78);
        let mut running = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
        eventually(Duration::from_secs(60), || running.stderr().matches("error: ").count() > 1);
        fleet.hub().git(["update-ref", "refs/heads/main", &tip]);
        running.wait_for_stdout("beat ");
        running.signal("TERM");
        running.wait().success();
        // What is said wrongly here ends it at once.
        ada.set("MUSTER_BRANCH", "mian");
        ada.run(["heartbeat", "run", "--interval", "1s"]).code(78);
        ada.run(["worker", "run", "--allow-any"]).code(78);
    });
}

/// An empty repository where the hub was is not founded anew by the line that is told, and takes no beat.
#[test]
fn an_empty_repository_in_the_place_of_the_hub_is_told_and_takes_nothing() {
    Transport::each(&TRANSPORTS, |transport| {
        let (fleet, ada) = fleet(transport);
        let bob = fleet.server("bob");
        let path = fleet.hub().path().display().to_string();
        let refs = git(fleet.hub().path(), ["for-each-ref", "--format=delete %(refname)"]);
        for line in refs.lines() {
            git(fleet.hub().path(), ["update-ref", "-d", line.trim_start_matches("delete ")]);
        }
        // What this program left in the old one is gone with its disk.
        for left in std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()) {
            if left.file_name().is_some_and(|name| name.to_string_lossy().contains("muster")) {
                let gone =
                    if left.is_dir() { std::fs::remove_dir_all(&left) } else { std::fs::remove_file(&left) };
                gone.unwrap();
            }
        }
        for host in [&ada, &bob] {
            // Bob has not sent a beat: his branch is a new one.
            let run = host.run(["heartbeat"]).code(78);
            assert!(!run.stderr().contains("git muster init /"), "{run}");
            assert!(run.stderr().contains("restore it"), "{run}");
            let run = host.run(["init", &fleet.hub().url()]).code(78);
            assert!(run.stderr().contains("nothing was written"), "{run}");
            let run = host.run(["doctor", "hub-reachable"]).code(1);
            assert!(
                run.to_string().contains("restore it") && !run.to_string().contains("muster init"),
                "{run}"
            );
        }
        assert_eq!(git(fleet.hub().path(), ["for-each-ref"]).trim(), "");
    });
}

#[test]
fn a_path_where_a_hub_was_is_not_founded_anew_but_by_force() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let away = ada.directory().join("away.git");
    std::fs::rename(fleet.hub().path(), &away).unwrap();
    let url = fleet.hub().url();
    let run = ada.run(["init", &url]).code(78);
    assert!(run.stderr().contains("init --force") && !fleet.hub().path().exists(), "{run}");
    std::fs::rename(&away, fleet.hub().path()).unwrap();
    ada.run(["job", "list"]).success();
    std::fs::remove_dir_all(fleet.hub().path()).unwrap();
    ada.run(["init", "--force", &url]).success();
}

/// A hub and what takes its place for a while, as when a disk is not mounted.
struct InPlace {
    place: PathBuf,
    away: PathBuf,
    other: PathBuf,
}

impl InPlace {
    /// An empty repository waits to take the place.
    fn empty(fleet: &Fleet, host: &Host) -> Self {
        let folder = |name: &str| host.directory().join(name);
        let one = Self {
            place: fleet.hub().path().to_owned(),
            away: folder("away.git"),
            other: folder("other.git"),
        };
        host.program("git")
            .args(["init", "-q", "--bare", "-b", MAIN, one.other.to_str().unwrap()])
            .run()
            .success();
        one
    }

    /// Another hub waits to, in which there is a job for everybody.
    fn another(fleet: &Fleet, host: &Host) -> Self {
        let one = Self::empty(fleet, host);
        let other = one.other.to_str().unwrap();
        host.run(["init", other]).success();
        host.run(["join", other, "--as", host.name()]).success();
        host.run(["--hub", other, "job", "add", "--type", "test", "--", "true"]).success();
        one
    }

    /// A hub of the first scripts waits to, which never had a marker and knows the servers of this one.
    fn of_scripts(fleet: &Fleet, host: &Host) -> Self {
        let one = Self::empty(fleet, host);
        let work = host.directory().join("scripts");
        git(host.directory(), ["clone", "--quiet", one.other.to_str().unwrap(), "scripts"]);
        git(&work, ["checkout", "--quiet", "-B", MAIN]);
        for (file, text) in [
            ("coordination/jobs.json", "{\"jobs\": []}"),
            ("coordination/locks.json", "{\"locks\": {}}"),
            ("ada/status.json", "{\"server_id\": \"ada\"}"),
            ("bob/status.json", "{\"server_id\": \"bob\"}"),
        ] {
            fs::create_dir_all(work.join(file).parent().unwrap()).unwrap();
            fs::write(work.join(file), text).unwrap();
        }
        git(&work, ["add", "."]);
        let by = ["-c", "user.name=o", "-c", "user.email=o@example.invalid"];
        git(&work, by.into_iter().chain(["commit", "--quiet", "-m", "x"]));
        git(&work, ["push", "--quiet", "origin", MAIN]);
        one
    }

    fn comes(&self) {
        fs::rename(&self.place, &self.away).unwrap();
        fs::rename(&self.other, &self.place).unwrap();
    }

    fn goes(&self) {
        fs::rename(&self.place, &self.other).unwrap();
        fs::rename(&self.away, &self.place).unwrap();
    }

    /// All that is in the other one.
    fn refs(&self) -> String {
        let path: &Path = if self.other.exists() { &self.other } else { &self.place };
        git(path, ["for-each-ref"])
    }
}

/// Its "there is no job" is no answer about a job of the old one: the job would be done once more.
#[test]
fn a_worker_believes_no_other_hub_in_the_place_of_its_own() {
    Transport::each(&TRANSPORTS, |transport| {
        for ends in [false, true] {
            let fleet = Fleet::over(transport).founded();
            let bob = fleet.server("bob");
            let other = InPlace::another(&fleet, &fleet.host("cy"));
            let before = other.refs();
            let (done, go) = (bob.directory().join("done"), bob.directory().join("go"));
            let script = "echo >>\"$0\"; while [ ! -e \"$1\" ]; do sleep 0.02; done";
            let files = [done.to_str().unwrap(), go.to_str().unwrap()];
            let add = ["job", "add", "--type", "test", "--", "sh", "-c", script];
            let id = bob.run(add.into_iter().chain(files)).success().stdout().trim().to_owned();
            let words = ["worker", "run", "--allow-any", "--poll", "100ms", "--interval", "3s"];
            let mut worker = bob.command(words).spawn();
            eventually(BOUND, || done.exists());
            other.comes();
            fs::write(&go, "").unwrap();
            eventually(BOUND, || worker.stderr().contains("is not reported yet"));
            // It gave a sign of life there as little as it claimed the job that waits.
            eventually(BOUND, || worker.stderr().contains("no sign of life was sent"));
            assert_eq!(worker.stderr().matches("; until then nothing is claimed").count(), 1);
            if ends {
                worker.signal("TERM");
                let run = worker.wait().success();
                assert!(
                    run.stderr().contains("the next worker or heartbeat of this server sends it"),
                    "{run}"
                );
                assert_eq!(other.refs(), before);
                other.goes();
                worker = bob.command(words).spawn();
            } else {
                assert_eq!(other.refs(), before);
                other.goes();
            }
            eventually(BOUND, || inspect::job(fleet.hub(), &id)["status"] == "completed");
            worker.signal("TERM");
            worker.wait().success();
            assert_eq!(fs::read_to_string(&done).unwrap().lines().count(), 1);
            assert_eq!(other.refs(), before);
            assert_eq!(bob.unsettled(), serde_json::json!([]));
        }
    });
}

#[test]
fn whoever_goes_on_for_long_is_told_of_another_hub_in_the_place_of_its_own() {
    Transport::each(&TRANSPORTS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        let other = InPlace::another(&fleet, &fleet.host("cy"));
        let before = other.refs();
        let id = ada.run(["job", "add", "--type", "test", "--label", "none"]).success().stdout().to_owned();
        ada.run(["lock", "acquire", "gate"]).success();
        let go = ada.directory().join("go");
        let script = "echo begun; while [ ! -e \"$0\" ]; do sleep 0.02; done";
        let lock = ["lock", "run", "deploy", "--ttl", "12s", "--", "sh", "-c", script, go.to_str().unwrap()];
        let mut lock = ada.command(lock).spawn();
        let mut beats = bob.command(["heartbeat", "run", "--interval", "1s"]).spawn();
        // It does not say when it has looked: it is the first, and the others say when they have.
        let wait = bob.command(["job", "wait", id.trim(), "--wait", "10m"]).spawn();
        lock.wait_for_stdout("begun");
        beats.wait_for_stdout("beat ");
        let acquire = bob.command(["lock", "acquire", "gate", "--wait", "10m"]).spawn();
        let claim = bob.command(["job", "claim", "--wait", "10m"]).spawn();
        beats.wait_for_stdout("beat ");
        eventually(BOUND, || [&acquire, &claim].iter().all(|one| one.stderr().contains("waiting")));
        other.comes();
        let told = "another hub is at";
        eventually(BOUND, || beats.stderr().matches(told).count() > 1);
        // A lease that is not renewed runs out as with a hub that is away.
        eventually(BOUND, || lock.stderr().contains(&format!("was not renewed: {told}")));
        fs::write(&go, "").unwrap();
        let run = lock.wait().success();
        assert!(run.stderr().contains("lock `deploy` was not released"), "{run}");
        for waiting in [acquire, claim, wait] {
            let run = waiting.wait().code(7);
            assert!(run.stderr().contains(told) && run.stderr().contains("nothing was written"), "{run}");
        }
        assert_eq!(other.refs(), before);
        other.goes();
        let beaten = beats.stdout().lines().count();
        eventually(BOUND, || beats.stdout().lines().count() > beaten);
        beats.signal("TERM");
        beats.wait().success();
        assert_eq!(ada.run(["lock", "show", "deploy", "--json"]).success().json()["state"], "held");
        // Whoever begins now is with the hub that is there.
        other.comes();
        bob.run(["job", "list"]).success();
        let run = bob.run(["worker", "run", "--allow-any", "--once"]).code(4);
        assert!(run.stderr().contains("is not registered in this hub"), "{run}");
    });
}

/// What never had a marker is no hub that lost it.
#[test]
fn nobody_takes_a_hub_of_scripts_in_the_place_of_its_own_for_that() {
    Transport::each(&TRANSPORTS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        let other = InPlace::of_scripts(&fleet, &fleet.host("cy"));
        let before = other.refs();
        ada.run(["lock", "acquire", "gate"]).success();
        let acquire = bob.command(["lock", "acquire", "gate", "--wait", "10m"]).spawn();
        let mut beats = bob.command(["heartbeat", "run", "--interval", "1s"]).spawn();
        beats.wait_for_stdout("beat ");
        eventually(BOUND, || acquire.stderr().contains("waiting"));
        other.comes();
        let told = "another hub is at";
        eventually(BOUND, || beats.stderr().matches(told).count() > 1);
        let run = acquire.wait().code(7);
        assert!(run.stderr().contains("now, one without an id and not of the id"), "{run}");
        beats.signal("TERM");
        drop(beats.wait());
        assert_eq!(other.refs(), before);
        // Who begins now is with the hub that is there, and that of the scripts is its own as any other.
        ada.run(["heartbeat"]).success();
        bob.run(["lock", "acquire", "gate"]).success();
        other.goes();
        assert_eq!(
            ada.run(["lock", "show", "gate", "--json"]).success().json()["locked_by"],
            "ada",
            "{transport:?}"
        );
    });
}

/// That another hub does not know a job is no answer about it, whoever sends the report.
#[test]
fn a_report_that_was_kept_is_sent_to_no_hub_but_its_own() {
    Transport::each(&TRANSPORTS, |transport| {
        let waits = if transport == Transport::Path { InPlace::of_scripts } else { InPlace::another };
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.server("ada");
        let other = waits(&fleet, &fleet.host("cy"));
        // The same server belongs to the hub that comes.
        fleet.host("ada2").run(["--hub", other.other.to_str().unwrap(), "join", "--as", "ada"]).success();
        let go = ada.directory().join("go");
        let script = "echo begun; while [ ! -e \"$0\" ]; do sleep 0.02; done";
        let add = ["job", "add", "--type", "test", "--", "sh", "-c", script, go.to_str().unwrap()];
        let id = ada.run(add).success().stdout().trim().to_owned();
        let worker = ada.command(["worker", "run", "--allow-any", "--poll", "100ms"]).spawn();
        eventually(BOUND, || inspect::job(fleet.hub(), &id)["status"] == "running");
        fs::rename(&other.place, &other.away).unwrap();
        fs::write(&go, "").unwrap();
        let mut worker = worker;
        eventually(BOUND, || worker.stderr().contains("is not reported yet"));
        worker.signal("TERM");
        let run = worker.wait().success();
        assert!(run.stderr().contains("the next worker or heartbeat"), "{run}");
        let kept = ada.unsettled();
        assert_eq!(kept.as_array().unwrap().len(), 1, "{kept}");
        let op = kept[0]["op"].as_str().unwrap().to_owned();
        fs::rename(&other.other, &other.place).unwrap();
        for words in [&["heartbeat"][..], &["op", "resume", &op], &["heartbeat"]] {
            let run = ada.run(words);
            assert!(!run.to_string().contains("no jobs"), "{transport:?} {run}");
            assert_eq!(ada.unsettled(), kept, "{transport:?} {run}");
        }
        other.goes();
        eventually(BOUND, || {
            drop(ada.run(["heartbeat"]));
            inspect::job(fleet.hub(), &id)["status"] == "completed"
        });
        assert_eq!(ada.unsettled(), serde_json::json!([]), "{transport:?}");
    });
}

/// The other way round: what was begun in a hub of scripts is not answered by one with a marker.
#[test]
fn nobody_takes_a_hub_in_the_place_of_one_of_scripts_for_that() {
    Transport::each(&TRANSPORTS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        let other = InPlace::of_scripts(&fleet, &fleet.host("cy"));
        other.comes();
        ada.run(["lock", "acquire", "gate"]).success();
        let go = ada.directory().join("go");
        let script = "echo >>\"$0\"; while [ ! -e \"$1\" ]; do sleep 0.02; done";
        let done = ada.directory().join("done");
        let add = ["job", "add", "--type", "test", "--", "sh", "-c", script];
        let id = ada
            .run(add.into_iter().chain([done.to_str().unwrap(), go.to_str().unwrap()]))
            .success()
            .stdout()
            .trim()
            .to_owned();
        let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "100ms"]).spawn();
        eventually(BOUND, || done.exists());
        let acquire = bob.command(["lock", "acquire", "gate", "--wait", "10m"]).spawn();
        eventually(BOUND, || acquire.stderr().contains("waiting"));
        other.goes();
        let run = acquire.wait().code(7);
        assert!(run.stderr().contains("and not one without an id"), "{run}");
        fs::write(&go, "").unwrap();
        eventually(BOUND, || worker.stderr().contains("is not reported yet"));
        worker.signal("TERM");
        worker.wait().success();
        let kept = ada.unsettled();
        let op = kept[0]["op"].as_str().unwrap().to_owned();
        for words in [&["heartbeat"][..], &["op", "resume", &op], &["heartbeat"]] {
            let run = ada.run(words);
            assert!(!run.to_string().contains("no jobs"), "{transport:?} {run}");
            assert_eq!(ada.unsettled(), kept, "{transport:?} {run}");
        }
        other.comes();
        eventually(BOUND, || {
            drop(ada.run(["heartbeat"]));
            inspect::job(fleet.hub(), &id)["status"] == "completed"
        });
        assert_eq!(fs::read_to_string(&done).unwrap().lines().count(), 1);
    });
}

/// As `docs/moving.md` has it; also where a hub with a marker was before.
#[test]
fn a_hub_that_gets_its_marker_is_the_hub_that_had_none() {
    Transport::each(&TRANSPORTS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.server("ada");
        let other = InPlace::of_scripts(&fleet, &fleet.host("cy"));
        other.comes();
        let session = || {
            let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
            (beat["incarnation"].to_string(), beat["sequence"].as_u64().unwrap())
        };
        for _ in 0..2 {
            // Over a connection the first one may still know the old hub.
            ada.run(["heartbeat"]).success();
        }
        let before = session();
        fleet.host("eve").run(["init", &fleet.hub().url()]).success();
        assert!(inspect::document(fleet.hub(), MAIN, "coordination/hub.json")["id"].is_string());
        for number in 1..=2 {
            ada.run(["heartbeat"]).success();
            assert_eq!(session(), (before.0.clone(), before.1 + number), "{transport:?}");
        }
    });
}

#[test]
fn a_hub_whose_marker_was_taken_out_is_that_hub_still() {
    Transport::each(&TRANSPORTS, |transport| {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        let token = ada.run(["lock", "acquire", "gate", "--json"]).success().json()["token"].to_string();
        let acquire = bob.command(["lock", "acquire", "gate", "--wait", "10m"]).spawn();
        eventually(BOUND, || acquire.stderr().contains("waiting"));
        let by_hand = fleet.host_in_clone("cy");
        by_hand.git(["rm", "--quiet", "coordination/hub.json"]).success();
        by_hand.git(["commit", "--quiet", "-m", "tidied up"]).success();
        by_hand.git(["push", "--quiet", "origin", &format!("HEAD:{MAIN}")]).success();
        ada.run(["lock", "release", "gate", "--token", &token]).success();
        acquire.wait().success();
    });
}

/// A unit starts it again then, as it does not after the end of a wrong configuration.
#[test]
fn a_service_that_begins_while_its_hub_is_emptied_waits_or_may_be_started_again() {
    Transport::each(&TRANSPORTS, |transport| {
        let (fleet, ada) = fleet(transport);
        let other = InPlace::empty(&fleet, &fleet.host("cy"));
        other.comes();
        let run = ada.run(["worker", "run", "--allow-any"]).code(7);
        assert!(run.stderr().contains("restore it"), "{run}");
        assert!(!run.stderr().contains("git muster init /"), "{run}");
        // Who asks once is told what is wrong.
        for once in [&["job", "run", "--allow-any"][..], &["worker", "run", "--allow-any", "--once"]] {
            let run = ada.run(once).code(78);
            assert!(run.stderr().contains("restore it"), "{run}");
            assert!(!run.stderr().contains("git muster init /"), "{run}");
        }
        let mut beats = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
        eventually(BOUND, || beats.stderr().matches("error: ").count() > 1);
        assert_eq!(other.refs(), "");
        other.goes();
        beats.wait_for_stdout("beat ");
        beats.signal("TERM");
        beats.wait().success();
    });
}

#[test]
fn an_embedded_hub_that_is_gone_is_the_hub_still() {
    let fleet = Fleet::new();
    let mut ada = fleet.host("ada");
    ada.unset("MUSTER_HUB");
    let embedded = ada.place("XDG_DATA_HOME").join("git-muster/hub.git");
    ada.run(["init"]).success();
    ada.run(["join", "--as", "ada"]).success();
    ada.run(["lock", "acquire", "deploy"]).success();
    let away = ada.directory().join("away.git");
    std::fs::rename(&embedded, &away).unwrap();
    // Not mounted is not "no hub configured", which leads to `init`.
    for args in [&["job", "list"][..], &["heartbeat"], &["job", "add", "--type", "test"]] {
        let run = ada.run(args).code(7);
        let said = run.stderr();
        assert!(said.contains("there is no such folder") && !said.contains("init"), "{run}");
    }
    let run = ada.run(["doctor", "hub-reachable"]).code(1);
    assert!(run.stdout().contains("whether its disk is mounted"), "{run}");
    ada.run(["init"]).code(78);
    std::fs::rename(&away, &embedded).unwrap();
    ada.run(["lock", "list"]).success();
}

/// What a hub that lost only its branch left of itself comes before what is told where nothing is left.
#[test]
fn who_founds_where_only_the_branch_is_lost_is_told_the_line_that_every_command_tells() {
    Transport::each(&TRANSPORTS, |transport| {
        let (fleet, ada) = fleet(transport);
        let old = fleet.host("old");
        let from = old.directory().join("old.git").display().to_string();
        old.run(["init", &from]).success();
        let tip = fleet.hub().tip(MAIN);
        let url = fleet.hub().url();
        for words in [&["init", &url][..], &["import", &from, "--into", &url]] {
            fleet.hub().git(["update-ref", "-d", "refs/heads/main"]);
            let run = ada.run(words).code(78);
            assert!(
                run.stderr().contains("has lost its branch") && run.stderr().contains("nothing was written")
            );
            for wrong in ["keeps no history", "--force"] {
                assert!(!run.stderr().contains(wrong), "{transport:?} {run}");
            }
            let command = advice(&run);
            assert_eq!(command, advice(&ada.run(["job", "list"]).code(78)), "{transport:?}");
            ada.program("sh").args(["-c", &command]).run().success();
            assert_eq!(fleet.hub().tip(MAIN), tip, "{transport:?}");
        }
    });
}

#[test]
fn a_hub_that_is_gone_is_not_founded_anew_by_an_import_but_by_force() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let url = fleet.hub().url();
    let from = ada.directory().join("old.git").display().to_string();
    fleet.host("old").run(["init", &from]).success();
    std::fs::remove_dir_all(fleet.hub().path()).unwrap();
    let import = ["import", &*from, "--into", &*url];
    for words in [&import[..], &["--dry-run", "import", &from, "--into", &url]] {
        let run = ada.run(words).code(78);
        assert!(run.stderr().contains("nothing was written") && run.stderr().contains("`--force`"), "{run}");
        assert!(!fleet.hub().path().exists(), "{run}");
    }
    // Nor where the folder is there without a repository, or with an empty one.
    std::fs::create_dir(fleet.hub().path()).unwrap();
    ada.run(import).code(78);
    git(fleet.hub().path(), ["init", "--quiet", "--bare"]);
    ada.run(import).code(78);
    // Where none was known it needs no force.
    let new = ada.directory().join("new.git").display().to_string();
    ada.run(["import", &from, "--into", &new]).success();
    ada.run(import.iter().chain(&["--force"])).success();
    assert!(fleet.hub().tip(MAIN).is_some());
}

#[test]
fn the_line_that_puts_a_hub_back_runs_where_nothing_is_and_in_a_folder_without_a_repository() {
    for (has_folder, has_repository) in [(false, false), (true, false), (true, true)] {
        let fleet = Fleet::over(Transport::Path).founded();
        let ada = fleet.server("ada");
        let clone = fleet.host_in_clone("clone");
        let tip = fleet.hub().tip(MAIN);
        std::fs::remove_dir_all(fleet.hub().path()).unwrap();
        if has_folder {
            std::fs::create_dir(fleet.hub().path()).unwrap();
        }
        if has_repository {
            git(fleet.hub().path(), ["init", "--quiet", "--bare"]);
        }
        let mut told = vec![ada.run(["init", &fleet.hub().url()])];
        if has_folder {
            told.push(ada.run(["job", "list"]));
        }
        let mut lines: Vec<String> = told
            .into_iter()
            .map(|run| {
                let run = run.code(78);
                assert_eq!(run.stderr().contains("not mounted, mount it"), !has_repository, "{run}");
                let mut parts = run.stderr().split('`');
                let line = parts.find(|part| part.contains("git push"));
                line.unwrap_or_else(|| run.fail("no line")).to_owned()
            })
            .collect();
        lines.dedup();
        assert_eq!(lines.len(), 1, "{lines:?}");
        clone.program("sh").args(["-c", &lines[0]]).run().success();
        assert_eq!(fleet.hub().tip(MAIN), tip);
        ada.run(["job", "list"]).success();
    }
}
