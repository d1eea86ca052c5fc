//! `import`: hubs as the first scripts left them.

use crate::support::{Fleet, Host, MAIN, inspect};
use serde_json::{Value, json};

/// A message as a script of 2025 wrote it.
fn message(id: &str, from: &str, to: &str) -> Value {
    json!({"id": id, "from": from, "to": to, "type": "info", "subject": "s", "body": id,
           "timestamp": "2025-11-13 01:00", "read": false})
}

fn table(field: &str, rows: &[Value]) -> String {
    serde_json::to_string_pretty(&json!({field: rows})).unwrap() + "\n"
}

fn ids(host: &Host, hub: &str, noun: &str) -> Vec<String> {
    let listed = host.run(["--hub", hub, noun, "list", "--json"]).success().json();
    listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// A hub in which everything went wrong that can: conflict markers in the messages, jobs that end too
/// early, an empty beat, a byte order mark, a server without a registry.
fn battered() -> (Fleet, Host) {
    let fleet = Fleet::new();
    let before: Vec<Value> = (0..3).map(|n| message(&format!("msg_{n}"), "build1", "build2")).collect();
    fleet.hub().put(MAIN, &[("coordination/messages.json", table("messages", &before))], "messages");
    let [ours, theirs, twice] = [
        message("msg_a", "build1", "build2"),
        message("msg_b", "build2", "build1"),
        message("msg_a", "code2", "all"),
    ];
    let marked = format!(
        "{{\"messages\":[\n{twice},\n<<<<<<< HEAD\n{ours}\n=======\n{theirs}\n>>>>>>> 674624c0\n]}}\n"
    );
    let cut = r#"{"jobs":[{"id":"job_1761778190_1804","type":"test","status":"queued","created_at":"2025-10-29T22:49:50Z"},
        {"id":"job_2","type":"x","status":"queued","attempts":-1,"created_at":"2045-10-29T22:49:50Z"},{"id":"job_3","sta"#;
    let status = r#"{"server_id":"build3","timestamp":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","status":"online"}"#;
    fleet.hub().put(
        MAIN,
        &[
            ("coordination/messages.json", marked.as_str()),
            ("coordination/jobs.json", cut),
            ("coordination/locks.json", "\u{feff}{\"locks\":{\"job_assignment\":{\"locked_by\":null}}}"),
            (
                "build1/heartbeat.json",
                r#"{"server":"build1","timestamp":"2025-11-05T13:31:00Z","healthy":true}"#,
            ),
            ("build2/heartbeat.json", ""),
            // What a template holds is no sign of use.
            ("build4/heartbeat.json", r#"{"server":"build4","timestamp":null}"#),
            ("build3/status.json", status),
            ("messages/notes.txt", "FROM: build1\n"),
        ],
        "battered",
    );
    let host = fleet.host("admin");
    (fleet, host)
}

#[test]
fn a_battered_hub_is_told_line_by_line_and_left_alone() {
    let (fleet, admin) = battered();
    let before = fleet.hub().git(["for-each-ref"]);
    let url = fleet.hub().url();
    let run = admin.run(["import", &url, "--check", "--recover", "--json"]).code(1);
    let report = run.json();
    assert_eq!((&report["sound"], &report["mendable"], &report["broken"]), (&json!(3), &json!(3), &json!(1)));
    let lines: Vec<(&str, &str)> = report["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["path"].as_str().unwrap(), line["state"].as_str().unwrap()))
        .collect();
    for line in [
        ("build1/heartbeat.json", "sound"),
        ("build2/heartbeat.json", "mendable"),
        ("coordination/jobs.json", "broken"),
        ("coordination/locks.json", "mendable"),
        ("coordination/messages.json", "mendable"),
    ] {
        assert!(lines.contains(&line), "{line:?} {run}");
    }
    assert_eq!(report["recovered_messages"], 3);
    assert_eq!(report["registered"], json!(["build1", "build2", "build3"]));
    assert_eq!(fleet.hub().git(["for-each-ref"]), before, "nothing was changed");
    let said = admin.run(["import", &url, "--check"]).code(1);
    assert!(said.stderr().contains(&format!("`git muster import {url}` fixes it")), "{said}");
}

#[test]
fn a_battered_hub_is_mended_where_it_is_without_losing_a_record() {
    let (fleet, admin) = battered();
    let url = fleet.hub().url();
    let commits = inspect::log(fleet.hub(), MAIN).len();
    let was = inspect::content(fleet.hub(), MAIN, "coordination/jobs.json").unwrap();
    let report = admin.run(["import", &url, "--recover", "--json"]).success().json();
    assert_eq!(inspect::log(fleet.hub(), MAIN).len(), commits + 1, "in one commit");
    assert_eq!(ids(&admin, &url, "message"), ["msg_a", "msg_a_2", "msg_b", "msg_0", "msg_1", "msg_2"]);
    assert_eq!(ids(&admin, &url, "job"), ["job_1761778190_1804", "job_2"]);
    assert_eq!(ids(&admin, &url, "servers"), ["build1", "build2", "build3"], "whose folders are in use");
    let aside: Vec<&str> =
        report["aside"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(aside.len(), 2, "{aside:?}");
    let kept = aside.iter().find(|path| path.ends_with("/coordination/jobs.json")).unwrap();
    assert_eq!(inspect::content(fleet.hub(), MAIN, kept).unwrap(), was, "byte for byte");
    assert_eq!(inspect::job(fleet.hub(), "job_2")["unreadable_attempts"], -1);
    admin.run(["fsck", "--history"]).success();
    // A second time there is nothing to do, and nothing is written.
    let tip = fleet.hub().tip(MAIN);
    admin.run(["import", &url, "--check"]).success();
    admin.run(["import", &url]).success();
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

#[test]
fn a_hub_is_taken_over_into_a_new_one() {
    let (fleet, admin) = battered();
    let (old, tip) = (fleet.hub().url(), fleet.hub().tip(MAIN));
    let new = admin.directory().join("new.git").display().to_string();
    let run = admin.run(["import", &old, "--into", &new, "--close-jobs-older-than", "7d"]).success();
    assert!(run.stdout().contains("1 job closed: job_1761778190_1804"), "{run}");
    assert_eq!(fleet.hub().tip(MAIN), tip, "the old one stays as it is");
    admin.run(["--hub", &new, "fsck", "--history"]).success();
    let build1 = fleet.host("build1");
    build1.run(["join", &new, "--as", "build1"]).success();
    let claimed = build1.run(["--hub", &new, "job", "claim", "--json"]).success().json();
    assert_eq!(claimed["id"], "job_2", "the old one is not handed to the first claim: {claimed}");
    // What is in use is not mixed with another hub's records, and the hint works.
    let refused = admin.run(["import", &old, "--into", &new]).code(4);
    assert!(refused.stderr().contains("omit `--into`"), "{refused}");
    admin.run(["import", &old]).success();
    admin.run(["import", &old, "--into", &old]).code(2);
    admin.run(["import", &admin.directory().join("no.git").display().to_string(), "--check"]).code(7);
}

/// A new hub beside the old one.
fn new_hub(admin: &Host, name: &str) -> String {
    let new = admin.directory().join(name).display().to_string();
    admin.run(["init", &new]).success();
    new
}

#[test]
fn what_others_rely_on_is_not_taken_away_by_another_hubs_documents() {
    let (fleet, admin) = battered();
    let old = fleet.hub().url();
    for (what, begin, end) in [
        (
            "1 held lock",
            &["lock", "acquire", "deploy"][..],
            &["lock", "release", "deploy", "--token", "1"][..],
        ),
        ("1 mark of what was done once", &["once", "done", "migrate", "--token", "1"], &[]),
    ] {
        let new = new_hub(&admin, &format!("{}.git", begin[0]));
        let on = |words: &[&str]| admin.run([&["--hub", &new, "--server", "eve"], words].concat());
        if begin[0] == "once" {
            on(&["once", "do", "migrate"]).success();
        }
        on(begin).success();
        for more in [&[][..], &["--dry-run"]] {
            let words = [more, &["import", &old, "--into", &new]].concat();
            let refused = admin.run(words).code(4);
            assert!(
                refused.stderr().contains(&format!("the hub is in use; it contains {what}\n")),
                "{refused}"
            );
        }
        if !end.is_empty() {
            on(end).success();
            admin.run(["import", &old, "--into", &new]).success();
        }
    }
}

#[test]
fn a_hub_without_records_keeps_the_tokens_that_it_gave_its_pauses_and_its_build_configuration() {
    let (fleet, admin) = battered();
    let old = fleet.hub().url();
    let tokens = r#"{"tokens":{"deploy":{"token":2},"other":{"token":8}}}"#;
    let pauses = r#"{"pauses":[{"id":"queue","reason":"theirs"},{"id":"label:gpu","reason":"theirs"}]}"#;
    let config = r#"{"artifacts":{"keep":3}}"#;
    let theirs = [
        ("coordination/tokens.json", tokens),
        ("coordination/pauses.json", pauses),
        ("shared/build_config.json", config),
    ];
    fleet.hub().put(MAIN, &theirs, "an old hub in use");
    let new = new_hub(&admin, "new.git");
    let on = |words: &[&str]| admin.run([&["--hub", &new, "--server", "eve"], words].concat());
    for token in ["1", "2", "3"] {
        on(&["lock", "acquire", "deploy"]).success();
        on(&["lock", "release", "deploy", "--token", token]).success();
    }
    on(&["queue", "pause", "--note", "ours"]).success();
    let script = "git clone --quiet \"$0\" edited && cd edited && echo '{\"artifacts\":{\"keep\":7}}' > \
        shared/build_config.json && git -c user.name=a -c user.email=a@x commit --quiet -am edited && git push --quiet";
    admin.program("sh").args(["-c", script, &new]).run().success();
    admin.run(["import", &old, "--into", &new]).success();
    on(&["queue", "resume", "--label", "gpu"]).success();
    let listed = on(&["queue", "list"]).success();
    assert!(listed.stdout().contains("ours") && !listed.stdout().contains("theirs"), "{listed}");
    let kept = on(&["config", "build", "--json"]).success();
    assert!(kept.stdout().contains('7'), "{kept}");
    for (name, next) in [("deploy", "4"), ("other", "9")] {
        assert_eq!(on(&["lock", "acquire", name]).success().stdout().trim(), next, "{name}");
    }
}

#[test]
fn what_is_no_hub_is_not_made_one() {
    let fleet = Fleet::new();
    fleet.hub().put(MAIN, &[("README.md", "a project")], "a project");
    let tip = fleet.hub().tip(MAIN);
    let admin = fleet.host("admin");
    for args in [&["--check"][..], &[]] {
        admin.run(["import", &*fleet.hub().url()].iter().copied().chain(args.iter().copied())).code(78);
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

/// What `git muster import` says of a document of a hub, and whether it took it for no JSON.
fn line_of(report: &Value, path: &str) -> (String, String) {
    let lines = report["lines"].as_array().unwrap().iter().filter(|line| line["path"] == path);
    let first = lines.clone().next().unwrap_or_else(|| panic!("{report:#}"));
    let all: Vec<&str> = lines.map(|line| line["what"].as_str().unwrap()).collect();
    (first["state"].as_str().unwrap().to_owned(), all.join("; "))
}

#[test]
fn what_is_sound_is_not_called_no_json() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (path, text, state, said) in [
        ("coordination/jobs.json", r#"{"jobs": [{"id": "a"}], "\udce9": 1}"#.to_owned(), "sound", "1 job"),
        (
            "coordination/jobs.json",
            format!(r#"{{"jobs": [{{"id": "a"}}], "x": {}}}"#, deep(120)),
            "sound",
            "1 job",
        ),
        (
            "coordination/jobs.json",
            format!(r#"{{"jobs": [{{"id": "a"}}, {{"id": "b", "x": {}}}]}}"#, deep(120)),
            "broken",
            "1 job; it nests deeper than 100 levels",
        ),
        (
            "coordination/locks.json",
            r#"{"locks": {"deploy": {"token": 3}, "\udce9": {"token": 1}}}"#.to_owned(),
            "mendable",
            "2 locks; half a character in its name becomes a replacement sign",
        ),
    ] {
        let fleet = Fleet::new();
        let admin = fleet.host("admin");
        fleet.hub().put(MAIN, &[(path, text.as_str())], "as it was");
        let url = fleet.hub().url();
        let check = admin.run(["import", &url, "--check", "--json"]).json();
        assert_eq!(line_of(&check, path), (state.to_owned(), said.to_owned()), "{text}");
        admin.run(["import", &url]).success();
        let after = String::from_utf8(inspect::content(fleet.hub(), MAIN, path).unwrap()).unwrap();
        if state == "sound" {
            assert_eq!(after, text);
        }
        admin.run(["--hub", &url, "job", "list"]).success();
        admin.run(["--hub", &url, "lock", "list"]).success();
    }
}

#[test]
fn a_link_or_a_folder_in_the_place_of_a_document_stops_no_import() {
    for path in ["coordination/jobs.json", "coordination/locks.json", "build1/status.json"] {
        let fleet = Fleet::new();
        let admin = fleet.host("admin");
        let jobs = table(
            "jobs",
            &[json!({"id": "job_1", "type": "x", "status": "queued", "created_at": "2045-01-01T00:00:00Z"})],
        );
        fleet.hub().put(
            MAIN,
            &[
                ("coordination/jobs.json", jobs.as_str()),
                ("coordination/locks.json", "{\"locks\": {\"deploy\": {\"locked_by\": null}}}\n"),
                ("build1/status.json", "{\"server_id\": \"build1\", \"status\": \"idle\"}\n"),
            ],
            "as it was",
        );
        for is_link in [true, false] {
            let clone = fleet.host_in_clone(if is_link { "linker" } else { "nester" });
            let place = clone.directory().join(path);
            std::fs::remove_file(&place).unwrap();
            if is_link {
                std::os::unix::fs::symlink("elsewhere", &place).unwrap();
            } else {
                std::fs::create_dir(&place).unwrap();
                std::fs::write(place.join("x"), "x").unwrap();
            }
            clone.git(["add", "--all"]).success();
            clone.git(["commit", "--quiet", "-m", "no file"]).success();
            clone.git(["push", "--quiet", "origin", MAIN]).success();
            let url = fleet.hub().url();
            let check = admin.run(["import", &url, "--check", "--json"]).code(1).json();
            let (state, what) = line_of(&check, path);
            assert!(state == "broken" && what.contains("it is not a file"), "{check:#}");
            admin.run(["import", &url, "--recover"]).success();
            for noun in ["job", "lock", "status"] {
                admin.run(["--hub", &url, noun, "list"]).success();
            }
            assert_eq!(ids(&admin, &url, "job"), ["job_1"], "{path}");
            admin.run(["--hub", &url, "fsck"]).success();
        }
    }
}

#[test]
fn what_import_calls_sound_or_has_mended_is_no_error_to_fsck() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let url = fleet.hub().url();
    let jobs = r#"{"jobs":[{"id":"a","status":"queued","status":"failed"}]}"#;
    let locks = r#"{"locks":{"x":{"locked_by":"ada","token":4503599627370495},"y":{"locked_by":null,"token":9999999999999999}}}"#;
    let documents = [("coordination/jobs.json", jobs), ("coordination/locks.json", locks)];
    fleet.hub().put(MAIN, &documents, "by hand");
    assert!(ada.run(["fsck"]).code(1).stdout().contains("error: "));
    let check = ada.run(["import", &url, "--check", "--json"]).code(1).json();
    assert_eq!(check["mendable"], 2, "{check:#}");
    ada.run(["import", &url]).success();
    let fsck = ada.run(["fsck", "--json"]).success().json();
    let errors = fsck["findings"].as_array().unwrap().iter().filter(|one| one["severity"] == "error");
    assert_eq!(errors.count(), 0, "{fsck:#}");
    // Tokens go on.
    ada.run(["lock", "acquire", "y"]).success();
}
