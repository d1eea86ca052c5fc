//! Eight points in the history of a fleet that ran on shell scripts, from its second day to its end:
//! each is taken over and used at once.

use crate::support::{Fleet, MAIN};
use serde_json::{Value, json};

/// A point of the history.
struct Point {
    what: &'static str,
    /// The states of the hub up to it, each the files that a commit wrote.
    states: Vec<Vec<(String, String)>>,
    /// Whether there is something to mend.
    is_sound: bool,
    /// How many messages are live afterwards, with those that the history alone holds.
    messages: usize,
}

fn file(path: &str, text: impl Into<String>) -> (String, String) {
    (path.to_owned(), text.into())
}

fn messages(rows: &[Value]) -> (String, String) {
    file("coordination/messages.json", serde_json::to_string_pretty(&json!({"messages": rows})).unwrap())
}

fn message(number: usize, from: &str, to: &str) -> Value {
    json!({"id": format!("msg_{}_{}", 1_761_751_875 + number, 2531 + number), "from": from, "to": to, "type": "info",
           "subject": "Re: status", "body": "x", "timestamp": "2025-10-29T15:31:15Z", "read": false})
}

fn many(number: usize, to: &str) -> Vec<Value> {
    (0..number).map(|number| message(number, "build1", to)).collect()
}

/// What the hub held from its beginning.
fn start() -> Vec<(String, String)> {
    let mut files = vec![
        file(
            "coordination/jobs.json",
            r#"{"jobs":[],"metadata":{"last_updated":"2025-10-29T15:00:00Z","next_job_id":1}}"#,
        ),
        file(
            "coordination/locks.json",
            r#"{"locks":{"job_assignment":{"locked_by":null,"locked_at":null,"expires_at":null},"message_queue":{"locked_by":null,"locked_at":null,"expires_at":null}},"metadata":{"last_cleanup":"2025-10-29T15:00:00Z"}}"#,
        ),
        messages(&many(2, "build2")),
        file("shared/build_config.json", r#"{"maven":{"opts":"-Xmx4g"}}"#),
    ];
    for name in ["build1", "build2"] {
        files.push(file(&format!("{name}/heartbeat.json"), format!(r#"{{"server":"{name}","timestamp":"2025-10-29T15:31:15Z","uptime_seconds":2592000,"healthy":true}}"#)));
        files.push(file(&format!("{name}/status.json"), format!(r#"{{"server":"{name}","ip":"10.1.3.175","manager":"Codex","timestamp":"2025-10-29T15:31:15Z","status":"idle","current_job":null,"last_build":null,"system":{{"cpu_usage":15.2,"memory_used_gb":8,"disk_free_gb":500}},"capabilities":{{"cores":16}}}}"#)));
    }
    files
}

fn point(what: &'static str, states: Vec<Vec<(String, String)>>, is_sound: bool, messages: usize) -> Point {
    Point { what, states: std::iter::once(start()).chain(states).collect(), is_sound, messages }
}

/// A job that was at work for days after its end, and one that nobody ever took.
const OLD_JOBS: &str = r#"{"jobs":[{"id":"job_1761781030","type":"package","priority":1,"description":"x","branch":"ExternalNew","commit":"d8e22ab0","status":"running","assigned_to":"build1","created_at":"2025-10-29T23:37:10Z","started_at":"2025-10-29T23:40:00Z","completed_at":null},
    {"id":"job_1761778190_1804","type":"test_automated_suite","priority":5,"status":"queued","assigned_to":null,"created_at":"2025-10-29T22:49:50Z","started_at":null,"completed_at":null}]}"#;

/// A status of which a shell should have made a time.
const EXPRESSION: &str = r#"{"server_id":"build3","ip":"10.1.3.xxx","status":"online","timestamp":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","capabilities":["java","maven"],"last_updated":"2025-11-03T17:00:00Z"}"#;

const CODE2: &str = r#"{"server_id":"code2","last_heartbeat":"2025-11-13T05:08:10.863298Z","status":"active","cpu_usage":1.5,"unread_messages":2}"#;

/// The first two weeks.
fn early() -> Vec<Point> {
    let broken_stats = file("coordination/message_stats.json", r#"{"total": 2, "build1": }"#);
    let no_type = json!({"id": "msg_vnf_progress_20251104_001", "from": "build2", "to": "build1", "timestamp": "2025-11-04T00:00:00Z",
                         "subject": "s", "body": "b", "priority": "normal", "tags": ["vnf-framework"]});
    let minutes = json!({"id": "msg_20251113_0100_1234", "from": "build1", "to": "all", "type": "info", "subject": "Hello", "body": "b",
                         "timestamp": "2025-11-13 01:00", "read": false, "ack_required": false, "ack_status": "not_requested", "acknowledged_by": []});
    let shapes = vec![
        file("build3/status.json", EXPRESSION),
        messages(&[message(0, "build1", "build2"), no_type, minutes]),
    ];
    let overwritten =
        vec![vec![messages(&many(102, "build1"))], vec![messages(&[message(500, "build2", "build1")])]];
    vec![
        point("its first day", vec![vec![broken_stats]], true, 2),
        point("a job that runs for ever", vec![vec![file("coordination/jobs.json", OLD_JOBS)]], true, 2),
        point("all shapes of times", vec![shapes], true, 4),
        point("102 messages became one", overwritten, true, 103),
    ]
}

/// The storm, and what came before and after it.
fn late() -> Vec<Point> {
    let mut storm = many(60, "architect");
    for (from, to, subject) in [("code2", "build1", "Re: x"), ("build2", "code2", "y")] {
        storm.push(
            json!({"id": "msg_1763010491_7571", "from": from, "to": to, "subject": subject, "body": "b",
                          "timestamp": "2025-11-13T05:08:10.94736Z", "read": false}),
        );
    }
    let rows: Vec<String> = storm.iter().map(Value::to_string).collect();
    let [ours, theirs] = [message(900, "build1", "build2"), message(901, "build2", "build1")];
    let marked = format!(
        "{{\"messages\":[\n{},\n<<<<<<< Updated upstream\n{ours}\n=======\n{theirs}\n>>>>>>> Stashed changes\n]}}\n",
        rows.join(",\n")
    );
    let code2 = file("code2/heartbeat.json", CODE2);
    let list = |number| serde_json::to_string(&many(number, "build1")).unwrap();
    let bare = vec![
        file("coordination/messages.json", list(3)),
        file("coordination/archive/messages-2025-10.json", list(2)),
    ];
    let cut = vec![file("coordination/messages.json", ""), file("build2/heartbeat.json", "")];
    let before = vec![code2.clone(), messages(&storm), file("coordination/jobs.json", OLD_JOBS)];
    vec![
        point("files cut to nothing", vec![vec![messages(&many(20, "build2"))], cut], false, 20),
        point("an archive that wrote a bare list", vec![bare], false, 1),
        point(
            "the storm, with conflict markers",
            vec![vec![code2, file("coordination/messages.json", marked)]],
            false,
            64,
        ),
        point("after the roll back", vec![before, start()], true, 61),
    ]
}

#[test]
fn a_fleet_of_scripts_is_taken_over_at_every_point_of_its_history() {
    for point in early().into_iter().chain(late()) {
        let fleet = Fleet::new();
        for files in &point.states {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
            fleet.hub().put(MAIN, &files, point.what);
        }
        let (admin, url) = (fleet.host("admin"), fleet.hub().url());
        let tip = fleet.hub().tip(MAIN);
        admin.run(["import", &url, "--check"]).code(if point.is_sound { 0 } else { 1 });
        assert_eq!(fleet.hub().tip(MAIN), tip, "{}", point.what);
        let import = ["import", &url, "--recover", "--close-jobs-older-than", "7d", "--json"];
        let report = admin.run(import).success().json();
        admin.run(["fsck", "--history", "--since", &inspect_tip(&fleet)]).success();
        let listed = admin.run(["message", "list", "--json"]).success().json();
        assert_eq!(listed.as_array().unwrap().len(), point.messages, "{}: {report}", point.what);
        let health = admin.run(["health"]);
        assert!(matches!(health.exit_code(), Some(1 | 2)), "{}: {health}", point.what);

        let build1 = fleet.host("build1");
        build1.run(["join", "--as", "build1"]).success();
        build1.run(["job", "claim"]).code(3);
        let job = build1.run(["job", "add", "--type", "build"]).success();
        let claimed = build1.run(["job", "claim", "--json"]).success().json();
        assert_eq!(claimed["id"], job.stdout().trim(), "{}", point.what);
        let servers = build1.run(["servers", "list", "--json"]).success().json();
        for server in servers.as_array().unwrap() {
            let name = server["id"].as_str().unwrap();
            build1.run(["message", "send", "--to", name, "--subject", "moved"]).success();
        }
        assert!(servers.as_array().unwrap().len() >= 2, "{}: {servers}", point.what);
        admin.run(["fsck"]).success();
    }
}

fn inspect_tip(fleet: &Fleet) -> String {
    fleet.hub().tip(MAIN).unwrap()
}
