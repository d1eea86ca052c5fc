//! What jobs work on and what they make: checkouts of a source repository, real Debian packages,
//! manifests, copies, tags of good builds.

use crate::support::{Fleet, Host, Transcript, eventually, git, inspect, need};
use insta::assert_snapshot;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn founded() -> (Fleet, Host) {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    (fleet, ada)
}

/// Status and reason of a job.
fn ended(fleet: &Fleet, id: &str) -> String {
    let job = inspect::job(fleet.hub(), id);
    format!("{}: {}", job["status"].as_str().unwrap(), job["reason"].as_str().unwrap())
}

fn add(host: &Host, words: &[&str]) -> String {
    host.run([&["job", "add"], words].concat()).success().stdout().trim().to_owned()
}

/// A bare repository to work on, with one commit of `files` on main. The folder lies beside the host's.
fn source(host: &Host, files: &[(&str, &str)]) -> Source {
    let top = host.directory().join("source");
    fs::create_dir_all(&top).unwrap();
    git(&top, ["init", "--quiet", "--bare", "-b", "main", "app.git"]);
    git(&top, ["clone", "--quiet", "app.git", "work"]);
    let source = Source { work: top.join("work"), bare: top.join("app.git") };
    source.commit("main", files);
    source
}

struct Source {
    work: PathBuf,
    bare: PathBuf,
}

impl Source {
    fn commit(&self, branch: &str, files: &[(&str, &str)]) -> String {
        git(&self.work, ["checkout", "--quiet", "-B", branch]);
        for (path, text) in files {
            let path = self.work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            if path.ends_with("rules") {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        git(&self.work, ["add", "--all"]);
        git(&self.work, ["commit", "--quiet", "--allow-empty", "-m", "a change"]);
        git(&self.work, ["push", "--quiet", "origin", branch]);
        git(&self.work, ["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn path(&self) -> &str {
        self.bare.to_str().unwrap()
    }
}

/// The sources of a Debian package without anything in it.
const HELLO: [(&str, &str); 4] = [
    (
        "debian/control",
        "Source: hello\nSection: misc\nPriority: optional\nMaintainer: A <a@example.com>\nBuild-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\nPackage: hello\nArchitecture: all\nDescription: says hello\n It says so.\n",
    ),
    (
        "debian/changelog",
        "hello (1.0) unstable; urgency=medium\n\n  * First.\n\n -- A <a@example.com>  Wed, 29 Oct 2025 12:00:00 +0000\n",
    ),
    ("debian/rules", "#!/usr/bin/make -f\n%:\n\tdh $@\n"),
    ("debian/source/format", "3.0 (native)\n"),
];

#[test]
fn a_debian_package_is_built_and_without_it_the_build_failed() {
    if !need::is_here(&["dpkg-buildpackage", "dh", "fakeroot"]) {
        return;
    }
    let (fleet, ada) = founded();
    let source = source(&ada, &HELLO);
    let tip = source.commit("main", &[]);
    let build = ["--type", "build", "--branch", "main", "--produces", "*.deb"];
    let id = add(&ada, &[&build[..], &["--", "dpkg-buildpackage", "-us", "-uc", "-b"]].concat());
    let build_alone = "dpkg-buildpackage -us -uc -b";
    let run = ["job", "run", "--allow", build_alone, "--allow", "true", "--source", source.path()];
    ada.run(run).success();
    let done = inspect::job(fleet.hub(), &id);
    assert_eq!(
        (done["status"].as_str(), done["built_commit"].as_str()),
        (Some("completed"), Some(tip.as_str()))
    );
    assert_eq!(done["artifacts"], serde_json::json!(["hello_1.0_all.deb"]));
    let manifest = ada.run(["artifact", "list", &id, "--json"]).success().json();
    let file = Path::new(manifest["folder"].as_str().unwrap()).join("hello_1.0_all.deb");
    let told = Command::new("dpkg-deb").arg("-I").arg(&file).output().unwrap();
    assert!(
        told.status.success() && String::from_utf8_lossy(&told.stdout).contains("Package: hello"),
        "{told:?}"
    );
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    let sum = String::from_utf8_lossy(&sum.stdout).split(' ').next().unwrap().to_owned();
    let artifact = &manifest["artifacts"][0];
    assert_eq!(
        (artifact["sha256"].as_str(), artifact["size"].as_u64()),
        (Some(sum.as_str()), Some(fs::metadata(&file).unwrap().len()))
    );
    assert_eq!(
        (manifest["branch"].as_str(), manifest["commit"].as_str()),
        (Some("main"), Some(tip.as_str()))
    );

    let without = add(&ada, &[&build[..], &["--", "true"]].concat());
    ada.run(run).code(1);
    let failed = inspect::job(fleet.hub(), &without);
    assert_eq!(
        (failed["status"].as_str(), failed["reason"].as_str(), failed["exit_code"].as_i64()),
        (Some("failed"), Some("missing_artifact"), Some(0))
    );
    assert_eq!(failed["error_message"], "it made no file like `*.deb`");
}

#[test]
fn a_package_that_came_with_the_sources_is_none_that_was_built() {
    let (fleet, ada) = founded();
    let source = source(&ada, &[("old/hello.deb", "old"), ("touched.deb", "old")]);
    let run = ["job", "run", "--allow-any", "--source", source.path()];
    let build = ["--type", "build", "--branch", "main", "--produces", "*.deb", "--", "sh", "-c"];
    let id = add(&ada, &[&build[..], &["ls old/hello.deb touched.deb"]].concat());
    ada.run(run).code(1);
    assert_eq!(inspect::job(fleet.hub(), &id)["reason"], "missing_artifact");
    let id = add(&ada, &[&build[..], &["echo new >touched.deb"]].concat());
    ada.run(run).success();
    assert_eq!(inspect::job(fleet.hub(), &id)["artifacts"], serde_json::json!(["touched.deb"]));
}

#[test]
fn a_job_starts_in_a_checkout_of_what_it_names() {
    let (fleet, ada) = founded();
    let source = source(&ada, &[("file", "one")]);
    let first = source.commit("main", &[]);
    git(&source.work, ["tag", "v1"]);
    git(&source.work, ["push", "--quiet", "origin", "v1"]);
    let run = |id: &str, code: i32| {
        ada.run(["job", "run", id, "--allow-any", "--source", source.path()]).code(code);
        let log = ada.run(["job", "logs", id]).success();
        let lines = log.stdout().lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(_, text)| text)
            .filter(|text| !text.starts_with("git-muster:"))
            .collect::<Vec<_>>()
            .join("|")
    };
    let script = [
        "--",
        "sh",
        "-c",
        "cat file; echo; git rev-parse HEAD; git rev-parse --abbrev-ref HEAD; echo $MUSTER_JOB_COMMIT; git status --short; git describe --tags --always",
    ];
    let told = |words: &[&str]| run(&add(&ada, &[words, &script[..]].concat()), 0);
    assert_eq!(told(&["--branch", "main"]), format!("one|{first}|main|{first}|v1"));
    let second = source.commit("main", &[("file", "two")]);
    let third = source.commit("feature/x+y@1", &[("file", "three")]);
    assert_eq!(told(&["--branch", "main"]), format!("two|{second}|main|{second}|v1-1-g{}", &second[..7]));
    assert_eq!(
        told(&["--branch", "feature/x+y@1"]),
        format!("three|{third}|feature/x+y@1|{third}|v1-2-g{}", &third[..7])
    );
    assert_eq!(told(&["--branch", "main", "--commit", &first]), format!("one|{first}|HEAD|{first}|v1"));
    assert_eq!(told(&["--commit", &first[..10]]), format!("one|{first}|HEAD|{first}|v1"));
    assert_eq!(told(&["--commit", "v1"]), format!("one|{first}|HEAD|{first}|v1"));
    // A branch and a tag may be called like an id.
    source.commit(&first[..8], &[("file", "a branch")]);
    assert_eq!(told(&["--commit", &first[..8]]), format!("one|{first}|HEAD|{first}|v1"));
    source.commit("beef", &[]);
    let long = "release-candidate-for-the-autumn-of-2026-x1";
    for moved in [&first, &second] {
        git(&source.work, ["tag", "--force", long, moved]);
        git(&source.work, ["push", "--quiet", "--force", "origin", &format!("refs/tags/{long}")]);
        assert!(told(&["--commit", long]).contains(moved));
    }
    // What is not there is the job's fault and no reason to try again.
    for words in [
        ["--branch", "gone"],
        ["--branch", "--upload-pack=touch${IFS}x"],
        ["--commit", "HEAD~1"],
        ["--commit", "..."],
    ] {
        let words = [format!("{}={}", words[0], words[1])];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let id = add(&ada, &[&words[..], &script[..]].concat());
        run(&id, 126);
        assert_eq!(ended(&fleet, &id), "failed: script_failure");
    }
    // A source that is away is not.
    let id = add(&ada, &[&["--branch", "main"], &script[..]].concat());
    fs::rename(&source.bare, source.bare.with_extension("away")).unwrap();
    ada.run(["job", "run", &id, "--allow-any", "--source", source.path()]).code(1);
    assert_eq!(ended(&fleet, &id), "queued: worker_system_failure");
    let log = ada.run(["job", "logs", &id]).success();
    assert!(log.stdout().contains("cannot fetch `"), "{log}");
}

/// A commit can hold names that no folder can: that is no fault of the server, which goes on.
#[test]
fn what_cannot_be_checked_out_fails_its_own_job() {
    let (fleet, ada) = founded();
    let source = source(&ada, &[("file", "one")]);
    let blob = git(&source.work, ["rev-parse", "HEAD:file"]).trim().to_owned();
    let entry = format!("100644,{blob},{}", "x".repeat(300));
    git(&source.work, ["update-index", "--add", "--cacheinfo", &entry]);
    let tree = git(&source.work, ["write-tree"]).trim().to_owned();
    let commit = git(&source.work, ["commit-tree", "-m", "a name", &tree]).trim().to_owned();
    git(&source.work, ["push", "--quiet", "origin", &format!("{commit}:refs/heads/unusable")]);
    let id = add(&ada, &["--branch", "unusable", "--", "true"]);
    ada.run(["job", "run", &id, "--allow-any", "--source", source.path()]).code(126);
    assert_eq!(ended(&fleet, &id), "failed: script_failure");
    let log = ada.run(["job", "logs", &id]).success();
    assert!(log.stdout().contains("File name too long"), "{log}");
}

/// Whatever a killed git or a bad disk left of the copy, the next checkout works.
#[test]
fn a_broken_copy_of_the_source_is_mended() {
    let (fleet, ada) = founded();
    let source = source(&ada, &[("file", "one")]);
    let run = || {
        source.commit("main", &[]);
        let id = add(&ada, &["--branch", "main", "--", "cat", "file"]);
        ada.run(["job", "run", &id, "--allow-any", "--source", source.path()]).success();
        assert_eq!(inspect::job(fleet.hub(), &id)["status"], "completed");
    };
    run();
    let copies = ada.place("XDG_CACHE_HOME").join("git-muster/sources");
    let mut entries = fs::read_dir(copies).unwrap().map(|entry| entry.unwrap().path());
    let copy = entries.find(|path| path.is_dir()).unwrap();
    for lock in ["refs/heads/main.lock", "packed-refs.lock", "shallow.lock", "config.lock", "HEAD.lock"] {
        fs::write(copy.join(lock), "").unwrap();
    }
    run();
    fs::write(copy.join("HEAD"), "nonsense").unwrap();
    run();
    fs::remove_file(copy.join("HEAD")).unwrap();
    fs::write(copy.join("config"), "[broken").unwrap();
    run();
    fs::remove_dir_all(copy.join("objects")).unwrap();
    run();
    // A branch takes the place of a folder of branches.
    source.commit("topic", &[]);
    run();
    git(&source.work, ["push", "--quiet", "origin", ":topic", "HEAD:refs/heads/topic/deep"]);
    run();
}

#[test]
fn a_checkout_that_hangs_ends_with_the_jobs_time() {
    let (fleet, mut ada) = founded();
    let hung = ada.directory().join("hung-ssh");
    fs::write(&hung, "#!/bin/sh\nexec sleep 600\n").unwrap();
    git(ada.directory(), ["init", "--quiet", "unused"]);
    ada.set("GIT_SSH_COMMAND", format!("sh {}", hung.display()));
    let id = add(&ada, &["--branch", "main", "--timeout", "2s", "--", "true"]);
    ada.run(["job", "run", "--allow-any", "--source", "ssh://git@source.example/app.git"]).code(124);
    assert_eq!(inspect::job(fleet.hub(), &id)["reason"], "timeout");
}

#[test]
fn what_was_made_is_listed_compared_fetched_and_pruned() {
    let (fleet, ada) = founded();
    let bob = fleet.server("bob");
    let mut said = Transcript::new();
    let make = |text: &str| {
        let script = format!(
            "echo same >$MUSTER_ARTIFACTS/a.txt; echo {text} >b.deb; mkdir -p sub; echo {text} >sub/{text}.log"
        );
        let id = add(&ada, &["--produces", "*.deb", "--produces", "sub/*.log", "--", "sh", "-c", &script]);
        ada.run([
            "job",
            "run",
            "--allow-any",
            "--copy-max",
            "1",
            "--artifacts-url",
            "https://files.example/ci",
        ])
        .success();
        id
    };
    let one = make("one");
    // What is older is told by names with the second in them.
    let second = || Command::new("date").arg("+%s").output().unwrap().stdout;
    let before = second();
    eventually(Duration::from_secs(5), || second() != before);
    let two = make("two");
    said.name(&one, "<one>");
    said.name(&two, "<two>");
    let attempt = |id: &str| {
        let log = inspect::job(fleet.hub(), id)["log"].as_str().unwrap().to_owned();
        log.rsplit('/').next().unwrap().trim_end_matches(".log").to_owned()
    };
    said.name(&attempt(&one), "<attempt-one>");
    said.name(&attempt(&two), "<attempt-two>");
    let place =
        ada.run(["artifact", "list", &one, "--json"]).success().json()["folder"].as_str().unwrap().to_owned();
    said.name(place.split('/').rev().nth(2).unwrap(), "<hub>");
    said.run(&bob, "artifact list");
    said.run(&bob, &format!("artifact list {one}"));
    said.run(&ada, &format!("artifact verify {one}"));
    said.run(&bob, &format!("artifact verify {one}"));
    said.run(&bob, &format!("artifact compare {one} {two}"));
    said.run(&bob, &format!("artifact compare {one} {one} --json"));
    said.run(&bob, &format!("artifact get {one} b.deb --to fetched"));
    said.run(&bob, &format!("artifact get {one} b.deb --to fetched"));
    said.run(&bob, &format!("artifact get {one} c.deb"));
    said.run(&bob, &format!("artifact get {one} --to all"));
    said.run(&bob, &format!("artifact get {one} a.txt b.deb --to fetched"));
    said.run(&bob, &format!("artifact verify {one} --dir fetched"));
    // A write like any other.
    ada.run(["--if-lock", "never=1", "artifact", "prune", "--keep", "1"]).code(5);
    said.run(&ada, "artifact prune --keep 1 --dry-run");
    said.run(&ada, "artifact prune --keep 1");
    said.run(&ada, "artifact prune --keep 1");
    said.run(&bob, &format!("artifact list {one}"));
    said.run(&ada, &format!("artifact verify {two}"));
    assert_snapshot!(said, @r#"
    bob$ git muster artifact list
    AT  JOB  SERVER  BRANCH  COMMIT  FILES  BYTES
    [TIME]  <two>  ada  -  -  3  13
    [TIME]  <one>  ada  -  -  3  13
    [exit status: 0]
    bob$ git muster artifact list <one>
    on ada in [FLEET]/ada/data/git-muster/artifacts/<hub>/ada/<attempt-one>
    FILE  BYTES  SHA-256  WHERE
    a.txt  5  a6328afc76e9db71da297ebff4b0d3e7a7eb3b01d917c05a6573fef121b6ecb6  https://files.example/ci/<hub>/ada/<attempt-one>/a.txt, the hub, too
    b.deb  4  2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806  https://files.example/ci/<hub>/ada/<attempt-one>/b.deb, the hub, too
    sub/one.log  4  2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806  https://files.example/ci/<hub>/ada/<attempt-one>/sub/one.log, the hub, too
    [exit status: 0]
    ada$ git muster artifact verify <one>
    STATE  FILE
    same  a.txt
    same  b.deb
    same  sub/one.log
    [exit status: 0]
    bob$ git muster artifact verify <one>
    ------- stderr -------
    error: the artifacts of job `<one>` are not on this machine: no directory `[FLEET]/bob/data/git-muster/artifacts/<hub>/ada/<attempt-one>`
    hint: run this on `ada`, or pass the directory of your copies with `--dir`
    [exit status: 3]
    bob$ git muster artifact compare <one> <two>
    STATE  FILE
    same  a.txt
    differs  b.deb
    only in the first  sub/one.log
    only in the second  sub/two.log
    [exit status: 1]
    bob$ git muster artifact compare <one> <one> --json
    {"schema":1,"kind":"artifact_comparison","first":"<one>","second":"<one>","same":true,
      "files":[{"file":"a.txt","state":"same"},{"file":"b.deb","state":"same"},{"file":"sub/one.log",
      "state":"same"}]}
    [exit status: 0]
    bob$ git muster artifact get <one> b.deb --to fetched
    fetched/b.deb is written
    [exit status: 0]
    bob$ git muster artifact get <one> b.deb --to fetched
    fetched/b.deb already exists
    [exit status: 0]
    bob$ git muster artifact get <one> c.deb
    ------- stderr -------
    error: job `<one>` has no artifact `c.deb`; nothing was written
    hint: list its artifacts with `git muster artifact list <one>`
    [exit status: 3]
    bob$ git muster artifact get <one> --to all
    all/a.txt is written
    all/b.deb is written
    all/one.log is written
    [exit status: 0]
    bob$ git muster artifact get <one> a.txt b.deb --to fetched
    fetched/a.txt is written
    fetched/b.deb already exists
    [exit status: 0]
    bob$ git muster artifact verify <one> --dir fetched
    STATE  FILE
    same  a.txt
    same  b.deb
    missing  sub/one.log
    [exit status: 1]
    ada$ git muster artifact prune --keep 1 --dry-run
    dry run, not done: 1 build removed, 1 kept
    ------- stderr -------
    warning: dry run: nothing was written
    <attempt-one>
    [exit status: 0]
    ada$ git muster artifact prune --keep 1
    1 build removed, 1 kept
    ------- stderr -------
    <attempt-one>
    [exit status: 0]
    ada$ git muster artifact prune --keep 1
    0 builds removed, 1 kept
    [exit status: 0]
    bob$ git muster artifact list <one>
    ------- stderr -------
    error: job `<one>` has no artifacts, or they were pruned
    hint: list artifacts with `git muster artifact list`
    [exit status: 3]
    ada$ git muster artifact verify <two>
    STATE  FILE
    same  a.txt
    same  b.deb
    same  sub/two.log
    [exit status: 0]
    "#);
    let left = inspect::content(fleet.hub(), "logs-ada", &format!("ada/artifacts/{}/b.deb", attempt(&one)));
    assert_eq!(left, None);
    assert!(!Path::new(&place).exists(), "the files are gone from the server that made them");
    let kept = inspect::content(fleet.hub(), "logs-ada", &format!("ada/artifacts/{}/b.deb", attempt(&two)));
    assert_eq!(kept.as_deref(), Some(&b"two\n"[..]));
    let manifest = ada.run(["artifact", "list", &two, "--json"]).success().json();
    fs::write(Path::new(manifest["folder"].as_str().unwrap()).join("b.deb"), "other").unwrap();
    ada.run(["artifact", "verify", &two]).code(1);
    ada.run(["artifact", "get", &two, "b.deb", "--to", "broken"]).code(1);
}

#[test]
fn what_is_too_large_to_be_read_ends_with_the_jobs_time() {
    let (fleet, ada) = founded();
    let script = "truncate -s 4T huge.deb && exec sleep 0";
    let id = add(
        &ada,
        &["--produces", "*.deb", "--timeout", "3s", "--max-attempts", "1", "--", "sh", "-c", script],
    );
    ada.run(["job", "run", "--allow-any"]).code(124);
    assert_eq!(inspect::job(fleet.hub(), &id)["reason"], "timeout");
    let kept = ada.place("XDG_DATA_HOME").join("git-muster/artifacts");
    let found = ada.program("find").args([kept.as_os_str(), "-type".as_ref(), "f".as_ref()]).run();
    assert_eq!(found.stdout(), "");
}

#[test]
fn a_job_gets_what_the_one_it_needs_has_made() {
    let (fleet, ada) = founded();
    let bob = fleet.server("bob");
    let built = add(&ada, &["--produces", "*.deb", "--", "sh", "-c", "echo package >it.deb"]);
    ada.run(["job", "run", "--allow-any", "--copy-max", "1"]).success();
    let program = env!("CARGO_BIN_EXE_git-muster");
    let script = format!("{program} artifact get $MUSTER_JOB_NEEDS it.deb && cat it.deb");
    let test = add(&ada, &["--needs", &built, "--", "sh", "-c", &script]);
    bob.run(["job", "run", "--allow-any", "--env", "MUSTER_HUB", "--env", "XDG_STATE_HOME"]).success();
    let log = bob.run(["job", "logs", &test]).success();
    assert!(log.stdout().ends_with(" package\n"), "{log}");
}

/// What fails on every server is no fault of this one, which goes on.
#[test]
fn hostile_artifacts_fail_their_own_job_and_nothing_else() {
    let (fleet, ada) = founded();
    let dear = ada.directory().join("dear");
    fs::create_dir(&dear).unwrap();
    fs::write(dear.join("file"), "dear").unwrap();
    let reason = |script: &str, code: i32| {
        let id = add(&ada, &["--", "sh", "-c", script]);
        ada.run(["job", "run", "--allow-any"]).code(code);
        inspect::job(fleet.hub(), &id)["reason"].as_str().map(str::to_owned)
    };
    let many = "i=0; while [ $i -le 200 ]; do : >$MUSTER_ARTIFACTS/$i; i=$((i+1)); done";
    let failed = Some("script_failure".to_owned());
    assert_eq!(reason(many, 126), failed);
    let link = format!("rmdir $MUSTER_ARTIFACTS; ln -s {} $MUSTER_ARTIFACTS", dear.display());
    assert_eq!(reason(&link, 0), None);
    assert_eq!(fs::read_to_string(dear.join("file")).unwrap(), "dear");
    assert_eq!(reason("printf x >$MUSTER_ARTIFACTS/$(printf 'caf\\351').deb; echo $MUSTER_JOB_ID", 0), None);
    let log = ada.run(["job", "list", "--json"]).success().json();
    let last = log
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["command"][2].as_str().unwrap().contains("caf"))
        .unwrap();
    let log = ada.run(["job", "logs", last["id"].as_str().unwrap()]).success();
    assert!(log.stdout().contains("not kept, because of its name: artifacts/caf"), "{log}");
    // Nor does anybody else make a document too large to be read.
    let id = add(&ada, &["--type", "build"]);
    ada.run(["job", "claim", &id]).success();
    let names: Vec<String> = (0..300).flat_map(|n| ["--artifact".to_owned(), format!("{n}")]).collect();
    let mut words = vec!["job", "complete", &id, "--token", "1"];
    words.extend(names.iter().map(String::as_str));
    let run = ada.run(words).code(2);
    assert!(run.stderr().contains("pack the files into an archive"), "{run}");
    let wrong = ada.run(["worker", "run", "--allow-any", "--source", "/nowhere.git"]).code(78);
    assert!(wrong.stderr().contains("nothing was claimed"), "{wrong}");
}

#[test]
fn a_kept_file_is_compared_where_it_was_written() {
    let (_fleet, ada) = founded();
    let id =
        add(&ada, &["--", "sh", "-c", "mkdir $MUSTER_ARTIFACTS/dist; echo good >$MUSTER_ARTIFACTS/dist/x"]);
    ada.run(["job", "run", "--allow-any"]).success();
    let out = ada.directory().join("out");
    fs::create_dir_all(out.join("dist")).unwrap();
    fs::write(out.join("dist/x"), "good\n").unwrap();
    let manifest = ada.run(["artifact", "list", &id, "--json"]).success().json();
    let kept = Path::new(manifest["folder"].as_str().unwrap()).join("dist/x");
    fs::write(&kept, "evil\n").unwrap();
    ada.run(["artifact", "get", &id, "dist/x", "--to", "out"]).code(1);
    assert!(!out.join("x").exists());
    fs::write(&kept, "good\n").unwrap();
    fs::write(out.join("dist/x"), "old\n").unwrap();
    ada.run(["artifact", "get", &id, "dist/x", "--to", "out"]).success();
    assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "good\n");
    fs::remove_file(out.join("x")).unwrap();
    std::os::unix::fs::symlink("elsewhere", out.join("x")).unwrap();
    ada.run(["artifact", "get", &id, "dist/x", "--to", "out"]).code(4);
    assert!(!out.join("elsewhere").exists());
}

#[test]
fn a_server_of_two_hubs_keeps_apart_what_their_jobs_make() {
    let (fleet, ada) = founded();
    let other = Fleet::new();
    let second = other.hub().url();
    ada.run(["--hub", &second, "init"]).success();
    ada.run(["join", &second, "--as", "ada"]).success();
    let make = |hub: &str| {
        let id =
            ada.run(["--hub", hub, "job", "add", "--", "sh", "-c", "echo x >$MUSTER_ARTIFACTS/x"]).success();
        ada.run(["--hub", hub, "job", "run", "--allow-any"]).success();
        id.stdout().trim().to_owned()
    };
    let first = fleet.hub().url();
    let id = make(&first);
    make(&second);
    ada.run(["--hub", &second, "artifact", "prune", "--keep", "0"]).success();
    ada.run(["--hub", &first, "artifact", "verify", &id]).success();
}

#[test]
fn a_claim_from_a_shell_is_not_completed_without_what_it_must_make() {
    let (_fleet, ada) = founded();
    let mut said = Transcript::new();
    let id = add(&ada, &["--produces", "*.deb"]);
    said.name(&id, "<job>");
    said.run(&ada, &format!("job claim {id}"));
    said.run(&ada, &format!("job complete {id} --token 1"));
    said.run(&ada, &format!("job fail {id} --token 1 --reason missing_artifact --exit-code 0"));
    said.run(&ada, &format!("job retry {id}"));
    said.run(&ada, &format!("job claim {id}"));
    said.run(&ada, &format!("job complete {id} --token 2 --artifact out/it_1.deb --commit 4f2c1d9"));
    said.run(&ada, "job add --produces /srv/*.deb");
    assert_snapshot!(said, @r"
    ada$ git muster job claim <job>
    <job> token 1 build
    [exit status: 0]
    ada$ git muster job complete <job> --token 1
    ------- stderr -------
    error: cannot complete job `<job>`: none of its artifacts matches `*.deb`, which is required
    hint: name the artifact with `--artifact FILE`, or report `git muster job fail ID --reason missing_artifact`
    [exit status: 4]
    ada$ git muster job fail <job> --token 1 --reason missing_artifact --exit-code 0
    <job> is failed
    [exit status: 0]
    ada$ git muster job retry <job>
    <job> is queued
    [exit status: 0]
    ada$ git muster job claim <job>
    <job> token 2 build
    [exit status: 0]
    ada$ git muster job complete <job> --token 2 --artifact out/it_1.deb --commit [COMMIT]
    <job> is completed
    [exit status: 0]
    ada$ git muster job add --produces /srv/*.deb
    ------- stderr -------
    error: no job was added: invalid pattern `/srv/*.deb`: give names of files below the job's folder, such as `*.deb`
    [exit status: 2]
    ");
}

#[test]
fn good_builds_are_tagged_and_found_again() {
    let (fleet, ada) = founded();
    let source = source(&ada, &[("file", "one")]);
    let mut said = Transcript::new();
    said.name(source.path(), "<source>");
    let place = format!("--source {}", source.path());
    said.run(&ada, &format!("rollback list {place}"));
    said.run(&ada, &format!("rollback last-good {place}"));
    let build = |kind: &str, branch: &str, script: &str, code: i32| {
        let id = add(&ada, &["--type", kind, "--branch", branch, "--", "sh", "-c", script]);
        ada.run(["job", "run", &id, "--allow-any", "--source", source.path(), "--tag-builds", "2"])
            .code(code);
        id
    };
    let builds: Vec<(String, String)> = (0..3)
        .map(|n| {
            let commit = source.commit("main", &[("file", &n.to_string())]);
            // A tag of ours would change what the second build of a commit is called.
            (build("build", "main", "! git describe --tags", 0), commit)
        })
        .collect();
    // Of a commit without a tag: one that has one is not tagged again, whatever is built of it.
    source.commit("main", &[("file", "failed")]);
    build("build", "main", "false", 1);
    source.commit("main", &[("file", "tested")]);
    build("test", "main", "true", 0);
    let topic = source.commit("topic", &[("file", "topic")]);
    build("build", "topic", "true", 0);
    let list = || ada.run(["rollback", "list", "--source", source.path(), "--json"]).success().json();
    let tags = list();
    let tagged: Vec<(&str, &str)> = tags
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| (tag["branch"].as_str().unwrap(), tag["commit"].as_str().unwrap()))
        .collect();
    let of = |branch: &str| -> Vec<&str> {
        tagged.iter().filter(|(name, _)| *name == branch).map(|(_, commit)| *commit).collect()
    };
    assert_eq!((of("main"), of("topic")), (vec![builds[2].1.as_str(), &builds[1].1], vec![topic.as_str()]));
    let last = ada.run(["rollback", "last-good", "--source", source.path(), "--branch", "main"]).success();
    assert_eq!(last.stdout().trim(), builds[2].1);
    // An older build takes the place of no newer one, and a build is tagged once.
    let older = ada.run(["rollback", "tag", &builds[0].0, "--source", source.path(), "--keep", "2"]).code(4);
    assert!(older.stderr().contains("is older than the 2 newest builds, whose tags are kept"), "{older}");
    ada.run(["rollback", "tag", &builds[2].0, "--source", source.path(), "--keep", "2"]).success();
    assert_eq!(list(), tags);
    // The first of them would get a tag again if more of them stayed.
    let dry = ["rollback", "tag", &builds[0].0, "--source", source.path(), "--dry-run"];
    assert!(ada.run(dry).success().stdout().starts_with("dry run, not done: "));
    assert_eq!(list(), tags, "a dry run tags nothing");
    let queued = add(&ada, &["--branch", "main"]);
    said.name(&queued, "<queued>");
    said.run(&ada, &format!("rollback tag {queued} {place}"));
    said.run(&ada, &format!("rollback list --branch none {place}"));
    assert_snapshot!(said, @r"
    ada$ git muster rollback list --source <source>
    ------- stderr -------
    no good builds are tagged there; tag them with `worker run --tag-builds`
    [exit status: 0]
    ada$ git muster rollback last-good --source <source>
    ------- stderr -------
    error: no good builds found
    hint: list good builds with `git muster rollback list --source SOURCE`; tag them with `worker run --tag-builds`
    [exit status: 3]
    ada$ git muster rollback tag <queued> --source <source>
    ------- stderr -------
    error: job `<queued>` is queued, not completed; nothing was tagged
    [exit status: 4]
    ada$ git muster rollback list --branch none --source <source>
    ------- stderr -------
    no good builds are tagged there; tag them with `worker run --tag-builds`
    [exit status: 0]
    ");
    drop(fleet);
}
