//! `git muster init`: make a hub.

use super::GlobalArgs;
use super::context::Context;
use super::error::CliError;
use super::settings::embedded_hub_path;
use crate::domain::id::OpId;
use crate::host::{clock, environment, random};
use crate::ledger::{Location, init_bare};
use crate::ops::Envelope;
use crate::ops::found::Found;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster init                                     # a hub of this user on this machine
  git muster init /srv/hub.git                        # a bare repository, made if it is not there
  git muster init ssh://git@hub.example/srv/hub.git   # an empty repository elsewhere

What is in the branch already is never touched: an old hub becomes a complete one.")]
pub struct InitArgs {
    /// A path, made if it is not there, or the URL of a repository that is [also: --hub, MUSTER_HUB;
    /// default: the embedded hub]
    #[arg(value_name = "PATH|URL", value_parser = NonEmptyStringValueParser::new())]
    pub target: Option<String>,
}

/// Makes a hub.
///
/// # Errors
/// When it cannot be made there.
pub(super) fn run(args: &InitArgs, global: &GlobalArgs, context: &mut Context) -> Result<(), CliError> {
    let folder = environment::working_directory()?;
    let named = args.target.clone().or_else(|| global.hub.clone());
    let target = named.or_else(|| environment::variable("MUSTER_HUB"));
    let location = target
        .as_ref()
        .map_or_else(|| Location::Path(embedded_hub_path()), |text| Location::parse(text, &folder));
    let around = context.settings.clone.is_some().then(|| context.settings.hub.clone()).flatten();
    context.settings.go_to(location.clone(), "init");
    context.settings.clone = None;
    let branch = context.settings.branch.value.clone();
    if let Location::Path(path) = &location
        && !path.exists()
        && context.is_dry_run()
    {
        let value = json!({"hub": location.shown(), "branch": branch, "files": []});
        return context
            .output
            .confirm("init", &value, || format!("`{}` would be made a hub", location.shown()));
    }
    if let Location::Path(path) = &location
        && !path.exists()
        && !context.is_dry_run()
    {
        init_bare(path, &branch)?;
    }
    let mut ledger = context.open(true)?;
    let outcome = Envelope::default().run(&mut ledger, OpId::new(&random::id())?, clock::wall(), &Found {});
    let outcome = outcome.map_err(|error| CliError::from(error).nothing_written())?;
    let files = context.settle(outcome)?.answer.files;
    let hub = location.shown();
    context.output.confirm("init", &json!({"hub": hub, "branch": branch, "files": files}), || {
        if files.is_empty() {
            format!("`{hub}` is a hub already; nothing was changed")
        } else {
            format!("`{hub}` is a hub now, branch `{branch}`")
        }
    })?;
    if let Some(other) = around.filter(|other| other.value != location) {
        context.output.warn(&format!(
            "commands in this folder use another hub, `{}`, {}; name this one with `--hub` or go elsewhere",
            other.value.shown(),
            other.origin
        ));
    }
    if target.is_some() {
        context.output.say(&format!("next: `git muster join {hub} --as NAME` on each server"));
    } else {
        context.output.say("next: `git muster join --as NAME` gives this machine a name");
    }
    Ok(())
}
