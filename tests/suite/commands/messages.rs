//! `message`: sending, reading, acknowledging, threads, and what is not sent.

use super::two_servers;
use crate::support::{MAIN, Transcript, inspect};
use insta::assert_snapshot;
use std::fs;

#[test]
fn a_message_is_sent_read_and_acknowledged() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, "message send --to bob --subject hello --dry-run");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    let sent = said.ask(&ada, "message send --to bob --type request --subject 'please retry' --body 'it failed' --ack").success();
    said.name(sent.stdout(), "<request>");
    let id = sent.stdout().trim().to_owned();
    said.run(&bob, "message list");
    said.run(&bob, "message list --unread");
    said.run(&ada, "message list --unread");
    said.run(&ada, &format!("message ack {id}"));
    said.run(&ada, &format!("message read {id}"));
    said.run(&bob, "message read");
    let tip = fleet.hub().tip(MAIN);
    said.run(&bob, &format!("message read {id} --json"));
    said.run(&bob, "message read");
    assert_eq!(fleet.hub().tip(MAIN), tip, "what was read is not read again");
    said.run(&bob, &format!("message ack {id}"));
    said.run(&bob, &format!("message ack {id} --json"));
    said.run(&bob, "message list --json");
    said.run(&bob, "message list --from carol");
    said.run(&bob, "message list --to all --json");
    for verb in ["read", "ack", "thread"] {
        said.run(&bob, &format!("message {verb} msg_404"));
    }
    said.run(&bob, "message ack");
    assert_snapshot!(said, @r#"
    ada$ git muster message send --to bob --subject hello --dry-run
    msg_1795230132_422cd7fe
    ------- stderr -------
    dry run: nothing was written
    [exit status: 0]
    ada$ git muster message send --to bob --type request --subject 'please retry' --body 'it failed' --ack
    msg_1795230132_1bd5e29c
    [exit status: 0]
    bob$ git muster message list
    MESSAGE  FROM  TO  TYPE  SENT  STATE  SUBJECT
    <request>  ada  bob  request  [DURATION] ago  wants ack  please retry
    [exit status: 0]
    bob$ git muster message list --unread
    MESSAGE  FROM  TO  TYPE  SENT  STATE  SUBJECT
    <request>  ada  bob  request  [DURATION] ago  wants ack  please retry
    [exit status: 0]
    ada$ git muster message list --unread
    ------- stderr -------
    there is no such message
    [exit status: 0]
    ada$ git muster message ack <request>
    ------- stderr -------
    error: message `<request>` was not acknowledged: it is from `ada` to `bob`, not for `ada`
    [exit status: 4]
    ada$ git muster message read <request>
    <request>  ada -> bob  request  [DURATION] ago
      please retry
        it failed
    [exit status: 0]
    bob$ git muster message read
    <request>  ada -> bob  request  [DURATION] ago
      please retry
        it failed
    [exit status: 0]
    bob$ git muster message read <request> --json
    [{"schema":1,"kind":"message","id":"<request>","from":"ada","to":"bob","type":"request",
      "subject":"please retry","body":"it failed","timestamp":"[TIME]","read":true,"ack_required":true,
      "ack_status":"pending","read_by":[{"by":"bob","at":"[TIME]"}]}]
    [exit status: 0]
    bob$ git muster message read
    ------- stderr -------
    there is nothing unread
    [exit status: 0]
    bob$ git muster message ack <request>
    <request> is acknowledged
    [exit status: 0]
    bob$ git muster message ack <request> --json
    {"schema":1,"kind":"messages_acknowledged","ids":["<request>"],"changed":[]}
    [exit status: 0]
    bob$ git muster message list --json
    [{"schema":1,"kind":"message","id":"<request>","from":"ada","to":"bob","type":"request",
      "subject":"please retry","body":"it failed","timestamp":"[TIME]","read":true,"ack_required":true,
      "ack_status":"completed","read_by":[{"by":"bob","at":"[TIME]"}],"acknowledged_by":[{"by":"bob",
      "at":"[TIME]"}]}]
    [exit status: 0]
    bob$ git muster message list --from carol
    ------- stderr -------
    there is no such message
    [exit status: 0]
    bob$ git muster message list --to all --json
    []
    [exit status: 0]
    bob$ git muster message read msg_404
    ------- stderr -------
    error: there is no message `msg_404`
    hint: see the ids with `git muster message list`
    [exit status: 3]
    bob$ git muster message ack msg_404
    ------- stderr -------
    error: nothing was marked: there is no message `msg_404`
    hint: see the ids with `git muster message list`
    [exit status: 3]
    bob$ git muster message thread msg_404
    ------- stderr -------
    error: there is no message `msg_404`
    hint: see the ids with `git muster message list`
    [exit status: 3]
    bob$ git muster message ack
    ------- stderr -------
    error: the following required arguments were not provided:
      <ID>...

    Usage: git muster message ack <ID>...

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

#[test]
fn a_message_to_all_is_read_by_each() {
    let (fleet, ada, bob) = two_servers();
    let eve = fleet.host("eve");
    eve.run(["join", "--as", "eve"]).success();
    let mut said = Transcript::new();
    let sent = said.ask(&ada, "message send --to all --type warning --subject 'hub moves at noon' --json").success();
    said.name(sent.json()["id"].as_str().unwrap(), "<warning>");
    said.run(&ada, "message read");
    said.run(&bob, "message read");
    said.run(&bob, "message list --unread --json");
    said.run(&eve, "message list");
    let read = |fleet: &crate::support::Fleet| {
        inspect::document(fleet.hub(), MAIN, "coordination/messages.json")["messages"][0]["read"].clone()
    };
    assert_eq!(read(&fleet), false, "not all have read it");
    eve.run(["message", "read"]).success();
    assert_eq!(read(&fleet), true, "now they have");
    assert_snapshot!(said, @r#"
    ada$ git muster message send --to all --type warning --subject 'hub moves at noon' --json
    {"schema":1,"kind":"message_sent","id":"msg_1795230133_2f8c7c8e","duplicate":false}
    [exit status: 0]
    ada$ git muster message read
    ------- stderr -------
    there is nothing unread
    [exit status: 0]
    bob$ git muster message read
    <warning>  ada -> all  warning  [DURATION] ago
      hub moves at noon
    [exit status: 0]
    bob$ git muster message list --unread --json
    []
    [exit status: 0]
    eve$ git muster message list
    MESSAGE  FROM  TO  TYPE  SENT  STATE  SUBJECT
    <warning>  ada  all  warning  [DURATION] ago  unread  hub moves at noon
    [exit status: 0]
    "#);
}

#[test]
fn a_thread_holds_what_was_said_before_and_after() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let send = |said: &mut Transcript, host, name: &str, line: &str| {
        let sent = said.ask(host, &format!("message send {line}")).success();
        said.name(sent.stdout(), name);
        sent.stdout().trim().to_owned()
    };
    let question = send(&mut said, &ada, "<question>", "--to bob --type request --subject which");
    let answer = send(&mut said, &bob, "<answer>", &format!("--to ada --type response --subject this --reply-to {question} --auto"));
    said.run(&ada, &format!("message send --to bob --subject thanks --reply-to {answer} --auto"));
    let thanks = send(&mut said, &ada, "<thanks>", &format!("--to bob --subject thanks --reply-to {answer}"));
    said.run(&ada, "message send --to bob --subject x --reply-to msg_404");
    for id in [&question, &thanks] {
        said.run(&bob, &format!("message thread {id}"));
    }
    said.run(&bob, &format!("message thread {answer} --json"));
    assert_snapshot!(said, @r#"
    ada$ git muster message send --to bob --type request --subject which
    msg_1795230133_bd5fb7b9
    [exit status: 0]
    bob$ git muster message send --to ada --type response --subject this --reply-to <question> --auto
    msg_1795230133_4568c0bf
    [exit status: 0]
    ada$ git muster message send --to bob --subject thanks --reply-to <answer> --auto
    ------- stderr -------
    error: message `<answer>` was sent by a machine, and machines do not answer machines
    hint: leave the answer to a person, or send a message that answers none
    [exit status: 4]
    ada$ git muster message send --to bob --subject thanks --reply-to <answer>
    msg_1795230133_9ad977b4
    [exit status: 0]
    ada$ git muster message send --to bob --subject x --reply-to msg_404
    ------- stderr -------
    error: nothing was sent: there is no message `msg_404`
    hint: see the ids with `git muster message list`
    [exit status: 3]
    bob$ git muster message thread <question>
    <question>  ada -> bob  request  [DURATION] ago
      which

    <answer>  bob -> ada  response  [DURATION] ago
      this

    <thanks>  ada -> bob  info  [DURATION] ago
      thanks
    [exit status: 0]
    bob$ git muster message thread <thanks>
    <question>  ada -> bob  request  [DURATION] ago
      which

    <answer>  bob -> ada  response  [DURATION] ago
      this

    <thanks>  ada -> bob  info  [DURATION] ago
      thanks
    [exit status: 0]
    bob$ git muster message thread <answer> --json
    [{"schema":1,"kind":"message","id":"<question>","from":"ada","to":"bob","type":"request",
      "subject":"which","body":"","timestamp":"[TIME]","read":false},{"schema":1,"kind":"message",
      "id":"<answer>","from":"bob","to":"ada","type":"response","subject":"this","body":"",
      "timestamp":"[TIME]","read":false,"reply_to":"<question>","thread":"<question>","auto":true},
      {"schema":1,"kind":"message","id":"<thanks>","from":"ada","to":"bob","type":"info",
      "subject":"thanks","body":"","timestamp":"[TIME]","read":false,"reply_to":"<answer>",
      "thread":"<question>"}]
    [exit status: 0]
    "#);
}

#[test]
fn a_body_comes_from_an_argument_a_file_or_the_input() {
    let (_fleet, ada, bob) = two_servers();
    fs::write(ada.directory().join("report.txt"), "line one\n\tline two\n").unwrap();
    fs::write(ada.directory().join("latin1.txt"), b"gr\xfc\xdfe").unwrap();
    let mut said = Transcript::new();
    said.run(&ada, "message send --to bob --subject file --body @report.txt -q");
    said.run_with(&ada, "message send --to bob --subject input --body -", |command| command.stdin("from a pipe\n"));
    said.run(&ada, "message send --to bob --subject nothing");
    said.run(&ada, "message send --to bob --subject x --body @nowhere.txt");
    said.run(&ada, "message send --to bob --subject x --body @latin1.txt");
    said.run(&bob, "message read");
    assert_snapshot!(said, @r"
    ada$ git muster message send --to bob --subject file --body @report.txt -q
    msg_1795230131_6ba33b35
    [exit status: 0]
    ada$ git muster message send --to bob --subject input --body -
    msg_1795230131_02b55511
    [exit status: 0]
    ada$ git muster message send --to bob --subject nothing
    msg_1795230131_6810a9e0
    [exit status: 0]
    ada$ git muster message send --to bob --subject x --body @nowhere.txt
    ------- stderr -------
    error: `nowhere.txt` was not taken: No such file or directory (os error 2); nothing was written
    [exit status: 1]
    ada$ git muster message send --to bob --subject x --body @latin1.txt
    ------- stderr -------
    error: `latin1.txt` was not taken: it is not UTF-8 text; nothing was written
    [exit status: 1]
    bob$ git muster message read
    msg_1795230131_6ba33b35  ada -> bob  info  [DURATION] ago
      file
        line one
        	line two

    msg_1795230131_02b55511  ada -> bob  info  [DURATION] ago
      input
        from a pipe

    msg_1795230131_6810a9e0  ada -> bob  info  [DURATION] ago
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
    assert_snapshot!(said, @r"
    ada$ git muster message send --to carol --subject hi
    ------- stderr -------
    error: there is no server `carol`
    hint: see who there is with `git muster servers list`
    [exit status: 3]
    ada$ git muster message send --to ../bob --subject hi
    ------- stderr -------
    error: there is no server `../bob`
    hint: see who there is with `git muster servers list`
    [exit status: 3]
    ada$ git muster message send --to bob --subject ''
    ------- stderr -------
    error: the subject is empty
    [exit status: 2]
    ada$ git muster message send --to bob --subject hi --type shout
    ------- stderr -------
    error: invalid value 'shout' for '--type <TYPE>'
      [possible values: info, warning, error, request, response, update]

    For more information, try '--help'.
    [exit status: 2]
    ada$ git muster message send --to bob --subject hi --key ''
    ------- stderr -------
    error: the key must have 1 to 128 characters and no control character
    [exit status: 2]
    ada$ git muster message send --to bob --subject hi --body password=hunter2hunter2
    ------- stderr -------
    error: the body looks as if it holds a password, and a hub forgets nothing
    hint: say where it is kept instead; if it was used anywhere in the open, replace it
    [exit status: 2]
    ada$ git muster message send --to bob --subject 'token: ghp_0123456789abcdefghijABCDEFGHIJ012345'
    ------- stderr -------
    error: the subject looks as if it holds a GitHub token, and a hub forgets nothing
    hint: say where it is kept instead; if it was used anywhere in the open, replace it
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
    msg_1795230132_92077efc
    [exit status: 0]
    ada$ git muster message send --to all --subject done --key build-77
    <first>
    ------- stderr -------
    a message with this key was sent already
    [exit status: 0]
    ada$ git muster message send --to all --subject done --key build-77 --json
    {"schema":1,"kind":"message_sent","id":"<first>","duplicate":true}
    ------- stderr -------
    a message with this key was sent already
    [exit status: 0]
    bob$ git muster message send --to all --subject done --key build-77
    msg_1795230132_33b163d0
    [exit status: 0]
    "#);
}
