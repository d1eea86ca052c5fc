//! When it is the turn of a job that nothing but its place in the queue keeps waiting.
//!
//! Workers take what they are allowed to run, so that the first job is not always the next: what they
//! have left is told, as far as the queue shows it. For people; nothing is decided by it.

use super::Queue;
use crate::domain::job::Job;
use crate::domain::record::Record;
use crate::domain::time::Timestamp;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// How much of a command is shown in a sentence.
const COMMAND_SHOWN_MAX: usize = 60;

/// The place of a job among those that can be claimed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// How many jobs come before it.
    pub ahead: usize,
    /// How many of those workers have left where they are.
    #[serde(skip_serializing_if = "is_zero")]
    pub left: usize,
    /// Why workers leave it, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_because: Option<LeaveReason>,
    /// The servers with the labels whose workers have nothing to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<String>,
    #[serde(skip)]
    command: String,
}

/// Why workers leave a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// There is nothing to run.
    NoCommand,
    /// They took what was to come after it, so that it is probably not allowed there.
    PassedOver,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Turn {
    /// The job is next, and whoever asks gets it.
    pub(super) const fn is_next(&self) -> bool {
        self.ahead == 0 && !matches!(self.left_because, Some(LeaveReason::PassedOver))
    }

    pub(super) fn describe(&self) -> String {
        let place = match (self.ahead, self.left_because) {
            (0, Some(LeaveReason::PassedOver)) => "it is first".to_owned(),
            (0, _) => "it is next".to_owned(),
            (1, _) => "one job is before it".to_owned(),
            (ahead, _) => format!("{ahead} jobs are before it"),
        };
        let left = match (self.left, self.ahead) {
            (0, _) => String::new(),
            (1, 1) => ", which workers have left so far".to_owned(),
            (left, ahead) if left == ahead => ", all of which workers have left so far".to_owned(),
            (left, _) => format!(", {left} of which workers have left so far"),
        };
        let why = match self.left_because {
            Some(LeaveReason::NoCommand) => {
                "; it has no command: workers leave it to people and scripts (`git muster job claim`)"
                    .to_owned()
            }
            Some(LeaveReason::PassedOver) => {
                let command = &self.command;
                format!(", but servers took later jobs: is `{command}` allowed by their workers' `--allow`?")
            }
            None if self.ahead == 0 && self.workers.is_empty() => {
                "; no server has asked for a job since".to_owned()
            }
            None if self.ahead == 0 => {
                let (workers, command) = (self.workers.join(", "), &self.command);
                format!(
                    "; if it stays so, is `{command}` allowed by the `--allow` of the workers of {workers}?"
                )
            }
            None => String::new(),
        };
        format!("{place}{left}{why}")
    }
}

impl<'a> Queue<'a> {
    /// The job of its own group that comes before `job`.
    pub(super) fn before_in_group(&self, job: &Job) -> Option<&'a str> {
        let group = job.group.as_deref()?;
        let before = self.before(job);
        before.into_iter().find(|other| other.group.as_deref() == Some(group)).map(|other| other.id.as_str())
    }

    pub(super) fn turn(&self, job: &Job) -> Turn {
        let before = self.before(job);
        let mut taken = TakenJobs::of(self);
        // People and scripts take what they like.
        let has_command = !job.command.is_empty();
        let left = before.iter().filter(|other| has_command && taken.left_because(other).is_some()).count();
        Turn {
            ahead: before.len(),
            left,
            left_because: taken.left_because(job),
            workers: Vec::new(),
            command: job.command.join(" ").chars().take(COMMAND_SHOWN_MAX).collect(),
        }
    }

    /// What comes before `job` for a server with its labels and no others.
    fn before(&self, job: &Job) -> Vec<&'a Record<Job>> {
        let have: HashSet<&str> = job.labels.iter().map(String::as_str).collect();
        let mut order = self.order(&have);
        let place = order.iter().position(|other| other.id == job.id).unwrap_or(0);
        order.truncate(place);
        order
    }
}

/// When a job was added and when it began, or the latest beginning of those that were added later.
type AddedAndBegun = (Timestamp, Timestamp);

/// What workers have taken, arranged so that a long queue is looked through once for each kind of job
/// and not once for each job.
struct TakenJobs<'a> {
    /// What workers have begun.
    begun: Vec<(&'a Job, AddedAndBegun)>,
    /// When the last with an id ended, and the last of a group.
    ended: HashMap<&'a str, Timestamp>,
    ended_of_group: HashMap<&'a str, Timestamp>,
    /// For jobs with these labels and this level: what counts as taken instead of one, the youngest
    /// first, each with the latest beginning up to it.
    by_kind: HashMap<(Vec<String>, u64), Vec<AddedAndBegun>>,
}

impl<'a> TakenJobs<'a> {
    fn of(queue: &Queue<'a>) -> Self {
        let (mut ended, mut ended_of_group) = (HashMap::new(), HashMap::new());
        let mut begun = Vec::new();
        for job in queue.jobs.rows() {
            if let Some(end) = job.stopped_at.max(job.completed_at) {
                let later = |last: &mut Timestamp| *last = (*last).max(end);
                ended.entry(job.id.as_str()).and_modify(later).or_insert(end);
                if let Some(group) = job.group.as_deref() {
                    ended_of_group.entry(group).and_modify(later).or_insert(end);
                }
            }
            if let (Some(_), Some(created), Some(started)) = (&job.worker, job.created_at, job.started_at) {
                begun.push((&**job, (created, started)));
            }
        }
        begun.sort_by_key(|(_, (created, _))| std::cmp::Reverse(*created));
        Self { begun, ended, ended_of_group, by_kind: HashMap::new() }
    }

    fn left_because(&mut self, job: &Job) -> Option<LeaveReason> {
        if job.command.is_empty() {
            return Some(LeaveReason::NoCommand);
        }
        self.passed_over(job).then_some(LeaveReason::PassedOver)
    }

    /// Whether a worker on a server with its labels took what was to come after it, while it could have
    /// been claimed. Of a job that came back to the queue nobody knows since when it could.
    fn passed_over(&mut self, job: &Job) -> bool {
        let (Some(created), None) = (job.created_at, job.attempts) else { return false };
        let since = self.free_since(job, created);
        let level = job.priority.level();
        let begun = &self.begun;
        let kind = self.by_kind.entry((job.labels.clone(), level)).or_insert_with(|| {
            let is_instead = |other: &Job| {
                other.priority.level() >= level && job.labels.iter().all(|label| other.labels.contains(label))
            };
            let instead = begun.iter().filter(|(other, _)| is_instead(other)).map(|(_, begun)| *begun);
            let latest = instead.scan(None, |latest: &mut Option<Timestamp>, (created, started)| {
                let last = latest.map_or(started, |last| last.max(started));
                *latest = Some(last);
                Some((created, last))
            });
            latest.collect()
        });
        let younger = kind.partition_point(|(other, _)| *other > created);
        younger.checked_sub(1).and_then(|last| kind.get(last)).is_some_and(|(_, latest)| *latest > since)
    }

    /// Since when nothing but its place has kept it waiting, as far as the queue tells.
    fn free_since(&self, job: &Job, created: Timestamp) -> Timestamp {
        let needs = job.all_needs().filter_map(|need| self.ended.get(need));
        let group = job.group.as_deref().and_then(|group| self.ended_of_group.get(group));
        let ends = needs.chain(group).copied();
        ends.chain(job.not_before).chain([created]).max().unwrap_or(created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::queue::Waiting;
    use crate::domain::table::Table;

    const NOW: &str = "2025-10-29T12:00:00Z";

    fn row(id: &str, minute: u64, more: &str) -> String {
        format!(
            "{{\"id\":\"{id}\",\"status\":\"queued\",\"created_at\":\"2025-10-29T11:{minute:02}:00Z\"{more}}}"
        )
    }

    /// A job that a worker has taken at a minute.
    fn taken(id: &str, minute: u64, at: u64, more: &str) -> String {
        let more = format!(",\"worker\":\"w\",\"started_at\":\"2025-10-29T11:{at:02}:00Z\"{more}");
        row(id, minute, &more).replace("queued", "running")
    }

    fn told(rows: &[String], id: &str) -> String {
        let jobs: Table<Job> =
            Table::read("jobs.json", format!("{{\"jobs\":[{}]}}", rows.join(",")).as_bytes()).expect("jobs");
        let now = Timestamp::parse(NOW).expect("time");
        let job = jobs.get(id).expect(id);
        let told = Queue::new(&jobs, now).explain(job, std::slice::from_ref(&job.labels));
        told.iter().map(|one: &Waiting| one.describe(now)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn each_job_of_a_group_is_counted_and_waits_for_those_before_it() {
        let run = ",\"command\":[\"make\"]";
        let grouped = format!("{run},\"group\":\"g\"");
        let rows = [
            row("a", 50, &grouped),
            row("b", 51, &grouped),
            row("c", 52, run),
            row("d", 53, &format!("{grouped},\"priority\":1")),
        ];
        for (id, expected) in [
            ("d", "it is next; no server has asked for a job since"),
            ("a", "`d` of its group `g` is before it"),
            ("b", "`d` of its group `g` is before it"),
            ("c", "3 jobs are before it"),
        ] {
            assert_eq!(told(&rows, id), expected, "{id}");
        }
    }

    #[test]
    fn what_workers_took_first_tells_that_a_job_is_left() {
        let first = |more: &str| row("a", 50, &format!(",\"command\":[\"make\",\"x\"]{more}"));
        let next = "it is next; no server has asked for a job since";
        let left =
            "it is first, but servers took later jobs: is `make x` allowed by their workers' `--allow`?";
        for (a, b, expected) in [
            (first(""), taken("b", 51, 52, ""), left),
            (first(""), taken("b", 51, 52, "").replace("\"worker\":\"w\",", ""), next),
            (first(""), taken("b", 49, 52, ""), next),
            // Of one moment, and taken at the moment at which it came to be free.
            (first(""), taken("b", 50, 52, ""), next),
            (first(",\"not_before\":\"2025-10-29T11:52:00Z\""), taken("b", 51, 52, ""), next),
            (first(""), taken("b", 51, 52, ",\"priority\":1"), next),
            (first(",\"attempts\":0"), taken("b", 51, 52, ""), next),
            (first(",\"labels\":[\"gpu\"]"), taken("b", 51, 52, ""), next),
            (first(",\"labels\":[\"gpu\"]"), taken("b", 51, 52, ",\"labels\":[\"gpu\"]"), left),
            (first(",\"not_before\":\"2025-10-29T11:55:00Z\""), taken("b", 51, 52, ""), next),
            (first(",\"not_before\":\"2025-10-29T11:51:00Z\""), taken("b", 51, 52, ""), left),
        ] {
            assert_eq!(told(&[a.clone(), b.clone()], "a"), expected, "{a} {b}");
        }
        let need = row("n", 40, ",\"completed_at\":\"2025-10-29T11:55:00Z\"").replace("queued", "completed");
        let needy = [need, first(",\"needs\":[\"n\"]"), taken("b", 51, 52, "")];
        assert_eq!(told(&needy, "a"), next);
        assert_eq!(told(&needy.map(|row| row.replace("11:55", "11:51")), "a"), left);
    }

    #[test]
    fn what_is_left_is_counted_apart() {
        let run = ",\"command\":[\"make\"]";
        let rows = [row("a", 50, ""), row("b", 51, run), row("c", 52, ""), row("d", 53, run)];
        let none = "it has no command: workers leave it to people and scripts (`git muster job claim`)";
        assert_eq!(told(&rows, "a"), format!("it is next; {none}"));
        assert_eq!(told(&rows, "b"), "one job is before it, which workers have left so far");
        assert_eq!(told(&rows, "c"), format!("2 jobs are before it; {none}"));
        assert_eq!(told(&rows, "d"), "3 jobs are before it, 2 of which workers have left so far");
    }
}
