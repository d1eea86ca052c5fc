//! A hub in memory for tests: its documents, told as texts.

mod store;

pub(crate) use store::Hub;

use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;
use crate::ledger::{Document, Documents, LedgerError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The branch that carries everything but heartbeats.
pub(crate) const MAIN: &str = "main";

/// Documents by branch and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemoryDocuments {
    files: BTreeMap<(String, String), String>,
}

impl MemoryDocuments {
    /// A hub whose main branch holds these documents.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        files.iter().fold(Self::default(), |hub, (path, text)| hub.with(MAIN, path, text))
    }

    /// The same with a document of any branch.
    pub(crate) fn with(mut self, branch: &str, path: &str, text: &str) -> Self {
        self.files.insert((branch.to_owned(), path.to_owned()), text.to_owned());
        self
    }

    /// The same with a table of these records.
    pub(crate) fn rows(self, path: &str, field: &str, rows: &[&str]) -> Self {
        self.with(MAIN, path, &format!("{{\"{field}\": [{}]}}", rows.join(", ")))
    }

    fn paths(&self, branch: &str) -> impl Iterator<Item = &str> {
        self.files.keys().filter(move |(of, _)| of == branch).map(|(_, path)| path.as_str())
    }
}

impl Documents for MemoryDocuments {
    fn document(&self, branch: &str, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        let text = self.files.get(&(branch.to_owned(), path.to_owned()));
        Ok(text.map(|text| Arc::new(Document::new(text.clone().into_bytes()))))
    }

    fn main(&self) -> &str {
        MAIN
    }

    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let names: BTreeSet<&String> = self.files.keys().map(|(branch, _)| branch).collect();
        Ok(names.into_iter().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn has_branch(&self, branch: &str) -> Result<bool, LedgerError> {
        Ok(self.paths(branch).next().is_some())
    }

    fn branches_with(&self, prefix: &str, folder: &str) -> Result<Vec<String>, LedgerError> {
        assert_eq!(prefix, HEARTBEAT_BRANCH_PREFIX, "no others are asked for");
        let mut branches = self.branches(prefix)?;
        branches.retain(|branch| self.paths(branch).any(|path| path.starts_with(&format!("{folder}/"))));
        Ok(branches)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, LedgerError> {
        let begin = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let inside = self.paths(MAIN).filter_map(|path| path.strip_prefix(&begin));
        let names: BTreeSet<&str> = inside.filter_map(|path| path.split_inclusive('/').next()).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}
