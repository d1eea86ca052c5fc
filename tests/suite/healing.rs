//! Damaged copies of a hub: the one in the cache is ours and heals itself, a clone is the user's and is not touched.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{Fleet, Host, MAIN, Transport, eventually, git, inspect, try_git};

fn founded(transport: Transport) -> Fleet {
    let fleet = Fleet::over(transport).founded();
    // With a hook a hub on this machine is copied like any other.
    fleet.hub().install_hook("post-update", "#!/bin/sh\n");
    fleet
}

fn cached(host: &Host) -> PathBuf {
    let hubs = host.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let mut copies: Vec<PathBuf> = fs::read_dir(hubs).unwrap().map(|copy| copy.unwrap().path()).collect();
    copies.retain(|copy| copy.extension().is_some_and(|extension| extension == "git"));
    assert_eq!(copies.len(), 1, "{copies:?}");
    copies.remove(0)
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files of git's store are read-only; the damage is that they are not.
fn damage(file: &Path, content: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, content).unwrap();
}

fn loose_object(repository: &Path, revision: &str) -> PathBuf {
    let id = git(repository, ["rev-parse", revision]).trim().to_owned();
    repository.join("objects").join(&id[..2]).join(&id[2..])
}

/// Does something to a copy of the hub.
type Damage = fn(&Path);

/// What befalls a copy of the hub.
const DAMAGES: [(&str, Damage); 8] = [
    ("an empty object of the tip", |copy| {
        unpack(copy);
        damage(&loose_object(copy, "refs/remotes/origin/main:coordination/jobs.json"), b"");
    }),
    ("a garbled tree", |copy| {
        unpack(copy);
        damage(&loose_object(copy, "refs/remotes/origin/main^{tree}"), b"garbage");
    }),
    ("a missing commit", |copy| {
        unpack(copy);
        fs::remove_file(loose_object(copy, "refs/remotes/origin/main")).unwrap();
    }),
    ("a truncated pack", |copy| {
        git(copy, ["repack", "-q", "-a", "-d"]);
        for pack in files(&copy.join("objects/pack")) {
            if pack.extension().is_some_and(|extension| extension == "pack") {
                let bytes = fs::read(&pack).unwrap();
                damage(&pack, &bytes[..bytes.len() / 2]);
            }
        }
    }),
    ("a garbled HEAD", |copy| damage(&copy.join("HEAD"), b"\0\0\0")),
    ("a garbled ref", |copy| {
        damage(&copy.join("refs/remotes/origin/main"), b"not an id\n");
    }),
    ("no objects", |copy| fs::remove_dir_all(copy.join("objects")).unwrap()),
    ("no copy", |copy| fs::remove_dir_all(copy).unwrap()),
];

/// Takes the objects of a repository out of their packs.
fn unpack(repository: &Path) {
    for pack in files(&repository.join("objects/pack")) {
        let away = repository.join(pack.file_name().unwrap());
        fs::rename(&pack, &away).unwrap();
        if away.extension().is_some_and(|extension| extension == "pack") {
            let script = format!("git unpack-objects -q <'{}'", away.display());
            git(repository, ["-c", &format!("alias.unpack=!{script}"), "unpack"]);
        }
        fs::remove_file(away).unwrap();
    }
}

#[test]
fn a_damaged_cache_heals_itself() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let fleet = founded(transport);
        let ada = fleet.server("ada");
        for (number, (what, damage)) in DAMAGES.iter().enumerate() {
            for args in [
                &["job", "list"][..],
                &["message", "send", "--to", "all", "--subject", "after the damage"],
                &["job", "claim"],
            ] {
                damage(&cached(&ada));
                let code = if args == ["job", "claim"] { 3 } else { 0 };
                let run = ada.run(args);
                if run.exit_code() != Some(code) || run.stderr().contains("cannot all be read") {
                    run.fail(&format!("{transport:?}, {what}"));
                }
            }
            let messages = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
            assert_eq!(messages["messages"].as_array().unwrap().len(), number + 1, "{transport:?}, {what}");
            git(&cached(&ada), ["fsck", "--no-dangling"]);
            // What is damaged is put aside, of several the last.
            let beside = fs::read_dir(cached(&ada).parent().unwrap()).unwrap();
            let names = beside.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
            assert_eq!(
                names.filter(|name| name.contains(".git.damaged-")).count(),
                1,
                "{transport:?}, {what}"
            );
        }
        assert!(inspect::ops_in_history(fleet.hub(), MAIN).values().all(|count| *count == 1));
        inspect::assert_hub_is_sound(fleet.hub());
    });
}

#[test]
fn a_damaged_clone_is_reported_and_not_touched() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let fleet = founded(transport);
        let bob = fleet.server_in_clone("bob");
        let tip = fleet.hub().tip(MAIN);
        let store = bob.directory().join(".git");
        unpack(&store);
        let object = loose_object(&store, "refs/remotes/origin/main:coordination/jobs.json");
        damage(&object, b"");
        let before = files(&store.join("objects")).len();
        let run = bob.run(["job", "add", "--type", "test"]).code(1);
        assert!(run.stderr().contains("clone") || run.stderr().contains("damaged"), "{run}");
        assert_eq!(fs::read(&object).unwrap(), b"", "the object is as it was");
        assert!(files(&store.join("objects")).len() >= before, "nothing was deleted");
        assert_eq!(fleet.hub().tip(MAIN), tip);
        // What the hub has can be fetched into the object's place, as a user would.
        fs::remove_file(object).unwrap();
        bob.git(["fetch", "--quiet", "--refetch", "origin"]).success();
        bob.run(["job", "add", "--type", "test"]).success();
        inspect::assert_clone_is_clean(bob.directory());
    });
}

/// A host that has seen a history that was rewritten, and what it keeps of it.
fn witness(fleet: &Fleet) -> (Host, PathBuf, String) {
    let ada = fleet.server("ada");
    let before = fleet.hub().tip(MAIN).unwrap();
    ada.run(["job", "add", "--type", "evil"]).success();
    fleet.hub().git(["update-ref", "refs/heads/main", &before]);
    ada.run(["job", "add", "--type", "test"]).success();
    let copy = cached(&ada);
    let kept = git(&copy, ["for-each-ref", "--format=%(refname)", "refs/muster/lost"]).trim().to_owned();
    assert!(kept.starts_with("refs/muster/lost/"), "{kept}");
    unpack(&copy);
    (ada, copy, kept)
}

#[test]
fn evidence_of_a_rewritten_history_outlives_the_copy() {
    for by_doctor in [false, true] {
        let fleet = founded(Transport::Ssh);
        let (ada, copy, kept) = witness(&fleet);
        let id = git(&copy, ["rev-parse", &kept]);
        damage(&loose_object(&copy, "refs/remotes/origin/main:coordination/jobs.json"), b"");
        if by_doctor {
            ada.run(["doctor", "--fix", "copy"]).success();
        }
        let run = ada.run(["job", "list"]).success();
        assert!(!run.stderr().contains("cannot all be read"), "{run}");
        assert_eq!(git(&cached(&ada), ["rev-parse", &kept]), id);
        let found = ada.run(["fsck", "--history", "--json"]).code(1);
        assert!(found.stdout().contains("history-rewritten"), "{found}");
    }
}

#[test]
fn evidence_that_cannot_be_read_stays_where_it_is() {
    let fleet = founded(Transport::Ssh);
    let (ada, copy, kept) = witness(&fleet);
    for revision in ["refs/remotes/origin/main:coordination/jobs.json", &format!("{kept}^{{tree}}")] {
        damage(&loose_object(&copy, revision), b"");
    }
    let run = ada.run(["job", "list"]).success();
    let named =
        run.stderr().split('`').find(|word| word.ends_with("-kept")).unwrap_or_else(|| run.fail("none"));
    let aside = PathBuf::from(named);
    assert!(aside.join(&kept).exists(), "{run}");
    // The next damage removes what was set aside before, but not this.
    for _ in 0..2 {
        damage(&copy.join("HEAD"), b"x");
        ada.run(["job", "list"]).success();
    }
    assert!(aside.join(&kept).exists());
}

/// What git says when something is removed under a fetch.
const REMOVED: [&str; 2] = [
    "fatal: unable to create temporary file: No such file or directory",
    "fatal: failed to read delta-pack base object 1eef",
];

#[test]
fn a_fetch_under_which_somebody_cleans_the_copy_is_tried_again() {
    for words in REMOVED {
        let fleet = founded(Transport::Path);
        let ada = fleet.server("ada");
        let programs = ada.directory().join("programs");
        fs::create_dir_all(&programs).unwrap();
        let git = programs.join("git");
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *\" fetch \"*) mkdir \"$0.failed\" 2>/dev/null && {{ echo '{words}' >&2; exit 128; }};; esac\nPATH=${{PATH#*:}} exec git \"$@\"\n"
        );
        fs::write(&git, script).unwrap();
        fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        ada.command(["job", "list"]).env("PATH", path).run().success();
        assert!(programs.join("git.failed").is_dir(), "{words}");
    }
}

/// How much is written while somebody cleans a hub all the time, and every how many of them is slow to move the
/// branch: what it made is named by nothing for so long that it is removed.
const WRITES: usize = 30;
const SLOW_EVERY: usize = 6;
/// How long all of that may take.
const WRITES_BOUND: Duration = Duration::from_secs(300);

#[test]
fn what_is_acknowledged_beside_gc_that_spares_nothing_young_is_there() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            eventually(WRITES_BOUND, || {
                // One that finds a branch moved under it fails, and does no harm.
                drop(try_git(fleet.hub().path(), ["gc", "--quiet", "--prune=now"]));
                is_over.load(Ordering::SeqCst)
            });
        });
        let runs: Vec<_> = (0..WRITES)
            .map(|number| {
                let slow = if number % SLOW_EVERY == 0 { "commit" } else { "" };
                ada.command(["job", "add", "--type", "test"]).env("MUSTER_SLOW", slow).run()
            })
            .collect();
        is_over.store(true, Ordering::SeqCst);
        runs.into_iter().for_each(|run| drop(run.success()));
    });
    fleet.hub().git(["fsck", "--connectivity-only"]);
    let jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), WRITES);
}
