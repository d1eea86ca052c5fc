//! Text that is lost, and a history of which a part is not here, is damaged, or is that of several sides.

use crate::support::{Fleet, Host, MAIN, Run, Transport, inspect};
use serde_json::{Value, json};
use std::fs;

const JOBS: &str = "coordination/jobs.json";
const SERVERS: &str = "coordination/servers.json";
const MARKER: &str = "coordination/hub.json";
const TOKENS: &str = "coordination/tokens.json";
const LOCKS: &str = "coordination/locks.json";

fn document(fleet: &Fleet, path: &str) -> Value {
    inspect::document(fleet.hub(), MAIN, path)
}

fn types(fleet: &Fleet) -> Vec<String> {
    let mut types: Vec<String> = document(fleet, JOBS)["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["type"].as_str().unwrap().to_owned())
        .collect();
    types.sort();
    types
}

/// A hub in use, with three tokens of one lock.
fn used(transport: Transport) -> (Fleet, Host) {
    let fleet = Fleet::over(transport).founded();
    let ada = fleet.host("ada");
    ada.run(["join", "--as", "ada", "--label", "arch=amd64"]).success();
    for kind in ["first", "second"] {
        ada.run(["job", "add", "--type", kind]).success();
    }
    for token in ["1", "2", "3"] {
        ada.run(["lock", "acquire", "deploy"]).success();
        ada.run(["lock", "release", "deploy", "--token", token]).success();
    }
    (fleet, ada)
}

/// A host in a clone without the history of the hub.
fn shallow(fleet: &Fleet, name: &str) -> Host {
    let host = fleet.host_in_clone(name);
    fs::remove_dir_all(host.directory()).unwrap();
    let target = host.directory().display().to_string();
    host.program("git")
        .args(["clone", "--quiet", "--depth", "1", &fleet.hub().url(), &target])
        .current_dir(host.directory().parent().unwrap())
        .run()
        .success();
    host
}

/// The line of a hint that begins with `start`, as a shell takes it.
#[track_caller]
fn line(run: &Run, start: &str) -> String {
    let mut parts = run.stderr().split('`');
    parts.find(|part| part.starts_with(start)).unwrap_or_else(|| run.fail("no such line")).to_owned()
}

#[test]
fn what_a_shallow_clone_does_not_hold_is_not_begun_anew() {
    Transport::each(&[Transport::Ssh, Transport::Http], |transport| {
        for path in [MARKER, SERVERS, TOKENS, JOBS, LOCKS] {
            let (fleet, ada) = used(transport);
            let whole = document(&fleet, path);
            fleet.hub().put(MAIN, &[(path, "")], "a full disk");
            let tip = fleet.hub().tip(MAIN);
            let cyd = shallow(&fleet, "cyd");
            for words in [&["import", "--check"][..], &["import"], &["import", "--recover"]] {
                let run = cyd.run(words).code(78);
                assert!(run.stderr().contains("nothing was written"), "{path} {run}");
                assert!(run.stderr().contains("is a shallow clone"), "{path} {run}");
                assert_eq!(fleet.hub().tip(MAIN), tip, "{path} {run}");
            }
            let unshallow = line(&cyd.run(["import"]).code(78), "git ");
            if path == SERVERS {
                // Where all of the history is, as the hint says too.
                ada.run(["import"]).success();
            } else {
                cyd.program("sh").args(["-c", &unshallow]).run().success();
                cyd.run(["import"]).success();
            }
            assert_eq!(document(&fleet, path), whole, "{path}");
        }
    });
}

#[test]
fn who_joins_in_a_shallow_clone_gives_the_hub_no_other_id() {
    let (fleet, _ada) = used(Transport::Ssh);
    let id = document(&fleet, MARKER)["id"].clone();
    fleet.hub().put(MAIN, &[(MARKER, "{}\n")], "tidy");
    let tip = fleet.hub().tip(MAIN);
    let cyd = shallow(&fleet, "cyd");
    let run = cyd.run(["join", "--as", "cyd"]).code(78);
    assert!(run.stderr().contains("nothing was written"), "{run}");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    cyd.program("sh").args(["-c", &line(&run, "git -C ")]).run().success();
    cyd.run(["join", "--as", "cyd"]).success();
    assert_eq!(document(&fleet, MARKER)["id"], id);
}

#[test]
fn where_the_part_of_the_history_that_is_here_tells_all_a_shallow_clone_is_enough() {
    let (fleet, _ada) = used(Transport::Ssh);
    let cyd = shallow(&fleet, "cyd");
    let before: Vec<Value> = [MARKER, SERVERS, TOKENS].iter().map(|path| document(&fleet, path)).collect();
    fleet.hub().put(MAIN, &[(MARKER, ""), (SERVERS, ""), (TOKENS, "")], "a full disk");
    cyd.run(["import"]).success();
    let after: Vec<Value> = [MARKER, SERVERS, TOKENS].iter().map(|path| document(&fleet, path)).collect();
    assert_eq!(after, before);
}

#[test]
fn who_insists_begins_anew_what_is_nowhere() {
    let (fleet, ada) = used(Transport::Ssh);
    let id = document(&fleet, MARKER)["id"].clone();
    fleet.hub().put(MAIN, &[(MARKER, ""), (JOBS, "")], "a full disk");
    let cyd = shallow(&fleet, "cyd");
    let run = cyd.run(["import"]).code(78);
    let line = line(&run, "git muster import --force").replace("git muster", "git-muster");
    cyd.run(line.split(' ').skip(1)).success();
    assert_ne!(document(&fleet, MARKER)["id"], id);
    assert!(types(&fleet).is_empty());
    ada.run(["fsck"]).success();
}

#[test]
fn the_lines_that_an_import_into_another_hub_tells_name_both() {
    let (fleet, ada) = used(Transport::Path);
    fleet.hub().put(MAIN, &[(JOBS, "")], "a full disk");
    let [old, new, used] =
        ["old.git", "new hub.git", "used.git"].map(|name| ada.directory().join(name).display().to_string());
    let url = format!("file://{}", fleet.hub().path().display());
    ada.program("git").args(["clone", "--quiet", "--bare", "--depth", "1", &url, &old]).run().success();
    ada.run(["init", &used]).success();
    let tip = || ada.program("git").args(["-C", &old, "rev-parse", MAIN]).run().success().stdout().to_owned();
    let as_typed = |line: &str| {
        let line = line.replace("git muster", "\"$M\"");
        let program = env!("CARGO_BIN_EXE_git-muster");
        ada.program("sh").args(["-c", &line]).env("M", program).run().success()
    };
    for (words, into) in [
        (&["import", &old, "--into", &new, "--recover"][..], &new),
        (&["--hub", &old, "import", "--into", &used, "--close-jobs-older-than", "7d"], &used),
    ] {
        let run = ada.run(words).code(78);
        let told = line(&run, "git muster --hub");
        let before = tip();
        as_typed(&told);
        assert_eq!(tip(), before, "the old one stays as it is: {told}");
        ada.run(["--hub", into, "fsck"]).success();
        assert_eq!(ada.run(["--hub", into, "servers", "list", "--json"]).success().json()[0]["id"], "ada");
    }
    // What a check advises is about both, too.
    ada.program("git").args(["-C", &old, "fetch", "--quiet", "--unshallow"]).run().success();
    let third = ada.directory().join("third.git").display().to_string();
    let check = ada.run(["import", &old, "--into", &third, "--check"]).code(1);
    as_typed(&line(&check, "git muster import"));
    assert_eq!(ada.run(["--hub", &third, "job", "list", "--json"]).success().json()[1]["type"], "second");
}

/// A hub that gives what is asked for, and a clone of it without the objects that a filter leaves out.
fn partial(transport: Transport, filter: &str) -> (Fleet, Host, String) {
    let (fleet, ada) = used(transport);
    fleet.hub().put(MAIN, &[(JOBS, "")], "a full disk");
    fleet.hub().git(["config", "uploadpack.allowFilter", "true"]);
    let clone = ada.directory().join("partial.git").display().to_string();
    let url = format!("file://{}", fleet.hub().path().display());
    let filter = format!("--filter={filter}");
    ada.program("git").args(["clone", "--quiet", "--bare", &filter, &url, &clone]).run().success();
    (fleet, ada, clone)
}

#[test]
fn of_a_partial_clone_the_line_is_told_that_completes_it() {
    for filter in ["blob:none", "tree:0"] {
        let (_fleet, ada, clone) = partial(Transport::Path, filter);
        let new = ada.directory().join("new.git").display().to_string();
        for words in [
            &["import", &clone, "--check"][..],
            &["import", &clone],
            &["import", &clone, "--into", &new],
            &["--hub", &clone, "job", "list"],
            &["--hub", &clone, "job", "add", "--type", "x"],
        ] {
            let run = ada.run(words).code(78);
            assert!(run.stderr().contains("partial.git` is a partial clone"), "{filter} {run}");
            assert!(!run.stderr().contains("damaged"), "{filter} {run}");
        }
        let told = ada.run(["--hub", &clone, "doctor"]);
        assert!(told.stdout().contains("--refetch --no-filter"), "{filter} {told}");
        let complete = line(&ada.run(["import", &clone]).code(78), "git -C ");
        ada.program("sh").args(["-c", &complete]).run().success();
        ada.run(["import", &clone, "--into", &new]).success();
        let jobs = ada.run(["--hub", &new, "job", "list", "--json"]).success().json();
        assert_eq!(jobs.as_array().unwrap().len(), 2, "{filter}");
    }
}

#[test]
fn in_a_partial_clone_of_a_hub_what_is_not_here_is_not_taken_for_what_never_was() {
    let (fleet, _ada) = used(Transport::Ssh);
    for allowed in ["allowFilter", "allowAnySHA1InWant"] {
        fleet.hub().git(["config", &format!("uploadpack.{allowed}"), "true"]);
    }
    let whole = document(&fleet, JOBS);
    fleet.hub().put(MAIN, &[(JOBS, "")], "a full disk");
    let cyd = fleet.host_in_clone("cyd");
    fs::remove_dir_all(cyd.directory()).unwrap();
    let target = cyd.directory().display().to_string();
    cyd.program("git")
        .args(["clone", "--quiet", "--filter=blob:none", &fleet.hub().url(), &target])
        .current_dir(cyd.directory().parent().unwrap())
        .run()
        .success();
    let tip = fleet.hub().tip(MAIN);
    let run = cyd.run(["import"]).code(78);
    assert!(run.stderr().contains("is a partial clone"), "{run}");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    cyd.program("sh").args(["-c", &line(&run, "git -C ")]).run().success();
    cyd.run(["import"]).success();
    assert_eq!(document(&fleet, JOBS), whole);
}

/// Takes an object from a hub, or leaves nothing in its file.
fn lose(fleet: &Fleet, name: &str, leaves_a_file: bool) -> String {
    let id = fleet.hub().git(["rev-parse", name]).trim().to_owned();
    let file = fleet.hub().path().join("objects").join(&id[..2]).join(&id[2..]);
    fs::remove_file(&file).unwrap();
    if leaves_a_file {
        fs::write(&file, "").unwrap();
    }
    id
}

#[test]
fn a_version_that_the_hub_has_lost_is_not_passed_over() {
    for (name, leaves_a_file) in [
        (format!("{MAIN}~1:{JOBS}"), false),
        (format!("{MAIN}~1:{JOBS}"), true),
        (format!("{MAIN}~1:coordination"), false),
        (format!("{MAIN}~1^{{tree}}"), false),
        (format!("{MAIN}~1"), true),
    ] {
        let (fleet, ada) = used(Transport::Path);
        let clone = fleet.host_in_clone("clone");
        let whole = document(&fleet, JOBS);
        ada.run(["message", "send", "--to", "all", "--subject", "x"]).success();
        clone.git(["pull", "--quiet"]).success();
        fleet.hub().put(MAIN, &[(JOBS, "")], "a full disk");
        let id = lose(&fleet, &name, leaves_a_file);
        let tip = fleet.hub().tip(MAIN);
        let run = ada.run(["import"]).code(1);
        assert!(run.stderr().contains(&format!("object {id}")), "{name} {run}");
        assert!(run.stderr().contains("nothing was written"), "{name} {run}");
        assert_eq!(fleet.hub().tip(MAIN), tip, "{name}");
        let new = ada.directory().join("new.git").display().to_string();
        ada.run(["import", &fleet.hub().url(), "--into", &new]).code(1);
        let back = line(&run, "rm ").replace("CLONE", &clone.directory().display().to_string());
        // A clone knows its own branch by this name, too.
        ada.program("sh").args(["-c", &back]).run().success();
        ada.run(["import"]).success();
        assert_eq!(document(&fleet, JOBS), whole, "{name}");
    }
}

#[test]
fn a_lost_version_that_is_older_than_what_is_found_stops_no_import_and_who_insists_goes_on() {
    let (fleet, ada) = used(Transport::Path);
    let first = fleet.hub().git(["log", "--format=%H", "--reverse", MAIN, "--", JOBS]);
    let added = first.lines().nth(1).unwrap().to_owned();
    let whole = document(&fleet, JOBS);
    fleet.hub().put(MAIN, &[(JOBS, "")], "a full disk");
    lose(&fleet, &format!("{added}:{JOBS}"), false);
    ada.run(["import"]).success();
    assert_eq!(document(&fleet, JOBS), whole);
    fleet.hub().put(MAIN, &[(JOBS, "{")], "a full disk");
    let text = inspect::content(fleet.hub(), &format!("{MAIN}~1"), JOBS);
    assert!(text.is_some());
    lose(&fleet, &format!("{MAIN}~1:{JOBS}"), false);
    let run = ada.run(["import"]).code(1);
    assert!(run.stderr().contains("`--force` continues"), "{run}");
    ada.run(["import", "--force"]).success();
    ada.run(["fsck"]).success();
}

/// A clone whose next commit is on a side of its own, and `change` there, as a script makes it.
fn side(clone: &Host, path: &str, change: impl Fn(&mut Value), date: &str) {
    let file = clone.directory().join(path);
    let mut text: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut text);
    fs::write(&file, serde_json::to_string_pretty(&text).unwrap()).unwrap();
    clone
        .program("git")
        .args(["commit", "--quiet", "-am", "its side"])
        .env("GIT_COMMITTER_DATE", date)
        .env("GIT_AUTHOR_DATE", date)
        .run()
        .success();
}

/// Merges the hub's side and leaves `texts` in the place of what both wrote.
fn merge_wrongly(clone: &Host, texts: &[(&str, &str)]) {
    clone.git(["fetch", "--quiet"]).success();
    let hub = format!("origin/{MAIN}");
    clone.git(["merge", "--quiet", "--no-commit", "--no-ff", "-X", "ours", &hub]).success();
    for (path, text) in texts {
        fs::write(clone.directory().join(path), text).unwrap();
    }
    clone.git(["add", "-A"]).success();
    clone.git(["commit", "--quiet", "-m", "merged"]).success();
    clone.git(["push", "--quiet", "origin", &format!("HEAD:{MAIN}")]).success();
}

#[test]
fn of_a_merge_that_lost_a_text_what_both_sides_wrote_comes_back() {
    for (text, date) in [
        ("", "2025-11-13T00:00:00Z"),
        ("{\"jobs\": [", "2044-06-01T00:00:00Z"),
        ("}{", "2044-06-01T00:00:00Z"),
    ] {
        let fleet = Fleet::new().founded();
        let ada = fleet.server("ada");
        for kind in ["base", "removed"] {
            ada.run(["job", "add", "--type", kind]).success();
        }
        fleet.server("eve").run(["heartbeat"]).success();
        let clone = fleet.host_in_clone("clone");
        let script = |text: &mut Value| {
            let job = json!({"id": "job_script", "type": "script", "status": "queued"});
            text["jobs"].as_array_mut().unwrap().push(job);
        };
        side(&clone, JOBS, script, date);
        let oldbox = |text: &mut Value| text["servers"].as_array_mut().unwrap().push(json!({"id": "oldbox"}));
        side(&clone, SERVERS, oldbox, date);
        ada.run(["job", "add", "--type", "hub"]).success();
        ada.run(["servers", "remove", "eve"]).success();
        let _bob = fleet.server("bob");
        let id = document(&fleet, MARKER)["id"].clone();
        merge_wrongly(&clone, &[(JOBS, text), (SERVERS, text), (MARKER, text)]);
        let check = ada.run(["import", "--check"]).code(1);
        assert!(check.stdout().contains(" and "), "both are named: {check}");
        ada.run(["import"]).success();
        assert_eq!(types(&fleet), ["base", "hub", "removed", "script"], "{text:?}");
        let servers = document(&fleet, SERVERS);
        let ids = servers["servers"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap());
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_unstable();
        assert_eq!(ids, ["ada", "bob", "oldbox"], "what one side took out stays out");
        assert_eq!(document(&fleet, MARKER)["id"], id);
        ada.run(["fsck"]).success();
    }
}

#[test]
fn a_side_that_is_behind_brings_nothing_back() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let job = ada.run(["job", "add", "--type", "old"]).success().stdout().trim().to_owned();
    let clone = fleet.host_in_clone("clone");
    side(&clone, SERVERS, |text| text["note"] = json!("x"), "2044-06-01T00:00:00Z");
    ada.run(["job", "cancel", &job]).success();
    ada.run(["archive", "--older-than", "0s"]).success();
    ada.run(["job", "add", "--type", "new"]).success();
    let before = document(&fleet, JOBS)["jobs"].clone();
    merge_wrongly(&clone, &[(JOBS, "")]);
    ada.run(["import"]).success();
    assert_eq!(document(&fleet, JOBS)["jobs"], before);
}

#[test]
fn of_another_hub_that_was_merged_in_neither_the_id_nor_a_record_is_taken() {
    let (fleet, other) = (Fleet::new().founded(), Fleet::new().founded());
    let ada = fleet.server("ada");
    let _eve = other.server("eve");
    let id = document(&fleet, MARKER)["id"].clone();
    let clone = fleet.host_in_clone("clone");
    clone.git(["fetch", "--quiet", &other.hub().url(), MAIN]).success();
    clone.git(["merge", "--quiet", "--allow-unrelated-histories", "-X", "ours", "FETCH_HEAD"]).success();
    for path in [MARKER, SERVERS] {
        fs::write(clone.directory().join(path), "").unwrap();
    }
    clone.git(["commit", "--quiet", "-a", "--amend", "--no-edit"]).success();
    clone.git(["push", "--quiet", "origin", &format!("HEAD:{MAIN}")]).success();
    let check = ada.run(["import", "--check"]).code(1);
    assert!(check.stdout().contains("on another side of a merge it holds another text"), "{check}");
    assert!(check.stdout().contains("taken from the history: 1 server as in"), "{check}");
    ada.run(["import"]).success();
    assert_eq!(document(&fleet, MARKER)["id"], id);
    // Whose folder is in use is registered as anywhere, without what the other hub knows of it.
    let eve = document(&fleet, SERVERS)["servers"][1].clone();
    assert_eq!((&eve["id"], &eve["machine"]), (&json!("eve"), &Value::Null));
}
