//! Under which name this host keeps what it keeps of a hub: the session of its beats, what it watched, what
//! it began, the place of its worker, what its jobs made.
//!
//! A hub is its id at its place. The id alone is not enough, because a copy has the id of what it was
//! copied from; nor is the place, because a hub may be moved, be reached in several ways, or make room for
//! another ([decision 017](../../docs/decisions/017-what-a-host-keeps-of-a-hub.md)). Losing the list of
//! names loses no more than the sessions that stand under them.

use super::cache::copy_name;
use super::known::KnownHub;
use crate::ledger::Location;
use crate::machine::file_lock::FileLock;
use crate::machine::{Machine, environment, files};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another process may take to write down a name. Going on without is safe: the same comes out.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The most hubs whose names are kept; the oldest are forgotten.
const HUBS_MAX: usize = 256;

/// The hubs that this host keeps something of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NameTable {
    hubs: Vec<NamedHub>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NamedHub {
    /// Names folders and files.
    name: String,
    id: String,
    /// Where it is, the first place first.
    places: Vec<KnownHub>,
    /// A commit of it, of one without an id: by that it is known once it gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

/// The id of a hub that has none.
const WITHOUT_ID: &str = "";

fn path() -> PathBuf {
    environment::state_dir().join("hubs.json")
}

/// The name on this host of the hub at `location`, as a command in `clone` reaches it, which is written
/// down if it is new. What is known of the hub counts: nobody asks it here.
#[must_use]
pub fn name_of(location: &Location, clone: Option<&Path>, branch: &str) -> String {
    let here = KnownHub::of(location, clone);
    let Some(id) = id_at(&here, branch) else { return name_before(location) };
    let asked = HubQuery { here, id, branch, location };
    let mut names: NameTable = files::recall(&path());
    let before = names.clone();
    let mut name = names.name(&asked);
    if names != before {
        let lock = path().with_extension("flock");
        // For this user alone: whoever may open it may keep it locked.
        drop(files::leave(&lock, &()));
        let _lock = FileLock::acquire(&lock, &Machine::real().deadline(LOCK_WAIT));
        names = files::recall(&path());
        name = names.name(&asked);
        // Otherwise the same comes out the next time.
        drop(files::remember(&path(), &names));
    }
    name
}

/// [`name_of`] for who leaves no trace.
#[must_use]
pub fn known_name(location: &Location, clone: Option<&Path>, branch: &str) -> String {
    let here = KnownHub::of(location, clone);
    let Some(id) = id_at(&here, branch) else { return name_before(location) };
    let mut names: NameTable = files::recall(&path());
    names.name(&HubQuery { here, id, branch, location })
}

/// The name that versions before gave the hub at `location`.
#[must_use]
pub fn name_before(location: &Location) -> String {
    copy_name(&location.as_text()).trim_end_matches(".git").to_owned()
}

/// The name of the hub that was last known at `location`, where nobody can be asked which one it is now.
#[must_use]
pub fn remembered_name(location: &Location, clone: Option<&Path>) -> Option<String> {
    let here = KnownHub::of(location, clone);
    let names: NameTable = files::recall(&path());
    names.hubs.into_iter().rev().find(|hub| hub.is_at(&here)).map(|hub| hub.name)
}

/// The id of the hub that was last known at `location`.
#[must_use]
pub fn remembered_id(location: &Location, clone: Option<&Path>) -> Option<String> {
    let here = KnownHub::of(location, clone);
    let names: NameTable = files::recall(&path());
    let is_here = |hub: &NamedHub| hub.is_at(&here) && hub.id != WITHOUT_ID;
    names.hubs.into_iter().rev().find(is_here).map(|hub| hub.id)
}

/// The id of the hub that has this name here.
#[must_use]
pub fn id_of(name: &str) -> Option<String> {
    let names: NameTable = files::recall(&path());
    names.hubs.into_iter().find(|hub| hub.name == name).map(|hub| hub.id).filter(|id| id != WITHOUT_ID)
}

/// The id of the hub that is `here`, or [`WITHOUT_ID`]; none where nothing is known of it. One without a marker
/// where one with a marker was is that hub if the marker was taken out.
fn id_at(here: &KnownHub, branch: &str) -> Option<String> {
    here.id(branch).or_else(|| {
        let names: NameTable = files::recall(&path());
        let before = match names.hubs.iter().any(|hub| hub.id != WITHOUT_ID && hub.is_at(here)) {
            true => here.id_before(branch)?,
            false => here.tip(branch).map(|_| None)?,
        };
        Some(before.unwrap_or_else(|| WITHOUT_ID.to_owned()))
    })
}

/// A hub that is asked for.
struct HubQuery<'a> {
    here: KnownHub,
    id: String,
    branch: &'a str,
    location: &'a Location,
}

impl NameTable {
    /// The name of the hub that is asked for, after what is new about it was noted.
    fn name(&mut self, asked: &HubQuery<'_>) -> String {
        let is_here = |place: &KnownHub| place.is_place_of(&asked.here);
        let ours = |hub: &&mut NamedHub| hub.id == asked.id;
        if let Some(at) = self.hubs.iter().position(|hub| hub.id == asked.id && hub.is_at(&asked.here)) {
            if self.hubs[at].goes_on_with(asked) {
                // Who is asked what was here last is told this one.
                let hub = self.hubs.remove(at);
                let name = hub.name.clone();
                let was_last = !self.hubs[at..].iter().any(|hub| hub.is_at(&asked.here));
                self.hubs.insert(if was_last { at } else { self.hubs.len() }, hub);
                return name;
            }
            self.hubs[at].places.retain(|place| !is_here(place));
        } else if let Some(hub) = self.hubs.iter_mut().filter(ours).find(|hub| hub.has_come(asked)) {
            hub.places.retain(|place| !place.is_gone(asked.branch, &asked.id));
            hub.places.push(asked.here.clone());
            return hub.name.clone();
        }
        if let Some(hub) = self.hubs.iter_mut().rev().find(|hub| hub.got_its_id(asked)) {
            (hub.id, hub.since) = (asked.id.clone(), None);
            return hub.name.clone();
        }
        let name = self.free(name_before(asked.location));
        let since = asked.here.tip(asked.branch).filter(|_| asked.id == WITHOUT_ID);
        let places = vec![asked.here.clone()];
        self.hubs.push(NamedHub { name: name.clone(), id: asked.id.clone(), places, since });
        self.hubs.drain(..self.hubs.len().saturating_sub(HUBS_MAX));
        name
    }

    fn free(&self, name: String) -> String {
        let is_free = |name: &String| self.hubs.iter().all(|hub| hub.name != *name);
        if is_free(&name) {
            return name;
        }
        let numbered = (2..).map(|number| format!("{name}-{number}")).find(is_free);
        numbered.expect("there are fewer hubs than numbers")
    }
}

impl NamedHub {
    /// Whether it was seen there.
    fn is_at(&self, here: &KnownHub) -> bool {
        self.places.iter().any(|place| place.is_place_of(here))
    }

    /// Whether it had no id, and is the hub that is asked for.
    fn got_its_id(&self, asked: &HubQuery<'_>) -> bool {
        let is_before = |since: &String| asked.here.leads_from(since, asked.branch);
        self.id == WITHOUT_ID
            && asked.id != WITHOUT_ID
            && self.is_at(&asked.here)
            && self.since.as_ref().is_some_and(is_before)
    }

    /// Whether the hub at one of its places is still the one at the first: what was taken for one hub in
    /// two ways may turn out to be a copy.
    fn goes_on_with(&self, asked: &HubQuery<'_>) -> bool {
        let first = self.places.first().filter(|first| !first.is_place_of(&asked.here));
        !first.is_some_and(|first| first.went_apart_from(&asked.here, asked.branch))
    }

    /// Whether what has its id at a new place is this hub: moved, or reached in another way. Of two
    /// folders that both are there, one is a copy; what is told by addresses alone must not have gone on
    /// apart.
    fn has_come(&self, asked: &HubQuery<'_>) -> bool {
        // What has no id is not known elsewhere.
        self.id != WITHOUT_ID
            && self.places.iter().all(|place| {
                place.is_gone(asked.branch, &self.id)
                    || (!place.are_folders(&asked.here) && asked.here.goes_on_from(place, asked.branch))
            })
    }
}
