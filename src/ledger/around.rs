//! What the repository around a folder is to us: a clone of a hub, something that looks like one, or
//! none of our business.
//!
//! A clone is one of a hub by the marker in what is checked out or in the branch that its remote's
//! HEAD names, by what `join` wrote into its configuration, or, of a hub that was made before there
//! was a marker, by documents in use. Folders alone do not count: a fork of a project that keeps
//! template documents has them too. Looked at are commits, never the work tree, and nothing is asked
//! of the remote.

use super::marks::{self, DOCUMENTS};
use super::permitted;
use crate::domain::hub::Marker;
use crate::domain::id::{check_branch, is_side_branch};
use crate::host::{environment, files};
use git2::{Commit, Repository};
use std::path::{Path, PathBuf};

/// What `join` and the first answer of a remote are kept under in the configuration of a clone.
pub const BRANCH_KEY: &str = "muster.branch";

/// The most branches that are looked at for documents.
const BRANCHES_MAX: usize = 200;

/// What the repository around a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Around {
    /// There is none, or one that has nothing to do with a hub.
    Nothing,
    /// A clone of a hub.
    Hub(HubClone),
    /// It looks like a clone of a hub and is not marked as one.
    Alike(Alike),
    /// git takes it for a repository, and we cannot use it.
    Unusable {
        /// Its top.
        top: PathBuf,
        /// Why.
        why: String,
    },
}

/// A clone of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubClone {
    /// Its top.
    pub top: PathBuf,
    /// The address of its `origin`.
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

/// What says which branch is the hub's.
const SAID_BY_CONFIG: &str = "git config muster.branch";
const SAID_BY_MARKER: &str = "coordination/hub.json";
const SAID_BY_HEAD: &str = "the hub's HEAD";

/// The repository around `folder`.
#[must_use]
pub fn around(folder: &Path) -> Around {
    let Some(top) = nearest(folder) else { return Around::Nothing };
    match permitted::open(&top) {
        Ok(repository) if repository.head().is_err_and(|error| is_broken(&error)) => {
            Around::Unusable { top, why: "its HEAD cannot be read".to_owned() }
        }
        Ok(repository) => judge(&repository, top),
        Err(error) => without_us(top, error.message()),
    }
}

/// A HEAD that names a branch which is not there yet, or is not there at all, is none of this.
fn is_broken(error: &git2::Error) -> bool {
    !matches!(error.code(), git2::ErrorCode::UnbornBranch | git2::ErrorCode::NotFound)
}

/// The nearest folder with a `.git`, unless the way leads through a bare repository.
fn nearest(folder: &Path) -> Option<PathBuf> {
    let ceilings = environment::variable("GIT_CEILING_DIRECTORIES").unwrap_or_default();
    for at in folder.ancestors() {
        if at.join(".git").exists() {
            return Some(at.to_owned());
        }
        let is_bare = ["HEAD", "objects", "refs"].iter().all(|name| at.join(name).exists());
        let is_ceiling =
            at.parent().is_some_and(|above| ceilings.split(':').any(|one| Path::new(one) == above));
        if is_ceiling || (is_bare && at.file_name().is_none_or(|name| name != ".git")) {
            return None;
        }
    }
    None
}

/// A repository that libgit2 cannot open: git is asked whether it matters.
fn without_us(top: PathBuf, why: &str) -> Around {
    let remotes = permitted::git_says(&top, &["config", "--get-regexp", r"^remote\..*\.url$"]);
    if permitted::git_says(&top, &["rev-parse", "--git-dir"]).is_err() {
        return Around::Unusable { top, why: why.to_owned() };
    }
    let holds = |revision: &str| {
        let told = permitted::git_says(&top, &["ls-tree", "--name-only", revision, "coordination/"]);
        told.is_ok_and(|told| told.lines().any(|path| path == Marker::PATH || DOCUMENTS.contains(&path)))
    };
    let branches = ["for-each-ref", "--count=200", "--format=%(refname)", "refs/heads", "refs/remotes"];
    let branches = permitted::git_says(&top, &branches).unwrap_or_default();
    if holds("HEAD") || branches.lines().any(holds) {
        return Around::Unusable { top, why: why.to_owned() };
    }
    let remotes = remotes.unwrap_or_default();
    let remotes = remotes.lines().filter_map(|line| line.split_once(' ')).map(|(_, url)| url.to_owned());
    Around::Alike(Alike { top, remotes: remotes.collect(), why: None, marked: None })
}

fn judge(repository: &Repository, top: PathBuf) -> Around {
    let origin = repository.find_remote("origin").ok();
    let origin = origin.and_then(|origin| origin.url().ok().map(str::to_owned));
    if let Ok(head) = repository.head()
        && !head.peel_to_commit().is_ok_and(|commit| marks::is_sound(repository, &commit))
    {
        return damaged(top, origin);
    }
    if let Some(origin) = origin
        && let Some(branch) = said_branch(repository)
    {
        return Around::Hub(HubClone { top, origin, branch });
    }
    let names = repository.remotes();
    let names: Vec<String> =
        names.iter().flatten().flatten().filter_map(|name| Some(name?.to_owned())).collect();
    let url = |name: &String| Some(repository.find_remote(name).ok()?.url().ok()?.to_owned());
    let remotes = names.iter().filter_map(url).collect();
    let (why, marked) = likeness(repository);
    Around::Alike(Alike { top, remotes, why, marked })
}

/// A repository whose objects cannot be read: what is checked out still tells of a marker.
fn damaged(top: PathBuf, origin: Option<String>) -> Around {
    let text = files::read(&top.join(Marker::PATH)).ok().flatten();
    let marker = text.map(|text| serde_json::from_str::<Marker>(&text).unwrap_or_default());
    match (origin, marker) {
        (Some(origin), Some(marker)) => {
            let branch = marker.branch.filter(|branch| check_branch(branch).is_ok());
            Around::Hub(HubClone { top, origin, branch: branch.map(|branch| (branch, SAID_BY_MARKER)) })
        }
        _ => {
            Around::Unusable { top, why: "objects of what is checked out are missing or damaged".to_owned() }
        }
    }
}

/// `Some` when it is a clone of a hub; what is inside says in which branch that is, if it is known.
#[expect(
    clippy::option_option,
    reason = "a clone of a hub whose branch is not known yet is one all the same"
)]
fn said_branch(repository: &Repository) -> Option<Option<(String, &'static str)>> {
    if let Some(branch) = configured_here(repository) {
        return Some(Some((branch, SAID_BY_CONFIG)));
    }
    let checked_out = repository.head().and_then(|head| head.peel_to_commit()).ok();
    let named = home_here(repository);
    let tip = |branch: &str| tracked(repository, branch);
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
        let Some(commit) = tracked(repository, &name) else { continue };
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

/// The branch that the HEAD of `origin` named when git looked last.
fn home_here(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("refs/remotes/origin/HEAD").ok()?;
    let target = head.symbolic_target().ok().flatten()?;
    target.strip_prefix("refs/remotes/origin/").map(str::to_owned)
}

fn tracked<'a>(repository: &'a Repository, branch: &str) -> Option<Commit<'a>> {
    let reference = repository.find_reference(&format!("refs/remotes/origin/{branch}")).ok()?;
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
