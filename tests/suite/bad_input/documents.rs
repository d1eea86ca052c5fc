//! Documents that cannot be used, and texts that are too long.

use super::two_servers;
use crate::support::{MAIN, inspect};
use std::fs::File;

const JOBS: &str = "coordination/jobs.json";
const LOCKS: &str = "coordination/locks.json";
const MESSAGES: &str = "coordination/messages.json";
const SERVERS: &str = "coordination/servers.json";
const STATUS: &str = "ada/status.json";
const HEARTBEAT: &str = "ada/heartbeat.json";

/// A document, a command that reads it and one that writes it.
const DOCUMENTS: [(&str, &str, &str); 6] = [
    (JOBS, "job list", "job add --type build"),
    (LOCKS, "lock list", "lock acquire deploy"),
    (MESSAGES, "message list", "message send --to bob --subject hi"),
    (SERVERS, "servers list", "servers remove bob"),
    (STATUS, "status show ada", "status set idle"),
    (HEARTBEAT, "servers list", "heartbeat --on-main"),
];

/// What breaks any document, and what the error has to say about it.
fn broken() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (
            b"{\n<<<<<<< HEAD\n  \"a\": 1\n=======\n  \"a\": 2\n>>>>>>> theirs\n}\n".to_vec(),
            "merge conflict markers; key must be a string at line 2 column 1",
        ),
        (b"{\n  \"timestamp\": \"2025-".to_vec(), "line 2 column 21"),
        (b"".to_vec(), "it is empty"),
        (b" \n\t\n".to_vec(), "it is empty"),
        (b"\xef\xbb\xbf".to_vec(), "it is empty"),
        (
            b"{\"timestamp\": \"\xff\xfe\"}".to_vec(),
            "it is not UTF-8 text: invalid utf-8 sequence of 1 bytes from index 15",
        ),
        (b"null".to_vec(), "invalid type: null"),
        (b"17\n".to_vec(), "invalid type: "),
        (b"{} {}".to_vec(), "trailing characters at line 1 column 4"),
        ([b"[".repeat(101), b"]".repeat(101)].concat(), "it nests deeper than 100 levels"),
        (vec![b'['; 1_000_000], "it nests deeper than 100 levels"),
        (vec![b' '; 32 * 1024 * 1024 + 1], "it has 33554433 bytes, more than the 33554432 allowed"),
    ]
}

/// What is no table or record as a whole, and what the error has to say about it.
const MISSHAPEN: &[(&str, &str, &str)] = &[
    (JOBS, "{\"jobs\": {}}", "`jobs` is not a list"),
    (JOBS, "{\"jobs\": \"none\"}", "`jobs` is not a list"),
    (JOBS, "{\"jobs\": [], \"jobs\": []}", "it holds `jobs` twice"),
    (LOCKS, "{\"locks\": []}", "`locks` is not an object"),
    (LOCKS, "[]", "`locks` is not an object"),
    (
        MESSAGES,
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "it is a pointer of Git LFS in place of the document",
    ),
    (STATUS, "[]", "invalid type: sequence, expected an object"),
    (STATUS, "{\"current_job\": []}", "current_job: invalid type: sequence, expected an object"),
    (STATUS, "{\"last_build\": \"ok\"}", "last_build: invalid type: string"),
    (STATUS, "{\"status\": []}", "status: a list where a text belongs"),
    (STATUS, "{\"current_job\": {\"id\": {}}}", "current_job.id: an object where a text belongs"),
    (STATUS, "{\"system\": {\"cpu_usage\": \"high\"}}", "system.cpu_usage: invalid type"),
    (HEARTBEAT, "[1]", "invalid type: sequence, expected an object"),
    (HEARTBEAT, "{\"system\": []}", "system: invalid type: sequence"),
    (HEARTBEAT, "{\"timestamp\": {}}", "timestamp: an object where a time belongs"),
    (HEARTBEAT, "{\"running\": [1]}", "running[0]: invalid type"),
];

/// A record that cannot be read, and where and why that is told.
const RECORDS: &[(&str, &str, &str)] = &[
    (JOBS, "null", "jobs[1]: invalid type: null"),
    (JOBS, r#"{"id": "bad", "command": [[1]]}"#, "jobs[1]: command: a list where a text belongs"),
    (JOBS, r#"{"id": "bad", "attempts": -1}"#, "jobs[1]: attempts: the number must be whole"),
    (JOBS, r#"{"id": "bad", "timeout_seconds": 1e300}"#, "jobs[1]: timeout_seconds: the number must be"),
    (JOBS, r#"{"id": "bad", "status": null}"#, "jobs[1]: status: "),
    (JOBS, r#"{"id": "bad", "description": "\udce9"}"#, "jobs[1]: it holds what is no Unicode"),
    (LOCKS, "null", "locks.bad: invalid type: null"),
    (LOCKS, r#"{"locked_by": ["a"]}"#, "locks.bad: locked_by: a list where a text belongs"),
    (LOCKS, r#"{"token": -1}"#, "locks.bad: token: the number must be whole"),
    (MESSAGES, "null", "messages[1]: invalid type: null"),
    (MESSAGES, r#"{"id": "bad", "body": {"a": 1}}"#, "messages[1]: body: an object where a text belongs"),
    (MESSAGES, r#"{"id": "bad", "read_by": [[]]}"#, "messages[1]: read_by: a list where a server belongs"),
    (SERVERS, r#"{"id": "bad", "labels": {}}"#, "an object where a list of texts belongs"),
    (SERVERS, "true", "servers[1] of coordination/servers.json: invalid type"),
];

/// A document in which a record stands between two that are well.
fn among_others(path: &str, record: &str) -> String {
    match path {
        LOCKS => format!(r#"{{"locks": {{"a": {{"locked_by": null}}, "bad": {record}}}, "x": 1}}"#),
        JOBS => format!(r#"{{"jobs": [{{"id": "a"}}, {record}, {{"id": "b"}}]}}"#),
        MESSAGES => {
            format!(r#"{{"messages": [{{"id": "a", "to": "ada"}}, {record}, {{"id": "b", "to": "ada"}}]}}"#)
        }
        _ => format!(r#"{{"servers": [{{"id": "ada"}}, {record}, {{"id": "bob"}}]}}"#),
    }
}

#[test]
fn a_record_that_cannot_be_read_is_shown_and_stops_no_other() {
    let (fleet, ada, _bob) = two_servers();
    let hub = fleet.hub();
    let start = hub.tip(MAIN).unwrap();
    for (path, record, why) in RECORDS {
        hub.git(["update-ref", "refs/heads/main", &start]);
        hub.put(MAIN, &[(*path, among_others(path, record))], "broken");
        let (_, read, write) = DOCUMENTS.into_iter().find(|(document, ..)| document == path).unwrap();
        let run = ada.run(read.split(' ')).success();
        assert!(run.stdout().contains(why) || run.stderr().contains(why), "{why}\n{run}");
        let json = ada.run(["--json"].into_iter().chain(read.split(' '))).success().json();
        assert!(json.is_array(), "{json}");
        ada.run(write.split(' ')).success();
        let text = String::from_utf8(inspect::content(hub, MAIN, path).unwrap()).unwrap();
        assert!(text.contains(record), "{record}\n{text}");
        let health = ada.run(["health"]);
        assert!(health.stdout().contains(path) && health.exit_code() != Some(0), "{health}");
        let found = ada.run(["fsck", "--json"]).code(1).json();
        assert_eq!(found["findings"][0]["kind"], "broken-record", "{found:#}");
        // The mend that is named leaves nothing to mend, and nothing is lost by it.
        ada.run(["fsck", "--mend"]).success();
        let archives = hub.git(["ls-tree", "-r", "--name-only", MAIN, "coordination/archive/"]);
        let archive = archives.lines().find(|path| path.contains("broken-")).unwrap();
        let kept = inspect::document(hub, MAIN, archive);
        assert_eq!(kept["records"][0]["text"], *record);
        assert_eq!(kept["records"][0]["document"], *path);
        let history = ada.run(["fsck", "--history", "--json"]).code(1).json();
        assert!(!history.to_string().contains("vanished"), "{history:#}");
        ada.run(["fsck", "--mend"]).success();
    }
}

#[test]
fn a_record_that_cannot_be_read_is_never_acted_on() {
    let (fleet, ada, bob) = two_servers();
    let hub = fleet.hub();
    let jobs = r#"{"jobs": [{"id": "bad", "status": "queued", "attempts": -1, "command": ["true"]}]}"#;
    let locks = r#"{"locks": {"bad": null, "two": {"locked_by": null}, "two": {"locked_by": null}}}"#;
    hub.put(MAIN, &[(JOBS, jobs), (LOCKS, locks)], "broken");
    ada.run(["job", "claim"]).code(3);
    ada.run(["job", "claim", "bad"]).code(4);
    for line in ["job cancel bad", "job retry bad", "job start bad --token 1", "job explain bad"] {
        let run = ada.run(line.split(' ')).code(4);
        assert!(run.stderr().contains("record jobs[0] (`bad`) of coordination/jobs.json: attempts"), "{run}");
        assert!(run.stderr().contains("`git muster fsck --mend`"), "{run}");
    }
    assert!(
        ada.run(["job", "show", "bad"]).success().stdout().contains("attempts: the number must be whole")
    );
    for name in ["bad", "two"] {
        for line in ["lock acquire", "lock release --token 1", "lock steal --reason x --force"] {
            let words = line.split(' ').take(2).chain([name]).chain(line.split(' ').skip(2));
            let run = bob.run(words).code(4);
            assert!(run.stderr().contains("counts as held, and nothing was changed"), "{run}");
        }
        assert!(ada.run(["lock", "show", name]).success().stdout().contains("unreadable:"));
        let guarded = ["job", "add", "--type", "x", "--if-lock", &format!("{name}=1"), "--", "true"];
        let run = ada.run(guarded).code(4);
        assert!(run.stderr().contains("the holder of lock"), "{run}");
    }
    ada.run(["archive", "--older-than", "0s"]).success();
    for (path, text) in [(JOBS, jobs), (LOCKS, locks)] {
        assert_eq!(inspect::content(hub, MAIN, path).unwrap(), text.as_bytes());
    }
    ada.run(["fsck", "--mend"]).success();
    for name in ["bad", "two"] {
        bob.run(["lock", "acquire", name]).success();
    }
}

#[test]
fn what_one_server_writes_alone_is_made_anew_by_it_and_by_no_other() {
    let (fleet, ada, bob) = two_servers();
    let hub = fleet.hub();
    ada.run(["job", "add", "--type", "x", "--", "true"]).success();
    let start = hub.tip(MAIN).unwrap();
    for (line, broken) in [
        ("heartbeat", ""),
        ("heartbeat --on-main", "{<<<<<<<"),
        ("status set idle", "null"),
        ("job claim", "{\"system\": []}"),
    ] {
        hub.git(["update-ref", "refs/heads/main", &start]);
        hub.put(MAIN, &[(STATUS, broken), (HEARTBEAT, broken)], "broken");
        // Others work on and leave them alone.
        for line in ["heartbeat", "status set idle"] {
            bob.run(line.split(' ')).success();
        }
        assert_eq!(inspect::content(hub, MAIN, STATUS).unwrap(), broken.as_bytes());
        let health = bob.run(["health", "--json"]).json();
        let told = health["findings"].to_string();
        assert!(told.contains("document-broken:ada/status.json"), "{told}");
        assert!(told.contains("heartbeat-broken:ada"), "{told}");
        let run = ada.run(line.split(' ')).success();
        let is_told = run.stderr().contains("was unreadable and has been recreated");
        assert_eq!(is_told, line != "job claim", "{run}");
        for path in [HEARTBEAT, STATUS] {
            assert_eq!(inspect::document(hub, MAIN, path)["server"], "ada", "{line}: {path}");
        }
    }
}

#[test]
fn a_document_of_a_newer_layout_is_read_and_not_rewritten() {
    let (fleet, ada, _bob) = two_servers();
    let hub = fleet.hub();
    let start = hub.tip(MAIN).unwrap();
    for (path, text) in [
        (JOBS, "{\"version\": 2, \"jobs\": []}"),
        (LOCKS, "{\"locks\": {}, \"version\": \"2\"}"),
        (MESSAGES, "{\"version\": 2, \"messages\": []}"),
        (STATUS, "{\"version\": 2, \"status\": \"idle\"}"),
    ] {
        hub.git(["update-ref", "refs/heads/main", &start]);
        let tip = Some(hub.put(MAIN, &[(path, text.as_bytes())], "newer"));
        let (_, read, write) = DOCUMENTS.into_iter().find(|(document, ..)| *document == path).unwrap();
        ada.run(read.split(' ')).success();
        let run = ada.run(write.split(' ')).code(1);
        assert!(run.stderr().contains("layout version 2"), "{run}");
        assert!(run.stderr().contains("newer git-muster"), "{run}");
        assert_eq!(hub.tip(MAIN), tip, "{run}");
    }
}

#[test]
fn a_broken_document_is_named_with_the_place_in_it() {
    let (fleet, ada, _bob) = two_servers();
    let hub = fleet.hub();
    let start = hub.tip(MAIN).unwrap();
    let misshapen = MISSHAPEN.iter().map(|(path, text, why)| (*path, text.as_bytes().to_vec(), *why));
    let cases =
        broken().into_iter().flat_map(|(bytes, why)| DOCUMENTS.map(|(path, ..)| (path, bytes.clone(), why)));
    for (path, bytes, why) in cases.chain(misshapen) {
        // One record among many is no matter of the whole.
        let is_table = ![STATUS, HEARTBEAT].contains(&path);
        if is_table && (why.contains("not UTF-8") || why.contains("nests deeper")) {
            continue;
        }
        hub.git(["update-ref", "refs/heads/main", &start]);
        let tip = Some(hub.put(MAIN, &[(path, &bytes)], "broken"));
        let (_, read, write) = DOCUMENTS.into_iter().find(|(document, ..)| *document == path).unwrap();
        // What one server writes alone it makes anew.
        for line in if is_table { vec![read, write] } else { vec![read] } {
            if (path, line) == (HEARTBEAT, read) {
                // One server's beat keeps nobody from seeing the others.
                let run = ada.run(line.split(' ')).success();
                assert!(run.stderr().starts_with("warning: unreadable heartbeat of `ada`"), "{run}");
                assert!(
                    run.stderr().contains(why) && run.stdout().contains("\nbob "),
                    "{path}: {why}\n{run}"
                );
                continue;
            }
            let run = ada.run(line.split(' ')).code(1);
            let named = format!("error: `{path}` on the hub cannot be used: ");
            assert!(run.stderr().starts_with(&named), "{line}\n{run}");
            assert!(run.stderr().contains(why), "{path}: {why}\n{run}");
            assert_eq!(run.stderr().contains("nothing was written"), line == write, "{line}\n{run}");
            assert!(run.stdout().is_empty(), "{run}");
            assert_eq!(hub.tip(MAIN), tip, "{line}");
        }
    }
}

/// A newer program's document is read for what we know of it and not rewritten.
#[test]
fn a_document_of_a_newer_layout_is_read_and_left_alone() {
    let (fleet, ada, _bob) = two_servers();
    for (path, read, write) in DOCUMENTS {
        let text = String::from_utf8(inspect::content(fleet.hub(), MAIN, path).unwrap()).unwrap();
        let newer = text.replacen('{', "{\"version\": 2,", 1);
        let before = fleet.hub().tip(MAIN).unwrap();
        let tip = Some(fleet.hub().put(MAIN, &[(path, &newer)], "newer"));
        ada.run(read.split(' ')).success();
        let run = ada.run(write.split(' ')).code(1);
        let why = "it has layout version 2 and this git-muster knows 1";
        assert!(run.stderr().contains(&format!("`{path}` on the hub cannot be used: {why}")), "{run}");
        assert_eq!(fleet.hub().tip(MAIN), tip, "{write}");
        if path == HEARTBEAT {
            ada.run(["job", "add", "--type", "build"]).success();
        }
        fleet.hub().git(["update-ref", "refs/heads/main", &before]);
    }
}

#[test]
fn documents_that_a_command_does_not_need_do_not_matter() {
    let (fleet, ada, _bob) = two_servers();
    let hub = fleet.hub();
    let start = hub.tip(MAIN).unwrap();
    let needs: [(&str, &[&str]); 9] = [
        ("job add --type build", &[JOBS]),
        ("job list", &[JOBS]),
        ("lock acquire deploy", &[LOCKS]),
        ("lock list", &[LOCKS]),
        ("message list", &[MESSAGES]),
        ("message send --to all --subject hi", &[MESSAGES, SERVERS]),
        ("status show ada", &[STATUS]),
        ("status set idle", &[STATUS, HEARTBEAT, SERVERS]),
        ("heartbeat", &[HEARTBEAT, STATUS, SERVERS]),
    ];
    for (line, needed) in needs {
        hub.git(["update-ref", "refs/heads/main", &start]);
        let rest: Vec<(&str, &str)> = DOCUMENTS
            .iter()
            .map(|(path, ..)| *path)
            .filter(|path| !needed.contains(path))
            .map(|path| (path, "{<<<<<<<"))
            .collect();
        hub.put(MAIN, &rest, "broken");
        ada.run(line.split(' ')).success();
        // Its own beat is made anew by whatever it writes.
        for (path, text) in rest.into_iter().filter(|(path, _)| *path != HEARTBEAT) {
            assert_eq!(inspect::content(hub, MAIN, path).unwrap(), text.as_bytes(), "{line}: {path}");
        }
    }
}

/// What does not end is not read to its end: `/dev/zero` would never let the command return.
#[test]
fn a_text_without_bounds_is_read_within_bounds() {
    let (fleet, ada, _bob) = two_servers();
    let tip = fleet.hub().tip(MAIN);
    let big = ada.directory().join("big");
    File::create(&big).unwrap().set_len(50 * 1024 * 1024).unwrap();
    let send = ["message", "send", "--to", "bob", "--subject", "hi", "--body"];
    for body in ["@big", "@/dev/zero"] {
        let run = ada.run(send.iter().chain(&[body])).code(1);
        assert!(run.stderr().contains("it has more than 40000 bytes; nothing was written"), "{run}");
    }
    let from_pipe = |line: &str| {
        let script = format!("{line} < /dev/zero");
        ada.program("sh").args(["-c", &script, env!("CARGO_BIN_EXE_git-muster")]).run().code(1)
    };
    let run = from_pipe("\"$0\" message send --to bob --subject hi --body -");
    assert!(run.stderr().contains("cannot read standard input: it has more than 40000 bytes"), "{run}");
    for source in ["big", "/dev/zero"] {
        let run = ada.run(["job", "add", "--from", source]).code(1);
        assert!(run.stderr().contains("it has more than 16777216 bytes; no job was added"), "{run}");
    }
    from_pipe("\"$0\" job add --from -");
    assert_eq!(fleet.hub().tip(MAIN), tip);
}

/// The files that the program keeps for itself: broken, they cost what they remembered, no more.
#[test]
fn broken_files_of_our_own_are_no_obstacle() {
    let (_fleet, ada, bob) = two_servers();
    bob.run(["lock", "acquire", "deploy"]).success();
    ada.run(["heartbeat"]).success();
    ada.run(["lock", "acquire", "deploy"]).code(4);
    let state = ada.place("XDG_STATE_HOME").join("git-muster");
    for text in [&b""[..], b"{", b"[]", b"\xff", b"{\"boot\": 1}"] {
        for file in [state.join("observations.json"), state.join("hubs.json"), ada.session()] {
            std::fs::write(file, text).unwrap();
        }
        ada.run(["heartbeat"]).success();
        ada.run(["lock", "acquire", "deploy"]).code(4);
    }
}

#[test]
fn a_registration_that_is_set_aside_names_the_way_back() {
    let (fleet, ada, bob) = two_servers();
    for (rows, is_told) in [
        (r#"{"id": "ada"}, {"id": "bob", "labels": {}}"#, true),
        (r#"{"id": "ada"}, {"id": "bob"}, {"id": "bob", "labels": {}}"#, false),
        (r#"{"id": "ada"}, {"id": "bob"}, true"#, false),
    ] {
        fleet.hub().put(MAIN, &[(SERVERS, format!("{{\"servers\": [{rows}]}}\n"))], "broken");
        let run = ada.run(["fsck", "--mend"]).success();
        assert!(run.stderr().contains("set aside"), "{run}");
        assert_eq!(
            run.stderr().contains("`git muster join --as bob` on `bob` registers it again"),
            is_told,
            "{run}"
        );
        if is_told {
            bob.run(["join", "--as", "bob"]).success();
        }
        assert_eq!(inspect::document(fleet.hub(), MAIN, SERVERS)["servers"].as_array().unwrap().len(), 2);
    }
}
