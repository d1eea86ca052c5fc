//! `job claim`.

use super::{added, two_servers};
use crate::support::{MAIN, Transcript, inspect};
use insta::assert_snapshot;

#[test]
fn the_most_urgent_job_is_claimed_first() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    said.run(&ada, "job claim");
    said.run(&ada, "job claim --json");
    let jobs = [
        ("<low>", added(&ada, &["--priority", "low"])),
        ("<gpu>", added(&ada, &["--priority", "1", "--label", "gpu"])),
        ("<high>", added(&ada, &["--priority", "high", "--type", "test", "--description", "it's urgent"])),
        ("<normal>", added(&ada, &["--branch", "main", "--commit", "4f2c1d9"])),
        ("<last>", added(&ada, &["--priority", "9"])),
    ];
    for (name, job) in &jobs {
        said.name(job, name);
    }
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, "job claim --dry-run");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    said.run(&ada, "job claim --shell");
    said.run(&bob, "job claim --start");
    said.run(&ada, &format!("job claim {}", jobs[1].1));
    said.run(&ada, "job claim --count 2 --json");
    said.run(&ada, "job claim job_404");
    said.run(&ada, "status list");
    said.run(&bob, "job claim --label quantum --json");
    said.run(&bob, "job claim");
    said.run(&ada, "job list");
    let log = inspect::log(fleet.hub(), MAIN);
    assert!(log[0].subject.starts_with("job claim: job_"), "{}", log[0].subject);
    assert_snapshot!(said, @r#"
    ada$ git muster job claim
    ------- stderr -------
    error: no job for `ada` to claim
    [exit status: 3]
    ada$ git muster job claim --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":3,"error":"no job for `ada` to claim","hints":[],"op":null,"code":"nothing-to-claim","retry":"later","written":false,"facts":{"server":"ada","queued":0},"errors":[]}
    [exit status: 3]
    ada$ git muster job claim --dry-run
    dry run, not done: <high> token 1 test it's urgent
    ------- stderr -------
    warning: dry run: nothing was written
    [exit status: 0]
    ada$ git muster job claim --shell
    export MUSTER_JOB_ID='<high>'
    export MUSTER_JOB_TOKEN='1'
    export MUSTER_JOB_TYPE='test'
    export MUSTER_JOB_BRANCH=''
    export MUSTER_JOB_COMMIT=''
    export MUSTER_JOB_DESCRIPTION='it'\''s urgent'
    [exit status: 0]
    bob$ git muster job claim --start
    <gpu> token 1 build
    [exit status: 0]
    ada$ git muster job claim <gpu>
    ------- stderr -------
    error: cannot claim job `<gpu>`: running on bob for [DURATION]
    hint: see the details with `git muster job explain <gpu>`
    [exit status: 4]
    ada$ git muster job claim --count 2 --json
    [{"schema":1,"kind":"job","id":"<normal>","type":"build","priority":5,"branch":"main",
      "commit":"[COMMIT]","assigned_to":"ada","status":"claimed","created_at":"[TIME]",
      "started_at":"[TIME]","completed_at":null,"requester":"ada","attempts":1,"token":1,
      "incarnation":"[UUID]","command":[],"written":{"hub":"[HUB]/hub.git","branch":"main",
      "commit":"[COMMIT]"}},{"schema":1,"kind":"job","id":"<low>","type":"build","priority":8,
      "branch":null,"commit":null,"assigned_to":"ada","status":"claimed","created_at":"[TIME]",
      "started_at":"[TIME]","completed_at":null,"requester":"ada","attempts":1,"token":1,
      "incarnation":"[UUID]","command":[],"written":{"hub":"[HUB]/hub.git","branch":"main",
      "commit":"[COMMIT]"}}]
    [exit status: 0]
    ada$ git muster job claim job_404
    ------- stderr -------
    error: job `job_404` not found
    hint: list job ids with `git muster job list`; the archive was searched, too
    [exit status: 3]
    ada$ git muster status list
    SERVER  STATUS  JOB  LAST BUILD  UPDATED
    ada  building  <low>  -  [DURATION] ago
    bob  building  <gpu>  -  [DURATION] ago
    [exit status: 0]
    bob$ git muster job claim --label quantum --json
    {"schema":1,"kind":"job","id":"<last>","type":"build","priority":9,"branch":null,"commit":null,
      "assigned_to":"bob","status":"claimed","created_at":"[TIME]","started_at":"[TIME]",
      "completed_at":null,"requester":"ada","attempts":1,"token":1,"incarnation":"[UUID]","command":[],
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    bob$ git muster job claim
    ------- stderr -------
    error: no job for `bob` to claim
    [exit status: 3]
    ada$ git muster job list
    JOB  STATUS  PRIORITY  TYPE  BRANCH  SERVER  DETAILS
    <low>  claimed  8  build  -  ada  claimed by ada [DURATION] ago
    <gpu>  running  1  build  -  bob  running on bob for [DURATION]
    <high>  claimed  3  test  -  ada  claimed by ada [DURATION] ago
    <normal>  claimed  5  build  main  ada  claimed by ada [DURATION] ago
    <last>  claimed  9  build  -  bob  claimed by bob [DURATION] ago
    [exit status: 0]
    "#);
}

#[test]
fn what_a_shell_evaluates_is_only_text() {
    let (fleet, ada, _bob) = two_servers();
    let hostile = "'; touch hacked; echo '$(touch hacked)`touch hacked`\\\n\u{1b}[2J";
    let job = serde_json::json!({"jobs": [{"id": "job_1", "status": "queued", "type": hostile,
        "branch": hostile, "commit": hostile, "description": hostile}]});
    fleet.hub().put(MAIN, &[("coordination/jobs.json", job.to_string())], "a hostile job");
    let script = format!(
        "claim=$({} job claim --shell) || exit; eval \"$claim\"; printf '%s|' \"$MUSTER_JOB_ID\" \"$MUSTER_JOB_TOKEN\" \"$MUSTER_JOB_DESCRIPTION\"",
        env!("CARGO_BIN_EXE_git-muster")
    );
    let run = ada.program("sh").args(["-c", &script]).run().success();
    let expected = "job_1|1|'; touch hacked; echo '$(touch hacked)`touch hacked`\\ \\u{1b}[2J|";
    assert_eq!(run.stdout(), expected);
    assert!(!ada.directory().join("hacked").exists());
}

#[test]
fn a_claim_writes_job_status_and_assignment_in_one_commit() {
    let (fleet, ada, bob) = two_servers();
    let job = added(&ada, &[]);
    let before = fleet.hub().tip(MAIN).unwrap();
    bob.run(["job", "claim"]).success();
    let log = inspect::log(fleet.hub(), MAIN);
    assert_eq!(log[1].id, before, "one commit");
    assert_eq!(log[0].trailer("Muster-Job").collect::<Vec<_>>(), [job.as_str()]);
    assert_eq!(log[0].trailer("Muster-Server").collect::<Vec<_>>(), ["bob"]);
    let changed = fleet.hub().git(["diff", "--name-only", &before, MAIN]);
    // In the second in which bob joined, his sign of life says what it said.
    let changed: Vec<&str> = changed.lines().filter(|path| *path != "bob/heartbeat.json").collect();
    assert_eq!(changed, ["bob/status.json", "coordination/jobs.json", "coordination/locks.json"]);
    let locks = inspect::document(fleet.hub(), MAIN, "coordination/locks.json");
    assert!(locks["locks"]["job_assignment"]["locked_by"].is_null(), "taken and released: {locks}");
}
