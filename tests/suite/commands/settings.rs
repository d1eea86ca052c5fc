//! Where hub, branch, server and the rest come from: every source, in its order of precedence.

use crate::support::{Fleet, Host, MAIN, Transcript};
use insta::assert_snapshot;
use std::fs;

/// What `config list` says of one setting: its value and where it comes from.
#[track_caller]
fn setting(host: &Host, args: &[&str], name: &str) -> (String, String) {
    let run = host.run(args.iter().chain(&["config", "list", "--json"])).success();
    let settings = run.json();
    let found = settings.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    let text = |key: &str| found[key].as_str().unwrap_or("-").to_owned();
    (text("value"), text("origin"))
}

/// Takes the sources away one by one, the strongest first; each time the next one has to speak.
#[test]
fn the_hub_comes_from_the_strongest_source() {
    let fleet = Fleet::new();
    let hub = fleet.hub().url();
    fleet.host("admin").run(["init", &hub]).success();
    let mut ada = fleet.host_in_clone("ada");
    ada.set("MUSTER_HUB", "/from/variable.git");
    let clone = format!("origin of the clone `{}`", ada.directory().display());
    let config = ada.place("XDG_CONFIG_HOME").join("git-muster/config.json");
    let home = ada.place("HOME");
    ada.command(["init"]).current_dir(&home).env_remove("MUSTER_HUB").run().success();
    ada.command(["join", &hub, "--as", "ada"]).current_dir(&home).env_remove("MUSTER_HUB").run().success();
    assert_eq!(
        setting(&ada, &["--hub", "/from/flag.git"], "hub"),
        ("/from/flag.git".to_owned(), "--hub".to_owned())
    );
    assert_eq!(setting(&ada, &[], "hub"), ("/from/variable.git".to_owned(), "MUSTER_HUB".to_owned()));
    ada.unset("MUSTER_HUB");
    assert_eq!(setting(&ada, &[], "hub"), (hub.clone(), clone));
    let outside = |args: &[&str]| {
        let args = args.iter().chain(&["config", "list", "--json"]);
        let list = ada.command(args).current_dir(&home).run().success().json();
        (list[0]["value"].as_str().map(str::to_owned), list[0]["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(outside(&[]), (Some(hub), config.display().to_string()));
    fs::remove_file(&config).unwrap();
    let embedded = ada.place("XDG_DATA_HOME").join("git-muster/hub.git").display().to_string();
    assert_eq!(outside(&[]), (Some(embedded.clone()), "the embedded hub".to_owned()));
    fs::remove_dir_all(embedded).unwrap();
    assert_eq!(outside(&[]), (None, "nothing sets it".to_owned()));
}

#[test]
fn the_branch_comes_from_the_strongest_source() {
    let fleet = Fleet::new();
    let hub = fleet.hub().url();
    for branch in [MAIN, "joined", "checked-out"] {
        fleet.host(&format!("admin-{branch}")).run(["--branch", branch, "init", "--force", &hub]).success();
    }
    let mut ada = fleet.host_in_clone("ada");
    ada.git(["checkout", "--quiet", "checked-out"]).success();
    let home = ada.place("HOME");
    let join = ["--branch", "joined", "join", &hub, "--as", "ada"];
    ada.command(join).current_dir(&home).run().success();
    ada.set("MUSTER_BRANCH", "variable");
    let both = ["--branch", "flag", "--hub-branch", "stronger-flag"];
    let said = |args: &[&str]| setting(&ada, args, "branch");
    let is = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(said(&both), is("stronger-flag", "--branch"));
    assert_eq!(said(&["--branch", "flag"]), is("flag", "--branch"));
    assert_eq!(said(&[]), is("variable", "MUSTER_BRANCH"));
    ada.unset("MUSTER_BRANCH");
    assert_eq!(setting(&ada, &[], "branch"), is("checked-out", "coordination/hub.json"));
    let outside = ada.command(["config", "list", "--json"]).current_dir(&home).run().success().json();
    assert_eq!(outside[1]["value"], "joined");
    assert!(outside[1]["origin"].as_str().unwrap().ends_with("git-muster/config.json"), "{outside}");
    let other = fleet.host("other");
    assert_eq!(setting(&other, &[], "branch"), is("main", "the hub's HEAD"));
}

#[test]
fn the_server_comes_from_the_strongest_source() {
    let fleet = Fleet::new();
    let hub = fleet.hub().url();
    fleet.host("admin").run(["init", &hub]).success();
    let mut ada = fleet.host_in_clone("ada");
    let home = ada.place("HOME");
    ada.command(["join", &hub, "--as", "joined"]).current_dir(&home).run().success();
    ada.git(["config", "muster.server", "configured"]).success();
    fs::write(ada.directory().join(".build_server_id"), "in-file\n").unwrap();
    ada.set("MUSTER_SERVER", "variable");
    ada.set("SERVER_ID", "seed-variable");
    let file = format!("{}/.build_server_id", ada.directory().display());
    let sources: [(&str, &str, &dyn Fn(&mut Host)); 4] = [
        ("variable", "MUSTER_SERVER", &|ada| ada.unset("MUSTER_SERVER")),
        ("seed-variable", "SERVER_ID", &|ada| ada.unset("SERVER_ID")),
        ("in-file", &file, &|ada| fs::remove_file(ada.directory().join(".build_server_id")).unwrap()),
        ("configured", "git config muster.server", &|ada| {
            ada.git(["config", "--unset", "muster.server"]).success();
        }),
    ];
    assert_eq!(setting(&ada, &["--server", "flag"], "server"), ("flag".to_owned(), "--server".to_owned()));
    for (value, origin, take_away) in sources {
        assert_eq!(setting(&ada, &[], "server"), (value.to_owned(), origin.to_owned()));
        take_away(&mut ada);
    }
    let (value, origin) = setting(&ada, &[], "server");
    assert_eq!(value, "joined");
    assert!(origin.ends_with("git-muster/config.json"), "{origin}");
}

#[test]
fn the_rest_is_listed_with_its_origin() {
    let fleet = Fleet::new();
    let mut ada = fleet.host("ada");
    let mut said = Transcript::new();
    said.run(&ada, "config list");
    said.run(&ada, "config list --show-origin");
    for (name, value) in [
        ("MUSTER_TIMEOUT", "2m"),
        ("LOCK_WAIT", "5"),
        ("HEARTBEAT_BRANCH", "heartbeat-x"),
        ("HEARTBEAT_PUSH_EVERY", "7"),
        ("MUSTER_HUB", "https://user:hunter2@hub.example/hub.git"),
    ] {
        ada.set(name, value);
    }
    said.run(&ada, "config list --show-origin");
    said.run(&ada, "--hub-timeout 3s config list --json");
    ada.set("LOCK_WAIT", "soon");
    said.run(&ada, "config list");
    assert_snapshot!(said, @r#"
    ada$ git muster config list
    SETTING  VALUE
    hub  [HUB]/hub.git
    branch  main
    server  ada
    clone  -
    copy  -
    commit_name  ada
    commit_email  ada@git-muster.invalid
    commit_sign  no
    timeout  [DURATION]
    lock_wait  [DURATION]
    heartbeat_branch  auto
    heartbeat_push_every  1
    [exit status: 0]
    ada$ git muster config list --show-origin
    SETTING  VALUE  ORIGIN
    hub  [HUB]/hub.git  MUSTER_HUB
    branch  main  default
    server  ada  MUSTER_SERVER
    clone  -  not in a clone of the hub
    copy  -  not needed here
    commit_name  ada  default
    commit_email  ada@git-muster.invalid  default
    commit_sign  no  default
    timeout  [DURATION]  default
    lock_wait  [DURATION]  default
    heartbeat_branch  auto  default
    heartbeat_push_every  1  default
    [exit status: 0]
    ada$ git muster config list --show-origin
    SETTING  VALUE  ORIGIN
    hub  https://hub.example/hub.git  MUSTER_HUB
    branch  main  default
    server  ada  MUSTER_SERVER
    clone  -  not in a clone of the hub
    copy  [FLEET]/ada/cache/git-muster/hubs/hub.example-hub.git-[COMMIT].git  XDG_CACHE_HOME
    commit_name  ada  default
    commit_email  ada@git-muster.invalid  default
    commit_sign  no  default
    timeout  [DURATION]  MUSTER_TIMEOUT
    lock_wait  [DURATION]  LOCK_WAIT
    heartbeat_branch  heartbeat-x  HEARTBEAT_BRANCH
    heartbeat_push_every  7  HEARTBEAT_PUSH_EVERY
    [exit status: 0]
    ada$ git muster --hub-timeout [DURATION] config list --json
    [{"schema":1,"kind":"setting","name":"hub","value":"https://hub.example/hub.git",
      "origin":"MUSTER_HUB"},{"schema":1,"kind":"setting","name":"branch","value":"main",
      "origin":"default"},{"schema":1,"kind":"setting","name":"server","value":"ada",
      "origin":"MUSTER_SERVER"},{"schema":1,"kind":"setting","name":"clone","value":null,
      "origin":"not in a clone of the hub"},{"schema":1,"kind":"setting","name":"copy",
      "value":"[FLEET]/ada/cache/git-muster/hubs/hub.example-hub.git-[COMMIT].git",
      "origin":"XDG_CACHE_HOME"},{"schema":1,"kind":"setting","name":"commit_name","value":"ada",
      "origin":"default"},{"schema":1,"kind":"setting","name":"commit_email",
      "value":"ada@git-muster.invalid","origin":"default"},{"schema":1,"kind":"setting",
      "name":"commit_sign","value":"no","origin":"default"},{"schema":1,"kind":"setting",
      "name":"timeout","value":"[DURATION]","origin":"--hub-timeout"},{"schema":1,"kind":"setting",
      "name":"lock_wait","value":"[DURATION]","origin":"LOCK_WAIT"},{"schema":1,"kind":"setting",
      "name":"heartbeat_branch","value":"heartbeat-x","origin":"HEARTBEAT_BRANCH"},{"schema":1,
      "kind":"setting","name":"heartbeat_push_every","value":"7","origin":"HEARTBEAT_PUSH_EVERY"}]
    [exit status: 0]
    ada$ git muster config list
    ------- stderr -------
    error: give a span of time such as [DURATION], [DURATION], 1h30m or [DURATION] (from LOCK_WAIT)
    hint: unset LOCK_WAIT, or set it to another value
    [exit status: 78]
    "#);
}

#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    let fleet = Fleet::new();
    let mut ada = fleet.host("ada");
    ada.run(["init", &fleet.hub().url()]).success();
    let tip = fleet.hub().tip(MAIN);
    let mut said = Transcript::new();
    ada.unset("MUSTER_SERVER");
    for line in [
        "job add --type build",
        "heartbeat",
        "status set idle",
        "message read",
        "lock acquire deploy",
        "archive",
        "job claim --json",
    ] {
        said.run(&ada, line);
    }
    assert_eq!(fleet.hub().tip(MAIN), tip);
    ada.set("SERVER_ID", "../x");
    said.run(&ada, "heartbeat");
    said.run(&ada, "--server ../x servers list");
    // Who needs no name is not kept from working by a bad one.
    said.run(&ada, "servers list");
    ada.unset("SERVER_ID");
    fs::write(ada.directory().join(".build_server_id"), "a b\n").unwrap();
    said.run(&ada, "heartbeat");
    fs::remove_file(ada.directory().join(".build_server_id")).unwrap();
    let config = ada.place("XDG_CONFIG_HOME").join("git-muster/config.json");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    for text in ["{\"hub\": \"x\", \"hubs\": 1}", "{", ""] {
        fs::write(&config, text).unwrap();
        said.run(&ada, "servers list");
    }
    assert_snapshot!(said, @r#"
    ada$ git muster job add --type build
    ------- stderr -------
    error: no server name configured; nothing was written
    hint: pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`
    [exit status: 78]
    ada$ git muster heartbeat
    ------- stderr -------
    error: no server name configured; nothing was written
    hint: pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`
    [exit status: 78]
    ada$ git muster status set idle
    ------- stderr -------
    error: no server name configured; nothing was written
    hint: pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`
    [exit status: 78]
    ada$ git muster message read
    ------- stderr -------
    error: no server name configured; nothing was written
    hint: pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`
    [exit status: 78]
    ada$ git muster lock acquire deploy
    ------- stderr -------
    error: no server name configured; nothing was written
    hint: pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`
    [exit status: 78]
    ada$ git muster archive
    ------- stderr -------
    error: no server name configured; nothing was written
    hint: pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`
    [exit status: 78]
    ada$ git muster job claim --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":78,"error":"no server name configured; nothing was written","hints":["pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`"],"op":null,"code":"server-not-configured","retry":"no","written":false,"facts":{},"errors":[]}
    [exit status: 78]
    ada$ git muster heartbeat
    ------- stderr -------
    error: server name `../x` must begin with a letter or a digit (from SERVER_ID); nothing was written
    hint: unset SERVER_ID, or set it to another value
    [exit status: 78]
    ada$ git muster --server ../x servers list
    ------- stderr -------
    error: server name `../x` must begin with a letter or a digit (from --server)
    [exit status: 2]
    ada$ git muster servers list
    ------- stderr -------
    no servers; register this one with `git muster join --as NAME`
    [exit status: 0]
    ada$ git muster heartbeat
    ------- stderr -------
    error: server name `a b` holds a character that is not allowed in it (from [FLEET]/ada/work/.build_server_id); nothing was written
    hint: change the value in that file, or remove the file
    [exit status: 78]
    ada$ git muster servers list
    ------- stderr -------
    error: invalid configuration `[FLEET]/ada/config/git-muster/config.json`: unknown field `hubs`, expected one of `hub`, `branch`, `server` at line 1 column 19
    hint: valid keys: `hub`, `branch`, `server`; write it again with `git muster join URL --as NAME`; in a clone of the hub, or for the per-user hub, with `git muster join --as NAME`
    [exit status: 78]
    ada$ git muster servers list
    ------- stderr -------
    error: invalid configuration `[FLEET]/ada/config/git-muster/config.json`: EOF while parsing an object at line 1 column 1
    hint: valid keys: `hub`, `branch`, `server`; write it again with `git muster join URL --as NAME`; in a clone of the hub, or for the per-user hub, with `git muster join --as NAME`
    [exit status: 78]
    ada$ git muster servers list
    ------- stderr -------
    error: invalid configuration `[FLEET]/ada/config/git-muster/config.json`: EOF while parsing a value at line 1 column 0
    hint: valid keys: `hub`, `branch`, `server`; write it again with `git muster join URL --as NAME`; in a clone of the hub, or for the per-user hub, with `git muster join --as NAME`
    [exit status: 78]
    "#);
}

#[test]
fn join_writes_anew_what_cannot_be_used() {
    let fleet = Fleet::new();
    let mut ada = fleet.host("ada");
    ada.unset("MUSTER_HUB");
    ada.run(["init"]).success();
    let folder = ada.place("XDG_CONFIG_HOME").join("git-muster");
    fs::create_dir_all(&folder).unwrap();
    let config = folder.join("config.json");
    let kept = || {
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let broken = names.filter(|path| path.to_string_lossy().contains("config.json.broken-"));
        broken.map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
    };
    fs::write(&config, "{bad").unwrap();
    ada.set("MUSTER_SERVER", "bad name!");
    let mut said = Transcript::new();
    said.run(&ada, "join --as build7 --dry-run");
    assert!(kept().is_empty(), "a dry run changes nothing");
    said.run(&ada, "join --as build7");
    assert_eq!(kept(), ["{bad"]);
    said.run(&ada, "heartbeat");
    ada.unset("MUSTER_SERVER");
    said.run(&ada, "heartbeat");
    fs::write(&config, "{\"server\": \"a b\", \"branch\": \"a..b\"}").unwrap();
    said.run(&ada, "job list");
    said.run(&ada, "join --as build8");
    said.run(&ada, "job list");
    assert_snapshot!(said, @r"
    ada$ git muster join --as build7 --dry-run
    dry run, not done: this machine is server `build7` of `[FLEET]/ada/data/git-muster/hub.git`
    ------- stderr -------
    warning: dry run: nothing was written
    next: `git muster heartbeat` once a minute from cron, or `git muster heartbeat run`
    [exit status: 0]
    ada$ git muster join --as build7
    this machine is server `build7` of `[FLEET]/ada/data/git-muster/hub.git`
    ------- stderr -------
    warning: this user's configuration was unusable and is kept as `[FLEET]/ada/config/git-muster/config.json.broken-[TIME]`; its settings no longer apply
    warning: MUSTER_SERVER takes precedence and is not a valid name: server name `bad name!` holds a character that is not allowed in it; unset it, or commands that need a name fail
    next: `git muster --server build7 heartbeat` once a minute from cron, or `git muster --server build7 heartbeat run`
    [exit status: 0]
    ada$ git muster heartbeat
    ------- stderr -------
    error: server name `bad name!` holds a character that is not allowed in it (from MUSTER_SERVER); nothing was written
    hint: unset MUSTER_SERVER, or set it to another value
    [exit status: 78]
    ada$ git muster heartbeat
    heartbeat 1 of `build7` is on branch `heartbeat-build7`
    [exit status: 0]
    ada$ git muster job list
    ------- stderr -------
    error: branch `a..b` may not hold `..` or `//`, nor end with a dot or a slash (from [FLEET]/ada/config/git-muster/config.json)
    hint: write it again with `git muster join URL --as NAME`; in a clone of the hub, or for the per-user hub, with `git muster join --as NAME`
    [exit status: 78]
    ada$ git muster join --as build8
    this machine is server `build8` of `[FLEET]/ada/data/git-muster/hub.git`
    ------- stderr -------
    this user was server `a b` of `[FLEET]/ada/data/git-muster/hub.git`; commands without `--server` now act as `build8`
    next: `git muster heartbeat` once a minute from cron, or `git muster heartbeat run`
    [exit status: 0]
    ada$ git muster job list
    ------- stderr -------
    no jobs
    [exit status: 0]
    ");
}

#[test]
fn a_join_tells_what_it_puts_in_the_place_of_what_was_there() {
    let fleet = Fleet::new();
    let mut ada = fleet.host("ada");
    ada.unset("MUSTER_HUB");
    let hub = fleet.hub().url();
    let other = ada.place("HOME").join("other hub.git").display().to_string();
    ada.run(["init", &hub]).success();
    ada.run(["init", &other]).success();
    let join = |hub: &str, more: &[&str]| ada.run(["join", hub, "--as", "ada"].iter().chain(more)).success();
    let quiet = join(&hub, &["--label", "gpu,fast"]);
    assert!(!quiet.stderr().contains("before"), "{quiet}");
    // The same again replaces nothing and says nothing, and so does a join that gives no labels.
    for more in [&["--label", "gpu", "--label", "fast"][..], &[]] {
        let again = join(&hub, more);
        assert!(!again.stderr().contains("before"), "{again}");
    }
    let labels = || {
        let server = ada.run(["--hub", &hub, "servers", "show", "ada", "--json"]).success().json();
        server["labels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(labels(), ["gpu", "fast"]);
    let run = join(&hub, &["--label", "gpu"]);
    assert!(run.stderr().contains("labels of `ada` were gpu, fast, and are now gpu"), "{run}");
    let run = join(&hub, &["--no-labels"]);
    assert!(run.stderr().contains("labels of `ada` were gpu, and are now none"), "{run}");
    assert!(labels().is_empty());
    ada.run(["join", &hub, "--as", "ada", "--no-labels", "--label", "gpu"]).code(2);
    // The hub of the user, by its name alone or with the name.
    let run = join(&other, &[]);
    assert!(run.stderr().contains(&format!("this user was server `ada` of `{hub}`")), "{run}");
    assert!(run.stderr().contains(&format!("now use `{other}`")), "{run}");
    let run = ada.run(["join", &other, "--as", "eve"]).success();
    assert!(run.stderr().contains(&format!("this user was server `ada` of `{other}`")), "{run}");
    assert!(!run.stderr().contains("now use"), "{run}");
    // In a clone it is the clone's.
    let clone = ada.place("HOME").join("clone");
    ada.git(["clone", "-q", &hub, &clone.display().to_string()]).success();
    let in_clone = |name: &str| ada.command(["join", "--as", name]).current_dir(&clone).run().success();
    in_clone("kim");
    let run = in_clone("lee");
    assert!(run.stderr().contains("this clone was server `kim`;"), "{run}");
}

#[test]
fn a_join_that_cannot_be_remembered_says_what_is_done() {
    let fleet = Fleet::new();
    let mut ada = fleet.host("ada");
    ada.unset("MUSTER_HUB");
    let hub = fleet.hub().url();
    ada.run(["init", &hub]).success();
    let registered = || {
        let list = ada.run(["--hub", &hub, "servers", "list", "--json"]).success().json();
        list.as_array().unwrap().len()
    };
    // A link that leads nowhere in the place of the folder: no account can write there.
    let folder = ada.place("XDG_CONFIG_HOME").join("git-muster");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &folder).unwrap();
    let run = ada.run(["join", &hub, "--as", "ada"]).code(1);
    assert_eq!(registered(), 1);
    assert!(run.stderr().contains(&format!("`ada` is registered in `{hub}`")), "{run}");
    assert!(!run.stderr().contains("nothing was written"), "{run}");
    fs::remove_file(&folder).unwrap();
    let line = run.stderr().split('`').find(|part| part.starts_with("git muster join")).unwrap().to_owned();
    ada.run(line.split(' ').skip(2)).success();
    ada.run(["heartbeat"]).success();
    // In a clone.
    let clone = ada.place("HOME").join("clone");
    ada.git(["clone", "-q", &hub, &clone.display().to_string()]).success();
    fs::write(clone.join(".git/config.lock"), "").unwrap();
    let run = ada.command(["join", "--as", "kim"]).current_dir(&clone).run().code(1);
    assert!(run.stderr().contains(&format!("`kim` is registered in `{hub}`")), "{run}");
    assert_eq!(registered(), 2);
    // What tells this machine apart.
    let machine = ada.place("XDG_DATA_HOME").join("git-muster/machine");
    fs::remove_file(&machine).unwrap();
    fs::create_dir(&machine).unwrap();
    let run = ada.run(["join", &hub, "--as", "eve"]).code(1);
    assert_eq!(registered(), 2, "{run}");
    assert!(run.stderr().contains("nothing was written"), "{run}");
}
