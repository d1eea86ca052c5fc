//! What is to be run, and how: the job as it was claimed, and what this worker adds to it.
//!
//! Everything an executor needs to know is worked out here, and nothing is done.

use super::artifacts::{ArtifactStore, KEPT_FOLDER};
use super::log::SECRET_BYTES_MIN;
use crate::domain::artifact::Manifest;
use crate::domain::job::Job;
use crate::machine::clock;
use crate::machine::environment;
use crate::machine::guard;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The hidden command of this program that makes checkouts.
pub const CHECKOUT_COMMAND: &str = "checkout";

/// The folders in that of a job: where it starts, without a checkout and with one.
const WORK_FOLDER: &str = "work";
const SOURCE_FOLDER: &str = "source";

/// The largest command that is given to the system, in bytes.
const COMMAND_BYTES_MAX: usize = 100 * 1024;

/// How much of a text of the hub a variable holds, in characters.
const VARIABLE_LENGTH_MAX: usize = 1000;

/// Variables of the worker that a job sees too.
const INHERITED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"];

/// What is to be run, and how.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// The job as it was claimed.
    pub job: Job,
    /// The fencing token of the claim.
    pub token: u64,
    /// The server that runs it.
    pub server: String,
    /// The address of the hub and its branch.
    pub hub: (String, String),
    /// The folder that is made for it.
    pub folder: PathBuf,
    /// A file that is locked as long as something of the job may live.
    pub alive: PathBuf,
    /// The repository that jobs work on, if there is one.
    pub source: Option<String>,
    /// Where what it makes is kept.
    pub keep: ArtifactStore,
    /// Further variables of the worker that the job sees.
    pub inherited: Vec<String>,
    /// Variables whose values are masked in the log.
    pub masked: Vec<String>,
    /// How long it has to end after it was asked to.
    pub grace: Duration,
    /// How long it has at most after the session of the worker is not trusted any more.
    pub lapsed_grace: Duration,
    /// When it was claimed, on the boot clock.
    pub asked: Duration,
    /// How much of its log is kept.
    pub log_bytes_max: usize,
    /// Whether its folder stays.
    pub keeps_folder: bool,
}

impl Task {
    /// The variables that tell the processes of this attempt from all others.
    pub(super) fn marks(&self) -> [String; 3] {
        [
            format!("MUSTER_SERVER={}", self.server),
            format!("MUSTER_JOB_ID={}", self.job.id),
            format!("MUSTER_JOB_TOKEN={}", self.token),
        ]
    }

    pub(super) fn mark_variables(&self) -> Vec<(OsString, OsString)> {
        let pair = |mark: &String| {
            mark.split_once('=').map(|(name, value)| (OsString::from(name), OsString::from(value)))
        };
        self.marks().iter().filter_map(pair).collect()
    }

    /// What is masked: the values line by line, as in the log.
    pub(super) fn secrets(&self) -> Vec<String> {
        let values = self.masked.iter().filter_map(|name| environment::variable(name));
        let lines: Vec<String> =
            values.flat_map(|value| value.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.into_iter().filter(|line| line.len() >= SECRET_BYTES_MIN).collect()
    }

    /// How much of its time is left.
    pub(super) fn limit(&self) -> Duration {
        self.job.timeout().saturating_sub(clock::since_boot().saturating_sub(self.asked))
    }

    /// Refuses texts of the hub that no system can take.
    pub(super) fn check(&self) -> Result<(), String> {
        let job = &self.job;
        if job.command.iter().any(|word| word.contains('\0')) {
            return Err("its command holds a zero byte".to_owned());
        }
        if job.command.iter().map(String::len).sum::<usize>() > COMMAND_BYTES_MAX {
            return Err(format!("its command has more than {COMMAND_BYTES_MAX} bytes"));
        }
        let mut names = [&job.branch, &job.commit].into_iter().flatten();
        if names.any(|name| name.contains('\0') || name.len() > VARIABLE_LENGTH_MAX) {
            return Err("its branch or commit is no name".to_owned());
        }
        Ok(())
    }

    /// The source, if the job is to work on a part of it.
    pub(super) fn source(&self) -> Option<&str> {
        self.source.as_deref().filter(|_| self.job.branch.is_some() || self.job.commit.is_some())
    }

    /// Where the job starts.
    pub(super) fn start_folder(&self) -> PathBuf {
        self.folder.join(if self.source().is_some() { SOURCE_FOLDER } else { WORK_FOLDER })
    }

    /// The command that checks out what the job is to work on, and the file into which it writes the
    /// commit.
    pub(super) fn checkout(&self) -> io::Result<(Vec<String>, PathBuf)> {
        let tell = self.alive.with_extension("commit");
        let path = |path: &Path| path.display().to_string();
        let mut command = vec![path(&guard::program()?), CHECKOUT_COMMAND.to_owned()];
        command.extend(self.job.branch.iter().map(|branch| format!("--wanted-branch={branch}")));
        command.extend(self.job.commit.iter().map(|commit| format!("--wanted-commit={commit}")));
        command.push(format!("--into={}", path(&self.start_folder())));
        command.push(format!("--tell={}", path(&tell)));
        command.push(format!("--limit-ms={}", self.limit().as_millis()));
        Ok((command, tell))
    }

    /// What is said of an attempt that worked on `commit` and ended with `code`, before what it made.
    pub(super) fn manifest(&self, commit: Option<&str>, code: u8) -> Manifest {
        Manifest {
            job: self.job.id.clone(),
            server: self.server.clone(),
            token: Some(self.token),
            at: None,
            branch: self.job.branch.clone(),
            commit: commit.map(str::to_owned).or_else(|| self.job.commit.clone()),
            exit_code: Some(i64::from(code)),
            folder: None,
            artifacts: Vec::new(),
        }
    }

    /// All of the job's environment, `commit` being what was checked out.
    pub(super) fn environment(&self, commit: Option<&str>) -> Vec<(OsString, OsString)> {
        let names = INHERITED.iter().copied().chain(self.inherited.iter().map(String::as_str));
        let mut variables: Vec<(OsString, OsString)> = names
            .filter_map(|name| Some((OsString::from(name), OsString::from(environment::variable(name)?))))
            .collect();
        let (hub, branch) = &self.hub;
        for (name, value) in [("MUSTER_HUB", hub), ("MUSTER_BRANCH", branch)] {
            // `--env` may say otherwise.
            if !self.inherited.iter().any(|inherited| inherited == name) {
                variables.push((OsString::from(name), OsString::from(value)));
            }
        }
        variables.extend(self.mark_variables());
        let job = &self.job;
        let mut tell = |name: &str, value: String| {
            variables.push((OsString::from(format!("MUSTER_{name}")), OsString::from(without_nul(&value))));
        };
        tell("JOB_TYPE", job.kind.clone());
        tell("JOB_ATTEMPT", job.attempts.unwrap_or(1).to_string());
        tell("JOB_BRANCH", job.branch.clone().unwrap_or_default());
        tell("JOB_COMMIT", commit.map(str::to_owned).or_else(|| job.commit.clone()).unwrap_or_default());
        tell("JOB_NEEDS", job.all_needs().collect::<Vec<_>>().join(" "));
        tell("ARTIFACTS", self.folder.join(KEPT_FOLDER).display().to_string());
        tell("JOB_DESCRIPTION", job.description.clone().unwrap_or_default());
        variables
    }
}

/// A text of the hub as a variable can hold it.
fn without_nul(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(VARIABLE_LENGTH_MAX).collect()
}
