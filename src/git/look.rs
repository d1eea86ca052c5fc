//! A look at a hub that leaves no trace: no copy is made or brought up to date, no lock is taken.
//!
//! A hub that is opened in place is read in place. Any other is fetched, one commit deep, into a
//! folder among the temporary files that goes with the [`HubProbe`]; nothing of it is kept, and nothing
//! is ever sent. What a sound copy or the clone around holds already is read from there.

use super::bad_refs::{self, BadRefs, Before, FetchedRefs, Groups};
use super::cache::store_path;
use super::classify::{FetchVerdict, classify_fetch, classify_push, is_about_owner, is_without_match};
use super::commits::CommitText;
use super::engine::{Access, GitEngine};
use super::in_process::why_not_in_process;
use super::inspect::Store;
use super::libgit2::fault;
use super::objects::{Objects, init_bare};
use super::open::{configured, open_path};
use super::program::{GitProgram, TOO_SLOW};
use super::refs::tracking;
use super::{object_format, permitted};
use crate::domain::bad_branch::BadBranch;
use crate::domain::doctor::hub::Tip;
use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;
use crate::ledger::Location;
use crate::ledger::{
    Cause, Engine as _, EngineHistory as _, EngineUpkeep as _, LedgerError, LostObject, Past, Publication,
    Reason, Snapshot, StoreCause, Version,
};
use crate::machine::Deadline;
use crate::machine::{environment, files, random};
use git2::{Oid, Repository};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// How the folders of looks are named among the temporary files; an id follows.
const LOOK_FOLDER_PREFIX: &str = "muster-look-";

/// Whether a temporary folder of this name was made for a look.
#[must_use]
pub fn is_look(folder: &str) -> bool {
    folder.strip_prefix(LOOK_FOLDER_PREFIX).is_some_and(random::is_id)
}

/// What is told of a hub that cannot be read: no copy of ours is in a look, so it is the hub that is damaged.
fn damage(why: &str) -> StoreCause {
    if is_about_owner(why) { StoreCause::Owner } else { StoreCause::Damaged }
}

/// A fetch of nothing but the newest commits.
const FETCH: &[&str] = &["fetch", "--depth=1"];

/// A fetch of the whole history.
const FETCH_ALL: &[&str] = &["fetch"];

/// What goes with each fetch, whatever the user's configuration would add.
const FETCH_QUIETLY: &[&str] = &[
    "--quiet",
    "--no-filter",
    "--no-tags",
    "--no-recurse-submodules",
    "--no-write-fetch-head",
    "--refmap=",
    "origin",
];

/// A push that asks for leave and then sends nothing.
const ASK: &[&str] = &[
    "push",
    "--dry-run",
    "--porcelain",
    "--no-verify",
    "--no-follow-tags",
    "--recurse-submodules=no",
    "--no-signed",
    "origin",
];

/// A hub as it was at one moment.
pub struct HubProbe {
    engine: GitEngine,
    repository: Repository,
    main: String,
    /// How the hub is reached when it is not opened in place.
    way: Option<ProbeRoute>,
}

/// A hub that is reached through git.
struct ProbeRoute {
    folder: Temporary,
    /// What goes before the verb of every git command.
    options: Vec<String>,
    why: &'static str,
    /// The branches that lead nowhere.
    bad: RefCell<BadRefs>,
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// An empty repository with this branch, which is gone with what is returned.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn repository(branch: &str) -> Result<Self, LedgerError> {
        let folder = environment::temporary_dir().join(format!("{LOOK_FOLDER_PREFIX}{}", random::id()));
        files::create_private_dir(&folder)?;
        let folder = Self(folder);
        init_bare(&folder.0, branch)?;
        Ok(folder)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed lies among the temporary files and only takes space.
        drop(files::remove_all(&self.0));
    }
}

impl HubProbe {
    /// Looks at branch `main` and the heartbeat branches of the hub at `location`, as a command in
    /// `clone` would reach it.
    ///
    /// # Errors
    /// When it cannot be reached or is no repository, or the branch is not there.
    pub fn at(
        location: &Location,
        clone: Option<&Path>,
        main: &str,
        deadline: &Deadline,
    ) -> Result<Self, LedgerError> {
        let name = location.shown();
        let why = match location {
            Location::Url(_) => "it is reached over a connection",
            Location::Path(path) => {
                let repository = open_path(path)?;
                match why_not_in_process(&repository) {
                    None => return Ok(Self::in_place(name, repository, open_path(path)?, main)),
                    Some(why) => why,
                }
            }
        };
        let way = ProbeRoute::to(location, clone, main, why)?;
        way.fetch(&name, main, FETCH, deadline)?;
        let open = || Repository::open_bare(&way.folder.0).map_err(|error| fault(OURS, &error));
        let (repository, engine) = (open()?, open()?);
        let engine = GitEngine::new(name, engine, Access::Origin { copy: None }, None);
        Ok(Self { engine, repository, main: main.to_owned(), way: Some(way) })
    }

    fn in_place(name: String, repository: Repository, again: Repository, main: &str) -> Self {
        let engine = GitEngine::new(name, again, Access::Itself, None);
        Self { engine, repository, main: main.to_owned(), way: None }
    }

    /// Why the hub is reached through the program git and not opened in place, if so.
    #[must_use]
    pub fn why_through_git(&self) -> Option<&'static str> {
        self.way.as_ref().map(|way| way.why)
    }

    /// The branches that cannot be used, of those that were looked at.
    #[must_use]
    pub fn bad_branches(&self) -> Vec<BadBranch> {
        let found = self.way.as_ref().map(|way| way.bad.borrow().clone()).unwrap_or_default();
        let found = found.into_iter().map(|(branch, flaw)| BadBranch { branch, flaw });
        found.chain(self.engine.bad_branches()).collect()
    }

    /// Its documents.
    #[must_use]
    pub fn documents(&self) -> Snapshot<'_> {
        Snapshot::new(&self.engine, &self.main)
    }

    /// The newest commits of the main branch and of the heartbeat branches.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn tips(&self) -> Result<Vec<Tip>, LedgerError> {
        let mut branches = vec![self.main.clone()];
        branches.extend(self.engine.branches(HEARTBEAT_BRANCH_PREFIX)?);
        let mut tips = Vec::new();
        for branch in branches {
            if let Some(version) = self.engine.tip(&branch)? {
                tips.push(self.tip(branch, &version)?);
            }
        }
        Ok(tips)
    }

    fn tip(&self, branch: String, version: &Version) -> Result<Tip, LedgerError> {
        let failed = |error| fault(format!("cannot read the newest commit of `{branch}`"), &error);
        let id = Oid::from_str(version.as_str()).map_err(failed)?;
        let odb = self.repository.odb().map_err(failed)?;
        let commit = CommitText::read(&odb, id).map_err(failed)?;
        // As it was written: what was fetched alone seems to have no parents.
        let has_history = commit.parents().next().is_some();
        let commits = match (&self.way, has_history) {
            (None, _) => Some(self.engine.count(version)?),
            (Some(_), false) => Some(1),
            (Some(_), true) => None,
        };
        Ok(Tip { at: commit.at(), author: commit.author().into_owned(), commits, has_history, branch })
    }

    /// Asks a hub that is reached through git whether this account may push: everything of a push
    /// but the push. What only a push itself tells stays open, such as hooks and protected
    /// branches.
    ///
    /// # Errors
    /// When the hub does not let us in for writing.
    pub fn ask_to_push(&self, deadline: &Deadline) -> Result<(), LedgerError> {
        let (Some(way), Some(tip)) = (&self.way, self.engine.tip(&self.main)?) else { return Ok(()) };
        let offered = format!("{tip}:refs/heads/{}", self.main);
        let done = way.git(ASK, &[offered], deadline)?;
        let hub = || self.engine.hub().to_owned();
        if done.timed_out {
            return Err(LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Network, TOO_SLOW) });
        }
        // A line about the ref, whatever it says, comes after the hub let us in.
        if done.stdout.lines().any(|line| line.splitn(3, '\t').count() == 3) {
            return Ok(());
        }
        Err(match classify_push((&[&self.main], &[]), done.exit_code, &done.stdout, &done.stderr) {
            Publication::Denied(why) | Publication::Doubted(why) => LedgerError::Denied { hub: hub(), why },
            Publication::Unreachable(why) => LedgerError::Unreachable { hub: hub(), why },
            Publication::Unknown(why) => {
                LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Silent, why) }
            }
            _ => return Ok(()),
        })
    }
}

/// Has a hub that is reached through git, which `why` tells, send what a command in `clone` would have to
/// fetch: all of the history that neither the clone nor our copy has. Nothing is kept.
///
/// # Errors
/// When it does not come.
pub fn send_history(
    location: &Location,
    clone: Option<&Path>,
    main: &str,
    why: &'static str,
    deadline: &Deadline,
) -> Result<(), LedgerError> {
    // Of a shallow clone a command asks for what is newer only.
    let is_shallow = |top: &Path| permitted::open(top).is_ok_and(|clone| clone.is_shallow());
    let how = if clone.is_some_and(is_shallow) { FETCH } else { FETCH_ALL };
    ProbeRoute::to(location, clone, main, why)?.fetch(&location.shown(), main, how, deadline)
}

/// Fetches all branches of the hub at `url`, one commit deep, but those that servers keep beside it,
/// and has `read` look at what came; nothing is kept.
///
/// # Errors
/// When the hub cannot be reached.
pub(super) fn with_all_branches<T>(
    url: &str,
    clone: Option<&Path>,
    deadline: &Deadline,
    read: impl FnOnce(&Path, &Repository) -> T,
) -> Result<T, LedgerError> {
    let way = ProbeRoute::prepare(url, clone, "it is reached over a connection")?;
    let specs = ["+refs/heads/*:refs/remotes/origin/*", "^refs/heads/heartbeat-*", "^refs/heads/logs-*"];
    let done = way.git(&[FETCH, FETCH_QUIETLY].concat(), &specs.map(str::to_owned), deadline)?;
    let hub = || Location::Url(url.to_owned()).shown();
    if done.timed_out {
        return Err(LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Network, TOO_SLOW) });
    }
    // A hub without any branch matches no pattern.
    let is_empty =
        is_without_match(&done.stderr) || (done.exit_code == Some(1) && done.stderr.trim().is_empty());
    match classify_fetch(done.exit_code, &done.stdout, &done.stderr) {
        _ if is_empty => {}
        FetchVerdict::Fetched | FetchVerdict::MissingBranch => {}
        FetchVerdict::Unreachable(why) => return Err(LedgerError::Unreachable { hub: hub(), why }),
        FetchVerdict::Denied(why) => return Err(LedgerError::Denied { hub: hub(), why }),
        FetchVerdict::BrokenCache(why) | FetchVerdict::HubDamaged(why, _) | FetchVerdict::Failed(why) => {
            let what = format!("cannot read the hub `{}`", hub());
            return Err(LedgerError::Store { what, cause: damage(&why), why });
        }
    }
    let repository = Repository::open_bare(&way.folder.0).map_err(|error| fault(OURS, &error))?;
    Ok(read(&way.folder.0, &repository))
}

/// What failed when it was a folder of our own.
const OURS: &str = "cannot look at the hub through a temporary folder";

impl ProbeRoute {
    /// The way to the hub at `location` for a command in `clone`, of which what is here already need not
    /// come.
    fn to(
        location: &Location,
        clone: Option<&Path>,
        main: &str,
        why: &'static str,
    ) -> Result<Self, LedgerError> {
        let url = location.address();
        let mut way = Self::prepare(&url, clone, why)?;
        if let Location::Path(path) = location {
            way.options.extend(permitted::options_for(path));
        }
        way.lean_on(&clone.map_or_else(|| store_path(&url), Path::to_owned), main);
        Ok(way)
    }

    /// An empty repository that knows the hub, with the settings of the clone around.
    fn prepare(url: &str, clone: Option<&Path>, why: &'static str) -> Result<Self, LedgerError> {
        let folder = Temporary::repository("main")?;
        let failed = |error: git2::Error| fault(OURS, &error);
        let repository = Repository::open_bare(&folder.0).map_err(failed)?;
        let mut config = repository.config().map_err(failed)?;
        let clone = clone.and_then(|top| Some((top, permitted::open(top).ok()?)));
        let mut options = Vec::new();
        match clone {
            None => config.set_str("remote.origin.url", url).map_err(failed)?,
            Some((top, clone)) => {
                let file = clone.commondir().join("config");
                options = vec!["-c".to_owned(), format!("include.path={}", file.display())];
                // Looked for in the repository itself before git is started.
                if let Some(command) = configured(top, "core.sshCommand") {
                    config.set_str("core.sshCommand", &command).map_err(failed)?;
                }
            }
        }
        // No hook of the user's runs for a look.
        options.extend(["-c".to_owned(), "core.hooksPath=/dev/null".to_owned()]);
        Ok(Self { folder, options, why, bad: RefCell::default() })
    }

    /// Has objects read from our copy of the hub or the clone, where one is and is sound, instead of
    /// fetching what is there already: a hub may share its repository with much else.
    fn lean_on(&self, copy: &Path, main: &str) {
        let sound = Store::open(copy).ok().filter(|store| store.read_tips(main).is_ok());
        let objects = sound.map(|store| store.folder().join("objects").display().to_string());
        if let Some(objects) = objects.filter(|path| !path.contains('\n')) {
            // Without it more is fetched.
            drop(files::write(&self.alternates(), &format!("{objects}\n")));
        }
    }

    fn alternates(&self) -> PathBuf {
        self.folder.0.join("objects/info/alternates")
    }

    fn git(
        &self,
        verb: &[&str],
        more: &[String],
        deadline: &Deadline,
    ) -> Result<crate::machine::process::Finished, LedgerError> {
        let verb = verb.iter().map(ToString::to_string);
        let arguments: Vec<String> = self.options.iter().cloned().chain(verb).chain(more.to_vec()).collect();
        GitProgram::default().run(&self.folder.0, &arguments, deadline)
    }

    fn fetch(&self, name: &str, main: &str, how: &[&str], deadline: &Deadline) -> Result<(), LedgerError> {
        match self.fetch_once(name, main, how, deadline) {
            // Some of what was there already may be damaged deeper than we looked.
            Err(LedgerError::Store { .. }) if self.alternates().exists() => {
                files::remove(&self.alternates())?;
                self.fetch_once(name, main, how, deadline)
            }
            done => done,
        }
    }

    /// One of the heartbeat branches of a hub whose main branch is not there.
    fn fetch_heartbeats(&self, specs: [String; 2], deadline: &Deadline) -> Option<String> {
        let [_, heartbeats] = specs;
        self.git(&[FETCH, FETCH_QUIETLY].concat(), &[heartbeats], deadline).ok()?;
        let objects = Objects::new(Repository::open_bare(&self.folder.0).ok()?);
        let names = objects.names(&format!("refs/remotes/origin/{HEARTBEAT_BRANCH_PREFIX}")).ok()?;
        names.first().map(|name| format!("{HEARTBEAT_BRANCH_PREFIX}{name}"))
    }

    /// Looks for the heartbeat branches of which the hub has lost an object, where a fetch failed for that;
    /// whether there are any.
    fn find_incomplete(
        &self,
        specs: &[String],
        fetch: &[&str],
        deadline: &Deadline,
    ) -> Result<bool, LedgerError> {
        let ends = bad_refs::search_ends(deadline);
        let list = || Ok(self.git(&["ls-remote", "origin", "refs/heads/*"], &[], &ends)?.stdout);
        // Nothing is kept from one look to the next.
        let mut before = Before { at: &|_| None, groups: Groups::new() };
        let found = bad_refs::incomplete(specs, &mut before, list, |specs| {
            let done = self.git(fetch, specs, &ends)?;
            Ok::<_, LedgerError>(match done.timed_out {
                true => FetchedRefs::Nothing,
                false => FetchedRefs::by(&classify_fetch(done.exit_code, &done.stdout, &done.stderr)),
            })
        })?;
        let is_found = !found.is_empty();
        self.bad.borrow_mut().extend(found);
        Ok(is_found)
    }

    fn fetch_once(
        &self,
        name: &str,
        main: &str,
        how: &[&str],
        deadline: &Deadline,
    ) -> Result<(), LedgerError> {
        let fetch = [how, FETCH_QUIETLY].concat();
        let specs = [main.to_owned(), format!("{HEARTBEAT_BRANCH_PREFIX}*")].map(|branch| tracking(&branch));
        let mut done = self.git(&fetch, &specs, deadline)?;
        for _ in 0..bad_refs::ROUNDS_MAX {
            if done.exit_code == Some(0) || !bad_refs::may_be_one(&done.stderr) {
                break;
            }
            let listing =
                self.git(&[&bad_refs::WHOLE_NAMES[..], &["ls-remote", "origin"]].concat(), &[], deadline)?;
            self.bad.borrow_mut().extend(bad_refs::find(&listing.stdout, &done.stderr));
            let around: Vec<String> =
                specs.iter().cloned().chain(bad_refs::left_out(&self.bad.borrow())).collect();
            done = self.git(&[&bad_refs::WHOLE_NAMES[..], &fetch].concat(), &around, deadline)?;
        }
        let verdict = classify_fetch(done.exit_code, &done.stdout, &done.stderr);
        if let FetchVerdict::HubDamaged(..) = &verdict {
            let around =
                || specs.iter().cloned().chain(bad_refs::left_out(&self.bad.borrow())).collect::<Vec<_>>();
            if self.find_incomplete(&around(), &fetch, deadline)? {
                done = self.git(&fetch, &around(), deadline)?;
            }
        }
        let hub = || name.to_owned();
        if let Some(flaw) = self.bad.borrow().get(main) {
            let why = bad_refs::refusal(BadBranch { branch: main.to_owned(), flaw: *flaw });
            return Err(LedgerError::Denied { hub: hub(), why });
        }
        if done.timed_out {
            return Err(LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Network, TOO_SLOW) });
        }
        match classify_fetch(done.exit_code, &done.stdout, &done.stderr) {
            FetchVerdict::Fetched => Ok(()),
            FetchVerdict::MissingBranch
                if let Some(why) = object_format::refusal(
                    &GitProgram::default(),
                    &self.folder.0,
                    &self.options,
                    deadline,
                ) =>
            {
                Err(LedgerError::Denied { hub: hub(), why })
            }
            FetchVerdict::MissingBranch => {
                let (hub, branch) = (hub(), main.to_owned());
                Err(match self.fetch_heartbeats(specs, deadline) {
                    Some(beats) => LedgerError::WasAHub { hub, branch, past: Past::Beats(beats) },
                    None => LedgerError::NoBranch { hub, branch, empty: false },
                })
            }
            FetchVerdict::Unreachable(why) => Err(LedgerError::Unreachable { hub: hub(), why }),
            FetchVerdict::Denied(why) => Err(LedgerError::Denied { hub: hub(), why }),
            FetchVerdict::HubDamaged(why, id) => {
                let object = LostObject { id, branch: main.to_owned() };
                Err(LedgerError::LacksObject { hub: hub(), object, why })
            }
            // There is no copy of ours in this, so what is damaged is the hub.
            FetchVerdict::BrokenCache(why) | FetchVerdict::Failed(why) => {
                let what = format!("cannot read the hub `{name}`");
                Err(LedgerError::Store { what, cause: damage(&why), why })
            }
        }
    }
}
