//! Adding jobs to the queue, one or many in one commit.

use crate::app::archived::{ArchivesLeft, bring_back_job, id_where};
use crate::app::commands::WriteCommand;
use crate::domain::artifact::FilePattern;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{IfNeedFails, Job, JobStatus, Priority};
use crate::domain::planted::planted;
use crate::domain::refusal::{Action, Expected, Kind, Refusal, TooLong};
use crate::domain::secret::credential_in;
use crate::domain::table::Table;
use crate::domain::time::{SPAN_MAX, Timestamp};
use crate::ledger::{Abort, Documents as _, Transaction};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most jobs added at once.
pub const JOBS_AT_ONCE_MAX: usize = 10_000;
/// The longest text of a field, in characters.
const TEXT_LENGTH_MAX: usize = 10_000;
/// The most arguments, needs, labels or patterns of one job.
const LIST_LENGTH_MAX: usize = 1000;

/// A job to be added. The names are those of the document; a line of `job add --from` is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// `build`, `test`, `deploy` or another word.
    #[serde(rename = "type", default = "kind_build")]
    pub kind: String,
    /// A number from 1 to 10 or a word; normal when absent.
    #[serde(default, deserialize_with = "priority")]
    pub priority: Option<Priority>,
    /// The branch to work on.
    #[serde(default)]
    pub branch: Option<String>,
    /// The commit to work on.
    #[serde(default)]
    pub commit: Option<String>,
    /// Ids or keys of jobs that must be completed first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What becomes of it when one of those fails: `wait`, `cancel` or `run`.
    #[serde(default)]
    pub if_need_fails: Option<IfNeedFails>,
    /// Of the jobs of a group one is at work at a time.
    #[serde(default)]
    pub group: Option<String>,
    /// Labels a server must have.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Files it must make, as patterns.
    #[serde(default)]
    pub produces: Vec<String>,
    /// What it is about.
    #[serde(default)]
    pub description: Option<String>,
    /// How long one attempt may take.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// How often it is tried.
    #[serde(default)]
    pub max_attempts: Option<u64>,
    /// A second job with the same key is not added.
    #[serde(default)]
    pub key: Option<String>,
    /// Not to be claimed before.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// The same as a span from when it is added, which counts then.
    #[serde(default)]
    pub delay_seconds: Option<u64>,
    /// Program and arguments.
    #[serde(default)]
    pub command: Vec<String>,
}

/// The kind of a job that names none.
#[must_use]
pub fn kind_build() -> String {
    "build".to_owned()
}

/// What a person asks for is taken at its word or refused; only a hub is read leniently.
fn priority<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Priority>, D::Error> {
    let text = crate::domain::lenient::text(input)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// Adds jobs in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddJobs {
    pub jobs: Vec<NewJob>,
    /// Who adds them.
    pub requester: ServerName,
}

/// One added job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddedJob {
    pub id: String,
    /// Whether it was there already, by its key.
    pub duplicate: bool,
    /// Where it is in its life.
    pub status: JobStatus,
}

impl WriteCommand for AddJobs {
    type Answer = Vec<AddedJob>;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Vec<AddedJob>, Abort> {
        if self.jobs.len() > JOBS_AT_ONCE_MAX {
            let (count, limit) = (self.jobs.len(), JOBS_AT_ONCE_MAX);
            return Err(Refusal::BatchTooLarge { count, limit }.into());
        }
        let mut table: Table<Job> = transaction.table()?;
        // Ids come from their operation: this very one was applied before, and is not applied again.
        let first = new_id(transaction, 0)?;
        if table.rows().any(|job| job.id.starts_with(&first)) {
            let (kind, op) = (Kind::Job, transaction.op().to_string());
            return Err(Refusal::AlreadyApplied { kind, id: first, op }.into());
        }
        let mut left = ArchivesLeft::default();
        let mut added = Vec::with_capacity(self.jobs.len());
        for (index, new) in self.jobs.iter().enumerate() {
            check(new).map_err(|refusal| match self.jobs.len() {
                1 => refusal,
                of => Refusal::OfJob { number: index + 1, of, refusal: Box::new(refusal) },
            })?;
            let known = new.key.as_deref().and_then(|key| by_key(&table, key));
            if let Some((id, status)) = known {
                added.push(AddedJob { id, duplicate: true, status });
                continue;
            }
            for need in &new.needs {
                bring_back(need, &mut table, &mut left, transaction)?;
            }
            let id = new_id(transaction, index)?;
            let mut job = self.job(new, id.clone(), &table, transaction.present()?)?;
            if planted("looks-at-the-clock") {
                job.created_at = Some(crate::machine::clock::wall());
            }
            if planted("adds-twice") {
                table.push(job.clone());
            }
            table.push(job);
            added.push(AddedJob { id, duplicate: false, status: JobStatus::Queued });
        }
        left.put(transaction)?;
        transaction.put_table(&table)?;
        let fresh: Vec<&AddedJob> = added.iter().filter(|job| !job.duplicate).collect();
        match (fresh.as_slice(), self.jobs.as_slice()) {
            ([], _) => {}
            ([one], [new, ..]) => {
                let on = new.branch.as_deref().map_or(String::new(), |branch| format!(" on {branch}"));
                transaction.describe(format!("job add: {} ({}{on}) by {}", one.id, new.kind, self.requester));
            }
            (many, _) => transaction.describe(format!("job add: {} jobs by {}", many.len(), self.requester)),
        }
        for job in fresh.iter().take(TRAILERS_MAX) {
            transaction.trailer("Muster-Job", job.id.as_str());
        }
        Ok(added)
    }
}

/// How many jobs of one commit are named in its trailers.
const TRAILERS_MAX: usize = 100;

fn new_id(transaction: &Transaction<'_>, index: usize) -> Result<String, Refusal> {
    let base = format!("job_{}_{}", transaction.now().unix_seconds(), transaction.op().record_part());
    let id = if index == 0 { base } else { format!("{base}_{index}") };
    JobId::new(&id).map(|id| id.to_string()).map_err(Refusal::from)
}

fn by_key(table: &Table<Job>, key: &str) -> Option<(String, JobStatus)> {
    if planted("keys-of-jobs-ignored") {
        return None;
    }
    let known = table.rows().find(|job| job.key.as_deref() == Some(key))?;
    Some((known.id.clone(), known.status.clone()))
}

impl AddJobs {
    fn job(&self, new: &NewJob, id: String, table: &Table<Job>, now: Timestamp) -> Result<Job, Refusal> {
        let mut job = Job::new(id, new.kind.clone(), now);
        job.priority = new.priority.unwrap_or(Priority::NORMAL);
        job.branch.clone_from(&new.branch);
        job.commit.clone_from(&new.commit);
        if new.if_need_fails == Some(IfNeedFails::Cancel)
            && let Some((need, status)) = new.needs.iter().find_map(|need| failed(need, table))
        {
            return Err(Refusal::NeededJobFailed { need, status });
        }
        job.needs = new.needs.iter().map(|need| resolve(need, table)).collect::<Result<_, _>>()?;
        job.if_need_fails =
            new.if_need_fails.filter(|wish| *wish != IfNeedFails::Wait).map(|wish| wish.as_str().to_owned());
        job.group.clone_from(&new.group);
        job.labels.clone_from(&new.labels);
        job.produces.clone_from(&new.produces);
        job.description.clone_from(&new.description);
        job.timeout_seconds = new.timeout_seconds;
        job.max_attempts = new.max_attempts;
        job.key.clone_from(&new.key);
        job.delay_seconds = new.delay_seconds;
        let delay = new.delay_seconds.map(Duration::from_secs);
        job.not_before = delay.map_or(new.not_before, |delay| Some(now.plus(delay.min(SPAN_MAX))));
        job.command.clone_from(&new.command);
        job.requester = Some(self.requester.to_string());
        Ok(job)
    }
}

/// Takes a needed job that is archived back into the queue, where it stays for as long as it is needed.
fn bring_back(
    need: &str,
    table: &mut Table<Job>,
    left: &mut ArchivesLeft<Job>,
    transaction: &Transaction<'_>,
) -> Result<(), Abort> {
    if table.holds(need) || by_key(table, need).is_some() {
        return Ok(());
    }
    let is_meant = |job: &Job| job.id == need || job.key.as_deref() == Some(need);
    match id_where(transaction, is_meant)? {
        Some(id) => bring_back_job(&id, table, left, transaction),
        None => Ok(()),
    }
}

/// A need names a job that is there, by id or by key; so no circle can arise.
fn resolve(need: &str, table: &Table<Job>) -> Result<String, Refusal> {
    if table.get(need).is_some() {
        return Ok(need.to_owned());
    }
    let by_key = by_key(table, need).map(|(id, _)| id);
    by_key.ok_or_else(|| Refusal::NeededJobNotFound { need: need.to_owned() })
}

/// The need and how it ended, if that was without success.
fn failed(need: &str, table: &Table<Job>) -> Option<(String, JobStatus)> {
    let id = by_key(table, need).map_or_else(|| need.to_owned(), |(id, _)| id);
    let job = table.get(need).or_else(|| table.get(&id))?;
    let has_failed = job.status.is_final() && job.status != JobStatus::Completed;
    has_failed.then(|| (need.to_owned(), job.status.clone()))
}

fn check(new: &NewJob) -> Result<(), Refusal> {
    let action = Action::AddJobs;
    let invalid = |field: &'static str, given: &str, expected: Expected| {
        Err(Refusal::ValueInvalid { action, field, given: given.to_owned(), expected })
    };
    if new.kind.is_empty() || !new.kind.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        return invalid("type", &new.kind, Expected::Word);
    }
    if let Some(credential) = credential_in(&new.kind) {
        return Err(Refusal::CredentialFound { action, field: "type", credential });
    }
    let [branch, commit, key, group, description] = [
        ("branch", &new.branch),
        ("commit", &new.commit),
        ("key", &new.key),
        ("group", &new.group),
        ("description", &new.description),
    ]
    .map(|(field, text)| text.iter().map(move |text| (field, text)));
    let labels = new.labels.iter().map(|text| ("labels", text));
    let one_line = branch.chain(commit).chain(key).chain(group).chain(labels);
    let command = new.command.iter().map(|text| ("command", text));
    let produces = new.produces.iter().map(|text| ("produces", text));
    for (field, text) in one_line.clone().chain(description).chain(command).chain(produces) {
        check_text(field, text)?;
    }
    for (field, text) in one_line {
        if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return invalid(field, text, Expected::NoSpace);
        }
    }
    for pattern in &new.produces {
        if let Err(why) = pattern.parse::<FilePattern>() {
            return Err(Refusal::PatternInvalid { field: "produces", given: pattern.clone(), why });
        }
    }
    check_lists(new)?;
    for (field, number) in [("max_attempts", new.max_attempts), ("timeout_seconds", new.timeout_seconds)] {
        if number == Some(0) {
            return invalid(field, "0", Expected::AtLeastOne);
        }
    }
    Ok(())
}

fn check_text(field: &'static str, text: &str) -> Result<(), Refusal> {
    let action = Action::AddJobs;
    let (length, limit) = (text.chars().count(), TEXT_LENGTH_MAX);
    if length > limit {
        return Err(Refusal::TextTooLong { action, field, length, limit });
    }
    if text.contains('\0') {
        return Err(Refusal::CharacterNotAllowed { action, field });
    }
    match credential_in(text) {
        Some(credential) => Err(Refusal::CredentialFound { action, field, credential }),
        None => Ok(()),
    }
}

fn check_lists(new: &NewJob) -> Result<(), Refusal> {
    let lists = [
        ("command", &new.command),
        ("needs", &new.needs),
        ("labels", &new.labels),
        ("produces", &new.produces),
    ];
    match lists.iter().find(|(_, list)| list.len() > LIST_LENGTH_MAX) {
        Some((field, list)) => Err(Refusal::ListTooLong(TooLong {
            action: Action::AddJobs,
            field,
            count: list.len(),
            limit: LIST_LENGTH_MAX,
            bytes: None,
            bytes_limit: None,
        })),
        None => Ok(()),
    }
}
