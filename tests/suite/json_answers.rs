//! With `--json` everything that is printed is JSON, and each kind of object has a schema.
//!
//! One flow runs every command once. What it prints must be as `docs/schemas/output/<kind>.schema.json`
//! says; objects of ours are closed there, records of the hub may hold more. `MUSTER_BLESS=1` writes the
//! schemas anew from what was seen: a key that no run of the flow has is in none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::support::{Fleet, Host, Run, git};

/// Commands whose answer is no object, and why.
const OTHER_ANSWERS: [(&str, &str); 5] = [
    ("completions", "a script for a shell"),
    ("man", "a manual page"),
    ("demo", "a transcript for people"),
    ("lock run", "what its command prints"),
    ("fence check", "what its command prints; alone it has an object"),
];

/// Kinds that are records of a hub with what we add: they hold what newer versions wrote, too.
const RECORDS: [&str; 8] =
    ["build_config", "job", "lock", "message", "pause", "server", "status", "artifacts"];

/// Objects within ours whose keys are names or differ from verb to verb.
const OPEN: [(&str, &str); 6] = [
    ("op", "operation"),
    ("op", "answer"),
    // Records of the hub.
    ("op", "messages"),
    ("import", "to_nobody"),
    // Each reason has what goes with it.
    ("job_explanation", "waits_for"),
    // Each code has its own.
    ("error", "facts"),
];

/// What any answer may have: that nothing was written, and where was written.
const OF_EVERY_ANSWER: [&str; 2] = ["dry_run", "written"];

/// Kinds of which a run may see none: whether there is something to warn of depends on the machine.
const NOT_ALWAYS: [&str; 1] = ["warning"];

/// Kinds whose schema is made of their type.
const OF_TYPES: [&str; 1] = ["fsck"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/output")
}

/// The commands of the reference that have none below them, without what they all begin with.
fn commands() -> Vec<String> {
    let reference = git_muster::inside::command_reference();
    let sections = reference.split("\n## git muster ").skip(1);
    let leaves = sections.filter(|section| !section.contains("\nCommands:\n"));
    leaves.map(|section| section.lines().next().unwrap().to_owned()).collect()
}

/// What was run, and what it printed.
#[derive(Default)]
struct Flow {
    run: BTreeSet<String>,
    seen: BTreeMap<String, Vec<Value>>,
}

impl Flow {
    /// Runs a command; whatever it prints must be JSON. Gives the last object.
    #[track_caller]
    fn say(&mut self, host: &Host, line: &str) -> Value {
        self.ends(host, line, 0)
    }

    #[track_caller]
    fn ends(&mut self, host: &Host, line: &str, code: i32) -> Value {
        let words: Vec<&str> = line.split(' ').collect();
        let run = host.command(["--json"].into_iter().chain(words)).run().code(code);
        let named = commands().into_iter().filter(|name| format!("{line} ").starts_with(&format!("{name} ")));
        self.run.extend(named.max_by_key(String::len));
        self.take(&run, run.stderr());
        if OTHER_ANSWERS.iter().any(|(name, _)| line.starts_with(name) && line.contains(" -- ")) {
            return Value::Null;
        }
        self.take(&run, run.stdout())
    }

    #[track_caller]
    fn take(&mut self, run: &Run, text: &str) -> Value {
        let mut last = Value::Null;
        for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            let value = value.unwrap_or_else(|error| run.fail(&format!("it is not JSON only: {error}")));
            let all = if let Value::Array(all) = value { all } else { vec![value] };
            for object in all {
                assert_eq!(object["schema"], 1, "{object} in\n{run}");
                let Some(kind) = object["kind"].as_str() else { run.fail("an object without a kind") };
                self.seen.entry(kind.to_owned()).or_default().push(object.clone());
                last = object;
            }
        }
        last
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value:#}")).to_owned()
}

/// Every command once, and some more where the answer has more than one shape.
fn flow() -> Flow {
    let (fleet, mut flow) = (Fleet::new(), Flow::default());
    let f = &mut flow;
    let (ada, bob) = (fleet.host("ada"), fleet.host("bob"));
    f.say(&ada, &format!("init {}", fleet.hub().url()));
    f.say(&ada, "join --as ada --label fast --manager somebody");
    f.say(&bob, "join --as bob");
    servers_and_settings(f, &ada, &fleet);
    jobs(f, &ada, &bob);
    work(f, &ada);
    locks(f, &ada, &bob);
    messages(f, &ada, &bob);
    unsettled(f, &ada, &fleet);
    f.say(&ada, "health");
    f.ends(&ada, "doctor", doctor_code(&ada));
    f.say(&ada, "fsck --history");
    f.say(&ada, &format!("import {} --check", fleet.hub().url()));
    // Lines about records name their place.
    let old = Fleet::new();
    old.hub().put("main", &[("coordination/jobs.json", "{\"jobs\":[{\"id\":\"a b\"}]}")], "by hand");
    f.ends(&ada, &format!("import {} --check", old.hub().url()), 1);
    f.say(&ada, "job dead purge --older-than 1d");
    f.say(&ada, "archive");
    f.say(&ada, "archive --dry-run");
    f.say(&ada, "heartbeat squash");
    f.say(&ada, "servers remove bob --force");
    f.ends(&ada, "servers show nobody", 3);
    old_writers(f);
    flow
}

/// What older writers left: records with little more than an id, each of which is at work like any other.
const OLD: [(&str, &str); 9] = [
    (
        "coordination/jobs.json",
        r#"{"jobs": [{"id": "job_1", "type": "t", "status": "queued", "command": ["true"]}, {"id": "job_2"},
        {"id": "job_3", "status": "completed"}, {"id": "job_4", "status": "dead"}]}"#,
    ),
    ("coordination/archive/jobs-2025-10.json", r#"{"jobs": [{"id": "job_0", "status": "failed"}]}"#),
    ("coordination/messages.json", r#"{"messages": [{"id": "msg_1", "to": "ada"}, {"to": "ada"}]}"#),
    ("coordination/archive/messages-2025-10.json", r#"{"messages": [{"id": "msg_0"}]}"#),
    ("coordination/locks.json", r#"{"locks": {"free": {}, "held": {"locked_by": "old"}}}"#),
    ("coordination/servers.json", r#"{"servers": [{"id": "old"}]}"#),
    ("coordination/pauses.json", r#"{"pauses": [{"id": "queue"}]}"#),
    ("shared/build_config.json", "{}"),
    ("old/status.json", "{}"),
];

/// Each command that prints records as they are, with these.
fn old_writers(f: &mut Flow) {
    let fleet = Fleet::new();
    let ada = fleet.host("ada");
    f.say(&ada, &format!("init {}", fleet.hub().url()));
    fleet.hub().put("main", &OLD, "by an older writer");
    f.say(&ada, "join --as ada");
    for line in ["queue list", "config build", "lock list", "lock show free", "lock show held"] {
        f.say(&ada, line);
    }
    for line in ["servers list", "servers show old", "status list", "status show old", "worker list"] {
        f.say(&ada, line);
    }
    for line in ["job list", "job list --status queued", "job show job_2", "job show job_0", "job dead list"]
    {
        f.say(&ada, line);
    }
    f.say(&ada, "queue resume");
    f.say(&ada, "job explain job_2");
    f.say(&ada, "job claim job_1");
    f.say(&ada, "job start job_1 --token 1");
    f.say(&ada, "job release job_1 --token 1");
    f.say(&ada, "job claim --count 2");
    f.say(&ada, "job complete job_1 --token 2");
    for line in ["job wait job_3", "job retry job_3 --again", "job cancel job_3", "job dead retry job_4"] {
        f.say(&ada, line);
    }
    for line in ["message list", "message thread msg_1", "message read", "message list --to ada"] {
        f.say(&ada, line);
    }
    let ops = ada.run(["--json", "op", "list"]).success().json();
    for op in ops.as_array().unwrap() {
        f.say(&ada, &format!("op status {}", text(op, "op")));
    }
    f.say(&ada, "lock steal held --reason why --force");
    f.say(&ada, "servers remove old --force");
}

/// `doctor` looks at this machine, too, and that is as it is.
fn doctor_code(host: &Host) -> i32 {
    host.run(["doctor", "--json"]).exit_code().unwrap()
}

fn servers_and_settings(f: &mut Flow, ada: &Host, fleet: &Fleet) {
    f.say(ada, "servers list");
    f.say(ada, "servers show bob");
    f.say(ada, "heartbeat");
    let mut beats = ada.command(["--json", "heartbeat", "run"]).spawn();
    beats.wait_for_stdout("}");
    beats.signal("TERM");
    let beats = beats.wait();
    f.take(&beats, beats.stdout());
    f.take(&beats, beats.stderr());
    f.run.insert("heartbeat run".to_owned());
    f.say(ada, "status set idle");
    f.say(ada, "status show");
    f.say(ada, "status list");
    f.say(ada, "config list");
    f.say(ada, "config list --show-origin");
    f.say(ada, "config where");
    f.say(ada, "config build");
    for line in
        ["worker list", "worker show ada", "worker pause ada", "worker drain ada", "worker resume ada"]
    {
        f.say(ada, line);
    }
    for line in
        ["queue pause --note why --for 2h", "queue list", "queue drain", "queue resume", "queue stats"]
    {
        f.say(ada, line);
    }
    f.ends(ada, "servers show nobody", 3);
    f.ends(ada, &format!("--hub {}/nothing servers list", fleet.hub().path().display()), 7);
    assert!(fleet.hub().path().is_dir());
}

fn jobs(f: &mut Flow, ada: &Host, bob: &Host) {
    let first = text(&f.say(ada, "job add --description what --label fast --key k -- true"), "id");
    f.say(ada, "job add --description what --label fast --key k -- true");
    f.say(ada, "job list");
    f.say(ada, &format!("job show {first}"));
    f.say(ada, &format!("job explain {first}"));
    f.say(ada, &format!("job priority {first} high"));
    f.say(ada, &format!("job claim {first}"));
    f.say(ada, "op list");
    f.say(ada, &format!("job start {first} --token 1"));
    f.say(ada, &format!("job heartbeat {first} --token 1"));
    f.say(ada, &format!("job complete {first} --token 1"));
    f.say(ada, &format!("job wait {first}"));
    f.say(ada, &format!("job retry {first} --again"));
    f.say(ada, &format!("job claim {first}"));
    f.say(ada, "op list");
    f.say(ada, &format!("job cancel {first}"));
    f.say(ada, &format!("job stopped {first} --token 2"));
    let second = text(&f.say(ada, "job add --max-attempts 1 -- true"), "id");
    f.say(ada, &format!("job claim {second}"));
    f.say(ada, &format!("job release {second} --token 1"));
    f.say(ada, &format!("job claim {second}"));
    f.say(ada, &format!("job fail {second} --token 2 --reason worker_system_failure --message no"));
    f.say(ada, "job dead list");
    f.say(ada, &format!("job dead retry {second}"));
    f.say(bob, &format!("job claim {second}"));
    f.say(ada, &format!("job requeue {second} --holder-lost --reason gone"));
    f.say(ada, &format!("job cancel {second}"));
}

fn work(f: &mut Flow, ada: &Host) {
    let top = ada.directory().join("source");
    fs::create_dir_all(&top).unwrap();
    git(&top, ["init", "--quiet", "-b", "main", "."]);
    let who = ["-c", "user.name=x", "-c", "user.email=x@example.invalid"];
    git(&top, who.into_iter().chain(["commit", "--quiet", "--allow-empty", "-m", "x"]));
    let source = top.display().to_string();
    let add = "job add --type build --branch main --produces made -- tee made";
    let built = text(&f.say(ada, add), "id");
    f.say(ada, &format!("job run {built} --allow-any --source {source} --tag-builds 2"));
    f.say(ada, &format!("job logs {built}"));
    let plain = text(&f.say(ada, "job add -- echo hello"), "id");
    f.say(ada, "worker run --allow-any --exit-when-idle 1s");
    f.say(ada, &format!("job logs {plain}"));
    // One that is kept on its server alone.
    let large = text(&f.say(ada, add), "id");
    f.say(ada, &format!("job run {large} --allow-any --source {source} --copy-max 0"));
    f.say(ada, &format!("artifact list {large}"));
    f.say(ada, &format!("artifact get {large} --to {source}/large"));
    f.say(ada, "artifact list");
    f.say(ada, &format!("artifact list {built}"));
    f.say(ada, &format!("artifact verify {built}"));
    f.say(ada, &format!("artifact compare {built} {built}"));
    f.say(ada, &format!("artifact get {built} --to {source}/got"));
    f.say(ada, "artifact prune --keep 1");
    f.say(ada, &format!("rollback list --source {source}"));
    f.say(ada, &format!("rollback last-good --source {source}"));
    f.say(ada, &format!("rollback tag {built} --source {source}"));
}

fn locks(f: &mut Flow, ada: &Host, bob: &Host) {
    f.say(ada, "lock acquire one");
    let ops = ada.run(["--json", "op", "list"]).success().json();
    let op = text(&ops[0], "op");
    f.say(ada, "op list");
    f.say(ada, &format!("op status {op}"));
    f.say(ada, &format!("op resume {op}"));
    f.say(ada, "lock renew one --token 1");
    f.say(ada, "lock show one");
    f.say(ada, "lock list");
    f.say(bob, "lock steal one --reason why --force");
    f.say(bob, "lock release one --token 2");
    f.say(ada, "lock run two -- true");
    f.say(ada, "once do three");
    f.say(ada, "once done three --token 1");
    f.say(ada, "once do three");
    f.say(ada, "fence check --name one --token 1 --state fence.json");
    f.say(ada, "fence check --name one --token 1 --state fence.json -- true");
}

fn messages(f: &mut Flow, ada: &Host, bob: &Host) {
    let id = text(&f.say(ada, "message send --to bob --subject s --body b"), "id");
    f.say(ada, "message list");
    f.say(bob, "message read");
    // What was handed out: claims, messages, and of others a lock.
    for host in [ada, bob] {
        let ops = host.run(["--json", "op", "list"]).success().json();
        f.say(host, "op list");
        for op in ops.as_array().unwrap() {
            f.say(host, &format!("op status {}", text(op, "op")));
        }
    }
    f.say(bob, &format!("message ack {id}"));
    f.say(bob, &format!("message send --to ada --subject s --reply-to {id}"));
    f.say(ada, &format!("message thread {id}"));
}

/// An operation of which nobody knows what became, because the hub does not answer.
fn unsettled(f: &mut Flow, ada: &Host, fleet: &Fleet) {
    fleet.hub().install_hook("pre-receive", "#!/bin/sh\nexec sleep 60\n");
    let run = ada.command(["--json", "lock", "acquire", "stuck"]).env("MUSTER_TIMEOUT", "2s").run().code(9);
    let op = text(&f.take(&run, run.stderr()), "op");
    fs::remove_file(fleet.hub().path().join("hooks/pre-receive")).unwrap();
    f.say(ada, "op list");
    f.say(ada, &format!("op drop {op}"));
}

/// What a value can be, from what was seen: of an object the keys, those that were always there as required.
fn shape(values: &[&Value], is_closed: bool) -> Value {
    let mut types: BTreeSet<&str> = values.iter().map(|value| type_of(value)).collect();
    if types.remove("integer") {
        types.insert(if types.contains("number") { "number" } else { "integer" });
    }
    // Of what was never anything nothing is known.
    if types.iter().all(|name| *name == "null") {
        return json!({});
    }
    let names: Vec<&str> = types.iter().copied().collect();
    let mut made = Map::new();
    made.insert("type".to_owned(), if let [one] = names[..] { json!(one) } else { json!(names) });
    let objects: Vec<&Map<String, Value>> = values.iter().filter_map(|value| value.as_object()).collect();
    if !objects.is_empty() {
        let keys: BTreeSet<&String> = objects.iter().flat_map(|object| object.keys()).collect();
        let of = |key: &String| {
            let values: Vec<&Value> = objects.iter().filter_map(|object| object.get(key)).collect();
            (key.clone(), shape(&values, is_closed))
        };
        let required: Vec<&&String> =
            keys.iter().filter(|key| objects.iter().all(|object| object.contains_key(**key))).collect();
        made.insert("required".to_owned(), json!(required));
        made.insert("properties".to_owned(), keys.iter().map(|key| of(key)).collect::<Map<_, _>>().into());
        made.insert("additionalProperties".to_owned(), (!is_closed).into());
    }
    let items: Vec<&Value> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
    if !items.is_empty() {
        made.insert("items".to_owned(), shape(&items, is_closed));
    }
    made.into()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Where a value is not what a schema says, by the words of JSON Schema that are used here.
fn flaws(value: &Value, schema: &Value, at: &str) -> Vec<String> {
    let names: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => return Vec::new(),
    };
    let found = type_of(value);
    if !names.contains(&found) && (found != "integer" || !names.contains(&"number")) {
        return vec![format!("{at} is {found}, not {names:?}")];
    }
    let mut flaws = Vec::new();
    if let Some(object) = value.as_object() {
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(key) {
                flaws.push(format!("{at} has no `{key}`"));
            }
        }
        for (key, value) in object {
            match schema["properties"].get(key) {
                Some(schema) => flaws.extend(self::flaws(value, schema, &format!("{at}.{key}"))),
                None if schema["additionalProperties"] == false => flaws.push(format!("{at} has `{key}`")),
                None => {}
            }
        }
    }
    for value in value.as_array().into_iter().flatten() {
        flaws.extend(self::flaws(value, &schema["items"], &format!("{at}[]")));
    }
    flaws
}

/// The schema of a kind, from all objects of it that were seen.
fn schema_of(kind: &str, seen: &[Value]) -> Value {
    let mut schema = shape(&seen.iter().collect::<Vec<_>>(), !RECORDS.contains(&kind));
    let properties = schema["properties"].as_object_mut().unwrap();
    properties.insert("kind".to_owned(), json!({"type": "string", "const": kind}));
    for (_, key) in OPEN.iter().filter(|(of, _)| *of == kind) {
        let mut open = json!({"type": properties[*key]["type"]});
        if let Some(items) = properties[*key].get("items") {
            open["items"] = json!({"type": items["type"]});
        }
        properties.insert((*key).to_owned(), open);
    }
    if !["error", "note", "warning"].contains(&kind) {
        let written = json!({"type": "object", "required": ["hub", "branch", "commit"], "additionalProperties": false,
            "properties": {"hub": {"type": "string"}, "branch": {"type": "string"}, "commit": {"type": ["string", "null"]}}});
        for (key, schema) in OF_EVERY_ANSWER.into_iter().zip([json!({"type": "boolean"}), written]) {
            properties.insert(key.to_owned(), schema);
        }
    }
    let head = schema.as_object_mut().unwrap();
    // What is written depends on whether anything had to be.
    head["required"].as_array_mut().unwrap().retain(|key| !OF_EVERY_ANSWER.iter().any(|name| key == name));
    head.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    head.insert("title".to_owned(), format!("`{kind}`, as `git muster --json` prints it").into());
    schema
}

/// Keys of a schema, at the top, that no object has.
fn unseen<'a>(schema: &'a Value, seen: &[Value]) -> Vec<&'a String> {
    let keys = schema["properties"].as_object().into_iter().flat_map(Map::keys);
    let keys = keys.filter(|key| !OF_EVERY_ANSWER.contains(&key.as_str()));
    keys.filter(|key| !seen.iter().any(|object| object.get(key.as_str()).is_some())).collect()
}

#[test]
fn every_command_prints_json_only_and_each_kind_of_object_is_as_its_schema_says() {
    let flow = flow();
    let left_out = |name: &String| !OTHER_ANSWERS.iter().any(|(other, _)| other == name);
    let missing: Vec<String> =
        commands().into_iter().filter(|name| !flow.run.contains(name)).filter(left_out).collect();
    assert_eq!(missing, [""; 0], "commands that the flow does not run");
    for (kind, seen) in flow.seen.iter().filter(|(kind, _)| !OF_TYPES.contains(&kind.as_str())) {
        let path = folder().join(format!("{kind}.schema.json"));
        if std::env::var_os("MUSTER_BLESS").is_some() {
            fs::create_dir_all(folder()).unwrap();
            let schema = schema_of(kind, seen);
            fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&schema).unwrap())).unwrap();
        }
        let schema = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no schema for the kind `{kind}`"));
        let schema: Value = serde_json::from_str(&schema).unwrap();
        for object in seen {
            assert_eq!(flaws(object, &schema, kind), [""; 0], "{object:#}");
        }
        if !RECORDS.contains(&kind.as_str()) {
            assert_eq!(unseen(&schema, seen), Vec::<&String>::new(), "keys of `{kind}` that nothing prints");
        }
        assert_eq!(schema["additionalProperties"], RECORDS.contains(&kind.as_str()), "{kind}");
    }
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let kind = name.strip_suffix(".schema.json").unwrap();
        assert!(flow.seen.contains_key(kind) || NOT_ALWAYS.contains(&kind), "{name} is a schema of nothing");
    }
}

#[test]
fn a_key_that_comes_goes_or_changes_is_noticed() {
    let schema =
        shape(&[&json!({"a": 1, "b": {"c": ["x"]}}), &json!({"a": null, "b": {"c": []}, "d": true})], true);
    for (object, expected) in [
        (json!({"a": 2, "b": {"c": ["y"]}}), None),
        (json!({"b": {"c": []}}), Some("it has no `a`")),
        (json!({"a": 1, "b": {"c": []}, "e": 1}), Some("it has `e`")),
        (json!({"a": 1, "b": {"c": [], "f": 1}}), Some("it.b has `f`")),
        (json!({"a": 1, "b": {"c": [7]}}), Some("it.b.c[] is integer, not [\"string\"]")),
        (json!({"a": "x", "b": {"c": []}}), Some("it.a is string, not [\"integer\", \"null\"]")),
    ] {
        assert_eq!(flaws(&object, &schema, "it").first().map(String::as_str), expected, "{object}");
    }
}
