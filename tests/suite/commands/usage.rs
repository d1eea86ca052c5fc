//! What the program says about itself, and about words that make no sense.

use super::two_servers;
use crate::support::{Fleet, Transcript};
use insta::assert_snapshot;
use std::fs;

#[test]
fn words_that_make_no_sense_are_a_usage_error() {
    let (_fleet, ada, _bob) = two_servers();
    let mut said = Transcript::new();
    for line in [
        "--version",
        "jobs",
        "job",
        "job ad",
        "status set sleeping",
        "--if-lock deploy servers list",
        "--if-lock deploy=x servers list",
        "--timeout soon servers list",
        "--branch a..b servers list",
        "--branch nowhere servers list",
        "completions klingon",
        "jobs --json",
        "--hub '' job list",
    ] {
        said.run(&ada, line);
    }
    assert_snapshot!(said, @r#"
    ada$ git muster --version
    git-muster 0.1.0
    [exit status: 0]
    ada$ git muster jobs
    ------- stderr -------
    error: unrecognized subcommand 'jobs'

      tip: a similar subcommand exists: 'job'

    Usage: git muster [OPTIONS] <COMMAND>

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster job
    ------- stderr -------
    Add, claim, run and inspect jobs

    Usage: git muster job [OPTIONS] <COMMAND>

    Commands:
      add  Add a job, or many from a file in one commit
      list  List jobs, unfinished ones first
      show  Show one job
      explain  Explain why a job has not started
      claim  Claim the next job and print it with its token
      start  Mark a claimed job as running
      heartbeat  Send a heartbeat for a claimed job and check the claim: exit code 5 if the claim is
                 lost
      complete  Report that a claimed job succeeded
      fail  Report that a claimed job failed
      release  Return a claimed job to the queue; the attempt does not count
      cancel  Cancel a job
      stopped  Confirm that a cancelled job has stopped: none of its processes is left
      retry  Requeue a finished job
      requeue  Requeue a job of a server that is gone for good, without waiting
      dead  List, retry and purge dead jobs (attempts exhausted)
      priority  Change the priority of a job
      run  Claim a job, run it, report the result, and exit with the job's exit code
      logs  Print the log of a job
      wait  Wait for a job to finish: exit code 0 if it completed, otherwise the job's exit code,
                 or 1
      help  Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help
      -V, --version  Print version

    Global options:
          --hub <PATH|URL>  Hub to use: path or URL [otherwise: MUSTER_HUB, the current clone,
                                    the hub set by `join`, the per-user hub]
          --hub-branch <BRANCH>  Hub branch; valid anywhere on the command line [otherwise:
                                    MUSTER_BRANCH; default: main]
          --server <NAME>  Act as this server [otherwise: MUSTER_SERVER, SERVER_ID,
                                    .build_server_id, /etc/build_server_id, the name set by `join`]
          --json  Print results, errors, warnings and notes as JSON; an empty list as
                                    []
      -q, --quiet  Print only results, warnings and errors; no error for exit code 3
      -v, --verbose  Also print the hub, the branch and the commit that was written
      -n, --dry-run  Show what would be written; write nothing to the hub
          --hub-timeout <DURATION>  Time limit for one write; valid anywhere on the command line
                                    [otherwise: MUSTER_TIMEOUT; default: [DURATION]]
          --if-lock <NAME=TOKEN>  Write only if this lock is held with this token (can be repeated)
    [exit status: 2]
    ada$ git muster job ad
    ------- stderr -------
    error: unrecognized subcommand 'ad'

    Usage: git muster job [OPTIONS] <COMMAND>

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster status set sleeping
    ------- stderr -------
    error: invalid value 'sleeping' for '<STATUS>'
      [possible values: idle, building, failed, success]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster --if-lock deploy servers list
    ------- stderr -------
    error: `--if-lock deploy` is not NAME=TOKEN
    [exit status: 2]
    ada$ git muster --if-lock deploy=x servers list
    ------- stderr -------
    error: `--if-lock deploy=x` is not NAME=TOKEN
    [exit status: 2]
    ada$ git muster --timeout soon servers list
    ------- stderr -------
    error: give a span of time such as [DURATION], [DURATION], 1h30m or [DURATION] (from --timeout)
    [exit status: 2]
    ada$ git muster --branch a..b servers list
    ------- stderr -------
    error: branch `a..b` may not hold `..` or `//`, nor end with a dot or a slash (from --branch)
    [exit status: 2]
    ada$ git muster --branch nowhere servers list
    ------- stderr -------
    error: the hub `[HUB]/hub.git` has no branch `nowhere`
    hint: the hub branch is `main`: pass `--hub-branch main`, or store it with `git muster join [HUB]/hub.git --hub-branch main --as NAME`
    [exit status: 78]
    ada$ git muster completions klingon
    ------- stderr -------
    error: invalid value 'klingon' for '<SHELL>'
      [possible values: bash, elvish, fish, powershell, zsh]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster jobs --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":2,"error":"unrecognized subcommand 'jobs'","hints":["tip: a similar subcommand exists: 'job'","Usage: git muster [OPTIONS] <COMMAND>","For more information, try '--help'."],"op":null,"code":"usage","retry":"no","written":false,"facts":{"usage":"git muster [OPTIONS] <COMMAND>"},"errors":[]}
    [exit status: 2]
    ada$ git muster --hub '' job list
    ------- stderr -------
    error: a value is required for '--hub <PATH|URL>' but none was supplied

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

/// What the hints say has to work where people type it: at the end of the line.
#[test]
fn the_hubs_branch_may_be_named_after_any_verb() {
    let fleet = Fleet::new();
    let host = fleet.host("ada");
    host.run(["--branch", "other", "init", &fleet.hub().url()]).success();
    host.run(["join", "--as", "ada", "--hub-branch", "other"]).success();
    for line in
        ["job list", "job add --type t --branch feature", "fsck", "heartbeat", "health", "servers list"]
    {
        let words = || line.split(' ');
        let run = host.run(words().chain(["--hub-branch", "nowhere"]));
        assert!(run.stderr().contains("pass `--hub-branch other`"), "{run}");
        host.run(words().chain(["--hub-branch", "other", "--hub-timeout", "1m"])).success();
    }
    let help = host.run(["job", "add", "--help"]).success();
    assert!(!help.stdout().contains("The same"), "{help}");
}

#[test]
fn completions_and_manual_come_out_of_the_program() {
    let fleet = Fleet::new();
    let host = fleet.host("nobody");
    for (shell, sign) in [
        ("bash", "complete -o bashdefault"),
        ("zsh", "#compdef git-muster"),
        ("fish", "complete -c git-muster"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = host.run(["completions", shell]).success();
        assert!(script.stdout().contains(sign), "no script of {shell}: {script}");
    }
    let script = host.run(["completions", "bash"]).success().stdout().to_owned();
    let check = ". /dev/stdin && complete -p git-muster";
    let completed = host.program("bash").args(["-c", check]).stdin(script).run().success();
    assert!(completed.stdout().contains("complete "), "{completed}");
    let page = host.run(["man"]).success();
    assert!(page.stdout().contains(".TH git-muster 1"), "{page}");
    for noun in ["heartbeat", "job", "lock", "message"] {
        assert!(page.stdout().contains(noun), "the manual page does not name {noun}");
    }
    let folder = host.directory().join("man1");
    host.run(["man", "--to", &folder.display().to_string()]).success();
    let page = fs::read_to_string(folder.join("git-muster-job-claim.1")).unwrap();
    assert!(page.contains("MUSTER_JOB_ID") && page.contains("\\-\\-if\\-lock"), "{page}");
    for document in ["command-reference", "schemas"] {
        assert!(!host.run(["generate", document]).success().stdout().is_empty());
    }
}

#[test]
fn a_tip_names_no_verb_that_writes_and_plain_other_names_are_taken() {
    let (fleet, ada, _bob) = two_servers();
    let job = super::added(&ada, &["--label", "a=1,b=2"]);
    ada.run(["lock", "acquire", "deploy"]).success();
    let tip = fleet.hub().tip(crate::support::MAIN);
    for line in [
        "job ls",
        &format!("job status {job}"),
        &format!("job describe {job}"),
        "lock ls",
        "lock status deploy",
        "lock describe deploy",
        "servers ls",
        "servers describe ada",
        "worker ps",
        "message ls",
        "queue ls",
        "op ls",
        "status describe ada",
    ] {
        ada.run(line.split(' ')).success();
    }
    let writes = [
        "steal", "complete", "start", "release", "acquire", "cancel", "claim", "add", "remove", "purge",
        "send", "ack", "pause", "drain", "resume", "drop", "prune", "retry", "requeue", "init", "join",
        "archive",
    ];
    for line in [
        "job delete",
        "job compete",
        "job claims",
        "job cancl",
        "lock stael",
        "lock acquier",
        "lock releas",
        "message sent",
        "queue paus",
        "op dro",
        "servers remov",
        "int",
        "joined",
        "archiv",
        "worker drai",
    ] {
        let run = ada.run(line.split(' ')).code(2);
        let tips: Vec<&str> = run.stderr().lines().filter(|line| line.contains("tip:")).collect();
        let named = |verb: &&str| tips.iter().any(|tip| tip.contains(&format!("'{verb}'")));
        assert!(!writes.iter().any(named), "{line}: {run}");
    }
    assert!(ada.run(["job", "lst"]).code(2).stderr().contains("'list'"));
    assert_eq!(fleet.hub().tip(crate::support::MAIN), tip);
    // Labels behind one another are several, in whatever way they are given.
    let shown = ada.run(["job", "show", &job, "--json"]).success().json();
    assert_eq!(shown["labels"], serde_json::json!(["a=1", "b=2"]));
    ada.run(["job", "claim", &job, "--label", "a=1,b=2"]).success();
    // A flag with two places is told apart.
    let run = ada.run(["--timeout", "20s", "job", "add", "--type", "test"]).success();
    assert!(run.stderr().contains("before `job add`") && run.stderr().contains("--hub-timeout"), "{run}");
    let run = ada.run(["--timeout", "20s", "job", "add", "--timeout", "2h", "--type", "test"]).success();
    assert_eq!(run.stderr(), "");
}

#[test]
fn a_mistyped_word_that_may_have_meant_a_write_is_answered_with_no_other() {
    let (_fleet, ada, _bob) = two_servers();
    for (words, told) in [
        // `read` marks messages; `thread` is not what was meant.
        (&["message", "rea"][..], None),
        (&["job", "ad"], None),
        (&["job", "sho"], Some("'show'")),
        (&["lock", "lisst"], Some("'list'")),
    ] {
        let run = ada.run(words).code(2);
        let tip = run.stderr().lines().find(|line| line.contains("tip:")).map(str::to_owned);
        assert_eq!(tip.is_some(), told.is_some(), "{run}");
        assert!(told.is_none_or(|told| tip.unwrap().contains(told)), "{run}");
    }
}

/// The words of a table, but for seconds, which go by.
fn without_ages(table: &str) -> String {
    let is_age = |word: &str| word.strip_suffix('s').is_some_and(|age| age.parse::<u32>().is_ok());
    let words: Vec<&str> = table.split_whitespace().filter(|word| !is_age(word)).collect();
    words.join(" ")
}

#[test]
fn who_asks_is_no_filter_and_is_told_so() {
    let (_fleet, ada, _bob) = two_servers();
    ada.run(["job", "add", "--type", "t", "--", "true"]).success();
    for (words, told) in [
        (&["job", "list"][..], "`--assigned-to NAME`"),
        (&["status", "list"], "status show NAME`"),
        (&["worker", "list"], "worker show NAME`"),
        (&["servers", "list"], "servers show NAME`"),
    ] {
        let run = ada.run([&["--server", "bob"], words].concat()).success();
        assert!(run.stderr().contains("`--server` says who asks"), "{run}");
        assert!(run.stderr().contains(told), "{run}");
        let plain = ada.run(words).success();
        assert_eq!(
            (without_ages(plain.stdout()), plain.stderr()),
            (without_ages(run.stdout()), ""),
            "{plain}"
        );
    }
    let run = ada.run(["--server", "bob", "job", "list", "--assigned-to", "bob"]).success();
    assert!(!run.stderr().contains("who asks"), "{run}");
}

#[test]
fn an_age_needs_a_unit_and_a_span_without_one_is_one_of_seconds() {
    let (fleet, ada, _bob) = two_servers();
    let url = fleet.hub().url();
    for words in [
        &["archive", "--older-than", "3"][..],
        &["archive", "--unread-older-than", "3"],
        &["job", "dead", "purge", "--older-than", "3"],
        &["import", &url, "--close-jobs-older-than", "3"],
    ] {
        let run = ada.run(words).code(2);
        assert!(run.stderr().contains("add a unit, such as 30d"), "{run}");
        let with_unit: Vec<&str> = words.iter().map(|word| if *word == "3" { "3d" } else { word }).collect();
        ada.run(with_unit).success();
    }
    ada.run(["lock", "acquire", "gate", "--ttl", "90"]).success();
    assert_eq!(ada.run(["lock", "show", "gate", "--json"]).success().json()["lease_seconds"], 90);
}

#[test]
fn a_tip_that_would_do_harm_leaves_no_blank_line_behind() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    for line in ["job delete", "worker pause2", "lock steel", "message delete", "servers ad"] {
        let run = ada.run(line.split(' ')).code(2);
        assert!(run.stderr().starts_with("error: unrecognized subcommand"), "{run}");
        assert!(!run.stderr().contains("\n\n\n") && run.stderr().contains("\n\nUsage: "), "{run}");
    }
}
