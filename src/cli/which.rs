//! Which hub a command is about, and in which branch: one rule for all commands.
//!
//! What is named now (`--hub`, `MUSTER_HUB`) comes before the clone around, if that is one of a hub,
//! before what `join` wrote, before the embedded hub. The branch belongs to the hub: said now, else
//! written by `join` or by the hub's marker, else named by the hub's own HEAD. A branch that happens to
//! be checked out is never written to for that.

use super::GlobalArgs;
use super::error::CliError;
use super::settings::{Setting, UserConfig, embedded_hub_path, from, unusable, user_config_path};
use crate::domain::code::Code;
use crate::domain::hub::Marker;
use crate::domain::id::check_hub_branch;
use crate::domain::shell::quoted;
use crate::git;
use crate::git::{Alike, Ambiguity, CloneAround, HubClone, KnownHub, Location, hubs};
use crate::machine::environment;
use std::path::{Path, PathBuf};

/// The branch when nothing names another.
pub(super) const BRANCH_DEFAULT: &str = "main";

/// What the remote of a clone is called that follows its hub.
const FOLLOWED: &str = "origin";

/// Where the branch comes from when the hub was not asked yet.
pub(super) const NOT_ASKED: &str = "default";

/// Where it comes from when this variable names it.
pub(super) const FROM_BRANCH_VARIABLE: &str = "MUSTER_BRANCH";

/// Where it comes from when the hub was.
pub(super) const SAID_BY_HEAD: &str = "the hub's HEAD";

/// The hub of a command.
#[derive(Debug, Clone)]
pub(super) struct HubChoice {
    /// Where it is, if anything says so.
    pub hub: Option<Setting<Location>>,
    /// The clone of it that the command runs in.
    pub clone: Option<HubClone>,
    /// The clone around whose configuration says who we are, also where it does not follow the hub.
    pub own: Option<PathBuf>,
    /// What lies around and looks like a clone of a hub, and is not used: why, and what to do.
    pub passed_over: Option<String>,
    /// Whether that is to be told with every command.
    pub is_told: bool,
    /// The branch around that is marked as a hub and can be joined.
    pub joinable: Option<(HubClone, String)>,
}

impl HubChoice {
    /// As if nothing was found.
    #[must_use]
    pub(super) fn nothing() -> Self {
        Self { hub: None, clone: None, own: None, passed_over: None, is_told: true, joinable: None }
    }
}

/// Finds it.
///
/// # Errors
/// When nothing is named and the repository around cannot be read: it may be of another hub than the
/// one that would come next.
pub(super) fn find(args: &GlobalArgs, user: &UserConfig, folder: &Path) -> Result<HubChoice, CliError> {
    let named = match (&args.hub, environment::variable("MUSTER_HUB")) {
        (Some(hub), _) => Some(from(Location::parse(hub, folder), "--hub")),
        (None, Some(hub)) => Some(from(Location::parse(&hub, folder), "MUSTER_HUB")),
        (None, None) => None,
    };
    let around = git::around(folder);
    let mut which = HubChoice::nothing();
    match (named, around) {
        (None, CloneAround::Unusable { top, why, is_of_other }) => {
            return Err(unreadable(&top, &why, is_of_other));
        }
        (Some(hub), CloneAround::Unusable { top, why, .. }) => {
            which.is_told = false;
            which.passed_over = Some(format!("the repository `{}` is unreadable: {why}", top.display()));
            which.hub = Some(hub);
        }
        (None, CloneAround::Unclear { top, why }) => return Err(unclear(&top, &why)),
        (Some(hub), CloneAround::Unclear { top, why }) => {
            which.is_told = false;
            which.passed_over = Some(format!("`{}` {}", top.display(), because(&why)));
            which.hub = Some(hub);
        }
        (None, CloneAround::Itself(path, origin)) => match other_than(&path, origin, user) {
            Some(other) => return Err(unclear(&path, &Ambiguity::BareCopy(other))),
            None => which.hub = Some(from(Location::Path(path), "the bare repository around".to_owned())),
        },
        (None, CloneAround::Hub(clone)) => {
            let origin = format!("{} of the clone `{}`", clone.remote, clone.top.display());
            which.hub = Some(from(Location::parse(&clone.origin, &clone.top), origin));
            bring_along(&mut which, clone);
        }
        (Some(hub), CloneAround::Hub(clone)) => {
            let origin = Location::parse(&clone.origin, &clone.top);
            if hub.value.is_spelling_of(&origin) {
                bring_along(&mut which, clone);
            } else {
                which.is_told = hub.origin != "--hub";
                which.passed_over = Some(of_another(&clone, &origin, &hub));
            }
            which.hub = Some(hub);
        }
        (named, around) => {
            which.hub = named.or_else(|| remembered(user));
            if let CloneAround::Alike(alike) = around {
                pass_over(&mut which, alike);
            }
        }
    }
    Ok(which)
}

/// Uses the clone, unless what is known in it of the hub lies where only the user's git looks.
fn bring_along(which: &mut HubChoice, clone: HubClone) {
    which.own = Some(clone.top.clone());
    if clone.remote == FOLLOWED {
        which.clone = Some(clone);
        return;
    }
    which.is_told = false;
    which.passed_over = Some(format!(
        "the clone `{}` is not updated after writes to its hub: its remote is called `{}`; fix it with `git remote rename {} {FOLLOWED}` in the clone",
        clone.top.display(),
        clone.remote,
        quoted(&clone.remote)
    ));
}

/// What a hub around is perhaps a copy of: another one that `join` wrote, or else where it was cloned from.
fn other_than(path: &Path, origin: Option<String>, user: &UserConfig) -> Option<String> {
    let Some(joined) = joined(user) else { return origin };
    let is_this = joined.value.is_spelling_of(&Location::Path(path.to_owned()));
    (!is_this).then(|| joined.value.as_text())
}

/// What `join` wrote.
fn joined(user: &UserConfig) -> Option<Setting<Location>> {
    let hub = user.hub.as_deref()?;
    Some(from(Location::parse(hub, &environment::home()), user_config_path().display().to_string()))
}

/// What `join` wrote, or else the embedded hub, also where this host used one that is gone.
fn remembered(user: &UserConfig) -> Option<Setting<Location>> {
    let embedded = || {
        let hub = Location::Path(embedded_hub_path());
        let is_one = embedded_hub_path().is_dir() || hubs::remembered_id(&hub, None).is_some();
        is_one.then(|| from(hub, "the embedded hub"))
    };
    joined(user).or_else(embedded)
}

fn unreadable(top: &Path, why: &str, is_of_other: bool) -> CliError {
    let top = top.display();
    let error = CliError::new(
        Code::HubUnusable,
        format!("the current repository `{top}` may be a clone of a hub, but is unreadable: {why}"),
    )
    .fact("cause", if is_of_other { "owner" } else { "clone" })
    .fact("detail", why)
    .unwritten();
    let error = match is_of_other {
        true => error.hint(format!(
            "if you trust its owner, `git config --global --add safe.directory {}` lets Git use it",
            quoted(&top.to_string())
        )),
        false => error,
    };
    error.hint("pass the hub with `--hub`, or change to another directory")
}

fn unclear(top: &Path, why: &Ambiguity) -> CliError {
    let text = format!("cannot determine the hub: `{}` {}", top.display(), because(why));
    let error = CliError::new(Code::HubUnclear, text).fact("path", top.display().to_string()).unwritten();
    let named = |place: &str| quoted(&Location::parse(place, top).shown());
    match why {
        Ambiguity::TwoPlaces { remote, read, pushed } => error
            .hint(format!("select the hub with `--hub {}` or `--hub {}`", named(read), named(pushed)))
            .hint(format!("`git remote get-url --push --all {}` shows its push addresses", quoted(remote))),
        Ambiguity::BareCopy(url) => {
            let here = quoted(&top.display().to_string());
            error.hint(format!(
                "select this hub with `--hub {here}`, or the other with `--hub {}`",
                named(url)
            ))
        }
        Ambiguity::BareWithin(_) => {
            error.hint(format!("use it, with its hooks, with `--hub {}`", quoted(&top.display().to_string())))
        }
        Ambiguity::NamedByGitDir => {
            error.hint("pass the hub with `--hub`, or unset GIT_DIR to use this directory")
        }
        Ambiguity::NoRemote => {
            error.hint("pass the hub with `--hub`, or run `git remote add origin HUB` in the repository")
        }
        // Of a branch that was never fetched git takes no note.
        Ambiguity::NoHead(_) => {
            let git = format!("git -C {}", quoted(&top.display().to_string()));
            error.hint(format!(
                "`{git} fetch origin '+refs/heads/*:refs/remotes/origin/*' && {git} remote set-head origin --auto` queries the remote; or pass the hub with `--hub`"
            ))
        }
        Ambiguity::Branches(one, other) => {
            let says = |branch: &str| {
                format!(
                    "`git -C {} config muster.branch {}`",
                    quoted(&top.display().to_string()),
                    quoted(branch)
                )
            };
            error
                .hint(format!(
                    "ask the owner of the hub which branch is correct, and set it for this clone: {} or {}",
                    says(one),
                    says(other)
                ))
                .hint(format!(
                    "the `branch` in `{}` on the hub branch must name that branch itself",
                    Marker::PATH
                ))
        }
        Ambiguity::Remotes(_) => error.hint("pass the hub with `--hub`; list addresses with `git remote -v`"),
    }
}

/// Why it cannot be told of a repository which hub it stands for.
fn because(why: &Ambiguity) -> String {
    match why {
        Ambiguity::TwoPlaces { remote, read, pushed } => {
            let shown = |url: &str| Location::parse(url, Path::new("/")).shown();
            format!("reads `{remote}` from {} and pushes to {}", shown(read), shown(pushed))
        }
        Ambiguity::BareCopy(url) => {
            format!(
                "is a bare repository with a hub, and may be a copy of {}",
                Location::parse(url, Path::new("/")).shown()
            )
        }
        Ambiguity::BareWithin(above) => {
            format!(
                "is a bare repository inside the work tree `{}`, and may be part of its content",
                above.display()
            )
        }
        Ambiguity::NamedByGitDir => {
            "belongs to a hub and is set by GIT_DIR, but this directory is outside of it".to_owned()
        }
        Ambiguity::NoRemote => {
            "contains commits of a hub, but has no remote that could be the hub".to_owned()
        }
        Ambiguity::NoHead(branch) => {
            format!("tracks `{branch}`, which is marked as a hub, but the HEAD of its remote is unknown")
        }
        Ambiguity::Branches(one, other) => format!(
            "belongs to a hub whose marker names branch `{one}`, but the marker there names `{other}`"
        ),
        Ambiguity::Remotes(names) => format!("has several remotes that may be the hub: {}", names.join(", ")),
    }
}

/// Says of the clone of a hub that it is not used.
fn of_another(clone: &HubClone, origin: &Location, hub: &Setting<Location>) -> String {
    let id = |location: &Location, clone: Option<&Path>| {
        let branch = git::known_home_branch(location, clone)?;
        KnownHub::of(location, clone).id(&branch)
    };
    let named = id(&hub.value, None);
    let is_one = hub.value.is_place_of(origin) || (named.is_some() && named == id(origin, Some(&clone.top)));
    let whose = match is_one {
        true => format!("the hub set by {}, or of a copy of it, at {}", hub.origin, origin.shown()),
        false => format!("another hub than the one set by {}", hub.origin),
    };
    format!(
        "this directory is in the clone `{}` of {whose}; the clone is neither used nor updated",
        clone.top.display()
    )
}

/// Says of a repository that looks like a clone of a hub that it is not taken for one.
fn pass_over(which: &mut HubChoice, alike: Alike) {
    let Alike { top, remotes, why, marked } = alike;
    let location = |url: &String| Location::parse(url, &top);
    let is_of = |url: &String| which.hub.as_ref().is_some_and(|hub| hub.value.is_place_of(&location(url)));
    let of_ours = remotes.iter().any(is_of);
    which.is_told = which.hub.as_ref().is_none_or(|hub| hub.origin != "--hub");
    let Some(why) = why.or_else(|| of_ours.then(|| "the hub is among its remotes".to_owned())) else {
        return;
    };
    let origin = remotes.first().cloned().unwrap_or_default();
    if let Some(branch) = marked {
        let clone =
            HubClone { top: top.clone(), remote: FOLLOWED.to_owned(), origin: origin.clone(), branch: None };
        which.joinable = Some((clone, branch));
    }
    let next = match (of_ours, &which.joinable) {
        (true, _) => String::new(),
        (false, Some(_)) => "; to make it one, run `git muster join --as NAME` in it".to_owned(),
        (false, None) if origin.is_empty() => String::new(),
        (false, None) => {
            let url = location(&origin).shown();
            format!("; if it is one, mark it with `git muster join {} --as NAME`", quoted(&url))
        }
    };
    which.passed_over = Some(format!("`{}` is not used as a clone of a hub: {why}{next}", top.display()));
}

/// The hub's branch as far as it is said here, without asking the hub over a connection.
///
/// # Errors
/// When what says it cannot be a branch.
pub(super) fn find_branch(
    args: &GlobalArgs,
    user: &UserConfig,
    which: &HubChoice,
) -> Result<Setting<String>, CliError> {
    let branch = if let Some(branch) = args.hub_branch.as_ref().or(args.branch.as_ref()) {
        from(branch.clone(), "--branch")
    } else if let Some(branch) = environment::variable(FROM_BRANCH_VARIABLE) {
        from(branch, FROM_BRANCH_VARIABLE)
    } else {
        let clone = which.clone.as_ref();
        let said = clone.and_then(|clone| clone.branch.clone()).map(|(branch, origin)| from(branch, origin));
        let hub = which.hub.as_ref().map(|hub| &hub.value);
        said.unwrap_or_else(|| of_hub(user, hub, clone.map(|clone| clone.top.as_path())))
    };
    check_hub_branch(&branch.value).map_err(|error| unusable(&branch.origin, &error.to_string()))?;
    Ok(branch)
}

/// The branch of a hub that no clone and nobody names.
pub(super) fn of_hub(user: &UserConfig, hub: Option<&Location>, clone: Option<&Path>) -> Setting<String> {
    let joined = remembered(user).map(|joined| joined.value);
    match (&user.branch, hub) {
        // What `join` wrote is about the hub that it joined.
        (Some(branch), Some(hub)) if joined.as_ref().is_some_and(|joined| joined.is_spelling_of(hub)) => {
            return from(branch.clone(), user_config_path().display().to_string());
        }
        (Some(branch), None) => return from(branch.clone(), user_config_path().display().to_string()),
        _ => {}
    }
    let known = hub.and_then(|hub| git::known_home_branch(hub, clone));
    known.map_or_else(|| from(BRANCH_DEFAULT.to_owned(), NOT_ASKED), |branch| from(branch, SAID_BY_HEAD))
}

/// The top of the clone, for what needs no more.
#[must_use]
pub(super) fn top(which: &HubChoice) -> Option<PathBuf> {
    which.clone.as_ref().map(|clone| clone.top.clone())
}
