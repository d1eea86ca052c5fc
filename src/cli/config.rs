//! `git muster config`: what is configured and where it comes from.

use super::context::Context;
use super::error::CliError;
use super::output::clean_lines;
use super::settings::Settings;
use super::table::{facts, whole_table};
use crate::domain::build_config::BuildConfig;
use crate::domain::code::Code;
use crate::domain::hub::Marker;
use crate::domain::time::show_span;
use crate::git::{Identity, store_path};
use crate::ledger::Documents as _;
use crate::machine::environment;
use clap::Subcommand;
use serde_json::{Value, json};

/// The verbs of `config`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ConfigCommand {
    /// List every setting with its value
    #[command(
        after_help = "Examples:\n  git muster config list --show-origin\n  git muster config list --json | jq -r '.[] | select(.name == \"hub\") | .value'"
    )]
    #[command(alias = "ls")]
    List {
        /// Also show the source of each value
        #[arg(long)]
        show_origin: bool,
    },
    /// Show the hub and branch that commands in this directory use, and where that is set
    #[command(
        after_help = "Examples:\n  git muster config where\n  git muster config where --json | jq -r '.branch'"
    )]
    Where,
    /// Show the shared build configuration: the hub's shared/build_config.json
    #[command(after_help = "Example:\n  git muster config build --json | jq -r '.artifacts.required[]'")]
    Build,
}

/// A verb of `config`.
///
/// # Errors
/// When the hub cannot be read, or stdout is closed.
pub(super) fn run(command: &ConfigCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        ConfigCommand::List { show_origin } => list(*show_origin, context),
        ConfigCommand::Where => tell_where(context),
        ConfigCommand::Build => build(context),
    }
}

/// Which hub this is about, as far as it is known here: a hub over a connection is asked only for a
/// branch that nothing says.
fn tell_where(context: &mut Context) -> Result<(), CliError> {
    let hub = context.settings.hub()?.clone();
    let unknown = context.settle_branch().err();
    if let Some(error) = &unknown {
        context.output.warn(&format!("{}; the branch is unknown", error.message));
    }
    let settings = &context.settings;
    let (branch, clone) = (settings.branch.clone(), settings.clone.clone());
    let branch = Some(branch).filter(|_| unknown.is_none());
    let hub_origin = settings.hub.as_ref().map_or_else(String::new, |hub| hub.origin.clone());
    // What cannot be opened is no less where commands would go.
    let ledger = if unknown.is_none() { context.ledger().ok() } else { None };
    let known = ledger.as_ref().map(|ledger| ledger.known());
    let marker = known.as_ref().and_then(|known| known.record::<Marker>(Marker::PATH).ok().flatten());
    let id = marker.as_ref().map(|marker| marker.id.clone());
    let commit = known.as_ref().and_then(|known| known.tip(known.main()).ok().flatten());
    let clone = clone.map(|clone| clone.display().to_string());
    let value = json!({
        "hub": hub.shown(), "hub_origin": hub_origin, "branch": branch.as_ref().map(|branch| &branch.value),
        "branch_origin": branch.as_ref().map(|branch| &branch.origin), "id": id, "commit": commit, "clone": clone,
    });
    context.output.object("where", &value, || {
        facts(&[
            ("hub", Some(format!("{} ({hub_origin})", hub.shown()))),
            ("branch", branch.map(|branch| format!("{} ({})", branch.value, branch.origin))),
            ("id", id),
            ("commit", commit.map(|commit| commit.to_string())),
            ("clone", clone),
        ])
    })
}

fn build(context: &mut Context) -> Result<(), CliError> {
    let config = context.read(false, |snapshot| Ok(snapshot.record::<BuildConfig>(BuildConfig::PATH)?))?;
    let Some(config) = config else {
        return Err(CliError::new(Code::NotFound, format!("the hub has no `{}`", BuildConfig::PATH))
            .fact("kind", "build-config")
            .fact("id", BuildConfig::PATH)
            .hint("add missing documents with `git muster init`, which changes nothing else"));
    };
    context.output.object("build_config", &config.raw(), || clean_lines(config.text()))
}

/// A setting, its value and what set it.
type Row = (&'static str, Option<String>, String);

/// Who makes commits, and whether they are signed.
fn commits(settings: &Settings) -> [Row; 3] {
    let server = settings.server.as_ref().map_or("git-muster", |server| server.value.as_str());
    let identity = Identity::of(server, settings.clone.as_deref());
    let who = identity.committer;
    let signs = if identity.sign.is_some() { "yes" } else { "no" };
    [
        ("commit_name", Some(who.name.value), who.name.origin),
        ("commit_email", Some(who.email.value), who.email.origin),
        ("commit_sign", Some(signs.to_owned()), identity.sign.unwrap_or_else(|| "default".to_owned())),
    ]
}

fn list(show_origin: bool, context: &Context) -> Result<(), CliError> {
    let settings = &context.settings;
    let from_environment = |name: &str, default: &str| match environment::variable(name) {
        Some(value) => (Some(value), name.to_owned()),
        None => (Some(default.to_owned()), "default".to_owned()),
    };
    let hub = settings.hub.as_ref().map(|hub| hub.value.shown());
    let copy = settings.hub.as_ref().filter(|_| settings.clone.is_none()).and_then(|hub| match &hub.value {
        crate::git::Location::Url(url) => Some(store_path(url).display().to_string()),
        crate::git::Location::Path(_) => None,
    });
    let copy_origin = match (&copy, environment::variable("XDG_CACHE_HOME")) {
        (None, _) => "not needed here",
        (Some(_), Some(_)) => "XDG_CACHE_HOME",
        (Some(_), None) => "default",
    };
    let unset = || "nothing sets it".to_owned();
    let (beat_branch, beat_branch_origin) = from_environment("HEARTBEAT_BRANCH", "auto");
    let (push_every, push_every_origin) = from_environment("HEARTBEAT_PUSH_EVERY", "1");
    let [name, email, sign] = commits(settings);
    let rows: Vec<Row> = vec![
        ("hub", hub, settings.hub.as_ref().map_or_else(unset, |hub| hub.origin.clone())),
        ("branch", Some(settings.branch.value.clone()), settings.branch.origin.clone()),
        (
            "server",
            settings.server.as_ref().map(|server| server.value.to_string()),
            match (&settings.server, &settings.bad_name) {
                (Some(server), _) => server.origin.clone(),
                (None, Some(bad)) => format!("{} ({})", bad.origin, bad.why),
                (None, None) => unset(),
            },
        ),
        (
            "clone",
            settings.clone.as_ref().map(|clone| clone.display().to_string()),
            if settings.clone.is_some() {
                "the folder the command runs in"
            } else {
                "not in a clone of the hub"
            }
            .to_owned(),
        ),
        ("copy", copy, copy_origin.to_owned()),
        name,
        email,
        sign,
        ("timeout", Some(show_span(settings.timeout.value)), settings.timeout.origin.clone()),
        ("lock_wait", Some(show_span(settings.lock_wait.value)), settings.lock_wait.origin.clone()),
        ("heartbeat_branch", beat_branch, beat_branch_origin),
        ("heartbeat_push_every", push_every, push_every_origin),
    ];
    print_settings(&rows, show_origin, context)
}

fn print_settings(rows: &[Row], show_origin: bool, context: &Context) -> Result<(), CliError> {
    let values: Vec<Value> = rows
        .iter()
        .map(|(name, value, origin)| json!({"name": name, "value": value, "origin": origin}))
        .collect();
    context.output.list("setting", &values, || {
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|(name, value, origin)| {
                let value = value.clone().unwrap_or_else(|| "-".to_owned());
                if show_origin {
                    vec![(*name).to_owned(), value, origin.clone()]
                } else {
                    vec![(*name).to_owned(), value]
                }
            })
            .collect();
        if show_origin {
            whole_table(&["SETTING", "VALUE", "ORIGIN"], &lines)
        } else {
            whole_table(&["SETTING", "VALUE"], &lines)
        }
    })
}
