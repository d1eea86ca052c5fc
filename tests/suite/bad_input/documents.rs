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

/// What has a wrong type somewhere inside, and the place that the error has to name.
const MISSHAPEN: &[(&str, &str, &str)] = &[
    (JOBS, "{\"jobs\": {}}", "`jobs` is not a list"),
    (JOBS, "{\"jobs\": \"none\"}", "`jobs` is not a list"),
    (JOBS, "{\"jobs\": [{\"id\": \"a\"}, 1]}", "jobs[1]: invalid type"),
    (JOBS, "[{\"id\": \"a\"}, []]", "jobs[1]: invalid type: sequence, expected an object"),
    (JOBS, "{\"jobs\": [{\"id\": {}}]}", "jobs[0].id: an object where a text belongs"),
    (
        JOBS,
        "{\"jobs\": [{\"id\": \"a\", \"command\": [[1]]}]}",
        "jobs[0].command: a list where a text belongs",
    ),
    (JOBS, "{\"jobs\": [{\"id\": \"a\", \"token\": -1}]}", "jobs[0].token: the number must be whole"),
    (
        JOBS,
        "{\"jobs\": [{\"id\": \"a\", \"created_at\": []}]}",
        "jobs[0].created_at: a list where a time belongs",
    ),
    (JOBS, "{\"jobs\": [{\"id\": \"a\", \"status\": 1}]}", "jobs[0].status: "),
    (LOCKS, "{\"locks\": []}", "`locks` is not an object"),
    (LOCKS, "[]", "`locks` is not an object"),
    (LOCKS, "{\"locks\": {\"deploy\": 1}}", "locks.deploy: invalid type"),
    (
        LOCKS,
        "{\"locks\": {\"deploy\": {\"locked_by\": [\"a\"]}}}",
        "locks.deploy.locked_by: a list where a text belongs",
    ),
    (
        MESSAGES,
        "{\"messages\": [{\"body\": {\"a\": 1}}]}",
        "messages[0].body: an object where a text belongs",
    ),
    (MESSAGES, "{\"messages\": [{\"read\": {}}]}", "messages[0].read: an object where true or false belongs"),
    (MESSAGES, "{\"messages\": [{\"read_by\": [[]]}]}", "messages[0].read_by: a list where a server belongs"),
    (MESSAGES, "{\"messages\": [null]}", "messages[0]: invalid type: null"),
    (
        SERVERS,
        "{\"servers\": [{\"labels\": {}}]}",
        "servers[0].labels: an object where a list of texts belongs",
    ),
    (SERVERS, "{\"servers\": [true]}", "servers[0]: invalid type"),
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
        hub.git(["update-ref", "refs/heads/main", &start]);
        let tip = Some(hub.put(MAIN, &[(path, &bytes)], "broken"));
        let (_, read, write) = DOCUMENTS.into_iter().find(|(document, ..)| *document == path).unwrap();
        for line in [read, write] {
            if (path, line) == (HEARTBEAT, read) {
                // One server's beat keeps nobody from seeing the others.
                let run = ada.run(line.split(' ')).success();
                assert!(run.stderr().starts_with("warning: a heartbeat of `ada` cannot be read"), "{run}");
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
        ("status set idle", &[STATUS, SERVERS]),
        ("heartbeat", &[HEARTBEAT, SERVERS]),
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
        for (path, text) in rest {
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
    assert!(run.stderr().contains("standard input cannot be read: it has more than 40000 bytes"), "{run}");
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
        for file in ["observations.json", "sessions/ada.json"] {
            std::fs::write(state.join(file), text).unwrap();
        }
        ada.run(["heartbeat"]).success();
        ada.run(["lock", "acquire", "deploy"]).code(4);
    }
}
