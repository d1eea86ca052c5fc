//! What can be said only when all is over.
//!
//! The main branch gives a total order of everything that was written, so strict serializability
//! is checked in linear time: what was acknowledged is there once, what was refused is not there,
//! nothing landed before what had been acknowledged when it began, and each commit and each answer
//! comes out again when its operation is applied to the commit before.

use super::audit;
use super::check::{self, Checker};
use super::machine::SharedWorld;
use super::store::op_of;
use super::world::{CommitOrigin, MAIN, World};
use crate::domain::id::OpId;
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::ledger::{
    Fate, Files, Ledger, LedgerError, MemoryStore, Misfortune, Move, Outcome, Publication, Scope, Seen,
    Settings, SharedHub, Stored, Version,
};
use crate::machine::Deadline;
use crate::machine::Machine;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What did not come to its end yet, in the calm.
pub(super) fn open(world: &World) -> Vec<String> {
    let mut open = Vec::new();
    let files = world.files(world.hub.refs.get(MAIN));
    match check::read::<Job>(&files) {
        Ok(jobs) => {
            let left = jobs.rows().filter(|job| !job.status.is_final());
            open.extend(left.map(|job| format!("I17: job {} is still {}", job.id, job.status)));
        }
        Err(error) => open.push(format!("I17: {error}")),
    }
    if let Ok(locks) = check::read::<Lock>(&files) {
        let held = locks.rows().filter(|lock| lock.is_held());
        open.extend(held.map(|lock| format!("I17: lock {} is still held", lock.name)));
    }
    if !world.delayed.is_empty() {
        open.push("I17: a push is still on its way".to_owned());
    }
    for host in world.hosts.iter().filter(|host| !host.is_gone) {
        let unsettled = host.files.keys().map(Path::new).filter(|path| {
            path.parent().is_some_and(|folder| folder.ends_with("ops"))
                && path.extension().is_some_and(|extension| extension == "json")
        });
        // What somebody is at just now is in good hands.
        let left = unsettled.filter(|path| !host.locks.contains(path.with_extension("flock").as_os_str()));
        open.extend(left.map(|path| format!("I17: {} keeps {} unsettled", host.name, path.display())));
    }
    open
}

/// Everything that did not hold.
pub(super) fn judge(world: &SharedWorld) -> Vec<String> {
    let mut found = Vec::new();
    let (hub, made_by) = {
        let mut world = world.get();
        (std::mem::take(&mut world.hub), std::mem::take(&mut world.made_by))
    };
    let commits: Vec<(Version, Stored)> =
        hub.history(hub.refs.get(MAIN)).map(|(version, stored)| (version.clone(), stored.clone())).collect();
    let mut depths: HashMap<OpId, u64> = HashMap::new();
    for (_, stored) in &commits {
        if let Some(op) = op_of(&stored.message)
            && depths.insert(op.clone(), stored.depth).is_some()
        {
            found.push(format!("I5: operation {op} is in the history twice"));
        }
    }
    let checker = std::mem::take(&mut world.get().checker);
    told(&checker, &depths, &mut found);
    order(&checker, &depths, &mut found);
    replay(&checker, &commits, (&Rc::new(RefCell::new(hub)), &made_by), &mut found);
    found.extend(audit::accusations(&commits));
    world.get().checker = checker;
    found
}

/// What was acknowledged is there, what was refused is not.
fn told(checker: &Checker, depths: &HashMap<OpId, u64>, found: &mut Vec<String>) {
    for one in &checker.acknowledged {
        if !depths.contains_key(&one.op) && !checker.dropped_ops.contains(&one.op) {
            found.push(format!("I5: operation {} was acknowledged and is not in the history", one.op));
        }
    }
    if !checker.dropped.is_empty() {
        // After a rollback a push that was late may find the hub as it was when it was sent.
        return;
    }
    for op in checker.refused.iter().filter(|op| depths.contains_key(op)) {
        found.push(format!("I5: operation {op} was refused and is in the history"));
    }
}

/// Nothing landed below what had been acknowledged before it began.
fn order(checker: &Checker, depths: &HashMap<OpId, u64>, found: &mut Vec<String>) {
    let landed: Vec<(Duration, Duration, u64, &OpId)> = checker
        .acknowledged
        .iter()
        .filter(|one| !checker.dropped.contains(&one.version))
        .filter_map(|one| Some((one.invoked, one.returned, *depths.get(&one.op)?, &one.op)))
        .collect();
    let mut returned: Vec<(Duration, u64)> = landed.iter().map(|(_, at, depth, _)| (*at, *depth)).collect();
    returned.sort_unstable();
    // With each return, the deepest commit that had been acknowledged by then.
    let mut deepest = 0;
    for (_, depth) in &mut returned {
        deepest = deepest.max(*depth);
        *depth = deepest;
    }
    for (invoked, _, depth, op) in &landed {
        let before = returned.partition_point(|(at, _)| at < invoked);
        if let Some((_, floor)) = before.checked_sub(1).and_then(|index| returned.get(index))
            && depth < floor
        {
            found.push(format!(
                "I5: operation {op} landed at {depth}, below {floor} that was acknowledged before it began"
            ));
        }
    }
}

/// Each operation, applied to the commit before, gives the commit and the answer again.
fn replay(
    checker: &Checker,
    commits: &[(Version, Stored)],
    (hub, made_by): (&SharedHub, &HashMap<Version, Arc<CommitOrigin>>),
    found: &mut Vec<String>,
) {
    let answers: HashMap<&Version, _> =
        checker.acknowledged.iter().filter_map(|one| Some((&one.version, one.answer.as_ref()?))).collect();
    for (version, stored) in commits {
        let Some(built) = made_by.get(version) else { continue };
        let again = match again(built, hub) {
            Ok(again) => again,
            Err(why) => {
                found.push(format!("I5: {} cannot be applied again: {why}", built.op));
                continue;
            }
        };
        if let Some(what) = differs(&again, stored) {
            found.push(format!(
                "I5: {} gives another {what} when it is applied again to what {version} follows",
                built.op
            ));
        }
        if answers.get(version).is_some_and(|told| **told != again.answer) {
            found.push(format!("I5: {} gives another answer when it is applied again", built.op));
        }
    }
}

/// What is not the same in a commit when its operation is applied again: a path, or the message.
fn differs<'a>(again: &'a Again, stored: &'a Stored) -> Option<&'a str> {
    let mut paths = again.files.keys().chain(stored.files.keys());
    let bytes = |files: &'a Files, path: &str| files.get(path).map(|document| document.bytes());
    let is_other = |path: &&Arc<str>| bytes(&again.files, path) != bytes(&stored.files, path);
    let path = paths.find(is_other).map(|path| &**path);
    path.or_else(|| (again.message != stored.message).then_some("message"))
}

/// What an operation gives.
struct Again {
    files: Arc<Files>,
    message: Arc<str>,
    answer: serde_json::Value,
}

/// The hub as the writer of one commit saw it: nothing is learnt of it, and what is pushed moves nothing.
struct AsItWas;

impl Misfortune for AsItWas {
    fn look(&self, _: &Scope, _: &Deadline) -> Result<Seen, LedgerError> {
        Ok(Seen::Nothing)
    }
    fn push(&self, _: &[Move], _: &Deadline) -> Fate {
        Fate::Never(Publication::Applied)
    }
}

fn again(built: &CommitOrigin, hub: &SharedHub) -> Result<Again, String> {
    let engine = MemoryStore::knowing(hub, Arc::clone(&built.known)).without_history().with(Rc::new(AsItWas));
    let settings = Settings {
        main: MAIN.to_owned(),
        author: String::new(),
        budget: Duration::from_secs(60),
        lock_wait: Duration::ZERO,
        dry_run: false,
        founding: false,
    };
    let mut ledger = Ledger::new(Box::new(engine), settings, Machine::real());
    let outcome = built.envelope.run(&mut ledger, built.op.clone(), built.at, &built.operation);
    let Ok(Outcome::Applied(receipt)) = outcome else { return Err(format!("{outcome:?}")) };
    let hub = hub.borrow();
    let stored = receipt.version.and_then(|version| hub.commits.get(&version));
    let stored = stored.ok_or("it changes nothing")?;
    Ok(Again {
        files: Arc::clone(&stored.files),
        message: Arc::clone(&stored.message),
        answer: receipt.answer,
    })
}
