//! `git muster job list`, `show` and `explain`.

use crate::app::observations::Observations;
use crate::app::queries::OneRecord;
use crate::app::queries::jobs::{self, ExplainJob, JobFilter, ListJobs, ShowJob};
use crate::cli::broken;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::input::or_dash;
use crate::cli::output::{as_begun, clean};
use crate::cli::table::{facts, table};
use crate::cli::worker::judged;

use crate::domain::id::JobId;
use crate::domain::job::{Job, JobStatus};
use crate::domain::queue::Waiting;
use crate::domain::record::Record;
use crate::domain::shell::{typed, words};
use crate::domain::time::{Timestamp, show_span};
use crate::ledger::Documents;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job list --status queued
  git muster job list --json | jq -r '.[] | select(.priority < 3) | .id'")]
pub struct ListArgs {
    /// Only jobs with this status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only jobs assigned to this server
    #[arg(long, value_name = "SERVER")]
    pub assigned_to: Option<String>,
}

impl ListArgs {
    /// What is told when there are none.
    fn nothing(&self) -> String {
        match (self.status.as_ref(), self.assigned_to.as_ref()) {
            (None, None) => "no jobs".to_owned(),
            (Some(status), None) => format!("no {} jobs", JobStatus::from(status.to_ascii_lowercase())),
            _ => "no matching jobs".to_owned(),
        }
    }

    fn filter(&self) -> Result<JobFilter, CliError> {
        let status = self.status.as_deref().map(jobs::status_of).transpose()?;
        Ok(JobFilter { status: status.into_iter().collect(), server: self.assigned_to.clone() })
    }

    /// All jobs in one state.
    pub(super) fn of_status(status: &JobStatus) -> Self {
        Self { status: Some(status.to_string()), assigned_to: None }
    }
}

// A job by its id.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
}

/// Lists.
///
/// # Errors
/// When the hub cannot be read.
pub(super) fn list(args: &ListArgs, context: &mut Context) -> Result<(), CliError> {
    let filter = args.filter()?;
    let now = context.now();
    let jobs = context.ask(&ListJobs { filter, archived: false })?;
    let output = context.output;
    broken::tell_left_out(&jobs.left_out, output);
    let values = jobs.items.iter().map(|job| job.raw());
    output.list("job", values.chain(jobs.unreadable.iter().map(|one| one.shown.clone())), || {
        let mut shown: Vec<&Job> = jobs.items.iter().map(|job| &***job).collect();
        shown.sort_by_key(|job| job.status.is_final());
        let unreadable = jobs.unreadable.iter().map(|one| {
            let fields = ["priority", "type", "branch", "assigned_to"];
            let fields = fields.map(|name| broken::column(&one.shown, name));
            broken::row(&one.trouble, &[&["unreadable".to_owned()][..], &fields].concat())
        });
        let rows: Vec<Vec<String>> = shown
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
        table(&["JOB", "STATUS", "PRIORITY", "TYPE", "BRANCH", "SERVER", "DETAILS"], &rows)
    })
}

/// The job `id`, live or archived.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(in crate::cli) fn existing(id: &JobId, documents: &impl Documents) -> Result<Record<Job>, CliError> {
    Ok(jobs::existing(documents, id)?)
}

/// Shows one.
///
/// # Errors
/// When there is no such job.
pub(super) fn show(args: &OneArgs, context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let job = match context.ask(&ShowJob { id: args.job.clone() })? {
        OneRecord::Record(job) => job,
        OneRecord::Unreadable(one) => {
            let facts = || broken::facts_of(&one.shown, &one.trouble);
            return context.output.object("job", &one.shown, facts);
        }
    };
    let raw = job.raw();
    context.output.object("job", &raw, || {
        let joined = |list: &[String], by: &str| Some(list.join(by)).filter(|text| !text.is_empty());
        let needs: Vec<String> = job.all_needs().map(str::to_owned).collect();
        facts(&[
            ("job", Some(job.id.clone())),
            ("status", Some(job.status.to_string())),
            ("details", Some(job.situation(now))),
            ("stopped", job.confirmation()),
            ("type", Some(job.kind.clone())),
            ("description", job.description.clone()),
            ("priority", Some(job.priority.to_string())),
            ("branch", job.branch.clone()),
            ("commit", job.commit.clone()),
            ("command", job_command(&job)),
            ("needs", joined(&needs, ", ")),
            ("if a need fails", job.if_need_fails.clone()),
            ("group", job.group.clone()),
            ("labels", joined(&job.labels, ", ")),
            ("must produce", joined(&job.produces, ", ")),
            ("key", job.key.clone()),
            ("added", job.created_at.map(|at| at.told())),
            ("not before", not_before(&job, now)),
            ("started", job.started_at.map(|at| at.told())),
            ("finished", job.completed_at.map(|at| at.told())),
            ("duration", job.took().map(show_span)),
            ("timeout", job.timeout_seconds.map(|_| show_span(job.timeout()))),
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
    let query = ExplainJob { id: args.job.clone() };
    let asked = context.read(true, |snapshot| Ok(query.read(snapshot)?))?;
    let signs = asked.look.as_ref().map(|look| judged(look.seen.clone(), context)).transpose()?;
    let now = signs.as_ref().map_or_else(|| context.now(), |signs| signs.clock.now);
    let place = context.place()?.watched();
    let answer = asked.explain(signs.as_ref(), &place, &mut Observations::recall(&context.machine), now);
    context.output.object("job_explanation", &answer, || {
        let (job, waiting) = (&answer.job, &answer.waits_for);
        if waiting.is_empty() {
            return format!("{}\n", clean(&as_begun(&format!("{}: {}", job.id, standing(job, now)))));
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
    let advice = format!("requeue it with `git muster job dead retry {}`", typed(&job.id, "ID"));
    let advice = Some(advice).filter(|_| job.status == JobStatus::Dead);
    let more = job.confirmation().into_iter().chain(advice).map(|told| format!("; {told}"));
    let why = message.map_or(String::new(), |why| format!(": {}", why.replace('\n', " ")));
    format!("{}{why}{}", job.situation(now), more.collect::<String>())
}

/// Before when it is not claimed.
fn not_before(job: &Job, now: Timestamp) -> Option<String> {
    let at = job.not_before?.told();
    Some(match job.counted_delay(now) {
        Some(_) => format!("{at}, by the clock of the requester, which is ahead"),
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
            format!("; retry the needed job with `git muster job retry {}`", typed(job, "ID"))
        }
        Waiting::NoWorker { .. } => "; start one with `git muster worker run` on one of them".to_owned(),
        _ => String::new(),
    }
}
