//! Jobs that wait although nothing keeps them, because no worker runs where they could.
//!
//! One finding for all of them: what is missing is a worker, however long the queue is.

use super::{Fleet, Known};
use crate::domain::finding::{About, Finding, FleetFact, Thing};
use crate::domain::job::{Job, JobStatus};
use crate::domain::queue::{Queue, shows_scripts, works};
use crate::domain::time::Timestamp;
use std::collections::{HashMap, HashSet};

/// How many of the jobs are named.
const NAMED_MAX: usize = 5;

/// What is known of those who could take jobs with some labels.
#[derive(Clone, Copy)]
struct Able {
    /// Whether there is any.
    is_any: bool,
    /// Whether one of them works, by a worker or by scripts.
    works: bool,
    /// When a worker of one was seen last.
    since: Option<Timestamp>,
}

impl Fleet<'_> {
    /// That jobs wait for a worker.
    pub(super) fn without_worker(&self, queue: &Queue<'_>) -> Option<Finding> {
        let scripts: HashSet<&str> = self
            .jobs
            .rows()
            .filter(|job| shows_scripts(job, self.now))
            .filter_map(|job| job.assigned_to.as_deref())
            .collect();
        let known: HashMap<&str, &Known<'_>> = self.known.iter().map(|known| (known.name, known)).collect();
        let mut by_labels: HashMap<&[String], Able> = HashMap::new();
        let mut waiting: Vec<(&Job, Option<Timestamp>)> = Vec::new();
        // What has no command is for people and scripts.
        let queued = |job: &&Job| job.status == JobStatus::Queued && !job.command.is_empty();
        for job in self.jobs.rows().map(|job| &**job).filter(queued) {
            let able =
                *by_labels.entry(&job.labels).or_insert_with(|| self.able(&job.labels, &known, &scripts));
            if able.is_any && !able.works && queue.waits_for(job).is_none() {
                waiting.push((job, able.since));
            }
        }
        (!waiting.is_empty()).then(|| {
            let fact = FleetFact::NoWorker {
                jobs: waiting.len(),
                examples: waiting.iter().take(NAMED_MAX).map(|(job, _)| job.id.clone()).collect(),
                since: waiting.iter().filter_map(|(_, since)| *since).max(),
                at: self.now,
            };
            Finding::new(fact, About::new(Thing::Queue, "queue"))
        })
    }

    fn able(&self, labels: &[String], known: &HashMap<&str, &Known<'_>>, scripts: &HashSet<&str>) -> Able {
        let registered =
            self.servers.rows().filter(|server| labels.iter().all(|one| server.labels.contains(one)));
        let mut names: Vec<&str> = registered.map(|server| server.id.as_str()).collect();
        if self.servers.is_empty() && labels.is_empty() {
            // Where nobody is registered, folders count.
            names = known.keys().copied().collect();
        }
        let of = || names.iter().filter_map(|name| known.get(name));
        Able {
            is_any: !names.is_empty(),
            works: of().any(|one| works(one.worker)) || names.iter().any(|name| scripts.contains(name)),
            since: of().filter_map(|one| one.worker_at).max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::*;
    use crate::domain::clocks::ClockChange;
    use crate::domain::finding::Fact;
    use crate::domain::heartbeat::Freshness;
    use crate::domain::table::{Row, Table};

    fn table<T: Row>(rows: &str) -> Table<T> {
        Table::read(T::PATH, format!("{{\"{}\":[{rows}]}}", T::FIELD).as_bytes()).expect(rows)
    }

    fn report(jobs: &str, pauses: &str, a: (Freshness, &str), b: Freshness) -> Report {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let known = |name: &'static str, worker, at: &str| Known {
            name,
            heartbeat: None,
            status: None,
            broken: None,
            change: ClockChange::First,
            worker,
            worker_at: Timestamp::parse(at),
        };
        Fleet {
            servers: &table(r#"{"id":"a"},{"id":"b","labels":["gpu"]}"#),
            known: vec![known("a", a.0, a.1), known("b", b, "")],
            jobs: &table(jobs),
            pauses: &table(pauses),
            locks: &Table::empty("locks.json"),
            unregistered: &[],
            documents: Vec::new(),
            now,
            off: None,
            me: None,
        }
        .judge()
    }

    #[test]
    fn jobs_that_no_worker_will_take_are_one_finding_that_counts_them() {
        use Freshness::{Fresh, Late, Stopped, Unknown};
        let told = |jobs: &str, pauses: &str, a, b| {
            let findings = report(jobs, pauses, a, b).findings.into_iter();
            let found = findings.filter_map(|one| match one.fact {
                Fact::Fleet(FleetFact::NoWorker { jobs, examples, since, .. }) => Some(format!(
                    "{jobs}: {} since {}",
                    examples.join(", "),
                    since.map_or("never".to_owned(), |since| since.to_string())
                )),
                _ => None,
            });
            found.collect::<Vec<_>>().join("; ")
        };
        let job =
            |id: &str, more: &str| format!(r#"{{"id":"{id}","status":"queued","command":["true"]{more}}}"#);
        let (one, gpu) = (job("j1", ""), job("j2", r#","labels":["gpu"]"#));
        let never = (Unknown, "");
        let stopped = (Stopped, "2025-10-29T09:00:00Z");
        assert_eq!(told(&one, "", never, Unknown), "1: j1 since never");
        let both = format!("{one},{gpu}");
        assert_eq!(told(&both, "", stopped, Unknown), "2: j1, j2 since 2025-10-29T09:00:00Z");
        assert_eq!(told(&both, "", (Late, ""), Unknown), "1: j2 since never");
        assert_eq!(told(&both, "", stopped, Fresh), "", "the one with the label takes both");
        let many: Vec<String> = (0..9).map(|n| job(&format!("j{n}"), "")).collect();
        assert_eq!(told(&many.join(","), "", never, Unknown), "9: j0, j1, j2, j3, j4 since never");
        // What is kept waiting by something else, is for people, or is taken by scripts.
        for jobs in [
            job("j", r#","not_before":"2025-10-29T13:00:00Z","created_at":"2025-10-29T11:00:00Z""#),
            job("j", r#","needs":["k"]"#),
            job("j", r#","labels":["tpu"]"#),
            r#"{"id":"j","status":"queued"}"#.to_owned(),
            format!(
                r#"{one},{{"id":"s","status":"completed","assigned_to":"a","started_at":"2025-10-29T11:30:00Z"}}"#
            ),
        ] {
            assert_eq!(told(&jobs, "", never, Unknown), "", "{jobs}");
        }
        assert_eq!(told(&one, r#"{"id":"queue","by":"a"}"#, never, Unknown), "", "it was paused on purpose");
    }

    #[test]
    fn folders_count_only_where_nobody_is_registered_and_no_label_is_asked_for() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        for (servers, labels, is_told) in [
            ("", "[]", true),
            ("", r#"["gpu"]"#, false),
            (r#"{"id":"b"}"#, "[]", true),
            (r#"{"id":"b","labels":["gpu"]}"#, r#"["gpu"]"#, true),
        ] {
            let jobs = format!(r#"{{"id":"j","status":"queued","command":["true"],"labels":{labels}}}"#);
            // A folder without a worker, or with one that no registered server is.
            let worker = if servers.is_empty() { Freshness::Unknown } else { Freshness::Fresh };
            let report = Fleet {
                servers: &table(servers),
                known: vec![Known {
                    name: "c",
                    heartbeat: None,
                    status: None,
                    broken: None,
                    change: ClockChange::First,
                    worker,
                    worker_at: None,
                }],
                jobs: &table(&jobs),
                pauses: &table(""),
                locks: &Table::empty("locks.json"),
                unregistered: &[],
                documents: Vec::new(),
                now,
                off: None,
                me: None,
            }
            .judge();
            let found = report.findings.iter().any(|one| one.cause() == "no-worker:queue");
            assert_eq!(found, is_told, "{servers} {labels}");
        }
    }
}
