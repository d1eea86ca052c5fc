//! What this host knows of a hub without asking it: which id it has, whether it is still where it was,
//! and whether two addresses can lead to one hub. Decides nothing.

use super::cache::store_path;
use super::objects::Objects;
use super::versions::versions;
use super::{marks, permitted};
use crate::domain::hub::Marker;
use crate::ledger::Location;
use crate::ledger::Version;
use git2::{ErrorCode, Oid, Repository};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A hub as this host knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHub {
    /// Where it is, without a password.
    address: String,
    /// The repository that holds what is known of it: itself, the clone around or our copy.
    objects: PathBuf,
}

impl KnownHub {
    /// The hub at `location`, as a command in `clone` would reach it.
    #[must_use]
    pub fn of(location: &Location, clone: Option<&Path>) -> Self {
        let address = location.address();
        match location {
            Location::Path(_) => Self { objects: PathBuf::from(&address), address },
            Location::Url(url) => Self {
                address: location.shown(),
                objects: clone.map_or_else(|| store_path(url), Path::to_owned),
            },
        }
    }

    fn location(&self) -> Location {
        Location::parse(&self.address, Path::new("/"))
    }

    /// Whether both are at one place, by the words of their addresses.
    #[must_use]
    pub fn is_place_of(&self, other: &Self) -> bool {
        self.location().is_place_of(&other.location())
    }

    /// The id in its marker; none where it has none, or nothing is known of it.
    #[must_use]
    pub fn id(&self, branch: &str) -> Option<String> {
        self.look(branch).ok().flatten().and_then(|(repository, tip)| id_in(&repository, tip))
    }

    /// The newest commit that is known of it.
    #[must_use]
    pub fn tip(&self, branch: &str) -> Option<String> {
        self.look(branch).ok().flatten().map(|(_, tip)| tip.to_string())
    }

    /// Whether its history holds this commit.
    #[must_use]
    pub fn leads_from(&self, commit: &str, branch: &str) -> bool {
        let (Ok(Some((repository, tip))), Ok(commit)) = (self.look(branch), Oid::from_str(commit)) else {
            return false;
        };
        leads_to(&repository, tip, commit)
    }

    /// The id in the newest marker of its history, for who finds none in its newest commit: it may have been
    /// taken out. `None` where nothing is known of it, or where not all of its history is here.
    #[must_use]
    pub fn id_before(&self, branch: &str) -> Option<Option<String>> {
        let (repository, tip) = self.look(branch).ok().flatten()?;
        let mut id = None;
        let mut note = |_: &Version, text: &[u8]| {
            id = Marker::id_in(text);
            if id.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let unseen = versions(&Objects::new(repository), tip, Marker::PATH, &mut note).ok()?;
        (id.is_some() || unseen.is_none()).then_some(id)
    }

    /// Whether both are folders of this machine: then they are one only if they are at one place.
    #[must_use]
    pub fn are_folders(&self, other: &Self) -> bool {
        [self, other].iter().all(|hub| matches!(hub.location(), Location::Path(_)))
    }

    /// Whether the hub with this id was in a folder of this machine and is there no more. What cannot be
    /// looked at is still there.
    #[must_use]
    pub fn is_gone(&self, branch: &str, id: &str) -> bool {
        let Location::Path(path) = self.location() else { return false };
        match self.look(branch) {
            Ok(Some((repository, tip))) => id_in(&repository, tip).as_deref() != Some(id),
            Ok(None) => true,
            Err(error) => error.code() == ErrorCode::NotFound && !path.join("HEAD").exists(),
        }
    }

    /// Whether all that is known of the other is in the history of this one, as it must be if both are one
    /// hub and this one was asked later.
    #[must_use]
    pub fn goes_on_from(&self, other: &Self, branch: &str) -> bool {
        let (Ok(Some((repository, tip))), Ok(Some((_, before)))) = (self.look(branch), other.look(branch))
        else {
            return false;
        };
        leads_to(&repository, tip, before)
    }

    /// Whether each is known to have a commit that the other lacks. Of what cannot be looked at, and of a
    /// history that is not all here, nobody knows that.
    #[must_use]
    pub fn went_apart_from(&self, other: &Self, branch: &str) -> bool {
        let (Ok(Some(one)), Ok(Some(two))) = (self.look(branch), other.look(branch)) else { return false };
        let is_whole = ![&one.0, &two.0].iter().any(|repository| repository.is_shallow());
        is_whole && !leads_to(&one.0, one.1, two.1) && !leads_to(&two.0, two.1, one.1)
    }

    /// The repository and the newest commit of the branch that is known.
    fn look(&self, branch: &str) -> Result<Option<(Repository, Oid)>, git2::Error> {
        let repository = permitted::open(&self.objects)?;
        let name = match self.location() {
            Location::Path(_) => format!("refs/heads/{branch}"),
            Location::Url(_) => format!("refs/remotes/origin/{branch}"),
        };
        let tip = match repository.refname_to_id(&name) {
            Ok(tip) => tip,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some((repository, tip)))
    }
}

fn leads_to(repository: &Repository, tip: Oid, before: Oid) -> bool {
    tip == before || repository.graph_descendant_of(tip, before).unwrap_or(false)
}

fn id_in(repository: &Repository, tip: Oid) -> Option<String> {
    let commit = repository.find_commit(tip).ok()?;
    marks::marker(repository, &commit).map(|marker| marker.id).filter(|id| !id.is_empty())
}
