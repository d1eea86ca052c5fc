//! What the repository around a folder is to us: a clone of a hub, something that looks like one, or
//! none of our business.
//!
//! A clone is one of a hub by the marker in what is checked out or in the branch that its remote's
//! HEAD names, by what `join` wrote into its configuration, or, of a hub that was made before there
//! was a marker, by documents in use. Folders alone do not count: a fork of a project that keeps
//! template documents has them too. Looked at are commits, never the work tree, and nothing is asked
//! of the remote.

use super::addresses::Addresses;
use super::classify::is_about_owner;
use super::marks::{self, DOCUMENTS};
use super::permitted;
use crate::domain::hub::Marker;
use crate::domain::id::{check_branch, is_side_branch};
use crate::machine::{environment, files};
use git2::{Commit, Repository};
use std::path::{Path, PathBuf};

/// What `join` and the first answer of a remote are kept under in the configuration of a clone.
pub const BRANCH_KEY: &str = "muster.branch";

/// The most branches that are looked at for documents.
const BRANCHES_MAX: usize = 200;

/// What the repository around a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloneAround {
    /// There is none, or one that has nothing to do with a hub.
    Nothing,
    /// A clone of a hub.
    Hub(HubClone),
    /// A bare repository that is a hub, with the address that it was cloned from, if it was.
    Itself(PathBuf, Option<String>),
    /// Of a hub, and of which, or whether that one is meant, cannot be told.
    Unclear {
        /// Where it is.
        top: PathBuf,
        /// What leaves it open, and the places it may stand for.
        why: Ambiguity,
    },
    /// It looks like a clone of a hub and is not marked as one.
    Alike(Alike),
    /// git takes it for a repository, and we cannot use it.
    Unusable {
        /// Its top.
        top: PathBuf,
        /// Why.
        why: String,
        /// Whether because it is another user's.
        is_of_other: bool,
    },
}

/// What leaves open which hub a repository stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ambiguity {
    /// It is read from one place and pushed to another.
    TwoPlaces {
        /// The remote.
        remote: String,
        /// Where it is read from.
        read: String,
        /// Where a push goes.
        pushed: String,
    },
    /// It is bare, and may be a hub or a copy of one: of this one.
    BareCopy(String),
    /// It is bare and lies in the work tree of another repository, which may have brought it.
    BareWithin(PathBuf),
    /// `GIT_DIR` names it, and the command does not run in it.
    NamedByGitDir,
    /// Its commits are a hub's, and it has no remote.
    NoRemote,
    /// It tracks this branch, which is marked as a hub, and was never told what the remote's HEAD names.
    NoHead(String),
    /// Several remotes may be the hub.
    Remotes(Vec<String>),
    /// A marker names the first branch, and the marker there the second.
    Branches(String, String),
}

/// A clone of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubClone {
    /// Its top.
    pub top: PathBuf,
    /// The remote that is the hub.
    pub remote: String,
    /// The address of it.
    pub origin: String,
    /// The hub's branch and what says so; `None`: the remote has to be asked.
    pub branch: Option<(String, &'static str)>,
}

/// A repository that looks like a clone of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alike {
    /// Its top.
    pub top: PathBuf,
    /// The addresses of its remotes.
    pub remotes: Vec<String>,
    /// What makes it look like one; `None`: only its remotes could.
    pub why: Option<String>,
    /// The branch that is marked as a hub among those that it tracks, if one is.
    pub marked: Option<String>,
}

/// How often a repository is looked at that contradicts itself.
const LOOKS_MAX: usize = 4;

/// What says which branch is the hub's.
const SAID_BY_CONFIG: &str = "git config muster.branch";
const SAID_BY_MARKER: &str = "coordination/hub.json";
const SAID_BY_HEAD: &str = "the hub's HEAD";

/// The repository around `folder`.
#[must_use]
pub fn around(folder: &Path) -> CloneAround {
    let nearest = nearest(folder);
    if let Some(named) = environment::variable("GIT_DIR").map(|named| folder.join(named))
        && !nearest.as_ref().is_some_and(|nearest| nearest.is_at(&named))
        && let Some(top) = of_a_hub(&named)
    {
        return CloneAround::Unclear { top, why: Ambiguity::NamedByGitDir };
    }
    match nearest {
        None => CloneAround::Nothing,
        Some(NearestRepository::Clone(top)) => clone(top),
        Some(NearestRepository::Bare(folder)) => bare(folder),
    }
}

fn clone(top: PathBuf) -> CloneAround {
    match permitted::open(&top) {
        Ok(repository) if repository.head().is_err_and(|error| is_broken(&error)) => {
            CloneAround::Unusable { top, why: "its HEAD cannot be read".to_owned(), is_of_other: false }
        }
        Ok(repository) => match judge(&repository, &top) {
            Some(told) => told,
            None => again(&top),
        },
        Err(error) => without_us(top, error.message()),
    }
}

/// What contradicted itself, looked at with fresh eyes: git may be packing the refs, or another process be
/// bringing the clone up to date.
fn again(top: &Path) -> CloneAround {
    let look = || judge(&permitted::open(top).ok()?, top);
    (1..LOOKS_MAX).find_map(|_| look()).unwrap_or_else(|| CloneAround::Unusable {
        why: "what it tells of its hub changes while it is read".to_owned(),
        top: top.to_owned(),
        is_of_other: false,
    })
}

/// A bare repository, when what its HEAD names is marked or in use: a hub, or a clone of one if it came
/// from somewhere.
fn bare(folder: PathBuf) -> CloneAround {
    if of_a_hub(&folder).is_none() {
        return CloneAround::Nothing;
    }
    let Ok(repository) = permitted::open(&folder) else { return CloneAround::Nothing };
    // What lies in a work tree may have come with it, and its hooks would run.
    let within = folder.ancestors().skip(1).find(|above| above.join(".git").exists()).map(Path::to_owned);
    if let Some(within) = within {
        return CloneAround::Unclear { top: folder, why: Ambiguity::BareWithin(within) };
    }
    // Other remotes are where a hub is pushed to.
    let origin = Addresses::of(&repository, "origin").map(|addresses| addresses.read);
    CloneAround::Itself(folder, origin)
}

/// The place of the repository at `folder`, if what is checked out in it is a hub's.
fn of_a_hub(folder: &Path) -> Option<PathBuf> {
    let repository = permitted::open(folder).ok()?;
    let head = repository.head().and_then(|head| head.peel_to_commit()).ok()?;
    let is_hub = marks::marker(&repository, &head).is_some() || marks::is_in_use(&repository, &head);
    is_hub.then(|| repository.workdir().unwrap_or(folder).to_owned())
}

/// A HEAD that names a branch which is not there yet, or is not there at all, is none of this.
fn is_broken(error: &git2::Error) -> bool {
    !matches!(error.code(), git2::ErrorCode::UnbornBranch | git2::ErrorCode::NotFound)
}

/// What git would take for the repository.
enum NearestRepository {
    /// The top of a work tree.
    Clone(PathBuf),
    /// A bare repository.
    Bare(PathBuf),
}

impl NearestRepository {
    /// Whether `directory` is where its objects and refs lie, or lies a work tree of it.
    fn is_at(&self, directory: &Path) -> bool {
        let (Self::Clone(here) | Self::Bare(here)) = self;
        let path = |at: &Path| permitted::open(at).ok().map(|repository| repository.commondir().to_owned());
        let known = path(here);
        known.is_some() && known == path(directory)
    }
}

/// The nearest folder with a `.git`, or the bare repository that comes before it.
fn nearest(folder: &Path) -> Option<NearestRepository> {
    let ceilings = environment::variable("GIT_CEILING_DIRECTORIES").unwrap_or_default();
    for at in folder.ancestors() {
        if at.join(".git").exists() {
            return Some(NearestRepository::Clone(at.to_owned()));
        }
        let is_bare = ["HEAD", "objects", "refs"].iter().all(|name| at.join(name).exists());
        if is_bare && at.file_name().is_none_or(|name| name != ".git") {
            return Some(NearestRepository::Bare(at.to_owned()));
        }
        if at.parent().is_some_and(|above| ceilings.split(':').any(|one| Path::new(one) == above)) {
            return None;
        }
    }
    None
}

/// A repository that libgit2 cannot open: git is asked whether it matters.
fn without_us(top: PathBuf, why: &str) -> CloneAround {
    let remotes = permitted::git_says(&top, &["config", "--get-regexp", r"^remote\..*\.url$"]);
    if permitted::git_says(&top, &["rev-parse", "--git-dir"]).is_err() {
        return CloneAround::Unusable { top, why: why.to_owned(), is_of_other: is_about_owner(why) };
    }
    let holds = |revision: &str| {
        let told = permitted::git_says(&top, &["ls-tree", "--name-only", revision, "coordination/"]);
        told.is_ok_and(|told| told.lines().any(|path| path == Marker::PATH || DOCUMENTS.contains(&path)))
    };
    let branches = ["for-each-ref", "--count=200", "--format=%(refname)", "refs/heads", "refs/remotes"];
    let branches = permitted::git_says(&top, &branches).unwrap_or_default();
    if holds("HEAD") || branches.lines().any(holds) {
        return CloneAround::Unusable { top, why: why.to_owned(), is_of_other: is_about_owner(why) };
    }
    let remotes = remotes.unwrap_or_default();
    let remotes = remotes.lines().filter_map(|line| line.split_once(' ')).map(|(_, url)| url.to_owned());
    CloneAround::Alike(Alike { top, remotes: remotes.collect(), why: None, marked: None })
}

/// `None` when one look tells what the next denies.
fn judge(repository: &Repository, top: &Path) -> Option<CloneAround> {
    let top = top.to_owned();
    let names = remotes(repository);
    let ours = names.iter().find(|name| *name == "origin");
    if let Ok(head) = repository.head()
        && !head.peel_to_commit().is_ok_and(|commit| marks::is_sound(repository, &commit))
    {
        let origin = ours.and_then(|remote| Addresses::of(repository, remote));
        return Some(damaged(top, origin.map(|addresses| addresses.read)));
    }
    // Under another name than git gives it, it is the only remote, or it alone is told to be a hub.
    let candidates: Vec<&String> = ours.map_or_else(|| names.iter().collect(), |ours| vec![ours]);
    let mut hubs: Vec<NamedRemote<'_>> = Vec::new();
    for remote in candidates {
        if let Some(branch) = said_branch(repository, remote)
            && let Some(addresses) = Addresses::of(repository, remote)
        {
            hubs.push(NamedRemote { remote, branch, addresses });
        }
    }
    Some(match hubs.as_slice() {
        [] if names.is_empty() && is_of_a_hub(repository) => without_remote(top),
        [] => {
            let address = |name: &String| Some(Addresses::of(repository, name)?.read);
            let remotes = names.iter().filter_map(address).collect();
            let (why, marked) = likeness(repository);
            match (&marked, home_here(repository, "origin")) {
                (Some(marked), None) => CloneAround::Unclear { top, why: Ambiguity::NoHead(marked.clone()) },
                // That branch was looked at, and was not there or not marked.
                (Some(marked), Some(home)) if *marked == home => return None,
                _ => CloneAround::Alike(Alike { top, remotes, why, marked }),
            }
        }
        [_, _, ..] => {
            let names = hubs.iter().map(|said| said.remote.to_owned()).collect();
            CloneAround::Unclear { top, why: Ambiguity::Remotes(names) }
        }
        [said] => {
            let (remote, read) = (said.remote.to_owned(), said.addresses.read.clone());
            if let Some(pushed) = said.addresses.elsewhere().map(str::to_owned) {
                return Some(CloneAround::Unclear {
                    top,
                    why: Ambiguity::TwoPlaces { remote, read, pushed },
                });
            }
            if let Some((branch, SAID_BY_MARKER)) = &said.branch
                && let Some(other) = led_on(repository, said.remote, branch)
            {
                return Some(CloneAround::Unclear { top, why: Ambiguity::Branches(branch.clone(), other) });
            }
            CloneAround::Hub(HubClone { top, remote, origin: read, branch: said.branch.clone() })
        }
    })
}

/// Whether commits that are checked out or tracked are marked as a hub's.
fn is_of_a_hub(repository: &Repository) -> bool {
    let head = repository.head().and_then(|head| head.peel_to_commit()).ok();
    head.is_some_and(|head| marks::marker(repository, &head).is_some()) || likeness(repository).1.is_some()
}

/// A clone of a hub without a remote: its configuration was lost, or only git knows that it cannot read it.
fn without_remote(top: PathBuf) -> CloneAround {
    match permitted::git_says(&top, &["rev-parse", "--git-dir"]) {
        Ok(_) => CloneAround::Unclear { top, why: Ambiguity::NoRemote },
        Err(why) => CloneAround::Unusable { is_of_other: is_about_owner(&why), top, why },
    }
}

/// A remote that is a hub.
struct NamedRemote<'a> {
    remote: &'a str,
    branch: Option<(String, &'static str)>,
    addresses: Addresses,
}

fn remotes(repository: &Repository) -> Vec<String> {
    let Ok(names) = repository.remotes() else { return Vec::new() };
    names.iter().flatten().flatten().map(str::to_owned).collect()
}

/// A repository whose objects cannot be read: what is checked out still tells of a marker.
fn damaged(top: PathBuf, origin: Option<String>) -> CloneAround {
    let text = files::read(&top.join(Marker::PATH)).ok().flatten();
    let marker = text.map(|text| serde_json::from_str::<Marker>(&text).unwrap_or_default());
    match (origin, marker) {
        (Some(origin), Some(marker)) => {
            let branch = marker.branch.filter(|branch| check_branch(branch).is_ok());
            let branch = branch.map(|branch| (branch, SAID_BY_MARKER));
            CloneAround::Hub(HubClone { top, remote: "origin".to_owned(), origin, branch })
        }
        _ => CloneAround::Unusable {
            top,
            why: "objects of what is checked out are missing or damaged".to_owned(),
            is_of_other: false,
        },
    }
}

/// The other branch that the marker in `branch` names, if there is such a one: then neither is known to be the
/// hub.
fn led_on(repository: &Repository, remote: &str, branch: &str) -> Option<String> {
    let marker = marks::marker(repository, &tracked(repository, remote, branch)?)?;
    let other = marker.branch.filter(|other| other != branch && check_branch(other).is_ok())?;
    tracked(repository, remote, &other).map(|_| other)
}

/// `Some` when it is a clone of a hub; what is inside says in which branch that is, if it is known.
#[expect(
    clippy::option_option,
    reason = "a clone of a hub whose branch is not known yet is one all the same"
)]
fn said_branch(repository: &Repository, remote: &str) -> Option<Option<(String, &'static str)>> {
    if let Some(branch) = configured_here(repository) {
        return Some(Some((branch, SAID_BY_CONFIG)));
    }
    let checked_out = repository.head().and_then(|head| head.peel_to_commit()).ok();
    let named = home_here(repository, remote);
    let tip = |branch: &str| tracked(repository, remote, branch);
    let home = named.as_deref().and_then(tip);
    let marker = |commit: &Option<Commit<'_>>| marks::marker(repository, commit.as_ref()?);
    if let Some(marker) = marker(&checked_out).or_else(|| marker(&home)) {
        // The hub may have given the branch another name since.
        let said = marker.branch.filter(|branch| check_branch(branch).is_ok());
        return Some(match (said, named) {
            (Some(said), _) if tip(&said).is_some() => Some((said, SAID_BY_MARKER)),
            (_, Some(named)) if home.is_some() => Some((named, SAID_BY_HEAD)),
            (said, _) => said.map(|said| (said, SAID_BY_MARKER)),
        });
    }
    // A hub without a marker.
    match (named, home) {
        (Some(named), Some(home)) => {
            marks::is_in_use(repository, &home).then_some(Some((named, SAID_BY_HEAD)))
        }
        _ => checked_out.is_some_and(|commit| marks::is_in_use(repository, &commit)).then_some(None),
    }
}

/// What makes a repository look like a clone of a hub, and the branch that is marked as one.
fn likeness(repository: &Repository) -> (Option<String>, Option<String>) {
    let checked_out = repository.head().and_then(|head| head.peel_to_commit()).ok();
    let mut why = checked_out.filter(marks::holds_documents).map(|_| {
        "its commits hold a folder `coordination` as a hub does, and nothing marks it as one".to_owned()
    });
    for name in tracked_branches(repository) {
        let Some(commit) = tracked(repository, "origin", &name) else { continue };
        if marks::marker(repository, &commit).is_some_and(|marker| marker.branch.as_deref() == Some(&name)) {
            return (Some(format!("it tracks `{name}`, which is marked as a hub")), Some(name));
        }
        if why.is_none() && marks::holds_documents(&commit) {
            why = Some(format!("it tracks `{name}`, which holds a folder `coordination` as a hub does"));
        }
    }
    (why, None)
}

fn configured_here(repository: &Repository) -> Option<String> {
    let config = repository.config().ok()?.open_level(git2::ConfigLevel::Local).ok()?;
    config.get_string(BRANCH_KEY).ok().filter(|branch| check_branch(branch).is_ok())
}

/// The branch that the HEAD of `remote` named when git looked last.
fn home_here(repository: &Repository, remote: &str) -> Option<String> {
    let head = repository.find_reference(&format!("refs/remotes/{remote}/HEAD")).ok()?;
    let target = head.symbolic_target().ok().flatten()?;
    target.strip_prefix(&format!("refs/remotes/{remote}/")).map(str::to_owned)
}

fn tracked<'a>(repository: &'a Repository, remote: &str, branch: &str) -> Option<Commit<'a>> {
    let reference = repository.find_reference(&format!("refs/remotes/{remote}/{branch}")).ok()?;
    reference.peel_to_commit().ok()
}

/// The branches of `origin` that could be a hub's.
fn tracked_branches(repository: &Repository) -> Vec<String> {
    const ORIGIN: &str = "refs/remotes/origin/";
    let Ok(references) = repository.references_glob(&format!("{ORIGIN}*")) else { return Vec::new() };
    let names = references.flatten().filter_map(|reference| {
        reference.name().ok().and_then(|name| name.strip_prefix(ORIGIN)).map(str::to_owned)
    });
    names.filter(|name| name != "HEAD" && !is_side_branch(name)).take(BRANCHES_MAX).collect()
}
