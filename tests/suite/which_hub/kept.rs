//! What a host keeps of a hub: apart for each hub, together however one hub is spelled and wherever it is
//! moved.

use crate::support::{Fleet, Host, MAIN, Run, eventually, git};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything here may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// A command about the hub at an address.
#[track_caller]
fn at(host: &Host, hub: &str, words: &[&str]) -> Run {
    host.run([&["--hub", hub], words].concat())
}

/// A hub and another one, of which `ada` is a server in each.
fn two_hubs() -> (Fleet, Host, [String; 2]) {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.host("ada");
    ada.unset("MUSTER_HUB");
    let other = ada.place("HOME").join("other.git").display().to_string();
    ada.run(["init", &other]).success();
    let hubs = [fleet.hub().url(), other];
    for hub in &hubs {
        at(&ada, hub, &["join", "--as", "ada"]).success();
    }
    (fleet, ada, hubs)
}

/// The session of the last beat of `ada` in the hub at `path`.
fn session_in(path: impl AsRef<Path>) -> String {
    let beat = git(path.as_ref(), ["show", "heartbeat-ada:ada/heartbeat.json"]);
    let beat: Value = serde_json::from_str(&beat).unwrap();
    beat["incarnation"].as_str().unwrap().to_owned()
}

/// Beats in the hub at `address` and tells of which session.
fn beat(host: &Host, address: &str, path: impl AsRef<Path>) -> String {
    at(host, address, &["heartbeat"]).success();
    session_in(path)
}

fn copy(from: &str, to: &Path) -> String {
    let to = to.display().to_string();
    git(Path::new("/"), ["clone", "-q", "--mirror", from, &to]);
    git(Path::new(&to), ["config", "--remove-section", "remote.origin"]);
    to
}

/// Has git read each address from the repository beside it.
fn lead(host: &mut Host, addresses: &[(&str, &str)]) {
    let file = host.place("HOME").join("gitconfig");
    let rules =
        addresses.iter().map(|(address, path)| format!("[url \"{path}\"]\n\tinsteadOf = {address}\n"));
    fs::write(&file, rules.collect::<String>()).unwrap();
    host.set("GIT_CONFIG_GLOBAL", file);
}

/// Adds a job and claims it, while what it answers is lost; what `op list` tells of it.
fn lost_claim(host: &Host, hub: &str) -> String {
    at(host, hub, &["job", "add", "--type", "test"]).success();
    let before = ops(host, hub);
    let line = format!("\"$M\" --hub '{hub}' job claim > /dev/full");
    host.program("sh").args(["-c", &line]).env("M", env!("CARGO_BIN_EXE_git-muster")).run().code(1);
    let ops = ops(host, hub);
    let new = ops.iter().find(|op| before.iter().all(|before| before["op"] != op["op"]));
    new.unwrap()["op"].as_str().unwrap().to_owned()
}

fn ops(host: &Host, hub: &str) -> Vec<Value> {
    at(host, hub, &["op", "list", "--json"]).success().json().as_array().unwrap().clone()
}

/// The files that a host keeps of hubs, below a folder of its state.
fn kept(host: &Host, what: &str) -> Vec<PathBuf> {
    let folder = host.place("XDG_STATE_HOME").join("git-muster").join(what);
    let found = fs::read_dir(folder).into_iter().flatten();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// What tells `host` from other machines is lost: the next that joins in its place is it.
fn forget_machine(host: &Host) {
    fs::remove_file(host.place("XDG_DATA_HOME").join("git-muster/machine")).unwrap();
}

#[test]
fn each_hub_of_a_server_has_a_session_of_its_own() {
    let (_fleet, ada, hubs) = two_hubs();
    let [one, two] = hubs.each_ref().map(|hub| beat(&ada, hub, hub));
    assert_ne!(one, two);
    // One that ends in one of them goes on in the other.
    forget_machine(&ada);
    at(&ada, &hubs[0], &["join", "--as", "ada", "--replace"]).success();
    assert_ne!(beat(&ada, &hubs[0], &hubs[0]), one);
    assert_eq!(beat(&ada, &hubs[1], &hubs[1]), two);
    // How often it means to beat is told to each.
    at(&ada, &hubs[0], &["heartbeat", "--interval", "5m"]).success();
    at(&ada, &hubs[1], &["heartbeat"]).success();
    let told = git(Path::new(&hubs[1]), ["show", "heartbeat-ada:ada/heartbeat.json"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["interval_seconds"], 60, "{told}");
}

#[test]
fn beats_that_are_kept_are_counted_for_each_hub() {
    let (_fleet, mut ada, hubs) = two_hubs();
    ada.set("HEARTBEAT_PUSH_EVERY", "3");
    let pushed = |hub: &String| {
        let told = at(&ada, hub, &["heartbeat", "--json"]).success().json();
        told["pushed"].as_bool().unwrap()
    };
    let told: Vec<[bool; 2]> = (0..6).map(|_| hubs.each_ref().map(pushed)).collect();
    let each_third: Vec<[bool; 2]> = (1..=6).map(|number| [number % 3 == 0; 2]).collect();
    assert_eq!(told, each_third);
}

#[test]
fn what_was_watched_in_one_hub_is_nothing_seen_in_another_at_its_address() {
    let (fleet, ada, [hub, _]) = two_hubs();
    let bob = fleet.server("bob");
    let watched = || {
        let file = ada.place("XDG_STATE_HOME").join("git-muster/observations.json");
        let seen: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let seen = seen["entries"].as_object().unwrap();
        let locks = seen.keys().filter(|key| key.ends_with("main lock deploy"));
        locks.cloned().collect::<Vec<_>>()
    };
    at(&bob, &hub, &["lock", "acquire", "deploy"]).success();
    at(&ada, &hub, &["lock", "acquire", "deploy"]).code(4);
    assert_eq!(watched().len(), 1);
    // Another hub takes its address.
    fs::rename(&hub, format!("{hub}.old")).unwrap();
    at(&ada, &hub, &["init", "--force", &hub]).success();
    at(&bob, &hub, &["lock", "acquire", "deploy"]).success();
    at(&ada, &hub, &["lock", "acquire", "deploy"]).code(4);
    assert_eq!(watched().len(), 2, "{:?}", watched());
}

#[test]
fn what_was_begun_in_one_hub_is_not_done_in_another() {
    let (_fleet, ada, [hub, other]) = two_hubs();
    let op = lost_claim(&ada, &hub);
    // The other one knows where it belongs.
    let found = at(&ada, &other, &["op", "status", &op, "--json"]).success().json();
    assert_eq!((&found["happened"], &found["stands"]), (&true.into(), &true.into()), "{found}");
    // Another hub takes its address, while the claim is not settled.
    let op = lost_claim(&ada, &hub);
    let old = format!("{hub}.old");
    fs::rename(&hub, &old).unwrap();
    at(&ada, &hub, &["init", "--force", &hub]).success();
    let tip = git(Path::new(&hub), ["rev-parse", MAIN]);
    for words in [&["op", "resume"][..], &["op", "status"]] {
        let run = at(&ada, &hub, &[words, &[&op]].concat()).code(4);
        assert!(run.stderr().contains("another hub"), "{run}");
        assert!(run.stderr().contains("nothing was done"), "{run}");
    }
    at(&ada, &hub, &["doctor", "operations", "--fix", "operations"]);
    assert_eq!(git(Path::new(&hub), ["rev-parse", MAIN]), tip);
    // The hint leads to where the hub is now.
    let found = at(&ada, &old, &["op", "resume", &op, "--json"]).success().json();
    assert_eq!((&found["happened"], &found["resumed"]), (&true.into(), &false.into()), "{found}");
}

#[test]
fn one_hub_has_one_worker_one_session_and_one_set_of_answers_however_it_is_spelled() {
    let (fleet, mut ada, [hub, _]) = two_hubs();
    let home = ada.place("HOME");
    symlink(&hub, home.join("link.git")).unwrap();
    symlink(Path::new(&hub).parent().unwrap(), home.join("above")).unwrap();
    lead(&mut ada, &[("https://hub.example/", &format!("{}/", Path::new(&hub).parent().unwrap().display()))]);
    let spellings = [
        home.join("link.git").display().to_string(),
        home.join("above/hub.git").display().to_string(),
        home.join("../home/above/hub").display().to_string(),
        format!("file://{hub}"),
        "https://hub.example/hub.git".to_owned(),
        "https://hub.example/hub/".to_owned(),
    ];
    let session = beat(&ada, &hub, &hub);
    let op = lost_claim(&ada, &hub);
    let words = ["worker", "run", "--allow-any", "--poll", "20ms"];
    let mut worker = ada.command([&["--hub", &*hub], &words[..]].concat()).spawn();
    eventually(BOUND, || !kept(&ada, "workers").is_empty() && worker_is_told(&ada, &hub));
    for spelling in &spellings {
        let second = at(&ada, spelling, &[&words[..], &["--exit-when-idle", "1s"]].concat()).code(4);
        assert!(second.stderr().contains("worker"), "{spelling}: {second}");
        assert!(worker_is_told(&ada, spelling), "{spelling}");
        let told = ops(&ada, spelling);
        let told = told.iter().find(|told| told["op"] == *op).unwrap();
        assert_eq!(told["settled"], false, "{spelling}: {told}");
    }
    worker.signal("TERM");
    worker.wait().success();
    // An answer that was had stands as long as the claim does, and is asked for under each of them.
    at(&ada, &hub, &["op", "status", &op]).success();
    for spelling in &spellings {
        assert_eq!(beat(&ada, spelling, &hub), session, "{spelling}");
        assert_eq!(ops(&ada, spelling)[0]["state"], "stands", "{spelling}");
    }
    drop(fleet);
}

/// Whether the worker at work is known to who beats in the hub at `address`.
fn worker_is_told(host: &Host, address: &str) -> bool {
    let told = at(host, address, &["heartbeat", "--json"]).success().json();
    told["worker"] == true
}

#[test]
fn a_copy_of_a_hub_is_another_one_although_its_id_is_the_same() {
    let (_fleet, ada, [hub, _]) = two_hubs();
    let session = beat(&ada, &hub, &hub);
    let copied = copy(&hub, &ada.place("HOME").join("copy.git"));
    let (first, words) = (kept(&ada, "sessions").len(), ["worker", "run", "--allow-any", "--poll", "20ms"]);
    let mut worker = ada.command([&["--hub", &*hub], &words[..]].concat()).spawn();
    eventually(BOUND, || worker_is_told(&ada, &hub));
    at(&ada, &copied, &[&words[..], &["--exit-when-idle", "1s"]].concat()).success();
    assert_ne!(session_in(&copied), session);
    assert_eq!(kept(&ada, "sessions").len(), first + 1);
    worker.signal("TERM");
    worker.wait().success();
    assert_eq!(beat(&ada, &hub, &hub), session);
}

#[test]
fn a_hub_that_was_moved_keeps_what_a_host_keeps_of_it() {
    let (_fleet, ada, [hub, _]) = two_hubs();
    let session = beat(&ada, &hub, &hub);
    let op = lost_claim(&ada, &hub);
    at(&ada, &hub, &["worker", "run", "--allow-any", "--exit-when-idle", "1s"]).success();
    let before = [kept(&ada, "sessions"), kept(&ada, "workers")];
    let moved = ada.place("HOME").join("moved.git").display().to_string();
    fs::rename(&hub, &moved).unwrap();
    assert_eq!(beat(&ada, &moved, &moved), session);
    at(&ada, &moved, &["worker", "run", "--allow-any", "--exit-when-idle", "1s"]).success();
    assert_eq!([kept(&ada, "sessions"), kept(&ada, "workers")], before);
    let found = at(&ada, &moved, &["op", "resume", &op, "--json"]).success().json();
    assert_eq!((&found["happened"], &found["stands"]), (&true.into(), &true.into()), "{found}");
    assert_eq!(ops(&ada, &moved)[0]["state"], "stands");
    // A copy at the place where it was is another.
    copy(&moved, Path::new(&hub));
    assert_ne!(beat(&ada, &hub, &hub), session);
    assert_eq!(beat(&ada, &moved, &moved), session);
}

/// Over a connection nobody can look whether a hub is still where it was: what counts is its history.
#[test]
fn a_hub_at_two_addresses_is_one_until_they_go_on_apart() {
    let (_fleet, mut ada, [hub, _]) = two_hubs();
    let copied = ada.place("HOME").join("copy.git");
    copy(&hub, &copied);
    let copied = copied.display().to_string();
    let [old, new, of_copy] = ["old", "new", "copy"].map(|name| format!("https://{name}.example/hub.git"));
    lead(&mut ada, &[(&old, &hub), (&new, &hub), (&of_copy, &copied)]);
    let session = beat(&ada, &old, &hub);
    at(&ada, &old, &["job", "add", "--type", "test"]).success();
    assert_eq!(beat(&ada, &new, &hub), session, "moved");
    assert_ne!(beat(&ada, &of_copy, &copied), session, "what is older cannot be it");
    // A copy that was made just now can be taken for it, until each has a commit of its own.
    let young = ada.place("HOME").join("young.git");
    let (young, address) = (copy(&hub, &young), "https://young.example/hub.git");
    lead(&mut ada, &[(&old, &hub), (&new, &hub), (address, &young)]);
    at(&ada, address, &["heartbeat"]).success();
    for hub in [&old, address] {
        at(&ada, hub, &["job", "add", "--type", "test"]).success();
    }
    assert_ne!(beat(&ada, address, &young), session);
    for hub_address in [&old, &new] {
        assert_eq!(beat(&ada, hub_address, &hub), session);
    }
    // Where nothing is known of the other any more, nothing says that they went on apart.
    fs::remove_dir_all(ada.place("XDG_CACHE_HOME").join("git-muster")).unwrap();
    at(&ada, &new, &["job", "add", "--type", "test"]).success();
    assert_eq!(beat(&ada, &new, &hub), session);
}

#[test]
fn what_a_host_keeps_is_found_while_the_hub_is_away_and_nothing_is_known_of_it() {
    let (_fleet, mut ada, [hub, _]) = two_hubs();
    let address = "https://hub.example/hub.git";
    lead(&mut ada, &[(address, &hub)]);
    let session = beat(&ada, address, &hub);
    ada.set("HEARTBEAT_PUSH_EVERY", "3");
    ada.set("MUSTER_BRANCH", MAIN);
    // Nobody listens there.
    lead(&mut ada, &[(address, "git://127.0.0.1:1/hub.git")]);
    fs::remove_dir_all(ada.place("XDG_CACHE_HOME").join("git-muster")).unwrap();
    for kept in [1, 2] {
        assert_eq!(at(&ada, address, &["heartbeat", "--json"]).success().json()["kept"], kept);
    }
    at(&ada, address, &["heartbeat"]).code(7);
    lead(&mut ada, &[(address, &hub)]);
    assert_eq!(beat(&ada, address, &hub), session);
}

/// Puts what a host keeps where versions before kept it.
fn as_before(host: &Host, incarnation: &str) {
    let state = host.place("XDG_STATE_HOME").join("git-muster");
    let mut session: Value = serde_json::from_slice(&fs::read(host.session()).unwrap()).unwrap();
    session["incarnation"] = incarnation.into();
    fs::remove_dir_all(state.join("sessions")).unwrap();
    fs::remove_file(state.join("hubs.json")).unwrap();
    fs::create_dir(state.join("sessions")).unwrap();
    fs::write(state.join("sessions/ada.json"), session.to_string()).unwrap();
    for entry in kept(host, "ops").into_iter().chain(kept(host, "answers")) {
        let text = fs::read_to_string(&entry).unwrap();
        let Some((first, rest)) = text.split_once('\n').or(Some((&text, ""))).filter(|_| !text.is_empty())
        else {
            continue;
        };
        let Ok(mut value) = serde_json::from_str::<Value>(first) else { continue };
        if value.as_object_mut().is_some_and(|entry| entry.remove("name").is_some()) {
            fs::write(&entry, format!("{value}\n{rest}")).unwrap();
        }
    }
}

#[test]
fn what_versions_before_kept_is_taken_over() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let hub = fleet.hub().url();
    ada.run(["heartbeat"]).success();
    at(&ada, &hub, &["job", "add", "--type", "test"]).success();
    let claimed = ada.run(["job", "claim", "--json"]).success().json();
    let op = lost_claim(&ada, &hub);
    as_before(&ada, "a-session-of-before");
    assert_eq!(beat(&ada, &hub, &hub), "a-session-of-before", "its claims live on");
    let told = ops(&ada, &hub);
    assert!(told.iter().any(|told| told["op"] == *op && told["settled"] == false), "{told:?}");
    assert!(told.iter().any(|told| told["settled"] == true && told["state"] == "stands"), "{told:?}");
    ada.run(["op", "resume", &op]).success();
    let (job, token) = (claimed["id"].as_str().unwrap(), claimed["token"].to_string());
    ada.run(["job", "complete", job, "--token", &token]).success();
    // Once: what ended in one hub goes on in no other.
    forget_machine(&ada);
    ada.run(["join", "--as", "ada", "--replace"]).success();
    assert_ne!(beat(&ada, &hub, &hub), "a-session-of-before");
    // One of another boot is over.
    as_before(&ada, "a-session-of-another-boot");
    let state = ada.place("XDG_STATE_HOME").join("git-muster/sessions/ada.json");
    let text = fs::read_to_string(&state).unwrap();
    let mut session: Value = serde_json::from_str(&text).unwrap();
    session["boot"] = "another boot".into();
    fs::write(&state, session.to_string()).unwrap();
    assert_ne!(beat(&ada, &hub, &hub), "a-session-of-another-boot");
}

#[test]
fn a_clone_follows_under_another_spelling_and_is_told_of_under_another_address() {
    let fleet = Fleet::new().founded();
    let mut ada = fleet.server_in_clone("ada");
    let hub = fleet.hub().url();
    let link = ada.place("HOME").join("link.git");
    symlink(&hub, &link).unwrap();
    for spelling in [link.display().to_string(), format!("file://{hub}"), format!("{hub}/")] {
        ada.set("MUSTER_HUB", &spelling);
        let run = ada.run(["status", "set", "idle"]).success();
        assert!(!run.stderr().contains("clone"), "{spelling}: {run}");
        assert_eq!(
            Some(ada.git(["rev-parse", "HEAD"]).success().stdout().trim()),
            fleet.hub().tip(MAIN).as_deref(),
            "{spelling}"
        );
        ada.run(["status", "set", "building"]).success();
    }
    lead(&mut ada, &[("https://hub.example/hub.git", &hub)]);
    ada.set("MUSTER_HUB", "https://hub.example/hub.git");
    ada.run(["status", "set", "idle"]).success();
    let run = ada.run(["status", "set", "building"]).success();
    assert!(run.stderr().contains("of the hub set by MUSTER_HUB, or of a copy of it"), "{run}");
    // One of another hub is told as such.
    let other = ada.place("HOME").join("other.git").display().to_string();
    ada.run(["init", &other]).success();
    ada.set("MUSTER_HUB", &other);
    let run = ada.run(["status", "list"]).success();
    assert!(run.stderr().contains("of another hub than the one set by MUSTER_HUB"), "{run}");
}

#[test]
fn what_jobs_made_under_one_spelling_of_before_is_found_under_it() {
    let (_fleet, ada, [hub, _]) = two_hubs();
    let link = ada.place("HOME").join("link.git");
    symlink(&hub, &link).unwrap();
    let job = ["job", "add", "--type", "test", "--", "sh", "-c", "echo made > $MUSTER_ARTIFACTS/made"];
    let id = at(&ada, &hub, &job).success().stdout().trim().to_owned();
    at(&ada, &hub, &["job", "run", "--allow-any"]).success();
    fs::remove_file(ada.place("XDG_STATE_HOME").join("git-muster/hubs.json")).unwrap();
    beat(&ada, &link.display().to_string(), &hub);
    at(&ada, &hub, &["artifact", "verify", &id]).success();
}
