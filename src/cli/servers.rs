//! `git muster join` and `git muster servers`: who belongs to the hub.

use super::GlobalArgs;
use super::context::Context;
use super::error::CliError;
use super::input::{self, ago, or_dash};
use super::output::{Output, counted};
use super::settings::{Setting, UserConfig, embedded_hub_path};
use super::stronger::Precedence;
use super::table::{facts, table};
use crate::app::commands::removal::{RemoveServer, holdings};
use crate::app::commands::server::{Join, JoinResult};
use crate::app::machine;
use crate::app::queries::Query as _;
use crate::app::queries::servers::{
    ListServers, MayReplace, Owner, Servers, ShowServer, ShownServer, Standing, ThisMachine, WhoseName,
};
use crate::app::session::Session;
use crate::domain::code::Code;
use crate::domain::hub::Marker;
use crate::domain::id::{ServerName, check_branch};
use crate::domain::shell::quoted;
use crate::git;
use crate::git::{Location, hubs};
use crate::ledger::{Documents as _, Snapshot};
use crate::machine::environment;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster join git@hub.example:hub --as build1 --manager Codex --label gpu
  git muster join --as build2          # current clone, or per-user hub
  git muster join --as build3 --adopt  # also register servers with a directory

Registers the server in coordination/servers.json and remembers the hub and the name: in the \
configuration of the current clone, if there is one, otherwise for this user. If no server is \
registered yet, all servers whose directories in the hub are in use are registered in the same \
commit.")]
pub struct JoinArgs {
    /// Hub to join [otherwise: the current clone, the per-user hub]
    #[arg(value_name = "PATH|URL", value_parser = NonEmptyStringValueParser::new())]
    pub target: Option<String>,
    /// Name of this server
    #[arg(long = "as", value_name = "NAME")]
    pub name: ServerName,
    /// Person or agent who runs the server
    #[arg(long)]
    pub manager: Option<String>,
    /// Address of the server, for information only
    #[arg(long)]
    pub ip: Option<String>,
    /// Label that jobs can require, such as arch=amd64 (can be repeated); replaces all earlier labels
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Remove all labels
    #[arg(long, conflicts_with = "labels")]
    pub no_labels: bool,
    /// Take the name even if another machine uses it
    #[arg(long)]
    pub replace: bool,
    /// Also register every server whose directory in the hub is in use [default: only if no server is
    /// registered]
    #[arg(long, conflicts_with = "no_adopt")]
    pub adopt: bool,
    /// Register only this server
    #[arg(long)]
    pub no_adopt: bool,
    /// Interval at which heartbeats also refresh heartbeat.json on the hub branch, where legacy scripts
    /// read it; applies to all servers of the hub [0s: never]
    #[arg(long, value_name = "DURATION", value_parser = input::span, num_args = 0..=1, default_missing_value = "4m")]
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
        /// Name of the server
        name: ServerName,
    },
    /// Remove a server from the registry; its directory stays
    #[command(after_help = "Examples:
  git muster servers remove build4
  git muster servers remove build4 --force  # requeue jobs, release locks

Messages to the server are archived, messages to all no longer wait for it, and its pause ends. \
Its status becomes `removed`. Its branches stay.")]
    #[command(alias = "rm")]
    Remove {
        /// Name of the server
        name: ServerName,
        /// Requeue its jobs and release its locks; only safe if none of its processes is left
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
        context.output.say(&format!("`{}` is already this machine; nothing was replaced", args.name));
    }
    let machine = if standing == Standing::Copied {
        Ok(machine::new_id(&context.machine))
    } else {
        machine::id(&context.machine)
    };
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
    let mut stronger = Precedence::default();
    if !context.is_dry_run() {
        stronger = keep(&verb, args, (global, &joined_before), context).map_err(|error| {
            let replace = if args.replace { " --replace" } else { "" };
            let again = format!("git muster join {} --as {}{replace}", quoted(&hub), args.name);
            error
                .after(&format!("server `{}` is registered in `{hub}`", args.name))
                .hint(format!("once that is writable, run `{again}` to store the name on this machine"))
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
) -> Result<Precedence, CliError> {
    if machine::known(&context.machine)?.as_ref() != Some(&verb.machine) {
        machine::keep(&context.machine, &verb.machine)?;
    }
    if verb.replace {
        // A copied home goes on with the other machine's session.
        let whose = context.whose(&args.name)?;
        Session::present(&whose).end(&whose);
    }
    let is_of_user = remember(args, context)?;
    let stronger = Precedence::than(&args.name, global, context);
    if is_of_user && let Some(replaced) = before.replaced(&args.name, &stronger, context) {
        context.output.say(&replaced);
    }
    Ok(stronger)
}

/// Tells which labels were replaced.
fn tell_of_labels(joined: &JoinResult, args: &JoinArgs, output: Output) {
    let Some(before) = joined.labels_before.as_ref().filter(|before| !before.is_empty()) else { return };
    let now = if args.labels.is_empty() { "none".to_owned() } else { args.labels.join(", ") };
    output.say(&format!("labels of `{}` were {}, and are now {now}", args.name, before.join(", ")));
}

fn standing(name: &ServerName, context: &mut Context) -> Result<Standing, CliError> {
    let whose = whose(name, &context.machine)?;
    context.ask(&MayReplace(whose)).map_err(CliError::nothing_written)
}

/// Asks whose a name is, as this machine.
fn whose(name: &ServerName, here: &crate::machine::Machine) -> Result<WhoseName, CliError> {
    let here = ThisMachine { id: machine::known(here)?, host: here.host_name() };
    Ok(WhoseName { name: name.clone(), here })
}

/// Tells what this machine still has at work under the name `before`, of which nobody would think any more.
fn tell_of_holdings(before: &ServerName, context: &mut Context) -> Result<(), CliError> {
    if joined_elsewhere(before, context)?.is_some() {
        return Ok(());
    }
    let held = context.recall(|snapshot| Ok(holdings(snapshot, before)?))?;
    if !held.is_empty() {
        context.output.warn(&format!(
            "this machine still holds as `{before}`: {}; until that has ended, keep running `git muster --server {before} heartbeat run` and report with `--server {before}`, or other servers get it",
            held.join(", ")
        ));
    }
    Ok(())
}

/// Tells which servers were registered because they have a folder, and which were not.
fn tell_of_folders(joined: &JoinResult, output: Output) {
    if let Some(seconds) = joined.old_readers_seconds {
        output.say(&format!(
            "this hub has legacy readers: heartbeats refresh heartbeat.json on the hub branch every {seconds} s"
        ));
    }
    let named =
        |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if !joined.adopted.is_empty() {
        output.say(&format!(
            "also registered, because they have directories in the hub: {}; remove one with `git muster servers remove NAME`",
            named(&joined.adopted)
        ));
    }
    if !joined.unregistered.is_empty() {
        output.warn(&format!(
            "not registered, although they have directories in the hub: {}; run `git muster join` on each, or register all of them with `git muster join --as {} --adopt`",
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
            "`{branch}` was created from the hub branch `{named}`; servers that join there do not see the others"
        ));
        return Ok(false);
    }
    if let Some(other) = led_on(&named, context)? {
        let why = format!(
            "the marker in `{branch}` names hub branch `{named}`, but the marker there names `{other}`"
        );
        let hub = args.target.as_ref().map_or_else(String::new, |hub| format!(" {}", quoted(hub)));
        let join = |branch: &str| {
            format!("`git muster join{hub} --as {} --hub-branch {}`", args.name, quoted(branch))
        };
        return Err(CliError::new(Code::HubUnclear, why).unwritten().hint(format!(
            "ask the owner of the hub which branch is correct, and use that: {} or {}",
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
            "this user's configuration was unusable and is kept as `{}`; its settings no longer apply",
            aside.display()
        ));
    }
    let name = args.name.as_str();
    if let Some(clone) = context.settings.clone.as_ref().or(context.settings.which.own.as_ref()) {
        let before = git::configured(clone, "muster.server").filter(|before| before != name);
        git::configure(clone, git::BRANCH_KEY, &context.settings.branch.value)?;
        git::configure(clone, "muster.server", name)?;
        if let Some(before) = before {
            context.output.say(&format!(
                "this clone was server `{before}`; commands in it without `--server` now act as `{name}`"
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
        let name = hubs::remembered_name(&hub, None);
        Self { server: user.server, hub, name }
    }

    /// What takes its place as the hub and the name of this user, in words.
    fn replaced(&self, name: &ServerName, stronger: &Precedence, context: &mut Context) -> Option<String> {
        let server = self.server.as_ref()?;
        let hub = context.settings.hub().ok()?.clone();
        let mut now = Vec::new();
        let mut held = String::new();
        if !self.hub.is_spelling_of(&hub) {
            let is_moved = self.name.is_some() && context.place().ok().map(|place| place.name) == self.name;
            let same = if is_moved { ", which is the same hub" } else { "" };
            now.push(format!("{}commands without `--hub` now use `{}`{same}", stronger.scope(), hub.shown()));
            if !is_moved {
                held = format!(
                    "; other servers get what `{server}` holds there, unless `git muster --hub {} --server {} heartbeat run` keeps running until it has ended",
                    quoted(&self.hub.shown()),
                    quoted(server)
                );
            }
        }
        if *server != name.as_str() {
            now.push(format!("commands without `--server` now act as `{name}`"));
        }
        let before = format!("this user was server `{server}` of `{}`", self.hub.shown());
        (!now.is_empty()).then(|| format!("{before}; {}{held}", now.join(", and ")))
    }
}

/// The host that joined as `me`, if that was another machine: two under one name would take each
/// other's jobs and locks for their own.
///
/// # Errors
/// When the register cannot be read.
pub(super) fn joined_elsewhere(me: &ServerName, context: &mut Context) -> Result<Option<String>, CliError> {
    let (query, now) = (whose(me, &context.machine)?, context.now());
    let owner = context.recall(|snapshot| Ok(query.run(snapshot, now)?))?;
    let Owner::Elsewhere(host) = owner else { return Ok(None) };
    Ok(Some(host.unwrap_or_else(|| ANOTHER_MACHINE.to_owned())))
}

/// A machine whose record does not say how it is named.
const ANOTHER_MACHINE: &str = "another machine";

/// Who has this name, which was given in another hub, if it is not this machine: another one, or a server of
/// which no machine is known, as scripts are.
///
/// # Errors
/// When the register cannot be read.
pub(super) fn is_anothers(
    me: &ServerName,
    here: &crate::machine::Machine,
    snapshot: &Snapshot<'_>,
) -> Result<Option<String>, CliError> {
    Ok(match whose(me, here)?.run(snapshot, here.wall())? {
        Owner::Nobody | Owner::Here => None,
        Owner::OfNoMachine(None) => Some("a server that no machine has joined as".to_owned()),
        Owner::OfNoMachine(Some(host)) => Some(format!("`{host}`")),
        Owner::Elsewhere(host) => Some(format!("machine `{}`", host.as_deref().unwrap_or(ANOTHER_MACHINE))),
    })
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
            said.push_str(&format!("; {} to it moved to the archive", counted(removed.messages, "message")));
        }
        for (what, names) in [("requeued", &removed.jobs), ("released", &removed.locks)] {
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
                format!("`git push {} --delete {branch}` in any Git repository", quoted(&url.shown()))
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
    let Servers { items: servers, troubles } = context.ask(&ListServers {})?;
    let output = context.output;
    servers.iter().for_each(|server| warn_of_beats(server, output));
    for trouble in troubles {
        output.warn(&trouble.describe());
    }
    output.list("server", &servers, || {
        if servers.is_empty() {
            output.say("no servers; register this one with `git muster join --as NAME`");
            return String::new();
        }
        let rows: Vec<Vec<String>> = servers
            .iter()
            .map(|server| {
                vec![
                    server.id.clone(),
                    or_dash(server.host.as_deref()),
                    or_dash(server.manager.as_deref()),
                    or_dash(Some(&server.labels.join(","))),
                    ago(server.last_heartbeat, now),
                ]
            })
            .collect();
        table(&["SERVER", "HOST", "MANAGER", "LABELS", "HEARTBEAT"], &rows)
    })
}

fn warn_of_beats(server: &ShownServer, output: Output) {
    for why in &server.broken {
        output.warn(&format!("unreadable heartbeat of `{}`: {why}", server.id));
    }
}

fn show(name: &ServerName, context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let server = context.ask(&ShowServer { name: name.clone() })?;
    let output: Output = context.output;
    warn_of_beats(&server, output);
    output.object("server", &server, || {
        facts(&[
            ("server", Some(server.id.clone())),
            ("host", server.host.clone()),
            ("ip", server.ip.clone()),
            ("manager", server.manager.clone()),
            ("labels", Some(server.labels.join(", ")).filter(|labels| !labels.is_empty())),
            ("joined", server.joined_at.map(|at| at.told())),
            ("heartbeat", Some(ago(server.last_heartbeat, now))),
        ])
    })
}
