//! Things in a hub's tree that are no documents: links, other repositories, paths out of it.

use super::two_servers;
use crate::support::{Fleet, Host, MAIN, git, inspect};
use std::fs;
use std::os::unix::fs::symlink;

/// Commits and pushes what `change` does to a clone of the hub.
fn push(fleet: &Fleet, name: &str, change: impl FnOnce(&Host)) {
    let clone = fleet.host_in_clone(name);
    change(&clone);
    clone.git(["commit", "--quiet", "-m", name]).success();
    clone.git(["push", "--quiet", "origin", MAIN]).success();
}

#[test]
fn a_link_in_place_of_a_document_is_not_followed() {
    let (fleet, ada, _bob) = two_servers();
    let secret = ada.directory().join("secret.json");
    fs::write(&secret, "{\"jobs\": [{\"id\": \"job_secret\"}]}\n").unwrap();
    push(&fleet, "linker", |clone| {
        for path in ["coordination/jobs.json", "ada/status.json"] {
            fs::remove_file(clone.directory().join(path)).unwrap();
            symlink(&secret, clone.directory().join(path)).unwrap();
        }
        clone.git(["add", "--all"]).success();
    });
    let tip = fleet.hub().tip(MAIN);
    for line in ["job list", "job add --type build", "job claim", "status show ada"] {
        let run = ada.run(line.split(' ')).code(1);
        assert!(run.stderr().contains("cannot be used: it is not a file"), "{run}");
        assert!(!run.to_string().contains("job_secret"), "{run}");
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
    ada.run(["lock", "acquire", "deploy"]).success();
    // What one server writes alone it makes anew, in the place of the link.
    ada.run(["status", "set", "idle"]).success();
    assert_eq!(inspect::document(fleet.hub(), MAIN, "ada/status.json")["status"], "idle");
    assert!(fs::read_to_string(&secret).unwrap().contains("job_secret"));
}

#[test]
fn a_folder_or_another_repository_is_no_document() {
    let (fleet, ada, _bob) = two_servers();
    let commit = fleet.hub().tip(MAIN).unwrap();
    push(&fleet, "nester", |clone| {
        clone.git(["rm", "--quiet", "coordination/jobs.json", "coordination/locks.json"]).success();
        let entry = format!("160000,{commit},coordination/jobs.json");
        clone.git(["update-index", "--add", "--cacheinfo", &entry]).success();
        let folder = clone.directory().join("coordination/locks.json");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("x"), "").unwrap();
        clone.git(["add", "coordination/locks.json/x"]).success();
    });
    let tip = fleet.hub().tip(MAIN);
    for line in ["job list", "job add --type build", "lock list", "lock acquire deploy"] {
        let run = ada.run(line.split(' ')).code(1);
        assert!(run.stderr().contains("it is not a file"), "{run}");
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

#[test]
fn a_link_in_place_of_a_folder_is_not_followed() {
    let (fleet, ada, _bob) = two_servers();
    push(&fleet, "linker", |clone| {
        clone.git(["rm", "--quiet", "-r", "ada"]).success();
        symlink("coordination", clone.directory().join("ada")).unwrap();
        clone.git(["add", "ada"]).success();
    });
    let tip = fleet.hub().tip(MAIN);
    for line in ["status show ada", "status set idle", "heartbeat --on-main"] {
        let run = ada.run(line.split(' '));
        assert!(matches!(run.exit_code(), Some(1 | 3 | 4)), "{line}\n{run}");
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

/// Trees can hold names that git never checks out; a clone that is brought up to date must not
/// take them either, or who can push to the hub writes into every clone's `.git`.
#[test]
fn a_path_out_of_the_work_tree_reaches_no_clone() {
    for folder in [".git", ".GIT", "git~1", ".."] {
        let (fleet, ..) = two_servers();
        let hub = fleet.hub();
        let clone = fleet.host_in_clone("clone");
        let head = clone.git(["rev-parse", "HEAD"]).success();
        let planted = clone.directory().join(folder).join("planted");
        let blob = fs::File::create(hub.path().join("blob"))
            .map(|_| hub.git(["hash-object", "-w", "blob"]))
            .unwrap();
        let entry = |mode: &str, name: &str, id: &str| {
            let id = id
                .trim()
                .as_bytes()
                .chunks(2)
                .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            [mode.as_bytes(), b" ", name.as_bytes(), b"\0"]
                .concat()
                .into_iter()
                .chain(id)
                .collect::<Vec<u8>>()
        };
        let tree = |bytes: Vec<u8>| {
            fs::write(hub.path().join("tree"), bytes).unwrap();
            hub.git(["hash-object", "-t", "tree", "-w", "--literally", "tree"])
        };
        let evil = tree(entry("100644", "planted", &blob));
        let mut root = entry("40000", folder, &evil);
        for line in hub.git(["ls-tree", MAIN]).lines() {
            let (kind, name) = line.split_once('\t').unwrap();
            let words: Vec<&str> = kind.split(' ').collect();
            root.extend(entry(words[0].trim_start_matches('0'), name, words[2]));
        }
        let commit = hub.git(["commit-tree", "-m", "evil", "-p", MAIN, tree(root).trim()]);
        hub.git(["update-ref", "refs/heads/main", commit.trim()]);
        let run = clone.command(["--server", "ada", "status", "set", "idle"]).run().success();
        assert!(run.stderr().contains("which no clone may take"), "{folder}\n{run}");
        assert!(!planted.exists(), "{folder}");
        assert_eq!(clone.git(["rev-parse", "HEAD"]).success().stdout(), head.stdout(), "{folder}");
        assert_eq!(git(clone.directory(), ["status", "--porcelain"]), "", "{folder}");
        assert_eq!(inspect::document(hub, MAIN, "ada/status.json")["status"], "idle");
    }
}
