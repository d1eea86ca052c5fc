//! What an operation takes from others, as it stands.
//!
//! Who asks for a lock, a job or a pause of another has looked at who has it. An operation that is taken up
//! hours later acts on that term alone, and not on whoever has the lock or the job by then.

use crate::app::commands::Operation;
use crate::app::commands::job_step::Change;
use crate::domain::id::{JobId, ServerName};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::pause::{Pause, Paused};
use crate::domain::refusal::{Kind, Refusal};
use crate::domain::server::Server;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents};

/// One thing that others have, at one moment.
#[derive(Debug, Clone)]
pub struct Standing {
    kind: Kind,
    id: String,
    /// Names the term: the same for as long as nobody else has it.
    term: String,
    /// For people.
    told: String,
}

/// What `operation` takes or changes that may be another's; `None` when it takes nothing, or names the term
/// by itself.
///
/// # Errors
/// When a document cannot be read.
pub fn standing(operation: &Operation, documents: &impl Documents) -> Result<Option<Standing>, Abort> {
    Ok(match operation {
        Operation::StealLock(steal) if steal.force => Some(of_lock(steal.name.as_str(), documents)?),
        Operation::ChangeJob(change) => match &change.change {
            Change::Priority { .. } => Some(of_priority(&change.job, documents)?),
            Change::Cancel { .. } | Change::Retry { .. } | Change::Requeue { .. } => {
                Some(of_job(&change.job, documents)?)
            }
        },
        Operation::RemoveServer(remove) => Some(of_server(&remove.name, documents)?),
        Operation::Join(join) if join.replace => Some(of_server(&join.name, documents)?),
        Operation::SetPause(pause) => Some(of_pause(&pause.what, documents)?),
        Operation::EndPause(pause) => Some(of_pause(&pause.what, documents)?),
        _ => None,
    })
}

/// Fails unless what `operation` takes is as it was `then`, when it was asked for.
///
/// # Errors
/// Refused when it is not, or nobody can tell.
pub fn refuse_if_changed(
    operation: &Operation,
    then: Option<&Standing>,
    documents: &impl Documents,
) -> Result<(), Abort> {
    let Some(now) = standing(operation, documents)? else { return Ok(()) };
    if then.is_some_and(|then| then.term == now.term) {
        return Ok(());
    }
    let then = then.map(|then| then.told.clone());
    Err(Refusal::ChangedSince { kind: now.kind, id: now.id, then, now: now.told }.into())
}

fn of_lock(name: &str, documents: &impl Documents) -> Result<Standing, Abort> {
    let locks: Table<Lock> = documents.table()?;
    let lock = locks.get(name).map_or_else(|| Lock::free(name), |lock| (**lock).clone());
    Ok(Standing { kind: Kind::Lock, id: name.to_owned(), term: lock.term(), told: lock.situation() })
}

fn of_job(id: &JobId, documents: &impl Documents) -> Result<Standing, Abort> {
    let jobs: Table<Job> = documents.table()?;
    let job = jobs.get(id.as_str());
    let told = job.map_or_else(
        || "it was not among the jobs that are not archived".to_owned(),
        |job| match &job.assigned_to {
            Some(holder) if job.status.is_held() => {
                format!("it is {} by `{holder}` under token {}", job.status, job.token.unwrap_or(0))
            }
            _ => format!("it is {}, its last token {}", job.status, job.token.unwrap_or(0)),
        },
    );
    let term = job.map_or_else(String::new, |job| {
        let status = if job.status.is_held() { String::new() } else { job.status.to_string() };
        format!("{} {status}", job.term())
    });
    Ok(Standing { kind: Kind::Job, id: id.to_string(), term, told })
}

fn of_priority(id: &JobId, documents: &impl Documents) -> Result<Standing, Abort> {
    let jobs: Table<Job> = documents.table()?;
    let told = jobs
        .get(id.as_str())
        .map_or_else(|| "there is none".to_owned(), |job| format!("it is {}", job.priority));
    Ok(Standing { kind: Kind::Priority, id: id.to_string(), term: told.clone(), told })
}

/// A server with all that it holds.
fn of_server(name: &ServerName, documents: &impl Documents) -> Result<Standing, Abort> {
    let (servers, jobs, locks): (Table<Server>, Table<Job>, Table<Lock>) =
        (documents.table()?, documents.table()?, documents.table()?);
    let is_its = |holder: &Option<String>| holder.as_deref() == Some(name.as_str());
    let jobs = jobs.rows().filter(|job| job.status.is_held() && is_its(&job.assigned_to));
    let locks =
        locks.rows().filter(|lock| lock.is_held() && lock.done_at.is_none() && is_its(&lock.locked_by));
    let mut held: Vec<(String, String)> = jobs
        .map(|job| (format!("job `{}`", job.id), job.term()))
        .chain(locks.map(|lock| (format!("lock `{}`", lock.name), lock.term())))
        .collect();
    held.sort();
    let names: Vec<&str> = held.iter().map(|(what, _)| what.as_str()).collect();
    let holds = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let (term, told) = match servers.get(name.as_str()) {
        Some(server) => {
            let host = server.host.as_deref().unwrap_or("?");
            let term = format!("{:?} {:?} {host} {held:?}", server.machine, server.joined_at);
            (term, format!("it is on `{host}` and holds {holds}"))
        }
        None => (format!("{held:?}"), format!("it is not registered and holds {holds}")),
    };
    Ok(Standing { kind: Kind::Server, id: name.to_string(), term, told })
}

fn of_pause(what: &Paused, documents: &impl Documents) -> Result<Standing, Abort> {
    let pauses: Table<Pause> = documents.table()?;
    let pause = pauses.get(&what.to_string());
    let by = pause.and_then(|pause| pause.by.as_deref()).unwrap_or("somebody");
    Ok(Standing {
        kind: Kind::Pause,
        id: what.to_string(),
        term: pause.map_or_else(String::new, |pause| pause.raw().to_string()),
        told: pause.map_or_else(|| "there is none".to_owned(), |_| format!("it is one of `{by}`")),
    })
}
