//! The clone around a command follows the hub, as far as its user left it alone.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Fleet, Host, MAIN, Run, Transport, eventually, git, inspect};

/// Two ways: the clone of a hub on this machine, and one whose objects come through git.
const WAYS: [Transport; 2] = [Transport::Path, Transport::Ssh];

struct Scene {
    fleet: Fleet,
    /// Works in a clone; what happens to it is looked at.
    bob: Host,
    /// Changes the hub behind its back.
    ada: Host,
}

impl Scene {
    fn new(transport: Transport) -> Self {
        let fleet = Fleet::over(transport).founded();
        let (bob, ada) = (fleet.host_in_clone("bob"), fleet.host("ada"));
        for host in [&bob, &ada] {
            host.run(["join", &fleet.hub().url(), "--as", host.name()]).success();
            host.run(["status", "set", "idle"]).success();
        }
        let scene = Self { fleet, bob, ada };
        scene.write("sync").success();
        inspect::assert_clone_is_clean(scene.bob.directory());
        scene
    }

    /// The other host changes `ada/status.json` and nothing else.
    fn others_go_on(&self) {
        self.ada.run(["status", "set", "building"]).success();
    }

    /// A write by bob, which changes `coordination/messages.json` and nothing else.
    fn write(&self, subject: &str) -> Run {
        self.bob.run(["message", "send", "--to", "all", "--subject", subject])
    }

    fn file(&self, path: &str) -> PathBuf {
        self.bob.directory().join(path)
    }

    fn shown(&self, path: &str) -> String {
        fs::read_to_string(self.file(path)).unwrap()
    }

    fn on_hub(&self, path: &str) -> String {
        String::from_utf8(inspect::content(self.fleet.hub(), MAIN, path).unwrap()).unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        self.bob.git(args).success().stdout().trim().to_owned()
    }

    fn is_on_the_tip(&self) -> bool {
        Some(self.git(&["rev-parse", "main"])) == self.fleet.hub().tip(MAIN)
    }
}

/// How often a run warns.
fn warnings(run: &Run) -> usize {
    run.stderr().lines().filter(|line| line.starts_with("warning: ")).count()
}

#[test]
fn what_nobody_edited_is_brought_up_to_date() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        scene.fleet.hub().put(MAIN, &[("build8/status.json", "{}\n")], "a server that goes");
        scene.bob.run(["message", "list"]).success();
        assert!(scene.file("build8/status.json").exists());
        scene.others_go_on();
        // A file that is new on the hub, one that changed, one that is gone.
        scene.fleet.hub().put(MAIN, &[("build9/status.json", "{}\n")], "a new server");
        let other = scene.fleet.host_in_clone("other");
        other.git(["rm", "--quiet", "build8/status.json"]).success();
        other.git(["commit", "--quiet", "-m", "a server is gone"]).success();
        other.git(["push", "--quiet", "origin", MAIN]).success();
        let run = scene.write("one").success();
        assert_eq!(warnings(&run), 0, "{run}");
        assert!(!scene.file("build8/status.json").exists());
        for path in ["ada/status.json", "build9/status.json", "coordination/messages.json"] {
            assert_eq!(scene.shown(path), scene.on_hub(path), "{path}");
        }
        assert!(scene.is_on_the_tip());
        scene.others_go_on();
        scene.bob.run(["message", "list"]).success();
        assert!(scene.is_on_the_tip(), "reading brings it up to date too");
        inspect::assert_clone_is_clean(scene.bob.directory());
    });
}

#[test]
fn what_the_user_edited_and_the_hub_did_not_is_kept() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        let edited = "coordination/servers.json";
        fs::write(scene.file(edited), "mine").unwrap();
        fs::write(scene.file("notes.txt"), "not yet added").unwrap();
        fs::write(scene.file("staged.txt"), "added").unwrap();
        scene.git(&["add", "staged.txt"]);
        scene.others_go_on();
        let run = scene.write("one").success();
        assert_eq!(warnings(&run), 0, "{run}");
        assert!(scene.is_on_the_tip());
        assert_eq!(scene.shown("ada/status.json"), scene.on_hub("ada/status.json"));
        assert_eq!(scene.shown(edited), "mine");
        let status = scene.git(&["status", "--porcelain"]);
        assert_eq!(status, format!("M {edited}\nA  staged.txt\n?? notes.txt"), "nothing else differs");
    });
}

#[test]
fn what_the_user_and_the_hub_edited_holds_the_clone_where_it_is() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        let (before, edited) = (scene.git(&["rev-parse", "HEAD"]), "ada/status.json");
        let untouched = scene.shown("coordination/messages.json");
        fs::write(scene.file(edited), "mine").unwrap();
        scene.others_go_on();
        for subject in ["one", "two"] {
            let run = scene.write(subject).success();
            assert_eq!(warnings(&run), 1, "{run}");
            assert!(run.stderr().contains(edited), "{run}");
        }
        assert_eq!(scene.shown(edited), "mine");
        assert_eq!(scene.shown("coordination/messages.json"), untouched);
        assert_eq!(scene.git(&["rev-parse", "HEAD"]), before);
        assert_eq!(scene.git(&["status", "--porcelain"]), format!("M {edited}"));
        // The user gives in; the next command brings everything.
        scene.git(&["checkout", "--quiet", "--", edited]);
        let run = scene.write("three").success();
        assert_eq!(warnings(&run), 0, "{run}");
        assert!(scene.is_on_the_tip());
        inspect::assert_clone_is_clean(scene.bob.directory());
    });
}

#[test]
fn an_edit_that_git_was_told_not_to_look_at_is_kept() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let scene = Scene::new(Transport::Path);
        let file = scene.file("ada/status.json");
        scene.git(&["update-index", flag, "ada/status.json"]);
        fs::write(&file, "mine").unwrap();
        scene.others_go_on();
        let run = scene.write("more").success();
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine", "{flag}: {run}");
        assert!(run.stderr().contains("ada/status.json"), "{flag}: {run}");
        // The line that is told lets git look at it again, and brings both together.
        let line = run.stderr().split('`').find(|part| part.starts_with("git ")).expect("a line").to_owned();
        assert!(line.contains(&flag.replacen("--", "--no-", 1)), "{flag}: {line}");
        fs::write(&file, scene.on_hub("ada/status.json").trim_end().to_owned() + "\n\n").unwrap();
        let shell = scene.bob.program("sh").args(["-c", &line]).run();
        assert_eq!(
            scene.git(&["rev-parse", "HEAD"]),
            scene.fleet.hub().tip(MAIN).unwrap(),
            "{flag}: {shell}"
        );
    }
}

#[test]
fn a_new_file_of_the_hub_does_not_replace_one_of_the_user() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        fs::create_dir(scene.file("build9")).unwrap();
        fs::write(scene.file("build9/status.json"), "mine").unwrap();
        scene.fleet.hub().put(MAIN, &[("build9/status.json", "{}\n")], "a new server");
        let run = scene.write("one").success();
        assert_eq!(warnings(&run), 1, "{run}");
        assert_eq!(scene.shown("build9/status.json"), "mine");
    });
}

#[test]
fn commits_of_the_user_are_not_moved() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        scene.git(&["commit", "--quiet", "--allow-empty", "-m", "mine"]);
        let before = scene.git(&["rev-parse", "HEAD"]);
        let run = scene.write("one").success();
        assert_eq!(warnings(&run), 1, "{run}");
        assert!(run.stderr().contains("commits that the hub does not have"), "{run}");
        assert_eq!(scene.git(&["rev-parse", "HEAD"]), before);
        inspect::assert_clone_is_clean(scene.bob.directory());
        // The user brings both together, with what the command fetched.
        scene.git(&["fetch", "--quiet"]);
        scene.git(&["rebase", "--quiet", "origin/main"]);
        scene.git(&["push", "--quiet", "origin", "main"]);
        let run = scene.write("two").success();
        assert_eq!(warnings(&run), 0, "{run}");
        assert!(scene.is_on_the_tip());
    });
}

#[test]
fn a_clone_with_commits_that_the_hub_lacks_follows_after_the_line_that_is_told() {
    Transport::each(&WAYS, |transport| {
        for is_set_back in [false, true] {
            let scene = Scene::new(transport);
            if is_set_back {
                let tip = scene.fleet.hub().tip(MAIN).unwrap();
                scene.write("lost").success();
                scene.fleet.hub().git(["update-ref", "refs/heads/main", &tip]);
            } else {
                scene.git(&["commit", "--quiet", "--allow-empty", "-m", "mine"]);
            }
            let mine = scene.git(&["rev-parse", "HEAD"]);
            let run = scene.write("one").success();
            // Before the line, doctor tells it as well.
            let doctor = scene.bob.run(["doctor", "copy", "--json"]).success().json();
            let line = doctor["checks"][0]["findings"][0]["mend"].as_str().unwrap().to_owned();
            assert!(run.stderr().contains(&format!("`{line}`")), "{line}: {run}");
            let shows =
                run.stderr().split('`').find(|part| part.contains(" log origin/")).unwrap().to_owned();
            let shown = scene.bob.program("sh").args(["-c", &shows]).run().success();
            assert!(shown.stdout().contains(mine.trim()), "{shown}");
            scene.bob.program("sh").args(["-c", &line]).run().success();
            let doctor = scene.bob.run(["doctor", "copy", "--json"]).success().json();
            assert_eq!(doctor["checks"][0]["verdict"], "ok", "{doctor:#}");
            let run = scene.write("two").success();
            assert_eq!(warnings(&run), 0, "{run}");
            assert!(scene.is_on_the_tip());
            assert!(scene.git(&["branch", "--contains", mine.trim()]).contains("main-"));
        }
    });
}

#[test]
fn what_holds_up_the_clone_keeps_no_answer_back() {
    let scene = Scene::new(Transport::Path);
    // A file that is read when the clone follows, and never gives anything.
    let attributes = scene.file(".git/info/attributes");
    fs::create_dir_all(attributes.parent().unwrap()).unwrap();
    let made = scene.bob.program("mkfifo").args([attributes.to_str().unwrap()]).run();
    made.success();
    let before = scene.git(&["rev-parse", "main"]);
    let run = scene.write("one").success();
    assert!(run.stdout().starts_with("msg_"), "{run}");
    assert!(run.stderr().contains("was not brought up to date within 10 s"), "{run}");
    assert_eq!(scene.git(&["rev-parse", "main"]), before);
    fs::remove_file(&attributes).unwrap();
    let run = scene.write("two").success();
    assert_eq!(warnings(&run), 0, "{run}");
    assert!(scene.is_on_the_tip());
    inspect::assert_clone_is_clean(scene.bob.directory());
}

#[test]
fn another_branch_or_none_is_left_alone() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        for place in [&["checkout", "--quiet", "-b", "topic"][..], &["checkout", "--quiet", "--detach"]] {
            scene.git(place);
            let (head, main) = (scene.git(&["rev-parse", "HEAD"]), scene.git(&["rev-parse", "main"]));
            let name = scene.git(&["rev-parse", "--abbrev-ref", "HEAD"]);
            scene.others_go_on();
            let send = ["--branch", "main", "message", "send", "--to", "all", "--subject", "x"];
            let run = scene.bob.run(send).success();
            assert_eq!(warnings(&run), 0, "{run}");
            assert_eq!(scene.git(&["rev-parse", "HEAD"]), head);
            assert_eq!(scene.git(&["rev-parse", "main"]), main);
            assert_eq!(scene.git(&["rev-parse", "--abbrev-ref", "HEAD"]), name);
            assert_eq!(scene.git(&["status", "--porcelain"]), "");
        }
        // Nothing says which branch is meant: the hub's is `main`, and the work tree stays.
        scene.bob.run(["message", "list"]).success();
        assert_eq!(inspect::branches(scene.fleet.hub()), [MAIN]);
        scene.git(&["checkout", "--quiet", "topic"]);
        scene.bob.run(["message", "list"]).success();
        assert_eq!(inspect::branches(scene.fleet.hub()), [MAIN]);
    });
}

/// What an answer may wait for a lock in the clone, with everything else a command does on a busy machine.
const SOON: Duration = Duration::from_secs(6);

#[test]
fn a_lock_of_nobody_on_a_ref_of_the_clone_holds_up_no_answer() {
    Transport::each(&WAYS, |transport| {
        for reference in ["heads", "remotes/origin"] {
            let scene = Scene::new(transport);
            let lock = scene.file(&format!(".git/refs/{reference}/{MAIN}.lock"));
            fs::write(&lock, "").unwrap();
            scene.others_go_on();
            let start = Instant::now();
            let run = scene.bob.run(["lock", "acquire", "deploy"]);
            // What git fetches into has to be free: there it is the time-out of the command that counts.
            if transport == Transport::Path || reference == "heads" {
                let run = run.success();
                assert_eq!(run.stdout(), "1\n", "{run}");
                assert!(run.stderr().contains(&format!("{MAIN}.lock")), "{run}");
                assert!(start.elapsed() < SOON, "{transport:?} {reference}: {:?}", start.elapsed());
            }
            assert_eq!(scene.git(&["status", "--porcelain"]), "", "{transport:?}: nothing is half done");
            // It may have been found to be nobody's by then.
            drop(fs::remove_file(lock));
            scene.bob.run(["job", "list"]).success();
            assert!(scene.is_on_the_tip(), "{transport:?} {reference}");
        }
    });
}

#[test]
fn a_git_at_work_in_the_clone_is_not_disturbed() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        let lock = scene.file(".git/index.lock");
        fs::write(&lock, "the index that a commit is building").unwrap();
        scene.others_go_on();
        let run = scene.write("one").success();
        assert_eq!(warnings(&run), 1, "{run}");
        assert!(run.stderr().contains("index.lock"), "{run}");
        assert_eq!(fs::read_to_string(&lock).unwrap(), "the index that a commit is building");
        assert_eq!(scene.git(&["--no-optional-locks", "status", "--porcelain"]), "", "nothing is half done");
        fs::remove_file(lock).unwrap();
        let run = scene.write("two").success();
        assert_eq!(warnings(&run), 0, "{run}");
        assert!(scene.is_on_the_tip());
        inspect::assert_clone_is_clean(scene.bob.directory());

        // A rebase that waits for its user.
        fs::create_dir(scene.file(".git/rebase-merge")).unwrap();
        let head = scene.git(&["rev-parse", "HEAD"]);
        let run = scene.write("three").success();
        assert_eq!(warnings(&run), 1, "{run}");
        assert_eq!(scene.git(&["rev-parse", "HEAD"]), head);
    });
}

#[test]
fn a_commit_whose_message_is_being_written_is_not_broken() {
    Transport::each(&WAYS, |transport| {
        let scene = Scene::new(transport);
        let (begun, go_on) = (scene.file(".git/begun"), scene.file(".git/go-on"));
        let editor = format!(
            "sh -c 'touch {}; until [ -e {} ]; do sleep 0.05; done; echo mine > \"$1\"' --",
            begun.display(),
            go_on.display()
        );
        for (at, line) in [("", &["commit"][..]), ("ada", &["-c", "a.b=c", "commit"])] {
            let before = scene.git(&["rev-parse", "HEAD"]);
            fs::write(scene.file("mine.txt"), format!("{at}\n")).unwrap();
            scene.git(&["add", "mine.txt"]);
            let git = scene.bob.program("git").args(line).env("GIT_EDITOR", &editor);
            let mut committing = git.current_dir(scene.file(at)).spawn();
            eventually(Duration::from_secs(10), || begun.exists());
            scene.others_go_on();
            let run = scene.write("meanwhile").success();
            assert!(run.stderr().contains("`git commit`, process "), "{run}");
            assert!(!committing.has_ended());
            fs::write(&go_on, "").unwrap();
            committing.wait().success();
            assert_eq!(scene.git(&["log", "-1", "--format=%s"]), "mine");
            assert_eq!(scene.git(&["rev-parse", "HEAD~1"]), before, "nothing moved below the commit");
            for mark in [&begun, &go_on] {
                fs::remove_file(mark).unwrap();
            }
            scene.git(&["pull", "-q", "--rebase"]);
            scene.git(&["push", "-q", "origin", MAIN]);
            assert_eq!(warnings(&scene.write("after").success()), 0);
            assert!(scene.is_on_the_tip());
        }
    });
}

/// A clone that somebody made with settings of their own, and a host whose commands run in it.
fn clone_with(fleet: &Fleet, attributes: &str, settings: &[&str]) -> Host {
    let bob = fleet.host("bob");
    let url = fleet.hub().url();
    let mut args = vec!["clone", "-q"];
    for setting in settings {
        args.extend(["-c", setting]);
    }
    args.extend([url.as_str(), "."]);
    bob.git(&args).success();
    if !attributes.is_empty() {
        fs::write(bob.directory().join(".git/info/attributes"), attributes).unwrap();
        // As git lays the files out by them.
        let files = bob.git(["ls-files", "-z"]).success().stdout().to_owned();
        for file in files.split('\0').filter(|file| !file.is_empty()) {
            fs::remove_file(bob.directory().join(file)).unwrap();
        }
        bob.git(["checkout", "-q", "--", "."]).success();
    }
    bob
}

#[test]
fn what_git_calls_unchanged_was_not_edited_however_its_lines_end() {
    for (attributes, settings) in [
        ("", &["core.autocrlf=true"][..]),
        ("", &["core.autocrlf=input"]),
        ("*.json text eol=crlf\n", &[]),
        ("*.json text\n", &["core.eol=crlf"]),
        ("*.json text ident\n", &[]),
        ("*.json filter=unknown\n", &[]),
        ("", &["core.filemode=false", "core.symlinks=false"]),
    ] {
        let fleet = Fleet::new().founded();
        fleet.server("ada").run(["status", "set", "idle"]).success();
        let bob = clone_with(&fleet, attributes, settings);
        let case = format!("{attributes:?} {settings:?}");
        let ends = fs::read_to_string(bob.directory().join("coordination/jobs.json")).unwrap();
        let is_crlf = attributes.contains("crlf")
            || settings.iter().any(|one| one.contains("=crlf") || *one == "core.autocrlf=true");
        assert_eq!(ends.contains("\r\n"), is_crlf, "git laid it out so: {case}");
        for subject in ["one", "two"] {
            let run = bob.run(["job", "add", "--server", "bob", "--type", subject]).success();
            assert!(!run.stderr().contains("not brought up to date"), "{case}: {run}");
            let tip = fleet.hub().tip(MAIN);
            assert_eq!(bob.git(["rev-parse", "HEAD"]).success().stdout().trim(), tip.unwrap(), "{case}");
            assert_eq!(bob.git(["status", "--short"]).success().stdout(), "", "{case}");
        }
        // An edit is one all the same.
        let edited = bob.directory().join("coordination/jobs.json");
        let text = fs::read_to_string(&edited).unwrap();
        fs::write(&edited, text.replacen('{', "{ ", 1)).unwrap();
        let run = bob.run(["job", "add", "--server", "bob", "--type", "three"]).success();
        assert!(run.stderr().contains("was edited in it"), "{case}: {run}");
    }
}

#[test]
fn an_edit_beside_an_older_stash_is_brought_together_by_the_hint() {
    let scene = Scene::new(Transport::Path);
    fs::write(scene.file("older.txt"), "mine").unwrap();
    scene.git(&["stash", "-q", "-u"]);
    scene.others_go_on();
    let path = "ada/status.json";
    let edited = scene.shown(path).trim_end().to_owned() + "\n\n";
    fs::write(scene.file(path), edited).unwrap();
    let run = scene.write("held").success();
    let hint = run.stderr().split('`').find(|part| part.starts_with("git ")).expect("a command").to_owned();
    scene.git(&hint.split_whitespace().skip(1).collect::<Vec<_>>());
    assert!(scene.is_on_the_tip());
    assert!(scene.shown(path).ends_with("\n\n"), "the edit is there");
    assert!(!scene.file("older.txt").exists(), "and what was put aside before stays aside");
    assert_eq!(scene.git(&["stash", "list"]).lines().count(), 1);
}

#[test]
fn a_file_that_goes_through_a_program_of_the_user_is_left_to_git() {
    let fleet = Fleet::new().founded();
    let mark = fleet.hub().path().with_extension("ran");
    let program = format!("filter.upper.clean=touch {} && tr A-Z a-z", mark.display());
    let bob = clone_with(&fleet, "", &[&program, "filter.upper.smudge=cat"]);
    fs::write(bob.directory().join(".git/info/attributes"), "*.json filter=upper\n").unwrap();
    let run = bob.run(["job", "add", "--server", "bob", "--type", "one"]).success();
    assert!(run.stderr().contains("goes through the filter `upper`"), "{run}");
    assert!(!mark.exists(), "we run no program that a file names");
    bob.git(["pull", "-q"]).success();
    assert_eq!(bob.git(["rev-parse", "HEAD"]).success().stdout().trim(), fleet.hub().tip(MAIN).unwrap());
}

#[test]
fn a_clone_whose_index_cannot_be_read_follows_after_the_line_that_is_told() {
    for (make, mend) in [
        (&["sparse-checkout", "set", "--sparse-index", "coordination"][..], "sparse-checkout disable"),
        (&["update-index", "--split-index"], "update-index --no-split-index"),
    ] {
        let scene = Scene::new(Transport::Path);
        let top = scene.bob.directory();
        git(top, make);
        scene.others_go_on();
        let told = scene.write("one").success();
        let line = format!("git -C {} {mend}", top.display());
        assert!(told.stderr().contains(&line), "{told}");
        let doctor = scene.bob.run(["doctor", "copy"]);
        let lines = [line.as_str(), "are not brought up to date"];
        assert!(lines.iter().all(|words| doctor.stdout().contains(words)), "{doctor}");
        git(top, mend.split(' '));
        assert_eq!(warnings(&scene.write("two").success()), 0);
        scene.bob.run(["doctor", "copy"]).success();
        inspect::assert_clone_is_clean(top);
        assert_eq!(git(top, ["rev-parse", "HEAD"]), scene.fleet.hub().git(["rev-parse", MAIN]));
    }
}

#[test]
fn a_clone_of_which_only_a_part_is_checked_out_follows_and_stays_one() {
    for (way, transport) in
        [("--cone", Transport::Path), ("--no-cone", Transport::Path), ("--cone", Transport::Ssh)]
    {
        let scene = Scene::new(transport);
        scene.fleet.hub().put(MAIN, &[("ada/gone.json", "{}\n"), ("notes/a", "a\n")], "more files");
        scene.git(&["pull", "-q"]);
        let wanted = if way == "--cone" { ["coordination", "bob"] } else { ["/coordination/", "/bob/"] };
        scene.git(&[&["sparse-checkout", "set", way][..], &wanted].concat());
        assert!(!scene.file("ada").exists(), "{way}: git leaves it out");
        let left_out = |scene: &Scene| {
            scene.git(&["ls-files", "-t"]).lines().filter(|line| line.starts_with('S')).count()
        };
        let before = left_out(&scene);
        scene.others_go_on();
        // Beside what is left out one file is gone, one is new, and one is new beside what is wanted.
        let files =
            [("ada/new.json", "{}\n"), ("ada/deep/er.json", "{}\n"), ("coordination/new.json", "{}\n")];
        scene.fleet.hub().put(MAIN, &files, "new files");
        let url = scene.fleet.hub().url();
        let eve = scene.fleet.host("eve");
        for line in [
            &["clone", "-q", &url, "."][..],
            &["rm", "-q", "ada/gone.json"],
            &["-c", "user.name=eve", "-c", "user.email=eve@eve.example", "commit", "-qm", "less"],
            &["push", "-q"],
        ] {
            eve.git(line).success();
        }
        for subject in ["one", "two"] {
            let run = scene.write(subject).success();
            assert_eq!(warnings(&run), 0, "{way}: {run}");
            assert!(scene.is_on_the_tip());
        }
        assert!(!scene.file("ada").exists(), "{way}: it is left out as before");
        assert_eq!(left_out(&scene), before + 1, "{way}: two more and one less");
        for path in ["coordination/messages.json", "coordination/new.json"] {
            assert_eq!(scene.shown(path), scene.on_hub(path), "{way}: {path}");
        }
        assert_eq!(scene.git(&["status", "--porcelain"]), "", "{way}");
        // git agrees with what was laid out, and with what it lays out when all is wanted again.
        scene.git(&["sparse-checkout", "reapply"]);
        assert_eq!(scene.git(&["status", "--porcelain"]), "", "{way}");
        scene.git(&["sparse-checkout", "disable"]);
        assert_eq!(scene.shown("ada/new.json"), "{}\n");
        inspect::assert_clone_is_clean(scene.bob.directory());
    }
}

#[test]
fn a_clone_of_which_nothing_is_checked_out_follows_and_stays_empty() {
    let fleet = Fleet::new().founded();
    let bob = fleet.host("bob");
    bob.git(["clone", "-q", "--no-checkout", &fleet.hub().url(), "."]).success();
    for subject in ["one", "two"] {
        let run = bob.run(["job", "add", "--server", "bob", "--type", subject]).success();
        assert_eq!(warnings(&run), 0, "{run}");
        let head = bob.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
        assert_eq!(Some(head), fleet.hub().tip(MAIN));
    }
    assert_eq!(fs::read_dir(bob.directory()).unwrap().count(), 1, "`.git`");
    bob.git(["checkout", "-q", MAIN]).success();
    inspect::assert_clone_is_clean(bob.directory());

    // With files and without an index nobody can tell what was edited, and git makes the index.
    fs::remove_file(bob.directory().join(".git/index")).unwrap();
    let held = bob.run(["job", "add", "--server", "bob", "--type", "three"]).success();
    let line = held.stderr().split('`').find(|part| part.starts_with("git ")).expect("a line").to_owned();
    bob.program("sh").args(["-c", &line]).run().success();
    let run = bob.run(["job", "add", "--server", "bob", "--type", "four"]).success();
    assert_eq!(warnings(&run), 0, "{run}");
    inspect::assert_clone_is_clean(bob.directory());
}
