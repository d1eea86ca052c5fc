//! `git muster rollback`: the good builds to go back to, as tags in the source repository.

use super::artifact::source_text;
use super::context::Context;
use super::error::CliError;
use super::table::table;
use crate::domain::code::Code;
use crate::domain::id::JobId;
use crate::domain::job::JobStatus;
use crate::git::{BuildTag, GoodBuild, Location, Source};
use crate::machine::{Machine, environment};
use clap::{Args, Subcommand};
use serde_json::json;

/// The verbs of `rollback`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum RollbackCommand {
    /// List good builds, newest first
    #[command(
        after_help = "Example:\n  git muster rollback list --source git@git.example:app.git --branch main"
    )]
    #[command(alias = "ls")]
    List(OfArgs),
    /// Print the commit of the newest good build; exit code 3 if there is none
    #[command(after_help = "Example:
  good=$(git muster rollback last-good --source . --branch main) &&
    git checkout \"$good\"")]
    LastGood(OfArgs),
    /// Tag the commit that a completed job built, as `worker run --tag-builds` does
    #[command(
        after_help = "Example:\n  git muster rollback tag job_1761_1804 --source git@git.example:app.git"
    )]
    Tag {
        /// Job id
        #[arg(value_name = "ID")]
        job: JobId,
        /// Number of newest tags to keep for the branch
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        keep: u16,
        /// Where
        #[command(flatten)]
        source: SourceArgs,
    },
}

// The source repository.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Source repository
    #[arg(long, value_name = "PATH|URL", env = "MUSTER_SOURCE")]
    pub source: String,
}

// Which builds.
#[derive(Debug, Args)]
pub struct OfArgs {
    /// Where
    #[command(flatten)]
    pub source: SourceArgs,
    /// Only builds of this branch
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
}

/// A verb of `rollback`.
///
/// # Errors
/// When the source or the hub cannot be used.
pub(super) fn run(command: &RollbackCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        RollbackCommand::List(args) => list(args, context),
        RollbackCommand::LastGood(args) => last_good(args, context),
        RollbackCommand::Tag { job, keep, source } => tag(job, usize::from(*keep), source, context),
    }
}

fn source(args: &SourceArgs) -> Result<Source, CliError> {
    Ok(Source::new(Location::parse(&source_text(&args.source)?, &environment::home())))
}

fn tags(args: &OfArgs, context: &Context) -> Result<Vec<BuildTag>, CliError> {
    let deadline = Machine::real().deadline(context.settings.timeout.value);
    Ok(source(&args.source)?.build_tags(args.branch.as_deref(), &deadline)?)
}

fn list(args: &OfArgs, context: &Context) -> Result<(), CliError> {
    let tags = tags(args, context)?;
    let output = context.output;
    output.list("build_tag", &tags, || {
        if tags.is_empty() {
            output.say("no good builds are tagged there; tag them with `worker run --tag-builds`");
            return String::new();
        }
        let rows: Vec<Vec<String>> = tags
            .iter()
            .map(|tag| vec![tag.at.to_string(), tag.branch.clone(), tag.commit.clone(), tag.tag.clone()])
            .collect();
        table(&["AT", "BRANCH", "COMMIT", "TAG"], &rows)
    })
}

fn last_good(args: &OfArgs, context: &Context) -> Result<(), CliError> {
    let tags = tags(args, context)?;
    let newest = tags.first().ok_or_else(|| {
        CliError::new(Code::NotFound, "no good builds found").fact("kind", "good-build").hint(
            "list good builds with `git muster rollback list --source SOURCE`; tag them with `worker run --tag-builds`",
        )
    })?;
    context.output.object("build_tag", newest, || newest.commit.clone())
}

fn tag(id: &JobId, keep: usize, args: &SourceArgs, context: &mut Context) -> Result<(), CliError> {
    context.refuse_guards("`rollback tag`")?;
    let job = context.read(false, |snapshot| super::job::show::existing(id, snapshot))?;
    let refuse = |why: &str| {
        CliError::new(Code::BuildNotTaggable, format!("job `{id}` {why}; nothing was tagged"))
            .fact("job", id.as_str())
            .fact("cause", why)
    };
    if job.status != JobStatus::Completed {
        return Err(refuse(&format!("is {}, not completed", job.status)));
    }
    let branch = job.branch.as_deref().ok_or_else(|| refuse("has no branch"))?;
    let commit = job.built_commit.as_deref().or(job.commit.as_deref());
    let commit = commit.ok_or_else(|| refuse("has no commit"))?;
    let at = job.completed_at.unwrap_or_else(|| context.now());
    let message = format!("{id} on {}", job.assigned_to.as_deref().unwrap_or("?"));
    if context.is_dry_run() {
        let name = BuildTag::name(branch, at);
        return context.output.answer("build_tag", &json!({"tag": name, "commit": commit}), || name.clone());
    }
    let deadline = Machine::real().deadline(context.settings.timeout.value);
    let name =
        source(args)?.tag_build(GoodBuild { branch, commit, at, message: &message }, keep, &deadline)?;
    let name =
        name.ok_or_else(|| refuse(&format!("is older than the {keep} newest builds, whose tags are kept")))?;
    context.output.answer("build_tag", &json!({"tag": name, "commit": commit}), || name.clone())
}
