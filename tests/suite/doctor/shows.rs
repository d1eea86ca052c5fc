//! What a person reads, whole: a healthy machine and a sick one.

#![expect(clippy::too_many_lines, reason = "most lines of these tests are what the program said")]

use super::{commit_from_the_future, copies, joined, old_file};
use crate::support::{Host, MAIN, Run, Transport, need};
use insta::assert_snapshot;
use std::fs;
use std::time::Duration;

/// The run with what differs from machine to machine replaced.
fn shown(host: &Host, run: &Run) -> String {
    let place = host.place("HOME").parent().unwrap().display().to_string();
    let text = run.to_string().replace(&place, "[ADA]").replace("sudo ", "");
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(verdict @ "ok"), Some("git")) => format!("{verdict} git [VERSION] at [PATH]\n"),
            (Some(verdict), Some("disk")) => format!("{verdict} disk [FREE]\n"),
            (Some(verdict), Some("identity")) => format!("{verdict} identity [WHO]\n"),
            _ => format!("{line}\n"),
        }
    };
    let text: String = text.lines().map(line).collect();
    let copy = copies(host).first().map(|copy| copy.display().to_string().replace(&place, "[ADA]"));
    let text = crate::support::normalise(&copy.map_or(text.clone(), |copy| text.replace(&copy, "[COPY]")));
    measured(&text.replace("[DURATION] [DURATION]", "[DURATION]"))
}

/// Sizes depend on the names of hosts and folders, and a copy is put aside under a new name.
fn measured(text: &str) -> String {
    let line = |line: &str| match line.split_once("put aside as ") {
        Some((before, after)) => {
            format!("{before}put aside as [ASIDE]{}\n", &after[after.find(';').unwrap()..])
        }
        None => format!("{line}\n"),
    };
    let mut out: String = text.lines().map(line).collect();
    for unit in [" bytes", " KiB"] {
        let mut from = 0;
        while let Some(at) = out[from..].find(unit).map(|at| from + at) {
            let start = out[..at].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
            out.replace_range(start..at + unit.len(), "[SIZE]");
            from = start;
        }
    }
    out
}

#[test]
fn a_healthy_machine() {
    let (_fleet, ada) = joined(Transport::Path);
    assert_snapshot!(shown(&ada, &ada.run(["doctor"])), @"
    ok git [VERSION] at [PATH]
    ok       settings            hub [HUB]/hub.git (MUSTER_HUB), branch main ([ADA]/config/git-muster/config.json), time-out [DURATION] (default)
    ok identity [WHO]
    ok       folders             state [ADA]/state/git-muster, cache [ADA]/cache/git-muster, config [ADA]/config/git-muster, data [ADA]/data/git-muster
    ok disk [FREE]
    ok       clock-sync          the system says that its clock is synchronised
    ok       operations          none was left unsettled
    ok       leftovers           nothing was left behind
    skipped  copy                the hub is opened in place and not copied
    ok       stale-locks         none in hub
    ok       repository-size     hub: 23 loose objects ([SIZE]), 0 packs ([SIZE])
    ok       hub-hooks           the hub has none
    ok       hub-protection      the hub's configuration forbids nothing
    ok       hub-reachable       [HUB]/hub.git, opened in place in [DURATION]
    skipped  hub-history         the hub is opened in place, and nothing is fetched of it
    ok       hub-writable        this user may write objects and refs
    ok       hub-documents       8 documents, [SIZE]
    ok       document-size       0 jobs (0 to archive), [SIZE]; 0 messages (0 to archive), [SIZE]
    ok       heartbeat-branches  1 heartbeat branch
    ok       clock               it is [TIME] here; the newest commit, by ada on heartbeat-ada, is [DURATION] old
    ok       registration        ada is registered by this machine since [TIME]
    ok       beat                [DURATION] old, one is meant every [DURATION]
    20 ok, 0 warnings, 0 problems, 2 skipped
    [exit status: 0]
    ");
    assert_snapshot!(ada.run(["-q", "doctor"]).to_string(), @r#"
    [exit status: 0]
    "#);
}

#[test]
fn a_sick_machine() {
    if !need::is_here(&["fuser"]) {
        return;
    }
    let (fleet, mut ada) = joined(Transport::Path);
    fleet.hub().install_hook("post-receive", "#!/bin/sh\n");
    ada.run(["job", "list"]).success();
    fs::write(copies(&ada)[0].join("HEAD"), "garbage").unwrap();
    old_file(fleet.hub().path().join("packed-refs.lock"));
    old_file(ada.place("XDG_STATE_HOME").join("git-muster/.muster.x.tmp"));
    fleet.hub().git(["config", "receive.denyNonFastForwards", "true"]);
    fleet.hub().put(MAIN, &[("coordination/jobs.json", "<<<<<<< HEAD\n")], "a merge by hand");
    commit_from_the_future(&fleet, MAIN, "bob", Duration::from_secs(86_400 * 3));
    ada.set("SERVER_ID", "bob");
    assert_snapshot!(shown(&ada, &ada.run(["doctor"])), @"
    ok git [VERSION] at [PATH]
    warning  settings            hub [HUB]/hub.git (MUSTER_HUB), branch main ([ADA]/config/git-muster/config.json), time-out [DURATION] (default)
             warning: MUSTER_SERVER is `ada` and SERVER_ID is `bob`; MUSTER_SERVER is used
    ok identity [WHO]
    ok       folders             state [ADA]/state/git-muster, cache [ADA]/cache/git-muster, config [ADA]/config/git-muster, data [ADA]/data/git-muster
    ok disk [FREE]
    ok       clock-sync          the system says that its clock is synchronised
    ok       operations          none was left unsettled
    warning  leftovers           1 temporary file ([SIZE])
             warning: killed processes left files that nobody needs; they only take space
               mend: git muster doctor --fix leftovers
    problem  copy                the copy [COPY]: it is damaged: corrupted loose reference file: HEAD
             problem: the next command that notices puts it aside and fetches a new one
               mend: git muster doctor --fix copy
    problem  stale-locks         1 lock file older than [DURATION]
             problem: [HUB]/hub.git/packed-refs.lock in the hub is [DURATION] old: left by a killed process, and who wants to change what it locks waits or fails
               mend: fuser -s [HUB]/hub.git/packed-refs.lock [HUB]/hub.git; [ $? -eq 1 ] && rm [HUB]/hub.git/packed-refs.lock
    ok       repository-size     hub: 28 loose objects ([SIZE]), 0 packs ([SIZE]); copy: 18 loose objects ([SIZE]), 0 packs ([SIZE])
    ok       hub-hooks           the hub has post-receive, so every write goes through git push
    warning  hub-protection      receive.denyNonFastForwards
             warning: heartbeat branches cannot be replaced and grow by a commit with each beat, and heartbeat squash is refused
               mend: git -C [HUB]/hub.git config receive.denyNonFastForwards false
    ok       hub-reachable       [HUB]/hub.git, answered in [DURATION]; through git, because it has server hooks, which must run
    ok       hub-history         all of it comes that is not here yet
    ok       hub-writable        the hub lets this account push, as far as a push that is not made can tell; hooks and protected branches speak only when one is
    problem  hub-documents       8 documents, [SIZE]
             problem: coordination/jobs.json cannot be read, and nothing that needs it works: it holds merge conflict markers; expected value at line 1 column 1; `git muster fsck` shows all that is wrong; `git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it
    ok       document-size       0 messages (0 to archive), [SIZE]
    ok       heartbeat-branches  1 heartbeat branch
    problem  clock               it is [TIME] here; the newest commit, by bob on main, is [DURATION] ahead of that
             problem: the newest commit of main is [DURATION] ahead of this clock, by bob, so the clock of bob is ahead or this host's is behind, by that much at least; set the one that is wrong
               mend: timedatectl set-ntp true
    ok       registration        ada is registered by this machine since [TIME]
    ok       beat                [DURATION] old, one is meant every [DURATION]
    15 ok, 3 warnings, 4 problems, 0 skipped
    [exit status: 1]
    ");
    let mended = ["doctor", "--fix", "copy", "leftovers"];
    assert_snapshot!(shown(&ada, &ada.run(mended)), @r#"
    mended: [ADA]/state/git-muster/.muster.x.tmp is removed
    mended: [COPY] is put aside as [ASIDE]; the next command fetches a new one
    ok       leftovers  nothing was left behind
    ok       copy       the copy [COPY] is empty; the next command fetches
    2 ok, 0 warnings, 0 problems, 0 skipped
    [exit status: 0]
    "#);
    let json = ada.run(["doctor", "--json", "hub-protection"]);
    assert_snapshot!(shown(&ada, &json), @r#"
    {
      "schema": 1,
      "kind": "doctor",
      "verdict": "warning",
      "counts": {
        "ok": 0,
        "warning": 1,
        "problem": 0,
        "skipped": 0
      },
      "checks": [
        {
          "name": "hub-protection",
          "verdict": "warning",
          "evidence": "receive.denyNonFastForwards",
          "findings": [
            {
              "verdict": "warning",
              "what": "heartbeat branches cannot be replaced and grow by a commit with each beat, and heartbeat squash is refused",
              "mend": "git -C [HUB]/hub.git config receive.denyNonFastForwards false",
              "fixable": false
            }
          ]
        }
      ]
    }
    [exit status: 0]
    "#);
}

#[test]
fn a_check_that_does_not_exist_is_a_wrong_command_line() {
    let (_fleet, ada) = joined(Transport::Path);
    let run = ada.run(["doctor", "hub-writeable"]).code(2);
    assert!(run.stderr().contains("'hub-writable'") && run.stderr().contains("heartbeat-branches"), "{run}");
}
