//! One sentence for each refusal, without a final period: what stands in the way.

use crate::domain::lock::situation;
use crate::domain::message::KEY_LENGTH_MAX;
use crate::domain::pause::Pause;
use crate::domain::refusal::{
    Action, ConditionFailed, Expected, Holdable, Holding, Kind, LockCondition, Pausing, Refusal, Token,
    TooLong, Unusable,
};
use crate::domain::table::record_named;
use std::cmp::Ordering;

/// What stands in the way.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table: an arm for each refusal")]
pub(in crate::cli) fn sentence(refusal: &Refusal) -> String {
    match refusal {
        Refusal::JobNotFound { job, .. } => format!("there is no job `{job}`"),
        Refusal::NeededJobNotFound { need } => format!(
            "no job was added: the needed job `{}` is neither in the queue nor in the archive",
            need.escape_debug()
        ),
        Refusal::ServerNotFound { server, action } => no_server(server, *action),
        Refusal::LockNotFound { lock } => format!("there is no lock `{lock}`"),
        Refusal::MessageNotFound { message, action: Action::Show } => {
            format!("there is no message `{message}`")
        }
        Refusal::MessageNotFound { message, action } => {
            format!("{}: there is no message `{message}`", undone(*action))
        }
        Refusal::ArtifactsNotFound { job, known, run } => no_artifacts(job, *known, *run),
        Refusal::NotFound { kind: Kind::Status, id } => format!("server `{id}` has no status"),
        Refusal::NotFound { kind, id } => {
            format!("{} `{id}` is not in the history that was walked", noun(*kind))
        }
        Refusal::NothingToClaim { server, .. } => format!("there is no job for `{server}` to claim"),
        Refusal::ServerPaused(pause) => paused(pause),
        Refusal::NotPaused { what } => format!("{} is not paused", paused_thing(what)),
        Refusal::AlreadyDone { lock, at, .. } => format!("`{lock}` was done already, at {at}"),
        Refusal::LockHeld(held) => held.describe(),
        Refusal::LockNotWatched(held) => {
            format!(
                "{}, and this machine has not watched it for its lease; it was not taken",
                held.describe()
            )
        }
        Refusal::TokenExhausted { id, .. } => format!(
            "`{id}` cannot change hands: its token is the highest there is, which somebody must have made up"
        ),
        Refusal::NotHolder { kind: Kind::Lock, id, action, token, holder, .. } => {
            format!("lock `{id}` was not {}: {}", done(*action), situation(holder.as_deref(), Some(*token)))
        }
        Refusal::NotHolder { id, action, holder, caller, .. } => format!(
            "job `{id}` was not {}: it belongs to `{}`, not to `{caller}`",
            done(*action),
            holder.as_deref().unwrap_or("nobody")
        ),
        Refusal::JobFinished { job, status, action: Action::SetPriority } => {
            format!("the priority of job `{job}` was not changed: it is {status}")
        }
        Refusal::JobFinished { job, status, action: Action::RetryJob } => {
            format!("job `{job}` was not put back: it is {status}")
        }
        Refusal::JobFinished { job, status, .. } => {
            format!("job `{job}` was not cancelled: it is {status} already")
        }
        Refusal::JobNotFinished { job, status } => format!("job `{job}` was not put back: it is {status}"),
        Refusal::JobNotDead { job, status } => {
            format!("job `{job}` was not put back: it is {status}, not dead")
        }
        Refusal::JobNotCancelled { job, status } => {
            format!("job `{job}` was not confirmed: it is {status}, not cancelled")
        }
        Refusal::StopUnconfirmed { job, server, .. } => format!(
            "job `{job}` was not put back: it is cancelled, and {server} has not confirmed that it stopped"
        ),
        Refusal::ArtifactRequired { job, pattern } => format!(
            "job `{job}` was not completed: it must make `{}`, and no such file is among its artifacts",
            pattern.escape_debug()
        ),
        Refusal::JobNotClaimable { job, waits_for, .. } => {
            format!("job `{job}` was not claimed: {waits_for}")
        }
        Refusal::NeededJobFailed { need, .. } => {
            format!("no job was added: the needed job `{}` did not complete", need.escape_debug())
        }
        Refusal::NothingReclaimed { .. } => {
            "no job was taken back: the holders showed signs of life or finished".to_owned()
        }
        Refusal::AlreadyApplied { kind: Kind::Message, id, .. } => {
            format!("nothing was sent: message `{id}` is there already")
        }
        Refusal::AlreadyApplied { id, .. } => format!("no job was added: job `{id}` is there already"),
        Refusal::ServerNameTaken { server, host, is_same_host } => {
            name_taken(server, host.as_deref(), *is_same_host)
        }
        Refusal::ServerNameAlike { server, other } => format!(
            "not joined: `{server}` differs from server `{other}` only in upper and lower case, and some disks cannot tell their folders apart"
        ),
        Refusal::ServerBusy { server, kind, id } => {
            format!("server `{server}` was not removed: it holds {} `{id}`", noun(*kind))
        }
        Refusal::ServerNotRegistered { server } => {
            format!("server `{server}` does not belong to this hub; nothing was written")
        }
        Refusal::NotRecipient { message, from, to, caller, action } => format!(
            "message `{message}` was not {}: it is from `{from}` to `{to}`, not for `{caller}`",
            done(*action)
        ),
        Refusal::AutomaticReply { message } => format!(
            "nothing was sent: message `{message}` is from a machine, and machines do not answer machines"
        ),
        Refusal::StatusOutdated { server, status, at } => {
            format!("the status of `{server}` was not set to {status}: it was set again since, at {at}")
        }
        Refusal::PauseOver { until, present } => format!(
            "nothing was paused: by the clocks of those who wrote last it is {present}, and the pause would have been over at {until}"
        ),
        Refusal::ChangedSince { kind, id, then, now } => changed(*kind, id, then.as_deref(), now),
        Refusal::HubInUse { holds } => {
            format!("nothing was imported: the hub is in use, it holds {}", holdings(holds))
        }
        Refusal::RecordUnusable(record) => unusable(record),
        Refusal::AssignmentUnusable { lock, holder, problem } => format!(
            "nothing was claimed: lock `{lock}` is held by `{}`, and the rest of its record cannot be read: {problem}",
            holder.escape_debug()
        ),
        Refusal::DocumentTooLarge { path, bytes, limit, .. } => format!(
            "nothing was written: `{path}` would have {bytes} bytes, more than the {limit} that are read"
        ),
        Refusal::TooManyRecords { path, records, limit } => format!(
            "nothing was written: `{path}` would hold {records} records, more than the {limit} that are read"
        ),
        Refusal::ArchivesFull { path, last, .. } => {
            format!("nothing was written: `{path}` and the archives up to `{last}` are full")
        }
        Refusal::LogPathInvalid { job, path } => {
            format!("job `{job}` names a log that no worker writes: `{}`", path.escape_debug())
        }
        Refusal::ClaimsWithheld { cause, .. } => {
            format!(
                "{}; nothing was claimed",
                cause.as_deref().unwrap_or("this server may claim nothing now")
            )
        }
        Refusal::TokenSuperseded(token) | Refusal::TokenEnded(token) | Refusal::TokenNeverIssued(token) => {
            lost(token)
        }
        Refusal::LockConditionFailed(failed) => condition(failed),
        Refusal::SessionEnded { server } => format!(
            "another server ended the session of `{server}`, which gave no sign of life; nothing was claimed"
        ),
        Refusal::NameInvalid { kind, given, rule } => format!("{kind} `{given}` {rule}"),
        Refusal::ValueInvalid { action, field, given, expected } => value(*action, field, given, *expected),
        Refusal::PatternInvalid { given, why, .. } => {
            format!("no job was added: `{}` cannot be asked for: {why}", given.escape_debug())
        }
        Refusal::TextEmpty { action, field } => format!("{}: the {field} is empty", undone(*action)),
        Refusal::TextTooLong { action, field, length, limit } => too_long(*action, field, *length, *limit),
        Refusal::CharacterNotAllowed { action: Action::AddJobs, .. } => {
            "no job was added: a text of it holds a zero byte".to_owned()
        }
        Refusal::CharacterNotAllowed { action, field } => {
            format!("{}: the {field} holds a control character", undone(*action))
        }
        Refusal::CredentialFound { action, field, credential } => secret(*action, field, credential),
        Refusal::ListTooLong(list) => list_too_long(list),
        Refusal::BatchTooLarge { count, limit } => {
            format!("{count} jobs at once are more than the {limit} allowed; none was added")
        }
        Refusal::ExitCodeContradicts { job, action: Action::FailJob, .. } => {
            format!("job `{job}` was not reported: its exit code is 0; report it with `job complete`")
        }
        Refusal::ExitCodeContradicts { job, .. } => {
            format!("job `{job}` was not reported: its exit code is not 0; report it with `job fail`")
        }
        Refusal::OfJob { number, of, refusal } => format!("{} (job {number} of {of})", sentence(refusal)),
    }
}

/// Whether its sentence says that nothing was written.
#[must_use]
pub(in crate::cli) fn says_unwritten(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::ServerNotRegistered { .. }
            | Refusal::DocumentTooLarge { .. }
            | Refusal::TooManyRecords { .. }
            | Refusal::ArchivesFull { .. }
    )
}

/// Why a token is not the present one, when the last that was issued is `last`.
fn term_over(token: u64, last: Option<u64>) -> String {
    match token.cmp(&last.unwrap_or(0)) {
        Ordering::Less => format!("token {token} is from an earlier term"),
        Ordering::Equal => format!("the term of token {token} is over"),
        Ordering::Greater => format!("token {token} was never given"),
    }
}

/// What was not done, to begin a sentence with.
fn undone(action: Action) -> &'static str {
    match action {
        Action::AddJobs => "no job was added",
        Action::SendMessage => "nothing was sent",
        Action::MarkMessage | Action::AcknowledgeMessage => "nothing was marked",
        Action::Join => "not joined",
        Action::Pause => "nothing was paused",
        Action::ForgetArtifacts => "nothing was removed",
        Action::ReportJob | Action::RequeueJob => "nothing was reported",
        _ => "nothing was changed",
    }
}

/// What a thing was not, at the end of a sentence.
fn done(action: Action) -> &'static str {
    match action {
        Action::StartJob => "started",
        Action::CompleteJob => "completed",
        Action::FailJob => "failed",
        Action::ReportJob => "reported",
        Action::ReleaseJob | Action::ReleaseLock => "released",
        Action::RenewJob | Action::RenewLock => "renewed",
        Action::ConfirmStop => "confirmed",
        Action::CancelJob => "cancelled",
        Action::RetryJob | Action::RequeueJob => "put back",
        Action::ReclaimJob => "rescued",
        Action::MarkMessage => "marked",
        Action::AcknowledgeMessage => "acknowledged",
        Action::RemoveServer => "removed",
        _ => "changed",
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "job",
        Kind::Lock => "lock",
        Kind::Message => "message",
        Kind::Server => "server",
        Kind::Pause => "pause",
        Kind::Priority => "priority",
        Kind::Commit => "commit",
        Kind::Document => "document",
        Kind::Record => "record",
        Kind::Status => "status",
    }
}

fn no_artifacts(job: &str, known: bool, run: bool) -> String {
    match (known, run) {
        (true, true) => format!("job `{job}` made nothing that is kept, or it was pruned"),
        (true, false) => format!("no worker has run job `{job}`, and only they keep what jobs make"),
        (false, _) => format!(
            "nothing is known of what job `{job}` made, and it is neither in the queue nor in the archive"
        ),
    }
}

fn no_server(server: &str, action: Action) -> String {
    match action {
        Action::SendMessage => format!("nothing was sent: there is no server `{}`", server.escape_debug()),
        Action::Pause => format!("there is no server `{server}`; nothing was paused"),
        Action::Resume => format!("there is no server `{server}`; nothing was changed"),
        _ => format!("there is no server `{server}`"),
    }
}

/// `queue`, `label:gpu` or `server:build1` as a person says it.
fn paused_thing(what: &str) -> String {
    match what.split_once(':') {
        Some((kind, name)) => format!("{kind} `{name}`"),
        None => format!("the {what}"),
    }
}

fn paused(pause: &Pausing) -> String {
    let Pausing { server, by, since, until, note, at } = pause.clone();
    let pause = Pause { id: String::new(), by, at: since, note, until, drain: None };
    format!("server `{server}` is paused {}; nothing was claimed", pause.describe(at))
}

fn lost(lost: &Token) -> String {
    let Token { kind, id, action, token, last_token, status, holder } = lost;
    let why = term_over(*token, *last_token);
    let now = match status {
        Some(status) => {
            let holder =
                holder.as_ref().map_or(String::new(), |by| format!(" {} `{by}`", status.preposition()));
            format!("the job is {status}{holder} and its last token is {}", last_token.unwrap_or(0))
        }
        None => situation(holder.as_deref(), *last_token),
    };
    format!("{} `{id}` was not {}: {why}, {now}", noun(*kind), done(*action))
}

fn condition(failed: &ConditionFailed) -> String {
    let ConditionFailed { lock, token, cause, last_token, holder, expected_holder } = failed;
    let now = situation(holder.as_deref(), *last_token);
    match cause {
        LockCondition::NeverTaken => {
            format!("lock `{lock}` was never taken, so token {token} cannot hold it")
        }
        LockCondition::NotHeld => {
            format!(
                "lock `{lock}` is not held under token {token}: {}, {now}",
                term_over(*token, *last_token)
            )
        }
        LockCondition::SetBack => format!(
            "lock `{lock}` is not held by `{}`, which got token {token}: {now}, so the hub was set back since",
            expected_holder.as_deref().unwrap_or_default()
        ),
    }
}

fn name_taken(server: &str, host: Option<&str>, is_same_host: bool) -> String {
    let by = match host {
        Some(host) if is_same_host => {
            format!("another user of this machine, or another machine that is called `{host}` too")
        }
        Some(host) => format!("`{host}`"),
        None => "another machine".to_owned(),
    };
    format!("not joined: the name `{server}` is used by {by}")
}

fn changed(kind: Kind, id: &str, then: Option<&str>, now: &str) -> String {
    let what = match kind {
        Kind::Priority => format!("the priority of job `{id}`"),
        Kind::Pause => format!("the pause of {}", paused_thing(id)),
        kind => format!("{} `{id}`", noun(kind)),
    };
    let then = then.unwrap_or("nobody can tell how it stood");
    format!("{what} is not as it was when that was asked for: then {then}, now {now}; nothing was done")
}

fn unusable(record: &Unusable) -> String {
    let Unusable { action, subject, path, place, id, problem } = record;
    let what = match action {
        Action::RemoveServer => format!("server `{subject}` was not removed"),
        Action::ChangeLock => format!("lock `{subject}` counts as held, and nothing was changed"),
        Action::IssueToken => format!("nobody can tell the last token of lock `{subject}`"),
        Action::CheckLock => format!("nobody can tell who holds lock `{subject}`"),
        Action::ChangeJob => format!("nothing was done to job `{subject}`"),
        Action::Show => "nothing can be done with it".to_owned(),
        action => undone(*action).to_owned(),
    };
    format!("{what}: {}", record_named(path, place, id, problem))
}

/// `2 jobs, 1 message and 3 held locks`
pub(super) fn holdings(holds: &[Holding]) -> String {
    let told: Vec<String> = holds
        .iter()
        .map(|Holding { what, count }| {
            let (noun, rest) = match what {
                Holdable::Job => ("job", ""),
                Holdable::Message => ("message", ""),
                Holdable::Server => ("server", ""),
                Holdable::HeldLock => ("held lock", ""),
                Holdable::DoneOnce => ("mark", " of what was done once"),
                Holdable::UnreadablePause => ("pause", " that cannot be read"),
                Holdable::Archive => ("archive", ""),
            };
            format!("{count} {noun}{}{rest}", if *count == 1 { "" } else { "s" })
        })
        .collect();
    match told.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn value(action: Action, field: &str, given: &str, expected: Expected) -> String {
    let given = given.escape_debug();
    match (action, expected) {
        (_, Expected::JobStatus) => format!("`{given}` is no state of a job"),
        (_, Expected::Word) => format!("no job was added: the type `{given}` is no single word"),
        (_, Expected::AtLeastOne) => "no job was added: attempts and time must be at least 1".to_owned(),
        (_, Expected::Attempts) => {
            "nothing was removed: these are too many, or names that no worker gives".to_owned()
        }
        (Action::Pause, _) => format!("nothing was paused: the {field} is empty or holds a space"),
        (Action::Join, _) => format!("not joined: `{given}` is empty, too long or holds a control character"),
        (Action::SendMessage, _) => format!(
            "nothing was sent: the {field} must have 1 to {KEY_LENGTH_MAX} characters and no control character"
        ),
        (action, _) => {
            format!("{}: `{given}` is empty or holds a space or a control character", undone(action))
        }
    }
}

fn too_long(action: Action, field: &str, length: usize, limit: usize) -> String {
    match action {
        Action::AcquireLock => {
            format!("the {field} has more than {limit} characters; the lock was not taken")
        }
        Action::SendMessage => {
            format!("nothing was sent: the {field} has {length} characters, more than the {limit} allowed")
        }
        Action::Pause => format!("nothing was paused: a text has more than {limit} characters"),
        action => format!("{}: a text of it has more than {limit} characters", undone(action)),
    }
}

fn secret(action: Action, field: &str, credential: &str) -> String {
    match action {
        Action::AcquireLock => format!("the {field} seems to hold {credential}; the lock was not taken"),
        Action::SendMessage => format!(
            "nothing was sent: the {field} looks as if it holds {credential}, and a hub forgets nothing"
        ),
        Action::AddJobs => {
            let what = if field == "type" { "its type" } else { "it" };
            format!(
                "no job was added: {what} seems to hold {credential}, and everybody with access to the hub would read it"
            )
        }
        Action::ReportJob | Action::RequeueJob => {
            format!("nothing was reported: the text seems to hold {credential}")
        }
        action => format!("{}: a text seems to hold {credential}", undone(action)),
    }
}

fn list_too_long(list: &TooLong) -> String {
    let TooLong { action, limit, bytes_limit, .. } = list;
    match bytes_limit {
        Some(bytes) => format!(
            "nothing was reported: it names more than {limit} artifacts, or more than {bytes} bytes of names"
        ),
        None => format!("{}: a list of it has more than {limit} entries", undone(*action)),
    }
}
