//! `git muster artifact`: what jobs made.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::input;
use super::output::{clean, counted};
use super::table::{table, whole_table};
use crate::app::commands::artifact::{FORGOTTEN_AT_ONCE_MAX, ForgetArtifacts, copy};
use crate::app::queries::artifacts::{
    ArtifactComparison, Build, ComparedFile, FindBuilds, ListedBuild, Places, newest_first,
};
use crate::domain::artifact::{Artifact, Comparison, Manifest, attempt_of_manifest, beyond, manifest_name};
use crate::domain::code::Code;
use crate::domain::id::{JobId, ServerName};
use crate::git::{Location, hubs};
use crate::machine::{digest, environment, files};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How many digits of a checksum a table shows.
const DIGITS_SHOWN: usize = 16;

/// The verbs of `artifact`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ArtifactCommand {
    /// List the artifacts of a job, or the newest jobs that have artifacts
    #[command(after_help = "Examples:
  git muster artifact list
  git muster artifact list job_1761_1804 --json | jq -r '.artifacts[].sha256'")]
    #[command(alias = "ls")]
    List {
        /// Job id [default: the newest jobs]
        #[arg(value_name = "ID")]
        job: Option<JobId>,
    },
    /// Compare the artifacts of a job with its manifest: exit code 0 identical, 1 different
    #[command(after_help = "Examples:
  git muster artifact verify job_1761_1804               # on its server
  git muster artifact verify job_1761_1804 --dir ~/debs  # fetched files")]
    Verify {
        /// Job id
        #[arg(value_name = "ID")]
        job: JobId,
        /// Directory that contains the files [default: this server's artifacts directory]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Where this server keeps what jobs make
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Compare the artifacts of two jobs: exit code 0 identical, 1 different
    #[command(after_help = "Example:\n  git muster artifact compare job_1761_1804 job_1761781030_77ab

Two builds of one commit with identical artifacts are reproducible.")]
    Compare {
        /// First job
        #[arg(value_name = "ID")]
        first: JobId,
        /// Second job
        #[arg(value_name = "ID")]
        second: JobId,
    },
    /// Copy artifacts of a job to a directory, from the hub or from this server's artifacts directory
    #[command(after_help = "Examples:
  git muster artifact get job_1761_1804   # all of them
  git muster artifact get job_1761_1804 hello_1.0_all.deb --to /tmp")]
    Get {
        /// Job id
        #[arg(value_name = "ID")]
        job: JobId,
        /// File names [default: all]
        #[arg(value_name = "FILE")]
        files: Vec<String>,
        /// Directory to write to
        #[arg(long, value_name = "DIR", default_value = ".")]
        to: PathBuf,
        /// Where this server keeps what jobs make
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Delete the artifacts and manifests of old builds from this server
    #[command(after_help = "Examples:
  git muster artifact prune --keep 5 --dry-run
  git muster artifact prune --keep 5")]
    Prune {
        /// Number of newest builds to keep per branch
        #[arg(long, value_name = "N", default_value_t = 5)]
        keep: usize,
        /// Where this server keeps what jobs make
        #[command(flatten)]
        place: PlaceArgs,
    },
}

// Where this server keeps what jobs make.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Artifacts directory of this server [default: git-muster/artifacts in the user's data directory]
    #[arg(long, value_name = "DIR", env = "MUSTER_ARTIFACTS_DIR")]
    pub artifacts_dir: Option<PathBuf>,
}

/// Where `server` keeps what jobs of this hub make, in the folder that was named or the user's own.
///
/// # Errors
/// When the folder that the command was called in is gone, or nothing names a hub.
pub(super) fn folder(
    named: Option<&PathBuf>,
    server: &ServerName,
    context: &mut Context,
) -> Result<PathBuf, CliError> {
    let all = match named {
        Some(named) => environment::working_directory()?.join(named),
        None => environment::data_dir().join("artifacts"),
    };
    let folder = all.join(place_of(server, context)?);
    // Versions before had one for each spelling of the hub's address.
    let before = all.join(hubs::name_before(context.settings.hub()?)).join(server.as_str());
    Ok(if !folder.exists() && before.exists() { before } else { folder })
}

/// Names this hub and `server` in folders of this machine: a server may belong to several hubs.
///
/// # Errors
/// When nothing names a hub.
pub(super) fn place_of(server: &ServerName, context: &mut Context) -> Result<String, CliError> {
    Ok(format!("{}/{server}", context.place()?.name))
}

/// An address of a repository as it was given, a path made absolute.
///
/// # Errors
/// When the folder that the command was called in is gone.
pub(super) fn source_text(given: &str) -> Result<String, CliError> {
    Ok(Location::parse(given, &environment::working_directory()?).as_text())
}

/// A verb of `artifact`.
///
/// # Errors
/// When there is no such job or it made nothing, or the hub cannot be used.
pub(super) fn run(command: &ArtifactCommand, context: &mut Context) -> Result<u8, CliError> {
    match command {
        ArtifactCommand::List { job: Some(job) } => list_of(job, context),
        ArtifactCommand::List { job: None } => list(context),
        ArtifactCommand::Verify { job, dir, place } => verify(job, dir.as_deref(), place, context),
        ArtifactCommand::Compare { first, second } => compare_jobs(first, second, context),
        ArtifactCommand::Get { job, files, to, place } => get(job, files, to, place, context),
        ArtifactCommand::Prune { keep, place } => prune(*keep, place, context),
    }
}

/// The newest manifest of a job, also of one that is archived.
fn find(job: &JobId, context: &mut Context) -> Result<Build, CliError> {
    let places = context.ask(&FindBuilds { job: Some(job.clone()) })?;
    Ok(places.newest(builds(&places, context)?)?)
}

/// The builds in all places, the newest first, by one look at the hub for each. A manifest that cannot be read is
/// told of.
fn builds(places: &Places, context: &mut Context) -> Result<Vec<Build>, CliError> {
    let mut all = Vec::new();
    for search in &places.searches {
        let branch = search.server.logs_branch();
        let kept = context.read_with(&branch, |snapshot| Ok(search.run(snapshot)?))?;
        kept.broken.iter().for_each(|why| context.output.warn(why));
        all.extend(kept.builds);
    }
    newest_first(&mut all);
    Ok(all)
}

fn short(sum: &str) -> String {
    sum.chars().take(DIGITS_SHOWN).collect()
}

fn list_of(job: &JobId, context: &mut Context) -> Result<u8, CliError> {
    let build = find(job, context)?;
    let row = |artifact: &Artifact| {
        vec![
            artifact.file.clone(),
            artifact.size.map_or("?".to_owned(), |size| size.to_string()),
            artifact.sha256.clone(),
            match (&artifact.url, &artifact.copy) {
                (Some(url), Some(_)) => format!("{url}, the hub, too"),
                (Some(url), None) => url.clone(),
                (None, Some(_)) => "the hub, too".to_owned(),
                (None, None) => "-".to_owned(),
            },
        ]
    };
    context.output.object("artifacts", &build.manifest, || {
        let rows: Vec<Vec<String>> = build.manifest.artifacts.iter().map(row).collect();
        let place = build.manifest.folder.as_deref().unwrap_or("?");
        let head = clean(&format!("on {} in {place}", build.server));
        format!("{head}\n{}", whole_table(&["FILE", "BYTES", "SHA-256", "WHERE"], &rows))
    })?;
    Ok(Exit::Done.code())
}

fn list(context: &mut Context) -> Result<u8, CliError> {
    let places = context.ask(&FindBuilds::default())?;
    let listed: Vec<ListedBuild> = builds(&places, context)?.into_iter().map(ListedBuild::from).collect();
    let output = context.output;
    output.list("artifacts", &listed, || {
        if listed.is_empty() {
            output.say("no artifacts");
            return String::new();
        }
        let row = |one: &ListedBuild| {
            vec![
                one.manifest.at.map_or("?".to_owned(), |at| at.to_string()),
                one.manifest.job.clone(),
                one.manifest.server.clone(),
                input::or_dash(one.manifest.branch.as_deref()),
                input::or_dash(one.manifest.commit.as_deref().map(short).as_deref()),
                one.files.to_string(),
                one.bytes.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
        table(&["AT", "JOB", "SERVER", "BRANCH", "COMMIT", "FILES", "BYTES"], &rows)
    })?;
    Ok(Exit::Done.code())
}

/// How a file compares with its manifest.
#[derive(Debug, Serialize)]
struct Verified {
    file: String,
    /// `same`, `differs`, `missing`.
    state: &'static str,
}

fn verify(job: &JobId, dir: Option<&Path>, place: &PlaceArgs, context: &mut Context) -> Result<u8, CliError> {
    let build = find(job, context)?;
    let own = folder(place.artifacts_dir.as_ref(), &build.server, context)?.join(&build.attempt);
    if dir.is_none() && !own.is_dir() {
        let why =
            format!("the artifacts of job `{job}` are not on this machine: no directory `{}`", own.display());
        return Err(CliError::new(Code::ArtifactElsewhere, why)
            .fact("job", job.as_str())
            .fact("server", build.server.as_str())
            .hint(format!(
                "run this on `{}`, or pass the directory of your copies with `--dir`",
                build.server
            )));
    }
    let place = |artifact: &Artifact| match dir {
        Some(dir) => {
            let name = artifact.file.rsplit('/').next().unwrap_or(&artifact.file);
            [dir.join(&artifact.file), dir.join(name)].into_iter().find(|path| path.is_file())
        }
        None => Some(own.join(&artifact.file)),
    };
    let verified: Vec<Verified> = build
        .manifest
        .artifacts
        .iter()
        .map(|artifact| Verified {
            file: artifact.file.clone(),
            state: check(artifact, place(artifact).as_deref()),
        })
        .collect();
    let is_good = verified.iter().all(|one| one.state == "same");
    let value = json!({"job": build.manifest.job, "same": is_good, "files": verified});
    context.output.object("artifact_verification", &value, || {
        let rows: Vec<Vec<String>> =
            verified.iter().map(|one| vec![one.state.to_owned(), one.file.clone()]).collect();
        whole_table(&["STATE", "FILE"], &rows)
    })?;
    Ok(if is_good { Exit::Done } else { Exit::Failed }.code())
}

/// How a file compares with what the manifest says: `same`, `differs` or `missing`.
fn check(artifact: &Artifact, path: Option<&Path>) -> &'static str {
    match path.and_then(|path| digest::sha256(path, &|| false).ok()) {
        None => "missing",
        Some((size, sum)) if Some(size) == artifact.size && sum == artifact.sha256 => "same",
        Some(_) => "differs",
    }
}

fn compare_jobs(first: &JobId, second: &JobId, context: &mut Context) -> Result<u8, CliError> {
    let (first, second) = (find(first, context)?, find(second, context)?);
    let compared = ArtifactComparison::of(&first, &second);
    context.output.object("artifact_comparison", &compared, || {
        let word = |comparison: &Comparison| match comparison {
            Comparison::Same => "same",
            Comparison::Differs => "differs",
            Comparison::OnlyFirst => "only in the first",
            Comparison::OnlySecond => "only in the second",
        };
        let row = |one: &ComparedFile| vec![word(&one.state).to_owned(), one.file.clone()];
        let rows: Vec<Vec<String>> = compared.files.iter().map(row).collect();
        whole_table(&["STATE", "FILE"], &rows)
    })?;
    Ok(if compared.same { Exit::Done } else { Exit::Failed }.code())
}

fn get(
    job: &JobId,
    names: &[String],
    to: &Path,
    place: &PlaceArgs,
    context: &mut Context,
) -> Result<u8, CliError> {
    let build = find(job, context)?;
    let artifacts = wanted(job, &build.manifest, names)?;
    let own = folder(place.artifacts_dir.as_ref(), &build.server, context)?.join(&build.attempt);
    for artifact in &artifacts {
        let to = to.join(base_name(&artifact.file));
        if to.symlink_metadata().is_ok() && check(artifact, Some(&to)) != "same" {
            let why = format!("`{}` already exists with other content", to.display());
            return Err(CliError::new(Code::FileExists, why)
                .fact("path", to.display().to_string())
                .fact("file", artifact.file.as_str())
                .unwritten()
                .hint("choose another directory with --to"));
        }
    }
    for artifact in artifacts {
        let to = to.join(base_name(&artifact.file));
        let is_there = to.symlink_metadata().is_ok();
        if !is_there {
            fetch(&build, artifact, &own, &to, context)?;
        }
        let what = if is_there { "already exists" } else { "is written" };
        context.output.confirm("artifact", artifact, || format!("{} {what}", to.display()))?;
    }
    Ok(Exit::Done.code())
}

/// The files of a job that were asked for, all if none was: no two of one name.
fn wanted<'a>(job: &JobId, manifest: &'a Manifest, names: &[String]) -> Result<Vec<&'a Artifact>, CliError> {
    let all = &manifest.artifacts;
    let hint = format!("list its artifacts with `git muster artifact list {job}`");
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|artifact| artifact.file == **name)) {
        let why = format!("job `{job}` has no artifact `{}`", unknown.escape_debug());
        return Err(CliError::new(Code::ArtifactNotFound, why)
            .fact("job", job.as_str())
            .fact("file", unknown.as_str())
            .unwritten()
            .hint(hint));
    }
    let is_wanted = |artifact: &&Artifact| names.is_empty() || names.contains(&artifact.file);
    let artifacts: Vec<&Artifact> = all.iter().filter(is_wanted).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = artifacts.iter().find(|artifact| !seen.insert(base_name(&artifact.file))) {
        let name = base_name(&twice.file).escape_debug();
        let why = format!("several files of job `{job}` are named `{name}`");
        return Err(CliError::new(Code::FileExists, why)
            .fact("file", twice.file.as_str())
            .unwritten()
            .hint("fetch them one at a time, each with another --to"));
    }
    Ok(artifacts)
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// Writes one file, from this server's own folder or from the hub, if it is what the manifest says.
fn fetch(
    build: &Build,
    artifact: &Artifact,
    own: &Path,
    to: &Path,
    context: &mut Context,
) -> Result<(), CliError> {
    let name = base_name(&artifact.file).escape_debug();
    let own = own.join(&artifact.file);
    if own.is_file() {
        files::copy_file(&own, to, &|| false)?;
    } else if let Some(path) = &artifact.copy {
        let bytes = context
            .read_with(&build.server.logs_branch(), |snapshot| Ok(copy(snapshot, &build.server, path)?))?;
        let bytes = bytes.ok_or_else(|| {
            let why = format!("`{name}` was not written: the hub has no copy at `{}`", path.escape_debug());
            CliError::new(Code::ArtifactCopyMissing, why)
                .fact("job", build.manifest.job.as_str())
                .fact("file", artifact.file.as_str())
                .fact("path", path.as_str())
        })?;
        files::replace(to, &bytes, false, to.parent().unwrap_or_else(|| Path::new(".")))?;
    } else {
        let kept =
            build.manifest.folder.as_ref().map(|kept| format!("{}:{kept}/{}", build.server, artifact.file));
        let place = artifact.url.clone().or(kept).unwrap_or_else(|| build.server.to_string());
        let why = format!("`{name}` was not written: it is neither on this machine nor in the hub");
        return Err(CliError::new(Code::ArtifactElsewhere, why)
            .fact("job", build.manifest.job.as_str())
            .fact("file", artifact.file.as_str())
            .fact("server", build.server.as_str())
            .hint(format!(
                "fetch it from `{}`; `worker run --copy-max` stores copies in the hub",
                place.escape_debug()
            )));
    }
    if check(artifact, Some(to)) != "same" {
        files::remove(to)?;
        let why = format!("`{name}` differs from its manifest and was deleted");
        return Err(CliError::new(Code::ArtifactMismatch, why)
            .fact("job", build.manifest.job.as_str())
            .fact("file", artifact.file.as_str()));
    }
    Ok(())
}

fn prune(keep: usize, place: &PlaceArgs, context: &mut Context) -> Result<u8, CliError> {
    let me = context.acting()?;
    let folder = folder(place.artifacts_dir.as_ref(), &me, context)?;
    let mut builds = Vec::new();
    for attempt in files::list(&folder).iter().filter_map(|name| attempt_of_manifest(name)) {
        let path = folder.join(manifest_name(attempt));
        let bytes = files::read_bytes(&path)?;
        match Manifest::read(&path.display().to_string(), &bytes) {
            Ok(manifest) => builds.push((attempt.to_owned(), manifest.branch)),
            Err(error) => context.output.warn(&format!("{error}; skipped")),
        }
    }
    let gone: Vec<String> = beyond(&builds, keep).into_iter().map(str::to_owned).collect();
    for some in gone.chunks(FORGOTTEN_AT_ONCE_MAX) {
        // The hub first: what is told there is here.
        context.write_unkept(&ForgetArtifacts { server: me.clone(), attempts: some.to_vec() })?;
        for attempt in some.iter().filter(|_| !context.is_dry_run()) {
            let files_of = folder.join(attempt);
            if files_of.is_dir() {
                files::remove_all(&files_of)?;
            }
            files::remove(&folder.join(manifest_name(attempt)))?;
        }
    }
    for attempt in &gone {
        context.output.say(attempt);
    }
    context.output.confirm(
        "artifacts_pruned",
        &json!({"removed": gone, "kept": builds.len() - gone.len()}),
        || format!("{} removed, {} kept", counted(gone.len(), "build"), builds.len() - gone.len()),
    )?;
    Ok(Exit::Done.code())
}
