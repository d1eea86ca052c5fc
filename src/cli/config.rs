//! `git muster config`: what is configured and where it comes from.

use super::context::Context;
use super::error::CliError;
use super::table::table;
use crate::domain::time::show_span;
use crate::host::environment;
use crate::ledger::store_path;
use clap::Subcommand;
use serde_json::{Value, json};

/// The verbs of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List every setting with its value
    #[command(
        after_help = "Examples:\n  git muster config list --show-origin\n  git muster config list --json | jq -r '.[] | select(.name == \"hub\") | .value'"
    )]
    List {
        /// Also where each value comes from
        #[arg(long)]
        show_origin: bool,
    },
}

/// A verb of `config`.
///
/// # Errors
/// When stdout is closed.
pub(super) fn run(command: &ConfigCommand, context: &mut Context) -> Result<(), CliError> {
    let ConfigCommand::List { show_origin } = command;
    let settings = &context.settings;
    let from_environment = |name: &str, default: &str| match environment::variable(name) {
        Some(value) => (Some(value), name.to_owned()),
        None => (Some(default.to_owned()), "default".to_owned()),
    };
    let hub = settings.hub.as_ref().map(|hub| hub.value.shown());
    let copy = settings.hub.as_ref().filter(|_| settings.clone.is_none()).and_then(|hub| match &hub.value {
        crate::ledger::Location::Url(url) => Some(store_path(url).display().to_string()),
        crate::ledger::Location::Path(_) => None,
    });
    let unset = || "nothing sets it".to_owned();
    let (beat_branch, beat_branch_origin) = from_environment("HEARTBEAT_BRANCH", "auto");
    let (push_every, push_every_origin) = from_environment("HEARTBEAT_PUSH_EVERY", "1");
    let rows: Vec<(&str, Option<String>, String)> = vec![
        ("hub", hub, settings.hub.as_ref().map_or_else(unset, |hub| hub.origin.clone())),
        ("branch", Some(settings.branch.value.clone()), settings.branch.origin.clone()),
        (
            "server",
            settings.server.as_ref().map(|server| server.value.to_string()),
            settings.server.as_ref().map_or_else(unset, |server| server.origin.clone()),
        ),
        (
            "clone",
            settings.clone.as_ref().map(|clone| clone.display().to_string()),
            "the folder the command runs in".to_owned(),
        ),
        ("copy", copy, "XDG_CACHE_HOME".to_owned()),
        ("timeout", Some(show_span(settings.timeout.value)), settings.timeout.origin.clone()),
        ("lock_wait", Some(show_span(settings.lock_wait.value)), settings.lock_wait.origin.clone()),
        ("heartbeat_branch", beat_branch, beat_branch_origin),
        ("heartbeat_push_every", push_every, push_every_origin),
    ];
    let values: Vec<Value> = rows
        .iter()
        .map(|(name, value, origin)| json!({"name": name, "value": value, "origin": origin}))
        .collect();
    context.output.list("setting", &values, || {
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|(name, value, origin)| {
                let value = value.clone().unwrap_or_else(|| "-".to_owned());
                if *show_origin {
                    vec![(*name).to_owned(), value, origin.clone()]
                } else {
                    vec![(*name).to_owned(), value]
                }
            })
            .collect();
        if *show_origin {
            table(&["SETTING", "VALUE", "ORIGIN"], &lines)
        } else {
            table(&["SETTING", "VALUE"], &lines)
        }
    })
}
