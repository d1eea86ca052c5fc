//! `init`, `join`, `servers`, and what the program prints about itself.

use super::two_servers;
use crate::support::{Fleet, Transcript, inspect};
use insta::assert_snapshot;

#[test]
fn init_makes_a_hub_and_leaves_one_alone() {
    let fleet = Fleet::new();
    let admin = fleet.host("admin");
    let url = fleet.hub().url();
    let mut said = Transcript::new();
    said.run(&admin, "servers list");
    said.run(&admin, &format!("init {url} --dry-run"));
    assert_eq!(fleet.hub().tip("main"), None, "a dry run writes nothing");
    said.run(&admin, &format!("init {url}"));
    let tip = fleet.hub().tip("main");
    said.run(&admin, &format!("init {url}"));
    said.run(&admin, &format!("init {url} --json -q"));
    assert_eq!(fleet.hub().tip("main"), tip, "a hub that is complete gets no commit");
    said.run(&admin, &format!("--branch fleet init {url}"));
    assert_eq!(inspect::branches(fleet.hub()), ["main"]);
    said.run(&admin, &format!("--branch fleet init --force {url}"));
    assert_eq!(inspect::branches(fleet.hub()), ["fleet", "main"]);
    assert_snapshot!(said, @r#"
    admin$ git muster servers list
    ------- stderr -------
    error: the hub `[HUB]/hub.git` has no branch `main`: it is empty
    hint: create a hub in it with `git muster init [HUB]/hub.git`, or select another branch with `--hub-branch`
    hint: the hub address comes from MUSTER_HUB; pass another with `--hub`
    [exit status: 78]
    admin$ git muster init [HUB]/hub.git --dry-run
    dry run, not done: `[HUB]/hub.git` is a hub now, branch `main`
    ------- stderr -------
    warning: dry run: nothing was written
    next: `git muster join [HUB]/hub.git --as NAME` on each server
    [exit status: 0]
    admin$ git muster init [HUB]/hub.git
    `[HUB]/hub.git` is a hub now, branch `main`
    ------- stderr -------
    next: `git muster join [HUB]/hub.git --as NAME` on each server
    [exit status: 0]
    admin$ git muster init [HUB]/hub.git
    `[HUB]/hub.git` is already a hub; nothing was changed
    ------- stderr -------
    next: `git muster join [HUB]/hub.git --as NAME` on each server
    [exit status: 0]
    admin$ git muster init [HUB]/hub.git --json -q
    {"schema":1,"kind":"init","hub":"[HUB]/hub.git","branch":"main","files":[],
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":null}}
    [exit status: 0]
    admin$ git muster --branch fleet init [HUB]/hub.git
    ------- stderr -------
    error: branch `main` of [HUB]/hub.git is already a hub; nothing was written to `fleet`
    hint: use that hub with `git muster join [HUB]/hub.git --hub-branch main --as NAME`, or pass `--force` to create a second one
    [exit status: 4]
    admin$ git muster --branch fleet init --force [HUB]/hub.git
    `[HUB]/hub.git` is a hub now, branch `fleet`
    ------- stderr -------
    next: `git muster join [HUB]/hub.git --hub-branch fleet --as NAME` on each server
    [exit status: 0]
    "#);
}

#[test]
fn init_makes_the_repository_where_there_is_none() {
    let fleet = Fleet::new();
    let mut admin = fleet.host("admin");
    admin.unset("MUSTER_HUB");
    let new = admin.directory().join("new.git").display().to_string();
    let mut said = Transcript::new();
    said.run(&admin, "job list");
    said.run(&admin, &format!("init {new}"));
    said.run(&admin, &format!("--hub {new} servers list --json"));
    said.run(&admin, "init");
    said.run(&admin, "servers list --json");
    let with_work_tree = admin.place("HOME").join("clone");
    admin.git(["init", "--quiet", &with_work_tree.display().to_string()]).success();
    said.run(&admin, &format!("init {}", with_work_tree.display()));
    said.run(&admin, "init /proc/hub.git");
    said.run(&admin, "--hub nowhere.git servers list");
    assert_snapshot!(said, @"
    admin$ git muster job list
    ------- stderr -------
    error: no hub configured
    hint: for one machine run `git muster init`; for several run `git muster join URL --as NAME`, or pass `--hub URL`
    [exit status: 78]
    admin$ git muster init [FLEET]/admin/work/new.git
    `[FLEET]/admin/work/new.git` is a hub now, branch `main`
    ------- stderr -------
    next: `git muster join [FLEET]/admin/work/new.git --as NAME` on each server
    [exit status: 0]
    admin$ git muster --hub [FLEET]/admin/work/new.git servers list --json
    []
    [exit status: 0]
    admin$ git muster init
    `[FLEET]/admin/data/git-muster/hub.git` is a hub now, branch `main`
    ------- stderr -------
    next: name this machine with `git muster join --as NAME`
    [exit status: 0]
    admin$ git muster servers list --json
    []
    [exit status: 0]
    admin$ git muster init [FLEET]/admin/home/clone
    ------- stderr -------
    error: `[FLEET]/admin/home/clone` has a work tree; a hub must be a bare repository, because a branch that is checked out cannot be moved under it; nothing was written
    hint: create a bare copy with `git clone --bare`, and use that as the hub on all servers; inside a clone of a hub, omit `--hub`
    [exit status: 78]
    admin$ git muster init /proc/hub.git
    ------- stderr -------
    error: cannot create a repository at `/proc/hub.git`: failed to make directory '/proc/hub.git': No such file or directory
    [exit status: 1]
    admin$ git muster --hub nowhere.git servers list
    ------- stderr -------
    error: the hub `[FLEET]/admin/work/nowhere.git` cannot be reached: there is no such folder
    hint: check the hub address; if it is correct, check that the disk is mounted or the host name resolves, then try again
    [exit status: 7]
    ");
}

/// What is no hub is told with what to do instead.
#[test]
fn a_place_that_cannot_be_a_hub_leads_on() {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    let home = ada.place("HOME");
    std::fs::create_dir(home.join("folder")).unwrap();
    std::fs::write(home.join("file"), "x").unwrap();
    ada.program("git").args(["init", "-q", "clone"]).current_dir(&home).run().success();
    let mut said = Transcript::new();
    for place in ["folder", "file", "clone/.git", "nothing"] {
        said.run(&ada, &format!("--hub {}/{place} job list", home.display()));
    }
    assert_snapshot!(said, @r"
    ada$ git muster --hub [FLEET]/ada/home/folder job list
    ------- stderr -------
    error: `[FLEET]/ada/home/folder` cannot be used as a hub: could not find repository at '[FLEET]/ada/home/folder'
    hint: pass a bare repository, or create one with `git muster init PATH`, where PATH does not exist yet
    [exit status: 78]
    ada$ git muster --hub [FLEET]/ada/home/file job list
    ------- stderr -------
    error: `[FLEET]/ada/home/file` cannot be used as a hub: could not find repository at '[FLEET]/ada/home/file'
    hint: pass a bare repository, or create one with `git muster init PATH`, where PATH does not exist yet
    [exit status: 78]
    ada$ git muster --hub [FLEET]/ada/home/clone/.git job list
    ------- stderr -------
    error: `[FLEET]/ada/home/clone/.git` has a work tree; a hub must be a bare repository, because a branch that is checked out cannot be moved under it
    hint: create a bare copy with `git clone --bare`, and use that as the hub on all servers; inside a clone of a hub, omit `--hub`
    [exit status: 78]
    ada$ git muster --hub [FLEET]/ada/home/nothing job list
    ------- stderr -------
    error: the hub `[FLEET]/ada/home/nothing` cannot be reached: there is no such folder
    hint: check the hub address; if it is correct, check that the disk is mounted or the host name resolves, then try again
    [exit status: 7]
    ");
}

#[test]
fn a_name_belongs_to_one_machine() {
    let fleet = Fleet::new();
    let (ada, eve) = (fleet.host("ada"), fleet.host("eve"));
    let mut said = Transcript::new();
    said.run(&ada, "join --as ada");
    ada.run(["init", &fleet.hub().url()]).success();
    said.run(&ada, "servers list");
    said.run(&ada, "servers list --json");
    said.run(&ada, "join --as ada --manager Codex --ip 10.1.3.175 --label arch=amd64 --label gpu --dry-run");
    said.run(&ada, "join --as ada --manager Codex --ip 10.1.3.175 --label arch=amd64 --label gpu");
    let tip = fleet.hub().tip("main");
    said.run(&ada, "join --as ada -q");
    assert_eq!(fleet.hub().tip("main"), tip, "joining twice is joining once");
    said.run(&eve, "join --as ada");
    assert_eq!(fleet.hub().tip("main"), tip);
    said.run(&eve, "join --as ada --replace --json -q");
    said.run(&ada, "join --as ada");
    said.run(&ada, "heartbeat");
    said.run(&eve, "heartbeat");
    for refused in ["all", "../eve", "'e ve'", "coordination", "-rf", "''"] {
        said.run(&eve, &format!("join --as={refused}"));
    }
    said.run(&eve, "join --as eve --manager password=hunter2hunter2");
    said.run(&eve, "join --as eve --label ''");
    assert_snapshot!(said, @r#"
    ada$ git muster join --as ada
    ------- stderr -------
    error: the hub `[HUB]/hub.git` has no branch `main`: it is empty; nothing was written
    hint: create a hub in it with `git muster init [HUB]/hub.git`, or select another branch with `--hub-branch`
    hint: the hub address comes from MUSTER_HUB; pass another with `--hub`
    [exit status: 78]
    ada$ git muster servers list
    ------- stderr -------
    no servers; register this one with `git muster join --as NAME`
    [exit status: 0]
    ada$ git muster servers list --json
    []
    [exit status: 0]
    ada$ git muster join --as ada --manager Codex --ip 10.1.3.175 --label arch=amd64 --label gpu --dry-run
    dry run, not done: this machine is server `ada` of `[HUB]/hub.git`
    ------- stderr -------
    warning: dry run: nothing was written
    next: `git muster heartbeat` once a minute from cron, or `git muster heartbeat run`
    [exit status: 0]
    ada$ git muster join --as ada --manager Codex --ip 10.1.3.175 --label arch=amd64 --label gpu
    this machine is server `ada` of `[HUB]/hub.git`
    ------- stderr -------
    next: `git muster heartbeat` once a minute from cron, or `git muster heartbeat run`
    [exit status: 0]
    ada$ git muster join --as ada -q
    [exit status: 0]
    eve$ git muster join --as ada
    ------- stderr -------
    error: not joined: the name `ada` is used by another user of this machine, or another machine with the host name `[HOST]`
    hint: choose another name with `--as`, or pass `--replace` if this machine replaces the other
    [exit status: 4]
    eve$ git muster join --as ada --replace --json -q
    {"schema":1,"kind":"server","id":"ada","host":"[HOST]","ip":"10.1.3.175","manager":"Codex",
      "labels":["arch=amd64","gpu"],"joined_at":"[TIME]","machine":"[UUID]",
      "written":{"hub":"[HUB]/hub.git","branch":"main","commit":"[COMMIT]"}}
    ------- stderr -------
    {"schema":1,"kind":"warning","text":"MUSTER_SERVER is `eve` and takes precedence: commands here act as that server, not as `ada`, until it is changed"}
    [exit status: 0]
    ada$ git muster join --as ada
    ------- stderr -------
    error: not joined: the name `ada` is used by another user of this machine, or another machine with the host name `[HOST]`
    hint: choose another name with `--as`, or pass `--replace` if this machine replaces the other
    [exit status: 4]
    ada$ git muster heartbeat
    heartbeat 1 of `ada` is on branch `heartbeat-ada`
    ------- stderr -------
    warning: `ada` is registered by `[HOST]`, not by this machine; two machines with the same server name treat each other's jobs and locks as their own: join under another name, or with `--replace` if this one takes its place
    [exit status: 0]
    eve$ git muster heartbeat
    ------- stderr -------
    error: server `eve` is not registered in this hub; nothing was written
    hint: register it with `git muster join --as eve`, or list server names with `git muster servers list`
    [exit status: 4]
    eve$ git muster join --as=all
    ------- stderr -------
    error: invalid value 'all' for '--as <NAME>': server name `all` is reserved

    For more information, try '--help'.
    [exit status: 2]
    eve$ git muster join --as=../eve
    ------- stderr -------
    error: invalid value '../eve' for '--as <NAME>': server name `../eve` must begin with a letter or a digit

    For more information, try '--help'.
    [exit status: 2]
    eve$ git muster join --as='e ve'
    ------- stderr -------
    error: invalid value 'e ve' for '--as <NAME>': server name `e ve` holds a character that is not allowed in it

    For more information, try '--help'.
    [exit status: 2]
    eve$ git muster join --as=coordination
    ------- stderr -------
    error: invalid value 'coordination' for '--as <NAME>': server name `coordination` is reserved

    For more information, try '--help'.
    [exit status: 2]
    eve$ git muster join --as=-rf
    ------- stderr -------
    error: invalid value '-rf' for '--as <NAME>': server name `-rf` must begin with a letter or a digit

    For more information, try '--help'.
    [exit status: 2]
    eve$ git muster join --as=''
    ------- stderr -------
    error: invalid value '' for '--as <NAME>': server name `` is empty

    For more information, try '--help'.
    [exit status: 2]
    eve$ git muster join --as eve --manager password=hunter2hunter2
    ------- stderr -------
    error: not joined: a text seems to contain a password
    [exit status: 2]
    eve$ git muster join --as eve --label ''
    ------- stderr -------
    error: not joined: `` is empty, too long or contains a control character
    [exit status: 2]
    "#);
}

#[test]
fn servers_are_listed_shown_and_removed() {
    let (_fleet, ada, bob) = two_servers();
    let mut said = Transcript::new();
    bob.run(["heartbeat"]).success();
    said.run(&ada, "servers list");
    said.run(&ada, "servers list --json");
    said.run(&ada, "servers show bob");
    said.run(&ada, "server show bob --json");
    said.run(&ada, "servers show carol");
    said.run(&ada, "servers show carol --json");
    said.run(&ada, "servers remove carol");
    let job = super::added(&ada, &[]);
    said.name(&job, "<job>");
    bob.run(["job", "claim"]).success();
    said.run(&ada, "servers remove bob");
    bob.run(["job", "release", &job, "--token", "1"]).success();
    said.run(&ada, "servers remove bob --dry-run");
    said.run(&ada, "servers remove bob");
    said.run(&ada, "servers list");
    said.run(&ada, "servers remove ada --json");
    assert_snapshot!(said, @r#"
    ada$ git muster servers list
    SERVER  HOST  MANAGER  LABELS  HEARTBEAT
    ada  [HOST]  -  -  [DURATION] ago
    bob  [HOST]  -  gpu  [DURATION] ago
    [exit status: 0]
    ada$ git muster servers list --json
    [{"schema":1,"kind":"server","id":"ada","host":"[HOST]","ip":null,"manager":null,"labels":[],
      "joined_at":"[TIME]","machine":"[UUID]","last_heartbeat":"[TIME]"},{"schema":1,"kind":"server",
      "id":"bob","host":"[HOST]","ip":null,"manager":null,"labels":["gpu"],"joined_at":"[TIME]",
      "machine":"[UUID]","last_heartbeat":"[TIME]"}]
    [exit status: 0]
    ada$ git muster servers show bob
    server:  bob
    host:  [HOST]
    labels:  gpu
    joined:  [TIME]
    heartbeat: [DURATION] ago
    [exit status: 0]
    ada$ git muster server show bob --json
    {"schema":1,"kind":"server","id":"bob","host":"[HOST]","ip":null,"manager":null,"labels":["gpu"],
      "joined_at":"[TIME]","machine":"[UUID]","last_heartbeat":"[TIME]"}
    [exit status: 0]
    ada$ git muster servers show carol
    ------- stderr -------
    error: server `carol` not found
    hint: list server names with `git muster servers list`
    [exit status: 3]
    ada$ git muster servers show carol --json
    ------- stderr -------
    {"schema":1,"kind":"error","exit_code":3,"error":"server `carol` not found","hints":["list server names with `git muster servers list`"],"op":null,"code":"server-not-found","retry":"no","written":false,"facts":{"server":"carol","action":"show"},"errors":[]}
    [exit status: 3]
    ada$ git muster servers remove carol
    ------- stderr -------
    error: server `carol` not found
    hint: list server names with `git muster servers list`
    [exit status: 3]
    ada$ git muster servers remove bob
    ------- stderr -------
    error: cannot remove server `bob`: it holds job `<job>`
    hint: cancel the job with `git muster job cancel <job>`; if `bob` is gone for good, `git muster servers remove bob --force` requeues its jobs and releases its locks
    [exit status: 4]
    ada$ git muster servers remove bob --dry-run
    dry run, not done: server `bob` is no longer registered
    ------- stderr -------
    warning: dry run: nothing was written
    its branch `heartbeat-bob` stays; remove it with `git --git-dir=[HUB]/hub.git branch -D heartbeat-bob`, and `logs-bob` if there is one
    [exit status: 0]
    ada$ git muster servers remove bob
    server `bob` is no longer registered
    ------- stderr -------
    its branch `heartbeat-bob` stays; remove it with `git --git-dir=[HUB]/hub.git branch -D heartbeat-bob`, and `logs-bob` if there is one
    [exit status: 0]
    ada$ git muster servers list
    SERVER  HOST  MANAGER  LABELS  HEARTBEAT
    ada  [HOST]  -  -  [DURATION] ago
    [exit status: 0]
    ada$ git muster servers remove ada --json
    {"schema":1,"kind":"server","id":"ada","host":"[HOST]","ip":null,"manager":null,"labels":[],
      "joined_at":"[TIME]","machine":"[UUID]","written":{"hub":"[HUB]/hub.git","branch":"main",
      "commit":"[COMMIT]"}}
    [exit status: 0]
    "#);
}
