//! How a hub came to be: each commit judged against the one before.
//!
//! A version that cannot be read is told, and what follows is judged against the last one that
//! could: a break does not hide what was lost in it. The commits that a merge brought in are one
//! step together with it, of as many operations as they carry.

use super::losses::{Losses, together};
use super::{CommitName, Document, Notes, Question, is_wanted, unreadable};
use crate::app::journal;
use crate::app::submit::Place;
use crate::domain::audit::{Change, Finding, Kind, Made, Severity, Step};
use crate::domain::build_config::BuildConfig;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::hub::Marker;
use crate::domain::id::OpId;
use crate::domain::job::Job;
use crate::domain::json::DocumentError;
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::record::{Record, View};
use crate::domain::refusal::Refusal;
use crate::domain::server::Server;
use crate::domain::shell::quoted;
use crate::domain::status::Status;
use crate::domain::table::{Row, Table, Versions};
use crate::ledger::{Content, LedgerError, Lost, Merged, Reached, Snapshot, Stop, Stride, Told};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// The most archives of one sort that are kept at hand; others are read again when they change.
const ARCHIVES_AT_HAND_MAX: usize = 2;

/// How many of the operations that a rewritten history lost are named.
const OPS_NAMED_MAX: usize = 20;

/// Notes what is wrong with the history of the main branch.
pub(super) fn check(
    snapshot: &Snapshot<'_>,
    question: &Question<'_>,
    progress: &super::Progress<'_>,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let present = notes.clone();
    let mut begun_at = None;
    let mut auditor = Auditor::new(notes);
    let reached = snapshot.walk(&is_wanted, &mut |stride| {
        let (number, of) = (stride.number, stride.of);
        let is_named =
            |name: Option<&str>| name.is_some_and(|name| stride.told.version.as_str().starts_with(name));
        auditor.commit(stride)?;
        if is_named(question.until) {
            // Later ones are looked at for what they put back.
            auditor.is_telling = false;
        }
        if is_named(question.since) {
            // What was found so far is known.
            *auditor.notes = present.clone();
            begun_at = Some(number);
        }
        progress(number, of);
        Ok(())
    })?;
    let (ops, commits, losses, is_telling) =
        (auditor.ops, auditor.commits, auditor.losses, auditor.is_telling);
    notes.settle(&losses);
    (notes.report.checked.commits, notes.report.checked.operations) = (commits, ops.len());
    if let (Some(since), None) = (question.since, begun_at) {
        let why = format!("commit `{since}` is not in the history that was walked");
        return Err(Refusal::not_found(why).hint("see it with `git log --first-parent`").into());
    }
    if let Some(until) = question.until.filter(|_| is_telling) {
        let why = format!("commit `{until}` is not in the history that was walked");
        return Err(Refusal::not_found(why).hint("see it with `git log --first-parent`").into());
    }
    cut(reached, notes);
    for lost in snapshot.lost()? {
        rewritten(&lost, &ops, notes);
    }
    unsettled(question.place, &ops, notes);
    Ok(())
}

/// What is known after the commits that were walked so far.
struct Auditor<'a> {
    notes: &'a mut Notes,
    jobs: Versions<Job>,
    locks: Versions<Lock>,
    messages: Versions<Message>,
    servers: Versions<Server>,
    job_archives: Archives<Job>,
    message_archives: Archives<Message>,
    /// What was told of commits so far.
    told: HashSet<u64>,
    /// What they took away.
    losses: Losses,
    /// Whether what they broke is told.
    is_telling: bool,
    /// Documents that cannot be used as the walk goes by.
    unusable: HashSet<String>,
    /// In which of the commits, by its number, each operation is.
    ops: HashMap<OpId, usize>,
    commits: usize,
}

impl<'a> Auditor<'a> {
    fn new(notes: &'a mut Notes) -> Self {
        Self {
            notes,
            jobs: Versions::new(Job::PATH),
            locks: Versions::new(Lock::PATH),
            messages: Versions::new(Message::PATH),
            servers: Versions::new(Server::PATH),
            job_archives: Archives(Vec::new()),
            message_archives: Archives(Vec::new()),
            told: HashSet::new(),
            losses: Losses::default(),
            is_telling: true,
            unusable: HashSet::new(),
            ops: HashMap::new(),
            commits: 0,
        }
    }

    fn commit(&mut self, stride: &Stride<'_>) -> Result<(), LedgerError> {
        let commit = CommitName::of(&stride.told, stride.number);
        self.count(stride, &commit);
        let mut broken = Vec::new();
        let before = (
            Arc::clone(self.jobs.table()),
            Arc::clone(self.locks.table()),
            Arc::clone(self.messages.table()),
            Arc::clone(self.servers.table()),
        );
        let (mut job_archives, mut message_archives) = (Vec::new(), Vec::new());
        for (path, content) in &stride.changed {
            let document = Document::at(path);
            if matches!(content, Content::Missing) && document.as_ref().is_some_and(Document::is_table) {
                // What comes after is judged against what it held.
                broken.push(removed(path, &commit));
                self.unusable.insert(path.clone());
                continue;
            }
            let read = match document {
                Some(Document::Jobs) => next(&mut self.jobs, content),
                Some(Document::Locks) => next(&mut self.locks, content),
                Some(Document::Messages) => next(&mut self.messages, content),
                Some(Document::Servers) => next(&mut self.servers, content),
                Some(Document::JobArchive) => {
                    self.job_archives.next(path, content, stride, &mut job_archives)?
                }
                Some(Document::MessageArchive) => {
                    self.message_archives.next(path, content, stride, &mut message_archives)?
                }
                Some(Document::Status(_)) => parse::<Status>(path, content),
                Some(Document::Heartbeat(_)) => parse::<Heartbeat>(path, content),
                Some(Document::BuildConfig) => parse::<BuildConfig>(path, content),
                Some(Document::Hub) => parse::<Marker>(path, content),
                None => Ok(()),
            };
            match read {
                Err(error) => {
                    broken.push(unreadable(&error, None));
                    self.unusable.insert(path.clone());
                }
                Ok(()) if self.unusable.remove(path) => self.notes.mended(path, &commit),
                Ok(()) => {}
            }
        }
        // What the first commit holds is where the history begins. What an import or a repair
        // mends, no rule of ours led to.
        if stride.number > 1 && !is_repair(&stride.told) {
            let step = Step {
                jobs: Change { before: &before.0, after: self.jobs.table() },
                locks: Change { before: &before.1, after: self.locks.table() },
                messages: Change { before: &before.2, after: self.messages.table() },
                servers: Change { before: &before.3, after: self.servers.table() },
                job_archives: &job_archives.iter().map(Pair::change).collect::<Vec<_>>(),
                message_archives: &message_archives.iter().map(Pair::change).collect::<Vec<_>>(),
                made: made(stride),
            };
            broken.extend(step.judge());
            for merged in &stride.merged {
                broken.extend(self.judge_merged(stride, merged)?);
            }
        }
        let how = (stride.is_merge(), is_repair(&stride.told));
        self.tell(broken, (&before.0, &before.1, &before.2, &before.3), &commit, how);
        Ok(())
    }

    /// Tells what a commit broke of the tables `before` it, which may be a merge or a repair.
    fn tell(
        &mut self,
        mut broken: Vec<Finding>,
        before: (&Table<Job>, &Table<Lock>, &Table<Message>, &Table<Server>),
        commit: &CommitName,
        (is_merge, is_repair): (bool, bool),
    ) {
        let by = (commit, is_repair);
        let back = [
            self.losses.back(before.0, self.jobs.table(), by),
            self.losses.back(before.1, self.locks.table(), by),
            self.losses.back(before.2, self.messages.table(), by),
            self.losses.back(before.3, self.servers.table(), by),
        ];
        let back: HashSet<(&str, String)> = back.into_iter().flatten().collect();
        // A record that is back as it was is none that nobody made.
        broken.retain(|one| {
            let record = one.path.as_deref().zip(one.subject.clone());
            record.is_none_or(|record| !back.contains(&record))
        });
        // From the other side of a merge it looks as if the merge had done what others did before.
        broken.retain(|finding| self.told.insert(breach(finding)) || !is_merge);
        let text = |path: &str, id: &str| match path {
            Job::PATH => before.0.get(id).map(Record::text),
            Lock::PATH => before.1.get(id).map(Record::text),
            Message::PATH => before.2.get(id).map(Record::text),
            Server::PATH => before.3.get(id).map(Record::text),
            _ => None,
        };
        for told in together(broken).into_iter().filter(|_| self.is_telling) {
            told.of.iter().for_each(|one| self.notes.no_longer_only_present(one));
            let loss = self.losses.note(&told, text);
            self.notes.push(commit, told.finding, loss);
        }
    }

    /// Judges a merge as the step that it is from a history it merged in, of which it may have
    /// dropped what others had written.
    fn judge_merged(&self, stride: &Stride<'_>, merged: &Merged) -> Result<Vec<Finding>, LedgerError> {
        let (mut job_archives, mut message_archives) = (Vec::new(), Vec::new());
        for path in &merged.changed {
            match Document::at(path) {
                Some(Document::JobArchive) => job_archives.push(merged_archive(stride, merged, path)?),
                Some(Document::MessageArchive) => {
                    message_archives.push(merged_archive(stride, merged, path)?);
                }
                _ => {}
            }
        }
        let jobs = merged_table(&self.jobs, stride, merged)?;
        let locks = merged_table(&self.locks, stride, merged)?;
        let messages = merged_table(&self.messages, stride, merged)?;
        let servers = merged_table(&self.servers, stride, merged)?;
        let step = Step {
            jobs: jobs.change(),
            locks: locks.change(),
            messages: messages.change(),
            servers: servers.change(),
            job_archives: &job_archives.iter().map(Pair::change).collect::<Vec<_>>(),
            message_archives: &message_archives.iter().map(Pair::change).collect::<Vec<_>>(),
            made: Made::by_merging(merged.brought.saturating_add(1)),
        };
        Ok(step.judge())
    }

    /// Counts a commit and those it merged, and notes operations that are there twice.
    fn count(&mut self, stride: &Stride<'_>, commit: &CommitName) {
        self.commits = stride.number;
        for told in stride.aside.iter().rev().chain([&stride.told]) {
            if told.ops.is_empty() {
                self.notes.made_by_hand(&CommitName::of(told, stride.number));
            }
            for op in &told.ops {
                if let Some(first) = self.ops.insert(op.clone(), stride.number) {
                    let what = format!(
                        "operation {op} is in the history twice, the first time in commit {first} of {}",
                        stride.of
                    );
                    let hint = "it may have been applied twice; a commit that was copied by hand, as `git cherry-pick` does, keeps the trailer of its first";
                    self.notes.broken_by(commit, Finding::new(Kind::OpTwice, what).hint(hint));
                }
            }
        }
    }
}

/// Whether a commit took an older hub over, mended it, or put back what an older writer undid.
fn is_repair(told: &Told) -> bool {
    !told.ops.is_empty()
        && ["import: ", "fsck mend: ", "put back: "].iter().any(|line| told.subject.starts_with(line))
}

/// What a finding says, short enough to be kept of each.
fn breach(finding: &Finding) -> u64 {
    let mut hasher = DefaultHasher::new();
    (finding.kind, &finding.path, &finding.what).hash(&mut hasher);
    hasher.finish()
}

/// A commit took a document away.
fn removed(path: &str, commit: &CommitName) -> Finding {
    let short = commit.short();
    Finding::new(Kind::Missing, "it was removed, and is read as empty")
        .severity(Severity::Error)
        .at(path)
        .hint(format!(
            "put it back in a clone of the hub and push: `git checkout {short}^ -- {}`, then commit",
            quoted(path)
        ))
}

/// How a commit was made, and of how many steps it may consist.
fn made(stride: &Stride<'_>) -> Made {
    if !stride.is_merge() {
        return Made::by_operations(u64::try_from(stride.told.ops.len()).unwrap_or(u64::MAX));
    }
    Made::by_merging(steps(&stride.aside))
}

/// Of how many steps a merge of these commits may consist: theirs and its own.
fn steps(merged: &[Told]) -> u64 {
    let steps: usize = merged.iter().map(|told| told.ops.len().max(1)).sum();
    u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1)
}

/// A table in a history that was merged in, and after the merge. One that could not be read there
/// is not compared.
fn merged_table<T: Row>(
    versions: &Versions<T>,
    stride: &Stride<'_>,
    merged: &Merged,
) -> Result<Pair<T>, LedgerError> {
    let after = Arc::clone(versions.table());
    if !merged.changed.iter().any(|path| path == T::PATH) {
        return Ok(Pair(Arc::clone(&after), after));
    }
    let mut before = Versions::new(T::PATH);
    Ok(match next(&mut before, &stride.merged_in(merged, T::PATH)?) {
        Ok(()) => Pair(Arc::clone(before.table()), after),
        Err(_) => Pair(Arc::clone(&after), after),
    })
}

/// An archive in a history that was merged in, and after the merge.
fn merged_archive<T: Row>(stride: &Stride<'_>, merged: &Merged, path: &str) -> Result<Pair<T>, LedgerError> {
    let (mut before, mut after) = (Versions::new(path), Versions::new(path));
    drop(next(&mut before, &stride.merged_in(merged, path)?));
    // What cannot be read now was told already.
    Ok(match next(&mut after, &stride.after(path)?) {
        Ok(()) => Pair(Arc::clone(before.table()), Arc::clone(after.table())),
        Err(_) => Pair(Arc::clone(before.table()), Arc::clone(before.table())),
    })
}

/// Reads the next version of a table.
fn next<T: Row>(versions: &mut Versions<T>, content: &Content) -> Result<(), DocumentError> {
    match content {
        Content::Missing => {
            versions.remove();
            Ok(())
        }
        Content::File(bytes) => versions.read(bytes),
        Content::Unusable(error) => Err(error.clone()),
    }
}

/// Reads a single document, of which nothing is compared.
fn parse<T: View>(path: &str, content: &Content) -> Result<(), DocumentError> {
    match content {
        Content::Missing => Ok(()),
        Content::File(bytes) => Record::<T>::read_document(path, bytes).map(drop),
        Content::Unusable(error) => Err(error.clone()),
    }
}

/// A table before and after a commit.
struct Pair<T>(Arc<Table<T>>, Arc<Table<T>>);

impl<T> Pair<T> {
    fn change(&self) -> Change<'_, T> {
        Change { before: &self.0, after: &self.1 }
    }
}

/// The archives that changed last, the last at the end.
struct Archives<T>(Vec<(String, Versions<T>)>);

impl<T: Row> Archives<T> {
    /// Reads the next version of the archive at `path` and adds it with the one before to `pairs`.
    fn next(
        &mut self,
        path: &str,
        content: &Content,
        stride: &Stride<'_>,
        pairs: &mut Vec<Pair<T>>,
    ) -> Result<Result<(), DocumentError>, LedgerError> {
        let at_hand = self.0.iter().position(|(known, _)| known == path);
        let mut versions = match at_hand {
            Some(index) => self.0.remove(index).1,
            None => {
                let mut versions = Versions::new(path);
                // One that could not be read was told when it came to be so.
                drop(next(&mut versions, &stride.before(path)?));
                versions
            }
        };
        let before = Arc::clone(versions.table());
        let read = next(&mut versions, content);
        pairs.push(Pair(before, Arc::clone(versions.table())));
        self.0.push((path.to_owned(), versions));
        if self.0.len() > ARCHIVES_AT_HAND_MAX {
            self.0.remove(0);
        }
        Ok(read)
    }
}

fn cut(reached: Reached, notes: &mut Notes) {
    let (what, hint) = match reached {
        Reached::Beginning => return,
        Reached::Shallow => (
            "the beginning of the history was not looked at: this clone is shallow",
            "`git fetch --unshallow` in it brings the rest",
        ),
        Reached::Bound => (
            "the beginning of the history was not looked at: it is too long to be walked whole",
            "what was walked are the newest commits",
        ),
        Reached::Partly => (
            "not all was looked at of merges with very many parents or commits, or of messages with very many operations",
            "git-muster makes no such commits: `git log` tells who did",
        ),
    };
    notes.add(Finding::new(Kind::HistoryCut, what).hint(hint), None);
}

/// Commits that this host saw and that are gone.
fn rewritten(lost: &Lost, ops: &HashMap<OpId, usize>, notes: &mut Notes) {
    let (Some(newest), Some(oldest)) = (lost.commits.first(), lost.commits.last()) else { return };
    let carried = || lost.commits.iter().rev().flat_map(|commit| &commit.ops);
    let gone: Vec<&OpId> = carried().filter(|op| !ops.contains_key(op)).collect();
    let by_hand = lost.commits.iter().filter(|commit| commit.ops.is_empty()).count();
    let names = |gone: &[&OpId]| {
        let named: Vec<&str> = gone.iter().take(OPS_NAMED_MAX).map(|op| op.as_str()).collect();
        let more = gone.len().saturating_sub(named.len());
        format!("{}{}", named.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    let (severity, fate) = match (gone.as_slice(), by_hand) {
        ([], 0) => (Severity::Warning, "their operations are all in the new history".to_owned()),
        ([], _) => (
            Severity::Error,
            format!("{by_hand} of them made by hand; all operations are in the new history"),
        ),
        (gone, _) => (Severity::Error, format!("with these operations: {}", names(gone))),
    };
    let what = format!(
        "the history was rewritten since this host last looked: {} commits, {} to {}, are gone, {fate}",
        lost.commits.len(),
        oldest.version.short(),
        newest.version.short()
    );
    let repository = quoted(&lost.repository.to_string_lossy());
    let log = format!("`git -C {repository} log {}` shows them", newest.version.short());
    let hint = match &lost.kept_as {
        Some(reference) => format!(
            "{log}; once that is settled, `git -C {repository} update-ref -d {reference}` ends this message"
        ),
        None => log,
    };
    let finding = Finding::new(Kind::HistoryRewritten, what).severity(severity).hint(hint);
    notes.broken_by(&CommitName::of(newest, 0), finding);
}

/// What this host began and never learned the outcome of. What a process is at just now is none of it.
fn unsettled(place: &Place, ops: &HashMap<OpId, usize>, notes: &mut Notes) {
    let entries = journal::unsettled().into_iter().filter_map(|op| journal::find(&op));
    for entry in entries.filter(|entry| place.is_of(entry)).filter(journal::is_left) {
        let found = if ops.contains_key(&entry.op) {
            "is in the history"
        } else {
            "is not in the history of the main branch"
        };
        let what =
            format!("operation {}, begun on this host at {} and never settled, {found}", entry.op, entry.at);
        let hint = format!(
            "`git muster op status {0}` settles one that happened, `git muster op resume {0}` makes it happen",
            entry.op
        );
        notes.add(Finding::new(Kind::Unsettled, what).hint(hint), None);
    }
}
