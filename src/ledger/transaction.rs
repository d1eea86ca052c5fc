//! What an operation sees and does: documents to read, documents to write, words for the history.

use super::document::Document;
use super::draft::Draft;
use super::error::{Abort, LedgerError};
use super::history::{BelowManual, EarlierContent, IsWhole, MergeSides, OwnCommit, VisitVersion};
use super::snapshot::{Documents, History, Snapshot, name_in};
use super::vocabulary::Version;
use crate::domain::bad_branch::BadBranch;
use crate::domain::id::OpId;
use crate::domain::record::{RECORD_BYTES_MAX, Record, View};
use crate::domain::refusal::{Kind, Refusal};
use crate::domain::table::{ROWS_MAX, Row, Table};
use crate::domain::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The longest first line of a commit message.
const SUBJECT_LENGTH_MAX: usize = 100;

impl Draft {
    /// The commit message: one line for people, or one each and a heading, then the trailers.
    pub(super) fn message(&self) -> String {
        let mut message = match self.lines.as_slice() {
            [] => "muster".to_owned(),
            [line] => cut(line),
            [first, others @ ..] => {
                let mut text = format!("{}, and {} more", cut(first), others.len());
                text.push('\n');
                for line in &self.lines {
                    text.push('\n');
                    text.push_str(&cut(line));
                }
                text
            }
        };
        message.push_str("\n\n");
        for (key, value) in &self.trailers {
            message.push_str(&format!("{key}: {value}\n"));
        }
        message
    }

    /// A line that looks like a trailer is moved in by a blank: it is for people, not for machines.
    fn describe(&mut self, line: &str) {
        let line = one_line(line);
        self.lines.push(if line.starts_with("Muster-") { format!(" {line}") } else { line });
    }

    fn trailer(&mut self, key: &'static str, value: &str) {
        let entry = (key, one_line(value));
        if !self.trailers.contains(&entry) {
            self.trailers.push(entry);
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(SUBJECT_LENGTH_MAX) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or(line)),
        None => line.to_owned(),
    }
}

/// One operation at work on the documents of one snapshot.
pub struct Transaction<'a> {
    snapshot: &'a Snapshot<'a>,
    draft: &'a mut Draft,
    op: &'a OpId,
    now: Timestamp,
    author: &'a str,
}

impl<'a> Transaction<'a> {
    /// The operation `op`, asked for `now` by who writes as `author`.
    pub(super) fn new(
        snapshot: &'a Snapshot<'a>,
        draft: &'a mut Draft,
        op: &'a OpId,
        (now, author): (Timestamp, &'a str),
    ) -> Self {
        Self { snapshot, draft, op, now, author }
    }

    /// The id of this operation; ids of new records derive from it.
    #[must_use]
    pub fn op(&self) -> &OpId {
        self.op
    }

    /// The time of this operation, the same on every attempt.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The time of this operation, by the clocks of those who wrote last where they agree that ours is
    /// off. For what is put into an order with what they wrote.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn present(&self) -> Result<Timestamp, Abort> {
        Ok(self.snapshot.present(self.now, self.author)?)
    }

    /// Whether this very operation is in the history of the main branch already, sent by an earlier
    /// process that did not learn what became of it. What led to `since` was there before the
    /// operation began and is left out.
    ///
    /// # Errors
    /// When the store is damaged, or when only a part of the history is here and the operation is not
    /// in that: then nobody can tell.
    pub fn has_happened(&self, since: Option<&Version>) -> Result<bool, Abort> {
        Ok(self.snapshot.holds(self.op, since)?)
    }

    /// Has what is written elsewhere published only if the main branch is still where it was read: what was
    /// judged there is judged again otherwise.
    pub fn hold_main(&mut self) {
        self.draft.holds_main = true;
    }

    /// Writes a table if it changed.
    ///
    /// # Errors
    /// When a newer version of this program wrote the document.
    pub fn put_table<T: Row>(&mut self, table: &Table<T>) -> Result<(), Abort> {
        if table.is_changed() {
            let rows = table.rows().len() + table.broken().len();
            if rows > ROWS_MAX {
                let (path, records, limit) = (table.path().to_owned(), rows, ROWS_MAX);
                return Err(Refusal::TooManyRecords { path, records, limit }.into());
            }
            self.put(table.path(), Some(Document::of_table(table)?));
        }
        Ok(())
    }

    /// Writes a document of the main branch if it changed.
    ///
    /// # Errors
    /// When a newer version of this program wrote the document.
    pub fn put_record<T: View>(&mut self, path: &str, record: &Record<T>) -> Result<(), Abort> {
        if record.is_changed() {
            let text = record.write(path)?;
            check_size(path, &text)?;
            self.put_text(path, text);
        }
        Ok(())
    }

    /// Writes a document of a branch that holds one commit, replaced each time.
    ///
    /// # Errors
    /// When a newer version of this program wrote the document.
    pub fn put_record_on<T: View>(
        &mut self,
        branch: &str,
        path: &str,
        record: &Record<T>,
    ) -> Result<(), Abort> {
        if branch == self.snapshot.main() {
            return self.put_record(path, record);
        }
        if record.is_changed() {
            let text = record.write(path)?;
            check_size(path, &text)?;
            self.put_on(branch, path, Some(text.into_bytes()));
        }
        Ok(())
    }

    /// Names of what lies directly in a folder of any branch; folders end with a slash.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn list_on(&self, branch: &str, folder: &str) -> Result<Vec<String>, LedgerError> {
        self.snapshot.list_on(branch, folder)
    }

    /// Writes or removes any file of a branch that holds one commit, replaced each time.
    pub fn put_on(&mut self, branch: &str, path: &str, bytes: Option<Vec<u8>>) {
        self.draft.put(branch, path, bytes.map(Document::new));
        self.draft.replace(branch);
    }

    /// Writes any document of the main branch.
    pub fn put_text(&mut self, path: &str, text: String) {
        self.put_bytes(path, text.into_bytes());
    }

    /// Writes any file of the main branch, byte for byte.
    pub fn put_bytes(&mut self, path: &str, bytes: Vec<u8>) {
        self.put(path, Some(Document::new(bytes)));
    }

    /// Removes a document of the main branch.
    pub fn remove(&mut self, path: &str) {
        self.put(path, None);
    }

    fn put(&mut self, path: &str, document: Option<Document>) {
        self.draft.put(self.snapshot.main(), path, document);
    }

    /// Whether anything of the main branch is to be written.
    #[must_use]
    pub fn changes_main(&self) -> bool {
        self.draft.branches.contains_key(self.snapshot.main())
    }

    /// Says what is done, for people who read the history: `job claim: job_1 by build2`.
    pub fn describe(&mut self, line: impl Into<String>) {
        self.draft.describe(&line.into());
    }

    /// Adds a trailer for machines that read the history. Ids found in a hub may hold line breaks,
    /// and a line of its own would pass for another trailer.
    pub fn trailer(&mut self, key: &'static str, value: impl Into<String>) {
        self.draft.trailer(key, &value.into());
    }
}

impl History for Transaction<'_> {
    fn below_foreign(
        &self,
        is_final: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
    ) -> Result<Option<BelowManual>, LedgerError> {
        self.snapshot.below_foreign(is_final)
    }

    fn earlier(&self, version: &Version, path: &str) -> Result<EarlierContent, LedgerError> {
        self.snapshot.earlier(version, path)
    }

    fn changed(&self, before: &Version, after: &Version) -> Result<BTreeSet<String>, LedgerError> {
        self.snapshot.changed(before, after)
    }

    fn content(&self, version: &Version, path: &str) -> Result<Option<String>, LedgerError> {
        self.snapshot.content(version, path)
    }

    fn document_of(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.snapshot.document_of(version, path)
    }

    fn versions(&self, path: &str, visit: &mut VisitVersion<'_>) -> Result<(), LedgerError> {
        self.snapshot.versions(path, visit)
    }

    fn sides(&self, path: &str, is_whole: &IsWhole<'_>) -> Result<MergeSides, LedgerError> {
        self.snapshot.sides(path, is_whole)
    }
}

impl Documents for Transaction<'_> {
    fn document(&self, branch: &str, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        match self.draft.branches.get(branch).and_then(|changes| changes.get(path)) {
            Some(change) => Ok(change.clone()),
            None => self.snapshot.document(branch, path),
        }
    }

    fn main(&self) -> &str {
        self.snapshot.main()
    }

    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        self.snapshot.branches(prefix)
    }

    fn has_branch(&self, branch: &str) -> Result<bool, LedgerError> {
        Ok(self.draft.branches.contains_key(branch) || self.snapshot.has_branch(branch)?)
    }

    fn bad_branches(&self) -> Vec<BadBranch> {
        self.snapshot.bad_branches()
    }

    fn branches_with(&self, prefix: &str, folder: &str) -> Result<Vec<String>, LedgerError> {
        let mut branches = self.snapshot.branches_with(prefix, folder)?;
        let lies_in = |path: &String| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        for (branch, changes) in &self.draft.branches {
            if branch.starts_with(prefix) && !branches.contains(branch) && changes.keys().any(lies_in) {
                branches.push(branch.clone());
            }
        }
        Ok(branches)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, LedgerError> {
        let mut names = self.snapshot.list(folder)?;
        for (path, document) in self.draft.branches.get(self.snapshot.main()).into_iter().flatten() {
            let Some(name) = name_in(folder, path) else { continue };
            // A folder may hold more than what is removed from it.
            if document.is_some() && !names.contains(&name) {
                names.push(name);
            } else if document.is_none() {
                names.retain(|known| *known != name || name.ends_with('/'));
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Refuses a record that nobody could read again.
fn check_size(path: &str, text: &str) -> Result<(), Refusal> {
    if text.len() <= RECORD_BYTES_MAX {
        return Ok(());
    }
    let (kind, path, bytes, limit) = (Kind::Record, path.to_owned(), text.len(), RECORD_BYTES_MAX);
    Err(Refusal::DocumentTooLarge { kind, path, bytes, limit })
}

/// A message built from `texts` of strangers for the operation `op`, for the fuzz target of that
/// name.
#[cfg(any(test, fuzzing))]
pub(super) fn message_of(op: &OpId, texts: &[&str]) -> String {
    let mut draft = Draft::default();
    for text in texts {
        draft.describe(text);
        draft.trailer("Muster-Job", text);
    }
    draft.trailers.push(("Muster-Op", op.to_string()));
    draft.message()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::trailers::{along, carries, shows};

    #[test]
    fn what_goes_along_with_a_commit_is_no_proof_of_it() {
        let ids = ["019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f", "019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e60"];
        let [own, other] = ids.map(|id| OpId::new(id).expect("an op id"));
        // Nothing that a stranger writes makes a commit one that goes along.
        let message = message_of(&own, &["Muster-With: main", "a\nMuster-With: main"]);
        assert!(shows(&message, &own) && !shows(&message, &other), "{message}");
        let along = along(&message, "main");
        assert!(carries(&along, &own) && !shows(&along, &own), "{along}");
    }

    #[test]
    fn a_message_tells_people_what_was_done_and_machines_by_what() {
        let of = |lines: &[&str]| {
            let mut draft = Draft::default();
            lines.iter().for_each(|line| draft.describe(line));
            draft.trailer("Muster-Job", "j");
            draft.trailer("Muster-Job", "j");
            draft.message()
        };
        let long = "x".repeat(SUBJECT_LENGTH_MAX);
        for (lines, expected) in [
            (&["job add: j"][..], "job add: j\n\nMuster-Job: j\n".to_owned()),
            (&["one\ntwo"], "one two\n\nMuster-Job: j\n".to_owned()),
            // For people, and no trailer.
            (&["Muster-Op: x"], " Muster-Op: x\n\nMuster-Job: j\n".to_owned()),
            (&["a", "b", "c"], "a, and 2 more\n\na\nb\nc\n\nMuster-Job: j\n".to_owned()),
            (&[&long], format!("{long}\n\nMuster-Job: j\n")),
            (&[&format!("{long}y")], format!("{long}...\n\nMuster-Job: j\n")),
        ] {
            assert_eq!(of(lines), expected);
        }
    }
}
