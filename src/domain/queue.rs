//! Which job comes next, and why another has to wait.
//!
//! Waiting is computed, never stored: on jobs that are not completed, on a point in time, on a
//! server with the right labels. Most urgent first, first in first out inside a priority, and a
//! job gains one level on those that are added each [`AGEING_STEP`] later, so that nothing starves. What
//! was added later is what stands later; clocks of other machines say how much (`added.rs`).

mod added;
mod candidates;
mod turn;

pub use candidates::{BusyServer, Candidate, SCRIPTS_WITHIN, SilentServer, Workerless, shows_scripts, works};
pub use turn::Turn;

use super::id::JobId;
use super::job::{IfNeedFails, Job, JobStatus, pause_longest};
use super::lease::next_token;
use super::pause::{Pause, pause_of_job};
use super::planted::planted;
use super::record::Record;
use super::refusal::Kind;
use super::table::Table;
use super::time::{Timestamp, show_span};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How much later a job must be added to come behind one that is a level less urgent.
pub const AGEING_STEP: Duration = Duration::from_secs(15 * 60);

/// Why a queued job cannot be claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Waiting {
    /// Another job must be completed first.
    Needs {
        /// Its id.
        job: String,
        /// Its status; `None` when there is no such job.
        status: Option<String>,
    },
    /// Not before a point in time.
    NotBefore {
        /// The point in time.
        at: Timestamp,
        /// Its delay, where it counts from when it was first seen by whoever claims it: by the clock of who
        /// added it, which is ahead, it would be longer.
        #[serde(skip_serializing_if = "Option::is_none")]
        delay_seconds: Option<u64>,
    },
    /// Its last attempt failed or was lost, and the pause before the next is not over.
    BackingOff {
        /// When it is over.
        at: Timestamp,
        /// How often it was tried.
        attempts: u64,
        /// How often it may be.
        attempts_max: u64,
        /// How the last attempt ended.
        last: Option<String>,
    },
    /// Another job of its group is at work, or may still be although it is cancelled.
    Group {
        group: String,
        job: String,
        /// Where it may still run, when it is cancelled.
        #[serde(skip_serializing_if = "Option::is_none")]
        may_still_run_on: Option<String>,
    },
    /// Somebody paused the queue, a label that it requires, or a server that could run it.
    Paused {
        /// What is paused, for people.
        what: String,
        /// By whom, since and until when, and why, for people.
        told: String,
    },
    /// Somebody holds the lock under which jobs are assigned, and nobody claims meanwhile.
    Assignment {
        /// Who holds it and since when, for people.
        told: String,
    },
    /// The server lacks labels.
    Labels {
        /// The ones it lacks.
        missing: Vec<String>,
    },
    /// Every server that could run it, gives signs of life and is not paused has something at work.
    Busy { servers: Vec<BusyServer> },
    /// No server that could run it gives a sign of life.
    Silent { servers: Vec<SilentServer> },
    /// No worker runs on any server that could run it.
    NoWorker {
        /// Since when, as far as is known; absent where there never was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
        servers: Vec<Workerless>,
    },
    /// Another job of its group comes before it.
    GroupTurn { group: String, job: String },
    /// Nothing but the lack of a server that asks.
    Server(Turn),
}

impl Waiting {
    /// One sentence for people, without a final period.
    #[must_use]
    pub fn describe(&self, now: Timestamp) -> String {
        match self {
            Self::Needs { job, status: Some(status) } => format!("it needs `{job}`, which is {status}"),
            Self::Needs { job, status: None } => format!("it needs `{job}`, which is not in the queue"),
            Self::NotBefore { at, delay_seconds: None } => {
                format!("not before {}, {} from now", at.told(), show_span(at.since(now)))
            }
            Self::NotBefore { at, delay_seconds: Some(delay) } => format!(
                "not before the machine that claims it has seen it for {}: {} is by the clock of who added it, which is ahead",
                show_span(Duration::from_secs(*delay)),
                at.told()
            ),
            Self::BackingOff { at, attempts, attempts_max, last } => {
                let last = last.as_deref().map_or(String::new(), |reason| format!(" ended with {reason}"));
                format!(
                    "backing off until {}, {} from now: attempt {attempts} of {attempts_max}{last}",
                    at.told(),
                    show_span(at.since(now))
                )
            }
            Self::Group { group, job, may_still_run_on: None } => {
                format!("`{job}` of its group `{group}` is at work")
            }
            Self::Group { group, job, may_still_run_on: Some(server) } => format!(
                "`{job}` of its group `{group}` is cancelled, and {server} has not confirmed that it stopped"
            ),
            Self::Paused { what, told } => format!("{what} is paused {told}"),
            Self::Assignment { told } => {
                format!("nothing is claimed until it is released or taken over: {told}")
            }
            Self::Labels { missing } => format!("no server has the labels {}", missing.join(", ")),
            Self::Busy { servers } => {
                let told: Vec<String> = servers.iter().map(BusyServer::describe).collect();
                format!("every server that could run it is at work: {}", told.join("; "))
            }
            Self::Silent { servers } if servers.is_empty() => "no server belongs to the hub".to_owned(),
            Self::Silent { servers } => {
                let told: Vec<String> = servers.iter().map(|one| one.describe(now)).collect();
                format!("no server that could run it gives a sign of life: {}", told.join(", "))
            }
            Self::NoWorker { since: None, servers } => {
                let names: Vec<&str> = servers.iter().map(|one| one.server.as_str()).collect();
                let names = names.join(", ");
                format!("no worker runs on any server that could take it, and none ever has: {names}")
            }
            Self::NoWorker { since: Some(since), servers } => {
                let told: Vec<String> = servers.iter().map(|one| one.describe(now)).collect();
                format!(
                    "no worker runs on any server that could take it, since {}, {} ago: {}",
                    since.told(),
                    show_span(now.since(*since)),
                    told.join(", ")
                )
            }
            Self::GroupTurn { group, job } => format!("`{job}` of its group `{group}` is before it"),
            Self::Server(turn) => turn.describe(),
        }
    }

    /// Whether it waits for a job that will not be completed unless somebody does something.
    #[must_use]
    pub fn is_in_vain(&self) -> bool {
        match self {
            Self::Needs { status: Some(status), .. } => JobStatus::from(status.clone()).is_final(),
            Self::Needs { status: None, .. } => true,
            _ => false,
        }
    }
}

/// A look at the queue, with what is asked often computed once.
pub struct Queue<'a> {
    jobs: &'a Table<Job>,
    /// The first job of each id and where it stands: the one that every later step means.
    first_of: HashMap<&'a str, (usize, &'a JobStatus)>,
    /// The job of each group that is at work, or may still be although it is cancelled.
    busy: HashMap<&'a str, &'a Job>,
    pauses: Option<&'a Table<Pause>>,
    /// When each was added, as far as the order of all bears that out.
    added: Vec<Timestamp>,
    /// What has waited long enough, as whoever asks has seen.
    ripe: HashSet<&'a str>,
    now: Timestamp,
}

/// A job that was added with a delay by a clock that is ahead of ours: more than all of it is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delayed {
    pub job: JobId,
    /// For how long it is not to be claimed.
    pub delay: Duration,
    /// Names this delay.
    pub version: String,
}

impl<'a> Queue<'a> {
    /// The queue at `now`.
    #[must_use]
    pub fn new(jobs: &'a Table<Job>, now: Timestamp) -> Self {
        let rows = jobs.rows().enumerate().rev();
        let first_of = rows.map(|(index, job)| (job.id.as_str(), (index, &job.status))).collect();
        let held = jobs.rows().filter(|job| job.status.is_held());
        let stopping = jobs
            .rows()
            .filter(|job| job.may_still_run_at(now).is_some() && !planted("groups-without-the-cancelled"));
        let of_group = |job: &'a Record<Job>| Some((job.group.as_deref()?, &**job));
        // Of a group that has both, what is held is the one to tell.
        let busy = stopping.chain(held).filter_map(of_group).collect();
        Self { jobs, first_of, busy, pauses: None, added: added::added(jobs, now), ripe: HashSet::new(), now }
    }

    /// The same with what is paused.
    #[must_use]
    pub fn paused_by(self, pauses: &'a Table<Pause>) -> Self {
        Self { pauses: Some(pauses), ..self }
    }

    /// The same, of which these have waited as long as they were to.
    #[must_use]
    pub fn with_ripe(self, ripe: &'a [JobId]) -> Self {
        Self { ripe: ripe.iter().map(JobId::as_str).collect(), ..self }
    }

    /// The jobs whose delays have to be counted here: by the clock of who added them they would wait
    /// longer than they were to.
    #[must_use]
    pub fn delayed(&self) -> Vec<Delayed> {
        let delayed = |job: &Record<Job>| {
            let at = job.not_before.filter(|_| job.status == JobStatus::Queued)?;
            let delay = job.counted_delay(self.now)?;
            let job = JobId::new(&job.id).ok()?;
            Some(Delayed { job, delay, version: format!("{at} {}", delay.as_secs()) })
        };
        self.jobs.rows().filter_map(delayed).collect()
    }

    /// The jobs that a server with `labels` may claim now, the next one first.
    ///
    /// A second record with the id of another, which merges have left behind, is not among them:
    /// its id would claim the first, which may be running elsewhere. Nor is one whose id nobody
    /// could name in a later step.
    #[must_use]
    pub fn claimable(&self, labels: &[String]) -> Vec<&'a Record<Job>> {
        let mut ready = self.order(&labels.iter().map(String::as_str).collect());
        let mut groups = HashSet::new();
        // Of a group one at a time, even where several jobs are claimed at once.
        ready.retain(|job| job.group.as_deref().is_none_or(|group| groups.insert(group)));
        ready
    }

    /// What a server that has these labels could claim now if each were the only one of its group, the
    /// next one first.
    fn order(&self, have: &HashSet<&str>) -> Vec<&'a Record<Job>> {
        let mut ready: Vec<(Timestamp, usize, &Record<Job>)> = self
            .jobs
            .rows()
            .enumerate()
            .filter(|(_, job)| {
                let is_taken = planted("claims-the-claimed") && job.status.is_held();
                (job.status == JobStatus::Queued || is_taken) && self.waits_for(job).is_none()
            })
            .filter(|(index, job)| self.is_first(*index, &job.id) && JobId::new(&job.id).is_ok())
            // One that was made up with the last token there is can never change hands.
            .filter(|(_, job)| next_token(job.token, (Kind::Job, &job.id)).is_ok())
            .filter(|(_, job)| planted("labels-ignored") || missing_labels(job, have).is_empty())
            .map(|(index, job)| (self.due(index, job), index, job))
            .collect();
        ready.sort_unstable_by_key(|(due, index, _)| (*due, *index));
        ready.into_iter().map(|(_, _, job)| job).collect()
    }

    fn is_first(&self, index: usize, id: &str) -> bool {
        self.first_of.get(id).is_some_and(|(first, _)| *first == index)
    }

    /// When its turn is: so that a job comes before those that are one level more urgent and were added
    /// an [`AGEING_STEP`] later, whatever the time is for who asks.
    fn due(&self, index: usize, job: &Job) -> Timestamp {
        let added = self.added.get(index).copied().unwrap_or(self.now);
        added.plus(AGEING_STEP.saturating_mul(u32::try_from(job.priority.level()).unwrap_or(u32::MAX)))
    }

    /// What keeps a job from any server, if anything.
    #[must_use]
    pub fn waits_for(&self, job: &Job) -> Option<Waiting> {
        if planted("needs-ignored") {
            return self.pause(job);
        }
        self.unmet_needs(job).next().or_else(|| self.others(job).next())
    }

    /// What keeps it from any server besides its needs.
    fn others(&self, job: &Job) -> impl Iterator<Item = Waiting> {
        self.pause(job).into_iter().chain(self.group(job)).chain(self.paused(job))
    }

    fn group(&self, job: &Job) -> Option<Waiting> {
        let group = job.group.as_deref()?;
        let busy = self.busy.get(group).filter(|_| !planted("groups-ignored"))?;
        let may_still_run_on = busy.may_still_run_on().map(str::to_owned);
        Some(Waiting::Group { group: group.to_owned(), job: busy.id.clone(), may_still_run_on })
    }

    fn paused(&self, job: &Job) -> Option<Waiting> {
        let (what, pause) = pause_of_job(self.pauses?, job, self.now)?;
        Some(Waiting::Paused { what: what.named(), told: pause.describe(self.now) })
    }

    /// The jobs that must be completed before it.
    pub fn unmet_needs(&self, job: &Job) -> impl Iterator<Item = Waiting> {
        job.all_needs().filter_map(|need| {
            let status = self.first_of.get(need).map(|(_, status)| *status);
            let waiting = || Waiting::Needs { job: need.to_owned(), status: status.map(ToString::to_string) };
            let is_met = match status {
                Some(JobStatus::Completed) => true,
                Some(status) => status.is_final() && job.if_need_fails() == IfNeedFails::Run,
                None => false,
            };
            (!is_met).then(waiting)
        })
    }

    fn pause(&self, job: &Job) -> Option<Waiting> {
        let at = job.not_before.filter(|at| *at > self.now)?;
        if job.delay_seconds.is_some() && self.ripe.contains(job.id.as_str()) {
            return None;
        }
        // After a first attempt it is a pause between attempts, told by another's clock.
        let attempts = job.attempts.unwrap_or(0);
        if attempts == 0 {
            let delay_seconds = job.counted_delay(self.now).map(|delay| delay.as_secs());
            return Some(Waiting::NotBefore { at, delay_seconds });
        }
        let last = job.reason.clone();
        (at.since(self.now) <= pause_longest(attempts)).then(|| Waiting::BackingOff {
            at,
            attempts,
            attempts_max: job.attempts_max(),
            last,
        })
    }

    /// Everything that keeps a queued job waiting, with what keeps each of `servers` from it.
    #[must_use]
    pub fn explain_among(&self, job: &Job, servers: &[Candidate]) -> Vec<Waiting> {
        let labels: Vec<Vec<String>> = servers.iter().map(|server| server.labels.clone()).collect();
        let mut reasons = self.explain(job, &labels);
        if reasons.iter().any(|reason| matches!(reason, Waiting::Labels { .. })) {
            return reasons;
        }
        let able = |server: &&Candidate| {
            missing_labels(job, &server.labels.iter().map(String::as_str).collect()).is_empty()
        };
        let able: Vec<&Candidate> = servers.iter().filter(able).collect();
        let hindrances = candidates::hindrances(&able, !job.command.is_empty());
        if !hindrances.is_empty() {
            // That it is next says nothing when nobody is there to ask.
            reasons.retain(|reason| !matches!(reason, Waiting::Server(turn) if turn.is_next()));
            reasons.extend(hindrances);
        }
        for reason in &mut reasons {
            if let Waiting::Server(turn) = reason {
                turn.workers = candidates::idle_workers(&able);
            }
        }
        reasons
    }

    /// Everything that keeps a queued job waiting; `servers` are the labels of each server.
    #[must_use]
    pub fn explain(&self, job: &Job, servers: &[Vec<String>]) -> Vec<Waiting> {
        let mut reasons: Vec<Waiting> = self.unmet_needs(job).chain(self.others(job)).collect();
        let missing_everywhere = servers
            .iter()
            .map(|labels| missing_labels(job, &labels.iter().map(String::as_str).collect()))
            .min_by_key(Vec::len)
            .unwrap_or_else(|| job.labels.clone());
        if !missing_everywhere.is_empty() {
            reasons.push(Waiting::Labels { missing: missing_everywhere });
        }
        if reasons.is_empty() {
            reasons.push(match (&job.group, self.before_in_group(job)) {
                (Some(group), Some(other)) => {
                    Waiting::GroupTurn { group: group.clone(), job: other.to_owned() }
                }
                _ => Waiting::Server(self.turn(job)),
            });
        }
        reasons
    }
}

/// Calls off the queued jobs that want that when one they need ends without success: what needs `changed`
/// if that ended so, `changed` itself if it came back to the queue after one that it needs did, and what
/// needs those in turn. Returns the ids of what was called off, each with that of the job it needs.
pub fn call_off_dependents(jobs: &mut Table<Job>, changed: &str, now: Timestamp) -> Vec<(String, String)> {
    let mut called_off: Vec<(String, String)> = Vec::new();
    if planted("failure-spares") {
        return called_off;
    }
    let has_failed = |id: &str| jobs.get(id).is_some_and(|job| has_failed(job));
    let returned = jobs.get(changed).filter(|job| wants_to_be_called_off(job));
    let its_need = returned.and_then(|job| job.all_needs().find(|need| has_failed(need)));
    let mut open: Vec<(String, String)> =
        its_need.map(|need| (changed.to_owned(), need.to_owned())).into_iter().collect();
    if open.is_empty() && has_failed(changed) {
        open = dependents(jobs, changed);
    }
    while let Some((id, need)) = open.pop() {
        let why = Some(format!("`{need}`, which it needs, did not complete"));
        // The first of an id is the one that is meant; a second is left alone.
        if jobs.get_mut(&id).is_some_and(|job| job.edit(|job| job.cancel(why, now)).is_ok()) {
            open.extend(dependents(jobs, &id));
            called_off.push((id, need));
        }
    }
    called_off
}

fn has_failed(job: &Job) -> bool {
    job.status.is_final() && job.status != JobStatus::Completed
}

fn wants_to_be_called_off(job: &Job) -> bool {
    job.status == JobStatus::Queued && job.if_need_fails() == IfNeedFails::Cancel
}

/// What waits for `need` and wants to be called off when that fails.
fn dependents(jobs: &Table<Job>, need: &str) -> Vec<(String, String)> {
    let wants = |job: &&Record<Job>| wants_to_be_called_off(job) && job.all_needs().any(|id| id == need);
    jobs.rows().filter(wants).map(|job| (job.id.clone(), need.to_owned())).collect()
}

fn missing_labels(job: &Job, have: &HashSet<&str>) -> Vec<String> {
    job.labels.iter().filter(|label| !have.contains(label.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2025-10-29T12:00:00Z";

    fn table(jobs: &str) -> Table<Job> {
        Table::read("jobs.json", format!("{{\"jobs\":[{jobs}]}}").as_bytes()).expect(jobs)
    }

    fn order(jobs: &str, labels: &[&str]) -> Vec<String> {
        let table = table(jobs);
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let now = Timestamp::parse(NOW).expect("time");
        Queue::new(&table, now).claimable(&labels).into_iter().map(|job| job.id.clone()).collect()
    }

    fn job(id: &str, more: &str) -> String {
        format!("{{\"id\":\"{id}\",\"status\":\"queued\",\"created_at\":\"2025-10-29T11:59:00Z\"{more}}}")
    }

    #[test]
    fn urgent_first_then_first_in() {
        let jobs =
            [job("a", ""), job("b", ",\"priority\":1"), job("c", ""), job("d", ",\"priority\":\"low\"")]
                .join(",");
        assert_eq!(order(&jobs, &[]), ["b", "a", "c", "d"]);
    }

    #[test]
    fn a_second_record_with_the_id_of_another_is_never_claimed() {
        for first in ["claimed", "running", "completed"] {
            let twice = format!("{{\"id\":\"a\",\"status\":\"{first}\"}},{}", job("a", ""));
            assert!(order(&twice, &[]).is_empty(), "{first}");
        }
        assert_eq!(order(&[job("a", ""), job("a", "")].join(","), &[]), ["a"]);
        assert!(order(&[job("", ""), job("x\\ny", ""), job("../b", "")].join(","), &[]).is_empty());
    }

    #[test]
    fn who_waits_is_overtaken_for_a_quarter_of_an_hour_by_each_level_of_urgency() {
        let patient = |since: &str| {
            format!("{{\"id\":\"patient\",\"priority\":6,\"status\":\"queued\",\"created_at\":\"{since}\"}}")
        };
        for (waits_since, urgent, first) in [
            ("2025-10-29T11:44:01Z", 5, "urgent"),
            ("2025-10-29T11:44:00Z", 5, "patient"),
            ("2025-10-29T10:44:01Z", 1, "urgent"),
            ("2025-10-29T10:44:00Z", 1, "patient"),
        ] {
            let jobs =
                format!("{},{}", patient(waits_since), job("urgent", &format!(",\"priority\":{urgent}")));
            assert_eq!(order(&jobs, &[])[0], first, "{waits_since} {urgent}");
        }
    }

    #[test]
    fn no_clock_but_the_order_of_the_queue_makes_a_job_old() {
        let added = |id: &str, at: &str, more: &str| job(id, more).replace("2025-10-29T11:59:00Z", at);
        let urgent = |at: &str| added("urgent", at, ",\"priority\":1");
        let low = |at: &str| added("low", at, ",\"priority\":8");
        let now = "2025-10-29T11:59:00Z";
        for (rows, why) in [
            ([urgent(now), low("2025-10-29T09:59:00Z")], "the clock of the later writer is slow"),
            ([low(now), urgent("2025-10-29T09:59:00Z")], "that of the urgent one is"),
            ([low(now), urgent("2025-10-29T16:59:00Z")], "that of the urgent one is fast"),
            ([urgent("2025-10-29T16:59:00Z"), low(now)], "and it came first"),
            ([low(now), urgent("2025-10-31T12:00:00Z")], "it is days ahead"),
        ] {
            assert_eq!(order(&rows.join(","), &[]), ["urgent", "low"], "{why}");
        }
    }

    #[test]
    fn needs_time_and_labels_hold_a_job_back() {
        for (more, labels, claimable) in [
            (",\"needs\":[\"done\"]", vec![], true),
            (",\"dependencies\":\"done\"", vec![], true),
            (",\"needs\":[\"open\"]", vec![], false),
            (",\"needs\":[\"nowhere\"]", vec![], false),
            (",\"not_before\":\"2025-10-29T12:00:01Z\"", vec![], false),
            (",\"not_before\":\"2025-10-29T12:00:00Z\"", vec![], true),
            (",\"not_before\":\"2025-11-08T12:00:00Z\"", vec![], false),
            // No pause is longer than its attempt gives.
            (",\"not_before\":\"2025-10-29T12:00:16Z\",\"attempts\":1", vec![], false),
            (",\"not_before\":\"2025-10-29T12:00:17Z\",\"attempts\":1", vec![], true),
            (",\"not_before\":\"2025-10-29T13:06:00Z\",\"attempts\":9", vec![], false),
            (",\"not_before\":\"2025-10-29T13:06:01Z\",\"attempts\":9", vec![], true),
            (",\"labels\":[\"gpu\",\"arch=amd64\"]", vec!["gpu"], false),
            (",\"labels\":[\"gpu\"]", vec!["arch=amd64", "gpu"], true),
        ] {
            let jobs = format!(
                "{},{{\"id\":\"done\",\"status\":\"completed\"}},{{\"id\":\"open\",\"status\":\"failed\"}}",
                job("a", more)
            );
            assert_eq!(order(&jobs, &labels).contains(&"a".to_owned()), claimable, "{more}");
        }
    }

    #[test]
    fn a_delay_by_a_clock_that_is_ahead_is_counted_by_who_sees_the_job() {
        let delayed = |at: &str, more: &str| {
            job("a", &format!(",\"not_before\":\"2025-10-29T{at}Z\",\"delay_seconds\":10{more}"))
        };
        let now = Timestamp::parse(NOW).expect("time");
        let ripe = [JobId::new("a").expect("an id")];
        for (rows, is_counted_here, is_free_when_ripe) in [
            (delayed("14:00:10", ""), true, true),
            (delayed("12:00:11", ""), true, true),
            // As it should be.
            (delayed("12:00:10", ""), false, true),
            (delayed("11:00:00", ""), false, true),
            // A time, a pause after an attempt, a job at work.
            (job("a", ",\"not_before\":\"2025-10-29T14:00:00Z\""), false, false),
            (delayed("12:00:11", "").replace("queued", "running"), false, false),
        ] {
            let jobs = table(&rows);
            let queue = Queue::new(&jobs, now);
            assert_eq!(!queue.delayed().is_empty(), is_counted_here, "{rows}");
            assert_eq!(!queue.with_ripe(&ripe).claimable(&[]).is_empty(), is_free_when_ripe, "{rows}");
        }
    }

    #[test]
    fn a_group_works_at_one_job_at_a_time() {
        let grouped = |id: &str| job(id, ",\"group\":\"g\"");
        let both = [grouped("a"), grouped("b"), job("c", ",\"group\":\"h\""), job("d", "")].join(",");
        assert_eq!(order(&both, &[]), ["a", "c", "d"]);
        let busy = format!("{both},{{\"id\":\"e\",\"status\":\"running\",\"group\":\"g\"}}");
        assert_eq!(order(&busy, &[]), ["c", "d"]);
        let jobs = table(&busy);
        let queue = Queue::new(&jobs, Timestamp::parse(NOW).expect("time"));
        let waits = queue.explain(jobs.get("a").expect("a"), &[vec![]]);
        assert_eq!(waits, [Waiting::Group { group: "g".into(), job: "e".into(), may_still_run_on: None }]);
    }

    #[test]
    fn a_group_waits_for_what_was_cancelled_and_may_still_run() {
        let grouped = |id: &str| job(id, ",\"group\":\"g\"");
        let called_off = |more: &str| {
            format!(
                "{},{{\"id\":\"e\",\"status\":\"cancelled\",\"group\":\"g\",\"timeout_seconds\":100{more}}}",
                grouped("a")
            )
        };
        let held = ",\"assigned_to\":\"build1\",\"started_at\":\"2025-10-29T11:59:00Z\"";
        let over = ",\"assigned_to\":\"build1\",\"started_at\":\"2025-10-29T11:58:10Z\"";
        for (more, is_free) in [
            (String::new(), true),
            (held.to_owned(), false),
            (format!("{held},\"stopped_at\":\"2025-10-29T11:59:30Z\""), true),
            (over.to_owned(), true),
        ] {
            assert_eq!(order(&called_off(&more), &[]) == ["a"], is_free, "{more}");
        }
        let jobs = table(&called_off(held));
        let now = Timestamp::parse(NOW).expect("time");
        let waits = Queue::new(&jobs, now).explain(jobs.get("a").expect("a"), &[vec![]]);
        let told: Vec<String> = waits.iter().map(|one| one.describe(now)).collect();
        assert_eq!(told, ["`e` of its group `g` is cancelled, and build1 has not confirmed that it stopped"]);
        let running = "{\"id\":\"f\",\"status\":\"running\",\"group\":\"g\"}";
        for rows in [[&called_off(held), running], [running, &called_off(held)]] {
            let jobs = table(&rows.join(","));
            let waits = Queue::new(&jobs, now).explain(jobs.get("a").expect("a"), &[vec![]]);
            assert_eq!(waits[0].describe(now), "`f` of its group `g` is at work");
        }
    }

    #[test]
    fn what_is_paused_waits() {
        let jobs = table(&[job("a", ""), job("b", ",\"labels\":[\"gpu\"]")].join(","));
        let now = Timestamp::parse(NOW).expect("time");
        for (paused, expected) in
            [("", vec!["a", "b"]), ("label:gpu", vec!["a"]), ("queue", vec![]), ("server:x", vec!["a", "b"])]
        {
            let text = format!("{{\"pauses\":[{{\"id\":\"{paused}\",\"by\":\"ada\"}}]}}");
            let pauses = Table::read("pauses.json", text.as_bytes()).expect("pauses");
            let queue = Queue::new(&jobs, now).paused_by(&pauses);
            let ids: Vec<&str> =
                queue.claimable(&["gpu".to_owned()]).iter().map(|job| job.id.as_str()).collect();
            assert_eq!(ids, expected, "{paused}");
            let told = queue.explain(jobs.get("b").expect("b"), &[vec!["gpu".to_owned()]]);
            let is_told = matches!(told.as_slice(), [Waiting::Paused { .. }]);
            assert_eq!(is_told, !expected.contains(&"b"), "{told:?}");
        }
    }

    #[test]
    fn what_becomes_of_a_job_when_one_it_needs_fails_is_its_own_wish() {
        for (wish, status, claimable) in [
            ("wait", "failed", false),
            ("run", "failed", true),
            ("run", "dead", true),
            ("run", "cancelled", true),
            ("run", "running", false),
            ("cancel", "failed", false),
            ("a word", "failed", false),
        ] {
            let more = format!(",\"needs\":[\"x\"],\"if_need_fails\":\"{wish}\"");
            let jobs = format!("{},{{\"id\":\"x\",\"status\":\"{status}\"}}", job("a", &more));
            assert_eq!(order(&jobs, &[]).contains(&"a".to_owned()), claimable, "{wish} {status}");
        }
        let needs = |id: &str, need: &str, wish: &str| {
            job(id, &format!(",\"needs\":[\"{need}\"],\"if_need_fails\":\"{wish}\""))
        };
        let rows = [
            job("x", "").replace("queued", "failed"),
            needs("a", "x", "cancel"),
            needs("b", "a", "cancel"),
            needs("c", "a", "wait"),
            needs("d", "y", "cancel"),
            needs("e", "x", "cancel").replace("queued", "running"),
        ];
        let mut jobs = table(&rows.join(","));
        let now = Timestamp::parse(NOW).expect("time");
        let pair = |id: &str, need: &str| (id.to_owned(), need.to_owned());
        assert_eq!(call_off_dependents(&mut jobs, "x", now), [pair("a", "x"), pair("b", "a")]);
        let told = |id: &str| jobs.get(id).expect(id).error_message.clone();
        assert_eq!(told("b").as_deref(), Some("`a`, which it needs, did not complete"));
        assert_eq!(jobs.get("c").expect("c").status, JobStatus::Queued);
        assert_eq!(jobs.get("e").expect("e").status, JobStatus::Running);
        // It was at work when the other failed, and comes back to the queue.
        let mut jobs =
            table(&[rows.join(",").replace("running", "queued"), needs("f", "e", "cancel")].join(","));
        assert_eq!(call_off_dependents(&mut jobs, "e", now), [pair("e", "x"), pair("f", "e")]);
        assert_eq!(call_off_dependents(&mut jobs, "c", now), []);
    }

    #[test]
    fn a_wait_is_explained() {
        let jobs = table(
            &[job("a", ",\"needs\":[\"b\"],\"labels\":[\"gpu\"]"), job("b", ""), job("c", "")].join(","),
        );
        let now = Timestamp::parse(NOW).expect("time");
        let queue = Queue::new(&jobs, now);
        let explain = |id: &str, servers: &[Vec<String>]| queue.explain(jobs.get(id).expect(id), servers);
        assert_eq!(
            explain("a", &[vec!["arch=amd64".into()]]),
            [
                Waiting::Needs { job: "b".into(), status: Some("queued".into()) },
                Waiting::Labels { missing: vec!["gpu".into()] }
            ]
        );
        assert!(matches!(explain("c", &[vec![]]).as_slice(), [Waiting::Server(Turn { ahead: 1, .. })]));
        let at = now.plus(std::time::Duration::from_secs(90));
        for (waiting, told) in [
            (
                Waiting::Needs { job: "b".into(), status: Some("failed".into()) },
                "it needs `b`, which is failed",
            ),
            (Waiting::Needs { job: "b".into(), status: None }, "it needs `b`, which is not in the queue"),
            (
                Waiting::BackingOff { at, attempts: 1, attempts_max: 3, last: Some("lost".into()) },
                "backing off until 2025-10-29T12:01:30Z, 1m 30s from now: attempt 1 of 3 ended with lost",
            ),
            (
                Waiting::NotBefore { at, delay_seconds: None },
                "not before 2025-10-29T12:01:30Z, 1m 30s from now",
            ),
            (
                Waiting::NotBefore { at, delay_seconds: Some(10) },
                "not before the machine that claims it has seen it for 10s: 2025-10-29T12:01:30Z is by the clock of who added it, which is ahead",
            ),
            (Waiting::Labels { missing: vec!["gpu".into(), "x".into()] }, "no server has the labels gpu, x"),
        ] {
            assert_eq!(waiting.describe(now), told);
        }
    }

    #[test]
    fn what_keeps_each_server_from_a_job_is_told_beside_what_keeps_the_job() {
        use crate::domain::heartbeat::Freshness;
        let candidate = |server: &str, worker: Freshness, labels: &[&str]| Candidate {
            server: server.to_owned(),
            labels: labels.iter().map(ToString::to_string).collect(),
            life: Freshness::Fresh,
            last_heartbeat: None,
            worker,
            worker_at: None,
            worker_ended: None,
            has_scripts: false,
            paused: None,
            jobs: Vec::new(),
        };
        let now = Timestamp::parse(NOW).expect("time");
        let command = ",\"command\":[\"make\"]";
        let (works, never) = (Freshness::Fresh, Freshness::Unknown);
        let none = "no worker runs on any server that could take it, and none ever has: a";
        for (more, servers, expected) in [
            (command.to_owned(), vec![candidate("a", works, &[])], "it is next; if it stays so, "),
            (command.to_owned(), vec![candidate("a", never, &[])], none),
            // What has no command is for people and scripts, who need no worker.
            (String::new(), vec![candidate("a", never, &[])], "it is next; it has no command"),
            (
                format!("{command},\"labels\":[\"gpu\"]"),
                vec![candidate("a", never, &["gpu"]), candidate("b", works, &[])],
                none,
            ),
            (
                format!("{command},\"labels\":[\"tpu\"]"),
                vec![candidate("a", works, &["gpu"])],
                "no server has the labels tpu",
            ),
        ] {
            let jobs = table(&job("j", &more));
            let queued = jobs.get("j").expect("there");
            let told = Queue::new(&jobs, now).explain_among(queued, &servers);
            let told: Vec<String> = told.iter().map(|one| one.describe(now)).collect();
            assert!(told.len() == 1 && told[0].starts_with(expected), "{more}: {told:?}");
        }
    }
}
