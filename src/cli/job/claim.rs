//! `git muster job claim` and `job wait`.

use crate::app::answer::plain;
use crate::app::commands::job_claim::{self, ClaimJobs};
use crate::app::commands::rescue::{Lost, Watched, watched_claims};
use crate::app::observations::Observations;
use crate::app::session::{Session, Whose};
use crate::app::watch::{
    WatchedLock, forget_claims, held_assignment, is_due, lost_claims, ripe_jobs, watch_assignment,
};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input;
use crate::cli::lock::wait_over;
use crate::cli::output::{Output, clean};
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::{Claimant, Job, JobStatus};
use crate::domain::lock::JOB_ASSIGNMENT;
use crate::domain::queue::Queue;
use crate::domain::table::Table;
use crate::domain::time::show_span;
use crate::ledger::Documents as _;
use crate::machine::clock::Deadline;
use crate::machine::{asked, random};
use clap::Args;
use serde_json::Value;
use std::time::Duration;

/// How long a waiter pauses at most between two looks at the queue.
const LOOK_PAUSE_LOCAL: Duration = Duration::from_millis(500);
/// The same over a network: forges ask for few requests.
const LOOK_PAUSE_REMOTE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job claim --json
  git muster job claim --label gpu --wait 50s
  if claim=$(git muster job claim --shell); then
    eval \"$claim\"; git muster job complete \"$MUSTER_JOB_ID\"
  fi

The job, this server's status and the job_assignment lock change in one commit. Every later step \
needs the token that is printed. Its command, labels and time-out are in --json only: the queue is \
written by others, and a shell should not come upon them by accident.
Exit code 3: there is nothing to claim.")]
pub struct ClaimArgs {
    /// One job in particular
    #[arg(value_name = "ID")]
    pub job: Option<JobId>,
    /// A label this server has besides those it joined with (can be repeated)
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// How long to wait for a job
    #[arg(long, value_name = "SPAN", value_parser = input::span)]
    pub wait: Option<Duration>,
    /// How many jobs at most
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,
    /// Begin at once: the job is running, not only claimed
    #[arg(long)]
    pub start: bool,
    /// Print lines for a shell to eval: MUSTER_JOB_ID, MUSTER_JOB_TOKEN, MUSTER_JOB_TYPE, ...
    #[arg(long, conflicts_with_all = ["json", "count"])]
    pub shell: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  git muster job wait job_1761_1804 --wait 2h")]
pub struct WaitArgs {
    /// The job
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// How long at most
    #[arg(long, value_name = "SPAN", value_parser = input::span, default_value = "1h")]
    pub wait: Duration,
}

/// Claims.
///
/// # Errors
/// When there is nothing to claim, or the hub cannot be used.
pub(super) fn run(args: &ClaimArgs, context: &mut Context) -> Result<(), CliError> {
    let me = context.acting()?;
    if args.shell && context.is_dry_run() {
        let why = "a dry run claims nothing, so there is nothing for a shell to eval";
        return Err(CliError::new(Exit::Usage, why).hint("look at what would be claimed with `--json`"));
    }
    context.require_outlet("nothing was claimed")?;
    let whose = context.whose(&me).map_err(CliError::nothing_written)?;
    let mut session = Session::present(&whose);
    let mut verb = ClaimJobs {
        claimant: Claimant { server: me.clone(), incarnation: session.incarnation.clone() },
        labels: args.labels.clone(),
        count: args.count.into(),
        job: args.job.clone(),
        start: args.start,
        expired_assignment: None,
        lost: Vec::new(),
        ripe: Vec::new(),
        by: None,
    };
    let until = Deadline::after(args.wait.unwrap_or_default());
    let mut observed = Observations::recall();
    let mut told = false;
    verb.lost = lost_meanwhile(&me, &mut observed, context)?;
    let claimed = loop {
        let error = match context.write_to_deliver(&verb) {
            // Lost jobs went back to the queue, and none can be claimed yet.
            Ok(receipt) if receipt.answer.is_empty() && !context.is_dry_run() => {
                context.forget(&receipt);
                verb.lost.clear();
                continue;
            }
            Ok(receipt) => break receipt,
            Err(error)
                if error.exit == Exit::LeaseLost
                    && begin_anew(&mut verb.claimant, (&mut session, &whose), context)? =>
            {
                continue;
            }
            // A rule of the hub does not change by waiting.
            Err(error) if matches!(error.exit, Exit::No | Exit::Refused) && !error.by_hub => error,
            Err(error) if error.exit == Exit::Contended && !until.passed() => error,
            Err(error) => return Err(error),
        };
        // Nothing to claim, or somebody is assigning: see whether a holder is lost.
        let ripe = watch_delays(&mut observed, context)?;
        if !ripe.is_empty() && ripe != verb.ripe {
            verb.ripe = ripe;
            continue;
        }
        let (assignment, lost) = watch(&me, &mut observed, context)?;
        let expired = assignment.as_ref().and_then(|seen| seen.expired.clone());
        if (expired.is_some() && expired != verb.expired_assignment)
            || (!lost.is_empty() && lost != verb.lost)
        {
            (verb.expired_assignment, verb.lost) = (expired, lost);
            continue;
        }
        if until.passed() {
            let error = error.after_waiting(args.wait);
            return Err(match assignment {
                Some(seen) => error.hint(held_up_hint(seen.left)),
                None => error,
            });
        }
        if !told {
            context.output.say(&format!("waiting: {}", error.message));
            told = true;
        }
        pause(until, context)?;
        // While it waited, the session may have been ended, and another begun.
        session.follow(&whose);
        verb.claimant.incarnation.clone_from(&session.incarnation);
    };
    context.deliver(&claimed, |output| print(&claimed.answer, args, output))
}

/// Whether the claimant's session was ended, as the hub says, and another begins.
fn begin_anew(
    claimant: &mut Claimant,
    (session, whose): (&mut Session, &Whose),
    context: &mut Context,
) -> Result<bool, CliError> {
    let whose = (!context.is_dry_run()).then_some(whose);
    let begins =
        context.recall(|snapshot| Ok(job_claim::begin_anew(claimant, (session, whose), snapshot)?))?;
    if begins {
        context.output.warn(&format!(
            "another server took `{}` for dead and ended its session: its jobs went back to the queue, a new session begins",
            claimant.server
        ));
    }
    Ok(begins)
}

/// What to do while somebody holds the lock under which jobs are assigned.
fn held_up_hint(left: Duration) -> String {
    format!(
        "if it is not released, this machine may take it over in {}: `git muster job claim --wait {}`; see it with `git muster lock show {JOB_ASSIGNMENT}`",
        show_span(left),
        wait_over(left)
    )
}

/// What lost servers hold, if it is time to look, whatever there is to claim: a queue that never runs dry
/// must not keep it.
fn lost_meanwhile(
    me: &ServerName,
    observed: &mut Observations,
    context: &mut Context,
) -> Result<Vec<Lost>, CliError> {
    if !is_due(observed, &context.place()?.watched()) {
        return Ok(Vec::new());
    }
    match watch(me, observed, context) {
        Ok((_, lost)) => Ok(lost),
        Err(error) if error.exit == Exit::Unreachable => Err(error),
        Err(error) => {
            context.output.warn(&format!("lost holders of jobs were not looked for: {}", error.message));
            Ok(Vec::new())
        }
    }
}

/// Pauses between two looks at the queue.
///
/// # Errors
/// When the hub cannot be opened.
pub(in crate::cli) fn pause(until: Deadline, context: &mut Context) -> Result<(), CliError> {
    let pause = if context.ledger()?.is_remote() { LOOK_PAUSE_REMOTE } else { LOOK_PAUSE_LOCAL };
    asked::idle((pause / 2 + random::up_to(pause / 2)).min(until.left()));
    Ok(())
}

/// Looks at the jobs that were added with a delay by a clock that is ahead; names those that this host
/// has seen for as long.
fn watch_delays(observed: &mut Observations, context: &mut Context) -> Result<Vec<JobId>, CliError> {
    let (now, place) = (context.now(), context.place()?.watched());
    let delayed = context.recall(|snapshot| {
        let jobs: Table<Job> = snapshot.table()?;
        Ok(Queue::new(&jobs, now).delayed())
    })?;
    let ripe = ripe_jobs(observed, &place, &delayed);
    observed.keep();
    Ok(ripe)
}

/// Looks at who holds what, and names what this host has watched unchanged for long enough; with it how
/// long the lock under which jobs are assigned was watched, if anybody holds it.
fn watch(
    me: &ServerName,
    observed: &mut Observations,
    context: &mut Context,
) -> Result<(Option<WatchedLock>, Vec<Lost>), CliError> {
    // Nothing is held by others: there is nobody to watch, and no need to ask the hub again.
    let held = context.recall(|snapshot| {
        let jobs: Table<Job> = snapshot.table()?;
        Ok(jobs.rows().any(|job| job.status.is_held()) || held_assignment(snapshot)?.is_some())
    })?;
    let place = context.place()?.watched();
    if !held {
        forget_claims(observed, &place, &[]);
        watch_assignment(observed, &place, None);
        observed.keep();
        return Ok((None, Vec::new()));
    }
    let (assignment, claims): (_, Vec<Watched>) =
        context.read(true, |snapshot| Ok((held_assignment(snapshot)?, watched_claims(snapshot, me)?)))?;
    let assignment = watch_assignment(observed, &place, assignment.as_ref());
    let lost = lost_claims(observed, &place, &claims);
    observed.keep();
    Ok((assignment, lost))
}

fn print(claimed: &[Value], args: &ClaimArgs, output: Output) -> Result<(), CliError> {
    let lines = || claimed.iter().map(|job| claim_line(job) + "\n").collect::<String>();
    let printed = match (args.count, claimed) {
        _ if args.shell => {
            let lines = claimed.iter().map(shell_lines).collect::<String>();
            output.object("job", &Value::Null, || lines)
        }
        (1, [job]) => return output.answer("job", job, lines),
        _ => output.list("job", claimed, lines),
    };
    printed.map_err(|error| error.undelivered().done_all_the_same(&lines()))
}

/// A claimed job in one line.
pub(in crate::cli) fn claim_line(job: &Value) -> String {
    let text = |key: &str| job.get(key).and_then(plain).map(|text| clean(&text)).unwrap_or_default();
    let line = format!("{} token {} {} {}", text("id"), text("token"), text("type"), text("description"));
    line.trim_end().to_owned()
}

/// Lines that a shell can eval. Everything is quoted: the queue is written by others.
fn shell_lines(job: &Value) -> String {
    const FIELDS: &[&str] = &["id", "token", "type", "branch", "commit", "description"];
    FIELDS
        .iter()
        .map(|field| {
            let text = job.get(*field).and_then(plain).unwrap_or_default();
            let quoted = clean(&text).replace('\'', r"'\''");
            format!("export MUSTER_JOB_{}='{quoted}'\n", field.to_ascii_uppercase())
        })
        .collect()
}

/// Waits for the end of a job.
///
/// # Errors
/// When there is no such job, or it is not finished in time.
pub(super) fn wait(args: &WaitArgs, context: &mut Context) -> Result<u8, CliError> {
    let until = Deadline::after(args.wait);
    loop {
        let job = context.read(false, |snapshot| super::show::existing(&args.job, snapshot))?;
        if job.status.is_final() {
            let now = context.now();
            context.output.object("job", &job.raw(), || format!("{} {}", job.id, job.situation(now)))?;
            return Ok(match (&job.status, job.exit_code) {
                (JobStatus::Completed, _) => 0,
                (_, Some(code)) => u8::try_from(code).ok().filter(|code| *code != 0).unwrap_or(1),
                (_, None) => 1,
            });
        }
        if until.passed() {
            return Err(CliError::new(
                Exit::Contended,
                format!("job `{}` is not finished: {}", args.job, job.situation(context.now())),
            )
            .after_waiting(Some(args.wait))
            .hint(format!("wait longer with `git muster job wait {} --wait 2h`", args.job)));
        }
        pause(until, context)?;
    }
}
