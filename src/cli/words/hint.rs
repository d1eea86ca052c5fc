//! What to do about a refusal, with the command that does it.

use super::repair::MEND;
use crate::domain::job::{Job, JobStatus};
use crate::domain::refusal::{Action, Expected, Kind, Refusal};
use crate::domain::shell::typed;
use crate::domain::table::Row as _;

/// What the user can do about it, if there is something; may name commands in backticks.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table: an arm for each refusal")]
pub(in crate::cli) fn hint(refusal: &Refusal) -> Option<String> {
    Some(match refusal {
        Refusal::JobNotFound { .. } => {
            "list job ids with `git muster job list`; the archive was searched, too".to_owned()
        }
        Refusal::NeededJobNotFound { .. } => {
            format!("list job ids with `git muster job list` ({})", Job::PATH)
        }
        Refusal::ServerNotFound { action: Action::SendMessage, .. } => {
            "list server names with `git muster servers list`".to_owned()
        }
        Refusal::ServerNotFound { action: Action::ShowWorker, .. } => {
            "list server names with `git muster worker list`".to_owned()
        }
        Refusal::ServerNotFound { .. } => "list server names with `git muster servers list`".to_owned(),
        Refusal::LockNotFound { .. } => "list lock names with `git muster lock list`".to_owned(),
        Refusal::MessageNotFound { .. } => "list message ids with `git muster message list`".to_owned(),
        Refusal::ArtifactsNotFound { .. } => "list artifacts with `git muster artifact list`".to_owned(),
        Refusal::NotFound { kind: Kind::Status, .. } => {
            "list the status of all servers with `git muster status list`".to_owned()
        }
        Refusal::NotFound { .. } => "list the checked commits with `git log --first-parent`".to_owned(),
        Refusal::NothingToClaim { queued, .. } => return waiting(*queued),
        Refusal::ServerPaused(pause) => {
            format!("end the pause with `git muster worker resume {}`", pause.server)
        }
        Refusal::NotPaused { .. } => "list pauses with `git muster queue list`".to_owned(),
        Refusal::LockHeld(held) => format!(
            "wait for the lock with `--wait 2m`, or inspect it with `git muster lock show {}`",
            typed(&held.lock, "NAME")
        ),
        Refusal::LockNotWatched(held) => format!(
            "wait for it with `git muster lock acquire {} --wait 10m`; `--force` takes it at once, but both servers may then work at the same time until the holder's next renewal",
            held.lock
        ),
        Refusal::TokenExhausted { .. } => {
            "`git muster fsck` reports it, and `git muster fsck --mend` continues from a valid token"
                .to_owned()
        }
        Refusal::JobFinished { job, action: Action::RetryJob, .. } => format!(
            "run it a second time with `git muster job retry {} --again`; its result is kept in the record",
            typed(job, "ID")
        ),
        Refusal::JobNotFinished { job, status } if status.is_held() => {
            format!("cancel the job first with `git muster job cancel {}`", typed(job, "ID"))
        }
        Refusal::JobNotFinished { job, .. } => {
            format!("see what the job is waiting for with `git muster job explain {}`", typed(job, "ID"))
        }
        Refusal::JobNotDead { job, status } => put_back(job, status),
        Refusal::StopUnconfirmed { job, server, token, .. } => format!(
            "wait with `git muster job cancel {0} --wait`; if no process of the job is left, confirm with `git muster --server {1} job stopped {0} --token {token}`",
            typed(job, "ID"),
            typed(server, "SERVER")
        ),
        Refusal::ValueInvalid { expected: Expected::JobStatus, .. } => {
            "valid statuses: queued, claimed, running, completed, failed, cancelled, dead".to_owned()
        }
        Refusal::ArtifactRequired { .. } => {
            "name the artifact with `--artifact FILE`, or report `git muster job fail ID --reason missing_artifact`"
                .to_owned()
        }
        Refusal::JobNotClaimable { job, .. } => format!("see the details with `git muster job explain {job}`"),
        Refusal::NeededJobFailed { need, .. } => {
            format!("retry the needed job with `git muster job retry {}`", typed(need, "ID"))
        }
        Refusal::ServerNameTaken { .. } => {
            "choose another name with `--as`, or pass `--replace` if this machine replaces the other".to_owned()
        }
        Refusal::ServerBusy { server, kind, id } => busy(server, *kind, id),
        Refusal::ServerNotRegistered { server } => format!(
            "register it with `git muster join --as {server}`, or list server names with `git muster servers list`"
        ),
        Refusal::AutomaticReply { .. } => {
            "let a user answer, or send a new message without `--reply-to`".to_owned()
        }
        Refusal::StatusOutdated { .. } => "discard the operation with `git muster op drop ID`".to_owned(),
        Refusal::PauseOver { .. } => {
            "synchronize the clock of each machine: `git muster doctor clock clock-sync` checks this one, and reports clocks that differ; or pause without `--for`, until resumed".to_owned()
        }
        Refusal::ChangedSince { kind, id, .. } => {
            let look = match kind {
                Kind::Lock => format!("git muster lock show {id}"),
                Kind::Job | Kind::Priority => format!("git muster job show {id}"),
                Kind::Pause => "git muster queue list".to_owned(),
                _ => "git muster servers list".to_owned(),
            };
            format!("check with `{look}`, and repeat the command if it is still wanted")
        }
        Refusal::HubInUse { .. } => {
            "pass a hub without records with `--into`, or omit `--into` to fix the old hub itself"
                .to_owned()
        }
        Refusal::RecordUnusable(_) | Refusal::AssignmentUnusable { .. } => MEND.to_owned(),
        Refusal::DocumentTooLarge { kind: Kind::Document, .. } | Refusal::TooManyRecords { .. } => {
            "make room with `git muster archive`".to_owned()
        }
        Refusal::ArchivesFull { directory, .. } => {
            format!("delete archives that are no longer needed from `{directory}` in a clone, and push")
        }
        Refusal::SessionEnded { .. } => {
            "start a new session with `git muster heartbeat`, then claim again".to_owned()
        }
        Refusal::TextTooLong { action: Action::SendMessage, field: "subject", .. } => {
            "put the rest into the body".to_owned()
        }
        Refusal::TextTooLong { action: Action::SendMessage, .. } => {
            "write the text to a file and send the path".to_owned()
        }
        Refusal::CharacterNotAllowed { action: Action::SendMessage, .. } => {
            "keep the subject to one line of plain text; the body may have several lines".to_owned()
        }
        Refusal::CredentialFound { action: Action::SendMessage, .. } => {
            "send the place where it is stored instead; if the credential was ever exposed, replace it".to_owned()
        }
        Refusal::ListTooLong(list) if list.bytes_limit.is_some() => {
            "pack the files into an archive, and report that".to_owned()
        }
        Refusal::OfJob { refusal, .. } => return hint(refusal),
        Refusal::AlreadyDone { .. }
        | Refusal::NotHolder { .. }
        | Refusal::JobFinished { .. }
        | Refusal::JobNotCancelled { .. }
        | Refusal::NothingReclaimed { .. }
        | Refusal::AlreadyApplied { .. }
        | Refusal::ServerNameAlike { .. }
        | Refusal::NotRecipient { .. }
        | Refusal::DocumentTooLarge { .. }
        | Refusal::LogPathInvalid { .. }
        | Refusal::ClaimsWithheld { .. }
        | Refusal::TokenSuperseded(_)
        | Refusal::TokenEnded(_)
        | Refusal::TokenNeverIssued(_)
        | Refusal::LockConditionFailed(_)
        | Refusal::NameInvalid { .. }
        | Refusal::ValueInvalid { .. }
        | Refusal::PatternInvalid { .. }
        | Refusal::TextEmpty { .. }
        | Refusal::TextTooLong { .. }
        | Refusal::CharacterNotAllowed { .. }
        | Refusal::CredentialFound { .. }
        | Refusal::ListTooLong(_)
        | Refusal::BatchTooLarge { .. }
        | Refusal::ExitCodeContradicts { .. } => return None,
    })
}

/// How a job that is not dead goes back.
fn put_back(job: &str, status: &JobStatus) -> String {
    let job = typed(job, "ID");
    if status.is_held() {
        return format!("cancel the job first with `git muster job cancel {job}`");
    }
    let again = if *status == JobStatus::Completed { " --again" } else { "" };
    format!("requeue a finished job with `git muster job retry {job}{again}`")
}

fn waiting(queued: usize) -> Option<String> {
    let waiting = match queued {
        0 => return None,
        1 => "1 queued job".to_owned(),
        many => format!("{many} queued jobs"),
    };
    Some(format!(
        "{waiting} cannot start yet; see `git muster job list --status queued` and `git muster job explain ID`"
    ))
}

fn busy(server: &str, kind: Kind, id: &str) -> String {
    let way_out = match kind {
        Kind::Lock => format!("see who holds it with `git muster lock show {}`", typed(id, "NAME")),
        _ => format!("cancel the job with `git muster job cancel {}`", typed(id, "ID")),
    };
    format!(
        "{way_out}; if `{server}` is gone for good, `git muster servers remove {server} --force` requeues its jobs and releases its locks"
    )
}
