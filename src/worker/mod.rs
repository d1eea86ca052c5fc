//! The worker: claims jobs, runs them, keeps what they print, and reports how they ended.
//!
//! The dispatcher owns all state and is the only one that talks to the hub; each job has an
//! executor of its own, which knows of nothing else. What may run is decided here, by who starts
//! the worker, never by who added a job. Nothing here prints or knows a command line.

mod active;
mod artifacts;
mod budget;
mod dispatcher;
mod executor;
mod hub;
mod log;
mod look;
mod place;
mod task;

pub use artifacts::ArtifactStore;
pub use budget::PushLimit;
pub use dispatcher::{Dispatcher, Summary, WorkerError};
pub use hub::WorkerHub;
pub use log::{LOG_BYTES_MAX, SECRET_BYTES_MAX, SECRET_BYTES_MIN};
pub use look::LeftBehind;
pub use task::CHECKOUT_COMMAND;

use crate::domain::allow::Allow;
use crate::domain::id::{JobId, ServerName};
use crate::domain::refusal::Refusal;
use crate::ledger::{Abort, Documents};
use std::path::PathBuf;
use std::time::Duration;

/// Whether a worker is at work on this machine at this [`Options::place`]: it gives its server's signs
/// of life.
#[must_use]
pub fn is_at_work(place: &str) -> bool {
    place::WorkerDir::is_taken(place)
}

/// The place of a worker that is gone, as long as nobody has looked at what it left in the hub.
#[derive(Debug)]
pub struct LostWorker {
    place: place::WorkerDir,
}

impl LostWorker {
    /// The worker of [`Options::place`] that is gone, if nobody has looked yet, and nothing that it
    /// started is alive. No other can begin there as long as this lives.
    #[must_use]
    pub fn find(place: &str) -> Option<Self> {
        place::WorkerDir::left(place).map(|place| Self { place })
    }

    /// What it left in the hub.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn left(&self, documents: &impl Documents, server: &ServerName) -> Result<LeftBehind, Abort> {
        Ok(LeftBehind::of(&documents.table()?, (server, &self.place.worker), &self.place.unsure))
    }

    /// All of that was told to the hub.
    pub fn forget(self) {
        self.place.clear();
    }
}

/// Who is told what the worker does: a line each.
pub trait Reporter {
    /// What happens.
    fn say(&self, words: &str);
    /// What should not.
    fn warn(&self, words: &str);
    /// The words of a refusal, for those lines and for what stays with a job.
    fn words(&self, refusal: &Refusal) -> String;
}

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many jobs at once.
    pub slots: usize,
    /// How long to pause between two looks at the queue.
    pub poll: Duration,
    /// Labels besides those the server joined with.
    pub labels: Vec<String>,
    /// What it runs.
    pub allow: Allow,
    /// One job in particular: it ends with that.
    pub job: Option<JobId>,
    /// It ends after its first claim, or when there is nothing to claim.
    pub once: bool,
    /// It ends after this long without a job.
    pub exit_when_idle: Option<Duration>,
    /// How long running jobs may go on when it is asked to end.
    pub drain: Duration,
    /// How long a job has to end when it is made to.
    pub grace: Duration,
    /// Further variables that jobs see.
    pub environment: Vec<String>,
    /// Variables whose values are masked in logs.
    pub masked: Vec<String>,
    /// How much of a job's log is kept.
    pub log_bytes_max: usize,
    /// The repository that jobs work on; a job that names a branch or a commit starts in a checkout.
    pub source: Option<String>,
    /// Where what jobs make is kept.
    pub keep: ArtifactStore,
    /// How many tags of good builds of a branch stay in the source; `None`: builds are not tagged.
    pub tags: Option<usize>,
    /// The address of the hub and its branch, which jobs are told: what they call has to be about the same.
    pub hub: (String, String),
    /// Names hub and server in folders of this machine: a server may belong to several hubs.
    pub place: String,
    /// Where the folders of jobs are made.
    pub folder: Option<PathBuf>,
    /// Whether they stay.
    pub keeps_folders: bool,
    /// How many pushes it sends, its signs of life among them; as many as there are when `None`.
    pub push_limit: Option<PushLimit>,
    /// Below this much free space nothing is claimed.
    pub free_bytes_min: u64,
}
