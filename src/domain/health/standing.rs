//! Jobs that stand still on purpose, or for somebody who has not said a word: what is paused, and groups
//! that a cancelled job keeps busy.
//!
//! A pause is no trouble as long as nothing waits for its end. One that is forgotten is, and so is a fleet
//! of which every server is paused one by one.

use super::Fleet;
use crate::domain::finding::{About, Finding, FleetFact, Thing};
use crate::domain::id::ServerName;
use crate::domain::job::{Job, JobStatus};
use crate::domain::pause::{Pause, Paused, pause_of, pause_of_job};
use crate::domain::queue::{Queue, Waiting};
use crate::domain::server::Server;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How long whoever held a cancelled job may take to say that it stopped before it is worth a word.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(15 * 60);

impl Fleet<'_> {
    /// What stands still for a pause or for a group.
    pub(super) fn standing_still(&self, queue: &Queue<'_>) -> Vec<Finding> {
        let mut paused: BTreeMap<String, (Paused, Pause, usize)> = BTreeMap::new();
        let mut groups: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let mut unserved: Vec<&Job> = Vec::new();
        let working = self.not_paused();
        // A queue of thousands wants few sets of labels.
        let mut served: HashMap<&[String], bool> = HashMap::new();
        for job in self.jobs.rows().map(|job| &**job).filter(|job| job.status == JobStatus::Queued) {
            match queue.waits_for(job) {
                Some(Waiting::Paused { .. }) => {
                    let Some((what, pause)) = pause_of_job(self.pauses, job, self.now) else { continue };
                    let told = || (what.clone(), pause.into_owned(), 0);
                    paused.entry(what.to_string()).or_insert_with(told).2 += 1;
                }
                Some(Waiting::Group { group, job, may_still_run_on: Some(_) }) => {
                    groups.entry(group).or_insert((job, 0)).1 += 1;
                }
                None if !*served
                    .entry(&job.labels)
                    .or_insert_with(|| self.is_served(&job.labels, &working)) =>
                {
                    unserved.push(job);
                }
                _ => {}
            }
        }
        let paused = paused.into_iter().map(|(id, (what, pause, jobs))| {
            let fact = FleetFact::Paused { what, pause: Box::new(pause), jobs, at: self.now };
            Finding::new(fact, About::new(Thing::Pause, &id))
        });
        let mut found: Vec<Finding> = paused.collect();
        if let Some(first) = unserved.first() {
            let fact = FleetFact::EachServerPaused { job: first.id.clone(), jobs: unserved.len() };
            found.push(Finding::new(fact, About::new(Thing::Pause, "servers")));
        }
        found.extend(
            groups.iter().filter_map(|(group, (holder, jobs))| self.unconfirmed(group, holder, *jobs)),
        );
        found
    }

    /// The servers that are not paused themselves.
    fn not_paused(&self) -> HashSet<&str> {
        let is_paused = |server: &Server| {
            let name = ServerName::new(&server.id).ok();
            name.is_some_and(|name| pause_of(self.pauses, &Paused::Server(name), self.now).is_some())
        };
        self.servers.rows().filter(|server| !is_paused(server)).map(|server| server.id.as_str()).collect()
    }

    /// Whether not each server with `labels` is paused. That there is none at all is told otherwise.
    fn is_served(&self, labels: &[String], working: &HashSet<&str>) -> bool {
        let able = |server: &&Server| labels.iter().all(|label| server.labels.contains(label));
        let mut able = self.servers.rows().map(|server| &**server).filter(able).peekable();
        able.peek().is_none() || able.any(|server| working.contains(server.id.as_str()))
    }

    /// That `jobs` of a group wait for the word that a cancelled one has stopped.
    fn unconfirmed(&self, group: &str, cancelled: &str, jobs: usize) -> Option<Finding> {
        let job = self.jobs.get(cancelled)?;
        let server = job.may_still_run_on()?;
        let since = self.now.since(job.completed_at?);
        (since > CONFIRMED_WITHIN).then(|| {
            let fact = FleetFact::GroupHeld {
                job: cancelled.to_owned(),
                server: server.to_owned(),
                token: job.token,
                cancelled_seconds: since.as_secs(),
                jobs,
            };
            Finding::new(fact, About::new(Thing::Group, group).of(Some(server)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::*;
    use crate::domain::finding::FindingCode;
    use crate::domain::table::{Row, Table};
    use crate::domain::time::Timestamp;

    fn table<T: Row>(rows: &str) -> Table<T> {
        Table::read(T::PATH, format!("{{\"{}\":[{rows}]}}", T::FIELD).as_bytes()).expect(rows)
    }

    fn told(jobs: &str, pauses: &str) -> Vec<String> {
        let report: Report = Fleet {
            servers: &table(r#"{"id":"a"},{"id":"b","labels":["gpu"]}"#),
            known: Vec::new(),
            jobs: &table(jobs),
            pauses: &table(pauses),
            locks: &Table::empty("locks.json"),
            unregistered: &[],
            documents: Vec::new(),
            now: Timestamp::parse("2025-10-29T12:00:00Z").expect("time"),
            off: None,
            me: None,
        }
        .judge();
        let is_ours = |one: &Finding| matches!(one.code(), FindingCode::Paused | FindingCode::GroupHeld);
        let told = |one: Finding| format!("{} {}", one.cause(), one.count().unwrap_or(0));
        report.findings.into_iter().filter(is_ours).map(told).collect()
    }

    #[test]
    fn a_pause_is_told_for_as_long_as_jobs_wait_for_its_end() {
        const JOBS: &str = r#"{"id":"j","status":"queued"},{"id":"k","status":"queued","labels":["gpu"]}"#;
        for (jobs, pauses, expected) in [
            (JOBS, "", &[][..]),
            ("", r#"{"id":"queue"}"#, &[]),
            (
                r#"{"id":"j","status":"running","assigned_to":"a","started_at":"2025-10-29T11:59:00Z"}"#,
                r#"{"id":"queue"}"#,
                &[],
            ),
            (
                JOBS,
                r#"{"id":"queue","by":"b","at":"2025-10-26T12:00:00Z","note":"disk"}"#,
                &["paused:queue 2"],
            ),
            (JOBS, r#"{"id":"queue","until":"2025-10-29T11:00:00Z"}"#, &[]),
            (JOBS, r#"{"id":"label:gpu","by":"b"}"#, &["paused:label:gpu 1"]),
            (JOBS, r#"{"id":"server:b","by":"b"}"#, &["paused:servers 1"]),
            (JOBS, r#"{"id":"server:a","by":"b"}"#, &[]),
            (JOBS, r#"{"id":"server:a"},{"id":"server:b","until":[]}"#, &["paused:servers 2"]),
        ] {
            assert_eq!(told(jobs, pauses), expected, "{jobs} {pauses}");
        }
    }

    #[test]
    fn a_group_that_waits_for_a_word_of_confirmation_is_told() {
        let jobs = |cancelled: &str, timeout: &str| {
            format!(
                r#"{{"id":"j","status":"cancelled","group":"g","assigned_to":"a","token":3,"started_at":"2025-10-28T12:00:00Z","completed_at":"{cancelled}","timeout_seconds":{timeout}}},{{"id":"k","status":"queued","group":"g"}}"#
            )
        };
        assert_eq!(told(&jobs("2025-10-29T11:00:00Z", "9999999999"), ""), ["group-held:g 1"]);
        assert_eq!(told(&jobs("2025-10-29T11:44:59Z", "9999999999"), "").len(), 1);
        for (cancelled, timeout) in [("2025-10-29T11:45:00Z", "9999999999"), ("2025-10-28T13:00:00Z", "60")] {
            assert!(told(&jobs(cancelled, timeout), "").is_empty(), "{cancelled} {timeout}");
        }
    }
}
