//! What `message send` takes and what it refuses.

use super::two_servers;
use crate::support::{MAIN, Transcript};
use insta::assert_snapshot;
use std::fs;

#[test]
fn a_body_comes_from_an_argument_a_file_or_the_input() {
    let (_fleet, ada, bob) = two_servers();
    fs::write(ada.directory().join("report.txt"), "line one\n\tline two\n").unwrap();
    fs::write(ada.directory().join("latin1.txt"), b"gr\xfc\xdfe").unwrap();
    let mut said = Transcript::new();
    said.run(&ada, "message send --to bob --subject file --body @report.txt -q");
    said.run_with(&ada, "message send --to bob --subject input --body -", |command| {
        command.stdin("from a pipe\n")
    });
    said.run(&ada, "message send --to bob --subject nothing");
    said.run(&ada, "message send --to bob --subject x --body @nowhere.txt");
    said.run(&ada, "message send --to bob --subject x --body @latin1.txt");
    said.run(&bob, "message read");
    assert_snapshot!(said, @"
    ada$ git muster message send --to bob --subject file --body @report.txt -q
    [MESSAGE]
    [exit status: 0]
    ada$ git muster message send --to bob --subject input --body -
    [MESSAGE]
    [exit status: 0]
    ada$ git muster message send --to bob --subject nothing
    [MESSAGE]
    [exit status: 0]
    ada$ git muster message send --to bob --subject x --body @nowhere.txt
    ------- stderr -------
    error: cannot read the file `nowhere.txt`: No such file or directory (os error 2); nothing was written
    [exit status: 1]
    ada$ git muster message send --to bob --subject x --body @latin1.txt
    ------- stderr -------
    error: cannot read the file `latin1.txt`: it is not UTF-8 text; nothing was written
    [exit status: 1]
    bob$ git muster message read
    [MESSAGE]  ada -> bob  info  [DURATION] ago
      file
        line one
        	line two

    [MESSAGE]  ada -> bob  info  [DURATION] ago
      input
        from a pipe

    [MESSAGE]  ada -> bob  info  [DURATION] ago
      nothing
    [exit status: 0]
    ");
}

#[test]
fn what_must_not_be_sent_is_refused() {
    let (fleet, ada, _bob) = two_servers();
    let tip = fleet.hub().tip(MAIN);
    let mut said = Transcript::new();
    for line in [
        "--to carol --subject hi",
        "--to ../bob --subject hi",
        "--to bob --subject ''",
        "--to bob --subject hi --type shout",
        "--to bob --subject hi --key ''",
        "--to bob --subject hi --body password=hunter2hunter2",
        "--to bob --subject 'token: ghp_0123456789abcdefghijABCDEFGHIJ012345'",
        "--to bob --subject hi --reply-to '../x'",
        "--to bob",
    ] {
        said.run(&ada, &format!("message send {line}"));
    }
    let send = |subject: &str, body: &str| {
        ada.command(["message", "send", "--to", "bob", "--subject", subject, "--body", "-"]).stdin(body).run()
    };
    let refused = [
        ("s".repeat(101), String::new(), "the subject has 101 characters, more than the 100 allowed"),
        ("s".to_owned(), "ü".repeat(10_001), "the body has 10001 characters, more than the 10000 allowed"),
        ("two\nlines".to_owned(), String::new(), "control character"),
    ];
    for (subject, body, why) in refused {
        let run = send(&subject, &body).code(2);
        assert!(run.stderr().contains(why), "{run}");
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
    send(&"ü".repeat(100), &"ü".repeat(10_000)).success();
    assert_snapshot!(said, @"
    ada$ git muster message send --to carol --subject hi
    ------- stderr -------
    error: nothing was sent: server `carol` not found
    hint: list server names with `git muster servers list`
    [exit status: 3]
    ada$ git muster message send --to ../bob --subject hi
    ------- stderr -------
    error: nothing was sent: server `../bob` not found
    hint: list server names with `git muster servers list`
    [exit status: 3]
    ada$ git muster message send --to bob --subject ''
    ------- stderr -------
    error: nothing was sent: the subject is empty
    [exit status: 2]
    ada$ git muster message send --to bob --subject hi --type shout
    ------- stderr -------
    error: invalid value 'shout' for '--type <TYPE>'
      [possible values: info, warning, error, request, response, update]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster message send --to bob --subject hi --key ''
    ------- stderr -------
    error: nothing was sent: the key must have 1 to 128 characters and no control character
    [exit status: 2]
    ada$ git muster message send --to bob --subject hi --body password=hunter2hunter2
    ------- stderr -------
    error: nothing was sent: the body seems to contain a password, and a hub keeps all text forever
    hint: send the place where it is stored instead; if the credential was ever exposed, replace it
    [exit status: 2]
    ada$ git muster message send --to bob --subject 'token: ghp_0123456789abcdefghijABCDEFGHIJ012345'
    ------- stderr -------
    error: nothing was sent: the subject seems to contain a GitHub token, and a hub keeps all text forever
    hint: send the place where it is stored instead; if the credential was ever exposed, replace it
    [exit status: 2]
    ada$ git muster message send --to bob --subject hi --reply-to '../x'
    ------- stderr -------
    error: invalid value '../x' for '--reply-to <ID>': message id `../x` must begin with a letter or a digit

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster message send --to bob
    ------- stderr -------
    error: the following required arguments were not provided:
      --subject <SUBJECT>

    Usage: git muster message send --to <NAME|all> --subject <SUBJECT>

    For more information, try '--help'.
    [exit status: 2]
    ");
}

#[test]
fn a_key_sends_once() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let line = "message send --to all --subject done --key build-77";
    let sent = said.ask(&ada, line).success();
    said.name(sent.stdout(), "<first>");
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, line);
    said.run(&ada, &format!("{line} --json"));
    assert_eq!(fleet.hub().tip(MAIN), tip);
    let of_bob = said.ask(&bob, line).success();
    assert_ne!(of_bob.stdout(), sent.stdout(), "a key belongs to its sender");
    assert_snapshot!(said, @r#"
    ada$ git muster message send --to all --subject done --key build-77
    [MESSAGE]
    [exit status: 0]
    ada$ git muster message send --to all --subject done --key build-77
    <first>
    ------- stderr -------
    a message with this key was already sent
    [exit status: 0]
    ada$ git muster message send --to all --subject done --key build-77 --json
    {"schema":1,"kind":"message_sent","id":"<first>","duplicate":true,"written":{"hub":"[HUB]/hub.git",
      "branch":"main","commit":null}}
    ------- stderr -------
    {"schema":1,"kind":"note","text":"a message with this key was already sent"}
    [exit status: 0]
    bob$ git muster message send --to all --subject done --key build-77
    [MESSAGE]
    [exit status: 0]
    "#);
}
