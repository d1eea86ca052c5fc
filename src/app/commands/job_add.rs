//! Adding jobs to the queue, one or many in one commit.

use crate::app::archived::{Left, bring_back_job, id_where};
use crate::app::commands::Verb;
use crate::domain::artifact::FilePattern;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{IfNeedFails, Job, JobStatus, Priority};
use crate::domain::planted::planted;
use crate::domain::refusal::Refusal;
use crate::domain::secret::credential_in;
use crate::domain::shell::typed;
use crate::domain::table::{Row as _, Table};
use crate::domain::time::{SPAN_MAX, Timestamp};
use crate::ledger::{Documents as _, Stop, Transaction};
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
    /// The jobs.
    pub jobs: Vec<NewJob>,
    /// Who adds them.
    pub requester: ServerName,
}

/// One added job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddedJob {
    /// Its id.
    pub id: String,
    /// Whether it was there already, by its key.
    pub duplicate: bool,
    /// Where it is in its life.
    pub status: JobStatus,
}

impl Verb for AddJobs {
    type Answer = Vec<AddedJob>;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Vec<AddedJob>, Stop> {
        if self.jobs.len() > JOBS_AT_ONCE_MAX {
            let why = format!(
                "{} jobs at once are more than the {JOBS_AT_ONCE_MAX} allowed; none was added",
                self.jobs.len()
            );
            return Err(Refusal::invalid(why).into());
        }
        let mut table: Table<Job> = transaction.table()?;
        // Ids come from their operation: this very one was applied before, and is not applied again.
        let first = new_id(transaction, 0)?;
        if table.rows().any(|job| job.id.starts_with(&first)) {
            let why = format!("no job was added: job `{first}` is there already");
            return Err(Refusal::forbidden(why).into());
        }
        let mut left = Left::default();
        let mut added = Vec::with_capacity(self.jobs.len());
        for (index, new) in self.jobs.iter().enumerate() {
            check(new).map_err(|refusal| match self.jobs.len() {
                1 => refusal,
                jobs => Refusal { why: format!("{} (job {} of {jobs})", refusal.why, index + 1), ..refusal },
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
    JobId::new(&id).map(|id| id.to_string()).map_err(|error| Refusal::invalid(error.to_string()))
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
            && let Some(failed) = new.needs.iter().find(|need| has_failed(need, table))
        {
            let why =
                format!("no job was added: the needed job `{}` did not complete", failed.escape_debug());
            return Err(Refusal::forbidden(why)
                .hint(format!("put it back with `git muster job retry {}`", typed(failed, "ID"))));
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
    left: &mut Left<Job>,
    transaction: &Transaction<'_>,
) -> Result<(), Stop> {
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
    by_key(table, need).map(|(id, _)| id).ok_or_else(|| {
        Refusal::not_found(format!(
            "no job was added: the needed job `{}` is neither in the queue nor in the archive",
            need.escape_debug()
        ))
        .hint(format!("see the ids with `git muster job list` ({})", Job::PATH))
    })
}

fn has_failed(need: &str, table: &Table<Job>) -> bool {
    let id = by_key(table, need).map_or_else(|| need.to_owned(), |(id, _)| id);
    let job = table.get(need).or_else(|| table.get(&id));
    job.is_some_and(|job| job.status.is_final() && job.status != JobStatus::Completed)
}

fn check(new: &NewJob) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::invalid(format!("no job was added: {why}")));
    if new.kind.is_empty() || !new.kind.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        return refuse(format!("the type `{}` is no single word", new.kind.escape_debug()));
    }
    if let Some(kind) = credential_in(&new.kind) {
        return refuse(format!(
            "its type seems to hold {kind}, and everybody with access to the hub would read it"
        ));
    }
    let texts = [&new.branch, &new.commit, &new.description, &new.key, &new.group];
    let all = texts.into_iter().flatten().chain(&new.command).chain(&new.labels).chain(&new.produces);
    for text in all {
        if text.chars().count() > TEXT_LENGTH_MAX {
            return refuse(format!("a text of it has more than {TEXT_LENGTH_MAX} characters"));
        }
        if text.contains('\0') {
            return refuse("a text of it holds a zero byte".to_owned());
        }
        if let Some(kind) = credential_in(text) {
            return refuse(format!(
                "it seems to hold {kind}, and everybody with access to the hub would read it"
            ));
        }
    }
    for one_line in [&new.branch, &new.commit, &new.key, &new.group].into_iter().flatten().chain(&new.labels)
    {
        if one_line.is_empty() || one_line.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refuse(format!(
                "`{}` is empty or holds a space or a control character",
                one_line.escape_debug()
            ));
        }
    }
    for pattern in &new.produces {
        if let Err(why) = pattern.parse::<FilePattern>() {
            return refuse(format!("`{}` cannot be asked for: {why}", pattern.escape_debug()));
        }
    }
    if [new.command.len(), new.needs.len(), new.labels.len(), new.produces.len()]
        .iter()
        .any(|length| *length > LIST_LENGTH_MAX)
    {
        return refuse(format!("a list of it has more than {LIST_LENGTH_MAX} entries"));
    }
    if new.max_attempts == Some(0) || new.timeout_seconds == Some(0) {
        return refuse("attempts and time must be at least 1".to_owned());
    }
    Ok(())
}
