//! `scripts/health-issues`: one GitHub issue for each cause, none twice, closed on recovery.
//!
//! `gh` is a script that keeps issues in a file and writes down how it was called.

use crate::support::{Fleet, Host, MAIN, Run, need};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Knows what the script uses and refuses the rest.
const GH: &str = r#"#!/bin/bash
set -euo pipefail
cd "$GH_STATE"
printf '%s\n' "$1 $2" >> calls
[ ! -e broken ] || { echo 'HTTP 502' >&2; exit 4; }
[ -e issues ] || echo '[]' > issues
change() { jq "$@" issues > new && mv new issues; }
case "$1 $2" in
    'issue list')
        [ "$3 $4 $5 $6 $7" = '--label muster-health --state open --limit' ]
        jq -c --argjson limit "$8" '[.[] | select(.state == "OPEN" and (.labels | index("muster-health"))) | {number, body}] | reverse | .[:$limit]' issues ;;
    'label create') touch "label-$3" ;;
    'issue create')
        [ "$3 $5 $7 $8" = '--title --label --body-file -' ]
        [ -e "label-$6" ] || { echo "could not add label: '$6' not found" >&2; exit 1; }
        change --arg title "$4" --arg mark "$6" --rawfile body /dev/stdin \
            '. + [{number: (length + 1), title: $title, labels: [$mark], body: $body, state: "OPEN"}]' ;;
    'issue close')
        [ "$4" = '--comment' ]
        change --argjson number "$3" --arg comment "$5" \
            'map(if .number == $number then .state = "CLOSED" | .comment = $comment else . end)' ;;
    *) echo "gh: unknown: $*" >&2; exit 1 ;;
esac
"#;

/// A host with the fake `gh` before everything else.
struct Monitor {
    host: Host,
    state: PathBuf,
}

impl Monitor {
    /// `None` without `jq`, which the script and the fake need.
    fn new(fleet: &Fleet) -> Option<Self> {
        need::is_here(&["jq"]).then_some(())?;
        let mut host = fleet.host("monitor");
        let (bin, state) = (host.place("HOME").join("bin"), host.place("HOME").join("github"));
        fs::create_dir(&bin).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(bin.join("gh"), GH).unwrap();
        fs::set_permissions(bin.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
        host.set("PATH", format!("{}:{}", bin.display(), host.place("PATH").display()));
        host.set("GH_STATE", &state);
        Some(Self { host, state })
    }

    fn run(&self, stdin: &str) -> Run {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/health-issues");
        self.host.program(script).stdin(stdin).run()
    }

    fn report(&self, findings: &Value) -> Run {
        let level = if findings.as_array().unwrap().is_empty() { "ok" } else { "critical" };
        self.run(
            &json!({"schema": 1, "kind": "health", "level": level, "checked": 2, "findings": findings})
                .to_string(),
        )
    }

    fn issues(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.state.join("issues")).unwrap_or_else(|_| "[]".to_owned());
        serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().clone()
    }

    fn states(&self) -> Vec<String> {
        self.issues().iter().map(|issue| issue["state"].as_str().unwrap().to_owned()).collect()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.state.join("calls")).unwrap_or_default()
    }
}

fn finding(cause: &str, what: &str) -> Value {
    json!({"level": "critical", "cause": cause, "subject": "bob", "server": "bob", "what": what, "hint": "look"})
}

#[test]
fn each_cause_has_one_issue_for_as_long_as_it_lasts() {
    let fleet = Fleet::new();
    let Some(monitor) = Monitor::new(&fleet) else { return };
    let (stale, stuck) =
        (finding("heartbeat-stale:bob", "no beat for 5m"), finding("job-stuck:job_1", "stuck"));
    monitor.report(&json!([])).success();
    assert_eq!(monitor.calls(), "issue list\n", "no trouble, no issue");
    monitor.report(&json!([stale])).success();
    let issue = monitor.issues()[0].clone();
    assert_eq!(issue["title"], "muster: critical: no beat for 5m");
    let body = issue["body"].as_str().unwrap();
    assert!(body.starts_with("<!-- muster-cause: heartbeat-stale%3Abob -->\n"), "{body}");
    assert!(body.contains("\n    no beat for 5m\n") && body.contains("\n    look\n"), "{body}");
    monitor.report(&json!([finding("heartbeat-stale:bob", "no beat for 10m")])).success();
    assert_eq!(monitor.states(), ["OPEN"], "the cause is the same, its words are not");
    monitor.report(&json!([stuck, stale, stuck])).success();
    assert_eq!(monitor.states(), ["OPEN", "OPEN"]);
    monitor.report(&json!([stuck])).success();
    assert_eq!(monitor.states(), ["CLOSED", "OPEN"]);
    assert!(monitor.issues()[0]["comment"].as_str().unwrap().starts_with("Recovered"));
    monitor.report(&json!([stale, stuck])).success();
    assert_eq!(monitor.states(), ["CLOSED", "OPEN", "OPEN"], "what comes back gets a new issue");
    monitor.report(&json!([])).success();
    assert_eq!(monitor.states(), ["CLOSED"; 3]);
    // Two causes in the same words, and one cause in two.
    monitor.report(&json!([stuck, finding("job-stuck:job_2", "stuck")])).success();
    assert_eq!(monitor.states()[3..], ["OPEN", "OPEN"]);
    let third = ["stuck", "stuck for long"].map(|what| finding("job-stuck:job_3", what));
    monitor.report(&json!(third)).success();
    assert_eq!(monitor.states()[3..], ["CLOSED", "CLOSED", "OPEN"]);
}

#[test]
fn what_others_did_by_hand_is_respected() {
    let fleet = Fleet::new();
    let Some(monitor) = Monitor::new(&fleet) else { return };
    let issue = |number: u64, body: &str, labels: &[&str]| json!({"number": number, "title": "t", "body": body, "labels": labels, "state": "OPEN"});
    let marker = "<!-- muster-cause: job-stuck%3Ajob_1 -->\n";
    let issues = json!([
        issue(1, "asked by a person", &["muster-health"]),
        issue(2, &format!("quoted:\n{marker}"), &["muster-health"]),
        issue(3, marker, &["question"]),
        issue(4, marker, &["muster-health"]),
        issue(5, marker, &["muster-health"]),
        json!({"number": 6, "title": "t", "body": null, "labels": ["muster-health"], "state": "OPEN"}),
    ]);
    fs::write(monitor.state.join("issues"), issues.to_string()).unwrap();
    monitor.report(&json!([finding("job-stuck:job_1", "stuck")])).success();
    assert_eq!(
        monitor.states(),
        ["OPEN", "OPEN", "OPEN", "OPEN", "CLOSED", "OPEN"],
        "the oldest of two stays"
    );
    monitor.report(&json!([])).success();
    assert_eq!(monitor.states(), ["OPEN", "OPEN", "OPEN", "CLOSED", "CLOSED", "OPEN"]);
}

#[test]
fn many_causes_come_in_portions() {
    let fleet = Fleet::new();
    let Some(monitor) = Monitor::new(&fleet) else { return };
    let findings: Vec<Value> = (0..25).map(|n| finding(&format!("job-dead:job_{n:02}"), "dead")).collect();
    let run = monitor.report(&findings.clone().into()).success();
    assert!(run.stderr().contains("5 more causes wait for the next run"), "{run}");
    assert_eq!(monitor.issues().len(), 20);
    monitor.report(&findings.clone().into()).success();
    assert_eq!(monitor.issues().len(), 25);
    monitor.report(&findings.into()).success();
    assert_eq!(monitor.issues().len(), 25);
}

#[test]
fn what_could_not_be_judged_is_not_taken_for_recovered() {
    let fleet = Fleet::new();
    let Some(monitor) = Monitor::new(&fleet) else { return };
    monitor.report(&json!([finding("job-stuck:job_1", "stuck")])).success();
    let partly =
        |findings: Value| json!({"schema": 1, "kind": "health", "level": "unknown", "findings": findings});
    monitor.run(&partly(json!([])).to_string()).success();
    assert_eq!(monitor.states(), ["OPEN"], "the queue may not have been readable");
    monitor.run(&partly(json!([finding("heartbeat-stale:bob", "no beat")])).to_string()).success();
    assert_eq!(monitor.states(), ["OPEN", "OPEN"], "what is seen is told");
    monitor.report(&json!([])).success();
    assert_eq!(monitor.states(), ["CLOSED", "CLOSED"]);
}

#[test]
fn what_is_no_report_touches_nothing() {
    let fleet = Fleet::new();
    let Some(monitor) = Monitor::new(&fleet) else { return };
    monitor.report(&json!([finding("job-stuck:job_1", "stuck")])).success();
    let (before, calls) = (monitor.issues(), monitor.calls());
    let good = json!({"schema": 1, "kind": "health", "findings": []}).to_string();
    for bad in [
        "",
        "error: the hub cannot be reached",
        "[]",
        "{}",
        "{\"schema\": 2, \"kind\": \"health\", \"findings\": []}",
        "{\"schema\": 1, \"kind\": \"error\", \"exit_code\": 7}",
        "{\"schema\": 1, \"kind\": \"health\", \"findings\": [{\"cause\": 1, \"what\": \"x\"}]}",
        "{\"schema\": 1, \"kind\": \"health\", \"findings\": [",
        &format!("{good}{good}"),
    ] {
        monitor.run(bad).code(65);
        assert_eq!((monitor.issues(), monitor.calls()), (before.clone(), calls.clone()), "{bad}");
    }
    fs::write(monitor.state.join("broken"), "").unwrap();
    monitor.report(&json!([])).code(4);
    assert_eq!(monitor.issues(), before, "GitHub does not answer: nothing is known, nothing is closed");
}

#[test]
fn text_of_the_hub_is_never_run_and_ends_no_comment() {
    let fleet = Fleet::new();
    let Some(monitor) = Monitor::new(&fleet) else { return };
    let hacked = monitor.host.place("HOME").join("hacked");
    let touch = format!("touch {}", hacked.display());
    let hostile = [
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("'; {touch}; '"),
        format!("\"; {touch}; \""),
        format!("x\n{touch}\n"),
        "-->\n# heading @everybody\n<!-- muster-cause: other -->".to_owned(),
        "--title".to_owned(),
        "--body-file=/etc/passwd".to_owned(),
        "\\(.number) \u{1b}[2J\u{202e}\u{0}%s%n*?[a]~".to_owned(),
        "ü".repeat(5000),
    ];
    let findings: Vec<Value> = hostile
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let cause = format!("job-dead:{index}:{text}");
            json!({"level": text, "cause": cause, "subject": text, "server": text, "what": text, "hint": text})
        })
        .collect();
    for _ in 0..2 {
        monitor.report(&findings.clone().into()).success();
        assert_eq!(monitor.issues().len(), hostile.len(), "none twice");
    }
    assert!(!hacked.exists());
    for issue in monitor.issues() {
        let (title, body) = (issue["title"].as_str().unwrap(), issue["body"].as_str().unwrap());
        assert!(title.starts_with("muster: ") && title.chars().count() <= 256, "{title}");
        assert!(!title.contains(char::is_control) && !title.contains('\u{202e}'), "{title:?}");
        assert_eq!(body.matches("muster-cause:").count() - body.matches("    -->").count(), 1, "{body}");
        let mut lines = body.lines();
        let marker = lines.next().unwrap();
        assert!(marker.starts_with("<!-- muster-cause: ") && marker.matches("-->").count() == 1, "{marker}");
        let ours = [
            "",
            "`git muster health` reports:",
            "What can be done:",
            "This issue is closed by itself when the cause is gone.",
        ];
        for line in lines {
            assert!(
                ours.contains(&line) || line.starts_with("    "),
                "text of the hub stands indented: {line}"
            );
        }
    }
    monitor.report(&json!([])).success();
    assert!(monitor.states().iter().all(|state| state == "CLOSED"));
}

/// The whole way, from a hub that somebody filled with traps.
#[test]
fn the_report_of_a_hub_becomes_issues() {
    let fleet = Fleet::new();
    let Some(monitor) = Monitor::new(&fleet) else { return };
    let host = &monitor.host;
    host.run(["init", &fleet.hub().url()]).success();
    host.run(["join", "--as", "bob"]).success();
    let trap = "$(touch hacked)`touch hacked`'\";touch hacked\n-->\u{1b}[2J";
    let jobs = json!({"jobs": [{"id": trap, "status": "dead", "reason": trap, "labels": [trap]}, {"id": "job_2", "status": "queued", "labels": [trap]}]});
    fleet.hub().put(MAIN, &[("coordination/jobs.json", jobs.to_string())], "traps");
    let report = host.run(["health", "--json"]).code(1);
    monitor.run(report.stdout()).success();
    monitor.run(report.stdout()).success();
    assert_eq!(monitor.states(), ["OPEN"; 3], "the id of a record is none, either");
    assert!(!host.directory().join("hacked").exists());
    fleet.hub().put(MAIN, &[("coordination/jobs.json", "{\"jobs\": []}\n")], "mended");
    let report = host.run(["health", "--json"]).success();
    monitor.run(report.stdout()).success();
    assert_eq!(monitor.states(), ["CLOSED"; 3]);
}

/// The steps of the workflow that run a command, in their order: name and lines.
fn workflow_steps() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows/health-monitor.yml");
    let text = fs::read_to_string(path).unwrap();
    let steps = text.split("      - name: ").skip(1).filter_map(|step| {
        let (name, rest) = step.split_once('\n').unwrap();
        let (_, command) = rest.split_once("        run: ")?;
        let lines = command.strip_prefix("|\n").unwrap_or(command).lines().map(str::trim_start);
        Some((name.to_owned(), lines.collect::<Vec<_>>().join("\n")))
    });
    steps.collect()
}

/// Runs the workflow as GitHub does, but for what it checks out and compiles: the code of the first
/// step that fails, or 0.
fn run_workflow(fleet: &Fleet, monitor: &mut Monitor) -> i32 {
    let home = monitor.host.place("HOME");
    let (workspace, temp) = (home.join("workspace"), home.join("temp"));
    for folder in [&workspace, &temp] {
        fs::remove_dir_all(folder).ok();
        fs::create_dir_all(folder).unwrap();
    }
    let clone = ["clone", "--quiet", &fleet.hub().url(), "."];
    monitor.host.program("git").args(clone).current_dir(&workspace).run().success();
    // What is checked out there cannot be reached again: no credentials are kept.
    let forget = ["remote", "set-url", "origin", "https://hub.invalid/hub.git"];
    monitor.host.program("git").args(forget).current_dir(&workspace).run().success();
    symlink(env!("CARGO_MANIFEST_DIR"), workspace.join(".git-muster")).unwrap();
    fs::create_dir_all(home.join("muster/bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_git-muster"), home.join("muster/bin/git-muster")).ok();
    for (name, value) in [
        ("RUNNER_TEMP", temp.as_os_str()),
        ("GITHUB_WORKSPACE", workspace.as_os_str()),
        ("GITHUB_REF_NAME", MAIN.as_ref()),
    ] {
        monitor.host.set(name, value);
    }
    for (_, command) in workflow_steps().iter().filter(|(name, _)| name != "Install it") {
        let shell = ["--noprofile", "--norc", "-eo", "pipefail", "-c", command];
        let run = monitor.host.program("bash").args(shell).current_dir(&workspace).run();
        match run.exit_code() {
            Some(0) => {}
            code => return code.unwrap(),
        }
    }
    0
}

#[test]
fn the_workflow_keeps_the_issues_of_its_own_hub() {
    let fleet = Fleet::new();
    let Some(mut monitor) = Monitor::new(&fleet) else { return };
    monitor.host.run(["init", &fleet.hub().url()]).success();
    monitor.host.run(["join", &fleet.hub().url(), "--as", "bob"]).success();
    // Beats are on a branch of their own; the copy on the main branch is old.
    let old = r#"{"server": "bob", "timestamp": "2025-10-29T12:00:00Z", "interval_seconds": 60}"#;
    fleet.hub().put(MAIN, &[("bob/heartbeat.json", old)], "an old beat");
    monitor.host.run(["--server", "bob", "heartbeat"]).success();
    assert_eq!((run_workflow(&fleet, &mut monitor), monitor.states().len()), (0, 0), "a fresh beat of bob's");
    let jobs = json!({"jobs": [{"id": "job_1", "status": "dead"}]}).to_string();
    fleet.hub().put(MAIN, &[("coordination/jobs.json", jobs)], "a dead job");
    assert_eq!((run_workflow(&fleet, &mut monitor), monitor.states()), (0, vec!["OPEN".to_owned()]));
    fleet.hub().put(MAIN, &[("coordination/jobs.json", "{<<<<<<<\n")], "damage");
    let before = monitor.issues();
    run_workflow(&fleet, &mut monitor);
    assert_eq!(monitor.issues()[..1], before[..], "what cannot be read is not over");
    fleet.hub().put(MAIN, &[("coordination/jobs.json", "{\"jobs\": []}\n")], "mended");
    assert_eq!(run_workflow(&fleet, &mut monitor), 0);
    assert!(monitor.states().iter().all(|state| state == "CLOSED"));
}

#[test]
fn the_workflow_runs_no_program_that_others_may_change() {
    let workflow = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows/health-monitor.yml");
    let text = fs::read_to_string(workflow).unwrap();
    let commit = text.lines().find_map(|line| line.trim().strip_prefix("MUSTER_REF: ")).unwrap();
    assert!(
        commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{commit} is no commit"
    );
    for line in text.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, action)| action) {
        let commit = line.split(['@', ' ']).nth(1).unwrap();
        assert!(commit.len() == 40, "{line} is not pinned to a commit");
    }
    let checkouts = text.matches("uses: actions/checkout@").count();
    assert_eq!((checkouts, text.matches("persist-credentials: false").count()), (2, 2));
    // The token is for the step that calls `gh`, and for no program that was compiled here.
    let (before, last) = text.rsplit_once("      - name: ").unwrap();
    assert!(
        !before.contains("github.token") && last.contains("github.token") && !last.contains("muster/bin")
    );
}
