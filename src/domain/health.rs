//! How a fleet is doing, from everything its hub holds: the judgement behind `health`.
//!
//! Each trouble is a finding with a cause that stays the same for as long as the trouble lasts,
//! so that a watcher can open one ticket for it and close it on recovery. Times of other hosts
//! are compared with ours only to warn; nothing here takes anything away from anybody. Who may
//! take over a lock or a job is `lock.rs`'s and `job.rs`'s.

mod documents;
mod jobs;
mod locks;
mod report;
mod servers;
mod standing;
mod workers;

pub use documents::Document;
pub use report::Report;

use super::clocks::{ClockChange, ClockSkew};
use super::finding::{About, Fact, Finding, FindingCode, FleetFact, Thing};
use super::heartbeat::{Freshness, Heartbeat};
use super::job::Job;
use super::lock::Lock;
use super::pause::Pause;
use super::queue::Queue;
use super::server::Server;
use super::status::Status;
use super::table::{Row as _, Table};
use super::time::Timestamp;
use std::collections::HashMap;

/// What is known of one server.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its newest beat, from wherever.
    pub heartbeat: Option<&'a Heartbeat>,
    /// Its status.
    pub status: Option<&'a Status>,
    /// A beat of it that cannot be read.
    pub broken: Option<Broken<'a>>,
    /// What was seen of its newest beat before.
    pub change: ClockChange,
    /// How the last sign of life of its worker is to be judged.
    pub worker: Freshness,
    /// When that was.
    pub worker_at: Option<Timestamp>,
}

impl<'a> Known<'a> {
    /// A server of which nothing was ever seen.
    fn unseen(name: &'a str) -> Self {
        Self {
            name,
            heartbeat: None,
            status: None,
            broken: None,
            change: ClockChange::First,
            worker: Freshness::Unknown,
            worker_at: None,
        }
    }
}

/// A beat that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken<'a> {
    /// What is wrong with it, and where it lies.
    pub why: &'a str,
}

/// Everything a hub holds that health is judged by.
#[derive(Debug, Clone)]
pub struct Fleet<'a> {
    /// The register. Only who stands in it is expected to beat.
    pub servers: &'a Table<Server>,
    /// Beats and statuses, of registered servers and of others.
    pub known: Vec<Known<'a>>,
    /// The live jobs.
    pub jobs: &'a Table<Job>,
    /// What is paused.
    pub pauses: &'a Table<Pause>,
    /// The locks.
    pub locks: &'a Table<Lock>,
    /// Servers that have a folder in use and are not registered.
    pub unregistered: &'a [Server],
    /// What was found of every document.
    pub documents: Vec<Document<'a>>,
    /// The reader's time, or that of the others when most of them agree on another.
    pub now: Timestamp,
    /// By how much the reader's clock is off, if it is.
    pub off: Option<ClockSkew>,
    /// The server that the reader is, if it is one.
    pub me: Option<&'a str>,
}

impl Fleet<'_> {
    /// Judges everything.
    #[must_use]
    pub fn judge(&self) -> Report {
        let known: HashMap<&str, Known<'_>> = self.known.iter().map(|known| (known.name, *known)).collect();
        let off = |off: &ClockSkew| {
            Finding::new(FleetFact::ClockOff(*off), About::new(Thing::Machine, "this machine"))
        };
        let mut findings: Vec<Finding> = self.off.iter().map(off).collect();
        for server in self.servers.rows() {
            let unseen = Known::unseen(&server.id);
            self.judge_server(known.get(server.id.as_str()).unwrap_or(&unseen), &mut findings);
        }
        let queue = Queue::new(self.jobs, self.now).paused_by(self.pauses);
        findings.extend(self.without_worker(&queue));
        findings.extend(self.standing_still(&queue));
        self.judge_jobs(&known, &queue, &mut findings);
        findings.extend(self.locks.rows().filter_map(|lock| self.expired(lock)));
        findings.extend(self.locks.rows().filter_map(|lock| self.held_up(lock)));
        findings.extend(self.documents.iter().flat_map(Document::judge));
        if self.is_register_known() {
            findings.extend(self.unregistered.iter().map(|server| self.unregistered(&server.id)));
        }
        let is_document_broken = findings.iter().any(|one| one.code() == FindingCode::DocumentBroken);
        if self.servers.is_empty() && !is_document_broken {
            findings.push(Finding::new(FleetFact::NoServers, About::new(Thing::Hub, "hub")));
        }
        Report::new(self.servers.rows().len(), findings)
    }

    /// Of a register that cannot be read nobody knows who is in it, who is not, and who could take a job.
    fn is_register_known(&self) -> bool {
        !self.documents.iter().any(|one| one.path == Server::PATH && one.wrong.is_some())
    }
}

/// A finding about a job, which concerns whoever holds it.
fn of_job(fact: impl Into<Fact>, job: &Job) -> Finding {
    Finding::new(fact, About::new(Thing::Job, &job.id).of(job.assigned_to.as_deref()))
}

#[cfg(test)]
mod tests;
