//! What can be said only when all is over.
//!
//! The main branch gives a total order of everything that was written, so strict serializability
//! is checked in linear time: what was acknowledged is there once, what was refused is not there,
//! nothing landed before what had been acknowledged when it began, and each commit and each answer
//! comes out again when its operation is applied to the commit before.

use super::audit;
use super::check::{self, Checker};
use super::machine::Shared;
use super::store::{changed, names_in, op_of};
use super::world::{Built, Files, MAIN, Refs, Stored, World};
use crate::domain::id::OpId;
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::ledger::{
    Commit, Document, Engine, Ledger, LedgerError, Move, Outcome, Publication, Scope, Search, Settings,
    Version,
};
use crate::machine::Machine;
use crate::machine::clock::Deadline;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What did not come to its end yet, in the calm.
pub(super) fn open(world: &World) -> Vec<String> {
    let mut open = Vec::new();
    let files = world.files(world.refs.get(MAIN));
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
pub(super) fn judge(world: &Shared) -> Vec<String> {
    let mut found = Vec::new();
    let commits: Vec<(Version, Stored)> = {
        let world = world.get();
        let tip = world.refs.get(MAIN).cloned();
        world.history(tip.as_ref()).map(|(version, stored)| (version.clone(), stored.clone())).collect()
    };
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
    replay(world, (&checker, &commits), &mut found);
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
fn replay(world: &Shared, (checker, commits): (&Checker, &[(Version, Stored)]), found: &mut Vec<String>) {
    let answers: HashMap<&Version, _> =
        checker.acknowledged.iter().filter_map(|one| Some((&one.version, one.answer.as_ref()?))).collect();
    let states: HashMap<&Version, &Stored> =
        commits.iter().map(|(version, stored)| (version, stored)).collect();
    for (version, stored) in commits {
        let Some(built) = &stored.built else { continue };
        let before = stored.parent.as_ref().and_then(|parent| states.get(parent));
        let before = before.map(|before| Arc::clone(&before.files)).unwrap_or_default();
        let again = match again(world, built, before) {
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
    path.or_else(|| (again.message != *stored.message).then_some("message"))
}

/// What an operation gives.
struct Again {
    files: Files,
    message: String,
    answer: serde_json::Value,
}

fn again(world: &Shared, built: &Built, before: Arc<Files>) -> Result<Again, String> {
    let made = Rc::new(RefCell::new(None));
    let engine =
        Replay { world: world.clone(), before, known: Arc::clone(&built.known), made: Rc::clone(&made) };
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
    let answer = match outcome {
        Ok(Outcome::Applied(receipt)) => receipt.answer,
        other => return Err(format!("{other:?}")),
    };
    let (files, message) = made.borrow_mut().take().ok_or("it changes nothing")?;
    Ok(Again { files, message, answer })
}

/// What was built last on the main branch.
type Made = Rc<RefCell<Option<(Files, String)>>>;

/// The hub as the writer of one commit saw it.
struct Replay {
    world: Shared,
    before: Arc<Files>,
    known: Arc<Refs>,
    made: Made,
}

impl Engine for Replay {
    fn hub(&self) -> &'static str {
        "the replayed hub"
    }
    fn is_always_fresh(&self) -> bool {
        true
    }
    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        Ok(self.known.get(branch).cloned())
    }
    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        Ok(self.known.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
    fn refresh(&mut self, _: &str, _: &Scope, _: &Deadline) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }
    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        if self.known.get(MAIN) == Some(version) {
            return Ok(self.before.get(path).cloned());
        }
        Ok(self.world.get().files(Some(version)).get(path).cloned())
    }
    fn list(&self, _: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        Ok(names_in(&self.before, folder))
    }
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        if commit.base == self.known.get(MAIN) {
            *self.made.borrow_mut() = Some((changed(&self.before, commit), commit.message.to_owned()));
        }
        Ok(Version::new("again"))
    }
    fn publish(&mut self, _: &[Move], _: &Deadline) -> Publication {
        Publication::Applied
    }
    fn leads_to(&self, _: &Version, _: &Version) -> Result<bool, LedgerError> {
        Ok(false)
    }
    fn find(&self, _: &Version, _: &OpId, _: Option<&Version>) -> Result<Search, LedgerError> {
        Ok(Search::NotThere)
    }
}
