//! One sentence for each refusal, without a final period: what stands in the way.

use crate::domain::message::KEY_LENGTH_MAX;
use crate::domain::pause::Pause;
use crate::domain::refusal::{
    Action, ConditionFailed, Expected, Holdable, Holding, Kind, LockCondition, Pausing, Refusal, Token,
    TooLong, UnusableRecord,
};
use crate::domain::table::record_named;
use std::cmp::Ordering;

/// What stands in the way.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table: an arm for each refusal")]
pub(in crate::cli) fn sentence(refusal: &Refusal) -> String {
    match refusal {
        Refusal::JobNotFound { job, .. } => format!("job `{job}` not found"),
        Refusal::NeededJobNotFound { need } => format!(
            "no job was added: the needed job `{}` is neither in the queue nor in the archive",
            need.escape_debug()
        ),
        Refusal::ServerNotFound { server, action } => no_server(server, *action),
        Refusal::LockNotFound { lock } => format!("lock `{lock}` not found"),
        Refusal::MessageNotFound { message, action: Action::Show } => {
            format!("message `{message}` not found")
        }
        Refusal::MessageNotFound { message, action } => {
            format!("{}: message `{message}` not found", undone(*action))
        }
        Refusal::ArtifactsNotFound { job, known, run } => no_artifacts(job, *known, *run),
        Refusal::NotFound { kind: Kind::Status, id } => format!("server `{id}` has no status"),
        Refusal::NotFound { kind, id } => {
            format!("{} `{id}` is not in the checked part of the history", noun(*kind))
        }
        Refusal::NothingToClaim { server, .. } => format!("no job for `{server}` to claim"),
        Refusal::ServerPaused(pause) => paused(pause),
        Refusal::NotPaused { what } => format!("{} is not paused", paused_thing(what)),
        Refusal::AlreadyDone { lock, at, .. } => format!("`{lock}` is already done, since {at}"),
        Refusal::LockHeld(held) => held.describe(),
        Refusal::LockNotWatched(held) => {
            format!(
                "{}, and this machine has not yet watched it for its full lease; the lock was not taken",
                held.describe()
            )
        }
        Refusal::TokenExhausted { id, .. } => format!(
            "`{id}` cannot be acquired: it already has the highest possible token, which git-muster never issued"
        ),
        Refusal::NotHolder { kind: Kind::Lock, id, action, token, holder, .. } => {
            format!("cannot {} lock `{id}`: {}", verb(*action), held(holder.as_deref(), Some(*token)))
        }
        Refusal::NotHolder { id, action, holder, caller, .. } => format!(
            "cannot {} job `{id}`: it is held by `{}`, not by `{caller}`",
            verb(*action),
            holder.as_deref().unwrap_or("no server")
        ),
        Refusal::JobFinished { job, status, action: Action::SetPriority } => {
            format!("cannot change the priority of job `{job}`: the job is {status}")
        }
        Refusal::JobFinished { job, status, action: Action::RetryJob } => {
            format!("cannot retry job `{job}`: the job is {status}")
        }
        Refusal::JobFinished { job, status, .. } => {
            format!("cannot cancel job `{job}`: the job is already {status}")
        }
        Refusal::JobNotFinished { job, status } => format!("cannot retry job `{job}`: the job is {status}"),
        Refusal::JobNotDead { job, status } => {
            format!("cannot retry job `{job}`: the job is {status}, not dead")
        }
        Refusal::JobNotCancelled { job, status } => {
            format!("cannot confirm the stop of job `{job}`: the job is {status}, not cancelled")
        }
        Refusal::StopUnconfirmed { job, server, .. } => format!(
            "cannot retry job `{job}`: the job is cancelled, but `{server}` has not confirmed that it stopped"
        ),
        Refusal::ArtifactRequired { job, pattern } => format!(
            "cannot complete job `{job}`: none of its artifacts matches `{}`, which is required",
            pattern.escape_debug()
        ),
        Refusal::JobNotClaimable { job, waits_for, .. } => {
            format!("cannot claim job `{job}`: {waits_for}")
        }
        Refusal::NeededJobFailed { need, .. } => {
            format!("no job was added: the needed job `{}` did not complete", need.escape_debug())
        }
        Refusal::NothingReclaimed { .. } => {
            "no job was reclaimed: the holders have sent heartbeats or finished".to_owned()
        }
        Refusal::AlreadyApplied { kind: Kind::Message, id, .. } => {
            format!("nothing was sent: message `{id}` already exists")
        }
        Refusal::AlreadyApplied { id, .. } => format!("no job was added: job `{id}` already exists"),
        Refusal::ServerNameTaken { server, host, is_same_host } => {
            name_taken(server, host.as_deref(), *is_same_host)
        }
        Refusal::ServerNameAlike { server, other } => format!(
            "not joined: `{server}` differs from server `{other}` only in case, and some file systems cannot distinguish their directories"
        ),
        Refusal::ServerBusy { server, kind, id } => {
            format!("cannot remove server `{server}`: it holds {} `{id}`", noun(*kind))
        }
        Refusal::ServerNotRegistered { server } => {
            format!("server `{server}` is not registered in this hub; nothing was written")
        }
        Refusal::NotRecipient { message, from, to, caller, action } => format!(
            "cannot {} message `{message}`: it is from `{from}` to `{to}`, not for `{caller}`",
            verb(*action)
        ),
        Refusal::AutomaticReply { message } => format!(
            "nothing was sent: message `{message}` is automatic, and automatic messages are not answered automatically"
        ),
        Refusal::StatusOutdated { server, status, at } => {
            format!("cannot set the status of `{server}` to {status}: it was set again at {at}")
        }
        Refusal::PauseOver { until, present } => format!(
            "nothing was paused: by the clocks of the latest writers it is {present}, and the pause would have ended at {until}"
        ),
        Refusal::ChangedSince { kind, id, then, now } => changed(*kind, id, then.as_deref(), now),
        Refusal::HubInUse { holds } => {
            format!("nothing was imported: the hub is in use; it contains {}", holdings(holds))
        }
        Refusal::RecordUnusable(record) => unusable(record),
        Refusal::AssignmentUnusable { lock, holder, problem } => format!(
            "nothing was claimed: lock `{lock}` is held by `{}`, and the rest of its record is unreadable: {problem}",
            holder.escape_debug()
        ),
        Refusal::DocumentTooLarge { path, bytes, limit, .. } => {
            format!("nothing was written: `{path}` would have {bytes} bytes, more than the limit of {limit}")
        }
        Refusal::TooManyRecords { path, records, limit } => format!(
            "nothing was written: `{path}` would have {records} records, more than the limit of {limit}"
        ),
        Refusal::ArchivesFull { path, last, .. } => {
            format!("nothing was written: `{path}` and the archives up to `{last}` are full")
        }
        Refusal::LogPathInvalid { job, path } => {
            format!("job `{job}` has an invalid log path: `{}`", path.escape_debug())
        }
        Refusal::ClaimsWithheld { cause, .. } => {
            format!(
                "{}; nothing was claimed",
                cause.as_deref().unwrap_or("this server cannot claim jobs now")
            )
        }
        Refusal::TokenSuperseded(token) | Refusal::TokenEnded(token) | Refusal::TokenNeverIssued(token) => {
            lost(token)
        }
        Refusal::LockConditionFailed(failed) => condition(failed),
        Refusal::SessionEnded { server } => format!(
            "another server revoked the session of `{server}`, which sent no heartbeats; nothing was claimed"
        ),
        Refusal::NameInvalid { kind, given, rule } => format!("{kind} `{given}` {rule}"),
        Refusal::ValueInvalid { action, field, given, expected } => value(*action, field, given, *expected),
        Refusal::PatternInvalid { given, why, .. } => {
            format!("no job was added: invalid pattern `{}`: {why}", given.escape_debug())
        }
        Refusal::TextEmpty { action, field } => format!("{}: the {field} is empty", undone(*action)),
        Refusal::TextTooLong { action, field, length, limit } => too_long(*action, field, *length, *limit),
        Refusal::CharacterNotAllowed { action: Action::AddJobs, .. } => {
            "no job was added: a text contains a zero byte".to_owned()
        }
        Refusal::CharacterNotAllowed { action, field } => {
            format!("{}: the {field} contains a control character", undone(*action))
        }
        Refusal::CredentialFound { action, field, credential } => secret(*action, field, credential),
        Refusal::ListTooLong(list) => list_too_long(list),
        Refusal::BatchTooLarge { count, limit } => {
            format!("{count} jobs at once exceed the limit of {limit}; none was added")
        }
        Refusal::ExitCodeContradicts { job, action: Action::FailJob, .. } => {
            format!("cannot fail job `{job}`: its exit code is 0; report it with `job complete`")
        }
        Refusal::ExitCodeContradicts { job, .. } => {
            format!("cannot complete job `{job}`: its exit code is not 0; report it with `job fail`")
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
        Ordering::Less => format!("token {token} has been superseded"),
        Ordering::Equal => format!("token {token} is no longer valid"),
        Ordering::Greater => format!("token {token} was never issued"),
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

/// What cannot be done to a thing, as an infinitive.
fn verb(action: Action) -> &'static str {
    match action {
        Action::StartJob => "start",
        Action::CompleteJob => "complete",
        Action::FailJob => "fail",
        Action::ReportJob => "report",
        Action::ReleaseJob | Action::ReleaseLock => "release",
        Action::RenewJob | Action::RenewLock => "renew",
        Action::ConfirmStop => "confirm the stop of",
        Action::CancelJob => "cancel",
        Action::RetryJob => "retry",
        Action::RequeueJob => "requeue",
        Action::ReclaimJob => "reclaim",
        Action::MarkMessage => "mark",
        Action::AcknowledgeMessage => "acknowledge",
        Action::RemoveServer => "remove",
        _ => "change",
    }
}

/// The holder of a lock and its token.
fn held(holder: Option<&str>, token: Option<u64>) -> String {
    match (holder, token) {
        (Some(by), token) => format!("`{by}` holds the lock with token {}", token.unwrap_or(0)),
        (None, Some(token)) => format!("the lock is free, last token {token}"),
        (None, None) => "the lock has never been held".to_owned(),
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
        (true, true) => format!("job `{job}` has no artifacts, or they were pruned"),
        (true, false) => format!("no worker has run job `{job}`, and only workers store artifacts"),
        (false, _) => format!(
            "no artifacts of job `{job}` found, and the job is neither in the queue nor in the archive"
        ),
    }
}

fn no_server(server: &str, action: Action) -> String {
    match action {
        Action::SendMessage => format!("nothing was sent: server `{}` not found", server.escape_debug()),
        Action::Pause => format!("server `{server}` not found; nothing was paused"),
        Action::Resume => format!("server `{server}` not found; nothing was changed"),
        _ => format!("server `{server}` not found"),
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
            format!("the job is {status}{holder}, last token {}", last_token.unwrap_or(0))
        }
        None => held(holder.as_deref(), *last_token),
    };
    format!("cannot {} {} `{id}`: {why}; {now}", verb(*action), noun(*kind))
}

fn condition(failed: &ConditionFailed) -> String {
    let ConditionFailed { lock, token, cause, last_token, holder, expected_holder } = failed;
    let now = held(holder.as_deref(), *last_token);
    match cause {
        LockCondition::NeverTaken => {
            format!("lock `{lock}` has never been held, so token {token} is not valid")
        }
        LockCondition::NotHeld => {
            format!("lock `{lock}` is not held with token {token}: {}; {now}", term_over(*token, *last_token))
        }
        LockCondition::SetBack => format!(
            "lock `{lock}` is not held by `{}`, which got token {token}: {now}; the hub has been rolled back since",
            expected_holder.as_deref().unwrap_or_default()
        ),
    }
}

fn name_taken(server: &str, host: Option<&str>, is_same_host: bool) -> String {
    let by = match host {
        Some(host) if is_same_host => {
            format!("another user of this machine, or another machine with the host name `{host}`")
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
    let then = then.unwrap_or("unknown");
    format!("{what} has changed since the operation started: then {then}, now {now}; nothing was done")
}

fn unusable(record: &UnusableRecord) -> String {
    let UnusableRecord { action, subject, path, place, id, problem } = record;
    let what = match action {
        Action::RemoveServer => format!("cannot remove server `{subject}`"),
        Action::ChangeLock => format!("lock `{subject}` counts as held, and nothing was changed"),
        Action::IssueToken => format!("the last token of lock `{subject}` is unknown"),
        Action::CheckLock => format!("the holder of lock `{subject}` is unknown"),
        Action::ChangeJob => format!("nothing was done to job `{subject}`"),
        Action::Show => "it cannot be used".to_owned(),
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
        (_, Expected::JobStatus) => format!("invalid job status `{given}`"),
        (_, Expected::Word) => format!("no job was added: invalid type `{given}`: it must be one word"),
        (_, Expected::AtLeastOne) => "no job was added: attempts and timeout must be at least 1".to_owned(),
        (_, Expected::Attempts) => {
            "nothing was removed: too many names, or names that no worker uses".to_owned()
        }
        (Action::Pause, _) => format!("nothing was paused: the {field} is empty or contains a space"),
        (Action::Join, _) => {
            format!("not joined: `{given}` is empty, too long or contains a control character")
        }
        (Action::SendMessage, _) => format!(
            "nothing was sent: the {field} must have 1 to {KEY_LENGTH_MAX} characters and no control character"
        ),
        (action, _) => {
            format!("{}: `{given}` is empty or contains a space or a control character", undone(action))
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
        action => format!("{}: a text has more than {limit} characters", undone(action)),
    }
}

fn secret(action: Action, field: &str, credential: &str) -> String {
    match action {
        Action::AcquireLock => format!("the {field} seems to contain {credential}; the lock was not taken"),
        Action::SendMessage => format!(
            "nothing was sent: the {field} seems to contain {credential}, and a hub keeps all text forever"
        ),
        Action::AddJobs => {
            let what = if field == "type" { "its type" } else { "it" };
            format!(
                "no job was added: {what} seems to contain {credential}, which everyone with access to the hub could read"
            )
        }
        Action::ReportJob | Action::RequeueJob => {
            format!("nothing was reported: the text seems to contain {credential}")
        }
        action => format!("{}: a text seems to contain {credential}", undone(action)),
    }
}

fn list_too_long(list: &TooLong) -> String {
    let TooLong { action, limit, bytes_limit, .. } = list;
    match bytes_limit {
        Some(bytes) => {
            format!("nothing was reported: more than {limit} artifacts, or more than {bytes} bytes of names")
        }
        None => format!("{}: a list has more than {limit} entries", undone(*action)),
    }
}
