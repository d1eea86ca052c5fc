//! `git muster join` and `git muster servers`: who belongs to the hub.

use super::GlobalArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::input::{self, ago, or_dash};
use super::output::{Output, counted};
use super::settings::{Setting, UserConfig, embedded_hub_path};
use super::stronger::Stronger;
use super::table::{facts, table};
use crate::app::commands::removal::{RemoveServer, holdings};
use crate::app::commands::server::{Join, Joined};
use crate::app::documents::{or_empty, seen_beats};
use crate::app::hubs;
use crate::app::machine;
use crate::app::session::Session;
use crate::domain::hub::Marker;
use crate::domain::id::{ServerName, check_branch};
use crate::domain::record::Record;
use crate::domain::server::Server;
use crate::domain::shell::quoted;
use crate::domain::table::{Table, Trouble};
use crate::domain::time::Timestamp;
use crate::ledger::{self, Documents as _, Location, Snapshot};
use crate::machine::environment;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster join git@hub.example:hub --as build1 --manager Codex --label gpu
  git muster join --as build2          # in a clone of it, or the embedded hub
  git muster join --as build3 --adopt  # and register all that have a folder

Registers the server in coordination/servers.json and remembers hub and name: in the clone's \
configuration when run inside one, else for this user. As long as no server is registered, the servers \
whose folders are in use in the hub are registered in the same commit.")]
pub struct JoinArgs {
    /// The hub, if it is not the clone around or the embedded one
    #[arg(value_name = "PATH|URL", value_parser = NonEmptyStringValueParser::new())]
    pub target: Option<String>,
    /// The name of this server
    #[arg(long = "as", value_name = "NAME")]
    pub name: ServerName,
    /// Who runs it: a person or an agent
    #[arg(long)]
    pub manager: Option<String>,
    /// Its address, for people
    #[arg(long)]
    pub ip: Option<String>,
    /// What it can do, such as arch=amd64 (can be repeated); those it had go
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Take the labels that it had off
    #[arg(long, conflicts_with = "labels")]
    pub no_labels: bool,
    /// Take the name even if another machine uses it
    #[arg(long)]
    pub replace: bool,
    /// Also register the servers that have a folder in use [default: if no server is registered]
    #[arg(long, conflicts_with = "no_adopt")]
    pub adopt: bool,
    /// Register this server alone
    #[arg(long)]
    pub no_adopt: bool,
    /// Scripts judge servers by heartbeat.json on the main branch: heartbeats refresh it this often, for
    /// all servers of the hub [0s: never]
    #[arg(long, value_name = "SPAN", value_parser = input::span, num_args = 0..=1, default_missing_value = "4m")]
    pub old_readers: Option<Duration>,
}

/// The verbs of `servers`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ServersCommand {
    /// List the registered servers
    #[command(after_help = "Example:\n  git muster servers list --json | jq -r '.[].id'")]
    #[command(alias = "ls")]
    List,
    /// Show one server
    #[command(after_help = "Example:\n  git muster servers show build1")]
    #[command(aliases = ["status", "describe"])]
    Show {
        /// Its name
        name: ServerName,
    },
    /// Take a server out of the registry; its folder stays
    #[command(after_help = "Examples:
  git muster servers remove build4
  git muster servers remove build4 --force  # gone: requeue jobs, free locks

Messages to it go to the archive, messages to all no longer wait for it, and a pause of it ends. Its status \
becomes `removed`. Its branches stay.")]
    #[command(alias = "rm")]
    Remove {
        /// Its name
        name: ServerName,
        /// Requeue its jobs and free its locks; only if nothing of it runs any more
        #[arg(long)]
        force: bool,
    },
}

/// Registers this machine.
///
/// # Errors
/// When the name is taken by another machine, or the hub cannot be written.
pub(super) fn join(args: &JoinArgs, global: &GlobalArgs, context: &mut Context) -> Result<(), CliError> {
    let folder = environment::working_directory()?;
    let joined_before = JoinedBefore::of_user();
    if let Some(target) = args.target.as_ref().or(global.hub.as_ref()) {
        context.settings.go_to(Location::parse(target, &folder), "the command line");
    }
    let before = context.settings.server.as_ref().map(|before| before.value.clone());
    let moved = find_branch(args, context)?;
    context.settings.server = Some(Setting { value: args.name.clone(), origin: "--as".to_owned() });
    context.settings.bad_name = None;
    let standing = if args.replace { standing(&args.name, context)? } else { Standing::Another };
    if standing == Standing::Ours {
        context.output.say(&format!("`{}` is this machine already: nothing was replaced", args.name));
    }
    let machine = if standing == Standing::Copied { Ok(machine::new_id()) } else { machine::id() };
    let machine = machine.map_err(|error| CliError::from(error).nothing_written())?;
    let verb = Join {
        name: args.name.clone(),
        host: environment::host_name(),
        machine,
        ip: args.ip.clone(),
        manager: args.manager.clone(),
        labels: args.labels.clone(),
        no_labels: args.no_labels,
        replace: args.replace && standing != Standing::Ours,
        adopt: args.adopt.then_some(true).or_else(|| args.no_adopt.then_some(false)),
        old_readers_seconds: args.old_readers.map(|every| every.as_secs()),
        moved,
    };
    let receipt = context.write(&verb)?;
    let hub = context.settings.hub()?.shown();
    let mut stronger = Stronger::default();
    if !context.is_dry_run() {
        stronger = keep(&verb, args, (global, &joined_before), context).map_err(|error| {
            let replace = if args.replace { " --replace" } else { "" };
            let again = format!("git muster join {} --as {}{replace}", quoted(&hub), args.name);
            error
                .after(&format!("server `{}` is registered in `{hub}`", args.name))
                .hint(format!("once that can be written, `{again}` has this machine know it, too"))
        })?;
        stronger.begin(&args.name, context);
    }
    context.output.confirm("server", &receipt.answer, || {
        format!("this machine is server `{}` of `{hub}`", args.name)
    })?;
    tell_of_labels(&receipt.answer, args, context.output);
    tell_of_folders(&receipt.answer, context.output);
    if let Some(before) = before.filter(|before| *before != args.name) {
        tell_of_holdings(&before, context)?;
    }
    stronger.tell(&args.name, context);
    // Cron starts elsewhere than in the clone that alone knows the hub.
    let of_clone = context.settings.clone.as_ref();
    let git =
        of_clone.map_or("git".to_owned(), |clone| format!("git -C {}", quoted(&clone.display().to_string())));
    context.output.say(&format!(
        "next: `{git} muster heartbeat` once a minute from cron, or `{git} muster heartbeat run`"
    ));
    Ok(())
}

/// Keeps on this machine what was registered, and finds what comes before that.
fn keep(
    verb: &Join,
    args: &JoinArgs,
    (global, before): (&GlobalArgs, &JoinedBefore),
    context: &mut Context,
) -> Result<Stronger, CliError> {
    if machine::known()?.as_ref() != Some(&verb.machine) {
        machine::keep(&verb.machine)?;
    }
    if verb.replace {
        // A copied home goes on with the other machine's session.
        let whose = context.whose(&args.name)?;
        Session::present(&whose).end(&whose);
    }
    let is_of_user = remember(args, context)?;
    let stronger = Stronger::than(&args.name, global, context);
    if is_of_user && let Some(replaced) = before.replaced(&args.name, &stronger, context) {
        context.output.say(&replaced);
    }
    Ok(stronger)
}

/// Tells which labels were replaced.
fn tell_of_labels(joined: &Joined, args: &JoinArgs, output: Output) {
    let Some(before) = joined.labels_before.as_ref().filter(|before| !before.is_empty()) else { return };
    let now = if args.labels.is_empty() { "none".to_owned() } else { args.labels.join(", ") };
    output.say(&format!("`{}` had the labels {} before, and has {now} now", args.name, before.join(", ")));
}

/// What the registry says of the name that this machine asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// That this very machine has it.
    Ours,
    /// That a machine has it whose home was copied to here, or from here.
    Copied,
    /// Anything else.
    Another,
}

fn standing(name: &ServerName, context: &mut Context) -> Result<Standing, CliError> {
    let (known, host) = (machine::known()?, environment::host_name());
    let read = context.read(true, |snapshot| {
        let registry: Table<Server> = or_empty(snapshot)?;
        let Some(server) = registry.get(name.as_str()).filter(|server| server.machine.is_some()) else {
            return Ok(Standing::Another);
        };
        if server.machine != known {
            return Ok(Standing::Another);
        }
        let is_shared = seen_beats(snapshot, name)?.newest.is_some_and(|beat| beat.twins().is_some());
        let is_here = server.is_of(known.as_deref(), &host) && !is_shared;
        Ok(if is_here { Standing::Ours } else { Standing::Copied })
    });
    read.map_err(CliError::nothing_written)
}

/// Tells what this machine still has at work under the name `before`, of which nobody would think any more.
fn tell_of_holdings(before: &ServerName, context: &mut Context) -> Result<(), CliError> {
    if joined_elsewhere(before, context)?.is_some() {
        return Ok(());
    }
    let held = context.recall(|snapshot| Ok(holdings(snapshot, before)?))?;
    if !held.is_empty() {
        context.output.warn(&format!(
            "this machine still holds as `{before}`: {}; until that has ended, go on with `git muster --server {before} heartbeat run`, and report with `--server {before}`, or it is given to others",
            held.join(", ")
        ));
    }
    Ok(())
}

/// Tells which servers were registered because they have a folder, and which were not.
fn tell_of_folders(joined: &Joined, output: Output) {
    if let Some(seconds) = joined.old_readers_seconds {
        output.say(&format!(
            "this hub has old readers: heartbeats refresh heartbeat.json on the main branch every {seconds} s"
        ));
    }
    let named =
        |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if !joined.adopted.is_empty() {
        output.say(&format!(
            "registered with it, because they have folders in the hub: {}; take one out with `git muster servers remove NAME`",
            named(&joined.adopted)
        ));
    }
    if !joined.unregistered.is_empty() {
        output.warn(&format!(
            "not registered, although they have folders in the hub: {}; run `git muster join` on each, or register all of them with `git muster join --as {} --adopt`",
            named(&joined.unregistered),
            joined.server.get("id").and_then(Value::as_str).unwrap_or("NAME")
        ));
    }
}

/// Goes to the branch that the hub is in; `true` when its marker names another that is no longer there.
///
/// # Errors
/// When the hub cannot be read.
fn find_branch(args: &JoinArgs, context: &mut Context) -> Result<bool, CliError> {
    if args.target.is_none()
        && let Some((clone, branch)) = context.settings.which.joinable.clone()
        && context.settings.which.is_told
    {
        context.settings.go_to(Location::parse(&clone.origin, &clone.top), "the clone around");
        context.settings.clone = Some(clone.top);
        context.go_to_branch(&branch, "its marker");
    }
    context.settle_branch().map_err(CliError::nothing_written)?;
    let is_named = ["--branch", "MUSTER_BRANCH"].contains(&context.settings.branch.origin.as_str());
    let marked = |context: &mut Context| {
        context
            .read(false, |snapshot| Ok(snapshot.record::<Marker>(Marker::PATH)?))
            .map(|marker| marker.and_then(|marker| marker.branch.clone()))
    };
    let named = match marked(context) {
        Err(error) if error.not_in_branch && !is_named => {
            let Some(home) = context.homes()?.home().map(str::to_owned) else {
                return Err(error.nothing_written());
            };
            context.go_to_branch(&home, "the hub's marker");
            marked(context)
        }
        read => read,
    }
    .map_err(CliError::nothing_written)?;
    let branch = context.settings.branch.value.clone();
    let Some(named) = named.filter(|named| *named != branch && check_branch(named).is_ok()) else {
        return Ok(false);
    };
    if context.read_with(&named, |snapshot| Ok(snapshot.tip(&named)?))?.is_none() {
        return Ok(true);
    }
    if is_named {
        context.output.warn(&format!(
            "`{branch}` is a branch made from the hub in `{named}`; who joins there sees only who does the same"
        ));
        return Ok(false);
    }
    if let Some(other) = led_on(&named, context)? {
        let why = format!(
            "the marker in `{branch}` says that the hub is in `{named}`, and the marker there says `{other}`"
        );
        let hub = args.target.as_ref().map_or_else(String::new, |hub| format!(" {}", quoted(hub)));
        let join = |branch: &str| {
            format!("`git muster join{hub} --as {} --hub-branch {}`", args.name, quoted(branch))
        };
        return Err(CliError::new(Exit::Configuration, format!("{why}; nothing was written")).hint(format!(
            "ask who keeps the hub which one it is, and name that: {} or {}",
            join(&named),
            join(&other)
        )));
    }
    context.go_to_branch(&named, "the hub's marker");
    Ok(false)
}

/// The other branch that the marker in `branch` names, if there is such a one.
fn led_on(branch: &str, context: &mut Context) -> Result<Option<String>, CliError> {
    let marker = context
        .read_with(branch, |snapshot| Ok(snapshot.record_on::<Marker>(branch, Marker::PATH)?))
        .map_err(CliError::nothing_written)?;
    let other = marker.and_then(|marker| marker.branch.clone());
    let Some(other) = other.filter(|other| other != branch && check_branch(other).is_ok()) else {
        return Ok(None);
    };
    let tip = context.read_with(&other, |snapshot| Ok(snapshot.tip(&other)?));
    Ok(tip.map_err(CliError::nothing_written)?.map(|_| other))
}

/// Remembers hub and name where later commands look for them; `true` when that is for the user, and not for
/// a clone.
fn remember(args: &JoinArgs, context: &Context) -> Result<bool, CliError> {
    if let Some(aside) = UserConfig::set_broken_aside()? {
        context.output.warn(&format!(
            "this user's configuration could not be used and is kept as `{}`; what it said no longer counts",
            aside.display()
        ));
    }
    let name = args.name.as_str();
    if let Some(clone) = context.settings.clone.as_ref().or(context.settings.which.own.as_ref()) {
        let before = ledger::configured(clone, "muster.server").filter(|before| before != name);
        ledger::configure(clone, ledger::BRANCH_KEY, &context.settings.branch.value)?;
        ledger::configure(clone, "muster.server", name)?;
        if let Some(before) = before {
            context.output.say(&format!(
                "this clone was server `{before}` before; commands in it that name no server now act as `{name}`"
            ));
        }
        return Ok(false);
    }
    let hub = context.settings.hub()?;
    let embedded = *hub == Location::Path(embedded_hub_path());
    let branch = &context.settings.branch;
    UserConfig {
        hub: (!embedded).then(|| hub.as_text()),
        branch: Some(branch.value.clone()),
        server: Some(name.to_owned()),
    }
    .write()?;
    Ok(true)
}

/// What this user had joined before.
struct JoinedBefore {
    server: Option<String>,
    hub: Location,
    /// The name that the hub has on this host, if it has one: a hub that is moved keeps it.
    name: Option<String>,
}

impl JoinedBefore {
    fn of_user() -> Self {
        let user = UserConfig::read_usable();
        let hub = user.hub.as_ref();
        let hub =
            hub.map_or(Location::Path(embedded_hub_path()), |hub| Location::parse(hub, &environment::home()));
        let branch = user.branch.unwrap_or_default();
        let name = hubs::remembered_place(&hub, None, &branch).map(|place| place.name);
        Self { server: user.server, hub, name }
    }

    /// What takes its place as the hub and the name of this user, in words.
    fn replaced(&self, name: &ServerName, stronger: &Stronger, context: &mut Context) -> Option<String> {
        let server = self.server.as_ref()?;
        let hub = context.settings.hub().ok()?.clone();
        let mut now = Vec::new();
        let mut held = String::new();
        if !self.hub.is_spelling_of(&hub) {
            let is_moved = self.name.is_some() && context.place().ok().map(|place| place.name) == self.name;
            let same = if is_moved { ", which is the same hub" } else { "" };
            now.push(format!(
                "{}commands that name no hub now are about `{}`{same}",
                stronger.scope(),
                hub.shown()
            ));
            if !is_moved {
                held = format!(
                    "; what `{server}` holds there is given to others unless `git muster --hub {} --server {} heartbeat run` goes on until it has ended",
                    quoted(&self.hub.shown()),
                    quoted(server)
                );
            }
        }
        if *server != name.as_str() {
            now.push(format!("commands that name no server now act as `{name}`"));
        }
        let before = format!("this user was server `{server}` of `{}` before", self.hub.shown());
        (!now.is_empty()).then(|| format!("{before}; {}{held}", now.join(", and ")))
    }
}

/// The host that joined as `me`, if that was another machine: two under one name would take each
/// other's jobs and locks for their own.
///
/// # Errors
/// When the register cannot be read.
pub(super) fn joined_elsewhere(me: &ServerName, context: &mut Context) -> Result<Option<String>, CliError> {
    context.recall(|snapshot| registered_elsewhere(me, snapshot))
}

/// Who has this name, which was given in another hub, if it is not this machine: another one, or a server of
/// which no machine is known, as scripts are.
///
/// # Errors
/// When the register cannot be read.
pub(super) fn is_anothers(me: &ServerName, snapshot: &Snapshot<'_>) -> Result<Option<String>, CliError> {
    let registry: Table<Server> = snapshot.table()?;
    match registry.get(me.as_str()) {
        Some(server) if server.machine.is_none() => {
            let host = server.host.clone().filter(|host| *host != environment::host_name());
            Ok((host.is_some() || server.host.is_none()).then(|| {
                host.map_or_else(
                    || "a server that no machine has joined as".to_owned(),
                    |host| format!("`{host}`"),
                )
            }))
        }
        _ => Ok(registered_elsewhere(me, snapshot)?.map(|host| format!("machine `{host}`"))),
    }
}

/// The host that registered this name, if it is another than this machine.
///
/// # Errors
/// When the registry or the id of this machine cannot be read.
pub(super) fn registered_elsewhere(
    me: &ServerName,
    snapshot: &Snapshot<'_>,
) -> Result<Option<String>, CliError> {
    let here = (machine::known()?, environment::host_name());
    let registry: Table<Server> = snapshot.table()?;
    let Some(server) = registry.get(me.as_str()) else { return Ok(None) };
    let is_here = server.is_of(here.0.as_deref(), &here.1);
    Ok((!is_here).then(|| server.host.clone().unwrap_or_else(|| "another machine".to_owned())))
}

/// A verb of `servers`.
///
/// # Errors
/// When there is no such server, or the hub cannot be used.
pub(super) fn run(command: &ServersCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        ServersCommand::List => list(context),
        ServersCommand::Show { name } => show(name, context),
        ServersCommand::Remove { name, force } => remove(name, *force, context),
    }
}

fn remove(name: &ServerName, force: bool, context: &mut Context) -> Result<(), CliError> {
    let verb = RemoveServer { name: name.clone(), by: context.me()?, force };
    let removed = context.write(&verb)?.answer;
    context.output.confirm("server", &removed, || {
        let mut said = format!("server `{name}` is no longer registered");
        if removed.messages > 0 {
            said.push_str(&format!("; {} to it went to the archive", counted(removed.messages, "message")));
        }
        for (what, names) in [("requeued", &removed.jobs), ("freed", &removed.locks)] {
            if !names.is_empty() {
                said.push_str(&format!("; {what}: `{}`", names.join("`, `")));
            }
        }
        said
    })?;
    let branch = name.heartbeat_branch();
    if context.recall(|snapshot| Ok(snapshot.tip(&branch)?.is_some()))? {
        let remove = match context.settings.hub()? {
            Location::Path(hub) => {
                format!("`git --git-dir={} branch -D {branch}`", quoted(&hub.display().to_string()))
            }
            url @ Location::Url(_) => {
                format!("`git push {} --delete {branch}` in any git repository", quoted(&url.shown()))
            }
        };
        context.output.say(&format!(
            "its branch `{branch}` stays; remove it with {remove}, and `logs-{name}` if there is one"
        ));
    }
    Ok(())
}

fn list(context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let (output, server_beats) = (
        context.output,
        context.read(true, |snapshot| {
            let registry: Table<Server> = snapshot.table()?;
            let mut rows = Vec::new();
            let mut broken = Vec::new();
            for server in registry.rows() {
                rows.push((server.raw(), beat_at(snapshot, server, &mut broken)?, (**server).clone()));
            }
            broken.extend(registry.troubles().iter().map(Trouble::describe));
            Ok((rows, broken))
        })?,
    );
    let (server_beats, broken) = server_beats;
    warn_of(&broken, output);
    let values: Vec<Value> = server_beats.iter().map(|(raw, at, _)| with_beat(raw, *at)).collect();
    output.list("server", &values, || {
        if server_beats.is_empty() {
            output.say("no server is registered; register this one with `git muster join --as NAME`");
            return String::new();
        }
        let rows: Vec<Vec<String>> = server_beats
            .iter()
            .map(|(_, at, server)| {
                vec![
                    server.id.clone(),
                    or_dash(server.host.as_deref()),
                    or_dash(server.manager.as_deref()),
                    or_dash(Some(&server.labels.join(","))),
                    ago(*at, now),
                ]
            })
            .collect();
        table(&["SERVER", "HOST", "MANAGER", "LABELS", "HEARTBEAT"], &rows)
    })
}

/// When the server beat last, as far as that can be read; what cannot is added to `broken`.
fn beat_at(
    snapshot: &crate::ledger::Snapshot<'_>,
    server: &Record<Server>,
    broken: &mut Vec<String>,
) -> Result<Option<Timestamp>, CliError> {
    let Ok(name) = ServerName::new(&server.id) else { return Ok(None) };
    let seen = seen_beats(snapshot, &name)?;
    let told =
        seen.broken.into_iter().map(|beat| format!("a heartbeat of `{name}` cannot be read: {}", beat.why));
    broken.extend(told);
    Ok(seen.newest.and_then(|newest| newest.at()))
}

fn warn_of(broken: &[String], output: Output) {
    for beat in broken {
        output.warn(beat);
    }
}

fn with_beat(raw: &Value, at: Option<Timestamp>) -> Value {
    let mut value = raw.clone();
    if let Value::Object(members) = &mut value {
        members.insert("last_heartbeat".to_owned(), json!(at));
    }
    value
}

fn show(name: &ServerName, context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let found = context.read(true, |snapshot| {
        let registry: Table<Server> = snapshot.table()?;
        let Some(server) = registry.get(name.as_str()) else { return Ok(None) };
        let mut broken = Vec::new();
        let at = beat_at(snapshot, server, &mut broken)?;
        Ok(Some((server.raw(), (**server).clone(), at, broken)))
    })?;
    let Some((raw, server, at, broken)) = found else {
        return Err(CliError::new(Exit::No, format!("there is no server `{name}`"))
            .hint("see the names with `git muster servers list`"));
    };
    let output: Output = context.output;
    warn_of(&broken, output);
    output.object("server", &with_beat(&raw, at), || {
        facts(&[
            ("server", Some(server.id)),
            ("host", server.host),
            ("ip", server.ip),
            ("manager", server.manager),
            ("labels", Some(server.labels.join(", ")).filter(|labels| !labels.is_empty())),
            ("joined", server.joined_at.map(|at| at.told())),
            ("heartbeat", Some(ago(at, now))),
        ])
    })
}
