//! `git muster worker list` and `show`: what the servers are at.

use crate::app::documents::SeenBeats;
use crate::app::signs::{Signs, seen_of};
use crate::app::watch::ripe_until_now;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input;
use crate::cli::table::{facts, table};
use crate::domain::health::clock_off;
use crate::domain::heartbeat::Freshness;
use crate::domain::id::ServerName;
use crate::domain::job::Job;
use crate::domain::pause::{Pause, Paused, pause_of};
use crate::domain::queue::Queue;
use crate::domain::record::Record;
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Documents as _, Snapshot};
use serde::Serialize;
use std::collections::HashMap;

/// How many jobs that ended `show` tells.
const ENDED_SHOWN: usize = 5;

/// A server as `worker list` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    server: String,
    /// How its last sign of life is to be judged.
    life: Freshness,
    last_heartbeat: Option<Timestamp>,
    /// The same of its worker: scripts and cron lines of a server beat too.
    worker: Freshness,
    worker_last_seen: Option<Timestamp>,
    /// Why it ended, if it did so as it was meant to.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_stopped: Option<String>,
    /// The jobs it holds.
    jobs: Vec<String>,
    labels: Vec<String>,
    /// Its pause, for people.
    paused: Option<String>,
}

impl Listed {
    fn of(server: &Server, name: &ServerName, (signs, work): (&Signs, &Work<'_>)) -> Self {
        let (seen, now) = (signs.of(name), signs.clock.now);
        let beat = seen.and_then(|seen| seen.newest.as_ref());
        let stopped = seen.and_then(|seen| seen.worker_stopped.as_ref());
        Self {
            server: server.id.clone(),
            life: signs.life(name),
            worker: signs.worker(name),
            worker_last_seen: seen.and_then(|seen| seen.worker_at),
            worker_stopped: stopped.map(|stopped| stopped.why.clone().unwrap_or_default()),
            last_heartbeat: beat.and_then(|beat| beat.at()),
            jobs: work.of(name.as_str()),
            labels: server.labels.clone(),
            paused: pause_of(work.pauses, &Paused::Server(name.clone()), now)
                .map(|pause| pause.describe(now)),
        }
    }

    fn heartbeat(&self, now: Timestamp) -> String {
        sign(self.life, self.last_heartbeat, now)
    }

    /// What it holds, in a few words.
    fn at_work(&self) -> Option<String> {
        match self.jobs.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [first, others @ ..] => Some(format!("{first} and {} more", others.len())),
        }
    }

    /// Nothing where no worker was ever seen.
    fn worker(&self, now: Timestamp) -> Option<String> {
        let why = self.worker_stopped.as_ref().filter(|why| !why.is_empty());
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        self.worker_last_seen.map(|at| sign(self.worker, Some(at), now) + &why)
    }
}

/// What all servers are at, looked through once for the whole list.
struct Work<'a> {
    held: HashMap<&'a str, Vec<&'a str>>,
    pauses: &'a Table<Pause>,
}

impl<'a> Work<'a> {
    fn new(jobs: &'a Table<Job>, pauses: &'a Table<Pause>) -> Self {
        let mut held: HashMap<&str, Vec<&str>> = HashMap::new();
        for job in jobs.rows().filter(|job| job.status.is_held()) {
            held.entry(job.assigned_to.as_deref().unwrap_or_default()).or_default().push(&job.id);
        }
        Self { held, pauses }
    }

    /// The jobs that a server holds.
    fn of(&self, server: &str) -> Vec<String> {
        self.held.get(server).into_iter().flatten().map(ToString::to_string).collect()
    }
}

/// A sign of life, for people.
fn sign(life: Freshness, at: Option<Timestamp>, now: Timestamp) -> String {
    format!("{}, {}", format!("{life:?}").to_lowercase(), input::ago(at, now))
}

/// What was read for a list.
struct Look {
    registry: Table<Server>,
    jobs: Table<Job>,
    pauses: Table<Pause>,
    seen: HashMap<ServerName, SeenBeats>,
}

impl Look {
    fn at(snapshot: &Snapshot<'_>) -> Result<Self, CliError> {
        let registry: Table<Server> = snapshot.table()?;
        let names = registry.rows().filter_map(|server| ServerName::new(&server.id).ok());
        let seen = seen_of(snapshot, names)?;
        let pauses = snapshot.table()?;
        // The longest last: a pack may keep others as differences to it, and with each of those it is read
        // once more.
        Ok(Self { registry, jobs: snapshot.table()?, pauses, seen })
    }
}

/// Judges what was read just now of the signs of life of servers. Where our own clock is off, it says so.
///
/// # Errors
/// When nothing says which hub is meant.
pub(in crate::cli) fn judged(
    seen: HashMap<ServerName, SeenBeats>,
    context: &mut Context,
) -> Result<Signs, CliError> {
    let (place, now) = (context.place()?.watched(), context.now());
    let me = context.settings.server.as_ref().map(|server| server.value.clone());
    let signs = Signs::judge(seen, &place, me.as_ref(), now);
    if let Some(off) = &signs.clock.off {
        context.output.warn(&format!("{}; the times here are told by theirs", clock_off(off).what));
    }
    Ok(signs)
}

/// Lists all servers.
///
/// # Errors
/// When the hub cannot be used.
pub(super) fn list(context: &mut Context) -> Result<(), CliError> {
    let look = context.read(true, Look::at)?;
    let signs = judged(look.seen.clone(), context)?;
    let now = signs.clock.now;
    let work = Work::new(&look.jobs, &look.pauses);
    let named = look.registry.rows().filter_map(|server| Some((server, ServerName::new(&server.id).ok()?)));
    let listed: Vec<Listed> =
        named.map(|(server, name)| Listed::of(server, &name, (&signs, &work))).collect();
    let output = context.output;
    output.list("worker", &listed, || {
        if listed.is_empty() {
            output.say("no server is registered; register this one with `git muster join --as NAME`");
            return String::new();
        }
        let row = |one: &Listed| {
            vec![
                one.server.clone(),
                one.heartbeat(now),
                input::or_dash(one.worker(now).as_deref()),
                input::or_dash(one.at_work().as_deref()),
                input::or_dash(Some(&one.labels.join(","))),
                input::or_dash(one.paused.as_deref()),
            ]
        };
        let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
        table(&["SERVER", "HEARTBEAT", "WORKER", "JOBS", "LABELS", "PAUSED"], &rows)
    })
}

/// A server as `worker show` shows it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    listed: Listed,
    /// What it holds, ended last and could claim now.
    at_work: Vec<Told>,
    ended: Vec<Told>,
    claimable: Vec<Told>,
}

/// A job in a line.
#[derive(Debug, Serialize)]
struct Told {
    id: String,
    situation: String,
}

/// Shows one server.
///
/// # Errors
/// When there is no such server, or the hub cannot be used.
pub(super) fn show(name: &ServerName, context: &mut Context) -> Result<(), CliError> {
    // Of all: whether our clock is off is for most of them to say.
    let look = context.read(true, Look::at)?;
    let server = look.registry.get(name.as_str()).ok_or_else(|| {
        CliError::new(Exit::No, format!("there is no server `{name}`"))
            .hint("see the names with `git muster worker list`")
    })?;
    let signs = judged(look.seen.clone(), context)?;
    let now = signs.clock.now;
    let (jobs, pauses) = (&look.jobs, &look.pauses);
    let told = |job: &Record<Job>| Told { id: job.id.clone(), situation: job.situation(now) };
    let of_server = || jobs.rows().filter(|job| job.assigned_to.as_deref() == Some(name.as_str()));
    let mut ended: Vec<&Record<Job>> = of_server().filter(|job| job.status.is_final()).collect();
    ended.sort_by_key(|job| std::cmp::Reverse(job.completed_at));
    let queue = Queue::new(jobs, now).paused_by(pauses);
    let ripe = ripe_until_now(&context.place()?.watched(), &queue);
    let claimable = queue.with_ripe(&ripe).claimable(&server.labels);
    let shown = Shown {
        listed: Listed::of(server, name, (&signs, &Work::new(jobs, pauses))),
        at_work: of_server().filter(|job| job.status.is_held()).map(told).collect(),
        ended: ended.into_iter().take(ENDED_SHOWN).map(told).collect(),
        claimable: claimable.into_iter().map(told).collect(),
    };
    context.output.object("worker", &shown, || {
        let listed = &shown.listed;
        let lines = |jobs: &[Told]| {
            let lines: Vec<String> = jobs.iter().map(|job| format!("{} {}", job.id, job.situation)).collect();
            Some(lines.join("; ")).filter(|text| !text.is_empty())
        };
        facts(&[
            ("server", Some(listed.server.clone())),
            ("heartbeat", Some(listed.heartbeat(now))),
            ("worker", listed.worker(now)),
            ("labels", Some(listed.labels.join(", ")).filter(|labels| !labels.is_empty())),
            ("paused", listed.paused.clone()),
            ("at work", lines(&shown.at_work)),
            ("ended last", lines(&shown.ended)),
            ("could claim", Some(shown.claimable.len().to_string())),
        ])
    })
}
