//! One ref of the hub that leads nowhere, is no commit or takes a name stops nobody but its server.

use crate::lost_objects::{Damage, lose};
use crate::sessions::{a_minute_passes, claimed, is_lost, stays_claimed};
use crate::support::{Fleet, Host, MAIN, Run, Transport, git, inspect};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

/// A user whom permissions bind and who owns nothing.
const NOBODY: &str = "65534";

/// What lies in the file of bob's heartbeat branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Empty,
    Garbage,
    NoSuchCommit,
    Blob,
    /// A branch below that name instead.
    BranchBelow,
    /// What it should, but the hub has lost a part of that.
    Part(&'static str, Damage),
}
use Content::{Blob, BranchBelow, Empty, Garbage, NoSuchCommit, Part};

/// Whether git itself can neither move nor remove the ref.
fn is_unreadable(content: Content) -> bool {
    matches!(content, Empty | Garbage)
}

fn damage(fleet: &Fleet, content: Content) -> String {
    let hub = fleet.hub();
    let file = hub.path().join("refs/heads/heartbeat-bob");
    match content {
        Empty => fs::write(file, "").unwrap(),
        Garbage => fs::write(file, "no id\n").unwrap(),
        NoSuchCommit => fs::write(file, format!("{}\n", "1".repeat(40))).unwrap(),
        Blob => {
            let blob = hub.put("aside", &[("file", "x")], "aside");
            let blob = git(hub.path(), ["rev-parse", &format!("{blob}:file")]);
            fs::write(file, blob).unwrap();
        }
        BranchBelow => {
            hub.git(["update-ref", "-d", "refs/heads/heartbeat-bob"]);
            hub.git(["update-ref", "refs/heads/heartbeat-bob/x", MAIN]);
            return "heartbeat-bob/x".to_owned();
        }
        Part(name, damage) => {
            lose(fleet, &format!("heartbeat-bob{name}"), damage);
        }
    }
    "heartbeat-bob".to_owned()
}

/// Runs the command that doctor names for a branch, in the hub.
#[track_caller]
fn run_mend(fleet: &Fleet, host: &Host) {
    let run = host.run(["doctor", "heartbeat-branches"]).code(1);
    let command = run.stdout().lines().find_map(|line| line.trim().strip_prefix("mend: "));
    let command = command.unwrap_or_else(|| run.fail("no command"));
    let is_there = run.stdout().contains("in the directory of the hub");
    let folder = if is_there { fleet.hub().path().to_owned() } else { host.place("HOME") };
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).envs(fleet.hub().client_env());
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}

fn one_bad_ref(transport: Transport) {
    let all = [
        Empty,
        NoSuchCommit,
        BranchBelow,
        Part(":bob/heartbeat.json", Damage::Gone),
        Part("", Damage::Empty),
        Part(":bob/heartbeat.json", Damage::Flipped),
        Part(":bob", Damage::CutOff),
        Garbage,
        Blob,
    ];
    // What git tells apart, it tells apart in the same way over each of them. A hub at a path that is read in
    // place is rid of an object that is cut off by the first who meets it.
    let many = match transport {
        Transport::Ssh => all.len(),
        Transport::Path => 6,
        _ => 4,
    };
    for content in all.into_iter().take(many) {
        let fleet = Fleet::over(transport).founded();
        let hosts = [fleet.server("ada"), fleet.server("bob")];
        let [ada, bob] = &hosts;
        for host in &hosts {
            host.run(["heartbeat"]).success();
        }
        let branch = damage(&fleet, content);
        let at = format!("{transport:?} {content:?}");

        // Whoever looks sees all the others, and which one it is.
        let run = ada.run(["health"]).code(1);
        assert!(run.stdout().contains(&branch) && run.stderr().contains(&branch), "{at}\n{run}");
        let run = ada.run(["worker", "list"]).success();
        assert!(run.stdout().contains("ada"), "{at}\n{run}");
        let run = ada.run(["doctor", "heartbeat-branches"]).code(1);
        assert!(run.stdout().contains(&branch), "{at}\n{run}");

        // git takes no push while it cannot read a ref, unless it need not look at that one.
        let is_stuck = is_unreadable(content) && matches!(transport, Transport::Http | Transport::Daemon);
        for args in [&["job", "add", "--type", "test"][..], &["heartbeat"]] {
            let run = ada.run(args);
            if is_stuck {
                let run = run.code(4);
                assert!(run.stderr().contains("`heartbeat-bob` is empty or damaged"), "{at}\n{run}");
                assert!(run.stderr().contains("`rm refs/heads/heartbeat-bob`"), "{at}\n{run}");
            } else {
                run.success();
            }
        }

        // Its server makes it anew where nothing but a heartbeat is lost with it.
        if is_unreadable(content) || content == BranchBelow {
            // Over http a push that is told that another was faster may have been sent twice.
            let run = bob.run(["heartbeat"]);
            let doubts = transport == Transport::Http && run.exit_code() == Some(9);
            let run = if doubts { run } else { run.code(4) };
            assert!(run.stderr().contains(&branch), "{at}\n{run}");
            run_mend(&fleet, bob);
        }
        bob.run(["heartbeat"]).success();
        ada.run(["job", "add", "--type", "test"]).success();
        ada.run(["doctor", "heartbeat-branches"]).success();
        let jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
        assert_eq!(jobs["jobs"].as_array().unwrap().len(), if is_stuck { 1 } else { 2 }, "{at}");
        if let Part(..) = content {
            // What is left of the object that nobody needs any more.
            hub_without_torn_objects(&fleet);
        }
        inspect::assert_hub_is_sound(fleet.hub());
    }
}

/// Takes out the files of objects that git cannot read.
fn hub_without_torn_objects(fleet: &Fleet) {
    let objects = fleet.hub().path().join("objects");
    let is_sound = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        let name = file.components().rev().take(2).map(|part| part.as_os_str().to_str().unwrap());
        let id: String = name.collect::<Vec<_>>().into_iter().rev().collect();
        let read = Command::new("git").args(["cat-file", "-p", &id]).current_dir(fleet.hub().path()).output();
        !bytes.is_empty() && read.unwrap().status.success()
    };
    for folder in fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().path()) {
        let is_fan_out = folder.file_name().is_some_and(|name| name.len() == 2);
        for file in is_fan_out.then(|| fs::read_dir(&folder).unwrap()).into_iter().flatten() {
            let file = file.unwrap().path();
            if !is_sound(&file) {
                fs::remove_file(file).unwrap();
            }
        }
    }
}

#[test]
fn one_bad_heartbeat_branch_stops_nobody_and_is_named_with_its_mend() {
    Transport::each(&Transport::ALL, one_bad_ref);
}

/// What lies of its beats elsewhere is old, and says nothing of whether it lives.
#[test]
fn a_server_whose_branch_cannot_be_read_is_not_taken_for_lost() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let fleet = Fleet::over(transport).founded();
        let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
        bob.run(["heartbeat", "--interval", "1s", "--on-main"]).success();
        let id = claimed(&bob);
        bob.run(["heartbeat", "--interval", "1s"]).success();
        lose(&fleet, "heartbeat-bob:bob/heartbeat.json", Damage::Gone);
        stays_claimed(&fleet, &ada, &id, 4);
        let run = ada.run(["health"]).code(1);
        assert!(run.stdout().contains("heartbeat-bob") && run.stdout().contains("lost"), "{run}");
        // Its next beat makes the branch anew, and from then on it is judged by that.
        bob.run(["heartbeat", "--interval", "1s"]).success();
        ada.run(["job", "claim"]).code(3);
        a_minute_passes(&ada);
        ada.run(["job", "claim"]).code(3);
        assert!(is_lost(&fleet, &id));
    });
}

#[test]
fn the_line_that_removes_a_branch_runs_wherever_it_is_given() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        let fleet = Fleet::over(transport).founded();
        let [ada, bob] = [fleet.server("ada"), fleet.server("bob")];
        bob.run(["heartbeat"]).success();
        lose(&fleet, "heartbeat-bob:bob/heartbeat.json", Damage::Gone);
        run_mend(&fleet, &ada);
        ada.run(["doctor", "heartbeat-branches"]).success();
        assert!(fleet.hub().tip("heartbeat-bob").is_none());
        bob.run(["heartbeat"]).success();
    });
}

#[test]
fn other_odd_refs_are_no_matter() {
    Transport::each(&Transport::ALL, |transport| {
        let fleet = Fleet::over(transport).founded();
        let ada = fleet.server("ada");
        let refs = fleet.hub().path().join("refs");
        fs::write(refs.join("heads/heartbeat-gone"), "ref: refs/heads/nowhere\n").unwrap();
        fs::write(refs.join("heads/heartbeat-round"), "ref: refs/heads/heartbeat-round\n").unwrap();
        for name in ["heartbeat-ADA", "heartbeat-ü", "heartbeat-a@b", "heartbeat-", "logs-ada", "HEAD"] {
            fleet.hub().git(["update-ref", &format!("refs/heads/{name}"), MAIN]);
        }
        fleet.hub().git(["tag", "-m", "x", "v1", MAIN]);
        let tag = fleet.hub().git(["rev-parse", "v1"]);
        fs::write(refs.join("heads/heartbeat-tag"), tag).unwrap();
        for args in [
            &["heartbeat"][..],
            &["job", "add", "--type", "test"],
            &["job", "list"],
            &["worker", "list"],
            &["message", "send", "--to", "all", "--subject", "x"],
        ] {
            ada.run(args).success();
        }
        assert_ne!(ada.run(["health"]).exit_code(), Some(3), "{transport:?}");
    });
}

/// Branches of bob's that are other names of the hub's own.
fn another_name(transport: Transport) {
    for name in ["heartbeat-bob", "heartbeat-bob/x", "logs-bob"] {
        let fleet = Fleet::over(transport).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        let main = format!("refs/heads/{MAIN}");
        fleet.hub().git(["symbolic-ref", &format!("refs/heads/{name}"), &main]);
        ada.run(["job", "add", "--", "echo", "hi"]).success();
        ada.run(["heartbeat"]).success();
        let at = format!("{transport:?} {name}");
        let before = fleet.hub().tip(MAIN).unwrap();
        let run = match name {
            "logs-bob" => bob.run(["worker", "run", "--allow-any", "--exit-when-idle", "1s"]),
            _ => bob.run(["heartbeat"]).code(4),
        };
        assert!(run.stderr().contains(name), "{at}\n{run}");
        // A push that deletes another name would delete the hub's branch.
        assert!(!run.stderr().contains("git push"), "{at}\n{run}");
        assert_eq!(name != "logs-bob", run.stderr().contains("update-ref --no-deref -d"), "{at}\n{run}");
        let is_kept = || git(fleet.hub().path(), ["merge-base", "--is-ancestor", &before, MAIN]);
        is_kept();
        if name == "logs-bob" {
            continue;
        }
        run_mend(&fleet, &bob);
        is_kept();
        bob.run(["heartbeat"]).success();
        inspect::assert_hub_is_sound(fleet.hub());
    }
}

#[test]
fn another_name_of_the_hubs_branch_is_neither_replaced_nor_removed() {
    Transport::each(&[Transport::Path, Transport::Ssh, Transport::Daemon], another_name);
}

#[test]
fn an_empty_tag_stops_nobody_and_a_missing_one_is_named() {
    Transport::each(&[Transport::Path, Transport::Ssh], |transport| {
        for (file, content) in [
            ("tags/v1", String::new()),
            ("tags/v2", format!("{}\n", "1".repeat(40))),
            ("stash", String::new()),
        ] {
            let fleet = Fleet::over(transport).founded();
            let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
            fs::write(fleet.hub().path().join("refs").join(file), content).unwrap();
            // What leads to a missing commit git looks at in any case.
            let is_stuck = file.ends_with("v2") && transport == Transport::Ssh;
            let run = ada.run(["job", "add", "--", "true"]);
            if is_stuck {
                let run = run.code(4);
                assert!(run.stderr().contains("ref `refs/tags/v2` leads to a commit"), "{run}");
                fs::remove_file(fleet.hub().path().join("refs").join(file)).unwrap();
                ada.run(["job", "add", "--", "true"]).success();
                continue;
            }
            run.success();
            bob.run(["heartbeat"]).success();
            let health = ada.run(["health"]).to_string();
            let is_told = health.contains(&format!("refs/{file}"));
            assert_eq!(is_told, transport == Transport::Path && !file.ends_with("v2"), "{file}\n{health}");
        }
    });
}

/// The first line for a shell in what a run said that begins with `start`, run in the directory of the hub.
#[track_caller]
fn run_told(fleet: &Fleet, run: &Run, start: &str) {
    let said = run.to_string();
    let line = said.split('`').find(|part| part.starts_with(start)).unwrap_or_else(|| run.fail(start));
    let done = Command::new("sh").args(["-c", line]).current_dir(fleet.hub().path()).output().unwrap();
    assert!(done.status.success(), "{line}: {done:?}");
}

#[test]
fn an_odd_name_stops_nobody_and_is_never_told_as_a_sound_branch() {
    Transport::each(&[Transport::Path, Transport::Ssh, Transport::Http], |transport| {
        for (name, is_a_name) in [
            ("heads/main 2", false),
            ("heads/heartbeat-ada 2", false),
            ("heads/heartbeat- it's", false),
            ("heads/a..b", false),
            ("tags/v 1", false),
            // As macOS leaves it in folders that have a picture of their own.
            ("heads/Icon\r", false),
            ("heads/heartbeat-(old)", true),
        ] {
            // Over http git cuts this one in what it lists, and nothing else has the name that is left.
            if transport == Transport::Http && name == "heads/heartbeat- it's" {
                continue;
            }
            let fleet = Fleet::over(transport).founded();
            let ada = fleet.server("ada");
            ada.run(["heartbeat"]).success();
            let tip = fleet.hub().tip(MAIN).unwrap();
            let file = fleet.hub().path().join("refs").join(name);
            fs::write(&file, if is_a_name { "no id\n".to_owned() } else { format!("{tip}\n") }).unwrap();
            // Over http nobody can tell the other git what to look at.
            let is_stuck = transport == Transport::Http;
            let wrote = ada.run(["job", "add", "--type", "test"]);
            let wrote = if is_stuck { wrote.code(4) } else { wrote.success() };
            let told = if transport == Transport::Path { ada.run(["health"]) } else { wrote };
            let at = format!("{transport:?} {name}\n{told}");
            let shown = name.rsplit('/').next().unwrap().trim_end();
            assert!(told.to_string().contains(shown), "{at}");
            assert_eq!(told.to_string().contains("a name that no ref can have"), !is_a_name, "{at}");
            for sound in ["rm refs/heads/main`", "rm refs/heads/heartbeat-ada`", "--delete", "COMMIT"] {
                assert!(!told.to_string().contains(sound), "{at}");
            }
            let beat = ada.run(["heartbeat"]);
            if is_stuck {
                beat.code(4)
            } else {
                beat.success()
            };
            assert!(ada.run(["worker", "list"]).success().stdout().contains("ada"), "{at}");
            run_told(&fleet, &told, "rm ");
            assert!(!file.exists(), "{at}");
            let run = ada.run(["job", "add", "--type", "test"]).success();
            assert_eq!(run.stderr(), "", "{at}");
            inspect::assert_hub_is_sound(fleet.hub());
        }
    });
}

#[test]
fn a_name_of_two_lines_is_not_told_as_the_branch_that_its_first_line_names() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = fleet.server("ada");
    let tip = fleet.hub().tip(MAIN).unwrap();
    let file = fleet.hub().path().join("refs/heads/main\n2");
    fs::write(&file, format!("{tip}\n")).unwrap();
    for _ in 0..2 {
        let run = ada.run(["job", "add", "--type", "test"]);
        // A hub with an older git takes no push while it is there.
        if run.exit_code() == Some(4) {
            run_told(&fleet, &run, "rm ");
            assert!(!file.exists(), "{run}");
            ada.run(["job", "add", "--type", "test"]).success();
            fs::write(&file, format!("{tip}\n")).unwrap();
        } else {
            let run = run.success();
            for sound in ["rm refs/heads/main`", "update-ref", "COMMIT"] {
                assert!(!run.to_string().contains(sound), "{run}");
            }
        }
    }
    // On its machine the whole name is seen.
    let told = ada.run(["--hub", fleet.hub().path().to_str().unwrap(), "health"]);
    run_told(&fleet, &told, "rm ");
    assert!(!file.exists(), "{told}");
    inspect::assert_hub_is_sound(fleet.hub());
}

#[test]
fn a_branch_whose_commit_is_missing_is_put_back_by_the_lines_that_are_told() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    // What is in one's own copy nobody misses.
    let (bob, ada) = (fleet.server("bob"), fleet.server("ada"));
    ada.run(["job", "add", "--type", "test"]).success();
    let good = fleet.hub().path().parent().unwrap().join("good");
    git(fleet.hub().path(), ["clone", "--quiet", ".", good.to_str().unwrap()]);
    let tip = fleet.hub().tip(MAIN).unwrap();
    let (folder, rest) = tip.split_at(2);
    fs::remove_file(fleet.hub().path().join("objects").join(folder).join(rest)).unwrap();
    let run = bob.run(["job", "list"]).code(4);
    assert!(!run.stderr().contains("`HEAD`"), "{run}");
    run_told(&fleet, &run, "git update-ref");
    let push = run.stderr().split('`').find(|part| part.starts_with("git push")).unwrap().to_owned();
    let line = format!("cd {} && {}", good.display(), push.replace("COMMIT", &tip));
    bob.program("sh").args(["-c", &line]).run().success();
    assert_eq!(bob.run(["job", "list"]).success().stderr(), "");
    bob.run(["job", "add", "--type", "test"]).success();
}

/// As root only: permissions bind nobody else's processes that we could start.
#[test]
fn a_branch_that_may_not_be_read_is_no_damage_and_the_line_that_is_told_opens_it() {
    let own = |path: &Path, who: &str| {
        let done = Command::new("chown").args(["-R", who]).arg(path).status().unwrap();
        assert!(done.success());
    };
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    for branch in ["main", "heartbeat-ada"] {
        let fleet = Fleet::new().founded();
        let mut ada = fleet.server("ada");
        ada.run(["heartbeat"]).success();
        own(ada.place("HOME").parent().unwrap(), NOBODY);
        own(ada.place("HOME").parent().unwrap().parent().unwrap(), NOBODY);
        own(fleet.hub().path().parent().unwrap(), "0");
        for (name, value) in
            [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")]
        {
            ada.set(name, value);
        }
        let look = || {
            let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
            let program = ada.program("setpriv").args(ids).args([env!("CARGO_BIN_EXE_git-muster")]);
            program.args(["worker", "list"]).run()
        };
        fs::set_permissions(fleet.hub().path().parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        let file = fleet.hub().path().join("refs/heads").join(branch);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let told = look();
        assert!(told.stderr().contains("in a file that this account may not read"), "{branch}: {told}");
        assert!(!told.stderr().contains("`rm "), "{branch}: {told}");
        let command = format!("chmod -R go+rX {}", fleet.hub().path().display());
        assert!(told.stderr().contains(&command), "{branch}: {told}");
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        assert_eq!(look().success().stderr(), "", "{branch}");
    }
}
