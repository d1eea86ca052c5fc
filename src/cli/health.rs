//! `git muster health`: the fleet judged, for people, cron and monitors.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::{as_begun, counted};
use super::table::table;
use crate::app::documents;
use crate::app::every::{Seen, every};
use crate::app::signs::{Signs, seen_of};
use crate::domain::health::{Broken, Document, Fleet, Known, Report};
use crate::domain::heartbeat::Freshness;
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::pause::Pause;
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::ledger::Documents as _;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster health || echo 'look at the fleet'
  git muster health --json | jq -r '.findings[].cause'
  git muster health --server build2

A heartbeat is judged by the interval that it declares itself: late after twice, stale after three \
times the interval and a minute. Exit code: 0 ok, 1 warning, 2 critical, 3 unknown.")]
pub struct HealthArgs {
    /// Tell each finding; else of many of a kind only how many they are, with some examples
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
    let seen = context.read(true, |snapshot| {
        // What cannot be read is told with all else, and hides nothing of that.
        let servers: Table<Server> = documents::or_empty(snapshot)?;
        let names = documents::server_names(snapshot, &servers)?;
        let (locks, pauses) =
            (documents::or_empty::<Lock>(snapshot)?, documents::or_empty::<Pause>(snapshot)?);
        let seen = seen_of(snapshot, names.iter().cloned())?;
        let mut statuses = Vec::new();
        for name in names {
            let status = documents::status(snapshot, &name)?.map(|status| (*status).clone());
            statuses.push((name, status));
        }
        let unregistered = documents::unregistered(snapshot, &servers)?;
        let bad = (snapshot.bad_branches(), snapshot.hub().to_owned());
        // The longest last: a pack may keep others as differences to it, and with each of those it is read
        // once more.
        let every = every(snapshot)?;
        let tables = (documents::or_empty::<Job>(snapshot)?, locks, pauses);
        Ok((servers, tables, unregistered, (seen, statuses, every), bad))
    })?;
    let (servers, (jobs, locks, pauses), unregistered, (seen, statuses, every), (bad, hub)) = seen;
    let place = context.place()?.watched();
    let me = context.settings.server.as_ref().map(|server| &server.value).filter(|_| only.is_none());
    let signs = Signs::judge(seen, &place, me, now);
    let known = statuses.iter().map(|(name, status)| {
        let beats = signs.of(name);
        Known {
            name: name.as_str(),
            heartbeat: beats.and_then(|beats| beats.newest.as_deref()),
            status: status.as_ref(),
            broken: beats.and_then(|beats| beats.broken.last()).map(|broken| Broken { why: &broken.why }),
            change: signs.change(name),
            // Whoever comes by takes what waits.
            worker: if signs.has_passers_by(name) { Freshness::Late } else { signs.worker(name) },
            worker_at: beats.and_then(|beats| beats.worker_at),
        }
    });
    let fleet = Fleet {
        servers: &servers,
        known: known.collect(),
        jobs: &jobs,
        pauses: &pauses,
        locks: &locks,
        documents: looked_at(&every),
        unregistered: &unregistered,
        now: signs.clock.now,
        off: signs.clock.off,
        me: me.map(|name| name.as_str()),
    };
    let undone = context.undone();
    let report = fleet.judge().with_bad_branches(&bad, &hub).with_undone(&undone.back, &undone.unknown);
    let report = match &only {
        None => report,
        Some(server) if servers.holds(server.as_str()) => report.only(server.as_str()),
        Some(server) => {
            return Err(CliError::new(Exit::No, format!("there is no server `{server}`"))
                .hint("see the names with `git muster servers list`"));
        }
    };
    let mut report = if args.all { report } else { report.in_short() };
    for hint in report.findings.iter_mut().filter_map(|finding| finding.hint.as_mut()) {
        *hint = as_begun(hint);
    }
    context.output.object("health", &report, || told(&report))?;
    Ok(report.level.exit_code())
}

/// Every document but the beats, which are judged with all else of their servers.
fn looked_at(every: &[Seen]) -> Vec<Document<'_>> {
    let others = every.iter().filter(|seen| !seen.path.ends_with("/heartbeat.json"));
    others
        .map(|seen| Document {
            path: &seen.path,
            wrong: seen.wrong.as_deref(),
            newer: seen.newer.as_deref(),
            troubles: &seen.troubles,
            server: seen.server.as_ref(),
        })
        .collect()
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
