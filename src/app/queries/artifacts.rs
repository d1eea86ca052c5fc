//! Questions about what jobs made, as the manifests tell that workers keep beside their logs.
//!
//! Manifests lie on the branches of logs, one of each server, which are fetched one by one: so the first
//! question says which of them to look at, and the second is asked of each.

use super::Query;
use crate::app::archived::{IdMatch, look_up};
use crate::app::commands::artifact::{attempts, manifest};
use crate::domain::artifact::{Comparison, Manifest, attempt_of_log, compare};
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::Job;
use crate::domain::refusal::Refusal;
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, Snapshot};
use serde::{Deserialize, Serialize};

/// Where to look for what a job made, or for all that jobs made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindBuilds {
    /// The job; all without it. What it made may be kept for longer than its record.
    pub job: Option<JobId>,
}

/// Where that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Places {
    /// What to ask.
    pub searches: Vec<ListBuilds>,
    job: Option<JobId>,
    /// Whether its record is there and can be read.
    is_known: bool,
    /// Whether the record names the attempt.
    is_told: bool,
}

impl Query for FindBuilds {
    type Answer = Places;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<Places, Abort> {
        let job = self.job.clone();
        let named = job.as_ref().map(|job| look_up::<Job>(documents, job.as_str())).transpose()?;
        let (is_known, log) = match named {
            Some(IdMatch::Record(job)) => (true, job.log.clone()),
            _ => (false, None),
        };
        let told = log.as_deref().and_then(|log| {
            let server = ServerName::new(log.split('/').next()?).ok()?;
            Some(ListBuilds { server, of: Attempts::This(attempt_of_log(log)?.to_owned()) })
        });
        if let Some(told) = told {
            return Ok(Places { searches: vec![told], job, is_known, is_told: true });
        }
        let of = job.clone().map_or(Attempts::All, Attempts::OfJob);
        let registry: Table<Server> = documents.table()?;
        let servers = registry.rows().filter_map(|server| ServerName::new(&server.id).ok());
        let searches = servers.map(|server| ListBuilds { server, of: of.clone() }).collect();
        Ok(Places { searches, job, is_known, is_told: false })
    }
}

impl Places {
    /// The newest build of the job among those that were found, the newest first.
    ///
    /// # Errors
    /// The refusal where there is none.
    pub fn newest(&self, builds: Vec<Build>) -> Result<Build, Refusal> {
        let job = self.job.as_ref().map_or("", JobId::as_str);
        let was_run = self.is_told || !builds.is_empty();
        if let Some(build) = builds.into_iter().find(|build| build.manifest.job == job) {
            return Ok(build);
        }
        Err(Refusal::ArtifactsNotFound { job: job.to_owned(), known: self.is_known, run: was_run })
    }
}

/// Which attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempts {
    All,
    /// This one.
    This(String),
    OfJob(JobId),
}

impl Attempts {
    fn is_meant(&self, attempt: &str) -> bool {
        match self {
            Self::All => true,
            Self::This(one) => one == attempt,
            Self::OfJob(job) => attempt.ends_with(&format!("-{}", job.as_str().replace(':', "_"))),
        }
    }
}

/// What a server keeps of what jobs made there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBuilds {
    /// The server. The branch of its logs has to be there.
    pub server: ServerName,
    /// Of which attempts.
    pub of: Attempts,
}

/// A manifest and where it was found.
#[derive(Debug, Clone, Serialize)]
pub struct Build {
    /// The server that keeps it.
    pub server: ServerName,
    /// The attempt, which names the folder there.
    pub attempt: String,
    /// What it says.
    pub manifest: Manifest,
}

/// What was found of one server.
#[derive(Debug, Serialize)]
pub struct ServerArtifacts {
    /// What can be read.
    pub builds: Vec<Build>,
    /// What is wrong with manifests that cannot be, which may be about anything.
    pub broken: Vec<String>,
}

impl ListBuilds {
    /// Reads.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn run(&self, snapshot: &Snapshot<'_>) -> Result<ServerArtifacts, Abort> {
        let mut kept = ServerArtifacts { builds: Vec::new(), broken: Vec::new() };
        let server = &self.server;
        for attempt in attempts(snapshot, server)?.into_iter().filter(|one| self.of.is_meant(one)) {
            match manifest(snapshot, server, &attempt) {
                Ok(Some(manifest)) => kept.builds.push(Build { server: server.clone(), attempt, manifest }),
                Ok(None) => {}
                Err(error) => kept.broken.push(error.to_string()),
            }
        }
        Ok(kept)
    }
}

/// The builds of several servers as one list, the newest first.
pub fn newest_first(builds: &mut [Build]) {
    builds.sort_by(|one, other| other.attempt.cmp(&one.attempt));
}

/// One line of the list of builds.
#[derive(Debug, Serialize)]
pub struct ListedBuild {
    /// What the manifest says, and which server keeps it.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// How many files it names.
    pub files: usize,
    /// How long they are together.
    pub bytes: u64,
}

impl From<Build> for ListedBuild {
    fn from(Build { server, manifest, .. }: Build) -> Self {
        let (files, bytes) = (manifest.artifacts.len(), manifest.bytes());
        Self { files, bytes, manifest: Manifest { server: server.to_string(), ..manifest } }
    }
}

/// How what two jobs made compares.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ArtifactComparison {
    /// The first job.
    pub first: String,
    pub second: String,
    /// Whether they made the same files bit by bit.
    pub same: bool,
    /// File by file.
    pub files: Vec<ComparedFile>,
}

/// How a file compares.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ComparedFile {
    /// Its name.
    pub file: String,
    pub state: Comparison,
}

impl ArtifactComparison {
    /// Compares two builds.
    #[must_use]
    pub fn of(first: &Build, second: &Build) -> Self {
        let (first, second) = (&first.manifest, &second.manifest);
        let files: Vec<ComparedFile> = compare(first, second)
            .into_iter()
            .map(|(file, state)| ComparedFile { file: file.to_owned(), state })
            .collect();
        let same = files.iter().all(|one| one.state == Comparison::Same);
        Self { first: first.job.clone(), second: second.job.clone(), same, files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::now;
    use crate::domain::table::Row as _;
    use serde_json::json;

    fn hub() -> MemoryDocuments {
        let jobs = [
            r#"{"id":"told","log":"b1/logs/20251110T110000Z-told.log"}"#,
            r#"{"id":"odd","log":"/etc/passwd"}"#,
            r#"{"id":"new"}"#,
        ];
        MemoryDocuments::default().rows(Job::PATH, "jobs", &jobs).rows(
            Server::PATH,
            "servers",
            &[r#"{"id":"b1"}"#, r#"{"id":"b2"}"#],
        )
    }

    fn places(job: Option<&str>) -> Places {
        let job = job.map(|job| JobId::new(job).expect("an id"));
        FindBuilds { job }.run(&hub(), now()).expect("reads")
    }

    fn build(job: &str, attempt: &str) -> Build {
        let manifest: Manifest = serde_json::from_value(json!({"job": job})).expect("a manifest");
        Build { server: ServerName::new("b1").expect("a name"), attempt: attempt.to_owned(), manifest }
    }

    #[test]
    fn a_build_is_looked_for_where_the_job_tells_and_otherwise_on_every_server() {
        for (job, expected) in [
            (Some("told"), json!([{"server": "b1", "of": {"this": "20251110T110000Z-told"}}])),
            (
                Some("new"),
                json!([{"server": "b1", "of": {"of_job": "new"}}, {"server": "b2", "of": {"of_job": "new"}}]),
            ),
            (
                Some("gone"),
                json!([{"server": "b1", "of": {"of_job": "gone"}}, {"server": "b2", "of": {"of_job": "gone"}}]),
            ),
            (None, json!([{"server": "b1", "of": "all"}, {"server": "b2", "of": "all"}])),
        ] {
            assert_eq!(json!(places(job).searches), expected, "{job:?}");
        }
        let of = Attempts::OfJob(JobId::new("job:1").expect("an id"));
        assert!(of.is_meant("20251110T110000Z-job_1") && !of.is_meant("20251110T110000Z-job_11"));
    }

    #[test]
    fn the_newest_build_of_the_job_itself_counts_and_where_there_is_none_it_is_told_why() {
        let found = places(Some("new")).newest(vec![build("other", "3-new"), build("new", "2-new")]);
        assert_eq!(found.map(|build| build.attempt), Ok("2-new".to_owned()));
        for (job, builds, expected) in [
            ("told", vec![], (true, true)),
            ("new", vec![], (true, false)),
            ("new", vec![build("other", "3-new")], (true, true)),
            ("gone", vec![], (false, false)),
        ] {
            let (job, (known, run)) = (job.to_owned(), expected);
            let refused = places(Some(&job)).newest(builds).expect_err("none");
            assert_eq!(refused, Refusal::ArtifactsNotFound { job, known, run });
        }
    }
}
