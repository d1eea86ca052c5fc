//! The servers that could run a job, and why none of them takes it.
//!
//! For people who ask why a job waits: whether a sign of life is fresh is judged by one look and the
//! wall clock. Nothing is decided by it.

use super::Waiting;
use crate::domain::heartbeat::Freshness;
use crate::domain::time::{Timestamp, show_span};
use serde::Serialize;

/// A server, as far as it matters to who waits for it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name.
    pub server: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// How its last sign of life is to be judged.
    pub life: Freshness,
    /// When that was.
    pub last_heartbeat: Option<Timestamp>,
    /// How the last one of its worker is to be judged.
    pub worker: Freshness,
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
        matches!(self.worker, Freshness::Fresh | Freshness::Late)
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

/// Why none of `able`, which have all the labels, takes a job; nothing when one could.
pub(super) fn hindrances(able: &[&Candidate]) -> Vec<Waiting> {
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
            let told: Vec<String> = hindrances(&able).iter().map(|one| one.describe(now)).collect();
            assert_eq!(told.join("; "), expected);
        }
    }
}
