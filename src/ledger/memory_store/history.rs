//! What a hub in memory tells of its history. It has no merges, and no commits by hand that are looked below.

use super::MemoryStore;
use crate::ledger::document::Document;
use crate::ledger::engine::EngineHistory;
use crate::ledger::error::LedgerError;
use crate::ledger::history::{
    BelowManual, CommitTrailers, Content, EarlierContent, IsWhole, LostCommits, MergeSides, OwnCommit, Side,
    VisitCommit, VisitVersion, Visitor, WalkStep,
};
use crate::ledger::lost::Past;
use crate::ledger::memory_hub::{MemoryHub, Stored};
use crate::ledger::trailers::ops_in;
use crate::ledger::vocabulary::{Reached, Version};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// The folder in which the documents of all servers lie.
const SHARED: &str = "coordination/";

impl EngineHistory for MemoryStore {
    fn last_commits(&self, version: &Version, visit: &mut VisitCommit<'_>) -> Result<(), LedgerError> {
        for (_, stored) in self.hub().history(Some(version)) {
            let (author, at) = stored.made.as_ref().map_or(("", None), |(author, at)| (&**author, Some(*at)));
            if visit(author, at).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn count(&self, version: &Version) -> Result<usize, LedgerError> {
        Ok(self.hub().history(Some(version)).count())
    }

    fn walk(
        &self,
        tip: &Version,
        wants: &dyn Fn(&str) -> bool,
        visit: &mut Visitor<'_>,
    ) -> Result<Reached, LedgerError> {
        let commits: Vec<(Version, Stored)> = {
            let hub = self.hub();
            let commits = hub.history(Some(tip)).map(|(version, stored)| (version.clone(), stored.clone()));
            commits.collect()
        };
        let read = |version: &Version, path: &str| {
            let document = self.hub().file(version, path);
            Ok(document.map_or(Content::Missing, |document| Content::File(document.bytes().to_vec())))
        };
        let mut before: Option<Version> = None;
        for (index, (version, stored)) in commits.iter().rev().enumerate() {
            let paths = differing(&self.hub(), before.as_ref(), version);
            let changed = paths.into_iter().filter(|path| wants(path));
            let changed = changed.map(|path| Ok((path.clone(), read(version, &path)?)));
            visit(&WalkStep {
                told: told(version, stored),
                aside: Vec::new(),
                changed: changed.collect::<Result<_, LedgerError>>()?,
                merged: Vec::new(),
                number: index + 1,
                of: commits.len(),
                before: before.clone(),
                reader: &read,
            })?;
            before = Some(version.clone());
        }
        Ok(Reached::Beginning)
    }

    fn lost(&self, _: &str, _: &Version) -> Result<Vec<LostCommits>, LedgerError> {
        Ok(Vec::new())
    }

    fn past(&self, branch: &str) -> Result<Option<Past>, LedgerError> {
        let tip = self.refs().get(branch).cloned();
        let hub = self.hub();
        let held = |stored: &Stored| stored.files.keys().any(|path| path.starts_with(SHARED));
        let found = hub.history(tip.as_ref()).find(|(_, stored)| held(stored));
        Ok(found.map(|(version, _)| Past::InHistory(version.clone())))
    }

    fn below_foreign(
        &self,
        _: &Version,
        _: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
    ) -> Result<Option<BelowManual>, LedgerError> {
        Ok(None)
    }

    fn earlier(&self, _: &Version, _: &str) -> Result<EarlierContent, LedgerError> {
        Ok(EarlierContent::default())
    }

    fn changed(&self, before: &Version, after: &Version) -> Result<BTreeSet<String>, LedgerError> {
        let mut paths = differing(&self.hub(), Some(before), after);
        paths.retain(|path| path.starts_with(SHARED));
        Ok(paths)
    }

    fn content(&self, version: &Version, path: &str) -> Result<Option<String>, LedgerError> {
        Ok(self.hub().file(version, path).map(|document| {
            let mut hasher = DefaultHasher::new();
            document.bytes().hash(&mut hasher);
            format!("{:016x}", hasher.finish())
        }))
    }

    fn versions(
        &self,
        _: &str,
        tip: &Version,
        path: &str,
        visit: &mut VisitVersion<'_>,
    ) -> Result<(), LedgerError> {
        let mut seen = BTreeSet::new();
        for (version, document) in self.texts(tip, path) {
            if seen.insert(document.bytes().to_vec()) && visit(&version, document.bytes()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn sides(
        &self,
        _: &str,
        tip: &Version,
        path: &str,
        is_whole: &IsWhole<'_>,
    ) -> Result<MergeSides, LedgerError> {
        let whole = self.texts(tip, path).into_iter().find(|(_, document)| is_whole(document.bytes()));
        let side =
            whole.map(|(version, document)| Side { version, bytes: document.bytes().to_vec(), base: None });
        Ok(MergeSides { found: side.into_iter().collect(), unseen: None })
    }
}

impl MemoryStore {
    /// What lay at a path, the newest first.
    fn texts(&self, tip: &Version, path: &str) -> Vec<(Version, Arc<Document>)> {
        let hub = self.hub();
        let texts = hub
            .history(Some(tip))
            .filter_map(|(version, stored)| Some((version.clone(), Arc::clone(stored.files.get(path)?))));
        texts.collect()
    }
}

/// The paths at which two versions differ.
fn differing(hub: &MemoryHub, before: Option<&Version>, after: &Version) -> BTreeSet<String> {
    let (before, after) = (hub.files(before), hub.files(Some(after)));
    let bytes = |document: Option<&Arc<Document>>| document.map(|document| document.bytes().to_vec());
    let paths = before.keys().chain(after.keys());
    let paths = paths.filter(|path| bytes(before.get(*path)) != bytes(after.get(*path)));
    paths.map(ToString::to_string).collect()
}

fn told(version: &Version, stored: &Stored) -> CommitTrailers {
    CommitTrailers {
        version: version.clone(),
        author: stored.made.as_ref().map_or_else(String::new, |(author, _)| author.to_string()),
        at: stored.made.as_ref().map(|(_, at)| *at),
        subject: stored.message.lines().next().unwrap_or_default().to_owned(),
        ops: ops_in(&stored.message).collect(),
        is_cut: false,
    }
}
