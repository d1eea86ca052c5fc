//! `git muster fsck`: whether what lies in the hub, and how it came to be, is sound.

mod answer;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::{Progress, as_begun, clean, counted};
use crate::app::commands::mend::RepairRecords;
use crate::app::fsck::{self, CommitName, Question};
use answer::Located;
pub(super) use answer::Report;
pub use answer::Severity;
use clap::Args;
use std::collections::HashSet;

/// The most findings of one severity that are shown to people.
const FINDINGS_SHOWN_MAX: usize = 100;

/// The most commits made by hand that are shown to people.
const BY_HAND_SHOWN_MAX: usize = 20;

/// How much of the newest commit's id is shown, to be typed again.
const FULL_ID_SHOWN: usize = 12;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster fsck
  git muster fsck --history --json | jq -r '.findings[].what'
  git muster fsck --history --since 4f2c1d9 --fail-on warning
  git muster fsck --history --until 4f2c1d9
  git muster fsck --mend

Error: data was lost, or commands fail or misbehave. Warning: handled, but not as the writer \
intended, or without a safeguard. Note: no action needed.

docs/fsck.md lists the rules by name. Only --mend writes to the hub. To check objects and packs, \
use `git fsck`.

Exit code: 0 no findings of severity --fail-on or higher, 1 some; any other: the hub was not checked.")]
pub struct FsckArgs {
    /// Check every commit against its parent, from the first to the newest
    #[arg(long)]
    pub history: bool,
    /// Report only findings of commits after this one
    #[arg(long, value_name = "COMMIT", requires = "history", value_parser = commit_id)]
    pub since: Option<String>,
    /// Report only findings of this commit and earlier ones
    #[arg(long, value_name = "COMMIT", requires = "history", value_parser = commit_id)]
    pub until: Option<String>,
    /// First set unusable records aside and give records with a duplicate id a new one; nothing is lost
    #[arg(long, conflicts_with = "history")]
    pub mend: bool,
    /// Lowest severity for exit code 1
    #[arg(long, value_name = "SEVERITY", value_parser = super::choices::severity(), default_value = "error")]
    pub fail_on: Severity,
}

/// The shortest beginning of a commit id that is taken, and the longest.
const COMMIT_LENGTH: std::ops::RangeInclusive<usize> = 7..=40;

fn commit_id(text: &str) -> Result<String, String> {
    if COMMIT_LENGTH.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("give 7 to 40 hexadecimal digits of a commit of the hub".to_owned())
}

/// Checks.
///
/// # Errors
/// When the hub cannot be read; a document that cannot is a finding.
pub(super) fn run(args: &FsckArgs, context: &mut Context) -> Result<u8, CliError> {
    let place = context.place()?;
    let (output, machine) = (context.output, context.machine.clone());
    let mended = if args.mend { mend(context)? } else { 0 };
    let after_mending = |error: CliError| match mended {
        0 => error,
        number => error.undelivered().after(&format!("{} mended", counted(number, "record"))),
    };
    let report = context.read_published(true, |snapshot| {
        if !args.history {
            return Ok(fsck::check(snapshot)?);
        }
        let progress = Progress::new(output, "commits");
        let (since, until) = (args.since.as_deref(), args.until.as_deref());
        let question = Question { machine: &machine, place: &place, since, until };
        Ok(fsck::check_history(snapshot, &question, &|done, of| progress.show(done, of))?)
    });
    let report = Report::of(report.map_err(after_mending)?);
    output.object("fsck", &report, || shown(&report, args.history)).map_err(after_mending)?;
    let is_bad = report.worst().is_some_and(|worst| worst >= args.fail_on);
    Ok(if is_bad { Exit::Failed } else { Exit::Done }.code())
}

/// Mends the records that are no good, and tells of each on stderr: the answer is what is left. Returns how
/// many that were.
fn mend(context: &mut Context) -> Result<usize, CliError> {
    let output = context.output;
    let mended = context.write(&RepairRecords { server: context.me()? })?.answer;
    for record in &mended.records {
        output.say(record);
    }
    match &mended.kept_in {
        Some(path) => output.say(&format!(
            "{} mended; as they were they are kept in {path}",
            counted(mended.records.len(), "record")
        )),
        None => output.say("there is no record to mend"),
    }
    Ok(if context.is_dry_run() { 0 } else { mended.records.len() })
}

/// The findings by severity, the commits made by hand, and how much was looked at.
fn shown(report: &Report, history: bool) -> String {
    let mut out = String::new();
    let mut advised: HashSet<&str> = HashSet::new();
    for severity in Severity::ALL {
        let of = |located: &&Located| located.severity == severity;
        for located in report.findings.iter().filter(of).take(FINDINGS_SHOWN_MAX) {
            finding(located, &mut advised, &mut out);
        }
        more(report.count(severity), FINDINGS_SHOWN_MAX, severity.as_str(), &mut out);
    }
    if !report.by_hand.is_empty() {
        out.push_str(&format!(
            "{} made by hand, the newest first:\n",
            counted(report.commits_by_hand, "commit")
        ));
    }
    for commit in report.by_hand.iter().take(BY_HAND_SHOWN_MAX) {
        out.push_str(&format!("  {}\n", named(commit)));
    }
    more(report.commits_by_hand, BY_HAND_SHOWN_MAX, "commit", &mut out);
    out.push_str(&summary(report, history));
    let is_past = |located: &Located| located.commit.is_some() && located.severity == Severity::Error;
    if history && report.findings.iter().any(is_past) {
        let tip = report.commit.get(..FULL_ID_SHOWN).unwrap_or(&report.commit);
        out.push_str(&as_begun(&format!(
            "hint: once these are known, `git muster fsck --history --since {tip}` tells only what comes after\n"
        )));
    }
    out
}

fn finding<'a>(located: &'a Located, advised: &mut HashSet<&'a str>, out: &mut String) {
    let branch = located.branch.as_ref().map(|branch| format!("{branch}:"));
    let place = [branch.as_ref(), located.path.as_ref(), located.place.as_ref()];
    // As a place is told elsewhere: `coordination/jobs.json: jobs[3]: ...`
    let place: String = place
        .iter()
        .flatten()
        .map(|part| format!("{}{}", part, if part.ends_with(':') { "" } else { ": " }))
        .collect();
    let line = format!("{}: {place}{} ({})", located.severity.as_str(), located.what, located.kind);
    out.push_str(&clean(&line));
    out.push('\n');
    if let Some(commit) = &located.commit {
        let by = if commit.by_hand { "by hand in" } else { "in" };
        out.push_str(&format!("  {by} {}\n", named(commit)));
    }
    // Once is enough.
    if let Some(hint) = located.hint.as_deref().filter(|hint| advised.insert(hint)) {
        out.push_str(&format!("  hint: {}\n", clean(hint)));
    }
}

fn named(commit: &CommitName) -> String {
    let at = commit.at.map_or(String::new(), |at| format!(" {}", at.told()));
    clean(&format!("{}{at} {}: {}", commit.short(), commit.author, commit.subject))
}

fn more(count: usize, shown: usize, what: &str, out: &mut String) {
    if let Some(left @ 1..) = count.checked_sub(shown) {
        out.push_str(&format!("  and {} more, which `--json` may tell\n", counted(left, what)));
    }
}

fn summary(report: &Report, history: bool) -> String {
    let counts = Severity::ALL.map(|severity| counted(report.count(severity), severity.as_str())).join(", ");
    let checked = &report.checked;
    let [documents, branches, commits, operations] = [
        counted(checked.documents, "document"),
        counted(checked.branches, "branch"),
        counted(checked.commits, "commit"),
        counted(checked.operations, "operation"),
    ];
    let walked = if history { format!(", and {commits} with {operations}") } else { String::new() };
    format!("{counts} in {documents} on {branches}{walked}\n")
}
