//! `git muster worker list` and `show`: what the servers are at.

use crate::app::documents::SeenBeats;
use crate::app::observations::Observations;
use crate::app::queries::fleet::{Fleet, JobLine, ServerWork};
use crate::app::signs::Heartbeats;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::input;
use crate::cli::table::{facts, table};
use crate::cli::words::clock_off;
use crate::domain::heartbeat::Freshness;
use crate::domain::id::ServerName;
use crate::domain::time::Timestamp;
use std::collections::HashMap;

/// The last sign of life of a server.
fn heartbeat(server: &ServerWork, now: Timestamp) -> String {
    sign(server.life, server.last_heartbeat, now)
}

/// What it holds, in a few words.
fn at_work(server: &ServerWork) -> Option<String> {
    match server.jobs.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        [first, others @ ..] => Some(format!("{first} and {} more", others.len())),
    }
}

/// The last sign of life of its worker. Nothing where none was ever seen.
fn worker(server: &ServerWork, now: Timestamp) -> Option<String> {
    let why = server.worker_stopped.as_ref().filter(|why| !why.is_empty());
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    server.worker_last_seen.map(|at| sign(server.worker, Some(at), now) + &why)
}

/// A sign of life, for people.
fn sign(life: Freshness, at: Option<Timestamp>, now: Timestamp) -> String {
    format!("{}, {}", format!("{life:?}").to_lowercase(), input::ago(at, now))
}

/// Judges what was read just now of the signs of life of servers. Where our own clock is off, it says so.
///
/// # Errors
/// When nothing says which hub is meant.
pub(in crate::cli) fn judged(
    seen: HashMap<ServerName, SeenBeats>,
    context: &mut Context,
) -> Result<Heartbeats, CliError> {
    let (place, now) = (context.place()?.watched(), context.now());
    let me = context.settings.server.as_ref().map(|server| server.value.clone());
    let signs = Heartbeats::judge(&context.machine, seen, &place, me.as_ref(), now);
    if let Some(off) = &signs.clock.off {
        context.output.warn(&format!("{}; times shown here are relative to theirs", clock_off(off)));
    }
    Ok(signs)
}

/// Lists all servers.
///
/// # Errors
/// When the hub cannot be used.
pub(super) fn list(context: &mut Context) -> Result<(), CliError> {
    let fleet = context.read(true, |snapshot| Ok(Fleet::read(snapshot)?))?;
    let signs = judged(fleet.seen.clone(), context)?;
    let now = signs.clock.now;
    let listed = fleet.list(&signs);
    let output = context.output;
    output.list("worker", &listed, || {
        if listed.is_empty() {
            output.say("no servers; register this one with `git muster join --as NAME`");
            return String::new();
        }
        let row = |one: &ServerWork| {
            vec![
                one.server.clone(),
                heartbeat(one, now),
                input::or_dash(worker(one, now).as_deref()),
                input::or_dash(at_work(one).as_deref()),
                input::or_dash(Some(&one.labels.join(","))),
                input::or_dash(one.paused.as_deref()),
            ]
        };
        let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
        table(&["SERVER", "HEARTBEAT", "WORKER", "JOBS", "LABELS", "PAUSED"], &rows)
    })
}

/// Shows one server.
///
/// # Errors
/// When there is no such server, or the hub cannot be used.
pub(super) fn show(name: &ServerName, context: &mut Context) -> Result<(), CliError> {
    let fleet = context.read(true, |snapshot| Ok(Fleet::read(snapshot)?))?;
    fleet.require(name)?;
    let signs = judged(fleet.seen.clone(), context)?;
    let (now, place) = (signs.clock.now, context.place()?.watched());
    let shown = fleet.show(name, &signs, &place, &mut Observations::recall(&context.machine))?;
    context.output.object("worker", &shown, || {
        let listed = &shown.listed;
        let lines = |jobs: &[JobLine]| {
            let lines: Vec<String> = jobs.iter().map(|job| format!("{} {}", job.id, job.situation)).collect();
            Some(lines.join("; ")).filter(|text| !text.is_empty())
        };
        facts(&[
            ("server", Some(listed.server.clone())),
            ("heartbeat", Some(heartbeat(listed, now))),
            ("worker", worker(listed, now)),
            ("labels", Some(listed.labels.join(", ")).filter(|labels| !labels.is_empty())),
            ("paused", listed.paused.clone()),
            ("in progress", lines(&shown.at_work)),
            ("last finished", lines(&shown.ended)),
            ("could claim", Some(shown.claimable.len().to_string())),
        ])
    })
}
