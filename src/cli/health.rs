//! `git muster health`: the fleet judged, for people, cron and monitors.

use super::context::Context;
use super::error::CliError;
use super::output::{as_begun, counted};
use super::table::table;
use crate::app::queries::health::{Health, Looked};
use crate::app::signs::Signs;
use crate::domain::health::Report;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster health || echo 'the fleet needs attention'
  git muster health --json | jq -r '.findings[].cause'
  git muster health --server build2

A heartbeat is late after two of its own intervals, and stale after three intervals and a minute. Exit code: 0 ok, 1 warning, 2 critical, 3 unknown.")]
pub struct HealthArgs {
    /// Print every finding; by default, many findings of one kind are summarized with examples
    #[arg(long)]
    pub all: bool,
}

/// Judges.
///
/// # Errors
/// When the hub cannot be read: then nothing is known, and the exit code is that of the error.
pub(super) fn run(args: &HealthArgs, context: &mut Context) -> Result<u8, CliError> {
    let now = context.now();
    let only = context
        .settings
        .server
        .as_ref()
        .filter(|server| server.origin == "--server")
        .map(|server| server.value.clone());
    let query = Health { server: only, is_whole: args.all };
    let mut looked = context.read(true, |snapshot| Ok(Looked::read(snapshot)?))?;
    let place = context.place()?.watched();
    let me = context.settings.server.as_ref().map(|server| &server.value).filter(|_| query.server.is_none());
    let signs = Signs::judge(std::mem::take(&mut looked.seen), &place, me, now);
    let mut report = looked.judge(&query, &signs, me, &context.undone())?;
    for hint in report.findings.iter_mut().filter_map(|finding| finding.hint.as_mut()) {
        *hint = as_begun(hint);
    }
    context.output.object("health", &report, || told(&report))?;
    Ok(report.level.exit_code())
}

/// The report for people.
fn told(report: &Report) -> String {
    let findings = match report.findings.len() {
        0 => "nothing to report".to_owned(),
        number => counted(number, "finding"),
    };
    let head =
        format!("{}: {} looked at, {findings}\n", report.level.as_str(), counted(report.checked, "server"));
    if report.findings.is_empty() {
        return head;
    }
    let rows: Vec<Vec<String>> = report
        .findings
        .iter()
        .map(|finding| {
            let hint = finding.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
            vec![
                finding.level.as_str().to_owned(),
                finding.subject.clone(),
                format!("{}{hint}", finding.what),
            ]
        })
        .collect();
    format!("{head}{}", table(&["LEVEL", "SUBJECT", "WHAT"], &rows))
}
