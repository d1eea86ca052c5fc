//! `message`: sending, reading, acknowledging, threads, and what is not sent.

use super::two_servers;
use crate::support::{MAIN, Transcript, inspect};
use insta::assert_snapshot;

#[test]
fn a_message_is_sent_read_and_acknowledged() {
    let (fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    let tip = fleet.hub().tip(MAIN);
    said.run(&ada, "message send --to bob --subject hello --dry-run");
    assert_eq!(fleet.hub().tip(MAIN), tip);
    let sent = said
        .ask(&ada, "message send --to bob --type request --subject 'please retry' --body 'it failed' --ack")
        .success();
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
    said.run(&ada, "message list");
    said.run(&ada, &format!("message thread {id}"));
    said.run(&bob, "message list --json");
    said.run(&bob, "message list --from carol");
    said.run(&bob, "message list --to all --json");
    for verb in ["read", "ack", "thread"] {
        said.run(&bob, &format!("message {verb} msg_404"));
    }
    said.run(&bob, "message ack");
    assert_snapshot!(said, @r#"
    ada$ git muster message send --to bob --subject hello --dry-run
    dry run, not done: [MESSAGE]
    ------- stderr -------
    warning: dry run: nothing was written
    [exit status: 0]
    ada$ git muster message send --to bob --type request --subject 'please retry' --body 'it failed' --ack
    [MESSAGE]
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
    no unread messages
    [exit status: 0]
    ada$ git muster message ack <request>
    ------- stderr -------
    error: cannot acknowledge message `<request>`: it is from `ada` to `bob`, not for `ada`
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
    no unread messages
    [exit status: 0]
    bob$ git muster message ack <request>
    <request> is acknowledged
    [exit status: 0]
    bob$ git muster message ack <request> --json
    {"schema":1,"kind":"messages_acknowledged","ids":["<request>"],"changed":[],
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":null}}
    [exit status: 0]
    ada$ git muster message list
    MESSAGE  FROM  TO  TYPE  SENT  STATE  SUBJECT
    <request>  ada  bob  request  [DURATION] ago  acknowledged  please retry
    [exit status: 0]
    ada$ git muster message thread <request>
    <request>  ada -> bob  request  [DURATION] ago
      please retry
        it failed
      read by bob
      acknowledged by bob
    [exit status: 0]
    bob$ git muster message list --json
    [{"schema":1,"kind":"message","id":"<request>","from":"ada","to":"bob","type":"request",
      "subject":"please retry","body":"it failed","timestamp":"[TIME]","read":true,"ack_required":true,
      "ack_status":"completed","read_by":[{"by":"bob","at":"[TIME]"}],"acknowledged_by":[{"by":"bob",
      "at":"[TIME]"}]}]
    [exit status: 0]
    bob$ git muster message list --from carol
    ------- stderr -------
    no messages
    [exit status: 0]
    bob$ git muster message list --to all --json
    []
    [exit status: 0]
    bob$ git muster message read msg_404
    ------- stderr -------
    error: message `msg_404` not found
    hint: list message ids with `git muster message list`
    [exit status: 3]
    bob$ git muster message ack msg_404
    ------- stderr -------
    error: nothing was marked: message `msg_404` not found
    hint: list message ids with `git muster message list`
    [exit status: 3]
    bob$ git muster message thread msg_404
    ------- stderr -------
    error: message `msg_404` not found
    hint: list message ids with `git muster message list`
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
    let sent =
        said.ask(&ada, "message send --to all --type warning --subject 'hub moves at noon' --json").success();
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
    // So it is with acknowledgements.
    let asked = ada.run(["message", "send", "--to", "all", "--subject", "noon?", "--ack"]).success();
    for (host, status, expected) in [(&bob, "pending", &["bob"][..]), (&eve, "completed", &["bob", "eve"])] {
        host.run(["message", "ack", asked.stdout().trim()]).success();
        let messages = inspect::document(fleet.hub(), MAIN, "coordination/messages.json");
        let message = &messages["messages"][1];
        let by = message["acknowledged_by"].as_array().unwrap().iter();
        let by: Vec<&str> = by.map(|one| one["by"].as_str().unwrap()).collect();
        assert_eq!((message["ack_status"].as_str(), by), (Some(status), expected.to_vec()));
        let listed = eve.run(["message", "list"]).success();
        assert_eq!(listed.stdout().contains("wants ack"), status == "pending", "{listed}");
    }
    assert_snapshot!(said, @r#"
    ada$ git muster message send --to all --type warning --subject 'hub moves at noon' --json
    {"schema":1,"kind":"message_sent","id":"[MESSAGE]","duplicate":false,
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    [exit status: 0]
    ada$ git muster message read
    ------- stderr -------
    no unread messages
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
    let answer = send(
        &mut said,
        &bob,
        "<answer>",
        &format!("--to ada --type response --subject this --reply-to {question} --auto"),
    );
    said.run(&ada, &format!("message send --to bob --subject thanks --reply-to {answer} --auto"));
    let thanks = send(&mut said, &ada, "<thanks>", &format!("--to bob --subject thanks --reply-to {answer}"));
    said.run(&ada, "message send --to bob --subject x --reply-to msg_404");
    for id in [&question, &thanks] {
        said.run(&bob, &format!("message thread {id}"));
    }
    said.run(&bob, &format!("message thread {answer} --json"));
    assert_snapshot!(said, @r#"
    ada$ git muster message send --to bob --type request --subject which
    [MESSAGE]
    [exit status: 0]
    bob$ git muster message send --to ada --type response --subject this --reply-to <question> --auto
    [MESSAGE]
    [exit status: 0]
    ada$ git muster message send --to bob --subject thanks --reply-to <answer> --auto
    ------- stderr -------
    error: nothing was sent: message `<answer>` is automatic, and automatic messages are not answered automatically
    hint: let a user answer, or send a new message without `--reply-to`
    [exit status: 4]
    ada$ git muster message send --to bob --subject thanks --reply-to <answer>
    [MESSAGE]
    [exit status: 0]
    ada$ git muster message send --to bob --subject x --reply-to msg_404
    ------- stderr -------
    error: nothing was sent: message `msg_404` not found
    hint: list message ids with `git muster message list`
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
fn messages_with_one_id_or_none_are_read_once_each() {
    let (fleet, ada, bob) = two_servers();
    let path = "coordination/messages.json";
    let text = r#"{"messages": [
        {"id": "msg_1", "from": "bob", "to": "ada", "subject": "not for bob"},
        {"id": "msg_1", "from": "ada", "to": "bob", "subject": "first \u2013 \/"},
        {"from": "ada", "to": "bob", "subject": "nameless"},
        {"id": null, "from": "ada", "to": "bob", "subject": "nameless too"},
        {"id": "msg_1", "from": "ada", "to": "bob", "subject": "second"},
        {"id": "msg_3", "from": "ada", "to": "bob", "subject": "caf\udce9"},
        {"id": "msg_4", "from": "ada", "to": "bob", "body": ["x"]},
        {"id": "msg_2", "from": "ada", "to": "bob", "subject": "urgent", "ack_required": true}
    ]}"#;
    fleet.hub().put(MAIN, &[(path, text)], "a merge");
    let run = bob.run(["message", "read"]).success();
    for subject in ["first \u{2013} /", "nameless", "nameless too", "second", "caf\u{fffd}", "urgent"] {
        assert!(run.stdout().contains(&format!("  {subject}\n")), "{subject}\n{run}");
    }
    assert!(!run.stdout().contains("not for bob"), "{run}");
    assert!(
        run.stderr().contains("record messages[6] (`msg_4`) of coordination/messages.json: body"),
        "{run}"
    );
    let again = bob.run(["message", "read"]).success();
    assert!(again.stdout().is_empty(), "{again}");
    let written = String::from_utf8(inspect::content(fleet.hub(), MAIN, path).unwrap()).unwrap();
    for kept in [
        r#""first \u2013 \/""#,
        r#""caf\udce9""#,
        r#"{"id": "msg_4", "from": "ada", "to": "bob", "body": ["x"]}"#,
    ] {
        assert!(written.contains(kept), "{kept}\n{written}");
    }
    ada.run(["message", "read"]).success();
    bob.run(["message", "ack", "msg_1"]).success();
    bob.run(["message", "ack", "msg_2"]).success();
    ada.run(["fsck", "--mend"]).success();
    ada.run(["fsck", "--fail-on", "warning"]).success();
    assert!(ada.run(["archive", "--older-than", "0s"]).success().stderr().is_empty());
    ada.run(["fsck", "--fail-on", "warning"]).success();
}
