//! The servers that could run a job, and why none of them takes it.
//!
//! For people who ask why a job waits: whether a sign of life is fresh is judged by one look and the
//! wall clock. Nothing is decided by it.

use super::Waiting;
use crate::domain::heartbeat::Freshness;
use crate::domain::job::Job;
use crate::domain::time::{Timestamp, show_span};
use serde::Serialize;
use std::time::Duration;

/// A server, as far as it matters to who waits for it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name.
    pub server: String,
    pub labels: Vec<String>,
    /// How its last sign of life is to be judged.
    pub life: Freshness,
    /// When that was.
    pub last_heartbeat: Option<Timestamp>,
    /// How the last one of its worker is to be judged.
    pub worker: Freshness,
    /// When that was, if there ever was one.
    pub worker_at: Option<Timestamp>,
    /// Why it ended, if it did so as it was meant to.
    pub worker_ended: Option<String>,
    /// Whether its scripts took a job lately.
    pub has_scripts: bool,
    /// Its pause, for people.
    pub paused: Option<String>,
    /// The jobs it holds.
    pub jobs: Vec<String>,
}

/// A server that has something at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BusyServer {
    /// Its name.
    pub server: String,
    /// What it has at work.
    pub jobs: Vec<String>,
}

/// A server that gives no sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SilentServer {
    /// Its name.
    pub server: String,
    /// Its last sign of life, if there ever was one.
    pub last_heartbeat: Option<Timestamp>,
}

/// A server on which no worker runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workerless {
    /// Its name.
    pub server: String,
    /// How the last sign of life of its worker is to be judged: `stopped`, `stale`, or `unknown` where
    /// there never was one.
    pub worker: Freshness,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_last_seen: Option<Timestamp>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_stopped: Option<String>,
}

/// A server whose scripts took a job within this time is one that will take others: some come by once a
/// night.
pub const SCRIPTS_WITHIN: Duration = Duration::from_secs(25 * 60 * 60);

/// Whether the scripts of the server that took `job` are likely to ask for another one.
#[must_use]
pub fn shows_scripts(job: &Job, now: Timestamp) -> bool {
    let is_recent = || job.started_at.is_some_and(|at| now.since(at) <= SCRIPTS_WITHIN);
    job.worker.is_none() && (job.status.is_held() || is_recent())
}

/// Whether a worker of which this is known is one that asks for jobs.
#[must_use]
pub const fn works(worker: Freshness) -> bool {
    matches!(worker, Freshness::Fresh | Freshness::Late)
}

impl Workerless {
    pub(super) fn describe(&self, now: Timestamp) -> String {
        let Some(at) = self.worker_last_seen else { return format!("none ever on {}", self.server) };
        let ago = show_span(now.since(at));
        match (&self.worker_stopped, self.worker) {
            (Some(why), _) if !why.is_empty() => format!("that of {} ended {ago} ago ({why})", self.server),
            (_, Freshness::Stopped) => format!("that of {} ended {ago} ago", self.server),
            _ => format!("that of {} was seen last {ago} ago", self.server),
        }
    }
}

impl BusyServer {
    pub(super) fn describe(&self) -> String {
        format!("{} has {}", self.server, self.jobs.join(", "))
    }
}

impl SilentServer {
    pub(super) fn describe(&self, now: Timestamp) -> String {
        let last = self
            .last_heartbeat
            .map(|at| format!("the last of {} {} ago", self.server, show_span(now.since(at))));
        last.unwrap_or_else(|| format!("none ever of {}", self.server))
    }
}

impl Candidate {
    fn has_worker(&self) -> bool {
        works(self.worker)
    }

    fn workerless(&self) -> Workerless {
        Workerless {
            server: self.server.clone(),
            worker: self.worker,
            worker_last_seen: self.worker_at,
            worker_stopped: self.worker_ended.clone(),
        }
    }

    fn is_free(&self) -> bool {
        self.paused.is_none() && self.jobs.is_empty()
    }
}

/// Those of `able` whose workers have nothing to do.
pub(super) fn idle_workers(able: &[&Candidate]) -> Vec<String> {
    let idle = able.iter().filter(|one| one.has_worker() && one.is_free());
    idle.map(|one| one.server.clone()).collect()
}

/// That no worker runs on any of `able`, which have all the labels, and nobody else is likely to take what
/// has a command.
fn no_worker(able: &[&Candidate]) -> Option<Waiting> {
    if able.is_empty() || able.iter().any(|one| one.has_worker() || one.has_scripts) {
        return None;
    }
    let since = able.iter().filter_map(|one| one.worker_at).max();
    Some(Waiting::NoWorker { since, servers: able.iter().map(|one| one.workerless()).collect() })
}

/// Why none of `able`, which have all the labels, takes a job; nothing when one could. Without a command
/// it is for people and scripts.
pub(super) fn hindrances(able: &[&Candidate], has_command: bool) -> Vec<Waiting> {
    let no_worker = no_worker(able).filter(|_| has_command);
    no_worker.into_iter().chain(of_servers(able)).collect()
}

/// What keeps the servers themselves from it.
fn of_servers(able: &[&Candidate]) -> Vec<Waiting> {
    let is_alive = |one: &&&Candidate| matches!(one.life, Freshness::Fresh | Freshness::Late);
    let mut alive: Vec<&&Candidate> = able.iter().filter(is_alive).collect();
    if alive.is_empty() {
        let silent = |one: &&Candidate| SilentServer {
            server: one.server.clone(),
            last_heartbeat: one.last_heartbeat,
        };
        return vec![Waiting::Silent { servers: able.iter().map(silent).collect() }];
    }
    // A server without a worker takes what its scripts ask for, and nobody knows whether they will.
    if alive.iter().any(|one| one.has_worker()) {
        alive.retain(|one| one.has_worker());
    }
    if alive.iter().any(|one| one.is_free()) {
        return Vec::new();
    }
    let paused = |one: &&&Candidate| {
        let what = format!("server `{}`", one.server);
        Some(Waiting::Paused { what, told: one.paused.clone()? })
    };
    let mut reasons: Vec<Waiting> = alive.iter().filter_map(paused).collect();
    let busy = alive.iter().filter(|one| one.paused.is_none());
    let servers: Vec<BusyServer> =
        busy.map(|one| BusyServer { server: one.server.clone(), jobs: one.jobs.clone() }).collect();
    if !servers.is_empty() {
        reasons.push(Waiting::Busy { servers });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(server: &str, life: Freshness, paused: Option<&str>, jobs: &[&str]) -> Candidate {
        Candidate {
            server: server.to_owned(),
            labels: Vec::new(),
            life,
            last_heartbeat: None,
            worker: Freshness::Unknown,
            worker_at: None,
            worker_ended: None,
            has_scripts: false,
            paused: paused.map(str::to_owned),
            jobs: jobs.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_keeps_all_servers_from_a_job_is_told() {
        use Freshness::{Fresh, Late, Stale, Unknown};
        let idle = || candidate("a", Fresh, None, &[]);
        let busy = || candidate("b", Late, None, &["x", "y"]);
        let paused = || candidate("c", Fresh, Some("by ada"), &["z"]);
        let dead = || candidate("d", Stale, None, &[]);
        let never = || candidate("e", Unknown, None, &[]);
        let with_worker = |one: Candidate| Candidate { worker: one.life, ..one };
        let now = Timestamp::from_unix_millis(0).expect("time");
        for (able, expected) in [
            (vec![idle(), busy(), paused(), dead()], ""),
            (vec![busy(), dead()], "every server that could run it is at work: b has x, y"),
            (vec![paused(), never()], "server `c` is paused by ada"),
            (
                vec![busy(), paused()],
                "server `c` is paused by ada; every server that could run it is at work: b has x, y",
            ),
            (
                vec![dead(), never()],
                "no server that could run it gives a sign of life: none ever of d, none ever of e",
            ),
            (vec![], "no server belongs to the hub"),
            (vec![idle(), with_worker(busy())], "every server that could run it is at work: b has x, y"),
            (vec![idle(), with_worker(paused()), with_worker(dead())], "server `c` is paused by ada"),
            (vec![with_worker(idle()), with_worker(paused())], ""),
        ] {
            let able: Vec<&Candidate> = able.iter().collect();
            let told: Vec<String> = hindrances(&able, false).iter().map(|one| one.describe(now)).collect();
            assert_eq!(told.join("; "), expected);
        }
    }

    #[test]
    fn that_no_worker_runs_is_told_with_since_when() {
        let at = |minutes: i64| Timestamp::from_unix_millis(minutes * 60_000).expect("time");
        let now = at(180);
        let worker = |server: &str, life, minutes: Option<i64>, why: Option<&str>| Candidate {
            worker: life,
            worker_at: minutes.map(at),
            worker_ended: why.map(str::to_owned),
            ..candidate(server, Freshness::Fresh, None, &[])
        };
        let never = || worker("a", Freshness::Unknown, None, None);
        let stopped = || worker("b", Freshness::Stopped, Some(120), Some("idle"));
        let stale = || worker("c", Freshness::Stale, Some(60), None);
        let in_silence = |why| worker("e", Freshness::Stopped, Some(120), why);
        let scripts = || Candidate { has_scripts: true, ..never() };
        let late = || worker("d", Freshness::Late, Some(178), None);
        for (able, expected) in [
            (vec![never()], "no worker runs on any server that could take it, and none ever has: a"),
            (
                vec![stale(), stopped(), never()],
                "no worker runs on any server that could take it, since 1970-01-01T02:00:00Z, 1h ago: that of c was seen last 2h ago, that of b ended 1h ago (idle), none ever on a",
            ),
            (
                vec![in_silence(None), in_silence(Some(""))],
                "no worker runs on any server that could take it, since 1970-01-01T02:00:00Z, 1h ago: that of e ended 1h ago, that of e ended 1h ago",
            ),
            (vec![stale(), late()], ""),
            (vec![scripts(), stopped()], ""),
            (
                vec![Candidate { life: Freshness::Stale, ..stale() }],
                "no worker runs on any server that could take it, since 1970-01-01T01:00:00Z, 2h ago: that of c was seen last 2h ago; no server that could run it gives a sign of life: none ever of c",
            ),
        ] {
            let able: Vec<&Candidate> = able.iter().collect();
            let told: Vec<String> = hindrances(&able, true).iter().map(|one| one.describe(now)).collect();
            assert_eq!(told.join("; "), expected);
        }
        assert_eq!(hindrances(&[&never()], false), [], "what has no command is for people and scripts");
    }

    #[test]
    fn scripts_that_took_a_job_lately_are_likely_to_take_another() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        for (fields, shows) in [
            (r#""status":"running","assigned_to":"a""#, true),
            (r#""status":"claimed","assigned_to":"a","worker":"w""#, false),
            (r#""status":"completed","started_at":"2025-10-28T11:00:00Z""#, true),
            (r#""status":"completed","started_at":"2025-10-28T10:59:59Z""#, false),
            (r#""status":"completed","started_at":"2025-10-29T11:00:00Z","worker":"w""#, false),
            (r#""status":"completed""#, false),
        ] {
            let job: Job = serde_json::from_str(&format!(r#"{{"id":"j",{fields}}}"#)).expect(fields);
            assert_eq!(shows_scripts(&job, now), shows, "{fields}");
        }
    }
}
