//! Somebody who edits the documents of the hub by hand, and a script of the first days that does
//! the same: with a clone, an editor or `jq`, and a push that is refused when others were faster.

use super::check::FOREIGN;
use super::faults::Fault;
use super::machine::SharedWorld;
use super::random::Random;
use super::world::{MAIN, World};
use crate::domain::job::Job;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::table::{Row, Table};
use crate::ledger::{Document, Files, Move, Publication};
use crate::machine::Machine;
use serde_json::{Value, json};
use std::sync::Arc;

/// The server whose scripts know nothing of tokens and sessions.
const OLD_SERVER: &str = "old1";

/// How long between two edits, in milliseconds.
const THINK_MILLIS_MAX: u64 = 60_000;

/// How long an editor is open, in milliseconds.
const EDIT_MILLIS_MAX: u64 = 3_000;

/// How often a push is tried again.
const TRIES_MAX: u32 = 10;

/// A person with a clone.
pub(super) struct Person {
    world: SharedWorld,
    machine: Machine,
    random: Random,
}

impl Person {
    pub(super) fn new(world: SharedWorld, machine: Machine, seed: u64) -> Self {
        Self { world, machine, random: Random::new(seed) }
    }

    /// Edits now and then, until the calm; mends what is broken.
    pub(super) fn run(&mut self) {
        loop {
            self.machine.sleep(self.random.millis(1000, THINK_MILLIS_MAX));
            if self.world.get().is_broken() {
                self.push(mend);
                continue;
            }
            if self.strikes(Fault::HandEdit) {
                self.push(edit);
            }
            if self.strikes(Fault::ConflictMarkers) {
                self.push(break_one);
            }
            // What the old server holds it brings to an end, also in the calm.
            let claims = self.strikes(Fault::OldWriter);
            self.push(|files, random| work_as_of_old(files, claims, random));
        }
    }

    fn strikes(&self, fault: Fault) -> bool {
        self.world.get().strikes(fault)
    }

    /// Edits one document and pushes it, again when others were faster.
    fn push(&mut self, edit: impl Fn(&Files, &mut Random) -> Option<(&'static str, String)>) {
        for _ in 0..TRIES_MAX {
            let (tip, files) = {
                let world = self.world.get();
                let Some(tip) = world.hub.refs.get(MAIN).cloned() else { return };
                let files = world.files(Some(&tip));
                (tip, files)
            };
            let Some((path, text)) = edit(&files, &mut self.random) else { return };
            self.machine.sleep(self.random.millis(1, EDIT_MILLIS_MAX));
            let mut files = (*files).clone();
            files.insert(path.into(), Arc::new(Document::new(text.into_bytes())));
            let mut world = self.world.get();
            let message = format!("edit {path} by hand, {}", self.random.bits());
            let to = world.hub.store(Some(tip.clone()), Arc::new(files), message.into(), None);
            let pushed = world.swap(&[Move { branch: MAIN.to_owned(), from: Some(tip), to }]);
            world.note(|| format!("somebody edits {path}: {pushed:?}"));
            if pushed == Publication::Applied {
                return;
            }
        }
    }
}

impl World {
    /// Whether a table of the hub cannot be read.
    pub(super) fn is_broken(&self) -> bool {
        broken(&self.files(self.hub.refs.get(MAIN))).is_some()
    }

    /// The names of the hosts that are not gone.
    pub(super) fn alive(&self) -> Vec<String> {
        self.hosts.iter().filter(|host| !host.is_gone).map(|host| host.name.clone()).collect()
    }
}

fn text(files: &Files, path: &str) -> String {
    files.get(path).map(|document| String::from_utf8_lossy(document.bytes()).into_owned()).unwrap_or_default()
}

fn value(files: &Files, path: &str) -> Option<Value> {
    serde_json::from_str(&text(files, path)).ok()
}

fn broken(files: &Files) -> Option<&'static str> {
    fn is_broken<T: Row>(files: &Files) -> bool {
        Table::<T>::read(T::PATH, text(files, T::PATH).as_bytes()).is_err()
    }
    if is_broken::<Job>(files) {
        return Some(Job::PATH);
    }
    if is_broken::<Lock>(files) {
        return Some(Lock::PATH);
    }
    is_broken::<Message>(files).then_some(Message::PATH)
}

/// One record of a table, with everything around it.
fn pick<'a>(document: &'a mut Value, field: &str, random: &mut Random) -> Option<&'a mut Value> {
    let rows = document.get_mut(field)?.as_array_mut()?;
    let last = u64::try_from(rows.len().checked_sub(1)?).ok()?;
    rows.get_mut(usize::try_from(random.up_to(last)).ok()?)
}

/// An edit that leaves a document that can be read.
fn edit(files: &Files, random: &mut Random) -> Option<(&'static str, String)> {
    let is_job = random.chance(600);
    let (path, field) = if is_job { (Job::PATH, Job::FIELD) } else { (Message::PATH, Message::FIELD) };
    let mut document = value(files, path)?;
    match random.up_to(3) {
        0 => {
            let key = format!("{FOREIGN}{}", random.up_to(3));
            let record = pick(&mut document, field, random)?.as_object_mut()?;
            record.entry(key).or_insert_with(|| json!({"by": ["a", {"person": 1e2}]}));
        }
        1 if is_job => {
            let record = pick(&mut document, field, random)?.as_object_mut()?;
            record.insert("priority".to_owned(), json!("high"));
        }
        2 if is_job => {
            let id = format!("by_hand_{}", random.up_to(1_000_000));
            document
                .get_mut(field)?
                .as_array_mut()?
                .push(json!({"id": id, "type": "test", "status": "pending"}));
        }
        _ => {}
    }
    // Another layout than ours, in any case.
    let text = if random.chance(500) { document.to_string() } else { format!("\u{feff}{document:#}") };
    Some((path, text))
}

/// A merge that was committed with its markers.
fn break_one(files: &Files, random: &mut Random) -> Option<(&'static str, String)> {
    let path = *random.pick(&[Job::PATH, Lock::PATH, Message::PATH])?;
    let text = text(files, path);
    Some((path, format!("<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> theirs\n")))
}

/// Takes the markers and one of the two sides out again.
fn mend(files: &Files, _: &mut Random) -> Option<(&'static str, String)> {
    let path = broken(files)?;
    let text = text(files, path);
    let ours = text.strip_prefix("<<<<<<< HEAD\n")?.split("=======\n").next()?;
    Some((path, ours.to_owned()))
}

/// The first scripts: a claim without token or session, and its end.
fn work_as_of_old(files: &Files, claims: bool, random: &mut Random) -> Option<(&'static str, String)> {
    let mut document = value(files, Job::PATH)?;
    let rows = document.get_mut(Job::FIELD)?.as_array_mut()?;
    let is = |row: &Value, field: &str, word: &str| row.get(field).and_then(Value::as_str) == Some(word);
    let held = rows.iter_mut().find(|row| {
        is(row, "assigned_to", OLD_SERVER) && (is(row, "status", "claimed") || is(row, "status", "running"))
    });
    let (row, status) = match held {
        Some(row) => (row, "completed"),
        None if claims => (rows.iter_mut().find(|row| is(row, "status", "queued"))?, "claimed"),
        None => return None,
    };
    let record = row.as_object_mut()?;
    record.insert("status".to_owned(), json!(status));
    record.insert("assigned_to".to_owned(), json!(OLD_SERVER));
    record.insert(format!("{FOREIGN}script"), json!(random.up_to(9)));
    Some((Job::PATH, format!("{document:#}\n")))
}
