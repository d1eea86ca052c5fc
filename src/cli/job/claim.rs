//! `git muster job claim` and `job wait`.

use crate::app::answer::plain;
use crate::app::commands::job_claim::ClaimJobs;
use crate::app::flows::PollPause;
use crate::app::flows::claim::{ClaimFlow, Event, HubView, LocalView, Step};
use crate::app::session::{Session, SessionKey};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::input;
use crate::cli::lock::wait_over;
use crate::cli::output::{Output, clean};
use crate::cli::waiting::{self, FOR_JOBS};
use crate::domain::code::Code;
use crate::domain::id::JobId;
use crate::domain::job::{Claimant, JobStatus};
use crate::domain::lock::JOB_ASSIGNMENT;
use crate::domain::time::show_span;
use crate::ledger::Receipt;
use crate::machine::{Deadline, Machine, clock};
use clap::Args;
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster job claim --json
  git muster job claim --label gpu --wait 50s
  if claim=$(git muster job claim --shell); then
    eval \"$claim\"; git muster job complete \"$MUSTER_JOB_ID\"
  fi

The job, this server's status and the job_assignment lock change in one commit. Every later step \
needs the printed token. The job's command, labels and timeout are only in --json: other servers \
write the queue, and a shell must not evaluate their text by accident.
Exit code 3 if there is nothing to claim.")]
pub struct ClaimArgs {
    /// Job to claim [default: the next one in the queue]
    #[arg(value_name = "ID")]
    pub job: Option<JobId>,
    /// Additional label of this server for this claim (can be repeated)
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Time to wait for a job [default: do not wait]
    #[arg(long, value_name = "DURATION", value_parser = input::span)]
    pub wait: Option<Duration>,
    /// Maximum number of jobs to claim
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,
    /// Also mark the job as running
    #[arg(long)]
    pub start: bool,
    /// Print assignments for a shell to eval: MUSTER_JOB_ID, MUSTER_JOB_TOKEN, MUSTER_JOB_TYPE, ...
    #[arg(long, conflicts_with_all = ["json", "count"])]
    pub shell: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  git muster job wait job_1761_1804 --wait 2h")]
pub struct WaitArgs {
    /// Job id
    #[arg(value_name = "ID")]
    pub job: JobId,
    /// Maximum time to wait
    #[arg(long, value_name = "DURATION", value_parser = input::span, default_value = "1h")]
    pub wait: Duration,
}

/// Claims.
///
/// # Errors
/// When there is nothing to claim, or the hub cannot be used.
pub(super) fn run(args: &ClaimArgs, context: &mut Context) -> Result<(), CliError> {
    let me = context.acting()?;
    if args.shell && context.is_dry_run() {
        return Err(nothing_to_eval());
    }
    context.require_outlet("nothing was claimed")?;
    let whose = context.whose(&me).map_err(CliError::nothing_written)?;
    let session = Session::present(&whose);
    let claim = ClaimJobs {
        labels: args.labels.clone(),
        count: args.count.into(),
        job: args.job.clone(),
        start: args.start,
        ..ClaimJobs::next(Claimant { server: me, incarnation: session.incarnation.clone() })
    };
    let patience = waiting::patience(args.wait.unwrap_or_default(), FOR_JOBS, context)?;
    let mut claiming = ClaimCommand {
        flow: ClaimFlow::of_command(claim, patience),
        wait: args.wait,
        whose,
        session,
        last: None,
        unseen: None,
        is_told: false,
    };
    let claimed = claiming.drive(context)?;
    context.deliver(&claimed, |output| print(&claimed.answer, args, output))
}

/// A claim that a command drives.
struct ClaimCommand {
    flow: ClaimFlow,
    wait: Option<Duration>,
    whose: SessionKey,
    session: Session,
    /// What came of the last claim.
    last: Option<Result<Receipt<Vec<Value>>, CliError>>,
    /// Why the hub was not seen, until it is clear what that means.
    unseen: Option<CliError>,
    /// Whether it was said that it waits.
    is_told: bool,
}

impl ClaimCommand {
    fn drive(&mut self, context: &mut Context) -> Result<Receipt<Vec<Value>>, CliError> {
        let mut event = Event::Begin;
        loop {
            let step = context.observe(|watch| self.flow.next(event, watch))?;
            event = match step {
                Step::Claim(claim) => self.claim(&claim, context),
                Step::Recall => {
                    let now = context.now();
                    let claimant = self.flow.claimant();
                    self.seen(Event::Known, context.recall(|hub| Ok(LocalView::of(hub, claimant, now)?)))
                }
                Step::Look => {
                    let me = &self.flow.claimant().server;
                    self.seen(Event::Seen, context.read(true, |hub| Ok(HubView::of(hub, me)?)))
                }
                Step::BeginAnew => {
                    self.begin_anew(context);
                    Event::Session(self.session.incarnation.clone())
                }
                Step::Wait(pause, _) => {
                    self.wait(pause, context.output);
                    Event::Session(self.session.incarnation.clone())
                }
                // A worker's way.
                Step::Reclaim(_) => Event::Reclaimed,
                Step::Done | Step::Refused => return self.end(),
                Step::TimeUp => return self.end().map_err(|error| self.too_late(error)),
            };
        }
    }

    fn claim(&mut self, claim: &ClaimJobs, context: &mut Context) -> Event {
        if let Some(error) = self.unseen.take() {
            context.output.warn(&format!("did not check for lost servers: {}", error.message));
        }
        match self.last.insert(context.write_to_deliver(claim)) {
            Ok(_) if context.is_dry_run() => Event::Claimed(1),
            Ok(receipt) => {
                if receipt.answer.is_empty() {
                    // Lost jobs went back to the queue, and none can be claimed yet.
                    context.forget(receipt);
                }
                Event::Claimed(receipt.answer.len())
            }
            Err(error) => Event::Failed(error.failure),
        }
    }

    fn seen<S>(&mut self, event: impl FnOnce(S) -> Event, seen: Result<S, CliError>) -> Event {
        match seen {
            Ok(seen) => event(seen),
            Err(error) => Event::Unseen(self.unseen.insert(error).failure),
        }
    }

    /// The claimant's session was ended, as the hub says, and another begins.
    fn begin_anew(&mut self, context: &Context) {
        self.session.leave(&self.flow.claimant().incarnation, &self.whose, !context.is_dry_run());
        context.output.warn(&format!(
            "another server considered `{}` lost and revoked its session; its jobs were requeued, and a new session starts",
            self.flow.claimant().server
        ));
    }

    fn wait(&mut self, pause: Option<PollPause>, output: Output) {
        if let Some(Err(error)) = self.last.as_ref().filter(|_| !self.is_told) {
            output.say(&format!("waiting: {}", error.message));
            self.is_told = true;
        }
        if let Some(pause) = pause {
            waiting::rest(pause);
        }
        // While it waited, the session may have been ended, and another begun.
        self.session.follow(&self.whose);
    }

    fn too_late(&self, error: CliError) -> CliError {
        let error = error.after_waiting(self.wait);
        match self.flow.held_up() {
            Some(left) => error.hint(held_up_hint(left)),
            None => error,
        }
    }

    fn end(&mut self) -> Result<Receipt<Vec<Value>>, CliError> {
        match self.unseen.take() {
            Some(error) => Err(error),
            None => self.last.take().expect("it ends after a claim or a look"),
        }
    }
}

fn nothing_to_eval() -> CliError {
    let why = "a dry run claims nothing, so there is nothing to eval";
    CliError::conflict("--shell", "job claim --dry-run", why).hint("see what would be claimed with `--json`")
}

/// What to do while somebody holds the lock under which jobs are assigned.
fn held_up_hint(left: Duration) -> String {
    format!(
        "if the lock is not released, this machine may take it over in {}: `git muster job claim --wait {}`; inspect it with `git muster lock show {JOB_ASSIGNMENT}`",
        show_span(left),
        wait_over(left)
    )
}

/// Pauses between two looks at the queue.
///
/// # Errors
/// When the hub cannot be opened.
fn pause(until: &Deadline, context: &mut Context) -> Result<(), CliError> {
    let patience = waiting::patience(until.left(), FOR_JOBS, context)?;
    if let Some(pause) = patience.next(clock::since_boot()) {
        waiting::rest(pause);
    }
    Ok(())
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
    let until = Machine::real().deadline(args.wait);
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
                Code::WaitExpired,
                format!("job `{}` is not finished: {}", args.job, job.situation(context.now())),
            )
            .fact("kind", "job")
            .fact("id", args.job.as_str())
            .fact("status", job.status.to_string())
            .fact("waited_seconds", args.wait.as_secs())
            .after_waiting(Some(args.wait))
            .hint(format!("wait longer with `git muster job wait {} --wait 2h`", args.job)));
        }
        pause(&until, context)?;
    }
}
