//! What was archived is where it is looked for: no look-up and no figure forgets it.

use crate::support::{Fleet, Host, MAIN, inspect};
use serde_json::{Value, json};

/// A hub with two servers, a completed job, a failed one, and both in the archive.
fn archived() -> (Fleet, [Host; 2], [String; 2]) {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let add = |key: &str| {
        let run = ada.run(["job", "add", "--type", "build", "--key", key]).success();
        run.stdout().trim().to_owned()
    };
    let jobs = [add("good"), add("bad")];
    bob.run(["job", "claim", "--count", "2"]).success();
    bob.run(["job", "complete", &jobs[0], "--token", "1", "--duration", "90"]).success();
    bob.run(["job", "fail", &jobs[1], "--token", "1", "--exit-code", "2", "--duration", "30"]).success();
    archive(&ada);
    (fleet, [ada, bob], jobs)
}

fn archive(host: &Host) {
    host.run(["archive", "--older-than", "0s"]).success();
}

/// The ids of a table of the hub, or of an archive.
fn ids(fleet: &Fleet, path: &str, field: &str) -> Vec<String> {
    let document = inspect::document(fleet.hub(), MAIN, path);
    let rows = document[field].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
}

fn live(fleet: &Fleet) -> Vec<String> {
    ids(fleet, "coordination/jobs.json", "jobs")
}

#[test]
fn a_job_that_was_archived_is_found_by_every_command_that_names_one() {
    let (fleet, [ada, bob], [good, bad]) = archived();
    assert_eq!(live(&fleet), [""; 0]);
    let tip = fleet.hub().tip(MAIN).expect("a hub");
    let shown = ada.run(["job", "show", &good]).success();
    assert!(shown.stdout().contains("completed"), "{shown}");
    ada.run(["job", "wait", &good]).success();
    ada.run(["job", "wait", &bad]).code(2);
    let told = ada.run(["job", "explain", &bad]).success();
    assert!(told.stdout().contains("failed"), "{told}");
    // No worker has run it, which is another answer than that it never was.
    let log = ada.run(["job", "logs", &good]).code(3);
    assert!(log.stderr().contains("has no log"), "{log}");
    let made = ada.run(["artifact", "verify", &good]).code(3);
    assert!(made.stderr().contains("no worker has run"), "{made}");
    // A report that comes late or again is answered as that of a live one.
    bob.run(["job", "complete", &good, "--token", "1", "--duration", "90"]).success();
    bob.run(["job", "complete", &bad, "--token", "1"]).code(5);
    bob.run(["job", "heartbeat", &bad, "--token", "1"]).code(5);
    let main = |run: &crate::support::Run| run.stderr().to_owned();
    assert!(main(&ada.run(["job", "cancel", &good]).code(4)).contains("already completed"));
    assert!(main(&ada.run(["job", "claim", &good]).code(4)).contains("completed"));
    assert!(main(&ada.run(["job", "dead", "retry", &bad]).code(4)).contains("the job is failed, not dead"));
    assert!(main(&ada.run(["job", "retry", &good]).code(4)).contains("--again"));
    let changed = fleet.hub().git(["diff", "--name-only", &tip, MAIN]);
    assert!(!changed.contains("jobs"), "what was asked or refused moved nothing: {changed}");
    let no = ada.run(["job", "show", "job_1_never"]).code(3);
    assert!(no.stderr().contains("job `job_1_never` not found"), "{no}");
}

#[test]
fn a_job_that_was_archived_is_put_back_and_needed_as_if_it_had_stayed() {
    let (fleet, [ada, _], [good, bad]) = archived();
    let next = ada.run(["job", "add", "--type", "deploy", "--needs", &good]).success();
    let next = next.stdout().trim().to_owned();
    assert_eq!(live(&fleet), [good.clone(), next.clone()], "what is needed came back");
    archive(&ada);
    assert_eq!(live(&fleet), [good.clone(), next.clone()], "and stays for as long as it is");
    let claimed = ada.run(["job", "claim"]).success();
    assert!(claimed.stdout().starts_with(&next), "its need is met: {claimed}");
    ada.run(["job", "complete", &next, "--token", "1"]).success();
    archive(&ada);
    assert_eq!(live(&fleet), [""; 0]);

    // What is put back brings along what it needs, which it would wait for in vain.
    ada.run(["job", "retry", &next, "--again"]).success();
    assert_eq!(live(&fleet), [next.clone(), good.clone()]);
    assert!(ada.run(["job", "claim"]).success().stdout().starts_with(&next));

    // By its key too, and one that failed counts as failed.
    let no = ada.run(["job", "add", "--type", "t", "--needs", "bad", "--if-need-fails", "cancel"]).code(4);
    assert!(no.stderr().contains("did not complete"), "{no}");
    ada.run(["job", "retry", &bad]).success();
    assert!(ada.run(["job", "claim", &bad]).success().stdout().contains("token 2"), "the token goes on");
    let sound = ada.run(["fsck", "--history"]).success();
    assert!(sound.stdout().contains("0 errors"), "{sound}");
}

#[test]
fn figures_do_not_change_because_jobs_are_archived() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    let at = |time: &str, args: &[&str]| {
        ada.command(args.iter().copied()).env("MUSTER_CLOCK", format!("2026-{time}Z")).run().success()
    };
    at("06-01T10:00:00", &["init", &fleet.hub().url()]);
    at("06-01T10:00:00", &["join", &fleet.hub().url(), "--as", "ada"]);
    let add = |time: &str, duration: &str| {
        at(time, &["job", "add", "--type", "build", "--timeout", "300d"]);
        let id = at(time, &["job", "claim", "--json"]).json()["id"].as_str().expect("an id").to_owned();
        at(time, &["job", "complete", &id, "--token", "1", "--duration", duration]);
    };
    add("07-01T10:00:00", "10");
    add("08-31T10:00:00", "20");
    add("09-02T10:00:00", "60");
    let now = "09-03T10:00:00";
    let figures = |since: &[&str]| {
        let args = [&["queue", "stats", "--json"], since].concat();
        let stats: Value = at(now, &args).json();
        [&stats["completed"], &stats["avg_execution_seconds"]]
            .map(|figure| figure.as_u64().expect("a figure"))
    };
    let all = || [figures(&[]), figures(&["--since", "10d"]), figures(&["--since", "1d12h"])];
    let before = all();
    assert_eq!(before, [[3, 30], [2, 40], [1, 60]]);
    at(now, &["archive", "--older-than", "2d"]);
    assert_eq!(all(), before);
    at(now, &["archive", "--older-than", "0s"]);
    assert_eq!(all(), before);
}

#[test]
fn a_message_that_was_archived_is_read_answered_and_acknowledged() {
    let fleet = Fleet::new().founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let send = |host: &Host, more: &[&str]| {
        let run = host.run([&["message", "send", "--subject", "first"], more].concat()).success();
        run.stdout().trim().to_owned()
    };
    let asked = send(&ada, &["--to", "bob", "--ack", "--body", "please"]);
    bob.run(["message", "read", &asked]).success();
    let unread = send(&ada, &["--to", "bob"]);
    ada.run(["archive", "--older-than", "0s", "--unread-older-than", "0s"]).success();
    let live = || ids(&fleet, "coordination/messages.json", "messages");
    assert_eq!(live(), [""; 0]);

    let shown = ada.run(["message", "read", &asked]).success();
    assert!(shown.stdout().contains("please"), "{shown}");
    assert_eq!(live(), [""; 0], "who looks at another's changes nothing");
    let reply = send(&bob, &["--to", "ada", "--reply-to", &asked]);
    let thread = ada.run(["message", "thread", &reply]).success();
    assert!(thread.stdout().contains(&asked) && thread.stdout().contains(&reply), "{thread}");
    bob.run(["message", "ack", &asked]).success();
    bob.run(["message", "read", &unread]).success();
    assert_eq!(live(), [reply, asked.clone(), unread], "what changed came back");
    let thread = ada.run(["message", "thread", &asked]).success();
    assert!(thread.stdout().contains("acknowledged by bob"), "{thread}");
    let sound = ada.run(["fsck", "--history"]).success();
    assert!(sound.stdout().contains("0 errors"), "{sound}");
    let no = ada.run(["message", "thread", "msg_1_never"]).code(3);
    assert!(no.stderr().contains("not found"), "{no}");
}

#[test]
fn a_month_whose_archive_is_full_keeps_nothing_from_being_archived_and_found() {
    let fleet = Fleet::new().founded();
    let ada = fleet.server("ada");
    let jobs = |kind: &str, month: &str, count: usize| {
        let job = |index| {
            json!({"id": format!("job_{kind}_{index:04x}"), "type": "t", "status": "completed",
                "created_at": format!("{month}-01T00:00:00Z"), "completed_at": format!("{month}-01T00:00:00Z"),
                "description": "x".repeat(6000)})
        };
        (0..count).map(job).collect::<Vec<_>>()
    };
    let live = [jobs("2", "2020-12", 400), jobs("3", "2021-05", 3)].concat();
    let read = json!([{"id": "m1", "from": "ada", "to": "ada", "type": "info", "subject": "s", "body": "b",
        "timestamp": "2021-01-01T00:00:00Z", "read": true, "read_by": ["ada"]}]);
    let files = [
        ("coordination/archive/jobs-2020-12.json", json!({"jobs": jobs("1", "2020-12", 5300)}).to_string()),
        ("coordination/jobs.json", json!({"jobs": live}).to_string()),
        ("coordination/messages.json", json!({"messages": read}).to_string()),
    ];
    fleet.hub().put(MAIN, &files, "by hand");
    archive(&ada);
    let count = |path: &str| ids(&fleet, &format!("coordination/{path}.json"), "jobs").len();
    let (full, next) = (count("archive/jobs-2020-12"), count("archive/jobs-2021-01"));
    assert_eq!((full + next, count("jobs")), (5700, 0));
    assert!(next > 0 && next < 400, "{next}");
    assert_eq!(count("archive/jobs-2021-05"), 3);
    assert_eq!(ids(&fleet, "coordination/archive/messages-2021-01.json", "messages"), ["m1"]);
    for job in ["job_1_0000", "job_2_018f", "job_3_0000"] {
        ada.run(["job", "show", job]).success();
    }
    inspect::assert_hub_is_sound(fleet.hub());
}

const JOBS: &str = "coordination/jobs.json";
const OLD_JOBS: &str = "coordination/archive/jobs-2025-10.json";
const NEW_JOBS: &str = "coordination/archive/jobs-2025-11.json";
const MAIL: &str = "coordination/archive/messages-2025-11.json";

fn message(rest: &str) -> String {
    format!(r#"{{"id": "m", "from": "ada", "type": "info", "subject": "s", {rest}}}"#)
}

/// How many findings of each severity `fsck` has.
fn found(host: &Host) -> [u64; 3] {
    let told = host.run(["fsck", "--json"]).json();
    ["errors", "warnings", "notes"].map(|key| told[key].as_u64().expect("a count"))
}

/// Whether `health` and `doctor` have nothing to say of the documents.
fn watchers_are_content(host: &Host) -> [bool; 2] {
    let health = host.run(["health", "--json"]).json();
    let of_records = |finding: &Value| {
        let cause = finding["cause"].as_str().unwrap_or_default();
        cause.starts_with("record") || cause.starts_with("id-") || cause.starts_with("token-")
    };
    let doctor = host.run(["doctor", "hub-documents", "--json"]).json();
    [
        !health["findings"].as_array().expect("a list").iter().any(of_records),
        doctor["checks"].as_array().expect("a list").iter().all(|check| check["verdict"] == "ok"),
    ]
}

#[test]
fn what_goes_to_the_archive_is_no_error_there() {
    let fleet = Fleet::new().founded();
    let (ada, _bob) = (fleet.server("ada"), fleet.server("bob"));
    let at = |day: u32, body: &str, read: bool| {
        message(&format!(
            r#""to": "bob", "body": "{body}", "read": {read}, "timestamp": "2025-{day:02}-01T00:00:00Z""#
        ))
    };
    // With one id: two in a month, one in another, one that is not read; and one twice, of which one is read.
    let mail = [at(11, "b1", true), at(11, "b2", true), at(10, "b3", true), at(11, "b4", false)].join(", ");
    let twice = [at(11, "same", true), at(11, "same", false)].join(", ").replace("\"m\"", "\"twice\"");
    let over = r#""type": "t", "status": "completed", "completed_at": "2025-11-01T00:00:00Z""#;
    let jobs = format!(
        r#"{{"id": "a", {over}}}, {{"id": "b", {over}}}, {{"id": "b", {over}}}, {{"id": "c", "token": 9007199254740992, {over}}}"#
    );
    let files = [
        (JOBS, format!(r#"{{"jobs": [{jobs}]}}"#)),
        ("coordination/messages.json", format!(r#"{{"messages": [{mail}, {twice}]}}"#)),
    ];
    fleet.hub().put(MAIN, &files, "by an older writer");
    let before = found(&ada);
    assert!(before[0] > 0, "{before:?}");
    ada.run(["archive", "--older-than", "1d"]).success();
    // Jobs with one id stay where that is told, and what stands there twice stays or leaves as a whole.
    assert_eq!(live(&fleet), ["b", "b"]);
    assert_eq!(ids(&fleet, "coordination/messages.json", "messages"), ["m", "twice", "twice"]);
    assert_eq!(ids(&fleet, MAIL, "messages"), ["m", "m"]);
    let told = ada.run(["fsck", "--json"]).json();
    for finding in told["findings"].as_array().expect("a list") {
        let is_of_archive = finding["path"].as_str().is_some_and(|path| path.contains("/archive/"));
        assert!(!is_of_archive || finding["severity"] == "note", "{finding:#}");
    }
    ada.run(["fsck", "--mend"]).success();
    assert_eq!((found(&ada), watchers_are_content(&ada)), ([0, 0, 0], [true, true]));
    assert_eq!(ids(&fleet, MAIL, "messages").len(), 2, "each has an id of its own");
    let history = ada.run(["fsck", "--history"]).code(1);
    assert!(!history.stdout().contains("/archive/"), "to mend is no breach: {history}");
    // Mended, they leave.
    ada.run(["archive", "--older-than", "1d", "--unread-older-than", "1d"]).success();
    assert_eq!((live(&fleet), found(&ada)[0]), (Vec::new(), 0));
}

#[test]
fn what_is_broken_in_an_archive_is_told_alike_by_all_and_mended() {
    let over = |rest: &str| format!(r#"{{"jobs": [{{"id": "a", "status": "completed"}}, {rest}]}}"#);
    let mail = |rest: &str| format!(r#"{{"messages": [{}, {rest}]}}"#, message(r#""to": "ada""#));
    let live = format!(r#"{{"messages": [{}]}}"#, message(r#""to": "ada", "read": true"#));
    for files in [
        vec![(OLD_JOBS, over("null"))],
        vec![("coordination/archive/jobs-old.json", over(r#"{"id": "n", "attempts": -1}"#))],
        vec![(MAIL, mail("[]"))],
        vec![(OLD_JOBS, over(r#"{"id": "a", "status": "failed"}"#))],
        vec![(OLD_JOBS, over(r#"{"id": "t", "status": "queued", "token": 9007199254740992}"#))],
        // In two documents at once.
        vec![(OLD_JOBS, over(r#"{"id": "o"}"#)), (NEW_JOBS, over(r#"{"id": "n"}"#))],
        vec![(OLD_JOBS, over(r#"{"id": "o"}"#)), (JOBS, over(r#"{"id": "n"}"#))],
        vec![(MAIL, mail(r#"{"id": "o"}"#)), ("coordination/messages.json", live)],
    ] {
        let fleet = Fleet::new().founded();
        let ada = fleet.server("ada");
        fleet.hub().put(MAIN, &files, "by hand");
        let before = found(&ada);
        assert!(before[0] > 0, "{files:?}");
        assert_eq!(watchers_are_content(&ada), [false; 2], "{files:?}");
        let mended = ada.run(["fsck", "--mend"]).success();
        assert!(mended.stderr().contains("coordination/archive/broken-"), "{mended}");
        assert_eq!((found(&ada), watchers_are_content(&ada)), ([0, 0, 0], [true; 2]), "{files:?}");
        let again = ada.run(["fsck", "--mend"]).success();
        assert!(again.stderr().contains("there is no record to mend"), "{again}");
        // What is right in an archive stays, in one document.
        let all = ["jobs", "messages"].map(|name| {
            let of = |path: &str| fleet.hub().git(["show", &format!("{MAIN}:{path}")]);
            files.iter().filter(|(path, _)| path.contains(name)).map(|(path, _)| of(path)).collect::<String>()
        });
        assert_eq!(all.concat().matches(r#"": "a""#).count() + all.concat().matches(r#"": "m""#).count(), 1);
    }
}
