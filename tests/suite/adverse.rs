//! An adverse world: a copy of the hub that broke, a user's own git configuration, a hub that
//! changed behind everybody's back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Fleet, Host, MAIN, Transport, eventually, git, inspect, wait_for};

/// How long a command may take until it does what it was started for.
const START_BOUND: Duration = Duration::from_secs(30);

/// A hub that is reached through a copy in the cache, because it has a hook.
fn founded() -> Fleet {
    let fleet = Fleet::new().founded();
    fleet.hub().install_hook("update", "#!/bin/sh\nexit 0\n");
    fleet
}

/// The host's copy of the hub.
fn copy_of(host: &Host) -> PathBuf {
    let hubs = host.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let copies = fs::read_dir(hubs).unwrap().map(|entry| entry.unwrap().path());
    let mut copies = copies.filter(|path| path.extension().is_some_and(|extension| extension == "git"));
    copies.next().unwrap()
}

fn empty(file: &Path) {
    fs::remove_file(file).unwrap();
    fs::File::create(file).unwrap();
}

#[test]
fn a_lock_file_that_nobody_holds_any_more_does_not_stop_us() {
    let fleet = founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    ada.run(["job", "list"]).success();
    let lock = copy_of(&ada).join("refs/remotes/origin/main.lock");
    fs::File::create(&lock).unwrap();
    bob.run(["job", "add", "--type", "build"]).success();
    ada.run(["job", "list"]).success();
    assert!(!lock.exists());
}

#[test]
fn a_copy_that_broke_is_replaced_by_a_command_that_only_reads() {
    let fleet = founded();
    let ada = fleet.server("ada");
    let id = ada.run(["job", "add", "--type", "build"]).success().stdout().trim().to_owned();
    for spec in ["main:coordination/jobs.json", "main^{tree}", "main"] {
        let copy = copy_of(&ada);
        let object = fleet.hub().git(["rev-parse", spec]).trim().to_owned();
        empty(&copy.join("objects").join(&object[..2]).join(&object[2..]));
        let listed = ada.run(["job", "list"]).success();
        assert!(listed.stdout().contains(&id) && listed.stderr().contains("fetched again"), "{spec}");
        // The new copy holds a pack: the next round needs a file to break.
        ada.run(["status", "set", "idle"]).success();
        ada.run(["job", "priority", &id, "high"]).success();
        ada.run(["job", "priority", &id, "low"]).success();
    }
    empty(&copy_of(&ada).join("refs/remotes/origin/main"));
    ada.run(["job", "list"]).success();
}

#[test]
fn a_heartbeat_branch_that_was_deleted_on_the_hub_is_made_anew() {
    let fleet = founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat"]).success();
    fleet.hub().git(["branch", "-D", "heartbeat-ada"]);
    ada.run(["heartbeat"]).success();
    assert!(fleet.hub().tip("heartbeat-ada").is_some());
}

#[test]
fn the_users_own_settings_of_git_do_not_change_what_is_pushed() {
    let fleet = founded();
    let clone = fleet.host_in_clone("ada");
    clone.run(["join", "--as", "ada"]).success();
    clone.git(["tag", "--annotate", "-m", "mine", "private"]).success();
    for setting in
        ["push.followTags=true", "push.gpgSign=true", "push.recurseSubmodules=only", "fetch.prune=true"]
    {
        let (key, value) = setting.split_once('=').unwrap();
        clone.git(["config", key, value]).success();
        clone.run(["job", "add", "--type", "build"]).success();
        clone.git(["config", "--unset", key]).success();
    }
    assert_eq!(fleet.hub().git(["tag"]).trim(), "");
    assert_eq!(fleet.hub().git(["log", "--format=%s", "--grep=job add", MAIN]).lines().count(), 4);
}

/// A clone with a file of the hub, and the hub one version ahead of it.
fn clone_and_hub_ahead(fleet: &Fleet) -> Host {
    fleet.hub().put(MAIN, &[("docs/a.txt", "first")], "one");
    fleet.hub().put(MAIN, &[("docs/a.txt", "second")], "two");
    let clone = fleet.host_in_clone("ada");
    clone.run(["join", "--as", "ada"]).success();
    fleet.hub().put(MAIN, &[("docs/a.txt", "third")], "three");
    clone
}

#[test]
fn a_file_that_the_user_set_back_to_an_older_version_is_an_edit() {
    let fleet = Fleet::new().founded();
    let clone = clone_and_hub_ahead(&fleet);
    let file = clone.directory().join("docs/a.txt");
    fs::write(&file, "first").unwrap();
    assert!(clone.run(["job", "add", "--type", "build"]).success().stderr().contains("was edited"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "first");
    fs::remove_file(&file).unwrap();
    assert!(clone.run(["job", "add", "--type", "build"]).success().stderr().contains("was edited"));
    assert!(!file.exists());
}

#[test]
fn a_name_that_comes_with_the_hub_makes_nobody_that_server() {
    let fleet = Fleet::new().founded();
    let mut clone = fleet.host_in_clone("ada");
    clone.unset("MUSTER_SERVER");
    clone.run(["join", "--as", "ada"]).success();
    fleet.hub().put(MAIN, &[(".build_server_id", "mallory\n")], "everybody is me");
    clone.run(["job", "add", "--type", "build"]).success();
    assert!(clone.directory().join(".build_server_id").exists());
    let jobs = clone.run(["--json", "job", "list"]).success().json();
    assert_eq!(jobs[0]["requester"], "ada");
    let id = jobs[0]["id"].as_str().unwrap().to_owned();
    clone.run(["job", "claim", &id]).success();
    assert!(clone.run(["job", "list"]).success().stdout().contains("claimed by ada"));
}

#[test]
fn nothing_is_written_through_a_link_in_the_work_tree() {
    let fleet = Fleet::new().founded();
    let clone = clone_and_hub_ahead(&fleet);
    let (docs, elsewhere) = (clone.directory().join("docs"), clone.directory().with_file_name("elsewhere"));
    fs::rename(&docs, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &docs).unwrap();
    assert!(
        clone.run(["job", "add", "--type", "build"]).success().stderr().contains("not brought up to date")
    );
    assert_eq!(fs::read_to_string(elsewhere.join("a.txt")).unwrap(), "second");
    // A single file that is a link is the user's as well, even with the content of ours behind it.
    fs::remove_file(&docs).unwrap();
    fs::create_dir(&docs).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("a.txt"), docs.join("a.txt")).unwrap();
    assert!(
        clone.run(["job", "add", "--type", "build"]).success().stderr().contains("not brought up to date")
    );
    assert!(docs.join("a.txt").is_symlink());
}

#[test]
fn what_may_hold_a_password_is_read_by_nobody_else() {
    let fleet = founded();
    let ada = fleet.server("ada");
    ada.run(["heartbeat"]).success();
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    ada.run(["--timeout", "3s", "job", "add", "--type", "build"]).code(9);
    let mut open = vec![ada.place("XDG_STATE_HOME"), ada.place("XDG_CONFIG_HOME")];
    let mut files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} has the rights {mode:o}", path.display());
            files += 1;
        }
    }
    assert!(files >= 3, "only {files} files");
}

#[test]
fn a_server_that_pushes_every_fifth_beat_declares_five_intervals() {
    let fleet = founded();
    let mut ada = fleet.server("ada");
    ada.set("HEARTBEAT_PUSH_EVERY", "5");
    for _ in 0..5 {
        ada.run(["heartbeat", "--interval", "1m"]).success();
    }
    let beat = inspect::document(fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    assert_eq!(beat["interval_seconds"], 300);
}

/// Also where the first hook comes while the hub is open in place.
#[test]
fn who_has_beaten_goes_on_beating_whatever_happens_to_the_hub() {
    for fleet in [founded(), Fleet::new().founded()] {
        let ada = fleet.server("ada");
        let mut beating = ada.command(["heartbeat", "run", "--interval", "1s"]).spawn();
        beating.wait_for_stdout("beat 1");
        fleet.hub().install_hook("pre-receive", "#!/bin/sh\nexit 1\n");
        eventually(Duration::from_secs(30), || beating.stderr().contains("refuses"));
        fleet.hub().install_hook("pre-receive", "#!/bin/sh\nexit 0\n");
        let before = fleet.hub().tip("heartbeat-ada");
        eventually(Duration::from_secs(30), || fleet.hub().tip("heartbeat-ada") != before);
        beating.signal("TERM");
        beating.wait().success();
        inspect::assert_hub_is_sound(fleet.hub());
    }
}

/// The hub takes no push any more while the file that is returned is there: each hangs.
fn hanging_hub(fleet: &Fleet) -> PathBuf {
    let mark = fleet.hub().path().with_file_name("hang");
    let script = format!("#!/bin/sh\n[ -e '{}' ] && exec sleep 60\nexit 0\n", mark.display());
    fleet.hub().install_hook("pre-receive", &script);
    mark
}

#[test]
fn a_command_ends_with_its_lease_although_the_renewal_hangs() {
    const LEASE: Duration = Duration::from_secs(6);
    let fleet = founded();
    let ada = fleet.server("ada");
    let hang = hanging_hub(&fleet);
    let beats = ada.directory().join("beats");
    let script = "echo $$ >pid; while :; do echo >>beats; sleep 0.05; done";
    let started = SystemTime::now();
    let running = ada.command(["lock", "run", "deploy", "--ttl", "6s", "--", "sh", "-c", script]).spawn();
    eventually(START_BOUND, || beats.exists());
    fs::File::create(hang).unwrap();
    running.wait().code(5);
    let ran = fs::metadata(&beats).unwrap().modified().unwrap().duration_since(started).unwrap();
    assert!(ran < LEASE, "{ran:?}");
    let pid = fs::read_to_string(ada.directory().join("pid")).unwrap();
    eventually(START_BOUND, || !Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn who_waits_for_a_lock_ends_when_asked_to_and_runs_nothing() {
    let fleet = founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    bob.run(["lock", "acquire", "deploy"]).success();
    let mut waiting = ada.command(["lock", "run", "deploy", "--wait", "1m", "--", "touch", "ran"]).spawn();
    eventually(START_BOUND, || waiting.stderr().contains("waiting"));
    waiting.signal("TERM");
    waiting.wait().code(1);
    assert!(!ada.directory().join("ran").exists());
}

#[test]
fn a_lock_that_was_stolen_while_the_command_ran_is_told() {
    let fleet = founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let running = ada
        .command([
            "lock",
            "run",
            "deploy",
            "--ttl",
            "10m",
            "--",
            "sh",
            "-c",
            "touch on; while [ -e on ]; do sleep 0.05; done",
        ])
        .spawn();
    let mark = ada.directory().join("on");
    eventually(START_BOUND, || mark.exists());
    bob.run(["lock", "steal", "deploy", "--reason", "test", "--force"]).success();
    fs::remove_file(mark).unwrap();
    running.wait().code(5);
}

#[test]
fn nobody_waits_for_a_rule_of_the_hub_to_change() {
    let fleet = founded();
    let ada = fleet.server("ada");
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\necho 'this branch is protected'\nexit 1\n");
    let started = Instant::now();
    ada.run(["lock", "acquire", "deploy", "--wait", "5m"]).code(4);
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_unsettled_operation_is_taken_up_by_one_process_and_kept_until_it_is_settled() {
    let fleet = founded();
    let ada = fleet.server("ada");
    let hang = hanging_hub(&fleet);
    fs::File::create(&hang).unwrap();
    let mut writing = ada.command(["job", "add", "--type", "build"]).spawn();
    let ops = ada.place("XDG_STATE_HOME").join("git-muster/ops");
    let begun = || {
        let mut names = fs::read_dir(&ops).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        names.find_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned()))
    };
    let id = wait_for(Duration::from_secs(30), begun).unwrap();
    ada.run(["op", "resume", &id]).code(75);
    writing.signal("KILL");
    writing.wait().killed_by(9);
    fs::remove_file(hang).unwrap();
    fleet.hub().go_down();
    ada.run(["--timeout", "5s", "op", "resume", &id]).code(7);
    fleet.hub().come_back();
    ada.run(["--dry-run", "op", "resume", &id]).success();
    ada.run(["op", "resume", &id]).success();
    ada.run(["op", "resume", &id]).success();
    let jobs = ada.run(["--json", "job", "list"]).success().json();
    assert_eq!(jobs.as_array().unwrap().len(), 1);
}

/// The repositories that git 3.0 makes unless it is told otherwise, and what tells us of each.
#[test]
fn a_hub_in_a_format_that_we_cannot_use_is_named_with_the_line_that_makes_one() {
    for (format, told) in [
        ("--object-format=sha256", "its objects have the format `sha256`"),
        ("--ref-format=reftable", "its refs have the format `reftable`"),
    ] {
        let fleet = Fleet::new();
        let ada = fleet.host("ada");
        let folder = ada.directory();
        let made = ada.git(["init", "-q", "--bare", format, "theirs.git"]).exit_code() == Some(0);
        if !crate::support::need::has(made, "git 2.45 or newer") {
            continue;
        }
        let theirs = folder.join("theirs.git").display().to_string();
        let mut line = String::new();
        for (at, args, code) in [
            (theirs.clone(), &["job", "list"][..], 78),
            (theirs.clone(), &["job", "add", "--", "true"], 78),
            // Of a fleet that cannot be looked at nothing is known.
            (theirs.clone(), &["health"], 3),
            (format!("file://{theirs}"), &["heartbeat", "--server", "ada"], 78),
            (theirs.clone(), &["init", &theirs], 78),
        ] {
            let run = ada.command(args.iter().copied()).env("MUSTER_HUB", at).run().code(code);
            assert!(run.stderr().contains(told), "{run}");
            let hint =
                run.stderr().lines().find(|line| line.starts_with("hint: ")).expect("a hint").to_owned();
            line = hint.split('`').nth(1).expect("a command").to_owned();
        }
        let doctor = ada.command(["doctor", "hub-reachable"]).env("MUSTER_HUB", &theirs).run().code(1);
        assert!(doctor.stdout().contains(told) && doctor.stdout().contains(&line), "{doctor}");

        // What the line makes is one that can be used.
        let ours = folder.join("ours.git").display().to_string();
        assert_eq!(line, "git muster init PATH");
        ada.run(["init", &ours]).success();
        ada.command(["job", "add", "--", "true"]).env("MUSTER_HUB", &ours).run().success();
    }
}

/// Over a connection only git tells it, and in other words of a hub that holds something.
#[test]
fn a_hub_of_another_object_format_behind_a_connection_is_named_and_not_waited_for() {
    Transport::each(&[Transport::Ssh, Transport::Http], |transport| {
        for holds in [false, true] {
            let fleet = Fleet::over(transport);
            let (ada, path) = (fleet.host("ada"), fleet.hub().path().to_owned());
            fs::remove_dir_all(&path).unwrap();
            let folder = path.display().to_string();
            let made = ["init", "-q", "--bare", "--object-format=sha256", "-b", MAIN, &folder];
            git(path.parent().unwrap(), made);
            git(&path, ["config", "http.receivepack", "true"]);
            if holds {
                let tree = git(&path, ["hash-object", "-t", "tree", "-w", "/dev/null"]);
                let identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"];
                let commit = [&identity[..], &["commit-tree", "-m", "x", tree.trim()]].concat();
                let commit = git(&path, commit);
                git(&path, ["update-ref", "refs/heads/main", commit.trim()]);
            }
            let lines = ["init", "job list", "job add --type x", "heartbeat --server ada", "health"];
            // One that is empty looks like any, and `init` would be refused.
            for line in lines {
                let started = Instant::now();
                let run = ada.command(line.split(' ')).env("MUSTER_HUB_TIMEOUT", "60s").run();
                assert!(!matches!(run.exit_code(), Some(0 | 7)), "{transport:?} {holds} {line}: {run}");
                assert!(run.stderr().contains("--object-format=sha1"), "{transport:?} {holds} {line}: {run}");
                assert!(!run.stderr().contains("git muster init"), "{transport:?} {holds} {line}: {run}");
                assert!(started.elapsed() < Duration::from_secs(30), "{transport:?} {holds} {line}: {run}");
            }
            let doctor = ada.run(["doctor", "hub-reachable"]).code(1);
            let told = doctor.stdout();
            assert!(told.contains("--object-format=sha1") && !told.contains("muster init"), "{doctor}");
        }
    });
}
