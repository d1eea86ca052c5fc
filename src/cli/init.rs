//! `git muster init`: make a hub.

use super::context::Context;
use super::error::CliError;
use super::settings::{UserConfig, embedded_hub_path};
use super::which::{NOT_ASKED, SAID_BY_HEAD};
use super::{GlobalArgs, gone};
use crate::app::commands::WriteOptions;
use crate::app::commands::found::{InitHub, MarkerPolicy};
use crate::domain::code::Code;
use crate::domain::id::OpId;
use crate::domain::shell::quoted;
use crate::git;
use crate::git::{Homes, Location, init_bare};
use crate::machine::{clock, environment, random};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

/// Where the branch comes from of a hub that was found.
const THE_HUB: &str = "the hub";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster init                       # the per-user hub on this machine
  git muster init /srv/hub.git          # a bare repository, created if needed
  git muster init git@hub.example:hub   # an empty remote repository

Existing documents are never changed: `init` only adds those that a hub lacks.")]
pub struct InitArgs {
    /// Path, created if it does not exist, or URL of an existing repository [otherwise: --hub, MUSTER_HUB,
    /// the per-user hub]
    #[arg(value_name = "PATH|URL", value_parser = NonEmptyStringValueParser::new())]
    pub target: Option<String>,
    /// Create a second hub in a repository that has one on another branch, or a new hub in place of one
    /// that this machine knew and that is gone
    #[arg(long)]
    pub force: bool,
}

/// Makes a hub.
///
/// # Errors
/// When it cannot be made there.
pub(super) fn run(args: &InitArgs, global: &GlobalArgs, context: &mut Context) -> Result<(), CliError> {
    context.refuse_guards("`init`")?;
    let folder = environment::working_directory()?;
    let named = args.target.clone().or_else(|| global.hub.clone());
    let target = named.or_else(|| environment::variable("MUSTER_HUB"));
    let location = target
        .as_ref()
        .map_or_else(|| Location::Path(embedded_hub_path()), |text| Location::parse(text, &folder));
    let around = context.settings.clone.is_some().then(|| context.settings.hub.clone()).flatten();
    context.settings.go_to(location.clone(), "init");
    context.settings.clone = None;
    let hub = location.shown();
    let insisting = format!("`git muster init --force {}`", quoted(&hub));
    let is_missing = matches!(&location, Location::Path(path) if !path.exists());
    if is_missing && !args.force {
        gone::refuse_to_begin_anew(context, &insisting)?;
    }
    if let Location::Path(path) = &location
        && !path.exists()
    {
        let branch = context.settings.branch.value.clone();
        if context.is_dry_run() {
            let value = json!({"hub": hub, "branch": branch, "files": []});
            return context.output.confirm("init", &value, || format!("`{hub}` would become a hub"));
        }
        init_bare(path, &branch)?;
    }
    let homes = gone::homes(context)?;
    let mark = choose_branch(&homes, args.force, context)?;
    if homes.with_documents.is_empty() && !args.force {
        gone::refuse_to_begin_anew(context, &insisting)?;
    }
    let branch = context.settings.branch.value.clone();
    let mut ledger = context.open(true)?;
    let outcome =
        WriteOptions::default().run(&mut ledger, OpId::new(&random::id())?, clock::wall(), &InitHub { mark });
    let outcome = outcome.map_err(|error| CliError::from(error).nothing_written())?;
    let files = context.settle(outcome)?.answer.files;
    // In a branch that somebody names it lies beside something else.
    if let (Location::Path(path), false) = (&location, is_named(context)) {
        git::head_names(path, &branch);
    }
    context.output.confirm("init", &json!({"hub": hub, "branch": branch, "files": files}), || {
        if files.is_empty() {
            format!("`{hub}` is already a hub; nothing was changed")
        } else {
            format!("`{hub}` is a hub now, branch `{branch}`")
        }
    })?;
    // What `join` wrote comes before the embedded hub.
    let is_elsewhere = around.is_some() || UserConfig::read_usable().hub.is_some();
    if let Some(other) = around.filter(|other| !other.value.is_spelling_of(&location)) {
        context.output.warn(&format!(
            "commands in this directory use another hub, `{}`, {}; pass this one with `--hub`, or change to another directory",
            other.value.shown(),
            other.origin
        ));
    }
    if target.is_some() || is_elsewhere {
        let flag = match homes.head.as_ref() {
            // `join` asks the hub's HEAD.
            Some(head) if *head != branch => format!("--hub-branch {} ", quoted(&branch)),
            _ => String::new(),
        };
        let next = format!("next: `git muster join {} {flag}--as NAME` on each server", quoted(&hub));
        context.output.say(&next);
    } else {
        context.output.say("next: name this machine with `git muster join --as NAME`");
    }
    Ok(())
}

/// Whether somebody says in which branch the hub is to be.
fn is_named(context: &Context) -> bool {
    ![NOT_ASKED, SAID_BY_HEAD, THE_HUB].contains(&context.settings.branch.origin.as_str())
}

/// Goes to the branch that the hub is in, or is to be in, and tells what becomes of the marker there.
///
/// # Errors
/// When another branch holds a hub: two in one repository are mostly one too many.
fn choose_branch(homes: &Homes, force: bool, context: &mut Context) -> Result<MarkerPolicy, CliError> {
    match (homes.home(), &homes.head) {
        _ if is_named(context) => {}
        (Some(home), _) => context.go_to_branch(home, THE_HUB),
        (None, Some(head)) => context.go_to_branch(head, SAID_BY_HEAD),
        (None, None) => {}
    }
    let branch = context.settings.branch.value.clone();
    let of = |name: &str| homes.with_documents.iter().find(|home| home.branch == name);
    let other = homes.home().map(str::to_owned).or_else(|| {
        of(&branch).is_none().then(|| Some(homes.with_documents.first()?.branch.clone())).flatten()
    });
    if let Some(other) = other.filter(|other| *other != branch)
        && !force
    {
        let hub = quoted(&context.settings.hub()?.shown());
        return Err(CliError::new(
            Code::HubExists,
            format!("branch `{other}` of {hub} is already a hub; nothing was written to `{branch}`"),
        )
        .fact("hub", context.settings.hub()?.shown())
        .fact("branch", other.as_str())
        .hint(format!(
            "use that hub with `git muster join {hub} --hub-branch {} --as NAME`, or pass `--force` to create a second one",
            quoted(&other)
        )));
    }
    let named = of(&branch).and_then(|home| home.marked.as_deref());
    Ok(match named.filter(|named| *named != branch) {
        Some(named) if of(named).is_none() => MarkerPolicy::Moved,
        Some(_) if force => MarkerPolicy::Anew,
        _ => MarkerPolicy::Keep,
    })
}
