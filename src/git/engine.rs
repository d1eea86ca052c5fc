//! git as the store below the ledger: two ways to reach a hub, one way to read and build.
//!
//! A hub that is a repository of this machine is opened itself. Any other is copied: into the
//! clone around us, or into a bare repository in the cache, and reached through the git program.

mod around;
mod failed;
mod history;
mod upkeep;

use super::refs::{heartbeats_spec, tracking};
use super::{object_format, partial, permitted, publish, refs, salvage};
use crate::ledger::{
    Cause, Commit, Document, Engine, EngineHistory, EngineUpkeep, LedgerError, Move, Publication, Reason,
    Scope, Search, StoreCause, Version,
};
use around::BranchQuery;

use super::abandoned::{self, WaitResult};
use super::bad_refs::{self, BadRefs};
use super::cache::HubCopy;
use super::classify::{FetchVerdict, is_about_lock};
use super::identity::Identity;
use super::in_process::{why_not_in_process, with_whose_hook};
use super::libgit2::fault;
use super::objects::Objects;
use super::program::GitProgram;
use super::pruning::{self, WrittenObject};
use crate::domain::bad_branch::{BadBranch, BranchFault};
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, OpId};
use crate::machine::Deadline;
use crate::machine::clock;
use crate::machine::failpoint::failpoint;
use crate::machine::random;
use git2::{Oid, Repository};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// One of so many writes looks whether the repository needs tidying.
const TIDY_ONE_IN: u32 = 256;

/// How often a commit is built in a hub that somebody cleans at the same time.
const BUILDS_MAX: u32 = 5;

/// How often a fetch is tried while our copy changes under it.
const FETCHES_MAX: u32 = 4;

/// Where most hubs are.
const USUAL_BRANCH: &str = "main";

/// How the hub is reached.
pub(super) enum Access {
    /// It is the repository that is open.
    Itself,
    /// It is `origin` of the repository that is open.
    Origin {
        /// That repository, if it is ours to replace when it is damaged.
        copy: Option<HubCopy>,
    },
}

/// A hub in git.
pub(super) struct GitEngine {
    name: String,
    objects: Objects,
    reach: Access,
    git: GitProgram,
    /// The clone around us, if the command runs in one.
    clone: Option<PathBuf>,
    /// What was built in a hub of this machine and is named by no branch yet.
    made: Vec<WrittenObject>,
    /// The files of the refs that we moved last, as they were. Freeing a file can take a disk
    /// longer than writing it, and nobody should have to wait for that behind our lock.
    replaced: Vec<File>,
    /// Why a push or a look at it made our copy look damaged: the next refresh begins a new one.
    suspect: RefCell<Option<String>>,
    /// The branches that cannot be used, and of which of them the user was told.
    bad: RefCell<BadRefs>,
    told: BTreeSet<String>,
    /// Branches of servers that hold all that the hub's own branch holds, and where they stood when the hub
    /// said that they are branches of their own.
    own: RefCell<BTreeMap<String, Oid>>,
    /// Who makes commits, by the author that the ledger names: one server, where it gathers nobody else's.
    who: RefCell<BTreeMap<String, Identity>>,
    /// What else the user has to know.
    notes: Vec<String>,
    /// Whether the hub was asked since the present look or attempt began, so that what is known of its branches
    /// is no older than that: a process may live for weeks.
    asked: bool,
}

impl GitEngine {
    pub(super) fn new(name: String, repository: Repository, reach: Access, clone: Option<PathBuf>) -> Self {
        Self {
            name,
            objects: Objects::new(repository),
            reach,
            git: GitProgram::default(),
            clone,
            made: Vec::new(),
            replaced: Vec::new(),
            suspect: RefCell::default(),
            bad: RefCell::default(),
            told: BTreeSet::new(),
            own: RefCell::default(),
            who: RefCell::default(),
            notes: Vec::new(),
            asked: false,
        }
    }

    /// The same, with `options` for every git command.
    pub(super) fn with_options(self, options: Vec<String>) -> Self {
        Self { git: self.git.with_options(options), ..self }
    }

    fn reference(&self, branch: &str) -> String {
        match self.reach {
            Access::Itself => format!("refs/heads/{branch}"),
            Access::Origin { .. } => format!("refs/remotes/origin/{branch}"),
        }
    }

    fn directory(&self) -> &Path {
        self.objects.repository().path()
    }

    /// What we have seen of the branch until now, kept so that a fetch that is cut short after it
    /// moved the branch here takes nothing from the next one: with what one before it left behind.
    fn remember(&self, main: &str) -> Result<BTreeSet<Version>, LedgerError> {
        let left = self.objects.tip(&refs::seen(main)).unwrap_or_default();
        let before = self.tip(main)?;
        if let (None, Some(before)) = (&left, &before) {
            publish::keep_seen(self.objects.repository(), main, before);
        }
        Ok(left.into_iter().chain(before).collect())
    }

    /// Says so when the branch no longer holds what we saw before.
    fn compare(&self, main: &str, before: &Version) -> Result<Option<String>, LedgerError> {
        let Some(now) = self.tip(main)? else { return Ok(None) };
        if self.objects.is_in_history(&now, before)? {
            return Ok(None);
        }
        let lost = self.objects.commits_lost(before, &now);
        let kept = publish::keep_lost(self.objects.repository(), before)
            .map_or(String::new(), |reference| format!("; they are kept here as `{reference}`"));
        Ok(Some(format!(
            "the history of `{main}` was rewritten on the hub: {lost} commits we had seen are no longer in it{kept}"
        )))
    }

    /// Whether a push may be sent twice: curl repeats a request on a kept connection that turns out to be dead.
    fn repeats_requests(&self) -> bool {
        matches!(self.reach, Access::Origin { .. }) && self.name.starts_with("http")
    }

    fn build(&self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        let mut known = self.who.borrow_mut();
        let identity = || Identity::of(commit.author, self.clone.as_deref());
        let who = known.entry(commit.author.to_owned()).or_insert_with(identity);
        self.suspecting(self.objects.commit(commit, who, &self.git))
    }

    /// Builds a commit so that it outlasts a loss of power, and not while what nothing names is
    /// removed. Of a removal that begins meanwhile one may have become a victim.
    fn build_for_good(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        let mut tries = 0;
        loop {
            pruning::outwait(self.objects.repository());
            tries += 1;
            let since = clock::wall();
            let built = self
                .build(commit)
                .and_then(|built| Ok((self.objects.flush(&built, commit.changes, since)?, built)));
            match built {
                Ok((made, version)) => {
                    self.made.extend(made);
                    return Ok(version);
                }
                Err(LedgerError::Store { cause: StoreCause::Damaged, .. }) if tries < BUILDS_MAX => {
                    pruning::set_torn_aside(self.objects.repository(), since);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Notes what a look at our repository says of it, and names it when it is damaged.
    fn suspecting<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        result.map_err(|error| match error {
            LedgerError::Store { cause: StoreCause::Damaged, what, why } => self.damaged(&what, why),
            other => other,
        })
    }

    fn damaged(&self, what: &str, why: String) -> LedgerError {
        *self.suspect.borrow_mut() = Some(why.clone());
        if let Some(partial) = partial::of(self.objects.repository()) {
            return LedgerError::Partial { what: what.to_owned(), partial, why };
        }
        let what = format!("{what}: the repository `{}` is damaged", self.directory().display());
        LedgerError::Store { what, why, cause: StoreCause::Damaged }
    }

    /// Waits for those who move, or were killed while they moved, what our copy knows of the hub.
    fn outwait_locks(&self, deadline: &Deadline) -> Result<(), LedgerError> {
        let locks = abandoned::locks_of_tracking_refs(self.objects.repository());
        let is_copy = matches!(self.reach, Access::Origin { copy: Some(_) });
        match abandoned::outwait(self.objects.repository(), &locks, is_copy, deadline) {
            WaitResult::Over => Ok(()),
            WaitResult::Stands(held) => {
                let why = Reason::of(Cause::Trouble, format!("our copy of it is locked: {held}"));
                Err(LedgerError::Unreachable { hub: self.name.clone(), why })
            }
        }
    }

    /// A branch of a hub on this disk whose ref cannot be read.
    fn broken(&self, branch: &str) -> LedgerError {
        let (repository, reference) = (self.objects.repository(), self.reference(branch));
        LedgerError::BrokenBranch {
            hub: self.name.clone(),
            branch: branch.to_owned(),
            file: repository.commondir().join(&reference).to_string_lossy().into_owned(),
            newest: salvage::newest(repository, &reference),
        }
    }

    /// The branch we had seen is gone from the hub: it must not seem to be there, and what it was is
    /// kept.
    fn forget(&self, main: &str) {
        if let Ok(Some(before)) = self.tip(main) {
            publish::keep_gone(self.objects.repository(), main, &before);
        }
        publish::remove_note(self.objects.repository(), &self.reference(main));
        publish::remove_note(self.objects.repository(), &refs::seen(main));
    }
}

/// Whether a fetch failed because something in our copy was removed under it: folders and objects
/// that nothing needs any more, by `git gc`, or all of the copy, by who replaces a damaged one.
fn is_passing(why: &str) -> bool {
    ["No such file or directory", "delta-pack base object"].iter().any(|words| why.contains(words))
}

impl Engine for GitEngine {
    fn hub(&self) -> &str {
        &self.name
    }

    fn again(&self) -> Result<Option<Box<dyn Engine + Send>>, LedgerError> {
        let what = format!("cannot open `{}` once more", self.directory().display());
        let repository = permitted::open(self.directory()).map_err(|error| fault(what, &error))?;
        let reach = match self.reach {
            Access::Itself => Access::Itself,
            // Whoever only reads begins no copy anew.
            Access::Origin { .. } => Access::Origin { copy: None },
        };
        let again = Self {
            bad: self.bad.clone(),
            own: self.own.clone(),
            ..Self::new(self.name.clone(), repository, reach, None)
        };
        Ok(Some(Box::new(again)))
    }

    fn is_always_fresh(&self) -> bool {
        matches!(self.reach, Access::Itself)
    }

    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        if self.is_unusable(branch) {
            return Ok(None);
        }
        let tip = match self.objects.tip(&self.reference(branch)) {
            Err(LedgerError::Store { cause: StoreCause::Damaged, .. }) if self.is_always_fresh() => {
                let file = self.objects.repository().commondir().join(self.reference(branch));
                if bad_refs::why_unreadable(&file) == BranchFault::Forbidden {
                    let why = bad_refs::refusal(BadBranch {
                        branch: branch.to_owned(),
                        flaw: BranchFault::Forbidden,
                    });
                    return Err(LedgerError::Denied { hub: self.name.clone(), why });
                }
                return Err(self.broken(branch));
            }
            tip => self.suspecting(tip)?,
        };
        // A folder that was moved away looks empty to whom had it open.
        if tip.is_none() && self.is_always_fresh() && !self.directory().is_dir() {
            let why = Reason::of(Cause::NoPlace, "its folder is no longer there");
            return Err(LedgerError::Unreachable { hub: self.name.clone(), why });
        }
        Ok(tip)
    }

    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let rest = self.objects.names(&self.reference(prefix))?;
        let names = rest.into_iter().map(|rest| format!("{prefix}{rest}"));
        if !prefix.starts_with(HEARTBEAT_BRANCH_PREFIX) {
            return Ok(names.collect());
        }
        if self.is_always_fresh() {
            let files = bad_refs::unreadable_files(&self.objects);
            self.bad.borrow_mut().extend(files);
        }
        Ok(names.filter(|name| !self.is_left_out(name)).collect())
    }

    fn refresh(
        &mut self,
        main: &str,
        scope: &Scope,
        deadline: &Deadline,
    ) -> Result<Option<String>, LedgerError> {
        // What was bad may have been mended since.
        self.begin_look();
        self.bad.get_mut().clear();
        if self.is_always_fresh() {
            return Ok(None);
        }
        if let Some(why) = self.suspect.get_mut().take() {
            return Err(LedgerError::Store {
                what: "our copy of the hub is damaged".to_owned(),
                why,
                cause: StoreCause::Damaged,
            });
        }
        let gone = format!("{}{main}", refs::GONE);
        let mut before = self.remember(main)?;
        // Of a branch that was gone and came back, what it was before counts.
        before.extend(self.objects.tip(&gone).unwrap_or_default());
        let hub = || self.name.clone();
        let mut verdict = self.fetch(main, (scope, BranchQuery::Name), deadline)?;
        if matches!(&verdict, FetchVerdict::Failed(why) if is_about_lock(why)) {
            self.outwait_locks(deadline)?;
            verdict = self.fetch(main, (scope, BranchQuery::Name), deadline)?;
        }
        // Somebody cleans our copy, or began it anew, at this moment.
        for _ in 1..FETCHES_MAX {
            let is_over = match &verdict {
                FetchVerdict::Failed(why) | FetchVerdict::HubDamaged(why, _) => !is_passing(why),
                _ => true,
            };
            if is_over || deadline.passed() {
                break;
            }
            pruning::outwait(self.objects.repository());
            verdict = self.fetch(main, (scope, BranchQuery::Name), deadline)?;
        }
        // A connection over http that is lost in the head of the answer looks to git like a hub
        // without a branch, and so does a heartbeat branch that is gone.
        if matches!(verdict, FetchVerdict::MissingBranch) {
            verdict = self.fetch(main, (scope, BranchQuery::Pattern), deadline)?;
        }
        failpoint("fetched");
        if let Some(flaw) = self.bad.borrow().get(main) {
            let why = bad_refs::refusal(BadBranch { branch: main.to_owned(), flaw: *flaw });
            return Err(LedgerError::Denied { hub: hub(), why });
        }
        match verdict {
            FetchVerdict::Fetched => {
                self.asked = true;
                let mut warning = None;
                for seen in &before {
                    warning = self.compare(main, seen)?.or(warning);
                }
                publish::remove_note(self.objects.repository(), &refs::seen(main));
                publish::remove_note(self.objects.repository(), &gone);
                Ok(warning)
            }
            FetchVerdict::MissingBranch => {
                self.forget(main);
                if let Some(why) = object_format::refusal(&self.git, self.directory(), &[], deadline) {
                    return Err(LedgerError::Denied { hub: hub(), why });
                }
                // Whether there are heartbeats tells whether there was a hub; without, nothing is told.
                drop(self.fetch_all(&[heartbeats_spec()], deadline));
                if main != USUAL_BRANCH {
                    drop(self.fetch_all(&[tracking(USUAL_BRANCH)], deadline));
                }
                Ok(None)
            }
            verdict => Err(self.failed(main, verdict)),
        }
    }

    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        let bytes = self.suspecting(self.objects.read(version, path))?;
        Ok(bytes.map(|bytes| Arc::new(Document::new(bytes))))
    }

    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        self.suspecting(self.objects.list(version, folder))
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        // A clone is only a copy; the hub must never name what is not on the disk.
        if self.is_always_fresh() {
            return self.build_for_good(commit);
        }
        pruning::outwait(self.objects.repository());
        self.build(commit)
    }

    fn publish(&mut self, moves: &[Move], deadline: &Deadline) -> Publication {
        if moves.is_empty() {
            // `git push` would choose branches by itself.
            return Publication::Applied;
        }
        if let Some(bad) = self.in_the_way(moves)
            && !self.remove_bad(&bad, deadline)
        {
            // A no on what may be old is no answer: nothing was sent, and the hub is asked first.
            let is_old = !self.is_always_fresh() && !self.asked;
            return if is_old {
                Publication::Busy(None)
            } else {
                Publication::Denied(bad_refs::refusal(bad))
            };
        }
        let publication = match self.reach {
            // A hook may have come since the hub was opened: a worker has it open for weeks.
            Access::Itself if why_not_in_process(self.objects.repository()).is_some() => {
                self.push(moves, deadline)
            }
            Access::Itself => {
                self.replaced = publish::ref_files(self.objects.repository(), moves);
                let made = std::mem::take(&mut self.made);
                publish::in_process(self.objects.repository(), moves, &made, deadline)
            }
            Access::Origin { .. } => self.push(moves, deadline),
        };
        let publication = match publication {
            Publication::Denied(reason) if reason.about.is_none() => {
                let reason = with_whose_hook(reason, Path::new(&self.name));
                Publication::Denied(self.in_the_way(moves).map_or(reason, bad_refs::refusal))
            }
            Publication::Doubted(reason) => {
                Publication::Doubted(with_whose_hook(reason, Path::new(&self.name)))
            }
            Publication::Stale if self.repeats_requests() => Publication::StaleOrRepeated,
            other => other,
        };
        if publication == Publication::Applied
            && random::up_to(Duration::from_nanos(u64::from(TIDY_ONE_IN))).is_zero()
        {
            self.git.tidy(self.directory());
            if let (Access::Itself, Some(clone)) = (&self.reach, &self.clone) {
                self.git.tidy(&clone.join(".git"));
            }
        }
        publication
    }

    fn leads_to(&self, version: &Version, tip: &Version) -> Result<bool, LedgerError> {
        self.suspecting(self.objects.is_in_history(tip, version))
    }

    fn find(&self, tip: &Version, op: &OpId, since: Option<&Version>) -> Result<Search, LedgerError> {
        self.suspecting(self.objects.find(tip, op, since))
    }

    fn history(&self) -> Option<&dyn EngineHistory> {
        Some(self)
    }

    fn upkeep(&self) -> Option<&dyn EngineUpkeep> {
        Some(self)
    }

    fn upkeep_mut(&mut self) -> Option<&mut dyn EngineUpkeep> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_may_be_sent_twice_over_http_only() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, is_origin, repeats) in [
            ("https://hub.example/hub.git", true, true),
            ("http://hub.example/hub.git", true, true),
            ("ssh://git@hub.example/hub.git", true, false),
            ("git://hub.example/hub.git", true, false),
            ("http", false, false),
        ] {
            let repository = Repository::init_bare(folder.path()).expect("a repository");
            let reach = if is_origin { Access::Origin { copy: None } } else { Access::Itself };
            let engine = GitEngine::new(name.to_owned(), repository, reach, None);
            assert_eq!(engine.repeats_requests(), repeats, "{name}");
        }
    }

    #[test]
    fn what_another_process_takes_away_is_asked_for_again() {
        for (why, expected) in [
            ("fatal: cannot open '/c/objects/ab': No such file or directory", true),
            ("fatal: delta-pack base object is missing", true),
            ("fatal: bad config line 1", false),
            ("", false),
        ] {
            assert_eq!(is_passing(why), expected, "{why}");
        }
    }
}
