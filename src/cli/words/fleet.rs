//! The words for what is found of a fleet: one sentence without a final period, and what can be done.

use super::repair::{MEND, MEND_TOKEN};
use crate::cli::output::counted;
use crate::domain::bad_branch::BadBranch;
use crate::domain::clocks::ClockSkew;
use crate::domain::finding::{About, FleetFact};
use crate::domain::lock::JOB_ASSIGNMENT;
use crate::domain::pause::Paused;
use crate::domain::shell::{quoted, typed};
use crate::domain::table::record_named;
use crate::domain::time::{Timestamp, show_span};
use std::time::Duration;

/// What is wrong.
#[expect(clippy::too_many_lines, reason = "a table: an arm for each fact")]
pub(super) fn sentence(fact: &FleetFact, about: &About) -> String {
    let id = &about.id;
    match fact {
        FleetFact::ClockOff(off) => clock_off(off),
        FleetFact::HeartbeatNever => format!("server `{id}` has never sent a heartbeat"),
        FleetFact::HeartbeatLate { age_seconds, interval_seconds }
        | FleetFact::HeartbeatStale { age_seconds, interval_seconds } => format!(
            "the last heartbeat of server `{id}` is {} old, it means to beat every {}",
            span(*age_seconds),
            span(*interval_seconds)
        ),
        FleetFact::HeartbeatBroken { problem } => {
            format!("a heartbeat of server `{id}` cannot be read: {problem}")
        }
        FleetFact::NameShared { host, other_host } => format!(
            "two machines beat as server `{id}`, on hosts `{host}` and `{other_host}`: they take each other's jobs and locks for their own"
        ),
        FleetFact::ServerUnhealthy { age_seconds } => format!(
            "server `{id}` says that it is not healthy, in a heartbeat that is {} old",
            span(*age_seconds)
        ),
        FleetFact::ClockSkew { ahead_seconds, is_beside_others } => {
            let others = if *is_beside_others { "the clocks of the others" } else { "this clock" };
            format!("the last heartbeat of server `{id}` is {} ahead of {others}", span(*ahead_seconds))
        }
        FleetFact::BuildFailed { job, ago_seconds } => format!(
            "the last build of server `{id}`{} failed{}",
            job.as_ref().map_or(String::new(), |job| format!(", `{job}`")),
            ago_seconds.map_or(String::new(), |ago| format!(", {} ago", span(ago)))
        ),
        FleetFact::ServerUnregistered { has_register } => format!(
            "server `{id}` has a directory in the hub and is not registered: its heartbeats are not judged{}",
            if *has_register { ", it gets no messages and cannot claim jobs" } else { "" }
        ),
        FleetFact::NoServers => "no server is registered, so there is nothing to judge".to_owned(),
        FleetFact::JobStuck { status, holder, held_seconds, timeout_seconds } => format!(
            "job `{id}` has been {status}{} for {}, its timeout is {}",
            holder.as_ref().map_or(String::new(), |holder| format!(" by `{holder}`")),
            span(*held_seconds),
            span(*timeout_seconds)
        ),
        FleetFact::JobHolderLost { status, holder, age_seconds } => format!(
            "job `{id}` is {status} {} `{holder}`, whose last heartbeat is {} old",
            status.preposition(),
            span(*age_seconds)
        ),
        FleetFact::JobDead { attempts, reason } => format!(
            "job `{id}` used up its {attempts} attempts{}",
            reason.as_ref().map_or(String::new(), |reason| format!(", the last ended with {reason}"))
        ),
        FleetFact::JobBlocked { need, status: Some(status) } => {
            format!("job `{id}` waits in vain: it needs `{need}`, which is {status}")
        }
        FleetFact::JobBlocked { need, status: None } => {
            format!("job `{id}` waits in vain: it needs `{need}`, which is not in the queue")
        }
        FleetFact::JobUnclaimable { labels } => {
            format!("no server has the labels that job `{id}` asks for: {}", labels.join(", "))
        }
        FleetFact::NoWorker { jobs, examples, since, at } => no_worker(*jobs, examples, *since, *at),
        FleetFact::Paused { what, pause, jobs, at } => format!(
            "{} is paused {}; {}",
            what.named(),
            pause.describe(*at),
            waiting(*jobs, "the end of that")
        ),
        FleetFact::EachServerPaused { jobs, .. } => {
            format!("every server that could take them is paused: {}", waiting(*jobs, "one of them"))
        }
        FleetFact::GroupHeld { job, server, cancelled_seconds, jobs, .. } => format!(
            "group `{id}` is held by job `{job}`, which was cancelled {} ago and of which `{server}` has not confirmed that it stopped; {}",
            span(*cancelled_seconds),
            waiting(*jobs, "that")
        ),
        FleetFact::LockExpired { holder, expired_seconds, is_of_claims, .. } => format!(
            "lock `{id}`, held by `{holder}`, expired {} ago{}",
            span(*expired_seconds),
            if *is_of_claims { ": no job is claimed until it is taken over" } else { "" }
        ),
        FleetFact::ClaimsHeldUp { holder, held_seconds } => {
            format!("no job is claimed: lock `{id}` is held by `{holder}` for {}", span(*held_seconds))
        }
        FleetFact::DocumentBroken { problem } => format!("{id} cannot be read: {problem}"),
        FleetFact::DocumentNewer { version } => format!(
            "{id} has layout version {version}, which this git-muster reads and does not write: every command that would change it is refused here"
        ),
        FleetFact::RecordBroken(record)
        | FleetFact::RecordWithoutId(record)
        | FleetFact::IdDoubled(record)
        | FleetFact::TokenImpossible(record) => {
            let (path, place) = (about.path.as_deref(), about.place.as_deref());
            record_named(path.unwrap_or_default(), place.unwrap_or_default(), &record.id, &record.problem)
        }
        FleetFact::RecordsBroken { records } => format!("{records} more records of {id} are no good"),
        FleetFact::BranchBroken { branch, .. } => format!("{} of the hub {}", branch.shown(), branch.why()),
        FleetFact::Undone => {
            format!("an older writer, or a merge by hand, undid what was acknowledged: {id}")
        }
        FleetFact::UndoneUnknown { causes } => causes.join("; "),
    }
}

/// What can be done about it; may name commands in backticks.
#[expect(clippy::too_many_lines, reason = "a table: an arm for each fact")]
pub(super) fn hint(fact: &FleetFact, about: &About) -> Option<String> {
    let id = &about.id;
    Some(match fact {
        FleetFact::ClockOff(ClockSkew { is_doubtful: false, .. }) => {
            "see that this machine takes its time from the network".to_owned()
        }
        FleetFact::ClockOff(ClockSkew { is_doubtful: true, .. }) => {
            "see that this machine takes its time from the network, and look again in a few minutes: who has sent nothing until then is told to be silent".to_owned()
        }
        FleetFact::HeartbeatNever => format!("run `git muster heartbeat` on `{id}`, best from cron"),
        FleetFact::HeartbeatLate { .. } | FleetFact::HeartbeatStale { .. } => {
            format!("see whether `{id}` runs, reaches the hub and beats")
        }
        FleetFact::HeartbeatBroken { .. } => {
            format!("the next `git muster heartbeat` on `{id}` makes it anew")
        }
        FleetFact::NameShared { .. } => format!(
            "run `git muster join --as {} --replace` on the one that keeps the name, and join under another name on the other",
            typed(id, "NAME")
        ),
        FleetFact::ServerUnhealthy { .. } | FleetFact::JobHolderLost { .. } => return None,
        FleetFact::ClockSkew { .. } => "see that both machines take their time from the network".to_owned(),
        FleetFact::BuildFailed { .. } => format!("see `git muster status show {}`", typed(id, "NAME")),
        FleetFact::ServerUnregistered { .. } => format!(
            "run `git muster join --as {}` on it, or `git muster join --as SERVER --adopt` on a server that is registered",
            typed(id, "NAME")
        ),
        FleetFact::NoServers => "register one with `git muster join --as NAME`".to_owned(),
        FleetFact::JobStuck { .. } => super::hub::cancel(id),
        FleetFact::JobDead { .. } => format!("retry it with `git muster job retry {}`", typed(id, "ID")),
        FleetFact::JobBlocked { .. } => {
            format!("{}, or retry what it needs with `git muster job retry ID`", super::hub::cancel(id))
        }
        FleetFact::JobUnclaimable { .. } => format!("see `git muster job explain {}`", typed(id, "ID")),
        FleetFact::NoWorker { examples, .. } => format!(
            "see `git muster job explain {}`; `git muster worker run` starts one",
            examples.first().map_or("ID", |first| typed(first, "ID"))
        ),
        FleetFact::Paused { what, .. } => format!("if it is over, end it with `{}`", resume(what)),
        FleetFact::EachServerPaused { job, .. } => format!(
            "see `git muster job explain {}`; `git muster worker resume SERVER` ends the pause of one",
            typed(job, "ID")
        ),
        FleetFact::GroupHeld { job, server, token, .. } => format!(
            "if nothing of it runs, say so with `git muster --server {} job stopped {} --token {}`",
            typed(server, "SERVER"),
            typed(job, "ID"),
            token.unwrap_or(0)
        ),
        FleetFact::LockExpired { wait_seconds, is_of_claims: true, .. } => format!(
            "a worker or `git muster job claim --wait {wait_seconds}s` takes it over when it has watched it for its lease"
        ),
        FleetFact::LockExpired { wait_seconds, .. } => format!(
            "who needs it takes it over with `git muster lock acquire {0} --wait {wait_seconds}s`, which watches it for its lease first; see `git muster lock show {0}`",
            typed(id, "NAME")
        ),
        FleetFact::ClaimsHeldUp { .. } => format!(
            "see `git muster lock show {JOB_ASSIGNMENT}`; workers take it over when its lease is over"
        ),
        FleetFact::DocumentBroken { .. } => document_broken(about),
        FleetFact::DocumentNewer { .. } => {
            "install the git-muster of the other servers here; `git muster doctor hub-documents` names all such documents".to_owned()
        }
        FleetFact::TokenImpossible(_) => MEND_TOKEN.to_owned(),
        FleetFact::RecordBroken(_)
        | FleetFact::RecordWithoutId(_)
        | FleetFact::IdDoubled(_)
        | FleetFact::RecordsBroken { .. } => MEND.to_owned(),
        FleetFact::BranchBroken { branch, hub } => BadBranch::advice(branch, hub),
        FleetFact::Undone => {
            "the next write of any server puts it back, such as `git muster heartbeat`".to_owned()
        }
        FleetFact::UndoneUnknown { .. } => {
            "see what is gone with `git muster fsck --history`; the next write looks further back".to_owned()
        }
    })
}

/// That the clock of this machine is off.
pub(in crate::cli) fn clock_off(off: &ClockSkew) -> String {
    off.to_string()
}

/// The command that ends a pause.
pub(super) fn resume(what: &Paused) -> String {
    match what {
        Paused::Queue => "git muster queue resume".to_owned(),
        Paused::Label(label) => format!("git muster queue resume --label {}", quoted(label)),
        Paused::Server(server) => format!("git muster worker resume {server}"),
    }
}

fn document_broken(about: &About) -> String {
    match &about.server {
        Some(name) => format!("the next `git muster heartbeat` of `{name}` makes it anew"),
        None => format!(
            "no command that needs it works until `git muster import` mends it (see `git muster import --check` first), or it is corrected in a clone of the hub and pushed; `git log -p -- {}` there shows how it was",
            quoted(&about.id)
        ),
    }
}

fn no_worker(jobs: usize, examples: &[String], since: Option<Timestamp>, at: Timestamp) -> String {
    let names: Vec<String> = examples.iter().map(|job| format!("`{job}`")).collect();
    let more = match jobs.saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (wait, them) = if jobs == 1 { ("waits", "it") } else { ("wait", "them") };
    let since = match since {
        Some(since) => format!(", since {}, {} ago", since.told(), show_span(at.since(since))),
        None => ", and none ever has".to_owned(),
    };
    format!(
        "{} {wait}, and no worker runs on any server that could take {them}{since}: {}{more}",
        counted(jobs, "job"),
        names.join(", ")
    )
}

fn waiting(jobs: usize, what: &str) -> String {
    format!("{} {} for {what}", counted(jobs, "job"), if jobs == 1 { "waits" } else { "wait" })
}

fn span(seconds: u64) -> String {
    show_span(Duration::from_secs(seconds))
}
