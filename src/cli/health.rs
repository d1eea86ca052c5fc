//! `git muster health`: the fleet judged, for people, cron and monitors.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::counted;
use super::table::table;
use crate::domain::health::{Broken, Fleet, Known};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::ledger::Documents as _;
use crate::ops::documents;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster health || echo 'look at the fleet'
  git muster health --json | jq -r '.findings[].cause'
  git muster health --server build2

A heartbeat is judged by the interval that it declares itself: late after twice, stale after three \
times the interval and a minute. Exit code: 0 ok, 1 warning, 2 critical, 3 unknown.")]
pub struct HealthArgs {}

/// Judges.
///
/// # Errors
/// When the hub cannot be read: then nothing is known, and the exit code is that of the error.
pub(super) fn run(_args: &HealthArgs, context: &mut Context) -> Result<u8, CliError> {
    let now = context.now();
    let only = context
        .settings
        .server
        .as_ref()
        .filter(|server| server.origin == "--server")
        .map(|server| server.value.clone());
    let report = context.read(true, |snapshot| {
        let servers: Table<Server> = snapshot.table()?;
        let jobs: Table<Job> = snapshot.table()?;
        let locks: Table<Lock> = snapshot.table()?;
        let mut read = Vec::new();
        for name in documents::server_names(snapshot, &servers)? {
            let mut seen = documents::seen_beats(snapshot, &name)?;
            let status = documents::status(snapshot, &name)?.map(|status| (*status).clone());
            read.push((name, seen.newest, status, seen.broken.pop()));
        }
        let known = read
            .iter()
            .map(|(name, heartbeat, status, broken)| Known {
                name: name.as_str(),
                heartbeat: heartbeat.as_deref(),
                status: status.as_ref(),
                broken: broken
                    .as_ref()
                    .map(|broken| Broken { why: &broken.why, is_replaced: broken.is_replaced }),
            })
            .collect();
        let unregistered = documents::unregistered(snapshot, &servers)?;
        let fleet =
            Fleet { servers: &servers, known, jobs: &jobs, locks: &locks, unregistered: &unregistered, now };
        let report = fleet.judge().with_bad_branches(&snapshot.bad_branches(), snapshot.hub());
        match &only {
            None => Ok(report),
            Some(server) if servers.get(server.as_str()).is_some() => Ok(report.only(server.as_str())),
            Some(server) => Err(CliError::new(Exit::No, format!("there is no server `{server}`"))
                .hint("see the names with `git muster servers list`")),
        }
    })?;
    context.output.object("health", &report, || {
        let findings = match report.findings.len() {
            0 => "nothing to report".to_owned(),
            number => counted(number, "finding"),
        };
        let head = format!(
            "{}: {} looked at, {findings}\n",
            report.level.as_str(),
            counted(report.checked, "server")
        );
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
    })?;
    Ok(report.level.exit_code())
}
