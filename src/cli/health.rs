//! `git muster health`: the fleet judged, for people, cron and monitors.

use super::context::Context;
use super::error::CliError;
use super::output::{as_begun, counted};
use super::table::table;
use super::words::finding::{advice, level, subject, what};
use crate::app::queries::health::{Health, HealthInput};
use crate::app::signs::Heartbeats;
use crate::domain::finding::{Finding, Severity};
use crate::domain::health::Report;

use clap::Args;
use serde::Serialize;

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
    let mut looked = context.read(true, |snapshot| Ok(HealthInput::read(snapshot)?))?;
    let place = context.place()?.watched();
    let me = context.settings.server.as_ref().map(|server| &server.value).filter(|_| query.server.is_none());
    let signs = Heartbeats::judge(&context.machine, std::mem::take(&mut looked.seen), &place, me, now);
    let report = looked.judge(&query, &signs, me, &context.undone())?;
    let shown = Shown::of(&report);
    context.output.object("health", &shown, || told(&shown))?;
    Ok(exit_code(report.worst()))
}

/// The exit code: that of monitors.
pub(super) const fn exit_code(worst: Option<Severity>) -> u8 {
    match worst {
        None => 0,
        Some(Severity::Note | Severity::Warning) => 1,
        Some(Severity::Error) => 2,
        Some(Severity::Unknown) => 3,
    }
}

/// The answer.
#[derive(Serialize)]
struct Shown {
    level: &'static str,
    checked: usize,
    findings: Vec<ShownFinding>,
}

/// One trouble, in words.
#[derive(Serialize)]
struct ShownFinding {
    level: &'static str,
    cause: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

impl Shown {
    fn of(report: &Report) -> Self {
        let findings = report.findings.iter().map(ShownFinding::of).collect();
        Self { level: level(report.worst()), checked: report.checked, findings }
    }
}

impl ShownFinding {
    fn of(finding: &Finding) -> Self {
        Self {
            level: level(Some(finding.severity)),
            cause: finding.cause(),
            subject: subject(finding),
            server: finding.about.server.clone(),
            what: what(finding),
            hint: advice(finding).map(|hint| as_begun(&hint)),
            count: finding.count(),
        }
    }
}

/// The report for people.
fn told(shown: &Shown) -> String {
    let findings = match shown.findings.len() {
        0 => "nothing to report".to_owned(),
        number => counted(number, "finding"),
    };
    let head = format!("{}: {} looked at, {findings}\n", shown.level, counted(shown.checked, "server"));
    if shown.findings.is_empty() {
        return head;
    }
    let row = |finding: &ShownFinding| {
        let hint = finding.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        vec![finding.level.to_owned(), finding.subject.clone(), format!("{}{hint}", finding.what)]
    };
    let rows: Vec<Vec<String>> = shown.findings.iter().map(row).collect();
    format!("{head}{}", table(&["LEVEL", "SUBJECT", "WHAT"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_its_word_and_its_exit_code() {
        for (worst, word, code) in [
            (None, "ok", 0),
            (Some(Severity::Warning), "warning", 1),
            (Some(Severity::Error), "critical", 2),
            (Some(Severity::Unknown), "unknown", 3),
        ] {
            assert_eq!((level(worst), exit_code(worst)), (word, code));
        }
    }
}
