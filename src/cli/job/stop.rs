//! Waiting until nothing of a cancelled job runs any more.

use super::show::existing;
use crate::app::commands::job_step::ChangeJob;
use crate::app::flows::stop::{Event, JobView, Step, StopFlow};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::waiting::{self, FOR_JOBS};
use crate::domain::code::Code;
use crate::domain::job::Job;
use crate::domain::record::Record;
use serde_json::Value;
use std::time::Duration;

/// Cancels a job and waits until it is known that nothing of it runs any more; returns the job, and how that
/// is known, for people.
///
/// # Errors
/// When that is not known in time, or somebody put the job back.
pub(super) fn wait(
    cancel: ChangeJob,
    span: Duration,
    context: &mut Context,
) -> Result<(Value, String), CliError> {
    let id = cancel.job.clone();
    let mut flow = StopFlow::new(cancel, waiting::patience(span, FOR_JOBS, context)?);
    let mut found: Option<Record<Job>> = None;
    let mut event = Event::Begin;
    loop {
        let step = context.observe(|watch| flow.next(event, watch))?;
        event = match step {
            Step::Cancel(cancel) => {
                context.write(&cancel)?;
                Event::Cancelled
            }
            Step::Look => {
                let (job, seen) = context.read(true, |snapshot| {
                    let job = existing(&id, snapshot)?;
                    let seen = JobView::of(snapshot, &job)?;
                    Ok((job, seen))
                })?;
                found = Some(job);
                Event::Seen(seen)
            }
            Step::Wait(pause) => {
                waiting::rest(pause);
                Event::Waited
            }
            end => return told(&end, &found.expect("it ends after a look"), span),
        };
    }
}

/// How it ended, and how that is known.
fn told(end: &Step, job: &Record<Job>, span: Duration) -> Result<(Value, String), CliError> {
    let server = job.may_still_run_on().unwrap_or_default();
    match end {
        Step::Stopped => {
            Ok((job.raw(), job.confirmation().map_or(String::new(), |told| format!("; {told}"))))
        }
        Step::HolderLost => Ok((job.raw(), format!("; `{server}` is lost, and its jobs have been stopped"))),
        Step::PutBack => {
            let why = format!("job `{}` has been requeued in the meantime: it is {}", job.id, job.status);
            Err(CliError::new(Code::JobNotCancelled, why)
                .fact("job", job.id.as_str())
                .fact("status", job.status.to_string()))
        }
        _ => {
            let id = &job.id;
            let why = format!(
                "job `{id}` is cancelled, but not confirmed stopped: it may still be running on `{server}`"
            );
            Err(CliError::new(Code::WaitExpired, why)
                .fact("kind", "job")
                .fact("id", id.as_str())
                .fact("status", job.status.to_string())
                .fact("waited_seconds", span.as_secs())
                .after_waiting(Some(span))
                .hint(format!("wait longer with `git muster job cancel {id} --wait 1h`")))
        }
    }
}
