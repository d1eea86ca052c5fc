//! How a hub came to be: each commit judged against the one before.
//!
//! A version that cannot be read is told, and what follows is judged against the last one that
//! could: a break does not hide what was lost in it. The commits that a merge brought in are one
//! step together with it, of as many operations as they carry.

use super::losses::{Losses, together};
use super::track::{self, Track};
use super::{CommitName, Document, Notes, Question, is_wanted, unreadable};
use crate::app::journal;
use crate::app::submit::HubRef;
use crate::domain::audit::Made;
use crate::domain::build_config::BuildConfig;
use crate::domain::finding::{About, CutBy, Fact, Finding, FindingCode, HubFact, Rewritten, Severity, Thing};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::hub::Marker;
use crate::domain::id::OpId;
use crate::domain::json::DocumentError;
use crate::domain::record::{Record, View};
use crate::domain::refusal::{self, Refusal};
use crate::domain::status::Status;
use crate::domain::tables::TableKind;
use crate::ledger::{Abort, CommitTrailers, Content, LedgerError, LostCommits, Reached, Snapshot, WalkStep};
use crate::machine::Machine;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// How many of the operations that a rewritten history lost are named.
const OPS_NAMED_MAX: usize = 20;

/// Notes what is wrong with the history of the main branch.
pub(super) fn check(
    snapshot: &Snapshot<'_>,
    question: &Question<'_>,
    progress: &super::Progress<'_>,
    notes: &mut Notes,
) -> Result<(), Abort> {
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
        return Err(Refusal::NotFound { kind: refusal::Kind::Commit, id: since.to_owned() }.into());
    }
    if let Some(until) = question.until.filter(|_| is_telling) {
        return Err(Refusal::NotFound { kind: refusal::Kind::Commit, id: until.to_owned() }.into());
    }
    cut(reached, notes);
    for lost in snapshot.lost()? {
        rewritten(&lost, &ops, notes);
    }
    unsettled(question.machine, question.place, &ops, notes);
    Ok(())
}

/// What is known after the commits that were walked so far.
struct Auditor<'a> {
    notes: &'a mut Notes,
    /// One for each table of the list.
    tracks: Vec<Box<dyn Track>>,
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
            tracks: track::all(),
            told: HashSet::new(),
            losses: Losses::default(),
            is_telling: true,
            unusable: HashSet::new(),
            ops: HashMap::new(),
            commits: 0,
        }
    }

    fn commit(&mut self, stride: &WalkStep<'_>) -> Result<(), LedgerError> {
        let commit = CommitName::of(&stride.told, stride.number);
        self.count(stride, &commit);
        let mut broken = Vec::new();
        self.tracks.iter_mut().for_each(|track| track.begin());
        for (path, content) in &stride.changed {
            let document = Document::at(path);
            if matches!(content, Content::Missing) && document.as_ref().is_some_and(Document::is_kept) {
                // What comes after is judged against what it held.
                broken.push(removed(path, &commit));
                self.unusable.insert(path.clone());
                continue;
            }
            match self.read(document, path, content, stride)? {
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
            let made = made(stride);
            broken.extend(self.tracks.iter().flat_map(|track| track.judge(made)));
            for merged in &stride.merged {
                // It may have dropped what others had written in the history it merged in.
                for track in &self.tracks {
                    broken.extend(track.judge_merged(stride, merged)?);
                }
            }
        }
        self.tell(broken, &commit, (stride.is_merge(), is_repair(&stride.told)));
        Ok(())
    }

    /// Reads what a commit made of a document.
    fn read(
        &mut self,
        document: Option<Document>,
        path: &str,
        content: &Content,
        stride: &WalkStep<'_>,
    ) -> Result<Result<(), DocumentError>, LedgerError> {
        let of = |kind: &TableKind| self.tracks.iter().position(|track| track.path() == kind.path);
        let place = match &document {
            Some(Document::Table(kind) | Document::Archive(kind)) => of(kind),
            _ => None,
        };
        let track = place.and_then(|place| self.tracks.get_mut(place));
        Ok(match (document, track) {
            (Some(Document::Table(_)), Some(track)) => track.next(content),
            (Some(Document::Archive(_)), Some(track)) => track.next_archive(path, content, stride)?,
            (Some(Document::Status(_)), _) => parse::<Status>(path, content),
            (Some(Document::Heartbeat(_)), _) => parse::<Heartbeat>(path, content),
            (Some(Document::BuildConfig), _) => parse::<BuildConfig>(path, content),
            (Some(Document::Hub), _) => parse::<Marker>(path, content),
            _ => Ok(()),
        })
    }

    /// Tells what a commit broke, which may be a merge or a repair.
    fn tell(&mut self, mut broken: Vec<Finding>, commit: &CommitName, (is_merge, is_repair): (bool, bool)) {
        let mut back: HashSet<(&str, String)> = HashSet::new();
        for track in &self.tracks {
            back.extend(track.back(&mut self.losses, (commit, is_repair)));
        }
        // A record that is back as it was is none that nobody made.
        broken.retain(|one| {
            // That it stands twice, or cannot be read, is so all the same.
            let is_step = !matches!(one.code(), FindingCode::IdTwice | FindingCode::BrokenRecord);
            let record = one.about.path.as_deref().zip(Some(one.about.id.clone()));
            !is_step || record.is_none_or(|record| !back.contains(&record))
        });
        // From the other side of a merge it looks as if the merge had done what others did before.
        broken.retain(|finding| self.told.insert(breach(finding)) || !is_merge);
        let tracks = &self.tracks;
        let text = |path: &str, id: &str| tracks.iter().find(|track| track.path() == path)?.text_before(id);
        for told in together(broken).into_iter().filter(|_| self.is_telling) {
            told.of.iter().for_each(|one| self.notes.no_longer_only_present(one));
            let loss = self.losses.note(&told, text);
            self.notes.push(commit, told.finding, loss);
        }
    }

    /// Counts a commit and those it merged, and notes operations that are there twice.
    fn count(&mut self, stride: &WalkStep<'_>, commit: &CommitName) {
        self.commits = stride.number;
        for told in stride.aside.iter().rev().chain([&stride.told]) {
            if told.ops.is_empty() {
                self.notes.made_by_hand(&CommitName::of(told, stride.number));
            }
            for op in &told.ops {
                if let Some(first) = self.ops.insert(op.clone(), stride.number) {
                    let fact = HubFact::OpTwice { first, of: stride.of };
                    let about = About::new(Thing::Operation, op.as_str());
                    self.notes.broken_by(commit, Finding::new(fact, about));
                }
            }
        }
    }
}

/// Whether a commit took an older hub over, mended it, or put back what an older writer undid.
fn is_repair(told: &CommitTrailers) -> bool {
    !told.ops.is_empty()
        && ["import: ", "fsck mend: ", "put back: "].iter().any(|line| told.subject.starts_with(line))
}

/// What a finding says, short enough to be kept of each.
fn breach(finding: &Finding) -> u64 {
    let mut hasher = DefaultHasher::new();
    let fact = match &finding.fact {
        Fact::Hub(fact) => Some(fact),
        Fact::Fleet(_) => None,
    };
    (fact, &finding.about.path, &finding.about.id).hash(&mut hasher);
    hasher.finish()
}

/// A commit took a document away.
fn removed(path: &str, commit: &CommitName) -> Finding {
    let fact = HubFact::Removed { commit: commit.short().to_owned() };
    Finding::new(fact, About::new(Thing::Document, path)).severity(Severity::Error).at(path)
}

/// How a commit was made, and of how many steps it may consist.
fn made(stride: &WalkStep<'_>) -> Made {
    if !stride.is_merge() {
        return Made::by_operations(u64::try_from(stride.told.ops.len()).unwrap_or(u64::MAX));
    }
    Made::by_merging(steps(&stride.aside))
}

/// Of how many steps a merge of these commits may consist: theirs and its own.
fn steps(merged: &[CommitTrailers]) -> u64 {
    let steps: usize = merged.iter().map(|told| told.ops.len().max(1)).sum();
    u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1)
}

/// Reads a single document, of which nothing is compared.
fn parse<T: View>(path: &str, content: &Content) -> Result<(), DocumentError> {
    match content {
        Content::Missing => Ok(()),
        Content::File(bytes) => Record::<T>::read_document(path, bytes).map(drop),
        Content::Unusable(error) => Err(error.clone()),
    }
}

fn cut(reached: Reached, notes: &mut Notes) {
    let cause = match reached {
        Reached::Beginning => return,
        Reached::Shallow => CutBy::Shallow,
        Reached::Bound => CutBy::Length,
        Reached::Partly => CutBy::Width,
    };
    notes.add(Finding::new(HubFact::HistoryCut { cause }, of_history()), None);
}

fn of_history() -> About {
    About::new(Thing::History, "history")
}

/// Commits that this host saw and that are gone.
fn rewritten(lost: &LostCommits, ops: &HashMap<OpId, usize>, notes: &mut Notes) {
    let (Some(newest), Some(oldest)) = (lost.commits.first(), lost.commits.last()) else { return };
    let carried = || lost.commits.iter().rev().flat_map(|commit| &commit.ops);
    let gone: Vec<&OpId> = carried().filter(|op| !ops.contains_key(op)).collect();
    let by_hand = lost.commits.iter().filter(|commit| commit.ops.is_empty()).count();
    // All of their operations are in the new history: it was copied.
    let severity = if gone.is_empty() && by_hand == 0 { Severity::Warning } else { Severity::Error };
    let fact = HubFact::HistoryRewritten(Box::new(Rewritten {
        commits: lost.commits.len(),
        by_hand,
        oldest: oldest.version.short().to_string(),
        newest: newest.version.short().to_string(),
        lost: gone.iter().take(OPS_NAMED_MAX).map(|op| op.to_string()).collect(),
        lost_more: gone.len().saturating_sub(OPS_NAMED_MAX),
        repository: lost.place.clone(),
        kept_as: lost.kept_as.clone(),
    }));
    notes.broken_by(&CommitName::of(newest, 0), Finding::new(fact, of_history()).severity(severity));
}

/// What this host began and never learned the outcome of. What a process is at just now is none of it.
fn unsettled(machine: &Machine, place: &HubRef, ops: &HashMap<OpId, usize>, notes: &mut Notes) {
    let entries = journal::unsettled(machine).into_iter().filter_map(|op| journal::find(machine, &op));
    for entry in entries.filter(|entry| place.is_of(entry)).filter(|entry| journal::is_left(machine, entry)) {
        let fact = HubFact::Unsettled { at: entry.at, is_in_history: ops.contains_key(&entry.op) };
        notes.add(Finding::new(fact, About::new(Thing::Operation, entry.op.as_str())), None);
    }
}
