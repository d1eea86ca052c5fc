//! `git muster job list`, `show` and `explain`.

use crate::app::archived::{Named, look_up};
use crate::app::explain::Look;
use crate::cli::broken;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input::or_dash;
use crate::cli::output::{as_begun, clean};
use crate::cli::table::{facts, table};
use crate::cli::worker::judged;
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobStatus};
use crate::domain::queue::Waiting;
use crate::domain::record::Record;
use crate::domain::shell::{typed, words};
use crate::domain::table::Table;
use crate::domain::time::{Timestamp, show_span};
use crate::ledger::Documents;
use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job list --status queued
  git muster job list --json | jq -r '.[] | select(.priority < 3) | .id'")]
pub struct ListArgs {
    /// Only jobs in this state
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only jobs of this server
    #[arg(long, value_name = "SERVER")]
    pub assigned_to: Option<String>,
}

impl ListArgs {
    /// What is told when there are none.
    fn nothing(&self) -> String {
        match (self.status.as_ref(), self.assigned_to.as_ref()) {
            (None, None) => "there is no job".to_owned(),
            (Some(status), None) => format!("no job is {}", JobStatus::from(status.to_ascii_lowercase())),
            _ => "there is no such job".to_owned(),
        }
    }

    /// All jobs in one state.
    pub(super) fn of_status(status: &JobStatus) -> Self {
        Self { status: Some(status.to_string()), assigned_to: None }
    }
}

// A job by its id.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
}

/// Lists.
///
/// # Errors
/// When the hub cannot be read.
pub(super) fn list(args: &ListArgs, context: &mut Context) -> Result<(), CliError> {
    if let Some(JobStatus::Other(word)) =
        args.status.as_ref().map(|word| JobStatus::from(word.to_ascii_lowercase()))
    {
        return Err(CliError::new(Exit::Usage, format!("`{}` is no state of a job", word.escape_debug()))
            .hint("the states are queued, claimed, running, completed, failed, cancelled and dead"));
    }
    let now = context.now();
    let status = args.status.as_ref().map(|word| JobStatus::from(word.to_ascii_lowercase()));
    let jobs: Table<Job> = context.read(false, |snapshot| Ok(snapshot.table()?))?;
    let wanted = || {
        jobs.rows().filter(|job| {
            status.as_ref().is_none_or(|status| job.status == *status)
                && args.assigned_to.as_ref().is_none_or(|server| job.assigned_to.as_ref() == Some(server))
        })
    };
    let output = context.output;
    let is_filtered = args.status.is_some() || args.assigned_to.is_some();
    // What cannot be read is in no state and nobody's: it is told of, and listed with all.
    let (shown, left_out) = broken::among(&jobs, is_filtered);
    broken::tell(&left_out, output);
    output.list("job", wanted().map(|job| job.raw()).chain(shown.iter().map(|(raw, _)| raw.clone())), || {
        let mut jobs: Vec<&Job> = wanted().map(|job| &**job).collect();
        jobs.sort_by_key(|job| job.status.is_final());
        let unreadable = shown.iter().map(|(raw, trouble)| {
            let fields = ["priority", "type", "branch", "assigned_to"].map(|name| broken::column(raw, name));
            broken::row(trouble, &[&["unreadable".to_owned()][..], &fields].concat())
        });
        let rows: Vec<Vec<String>> = jobs
            .iter()
            .map(|job| {
                vec![
                    job.id.clone(),
                    job.status.to_string(),
                    job.priority.to_string(),
                    or_dash(Some(&job.kind)),
                    or_dash(job.branch.as_deref()),
                    or_dash(job.assigned_to.as_deref()),
                    job.situation(now),
                ]
            })
            .chain(unreadable)
            .collect();
        if rows.is_empty() {
            output.say(&args.nothing());
            return String::new();
        }
        table(&["JOB", "STATUS", "PRIORITY", "TYPE", "BRANCH", "SERVER", "SITUATION"], &rows)
    })
}

pub(in crate::cli) fn unknown(job: &JobId) -> CliError {
    CliError::new(Exit::No, format!("there is no job `{job}`"))
        .hint("see the ids with `git muster job list`; the archive was looked through as well")
}

/// The job `id`, live or archived.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(in crate::cli) fn existing(id: &JobId, documents: &impl Documents) -> Result<Record<Job>, CliError> {
    look_up::<Job>(documents, id.as_str())?.or_no(broken::no, || unknown(id))
}

/// Shows one.
///
/// # Errors
/// When there is no such job.
pub(super) fn show(args: &OneArgs, context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let job = match context.read(false, |snapshot| Ok(look_up::<Job>(snapshot, args.job.as_str())?))? {
        Named::Record(job) => job,
        Named::Unreadable(raw, trouble) => {
            return context.output.object("job", &raw, || broken::facts_of(&raw, &trouble));
        }
        Named::Nothing => return Err(unknown(&args.job)),
    };
    let raw = job.raw();
    context.output.object("job", &raw, || {
        let joined = |list: &[String], by: &str| Some(list.join(by)).filter(|text| !text.is_empty());
        let needs: Vec<String> = job.all_needs().map(str::to_owned).collect();
        facts(&[
            ("job", Some(job.id.clone())),
            ("status", Some(job.status.to_string())),
            ("situation", Some(job.situation(now))),
            ("stopped", job.confirmation()),
            ("type", Some(job.kind.clone())),
            ("description", job.description.clone()),
            ("priority", Some(job.priority.to_string())),
            ("branch", job.branch.clone()),
            ("commit", job.commit.clone()),
            ("command", job_command(&job)),
            ("needs", joined(&needs, ", ")),
            ("if one fails", job.if_need_fails.clone()),
            ("group", job.group.clone()),
            ("labels", joined(&job.labels, ", ")),
            ("must make", joined(&job.produces, ", ")),
            ("key", job.key.clone()),
            ("added", job.created_at.map(|at| at.told())),
            ("not before", not_before(&job, now)),
            ("started", job.started_at.map(|at| at.told())),
            ("ended", job.completed_at.map(|at| at.told())),
            ("took", job.took().map(show_span)),
            ("time-out", job.timeout_seconds.map(|_| show_span(job.timeout()))),
            ("server", job.assigned_to.clone()),
            ("token", job.token.map(|token| token.to_string())),
            ("attempts", job.attempts.map(|attempts| format!("{attempts} of {}", job.attempts_max()))),
            ("exit code", job.exit_code.map(|code| code.to_string())),
            ("message", job.error_message.clone()),
            ("artifacts", joined(&job.artifacts, ", ")),
            ("built commit", job.built_commit.clone()),
            ("added by", job.requester.clone()),
        ])
    })
}

/// Says why a job waits.
///
/// # Errors
/// When there is no such job.
pub(super) fn explain(args: &OneArgs, context: &mut Context) -> Result<(), CliError> {
    let (job, look) = context.read(true, |snapshot| {
        let job = existing(&args.job, snapshot)?;
        let look = if job.status == JobStatus::Queued { Some(Look::at(snapshot)?) } else { None };
        Ok((job, look))
    })?;
    let signs = look.as_ref().map(|look| judged(look.seen.clone(), context)).transpose()?;
    let now = signs.as_ref().map_or_else(|| context.now(), |signs| signs.clock.now);
    let place = context.place()?.watched();
    let waiting = look.iter().zip(&signs).flat_map(|(look, signs)| look.explain(&job, signs, &place));
    let waiting: Vec<Waiting> = waiting.collect();
    let mut value =
        json!({"id": job.id, "status": job.status, "situation": job.situation(now), "waits_for": waiting});
    if let (Some(server), Value::Object(fields)) = (job.may_still_run_on(), &mut value) {
        fields.insert("may_still_run_on".to_owned(), json!(server));
    }
    context.output.object("job_explanation", &value, || {
        if waiting.is_empty() {
            return format!("{}\n", clean(&as_begun(&format!("{}: {}", job.id, standing(&job, now)))));
        }
        let reasons =
            waiting.iter().map(|one| format!("{} waits: {}{}", job.id, one.describe(now), advice(one)));
        // A line each, whatever the hub holds.
        reasons.map(|line| format!("{}\n", clean(&as_begun(&line)))).collect()
    })
}

/// What became of a job that does not wait, and what puts one back that nobody else will.
fn standing(job: &Job, now: Timestamp) -> String {
    let message = job.error_message.as_ref().filter(|_| job.status.is_final());
    let advice = format!("put it back with `git muster job dead retry {}`", typed(&job.id, "ID"));
    let advice = Some(advice).filter(|_| job.status == JobStatus::Dead);
    let more = job.confirmation().into_iter().chain(advice).map(|told| format!("; {told}"));
    let why = message.map_or(String::new(), |why| format!(": {}", why.replace('\n', " ")));
    format!("{}{why}{}", job.situation(now), more.collect::<String>())
}

/// Before when it is not claimed.
fn not_before(job: &Job, now: Timestamp) -> Option<String> {
    let at = job.not_before?.told();
    Some(match job.counted_delay(now) {
        Some(_) => format!("{at}, by the clock of who added it, which is ahead"),
        None => at,
    })
}

/// The command as a shell would take it.
fn job_command(job: &Job) -> Option<String> {
    (!job.command.is_empty()).then(|| words(&job.command))
}

/// What ends a wait that nobody else will end.
fn advice(waiting: &Waiting) -> String {
    match waiting {
        Waiting::Needs { job, status: Some(_) } if waiting.is_in_vain() => {
            format!("; put that back with `git muster job retry {}`", typed(job, "ID"))
        }
        Waiting::NoWorker { .. } => "; `git muster worker run` on one of them starts one".to_owned(),
        _ => String::new(),
    }
}
