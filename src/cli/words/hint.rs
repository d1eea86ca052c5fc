//! What to do about a refusal, with the command that does it.

use crate::domain::job::{Job, JobStatus};
use crate::domain::refusal::{Action, Expected, Kind, Refusal};
use crate::domain::shell::typed;
use crate::domain::table::{MEND, Row as _};

/// What the user can do about it, if there is something; may name commands in backticks.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table: an arm for each refusal")]
pub(in crate::cli) fn hint(refusal: &Refusal) -> Option<String> {
    Some(match refusal {
        Refusal::JobNotFound { .. } => {
            "see the ids with `git muster job list`; the archive was looked through as well".to_owned()
        }
        Refusal::NeededJobNotFound { .. } => {
            format!("see the ids with `git muster job list` ({})", Job::PATH)
        }
        Refusal::ServerNotFound { action: Action::SendMessage, .. } => {
            "see who there is with `git muster servers list`".to_owned()
        }
        Refusal::ServerNotFound { action: Action::ShowWorker, .. } => {
            "see the names with `git muster worker list`".to_owned()
        }
        Refusal::ServerNotFound { .. } => "see the names with `git muster servers list`".to_owned(),
        Refusal::LockNotFound { .. } => "see the names with `git muster lock list`".to_owned(),
        Refusal::MessageNotFound { .. } => "see the ids with `git muster message list`".to_owned(),
        Refusal::ArtifactsNotFound { .. } => "see what is kept with `git muster artifact list`".to_owned(),
        Refusal::NotFound { kind: Kind::Status, .. } => {
            "see the servers with `git muster status list`".to_owned()
        }
        Refusal::NotFound { .. } => "see it with `git log --first-parent`".to_owned(),
        Refusal::NothingToClaim { queued, .. } => return waiting(*queued),
        Refusal::ServerPaused(pause) => {
            format!("end the pause with `git muster worker resume {}`", pause.server)
        }
        Refusal::NotPaused { .. } => "see what is with `git muster queue list`".to_owned(),
        Refusal::LockHeld(held) => format!(
            "wait with `--wait 2m`, or look with `git muster lock show {}`",
            typed(&held.lock, "NAME")
        ),
        Refusal::LockNotWatched(held) => format!(
            "wait for it with `git muster lock acquire {} --wait 10m`; `--force` takes it at once, and both may work at the same time until its holder renews",
            held.lock
        ),
        Refusal::TokenExhausted { .. } => {
            "`git muster fsck` names it, `git muster fsck --mend` has its tokens go on from a possible one"
                .to_owned()
        }
        Refusal::JobFinished { job, action: Action::RetryJob, .. } => format!(
            "`git muster job retry {} --again` has it done a second time; its result is kept in the record",
            typed(job, "ID")
        ),
        Refusal::JobNotFinished { job, status } if status.is_held() => {
            format!("call it off first with `git muster job cancel {}`", typed(job, "ID"))
        }
        Refusal::JobNotFinished { job, .. } => {
            format!("see why it waits with `git muster job explain {}`", typed(job, "ID"))
        }
        Refusal::JobNotDead { job, status } => put_back(job, status),
        Refusal::StopUnconfirmed { job, server, token, .. } => format!(
            "wait for that with `git muster job cancel {0} --wait`; if nothing of it runs, say so with `git muster --server {1} job stopped {0} --token {token}`",
            typed(job, "ID"),
            typed(server, "SERVER")
        ),
        Refusal::ValueInvalid { expected: Expected::JobStatus, .. } => {
            "the states are queued, claimed, running, completed, failed, cancelled and dead".to_owned()
        }
        Refusal::ArtifactRequired { .. } => {
            "name it with `--artifact FILE`, or report `git muster job fail ID --reason missing_artifact`"
                .to_owned()
        }
        Refusal::JobNotClaimable { job, .. } => format!("more with `git muster job explain {job}`"),
        Refusal::NeededJobFailed { need, .. } => {
            format!("put it back with `git muster job retry {}`", typed(need, "ID"))
        }
        Refusal::ServerNameTaken { .. } => {
            "choose another name with `--as`, or add `--replace` if this machine takes its place".to_owned()
        }
        Refusal::ServerBusy { server, kind, id } => busy(server, *kind, id),
        Refusal::ServerNotRegistered { server } => format!(
            "register it with `git muster join --as {server}`, or see the names with `git muster servers list`"
        ),
        Refusal::AutomaticReply { .. } => {
            "leave the answer to a person, or send a message that answers none".to_owned()
        }
        Refusal::StatusOutdated { .. } => "forget the operation with `git muster op drop ID`".to_owned(),
        Refusal::PauseOver { .. } => {
            "see that each machine takes its time from the network: `git muster doctor clock clock-sync` tells whether this one does, and whose clock is apart from it; or pause without `--for`, until it is resumed".to_owned()
        }
        Refusal::ChangedSince { kind, id, .. } => {
            let look = match kind {
                Kind::Lock => format!("git muster lock show {id}"),
                Kind::Job | Kind::Priority => format!("git muster job show {id}"),
                Kind::Pause => "git muster queue list".to_owned(),
                _ => "git muster servers list".to_owned(),
            };
            format!("look with `{look}`, and give the command anew if it is still meant")
        }
        Refusal::HubInUse { .. } => {
            "name a hub without records with `--into`, or leave `--into` out to mend the old hub in its place"
                .to_owned()
        }
        Refusal::RecordUnusable(_) | Refusal::AssignmentUnusable { .. } => MEND.to_owned(),
        Refusal::DocumentTooLarge { kind: Kind::Document, .. } | Refusal::TooManyRecords { .. } => {
            "make room with `git muster archive`".to_owned()
        }
        Refusal::ArchivesFull { directory, .. } => {
            format!("remove what nobody needs any more from `{directory}` in a clone, and push that")
        }
        Refusal::SessionEnded { .. } => {
            "a new one begins with `git muster heartbeat`; then claim again".to_owned()
        }
        Refusal::TextTooLong { action: Action::SendMessage, field: "subject", .. } => {
            "say the rest in the body".to_owned()
        }
        Refusal::TextTooLong { action: Action::SendMessage, .. } => {
            "put it into a file and send the path".to_owned()
        }
        Refusal::CharacterNotAllowed { action: Action::SendMessage, .. } => {
            "keep the subject to one line of plain text; the body may have several lines".to_owned()
        }
        Refusal::CredentialFound { action: Action::SendMessage, .. } => {
            "say where it is kept instead; if it was used anywhere in the open, replace it".to_owned()
        }
        Refusal::ListTooLong(list) if list.bytes_limit.is_some() => {
            "put many files into an archive, and name that".to_owned()
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
        return format!("call it off first with `git muster job cancel {job}`");
    }
    let again = if *status == JobStatus::Completed { " --again" } else { "" };
    format!("put a finished one back with `git muster job retry {job}{again}`")
}

fn waiting(queued: usize) -> Option<String> {
    let waiting = match queued {
        0 => return None,
        1 => "one queued job waits".to_owned(),
        many => format!("{many} queued jobs wait"),
    };
    Some(format!(
        "{waiting} for something else; see `git muster job list --status queued` and `git muster job explain ID`"
    ))
}

fn busy(server: &str, kind: Kind, id: &str) -> String {
    let way_out = match kind {
        Kind::Lock => format!("see who uses it with `git muster lock show {}`", typed(id, "NAME")),
        _ => format!("call the job off with `git muster job cancel {}`", typed(id, "ID")),
    };
    format!(
        "{way_out}; if `{server}` is gone for good, `git muster servers remove {server} --force` requeues its jobs and frees its locks"
    )
}
