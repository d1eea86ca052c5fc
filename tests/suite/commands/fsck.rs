//! `fsck`: a sound hub, a damaged one, and what it says of each.

use super::{added, two_servers};
use crate::support::{Fleet, MAIN, Transcript, inspect};
use insta::assert_snapshot;

#[test]
fn a_sound_hub_has_nothing_to_tell() {
    let (_fleet, ada, _bob) = two_servers();
    added(&ada, &[]);
    ada.run(["job", "claim"]).success();
    ada.run(["heartbeat"]).success();
    let mut said = Transcript::new();
    said.run(&ada, "fsck");
    said.run(&ada, "fsck --history");
    said.run(&ada, "fsck --history --json");
    said.run(&ada, "fsck --since 0123456");
    said.run(&ada, "fsck --history --since main");
    said.run(&ada, "fsck --history --since 0123456");
    assert_snapshot!(said, @r#"
    ada$ git muster fsck
    0 errors, 0 warnings, 0 notes in 11 documents on 2 branches
    [exit status: 0]
    ada$ git muster fsck --history
    0 errors, 0 warnings, 0 notes in 11 documents on 2 branches, and 5 commits with 5 operations
    [exit status: 0]
    ada$ git muster fsck --history --json
    {"schema":1,"kind":"fsck","commit":"[COMMIT]","checked":{"branches":2,"documents":11,"records":5,
      "commits":5,"operations":5},"errors":0,"warnings":0,"notes":0,"findings":[],"commits_by_hand":0,
      "by_hand":[]}
    [exit status: 0]
    ada$ git muster fsck --since [COMMIT]
    ------- stderr -------
    error: the following required arguments were not provided:
      --history

    Usage: git muster fsck --history --since <COMMIT>

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster fsck --history --since main
    ------- stderr -------
    error: invalid value 'main' for '--since <COMMIT>': give 7 to 40 hexadecimal digits of a commit of the hub

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster fsck --history --since [COMMIT]
    ------- stderr -------
    error: commit `[COMMIT]` is not in the checked part of the history
    hint: list the checked commits with `git log --first-parent`
    [exit status: 3]
    "#);
}

#[test]
fn what_a_hand_broke_is_told_with_the_hand() {
    let (fleet, ada, _bob) = two_servers();
    let job = added(&ada, &[]);
    let sent = ada.run(["message", "send", "--to", "bob", "--subject", "hi"]).success();
    ada.run(["lock", "acquire", "deploy"]).success();
    let mut said = Transcript::new();
    said.name(&job, "<job>");
    said.name(sent.stdout(), "<message>");
    let mut jobs = inspect::document(fleet.hub(), MAIN, "coordination/jobs.json");
    jobs["jobs"][0]["status"] = "completed".into();
    let mut locks = inspect::document(fleet.hub(), MAIN, "coordination/locks.json");
    locks["locks"]["deploy"]["locked_by"] = "bob".into();
    locks["locks"]["cron"]["locked_by"] = "bob".into();
    let files = [
        ("coordination/jobs.json", jobs.to_string()),
        ("coordination/locks.json", locks.to_string()),
        ("coordination/messages.json", "{\"messages\": []}".to_owned()),
        ("bob/status.json", "{\"server\": \"ada\"}".to_owned()),
        ("bob/heartbeat.json", "<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n".to_owned()),
    ];
    let tip = fleet.hub().put(MAIN, &files, "tidy up");
    said.run(&ada, "fsck");
    said.run(&ada, "fsck --history");
    said.run(&ada, "fsck --history --json");
    ada.run(["message", "send", "--to", "bob", "--subject", "again"]).success();
    said.run(&ada, &format!("fsck --history --since {}", &tip[..10]));
    fleet.hub().put(MAIN, &[("bob/heartbeat.json", "{}")], "mend");
    said.run(&ada, &format!("fsck --history --since {tip}"));
    said.run(&ada, &format!("fsck --history --since {tip} --fail-on note"));
    assert_snapshot!(said, @r#"
    ada$ git muster fsck
    error: bob/heartbeat.json: it holds merge conflict markers; expected value at line 1 column 1 (unreadable)
      hint: `git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it; or mend it in a clone of the hub and push it: `git log -p -- bob/heartbeat.json` there shows who changed it
    note: coordination/locks.json: locks.cron: lock `cron` is held without a token (held-without-token)
      hint: an older writer took it: it is respected, and nothing fences off its holder
    note: bob/status.json: it lies in the directory of `bob` and names `ada` (other-server)
      hint: the directory is what counts
    1 error, 0 warnings, 2 notes in 11 documents on 1 branch
    [exit status: 1]
    ada$ git muster fsck --history
    error: bob/heartbeat.json: it holds merge conflict markers; expected value at line 1 column 1 (unreadable)
      by hand in [COMMIT] [TIME] support: tidy up
      hint: `git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it; or mend it in a clone of the hub and push it: `git log -p -- bob/heartbeat.json` there shows who changed it
    error: coordination/jobs.json: jobs[0]: job `<job>` went from queued to completed (illegal-step)
      by hand in [COMMIT] [TIME] support: tidy up
      hint: a job is claimed before it ends, and leaves its end by `git muster job retry <job>` only
    error: coordination/messages.json: message `<message>` is gone and not in the archive (message-vanished)
      by hand in [COMMIT] [TIME] support: tidy up
      hint: put the record back from the commit before; read messages leave by `git muster archive`
    error: coordination/locks.json: locks.deploy: lock `deploy` went from `ada` to `bob` under the same token 1 (handed-over)
      by hand in [COMMIT] [TIME] support: tidy up
      hint: both may believe that they hold it: `git muster lock steal deploy --reason REASON --force` gives it a new token
    note: coordination/locks.json: locks.cron: lock `cron` is held without a token (held-without-token)
      hint: an older writer took it: it is respected, and nothing fences off its holder
    note: bob/status.json: it lies in the directory of `bob` and names `ada` (other-server)
      hint: the directory is what counts
    note: coordination/locks.json: locks.cron: lock `cron` was taken by `bob` without a token, as older writers do (taken-without-token)
      by hand in [COMMIT] [TIME] support: tidy up
    1 commit made by hand, the newest first:
      [COMMIT] [TIME] support: tidy up
    4 errors, 0 warnings, 3 notes in 11 documents on 1 branch, and 7 commits with 6 operations
    hint: once these are known, `git muster fsck --history --since [COMMIT]` tells only what comes after
    [exit status: 1]
    ada$ git muster fsck --history --json
    {"schema":1,"kind":"fsck","commit":"[COMMIT]","checked":{"branches":1,"documents":11,"records":8,
      "commits":7,"operations":6},"errors":4,"warnings":0,"notes":3,"findings":[{"severity":"error",
      "kind":"unreadable","path":"bob/heartbeat.json",
      "what":"it holds merge conflict markers; expected value at line 1 column 1",
      "hint":"`git muster import --check` shows what of it is mended and what is taken from the history,
       and `git muster import` does it; or mend it in a clone of the hub and push it: `git log -p -- bob/heartbeat.json` there shows who changed it",
      "commit":{"id":"[COMMIT]","author":"support","at":"[TIME]","subject":"tidy up","by_hand":true}},
      {"severity":"error","kind":"illegal-step","path":"coordination/jobs.json","place":"jobs[0]",
      "what":"job `<job>` went from queued to completed","hint":"a job is claimed before it ends,
       and leaves its end by `git muster job retry <job>` only","commit":{"id":"[COMMIT]",
      "author":"support","at":"[TIME]","subject":"tidy up","by_hand":true}},{"severity":"error",
      "kind":"message-vanished","path":"coordination/messages.json",
      "what":"message `<message>` is gone and not in the archive",
      "hint":"put the record back from the commit before; read messages leave by `git muster archive`",
      "commit":{"id":"[COMMIT]","author":"support","at":"[TIME]","subject":"tidy up","by_hand":true}},
      {"severity":"error","kind":"handed-over","path":"coordination/locks.json","place":"locks.deploy",
      "what":"lock `deploy` went from `ada` to `bob` under the same token 1",
      "hint":"both may believe that they hold it: `git muster lock steal deploy --reason REASON --force` gives it a new token",
      "commit":{"id":"[COMMIT]","author":"support","at":"[TIME]","subject":"tidy up","by_hand":true}},
      {"severity":"note","kind":"held-without-token","path":"coordination/locks.json",
      "place":"locks.cron","what":"lock `cron` is held without a token",
      "hint":"an older writer took it: it is respected, and nothing fences off its holder"},
      {"severity":"note","kind":"other-server","path":"bob/status.json",
      "what":"it lies in the directory of `bob` and names `ada`","hint":"the directory is what counts"},
      {"severity":"note","kind":"taken-without-token","path":"coordination/locks.json",
      "place":"locks.cron","what":"lock `cron` was taken by `bob` without a token, as older writers do",
      "commit":{"id":"[COMMIT]","author":"support","at":"[TIME]","subject":"tidy up","by_hand":true}}],
      "commits_by_hand":1,"by_hand":[{"id":"[COMMIT]","author":"support","at":"[TIME]",
      "subject":"tidy up","by_hand":true}]}
    [exit status: 1]
    ada$ git muster fsck --history --since [COMMIT]
    error: bob/heartbeat.json: it holds merge conflict markers; expected value at line 1 column 1 (unreadable)
      hint: `git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it; or mend it in a clone of the hub and push it: `git log -p -- bob/heartbeat.json` there shows who changed it
    note: coordination/locks.json: locks.cron: lock `cron` is held without a token (held-without-token)
      hint: an older writer took it: it is respected, and nothing fences off its holder
    note: bob/status.json: it lies in the directory of `bob` and names `ada` (other-server)
      hint: the directory is what counts
    1 error, 0 warnings, 2 notes in 11 documents on 1 branch, and 8 commits with 7 operations
    [exit status: 1]
    ada$ git muster fsck --history --since [COMMIT]
    note: coordination/locks.json: locks.cron: lock `cron` is held without a token (held-without-token)
      hint: an older writer took it: it is respected, and nothing fences off its holder
    note: bob/status.json: it lies in the directory of `bob` and names `ada` (other-server)
      hint: the directory is what counts
    1 commit made by hand, the newest first:
      [COMMIT] [TIME] support: mend
    0 errors, 0 warnings, 2 notes in 11 documents on 1 branch, and 9 commits with 7 operations
    [exit status: 0]
    ada$ git muster fsck --history --since [COMMIT] --fail-on note
    note: coordination/locks.json: locks.cron: lock `cron` is held without a token (held-without-token)
      hint: an older writer took it: it is respected, and nothing fences off its holder
    note: bob/status.json: it lies in the directory of `bob` and names `ada` (other-server)
      hint: the directory is what counts
    1 commit made by hand, the newest first:
      [COMMIT] [TIME] support: mend
    0 errors, 0 warnings, 2 notes in 11 documents on 1 branch, and 9 commits with 7 operations
    [exit status: 1]
    "#);
}

#[test]
fn a_hub_that_is_away_or_none_is_no_finding() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    let mut said = Transcript::new();
    said.run(&ada, "fsck");
    fleet.hub().go_down();
    said.run(&ada, "fsck --history");
    assert_snapshot!(said, @"
    ada$ git muster fsck
    ------- stderr -------
    error: the hub `[HUB]/hub.git` has no branch `main`: it is empty
    hint: create a hub in it with `git muster init [HUB]/hub.git`, or select another branch with `--hub-branch`
    hint: the hub address comes from MUSTER_HUB; pass another with `--hub`
    [exit status: 78]
    ada$ git muster fsck --history
    ------- stderr -------
    error: the hub `[HUB]/hub.git` cannot be reached: there is no such folder
    hint: check the hub address; if it is correct, check that the disk is mounted or the host name resolves, then try again
    [exit status: 7]
    ");
}
